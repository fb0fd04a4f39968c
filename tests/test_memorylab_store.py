"""MemoryLab's ledger as a view of runs in git: made again, taken in, withdrawn, pulled."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest

from gitexp.errors import GitexpError, GitexpWarning
from gitexp.experiment import Experiment
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.memorylab.record import encode
from gitexp.memorylab.store import opened
from gitexp.removal import withdraw
from tests.full_store import Caller
from tests.support import LEDGERS, Git

LEDGER = "results/memorylab/experiments.jsonl"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def log(git: Git, call: Caller, description: str, value: float = 1.0) -> Any:
    git.write("run.log", f"val_bpb: {value}\npeak_vram_mb: 1024\n")
    words = ("memorylab", "log", "--status", "keep", "--description", description)
    return call.json(*words)


def existing(git: Git, count: int = 3) -> list[dict[str, Any]]:
    """Write the ledger of a project that MemoryLab itself has kept."""
    head = git("rev-parse", "HEAD")
    records: list[dict[str, Any]] = [
        {
            "run_id": f"20260131T12000{number}Z-{head[:7]}",
            "timestamp_utc": f"2026-01-31T12:00:0{number}Z",
            "branch": "main",
            "commit": head[:7],
            "parent_commit": None,
            "family": None,
            "status": "keep",
            "description": f"idea {number}",
            "hypothesis": "",
            "tags": ["old"],
            "notes": "",
            "metrics": {"val_bpb": 1.0 - number / 10, "peak_vram_mb": 1024.0},
            "error": None,
            "artifacts": {},
            "novelty_guard": {},
            "decision_packet": {"version": 1},
        }
        for number in range(count)
    ]
    git.write(LEDGER, "".join(encode(record) + "\n" for record in records))
    folder = f"results/memorylab/runs/{records[0]['run_id']}"
    git.write(f"{folder}/run.log", "val_bpb: 1.0\n")
    return records


def view(git: Git) -> dict[str, bytes]:
    found = {path: path.read_bytes() for path in git.path.glob("results/**/*") if path.is_file()}
    return {str(path.relative_to(git.path)): content for path, content in found.items()}


def test_files_that_are_missing_are_made_again_from_git(repo: Git, call: Caller) -> None:
    for number in range(3):
        log(repo, call, f"idea {number}", 1.0 - number / 10)
    before, table = view(repo), (repo.path / "results.tsv").read_bytes()
    shutil.rmtree(repo.path / "results")
    (repo.path / "results.tsv").unlink()
    call("memorylab", "check", "--description", "x")
    assert view(repo) == before
    assert (repo.path / "results.tsv").read_bytes() == table


def test_a_registry_or_table_alone_is_made_again(repo: Git, call: Caller) -> None:
    log(repo, call, "idea")
    before, table = view(repo), (repo.path / "results.tsv").read_bytes()
    (repo.path / "results/memorylab/champion_challenger.json").unlink()
    (repo.path / "results.tsv").unlink()
    call("memorylab", "check", "--description", "x")
    assert view(repo) == before
    assert (repo.path / "results.tsv").read_bytes() == table


def test_an_existing_ledger_is_taken_into_git_once(repo: Git, call: Caller) -> None:
    records = existing(repo)
    content = (repo.path / LEDGER).read_bytes()
    for _ in range(2):
        call("memorylab", "check", "--description", "x")
        memory = Memory.open()
        assert memory.count() == 3
        assert (repo.path / LEDGER).read_bytes() == content
    run = memory.get("idea 0")
    assert (run.status, run.verdict, run.value("val_bpb")) == ("finished", "keep", 1.0)
    assert run.started.isoformat() == "2026-01-31T12:00:00+00:00"
    assert json.loads(memory.read_file(run, "memorylab.json")) == records[0]
    assert memory.read_file(run, "run.log") == b"val_bpb: 1.0\n"
    shutil.rmtree(repo.path / "results")
    call("memorylab", "check", "--description", "x")
    assert (repo.path / LEDGER).read_bytes() == content


def test_records_that_another_program_adds_are_taken_in(repo: Git, call: Caller) -> None:
    existing(repo, 1)
    call("memorylab", "check", "--description", "x")
    existing(repo, 3)
    assert log(repo, call, "idea 3", 0.5)["record"]["decision_packet"]["next_action"] == "promote"
    assert Memory.open().count() == 4
    assert len((repo.path / LEDGER).read_text().splitlines()) == 4
    registry = json.loads((repo.path / "results/memorylab/champion_challenger.json").read_text())
    assert len(registry["challengers"]) == 3


def test_a_withdrawn_run_leaves_the_ledger_and_does_not_come_back(repo: Git, call: Caller) -> None:
    existing(repo)
    logged = log(repo, call, "idea 3", 0.5)
    repository = Repository.discover()
    withdraw(repository, [Memory.open().get("idea 1").id, logged["run"]])
    for _ in range(2):
        call("memorylab", "check", "--description", "x")
        lines = (repo.path / LEDGER).read_text().splitlines()
        assert [json.loads(line)["description"] for line in lines] == ["idea 0", "idea 2"]
        assert Memory.open().count() == 2
    registry = json.loads((repo.path / "results/memorylab/champion_challenger.json").read_text())
    assert registry["champion"]["description"] == "idea 2"


def test_runs_of_another_clone_come_into_the_ledger_in_order(
    repo: Git, call: Caller, tmp_path: Path
) -> None:
    log(repo, call, "here")
    with opened(Repository.discover()) as lab:
        line = json.loads((repo.path / LEDGER).read_bytes())
        line |= {"run_id": "20200101T000000Z-1234567", "timestamp_utc": "2020-01-01T00:00:00Z"}
    there = tmp_path / "memorylab.json"
    there.write_text(json.dumps(line, indent=2))
    with Experiment("elsewhere") as experiment:
        experiment.log_file(there)
    with opened(Repository.discover()) as lab:
        assert lab.records[0].run_id == "20200101T000000Z-1234567"
        assert len(lab.records) == 2
    assert (repo.path / LEDGER).read_text().splitlines()[0] == encode(line)


def test_a_damaged_record_in_git_is_left_out_with_a_warning(
    repo: Git, call: Caller, tmp_path: Path
) -> None:
    log(repo, call, "here")
    bad = tmp_path / "memorylab.json"
    bad.write_text('{"run_id": "../x", "status": "keep", "description": "d"}')
    with Experiment("bad") as experiment:
        experiment.log_file(bad)
    with (
        pytest.warns(GitexpWarning, match=r"The file memorylab\.json of run .* is no record"),
        opened(Repository.discover()) as lab,
    ):
        assert len(lab.records) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with opened(Repository.discover()) as lab:
            assert len(lab.records) == 1


def test_a_broken_line_stops_everything_and_changes_nothing(repo: Git, call: Caller) -> None:
    existing(repo)
    path = repo.path / LEDGER
    path.write_bytes(path.read_bytes() + b'{"run_id": "x"\n')
    before = view(repo)
    repo.write("run.log", "val_bpb: 1\npeak_vram_mb: 1\n")
    for words in (
        ("check", "--description", "x"),
        ("log", "--description", "x", "--status", "keep"),
        ("report",),
        ("init",),
    ):
        said = call("memorylab", *words, code=1).err
        assert said.startswith("error: Line 4 of results/memorylab/experiments.jsonl is no record")
        assert "hint: Repair or remove that line." in said
    assert view(repo) == before
    assert Memory.open().count() == 0


def test_a_record_that_no_run_can_keep_is_named(repo: Git) -> None:
    records = existing(repo)
    deep: Any = 1
    for _ in range(200):
        deep = [deep]
    line = encode({**records[0], "run_id": "deep", "metrics": {"val_bpb": 1.0, "deep": deep}})
    path = repo.path / LEDGER
    path.write_bytes(path.read_bytes() + line.encode() + b"\n")
    before = view(repo)
    with pytest.raises(GitexpError, match="line 4"), opened(Repository.discover()):
        pass
    assert Memory.open().count() == 0
    assert view(repo) == before


def test_a_damaged_memory_of_the_last_state_is_forgotten(repo: Git, call: Caller) -> None:
    log(repo, call, "idea")
    (repo.path / ".git" / "exprag" / "memorylab.json").write_bytes(b"{\xff")
    with opened(Repository.discover()) as lab:
        assert len(lab.records) == 1
    assert Memory.open().count() == 1


def test_links_and_odd_names_of_an_archive_stay_outside(
    repo: Git, call: Caller, tmp_path: Path
) -> None:
    records = existing(repo)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    run_id = records[1]["run_id"]
    folder = repo.path / "results/memorylab/runs" / run_id
    folder.mkdir(parents=True)
    (folder / "run.log").symlink_to(secret)
    (folder / "other.txt").write_text("other")
    call("memorylab", "check", "--description", "x")
    assert "run.log" not in Memory.open().files(Memory.open().get("idea 1"))
    assert "other.txt" not in Memory.open().files(Memory.open().get("idea 1"))


def test_a_ledger_of_a_thousand_records_is_taken_in_and_checked(repo: Git, call: Caller) -> None:
    base = existing(repo, 1)[0]
    lines = [encode({**base, "run_id": f"r{i}", "description": f"idea {i}"}) for i in range(1_000)]
    repo.write(LEDGER, "".join(f"{line}\n" for line in lines))
    found = call.json("memorylab", "check", "--description", "idea 7 more")
    assert found["match_count"] > 0
    assert Memory.open().count() == 1_000


@pytest.mark.skipif(not LEDGERS.is_dir(), reason="the public ledgers are not here")
def test_public_ledgers_replayed_give_blocks_like_those_that_are_known() -> None:
    from tests.memorylab_replay import replay

    exploit = replay(LEDGERS, "exploit")
    explore = replay(LEDGERS, "explore")
    assert exploit.kept > 500
    assert 0.05 < exploit.blocked_kept / exploit.kept < 0.2
    assert exploit.blocked_kept < explore.blocked_kept < exploit.kept / 2
