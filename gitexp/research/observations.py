"""The runs of a repository as observations of its goal metric, with configurations and bases."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import xxhash

from gitexp.git.history import EMPTY_TREE
from gitexp.index.observe import Observed
from gitexp.memory import Memory
from gitexp.research.code import Code
from gitexp.research.goal import GoalMetric

_EMPTY = bytes.fromhex(EMPTY_TREE)


@dataclass(frozen=True, slots=True)
class Observation:
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


def observe(memory: Memory, goal: GoalMetric, cache: sqlite3.Connection) -> list[Observation]:
    """Return all runs as observations of the goal metric, in the order of their starts."""
    rows = memory.observed(goal.metric, goal.column)
    code = Code(memory.repository, cache)
    digests = code.digests(row.tree for row in rows if row.tree not in (None, _EMPTY))
    configurations = [_configuration(row, digests) for row in rows]
    bases = _bases(rows, configurations)
    return [
        Observation(
            row.id,
            configuration,
            base,
            _finite(row.value),
            row.started,
            row.duration or 0.0,
            row.status not in ("running", "unknown"),
            row.status not in ("running", "unknown", "finished"),
            row.verdict,
            row.seed,
        )
        for row, configuration, base in zip(rows, configurations, bases, strict=True)
    ]


def _configuration(row: Observed, digests: dict[bytes, bytes]) -> bytes:
    code = digests.get(row.tree or b"") or row.tree or b""
    return xxhash.xxh3_128_digest(code + (row.setup or row.id))


def _finite(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _bases(rows: Sequence[Observed], configurations: Sequence[bytes]) -> list[bytes | None]:
    """Return the base of each run, as far as runs say so.

    A run continues the one that it names as its parent, or whose snapshot its ``HEAD`` is; of the
    runs that started from one commit the first is the base of the others.
    """
    by_run: dict[str, bytes] = {}
    by_commit: dict[str, bytes] = {}
    bases: list[bytes | None] = []
    for row, configuration in zip(rows, configurations, strict=True):
        commit = row.commit.hex() if isinstance(row.commit, bytes) else row.commit or ""
        base = by_run.get(row.parent or "") or by_run.get(commit) or by_commit.get(commit)
        bases.append(base if base != configuration else None)
        by_run[row.id.hex()] = configuration
        if commit:
            by_commit.setdefault(commit, configuration)
    return bases
