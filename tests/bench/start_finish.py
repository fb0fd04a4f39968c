"""What a run costs that tracks nothing, or next to nothing: start and finish.

exprag has no end to a run; for it, starting and dropping the object is the whole of it. It writes
below the folder it is started in, so each side has an identical repository of its own. exprag makes
a branch for each run of a dirty tree; they are removed between the samples. Our leftovers stay:
that a shard exists already makes a run slower, and is the usual case.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path

from tests.bench.common import (
    Action,
    Figure,
    Options,
    compare,
    edit,
    experiment_of,
    git,
    make_repository,
    median_costs,
    medians,
    remove,
)

FILES = 50
KEPT_RUNS = 1000
SCRIPT = """\
from {package} import Experiment

exp = Experiment("bench", metadata={{"lr": 0.1, "width": 64}})
for step in range(10):
    exp.track({{"step": step, "loss": 1.0 / (step + 1), "acc": step / 10}})
"""


def measure(folder: Path, options: Options) -> list[Figure]:
    """Compare starting and finishing with exprag's, in one process and as whole processes."""
    repositories = {name: make_repository(folder / name, FILES) for name in ("gitexp", "exprag")}
    figures = _in_process(repositories, options.samples, "")
    figures += _whole_process(repositories, options.samples // 2)
    for package, repository in repositories.items():
        _record_many(package, repository)
    figures += _in_process(repositories, options.samples, f", {KEPT_RUNS:,} runs before")
    remove(*repositories.values())
    return figures


def _in_process(repositories: dict[str, Path], samples: int, suffix: str) -> list[Figure]:
    kept = _branches(repositories["exprag"])
    figures = []
    for state, most in (("clean", 1.0), ("dirty", 0.5)):
        actions = {
            package: _start_and_finish(package, repository, state == "dirty", kept)
            for package, repository in repositories.items()
        }
        taken = medians(actions, samples)
        figures.append(Figure(f"exprag: start, {state}{suffix}", taken["exprag"] * 1e3, "ms"))
        name = f"start and finish, {state}{suffix}"
        goal = None if suffix else most
        figures.append(
            compare(name, taken["gitexp"] * 1e3, "ms", "exprag", taken["exprag"] * 1e3, most=goal)
        )
        for repository in repositories.values():
            git(repository, "checkout", "--quiet", ".")
    return figures


def _start_and_finish(package: str, repository: Path, dirty: bool, kept: set[str]) -> Action:
    experiment = experiment_of(package)

    def run() -> float:
        os.chdir(repository)
        if dirty:
            edit(repository, time.time_ns())
        begin = time.perf_counter()
        exp = experiment("bench", metadata={"lr": 0.1, "width": 64})
        if package == "gitexp":
            exp.finish()
        del exp
        seconds = time.perf_counter() - begin
        if package == "exprag":
            _remove_branches(repository, kept)
        return seconds

    return run


def _branches(repository: Path) -> set[str]:
    output = git(repository, "for-each-ref", "--format=%(refname)", "refs/heads/run/")
    return set(output.decode().split())


def _remove_branches(repository: Path, kept: set[str]) -> None:
    extra = _branches(repository) - kept
    git(repository, "update-ref", "--stdin", stdin="".join(f"delete {r}\n" for r in extra).encode())


def _record_many(package: str, repository: Path) -> None:
    """Record runs of a dirty tree, the kind that leaves most behind on both sides."""
    experiment = experiment_of(package)
    os.chdir(repository)
    for number in range(KEPT_RUNS):
        edit(repository, number)
        exp = experiment("bench", metadata={"lr": 0.1, "width": 64})
        if package == "gitexp":
            exp.finish()
    git(repository, "checkout", "--quiet", ".")


def _whole_process(repositories: dict[str, Path], samples: int) -> list[Figure]:
    commands: dict[str, tuple[list[str], Path]] = {
        "python": ([sys.executable, "-c", "pass"], repositories["gitexp"])
    }
    for package, repository in repositories.items():
        script = repository.parent / f"run_{package}.py"
        script.write_text(SCRIPT.format(package=package))
        commands[package] = ([sys.executable, str(script)], repository)
    figures = []
    for state in ("clean", "dirty"):
        for repository in repositories.values():
            if state == "dirty":
                edit(repository, "whole process")
        costs = median_costs(commands, samples)
        label = f"whole script with 10 calls, {state}"
        if state == "clean":
            figures.append(Figure("python, nothing else: wall", costs["python"].wall * 1e3, "ms"))
        for what in ("wall", "cpu"):
            ours, theirs = (getattr(costs[name], what) * 1e3 for name in ("gitexp", "exprag"))
            words = {"wall": "wall", "cpu": "user + sys"}[what]
            figures.append(Figure(f"exprag: {label}: {words}", theirs, "ms"))
            figures.append(compare(f"{label}: {words}", ours, "ms", "exprag", theirs))
    _remove_branches(repositories["exprag"], set())
    shutil.rmtree(repositories["exprag"] / ".exprag")
    for repository in repositories.values():
        git(repository, "checkout", "--quiet", ".")
    return figures
