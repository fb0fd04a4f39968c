"""Tokens -> tree, by precedence climbing: the grammar is Python's, cut down to questions.

Nesting and size are limited here, before anything recurses. Chains of ``and`` and ``or`` are one
node with many items, so their length is no depth.
"""

from __future__ import annotations

from typing import NamedTuple

from gitexp.errors import QueryError
from gitexp.query.tokens import Source, Token, tokenize

MAX_NESTING = 100
MAX_NODES = 2000

_OR, _AND, _NOT, _COMPARE, _SUM, _PRODUCT, _SIGN = range(1, 8)
_COMPARISONS = frozenset(["<", "<=", ">", ">=", "==", "!=", "in", "not", "is"])
_BINDS = {
    "or": _OR,
    "and": _AND,
    **dict.fromkeys(_COMPARISONS, _COMPARE),
    **dict.fromkeys("+-", _SUM),
    **dict.fromkeys("*/", _PRODUCT),
}
_CONSTANTS = {"True": True, "true": True, "False": False, "false": False, "None": None}
_CONSTANTS |= {"none": None}
_FOREIGN = {
    "=": "Compare with ==",
    "<>": "Write != for 'is not equal'.",
    "&&": "Write 'and'.",
    "&": "Write 'and'.",
    "||": "Write 'or'.",
    "|": "Write 'or'.",
    "!": "Write 'not', or != for 'is not equal'.",
    "**": "There are only + - * and /",
    "//": "There are only + - * and /",
    "%": "There are only + - * and /",
    ".": "A dot joins the parts of a name: params.lr",
    "AND": "Write 'and' in small letters.",
    "OR": "Write 'or' in small letters.",
    "NOT": "Write 'not' in small letters.",
    "IN": "Write 'in' in small letters.",
    "IS": "Write 'is' in small letters.",
}
_SHOWN = 40
_ORDERS = {"asc": False, "desc": True}

Scalar = int | float | str | bool | None


class Node:
    """A part of an expression and its place in the text."""

    __slots__ = ("end", "source", "start")

    def __init__(self, source: Source, start: int, end: int) -> None:
        self.source = source
        self.start = start
        self.end = end

    @property
    def text(self) -> str:
        """This part as it was written."""
        return self.source.text[self.start : self.end]

    def error(self, message: str, hint: str | None = None) -> QueryError:
        """Return an error that points here."""
        return self.source.error(self.start, message, hint)


class Constant(Node):
    """A number, a text, True, False or None."""

    __slots__ = ("value",)

    def __init__(self, source: Source, start: int, end: int, value: Scalar) -> None:
        super().__init__(source, start, end)
        self.value = value


class Name(Node):
    """A name; ``path`` is its dotted path without quotes."""

    __slots__ = ("path",)

    def __init__(self, source: Source, start: int, end: int, path: str) -> None:
        super().__init__(source, start, end)
        self.path = path


class Items(Node):
    """Several nodes: a list of constants; base of ``and``, ``or`` and calls."""

    __slots__ = ("items",)

    def __init__(self, source: Source, start: int, end: int, items: list[Node]) -> None:
        super().__init__(source, start, end)
        self.items = items


class And(Items):
    """All of them hold."""

    __slots__ = ()


class Or(Items):
    """One of them holds."""

    __slots__ = ()


class Call(Items):
    """A function and its arguments."""

    __slots__ = ("function",)

    def __init__(
        self, source: Source, start: int, end: int, items: list[Node], function: str
    ) -> None:
        super().__init__(source, start, end, items)
        self.function = function


class Unary(Node):
    """Base of what has one operand."""

    __slots__ = ("operand",)

    def __init__(self, source: Source, start: int, end: int, operand: Node) -> None:
        super().__init__(source, start, end)
        self.operand = operand


class Not(Unary):
    """The operand does not hold."""

    __slots__ = ()


class Negative(Unary):
    """The operand with the other sign."""

    __slots__ = ()


class Arithmetic(Node):
    """``left operator right`` with one of ``+ - * /``."""

    __slots__ = ("left", "operator", "right")

    def __init__(self, source: Source, left: Node, operator: str, right: Node) -> None:
        super().__init__(source, left.start, right.end)
        self.left = left
        self.operator = operator
        self.right = right


class Compare(Items):
    """A chain of comparisons: ``operators[i]`` stands between ``items[i]`` and ``items[i + 1]``.

    Operators are those of Python, ``is`` and ``is not`` turned into ``==`` and ``!=``.
    """

    __slots__ = ("operators",)

    def __init__(self, source: Source, items: list[Node], operators: list[str]) -> None:
        super().__init__(source, items[0].start, items[-1].end, items)
        self.operators = operators

    def pairs(self) -> list[tuple[Node, str, Node]]:
        """Return the comparisons of the chain, each as left, operator, right."""
        return list(zip(self.items, self.operators, self.items[1:], strict=False))


class Item(NamedTuple):
    """One column or sort key.

    Attributes:
        text: As it was written, without ``asc`` or ``desc``.
        descending: For a sort key: the largest first.
    """

    node: Node
    text: str
    descending: bool = False


def parse(text: str) -> Node:
    """Return the tree of an expression.

    Raises:
        QueryError: It is none; the message points at the place.
    """
    parser = _Parser(text)
    node = parser.expression(0)
    parser.expect_end()
    return node


def parse_list(text: str, *, order: bool = False) -> list[Item]:
    """Return the expressions of a comma separated list.

    Args:
        text: Columns, or sort keys.
        order: They are sort keys: ``-EXPR`` and ``EXPR desc`` sort the largest first.

    Raises:
        QueryError: One is no expression, or there is none.
    """
    parser = _Parser(text)
    items = [parser.item(order=order)]
    while parser.accept(",") and parser.token.kind != "end":
        items.append(parser.item(order=order))
    parser.expect_end()
    return items


class _Parser:
    """Precedence climbing over the tokens: two frames of Python a level."""

    def __init__(self, text: str) -> None:
        self.source, self.tokens = tokenize(text)
        self.position = 0
        self.nesting = 0
        self.nodes = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def take(self) -> Token:
        token = self.tokens[self.position]
        self.position += 1
        return token

    def accept(self, kind: str) -> bool:
        if self.token.kind != kind:
            return False
        self.position += 1
        return True

    def count(self, node: Node) -> Node:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            message = f"The expression has more than {MAX_NODES:,} parts."
            raise node.error(message, "Ask for less at once.")
        return node

    def item(self, *, order: bool) -> Item:
        start = self.token.start
        node = self.expression(0)
        text, descending = self.source.text[start : self.last_end], False
        if order and self.token.kind == "path" and self.token.value in _ORDERS:
            descending = _ORDERS[str(self.take().value)]
        elif order and isinstance(node, Negative):
            node, descending = node.operand, True
        elif order and isinstance(node, Constant) and type(node.value) in (int, float):
            raise node.error("A number is no sort key.", "Name what to sort by.")
        return Item(node, text, descending)

    def expression(self, least: int) -> Node:
        """Return the longest expression here whose operators bind at least so tightly."""
        self.nesting += 1
        if self.nesting > MAX_NESTING:
            message = f"The expression is nested more than {MAX_NESTING} levels deep."
            raise self.source.error(self.token.start, message, "Ask for less at once.")
        node = self.prefix(least)
        while True:
            binds = _BINDS.get(self.token.kind, 0)
            if not binds or binds < least:
                break
            node = self.infix(node, binds)
        self.nesting -= 1
        return node

    def infix(self, left: Node, binds: int) -> Node:
        if binds >= _SUM:
            operator = self.take().kind
            right = self.expression(binds + 1)
            return self.count(Arithmetic(self.source, left, operator, right))
        if binds == _COMPARE:
            return self.comparison(left)
        kind = self.token.kind
        made = And if kind == "and" else Or
        items = list(left.items) if type(left) is made else [left]
        while self.accept(kind):
            right = self.expression(binds + 1)
            items += right.items if type(right) is made else [right]
        return self.count(made(self.source, left.start, right.end, items))

    def comparison(self, left: Node) -> Node:
        items, operators = [left], []
        while self.token.kind in _COMPARISONS:
            operators.append(self.comparison_operator())
            items.append(self.expression(_COMPARE + 1))
        return self.count(Compare(self.source, items, operators))

    def comparison_operator(self) -> str:
        token = self.take()
        if token.kind == "not":
            if not self.accept("in"):
                raise self.unexpected(self.tokens[self.position - 1])
            return "not in"
        if token.kind != "is":
            return token.kind
        negated = self.accept("not")
        if self.token.kind not in ("None", "none"):
            raise self.source.error(
                token.start, "'is' asks only for None.", "Compare with == or != instead."
            )
        return "!=" if negated else "=="

    def prefix(self, least: int) -> Node:
        token = self.take()
        if token.kind in ("number", "string", *_CONSTANTS):
            return self.constant(token, _CONSTANTS.get(token.kind, token.value))
        if token.kind == "path":
            return self.name(token)
        if token.kind == "-":
            return self.negative(token)
        if token.kind == "not" and least <= _NOT:
            operand = self.expression(_NOT)
            return self.count(Not(self.source, token.start, self.last_end, operand))
        if token.kind == "(":
            return self.parenthesis(token)
        if token.kind == "[":
            items = self.arguments("]")
            return self.count(Items(self.source, token.start, self.last_end, items))
        raise self.unexpected(token)

    @property
    def last_end(self) -> int:
        return self.tokens[self.position - 1].end

    def constant(self, token: Token, value: Scalar) -> Node:
        return self.count(Constant(self.source, token.start, token.end, value))

    def negative(self, token: Token) -> Node:
        operand = self.expression(_SIGN)
        value = operand.value if isinstance(operand, Constant) else None
        if type(value) in (int, float):
            return self.count(Constant(self.source, token.start, self.last_end, -value))  # type: ignore[operator]
        return self.count(Negative(self.source, token.start, self.last_end, operand))

    def parenthesis(self, opening: Token) -> Node:
        if self.accept(")"):
            return self.count(Items(self.source, opening.start, self.last_end, []))
        node = self.expression(0)
        if self.token.kind == ",":
            self.take()
            items = [node, *self.arguments(")")]
            return self.count(Items(self.source, opening.start, self.last_end, items))
        if not self.accept(")"):
            raise self.unexpected(self.token, opening)
        return node

    def arguments(self, closing: str) -> list[Node]:
        """Return what stands between commas up to a closing bracket, which is taken too."""
        opening = self.tokens[self.position - 1]
        items: list[Node] = []
        while not self.accept(closing):
            items.append(self.expression(0))
            if self.token.kind != closing and not self.accept(","):
                raise self.unexpected(self.token, opening)
        return items

    def name(self, token: Token) -> Node:
        path = str(token.value)
        if self.token.kind == "(":
            return self.call(token)
        while self.accept("["):
            key = self.take()
            if key.kind not in ("string", "number"):
                message = "A key in brackets is a text: params['my param']."
                raise self.source.error(key.start, message, "Put it in quotes.")
            path += f".{key.value}" if key.kind == "string" else f".{self.written(key)}"
            if not self.accept("]"):
                raise self.unexpected(self.token)
        return self.count(Name(self.source, token.start, self.last_end, path))

    def written(self, token: Token) -> str:
        return self.source.text[token.start : token.end]

    def call(self, token: Token) -> Node:
        if not token.plain:
            raise self.source.error(
                token.start,
                f"{self.written(token)!r} cannot be called: names have no methods.",
                "Write matches(name, '^abc') or 'abc' in name to look into a text.",
            )
        self.take()
        items = self.arguments(")")
        function = str(token.value)
        return self.count(Call(self.source, token.start, self.last_end, items, function))

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected(self.token)

    def unexpected(self, token: Token, opening: Token | None = None) -> QueryError:
        """Return the error for a token that cannot stand where it stands."""
        written = self.written(token)
        hint = _FOREIGN.get(written)
        if token.kind == "end":
            if len(self.tokens) == 1:
                return QueryError("The expression is empty.", "Write one: acc > 0.9")
            if opening is not None:
                message = f"The {opening.kind!r} that is open here is not closed."
                return self.source.error(opening.start, message, "Close it.")
            return self.source.error(
                token.start, "The expression ends too early.", "Write what should stand here."
            )
        if hint is None and token.kind in ("path", "number", "string"):
            hint = "Put an operator before it, or the whole name in backquotes: `val loss`."
        if hint is None and token.kind == ",":
            hint = "Give one expression here, without commas."
        shown = written if len(written) <= _SHOWN else f"{written[:_SHOWN]}…"
        return self.source.error(token.start, f"{shown!r} cannot stand here.", hint)
