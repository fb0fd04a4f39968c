"""``research.sqlite``: what is derived from snapshots, which never change.

It stands beside the index, and like it can be deleted at any time. Everything in it is keyed by
the id of a git object, so nothing in it can become wrong; what is missing is added when it is
asked for. Where no file can be kept, or it turns out to be damaged, it is in memory.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import TypeVar

from gitexp.git.repository import Repository
from gitexp.index.database import open_file, transaction
from gitexp.index.place import folders, is_on_network

NAME = "research.sqlite"
VERSION = 6
"""Of the tables and of what is put into them. A cache of another version is made anew."""


_TABLES = """
CREATE TABLE code (tree BLOB PRIMARY KEY, rules BLOB NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE parent ("commit" BLOB PRIMARY KEY, parent BLOB, tree BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE change (
    number INTEGER PRIMARY KEY, rules BLOB NOT NULL, run BLOB NOT NULL, old BLOB NOT NULL,
    new BLOB NOT NULL, base BLOB NOT NULL, digest BLOB NOT NULL, context BLOB NOT NULL,
    places TEXT NOT NULL, shingles BLOB NOT NULL, settings TEXT NOT NULL, pure INTEGER NOT NULL,
    sample TEXT NOT NULL, UNIQUE (run, rules)
);
CREATE INDEX change_digest ON change (digest);
CREATE TABLE band (key INTEGER, change INTEGER, PRIMARY KEY (key, change)) WITHOUT ROWID;
CREATE TABLE setting (symbols TEXT, change INTEGER, PRIMARY KEY (symbols, change)) WITHOUT ROWID;
CREATE TABLE addition (
    number INTEGER PRIMARY KEY, old BLOB NOT NULL, new BLOB NOT NULL, rules BLOB NOT NULL,
    UNIQUE (old, new, rules)
);
CREATE TABLE added (
    word TEXT, addition INTEGER, fresh INTEGER NOT NULL, PRIMARY KEY (word, addition)
) WITHOUT ROWID;
CREATE TABLE begun (
    run BLOB PRIMARY KEY, notes BLOB NOT NULL, time TEXT NOT NULL, words TEXT NOT NULL,
    family TEXT, program TEXT, proposal TEXT, cites TEXT NOT NULL
) WITHOUT ROWID
"""

Answer = TypeVar("Answer")


def open_cache(repository: Repository) -> sqlite3.Connection:
    """Open the cache of a repository; a new one where there is none that can be used."""
    for folder in folders(repository):
        if is_on_network(folder):
            continue
        with suppress(OSError, sqlite3.Error):
            folder.mkdir(parents=True, exist_ok=True)
            return _open(folder / NAME)
    return open_in_memory()


def open_in_memory() -> sqlite3.Connection:
    """Return a new cache that is gone when it is closed."""
    return _create(":memory:")


def remember(cache: sqlite3.Connection, sql: str, rows: Sequence[Sequence[object]]) -> None:
    """Write rows; where the cache is locked or the disk is full, they are derived again later."""
    if not rows:
        return
    try:
        with transaction(cache):
            cache.executemany(sql, rows)
    except sqlite3.OperationalError:
        return


def written(
    cache: sqlite3.Connection, work: Callable[[sqlite3.Connection], None]
) -> sqlite3.Connection:
    """Write what is needed at once: into the cache, or else into a copy of it in memory.

    Args:
        cache: It may be locked or read-only, or its disk be full.
        work: Writes, within a transaction; it is called again where the first time failed.

    Returns:
        The one that holds what was written.
    """
    try:
        with transaction(cache):
            work(cache)
    except sqlite3.OperationalError:
        memory = open_in_memory()
        cache.backup(memory)
        with transaction(memory):
            work(memory)
        return memory
    return cache


def with_cache(repository: Repository, work: Callable[[sqlite3.Connection], Answer]) -> Answer:
    """Return what some work with the cache comes to; it is done again where that is damaged.

    Args:
        repository: Whose cache.
        work: It may be called twice, the second time with a cache in memory.
    """
    try:
        with closing(open_cache(repository)) as cache:
            return work(cache)
    except sqlite3.DatabaseError as error:
        if not isinstance(error, sqlite3.OperationalError):  # such as one that is locked
            _remove_all(repository)
    with closing(open_in_memory()) as cache:
        return work(cache)


def _remove_all(repository: Repository) -> None:
    for folder in folders(repository):
        with suppress(OSError):
            _remove(folder / NAME)


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
    _remove(path)
    return _create(path)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(f"{NAME}-journal").unlink(missing_ok=True)


def _connect(path: Path | str) -> sqlite3.Connection:
    db = open_file(path)
    db.execute("PRAGMA synchronous = OFF")  # what is lost is derived again
    return db


def _create(path: Path | str) -> sqlite3.Connection:
    db = _connect(path)
    with transaction(db):
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version != VERSION:  # another process may have been quicker
            for statement in filter(str.strip, _TABLES.split(";")):
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")
    return db
