"""Rank runs by a metric, best first.

The best value a run reached counts, unless --by says otherwise. Which direction is better
comes from exprag.goal in git's configuration, else from the metric's name (loss, error, bpb,
perplexity, time, latency, memory: lower), and is always said. --columns names what to show beside
the value, as for log.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from typing import Any

from gitexp.cli.commands import log
from gitexp.cli.context import Context
from gitexp.errors import GitexpError, UsageError
from gitexp.memory import Memory, Ranking
from gitexp.render.text import cell, safe, short

_SOURCES = {"option": "as asked", "settings": "by exprag.goal", "name": "by its name"}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("metric", metavar="METRIC", help="full path or an unambiguous suffix")
    direction = parser.add_mutually_exclusive_group()
    direction.add_argument(
        "--min", dest="lower", action="store_const", const=True, help="lower is better"
    )
    direction.add_argument(
        "--max", dest="lower", action="store_const", const=False, help="higher is better"
    )
    parser.add_argument(
        "--by", choices=("best", "last", "mean"), default="best", help="value of a run that counts"
    )
    parser.add_argument("--since", metavar="TIME", help="started then or later: '2 weeks ago'")
    parser.add_argument("--columns", metavar="A,B,…", help="show these beside the value")
    parser.add_argument("--top", type=int, default=10, metavar="N", help="rows (default: 10)")


def run(args: Namespace, context: Context) -> int:
    """Print the ranking."""
    if args.top < 1:
        raise UsageError("--top must be 1 or more.")
    ranking = rank(args, context.memory)
    if context.output.json:
        context.output.data(as_json(ranking, args.top))
        return 0
    show = log.shower(context.output)
    columns = choose_columns(args.columns, ranking, context.memory)
    header = ["run", "name", ranking.metric, "step", *columns]
    rows = [
        [show(value) for value in (short(run.id), run.name, value, step)]
        + [show(log.value_of(run, column)) for column in columns]
        for run, value, step in ranking.rows[: args.top]
    ]
    context.output.table([safe(name) for name in header], rows)
    word = "lowest" if ranking.goal.lower else "highest"
    # Not on stdout, where programs read the table.
    sys.stderr.write(
        f"{word} {ranking.by} {safe(ranking.metric)} first ({_SOURCES[ranking.goal.source]})\n"
    )
    return 0


def rank(args: Namespace, memory: Memory) -> Ranking:
    """Return the ranking that is asked for.

    Raises:
        GitexpError: No run has the metric, or none has started in that time.
    """
    if args.since is None:
        return memory.best(args.metric, by=args.by, lower=args.lower)
    runs = log.select(memory.runs(), since=args.since, until=None, count=None)
    if not runs:
        raise GitexpError(f"No run has started since {args.since}.", "List all with 'git exp log'.")
    return memory.best(args.metric, by=args.by, lower=args.lower, runs=runs)


def choose_columns(asked: str | None, ranking: Ranking, memory: Memory) -> list[str]:
    """Return the columns after the value: those that were asked for, else what tells runs apart.

    Raises:
        GitexpError: A name is unknown, or fits several columns.
    """
    runs = [row.run for row in ranking.rows]
    if asked is not None:
        return log.choose_columns(asked, runs, memory.runs(), None)
    fields = [run.fields() for run in runs]
    names = sorted({name for known in fields for name in known})
    differing = [n for n in names if len({cell(known.get(n)) for known in fields}) > 1]
    return ["status", "started", *differing]


def as_json(ranking: Ranking, top: int) -> dict[str, Any]:
    """Return the ranking in the shape of ``--json``."""
    return {
        "metric": ranking.metric,
        "goal": ranking.goal.word,
        "goal_source": ranking.goal.source,
        "by": ranking.by,
        "skipped": ranking.skipped,
        "runs": [
            {"value": row.value, "value_step": row.step} | row.run.to_dict()
            for row in ranking.rows[:top]
        ],
    }
