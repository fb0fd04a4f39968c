"""What is known of the true value of each configuration, and how sure a difference is.

`fit` groups runs into configurations, takes the noise from replicates
(`gitexp.research.belief.noise`), and finds the posterior of all true values with the project's own
effects as prior (`gitexp.research.belief.effects`). The champion is the best posterior mean, not
the luckiest draw.

Comparisons. The gain of a configuration over its base is the posterior of its effect, a mixture of
normals; over another one it is the mixture of its own value less the other's normal, with the
covariance that their common ancestor gives: along a path of the forest covariances multiply as
``cov(theta_i, theta_b) / var(theta_b)``. That sigma is itself uncertain is taken in by averaging
over its posterior (`NoiseEstimate.ratios`): with few replicates the tails are those of Student's t.

Replicates. After m more runs the variance of a gain ``G = theta_i - theta_c`` is

    a - k^2 / (v_i + sigma^2 / m),   a = var G,   k = cov(G, theta_i) = v_i - cov(theta_i, theta_c)

and `replicates` is the least m at which the gain as it seems now is 1.645 of those standard
deviations. What one more run is worth is its knowledge gradient (Frazier, Powell and Dayanik 2008):
``s f(-|E G| / s)`` with ``f(z) = z Phi(z) + phi(z)`` and ``s^2 = k^2 / (v_i + sigma^2)``: by how
much the best of the two is expected to become better for knowing its outcome.

Bounds. With more than `CORE` configurations the posterior is that of the latest, the best, and the
most often replicated ones with their bases; any other is estimated from its own values and its
base's when it is asked for. So 10,000 runs take some 20 ms.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gitexp.records.decision import Comparison, Noise
from gitexp.research.belief.distributions import Mixture, normal_cdf, normal_pdf
from gitexp.research.belief.effects import (
    Normal,
)
from gitexp.research.belief.history import History, Scale, core_of, has_value, values_of
from gitexp.research.belief.levels import Layout, Levels, least
from gitexp.research.belief.noise import estimate_noise
from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation

LIKELY = 0.95
UNLIKELY = 0.05
MOST_REPLICATES = 100
MINIMUM_IN_NOISE = 0.25
"""The smallest gain that matters where `exprag.minimum` is not set, in standard deviations."""

_UNLIKELY_NOISE = 0.02
"""Noises are left out that are so much less likely than the likeliest."""
_RESOLVED = statistics.NormalDist().inv_cdf(LIKELY)

Outcome = Literal["success", "failure", "unresolved", "crash"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The true value of a configuration, as far as it is known.

    Attributes:
        mean: Posterior mean, in units of the metric; `sd` likewise.
        runs: How many runs of it have a value.
    """

    mean: float
    sd: float
    runs: int


@dataclass(frozen=True, slots=True)
class Worth:
    """What one more run of a configuration would buy.

    Attributes:
        p_better: P(better than what it is compared with), now.
        p_after: The same after one more run that comes out as expected.
        worth: By how much the better one of the two is expected to become better for knowing, in
            units of the metric.
        replicates: Runs until it is resolved; see `Comparison`.
    """

    p_better: float
    p_after: float
    worth: float
    replicates: int | None


def fit(observations: Sequence[Observation], goal: GoalMetric) -> Posterior:
    """Return what all runs together say of each configuration.

    Args:
        observations: Of all runs, in any order.
        goal: What they are judged by.
    """
    runs = sorted(observations, key=lambda run: run.started)
    return Posterior(History(runs, lower=goal.lower), goal)


class Posterior:
    """The true values of all configurations, as far as runs tell.

    Attributes:
        goal: What runs are judged by.
        estimate_of_noise: All that is known of noise.
        noise: The same as a decision states it, in units of the metric.
        minimum: The smallest gain that matters: as set, else a part of the noise.
        champion: The configuration with the best posterior mean; None where none may be it.
        champion_run: The first run of it.
    """

    def __init__(self, history: History, goal: GoalMetric) -> None:
        """Fit; see `fit`."""
        self.goal = goal
        self._history = history
        core = core_of(history, lower=goal.lower)
        means, bases = history.means, history.bases
        based = ((name, bases.get(name)) for name in core if name in means)
        differences = [means[name] - means[base] for name, base in based if base in means]
        replicated = {name: runs for name, runs in history.runs.items() if len(runs) > 1}
        values = [*means.values(), *(v for runs in replicated.values() for v in values_of(runs))]
        self.estimate_of_noise = estimate_noise(replicated, values, differences)
        self._scale = _make_scale(goal, values, proportional=self.estimate_of_noise.proportional)
        self._layout = Layout(core, history, self._scale)
        self._levels = self._fit()
        self._beliefs: dict[bytes, Normal] = {}
        self.champion = self.against(None)
        self.champion_run = None if self.champion is None else self.run_of(self.champion)
        level = self._scale.value(self._belief(self.champion)[0]) if self.champion else 0.0
        self.noise: Noise = self.estimate_of_noise.at(level)
        set_minimum = goal.minimum
        self.minimum = MINIMUM_IN_NOISE * self.noise.sd if set_minimum is None else set_minimum

    def _fit(self) -> list[tuple[float, Levels]]:
        """Fit the levels at each of some equally likely noises, weighted by how well they do."""
        noise = self.estimate_of_noise
        found = [
            (Levels(self._layout, sd, noise.correlation), weight)
            for sd, weight in noise.candidates()
        ]
        scores = [levels.evidence + weight for levels, weight in found]
        weights = [math.exp(score - max(scores)) for score in scores]
        kept = [
            (w, levels)
            for w, (levels, _) in zip(weights, found, strict=True)
            if w > _UNLIKELY_NOISE
        ]
        total = sum(weight for weight, _ in kept)
        return [(weight / total, levels) for weight, levels in kept]

    def run_of(self, configuration: bytes) -> bytes | None:
        """Return the run that a configuration is known by: its first that has a value."""
        runs = self._history.runs.get(configuration)
        return None if not runs else runs[0].run

    def runs_of(self, configuration: bytes) -> list[bytes]:
        """Return the runs of a configuration that have a value, in the order of their starts."""
        return [run.run for run in self._history.runs.get(configuration, ())]

    def observation(self, run: bytes) -> Observation | None:
        """Return the observation of a run; None for a run that is not known."""
        return self._history.observations.get(run)

    def base(self, configuration: bytes) -> bytes | None:
        """Return the base of a configuration, or else the best when it was first run."""
        return self._history.bases.get(configuration)

    def led_to(self, configuration: bytes, other: bytes) -> bool:
        """Say whether a configuration is among the bases that another one was derived from."""
        met: set[bytes] = set()
        base = self._history.bases.get(other)
        while base is not None and base not in met:
            if base == configuration:
                return True
            met.add(base)
            base = self._history.bases.get(base)
        return False

    def is_eligible(self, configuration: bytes) -> bool:
        """Say whether a configuration may be champion."""
        return self._history.is_eligible(configuration)

    def estimate(self, configuration: bytes) -> Estimate | None:
        """Return what is known of a configuration; None where no run of it has a value."""
        runs = self._history.runs.get(configuration)
        if not runs:
            return None
        mean, variance = self._belief(configuration)
        value, sd = self._scale.value(mean), math.sqrt(variance)
        return Estimate(value, sd * abs(value) if self._scale.proportional else sd, len(runs))

    @functools.cached_property
    def _ranking(self) -> list[bytes]:
        """Return all configurations with a value, the best posterior mean first."""
        level = self._scale.level
        outside = [
            (-level(m), n) for n, m in self._history.means.items() if n not in self._layout.place
        ]
        inside = [(-self._belief(n)[0], n) for n in self._layout.order if n in self._history.means]
        starts = {name: runs[0].started for name, runs in self._history.runs.items()}
        found = sorted(inside + outside, key=lambda pair: (pair[0], starts[pair[1]], pair[1]))
        return [name for _, name in found]

    def ranking(self) -> list[bytes]:
        """Return the configurations that may be champion, the best posterior mean first.

        Where there are more than `CORE`, those that were not looked at stand by their plain mean.
        """
        return [name for name in self._ranking if self.is_eligible(name)]

    def _belief(self, name: bytes) -> Normal:
        """Return mean and variance of the level of a configuration that has a value."""
        found = self._beliefs.get(name)
        if found is None:
            each = [(weight, *levels.belief(name)) for weight, levels in self._levels]
            mean = sum(weight * m for weight, m, _ in each)
            found = mean, sum(weight * (v + (m - mean) ** 2) for weight, m, v in each)
            self._beliefs[name] = found
        return found

    def against(self, configuration: bytes | None) -> bytes | None:
        """Return what a configuration is compared with: the champion, or else the second best."""
        runs = self._history.runs
        names = (n for n in self._layout.order if n != configuration and self.is_eligible(n))
        keys = ((-self._belief(name)[0], runs[name][0].started, name) for name in names)
        return min(keys, default=(0.0, 0, None))[2]

    def gain(self, configuration: bytes, other: bytes) -> Mixture | None:
        """Return the posterior of the gain over another configuration, as levels.

        Levels are units of the metric, of its logarithm where noise is proportional to it, with
        the better way up.
        """
        runs = self._history.runs
        if configuration == other or configuration not in runs or other not in runs:
            return None
        return Mixture(
            [
                (share * weight, mean, sd)
                for share, levels in self._levels
                for weight, mean, sd in levels.gain(configuration, other).parts
            ]
        )

    def p_better(self, configuration: bytes, other: bytes | None = None) -> float | None:
        """Return P(better than another, or than what it is compared with); None: not known."""
        other = self.against(configuration) if other is None else other
        gain = None if other is None else self.gain(configuration, other)
        return None if gain is None else gain.above(0.0)

    def compare(self, configuration: bytes, other: bytes | None = None) -> Comparison | None:
        """Return a configuration beside another.

        Args:
            configuration: Which.
            other: By default the champion; for the champion itself, the second best.

        Returns:
            None where either has no value, or where there is no other.
        """
        other = self.against(configuration) if other is None else other
        gain = None if other is None else self.gain(configuration, other)
        if gain is None or other is None:
            return None
        over, scale = self._belief(other)[0], self._scale
        low, high = (scale.gain(over + gain.quantile(p), over) for p in (UNLIKELY, LIKELY))
        first = self._history.runs[other][0]
        p_better = gain.above(0.0)
        return Comparison(
            champion=first.run.hex(),
            runs=len(self._history.runs[configuration]),
            champion_runs=len(self._history.runs[other]),
            mean=scale.value(self._belief(configuration)[0]),
            champion_mean=scale.value(over),
            champion_value=float(first.value or 0.0),
            gain=scale.gain(over + gain.mean, over),
            interval=(low, high),
            p_better=p_better,
            p_matters=gain.above(scale.step(self.minimum, over)),
            minimum=self.minimum,
            replicates=self._replicates(configuration, other, gain),
        )

    def expected_gain(self, configuration: bytes, other: bytes | None = None) -> float:
        """Return the expected improvement over another: E[max(gain, 0)], in units of the metric.

        Args:
            configuration: Which.
            other: As for `compare`.
        """
        other = self.against(configuration) if other is None else other
        gain = None if other is None else self.gain(configuration, other)
        if gain is None or other is None:
            return 0.0
        over = self._belief(other)[0]
        return abs(self._scale.gain(over + gain.expected_excess(0.0), over))

    def _replicates(self, name: bytes, other: bytes, gain: Mixture) -> int | None:
        p = gain.above(0.0)
        if p >= LIKELY or p <= UNLIKELY:
            return 0
        spread, shift, own = self._pull(name, other, gain)
        goal = (gain.mean / _RESOLVED) ** 2
        if spread <= goal:
            return 1
        room = shift * shift / (spread - goal) - own
        if room <= 0 or self._variance / room > MOST_REPLICATES:
            return None
        return max(1, math.ceil(self._variance / room))

    @functools.cached_property
    def _variance(self) -> float:
        """Of the noise, in units of levels."""
        return sum(weight * levels.sd**2 for weight, levels in self._levels)

    def _pull(self, name: bytes, other: bytes, gain: Mixture) -> tuple[float, float, float]:
        """Return the variance of a gain, its covariance with the level, and the level's variance.

        Each at most what they can be together.
        """
        spread = gain.variance
        own = self._belief(name)[1]
        together = sum(weight * levels.covariance(name, other) for weight, levels in self._levels)
        shift = own - together
        return spread, min(max(shift, 0.0), math.sqrt(spread * own)), own

    def worth(self, configuration: bytes, other: bytes | None = None) -> Worth | None:
        """Return what one more run of a configuration would buy.

        Args:
            configuration: Which.
            other: As for `compare`.
        """
        other = self.against(configuration) if other is None else other
        gain = None if other is None else self.gain(configuration, other)
        if gain is None or other is None:
            return None
        spread, shift, own = self._pull(configuration, other, gain)
        learnt = shift * shift / (own + self._variance)
        left = math.sqrt(max(spread - learnt, least(spread)))
        step, z = math.sqrt(learnt), 0.0
        if step > 0:
            z = -abs(gain.mean) / step
        value = step * (z * normal_cdf(z) + normal_pdf(z))
        over = self._belief(other)[0]
        return Worth(
            p_better=gain.above(0.0),
            p_after=normal_cdf(gain.mean / left),
            worth=abs(self._scale.gain(over + value, over)),
            replicates=self._replicates(configuration, other, gain),
        )

    @functools.cached_property
    def going_rate(self) -> float:
        """What the first run of a new idea is expected to gain, in units of the metric.

        Over the champion, with the project's own effects as prior.
        """
        if self.champion is None:
            return 0.0
        over, champion = self._belief(self.champion)[0], self.champion
        rate = sum(weight * levels.rate(champion) for weight, levels in self._levels)
        return abs(self._scale.gain(over + rate, over))

    @functools.cached_property
    def _typical_duration(self) -> float:
        runs = (run for found in self._history.runs.values() for run in found)
        return statistics.median([run.duration for run in runs if run.duration > 0] or [0.0])

    def relative_cost(self, run: Observation) -> float:
        """Return how long a run took, in units of the median duration; 1 where not known."""
        if run.duration <= 0 or self._typical_duration <= 0:
            return 1.0
        return run.duration / self._typical_duration

    def outcome(self, run: bytes) -> Outcome:
        """Return how a run went, beside its base or the best when it started.

        Resolved is what is likely or unlikely enough to be better; a person's ``keep`` is a
        success, and what a person discards is none.
        """
        seen = self._history.observations.get(run)
        if seen is None or not seen.ended:
            return "unresolved"
        if not has_value(seen):
            return "crash"
        if seen.verdict == "keep":
            return "success"
        base = self._history.bases.get(seen.configuration)
        p = None if base is None else self.p_better(seen.configuration, base)
        if p is not None and p <= UNLIKELY:
            return "failure"
        is_better = p is not None and p >= LIKELY and seen.verdict != "discard"
        return "success" if is_better else "unresolved"


def _make_scale(goal: GoalMetric, values: Sequence[float], *, proportional: bool) -> Scale:
    center = statistics.median_low(values) if values else 0.0
    return Scale(goal.lower, proportional, math.log(center) if proportional else center)
