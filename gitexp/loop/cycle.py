"""The cycle: propose, guard, apply, run, decide, act, again (docs/loop.md).

`Loop` is a session from Python::

    plan = LoopPlan(command=("python", "train.py"), metric="val_bpb", lower=True)
    result = Loop(gitexp.open(), plan, provider).run()

Each step is written to the session's journal before it has effects, and what came of it after
that. So a session that was killed is gone on with by reading its journal: what was asked, applied
or run is not asked, applied or run again.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Mapping
from contextlib import ExitStack

from gitexp.errors import GitexpError
from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.loop.ask import MOST_SECONDS
from gitexp.loop.branch import branch_of, start_of, tip_of
from gitexp.loop.budget import Spent, fits_money
from gitexp.loop.cage.sandbox import Sandbox, find_sandbox, sandbox_sentence
from gitexp.loop.journal import (
    Ended,
    Opened,
    SessionJournal,
    Sitting,
    journal_path,
    now,
    open_journal,
    read_lines,
)
from gitexp.loop.plan import Budgets, LoopPlan, require_budgets, require_valid
from gitexp.loop.progress import LoopResult, OnEvent
from gitexp.loop.prompt import Prompt
from gitexp.loop.propose import preview
from gitexp.loop.session import Price, Session, Stop, beating, judged_by
from gitexp.loop.state import State
from gitexp.loop.steps import work
from gitexp.memory import Memory
from gitexp.providers.port import Provider, Tokens
from gitexp.providers.prices import cost_of, own_prices, price_table

_GRACE_S = 120.0
"""A step takes no longer than its own budget and this: beyond it no sign of life is one."""


class Loop:
    """A session.

    Attributes:
        session: Its id.
        plan: What it is to do.
    """

    def __init__(
        self,
        memory: Memory,
        plan: LoopPlan,
        provider: Provider,
        *,
        library: Library | None = None,
        environment: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
        session: str | None = None,
    ) -> None:
        """Prepare a new session; nothing is written before `run`.

        Args:
            memory: Whose runs; the session's code is that of its repository's HEAD.
            plan: What to do.
            provider: Who proposes.
            library: Of the same repository.
            environment: Variables for agents and runs, secrets are taken out of them; none by
                default, and then programs are not found by their name alone.
            on_event: Told what happens, in this thread.
            session: Its id; a new one by default.

        Raises:
            UsageError: The plan makes no sense.
        """
        require_valid(plan)
        self.plan = plan
        self.session = session or _new_session()
        self._provider = provider
        self._repository = judged_by(memory.repository, plan)
        self._library = library or Library(self._repository)
        self._environment = dict(environment or {})
        self._on_event = on_event
        self._path = journal_path(memory.repository, self.session)
        self._budgets = plan.budgets
        self._is_new = True

    @classmethod
    def resume(
        cls,
        memory: Memory,
        session: str,
        provider: Provider,
        *,
        library: Library | None = None,
        environment: Mapping[str, str] | None = None,
        on_event: OnEvent | None = None,
        budgets: Budgets | None = None,
    ) -> Loop:
        """Prepare to go on with a session.

        Args:
            memory: Of the repository that has it.
            session: Its id.
            provider: Who proposes from here on.
            library: As for a new session.
            environment: Likewise.
            on_event: Likewise.
            budgets: Those that hold from here on; what was spent stays spent.

        Raises:
            GitexpError: There is no such session, or its journal is damaged.
        """
        opened = read_session(memory.repository, session).opened
        loop = cls(
            memory,
            opened.plan,
            provider,
            library=library,
            environment=environment,
            on_event=on_event,
            session=session,
        )
        loop._budgets = budgets or opened.plan.budgets
        require_budgets(loop._budgets)
        loop._is_new = False
        return loop

    def run(self) -> LoopResult:
        """Work until a budget is used up, the provider has no more to say, or a signal comes.

        To be called in the main thread. What went wrong on the way is in the result; the session
        can be resumed in any case.

        Raises:
            UsageError: Money is limited, and the price of the provider's model is not known.
            GitexpError: The session could not be begun; nothing was done then either.
        """
        sandbox = _sandbox(self.plan)
        price = _price(self._repository, self._provider)
        fits_money(self._budgets, Spent(), price(Tokens(1, 1)))
        with ExitStack() as stack:
            opened = self._open_line() if self._is_new else None
            journal = stack.enter_context(open_journal(self._path, new=self._is_new))
            session = self._begin(journal, opened, sandbox)
            session.tell("session", f"session {session.id}: {sandbox_sentence(sandbox)}")
            stack.enter_context(beating(journal))
            stack.enter_context(session.interrupts.watched())
            stop = work(session)
            session.write(Ended(at=now(), reason=stop.reason, sentence=stop.sentence))
            session.tell("end", stop.sentence)
            return result_of(session.repository, session.state, stop)

    def first_prompt(self) -> Prompt:
        """Return what the provider would be asked first, as far as it is known now.

        Nothing is changed, and nobody is asked.

        Raises:
            GitexpError: There is no code yet.
        """
        return preview(self._session(None, State([self._open_line()]), None))

    def _open_line(self) -> Opened:
        branch = branch_of(self._repository, self.session, self.plan.branch)
        start = start_of(self._repository, branch)
        return Opened(at=now(), session=self.session, plan=self.plan, branch=branch, start=start)

    def _begin(
        self, journal: SessionJournal, opened: Opened | None, sandbox: Sandbox | None
    ) -> Session:
        """Write that somebody works on the session from now on."""
        before = 0.0
        if opened is not None:
            journal.add(opened)
        state = State(journal.lines)
        if opened is None:
            most = max(MOST_SECONDS, state.opened.plan.budgets.run_seconds) + _GRACE_S
            alive = min(max(state.last, journal.touched), state.last + most)
            before = state.spent(alive).seconds
        session = self._session(journal, state, sandbox)
        session.write(Sitting(at=now(), pid=os.getpid(), before=before, budgets=self._budgets))
        return session

    def _session(
        self, journal: SessionJournal | None, state: State, sandbox: Sandbox | None
    ) -> Session:
        return Session(
            memory=Memory(self._repository),
            library=self._library,
            provider=self._provider,
            journal=journal or SessionJournal(self._path, -1, []),
            state=state,
            environment=self._environment,
            price=_price(self._repository, self._provider),
            prices=price_table().version,
            sandbox=sandbox,
            on_event=self._on_event,
        )


def read_session(repository: Repository, session: str) -> State:
    """Return what the journal of a session says.

    Raises:
        GitexpError: There is none, or it is damaged.
    """
    return State(read_lines(journal_path(repository, session)))


def _new_session() -> str:
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"


def _sandbox(plan: LoopPlan) -> Sandbox | None:
    if plan.sandbox == "off":
        return None
    found = find_sandbox()
    if found is None and plan.sandbox == "require":
        raise GitexpError(
            "There is no sandbox: bubblewrap is not installed, or does not work here.",
            "Install it (package bubblewrap), or leave --sandbox require out.",
        )
    return found


def _price(repository: Repository, provider: Provider) -> Price:
    own = own_prices(repository.configured(r"^exprag\.price$").get("exprag.price", []))

    def price(tokens: Tokens) -> float | None:
        return 0.0 if provider.name == "script" else cost_of(provider.model, tokens, own)

    return price


def result_of(repository: Repository, state: State, stop: Stop) -> LoopResult:
    """Return what came of a session so far.

    Args:
        repository: Where.
        state: What its journal says.
        stop: Why it ended.
    """
    opened = state.opened
    baseline = next((ran.value for ran in state.runs if ran.value is not None), None)
    return LoopResult(
        session=opened.session,
        branch=opened.branch,
        tip=tip_of(repository, opened.branch) or state.tip,
        reason=stop.reason,
        sentence=stop.sentence,
        error=stop.error,
        proposals=state.proposals,
        blocked=state.blocked,
        invalid=state.invalid,
        runs=tuple(ran.run for ran in state.runs),
        failed=sum(ran.value is None for ran in state.runs),
        kept=tuple(state.kept),
        metric=opened.plan.metric,
        lower=opened.plan.lower,
        first=baseline,
        best=state.best(lower=opened.plan.lower),
        spent=state.spent(now()),
    )
