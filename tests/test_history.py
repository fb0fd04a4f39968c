"""Reading one metric gives what decoding everything would, and decodes nothing else."""

from __future__ import annotations

import array
import json
import math
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.records import series
from gitexp.records.facts import BadLineError
from gitexp.records.history import History, read_history
from gitexp.records.nested import flatten
from gitexp.records.series import Point, SeriesEncoder, calls

NUMBERS = st.floats() | st.integers(-(1 << 63), (1 << 64) - 1) | st.integers(-3, 3)
LEAVES = NUMBERS | st.none() | st.booleans() | st.lists(NUMBERS, max_size=2) | st.just("text")
VALUES = LEAVES | st.recursive(
    LEAVES, lambda inner: st.dictionaries(st.sampled_from(["a", "b", "a.b"]), inner), max_leaves=5
)
CALLS = st.lists(
    st.tuples(
        st.integers(0, 1 << 61), VALUES, st.none() | st.just("note"), st.none() | st.integers(-5, 9)
    ),
    max_size=14,
)


def encode(given_calls: list[Any], chunk: int = 1 << 16) -> list[bytes]:
    """Return the metric log of calls (time_ns, value, note, step), ``chunk`` calls to a line."""
    encoder = SeriesEncoder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(series, "CHUNK_CALLS", chunk)
        for call in given_calls:
            encoder.add(*call)
        encoder.flush()
    return encoder.lines


def values_of(value: Any) -> dict[str, Any]:
    return flatten(value) if isinstance(value, dict) and value else {"value": value}


def expected(lines: list[bytes], metric: str) -> list[Point]:
    """Return the history by the long way: every call whole, then the numbers of one metric."""
    found = []
    for call in calls(lines):
        value = values_of(call.value).get(metric)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found.append(Point(call.step, call.time_ms, value))
    return found


def told_apart(points: Any) -> list[tuple[int, int, str]]:
    """Return points so that NaN is itself, and 1 is not 1.0."""
    return [(p.step, p.time_ms, repr(p.value)) for p in points]


@given(CALLS, st.integers(1, 5), st.integers(0, 14), st.randoms())
def test_a_history_is_what_all_calls_say_of_the_metric(
    given_calls: list[Any], chunk: int, sealed_before: int, random: Any
) -> None:
    """Whatever the chunks, shapes and kinds, and if a shorter journal was sealed once before."""
    lines = encode(given_calls, chunk) + encode(given_calls[:sealed_before], chunk + 1)
    random.shuffle(lines)
    for metric in ("a", "b", "a.b", "a.a", "value", "absent"):
        history = read_history(iter(lines * 2), metric)
        assert told_apart(history) == told_apart(expected(lines, metric))
        assert len(history) == len(list(history)) == len(history.steps) == len(history.times_ms)


def points(count: int) -> list[Any]:
    return [(i * 10**7, {"loss": 1 / (i + 1), "n": 3 * i}, None, None) for i in range(count)]


def test_regular_steps_take_no_memory_and_values_eight_bytes_each() -> None:
    lines = encode(points(100), 30)
    loss, count = read_history(lines, "loss"), read_history(lines, "n")
    assert loss.steps == range(100)
    assert isinstance(loss.times_ms, array.array)
    assert isinstance(loss.values, array.array)
    assert count.values == range(0, 300, 3)


def test_the_memory_is_that_of_one_column(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 20 metrics with 5,000 values of 8 bytes, one is read."""
    value = {f"m{i}": 1 / (i + 3) for i in range(20)}
    lines = encode([(i * 10**9, value, None, None) for i in range(5000)], 1000)
    tracemalloc.start()
    history = read_history(lines, "m7")
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(history) == 5000
    assert kept < 2.5 * 5000 * 8
    assert peak < 10 * 5000 * 8


def test_integers_beyond_doubles_stay_exact() -> None:
    large = [2**53 + 1, 2**63, 2**64 - 1, -(2**63)]
    lines = encode([(0, {"n": n}, None, None) for n in large])
    assert list(read_history(lines, "n").values) == large
    line = json.loads(lines[0]) | {"columns": [[10**400, 1, 2, 3]]}
    assert read_history([json.dumps(line).encode()], "n")[0].value == 10**400


def test_steps_beyond_64_bits_stay_exact() -> None:
    first, second = encode(points(8), 4)
    far = json.loads(second) | {"steps": [2**70, 5, 4]}
    history = read_history([first, json.dumps(far).encode()], "loss")
    assert list(history.steps) == [0, 1, 2, 3, *range(2**70, 2**70 + 20, 5)]


def test_metrics_of_calls_of_several_shapes_come_in_order() -> None:
    """Each third call has another metric too, so that its line is another."""
    tracked = [
        (i * 10**6, {"loss": float(i)} | ({"val": 0.5} if i % 3 == 0 else {}), None, None)
        for i in range(20)
    ]
    lines = encode(tracked, 7)
    assert list(read_history(reversed(lines), "loss").values) == [float(i) for i in range(20)]
    assert list(read_history(lines, "val").steps) == list(range(0, 20, 3))


def test_a_history_is_a_sequence_of_points() -> None:
    lines = encode(points(10))
    history = read_history(lines, "loss")
    assert history[3] == Point(3, 30, 0.25)
    assert history[-1].step == 9
    assert history == expected(lines, "loss")
    assert history != expected(lines, "loss")[:-1]
    assert (history == "loss") is False
    assert isinstance(history[2:5], History)
    assert [p.step for p in history[2:9:3]] == [2, 5, 8]
    assert (history[2:5].metric, len(history[2:5])) == ("loss", 3)
    assert Point(3, 30, 0.25) in history
    with pytest.raises(IndexError):
        history[10]


def test_damage_in_the_metrics_own_column_is_reported_and_in_another_is_not_met() -> None:
    line = json.loads(encode(points(3))[0])
    good, bad = {"runs": [0, 1, 3]}, {"runs": [0, 1, 9]}
    damaged = json.dumps(line | {"columns": [good, bad]}).encode()
    assert list(read_history([damaged], "loss").values) == [0, 1, 2]
    with pytest.raises(BadLineError):
        read_history([damaged], "n")


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"keys": [["loss"]]},
        {"calls": [0, 1, 2]},
        {"steps": [0, 1]},
        {"steps": [0, 0, 3, 9]},
        {"times": [0, "x", 1]},
        {"columns": [5, []]},
        {"columns": [[1.0], []]},
        {"columns": [{"float64": "?"}, []]},
        {"notes": [["a", 1]]},
        {"kind": "other"},
    ],
    ids=json.dumps,
)
def test_a_damaged_line_is_reported(change: dict[str, Any]) -> None:
    line = json.dumps(json.loads(encode(points(3))[0]) | change).encode()
    with pytest.raises(BadLineError):
        read_history([line], "loss")


def test_a_line_that_is_no_json_is_reported() -> None:
    for line in (b"{", b"\xff", b'{"kind":"series"', b"[" * 100_000):
        with pytest.raises(BadLineError):
            read_history([line], "loss")


def test_a_column_that_says_nothing_of_a_diverged_run_is_not_lost() -> None:
    lines = encode([(0, {"loss": v}, None, None) for v in (math.nan, None, -math.inf, "NaN!")])
    assert told_apart(read_history(lines, "loss")) == [(0, 0, "nan"), (2, 0, "-inf")]
