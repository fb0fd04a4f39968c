"""The index of a repository and that of its runs in progress, asked as one."""

from __future__ import annotations

import functools
import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from gitexp.index.ask import Ask, Row, count, count_unranked, find
from gitexp.index.database import Index
from gitexp.index.schema import NAN, require_whole, unpack
from gitexp.light import NamedTuple
from gitexp.query.names import Catalog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar

    Answer = TypeVar("Answer")


class Found(NamedTuple):
    """A run that was found, with its document as the index holds it."""

    row: Row
    packed: bytes
    dictionary: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The run as ``--json`` shows it."""
        return unpack(self.packed, self.dictionary)


class Names(NamedTuple):
    """Full paths of all metrics and fields that any run has."""

    metrics: dict[str, int]
    fields: dict[str, int]


class Search:
    """The index of a repository and that of its runs in progress, asked as one."""

    def __init__(
        self, index: Index, live: sqlite3.Connection | None, lower: Callable[[str], bool]
    ) -> None:
        """Join two indexes of different runs.

        Args:
            index: Of the runs that are stored.
            live: Of those in progress; None when there are none.
            lower: Says of a metric's path whether lower is better.
        """
        self._index = index
        self._live = live
        self._lock = threading.Lock()
        self._lower = lower

    @functools.cached_property
    def catalog(self) -> Catalog:
        """All names that any run has."""
        return self._catalog(Names({}, {}))

    @functools.cached_property
    def _names(self) -> list[Names]:
        return self.each(_names)

    def _catalog(self, here: Names) -> Catalog:
        """Return the catalog for one of the indexes: all names, with its own numbers."""
        metrics, fields = (
            {path: here[kind].get(path) for names in self._names for path in names[kind]}
            for kind in (0, 1)
        )
        return Catalog(metrics, fields, self._lower)

    def find(self, ask: Ask, now: datetime) -> list[Found]:
        """Return the runs that answer a question, in order.

        Raises:
            QueryError: An expression cannot be understood.
        """

        def question(db: sqlite3.Connection, catalog: Catalog) -> list[Found]:
            dictionary = _only(db.execute("SELECT dictionary FROM meta"))
            return [_found(db, row, dictionary) for row in find(db, catalog, ask, now)]

        answers = self._each_named(question)
        merged = answers[0] if len(answers) == 1 else _merge(answers, ask)
        return merged[: ask.limit]

    def count(self, ask: Ask, now: datetime) -> int:
        """Return how many runs answer a question, whatever its limit."""
        return sum(self._each_named(lambda db, catalog: count(db, catalog, ask, now)))

    def count_unranked(self, ask: Ask, now: datetime) -> int:
        """Return how many runs have the metric of the first key, but no finite value of it."""
        return sum(self._each_named(lambda db, catalog: count_unranked(db, catalog, ask, now)))

    def ask(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a plain question, of both indexes."""
        answers = self.each(lambda db: db.execute(sql, parameters).fetchall())
        return [row for answer in answers for row in answer]

    def _each_named(
        self, question: Callable[[sqlite3.Connection, Catalog], Answer]
    ) -> list[Answer]:
        """Return the answers of both to a question that speaks of names."""
        _ = self._names  # of all runs, before one index is asked
        return self.each(lambda db: question(db, self._catalog(_names(db))))

    def each(self, question: Callable[[sqlite3.Connection], Answer]) -> list[Answer]:
        """Return the answers of both. A run that is stored by now is in progress no more."""
        live = self._live
        if live is None:
            return [self._index.ask(question)]
        from gitexp.index.live import drop_stored

        def ask_stored(db: sqlite3.Connection) -> Answer:
            drop_stored(live, db)
            return question(db)

        with self._lock:
            return [self._index.ask(ask_stored), question(live)]


def _found(db: sqlite3.Connection, row: Row, dictionary: Any) -> Found:
    packed = _only(db.execute("SELECT packed FROM doc WHERE run = ?", row[:1]))
    require_whole(packed, dictionary)
    return Found(row, packed, dictionary)


def _only(rows: sqlite3.Cursor) -> Any:
    """Return the value that a question finds; None for none."""
    row = rows.fetchone()
    return None if row is None else row[0]


def _names(db: sqlite3.Connection) -> Names:
    names = Names({}, {})
    for kind, table in enumerate(("metric", "field")):
        rows = db.execute(
            f"SELECT path, number FROM path WHERE kind = '{table}' AND EXISTS"  # noqa: S608
            f" (SELECT 1 FROM {table} WHERE {table}.path = number)"
        )
        names[kind].update(rows)
        if not all(isinstance(path, str) for path in names[kind]):
            raise sqlite3.DatabaseError("a path is no text")
    return names


def _merge(answers: Sequence[list[Found]], ask: Ask) -> list[Found]:
    """Return the rows of several indexes in the order that was asked for."""
    merged = [found for answer in answers for found in answer]
    merged.sort(key=lambda found: found.row[1:3][::-1], reverse=not ask.earliest)
    for i, key in reversed(list(enumerate(ask.keys))):
        there = [found for found in merged if found.row.keys[i] not in (None, NAN)]
        missing = [found for found in merged if found.row.keys[i] in (None, NAN)]
        there.sort(key=lambda found: _comparable(found.row.keys[i]), reverse=key.descending)
        merged = there + missing
    return merged


def _comparable(value: Any) -> tuple[bool, Any]:
    """Return what sorts as SQLite does: numbers before texts."""
    return isinstance(value, str), value
