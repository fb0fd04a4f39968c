"""What a training run left behind: a log, and perhaps a JSON file of metrics.

A line ``word: text`` of the log is a metric, whatever it says; a name with other characters than
lower-case letters and ``_`` is none. The JSON file goes before the log, however old it is. Both
rules are MemoryLab's. Of a very long log the beginning and the end are read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gitexp.errors import GitexpError
from gitexp.light import NamedTuple
from gitexp.memorylab.record import MEMORY, METRIC, Error, number
from gitexp.recording import read_output, read_summary
from gitexp.records.nested import json_numbers

TAIL_LINES = 8

_METRIC_LINE = re.compile(r"^([a-z_]+):\s+(.+?)\s*$")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")


class Outcome(NamedTuple):
    """What was found.

    Attributes:
        log: Content of the log; None where there is none. `summary` likewise.
        metrics: Name -> value, out of the summary if there is one, else of the log.
    """

    log: bytes | None
    summary: bytes | None
    metrics: dict[str, Any]


def read_outcome(log: Path, summary: Path | None) -> Outcome:
    """Read what a run left behind; a file that is not there counts as not written.

    Raises:
        GitexpError: A file cannot be read, or the summary is no JSON object.
    """
    said = read_output(log) if log.exists() else None
    if summary is not None and summary.exists():
        metrics = json_numbers(read_summary(summary))
        return Outcome(said, summary.read_bytes(), metrics)
    return Outcome(said, None, metrics_of_log(_text(said)))


def _text(content: bytes | None) -> str:
    return (content or b"").decode("utf-8", "replace")


def metrics_of_log(log: str) -> dict[str, Any]:
    """Return what the lines of a log name; of a name that comes twice the last."""
    found = (_METRIC_LINE.match(line) for line in log.splitlines())
    return {match[1]: _value(match[2]) for match in found if match}


def _value(text: str) -> Any:
    """Return a text as a number where it is a finite one, else as it is."""
    if _INTEGER.fullmatch(text):
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return text
    return value if math.isfinite(value) else text


def require_metrics(metrics: Mapping[str, Any], status: str) -> None:
    """Refuse a run that is said to have finished and has no result.

    Raises:
        GitexpError: It lacks ``val_bpb`` or ``peak_vram_mb``.
    """
    missing = [name for name in (METRIC, MEMORY) if number(metrics.get(name)) is None]
    if missing:
        raise GitexpError(
            f"A run that is logged as {status} needs a number for {' and '.join(missing)}.",
            "Name the log with --log or the JSON file with --summary, or use --status crash.",
        )


def error_of(log: bytes | None, given: str, source: str) -> Error:
    """Return why a run crashed.

    Args:
        log: Its log.
        given: What the user says. If that is empty: the last line of the log that is not empty
            after the first ``Traceback``, or of all of it.
        source: Name of the log.
    """
    lines = [line.rstrip() for line in _text(log).splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    tail = "\n".join(lines[-TAIL_LINES:])
    if given:
        return Error(given, tail, "argument")
    first = next((i for i, line in enumerate(lines) if "Traceback" in line), -1)
    last = next((line.strip() for line in reversed(lines[first + 1 :]) if line), "")
    return Error(last or "The run crashed and its log says nothing.", tail, source)
