"""Run a command and record it as a run: what ``git exp run`` and ``git exp replicate`` share.

The state of the code is recorded first, then the command runs; what it reported is tracked and
how it ended is judged. The run is an `Experiment` of this process, so it belongs to the
repository of the current folder and of the environment, as in a script.

Who does not take the command's word for it gives an *audit*: it looks at what the command left
behind before the run is over, and says what counts instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gitexp.command import LOG_NAME, CommandResult, read_log, run_command
from gitexp.errors import GitexpWarning, ValueRejectedError
from gitexp.experiment import Experiment
from gitexp.git.repository import Repository
from gitexp.journal import files_folder
from gitexp.records.facts import Failure, Status
from gitexp.summary import Sidecar, parse_failure, parse_summary

_TIMEOUT_EXIT = 124
_SIGNAL_EXIT = 128


@dataclass(frozen=True)
class Job:
    """A command that is to be run and recorded.

    Attributes:
        command: The program and its arguments.
        name: Of the run.
        about: Further arguments of `gitexp.Experiment`: ``params``, ``tags``, ``description``…
        last_word: What counts more than what an Experiment in the command says of the run: the
            arguments of `gitexp.Experiment.describe`.
        environment: All variables of the command, but for those that it gets as a run.
        budget_s: Seconds after which it is ended.
        pattern: Where its results are in its output; see `gitexp.summary.parse_summary`.
        wrap: Arguments that it is started behind, those of a sandbox say; no part of the run.
        stdin: Descriptor that it reads from; our standard input by default.
        stdout: Descriptor that its standard output is passed on to.
        stderr: Descriptor that its standard error is passed on to.
    """

    command: tuple[str, ...]
    name: str
    about: Mapping[str, Any]
    last_word: Mapping[str, Any]
    environment: Mapping[str, str] = field(repr=False)
    budget_s: float | None = None
    pattern: str | None = None
    wrap: tuple[str, ...] = ()
    stdin: int | None = None
    stdout: int = 1
    stderr: int = 2


@dataclass(frozen=True)
class Recorded:
    """A run that is over and sealed.

    Attributes:
        run: Its id.
        result: How its command ended.
    """

    run: str
    result: CommandResult

    @property
    def exit_code(self) -> int:
        """The exit code that shells and coreutils would give."""
        return exit_code(self.result)


@dataclass(frozen=True)
class Audited:
    """What counts of a run.

    Attributes:
        metrics: What is tracked as its summary.
        status: How it ended, whatever its command says; None where that holds. `failure` is why.
    """

    metrics: Mapping[str, Any]
    status: Status | None = None
    failure: Failure | None = None


Audit = Callable[[Experiment, CommandResult, Mapping[str, Any]], Audited]
"""Gets the run in progress, how its command ended, and what that reported."""


def record_command(repository: Repository, job: Job, audit: Audit | None = None) -> Recorded:
    """Run a command as a run of its own, sealed when this returns.

    Args:
        repository: That of the current folder.
        job: What to run.
        audit: Says what counts; what the command says by default.

    Raises:
        GitexpError: As for `gitexp.Experiment`; then nothing ran.
    """
    with Experiment(job.name, command=job.command, **job.about) as experiment:
        log = _log_path(repository, experiment.run_id)
        result, reported = _execute(repository, job, experiment, log)
        found = Audited(reported) if audit is None else audit(experiment, result, reported)
        _track(experiment, found.metrics)
        experiment.describe(**job.last_word)
        status, failure = _judge(result, job.budget_s)
        if found.status is not None:
            status, failure = found.status, found.failure
        experiment.finish(status, exit_code=result.exit_code, error=failure)
    return Recorded(experiment.run_id, result)


def execute(job: Job, log: Path, environment: Mapping[str, str]) -> CommandResult:
    """Only run the command of a job, in the current folder."""
    return run_command(
        [*job.wrap, *job.command],
        log=log,
        cwd=Path.cwd(),
        environment=environment,
        budget_s=job.budget_s,
        stdin=job.stdin,
        stdout=job.stdout,
        stderr=job.stderr,
    )


def exit_code(result: CommandResult) -> int:
    """Return the exit code that shells and coreutils would give."""
    if result.status == "timeout":
        return _TIMEOUT_EXIT
    return _SIGNAL_EXIT - result.exit_code if result.exit_code < 0 else result.exit_code


def _log_path(repository: Repository, run_id: str) -> Path:
    """Return where the log is written: with the run from the start, so that it outlives us."""
    folder = files_folder(repository, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / LOG_NAME


def _execute(
    repository: Repository, job: Job, experiment: Experiment, log: Path
) -> tuple[CommandResult, Mapping[str, Any]]:
    """Run the command; return how it ended and what it reported."""
    with Sidecar(job.environment, Path.cwd()) as sidecar:
        joined = {
            "GITEXP_RUN": experiment.run_id,
            "GITEXP_GIT_DIR": str(repository.common_dir),
        }
        result = execute(job, log, {**job.environment, **joined, **sidecar.variables})
        return result, sidecar.read() or parse_summary(read_log(log), job.pattern)


def _track(experiment: Experiment, metrics: Mapping[str, Any]) -> None:
    try:
        if metrics:
            experiment.track(metrics, note="summary")
    except ValueRejectedError as error:
        warnings.warn(f"The summary is not recorded: {error}", GitexpWarning, stacklevel=3)


def _judge(result: CommandResult, budget_s: float | None) -> tuple[Status, Failure | None]:
    """Return how a run ended whose command ended like this."""
    if result.status == "not_started":
        return "failed", Failure("not started", result.message)
    if result.status == "interrupted":
        return "interrupted", None
    failure = parse_failure(result.tail, result.exit_code)
    if result.status == "timeout":
        tail = failure.tail if failure else ""
        return "timeout", Failure("timeout", f"The budget of {budget_s:g} s was over.", tail)
    if failure is None:
        return "finished", None
    return ("failed" if failure.type.startswith("exit code ") else "crashed"), failure
