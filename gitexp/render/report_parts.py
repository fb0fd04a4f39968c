"""What a report says, part by part, in words: `report_text` and `report_page` give it a form.

The report is the plain form of `gitexp.research.overview.report.Report` (docs/reference/json.md).
Headline first, then what to do, then why; made to be skimmed in two minutes. Texts of runs are
their authors', cut short and not yet escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gitexp.render.packet import noise_sentence
from gitexp.render.text import number, short, span

Data = Mapping[str, Any]

_QUEUE = 6
_STEPS = 12
_NAME, _TEXT = 48, 120
"""Characters of a name, of a longer text."""
_HOUR = 3600
_WRONG = ("failed", "crashed", "timeout")


class Code(str):
    """A piece of text that is an id or a command."""

    __slots__ = ()


class Strong(str):
    """A piece of text that stands out."""

    __slots__ = ()


Words = tuple[str, ...]
"""A sentence or a cell: pieces that stand one after the other."""


class Item(NamedTuple):
    """A line of a list, and what to type for it."""

    words: Words
    command: str = ""


class Part(NamedTuple):
    """A part of a report: a list, or a table. A column whose title ends in ``:`` has numbers."""

    title: str
    items: Sequence[Item] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[Words]] = ()


def title(report: Data) -> str:
    """Return the title of a report."""
    return f"Experiments in {_cut(report['repository'], _NAME)}: {report['window']['text']}"


def parts(report: Data) -> Iterator[Part]:
    """Yield the parts of a report that have content, the most urgent first."""
    registry = report["registry"]
    every = [
        Part("In short", [Item(words) for words in _headline(report)]),
        Part("What to do next", _queue(registry)),
        _board(registry),
        _unresolved(registry),
        _crashes(report.get("crashes") or ()),
        Part(_failed_title(registry), _failed(registry)),
        Part("Lineages", _lineages(registry)),
        Part("Decisions to make again", _stale(registry)),
        _spend(report.get("spend") or {}),
        _recent(report.get("recent") or ()),
    ]
    yield from (part for part in every if part.items or part.rows)


def _headline(report: Data) -> Iterator[Words]:
    """Yield the few sentences that matter."""
    registry, window = report["registry"], report["window"]
    yield (Strong("Won"), ": ", *_won(report))
    if (goal := registry.get("goal")) and goal["source"] == "runs":
        yield (Strong("Metric"), ": ", *_inferred(goal))
    outcomes = ", ".join(f"{count} {name}" for name, count in window["outcomes"].items())
    counted = f"{_counted(window['runs'], 'run')}: {outcomes}."
    yield (Strong("Outcomes"), ": ", counted if outcomes else "no run started in this time.")
    yield (Strong("Broke"), ": ", _broke(report))
    if noise := registry.get("noise"):
        more = " Nothing is decided for good." if registry.get("provisional") else ""
        yield (Strong("Noise"), ": ", noise_sentence(noise), more)
    if steps := registry.get("queue"):
        yield (Strong("Next"), ": ", _why(steps[0]), " ", Code(steps[0]["command"]))
    spend = report.get("spend") or {}
    tokens = spend.get("tokens")
    said = "" if tokens is None else f", {tokens:,.0f} tokens"
    took = duration(spend.get("seconds", 0.0)) or "no record"
    yield (Strong("Spend"), ": ", f"{took} of wall time{said}.")


def _inferred(goal: Data) -> Words:
    word = "lower" if goal["goal"] == "min" else "higher"
    said = f"{_cut(goal['metric'], _NAME)}, {word} is better, as most of the latest runs have it; "
    return (said, "say which one counts: ", Code("git config exprag.metric NAME"))


def _why(step: Data) -> str:
    """Return why something is to be done: our own sentence whole, that of a decision cut short."""
    own: str = step["why"]
    return own if step["source"] == "registry" else _cut(own, _TEXT)


def _won(report: Data) -> Words:
    registry, won = report["registry"], report.get("won")
    champion = registry.get("champion")
    if champion is None:
        return (registry.get("no_goal") or "no run has a value of the goal metric that counts.",)
    metric = _cut(registry["goal"]["metric"], _NAME)
    value = f" with {metric} {number(champion['mean'])} (90%: {_range(champion['interval'])})"
    if not won or not won["changed"]:
        return ("no new champion; it is still ", *_run(champion["run"]), value, ".")
    versus = won.get("versus")
    if versus is None:
        return (*_run(champion["run"]), value, ", the first with a value.")
    gain = f": better by {number(versus['gain'])} (90%: {_range(versus['interval'])}) than "
    before = Code(short(won["before"]["run"])) if won.get("before") else "the one before"
    p = f", P(better) = {versus['p_better']:.2f}, "
    return (*_run(champion["run"]), value, gain, before, p, Strong(won["beyond"]), ".")


def _broke(report: Data) -> str:
    crashes = report.get("crashes") or ()
    if not crashes:
        return "nothing."
    first = crashes[0]
    outcomes = report["window"]["outcomes"]
    total = _counted(sum(outcomes.get(name, 0) for name in _WRONG), "run")
    still = ", still happening" if _is_lasting(first) else ""
    return f"{total}; most often {_cut(first['label'], _TEXT)} ({first['count']}{still})."


def _queue(registry: Data) -> list[Item]:
    return [
        Item(
            (
                Strong(step["action"]),
                f" ({step['priority']}), ",
                *_run(step["run"]),
                ": ",
                _why(step),
            ),
            step["command"],
        )
        for step in (registry.get("queue") or ())[:_QUEUE]
    ]


def _board(registry: Data) -> Part:
    champion = registry.get("champion")
    rows = [] if champion is None else [_contender("champion", champion, "")]
    for i, contender in enumerate(registry.get("challengers") or (), 1):
        versus = contender.get("versus")
        rows.append(_contender(str(i), contender, f"{versus['p_better']:.2f}" if versus else ""))
    header = ["", "run", "name", "value:", "posterior mean:", "90% interval", "runs:", "P(better):"]
    return Part("Champion and challengers", header=header, rows=rows)


def _contender(place: str, contender: Data, p: str) -> list[Words]:
    run = contender["run"]
    numbers = [number(run.get("value")), number(contender["mean"]), _range(contender["interval"])]
    return [(place,), *_named(run), *((text,) for text in (*numbers, str(contender["runs"]), p))]


def _range(interval: Sequence[float]) -> str:
    return f"{number(interval[0])} to {number(interval[1])}"


def _unresolved(registry: Data) -> Part:
    rows = []
    for contender in registry.get("unresolved") or ():
        versus = contender["versus"]
        texts = (
            f"{versus['p_better']:.2f}",
            number(versus["gain"]),
            _range(versus["interval"]),
            number(versus.get("replicates")),
        )
        rows.append([*_named(contender["run"]), *((text,) for text in texts)])
    header = ["run", "name", "P(better):", "gain:", "90% interval", "more runs to tell:"]
    return Part("Unresolved: worth another run", header=header, rows=rows)


def _crashes(clusters: Iterable[Data]) -> Part:
    rows: list[list[Words]] = [
        [
            (_cut(cluster["label"], _TEXT),),
            (str(cluster["count"]),),
            (Code(short(cluster["runs"][0])),),
            (_minute(cluster["last"]),),
            (", ".join(_marks(cluster)),),
        ]
        for cluster in clusters
    ]
    return Part("What broke", header=["what", "runs:", "latest", "when (UTC)", ""], rows=rows)


def _marks(cluster: Data) -> Iterator[str]:
    if cluster.get("out_of_memory"):
        yield "out of memory"
    elif cluster.get("own_fault"):
        yield "fault of the code"
    if _is_lasting(cluster):
        yield "still happening"


def _is_lasting(cluster: Data) -> bool:
    return bool(cluster.get("recent")) and cluster["count"] > 1


def _failed_title(registry: Data) -> str:
    if registry.get("provisional"):
        return "Worse than what they changed, as far as single runs say"
    return "Failed for good"


def _failed(registry: Data) -> list[Item]:
    found = []
    for contender in registry.get("failed") or ():
        run = contender["run"]
        said = _cut(run.get("description") or run.get("name", ""), _TEXT)
        found.append(Item((Code(short(run["run"])), f" {said}: {number(contender['mean'])}")))
    return found


def _lineages(registry: Data) -> list[Item]:
    found = []
    for line in registry.get("lineages") or ():
        path = list(line.get("path") or ())
        pieces = ["… → "] if len(path) > _STEPS else []
        for i, run in enumerate(path[-_STEPS:]):
            pieces += [" → "] if i else []
            pieces += [Code(short(run["run"])), f" {number(run.get('value'))}"]
        found.append(Item((f"{_counted(line['size'], 'configuration')}: ", *pieces)))
    return found


def _stale(registry: Data) -> list[Item]:
    return [
        Item((*_run(step["run"]), f": {step['action']}, but {step['stale']}."), step["command"])
        for step in registry.get("stale") or ()
    ]


def _spend(spend: Data) -> Part:
    has_tokens = spend.get("tokens") is not None
    if not has_tokens and not spend.get("seconds"):
        return Part("Spend")
    rows: list[list[Words]] = []
    for kind, key in (("day (UTC)", "days"), ("family", "families"), ("status", "outcomes")):
        for i, share in enumerate(spend.get(key) or ()):
            name = "" if i else kind
            texts = [name, _cut(share["name"], _NAME), str(share["runs"])]
            texts.append(duration(share["seconds"]))
            if has_tokens:
                texts.append("" if share.get("tokens") is None else f"{share['tokens']:,.0f}")
            rows.append([(text,) for text in texts])
    header = ["by", "", "runs:", "wall time:", *(["tokens:"] if has_tokens else [])]
    return Part("Spend", header=header, rows=rows)


def _recent(runs: Iterable[Data]) -> Part:
    rows = []
    for run in runs:
        texts = (
            _minute(run.get("started", "")),
            run.get("verdict") or run.get("status", ""),
            number(run.get("value")),
            _cut(run.get("description") or "", _TEXT),
        )
        rows.append([*_named(run), *((text,) for text in texts)])
    header = ["run", "name", "started (UTC)", "outcome", "value:", "what"]
    return Part("Latest runs", header=header, rows=rows)


def _named(run: Data) -> list[Words]:
    return [(Code(short(run["run"])),), (_cut(run.get("name", ""), _NAME),)]


def _run(run: Data) -> Words:
    return (Code(short(run["run"])), f" {_cut(run.get('name', ''), _NAME)}")


def _minute(stamp: str) -> str:
    return stamp[:16].replace("T", " ")


def duration(seconds: float) -> str:
    """Return a duration, from an hour on in hours, so that sums can be compared; empty for none."""
    if seconds <= 0:
        return ""
    return f"{seconds / _HOUR:,.1f} h" if seconds >= _HOUR else span(seconds)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _cut(text: str, width: int) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= width else f"{line[: width - 1]}…"
