"""Say whether a run is to keep or to discard, or that it is to count as a crash.

The verdict stands beside what was observed and changes none of it; a later verdict takes the
place of an earlier one. Put '--' before a RUN that begins with '-'.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import get_args

from gitexp.cli.commands.note import comment_text
from gitexp.cli.context import Context
from gitexp.records.facts import Verdict
from gitexp.remark import add_remark
from gitexp.render.text import short
from gitexp.run import Run


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="id, latest, best:METRIC, a name or a tag")
    parser.add_argument("verdict", choices=get_args(Verdict), help="the verdict")
    parser.add_argument("-m", dest="reason", metavar="REASON", help="why, kept as a comment")


def run(args: Namespace, context: Context) -> int:
    """Write the verdict and say so."""
    judged = judge(context, args.run, args.verdict, args.reason)
    if context.output.json:
        context.output.data(judged.to_dict())
    else:
        context.output.line(
            f"The verdict on run {short(judged.id)} ({judged.name}): {judged.verdict}."
        )
    return 0


def judge(context: Context, spec: str, verdict: Verdict, reason: str | None) -> Run:
    """Write a verdict on the run that a spec names and return the run as it is now."""
    comment = None if reason is None else comment_text([reason])
    judged = context.memory.get(spec)
    add_remark(context.repository, judged.id, verdict=verdict, comment=comment)
    context.memory.refresh()
    return context.memory.get(judged.id)
