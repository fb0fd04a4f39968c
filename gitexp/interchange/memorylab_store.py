"""MemoryLab's stores: the ledger of experiments, and what was archived of each of them.

``experiments.jsonl`` has a record for each run; ``runs/<run_id>/`` its log, summary, patch and
decision packet, which become files of the run, as does the record itself (``memorylab.json``). The
registry of champion and challengers and the latest report are made of the ledger; they are kept,
as they were, with its last run.

Nothing but the files that MemoryLab writes is taken from an archive, and no link is followed: a
store may come from anywhere.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any

import msgspec

from gitexp.errors import ValueRejectedError
from gitexp.experiment import MAX_FILE_BYTES
from gitexp.interchange.cells import number, time_ns
from gitexp.interchange.importing import ImportedRun, run_name
from gitexp.interchange.outcomes import FINISHED, failure, outcome, without_placeholders
from gitexp.interchange.rows import canonical, decode_object
from gitexp.interchange.source import Bad, Reading, read_text
from gitexp.records.facts import Failure

FORMAT = "memorylab"
LEDGER = "experiments.jsonl"
REGISTRY = "champion_challenger.json"
_ARCHIVED = ("run.log", "summary.json", "train.patch", "decision_packet.json", "decision_packet.md")
_OF_STORE = (REGISTRY, "reports/latest.md")
_PLACES = ("", "memorylab", "results/memorylab")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,99}")
_SHORT = 7


def find_ledger(folder: Path) -> Path | None:
    """Return the ledger of the MemoryLab store in a folder; None where there is none."""
    found = (folder / place / LEDGER for place in _PLACES)
    return next((path for path in found if path.is_file()), None)


def is_record(value: dict[str, Any]) -> bool:
    """Say whether an object is a record of MemoryLab's ledger."""
    return {"run_id", "commit", "status"} <= value.keys() and (
        "novelty_guard" in value or "decision_packet" in value or "parent_commit" in value
    )


def read_store(ledger: Path) -> Reading:
    """Return the runs of a MemoryLab store.

    Args:
        ledger: Its ``experiments.jsonl``; what was archived stands beside it.

    Raises:
        GitexpError: The ledger cannot be read.
    """
    text, store = read_text(ledger), ledger.parent
    reading = Reading(FORMAT, text.written_ns, notes=list(text.notes), metric="val_bpb", lower=True)
    records: list[tuple[int, dict[str, Any]]] = []
    for line in text.lines:
        if not (line.text.strip() or line.problem):
            continue
        value, problem = (None, line.problem) if line.problem else decode_object(line.text)
        if value is None or not isinstance(value.get("run_id"), str):
            reading.bad.append(Bad("", line.number, problem or "is no record of MemoryLab"))
        else:
            records.append((line.number, value))
    for i, (number_, record) in enumerate(records):
        files = _archive(store, record["run_id"], reading.notes)
        if i == len(records) - 1:
            files |= _regular(store, _OF_STORE, "memorylab/", reading.notes)
        try:
            reading.runs.append(_run(record, files, reading))
        except ValueRejectedError as error:
            reading.bad.append(Bad("", number_, f"cannot be kept: {error.message}"))
    return reading


def _archive(store: Path, run_id: str, notes: list[str]) -> dict[str, bytes | Path]:
    """Return the archived files of a run, by name."""
    if not _RUN_ID.fullmatch(run_id):
        notes.append(
            f"The run id {run_id[:100]!r} is none of MemoryLab's; its archive is left out."
        )
        return {}
    runs = store / "runs"
    folder = runs / run_id
    if any(path.is_symlink() for path in (runs, folder)):
        notes.append(f"The archive of {run_id} is a link; it is left out.")
        return {}
    return _regular(folder, _ARCHIVED, "", notes)


def _regular(
    folder: Path, names: tuple[str, ...], prefix: str, notes: list[str]
) -> dict[str, bytes | Path]:
    """Return those of the files that are plain ones of a bearable size."""
    files: dict[str, bytes | Path] = {}
    for name in names:
        path = folder / name
        try:
            found = path.lstat()
        except (OSError, ValueError):
            continue
        if not stat.S_ISREG(found.st_mode) or path.parent.is_symlink():
            notes.append(f"{path} is no plain file; it is left out.")
        elif found.st_size > MAX_FILE_BYTES:
            notes.append(f"{path} has more than 50 MiB; it is left out.")
        elif not os.access(path, os.R_OK):
            notes.append(f"{path} cannot be read; it is left out.")
        else:
            files[prefix + name] = path
    return files


def _run(record: dict[str, Any], files: dict[str, bytes | Path], reading: Reading) -> ImportedRun:
    status = _text(record.get("status")) or ""
    ended = outcome(status) or FINISHED
    metrics, placeholders = without_placeholders(_metrics(record), ended.verdict)
    reading.placeholders += placeholders
    commit, parent = _text(record.get("commit")), _text(record.get("parent_commit"))
    description = _text(record.get("description"))
    packet = record.get("decision_packet")
    if isinstance(packet, dict) and packet:
        files.setdefault("decision_packet.json", _pretty(packet))
    return ImportedRun(
        name=run_name(description, record["run_id"]),
        content=canonical(record),
        external_id=record["run_id"],
        description=description,
        hypothesis=_text(record.get("hypothesis")),
        family=_text(record.get("family")),
        tags=_tags(record.get("tags")),
        metadata=_metadata(record),
        metrics=metrics,
        started_ns=time_ns(record.get("timestamp_utc")),
        duration=_duration(metrics),
        status=ended.status or "finished",
        verdict=ended.verdict,
        error=_error(record, status) if ended.verdict == "crash" else None,
        keys=() if commit is None else (commit[:_SHORT],),
        parent=None if parent is None else parent[:_SHORT],
        commit=commit,
        comment=_text(record.get("notes")),
        files={**files, "memorylab.json": _pretty(record)},
    )


def _metrics(record: dict[str, Any]) -> dict[str, Any]:
    given = record["metrics"] if isinstance(record.get("metrics"), dict) else {}
    found = {path: number(value) for path, value in given.items()}
    return {path: value for path, value in found.items() if value is not None}


def _duration(metrics: dict[str, Any]) -> float | None:
    found = (metrics.get(name) for name in ("total_seconds", "training_seconds"))
    return next((float(s) for s in found if s is not None and 0 <= s < 10**9), None)


def _error(record: dict[str, Any], status: str) -> Failure:
    said = record["error"] if isinstance(record.get("error"), dict) else {}
    summary = _text(said.get("summary")) or _text(record.get("description")) or status
    tail = said.get("tail")
    lines = [str(line) for line in tail] if isinstance(tail, list) else [str(tail or "")]
    return failure(summary, status, "\n".join(lines))


def _metadata(record: dict[str, Any]) -> dict[str, Any]:
    guard = record["novelty_guard"] if isinstance(record.get("novelty_guard"), dict) else {}
    given = {
        "run_id": record["run_id"],
        "branch": record.get("branch"),
        "parent_commit": record.get("parent_commit"),
        "novelty": guard.get("classification"),
        "mode": guard.get("mode"),
    }
    known = {key: value for key, value in given.items() if isinstance(value, str) and value}
    return {"memorylab": known}


def _tags(value: Any) -> tuple[str, ...]:
    return tuple(str(tag) for tag in value if tag) if isinstance(value, list) else ()


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="sorted"), indent=2) + b"\n"
