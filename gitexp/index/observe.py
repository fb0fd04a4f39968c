"""The value that every run has of one metric, with what tells configurations apart.

One question for all runs and no document: 10,000 runs are read in some 20 ms.
"""

from __future__ import annotations

from gitexp.light import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

OBSERVED = """
SELECT r.id, r.tree, r.setup, r.started, r.duration, r.status, r.verdict, r.seed, r.parent,
    r."commit", m.{column}
FROM run AS r LEFT JOIN metric AS m ON m.path = (
    SELECT number FROM path WHERE kind = 'metric' AND path = ?
) AND m.run = r.number
ORDER BY r.started, r.id
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


def observed(rows: Sequence[tuple[Any, ...]]) -> list[Observed]:
    """Return the rows that `OBSERVED` finds."""
    return [Observed(*row) for row in rows]
