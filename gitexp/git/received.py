"""What a push brings, asked of the git program alone, as a hook on a server must.

While ``pre-receive`` runs, new objects stand in a quarantine that git's environment names; the
git program sees them. All of it may be hostile: answers are bounded, and names that git prints
are bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from gitexp.errors import GitexpError
from gitexp.git.objects import Object, parse_tree, read_objects
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple

MAX_CHANGES = 1_000_000
"""Paths in which two states may differ. A tree of ten objects can spell out more than any
machine could list; an honest first push of 100,000 runs stays below."""

MAX_DEPTH = 64
"""Folders within folders; nobody keeps files deeper."""

_TREE = "40000"
_BESIDE = 22
"""Bytes of an entry of a tree object beside mode and name: a space, a NUL and the object id."""

_Folder = tuple[bytes, str | None, str | None]
"""A path with a final slash, and the ids of the trees that stood and stand there."""


class ObjectHead(NamedTuple):
    """An object as its header tells: id, type, and size in bytes without compression."""

    oid: str
    kind: str
    size: int


class Change(NamedTuple):
    """A path in which two trees differ: blob before and after (None: there is none)."""

    path: bytes
    old: str | None
    new: str | None
    mode: str


class _Entry(NamedTuple):
    mode: str
    oid: str


class CommitHead(NamedTuple):
    """A commit: its tree, its parents and its subject line."""

    tree: str
    parents: tuple[str, ...]
    subject: str


def object_heads(repository: Repository, names: Sequence[str]) -> dict[str, ObjectHead | None]:
    """Return type and size of objects by the names they are asked for; None: missing.

    Args:
        repository: Where.
        names: Object ids, or ``<commit>:<path>``; without line ends.
    """
    if not names:
        return {}
    output = repository.git(
        ["cat-file", "--batch-check=%(objectname) %(objecttype) %(objectsize)", "--buffer"],
        stdin="".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape"),
    )
    answers = output.decode("utf-8", "replace").split("\n")[:-1]
    return {name: _object_head(answer) for name, answer in zip(names, answers, strict=True)}


def _object_head(answer: str) -> ObjectHead | None:
    words = answer.split(" ")
    if words[-1].isdigit():
        return ObjectHead(words[0], words[1], int(words[2]))
    return None


def tree_changes(repository: Repository, old: str, new: str) -> list[Change]:
    """Return the paths in which two trees or commits differ, folders spelled out.

    Only folders that differ are read, level by level: ``git diff-tree`` would list all paths of a
    hostile tree in memory before it prints the first one.

    Raises:
        GitexpError: There are more than `MAX_CHANGES`, folders are nested more than `MAX_DEPTH`
            deep, or a tree is damaged.
    """
    roots = object_heads(repository, [f"{old}^{{tree}}", f"{new}^{{tree}}"])
    before, after = (head.oid if head is not None else None for head in roots.values())
    level: list[_Folder] = [(b"", before, after)]
    changes: list[Change] = []
    for _ in range(MAX_DEPTH):
        level = [folder for folder in level if folder[1] != folder[2]]
        if not level:
            return changes
        trees = _read_folders(repository, level)
        below: list[_Folder] = []
        for path, a, b in level:
            _compare(path, trees.get(a, {}), trees.get(b, {}), changes, below)
            if len(changes) + len(below) > MAX_CHANGES:
                raise GitexpError(f"More than {MAX_CHANGES} paths differ.")
        level = below
    raise GitexpError(f"Folders are nested more than {MAX_DEPTH} deep.")


def _read_folders(
    repository: Repository, level: Sequence[_Folder]
) -> dict[str | None, dict[bytes, _Entry]]:
    """Return the entries of the trees of a level by the ids of the trees."""
    oids = dict.fromkeys(oid for _, *pair in level for oid in pair if oid is not None)
    return {found.oid: _entries(found) for found in read_objects(repository, list(oids))}


def _entries(tree: Object) -> dict[bytes, _Entry]:
    found = list(parse_tree(tree.content)) if tree.kind == "tree" else []
    entries = {entry.path: _Entry(entry.mode.decode("ascii"), entry.oid) for entry in found}
    length = sum(len(entry.mode) + len(entry.path) + _BESIDE for entry in found)
    whole = tree.kind == "tree" and length == len(tree.content)
    if not whole or len(entries) < len(found) or any(b"/" in name for name in entries):
        raise GitexpError(f"The tree {tree.oid} is damaged.")
    return entries


def _compare(
    path: bytes,
    old: Mapping[bytes, _Entry],
    new: Mapping[bytes, _Entry],
    changes: list[Change],
    below: list[_Folder],
) -> None:
    """Add to ``changes`` the files in which two folders differ, and to ``below`` the folders."""
    for name in sorted(old.keys() | new.keys()):
        sides = old.get(name), new.get(name)
        if sides[0] == sides[1]:
            continue
        a, b = (side.oid if side is not None and side.mode == _TREE else None for side in sides)
        if a is not None or b is not None:
            below.append((path + name + b"/", a, b))
        before, after = (None if side is None or side.mode == _TREE else side for side in sides)
        if before is not None or after is not None:
            mode = "" if after is None else after.mode
            gone, come = (file.oid if file is not None else None for file in (before, after))
            changes.append(Change(path + name, gone, come, mode))


def is_behind(repository: Repository, old: str, new: str) -> bool:
    """Say whether a commit is another, or comes before it in its history.

    Raises:
        GitCommandError: A commit is missing.
    """
    return not repository.git(["rev-list", "--max-count=1", old, "--not", new, "--"]).strip()


def new_commits(repository: Repository, tip: str) -> dict[str, CommitHead]:
    """Return a commit and those of its ancestors that no ref of the repository has yet.

    Raises:
        GitCommandError: A commit is missing.
    """
    words = ["rev-list", "--format=%T %P%x09%s", tip]
    found = _commits(repository.git([*words, "--not", "--all", "--"]))
    return found or _commits(repository.git([*words, "--max-count=1", "--"]))


def _commits(output: bytes) -> dict[str, CommitHead]:
    lines = output.decode("utf-8", "replace").split("\n")
    found = {}
    for title, line in zip(lines[::2], lines[1::2], strict=False):
        ids, _, subject = line.partition("\t")
        tree, *parents = ids.split()
        found[title.removeprefix("commit ")] = CommitHead(tree, tuple(parents), subject)
    return found


def off_history(
    repository: Repository, commits: Sequence[str], tips: Sequence[str]
) -> dict[str, list[str]]:
    """Return the commits, and all their ancestors, that no tip has in its history.

    Commits that are not here are left out.

    Returns:
        Commit -> its parents.

    Raises:
        GitCommandError: git failed.
    """
    names = [*commits, *(f"^{tip}" for tip in tips)]
    output = repository.git(
        ["rev-list", "--parents", "--ignore-missing", "--stdin"],
        stdin="".join(f"{name}\n" for name in names).encode("ascii"),
    )
    lines = (line.split() for line in output.decode("ascii").splitlines())
    return {commit: parents for commit, *parents in lines}
