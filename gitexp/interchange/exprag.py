"""exprag's own stores: ``.exprag/runs/<uuid>.jsonl`` and the branches ``run/<uuid>``.

The first line of a file says what the run is and which commit holds its code: exprag commits the
work tree on top of ``HEAD`` on the run's branch. Each line after that is a call of ``track``. How a
run ended is not recorded; it counts as finished with its last line.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gitexp.errors import GitexpError, ValueRejectedError
from gitexp.interchange.cells import time_ns
from gitexp.interchange.importing import ImportedRun, Tracked, run_name
from gitexp.interchange.rows import decode_object
from gitexp.interchange.source import MAX_LINE_BYTES, Bad, Line, Reading, read_text
from gitexp.records.values import plain

FORMAT = "exprag"
_PLACES = (".exprag/runs", "runs", "")
_SCHEMA = 1
_MAX_FILES = 100_000


def find_store(folder: Path) -> Path | None:
    """Return the folder of exprag's runs in a folder; None where there is none."""
    found = (folder / place for place in _PLACES)
    return next((place for place in found if _is_store(place)), None)


def _is_store(folder: Path) -> bool:
    first = next(iter(sorted(folder.glob("*.jsonl"))), None) if folder.is_dir() else None
    if first is None:
        return False
    try:
        with first.open("rb") as stream:
            line = stream.readline(MAX_LINE_BYTES).decode()
    except (OSError, UnicodeDecodeError):
        return False
    return is_start(decode_object(line)[0] or {})


def is_start(first: dict[str, Any]) -> bool:
    """Say whether the first object of a file begins a run of exprag's."""
    return first.get("kind") == "run_start" and "exprag_version" in first


def read_store(path: Path) -> Reading:
    """Return the runs of a folder of exprag's runs, or of one of its files.

    Raises:
        GitexpError: A file cannot be read, or there are too many.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.jsonl"))
    if len(files) > _MAX_FILES:
        raise GitexpError(f"{path} has more than {_MAX_FILES:,} files.")
    reading = Reading(FORMAT, 0)
    for file in files:
        if file.is_symlink() and file != path:
            reading.notes.append(f"{file.name} is a link; it is left out.")
            continue
        text = read_text(file)
        reading.written_ns = max(reading.written_ns, text.written_ns)
        _add(reading, file.name, text.lines)
    reading.runs.sort(key=lambda run: run.started_ns or 0)
    return reading


def _add(reading: Reading, name: str, lines: list[Line]) -> None:
    start: dict[str, Any] | None = None
    calls: list[Tracked] = []
    for line in lines:
        if not (line.text.strip() or line.problem):
            continue
        value, problem = (None, line.problem) if line.problem else decode_object(line.text)
        problem = problem or _problem(value or {}, start)
        if value is None or problem:
            reading.bad.append(Bad(name, line.number, problem))
        elif start is None:
            start = value
        else:
            try:
                calls.append(_tracked(value))
            except ValueRejectedError as error:
                reading.bad.append(Bad(name, line.number, f"cannot be kept: {error.message}"))
    if start is None:
        reading.bad.append(Bad(name, 0, "tells of no run"))
        return
    try:
        reading.runs.append(_run(start, calls))
    except ValueRejectedError as error:
        reading.bad.append(Bad(name, 0, f"cannot be kept: {error.message}"))


def _problem(value: dict[str, Any], start: dict[str, Any] | None) -> str:
    """Return what is wrong with a line, as the end of a sentence; empty for nothing."""
    if value.get("schema_version") != _SCHEMA:
        return f"is of schema {value.get('schema_version')!r}; only {_SCHEMA} is known"
    expected = "run_start" if start is None else "track"
    if value.get("kind") != expected:
        return f"is of kind {value.get('kind')!r}, not {expected}"
    if not isinstance(value.get("run_id"), str) or time_ns(value.get("created_at")) is None:
        return "has no run_id, or no time"
    if start is not None and value["run_id"] != start["run_id"]:
        return "is of another run"
    if start is None and not isinstance(value.get("value"), dict):
        return "says nothing of the run"
    return ""


def _tracked(line: dict[str, Any]) -> Tracked:
    note = line.get("note")
    value = plain(line.get("value"), "value")
    return Tracked(time_ns(line["created_at"]) or 0, value, note if isinstance(note, str) else None)


def _run(start: dict[str, Any], calls: list[Tracked]) -> ImportedRun:
    said = start["value"]
    git, process, host = (_object(said.get(name)) for name in ("git", "process", "host"))
    began = time_ns(start["created_at"]) or 0
    ended = max((call.time_ns for call in calls), default=began)
    metadata = said.get("metadata")
    commit, branch = git.get("commit"), git.get("branch")
    arguments = process.get("argv")
    hostname = host.get("hostname")
    return ImportedRun(
        name=run_name(str(start.get("experiment_name") or "")),
        external_id=start["run_id"],
        metadata=metadata if isinstance(metadata, dict) else _named(metadata),
        series=calls,
        started_ns=began,
        duration=max(ended - began, 0) / 1e9,
        keys=(start["run_id"],),
        commit=commit if isinstance(commit, str) else None,
        is_snapshot=branch == f"run/{start['run_id']}",
        command=tuple(map(str, arguments)) if isinstance(arguments, list) else (),
        host=hostname if isinstance(hostname, str) else None,
    )


def _named(metadata: Any) -> dict[str, Any]:
    return {} if metadata is None else {"metadata": metadata}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
