"""Questions in the expression language, compiled for one index.

What can be answered by an index of SQLite's is found here: the part of a condition that the
fewest runs can fulfil, and the column that a sort key is.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime

from gitexp.index.ask import (
    BY_START,
    FEW,
    Ask,
    Column,
    Metric,
    Part,
    Source,
    column_of,
    indexed,
    looked_up,
    with_tag,
)
from gitexp.query.compile import (
    Compiled,
    Running,
    compile_condition,
    compile_value,
    summary_column,
)
from gitexp.query.names import Catalog
from gitexp.query.ranges import Range, conjuncts, simple_range
from gitexp.query.syntax import Call, Name, Node

_SUMMARIES = frozenset({"min", "max", "mean", "last", "best"})


class Plan:
    """A compiled question. Its statements run while `running` is entered.

    Attributes:
        conditions: What a run must fulfil; `keys` and `values` are those of the question.
        running: Holds what the expressions need while they run.
    """

    def __init__(self, db: sqlite3.Connection, catalog: Catalog, ask: Ask, now: datetime) -> None:
        """Compile a question.

        Raises:
            QueryError: An expression cannot be understood.
        """
        self._db = db
        self._catalog = catalog
        self._where = ask.where
        self._now = now
        self._compiled: list[Compiled] = []
        self.conditions = []
        if ask.where is not None:
            self.conditions.append(self._part(compile_condition(ask.where, catalog, now)))
        self.keys = [self._value(key.by) for key in ask.keys]
        self.values = [self._value(node) for node in ask.values]
        self.running = Running(*self._compiled)

    def _value(self, by: Node | Metric) -> Part:
        if isinstance(by, Metric):
            return looked_up(column_of(by, self._catalog))
        return self._part(compile_value(by, self._catalog, self._now))

    def _part(self, compiled: Compiled) -> Part:
        self._compiled.append(compiled)
        return Part(compiled.sql, compiled.parameters)

    def narrowest(self) -> Source | None:
        """Return the part of the condition that the fewest runs can fulfil, if they are few."""
        best: Source | None = None
        fewest = FEW
        for part in conjuncts(self._where) if self._where is not None else ():
            found = simple_range(part, self._catalog, self._now)
            source = None if found is None else _source_of(found)
            if source is None:
                continue
            tables = source.tables.partition(" CROSS JOIN")[0]
            rows = f"SELECT 1 FROM {tables} WHERE {source.condition} LIMIT ?"  # noqa: S608
            (number,) = self._db.execute(
                f"SELECT count(*) FROM ({rows})",  # noqa: S608
                [*source.parameters, fewest + 1],
            ).fetchone()
            if number <= fewest:
                best, fewest = source, number
        return best


def column_of_node(node: Node, catalog: Catalog) -> Column | None:
    """Return the column that an expression is just the name of; None for any other."""
    if isinstance(node, Name):
        target = catalog.resolve(node.path)
        column = "value" if target.kind == "field" else "last"
    elif isinstance(node, Call) and node.function in _SUMMARIES and isinstance(node.items[0], Name):
        target = catalog.resolve_metric(node.items[0].path)
        column = summary_column(node.function, target.path, catalog)
    else:
        return None
    return None if target.kind == "own" else Column(target.kind, column, target.number)


def _source_of(range_: Range) -> Source | None:
    """Return the runs in a range; None where no index gives them, or gives some twice."""
    if range_.kind == "tag":
        return with_tag(range_.equal[0]) if range_.equal and len(range_.equal) == 1 else None
    if range_.kind == "started":
        tables, condition, parameters, name = BY_START.tables, "1", [], "r.started"
    else:
        column = Column(range_.kind, range_.column, range_.path or 0)
        tables, condition, parameters = indexed(column), "d.path = ?", [column.path]
        name = f"d.{column.column}"
    for bound, operator in ((range_.low, ">"), (range_.high, "<")):
        if bound is not None:
            is_open = range_.low_open if operator == ">" else range_.high_open
            condition += f" AND {name} {operator}{'' if is_open else '='} ?"
            parameters.append(bound)
    if range_.equal is not None:
        condition += f" AND {name} IN ({', '.join('?' * len(range_.equal))})"
        parameters += range_.equal
    return Source(tables, condition, parameters)
