"""What a push brings, asked of the git program alone, as a hook on a server must.

While ``pre-receive`` runs, new objects stand in a quarantine that git's environment names; the
git program sees them. All of it may be hostile: answers are bounded, and names that git prints
are bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import IO

from gitexp.errors import GitexpError
from gitexp.git.process import start_git, translate_failure
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple

MAX_CHANGES = 2_000_000
"""Paths in which two states may differ. A tree of ten objects can spell out more than any
machine could list; an honest first push of 500,000 runs stays below."""

_CHUNK = 1 << 16


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
    answers = output.decode("utf-8", "replace").splitlines()
    return {name: _object_head(answer) for name, answer in zip(names, answers, strict=True)}


def _object_head(answer: str) -> ObjectHead | None:
    words = answer.split(" ")
    if words[-1].isdigit():
        return ObjectHead(words[0], words[1], int(words[2]))
    return None


def tree_changes(repository: Repository, old: str, new: str) -> list[Change]:
    """Return the paths in which two trees or commits differ, folders spelled out.

    Raises:
        GitexpError: There are more than `MAX_CHANGES`.
        GitCommandError: An object is missing or no tree.
    """
    process = start_git(
        ["diff-tree", "-r", "-z", "--raw", "--no-renames", old, new, "--"],
        cwd=repository.top,
        environment=repository.environment,
    )
    with process:
        try:
            pairs = _pairs(process.stdout)
            changes = [_change(*pair) for pair in itertools.islice(pairs, MAX_CHANGES)]
            too_many = next(pairs, None) is not None
        except BaseException:
            process.kill()
            raise
        if too_many:
            process.kill()
        errors = process.stderr.read() if process.stderr is not None else b""
    if too_many:
        raise GitexpError(f"More than {MAX_CHANGES} paths differ.")
    if process.returncode:
        raise translate_failure(process.args, process.returncode, errors)
    return changes


def _pairs(stream: IO[bytes] | None) -> Iterator[tuple[bytes, bytes]]:
    """Yield what ``diff-tree -z`` says of each path, and the path."""
    head: bytes | None = None
    rest = b""
    while stream is not None and (chunk := stream.read(_CHUNK)):
        *fields, rest = (rest + chunk).split(b"\0")
        for field in fields:
            if head is None:
                head = field
            else:
                yield head, field
                head = None


def _change(head: bytes, path: bytes) -> Change:
    _, mode, old, new, _ = head.decode("ascii").split(" ")
    return Change(path, _blob(old), _blob(new), mode)


def _blob(oid: str) -> str | None:
    return oid if oid.strip("0") else None


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
