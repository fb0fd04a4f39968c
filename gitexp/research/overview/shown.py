"""Runs as reports show them: a few facts of each, and every run in a few columns.

Reports speak of all runs but show some twenty: those are read as documents, the others as columns
of the index.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from gitexp.document import Document
from gitexp.memory import Memory
from gitexp.query.syntax import Node, parse

_NAME, _DESCRIPTION = 200, 500
"""Characters that are kept."""
_COLUMNS = ("family", "status", "duration", "action", "verdict")
_TOKENS = (
    ("metadata.tokens",),
    ("metadata.total_tokens",),
    ("metadata.usage.total_tokens",),
    ("metadata.usage.input_tokens", "metadata.usage.output_tokens"),
)
"""Where runs say what an agent spent on them, in the order of preference; several are added up."""


class RunNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run in a few words; the texts are its author's, the beginning of them.

    Attributes:
        run: Its id, 40 hexadecimal digits.
        started: RFC 3339 in UTC.
        value: Of the goal metric; absent where it has no finite one.
        duration: Seconds.
    """

    run: str
    name: str = ""
    status: str = ""
    started: str = ""
    description: str | None = None
    family: str | None = None
    verdict: str | None = None
    value: float | None = None
    duration: float | None = None


class Row(NamedTuple):
    """A run in columns.

    Attributes:
        run: 20 bytes.
        started: Microseconds since 1970.
        duration: Seconds; 0 for a run in progress.
        action: Of its latest decision.
        tokens: That were spent on it; None where it does not say.
    """

    run: bytes
    started: int
    family: str | None
    status: str
    duration: float
    action: str | None
    verdict: str | None
    tokens: float | None


def read_rows(memory: Memory) -> list[Row]:
    """Return every run in columns, the latest first."""
    sources = _token_sources(memory)
    columns = [parse(name) for name in _COLUMNS] + [node for source in sources for node in source]
    rows = []
    for found in memory.search(columns=columns):
        run_id, started = found.row.id, found.row.started
        family, status, duration, action, verdict, *rest = found.row.values
        tokens = _tokens(rest, sources)
        rows.append(Row(run_id, started, family, status, duration or 0.0, action, verdict, tokens))
    return rows


def _token_sources(memory: Memory) -> list[list[Node]]:
    catalog = memory.catalog
    paths = [names for names in _TOKENS if any(name in catalog.fields for name in names)]
    nodes = [[parse(name) for name in names if name in catalog.fields] for names in paths]
    return [*nodes, [parse("max(tokens)")]] if "tokens" in catalog.metrics else nodes


def _tokens(values: Sequence[Any], sources: Sequence[Sequence[Node]]) -> float | None:
    """Return the sum of the first source that a run has something of."""
    at = 0
    for source in sources:
        own = values[at : at + len(source)]
        at += len(source)
        known = [float(v) for v in own if isinstance(v, int | float) and 0 <= v < float("inf")]
        if known:
            return sum(known)
    return None


def read_notes(
    memory: Memory, runs: Iterable[str], values: dict[str, float] | None = None
) -> dict[str, RunNote]:
    """Return a note of each run that is known, by its id.

    Args:
        memory: Where they are.
        runs: Their ids.
        values: Of the goal metric, by id.
    """
    wanted = list(dict.fromkeys(runs))
    found = memory.search(among=wanted) if wanted else []
    return {each.document["run"]: note_of(each.document, values or {}) for each in found}


def note_of(document: Document, values: dict[str, float]) -> RunNote:
    """Return the note of a document."""
    return RunNote(
        run=document["run"],
        name=document.get("name", "")[:_NAME],
        status=document.get("status", ""),
        started=document.get("started", ""),
        description=(document.get("description") or "")[:_DESCRIPTION] or None,
        family=document.get("family"),
        verdict=document.get("verdict"),
        value=values.get(document["run"]),
        duration=document.get("duration"),
    )


def stamp_of(microseconds: int) -> str:
    """Return a time of the index as RFC 3339 in UTC; the beginning of 1970 for what is none."""
    try:
        time = datetime.fromtimestamp(microseconds / 1e6, UTC)
    except (ValueError, OverflowError, OSError):
        time = datetime.fromtimestamp(0, UTC)
    return time.isoformat(timespec="seconds").replace("+00:00", "Z")
