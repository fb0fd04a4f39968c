"""What the user's repository and work tree look like, to notice that they changed meanwhile.

Without a sandbox nothing keeps an agent or a run from writing there. What changed is seen and
said; it is not undone, since the user, too, may have changed it.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from gitexp.errors import GitexpError
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository

_WATCHED = ("config", "config.worktree", "info/exclude", "info/attributes", "info/grafts")
_REFS = ("refs/heads", "refs/tags", "refs/stash")


def seen(repository: Repository) -> dict[str, str]:
    """Return what there is: a name for people -> what changes with it.

    Raises:
        GitexpError: The repository cannot be read.
    """
    found = {f"ref {name}": oid for name, oid in list_refs(repository, *_REFS).items()}
    found["HEAD"] = _digest(repository.git_dir / "HEAD")
    for name in _WATCHED:
        found[f".git/{name}"] = _digest(repository.common_dir / name)
    for hook in _names(repository.common_dir / "hooks"):
        found[f".git/hooks/{hook}"] = _digest(repository.common_dir / "hooks" / hook)
    if repository.work_tree is not None:
        found |= _files(repository, repository.work_tree)
    return found


def changed(repository: Repository, before: dict[str, str]) -> list[str]:
    """Return the names of what is not as it was."""
    try:
        now = seen(repository)
    except GitexpError:
        return ["the repository, which cannot be read any more"]
    names = before.keys() | now.keys()
    return sorted(name for name in names if before.get(name, "") != now.get(name, ""))


def _files(repository: Repository, top: Path) -> dict[str, str]:
    """Return the index entries, and what ``lstat`` says of all files that are not ignored."""
    entries = repository.git(["ls-files", "-z", "--stage"]).split(b"\0")
    others = repository.git(["ls-files", "-z", "--others", "--exclude-standard"]).split(b"\0")
    tracked = [entry.partition(b"\t")[2] for entry in entries]
    found = {os.fsdecode(path): _stamp(top, path) for path in {*tracked, *others} if path}
    return found | {"the index": hashlib.sha256(b"\0".join(entries)).hexdigest()}


def _stamp(top: Path, path: bytes) -> str:
    try:
        found = os.lstat(os.path.join(os.fsencode(top), path))  # noqa: PTH118 - bytes
    except OSError:
        return ""
    return f"{found.st_mode} {found.st_size} {found.st_mtime_ns} {found.st_ino}"


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))  # noqa: PTH208 - names are all that is needed
    except OSError:
        return []
