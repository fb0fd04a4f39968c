"""Runs out of the rows of any table or JSON lines, by what its columns mean.

What a row says is kept whole: what has no field of its own, or does not fit its column's field,
stands in the run's metadata under the column's name. A crashed run's zeros are left out: loops
write them where there was nothing to write.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gitexp.errors import ValueRejectedError
from gitexp.interchange.cells import is_missing, number, time_ns
from gitexp.interchange.columns import Meaning, guess_goal, infer
from gitexp.interchange.importing import ImportedRun, run_name
from gitexp.interchange.outcomes import FINISHED, Outcome, failure, outcome, without_placeholders
from gitexp.interchange.rows import Row, Rows, read_json_lines, read_table
from gitexp.interchange.source import Bad, Column, Reading, read_text
from gitexp.records.facts import Failure

_CANONICAL = frozenset({"keep", "discard", "crash"})
_NO_COMMIT = frozenset({"none", "unknown", "uncommitted", "nan"})
_UNITS = {"ms": 1e-3, "min": 60.0, "mins": 60.0, "minutes": 60.0, "h": 3600.0, "hours": 3600.0}
_FEWEST_VOTES = 8
_CLEAR = 0.75


def read_ledger(
    path: Path, form: str, given: Mapping[str, str], header: Sequence[str] | None = None
) -> Reading:
    """Return the runs of a ledger.

    Args:
        path: Of the file.
        form: ``table`` or ``jsonl``.
        given: Column -> field, as the user says.
        header: Names of a table's columns, instead of those in its first line.

    Raises:
        GitexpError: It cannot be read, or is no table.
        UsageError: ``given`` does not fit it.
    """
    text = read_text(path)
    rows = read_json_lines(text) if form == "jsonl" else read_table(text, header)
    values: dict[str, list[Any]] = {column: [] for column in rows.columns}
    for row in rows.rows:
        for column, value in row.values.items():
            if not is_missing(value):
                values[column].append(value)
    meanings = infer(rows.columns, values, given)
    reading = Reading(form, text.written_ns, bad=list(rows.bad), notes=list(rows.notes))
    reading.columns = [
        Column(name, meaning.field, meaning.source, len(values[name]))
        for name, meaning in meanings.items()
    ]
    _add_runs(reading, rows, meanings)
    reading.bad.sort(key=lambda bad: bad.line)
    reading.metric = guess_goal(meanings, given)
    reading.lower = direction_of_verdicts(reading.runs, reading.metric)
    return reading


def _add_runs(reading: Reading, rows: Rows, meanings: Mapping[str, Meaning]) -> None:
    """Make a run of each row; those that cannot be one, or are not over, are listed."""
    for row in rows.rows:
        if all(map(is_missing, row.values.values())):
            reading.bad.append(Bad("", row.line, "says nothing"))
            continue
        said = _Said(row, meanings)
        if said.outcome.status is None:
            reason = f"is of a run that is not over ({said.status})"
            reading.unfinished.append(Bad("", row.line, reason))
            continue
        try:
            reading.runs.append(said.run())
        except ValueRejectedError as error:
            reading.bad.append(Bad("", row.line, f"cannot be kept: {error.message}"))
        else:
            reading.placeholders += said.placeholders


class _Said:
    """What one row says, by field.

    Attributes:
        status: The status word; empty for none.
        outcome: What it means.
        metrics: Path -> value.
        placeholders: How many zeros of a crash were left out.
    """

    def __init__(self, row: Row, meanings: Mapping[str, Meaning]) -> None:
        self._row = row
        self._groups: dict[str, dict[str, Any]] = {"metrics": {}, "params": {}, "metadata": {}}
        self._own: dict[str, tuple[str, Any]] = {}
        self._tags: list[str] = []
        filled = {name: v for name, v in row.values.items() if not is_missing(v)}
        for column, value in filled.items():
            self._sort(column, value, meanings[column])
        self.status = str(self._own.get("status", ("", ""))[1]).strip()
        self.outcome = self._read_outcome()
        self.metrics, self.placeholders = without_placeholders(
            self._groups["metrics"], self.outcome.verdict
        )

    def _sort(self, column: str, value: Any, meaning: Meaning) -> None:
        if meaning.group == "metrics":
            self._add_metric(meaning.path, value)
        elif meaning.group == "params":
            self._groups["params"][meaning.path] = _typed(value)
        elif meaning.group == "metadata":
            self._groups["metadata"][meaning.path] = value
        elif meaning.field == "tag":
            self._tags += _tags(value)
        elif meaning.field != "ignore":
            self._own[meaning.field] = (column, value)

    def _add_metric(self, path: str, value: Any) -> None:
        measured = number(value)
        group = "metadata" if measured is None else "metrics"
        self._groups[group][path] = value if measured is None else measured

    def _read_outcome(self) -> Outcome:
        found = outcome(self.status)
        if self.status and self.status.lower() not in _CANONICAL:
            self._groups["metadata"].setdefault("status", self.status)
        return found or FINISHED

    def run(self) -> ImportedRun:
        """Return the row as a run.

        Raises:
            ValueRejectedError: It holds a value that cannot be kept.
        """
        description = self._text("description") or self._text("hypothesis")
        commit = self._text("commit")
        commit = None if commit is None or commit.lower() in _NO_COMMIT else commit
        seed, exit_code = self._integer("seed"), self._integer("exit_code")
        duration, started = self._duration(), self._started()
        error = self._failure(description)
        return ImportedRun(
            name=run_name(self._text("name"), description, commit),
            content=self._row.content,
            external_id=self._text("external_id"),
            description=description,
            hypothesis=self._text("hypothesis"),
            family=self._text("family"),
            tags=tuple(self._tags),
            parameters=self._groups["params"],
            metadata=self._groups["metadata"],
            metrics=self.metrics,
            started_ns=started,
            duration=duration,
            status=self.outcome.status or "finished",
            verdict=self.outcome.verdict,
            error=error,
            exit_code=exit_code,
            seed=seed,
            keys=self._keys(commit),
            parent=self._text("parent"),
            commit=commit,
        )

    def _text(self, field: str) -> str | None:
        value = self._own.get(field, ("", None))[1]
        return None if value is None else str(value).strip() or None

    def _refuse(self, field: str) -> None:
        """Keep what does not fit a field as metadata."""
        column, value = self._own[field]
        self._groups["metadata"].setdefault(column, value)

    def _integer(self, field: str) -> int | None:
        if field not in self._own:
            return None
        found = number(self._own[field][1])
        if isinstance(found, float) and found.is_integer() and abs(found) < 1 << 53:
            found = int(found)
        if isinstance(found, int):
            return found
        self._refuse(field)
        return None

    def _duration(self) -> float | None:
        if "duration" not in self._own:
            return None
        column, value = self._own["duration"]
        found = number(value)
        if found is None or not math.isfinite(found) or found < 0:
            self._refuse("duration")
            return None
        return found * _UNITS.get(re.split(r"[^a-z]+", column.lower())[-1], 1.0)

    def _started(self) -> int | None:
        if "time" not in self._own:
            return None
        found = time_ns(self._own["time"][1])
        if found is None:
            self._refuse("time")
        return found

    def _failure(self, description: str | None) -> Failure | None:
        said = self._text("error")
        if self.outcome.status == "finished" and said is None:
            return None
        return failure(said or description or self.status, self.status.lower() or "error")

    def _keys(self, commit: str | None) -> tuple[str, ...]:
        """Return what other rows may call this one: its commit, name, number."""
        numbers = (self._groups["metadata"].get(name) for name in _NUMBERS)
        keys = (commit, self._text("name"), self._text("external_id"), *numbers)
        return tuple(str(key) for key in keys if key is not None)


_NUMBERS = ("experiment", "exp", "exp_id", "experiment_id", "id", "run", "run_id", "iteration")


def _typed(value: Any) -> Any:
    """Return a text of a table as the number or truth that it stands for."""
    if not isinstance(value, str):
        return value
    if value.lower() in ("true", "false"):
        return value.lower() == "true"
    found = number(value)
    return value if found is None or value.endswith("%") else found


def _tags(value: Any) -> list[str]:
    items = value if isinstance(value, list) else re.split(r"[,;|]", str(value))
    return [text for item in items if (text := str(item).strip())]


def direction_of_verdicts(runs: Sequence[ImportedRun], metric: str | None) -> bool | None:
    """Say whether lower values of a metric are better, as the verdicts have it.

    Each run is compared with the last one that was kept: one that was kept should be better, one
    that was discarded worse. It is said where three quarters of at least 8 agree, else None.
    """
    kept: float | None = None
    lower = higher = 0
    for run in runs:
        value = run.metrics.get(metric or "")
        if not isinstance(value, int | float) or not math.isfinite(value):
            continue
        if kept is not None and value != kept and run.verdict in ("keep", "discard"):
            is_lower = (value < kept) == (run.verdict == "keep")
            lower, higher = lower + is_lower, higher + (not is_lower)
        kept = value if run.verdict == "keep" else kept
    if lower + higher < _FEWEST_VOTES or max(lower, higher) < _CLEAR * (lower + higher):
        return None
    return lower > higher
