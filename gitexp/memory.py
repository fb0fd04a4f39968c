"""The reader: every run of a repository, found by name, id, tag, time or metric.

It walks the refs and notes of all shards through the git program (never libgit2) and merges in
the runs in progress from their journals.
"""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from gitexp import journal, seal
from gitexp.errors import AmbiguousError, GitexpError, RunNotFoundError, UsageError
from gitexp.git import refs
from gitexp.git.measure import object_sizes
from gitexp.git.read import read_blob
from gitexp.git.repository import Repository
from gitexp.naming import Goal, direction, resolve_name
from gitexp.records.facts import BadLineError, Fact
from gitexp.records.series import Call, Point, calls, history
from gitexp.records.times import parse_time
from gitexp.run import By, Run, build_run
from gitexp.store.read import (
    Problem,
    StoredFacts,
    list_run_files,
    read_environment,
    read_facts,
    read_metric_lines,
    store_refs,
)

_SPEC_BEST = re.compile(r"best:(?P<metric>.+)")
_SPEC_LATEST = re.compile(r"latest(?:~(?P<back>[0-9]{1,9}))?")

Answer = TypeVar("Answer")


class Ranked(NamedTuple):
    """A run's place by a metric: the number it is ranked by, and its step for ``by="best"``."""

    run: Run
    value: float
    step: int | None


@dataclass(frozen=True)
class Ranking:
    """Runs ordered by a metric, best first.

    Attributes:
        metric: Full dotted path.
        goal: Which direction was taken for better, and why.
        skipped: How many runs have the metric but no finite value of it.
    """

    metric: str
    goal: Goal
    by: By
    rows: list[Ranked]
    skipped: int


class Memory:
    """All runs that a repository remembers, as they were when it was first asked.

    `refresh` looks again.
    """

    def __init__(self, repository: Repository) -> None:
        """Wrap a repository; `gitexp.open` is the usual way."""
        self.repository = repository
        self._met: dict[Problem, None] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> Memory:
        """Open the repository that holds ``path`` (the current folder by default).

        Runs whose process is gone are sealed first.

        Raises:
            NoRepositoryError: There is no repository there.
        """
        repository = Repository.discover(None if path is None else Path(path))
        seal.recover(repository)
        return cls(repository)

    def refresh(self) -> None:
        """Forget what was read, so that the next question reads again."""
        for name in ("_tips", "_stored", "_live", "_runs"):
            self.__dict__.pop(name, None)
        self._met.clear()

    @functools.cached_property
    def _live(self) -> dict[str, seal.Folded]:
        """Journals; read before the shards, so a run sealed in between is never missed."""
        found: dict[str, seal.Folded] = {}
        for run_id in journal.live_runs(self.repository):
            try:
                found[run_id] = seal.fold(journal.journal_path(self.repository, run_id))
            except FileNotFoundError:
                continue  # sealed just now: the shards have it
            except OSError as error:
                reason = f"its journal cannot be read: {error.strerror}"
                self._met[Problem("live", run_id, 0, reason)] = None
        return found

    @functools.cached_property
    def _tips(self) -> dict[str, str]:
        _ = self._live
        return store_refs(self.repository)

    @functools.cached_property
    def _stored(self) -> StoredFacts:
        return read_facts(self.repository, self._tips)

    @functools.cached_property
    def _runs(self) -> dict[str, Run]:
        runs: dict[str, Run] = {}
        for run_id, facts in self._stored.facts.items():
            run = build_run(run_id, facts)
            if run is not None:
                runs[run_id] = run
        for run_id, folded in self._live.items():
            if run_id not in runs and folded.run is not None:
                live = _live_run(run_id, folded, self._stored.facts.get(run_id, ()))
                if live is not None:
                    runs[run_id] = live
        return dict(sorted(runs.items(), key=lambda item: (item[1].started, item[0]), reverse=True))

    def runs(self) -> list[Run]:
        """Return all runs, the latest first."""
        return list(self._runs.values())

    @property
    def problems(self) -> list[Problem]:
        """What of the store could not be read so far, with its place; the rest is readable.

        Metric logs are read when they are asked for; then what is damaged of them is added.
        """
        _ = self._runs
        problems = [*self._stored.problems, *self._met]
        handles = {ref.removeprefix(refs.RUNS) for ref in self._tips if ref.startswith(refs.RUNS)}
        silent = sorted(handles - self._runs.keys() - self._stored.facts.keys())
        return problems + [Problem(refs.run_ref(i), i, 0, "no facts speak of it") for i in silent]

    def missing_snapshots(self) -> list[Problem]:
        """Return the handles whose commit is not in this repository. It costs a process."""
        handles = {r: oid for r, oid in self._tips.items() if r.startswith(refs.RUNS)}
        sizes = object_sizes(self.repository, list(handles.values()))
        reason = "its snapshot is missing from this repository"
        return [Problem(ref, oid, 0, reason) for ref, oid in handles.items() if sizes[oid] is None]

    @property
    def unknown(self) -> dict[str, int]:
        """Lines that a newer gitexp wrote: kind and schema -> how many. They are kept as is."""
        return self._stored.unknown

    def get(self, spec: str) -> Run:
        """Return the run that a spec names.

        A spec is an id or an unambiguous prefix of one (4 digits or more), ``latest``,
        ``latest~2``, ``best:METRIC``, a name or a tag that one run alone has.

        Raises:
            RunNotFoundError: No run answers to it.
            AmbiguousError: Several do.
        """
        if not spec:
            raise UsageError("The run is not named.", "Give an id, 'latest', or 'best:METRIC'.")
        if match := _SPEC_LATEST.fullmatch(spec):
            return self._latest(int(match["back"] or 0))
        if match := _SPEC_BEST.fullmatch(spec):
            return self.best(match["metric"]).rows[0].run
        by_name = [run for run in self.runs() if run.name == spec]
        by_tag = [run for run in self.runs() if spec in run.tags]
        by_id = []
        if re.fullmatch(r"[0-9a-fA-F]{4,40}", spec):
            by_id = [run for run in self.runs() if run.id.startswith(spec.lower())]
        for found, what in ((by_id, "id prefix"), (by_name, "name"), (by_tag, "tag")):
            if len(found) == 1:
                return found[0]
            if found:
                raise _ambiguous(spec, what, found)
        hint = "List runs with 'git exp log'." if self._runs else "No run is recorded here yet."
        raise RunNotFoundError(f"No run answers to {spec!r}.", hint)

    def _latest(self, back: int) -> Run:
        runs = self.runs()
        if not runs:
            raise RunNotFoundError(
                "No run is recorded here yet.", "Record one with 'git exp run -- COMMAND'."
            )
        if back >= len(runs):
            raise RunNotFoundError(f"There are only {len(runs)} runs.")
        return runs[back]

    def metric_paths(self) -> list[str]:
        """Return the dotted paths of all metrics that any run has, sorted."""
        return sorted({path for run in self._runs.values() for path in run.metrics})

    def best(
        self,
        metric: str,
        *,
        by: By = "best",
        lower: bool | None = None,
        runs: Iterable[Run] | None = None,
    ) -> Ranking:
        """Rank runs by a metric, best first; ties go to the earlier run.

        Args:
            metric: Its path or an unambiguous suffix.
            by: Rank by the best value reached, the last, or the mean.
            lower: Lower is better; by default from the settings, else from the metric's name.
            runs: Only these.

        Raises:
            GitexpError: No run has the metric, or none has a finite value of it.
            AmbiguousError: The name fits several metrics.
        """
        path = resolve_name(metric, self.metric_paths())
        goal = direction(path, self.repository.settings, lower)
        rows: list[Ranked] = []
        skipped = 0
        for run in self.runs() if runs is None else runs:
            summary = run.metrics.get(path)
            if summary is None:
                continue
            value = run.value(path, by, lower=goal.lower)
            if value is None or not math.isfinite(value):
                skipped += 1
                continue
            step = summary.step_of_min if goal.lower else summary.step_of_max
            rows.append(Ranked(run, value, step if by == "best" else None))
        if not rows:
            raise GitexpError(f"No run has a finite value of {path}.")
        sign = 1 if goal.lower else -1
        rows.sort(key=lambda row: (sign * row.value, row.run.started, row.run.id))
        return Ranking(path, goal, by, rows, skipped)

    def calls(self, run: Run) -> list[Call]:
        """Return everything a run tracked, in order, with notes."""
        return self._ask_log(run, calls)

    def history(self, run: Run, metric: str) -> list[Point]:
        """Return the values of one metric in the order they were tracked.

        Raises:
            GitexpError: The run has no such metric.
            AmbiguousError: The name fits several.
        """
        path = resolve_name(metric, run.metrics)
        return self._ask_log(run, lambda lines: history(lines, path))

    def _ask_log(self, run: Run, ask: Callable[[list[bytes]], Answer]) -> Answer:
        """Return what ``ask`` makes of a run's metric log, damaged lines left out and noted."""
        live = self._live.get(run.id)
        if live is not None:
            return ask(live.series.lines)
        lines, problems = read_metric_lines(self.repository, self._tips, run.id)
        self._met |= dict.fromkeys(problems)
        try:
            return ask(list(lines))
        except (BadLineError, RecursionError):
            return ask([line for line, place in lines.items() if self._is_sound(line, place)])

    def _is_sound(self, line: bytes, place: Problem) -> bool:
        try:
            calls([line])
        except (BadLineError, RecursionError) as error:
            self._met[place._replace(reason=str(error))] = None
            return False
        return True

    def files(self, run: Run) -> dict[str, int | None]:
        """Return path -> bytes of the files kept with a run; None for a missing object."""
        if run.id in self._live:
            return {name: len(content) for name, content in self._waiting_files(run).items()}
        stored = list_run_files(self.repository, self._tips, run.id)
        sizes = object_sizes(self.repository, list(stored.values()))
        return {path: sizes[oid] for path, oid in stored.items()}

    def _waiting_files(self, run: Run) -> dict[str, bytes]:
        """Return the files of a run in progress, which no shard has yet."""
        if run.id not in self._live:
            return {}
        waiting = seal.waiting_files(journal.files_folder(self.repository, run.id))
        return {name: c if isinstance(c, bytes) else c.read_bytes() for name, c in waiting.items()}

    def read_file(self, run: Run, path: str) -> bytes:
        """Return the content of a file kept with a run.

        Raises:
            GitexpError: There is none of that name, or its object is missing.
        """
        waiting = self._waiting_files(run)
        if path in waiting:
            return waiting[path]
        oid = list_run_files(self.repository, self._tips, run.id).get(path)
        content = read_blob(self.repository, oid) if oid is not None else None
        if content is None:
            raise GitexpError(f"Run {run.id[:12]} has no file {path!r}.")
        return content

    def environment(self, run: Run) -> bytes | None:
        """Return a run's environment record as JSON; None where it is not known here."""
        if run.environment is None:
            return None
        stored = read_environment(self.repository, self._tips, run.environment)
        if stored is not None:
            return stored
        waiting = seal.environment_cache(self.repository, run.environment)
        return waiting.read_bytes() if waiting.exists() else None


def is_relative_spec(text: str) -> bool:
    """Say whether a text names a run by its place, whatever runs, names and tags there are."""
    return bool(_SPEC_LATEST.fullmatch(text) or _SPEC_BEST.fullmatch(text))


def _live_run(run_id: str, folded: seal.Folded, stored: Iterable[Fact]) -> Run | None:
    """Return a run in progress, from its journal and what was remarked in the store so far."""
    if folded.run is None:
        return None
    run = build_run(run_id, [folded.run, *folded.remarks, *stored])
    if run is None:
        return None
    if folded.ending is None:
        gone = folded.owner is not None and journal.is_dead(folded.owner)
        run.status = "crashed" if gone else "running"
    else:
        run.status = folded.ending.status
    run.metrics = folded.series.summaries()
    run.calls = folded.series.calls
    last_ns = folded.ending.time_ns if folded.ending else folded.last_ns
    if last_ns:
        end = folded.end_fact(folded.run, journal.Ending(last_ns, "finished"))
        run.ended, run.duration = parse_time(end.time), end.duration
    if folded.ending:
        run.error, run.exit_code = folded.ending.error, folded.ending.exit_code
    return run


def _ambiguous(spec: str, what: str, found: list[Run]) -> AmbiguousError:
    shown = ", ".join(f"{run.id[:12]} ({run.started:%Y-%m-%d %H:%M})" for run in found[:5])
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""  # noqa: PLR2004
    return AmbiguousError(
        f"The {what} {spec!r} fits {len(found)} runs: {shown}{more}.", "Use a longer id."
    )
