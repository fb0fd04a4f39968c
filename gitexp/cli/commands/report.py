"""Tell what happened: what won and by how much, what broke, what to do next, what it cost.

By default of the last 16 hours, or of the last 80 runs where none is so young; --since takes a
time ('2 days', yesterday, 2026-01-31) or a run: what started after it. Runs are judged by
--metric, else exprag.metric, else the metric that most of the latest runs have. With --html the
report is one page with charts that works offline.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

import msgspec

from gitexp.cli.context import Context
from gitexp.cli.goal_options import add_goal_options, asked_goal
from gitexp.errors import UsageError
from gitexp.interchange.replace import replaced
from gitexp.render.report_text import report_markdown
from gitexp.research.overview.report import report


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--since", metavar="T", help="a time, or a run: what started after it")
    parser.add_argument("--metric", metavar="M", help="what runs are judged by")
    add_goal_options(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--markdown", action="store_true", help="print Markdown (the default)")
    form.add_argument("--html", metavar="FILE", type=Path, help="write one HTML page")
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="write Markdown to this file"
    )


def run(args: Namespace, context: Context) -> int:
    """Print the report, or write it."""
    if args.output is not None and args.html is not None:
        raise UsageError("--output is for Markdown.", "--html names its file itself.")
    memory, output = context.memory, context.output
    is_told = args.metric is not None or args.lower is not None
    goal = asked_goal(args, context) if is_told else None
    found = msgspec.to_builtins(report(memory, goal, args.since))
    path = args.html or args.output
    if path is not None:
        text = _page(found) if args.html else report_markdown(found)
        with replaced(path) as stream:
            stream.write(text.encode())
        if not output.json:
            output.line(f"Wrote {path}.")
    if output.json:
        output.data(found if path is None else found | {"path": str(path.absolute())})
    elif path is None:
        with output.pager(context.repository):
            output.text(report_markdown(found))
    return 0


def _page(found: dict[str, object]) -> str:
    from gitexp.render.report_page import report_page

    return report_page(found)
