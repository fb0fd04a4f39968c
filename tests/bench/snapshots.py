"""Taking the snapshot alone, beside ``git stash create``: what git itself needs for the same.

One file is edited anew before each sample. Both sides have an identical repository.
"""

from __future__ import annotations

import time
from pathlib import Path

from gitexp.git.repository import Repository
from gitexp.snapshot import Limits, take_snapshot
from tests.bench.common import (
    Action,
    Figure,
    Options,
    compare,
    edit,
    git,
    make_repository,
    medians,
    remove,
)


def measure(folder: Path, options: Options) -> list[Figure]:
    """Compare at 50 files and at `Options.many_files`."""
    figures = []
    for files, samples in ((50, options.samples), (options.many_files, options.samples // 2)):
        ours, theirs = (make_repository(folder / name, files) for name in ("ours", "theirs"))
        taken = medians({"snapshot": _snapshot(ours), "stash": _stash(theirs)}, samples)
        name = f"{files:,} files, one edited"
        stash = taken["stash"] * 1e3
        figures.append(Figure(f"git stash create, {name}", stash, "ms"))
        figures.append(
            compare(
                f"snapshot, {name}",
                taken["snapshot"] * 1e3,
                "ms",
                "git stash create",
                stash,
                most=1,
            )
        )
        remove(ours, theirs)
    return figures


def _snapshot(folder: Path) -> Action:
    repository = Repository.discover(folder)
    limits = Limits()

    def run() -> float:
        edit(folder, time.time_ns())
        begin = time.perf_counter()
        take_snapshot(repository, "bench", limits=limits)
        return time.perf_counter() - begin

    return run


def _stash(folder: Path) -> Action:
    def run() -> float:
        edit(folder, time.time_ns())
        begin = time.perf_counter()
        git(folder, "stash", "create")
        return time.perf_counter() - begin

    return run
