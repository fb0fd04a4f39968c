from __future__ import annotations

import array
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from gitexp import frames
from gitexp.records.history import History
from tests.support import python

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
EAST = NOON.astimezone(timezone(timedelta(hours=9)))
COLUMNS: dict[str, Sequence[Any]] = {
    "step": range(0, 30, 10),
    "time": frames.Times([1769860800000, 1769860800250, 10**18]),
    "loss": array.array("d", [0.5, math.nan, math.inf]),
    "count": [1, None, 2**53 + 1],
    "lr": [1, 0.25, None],
    "ok": [True, None, False],
    "name": ["a", None, "b"],
    "started": [NOON, None, EAST],
    "mixed": [0.1, "auto", [1, 2]],
    "large": [2**63, 1, None],
    "nothing": [None, None, None],
}
HISTORY = History("loss", range(2), [1769860800000, 1769860800250], array.array("d", [0.5, 0.25]))
LATER = NOON + timedelta(milliseconds=250)
TEXTS = ["0.1", "auto", "[1, 2]"]


def test_pandas_columns_have_the_types_of_their_values() -> None:
    pandas = pytest.importorskip("pandas")
    frame = frames.to_pandas(COLUMNS)
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert list(frame.columns) == list(COLUMNS)
    assert kinds.pop("name") in ("str", "object")
    assert kinds == {
        "step": "int64",
        "time": "datetime64[ms, UTC]",
        "loss": "float64",
        "count": "Int64",
        "lr": "float64",
        "ok": "boolean",
        "started": "datetime64[us, UTC]",
        "mixed": "object",
        "large": "object",
        "nothing": "object",
    }
    assert list(frame["time"][:2]) == [NOON, LATER]
    assert list(frame["started"].dropna()) == [NOON, NOON]
    assert frame["count"][2] == 2**53 + 1
    assert frame["large"][0] == 2**63
    assert list(frame["mixed"]) == COLUMNS["mixed"]
    assert pandas.isna(frame["time"][2])
    assert list(frame["name"].isna()) == [False, True, False]


def test_polars_columns_have_the_types_of_their_values() -> None:
    polars = pytest.importorskip("polars")
    frame = frames.to_polars(COLUMNS)
    assert dict(frame.schema) == {
        "step": polars.Int64,
        "time": polars.Datetime("ms", "UTC"),
        "loss": polars.Float64,
        "count": polars.Int64,
        "lr": polars.Float64,
        "ok": polars.Boolean,
        "name": polars.String,
        "started": polars.Datetime("us", "UTC"),
        "mixed": polars.String,
        "large": polars.String,
        "nothing": polars.Null,
    }
    check_rows({name: frame[name].to_list() for name in frame.columns})


def test_arrow_columns_have_the_types_of_their_values() -> None:
    pytest.importorskip("pyarrow")
    table = frames.to_arrow(COLUMNS)
    assert {field.name: str(field.type) for field in table.schema} == {
        "step": "int64",
        "time": "timestamp[ms, tz=UTC]",
        "loss": "double",
        "count": "int64",
        "lr": "double",
        "ok": "bool",
        "name": "string",
        "started": "timestamp[us, tz=UTC]",
        "mixed": "string",
        "large": "string",
        "nothing": "null",
    }
    check_rows(table.to_pydict())


def check_rows(got: dict[str, list[Any]]) -> None:
    assert got["step"] == [0, 10, 20]
    assert got["time"] == [NOON, LATER, None]
    assert repr(got["loss"]) == "[0.5, nan, inf]"
    assert got["count"] == [1, None, 2**53 + 1]
    assert got["lr"] == [1.0, 0.25, None]
    assert got["ok"] == [True, None, False]
    assert got["name"] == ["a", None, "b"]
    assert got["started"] == [NOON, None, NOON]
    assert got["mixed"] == TEXTS
    assert got["large"] == [str(2**63), "1", None]
    assert got["nothing"] == [None] * 3


def test_numpy_columns_have_the_types_of_their_values() -> None:
    pytest.importorskip("numpy")
    arrays = frames.to_numpy(COLUMNS)
    assert {name: str(column.dtype) for name, column in arrays.items()} == {
        "step": "int64",
        "time": "datetime64[ms]",
        "loss": "float64",
        "count": "object",
        "lr": "float64",
        "ok": "object",
        "name": "object",
        "started": "datetime64[us]",
        "mixed": "object",
        "large": "object",
        "nothing": "object",
    }
    assert list(arrays["mixed"]) == COLUMNS["mixed"]
    assert arrays["step"].tolist() == [0, 10, 20]
    assert arrays["time"].tolist()[:2] == [NOON.replace(tzinfo=None), LATER.replace(tzinfo=None)]
    assert math.isnan(arrays["lr"][2])


def test_integers_and_floats_that_no_column_holds_together_stay_exact() -> None:
    pytest.importorskip("pandas")
    column = [2**53 + 1, 0.5]
    assert list(frames.to_pandas({"n": column})["n"]) == column


@pytest.mark.parametrize("library", ["numpy", "pandas", "polars", "pyarrow"])
def test_a_history_is_a_frame_of_step_time_and_value(library: str) -> None:
    pytest.importorskip(library)
    if library == "numpy":
        got = {name: column.tolist() for name, column in HISTORY.to_numpy().items()}
        times = [moment.replace(tzinfo=UTC) for moment in got["time"]]
    else:
        convert = {"pandas": "to_pandas", "polars": "to_polars", "pyarrow": "to_arrow"}[library]
        frame = getattr(HISTORY, convert)()
        got = {name: list(frame[name]) for name in ("step", "time", "value")}
        if library == "pyarrow":
            got = frame.to_pydict()
        times = got["time"]
    assert list(got) == ["step", "time", "value"]
    assert (got["step"], got["value"]) == ([0, 1], [0.5, 0.25])
    assert times == [NOON, LATER]


@pytest.mark.parametrize("convert", ["to_numpy", "to_pandas", "to_polars", "to_arrow"])
def test_columns_without_rows_are_a_frame_too(convert: str) -> None:
    library = {"to_arrow": "pyarrow"}.get(convert, convert.removeprefix("to_"))
    pytest.importorskip(library)
    frame = getattr(frames, convert)({"a": [], "t": frames.Times([]), "d": array.array("d")})
    assert len(frame["a"]) == len(frame["t"]) == len(frame["d"]) == 0


def test_times_are_a_sequence_of_datetimes() -> None:
    times = frames.Times([1769860800000, -(10**18)])
    assert list(times) == [NOON, None]
    assert list(times[:1]) == [NOON]


@pytest.mark.parametrize(
    ("function", "module", "hint"),
    [
        ("to_numpy", "numpy", "numpy"),
        ("to_pandas", "pandas", "gitexp[pandas]"),
        ("to_polars", "polars", "gitexp[polars]"),
        ("to_arrow", "pyarrow", "gitexp[arrow]"),
    ],
)
def test_without_the_library_the_hint_names_the_extra(
    function: str, module: str, hint: str
) -> None:
    code = (
        "import sys\n"
        f"sys.modules[{module!r}] = None\n"
        "from gitexp import frames\n"
        "from gitexp.errors import GitexpError\n"
        f"try:\n    frames.{function}({{'a': [1]}})\n"
        "except GitexpError as error:\n    print(error.hint)"
    )
    assert python(code) == f"Install it with: pip install '{hint}'\n"
