"""The posterior of an effect, what it is worth, and the fusion of ranks."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.methods.ranking import (
    Belief,
    Observed,
    Prior,
    believe,
    draws,
    expected_improvement,
    fused,
    prior_of,
    ranks,
)

EFFECTS = st.floats(-3, 3)


def test_a_project_without_runs_expects_no_effect_of_a_size_of_one() -> None:
    prior = prior_of([])
    assert prior.mean == 0
    assert prior.between + prior.within == 1


def test_the_prior_learns_that_changes_lose_here() -> None:
    generator = random.Random(1)
    groups = [[generator.gauss(-1, 0.5)] for _ in range(200)]
    prior = prior_of(groups)
    assert prior.mean == pytest.approx(-1, abs=0.15)
    assert prior.between + prior.within == pytest.approx(0.25, abs=0.1)


def test_groups_that_differ_say_that_methods_do() -> None:
    generator = random.Random(2)
    apart = [[generator.gauss(center, 0.2) for _ in range(6)] for center in (-2, -1, 0, 1, 2) * 4]
    alike = [[generator.gauss(0, 1) for _ in range(6)] for _ in range(20)]
    share = [p.between / (p.between + p.within) for p in map(prior_of, (apart, alike))]
    assert share[0] > 0.7
    assert share[1] < 0.2


def test_a_posterior_without_runs_is_the_prior() -> None:
    belief = believe(Prior(-0.5, 0.25, 1.0), [])
    assert belief == (-0.5, 0.5, 0.0)


def test_a_posterior_is_that_of_two_normals() -> None:
    belief = believe(Prior(0.0, 1.0, 1.0), [Observed(2.0, 1.0)])
    assert belief.mean == pytest.approx(1.0)
    assert belief.sd == pytest.approx(math.sqrt(0.5))


@given(st.lists(st.tuples(EFFECTS, st.floats(0, 1)), max_size=20))
def test_a_posterior_lies_between_prior_and_effects(runs: list[tuple[float, float]]) -> None:
    prior = Prior(0.0, 0.5, 1.0)
    belief = believe(prior, [Observed(*run) for run in runs])
    effects = [0.0, *(effect for effect, _ in runs)]
    assert min(effects) - 1e-9 <= belief.mean <= max(effects) + 1e-9
    assert 0 < belief.sd <= math.sqrt(0.5) + 1e-9


def test_a_run_of_weight_zero_says_nothing() -> None:
    prior = Prior(0.1, 0.5, 1.0)
    assert believe(prior, [Observed(-3.0, 0.0)]) == believe(prior, [])


def test_one_lucky_run_is_drawn_further_than_ten() -> None:
    prior = Prior(0.0, 0.3, 0.7)
    one, ten = (believe(prior, [Observed(2.0, 1.0)] * n) for n in (1, 10))
    assert one.mean < 1 < ten.mean < 2


def test_expected_improvement_is_the_mean_of_what_is_above_nothing() -> None:
    generator = random.Random(3)
    drawn = [max(generator.gauss(-0.4, 1.3), 0.0) for _ in range(200_000)]
    assert expected_improvement(-0.4, 1.3) == pytest.approx(statistics.fmean(drawn), rel=0.02)


def test_expected_improvement_of_what_is_known_is_its_gain() -> None:
    assert expected_improvement(0.5, 0.0) == 0.5
    assert expected_improvement(-0.5, 0.0) == 0.0


def test_what_is_unknown_is_worth_more_than_what_is_known_to_do_nothing() -> None:
    assert expected_improvement(0.0, 1.0) > expected_improvement(0.0, 0.1)


def test_draws_are_the_same_for_a_seed_and_differ_between_seeds() -> None:
    beliefs = [Belief(0.0, 1.0, 0.0), Belief(1.0, 0.5, 2.0)]
    assert draws(beliefs, 7) == draws(beliefs, 7)
    assert draws(beliefs, 7) != draws(beliefs, 8)


def test_draws_have_mean_and_spread_of_the_belief() -> None:
    found = [draws([Belief(1.0, 0.5, 0.0)], seed)[0] for seed in range(2000)]
    assert statistics.fmean(found) == pytest.approx(1.0, abs=0.05)
    assert statistics.stdev(found) == pytest.approx(0.5, abs=0.05)


def test_equal_scores_share_a_rank() -> None:
    assert ranks([3.0, 1.0, 3.0, 2.0]) == [1, 4, 1, 3]


def test_fusion_adds_reciprocal_ranks_from_sixty_on() -> None:
    assert fused([[1, 2], [1, 3]]) == [pytest.approx(2 / 61), pytest.approx(1 / 62 + 1 / 63)]


def test_fusion_prefers_what_is_good_by_both() -> None:
    scores = fused([[1, 2, 3], [3, 2, 1]])
    assert scores[0] == pytest.approx(scores[2])
    assert fused([[1, 2, 3], [2, 1, 3]])[2] < min(fused([[1, 2, 3], [2, 1, 3]])[:2])
