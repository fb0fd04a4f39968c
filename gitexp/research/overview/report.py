"""The report for somebody who was away: what won, what broke, what to do next, what it cost.

It is data; `gitexp.render.report_text` and `gitexp.render.report_page` show it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

import msgspec

from gitexp.errors import GitexpError, UsageError
from gitexp.memory import Memory
from gitexp.records.decision import Comparison
from gitexp.research.belief.history import has_value
from gitexp.research.belief.posterior import LIKELY, UNLIKELY, Posterior, fit
from gitexp.research.crashes import Cluster
from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation
from gitexp.research.overview.registry import Registry, crash_clusters, registry
from gitexp.research.overview.shown import Row, RunNote, stamp_of
from gitexp.research.overview.spend import Spend, spend
from gitexp.research.overview.state import State, read_state
from gitexp.when import parse_when

HOURS = 16
LAST = 80
RECENT = 15
POINTS = 1_500
"""Values of the goal metric that are drawn."""
RECORDS = 200
_SECOND = 1_000_000

Beyond = Literal["beyond noise", "within noise", "noise is unmeasured"]


class Window(msgspec.Struct, frozen=True, omit_defaults=True):
    """Of which runs a report tells.

    Attributes:
        since: RFC 3339 in UTC: the runs that started then or later.
        text: The same for people.
        runs: How many they are.
        outcomes: Status -> how many; verdicts likewise.
    """

    since: str
    text: str
    runs: int
    outcomes: dict[str, int]
    verdicts: dict[str, int]


class Won(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the champion gained on the one at the beginning.

    Attributes:
        changed: It is another one than at the beginning.
        before: The champion at the beginning, or the first run of all where there was none.
        versus: The champion now compared with that; its ``champion`` is `before`.
        beyond: Whether the gain is more than noise explains.
    """

    changed: bool
    before: RunNote | None = None
    versus: Comparison | None = None
    beyond: Beyond | None = None


class Point(msgspec.Struct, frozen=True, omit_defaults=True):
    """A value of the goal metric, when it was reached: RFC 3339 in UTC."""

    run: str
    started: str
    value: float


class Report(msgspec.Struct, frozen=True, omit_defaults=True):
    """What happened.

    Attributes:
        repository: Name of its folder.
        generated: When, RFC 3339 in UTC.
        crashes: Of the window; those of all runs are in `registry`. `spend` likewise.
        recent: The latest runs of the window.
        points: Values of the window's runs in order, thinned out to `POINTS`.
        records: Of all runs those that were better than all before, the latest `RECORDS`.
    """

    repository: str
    generated: str
    window: Window
    registry: Registry
    won: Won | None = None
    crashes: tuple[Cluster, ...] = ()
    spend: Spend = Spend(0, 0.0)
    recent: tuple[RunNote, ...] = ()
    points: tuple[Point, ...] = ()
    records: tuple[Point, ...] = ()


def report(memory: Memory, goal: GoalMetric | None = None, since: str | None = None) -> Report:
    """Return what happened.

    Args:
        memory: Whose runs.
        goal: What they are judged by; by default as set, or as the runs suggest.
        since: A time (``16 hours``, ``yesterday``, a date) or a run: what started after it. By
            default the last 16 hours, or the last 80 runs where none is so young.

    Raises:
        GitexpError: No run is recorded here.
        UsageError: A setting cannot be understood, or ``since`` is neither a time nor a run.
    """
    now = datetime.now(UTC)
    state = read_state(memory, goal)
    if not state.rows:
        raise GitexpError(
            "No run is recorded here yet.", "Record one with 'git exp run -- COMMAND'."
        )
    start, text = _start(state, since, now)
    rows = [row for row in state.rows if row.started >= start]
    seen = {row.run for row in rows}
    observations = [run for run in state.observations if run.run in seen]
    notes = state.notes(row.run for row in rows[:RECENT])
    return Report(
        repository=memory.repository.top.name,
        generated=now.isoformat(timespec="seconds").replace("+00:00", "Z"),
        window=_window(rows, start, text),
        registry=registry(state),
        won=_won(state, start),
        crashes=crash_clusters(state, rows),
        spend=spend(rows),
        recent=tuple(notes.values()),
        points=tuple(_points(_thinned([run for run in observations if has_value(run)]))),
        records=tuple(_points(_records(state)[-RECORDS:])),
    )


def _start(state: State, since: str | None, now: datetime) -> tuple[int, str]:
    """Return the beginning in microseconds since 1970, and how to say it."""
    if since is None:
        start = int(now.timestamp() - HOURS * 3600) * _SECOND
        if state.rows[0].started >= start:
            return start, f"the last {HOURS} hours"
        oldest = state.rows[:LAST][-1]
        count = min(LAST, len(state.rows))
        return oldest.started, f"the last {count} runs (none started in the last {HOURS} hours)"
    try:
        moment = parse_when(since, now.astimezone())
    except UsageError as error:
        return _after_run(state, since, error)
    return int(moment.timestamp() * _SECOND), f"since {since}"


def _after_run(state: State, spec: str, error: UsageError) -> tuple[int, str]:
    try:
        run = str(state.memory.find(spec).document["run"])
    except GitexpError:
        hint = "Say it as '16 hours', 'yesterday' or 2026-01-31, or name a run."
        raise UsageError(f"{spec!r} is neither a time nor a run.", hint) from error
    return state.starts[run] + 1, f"since run {run[:12]}"


def _window(rows: Sequence[Row], start: int, text: str) -> Window:
    outcomes = Counter(row.status for row in rows)
    verdicts = Counter(row.verdict for row in rows if row.verdict)
    return Window(
        stamp_of(start), text, len(rows), dict(outcomes.most_common()), dict(verdicts.most_common())
    )


def _won(state: State, start: int) -> Won | None:
    """Return what was gained since then; None where no run has a value that counts."""
    posterior = state.posterior
    if state.goal is None or posterior is None or posterior.champion is None:
        return None
    earlier = [run for run in state.observations if run.started < start]
    before = fit(earlier, state.goal).champion if earlier else None
    if before == posterior.champion:
        return Won(changed=False)
    base = before or _first_tried(state, posterior.champion)
    if base is None:
        return Won(changed=True)
    versus = posterior.compare(posterior.champion, base)
    run = posterior.run_of(base)
    note = None if run is None else state.notes([run])[run]
    return Won(True, note, versus, None if versus is None else beyond(versus, posterior))


def beyond(versus: Comparison, posterior: Posterior) -> Beyond:
    """Say in words whether a difference is more than noise explains."""
    if not posterior.noise.measured:
        return "noise is unmeasured"
    is_resolved = versus.p_better >= LIKELY or versus.p_better <= UNLIKELY
    return "beyond noise" if is_resolved else "within noise"


def _first_tried(state: State, but: bytes) -> bytes | None:
    """Return the first configuration of all that has a value; None where it is this one."""
    first = next((run.configuration for run in state.observations if has_value(run)), None)
    return None if first == but else first


def _records(state: State) -> list[Observation]:
    """Return the runs that were better than all before them, without those that were discarded."""
    if state.goal is None:
        return []
    found: list[Observation] = []
    best: float | None = None
    for run in state.observations:
        if run.value is None or not has_value(run) or run.verdict == "discard":
            continue
        if best is None or state.goal.gain(run.value, best) > 0:
            best = run.value
            found.append(run)
    return found


def _thinned(runs: Sequence[Observation]) -> list[Observation]:
    stride = -(-len(runs) // POINTS) or 1
    return list(runs[::-1][::stride][::-1])


def _points(runs: Sequence[Observation]) -> list[Point]:
    return [
        Point(run.run.hex(), stamp_of(run.started), run.value)
        for run in runs
        if run.value is not None
    ]
