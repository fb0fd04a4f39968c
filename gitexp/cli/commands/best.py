"""Rank runs by a metric, or show the best compromises between several.

What is better, low or high, is said by --min or --max, else by the setting exprag.goal, else by
the metric's name; the output says which. With several metrics those runs are shown that no other
run beats in one metric without losing in another (the Pareto front).
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from gitexp.cli import select
from gitexp.cli.columns import (
    cells,
    differing_fields,
    run_json,
    shower,
)
from gitexp.cli.context import Context
from gitexp.cli.goal_options import add_goal_options
from gitexp.errors import UsageError
from gitexp.index.search import Found
from gitexp.memory import Memory
from gitexp.naming import Goal
from gitexp.ranking import Front, Ranking
from gitexp.render.text import safe, short
from gitexp.table import Column, field_column, nodes, own_column, parse_columns

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


_TOP = 10
_SOURCES = {"option": "as asked", "settings": "by exprag.goal", "name": "by its name"}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "metric", metavar="METRIC", nargs="+", help="full path or an unambiguous suffix"
    )
    add_goal_options(parser)
    parser.add_argument(
        "--by", choices=("best", "last", "mean"), default="best", help="value of a run that counts"
    )
    select.add_options(parser)
    parser.add_argument("--columns", metavar="A,B,…", help="show these beside the value")
    parser.add_argument(
        "--top", type=int, metavar="N", help=f"rows (default: {_TOP}; all of a Pareto front)"
    )


def run(args: Namespace, context: Context) -> int:
    """Print the ranking or the front."""
    if args.top is not None and args.top < 1:
        raise UsageError("--top must be 1 or more.")
    memory = context.memory
    asked = None if args.columns is None else parse_columns(args.columns, memory.catalog)
    if len(args.metric) > 1:
        front = find_front(args, memory, asked or [])
        _print_front(context, front, asked, args.top)
    else:
        ranking = rank(args, memory, asked or [])
        _print_ranking(context, ranking, asked)
    return 0


def rank(args: Namespace, memory: Memory, columns: Sequence[Column]) -> Ranking:
    """Return the ranking that is asked for.

    Raises:
        GitexpError: No run has the metric, or none that fits has.
    """
    return memory.best(
        args.metric[0],
        by=args.by,
        lower=args.lower,
        where=select.condition(args),
        top=args.top or _TOP,
        columns=nodes(columns),
    )


def find_front(args: Namespace, memory: Memory, columns: Sequence[Column]) -> Front:
    """Return the Pareto front that is asked for.

    Raises:
        GitexpError: No run that fits has all the metrics.
    """
    return memory.front(
        args.metric,
        by=args.by,
        lower=args.lower,
        where=select.condition(args),
        columns=nodes(columns),
    )


def _print_ranking(context: Context, ranking: Ranking, asked: list[Column] | None) -> None:
    output = context.output
    if output.json:
        output.data(ranking_json(ranking, asked))
        return
    show = shower(output)
    columns = asked if asked is not None else unasked_columns([row.found for row in ranking.rows])
    rows = [
        [*_head(row.found), show(row.value), show(row.step), *cells(row.found, columns, show)]
        for row in ranking.rows
    ]
    header = ["run", "name", ranking.metric, "step", *(column.title for column in columns)]
    output.table([safe(name) for name in header], rows)
    # Not on stdout, where programs read the table.
    sys.stderr.write(f"{_said(ranking.metric, ranking.goal, ranking.by)}\n")


def _print_front(
    context: Context, front: Front, asked: list[Column] | None, top: int | None
) -> None:
    output = context.output
    if output.json:
        output.data(front_json(front, asked, top))
        return
    show = shower(output)
    columns = asked if asked is not None else unasked_columns([found for found, _ in front.rows])
    rows = [
        [*_head(found), *map(show, values), *cells(found, columns, show)]
        for found, values in front.rows[:top]
    ]
    header = ["run", "name", *front.goals, *(column.title for column in columns)]
    output.table([safe(name) for name in header], rows)
    for metric, goal in front.goals.items():
        sys.stderr.write(f"{_said(metric, goal, front.by)}\n")


def _head(found: Found) -> list[str]:
    document = found.document
    return [short(document["run"]), safe(document["name"])]


def _said(metric: str, goal: Goal, by: str) -> str:
    word = "lowest" if goal.lower else "highest"
    return f"{word} {by} {safe(metric)} first ({_SOURCES[goal.source]})"


def unasked_columns(found: Sequence[Found]) -> list[Column]:
    """Return the columns after the values: what tells these runs apart."""
    differing = differing_fields([each.document for each in found])
    own = [own_column(name) for name in ("status", "started")]
    return own + [field_column(path) for path in sorted(differing)]


def ranking_json(ranking: Ranking, asked: list[Column] | None) -> dict[str, Any]:
    """Return a ranking in the shape of ``--json``."""
    return {
        "metric": ranking.metric,
        **_goal_json(ranking.goal),
        "by": ranking.by,
        "skipped": ranking.skipped,
        "runs": [
            {"value": row.value, "value_step": row.step} | run_json(row.found, asked)
            for row in ranking.rows
        ],
    }


def front_json(front: Front, asked: list[Column] | None, top: int | None) -> dict[str, Any]:
    """Return a Pareto front in the shape of ``--json``."""
    goals = front.goals.items()
    return {
        "metrics": [{"metric": metric, **_goal_json(goal)} for metric, goal in goals],
        "by": front.by,
        "runs": [
            {"values": dict(zip(front.goals, values, strict=True))} | run_json(found, asked)
            for found, values in front.rows[:top]
        ],
    }


def _goal_json(goal: Goal) -> dict[str, str]:
    return {"goal": goal.word, "goal_source": goal.source}
