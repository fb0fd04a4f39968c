"""The true values of configurations, were the noise known.

`gitexp.research.belief.posterior` averages over several of these, each for one standard deviation
of the noise. A *level* is a value of the metric such that greater is better (`Scale`).
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterator, Sequence

from gitexp.research.belief.distributions import Mixture, normal_cdf, normal_pdf
from gitexp.research.belief.effects import (
    Edge,
    Forest,
    Normal,
    Part,
    edge_between,
    effect_mixture,
    grid,
    shares_of,
    typical,
)
from gitexp.research.belief.history import History, Scale, ordered
from gitexp.research.belief.noise import CUT, SMALLEST, cut, draws

_REACH = 1e9
"""Levels further off, in typical differences, stand for infinitely far."""
_LEAST_SHARE = 0.05
"""What sharing seeds leaves of a variance at least."""


class Layout:
    """The configurations that are looked at together, in an order in which bases come first.

    Attributes:
        scale: Between values and levels.
        order: Configurations.
        place: Of each in the order.
        bases: Place of the base of each; -1 for roots.
        gaps: Levels of configurations less their bases', as observed.
    """

    def __init__(self, core: Sequence[bytes], history: History, scale: Scale) -> None:
        """Put configurations into order."""
        self.history = history
        self.scale = scale
        self.order = ordered(core, history.bases)
        self.place = {name: i for i, name in enumerate(self.order)}
        places = [self.place.get(history.bases.get(name, b""), -1) for name in self.order]
        self.bases = [base if base < i else -1 for i, base in enumerate(places)]
        levels = {
            name: scale.level(history.means[name]) for name in self.order if name in history.means
        }
        pairs = [
            (name, self.order[base])
            for name, base in zip(self.order, self.bases, strict=True)
            if base >= 0
        ]
        self.gaps = [
            levels[name] - levels[base] for name, base in pairs if name in levels and base in levels
        ]
        self.typical = typical([abs(gap) for gap in self.gaps if gap])
        self._draws: dict[bytes, list[tuple[int | float | None, float]]] = {}

    def is_root(self, name: bytes) -> bool:
        """Say whether a configuration of the order stands there without its base."""
        place = self.place.get(name)
        return place is not None and self.bases[place] < 0

    def draws(self, name: bytes) -> list[tuple[int | float | None, float]]:
        """Return seeds and levels of the draws of a configuration."""
        found = self._draws.get(name)
        if found is None:
            found = [
                (seed, self.scale.level(value))
                for seed, value in draws(self.history.runs.get(name, ()))
            ]
            self._draws[name] = found
        return found


class Levels:
    """The posterior of all levels under one standard deviation of the noise.

    Attributes:
        sd: That standard deviation.
        evidence: Log marginal likelihood of the observed levels, up to a constant.
    """

    def __init__(self, layout: Layout, sd: float, correlation: float) -> None:
        """Fit.

        Args:
            layout: What is looked at.
            sd: Of the noise, in units of levels.
            correlation: Between runs of two configurations that share a seed.
        """
        self._layout = layout
        self._correlation = correlation
        self.sd = max(sd, layout.typical / _REACH, SMALLEST)
        self._reach = _REACH * max(self.sd, layout.typical)
        observed = [self._observed(name) for name in layout.order]
        gaps = [min(abs(gap), self._reach) for gap in layout.gaps]
        self._forest = Forest(observed, layout.bases, grid(self.sd, gaps))
        self.evidence = self._forest.evidence

    @functools.cached_property
    def _parts(self) -> list[Part]:
        _ = self._settled
        return self._forest.parts

    @functools.cached_property
    def _settled(self) -> tuple[list[Normal | None], list[Edge | None]]:
        return self._forest.settle()

    @property
    def _beliefs(self) -> list[Normal | None]:
        return self._settled[0]

    @property
    def _edges(self) -> list[Edge | None]:
        return self._settled[1]

    def _observed(self, name: bytes) -> Normal | None:
        """Return mean and variance of what was observed of a configuration."""
        levels = [level for _, level in self._layout.draws(name)]
        if not levels:
            return None
        if len(levels) > 2:  # noqa: PLR2004 - the median of two is their mean
            levels = cut(levels, CUT * self.sd)
        mean = min(max(statistics.fmean(levels), -self._reach), self._reach)
        return mean, self.sd**2 / len(levels)

    def belief(self, name: bytes) -> Normal:
        """Return mean and variance of the level of a configuration that has a value."""
        place = self._layout.place.get(name)
        belief = None if place is None else self._beliefs[place]
        return self._outside(name)[1] if belief is None else belief

    def _edge(self, name: bytes) -> Edge | None:
        place = self._layout.place.get(name)
        return self._outside(name)[0] if place is None else self._edges[place]

    def _outside(self, name: bytes) -> tuple[Edge | None, Normal]:
        """Return effect and level of a configuration that is not looked at with the others."""
        own = self._observed(name)
        base_name = self._layout.history.bases.get(name, b"")
        place = self._layout.place.get(base_name)
        base = self._observed(base_name) if place is None else self._beliefs[place]
        if own is None or base is None:
            return None, own or (0.0, self._reach**2)
        return edge_between(self._parts, base, own)

    def gain(self, name: bytes, other: bytes) -> Mixture:
        """Return the posterior of the gain of a configuration over another, both with values."""
        last = len(self._layout.order)
        place = self._layout.place
        if place.get(name, last) >= place.get(other, last):
            return self._gain_of_later(name, other)
        mirrored = self._gain_of_later(other, name)
        return Mixture([(weight, -mean, sd) for weight, mean, sd in mirrored.parts])

    def _gain_of_later(self, name: bytes, other: bytes) -> Mixture:
        """Return the gain of a configuration over one that does not derive from it."""
        edge = self._edge(name)
        if edge is None or self._layout.history.bases.get(name) != other:
            return self._over_any(name, other, edge)
        shared = self._shared(name, other)
        base, run = (
            (mean, max(variance - shared, _LEAST_SHARE * variance))
            for mean, variance in (edge.base, edge.run)
        )
        return effect_mixture(self._parts, base, run)

    def _over_any(self, name: bytes, other: bytes, edge: Edge | None) -> Mixture:
        mean, variance = self.belief(other)
        together = 2 * self.covariance(name, other) + 2 * self._shared(name, other)
        own = [(1.0, *self.belief(name))] if edge is None else self._own_parts(edge)
        parts = []
        for weight, m, v in own:
            spread = max(v + variance - together, least(v + variance))
            parts.append((weight, m - mean, math.sqrt(spread)))
        return Mixture(parts)

    def _own_parts(self, edge: Edge) -> list[tuple[float, float, float]]:
        """Return the posterior of a run's own level as a mixture: weight, mean, variance."""
        (m_base, v_base), (m_run, v_run) = edge.base, edge.run
        shares, _ = shares_of(self._parts, m_run - m_base, v_run + v_base)
        found = []
        for part, share in zip(self._parts, shares, strict=True):
            pull = v_run / (part.variance + v_run + v_base)
            mean = m_run - pull * (m_run - m_base - part.mean)
            found.append((share, mean, v_run * (1 - pull)))
        return found

    def _shared(self, one: bytes, other: bytes) -> float:
        """Return the covariance that shared seeds give the means of two configurations."""
        if not self._correlation:
            return 0.0
        drawn = [self._layout.draws(name) for name in (one, other)]
        seeds = [{seed for seed, _ in found if seed is not None} for found in drawn]
        shared = len(seeds[0] & seeds[1])
        return self._correlation * self.sd**2 * shared / (len(drawn[0]) * len(drawn[1]))

    def covariance(self, one: bytes, other: bytes) -> float:
        """Return the covariance of two levels through their nearest common ancestor."""
        slopes = dict(self._ancestry(one))
        for name, slope in self._ancestry(other):
            if name in slopes:
                return slope * slopes[name] * self.belief(name)[1]
        return 0.0

    def _ancestry(self, name: bytes) -> Iterator[tuple[bytes, float]]:
        """Yield a configuration and its ancestors, with cov(theta, theta_a) / var(theta_a)."""
        slope = 1.0
        for _ in range(len(self._layout.order) + 1):
            yield name, slope
            edge = None if self._layout.is_root(name) else self._edge(name)
            if edge is None:
                return
            slope *= edge.slope
            name = self._layout.history.bases[name]

    def rate(self, name: bytes) -> float:
        """Return what the first run of a new idea is expected to gain over a configuration.

        Its knowledge gradient: for a part of the prior with mean mu and variance tau^2,
        ``mu Phi(mu / s) + s phi(mu / s)`` with ``s^2 = tau^4 / (tau^2 + v)``.
        """
        variance = self.belief(name)[1] + self.sd**2
        total = 0.0
        for part in self._parts[:-1]:  # the last is of what breaks
            step = part.variance / math.sqrt(part.variance + variance)
            z = part.mean / step
            total += part.weight * step * (z * normal_cdf(z) + normal_pdf(z))
        return total


def least(variance: float) -> float:
    """Return what a difference of variances of this size is at least, against rounding."""
    return 1e-12 * variance + 1e-300
