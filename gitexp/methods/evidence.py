"""Evidence: the effects of past runs, and what each of them weighs (docs/library.md, "Ranking").

The effect of a run is its gain over its own base, by the goal, in units of the project's spread of
such gains: 1.4826 times their median absolute deviation, which for normal ones is the standard
deviation (Rousseeuw and Croux 1993) and which crashes and one lucky run hardly move. It is at least
the noise, so that a project where nothing but noise happens shows no large effects.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from gitexp.research.belief.history import History, has_value
from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation

LARGEST = 3.0
"""Effects are cut off here, to both sides; a crash is the worst there is."""
CRASHED = -LARGEST
HALF_LIFE = 100.0
"""Runs of the project after which a run weighs half."""
CREDITED, NAMED, FAMILY = 1.0, 0.5, 0.25
"""What a run counts for a method that it is credited to, that its own words name, and that is of
the family of what it tried."""
OTHER_PROGRAM = 0.5
"""What a run of another program than the champion's counts."""
_MAD = 1.4826


class Evidence(NamedTuple):
    """What past runs say of a method.

    Attributes:
        mean: Posterior mean of its effect, in units of the project's spread; above 0 is better.
        sd: Its standard deviation.
        runs: How many runs are credited to it.
        weight: Sum of the weights of all runs that count, of those that are only alike too.
    """

    mean: float
    sd: float
    runs: int
    weight: float


class Trial(NamedTuple):
    """A past run with an effect.

    Attributes:
        run: 20 bytes.
        order: How many runs started before it.
        effect: Of -3 to 3; `CRASHED` for a crash by its own fault.
        trust: How little of the effect may be noise, 0 to 1.
        base: The configuration that it was made from.
        cost: Its duration, in units of the project's median.
    """

    run: bytes
    order: int
    effect: float
    trust: float
    base: bytes | None
    cost: float


def trials(
    observations: Sequence[Observation],
    goal: GoalMetric,
    noise: float,
    is_own_fault: Callable[[bytes], bool],
) -> list[Trial]:
    """Return the runs that have an effect, in the order of their starts.

    A first run has no base, and a run that others stopped has no value: neither says anything.

    Args:
        observations: Of all runs, in the order of their starts.
        goal: What they are judged by.
        noise: Standard deviation between runs of the same configuration, in units of the metric.
        is_own_fault: Says of a run that crashed whether its own code was at fault.
    """
    history = History(observations, lower=goal.lower)
    gains = {
        run.run: goal.gain(run.value, history.means[base])
        for run in observations
        if (base := _base(run, history)) and has_value(run) and run.value is not None
    }
    spread = spread_of(gains.values(), noise)
    typical = statistics.median([run.duration for run in observations if run.duration > 0] or [1.0])
    found = []
    for order, run in enumerate(observations):
        base = _base(run, history)
        gain = gains.get(run.run)
        if gain is not None:
            trust = _trust(noise, spread, len(history.runs[base]) if base else 1)
            effect = effect_of(gain, spread)
        elif run.ended and (run.verdict == "crash" or (run.crashed and is_own_fault(run.run))):
            trust, effect = 1.0, CRASHED
        else:
            continue
        cost = run.duration / typical if run.duration > 0 else 1.0
        found.append(Trial(run.run, order, effect, trust, base, cost))
    return found


def _base(run: Observation, history: History) -> bytes | None:
    base = history.bases.get(run.configuration)
    return base if base != run.configuration and base in history.means else None


def spread_of(gains: Iterable[float], noise: float = 0.0) -> float:
    """Return the spread of gains, more than 0.

    Where more than half of them are the same it is the mean absolute deviation instead.
    """
    found = sorted(gains)
    if not found:
        return noise or 1.0
    middle = statistics.median(found)
    sizes = [abs(gain - middle) for gain in found]
    spread = _MAD * statistics.median(sizes) or statistics.fmean(sizes)
    return max(spread, noise) or 1.0


def effect_of(gain: float, spread: float) -> float:
    """Return a gain as an effect."""
    return min(max(gain / spread, -LARGEST), LARGEST)


def _trust(noise: float, spread: float, base_runs: int) -> float:
    """Return the part of an effect's variance that is not noise, of the run and of its base."""
    return 1 / (1 + (noise / spread) ** 2 * (1 + 1 / base_runs))


def age_weight(runs_since: int, half_life: float = HALF_LIFE) -> float:
    """Return what a run still weighs after so many later ones."""
    return float(0.5 ** (runs_since / half_life))


def fatigue(latest_first: Iterable[Trial]) -> int:
    """Return how many runs in a row, back from the latest, did not improve the same base.

    Args:
        latest_first: The runs that are credited to a method.
    """
    count, base = 0, None
    for trial in latest_first:
        if trial.effect > 0 or (count and trial.base != base):
            break
        count, base = count + 1, trial.base
    return count
