"""Ask the provider, within the budgets, again where that may help; nothing that it took is lost."""

from __future__ import annotations

import itertools
import random
import time
from dataclasses import dataclass
from pathlib import Path

from gitexp.errors import GitexpError
from gitexp.library.library import new_id
from gitexp.loop.budget import answer_tokens, fits_money, sentence, time_left
from gitexp.loop.cage.worktree import Cage
from gitexp.loop.journal import Answered, Asking, now
from gitexp.loop.prompt import Prompt, say
from gitexp.loop.session import Session, Stop
from gitexp.providers.port import ExhaustedError, ProviderError, Request, Tokens
from gitexp.records.library import Usage
from gitexp.research.overview.brief import estimated_tokens

ATTEMPTS = 6
"""How often a provider is asked that fails in a way that may pass: over a minute in all."""
PAUSE_S = 2.0
_MOST_PAUSE_S = 60.0
MOST_SECONDS = 1_800.0
"""How long an answer may take; an agent works that long."""

MAX_ANSWER = 1 << 20
"""Characters of an answer that are kept in the journal; a longer one is no set of edits."""


@dataclass(frozen=True)
class Call:
    """What may be sent, and what it takes at most."""

    prompt: int
    most: int
    cost: float | None


@dataclass(frozen=True)
class Question:
    """What is asked.

    Attributes:
        iteration: Number of the proposal that it is for; `proposal` is its id.
        retrieval: Id of what was looked up for it.
    """

    prompt: Prompt
    iteration: int
    proposal: str
    retrieval: str | None


def ask(session: Session, cage: Cage, question: Question) -> str:
    """Return the provider's answer to a question.

    Args:
        session: Whose.
        cage: Where an agent works.
        question: It.

    Raises:
        Stop: A budget is used up, or the provider has nothing to say.
    """
    for attempt in itertools.count(1):
        session.require_room()
        call = _fitting(session, question.prompt)
        try:
            return _ask_once(session, cage, question, call)
        except ExhaustedError as error:
            raise Stop("exhausted", error.message) from error
        except ProviderError as error:
            if not error.retryable or attempt >= ATTEMPTS:
                raise Stop("provider", error.message, error) from error
            _wait(session, attempt, error)
    raise AssertionError  # the attempts are bounded above


def _fitting(session: Session, prompt: Prompt) -> Call:
    """Return what a call takes at most.

    Raises:
        Stop: That does not fit into a budget.
    """
    if session.provider.name == "script":
        return Call(0, 0, 0.0)
    sent = estimated_tokens(prompt.system) + estimated_tokens(prompt.text)
    most = answer_tokens(session.budgets, session.spent, sent)
    if most is None:
        raise Stop("tokens", sentence("tokens"))
    call = Call(sent, most, session.price(Tokens(sent, most)))
    if not fits_money(session.budgets, session.spent, call.cost):
        raise Stop("money", sentence("money"))
    return call


def _ask_once(session: Session, cage: Cage, question: Question, call: Call) -> str:
    """Ask, and write down what it took, whatever comes of it."""
    asking = Asking(
        at=now(),
        id=new_id(),
        iteration=question.iteration,
        proposal=question.proposal,
        prompt=call.prompt,
        most=call.most,
        cost=call.cost,
        retrieval=question.retrieval,
    )
    session.write(asking)
    session.tell("ask", f"asking {session.provider.model or session.provider.name}")
    provider = session.provider
    request = Request(
        system=question.prompt.system,
        prompt=question.prompt.text,
        folder=cage.folder,
        environment=cage.environment(session.environment, provider.keys),
        wrap=_agents_wrap(session, cage) if provider.name == "agent" else (),
        budget_s=min(MOST_SECONDS, time_left(session.budgets, session.spent)),
        max_tokens=call.most,
    )
    began = time.monotonic()
    try:
        with session.interrupts.waiting():
            reply = provider.ask(request)
    except ProviderError as error:
        seconds = time.monotonic() - began
        usage = usage_of(session, asking, error.tokens, provider.model, seconds)
        _answered(session, asking, usage, error=error.message)
        raise
    usage = usage_of(session, asking, reply.tokens, reply.model, reply.seconds)
    text = reply.text[:MAX_ANSWER]
    _answered(session, asking, usage, text=text, edits_files=reply.edits_files)
    return text


def _agents_wrap(session: Session, cage: Cage) -> tuple[str, ...]:
    return cage.wrap(joins=False, writable=[Path(path) for path in session.plan.writable])


def usage_of(
    session: Session, asking: Asking, tokens: Tokens | None, model: str, seconds: float
) -> Usage | None:
    """Return the library's line about a call; None where nothing was taken."""
    if tokens is None or session.provider.name == "script":
        return None
    time_, by = session.library.stamp()
    cost = session.price(tokens)
    return Usage(
        time=time_,
        by=by,
        id=asking.id,
        provider=session.provider.name,
        model=model,
        prompt=tokens.prompt,
        completion=tokens.completion,
        cached=tokens.cached,
        estimated=tokens.estimated,
        cost=cost,
        prices=None if cost is None else session.prices,
        seconds=round(seconds, 3),
        session=session.id,
        proposal=asking.proposal,
    )


def _answered(
    session: Session,
    asking: Asking,
    usage: Usage | None,
    *,
    text: str | None = None,
    edits_files: bool = False,
    error: str | None = None,
) -> None:
    session.write(
        Answered(
            at=now(),
            id=asking.id,
            iteration=asking.iteration,
            usage=usage,
            text=text,
            edits_files=edits_files,
            error=error,
        )
    )
    if usage is not None:
        session.keep(usage)


def lost_call(session: Session, asking: Asking) -> None:
    """Write down a call of which nobody knows what came: it took all that it could have."""
    usage = None
    if asking.prompt or asking.most:
        tokens = Tokens(asking.prompt, asking.most, estimated=True)
        usage = usage_of(session, asking, tokens, session.provider.model, 0.0)
    _answered(session, asking, usage, error="interrupted")


def _wait(session: Session, attempt: int, error: GitexpError) -> None:
    """Wait before the next attempt, twice as long each time.

    Raises:
        Stop: The time would be up by then.
    """
    pause = min(PAUSE_S * 2 ** (attempt - 1), _MOST_PAUSE_S)
    pause *= random.uniform(0.75, 1.0)  # noqa: S311 - jitter, not a secret
    if pause >= time_left(session.budgets, session.spent):
        raise Stop("time", sentence("time"), error) from error
    session.tell("wait", f"asking again in {pause:.0f} s: {say(error.message)}")
    with session.interrupts.waiting():
        time.sleep(pause)
