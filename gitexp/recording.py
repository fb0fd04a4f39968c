"""Record a run that happened outside, with the work tree as its code (``git exp record``).

It ended now, and started as long ago as its author says that it took. What it left behind is
foreign data: a file is read only if it is one, and only so much of it as is kept.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from gitexp.command import LOG_NAME
from gitexp.errors import GitexpError
from gitexp.experiment import MAX_FILE_BYTES, Experiment
from gitexp.git.repository import Repository
from gitexp.records.facts import Failure, Status, Verdict
from gitexp.records.nested import flatten
from gitexp.records.values import plain
from gitexp.remark import add_remark

MAX_SUMMARY_BYTES = 1 << 20
"""A larger file is no summary."""

LOG_HEAD_BYTES = LOG_TAIL_BYTES = 1 << 20
"""How much of the beginning and of the end of an output is kept, as `git exp run` does."""


@dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    Attributes:
        metrics: Name -> value, nested if you like; tracked as one call.
        files: Files to keep with the run, by the name that they get there.
        log: Its output, kept as ``run.log``; see `read_output`.
        duration_s: Seconds that it took, where that is known.
        verdict: What its author said of it.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "finished"
    exit_code: int | None = None
    error: Failure | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
    log: bytes | None = None
    duration_s: float | None = None
    verdict: Verdict | None = None


def record(
    repository: Repository,
    name: str,
    outcome: Outcome,
    *,
    command: Iterable[str] = (),
    **about: Any,
) -> str:
    """Record a run that is over, with the work tree as it is now as its code.

    Args:
        repository: That of the current folder.
        name: Of the run.
        outcome: What came out.
        command: What was run, as far as that is known.
        about: Further arguments of `gitexp.Experiment`: ``params``, ``tags``, ``description``…

    Returns:
        The run's id; empty where ``GITEXP_MODE=disabled`` says that nothing is recorded.

    Raises:
        GitexpError: As for `gitexp.Experiment`, or something of the outcome cannot be kept:
            then nothing is recorded.
    """
    plain(dict(outcome.metrics), "metrics")  # what cannot be kept is said before the run is there
    with ExitStack() as stack:
        files = dict(outcome.files)
        if outcome.log is not None:
            files[LOG_NAME] = _as_file(outcome.log, stack)
        for path in files.values():
            _require_file(path)
        started = Experiment(name, command=command, ago_s=outcome.duration_s or 0.0, **about)
        experiment = stack.enter_context(started)
        for kept, path in files.items():
            experiment.log_file(path, kept)
        if outcome.metrics:
            experiment.track(dict(outcome.metrics), note="summary")
        experiment.finish(outcome.status, exit_code=outcome.exit_code, error=outcome.error)
    if experiment.run_id and outcome.verdict is not None:
        add_remark(repository, experiment.run_id, verdict=outcome.verdict)
    return experiment.run_id


def _as_file(content: bytes, stack: ExitStack) -> Path:
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="gitexp-"))
    path = Path(folder, LOG_NAME)
    path.write_bytes(content)
    return path


def _require_file(path: Path) -> None:
    """Check that a file can be kept, before anything is recorded."""
    with _open_file(path, "file") as file:
        size = os.fstat(file.fileno()).st_size
    if size > MAX_FILE_BYTES:
        raise GitexpError(
            f"{_shown(path)} has {size / 1e6:.0f} MB; a file kept with a run has at most 50 MiB.",
            "Keep it elsewhere and name its path in the description.",
        )


def read_summary(path: Path) -> dict[str, Any]:
    """Return the results in a JSON file, by dotted path; NaN and infinities as Python writes them.

    Raises:
        GitexpError: It is not a regular file of at most 1 MiB that holds a JSON object.
    """
    with _open_file(path, "summary") as file:
        content = file.read(MAX_SUMMARY_BYTES + 1)
    if len(content) > MAX_SUMMARY_BYTES:
        raise GitexpError(
            f"The summary {_shown(path)} is larger than 1 MiB.", "Keep it with --file instead."
        )
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise GitexpError(f"The summary {_shown(path)} is not JSON: {error}.") from error
    if not isinstance(data, dict):
        raise GitexpError(
            f"The summary {_shown(path)} does not hold a JSON object.",
            'It is to look like {"loss": 0.5, "steps": 100}.',
        )
    plain(data, "summary")  # not nested too deeply, for one thing
    return flatten(data)


def read_output(path: Path) -> bytes:
    """Return an output as it is kept: all of it, or the first and the last MiB of too much.

    Raises:
        GitexpError: It is not a regular file, or cannot be read.
    """
    with _open_file(path, "log") as file:
        head = file.read(LOG_HEAD_BYTES)
        size = os.fstat(file.fileno()).st_size
        left_out = size - len(head) - LOG_TAIL_BYTES
        if left_out <= 0:
            return head + file.read(LOG_TAIL_BYTES)
        file.seek(-LOG_TAIL_BYTES, os.SEEK_END)
        return b"%s\n[%d bytes left out]\n%s" % (head, left_out, file.read(LOG_TAIL_BYTES))


def _open_file(path: Path, what: str) -> IO[bytes]:
    """Open a regular file; a pipe would make us wait, and a device has no end.

    Raises:
        GitexpError: It is none, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise GitexpError(f"The {what} {_shown(path)} cannot be read: {reason}.") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise GitexpError(f"The {what} {_shown(path)} is not a regular file.")
    return os.fdopen(descriptor, "rb")


def _shown(path: Path) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
