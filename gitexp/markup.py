"""Small HTML tables for notebooks: everything escaped, no script and no style sheet.

They look alike in Jupyter, in its exports, in light and in dark. Each cell is a paragraph of its
own, so that marks which reorder text end with it.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

_LONGEST = 120
_CELL = "padding:2px 8px;text-align:left;vertical-align:top;white-space:pre-wrap"
_ENDS = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MUTED = "opacity:.6;font-size:90%"


def heading(name: str, rest: str) -> str:
    """Return a line in bold, and more in a quieter tone."""
    return f'<div><b>{escaped(name)}</b> <span style="{MUTED}">{escaped(rest)}</span></div>'


def more(count: int, here: int, what: str) -> str:
    """Return a line that says how many are not in a table of ``here``; empty if none."""
    rest = count - here
    if rest <= 0:
        return ""
    return f'<div style="{MUTED}">and {rest:,} more {what}{"" if rest == 1 else "s"}</div>'


def table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table of values of any type."""
    head = "".join(f'<th style="{_CELL}">{escaped(name)}</th>' for name in header)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{shown(value)}</td>' for value in row) + "</tr>"
        for row in rows
    )
    thead = f"<thead><tr>{head}</tr></thead>" if head else ""
    return f'<table style="border-collapse:collapse">{thead}<tbody>{body}</tbody></table>'


def shown(value: Any) -> str:
    """Return a value as the escaped text of a cell."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else escaped(json.dumps(value))
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)
    return escaped(text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…")


def escaped(text: str) -> str:
    """Return a text as HTML; characters that HTML does not know become visible."""
    return "".join(c if c >= " " or c in "\n\t" else "\ufffd" for c in html.escape(text))


def history_html(metric: str, points: Sequence[tuple[int, int, float]]) -> str:
    """Return the ends of a metric's history.

    Args:
        metric: Its path.
        points: Step, milliseconds since 1970 and value of each, in order.
    """
    is_long = len(points) > 2 * _ENDS
    ends = [*points[:_ENDS], *points[-_ENDS:]] if is_long else list(points)
    rows: list[list[Any]] = [[step, _time(time_ms), value] for step, time_ms, value in ends]
    if is_long:
        rows.insert(_ENDS, ["…", "…", "…"])
    size = f"{len(points):,} point{'' if len(points) == 1 else 's'}"
    return heading(metric, size) + table(["step", "time", "value"], rows)


def _time(time_ms: int) -> datetime | None:
    try:
        return _EPOCH + timedelta(milliseconds=time_ms)
    except OverflowError:
        return None
