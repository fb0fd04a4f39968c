"""Fold the handles of old runs away, so that many runs do not mean many refs.

Their snapshots stay alive under one ref, the chain of code of this clone's shard. Ids, names,
'git show RUN', 'git exp checkout RUN': everything resolves as before.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from gitexp.cli.context import Context
from gitexp.share import archive
from gitexp.share.archive import DEFAULT_AGE


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--older-than",
        metavar="AGE",
        help="runs that began so long ago: 30d, 2 weeks;"
        f" 'exprag.archiveAfter' or {DEFAULT_AGE} by default",
    )
    parser.add_argument("-n", "--dry-run", action="store_true", help="change nothing")


def run(args: Namespace, context: Context) -> int:
    """Archive and report."""
    runs = archive(context.repository, args.older_than, dry_run=args.dry_run)
    if context.output.json:
        context.output.data({"runs": runs, "dry_run": args.dry_run})
        return 0
    did = "Would archive" if args.dry_run else "Archived"
    count = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    context.output.line(f"{did} {count}." if runs else "No run is old enough to archive.")
    return 0
