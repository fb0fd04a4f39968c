"""The guard: has this been tried, and what does that mean for trying it (docs/research.md).

A plan (or a run) is compared with all runs in a cascade of levels
(`gitexp.research.guard.cascade`); what is found is a class with its evidence, and by the mode it
is allowed, to be taken with caution, or blocked. Evidence that a plan is near others, in its patch
or its words, never blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from gitexp.configuration import digest_of, seed_of
from gitexp.errors import MissingObjectError, RunNotFoundError, UsageError
from gitexp.git.history import tree_of_commit
from gitexp.git.patches import base_of_tree
from gitexp.memory import Memory
from gitexp.records.decision import Level, Novelty, NoveltyClass
from gitexp.research.belief.posterior import fit
from gitexp.research.cache import with_cache
from gitexp.research.goal import GoalMetric
from gitexp.research.guard.cascade import Cascade, Found, Subject
from gitexp.research.guard.changes import Change, Progress
from gitexp.research.guard.known import Judge, Known, plain_command, plain_parameters
from gitexp.research.observations import observe
from gitexp.run import Run

Mode = Literal["explore", "exploit", "replicate"]
Policy = Literal["allow", "caution", "block"]

MODES: tuple[Mode, ...] = ("explore", "exploit", "replicate")
CLASSES: tuple[NoveltyClass, ...] = get_args(NoveltyClass)
_POLICY: Mapping[str, Policy] = {"a": "allow", "c": "caution", "b": "block"}
_TABLE: Mapping[Mode, str] = {"explore": "abbbbbca", "exploit": "aaabbcca", "replicate": "caabaacc"}
POLICIES: Mapping[Mode, Mapping[NoveltyClass, Policy]] = {
    mode: {name: _POLICY[letter] for name, letter in zip(CLASSES, letters, strict=True)}
    for mode, letters in _TABLE.items()
}
BLOCKING: frozenset[Level] = frozenset(("identity", "patch", "structure"))
"""Levels whose evidence may block."""

_SENTENCES: Mapping[NoveltyClass, str] = {
    "novel": "Nothing like it was run before.",
    "known_success": "It was run before, and it was better than its base.",
    "incremental_followup": "It continues a success of its family.",
    "repeat_failure": "It was run before, and it failed.",
    "duplicate_run": "Exactly this was run before; only another seed would tell more.",
    "replicate": "Exactly this was run before, with another seed: it is a replicate.",
    "retest_on_new_base": "It was run before on another base, so this is worth a new test.",
    "interpolation": "It lies between two values that failed.",
}
_NOTHING = "Say what is planned in words, with --param or a command, or change the code first."
_UNRESOLVED = "It was tried before, and whether it is better is not resolved."
_RESEMBLES: Mapping[NoveltyClass, str] = {
    "novel": "It resembles what was tried before, of which nobody knows whether it is better.",
    "known_success": "It resembles what was better than its base before.",
    "incremental_followup": "It resembles a success of its family.",
    "repeat_failure": "It resembles what failed before.",
}


@dataclass(frozen=True)
class Plan:
    """What somebody is about to run, as far as it is said.

    Attributes:
        parameters: Nested or by dotted path; None where nothing is said of them.
        command: None likewise.
        tree: Id of the tree that the run's snapshot would have; None for an idea in words.
        base: Id of the commit that it builds on: of ``HEAD``.
        tries_code: What the tree changes is part of what is tried; else the tree is only what the
            rest would run on. By default it is where the code that matters is not the base's.
    """

    description: str | None = None
    hypothesis: str | None = None
    family: str | None = None
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] | None = None
    seed: int | None = None
    command: tuple[str, ...] | None = None
    tree: str | None = None
    base: str | None = None
    tries_code: bool | None = None


@dataclass(frozen=True)
class Finding:
    """What the guard says.

    Attributes:
        novelty: Class and evidence, the weightiest first.
        policy: Whether to go on, in this mode.
        certain: Code, parameters and command are known to be those of an earlier run.
        sentence: Why.
        provisional: Noise is unmeasured: how runs went is what single runs say.
    """

    novelty: Novelty
    mode: Mode
    policy: Policy
    certain: bool
    sentence: str
    provisional: bool = False


def check(
    memory: Memory,
    plan: Plan,
    goal: GoalMetric | None,
    *,
    mode: Mode = "exploit",
    limit: int = 3,
    progress: Progress | None = None,
) -> Finding:
    """Say whether a plan was tried, of one plan alone; see `Guard.check`.

    Args:
        memory: Whose runs.
        plan: It.
        goal: What runs are judged by; None where no run has a metric.
        mode: What the next runs are for.
        limit: Runs to name at most.
        progress: Told how many runs' changes are read.

    Raises:
        UsageError: The plan says nothing that could be compared.
    """

    def work(cache: sqlite3.Connection) -> Finding:
        posterior = None if goal is None else fit(observe(memory, goal, cache), goal)
        finding = Guard(memory, goal, posterior, cache, progress).check(plan, mode, limit)
        return replace(finding, provisional=posterior is not None and not posterior.noise.measured)

    return with_cache(memory.repository, work)


class Guard:
    """Compares ideas with all runs of a repository."""

    def __init__(
        self,
        memory: Memory,
        goal: GoalMetric | None,
        posterior: Judge | None,
        cache: sqlite3.Connection,
        progress: Progress | None = None,
    ) -> None:
        """Read what was run; the first time this takes some milliseconds for each run.

        Args:
            memory: Whose runs.
            goal: What they are judged by; None where no run has a metric.
            posterior: Says how they went; None where no run has a metric.
            cache: Remembers what was read of their code (`gitexp.research.cache`).
            progress: Told how many runs' changes are read.
        """
        self._repository = memory.repository
        self._known = Known(memory, goal, posterior, cache, progress)

    def check(self, plan: Plan, mode: Mode = "exploit", limit: int = 3) -> Finding:
        """Say whether a plan was tried.

        Args:
            plan: It.
            mode: What the next runs are for.
            limit: Runs to name at most.

        Raises:
            UsageError: The plan says nothing that could be compared.
        """
        return _finding(Cascade(self._known, self._subject(plan)), mode, limit)

    def check_run(self, run: Run, mode: Mode = "exploit", limit: int = 3) -> Finding:
        """Say whether what a run did had been tried when it started.

        Args:
            run: Of this repository, and known to the index.
            mode: As for `check`.
            limit: Likewise.

        Raises:
            RunNotFoundError: The index does not know it.
        """
        return _finding(Cascade(self._known, self._subject_of_run(run)), mode, limit)

    def _subject(self, plan: Plan) -> Subject:
        known = self._known
        parameters = None if plan.parameters is None else plain_parameters(plan.parameters)
        base = self._code_of_commit(plan.base)
        code = None if plan.tree is None else known.code_of_tree(plan.tree)
        tries_code = code != base if plan.tries_code is None else plan.tries_code
        change = self._change(plan) if tries_code and code is not None else None
        marked = known.marked_text([plan.description, plan.hypothesis, plan.family, *plan.tags])
        if not (change or marked or plan.parameters or plan.command):
            raise UsageError("There is nothing to compare.", _NOTHING)
        return Subject(
            marked=marked,
            described=known.marked_text([plan.description]),
            family=plan.family,
            parameters=parameters,
            command=None if plan.command is None else plain_command(plan.command),
            setup=digest_of(parameters or {}, plan.command) if plan.command else None,
            seed=seed_of(_as_run(plan)),
            code=code if change or plan.parameters or plan.command else None,
            base=base if change is None else change.base,
            change=change,
            run=None,
            sees=lambda _: True,
        )

    def _change(self, plan: Plan) -> Change | None:
        base = base_of_tree(self._repository, plan.tree or "", plan.base)
        if base is None:
            return None
        return self._known.changes.of_trees(base, self._known.code_of_tree(base.old))

    def _code_of_commit(self, commit: str | None) -> bytes | None:
        if commit is None:
            return None
        try:
            return self._known.code_of_tree(tree_of_commit(self._repository, commit))
        except MissingObjectError:
            return None

    def _subject_of_run(self, run: Run) -> Subject:
        known, run_id, document = self._known, bytes.fromhex(run.id), run.to_dict()
        if run_id not in known.rows:
            raise RunNotFoundError(f"Run {run.id[:12]} is not in the index.", "Run 'git exp log'.")
        row, change = known.rows[run_id], known.changes.of_run(run_id)
        return Subject(
            marked=known.marked(document),
            described=known.described(document),
            family=run.family,
            parameters=plain_parameters(run.parameters),
            command=plain_command(run.command),
            setup=row.setup,
            seed=seed_of(run),
            code=known.code.get(run_id),
            base=None if change is None else change.base,
            change=change,
            run=run_id,
            sees=lambda other: (other.started, other.id) < (row.started, row.id),
        )


def _as_run(plan: Plan) -> Run:
    """Return a plan as a run, for what asks one for its seed."""
    run = Run("", "", "unknown", datetime.fromtimestamp(0, UTC), "", seed=plan.seed)
    run.parameters, run.command = dict(plan.parameters or {}), plan.command or ()
    return run


def _finding(cascade: Cascade, mode: Mode, limit: int) -> Finding:
    """Ask level by level; the first that has evidence decides."""
    asked = (cascade.identity, cascade.patch, cascade.structure, cascade.near, cascade.text)
    found = next((answer for level in asked if (answer := level())), Found("novel", ()))
    novelty = Novelty(found.classification, found.evidence[:limit])
    policy = POLICIES[mode][found.classification]
    is_blocking = any(each.level in BLOCKING for each in found.evidence)
    if policy == "block" and not is_blocking:
        policy = "caution"
    return Finding(novelty, mode, policy, found.certain, _sentence(found, blocking=is_blocking))


def _sentence(found: Found, *, blocking: bool) -> str:
    if found.note:
        return found.note
    if found.evidence and not blocking:
        return _RESEMBLES.get(found.classification, _SENTENCES[found.classification])
    if found.evidence and found.classification == "novel":
        return _UNRESOLVED
    return _SENTENCES[found.classification]
