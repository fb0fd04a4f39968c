"""Measure what research operations cost with many runs: ``python -m tests.bench.research``.

The runs are those of `tests.bench.research_corpus`, in a temporary folder. What is asked *in
process* is a whole command without the start of Python: the index is brought up, the runs are
read and judged, the answer is made and written to nowhere. ``check`` is also asked of a guard that
is open already, as in a loop. Whole processes are measured in turns, with and without what is
compared. Nothing but gitexp is needed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import io
import os
import platform
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gitexp.cli.main import guarded
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.research.cache import NAME, open_cache
from gitexp.research.decisions import posterior_of
from gitexp.research.goal import goal_metric
from gitexp.research.guard.novelty import Guard, Plan
from tests.bench.common import (
    demand,
    git,
    median_costs,
    print_header,
    print_table,
    remove,
    run_process,
    sandbox,
    significant,
    yes_no,
)
from tests.bench.research_corpus import (
    METRIC,
    Program,
    constant_name,
    make_research_corpus,
    random_idea,
    write_table,
)

GITEXP = (sys.executable, "-m", "gitexp.cli.main")
CHECK_MS = 50.0
DECISION_MS = 50.0


class Line(NamedTuple):
    """One line of the report, in milliseconds; ``most`` is the goal for the figure named."""

    what: str
    p50: float
    p95: float | None = None
    most: float | None = None

    def cells(self) -> tuple[str, ...]:
        """Return the cells of the table."""
        judged = self.p50 if self.p95 is None else self.p95
        goal = "" if self.most is None else f"< {self.most:g}"
        met = None if self.most is None else judged < self.most
        p95 = "" if self.p95 is None else significant(self.p95)
        return self.what, significant(self.p50), p95, goal, yes_no(met)


def quantiles(seconds: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile, in milliseconds."""
    found = statistics.quantiles(seconds, n=20, method="inclusive")
    return statistics.median(seconds) * 1e3, found[18] * 1e3


def timed(action: Callable[[], object]) -> float:
    """Return how many seconds something took."""
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin


def quietly(*words: str) -> None:
    """Run a command in this process, its output to nowhere; it must succeed."""
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())),
        contextlib.redirect_stderr(said),
    ):
        code = guarded(list(words))
    demand(code == 0, f"{words} ended with {code}: {said.getvalue()}")


# --- check --------------------------------------------------------------------------------------


def words(source: random.Random, count: int) -> Iterator[list[str]]:
    """Yield ideas as an agent would put them."""
    for _ in range(count):
        yield ["check", random_idea(source).words]


def parameters(source: random.Random, count: int) -> Iterator[list[str]]:
    """Yield ideas as parameters."""
    for _ in range(count):
        name = constant_name(source.randrange(40))
        yield ["check", "--param", f"{name}={source.uniform(0, 1):.4g}"]


def work_trees(
    source: random.Random, count: int, folder: Path, program: Program
) -> Iterator[list[str]]:
    """Yield the work tree, with another idea in it each time."""
    for _ in range(count):
        changed = program.with_idea(random_idea(source))
        (folder / "train.py").write_text(changed.text())
        yield ["check"]


def measure_checks(folder: Path, program: Program, count: int) -> Iterator[Line]:
    """Measure ``check`` in process, the first ever apart."""
    source = random.Random(1)
    first = timed(lambda: quietly("check", random_idea(source).words))
    yield Line("check, the first ever: the changes of all runs are read", first * 1e3)
    kinds = {
        "words": words(source, count + 1),
        "parameters": parameters(source, count + 1),
        "the work tree": work_trees(source, count + 1, folder, program),
    }
    for kind, commands in kinds.items():
        taken = []
        for command in commands:
            begin = time.perf_counter()
            quietly(*command)
            taken.append(time.perf_counter() - begin)
        yield Line(f"check of {kind}, in process", *quantiles(taken[1:]), CHECK_MS)
    git(folder, "checkout", "--quiet", "--", "train.py")
    taken = [timed(ask) for ask in _asked_again(source, count)]
    yield Line("check of words, the guard open already", *quantiles(taken), CHECK_MS)


def _asked_again(source: random.Random, count: int) -> Iterator[Callable[[], object]]:
    memory = Memory(Repository.discover())
    goal = goal_metric(memory)
    guard = Guard(memory, goal, posterior_of(memory, goal), open_cache(memory.repository))
    for _ in range(count):
        plan = Plan(description=random_idea(source).words)
        yield lambda plan=plan: guard.check(plan)  # type: ignore[misc]


# --- record -------------------------------------------------------------------------------------


def measure_record(folder: Path, samples: int) -> Iterator[Line]:
    """Measure ``record`` as a whole process, with and without the decision, in turns."""
    command = (*GITEXP, "record", "idea", "-m", "an idea", "--metric", f"{METRIC}=0.98")
    both = {
        "with": (command, folder),
        "without": ((*command, "--no-decision"), folder),
    }
    costs = median_costs(both, samples)
    latest = Memory(Repository.discover()).get("latest~1")
    demand(latest.metrics[METRIC].last == 0.98, "nothing was recorded")
    with_ms, without_ms = (costs[name].wall * 1e3 for name in ("with", "without"))
    yield Line("record without a decision, a process", without_ms)
    yield Line("record with a decision, a process", with_ms)
    yield Line("what the decision adds", with_ms - without_ms, None, DECISION_MS)
    added = (costs["with"].cpu - costs["without"].cpu) * 1e3
    yield Line("what it adds in processor time", added)


# --- the others ---------------------------------------------------------------------------------


def measure_reports(folder: Path, samples: int) -> Iterator[Line]:
    """Measure what looks at all runs, as whole processes."""
    commands = {
        "report": ("report",),
        "report --html": ("report", "--html", str(folder.parent / "report.html")),
        "report of all time": ("report", "--since", "2020-01-01"),
        "context": ("context",),
        "noise": ("noise",),
        "best": ("best", METRIC),
    }
    costs = median_costs(
        {name: ((*GITEXP, *rest), folder) for name, rest in commands.items()}, samples
    )
    for name, cost in costs.items():
        yield Line(f"{name}, a process", cost.wall * 1e3)


def measure_import(folder: Path, runs: int) -> Iterator[Line]:
    """Measure the import of a ledger into an empty repository, and its repetition."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "first")
    table = folder.parent / "results.tsv"
    write_table(table, runs)
    command = (*GITEXP, "import", str(table))
    yield Line(f"import of {runs:,} rows, a process", run_process(command, folder).wall * 1e3)
    yield Line("the same again, which adds nothing", run_process(command, folder).wall * 1e3)
    counted = subprocess.run(
        [*GITEXP, "log", "--json", "-n", str(runs + 1)], cwd=folder, capture_output=True, check=True
    ).stdout.count(b'"run":')
    demand(counted == runs, f"{counted} runs were imported, not {runs}")
    remove(folder)


def header(runs: int) -> dict[str, str]:
    """Return what the figures depend on."""
    git_version = git(Path.cwd(), "version").decode().split()[2]
    return {
        "runs": f"{runs:,}",
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processors": str(os.cpu_count()),
        "load": f"{os.getloadavg()[0]:.1f}",
        "python": platform.python_version(),
        "git": git_version,
    }


def main() -> None:
    """Make the runs, measure, and print the report as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.research", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--plans", type=int, default=60, help="ideas that are checked of each kind")
    parser.add_argument("--samples", type=int, default=9, help="repetitions of whole processes")
    args = parser.parse_args()
    with sandbox() as place:
        folder = place / "loop"
        program = make_research_corpus(folder, args.runs)
        os.chdir(folder)
        lines = [Line("the first look: the index is made", _first_look(folder))]
        lines += measure_checks(folder, program, args.plans)
        lines += measure_record(folder, args.samples)
        lines += measure_reports(folder, args.samples)
        lines += measure_import(place / "imported", args.runs)
        cache = Repository.discover().home / NAME
        lines.append(Line(f"{NAME}, KiB", cache.stat().st_size / 1024))
        print_header(header(args.runs))
        print_table(
            [("what", "p50 ms", "p95 ms", "goal", "met"), *(each.cells() for each in lines)]
        )


def _first_look(folder: Path) -> float:
    return run_process((*GITEXP, "log", "-n", "1"), folder).wall * 1e3


if __name__ == "__main__":
    main()
