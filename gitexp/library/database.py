"""``library.sqlite`` as an open database: found or made, brought up to date, asked.

It stands beside the index, at the first place that can be used, and is in memory where there is
none. Everything in it is derived (`gitexp.library.sync`), so one that is damaged, of another
version, or not made by us is replaced, under the lock that all changes are made under: a process
killed at any moment leaves a database that SQLite rolls back, or none.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from gitexp.git.repository import Repository
from gitexp.index.database import is_damage, open_file, transaction
from gitexp.index.place import UnusableError, exclusive, folders, is_on_network
from gitexp.library.schema import create_tables, is_ours
from gitexp.library.sync import State, present_state, reflected_state, synchronise

NAME = "library.sqlite"
_JOURNAL_BYTES = 1 << 20
_CACHE_KIB = 32 << 10

Answer = TypeVar("Answer")

_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process. SQLite forbids a forked child to use or even close them."""


class Database:
    """The database of a repository's library, as fresh as when it was opened or last refreshed.

    Attributes:
        path: Its file; None for one in memory, or one that is not open.
    """

    def __init__(self, repository: Repository) -> None:
        """Open nothing yet: the first question does."""
        self._repository = repository
        self._lock = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self._process = os.getpid()
        self.path: Path | None = None

    def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return what a question finds, in one state of the database.

        One that shows to be damaged is made anew, one that is out of reach (locked, gone) is opened
        again, perhaps in memory; then it is asked again.
        """
        with self._lock:
            try:
                return _ask(self._opened(), question)
            except sqlite3.DatabaseError as error:
                if isinstance(error, sqlite3.ProgrammingError) or self.path is None:
                    raise
                self.close()
                self._db = self._open(anew=is_damage(error))
                return _ask(self._db, question)

    def refresh(self, *, anew: bool = False) -> None:
        """Take in what changed since the database was opened; make it anew if told to."""
        with self._lock:
            self.close()
            if anew:
                self._db = self._open(anew=True)

    def close(self) -> None:
        """Close the database; the next question opens it again."""
        with self._lock:
            if self._db is not None:
                if self._process == os.getpid():
                    self._db.close()
                else:
                    _inherited.append(self._db)
            self._db = self.path = None

    def _opened(self) -> sqlite3.Connection:
        if self._process != os.getpid():
            self.close()
        if self._db is None:
            self._db = self._open()
        return self._db

    def _open(self, *, anew: bool = False) -> sqlite3.Connection:
        self._process = os.getpid()
        state = present_state(self._repository)
        for folder in folders(self._repository):
            path = folder / NAME
            if not state[0] and not path.exists():
                break  # nothing to remember, and no file for it
            if is_on_network(folder):
                continue
            with contextlib.suppress(UnusableError, OSError, sqlite3.OperationalError):
                db = self._open_at(path, None if anew else state)
                self.path = path
                return db
        self.path = None
        return self._create(":memory:")

    def _open_at(self, path: Path, state: State | None) -> sqlite3.Connection:
        """Return a database at a path that reflects what is there.

        Args:
            path: Of the file.
            state: What it is to reflect; None to make it anew.

        Raises:
            UnusableError: It cannot be kept there; so say OSError and sqlite3.OperationalError.
        """
        if state is not None:
            with contextlib.suppress(sqlite3.DatabaseError):  # then it is looked at under the lock
                db = _open_fresh(path, state)
                if db is not None:
                    return db
        with exclusive(path.parent):
            try:
                db = None if state is None else _open_whole(path)
                if db is not None:
                    self._synchronise(db)
                    return db
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise
            _remove(path)
            return self._create(path)

    def _create(self, path: Path | str) -> sqlite3.Connection:
        db = _connect(path)
        try:
            with transaction(db):
                create_tables(db)
                synchronise(db, self._repository)
        except BaseException:
            db.close()
            raise
        return db

    def _synchronise(self, db: sqlite3.Connection) -> None:
        try:
            with transaction(db):
                synchronise(db, self._repository)
        except BaseException:
            db.close()
            raise


def _ask(db: sqlite3.Connection, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
    db.execute("BEGIN")
    try:
        return question(db)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def _open_fresh(path: Path, state: State) -> sqlite3.Connection | None:
    """Open a database that reflects just this; None where there is none."""
    db = _open_whole(path)
    if db is not None and reflected_state(db) != state:
        db.close()
        return None
    return db


def _open_whole(path: Path) -> sqlite3.Connection | None:
    """Open a database of this version that is not visibly damaged; None where there is none.

    Raises:
        sqlite3.DatabaseError: It is damaged, or out of reach.
    """
    if not path.exists():
        return None
    db = _connect(path)
    try:
        if is_ours(db):
            reflected_state(db)
            return db
    except (TypeError, ValueError) as error:  # of values of other types than we put in
        db.close()
        raise sqlite3.DatabaseError(str(error)) from error
    except sqlite3.DatabaseError:
        db.close()
        raise
    db.close()
    return None


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.with_name(f"{NAME}-journal").unlink(missing_ok=True)


def _connect(path: Path | str) -> sqlite3.Connection:
    db = open_file(path)
    # A journal that stays saves the disk two changes of its size with each commit.
    for pragma in (
        "synchronous = NORMAL",
        "journal_mode = PERSIST",
        f"journal_size_limit = {_JOURNAL_BYTES}",
        f"cache_size = -{_CACHE_KIB}",
    ):
        db.execute(f"PRAGMA {pragma}")
    return db
