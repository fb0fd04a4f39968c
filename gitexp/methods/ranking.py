"""The posterior of an effect, what it is worth, and how ranks are fused (docs/library.md).

Model. The effects of a project's runs, in units of its spread, are ``e ~ N(theta, within)``, where
``theta`` is the effect of what was tried and itself ``N(mean, between)`` over all that the project
tried: a normal hierarchical model whose mean and variances are estimated from the project's own
effects (parametric empirical Bayes: Efron and Morris 1973; Gelman et al., Bayesian Data Analysis,
ch. 5). Of ``between`` and ``within`` the share is the intraclass correlation of runs of one thing,
by analysis of variance (Shrout and Fleiss 1979). All three are drawn towards what is assumed
without any run. Runs that are only alike count by a weight, as that part of a run.
"""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterable, Sequence
from typing import NamedTuple

PRIOR_EFFECTS = 5.0
"""Effects that the assumed mean of 0 and variance of 1 are worth."""
PRIOR_GROUPS = 5.0
"""Groups that the assumed share is worth."""
PRIOR_SHARE = 0.3
"""Of the variance of effects that lies between what was tried, where nothing is known."""
_SHARES = (0.05, 0.9)
FUSED_AT = 60
"""The constant of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)."""

_NORMAL = statistics.NormalDist()


class Observed(NamedTuple):
    """A past run as it counts for something: its effect, and its weight from 0 to 1."""

    effect: float
    weight: float


class Prior(NamedTuple):
    """What is expected of an effect before any run of it, in units of the project's spread.

    Attributes:
        mean: Of all that the project tried.
        between: Variance between the true effects of what was tried.
        within: Variance between runs of the same.
    """

    mean: float
    between: float
    within: float


class Belief(NamedTuple):
    """The posterior of an effect: a normal; `weight` is the sum of the weights behind it."""

    mean: float
    sd: float
    weight: float


def prior_of(groups: Iterable[Sequence[float]]) -> Prior:
    """Return the prior that the effects of a project make.

    Args:
        groups: Effects, those of the same thing together; each effect in one group.
    """
    found = [group for group in groups if group]
    effects = [effect for group in found for effect in group]
    mean = math.fsum(effects) / (len(effects) + PRIOR_EFFECTS)
    squares = math.fsum((effect - mean) ** 2 for effect in effects)
    variance = (squares + PRIOR_EFFECTS) / (len(effects) + PRIOR_EFFECTS)
    share = _share_between([group for group in found if len(group) > 1])
    return Prior(mean, share * variance, (1 - share) * variance)


def _share_between(groups: Sequence[Sequence[float]]) -> float:
    """Return the intraclass correlation, drawn towards `PRIOR_SHARE`."""
    if len(groups) < 2:  # noqa: PLR2004 - between groups there must be two
        return PRIOR_SHARE
    effects = [effect for group in groups for effect in group]
    total, count = len(effects), len(groups)
    center = statistics.fmean(effects)
    means = [statistics.fmean(group) for group in groups]
    between = sum(len(g) * (m - center) ** 2 for g, m in zip(groups, means, strict=True))
    within = sum((e - m) ** 2 for g, m in zip(groups, means, strict=True) for e in g)
    between /= count - 1
    within /= total - count
    size = (total - sum(len(group) ** 2 for group in groups) / total) / (count - 1)
    spread = between + (size - 1) * within
    share = (between - within) / spread if spread > 0 else PRIOR_SHARE
    drawn = (count * share + PRIOR_GROUPS * PRIOR_SHARE) / (count + PRIOR_GROUPS)
    return min(max(drawn, _SHARES[0]), _SHARES[1])


def believe(prior: Prior, observed: Iterable[Observed]) -> Belief:
    """Return the posterior of an effect.

    Args:
        prior: Of the project.
        observed: Past runs that count for it; those of weight 0 may be among them.
    """
    weight = total = 0.0
    for each in observed:
        weight += each.weight
        total += each.weight * each.effect
    precision = 1 / prior.between + weight / prior.within
    mean = (prior.mean / prior.between + total / prior.within) / precision
    return Belief(mean, 1 / math.sqrt(precision), weight)


def expected_improvement(mean: float, sd: float) -> float:
    """Return E[max(effect, 0)] of a normal (Mockus 1978; Jones, Schonlau and Welch 1998)."""
    if sd <= 0:
        return max(mean, 0.0)
    z = mean / sd
    return mean * _NORMAL.cdf(z) + sd * _NORMAL.pdf(z)


def draws(beliefs: Sequence[Belief], seed: int) -> list[float]:
    """Return one draw of each posterior (Thompson 1933); the same for the same seed."""
    generator = random.Random(seed)  # noqa: S311 - for exploring, not for secrets
    return [generator.gauss(belief.mean, belief.sd) for belief in beliefs]


def ranks(scores: Sequence[float]) -> list[int]:
    """Return the rank of each score, from 1, the highest first; equal scores share a rank."""
    first: dict[float, int] = {}
    for place, score in enumerate(sorted(scores, reverse=True), 1):
        first.setdefault(score, place)
    return [first[score] for score in scores]


def fused(rankings: Iterable[Sequence[int]]) -> list[float]:
    """Return the reciprocal-rank fusion of several rankings of the same things.

    Args:
        rankings: Each has the rank of each thing, from 1.
    """
    return [
        math.fsum(1 / (FUSED_AT + rank) for rank in each) for each in zip(*rankings, strict=True)
    ]
