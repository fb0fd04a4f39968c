"""The reader: every run of a repository, found by name, id, tag, time, metric or expression.

What runs are and how they went is asked of the index, and of the journals of runs in progress;
what else runs keep is read from the shards (`gitexp.kept`). Everything goes through the git
program: libgit2 is never loaded, nor are the decoders while the index is up to date.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from gitexp import ranking
from gitexp.document import By, moment
from gitexp.errors import (
    AmbiguousError,
    GitexpError,
    MissingObjectError,
    RunNotFoundError,
    UsageError,
)
from gitexp.git import refs
from gitexp.git.read import list_refs, read_trees, resolve_tree
from gitexp.git.repository import Repository
from gitexp.index.ask import (
    Ask,
    Key,
    Source,
    with_id,
    with_ids,
    with_name,
    with_tag,
)
from gitexp.index.database import Index, Progress
from gitexp.index.search import Found, Search
from gitexp.kept import Kept, has_journals
from gitexp.naming import Goal, direction, resolve_name
from gitexp.query.names import Catalog
from gitexp.ranking import Front, Ranking, ranked, run_of
from gitexp.records.nested import clean_text
from gitexp.store.problem import Problem
from gitexp.table import Tabular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Self, TypeVar

    from gitexp.compare import Pair
    from gitexp.index.observe import Near, Observed
    from gitexp.notebook import Runs
    from gitexp.query.syntax import Node
    from gitexp.run import Run

    Answer = TypeVar("Answer")

_SPEC_BEST = r"best:(?P<metric>.+)"
_SPEC_LATEST = r"latest(?:~(?P<back>[0-9]{1,9}))?"
_NAMED = 5
"""Candidates that an error names."""

_WITHOUT_TREE = "SELECT id FROM run WHERE tree IS NULL"
"""Runs whose code was not here when the index met them; it may have come since."""


class Memory(Kept, Tabular):
    """All runs that a repository remembers, as they were when it was first asked.

    `refresh` looks again.
    """

    def __init__(self, repository: Repository, progress: Progress | None = None) -> None:
        """Wrap a repository; `gitexp.open` is the usual way.

        Args:
            repository: Whose runs.
            progress: Told how far the index has got, when many runs are new to it.
        """
        super().__init__(repository)
        self._progress = progress
        self._observed: dict[tuple[str, str, Near | None], list[Observed]] = {}

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None) -> Self:
        """Open the repository that holds ``path`` (the current folder by default).

        Runs whose process is gone are sealed first.

        Raises:
            NoRepositoryError: There is no repository there.
        """
        repository = Repository.discover(None if path is None else Path(path))
        if has_journals(repository):
            from gitexp import seal

            seal.recover(repository)
        return cls(repository)

    def _repr_html_(self) -> str:
        from gitexp.notebook import memory_html

        latest = [found.document for found in self.search(limit=10)]
        return memory_html(str(self.repository.top), latest, self.count())

    def refresh(self) -> None:
        """Forget what was read, so that the next question reads again."""
        for name in ("_live", "_index", "_search"):
            self.__dict__.pop(name, None)
        self._met.clear()
        self._observed.clear()

    def reindex(self) -> int:
        """Make the index anew from the shards; return how many runs it holds."""
        self.refresh()
        self._index = Index(self.repository, self._progress, anew=True)
        return self.count()

    @property
    def index_path(self) -> Path | None:
        """The file of the index; None when it is in memory, for want of a place or of runs."""
        return self._index.path

    @functools.cached_property
    def _index(self) -> Index:
        _ = self._live
        return Index(self.repository, self._progress)

    @functools.cached_property
    def _search(self) -> Search:
        live = None
        if self._live is not None:
            from gitexp.index.live import live_index

            live = live_index(self.repository, self._index, self._live.folded)
        return Search(self._index, live, self._is_lower_better)

    def _is_lower_better(self, metric: str) -> bool:
        return direction(metric, self.repository.settings).lower

    @property
    def catalog(self) -> Catalog:
        """The names of all metrics, parameters and pieces of metadata."""
        return self._search.catalog

    def metric_paths(self) -> list[str]:
        """Return the dotted paths of all metrics that any run has, sorted."""
        return sorted(self.catalog.metrics)

    def search(
        self,
        where: str | Node | None = None,
        *,
        sort: str | None = None,
        columns: Sequence[Node] = (),
        limit: int | None = None,
        among: Sequence[str] | None = None,
    ) -> list[Found]:
        """Return the runs that fulfil an expression, the latest first.

        Args:
            where: docs/reference/query.md; all runs by default.
            sort: What to sort by instead: expressions with commas between them.
            columns: What else to compute of each run.
            limit: At most so many; all by default.
            among: Only runs of these ids; of all by default.

        Raises:
            QueryError: An expression cannot be understood.
        """
        keys = [] if sort is None else _sort_keys(sort)
        source = None if among is None else with_ids(among)
        return self._find(Ask(as_node(where), source, keys, columns, limit))

    def _find(self, ask: Ask) -> list[Found]:
        return self._search.find(ask, datetime.now().astimezone())

    def runs(
        self, where: str | None = None, *, sort: str | None = None, limit: int | None = None
    ) -> Runs[Run]:
        """Return the runs that fulfil an expression, the latest first; see `search`."""
        from gitexp.notebook import Runs

        found = self.search(where, sort=sort, limit=limit)
        return Runs(run_of(each, self) for each in found)

    def count(self, where: str | Node | None = None) -> int:
        """Return how many runs fulfil an expression; how many there are by default."""
        return self._search.count(Ask(as_node(where)), datetime.now().astimezone())

    def observed(self, metric: str, column: str, near: Near | None = None) -> list[Observed]:
        """Return runs with their value of a metric, in the order of their starts.

        Args:
            metric: Full dotted path.
            column: ``last``, ``min``, ``max`` or ``mean``.
            near: Which runs; all by default.
        """
        from gitexp.index.observe import COLUMNS, observe

        if column not in COLUMNS:
            raise UsageError(f"A metric has no {column!r}.", f"Use one of {', '.join(COLUMNS)}.")
        asked = (metric, column, near)
        if asked not in self._observed:
            answers = self._search.each(lambda db: observe(db, metric, column, near))
            found = [row for answer in answers for row in answer]
            self._observed[asked] = sorted(found, key=lambda row: (row.started, row.id))
        return self._observed[asked]

    def ask(
        self, sql: str, parameters: Sequence[str | bytes | float] = ()
    ) -> list[tuple[Any, ...]]:
        """Return the rows of a question to the index, of runs in progress too.

        Args:
            sql: One SELECT on the tables of `gitexp.index.schema`.
            parameters: What its question marks stand for.
        """
        return self._search.ask(sql, parameters)

    def with_tree(self, tree: str) -> list[str]:
        """Return the ids of the runs whose code is this tree (its id)."""
        ids = self._search.ask("SELECT id FROM run WHERE tree = ?", [bytes.fromhex(tree)])
        later = [run_id.hex() for (run_id,) in self._search.ask(_WITHOUT_TREE)]
        trees = zip(later, read_trees(self.repository, later), strict=True)
        return [run_id.hex() for (run_id,) in ids] + [r for r, found in trees if found == tree]

    def replicates(self, run: Run) -> list[str]:
        """Return the ids of a run's replicates, its own too, the latest first: same code and setup.

        The setup is parameters, command and inputs without seeds (`gitexp.configuration`).

        Raises:
            MissingObjectError: The run's code is not in this repository.
        """
        tree = resolve_tree(self.repository, run.id)
        if tree is None:
            raise MissingObjectError(
                f"The code of run {run.id[:12]} is not in this repository.",
                "Bring it with 'git exp pull'.",
            )
        from gitexp.configuration import setup_digest

        sql = "SELECT started, id FROM run WHERE setup = ?"
        alike = sorted(self._search.ask(sql, [setup_digest(run)]), reverse=True)
        same = set(self.with_tree(tree))
        return [run_id.hex() for _, run_id in alike if run_id.hex() in same]

    @property
    def problems(self) -> list[Problem]:
        """What of the store could not be read so far, with its place; the rest is readable.

        Metric logs are read when they are asked for; then what is damaged of them is added.
        """
        sql = "SELECT ref, lower(hex(run)), line, reason FROM problem"
        rows = self._index.ask(lambda db: db.execute(sql).fetchall())
        stored = [Problem(*row) for row in rows]
        live = self._live.problems if self._live else []
        return [*stored, *live, *self._met]

    @property
    def unknown(self) -> dict[str, int]:
        """Lines that a newer gitexp wrote: kind and schema -> how many. They are kept as is."""
        sql = "SELECT label, sum(lines) FROM newer GROUP BY label"
        return dict(self._index.ask(lambda db: db.execute(sql).fetchall()))

    def lost_handles(self) -> list[Problem]:
        """Return the handles that lead nowhere: without facts, or without their commit.

        It lists a ref and looks for an object for each run.
        """
        from gitexp.git.measure import object_sizes

        handles = list_refs(self.repository, refs.RUNS)
        known = {run_id.hex() for (run_id,) in self._search.ask("SELECT id FROM run")}
        known |= {run_id.hex() for (run_id,) in self._search.ask("SELECT run FROM note")}
        sizes = object_sizes(self.repository, list(handles.values()))
        silent = [
            Problem(ref, ref.removeprefix(refs.RUNS), 0, "no facts speak of it")
            for ref in handles
            if ref.removeprefix(refs.RUNS) not in known
        ]
        reason = "its snapshot is missing from this repository"
        lost = [Problem(ref, oid, 0, reason) for ref, oid in handles.items() if sizes[oid] is None]
        return silent + lost

    def get(self, spec: str) -> Run:
        """Return the run that a spec names.

        A spec is an id or an unambiguous prefix of one (4 digits or more), ``latest``,
        ``latest~2``, ``best:METRIC``, a name or a tag that one run alone has.

        Raises:
            RunNotFoundError: No run answers to it.
            AmbiguousError: Several do.
        """
        return run_of(self.find(spec), self)

    def find(self, spec: str) -> Found:
        """Return the run that a spec names, as its document; see `get`."""
        if not spec:
            raise UsageError("The run is not named.", "Give an id, 'latest', or 'best:METRIC'.")
        spec = clean_text(spec)
        if match := re.fullmatch(_SPEC_LATEST, spec):
            return self._latest(int(match["back"] or 0))
        if match := re.fullmatch(_SPEC_BEST, spec):
            return self.best(match["metric"], top=1).rows[0].found
        for what, source in _sources(spec):
            found = self._find(Ask(among=source, limit=_NAMED))
            if len(found) == 1:
                return found[0]
            if found:
                raise self._ambiguous(spec, what, source, found)
        hint = "List runs with 'git exp log'." if self.count() else "No run is recorded here yet."
        raise RunNotFoundError(f"No run answers to {spec!r}.", hint)

    def _latest(self, back: int) -> Found:
        found = self._find(Ask(limit=back + 1))
        if not found:
            raise RunNotFoundError(
                "No run is recorded here yet.", "Record one with 'git exp run -- COMMAND'."
            )
        if back >= len(found):
            raise RunNotFoundError(f"There are only {len(found)} runs.")
        return found[back]

    def _ambiguous(
        self, spec: str, what: str, source: Source, found: list[Found]
    ) -> AmbiguousError:
        count = self._search.count(Ask(among=source), datetime.now().astimezone())
        shown = ", ".join(
            f"{f.document['run'][:12]} ({moment(f.document, 'started'):%Y-%m-%d %H:%M})"
            for f in found
        )
        more = f" and {count - len(found)} more" if count > len(found) else ""
        return AmbiguousError(
            f"The {what} {spec!r} fits {count} runs: {shown}{more}.", "Use a longer id."
        )

    def best(
        self,
        metric: str,
        *,
        by: By = "best",
        lower: bool | None = None,
        where: str | Node | None = None,
        top: int | None = 10,
        columns: Sequence[Node] = (),
    ) -> Ranking:
        """Rank runs by a metric, best first; ties go to the earlier run.

        Args:
            metric: Its path or an unambiguous suffix.
            by: Rank by the best value reached, the last, or the mean.
            lower: Lower is better; by default from the settings, else from the metric's name.
            where: Only runs that fulfil this expression.
            top: At most so many; None for all.
            columns: What else to compute of each run.

        Raises:
            GitexpError: No run has the metric, or none has a finite value of it.
            AmbiguousError: The name fits several metrics.
            QueryError: The expression cannot be understood.
        """
        path, goal = self._goal(metric, lower)
        keys = [ranking.key(path, goal, by)]
        ask = Ask(as_node(where), None, keys, columns, top, finite=True, earliest=True)
        found = self._find(ask)
        if not found:
            which = "No run" if ask.where is None else "No run that fits"
            raise GitexpError(f"{which} has a finite value of {path}.")
        skipped = self._search.count_unranked(ask, datetime.now().astimezone())
        rows = [ranked(each, path, goal, by, self) for each in found]
        return Ranking(path, goal, by, rows, skipped)

    def front(
        self,
        metrics: Sequence[str],
        *,
        by: By = "best",
        lower: bool | None = None,
        where: str | Node | None = None,
        columns: Sequence[Node] = (),
    ) -> Front:
        """Return the runs that no other run beats in all of several metrics (the Pareto front).

        Args:
            metrics: Paths or unambiguous suffixes.
            by: Which value of a run counts.
            lower: Lower is better, for all metrics; by default as for each alone.
            where: Only runs that fulfil this expression.
            columns: What else to compute of each run.

        Raises:
            GitexpError: No run has a finite value of all metrics.
        """
        goals = dict(self._goal(metric, lower) for metric in metrics)
        keys = [ranking.key(path, goal, by) for path, goal in goals.items()]
        ask = Ask(as_node(where), None, keys, columns, finite=True, earliest=True)
        front = ranking.front(self._find(ask), goals, by)
        if not front.rows:
            raise GitexpError(f"No run has a finite value of each of {', '.join(goals)}.")
        return front

    def _goal(self, metric: str, lower: bool | None) -> tuple[str, Goal]:
        path = resolve_name(metric, self.metric_paths())
        return path, direction(path, self.repository.settings, lower)

    def diff(self, a: Run, b: Run) -> Pair:
        """Return what differs between two runs beside their code.

        Args:
            a: The older state, as in ``git diff A B``.
            b: The other.
        """
        from gitexp.compare import compare

        environments = [self.environment(run.environment) for run in (a, b)]
        return compare(a, b, *environments, settings=self.repository.settings)


def is_relative_spec(text: str) -> bool:
    """Say whether a text names a run by its place, whatever runs, names and tags there are."""
    return bool(re.fullmatch(_SPEC_LATEST, text) or re.fullmatch(_SPEC_BEST, text))


def as_node(where: str | Node | None) -> Node | None:
    """Return an expression parsed, if it is not yet.

    Raises:
        QueryError: It cannot be understood.
    """
    if not isinstance(where, str):
        return where
    from gitexp.query.syntax import parse

    return parse(where)


def _sort_keys(text: str) -> list[Key]:
    from gitexp.query.syntax import parse_list

    return [Key(item.node, item.descending) for item in parse_list(text, order=True)]


def _sources(spec: str) -> Iterator[tuple[str, Source]]:
    """Yield what a spec can be, and the runs that it fits then."""
    if re.fullmatch(r"[0-9a-fA-F]{4,40}", spec):
        yield "id prefix", with_id(spec.lower())
    yield "name", with_name(spec)
    yield "tag", with_tag(spec)
