"""What `gitexp.verify` sets right, and that it never takes away the only copy of anything."""

from __future__ import annotations

import json
import os
import sqlite3
import time
from pathlib import Path

import pytest

from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.index.database import NAME
from gitexp.memory import Memory
from gitexp.records.facts import RemarkFact, RunFact
from gitexp.store.batch import note_path
from gitexp.store.shard import shard_name
from gitexp.verify.check import verify
from gitexp.verify.findings import Repaired
from gitexp.verify.repair import repair
from tests.full_store import BEGIN, BY, END, SHARD, commit, record_runs, write_facts, write_full_run
from tests.support import Git, python
from tests.test_verify import findings, flip, loose, rewrite


@pytest.fixture
def runs(repo: Git) -> list[str]:
    found = [*record_runs(repo), write_full_run(repo)]
    assert Memory(Repository.discover()).count() == 4
    return found


@pytest.fixture
def remote(repo: Git, runs: list[str]) -> Git:
    """A remote that has all of it, at an address relative to the work tree."""
    repo("init", "--quiet", "--bare", "../remote.git")
    repo("remote", "add", "origin", "../remote.git")
    specs = [f"{prefix}*" for prefix in ("refs/exprag/", "refs/notes/exprag", "refs/heads/")]
    repo("push", "--quiet", "origin", *specs)
    return Git(repo.path.parent / "remote.git")


def mend() -> list[Repaired]:
    """Repair; fail the test if nothing was found to repair."""
    repository = Repository.discover()
    report = verify(repository)
    assert any(finding.repairable for finding in report.findings)
    repaired, after = repair(repository, report)
    assert verify(Repository.discover()).findings == after.findings, repaired
    return repaired


def whole() -> None:
    assert findings() == []
    assert Memory(Repository.discover()).count() == 4


def own() -> str:
    return shard_name(Repository.discover())


def texts() -> dict[str, object]:
    """Return every run as --json shows it."""
    return {run.id: run.to_dict() for run in Memory(Repository.discover()).runs()}


# Objects


@pytest.mark.parametrize("damage", ["missing", "flipped"])
@pytest.mark.parametrize(
    "name",
    [
        "{facts}",
        "{facts}^{{tree}}",
        "{facts}:{note}",
        "{facts}~1",
        "{metrics}:{note}",
        "{files}:environments",
        "{run}",
        "{run}^{{tree}}",
        "{run}:pkg/model.py",
        "main",
    ],
)
def test_objects_come_back_from_a_remote(
    repo: Git, runs: list[str], remote: Git, name: str, damage: str
) -> None:
    before = texts()
    names = {
        "facts": f"{refs.FACTS}{own()}",
        "metrics": f"{refs.METRICS}{own()}",
        "files": f"{refs.FILES}{own()}",
        "note": note_path(runs[1]),
        "run": runs[1],
    }
    oid = repo("rev-parse", name.format(**names))
    path = loose(repo, oid)
    path.chmod(0o644)
    if damage == "missing":
        path.unlink()
    else:
        flip(path, path.stat().st_size // 2)
    mend()
    whole()
    repo("fsck", "--strict")
    assert texts() == before
    kept = list((Repository.discover().home / "damaged").rglob(oid[2:]))
    assert len(kept) == (damage != "missing")


def test_a_damaged_pack_is_replaced_with_a_remotes_help(
    repo: Git, runs: list[str], remote: Git
) -> None:
    repo("gc", "--quiet", "--prune=now")
    (pack,) = (repo.path / ".git" / "objects" / "pack").glob("*.pack")
    flip(pack, pack.stat().st_size // 2)
    mend()
    whole()
    repo("fsck", "--strict")
    repo("gc", "--quiet")
    assert list((Repository.discover().home / "damaged").rglob(pack.name))


def test_a_lost_pack_comes_back_from_a_remote(repo: Git, runs: list[str], remote: Git) -> None:
    before = texts()
    repo("gc", "--quiet", "--prune=now")
    for path in (repo.path / ".git" / "objects" / "pack").iterdir():
        path.unlink()
    mend()
    whole()
    assert texts() == before


def test_a_remote_that_is_gone_is_said(repo: Git, runs: list[str]) -> None:
    repo("remote", "add", "origin", "../nowhere.git")
    oid = repo("rev-parse", f"{runs[0]}^{{tree}}")
    loose(repo, oid).chmod(0o644)
    loose(repo, oid).unlink()
    said = [each for each in mend() if not each.done]
    assert any("origin could not be asked" in each.message for each in said)
    assert any(each.severity == "lost" for each in findings())


def test_a_missing_file_of_the_work_tree_is_found_there(repo: Git, runs: list[str]) -> None:
    oid = repo("rev-parse", f"{runs[0]}:pkg/model.py")
    loose(repo, oid).chmod(0o644)
    loose(repo, oid).unlink()
    mend()
    whole()


def test_a_snapshot_that_no_ref_names_comes_from_a_remote(
    repo: Git, runs: list[str], remote: Git
) -> None:
    repo("update-ref", "-d", refs.run_ref(runs[0]))
    loose(repo, runs[0]).chmod(0o644)
    loose(repo, runs[0]).unlink()
    mend()
    whole()
    assert repo("rev-parse", refs.run_ref(runs[0])) == runs[0]


# Shards that cannot be read, and no remote


@pytest.mark.parametrize("name", ["{ref}", "{ref}^{{tree}}", "{ref}:{fan}", "{ref}:{note}"])
@pytest.mark.parametrize("kind", [refs.FACTS, refs.METRICS])
def test_a_shard_keeps_all_that_can_be_read(
    repo: Git, runs: list[str], name: str, kind: str
) -> None:
    last = runs[2]
    ref = f"{kind}{own()}"
    old = repo("rev-parse", ref)
    oid = repo("rev-parse", name.format(ref=ref, fan=last[:2], note=note_path(last)))
    loose(repo, oid).chmod(0o644)
    loose(repo, oid).unlink()
    assert any(each.check == "shard" and each.done for each in mend())
    now = repo("rev-parse", ref)
    assert now != old
    repo("fsck", "--no-dangling")
    kept = [run for run in runs[:3] if repo("ls-tree", ref, note_path(run))]
    assert kept == runs[:3] if kind == refs.FACTS and "note" not in name else runs[:2]
    lines = (Repository.discover().home / "damaged" / "refs.jsonl").read_text().splitlines()
    assert {"ref": ref, "old": old}.items() <= json.loads(lines[-1]).items()
    assert not any(each.ref.endswith(".mended") for each in findings(notes=True))


def test_a_shard_takes_what_a_remote_was_last_seen_to_have(repo: Git, runs: list[str]) -> None:
    ref = f"{refs.METRICS}{own()}"
    seen = f"{refs.REMOTES}origin/metrics/{own()}"
    twin = repo("commit-tree", f"{ref}^{{tree}}", "-m", "exprag: as a remote has it")
    repo("update-ref", seen, twin)
    oid = repo("rev-parse", ref)
    loose(repo, oid).chmod(0o644)
    loose(repo, oid).unlink()
    mend()
    whole()


def test_a_code_chain_that_is_lost_gives_way_to_handles(repo: Git, runs: list[str]) -> None:
    empty = repo.raw("mktree", stdin=b"").decode().strip()
    chain = repo("commit-tree", empty, "-p", runs[0], "-m", "exprag code: 1 run")
    repo("update-ref", f"{refs.CODE}{own()}", chain)
    repo("update-ref", "-d", refs.run_ref(runs[0]))
    loose(repo, chain).chmod(0o644)
    loose(repo, chain).unlink()
    mend()
    whole()
    assert repo("rev-parse", refs.run_ref(runs[0])) == runs[0]


# Refs


def test_a_moved_handle_is_set_right_and_what_it_named_stays(repo: Git, runs: list[str]) -> None:
    stray = commit(repo, "stray")
    repo("update-ref", refs.run_ref(runs[0]), stray)
    repo("update-ref", refs.run_ref(runs[1]), runs[2])
    mend()
    whole()
    assert [repo("rev-parse", refs.run_ref(run)) for run in runs] == runs
    assert repo("for-each-ref", "--format=%(refname)", f"--contains={stray}") == (
        f"refs/exprag-local/damaged/{stray}"
    )
    assert repo("for-each-ref", "refs/exprag-local/damaged").count("\n") == 0


def test_empty_ref_files_are_set_aside_and_handles_made_again(repo: Git, runs: list[str]) -> None:
    """As a crash of the machine leaves them."""
    for run in runs[:2]:
        (repo.path / ".git" / refs.run_ref(run)).write_bytes(b"")
    mend()
    whole()
    assert repo("rev-parse", refs.run_ref(runs[0])) == runs[0]


def test_an_empty_ref_file_of_a_shard_is_set_right(repo: Git, runs: list[str]) -> None:
    before = texts()
    for prefix in (refs.FACTS, refs.METRICS, refs.FILES):
        (repo.path / ".git" / f"{prefix}{own()}").write_bytes(b"")
    mend()
    whole()
    assert texts() == before


def test_old_locks_are_removed(repo: Git, runs: list[str]) -> None:
    lock = repo.path / ".git" / f"{refs.FACTS}{SHARD}.lock"
    lock.write_bytes(b"")
    os.utime(lock, (time.time() - 600, time.time() - 600))
    mend()
    whole()
    assert not lock.exists()


def test_handles_that_are_missing_are_made(repo: Git, runs: list[str]) -> None:
    repo("update-ref", "-d", refs.run_ref(runs[0]))
    mend()
    whole()
    assert repo("rev-parse", refs.run_ref(runs[0])) == runs[0]


# Lines


def test_lost_lines_and_files_are_brought_back(repo: Git, runs: list[str]) -> None:
    write_facts(runs[3], RemarkFact(time=END, by=BY, comment="precious"))
    before = texts()
    where = note_path(runs[3])
    note = repo.raw("cat-file", "blob", f"{refs.FACTS}{SHARD}:{where}")
    kept = b"".join(line for line in note.splitlines(keepends=True) if b"precious" not in line)
    rewrite(repo, f"{refs.FACTS}{SHARD}", {where: kept})
    rewrite(repo, f"{refs.METRICS}{SHARD}", {where: None})
    rewrite(repo, f"{refs.FILES}{SHARD}", {f"{where}/run.log": None})
    assert texts() != before
    mend()
    whole()
    assert texts() == before
    assert repo("ls-tree", "-r", "--name-only", f"{refs.FILES}{SHARD}", where).endswith("/run.log")


def test_a_shard_that_was_set_back_gets_its_lines_again(repo: Git, runs: list[str]) -> None:
    """By a forced fetch, say: the index remembers what was there."""
    before = texts()
    repo("update-ref", f"{refs.FACTS}{own()}", f"{refs.FACTS}{own()}~2")
    assert {each.run for each in findings() if each.check == "history"} == set(runs[1:3])
    mend()
    whole()
    assert texts() == before


def test_a_shard_that_is_gone_comes_back(repo: Git, runs: list[str]) -> None:
    before = texts()
    repo("update-ref", "-d", f"{refs.FACTS}{SHARD}")
    mend()
    whole()
    assert texts() == before


def test_notes_in_two_places_are_united(repo: Git, runs: list[str]) -> None:
    line = b'{"kind":"remark","schema":1,"time":"2026-01-31T12:00:00.000000Z","by":"x <y>"}\n'
    rewrite(repo, f"{refs.FACTS}{SHARD}", {runs[3]: line})
    mend()
    whole()
    note = repo.raw("cat-file", "blob", f"{refs.FACTS}{SHARD}:{note_path(runs[3])}")
    assert line in note
    assert len(note.splitlines()) == 5


def test_an_environment_that_this_clone_still_has_is_put_back(repo: Git, runs: list[str]) -> None:
    path = Repository.discover().home / "environments" / f"{'0' * 31}1.json"
    path.parent.mkdir(exist_ok=True)
    import xxhash

    path = path.with_name(f"{xxhash.xxh3_128(b'{}').hexdigest()}.json")
    path.write_bytes(b"{}")
    run = commit(repo, "bare")
    repo("update-ref", refs.run_ref(run), run)
    write_facts(run, RunFact(time=BEGIN, by=BY, name="bare", environment=path.stem))
    assert [each.check for each in findings()] == ["environment"]
    mend()
    assert findings() == []


# What is derived, and journals


def test_the_index_is_made_anew(repo: Git, runs: list[str]) -> None:
    path = Repository.discover().home / NAME
    with sqlite3.connect(path, isolation_level=None) as db:
        db.execute("UPDATE metric SET last = last + 1")
    db.close()
    mend()
    whole()


def test_a_damaged_commit_graph_is_taken_away(repo: Git, runs: list[str]) -> None:
    repo("commit-graph", "write", "--reachable")
    flip(repo.path / ".git" / "objects" / "info" / "commit-graph", 300)
    mend()
    whole()
    repo("fsck")


def test_journals_of_dead_processes_are_sealed(repo: Git, runs: list[str]) -> None:
    python(
        "import os; from gitexp import Experiment\n"
        "e = Experiment('dead'); e.track({'loss': 1.0}); os._exit(0)"
    )
    mend()
    assert findings() == []
    assert [run.status for run in Memory(Repository.discover()).runs("name == 'dead'")] == [
        "crashed"
    ]


def test_a_repair_that_is_repeated_changes_nothing(repo: Git, runs: list[str]) -> None:
    rewrite(repo, f"{refs.FACTS}{SHARD}", {note_path(runs[3]): None})
    mend()
    before = repo("for-each-ref")
    repository = Repository.discover()
    repaired, _ = repair(repository, verify(repository))
    assert repaired == []
    assert repo("for-each-ref") == before


def test_what_cannot_be_repaired_is_left_as_it_is(repo: Git, runs: list[str]) -> None:
    write_facts(runs[3], b"not json")
    before = repo("for-each-ref")
    repository = Repository.discover()
    repaired, after = repair(repository, verify(repository))
    assert repaired == []
    assert [each.check for each in after.findings] == ["line"]
    assert repo("for-each-ref") == before
    assert not Path(repository.home / "damaged").exists()
