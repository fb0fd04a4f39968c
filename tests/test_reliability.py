"""Break things: death and Ctrl-C at every line of a run, kill -9 at random, many writers at once.

The children here are forks of the test process, which has everything loaded, so that hundreds
of deaths cost seconds.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import gitexp
from gitexp import Experiment
from gitexp.git import write
from gitexp.git.repository import Repository
from gitexp.journal import live_runs
from gitexp.seal import recover
from tests.support import Git
from tests.support import gitexp as git_exp

WATCHED = (
    "gitexp/experiment.py",
    "gitexp/git/trees.py",
    "gitexp/git/write.py",
    "gitexp/journal.py",
    "gitexp/seal.py",
    "gitexp/store/batch.py",
    "gitexp/store/shard.py",
)
CALLS = 3


class Counter:
    """A number that survives the death of the child that counts."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 8)

    @property
    def value(self) -> int:
        return int.from_bytes(self._memory[:8], "little")

    @value.setter
    def value(self, value: int) -> None:
        self._memory[:8] = value.to_bytes(8, "little")


def in_child(work: Callable[[], object]) -> int:
    """Run ``work`` in a forked child that never returns here; return its wait status."""
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
            work()
            os._exit(0)
        os._exit(1)
    return os.waitpid(child, 0)[1]


def stop_at_line(number: int, stop: Callable[[], None]) -> None:
    """Call ``stop`` before the n-th line of the watched modules that runs from now on."""
    left = number

    def local(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal left
        if event == "line":
            left -= 1
            if left == 0:
                sys.settrace(None)
                stop()
        return local

    def tracer(frame: FrameType, _event: str, _argument: Any) -> Any:
        return local if frame.f_code.co_filename.endswith(WATCHED) else None

    sys.settrace(tracer)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def interrupt() -> None:
    raise KeyboardInterrupt


def one_run(returned: Counter, number: int, stop: Callable[[], None]) -> None:
    stop_at_line(number, stop)
    exp = Experiment("x", params={"lr": 0.1})
    for i in range(CALLS):
        exp.track({"loss": float(i)})
        returned.value = i + 1
    exp.log_file("README")
    exp.finish()
    sys.settrace(None)


def assert_whole(repo: Git, returned: int, *, statuses: set[str]) -> None:
    """Every acknowledged value is there after recovery, once, and the store is sound."""
    repository = Repository.discover()
    recover(repository)
    assert not live_runs(repository)
    memory = gitexp.open()
    runs = memory.runs()
    if returned:
        assert len(runs) == 1
    for run in runs:
        assert run.status in statuses
        tracked = [call.value["loss"] for call in memory.calls(run)]
        assert tracked[:returned] == [float(i) for i in range(returned)]
        assert run.calls == len(tracked) <= CALLS
        assert repo("rev-parse", f"refs/exprag/runs/{run.id}") == run.id
        assert repo("show", f"{run.id}:train.py")
    assert memory.problems == []
    before = repo("for-each-ref")
    assert recover(repository) == []
    assert repo("for-each-ref") == before
    assert not list(repo.path.glob(".git/**/*.lock"))
    assert repo("fsck", "--strict", "--no-dangling") == ""


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait a whole second for each of hundreds of stale locks."""
    monkeypatch.setattr(write, "STALE_LOCK_SECONDS", 0.02)


@pytest.fixture
def fresh(repo: Git, tmp_path: Path) -> Iterator[Callable[[], Git]]:
    """Make one clean copy of the repository after the other, as the current folder."""
    original = repo.path
    copies = 0

    def make() -> Git:
        nonlocal copies
        os.chdir(original)
        shutil.rmtree(tmp_path / f"copy{copies}", ignore_errors=True)
        copies += 1
        shutil.copytree(original, tmp_path / f"copy{copies}")
        os.chdir(tmp_path / f"copy{copies}")
        return Git(tmp_path / f"copy{copies}")

    yield make
    os.chdir(original)


def lines_of_a_run(fresh: Callable[[], Git]) -> int:
    """Return how many watched lines a whole run takes."""
    fresh()
    total = 0
    counter = Counter()

    def count() -> None:
        def local(_frame: FrameType, event: str, _argument: Any) -> Any:
            counter.value += event == "line"
            return local

        def tracer(frame: FrameType, _event: str, _argument: Any) -> Any:
            return local if frame.f_code.co_filename.endswith(WATCHED) else None

        sys.settrace(tracer)
        with Experiment("x", params={"lr": 0.1}) as exp:
            for i in range(CALLS):
                exp.track({"loss": float(i)})
            exp.log_file("README")
        sys.settrace(None)

    assert in_child(count) == 0
    total = counter.value
    assert total > 200
    return total


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_death_at_any_line_loses_nothing_that_was_acknowledged(
    fresh: Callable[[], Git], part: int
) -> None:
    for number in range(1 + part, lines_of_a_run(fresh) + 10, 4):
        repo = fresh()
        returned = Counter()
        in_child(lambda: one_run(returned, number, die))  # noqa: B023 - it ends in this turn
        assert_whole(repo, returned.value, statuses={"crashed", "finished"})


@pytest.mark.slow
@pytest.mark.parametrize("part", range(2))
def test_ctrl_c_at_any_line_leaves_nothing_half_done(fresh: Callable[[], Git], part: int) -> None:
    for number in range(1 + part * 2, lines_of_a_run(fresh) + 10, 4):
        repo = fresh()
        returned = Counter()
        in_child(lambda: one_run(returned, number, interrupt))  # noqa: B023
        assert_whole(repo, returned.value, statuses={"crashed", "finished", "interrupted"})


def test_a_second_death_while_recovering_loses_nothing(fresh: Callable[[], Git]) -> None:
    for number in range(1, 400, 7):
        repo = fresh()
        returned = Counter()
        in_child(lambda: one_run(returned, 350, die))  # noqa: B023

        def recover_and_die(number: int = number) -> None:
            stop_at_line(number, die)
            recover(Repository.discover())

        in_child(recover_and_die)
        assert_whole(repo, returned.value, statuses={"crashed", "finished"})


@pytest.mark.slow
def test_kill_9_at_200_random_moments_of_a_run_that_tracks(repo: Git) -> None:
    generator = random.Random(7)
    expected: list[int] = []
    for _ in range(200):
        returned, started = Counter(), Counter()

        def work(returned: Counter = returned, started: Counter = started) -> None:
            exp = Experiment("x")
            started.value = 1
            for i in range(1_000_000):
                exp.track({"step": i, "loss": 1.0 / (i + 1)})
                returned.value = i + 1

        child = os.fork()
        if child == 0:
            work()
            os._exit(0)
        time.sleep(generator.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        gitexp.open()  # the next command
        if started.value:
            expected.append(returned.value)
    memory = gitexp.open()
    runs = memory.runs()
    assert not live_runs(memory.repository)
    assert {run.status for run in runs} == {"crashed"}
    assert len(expected) <= len(runs) <= 200
    assert sum(expected) > 1000
    # Each acknowledged value is there; one more may have been written but not acknowledged.
    found = sorted(run.calls for run in runs)
    for run in runs[::10]:
        assert [c.value["step"] for c in memory.calls(run)] == list(range(run.calls))
    unacknowledged = len(runs) - len(expected)
    for want, have in zip(sorted(expected), found[unacknowledged:], strict=True):
        assert want <= have <= want + 1
    assert repo("fsck", "--strict", "--no-dangling") == ""


WORKER = """
import sys
from gitexp import Experiment
for i in range(200):
    exp = Experiment(f"{sys.argv[1]}-{i}", params={"worker": sys.argv[1], "i": i})
    exp.track({"acc": i / 200})
    exp.finish()
"""


@pytest.mark.slow
def test_eight_processes_of_200_runs_beside_gc_and_pack_refs(repo: Git) -> None:
    workers = [subprocess.Popen([sys.executable, "-c", WORKER, str(n)]) for n in range(8)]
    while any(worker.poll() is None for worker in workers):
        repo("gc", "--quiet")
        repo("pack-refs", "--all")
        git_exp("log", "-n", "5")
    assert [worker.returncode for worker in workers] == [0] * 8
    memory = gitexp.open()
    runs = memory.runs()
    assert len(runs) == 1600
    assert {(run.parameters["worker"], run.parameters["i"]) for run in runs} == {
        (str(n), i) for n in range(8) for i in range(200)
    }
    assert {run.status for run in runs} == {"finished"}
    assert all(run.metrics["acc"].last == run.parameters["i"] / 200 for run in runs)
    assert memory.problems == []
    handles = repo("for-each-ref", "--format=%(refname:lstrip=3)", "refs/exprag/runs").splitlines()
    assert sorted(handles) == sorted(run.id for run in runs)
    (shard,) = repo("for-each-ref", "--format=%(refname)", "refs/notes/exprag").splitlines()
    notes = repo("notes", f"--ref={shard}", "list").splitlines()
    assert len(notes) == 1600
    assert repo("fsck", "--strict", "--no-dangling") == ""
