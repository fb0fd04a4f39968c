"""What runs keep beside their facts: metric logs, files and environments, and live journals.

They are read from the shards when they are asked for, not from the index.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence

from gitexp.errors import GitexpError
from gitexp.git import refs
from gitexp.git.read import list_refs, read_blob
from gitexp.git.repository import Repository
from gitexp.naming import resolve_name
from gitexp.store.problem import Problem

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TypeVar

    from gitexp.index.live import Live
    from gitexp.records.history import History
    from gitexp.records.series import Call
    from gitexp.run import Run

    Answer = TypeVar("Answer")


class Kept:
    """The part of a memory that reads what runs keep."""

    def __init__(self, repository: Repository) -> None:
        """Start with nothing read."""
        self.repository = repository
        self._met: dict[Problem, None] = {}

    @functools.cached_property
    def _live(self) -> Live | None:
        """Journals; read before the shards, so a run sealed in between is never missed."""
        if not has_journals(self.repository):
            return None
        from gitexp.index.live import read_journals

        return read_journals(self.repository)

    def calls(self, run: Run) -> list[Call]:
        """Return everything a run tracked, in order, with notes."""
        from gitexp.records.series import calls

        return self._ask_log(run, calls)

    def history(self, run: Run, metric: str) -> History:
        """Return the values of one metric in the order they were tracked.

        Raises:
            GitexpError: The run has no such metric.
            AmbiguousError: The name fits several.
        """
        path = resolve_name(metric, run.metrics)
        return self.histories(run, [path])[path]

    def histories(self, run: Run, metrics: Sequence[str]) -> dict[str, History]:
        """Return the values of several metrics, by their full paths, reading the log once."""
        from gitexp.records.history import read_history

        return self._ask_log(run, lambda lines: {m: read_history(lines, m) for m in metrics})

    def _ask_log(self, run: Run, ask: Callable[[list[bytes]], Answer]) -> Answer:
        """Return what ``ask`` makes of a run's metric log, damaged lines left out and noted."""
        from gitexp.records.facts import BadLineError
        from gitexp.store.read import read_metric_lines

        live = self._live.folded.get(run.id) if self._live else None
        if live is not None:
            return ask(live.series.lines)
        tips = list_refs(self.repository, refs.METRICS)
        lines, problems = read_metric_lines(self.repository, tips, run.id)
        self._met |= dict.fromkeys(problems)
        try:
            return ask(list(lines))
        except (BadLineError, RecursionError):
            return ask([line for line, place in lines.items() if self._is_sound(line, place)])

    def _is_sound(self, line: bytes, place: Problem) -> bool:
        from gitexp.records.facts import BadLineError
        from gitexp.records.series import calls

        try:
            calls([line])
        except (BadLineError, RecursionError) as error:
            self._met[place._replace(reason=str(error))] = None
            return False
        return True

    def files(self, run: Run) -> dict[str, int | None]:
        """Return path -> bytes of the files kept with a run; None for a missing object."""
        from gitexp.git.measure import object_sizes
        from gitexp.store.read import list_run_files

        if self._is_live(run):
            return {name: len(content) for name, content in self._waiting_files(run).items()}
        stored = list_run_files(self.repository, self._file_tips(), run.id)
        sizes = object_sizes(self.repository, list(stored.values()))
        return {path: sizes[oid] for path, oid in stored.items()}

    def _file_tips(self) -> dict[str, str]:
        return list_refs(self.repository, refs.FILES)

    def _is_live(self, run: Run) -> bool:
        """Say whether a run was in progress when it was read, and still has its journal."""
        if self._live is None or run.id not in self._live.folded:
            return False
        return (self.repository.journals / run.id).exists()

    def _waiting_files(self, run: Run) -> dict[str, bytes]:
        """Return the files of a run in progress, which no shard has yet."""
        if not self._is_live(run):
            return {}
        from gitexp import journal, seal

        waiting = seal.waiting_files(journal.files_folder(self.repository, run.id))
        return {name: c if isinstance(c, bytes) else c.read_bytes() for name, c in waiting.items()}

    def read_file(self, run: Run, path: str) -> bytes:
        """Return the content of a file kept with a run.

        Raises:
            GitexpError: There is none of that name, or its object is missing.
        """
        from gitexp.store.read import list_run_files

        waiting = self._waiting_files(run)
        if path in waiting:
            return waiting[path]
        oid = list_run_files(self.repository, self._file_tips(), run.id).get(path)
        content = read_blob(self.repository, oid) if oid is not None else None
        if content is None:
            raise GitexpError(f"Run {run.id[:12]} has no file {path!r}.")
        return content

    def environment(self, digest: str | None) -> bytes | None:
        """Return an environment record as JSON, by its digest; None where it is not known here."""
        from gitexp.store.batch import is_digest

        if digest is None or not is_digest(digest):
            return None
        from gitexp.store.read import read_environment

        stored = read_environment(self.repository, self._file_tips(), digest)
        if stored is not None:
            return stored
        from gitexp import seal

        waiting = seal.environment_cache(self.repository, digest)
        return waiting.read_bytes() if waiting.exists() else None


def has_journals(repository: Repository) -> bool:
    """Say whether there may be runs in progress, without loading what reads them."""
    try:
        with os.scandir(repository.journals) as entries:
            return next(entries, None) is not None
    except (FileNotFoundError, NotADirectoryError):
        return False
