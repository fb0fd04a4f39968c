"""The value that every run has of one metric, with what tells configurations apart.

One question for all runs and no document: 10,000 runs are read in some 20 ms.
"""

from __future__ import annotations

from gitexp.light import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    import sqlite3
    from typing import Any

_OBSERVED = """
SELECT r.id, r.tree, r.setup, r.started, r.duration, r.status, r.verdict, r.seed, r.parent,
    r."commit", m.{column}
FROM run AS r LEFT JOIN metric AS m ON m.path = :path AND m.run = r.number
"""

_NEAR = """
WITH near AS (
    SELECT number FROM (SELECT number FROM run ORDER BY started DESC LIMIT :latest)
    UNION
    SELECT run FROM (
        SELECT run FROM metric WHERE path = :path AND {column} > -9e999 AND {column} < 9e999
        ORDER BY {column} {order} LIMIT :best
    )
), these AS (
    SELECT number FROM near
    UNION
    SELECT number FROM run WHERE (tree, setup) IN (
        SELECT tree, setup FROM near CROSS JOIN run ON run.number = near.number
    )
)
"""

COLUMNS = frozenset({"last", "min", "max", "mean"})


class Observed(NamedTuple):
    """A run and its value of a metric, as the index has them.

    Attributes:
        id: 20 bytes; `tree` likewise, None where the code is not here.
        setup: Digest of parameters, command and inputs (`gitexp.configuration`).
        started: Microseconds since 1970.
        duration: Seconds; None for a run in progress.
        parent: Id of the parent run, as text.
        commit: What HEAD named when it started.
        value: A number, NaN as an empty BLOB; None where the run has none.
    """

    id: bytes
    tree: bytes | None
    setup: bytes
    started: int
    duration: float | None
    status: str
    verdict: str | None
    seed: int | float | None
    parent: str | None
    commit: bytes | str | None
    value: Any


class Near(NamedTuple):
    """Which runs to look at, where it must not take longer the more there are.

    The replicates of each (same tree, parameters, command and inputs) are looked at with it.

    Attributes:
        latest: So many that started last.
        best: So many that are best by the metric.
        lower: Lower is better.
    """

    latest: int
    best: int
    lower: bool


def observe(
    db: sqlite3.Connection, metric: str, column: str, near: Near | None = None
) -> list[Observed]:
    """Return runs with their value of a metric, in no order.

    Args:
        db: An index.
        metric: Full dotted path.
        column: One of `COLUMNS`.
        near: Which runs; all by default.
    """
    found = db.execute("SELECT number FROM path WHERE kind = 'metric' AND path = ?", [metric])
    row = found.fetchone()
    parameters: dict[str, Any] = {"path": None if row is None else row[0]}
    sql = _OBSERVED
    if near is not None:
        sql = f"{_NEAR}{_OBSERVED} WHERE r.number IN (SELECT number FROM these)"  # noqa: S608
        parameters |= {"latest": near.latest, "best": near.best}
    order = "ASC" if near is None or near.lower else "DESC"
    rows = db.execute(sql.format(column=column, order=order), parameters)
    return list(map(Observed._make, rows))
