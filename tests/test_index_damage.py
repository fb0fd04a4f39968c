"""Whatever happens to the index: deleted, damaged, replaced, left by a killed process.

The sentences in quotes are those of docs/index.md. Children are forks of the test process.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from gitexp.errors import GitexpWarning
from gitexp.git.repository import Repository
from gitexp.index import database, schema
from gitexp.index.database import NAME
from gitexp.memory import Memory
from tests.index_model import (
    RUNS,
    assert_right,
    cached,
    documents,
    expect,
    facts_ref,
    home,
    indexed_store,
    line,
    look,
    rebuilt,
    run_id,
    said,
    stored_tables,
    tables,
    write,
    write_runs,
)
from tests.support import Git
from tests.test_reliability import Counter, die, in_child
from tests.walker import walk_runs


@pytest.fixture
def store(tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return indexed_store(tmp_path, monkeypatch)


# Deleted, cut off, replaced


def test_a_deleted_index_is_made_again(store: Repository) -> None:
    """ "It can be deleted at any time." """
    home(store).unlink()
    assert_right(store, home(store))


def test_an_index_deleted_between_two_questions_is_made_again(store: Repository) -> None:
    memory = Memory(store)
    assert memory.count() == RUNS
    home(store).unlink()
    assert look(memory) == expect(store)
    assert home(store).exists()
    shutil.rmtree(store.home)
    assert look(memory) == expect(store)
    assert_right(store, home(store))


def test_an_open_index_that_another_process_replaced_is_left(store: Repository) -> None:
    """ "the journal of one database is never taken for that of another" """
    memory = Memory(store)
    assert memory.count() == RUNS
    Memory(store).reindex()
    writer = database.connect(home(store))
    writer.execute("PRAGMA cache_size = 1")
    writer.execute("PRAGMA cache_spill = 1")
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE run SET name = 'not yet'")
    writer.execute("UPDATE run SET host = printf('%5000d', 1)")
    assert Path(f"{home(store)}-journal").stat().st_size > 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(database, "BUSY_SECONDS", 0.05)
        assert look(memory) == expect(store)
    assert Path(f"{home(store)}-journal").stat().st_size > 0
    writer.execute("ROLLBACK")
    writer.close()
    assert_right(store, home(store))


def test_an_index_cut_off_anywhere_is_made_again(store: Repository) -> None:
    """ "An index that is damaged or of another version is replaced as a whole" """
    whole = home(store).read_bytes()
    lengths = {1, 15, 16, 99, 100, 101, 511, 512, 4095, len(whole) - 1}
    lengths |= set(range(4096, len(whole), 4096))
    right = expect(store)
    for length in sorted(lengths):
        home(store).write_bytes(whole[:length])
        with said() as texts:
            assert look(Memory(store)) == right, length
        assert len(texts) == 1, length
        assert "rebuilt" in texts[0]
    assert_right(store, home(store))


def test_an_index_that_is_longer_than_it_should_be_is_made_again(store: Repository) -> None:
    with home(store).open("ab") as file:
        file.write(bytes(4096))
    with said() as texts:
        assert_right(store, home(store))
    assert len(texts) == 1


def test_an_index_cut_off_between_two_questions_is_made_again(store: Repository) -> None:
    right = expect(store)
    for length in (0, 4096, 40960):
        memory = Memory(store)
        assert memory.count() == RUNS
        os.truncate(home(store), length)
        with said() as texts:
            assert look(memory) == right
        assert texts
        assert_right(store, home(store))


def flips(whole: bytes) -> Iterator[tuple[int, int]]:
    """Yield places in a file and what to flip there: all of the header, some of each page."""
    generator = random.Random(3)
    yield from ((i, 1 << generator.randrange(8)) for i in range(100))
    for page in range(0, len(whole), 4096):
        heads = [page + i for i in range(12)]
        body = [page + generator.randrange(4096) for _ in range(14)]
        used = [i for i in body if whole[i]][:5]
        yield from ((i, 1 << generator.randrange(8)) for i in (*heads[::2], *used) if i >= 100)


def test_flipped_bytes_anywhere_are_no_crash_and_no_made_up_run(store: Repository) -> None:
    """ "a run's document is what was put in" """
    whole, right = home(store).read_bytes(), expect(store)
    recorded = right[0]
    wrong = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GitexpWarning)
        for position, bit in flips(whole):
            damaged = bytearray(whole)
            damaged[position] ^= bit
            home(store).write_bytes(damaged)
            try:
                found = look_or_miss(Memory(store))
            except Exception as error:
                raise AssertionError(f"byte {position} ^ {bit}") from error
            assert all(document in recorded for document in found[0] + found[1]), position
            wrong += found != right[:-2]
    assert wrong < 20
    home(store).write_bytes(whole)
    assert_right(store, home(store))


def look_or_miss(memory: Memory) -> list[Any]:
    """Return what `look` does; an error of ours is an answer too."""
    from gitexp.errors import GitexpError

    found: list[Any] = [documents(memory)]
    questions: list[Callable[[], Any]] = [
        lambda: documents(memory, where="lr >= 0.5", sort="-acc", limit=3),
        lambda: [run.name for run in memory.runs('"run 7" in text or tag == "x"')],
        lambda: [(ranked.run.name, ranked.value) for ranked in memory.best("acc").rows],
        lambda: memory.count("description is None"),
        lambda: memory.get(run_id(5)[:9]).name,
        lambda: memory.get("latest~1").name,
    ]
    for i, question in enumerate(questions):
        try:
            found.append(question())
        except GitexpError:
            found.append([] if i == 0 else None)
    return found


def test_an_index_with_flipped_bytes_takes_new_runs_and_a_rebuild_heals_it(
    store: Repository,
) -> None:
    """ "`git exp reindex` makes it anew" """
    whole = home(store).read_bytes()
    write(store, {run_id(n): [line("remark", 1, comment="late", add_tags=["x"])] for n in (3, 7)})
    write_runs(store, 1, first=RUNS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GitexpWarning)
        for position, bit in list(flips(whole))[::4]:
            damaged = bytearray(whole)
            damaged[position] ^= bit
            home(store).write_bytes(damaged)
            memory = Memory(store)
            assert memory.count("name is not None") >= 0, position
            look_or_miss(memory)
    memory = Memory(store)
    assert memory.reindex() == RUNS + 1
    assert documents(memory) == [run.to_dict() for run in walk_runs(store)]
    assert stored_tables(home(store)) == tables(rebuilt(store))


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"garbage" * 5000, b"SQLite format 3\0", bytes(8192)]
)
def test_an_index_replaced_by_another_file_is_made_again(store: Repository, content: bytes) -> None:
    home(store).write_bytes(content)
    with said() as texts:
        assert_right(store, home(store))
    assert len(texts) == 1


@pytest.mark.parametrize("version", [0, 1, 2, 999, -1])
def test_a_database_of_somebody_else_or_of_another_version_is_replaced(
    store: Repository, version: int
) -> None:
    home(store).unlink()
    with sqlite3.connect(home(store)) as db:
        db.execute("CREATE TABLE shard (somebody TEXT, elses TEXT)")
        db.execute("INSERT INTO shard VALUES (x'ff', 'tip')")
        db.execute(f"PRAGMA user_version = {version}")
    db.close()
    with said() as texts:
        assert_right(store, home(store))
    assert len(texts) == 1


@pytest.mark.parametrize("change", [-1, 1])
def test_our_own_tables_of_another_version_are_replaced(store: Repository, change: int) -> None:
    with sqlite3.connect(home(store)) as db:
        db.execute(f"PRAGMA user_version = {schema.VERSION + change}")
    db.close()
    with said() as texts:
        assert_right(store, home(store))
    assert [f"of version {schema.VERSION + change}" in text for text in texts] == [True]


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE meta",
        "DELETE FROM meta",
        "DELETE FROM doc WHERE run = 3",
        "DROP TABLE note_text",
        "DROP INDEX run_started",
        "DROP TABLE problem",
        "UPDATE path SET path = x'00'",
        "UPDATE doc SET packed = x'00'",
        "UPDATE meta SET dictionary = x'00'",
        "ALTER TABLE run RENAME COLUMN started TO begun",
        "CREATE TABLE somebody (elses)",
        "UPDATE sqlite_master SET sql = replace(sql, 'unicode61', 'nonsense')",
    ],
)
def test_tables_that_are_not_as_we_made_them_are_replaced(
    store: Repository, statement: str
) -> None:
    with sqlite3.connect(home(store)) as db:
        db.execute("PRAGMA writable_schema = 1")
        db.execute(statement)
    db.close()
    with said() as texts:
        assert look(Memory(store)) == expect(store)
    assert len(texts) == 1
    assert_right(store, home(store))


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE note",
        "UPDATE doc SET packed = x'00'",
        "UPDATE note SET oid = 'text', path = 7",
        "DELETE FROM run",
        "UPDATE meta SET dictionary = NULL WHERE 0",
        "INSERT INTO run (id, number) SELECT id, number + 1000 FROM run WHERE number > 1",
    ],
)
def test_damage_that_new_runs_stumble_over_is_healed(store: Repository, statement: str) -> None:
    with sqlite3.connect(home(store)) as db:
        db.execute("DROP INDEX run_id")
        db.execute(statement)
    db.close()
    git = Git(store.git_dir)
    tip = git("commit-tree", f"{facts_ref('one')}^{{tree}}", "-m", "without history")
    git("update-ref", facts_ref("one"), tip)
    write(store, {run_id(n): [line("remark", 1, comment="late")] for n in range(RUNS)})
    with said():
        assert len(documents(Memory(store))) == RUNS


@pytest.mark.parametrize("kind", ["folder", "loop", "dangling", "link", "pipe"])
def test_what_is_no_file_in_the_place_of_the_index_does_no_harm(
    store: Repository, kind: str, tmp_path: Path
) -> None:
    path, other = home(store), tmp_path / "precious"
    path.unlink()
    other.write_text("precious")
    if kind == "folder":
        path.mkdir()
        (path / "file").write_text("x")
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to({"loop": path, "dangling": tmp_path / "nowhere", "link": other}[kind])
    with said():
        assert_right(store, cached(store) if kind in ("folder", "pipe") else home(store))
    assert other.read_text() == "precious"
    assert not (tmp_path / "nowhere").exists()


# Killed half-way

WATCHED = (
    "gitexp/index/database.py",
    "gitexp/index/place.py",
    "gitexp/index/rows.py",
    "gitexp/index/schema.py",
    "gitexp/index/sync.py",
)


def at_line(number: int, stop: Callable[[], None], seen: Counter | None = None) -> None:
    """Call ``stop`` before the n-th watched line that runs from now on; count them."""
    left = number

    def local(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if seen is not None:
                seen.value += 1
            if left == 0:
                stop()
        return local

    def tracer(frame: FrameType, _event: str, _argument: Any) -> Any:
        return local if frame.f_code.co_filename.endswith(WATCHED) else None

    sys.settrace(tracer)


def lines_of(work: Callable[[], object]) -> int:
    seen = Counter()

    def count() -> None:
        at_line(-1, die, seen)
        work()

    assert in_child(count) == 0
    return seen.value


@pytest.mark.slow
@pytest.mark.parametrize("way", ["sync", "build", "replace"])
def test_death_at_any_line_leaves_a_whole_index_or_none(store: Repository, way: str) -> None:
    """ "A process that is killed at any moment leaves a whole index or none." """
    if way != "sync":
        home(store).unlink()
    if way == "replace":
        home(store).write_bytes(b"garbage" * 999)
        Path(f"{home(store)}-journal").write_bytes(b"left by somebody")
    kept = {path: path.read_bytes() for path in store.home.iterdir()}
    write(
        store,
        {
            run_id(3): [line("remark", 1, comment="late")],
            run_id(40): [
                line("run", 40, name="run 40", parameters={"lr": 9}),
                line(
                    "end",
                    41,
                    status="finished",
                    duration=1,
                    metrics={"acc": {"first": 1, "last": 1, "count": 1, "max": 99}},
                ),
            ],
        },
    )

    def work() -> None:
        warnings.simplefilter("ignore", GitexpWarning)
        Memory(store).count()

    right = expect(store)
    total = lines_of(work)
    assert total > 150
    # The last lines are not always the same ones: when connections are let go is not up to us.
    for number in range(1, total - 40, 9):
        for path in store.home.iterdir():
            path.unlink()
        for path, content in kept.items():
            path.write_bytes(content)

        def work_and_die(number: int = number) -> None:
            at_line(number, die)
            work()

        assert os.WIFSIGNALED(in_child(work_and_die)), number
        with said() as texts:
            assert look(Memory(store)) == right, number
        assert way == "replace" or texts == [], number
        left = {path.name for path in store.home.iterdir()}
        assert left - {"lock", "index-lock", f"{NAME}-journal"} == {NAME}, number
    assert_right(store, home(store))


def leave_hot_journal(store: Repository, statement: str) -> None:
    """Let a process die that has written a part of a transaction into the database."""

    def write_and_die() -> None:
        db = database.connect(home(store))
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("PRAGMA cache_size = 1")
        db.execute("PRAGMA cache_spill = 1")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE run SET host = 'x'")
        db.execute("UPDATE shard SET tip = 'x'")
        db.execute(statement)
        die()

    before = home(store).read_bytes()
    assert os.WIFSIGNALED(in_child(write_and_die))
    assert home(store).read_bytes() != before
    assert Path(f"{home(store)}-journal").stat().st_size > 0


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE run SET name = printf('%9000d', number)",
        "INSERT INTO problem SELECT id, printf('%9000d', 1), 1, 'x' FROM run",
        "DELETE FROM field",
    ],
)
def test_a_journal_left_by_a_process_killed_while_writing_is_played_back(
    store: Repository, statement: str
) -> None:
    """ "left by a process that was killed" """
    before = home(store).read_bytes()
    leave_hot_journal(store, statement)
    assert look(Memory(store)) == expect(store)  # and no warning: nothing is damaged
    assert home(store).read_bytes() == before
    assert_right(store, home(store))


def test_a_journal_whose_database_is_gone_is_not_played_back_into_the_next(
    store: Repository,
) -> None:
    leave_hot_journal(store, "UPDATE run SET name = printf('%9000d', number)")
    home(store).unlink()
    write_runs(store, 30, first=RUNS)
    assert_right(store, home(store))


@pytest.mark.slow
def test_kill_9_at_random_moments_of_syncing_and_rebuilding(store: Repository) -> None:
    generator = random.Random(5)
    for turn in range(60):
        write_runs(store, 20, first=RUNS + 20 * turn)
        child = os.fork()
        if child == 0:
            memory = Memory(store)
            while True:
                if turn % 2:
                    memory.reindex()
                memory.count()
                home(store).unlink() if turn % 5 == 4 else None
                memory.refresh()
        time.sleep(generator.uniform(0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        memory = Memory(store)
        assert memory.count() == RUNS + 20 * (turn + 1)
        assert memory.index_path == home(store)
    assert stored_tables(home(store)) == tables(rebuilt(store))
