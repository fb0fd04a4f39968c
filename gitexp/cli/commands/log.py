"""List runs, the latest first.

A column is run, name, status, started, ended, duration, by, tags, verdict, family, description,
hypothesis, seed, branch, commit, host or calls, or else a metric (its last value), parameter or
piece of metadata, by its full path or an unambiguous suffix. Without --columns those that tell
the runs apart are shown. JSON holds whole runs, whatever the columns.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.output import Output, print_hint
from gitexp.errors import GitexpError, UsageError
from gitexp.naming import resolve_name
from gitexp.render.text import ago, cell, exact, safe, short, stamp
from gitexp.run import Run
from gitexp.when import parse_when

MAX_METRICS = 3
MAX_FIELDS = 4
"""Columns that are shown unasked: with more, a line does not fit on a terminal."""

_OWN: dict[str, Callable[[Run], Any]] = {
    "run": lambda run: short(run.id),
    "name": lambda run: run.name,
    "status": lambda run: run.status,
    "started": lambda run: run.started,
    "ended": lambda run: run.ended,
    "duration": lambda run: run.duration,
    "by": lambda run: run.by,
    "tags": lambda run: ", ".join(run.tags),
    "verdict": lambda run: run.verdict,
    "family": lambda run: run.family,
    "description": lambda run: run.description,
    "hypothesis": lambda run: run.hypothesis,
    "seed": lambda run: run.seed,
    "branch": lambda run: run.git.branch if run.git else None,
    "commit": lambda run: run.git.head if run.git else None,
    "host": lambda run: run.host,
    "calls": lambda run: run.calls,
}
_FIRST = ("run", "name", "status", "started")


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "-n",
        "--max-count",
        dest="count",
        type=_count,
        metavar="N",
        help="at most N runs; also written -N",
    )
    parser.add_argument("--since", metavar="TIME", help="started then or later: '2 weeks ago'")
    parser.add_argument("--until", metavar="TIME", help="started then or earlier: 2026-01-31")
    parser.add_argument("--columns", metavar="A,B,…", help="show these instead")
    parser.add_argument("shorthand", metavar="-N", nargs="?", type=_shorthand, help=SUPPRESS)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004
        raise ArgumentTypeError(f"{text!r} is not a number of runs")
    return int(text)


def _shorthand(text: str) -> int:
    if not text.startswith("-"):
        raise ArgumentTypeError(f"log takes no run; 'git exp show {text}' shows one")
    return _count(text[1:])


def run(args: Namespace, context: Context) -> int:
    """Print the runs that were asked for."""
    everything = context.memory.runs()
    count = args.count if args.count is not None else args.shorthand
    runs = select(everything, since=args.since, until=args.until, count=count)
    if context.output.json:
        context.output.data({"runs": [run.to_dict() for run in runs]})
        return 0
    settings = context.repository.settings
    columns = choose_columns(args.columns, runs, everything, settings.get("exprag.metric"))
    if not runs:
        hint = "No run is recorded here yet; record one with 'git exp run -- COMMAND'."
        print_hint("No run fits." if everything else hint)
        return 0
    show = shower(context.output)
    rows = [[show(value_of(run, column)) for column in columns] for run in runs]
    with context.output.pager(context.repository):
        context.output.table([safe(column) for column in columns], rows)
    return 0


def select(
    runs: Sequence[Run], *, since: str | None, until: str | None, count: int | None
) -> list[Run]:
    """Return the runs that started within a time, at most so many.

    Raises:
        UsageError: A time cannot be understood.
    """
    now = datetime.now().astimezone()
    first = parse_when(since, now) if since is not None else None
    last = parse_when(until, now) if until is not None else None
    found = [
        run
        for run in runs
        if (first is None or run.started >= first) and (last is None or run.started <= last)
    ]
    return found[:count]


def choose_columns(
    asked: str | None, runs: Sequence[Run], everything: Sequence[Run], goal_metric: str | None
) -> list[str]:
    """Return the columns to show: those that were asked for, else those that say most.

    Args:
        asked: Names with commas between them.
        runs: What is shown.
        everything: All runs there are: a column may be empty for those shown.
        goal_metric: The metric that the repository is about, if it was set.

    Raises:
        UsageError: No column is named.
        GitexpError: A name is unknown, or fits several columns.
    """
    if asked is None:
        return [*_FIRST, *_metrics(runs, goal_metric), *_labels(runs), *_telling_fields(runs)]
    names = [name.strip() for name in asked.split(",") if name.strip()]
    if not names:
        raise UsageError("No column is named.", "Name some, as in --columns run,status,acc.")
    known = dict.fromkeys(_OWN)
    for run in everything:
        known |= dict.fromkeys(run.metrics) | dict.fromkeys(run.fields())
    return [resolve_name(name, known, "column") for name in names]


def _metrics(runs: Sequence[Run], goal_metric: str | None) -> list[str]:
    """Return the goal metric if it is set and there, else those that most runs have."""
    counts = Counter(path for run in runs for path in run.metrics)
    if goal_metric is not None:
        try:
            return [resolve_name(goal_metric, counts)]
        except GitexpError:  # set, but these runs do not have it, or have several like it
            return [path for path, _ in counts.most_common(MAX_METRICS)]
    return [path for path, _ in counts.most_common(MAX_METRICS)]


def _labels(runs: Sequence[Run]) -> list[str]:
    return [name for name in ("tags", "verdict") if any(_OWN[name](run) for run in runs)]


def _telling_fields(runs: Sequence[Run]) -> list[str]:
    """Return parameters and metadata whose values differ, parameters first."""
    values: dict[str, set[str]] = {}
    fields = [run.fields() for run in runs]
    for name in dict.fromkeys(name for known in fields for name in known):
        values[name] = {cell(known.get(name)) for known in fields}
    telling = [name for name, found in values.items() if len(found) > 1]
    telling.sort(key=lambda name: name.startswith("metadata."))
    return telling[:MAX_FIELDS]


def value_of(run: Run, column: str) -> Any:
    """Return what a run has in a column; the last value for a metric."""
    if column in _OWN:
        return _OWN[column](run)
    if column in run.metrics:
        return run.value(column)
    return run.fields().get(column)


def shower(output: Output) -> Callable[[Any], str]:
    """Return how to write a value: short on a terminal, exact in a pipe."""
    return _for_people(datetime.now(UTC)) if output.terminal else _for_programs


def _for_people(now: datetime) -> Callable[[Any], str]:
    def show(value: Any) -> str:
        if isinstance(value, datetime):
            return ago(value, now)
        return cell(value)

    return show


def _for_programs(value: Any) -> str:
    return stamp(value) if isinstance(value, datetime) else exact(value)
