"""Words of an idea, compared with those of another: decimals, signs, units and direction kept.

``0.04`` is one word and not ``0.4``; ``-0.1``, ``1e-4``, ``300s`` and ``2x`` are words. "Increase",
"raise" and their like are all ``up``, and their opposites ``down``
(`gitexp.research.guard.aliases`).

The likeness of two texts is the weight of the words in both by that of the words in either, where
a word weighs its inverse document frequency, ``ln(1 + N / n)``. It is lowered where they set one
symbol to different values, or move it in opposite directions. It is a reason to look, never to
refuse.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence

from gitexp.research.guard.aliases import DOWN, UP, Aliases
from gitexp.research.guard.values import shown, value_of

MAX_CHARACTERS = 20_000
"""Of a text that are looked at."""

OTHER_VALUES = 0.4
"""What is left of a likeness where one symbol is set to different values or moved apart."""
OTHER_NUMBERS = 0.7
"""Likewise where both texts have numbers and share none."""

STOP = frozenset(
    "a an and are as at be but by can do for from had has have i if in instead into is it its keep"  # noqa: SIM905
    " let me no not now of on or our so than that the their them then there this to try trying use"
    " used uses using via was we were what when which while will with without exp experiment test"
    " run idea set".split()
)
_NUMBER = (
    r"(?:(?<![\w.)\]])[-+](?=\.?\d))?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d[\d_]*|(?=\.\d))(?:\.\d+)?"
    r"(?:e[-+]?\d+)?(?:(?:\*\*|\^)\d+)?(?:%|\u00d7|[a-z]{1,4}\b)?"
)
_WORD = re.compile(
    rf"(?P<number>{_NUMBER})|(?P<word>[^\W\d]\w*(?:[.-][^\W_]\w*)*)"
    r"|(?P<mark>->|→|⇒|=>|>>|==?|[:(),;/\n]|\.(?=\s|\Z))"
)
_ARROWS = frozenset(("->", "→", "⇒", "=>", ">>"))
MARKS = frozenset(("->", "=", ":", "(", ")", ",", ";", "/", "\n", "."))
IS_NUMBER = re.compile(r"[-+]?\.?\d")


def marked_words(text: str, aliases: Aliases) -> list[str]:
    """Return words, numbers and marks (``->``, ``=``, ``,``) of a text in order."""
    plain = unicodedata.normalize("NFKC", text[:MAX_CHARACTERS]).casefold()
    plain = aliases.replaced(plain.replace("\u2212", "-"))
    return [_canonical(match) for match in _WORD.finditer(plain)]


def _canonical(match: re.Match[str]) -> str:
    text = match[0]
    if match.lastgroup == "number":
        return text.replace(",", "").replace("_", "").replace("\u00d7", "x").rstrip(".")
    if match.lastgroup == "mark":
        return "->" if text in _ARROWS else text.replace("==", "=")
    return text.replace("-", "_")


def words(marked: Iterable[str]) -> list[str]:
    """Return the words that mean something, without marks, in order; each number in one form."""
    return [_meant(word) for word in marked if word not in STOP and word not in MARKS]


def _meant(word: str) -> str:
    if IS_NUMBER.match(word):
        return shown(value_of(word))
    return "up" if word in UP else "down" if word in DOWN else word


def likeness(
    one: Sequence[str], two: Sequence[str], weight: Callable[[str], float]
) -> tuple[float, list[str]]:
    """Return how alike two lists of words are, 0 to 1, and the words in both, weightiest first.

    Args:
        one: Words of a text.
        two: Of another.
        weight: Of a word, more than 0.
    """
    mine, other = set(one), set(two)
    both = mine & other
    if not both:
        return 0.0, []
    score = sum(map(weight, both)) / sum(map(weight, mine | other))
    numbers = [{word for word in side if IS_NUMBER.match(word)} for side in (mine, other)]
    if all(numbers) and not numbers[0] & numbers[1]:
        score *= OTHER_NUMBERS
    if _direction(mine) * _direction(other) < 0:
        score *= OTHER_VALUES
    return score, sorted(both, key=lambda word: (-weight(word), word))


def _direction(side: set[str]) -> int:
    return ("up" in side) - ("down" in side)


def inverse_frequency(documents: int, having: int) -> float:
    """Return the weight of a word that some of all documents have."""
    return math.log(1 + documents / max(1, having))
