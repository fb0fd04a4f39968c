from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.records.history import History
from gitexp.records.sample import as_float, sample, smoothed

NUMBERS = st.floats() | st.integers(-(10**400), 10**400) | st.integers(-5, 5)


def history(values: Sequence[float], steps: Sequence[int] | None = None) -> History:
    return History("loss", steps or range(len(values)), range(0, 10 * len(values), 10), values)


@given(
    st.lists(NUMBERS, min_size=1, max_size=60)
    | st.lists(st.floats(), min_size=1, max_size=60).map(lambda values: array("d", values)),
    st.integers(4, 40),
    st.data(),
)
def test_the_first_the_last_and_the_extremes_stay(
    values: Sequence[float], count: int, data: Any
) -> None:
    steps = data.draw(st.lists(st.integers(), min_size=len(values), max_size=len(values)))
    if data.draw(st.booleans()):
        steps.sort()
    whole = history(values, steps)
    kept = sample(whole, count, data.draw(st.sampled_from(["step", "time"])))
    assert len(kept) <= count or len(kept) == len(whole)
    times = list(kept.times_ms)
    assert times == sorted(set(times)), "in order, each point once"
    original = dict(zip(whole.times_ms, map(repr, whole), strict=True))
    assert [repr(p) for p in kept] == [original[t] for t in times]
    assert times[0] == whole.times_ms[0]
    assert times[-1] == whole.times_ms[-1]
    finite = [v for v in values if math.isfinite(as_float(v))]
    if finite:
        assert min(finite) in kept.values
        assert max(finite) in kept.values


def test_a_short_history_stays_as_it_is() -> None:
    whole = history([3.0, 1.0, 2.0, 5.0])
    assert sample(whole, 4) is whole


def test_each_stretch_of_steps_keeps_its_lowest_and_highest() -> None:
    """Steps 0 to 1000 in two stretches, nearly all points in the first."""
    steps = [*range(20), 600, 700, 800, 1000]
    values = [0.0] * 24
    values[7], values[9], values[21], values[22] = 5.0, -5.0, 4.0, -4.0
    kept = sample(history(values, steps), 6)
    assert list(kept.steps) == [0, 7, 9, 700, 800, 1000]


def test_one_spike_among_a_hundred_thousand_values_stays() -> None:
    values = array("d", [0.5]) * 100_000
    values[54_321] = 9.0
    kept = sample(history(values), 100)
    assert 54_321 in kept.steps
    assert len(kept) <= 100


def test_where_a_run_diverged_stays_visible() -> None:
    values = [1.0] * 500 + [math.nan] * 500
    kept = sample(history(values), 40)
    assert sum(math.isnan(v) for v in kept.values) >= 10
    assert math.isnan(kept.values[-1])


def test_infinities_hide_no_extreme() -> None:
    values = [float(i % 7) for i in range(100)]
    values[33], values[44] = math.inf, -math.inf
    kept = sample(history(array("d", values)), 10)
    assert {0.0, 6.0} <= set(kept.values)
    assert not any(math.isinf(v) for v in kept.values)


def test_steps_that_go_back_are_sampled_in_their_order() -> None:
    steps = [*range(50), *range(20, 70)]
    kept = sample(history([float(i) for i in range(100)], steps), 20)
    assert list(kept.times_ms) == sorted(kept.times_ms)
    assert (kept.steps[0], kept.steps[-1]) == (0, 69)


def test_fewer_than_four_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        sample(history([1.0, 2.0, 3.0]), 3)


def test_smoothing_is_the_bias_corrected_moving_average() -> None:
    got = smoothed(history([1.0, 2.0, 4.0]), 0.5)
    # m = 0.5, 1.25, 2.625, divided by 0.5, 0.75, 0.875
    assert list(got.values) == pytest.approx([1.0, 5 / 3, 3.0])
    assert (got.steps, got.metric) == (range(3), "loss")


def test_smoothing_leaves_a_constant_and_steps_over_what_is_not_finite() -> None:
    values = [2.0, math.nan, 2.0, -math.inf, 10**400, 2]
    got = list(smoothed(history(values), 0.9).values)
    assert [got[i] for i in (0, 2, 5)] == pytest.approx([2.0] * 3)
    assert math.isnan(got[1])
    assert got[3:5] == [-math.inf, math.inf]


def test_a_weight_of_nought_changes_nothing_and_of_one_is_refused() -> None:
    whole = history([1.0, 2.0])
    assert smoothed(whole, 0) is whole
    for weight in (1, -0.1, math.nan):
        with pytest.raises(ValueError, match="weight"):
            smoothed(whole, weight)
