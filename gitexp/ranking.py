"""Runs in the order of a metric, and the best compromises between several."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gitexp.document import By
from gitexp.index.ask import Key, Metric
from gitexp.index.search import Found
from gitexp.light import NamedTuple
from gitexp.naming import Goal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitexp.run import Run


class Ranked(NamedTuple):
    """A run's place by a metric.

    Attributes:
        found: The run as it was found, with the columns that were asked for.
        value: The number it is ranked by.
        step: Of that value, for ``by="best"``.
        memory: What the run's histories are read from.
    """

    found: Found
    value: float
    step: int | None
    memory: object = None

    @property
    def run(self) -> Run:
        """The run."""
        return run_of(self.found, self.memory)


class Ranking(NamedTuple):
    """Runs ordered by a metric, best first.

    Attributes:
        metric: Full dotted path.
        goal: Which direction was taken for better, and why.
        skipped: How many runs have the metric but no finite value of it.
    """

    metric: str
    goal: Goal
    by: By
    rows: list[Ranked]
    skipped: int

    def _repr_html_(self) -> str:
        from gitexp.notebook import ranking_html

        rows = [(row.found.document, row.value, row.step) for row in self.rows]
        return ranking_html(self.metric, self.goal.word, rows)


class Front(NamedTuple):
    """The best compromises between several metrics.

    Attributes:
        goals: Full dotted path of each metric -> which direction was taken for better, and why.
        rows: Each run with its value of every metric, the best by the first metric first. No
            other run is better in one metric without being worse in another.
    """

    goals: dict[str, Goal]
    by: By
    rows: list[tuple[Found, tuple[float, ...]]]

    def _repr_html_(self) -> str:
        from gitexp.notebook import front_html

        goals = {metric: goal.word for metric, goal in self.goals.items()}
        return front_html(goals, [(found.document, values) for found, values in self.rows])


def key(path: str, goal: Goal, by: By) -> Key:
    """Return what ranks runs by a metric, the best first."""
    return Key(Metric(path, goal.word if by == "best" else by), descending=not goal.lower)


def ranked(found: Found, path: str, goal: Goal, by: By, memory: object) -> Ranked:
    """Return a run that was found by such a `key`, with its place."""
    summary = found.document["metrics"][path]
    step = summary.get(f"step_of_{goal.word}") if by == "best" else None
    return Ranked(found, found.row.keys[0], step, memory)


def front(found: Sequence[Found], goals: dict[str, Goal], by: By) -> Front:
    """Return the Pareto front of runs that were found by the `key` of each metric.

    Args:
        found: Of all runs that have a finite value of the first metric, the best first.
        goals: Of each metric, by its full path.
        by: Which value of a run counts.
    """
    whole = [(each, each.row.keys) for each in found if all(map(is_finite, each.row.keys))]
    signs = [1 if goal.lower else -1 for goal in goals.values()]
    kept = pareto([[s * v for s, v in zip(signs, values, strict=True)] for _, values in whole])
    return Front(goals, by, [whole[i] for i in kept])


def pareto(points: Sequence[Sequence[float]]) -> list[int]:
    """Return the positions of the points that no other point dominates, lower being better.

    Args:
        points: Of one dimension.
    """
    front: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: tuple(points[i])):
        # What could dominate it comes before it in this order, and is on the front itself.
        if not any(_dominates(points[j], points[i]) for j in front):
            front.append(i)
    return sorted(front)


def _dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return tuple(a) != tuple(b) and all(x <= y for x, y in zip(a, b, strict=True))


def is_finite(value: object) -> bool:
    """Say whether a value that was found is a finite number."""
    return isinstance(value, int | float) and math.isfinite(value)


def run_of(found: Found, memory: object | None = None) -> Run:
    """Return a run that was found; ``memory`` is what its histories are read from."""
    from gitexp.run import Run

    return Run.from_document(found.document, memory)
