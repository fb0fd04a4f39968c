"""How alike two texts are to MemoryLab: 0 to 1, of letters, words, concepts and numbers."""

from __future__ import annotations

from difflib import SequenceMatcher

from gitexp.light import NamedTuple
from gitexp.memorylab import words

_LETTERS, _WORDS, _CONCEPTS, _NUMBERS = 0.30, 0.35, 0.25, 0.10
_DIGITS = 3
_ROUNDING = 10**-_DIGITS
"""More than rounding can add to a value."""

_SAME = 0.96


class Reading(NamedTuple):
    """A text as it is compared.

    Attributes:
        text: Normalised.
        tokens: The words that count; `concepts` and `numbers` likewise.
    """

    text: str
    tokens: frozenset[str]
    concepts: frozenset[str]
    numbers: frozenset[str]


def read(text: str) -> Reading:
    """Return a text as it is compared."""
    normal = words.normalised(text)
    return Reading(normal, words.tokens(normal), words.concepts(normal), words.numbers(normal))


def similarity(a: Reading, b: Reading) -> float:
    """Return how alike two texts are, rounded to three digits.

    It is .30 of `difflib.SequenceMatcher.ratio` of the normalised texts, .35 of the Jaccard index
    of their tokens, .25 of that of their concepts and .10 of that of their numbers.
    """
    return _sum(a, b, SequenceMatcher(None, a.text, b.text).ratio())


def similarity_from(a: Reading, b: Reading, least: float) -> float | None:
    """Return `similarity`, or None where it is below ``least``.

    Almost all pairs are told by their sets, by lengths or by counts of letters, each an upper
    bound of the ratio: that takes a hundredth of the time.
    """
    needed = (least - _ROUNDING - _sum(a, b, 0.0)) / _LETTERS
    if needed > 1:
        return None
    matcher = SequenceMatcher(None, a.text, b.text)
    if matcher.real_quick_ratio() < needed or matcher.quick_ratio() < needed:
        return None
    found = _sum(a, b, matcher.ratio())
    return found if found >= least else None


def is_same(a: Reading, b: Reading, score: float) -> bool:
    """Say whether two texts count as the same idea."""
    return a.text == b.text or (score >= _SAME and a.tokens == b.tokens)


def _sum(a: Reading, b: Reading, letters: float) -> float:
    return round(
        _LETTERS * letters
        + _WORDS * _jaccard(a.tokens, b.tokens)
        + _CONCEPTS * _jaccard(a.concepts, b.concepts)
        + _NUMBERS * _jaccard(a.numbers, b.numbers),
        _DIGITS,
    )


def _jaccard(a: frozenset[str], b: frozenset[str]) -> float:
    """Return the Jaccard index of two sets; 0 where both are empty."""
    common = len(a & b)
    return common / (len(a) + len(b) - common) if common else 0.0
