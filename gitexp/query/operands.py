"""Values in SQL, and what can be asked of one or two of them, guarded as Python means it.

SQLite orders numbers before texts before blobs, and NaN is kept as an empty blob. A question about
a value that is looked up goes into the look-up (`Operand.apply`): it is one search of a primary
key, however often the question names the value.
"""

from __future__ import annotations

from typing import Any, Literal

from gitexp.query.sql import Sql, fill
from gitexp.query.syntax import Constant

Type = Literal["number", "text", "time", "any", "none", "tags", "search"]

NULL = Sql("NULL")
FLIPPED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "==": "=="}
"""The operator that says the same with its sides exchanged."""

_SQL_OPERATORS = {"==": "=", "!=": "<>"}


class Operand:
    """A value in SQL, with what is known of it before any row is seen.

    Attributes:
        type: ``any`` is a number or a text; a missing value can be of every type.
        sql: The value wherever it stands.
        column: Its name inside of ``place``, where the value is looked up in a table.
        place: Table and condition of that look-up, as they stand after FROM.
        clean: It is never NaN.
    """

    __slots__ = ("clean", "column", "place", "sql", "type")

    def __init__(
        self,
        kind: Type,
        sql: Sql,
        *,
        column: Sql | None = None,
        place: Sql | None = None,
        clean: bool = True,
    ) -> None:
        self.type = kind
        self.sql = sql
        self.column = column
        self.place = place
        self.clean = clean

    def apply(self, template: str, *others: Sql) -> Sql:
        """Return a template with this value for ``{0}``, others for ``{1}`` and on.

        The template must give NULL where ``{0}`` is missing.
        """
        if self.column is None or self.place is None:
            return fill(template, self.sql, *others, around=6, height=4)
        inner = fill(template, self.column, *others, around=6, height=4)
        return fill("(SELECT {0} FROM {1})", inner, self.place, around=3, height=2)


def looked_up(kind: Type, table: str, column: str, number: int | None, *, clean: bool) -> Operand:
    """Return the operand for a path of ``field`` or ``metric``; NULL where no run has it."""
    if number is None:
        return Operand(kind, NULL)
    place = Sql(f"{table} WHERE path = ? AND run = r.number", [number])
    sql = fill("(SELECT {0} FROM {1})", Sql(column), place)
    return Operand(kind, sql, column=Sql(column), place=place, clean=clean)


def sql_constant(node: Constant) -> Any:
    """Return a constant as it is stored: True as 1, False as 0."""
    return int(node.value) if isinstance(node.value, bool) else node.value


def constant_operand(node: Constant) -> Operand:
    """Return a constant as an operand; it goes into the parameters."""
    if node.value is None:
        return Operand("none", NULL)
    kind: Type = "text" if isinstance(node.value, str) else "number"
    return Operand(kind, Sql("?", [sql_constant(node)]))


TAG = Operand("text", Sql("+t.tag"))
SOME_TAG = Sql("EXISTS (SELECT 1 FROM tag AS t WHERE t.run = r.number)")
ALL_TAGS = (
    "(SELECT group_concat(tag, ', ') FROM "
    "(SELECT t.tag FROM tag AS t WHERE t.run = r.number ORDER BY t.tag))"
)


def some_tag(sql: Sql) -> Sql:
    """Return whether a condition over ``t.tag`` holds of some tag of the run."""
    found = "EXISTS (SELECT 1 FROM tag AS t WHERE t.run = r.number AND {0})"
    return fill(found, sql, around=11, height=3)


def calculate(left: Sql, operator: str, right: Sql) -> Sql:
    """Return ``left operator right``, open for more of the same; / is never that of integers."""
    times = " * 1.0" if operator == "/" else ""
    return Sql(
        f"{left.text}{times} {operator} {right.text}",
        left.parameters + right.parameters,
        max(left.stack, right.stack + 2),
        max(left.height, right.height) + 2,
    )


def equality(x: Operand, operator: str, y: Operand) -> Sql:
    """Return ``==`` or ``!=``; values of different types are not equal, NaN is nothing's equal."""
    if x.place is None and y.place is not None:
        x, y = y, x
    if x.clean or y.clean:
        return x.apply(f"({{0}} {_SQL_OPERATORS[operator]} {{1}})", y.sql)
    if operator == "==":  # & and | give NULL where one side is NULL, as is needed here
        return x.apply("(({0} = {1}) & (typeof({0}) <> 'blob'))", y.sql)
    return x.apply("(({0} <> {1}) | (typeof({0}) = 'blob'))", y.sql)


def order(x: Operand, operator: str, y: Operand) -> Sql:
    """Return ``<`` and the like: NULL between a number and a text, 0 where NaN is one side."""
    if not _is_sure(y) and _is_sure(x):
        x, operator, y = y, FLIPPED[operator], x
    test = f"{{0}} {operator} {{1}}"
    if x.type == y.type and x.clean and y.clean and x.type != "any":
        return x.apply(f"({test})", y.sql)
    if y.type == "text":
        return x.apply(f"CASE typeof({{0}}) WHEN 'text' THEN {test} END", y.sql)
    if y.type == "number" and y.clean:
        nan = "0" if y.sql.text == "?" else "0 & ({0} = {1})"
        kinds = f"WHEN 'text' THEN NULL WHEN 'blob' THEN {nan}"
        return x.apply(f"CASE typeof({{0}}) {kinds} ELSE {test} END", y.sql)
    differ = "(typeof({0}) = 'text') <> (typeof({1}) = 'text')"
    strange = "typeof({0}) = 'blob' OR typeof({1}) = 'blob'"
    return x.apply(
        f"CASE WHEN {differ} THEN NULL WHEN {strange} THEN 0 & ({{0}} = {{1}}) ELSE {test} END",
        y.sql,
    )


def _is_sure(operand: Operand) -> bool:
    """Say whether the type of a value is known, NaN excluded."""
    return operand.clean and operand.type in ("number", "text")
