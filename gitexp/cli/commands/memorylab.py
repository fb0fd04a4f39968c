"""Do what 'python memorylab.py' does: init, check, log and report, with its files and verdicts.

The runs are recorded in git like all others; the ledger, the registry, the reports and the archive
below results/memorylab, and results.tsv, are written for scripts that read them, and made again
from git where they are missing. An existing ledger is taken into git by the first command.

'git exp memorylab check -h' explains one of the four. 'check --fail-on-similar' exits with 2 where
the decision is block; everything that fails exits with 1.

For a guard, noise and decisions that hold for any metric, see 'git exp check' and 'git exp report'.
"""

from __future__ import annotations

import os
from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

from gitexp.cli.context import Context
from gitexp.errors import GitexpError
from gitexp.memorylab.guard import LIMIT, THRESHOLD, Result
from gitexp.memorylab.lab import Entry, Idea, check, init, log, report
from gitexp.memorylab.packet import value
from gitexp.memorylab.record import Mode, Status
from gitexp.memorylab.report import SINCE_HOURS
from gitexp.render.text import short

_BLOCKED = 2
_FAILED = 1
_SUMMARY_PATH = "AUTORESEARCH_SUMMARY_PATH"


def configure(parser: ArgumentParser) -> None:
    """Declare the four commands and their arguments."""
    commands = parser.add_subparsers(
        dest="action", metavar="COMMAND", required=True, help="init, check, log or report"
    )
    add: Callable[..., ArgumentParser] = commands.add_parser
    options: dict[str, Any] = {"allow_abbrev": False, "formatter_class": parser.formatter_class}
    _add_json(add("init", help="make the files that are missing", **options))
    _configure_check(add("check", help="say whether an idea was tried before", **options))
    _configure_log(add("log", help="log a run with a decision", **options))
    _configure_report(add("report", help="write the report of the last hours", **options))


def _configure_check(parser: ArgumentParser) -> None:
    _add_idea(parser)
    parser.add_argument(
        "--limit", type=_count, default=LIMIT, metavar="N", help="matches to show (default: 3)"
    )
    parser.add_argument(
        "--fail-on-similar", action="store_true", help="exit with 2 where the decision is block"
    )
    _add_json(parser)


def _configure_log(parser: ArgumentParser) -> None:
    _add_idea(parser)
    parser.add_argument("--status", choices=get_args(Status), required=True, help="the verdict")
    parser.add_argument("--hypothesis", metavar="TEXT", help="what was expected")
    parser.add_argument("--notes", metavar="TEXT", help="what else is to be remembered")
    parser.add_argument(
        "--log", type=Path, default=Path("run.log"), metavar="FILE", help="(default: run.log)"
    )
    parser.add_argument(
        "--summary",
        type=Path,
        metavar="FILE",
        help=f"JSON file of metrics, which goes before the log (default: ${_SUMMARY_PATH})",
    )
    parser.add_argument("--error", metavar="TEXT", help="why it crashed (default: from the log)")
    parser.add_argument("--skip-archive", action="store_true", help="write no folder of the run")
    parser.add_argument("--report", action="store_true", help="write the report too")
    _add_since(parser)
    _add_json(parser)


def _configure_report(parser: ArgumentParser) -> None:
    _add_since(parser)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write a copy to this file")
    _add_json(parser)


def _add_idea(parser: ArgumentParser) -> None:
    parser.add_argument("--description", required=True, metavar="TEXT", help="what is tried")
    parser.add_argument(
        "--tags", nargs="*", action="extend", default=[], metavar="A,B", help="separated by commas"
    )
    parser.add_argument("--family", metavar="NAME", help="the line of ideas that it belongs to")
    parser.add_argument(
        "--mode", choices=get_args(Mode), default="exploit", help="(default: exploit)"
    )
    parser.add_argument(
        "--threshold",
        type=float,
        default=THRESHOLD,
        metavar="X",
        help="similarity from which on runs count (default: 0.62)",
    )


def _add_since(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--since-hours",
        type=_hours,
        default=SINCE_HOURS,
        metavar="H",
        help="hours that the report covers (default: 16)",
    )


def _add_json(parser: ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", default=SUPPRESS, help="print JSON (docs/reference/json.md)"
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004
        raise ArgumentTypeError(f"{text!r} is not a number of matches")
    return int(text)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours <= 1e6:  # noqa: PLR2004 - a century
        raise ArgumentTypeError(f"{text!r} is not a number of hours")
    return hours


def run(args: Namespace, context: Context) -> int:
    """Do what is asked; whatever fails exits with 1, as it does in MemoryLab."""
    try:
        return _ACTIONS[args.action](args, context)
    except GitexpError as error:
        error.exit_code = _FAILED
        raise


def _init(_args: Namespace, context: Context) -> int:
    paths = init(context.repository)
    if context.output.json:
        context.output.data({"paths": paths})
    else:
        context.output.line("MemoryLab is set up:")
        for path in paths:
            context.output.line(f"  {path}")
    return 0


def _check(args: Namespace, context: Context) -> int:
    result = check(context.repository, _idea(args))
    if context.output.json:
        context.output.data(result.to_dict(args.limit))
    else:
        _show_result(result, args.limit, context)
    return _BLOCKED if args.fail_on_similar and result.policy == "block" else 0


def _idea(args: Namespace) -> Idea:
    tags = [tag for text in args.tags for tag in text.split(",")]
    hypothesis = getattr(args, "hypothesis", None)
    return Idea(args.description, tags, args.family, hypothesis, args.mode, args.threshold)


def _show_result(result: Result, limit: int, context: Context) -> None:
    line = context.output.line
    line(f"classification: {result.classification}")
    line(f"decision: {result.policy}")
    line(f"mode: {result.mode}")
    line(f"threshold: {result.threshold:.3f} (effective {result.effective_threshold:.3f})")
    line(f"matches: {len(result.matches)}")
    for match in result.matches[:limit]:
        found = match.record
        line(
            f"  {match.score:.3f} {match.classification}: {found.run_id} ({found.status}, "
            f"val_bpb {value(found.value)}) {found.description}"
        )


def _log(args: Namespace, context: Context) -> int:
    now = datetime.now(UTC)
    given = args.summary or os.environ.get(_SUMMARY_PATH)
    entry = Entry(
        _idea(args),
        args.status,
        args.log,
        summary=Path(given) if given else None,
        notes=args.notes,
        error=args.error,
        archive=not args.skip_archive,
    )
    logged = log(context.repository, entry, now)
    written = report(context.repository, now, args.since_hours).paths if args.report else ()
    record, champion = logged.record, logged.champion
    paths = [*logged.paths, *written]
    if context.output.json:
        context.output.data({"run": logged.run, "record": record, "paths": paths})
        return 0
    packet, guard = record["decision_packet"], record["novelty_guard"]
    line = context.output.line
    line(f"logged: {record['run_id']} ({record['status']}), run {short(logged.run)}")
    line(f"guard: {guard['classification']} ({guard['mode']}: {guard['policy']})")
    line(f"decision: {packet['next_action']} ({packet['priority']})")
    line(f"summary: {packet['summary']}")
    line(f"champion: {'none' if champion is None else champion.run_id}")
    for path in paths:
        line(f"  {path}")
    return 0


def _report(args: Namespace, context: Context) -> int:
    done = report(context.repository, datetime.now(UTC), args.since_hours, args.output)
    if context.output.json:
        context.output.data({"paths": list(done.paths), "markdown": done.text})
    else:
        context.output.line("The report is written:")
        for path in done.paths:
            context.output.line(f"  {path}")
    return 0


_ACTIONS: dict[str, Callable[[Namespace, Context], int]] = {
    "init": _init,
    "check": _check,
    "log": _log,
    "report": _report,
}
