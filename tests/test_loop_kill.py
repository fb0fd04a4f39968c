"""``kill -9`` of a session at random moments: it comes to its end, and nothing is lost or left."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gitexp
from gitexp.git.repository import Repository
from gitexp.journal import process_start
from gitexp.loop.cage.processes import MARK
from gitexp.loop.journal import (
    Ran,
    Running,
    Sitting,
    external_id,
    journal_path,
    read_lines,
    sessions,
)
from tests.loop_project import (
    Users,
    change,
    known_project,
    library_of,
    worktrees,
    write_script,
)
from tests.support import gitexp_json

KILLS = 30
RUNS = 40
SEED = 20_261_121
HEAD = "import os\nimport random\n"
LINGERING = """\
import os
import random
import time

parent = os.getppid()
time.sleep(0.1)
while os.getppid() != parent:
    time.sleep(60)
"""
"""A training that stays for ever when who started it is gone."""


DRIVER = """\
import os
import signal
import sys

import gitexp.cli.commands.loop
import gitexp.loop.cycle
from gitexp.cli.main import main

signal.signal(signal.SIGCHLD, signal.SIG_IGN)
for line in sys.stdin:
    pid = os.fork()
    if not pid:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        os.dup2(2, 1)
        main(line.split())
    print(pid, flush=True)
"""
"""Starts ``git exp`` by forking: so that kills meet sessions, and not the start of Python."""


class Driver:
    """Starts sessions, one after the other."""

    def __init__(self, log: Path) -> None:
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-c", DRIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )

    def start(self, *words: str) -> int:
        """Start a command line; return its process id."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(" ".join(words) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End."""
        self._process.communicate()


def kill(pid: int) -> None:
    """Kill a process, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    while process_start(pid) is not None:
        time.sleep(0.002)


def wait_for_session(repository: Repository) -> str:
    """Return the id of the session when its journal has begun."""
    while True:
        for name in sessions(repository):
            if journal_path(repository, name).stat().st_size:
                return name
        time.sleep(0.01)


def marked_processes(session: str) -> list[int]:
    """Return the processes of this machine that carry the mark of a session."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                variables = (entry / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(v.startswith(f"{MARK}=".encode()) and session.encode() in v for v in variables):
                found.append(int(entry.name))
    return found


def proposals() -> list[object]:
    """Return a line of proposals, each of which fits after any of those before it."""
    return [
        change(f"constant {number}", "import random\n", f"import random\n\nEXTRA_{number} = 1\n")
        if number % 4
        else "not readable"
        for number in range(200)
    ]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
def test_a_session_that_is_killed_again_and_again_loses_and_repeats_nothing(
    tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    git = known_project(tmp_path, monkeypatch)
    train = (git.path / "train.py").read_text()
    git.write("train.py", train.replace(HEAD, LINGERING))
    git("commit", "--quiet", "-am", "a training that stays")
    before = Users(git)
    path = write_script(tmp_path / "script", proposals())
    words = ["--script", str(path), "--metric", "val_bpb", "--runs", str(RUNS), "--failures", "99"]
    driver = Driver(tmp_path / "log")
    pid = driver.start("loop", *words, "--sandbox", "off", "--", "python", "train.py")
    repository = gitexp.open().repository
    session = wait_for_session(repository)
    chance = random.Random(SEED)
    began = time.time()
    for _ in range(KILLS):
        time.sleep(chance.uniform(0.0, 1.2))
        kill(pid)
        pid = driver.start("loop", "--resume", session)
    while process_start(pid) is not None:
        time.sleep(0.05)
    driver.close()
    result = gitexp_json("loop", "--resume", session)
    assert result["reason"] == "runs", (tmp_path / "log").read_text()

    lines = read_lines(journal_path(repository, session))
    noted = [line for line in lines if isinstance(line, Ran)]
    memory = gitexp.open()
    stored = [run for run in memory.runs() if (run.metadata or {}).get("session") == session]
    assert sorted(run.id for run in stored) == sorted(line.run for line in noted)
    assert len({run.external_id for run in stored}) == len(stored) == RUNS
    steps = {external_id(session, line.id) for line in lines if isinstance(line, Running)}
    assert {run.external_id for run in stored} <= steps
    assert all(run.status != "running" for run in stored)
    cut = [line for line in noted if line.cut]
    assert cut, "no run was hit"
    assert len(cut) < len(noted)
    assert sum(isinstance(line, Sitting) for line in lines) > KILLS * 2 // 3

    library = library_of(git)
    for events in (library.proposals(), library.lessons()):
        assert len({event.id for event in events}) == len(events)
    titles = [each.title for each in library.proposals() if each.outcome is None]
    assert len(set(titles)) == len(titles)
    assert result["spent"]["seconds"] <= time.time() - began + 5

    assert worktrees(git) == []
    assert marked_processes(session) == []
    assert list((repository.home / "worktrees").iterdir()) == []
    assert memory.problems == []
    git("fsck", "--strict", "--no-dangling")
    assert Users(git) == before
