"""Add to a remote what this clone recorded, with the code of its runs.

Without RUN all of this clone's runs. The remote is a name or a URL; by default 'exprag.remote',
else the one that 'git push' would take. Everything that would leave for the first time is searched
for secrets; what is found stops the push, and --allow lets a finding pass, by its fingerprint.
Rejected because the remote has moved, it fetches, unites, and tries again for a minute.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.output import print_warning
from gitexp.errors import RunNotFoundError, UsageError
from gitexp.render.text import short
from gitexp.run import Run
from gitexp.share import Pushed, is_remote, push


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "remote", metavar="REMOTE", nargs="?", help="where to: a remote's name, a URL, a path"
    )
    parser.add_argument("runs", metavar="RUN", nargs="*", help="only these runs")
    parser.add_argument("--all", action="store_true", help="other people's shards too")
    parser.add_argument(
        "-n",
        "--dry-run",
        action="store_true",
        help="say what would be sent to the remote as it was last seen; send nothing",
    )
    parser.add_argument(
        "--allow",
        metavar="FINGERPRINT",
        action="append",
        default=[],
        help="let this finding leave; it is recorded (may be repeated)",
    )


def run(args: Namespace, context: Context) -> int:
    """Push and report."""
    remote, runs = _targets(args, context)
    pushed = push(
        context.repository,
        remote,
        runs,
        every_shard=args.all,
        accepted=args.allow,
        dry_run=args.dry_run,
        progress=context.output.transfer(),
        searching=context.output.progress("Searching for secrets"),
    )
    for run_id in pushed.missing:
        print_warning(f"The code of run {short(run_id)} is not here, so it was not sent.")
    if context.output.json:
        context.output.data(as_json(pushed, dry_run=args.dry_run))
    else:
        context.output.line(_sentence(pushed, dry_run=args.dry_run))
    return 0


def _targets(args: Namespace, context: Context) -> tuple[str | None, list[str] | None]:
    """Return the remote and the ids of the runs that were named."""
    words = [*([] if args.remote is None else [args.remote]), *args.runs]
    remote = words.pop(0) if words and is_remote(context.repository, words[0]) else None
    if not words:
        return remote, None
    if args.all:
        raise UsageError("--all sends every run.", "Name runs, or give --all, not both.")
    found = [_find(context, spec, may_be_remote=remote is None) for spec in words]
    running = [run for run in found if run.status == "running"]
    if running:
        message = f"Run {short(running[0].id)} is in progress, so it cannot be shared yet."
        raise UsageError(message, "Push it when it has ended.")
    return remote, list(dict.fromkeys(run.id for run in found))


def _find(context: Context, spec: str, *, may_be_remote: bool) -> Run:
    try:
        return context.memory.get(spec)
    except RunNotFoundError as error:
        if not may_be_remote:
            raise
        message = f"{spec!r} is neither a remote nor a run."
        raise RunNotFoundError(message, "See 'git remote' and 'git exp log'.") from error


def as_json(pushed: Pushed, *, dry_run: bool) -> dict[str, Any]:
    """Return what was done in the shape of ``--json``."""
    return {
        "remote": pushed.remote,
        "dry_run": dry_run,
        "runs": pushed.runs,
        "refs": [{"ref": ref, "old": a, "new": b} for ref, (a, b) in pushed.refs.items()],
        "missing": pushed.missing,
        "retries": pushed.retries,
        "allowed": pushed.allowed,
    }


def _sentence(pushed: Pushed, *, dry_run: bool) -> str:
    count = pushed.retries
    retries = f", after {count} {'retry' if count == 1 else 'retries'}" if count else ""
    if not pushed.refs:
        return f"{pushed.remote} has everything{retries or ' already'}."
    did = "Would push" if dry_run else "Pushed"
    return f"{did} {runs_and_refs(len(pushed.runs), len(pushed.refs))} to {pushed.remote}{retries}."


def runs_and_refs(runs: int, refs: int) -> str:
    """Return ``3 runs (4 refs)``."""
    return f"{runs} run{'' if runs == 1 else 's'} ({refs} ref{'' if refs == 1 else 's'})"
