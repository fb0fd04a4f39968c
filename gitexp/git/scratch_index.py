"""A copy of the index that can be filled from the work tree and thrown away.

git's own index code does what a hand-made tree cannot: clean filters, line ends, encodings,
sparse and split indexes, intent-to-add and unmerged entries. The copy keeps the index's mtime:
by comparing a file's mtime with it git knows which entries are too young to trust their recorded
size and time, and looks at the content instead. With a fresh mtime, edits would be missed.

git replaces the index by renaming, and ext4 flushes a file that is renamed over another: 2.6 ms
against well under 1 ms in memory, so the copy lives in ``/dev/shm`` where there is room. A process
that is killed in the middle leaves its copy behind; a later snapshot sweeps it away.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gitexp.errors import GitCommandError
from gitexp.git.process import run_git
from gitexp.git.repository import Repository

ABSENT = b"000000"
"""The mode of an entry that is to be removed."""

_MEMORY = Path("/dev/shm")  # noqa: S108 - the folder made in it is private (mode 0700)
_ROOM = 4
"""git writes a second index beside the first; some more is left to others."""

_PREFIX = "gitexp-index-"
_STALE_SECONDS = 24 * 3600
"""No snapshot takes a day: what is older was left by a process that was killed."""

_NOT_THE_PATHS_FAULT = (
    "insufficient permission for adding an object",
    "unable to write loose object",
    "unable to write file",
    "unable to create temporary file",
    "No space left on device",
)
"""What git says when it cannot write objects at all."""

_CONFIG = (
    # A split index would share a file with the user's; a monitor knows nothing of our copy.
    *("-c", "core.splitIndex=false", "-c", "core.fsmonitor=false"),
    # A file whose line ends do not survive a round trip is still better recorded than not.
    *("-c", "core.safecrlf=false"),
    # Otherwise the hook post-index-change runs and finds an index that is not the user's.
    *("-c", f"core.hooksPath={os.devnull}"),
)


class ScratchIndex:
    """A private index of a work tree. Made by `scratch_index`."""

    def __init__(self, repository: Repository, path: Path) -> None:
        self._top = repository.require_work_tree()
        self._environment = {**repository.environment, "GIT_INDEX_FILE": str(path)}

    def set_entries(self, entries: Iterable[tuple[bytes, bytes, bytes]]) -> None:
        """Make entries what they are told to be, conflicts resolved.

        Args:
            entries: Octal mode (`ABSENT` removes), object id, path.

        Raises:
            GitCommandError: git refused; the index is as before.
        """
        lines = b"".join(b"%s %s\t%s\0" % entry for entry in entries)
        if lines:
            self._git(["update-index", "-z", "--index-info"], lines)

    def add(self, paths: Sequence[bytes]) -> list[bytes]:
        """Record paths as they are in the work tree; one that has vanished is removed.

        git stops at the first path it cannot add and then records none, so a refused list is
        halved until the culprits stand alone.

        Returns:
            The paths that could not be recorded; their entries are as before.
        """
        if not paths:
            return []
        command = ["update-index", "--add", "--remove", "--ignore-skip-worktree-entries"]
        try:
            self._git([*command, "-z", "--stdin"], b"\0".join(paths) + b"\0")
        except GitCommandError as error:
            if any(cause in error.said for cause in _NOT_THE_PATHS_FAULT):
                raise
            if len(paths) == 1:
                return list(paths)
            middle = len(paths) // 2
            return self.add(paths[:middle]) + self.add(paths[middle:])
        return []

    def write_tree(self) -> str:
        """Write the index as tree objects and return the id of the top one, 40 digits.

        Objects that a partial clone has not fetched are not asked for.

        Raises:
            GitCommandError: The index has unmerged entries.
        """
        return self._git(["write-tree", "--missing-ok"], b"").decode().strip()

    def _git(self, arguments: Sequence[str], stdin: bytes) -> bytes:
        return run_git(
            [*_CONFIG, *arguments], cwd=self._top, stdin=stdin, environment=self._environment
        )


@contextmanager
def scratch_index(repository: Repository, fallback: Path) -> Iterator[ScratchIndex]:
    """Copy the index of a work tree; the copy is gone when the block ends, however it ends.

    Args:
        repository: Whose index to copy; none is needed (an unborn branch).
        fallback: Folder to make the copy in where memory does not serve; made if missing.
    """
    index = repository.git_dir / "index"
    folder = _folder_for(index, fallback)
    _sweep(folder)
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=folder) as scratch:
        copy = Path(scratch, "index")
        if index.exists():
            shutil.copy2(index, copy)
        yield ScratchIndex(repository, copy)


def _folder_for(index: Path, fallback: Path) -> Path:
    if sys.platform == "linux" and os.access(_MEMORY, os.W_OK):
        size = index.stat().st_size if index.exists() else 0
        if shutil.disk_usage(_MEMORY).free > _ROOM * size:
            return _MEMORY
    fallback.mkdir(parents=True, exist_ok=True)
    return fallback


def _sweep(folder: Path) -> None:
    """Remove stale copies; one that another process removes meanwhile is no concern."""
    oldest = time.time() - _STALE_SECONDS
    for path in folder.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):
            if path.lstat().st_mtime < oldest:
                shutil.rmtree(path, ignore_errors=True)
