"""Noise: the standard deviation of the goal metric between replicates.

Model. Values of one configuration are ``y_ij ~ N(theta_i, sigma^2)``. With ``m`` groups of
replicates and ``SS`` the sum of the squared deviations from their group means, on ``nu`` degrees of
freedom in all (values less groups), a scaled inverse chi-square prior (``nu0``, ``s0^2``) gives

    sigma^2 | y  ~  (nu0 + nu) s^2 / chi^2(nu0 + nu),   s^2 = (nu0 s0^2 + SS) / (nu0 + nu)

(Gelman et al., Bayesian Data Analysis, 3rd ed., 2.6 and 3.2). Where there are no replicates at all,
a scale is assumed: as if the smaller quarter of the differences between runs and their bases (of
one, the one) were noise and nothing else. That is an assumption for arithmetic, an upper one, never
a measurement, and the spread of all values is never taken for noise. The prior is worth
`PRIOR_DEGREES`, and its ``s0`` is `PRIOR_PART` of what would be assumed, at most `PRIOR_MOST` times
what replicates show, by sqrt(nu).

* *Draws.* A run with the seed and the value of another run of its configuration is the same draw
  again and says nothing of noise. Without a seed, or with another value, it is a draw of its own.
* *Deterministic programs.* Where replicates exist and all agree, the noise is taken to be what
  rounding to the smallest difference between any two values leaves: that difference by sqrt(12).
* *Outliers.* One replicate that diverged must not hide every gain: deviations from the median of
  the group are cut off at `CUT` robust standard deviations (Huber 1981; scale by the median
  absolute deviation), where there are enough of them to tell.
* *Noise in proportion to the value* (a metric that falls over decades): where all values are
  positive, the groups lie apart by a factor of two, and the likelihood of the logarithms, Jacobian
  included, is better by `EVIDENCE` nats (Box and Cox 1964), all arithmetic is done on logarithms.
* *Paired seeds.* Runs of two configurations that share seeds may vary together. With ``S`` the sum
  of squared deviations of the paired differences within pairs of configurations, on ``k`` degrees,
  ``sigma_d^2 = (2 sigma^2 nu1 + S) / (nu1 + k)`` and the correlation ``1 - sigma_d^2 / 2 sigma^2``,
  drawn towards independence by ``nu1`` = `PAIRING_DEGREES`.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from gitexp.records.decision import Noise
from gitexp.research.belief.distributions import chi_square_quantile
from gitexp.research.observations import Observation

PRIOR_DEGREES = 1.0
PRIOR_PART = 0.5
PRIOR_MOST = 4.0
PAIRING_DEGREES = 2.0
CUT = 4.0
EVIDENCE = 2.0
_ENOUGH = 6
"""Deviations by which an outlier can be told."""
_HALF_NORMAL = statistics.NormalDist()
"""The size of a difference of two runs with noise of one is sqrt(2) times that of a normal."""
_GROUPS = 300
"""Groups by which noise is estimated: those with the most runs."""
_PAIRED = 60
"""Groups among which pairs are looked for."""
SMALLEST = 1e-120
"""Standard deviations are at least this: their squares can be divided by."""
_TINY = 1e-12
_KNOWN = 40.0
"""Degrees of freedom from which noise counts as known."""
_CANDIDATES = 5
_RANGE = (0.95, 0.08)
"""Between which quantiles of chi-square candidates lie."""
_PARTS = (1.6, 1.1, 0.7)
"""Candidates where nothing is measured, as parts of what is assumed."""


@dataclass(frozen=True, slots=True)
class NoiseEstimate:
    """What replicates say of noise.

    Attributes:
        measured: There are replicates.
        sd: Posterior scale ``s``: in units of the metric, or of its logarithm if `proportional`.
        degrees: That replicates give.
        prior: Degrees of freedom of the prior.
        proportional: Noise is a part of the value; `sd` is of the natural logarithm.
        correlation: Between runs of two configurations with one seed; 0 if there are no pairs.
        groups: Configurations with replicates -> how many draws of each.
    """

    measured: bool
    sd: float
    degrees: float = 0.0
    prior: float = PRIOR_DEGREES
    proportional: bool = False
    correlation: float = 0.0
    groups: Mapping[bytes, int] | None = None

    def interval(self) -> tuple[float, float] | None:
        """Return the central 90% of the posterior of sigma; None where nothing is measured."""
        if not self.measured:
            return None
        nu = self.prior + self.degrees
        low, high = (self.sd * math.sqrt(nu / chi_square_quantile(p, nu)) for p in (0.95, 0.05))
        return low, high

    def candidates(self) -> list[tuple[float, float]]:
        """Return standard deviations that it may be, evenly in logarithms, with their log weights.

        The weights are densities of the logarithm. What the effects of the project say of each is
        for `gitexp.research.belief.posterior` to add; averaged over them, arithmetic for known
        noise gives what unknown noise gives: tails like those of Student's t.
        """
        nu = self.prior + self.degrees
        if nu >= _KNOWN:
            return [(self.sd, 0.0)]
        if not self.measured:
            return [(self.sd * part, 0.0) for part in _PARTS]
        low, high = (math.log(nu / chi_square_quantile(p, nu)) / 2 for p in _RANGE)
        steps = [low + (high - low) * i / (_CANDIDATES - 1) for i in range(_CANDIDATES)]
        return [(self.sd * math.exp(x), -nu * (x + math.exp(-2 * x) / 2)) for x in steps]

    def at(self, level: float) -> Noise:
        """Return it as a decision states it: in units of the metric, at a value of it."""
        sd = self.sd * abs(level) if self.proportional else self.sd
        return Noise(measured=self.measured, sd=sd, degrees=self.degrees)


def draws(runs: Sequence[Observation]) -> list[tuple[int | float | None, float]]:
    """Return seed and value of the runs of one configuration, the same draw only once.

    Args:
        runs: With a value each.
    """
    seen: dict[tuple[object, ...], tuple[int | float | None, float]] = {}
    for number, run in enumerate(runs):
        value = float(run.value or 0.0)
        key = (number,) if run.seed is None else (run.seed, value)
        seen.setdefault(key, (run.seed, value))
    return list(seen.values())


def estimate_noise(
    groups: Mapping[bytes, Sequence[Observation]],
    values: Sequence[float],
    differences: Sequence[float],
) -> NoiseEstimate:
    """Return what replicates say of noise.

    Args:
        groups: Configuration -> its runs that have a value; those with one run are passed over.
        values: All values of the metric.
        differences: Between runs and their bases; only their size counts.
    """
    found = {name: drawn for name, runs in groups.items() if len(drawn := draws(runs)) > 1}
    names = sorted(found, key=lambda name: (-len(found[name]), name))[:_GROUPS]
    numbers = [[value for _, value in found[name]] for name in names]
    if not names:
        return NoiseEstimate(measured=False, sd=assumed(differences))
    counts = {name: len(found[name]) for name in names}
    degrees = float(sum(counts.values()) - len(counts))
    if all(min(group) == max(group) for group in numbers):
        return NoiseEstimate(True, resolution(values), degrees, _KNOWN, groups=counts)
    proportional = _is_proportional(numbers, values, degrees)
    if proportional:
        numbers = [[math.log(value) for value in group] for group in numbers]
        level = abs(statistics.median(values))
        differences = [difference / level for difference in differences]
    total = squares(numbers)
    prior = min(PRIOR_PART * assumed(differences), PRIOR_MOST * math.sqrt(total) / degrees)
    variance = (PRIOR_DEGREES * prior**2 + total) / (PRIOR_DEGREES + degrees)
    variance = max(variance, SMALLEST**2)
    pairs = [] if proportional else [found[name] for name in names[:_PAIRED]]
    correlation = _correlation(pairs, variance)
    return NoiseEstimate(
        True, math.sqrt(variance), degrees, PRIOR_DEGREES, proportional, correlation, counts
    )


def assumed(differences: Iterable[float]) -> float:
    """Return the scale that is assumed where nothing is measured, greater than 0."""
    sizes = sorted(abs(difference) for difference in differences if difference)
    if not sizes:
        return _TINY
    place = (len(sizes) - 1) // 4
    part = (place + 1) / (len(sizes) + 1)  # 0.5 of one difference, a quarter of many
    return max(sizes[place] / (math.sqrt(2) * _HALF_NORMAL.inv_cdf((1 + part) / 2)), SMALLEST)


def resolution(values: Iterable[float]) -> float:
    """Return the noise of rounding to the smallest difference between values, greater than 0."""
    distinct = sorted(set(values))
    largest = max(map(abs, distinct), default=0.0)
    rounding = largest * _TINY  # a mean of equal values need not be equal to them
    gap = min((b - a for a, b in pairwise(distinct) if b - a > rounding), default=0.0)
    return max(gap / math.sqrt(12), rounding, _TINY * _TINY)


def robust_scale(groups: Sequence[Sequence[float]]) -> float | None:
    """Return the scale by which outliers are told; None where there is too little to tell by.

    Deviations from the median of a group of n are widened by sqrt(n / (n - 1)), since the median
    is fitted to the group.
    """
    sizes = [
        abs(value - center) * math.sqrt(len(group) / (len(group) - 1))
        for group in groups
        for center in [statistics.median(group)]
        for value in group
    ]
    scale = 1.4826 * statistics.median(sizes) if len(sizes) >= _ENOUGH else 0.0
    return scale or None


def squares(groups: Sequence[Sequence[float]]) -> float:
    """Return the sum of squared deviations from the means of groups, outliers cut off."""
    scale = robust_scale(groups)
    total = 0.0
    for group in groups:
        values = group if scale is None else cut(group, CUT * scale)
        mean = statistics.fmean(values)
        total += sum((value - mean) ** 2 for value in values)
    return total


def cut(group: Sequence[float], reach: float) -> list[float]:
    """Return values drawn in to at most so far from their median (winsorised)."""
    center = statistics.median(group)
    return [min(max(value, center - reach), center + reach) for value in group]


def _is_proportional(
    groups: Sequence[Sequence[float]], values: Sequence[float], degrees: float
) -> bool:
    """Say whether noise is a part of the value rather than the same at all values."""
    means = [abs(statistics.fmean(group)) for group in groups]
    if min(values) <= 0 or degrees < 4 or max(means) < 2 * min(means):  # noqa: PLR2004
        return False
    logs = [[math.log(value) for value in group] for group in groups]
    jacobian = sum(
        sum(group) * (len(group) - 1) / len(group) for group in logs
    )  # one degree of each group went to its mean
    ratio = math.log(_spread(groups)) - math.log(_spread(logs))
    return degrees / 2 * ratio - jacobian > EVIDENCE


def _spread(groups: Sequence[Sequence[float]]) -> float:
    return sum(statistics.variance(group) * (len(group) - 1) for group in groups)


def _correlation(
    groups: Sequence[Sequence[tuple[int | float | None, float]]], variance: float
) -> float:
    """Return the correlation between runs of two configurations that have one seed."""
    by_seed = [
        {seed: value for seed, value in group if seed is not None and math.isfinite(value)}
        for group in groups
    ]
    several = [group for group in by_seed if len(group) > 1]
    once = 2 / max(2, len(several))  # of n groups n - 1 are free, not the n (n - 1) / 2 pairs
    total = degrees = 0.0
    for one, other in combinations(several, 2):
        gaps = [value - other[seed] for seed, value in one.items() if seed in other]
        if len(gaps) > 1:
            total += once * statistics.variance(gaps) * (len(gaps) - 1)
            degrees += once * (len(gaps) - 1)
    paired = (2 * variance * PAIRING_DEGREES + total) / (PAIRING_DEGREES + degrees)
    return min(0.98, max(0.0, 1 - paired / (2 * variance)))
