"""What tests of the loop's safety share: programs in a cage, and the user's state around it."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from gitexp.command import CommandResult, read_log, run_command
from gitexp.git.repository import Repository
from gitexp.loop.cage.limits import Limits
from gitexp.loop.cage.sandbox import Sandbox, find_sandbox
from gitexp.loop.cage.worktree import Cage, caged
from tests.support import Git

SANDBOX = find_sandbox()
SESSION = secrets.token_hex(8)
"""Another one in each process: whoever ends the processes of a session ends all of its name."""

needs_sandbox = pytest.mark.skipif(SANDBOX is None, reason="bubblewrap does not work here")
both_ways = pytest.mark.parametrize(
    "sandbox", [None, pytest.param(SANDBOX, marks=needs_sandbox)], ids=["bare", "sandbox"]
)
needs_proc = pytest.mark.skipif(not Path("/proc/self").exists(), reason="there is no /proc")

FLEE = """
import os, sys, time
def flee(environment):
    '''Start a daemon: two forks, a session of its own; it writes its id to the file "daemon".'''
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            code = "import os, time; open('daemon', 'w').write(str(os.getpid())); time.sleep(600)"
            os.execve(sys.executable, [sys.executable, "-S", "-c", code], environment)
        os._exit(0)
    while not (os.path.exists('daemon') and os.path.getsize('daemon')):
        time.sleep(0.01)
"""


@contextmanager
def cage_of(
    repo: Git,
    *,
    allow: Sequence[str] = (),
    protect: Sequence[str] = (),
    links: Sequence[str] = (),
    sandbox: Sandbox | None = None,
    tree: str = "",
) -> Iterator[Cage]:
    """Make a cage with the code of HEAD, or another, on HEAD."""
    repository = Repository.discover(repo.path)
    tree, base = tree or repo("rev-parse", "HEAD^{tree}"), repo("rev-parse", "HEAD")
    limits = Limits(tuple(allow), tuple(protect))
    with caged(
        repository, tree, base, session=SESSION, limits=limits, links=links, sandbox=sandbox
    ) as cage:
        yield cage


def run_in(
    cage: Cage, code: str, budget_s: float = 60.0, **variables: str
) -> tuple[CommandResult, str]:
    """Run a Python program in a cage as the loop does; return how it ended and what it printed."""
    log = cage.folder.parent / "log"
    with Path(os.devnull).open("r+b") as nowhere:
        result = run_command(
            [*cage.wrap(), sys.executable, "-S", "-c", code],
            log=log,
            cwd=cage.folder,
            environment=cage.environment(os.environ) | variables,
            budget_s=budget_s,
            stdin=nowhere.fileno(),
            stdout=nowhere.fileno(),
            stderr=nowhere.fileno(),
        )
    return result, read_log(log).decode("utf-8", "replace")


def state_of(repo: Git) -> dict[str, bytes]:
    """Return all that is the user's: files, links, index, HEAD, refs, settings, hooks."""
    found = {}
    for place, folders, names in os.walk(repo.path):
        relative = os.path.relpath(place, repo.path)
        if relative == ".git":
            folders[:] = [f for f in folders if f not in ("objects", "exprag", "worktrees")]
        if relative == ".git/refs":
            folders[:] = [f for f in folders if f not in ("exprag", "notes")]
        for name in names:
            path = Path(place, name)
            is_link = path.is_symlink()
            content = os.fsencode(path.readlink()) if is_link else path.read_bytes()
            found[f"{relative}/{name}"] = b"%o " % path.lstat().st_mode + content
    return found


def is_alive(process: int) -> bool:
    """Say whether a process is there, and not only its entry."""
    try:
        stat = Path("/proc", str(process), "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def soon(true: Callable[[], bool], within_s: float = 30.0) -> bool:
    """Wait until something is so; say whether it is."""
    until = time.monotonic() + within_s
    while not true():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True
