"""Rows of tables and of JSON lines: column -> value, and what does not fit, with its line.

The header is the first line. A row must have as many fields as it; a header that comes again, and
whatever follows another header, is no row of this table.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from gitexp.errors import GitexpError
from gitexp.interchange.cells import number
from gitexp.interchange.columns import known_name
from gitexp.interchange.importing import row_content
from gitexp.interchange.source import Bad, Line, Text
from gitexp.records.values import MAX_DEPTH

_DELIMITERS = ("\t", ",", ";", "|")
_MAX_JOINED = 1_000
"""Lines that one quoted row may span."""
_WRITTEN_TAB = "\\t"
_MAX_COLUMNS = 2_000
_MAX_ROWS = 250_000


class Row(NamedTuple):
    """A row: its line, column -> value (texts, or JSON's types), what its id is made of."""

    line: int
    values: dict[str, Any]
    content: bytes


@dataclass
class Rows:
    """All rows of a ledger.

    Attributes:
        columns: In the order of the ledger.
        bad: Rows that do not fit.
        notes: Sentences about how it was read.
    """

    columns: list[str]
    rows: list[Row] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Record(NamedTuple):
    line: int
    cells: list[str]
    problem: str


def read_table(text: Text, header: Sequence[str] | None = None) -> Rows:
    """Return the rows of a table whose fields are set apart by tabs, commas, semicolons or bars.

    Args:
        text: Its lines.
        header: Names of the columns, instead of those in its first line.

    Raises:
        GitexpError: It is no table with a header.
    """
    _require_short(text)
    delimiter = _delimiter(text)
    records = list(_records(text.lines, delimiter))
    first = next((record for record in records if not record.problem), None)
    names = [] if first is None else _names(first.cells)
    has_header = _is_header(names)
    if header is None and not has_header:
        line = first.line if first is not None else 1
        raise GitexpError(
            f"Line {line} is no header: a ledger begins with the names of its columns.",
            "Name them with --header A,B,….",
        )
    names = list(header) if header is not None else names
    _require_few(names, "columns")
    table = _Table(_distinct(names))
    table.out.notes += text.notes
    for record in records:
        if not (has_header and record is first):
            table.add(record)
    return table.finish()


def _require_short(text: Text) -> None:
    if len(text.lines) > _MAX_ROWS:
        raise GitexpError(f"The ledger has more than {_MAX_ROWS:,} lines.", "Split it.")


def _require_few(names: Sequence[str], what: str) -> None:
    if len(names) > _MAX_COLUMNS:
        raise GitexpError(f"The ledger has {len(names):,} {what}; the limit is {_MAX_COLUMNS:,}.")


def _delimiter(text: Text) -> str:
    """Return what sets fields apart: what the first line has most of.

    Raises:
        GitexpError: It has none of the known ones.
    """
    first = next((line.text for line in text.lines if line.text.strip()), "")
    best = max(_DELIMITERS, key=first.count)
    if not first.count(best):
        raise GitexpError(
            "It is no table: its first line has neither tabs nor commas.",
            "Name the format with --format if it is none.",
        )
    return best


def _records(lines: Sequence[Line], delimiter: str) -> Iterator[_Record]:
    """Yield the fields of each row; comments, lines of ``#`` and one field, are left out."""
    split = {"\t": _tab_records, "|": _bar_records}.get(delimiter, _quoted_records)
    for record in split(lines, delimiter):
        if not (len(record.cells) == 1 and record.cells[0].lstrip().startswith("#")):
            yield record


def _tab_records(lines: Sequence[Line], delimiter: str) -> Iterator[_Record]:
    """Yield rows with tabs: a quotation mark means something around a whole field only."""
    for line in lines:
        cells = [] if line.problem else [_unquoted(c) for c in line.text.split(delimiter)]
        if line.problem or line.text.strip():
            yield _Record(line.number, cells, line.problem)


def _bar_records(lines: Sequence[Line], delimiter: str) -> Iterator[_Record]:
    """Yield rows of a Markdown table, the line below its header left out, or of its like."""
    for line in lines:
        cells = line.text.strip().removeprefix(delimiter).removesuffix(delimiter).split(delimiter)
        if line.problem:
            yield _Record(line.number, [], line.problem)
        elif line.text.strip() and not all(map(_RULE.fullmatch, cells)):
            yield _Record(line.number, [cell.strip() for cell in cells], "")


_RULE = re.compile(r"\s*:?-+:?\s*")


def _unquoted(cell: str) -> str:
    inner = cell[1:-1]
    if len(cell) > 1 and cell[0] == cell[-1] == '"' and '"' not in inner.replace('""', ""):
        return inner.replace('""', '"')
    return cell


def _quoted_records(lines: Sequence[Line], delimiter: str) -> Iterator[_Record]:
    """Yield rows as RFC 4180 has them; one that cannot be read costs its first line only."""
    i = 0
    while i < len(lines):
        feed = _Feed(lines, i)
        problem, cells = lines[i].problem, []
        if not problem:
            try:
                cells = next(csv.reader(feed, delimiter=delimiter, strict=True))
            except csv.Error as error:
                feed.used, problem = 1, f"cannot be read: {error}"
        if problem or cells:
            yield _Record(lines[i].number, cells, problem)
        i += max(feed.used, 1)


class _Feed:
    """The lines from one on, as far as a quoted row may reach; counts how many were taken."""

    def __init__(self, lines: Sequence[Line], start: int) -> None:
        self.used = 0
        self._lines, self._start = lines, start

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        at = self._start + self.used
        if self.used == _MAX_JOINED or at == len(self._lines) or self._lines[at].problem:
            raise StopIteration
        self.used += 1
        return self._lines[at].text + "\n"


def _names(cells: Sequence[str]) -> list[str]:
    return [re.sub(r"\s+", " ", cell).strip().lstrip("#").strip() for cell in cells]


def _is_header(names: Sequence[str]) -> bool:
    """Say whether texts can be names of columns: they are some, and no numbers."""
    filled = [name for name in names if name]
    return len(filled) > 1 and all(number(name) is None for name in filled)


def _distinct(names: list[str]) -> list[str]:
    """Return names that are not empty, each once."""
    distinct: list[str] = []
    for i, name in enumerate(names, 1):
        unique, n = name or f"column_{i}", 1
        while unique in distinct:
            n += 1
            unique = f"{name or f'column_{i}'}_{n}"
        distinct.append(unique)
    return distinct


class _Table:
    """Takes records, and tells rows from what only stands among them."""

    def __init__(self, columns: list[str]) -> None:
        self.out = Rows(columns)
        self._other_header = 0
        self._written_tabs = 0

    def add(self, record: _Record) -> None:
        """Take the next record."""
        problem = record.problem or self._header_problem(record)
        cells = record.cells
        if not problem:
            cells = self._fitted(cells)
            problem = self._misfit(cells)
        if problem:
            self.out.bad.append(Bad("", record.line, problem))
            return
        values = {n: c.strip() for n, c in zip(self.out.columns, cells, strict=True)}
        self.out.rows.append(Row(record.line, values, row_content(values)))

    def _header_problem(self, record: _Record) -> str:
        """Return why a record is no row as far as headers go; a new one is remembered."""
        names = _names(record.cells)
        if names == self.out.columns:
            self._other_header = 0
            return "is the header again"
        like = sum(known_name(name) or name in self.out.columns for name in names)
        if _is_header(names) and like >= 2 and like * 2 >= len(names):  # noqa: PLR2004
            self._other_header = record.line
            return f"is another header: {', '.join(names)[:200]}"
        if self._other_header:
            return f"belongs to the header in line {self._other_header}"
        return ""

    def _fitted(self, cells: list[str]) -> list[str]:
        """Return cells without empty ones too many; tabs may be written as backslash and t."""
        count = len(self.out.columns)
        if len(cells) == 1 and cells[0].count(_WRITTEN_TAB) == count - 1:
            self._written_tabs += 1
            return cells[0].split(_WRITTEN_TAB)
        while len(cells) > count and not cells[-1].strip():
            cells = cells[:-1]
        return cells

    def _misfit(self, cells: list[str]) -> str:
        count = len(self.out.columns)
        if len(cells) == count:
            return ""
        return f"has {len(cells)} field{'s' * (len(cells) != 1)}, the header {count}"

    def finish(self) -> Rows:
        """Return all rows."""
        if self._written_tabs:
            self.out.notes.append(
                f"{self._written_tabs} rows have their tabs written as \\t; they were read as tabs."
            )
        return self.out


def read_json_lines(text: Text) -> Rows:
    """Return the rows of JSON lines, nested objects taken apart: ``{"a": {"b": 1}}`` has ``a.b``.

    Their columns are in the order in which they first come.
    """
    _require_short(text)
    out = Rows([], notes=list(text.notes))
    columns: dict[str, None] = {}
    for line in text.lines:
        if not (line.text.strip() or line.problem):
            continue
        value, problem = (None, line.problem) if line.problem else decode_object(line.text)
        if value is None:
            out.bad.append(Bad("", line.number, problem))
            continue
        values = dict(_leaves(value))
        columns |= dict.fromkeys(values)
        out.rows.append(Row(line.number, values, canonical(value)))
    out.columns = list(columns)
    _require_few(out.columns, "different keys")
    return out


def decode_object(text: str) -> tuple[dict[str, Any] | None, str]:
    """Return the JSON object on a line; None with the end of a sentence that says why not."""
    try:
        value = msgspec.json.decode(_with_numbers(text))
    except RecursionError:
        return None, "is nested too deep"
    except (msgspec.DecodeError, ValueError) as error:
        return None, f"is not JSON: {error}"
    if not isinstance(value, dict):
        return None, "is JSON, but no object"
    if text.count("{") + text.count("[") > MAX_DEPTH and _depth(value) > MAX_DEPTH:
        return None, "is nested too deep"
    return value, ""


_BARE = re.compile(r'("(?:[^"\\]|\\.?)*+(?:"|\Z))|(-?\b(?:NaN|Infinity)\b)', re.DOTALL)
"""A JSON string, or a bare word; a string that does not end is one too, or it would take square
time to find that out."""


def _with_numbers(text: str) -> str:
    """Return JSON with the bare NaN and Infinity of Python's encoder as texts."""
    if "NaN" not in text and "Infinity" not in text:
        return text
    return _BARE.sub(lambda m: m[1] or f'"{m[2]}"', text)


def _depth(value: Any) -> int:
    """Return how deeply a decoded value is nested, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [v for v in level if isinstance(v, dict | list)]
        level = [x for v in inner for x in (v.values() if isinstance(v, dict) else v)]
    return depth


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        path = f"{prefix}{key}"
        if isinstance(item, dict):
            yield from _leaves(item, f"{path}.")
        else:
            yield path, item


def canonical(value: Any) -> bytes:
    """Return JSON in one form, whatever the order of keys."""
    return msgspec.json.encode(value, order="sorted")
