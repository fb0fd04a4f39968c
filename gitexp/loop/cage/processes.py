"""The processes of a session: known by a mark in their environment, and ended.

A process passes its environment on to its children, also to those that leave its session and its
group; what carries the mark is therefore the session's. ``/proc/*/environ`` shows the environment
that a program was started with, so a program cannot take the mark off itself, only off those that
it starts, and by overwriting its own memory. What does that is ended by the guardian
(`gitexp.loop.cage.guardian`), or with the process namespace of a sandbox.

Where there is no ``/proc``, nothing is found: there the guardian's process group is all.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from gitexp.loop.cage import guardian

MARK = "GITEXP_LOOP_MARK"
"""The variable. A loop within a loop adds its session, after a colon."""

_PATIENCE_S = 10.0
_ROUND_S = 0.01


def marked(outer: Mapping[str, str], mark: str) -> str:
    """Return the value of the variable for a process of a session."""
    return ":".join(filter(None, (outer.get(MARK, ""), mark)))


def guarded(report: Path, *, hidden: bool = False) -> tuple[str, ...]:
    """Return arguments that a command is started behind, to be ended with all that it leaves.

    Args:
        report: File for how many processes outlived it.
        hidden: This process cannot be seen from there; something else ends the guardian.
    """
    parent = 0 if hidden else os.getpid()
    return (sys.executable, "-I", "-S", str(guardian.__file__), str(parent), str(report))


def outlived(report: Path) -> int:
    """Return how many processes guardians had to end, and forget it."""
    try:
        with report.open("rb") as file:
            numbers = file.read(4096).split()
        report.unlink()
    except OSError:
        return 0
    return sum(int(number) for number in numbers if number.isdigit() and len(number) < 7)  # noqa: PLR2004 - no count is larger


def end_marked(mark: str) -> int:
    """End every process that carries a session's mark, and what they start meanwhile.

    Returns:
        How many there were. `alive` says which could not be ended within 10 s: those that wait
        for a device that does not answer, or belong to somebody else.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + _PATIENCE_S
    while found := alive(mark):
        for process in found:
            _kill(process, mark)
        ended.update(found)
        if time.monotonic() > deadline:
            break
        time.sleep(_ROUND_S)
    return len(ended)


def alive(mark: str) -> list[int]:
    """Return the ids of the processes that carry a session's mark, this one excepted."""
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - names are all that is needed
    except OSError:
        return []
    own = os.getpid()
    numbers = (int(name) for name in names if name.isdecimal())
    return [number for number in numbers if number != own and _carries(number, mark)]


def _carries(process: int, mark: str) -> bool:
    try:
        content = Path("/proc", str(process), "environ").read_bytes()
    except OSError:  # it has ended, or is somebody else's
        return False
    prefix, wanted = f"{MARK}=".encode(), os.fsencode(mark)
    values = (entry for entry in content.split(b"\0") if entry.startswith(prefix))
    return any(wanted in entry[len(prefix) :].split(b":") for entry in values)


def _kill(process: int, mark: str) -> None:
    """End a process if it is still the one that carries the mark: numbers are used again."""
    with suppress(ProcessLookupError, PermissionError):
        try:
            handle = os.pidfd_open(process)
        except ProcessLookupError:
            return
        except OSError:  # an old kernel has no such handles
            os.kill(process, signal.SIGKILL)
            return
        try:
            if _carries(process, mark):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
