"""One stream of output, from the command to us: a pipe, or a terminal where ours is one."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import termios
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gitexp.errors import GitexpWarning

_READ_BYTES = 64 << 10


@contextmanager
def open_channel(sink: int) -> Iterator[Channel]:
    """Yield a stream that ends in a descriptor of ours, and close what is left of it."""
    channel = Channel(sink)
    try:
        yield channel
    finally:
        for fd in (channel.source, channel.child_end):
            if fd != -1:
                os.close(fd)


class Channel:
    """One stream of output on its way from the command to a descriptor of ours.

    Attributes:
        source: Where we read it; -1 when it has ended.
        child_end: What the command writes to; -1 when it has been handed over.
        sink: Where it is passed on to; -1 when nobody takes it any more.
        pending: What has been read and is not passed on yet.
    """

    def __init__(self, sink: int) -> None:
        self.sink = sink
        self.pending = b""
        self._is_terminal = os.isatty(sink)
        self.source, self.child_end = os.openpty() if self._is_terminal else os.pipe()
        if self._is_terminal:
            mode = termios.tcgetattr(self.child_end)
            mode[1] &= ~termios.OPOST  # our terminal turns \n into \r\n; once is enough
            termios.tcsetattr(self.child_end, termios.TCSANOW, mode)
            self.resize()

    def resize(self) -> None:
        """Make the command's terminal as large as ours."""
        if self._is_terminal and self.source != -1:
            with suppress(OSError):  # ours was hung up
                size = fcntl.ioctl(self.sink, termios.TIOCGWINSZ, bytes(8))
                fcntl.ioctl(self.source, termios.TIOCSWINSZ, size)

    def receive(self) -> bytes:
        """Return what the command wrote; nothing at the end."""
        try:
            data = os.read(self.source, _READ_BYTES)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux says so at the end of a terminal
                raise
            data = b""
        if not data:
            os.close(self.source)
            self.source = -1
        elif self.sink != -1:
            self.pending = data
        return data

    def pass_on(self) -> None:
        """Write as much of what is pending as can be written without waiting."""
        try:
            written = os.write(self.sink, self.pending[: select.PIPE_BUF])
        except BlockingIOError:
            return  # somebody else filled it up first
        except OSError as error:
            self.abandon()
            if not isinstance(error, BrokenPipeError):
                message = f"The output of the command cannot be passed on: {error.strerror}."
                warnings.warn(message, GitexpWarning, stacklevel=2)
            return
        self.pending = self.pending[written:]

    def abandon(self) -> None:
        """Pass nothing on any more."""
        self.sink = -1
        self.pending = b""
