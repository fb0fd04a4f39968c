"""What a notebook shows of runs: small HTML tables (`gitexp.markup`), from documents to text.

Everything that a run says is escaped, each cell is a paragraph of its own (so that marks which
reorder text end with it), and there is no script and no style sheet: it looks alike in Jupyter, in
its exports, in light and in dark.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Protocol, TypeVar

from gitexp.document import Document, fields, metric_value, moment
from gitexp.markup import heading, more, table
from gitexp.records.nested import number_from_json

MAX_ROWS = 20
_METRICS, _FIELDS = 3, 4
"""Columns of a list of runs, so that a row fits on a page."""

_SUMMARY = ("last", "min", "max", "mean", "count")
_FACTS = ("description", "hypothesis", "family", "by", "host")


class Documented(Protocol):
    """A run, as far as it is shown here."""

    def to_dict(self) -> dict[str, Any]:
        """Return its document."""


Item = TypeVar("Item", bound=Documented)


class Runs(list[Item]):
    """A list of runs that a notebook shows as a table."""

    def _repr_html_(self) -> str:
        return runs_html([run.to_dict() for run in self[:MAX_ROWS]], len(self))


def runs_html(documents: Sequence[Document], count: int) -> str:
    """Return a table of runs.

    Args:
        documents: Of the first runs.
        count: How many runs there are.
    """
    shown = documents[:MAX_ROWS]
    counts = Counter(path for document in shown for path in document.get("metrics", ()))
    metrics = [path for path, _ in counts.most_common(_METRICS)]
    names = _differing(shown)
    rows = [
        [*_head(document), *(metric_value(document, path) for path in metrics)]
        + [number_from_json(fields(document).get(name)) for name in names]
        for document in shown
    ]
    header = ["run", "name", "status", "started", *metrics, *names]
    return table(header, rows) + more(count, len(shown), "run")


def _differing(documents: Sequence[Document]) -> list[str]:
    """Return a few parameters and pieces of metadata in which the runs differ, if there are."""
    known = [fields(document) for document in documents]
    names = dict.fromkeys(name for values in known for name in values)
    differing = [name for name in names if len({repr(v.get(name)) for v in known}) > 1]
    return sorted(differing, key=lambda name: name.startswith("metadata."))[:_FIELDS]


def run_html(document: Document) -> str:
    """Return what there is to say of one run."""
    tags = ", ".join(document.get("tags", ()))
    facts = {"status": document.get("status"), "started": moment(document, "started")}
    facts |= {"duration": _duration(document), "tags": tags, "verdict": document.get("verdict")}
    facts |= {name: document.get(name) for name in _FACTS}
    error = document.get("error")
    if error:
        facts["error"] = f"{error.get('type')}: {error.get('message')}"
    rows = [[name, value] for name, value in facts.items() if value not in (None, "")]
    metrics = document.get("metrics", {})
    summaries = [
        [path, *(number_from_json(summary.get(name)) for name in _SUMMARY)]
        for path, summary in metrics.items()
    ]
    values = [[path, number_from_json(value)] for path, value in fields(document).items()]
    parts = [heading(f"Run {document['run'][:12]}", document.get("name", "")), table([], rows)]
    parts += [table(["metric", *_SUMMARY], summaries)] if summaries else []
    parts += [table(["parameter", "value"], values[:MAX_ROWS])] if values else []
    return "".join(parts) + more(len(values), min(len(values), MAX_ROWS), "parameter")


def ranking_html(metric: str, goal: str, rows: Sequence[tuple[Document, float, int | None]]) -> str:
    """Return runs ranked by a metric.

    Args:
        metric: Its path.
        goal: ``min`` or ``max``.
        rows: Of each run its document, the value it is ranked by, and that value's step.
    """
    values = [[*_head(document), value, step] for document, value, step in rows[:MAX_ROWS]]
    header = ["run", "name", "status", "started", metric, "step"]
    title = heading("Best runs", f"{'lowest' if goal == 'min' else 'highest'} {metric} first")
    return title + table(header, values) + more(len(rows), len(values), "run")


def front_html(goals: Mapping[str, str], rows: Sequence[tuple[Document, Sequence[float]]]) -> str:
    """Return the runs of a Pareto front.

    Args:
        goals: Path of each metric -> ``min`` or ``max``.
        rows: Of each run its document and its value of each metric.
    """
    values = [[*_head(document), *found] for document, found in rows[:MAX_ROWS]]
    header = ["run", "name", "status", "started"]
    header += [f"{metric} ({goal})" for metric, goal in goals.items()]
    title = heading("Best compromises", "no other run is better in one and not worse in another")
    return title + table(header, values) + more(len(rows), len(values), "run")


def memory_html(place: str, documents: Sequence[Document], count: int) -> str:
    """Return what a repository remembers.

    Args:
        place: Its folder.
        documents: Of the latest runs.
        count: How many runs there are.
    """
    return heading(f"{count:,} run{'' if count == 1 else 's'}", place) + (
        runs_html(documents, count) if documents else ""
    )


def _head(document: Document) -> list[Any]:
    started = moment(document, "started")
    return [document["run"][:12], document.get("name"), document.get("status"), started]


def _duration(document: Document) -> timedelta | None:
    seconds = document.get("duration")
    try:
        return None if seconds is None else timedelta(seconds=round(seconds))
    except OverflowError:
        return None
