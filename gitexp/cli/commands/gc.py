"""Drop what removed runs hold, once they have been removed for two weeks, and nothing else.

The tombstones stay, so a clone that still has such a run does not bring it back. What a remote was
seen to have stays in the history of the shard; what never left is gone, and 'git gc --prune=now'
frees it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from gitexp.cli.context import Context
from gitexp.removal import DEFAULT_AGE, collect


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        help=f"only runs that were removed so long ago: 30d, 0d; {DEFAULT_AGE} by default",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="change nothing")


def run(args: Namespace, context: Context) -> int:
    """Collect and report."""
    collected = collect(context.repository, args.older_than, dry_run=args.dry_run)
    if context.output.json:
        moved = [{"ref": ref, "old": a, "new": b} for ref, (a, b) in collected.refs.items()]
        context.output.data({"runs": collected.runs, "refs": moved, "dry_run": args.dry_run})
    elif collected.runs:
        count = len(collected.runs)
        did = "Would drop" if args.dry_run else "Dropped"
        context.output.line(f"{did} what {count} removed run{'' if count == 1 else 's'} held.")
    else:
        context.output.line("There is nothing to drop.")
    return 0
