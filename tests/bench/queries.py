"""Asking for the best and the latest runs, as whole processes, in stores of two sizes.

The runs are made of one real run: its facts and its snapshot, written anew with other ids and
numbers. exprag has no command that answers this; its own guide tells to load every record with its
helper and select the metric, so that is what is run for it, on files copied from one real run.
"""

from __future__ import annotations

import os
import sys
import uuid
from pathlib import Path
from typing import Any

import msgspec

from gitexp.git.commit import write_commit
from gitexp.git.refs import run_ref
from gitexp.git.repository import Repository
from gitexp.records.facts import EndFact, RunFact, encode_fact
from gitexp.store.batch import Batch, write_batch
from gitexp.store.read import read_facts, store_refs
from gitexp.store.shard import shard_name
from tests.bench.common import (
    Figure,
    Options,
    compare,
    experiment_of,
    git,
    make_repository,
    median_costs,
    remove,
)

COMMANDS = {"best acc": ("best", "acc"), "log -n 20": ("log", "-n", "20")}

_BEST = """\
import exprag.agent.skills as exprag

rows = exprag.select_values(exprag.load_records(), "value.acc")
best = {}
for row in rows:
    best[row["run_id"]] = max(row["value"], best.get(row["run_id"], row["value"]))
for run, value in sorted(best.items(), key=lambda item: -item[1])[:10]:
    print(run, value)
"""

_LATEST = """\
import exprag.agent.skills as exprag

print(exprag.describe_latest_runs(exprag.load_records(), n=20))
"""


def measure(folder: Path, options: Options) -> list[Figure]:
    """Compare both questions in a store of 100 runs and in one of `Options.many_runs`."""
    figures = []
    for runs in (100, options.many_runs):
        ours, theirs = (make_repository(folder / name, 50) for name in ("gitexp", "exprag"))
        _fill_ours(ours, runs)
        _fill_theirs(theirs, runs)
        samples = max(options.samples // (3 if runs == 100 else 8), 3)
        figures += _ask(ours, theirs, f"{runs:,} runs", samples)
        remove(ours, theirs)
    return figures


def _ask(ours: Path, theirs: Path, size: str, samples: int) -> list[Figure]:
    figures = []
    for (label, words), code in zip(COMMANDS.items(), (_BEST, _LATEST), strict=True):
        commands = {
            "gitexp": ([sys.executable, "-m", "gitexp.cli.main", *words], ours),
            "exprag": ([sys.executable, "-c", code], theirs),
        }
        costs = median_costs(commands, samples)
        their = costs["exprag"].wall * 1e3
        figures.append(Figure(f"exprag: the same as {label}, {size}", their, "ms"))
        name = f"git exp {label}, {size}"
        figures.append(compare(name, costs["gitexp"].wall * 1e3, "ms", "exprag", their))
    return figures


def _track_one(package: str, repository: Path) -> Any:
    os.chdir(repository)
    exp = experiment_of(package)("bench", metadata={"lr": 0.1, "width": 64})
    for step in range(10):
        exp.track({"step": step, "loss": 1.0 / (step + 1), "acc": step / 10})
    return exp


def _fill_ours(folder: Path, runs: int) -> None:
    _track_one("gitexp", folder).finish()
    repository = Repository.discover(folder)
    ((first, facts),) = read_facts(repository, store_refs(repository)).facts.items()
    tree = git(folder, "rev-parse", f"{first}^{{tree}}").decode().strip()
    head = git(folder, "rev-parse", "HEAD").decode().strip()
    lines: dict[str, list[bytes]] = {}
    for number in range(runs - 1):
        run_id = write_commit(repository, f"exprag: bench\n\nNumber: {number}\n", tree, [head])
        lines[run_id] = [encode_fact(_vary(fact, number)) for fact in facts]
    write_batch(repository, shard_name(repository), Batch(lines))
    created = "".join(f"create {run_ref(run_id)} {run_id}\n" for run_id in lines)
    git(folder, "update-ref", "--stdin", stdin=created.encode())
    git(folder, "gc", "--quiet")


def _vary(fact: Any, number: int) -> Any:
    if isinstance(fact, RunFact):
        return msgspec.structs.replace(fact, metadata={"lr": number / 1e5, "width": 64})
    if not isinstance(fact, EndFact):
        return fact
    acc = msgspec.structs.replace(fact.metrics["acc"], max=number / 1e5)
    return msgspec.structs.replace(fact, metrics={**fact.metrics, "acc": acc})


def _fill_theirs(folder: Path, runs: int) -> None:
    exp = _track_one("exprag", folder)
    run_id, path = exp.run_id, folder / exp.path
    del exp
    text = path.read_text()
    for number in range(runs - 1):
        other = str(uuid.UUID(int=number))
        content = text.replace(run_id, other).replace('"acc":0.9', f'"acc":{number / 1e5}')
        path.with_name(f"{other}.jsonl").write_text(content)
