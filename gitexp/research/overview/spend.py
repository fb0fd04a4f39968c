"""What runs cost: wall time, and tokens where they say so, by day, family and outcome."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from gitexp.research.overview.shown import Row, stamp_of

_SHOWN = 12
"""Families that are named; the others are one line."""
OTHERS = "(others)"
NO_FAMILY = "(none)"


class Share(msgspec.Struct, frozen=True, omit_defaults=True):
    """What some of the runs cost.

    Attributes:
        name: Of the day (UTC), the family or the status.
        seconds: Wall time of all together.
        tokens: Of those runs that say so; absent where none does.
    """

    name: str
    runs: int
    seconds: float
    tokens: float | None = None


class Spend(msgspec.Struct, frozen=True, omit_defaults=True):
    """What runs cost.

    Attributes:
        seconds: Wall time of all together.
        tokens: Of those runs that say so; absent where none does.
        days: In order; of days without runs nothing is said.
        families: The costliest first, at most `_SHOWN` and the others together.
        outcomes: By status, the costliest first.
    """

    runs: int
    seconds: float
    tokens: float | None = None
    days: tuple[Share, ...] = ()
    families: tuple[Share, ...] = ()
    outcomes: tuple[Share, ...] = ()


def spend(rows: Sequence[Row]) -> Spend:
    """Return what these runs cost together."""
    everything = _share("", rows)
    families = _shares(rows, lambda row: row.family or NO_FAMILY)
    if len(families) > _SHOWN:
        families = [*families[:_SHOWN], _together(OTHERS, families[_SHOWN:])]
    return Spend(
        everything.runs,
        everything.seconds,
        everything.tokens,
        tuple(sorted(_shares(rows, _day), key=lambda share: share.name)),
        tuple(families),
        tuple(_shares(rows, lambda row: row.status)),
    )


def _day(row: Row) -> str:
    return stamp_of(row.started)[:10]


def _shares(rows: Iterable[Row], key: Callable[[Row], str]) -> list[Share]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    shares = [_share(name, group) for name, group in groups.items()]
    return sorted(shares, key=lambda share: (-share.seconds, -share.runs, share.name))


def _share(name: str, rows: Sequence[Row]) -> Share:
    seconds = sum(max(row.duration, 0.0) for row in rows)
    tokens = [row.tokens for row in rows if row.tokens is not None]
    return Share(name, len(rows), seconds, sum(tokens) if tokens else None)


def _together(name: str, shares: Sequence[Share]) -> Share:
    tokens = [share.tokens for share in shares if share.tokens is not None]
    runs, seconds = sum(s.runs for s in shares), sum(s.seconds for s in shares)
    return Share(name, runs, seconds, sum(tokens) if tokens else None)
