"""Withdraw runs: nobody sees them any more, here and wherever this is pulled.

A tombstone is added, and the handle goes. What the run holds stays in the store until 'git exp gc'
drops it; what was shared stays in the history of the shard, and in other clones.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace

from gitexp.cli.context import Context
from gitexp.removal import withdraw
from gitexp.render.text import safe, short
from gitexp.run import Run


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("runs", metavar="RUN", nargs="+", help="id, name or tag of a run")
    parser.add_argument("-m", "--reason", metavar="TEXT", help="why, for those who look later")
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask on a terminal")


def run(args: Namespace, context: Context) -> int:
    """Withdraw, after a question where somebody can answer."""
    named = {found.id: found for found in map(context.memory.get, args.runs)}
    if not args.yes and _somebody_answers() and not _confirmed(named):
        context.output.line("Nothing was removed.")
        return 1
    withdraw(context.repository, list(named), args.reason)
    if context.output.json:
        context.output.data({"removed": list(named), "reason": args.reason})
    for found in () if context.output.json else named.values():
        context.output.line(f"Removed run {short(found.id)} ({found.name}).")
    return 0


def _somebody_answers() -> bool:
    return sys.stdin.isatty() and sys.stderr.isatty()


def _confirmed(runs: dict[str, Run]) -> bool:
    for found in runs.values():
        sys.stderr.write(f"    {short(found.id)}  {safe(found.name)}  {found.status}\n")
    noun = "this run" if len(runs) == 1 else f"these {len(runs)} runs"
    sys.stderr.write(f"Remove {noun}, for everybody who pulls? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")
