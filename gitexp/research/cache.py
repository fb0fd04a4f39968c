"""``research.sqlite``: what is derived from snapshots, which never change.

It stands beside the index, and like it can be deleted at any time. Everything in it is keyed by
the id of a git object, so nothing in it can become wrong; what is missing is added when it is
asked for. Where no file can be kept it is in memory.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path

from gitexp.git.repository import Repository
from gitexp.index.place import folders, is_on_network

NAME = "research.sqlite"
VERSION = 1
"""Of the tables and of what is put into them. A cache of another version is made anew."""

_BUSY_SECONDS = 5.0

_TABLES = """
CREATE TABLE code (tree BLOB PRIMARY KEY, rules BLOB NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
"""


def open_cache(repository: Repository) -> sqlite3.Connection:
    """Open the cache of a repository; a new one where there is none that can be used."""
    for folder in folders(repository):
        if is_on_network(folder):
            continue
        with suppress(OSError, sqlite3.Error):
            folder.mkdir(parents=True, exist_ok=True)
            return _open(folder / NAME)
    return _create(":memory:")


def _open(path: Path) -> sqlite3.Connection:
    db = _connect(path)
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == VERSION:
            return db
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError):
            raise
    db.close()
    path.unlink(missing_ok=True)
    path.with_name(f"{NAME}-journal").unlink(missing_ok=True)
    return _create(path)


def _connect(path: Path | str) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    db.execute("PRAGMA temp_store = MEMORY")
    db.execute("PRAGMA synchronous = OFF")  # what is lost is derived again
    return db


def _create(path: Path | str) -> sqlite3.Connection:
    db = _connect(path)
    db.execute("BEGIN IMMEDIATE")
    try:
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != VERSION:  # another process may have been quicker
            for statement in filter(str.strip, _TABLES.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")
    return db
