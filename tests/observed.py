"""Observations of runs that never were, for tests of what is concluded from them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from gitexp.research.belief.posterior import Posterior, fit
from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation

LOWER = GoalMetric("loss", lower=True, by="last", minimum=None, source="option")
HIGHER = GoalMetric("acc", lower=False, by="last", minimum=None, source="option")


def named(name: str) -> bytes:
    """Return the configuration of a name."""
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def run_id(number: int) -> bytes:
    return hashlib.blake2b(str(number).encode(), digest_size=20).digest()


class Log:
    """Runs one after the other."""

    def __init__(self) -> None:
        self.runs: list[Observation] = []

    def add(
        self, name: str, value: float | None, base: str | None = None, **known: Any
    ) -> Observation:
        """Add a run of the configuration of a name."""
        number = len(self.runs)
        fields: dict[str, Any] = {
            "started": number * 60_000_000,
            "duration": 60.0,
            "ended": True,
            "crashed": False,
            "verdict": None,
            "seed": None,
        }
        made = Observation(
            run=run_id(number),
            configuration=named(name),
            base=None if base is None else named(base),
            value=value,
            **(fields | known),
        )
        self.runs.append(made)
        return made

    def many(self, name: str, values: Sequence[float], base: str | None = None) -> None:
        """Add several runs of one configuration, each of its own seed."""
        for seed, value in enumerate(values):
            self.add(name, value, base, seed=seed)

    def fit(self, goal: GoalMetric = LOWER) -> Posterior:
        return fit(self.runs, goal)


def known_noise(log: Log, name: str = "start", center: float = 1.0, scale: float = 1.0) -> None:
    """Add twelve runs of one configuration whose standard deviation is ``0.01 * scale``."""
    steps = (-1.6, -1.1, -0.8, -0.5, -0.3, -0.1, 0.1, 0.3, 0.5, 0.8, 1.1, 1.6)
    log.many(name, [center + 0.01 * scale * step for step in steps])
