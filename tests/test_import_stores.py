"""Importing what other tools keep: MemoryLab's stores, pi-autoresearch, exprag's own."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gitexp.interchange.formats import read_source
from gitexp.memory import Memory
from gitexp.records.facts import Failure
from tests.ledgers import import_file, runs, write, write_json
from tests.support import Git

GUARD = {
    "classification": "novel",
    "mode": "exploit",
    "policy": "caution",
    "threshold": 0.62,
    "match_count": 0,
    "counts": {},
    "top_matches": [],
}
PACKET = {"summary": "Beats the champion.", "next_action": "promote", "priority": "high"}


def record(number: int, **fields: Any) -> dict[str, Any]:
    """Return a record of MemoryLab's ledger."""
    return {
        "run_id": f"2026031{number}T000000Z-aaaaaa{number}",
        "timestamp_utc": f"2026-03-1{number}T00:00:00Z",
        "branch": "autoresearch/mar",
        "commit": f"aaaaaa{number}",
        "parent_commit": f"aaaaaa{number - 1}",
        "family": "schedule",
        "status": "keep",
        "description": f"try {number}",
        "hypothesis": "it helps",
        "tags": ["lr", "wd"],
        "notes": "as expected",
        "metrics": {"val_bpb": 0.9 + number / 100, "peak_vram_mb": 45000.0},
        "error": None,
        "artifacts": {},
        "novelty_guard": GUARD,
        "decision_packet": PACKET,
    } | fields


CRASH = record(
    3,
    status="crash",
    metrics={"val_bpb": None, "peak_vram_mb": 0.0},
    error={"summary": "RuntimeError: CUDA out of memory", "tail": ["a", "b"], "source": "run.log"},
)


def store(folder: Path, *records: dict[str, Any]) -> Path:
    """Write a MemoryLab store with an archive of its first run; return its folder."""
    root = folder / "results" / "memorylab"
    write_json(root / "experiments.jsonl", records)
    archive = root / "runs" / str(records[0]["run_id"])
    archive.mkdir(parents=True)
    (archive / "run.log").write_text("val_bpb: 0.91\n")
    (archive / "summary.json").write_text('{"val_bpb": 0.91}\n')
    (archive / "train.patch").write_text("--- a/train.py\n")
    (archive / "decision_packet.json").write_text("{}\n")
    (archive / "decision_packet.md").write_text("# Decision\n")
    (archive / "unexpected").write_text("no file of MemoryLab's\n")
    (root / "champion_challenger.json").write_text('{"champion": {}}\n')
    (root / "reports").mkdir()
    (root / "reports" / "latest.md").write_text("# Report\n")
    return root


def test_a_memorylab_store_comes_whole(repo: Git, tmp_path: Path) -> None:
    root = store(tmp_path / "old", record(1), record(2), CRASH)
    assert len(import_file(tmp_path / "old").new) == 3
    first, second, crash = runs()
    assert (first.name, first.description, first.hypothesis) == ("try 1", "try 1", "it helps")
    assert (first.family, first.tags, first.verdict) == ("schedule", ("lr", "wd"), "keep")
    assert first.started == datetime(2026, 3, 11, tzinfo=UTC)
    assert first.value("val_bpb") == pytest.approx(0.91)
    assert first.external_id == f"memorylab:{record(1)['run_id']}"
    assert first.metadata["memorylab"] == {
        "run_id": record(1)["run_id"],
        "branch": "autoresearch/mar",
        "parent_commit": "aaaaaa0",
        "novelty": "novel",
        "mode": "exploit",
    }
    assert [comment.text for comment in first.comments] == ["as expected"]
    assert (first.parent, second.parent, crash.parent) == (None, first.id, second.id)
    assert (crash.status, crash.verdict, dict(crash.metrics)) == ("crashed", "crash", {})
    assert crash.error == Failure("RuntimeError", "CUDA out of memory", "a\nb")
    memory = Memory.open()
    assert memory.files(first).keys() == {
        *("run.log", "summary.json", "train.patch", "decision_packet.json"),
        *("decision_packet.md", "memorylab.json"),
    }
    assert memory.read_file(first, "decision_packet.json") == b"{}\n"
    assert json.loads(memory.read_file(second, "decision_packet.json")) == PACKET
    assert json.loads(memory.read_file(second, "memorylab.json"))["novelty_guard"] == GUARD
    assert {"memorylab/champion_challenger.json", "memorylab/reports/latest.md"} <= memory.files(
        crash
    ).keys()
    assert import_file(root).new == ()
    assert import_file(root / "experiments.jsonl").new == ()
    (root / "experiments.jsonl").rename(root / "old.jsonl")
    assert len(import_file(root / "old.jsonl").there) == 3


def test_a_grown_memorylab_store_adds_its_new_runs(repo: Git, tmp_path: Path) -> None:
    root = store(tmp_path, record(1))
    assert len(import_file(tmp_path).new) == 1
    write_json(root / "experiments.jsonl", [record(1), record(1), record(2)])
    assert len(import_file(tmp_path).new) == 2


def test_a_hostile_memorylab_store_reaches_no_file_outside(repo: Git, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "run.log").write_text("canary\n")
    names = ["../../../secret", "/etc", "..", "", "linked", "a\0b", "x/../../secret"]
    rows = [record(1, run_id=name, commit=f"bbbbbb{i}") for i, name in enumerate(names)]
    root = store(tmp_path, record(1), *rows, record(2))
    (root / "runs" / "linked").symlink_to(secret)
    second = root / "runs" / record(2)["run_id"]
    second.mkdir()
    (second / "run.log").symlink_to(secret / "run.log")
    os.mkfifo(second / "summary.json")
    with (second / "train.patch").open("wb") as stream:
        stream.truncate((50 << 20) + 1)
    reading = read_source(tmp_path)
    assert len(reading.runs) == len(rows) + 2
    for run in reading.runs[1:-1]:
        assert run.files.keys() == {"decision_packet.json", "memorylab.json"}
    assert reading.runs[-1].files.keys() - {"decision_packet.json", "memorylab.json"} == {
        "memorylab/champion_challenger.json",
        "memorylab/reports/latest.md",
    }
    assert len(reading.notes) == len(names) + 3
    assert len(import_file(tmp_path).new) == len(rows) + 2


def test_records_with_fields_of_wrong_types_are_read_as_far_as_they_go(
    repo: Git, tmp_path: Path
) -> None:
    odd = record(
        1,
        tags="lr",
        metrics=[1],
        error="died",
        novelty_guard=None,
        decision_packet=7,
        timestamp_utc=None,
        commit=None,
        parent_commit=3,
        description=None,
        status=None,
    )
    root = write_json(tmp_path / "experiments.jsonl", [odd, {"status": "keep"}, []]).parent
    reading = read_source(root)
    assert [run.name for run in reading.runs] == [odd["run_id"]]
    assert [row.line for row in reading.bad] == [2, 3]


SESSION = {
    "type": "config",
    "name": "point addition",
    "metricName": "avg_toffoli",
    "metricUnit": "",
    "bestDirection": "lower",
}


def pi_run(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "run": number,
        "commit": f"ccccc{number:02}",
        "metric": 1000 - number,
        "metrics": {"qubits": 30, "note": "text"},
        "status": "keep",
        "description": f"idea {number}",
        "timestamp": 1776724570309 + number,
        "segment": 0,
        "confidence": None,
        "iterationTokens": 145,
        "asi": {"hypothesis": "fewer gates", "next_focus": "borrow"},
    } | fields


def test_pi_autoresearch_comes_with_sessions_hypotheses_and_tokens(
    repo: Git, tmp_path: Path
) -> None:
    rows = [
        SESSION,
        pi_run(1),
        pi_run(2, status="crash", metric=0, metrics={}),
        pi_run(3, status="checks_failed"),
        SESSION | {"metricName": "score", "bestDirection": "higher"},
        pi_run(4, metric=0.5, metrics={}, asi=None),
    ]
    path = write_json(tmp_path / "autoresearch.jsonl", rows)
    reading = read_source(path)
    assert (reading.format, reading.metric, reading.lower) == ("pi", "score", False)
    assert reading.placeholders == 1
    import_file(path)
    first, crash, failed, last = runs()
    assert {name: first.value(name) for name in first.metrics} == {"avg_toffoli": 999, "qubits": 30}
    assert (first.hypothesis, first.verdict) == ("fewer gates", "keep")
    assert first.metadata == {
        "run": 1,
        "segment": 0,
        "tokens": 145,
        "session": "point addition",
        "asi": {"hypothesis": "fewer gates", "next_focus": "borrow"},
        "commit": "ccccc01",
    }
    assert first.started == datetime(2026, 4, 20, 22, 36, 10, 310000, tzinfo=UTC)
    assert (crash.status, crash.verdict, dict(crash.metrics)) == ("crashed", "crash", {})
    assert (failed.verdict, failed.metadata["status"]) == ("discard", "checks_failed")
    assert last.value("score") == 0.5
    assert import_file(path).new == ()


def test_lines_that_are_nothing_of_pi_are_told(tmp_path: Path) -> None:
    rows = [json.dumps(SESSION), "{", json.dumps({"type": "other"}), json.dumps(pi_run(1))]
    rows += [json.dumps(pi_run(2, extra=1 << 80)), json.dumps(pi_run(3, status="running"))]
    reading = read_source(write(tmp_path / "x.jsonl", rows))
    assert [row.line for row in reading.bad] == [2, 3, 5]
    assert [row.line for row in reading.unfinished] == [6]
    assert [run.name for run in reading.runs] == ["idea 1"]


UUID = "a1fe841f-4034-4e4f-9b37-0e748c7007b3"


def exprag_lines(commit: str | None, run_id: str = UUID, **said: Any) -> list[dict[str, Any]]:
    """Return what exprag writes for a run of three calls."""
    git = {"branch": f"run/{run_id}", "commit": commit, "dirty": True}
    head = {
        "elapsed_ms": 18,
        "experiment_name": "warm",
        "exprag_version": "0.1.2",
        "run_id": run_id,
        "schema_version": 1,
    }
    value = {
        "git": git,
        "host": {"arch": "x86_64", "hostname": "box", "os": "linux", "username": None},
        "metadata": {"lr": 0.1, "nested": {"a": [1, 2]}},
        "process": {"argv": ["python", "train.py"], "cwd": "/work", "pid": 7, "ppid": 1},
        **said,
    }
    at = "2026-01-21T10:56:15.19{}160532+00:00"
    calls = [{"loss": 1.5, "step": 0}, {"loss": 1.25, "step": 10, "x": {"y": 2}}, "text"]
    return [
        {"kind": "run_start", "created_at": at.format(0), "value": value, **head},
        *(
            {"kind": "track", "created_at": at.format(i), "value": call, **head}
            for i, call in enumerate(calls, 1)
        ),
    ]


def test_exprags_own_store_comes_with_code_series_and_surroundings(repo: Git) -> None:
    head = repo("rev-parse", "HEAD")
    repo.write("train.py", "lr = 0.5\n")
    repo("add", "train.py")
    tree = repo("write-tree")
    snapshot = repo("commit-tree", tree, "-p", head, "-m", f"exprag: snapshot run {UUID}")
    repo("branch", f"run/{UUID}", snapshot)
    lines = exprag_lines(snapshot)
    lines[2]["note"] = "halfway"
    write_json(repo.path / ".exprag" / "runs" / f"{UUID}.jsonl", lines)
    [run_id] = import_file(repo.path).new
    run = Memory.open().get(run_id)
    assert (run.name, run.status, run.external_id) == ("warm", "finished", f"exprag:{UUID}")
    assert run.metadata == {"lr": 0.1, "nested": {"a": [1, 2]}}
    assert (run.command, run.host) == (("python", "train.py"), "box")
    assert run.started == datetime(2026, 1, 21, 10, 56, 15, 190160, tzinfo=UTC)
    assert run.duration == pytest.approx(0.003)
    assert [(p.step, p.value) for p in run.history("loss")] == [(0, 1.5), (10, 1.25)]
    calls = Memory.open().calls(run)
    assert [call.note for call in calls] == [None, "halfway", None]
    assert calls[2].value == "text"
    assert run.git is not None
    assert (run.git.head, run.git.dirty) == (head, True)
    assert "+lr = 0.5" in repo("diff", head, run_id)
    assert import_file(repo.path / ".exprag" / "runs" / f"{UUID}.jsonl").new == ()


def test_a_damaged_exprag_store_is_told_by_file_and_line(repo: Git, tmp_path: Path) -> None:
    folder = tmp_path / "runs"
    good = exprag_lines(None, metadata=None)
    write_json(folder / "a.jsonl", good)
    torn = [json.dumps(line) for line in exprag_lines(None, "b", git=None)]
    write(folder / "b.jsonl", [torn[0], torn[1], torn[2][:40]])
    write_json(folder / "c.jsonl", [good[1]])
    newer = [line | {"schema_version": 2} for line in exprag_lines(None, "d")]
    write_json(folder / "d.jsonl", newer[:1])
    mixed = exprag_lines(None, "e")
    write_json(folder / "e.jsonl", [mixed[0], good[1], mixed[1] | {"kind": "strange"}, mixed[2]])
    (folder / "f.jsonl").symlink_to("/etc/passwd")
    reading = read_source(tmp_path)
    assert sorted(run.external_id or "" for run in reading.runs) == [
        "a1fe841f-4034-4e4f-9b37-0e748c7007b3",
        "b",
        "e",
    ]
    assert [(row.file, row.line) for row in reading.bad] == [
        ("b.jsonl", 3),
        ("c.jsonl", 1),
        ("c.jsonl", 0),
        ("d.jsonl", 1),
        ("d.jsonl", 0),
        ("e.jsonl", 2),
        ("e.jsonl", 3),
    ]
    assert reading.notes == ["f.jsonl is a link; it is left out."]
    assert {run.metadata.get("metadata", 0) for run in reading.runs} == {0}
