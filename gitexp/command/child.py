"""The running command and its process group: signals, deadlines, who has the terminal.

We are to the command what a shell is to a job: it has its own group, it is told when the user
presses Ctrl-C or Ctrl-Z, and it gets the terminal when it asks for it.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Literal

CommandStatus = Literal["exited", "timeout", "interrupted", "not_started"]

ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
"""Signals that are passed on and make the run an interrupted one, beside SIGINT."""

_RELAYED = (signal.SIGUSR1, signal.SIGUSR2)
_WATCHED = (
    *ENDING,
    *_RELAYED,
    signal.SIGINT,
    signal.SIGTSTP,
    signal.SIGWINCH,
    signal.SIGCHLD,
)

_SAME_KEY_S = 0.3
"""Interrupts closer than this are one: a Ctrl-C comes from the terminal and once more from the
git program that started us."""

_GROUP_POLL_S = 0.05


def _note(_signum: int, _frame: FrameType | None) -> None:
    """Do nothing: a signal with a handler writes its number to the wakeup pipe."""


@contextmanager
def watched_signals() -> Iterator[int]:
    """Yield a descriptor from which the numbers of arriving signals are read, one byte each.

    Signals that are ignored (nohup, background jobs of scripts) stay so, but for SIGCHLD:
    without it the system would not keep the exit status of the command.
    """
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    watched = [
        number
        for number in _WATCHED
        if number == signal.SIGCHLD or signal.getsignal(number) != signal.SIG_IGN
    ]
    previous_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    previous = {number: signal.signal(number, _note) for number in watched}
    try:
        yield reader
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_fd)
        os.close(reader)
        os.close(writer)


@contextmanager
def controlling_terminal() -> Iterator[Terminal]:
    """Yield the terminal that this process is controlled by, or one that is absent."""
    try:
        fd = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:  # a service, a container, a scheduler's job
        yield Terminal(None)
        return
    try:
        yield Terminal(fd)
    finally:
        os.close(fd)


class Terminal:
    """The controlling terminal, if there is one: who has it, and giving it away."""

    def __init__(self, fd: int | None) -> None:
        self._fd = fd

    @property
    def present(self) -> bool:
        """Whether there is one."""
        return self._fd is not None

    def belongs_to(self, group: int) -> bool:
        """Tell whether a process group is in the foreground."""
        try:
            return self._fd is not None and os.tcgetpgrp(self._fd) == group
        except OSError:
            return False  # it was hung up

    def give_to(self, group: int) -> None:
        """Put a process group in the foreground."""
        if self._fd is None:
            return
        # A process in the background is stopped by this call unless it blocks the signal.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
        try:
            os.tcsetpgrp(self._fd, group)
        except OSError:
            self._fd = None  # it was hung up, or the group has gone
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _suspend(process: int) -> None:
    """Stop ourselves, or with 0 our whole group, as Ctrl-Z does; returns when continued."""
    signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(process, signal.SIGTSTP)
    signal.signal(signal.SIGTSTP, _note)


class Child:
    """The running command and its group: signals, deadlines, stopping and continuing.

    Attributes:
        deadline: When, on the monotonic clock, the next step to end it is due.
        ended_at: When the command itself ended; None while it runs.
    """

    def __init__(
        self, process: subprocess.Popen[bytes], terminal: Terminal, grace_s: float
    ) -> None:
        self.status: CommandStatus = "exited"
        self.deadline: float | None = None
        self.ended_at: float | None = None
        self._process = process
        self._group = process.pid
        self._terminal = terminal
        self._grace_s = grace_s
        self._terminated = False
        self._interrupts = 0
        self._last_interrupt = 0.0

    @property
    def finished(self) -> bool:
        """The command has ended, and when its time was up its whole group has."""
        return self.ended_at is not None and self.deadline is None

    def signal_group(self, number: int) -> bool:
        """Send a signal to the whole group; tell whether there is still a process in it."""
        try:
            os.killpg(self._group, number)
        except (ProcessLookupError, PermissionError):
            return False  # macOS says the latter when only the dead are left
        return True

    def receive(self, number: int) -> None:
        """Pass on a signal that came to us."""
        if number == signal.SIGTSTP:
            self.signal_group(signal.SIGTSTP)
            _suspend(os.getpid())
            self.signal_group(signal.SIGCONT)
        elif self.ended_at is not None:
            return
        elif number == signal.SIGINT:
            self._interrupt()
        elif number in ENDING:
            self._end_by(number)
        elif number in _RELAYED:
            os.kill(self._process.pid, number)

    def _interrupt(self) -> None:
        now = time.monotonic()
        if self._interrupts and now - self._last_interrupt < _SAME_KEY_S:
            return
        self._last_interrupt = now
        self._interrupts += 1
        steps = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
        self._end_by(steps[min(self._interrupts, len(steps)) - 1])

    def _end_by(self, number: int) -> None:
        if self.status == "exited":
            self.status = "interrupted"
        self.signal_group(number)
        self.signal_group(signal.SIGCONT)  # what is stopped would not notice

    def enforce_deadline(self) -> None:
        """Take the step that is due: SIGTERM, then SIGKILL."""
        now = time.monotonic()
        if self.ended_at is not None and not (self._terminated and self.signal_group(0)):
            self.deadline = None
        if self.deadline is None or now < self.deadline:
            return
        if self._terminated:
            self.signal_group(signal.SIGKILL)
            self.deadline = None
            return
        if self.status == "exited":
            self.status = "timeout"
        self._terminated = True
        self.deadline = now + self._grace_s
        self.signal_group(signal.SIGTERM)
        self.signal_group(signal.SIGCONT)

    def seconds_to_act(self) -> float | None:
        """Return how long nothing needs to be done without an event; None is for ever."""
        if self.deadline is None:
            return None
        wait = max(0.0, self.deadline - time.monotonic())
        return wait if self.ended_at is None else min(wait, _GROUP_POLL_S)

    def collect(self) -> None:
        """Take note of what happened to the command: it was stopped, or it ended."""
        while self.ended_at is None:
            pid, status = os.waitpid(self._process.pid, os.WNOHANG | os.WUNTRACED)
            if not pid:
                return
            if os.WIFSTOPPED(status):
                self._handle_stop(os.WSTOPSIG(status))
                continue
            self._process.returncode = os.waitstatus_to_exitcode(status)
            self.ended_at = time.monotonic()
            if self._terminal.belongs_to(self._group):
                self._terminal.give_to(os.getpgrp())

    def _handle_stop(self, number: int) -> None:
        """Do what a shell does when a job wants the terminal or gives it up."""
        ours = os.getpgrp()
        if number in (signal.SIGTTIN, signal.SIGTTOU) and self._terminal.present:
            if not self._terminal.belongs_to(ours):
                _suspend(0)  # we are a background job; the user has to bring us back
                time.sleep(_GROUP_POLL_S)  # where nobody can stop us, do not spin
        elif number == signal.SIGTSTP and self._terminal.belongs_to(self._group):
            self._terminal.give_to(ours)
            _suspend(0)
        else:
            return  # by our own signal, or by somebody who will also continue it
        if self._terminal.belongs_to(ours):
            self._terminal.give_to(self._group)
        self.signal_group(signal.SIGCONT)

    def kill(self) -> None:
        """End the group at once, when we cannot go on watching it."""
        self.signal_group(signal.SIGKILL)
        if self.ended_at is None:
            self._process.wait()
