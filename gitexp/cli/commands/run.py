"""Run a command and record it as a run.

The state of the code is recorded first, then the command runs with its output passed on as it
comes. Metrics are what an Experiment inside the command tracks; what the command writes as a JSON
object to the file that GITEXP_SUMMARY (or AUTORESEARCH_SUMMARY_PATH) names; or else the lines
'key: value' that it prints last, after a line '---'. --pattern takes them from anywhere instead.

The output is kept with the run as run.log: the first and the last MiB of it. The exit code is the
command's own; 128 + N when signal N ended it, 124 when its budget was over, 127 when it was not
found. With --json everything the command prints goes to stderr, and stdout is the run as JSON.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import warnings
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.output import print_error
from gitexp.command import LOG_NAME, CommandResult, read_log, run_command
from gitexp.errors import GitexpError, GitexpWarning, UsageError, ValueRejectedError
from gitexp.experiment import Experiment
from gitexp.git.refs import is_run_id
from gitexp.git.repository import Repository
from gitexp.journal import files_folder
from gitexp.records.facts import Failure, Status
from gitexp.render.text import number, safe, short, span
from gitexp.run import Run
from gitexp.summary import Sidecar, parse_failure, parse_summary

AFTER_DASHES = "-- CMD…"
_TIMEOUT_EXIT = 124
_SIGNAL_EXIT = 128
_NAME_LENGTH = 60
_SHOWN_METRICS = 6
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_INTERPRETER = re.compile(r"python[0-9.]*|pypy[0-9.]*|bash|sh|zsh|env|time|nice|Rscript|julia|node")


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--name", metavar="N", help="what to call the run")
    parser.add_argument("-m", "--description", metavar="TEXT", help="what is tried")
    parser.add_argument("--hypothesis", metavar="TEXT", help="what is expected, and why")
    parser.add_argument("--family", metavar="NAME", help="the line of ideas that it belongs to")
    parser.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="a label; may be repeated"
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        type=parameter,
        metavar="KEY=VALUE",
        help="a parameter; VALUE is JSON or else text, dots in KEY nest; may be repeated",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the random numbers")
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="PATH",
        help="data whose fingerprint is recorded; may be repeated",
    )
    parser.add_argument(
        "--budget", type=seconds, metavar="TIME", help="end it after this time: 300s, 5m, 1h"
    )
    parser.add_argument(
        "--pattern",
        metavar="REGEX",
        help="take metrics from output lines, with the groups 'key' and 'value', or one a metric",
    )
    parser.add_argument("--parent", metavar="RUN", help="the run that this one continues")


def seconds(text: str) -> float:
    """Return a length of time such as ``90``, ``300s``, ``5m`` or ``1.5h`` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found is None or float(found[1]) == 0:
        raise ArgumentTypeError(f"{text!r} is no length of time such as 300s, 5m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def parameter(text: str) -> tuple[str, Any]:
    """Return a parameter given as ``KEY=VALUE``; a value that is not JSON is text."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


def nested(parameters: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return parameters with dots in their keys as nested dicts.

    Raises:
        UsageError: A key is given both a value and keys below it.
    """
    result: dict[str, Any] = {}
    for key, value in parameters:
        *folders, last = key.split(".")
        place: Any = result
        for folder in folders:
            place = place.setdefault(folder, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict) or isinstance(place.get(last), dict):
            raise UsageError(f"The parameter {key!r} contradicts another one.", "Rename one.")
        place[last] = value
    return result


def default_name(command: Sequence[str]) -> str:
    """Return a short name for a command: its words without interpreters and folders."""
    words = list(command)
    while _INTERPRETER.fullmatch(Path(words[0]).name):
        if words[1:2] == ["-m"] and len(words) > 2:  # noqa: PLR2004
            del words[:2]
        elif len(words) > 1 and not words[1].startswith("-"):
            del words[0]
        else:
            break
    shown = [Path(word).name if "/" in word else word for word in words]
    text = " ".join(" ".join(shown).split()) or "run"
    return text if len(text) <= _NAME_LENGTH else text[: _NAME_LENGTH - 1].rstrip() + "…"


def run(args: Namespace, context: Context) -> int:
    """Run, record, and say in one line what was recorded."""
    if not args.after_dashes:
        raise UsageError("There is no command to run.", "Put it last: git exp run -- python x.py")
    if args.pattern is not None:
        parse_summary(b"", args.pattern)  # a wrong pattern is said before the run, not after it
    if os.environ.get("GITEXP_MODE", "").lower() == "disabled":
        return _run_unrecorded(args, context)
    run_id, exit_code = record(args, context)
    recorded = _sealed(context, run_id)
    if context.output.json:
        context.output.data(recorded.to_dict())
    else:
        sys.stderr.write(_last_line(recorded) + "\n")
    return exit_code


def _run_unrecorded(args: Namespace, context: Context) -> int:
    """Only run the command, wherever that is."""
    with tempfile.TemporaryDirectory() as folder:
        result = _run_command(args, context, Path(folder, LOG_NAME), os.environ)
    exit_code = _exit_code(result)
    if context.output.json:
        context.output.data({"exit_code": exit_code})
    return exit_code


def record(args: Namespace, context: Context) -> tuple[str, int]:
    """Run the command as a run of its own, sealed when this returns; return id and exit code."""
    # Inside of another run this one is its child, not a part of it.
    outer = os.environ.pop("GITEXP_RUN", "")
    parent = outer if is_run_id(outer) else None
    if args.parent is not None:
        parent = context.memory.get(args.parent).id
    with Experiment(
        default_name(args.after_dashes) if args.name is None else args.name,
        params=nested(args.param),
        tags=args.tag,
        description=args.description,
        hypothesis=args.hypothesis,
        family=args.family,
        seed=args.seed,
        inputs=args.input,
        parent=parent,
        command=args.after_dashes,
    ) as experiment:
        log = _log_path(context.repository, experiment.run_id)
        result = _execute(args, context, experiment, log)
        _have_the_last_word(args, experiment)
        status, failure = _judge(result, args.budget)
        experiment.finish(status, exit_code=result.exit_code, error=failure)
    return experiment.run_id, _exit_code(result)


def _sealed(context: Context, run_id: str) -> Run:
    """Return a run as the repository has it now; runs whose process is gone are sealed too."""
    context.memory.refresh()
    return context.memory.get(run_id)


def _log_path(repository: Repository, run_id: str) -> Path:
    """Return where the log is written: with the run from the start, so that it outlives us."""
    folder = files_folder(repository, run_id)
    folder.mkdir(parents=True, exist_ok=True)
    return folder / LOG_NAME


def _execute(args: Namespace, context: Context, experiment: Experiment, log: Path) -> CommandResult:
    """Run the command and track what it reported."""
    with Sidecar(os.environ, Path.cwd()) as sidecar:
        joined = {
            "GITEXP_RUN": experiment.run_id,
            "GITEXP_GIT_DIR": str(context.repository.common_dir),
        }
        environment = {**os.environ, **joined, **sidecar.variables}
        result = _run_command(args, context, log, environment)
        reported = sidecar.read() or parse_summary(read_log(log), args.pattern)
    try:
        if reported:
            experiment.track(reported, note="summary")
    except ValueRejectedError as error:
        warnings.warn(f"The summary is not recorded: {error}", GitexpWarning, stacklevel=2)
    return result


def _run_command(
    args: Namespace, context: Context, log: Path, environment: Mapping[str, str]
) -> CommandResult:
    result = run_command(
        args.after_dashes,
        log=log,
        cwd=Path.cwd(),
        environment=environment,
        budget_s=args.budget,
        stdout=2 if context.output.json else 1,
    )
    if result.status == "not_started":
        print_error(GitexpError(result.message), json=context.output.json)
    return result


def _have_the_last_word(args: Namespace, experiment: Experiment) -> None:
    """Let what the command line says of the run count more than what an Experiment in it said.

    Not so parameters: what the program used is what it says.
    """
    named = {"name": args.name, "description": args.description, "family": args.family}
    experiment.describe(**named, hypothesis=args.hypothesis, seed=args.seed)


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


def _exit_code(result: CommandResult) -> int:
    """Return the exit code that shells and coreutils would give."""
    if result.status == "timeout":
        return _TIMEOUT_EXIT
    return _SIGNAL_EXIT - result.exit_code if result.exit_code < 0 else result.exit_code


def _last_line(run: Run) -> str:
    metrics = [f"{safe(k)} {number(s.last)}" for k, s in list(run.metrics.items())[:_SHOWN_METRICS]]
    if len(run.metrics) > _SHOWN_METRICS:
        metrics.append(f"{len(run.metrics) - _SHOWN_METRICS} more")
    head = f"run {short(run.id)} ({safe(run.name)}) {run.status} in {span(run.duration or 0)}"
    return f"{head}: {', '.join(metrics)}" if metrics else head
