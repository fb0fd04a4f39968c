"""Points in time as people say them: ISO dates, or how long ago, as in git's ``--since``.

git itself takes any text and makes today of what it does not understand; here that is an error.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta

from gitexp.errors import UsageError

_AGO = re.compile(r"(?P<count>[0-9]{1,6}|an?)[ .]?(?P<unit>[a-z]+?)s?(?:[ .]ago)?")
_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
    "w": 7 * 86400,
    "week": 7 * 86400,
    "month": 30 * 86400,
    "y": 365 * 86400,
    "year": 365 * 86400,
}


def parse_when(text: str, now: datetime) -> datetime:
    """Return the point in time that a text names.

    Args:
        text: ``now``, ``today`` (its midnight), ``yesterday`` (a day ago), ``2 weeks ago``,
            ``2.weeks``, ``36h``, an ISO date (midnight) or date and time, in the local zone
            where it names none. A month has 30 days and a year 365.
        now: The present, with its zone.

    Raises:
        UsageError: It is none of these.
    """
    words = " ".join(text.lower().split())
    if words == "now":
        return now
    if words == "today":
        return now.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        if words == "yesterday":
            return now - timedelta(days=1)
        if (ago := _AGO.fullmatch(words)) and ago["unit"] in _UNITS:
            count = int(ago["count"]) if ago["count"].isdigit() else 1
            return now - timedelta(seconds=count * _UNITS[ago["unit"]])
        moment = datetime.fromisoformat(text.strip())
        return moment if moment.tzinfo else moment.astimezone()
    except (ValueError, OverflowError):
        raise UsageError(
            f"{text!r} is not a time.", "Say it as '2 weeks ago', 'yesterday' or 2026-01-31."
        ) from None


def parse_age(text: str, now: datetime, what: str) -> datetime:
    """Return the point in time that is so long ago.

    Args:
        text: ``30d``, ``2 weeks``, ``36h``.
        now: The present, with its zone.
        what: What the age was given for, for the message.

    Raises:
        UsageError: It is no age.
    """
    try:
        return parse_when(text, now)
    except UsageError:
        hint = "Say it as 30d or '2 weeks'."
        raise UsageError(f"{text!r} is not an age, for {what}.", hint) from None
