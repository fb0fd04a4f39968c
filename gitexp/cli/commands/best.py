"""Rank runs by a metric, best first.

The best value a run reached counts, unless --by says otherwise. Which direction is better
comes from exprag.goal in git's configuration, else from the metric's name (loss, error, bpb,
perplexity, time, latency, memory: lower), and is always said.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from gitexp.cli.context import Context
from gitexp.memory import Ranking
from gitexp.render.text import cell, moment, number, safe, short


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
    parser.add_argument("--top", type=int, default=10, metavar="N", help="rows (default: 10)")


def run(args: Namespace, context: Context) -> int:
    """Print the ranking."""
    ranking = context.memory.best(args.metric, by=args.by, lower=args.lower)
    if context.output.json:
        context.output.data(as_json(ranking, args.top))
        return 0
    fields = [row.run.fields() for row in ranking.rows]
    names = sorted({name for known in fields for name in known})
    differing = [n for n in names if len({cell(known.get(n)) for known in fields}) > 1]
    header = ["run", "name", ranking.metric, "step", "status", "started", *map(safe, differing)]
    rows = [
        [
            short(row.run.id),
            safe(row.run.name),
            number(row.value),
            number(row.step),
            row.run.status,
            moment(row.run.started),
            *(cell(known.get(name)) for name in differing),
        ]
        for row, known in zip(ranking.rows[: args.top], fields, strict=False)
    ]
    context.output.table(header, rows)
    if context.output.terminal:
        word = "lowest" if ranking.goal.lower else "highest"
        source = {"option": "as asked", "settings": "exprag.goal", "name": "by its name"}
        context.output.line(
            f"{word} {ranking.by} {ranking.metric} first ({source[ranking.goal.source]})"
        )
    return 0


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
