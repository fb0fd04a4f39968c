"""How long a check takes with many runs that all changed something else: times of one process."""

from __future__ import annotations

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TypeVar

from gitexp.git.commit import write_commit
from gitexp.git.history import EMPTY_TREE
from gitexp.git.repository import Repository
from gitexp.git.trees import edit_tree
from gitexp.memory import Memory
from gitexp.research.belief.posterior import fit
from gitexp.research.cache import open_cache
from gitexp.research.goal import GoalMetric
from gitexp.research.guard.novelty import Guard, Plan
from gitexp.research.observations import observe
from tests.eval.guard_store import new_repository, write_commits

Answer = TypeVar("Answer")

CHECKS = 200
_CONSTANTS = [f"{name}_{i}" for name in ("LR", "DECAY", "WARMUP", "WIDTH") for i in range(10)]
_WORDS = [
    "increase",
    "reduce",
    "matrix",
    "embedding",
    "warmup",
    "attention",
    "window",
    "rotary",
    "muon",
    "head",
    "norm",
    "mlp",
]


def program(rng: random.Random | None = None) -> str:
    """Return a training script of some 600 lines; with a source of chance, one of its changes."""
    values = dict.fromkeys(_CONSTANTS, 0.5)
    extra: dict[int, str] = {}
    if rng is not None:
        for name in rng.sample(_CONSTANTS, rng.choice([1, 1, 1, 2])):
            values[name] = round(rng.uniform(0.001, 1), 4)
        for _ in range(rng.choice([1, 4, 12]) if rng.random() < 0.6 else 0):
            at, unit = rng.randrange(60), rng.choice(_WORDS)
            extra[at] = (
                f"    x = x + {unit}(x, scale={rng.random():.3f}, heads={rng.randrange(99)})\n"
            )
    lines = [f"{name} = {value}\n" for name, value in values.items()]
    for i in range(60):
        lines += [f"\n\ndef layer{i}(x, width={i}):\n", f"    h = linear{i}(x, width)\n"]
        lines += [f"    h = norm(h, eps=1e-{i % 9})  # of layer {i}\n", extra.get(i, "")]
        lines += ["    if width > 3:\n        h = h * 2\n", "    return mlp(h, x)\n"]
    return "".join(lines)


def measure(runs: int) -> Iterator[str]:
    """Yield the lines of the section on speed."""
    rng = random.Random(5)
    with tempfile.TemporaryDirectory() as folder:
        repository = new_repository(Path(folder))
        base = write_commit(repository, "base\n", _tree(repository, program()), [])
        commits = ((_tree(repository, program(rng)), base, _idea(rng)) for _ in range(runs))
        write_commits(repository, commits)
        memory = Memory(repository)
        memory.count()
        cache = open_cache(repository)
        goal = GoalMetric("value", True, "best", None, "option")
        posterior = fit(observe(memory, goal, cache), goal)
        cold, guard = _timed(lambda: Guard(memory, goal, posterior, cache))
        warm, _ = _timed(lambda: Guard(memory, goal, posterior, cache))
        yield f"{runs:,} runs with changes of their own. The first time {1e3 * cold / runs:.1f} ms"
        yield f"a run ({cold:.0f} s in all), once; after that {1e3 * warm:.0f} ms a process."
        yield ""
        yield "| plan | median ms | p95 ms | largest ms |"
        yield "|---|---:|---:|---:|"
        for name, plans in _plans(repository, base, rng).items():
            times = [1e3 * _timed(partial(guard.check, plan))[0] for plan in plans]
            p95 = statistics.quantiles(times, n=20)[-1]
            yield f"| {name} | {statistics.median(times):.1f} | {p95:.1f} | {max(times):.1f} |"


def _plans(repository: Repository, base: str, rng: random.Random) -> dict[str, list[Plan]]:
    trees = [_tree(repository, program(rng)) for _ in range(CHECKS)]
    command = ("python", "train.py")
    return {
        "words": [Plan(description=_idea(rng), base=base) for _ in range(CHECKS)],
        "work tree": [Plan(tree=tree, base=base) for tree in trees],
        "work tree, words and command": [
            Plan(description=_idea(rng), tree=tree, base=base, command=command) for tree in trees
        ],
    }


def _idea(rng: random.Random) -> str:
    some = " ".join(rng.sample(_WORDS, 4))
    name = rng.choice(_CONSTANTS).lower()
    return f"{some}, {name} from 0.5 to {rng.uniform(0.001, 1):.4f}"


def _tree(repository: Repository, text: str) -> str:
    return edit_tree(repository, EMPTY_TREE, {"train.py": text.encode()})


def _timed(work: Callable[[], Answer]) -> tuple[float, Answer]:
    """Return how many seconds some work took, and what it came to."""
    began = time.perf_counter()
    made = work()
    return time.perf_counter() - began, made
