"""The steps of a session, from wherever its journal says that it is, until something ends it."""

from __future__ import annotations

from contextlib import AbstractContextManager

import msgspec

from gitexp.errors import ConflictError, GitexpError
from gitexp.git.history import tree_of_commit
from gitexp.git.read import list_tree
from gitexp.library.library import new_id
from gitexp.loop.branch import make_branch, move_branch
from gitexp.loop.budget import sentence
from gitexp.loop.cage.worktree import Cage, caged
from gitexp.loop.journal import Done, Moved, Moving, Ran, Running, now
from gitexp.loop.judge import (
    MOST_CUTS,
    again,
    conclude,
    leader,
    lesson_of,
    outcome_of,
    run_of_commit,
)
from gitexp.loop.prompt import limits_of
from gitexp.loop.propose import propose
from gitexp.loop.recovery import recover_session
from gitexp.loop.session import INTERRUPTED, Session, Stop
from gitexp.loop.state import BASELINE, Iteration
from gitexp.loop.trial import Trial
from gitexp.records.decision import DecisionFact
from gitexp.render.text import number, span


def work(session: Session) -> Stop:
    """Go on until something ends the session, and return what."""
    try:
        recover_session(session)
        _require_branch(session)
        while True:
            _iterate(session)
    except Stop as stop:
        return stop
    except KeyboardInterrupt:
        return Stop("interrupted", INTERRUPTED)
    except GitexpError as error:
        return Stop("error", error.message, error)


def _require_branch(session: Session) -> None:
    """Make the session's branch where that has not been done.

    Raises:
        Stop: It names another commit than the session left it at.
    """
    state = session.state
    branch, tip = state.opened.branch, state.tip
    if state.current is not None and state.current.moving is not None:
        return  # it is on its way, and looked at there
    try:
        if state.moved:
            move_branch(session.repository, branch, tip, tip)
        else:
            make_branch(session.repository, branch, tip)
    except ConflictError as error:
        raise Stop("moved", error.message, error) from error


def _iterate(session: Session) -> None:
    """Bring the proposal in progress to its end, or a new one.

    Raises:
        Stop: The session ends.
    """
    state = session.state
    current = state.current
    if current is None:
        session.require_room()
        is_first = state.iterations < 0 and run_of_commit(session, state.tip) is None
        current = state.iteration(BASELINE if is_first else max(state.iterations, 0) + 1)
    if current.number == BASELINE:
        _baseline(session, current)
    elif current.proposed is None:
        _first_run(session, current)
    _finish(session, current)


def _baseline(session: Session, current: Iteration) -> None:
    """Run the code that the session starts from.

    Raises:
        Stop: It gives no value, so nothing could be compared with it.
    """
    tip = session.state.tip
    if current.candidate is None:
        step = _open_step(current)
        _run(session, step or _step(current, tip, tree_of_commit(session.repository, tip)))
    if current.candidate is not None and current.candidate.value is None:
        said = f"The code of {tip[:12]} gives no value of {session.plan.metric} as it is."
        hint = f"See why: git exp show {current.candidate.run[:12]} --log"
        raise Stop("baseline", said, GitexpError(said, hint))


def _first_run(session: Session, current: Iteration) -> None:
    """Get a proposal and run it, in one cage: an agent's files are there already."""
    tip = session.state.tip
    with _cage(session, tree_of_commit(session.repository, tip), tip) as cage:
        proposed = propose(session, cage, current)
        step = _open_step(current)
        if proposed.tree is not None and step is not None:
            _run_in(session, cage, step)


def _step(current: Iteration, base: str, tree: str) -> Running:
    return Running(at=now(), id=new_id(), iteration=current.number, base=base, tree=tree)


def _finish(session: Session, current: Iteration) -> None:
    """Run what is left to be run of a proposal, act on what is decided, and be done with it."""
    if (step := _open_step(current)) is not None:
        _run(session, step)
    candidate = current.candidate
    decision: DecisionFact | None = None
    if candidate is not None and current.moving is not None:
        decision = session.memory.get(candidate.run).decision
    while candidate is not None and not current.moving:
        decision = conclude(session, candidate)
        step = None if decision is None else again(session, current, decision)
        if step is None:
            break
        _run(session, step)
    if candidate is not None and not current.moved:
        _follow(session, current)
    _done(session, current, decision)


def _open_step(current: Iteration) -> Running | None:
    """Return what was to be run and has no whole run yet; None where there is nothing."""
    if not current.trials:
        proposed = current.proposed
        if proposed is None or proposed.tree is None or proposed.proposal is None:
            return None
        return None if proposed.proposal.outcome else _step(current, proposed.base, proposed.tree)
    intent, ran = current.trials[-1]
    if ran is None:
        return intent
    if not ran.cut or current.cuts >= MOST_CUTS:
        return None
    return msgspec.structs.replace(intent, at=now(), id=new_id())


def _follow(session: Session, current: Iteration) -> None:
    """Move the branch to the best code of the session, where it is not there.

    Raises:
        Stop: Somebody else moved it, or has it checked out.
    """
    if current.moving is None:
        commit = leader(session)
        if commit is None:
            return
        old = session.state.tip
        session.write(Moving(at=now(), iteration=current.number, old=old, run=commit))
    intent = current.moving
    if intent is None:
        return
    try:
        move_branch(session.repository, session.state.opened.branch, intent.old, intent.run)
    except GitexpError as error:
        raise Stop("moved", error.message, error) from error
    session.write(Moved(at=now(), iteration=current.number, run=intent.run))
    branch = session.state.opened.branch
    session.tell("kept", f"the best so far; {branch} is there now", intent.run)


def _done(session: Session, current: Iteration, decision: DecisionFact | None) -> None:
    lesson = lesson_of(session, current, decision)
    line = Done(at=now(), iteration=current.number, outcome=outcome_of(current), lesson=lesson)
    session.write(line)
    if lesson is not None:
        session.keep(lesson)


# Running


def _run(session: Session, step: Running) -> None:
    """Run code in a cage of its own.

    Raises:
        Stop: A budget leaves no room, or the run was interrupted.
    """
    with _cage(session, step.tree, step.base) as cage:
        _run_in(session, cage, step)


def _run_in(session: Session, cage: Cage, step: Running) -> None:
    session.require_room()
    session.write(step)
    trials = session.state.iteration(step.iteration).trials
    seed = "" if step.seed is None else f", seed {step.seed}"
    session.tell("run", f"run {len(trials)} of proposal {step.iteration}{seed}")
    trial = Trial(session, cage, step)
    ran = trial.run()
    session.write(ran)
    session.tell("ran", _said(session, ran), ran.run)
    if trial.out_of_time:
        raise Stop("time", sentence("time"))
    if ran.cut:
        raise Stop("interrupted", INTERRUPTED)


def _said(session: Session, ran: Ran) -> str:
    value = "no value" if ran.value is None else f"{session.plan.metric} {number(ran.value)}"
    seconds = "" if ran.seconds is None else f" in {span(ran.seconds)}"
    return f"{ran.status}{seconds}, {value}"


def _cage(session: Session, tree: str, base: str) -> AbstractContextManager[Cage]:
    plan = session.plan
    return caged(
        session.repository,
        tree,
        base,
        session=session.id,
        limits=limits_of(plan, list_tree(session.repository, base)),
        links=plan.link,
        sandbox=session.sandbox,
    )
