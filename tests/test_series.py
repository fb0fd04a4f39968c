"""Sentences in quotes are those of docs/format.md that the test below checks."""

from __future__ import annotations

import json
import math
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.records import series
from gitexp.records.facts import BadLineError
from gitexp.records.history import read_history
from gitexp.records.series import SeriesEncoder, calls, decode_line, pack_runs, unpack_runs

NUMBERS = st.floats(allow_nan=False) | st.integers(-(1 << 60), 1 << 60)
LEAVES = NUMBERS | st.none() | st.booleans() | st.lists(NUMBERS, max_size=2) | st.just("text")
VALUES = st.recursive(
    LEAVES, lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=5
)
CALLS = st.lists(
    st.tuples(
        st.integers(0, 1 << 61),
        VALUES,
        st.none() | st.sampled_from(["note", "other\nnote"]),
        st.none() | st.integers(-5, 1000),
    ),
    max_size=12,
)


def encode(given_calls: list[tuple[int, Any, str | None, int | None]]) -> SeriesEncoder:
    encoder = SeriesEncoder()
    for time_ns, value, note, step in given_calls:
        encoder.add(time_ns, value, note, step)
    encoder.flush()
    return encoder


@given(CALLS, st.randoms())
def test_the_log_gives_back_exactly_what_was_tracked(given_calls: Any, random: Any) -> None:
    """The lines, in any order, give back exactly what was tracked, in order, notes included."""
    lines = encode(given_calls).lines
    random.shuffle(lines)
    back = calls(lines * 2)  # a union may repeat lines
    assert [(c.number, c.time_ms, c.value, c.note) for c in back] == [
        (i, t // 1_000_000, v, n) for i, (t, v, n, _) in enumerate(given_calls)
    ]
    for call, (_, _, _, step) in zip(back, given_calls, strict=True):
        assert step is None or call.step == step


@given(st.lists(st.integers(-(1 << 62), 1 << 62)))
def test_arithmetic_runs_give_back_the_numbers(numbers: list[int]) -> None:
    assert unpack_runs(pack_runs(numbers), len(numbers)) == numbers


def test_regular_numbers_cost_three_integers() -> None:
    assert pack_runs(range(0, 1_000_000, 5)) == [0, 5, 200_000]


def test_step_is_the_argument_else_the_key_else_the_number() -> None:
    """The step is the explicit argument, else an integer ``step`` key, else the call's number."""
    encoder = encode(
        [
            (0, {"step": 7, "loss": 1.0}, None, None),
            (0, {"step": 7, "loss": 1.0}, None, 3),
            (0, {"loss": 1.0}, None, None),
            (0, {"step": "warmup", "loss": 1.0}, None, None),
            (0, {"step": True, "loss": 1.0}, None, None),
        ]
    )
    assert [call.step for call in calls(encoder.lines)] == [7, 3, 2, 3, 4]


def test_going_back_in_steps_keeps_the_order_of_the_calls() -> None:
    encoder = encode([(0, {"loss": float(i)}, None, step) for i, step in enumerate([5, 1, 9])])
    assert [(p.step, p.value) for p in read_history(encoder.lines, "loss")] == [
        (5, 0),
        (1, 1),
        (9, 2),
    ]


def test_summaries_tell_first_last_and_where_the_extremes_were() -> None:
    values = [3.0, math.nan, 1.0, 5.0, math.inf, 1.0]
    encoder = encode(
        [(0, {"m": {"loss": v}, "step": 10 * i}, None, None) for i, v in enumerate(values)]
    )
    ((path, summary),) = encoder.summaries().items()
    assert path == "m.loss"
    assert (summary.first, summary.last, summary.count) == (3.0, 1.0, 6)
    assert (summary.min, summary.step_of_min) == (1.0, 20)
    assert (summary.max, summary.step_of_max) == (5.0, 30)
    assert summary.mean == 2.5


def test_a_diverged_run_stays_visible() -> None:
    encoder = encode([(0, {"loss": math.nan}, None, None), (0, {"loss": -math.inf}, None, None)])
    summary = encoder.summaries()["loss"]
    assert (summary.first, summary.last, summary.min, summary.mean) == (
        "NaN",
        "-Infinity",
        None,
        None,
    )
    assert json.loads(encoder.lines[0])["columns"] == [["NaN", "-Infinity"]]
    assert math.isnan(read_history(encoder.lines, "loss")[0].value)


def test_booleans_texts_and_the_step_are_no_metrics() -> None:
    encoder = encode([(0, {"step": 1, "ok": True, "phase": "warm", "loss": 1}, None, None)])
    assert list(encoder.summaries()) == ["loss"]


def test_a_bare_number_is_the_metric_value() -> None:
    encoder = encode([(0, 0.5, None, None)])
    assert list(encoder.summaries()) == ["value"]
    assert read_history(encoder.lines, "value")[0].value == 0.5


def test_a_line_covers_a_bounded_number_of_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series, "CHUNK_CALLS", 10)
    encoder = encode([(i * 1000, {"a": i}, None, None) for i in range(35)])
    assert len(encoder.lines) == 4
    assert [call.value["a"] for call in calls(encoder.lines)] == list(range(35))
    assert encoder.summaries()["a"].count == 35
    assert (encoder.summaries()["a"].min, encoder.summaries()["a"].max) == (0, 34)


def test_a_sum_beyond_the_largest_float_has_no_mean() -> None:
    encoder = encode([(0, {"a": 1.5e308}, None, None)] * 3)
    summary = encoder.summaries()["a"]
    assert (summary.max, summary.mean) == (1.5e308, None)


def test_what_is_nested_too_deep_for_json_is_kept_as_text() -> None:
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    assert calls(encode([(0, {"a": deep}, None, None)]).lines)[0].value == {"a": repr(deep)}


@pytest.mark.parametrize(
    "column",
    [
        [random.Random(1).random() for _ in range(200)],
        [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308] * 20,
        [1 / (i + 1) for i in range(100)],
        [0.5] * 100,
        [round(0.1 * i, 1) for i in range(100)],
        list(range(0, 1000, 5)),
        [*range(50), 7, *range(50)],
        [1, 2.5] * 40,
        [True, False] * 40,
        ["text", None] * 40,
    ],
    ids=repr,
)
def test_a_long_column_comes_back_to_the_bit(column: list[Any]) -> None:
    lines = encode([(i * 10**6, {"a": v, "b": i}, None, None) for i, v in enumerate(column)]).lines
    back = [call.value["a"] for call in calls(lines)]
    assert [(type(v), repr(v)) for v in back] == [(type(v), repr(v)) for v in column]
    assert [point.value for point in read_history(lines, "b")] == list(range(len(column)))


def test_what_is_smaller_is_stored() -> None:
    """``float64`` is for long columns whose decimal text is longer; ``runs`` for integers."""
    many = [random.Random(1).random() for _ in range(200)]
    values = [{"step": i, "loss": v, "lr": 0.1} for i, v in enumerate(many)]
    (line,) = encode([(0, value, None, None) for value in values]).lines
    step, loss, lr = json.loads(line)["columns"]
    assert step == {"runs": [0, 1, 200]}
    assert list(loss) == ["float64"]
    assert lr == [0.1] * 200


@pytest.mark.parametrize(
    "column",
    [
        {"float64": "AAAA"},
        {"float64": "?"},
        {"float64": ""},
        {"runs": [0, 1, 9]},
        {},
        {"runs": [1]},
    ],
)
def test_a_packed_column_that_is_damaged_is_reported(column: dict[str, Any]) -> None:
    line = json.loads(encode([(0, {"a": 1.0}, None, None), (1, {"a": 2.0}, None, None)]).lines[0])
    with pytest.raises(BadLineError):
        calls([json.dumps(line | {"columns": [column]}).encode()])
    with pytest.raises(BadLineError):
        read_history([json.dumps(line | {"columns": [column]}).encode()], "a")


@pytest.mark.parametrize(
    "change",
    [
        {"times": [1]},
        {"columns": [[1.0]]},
        {"calls": [0, 1, 10**12]},
        {"steps": [0, 1, 2, 3]},
        {"steps": [0, 0, -1, 0, 0, 3]},
        {"notes": [["x", 5]]},
        {"keys": []},
        {"schema": 2},
    ],
)
def test_a_line_that_contradicts_itself_is_reported(change: dict[str, Any]) -> None:
    line = json.loads(encode([(0, {"a": 1.0}, None, None), (1, {"a": 2.0}, None, None)]).lines[0])
    with pytest.raises(BadLineError):
        calls([json.dumps(line | change).encode()])


@given(st.binary(max_size=100))
def test_any_bytes_decode_or_are_reported(line: bytes) -> None:
    with pytest.raises(BadLineError):
        decode_line(line)
