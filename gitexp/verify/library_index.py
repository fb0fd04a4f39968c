"""The index of the library: equal to one that is made anew from the shards.

As with the index of runs, its file is read only and copied into memory; what is new since it was
written is added there.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from gitexp.git.repository import Repository
from gitexp.index.database import is_damage
from gitexp.library.database import NAME
from gitexp.library.schema import VERSION, create_tables, is_ours
from gitexp.library.sync import reflected_state, synchronise
from gitexp.verify.findings import Finding
from gitexp.verify.index import index_file, level, open_read_only
from gitexp.verify.store import Store

_TABLES = {
    "file": "SELECT path, ref, oid FROM file ORDER BY path, ref",
    "line": "SELECT path, kind, id, time, raw FROM line ORDER BY path, raw",
    "newer": "SELECT path, label FROM newer ORDER BY path, label",
    "problem": "SELECT * FROM problem ORDER BY path, shard, line",
    "paper": "SELECT * FROM paper ORDER BY id",
    "passage": "SELECT p.id, p.paper, t.* FROM passage AS p"
    " JOIN passage_text AS t ON t.rowid = p.number ORDER BY p.id",
    "method": "SELECT m.slug, t.* FROM method AS m"
    " JOIN method_text AS t ON t.rowid = m.number ORDER BY m.slug",
}


def check_library_index(store: Store) -> Iterator[Finding]:
    """Yield what is wrong with the file of the library's index; nothing where there is none."""
    path = index_file(store.repository, NAME)
    if path is None or any(shard.unread for shard in store.shards.values() if shard.is_library):
        return
    reason = _fault(store.repository, path)
    if reason is not None:
        message = f"The index of the library is not what the shards say: {reason}."
        remedy = "Run 'git exp reindex', or 'git exp verify --repair'."
        yield Finding("index", "repairable", message, remedy, True, path=str(path))


def _fault(repository: Repository, path: Path) -> str | None:
    """Return how an index differs from one that is made anew."""
    with (
        contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as mine,
        contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as anew,
    ):
        try:
            with contextlib.closing(open_read_only(path)) as source:
                source.backup(mine)
            if mine.execute("PRAGMA user_version").fetchone() != (VERSION,):
                return None  # of another gitexp; the next reader makes it anew
            wrong = _structure(mine)
            if wrong is None:
                create_tables(anew)
                bring_up = partial(synchronise, repository=repository)
                stood = level(mine, anew, bring_up, reflected_state)
                wrong = _difference(mine, anew) if stood else None
        except (sqlite3.Error, LookupError, TypeError, ValueError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            return str(error) or type(error).__name__
        return wrong


def _structure(db: sqlite3.Connection) -> str | None:
    if not is_ours(db):
        return "its tables are not as they were made"
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    for table in ("passage_text", "method_text"):
        db.execute(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")  # noqa: S608
    return None if found == "ok" else str(found)


def _difference(mine: sqlite3.Connection, anew: sqlite3.Connection) -> str | None:
    for table, sql in _TABLES.items():
        if mine.execute(sql).fetchall() != anew.execute(sql).fetchall():
            return f"the table {table} differs"
    return None
