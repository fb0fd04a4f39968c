"""Print the brief for a coding agent: what is known, what failed for good, what to do next.

It has at most --tokens tokens (2000 by default, at least 200), counted by an estimate that is above
what the common tokenizers count; the least weighty is left out first. What others wrote, such as
names and descriptions of runs, stands in quotes, and the brief says that it is data. With --methods
it suggests methods, for what is named or for the project as it is.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from gitexp.cli.context import Context
from gitexp.research.overview.brief import TOKENS, Brief, brief

NOTHING = (
    "gitexp remembers no experiment in this repository yet.\n"
    "Record the first one: git exp run -- COMMAND\n"
)


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--tokens", type=int, default=TOKENS, metavar="N", help=f"length (default: {TOKENS})"
    )
    parser.add_argument(
        "--methods", nargs="?", const="", metavar="QUERY", help="suggest methods, for this purpose"
    )


def run(args: Namespace, context: Context) -> int:
    """Print the brief."""
    found = _brief(args, context)
    if context.output.json:
        context.output.data(found._asdict() | {"limit": args.tokens})
    else:
        sys.stdout.write(found.text or NOTHING)
    return 0


def _brief(args: Namespace, context: Context) -> Brief:
    if args.methods is None:
        return brief(context.memory, args.tokens)
    from gitexp.methods import context as with_methods

    return with_methods.context(context.memory, context.library, args.methods, args.tokens)
