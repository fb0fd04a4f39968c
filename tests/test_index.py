"""The index against a reader that walks refs, whatever happened to the shards in between.

The sentences in quotes are those of docs/index.md.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gitexp import Experiment
from gitexp.git.repository import Repository
from gitexp.index.database import NAME
from gitexp.memory import Memory
from gitexp.records.facts import EndFact, RemarkFact, RunFact, TombstoneFact
from gitexp.seal import recover
from tests.full_store import BEGIN, BY, END, commit, write_facts
from tests.index_model import (
    bare_repository,
    documents,
    drop_object,
    facts_ref,
    line,
    put_object,
    rebuilt,
    run_id,
    stored_tables,
    summary,
    tables,
    walk_problems,
    write,
    write_runs,
)
from tests.support import Git
from tests.walker import walk_runs

SHARDS = ("one", "two", "three")


@pytest.fixture
def bare(tmp_path: Path, identity: None) -> Path:
    """A bare repository without anything, to be copied."""
    place = tmp_path / "bare.git"
    place.mkdir()
    Git(place)("init", "--quiet", "--bare", "--initial-branch=main")
    shutil.rmtree(place / "hooks", ignore_errors=True)
    return place


@pytest.fixture
def store(bare: Path, tmp_path: Path) -> tuple[Repository, Git]:
    return bare_repository(bare, tmp_path / "store.git")


def assert_agree(repository: Repository) -> Memory:
    """The index as it is, one built anew and the walker say the same."""
    memory = Memory(repository)
    walked = [run.to_dict() for run in walk_runs(repository)]
    assert documents(memory) == walked
    problems, newer = walk_problems(repository)
    assert sorted(memory.problems) == sorted(problems)
    assert memory.unknown == newer
    anew = tables(rebuilt(repository))
    assert anew["damage"] == [("ok",)]
    assert sorted(walked, key=lambda document: str(document["run"])) == anew["doc"]
    if memory.index_path is not None:
        assert stored_tables(memory.index_path) == anew
    return memory


# Any sequence of changes

TEXTS = st.sampled_from(["base", "warm up", "läuft", "0.04 swiglu", "實驗"])
SECONDS = st.integers(0, 3)
NUMBERS = st.sampled_from([0, 1, -2.5, 1e300, "NaN", "Infinity", 10**30])
PARAMETERS = st.dictionaries(
    st.sampled_from(["lr", "opt", "a.b"]),
    st.one_of(NUMBERS, TEXTS, st.booleans(), st.none(), st.just({"b": [1]})),
    max_size=2,
)
TAGS = st.lists(TEXTS, max_size=2)
SUMMARY = st.builds(
    lambda last, low: summary(last=last) | ({"min": low, "max": 2.5} if low else {}),
    NUMBERS,
    st.sampled_from([None, -1.5]),
)
BEGINS = st.builds(
    lambda second, name, tags, parameters: line(
        "run", second, name=name, tags=tags, parameters=parameters
    ),
    SECONDS,
    TEXTS,
    TAGS,
    PARAMETERS,
)
ENDS = st.builds(
    lambda second, status, metrics: line(
        "end", second, status=status, duration=1.5, metrics=metrics
    ),
    SECONDS,
    st.sampled_from(["finished", "failed"]),
    st.dictionaries(st.sampled_from(["acc", "val.loss"]), SUMMARY, max_size=2),
)
REMARKS = st.builds(
    lambda second, add, remove, more: line(
        "remark", second, add_tags=add, remove_tags=remove, **more
    ),
    SECONDS,
    TAGS,
    TAGS,
    st.sampled_from(
        [
            {},
            {"comment": "looks good"},
            {"name": "better", "parameters": {"lr": 7, "opt": {"c": 1}}},
            {"verdict": "keep", "description": "said later"},
        ]
    ),
)


def decision_line(second: int, action: str) -> bytes:
    said: dict[str, Any] = {"rules": "1", "metric": "acc", "goal": "max", "summary": "s"}
    states: dict[str, Any] = {"priority": "low", "hypothesis_status": "mixed", "next_action": "n"}
    return line("decision", second, action=action, **said, **states)


OTHERS = st.sampled_from(
    [
        line("tombstone", 3, reason="a mistake"),
        decision_line(1, "replicate"),
        decision_line(2, "promote"),
        line("prophecy", 1, what=[1]),
        line("run", 1, schema_=9, name={"new": "shape"}),
        b'{"kind":"run"',
        b"\xff\xfe",
        b'{"kind":"end","schema":1,"time":7}',
    ]
)
LINES = st.lists(
    st.one_of(BEGINS, BEGINS, ENDS, REMARKS, OTHERS), min_size=1, max_size=4, unique=True
)
RUNS = st.integers(0, 5).map(run_id)
FACTS = st.dictionaries(RUNS, LINES, min_size=1, max_size=4)
WHICH = st.sampled_from(SHARDS)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), WHICH, FACTS),
        st.tuples(st.just("write"), WHICH, FACTS),
        st.tuples(st.just("place"), WHICH, RUNS, LINES, st.sampled_from([(), (2, 4), (6,)])),
        st.tuples(st.just("pull"), WHICH, WHICH),
        st.tuples(st.just("unite"), WHICH, WHICH),
        st.tuples(st.just("plain"), WHICH, RUNS, st.one_of(BEGINS, REMARKS)),
        st.tuples(st.just("forget"), WHICH, RUNS),
        st.tuples(st.just("remove"), WHICH),
        st.tuples(st.just("rewrite"), WHICH),
        st.tuples(st.just("ask")),
        st.tuples(st.just("ask")),
    ),
    min_size=3,
    max_size=12,
)


class Shards:
    """What happens to shards, with git's own commands where they do it too."""

    def __init__(self, repository: Repository, git: Git) -> None:
        self.repository, self.git = repository, git

    def there(self, *shards: str) -> bool:
        known = self.git("for-each-ref", "--format=%(refname)").split()
        return all(facts_ref(shard) in known for shard in shards)

    def write(self, shard: str, facts: dict[str, list[bytes]]) -> None:
        write(self.repository, facts, shard)

    def place(self, shard: str, run: str, lines: list[bytes], cuts: tuple[int, ...]) -> None:
        """Put a note at another fan-out, beside the one that may be at our own."""
        bounds = [0, *cuts, 40]
        path = "/".join(run[a:b] for a, b in itertools.pairwise(bounds))
        content = b"\r\n\r\n".join(lines)
        begin = f"commit {facts_ref(shard)}\ncommitter A <a@b> 0 +0000\ndata 0\n"
        if self.there(shard):
            begin += f"from {facts_ref(shard)}^0\n"
        stream = f"{begin}M 100644 inline {path}\ndata {len(content)}\n".encode() + content
        self.git.raw("fast-import", "--quiet", stdin=stream + b"\n")

    def pull(self, shard: str, other: str) -> None:
        """Let a shard appear, or move on, as another clone has it."""
        if self.there(other):
            self.git("update-ref", facts_ref(shard), facts_ref(other))

    def unite(self, shard: str, other: str) -> None:
        if self.there(shard, other):
            ref = f"--ref={facts_ref(shard)}"
            try:
                self.git("notes", ref, "merge", "--quiet", "-s", "cat_sort_uniq", facts_ref(other))
            except subprocess.CalledProcessError as error:
                # git 2.39 aborts where the other side has a note at two paths; nothing moves.
                assert error.returncode == -signal.SIGABRT  # noqa: PT017 - not what is tested

    def plain(self, shard: str, run: str, text: bytes) -> None:
        """Append to a note with plain git, which rebalances the tree as it likes."""
        self.git("notes", f"--ref={facts_ref(shard)}", "append", "-m", text.decode(), run)

    def forget(self, shard: str, run: str) -> None:
        if self.there(shard):
            self.git("notes", f"--ref={facts_ref(shard)}", "remove", "--ignore-missing", run)

    def remove(self, shard: str) -> None:
        self.git("update-ref", "-d", facts_ref(shard))

    def rewrite(self, shard: str) -> None:
        """Write a shard anew without its history, and prune the old one."""
        if self.there(shard):
            tip = self.git("commit-tree", f"{facts_ref(shard)}^{{tree}}", "-m", "anew")
            self.git("update-ref", facts_ref(shard), tip)
            self.git("gc", "--quiet", "--prune=now")
            self.repository.forget_objects()

    def ask(self) -> None:
        assert_agree(self.repository)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@example([("write", "two", {run_id(0): [b"\xff"]}), ("ask",), ("pull", "one", "two"), ("ask",)])
@example(
    [
        ("write", "two", {run_id(0): [line("run", name="x"), line("remark", 1, name="two")]}),
        ("ask",),
        ("write", "one", {run_id(0): [line("remark", 1, name="one")]}),
        ("ask",),
    ]
)
@example(
    [
        ("write", "one", {run_id(0): [line("run", name="x", tags=["a", "a"], seed=10**400)]}),
        ("ask",),
        ("forget", "one", run_id(0)),
    ]
)
@given(STEPS)
def test_an_index_kept_up_to_date_equals_one_built_anew_and_the_walker(
    bare: Path, tmp_path: Path, steps: list[tuple[Any, ...]]
) -> None:
    """Any sequence of changes.

    "An index that was kept up to date by any sequence of changes, one that is built anew, and a
    reader that walks all refs give the same answers"
    """
    shards = Shards(*bare_repository(bare, tmp_path / "store.git"))
    for name, *arguments in [*steps, ("ask",)]:
        getattr(shards, name)(*arguments)


def test_a_hundred_runs_through_gc_and_rebalancing(store: tuple[Repository, Git]) -> None:
    repository, git = store
    shards = Shards(repository, git)
    write_runs(repository, 300)
    assert_agree(repository)
    shards.plain("one", run_id(7), line("remark", 9, comment="rebalanced"))
    assert_agree(repository)
    shards.pull("two", "one")
    write_runs(repository, 40, "two", first=290)
    shards.rewrite("one")
    assert_agree(repository)
    shards.unite("one", "two")
    shards.remove("two")
    memory = assert_agree(repository)
    assert memory.count() == 330


# Freshness


@pytest.fixture
def synchronised(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often an index was brought up to date or built."""
    from gitexp.index import sync

    calls: list[int] = []
    real = sync.synchronise

    def count(*arguments: Any) -> None:
        calls.append(1)
        real(*arguments)

    monkeypatch.setattr(sync, "synchronise", count)
    return calls


def test_freshness_is_equal_tips_and_no_time(
    store: tuple[Repository, Git], synchronised: list[int]
) -> None:
    """ "No time, no count, no flag is looked at." """
    repository, git = store
    write_runs(repository, 3)
    memory = Memory(repository)
    assert memory.count() == 3
    for path in (memory.index_path, *git.path.rglob("*")):
        assert path is not None
        os.utime(path, (1, 1))
    git("pack-refs", "--all")
    git("gc", "--quiet")
    assert Memory(repository).count() == 3
    assert len(synchronised) == 1
    other = git("commit-tree", f"{facts_ref('one')}^{{tree}}", "-m", "the same notes")
    git("update-ref", facts_ref("one"), other)
    assert Memory(repository).count() == 3
    assert len(synchronised) == 2


def test_only_what_changed_is_read(
    store: tuple[Repository, Git], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "the cost follows the change" """
    from gitexp.index import sync

    repository, _ = store
    write_runs(repository, 200)
    Memory(repository).count()
    read: list[str] = []
    real = sync.read_blobs  # type: ignore[attr-defined]

    def watch(
        where: Repository, oids: list[str], max_bytes: int
    ) -> Iterator[tuple[str, bytes | None]]:
        read.extend(oids)
        return real(where, oids, max_bytes)

    monkeypatch.setattr(sync, "read_blobs", watch)
    write(repository, {run_id(5): [line("remark", comment="one")]})
    assert_agree(repository)
    assert len(read) == 1 + 200  # of those 200 by the index that was built to compare


def test_an_old_tip_that_is_gone_is_replaced_by_the_blobs_that_are_known(
    store: tuple[Repository, Git], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "comparing the new tree with the blobs that the index knows" """
    from gitexp.index import sync

    repository, git = store
    write_runs(repository, 50)
    Memory(repository).count()
    old = git("rev-parse", facts_ref("one"))
    Shards(repository, git).rewrite("one")
    write(repository, {run_id(5): [line("remark", comment="one")]})
    with pytest.raises(Exception, match="exit status 128"):
        git("cat-file", "commit", old)
    read: list[str] = []
    real = sync.read_blobs  # type: ignore[attr-defined]

    def watch(
        where: Repository, oids: list[str], max_bytes: int
    ) -> Iterator[tuple[str, bytes | None]]:
        read.extend(oids)
        return real(where, oids, max_bytes)

    monkeypatch.setattr(sync, "read_blobs", watch)
    assert Memory(repository).count() == 50
    assert len(read) == 1
    assert_agree(repository)


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_a_note_that_cannot_be_read_is_listed_and_read_again(
    store: tuple[Repository, Git], damage: str
) -> None:
    """ "What could not be read (a missing or corrupt object) is listed, and read again" """
    repository, git = store
    write_runs(repository, 5)
    oid = git("rev-parse", f"{facts_ref('one')}:{run_id(2)[:2]}/{run_id(2)[2:]}")
    content = drop_object(git, oid)
    if damage == "corrupt":
        put_object(git, oid, b"nonsense")
    for _ in range(2):
        memory = Memory(repository)
        assert [run.name for run in memory.runs()] == ["run 4", "run 3", "run 1", "run 0"]
        (problem,) = memory.problems
        assert (problem.ref, problem.run) == (facts_ref("one"), run_id(2))
    put_object(git, oid, content)
    assert assert_agree(repository).count() == 5


@pytest.mark.parametrize("damage", ["missing", "corrupt"])
@pytest.mark.parametrize("known", [False, True])
def test_a_tree_that_cannot_be_read_hides_no_other_shard_and_nothing_that_is_known(
    store: tuple[Repository, Git], damage: str, known: bool
) -> None:
    repository, git = store
    write_runs(repository, 5)
    write_runs(repository, 2, "two", first=10)
    if known:
        Memory(repository).count()
    write_runs(repository, 1, first=5)
    oid = git("rev-parse", f"{facts_ref('one')}:{run_id(5)[:2]}")
    content = drop_object(git, oid)
    if damage == "corrupt":
        put_object(git, oid, b"nonsense")
    for _ in range(2):
        memory = Memory(repository)
        assert memory.count() == (7 if known else 2)
        (problem,) = memory.problems
        assert (problem.ref, problem.run) == (facts_ref("one"), "")
    put_object(git, oid, content)
    assert assert_agree(repository).count() == 8


def test_a_shard_with_a_damaged_note_can_be_removed(store: tuple[Repository, Git]) -> None:
    repository, git = store
    write_runs(repository, 2)
    drop_object(git, git("rev-parse", f"{facts_ref('one')}:{run_id(1)[:2]}/{run_id(1)[2:]}"))
    assert len(Memory(repository).problems) == 1
    git("update-ref", "-d", facts_ref("one"))
    assert_agree(repository)


def test_a_ref_whose_name_is_no_utf_8_is_a_shard_like_others(
    store: tuple[Repository, Git],
) -> None:
    repository, git = store
    write(repository, {run_id(0): [line("run", name="x"), b"broken"]})
    git.raw("update-ref", os.fsdecode(b"refs/notes/exprag/\xff"), facts_ref("one"))
    git("update-ref", "-d", facts_ref("one"))
    for _ in range(2):
        memory = Memory(repository)
        assert [run.name for run in memory.runs()] == ["x"]
        (problem,) = memory.problems
        assert problem.ref == "refs/notes/exprag/\\xff"


def test_no_file_appears_in_a_repository_without_runs(
    store: tuple[Repository, Git], tmp_path: Path
) -> None:
    repository, _ = store
    before = sorted(tmp_path.rglob("*"))
    memory = Memory(repository)
    assert (memory.runs(), memory.problems, memory.index_path) == ([], [], None)
    assert memory.reindex() == 0
    assert sorted(tmp_path.rglob("*")) == before


# Runs in progress


@pytest.fixture
def live(repo: Git) -> Iterator[Experiment]:
    experiment = Experiment("live", params={"lr": 0.25}, tags=["mine"])
    experiment.track({"acc": 0.5})
    yield experiment
    experiment.finish()


def remark(run: str, **fields: Any) -> None:
    write_facts(run, RemarkFact(time=END, by=BY, **fields))


def test_a_run_in_progress_is_seen_at_once_with_what_was_said_of_it(live: Experiment) -> None:
    """ "and in the journals of runs in progress, when the reader first asked" """
    assert live.run_id is not None
    memory = Memory(Repository.discover())
    assert [run.status for run in memory.runs()] == ["running"]
    assert memory.index_path is None
    remark(live.run_id, add_tags=("late",), comment="watch this")
    memory.refresh()
    (run,) = memory.runs('"watch this" in text and tag == "late" and acc == 0.5')
    assert run.tags == ("mine", "late")
    live.track({"acc": 0.75, "extra": 1})
    memory.refresh()
    assert memory.runs()[0].metrics["acc"].last == 0.75
    assert memory.metric_paths() == ["acc", "extra"]
    assert memory.unknown == {}


def test_a_note_on_a_run_in_progress_that_cannot_be_read_hides_nothing(
    live: Experiment, repo: Git
) -> None:
    assert live.run_id is not None
    remark(live.run_id, comment="x")
    oid = repo("rev-parse", f"{facts_ref('other')}:{live.run_id[:2]}/{live.run_id[2:]}")
    (repo.path / ".git/objects" / oid[:2] / oid[2:]).unlink()
    memory = Memory(Repository.discover())
    assert [run.name for run in memory.runs()] == ["live"]
    assert [problem.run for problem in memory.problems] == [live.run_id]


def test_a_run_sealed_between_the_reads_is_seen_once(
    live: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "a run which is sealed meanwhile is found in one or the other" """
    memory = Memory(Repository.discover())
    assert memory._live is not None
    assert list(memory._live.folded) == [live.run_id]
    live.finish()
    assert [run.status for run in memory.runs()] == ["finished"]
    assert memory.count() == 1


def test_a_run_that_another_reader_found_sealed_is_not_counted_twice(live: Experiment) -> None:
    write_facts("1" * 40, RunFact(time=BEGIN, by=BY, name="stored"))
    memory = Memory(Repository.discover())
    assert [run.name for run in memory.runs()] == ["live", "stored"]
    live.track({"later": 1})
    live.finish()
    assert Memory(Repository.discover()).count() == 2  # it brings the index up to date
    assert [run.name for run in memory.runs()] == ["live", "stored"]
    assert memory.count() == 2
    assert memory.count("acc == 0.5") == 1
    assert len(memory.best("acc").rows) == 1


def test_a_run_in_progress_that_was_withdrawn_is_hidden(live: Experiment) -> None:
    assert live.run_id is not None
    write_facts(live.run_id, TombstoneFact(time=END, by=BY))
    memory = Memory(Repository.discover())
    assert memory.runs() == []
    assert memory.count() == 0


def test_a_run_found_dead_is_sealed_and_seen_once(live: Experiment) -> None:
    repository = Repository.discover()
    memory = Memory(repository)
    assert memory.count() == 1
    live.finish()
    assert recover(repository) == []
    memory.refresh()
    assert memory.count() == 1


def end(value: Any, second: int, name: str = "acc") -> EndFact:
    from gitexp.records.facts import Summary

    low = value if isinstance(value, float) else None
    found = Summary(value, value, 1, low, low, low)
    time = f"2026-01-31T12:00:{second:02}.000000Z"
    return EndFact(time=time, by=BY, status="finished", duration=1.0, metrics={name: found})


@pytest.fixture
def mixed(repo: Git) -> Iterator[Memory]:
    """Two runs in progress among six that are stored, with values that are missing and NaN."""
    experiments = []
    for name, value in (("live a", 0.5), ("live b", float("nan"))):
        experiment = Experiment(name, params={"lr": 3 if name == "live a" else "none"})
        experiment.track({"acc": value})
        experiments.append(experiment)
    values: list[Any] = [0.25, 0.5, "NaN", 0.75, None, "Infinity"]
    for number, value in enumerate(values):
        begin = RunFact(time=BEGIN, by=BY, name=f"stored {number}", parameters={"lr": number})
        ends = [] if value is None else [end(value, number)]
        write_facts(commit(repo, f"{number}"), begin, *ends)
    yield Memory(Repository.discover())
    for experiment in experiments:
        experiment.finish()


def names(memory: Memory, where: str | None = None, **question: Any) -> list[str]:
    return [run.name.removeprefix("stored ") for run in memory.runs(where, **question)]


@pytest.mark.parametrize("limit", [None, 0, 1, 2, 3, 5, 7, 8, 20])
def test_stored_runs_and_those_in_progress_are_ordered_as_one(
    mixed: Memory, limit: int | None
) -> None:
    """ "the answers are merged" """
    by_acc = names(mixed, sort="acc,-lr", limit=limit)
    assert by_acc == ["0", "live a", "1", "3", "5", "live b", "4", "2"][:limit]
    descending = names(mixed, sort="-acc,lr", limit=limit)
    assert descending == ["5", "3", "1", "live a", "0", "2", "4", "live b"][:limit]
    by_lr = names(mixed, sort="lr", limit=limit)  # texts after numbers
    assert by_lr == ["0", "1", "2", "live a", "3", "4", "5", "live b"][:limit]
    assert names(mixed, limit=limit)[:2] == ["live b", "live a"][:limit]


def test_counts_and_conditions_are_of_both(mixed: Memory) -> None:
    assert mixed.count() == 8
    assert mixed.count("acc >= 0.5") == 4
    assert sorted(names(mixed, "isnan(acc)")) == ["2", "live b"]
    assert names(mixed, "acc is None") == ["4"]
    assert mixed.get("latest").name == "live b"
    assert mixed.get("latest~1").name == "live a"


def test_a_ranking_is_of_both_and_ties_go_to_the_earlier_run(mixed: Memory) -> None:
    ranking = mixed.best("acc", by="last")
    assert [ranked.run.name for ranked in ranking.rows] == [
        "stored 3",
        "stored 1",
        "live a",
        "stored 0",
    ]
    assert ranking.skipped == 3
    assert [r.run.name for r in mixed.best("acc", by="last", top=2).rows] == [
        "stored 3",
        "stored 1",
    ]
    lower = mixed.best("acc", by="last", lower=True, top=3)
    assert [ranked.run.name for ranked in lower.rows] == ["stored 0", "stored 1", "live a"]


def test_names_that_only_one_of_both_has_are_known_in_both(mixed: Memory) -> None:
    with Experiment("live c", params={"only": {"live": 1}}) as experiment:
        experiment.track({"fresh": 2})
        mixed.refresh()
        assert names(mixed, "fresh == 2") == ["live c"]
        assert names(mixed, "only.live == 1 or acc == 0.75") == ["live c", "3"]
        assert names(mixed, sort="-fresh", limit=2)[0] == "live c"
        assert mixed.best("fresh").rows[0].run.name == "live c"
        assert mixed.count("fresh is None") == 8


# Start-up


FRESH = """
import sys
from gitexp.memory import Memory
memory = Memory.open()
assert memory.count() == 3
assert [f.document["name"] for f in memory.search(limit=1)] == ["run 2"]
print([name for name in ("pygit2", "msgspec", "gitexp.records.facts") if name in sys.modules])
"""


def test_reading_a_fresh_index_loads_neither_libgit2_nor_decoders(repo: Git) -> None:
    """ "Reading a fresh index loads no library but SQLite" """
    from tests.support import python

    repository = Repository.discover()
    write_runs(repository, 3)
    Memory(repository).count()
    assert python(FRESH).strip() == "[]"


def test_one_index_serves_all_worktrees(repo: Git, tmp_path: Path) -> None:
    """ "In `<common dir>/exprag`, shared by all worktrees." """
    repository = Repository.discover()
    write_runs(repository, 3)
    place = Memory(repository).index_path
    repo("worktree", "add", "--quiet", str(tmp_path / "tree"))
    there = Memory(Repository.discover(tmp_path / "tree"))
    assert there.index_path == place == repo.path / ".git/exprag" / NAME
    assert there.count() == 3


def test_progress_is_told_up_to_the_last_run(store: tuple[Repository, Git]) -> None:
    repository, _ = store
    write_runs(repository, 20)
    told: list[tuple[int, int]] = []
    Memory(repository, lambda *numbers: told.append(numbers)).count()
    assert told[-1] == (20, 20)


def test_documents_are_what_json_shows(store: tuple[Repository, Git]) -> None:
    repository, _ = store
    write_runs(repository, 20)
    found = Memory(repository).search(sort="lr", limit=2)
    assert [json.dumps(f.document, sort_keys=True) for f in found] == [
        json.dumps(run.to_dict(), sort_keys=True) for run in walk_runs(repository)[:-3:-1]
    ]
