"""Noise: what replicates say of it, and what is never taken for it."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitexp.research.belief.distributions import (
    Mixture,
    chi_square_cdf,
    chi_square_quantile,
    normal_cdf,
)
from gitexp.research.belief.noise import (
    NoiseEstimate,
    assumed,
    draws,
    estimate_noise,
    resolution,
    robust_scale,
    squares,
)
from tests.observed import Log, named


def estimated(
    groups: dict[str, list[float]], differences: tuple[float, ...] = (), seeds: bool = True
) -> NoiseEstimate:
    log = Log()
    for name, values in groups.items():
        for seed, value in enumerate(values):
            log.add(name, value, seed=seed if seeds else None)
    found: dict[bytes, list[Any]] = {}
    for run in log.runs:
        found.setdefault(run.configuration, []).append(run)
    values = [value for group in groups.values() for value in group]
    return estimate_noise(found, values, differences)


def test_effects_far_beyond_noise_do_not_widen_it() -> None:
    values = [1.0 + 0.01 * step for step in (-1.6, -1.1, -0.5, -0.1, 0.1, 0.5, 1.1, 1.6)]
    assert estimated({"a": values}, (5.0, 90.0)).sd < 1.2 * statistics.stdev(values)


@pytest.mark.parametrize(
    ("x", "degrees", "p"),
    [(3.841459, 1, 0.95), (5.991465, 2, 0.95), (18.30704, 10, 0.95), (124.3421, 100, 0.95)],
)
def test_chi_square_is_as_in_the_tables(x: float, degrees: float, p: float) -> None:
    assert chi_square_cdf(x, degrees) == pytest.approx(p, abs=1e-6)
    assert chi_square_quantile(p, degrees) == pytest.approx(x, rel=1e-5)


def test_chi_square_of_many_degrees_is_nearly_normal() -> None:
    assert chi_square_cdf(1000, 1000) == pytest.approx(0.5059, abs=1e-3)
    assert chi_square_quantile(0.05, 0.5) > 0


def test_a_mixture_of_one_part_is_a_normal() -> None:
    mixture = Mixture([(1.0, 2.0, 3.0)])
    assert mixture.above(2.0) == pytest.approx(0.5)
    assert mixture.quantile(normal_cdf(1.0)) == pytest.approx(5.0)
    assert (mixture.mean, mixture.variance) == (2.0, 9.0)
    assert mixture.expected_excess(2.0) == pytest.approx(3.0 / math.sqrt(2 * math.pi))


def test_without_replicates_noise_is_unmeasured_and_has_no_interval() -> None:
    found = estimated({"a": [1.0], "b": [5.0], "c": [9.0]}, (0.4, -0.8, 3.0, 0.5))
    assert not found.measured
    assert (found.degrees, found.interval()) == (0.0, None)


def test_what_is_assumed_rests_on_differences_not_on_the_spread_of_values() -> None:
    near = estimated({"a": [1.0], "b": [50.0], "c": [900.0]}, (0.1, 0.1, 0.1, 0.1))
    far = estimated({"a": [1.0], "b": [1.1], "c": [1.2]}, (0.1, 0.1, 0.1, 0.1))
    assert near.sd == far.sd == assumed([0.1] * 4)


def test_what_is_assumed_takes_as_much_for_noise_as_there_are_differences_to_choose_from() -> None:
    one = assumed([1.0])  # taken for a median: |N(0, 2)| is above 0.954 as often as below
    assert one == pytest.approx(1 / 0.9539, rel=1e-3)
    rng = random.Random(3)
    many = assumed([rng.gauss(0, math.sqrt(2)) for _ in range(20_000)])
    assert many == pytest.approx(1.0, rel=0.05)


def test_rounding_is_no_difference_between_values() -> None:
    equal = [-1.8984, -1.8984, -1.8984]
    values = [*equal, statistics.fmean([1.1016 - 3.0] * 3), -2.0]
    assert resolution(values) == pytest.approx(0.1016 / math.sqrt(12))


def test_replicates_are_pooled_within_configurations() -> None:
    rng = random.Random(1)
    groups = {
        f"g{i}": [center + rng.gauss(0, 0.5) for _ in range(5)]
        for i, center in enumerate((0, 100, -300, 7))
    }
    found = estimated(groups, (0.3, 0.4))
    pooled = statistics.fmean(statistics.variance(values) for values in groups.values())
    assert found.degrees == 16
    # The prior of one degree adds the rest.
    prior = (0.5 * assumed((0.3, 0.4))) ** 2
    assert found.sd**2 == pytest.approx((16 * pooled + prior) / 17)


def test_the_interval_holds_the_truth_nine_times_of_ten() -> None:
    rng = random.Random(7)
    held = 0
    for _ in range(300):
        found = estimated({"a": [rng.gauss(0, 1) for _ in range(6)]}, (1.0,))
        low, high = found.interval() or (0.0, 0.0)
        held += low <= 1.0 <= high
    assert 0.85 <= held / 300 <= 0.96


def test_a_deterministic_program_has_the_noise_of_rounding_and_no_division_by_zero() -> None:
    found = estimated({"a": [0.25, 0.25], "b": [0.5, 0.5, 0.5]}, (0.25,))
    assert found.measured
    assert found.sd == pytest.approx(0.25 / math.sqrt(12))
    assert estimated({"a": [0.0, 0.0]}).sd > 0


def test_the_same_seed_with_the_same_value_is_the_same_draw() -> None:
    log = Log()
    for seed, value in ((1, 0.5), (1, 0.5), (1, 0.6), (2, 0.5), (None, 0.5), (None, 0.5)):
        log.add("a", value, seed=seed)
    assert len(draws(log.runs)) == 5
    repeated = Log()
    for _ in range(3):
        repeated.add("a", 0.5, seed=42)
    assert not estimate_noise({named("a"): repeated.runs}, [0.5], [0.1]).measured


def test_one_replicate_that_diverged_does_not_hide_the_noise_of_the_others() -> None:
    rng = random.Random(3)
    groups = {f"g{i}": [1 + rng.gauss(0, 0.01) for _ in range(4)] for i in range(4)}
    clean = estimated(groups, (0.01,))
    groups["g0"][2] = 900.0
    dirty = estimated(groups, (0.01,))
    assert dirty.sd < 2 * clean.sd


def test_normal_replicates_are_not_cut() -> None:
    values = [[0.0, 1.0, -1.0, 0.5], [3.0, 3.5, 2.5]]
    plain = sum(statistics.variance(group) * (len(group) - 1) for group in values)
    assert squares(values) == pytest.approx(plain)
    assert robust_scale([[1.0, 2.0]]) is None


def test_noise_in_proportion_to_the_value_is_found_over_decades() -> None:
    rng = random.Random(5)
    groups = {
        f"g{center}": [center * math.exp(rng.gauss(0, 0.03)) for _ in range(4)]
        for center in (3, 30, 300)
    }
    found = estimated(groups, (1.0, 20.0))
    assert found.proportional
    assert 0.015 < found.sd < 0.08
    assert found.at(300.0).sd == pytest.approx(100 * found.at(3.0).sd)


def test_the_same_noise_at_all_values_is_not_taken_for_proportional() -> None:
    rng = random.Random(6)
    groups = {
        f"g{center}": [center + rng.gauss(0, 0.1) for _ in range(4)] for center in (3, 30, 300)
    }
    assert not estimated(groups, (1.0,)).proportional


def test_runs_that_share_seeds_and_vary_together_are_correlated() -> None:
    rng = random.Random(8)
    common = [rng.gauss(0, 1) for _ in range(8)]
    groups = {
        name: [shift + value + rng.gauss(0, 0.1) for value in common]
        for name, shift in (("a", 0.0), ("b", 0.5))
    }
    assert estimated(groups, (0.5,)).correlation > 0.6
    assert estimated(groups, (0.5,), seeds=False).correlation == 0.0


def test_independent_runs_with_the_same_seeds_are_hardly_correlated() -> None:
    rng = random.Random(9)
    found = [
        estimated({name: [rng.gauss(0, 1) for _ in range(8)] for name in "ab"}, (0.5,)).correlation
        for _ in range(30)
    ]
    assert statistics.fmean(found) < 0.3


def test_rounding_is_told_by_the_smallest_difference() -> None:
    assert resolution([0.91, 0.92, 0.95]) == pytest.approx(0.01 / math.sqrt(12))
    assert resolution([]) > 0


NUMBERS = st.floats(-100, 100).map(lambda x: round(x, 3))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(NUMBERS, min_size=2, max_size=5), min_size=1, max_size=5))
def test_noise_is_positive_finite_and_the_same_for_the_mirrored_metric(
    groups: list[list[float]],
) -> None:
    by_name = {str(i): values for i, values in enumerate(groups)}
    mirrored = {name: [-value for value in values] for name, values in by_name.items()}
    found, other = (estimated(each, (1.0, -2.0), seeds=False) for each in (by_name, mirrored))
    assert found.sd > 0
    assert math.isfinite(found.sd)
    if not found.proportional and not other.proportional:
        assert found.sd == pytest.approx(other.sd)


def test_more_replicates_do_not_widen_the_interval_in_the_mean() -> None:
    rng = random.Random(11)

    def width(count: int) -> float:
        found = estimated({"a": [rng.gauss(0, 1) for _ in range(count)]}, (0.5,))
        low, high = found.interval() or (0.0, 0.0)
        return math.log(high / low)

    widths = [statistics.fmean(width(count) for _ in range(40)) for count in (2, 4, 8, 16)]
    assert widths == sorted(widths, reverse=True)
