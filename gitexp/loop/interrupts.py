"""Ctrl-C, SIGTERM and SIGHUP while a session goes on: it ends at the next place where that is safe.

While the loop waits for something (an answer, a pause) it is interrupted at once; between two
steps it goes on to the next place where it asks. A second signal does not wait, unless it comes
with the first: a Ctrl-C comes from the terminal and once more from the git program that started
us. Commands have their signals handled by `gitexp.command`, which tells afterwards that they were
interrupted.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SAME_KEY_S = 0.3
"""Signals that are closer than this are one."""


class Interrupts:
    """The signals that end a session.

    Attributes:
        requested: One of them came.
    """

    def __init__(self) -> None:
        """Watch nothing yet."""
        self.requested = False
        self._waiting = False
        self._first = 0.0

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Take the signals over; in another thread than the main one nothing is changed."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        wanted = [n for n in _SIGNALS if signal.getsignal(n) != signal.SIG_IGN]
        previous = {number: signal.signal(number, self._receive) for number in wanted}
        try:
            yield
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Be interrupted at once in here.

        Raises:
            KeyboardInterrupt: A signal came, now or before.
        """
        self._waiting = True
        try:
            if self.requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._waiting = False

    def no_longer_waiting(self) -> None:
        """Let what follows inside of `waiting` come to its end."""
        self._waiting = False

    def _receive(self, _number: int, _frame: FrameType | None) -> None:
        if not self.requested:
            self.requested, self._first = True, time.monotonic()
        elif time.monotonic() - self._first > SAME_KEY_S:
            raise KeyboardInterrupt
        if self._waiting:
            self._waiting = False  # what unwinds is not to be interrupted once more
            raise KeyboardInterrupt
