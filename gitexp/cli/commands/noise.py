"""Show what is known of the noise of the goal metric, and what a replicate would buy.

Noise is the standard deviation between runs of the same code and parameters with other seeds. The
champion and those next to it are listed, the one first of which another run is worth most: how
probable it is that it is better than the champion (the champion: than the next), how probable it
would be after one more run that comes out as expected, and how many runs would settle it.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterator

import msgspec

from gitexp.cli.context import Context
from gitexp.cli.goal_options import add_goal_options, asked_goal
from gitexp.cli.output import print_hint
from gitexp.render.text import number, short
from gitexp.research.belief.noise_report import Candidate, NoiseReport, noise_report
from gitexp.research.decisions import posterior_of

_FIRST = 3
"""Replicates that are proposed where there are none yet."""
_MOST = 10
"""Replicates that are proposed at once."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "metric", metavar="METRIC", nargs="?", help="the goal metric (default: exprag.metric)"
    )
    add_goal_options(parser)


def run(args: Namespace, context: Context) -> int:
    """Print what is known."""
    report = noise_report(posterior_of(context.memory, asked_goal(args, context)))
    if context.output.json:
        context.output.data(msgspec.to_builtins(report))
        return 0
    for line in summary(report):
        context.output.line(line)
    if report.groups:
        rows = [
            [short(group.run), number(group.runs), number(group.mean), number(group.sd)]
            for group in report.groups
        ]
        context.output.line()
        context.output.aligned(["replicates of", "runs", "mean", "sd"], rows)
    if report.candidates:
        context.output.line()
        header = ["run", "runs", "mean", "P(better)", "after one", "to settle", "worth"]
        context.output.aligned(header, [_row(candidate) for candidate in report.candidates])
    if (command := proposal(report)) is not None:
        print_hint(command)
    return 0


def summary(report: NoiseReport) -> Iterator[str]:
    """Yield what is known of the noise, a sentence each."""
    noise, word = report.noise, "lowest" if report.goal == "min" else "highest"
    yield f"Runs are judged by {report.metric}, {word} best."
    if not noise.measured:
        yield (
            f"Noise is unmeasured: there are no replicates. For the arithmetic {number(noise.sd)} "
            f"is assumed, and whatever is decided is provisional."
        )
        return
    low, high = report.interval or (noise.sd, noise.sd)
    degrees = "1 degree" if noise.degrees == 1 else f"{number(noise.degrees)} degrees"
    yield (
        f"Replicates differ by a standard deviation of {number(noise.sd)} ({degrees} of freedom; "
        f"with 90% probability between {number(low)} and {number(high)})."
    )
    if report.proportional:
        yield "Noise grows with the value; this is at the champion's."
    if report.correlation:
        yield f"Runs that share a seed vary together: correlation {report.correlation:.2f}."
    yield (
        f"The smallest gain that matters is {number(report.minimum)}; "
        f"the first run of a new idea is expected to gain {number(report.rate)}."
    )


def proposal(report: NoiseReport) -> str | None:
    """Return what to type next; None where there is nothing to run again."""
    best = report.candidates[0] if report.candidates else None
    run = report.champion if best is None else best.run
    if run is None:
        return None
    needed = None if best is None else best.replicates
    count = min(needed or 1, _MOST) if report.noise.measured else _FIRST
    return f"git exp replicate {short(run)} -n {count}"


def _row(candidate: Candidate) -> list[str]:
    settle = "over 100" if candidate.replicates is None else str(candidate.replicates)
    name = short(candidate.run) + (" (champion)" if candidate.is_champion else "")
    return [
        name,
        str(candidate.runs),
        number(candidate.mean),
        f"{candidate.p_better:.2f}",
        f"{candidate.p_after:.2f}",
        "settled" if candidate.replicates == 0 else settle,
        number(candidate.worth),
    ]
