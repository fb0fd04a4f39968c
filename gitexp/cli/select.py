"""Which runs a command is about: the options that log, best, export and plot share."""

from __future__ import annotations

import json
from argparse import ArgumentParser, Namespace
from datetime import datetime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from gitexp.query.syntax import Node


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--where",
        metavar="EXPR",
        action="append",
        default=[],
        help="only runs that fulfil this: 'lr < 0.01 and acc > 0.9' (docs/reference/query.md)",
    )
    parser.add_argument("--since", metavar="TIME", help="started then or later: '2 weeks ago'")
    parser.add_argument("--until", metavar="TIME", help="started then or earlier: 2026-01-31")
    parser.add_argument(
        "--author", metavar="REGEX", help="started by someone whose name or address fits"
    )


def condition(args: Namespace) -> Node | None:
    """Return what the options say of runs, as one expression; None when they say nothing.

    Raises:
        QueryError: An expression cannot be understood.
        UsageError: A time cannot be understood.
    """
    if not (args.where or args.since or args.until or args.author):
        return None
    from gitexp.query.syntax import And, parse
    from gitexp.when import parse_when

    now = datetime.now().astimezone()
    texts = list(args.where)
    for option, operator in ((args.since, ">="), (args.until, "<=")):
        if option is not None:
            texts.append(f"started {operator} '{parse_when(option, now).isoformat()}'")
    if args.author is not None:
        texts.append(f"matches(by, {json.dumps(args.author, ensure_ascii=False)})")
    nodes = [parse(text) for text in texts]
    if len(nodes) == 1:
        return nodes[0]
    return And(nodes[0].source, nodes[0].start, nodes[0].end, nodes)
