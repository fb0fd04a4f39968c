"""Decision packets for people: what was concluded from one run, and what to type next.

A packet is the plain form of `gitexp.records.decision.DecisionFact` (docs/format.md), as it
stands in a run's document under ``decision``. It may have been written by anybody, so its texts
are made safe, and only ids of runs get into a command.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gitexp.document import Document
from gitexp.render.markdown import code, escaped, table
from gitexp.render.text import number, safe, short

Packet = Mapping[str, Any]

_RUN_ID = re.compile(r"[0-9a-f]{40}")
_MEASURING = 3
"""Replicates that a first look at the noise takes."""
_MOST = 20
"""Replicates that are proposed at once."""
_EVIDENCE = 5
_TEXT = 400
"""Characters of a text that are shown."""


def next_command(run_id: str, decision: Packet) -> str:
    """Return the command to type for the action of a decision; empty where there is none."""
    comparison = decision.get("comparison") or {}
    champion = _run_id(comparison.get("champion")) or run_id
    action = decision.get("action")
    if action in ("replicate", "replicate_champion", "measure_noise"):
        of = run_id if action == "replicate" else champion
        count = comparison.get("replicates") or (_MEASURING if action == "measure_noise" else 1)
        return f"git exp replicate {short(of)} -n {min(int(count), _MOST)}"
    if action == "retest_on_new_base":
        base = _run_id(decision.get("base"))
        old = short(base) if base else f"{short(run_id)}^"
        change = f"git diff {old} {short(run_id)} | git apply --3way"
        return f"git exp checkout {short(champion)} && {change}"
    pattern = _COMMANDS.get(str(action))
    return pattern.format(run=short(run_id), champion=short(champion)) if pattern else ""


_COMMANDS = {
    "promote": "git exp verdict {run} keep",
    "retry": "git exp replicate {run} -n 1",
    "branch_followup": "git exp checkout {run}",
    "abandon": "git exp checkout {champion}",
    "fix_and_retry": "git exp checkout {run}",
    "investigate_crash": "git exp show {run}",
}


def packet_rows(run_id: str, decision: Packet) -> list[tuple[str, str]]:
    """Return label and text of what a decision says, the weightiest first; not yet safe.

    Args:
        run_id: Of the run.
        decision: About it.
    """
    action = f"{decision['action']} ({decision['priority']} priority)"
    provisional = "noise is unmeasured: one run decides nothing for good"
    rows = [
        ("action", action),
        ("because", _cut(decision.get("summary"))),
        ("next", _cut(decision.get("next_action"))),
        ("command", next_command(run_id, decision)),
        ("better", better(decision)),
        ("provisional", provisional if decision.get("provisional") else ""),
        ("hypothesis", str(decision.get("hypothesis_status", "")).replace("_", " ")),
        ("crash", _cut(decision.get("signature"))),
    ]
    return [(label, text) for label, text in rows if text]


def better(decision: Packet) -> str:
    """Return in words what the comparison with the champion says; empty without one."""
    comparison = decision.get("comparison")
    if not comparison:
        return ""
    low, high = comparison["interval"]
    return (
        f"P(better than {shown_run(comparison['champion'])}) = {comparison['p_better']:.2f}, "
        f"gain {number(comparison['gain'])} (90%: {number(low)} to {number(high)})"
    )


def packet_text(document: Document, decision: Packet) -> str:
    """Return a decision for a terminal: a few lines, safe, with a final line end.

    Args:
        document: Of the run.
        decision: In the plain form of `DecisionFact`.
    """
    rows = packet_rows(document["run"], decision)
    width = max(len(label) for label, _ in rows)
    head = f"run {short(document['run'])}  {safe(document.get('name', ''))}"
    lines = [f"{label:<{width}}  {safe(text)}" for label, text in rows]
    return "\n".join([head, *lines]) + "\n"


def packet_markdown(document: Document, decision: Packet) -> str:
    """Return a decision as Markdown that can be skimmed, with a final line end.

    Args:
        document: Of the run.
        decision: In the plain form of `DecisionFact`.
    """
    run = document["run"]
    title = f"# Decision: {escaped(str(decision['action']))}, run {code(short(run))}"
    parts = [
        f"{title} {escaped(document.get('name', ''), 80)}",
        escaped(str(decision.get("summary", "")), _TEXT),
        _next(run, decision),
        _facts(document, decision),
        *_sections(decision),
        _decided(decision),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _decided(decision: Packet) -> str:
    rules = escaped(str(decision.get("rules", "")), 80)
    return f"Decided {escaped(str(decision.get('time', '')))} by {rules}."


def _next(run: str, decision: Packet) -> str:
    said = escaped(str(decision.get("next_action", "")), _TEXT)
    command = next_command(run, decision)
    block = f"\n\n```\n{command}\n```" if command else ""
    return f"**Next** ({decision['priority']} priority): {said}{block}"


def _facts(document: Document, decision: Packet) -> str:
    word = "lower" if decision.get("goal") == "min" else "higher"
    value = decision.get("value")
    lines = [
        ("Metric", f"{escaped(str(decision.get('metric', '')), 80)} ({word} is better)"),
        ("Value", "none" if value is None else number(value)),
        ("Hypothesis", _hypothesis(document, decision)),
        ("Provisional", "yes: noise is unmeasured" if decision.get("provisional") else "no"),
    ]
    return "\n".join(f"- {label}: {text}" for label, text in lines)


def _hypothesis(document: Document, decision: Packet) -> str:
    status = str(decision.get("hypothesis_status", "not_stated")).replace("_", " ")
    text = document.get("hypothesis")
    return f"{escaped(status)}: {escaped(text, _TEXT)}" if text else escaped(status)


def _sections(decision: Packet) -> Iterator[str]:
    rationale = [f"- {escaped(str(line), _TEXT)}" for line in decision.get("rationale") or ()]
    if rationale:
        yield "## Why\n\n" + "\n".join(rationale)
    if decision.get("comparison"):
        yield "## Beside the champion\n\n" + _comparison(decision["comparison"])
    if decision.get("noise"):
        yield "## Noise\n\n" + noise_sentence(decision["noise"])
    if decision.get("novelty"):
        yield "## Novelty\n\n" + _novelty(decision["novelty"])
    if decision.get("signature"):
        yield "## Crash\n\n" + escaped(str(decision["signature"]), _TEXT)


def _comparison(comparison: Packet) -> str:
    low, high = comparison["interval"]
    runs = [
        ("this run", "", comparison["mean"], comparison["runs"]),
        (
            "champion",
            code(shown_run(comparison["champion"])),
            comparison["champion_mean"],
            comparison["champion_runs"],
        ),
    ]
    rows = [(name, run, number(mean), str(count)) for name, run, mean, count in runs]
    lines = [
        f"- Gain {number(comparison['gain'])}, 90% interval {number(low)} to {number(high)}",
        f"- P(better) = {comparison['p_better']:.3f}",
        f"- P(better by {number(comparison['minimum'])}) = {comparison['p_matters']:.3f}",
    ]
    if (needed := comparison.get("replicates")) is not None:
        lines.append(f"- Replicates that would resolve it: {needed}")
    return table(["", "run", "posterior mean:", "runs:"], rows) + "\n\n" + "\n".join(lines)


def noise_sentence(noise: Packet) -> str:
    """Return one sentence on what is known of the noise."""
    if not noise.get("measured"):
        return f"Noise is unmeasured; {number(noise['sd'])} is assumed for the arithmetic."
    degrees = noise.get("degrees", 0.0)
    return (
        f"Replicates differ by a standard deviation of {number(noise['sd'])} "
        f"({number(degrees)} degrees of freedom)."
    )


def _novelty(novelty: Packet) -> str:
    lines = [f"Classified as {escaped(str(novelty.get('classification', '')))}."]
    rows = [
        (
            code(shown_run(item["run"])),
            escaped(str(item["level"])),
            f"{item['score']:.2f}",
            escaped(str(item["why"]), 200),
        )
        for item in list(novelty.get("evidence") or ())[:_EVIDENCE]
    ]
    return "\n\n".join(
        [*lines, table(["run", "level", "likeness:", "why"], rows)] if rows else lines
    )


def _run_id(value: object) -> str | None:
    return value if isinstance(value, str) and _RUN_ID.fullmatch(value) else None


def shown_run(value: object) -> str:
    """Return an id of a run that others may have written, short; a word for what is none."""
    run_id = _run_id(value)
    return short(run_id) if run_id else "(unknown)"


def _cut(text: object) -> str:
    line = " ".join(str(text or "").split())
    return line if len(line) <= _TEXT else f"{line[: _TEXT - 1]}…"
