"""The posterior: who is best, how sure that is, and what another run would tell."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitexp.research.belief.posterior import fit
from gitexp.research.observations import Observation
from tests.observed import HIGHER, LOWER, Log, known_noise, named


def test_without_runs_there_is_no_champion() -> None:
    posterior = fit([], LOWER)
    assert posterior.champion is None
    assert posterior.champion_run is None
    assert posterior.ranking() == []
    assert posterior.compare(named("a")) is None
    assert posterior.estimate(named("a")) is None
    assert posterior.going_rate == 0.0


def test_one_run_alone_is_the_champion_and_is_compared_with_nothing() -> None:
    log = Log()
    only = log.add("a", 0.5)
    posterior = log.fit()
    assert posterior.champion_run == only.run
    assert posterior.compare(named("a")) is None
    assert posterior.outcome(only.run) == "unresolved"
    estimate = posterior.estimate(named("a"))
    assert estimate is not None
    assert (estimate.mean, estimate.runs) == (0.5, 1)


def test_a_lucky_draw_is_drawn_towards_its_base() -> None:
    log = Log()
    known_noise(log)
    log.add("lucky", 0.985, "start")
    estimate = log.fit().estimate(named("lucky"))
    assert estimate is not None
    assert 0.985 < estimate.mean < 1.0


def test_the_champion_is_not_the_luckiest_run() -> None:
    log = Log()
    known_noise(log)
    log.many("solid", [0.962, 0.960, 0.958, 0.961, 0.959, 0.960], "start")
    for i in range(20):
        log.add(f"null {i}", 1.0 + 0.01 * (-1) ** i, "start")
    log.add("lucky", 0.9585, "start")
    assert log.fit().champion == named("solid")


def test_a_gain_far_beyond_noise_is_certain_and_a_loss_likewise() -> None:
    log = Log()
    known_noise(log)
    good = log.add("good", 0.8, "start")
    bad = log.add("bad", 1.2, "start")
    posterior = log.fit()
    assert posterior.champion == named("good")
    found = posterior.compare(named("good"), named("start"))
    assert found is not None
    assert found.p_better > 0.99
    assert found.replicates == 0
    assert found.gain == pytest.approx(0.2, abs=0.02)
    assert (found.runs, found.champion_runs) == (1, 12)
    assert posterior.outcome(good.run) == "success"
    assert posterior.outcome(bad.run) == "failure"


def test_what_is_within_noise_is_unresolved_and_takes_replicates() -> None:
    log = Log()
    known_noise(log)
    near = log.add("near", 0.99, "start")
    posterior = log.fit()
    found = posterior.compare(named("near"), named("start"))
    assert found is not None
    assert 0.3 < found.p_better < 0.95
    low, high = found.interval
    assert low < found.gain < high
    assert found.p_matters < found.p_better
    assert posterior.outcome(near.run) == "unresolved"


def test_the_champion_is_compared_with_the_second_best() -> None:
    log = Log()
    known_noise(log)
    log.add("good", 0.8, "start")
    posterior = log.fit()
    assert posterior.against(named("good")) == named("start")
    assert posterior.against(named("start")) == named("good")
    assert posterior.ranking() == [named("good"), named("start")]


def test_two_sides_of_a_comparison_add_up_to_one() -> None:
    log = Log()
    known_noise(log)
    log.add("a", 0.985, "start")
    log.add("b", 0.98, "start")
    log.add("c", 0.978, "a")
    posterior = log.fit()
    for one, other in (("a", "start"), ("a", "b"), ("b", "c"), ("c", "start")):
        p = posterior.p_better(named(one), named(other))
        q = posterior.p_better(named(other), named(one))
        assert p is not None
        assert q is not None
        assert p + q == pytest.approx(1.0)


def test_children_that_come_out_worse_show_that_a_base_was_lucky() -> None:
    log = Log()
    known_noise(log)
    log.add("lucky", 0.98, "start")
    before = log.fit().estimate(named("lucky"))
    for i in range(12):
        log.add(f"child {i}", 1.0 + 0.001 * i, "lucky")
    after = log.fit().estimate(named("lucky"))
    assert before is not None
    assert after is not None
    assert after.mean > before.mean


def test_a_run_that_broke_moves_nothing() -> None:
    log = Log()
    known_noise(log)
    log.add("good", 0.95, "start")
    before = log.fit().estimate(named("start"))
    log.add("broken", 1e30, "start")
    after = log.fit().estimate(named("start"))
    assert before is not None
    assert after is not None
    assert after.mean == pytest.approx(before.mean, abs=0.002)


@pytest.mark.parametrize("value", [None, 1e200, -1e300])
def test_no_value_or_an_absurd_one_is_a_crash(value: float | None) -> None:
    log = Log()
    known_noise(log)
    run = log.add("none", value, "start")
    posterior = log.fit()
    assert posterior.outcome(run.run) == "crash"
    assert posterior.compare(named("none")) is None
    assert posterior.champion == named("start")


def test_crashed_and_unfinished_runs_have_no_say() -> None:
    log = Log()
    known_noise(log)
    crashed = log.add("crashed", 0.1, "start", crashed=True)
    called = log.add("called", 0.1, "start", verdict="crash")
    going = log.add("going", 0.1, "start", ended=False)
    posterior = log.fit()
    assert posterior.champion == named("start")
    outcomes = [posterior.outcome(run.run) for run in (crashed, called, going)]
    assert outcomes == ["crash", "crash", "unresolved"]
    assert posterior.outcome(b"unknown") == "unresolved"


def test_what_a_person_discarded_is_never_champion_unless_a_person_kept_it_too() -> None:
    log = Log()
    known_noise(log)
    gone = log.add("gone", 0.5, "start", verdict="discard")
    assert log.fit().champion == named("start")
    assert log.fit().outcome(gone.run) == "unresolved"
    log.add("gone", 0.5, "start", verdict="keep")
    assert log.fit().champion == named("gone")


def test_a_kept_run_is_a_success() -> None:
    log = Log()
    known_noise(log)
    kept = log.add("kept", 1.0, "start", verdict="keep")
    assert log.fit().outcome(kept.run) == "success"


def test_all_runs_the_same_is_an_even_chance() -> None:
    log = Log()
    for name in "abcd":
        log.many(name, [0.5, 0.5], None if name == "a" else "a")
    posterior = log.fit()
    assert posterior.champion == named("a")
    p = posterior.p_better(named("b"), named("a"))
    assert p is not None
    assert 0.2 < p < 0.8


def test_a_deterministic_program_needs_no_second_look() -> None:
    log = Log()
    log.many("a", [0.5, 0.5, 0.5])
    log.add("b", 0.49, "a")
    posterior = log.fit()
    assert posterior.noise.measured
    p = posterior.p_better(named("b"), named("a"))
    assert p is not None
    assert p > 0.95


def test_few_replicates_leave_more_doubt_than_many() -> None:
    few, many = Log(), Log()
    few.many("start", [0.99, 1.01])
    known_noise(many, scale=1.41)
    for log in (few, many):
        log.add("new", 0.95, "start")
    doubts = [log.fit().p_better(named("new"), named("start")) for log in (few, many)]
    assert doubts[0] is not None
    assert doubts[1] is not None
    assert doubts[0] < doubts[1]


def test_paired_seeds_tell_more_than_unpaired_ones() -> None:
    rng = random.Random(2)
    common = [rng.gauss(0, 0.1) for _ in range(8)]
    paired, unpaired = Log(), Log()
    paired.many("a", [1 + c for c in common])
    paired.many("b", [0.98 + c + rng.gauss(0, 0.005) for c in common], "a")
    for run in paired.runs:
        unpaired.runs.append(run._replace(seed=None))
    p, q = (log.fit().p_better(named("b"), named("a")) for log in (paired, unpaired))
    assert p is not None
    assert q is not None
    assert p > q


def test_replicates_that_are_needed_are_fewer_for_larger_gains() -> None:
    needed = []
    for value in (0.984, 0.988):
        log = Log()
        known_noise(log)
        log.many("new", [value, value + 0.001], "start")
        found = log.fit().compare(named("new"), named("start"))
        assert found is not None
        needed.append(found.replicates)
    assert needed[0] is not None
    assert needed[1] is None or needed[0] <= needed[1]


def test_a_run_of_what_is_open_is_worth_more_than_of_what_is_settled() -> None:
    log = Log()
    known_noise(log)
    log.add("open", 0.99, "start")
    log.add("settled", 2.0, "start")
    posterior = log.fit()
    found = [posterior.worth(named(name), named("start")) for name in ("open", "settled")]
    assert found[0] is not None
    assert found[1] is not None
    assert found[0].worth > 100 * found[1].worth
    assert found[1].replicates == 0
    assert posterior.expected_gain(named("open"), named("start")) > 0


def test_order_of_observations_and_clocks_that_jump_change_no_answer() -> None:
    log = Log()
    known_noise(log)
    log.add("a", 0.95, "start")
    log.add("b", 0.94, "a")
    shuffled = list(log.runs)
    random.Random(1).shuffle(shuffled)
    p = fit(shuffled, LOWER).p_better(named("b"), named("start"))
    assert p == log.fit().p_better(named("b"), named("start"))
    jumped = [*log.runs[:-1], log.runs[-1]._replace(started=-5)]
    found = fit(jumped, LOWER)
    assert found.champion == named("b")
    assert found.base(named("b")) == named("a")


def test_bases_in_a_circle_are_cut() -> None:
    log = Log()
    log.add("a", 1.0, "c")
    log.add("b", 0.9, "a")
    log.add("c", 0.8, "b")
    log.add("a", 1.1, "c")
    posterior = log.fit()
    assert posterior.champion is not None
    assert posterior.compare(named("a")) is not None


def test_without_a_base_the_best_before_it_is_the_base() -> None:
    log = Log()
    log.add("a", 1.0)
    log.add("b", 0.5)
    log.add("c", 0.7)
    posterior = log.fit()
    assert posterior.base(named("a")) is None
    assert posterior.base(named("b")) == named("a")
    assert posterior.base(named("c")) == named("b")


def test_unmeasured_noise_is_said() -> None:
    log = Log()
    log.add("a", 1.0)
    log.add("b", 0.5, "a")
    noise = log.fit().noise
    assert not noise.measured
    assert noise.degrees == 0
    assert noise.sd > 0


def test_noise_over_decades_is_told_at_the_champion() -> None:
    rng = random.Random(4)
    log = Log()
    base = None
    for center in (300.0, 30.0, 3.0):
        name = f"at {center}"
        log.many(name, [center * math.exp(rng.gauss(0, 0.02)) for _ in range(5)], base)
        base = name
    log.add("next", 2.5, base)
    posterior = log.fit()
    assert posterior.estimate_of_noise.proportional
    assert posterior.noise.sd < 0.3
    found = posterior.compare(named("next"), named("at 3.0"))
    assert found is not None
    assert found.p_better > 0.9
    assert found.gain == pytest.approx(0.5, abs=0.2)
    assert found.interval[0] < found.gain < found.interval[1]


def test_a_value_below_zero_among_replicates_is_no_logarithm() -> None:
    rng = random.Random(4)
    log = Log()
    for center in (300.0, 30.0, 3.0):
        log.many(f"{center}", [center * math.exp(rng.gauss(0, 0.02)) for _ in range(5)])
    log.many("odd", [-1.0, 5.0])
    assert log.fit().champion is not None


def test_thousands_of_configurations_are_answered_whether_looked_at_together_or_not() -> None:
    rng = random.Random(1)
    log = Log()
    known_noise(log)
    for i in range(3_000):
        log.add(f"c{i}", 1.0 + abs(rng.gauss(0, 0.1)), "start")
    log.add("best", 0.5, "start")
    posterior = log.fit()
    assert posterior.champion == named("best")
    assert len(posterior.ranking()) == 3_002
    assert posterior.ranking()[0] == named("best")
    found = posterior.compare(named("c7"))
    assert found is not None
    assert found.p_better < 0.05
    assert posterior.estimate(named("c7")) is not None


VALUES = st.lists(st.floats(0.5, 1.5).map(lambda x: round(x, 4)), min_size=4, max_size=12)


def history(values: list[float]) -> Log:
    """Two runs of each start, the rest one after the other from the one before."""
    log = Log()
    log.many("start", values[:3])
    for i, value in enumerate(values[3:]):
        log.add(f"c{i}", value, "start" if i % 2 else (f"c{i - 1}" if i else "start"))
    return log


def answers(runs: list[Observation], *, lower: bool) -> list[float]:
    posterior = fit(runs, LOWER if lower else HIGHER)
    found = [posterior.compare(run.configuration) for run in runs]
    return [each.p_better for each in found if each is not None]


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_the_mirrored_metric_gives_the_same_probabilities(values: list[float]) -> None:
    log = history(values)
    mirrored = [run._replace(value=-(run.value or 0.0)) for run in log.runs]
    assert answers(mirrored, lower=False) == pytest.approx(answers(log.runs, lower=True), abs=1e-6)


@settings(max_examples=30, deadline=None)
@example([1.1016, 1.1016, 1.1016, 1.0], -3.0)
@given(VALUES, st.sampled_from([-3.0, -0.75, 5.0, 100.0]))
def test_adding_a_constant_changes_no_probability(values: list[float], constant: float) -> None:
    log = history(values)
    moved = [run._replace(value=(run.value or 0.0) + constant) for run in log.runs]
    assert answers(moved, lower=True) == pytest.approx(answers(log.runs, lower=True), abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(VALUES, st.sampled_from([1e-6, 0.5, 1000.0]))
def test_another_unit_scales_gains_and_keeps_probabilities(
    values: list[float], factor: float
) -> None:
    log = history(values)
    scaled = fit([run._replace(value=(run.value or 0.0) * factor) for run in log.runs], LOWER)
    plain = log.fit()
    for run in log.runs:
        one, other = (each.compare(run.configuration) for each in (plain, scaled))
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            assert other.p_better == pytest.approx(one.p_better, abs=1e-4)
            assert other.gain == pytest.approx(one.gain * factor, rel=1e-3, abs=1e-6 * factor)


@settings(max_examples=30, deadline=None)
@given(VALUES)
def test_probabilities_and_intervals_are_sane(values: list[float]) -> None:
    posterior = history(values).fit()
    for name in posterior.ranking():
        found = posterior.compare(name)
        if found is None:
            continue
        assert 0 <= found.p_matters <= found.p_better <= 1
        assert found.interval[0] <= found.interval[1]
        assert all(map(math.isfinite, (found.gain, found.mean, *found.interval)))


def test_the_minimum_that_is_set_counts() -> None:
    log = Log()
    known_noise(log)
    log.add("new", 0.96, "start")
    found = fit(log.runs, replace(LOWER, minimum=0.5)).compare(named("new"), named("start"))
    assert found is not None
    assert found.minimum == 0.5
    assert found.p_matters < 0.05
