"""Run the cycle of an experiment by itself: propose, guard, run, decide, keep or drop, again.

Who proposes is a model behind an OpenAI-compatible endpoint (--model), a coding agent on the
command line (--agent) or a script (--script). Each proposal is applied in a worktree of its own,
checked against what was tried, run with the command after '--', and judged beside the best code so
far; what is better beyond noise is kept on the session's branch, exp/SESSION. Your work tree, index
and branches are not touched.

In a project of autoresearch's shape (program.md, train.py) command, metric and what may change are
known. A session that was interrupted, or killed, goes on with --resume; --dry-run shows the first
prompt and what would run.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.loop_options import add_options, budgets_of, plan_of, provider_of
from gitexp.cli.loop_status import Watcher, result_json, result_lines
from gitexp.cli.output import print_error, print_hint
from gitexp.errors import GitexpError, UsageError
from gitexp.loop.branch import branch_of
from gitexp.loop.cycle import Loop, read_session
from gitexp.loop.journal import is_open, journal_path, now, sessions
from gitexp.loop.progress import LoopResult
from gitexp.render.text import number, safe
from gitexp.summary import parse_summary

AFTER_DASHES = "[-- CMD…]"
_INTERRUPTED_EXIT = 130


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add_options(parser)
    parser.add_argument(
        "--resume",
        nargs="?",
        const="",
        metavar="SESSION",
        help="go on with a session, the latest by default; budgets can be changed",
    )
    parser.add_argument("--list", action="store_true", help="list the sessions")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the first prompt and what would run"
    )


def run(args: Namespace, context: Context) -> int:
    """Work on a session, and say what came of it."""
    if args.list:
        return _list(context)
    if os.environ.get("GITEXP_MODE", "").lower() == "disabled":
        raise UsageError("Nothing is recorded with GITEXP_MODE=disabled.", "Unset it.")
    if args.pattern is not None:
        parse_summary(b"", args.pattern)  # a wrong pattern is said before anything runs
    os.environ.pop("GITEXP_RUN", None)  # its runs are runs of their own
    watcher = Watcher()
    environment = dict(os.environ)
    if args.resume is not None:
        loop = _resumed(args, context, environment, watcher)
    else:
        loop = _new(args, context, environment, watcher)
    if args.dry_run:
        return _preview(loop, context)
    with watcher.watching():
        result = loop.run()
    return _print(result, context)


def _new(
    args: Namespace, context: Context, environment: Mapping[str, str], watcher: Watcher
) -> Loop:
    plan = plan_of(args, context.repository)
    provider = provider_of(args, {}, 0, environment)
    return Loop(
        context.memory,
        plan,
        provider,
        library=context.library,
        environment=environment,
        on_event=watcher,
    )


def _resumed(
    args: Namespace, context: Context, environment: Mapping[str, str], watcher: Watcher
) -> Loop:
    repository = context.repository
    if args.after_dashes:
        raise UsageError(
            "A session's command cannot be changed.", "Begin a new one on its branch: --branch"
        )
    name = args.resume or next(iter(sessions(repository)), None)
    if name is None:
        raise GitexpError("There is no session to resume.", "Begin one: git exp loop -- CMD")
    state = read_session(repository, name)
    known = state.opened.plan.budgets if state.sitting is None else state.sitting.budgets
    provider = provider_of(args, state.opened.plan.provider, state.answers, environment)
    return Loop.resume(
        context.memory,
        name,
        provider,
        library=context.library,
        environment=environment,
        on_event=watcher,
        budgets=budgets_of(args, known),
    )


def _preview(loop: Loop, context: Context) -> int:
    prompt, plan = loop.first_prompt(), loop.plan
    branch = branch_of(context.repository, loop.session, plan.branch)
    if context.output.json:
        context.output.data(
            {
                "command": list(plan.command),
                "evaluate": list(plan.evaluate),
                "metric": plan.metric,
                "goal": "min" if plan.lower else "max",
                "branch": branch,
                "system": prompt.system,
                "prompt": prompt.text,
            }
        )
        return 0
    out = context.output
    out.heading("What would run")
    out.line(f"command: {' '.join(plan.command)}")
    if plan.evaluate:
        out.line(f"evaluation: {' '.join(plan.evaluate)}")
    out.line(f"metric: {plan.metric} ({'lower' if plan.lower else 'higher'} is better)")
    out.line(f"branch: {branch}")
    out.line()
    out.heading("What would be asked first")
    out.text(prompt.system)
    out.line()
    out.text(prompt.text)
    return 0


def _print(result: LoopResult, context: Context) -> int:
    if context.output.json:
        context.output.data(result_json(result))
    else:
        for line in result_lines(result):
            context.output.line(line)
    if result.reason == "interrupted":
        return _INTERRUPTED_EXIT
    if result.error is None:
        return 0
    sys.stdout.flush()
    print_error(result.error, json=context.output.json)
    return result.error.exit_code


def _list(context: Context) -> int:
    found = []
    for name in sessions(context.repository):
        try:
            found.append(_summary(name, context))
        except GitexpError as error:
            print_hint(f"{name}: {error.message}")
    if context.output.json:
        context.output.data({"sessions": found})
        return 0
    header = ["session", "state", "branch", "runs", "kept", "best"]
    rows = [
        [
            *(safe(str(each[key])) for key in ("session", "state", "branch", "runs", "kept")),
            number(each["best"]) if "best" in each else "",
        ]
        for each in found
    ]
    context.output.table(header, rows)
    return 0


def _summary(name: str, context: Context) -> dict[str, Any]:
    state = read_session(context.repository, name)
    best = state.best(lower=state.opened.plan.lower)
    if is_open(journal_path(context.repository, name)):
        how = "running"
    else:
        how = "killed" if state.ended is None else state.ended.reason
    return {
        "session": name,
        "state": how,
        "branch": state.opened.branch,
        "runs": len(state.runs),
        "kept": len(state.kept),
        **({} if best is None else {"best": best[1]}),
        "seconds": round(state.spent(now() if how == "running" else state.last).seconds, 3),
    }
