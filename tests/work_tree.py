"""Compare work trees and git directories: what a snapshot holds, and that it touched nothing."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gitexp.git.repository import Repository
from gitexp.snapshot import Limits, Snapshot, take_snapshot
from tests.support import Git

_MAY_GROW = {"objects", "exprag"}


def read_tree(root: Path, *, times: bool = False) -> dict[str, tuple[object, ...]]:
    """Return kind, executable bit and content of every file below a folder, git's own left out.

    With ``times``, also mode and mtime of files and folders.
    """
    found: dict[str, tuple[object, ...]] = {}
    for path in _walk(root):
        key = str(path.relative_to(root))
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            found[key] = _describe(path)
        if times:
            found[key] = (*found.get(key, ()), status.st_mode, status.st_mtime_ns)
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name != ".git":
            yield path
            if path.is_dir() and not path.is_symlink():
                yield from _walk(path)


def _describe(path: Path) -> tuple[object, ...]:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        return ("link", path.readlink())
    if not stat.S_ISREG(mode):
        return ("special",)
    return ("file", bool(mode & 0o100), path.read_bytes())


def _read_git_dir(git_dir: Path) -> dict[str, tuple[object, ...]]:
    """Return the content of every file of a git directory but objects, and the indexes' mtimes."""
    found: dict[str, tuple[object, ...]] = {}
    for folder, folders, files in os.walk(git_dir):
        folders[:] = [name for name in folders if name not in _MAY_GROW]
        for name in files:
            path = Path(folder, name)
            mtime = path.stat().st_mtime_ns if name == "index" else 0
            found[str(path.relative_to(git_dir))] = (path.read_bytes(), mtime)
    return found


@contextmanager
def unchanged(repo: Git) -> Iterator[None]:
    """Check that a block leaves HEAD, index, refs, stash, configuration and work tree as they are.

    Compared are all bytes in the git directory but objects, the mtimes of indexes, and bytes,
    modes and mtimes in the work tree. Nor may anything be left of the scratch folder.
    """
    top = Path(os.fsdecode(repo.raw("rev-parse", "--show-toplevel").rstrip(b"\n")))
    common = Path(repo("rev-parse", "--path-format=absolute", "--git-common-dir"))
    before = read_tree(top, times=True), _read_git_dir(common)
    yield
    after = read_tree(top, times=True), _read_git_dir(common)
    assert after[0] == before[0]
    assert after[1] == before[1]
    assert [*(common / "exprag").glob("tmp/*")] == []


def snapshot(repo: Git, name: str = "a run", limits: Limits | None = None) -> Snapshot:
    """Take a snapshot of the current folder's repository; it must change nothing in ``repo``."""
    with unchanged(repo):
        return take_snapshot(Repository.discover(), name, limits=limits or Limits())


def entries(repo: Git, commit: str) -> dict[str, tuple[str, str]]:
    """Return mode and object id of every entry of a commit's tree, by path."""
    lines = repo("ls-tree", "-r", "-z", commit).split("\0")[:-1]
    pairs = (line.partition("\t") for line in lines)
    return {path: (head.split()[0], head.split()[2]) for head, _, path in pairs}


def content(repo: Git, taken: Snapshot, path: str) -> bytes:
    """Return a file as the snapshot holds it."""
    return repo.raw("cat-file", "blob", f"{taken.run_id}:{path}")


def restored(repo: Git, taken: Snapshot, folder: Path) -> dict[str, tuple[object, ...]]:
    """Check the snapshot out into a new linked work tree and return what is there."""
    repo("worktree", "add", "--quiet", "--detach", str(folder), taken.run_id)
    return read_tree(folder)
