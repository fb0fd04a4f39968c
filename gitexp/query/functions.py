"""The SQL functions that expressions call and SQLite does not have."""

from __future__ import annotations

import sqlite3

_INT_MAX = (1 << 63) - 1


def register_functions(connection: sqlite3.Connection) -> None:
    """Give a connection the SQL functions that expressions call; once is enough."""
    connection.create_function("absolute", 1, _absolute, deterministic=True)
    connection.create_function("lowered", 1, _lowered, deterministic=True)
    connection.create_function("matches", 3, _matches, deterministic=True)


def _absolute(value: object) -> float | None:
    if isinstance(value, int):  # of the smallest integer, the size is none
        return abs(value) if value >= -_INT_MAX else float(-value)
    return abs(value) if isinstance(value, float) else None


def _lowered(value: object) -> str | None:
    return value.lower() if isinstance(value, str) else None


def _matches(value: object, pattern: str, number: int) -> int | None:
    from gitexp.query.regex import MATCHERS

    return MATCHERS[number].search(value, pattern)
