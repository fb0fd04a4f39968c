"""Lineages: which configurations grew out of which, through git's history and parent runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation

_DEEPEST = 10_000
"""Steps of a path: bases come from what others wrote, and may form a circle."""


class Lineage(NamedTuple):
    """A root and all that was derived from it.

    Attributes:
        root: The first run of the configuration at the root, 20 bytes.
        size: How many configurations there are in it.
        runs: How many runs.
        best: Its best run; None where no run has a value that counts.
        value: The value of that run.
        path: From the root to the best: the first run of each configuration.
    """

    root: bytes
    size: int
    runs: int
    best: bytes | None
    value: float | None
    path: tuple[bytes, ...]


def lineages(observations: Sequence[Observation], goal: GoalMetric) -> list[Lineage]:
    """Return all lineages, those with the best value first, then the larger ones.

    Args:
        observations: Of all runs, in the order of their starts.
        goal: What they are judged by.
    """
    firsts: dict[bytes, Observation] = {}
    for run in observations:
        firsts.setdefault(run.configuration, run)
    pairs = ((name, run.base) for name, run in firsts.items())
    bases = {name: base for name, base in pairs if base is not None and base in firsts}
    roots: dict[bytes, bytes] = {}
    groups: dict[bytes, list[Observation]] = {}
    for run in observations:
        root = _root(run.configuration, bases, roots)
        groups.setdefault(root, []).append(run)
    found = [_lineage(root, runs, firsts, bases, goal) for root, runs in groups.items()]
    sign = 1 if goal.lower else -1
    return sorted(found, key=lambda x: (x.value is None, sign * (x.value or 0.0), -x.size, x.root))


def _root(name: bytes, bases: Mapping[bytes, bytes], known: dict[bytes, bytes]) -> bytes:
    passed = []
    seen = set()
    while name not in known and name not in seen and (base := bases.get(name)) is not None:
        passed.append(name)
        seen.add(name)
        name = base
    root = known.get(name, name)
    for each in passed:
        known[each] = root
    return root


def _lineage(
    root: bytes,
    runs: Sequence[Observation],
    firsts: Mapping[bytes, Observation],
    bases: Mapping[bytes, bytes],
    goal: GoalMetric,
) -> Lineage:
    counted = [
        run
        for run in runs
        if run.value is not None
        and not run.crashed
        and run.ended
        and run.verdict not in ("discard", "crash")
    ]
    sign = 1 if goal.lower else -1
    best = min(counted, key=lambda run: (sign * (run.value or 0.0), run.started), default=None)
    path: list[bytes] = []
    name: bytes | None = best.configuration if best else root
    while name is not None and len(path) < _DEEPEST:
        path.append(firsts[name].run)
        name = bases.get(name) if name != root else None
    return Lineage(
        firsts[root].run,
        len({run.configuration for run in runs}),
        len(runs),
        best.run if best else None,
        best.value if best else None,
        tuple(reversed(path)),
    )
