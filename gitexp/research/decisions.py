"""Decide about runs of a repository, and keep what was decided.

The rules are in `gitexp.research.rules`. Here is gathered what they look at, and a packet is
written as a line of its own beside the observation, which never changes (docs/format.md).
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence

import msgspec

from gitexp.errors import ValueRejectedError
from gitexp.git.commit import identity
from gitexp.git.refs import is_run_id
from gitexp.git.repository import Repository
from gitexp.index.observe import Near
from gitexp.index.search import Found
from gitexp.memory import Memory
from gitexp.ranking import run_of
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
    return [run_of(found, memory) for found in memory.search() if _is_open(found, posterior)]


def _is_open(found: Found, posterior: Posterior) -> bool:
    document = found.document
    seen = posterior.observation(found.row.id)
    if seen is None or not seen.ended:
        return False
    if "decision" not in document:
        return True
    decision = msgspec.convert(document["decision"], DecisionFact)
    return stale_because(decision, document["run"], posterior) is not None


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


def stale_because(decision: DecisionFact, run: str, posterior: Posterior) -> str | None:
    """Return why a decision does not hold any more, as a clause; None where it does.

    Args:
        decision: About the run.
        run: Its full id.
        posterior: Of all runs, now.
    """
    if why := _judged_otherwise(decision, posterior):
        return why
    comparison, mine = decision.comparison, _configuration(run, posterior)
    if mine is None or comparison is None:
        return None
    new = runs_since(decision, run, posterior) or len(posterior.runs_of(mine)) - comparison.runs
    if new < 0:
        return "runs of the configuration have been withdrawn since"
    if new:
        noun = "run has" if new == 1 else "runs have"
        return f"{new} more {noun} been made of the configuration since"
    then = _configuration(comparison.champion, posterior)
    is_same = posterior.champion in (then, mine)
    return None if is_same else "the champion is another one now"


def _judged_otherwise(decision: DecisionFact, posterior: Posterior) -> str | None:
    """Return what a decision was judged by that is not so any more."""
    if (decision.metric, decision.goal) != (posterior.goal.metric, posterior.goal.word):
        return "runs are judged by another metric now"
    if decision.rules != RULES:
        return "the rules are others now"
    if decision.provisional and posterior.noise.measured:
        return "noise has been measured since"
    if not decision.provisional and not posterior.noise.measured:
        return "noise is not measured any more"
    return None


def runs_since(decision: DecisionFact, run: str, posterior: Posterior) -> int:
    """Return how many runs there are by now of what a decision wants to be run again.

    That is the configuration of the run, or of the champion at that time.
    """
    comparison = decision.comparison
    if comparison is None:
        return 0
    is_champion = decision.action in ("replicate_champion", "measure_noise")
    configuration = _configuration(comparison.champion if is_champion else run, posterior)
    if configuration is None:
        return 0
    before = comparison.champion_runs if is_champion else comparison.runs
    return len(posterior.runs_of(configuration)) - before


def _configuration(run: str, posterior: Posterior) -> bytes | None:
    seen = posterior.observation(bytes.fromhex(run)) if is_run_id(run) else None
    return None if seen is None else seen.configuration


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
