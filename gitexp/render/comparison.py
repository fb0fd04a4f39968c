"""Runs side by side as a table: one column a run where they fit, else one row a run.

A comparison becomes lines first, each a thing with its text for every run, in the order of the
sections. Two texts of a line are never alike when the values are not. The layouts then take
lines as columns of text and nothing else.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Collection, Iterator, Sequence
from itertools import groupby, zip_longest
from typing import Any, NamedTuple

from gitexp.compare import Code, Compared, ComparedMetric, Comparison, Gap, NamedRun, same
from gitexp.records.nested import number_from_json
from gitexp.render.table import cut, display_width, is_number, pad
from gitexp.render.text import cell, exact, safe, short

Show = Callable[[Any], str]

_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_DIGITS = 10
"""Of a digest, or of a commit that is no run."""


class Style(NamedTuple):
    """How values are written.

    Attributes:
        value: Any value.
        seconds: A duration.
        digest: Of an input, or the id of a commit.
        brief: What says the same twice is left out.
    """

    value: Show
    seconds: Show
    digest: Show
    brief: bool


class Line(NamedTuple):
    """A thing that is compared.

    Attributes:
        section: Title of the part of the comparison.
        name: Says what it is without the section.
        label: Says what it is within the section.
        texts: For each run, safe for a terminal; empty where a run does not have it.
        differs: The runs are not all the same in it.
        best: Places of the best values, where some are better than others.
    """

    section: str
    name: str
    label: str
    texts: list[str]
    differs: bool
    best: frozenset[int] = frozenset()


def elapsed(seconds: float) -> str:
    """Return a duration in its two largest units: ``1.5s``, ``3m 05s``, ``2h 10m``, ``1d 04h``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f}ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < _HOUR:
        return f"{whole // _MINUTE}m {whole % _MINUTE:02}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h {whole % _HOUR // _MINUTE:02}m"
    return f"{whole // _DAY}d {whole % _DAY // _HOUR:02}h"


def _digest(text: str) -> str:
    return safe(text[:_DIGITS])


PEOPLE = Style(cell, elapsed, _digest, brief=True)
PROGRAMS = Style(exact, exact, exact, brief=False)


def lines_of(comparison: Comparison, style: Style) -> list[Line]:
    """Return a comparison as lines, in the order of its sections."""
    around = comparison.environment
    value, digest = style.value, style.digest
    lines = [
        *_section("outcome", comparison.outcome, value, {"duration": style.seconds, "tags": _tags}),
        *_section("command", comparison.command, value, {"command": _command}),
        *_section("parameters", comparison.parameters, value, prefix="params."),
        *_section("metadata", comparison.metadata, value, prefix="metadata."),
    ]
    for item in comparison.inputs:
        label = safe(item.name)
        lines.append(_line("inputs", f"inputs.{label}", label, item.values, digest))
    for metric in comparison.metrics:
        lines += _metric_lines(metric, style)
    lines += _section("environment", around.system if around else (), value)
    for item in around.packages if around else ():
        label = safe(item.name)
        lines.append(_line("packages", f"packages.{label}", label, item.values, value))
    code = _code_for_people if style.brief else _code_for_programs
    return [*lines, *code(comparison.code, style)] if comparison.code else lines


def _section(
    title: str,
    items: Sequence[Compared],
    show: Show,
    own: dict[str, Show] | None = None,
    prefix: str = "",
) -> Iterator[Line]:
    for item in items:
        name = safe(item.name)
        show_item = (own or {}).get(item.name, show)
        yield _line(title, name, name.removeprefix(prefix), item.values, show_item)


def _line(section: str, name: str, label: str, values: Sequence[Any], show: Show) -> Line:
    differs = Compared(name, tuple(values)).differs
    return Line(section, name, label, _texts(values, show), differs)


def _tags(tags: Sequence[str]) -> str:
    return safe(", ".join(tags))


def _command(words: Sequence[str]) -> str:
    return safe(shlex.join(words))


def _texts(values: Sequence[Any], show: Show) -> list[str]:
    """Return a text for each value; all in full where two would be alike that are not the same."""
    texts = [_text(value, show) for value in values]
    met: dict[str, Any] = {}
    for text, value in zip(texts, values, strict=True):
        if not same(met.setdefault(text, value), value):
            return [_text(value, _in_full) for value in values]
    return texts


def _text(value: Any, show: Show) -> str:
    if isinstance(value, Gap):
        return "" if value is Gap.LACKING else "?"
    return "None" if value is None else show(value)


def _in_full(value: Any) -> str:
    return safe(repr(value)) if isinstance(value, str) else exact(value)


def _metric_lines(metric: ComparedMetric, style: Style) -> Iterator[Line]:
    """Yield the best value, the step of it, and the last value where that is not the best."""
    show, name = style.value, safe(metric.name)
    best = [_known(reached and reached.best) for reached in metric.values]
    steps = [_known(reached and reached.step) for reached in metric.values]
    last = [_known(reached and number_from_json(reached.last)) for reached in metric.values]
    best_name, last_name = f"{metric.goal}({name})", f"last({name})"
    line = _line("metrics", best_name, best_name, best, show)
    yield line._replace(best=_best(best, metric.goal))
    yield _line("metrics", f"step of {best_name}", "at step", steps, show)
    if not style.brief or not all(map(same, best, last)):
        line = _line("metrics", last_name, last_name, last, show)
        yield line._replace(best=_best(last, metric.goal))


def _known(value: Any) -> Any:
    return Gap.LACKING if value is None else value


def _best(values: Sequence[Any], goal: str) -> frozenset[int]:
    """Return the places of the best values; none where no value is better than another."""
    finite = {
        i: value
        for i, value in enumerate(values)
        if isinstance(value, int | float) and abs(value) < float("inf")
    }
    if len(set(finite.values())) <= 1:
        return frozenset()
    top = (min if goal == "min" else max)(finite.values())
    return frozenset(i for i, value in finite.items() if value == top)


def _code_for_programs(code: Sequence[Code], style: Style) -> Iterator[Line]:
    for name in ("commit", "dirty", "tree", "same", "files", "added", "deleted"):
        values = [_known(getattr(each, name)) for each in code]
        yield _line("code", name, name, values, style.value)


def _code_for_people(code: Sequence[Code], style: Style) -> Iterator[Line]:
    yield _line("code", "commit", "commit", [_known(c.commit) for c in code], style.digest)
    yield _line("code", "dirty", "dirty", [_known(c.dirty) for c in code], style.value)
    words = [_relation(each, is_first=i == 0) for i, each in enumerate(code)]
    # A base and runs of the same code are one and the same.
    differs = not all(each.same for each in code)
    files = [word or str(each.files) for word, each in zip(words, code, strict=True)]
    lines = [
        "" if word else f"+{each.added} -{each.deleted}"
        for word, each in zip(words, code, strict=True)
    ]
    yield Line("code", "changed files", "changed files", files, differs)
    yield Line("code", "changed lines", "changed lines", lines, differs and any(lines))


def _relation(code: Code, *, is_first: bool) -> str:
    """Return in a word how code relates to that of the first run; nothing where numbers say it."""
    if code.tree is None:
        return "not here"
    if is_first:
        return "base"
    if code.same:
        return "same"
    return "?" if code.files is None else ""


def as_table(
    runs: Sequence[NamedRun], lines: Sequence[Line], *, by_run: bool
) -> tuple[list[str], list[list[str]]]:
    """Return the header and the rows of a table that nothing is cut from.

    Args:
        runs: In the order of the lines' texts.
        lines: What to show of them.
        by_run: One row a run, not one row a line.
    """
    ids, names = [short(run.run) for run in runs], [safe(run.name) for run in runs]
    if not by_run:
        rows = [[line.section, line.name, *line.texts] for line in lines]
        return ["section", "name", *ids], [["run", "name", *names], *rows]
    columns = zip(*(line.texts for line in lines), strict=True) if lines else [()] * len(runs)
    header = ["run", "name", *(line.name for line in lines)]
    return header, [[*row[:2], *row[2]] for row in zip(ids, names, columns, strict=True)]


_GAP = "  "
_ID = 12
_FOLDS = 3
"""Lines that a long cell may take where a run is a column."""

_BREAK = r"[ ,/=_]|(?<=\w)-"
_LAST_WORD = r"[\w.-]{0,12}$"
"""What is kept of the beginning that long cells have in common."""

_LEVELS = ((24, 48), (20, 32), (16, 24), (12, 20), (12, 16), (9, 14), (7, 12), (7, 10))
"""How wide the name of a run, and a cell, may be. The first that fits the terminal is taken."""

_ROW_NAME, _ROW_CELL = 28, 24
_ALWAYS_COLUMNS = 2
"""So few runs stand side by side on any terminal, however much is cut."""


def draw(
    runs: Sequence[NamedRun],
    lines: Sequence[Line],
    *,
    width: int,
    color: bool,
    by_run: bool = False,
) -> str:
    """Return the runs side by side for people.

    Args:
        runs: In the order of the lines' texts.
        lines: What to show of them.
        width: Of the terminal, in columns.
        color: Print headings and best values bold; without it a star marks the best.
        by_run: One row a run, even where they would fit side by side.
    """
    if not color:
        lines = [_starred(line) for line in lines]
    labels = [f"  {_tail(line.label, max(_ID, width * 2 // 5))}" for line in lines]
    longest = max(map(display_width, labels), default=0)
    widths = None if by_run else _run_widths(runs, lines, width - longest)
    if widths is None:
        drawn = _one_row_a_run(runs, lines, width, color=color)
    else:
        drawn = _one_column_a_run(runs, lines, labels, [longest, *widths], color=color)
    return "".join(f"{line.rstrip()}\n" for line in drawn)


def _starred(line: Line) -> Line:
    """Return a line with its best values marked, and room for the mark after the others."""
    if not line.best:
        return line
    texts = [t and t + (" *"[i in line.best]) for i, t in enumerate(line.texts)]
    return line._replace(texts=texts, best=frozenset())


def _run_widths(runs: Sequence[NamedRun], lines: Sequence[Line], space: int) -> list[int] | None:
    """Return the width of each run's column; None where they do not fit side by side."""
    needed = [
        max((display_width(line.texts[i]) for line in lines), default=0) for i in range(len(runs))
    ]
    names = [max(display_width(safe(run.name)), _ID) for run in runs]
    for head, most in _LEVELS:
        widths = [
            max(min(need, most), min(name, head)) for need, name in zip(needed, names, strict=True)
        ]
        if sum(widths) + len(_GAP) * len(runs) <= space:
            return widths
    if len(runs) > _ALWAYS_COLUMNS:
        return None
    return [max(space // len(runs) - len(_GAP), 1)] * len(runs)


def _one_column_a_run(
    runs: Sequence[NamedRun],
    lines: Sequence[Line],
    labels: Sequence[str],
    widths: Sequence[int],
    *,
    color: bool,
) -> Iterator[str]:
    """Yield the lines of a table.

    Args:
        runs: What the columns are.
        lines: What the rows are.
        labels: Of the rows.
        widths: Of the labels and of each run's column.
        color: Print bold what is.
    """
    ids = ["", *(run.run[: min(_ID, width)] for run, width in zip(runs, widths[1:], strict=True))]
    names = ["", *(safe(run.name) for run in runs)]
    for text in (_joined(ids, widths), *_folded(names, widths)):
        yield _bold(text, when=color)
    section = ""
    for label, line in zip(labels, lines, strict=True):
        if line.section != section:
            section = line.section
            yield ""
            yield _bold(section, when=color)
        yield from _folded([label, *line.texts], widths, {i + 1 for i in line.best})


def _folded(
    cells: Sequence[str], widths: Sequence[int], bold: Collection[int] = ()
) -> Iterator[str]:
    """Yield a row of a table, in several lines where cells are too long for one."""
    head, *texts = cells
    telling = [head, *_without_beginning(texts, widths[1:])]
    parts = [_fold(text, width) for text, width in zip(telling, widths, strict=True)]
    for line in zip_longest(*parts, fillvalue=""):
        yield _joined(line, widths, bold=bold)


def _fold(text: str, width: int) -> list[str]:
    """Return a text in lines of that width, broken between words where they are not too short."""
    lines: list[str] = []
    while display_width(text) > width and len(lines) < _FOLDS - 1:
        end = next(i for i in range(len(text), 0, -1) if display_width(text[:i]) <= width or i == 1)
        word = max((match.end() for match in re.finditer(_BREAK, text[:end])), default=0)
        end = word if word > width // 2 else end
        lines.append(text[:end])
        text = text[end:].lstrip()
    return [*lines, cut(text, width)]


class _Column(NamedTuple):
    """A column of a table with one row a run."""

    section: str
    header: str
    texts: Sequence[str]
    width: int
    right: bool
    best: frozenset[int]


def _one_row_a_run(
    runs: Sequence[NamedRun], lines: Sequence[Line], width: int, *, color: bool
) -> Iterator[str]:
    """Yield the lines of a table, or of several below each other where one is too wide."""
    left = [
        _Column("", "run", [short(run.run) for run in runs], _ID, False, frozenset()),
        _column(Line("", "name", "name", [safe(run.name) for run in runs], True), _ROW_NAME),
    ]
    columns = [
        column._replace(width=max(column.width, display_width(section) * (place == 0)))
        for section, found in groupby(lines, lambda line: line.section)
        for place, column in enumerate(_column(line, _ROW_CELL) for line in found)
    ]
    for number, block in enumerate(_blocks(columns, width - _span(left) - len(_GAP))):
        if number:
            yield ""
        yield from _block([*left, *block], len(runs), color=color)


def _column(line: Line, most: int) -> _Column:
    telling = _without_beginning(line.texts, [most] * len(line.texts))
    texts = [cut(text, most) for text in telling]
    header = _tail(line.label, most)
    known = [text.rstrip("* ") for text in texts if text]
    return _Column(
        line.section,
        header,
        texts,
        max(map(display_width, (header, *texts))),
        bool(known) and all(map(is_number, known)),
        line.best,
    )


def _span(columns: Sequence[_Column]) -> int:
    return sum(column.width for column in columns) + len(_GAP) * (len(columns) - 1)


def _blocks(columns: Sequence[_Column], space: int) -> Iterator[list[_Column]]:
    """Yield the columns in parts that fit the space; one part without columns if there are none."""
    block: list[_Column] = []
    for column in columns:
        if block and _span([*block, column]) > space:
            yield block
            block = []
        block.append(column)
    yield block


def _block(columns: Sequence[_Column], count: int, *, color: bool) -> Iterator[str]:
    widths, right = [c.width for c in columns], [c.right for c in columns]
    groups = [(section, list(found)) for section, found in groupby(columns, lambda c: c.section)]
    if len(groups) > 1:
        spans = [_span(found) for _, found in groups]
        titles = [cut(title, span) for (title, _), span in zip(groups, spans, strict=True)]
        yield _bold(_joined(titles, spans), when=color)
    yield _bold(_joined([c.header for c in columns], widths, right), when=color)
    for i in range(count):
        best = {at for at, column in enumerate(columns) if i in column.best}
        yield _joined([c.texts[i] for c in columns], widths, right, best)


def _joined(
    cells: Sequence[str],
    widths: Sequence[int],
    right: Sequence[bool] = (),
    bold: Collection[int] = (),
) -> str:
    padded = [
        pad(text, width, right=bool(right) and right[i])
        for i, (text, width) in enumerate(zip(cells, widths, strict=True))
    ]
    return _GAP.join(_bold(text, when=i in bold) for i, text in enumerate(padded))


def _bold(text: str, *, when: bool) -> str:
    return (
        f"\x1b[1m{text.rstrip()}\x1b[0m{' ' * (len(text) - len(text.rstrip()))}" if when else text
    )


def _without_beginning(texts: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return texts without the words that all begin with, where some do not fit their columns."""
    fit = all(display_width(text) <= width for text, width in zip(texts, widths, strict=True))
    known = {text for text in texts if text}
    common = os.path.commonprefix(list(known))  # noqa: RUF071 - characters are meant
    word = re.search(_LAST_WORD, common)
    if fit or len(known) <= 1 or word is None or word.start() <= 1:
        return list(texts)
    return [text and "…" + text[word.start() :] for text in texts]


def _tail(text: str, width: int) -> str:
    """Return a text that is at most so wide, without its beginning where it is too long."""
    return text if display_width(text) <= width else "…" + cut(text[::-1], width)[-2::-1]


def same_in_all(whole: Comparison) -> str:
    """Return in words how much is the same in all runs; nothing where nothing is."""
    few = whole.differing()
    counts = {
        name: len(getattr(whole, name)) - len(getattr(few, name))
        for name in ("parameters", "metadata", "inputs", "metrics")
    }
    if whole.environment and few.environment:
        counts["packages"] = len(whole.environment.packages) - len(few.environment.packages)
    parts = [
        f"{count} {name.removesuffix('s') if count == 1 else name}"
        for name, count in counts.items()
        if count
    ]
    return f"The same in all: {', '.join(parts)}; --all shows them." if parts else ""
