"""Run a command and record it as a run.

The state of the code is recorded first, then the command runs with its output passed on as it
comes. Metrics are what an Experiment inside the command tracks; what the command writes as a JSON
object to the file that GITEXP_SUMMARY (or AUTORESEARCH_SUMMARY_PATH) names; or else the lines
'key: value' that it prints last, after a line '---'. --pattern takes them from anywhere instead.

The output is kept with the run as run.log: the first and the last MiB of it. The exit code is the
command's own; 128 + N when signal N ended it, 124 when its budget was over, 127 when it was not
found. With --json everything the command prints goes to stderr, and stdout is the run as JSON.
Where the setting exprag.metric says what runs are judged by, what to do next is decided, too.
"""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from gitexp.cli import about
from gitexp.cli.context import Context
from gitexp.cli.deciding import conclude
from gitexp.cli.output import print_error
from gitexp.command import LOG_NAME, CommandResult
from gitexp.errors import GitexpError, UsageError
from gitexp.running import Job, execute, exit_code, record_command
from gitexp.summary import parse_summary

AFTER_DASHES = "-- CMD…"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--name", metavar="N", help="what to call the run")
    about.add_options(parser)
    parser.add_argument(
        "--budget", type=about.seconds, metavar="TIME", help="end it after this time: 300s, 5m, 1h"
    )


def run(args: Namespace, context: Context) -> int:
    """Run, record, and say in one line what was recorded."""
    if not args.after_dashes:
        raise UsageError("There is no command to run.", "Put it last: git exp run -- python x.py")
    if args.pattern is not None:
        parse_summary(b"", args.pattern)  # a wrong pattern is said before the run, not after it
    if os.environ.get("GITEXP_MODE", "").lower() == "disabled":
        return _run_unrecorded(_job(args, context, {}), context)
    recorded = record_command(context.repository, _job(args, context, about.given(args, context)))
    say_why_not_started(recorded.result, context)
    found = conclude(context, recorded.run, decide=not args.no_decision)
    if context.output.json:
        context.output.data(found.document)
    else:
        sys.stderr.write(about.result_line(found.run) + "\n" + found.line)
    return recorded.exit_code


def _job(args: Namespace, context: Context, said: dict[str, object]) -> Job:
    """Return what is to be run.

    What the command line says of the run counts more than what an Experiment in it says. Not so
    parameters: what the program used is what it says.
    """
    named = {key: getattr(args, key) for key in ("name", "description", "hypothesis", "family")}
    return Job(
        tuple(args.after_dashes),
        about.default_name(args.after_dashes) if args.name is None else args.name,
        said,
        last_word=named | {"seed": args.seed},
        environment=dict(os.environ),
        budget_s=args.budget,
        pattern=args.pattern,
        stdout=2 if context.output.json else 1,
    )


def _run_unrecorded(job: Job, context: Context) -> int:
    """Only run the command, wherever that is."""
    with tempfile.TemporaryDirectory() as folder:
        result = execute(job, Path(folder, LOG_NAME), job.environment)
    say_why_not_started(result, context)
    if context.output.json:
        context.output.data({"exit_code": exit_code(result)})
    return exit_code(result)


def say_why_not_started(result: CommandResult, context: Context) -> None:
    """Print the error of a command that could not be started."""
    if result.status == "not_started":
        print_error(GitexpError(result.message), json=context.output.json)
