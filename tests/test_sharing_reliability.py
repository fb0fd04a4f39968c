"""Break sharing: many clones at once, kills at random and at each step, full disks, cut links.

Commands run in forks of the test process, which has everything loaded, so that hundreds of them
cost seconds. `tests.soak` does more of the same, at random, for as long as one likes.
"""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import gitexp
from gitexp.git import refs, write
from tests.clones import (
    assert_sound,
    check_code,
    command,
    errors_of,
    everything,
    facts_of,
    finishes,
    locks,
    make_clone,
    withdrawn,
    write_runs,
)
from tests.remotes import HttpRemote, bare_repository, http_remote
from tests.soak import tend
from tests.support import Git

pytestmark = pytest.mark.slow

CLONES, RUNS, ROUNDS = 16, 25, 2
WATCHED = (
    "/gitexp/share/",
    "/gitexp/removal.py",
    "/gitexp/store/union.py",
    "/gitexp/git/unite.py",
    "/gitexp/git/transfer.py",
    "/gitexp/git/write.py",
)


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch, identity: None) -> None:
    """Do not wait a whole second for each of hundreds of stale locks."""
    monkeypatch.setattr(write, "STALE_LOCK_SECONDS", 0.05)


# --- many clones at once -----------------------------------------------------------------------


def _share_while_killed(git: Git, number: int) -> None:
    """Record in a few rounds; push and pull after each, and be killed in a third of the tries."""
    source = random.Random(number)
    for part in range(ROUNDS):
        write_runs(git, range(RUNS)[part::ROUNDS], f"clone {number}")
        for word in ("push", "pull"):
            for _ in range(100):
                killed = source.random() < 1 / 3
                done = command(git, word, kill_after=source.uniform(0, 0.5) if killed else None)
                if done.code == 0:
                    break
            else:
                raise AssertionError(f"clone {number}, {word}: {done}")


def _fork(work: Callable[[], object], log: Path) -> int:
    """Run work in a child of its own; what it raises stands in ``log``."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - the parent reads it
            log.write_text(traceback.format_exc())
        finally:
            os._exit(code)
    return child


def _wait(children: dict[int, Path]) -> None:
    failed = [log for child, log in children.items() if os.waitpid(child, 0)[1]]
    assert not failed, failed[0].read_text()


@pytest.mark.parametrize("shards", [CLONES, 1], ids=["a shard each", "one shard name"])
def test_sixteen_clones_share_at_once_while_pushes_are_killed(
    template: Path, tmp_path: Path, shards: int
) -> None:
    (tmp_path / "server").mkdir()
    with http_remote(tmp_path / "server") as remote:
        names = [f"shard{number % shards}" for number in range(CLONES)]
        clones = [
            make_clone(template, tmp_path / f"clone{number}", remote.url, name)
            for number, name in enumerate(names)
        ]
        remote.wire.kill_percent, remote.wire.kill_within_ms = 20, 30
        tending = _fork(lambda: tend(remote.git), tmp_path / "tending")
        try:
            children = {}
            for number, clone in enumerate(clones):
                log = tmp_path / f"log{number}"
                children[_fork(functools.partial(_share_while_killed, clone, number), log)] = log
            _wait(children)
        finally:
            os.kill(tending, signal.SIGKILL)
            os.waitpid(tending, 0)
        remote.wire.kill_percent = 0
        assert remote.wire.kills > 0
        for lock in locks(remote.git):
            (remote.git.path / lock).unlink()
        for clone in clones:
            finishes(clone, "push")
        for clone in clones:
            finishes(clone, "pull")
        _assert_all_have_all(clones, remote)


def _assert_all_have_all(clones: list[Git], remote: HttpRemote) -> None:
    expected = everything(clones[0])
    assert len(expected[0]) == CLONES * RUNS
    for clone in clones:
        assert everything(clone) == expected
        check_code(clone, expected[0])
        assert_sound(clone)
    assert everything(remote.git) == expected
    assert remote.git("fsck", "--strict", "--no-dangling") == ""


# --- killed at each step -----------------------------------------------------------------------


class World:
    """A remote that has moved on, and a clone with work of every kind to do.

    The clone shares its shard's name with another one. Of its runs some are shared, some are not,
    and one of each is withdrawn; the remote has runs, also in this very shard, that it lacks.
    """

    def __init__(self, folder: Path) -> None:
        self.remote = Git(folder / "remote.git")
        self.here = Git(folder / "here")

    @classmethod
    def make(cls, template: Path, folder: Path) -> World:
        """Make one in a new folder; the clone names the remote by a path relative to itself."""
        bare_repository(folder / "remote.git")
        world = cls(folder)
        clones = {
            name: make_clone(template, folder / name, "../remote.git", shard)
            for name, shard in (("here", "ada"), ("twin", "ada"), ("bob", "bob"))
        }
        shared = write_runs(world.here, range(4), "shared")
        finishes(world.here, "push")
        for name in ("twin", "bob"):
            write_runs(clones[name], range(3), name)
            finishes(clones[name], "push")
        fresh = write_runs(world.here, range(4), "fresh")
        finishes(world.here, "rm", shared[0], fresh[0])
        for git in (world.remote, world.here):
            git("gc", "--quiet")
        shutil.rmtree(clones["twin"].path)
        shutil.rmtree(clones["bob"].path)
        return world

    def copy(self, folder: Path) -> World:
        """Copy remote and clone; a copy that was there before is replaced."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.here.path.parent, folder, symlinks=True)
        return World(folder)

    def state(self) -> tuple[object, ...]:
        """Return all that counts of both: what is said of runs, and which handles there are.

        Handles are those after one more pull: what a push pulled that died, a pull completes.
        """
        remote = everything(self.remote)
        finishes(self.here, "pull")
        handles = self.here("for-each-ref", "--format=%(refname)", refs.RUNS)
        return everything(self.here), remote, handles


STEPS = {
    "push": ("push",),
    "pull": ("pull",),
    "gc": ("gc", "--older-than", "0d"),
    "archive": ("archive", "--older-than", "0d"),
}
_TRIALS = 12
"""Deaths for each command, about; they are spread over all that it does."""


@pytest.fixture
def world(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World.make(template, tmp_path / "world")


def _trace(meet: Callable[[str], None]) -> None:
    """Call ``meet`` with each place of the watched modules (file and line) that is reached."""

    def local(frame: FrameType, event: str, _argument: Any) -> Any:
        if event == "line":
            meet(f"{frame.f_code.co_filename}:{frame.f_lineno}")
        return local

    def tracer(frame: FrameType, _event: str, _argument: Any) -> Any:
        return local if any(part in frame.f_code.co_filename for part in WATCHED) else None

    sys.settrace(tracer)


def _places(world: World, words: tuple[str, ...], log: Path) -> list[str]:
    """Run a command to its end; return the places that it reaches, each once, in order."""

    def record() -> None:
        met = set()

        def meet(place: str) -> None:
            if place not in met:
                met.add(place)
                with log.open("a") as file:
                    file.write(place + "\n")

        _trace(meet)

    log.unlink(missing_ok=True)
    done = command(world.here, *words, before=record)
    assert done.code == 0, done.said
    return log.read_text().split("\n")[:-1]


def _die_at(place: str) -> None:
    def meet(reached: str) -> None:
        if reached == place:
            os.killpg(0, signal.SIGKILL)

    _trace(meet)


@pytest.mark.parametrize("step", STEPS)
def test_death_at_any_step_leaves_the_old_state_or_the_new(
    world: World, tmp_path: Path, step: str
) -> None:
    whole = world.copy(tmp_path / "whole")
    places = _places(whole, STEPS[step], tmp_path / "places")
    assert len(places) > 20
    expected = whole.state()
    for place in places[:: max(1, len(places) // _TRIALS)]:
        trial = world.copy(tmp_path / "trial")
        done = command(trial.here, *STEPS[step], before=functools.partial(_die_at, place))
        assert done.code is None, (place, done)
        _assert_nothing_lost(world, trial, place)
        finishes(trial.here, *STEPS[step])
        assert trial.state() == expected, place
        _assert_whole(trial, place)


def _assert_nothing_lost(before: World, now: World, place: str) -> None:
    gone = withdrawn(before.here)
    for old, new in ((before.here, now.here), (before.remote, now.remote)):
        held = facts_of(new)
        for run, lines in facts_of(old).items():
            assert run in held, place
            assert run in gone or held[run] >= lines, place


def _assert_whole(trial: World, place: str) -> None:
    assert locks(trial.here) == [], place
    check_code(trial.here, set(facts_of(trial.here)) - withdrawn(trial.here))
    assert trial.here("fsck", "--strict", "--no-dangling") == ""
    assert trial.remote("fsck", "--strict", "--no-dangling") == ""


_SHIM = """#!/bin/sh
echo >> '{calls}'
if [ "$(wc -l < '{calls}')" -ne {number} ]; then exec '{git}' "$@"; fi
exec 3<&0
'{git}' "$@" <&3 3<&- &
sleep {delay}
kill -9 $!
wait $!
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_git_that_is_killed_at_any_call_is_told_and_the_next_try_finishes(
    world: World, tmp_path: Path, step: str
) -> None:
    whole = world.copy(tmp_path / "whole")
    calls = _count_git_calls(whole, STEPS[step], tmp_path)
    expected = whole.state()
    for number in range(1, calls + 1, 1 + calls // _TRIALS):
        trial = world.copy(tmp_path / "trial")
        use = _git_shim(tmp_path / "shim", number, (0, 0.005, 0.02)[number % 3])
        done = command(trial.here, *STEPS[step], before=use)
        assert done.code == 0 or errors_of(done.said), done
        assert "Traceback" not in done.said
        _assert_nothing_lost(world, trial, str(number))
        finishes(trial.here, *STEPS[step])
        assert trial.state()[:2] == expected[:2], number
        _assert_whole(trial, str(number))


def _count_git_calls(world: World, words: tuple[str, ...], folder: Path) -> int:
    done = command(world.here, *words, before=_git_shim(folder / "shim", 0, 0))
    assert done.code == 0, done.said
    calls = len((folder / "shim" / "calls").read_text())
    assert calls >= 2
    return calls


def _git_shim(folder: Path, number: int, delay: float) -> Callable[[], None]:
    """Return what puts a git on PATH whose n-th call is killed after a moment."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    text = _SHIM.format(calls=folder / "calls", number=number, delay=delay, git=shutil.which("git"))
    (folder / "git").write_text(text)
    (folder / "git").chmod(0o755)

    def use() -> None:
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"

    return use


def test_a_lock_that_a_killed_fetch_left_does_not_stay(world: World) -> None:
    lock = world.here.path / ".git" / f"{refs.REMOTES}origin/facts/bob.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.touch()
    finishes(world.here, "pull")
    finishes(world.here, "push")
    _assert_whole(world, "a lock of a fetch")


# --- removal -----------------------------------------------------------------------------------


def test_a_clone_that_was_away_does_not_bring_back_what_was_removed(
    template: Path, tmp_path: Path
) -> None:
    remote = bare_repository(tmp_path / "remote.git")
    here, old, third = (
        make_clone(template, tmp_path / name, str(remote.path), name)
        for name in ("here", "old", "third")
    )
    runs = write_runs(here, range(4))
    finishes(here, "push")
    finishes(old, "pull")
    extra = write_runs(old, range(2), "extra")
    finishes(here, "rm", *runs[:2])
    finishes(here, "gc", "--older-than", "0d")
    finishes(here, "push")
    finishes(old, "push", "--all")
    finishes(old, "pull")
    finishes(old, "push", "--all")
    for clone in (here, third):
        finishes(clone, "pull")
    finishes(old, "gc", "--older-than", "0d")
    for clone in (here, old, third):
        assert {run.id for run in gitexp.open(clone.path).runs()} == {*runs[2:], *extra}
        _assert_collected(clone, runs[:2])
        handles = clone("for-each-ref", "--format=%(refname:lstrip=3)", refs.RUNS).split()
        assert set(handles) == {*runs[2:], *extra}
        assert_sound(clone)


def _assert_collected(git: Git, runs: list[str]) -> None:
    """Of runs nothing is left but tombstones, in any shard."""
    facts, metrics, files = everything(git)
    for run in runs:
        lines = facts[run] | metrics.get(run, frozenset())
        assert all(b'"kind":"tombstone"' in line for line in lines)
        assert not [path for path in files if path.startswith(f"{run[:2]}/{run[2:]}")]
