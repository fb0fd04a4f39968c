"""Pieces of SQL with their parameters, and how deep they are for SQLite.

SQLite (before 3.46) parses with a stack of 100 entries, and any SQLite refuses expressions higher
than 1000. Each piece knows what it needs of both, so that the limit that is met is ours.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Sequence
from typing import Any

MAX_STACK = 70
"""Of 100: the rest is for the statement around an expression."""
MAX_HEIGHT = 800

_LEAF_STACK = 12
_LEAF_HEIGHT = 8
_PLACE = re.compile(r"\{([0-9])\}")


class Sql:
    """An SQL expression that any operator can take as it is: a primary, or in parentheses.

    Attributes:
        parameters: In the order of the ``?`` in ``text``.
        stack: Entries of the parser's stack that it takes, at most; `height` likewise.
    """

    __slots__ = ("height", "parameters", "stack", "text")

    def __init__(
        self,
        text: str,
        parameters: Sequence[Any] = (),
        stack: int = _LEAF_STACK,
        height: int = _LEAF_HEIGHT,
    ) -> None:
        self.text = text
        self.parameters = list(parameters)
        self.stack = stack
        self.height = height


def fill(template: str, *pieces: Sql, around: int = 1, height: int = 1) -> Sql:
    """Return a template with pieces in the places ``{0}``, ``{1}`` and on.

    Args:
        template: SQL.
        pieces: What goes into it; one may be used several times.
        around: Entries of the parser's stack that are open before a piece.
        height: Levels of expression above a piece.
    """
    text: list[str] = []
    parameters: list[Any] = []
    for i, part in enumerate(_PLACE.split(template)):
        if i % 2:
            piece = pieces[int(part)]
            text.append(piece.text)
            parameters += piece.parameters
        else:
            text.append(part)
    stack = around + max((p.stack for p in pieces), default=_LEAF_STACK)
    high = height + max((p.height for p in pieces), default=_LEAF_HEIGHT)
    return Sql("".join(text), parameters, stack, high)


def join(word: str, pieces: Sequence[Sql]) -> Sql:
    """Return all pieces with ``AND`` or ``OR`` between them, as a tree that is nowhere deep.

    The two that need least of the stack are joined first, and of two the needier one is to the
    left, where it costs a single entry.
    """
    heap = [(piece.stack, i, piece) for i, piece in enumerate(pieces)]
    heapq.heapify(heap)
    while len(heap) > 1:
        low, high = heapq.heappop(heap), heapq.heappop(heap)
        left, right = high[2], low[2]
        made = Sql(
            f"({left.text} {word} {right.text})",
            left.parameters + right.parameters,
            max(1 + left.stack, 3 + right.stack),
            1 + max(left.height, right.height),
        )
        heapq.heappush(heap, (made.stack, low[1], made))
    return heap[0][2]
