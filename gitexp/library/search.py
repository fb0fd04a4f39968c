"""Search passages and methods: BM25 of FTS5 over words, and identifiers that are like a word.

A question is its words, and for each compound (``QK-norm``, ``RMSNorm``) its parts in a row; a
passage that has any of them is found, and ranked by BM25 with a weight for each column. A longer
word is found in its other forms as well (``positional``, ``position``), by its beginning. To that
comes half of the score for identifiers that are like one of its rarer words
(`gitexp.library.identifiers`). What tells little is left out where other words remain: words that
say nothing of a subject, and of many passages a word that a quarter of them have, which also costs
the most.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping

from gitexp.library.identifiers import alike, analyse
from gitexp.light import NamedTuple

MAX_CHARACTERS = 10_000
"""Of a question that are read."""

MAX_WORDS = 48
"""Distinct words of a question that count, the first ones."""

_LIKE_WEIGHT = 0.5
_COMMON = 0.25
_OFTEN = 0.01
"""A word that more passages have finds enough, without identifiers that are like it."""

_MANY = 1_000
"""So many passages, or methods, can have common words."""
_LONG = 7
"""Letters from which on a word has other forms, which differ in its last ones (`_ENDING`)."""
_ENDING = 3
_EMPTY = frozenset(
    """a an and are as at better by cheaper faster for from good how in is it less make more my of
    on or our than that the this to try use using what which with without""".split()  # noqa: SIM905
)
"""Words that say nothing of a subject: small ones, and wishes."""
_MIN_LETTERS = 4
"""Of a word that identifiers can be like."""


class Hit(NamedTuple):
    """A row of a full-text table that a question found, with a score above 0."""

    number: int
    score: float


class Question(NamedTuple):
    """What is asked for.

    Attributes:
        phrases: Words, and rows of words, as FTS5 takes them.
        like: Identifiers -> how like they are to a word of the question.
    """

    phrases: tuple[str, ...]
    like: Mapping[str, float]

    @property
    def terms(self) -> tuple[str, ...]:
        """All words that may be found in a text."""
        return (*self.phrases, *self.like)


Likeness = dict[str, dict[str, float]]
"""Word -> the identifiers that are like it; remembered, since a question is often asked twice."""


def understand(
    db: sqlite3.Connection, table: str, query: str, known: Likeness | None = None
) -> Question:
    """Return what a question asks of a full-text table.

    Args:
        db: The database of the library.
        table: ``passage_text`` or ``method_text``.
        query: As it was asked.
        known: What was found out of words before, in this state of the database; it grows.
    """
    known = {} if known is None else known
    asked = analyse(query[:MAX_CHARACTERS])
    found = list(dict.fromkeys(asked.words))[:MAX_WORDS]
    rows = [" ".join(pieces) for pieces in asked.parts[:MAX_WORDS]]
    frequencies = _frequencies(db, table, found)
    full = [word for word in found if word not in _EMPTY] or found
    telling = [word for word in full if frequencies[word] <= _COMMON] or full
    phrases = tuple(dict.fromkeys([*telling, *rows]))
    like: dict[str, float] = {}
    for word in telling:
        rare = len(word) >= _MIN_LETTERS and frequencies[word] <= _OFTEN
        if rare or word in asked.identifiers:
            if word not in known:
                known[word] = alike(db, word)
            for other, likeness in known[word].items():
                if other not in phrases:
                    like[other] = max(likeness, like.get(other, 0.0))
    return Question(phrases, like)


def find(db: sqlite3.Connection, table: str, question: Question, limit: int) -> list[Hit]:
    """Return the best rows of a full-text table, the best first.

    Args:
        db: The database of the library.
        table: ``passage_text`` or ``method_text``.
        question: What is asked for.
        limit: At most so many.
    """
    scores = dict(_match(db, table, question.phrases, limit))
    for number, score in _match(db, table, question.like, limit):
        scores[number] = scores.get(number, 0.0) + _LIKE_WEIGHT * score
    best = sorted(scores.items(), key=lambda item: (-item[1], item[0]))[:limit]
    return [Hit(number, score) for number, score in best]


def _match(
    db: sqlite3.Connection, table: str, phrases: Iterable[str], limit: int
) -> list[tuple[int, float]]:
    asked = " OR ".join(map(_as_asked, phrases))
    if not asked:
        return []
    sql = f"SELECT rowid, -rank FROM {table} WHERE {table} MATCH ? ORDER BY rank LIMIT ?"  # noqa: S608
    return db.execute(sql, (asked, limit)).fetchall()


def _as_asked(phrase: str) -> str:
    """Return a word, or words in a row, as FTS5 takes them; a long word in all its forms."""
    if len(phrase) >= _LONG and phrase.isalpha():
        return f'"{phrase[:-_ENDING]}" *'
    return f'"{phrase}"'


def _frequencies(db: sqlite3.Connection, table: str, found: Iterable[str]) -> dict[str, float]:
    """Return in which part of the rows each word stands; 0 for all words of a small table."""
    (rows,) = db.execute(f"SELECT count(*) FROM {table}_docsize").fetchone()  # noqa: S608
    if rows < _MANY:
        return dict.fromkeys(found, 0.0)
    sql = f"SELECT doc FROM {table}_words WHERE term = ?"  # noqa: S608
    counts = {word: db.execute(sql, (word,)).fetchone() for word in found}
    return {word: row[0] / rows if row is not None else 0.0 for word, row in counts.items()}
