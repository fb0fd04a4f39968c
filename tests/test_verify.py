"""What `gitexp.verify` finds in repositories that are broken in all ways that we thought of."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitexp.git import objects, refs
from gitexp.git.repository import Repository
from gitexp.index.database import NAME
from gitexp.memory import Memory
from gitexp.records.facts import EndFact, RemarkFact, RunFact, TombstoneFact, encode_fact
from gitexp.removal import withdraw
from gitexp.store.batch import Batch, note_path, write_batch
from gitexp.store.shard import shard_name
from gitexp.verify.check import verify
from gitexp.verify.findings import Finding
from tests.full_store import (
    BEGIN,
    BY,
    END,
    SHARD,
    commit,
    drop_object,
    hostile_run,
    record_runs,
    write_facts,
    write_full_run,
)
from tests.support import Git, python

ALL = (refs.RUNS, refs.FACTS, refs.METRICS, refs.FILES)


@pytest.fixture
def runs(repo: Git) -> list[str]:
    """Three runs of this clone's shard and a full one of another's, with a fresh index."""
    found = [*record_runs(repo), write_full_run(repo)]
    assert Memory(Repository.discover()).count() == 4
    return found


def findings(*, notes: bool = False) -> list[Finding]:
    found = verify(Repository.discover()).findings
    return found if notes else [each for each in found if each.severity != "note"]


def found(check: str, severity: str) -> Finding:
    """Return the one finding of a check, which must be there."""
    chosen = [each for each in findings(notes=True) if each.check == check]
    assert [each.severity for each in chosen] == [severity], chosen
    assert chosen[0].message.endswith(".")
    assert severity == "note" or chosen[0].remedy.endswith(".")
    return chosen[0]


def own() -> str:
    return shard_name(Repository.discover())


def tree_digest(folder: Path) -> str:
    """Return a digest of every file below a folder: name, mode, time of change and content."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        state = path.lstat()
        digest.update(f"{path} {state.st_mode} {state.st_mtime_ns}\n".encode())
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def rewrite(git: Git, ref: str, files: dict[str, bytes | None], message: str = "by hand") -> str:
    """Commit an edit of a ref's tree by plain git."""
    index = str(git.path / ".git" / "edited")
    git("read-tree", ref, GIT_INDEX_FILE=index)
    for path, content in files.items():
        if content is None:
            git("rm", "-q", "--cached", "--", path, GIT_INDEX_FILE=index)
        else:
            oid = git.raw("hash-object", "-w", "--stdin", stdin=content).decode().strip()
            entry = f"100644,{oid},{path}"
            git("update-index", "--add", "--cacheinfo", entry, GIT_INDEX_FILE=index)
    tree = git("write-tree", GIT_INDEX_FILE=index)
    made = git("commit-tree", tree, "-p", ref, "-m", message)
    git("update-ref", ref, made)
    Path(index).unlink()
    return made


def flip(path: Path, at: int) -> None:
    path.chmod(0o644)
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def loose(git: Git, oid: str) -> Path:
    return git.path / ".git" / "objects" / oid[:2] / oid[2:]


# Whole


def test_a_full_store_is_whole_before_and_after_gc(repo: Git, runs: list[str]) -> None:
    report = verify(Repository.discover())
    assert report.findings == []
    assert report.whole
    assert report.checked["runs"] == 4
    repo("gc", "--quiet", "--prune=now")
    assert verify(Repository.discover()).findings == []


def test_a_repository_without_runs_is_whole(repo: Git) -> None:
    assert findings(notes=True) == []


def test_nothing_is_changed(repo: Git, runs: list[str]) -> None:
    drop_object(repo, repo("rev-parse", f"refs/notes/exprag/{SHARD}^{{tree}}"))
    before = tree_digest(repo.path), repo("for-each-ref", "--format=%(objectname) %(refname)")
    assert findings()
    after = tree_digest(repo.path), repo("for-each-ref", "--format=%(objectname) %(refname)")
    assert before == after


def test_progress_goes_from_the_first_step_to_the_last(repo: Git, runs: list[str]) -> None:
    told: list[tuple[int, int]] = []
    verify(Repository.discover(), lambda done, total: told.append((done, total)))
    assert [done for done, _ in told] == list(range(told[-1][1] + 1))


def test_a_linked_worktree_is_looked_at_as_a_whole(repo: Git, runs: list[str]) -> None:
    repo("worktree", "add", "--quiet", "--detach", "../beside", "main")
    report = verify(Repository.discover(repo.path.parent / "beside"))
    assert (report.findings, report.checked["runs"]) == ([], 4)


def test_a_shallow_clone_is_whole(repo: Git, runs: list[str]) -> None:
    repo("clone", "--quiet", "--bare", "--depth=1", f"file://{repo.path}", "../shallow.git")
    shallow = Git(repo.path.parent / "shallow.git")
    shallow("fetch", "--quiet", "--depth=1", "origin", *(f"{r}*:{r}*" for r in ALL))
    assert [each.check for each in verify(Repository.discover(shallow.path)).findings] == []


def test_a_store_that_is_written_to_meanwhile_is_whole(repo: Git, runs: list[str]) -> None:
    program = (
        "from gitexp import Experiment\n"
        "for i in range(40):\n"
        "    with Experiment('busy') as e:\n"
        "        e.track({'loss': 1.0 / (i + 1)})\n"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as writer:
        while writer.poll() is None:
            assert findings(notes=True) == []
    assert writer.returncode == 0
    assert verify(Repository.discover()).checked["runs"] == 44


# Refs


def test_refs_of_unknown_kinds_are_noted(repo: Git, runs: list[str]) -> None:
    repo("update-ref", "refs/exprag/dreams/one", "HEAD")
    repo("update-ref", "refs/notes/exprag-dreams/one", "HEAD")
    chosen = findings(notes=True)
    assert [(each.check, each.severity) for each in chosen] == [("ref", "note")] * 2
    assert {each.ref for each in chosen} == {
        "refs/exprag/dreams/one",
        "refs/notes/exprag-dreams/one",
    }


def test_a_bad_name_of_a_shard_is_found(repo: Git, runs: list[str]) -> None:
    repo("update-ref", f"{refs.FACTS}NOT OURS".replace(" ", "-"), f"{refs.FACTS}{SHARD}")
    assert found("ref", "damaged").ref == f"{refs.FACTS}NOT-OURS"


def test_a_handle_that_was_moved_is_found(repo: Git, runs: list[str]) -> None:
    repo("update-ref", refs.run_ref(runs[0]), "HEAD")
    finding = found("handle", "repairable")
    assert (finding.run, finding.repairable) == (runs[0], True)
    assert "git exp verify --repair" in finding.remedy


def test_an_empty_ref_file_is_found(repo: Git, runs: list[str]) -> None:
    path = repo.path / ".git" / refs.run_ref(runs[0])
    path.write_bytes(b"")
    assert found("ref", "lost").run == runs[0]


def test_an_old_lock_is_found_and_a_new_one_is_not(repo: Git, runs: list[str]) -> None:
    lock = repo.path / ".git" / f"{refs.FACTS}{SHARD}.lock"
    lock.write_bytes(b"")
    assert findings(notes=True) == []
    os.utime(lock, (time.time() - 600, time.time() - 600))
    assert found("lock", "repairable").path == str(lock)


# Objects


@pytest.mark.parametrize("kind", ["missing", "cut off", "flipped"])
@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("{facts}", refs.FACTS),
        ("{facts}^{{tree}}", refs.FACTS),
        ("{facts}:{note}", refs.FACTS),
        ("{metrics}:{note}", refs.METRICS),
        ("{files}:environments", refs.FILES),
        ("{run}", refs.RUNS),
        ("{run}:train.py", refs.RUNS),
    ],
)
def test_a_damaged_object_is_found(
    repo: Git, runs: list[str], kind: str, name: str, prefix: str
) -> None:
    names = {
        "facts": f"{refs.FACTS}{own()}",
        "metrics": f"{refs.METRICS}{own()}",
        "files": f"{refs.FILES}{own()}",
        "note": note_path(runs[1]),
        "run": runs[1],
    }
    oid = repo("rev-parse", name.format(**names))
    path = loose(repo, oid)
    if kind == "missing":
        drop_object(repo, oid)
    elif kind == "cut off":
        path.chmod(0o644)
        os.truncate(path, path.stat().st_size // 2)
    else:
        flip(path, path.stat().st_size // 2)
    chosen = [each for each in findings() if each.check == "object" and oid in each.message]
    assert len(chosen) == 1
    assert (chosen[0].severity, chosen[0].repairable) == ("lost", True)
    assert chosen[0].ref.startswith(prefix)
    assert "git remote add" in chosen[0].remedy


def test_an_object_whose_content_is_another_is_found(repo: Git, runs: list[str]) -> None:
    """`git cat-file` hands it out; only its hash tells."""
    oid = repo("rev-parse", f"{refs.FACTS}{own()}:{note_path(runs[0])}")
    other = repo("rev-parse", f"{refs.FACTS}{own()}:{note_path(runs[1])}")
    loose(repo, oid).chmod(0o644)
    loose(repo, oid).write_bytes(loose(repo, other).read_bytes())
    assert {"object", "note"} <= {each.check for each in findings()}


def test_a_damaged_pack_is_found(repo: Git, runs: list[str]) -> None:
    repo("gc", "--quiet", "--prune=now")
    (pack,) = (repo.path / ".git" / "objects" / "pack").glob("*.pack")
    flip(pack, pack.stat().st_size // 2)
    assert findings()
    pack.chmod(0o644)
    os.truncate(pack, 100)
    assert any(each.severity == "lost" for each in findings())


def test_damage_that_is_the_users_own_is_a_note(repo: Git, runs: list[str]) -> None:
    repo("checkout", "--quiet", "--orphan", "elsewhere")
    repo.write("own.txt", "own\n")
    repo("add", "own.txt")
    repo("commit", "--quiet", "-m", "own")
    drop_object(repo, repo("rev-parse", "HEAD:own.txt"))
    assert findings() == []
    assert {(each.check, each.severity) for each in findings(notes=True)} == {("other", "note")}


def test_a_damaged_commit_graph_is_found_and_hinders_no_check(repo: Git, runs: list[str]) -> None:
    repo("commit-graph", "write", "--reachable")
    flip(repo.path / ".git" / "objects" / "info" / "commit-graph", 300)
    assert found("derived", "repairable").path.endswith("commit-graph")


# Trees


def test_paths_that_are_no_runs_are_noted(repo: Git, runs: list[str]) -> None:
    rewrite(repo, f"{refs.FACTS}{SHARD}", {"read me": b"hello\n"})
    rewrite(repo, f"{refs.FILES}{SHARD}", {"read me": b"hello\n"})
    assert [(each.check, each.path) for each in findings(notes=True)] == [("path", "read me")] * 2


def test_notes_in_two_places_are_found(repo: Git, runs: list[str]) -> None:
    line = b'{"kind":"remark","schema":1,"time":"2026-01-31T12:00:00.000000Z","by":"x <y>"}\n'
    rewrite(repo, f"{refs.FACTS}{SHARD}", {runs[3]: line})
    assert found("places", "repairable").run == runs[3]


def test_fan_out_that_git_rebalanced_is_no_finding(repo: Git, runs: list[str]) -> None:
    ref = f"{refs.FACTS}{own()}"
    moved: dict[str, bytes | None] = dict.fromkeys(note_path(run) for run in runs[:3])
    for run in runs[:3]:
        moved[run] = repo.raw("cat-file", "blob", f"{ref}:{note_path(run)}")
    rewrite(repo, ref, moved)
    assert findings(notes=True) == []


def test_a_shard_that_is_no_commit_is_found(repo: Git, runs: list[str]) -> None:
    repo("update-ref", f"{refs.METRICS}{SHARD}", f"{refs.METRICS}{SHARD}^{{tree}}")
    assert found("shard", "damaged").ref == f"{refs.METRICS}{SHARD}"


def test_a_tree_that_is_endless_in_effect_is_cut_short(
    repo: Git, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "_MAX_ENTRIES", 10_000)
    entry = "040000 tree {}\t{:02x}\n"
    tree = repo("rev-parse", "HEAD^{tree}")
    for _ in range(8):
        listed = "".join(entry.format(tree, number) for number in range(256))
        tree = repo.raw("mktree", stdin=listed.encode()).decode().strip()
    bomb = repo("commit-tree", tree, "-m", "exprag: 1 run")
    repo("update-ref", f"{refs.METRICS}bomb", bomb)
    finding = found("shard", "damaged")
    assert (finding.ref, finding.repairable) == (f"{refs.METRICS}bomb", False)
    assert "too many files" in finding.message


def test_a_code_chain_with_files_is_found(repo: Git, runs: list[str]) -> None:
    repo("update-ref", f"{refs.CODE}one", "HEAD")
    assert found("code", "damaged").ref == f"{refs.CODE}one"


# Lines


def test_bad_lines_are_found_at_their_place(repo: Git, runs: list[str]) -> None:
    write_facts(runs[3], b"not json")
    finding = found("line", "damaged")
    assert (finding.ref, finding.run) == (f"{refs.FACTS}{SHARD}", runs[3])
    assert finding.line == 5
    assert finding.path == note_path(runs[3])


def test_lines_of_a_newer_gitexp_are_a_note(repo: Git, runs: list[str]) -> None:
    write_facts(runs[3], b'{"kind":"dream","schema":1}', b'{"kind":"run","schema":9,"x":1}')
    assert [each.check for each in findings(notes=True)] == ["newer", "newer"]


def test_a_changed_metric_log_is_found_by_its_digest(repo: Git, runs: list[str]) -> None:
    ref = f"{refs.METRICS}{own()}"
    note = repo.raw("cat-file", "blob", f"{ref}:{note_path(runs[0])}")
    rewrite(repo, ref, {note_path(runs[0]): note.replace(b"0.5", b"0.6")})
    finding = next(each for each in findings() if each.check == "digest")
    assert (finding.severity, finding.run) == ("damaged", runs[0])


def test_a_metric_log_that_is_gone_is_found(repo: Git, runs: list[str]) -> None:
    repo("update-ref", "-d", f"{refs.METRICS}{own()}")
    assert [(each.check, each.severity) for each in findings()] == [("log", "lost")] * 3


def test_bad_metric_lines_are_found(repo: Git, runs: list[str]) -> None:
    write_batch(Repository.discover(), SHARD, Batch(metrics={runs[3]: [b'{"kind":"series"}']}))
    assert found("line", "damaged").ref == f"{refs.METRICS}{SHARD}"


def test_summaries_that_the_log_does_not_bear_out_are_found(repo: Git, runs: list[str]) -> None:
    run = commit(repo, "summed")
    repo("update-ref", refs.run_ref(run), run)
    metrics = Memory(Repository.discover()).get(runs[3]).metrics
    lines = repo.raw("cat-file", "blob", f"{refs.METRICS}{SHARD}:{note_path(runs[3])}")
    write_batch(Repository.discover(), SHARD, Batch(metrics={run: [lines.rstrip(b"\n")]}))
    wrong = metrics | {"loss": metrics["speed"]}
    end = EndFact(time=END, by=BY, status="finished", duration=1, calls=4, metrics=wrong)
    write_facts(run, RunFact(time=BEGIN, by=BY, name="summed"), end)
    messages = [each.message for each in findings() if each.check == "summary"]
    assert len(messages) == 2
    assert "4 times" in messages[0] + messages[1]


def test_a_wrong_environment_record_is_found(repo: Git, runs: list[str]) -> None:
    ref = f"{refs.FILES}{SHARD}"
    (path,) = repo("ls-tree", "--name-only", ref, "environments/").splitlines()
    rewrite(repo, ref, {path: b"{}\n"})
    assert {each.check for each in findings()} == {"environment", "history"}


def test_a_missing_environment_record_is_found(repo: Git, runs: list[str]) -> None:
    repo("update-ref", "-d", f"{refs.FILES}{SHARD}")
    assert found("environment", "lost").run == runs[3]


def test_a_snapshot_that_is_not_here_is_found(repo: Git, runs: list[str]) -> None:
    write_facts("1" * 40, RunFact(time=BEGIN, by=BY, name="elsewhere"))
    finding = found("snapshot", "lost")
    assert finding.run == "1" * 40
    assert "git exp pull" in finding.remedy


def test_facts_about_a_tree_are_found(repo: Git, runs: list[str]) -> None:
    tree = repo("rev-parse", "HEAD^{tree}")
    write_facts(tree, RunFact(time=BEGIN, by=BY, name="a tree"))
    assert found("snapshot", "damaged").run == tree


def test_a_run_that_nothing_keeps_alive_is_found(repo: Git, runs: list[str]) -> None:
    run = hostile_run(repo)
    chosen = findings()
    assert {each.check for each in chosen} == {"handle"}
    assert run in {each.run for each in chosen}


def test_a_run_in_a_code_chain_needs_no_handle(repo: Git, runs: list[str]) -> None:
    empty = repo.raw("mktree", stdin=b"").decode().strip()
    chain = repo("commit-tree", empty, "-p", runs[0], "-m", "exprag code: 1 run")
    repo("update-ref", f"{refs.CODE}{own()}", chain)
    repo("update-ref", "-d", refs.run_ref(runs[0]))
    assert findings(notes=True) == []


def test_a_handle_without_facts_is_found(repo: Git, runs: list[str]) -> None:
    run = commit(repo, "silent")
    repo("update-ref", refs.run_ref(run), run)
    assert found("facts", "lost").run == run


def test_a_withdrawn_run_with_a_handle_is_a_note(repo: Git, runs: list[str]) -> None:
    write_facts(runs[3], TombstoneFact(time=END, by=BY, reason="wrong data"))
    assert found("handle", "note").run == runs[3]


def test_ends_that_disagree_are_a_note(repo: Git, runs: list[str]) -> None:
    write_facts(runs[0], EndFact(time=END, by=BY, status="crashed", duration=1))
    assert found("duplicate", "note").run == runs[0]


# History


def test_a_line_that_history_lost_is_found(repo: Git, runs: list[str]) -> None:
    write_facts(runs[3], RemarkFact(time=END, by=BY, comment="precious"))
    ref, path = f"{refs.FACTS}{SHARD}", note_path(runs[3])
    note = repo.raw("cat-file", "blob", f"{ref}:{path}")
    kept = b"".join(line for line in note.splitlines(keepends=True) if b"precious" not in line)
    made = rewrite(repo, ref, {path: kept})
    finding = found("history", "repairable")
    assert (finding.run, finding.ref) == (runs[3], ref)
    assert made[:12] in finding.message


def test_a_note_and_a_file_that_history_lost_are_found(repo: Git, runs: list[str]) -> None:
    rewrite(repo, f"{refs.FACTS}{SHARD}", {note_path(runs[3]): None})
    rewrite(repo, f"{refs.FILES}{SHARD}", {f"{note_path(runs[3])}/run.log": None})
    chosen = [each for each in findings() if each.check == "history"]
    assert [each.severity for each in chosen] == ["repairable"] * 2


def test_a_merge_that_drops_a_side_is_found(repo: Git, runs: list[str]) -> None:
    ref = f"{refs.FACTS}{SHARD}"
    base = repo("rev-parse", ref)
    write_facts(runs[3], RemarkFact(time=END, by=BY, comment="of one side"))
    merge = repo("commit-tree", f"{base}^{{tree}}", "-p", base, "-p", ref, "-m", "exprag: union")
    repo("update-ref", ref, merge)
    assert found("history", "repairable").run == runs[3]


def test_lines_that_collection_dropped_are_not_lost(repo: Git, runs: list[str]) -> None:
    stone = (
        b'{"kind":"tombstone","schema":1,"time":"2026-01-31T12:00:00.000000Z",'
        b'"by":"x <y>","collected":true}\n'
    )
    where = note_path(runs[3])
    rewrite(repo, f"{refs.FACTS}{SHARD}", {where: stone})
    rewrite(repo, f"{refs.METRICS}{SHARD}", {where: stone})
    rewrite(repo, f"{refs.FILES}{SHARD}", {f"{where}/run.log": None, f"removed/{where}": stone})
    repo("update-ref", "-d", refs.run_ref(runs[3]))
    assert findings(notes=True) == []


def test_a_collection_that_died_after_the_metrics_lost_nothing(repo: Git, runs: list[str]) -> None:
    withdraw(Repository.discover(), [runs[3]])
    stone = encode_fact(TombstoneFact(time="2026-01-31T12:00:00.000000Z", by="x", collected=True))
    rewrite(repo, f"{refs.METRICS}{SHARD}", {note_path(runs[3]): stone + b"\n"})
    assert [found for found in findings(notes=True) if found.severity != "note"] == []


# The index


def test_a_changed_number_in_the_index_is_found(repo: Git, runs: list[str]) -> None:
    path = Repository.discover().home / NAME
    changes = (
        "UPDATE metric SET last = last + 1 WHERE run = 1",
        "UPDATE run SET host = 'elsewhere' WHERE number = 2",
        "UPDATE field SET value = 7.5",
        "DELETE FROM tag",
        "DELETE FROM doc WHERE run = 1",
        "UPDATE note SET oid = zeroblob(20)",
    )
    whole = path.read_bytes()
    for change in changes:
        path.write_bytes(whole)
        with sqlite3.connect(path, isolation_level=None) as db:
            db.execute(change)
        db.close()
        assert found("index", "repairable").path == str(path), change


def test_flipped_bytes_in_the_index_are_found_where_they_matter(repo: Git, runs: list[str]) -> None:
    path = Repository.discover().home / NAME
    whole = path.read_bytes()
    name = whole.index(b"run 1")
    flip(path, name)
    assert found("index", "repairable")
    path.write_bytes(whole[:5000])
    assert found("index", "repairable")
    path.write_bytes(b"no index at all")
    assert found("index", "repairable")


def test_an_index_that_is_behind_is_no_finding(repo: Git, runs: list[str]) -> None:
    record_runs(repo)
    assert findings(notes=True) == []


# Journals


def test_a_journal_of_a_dead_process_is_found(repo: Git, runs: list[str]) -> None:
    python(
        "import os; from gitexp import Experiment\n"
        "e = Experiment('dead'); e.track({'loss': 1.0}); os._exit(0)"
    )
    finding = found("journal", "repairable")
    assert "git exp recover" in finding.remedy


def test_a_journal_that_was_set_aside_is_a_note(repo: Git, runs: list[str]) -> None:
    folder = Repository.discover().home / "damaged"
    folder.mkdir()
    (folder / runs[0]).write_bytes(b"????")
    assert found("journal", "note").run == runs[0]
