"""The code that matters: the digest of a snapshot without documentation and result files."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterable
from fnmatch import translate

import xxhash

from gitexp.git.relevant import code_digests
from gitexp.git.repository import Repository
from gitexp.research.cache import remember

IGNORED = (
    "*.md",
    "*.rst",
    "LICENSE*",
    ".git*",
    "results*.tsv",
    "results*.csv",
    "results*.json",
    "results*.jsonl",
    "*.log",
    "results/memorylab",
)
"""Names, or paths from the top where there is a slash, of what does not change what runs."""


_MANY = 1_000
"""A look-up takes 2 us, so does reading two rows of all."""


class Code:
    """Digests of the code that matters, by tree; those that were made once are remembered."""

    def __init__(self, repository: Repository, cache: sqlite3.Connection) -> None:
        """Read which files do not matter in this repository."""
        own = repository.configured(r"^exprag\.ignore$").get("exprag.ignore", [])
        patterns = (*IGNORED, *own)
        self.ignored = _matcher(patterns)
        self._repository = repository
        self._rules = xxhash.xxh3_64_digest("\n".join(patterns).encode())
        self._cache = cache

    def digests(self, trees: Iterable[bytes]) -> dict[bytes, bytes]:
        """Return the digest of each tree, 16 bytes; trees that are not whole are left out.

        Args:
            trees: Ids of 20 bytes.
        """
        wanted = set(trees)
        known = self._remembered(wanted)
        missing = [tree.hex() for tree in wanted.difference(known)]
        if missing:
            made = code_digests(self._repository, missing, self.ignored)
            new = {bytes.fromhex(tree): digest for tree, digest in made.items() if digest}
            self._remember(new)
            known |= new
        return known

    def _remembered(self, wanted: set[bytes]) -> dict[bytes, bytes]:
        """Return the digests that were made before; many are read in one go."""
        sql = "SELECT tree, digest FROM code WHERE rules = ?"
        if len(wanted) > _MANY:
            found = self._cache.execute(sql, (self._rules,)).fetchall()
            return {tree: digest for tree, digest in found if tree in wanted}
        sql += " AND tree = ?"
        rows = (self._cache.execute(sql, (self._rules, tree)).fetchone() for tree in wanted)
        return {row[0]: row[1] for row in rows if row is not None}

    def _remember(self, new: dict[bytes, bytes]) -> None:
        rows = [(tree, self._rules, digest) for tree, digest in new.items()]
        remember(self._cache, "INSERT OR REPLACE INTO code VALUES (?, ?, ?)", rows)


def _matcher(patterns: Iterable[str]) -> Callable[[str], bool]:
    names = [pattern for pattern in patterns if "/" not in pattern]
    paths = [pattern for pattern in patterns if "/" in pattern]
    match_name = re.compile("|".join(map(translate, names))).match
    match_path = re.compile("|".join(map(translate, paths))).match if paths else lambda _: None

    def ignored(path: str) -> bool:
        name = path.rpartition("/")[2]
        return match_name(name) is not None or match_path(path) is not None

    return ignored
