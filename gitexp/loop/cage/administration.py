"""What git keeps about a linked worktree: HEAD, index and where it belongs, kept as they were.

These files stand in the user's git directory (``worktrees/<name>``). An agent has a repository of
its own (`gitexp.loop.cage.borrowed`) and does not meet them, but without a sandbox it can.
"""

from __future__ import annotations

import os
from pathlib import Path

from gitexp.research.worktree import remove


class Administration:
    """The files of one worktree's git directory, as they were when this was made.

    Args:
        folder: The git directory of the worktree.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = {path: path.read_bytes() for path in _files(folder)}

    def restore(self) -> bool:
        """Make them so again; say whether something was different."""
        different = False
        for path in _files(self._folder):
            if path not in self._files:
                different = remove(path) or different
        for path, content in self._files.items():
            if not path.is_symlink() and path.is_file() and path.read_bytes() == content:
                continue
            different = True
            remove(path)
            _make_folder(self._folder, path.parent)
            path.write_bytes(content)
        return different


def _files(folder: Path) -> list[Path]:
    """Return all files, and links as such."""
    if folder.is_symlink():
        return []
    found = []
    for place, folders, names in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        found += [Path(place, name) for name in (*names, *links)]
    return found


def _make_folder(top: Path, folder: Path) -> None:
    """Make a folder and those above it, down from a top, real ones."""
    for place in reversed((folder, *folder.parents)):
        if place.is_relative_to(top) and (place.is_symlink() or not place.is_dir()):
            remove(place)
            place.mkdir(parents=True)
