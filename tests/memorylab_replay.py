"""MemoryLab's guard over public ledgers, each idea asked about before its row is known."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

from gitexp.memorylab.guard import Guard
from gitexp.memorylab.record import Mode, Record, Status

_FEWEST = 20


class Replay(NamedTuple):
    """What the guard would have blocked."""

    ledgers: int
    kept: int
    blocked_kept: int
    failed: int
    blocked_failed: int


def replay(folder: Path, mode: Mode) -> Replay:
    """Ask the guard about each row of each table in order."""
    ledgers = [
        rows for path in sorted(folder.glob("*/*.tsv")) if len(rows := _read(path)) > _FEWEST
    ]
    asked = [pair for rows in ledgers for pair in _replay(rows, mode)]
    kept = [blocked for status, blocked in asked if status == "keep"]
    failed = [blocked for status, blocked in asked if status != "keep"]
    return Replay(len(ledgers), len(kept), sum(kept), len(failed), sum(failed))


def _replay(rows: list[Record], mode: Mode) -> Iterator[tuple[Status, bool]]:
    guard = Guard()
    for record in rows:
        yield record.status, guard.check(record.description, mode=mode).policy == "block"
        guard.add(record)


def _read(path: Path) -> list[Record]:
    with path.open(newline="", errors="replace") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return [record for row in rows if (record := _record(row)) is not None]


def _record(row: dict[str, str | None]) -> Record | None:
    status = (row.get("status") or row.get("decision") or "").strip().lower()
    description = row.get("description") or row.get("note") or row.get("notes") or ""
    if status not in get_args(Status) or not description:
        return None
    return Record(status=status, description=description)  # type: ignore[arg-type]


if __name__ == "__main__":
    import sys

    for each in get_args(Mode):
        print(each, replay(Path(sys.argv[1]), each))
