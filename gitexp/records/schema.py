"""The version of the line formats (docs/format.md)."""

from __future__ import annotations

SCHEMA = 1
"""The version of the line formats that this gitexp writes and fully reads."""


def current_schema() -> int:
    """Return the schema of new lines. As a factory, so that encoders never omit the field."""
    return SCHEMA
