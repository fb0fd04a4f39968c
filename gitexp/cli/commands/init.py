"""Look at or choose the settings of this clone; none of them is needed to start.

--metric and --goal say what 'best' means here, --shard names this clone's share of the store,
and --notes-display lets plain 'git log RUN' show the facts of a run. All of this is written to
the repository's own git configuration, where 'git config' sees it too.

--hooks puts a git hook in place: pre-push, with which 'git push' of a branch shares its runs, or
in a bare repository pre-receive, which refuses pushes that would lose or damage runs. A hook that
was there runs first. --hooks --remove puts everything back as it was.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.output import print_hint, print_warning
from gitexp.errors import GitCommandError, UsageError
from gitexp.git import refs
from gitexp.git.process import run_git
from gitexp.git.repository import Repository
from gitexp.hooks.install import Hook, find_hook, install, remove
from gitexp.share import choose_remote
from gitexp.store.shard import shard_name

_DISPLAY_KEY = "notes.displayRef"
_DISPLAY_GLOB = f"{refs.FACTS}*"
_HOOK_STATES = {
    "absent": "no hook",
    "foreign": "a hook of another program",
    "installed": "gitexp's hook",
    "outdated": "gitexp's hook, of another version; renew it with --hooks",
}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--shard", metavar="NAME", help="name of this clone's share of the store")
    parser.add_argument("--remote", metavar="NAME", help="the remote that push and pull take")
    parser.add_argument("--metric", metavar="NAME", help="the metric that --goal speaks of")
    parser.add_argument("--goal", choices=("min", "max"), help="which direction is better")
    parser.add_argument(
        "--notes-display",
        action=BooleanOptionalAction,
        help="let 'git log' show the facts of runs, or not",
    )
    parser.add_argument("--hooks", action="store_true", help="put the git hook in place")
    parser.add_argument("--remove", action="store_true", help="with --hooks: take it out again")


def run(args: Namespace, context: Context) -> int:
    """Write the settings that were given and show what is set."""
    repository = context.repository
    _check(args, repository)
    for name in ("shard", "remote", "metric", "goal"):
        value = getattr(args, name)
        if value is not None:
            run_git(["config", "--local", f"exprag.{name}", value], cwd=repository.top)
    if args.notes_display is not None:
        _display_notes(repository, show=args.notes_display)
    if args.remove:
        _report_left(remove(repository))
    elif args.hooks:
        install(repository)
    state = describe(context)
    if context.output.json:
        context.output.data(state)
    else:
        _show(state, context)
    return 0


def _check(args: Namespace, repository: Repository) -> None:
    """Raise a UsageError for what cannot be set."""
    if args.shard is not None and not refs.is_shard_name(args.shard):
        raise UsageError(
            f"The shard name {args.shard!r} is not usable.",
            "Use lower-case letters, digits, '.', '_' and '-'.",
        )
    if args.metric is not None and not args.metric.strip():
        raise UsageError("The metric's name is empty.", "Give a name, as in --metric acc.")
    if args.remote is not None:
        choose_remote(repository, args.remote)  # says what is wrong with it
    if args.remove and not args.hooks:
        raise UsageError("--remove makes sense with --hooks only.")


def describe(context: Context) -> dict[str, Any]:
    """Return the settings and the state of the store, in the shape of ``--json``."""
    repository = context.repository
    settings = repository.settings
    runs = context.memory.runs()
    hook = find_hook(repository)
    return {
        "shard": shard_name(repository),
        "settings": dict(sorted(settings.items())),
        "notes_display": _DISPLAY_GLOB in _display_refs(repository),
        "runs": len(runs),
        "running": sum(run.status == "running" for run in runs),
        "store": str(repository.home),
        "hooks": {hook.name: hook.state},
        "hooks_folder": str(hook.path.parent),
    }


def _display_refs(repository: Repository) -> list[str]:
    try:
        output = run_git(["config", "--get-all", "-z", _DISPLAY_KEY], cwd=repository.top)
    except GitCommandError:
        return []  # git config exits with 1 when nothing is set
    return output.decode("utf-8", "replace").split("\0")[:-1]


def _display_notes(repository: Repository, *, show: bool) -> None:
    shown = _DISPLAY_GLOB in _display_refs(repository)
    if show and not shown:
        run_git(["config", "--local", "--add", _DISPLAY_KEY, _DISPLAY_GLOB], cwd=repository.top)
    elif shown and not show:
        pattern = "^" + _DISPLAY_GLOB.replace("*", r"\*") + "$"
        words = ["config", "--local", "--unset-all", _DISPLAY_KEY, pattern]
        run_git(words, cwd=repository.top)


def _report_left(hook: Hook) -> None:
    """Say what stays where it is, since it is not gitexp's."""
    if hook.state == "foreign":
        print_warning(f"{hook.path} is another program's; it is left as it is.")
        if os.path.lexists(hook.kept):
            print_hint(f"It replaced gitexp's. The hook of before gitexp is kept as {hook.kept}.")


def _show(state: dict[str, Any], context: Context) -> None:
    out = context.output
    out.line(f"shard          {state['shard']}")
    out.line(f"runs           {state['runs']} ({state['running']} in progress)")
    out.line(f"notes display  {'on' if state['notes_display'] else 'off'}")
    for name, hook in state["hooks"].items():
        out.line(f"{name:<14} {_HOOK_STATES[hook]}")
    for name, value in state["settings"].items():
        out.line(f"{name:<14} {value}")
    if not state["settings"]:
        out.line("No exprag.* setting is made; nothing needs one.")
