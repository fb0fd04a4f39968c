"""How runs learn that their process ends: uncaught exceptions, Ctrl-C, SIGTERM.

The hooks only note the reason; the run itself is ended where the process unwinds (a context
manager, or the object's finaliser at exit), outside of any signal handler.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
import weakref
from types import FrameType, TracebackType
from typing import Protocol

from gitexp.records.facts import Failure, Status
from gitexp.records.nested import clean_text

_TAIL_LINES = 20
_MAX_TEXT = 64 << 10
"""A longer message says no more, and a line of the store is bounded."""


class Ends(Protocol):
    """What the hooks tell the reason to."""

    def note_ending(self, status: Status, error: Failure | None, exit_code: int | None) -> None:
        """Remember how the run will have ended once its process unwinds."""


_open: weakref.WeakSet[Ends] = weakref.WeakSet()
_installed = False


def _forget_parents_runs() -> None:
    """In a forked child: its end is not the end of any run, and SIGTERM simply ends it."""
    _open.clear()
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_runs)


def watch(run: Ends) -> None:
    """Tell ``run`` when this process is about to end abnormally. Call it in any thread."""
    _open.add(run)
    _install()


def unwatch(run: Ends) -> None:
    """Stop watching."""
    _open.discard(run)


def describe_exception(error: BaseException) -> tuple[Status, Failure | None, int | None]:
    """Return status, failure and exit code of a run that an exception ended."""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", None, 130
    if isinstance(error, _Terminated):
        return "interrupted", None, error.code
    if isinstance(error, SystemExit):
        code = error.code
        if code is None or code == 0:
            return "finished", None, 0
        if isinstance(code, int) and abs(code) < 1 << 31:
            return "failed", None, int(code)
        return "failed", Failure("SystemExit", _text(code)), 1
    lines = "".join(traceback.format_exception(error)).splitlines()
    kind = type(error)
    module = "" if kind.__module__ == "builtins" else f"{kind.__module__}."
    tail = clean_text("\n".join(lines[-_TAIL_LINES:])[-_MAX_TEXT:])
    return "crashed", Failure(_text(f"{module}{kind.__qualname__}"), _text(error), tail), 1


def _text(value: object) -> str:
    """Return the text of anything that an exception carries, fit to be stored."""
    try:
        text = str(value)
    except Exception as failure:  # noqa: BLE001 - an exception whose text fails is still recorded
        text = f"({type(failure).__name__} while asking for its text)"
    return clean_text(text[:_MAX_TEXT])


class _Terminated(SystemExit):
    """SIGTERM arrived: unwinds like ``sys.exit``, with the shell's code for the signal."""

    code: int


def _install() -> None:
    global _installed  # noqa: PLW0603 - the hooks are the process's
    if not _installed:
        _installed = True
        previous = sys.excepthook

        def hook(
            kind: type[BaseException], error: BaseException, trace: TracebackType | None
        ) -> None:
            _tell_all(error)
            previous(kind, error, trace)

        sys.excepthook = hook
    in_main_thread = threading.current_thread() is threading.main_thread()
    if in_main_thread and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def _tell_all(error: BaseException) -> None:
    status, failure, exit_code = describe_exception(error)
    for run in list(_open):
        run.note_ending(status, failure, exit_code)


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    if not _open:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.raise_signal(signal.SIGTERM)
        return
    stop = _Terminated(128 + number)
    _tell_all(stop)
    raise stop
