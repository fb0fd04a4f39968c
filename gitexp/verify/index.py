"""The index: equal to one that is made anew from the shards, row by row.

The file is read only, and copied into memory; what is new since it was written is added there.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from gitexp.git.repository import Repository
from gitexp.index import schema
from gitexp.index.database import BUSY_SECONDS, NAME, connect, is_damage, reflected_tips
from gitexp.index.place import folders
from gitexp.index.sync import synchronise
from gitexp.verify.findings import Finding
from gitexp.verify.store import Store

_TABLES = {
    "shard": "SELECT ref, tip FROM shard ORDER BY ref",
    "note": "SELECT t.run, s.ref, t.path, t.oid FROM note AS t JOIN shard AS s"
    " ON s.number = t.shard ORDER BY t.run, s.ref, t.path",
    "problem": "SELECT run, ref, line, reason FROM problem ORDER BY run, ref, line, reason",
    "newer": "SELECT run, label, lines FROM newer ORDER BY run, label",
    "run": "SELECT id, name, status, started, ended, duration, author, verdict, family, seed,"
    ' branch, "commit", dirty, host, calls, exit_code, parent, setup, external, action'
    " FROM run ORDER BY id",
    "field": "SELECT r.id, p.path, t.value FROM field AS t JOIN run AS r ON r.number = t.run"
    " JOIN path AS p ON p.number = t.path ORDER BY r.id, p.path",
    "metric": "SELECT r.id, p.path, t.last, t.min, t.max, t.mean FROM metric AS t"
    " JOIN run AS r ON r.number = t.run JOIN path AS p ON p.number = t.path"
    " ORDER BY r.id, p.path",
    "tag": "SELECT r.id, t.tag FROM tag AS t JOIN run AS r ON r.number = t.run"
    " ORDER BY r.id, t.tag",
    "note_text": "SELECT r.id, w.term, w.col, w.offset FROM temp.word AS w"
    " JOIN run AS r ON r.number = w.doc ORDER BY r.id, w.term, w.col, w.offset",
}
_COUNTED = ("run", "doc", "field", "metric", "tag")
"""Tables with rows that belong to a run: those that belong to none would not be joined."""

_TRIES = 20
"""How often two indexes are brought up to shards that move meanwhile."""

_VOCABULARY = "CREATE VIRTUAL TABLE temp.word USING fts5vocab(main, note_text, instance)"


def check_index(store: Store) -> Iterator[Finding]:
    """Yield what is wrong with the index's file; nothing where there is none."""
    path = index_file(store.repository)
    if path is None:
        return
    if any(shard.unread for shard in store.facts):
        message = "The index is not compared, since a shard of facts cannot be read whole."
        yield Finding("index", "note", message, path=str(path))
        return
    reason = _fault(store.repository, path)
    if reason is not None:
        remedy = "Run 'git exp reindex', or 'git exp verify --repair'."
        message = f"The index is not what the shards say: {reason}."
        yield Finding("index", "repairable", message, remedy, True, path=str(path))


def index_file(repository: Repository, name: str = NAME) -> Path | None:
    """Return the file of the index that readers use; None where there is none."""
    return next((p for f in folders(repository) if (p := f / name).exists()), None)


def remembered(
    repository: Repository, sql: str, *parameters: str, name: str = NAME
) -> list[tuple[str, ...]]:
    """Return rows of an index as it stands; none where there is none that can be read."""
    path = index_file(repository, name)
    if path is None:
        return []
    try:
        with contextlib.closing(open_read_only(path)) as db:
            return db.execute(sql, parameters).fetchall()
    except sqlite3.Error:
        return []  # that the index is damaged is a finding of its own


def open_read_only(path: Path) -> sqlite3.Connection:
    """Open a database for reading alone: its file is not touched, whatever state it is in."""
    address = f"{path.absolute().as_uri()}?mode=ro"
    return sqlite3.connect(address, uri=True, timeout=BUSY_SECONDS, isolation_level=None)


def _fault(repository: Repository, path: Path) -> str | None:
    """Return how an index differs from one that is made anew."""
    with (
        contextlib.closing(connect(":memory:")) as mine,
        contextlib.closing(connect(":memory:")) as anew,
    ):
        try:
            version = _copy(path, mine)
            if version != schema.VERSION:
                return None  # of another gitexp; the next reader makes it anew
            wrong = _structure(mine)
            if wrong is None:
                schema.create_tables(anew)
                if not level(
                    mine, anew, partial(synchronise, repository=repository), reflected_tips
                ):
                    return None  # somebody records one run after the other: there is no telling
                schema.create_indexes(anew)
                wrong = _difference(mine, anew)
        except (sqlite3.Error, AttributeError, LookupError, TypeError, ValueError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                raise
            return str(error) or type(error).__name__
        return wrong


def _copy(path: Path, memory: sqlite3.Connection) -> int:
    """Copy a database into memory and return its version; its file is not touched.

    Raises:
        sqlite3.DatabaseError: It is damaged.
    """
    with contextlib.closing(open_read_only(path)) as source:
        (pages,) = source.execute("PRAGMA page_count").fetchone()
        (page_bytes,) = source.execute("PRAGMA page_size").fetchone()
        size = path.stat().st_size
        if size != pages * page_bytes:
            raise sqlite3.DatabaseError(f"it has {size} bytes instead of {pages * page_bytes}")
        source.backup(memory)
    (version,) = memory.execute("PRAGMA user_version").fetchone()
    return int(version)


def _structure(db: sqlite3.Connection) -> str | None:
    if not schema.is_ours(db):
        return "its tables are not as they were made"
    (found,) = db.execute("PRAGMA integrity_check(1)").fetchone()
    return None if found == "ok" else str(found)


def level(
    mine: sqlite3.Connection,
    anew: sqlite3.Connection,
    bring_up: Callable[[sqlite3.Connection], None],
    state: Callable[[sqlite3.Connection], object],
) -> bool:
    """Bring both up to the same state of the shards; say whether they stood still for it."""
    for _ in range(_TRIES):
        for db in (mine, anew):
            db.execute("BEGIN")
            bring_up(db)
            db.execute("COMMIT")
        if state(mine) == state(anew):
            return True
    return False


def _difference(mine: sqlite3.Connection, anew: sqlite3.Connection) -> str | None:
    for db in (mine, anew):
        db.execute(_VOCABULARY)
    for table in _COUNTED:
        counts = [db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for db in (mine, anew)]  # noqa: S608
        if counts[0] != counts[1]:
            return f"the table {table} has {counts[0]} rows instead of {counts[1]}"
    for table, sql in _TABLES.items():
        pairs = itertools.zip_longest(mine.execute(sql), anew.execute(sql))
        for a, b in pairs:
            if a != b or [*map(type, a)] != [*map(type, b)]:
                return f"the table {table} differs{_where(table, b or a)}"
    return _documents(mine, anew) or _trees(mine, anew)


def _where(table: str, row: tuple[Any, ...]) -> str:
    if table == "shard" or not isinstance(row[0], bytes):
        return f" at {row[0]}"
    return f" at run {row[0].hex()[:12]}" if row[0] else ""


def _documents(mine: sqlite3.Connection, anew: sqlite3.Connection) -> str | None:
    for (run, a), (_, b) in zip(_unpacked(mine), _unpacked(anew), strict=True):
        if a != b:
            return f"the document of run {run.hex()[:12]} differs"
    return None


def _unpacked(db: sqlite3.Connection) -> Iterator[tuple[bytes, str]]:
    """Yield every run's document as one text: NaN is not equal to itself."""
    (dictionary,) = db.execute("SELECT dictionary FROM meta").fetchone()
    sql = "SELECT r.id, t.packed FROM doc AS t JOIN run AS r ON r.number = t.run ORDER BY r.id"
    for run, packed in db.execute(sql):
        yield run, json.dumps(schema.unpack(packed, dictionary))


def _trees(mine: sqlite3.Connection, anew: sqlite3.Connection) -> str | None:
    """Compare the one column that is looked up when a run is read: code may come and go later."""
    sql = "SELECT id, tree FROM run ORDER BY id"
    for (run, a), (_, b) in zip(mine.execute(sql), anew.execute(sql), strict=True):
        if a is not None and b is not None and a != b:
            return f"the tree of run {run.hex()[:12]} differs"
    return None
