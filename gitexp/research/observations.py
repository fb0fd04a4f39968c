"""The runs of a repository as observations of its goal metric, with configurations and bases.

All runs are looked at for every question, so this is made for 10,000 of them in some 30 ms: plain
tuples, digests instead of documents, and commits and trees remembered (`gitexp.research.cache`).
"""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import xxhash

from gitexp.git.history import EMPTY_TREE
from gitexp.index.observe import Near, Observed
from gitexp.memory import Memory
from gitexp.research.ancestry import Ancestry
from gitexp.research.code import Code
from gitexp.research.goal import GoalMetric

_EMPTY = bytes.fromhex(EMPTY_TREE)
_HOPS = 1_000
"""Commits with runs that are looked at for one base; all of them by runs that came later."""
_IN_PROGRESS = frozenset({"running", "unknown"})
_UNDONE = frozenset({"discard", "crash"})
_WENT_WRONG = frozenset({"failed", "crashed", "interrupted", "timeout"})


class Observation(NamedTuple):
    """A run, and what it says about its configuration.

    Attributes:
        run: 20 bytes.
        configuration: What was run, its seed apart: 16 bytes.
        base: The configuration that it was derived from; None where no run says so.
        value: Of the goal metric; None where the run has no finite one.
        started: Microseconds since 1970.
        duration: Seconds.
        ended: It is not in progress.
        crashed: It did not finish.
    """

    run: bytes
    configuration: bytes
    base: bytes | None
    value: float | None
    started: int
    duration: float
    ended: bool
    crashed: bool
    verdict: str | None
    seed: int | float | None


def observe(
    memory: Memory, goal: GoalMetric, cache: sqlite3.Connection, near: Near | None = None
) -> list[Observation]:
    """Return runs as observations of the goal metric, in the order of their starts.

    Args:
        memory: Whose.
        goal: The goal metric.
        cache: Remembers trees and commits.
        near: Which runs; all by default.
    """
    rows = memory.observed(goal.metric, goal.column, near)
    trees = {row.tree for row in rows if row.tree is not None}
    digests = Code(memory.repository, cache).digests(trees - {_EMPTY})
    digest = xxhash.xxh3_128_digest
    configurations = [
        digest((digests.get(row.tree or b"") or row.tree or b"") + (row.setup or row.id))
        for row in rows
    ]
    bases = _Bases(rows, configurations, Ancestry(memory.repository, cache))
    return [
        Observation(
            row.id,
            configuration,
            base,
            _finite(row.value),
            row.started,
            row.duration or 0.0,
            row.status not in _IN_PROGRESS,
            row.status in _WENT_WRONG,
            row.verdict,
            row.seed,
        )
        for row, configuration, base in zip(rows, configurations, bases, strict=True)
    ]


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


class _Bases:
    """The bases of all runs, in order: that of the parent run, or of what stood nearest before.

    A run stands at a commit whose tree is its snapshot's; of several there one with the same
    parameters and command is taken, else the first, for a sweep spreads about its start. Runs
    with uncommitted changes stand beside the commit that they started from; the latest of them is
    taken where none stands at it. Runs that went wrong carry nothing, and changes that were
    discarded are taken to have been undone.
    """

    def __init__(
        self, rows: Sequence[Observed], configurations: Sequence[bytes], ancestry: Ancestry
    ) -> None:
        self._pairs = list(zip(rows, configurations, strict=True))
        heads = {row.commit for row in rows if row.tree and isinstance(row.commit, bytes)}
        ancestry.extend(heads)
        standing = {row.tree for row in rows if row.tree is not None} - {_EMPTY}
        self._trees = ancestry.trees
        self._before = ancestry.landmarks(heads, standing)
        # By tree: the setup of each configuration there, and the first one under None.
        self._at: dict[bytes | None, dict[bytes | None, bytes]] = {}
        self._beside: dict[bytes, bytes] = {}

    def __iter__(self) -> Iterator[bytes | None]:
        by_run: dict[str, bytes] = {}
        if any(row.parent for row, _ in self._pairs):
            by_run = {row.id.hex(): configuration for row, configuration in self._pairs}
        trees, at = self._trees, self._at
        known: dict[bytes, bytes | None] = {}
        for row, configuration in self._pairs:
            _, tree, setup, _, _, status, verdict, _, parent, head, _ = row
            commit = head if isinstance(head, bytes) else b""
            head_tree = trees.get(commit)
            base = by_run.get(parent) if parent else None
            if base is None and commit:
                there = at.get(head_tree)
                base = self._nearest(commit, row) if there is None else _stood(there, setup)
            if base == configuration:
                base = known.get(configuration)
            known.setdefault(configuration, base)
            if tree is not None and tree != _EMPTY and status not in _WENT_WRONG:
                own = at.setdefault(tree, {None: configuration})
                own.setdefault(setup, configuration)
                if commit and head_tree != tree and verdict not in _UNDONE:
                    self._beside[commit] = configuration
            yield base

    def _nearest(self, head: bytes, row: Observed) -> bytes | None:
        """Return what stood nearest in the history of a commit at which no run stands."""
        commit: bytes | None = head
        for _ in range(_HOPS):
            if commit is None:
                break
            there = self._at.get(self._trees.get(commit))
            if there is not None:
                return _stood(there, row.setup)
            # What is committed was not made of what was tried beside it.
            is_own = commit == head and self._trees.get(commit) == row.tree
            if commit in self._beside and not is_own:
                return self._beside[commit]
            commit = self._before.get(commit)
        return None


def _stood(there: dict[bytes | None, bytes], setup: bytes) -> bytes:
    return there.get(setup) or there[None]
