"""What of a condition an index can answer: ranges of one column, with bounds as SQLite orders.

SQLite orders numbers before texts before blobs. So a range of numbers without an upper bound ends
before the empty text, and one of texts before the empty blob, which is where NaN is kept.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, NamedTuple

from gitexp.query.compile import summary_column, time_constant
from gitexp.query.names import OWN, Catalog, Target
from gitexp.query.operands import FLIPPED, sql_constant
from gitexp.query.syntax import And, Call, Compare, Constant, Items, Name, Node

_SUMMARIES = ("min", "max", "mean", "last", "best")


class Range(NamedTuple):
    """Exactly the runs for which a condition holds, as values of one column.

    Attributes:
        kind: The table; ``started`` is the column of ``run``.
        column: The column with the value: ``value``, ``last``, ``min``, ``max``, ``mean``,
            ``started`` or ``tag``.
        path: Number of the path in ``field`` or ``metric``. None there: no run fits.
        low: Lower bound; None for none. `low_open`: the bound itself is outside.
        high: Upper bound; None for none. `high_open` likewise.
        equal: The value is one of these; then there are no bounds.
    """

    kind: Literal["field", "metric", "started", "tag"]
    column: str
    path: int | None = None
    low: Any = None
    low_open: bool = False
    high: Any = None
    high_open: bool = False
    equal: tuple[Any, ...] | None = None


def conjuncts(node: Node) -> list[Node]:
    """Return the conditions that must all hold: the parts of an ``and``, else the node itself."""
    return list(node.items) if isinstance(node, And) else [node]


def simple_range(node: Node, catalog: Catalog, now: datetime) -> Range | None:
    """Return a condition as the range of a column; None if it is anything else.

    The condition holds for a run exactly if its value is in the range, so it need not be asked
    again. Taken are ``NAME op CONSTANT`` either way round, chains such as ``0 < lr < 1``, and
    ``NAME in [...]``, over parameters, metadata, metrics, ``started`` and tags.

    Raises:
        QueryError: A time is none.
        GitexpError: A name is unknown or ambiguous.
    """
    if not isinstance(node, Compare):
        return None
    found = [_subject(item, catalog) for item in node.items]
    subjects = [(i, range_) for i, range_ in enumerate(found) if range_ is not None]
    if len(subjects) != 1:
        return None
    place, subject = subjects[0]
    if subject.kind == "tag":
        return _tags(node, place)
    if len(node.operators) == 1 and node.operators[0] in ("in", "=="):
        return _equal(node, place, subject, now)
    return _bounds(node, place, subject, now)


def _subject(node: Node, catalog: Catalog) -> Range | None:
    """Return the whole range of a name that has a column; None for what is no such name."""
    if isinstance(node, Call) and node.function in _SUMMARIES and len(node.items) == 1:
        inner = node.items[0]
        if not isinstance(inner, Name):
            return None
        target = catalog.resolve_metric(inner.path)
        column = summary_column(node.function, target.path, catalog)
        return Range("metric", column, target.number)
    if not isinstance(node, Name):
        return None
    return _whole(catalog.resolve(node.path))


def _whole(target: Target) -> Range | None:
    if target.kind == "field":
        return Range("field", "value", target.number)
    if target.kind == "metric":
        return Range("metric", "last", target.number)
    if target.path == "started":
        return Range("started", "started")
    return Range("tag", "tag") if OWN[target.path][0] == "tags" else None


def _tags(node: Compare, place: int) -> Range | None:
    """Return ``tag == "a"``, ``tag in [...]`` or ``"a" in tags`` as a range."""
    if len(node.operators) != 1:
        return None
    operator, other = node.operators[0], node.items[1 - place]
    if isinstance(other, Constant) and isinstance(other.value, str):
        if operator == "==" or (operator == "in" and place == 1):
            return Range("tag", "tag", equal=(other.value,))
        return None
    if operator != "in" or place != 0 or type(other) is not Items:
        return None
    values = _constants(other)
    if values is None or not all(isinstance(value, str) for value in values):
        return None
    return Range("tag", "tag", equal=values)


def _constants(node: Items) -> tuple[Any, ...] | None:
    """Return the constants of a list without repetition; None if one is no value."""
    found: dict[Any, None] = {}
    for item in node.items:
        if not isinstance(item, Constant) or item.value is None:
            return None
        found[sql_constant(item)] = None
    return tuple(found)


def _equal(node: Compare, place: int, subject: Range, now: datetime) -> Range | None:
    other = node.items[1 - place]
    if node.operators[0] == "in":
        if place != 0 or type(other) is not Items:
            return None
        items: list[Node] = other.items
    else:
        items = [other]
    if not all(isinstance(item, Constant) and item.value is not None for item in items):
        return None
    values = [_value(item, subject, now) for item in items if isinstance(item, Constant)]
    return subject._replace(equal=tuple(dict.fromkeys(values)))


def _value(node: Constant, subject: Range, now: datetime) -> Any:
    return time_constant(node, now) if subject.kind == "started" else sql_constant(node)


def _bounds(node: Compare, place: int, subject: Range, now: datetime) -> Range | None:
    """Return ``low < NAME < high`` or one half of it as a range."""
    lows: list[tuple[Any, bool]] = []
    highs: list[tuple[Any, bool]] = []
    for i, operator in enumerate(node.operators):
        if place not in (i, i + 1) or operator not in FLIPPED or operator == "==":
            return None
        other = node.items[i + 1 if place == i else i]
        if not isinstance(other, Constant) or other.value is None:
            return None
        direction = operator if place == i else FLIPPED[operator]
        bounds = highs if direction in ("<", "<=") else lows
        bounds.append((_value(other, subject, now), direction in ("<", ">")))
    if len(lows) > 1 or len(highs) > 1:
        return None
    values = [value for value, _ in lows + highs]
    texts = [isinstance(value, str) for value in values]
    if any(texts) != all(texts) or (any(texts) and subject.kind == "metric"):
        return None
    return _closed(subject, lows, highs, text=any(texts))


def _closed(
    subject: Range, lows: list[tuple[Any, bool]], highs: list[tuple[Any, bool]], *, text: bool
) -> Range:
    """Return a range with bounds, the missing ones put where its type ends."""
    low, low_open = lows[0] if lows else ("" if text else None, False)
    if highs:
        high, high_open = highs[0]
    elif subject.kind == "started":
        high, high_open = None, False
    else:
        high, high_open = (b"" if text else ""), True
    return subject._replace(low=low, low_open=low_open, high=high, high_open=high_open)
