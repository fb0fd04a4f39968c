"""Effects of past runs, and what they weigh."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.methods.evidence import (
    CRASHED,
    LARGEST,
    Trial,
    age_weight,
    effect_of,
    fatigue,
    spread_of,
    trials,
)
from gitexp.research.goal import GoalMetric
from tests.observed import HIGHER, LOWER, Log

FINITE = st.floats(-1e12, 1e12)


def made(
    log: Log, goal: GoalMetric = LOWER, noise: float = 0.0, *, own: bool = True
) -> list[Trial]:
    """Return the trials of a log; every crash is its code's own fault, or none is."""
    return trials(log.runs, goal, noise, lambda _: own)


def test_the_first_run_has_no_base_and_so_no_effect() -> None:
    log = Log()
    log.add("a", 1.0)
    assert made(log) == []


def test_an_effect_is_a_gain_over_its_own_base_and_not_over_the_champion() -> None:
    log = Log()
    log.add("a", 1.0)
    log.add("best", 0.5, "a")
    log.add("from a", 0.9, "a")
    by_run = {trial.run: trial.effect for trial in made(log)}
    assert by_run[log.runs[2].run] > 0


def test_effects_are_oriented_by_the_goal() -> None:
    log = Log()
    log.add("a", 1.0)
    log.add("b", 0.9, "a")
    log.add("c", 1.2, "a")
    lower = [trial.effect for trial in made(log)]
    higher = [trial.effect for trial in made(log, HIGHER)]
    assert lower == [-effect for effect in higher]
    assert lower[0] > 0 > lower[1]


def test_a_run_of_the_base_itself_has_no_effect() -> None:
    log = Log()
    log.many("a", [1.0, 1.01, 0.99])
    assert made(log) == []


def test_a_crash_by_its_own_fault_has_the_worst_effect() -> None:
    log = Log()
    log.add("a", 1.0)
    log.add("b", None, "a", crashed=True)
    assert [trial.effect for trial in made(log)] == [CRASHED]
    assert made(log, own=False) == []


def test_a_crash_that_somebody_called_one_counts_whatever_it_reported() -> None:
    log = Log()
    log.add("a", 1.0)
    log.add("b", None, "a", verdict="crash")
    assert [trial.effect for trial in made(log, own=False)] == [CRASHED]


def test_a_run_in_progress_says_nothing() -> None:
    log = Log()
    log.add("a", 1.0)
    log.add("b", 0.5, "a", ended=False)
    assert made(log) == []


def test_one_outlier_does_not_move_the_spread() -> None:
    gains = [0.1, -0.1, 0.2, -0.2, 0.15, -0.15]
    assert spread_of([*gains, 1e6]) < 2 * spread_of(gains)


def test_the_spread_of_normal_gains_is_their_standard_deviation() -> None:
    from statistics import NormalDist

    gains = [NormalDist(0, 0.3).inv_cdf((i + 0.5) / 999) for i in range(999)]
    assert spread_of(gains) == pytest.approx(0.3, rel=0.01)


def test_the_spread_is_at_least_the_noise() -> None:
    assert spread_of([0.001, 0.002, 0.003], noise=0.5) == 0.5


@given(st.lists(FINITE, max_size=30), FINITE)
def test_effects_are_finite_and_cut_off(gains: list[float], gain: float) -> None:
    spread = spread_of(gains)
    assert spread > 0
    assert -LARGEST <= effect_of(gain, spread) <= LARGEST


def test_a_gain_of_the_size_of_the_noise_weighs_less() -> None:
    log = Log()
    log.add("a", 1.0)
    for number, value in enumerate((0.9, 1.1, 0.8, 1.2)):
        log.add(f"b{number}", value, "a")
    clear, noisy = (made(log, noise=noise)[0].trust for noise in (0.0, 0.2))
    assert clear == 1.0
    assert noisy < 0.7


def test_a_base_with_replicates_makes_a_gain_surer() -> None:
    log = Log()
    log.add("once", 1.0)
    log.many("often", [1.0, 1.1, 0.9, 1.0])
    log.add("b", 0.9, "once")
    log.add("c", 0.9, "often")
    *_, once, often = made(log, noise=0.1)
    assert often.trust > once.trust


def test_a_run_weighs_half_after_a_half_life() -> None:
    assert age_weight(0) == 1.0
    assert age_weight(50, half_life=50) == 0.5
    assert math.isclose(age_weight(100, half_life=50), 0.25)


def trial(effect: float, base: bytes = b"a") -> Trial:
    return Trial(b"", 0, effect, 1.0, base, 1.0)


def test_fatigue_counts_back_to_what_improved() -> None:
    assert fatigue([trial(-1), trial(-0.5), trial(1), trial(-1)]) == 2
    assert fatigue([trial(1), trial(-1)]) == 0
    assert fatigue([]) == 0


def test_fatigue_ends_where_the_base_changed() -> None:
    assert fatigue([trial(-1, b"b"), trial(-1, b"b"), trial(-1, b"a")]) == 2
