"""Fingerprint the data that a run reads, without reading unchanged data twice.

A fingerprint is a statement about content: the digest of a file is that of its bytes, the
digest of a folder that of its files' digests and names. To be cheap on the second run, digests
of files are remembered with what ``stat`` said when they were taken. As git knows from its
index, ``stat`` cannot tell a change that follows within the resolution of the file system's
clock; so a digest is only remembered when the file was at rest for a while before it was read,
and did not change meanwhile.

The memory is a cache and nothing else. When it is damaged it is thrown away, and when it
cannot be used (locked, read-only, no room) the data is read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import time_ns
from typing import TYPE_CHECKING

import xxhash

from gitexp.errors import GitexpError
from gitexp.records.facts import Input

if TYPE_CHECKING:
    import sqlite3

_RESTING_NS = 2_000_000_000
"""How long a file must have been at rest before its digest is remembered.

2 s is the coarsest clock in use (FAT); ext4, APFS and NFS are finer.
"""

_LOCK_WAIT_S = 0.2
"""How long to wait for another process that writes to the cache: it does so for milliseconds."""

_BUFFER_BYTES = 1 << 20

_TABLE = "CREATE TABLE IF NOT EXISTS file (path BLOB PRIMARY KEY, stamp TEXT, digest TEXT)"
_FIND = "SELECT digest FROM file WHERE path = ? AND stamp = ?"
_KEEP = "INSERT OR REPLACE INTO file VALUES (?, ?, ?)"


class StatCache:
    """Digests of files by their absolute path and what ``stat`` said about them.

    Several processes and threads may use one cache.

    Args:
        path: The SQLite file; it and its folder are made when needed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @contextmanager
    def open(self) -> Iterator[OpenCache]:
        """Open the cache for one fingerprint; what was learned is written at the end."""
        connection = self._connect()
        cache = OpenCache(connection)
        try:
            yield cache
        finally:
            cache.flush()
            if connection is not None:
                connection.close()

    def _connect(self) -> sqlite3.Connection | None:
        """Return a usable connection, or None when there cannot be one."""
        import sqlite3

        for _ in range(2):
            connection = None
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                connection = sqlite3.connect(self._path, timeout=_LOCK_WAIT_S, isolation_level=None)
                connection.execute(_TABLE)
                connection.execute(_FIND, (b"", ""))
            except (sqlite3.Error, OSError) as error:
                if connection is not None:
                    connection.close()
                if not (isinstance(error, sqlite3.DatabaseError) and self._discard_if_bad(error)):
                    return None
            else:
                return connection
        return None

    def _discard_if_bad(self, error: sqlite3.DatabaseError) -> bool:
        """Remove a file that is not a healthy database; tell whether it is gone."""
        import sqlite3

        code = getattr(error, "sqlite_errorcode", None)
        if code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return False
        try:
            self._path.unlink(missing_ok=True)
        except OSError:
            return False
        return True


class OpenCache:
    """A cache in use. It works without a connection, and then knows nothing."""

    def __init__(self, connection: sqlite3.Connection | None) -> None:
        self._connection = connection
        self._learned: list[tuple[bytes, str, str]] = []

    def find(self, path: bytes, stamp: str) -> str | None:
        """Return the digest of a file that still looks as it did when it was read."""
        import sqlite3

        if self._connection is None:
            return None
        try:
            row = self._connection.execute(_FIND, (path, stamp)).fetchone()
        except sqlite3.Error:
            return None  # then the file is read
        return row[0] if row else None

    def keep(self, path: bytes, stamp: str, digest: str) -> None:
        """Note a digest to be written by `flush`."""
        self._learned.append((path, stamp, digest))

    def flush(self) -> None:
        """Write what was learned, in one transaction; forget it if that cannot be done."""
        import sqlite3

        if self._connection is None or not self._learned:
            return
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany(_KEEP, self._learned)
            self._connection.execute("COMMIT")
        except sqlite3.Error:
            self._learned.clear()  # closing the connection rolls the transaction back


def fingerprint(path: Path | str, cache: StatCache) -> Input:
    """Return the fingerprint of a file or folder.

    Of a file: the xxh3-128 of its bytes. Of a folder: the xxh3-128 of one line for each file at
    any depth, ``<digest> <path>`` and a newline, where the path is relative to the folder, with
    slashes, in the bytes of the file system; the lines are sorted by their bytes. A symbolic
    link inside a folder counts as a file whose content is the link's target, and is not
    followed. Empty folders do not count.

    Args:
        path: The file or folder; a symbolic link is followed.
        cache: Where digests of files that did not change since are found.

    Raises:
        GitexpError: Something is missing, cannot be read, or is neither file nor folder.
    """
    root = Path(path).absolute()
    shown = _display(path)
    with cache.open() as opened, _naming(root):
        status = root.stat()
        if not stat.S_ISDIR(status.st_mode):
            return Input(shown, _digest_entry(root, status, opened), status.st_size)
        lines, size = [], 0
        for name, entry in _walk(root):
            found = entry.stat(follow_symlinks=False)
            digest = _digest_entry(Path(entry.path), found, opened)
            lines.append(b"%s %s\n" % (digest.encode(), os.fsencode(name)))
            size += found.st_size
        digest = xxhash.xxh3_128_hexdigest(b"".join(sorted(lines)))
        return Input(shown, digest, size, len(lines))


@contextmanager
def _naming(root: Path) -> Iterator[None]:
    """Turn the errors of the file system into ours, which name the path."""
    try:
        yield
    except OSError as error:
        where = _display(error.filename or root)
        if isinstance(error, FileNotFoundError):
            raise GitexpError(
                f"The input {where} does not exist.",
                "Paths of inputs are relative to the folder that the program runs in.",
            ) from error
        raise GitexpError(f"The input {where} cannot be read: {error.strerror}.") from error


def _display(path: Path | str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _walk(root: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield what is in a folder at any depth, folders apart, with its path relative to it."""
    pending = [(str(root), "")]
    while pending:
        folder, prefix = pending.pop()
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append((entry.path, f"{prefix}{entry.name}/"))
                else:
                    yield prefix + entry.name, entry


def _digest_entry(path: Path, status: os.stat_result, cache: OpenCache) -> str:
    if stat.S_ISLNK(status.st_mode):
        return xxhash.xxh3_128_hexdigest(os.fsencode(path.readlink()))
    if not stat.S_ISREG(status.st_mode):
        raise GitexpError(
            f"The input {_display(path)} is neither a file nor a folder.",
            "Only what can be read again has a fingerprint: no pipes, sockets or devices.",
        )
    key, stamp = os.fsencode(path), _stamp(status)
    known = cache.find(key, stamp)
    if known is not None:
        return known
    started = time_ns()
    digest, after = _digest_file(path)
    rested = max(status.st_mtime_ns, status.st_ctime_ns) < started - _RESTING_NS
    if rested and after == stamp:
        cache.keep(key, stamp, digest)
    return digest


def _stamp(status: os.stat_result) -> str:
    """Return what changes when a file does. A text, because an inode may exceed 63 bits."""
    return (
        f"{status.st_dev}:{status.st_ino}:{status.st_size}"
        f":{status.st_mtime_ns}:{status.st_ctime_ns}"
    )


def _digest_file(path: Path) -> tuple[str, str]:
    """Return the digest of a file's content, and its stamp after it was read."""
    hasher = xxhash.xxh3_128()
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            hasher.update(buffer[:count])
        return hasher.hexdigest(), _stamp(os.fstat(file.fileno()))
