"""Draw a metric of several runs as curves: on the terminal, or as an SVG or PNG file.

Without RUN, of the five latest runs that have the metric; runs in progress are among them. Each
run is drawn from a few hundred points that keep its extremes; JSON holds at most 500 a run.
--smooth draws the exponential moving average over the steps, bias-corrected as in TensorBoard.
"""

from __future__ import annotations

import shutil
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.cli.commands.metrics import points_json
from gitexp.cli.context import Context
from gitexp.cli.output import Output, print_hint
from gitexp.errors import GitexpError, UsageError
from gitexp.memory import Memory
from gitexp.naming import resolve_name
from gitexp.records.history import History
from gitexp.records.sample import sample, smoothed
from gitexp.render.plot import Curve, Figure
from gitexp.render.text import short
from gitexp.run import Run

LATEST = 5
JSON_POINTS = 500
_COLUMNS, _LINES, _PIXELS = (40, 300), (10, 200), (200, 10_000)
_SPANS = ((3 * 86400, 86400, "days"), (3 * 3600, 3600, "hours"), (180, 60, "minutes"))


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("metric", metavar="METRIC", help="full path or an unambiguous suffix")
    parser.add_argument(
        "runs", metavar="RUN", nargs="*", help="id, latest, best:METRIC, a name or a tag"
    )
    parser.add_argument(
        "-o", "--output", metavar="FILE", type=Path, help="write an .svg or .png file"
    )
    parser.add_argument(
        "--smooth", metavar="W", type=float, default=0.0, help="weight of the past, 0 to below 1"
    )
    parser.add_argument("--log-x", action="store_true", help="logarithmic horizontal axis")
    parser.add_argument("--log-y", action="store_true", help="logarithmic vertical axis")
    parser.add_argument(
        "--x",
        choices=("step", "time"),
        default="step",
        help="horizontal axis: step, or time since the run started (default: step)",
    )
    parser.add_argument("--width", type=int, metavar="N", help="columns; of a file, pixels")
    parser.add_argument("--height", type=int, metavar="N", help="lines; of a file, pixels")


class Drawn(NamedTuple):
    """What is drawn of a run: its history, and before it was smoothed, both sampled.

    Attributes:
        total: How many points there are in all.
    """

    run: Run
    total: int
    history: History
    raw: History


def run(args: Namespace, context: Context) -> int:
    """Draw the curves, or print their points."""
    _check(args)
    memory = context.memory
    metric, runs = choose(args.metric, args.runs, memory)
    points = JSON_POINTS if context.output.json else _points(args, context.output)
    drawn = [read(memory, one, metric, args, points) for one in runs]
    context.report_problems(memory)
    if args.output is not None:
        _write(args, figure_of(metric, drawn, args))
    if context.output.json:
        context.output.data(as_json(metric, drawn, args))
    elif args.output is not None:
        context.output.line(f"Wrote {args.output}.")
    else:
        _print(args, figure_of(metric, drawn, args), context.output)
    return 0


def _check(args: Namespace) -> None:
    """Refuse what cannot be drawn before anything is read.

    Raises:
        UsageError: A value is out of its range, or the file is of no known kind.
    """
    if not 0 <= args.smooth < 1:
        raise UsageError("--smooth must be at least 0 and less than 1.")
    if args.output is not None and args.output.suffix.lower() not in (".svg", ".png"):
        raise UsageError(
            f"{args.output} is neither an .svg nor a .png file.", "Name it so, as in -o loss.svg."
        )
    on_file = args.output is not None
    _check_size("--width", args.width, _PIXELS if on_file else _COLUMNS)
    _check_size("--height", args.height, _PIXELS if on_file else _LINES)


def _check_size(name: str, value: int | None, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if value is not None and not low <= value <= high:
        raise UsageError(f"{name} must be from {low} to {high}.")


def choose(metric: str, specs: Sequence[str], memory: Memory) -> tuple[str, list[Run]]:
    """Return the metric's full path and the runs to draw.

    Raises:
        GitexpError: No run, or not every run that was named, has the metric.
    """
    if not specs:
        path = resolve_name(metric, memory.metric_paths())
        having = [run for run in memory.runs() if path in run.metrics]
        if len(having) > LATEST:
            print_hint(f"These are the {LATEST} latest of {len(having)} runs; name others.")
        return path, having[:LATEST]
    runs = list({run.id: run for run in map(memory.get, specs)}.values())
    path = resolve_name(metric, {path for run in runs for path in run.metrics})
    for run in runs:
        if path not in run.metrics:
            raise GitexpError(
                f"Run {short(run.id)} has not tracked {path}.",
                f"See what it has with 'git exp show {short(run.id)}'.",
            )
    return path, runs


def read(memory: Memory, run: Run, metric: str, args: Namespace, points: int) -> Drawn:
    """Return the history of a run, smoothed as asked for and then sampled."""
    history = memory.history(run, metric)
    raw = sample(history, points, args.x)
    shown = sample(smoothed(history, args.smooth), points, args.x) if args.smooth else raw
    return Drawn(run, len(history), shown, raw)


def _points(args: Namespace, output: Output) -> int:
    """Return how many points fill the width: a lowest and a highest for every dot across."""
    width: int = args.width or (1200 if args.output is not None else output.width)
    return max(2 * width if args.output is not None else 4 * width, JSON_POINTS)


def figure_of(metric: str, drawn: Sequence[Drawn], args: Namespace) -> Figure:
    """Return the curves, with an axis in steps, or in the unit of time that fits the longest."""
    unit, label = 1.0, "step"
    if args.x == "time":
        longest = max((x for one in drawn for x in _seconds(one.run, one.history)), default=0.0)
        chosen = ((length, name) for least, length, name in _SPANS if longest >= least)
        unit, name = next(chosen, (1.0, "seconds"))
        label = f"{name} since the run started"

    def xs(one: Drawn, history: History) -> Sequence[float]:
        if args.x == "step":
            return history.steps
        return [seconds / unit for seconds in _seconds(one.run, history)]

    curves = [
        Curve(
            f"{short(one.run.id)} {one.run.name}",
            xs(one, one.history),
            one.history.values,
            (xs(one, one.raw), one.raw.values) if args.smooth else None,
        )
        for one in drawn
    ]
    title = f"{metric}, smoothed by {args.smooth:g}" if args.smooth else metric
    return Figure(curves, title, label, log_x=args.log_x, log_y=args.log_y)


def _seconds(run: Run, history: History) -> list[float]:
    started = run.started.timestamp() * 1000
    return [(time_ms - started) / 1000 for time_ms in history.times_ms]


def _write(args: Namespace, figure: Figure) -> None:
    size = {"width": args.width, "height": args.height}
    asked = {name: value for name, value in size.items() if value is not None}
    if args.output.suffix.lower() == ".svg":
        from gitexp.render.plot_svg import draw_svg

        args.output.write_text(draw_svg(figure, **asked), encoding="utf-8")
    else:
        from gitexp.render.plot_png import draw_png

        args.output.write_bytes(draw_png(figure, **asked))


def _print(args: Namespace, figure: Figure, output: Output) -> None:
    from gitexp.render.plot_text import draw_text

    lines = shutil.get_terminal_size().lines - 2 if output.terminal else 24
    text = draw_text(
        figure,
        width=args.width or min(max(output.width, _COLUMNS[0]), _COLUMNS[1]),
        height=args.height or min(max(lines, _LINES[0]), 30),
        color=output.color,
        ascii_only=not _has_braille(sys.stdout.encoding),
    )
    sys.stdout.write(text)


def _has_braille(encoding: str | None) -> bool:
    try:
        "⣿┤└┬•◆".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def as_json(metric: str, drawn: Sequence[Drawn], args: Namespace) -> dict[str, Any]:
    """Return the points in the shape of ``--json``."""
    runs = [
        {
            "run": one.run.id,
            "name": one.run.name,
            "count": one.total,
            "points": points_json(one.history),
        }
        for one in drawn
    ]
    data = {"metric": metric, "smooth": args.smooth, "runs": runs}
    return data if args.output is None else data | {"output": str(args.output.absolute())}
