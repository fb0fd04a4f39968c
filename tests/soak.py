"""Trouble at random, for as long as one likes: ``python -m tests.soak --minutes 5``.

Clones of one project record, push, pull, withdraw, collect and archive over smart HTTP, all at
once. Meanwhile commands and the server's processes are killed, connections are cut, and git
collects garbage on both sides; a third of the clones have one shard name. In the end the trouble
stops, everybody pushes and pulls, and everything is compared: no run that was recorded may be
missing, none that was withdrawn may be back, all clones must hold the same, whole. What happened
is printed as a Markdown table; the exit code is 1 if anything did not hold.
"""

from __future__ import annotations

import argparse
import ctypes
import functools
import mmap
import os
import platform
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from gitexp import __version__
from tests.clones import (
    assert_sound,
    check_code,
    command,
    everything,
    facts_of,
    finishes,
    locks,
    make_clone,
    withdrawn,
    write_runs,
)
from tests.remotes import HttpRemote, http_remote
from tests.support import Git

_COUNTED = (
    "runs",
    "pushes",
    "pulls",
    "withdrawn",
    "collections",
    "archives",
    "kills",
    "failures",
    "conflicts",
    "unexpected",
)
_KILLED, _LONGEST_SECONDS = 0.3, 0.5
_EXPECTED_CODES = (0, 1, 11)


class Counts(ctypes.Structure):
    """What one clone did; shared with its process."""

    _fields_ = tuple((name, ctypes.c_int64) for name in _COUNTED)

    def add(self, name: str, number: int = 1) -> None:
        """Count."""
        setattr(self, name, getattr(self, name) + number)


class Member:
    """One clone, and a diary outside of it of what was acknowledged."""

    def __init__(self, git: Git, number: int, seed: int) -> None:
        self.git = git
        self.number = number
        self.counts = Counts.from_buffer(mmap.mmap(-1, ctypes.sizeof(Counts)))
        self.diary = git.path.with_suffix(".diary")
        self.diary.touch()
        self._source = random.Random(seed * 1000 + number)

    def live(self, deadline: float) -> None:
        """Do things at random until the time is over."""
        actions: dict[Callable[[], None], int] = {
            self._record: 6,
            self._push: 6,
            self._pull: 6,
            self._push_one: 1,
            self._withdraw: 1,
            self._collect: 1,
            self._archive: 1,
            self._collect_garbage: 1,
        }
        while time.monotonic() < deadline:
            (action,) = self._source.choices(list(actions), list(actions.values()))
            action()

    def noted(self, word: str) -> set[str]:
        """Return the runs that the diary has under a word."""
        lines = (line.split() for line in self.diary.read_text().splitlines())
        return {run for first, run in lines if first == word}

    def _note(self, word: str, run: str) -> None:
        with self.diary.open("a") as file:
            file.write(f"{word} {run}\n")

    def _record(self) -> None:
        first, number = self.counts.runs, self._source.randint(1, 5)
        label = f"clone {self.number} run"
        for run in write_runs(self.git, range(first, first + number), label):
            self._note("recorded", run)
        self.counts.add("runs", number)

    def _push(self) -> None:
        self._try("pushes", "push", *self._source.choice(((), (), ("--all",))))

    def _push_one(self) -> None:
        if (run := self._any_run()) is not None:
            self._try("pushes", "push", "origin", run)

    def _pull(self) -> None:
        self._try("pulls", "pull")

    def _withdraw(self) -> None:
        if (run := self._any_run()) is not None:
            self._note("going", run)
            if self._try("withdrawn", "rm", run):
                self._note("gone", run)

    def _collect(self) -> None:
        self._try("collections", "gc", "--older-than", "0d")

    def _archive(self) -> None:
        self._try("archives", "archive", "--older-than", "0d")

    def _collect_garbage(self) -> None:
        words = ["git", "gc", "--quiet"]
        done = subprocess.run(words, cwd=self.git.path, check=False, capture_output=True)
        self.counts.add("failures", done.returncode != 0)

    def _any_run(self) -> str | None:
        standing = sorted(self.noted("recorded") - self.noted("going"))
        return self._source.choice(standing) if standing else None

    def _try(self, counter: str, *words: str) -> bool:
        """Run a command, which may be killed; say whether it succeeded."""
        killed = self._source.random() < _KILLED
        after = self._source.uniform(0, _LONGEST_SECONDS) if killed else None
        done = command(self.git, *words, kill_after=after)
        if done.code is None:
            self.counts.add("kills")
        elif done.code == 0:
            self.counts.add(counter)
        else:
            self.counts.add("conflicts" if done.code == 11 else "failures")
        if done.code not in (None, *_EXPECTED_CODES) or "Traceback" in done.said:
            self.counts.add("unexpected")
            with self.git.path.with_suffix(".unexpected").open("a") as file:
                file.write(f"{words}: {done.code}\n{done.said}\n")
        return done.code == 0


def soak(minutes: float, clones: int, seed: int, folder: Path) -> tuple[dict[str, int], list[str]]:
    """Make trouble; return what was counted, and what did not hold."""
    project = _make_project(folder / "project")
    (folder / "server").mkdir()
    with http_remote(folder / "server") as remote:
        members = []
        for number in range(clones):
            shard = f"shard{number}" if number % 3 else "shared"
            clone = make_clone(project, folder / f"clone{number}", remote.url, shard)
            members.append(Member(clone, number, seed))
        members[0].git("push", "--quiet", "origin", "main")
        begin = time.monotonic()
        _make_trouble(members, remote, begin + minutes * 60, seed)
        broken = [*_settle(members, remote), *_compare(members, remote)]
        counts = {name: sum(getattr(m.counts, name) for m in members) for name in _COUNTED}
        counts["server kills"], counts["cuts"] = remote.wire.kills, remote.wire.cuts
        counts["requests"] = remote.wire.requests
        counts["seconds"] = round(time.monotonic() - begin)
    broken += [path.read_text() for path in sorted(folder.glob("*.unexpected"))]
    return counts, broken


def _make_project(folder: Path) -> Path:
    folder.mkdir()
    git = Git(folder, {"user.name": "Ada", "user.email": "ada@example.org"})
    git("init", "--quiet", "--initial-branch=main")
    git.write("train.py", "print(0)\n")
    git("add", ".")
    git("commit", "--quiet", "--message=first")
    return folder


def _make_trouble(members: list[Member], remote: HttpRemote, deadline: float, seed: int) -> None:
    remote.wire.kill_percent, remote.wire.kill_within_ms = 5, 60
    source = random.Random(seed)
    with _beside(functools.partial(tend, remote.git)):
        children = [_fork(functools.partial(member.live, deadline)) for member in members]
        while time.monotonic() < deadline:
            time.sleep(source.uniform(0, 3))
            remote.wire.cut_after = source.choice((0, 0, source.randrange(1, 20_000)))
        for child in children:
            os.waitpid(child, 0)
    remote.wire.kill_percent = remote.wire.cut_after = 0
    for lock in locks(remote.git):
        (remote.git.path / lock).unlink()


def tend(remote: Git) -> None:
    """Run ``git gc`` over and over, and remove the locks of the killed, as an administrator."""
    seen: dict[str, float] = {}
    while True:
        subprocess.run(["git", "gc", "--quiet"], cwd=remote.path, check=False, capture_output=True)
        now = time.monotonic()
        seen = {lock: seen.get(lock, now) for lock in locks(remote)}
        for lock in (lock for lock, since in seen.items() if now - since > 1):
            (remote.path / lock).unlink(missing_ok=True)
        time.sleep(0.3)


def _fork(work: Callable[[], object]) -> int:
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:  # noqa: BLE001 - the end of a process
            traceback.print_exc()
        finally:
            os._exit(0)
    return child


@contextmanager
def _beside(work: Callable[[], object]) -> Iterator[None]:
    child = _fork(work)
    try:
        yield
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _settle(members: list[Member], remote: HttpRemote) -> Iterator[str]:
    """Let everybody share without trouble."""
    for words in (("push", "--all"), ("pull",), ("push", "--all"), ("pull",)):
        for member in members:
            yield from _held(f"clone {member.number}, {words}", finishes, member.git, *words)
    yield from _held("the remote", remote.git, "fsck", "--strict", "--no-dangling")


def _held(what: str, check: Callable[..., object], *arguments: object) -> Iterator[str]:
    try:
        check(*arguments)
    except (AssertionError, subprocess.CalledProcessError) as error:
        yield f"{what}: {error}"


def _compare(members: list[Member], remote: HttpRemote) -> Iterator[str]:
    recorded = set().union(*(member.noted("recorded") for member in members))
    going = set().union(*(member.noted("going") for member in members))
    gone = set().union(*(member.noted("gone") for member in members))
    expected = everything(members[0].git)
    for git in (*(member.git for member in members), remote.git):
        held, hidden = set(facts_of(git)), withdrawn(git)
        if missing := recorded - held:
            yield f"{git.path.name}: {len(missing)} runs are missing, such as {min(missing)}"
        if back := gone - hidden:
            yield f"{git.path.name}: {len(back)} withdrawn runs are back, such as {min(back)}"
        if strange := hidden - going:
            yield f"{git.path.name}: nobody withdrew {min(strange)}"
        if everything(git) != expected:
            yield f"{git.path.name}: not the same as {members[0].git.path.name}"
    for member in members:
        standing = recorded - withdrawn(member.git)
        yield from _held(f"clone {member.number}, code", check_code, member.git, standing)
        yield from _held(f"clone {member.number}", assert_sound, member.git)


def _table(counts: dict[str, int], clones: int, seed: int) -> str:
    git = subprocess.run(["git", "--version"], check=True, capture_output=True, text=True).stdout
    rows = {
        "clones": clones,
        "seed": seed,
        **counts,
        "gitexp": __version__,
        "git": git.split()[2],
        "pygit2": metadata.version("pygit2"),
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }
    return "\n".join(["| | |", "|---|---:|", *(f"| {k} | {v} |" for k, v in rows.items())])


def main() -> int:
    """Run the soak; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--clones", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gitexp-soak-") as name:
        (Path(name) / "home").mkdir()
        os.environ |= {"HOME": f"{name}/home", "GIT_CONFIG_NOSYSTEM": "1"}
        counts, broken = soak(args.minutes, args.clones, args.seed, Path(name))
    print(_table(counts, args.clones, args.seed))
    for sentence in broken:
        print(f"\nDid not hold: {sentence}", file=sys.stderr)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
