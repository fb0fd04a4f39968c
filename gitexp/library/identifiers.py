"""Identifiers in texts: which words are some, what their parts are, and which are alike.

``qk_norm``, ``QK-norm``, ``SwiGLU`` and ``rope2d`` are identifiers: words with a separator, an
inner capital, or digits among letters. Their likeness is that of PostgreSQL's ``pg_trgm``: of the
trigrams of both, the part that they have in common (Jaccard's coefficient), and its threshold.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable

from gitexp.light import NamedTuple
from gitexp.query.text import words

LIKE = 0.3
"""From here on identifiers are taken for alike, as in ``pg_trgm``."""

_SEPARATORS = re.compile(r"[^a-z0-9]+")
_CAMEL = re.compile(r"\b(?:[A-Za-z0-9]*[a-z0-9][A-Z]|[A-Z]{2,}[a-z])[A-Za-z0-9]*")
_HUMP = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+")
_MIN_LETTERS = 3
_MAX_LETTERS = 64
_ALIKE = 8
"""Identifiers that one word of a question stands for at most, beside itself."""


class Terms(NamedTuple):
    """What a text consists of, for full-text tables.

    Attributes:
        words: In order.
        identifiers: Those of the words that are some.
        parts: Of each compound word: ``QK-norm`` is ``qk, norm``. Numbers are no parts.
    """

    words: list[str]
    identifiers: set[str]
    parts: list[list[str]]


def analyse(text: str) -> Terms:
    """Return what a text consists of, in time that is linear in its length."""
    found = words(text)
    camels = _CAMEL.findall(text)
    coined = {word for word in found if not word.isalpha() and not word[0].isdigit()}
    split = [_SEPARATORS.split(word) for word in found if not word.isalnum()]
    split += [_HUMP.findall(camel) for camel in camels]
    parts = [[piece.lower() for piece in pieces if piece.isalpha()] for pieces in split]
    whole = [pieces for pieces, all_of_it in zip(parts, split, strict=True) if len(all_of_it) > 1]
    return Terms(found, coined.union(*map(words, camels)), [pieces for pieces in whole if pieces])


def trigrams(word: str) -> set[str]:
    """Return the trigrams of a word without its separators, padded; empty where it is too short."""
    letters = _SEPARATORS.sub("", word)[:_MAX_LETTERS]
    if len(letters) < _MIN_LETTERS:
        return set()
    padded = f"  {letters} "
    return {padded[i : i + 3] for i in range(len(padded) - 2)}


def remember(db: sqlite3.Connection, found: Iterable[str]) -> None:
    """Put identifiers into the table of trigrams; those that are there stay as they are."""
    for word in sorted(found):
        grams = trigrams(word) if "~" not in word else set()
        if grams:
            sql = "INSERT OR IGNORE INTO identifier (word, grams) VALUES (?, ?)"
            added = db.execute(sql, (word, len(grams)))
            if added.rowcount == 1:
                rows = [(gram, added.lastrowid) for gram in grams]
                db.executemany("INSERT INTO trigram VALUES (?, ?)", rows)


def alike(db: sqlite3.Connection, word: str) -> dict[str, float]:
    """Return the identifiers that are like a word, without itself, each with its likeness."""
    grams = trigrams(word)
    if not grams:
        return {}
    marks = ", ".join("?" * len(grams))
    # A likeness of L needs a part L of each one's trigrams to be common.
    sql = f"""
        SELECT word, common / ({len(grams)} + grams - common) AS likeness
        FROM (
            SELECT identifier, count(*) * 1.0 AS common FROM trigram
            WHERE gram IN ({marks}) GROUP BY identifier HAVING count(*) >= ?
        ) JOIN identifier ON number = identifier
        WHERE likeness >= ? AND word != ? ORDER BY likeness DESC, word LIMIT ?
    """  # noqa: S608 - question marks and a number
    asked = (*sorted(grams), LIKE * len(grams), LIKE, word, _ALIKE)
    return dict(db.execute(sql, asked).fetchall())
