"""The repository that agents and runs see: one of their own, which borrows the user's objects.

``.git`` in a cage's worktree is a folder with a HEAD, an index and a configuration of its own; the
objects are found through ``objects/info/alternates``. So ``git log``, ``git diff`` and ``git show``
work, and whatever else is done with git there (commits, branches, stashes, hooks, settings)
stays in this folder and goes with it. gitexp itself never reads it: it names git directory and work
tree in each call.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from gitexp.research.worktree import remove

_CONFIG = """\
[core]
\trepositoryformatversion = 0
\tfilemode = true
\tbare = false
\tlogallrefupdates = false
[gc]
\tauto = 0
"""


@dataclass(frozen=True)
class Borrowed:
    """How such a repository is made.

    Attributes:
        place: Its folder.
        common_dir: The user's git directory, whose objects are borrowed.
        base: The commit that HEAD names.
        index: File to copy its index from.
        excludes: What git is to ignore besides.
    """

    place: Path
    common_dir: Path
    base: str
    index: Path
    excludes: bytes

    def make(self) -> None:
        """Make it anew, whatever stands in its place."""
        remove(self.place)
        for folder in ("objects/info", "objects/pack", "refs/heads", "refs/tags", "info"):
            (self.place / folder).mkdir(parents=True)
        for name, content in self._files().items():
            (self.place / name).write_bytes(content)
        shutil.copyfile(self.index, self.place / "index")
        with suppress(FileNotFoundError):
            shutil.copyfile(self.common_dir / "shallow", self.place / "shallow")

    def is_intact(self) -> bool:
        """Say whether nothing but its index and its objects changed."""
        if self.place.is_symlink() or not self.place.is_dir():
            return False
        known = {"HEAD", "config", "index", "info", "objects", "refs", "shallow"}
        try:
            names = set(os.listdir(self.place))  # noqa: PTH208 - names are all that is needed
            same = all(_content(self.place / n) == c for n, c in self._files().items())
            return same and names <= known and not _has_files(self.place / "refs")
        except OSError:
            return False

    def _files(self) -> dict[str, bytes]:
        return {
            "HEAD": f"{self.base}\n".encode(),
            "config": _CONFIG.encode(),
            "info/exclude": self.excludes,
            "objects/info/alternates": os.fsencode(self.common_dir / "objects") + b"\n",
        }


def _content(path: Path) -> bytes | None:
    return None if path.is_symlink() or not path.is_file() else path.read_bytes()


def _has_files(folder: Path) -> bool:
    return any(names for _, _, names in os.walk(folder))
