"""Decide about runs of a repository, and keep what was decided.

The rules are in `gitexp.research.rules`. Here is gathered what they look at, and a packet is
written as a line of its own beside the observation, which never changes (docs/format.md).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence

from gitexp.errors import ValueRejectedError
from gitexp.git.commit import identity
from gitexp.git.repository import Repository
from gitexp.index.observe import Near
from gitexp.memory import Memory
from gitexp.records.decision import DecisionFact
from gitexp.records.facts import MAX_LINE_BYTES, encode_fact
from gitexp.records.times import format_time
from gitexp.research.belief.posterior import Posterior, fit
from gitexp.research.cache import with_cache
from gitexp.research.goal import GoalMetric, goal_metric
from gitexp.research.observations import observe
from gitexp.research.rules import RULES, Case, judge
from gitexp.run import Run
from gitexp.store.batch import Batch, write_batch
from gitexp.store.shard import shard_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitexp.research.guard.novelty import Guard


_NEAR = (2_000, 200)
"""Latest and best runs: read in 13 ms out of 10,000, 50 ms out of 100,000 (all: 32, 330)."""


class Decider:
    """Judges runs of a repository, each beside all others as they are now."""

    def __init__(self, memory: Memory, posterior: Posterior, guard: Guard | None = None) -> None:
        """Judge in the name of git's user.

        Args:
            memory: Whose runs.
            posterior: Of all of them.
            guard: Asked what each run was beside those before it, where there is one.
        """
        self._memory = memory
        self._posterior = posterior
        self._guard = guard
        name, email = identity(memory.repository)
        self._by = f"{name} <{email}>"
        self._winners: dict[str, set[str]] = {}

    def decide(self, run: Run) -> DecisionFact:
        """Return what is to be concluded from a run, now.

        Raises:
            GitexpError: The run is in progress.
        """
        novelty = None if self._guard is None else self._guard.check_run(run).novelty
        others = self._winners_of(run.family) - {run.id} if run.family else set()
        now = format_time(time.time_ns())
        case = Case(run.to_dict(), self._posterior, now, self._by, novelty, bool(others))
        return judge(case)

    def _winners_of(self, family: str) -> set[str]:
        """Return the runs of a family that are a success."""
        if family not in self._winners:
            ids = self._memory.ask("SELECT id FROM run WHERE family = ?", [family])
            outcomes = ((run.hex(), self._posterior.outcome(run)) for (run,) in ids)
            self._winners[family] = {run for run, outcome in outcomes if outcome == "success"}
        return self._winners[family]


def decide(memory: Memory, run: Run, *, goal: GoalMetric | None = None) -> DecisionFact:
    """Return what is to be concluded from a run, in a time that hardly grows with their number.

    The guard is not asked, and the run is judged beside the latest runs and the best ones, their
    replicates included (`_NEAR`): the effects of long ago say little of those of now.

    Args:
        memory: Whose runs it is compared with.
        run: Which; it has ended.
        goal: The goal metric; by default as set or inferred.

    Raises:
        GitexpError: The run is in progress, or there is no goal metric.
    """
    goal = goal_metric(memory) if goal is None else goal
    posterior = posterior_of(memory, goal, Near(*_NEAR, lower=goal.lower))
    if posterior.observation(bytes.fromhex(run.id)) is None:
        posterior = posterior_of(memory, goal)
    return Decider(memory, posterior).decide(run)


def decide_again(
    memory: Memory, runs: Sequence[Run] | None = None, goal: GoalMetric | None = None
) -> dict[str, DecisionFact]:
    """Return what is to be concluded from runs, the guard's word included, by the id of the run.

    Args:
        memory: Whose runs they are compared with.
        runs: Which; by default all that have ended and have no decision, or a stale one.
        goal: The goal metric; by default as set or inferred.

    Raises:
        GitexpError: One of the runs is in progress, or there is no goal metric.
    """
    from gitexp.research.guard.novelty import Guard

    goal = goal_metric(memory) if goal is None else goal

    def work(cache: sqlite3.Connection) -> dict[str, DecisionFact]:
        posterior = fit(observe(memory, goal, cache), goal)
        chosen = undecided(memory, posterior) if runs is None else runs
        guard = Guard(memory, goal, posterior, cache) if chosen else None
        decider = Decider(memory, posterior, guard)
        return {run.id: decider.decide(run) for run in chosen}

    return with_cache(memory.repository, work)


def undecided(memory: Memory, posterior: Posterior) -> list[Run]:
    """Return the runs that have ended and have no decision, or a stale one, the latest first."""
    return [
        run
        for run in memory.runs()
        if (seen := posterior.observation(bytes.fromhex(run.id))) is not None
        and seen.ended
        and (run.decision is None or is_stale(run.decision, run.id, posterior))
    ]


def posterior_of(
    memory: Memory, goal: GoalMetric | None = None, near: Near | None = None
) -> Posterior:
    """Return the posterior of the runs of a repository.

    Args:
        memory: Whose.
        goal: The goal metric; by default as set or inferred.
        near: Which runs; all by default.

    Raises:
        GitexpError: There is no goal metric.
    """
    goal = goal_metric(memory) if goal is None else goal
    found = with_cache(memory.repository, lambda cache: observe(memory, goal, cache, near))
    return fit(found, goal)


def is_stale(decision: DecisionFact, run: str, posterior: Posterior) -> bool:
    """Say whether a decision rests on what is no longer so.

    It does where the rules or the goal metric are others by now, where noise has been measured
    since, where the run would be judged beside another configuration now, or where its own has been
    run again.

    Args:
        decision: About the run.
        run: Its full id.
        posterior: Of all runs, now.
    """
    made = (decision.rules, decision.metric, decision.goal)
    if made != (RULES, posterior.goal.metric, posterior.goal.word):
        return True
    if decision.provisional == posterior.noise.measured:
        return True
    seen = posterior.observation(bytes.fromhex(run))
    comparison = decision.comparison
    if seen is None or comparison is None:
        return False
    other = posterior.against(seen.configuration)
    known_by = None if other is None else posterior.run_of(other)
    is_same = known_by is not None and known_by.hex() == comparison.champion
    return not is_same or len(posterior.runs_of(seen.configuration)) != comparison.runs


def write_decision(repository: Repository, run_id: str, decision: DecisionFact) -> None:
    """Write a decision as a line about a run.

    Args:
        repository: Where.
        run_id: Full id of the run.
        decision: About it.

    Raises:
        ValueRejectedError: It is longer than a stored line may be.
        ConflictError: Others kept winning the race for the shard; nothing was written.
    """
    write_decisions(repository, {run_id: decision})


def write_decisions(repository: Repository, decisions: Mapping[str, DecisionFact]) -> None:
    """Write decisions, a line about each run, all at once; see `write_decision`."""
    lines = {run_id: [encode_fact(decision)] for run_id, decision in decisions.items()}
    if any(len(line) > MAX_LINE_BYTES for (line,) in lines.values()):
        raise ValueRejectedError("The decision is longer than 16 MiB, the limit of a line.")
    write_batch(repository, shard_name(repository), Batch(facts=lines))
