"""The report of a MemoryLab ledger in Markdown: what won, what to do next, what broke."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import get_args

import msgspec

from gitexp.memorylab.packet import inline, value
from gitexp.memorylab.record import Record, Status
from gitexp.memorylab.registry import Registry
from gitexp.records.decision import Priority
from gitexp.records.facts import DECODE_ERRORS
from gitexp.records.times import parse_time
from gitexp.render.markdown import table

SINCE_HOURS = 16.0

_QUEUE = 5
_RECENT = 10
_SHORT = 7
_PRIORITIES = get_args(Priority)
_STATUSES: tuple[Status, ...] = get_args(Status)
_EARLIEST = datetime.min.replace(tzinfo=UTC)


class _Packet(msgspec.Struct):
    """The part of a packet that the report shows."""

    next_action: str = ""
    priority: str = ""
    summary: str = ""


def report_markdown(
    records: Sequence[Record], registry: Registry, *, now: datetime, since_hours: float
) -> str:
    """Return the report.

    Args:
        records: All of the ledger.
        registry: Of all of the ledger.
        now: When it is made; the headline, the queue and the ledger cover the hours before it.
        since_hours: How many hours.
    """
    begin = now - timedelta(hours=since_hours)
    recent = [record for record in records if began(record) >= begin]
    recent.sort(key=began, reverse=True)
    sections = [
        _header(now, since_hours),
        _headline(records, recent, registry),
        _queue(recent),
        _board(registry),
        _lineages(registry),
        _clusters(registry),
        _ledger(recent),
    ]
    return "\n\n".join("\n".join(lines) for lines in sections) + "\n"


def began(record: Record) -> datetime:
    """Return when a run was logged; the earliest time there is where that cannot be read."""
    try:
        return parse_time(record.timestamp_utc)
    except ValueError:
        return _EARLIEST


def _header(now: datetime, since_hours: float) -> list[str]:
    made = f"{now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return ["# MemoryLab report", "", f"Made {made}; the last {since_hours:g} hours."]


def _headline(records: Sequence[Record], recent: Sequence[Record], registry: Registry) -> list[str]:
    champion = registry.champion
    shown = "none"
    if champion is not None:
        shown = f"val\\_bpb {value(champion.value)}, {_name(champion)}"
    return [
        "## Headline",
        "",
        f"* Runs: {len(recent)} ({_counts(recent)})",
        f"* Runs in all: {len(records)} ({_counts(records)})",
        f"* Champion: {shown}",
    ]


def _counts(records: Sequence[Record]) -> str:
    counts = Counter(record.status for record in records)
    return ", ".join(f"{counts[status]} {status}" for status in _STATUSES)


def _name(record: Record) -> str:
    return f"{inline((record.commit or '')[:_SHORT])} {inline(record.description)}".strip()


def _queue(recent: Sequence[Record]) -> list[str]:
    """List what to do next: by priority, then the latest run first."""
    found = [(_packet(record), record) for record in recent]
    due = [(packet, record) for packet, record in found if packet.priority in _PRIORITIES]
    due.sort(key=lambda pair: _PRIORITIES.index(pair[0].priority))
    rows = [
        (inline(p.priority), inline(p.next_action), _name(record), inline(p.summary))
        for p, record in due[:_QUEUE]
    ]
    return _section("Decision queue", ("priority", "action", "run", "what happened"), rows)


def _packet(record: Record) -> _Packet:
    try:
        return msgspec.json.decode(record.decision_packet, type=_Packet)
    except DECODE_ERRORS:  # it is null, or none of ours
        return _Packet()


def _board(registry: Registry) -> list[str]:
    places = ["champion", *(f"challenger {i}" for i in range(1, len(registry.challengers) + 1))]
    runs = [registry.champion, *registry.challengers] if registry.champion else []
    rows = [
        (place, value(run.value), run.status, _name(run), inline(run.family) or "none")
        for place, run in zip(places, runs, strict=False)
    ]
    return _section("Champion board", ("place", "val\\_bpb:", "status", "run", "family"), rows)


def _lineages(registry: Registry) -> list[str]:
    rows = [
        (
            inline(each.root[:_SHORT]),
            str(len(each.runs)),
            value(None if each.best is None else each.best.value),
            "none" if each.best is None else _name(each.best),
        )
        for each in registry.lineages
    ]
    return _section("Best lineages", ("root", "runs:", "val\\_bpb:", "best run"), rows)


def _clusters(registry: Registry) -> list[str]:
    rows = [
        (inline(each.label), str(len(each.runs)), str(each.crashes), value(each.best))
        for each in registry.clusters
    ]
    return _section("Failure clusters", ("words", "runs:", "crashes:", "best val\\_bpb:"), rows)


def _ledger(recent: Sequence[Record]) -> list[str]:
    rows = [
        (inline(run.timestamp_utc), run.status, value(run.value), _name(run))
        for run in recent[:_RECENT]
    ]
    return _section("Recent ledger", ("time", "status", "val\\_bpb:", "run"), rows)


def _section(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"## {title}", "", table(header, rows) if rows else "None."]
