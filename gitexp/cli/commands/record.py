"""Record a run that happened outside.

The work tree as it is now is its code. Metrics are given one by one, as a JSON file, or found in
the output: the lines 'key: value' after its last line '---', or with --pattern anywhere. Of a
crash the output tells what was raised. What was run can be said after '--', or with --command.
Where the setting exprag.metric says what runs are judged by, what to do next is decided, too.
"""

from __future__ import annotations

import math
import shlex
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Any, get_args

from gitexp.cli import about
from gitexp.cli.context import Context
from gitexp.cli.deciding import conclude
from gitexp.command import LOG_NAME
from gitexp.errors import UsageError
from gitexp.recording import Outcome, read_output, read_summary, record
from gitexp.records.facts import Failure, Status, Verdict
from gitexp.summary import parse_failure, parse_summary

AFTER_DASHES = "[-- CMD…]"
_STATUSES: dict[str, tuple[Status, Verdict | None]] = {
    "keep": ("finished", "keep"),
    "discard": ("finished", "discard"),
    "crash": ("crashed", "crash"),
    **{status: (status, None) for status in get_args(Status)},
}
_UNKNOWN_EXIT = "exit code 1"
"""What `parse_failure` says of an output that names no exception."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="what to call the run")
    about.add_options(parser)
    parser.add_argument(
        "--metric",
        action="append",
        default=[],
        type=metric,
        metavar="KEY=VALUE",
        help="a result; VALUE is a number, nan and inf included; may be repeated",
    )
    parser.add_argument("--summary", metavar="FILE", type=Path, help="results as a JSON object")
    parser.add_argument("--log", metavar="FILE", type=Path, help="its output, kept as run.log")
    parser.add_argument(
        "--status",
        choices=list(_STATUSES),
        default="finished",
        help="how it ended; keep, discard and crash are verdicts, too (default: finished)",
    )
    parser.add_argument("--error", metavar="TEXT", help="what went wrong")
    parser.add_argument(
        "--duration", type=about.seconds, metavar="TIME", help="how long it took: 300s, 5m, 1h"
    )
    parser.add_argument(
        "--file",
        action="append",
        default=[],
        type=Path,
        metavar="PATH",
        help="a file to keep with the run; may be repeated",
    )
    parser.add_argument("--command", metavar="LINE", help="what was run, in a shell's words")


def metric(text: str) -> tuple[str, float | int]:
    """Return a metric given as ``KEY=VALUE``."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    try:
        number = float(value)
        return key, int(value) if _is_integer(value, number) else number
    except ValueError:
        raise ArgumentTypeError(f"{value!r} is not a number") from None


def _is_integer(text: str, number: float) -> bool:
    return math.isfinite(number) and text.strip().lstrip("+-").isdecimal() and abs(number) < 2**63


def run(args: Namespace, context: Context) -> int:
    """Record, and say in one line what was recorded."""
    command = _command(args)
    outcome = _outcome(args)
    said = about.given(args, context)
    run_id = record(context.repository, _name(args, command), outcome, command=command, **said)
    if not run_id:
        if context.output.json:
            context.output.data({})
        return 0
    found = conclude(context, run_id, decide=not args.no_decision)
    if context.output.json:
        context.output.data(found.document)
    else:
        sys.stdout.write(about.result_line(found.run) + "\n")
        sys.stderr.write(found.line)
    return 0


def _command(args: Namespace) -> list[str]:
    if args.command is None:
        return list(args.after_dashes)
    if args.after_dashes:
        raise UsageError("The command is given twice.", "Use either --command or '--'.")
    try:
        return shlex.split(args.command)
    except ValueError as error:
        raise UsageError(f"--command is no line of a shell: {error}.") from error


def _name(args: Namespace, command: list[str]) -> str:
    if args.name is not None:
        return str(args.name)
    if command and any(command):
        return about.default_name(command)
    return about.short_name(args.description or "") or "recorded"


def _outcome(args: Namespace) -> Outcome:
    """Return what came out of the run, read from its files, before anything is recorded."""
    log = None if args.log is None else read_output(args.log)
    found: dict[str, Any] = dict(parse_summary(log or b"", args.pattern))
    if args.summary is not None:
        found |= read_summary(args.summary)
    status, verdict = _STATUSES[args.status]
    return Outcome(
        metrics=found | dict(args.metric),
        status=status,
        error=_failure(args, status, log or b""),
        files=_files(args),
        log=log,
        duration_s=args.duration,
        verdict=verdict,
    )


def _failure(args: Namespace, status: Status, log: bytes) -> Failure | None:
    """Return what went wrong, as far as the output and ``--error`` tell."""
    if status == "finished":
        if args.error is not None:
            raise UsageError("--error is of a run that failed.", "Add --status crash, or failed.")
        return None
    found = parse_failure(log, 1) if log and status in ("crashed", "failed") else None
    kind = found.type if found and found.type != _UNKNOWN_EXIT else "error"
    message = found.message if found else ""
    if args.error is not None:
        message = args.error
    return Failure(kind, message, found.tail if found else "") if found or message else None


def _files(args: Namespace) -> dict[str, Path]:
    """Return the files to keep by their names in the run: relative paths stay as they are."""
    files: dict[str, Path] = {}
    for path in args.file:
        inside = not path.is_absolute() and ".." not in path.parts
        name = path.as_posix() if inside else path.name
        if name in files or (name == LOG_NAME and args.log is not None):
            raise UsageError(f"Two files are to be kept as {name!r}.", "Rename one.")
        files[name] = path
    return files
