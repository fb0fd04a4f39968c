"""One run that was tracked very often: reading one of its metrics, drawing it, printing it.

Its calls are 50 ms apart, give or take one, with three metrics that are noisy learning curves with
all digits. gitexp's own encoder folds them, so no time goes into recording, which
`tests.bench.long_run` measures. The run stands among a thousand others. MLflow is given the metric
that is asked for and no other run; exprag has the run alone.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

import gitexp
from gitexp.records.sample import sample
from gitexp.records.series import SeriesEncoder, log_digest
from gitexp.render.plot import Curve
from gitexp.render.plot import Figure as Drawing
from gitexp.render.plot_svg import draw_svg
from gitexp.render.plot_text import draw_text
from tests.bench import peers
from tests.bench.common import Cost, Figure, compare, demand, median_costs, medians, remove
from tests.bench.corpus import SampledRun, add_sampled, make_corpus, sample_run

METRIC = "loss"
POINTS = 500
_RUNS = 1000
_TEXT_POINTS, _SVG_POINTS = 500, 2400
"""Of how many points `git exp plot` draws a curve."""
_MOST_SECONDS = 1
_STEP_NS, _JITTER_NS = 50_000_000, 1_000_000


def measure(folder: Path, calls: int) -> list[Figure]:
    """Compare reading with the others; measure drawing, and the commands as whole processes."""
    ours, mlflow, exprag = (folder / name for name in ("gitexp", "mlflow", "exprag"))
    make_corpus(ours, _RUNS)
    long = _long_run(calls)
    run_id = add_sampled(ours, long)
    points = ((time_ns // 1_000_000, value[METRIC]) for time_ns, value in tracked(calls))
    mlflow_history = peers.fill_mlflow_history(mlflow, long, METRIC, points)
    peers.fill_exprag_history(exprag, long, tracked(calls))
    memory = gitexp.open(ours)
    run = memory.get(run_id)
    sides: dict[str, Callable[[], Sequence[Any]]] = {
        "gitexp": lambda: memory.history(run, METRIC),
        "MLflow": mlflow_history,
        "exprag": lambda: peers.exprag_values(peers.load_exprag(exprag), METRIC),
    }
    demand(all(len(read()) == calls for read in sides.values()), "not all points were read")
    read = medians({name: peers.timed(ask) for name, ask in sides.items()}, 3)
    drawn = medians(
        {
            "text": peers.timed(lambda: draw_text(_drawing(memory, run, _TEXT_POINTS))),
            "SVG": peers.timed(lambda: draw_svg(_drawing(memory, run, _SVG_POINTS))),
        },
        5,
    )
    costs = median_costs({name: (c, ours) for name, c in _commands(run_id).items()}, 3)
    _check_printed(costs, calls)
    remove(ours, mlflow, exprag)
    return _figures(f"{calls:,} points", read, drawn, costs)


def tracked(calls: int) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield nanoseconds since 1970 and the values of each call."""
    source = random.Random(5)
    time_ns = 1_767_225_600_000_000_000
    for step in range(calls):
        time_ns += round(source.gauss(_STEP_NS, _JITTER_NS))
        trend = math.exp(-5 * step / calls)
        yield (
            time_ns,
            {
                "loss": 0.1 + 2.2 * trend + source.gauss(0, 0.02),
                "acc": 0.95 - 0.8 * trend + source.gauss(0, 0.005),
                "val_loss": 0.2 + 2.2 * trend + source.gauss(0, 0.04),
            },
        )


def _long_run(calls: int) -> SampledRun:
    encoder = SeriesEncoder()
    for time_ns, value in tracked(calls):
        encoder.add(time_ns, value, None, None)
    encoder.flush()
    sampled = sample_run(_RUNS, _RUNS)
    end = msgspec.structs.replace(
        sampled.end, calls=calls, metrics=encoder.summaries(), digest=log_digest(encoder.lines)
    )
    return sampled._replace(end=end, series=encoder.lines)


def _drawing(memory: gitexp.Memory, run: gitexp.Run, points: int) -> Drawing:
    """Read a run's history and return it ready to be drawn."""
    shown = sample(memory.history(run, METRIC), points)
    return Drawing([Curve(run.name, shown.steps, shown.values)], METRIC)


def _commands(run_id: str) -> dict[str, tuple[str, ...]]:
    metrics = ("git", "exp", "metrics", run_id, METRIC, "--json")
    return {
        "show": ("git", "exp", "show", run_id, "--json"),
        "plot": ("git", "exp", "plot", METRIC, run_id),
        "all": metrics,
        "sampled": (*metrics, "--points", str(POINTS)),
    }


def _check_printed(costs: Mapping[str, Cost], calls: int) -> None:
    printed = {name: json.loads(costs[name].output) for name in ("all", "sampled")}
    demand(all(history["count"] == calls for history in printed.values()), "a count is wrong")
    demand(len(printed["all"]["points"]) == calls, "not all points were printed")
    demand(len(printed["sampled"]["points"]) <= POINTS, "too many points were printed")


def _figures(
    size: str, read: Mapping[str, float], drawn: Mapping[str, float], costs: Mapping[str, Cost]
) -> list[Figure]:
    figures = [Figure(f"{peer}: {size}: read one metric", read[peer], "s") for peer in _PEERS]
    name = f"{size}: history(), one metric"
    figures += [compare(name, read["gitexp"], "s", peer, read[peer]) for peer in _PEERS]
    goal = f"≤ {_MOST_SECONDS} s"
    for kind, seconds in drawn.items():
        name, met = f"{size}: read and drawn as {kind}", seconds <= _MOST_SECONDS
        figures.append(Figure(name, seconds, "s", goal=goal, met=met))
    everything = costs["all"]
    for key, words in _WORDS.items():
        wall, peak = costs[key].wall, costs[key].peak_bytes / 1e6
        name = f"{size}: git exp {words}"
        if key != "sampled":
            figures += [Figure(name, wall, "s"), Figure("…peak memory", peak, "MB")]
            continue
        figures.append(compare(name, wall, "s", "all points", everything.wall))
        all_peak = everything.peak_bytes / 1e6
        figures.append(compare("…peak memory", peak, "MB", "all points", all_peak))
    return figures


_PEERS = ("MLflow", "exprag")
_WORDS = {
    "show": "show RUN, no history",
    "plot": f"plot {METRIC} RUN",
    "all": f"metrics RUN {METRIC} --json",
    "sampled": f"metrics RUN {METRIC} --json --points {POINTS}",
}
