"""Distributions that the standard library lacks: chi-square, and mixtures of normals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

_STEPS = 60
_TERMS = 500
_ROOT_2 = math.sqrt(2)
_BEYOND = 40.0
"""Standard deviations outside which a normal has no mass that a double can hold."""


def normal_cdf(z: float) -> float:
    """Return P(Z <= z) of a standard normal."""
    return 0.5 * math.erfc(-z / _ROOT_2)


def normal_pdf(z: float) -> float:
    """Return the density of a standard normal."""
    return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def chi_square_cdf(x: float, degrees: float) -> float:
    """Return P(X <= x) of a chi-square distribution.

    The series of the regularised lower incomplete gamma function (Abramowitz and Stegun 6.5.29);
    beyond its reach, the normal approximation of Wilson and Hilferty (1931).
    """
    if x <= 0:
        return 0.0
    if degrees > _TERMS:
        third = (x / degrees) ** (1 / 3)
        return normal_cdf((third - 1 + 2 / (9 * degrees)) / math.sqrt(2 / (9 * degrees)))
    a, half = degrees / 2, x / 2
    term = total = 1 / a
    for n in range(1, 4 * _TERMS):
        term *= half / (a + n)
        total += term
        if term < total * 1e-15:
            break
    return min(1.0, math.exp(a * math.log(half) - half - math.lgamma(a)) * total)


def chi_square_quantile(p: float, degrees: float) -> float:
    """Return x with P(X <= x) = p of a chi-square distribution, by bisection of its logarithm."""
    low, high = math.log(degrees) - 60, math.log(degrees + 60) + 3
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if chi_square_cdf(math.exp(middle), degrees) < p:
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)


@dataclass(frozen=True, slots=True)
class Mixture:
    """A mixture of normals.

    Attributes:
        parts: Weight, mean and standard deviation of each; the weights add up to 1.
    """

    parts: Sequence[tuple[float, float, float]]

    @property
    def mean(self) -> float:
        """Its mean."""
        return sum(weight * mean for weight, mean, _ in self.parts)

    @property
    def variance(self) -> float:
        """Its variance."""
        center = self.mean
        return sum(w * (sd * sd + (mean - center) ** 2) for w, mean, sd in self.parts)

    def above(self, x: float) -> float:
        """Return P(X > x)."""
        found = sum(w * normal_cdf((mean - x) / sd) for w, mean, sd in self.parts)
        return min(1.0, max(0.0, found))

    def quantile(self, p: float) -> float:
        """Return x with P(X <= x) = p, by bisection."""
        parts = [part for part in self.parts if part[0] > 1e-9]  # noqa: PLR2004
        low = min(mean - _BEYOND * sd for _, mean, sd in parts)
        high = max(mean + _BEYOND * sd for _, mean, sd in parts)
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if sum(w * normal_cdf((middle - mean) / sd) for w, mean, sd in parts) < p:
                low = middle
            else:
                high = middle
        return (low + high) / 2

    def expected_excess(self, x: float) -> float:
        """Return E[max(X - x, 0)]: the expected improvement (Jones, Schonlau and Welch 1998)."""
        total = 0.0
        for weight, mean, sd in self.parts:
            z = (mean - x) / sd
            total += weight * sd * (z * normal_cdf(z) + normal_pdf(z))
        return max(0.0, total)
