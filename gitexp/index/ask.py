"""Questions to one index, as SQL: which runs, in which order, the first so many.

SQLite plans by statistics that it does not have; here the shape of a question decides. Where at
most `FEW` runs can fulfil a part of the condition, as an index of that part's column counts, they
are looked up and what fits is sorted. Otherwise runs are visited in the order that was asked for,
which an index gives, until enough of them fulfil the condition.

The expression language (`gitexp.index.plan`) is loaded only for questions that are asked in it.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from gitexp.git.refs import is_run_id
from gitexp.index.schema import NAN
from gitexp.light import NamedTuple
from gitexp.query.names import Catalog

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gitexp.query.syntax import Node

FEW = 5_000
"""Runs that are looked up and sorted rather than visited in order: about 10 ms of work."""

_LISTED = 500
"""Ids that are looked up one by one; for more, all runs are gone through once."""

_JOIN = "CROSS JOIN run AS r ON r.number = d.run"
_INDEXED = frozenset({"value", "last", "min", "max"})


class Column(NamedTuple):
    """A column of the table ``field`` or ``metric``, for one path.

    Attributes:
        path: The path's number in this index; None when no run in it has the path.
    """

    table: str
    column: str
    path: int | None


class Metric(NamedTuple):
    """A metric to sort by: its full path, and the column ``last``, ``min``, ``max`` or ``mean``."""

    path: str
    column: str


class Key(NamedTuple):
    """What to sort by. Runs without a value come last, whatever the direction."""

    by: Node | Metric
    descending: bool = False


class Source(NamedTuple):
    """Where runs come from: what stands after FROM, what restricts it, and its parameters.

    Attributes:
        order: The column that an index gives in order, if it is asked for.
    """

    tables: str
    condition: str = "1"
    parameters: Sequence[Any] = ()
    order: str = ""


ALL = Source("run AS r")
BY_START = Source("run AS r INDEXED BY run_started")


def with_id(prefix: str) -> Source:
    """Return the runs whose ids begin with these hexadecimal digits, at most 40."""
    bounds = [bytes.fromhex(prefix.ljust(40, digit)) for digit in "0f"]
    return Source("run AS r INDEXED BY run_id", "r.id BETWEEN ? AND ?", bounds)


def with_name(name: str) -> Source:
    """Return the runs of a name."""
    return Source("run AS r INDEXED BY run_name", "r.name = ?", [name])


def with_tag(tag: str) -> Source:
    """Return the runs with a tag."""
    return Source(f"tag AS d INDEXED BY tag_run {_JOIN}", "d.tag = ?", [tag])


def with_ids(run_ids: Sequence[str]) -> Source:
    """Return these runs."""
    if len(run_ids) <= _LISTED:
        keys = [bytes.fromhex(run) for run in run_ids if is_run_id(run)]
        return Source("run AS r", f"r.id IN ({', '.join('?' * len(keys))})", keys)
    listed = "SELECT value FROM json_each(?)"
    return Source("run AS r", f"lower(hex(r.id)) IN ({listed})", [json.dumps(list(run_ids))])


class Ask(NamedTuple):
    """A question.

    Attributes:
        where: What a run must fulfil.
        among: Only these runs; all by default.
        keys: What to sort by; what is equal by all of them, by time of start.
        values: What else to compute of each run.
        limit: At most so many rows; None for all.
        finite: Leave out runs whose first key is not a finite number.
        earliest: Of equals the run that started first comes first, not the one that started last.
    """

    where: Node | None = None
    among: Source | None = None
    keys: Sequence[Key] = ()
    values: Sequence[Node] = ()
    limit: int | None = None
    finite: bool = False
    earliest: bool = False


class Row(NamedTuple):
    """A run that was found.

    Attributes:
        number: Of the run in the index.
        id: Of the run, 20 bytes.
        started: Microseconds since 1970.
        keys: Its values of the question's keys.
        values: Likewise of the other values.
    """

    number: int
    id: bytes
    started: int
    keys: tuple[Any, ...]
    values: tuple[Any, ...]


class Part(NamedTuple):
    """An expression in SQL over ``r``, a row of ``run``, that any operator takes as it is."""

    sql: str
    parameters: Sequence[Any]


def find(db: sqlite3.Connection, catalog: Catalog, ask: Ask, now: datetime) -> list[Row]:
    """Return the runs that answer a question, in order.

    Raises:
        QueryError: An expression cannot be understood.
    """
    if ask.where is None and not ask.values and all(isinstance(k.by, Metric) for k in ask.keys):
        keys = [looked_up(column_of(key.by, catalog)) for key in ask.keys]
        return _first(db, catalog, ask, _Statement(ask, [], keys, []), None)
    from gitexp.index.plan import Plan

    plan = Plan(db, catalog, ask, now)
    with plan.running:
        statement = _Statement(ask, plan.conditions, plan.keys, plan.values)
        return _first(db, catalog, ask, statement, plan.narrowest())


def _first(
    db: sqlite3.Connection,
    catalog: Catalog,
    ask: Ask,
    statement: _Statement,
    few: Source | None,
) -> list[Row]:
    """Return the first runs of a statement, from the source that gives them at the least cost."""
    few = ask.among or few
    if few is not None:
        return statement.run(db, few)
    lead = _lead(ask, catalog)
    if lead is None:
        return statement.run(db, ALL if ask.keys or ask.limit is None else BY_START)
    rows = statement.run(db, lead)
    if ask.finite or ask.limit is None or len(rows) >= ask.limit:
        return rows
    return rows + statement.without_first_key(ask.limit - len(rows)).run(db, ALL)


def count(db: sqlite3.Connection, catalog: Catalog, ask: Ask, now: datetime) -> int:
    """Return how many runs answer a question, whatever its limit.

    Raises:
        QueryError: An expression cannot be understood.
    """
    if ask.where is None:
        return _count(db, [], ask.among or ALL)
    from gitexp.index.plan import Plan

    plan = Plan(db, catalog, ask, now)
    with plan.running:
        return _count(db, plan.conditions, ask.among or plan.narrowest() or ALL)


def count_unranked(db: sqlite3.Connection, catalog: Catalog, ask: Ask, now: datetime) -> int:
    """Return how many runs have the metric of the first key, but no finite value of it."""
    column = column_of(ask.keys[0].by, catalog)
    if column is None or column.path is None:
        return 0
    name = f"d.{column.column}"
    # Three ranges, each of which an index gives: none, infinity and NaN, minus infinity.
    ranges: list[tuple[str, tuple[float, ...]]] = [
        (f"{name} IS NULL", ()),
        (f"{name} >= ?", (math.inf,)),
        (f"{name} <= ?", (-math.inf,)),
    ]
    sources = [
        Source(indexed(column), f"d.path = ? AND {condition}", (column.path, *bound))
        for condition, bound in ranges
    ]
    if ask.where is None:
        return sum(_count(db, [], source) for source in sources)
    from gitexp.index.plan import Plan

    plan = Plan(db, catalog, ask, now)
    with plan.running:
        return sum(_count(db, plan.conditions, source) for source in sources)


def _count(db: sqlite3.Connection, conditions: Sequence[Part], source: Source) -> int:
    sql = f"SELECT count(*) FROM {source.tables} WHERE {source.condition}"  # noqa: S608
    sql += "".join(f" AND {part.sql}" for part in conditions)
    parameters = [*source.parameters, *(p for part in conditions for p in part.parameters)]
    return int(db.execute(sql, parameters).fetchone()[0])


class _Statement:
    """A question as SQL, but for where its runs come from."""

    def __init__(
        self,
        ask: Ask,
        conditions: Sequence[Part],
        keys: Sequence[Part],
        values: Sequence[Part],
    ) -> None:
        self._ask = ask
        self._conditions = conditions
        self._keys = keys
        self._computed = [*keys, *values]

    def without_first_key(self, limit: int) -> _Statement:
        """Return the question for the runs that have no value of its first key."""
        key = self._keys[0]
        sql = f"({key.sql} IS NULL OR typeof({key.sql}) = 'blob')"
        missing = Part(sql, [*key.parameters, *key.parameters])
        values = self._computed[len(self._keys) :]
        return _Statement(
            self._ask._replace(limit=limit), [*self._conditions, missing], self._keys, values
        )

    def run(self, db: sqlite3.Connection, source: Source) -> list[Row]:
        """Return the runs of a source that answer the question."""
        columns = "".join(f", {c.sql} AS c{i}" for i, c in enumerate(self._computed))
        parameters = [parameter for c in self._computed for parameter in c.parameters]
        conditions = [Part(source.condition, source.parameters), *self._conditions]
        if self._ask.finite and not source.order:
            conditions.append(Part("c0 > ? AND c0 < ?", (-math.inf, math.inf)))
        for part in conditions:
            parameters += part.parameters
        # The SQL is made of our own words; all that comes from outside is a parameter.
        sql = (
            f"SELECT r.number, r.id, r.started{columns} FROM {source.tables}"  # noqa: S608
            f" WHERE {' AND '.join(part.sql for part in conditions)}"
            f" ORDER BY {self._order(source)} LIMIT ?"
        )
        parameters.append(-1 if self._ask.limit is None else self._ask.limit)
        end = len(self._keys)
        return [
            Row(number, run_id, started, tuple(rest[:end]), tuple(rest[end:]))
            for number, run_id, started, *rest in db.execute(sql, parameters)
        ]

    def _order(self, source: Source) -> str:
        terms = []
        for i, key in enumerate(self._ask.keys):
            word = "DESC" if key.descending else "ASC"
            if i == 0 and source.order:
                terms.append(f"{source.order} {word}")
            elif self._ask.finite and i == 0:
                terms.append(f"c{i} {word}")
            else:
                # NaN is as good as nothing: the next key decides between the two.
                value = f"CASE typeof(c{i}) WHEN 'blob' THEN NULL ELSE c{i} END"
                terms.append(f"{value} {word} NULLS LAST")
        last = "ASC" if self._ask.earliest else "DESC"
        return ", ".join([*terms, f"r.started {last}, r.id {last}"])


def _lead(ask: Ask, catalog: Catalog) -> Source | None:
    """Return the runs in the order of the first key, where an index gives it."""
    if not ask.keys or (ask.limit is None and not ask.finite):
        return None
    column = column_of(ask.keys[0].by, catalog)
    if column is None or column.path is None:
        return None
    name = f"d.{column.column}"
    end: float | bytes
    if ask.finite:
        condition, end = f"d.path = ? AND {name} > ? AND {name} < ?", math.inf
    else:
        condition, end = f"d.path = ? AND {name} >= ? AND {name} < ?", NAN
    return Source(indexed(column), condition, (column.path, -math.inf, end), order=name)


def column_of(by: Node | Metric, catalog: Catalog) -> Column | None:
    """Return the column that something to sort by is; None for what has to be computed."""
    if isinstance(by, Metric):
        return Column("metric", by.column, catalog.metrics.get(by.path))
    from gitexp.index.plan import column_of_node

    return column_of_node(by, catalog)


def indexed(column: Column) -> str:
    """Return a column's table ``d`` and the runs ``r``, in the order of the column's index."""
    index = f" INDEXED BY {column.table}_{column.column}" if column.column in _INDEXED else ""
    return f"{column.table} AS d{index} {_JOIN}"


def looked_up(column: Column | None) -> Part:
    """Return a column's value for a run; NULL where no run has it."""
    if column is None or column.path is None:
        return Part("NULL", ())
    sql = f"(SELECT {column.column} FROM {column.table} WHERE path = ? AND run = r.number)"  # noqa: S608
    return Part(sql, (column.path,))
