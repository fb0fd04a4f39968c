"""One run with very many tracked values: how long sealing and reading take, and how much memory.

Every measurement is a process of its own, so that its peak of memory is its own. A call tracks
two values and a step; exprag has nothing to seal, and its reader loads every record of every run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.bench.common import Cost, Figure, Options, compare, make_repository, remove, run_process

_TRACK = """\
import json, random, sys, time
from {package} import Experiment

source = random.Random(3)
calls = int(sys.argv[1]) // 2
exp = Experiment("long")
begin = time.perf_counter()
for step in range(calls):
    exp.track({{"step": step, "loss": source.random(), "acc": source.random()}})
tracked = time.perf_counter()
if hasattr(exp, "finish"):
    exp.finish()
print(json.dumps([tracked - begin, time.perf_counter() - tracked]))
"""

_OURS = """\
import json, time
import gitexp

begin = time.perf_counter()
memory = gitexp.open()
run = memory.get("latest")
found = time.perf_counter()
points = memory.history(run, "loss")
read = time.perf_counter()
assert len(points) == run.calls
best = memory.best("acc").rows[0]
print(json.dumps([found - begin, read - found]))
"""

_THEIRS = """\
import json, time
import exprag.agent.skills as exprag

begin = time.perf_counter()
records = exprag.load_records()
found = time.perf_counter()
points = exprag.select_values(records, "value.loss")
print(json.dumps([found - begin, time.perf_counter() - found]))
"""


def measure(folder: Path, options: Options) -> list[Figure]:
    """Track, seal and read one run of `Options.values` values."""
    millions = f"{options.values:,} values"
    figures = []
    repositories = {name: make_repository(folder / name, 50) for name in ("gitexp", "exprag")}
    costs: dict[str, tuple[Cost, Cost]] = {}
    for package, repository in repositories.items():
        track = _TRACK.format(package=package)
        tracked = _python(track, repository, str(options.values))
        costs[package] = tracked, _python(_OURS if package == "gitexp" else _THEIRS, repository)
    (our_track, our_read), (their_track, their_read) = costs["gitexp"], costs["exprag"]
    _, seal = json.loads(our_track.output)
    find, history = json.loads(our_read.output)
    load, select = json.loads(their_read.output)
    figures = [
        Figure(f"{millions}: finish (seal)", seal, "s"),
        _memory(f"{millions}: track and seal, peak memory", our_track, their_track),
        Figure(f"{millions}: find the run and its summary", find * 1e3, "ms"),
        Figure(f"exprag: {millions}: load, then select one metric", load + select, "s"),
        compare(
            f"{millions}: find it, then history()", find + history, "s", "exprag", load + select
        ),
        Figure(f"exprag: {millions}: read, peak memory", their_read.peak_bytes / 1e6, "MB"),
        _memory(f"{millions}: history(), peak memory", our_read, their_read),
    ]
    remove(*repositories.values())
    return figures


def _python(code: str, repository: Path, *arguments: str) -> Cost:
    return run_process([sys.executable, "-c", code, *arguments], repository)


def _memory(name: str, ours: Cost, theirs: Cost) -> Figure:
    return compare(name, ours.peak_bytes / 1e6, "MB", "exprag", theirs.peak_bytes / 1e6)
