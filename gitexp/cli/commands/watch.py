"""Watch runs in progress: how they are doing, redrawn every second.

Without RUN all runs in progress, those that start later too; a run that ended stays until you
leave with q or Ctrl-C. On a terminal it takes the whole screen. In a pipe it prints a line for a
run whenever there is something new about it, with --json a JSON object a line.

With --until-done it ends by itself once every watched run has ended, however it ended, so it is
a way to wait for runs; start it once they have begun. The exit code is then 0, whatever those of
the runs; it is 130 if you leave before. Without --until-done q exits with 0 and Ctrl-C with 130,
as in git. Signal N ends it with 128+N, and so does a terminal that is gone (129).
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import stat
import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gitexp.cli.context import Context
from gitexp.cli.output import print_hint
from gitexp.errors import GitexpError
from gitexp.follow import LiveRuns, LogTail, Metric, RunState
from gitexp.git.repository import Repository
from gitexp.journal import Owner, files_folder, host_name, live_runs
from gitexp.records.nested import number_from_json, number_to_json
from gitexp.records.times import format_time
from gitexp.render.live import View, goal_first, order, render, rounded
from gitexp.render.sparkline import BLOCKS
from gitexp.render.text import exact, number, safe, short, to_json
from gitexp.run import Run

if TYPE_CHECKING:
    from gitexp.cli.screen import Screen, Size

_LOG_BYTES = 64 << 10
_TICK_SECONDS = 1.0
"""Journals are read so often also when less is printed: that a run ended is said at once."""
_MAX_INTERVAL = 86400.0
_INTERRUPTED_EXIT = 130
HEADER = ["time", "run", "name", "status", "seconds", "calls", "calls/s", "metrics", "note"]


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run", metavar="RUN", nargs="*", help="id, latest, best:METRIC, a name or a tag"
    )
    parser.add_argument(
        "--interval",
        metavar="SECONDS",
        type=_seconds,
        default=1.0,
        help="time between two drawings, or between two lines about one run (default: 1)",
    )
    parser.add_argument(
        "--until-done", action="store_true", help="end when all watched runs have ended"
    )


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.05 <= seconds <= _MAX_INTERVAL:  # noqa: PLR2004 - the sentence says it
        raise ArgumentTypeError(f"{text!r} is not a number of seconds from 0.05 to 86400")
    return seconds


def run(args: Namespace, context: Context) -> int:
    """Watch until somebody or something ends it."""
    watch = Watch(context, args.run, args.interval, until_done=args.until_done)
    try:
        if context.output.terminal and os.environ.get("TERM", "dumb") != "dumb":
            return _on_screen(watch)
        if context.output.json:
            return _in_lines(watch, _json_line)
        context.output.table(HEADER, [])
        return _in_lines(watch, _tsv_line)
    finally:
        watch.live.close()


class Watch:
    """What is watched, and how.

    Raises:
        RunNotFoundError: No run answers to a spec.
        AmbiguousError: Several do.
    """

    def __init__(
        self, context: Context, specs: Sequence[str], interval: float, *, until_done: bool
    ) -> None:
        self.context = context
        self.interval = interval
        self.until_done = until_done
        self.goal = context.repository.settings.get("exprag.metric")
        memory = context.open_memory()
        named = {run.id: run for run in map(memory.get, specs)}
        self.live = LiveRuns(context.repository, list(named) if specs else None)
        in_progress = live_runs(context.repository)
        for run_id, known in named.items():
            if run_id not in in_progress:
                self.live.states[run_id] = state_of(known)
        self._asked: set[str] = set()

    @property
    def done(self) -> bool:
        """There is nothing left to wait for, and to end then was asked for."""
        return self.until_done and self.live.all_ended

    def look(self) -> list[RunState]:
        """Read what is new and return the runs, in the order in which they are shown."""
        self.live.look()
        for state in self.live.states.values():
            if state.status == "unknown" and state.run_id not in self._asked:
                self._asked.add(state.run_id)
                _ask_store(self.context.repository, state)
        return order(self.live.states)


def _ask_store(repository: Repository, state: RunState) -> None:
    """Ask the store how a run ended whose journal went without saying."""
    from gitexp.memory import Memory

    try:
        known = Memory(repository).get(state.run_id)
    except GitexpError:
        return  # nothing is known of it: it stays unknown
    _take_end(state, known)


def _take_end(state: RunState, known: Run) -> None:
    state.end(known.status, 0 if known.ended is None else int(known.ended.timestamp() * 1e9))
    state.exit_code, state.error = known.exit_code, known.error


def state_of(known: Run) -> RunState:
    """Return a run that had ended before it was watched, in the form of those that are."""
    state = RunState(known.id)
    state.name, state.calls = known.name, known.calls
    state.started_ns = int(known.started.timestamp() * 1e9)
    if known.host is not None:
        state.owner = Owner(known.host, known.pid or 0, "")
    if known.comments:
        state.note = known.comments[-1].text
    for path, summary in known.metrics.items():
        metric = state.metrics[path] = Metric()
        metric.count, metric.last = summary.count, number_from_json(summary.last)
        metric.min, metric.max = summary.min, summary.max
    _take_end(state, known)
    state.last_ns = state.ended_ns
    return state


def _in_lines(watch: Watch, line_of: Callable[[RunState, str | None, float], str]) -> int:
    """Print a line for a run whenever there is something new about it."""
    printed: dict[str, Printed] = {}
    pipe = _output_pipe()
    while True:
        now = time.monotonic()
        for state in watch.look():
            if is_due(state, printed.get(state.run_id), now - watch.interval):
                printed[state.run_id] = Printed(now, state.status, _content(state))
                sys.stdout.write(line_of(state, watch.goal, time.time()))
        sys.stdout.flush()
        if watch.done:
            _say_if_nothing(watch)
            return 0
        _wait(0.0 if watch.live.is_behind else min(watch.interval, _TICK_SECONDS), pipe)


class Printed(NamedTuple):
    """The last line about a run: when it was printed, and what it said."""

    time: float
    status: str
    content: tuple[object, ...]


def _content(state: RunState) -> tuple[object, ...]:
    return state.name, state.calls, state.note


def is_due(state: RunState, last: Printed | None, before: float) -> bool:
    """Say whether to print a line about a run now.

    Args:
        state: The run.
        last: What was printed about it last.
        before: News can wait if the last line is later than this; an end cannot.
    """
    if state.progress < 1:
        return False
    if last is None or last.status != state.status:
        return True
    return last.content != _content(state) and last.time <= before


def _output_pipe() -> int | None:
    """Return standard output, if somebody at its other end may go away."""
    try:
        output = sys.stdout.fileno()
    except OSError:
        return None
    mode = os.fstat(output).st_mode
    return output if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else None


def _wait(seconds: float, pipe: int | None) -> None:
    """Wait, but not for news that nobody reads.

    Raises:
        BrokenPipeError: The reader of the pipe is gone.
    """
    poll = select.poll()
    if pipe is not None:
        poll.register(pipe, 0)
    if poll.poll(seconds * 1000):
        raise BrokenPipeError


def _tsv_line(state: RunState, goal: str | None, now: float) -> str:
    return "\t".join(_row(state, goal, now, show=exact)) + "\n"


def _row(
    state: RunState, goal: str | None, now: float, *, show: Callable[[float], str]
) -> list[str]:
    """Return the cells of a line about a run; see `HEADER`."""
    seconds, rate = state.seconds(now), state.rate
    metrics = goal_first(state.metrics, goal)
    return [
        format_time(int(now * 1e9)),
        short(state.run_id),
        safe(state.name),
        state.status,
        "" if seconds is None else f"{seconds:.1f}",
        str(state.calls),
        "" if rate is None else rounded(rate),
        " ".join(f"{safe(path)}={show(metric.last)}" for path, metric in metrics),
        safe(state.note or ""),
    ]


def _json_line(state: RunState, goal: str | None, now: float) -> str:
    """Return one line of JSON: the indented form without its line ends and indents."""
    return "".join(map(str.lstrip, to_json(as_json(state, goal, now)).split("\n"))) + "\n"


def as_json(state: RunState, goal: str | None, now: float) -> dict[str, Any]:
    """Return a run in the shape of ``--json``; what is not known is absent."""
    owner, error = state.owner, state.error
    seconds = state.seconds(now)
    known = {
        "time": format_time(int(now * 1e9)),
        "run": state.run_id,
        "name": state.name,
        "status": state.status,
        "started": format_time(state.started_ns) if state.started_ns else None,
        "ended": format_time(last) if (last := state.ended_ns or state.last_ns) else None,
        "duration": None if seconds is None else round(seconds, 6),
        "host": owner.host if owner else None,
        "pid": owner.pid if owner else None,
        "calls": state.calls,
        "calls_per_second": None if state.rate is None else round(state.rate, 3),
        "metrics": {p: _metric_json(metric) for p, metric in goal_first(state.metrics, goal)},
        "note": state.note,
        "exit_code": state.exit_code,
        "error": error and {"type": error.type, "message": error.message, "tail": error.tail},
    }
    return {key: value for key, value in known.items() if value is not None}


def _metric_json(metric: Metric) -> dict[str, Any]:
    known = {
        "last": number_to_json(metric.last),
        "count": metric.count,
        "min": metric.min,
        "max": metric.max,
    }
    return {key: value for key, value in known.items() if value is not None}


def _on_screen(watch: Watch) -> int:
    """Draw on the whole screen until somebody leaves, or all is done."""
    from gitexp.cli.screen import take_screen

    watch.look()
    if not watch.done:
        with take_screen() as screen:
            keys = "q quits" if screen.has_keyboard else "Ctrl-C quits"
            with contextlib.closing(Canvas(watch, keys)) as canvas:
                _draw_until_left(watch, canvas, screen)
        if screen.exit_code is not None:
            return (
                _INTERRUPTED_EXIT if watch.until_done and not screen.exit_code else screen.exit_code
            )
    _say_if_nothing(watch)
    rows = [_row(state, watch.goal, time.time(), show=number)[1:] for state in watch.look()]
    if rows:
        watch.context.output.table(HEADER[1:], rows)
    return 0


def _draw_until_left(watch: Watch, canvas: Canvas, screen: Screen) -> None:
    drawn, woken = -math.inf, False
    statuses: list[tuple[str, str]] = []
    while screen.exit_code is None:
        states = watch.look()
        if watch.done:
            return
        now, before = time.monotonic(), statuses
        statuses = [(state.run_id, state.status) for state in states]
        if woken or statuses != before or now - drawn >= watch.interval:
            drawn = now
            size = screen.size
            screen.draw(canvas.lines(states, size), size)
        pause = min(drawn + watch.interval - time.monotonic(), _TICK_SECONDS)
        woken = screen.wait(0.0 if watch.live.is_behind else max(pause, 0.0))


class Canvas:
    """What is drawn of the runs, besides their states."""

    def __init__(self, watch: Watch, keys: str) -> None:
        self._watch = watch
        self._keys = keys
        self._host = host_name()
        self._ascii_only = not _can_print(BLOCKS)
        self._log: tuple[str, LogTail] | None = None

    def lines(self, states: Sequence[RunState], size: Size) -> list[str]:
        """Return the lines of a screen of that size."""
        view = View(
            states,
            time.time(),
            host=self._host,
            goal=self._watch.goal,
            log=self._tail(states[0].run_id) if len(states) == 1 else "",
            keys=self._keys,
            color=self._watch.context.output.color,
            ascii_only=self._ascii_only,
        )
        return render(view, size.width, size.height)

    def _tail(self, run_id: str) -> str:
        """Return the end of what the command of a run printed."""
        if self._log is None or self._log[0] != run_id:
            self.close()
            folder = files_folder(self._watch.context.repository, run_id)
            self._log = run_id, LogTail(folder)
        return self._log[1].read(_LOG_BYTES).decode("utf-8", "backslashreplace")

    def close(self) -> None:
        """Let go of the log."""
        if self._log is not None:
            self._log[1].close()


def _can_print(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _say_if_nothing(watch: Watch) -> None:
    if not watch.live.states:
        print_hint("No run is in progress.")
