"""Print what a run tracked: every call, or the history of one metric.

In a pipe the columns are separated by tabs and numbers have all their digits. --points leaves of a
long history so many points that keep its shape: the first, the last, and of each stretch of steps
the lowest and the highest.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.output import print_hint
from gitexp.errors import UsageError
from gitexp.naming import resolve_name
from gitexp.records.history import History
from gitexp.records.nested import flatten, json_numbers
from gitexp.records.sample import LEAST, sample
from gitexp.records.series import Call
from gitexp.records.times import format_time
from gitexp.render.text import cell, exact, safe, short
from gitexp.run import Run


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="id, latest, best:METRIC, a name or a tag")
    parser.add_argument(
        "key", metavar="KEY", nargs="?", help="one metric: full path or an unambiguous suffix"
    )
    parser.add_argument(
        "--points", type=int, metavar="N", help="at most N points of the history, extremes kept"
    )


def run(args: Namespace, context: Context) -> int:
    """Print the calls or the history."""
    if args.points is not None:
        check_points(args)
    memory = context.memory
    tracked = memory.get(args.run)
    if args.key is None:
        calls = memory.calls(tracked)
        data, table = calls_json(tracked, calls), calls_table(calls)
    else:
        metric = resolve_name(args.key, tracked.metrics)
        history = memory.history(tracked, metric)
        points = history if args.points is None else sample(history, args.points)
        data = history_json(tracked, points, count=len(history))
        table = history_table(points)
    context.report_problems(memory)
    if context.output.json:
        context.output.data(data)
    elif not (data["calls"] if args.key is None else data["points"]):
        print_hint(f"Run {short(tracked.id)} has tracked nothing.")
    else:
        show = cell if context.output.terminal else exact
        rows = ([show(value) for value in row] for row in table[1])
        with context.output.pager(context.repository):
            context.output.table([safe(name) for name in table[0]], rows)
    return 0


def check_points(args: Namespace) -> None:
    """Check what ``--points`` asks for.

    Raises:
        UsageError: There is no history to sample, or it could not keep its extremes.
    """
    if args.key is None:
        raise UsageError("--points needs a metric.", "Name one, as in metrics latest loss.")
    if args.points < LEAST:
        raise UsageError(f"--points must be {LEAST} or more.")


def calls_json(tracked: Run, calls: Sequence[Call]) -> dict[str, Any]:
    """Return all calls in the shape of ``--json``."""
    return {"run": tracked.id, "calls": [_call_json(call) for call in calls]}


def _call_json(call: Call) -> dict[str, Any]:
    known = {"step": call.step, "time": _time(call.time_ms), "value": json_numbers(call.value)}
    return known if call.note is None else known | {"note": call.note}


def history_json(tracked: Run, points: History, *, count: int) -> dict[str, Any]:
    """Return the history of a metric in the shape of ``--json``.

    Args:
        tracked: Its run.
        points: What to show of it.
        count: How many points there are in all.
    """
    return {
        "run": tracked.id,
        "metric": points.metric,
        "count": count,
        "points": points_json(points),
    }


def points_json(points: History) -> list[dict[str, Any]]:
    """Return points in the shape of ``--json``."""
    return [
        {"step": p.step, "time": _time(p.time_ms), "value": json_numbers(p.value)} for p in points
    ]


Table = tuple[list[str], Iterator[list[Any]]]
"""Header, and rows as they are asked for: calls of many shapes make a table of mostly nothing."""


def history_table(points: History) -> Table:
    """Return header and rows of a metric's history."""
    rows: Iterator[list[Any]] = ([p.step, _time(p.time_ms), p.value] for p in points)
    return ["step", "time", points.metric], rows


def calls_table(calls: Sequence[Call]) -> Table:
    """Return header and rows of all calls: a column for each path, notes last.

    A key ``step`` that says what the call's step is anyway has no column of its own.
    """
    values = [_leaves(call) for call in calls]
    paths = list(dict.fromkeys(path for leaves in values for path in leaves))
    notes = ["note"] if any(call.note is not None for call in calls) else []
    rows = (
        [call.step, _time(call.time_ms), *map(leaves.get, paths), *([call.note] if notes else [])]
        for call, leaves in zip(calls, values, strict=True)
    )
    return ["step", "time", *paths, *notes], rows


def _leaves(call: Call) -> Mapping[str, Any]:
    if not isinstance(call.value, dict):
        return {"value": call.value}
    leaves = flatten(call.value)
    if leaves.get("step") == call.step:
        del leaves["step"]
    return leaves


def _time(time_ms: int) -> str | None:
    """Return microseconds since 1970 as RFC 3339; None for what no calendar holds."""
    try:
        return format_time(time_ms * 1_000_000)
    except OverflowError:
        return None
