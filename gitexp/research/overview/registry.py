"""What is known so far: the champion and its challengers, what is open, what broke, what it cost.

Everything in it is derived from the runs when it is asked for. All runs are looked at as
observations and columns; only the few that are named are read as documents.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from gitexp.memory import Memory
from gitexp.records.decision import Noise
from gitexp.research.crashes import Cluster, clusters
from gitexp.research.goal import GoalMetric
from gitexp.research.overview import contenders
from gitexp.research.overview.contenders import Contender
from gitexp.research.overview.lineage import lineages
from gitexp.research.overview.next_steps import Step, open_steps
from gitexp.research.overview.shown import Row, RunNote
from gitexp.research.overview.spend import Spend, spend
from gitexp.research.overview.state import State, read_state

LINEAGES = 5
CLUSTERS = 8
CRASHED = 400
"""Runs that did not finish whose documents are read: the latest."""
_LATEST = 20
"""A failure is still happening if one of so many latest runs shows it."""
_PATH = 30
"""Steps of a lineage that are named: the last ones."""
_WRONG = frozenset({"failed", "crashed", "timeout"})


class Goal(msgspec.Struct, frozen=True, omit_defaults=True):
    """What runs are judged by.

    Attributes:
        goal: ``min`` or ``max`` is better.
        minimum: The smallest gain that matters: as set, or what is taken for it.
        source: ``option``, ``settings`` or ``runs``.
    """

    metric: str
    goal: str
    by: str
    source: str
    minimum: float | None = None


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lineage as it is shown; see `gitexp.research.overview.lineage`.

    Attributes:
        size: Configurations in it; `runs` likewise.
        path: From the root to the best, or the last steps of it.
    """

    root: RunNote
    size: int
    runs: int
    best: RunNote | None = None
    path: tuple[RunNote, ...] = ()


class Registry(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known so far.

    Attributes:
        runs: How many there are.
        statuses: Status -> how many.
        goal: Absent where no run has a metric; `no_goal` says then why.
        champion: Absent where no run has a value that counts.
        provisional: Noise is unmeasured: nothing is decided for good.
        unresolved: Worth a replicate, the worthiest per second first.
        failed: Resolved as worse than what they were derived from, the latest first.
        crashes: See `gitexp.research.crashes`.
        queue: What to do next, the most urgent first.
        stale: Decisions that new evidence has overtaken.
    """

    runs: int
    statuses: dict[str, int]
    goal: Goal | None = None
    no_goal: str | None = None
    noise: Noise | None = None
    provisional: bool = False
    champion: Contender | None = None
    challengers: tuple[Contender, ...] = ()
    lineages: tuple[Line, ...] = ()
    unresolved: tuple[Contender, ...] = ()
    failed: tuple[Contender, ...] = ()
    crashes: tuple[Cluster, ...] = ()
    queue: tuple[Step, ...] = ()
    stale: tuple[Step, ...] = ()
    spend: Spend = Spend(0, 0.0)


def load(memory: Memory, goal: GoalMetric | None = None) -> Registry:
    """Return what is known so far.

    Args:
        memory: Whose runs.
        goal: What they are judged by; by default as set, or as the runs suggest.

    Raises:
        UsageError: A setting cannot be understood.
    """
    return registry(read_state(memory, goal))


def registry(state: State) -> Registry:
    """Return what is known so far, of what was read."""
    champion = contenders.champion(state)
    unresolved = contenders.unresolved(state)
    crashes = crash_clusters(state, state.rows)
    steps, stale = open_steps(state, champion, unresolved, crashes)
    noise = None if champion is None or state.posterior is None else state.posterior.noise
    return Registry(
        runs=len(state.rows),
        statuses=dict(Counter(row.status for row in state.rows).most_common()),
        goal=_goal(state),
        no_goal=state.no_goal,
        noise=noise,
        provisional=noise is not None and not noise.measured,
        champion=champion,
        challengers=contenders.challengers(state),
        lineages=_lineages(state),
        unresolved=unresolved,
        failed=contenders.failed(state),
        crashes=crashes,
        queue=steps,
        stale=stale,
        spend=spend(state.rows),
    )


def _goal(state: State) -> Goal | None:
    if state.goal is None or state.posterior is None:
        return None
    goal = state.goal
    return Goal(goal.metric, goal.word, goal.by, goal.source, state.posterior.minimum)


def crash_clusters(state: State, rows: Sequence[Row]) -> tuple[Cluster, ...]:
    """Return how runs failed, the commonest way first.

    Args:
        state: What was read.
        rows: Those to look at, the latest first.
    """
    wrong = [row.run.hex() for row in rows if row.status in _WRONG][:CRASHED]
    latest = {row.run.hex() for row in state.rows[:_LATEST]}
    found = state.memory.search(among=wrong) if wrong else []
    return tuple(clusters((each.document for each in found), latest)[:CLUSTERS])


def _lineages(state: State) -> tuple[Line, ...]:
    """Return the best lineages that grew; a lone configuration is none."""
    if state.goal is None:
        return ()
    found = [line for line in lineages(state.observations, state.goal) if line.size > 1]
    shown = found[:LINEAGES]
    notes = state.notes(run for line in shown for run in (line.root, *line.path[-_PATH:]))
    return tuple(
        Line(
            notes[line.root],
            line.size,
            line.runs,
            None if line.best is None else state.notes([line.best])[line.best],
            tuple(notes[run] for run in line.path[-_PATH:]),
        )
        for line in shown
    )
