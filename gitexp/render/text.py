"""Small texts: safe for a terminal, short, and alike everywhere."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime

from gitexp.records.nested import json_numbers, number_to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# C0 and C1 control characters, the marks that reorder or hide text (bidi, zero width, tags), and
# surrogates, which no encoding of a terminal can hold.
_UNSAFE = (
    "[\x00-\x1f\x7f-\x9f\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
_UNSAFE_IN_JSON = _UNSAFE.replace("\x00-\x1f", "")
_NAMED = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\x1b": "\\e"}
_LAST_BYTE = 0xFF
_COLOR = "(\x1b\\[[0-9;]*[mK])"
_UNITS = ((86400 * 365, "y"), (86400 * 7, "w"), (86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def safe(text: str) -> str:
    r"""Return a text with all that a terminal would act on made visible, as ``\e`` or ``\x9b``."""
    if text.isprintable():  # so are almost all, and then nothing in them is unsafe
        return text
    return re.sub(_UNSAFE, _visible, text)


def safe_lines(text: str) -> str:
    """Return a text of several lines, each `safe`; line ends and tabs stay."""
    return "\n".join(
        "\t".join(safe(cell) for cell in line.split("\t")) for line in text.split("\n")
    )


def safe_patch(text: str) -> str:
    """Return git's output `safe` line by line, with the colours that git put in left alone."""
    parts = re.split(_COLOR, text)
    return "".join(part if i % 2 else safe_lines(part) for i, part in enumerate(parts))


def _visible(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    if character in _NAMED:
        return _NAMED[character]
    return f"\\x{code:02x}" if code <= _LAST_BYTE else f"\\u{code:04x}"


def to_json(value: Any) -> str:
    """Return a value as indented JSON that no terminal acts on either."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=_encoded)
    return (
        text
        if text.isascii() and "\x7f" not in text
        else re.sub(_UNSAFE_IN_JSON, _json_escape, text)
    )


def _encoded(value: Any) -> str:
    """Return what JSON has no type for as a text: a time."""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    raise TypeError(f"{type(value).__name__} is not a type of JSON")


def _json_escape(match: re.Match[str]) -> str:
    units = match[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))


def number(value: Any) -> str:
    """Return a number with at most six significant digits, without trailing zeros."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "" if value is None else safe(str(value))
    if isinstance(value, int):
        return str(value)
    return f"{value:.6g}" if math.isfinite(value) else str(number_to_json(value))


def exact(value: Any) -> str:
    """Return a number with all its digits, as a program wants it; anything else as in a cell."""
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    return cell(value)


def cell(value: Any) -> str:
    """Return any value as the text of a table cell."""
    if isinstance(value, dict | list | tuple):
        return safe(json.dumps(json_numbers(value), ensure_ascii=False, separators=(",", ":")))
    return number(value)


def moment(time: datetime) -> str:
    """Return a time in the local zone, to the second."""
    try:
        return time.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):  # a time that this machine's zone cannot hold
        return stamp(time)


def stamp(time: datetime) -> str:
    """Return a time as programs read it: UTC, RFC 3339, to the second."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


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
