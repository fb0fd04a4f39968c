"""The index among processes, threads and locks, and where it stands when it cannot stand there.

The sentences in quotes are those of docs/index.md. Children are forks of the test process.
"""

from __future__ import annotations

import fcntl
import multiprocessing
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from gitexp import Experiment
from gitexp.git.repository import Repository
from gitexp.index import database, place
from gitexp.index.database import Index
from gitexp.memory import Memory
from tests.index_model import (
    RUNS,
    assert_right,
    bare_repository,
    cached,
    expect,
    facts_ref,
    home,
    indexed_store,
    look,
    rebuilt,
    stored_tables,
    tables,
    write_runs,
)
from tests.support import Git
from tests.test_reliability import Counter, in_child


@pytest.fixture
def store(tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch) -> Repository:
    return indexed_store(tmp_path, monkeypatch)


# Several processes, threads and forks


@pytest.mark.parametrize("processes", [2, pytest.param(8, marks=pytest.mark.slow)])
def test_processes_that_record_and_ask_at_once_see_all_that_was_acknowledged(
    store: Repository, processes: int
) -> None:
    """ "An answer reflects at least everything that was in the shards [...] when" """
    rounds = 24 // processes
    acknowledged = [Counter() for _ in range(processes)]
    go = multiprocessing.get_context("fork").Event()

    def work(mine: int) -> None:
        go.wait()
        memory = Memory(store)
        for turn in range(rounds):
            write_runs(store, 1, f"shard{mine}", first=1000 * (mine + 1) + turn)
            acknowledged[mine].value = turn + 1
            before = [counter.value for counter in acknowledged]
            if turn % 3 == 2:
                memory.reindex()
            memory.refresh()
            found = {run.name for run in memory.runs()}
            for other, count in enumerate(before):
                assert {f"run {1000 * (other + 1) + i}" for i in range(count)} <= found

    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=work, args=(number,)) for number in range(processes)]
    for worker in workers:
        worker.start()
    go.set()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * processes
    assert Memory(store).count() == RUNS + processes * rounds
    assert stored_tables(home(store)) == tables(rebuilt(store))


def test_one_memory_asked_by_eight_threads(repo: Git) -> None:
    repository = Repository.discover()
    write_runs(repository, 40)
    failures: list[BaseException] = []
    with Experiment("live", params={"lr": 99}) as experiment:
        experiment.track({"acc": 0.5})
        memory = Memory(repository)
        barrier = threading.Barrier(8)

        def work(number: int) -> None:
            try:
                barrier.wait()
                for turn in range(15):
                    where = f'lr == {turn / 8} or matches(name, "^run {turn}$") or name == "live"'
                    found = [run.name for run in memory.runs(where, sort="name")]
                    assert found == ["live", f"run {turn}"], found
                    assert memory.count() == 41
                    if number == 0 and turn == 7:
                        Index(memory.repository, anew=True)
            except BaseException as error:  # noqa: BLE001 - it is looked at below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []


def test_a_forked_child_asks_with_its_parents_memory(store: Repository) -> None:
    memory = Memory(store)
    right = expect(store)
    assert look(memory) == right
    held, release = threading.Event(), threading.Event()

    def hold(_: sqlite3.Connection) -> None:
        held.set()
        release.wait()

    thread = threading.Thread(target=lambda: memory._index.ask(hold))
    thread.start()
    held.wait()

    def child() -> None:
        signal.alarm(20)
        assert look(memory) == right
        memory.reindex()
        assert look(memory) == right

    try:
        assert in_child(child) == 0
    finally:
        release.set()
        thread.join()
    assert look(memory) == right
    assert_right(store, home(store))


# Locked

HOLDER = """
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    db.execute(statement).fetchone()
print("held", flush=True)
time.sleep(60)
"""


@contextmanager
def held(repository: Repository, *statements: str) -> Iterator[None]:
    """A foreign process that holds a lock on the database."""
    command = [sys.executable, "-c", HOLDER, str(home(repository)), *statements]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            process.kill()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.1)
    monkeypatch.setattr(place, "LOCK_SECONDS", 0.1)


@pytest.mark.parametrize("stale", [False, True])
def test_a_database_that_a_foreign_process_locks_is_left_for_another_place(
    store: Repository, impatient: None, stale: bool
) -> None:
    """ "locked by a process that does not let go" """
    if stale:
        write_runs(store, 1, first=RUNS)
    with held(store, "BEGIN EXCLUSIVE"):
        assert_right(store, cached(store))
    assert_right(store, home(store))


def test_a_foreign_reader_does_not_keep_new_runs_from_being_seen(
    store: Repository, impatient: None
) -> None:
    write_runs(store, 1, first=RUNS)
    with held(store, "BEGIN", "SELECT count(*) FROM run"):
        assert_right(store, cached(store))
    assert_right(store, home(store))


def test_a_database_locked_between_two_questions_is_left_for_another_place(
    store: Repository, impatient: None
) -> None:
    memory = Memory(store)
    assert memory.count() == RUNS
    with held(store, "BEGIN EXCLUSIVE"):
        assert look(memory) == expect(store)
        assert memory.index_path == cached(store)


def test_a_reader_waits_for_a_writer_of_ours_longer_than_sqlite_does(
    store: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.02)
    start = multiprocessing.get_context("fork").Event()

    def write_slowly() -> None:
        with place.exclusive(store.home):
            db = database.connect(home(store))
            db.execute("BEGIN EXCLUSIVE")
            start.set()
            time.sleep(0.5)
            db.execute("ROLLBACK")

    writer = multiprocessing.get_context("fork").Process(target=write_slowly)
    writer.start()
    start.wait()
    assert_right(store, home(store))
    writer.join()
    assert not cached(store).exists()


def test_a_stuck_process_with_our_lock_delays_but_does_not_stop(
    store: Repository, impatient: None
) -> None:
    with (store.home / "index-lock").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert_right(store, home(store))  # fresh: no lock is needed
        write_runs(store, 1, first=RUNS)
        assert_right(store, cached(store))
    assert_right(store, home(store))


# Places


def spoil(folder: Path) -> None:
    """Make a folder unusable for an index, for root too."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "index-lock").mkdir(parents=True)


def test_an_unusable_place_is_left_for_the_cache_and_that_for_memory(
    store: Repository, tmp_path: Path
) -> None:
    """ "2. In the user's cache folder [...] 3. In memory." """
    spoil(store.home)
    assert_right(store, cached(store))
    write_runs(store, 1, first=RUNS)
    assert_right(store, cached(store))
    (tmp_path / "cache").rename(tmp_path / "old")
    (tmp_path / "cache").write_text("no folder")
    assert_right(store, None)
    memory = Memory(store)
    assert memory.reindex() == RUNS + 1
    assert memory.index_path is None


def test_a_folder_in_the_way_of_a_new_index_is_no_obstacle(store: Repository) -> None:
    home(store).unlink()
    (store.home / "index.new").mkdir()
    assert look(Memory(store)) == expect(store)
    assert Memory(store).index_path == cached(store)


def test_the_cache_of_another_repository_at_the_same_path_is_brought_up_to_date(
    store: Repository, tmp_path: Path
) -> None:
    spoil(store.home)
    assert_right(store, cached(store))
    other, _ = bare_repository(tmp_path / "empty.git", tmp_path / "store.git")
    write_runs(other, 9, "two")
    spoil(other.home)
    assert cached(other) == cached(store)
    assert_right(other, cached(other))


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")


def test_on_a_read_only_disk_a_fresh_index_is_read_and_a_stale_one_left(store: Repository) -> None:
    """ "if the first place is read-only" """
    git = Git(store.git_dir)
    old = git("rev-parse", facts_ref("one"))
    write_runs(store, 1, first=RUNS)
    new = git("rev-parse", facts_ref("one"))
    git("update-ref", facts_ref("one"), old)
    mount("--bind", str(store.home), str(store.home))
    try:
        mount("-o", "remount,ro,bind", str(store.home))
        assert_right(store, home(store))
        git("update-ref", facts_ref("one"), new)
        assert_right(store, cached(store))
        memory = Memory(store)
        assert memory.reindex() == RUNS + 1
        assert memory.index_path == cached(store)
    finally:
        subprocess.run(["umount", "-l", str(store.home)], check=True)
    assert_right(store, home(store))


@pytest.mark.parametrize("kib", [20, 150])
def test_on_a_full_disk_the_index_is_elsewhere(store: Repository, kib: int, tmp_path: Path) -> None:
    """ "full" """
    mount("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(store.home))
    try:
        assert look(Memory(store)) == expect(store)
        write_runs(store, 300, first=RUNS)
        assert_right(store, cached(store))
        assert not (store.home / "index.new").exists()
    finally:
        subprocess.run(["umount", "-l", str(store.home)], check=True)
    assert_right(store, home(store))


def test_files_that_may_not_grow_leave_the_answers_right(store: Repository) -> None:
    write_runs(store, 100, first=RUNS)
    right = expect(store)

    def limited(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        memory = Memory(store)
        assert look(memory) == right
        assert memory.reindex() == RUNS + 100
        assert look(memory) == right
        assert memory.index_path is None

    for size in (0, 4096, 60_000, home(store).stat().st_size):
        assert in_child(partial(limited, size)) == 0, size
    assert_right(store, home(store))


MOUNTS = r"""
sysfs /sys sysfs rw 0 0
/dev/vda / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/vdb /home/local ext4 rw 0 0
host:/x /with\040space\134and\011tab fuse.sshfs rw 0 0
/dev/vdc /twice nfs rw 0 0
/dev/vdc /twice ext4 rw 0 0
vol /gluster fuse.glusterfs rw 0 0
short line
"""


@pytest.mark.parametrize(
    ("folder", "network"),
    [
        ("/data/x", False),
        ("/home/ada/repo/.git/exprag", True),
        ("/home", True),
        ("/homework", False),
        ("/home/local/repo", False),
        ("/with space\\and\ttab/repo", True),
        ("/twice/repo", False),
        ("/gluster", True),
    ],
)
def test_network_file_systems_are_known_by_the_table_of_mounts(
    folder: str, network: bool, tmp_path: Path
) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(MOUNTS)
    assert place.is_on_network(Path(folder), mounts) is network
    assert place.is_on_network(Path(folder), tmp_path / "nothing") is False
    link = tmp_path / "link"
    link.symlink_to("/home/ada")
    assert place.is_on_network(link / "repo", mounts) is True


def test_an_index_on_a_network_file_system_is_elsewhere(
    store: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """ "on a network file system" """
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\ns:/x {store.home.resolve()} nfs4 rw 0 0\n")
    real = place.is_on_network
    monkeypatch.setattr(database, "is_on_network", lambda folder: real(folder, mounts))
    assert_right(store, cached(store))


def test_without_a_home_the_index_is_in_memory_when_its_first_place_is_unusable(
    store: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pwd

    def nobody(_: int) -> None:
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert place.cache_folder() is None
    assert_right(store, home(store))
    spoil(store.home)
    assert_right(store, None)


def test_a_relative_cache_folder_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "cache")
    folder = place.cache_folder()
    assert folder is not None
    assert folder.is_absolute()
