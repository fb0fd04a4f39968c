"""What answers about all runs are made of, read once: observations, posterior, columns."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

from gitexp.errors import GitexpError, UsageError
from gitexp.memory import Memory
from gitexp.research.belief.posterior import Posterior, fit
from gitexp.research.cache import with_cache
from gitexp.research.goal import GoalMetric, goal_metric
from gitexp.research.observations import Observation, observe
from gitexp.research.overview.shown import Row, RunNote, read_notes, read_rows

_NO_METRIC = GoalMetric("", True, "best", None, "runs")
"""Stands where there is no goal metric: then no run has a value."""


@dataclass
class State:
    """What was read.

    Attributes:
        goal: None where no run has a metric, or none has the one that is set; `no_goal` says why.
        observations: Of all runs, in the order of their starts.
        posterior: None without a goal metric.
    """

    memory: Memory
    goal: GoalMetric | None
    no_goal: str | None
    observations: list[Observation]
    posterior: Posterior | None

    @functools.cached_property
    def rows(self) -> list[Row]:
        """Every run in columns, the latest first."""
        return read_rows(self.memory)

    @functools.cached_property
    def values(self) -> dict[str, float]:
        """Values of the goal metric by the id of the run."""
        return {run.run.hex(): run.value for run in self.observations if run.value is not None}

    @functools.cached_property
    def configurations(self) -> dict[str, bytes]:
        """The configuration of each run, by its id."""
        return {run.run.hex(): run.configuration for run in self.observations}

    @functools.cached_property
    def latest_finished(self) -> dict[str | bytes, int]:
        """When the latest run that finished started, by its configuration and by its family."""
        latest: dict[str | bytes, int] = {}
        for row in self.rows:
            if row.status == "finished":
                latest.setdefault(self.configurations.get(row.run.hex(), b""), row.started)
                latest.setdefault(row.family or "", row.started)
        return latest

    @functools.cached_property
    def starts(self) -> dict[str, int]:
        """When each run started, in microseconds since 1970, by its id."""
        return {row.run.hex(): row.started for row in self.rows}

    def notes(self, runs: Iterable[bytes]) -> dict[bytes, RunNote]:
        """Return notes of the runs of these ids, 20 bytes each."""
        wanted = list(dict.fromkeys(runs))
        found = read_notes(self.memory, [run.hex() for run in wanted], self.values)
        return {run: found.get(run.hex(), RunNote(run.hex())) for run in wanted}


def read_state(memory: Memory, goal: GoalMetric | None = None) -> State:
    """Read what there is.

    Args:
        memory: Where.
        goal: What runs are judged by; by default as set, or as the runs suggest.

    Raises:
        UsageError: A setting cannot be understood.
    """
    why = None
    if goal is None:
        try:
            goal = goal_metric(memory)
        except UsageError:
            raise
        except GitexpError as error:  # no metric yet, or several that fit the name: all else holds
            why = str(error)
    judged = goal or _NO_METRIC
    observations = with_cache(memory.repository, lambda cache: observe(memory, judged, cache))
    posterior = None if goal is None else fit(observations, goal)
    return State(memory, goal, why, observations, posterior)
