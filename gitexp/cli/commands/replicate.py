"""Run the exact code of a run again, with new seeds, to learn how much its results vary.

Each replicate runs in a linked worktree of its own, which holds the run's snapshot and is removed
afterwards; your work tree, index and branches are not touched. The seed is replaced in the
command's options (--seed N, --seed=N, seed=N) and in the recorded parameters, and the program is
told it in GITEXP_SEED. The new runs are recorded as 'git exp run' does; what they print goes to
stderr, and stdout is the table of all replicates.

Files that git does not have (data, .venv) are made available with --link, or the setting
exprag.link. A package that is installed in editable mode is read from where it was installed, not
from the worktree. Put another command after '--' where the run's own cannot be used.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gitexp.cli import about
from gitexp.cli.context import Context
from gitexp.cli.deciding import Concluded, conclude
from gitexp.cli.output import print_error, print_hint, print_warning
from gitexp.configuration import seed_of
from gitexp.errors import GitexpError, UsageError
from gitexp.git.repository import Repository
from gitexp.render.text import number, safe, short
from gitexp.research.replicate import (
    SEED,
    Plan,
    Spread,
    differences,
    folder_in,
    plan_replicates,
    require_inputs,
    require_own_code,
    spread_of,
)
from gitexp.research.worktree import link, standing_in, worktree_of
from gitexp.run import Run
from gitexp.running import Job, Recorded, record_command
from gitexp.summary import parse_summary

AFTER_DASHES = "[-- CMD…]"
_MOST = 1000
_INTERRUPTED_EXIT = 130
_ENOUGH = ("interrupted", "not_started")
"""After a run that ended like this no further one is begun."""

_OUTER = ("GITEXP_RUN", "GITEXP_GIT_DIR")


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="id, latest, best:METRIC, a name or a tag")
    parser.add_argument("-n", dest="count", type=int, metavar="K", help="how many (default: 1)")
    parser.add_argument("--seeds", type=seeds, metavar="A,B,…", help="these, not the next unused")
    parser.add_argument(
        "--link",
        action="append",
        default=[],
        metavar="PATH",
        help="an ignored file or folder that the command needs; may be repeated",
    )
    parser.add_argument(
        "--budget", type=about.seconds, metavar="TIME", help="end each after this time: 300s, 5m"
    )
    about.add_result_options(parser)


def seeds(text: str) -> list[int]:
    """Return seeds given as ``1,2,3``."""
    try:
        found = [int(word) for word in text.split(",")]
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not of the form 1,2,3") from None
    if any(abs(seed) >= 1 << 63 for seed in found):
        raise ArgumentTypeError("a seed has at most 63 bits")
    return found


@dataclass(frozen=True)
class _Replicate:
    """A new run, and in what it is no replicate after all."""

    concluded: Concluded
    recorded: Recorded
    differs: list[str]

    @property
    def document(self) -> dict[str, Any]:
        return self.concluded.document | ({"differs": self.differs} if self.differs else {})


def run(args: Namespace, context: Context) -> int:
    """Run the replicates, compare them, and say which did not finish."""
    plan = _plan(args, context)
    if not plan.has_seed:
        print_warning(
            f"Nothing in the command is a seed: the program is told the new one in {SEED} only, "
            f"and if it does not read that, it may do the same again."
        )
    _warn_of_left_out(args, context, plan)
    made: list[_Replicate] = []
    for seed in plan.seeds:
        made.append(_replicate(args, context, plan, seed))
        if made[-1].recorded.result.status in _ENOUGH:
            break
    _print(context, plan, made)
    if made[-1].recorded.result.status == "interrupted":
        return _INTERRUPTED_EXIT
    _require_finished([each.concluded.run for each in made])
    return 0


def _plan(args: Namespace, context: Context) -> Plan:
    if os.environ.get("GITEXP_MODE", "").lower() == "disabled":
        raise UsageError("Nothing is recorded with GITEXP_MODE=disabled.", "Unset it.")
    if args.pattern is not None:
        parse_summary(b"", args.pattern)  # a wrong pattern is said before the run, not after it
    count = args.count if args.count is not None else len(args.seeds or [0])
    if not 1 <= count <= _MOST or (args.seeds is not None and count != len(args.seeds)):
        raise UsageError(
            f"-n {count} is not possible.",
            f"Give 1 to {_MOST}, and as many as seeds where --seeds names them.",
        )
    memory = context.memory
    chosen = memory.get(args.run)
    return plan_replicates(memory, chosen, count, seeds=args.seeds, command=args.after_dashes)


def _warn_of_left_out(args: Namespace, context: Context, plan: Plan) -> None:
    """Say which files the run had that its snapshot does not hold, unless they are linked."""
    lacking = sorted(plan.left_out.difference(_links(args, context.repository)))
    if lacking:
        more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
        print_warning(
            f"The snapshot of run {short(plan.run.id)} left {lacking[0]}{more} out; if the command "
            f"needs such files, give them with --link."
        )


def _replicate(args: Namespace, context: Context, plan: Plan, seed: int) -> _Replicate:
    """Run one replicate in a worktree of its own."""
    sys.stderr.write(f"Running {safe(plan.name(seed))}\n")
    repository = context.repository
    with worktree_of(repository, plan.tree, plan.base) as worktree:
        link(repository, worktree, _links(args, repository), plan.left_out)
        require_own_code(worktree, plan)
        folder = folder_in(worktree, plan)
        require_inputs(folder, plan)
        outer = {name: text for name, text in os.environ.items() if name not in _OUTER}
        variables = worktree.variables(outer) | {SEED: str(seed), "PWD": str(folder)}
        with standing_in(folder, variables):
            recorded = record_command(Repository.discover(), _job(args, plan, seed, variables))
    if recorded.result.status == "not_started":
        print_error(GitexpError(recorded.result.message), json=context.output.json)
    concluded = conclude(context, recorded.run, decide=not args.no_decision)
    sys.stderr.write(about.result_line(concluded.run) + "\n" + concluded.line)
    differs = differences(repository, plan, concluded.run)
    if differs:
        what = ", ".join(differs)
        print_warning(f"Run {short(recorded.run)} is no replicate: it differs in {what}.")
    return _Replicate(concluded, recorded, differs)


def _job(args: Namespace, plan: Plan, seed: int, variables: Mapping[str, str]) -> Job:
    said = plan.about(seed)
    return Job(
        plan.command_with(seed),
        plan.name(seed),
        said,
        last_word={"name": plan.name(seed), "seed": seed},
        environment=variables,
        budget_s=args.budget,
        pattern=args.pattern,
        stdout=2,
    )


def _links(args: Namespace, repository: Repository) -> list[str]:
    """Return the paths to link, relative to the top: those asked for, and those of the settings."""
    top = repository.top
    asked = [
        os.path.relpath(os.path.normpath(top / repository.prefix / path), top) for path in args.link
    ]
    always = repository.configured(r"^exprag\.link$").get("exprag.link", [])
    there = [os.path.normpath(path) for path in always if os.path.lexists(top / path)]
    return list(dict.fromkeys(asked + there))


# What came of it


def _print(context: Context, plan: Plan, made: list[_Replicate]) -> None:
    """Print all replicates that there are now, with their values of the goal metric."""
    context.memory.refresh()
    spread = spread_of(context.memory, made[0].concluded.run)
    if context.output.json:
        context.output.data(_as_json(plan, made, spread))
        return
    header = ["run", "seed", "status"]
    rows = [[short(each.id), safe(seed_of(each) or ""), each.status] for each in spread.runs]
    if spread.goal is not None:
        header.append(safe(spread.goal.metric))
        for row, each in zip(rows, spread.runs, strict=True):
            row.append(number(spread.values[each.id]) if each.id in spread.values else "")
    context.output.table(header, rows)
    if spread.sd is not None:
        count = len(spread.values)
        sys.stderr.write(
            f"mean {number(spread.mean)}, standard deviation {number(spread.sd)} of {count} runs\n"
        )
    if spread.sd == 0:
        print_hint("All values are the same: the program seems not to use the seed.")


def _as_json(plan: Plan, made: list[_Replicate], spread: Spread) -> dict[str, Any]:
    goal = spread.goal
    known = {"mean": spread.mean, "sd": spread.sd}
    return {
        "run": plan.run.id,
        **({} if goal is None else {"metric": goal.metric, "goal": goal.word}),
        **{name: value for name, value in known.items() if value is not None},
        "replicates": [
            {"run": each.id, "status": each.status}
            | ({"seed": seed_of(each)} if seed_of(each) is not None else {})
            | ({"value": spread.values[each.id]} if each.id in spread.values else {})
            for each in spread.runs
        ],
        "runs": [each.document for each in made],
    }


def _require_finished(runs: list[Run]) -> None:
    """Raise an error that names the runs that did not finish."""
    broken = [f"{short(run.id)} ({run.status})" for run in runs if run.status != "finished"]
    if broken:
        raise GitexpError(
            f"{len(broken)} of {len(runs)} replicates did not finish: {', '.join(broken)}.",
            f"See what they printed: git exp show {broken[0].partition(' ')[0]} --log",
        )
