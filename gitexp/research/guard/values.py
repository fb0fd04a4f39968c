"""Values of settings, so that one value has one form: numbers by size, texts by their letters.

``4e-2``, ``0.04`` and ``.04`` are one number, and so are ``2**18``, ``262144`` and ``256k``: a
power of two with a ``k`` counts in 1024, another in 1000; ``m`` likewise. ``4%`` is 0.04; any other
unit stays: ``300s`` is not 300. Texts are the same where their letters and digits are, whatever
their case: ``SwiGLU`` is ``swiglu`` and not ``geglu``.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from typing import Any

Value = float | str

_MAX_LENGTH = 120
_MAX_POWER = 64
_WITH_UNIT = re.compile(
    r"([-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(%|[a-z]{1,4})", re.IGNORECASE
)
_HEXADECIMAL = re.compile(r"[-+]?0[xX][\da-fA-F]+")
_ARITHMETIC = re.compile(r"[\d.eE_+\-*/() ]+", re.ASCII)
_WORDS = {"true": "true", "yes": "true", "on": "true", "false": "false", "no": "false"}
_WORDS |= {"off": "false", "none": "none", "null": "none", "~": "none"}
_OPERATORS: dict[type[ast.AST], Any] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}


def value_of(given: Any) -> Value:
    """Return the one form of a value.

    Args:
        given: As it is written in code or in a text, or as a parameter has it.
    """
    if isinstance(given, bool) or given is None:
        return str(given).lower()
    if isinstance(given, int | float):
        number = _float(given)
        return "nan" if math.isnan(number) else number
    text = str(given).strip()[:_MAX_LENGTH].strip("\"'`")
    if (found := number_of(text)) is not None:
        return found
    plain = re.sub(r"[\s_-]+", "", text.casefold())
    return _WORDS.get(plain, plain)


def number_of(text: str) -> float | None:
    """Return the number that a text is, simple arithmetic and units of counting included."""
    plain = text.strip().replace(",", "").replace("^", "**")
    if len(plain) > _MAX_LENGTH or not any(c.isdigit() for c in plain):
        return None
    if _HEXADECIMAL.fullmatch(plain):
        return _float(int(plain, 16))
    if found := _WITH_UNIT.fullmatch(plain):
        return _with_unit(float(found[1].replace("_", "")), found[2].lower())
    if not _ARITHMETIC.fullmatch(plain):
        return None
    try:
        value = _evaluated(ast.parse(plain, mode="eval").body)
    except (ValueError, SyntaxError, ArithmeticError, MemoryError, RecursionError):
        return None
    return value if math.isfinite(value) else None


def _with_unit(number: float, unit: str) -> float | None:
    if unit == "%":
        return number / 100
    if unit not in ("k", "m") or not math.isfinite(number):
        return None
    power = 1 if unit == "k" else 2
    is_binary = number >= 1 and number == int(number) and not int(number) & (int(number) - 1)
    return float(number * (1024 if is_binary else 1000) ** power)


def _evaluated(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _float(node.value)
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return float(_OPERATORS[type(node.op)](_evaluated(node.operand)))
    if isinstance(node, ast.BinOp):
        left, right = _evaluated(node.left), _evaluated(node.right)
        if isinstance(node.op, ast.Pow) and abs(right) <= _MAX_POWER:
            return float(left**right)
        if type(node.op) in _OPERATORS:
            return float(_OPERATORS[type(node.op)](left, right))
    raise ValueError("no number")


def _float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def shown(value: Value | None) -> str:
    """Return a value for a sentence."""
    if value is None:
        return "?"
    return f"{value:.10g}" if isinstance(value, float) else value
