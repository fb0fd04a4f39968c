from __future__ import annotations

import os
import time
from pathlib import Path

import msgspec
import pytest

import gitexp
from gitexp import Experiment, seal
from gitexp.errors import GitexpError
from gitexp.git.repository import Repository
from gitexp.journal import Journal, Owner, frame, journal_path, live_runs, this_process
from gitexp.records.facts import RunFact
from gitexp.seal import recover
from tests.support import Git
from tests.walker import walk_facts

DEAD = Owner(this_process().host, 2**22 + 1, "never")


@pytest.fixture
def orphan(repo: Git) -> Path:
    """The journal of a run with one tracked value whose process is gone."""
    exp = Experiment("orphan", params={"lr": 0.1})
    exp.track({"loss": 1.0})
    path = Path(exp.path)
    run = exp._run
    assert run is not None
    exp._finalizer.detach()
    run.journal.close()
    lines = path.read_bytes()
    owner = frame(msgspec.msgpack.encode(this_process()))
    path.write_bytes(frame(msgspec.msgpack.encode(DEAD)) + lines[len(owner) :])
    return path


def test_a_dead_run_is_sealed_as_crashed_at_its_last_sign_of_life(orphan: Path) -> None:
    repository = Repository.discover()
    (result,) = recover(repository)
    assert (result.run_id, result.status, result.error) == (orphan.name, "crashed", None)
    run = gitexp.open().get("orphan")
    assert run.calls == 1
    assert run.duration is not None
    assert run.duration < 60
    assert not orphan.exists()


def test_a_run_of_another_host_is_left_alone_and_shown(orphan: Path) -> None:
    content = orphan.read_bytes()
    here = frame(msgspec.msgpack.encode(DEAD))
    there = frame(msgspec.msgpack.encode(Owner("another-host", DEAD.pid, DEAD.started)))
    orphan.write_bytes(there + content[len(here) :])
    assert recover(Repository.discover()) == []
    run = gitexp.open().get("orphan")
    assert (run.status, run.calls) == ("running", 1)
    assert run.ended is not None  # its last sign of life


def test_a_journal_of_zeros_is_set_aside_and_its_run_is_known(orphan: Path) -> None:
    orphan.write_bytes(bytes(1000))
    (result,) = recover(Repository.discover())
    assert result.status == "crashed"
    run = gitexp.open().get(orphan.name)
    assert (run.name, run.status, run.lost_bytes) == ("orphan", "crashed", 1000)
    aside = orphan.parent.parent / "damaged" / orphan.name
    assert aside.read_bytes()[:1000] == bytes(1000)


def test_an_empty_journal_is_a_run_without_values(orphan: Path) -> None:
    orphan.write_bytes(b"")
    recover(Repository.discover())
    assert gitexp.open().get(orphan.name).status == "crashed"


def test_damage_in_the_middle_loses_only_itself(orphan: Path) -> None:
    journal = Journal(orphan)
    for i in range(5):
        journal.track({"loss": float(i)}, None, None)
    journal.close()
    content = bytearray(orphan.read_bytes())
    content[-60] ^= 0xFF
    orphan.write_bytes(content)
    recover(Repository.discover())
    memory = gitexp.open()
    run = memory.get("orphan")
    assert run.calls == 5
    assert run.lost_bytes > 0
    assert [c.value["loss"] for c in memory.calls(run)][-1] == 4.0
    assert (orphan.parent.parent / "damaged" / orphan.name).exists()


def test_a_torn_last_frame_is_no_damage_to_keep(orphan: Path) -> None:
    with orphan.open("ab") as file:
        file.write(frame(b"\x94\x01\x02\xc0\xc0")[:-1])
    recover(Repository.discover())
    assert gitexp.open().get("orphan").calls == 1
    assert not (orphan.parent.parent / "damaged").exists()


def test_a_run_whose_snapshot_is_gone_keeps_its_facts(orphan: Path, repo: Git) -> None:
    ref = f"refs/exprag/runs/{orphan.name}"
    repo("update-ref", "-d", ref)
    (repo.path / ".git" / "objects" / orphan.name[:2] / orphan.name[2:]).unlink()
    (result,) = recover(Repository.discover())
    assert result.error is None
    run = gitexp.open().get("orphan")
    assert (run.status, run.calls) == ("crashed", 1)
    assert repo("for-each-ref", ref) == ""


def test_what_cannot_be_sealed_now_stays_and_is_reported(
    orphan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise GitexpError("Could not write: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(seal, "write_batch", full)
        (result,) = recover(Repository.discover())
        assert result.status is None
        assert "No space left" in str(result.error)
        assert gitexp.open().get("orphan").status == "crashed"  # seen all the same
    assert orphan.exists()
    recover(Repository.discover())
    assert gitexp.open().get("orphan").status == "crashed"
    assert not orphan.exists()


def test_sealing_twice_adds_nothing(orphan: Path, repo: Git) -> None:
    repository = Repository.discover()
    copy = orphan.read_bytes()
    recover(repository)
    tips = repo("for-each-ref")
    orphan.write_bytes(copy)
    recover(repository)
    facts = walk_facts(repository)[orphan.name]
    assert len(facts) == 2
    assert repo("for-each-ref") == tips


def test_leftovers_of_killed_starts_go_after_an_hour(repo: Git) -> None:
    repository = Repository.discover()
    exp = Experiment("live")
    exp.log_file("README")
    folder = repository.journals
    (folder / ("d" * 40 + ".files")).mkdir()
    (folder / ("d" * 40 + ".new")).write_text("x")
    recover(repository)
    assert len(list(folder.iterdir())) == 4
    old = time.time() - 4000
    for path in folder.iterdir():
        os.utime(path, (old, old))
    recover(repository)
    assert sorted(p.name for p in folder.iterdir()) == [exp.run_id, f"{exp.run_id}.files"]
    exp.finish()
    assert list(folder.iterdir()) == []


def test_other_files_among_the_journals_are_no_runs(repo: Git) -> None:
    repository = Repository.discover()
    folder = repository.journals
    folder.mkdir(parents=True)
    (folder / "../../notes.txt").write_text("x")
    (folder / "README").write_text("x")
    assert live_runs(repository) == []
    assert recover(repository) == []


def test_a_newer_journal_note_does_not_stop_the_seal(orphan: Path) -> None:
    with orphan.open("ab") as file:
        file.write(frame(msgspec.msgpack.encode({"kind": "prophecy", "what": 1})))
    recover(Repository.discover())
    run = gitexp.open().get("orphan")
    assert run.calls == 1
    assert run.lost_bytes > 0
    assert (orphan.parent.parent / "damaged" / orphan.name).exists()


def test_the_first_fact_of_a_run_that_lost_its_header_names_the_snapshots_author(
    orphan: Path,
) -> None:
    orphan.write_bytes(bytes(10))
    recover(Repository.discover())
    facts = walk_facts(Repository.discover())[orphan.name]
    (fact,) = (fact for fact in facts if isinstance(fact, RunFact))
    assert fact.by == "Ada Lovelace <ada@example.org>"
    assert journal_path(Repository.discover(), orphan.name) == orphan


@pytest.mark.parametrize("content", [b"", bytes(4096)])
def test_a_journal_of_nothing_makes_no_run(repo: Git, content: bytes) -> None:
    repository = Repository.discover()
    path = journal_path(repository, "1" * 40)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    (result,) = recover(repository)
    assert result.status is None
    assert "Nothing in its journal can be read" in str(result.error)
    assert gitexp.open().runs() == []
    assert (repository.home / "damaged" / path.name).read_bytes() == content


def test_an_unreadable_journal_hides_nothing_else(
    orphan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Experiment("other").finish()
    read = seal.fold

    def denied(path: Path) -> seal.Folded:
        if path == orphan:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(seal, "fold", denied)
    memory = gitexp.open()
    assert [run.name for run in memory.runs()] == ["other"]
    assert any("Permission denied" in str(problem) for problem in memory.problems)
