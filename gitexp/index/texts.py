"""Runs by the words of their texts: which have any of some words, and how many have one.

The best by BM25 come first (Robertson and Zaragoza 2009), as SQLite's FTS5 computes it. Which words
a text has is said by `gitexp.query.text`.
"""

from __future__ import annotations

from collections.abc import Iterable

CANDIDATES = """
SELECT r.id FROM (
    SELECT rowid AS number FROM note_text WHERE note_text MATCH ? ORDER BY rank LIMIT ?
) AS t JOIN run AS r ON r.number = t.number
"""
"""Ids of runs; takes a query of `any_of` and how many."""

HAVING = "SELECT count(*) FROM note_text WHERE note_text MATCH ?"


def any_of(phrases: Iterable[str]) -> str:
    """Return the FTS5 query for texts that have any of some phrases; empty for none.

    Args:
        phrases: Each of words as `gitexp.query.text.words` returns them, with spaces between.
    """
    return " OR ".join(f'"{phrase}"' for phrase in dict.fromkeys(phrases) if phrase)
