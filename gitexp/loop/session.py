"""What the steps of a session share: repository, library, plan, provider, journal.

The repository is seen with the plan's goal as its goal metric, whatever its settings say: so
decisions, the guard and the brief judge by the same.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from gitexp.errors import GitexpError
from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.loop.budget import Spent, over, sentence
from gitexp.loop.cage.sandbox import Sandbox
from gitexp.loop.interrupts import Interrupts
from gitexp.loop.journal import Line, SessionJournal, now
from gitexp.loop.plan import Budgets, LoopPlan
from gitexp.loop.progress import Event, EventKind, OnEvent, Reason
from gitexp.loop.state import State
from gitexp.memory import Memory
from gitexp.providers.port import Provider, Tokens
from gitexp.records.library import LibraryLine

Price = Callable[[Tokens], float | None]
"""Returns what a call cost, in US dollars; None where the price is not known."""

INTERRUPTED = "The session was interrupted."
_BEAT_S = 1.0


class Stop(Exception):  # noqa: N818 - it ends a session, which is no error
    """The session ends here.

    Attributes:
        error: What went wrong; None where it simply came to an end.
    """

    def __init__(self, reason: Reason, sentence: str, error: GitexpError | None = None) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.sentence = sentence
        self.error = error


@dataclass
class Session:
    """A session that this process works on.

    Attributes:
        memory: The runs, judged by the plan's goal.
        environment: The variables that programs are given, before the cage takes some out.
        price: Of the provider's calls; `prices` is the version of the table it rests on.
    """

    memory: Memory
    library: Library
    provider: Provider
    journal: SessionJournal
    state: State
    environment: Mapping[str, str] = field(repr=False)
    price: Price
    prices: str | None
    sandbox: Sandbox | None
    on_event: OnEvent | None
    interrupts: Interrupts = field(default_factory=Interrupts)

    @property
    def id(self) -> str:
        """Its name."""
        return self.state.opened.session

    @property
    def plan(self) -> LoopPlan:
        """What it is to do."""
        return self.state.opened.plan

    @property
    def repository(self) -> Repository:
        """Whose code."""
        return self.memory.repository

    @property
    def budgets(self) -> Budgets:
        """What it may take: what the present sitting was told."""
        sitting = self.state.sitting
        return self.plan.budgets if sitting is None else sitting.budgets

    @property
    def spent(self) -> Spent:
        """What it has taken."""
        return self.state.spent(now())

    def write(self, line: Line) -> None:
        """Append a line to the journal, and know what it says."""
        self.journal.add(line)
        self.state.take(line)

    def keep(self, *lines: LibraryLine) -> None:
        """Add lines to the library."""
        self.library.add(lines)

    def tell(self, kind: EventKind, text: str, run: str | None = None) -> None:
        """Tell whoever watches."""
        if self.on_event is None:
            return
        best = self.state.best(lower=self.plan.lower)
        current = self.state.current
        number = max(self.state.iterations, 0) if current is None else current.number
        value = None if best is None else best[1]
        self.on_event(Event(kind, text, number, run, self.spent, self.budgets, value))

    def require_room(self) -> None:
        """Check that the session may go on.

        Raises:
            Stop: A budget is used up, or it was interrupted.
        """
        if self.interrupts.requested:
            raise Stop("interrupted", INTERRUPTED)
        which = over(self.budgets, self.spent)
        if which is not None:
            raise Stop(which, sentence(which))


def judged_by(repository: Repository, plan: LoopPlan) -> Repository:
    """Return a repository with a plan's goal in place of what its settings say of the goal."""
    own = Repository(
        repository.git_dir, repository.common_dir, repository.work_tree, repository.prefix
    )
    goal = {"exprag.metric": plan.metric, "exprag.goal": "min" if plan.lower else "max"}
    own.settings = {**repository.settings, **goal}
    return own


@contextlib.contextmanager
def beating(journal: SessionJournal) -> Iterator[None]:
    """Leave signs of life in a journal, so that a killed session's time can be told."""
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(_BEAT_S):
            with contextlib.suppress(OSError):
                journal.beat()

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
