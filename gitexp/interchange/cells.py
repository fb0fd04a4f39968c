"""What stands in one cell of a ledger: nothing, a number, a time."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any

_MISSING = frozenset({"", "-", "--", "—", "–", "n/a", "na", "null", "none", "nil", "?", "tbd"})  # noqa: RUF001
_NUMBER = re.compile(
    r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|[0-9]{1,3}(?:,[0-9]{3})+(?:\.[0-9]+)?)(?:[eE][+-]?[0-9]+)?"
)
_WORDS = {"nan": math.nan, "inf": math.inf, "infinity": math.inf}
_LONGEST = 400
"""Digits of a number; Python refuses longer integers, and takes time for them."""
_INT_MAX = (1 << 63) - 1

_OLDEST, _LATEST = 631_152_000, 4_102_444_800
"""Seconds since 1970 that a plain number may stand for: 1990 to 2100."""
_FORMATS = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y/%m/%d", "%a, %d %b %Y %H:%M:%S %z")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_missing(value: Any) -> bool:
    """Say whether a cell holds nothing: it is empty, or has a mark such as ``-`` or ``N/A``."""
    if isinstance(value, str):
        return value.strip().lower() in _MISSING
    return value is None or value in ([], {})


def number(value: Any) -> int | float | None:
    """Return the number in a cell; None where there is none.

    ``12.5%`` is 12.5, ``1,234`` is 1234; ``inf`` and ``nan`` are numbers, booleans are not.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    if isinstance(value, int):
        return value if abs(value) <= _INT_MAX else float(value) if abs(value) < 10**300 else None
    return value if isinstance(value, float) else _parse(value.strip().removesuffix("%").rstrip())


def _parse(text: str) -> int | float | None:
    word = text.lower().lstrip("+-")
    if word in _WORDS:
        return -_WORDS[word] if text.startswith("-") else _WORDS[word]
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return None
    plain = text.replace(",", "")
    if plain.lstrip("+-").isdecimal() and abs(int(plain)) <= _INT_MAX:
        return int(plain)
    return float(plain)


def time_ns(value: Any) -> int | None:
    """Return the time in a cell in nanoseconds since 1970; None where there is none.

    Read are ISO 8601 (UTC where no zone is given) and its like with slashes, RFC 2822, and
    seconds, milli-, micro- or nanoseconds since 1970 if they fall between 1990 and 2100.
    """
    plain = number(value)
    if plain is not None:
        return _since_epoch(plain)
    return _moment(value.strip()) if isinstance(value, str) else None


def _since_epoch(plain: float) -> int | None:
    for unit in (1, 10**3, 10**6, 10**9):
        if _OLDEST <= plain / unit <= _LATEST:
            scale = 10**9 // unit
            return plain * scale if isinstance(plain, int) else round(plain * 1e6 / unit) * 1000
    return None


def _moment(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        found = (_strptime(text, form) for form in _FORMATS)
        parsed = next((moment for moment in found if moment is not None), None)
        if parsed is None:
            return None
        moment = parsed
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        since = moment - _EPOCH
    except OverflowError:
        return None
    return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000


def _strptime(text: str, form: str) -> datetime | None:
    try:
        return datetime.strptime(text, form)  # noqa: DTZ007 - UTC where it names no zone
    except ValueError:
        return None
