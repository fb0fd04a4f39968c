"""Tree -> SQLite expression over ``r``, a row of ``run``, with parameters.

The logic is SQL's, with three values: what is missing makes a comparison neither true nor false.
Conditions and values are different things here, unlike in SQL: a comparison is no number. What
SQLite does otherwise than Python is guarded in `gitexp.query.operands`.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Self

from gitexp.errors import GitexpError, QueryError, UsageError
from gitexp.query.names import OWN, Catalog, Target, quoted
from gitexp.query.operands import (
    ALL_TAGS,
    NULL,
    SOME_TAG,
    TAG,
    Operand,
    calculate,
    constant_operand,
    equality,
    looked_up,
    order,
    some_tag,
    sql_constant,
)
from gitexp.query.sql import MAX_HEIGHT, MAX_STACK, Sql, fill, join
from gitexp.query.syntax import (
    And,
    Arithmetic,
    Call,
    Compare,
    Constant,
    Items,
    Name,
    Negative,
    Node,
    Not,
    Or,
    Unary,
    parse,
)
from gitexp.when import parse_when

if TYPE_CHECKING:
    from gitexp.query.regex import Matcher

FUNCTIONS = "min, max, mean, last, best, isnan, any, matches, lower, abs"

_SUMMARIES = {"min": "min", "max": "max", "mean": "mean", "last": "last", "best": ""}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Compiled:
    """An expression as SQL.

    Attributes:
        sql: An SQLite expression that any operator can take as it is; ``r`` is a row of ``run``.
        parameters: In the order of the question marks in ``sql``.
        matcher: What searches with its regular expressions, if it has any; see `Running`.
    """

    __slots__ = ("matcher", "parameters", "sql")

    def __init__(self, sql: Sql, matcher: Matcher | None) -> None:
        self.sql = sql.text
        self.parameters = sql.parameters
        self.matcher = matcher


class Running:
    """While it is entered, statements with these expressions may be run.

    A regular expression that takes too long comes out of the block as the `QueryError` that it
    is; sqlite3 alone would only say that some function raised something.
    """

    def __init__(self, *compiled: Compiled) -> None:
        self._matchers = [c.matcher for c in compiled if c.matcher is not None]

    def __enter__(self) -> Self:
        for matcher in self._matchers:
            matcher.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for matcher in self._matchers:
            matcher.close()
        if isinstance(error, sqlite3.OperationalError):
            for matcher in self._matchers:
                if matcher.failure is not None:
                    raise matcher.failure from None


def compile_condition(expression: str | Node, catalog: Catalog, now: datetime) -> Compiled:
    """Return a condition as SQL that is 1, 0 or NULL for a run.

    Args:
        expression: Text or tree.
        catalog: The names there are.
        now: The present, with its zone: what ``"2 weeks ago"`` counts from.

    Raises:
        QueryError: It cannot be understood; the message points at the place.
    """
    compiler = _Compiler(catalog, now)
    node = parse(expression) if isinstance(expression, str) else expression
    return compiler.finish(node, compiler.condition(node))


def compile_value(expression: str | Node, catalog: Catalog, now: datetime) -> Compiled:
    """Return a value, as for a column or sort key, as SQL; NULL where a run has none.

    A condition gives 1, 0 or NULL. ``tags`` gives them in one text, sorted, with ``, `` between.
    Arguments and errors are those of `compile_condition`.
    """
    compiler = _Compiler(catalog, now)
    node = parse(expression) if isinstance(expression, str) else expression
    return compiler.finish(node, compiler.column(node))


def time_constant(node: Constant, now: datetime) -> int:
    """Return the time that a text names, in microseconds since 1970 UTC.

    Raises:
        QueryError: It is no text, or names no time.
    """
    if not isinstance(node.value, str):
        raise node.error(
            "A time does not compare with this.", "Write it as '2 weeks ago' or '2026-01-31'."
        )
    try:
        return (parse_when(node.value, now) - _EPOCH) // timedelta(microseconds=1)
    except UsageError as error:
        raise node.error(error.message, error.hint) from None


class _Compiler:
    def __init__(self, catalog: Catalog, now: datetime) -> None:
        self.catalog = catalog
        self.now = now
        self.matcher: Matcher | None = None
        self.one_tag = False

    def finish(self, node: Node, sql: Sql) -> Compiled:
        self.check(node, sql)
        return Compiled(sql, self.matcher)

    @staticmethod
    def check(node: Node, sql: Sql) -> Sql:
        if sql.stack > MAX_STACK or sql.height > MAX_HEIGHT:
            raise node.error("This is nested too deeply.", "Ask for less at once.")
        return sql

    # Conditions: SQL that is 1, 0 or NULL.

    def condition(self, node: Node) -> Sql:
        if isinstance(node, And | Or):
            word = "AND" if isinstance(node, And) else "OR"
            return self.check(node, join(word, [self.condition(item) for item in node.items]))
        if isinstance(node, Not):
            return self.check(node, fill("({0} = 0)", self.condition(node.operand)))
        if isinstance(node, Compare):
            return join("AND", [self.compare(node, *pair) for pair in node.pairs()])
        if isinstance(node, Call) and node.function in ("any", "isnan", "matches"):
            return self.test(node)
        return self.truth(node)

    def truth(self, node: Node) -> Sql:
        """Return whether a value counts as true, as in Python."""
        if self.is_tags(node):
            return SOME_TAG
        operand = self.operand(node)
        if operand.type in ("number", "time") and operand.clean:
            return operand.apply("({0} <> 0)")
        if operand.type == "text":
            return operand.apply("({0} <> '')")
        return operand.apply(
            "CASE typeof({0}) WHEN 'text' THEN {0} <> '' WHEN 'blob' THEN 1 ELSE {0} <> 0 END"
        )

    def test(self, node: Call) -> Sql:
        if node.function == "any":
            return self.any_tag(node)
        if node.function == "matches":
            return self.match(node)
        operand = self.operand(self.argument(node, "isnan(loss)"))
        return operand.apply("CASE WHEN {0} IS NOT NULL THEN typeof({0}) = 'blob' END")

    def any_tag(self, node: Call) -> Sql:
        inner = self.argument(node, "any(tag)")
        if self.one_tag:
            raise node.error("any() cannot stand within any().", "One any() is about one tag.")
        if self.is_tags(inner):
            return SOME_TAG
        if not _names_tag(inner):
            raise inner.error("any() asks about tags.", "Write any(tag) or any(tag == 'best').")
        self.one_tag = True
        sql = self.condition(inner)
        self.one_tag = False
        return some_tag(sql)

    def match(self, node: Call) -> Sql:
        usage = "matches(name, '^res')"
        if len(node.items) != 2:  # noqa: PLR2004
            raise node.error("matches() takes a name and a pattern.", f"Write it as {usage}.")
        subject, pattern = node.items
        if not isinstance(pattern, Constant) or not isinstance(pattern.value, str):
            raise pattern.error("The pattern is to be a text in quotes.", f"Write it as {usage}.")
        from gitexp.query.regex import Matcher

        self.matcher = self.matcher or Matcher()
        self.matcher.check(pattern)
        parameters = Sql("?, ?", [pattern.value, self.matcher.number])
        if self.is_tags(subject):
            return some_tag(fill("matches(t.tag, {0})", parameters))
        operand = self.operand(subject)
        if operand.type not in ("text", "any", "none"):
            raise subject.error("matches() looks into texts.", f"Write it as {usage}.")
        return operand.apply("matches({0}, {1})", parameters)

    # Comparisons

    def compare(self, whole: Compare, left: Node, operator: str, right: Node) -> Sql:
        if operator in ("in", "not in"):
            found = self.membership(left, right)
            return found if operator == "in" else fill("({0} = 0)", found)
        for node in (left, right):
            if isinstance(node, Items) and type(node) is Items:
                raise node.error("A list stands only after 'in'.", "Write: x in [1, 2]")
        if self.is_tags(left) or self.is_tags(right):
            return self.compare_tags(whole, left, operator, right)
        for node, other in ((left, right), (right, left)):
            if isinstance(node, Constant) and node.value is None:
                return self.compare_none(node, operator, other)
        x, y = self.operands(left, right)
        sql = equality(x, operator, y) if operator in ("==", "!=") else order(x, operator, y)
        return self.check(whole, sql)

    def compare_none(self, node: Node, operator: str, other: Node) -> Sql:
        if operator not in ("==", "!="):
            raise node.error("None is neither less nor greater.", "Write: x is None")
        word = "IS" if operator == "==" else "IS NOT"
        return fill(f"({{0}} {word} NULL)", self.operand(other).sql)

    def operands(self, left: Node, right: Node) -> tuple[Operand, Operand]:
        """Return both sides of a comparison, texts that stand beside a time turned into times."""
        x, y = self.operand(left), self.operand(right)
        if (x.type == "time") == (y.type == "time"):
            return x, y
        time, other = (left, right) if x.type == "time" else (right, left)
        if not isinstance(other, Constant):
            raise other.error(
                f"{time.text!r} is a time and does not compare with this.",
                "Compare it with a text: '2 weeks ago' or '2026-01-31'.",
            )
        made = Operand("time", Sql("?", [time_constant(other, self.now)]))
        return (x, made) if time is left else (made, y)

    def compare_tags(self, whole: Compare, left: Node, operator: str, right: Node) -> Sql:
        tag, other = (left, right) if self.is_tags(left) else (right, left)
        negated = operator == "!="
        if operator not in ("==", "!="):
            raise whole.error(
                f"{tag.text!r} is several texts, which have no order.",
                "Ask about each: any(tag >= 'v1')",
            )
        if isinstance(other, Constant) and other.value is None:
            return SOME_TAG if negated else fill("({0} = 0)", SOME_TAG)
        if self.is_tags(other):
            raise other.error("Tags do not compare with tags.", "Write: tag == 'best'")
        found = some_tag(equality(TAG, "==", self.operand(other)))
        return fill("({0} = 0)", found) if negated else found

    def membership(self, left: Node, right: Node) -> Sql:
        if type(right) is Items:
            return self.in_list(left, right)
        if self.is_tags(right):
            value = self.constant(left, "'best' in tags")
            return some_tag(equality(TAG, "==", value))
        if isinstance(right, Name) and self.resolve(right) == _TEXT:
            return self.in_text(left)
        if self.is_tags(left):
            raise left.error("Write 'in' with a list of tags.", "Write: tag in ['best', 'final']")
        x, y = self.operand(left), self.operand(right)
        for node, operand in ((left, x), (right, y)):
            if operand.type not in ("text", "any", "none"):
                hint = "After it comes a list, a text, tags or the name of one of these."
                raise node.error("'in' looks for a text in a text.", hint)
        both = "typeof({0}) = 'text' AND typeof({1}) = 'text'"
        return y.apply(f"CASE WHEN {both} THEN instr({{0}}, {{1}}) > 0 END", x.sql)

    def in_text(self, left: Node) -> Sql:
        from gitexp.query.text import match_query

        if not isinstance(left, Constant) or not isinstance(left.value, str):
            raise left.error("Only a text in quotes is searched for.", "Write: 'swiglu' in text")
        query = match_query(left.value)
        if not query:
            raise left.error("There is no word to search for.", "Write: 'swiglu' in text")
        return Sql("(r.number IN (SELECT rowid FROM note_text WHERE note_text MATCH ?))", [query])

    def in_list(self, left: Node, right: Items) -> Sql:
        constants = [self.list_item(item) for item in right.items]
        tags = self.is_tags(left)
        operand = TAG if tags else self.operand(left)
        if not constants:
            return Sql("0")
        values = [c for c in constants if c.value is not None]
        if operand.type == "time":
            parameters = [time_constant(c, self.now) for c in values]
        else:
            parameters = [sql_constant(c) for c in values]
        marks = Sql(", ".join("?" * len(parameters)), parameters)
        found = operand.apply("CASE WHEN {0} IS NOT NULL THEN {0} IN ({1}) END", marks)
        if tags:
            found = some_tag(found)
        if len(values) == len(constants):
            return found
        missing = fill("({0} = 0)", SOME_TAG) if tags else fill("({0} IS NULL)", operand.sql)
        return join("OR", [missing, found])

    def list_item(self, node: Node) -> Constant:
        if not isinstance(node, Constant):
            raise node.error("A list holds only numbers and texts.", "Write: x in [1, 2]")
        return node

    # Values

    def column(self, node: Node) -> Sql:
        if self.is_tags(node):
            return Sql(ALL_TAGS)
        if isinstance(node, Constant) and node.value is None:
            return NULL
        if _is_condition(node):
            return self.condition(node)
        return self.operand(node).sql

    def operand(self, node: Node) -> Operand:
        """Return a value.

        Raises:
            QueryError: The node is a condition or a list, or has several values.
        """
        if isinstance(node, Constant):
            return constant_operand(node)
        if isinstance(node, Name):
            return self.name(node)
        if isinstance(node, Negative):
            sql = self.check(node, fill("(- {0})", self.number(node.operand), around=2))
            return Operand("number", sql)
        if isinstance(node, Arithmetic):
            return Operand("number", self.arithmetic(node))
        if isinstance(node, Call):
            return self.call(node)
        if _is_condition(node):
            raise node.error(
                "This is true or false, and stands where a value is needed.",
                "Join conditions with 'and', 'or' and 'not'.",
            )
        raise node.error("A list stands only after 'in'.", "Write: x in [1, 2]")

    def constant(self, node: Node, example: str) -> Operand:
        if not isinstance(node, Constant) or node.value is None:
            raise node.error("Here stands a text in quotes.", f"Write: {example}")
        return constant_operand(node)

    def resolve(self, node: Name, *, metric: bool = False) -> Target:
        try:
            if metric:
                return self.catalog.resolve_metric(node.path)
            return self.catalog.resolve(node.path)
        except GitexpError as error:
            raise node.error(error.message, error.hint) from None

    def is_tags(self, node: Node) -> bool:
        """Say whether a node is ``tag`` where that is all tags of a run."""
        return isinstance(node, Name) and node.path in ("tag", "tags") and not self.one_tag

    def name(self, node: Name) -> Operand:
        target = self.resolve(node)
        if target.kind == "field":
            return looked_up("any", "field", "value", target.number, clean=False)
        if target.kind == "metric":
            return looked_up("number", "metric", "last", target.number, clean=False)
        kind, sql = OWN[target.path]
        if kind == "tags" and self.one_tag:
            return TAG
        if kind == "tags":
            raise node.error(
                "A run has several tags, or none.",
                "Write: tag == 'best', or about each one: any(lower(tag) == 'best')",
            )
        if kind == "search":
            raise node.error("'text' is all words of a run.", "Write: 'swiglu' in text")
        return Operand(kind, Sql(sql))

    def number(self, node: Node) -> Sql:
        """Return a value as a number, NULL where it is none.

        Raises:
            QueryError: It can never be a number.
        """
        operand = self.operand(node)
        if operand.type not in ("number", "any", "none"):
            raise node.error(
                f"This is a {operand.type}; + - * / and abs() take numbers.",
                "Times have no arithmetic; see 'duration'." if operand.type == "time" else None,
            )
        if operand.clean:
            return operand.sql
        return operand.apply("CASE WHEN typeof({0}) IN ('integer', 'real') THEN {0} END")

    def arithmetic(self, node: Arithmetic) -> Sql:
        """Return a chain of operators without parentheses, as far as its length is no depth."""
        steps = [node]
        while isinstance(steps[-1].left, Arithmetic):
            steps.append(steps[-1].left)
        try:
            made, last = self.number(steps[-1].left), ""
            for step in reversed(steps):
                if step.operator in "*/" and last in "+-":
                    made = fill("({0})", made)
                made = calculate(made, step.operator, self.number(step.right))
                last = step.operator
        except QueryError:
            self.refuse_unquoted(steps)
            raise
        return self.check(node, fill("({0})", made))

    def refuse_unquoted(self, steps: list[Arithmetic]) -> None:
        """Raise a better error where what was taken for arithmetic is a known name."""
        for step in steps:
            if self.catalog.knows(step.text):
                raise step.error(
                    f"{step.text!r} is read as arithmetic here.",
                    f"Write the name in backquotes: {quoted(step.text)}",
                )

    def call(self, node: Call) -> Operand:
        if node.function in _SUMMARIES:
            return self.summary(node)
        if node.function == "abs":
            sql = fill("absolute({0})", self.number(self.argument(node, "abs(x)")), around=3)
            return Operand("number", self.check(node, sql))
        if node.function == "lower":
            return self.lower(node)
        if _is_condition(node):
            raise node.error(f"{node.function}() is true or false, not a value.")
        raise node.error(
            f"There is no function named {node.function!r}.", f"There are {FUNCTIONS}."
        )

    def lower(self, node: Call) -> Operand:
        argument = self.argument(node, "lower(name)")
        operand = self.operand(argument)
        if operand.type not in ("text", "any", "none"):
            raise argument.error("lower() takes a text.", "Write: lower(name) == 'resnet'")
        return Operand("text", self.check(node, operand.apply("lowered({0})")))

    def summary(self, node: Call) -> Operand:
        usage = f"{node.function}(loss)"
        argument = self.argument(node, usage)
        if not isinstance(argument, Name):
            raise argument.error(f"{node.function}() takes a metric.", f"Write: {usage}")
        target = self.resolve(argument, metric=True)
        column = summary_column(node.function, target.path, self.catalog)
        clean = column != "last"
        return looked_up("number", "metric", column, target.number, clean=clean)

    @staticmethod
    def argument(node: Call, usage: str) -> Node:
        if len(node.items) != 1:
            raise node.error(f"{node.function}() takes one argument.", f"Write: {usage}")
        return node.items[0]


def summary_column(function: str, metric: str, catalog: Catalog) -> str:
    """Return the column of ``metric`` that a function of a metric reads."""
    if function != "best":
        return _SUMMARIES[function]
    return "min" if catalog.lower(metric) else "max"


_TEXT = Target("own", "text")


def _is_condition(node: Node) -> bool:
    if isinstance(node, Call):
        return node.function in ("any", "isnan", "matches")
    return isinstance(node, And | Or | Not | Compare)


def _names_tag(node: Node) -> bool:
    """Say whether a condition speaks of tags anywhere."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Name) and node.path in ("tag", "tags"):
            return True
        if isinstance(node, Items):
            waiting += node.items
        elif isinstance(node, Unary):
            waiting.append(node.operand)
        elif isinstance(node, Arithmetic):
            waiting += (node.left, node.right)
    return False
