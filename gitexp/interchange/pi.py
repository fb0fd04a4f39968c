"""pi-autoresearch: JSON lines of sessions (``type`` is ``config``) and of their runs.

A session's line says what its metric is called and which direction of it is better; runs that
follow have its value as ``metric``. What the agent wrote before the run is in ``asi``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gitexp.errors import ValueRejectedError
from gitexp.interchange.cells import number, time_ns
from gitexp.interchange.importing import ImportedRun, run_name
from gitexp.interchange.outcomes import FINISHED, failure, outcome, without_placeholders
from gitexp.interchange.rows import canonical, decode_object
from gitexp.interchange.source import Bad, Reading, read_text

FORMAT = "pi"
_OWN = frozenset(
    ("type", "run", "commit", "metric", "metrics", "status", "description", "timestamp", "asi")
)


def is_pi(first: dict[str, Any]) -> bool:
    """Say whether the first object of a file begins a ledger of pi-autoresearch."""
    return first.get("type") == "config" and "metricName" in first


def read_pi(path: Path) -> Reading:
    """Return the runs of a ledger of pi-autoresearch.

    Raises:
        GitexpError: It cannot be read.
    """
    text = read_text(path)
    reading = Reading(FORMAT, text.written_ns, notes=list(text.notes))
    session: dict[str, Any] = {}
    for line in text.lines:
        if not (line.text.strip() or line.problem):
            continue
        value, problem = (None, line.problem) if line.problem else decode_object(line.text)
        if value is None:
            reading.bad.append(Bad("", line.number, problem))
        elif value.get("type") == "config":
            session = value
            reading.metric = _metric_name(session)
            reading.lower = {"lower": True, "higher": False}.get(str(session.get("bestDirection")))
        else:
            _add(reading, value, session, line.number)
    return reading


def _metric_name(session: dict[str, Any]) -> str:
    return str(session.get("metricName") or "metric")


def _add(reading: Reading, row: dict[str, Any], session: dict[str, Any], line: int) -> None:
    if "run" not in row and "metric" not in row:
        reading.bad.append(Bad("", line, "is neither a session nor a run"))
        return
    status = str(row.get("status") or "")
    ended = outcome(status) or FINISHED
    if ended.status is None:
        reading.unfinished.append(Bad("", line, f"is of a run that is not over ({status})"))
        return
    metrics, placeholders = without_placeholders(_metrics(row, session), ended.verdict)
    asi = row["asi"] if isinstance(row.get("asi"), dict) else {}
    description = _text(row.get("description")) or _text(asi.get("hypothesis"))
    try:
        run = ImportedRun(
            name=run_name(description, _text(row.get("commit"))),
            content=canonical(row),
            description=description,
            hypothesis=_text(asi.get("hypothesis")),
            metadata=_metadata(row, session),
            metrics=metrics,
            started_ns=time_ns(row.get("timestamp")),
            status=ended.status,
            verdict=ended.verdict,
            error=None if ended.status == "finished" else failure(description or status, status),
            keys=() if row.get("commit") is None else (str(row["commit"]),),
            commit=_text(row.get("commit")),
        )
    except ValueRejectedError as error:
        reading.bad.append(Bad("", line, f"cannot be kept: {error.message}"))
    else:
        reading.runs.append(run)
        reading.placeholders += placeholders


def _metadata(row: dict[str, Any], session: dict[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in row.items() if key not in _OWN}
    metadata["tokens"] = metadata.pop("iterationTokens", None)
    metadata |= {"run": row.get("run"), "asi": row.get("asi"), "session": session.get("name")}
    if row.get("status") not in ("keep", "discard", "crash"):
        metadata["status"] = row.get("status")
    return {key: value for key, value in metadata.items() if value is not None}


def _metrics(row: dict[str, Any], session: dict[str, Any]) -> dict[str, Any]:
    more = row["metrics"] if isinstance(row.get("metrics"), dict) else {}
    given = {_metric_name(session): row.get("metric"), **more}
    found = {path: number(value) for path, value in given.items()}
    return {path: value for path, value in found.items() if value is not None}


def _text(value: Any) -> str | None:
    return value.strip() or None if isinstance(value, str) else None
