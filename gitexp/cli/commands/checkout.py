"""Bring the code of a run back, and go back again.

Local changes that would be overwritten stop it; with --save they are kept as a snapshot first.
'git exp checkout -' undoes the latest checkout and brings what was saved back exactly. A RUN may
be an id or a unique prefix of one, latest, latest~2, best:METRIC, a name or a tag.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gitexp import restore
from gitexp.cli.context import Context
from gitexp.cli.output import print_warning
from gitexp.errors import MissingObjectError, UsageError
from gitexp.git import refs
from gitexp.git.read import resolve
from gitexp.git.repository import Repository
from gitexp.render.text import short
from gitexp.restore import Restored, Save
from gitexp.run import Run
from gitexp.snapshot import Limits, take_snapshot

AFTER_DASHES = "[-- PATH…]"
_UNDO = "Go back with 'git exp checkout -'."


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="the run, or '-' to undo the latest checkout")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("-b", dest="branch", metavar="NAME", help="make this branch there")
    where.add_argument(
        "--worktree", metavar="DIR", type=Path, help="put the code into a new linked worktree"
    )
    parser.add_argument("--save", action="store_true", help="keep local changes first")


def run(args: Namespace, context: Context) -> int:
    """Check the run out, or go back."""
    try:
        restored, target = _perform(args, context)
    except KeyboardInterrupt:
        if restore.undo_unfinished(context.repository):
            sys.stderr.write("Interrupted; everything is as it was before.\n")
        raise
    if context.output.json:
        context.output.data(_as_json(restored, target))
    elif target is None:
        context.output.line(_back(restored))
    else:
        context.output.line(_there(restored, target, paths=bool(args.after_dashes)))
    return 0


def _perform(args: Namespace, context: Context) -> tuple[Restored, Run | None]:
    save = _saver(context.repository) if args.save else None
    if args.run == "-":
        if args.branch or args.worktree or args.after_dashes:
            raise UsageError(
                "'git exp checkout -' takes no branch, worktree or paths.",
                "It undoes the latest checkout as a whole.",
            )
        return restore.checkout_back(context.repository, save=save), None
    target = _present_run(context, args.run)
    return _check_out(args, context.repository, target.id, save), target


def _check_out(args: Namespace, repository: Repository, commit: str, save: Save | None) -> Restored:
    if args.after_dashes:
        if args.branch or args.worktree:
            raise UsageError("Paths cannot be combined with -b or --worktree.")
        return restore.checkout_paths(repository, commit, args.after_dashes, save=save)
    if args.worktree:
        if save is not None:
            raise UsageError(
                "--save cannot be combined with --worktree.", "A worktree changes nothing here."
            )
        return restore.checkout_worktree(repository, commit, args.worktree)
    if args.branch is not None:
        return restore.checkout_branch(repository, commit, args.branch, save=save)
    return restore.checkout(repository, commit, save=save)


def _present_run(context: Context, spec: str) -> Run:
    """Return the run that a spec names.

    Raises:
        MissingObjectError: Its snapshot is not in this repository.
    """
    run = context.memory.get(spec)
    if resolve(context.repository, run.id) is None:
        raise MissingObjectError(
            f"The code of run {short(run.id)} is not in this repository.",
            "Pull it from where it is: git exp pull REMOTE.",
        )
    return run


def _saver(repository: Repository) -> Save:
    def save() -> str:
        limits = Limits.from_settings(repository.settings)
        snapshot = take_snapshot(repository, "saved by git exp checkout", limits=limits)
        for sentence in snapshot.warnings:
            print_warning(sentence)
        return snapshot.run_id

    return save


def _there(restored: Restored, run: Run, *, paths: bool) -> str:
    label = f"run {short(run.id)} ({run.name})"
    if restored.worktree is not None:
        return (
            f"The code of {label} is in {restored.worktree}. "
            f"Remove it with 'git worktree remove {restored.worktree}'."
        )
    kept = f" Your changes are kept as {short(restored.saved)}." if restored.saved else ""
    if paths and not restored.paths:
        return f"These files are as in {label} already; nothing was changed."
    if paths:
        return f"Brought back {_files(restored)} of {label}.{kept} {_UNDO}"
    if restored.branch is not None:
        return f"On the new branch {restored.branch} at {label}.{kept} {_UNDO}"
    if not restored.previous or restored.previous == restored.target:
        return f"At {label}.{kept} {_UNDO}"
    return f"At {label}; before on {_place(restored.previous)}.{kept} {_UNDO}"


def _back(restored: Restored) -> str:
    kept = f" What was here is kept as {short(restored.saved)}." if restored.saved else ""
    if restored.paths:
        return f"Put back {_files(restored)} as before the checkout."
    return f"Back on {_place(restored.branch or restored.target)}.{kept}"


def _files(restored: Restored) -> str:
    shown = ", ".join(restored.paths[:3])
    more = f" and {len(restored.paths) - 3} more" if len(restored.paths) > 3 else ""  # noqa: PLR2004
    return f"{shown}{more}"


def _place(head: str) -> str:
    """Return a branch name as it is and a commit id in short."""
    return short(head) if refs.is_run_id(head) else head


def _as_json(restored: Restored, run: Run | None) -> dict[str, Any]:
    known = {"run": run.id, "name": run.name} if run else {}
    worktree = str(restored.worktree) if restored.worktree else None
    return known | asdict(restored) | {"worktree": worktree}
