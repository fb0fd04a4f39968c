"""docs/reference/json.md says what research operations print with ``--json``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gitexp.records.decision import Comparison
from gitexp.records.facts import Failure
from tests.full_store import Caller
from tests.json_reference import check, expanded, produced
from tests.lab import Lab
from tests.support import Git


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def fill_registry(lab: Lab) -> None:
    """Record something of everything that a report can tell."""
    about: dict[str, Any] = {"description": "d", "family": "f", "metadata": {"tokens": 5}}

    def thrice(value: float, code: str) -> str:
        runs = [
            lab.run(value + s / 50, code=code, seed=s, verdict="keep", **about) for s in range(3)
        ]
        return runs[0]

    lab.commit("a = 0\n")
    first = thrice(1.0, "a = 0\n")
    lab.commit("a = 1\n")
    best = thrice(0.5, "a = 1\n")
    for seed in range(3):
        lab.run(2.0 + seed / 50, code="a = 2\n", seed=seed, verdict="discard", **about)
    for value in (0.51, 0.54, 0.57, 0.6, 0.65, 0.7, 0.8):  # one of them takes few runs to tell
        near = lab.run(value, code=f"a = {value}\n", verdict="discard", **about)
    for code in "bc":
        failure = Failure("torch.OutOfMemoryError", "CUDA out of memory. Tried")
        lab.run(status="crashed", error=failure, code=code, **about)
    lab.run(status="crashed", code="silent", **about)
    versus = Comparison(first, 1, 1, 1.0, 1.0, 1.0, 0.1, (-1.0, 1.0), 0.8, 0.5, 0.1, 3)
    lab.decide(near, comparison=versus, action="fix_and_retry")
    lab.decide(lab.run(0.7, code="d", verdict="keep", **about), comparison=versus, action="retry")
    lab.decide(best, action="replicate")


def test_report(repo: Git, call: Caller, tmp_path: Path) -> None:
    lab = Lab(repo)
    lab.run(status="timeout")
    nothing = call.json("report")
    repo("config", "exprag.metric", "loss")
    lab.run(0.9, code="alone", verdict="keep", description="d", family="f")
    provisional = call.json("report")
    fill_registry(lab)
    page = call.json("report", "--html", str(tmp_path / "page.html"))
    check("report", nothing, provisional, page)


def test_context(repo: Git, call: Caller) -> None:
    Lab(repo).run(1.0)
    check("context", call.json("context", "--tokens", "200"))


def test_import(repo: Git, tmp_path: Path, call: Caller) -> None:
    rows = [
        "commit\tloss\tstatus",
        "aaaaaa1\t0.5\tkeep",
        "torn",
        "aaaaaa2\\t0.5\\tkeep",
        "x\t1\tpending",
    ]
    ledger = tmp_path / "results.tsv"
    ledger.write_text("\n".join(rows))
    check("import", call.json("import", "--skip-bad", str(ledger)))


def test_memorylab(repo: Git, call: Caller) -> None:
    repo.write("run.log", "val_bpb: 1.0\npeak_vram_mb: 1\n")
    check("memorylab init", call.json("memorylab", "init"))
    words = ("memorylab", "log", "--status", "keep", "--description", "lr 0.4", "--report")
    check("memorylab log", call.json(*words))
    check("memorylab check", call.json("memorylab", "check", "--description", "lr 0.04"))
    check("memorylab report", call.json("memorylab", "report"))


def test_record_and_decide(repo: Git, call: Caller) -> None:
    repo("config", "exprag.metric", "loss")
    words = ("record", "first", "--metric", "loss=1", "--no-decision")
    (repo.path / "data").write_text("x")
    recorded = call.json(*words)
    keys = expanded("record")
    assert set(produced(recorded, keys)) <= set(keys)
    made = call.json("record", "second", "--metric", "loss=0.5", "-m", "lower")
    assert made["decision"]["action"]
    assert set(produced(made, keys)) <= set(keys)
    decided = call.json("decide", "--all", "--dry-run")
    keys = expanded("decide")
    assert set(produced(decided, keys)) <= set(keys)
    assert decided["written"] is False


def test_noise(repo: Git, call: Caller) -> None:
    lab = Lab(repo)
    lab.commit("a = 0\n")
    for code, value in (("a = 0\n", 1.0), ("a = 1\n", 0.5)):
        for seed in range(3):
            lab.run(value + seed / 50, code=code, seed=seed)
    printed = call.json("noise", "loss")
    keys = expanded("noise")
    assert set(produced(printed, keys)) <= set(keys)
    assert printed["noise"]["measured"]
    assert [group["runs"] for group in printed["groups"]] == [3, 3]


def test_check(repo: Git, call: Caller) -> None:
    lab = Lab(repo)
    lab.run(1.0, description="raise the learning rate from 0.1 to 0.4")
    repo("config", "exprag.metric", "loss")
    check("check", call.json("check", "raise the learning rate from 0.1 to 0.4"))


def test_replicate(repo: Git, call: Caller) -> None:
    script = "import random; print('---'); print('loss:', random.random())"
    run = call("run", "--json", "--", "python3", "-c", script).data["run"]
    printed = call.json("replicate", run, "-n", "2")
    keys = expanded("replicate")
    assert set(produced(printed, keys)) <= set(keys)
    assert len(printed["replicates"]) == 3
