"""Measure what sharing costs, beside DVC and plain git: ``python -m tests.bench.share``.

Ten new runs are pushed to a remote that holds many, and pulled by another clone; then both
commands are given with nothing new. All sizes and all sides stand ready at the same time and take
turns, each with whole processes over smart HTTP on the loopback, where the bodies are counted.

* **gitexp**: the remote holds one shard of so many runs of `tests.bench.corpus`, and the sender has
  a handle for each. The new runs are made by `gitexp.Experiment` in a dirty work tree.
* **git**: a branch with ten commits of one edit each, on the same remote by the same clones: what
  git itself takes to carry so many commits, without a word about them.
* **DVC**: the new experiments are made by ``dvc exp save`` (one parameter, one metric) and pushed
  and pulled by name, without a cache, so that only git is at work. Those that are there already are
  written by git's fast-import as copies of such a one, under the refs that DVC gives them. "Nothing
  new" is ``push -A`` and ``pull -A``, as one who does not know the names says it. Where no ``dvc``
  is installed this side is left out.

No clone collects garbage meanwhile. The union of two states of a shard is measured apart, in this
process. docs/benchmarks.md has the figures and what they mean.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

from tests.bench import union
from tests.bench.common import (
    Figure,
    git,
    machine,
    print_figures,
    print_header,
    print_table,
    sandbox,
    significant,
    yes_no,
)
from tests.bench.sharers import (
    DVC_AT_MOST,
    NEW,
    First,
    Side,
    Transfer,
    dvc_place,
    gitexp_place,
    make_dvc_project,
    timed,
)

# --- turns -------------------------------------------------------------------------------------

Sides = Mapping[tuple[str, int], Side]
"""Name of the side, and how many runs its remote holds."""

Found = dict[tuple[str, int, str], Transfer]
"""Name of the side, size and step -> medians."""


def measure_turns(sides: Sides, samples: int) -> Found:
    """Let all sides take turns, once unrecorded and then so many times."""
    taken: dict[tuple[str, int, str], list[Transfer]] = {}
    for turn in range(samples + 1):
        for name, runs in sides if turn % 2 else reversed(list(sides)):
            for step, cost in _take_turn(sides[name, runs], turn).items():
                if turn:
                    taken.setdefault((name, runs, step), []).append(cost)
        _say(f"turn {turn} of {samples}")
    return {
        key: Transfer(*map(statistics.median, zip(*costs, strict=True)))
        for key, costs in taken.items()
    }


def _take_turn(side: Side, turn: int) -> dict[str, Transfer]:
    side.prepare(turn)
    taken = {step: timed(side.remote, side.command(step, turn)) for step in side.steps}
    side.check(turn)
    return taken


def measure_sharing(
    folder: Path, sizes: Sequence[int], samples: int, dvc: str | None
) -> tuple[Found, list[First]]:
    """Prepare all sides at all sizes and let them take turns.

    Args:
        folder: Empty.
        sizes: How many runs the remotes hold.
        samples: Turns that count.
        dvc: The path of its program, if there is one.
    """
    firsts: list[First] = []
    sides: dict[tuple[str, int], Side] = {}
    with contextlib.ExitStack() as stack:
        for runs in sizes:
            place = gitexp_place(folder / f"gitexp-{runs}", runs, firsts)
            sides["gitexp", runs], sides["git", runs] = stack.enter_context(place)
            _say(f"gitexp with {runs:,} runs stands")
        if dvc is not None:
            project = make_dvc_project(dvc, folder / "dvc", samples + 1)
            for runs in [runs for runs in sizes if runs <= DVC_AT_MOST]:
                there = dvc_place(project, folder / f"dvc-{runs}", runs, firsts)
                sides["DVC", runs] = stack.enter_context(there)
                _say(f"DVC with {runs:,} experiments stands")
        return measure_turns(sides, samples), firsts


def _say(what: str) -> None:
    print(f"{time.monotonic() - _BEGIN:.0f} s: {what}", file=sys.stderr)


_BEGIN = time.monotonic()


# --- the report --------------------------------------------------------------------------------


class Line(NamedTuple):
    """One figure of a step.

    Attributes:
        key: The attribute of `Transfer`.
        scale: What it is multiplied by.
    """

    key: str
    what: str
    unit: str
    scale: float


_LINES_OF_A_STEP = (
    Line("seconds", "wall", "ms", 1e3),
    Line("sent", "sent", "kB", 1e-3),
    Line("received", "received", "kB", 1e-3),
)
_WORDS = {
    "push": f"push of {NEW} new",
    "pull": f"pull of {NEW} new",
    "push nothing": "push, nothing new",
    "pull nothing": "pull, nothing new",
}
_MOST_GROWTH = {"seconds": 1.5, "total": 3.0}
"""The goal for gitexp: at the largest size at most so many times what it takes at the smallest."""


def table(found: Found, sizes: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the rows of the report: each figure of each side, a column for each size."""
    rows = [("what", *map(_short, sizes), "unit", "growth", "goal", "met")]
    sides = list(dict.fromkeys(side for side, _, _ in found))
    for step, words in _WORDS.items():
        for side in sides:
            for line in _LINES_OF_A_STEP:
                values = _values(found, side, step, line.key, sizes)
                scaled = {runs: value * line.scale for runs, value in values.items()}
                most = _MOST_GROWTH.get(line.key) if side == "gitexp" else None
                rows.append(_row(f"{side}: {words}: {line.what}", scaled, sizes, line.unit, most))
        rows += _totals(found, step, sizes, [side for side in sides if side != "gitexp"])
    return rows


def _totals(
    found: Found, step: str, sizes: Sequence[int], peers: Sequence[str]
) -> list[tuple[str, ...]]:
    """Return the rows of all bytes, and of gitexp's share of what peers take."""
    ours = _values(found, "gitexp", step, "total", sizes)
    kilobytes = {runs: value / 1e3 for runs, value in ours.items()}
    name = f"gitexp: {_WORDS[step]}: both ways"
    rows = [_row(name, kilobytes, sizes, "kB", _MOST_GROWTH["total"])]
    for peer in peers:
        for key, what in (("seconds", "wall"), ("total", "bytes")):
            mine = _values(found, "gitexp", step, key, sizes)
            theirs = _values(found, peer, step, key, sizes)
            ratios = {runs: mine[runs] / theirs[runs] for runs in theirs if theirs[runs]}
            cells = [significant(ratios[runs]) if runs in ratios else "" for runs in sizes]
            rows.append((f"gitexp / {peer}: {_WORDS[step]}: {what}", *cells, "x", "", "", ""))
    return rows


def _values(found: Found, side: str, step: str, key: str, sizes: Sequence[int]) -> dict[int, float]:
    """Return a figure by size, where it was measured."""
    costs = {runs: found.get((side, runs, step)) for runs in sizes}
    return {runs: getattr(cost, key) for runs, cost in costs.items() if cost is not None}


def _row(
    name: str, values: Mapping[int, float], sizes: Sequence[int], unit: str, most: float | None
) -> tuple[str, ...]:
    cells = [significant(values[runs]) if runs in values else "" for runs in sizes]
    first, last = (values[pick(values)] if values else 0.0 for pick in (min, max))
    growth = last / first if first and len(values) > 1 else None
    shown = "" if growth is None else significant(growth)
    if most is None or growth is None:
        return (name, *cells, unit, shown, "", "")
    return (name, *cells, unit, shown, f"≤ {most:g}", yes_no(growth <= most))


def first_table(firsts: Sequence[First]) -> list[tuple[str, ...]]:
    """Return the rows of the first push and pull of everything, which are done once."""
    rows: list[tuple[str, ...]] = [("the first of all", "runs", "s", "runs/s", "bytes a run")]
    for first in firsts:
        seconds, size = first.cost.seconds, first.cost.total
        rates = (first.runs / seconds, size / first.runs)
        cells = [significant(value) for value in (seconds, *rates)]
        rows.append((f"{first.side}: {first.step}", f"{first.runs:,}", *cells))
    return rows


def _short(runs: int) -> str:
    return f"{runs // 1000}k" if runs and runs % 1000 == 0 else str(runs)


def _as_json(
    header: Mapping[str, str], found: Found, firsts: Sequence[First], figures: Sequence[Figure]
) -> str:
    steps = [
        {"side": side, "runs": runs, "step": step, **cost._asdict()}
        for (side, runs, step), cost in found.items()
    ]
    everything = [
        {"side": f.side, "runs": f.runs, "step": f.step, **f.cost._asdict()} for f in firsts
    ]
    union = [asdict(figure) for figure in figures]
    report = {"machine": dict(header), "steps": steps, "first": everything, "union": union}
    return json.dumps(report, indent=1)


def _find_dvc(folder: Path) -> tuple[str | None, str]:
    """Return the path of ``dvc``, if it is there, and its version; and keep it to itself."""
    os.environ |= {"DVC_NO_ANALYTICS": "1", "DVC_SITE_CACHE_DIR": str(folder / "home" / "dvc")}
    program = shutil.which("dvc")
    if program is None:
        return None, "not installed, left out"
    for setting in ("core.analytics=false", "core.check_update=false"):
        command = [program, "config", "--global", *setting.split("=")]
        subprocess.run(command, cwd=folder, check=True)
    command = [program, "--version"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    return program, done.stdout.strip()


def main() -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.share", description=__doc__)
    parser.add_argument("--sizes", default="0,100,1000,10000", help="runs, with commas between")
    parser.add_argument("--quick", action="store_true", help="fewer turns, a smaller shard")
    parser.add_argument("--json", action="store_true", help="print the raw figures as JSON")
    args = parser.parse_args()
    # `git exp` shall be the one of this interpreter, and `dvc` too if it has one.
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    sizes = sorted(map(int, args.sizes.split(",")))
    with sandbox() as folder:
        git(folder, "config", "--global", "gc.auto", "0")
        dvc, version = _find_dvc(folder)
        header = machine(folder) | {"dvc": version}
        found, firsts = measure_sharing(folder, sizes, 2 if args.quick else 5, dvc)
        lines = (10_000, 100_000 if args.quick else 1_000_000)
        figures = union.measure(folder, lines, 3 if args.quick else 15)
    if args.json:
        print(_as_json(header, found, firsts, figures))
        return
    print_header(header)
    print_table(table(found, sizes))
    print()
    print_table(first_table(firsts))
    print()
    print_figures(figures)


if __name__ == "__main__":
    main()
