"""What runs weigh once git has housekept: .git (reflogs included) before and after, as du counts.

``git gc`` is the plain one that everybody runs. For exprag its .exprag folder counts too: that is
where its metrics are, and git never packs it.

A call takes a microsecond here, and times that close together compress to nothing. So for the
series our clock is replaced by one that goes on 50 ms a call, give or take one: what a step of
training takes.
"""

from __future__ import annotations

import math
import os
import random
import time
import unittest.mock
from collections.abc import Callable
from pathlib import Path

from tests.bench.common import (
    Figure,
    Options,
    disk_bytes,
    edit,
    experiment_of,
    git,
    make_repository,
    remove,
)

RUNS = 500
LONG_RUNS = 20
CALLS = 10_000
PACKAGES = ("exprag", "gitexp")

STEP_NS, JITTER_NS = 50_000_000, 1_000_000

Curve = Callable[[random.Random, int], dict[str, float]]


def measure(folder: Path, _options: Options) -> list[Figure]:
    """Weigh runs without metrics, clean and dirty, and runs with long series of three kinds.

    A call tracks a step and two floating-point numbers. Only the two are counted as scalars:
    counting the step, which compresses to nothing, would flatter us.
    """
    figures: list[Figure] = []
    for state in ("clean", "dirty"):
        weights = {name: _weigh_runs(folder / name, name, state == "dirty") for name in PACKAGES}
        figures += _beside(f"a run without metrics, {state}, after gc", weights, RUNS, 1024)
    for kind, (curve, most) in CURVES.items():
        weights = {name: _weigh_series(folder / name, name, curve) for name in PACKAGES}
        scalars = LONG_RUNS * CALLS * 2
        figures += _beside(f"a tracked scalar, {kind}, after gc", weights, scalars, most)
    return figures


def _beside(name: str, weights: dict[str, int], count: int, most: int | None) -> list[Figure]:
    ours, theirs = weights["gitexp"] / count, weights["exprag"] / count
    goal = f"≤ {most:,} B" if most else ""
    met = ours <= most if most else None
    return [
        Figure(f"exprag: {name}", theirs, "B"),
        Figure(name, ours, "B", "exprag", ours / theirs, goal, met),
    ]


def _grown(repository: Path, record: Callable[[], None]) -> int:
    """Return how many bytes recording adds to a housekept repository, housekept again."""
    places = (repository / ".git", repository / ".exprag")
    git(repository, "gc", "--quiet")
    before = disk_bytes(*places)
    os.chdir(repository)
    record()
    git(repository, "gc", "--quiet")
    after = disk_bytes(*places)
    os.chdir("/")
    remove(repository)
    return after - before


def _weigh_runs(folder: Path, package: str, dirty: bool) -> int:
    experiment = experiment_of(package)
    repository = make_repository(folder, 50)

    def record() -> None:
        for number in range(RUNS):
            if dirty:
                edit(repository, number)
            exp = experiment("bench", metadata={"lr": number / 1000, "width": 64})
            if package == "gitexp":
                exp.finish()

    return _grown(repository, record)


def _weigh_series(folder: Path, package: str, curve: Curve) -> int:
    experiment = experiment_of(package)

    def record() -> None:
        source = random.Random(2)
        clock = _Clock()
        with unittest.mock.patch("gitexp.journal._time_ns", clock.now_ns):
            for _ in range(LONG_RUNS):
                exp = experiment("bench")
                for step in range(CALLS):
                    exp.track({"step": step} | curve(source, step))
                if package == "gitexp":
                    exp.finish()
        if package == "gitexp" and clock.calls < LONG_RUNS * CALLS:
            raise RuntimeError("track() does not take its time from gitexp.journal._time_ns")

    return _grown(make_repository(folder, 50), record)


class _Clock:
    """Goes on by one step of training each time it is asked."""

    def __init__(self) -> None:
        self._source = random.Random(4)
        self._now_ns = time.time_ns()
        self.calls = 0

    def now_ns(self) -> int:
        self.calls += 1
        self._now_ns += round(self._source.gauss(STEP_NS, JITTER_NS))
        return self._now_ns


def _random(source: random.Random, _step: int) -> dict[str, float]:
    return {"loss": source.random(), "acc": source.random()}


def _curve(source: random.Random, step: int) -> dict[str, float]:
    trend = math.exp(-step / 2000)
    return {
        "loss": 0.1 + 2.2 * trend + source.gauss(0, 0.02),
        "acc": 0.95 - 0.8 * trend + source.gauss(0, 0.005),
    }


def _rounded(source: random.Random, step: int) -> dict[str, float]:
    return {name: round(value, 4) for name, value in _curve(source, step).items()}


CURVES: dict[str, tuple[Curve, int | None]] = {
    "random doubles": (_random, 8),
    "noisy learning curve, all digits": (_curve, 8),
    "noisy learning curve, 4 decimals": (_rounded, 8),
}
