"""Stands between the loop and a program that it starts, and takes all that it left along.

A program of its own, run as ``python -I -S guardian.py PARENT REPORT COMMAND…``: it imports
nothing of gitexp, so that it starts at once, and in any folder. It starts the command and ends as
that ends. What the command left behind, in whatever session or group, is ended then:
on Linux orphans come to the guardian (it is a "child subreaper", prctl(2)), so a daemon cannot get
away from it by forking twice, nor by clearing its environment. The same happens when the loop
itself goes away, by ``kill -9`` too, and `PATIENCE_S` after the guardian was told to end.

Elsewhere only the process group is ended.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import time
from pathlib import Path

PATIENCE_S = 3.0
"""From SIGTERM to the end of all: less than who sent it waits before SIGKILL, which would end the
guardian itself."""

FAREWELL_S = 0.3
"""How long what the command left may take to end by itself, as helpers do whose parent is gone."""

_ENDING_S = 10.0
_ROUND_S = 0.01
_POLL_S = 0.5
_SUBREAPER = 36
_TELLING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_RELAYED = (signal.SIGUSR1, signal.SIGUSR2)
_WATCHED = (*_TELLING, *_RELAYED, signal.SIGINT, signal.SIGCHLD)


def main(arguments: list[str]) -> int:
    """Run a command to its end; return its exit code, or end by the signal that ended it.

    Args:
        arguments: Process id of the loop (0 where it cannot be seen), file to append to how many
            processes outlived the command, the command.
    """
    parent, report, command = int(arguments[0]), Path(arguments[1]), arguments[2:]
    _become_subreaper()
    signals = _watch_signals()
    try:
        child = os.posix_spawnp(
            command[0], command, os.environ, setsigdef=[signal.SIGPIPE, signal.SIGXFSZ]
        )
    except OSError as error:
        sys.stderr.write(f"The command {command[0]!r} cannot be executed: {error.strerror}.\n")
        return 127 if isinstance(error, FileNotFoundError) else 126
    status = _wait(child, parent, signals)
    left = _end_all(farewell_s=0.0 if status is None else FAREWELL_S)
    if left and status is not None:
        with contextlib.suppress(OSError), report.open("a") as file:
            file.write(f"{left}\n")
    return 1 if status is None else _ended_like(status)


def _become_subreaper() -> None:
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)


def _watch_signals() -> int:
    """Return a descriptor from which the numbers of signals are read; ignored ones stay so."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in _WATCHED:
        if number == signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda _number, _frame: None)
    return reader


def _wait(child: int, parent: int, signals: int) -> int | None:
    """Return the wait status of the child; None when it is to be ended with all others."""
    watched = _open_parent(parent)
    deadline = None
    while True:
        if parent and os.getppid() != parent:
            return None
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                if ended[0] == child:
                    return ended[1]
        if deadline is not None and time.monotonic() >= deadline:
            return None
        ready, _, _ = select.select([signals, *watched], [], [], _POLL_S)
        if signals in ready:
            told = os.read(signals, 4096)
            for number in set(told).intersection(_RELAYED):
                os.kill(child, number)
            if deadline is None and set(told).intersection(_TELLING):
                deadline = time.monotonic() + PATIENCE_S


def _open_parent(parent: int) -> list[int]:
    """Return a descriptor that becomes readable when the loop ends, where there are such."""
    if parent and hasattr(os, "pidfd_open"):
        with contextlib.suppress(OSError):
            return [os.pidfd_open(parent)]
    return []


def _end_all(farewell_s: float) -> int:
    """End all descendants; return how many there were that did not go by themselves."""
    if not Path("/proc/self/stat").exists():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.killpg(0, signal.SIGTERM)
        return 0
    began = time.monotonic()
    ended: set[int] = set()
    while time.monotonic() - began < _ENDING_S:
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        found = descendants(os.getpid())
        if not found:
            break
        if time.monotonic() - began >= farewell_s:
            for process in found:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(process, signal.SIGKILL)
            ended.update(found)
        time.sleep(_ROUND_S)
    return len(ended)


def descendants(ancestor: int) -> list[int]:
    """Return the processes below one, by ``/proc/*/stat``."""
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - names are all that is needed
        if name.isdecimal():
            with contextlib.suppress(OSError, ValueError, IndexError):
                # The name of the program stands in brackets, and may hold anything.
                fields = Path("/proc", name, "stat").read_bytes().rpartition(b")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(name))
    found: list[int] = []
    waiting = [ancestor]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _ended_like(status: int) -> int:
    """Return the exit code of a wait status, or end by the signal that it names."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return code
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -code not in (signal.SIGKILL, signal.SIGSTOP):
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
    return 128 - code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
