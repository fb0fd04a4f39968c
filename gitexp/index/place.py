"""Where an index can stand, and whether it can be used there.

First choice is ``<common dir>/exprag``. Where that is read-only, full, locked by somebody who
does not let go, or on a network file system (SQLite's locks cannot be trusted there), it is the
user's cache folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from gitexp.git.repository import Repository

LOCK_SECONDS = 60.0
"""How long another process may hold the lock before we stop waiting: a rebuild takes seconds."""

_MOUNTS = Path("/proc/self/mounts")
_NETWORK = frozenset(
    "9p afs beegfs ceph cifs davfs glusterfs gpfs lustre nfs nfs4 orangefs smb3 smbfs sshfs".split()  # noqa: SIM905
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


class UnusableError(Exception):
    """An index cannot be used at a place; the text says why."""


def folders(repository: Repository) -> Iterator[Path]:
    """Yield the folders to try."""
    yield repository.home
    cache = cache_folder()
    if cache is not None:
        yield cache / _name(repository)


def cache_folder() -> Path | None:
    """Return where this user's caches of gitexp stand; None for a user without a home."""
    configured = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(configured):  # noqa: PTH117 - others are to be ignored, as XDG has it
        return Path(configured) / "gitexp"
    place = "~/Library/Caches/gitexp" if sys.platform == "darwin" else "~/.cache/gitexp"
    try:
        return Path(place).expanduser()
    except RuntimeError:
        return None


def _name(repository: Repository) -> str:
    """Return a folder name that no other repository has."""
    import hashlib

    return hashlib.sha256(os.fsencode(repository.common_dir)).hexdigest()[:32]


def is_on_network(folder: Path, mounts: Path = _MOUNTS) -> bool:
    """Say whether a folder is known to be on a network file system.

    Args:
        folder: It need not exist.
        mounts: The system's table of mounts; where there is none, the answer is no.
    """
    try:
        lines = mounts.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return False
    path = os.path.realpath(folder)
    longest, kind = "", ""
    for line in lines:
        _, escaped, found, *_ = [*line.split(" "), "", "", ""]
        place = _ESCAPE.sub(lambda match: chr(int(match[1], 8)), escaped)
        below = path == place or path.startswith(place.rstrip("/") + "/")
        if below and len(place) >= len(longest):
            longest, kind = place, found
    return kind.removeprefix("fuse.") in _NETWORK


@contextlib.contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Be the only process that changes the index in a folder; make the folder if need be.

    Raises:
        UnusableError: The folder cannot be written, or another process keeps the lock.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(folder / "index-lock", flags, 0o666)
    except OSError as error:
        raise UnusableError(str(error)) from error
    try:
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows: SQLite's own locks have to do
        return
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise UnusableError("another process does not let go of its lock") from None
            time.sleep(0.01)
        except OSError as error:  # no locks on this file system
            raise UnusableError(str(error)) from error
        else:
            return
