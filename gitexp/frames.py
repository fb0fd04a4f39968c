"""Columns as data frames of other libraries: data in, frame out, each library an extra.

A column is a sequence of values of which any may be missing (None). What all its values are
decides the frame's type, alike for every library:

* integers of 64 bits, floats (integers among them if no digit is lost), booleans, texts: the
  library's own type, nullable where values are missing;
* aware datetimes, and `Times`: times in UTC;
* anything else, mixed kinds above all: in NumPy and pandas the objects as they are, in Polars and
  Arrow texts, with JSON for what is no text.
"""

from __future__ import annotations

import array
import importlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, overload

from gitexp.errors import GitexpError

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999  # the years 1 to 9999
_INT64 = range(-(1 << 63), 1 << 63)

Kind = Literal["int", "float", "bool", "text", "time", "empty", "mixed"]
Columns = Mapping[str, Sequence[Any]]


class Times(Sequence[datetime | None]):
    """A column of times that is kept as milliseconds since 1970, UTC.

    Frames are made of the numbers; an element is an aware datetime. A time that no calendar
    holds is None.
    """

    def __init__(self, times_ms: Sequence[int]) -> None:
        self.times_ms = times_ms

    def __len__(self) -> int:
        return len(self.times_ms)

    @overload
    def __getitem__(self, index: int) -> datetime | None: ...

    @overload
    def __getitem__(self, index: slice) -> Times: ...

    def __getitem__(self, index: int | slice) -> datetime | Times | None:
        if isinstance(index, slice):
            return Times(self.times_ms[index])
        time_ms = self.times_ms[index]
        in_calendar = _FIRST_MS <= time_ms <= _LAST_MS
        return _EPOCH + timedelta(milliseconds=time_ms) if in_calendar else None

    def known(self) -> list[int | None]:
        """Return the milliseconds, None for what no calendar holds."""
        return [ms if _FIRST_MS <= ms <= _LAST_MS else None for ms in self.times_ms]


def to_numpy(columns: Columns) -> dict[str, Any]:
    """Return each column as a NumPy array; times as ``datetime64`` in UTC, without a zone.

    NumPy has no missing values: they are NaN among numbers and NaT among times, and make other
    columns arrays of objects.

    Raises:
        GitexpError: NumPy is not installed.
    """
    numpy = _load("numpy", "NumPy", "numpy")
    return {name: _numpy_array(numpy, column) for name, column in columns.items()}


def to_pandas(columns: Columns) -> Any:
    """Return the columns as a ``pandas.DataFrame``.

    Raises:
        GitexpError: pandas is not installed.
    """
    pandas = _load("pandas", "pandas", "gitexp[pandas]")
    series = {name: _pandas_series(pandas, column) for name, column in columns.items()}
    return pandas.DataFrame(series, columns=list(columns))


def to_polars(columns: Columns) -> Any:
    """Return the columns as a ``polars.DataFrame``.

    Raises:
        GitexpError: Polars is not installed.
    """
    polars = _load("polars", "Polars", "gitexp[polars]")
    types = {
        "int": polars.Int64,
        "float": polars.Float64,
        "bool": polars.Boolean,
        "text": polars.String,
        "time": polars.Datetime("us", "UTC"),
        "empty": polars.Null,
        "mixed": polars.String,
    }
    frame = {}
    for name, column in columns.items():
        kind = _kind(column)
        if isinstance(column, Times):
            times = polars.Series(name, column.known(), dtype=polars.Int64)
            frame[name] = times.cast(polars.Datetime("ms", "UTC"))
        else:
            frame[name] = polars.Series(name, _plain(column, kind), dtype=types[kind])
    return polars.DataFrame(frame)


def to_arrow(columns: Columns) -> Any:
    """Return the columns as a ``pyarrow.Table``.

    Raises:
        GitexpError: PyArrow is not installed.
    """
    arrow = _load("pyarrow", "PyArrow", "gitexp[arrow]")
    types = {
        "int": arrow.int64(),
        "float": arrow.float64(),
        "bool": arrow.bool_(),
        "text": arrow.string(),
        "time": arrow.timestamp("us", tz="UTC"),
        "empty": arrow.null(),
        "mixed": arrow.string(),
    }
    arrays = []
    for column in columns.values():
        kind = _kind(column)
        if isinstance(column, Times):
            arrays.append(arrow.array(column.known(), arrow.timestamp("ms", tz="UTC")))
        elif isinstance(column, array.array):  # its memory is what Arrow wants: no copy
            buffers = [None, arrow.py_buffer(column)]
            arrays.append(arrow.Array.from_buffers(types[kind], len(column), buffers))
        else:
            arrays.append(arrow.array(_plain(column, kind), types[kind], from_pandas=False))
    return arrow.table(arrays, names=list(columns))


def _load(module: str, title: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise GitexpError(
            f"{title} is not installed.", f"Install it with: pip install '{package}'"
        ) from None


def _kind(column: Sequence[Any]) -> Kind:
    """Return what all values of a column are that are not missing."""
    if isinstance(column, Times):
        return "time"
    if isinstance(column, array.array):
        return "float" if column.typecode == "d" else "int"
    kinds = set(map(type, column)) - {type(None)}
    if kinds <= {int, float}:
        return _number_kind(column, kinds)
    if len(kinds) == 1:
        (kind,) = kinds
        if issubclass(kind, datetime):
            return "time"
        return "bool" if kind is bool else "text" if kind is str else "mixed"
    return "mixed"


def _number_kind(column: Sequence[Any], kinds: set[type]) -> Kind:
    if not kinds:
        return "empty"
    integers = [value for value in column if type(value) is int]
    if float not in kinds:
        return "int" if all(value in _INT64 for value in integers) else "mixed"
    whole = all(value in _INT64 and int(float(value)) == value for value in integers)
    return "float" if whole else "mixed"


def _plain(column: Sequence[Any], kind: Kind) -> list[Any]:
    """Return the values as those of one type that Polars and Arrow take."""
    if kind == "mixed":
        return [_text(value) for value in column]
    if kind == "float":
        return [None if value is None else float(value) for value in column]
    if kind == "time":
        return [None if value is None else value.astimezone(UTC) for value in column]
    return list(column)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _numpy_array(numpy: Any, column: Sequence[Any]) -> Any:
    if isinstance(column, Times):
        return numpy.array(column.known(), "datetime64[ms]")
    kind, missing = _kind(column), None in column
    if kind == "int" and isinstance(column, range):
        return numpy.arange(column.start, column.stop, column.step, "int64")
    if kind == "float" or (kind == "int" and missing and _fits_floats(column)):
        return numpy.array(column, "float64")
    if kind == "time":
        times = _plain(column, kind)
        return numpy.array([t and t.replace(tzinfo=None) for t in times], "datetime64[us]")
    if kind in ("int", "bool") and not missing:
        return numpy.array(column, "int64" if kind == "int" else "bool")
    return _objects(numpy, column)


def _fits_floats(column: Sequence[int | None]) -> bool:
    return all(value is None or int(float(value)) == value for value in column)


def _objects(numpy: Any, column: Sequence[Any]) -> Any:
    result = numpy.empty(len(column), object)
    for i, value in enumerate(column):  # all at once, NumPy would look into lists
        result[i] = value
    return result


def _pandas_series(pandas: Any, column: Sequence[Any]) -> Any:
    numpy = _load("numpy", "NumPy", "numpy")
    kind = _kind(column)
    if isinstance(column, Times) or kind == "time":
        return pandas.Series(_numpy_array(numpy, column)).dt.tz_localize("UTC")
    if kind in ("int", "bool") and None in column:
        return pandas.Series(list(column), dtype="Int64" if kind == "int" else "boolean")
    if kind == "text":
        return pandas.Series(list(column))
    return pandas.Series(_numpy_array(numpy, column))
