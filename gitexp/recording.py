"""Record a run that happened outside, with the work tree as its code (``git exp record``)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp.experiment import Experiment
from gitexp.git.repository import Repository
from gitexp.records.facts import Failure, Status, Verdict
from gitexp.remark import add_remark


@dataclass(frozen=True)
class Outcome:
    """What came out of a run.

    Attributes:
        metrics: Name -> value, nested if you like; tracked as one call.
        files: Files to keep with the run, by the name that they get there.
        verdict: What its author said of it.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    status: Status = "finished"
    exit_code: int | None = None
    error: Failure | None = None
    files: Mapping[str, Path] = field(default_factory=dict)
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
        The run's id.

    Raises:
        GitexpError: As for `gitexp.Experiment`, or a file cannot be kept; then the run is
            recorded as ``failed``.
    """
    with Experiment(name, command=command, **about) as experiment:
        for kept, path in outcome.files.items():
            experiment.log_file(path, kept)
        if outcome.metrics:
            experiment.track(dict(outcome.metrics), note="summary")
        experiment.finish(outcome.status, exit_code=outcome.exit_code, error=outcome.error)
    if outcome.verdict is not None:
        add_remark(repository, experiment.run_id, verdict=outcome.verdict)
    return experiment.run_id
