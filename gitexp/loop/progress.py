"""What a session tells whoever watches it: events while it works, and the result in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from gitexp.errors import GitexpError
from gitexp.loop.budget import Spent
from gitexp.loop.plan import Budgets

EventKind = Literal[
    "session",
    "ask",
    "wait",
    "proposal",
    "blocked",
    "breach",
    "run",
    "ran",
    "decision",
    "kept",
    "warning",
    "end",
]


@dataclass(frozen=True)
class Event:
    """Something that happened.

    Attributes:
        kind: What.
        text: One sentence or clause about it; it may hold what others wrote.
        iteration: Number of the proposal; 0 for the baseline.
        run: Id of the run that it is about.
        spent: What the session has taken so far.
        budgets: What it may take.
        best: The best value so far, by the session's own runs.
    """

    kind: EventKind
    text: str
    iteration: int
    run: str | None
    spent: Spent
    budgets: Budgets
    best: float | None


OnEvent = Callable[[Event], None]

Reason = Literal[
    "runs",
    "time",
    "tokens",
    "money",
    "failures",
    "exhausted",
    "interrupted",
    "moved",
    "provider",
    "baseline",
    "error",
]
"""Why a session ended: a budget was over, the provider has no more to say, it was interrupted,
the branch was moved by somebody else, the provider failed, the code gives no value to begin with,
or something else went wrong."""


@dataclass(frozen=True)
class LoopResult:
    """What came of a session, all its sittings together.

    Attributes:
        session: Its id.
        branch: Its branch, without ``refs/heads/``.
        tip: Commit that the branch names.
        reason: Why it ended.
        sentence: The same in words.
        error: What went wrong; None where a budget or the provider simply came to an end.
        proposals: How many there were; `blocked` of them were stopped by the guard, `invalid` of
            them could not be applied.
        runs: Ids of all runs, in their order.
        failed: How many of them gave no value.
        kept: Ids of the runs that the branch was moved to.
        metric: Which metric counts; `lower` is better or not.
        first: Value of the code that the session started from.
        best: Id of the run with the best value, and the value.
        spent: What it took.
    """

    session: str
    branch: str
    tip: str
    reason: Reason
    sentence: str
    error: GitexpError | None
    proposals: int
    blocked: int
    invalid: int
    runs: tuple[str, ...]
    failed: int
    kept: tuple[str, ...]
    metric: str
    lower: bool
    first: float | None
    best: tuple[str, float] | None
    spent: Spent = field(default_factory=Spent)
