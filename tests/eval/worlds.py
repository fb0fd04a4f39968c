"""A world with known truth: ideas with effects, programs that crash, and noise.

Every policy meets the same stream of ideas in the same session: idea j has the same effect on the
true value whatever it is applied to, and the n-th run of it has the same noise. So policies are
paired, and a difference between them is theirs.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Callable
from dataclasses import dataclass

from gitexp.research.observations import Observation

SCALE = 0.003
"""Typical effect, in units of the metric, as validation losses of language models have it."""
START = 1.0
CRASHES = 0.08
MINUTE = 60.0


def _sparse(rng: random.Random) -> float:
    """Small gains are rare, many changes do nothing to speak of, the rest are losses."""
    kind = rng.random()
    if kind < 0.5:
        return rng.gauss(0, 0.1)
    return abs(rng.gauss(0, 1)) * (1 if kind < 0.65 else -1)


def _losses(rng: random.Random) -> float:
    """One idea in five gains, exponentially; losses are three times as large."""
    return rng.expovariate(2.0) if rng.random() < 0.2 else -rng.expovariate(0.67)


def _heavy(rng: random.Random) -> float:
    """Student's t with two degrees of freedom, moved towards losses."""
    chi = rng.expovariate(1.0)  # chi-square with two degrees, halved
    return 0.5 * rng.gauss(0, 1) / math.sqrt(max(chi, 1e-9)) - 0.4


def _nulls(rng: random.Random) -> float:
    """Nine of ten changes do nothing to speak of."""
    kind = rng.random()
    if kind < 0.9:
        return rng.gauss(0, 0.05)
    return rng.gauss(1, 0.3) if kind < 0.95 else rng.gauss(-1, 0.3)


def _normal(rng: random.Random) -> float:
    """Gains and losses alike, a little more losses."""
    return rng.gauss(-0.3, 1)


def _broken(rng: random.Random) -> float:
    """As sparse, and one in ten diverges: hundreds of times the typical effect."""
    return -rng.uniform(50, 500) if rng.random() < 0.1 else _sparse(rng)


EFFECTS: dict[str, Callable[[random.Random], float]] = {
    "sparse": _sparse,
    "losses": _losses,
    "heavy": _heavy,
    "nulls": _nulls,
    "normal": _normal,
    "broken": _broken,
}


@dataclass(frozen=True)
class Setting:
    """One kind of project.

    Attributes:
        effects: Which distribution.
        noise: Standard deviation between replicates, in typical effects.
        budget: Runs.
        outliers: Share of runs whose noise is ten times as large.
    """

    effects: str
    noise: float
    budget: int
    outliers: float = 0.0


@dataclass
class Configuration:
    """Something that can be run: what it is worth in truth is known here and nowhere else.

    Attributes:
        truth: True gain over the start, in typical effects.
    """

    number: int
    base: Configuration | None
    truth: float
    crashes: bool

    @property
    def key(self) -> bytes:
        return digest(16, "configuration", self.number)


class Session:
    """A budget of runs in a world of some kind."""

    def __init__(self, setting: Setting, seed: int) -> None:
        self.setting = setting
        self._seed = f"{setting} {seed}"
        self.start = Configuration(0, None, 0.0, crashes=False)
        self.observations: list[Observation] = []
        self.configurations = [self.start]
        self._runs: dict[int, int] = {}

    @property
    def is_over(self) -> bool:
        return len(self.observations) >= self.setting.budget

    def idea(self, base: Configuration) -> Configuration:
        """Return the next idea of the stream, applied to a base."""
        number = len(self.configurations)
        rng = random.Random(f"{self._seed} idea {number}")
        effect = EFFECTS[self.setting.effects](rng)
        crashes = rng.random() < CRASHES
        made = Configuration(number, base, base.truth + effect, crashes)
        self.configurations.append(made)
        return made

    def run(self, configuration: Configuration) -> Observation:
        """Run a configuration once; it takes one of the budget."""
        nth = self._runs.get(configuration.number, 0)
        self._runs[configuration.number] = nth + 1
        rng = random.Random(f"{self._seed} run {configuration.number} {nth}")
        noise = rng.gauss(0, self.setting.noise)
        noise *= 10 if rng.random() < self.setting.outliers else 1
        made = Observation(
            run=digest(20, "run", len(self.observations)),
            configuration=configuration.key,
            base=None if configuration.base is None else configuration.base.key,
            value=None if configuration.crashes else START - SCALE * (configuration.truth + noise),
            started=len(self.observations) * 1_000_000,
            duration=MINUTE,
            ended=True,
            crashed=configuration.crashes,
            verdict=None,
            seed=nth,
        )
        self.observations.append(made)
        return made

    def best_possible(self) -> float:
        """Return the true gain of who knows each idea's effect and spends one run on each."""
        total = 0.0
        for number in range(1, self.setting.budget):
            rng = random.Random(f"{self._seed} idea {number}")
            effect = EFFECTS[self.setting.effects](rng)
            total += max(0.0, effect) if rng.random() >= CRASHES else 0.0
        return total


def digest(size: int, *words: object) -> bytes:
    """Return an id made of words."""
    return hashlib.blake2b(repr(words).encode(), digest_size=size).digest()
