"""The goal metric that a source suggests, and which direction of it is better."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gitexp.interchange.source import Reading
from gitexp.naming import direction


@dataclass(frozen=True)
class SuggestedGoal:
    """The goal metric that a source suggests.

    Attributes:
        metric: Its path.
        lower: Lower is better.
        source: ``settings``, or ``ledger`` (what it says, or its verdicts), or its ``name``.
        against_name: The name alone would say the other direction.
        is_set: ``exprag.metric`` names a metric, this one or another.
    """

    metric: str
    lower: bool
    source: Literal["settings", "ledger", "name"]
    against_name: bool
    is_set: bool

    @property
    def word(self) -> Literal["min", "max"]:
        """``min`` or ``max``."""
        return "min" if self.lower else "max"


def suggest_goal(reading: Reading, settings: Mapping[str, str]) -> SuggestedGoal | None:
    """Return what the runs of a source goal at; None where it has no metric.

    Raises:
        UsageError: ``exprag.goal`` is neither ``min`` nor ``max``.
    """
    if reading.metric is None:
        return None
    by_name = direction(reading.metric, {}).lower
    goal_metric = settings.get("exprag.metric")
    is_set = goal_metric is not None
    if goal_metric == reading.metric and "exprag.goal" in settings:
        lower = direction(reading.metric, settings).lower
        return SuggestedGoal(reading.metric, lower, "settings", lower != by_name, is_set)
    if reading.lower is None:
        return SuggestedGoal(reading.metric, by_name, "name", against_name=False, is_set=is_set)
    return SuggestedGoal(reading.metric, reading.lower, "ledger", reading.lower != by_name, is_set)
