"""Bring the runs of a remote that are not here, and what is new of those that are.

The remote is a name or a URL; by default 'exprag.remote', else the one that 'git push' would take.
Nothing that is here is lost, whatever the remote has: states are united. No branch, tag or setting
of yours is touched. Exits with 1 when something of the remote could not be taken; the rest was.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from gitexp.cli.commands.push import runs_and_refs
from gitexp.cli.context import Context
from gitexp.cli.output import print_warning
from gitexp.share import Pulled, pull


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("remote", metavar="REMOTE", nargs="?", help="where from")
    parser.add_argument(
        "-n", "--dry-run", action="store_true", help="fetch, say what is new, and unite nothing"
    )


def run(args: Namespace, context: Context) -> int:
    """Pull and report."""
    pulled = pull(
        context.repository,
        args.remote,
        dry_run=args.dry_run,
        progress=context.output.transfer(),
    )
    for problem in pulled.problems:
        print_warning(f"Not taken from {pulled.remote}: {problem}.")
    if context.output.json:
        context.output.data(as_json(pulled, dry_run=args.dry_run))
    else:
        context.output.line(_sentence(pulled, dry_run=args.dry_run))
    return 1 if pulled.problems else 0


def as_json(pulled: Pulled, *, dry_run: bool) -> dict[str, Any]:
    """Return what was done in the shape of ``--json``."""
    return {
        "remote": pulled.remote,
        "dry_run": dry_run,
        "runs": pulled.runs,
        "refs": [{"ref": ref, "old": a, "new": b} for ref, (a, b) in pulled.refs.items()],
        "handles": pulled.handles,
        "problems": [problem._asdict() for problem in pulled.problems],
    }


def _sentence(pulled: Pulled, *, dry_run: bool) -> str:
    if not pulled.refs:
        return f"{pulled.remote} has nothing new."
    did = "Would pull" if dry_run else "Pulled"
    return f"{did} {runs_and_refs(len(pulled.runs), len(pulled.refs))} from {pulled.remote}."
