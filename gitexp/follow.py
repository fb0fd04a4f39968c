"""Follow runs in progress: a look reads only what was appended to their journals since the last.

A `JournalFollower` keeps the journal open and remembers the end of the last whole frame. What
stands after it may be the beginning of a frame that is being written, so it is read again. A
journal that was sealed and removed meanwhile stays readable through the open file, to its
`Ending`: so a follower learns how a run ended from the journal alone, without the store.

A `RunState` is what is worth showing of a run. It has a bounded size whatever the run tracks:
for each metric a summary, and a point for each of the last seconds in which it was tracked.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import deque
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from typing import Any

from gitexp.command.log import LOG_NAME, PIECE
from gitexp.git.repository import Repository
from gitexp.journal import (
    MAX_PAYLOAD_BYTES,
    Ending,
    JournalReader,
    Note,
    Owner,
    files_folder,
    is_dead,
    journal_path,
    live_runs,
)
from gitexp.records.facts import Failure, RemarkFact, RunFact
from gitexp.records.nested import flatten
from gitexp.records.times import parse_time

CHUNK_BYTES = 1 << 20
"""Read at once: some 20,000 frames, which take less than a tenth of a second."""

_MORE_THAN_A_FRAME = MAX_PAYLOAD_BYTES + 64

MAX_POINTS = 120
"""Points of a metric's recent history: two minutes when it is tracked every second or faster."""

MAX_METRICS = 1000
"""A run with more metrics is followed by the first ones; the metric log has all."""

MAX_ENDED = 200
"""Ended runs are remembered so long; of a sweep of thousands the latest."""

_RATE_SECONDS = 10.0
_PATIENCE_SECONDS = 0.25


class JournalFollower:
    """Read a journal piece by piece while others append to it.

    Raises:
        OSError: It is not there, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._offset = 0

    def read(self) -> list[list[Any] | Note]:
        """Return the next whole frames, as `JournalReader` does; none when there is no more yet.

        At most `CHUNK_BYTES` of them at once, or one longer frame.

        Raises:
            OSError: The file system does not have it any more (a journal removed by another host).
        """
        items, whole, size = self._parse(CHUNK_BYTES)
        if not whole and size == CHUNK_BYTES:
            items, whole, size = self._parse(2 * _MORE_THAN_A_FRAME)
            if not whole and size == 2 * _MORE_THAN_A_FRAME:
                whole = _MORE_THAN_A_FRAME  # damage: no frame starts there
        self._offset += whole
        return items

    def _parse(self, limit: int) -> tuple[list[list[Any] | Note], int, int]:
        """Return frames, how many bytes lead to the end of the last one, and how many were read."""
        self._file.seek(self._offset)
        data = self._file.read(limit) or b""
        reader = JournalReader(data)
        items: list[list[Any] | Note] = []
        lost_before = 0
        for item in reader:
            items.append(item)
            lost_before = reader.lost_bytes
        return items, len(data) - (reader.lost_bytes - lost_before), len(data)

    @property
    def is_in_place(self) -> bool:
        """Nobody has sealed and removed the journal, as far as the file system says."""
        return os.path.exists(self.path)  # noqa: PTH110 - Path.exists() raises for a stale handle

    @property
    def progress(self) -> float:
        """Which part of the journal has been read, from 0 to 1."""
        size = os.fstat(self._file.fileno()).st_size
        return min(self._offset / size, 1.0) if size else 1.0

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


class Metric:
    """One metric so far.

    Attributes:
        count: How many values, non-finite ones included.
        last: The last value.
        min: Least finite value, None without one; `max` likewise.
    """

    __slots__ = ("_count", "_points", "_second", "_total", "count", "last", "max", "min")

    def __init__(self) -> None:
        self.count = 0
        self.last: float = math.nan
        self.min: float | None = None
        self.max: float | None = None
        self._points: deque[float] = deque(maxlen=MAX_POINTS - 1)
        self._second = self._count = 0
        self._total = 0.0

    def add(self, value: float, second: int) -> None:
        """Take the next value, tracked in that second since 1970."""
        self.count += 1
        self.last = value
        if math.isfinite(value):
            if self.min is None or value < self.min:
                self.min = value
            if self.max is None or value > self.max:
                self.max = value
        if second != self._second:
            if self._count:
                self._points.append(self._total / self._count)
            self._second, self._count, self._total = second, 0, 0.0
        self._count += 1
        self._total += value

    @property
    def points(self) -> list[float]:
        """The recent history: for each of the last seconds that had values their mean."""
        return [*self._points, self._total / self._count] if self._count else []


class RunState:
    """What is known of a run that is watched.

    Attributes:
        status: As of `gitexp.run.Run`; ``unknown`` when the journal went without saying.
        started_ns: Since 1970; 0 where it is not known. `ended_ns` likewise.
        last_ns: The last sign of life: of tracked values, notes and output.
        note: What was noted last, with a tracked value or alone.
        metrics: By dotted path, in order of first appearance.
        progress: Which part of the journal has been read.
    """

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.name = run_id[:12]
        self.status = "running"
        self.owner: Owner | None = None
        self.started_ns = 0
        self.ended_ns = 0
        self.last_ns = 0
        self.calls = 0
        self.note: str | None = None
        self.metrics: dict[str, Metric] = {}
        self.exit_code: int | None = None
        self.error: Failure | None = None
        self.progress = 1.0
        self._begun = False
        self._samples: deque[tuple[float, int]] = deque()

    @property
    def running(self) -> bool:
        """It has not ended, as far as is known."""
        return self.status == "running"

    def take(self, item: list[Any] | Note) -> None:
        """Take the next frame of the journal."""
        match item:
            case [int(time_ns), value, str() | None as note, int() | None]:
                self._take_call(time_ns, value)
                self.note = self.note if note is None else note
            case Owner() if self.owner is None:
                self.owner = item
            case RunFact() if not self._begun:
                self._begun = True
                self.name = item.name
                self.started_ns = _nanoseconds(item.time)
                self.last_ns = max(self.last_ns, self.started_ns)
            case RemarkFact():
                self.name = item.name or self.name
                self.note = item.comment or self.note
                self.last_ns = max(self.last_ns, _nanoseconds(item.time))
            case Ending() if not self.ended_ns:
                self.end(item.status, item.time_ns)
                self.exit_code, self.error = item.exit_code, item.error

    def _take_call(self, time_ns: int, value: Any) -> None:
        self.calls += 1
        self.last_ns = max(self.last_ns, time_ns)
        leaves = _leaves(value)
        second = time_ns // 1_000_000_000
        for path, leaf in leaves.items():
            if type(leaf) not in (float, int) or path == "step":
                continue
            metric = self.metrics.get(path)
            if metric is None:
                if len(self.metrics) >= MAX_METRICS:
                    continue
                metric = self.metrics[path] = Metric()
            metric.add(leaf, second)

    def end(self, status: str, time_ns: int) -> None:
        """Say how and when the run ended."""
        self.status, self.ended_ns = status, time_ns

    def seconds(self, now: float) -> float | None:
        """Return for how long it runs or ran; None where its start is not known.

        Args:
            now: Seconds since 1970.
        """
        if not self.started_ns:
            return None
        if self.running:
            return max(now - self.started_ns / 1e9, 0.0)
        return max(self.ended_ns or self.last_ns, self.started_ns) / 1e9 - self.started_ns / 1e9

    def sample(self, now: float) -> None:
        """Remember how many calls there are now, for `rate`; the first time counts from the start.

        Args:
            now: Seconds since 1970.
        """
        if not self._samples and self.started_ns:
            self._samples.append((self.started_ns / 1e9, 0))
        self._samples.append((now, self.calls))
        while len(self._samples) > 1 and now - self._samples[1][0] >= _RATE_SECONDS:
            self._samples.popleft()

    @property
    def rate(self) -> float | None:
        """Calls per second over the last looks; None when it is not known, or has ended."""
        if not self.running or len(self._samples) < 2:  # noqa: PLR2004 - a rate takes two
            return None
        (start, before), (end, after) = self._samples[0], self._samples[-1]
        return (after - before) / (end - start) if end > start else None


def _leaves(value: Any) -> dict[str, Any]:
    """Return what was tracked by dotted paths; nothing of what is nested too deep to look at."""
    try:
        return flatten(value) if type(value) is dict else {"value": value}
    except RecursionError:
        return {}


def _nanoseconds(text: str) -> int:
    """Return a stored time in nanoseconds since 1970; 0 for what is no time."""
    try:
        return int(parse_time(text).timestamp() * 1e6) * 1000
    except (ValueError, OverflowError):
        return 0


class LiveRuns:
    """The runs in progress, of all that write to this repository or of some.

    Args:
        repository: Where they run.
        only: Ids of the runs to follow; by default all, those that start later too.

    Attributes:
        states: By id, in the order in which they were met. An ended run stays, to be shown.
    """

    def __init__(self, repository: Repository, only: Sequence[str] | None = None) -> None:
        self.states: dict[str, RunState] = {}
        self._repository = repository
        self._only = only
        self._followers: dict[str, JournalFollower] = {}
        self._silent: set[str] = set()

    @property
    def all_ended(self) -> bool:
        """No run that was met is in progress."""
        return not any(state.running for state in self.states.values())

    @property
    def is_behind(self) -> bool:
        """The last look ran out of time; there is more to read."""
        return any(state.progress < 1 for state in self.states.values())

    def look(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Read what was appended since the last look.

        Args:
            patience_seconds: About how long it may take; the rest is left for the next look.
        """
        self._meet_new()
        # Looked at before the journals are read: whoever has gone by then wrote all it had.
        gone = {i for i, f in self._followers.items() if not f.is_in_place}
        dead = {i for i in self._silent if self._is_dead(i)}
        self._silent = set(self._followers)
        deadline = time.monotonic() + patience_seconds
        unread = list(self._followers)
        while unread and time.monotonic() < deadline:
            unread = [run_id for run_id in unread if self._read(run_id)]
        now = time.time()
        for run_id in self._followers.keys() - set(unread):
            self._caught_up(run_id, now, dead=run_id in dead)
        for run_id in gone - set(unread):
            self._let_go(run_id)

    def close(self) -> None:
        """Let go of all files."""
        for follower in self._followers.values():
            follower.close()
        self._followers.clear()

    def _meet_new(self) -> None:
        for run_id in live_runs(self._repository) if self._only is None else self._only:
            if run_id in self.states:
                continue
            state = RunState(run_id)
            try:
                self._followers[run_id] = JournalFollower(journal_path(self._repository, run_id))
                state.progress = 0.0
            except OSError as error:
                if self._only is None and isinstance(error, FileNotFoundError):
                    continue  # sealed just now
                state.status = "unknown"
                state.note = f"Its journal cannot be read: {error.strerror}."
            self.states[run_id] = state

    def _read(self, run_id: str) -> bool:
        """Read a piece of a journal; say whether there was any."""
        state, follower = self.states[run_id], self._followers[run_id]
        try:
            items = follower.read()
            state.progress = follower.progress
        except OSError:  # removed by another host: what was read is all there is
            items, state.progress = [], 1.0
        for item in items:
            state.take(item)
        if items:
            self._silent.discard(run_id)
        return bool(items)

    def _is_dead(self, run_id: str) -> bool:
        state = self.states[run_id]
        return state.running and state.owner is not None and is_dead(state.owner)

    def _caught_up(self, run_id: str, now: float, *, dead: bool) -> None:
        state = self.states[run_id]
        state.progress = 1.0
        if dead and state.running:
            state.end("crashed", state.last_ns)
        if state.running:
            written = log_written_ns(files_folder(self._repository, run_id))
            state.last_ns = max(state.last_ns, written)
            state.sample(now)

    def _let_go(self, run_id: str) -> None:
        """Stop to follow a journal that was removed."""
        state = self.states[run_id]
        if state.running:
            state.status = "unknown"
        self._followers.pop(run_id).close()
        self._silent.discard(run_id)
        ended = [i for i in self.states if i not in self._followers]
        for old in ended[:-MAX_ENDED] if self._only is None else ():
            del self.states[old]


def _log_pieces(folder: Path) -> list[str]:
    """Return the names of the pieces of a run's log, in order; none without one to read."""
    with contextlib.suppress(OSError):
        names = os.listdir(folder)  # noqa: PTH208 - names are all that is needed
        pieces = [n for n in names if n == LOG_NAME or n.startswith(LOG_NAME + PIECE)]
        return sorted(pieces, key=lambda name: (len(name), name))
    return []


def log_written_ns(folder: Path) -> int:
    """Return when the log in a run's folder was written to; 0 without a log."""
    for name in reversed(_log_pieces(folder)):
        with contextlib.suppress(FileNotFoundError):
            return (folder / name).stat().st_mtime_ns
    return 0


class LogTail:
    """The end of the log of a run in progress, readable also after the run was sealed."""

    def __init__(self, folder: Path) -> None:
        """Prepare to read the log in a run's folder (`journal.files_folder`)."""
        self._folder = folder
        self._names: list[str] = []
        self._files: list[FileIO] = []

    def read(self, size_bytes: int) -> bytes:
        """Return the last bytes of the log as it is now; empty without one."""
        names = _log_pieces(self._folder)[-2:]  # the last one may have begun just now
        if names and names != self._names:
            self._open(names)
        data = b""
        with contextlib.suppress(OSError):  # removed by another host: what is left is shown
            for file in self._files:
                file.seek(max(os.fstat(file.fileno()).st_size - size_bytes, 0))
                data += file.read(size_bytes) or b""
        return data[-size_bytes:]

    def _open(self, names: list[str]) -> None:
        with contextlib.ExitStack() as opened:
            try:
                files = [
                    opened.enter_context((self._folder / n).open("rb", buffering=0)) for n in names
                ]
            except FileNotFoundError:
                return  # moved on meanwhile: the next look finds the others
            opened.pop_all()
        self.close()
        self._names, self._files = names, files

    def close(self) -> None:
        """Let go of the files."""
        for file in self._files:
            file.close()
        self._names, self._files = [], []
