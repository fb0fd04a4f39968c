"""A run as ``--json`` shows it: a plain dict, its *document*, and what can be looked up in it.

The index holds documents, so that listing and ranking runs loads neither the classes of the
records nor the library that decodes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime

from gitexp.records.nested import flatten, number_from_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Literal

    By = Literal["best", "last", "mean"]
    Document = dict[str, Any]
else:
    By, Document = str, dict


def fields(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters and metadata as dotted paths: ``params.lr``, ``metadata.note``."""
    parameters = flatten(document.get("parameters") or {})
    values = {f"params.{path}": value for path, value in parameters.items()}
    metadata = document.get("metadata")
    if isinstance(metadata, Mapping):
        values |= {f"metadata.{path}": value for path, value in flatten(metadata).items()}
    if document.get("seed") is not None:
        values.setdefault("seed", document["seed"])
    return values


def metric_value(
    document: Document, metric: str, by: By = "last", *, lower: bool = False
) -> float | None:
    """Return one number for a metric: best value reached, last, or mean; None without one.

    Args:
        document: Of the run.
        metric: Full dotted path.
        by: ``best`` is the minimum if ``lower`` else the maximum, over finite values.
        lower: Lower is better.
    """
    summary = document.get("metrics", {}).get(metric)
    if summary is None:
        return None
    best = "min" if lower else "max"
    value: float | None = number_from_json(summary.get(best if by == "best" else by))
    return value


OWN: dict[str, Callable[[Document], Any]] = {
    "run": lambda document: document["run"],
    "name": lambda document: document.get("name"),
    "status": lambda document: document.get("status"),
    "started": lambda document: moment(document, "started"),
    "ended": lambda document: moment(document, "ended"),
    "duration": lambda document: document.get("duration"),
    "by": lambda document: document.get("by"),
    "tags": lambda document: ", ".join(document.get("tags", ())),
    "verdict": lambda document: document.get("verdict"),
    "family": lambda document: document.get("family"),
    "description": lambda document: document.get("description"),
    "hypothesis": lambda document: document.get("hypothesis"),
    "seed": lambda document: document.get("seed"),
    "branch": lambda document: document.get("git", {}).get("branch"),
    "commit": lambda document: document.get("git", {}).get("head"),
    "dirty": lambda document: document.get("git", {}).get("dirty"),
    "host": lambda document: document.get("host"),
    "calls": lambda document: document.get("calls"),
    "exit_code": lambda document: document.get("exit_code"),
    "parent": lambda document: document.get("parent"),
    "action": lambda document: (document.get("decision") or {}).get("action"),
}
"""What every run has by itself, by the name that it has as a column."""


def moment(document: Document, name: str) -> datetime | None:
    """Return ``started`` or ``ended`` as a time; None where it is not known."""
    text = document.get(name)
    return None if text is None else datetime.fromisoformat(text)
