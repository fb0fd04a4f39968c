"""The goal metric of a repository: what runs are judged by, in which direction, by how much."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from gitexp.document import By
from gitexp.errors import GitexpError, UsageError
from gitexp.memory import Memory
from gitexp.naming import direction, resolve_name

_BY: dict[str, By] = {"best": "best", "last": "last", "mean": "mean"}
_SAMPLE = 200
"""Runs whose metrics are counted where no goal metric is set: the latest."""


@dataclass(frozen=True)
class GoalMetric:
    """What runs are judged by.

    Attributes:
        metric: Full dotted path.
        lower: Lower is better.
        by: Which value of a run counts.
        minimum: The smallest gain that matters, in units of the metric; None where none is set.
        source: Where it is known from: an option, the settings, or the metrics of the runs.
    """

    metric: str
    lower: bool
    by: By
    minimum: float | None
    source: Literal["option", "settings", "runs"]

    @property
    def word(self) -> Literal["min", "max"]:
        """``min`` or ``max``."""
        return "min" if self.lower else "max"

    @property
    def column(self) -> str:
        """Which column of the index holds the value that counts."""
        return self.word if self.by == "best" else self.by

    def gain(self, new: float, old: float) -> float:
        """Return by how much a value is better than another; negative where it is worse."""
        return old - new if self.lower else new - old


def goal_metric(memory: Memory, metric: str | None = None, lower: bool | None = None) -> GoalMetric:
    """Return the goal metric: as given, as set, or else as the runs suggest.

    Args:
        memory: Whose.
        metric: Name of a metric, if the user names one.
        lower: Lower is better, if the user says so.

    Raises:
        GitexpError: No run has that metric, or none has any.
        UsageError: A setting cannot be understood.
    """
    settings = memory.repository.settings
    by = _BY.get(settings.get("exprag.by", "best"))
    if by is None:
        raise UsageError(
            f"exprag.by is {settings['exprag.by']!r}.", "Set it to best, last or mean."
        )
    named = metric or settings.get("exprag.metric")
    source: Literal["option", "settings", "runs"] = "option" if metric else "settings"
    if named is None:
        path, source = _commonest(memory), "runs"
    else:
        path = resolve_name(named, memory.metric_paths())
    goal = direction(path, settings, lower)
    return GoalMetric(path, goal.lower, by, _minimum(settings.get("exprag.minimum")), source)


def _minimum(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UsageError(
            f"exprag.minimum is {text!r}, which is no gain.", "Set it to a number such as 0.001."
        )
    return value


def _commonest(memory: Memory) -> str:
    """Return the metric that most of the latest runs have; of several, the first by name."""
    documents = [found.document for found in memory.search(limit=_SAMPLE)]
    counts: Counter[str] = Counter(
        path for document in documents for path in document.get("metrics", {})
    )
    if not counts:
        raise GitexpError(
            "No run has a metric yet.", "Say which one counts: git config exprag.metric NAME"
        )
    return min(counts, key=lambda path: (-counts[path], path))
