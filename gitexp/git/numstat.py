"""Count what differs between trees, as git's own ``--numstat`` counts it.

All pairs of trees go through one git process, however many runs are compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitexp.errors import GitCommandError
from gitexp.git.repository import Repository

_PAIR = rb"([0-9a-f]{40,64}) ([0-9a-f]{40,64})\n"

Pair = tuple[str, str]


class ChangedFile(NamedTuple):
    """A file that is not the same on both sides.

    Attributes:
        path: On the new side, or on the old one where it is gone.
        added: Lines; None for a binary file. `deleted` likewise.
        old_path: Where it was, for a file that was renamed or copied.
    """

    path: bytes
    added: int | None
    deleted: int | None
    old_path: bytes | None = None


class Changes(NamedTuple):
    """What differs between two trees: how many files, and lines of those that are texts."""

    files: int
    added: int
    deleted: int


def parse_numstat(output: bytes) -> list[ChangedFile]:
    """Return the files that ``--numstat -z`` speaks of."""
    fields = iter(output.split(b"\0"))
    return [_changed_file(field, fields) for field in fields if field]


def count_changes(repository: Repository, pairs: Iterable[Pair]) -> dict[Pair, Changes]:
    """Count what differs between trees, renames found.

    Args:
        repository: Where the trees are.
        pairs: Full ids of an old and a new tree each.

    Returns:
        What differs by pair; a pair is not in it where an object is missing or damaged.
    """
    asked = list(dict.fromkeys(pairs))
    if not asked:
        return {}
    try:
        output = repository.git(
            ["diff-tree", "--stdin", "-r", "-M", "--numstat", "-z"],
            stdin="".join(f"{old} {new}\n" for old, new in asked).encode("ascii"),
            environment={"GIT_NO_LAZY_FETCH": "1"},
        )
    except GitCommandError:  # git stops at the first file that it cannot read
        if len(asked) == 1:
            return {}
        alone = (count_changes(repository, [pair]) for pair in asked)
        return {pair: changes for each in alone for pair, changes in each.items()}
    return {pair: _sum(files) for pair, files in _by_pair(output).items()}


def _by_pair(output: bytes) -> dict[Pair, list[ChangedFile]]:
    """Return the files that differ by pair; the ids of a pair stand before its first file."""
    found: dict[Pair, list[ChangedFile]] = {}
    files: list[ChangedFile] = []
    fields = iter(output.split(b"\0"))
    for field in fields:
        record = field
        while match := re.match(_PAIR, record):
            files = found.setdefault((match[1].decode(), match[2].decode()), [])
            record = record[match.end() :]
        if record:
            files.append(_changed_file(record, fields))
    return found


def _sum(files: list[ChangedFile]) -> Changes:
    added = sum(file.added or 0 for file in files)
    return Changes(len(files), added, sum(file.deleted or 0 for file in files))


def _changed_file(field: bytes, following: Iterator[bytes]) -> ChangedFile:
    added, deleted, path = field.split(b"\t", 2)
    counts = (_count(added), _count(deleted))
    if path:
        return ChangedFile(path, *counts)
    old_path = next(following)
    return ChangedFile(next(following), *counts, old_path)


def _count(text: bytes) -> int | None:
    return None if text == b"-" else int(text)
