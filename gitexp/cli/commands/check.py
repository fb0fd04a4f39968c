"""Say whether an idea was tried before, and how that went.

The idea is any of: words, parameters, a command, the work tree as it is. The work tree is part of
it when its code is not HEAD's; with --diff always (a clean one is then what HEAD's commit
changed), with --no-diff never. What is found is a class with the runs that it rests on:

identity, the same code, parameters and command; patch, the same change; structure, the same
setting; near patch, most of the change; text, words that mean the same. By the mode that is
allowed, to be taken with caution, or blocked; near patches and words alone never block.

With --fail-on-similar the exit code is 2 where it is blocked.
"""

from __future__ import annotations

from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from dataclasses import replace
from typing import Any

from gitexp.cli.about import add_idea_options, nested
from gitexp.cli.context import Context
from gitexp.cli.goal_options import add_goal_options
from gitexp.document import Document
from gitexp.errors import GitexpError, UsageError
from gitexp.git.commit import tree_of
from gitexp.git.read import resolve
from gitexp.git.repository import Repository
from gitexp.records.decision import Evidence
from gitexp.render.text import short
from gitexp.research.goal import GoalMetric, goal_metric
from gitexp.research.guard.novelty import MODES, Finding, Plan, check
from gitexp.snapshot import Limits, planned_tree

AFTER_DASHES = "[-- CMD…]"
_BLOCKED = 2
_COLORS = {"allow": "32", "caution": "33", "block": "31"}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("text", metavar="TEXT", nargs="?", help="the idea in words")
    add_idea_options(parser)
    parser.add_argument(
        "--diff",
        action=BooleanOptionalAction,
        help="take the work tree's code for part of the idea (default: if it is not HEAD's)",
    )
    parser.add_argument(
        "--mode", choices=MODES, default="exploit", help="what the next runs are for"
    )
    parser.add_argument(
        "--limit", type=int, default=3, metavar="N", help="runs to name (default 3)"
    )
    parser.add_argument("--metric", metavar="NAME", help="judge runs by this metric")
    add_goal_options(parser)
    parser.add_argument(
        "--fail-on-similar", action="store_true", help="exit with 2 where it is blocked"
    )


def run(args: Namespace, context: Context) -> int:
    """Print what the guard says."""
    if args.limit < 1:
        raise UsageError("--limit must be 1 or more.")
    plan = _plan(args, context.repository)
    goal = _goal(args, context)
    progress = context.output.progress("Reading changes")
    memory = context.memory
    finding = check(memory, plan, goal, mode=args.mode, limit=args.limit, progress=progress)
    ids = [each.run for each in finding.novelty.evidence]
    found = memory.search(among=ids) if ids else []
    documents = {each.document["run"]: each.document for each in found}
    if context.output.json:
        context.output.data(finding_json(finding, documents, goal))
    else:
        _print(context, finding, documents)
    return _BLOCKED if args.fail_on_similar and finding.policy == "block" else 0


def _goal(args: Namespace, context: Context) -> GoalMetric | None:
    """Return what runs are judged by; None where nothing is said and no run has a metric."""
    try:
        return goal_metric(context.memory, args.metric, args.lower)
    except GitexpError as error:
        if args.metric is not None or isinstance(error, UsageError):
            raise
        return None


def _plan(args: Namespace, repository: Repository) -> Plan:
    """Return what is planned, with the code that would run."""
    if args.text is not None and args.description is not None:
        raise UsageError("The idea is said twice: as TEXT and with -m.", "Use one of them.")
    plan = Plan(
        description=args.text if args.description is None else args.description,
        hypothesis=args.hypothesis,
        family=args.family,
        tags=tuple(args.tag),
        parameters=nested(args.param) or None,
        seed=args.seed,
        command=tuple(args.after_dashes) or None,
        tries_code=args.diff,
    )
    if args.diff is False or (args.diff is None and repository.work_tree is None):
        head = resolve(repository, "HEAD")
        return replace(plan, tree=tree_of(repository, head), base=head, tries_code=False)
    tree, head = planned_tree(repository, Limits.from_settings(repository.settings))
    return replace(plan, tree=tree, base=head)


def finding_json(
    finding: Finding, documents: dict[str, Document], goal: GoalMetric | None
) -> dict[str, Any]:
    """Return a finding in the shape of ``--json``."""
    return {
        "classification": finding.novelty.classification,
        "policy": finding.policy,
        "mode": finding.mode,
        "certain": finding.certain,
        "sentence": finding.sentence,
        "provisional": finding.provisional,
        **({} if goal is None else {"metric": goal.metric, "goal": goal.word}),
        "evidence": [
            {
                "run": each.run,
                "name": documents.get(each.run, {}).get("name"),
                "level": each.level,
                "score": each.score,
                "why": each.why,
                "lines": list(each.lines),
            }
            for each in finding.novelty.evidence
        ],
    }


def _print(context: Context, finding: Finding, documents: dict[str, Document]) -> None:
    output = context.output
    color = _COLORS[finding.policy]
    policy = f"\x1b[{color}m{finding.policy}\x1b[0m" if output.color else finding.policy
    output.raw(f"{finding.novelty.classification}: {policy} ({finding.mode})\n".encode())
    output.line(finding.sentence)
    for each in finding.novelty.evidence:
        output.line()
        output.line(_headline(each, documents.get(each.run, {})))
        output.line(f"    {each.why}")
        for line in each.lines:
            output.line(f"    {line}")
    if finding.provisional and finding.novelty.evidence:
        output.line()
        output.line("Noise is unmeasured: how runs went is what single runs say.")


def _headline(evidence: Evidence, document: Document) -> str:
    name = document.get("description") or document.get("name") or ""
    return f"{short(evidence.run)}  {evidence.level} {evidence.score:.2f}  {name}"
