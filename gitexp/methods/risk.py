"""Risk: the probability that a run crashes by its own fault, or loses much.

It is a label, and a veto for whoever asks for one; it is no term of any rank. Runs that count for
something are counted by their weights, and drawn towards the project's rate (a beta-binomial model
whose prior is the project: Gelman et al., Bayesian Data Analysis, ch. 5); that rate is drawn
towards `ASSUMED` where there are few runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

BIG_LOSS = -1.0
"""Effects below this are big losses: worse than the base by more than the project's spread."""
ASSUMED = 0.2
"""The rate of a project of which nothing is known."""
PRIOR_RUNS = 5.0
"""Runs that `ASSUMED` is worth beside those of the project."""
OWN_RUNS = 1.0
"""Runs that the project's rate is worth beside those of one thing."""
_LOW, _HIGH = 0.15, 0.35

Label = Literal["low", "medium", "high"]


def is_bad(effect: float) -> bool:
    """Say whether an effect is what risk is the probability of; a crash has the worst effect."""
    return effect < BIG_LOSS


def rate_of(bad: Iterable[tuple[bool, float]]) -> float:
    """Return the rate of a project: whether runs went badly, each with its weight."""
    return _drawn(bad, ASSUMED, PRIOR_RUNS)


def risk_of(bad: Iterable[tuple[bool, float]], rate: float) -> float:
    """Return the probability for something, 0 to 1.

    Args:
        bad: Whether the runs that count for it went badly, each with its weight.
        rate: Of the project.
    """
    return _drawn(bad, rate, OWN_RUNS)


def _drawn(bad: Iterable[tuple[bool, float]], towards: float, runs: float) -> float:
    total, weight = towards * runs, runs
    for is_bad_one, each in bad:
        weight += each
        total += each * is_bad_one
    return total / weight


def label(risk: float) -> Label:
    """Return a risk in a word."""
    return "low" if risk < _LOW else "high" if risk >= _HIGH else "medium"
