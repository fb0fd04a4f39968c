"""First parents and trees of commits, remembered: on which states of the code a run builds."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable

from gitexp.errors import BadShardError, MissingObjectError
from gitexp.git.history import parents_of, tree_of_commit
from gitexp.git.repository import Repository
from gitexp.research.cache import remember

LIMIT = 256
"""Commits that are read before one that runs started from: further back no base is looked for."""


class Ancestry:
    """The first-parent history behind the commits that runs started from."""

    def __init__(self, repository: Repository, cache: sqlite3.Connection) -> None:
        """Read what is remembered."""
        self._repository = repository
        self._cache = cache
        self.parents: dict[bytes, bytes | None] = {}
        self.trees: dict[bytes, bytes] = {}
        for commit, parent, tree in cache.execute('SELECT "commit", parent, tree FROM parent'):
            self.parents[commit] = parent
            self.trees[commit] = tree

    def extend(self, heads: Iterable[bytes]) -> None:
        """Read the history of these commits as far as it is not known; what is missing is not."""
        new = [commit for head in heads for commit in self._read(head)]
        rows = [(commit, self.parents[commit], self.trees[commit]) for commit in new]
        remember(self._cache, "INSERT OR IGNORE INTO parent VALUES (?, ?, ?)", rows)

    def _read(self, head: bytes) -> list[bytes]:
        """Read a chain up to what is known, at most `LIMIT` commits; return which were new."""
        new: list[bytes] = []
        commit: bytes | None = head
        while commit is not None and commit not in self.parents and len(new) < LIMIT:
            try:
                parents = parents_of(self._repository, commit.hex())
                self.trees[commit] = bytes.fromhex(tree_of_commit(self._repository, commit.hex()))
            except (MissingObjectError, BadShardError):  # a shallow clone, or what others wrote
                break
            parent = bytes.fromhex(parents[0]) if parents else None
            self.parents[commit] = parent
            new.append(commit)
            commit = parent
        return new

    def landmarks(self, heads: Collection[bytes], trees: Collection[bytes]) -> dict[bytes, bytes]:
        """Return commit -> the nearest one before it that matters, for all that matter.

        Args:
            heads: Commits that matter.
            trees: Trees; a commit of one of them matters too.
        """
        matter = {commit for commit, tree in self.trees.items() if tree in trees}
        matter.update(heads)
        nearest: dict[bytes, bytes | None] = {}
        for start in matter:
            passed = []
            commit = self.parents.get(start)
            while commit is not None and commit not in matter and commit not in nearest:
                passed.append(commit)
                commit = self.parents.get(commit)
            found = commit if commit is None or commit in matter else nearest[commit]
            nearest.update(dict.fromkeys(passed, found))
            nearest[start] = found
        return {commit: found for commit in matter if (found := nearest[commit]) is not None}
