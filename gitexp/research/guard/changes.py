"""The changes of all runs against their bases, remembered, and found again by what they do.

They are read from the snapshots once, the latest runs first, and kept in ``research.sqlite``
(`gitexp.research.cache`) by the ids of the runs, which never change. What can change is which
files matter and which words stand for others; the changes are read again then.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import xxhash

from gitexp.git.patches import Base, bases, changed_files
from gitexp.git.repository import Repository
from gitexp.research.cache import written
from gitexp.research.code import IGNORED, Code
from gitexp.research.guard.aliases import BUILT_IN, DOWN, UP, Aliases
from gitexp.research.guard.patch import Patch, bands, likeness, patch_of, sketch_of
from gitexp.research.guard.structure import SettingChange, from_edits, symbols_key

NEAR = 0.6
"""Jaccard index or containment from which on two changes are near."""
_LEAST_SHINGLES = 8
"""A smaller change is contained in others by chance."""

_BATCH = 200
_POSTINGS = 300
_COMPARED = 60
_SAME = 500
_NO_BASE = bytes(16)

Progress = Callable[[int, int], None]


class Change(NamedTuple):
    """What a run changed against its base.

    Attributes:
        run: 20 bytes; empty for what is no run yet.
        old: Id of the base's tree, 20 bytes; `new` of the tree with the change.
        base: Digest of the code that matters in the base, 16 bytes.
        digest: See `gitexp.research.guard.patch.Patch`; likewise what follows.
        settings: That it changes.
        pure: It changes nothing else.
    """

    run: bytes
    old: bytes
    new: bytes
    base: bytes
    digest: bytes
    context: bytes
    places: tuple[str, ...]
    shingles: frozenset[int]
    settings: tuple[SettingChange, ...]
    pure: bool
    sample: tuple[str, ...]


_COLUMNS = "run, old, new, base, digest, context, places, shingles, settings, pure, sample"


class Changes:
    """The changes of the runs of a repository."""

    def __init__(
        self, repository: Repository, cache: sqlite3.Connection, code: Code, aliases: Aliases
    ) -> None:
        """Take what is remembered, unless other files or words mattered then.

        Args:
            repository: Whose runs.
            cache: What remembers.
            code: Says which files matter.
            aliases: Says which words stand for others.
        """
        self._repository = repository
        self._cache = cache
        self._code = code
        self._aliases = aliases
        settings = repository.configured(r"^exprag\.(ignore|alias)$")
        words = [sorted(BUILT_IN.items()), sorted(UP), sorted(DOWN)]
        self._rules = xxhash.xxh3_64_digest(
            repr((IGNORED, sorted(settings.items()), words)).encode()
        )

    def extend(self, runs: Sequence[bytes], progress: Progress | None = None) -> None:
        """Read the changes of those runs that are not remembered yet.

        Args:
            runs: Ids, in the order in which to read.
            progress: Told how many of the missing ones are done.
        """
        sql = "SELECT run FROM change WHERE rules = ?"
        known = {run for (run,) in self._cache.execute(sql, (self._rules,))}
        missing = [run for run in runs if run not in known]
        if not missing:
            return
        found = [
            (bytes.fromhex(run), base)
            for run, base in bases(self._repository, [run.hex() for run in missing])
            if base is not None
        ]
        digests = self._code.digests(bytes.fromhex(base.old) for _, base in found)
        for start in range(0, len(found), _BATCH):
            if progress is not None:
                progress(start, len(found))
            made = (self._read(run, base, digests) for run, base in found[start : start + _BATCH])
            self._remember([change for change in made if change is not None])
        if progress is not None:
            progress(len(found), len(found))

    def of_trees(self, base: Base, code: bytes | None) -> Change | None:
        """Return the change between two trees; None where one of them is not whole.

        Args:
            base: The trees.
            code: Digest of the code that matters in the old one, where that is whole.
        """
        return self._read(b"", base, {bytes.fromhex(base.old): code} if code else {})

    def _read(self, run: bytes, base: Base, digests: dict[bytes, bytes]) -> Change | None:
        files = changed_files(self._repository, base.old, base.new, self._code.ignored)
        if files is None:
            return None
        patch = patch_of(files)
        settings = from_edits(patch.edits, self._aliases, opaque=bool(patch.opaque))
        old = bytes.fromhex(base.old)
        return Change(
            run,
            old,
            bytes.fromhex(base.new),
            digests.get(old, _NO_BASE),
            *_stored_parts(patch),
            settings.changes,
            settings.pure,
            patch.sample,
        )

    def differences(self, one: bytes, two: bytes) -> Patch | None:
        """Return what differs between two trees in what matters, comments and spaces apart.

        Args:
            one: Id of a tree, 20 bytes.
            two: Of another.
        """
        files = changed_files(self._repository, one.hex(), two.hex(), self._code.ignored)
        return None if files is None else patch_of(files)

    def _remember(self, changes: Sequence[Change]) -> None:
        def write(cache: sqlite3.Connection) -> None:
            self._drop_others(cache)
            for change in changes:
                self._insert(cache, change)

        self._cache = written(self._cache, write)

    def _drop_others(self, cache: sqlite3.Connection) -> None:
        """Drop what was read when other files or words mattered."""
        sql = "SELECT 1 FROM change WHERE rules != ? LIMIT 1"
        if cache.execute(sql, (self._rules,)).fetchone():
            for table in ("change", "band", "setting"):
                cache.execute(f"DELETE FROM {table}")  # noqa: S608

    def _insert(self, cache: sqlite3.Connection, change: Change) -> None:
        marks = ", ".join("?" * 12)
        sql = f"INSERT OR IGNORE INTO change (rules, {_COLUMNS}) VALUES ({marks})"  # noqa: S608
        cursor = cache.execute(sql, (self._rules, *_row(change)))
        number = cursor.lastrowid
        if not cursor.rowcount:
            return  # another process was quicker
        keys = {(key, number) for key in bands(sketch_of(change.shingles))}
        cache.executemany("INSERT OR IGNORE INTO band VALUES (?, ?)", keys)
        if change.pure:
            symbols = symbols_key(change.settings)
            cache.execute("INSERT INTO setting VALUES (?, ?)", (symbols, number))

    def of_run(self, run: bytes) -> Change | None:
        """Return the change of a run; None where it is not known."""
        return next(self._select("WHERE run = ? AND rules = ?", run, self._rules), None)

    def same(self, digest: bytes) -> list[Change]:
        """Return the runs that made a change of this digest."""
        if not digest:
            return []
        return list(
            self._select(f"WHERE digest = ? AND rules = ? LIMIT {_SAME}", digest, self._rules)
        )

    def with_settings(self, settings: Iterable[SettingChange], base: bytes) -> list[Change]:
        """Return the runs that changed the same settings, to whatever values, and nothing else.

        Args:
            settings: Their values do not count.
            base: Digest of a base; runs on it come first.
        """
        numbers = "SELECT change FROM setting WHERE symbols = ?"
        where = f"WHERE number IN ({numbers}) AND rules = ? ORDER BY base = ? DESC LIMIT ?"
        return list(self._select(where, symbols_key(settings), self._rules, base, _SAME))

    def near(self, change: Change) -> list[tuple[Change, float, float]]:
        """Return the runs of near changes with Jaccard index and containment, the nearest first."""
        counts: Counter[int] = Counter()
        sql = "SELECT change FROM band WHERE key = ? LIMIT ?"
        for key in bands(sketch_of(change.shingles)):
            counts.update(number for (number,) in self._cache.execute(sql, (key, _POSTINGS)))
        numbers = [number for number, _ in counts.most_common(_COMPARED)]
        marks = ", ".join("?" * len(numbers))
        found = self._select(f"WHERE number IN ({marks}) AND rules = ?", *numbers, self._rules)
        compared = [(other, *likeness(change.shingles, other.shingles)) for other in found]
        near = [row for row in compared if _is_near(change, *row)]
        return sorted(near, key=lambda row: (-max(row[1:]), row[0].run))

    def _select(self, where: str, *values: Any) -> Iterator[Change]:
        sql = f"SELECT {_COLUMNS} FROM change {where}"  # noqa: S608
        return map(_change, self._cache.execute(sql, values).fetchall())


def _stored_parts(patch: Patch) -> tuple[bytes, bytes, tuple[str, ...], frozenset[int]]:
    return patch.digest, patch.context, patch.places, patch.shingles


def _is_near(change: Change, other: Change, jaccard: float, containment: float) -> bool:
    smaller = min(len(change.shingles), len(other.shingles))
    return jaccard >= NEAR or (containment >= NEAR and smaller >= _LEAST_SHINGLES)


def _row(change: Change) -> tuple[Any, ...]:
    return (
        *change[:6],
        _encode(change.places),
        array("I", sorted(change.shingles)).tobytes(),
        _encode([tuple(each) for each in change.settings]),
        int(change.pure),
        _encode(change.sample),
    )


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _change(row: tuple[Any, ...]) -> Change:
    run, old, new, base, digest, context, places, packed, settings, pure, sample = row
    shingles = array("I")
    shingles.frombytes(packed)
    return Change(
        run,
        old,
        new,
        base,
        digest,
        context,
        tuple(msgspec.json.decode(places)),
        frozenset(shingles),
        tuple(SettingChange(*each) for each in msgspec.json.decode(settings)),
        bool(pure),
        tuple(msgspec.json.decode(sample)),
    )
