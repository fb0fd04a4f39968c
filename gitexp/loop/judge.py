"""What follows from the runs of a proposal: run it again, promote it, or drop it.

The decision is always about the proposal's first run, made again after each further one. Code is
run again only where the session made it or started from it: what else a store holds may be by
anybody.
"""

from __future__ import annotations

from gitexp.errors import GitexpError
from gitexp.git.read import resolve_tree
from gitexp.library.library import new_id
from gitexp.loop.journal import Decided, Outcome, Ran, Running, now
from gitexp.loop.session import Session
from gitexp.loop.state import BASELINE, Iteration
from gitexp.records.decision import DecisionFact
from gitexp.records.library import Lesson
from gitexp.render.text import number
from gitexp.research.decisions import decide, write_decision
from gitexp.research.replicate import next_seed
from gitexp.run import Run

AGAIN = frozenset(("replicate", "retry", "replicate_champion", "measure_noise"))
"""Actions after which code is run again with another seed, unless their priority is low."""

_OF_CHAMPION = frozenset(("replicate_champion", "measure_noise"))

MOST_AGAIN = 6
"""Runs that are made for one proposal after its first: as evaluated (docs/evaluation.md)."""

MOST_CUTS = 3
"""A proposal whose runs end with the session so often may well be why: it has failed."""


def conclude(session: Session, ran: Ran) -> DecisionFact | None:
    """Decide about a run and write that down; None where there is no goal metric yet."""
    memory = session.memory
    memory.refresh()
    run = memory.get(ran.run)
    try:
        decision = decide(memory, run)
    except GitexpError as error:
        session.tell("warning", f"Nothing is decided: {error.message}", ran.run)
        return None
    write_decision(memory.repository, run.id, decision)
    session.write(
        Decided(
            at=now(),
            iteration=ran.iteration,
            run=run.id,
            action=decision.action,
            priority=decision.priority,
            summary=decision.summary,
        )
    )
    session.tell("decision", f"{decision.action}: {decision.summary}", run.id)
    return decision


def again(session: Session, current: Iteration, decision: DecisionFact) -> Running | None:
    """Return what is to be run once more before the proposal is done with; None for nothing."""
    candidate = current.candidate
    whole = sum(ran is not None and not ran.cut for _, ran in current.trials)
    pays = decision.action in AGAIN and decision.priority != "low" and whole <= MOST_AGAIN
    if candidate is None or candidate.value is None or not pays:
        return None
    run_id = candidate.run
    if decision.action in _OF_CHAMPION and decision.comparison is not None:
        run_id = decision.comparison.champion
    code = _own_code(session, current, run_id)
    if code is None:
        session.tell("warning", "The champion is not of this session, so it is not run again.")
        return None
    base, tree = code
    seed = next_seed(session.memory, session.memory.get(run_id))
    return Running(at=now(), id=new_id(), iteration=current.number, base=base, tree=tree, seed=seed)


def _own_code(session: Session, current: Iteration, run_id: str) -> tuple[str, str] | None:
    """Return base and tree of a run, if the session made that code or starts from it."""
    for trial in current.trials:
        if trial.ran is not None and trial.ran.run == run_id:
            return trial.intent.base, trial.intent.tree
    repository = session.repository
    tree = resolve_tree(repository, run_id)
    for tip in (session.state.opened.start, *session.state.promoted):
        if tree is not None and resolve_tree(repository, tip) == tree:
            return tip, tree
    return None


def is_worth_promoting(current: Iteration, decision: DecisionFact | None) -> bool:
    """Say whether the branch is to move to the proposal's first run."""
    if decision is None or decision.action != "promote" or current.number == BASELINE:
        return False
    return current.candidate is not None and not current.promoted


def outcome_of(current: Iteration) -> Outcome:
    """Return what became of a proposal that is done with."""
    proposal = None if current.proposed is None else current.proposed.proposal
    if proposal is not None and proposal.outcome is not None:
        return "blocked" if proposal.outcome == "blocked" else "invalid"
    if current.promoted:
        return "kept"
    candidate = current.candidate
    return "dropped" if candidate is not None and candidate.value is not None else "failed"


def lesson_of(session: Session, current: Iteration, decision: DecisionFact | None) -> Lesson | None:
    """Return what was learned from a proposal; None where nothing was for good.

    That is: a change that was promoted or abandoned with the noise measured, and one that crashed
    in its own code.
    """
    proposal = None if current.proposed is None else current.proposed.proposal
    if proposal is None or decision is None or current.candidate is None:
        return None
    settled = decision.action in ("promote", "abandon") and not decision.provisional
    crashed = decision.action in ("investigate_crash", "fix_and_retry")
    if not settled and not (crashed and current.candidate.status in ("crashed", "failed")):
        return None
    time, by = session.library.stamp()
    return Lesson(
        time=time,
        by=by,
        id=new_id(),
        text=f"{proposal.title}: {decision.summary}{_gain(decision)}",
        runs=tuple(ran.run for _, ran in current.trials if ran is not None and not ran.cut),
        methods=proposal.cites,
        session=session.id,
    )


def _gain(decision: DecisionFact) -> str:
    found = decision.comparison
    if found is None:
        return ""
    low, high = (number(edge) for edge in found.interval)
    return f" The gain is {number(found.gain)} (90%: {low} to {high})."


def run_of_tip(session: Session) -> Run | None:
    """Return a finished run of the branch's code and command with a value; None without one."""
    from gitexp.loop.trial import value_of

    memory = session.memory
    tree = resolve_tree(session.repository, session.state.tip)
    for run_id in [] if tree is None else memory.with_tree(tree):
        run = memory.get(run_id)
        if run.command == session.plan.command and value_of(session, run) is not None:
            return run
    return None
