"""What tests of imports share: ledgers to write, and importing them in this process."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from gitexp.git.repository import Repository
from gitexp.interchange.formats import read_source
from gitexp.interchange.importing import Imported, import_runs
from gitexp.interchange.source import Reading
from gitexp.memory import Memory
from gitexp.run import Run

HEADER = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
ROWS = (
    "aaaaaa1\t0.997900\t44.0\tkeep\tbaseline",
    "aaaaaa2\t0.993200\t44.2\tkeep\tlr 0.04 to 0.03",
    "aaaaaa3\t1.005000\t44.0\tdiscard\tGeLU",
    "aaaaaa4\t0.000000\t0.0\tcrash\tdouble width (OOM)",
)
MTIME_NS = 1_770_000_000 * 10**9


def write(path: Path, lines: Iterable[str], end: str = "\n") -> Path:
    """Write a ledger and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + end for line in lines).encode())
    return path


def write_json(path: Path, rows: Iterable[Any]) -> Path:
    """Write JSON lines and return their path."""
    return write(path, (json.dumps(row) for row in rows))


def take(reading: Reading, path: Path | None = None, **options: Any) -> Imported:
    """Import what was read into the repository of a folder, the current one by default."""
    options = {"source": reading.format, "written_ns": reading.written_ns, **options}
    return import_runs(Repository.discover(path), reading.runs, **options)


def import_file(path: Path, *words: Any, **options: Any) -> Imported:
    """Read a source and import it."""
    return take(read_source(path, *words, **options))


def runs() -> list[Run]:
    """Return all runs of the current repository, the first one first."""
    return sorted(Memory.open().runs(), key=lambda run: run.started)
