"""Say what to do next about runs, and write it down beside them.

A decision compares a run with the champion, noise and all, and names one action: promote,
replicate, abandon and so on (docs/research.md). It can be made again when more is known; the
latest counts, and a verdict by a person stands beside it. With --all every run is decided about
that has ended and has no decision, or one that later runs have overtaken.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

import msgspec

from gitexp.cli.context import Context
from gitexp.cli.goal_options import add_goal_options, asked_goal
from gitexp.errors import UsageError
from gitexp.records.decision import DecisionFact
from gitexp.render.packet import packet_markdown, packet_text
from gitexp.render.text import safe, short
from gitexp.research.decisions import decide_again, write_decisions
from gitexp.run import Run


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="*", help="id, latest, best:METRIC, a name or a tag"
    )
    parser.add_argument(
        "--all", action="store_true", help="every run without a decision, or with a stale one"
    )
    parser.add_argument("--metric", metavar="NAME", help="the goal metric (default: exprag.metric)")
    add_goal_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="write nothing")
    parser.add_argument("--markdown", action="store_true", help="print whole packets, as Markdown")


def run(args: Namespace, context: Context) -> int:
    """Decide, write the decisions, and print them."""
    if bool(args.runs) == args.all:
        raise UsageError("Say which runs to decide about.", "Name them, or give --all.")
    runs = None if args.all else [context.memory.get(spec) for spec in args.runs]
    decisions = decide_again(context.memory, runs, asked_goal(args, context))
    if decisions and not args.dry_run:
        write_decisions(context.repository, decisions)
    print_decisions(context, decisions, markdown=args.markdown, written=not args.dry_run)
    return 0


def print_decisions(
    context: Context, decisions: dict[str, DecisionFact], *, markdown: bool, written: bool
) -> None:
    """Print decisions: whole packets, or a line each where there are several."""
    output = context.output
    found = [(context.memory.get(run_id), decision) for run_id, decision in decisions.items()]
    if output.json:
        packets = [{"run": run.id} | msgspec.to_builtins(made) for run, made in found]
        output.data({"written": written, "decisions": packets})
    elif markdown or len(found) == 1:
        for run, made in found:
            packet = msgspec.to_builtins(made)
            text = (packet_markdown if markdown else packet_text)(run.to_dict(), packet)
            output.text(text)
    elif found:
        output.table(["run", "name", "action", "priority", "better", "why"], map(_row, found))
    else:
        output.line("Every run has a decision, and none is stale.")


def _row(found: tuple[Run, DecisionFact]) -> list[str]:
    run, made = found
    compared = made.comparison
    better = "" if compared is None else f"{compared.p_better:.2f}"
    better += " (provisional)" if made.provisional and better else ""
    return [short(run.id), safe(run.name), made.action, made.priority, better, safe(made.summary)]
