"""The metric log: everything a run tracked, as columnar JSON lines (docs/format.md, "Series").

Calls of one shape (the same key paths in the same order) share a line: their numbers, steps and
times once, and one column of values for each key. Integers that count up evenly are packed as
arithmetic runs ``first, delta, count``, times as differences in milliseconds, repeated notes by
their count: what is regular costs next to nothing. A long column of floats with many digits is
kept as its bytes: 10,000 random doubles cost 7.0 bytes each in a git pack so, 8.8 as decimal
text, and they are read ten times as fast. Each line stands on its own: a set of lines in any
order gives back exactly what was tracked, in order.
"""

from __future__ import annotations

import array
import base64
import itertools
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec
import xxhash

from gitexp.errors import ValueRejectedError
from gitexp.records.facts import DECODE_ERRORS, BadLineError, Summary
from gitexp.records.nested import clean_text, number_to_json, restore_numbers
from gitexp.records.schema import SCHEMA, current_schema
from gitexp.records.values import plain

CHUNK_CALLS = 1 << 16
"""A line covers at most so many calls: bounded memory to write, a bounded unit to read."""

MAX_SERIES_LINE_BYTES = 1 << 30
"""A chunk of 65,536 calls with a kilobyte each still fits 16 times over."""

MAX_LINE_VALUES = 1 << 27
"""What one line may come to, unpacked as whole calls: a few bytes can stand for many integers."""

_PACKED_FROM = 64
"""Shorter columns stay readable as they are."""
_DIGITS_PACKED = 12
"""Bytes of decimal text per float, comma included, above which a column is kept as bytes: a
double takes 10.7 characters in base64, about 7 bytes after zlib."""

_PLAIN_LEAVES = frozenset({float, int, bool, str, type(None)})

KeyPath = tuple[str, ...]


class Call(NamedTuple):
    """One call of ``track``.

    Attributes:
        number: Position in the run, from 0.
        time_ms: Milliseconds since 1970, UTC.
        step: The explicit step, or the call's number.
        value: What was tracked.
    """

    number: int
    time_ms: int
    step: int
    value: Any
    note: str | None


class Point(NamedTuple):
    """One value of one metric."""

    step: int
    time_ms: int
    value: float


class PackedColumn(msgspec.Struct, frozen=True, omit_defaults=True):
    """A column in a smaller form; exactly one attribute is set.

    Attributes:
        runs: Integers, as arithmetic runs.
        float64: Floats: their IEEE 754 bytes, little-endian, first the lowest byte of each,
            then the next of each, and so on (alike bytes side by side compress better), in
            base64.
    """

    runs: list[int] | None = None
    float64: str | None = None


class SeriesLine(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="series", kw_only=True
):
    """Calls of one shape. All sequences describe the same n calls, in order.

    Attributes:
        calls: Their numbers, as arithmetic runs (a flat list of triples).
        steps: Their steps, likewise.
        times: Milliseconds since 1970 of the first, then the difference to the one before.
        notes: Pairs of a note (or null) and for how many calls in a row it holds.
        keys: Key path of each column; ``[]`` for a value that is no dict.
        columns: For each key its n values, plain or packed.
    """

    schema: int = msgspec.field(default_factory=current_schema)
    calls: list[int]
    steps: list[int]
    times: list[int]
    notes: list[tuple[str | None, int]] = []
    keys: list[list[str]]
    columns: list[list[Any] | PackedColumn]


class UnreadSeriesLine(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="series", kw_only=True
):
    """A `SeriesLine` whose columns are still JSON: who wants one of them decodes one."""

    schema: int = msgspec.field(default_factory=current_schema)
    calls: list[int]
    steps: list[int]
    times: list[int]
    notes: list[tuple[str | None, int]] = []
    keys: list[list[str]]
    columns: list[msgspec.Raw]


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(SeriesLine)
_unread_decoder = msgspec.json.Decoder(UnreadSeriesLine)
_Line = TypeVar("_Line", SeriesLine, UnreadSeriesLine)


def pack_runs(numbers: Sequence[int]) -> list[int]:
    """Return integers as a flat list of arithmetic runs: first, delta, count, and again."""
    packed: list[int] = []
    i, n = 0, len(numbers)
    while i < n:
        first = numbers[i]
        delta = numbers[i + 1] - first if i + 1 < n else 0
        expected, j = first + delta, i + 1
        while j < n and numbers[j] == expected:
            expected += delta
            j += 1
        packed += (first, delta, j - i)
        i = j
    return packed


def unpack_runs(packed: Sequence[int], count: int) -> list[int]:
    """Return the ``count`` integers of `pack_runs`.

    Raises:
        BadLineError: The runs do not describe exactly so many.
    """
    if len(packed) % 3 or sum(packed[2::3]) != count or min(packed[2::3], default=1) < 1:
        raise BadLineError("arithmetic runs do not describe as many numbers as there are times")
    runs = zip(packed[0::3], packed[1::3], packed[2::3], strict=True)
    return [first + delta * i for first, delta, n in runs for i in range(n)]


class _Shape:
    """Calls of one shape that wait to be written."""

    def __init__(self, keys: tuple[KeyPath, ...]) -> None:
        self.keys = keys
        self.numbers: list[int] = []
        self.steps: list[int] = []
        self.times: list[int] = []
        self.notes: list[str | None] = []
        self.columns: list[list[Any]] = [[] for _ in keys]

    def line(self) -> bytes:
        times = [b - a for a, b in itertools.pairwise(self.times)]
        notes = [(note, len(list(group))) for note, group in itertools.groupby(self.notes)]
        return _encoder.encode(
            SeriesLine(
                calls=pack_runs(self.numbers),
                steps=pack_runs(self.steps),
                times=[self.times[0], *times],
                notes=[] if notes == [(None, len(self.times))] else notes,
                keys=[list(key) for key in self.keys],
                columns=[_stored_column(column) for column in self.columns],
            )
        )


def _stored_column(column: list[Any]) -> list[Any] | PackedColumn:
    """Return a column in the form in which it is stored: plain, or packed where that is smaller."""
    kinds = set(map(type, column))
    if kinds == {int}:
        runs = pack_runs(column)
        return PackedColumn(runs=runs) if len(runs) < len(column) else column
    plain_column = _json_column(column, kinds)
    if kinds != {float} or len(column) < _PACKED_FROM:
        return plain_column
    if len(_encoder.encode(plain_column)) <= _DIGITS_PACKED * len(column):
        return plain_column
    return PackedColumn(float64=_pack_floats(column))


def _pack_floats(column: list[float]) -> str:
    raw = array.array("d", column)
    if sys.byteorder == "big":
        raw.byteswap()
    data = raw.tobytes()
    return base64.b64encode(b"".join(data[i::8] for i in range(8))).decode("ascii")


def unpack_floats(text: str) -> array.array[float]:
    """Return the doubles of a column's ``float64``.

    Raises:
        BadLineError: It is not base64 of whole numbers.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise BadLineError(f"a packed column cannot be read: {error}") from None
    count = len(data) // 8
    if len(data) != 8 * count:
        raise BadLineError("a packed column has a part of a number")
    spread = bytearray(len(data))
    for i in range(8):
        spread[i::8] = data[i * count : (i + 1) * count]
    values = array.array("d", bytes(spread))
    if sys.byteorder == "big":
        values.byteswap()
    return values


def _values(column: list[Any] | PackedColumn, count: int) -> list[Any]:
    """Return the n values of a stored column.

    Raises:
        BadLineError: It does not hold so many.
    """
    if isinstance(column, list):
        values: list[Any] = restore_numbers(column)
    elif column.runs is not None:
        values = unpack_runs(column.runs, count)
    else:
        values = unpack_floats(column.float64 or "").tolist()
    if len(values) != count:
        raise BadLineError("columns, keys and times do not have one length")
    return values


def _json_column(column: list[Any], kinds: set[type]) -> list[Any]:
    """Return a column as JSON can hold it; what is finite already is not copied."""
    if kinds <= {int, bool, str, type(None)}:
        return column
    if kinds <= _PLAIN_LEAVES:
        if all(math.isfinite(v) for v in column if type(v) is float):
            return column
        return [number_to_json(v) if type(v) is float else v for v in column]
    return [_json_leaf(v) for v in column]


def _json_leaf(value: Any) -> Any:
    """Return any tracked leaf as JSON; one that is nested too deep as Python's text of it."""
    try:
        return plain(value)
    except ValueRejectedError:
        return _text(value)


def _text(value: Any) -> str:
    try:
        return clean_text(repr(value))
    except RecursionError:
        return "(nested too deep)"


class _Aggregate:
    """A metric's summary, fed column by column in call order within a shape."""

    def __init__(self) -> None:
        self.count = self.finite = 0
        self.first: tuple[int, Any] | None = None
        self.last: tuple[int, Any] | None = None
        self.low: tuple[float, int, int] | None = None
        self.high: tuple[float, int, int] | None = None
        self.total = 0.0

    def add(self, numbers: Sequence[int], steps: Sequence[int], column: Sequence[float]) -> None:
        self.count += len(column)
        if self.first is None or numbers[0] < self.first[0]:
            self.first = (numbers[0], column[0])
        if self.last is None or numbers[-1] > self.last[0]:
            self.last = (numbers[-1], column[-1])
        finite = [i for i, v in enumerate(column) if math.isfinite(v)]
        if not finite:
            return
        self.finite += len(finite)
        self.total += sum(column[i] for i in finite)
        low = min(finite, key=column.__getitem__)
        high = max(finite, key=column.__getitem__)
        lowest = (column[low], numbers[low], steps[low])
        highest = (column[high], numbers[high], steps[high])
        if self.low is None or lowest[:2] < self.low[:2]:
            self.low = lowest
        if self.high is None or (-highest[0], highest[1]) < (-self.high[0], self.high[1]):
            self.high = highest

    def summary(self) -> Summary:
        if self.first is None or self.last is None:
            raise ValueError("a metric without values has no summary")
        low, high = self.low, self.high
        return Summary(
            first=_json_number(self.first[1]),
            last=_json_number(self.last[1]),
            count=self.count,
            min=low[0] if low else None,
            max=high[0] if high else None,
            mean=self.total / self.finite if self.finite and math.isfinite(self.total) else None,
            step_of_min=low[2] if low else None,
            step_of_max=high[2] if high else None,
        )


def _json_number(value: float) -> float | str:
    return number_to_json(value) if type(value) is float else value


class SeriesEncoder:
    """Fold calls into lines and summaries.

    Feed every call in journal order to `add`, then take `lines`, `summaries` and `calls`.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.lines: list[bytes] = []
        self._shapes: dict[tuple[KeyPath, ...], _Shape] = {}
        self._aggregates: dict[str, _Aggregate] = {}

    def add(self, time_ns: int, value: Any, note: str | None, step: int | None) -> None:
        """Take the next call. ``value`` is as decoded from the journal."""
        keys: list[KeyPath] = []
        leaves: list[Any] = []
        try:
            _split(value, (), keys, leaves)
        except RecursionError:
            keys, leaves = [()], [_text(value)]
        number = self.calls
        self.calls += 1
        shape_key = tuple(keys)
        shape = self._shapes.get(shape_key)
        if shape is None:
            shape = self._shapes[shape_key] = _Shape(shape_key)
        shape.numbers.append(number)
        shape.steps.append(_step_of(value, number) if step is None else step)
        shape.times.append(time_ns // 1_000_000)
        shape.notes.append(note)
        for column, leaf in zip(shape.columns, leaves, strict=True):
            column.append(leaf)
        if self.calls % CHUNK_CALLS == 0:
            self.flush()

    def flush(self) -> None:
        """Write out what waits. Call it once after the last `add`."""
        for shape in self._shapes.values():
            self._aggregate(shape)
            self.lines.append(shape.line())
        self._shapes.clear()

    def summaries(self) -> dict[str, Summary]:
        """Return the summary of each metric by dotted path, in order of first appearance."""
        return {path: aggregate.summary() for path, aggregate in self._aggregates.items()}

    def _aggregate(self, shape: _Shape) -> None:
        for key, column in zip(shape.keys, shape.columns, strict=True):
            if key == ("step",):
                continue
            kinds = set(map(type, column))
            numbers, steps, values = shape.numbers, shape.steps, column
            if not kinds <= {int, float}:
                picked = [i for i, v in enumerate(column) if type(v) in (int, float)]
                if not picked:
                    continue
                numbers, steps, values = ([s[i] for i in picked] for s in (numbers, steps, values))
            path = ".".join(key) or "value"
            self._aggregates.setdefault(path, _Aggregate()).add(numbers, steps, values)


def _split(value: Any, prefix: KeyPath, keys: list[KeyPath], leaves: list[Any]) -> None:
    """List key paths and leaves of a value; anything but a non-empty dict is a leaf."""
    if type(value) is not dict or not value:
        keys.append(prefix)
        leaves.append(value)
        return
    for key, item in value.items():
        path = (*prefix, key if type(key) is str else _key_text(key, value))
        if type(item) is dict:
            _split(item, path, keys, leaves)
        else:
            keys.append(path)
            leaves.append(item)


def _key_text(key: Any, beside: dict[Any, Any]) -> str:
    """Return a key that is no text as one that stands for no other key of its dict."""
    text = str(key)
    while text in beside:
        text += "'"
    return text


def _step_of(value: Any, number: int) -> int:
    """Return the step in the value's own ``step`` key, else the call's number."""
    step = value.get("step") if type(value) is dict else None
    return step if type(step) is int else number


def decode_line(line: bytes) -> SeriesLine:
    """Return a series line, its sequences checked to be of one length.

    Raises:
        BadLineError: The line is damaged or of a newer schema.
    """
    return _decode(line, _decoder)


def decode_unread(line: bytes) -> UnreadSeriesLine:
    """Return a series line, checked as by `decode_line`, with its columns not decoded.

    Raises:
        BadLineError: The line is damaged (other than in a column) or of a newer schema.
    """
    return _decode(line, _unread_decoder)


def _decode(line: bytes, decoder: msgspec.json.Decoder[_Line]) -> _Line:
    if len(line) > MAX_SERIES_LINE_BYTES:
        raise BadLineError(f"the line has {len(line)} bytes, more than {MAX_SERIES_LINE_BYTES}")
    try:
        series = decoder.decode(line)
    except DECODE_ERRORS as error:
        raise BadLineError(str(error) or type(error).__name__) from None
    if series.schema > SCHEMA:
        raise BadLineError(f"the line is of schema {series.schema}; this gitexp reads {SCHEMA}")
    count = len(series.times)
    if len(series.keys) != len(series.columns):
        raise BadLineError("columns, keys and times do not have one length")
    if not series.keys:
        raise BadLineError("the line has no columns")
    if any(n < 1 for _, n in series.notes):
        raise BadLineError("a note holds for less than one call")
    if series.notes and sum(n for _, n in series.notes) != count:
        raise BadLineError("notes do not describe as many calls as there are times")
    return series


def calls(lines: Iterable[bytes]) -> list[Call]:
    """Return everything that was tracked, in order, from the lines in any order.

    A run that was sealed twice from a journal that had grown has calls in two lines: they count
    once.
    """
    found = {
        (call.number, call.time_ms, call.step): call
        for line in set(lines)
        for call in _line_calls(decode_line(line))
    }
    return [found[key] for key in sorted(found)]


def _line_calls(series: SeriesLine) -> Iterator[Call]:
    count = len(series.times)
    if count * len(series.keys) > MAX_LINE_VALUES:
        raise BadLineError(f"the line has {count * len(series.keys)} values, too many to unpack")
    notes = [note for note, n in series.notes for _ in range(n)] or [None] * count
    keys = [tuple(key) for key in series.keys]
    rows = zip(*(_values(column, count) for column in series.columns), strict=True)
    heads = zip(
        unpack_runs(series.calls, count),
        itertools.accumulate(series.times),
        unpack_runs(series.steps, count),
        rows,
        notes,
        strict=True,
    )
    for number, time_ms, step, row, note in heads:
        yield Call(number, time_ms, step, _join(keys, row), note)


def _join(keys: Sequence[KeyPath], row: Sequence[Any]) -> Any:
    """Return the value whose leaves these are: the inverse of `_split`."""
    if keys == [()]:
        return row[0]
    value: dict[str, Any] = {}
    for key, leaf in zip(keys, row, strict=True):
        target = value
        for name in key[:-1]:
            inner = target.setdefault(name, {})
            if not isinstance(inner, dict):
                raise BadLineError(f"the key {name!r} is both a value and a group")
            target = inner
        target[key[-1] if key else ""] = leaf
    return value


def log_digest(lines: Iterable[bytes]) -> str:
    """Return xxh3-128, in hexadecimal, over the distinct lines sorted, each with its line end."""
    digest = xxhash.xxh3_128()
    for line in sorted(set(lines)):
        digest.update(line)
        digest.update(b"\n")
    return digest.hexdigest()
