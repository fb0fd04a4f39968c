"""The index as an open database: found, built where there is none, brought up to date, asked.

A database is replaced as a whole when it is damaged or of another version. The new one is built
beside it and the old one is removed together with its journal before the new one takes its name,
all under one lock: so a process killed at any moment leaves a whole index or none, and the
journal of one database is never taken for that of another.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sqlite3
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from gitexp.errors import GitexpError, GitexpWarning
from gitexp.git import refs
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.index import schema
from gitexp.index.place import UnusableError, exclusive, folders, is_on_network
from gitexp.query.functions import register_functions

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    Answer = TypeVar("Answer")

NAME = "index.sqlite"
BUSY_SECONDS = 5.0
"""How long SQLite waits for a lock that another program holds on the database."""

_BUILD_CACHE_KIB = 64 << 10
"""Rows go to a dozen places of the file in turn: with SQLite's own 2 MiB that is three times as
slow at 100,000 runs."""

_JOURNAL_BYTES = 1 << 20
"""What of SQLite's journal may stay on the disk when it is not needed."""

Progress = Callable[[int, int], None]
"""Called with how many runs were read, and how many are to be."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CONSTRAINT})
_OUT_OF_REACH = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
_NONSENSE = ("no such ", "user-defined function raised", "vtable constructor", "invalid fts5")
"""How SQLite's general error begins where a table or a document is not as we made it."""

_ODD_VALUE = (AttributeError, LookupError, TypeError, ValueError)
"""What values of other types than we put in lead to."""

_inherited: list[sqlite3.Connection] = []
"""Connections of a parent process. SQLite forbids a forked child to use or even close them."""


class Index:
    """The index of a repository, as fresh as when it was opened or last refreshed.

    Attributes:
        path: The database's file; None for one in memory.
    """

    def __init__(
        self, repository: Repository, progress: Progress | None = None, *, anew: bool = False
    ) -> None:
        """Open it, and read what has changed since it was last brought up to date.

        Args:
            repository: Whose runs.
            progress: Told how far reading has got.
            anew: Make it anew from the shards.
        """
        self._repository = repository
        self._progress = progress
        self._lock = threading.RLock()
        self._process = os.getpid()
        self.path: Path | None = None
        self._db = self._open(anew=anew)
        self._file = _identity(self.path)

    def _reopen(self, *, anew: bool = False) -> None:
        old, self._db = self._db, self._open(anew=anew)
        self._file = _identity(self.path)
        old.close()

    def ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return what a question finds, in one state of the index.

        A damaged index is rebuilt, one that is out of reach now (locked, gone, replaced by
        another process) is opened again, perhaps at another place; then it is asked again.
        """
        if self._process != os.getpid():
            self._leave_to_parent()
        with self._lock:
            if self._file != _identity(self.path):
                self._reopen()
            try:
                return self._ask(question)
            except (sqlite3.DatabaseError, *_ODD_VALUE) as error:
                damaged = self._has_shown_damage(error)
                if self.path is None or not (damaged or _is_out_of_reach(error)):
                    raise
                if damaged:
                    _say(f"The index was damaged ({error}); it is rebuilt.")
                self._reopen(anew=damaged)
                return self._ask(question)

    def _has_shown_damage(self, error: Exception) -> bool:
        """Say whether a question failed for damage; where it may be our own fault, look for it."""
        if isinstance(error, sqlite3.Error):
            return is_damage(error)
        if isinstance(error, GitexpError):
            return False
        try:
            return bool(self._db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
        except (sqlite3.Error, *_ODD_VALUE):
            return True

    def _leave_to_parent(self) -> None:
        """Open a connection of its own for a forked child, where another thread held no lock."""
        _inherited.append(self._db)
        self._lock = threading.RLock()
        self._process = os.getpid()
        self._db = self._open()
        self._file = _identity(self.path)

    def _ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        self._db.execute("BEGIN")
        try:
            return question(self._db)
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")

    def _open(self, *, anew: bool = False) -> sqlite3.Connection:
        """Return a connection to an index that reflects the shards as they are."""
        tips = shard_tips(self._repository)
        for folder in folders(self._repository):
            self.path = folder / NAME
            if not tips and not self.path.exists():
                break  # nothing to remember, and no file for it
            with contextlib.suppress(UnusableError):
                return self._open_in(folder, tips, anew=anew)
        self.path = None
        db = connect(":memory:")
        self._fill(db)
        return db

    def _open_in(self, folder: Path, tips: dict[str, str], *, anew: bool) -> sqlite3.Connection:
        if is_on_network(folder):
            raise UnusableError("it is on a network file system")
        path = folder / NAME
        db = None if anew else _open_fresh(path, tips)
        if db is not None:
            return db
        try:
            with exclusive(folder):
                return self._bring_up(path, anew=anew)
        except sqlite3.OperationalError as error:
            raise UnusableError(str(error)) from error

    def _bring_up(self, path: Path, *, anew: bool) -> sqlite3.Connection:
        """Synchronise the database at a path, or build it; the lock is held."""
        db = None if anew else open_whole(path, say=True)
        if db is not None:
            try:
                self._synchronise(db)
            except (sqlite3.DatabaseError, *_ODD_VALUE) as error:
                db.close()
                if isinstance(error, GitexpError) or not is_damage(error):
                    raise
                _say(f"The index was damaged ({error}); it is rebuilt.")
            else:
                return db
        self._build(path)
        return connect(path)

    def _synchronise(self, db: sqlite3.Connection) -> None:
        from gitexp.index.sync import synchronise

        # A journal that stays saves the disk two changes of its size, 1.5 ms of 10.
        db.execute("PRAGMA journal_mode = PERSIST")
        db.execute(f"PRAGMA journal_size_limit = {_JOURNAL_BYTES}")
        db.execute("PRAGMA synchronous = NORMAL")
        with transaction(db):
            synchronise(db, self._repository, self._progress)

    def _build(self, path: Path) -> None:
        """Build a database beside ``path`` and put it there."""
        new = path.with_suffix(".new")
        try:
            new.unlink(missing_ok=True)
            with contextlib.closing(connect(new)) as db:
                db.execute("PRAGMA journal_mode = OFF")
                db.execute("PRAGMA synchronous = OFF")
                db.execute(f"PRAGMA cache_size = -{_BUILD_CACHE_KIB}")
                self._fill(db)
            descriptor = os.open(new, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            path.unlink(missing_ok=True)
            path.with_name(f"{NAME}-journal").unlink(missing_ok=True)
            new.replace(path)
        except OSError as error:
            raise UnusableError(str(error)) from error
        finally:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)

    def _fill(self, db: sqlite3.Connection) -> None:
        from gitexp.index.sync import synchronise

        schema.create_tables(db)
        db.execute("BEGIN")
        with _without_collector():
            synchronise(db, self._repository, self._progress)
        db.execute("COMMIT")
        schema.create_indexes(db)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """Stop the cyclic garbage collector: a build makes millions of objects and no cycles.

    It takes a tenth of the time otherwise.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Connection(sqlite3.Connection):
    """Closes itself when it is let go; Python 3.13 warns of those that do not."""

    def __del__(self) -> None:
        with contextlib.suppress(sqlite3.ProgrammingError):  # of a file that could not be opened
            self.close()


def connect(path: Path | str) -> sqlite3.Connection:
    """Open a database file, with the functions that questions call; a missing file is made."""
    db = open_file(path)
    register_functions(db)
    db.create_function("document_text", 3, schema.document_text, deterministic=True)
    return db


def open_file(path: Path | str) -> sqlite3.Connection:
    """Open a database file for any thread, without transactions of Python's own."""
    db = sqlite3.connect(
        path,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=Connection,
    )
    db.execute("PRAGMA temp_store = MEMORY")  # a question needs no room on a disk that is full
    return db


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Write in one transaction, which is undone where it does not come to its end."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def shard_tips(repository: Repository) -> dict[str, str]:
    r"""Return the tip of each shard as it is now; odd bytes of a ref's name as ``\xNN``."""
    return {
        name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"): tip
        for name, tip in list_refs(repository, refs.FACTS).items()
    }


def reflected_tips(db: sqlite3.Connection) -> dict[str, str]:
    """Return the tip of each shard that an index reflects."""
    return dict(db.execute("SELECT ref, tip FROM shard"))


def open_whole(path: Path, *, say: bool = False) -> sqlite3.Connection | None:
    """Open an index of this version that is not visibly damaged; None where there is none.

    Args:
        path: Of the database.
        say: Warn when something stands there that is not one.

    Raises:
        sqlite3.OperationalError: It cannot be read now: it is locked, say.
    """
    file = _identity(path)
    if file is None:
        return None
    db = connect(path)
    try:
        reason = _fault(db, path)
    except (sqlite3.DatabaseError, *_ODD_VALUE) as error:
        if _is_out_of_reach(error):
            db.close()
            raise
        reason = str(error)
    if reason is None and _identity(path) == file:
        return db
    db.close()
    if say:
        _say(f"The index was not usable ({reason}); it is rebuilt.")
    return None


def _open_fresh(path: Path, tips: dict[str, str]) -> sqlite3.Connection | None:
    """Open an index that reflects these tips; None where there is none, or it is locked."""
    try:
        db = open_whole(path)
    except sqlite3.OperationalError:
        return None  # perhaps one of us writes to it: our own lock is waited for longer
    if db is not None and reflected_tips(db) != tips:
        db.close()
        return None
    return db


def _fault(db: sqlite3.Connection, path: Path) -> str | None:
    """Return what is visibly wrong with a database, in one state of it; None for nothing."""
    db.execute("BEGIN")
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version != schema.VERSION:
        return f"of version {version}"
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    if not schema.is_ours(db):
        return "not made by us"
    reflected_tips(db)
    # Only now: reading may have rolled back what a process that was killed had begun.
    size_bytes = path.stat().st_size
    db.execute("COMMIT")
    return None if size_bytes == pages * page_bytes else "cut off"


def _identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a file from another one of its name; None where there is none."""
    try:
        status = None if path is None else path.stat()
    except OSError:
        return None
    return None if status is None else (status.st_dev, status.st_ino)


def is_damage(error: Exception) -> bool:
    """Say whether an error means that the database is damaged, not just out of reach."""
    if not isinstance(error, sqlite3.DatabaseError):
        return isinstance(error, _ODD_VALUE)
    if isinstance(error, sqlite3.ProgrammingError):
        return False
    code = getattr(error, "sqlite_errorcode", None)
    if code is None or code & 0xFF in _DAMAGE:
        return True
    return code == sqlite3.SQLITE_ERROR and str(error).startswith(_NONSENSE)


def _is_out_of_reach(error: Exception) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _OUT_OF_REACH


def _say(text: str) -> None:
    warnings.warn(text, GitexpWarning, stacklevel=4)
