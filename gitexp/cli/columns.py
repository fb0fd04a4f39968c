"""The columns of a table of runs: those that were asked for, else those that say most."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from gitexp.cli.output import Output
from gitexp.document import OWN, Document, fields
from gitexp.errors import GitexpError
from gitexp.index.search import Found
from gitexp.naming import resolve_name
from gitexp.records.nested import json_numbers
from gitexp.render.text import ago, cell, exact, short, stamp
from gitexp.table import Column, field_column, metric_column, own_column, row

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

MAX_METRICS = 3
MAX_FIELDS = 4
"""Columns that are shown unasked: with more, a line does not fit on a terminal."""

_FIRST = ("run", "name", "status", "started")


def telling_columns(documents: Sequence[Document], goal_metric: str | None) -> list[Column]:
    """Return the columns that say most about some runs.

    Args:
        documents: Of the runs.
        goal_metric: The metric that the repository is about, if it was set.
    """
    labels = [name for name in ("tags", "verdict") if any(name in d for d in documents)]
    columns = [own_column(name) for name in _FIRST]
    columns += [metric_column(path) for path in _metrics(documents, goal_metric)]
    columns += [own_column(name) for name in labels]
    return columns + [field_column(path) for path in _few_fields(documents)]


def changed_columns(columns: Sequence[Column], found: Sequence[Found]) -> list[Column]:
    """Return the columns whose values are not the same for all runs, and the run itself."""
    seen: dict[Column, set[str]] = {column: set() for column in columns}
    for each in found:
        for column, value in zip(columns, row(each, columns), strict=True):
            seen[column].add(cell(value))
    return [c for c, values in seen.items() if len(values) > 1 or c.title == "run"]


def all_columns(documents: Sequence[Document]) -> list[Column]:
    """Return every column that some runs fill: of their own, metrics, parameters, metadata."""
    metrics = dict.fromkeys(path for document in documents for path in document.get("metrics", ()))
    columns = [own_column(name) for name in OWN]
    columns += [metric_column(path) for path in metrics]
    return columns + [field_column(path) for path in differing_fields(documents)]


def _metrics(documents: Sequence[Document], goal_metric: str | None) -> list[str]:
    """Return the goal metric if it is set and there, else those that most runs have."""
    counts = Counter(path for document in documents for path in document.get("metrics", ()))
    if goal_metric is not None:
        try:
            return [resolve_name(goal_metric, counts)]
        except GitexpError:  # set, but these runs do not have it, or have several like it
            return [path for path, _ in counts.most_common(MAX_METRICS)]
    return [path for path, _ in counts.most_common(MAX_METRICS)]


def _few_fields(documents: Sequence[Document]) -> list[str]:
    names = differing_fields(documents)
    return sorted(names, key=lambda name: name.startswith("metadata."))[:MAX_FIELDS]


def differing_fields(documents: Sequence[Document]) -> list[str]:
    """Return parameters and metadata whose values differ, in order of appearance."""
    known = [fields(document) for document in documents]
    names = dict.fromkeys(name for values in known for name in values)
    return [name for name in names if len({cell(values.get(name)) for values in known}) > 1]


def cells(found: Found, columns: Sequence[Column], show: Callable[[Any], str]) -> list[str]:
    """Return a run's row of a table."""
    values = zip(columns, row(found, columns), strict=True)
    return [_cell(column.title, value, show) for column, value in values]


def _cell(title: str, value: Any, show: Callable[[Any], str]) -> str:
    if title == "run":
        return short(value)
    return show(", ".join(value) if title == "tags" else value)


def run_json(found: Found, asked: Sequence[Column] | None) -> dict[str, Any]:
    """Return a run in the shape of ``--json``, with its values of the columns asked for."""
    if asked is None:
        return found.document
    values = zip(asked, row(found, asked), strict=True)
    columns = {
        column.title: stamp(value) if isinstance(value, datetime) else json_numbers(value)
        for column, value in values
    }
    return found.document | {"columns": columns}


def shower(output: Output) -> Callable[[Any], str]:
    """Return how to write a value: short on a terminal, exact in a pipe."""
    return _for_people(datetime.now(UTC)) if output.terminal else _for_programs


def _for_people(now: datetime) -> Callable[[Any], str]:
    def show(value: Any) -> str:
        if isinstance(value, datetime):
            return ago(value, now)
        return cell(value)

    return show


def _for_programs(value: Any) -> str:
    return stamp(value) if isinstance(value, datetime) else exact(value)
