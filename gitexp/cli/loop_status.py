"""What ``git exp loop`` shows: lines for what happened, a status line on a terminal, the result."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from gitexp.cli.terminal import columns
from gitexp.loop.budget import time_left
from gitexp.loop.progress import Event, LoopResult
from gitexp.render.text import number, safe, short, span

_PASSING = frozenset(("ask", "run"))
"""Events that the status line shows while they go on; in a pipe they are lines of their own."""

_EVERY_S = 1.0


class Watcher:
    """Shows what happens on stderr."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._live = sys.stderr.isatty()
        self._lock = threading.Lock()
        self._event: Event | None = None
        self._since = time.monotonic()

    def __call__(self, event: Event) -> None:
        """Show an event."""
        with self._lock:
            self._event, self._since = event, time.monotonic()
            if event.kind == "end":
                return  # the result says so
            if not self._live:
                sys.stderr.write(f"{line_of(event)}\n")
            elif event.kind not in _PASSING:
                sys.stderr.write(f"\r\x1b[K{line_of(event)}\n")
            sys.stderr.flush()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Keep the status line up to date, on a terminal."""
        stop = threading.Event()
        thread = threading.Thread(target=self._draw, args=(stop,), daemon=True)
        if self._live:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            if self._live:
                thread.join()
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()

    def _draw(self, stop: threading.Event) -> None:
        while not stop.wait(_EVERY_S):
            with self._lock:
                if self._event is not None and self._event.kind != "end":
                    passed = time.monotonic() - self._since
                    line = status_line(self._event, passed)[: columns() - 1]
                    sys.stderr.write(f"\r\x1b[K{line}")
                    sys.stderr.flush()


def line_of(event: Event) -> str:
    """Return an event as a line, fit for a terminal."""
    where = f"[{event.iteration}] " if event.kind != "session" else ""
    run = "" if event.run is None else f"{short(event.run)} "
    kind = "" if event.kind == "session" else f"{event.kind}: "
    return f"{where}{kind}{run}{safe(event.text)}"


def status_line(event: Event, passed: float) -> str:
    """Return what goes on, what is left, and what is best so far, fit for a terminal.

    Args:
        event: The latest.
        passed: Seconds since then.
    """
    spent, budgets = event.spent, event.budgets
    runs = f"{spent.runs}" if budgets.runs is None else f"{spent.runs} of {budgets.runs}"
    parts = [f"{safe(event.text)} ({span(passed)})", f"runs {runs}"]
    if budgets.seconds is not None:
        parts.append(f"{span(max(0.0, time_left(budgets, spent) - passed))} left")
    if budgets.tokens is not None:
        parts.append(f"tokens {spent.tokens:,} of {budgets.tokens:,}")
    if budgets.money is not None:
        parts.append(f"${spent.money:.2f} of ${budgets.money:.2f}")
    if event.best is not None:
        parts.append(f"best {number(event.best)}")
    return " | ".join(parts)


def result_lines(result: LoopResult) -> list[str]:
    """Return what came of a session, fit for a terminal after `safe`."""
    counts = f"{_counted(result.proposals, 'proposal')}: {len(result.kept)} kept"
    counts += f", {result.blocked} blocked" if result.blocked else ""
    counts += f", {result.invalid} not applied" if result.invalid else ""
    runs = f"{_counted(len(result.runs), 'run')}, {result.failed} without a value"
    lines = [f"session {result.session}: {result.sentence}", f"{counts}; {runs}", _took(result)]
    if result.best is not None:
        first = "" if result.first is None else f" (at first {number(result.first)})"
        best = f"{number(result.best[1])}{first}, run {short(result.best[0])}"
        lines.append(f"best {result.metric}: {best}")
    branch = f"branch {result.branch} is {short(result.tip)}"
    lines.append(branch if result.kept else f"{branch}: nothing was kept")
    if result.reason != "exhausted":
        lines.append(f"go on with: git exp loop --resume {result.session}")
    return lines


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _took(result: LoopResult) -> str:
    spent = result.spent
    taken = [f"took {span(spent.seconds)}", _counted(spent.calls, "call")]
    if spent.tokens:
        taken.append(f"{spent.tokens:,} tokens{' (partly estimated)' if spent.estimated else ''}")
    if spent.money:
        more = f" and {spent.unpriced} calls of unknown price" if spent.unpriced else ""
        taken.append(f"${spent.money:.4f}{more}")
    return ", ".join(taken)


def result_json(result: LoopResult) -> dict[str, Any]:
    """Return what came of a session in the shape of ``--json``."""
    best = result.best
    spent = msgspec.to_builtins(result.spent) | {"seconds": round(result.spent.seconds, 3)}
    optional = {
        "first": result.first,
        "best": None if best is None else {"run": best[0], "value": best[1]},
        "error": None if result.error is None else result.error.message,
    }
    return {
        "session": result.session,
        "branch": result.branch,
        "tip": result.tip,
        "reason": result.reason,
        "sentence": result.sentence,
        "metric": result.metric,
        "goal": "min" if result.lower else "max",
        "proposals": result.proposals,
        "blocked": result.blocked,
        "invalid": result.invalid,
        "runs": list(result.runs),
        "failed": result.failed,
        "kept": list(result.kept),
        **{name: value for name, value in optional.items() if value is not None},
        "spent": spent,
    }
