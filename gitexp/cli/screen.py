"""A terminal taken over for a full-screen view, and given back as it was, whatever happens.

While it is taken, signals only wake up who waits: nothing is interrupted in the middle of a
drawing. They arrive through a pipe, so that one `select` waits for keys, signals and the time.
"""

from __future__ import annotations

import contextlib
import copy
import os
import select
import signal
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple

_ENTER = b"\x1b[?1049h\x1b[?25l\x1b[?7l"
"""The alternate screen, the cursor hidden, wrapping off: a line can be too long while the size
changes."""
_LEAVE = b"\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
"""Colours off, wrapping on, cursor shown, the main screen back."""

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGWINCH", "SIGTSTP", "SIGCONT")
_ENDING = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")}
_GONE_EXIT = 128 + signal.SIGHUP
_UNKNOWN_SIZE = (80, 24)
_LOCAL_MODES = 3
_CONTROL_CHARACTERS = 6


class Size(NamedTuple):
    """Columns and rows of a terminal."""

    width: int
    height: int


class Screen:
    """A terminal that was taken over by `take_screen`.

    Attributes:
        exit_code: None until somebody wants to leave: 0 after the key q, else 128 and the
            number of the signal; that of SIGHUP also when the terminal is gone.
    """

    def __init__(self, output: int, keyboard: int | None, signals: int) -> None:
        self.exit_code: int | None = None
        self._output = output
        self._keyboard = keyboard
        self._signals = signals
        self._drawn_for: Size | None = None
        self._modes: list[Any] | None = None
        if keyboard is not None:
            with contextlib.suppress(termios.error):  # gone: the first drawing finds that out
                self._modes = termios.tcgetattr(keyboard)

    @property
    def has_keyboard(self) -> bool:
        """Keys can be pressed."""
        return self._keyboard is not None

    @property
    def size(self) -> Size:
        """What the terminal has now."""
        try:
            size = os.get_terminal_size(self._output)
        except OSError:
            return Size(*_UNKNOWN_SIZE)
        return Size(size.columns or _UNKNOWN_SIZE[0], size.lines or _UNKNOWN_SIZE[1])

    def draw(self, lines: Sequence[str], size: Size) -> None:
        """Show these lines, made for a screen of that size."""
        parts = [] if size == self._drawn_for else ["\x1b[2J"]
        self._drawn_for = size
        # Erased first: at the right edge, erasing afterwards would take the last character.
        parts += [f"\x1b[{row};1H\x1b[2K{line}" for row, line in enumerate(lines, 1)]
        if len(lines) < size.height:
            parts.append(f"\x1b[{len(lines) + 1};1H\x1b[J")
        self._write("".join(parts).encode(sys.stdout.encoding or "utf-8", "replace"))

    def wait(self, seconds: float) -> bool:
        """Wait for so long, or until something happens: True asks to draw at once."""
        deadline = time.monotonic() + seconds
        sources = [self._signals] + ([] if self._keyboard is None else [self._keyboard])
        while self.exit_code is None:
            left = max(deadline - time.monotonic(), 0.0)
            ready, _, _ = select.select(sources, [], [], left)
            if not ready:
                return False
            if self._keyboard in ready:
                self._take_keys()
            if self._signals in ready:
                self._take_signals()
                return True
        return True

    def enter(self) -> None:
        """Take the terminal: no echo, keys at once, the alternate screen without a cursor."""
        if self._modes is not None:
            modes = copy.deepcopy(self._modes)
            modes[_LOCAL_MODES] &= ~(termios.ECHO | termios.ICANON)
            modes[_CONTROL_CHARACTERS][termios.VMIN] = 1
            modes[_CONTROL_CHARACTERS][termios.VTIME] = 0
            self._set_modes(modes)
        self._drawn_for = None
        self._write(_ENTER)

    def leave(self) -> None:
        """Give the terminal back as it was, as far as it is still there."""
        self._write(_LEAVE)
        if self._modes is not None:
            self._set_modes(self._modes)

    def _set_modes(self, modes: list[Any]) -> None:
        try:
            termios.tcsetattr(self._keyboard or 0, termios.TCSANOW, modes)
        except termios.error:
            self.exit_code = _GONE_EXIT

    def _take_signals(self) -> None:
        numbers = set(os.read(self._signals, 1024))
        for number in numbers & _ENDING:
            self.exit_code = 128 + number
        if self.exit_code is None and signal.SIGTSTP in numbers:
            self._suspend()
        elif self.exit_code is None and signal.SIGCONT in numbers:
            self.enter()  # whoever had the terminal meanwhile may have changed it

    def _suspend(self) -> None:
        """Stop, as Ctrl-Z asks for, with the terminal as it was; go on when continued."""
        self.leave()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, handler)
        self.enter()

    def _take_keys(self) -> None:
        try:
            keys = os.read(self._keyboard or 0, 1024)
        except OSError:
            keys = b""
        if not keys:
            self.exit_code = _GONE_EXIT
        elif b"q" in keys.lower():
            self.exit_code = 0

    def _write(self, data: bytes) -> None:
        try:
            while data:
                try:
                    data = data[os.write(self._output, data) :]
                except BlockingIOError:  # somebody made the terminal non-blocking
                    select.select([], [self._output], [])
        except OSError:
            self.exit_code = _GONE_EXIT


@contextlib.contextmanager
def take_screen() -> Iterator[Screen]:
    """Take the terminal of standard output over until the end of the ``with`` block.

    Standard input is its keyboard, if it is a terminal too.
    """
    sys.stdout.flush()
    keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    with _signals_as_bytes() as signals:
        screen = Screen(sys.stdout.fileno(), keyboard, signals)
        try:
            screen.enter()
            yield screen
        finally:
            screen.leave()


@contextlib.contextmanager
def _signals_as_bytes() -> Iterator[int]:
    """Give a descriptor from which each signal that arrives is read as a byte, its number."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    before = {}
    wakeup = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    try:
        for name in _SIGNALS:
            number = getattr(signal, name)
            before[number] = signal.signal(number, _noted)
        yield reader
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        signal.set_wakeup_fd(wakeup)
        os.close(reader)
        os.close(writer)


def _noted(_number: int, _frame: FrameType | None) -> None:
    """Handle a signal: its number is in the pipe by now."""
