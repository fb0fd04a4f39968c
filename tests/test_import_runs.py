"""Making runs of what a ledger says: what is written, in which order, and that twice is once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gitexp.configuration import setup_digest
from gitexp.errors import ValueRejectedError
from gitexp.git import refs
from gitexp.git.history import EMPTY_TREE
from gitexp.git.imported import find_code
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.interchange.importing import (
    ImportedRun,
    Tracked,
    external_ids,
    import_runs,
    row_content,
    start_times,
)
from gitexp.memory import Memory
from gitexp.records.facts import Failure
from gitexp.removal import withdraw
from gitexp.verify.check import verify
from tests.ledgers import HEADER, MTIME_NS, ROWS, import_file, runs, write
from tests.pair import Pair, repository_of, send
from tests.pair import take as pull
from tests.support import Git, python


def made(*found: ImportedRun, **options: Any) -> list[str]:
    """Import runs under the format ``table``; return the ids of the new ones."""
    options = {"source": "table", "written_ns": MTIME_NS, **options}
    return list(import_runs(Repository.discover(), found, **options).new)


def row(name: str, **fields: Any) -> ImportedRun:
    return ImportedRun(name=name, content=name.encode(), **fields)


def test_all_that_a_row_says_is_in_the_run(repo: Git) -> None:
    [run_id] = made(
        ImportedRun(
            name="wider",
            content=b"row",
            description="a wider model",
            hypothesis="width helps",
            family="architecture",
            tags=("a", "b", "a"),
            parameters={"width": 512, "optimizer": {"lr": 0.1}},
            metadata={"agent": "x"},
            metrics={"loss": 0.5, "acc": float("nan")},
            started_ns=1_700_000_000 * 10**9,
            duration=90.0,
            status="crashed",
            verdict="crash",
            error=Failure("ValueError", "no"),
            exit_code=1,
            seed=7,
            command=("python", "train.py"),
            host="box",
            comment="sad",
            files={"run.log": b"lines\n"},
        )
    )
    run = Memory.open().get(run_id)
    assert (run.name, run.description, run.hypothesis) == ("wider", "a wider model", "width helps")
    assert (run.family, run.tags, run.seed, run.exit_code) == ("architecture", ("a", "b"), 7, 1)
    assert run.parameters == {"width": 512, "optimizer": {"lr": 0.1}}
    assert run.metadata == {"agent": "x"}
    assert run.value("loss") == 0.5
    assert run.metrics["acc"].last == "NaN"
    assert (run.status, run.verdict, run.error) == ("crashed", "crash", Failure("ValueError", "no"))
    assert run.started == datetime.fromtimestamp(1_700_000_000, UTC)
    assert run.duration == 90.0
    assert run.ended is not None
    assert (run.ended - run.started).total_seconds() == 90.0
    assert (run.command, run.host) == (("python", "train.py"), "box")
    assert [comment.text for comment in run.comments] == ["sad"]
    assert Memory.open().read_file(run, "run.log") == b"lines\n"


def test_a_commit_that_is_here_gives_the_code(repo: Git) -> None:
    head, first = repo("rev-parse", "HEAD"), repo("rev-parse", "HEAD~1")
    [run_id] = made(row("new", commit=head[:8]))
    run = Memory.open().get(run_id)
    assert run.git is not None
    assert (run.git.head, run.git.branch, run.git.dirty) == (head, None, False)
    assert repo("rev-parse", f"{run_id}^{{tree}}", f"{run_id}^") == "\n".join(
        [repo("rev-parse", "HEAD^{tree}"), head]
    )
    assert repo("diff", "--name-only", first, run_id).split() == [".gitignore", "pkg/data.py"]
    assert "commit" not in (run.metadata or {})


def test_a_commit_that_is_not_here_is_text(repo: Git) -> None:
    [run_id] = made(row("lost", commit="deadbeef"))
    run = Memory.open().get(run_id)
    assert run.git is None
    assert run.metadata == {"commit": "deadbeef"}
    assert repo("rev-parse", f"{run_id}^{{tree}}") == EMPTY_TREE
    assert repo("log", "--format=%P", "-1", run_id) == ""


def test_of_runs_on_one_commit_only_those_of_the_same_words_are_replicates(repo: Git) -> None:
    head = repo("rev-parse", "HEAD")
    names = ["baseline", "wider", "baseline again", "faster"]
    words = ["baseline", "wider", "baseline", "baseline"]
    rows = [row(n, description=d, commit=head[:7]) for n, d in zip(names, words, strict=True)]
    rows[3] = row("faster", description="baseline", commit=head, parameters={"lr": 1})
    done = import_runs(Repository.discover(), rows, source="table", written_ns=MTIME_NS)
    assert (done.with_code, done.changed) == (4, 1)
    first, wider, again, faster = runs()
    assert wider.git is None
    assert (wider.metadata, wider.parent) == ({"commit": head}, first.id)
    assert repo("rev-parse", f"{wider.id}^") == head
    for run in (first, again, faster):
        assert run.git is not None
        assert run.git.head == head
    setups = [setup_digest(run) for run in (first, wider, again, faster)]
    assert setups[0] == setups[2]
    assert len(set(setups)) == 3


def test_only_an_unambiguous_commit_is_a_commit(repo: Git) -> None:
    head, tree = repo("rev-parse", "HEAD", "HEAD^{tree}").split()
    blob = repo("rev-parse", "HEAD:train.py")
    snapshot = made(row("a snapshot"))[0]
    prefix, twins = _ambiguous_prefix(repo)
    names = [head, head[:4], head.upper()[:9], blob, tree[:12], head[:3], snapshot[:12], prefix]
    names += ["HEAD", "main", "", "--all", head + "0", snapshot, twins[0]]
    found = find_code(Repository.discover(), names)
    assert {name: code.commit for name, code in found.items()} == {
        head: head,
        head[:4]: head,
        head.upper()[:9]: head,
        snapshot: snapshot,
        twins[0]: twins[0],
    }


def _ambiguous_prefix(repo: Git) -> tuple[str, list[str]]:
    """Make two commits whose ids begin with the same four digits; return those and the ids."""
    tree, seen = repo("rev-parse", "HEAD^{tree}"), dict[str, str]()
    who = "A <a@example.org> {} +0000"
    for n in range(10_000):
        text = f"tree {tree}\nauthor {who.format(n)}\ncommitter {who.format(n)}\n\nx\n"
        oid = _object_id(text.encode())
        if oid[:4] in seen:
            other = text.replace(f"> {n} ", f"> {seen[oid[:4]]} ")
            ids = [
                repo.raw("hash-object", "-w", "-t", "commit", "--stdin", stdin=t.encode())
                for t in (text, other)
            ]
            return oid[:4], [found.decode().strip() for found in ids]
        seen[oid[:4]] = str(n)
    raise AssertionError("no two commits begin alike")


def _object_id(content: bytes) -> str:
    from gitexp.git.objects import object_id

    return object_id("commit", content)


def test_twice_adds_nothing_and_a_grown_ledger_its_new_rows(repo: Git, tmp_path: Path) -> None:
    ledger = write(tmp_path / "results.tsv", [HEADER, *ROWS[:2]])
    first = import_file(ledger)
    before = list_refs(Repository.discover(), "refs/")
    again = import_file(ledger)
    assert (len(first.new), again.new, again.there) == (2, (), first.new)
    assert list_refs(Repository.discover(), "refs/") == before
    grown = write(tmp_path / "elsewhere.tsv", [HEADER, ROWS[3], *ROWS])
    third = import_file(grown)
    assert len(third.new) == 3
    assert set(third.there) == set(first.new)
    assert Memory.open().count() == 5


def test_equal_rows_are_runs_of_their_own(repo: Git, tmp_path: Path) -> None:
    ledger = write(tmp_path / "results.tsv", [HEADER, ROWS[0], ROWS[0], ROWS[0]])
    assert len(set(import_file(ledger).new)) == 3
    assert import_file(ledger).new == ()
    more = write(tmp_path / "results.tsv", [HEADER, *[ROWS[0]] * 4])
    assert len(import_file(more).new) == 1


def test_an_external_id_follows_from_the_row_alone() -> None:
    one = ImportedRun(name="x", content=row_content({"a": "1", "b": "2"}))
    wider = ImportedRun(name="y", content=row_content({"b": "2", "new": "", "a": "1"}))
    other = ImportedRun(name="x", content=row_content({"a": "12", "b": ""}))
    named = ImportedRun(name="x", content=b"?", external_id="r7")
    ids = external_ids("table", [one, other, wider, named, named])
    assert ids[0] == external_ids("table", [wider])[0]
    assert len(set(ids)) == 5
    assert ids[3:] == ["table:r7", "table:r7#2"]
    assert ids[0].startswith("table:")
    assert external_ids("jsonl", [one])[0].removeprefix("jsonl:") == ids[0].removeprefix("table:")


def test_clones_that_import_the_same_make_the_same_runs(pair: Pair, tmp_path: Path) -> None:
    head = pair.ada("rev-parse", "--short", "main")
    rows = [
        ImportedRun(name="one", content=b"1", commit=head, metrics={"loss": 1.0}),
        ImportedRun(name="two", content=b"2", started_ns=10**18, commit="gone", verdict="keep"),
        ImportedRun(name="three", content=b"3", parent=head),
    ]
    pair.bob("config", "user.name", "Bob")
    pair.bob("fetch", "--quiet")
    ids = [
        import_runs(repository_of(clone), rows, source="table", written_ns=MTIME_NS).new
        for clone in (pair.ada, pair.bob)
    ]
    assert ids[0] == ids[1]
    send(pair.ada)
    pull(pair.bob)
    memory = Memory(repository_of(pair.bob))
    assert memory.count() == 3
    assert len({memory.get(run_id).to_json() for run_id in ids[0]}) == 3


def test_a_dry_run_writes_nothing(repo: Git) -> None:
    before = list_refs(Repository.discover(), "refs/")
    done = import_runs(
        Repository.discover(),
        [row("a"), row("b", commit=repo("rev-parse", "HEAD"))],
        source="table",
        written_ns=MTIME_NS,
        dry_run=True,
    )
    assert (done.new, done.missing, done.with_code) == ((), 2, 1)
    assert list_refs(Repository.discover(), "refs/") == before
    assert Memory.open().count() == 0


def test_what_was_removed_stays_removed(repo: Git) -> None:
    [first, _] = made(row("a"), row("b"))
    withdraw(Repository.discover(), [first])
    done = import_runs(
        Repository.discover(), [row("a"), row("b"), row("c")], source="table", written_ns=MTIME_NS
    )
    assert (len(done.new), done.withdrawn, len(done.there)) == (1, (first,), 1)
    assert {run.name for run in runs()} == {"b", "c"}
    assert refs.run_ref(first) not in list_refs(Repository.discover(), refs.RUNS)


def test_an_import_that_was_killed_is_completed_by_the_next(repo: Git, tmp_path: Path) -> None:
    ledger = write(tmp_path / "results.tsv", [HEADER, *ROWS])
    for place in ("write_batch", "update_refs"):
        killed_at(place, ledger)
    killed_at("_add_lines", ledger, module="gitexp.store.batch", passing=1)
    assert Memory.open().count() == 0
    assert len(import_file(ledger).new) == 4
    assert Memory.open().count() == 4
    assert len(list_refs(Repository.discover(), refs.RUNS)) == 4
    assert not list(verify(Repository.discover()).findings)


def killed_at(
    name: str, ledger: Path, *, module: str = "gitexp.interchange.importing", passing: int = 0
) -> None:
    """Import in a process that is killed when it comes to a function, after so many calls."""
    program = f"""
import importlib, os, signal
from pathlib import Path
from tests.ledgers import import_file
module = importlib.import_module({module!r})
real, left = getattr(module, {name!r}), [{passing}]
def die(*words, **options):
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(*words, **options)
setattr(module, {name!r}, die)
import_file(Path({str(ledger)!r}))
print("lived")
"""
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, env=environment
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_times_that_nothing_tells_keep_the_rows_in_order(repo: Git) -> None:
    names = [f"r{i}" for i in range(40)]
    made(*(row(name) for name in names))
    found = runs()
    assert [run.name for run in found] == names
    assert found[-1].started < datetime.fromtimestamp(MTIME_NS / 1e9, UTC)


def test_a_clock_that_jumps_is_kept_as_it_is() -> None:
    second = 10**9
    given = [50, 10, 90, 20]
    rows = [row(str(t), started_ns=t * second) for t in given]
    assert start_times(rows, {}, MTIME_NS) == [t * second for t in given]


def test_rows_of_one_moment_keep_their_order() -> None:
    rows = [row("z", started_ns=5000), row("a", started_ns=5000), row("b", started_ns=5000)]
    assert start_times(rows, {}, MTIME_NS) == [5000, 6000, 7000]


def test_rows_without_a_time_stand_between_their_neighbours() -> None:
    second = 10**9
    rows = [row("a"), row("b"), row("c", started_ns=second), row("d"), row("e", started_ns=5)]
    assert start_times(rows, {}, MTIME_NS) == [
        second - 2000,
        second - 1000,
        second,
        second + 1000,
        5,
    ]


def test_times_out_of_all_bounds_are_bounded() -> None:
    rows = [row("a", started_ns=-(10**30)), row("b", started_ns=10**30)]
    first, last = start_times(rows, {}, MTIME_NS)
    assert first == 0
    assert last == 253_402_300_799 * 10**9


def test_the_commit_tells_the_time_and_two_runs_on_it_keep_their_order(repo: Git) -> None:
    head, first = repo("rev-parse", "HEAD"), repo("rev-parse", "HEAD~1")
    seconds = int(repo("log", "-1", "--format=%ct", head))
    made(row("z", commit=head), row("a", commit=head), row("again", commit=first))
    found = runs()
    assert [run.name for run in found] == ["z", "a", "again"]
    assert found[0].started == datetime.fromtimestamp(seconds, UTC)


def test_parents_are_rows_before_rows_after_and_runs_that_are_here(repo: Git) -> None:
    [old] = made(row("old", keys=("k",)))
    new = made(
        row("old", keys=("k",)),
        row("late", parent="later"),
        row("child", parent="k", keys=("k",)),
        row("grandchild", parent="k"),
        row("later", keys=("later",)),
        row("orphan", parent="nobody"),
        row("by id", parent=old),
        row("itself", parent="self", keys=("self",)),
    )
    by_name = {run.name: run for run in runs()}
    assert len(new) == 7
    assert by_name["child"].parent == old
    assert by_name["grandchild"].parent == by_name["child"].id
    assert by_name["late"].parent == by_name["later"].id
    assert by_name["by id"].parent == old
    assert by_name["orphan"].parent is None
    assert by_name["orphan"].metadata == {"parent": "nobody"}
    assert by_name["itself"].parent is None


def test_a_snapshot_descends_from_the_head_it_was_made_on(repo: Git) -> None:
    head = repo("rev-parse", "HEAD")
    repo.write("train.py", "lr = 9\n")
    repo("commit", "-qam", "exprag: snapshot run x")
    made_of = repo("rev-parse", "HEAD")
    [run_id] = made(row("x", commit=made_of, is_snapshot=True))
    run = Memory.open().get(run_id)
    assert run.git is not None
    assert (run.git.head, run.git.dirty) == (head, True)
    assert repo("diff", "--name-only", head, run_id) == "train.py"


def test_a_snapshot_without_changes_is_not_dirty(repo: Git) -> None:
    made_of = repo("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "exprag: snapshot run x")
    [run_id] = made(row("x", commit=made_of, is_snapshot=True))
    state = Memory.open().get(run_id).git
    assert state is not None
    assert (state.head, state.dirty) == (repo("rev-parse", "HEAD"), False)
    assert "Exprag-Dirty: false" in repo("log", "-1", "--format=%B", run_id)


def test_series_are_kept_as_they_were_tracked(repo: Git) -> None:
    calls = [Tracked(10**18 + i * 10**9, {"loss": 1.0 / (i + 1), "step": i}) for i in range(3)]
    [run_id] = made(row("x", series=[*calls, Tracked(10**18, "text", "note")]))
    memory = Memory.open()
    run = memory.get(run_id)
    assert [point.value for point in run.history("loss")] == [1.0, 0.5, 1 / 3]
    assert memory.calls(run)[3].value == "text"
    assert memory.calls(run)[3].note == "note"


@pytest.mark.parametrize(
    "fields",
    [
        {"parameters": {"n": 1 << 70}},
        {"metadata": {"x": object()}},
        {"metrics": {"m": {"deep": object()}}},
    ],
)
def test_what_cannot_be_kept_is_refused_before_anything_is_written(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueRejectedError):
        row("x", **fields)


def test_ten_thousand_rows_are_imported_at_once(repo: Git) -> None:
    rows = [row(f"r{i}", metrics={"loss": i * 0.001}, verdict="keep") for i in range(10_000)]
    seen: list[tuple[int, int]] = []
    done = import_runs(
        Repository.discover(),
        rows,
        source="table",
        written_ns=MTIME_NS,
        progress=lambda at, of: seen.append((at, of)),
    )
    assert len(set(done.new)) == 10_000
    assert seen[-1] == (10_000, 10_000)
    assert Memory.open().count() == 10_000
    shard = next(iter(list_refs(Repository.discover(), refs.FACTS)))
    assert repo("rev-list", "--count", shard) == "1"


def test_two_that_import_the_same_at_once_make_each_run_once(repo: Git, tmp_path: Path) -> None:
    ledger = write(
        tmp_path / "results.tsv", [HEADER, *(f"c{i}\t{i}\t1\tkeep\tx" for i in range(500))]
    )
    program = (
        "from pathlib import Path; from tests.ledgers import import_file;"
        f"import_file(Path({str(ledger)!r}))"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    both = [subprocess.Popen([sys.executable, "-c", program], env=environment) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert Memory.open().count() == 500
    assert len(list_refs(Repository.discover(), refs.RUNS)) == 500


def test_importing_needs_no_work_tree(repo: Git, tmp_path: Path) -> None:
    repo("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    ledger = write(tmp_path / "results.tsv", [HEADER, *ROWS])
    out = python(
        "from pathlib import Path; from tests.ledgers import import_file;"
        f"print(len(import_file(Path({str(ledger)!r})).new))",
        cwd=tmp_path / "bare.git",
        PYTHONPATH=str(Path(__file__).parents[1]),
    )
    assert out == "4\n"
