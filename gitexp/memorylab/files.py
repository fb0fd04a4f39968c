"""The files on disk that MemoryLab's scripts read, below the top of the work tree.

They are a view: the runs in git are the truth, and files that are missing are made again from
them (`gitexp.memorylab.store`). A file is replaced as a whole; the ledger and ``results.tsv`` grow
by whole lines, under the lock of the store.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gitexp.errors import GitexpError
from gitexp.git.write import write_error
from gitexp.interchange.replace import replaced
from gitexp.light import NamedTuple
from gitexp.memorylab.record import MEMORY, Record, decode, number

MAX_LEDGER_BYTES = 512 << 20
"""A longer ledger is refused: that of 50,000 runs has half of it."""

ARCHIVED = (
    "run.log",
    "summary.json",
    "train.patch",
    "decision_packet.json",
    "decision_packet.md",
)
"""What a run's folder may hold."""

TABLE_HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"

_SHORT = 7
_MIB_PER_GIB = 1024


class Line(NamedTuple):
    """A line of the ledger: the record, and what stands there without the line end."""

    record: Record
    raw: bytes


class Files:
    """Where everything stands. All paths are absolute."""

    def __init__(self, top: Path) -> None:
        """Name the paths below the top of a work tree."""
        self.top = top
        self.folder = top / "results" / "memorylab"
        self.ledger = self.folder / "experiments.jsonl"
        self.registry = self.folder / "champion_challenger.json"
        self.reports = self.folder / "reports"
        self.runs = self.folder / "runs"
        self.table = top / "results.tsv"

    def name(self, path: Path) -> str:
        """Return a path as it is shown and stored: relative to the top where it is below it."""
        return path.relative_to(self.top).as_posix() if path.is_relative_to(self.top) else str(path)

    def read_ledger(self) -> bytes | None:
        """Return the ledger's content; None where there is none.

        Raises:
            GitexpError: It cannot be read, or is too long.
        """
        try:
            if self.ledger.stat().st_size > MAX_LEDGER_BYTES:
                raise GitexpError(f"{self.name(self.ledger)} is larger than 512 MiB.")
            return self.ledger.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise write_error(error, f"read {self.name(self.ledger)}") from error

    def parse_ledger(self, content: bytes) -> list[Line]:
        """Return the lines of a ledger that are not blank.

        Raises:
            GitexpError: One is no record; the message has its number.
        """
        name = self.name(self.ledger)
        return [
            Line(decode(raw, f"Line {place} of {name}"), raw)
            for place, line in enumerate(content.split(b"\n"), 1)
            if (raw := line.strip())
        ]

    def write_ledger(self, lines: Iterable[bytes]) -> None:
        """Replace the ledger."""
        self.write(self.ledger, b"".join(line + b"\n" for line in lines))

    def write_registry(self, content: Mapping[str, Any]) -> None:
        """Replace the file of the champion and the challengers."""
        self.write(self.registry, pretty_json(content))

    def write_table(self, records: Iterable[Record]) -> None:
        """Replace ``results.tsv``."""
        lines = [TABLE_HEADER, *map(table_line, records)]
        self.write(self.table, "".join(f"{line}\n" for line in lines).encode())

    def append_to_table(self, record: Record) -> None:
        """Add a run to ``results.tsv``."""
        append(self.table, table_line(record).encode())

    def write_archive(self, run_id: str, contents: Mapping[str, bytes]) -> None:
        """Write the files of a run's folder."""
        for name, content in contents.items():
            self.write(self.runs / run_id / name, content)

    def write_report(self, text: str, now: datetime) -> list[Path]:
        """Write a report as the latest one and under its time; return both paths."""
        stamped = f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}.md"
        paths = [self.reports / "latest.md", self.reports / stamped]
        for path in paths:
            self.write(path, text.encode())
        return paths

    def write(self, path: Path, content: bytes) -> None:
        """Replace a file, making its folders."""
        make_folder(path.parent)
        with replaced(path) as stream:
            stream.write(content)


def make_folder(path: Path) -> None:
    """Make a folder and those above it.

    Raises:
        GitexpError: The system refuses.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(error, f"make the folder {path}") from error


def append(path: Path, line: bytes) -> None:
    """Add a line to a file in one write, after ending the last one if that is torn.

    Raises:
        GitexpError: The system refuses.
    """
    try:
        with path.open("a+b", buffering=0) as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - 1, 0))
            torn = size > 0 and stream.read(1) != b"\n"
            stream.write((b"\n" if torn else b"") + line + b"\n")
    except OSError as error:
        raise write_error(error, f"write {path}") from error


def pretty_json(content: Mapping[str, Any]) -> bytes:
    """Return an object as indented JSON with sorted keys."""
    return (json.dumps(content, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def table_line(record: Record) -> str:
    """Return a run as a line of ``results.tsv``; a crash has zeros."""
    crashed = record.status == "crash"
    value = 0.0 if crashed else record.value or 0.0
    memory = 0.0 if crashed else (number(record.metrics.get(MEMORY)) or 0.0) / _MIB_PER_GIB
    commit = (record.commit or "")[:_SHORT]
    description = " ".join(record.description.split())
    return f"{commit}\t{value:.6f}\t{memory:.1f}\t{record.status}\t{description}"
