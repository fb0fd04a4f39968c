"""Run a command and watch over it: the public function and the loop behind it."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from gitexp.command.channel import Channel, open_channel
from gitexp.command.child import (
    ENDING,
    Child,
    CommandStatus,
    controlling_terminal,
    watched_signals,
)
from gitexp.command.log import CommandLog
from gitexp.errors import GitexpError, UsageError

_SIGNALS_AT_ONCE = 4096

_IDLE_S = 0.2
_DRAIN_S = 2.0
_DRAIN_BYTES = 2 << 20
"""After the command has ended its pipes may stay open in processes that it left behind. What
they hold is read (at most 1 MiB each, the largest pipe), until nothing comes for `_IDLE_S`; after
`_DRAIN_S` nobody is waited for."""


@dataclass(frozen=True)
class CommandResult:
    """How a command ended.

    Attributes:
        exit_code: Of the command; negative is the number of the signal that ended it. 127 when
            it was not found and 126 when it could not be executed, as in shells.
        status: ``timeout`` when its time was up, ``interrupted`` when it or we were told to
            stop by a signal, ``not_started`` when there was nothing to run, else ``exited``.
        duration_s: Seconds from start to end.
        tail: The last 8 KiB of its output, standard output and error together.
        log_bytes: How much output there was in all.
        message: Why it was not started, as one sentence; empty otherwise.
    """

    exit_code: int
    status: CommandStatus
    duration_s: float
    tail: bytes = b""
    log_bytes: int = 0
    message: str = ""


def run_command(
    argv: Sequence[str],
    *,
    log: Path,
    cwd: Path,
    environment: Mapping[str, str],
    budget_s: float | None = None,
    grace_s: float = 5.0,
    log_head_bytes: int = 1 << 20,
    log_tail_bytes: int = 1 << 20,
    stdin: int | None = None,
    stdout: int = 1,
    stderr: int = 2,
) -> CommandResult:
    """Run a command to its end, or to the end of its time.

    Must be called in the main thread, because it takes over the signals until it returns:
    SIGINT goes to the whole group of the command (a second one as SIGTERM, a third as SIGKILL),
    SIGTERM, SIGHUP and SIGQUIT go to the group as they are, SIGUSR1 and SIGUSR2 to the command.

    Args:
        argv: The program, found on the ``PATH`` of `environment`, and its arguments.
        log: File to keep the output in; `gitexp.command.read_log` reads it at any time.
        cwd: Folder to run in.
        environment: All variables of the command.
        budget_s: Seconds after which the group gets SIGTERM.
        grace_s: Seconds from there to SIGKILL.
        log_head_bytes: How much of the beginning of the output is kept.
        log_tail_bytes: How much of its end is kept.
        stdin: Descriptor that the command reads from; our standard input by default.
        stdout: Descriptor that standard output is passed on to.
        stderr: Descriptor that standard error is passed on to.

    Raises:
        GitexpError: The log cannot be written or `cwd` does not exist.
        UsageError: `argv` is empty.
        ValueError: This is not the main thread.
    """
    if not argv:
        raise UsageError("There is no command to run.", "Put one after '--'.")
    if not cwd.is_dir():
        raise GitexpError(f"The folder {cwd} does not exist.")
    with ExitStack() as stack:
        record = stack.enter_context(CommandLog(log, log_head_bytes, log_tail_bytes))
        signals = stack.enter_context(watched_signals())
        terminal = stack.enter_context(controlling_terminal())
        channels = [stack.enter_context(open_channel(fd)) for fd in (stdout, stderr)]
        started = time.monotonic()
        try:
            process = _start(argv, cwd, environment, stdin, channels)
        except OSError as error:
            return _explain_failure(argv[0], error)
        child = Child(process, terminal, grace_s)
        if budget_s is not None:
            child.deadline = started + budget_s
        _Loop(child, channels, record, signals).run()
    exit_code, status, seconds = process.returncode, child.status, time.monotonic() - started
    if exit_code == -signal.SIGINT and status == "exited":
        status = "interrupted"  # by a Ctrl-C that went to the command directly
    return CommandResult(exit_code, status, seconds, record.tail, record.size)


def _start(
    argv: Sequence[str],
    cwd: Path,
    environment: Mapping[str, str],
    stdin: int | None,
    channels: Sequence[Channel],
) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env=environment,
        stdin=stdin,
        stdout=channels[0].child_end,
        stderr=channels[1].child_end,
        process_group=0,
    )
    for channel in channels:
        os.close(channel.child_end)
        channel.child_end = -1
    return process


def _explain_failure(program: str, error: OSError) -> CommandResult:
    shown = os.fsencode(program).decode("utf-8", "backslashreplace")
    exit_code = 126
    if isinstance(error, FileNotFoundError) and not os.path.lexists(program):
        exit_code, message = 127, f"The command {shown} was not found."
    elif isinstance(error, FileNotFoundError):
        message = f"The interpreter that {shown} names in its first line was not found."
    elif error.errno == errno.ENOEXEC:
        message = f"The file {shown} is no program: it does not begin with a #! line."
    else:
        message = f"The command {shown} cannot be executed: {error.strerror}."
    return CommandResult(exit_code, "not_started", 0.0, message=message)


class _Loop:
    """Move output, deliver signals and keep deadlines until the command is over."""

    def __init__(
        self, child: Child, channels: Sequence[Channel], log: CommandLog, signals: int
    ) -> None:
        self._child = child
        self._channels = channels
        self._log = log
        self._signals = signals
        self._late_bytes = 0

    def run(self) -> None:
        """Run until the command has ended and its output is passed on."""
        try:
            while not self._finished():
                quiet = self._turn()
                if quiet and self._child.finished and not self._pending():
                    return  # the pipes are held open by processes that were left behind
        except BaseException:
            self._child.kill()
            raise

    def _pending(self) -> bool:
        return any(channel.pending for channel in self._channels)

    def _finished(self) -> bool:
        if not self._child.finished or self._pending():
            return False
        open_sources = any(channel.source != -1 for channel in self._channels)
        return not open_sources or self._late_bytes > _DRAIN_BYTES

    def _turn(self) -> bool:
        """Wait for something to happen and handle it; tell whether nothing happened."""
        readers = [c.source for c in self._channels if c.source != -1 and not c.pending]
        writers = [c.sink for c in self._channels if c.pending]
        ready = select.select([self._signals, *readers], writers, [], self._patience())
        for channel in self._channels:
            if channel.pending and channel.sink in ready[1]:
                channel.pass_on()
            if channel.source in ready[0]:
                self._keep(channel.receive())
        if self._signals in ready[0]:
            for number in os.read(self._signals, _SIGNALS_AT_ONCE):
                self._handle_signal(number)
        self._child.collect()
        self._child.enforce_deadline()
        return not any(ready)

    def _keep(self, data: bytes) -> None:
        self._log.write(data)
        if self._child.ended_at is not None:
            self._late_bytes += len(data)

    def _patience(self) -> float | None:
        """Return how many seconds to wait for something to happen."""
        if not self._child.finished:
            return self._child.seconds_to_act()
        if self._pending():
            return None
        ended_at = self._child.ended_at or 0.0
        return _IDLE_S if time.monotonic() - ended_at < _DRAIN_S else 0.0

    def _handle_signal(self, number: int) -> None:
        if number == signal.SIGWINCH:
            for channel in self._channels:
                channel.resize()
            self._child.signal_group(signal.SIGWINCH)
            return
        self._child.receive(number)
        if self._child.ended_at is not None and number in (signal.SIGINT, *ENDING):
            for channel in self._channels:
                channel.abandon()  # only a reader that does not read has kept us
