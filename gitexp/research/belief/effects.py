"""Effects: how configurations differ from their bases, and what that says of their true values.

Model. True values stand in a forest: ``theta_i = theta_base(i) + delta_i``, in units in which
greater is better, and what was observed of ``i`` is a normal with mean ``theta_i``. Effects
``delta`` are drawn from a prior that is the project's own: a mixture of normals on a fixed grid of
sizes, narrow about zero, to both sides, and one broad part for what broke; its weights are
estimated from all effects of the project by EM (a nonparametric empirical-Bayes prior: Kiefer and
Wolfowitz 1956; Koenker and Mizera 2014; Stephens 2017), under a weak Dirichlet prior that holds
losses for likelier than gains. So a project where most ideas fail draws a lucky run towards its
base, and a run that broke moves nothing.

That a base was *chosen* for its luck needs no correction of its own: what was tried next depended
on observed values only, so given all of them the likelihood is as if nothing had been chosen
(Rubin 1976; Gelman et al., Bayesian Data Analysis, ch. 8). It does need all of them: the children
of a lucky base come out worse than it, and that is how it is found out.

The posterior is had by expectation propagation along the edges of the forest (Minka 2001): with
normal messages, from children to bases and back, exact but for replacing the mixture posterior of
an edge by a normal of its mean and variance. For an edge with cavity ``N(m_b, v_b)`` of the base
and ``N(m_i, v_i)`` of the run, part k of the prior (weight w, mean mu, variance tau^2) has

    S_k = v_i + v_b + tau_k^2,   e_k = m_i - m_b - mu_k,   r_k ~ w_k N(e_k; 0, S_k)
    A = sum r_k e_k / S_k,   B = sum r_k / S_k - (sum r_k (e_k / S_k)^2 - A^2)
    E theta_b = m_b + v_b A,   var theta_b = v_b (1 - v_b B);   E theta_i = m_i - v_i A, likewise
    cov(theta_b, theta_i) = v_b v_i B

which is Tweedie's formula (Efron 2011): A and B are derivatives of the log marginal likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gitexp.research.belief.distributions import Mixture

SWEEPS = 2
EM_STEPS = 6
PRIOR_RUNS = 10.0
"""What the Dirichlet prior of the weights is worth, in effects."""

_SIZES = 6
_STEP = 3.0
_WIDTH = 0.6
_LOSSES = (0.13, 0.13, 0.12, 0.07, 0.04, 0.02)
_GAINS = (0.07, 0.06, 0.04, 0.02, 0.01, 0.005)
_NULL = 0.25
_BROKEN = 0.035
_NEGLIGIBLE = 1e-12
_LEAST = 1e-3
"""Precision that a message has at least, as a part of what a single normal would give."""

Normal = tuple[float, float]
"""Mean and variance."""


class Part(NamedTuple):
    """A part of the prior of effects."""

    weight: float
    mean: float
    variance: float


def typical(sizes: Sequence[float]) -> float:
    """Return the lower quartile of sizes, 0 without any: what breaks does not move it."""
    found = sorted(sizes)
    return found[(len(found) - 1) // 4] if found else 0.0


def grid(noise: float, differences: Sequence[float]) -> list[Part]:
    """Return the prior before any effect is known.

    Args:
        noise: Standard deviation between replicates.
        differences: Observed between runs and their bases: they say what sizes there are.
    """
    sizes = [abs(difference) for difference in differences if difference]
    unit = max(noise / 8, typical(sizes) / 4)
    parts = [Part(_NULL, 0.0, (unit / 4) ** 2)]
    for step, (loss, gain) in enumerate(zip(_LOSSES, _GAINS, strict=True)):
        size = unit * _STEP**step
        parts += [
            Part(loss, -size, (_WIDTH * size) ** 2),
            Part(gain, size, (_WIDTH * size) ** 2),
        ]
    broad = max([*sizes, unit * _STEP**_SIZES])
    return [*parts, Part(_BROKEN, 0.0, broad**2)]


@dataclass(frozen=True, slots=True)
class Edge:
    """The posterior of one effect, given all data.

    Attributes:
        base: Cavity of the base: what is known of it without this run; `run` likewise.
        slope: cov(theta_base, theta_run) / var(theta_base).
    """

    base: Normal
    run: Normal
    slope: float


def shares_of(parts: Sequence[Part], gap: float, variance: float) -> tuple[list[float], float]:
    """Return the posterior weights of the parts of the prior, and the log marginal likelihood.

    Args:
        parts: The prior.
        gap: Observed effect.
        variance: Of the observed effect, by noise.
    """
    exp, log = math.exp, math.log
    scores = [
        log(weight * weight / (spread + variance)) - (gap - mean) ** 2 / (spread + variance)
        for weight, mean, spread in parts
    ]
    top = max(scores)
    found = [exp(0.5 * (score - top)) for score in scores]
    total = sum(found)
    return [share / total for share in found], 0.5 * top + log(total)


def effect_mixture(parts: Sequence[Part], base: Normal, run: Normal) -> Mixture:
    """Return the posterior of an effect, given the cavities of its two ends."""
    gap, variance = run[0] - base[0], run[1] + base[1]
    found = []
    shares, _ = shares_of(parts, gap, variance)
    for part, share in zip(parts, shares, strict=True):
        pull = part.variance / (part.variance + variance)
        mean = part.mean + pull * (gap - part.mean)
        found.append((share, mean, math.sqrt(pull * variance)))
    return Mixture(found)


def derivatives(
    parts: Sequence[Part], shares: Sequence[float], gap: float, variance: float
) -> tuple[float, float]:
    """Return A and B of an edge (see above), B so that no variance becomes infinite."""
    first = second = third = 0.0
    for (_, mean, spread), share in zip(parts, shares, strict=True):
        if share < _NEGLIGIBLE:
            continue
        total = spread + variance
        score = (gap - mean) / total
        first += share * score
        second += share / total
        third += share * score * score
    return first, max(second - third + first * first, _LEAST * second)


def edge_between(parts: Sequence[Part], base: Normal, run: Normal) -> tuple[Edge, Normal]:
    """Return an effect and the posterior of the run's true value, given the cavities."""
    gap, variance = run[0] - base[0], run[1] + base[1]
    shares, _ = shares_of(parts, gap, variance)
    a, b = derivatives(parts, shares, gap, variance)
    belief = (run[0] - run[1] * a, run[1] * (1 - run[1] * b))
    return Edge(base, run, run[1] * b / (1 - base[1] * b)), belief


class Forest:
    """Configurations with what was observed of them, and the posterior of their true values.

    Attributes:
        parts: The prior of effects, as estimated.
        evidence: Log marginal likelihood of what was observed, up to a constant.
    """

    def __init__(
        self, observed: Sequence[Normal | None], bases: Sequence[int], parts: Sequence[Part]
    ) -> None:
        """Look at all effects once, and learn the prior from them; `settle` finishes.

        Args:
            observed: Mean and variance of what was observed of each; None where nothing was.
            bases: Place of the base of each, before its own; -1 for roots.
            parts: The prior of effects before any is known.
        """
        size = len(bases)
        self.parts = list(parts)
        self._bases = bases
        # Natural parameters: precision, and precision times mean.
        self._below = [(0.0, 0.0) if o is None else (1 / o[1], o[0] / o[1]) for o in observed]
        self._up = [(0.0, 0.0)] * size
        self._down = [(0.0, 0.0)] * size
        self._shares: list[list[float] | None] = [None] * size
        self._children = [i for i in range(size) if bases[i] >= 0]
        self._sweep()
        self._learn()
        self.evidence = self._log_evidence(observed)

    def _sweep(self) -> None:
        """Send messages from all runs to their bases, and back."""
        for i in reversed(self._children):
            self._update(i, upward=True)
        for i in self._children:
            self._update(i, upward=False)

    def settle(self) -> tuple[list[Normal | None], list[Edge | None]]:
        """Finish; return the posterior of each configuration, and of its effect.

        Returns:
            Mean and variance of the true value of each, None where nothing is known; and each
            effect, None for roots and where nothing can be said.
        """
        for _ in range(SWEEPS - 2):
            self._sweep()
            self._learn()
        self._sweep()
        places = range(len(self._bases))
        return [self._belief(i) for i in places], [self._edge(i) for i in places]

    def _belief(self, i: int) -> Normal | None:
        precision = self._below[i][0] + self._down[i][0]
        if precision <= 0:
            return None
        return (self._below[i][1] + self._down[i][1]) / precision, 1 / precision

    def cavities(self, i: int) -> tuple[Normal, Normal] | None:
        """Return what is known of a base without one run, and of the run without its base."""
        base = self._bases[i]
        (p_up, h_up), (p_run, h_run) = self._up[i], self._below[i]
        p_base = self._below[base][0] + self._down[base][0] - p_up
        if p_base <= 0 or p_run <= 0:
            return None
        h_base = self._below[base][1] + self._down[base][1] - h_up
        return (h_base / p_base, 1 / p_base), (h_run / p_run, 1 / p_run)

    def _update(self, i: int, *, upward: bool) -> None:
        """Send one message along an edge."""
        found = self.cavities(i)
        if found is None:
            return
        (m_base, v_base), (m_run, v_run) = found
        shares, _ = shares_of(self.parts, m_run - m_base, v_run + v_base)
        a, b = derivatives(self.parts, shares, m_run - m_base, v_run + v_base)
        self._shares[i] = shares
        if upward:
            precision = b / (1 - v_base * b)
            h = (m_base + v_base * a) * (1 / v_base + precision) - m_base / v_base
            base = self._bases[i]
            old = self._up[i]
            below = self._below[base]
            self._below[base] = (below[0] - old[0] + precision, below[1] - old[1] + h)
            self._up[i] = (precision, h)
        else:
            precision = b / (1 - v_run * b)
            h = (m_run - v_run * a) * (1 / v_run + precision) - m_run / v_run
            self._down[i] = (precision, h)

    def _log_evidence(self, observed: Sequence[Normal | None]) -> float:
        """Return the log likelihood of all data: each run's, given those that came up before it."""
        below = [None if o is None else (1 / o[1], o[0] / o[1]) for o in observed]
        total = 0.0
        for i in reversed(self._children):
            run, base = below[i], below[self._bases[i]]
            if run is None or base is None:
                continue
            gap = run[1] / run[0] - base[1] / base[0]
            variance = 1 / run[0] + 1 / base[0]
            shares, score = shares_of(self.parts, gap, variance)
            a, b = derivatives(self.parts, shares, gap, variance)
            precision = base[0] / (1 - b / base[0])
            below[self._bases[i]] = (precision, (base[1] + a) / base[0] * precision)
            total += score
        return total

    def _learn(self) -> None:
        """Estimate the weights of the prior: EM on the effects as they are seen now."""
        prior = [part.weight for part in self.parts]
        likelihoods = [
            [share / weight for share, weight in zip(shares, prior, strict=True)]
            for shares in self._shares
            if shares is not None
        ]
        start = [PRIOR_RUNS * weight for weight in _DEFAULT]
        total = PRIOR_RUNS + len(likelihoods)
        weights = prior
        for _ in range(EM_STEPS):
            counts = start
            for row in likelihoods:
                joint = [weight * value for weight, value in zip(weights, row, strict=True)]
                scale = 1 / sum(joint)
                counts = [count + scale * value for count, value in zip(counts, joint, strict=True)]
            weights = [count / total for count in counts]
        self.parts = [
            Part(weight, part.mean, part.variance)
            for weight, part in zip(weights, self.parts, strict=True)
        ]

    def _edge(self, i: int) -> Edge | None:
        found = self.cavities(i) if self._bases[i] >= 0 else None
        return None if found is None else edge_between(self.parts, *found)[0]


_DEFAULT = [part.weight for part in grid(1.0, [])]
