"""The history of one metric, read from a metric log without decoding anything else of it.

A line's other columns stay JSON, and what is read stays in compact sequences: a range where
numbers count up evenly, an array of 8 bytes a number, and a list only for what fits neither (mixed
kinds, integers of more than 64 bits). A `Point` is made when somebody looks at it.
"""

from __future__ import annotations

import array
import itertools
import operator
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, overload

import msgspec
import xxhash

from gitexp import frames
from gitexp.markup import history_html
from gitexp.records.facts import DECODE_ERRORS, BadLineError
from gitexp.records.nested import number_from_json
from gitexp.records.series import (
    PackedColumn,
    Point,
    UnreadSeriesLine,
    decode_unread,
    unpack_floats,
    unpack_runs,
)

_column_decoder = msgspec.json.Decoder(list[Any] | PackedColumn)
_TRIPLE = 3


class History(Sequence[Point]):
    """The values of one metric in the order in which they were tracked.

    It is a sequence of `Point`, and a slice of it is a history too.

    Attributes:
        metric: Full dotted path.
        steps: One integer a point; they need not ascend.
        times_ms: Milliseconds since 1970, UTC.
        values: Floats and integers as they were tracked, NaN and infinities among them.
    """

    __slots__ = ("metric", "steps", "times_ms", "values")

    def __init__(
        self, metric: str, steps: Sequence[int], times_ms: Sequence[int], values: Sequence[float]
    ) -> None:
        self.metric = metric
        self.steps = steps
        self.times_ms = times_ms
        self.values = values

    def _repr_html_(self) -> str:
        return history_html(self.metric, self)

    def __len__(self) -> int:
        return len(self.values)

    @overload
    def __getitem__(self, index: int) -> Point: ...

    @overload
    def __getitem__(self, index: slice) -> History: ...

    def __getitem__(self, index: int | slice) -> Point | History:
        steps, times, values = self.steps[index], self.times_ms[index], self.values[index]
        if isinstance(index, slice):
            return History(self.metric, steps, times, values)  # type: ignore[arg-type]
        return Point(steps, times, values)  # type: ignore[arg-type]

    def __iter__(self) -> Iterator[Point]:
        return map(Point, self.steps, self.times_ms, self.values)

    def __eq__(self, other: object) -> bool:
        """Say whether another history, or a list of points, has the same points in this order."""
        if not isinstance(other, History | list):
            return NotImplemented
        return len(self) == len(other) and all(map(operator.eq, self, other))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __repr__(self) -> str:
        return f"<History of {self.metric}: {len(self)} points>"

    def picked(self, positions: Sequence[int]) -> History:
        """Return the points at these positions, as a history."""
        chosen = (_picked(s, positions) for s in (self.steps, self.times_ms, self.values))
        return History(self.metric, *chosen)

    def columns(self) -> dict[str, Sequence[Any]]:
        """Return the columns of a data frame: ``step``, ``time`` (UTC) and ``value``."""
        return {"step": self.steps, "time": frames.Times(self.times_ms), "value": self.values}

    def to_numpy(self) -> dict[str, Any]:
        """Return `columns` as NumPy arrays; the times as ``datetime64[ms]``, in UTC.

        Raises:
            GitexpError: NumPy is not installed.
        """
        return frames.to_numpy(self.columns())

    def to_pandas(self) -> Any:
        """Return `columns` as a ``pandas.DataFrame``.

        Raises:
            GitexpError: pandas is not installed.
        """
        return frames.to_pandas(self.columns())

    def to_polars(self) -> Any:
        """Return `columns` as a ``polars.DataFrame``.

        Raises:
            GitexpError: Polars is not installed.
        """
        return frames.to_polars(self.columns())

    def to_arrow(self) -> Any:
        """Return `columns` as a ``pyarrow.Table``.

        Raises:
            GitexpError: PyArrow is not installed.
        """
        return frames.to_arrow(self.columns())


class _Part(NamedTuple):
    """What one column of one line says of the metric."""

    numbers: Sequence[int]
    steps: Sequence[int]
    times_ms: Sequence[int]
    values: Sequence[float]


def read_history(lines: Iterable[bytes], metric: str) -> History:
    """Return the numbers of one metric in the order in which they were tracked.

    A run that was sealed twice from a journal that had grown has calls in two lines: they count
    once. Nothing of a line is kept but what it says of the metric.

    Args:
        lines: The metric log, in any order, lines repeated or not.
        metric: Full dotted path.

    Raises:
        BadLineError: A line is damaged or of a newer schema. Columns of other metrics are not
            looked into.
    """
    found: dict[bytes, list[_Part]] = {}
    for line in lines:
        digest = xxhash.xxh3_128_digest(line)
        if digest not in found:
            found[digest] = list(_line_parts(decode_unread(line), metric))
    # By their first calls, so that chunks follow one another; then in an order that does not
    # depend on that of the lines.
    filled = [(parts[0].numbers[0], digest) for digest, parts in found.items() if parts]
    return _merged(metric, [part for _, digest in sorted(filled) for part in found[digest]])


def _line_parts(line: UnreadSeriesLine, metric: str) -> Iterator[_Part]:
    for key, column in zip(line.keys, line.columns, strict=True):
        if (".".join(key) or "value") == metric:
            part = _line_part(line, column)
            if part.values:
                yield part


def _line_part(line: UnreadSeriesLine, column: msgspec.Raw) -> _Part:
    count = len(line.times)
    numbers, steps = _unpacked(line.calls, count), _unpacked(line.steps, count)
    times = _compact(list(itertools.accumulate(line.times)))
    values = _values(column, count)
    if not isinstance(values, list):
        return _Part(numbers, steps, times, values)
    positions = [i for i, value in enumerate(values) if type(value) in (int, float)]
    if len(positions) == count:
        return _Part(numbers, steps, times, values)
    return _Part(*(_picked(sequence, positions) for sequence in (numbers, steps, times, values)))


def _unpacked(packed: Sequence[int], count: int) -> Sequence[int]:
    """Return the integers of `pack_runs`: one run as a range.

    Raises:
        BadLineError: They are not ``count`` in number.
    """
    if len(packed) == _TRIPLE and packed[1] and packed[2] == count > 0:
        first, delta, _ = packed
        return range(first, first + delta * count, delta)
    return _compact(unpack_runs(packed, count))


def _values(raw: msgspec.Raw, count: int) -> Sequence[Any]:
    """Return the values of a column; a list where there are others than numbers among them.

    Raises:
        BadLineError: It is damaged or does not hold ``count`` values.
    """
    try:
        column = _column_decoder.decode(raw)
    except DECODE_ERRORS as error:
        raise BadLineError(str(error) or type(error).__name__) from None
    values: Sequence[Any]
    if isinstance(column, list):
        values = _compact([number_from_json(v) if type(v) is str else v for v in column])
    elif column.runs is not None:
        values = _unpacked(column.runs, count)
    else:
        values = unpack_floats(column.float64 or "")
    if len(values) != count:
        raise BadLineError("columns, keys and times do not have one length")
    return values


def _compact(values: list[Any]) -> Sequence[Any]:
    """Return values as an array where they are all floats, or all integers of 64 bits."""
    kinds = set(map(type, values))
    if kinds == {float}:
        return array.array("d", values)
    if kinds == {int}:
        try:
            return array.array("q", values)
        except OverflowError:
            return values
    return values


def _picked(values: Sequence[Any], positions: Sequence[int]) -> Sequence[Any]:
    if isinstance(values, array.array):
        return array.array(values.typecode, map(values.__getitem__, positions))
    return _compact([values[i] for i in positions])


def _merged(metric: str, parts: Sequence[_Part]) -> History:
    """Return the points of all parts in the order of their calls, each once, the last one said."""
    numbers, steps, times, values = (
        (_joined(sequences) for sequences in zip(*parts, strict=True)) if parts else ((),) * 4
    )
    merged = History(metric, steps, times, values)
    if _ascends(numbers):
        return merged
    order = sorted(range(len(numbers)), key=numbers.__getitem__)
    if not _ascends([numbers[i] for i in order]):
        last = {key: i for i, key in enumerate(zip(numbers, times, steps, strict=True))}
        order = [last[key] for key in sorted(last)]
    return merged.picked(order)


def _ascends(numbers: Sequence[int]) -> bool:
    if isinstance(numbers, range):
        return numbers.step > 0
    return all(map(operator.lt, numbers, itertools.islice(numbers, 1, None)))


def _joined(sequences: Sequence[Sequence[Any]]) -> Sequence[Any]:
    """Return sequences one after another, as compact as they are."""
    first = sequences[0]
    if len(sequences) == 1:
        return first
    if isinstance(first, range) and all(map(_continues, sequences, sequences[1:])):
        last = sequences[-1]
        return range(first.start, last[-1] + first.step, first.step)
    codes = {"q" if isinstance(s, range) else getattr(s, "typecode", "") for s in sequences}
    if codes in ({"q"}, {"d"}):
        joined: array.array[Any] = array.array(codes.pop())
        try:
            for sequence in sequences:
                joined.extend(sequence)
        except OverflowError:  # a range beyond 64 bits
            return list(itertools.chain.from_iterable(sequences))
        return joined
    return list(itertools.chain.from_iterable(sequences))


def _continues(before: Sequence[int], after: Sequence[int]) -> bool:
    """Say whether two ranges are one."""
    return (
        isinstance(before, range)
        and isinstance(after, range)
        and before.step == after.step
        and before.stop == after.start
    )
