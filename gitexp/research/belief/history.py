"""Runs by configuration: their values, their bases, and which of them are looked at together."""

from __future__ import annotations

import heapq
import math
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gitexp.research.observations import Observation

CORE = 240
"""Configurations that are looked at together, at most half as many more with their bases."""

_MANY = 2_000
"""Configurations beyond which half as many are looked at together, to save time."""

LARGEST = 1e150
"""Values beyond count as infinite: their squares would be."""


@dataclass(frozen=True, slots=True)
class Scale:
    """Between values of the metric and *levels*, in which greater is better.

    Attributes:
        lower: Lower values are better.
        proportional: Levels are logarithms.
        center: What stands at level 0, so that levels keep all digits of differences.
    """

    lower: bool
    proportional: bool
    center: float

    def level(self, value: float) -> float:
        """Return the level of a value."""
        inner = math.log(value) if self.proportional else value
        return self.center - inner if self.lower else inner - self.center

    def value(self, level: float) -> float:
        """Return the value at a level."""
        inner = self.center - level if self.lower else self.center + level
        return math.exp(min(inner, 700.0)) if self.proportional else inner

    def gain(self, of: float, over: float) -> float:
        """Return the gain of one level over another, in units of the metric."""
        if not self.proportional:
            return of - over
        return (self.value(of) - self.value(over)) * (-1 if self.lower else 1)

    def step(self, gain: float, over: float) -> float:
        """Return by how much a level is above another that it gains on by so many units."""
        if not self.proportional:
            return gain
        value = self.value(over) + (-gain if self.lower else gain)
        return self.level(value) - over if value > 0 else math.inf


def has_value(run: Observation) -> bool:
    """Say whether a run's value counts: it finished, and nobody called it a crash."""
    return (
        run.ended
        and not run.crashed
        and run.verdict != "crash"
        and run.value is not None
        and -LARGEST < run.value < LARGEST
    )


class History:
    """Runs by configuration: values, bases, and who may be champion.

    Attributes:
        observations: By the id of the run.
        runs: Configuration -> its runs with a value, in the order of their starts.
        bases: Configuration -> base: as its runs say, else the best before it.
        means: Configuration -> mean of its values.
    """

    def __init__(self, runs: Iterable[Observation], *, lower: bool) -> None:
        """Group runs, given in the order of their starts."""
        self.observations = {run.run: run for run in runs}
        self.runs: dict[bytes, list[Observation]] = {}
        for run in self.observations.values():
            if has_value(run):
                self.runs.setdefault(run.configuration, []).append(run)
        self.bases = self._find_bases(lower=lower)
        self.means = {
            name: values_of(found)[0] if len(found) == 1 else statistics.fmean(values_of(found))
            for name, found in self.runs.items()
        }

    def _find_bases(self, *, lower: bool) -> dict[bytes, bytes]:
        bases: dict[bytes, bytes] = {}
        met: set[bytes] = set()
        best, champion = math.inf, None
        for run in self.observations.values():
            name = run.configuration
            if name not in bases:
                base = run.base if run.base in self.runs else None
                if base is None and name not in met:
                    base = champion
                if base is not None and base != name:
                    bases[name] = base
            if run.value is None or not has_value(run):
                continue
            met.add(name)
            value = run.value if lower else -run.value
            if value < best and run.verdict != "discard":
                best, champion = value, name
        return bases

    def is_eligible(self, name: bytes) -> bool:
        """Say whether a configuration may be champion: no discard, or a keep beside it."""
        verdicts = {run.verdict for run in self.runs.get(name, ())}
        return bool(verdicts) and ("discard" not in verdicts or "keep" in verdicts)


def values_of(runs: Iterable[Observation]) -> list[float]:
    """Return the values of runs that have one."""
    return [run.value for run in runs if run.value is not None]


def core_of(history: History, *, lower: bool) -> list[bytes]:
    """Return the configurations that are looked at together, with their bases."""
    names = list(history.runs)
    if len(names) <= CORE:
        return names
    size = CORE if len(names) <= _MANY else CORE // 2
    means = history.means
    sign = 1.0 if lower else -1.0
    eligible = ((sign * means[name], name) for name in names if history.is_eligible(name))
    best = [name for _, name in heapq.nsmallest(size // 4, eligible)]
    several = [(sign * means[name], name) for name in names if len(history.runs[name]) > 1]
    replicated = [name for _, name in heapq.nsmallest(size // 8, several)]
    chosen = dict.fromkeys([*names[-size // 2 :], *best, *replicated])
    for name in list(chosen):
        base = history.bases.get(name)
        while base is not None and base not in chosen and len(chosen) < size + size // 2:
            chosen[base] = None
            base = history.bases.get(base)
    return list(chosen)


def ordered(names: Iterable[bytes], bases: Mapping[bytes, bytes]) -> list[bytes]:
    """Return configurations and the bases among them, each after its base; loops are cut."""
    among = dict.fromkeys(names)
    for name in list(among):
        base = bases.get(name)
        if base is not None:
            among.setdefault(base)
    placed: dict[bytes, None] = {}
    for start in among:
        path: dict[bytes, None] = {}
        at: bytes | None = start
        while at is not None and at in among and at not in placed and at not in path:
            path[at] = None
            at = bases.get(at)
        placed.update(dict.fromkeys(reversed(path)))
    return list(placed)
