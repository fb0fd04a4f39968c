"""Which runs are to be seen: not withdrawn, and more than a remark is known of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from gitexp.git.repository import Repository
from gitexp.index.database import Index


def visible_runs(repository: Repository, runs: Sequence[str]) -> dict[str, float]:
    """Return those of the runs that are to be seen -> when they began, in seconds since 1970."""

    def ask(db: sqlite3.Connection) -> dict[str, float]:
        sql = "SELECT started FROM run WHERE id = ?"
        found = ((run, db.execute(sql, (bytes.fromhex(run),)).fetchone()) for run in runs)
        return {run: row[0] / 1e6 for run, row in found if row is not None}

    return Index(repository).ask(ask) if runs else {}


def unread_runs(repository: Repository, runs: Sequence[str]) -> list[str]:
    """Return those of the runs of which the index could not read what the shards say."""

    def ask(db: sqlite3.Connection) -> list[str]:
        sql = "SELECT 1 FROM note WHERE run = ? LIMIT 1"
        return [r for r in runs if db.execute(sql, (bytes.fromhex(r),)).fetchone() is None]

    return Index(repository).ask(ask) if runs else []
