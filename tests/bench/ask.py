"""Measure what asking many runs costs, beside MLflow and exprag: ``python -m tests.bench.ask``.

Needs the extra ``bench`` (``pip install -e '.[bench]'``). The runs are those of
`tests.bench.corpus`, the same in all three (`tests.bench.peers`), in a temporary folder; with
100,000 of them the whole takes ten minutes or more and 2 GB of disk. Every answer that is timed
in one process is compared with the right one first. docs/benchmarks.md has the figures and what
they mean.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import gitexp
from tests.bench import long_history, peers
from tests.bench.common import (
    Action,
    Cost,
    Figure,
    demand,
    machine,
    median_costs,
    medians,
    print_figures,
    print_header,
    print_table,
    remove,
    run_process,
    sandbox,
    significant,
    yes_no,
)
from tests.bench.corpus import BEHIND, BROAD, NARROW, PAIR, add_run, make_corpus

PYTHON = (sys.executable, "-c", "pass")
BEST = ("git", "exp", "best", "acc")
COMMANDS = {
    "best": BEST,
    "best json": (*BEST, "--json"),
    "log": ("git", "exp", "log", "-n", "20"),
}
_UNINDEXED = 10_000
"""As it is installed, MLflow needs minutes for one answer about more runs."""

_BUILD = """\
import time
import gitexp

memory = gitexp.open()
begin = time.perf_counter()
runs = memory.count()
print(time.perf_counter() - begin, runs, memory.index_path.stat().st_size)
"""


class Line(NamedTuple):
    """One line of the table: what is measured at each size.

    Attributes:
        key: Names the figure in what the measurements return.
        limits: How many runs there are -> the most that meets the goal then (with ``floor``,
            the least).
    """

    key: str
    what: str
    unit: str = "ms"
    limits: Mapping[int, float] = {}
    floor: bool = False

    def goal(self) -> str:
        """Return the goal in words."""
        sign = "≥" if self.floor else "≤"
        return ", ".join(f"{sign} {most:,} at {_short(runs)}" for runs, most in self.limits.items())

    def met(self, values: Mapping[int, float]) -> bool | None:
        """Say whether the goal is met wherever it was measured; None if it was nowhere."""
        pairs = [(values[runs], limit) for runs, limit in self.limits.items() if runs in values]
        if not pairs:
            return None
        return all(v >= limit if self.floor else v <= limit for v, limit in pairs)


_QUESTIONS = {
    "best": 'best("acc"), top 10',
    "last": "last 20",
    "broad": "first 20 by acc, of 60%",
    "narrow": "first 20 by acc, of 0.1%",
    "pair": "first 20 by acc, two parameters, of 0.1%",
    "behind": "first 20 by acc, none of them near the top",
}
_GOAL = {10_000: 2, 100_000: 10}


def _question_lines() -> list[Line]:
    lines = []
    for key, what in _QUESTIONS.items():
        lines.append(Line(f"warm {key}", what, limits={} if key == "behind" else _GOAL))
        lines += [Line(f"warm {key} {peer}", f"{peer}: the same") for peer in ("MLflow", "exprag")]
    return lines


LINES = [
    *_question_lines(),
    Line("as installed", 'MLflow as installed (no ANALYZE): best("acc"), top 10'),
    Line("count", "count of those 60%"),
    Line("mean", "best by mean instead"),
    Line("front", "Pareto front of acc and loss"),
    Line("load", "exprag: load all records first"),
    Line("python", "python -c pass, whole process"),
    Line("cold best", "git exp best acc, whole process"),
    Line("cold best ratio", "…as a multiple of python", "x", {100_000: 5}),
    Line("cold best peak", "…peak memory", "MB", {100_000: 60}),
    Line("cold best json", "git exp best acc --json, whole process"),
    Line("cold best json peak", "…peak memory", "MB"),
    Line("cold log", "git exp log -n 20, whole process"),
    Line("cold log peak", "…peak memory", "MB"),
    Line("cold mlflow", "MLflow: best acc, whole process"),
    Line("cold mlflow peak", "…peak memory", "MB"),
    Line("cold exprag", "exprag: best acc, whole process"),
    Line("cold exprag peak", "…peak memory", "MB"),
    Line("one more", 'one more run: refresh() and best("acc")', limits={100_000: 10}),
    Line("no more", 'nothing new: refresh() and best("acc")'),
    Line("one more exprag", "exprag: one more run: load all, best"),
    Line("cold one more", "one more run: git exp best acc, whole process"),
    Line("build", "index built anew: runs a second", "runs/s", {100_000: 10_000}, floor=True),
    Line("build peak", "…peak memory", "MB"),
    Line("build wall", "first question of a fresh clone, whole process"),
    Line("index", "index: bytes a run", "B", {100_000: 1500}),
]


class Stores(NamedTuple):
    """The same runs in three folders."""

    runs: int
    ours: Path
    mlflow: Path
    exprag: Path


def make_stores(folder: Path, runs: int) -> Stores:
    """Make all three in a new folder."""
    stores = Stores(runs, folder / "gitexp", folder / "mlflow", folder / "exprag")
    make_corpus(stores.ours, runs)
    peers.fill_mlflow(stores.mlflow, runs)
    peers.fill_exprag(stores.exprag, runs)
    return stores


def measure(stores: Stores, samples: int) -> dict[str, float]:
    """Return all figures of one size, by the keys of `LINES`.

    Args:
        stores: The index is built first.
        samples: Repetitions of what takes milliseconds.
    """
    return {
        **measure_build(stores, 3),
        **measure_questions(stores, samples),
        **measure_as_installed(stores),
        **measure_processes(stores, samples),
        **measure_peers(stores, 3 if stores.runs > _UNINDEXED else 5),
        **measure_one_more(stores, 15),
    }


def measure_build(stores: Stores, samples: int) -> dict[str, float]:
    """Build the index where there is none, by a first question."""
    found: list[tuple[float, Cost]] = []
    size = 0.0
    for _ in range(samples):
        shutil.rmtree(stores.ours / ".git" / "exprag", ignore_errors=True)
        cost = run_process((sys.executable, "-c", _BUILD), stores.ours)
        seconds, runs, size = map(float, cost.output.split())
        demand(runs == stores.runs, "not all runs were found")
        found.append((seconds, cost))
    return {
        "build": stores.runs / statistics.median(seconds for seconds, _ in found),
        "build wall": statistics.median(cost.wall for _, cost in found) * 1e3,
        "build peak": max(cost.peak_bytes for _, cost in found) / 1e6,
        "index": size / stores.runs,
    }


def measure_questions(stores: Stores, samples: int) -> dict[str, float]:
    """Ask all three in turns, in one process that has asked before."""
    begin = time.perf_counter()
    records = peers.load_exprag(stores.exprag)
    found = {"load": time.perf_counter() - begin}
    memory = gitexp.open(stores.ours)
    sides = {
        "": our_questions(memory),
        " MLflow": peers.mlflow_questions(stores.mlflow),
        " exprag": peers.exprag_questions(records),
    }
    right = peers.expected(stores.runs)
    for questions in sides.values():
        peers.check(questions, right)
    with _without_garbage():  # records by the million would slow down whoever asks
        for key in _QUESTIONS:
            turns = {f"warm {key}{side}": peers.timed(sides[side][key]) for side in sides}
            found |= medians(turns, samples)
        found |= medians(_more(memory), 5)
    return _milliseconds(found)


def our_questions(memory: gitexp.Memory) -> dict[str, peers.Question]:
    """Return all questions to a repository that is open; every run is decoded to its name."""

    def names(where: str | None, sort: str | None = "acc desc") -> list[str]:
        found = memory.search(where, sort=sort, limit=peers.ROWS)
        return [run.document["name"] for run in found]

    return {
        "best": lambda: [row.found.document["name"] for row in memory.best("acc").rows],
        "last": lambda: names(None, None),
        "broad": lambda: names(BROAD),
        "narrow": lambda: names(NARROW),
        "pair": lambda: names(PAIR),
        "behind": lambda: names(BEHIND),
    }


def _more(memory: gitexp.Memory) -> dict[str, Action]:
    """Return questions that have to look at many runs, whoever answers them."""

    return {
        "count": peers.timed(lambda: memory.count(BROAD)),
        "mean": peers.timed(lambda: memory.best("acc", by="mean")),
        "front": peers.timed(lambda: memory.front(["acc", "loss"])),
    }


@contextlib.contextmanager
def _without_garbage() -> Iterator[None]:
    """Have the garbage collector not look at what there is now."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def measure_as_installed(stores: Stores) -> dict[str, float]:
    """Ask MLflow as it comes: without SQLite's statistics."""
    if stores.runs > _UNINDEXED:
        return {}
    folder = stores.mlflow.with_name("mlflow as installed")
    shutil.copytree(stores.mlflow, folder)
    with contextlib.closing(sqlite3.connect(folder / peers.DATABASE)) as database:
        database.execute("DROP TABLE sqlite_stat1")
        database.commit()
    question = peers.mlflow_questions(folder)["best"]
    return _milliseconds(medians({"as installed": peers.timed(question)}, 3))


def measure_processes(stores: Stores, samples: int) -> dict[str, float]:
    """Run the commands through git, in turns with a Python that does nothing."""
    commands = {key: (command, stores.ours) for key, command in COMMANDS.items()}
    costs = median_costs({"python": (PYTHON, stores.ours), **commands}, samples)
    right = peers.expected(stores.runs)
    best = [run["name"] for run in json.loads(costs["best json"].output)["runs"]]
    last = costs["log"].output.decode()
    demand(best == right["best"], "git exp best is wrong")
    demand(all(name in last for name in right["last"]), "git exp log is wrong")
    bare = costs.pop("python").wall
    ratio = costs["best"].wall / bare
    return {"python": bare * 1e3, **_of_processes(costs), "cold best ratio": ratio}


def measure_peers(stores: Stores, samples: int) -> dict[str, float]:
    """Run what prints the best runs for the others."""
    return _of_processes(median_costs(peers.cold_best(stores.mlflow, stores.exprag), samples))


def _of_processes(costs: Mapping[str, Cost]) -> dict[str, float]:
    walls = {f"cold {key}": cost.wall * 1e3 for key, cost in costs.items()}
    return walls | {f"cold {key} peak": cost.peak_bytes / 1e6 for key, cost in costs.items()}


def measure_one_more(stores: Stores, samples: int) -> dict[str, float]:
    """Add runs one by one; see each of them from a process that runs, and from a new one."""
    memory = gitexp.open(stores.ours)
    memory.count()
    taken: dict[str, list[float]] = {"one more": [], "no more": [], "cold one more": []}
    added = 0

    def add() -> None:
        nonlocal added
        add_run(stores.ours, stores.runs + added, stores.runs)
        added += 1

    def best() -> list[str]:
        memory.refresh()
        return [row.found.document["name"] for row in memory.best("acc").rows]

    for _ in range(samples):
        add()
        taken["one more"].append(peers.timed(best)())
        taken["no more"].append(peers.timed(best)())
        demand(memory.count() == stores.runs + added, "a run is missing")
    for _ in range(samples):
        add()
        taken["cold one more"].append(run_process(BEST, stores.ours).wall)
    found = {key: statistics.median(seconds) for key, seconds in taken.items()}
    found |= medians({"one more exprag": peers.timed(lambda: _exprag_anew(stores))}, 2)
    return _milliseconds(found)


def _exprag_anew(stores: Stores) -> list[str]:
    return peers.exprag_questions(peers.load_exprag(stores.exprag))["best"]()


def _milliseconds(seconds: Mapping[str, float]) -> dict[str, float]:
    return {key: value * 1e3 for key, value in seconds.items()}


# --- the report --------------------------------------------------------------------------------


def table(found: Mapping[int, Mapping[str, float]]) -> list[tuple[str, ...]]:
    """Return the rows of the report: a line for each of `LINES`, a column for each size."""
    rows = [("what", *map(_short, found), "unit", "goal", "met")]
    for line in LINES:
        values = {runs: figures[line.key] for runs, figures in found.items() if line.key in figures}
        cells = [significant(values[runs]) if runs in values else "" for runs in found]
        rows.append((line.what, *cells, line.unit, line.goal(), yes_no(line.met(values))))
    return rows


def _short(runs: int) -> str:
    return f"{runs // 1000}k" if runs % 1000 == 0 else str(runs)


def _print(
    header: Mapping[str, str],
    found: Mapping[int, Mapping[str, float]],
    figures: Sequence[Figure],
    *,
    as_json: bool,
) -> None:
    if as_json:
        history = [asdict(figure) for figure in figures]
        print(json.dumps({"machine": header, "runs": found, "history": history}, indent=1))
        return
    print_header(header)
    print_table(table(found))
    print()
    print_figures(figures)


def main() -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.ask", description=__doc__)
    parser.add_argument("--sizes", default="1000,10000,100000", help="runs, with commas between")
    parser.add_argument("--quick", action="store_true", help="fewer samples, a shorter history")
    parser.add_argument("--json", action="store_true", help="print the raw figures as JSON")
    args = parser.parse_args()
    # `git exp` shall be the one of this interpreter.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    found: dict[int, dict[str, float]] = {}
    with sandbox() as folder:
        header = machine(folder, "mlflow") | {"sqlite": sqlite3.sqlite_version}
        for runs in map(int, args.sizes.split(",")):
            begin = time.monotonic()
            place = folder / str(runs)
            found[runs] = measure(make_stores(place, runs), 5 if args.quick else 15)
            remove(place)
            print(f"{runs:,} runs: {time.monotonic() - begin:.0f} s", file=sys.stderr)
        figures = long_history.measure(folder, 100_000 if args.quick else 1_000_000)
    _print(header, found, figures, as_json=args.json)


if __name__ == "__main__":
    main()
