"""List runs, the latest first.

A column is run, name, status, started, ended, duration, by, tags, verdict, family, description,
hypothesis, seed, branch, commit, dirty, host, calls, exit_code or parent, or else a metric (its
last value), parameter or piece of metadata, by its full path or an unambiguous suffix, or an
expression of these, such as max(acc) or params.lr * 1000 (docs/reference/query.md). Without
--columns those that tell the runs apart are shown. JSON holds whole runs, whatever the columns.
"""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from itertools import islice

from gitexp.cli import select
from gitexp.cli.columns import (
    all_columns,
    cells,
    changed_columns,
    run_json,
    shower,
    telling_columns,
)
from gitexp.cli.context import Context
from gitexp.cli.output import print_hint
from gitexp.errors import GitexpError
from gitexp.git.read import resolve_tree
from gitexp.index.search import Found
from gitexp.memory import Memory
from gitexp.render.text import safe
from gitexp.table import Column, nodes, parse_columns

_LOOKED_AT = 1_000
"""Runs out of which the columns are chosen."""


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
    select.add_options(parser)
    parser.add_argument(
        "--sort", metavar="A,B,…", help="sort by these instead: 'max(acc) desc, params.lr'"
    )
    parser.add_argument("--columns", metavar="A,B,…", help="show these instead")
    parser.add_argument(
        "--only-changed", action="store_true", help="show only columns that are not all the same"
    )
    code = parser.add_mutually_exclusive_group()
    code.add_argument(
        "--tree", metavar="RUN", help="replicates of RUN: the same code, parameters and command"
    )
    code.add_argument("--commit", metavar="REV", help="runs of exactly the code of this commit")
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
    memory = context.memory
    asked = None if args.columns is None else parse_columns(args.columns, memory.catalog)
    found = find(args, memory, asked or [])
    if context.output.json:
        context.output.records("runs", (run_json(each, asked) for each in found))
        return 0
    if not found:
        hint = "No run is recorded here yet; record one with 'git exp run -- COMMAND'."
        print_hint("No run fits." if memory.count() else hint)
        return 0
    columns = choose_columns(asked, found, memory, only_changed=args.only_changed)
    show = shower(context.output)
    with context.output.pager(context.repository):
        rows = (cells(each, columns, show) for each in found)
        context.output.table([safe(column.title) for column in columns], rows)
    return 0


def find(args: Namespace, memory: Memory, columns: Sequence[Column]) -> list[Found]:
    """Return the runs that the options name.

    Raises:
        UsageError: An option cannot be understood.
        GitexpError: There is no such run or commit.
    """
    count = args.count if args.count is not None else args.shorthand
    where = select.condition(args)
    among = None
    if args.tree is not None:
        among = memory.replicates(memory.get(args.tree))
    elif args.commit is not None:
        among = memory.with_tree(tree_of(args.commit, memory))
    return memory.search(where, sort=args.sort, columns=nodes(columns), limit=count, among=among)


def tree_of(revision: str, memory: Memory) -> str:
    """Return the tree of a commit.

    Raises:
        GitexpError: There is no such commit here.
    """
    tree = resolve_tree(memory.repository, revision)
    if tree is None:
        raise GitexpError(f"There is no commit {revision!r} here.", "Name one as for git show.")
    return tree


def choose_columns(
    asked: list[Column] | None, found: Sequence[Found], memory: Memory, *, only_changed: bool
) -> list[Column]:
    """Return the columns to show.

    Args:
        asked: Those that were asked for, if any were.
        found: What is shown.
        memory: Where it comes from.
        only_changed: Leave out those whose values are all the same.
    """
    some = [each.document for each in islice(found, _LOOKED_AT)]
    if only_changed:
        return changed_columns(asked or all_columns(some), found)
    if asked is not None:
        return asked
    return telling_columns(some, memory.repository.settings.get("exprag.metric"))
