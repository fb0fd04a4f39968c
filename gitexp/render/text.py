"""Small texts: safe for a terminal, short, and alike everywhere."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import msgspec

# C0 and C1 control characters, and the marks that reorder or hide text (bidi, zero width).
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_UNSAFE_IN_JSON = re.compile(_UNSAFE.pattern.replace("\x00-\x1f", ""))
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\x1b": "\\e"}
_UNITS = ((86400 * 365, "y"), (86400 * 7, "w"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def safe(text: str) -> str:
    r"""Return a text with everything a terminal would act on made visible, as ``\e`` or ``\x9b``."""
    return _UNSAFE.sub(_visible, text)


def safe_lines(text: str) -> str:
    """Return a text of several lines, each `safe`; line ends and tabs stay."""
    return "\n".join(
        "\t".join(safe(cell) for cell in line.split("\t")) for line in text.split("\n")
    )


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")  # noqa: PLR2004


def to_json(value: Any) -> str:
    """Return a value as indented JSON that no terminal acts on either."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
    return _UNSAFE_IN_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def number(value: Any) -> str:
    """Return a number with at most six significant digits, without trailing zeros."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else safe(str(value))
    if isinstance(value, int):
        return str(value)
    return f"{value:.6g}"


def cell(value: Any) -> str:
    """Return any value as the text of a table cell."""
    if isinstance(value, dict | list | tuple):
        return safe(msgspec.json.encode(value).decode())
    return number(value)


def moment(time: datetime) -> str:
    """Return a time in the local zone, to the second."""
    return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(time: datetime, now: datetime) -> str:
    """Return how long ago a time was, in its largest unit: ``3 h ago``; the future is ``now``."""
    seconds = (now - time).total_seconds()
    return "now" if seconds < 1 else f"{span(seconds)} ago"


def span(seconds: float) -> str:
    """Return a duration in its largest fitting unit: ``850 ms``, ``42 s``, ``3 h``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    length, unit = next(pair for pair in _UNITS if seconds >= pair[0])
    return f"{seconds / length:.0f} {unit}"


def size(count: int) -> str:
    """Return a number of bytes in powers of 1024: ``512 B``, ``1.5 KiB``, ``2.0 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":  # noqa: PLR2004
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return ""


def short(run_id: str) -> str:
    """Return the first 12 digits of an id: unambiguous among billions, readable by git."""
    return run_id[:12]
