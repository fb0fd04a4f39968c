"""The live view of runs: their states in, the lines of one screen out, whatever its size.

Each run has a head, one line that says how it is doing; what room is left goes to the runs in
turn, for a line a metric, the last note, and why a run failed. When one run alone is watched
and its command prints something, the end of that takes the lower half. Every line fits, and
there are never more lines than rows: the screen can have any size, also none.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gitexp.follow import Metric, RunState
from gitexp.render.sparkline import sparkline
from gitexp.render.table import cut, display_width, pad
from gitexp.render.text import number, safe, short, span

MAX_NAME = 32
MAX_PATH = 28
MAX_SPARK = 60
_TITLE_FROM_ROWS = 4
_COUNTED_FROM_ROWS = 3
"""With so many rows for metrics, one of them says how many others there are."""
_VALUE = 12
_RANGE = 30
_COLORS = {"running": "1", "finished": "32", "failed": "31", "crashed": "31"}
_OTHER_COLOR = "33"
_SEQUENCE = re.compile("\x1b(?:\\[[0-?]*[ -/]*[@-~]|\\][^\x07\x1b]*(?:\x07|\x1b\\\\)?|[@-Z\\\\-_])")


class View(NamedTuple):
    """What a screen shows.

    Attributes:
        runs: Those that matter most first.
        now: Seconds since 1970.
        host: Of this machine: runs elsewhere say where.
        goal: The metric to show first, as `exprag.metric` names it.
        log: The end of what the command of the only run printed.
        keys: What can be pressed, in words; empty where there is no keyboard.
        color: Use colours.
        ascii_only: Draw without block characters.
    """

    runs: Sequence[RunState]
    now: float
    host: str = ""
    goal: str | None = None
    log: str = ""
    keys: str = ""
    color: bool = False
    ascii_only: bool = False


def render(view: View, width: int, height: int) -> list[str]:
    """Return at most ``height`` lines of at most ``width`` columns."""
    if width < 1 or height < 1:
        return []
    lines = [_title(view, width)] if height >= _TITLE_FROM_ROWS else []
    room = height - len(lines)
    if not view.runs:
        lines += [cut("No run is in progress.", width)][:room]
        return lines
    shown = view.runs if len(view.runs) <= room else view.runs[: max(room - 1, 1)]
    hidden = len(view.runs) - len(shown)
    heads = _heads(shown, view, width)
    log = _log_lines(view, width, height) if len(view.runs) == 1 else []
    room -= len(heads) + (hidden > 0)
    details = _details(shown, view, width, room - min(len(log), (room + 1) // 2))
    for state, head, below in zip(shown, heads, details, strict=True):
        lines += [_colored(head, state, view), *below]
    left = height - len(lines)
    if hidden:
        lines += [cut(f"… {hidden} more", width)][:left]
    elif log and left:
        lines += [cut("--- output ---", width), *log[max(len(log) - left + 1, 0) :]][:left]
    return lines


def order(states: Mapping[str, RunState]) -> list[RunState]:
    """Return runs in progress, the latest first, then those that ended, the last first."""
    return sorted(
        states.values(),
        key=lambda state: (state.running, state.started_ns if state.running else state.ended_ns),
        reverse=True,
    )


def goal_first(metrics: Mapping[str, Metric], goal: str | None) -> list[tuple[str, Metric]]:
    """Return metrics in their order, but first those that the goal's name fits."""
    ends = (f".{goal}", f"/{goal}")
    return sorted(
        metrics.items(),
        key=lambda item: goal is None or not (item[0] == goal or item[0].endswith(ends)),
    )


def _title(view: View, width: int) -> str:
    running = sum(state.running for state in view.runs)
    ended = len(view.runs) - running
    clock = time.strftime("%H:%M:%S", time.localtime(view.now))
    left = f"{running} running" + (f", {ended} ended" if ended else "")
    right = f"{clock}  {view.keys}".rstrip()
    gap = width - len(left) - len(right)
    return left + " " * gap + right if gap > 1 else cut(left, width)


_KEEP = ("name", "status", "calls", "elapsed", "sign", "rate", "run", "host")
"""Which cells of a head matter most, on a screen where not all fit."""
_TO_THE_RIGHT = ("calls", "rate")


def _heads(runs: Sequence[RunState], view: View, width: int) -> list[str]:
    rows = [_head(state, view) for state in runs]
    widths = {name: max(display_width(row[name]) for row in rows) for name in rows[0]}
    kept, used = {"name"}, min(widths["name"], width)
    for name in _KEEP[1:]:
        if widths[name] and used + 2 + widths[name] <= width:
            kept.add(name)
            used += 2 + widths[name]
    cells = [
        [pad(row[n], widths[n], right=n in _TO_THE_RIGHT) for n in row if n in kept] for row in rows
    ]
    return [cut("  ".join(row).rstrip(), width) for row in cells]


def _head(state: RunState, view: View) -> dict[str, str]:
    elapsed = state.seconds(view.now)
    owner = state.owner
    return {
        "name": cut(safe(state.name[: MAX_NAME + 1]), MAX_NAME),
        "run": short(state.run_id),
        "status": state.status,
        "host": f"on {safe(owner.host[:80])}" if owner and owner.host != view.host else "",
        "elapsed": "" if elapsed is None else span(elapsed),
        "sign": _sign(state, view.now),
        "calls": f"{state.calls} call{'' if state.calls == 1 else 's'}",
        "rate": "" if state.rate is None else f"{rounded(state.rate)}/s",
    }


def rounded(rate: float) -> str:
    """Return a rate with three significant digits, and all that stand before the point."""
    return f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}"  # noqa: PLR2004 - three digits


def _sign(state: RunState, now: float) -> str:
    if state.progress < 1:
        return f"reading {state.progress:.0%}"
    if not state.last_ns:
        return ""
    silent = now - state.last_ns / 1e9
    return "seen now" if silent < 1 else f"seen {span(silent)} ago"


def _details(runs: Sequence[RunState], view: View, width: int, room: int) -> list[list[str]]:
    """Return the lines below each head: room goes to the runs in turn, a line a time."""
    wanted = [len(state.metrics) + len(_remarks(state)) for state in runs]
    given = [0] * len(runs)
    while room > 0 and given != wanted:
        for i, count in enumerate(wanted):
            if given[i] < count and room > 0:
                given[i] += 1
                room -= 1
    below = [_below(state, view, count) for state, count in zip(runs, given, strict=True)]
    paths = [safe(path[: MAX_PATH + 1]) for part in below for path, _ in part.metrics]
    widest = min(max(map(display_width, paths), default=0), MAX_PATH)
    return [part.lines(view, width, widest) for part in below]


class _Below(NamedTuple):
    """What stands below a head: metrics, and sentences after them."""

    metrics: Sequence[tuple[str, Metric]]
    sentences: Sequence[str]

    def lines(self, view: View, width: int, path_width: int) -> list[str]:
        metrics = [
            _metric(pad(cut(safe(path[: MAX_PATH + 1]), MAX_PATH), path_width), m, view, width)
            for path, m in self.metrics
        ]
        return metrics + [cut(f"  {safe(text[: width + 1])}", width) for text in self.sentences]


def _below(state: RunState, view: View, count: int) -> _Below:
    """Choose so many lines: one metric comes before all that was said, the others after it."""
    remarks = _remarks(state)
    metrics = goal_first(state.metrics, view.goal)
    said = min(len(remarks), max(count - 1, 0) if metrics else count)
    room = count - said
    if len(metrics) <= room or room < _COUNTED_FROM_ROWS:
        return _Below(metrics[:room], remarks[:said])
    hidden = f"… {len(metrics) - room + 1} more metrics"
    return _Below(metrics[: room - 1], [hidden, *remarks[:said]])


def _remarks(state: RunState) -> list[str]:
    """Return what was said of a run: why it failed, and the last note."""
    said = []
    if state.error is not None:
        said.append(f"{state.error.type}: {state.error.message}")
    if state.note:
        said.append(f"note: {state.note}")
    return said


def _metric(path: str, metric: Metric, view: View, width: int) -> str:
    line = f"  {path}  {number(metric.last):>{_VALUE}}"
    left = width - display_width(line) - 2
    span_text = f"min {number(metric.min)}  max {number(metric.max)}" if metric.count > 1 else ""
    room = left - _RANGE - 2
    spark_width = min(MAX_SPARK, room if room >= _VALUE else left)
    spark = sparkline(metric.points, spark_width, ascii_only=view.ascii_only)
    line = f"{line}  {spark}".rstrip()
    if room >= _VALUE and metric.min is not None:
        line = f"{line}{' ' * (spark_width - len(spark))}  {span_text}".rstrip()
    return cut(line, width)


def _log_lines(view: View, width: int, count: int) -> list[str]:
    """Return the last lines of a log as a terminal shows them: of a progress bar its last state."""
    lines = view.log.rstrip("\r\n").split("\n") if view.log else []
    last = (line.rstrip("\r").rpartition("\r")[2][: 16 * width] for line in lines[-count:])
    return [cut(safe(_SEQUENCE.sub("", line).expandtabs()), width) for line in last]


def _colored(head: str, state: RunState, view: View) -> str:
    if not view.color:
        return head
    return f"\x1b[{_COLORS.get(state.status, _OTHER_COLOR)}m{head}\x1b[0m"
