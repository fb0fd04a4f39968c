"""What follows from the runs of a proposal: run it again, go on from it, or drop it.

The decision is always about the proposal's first run, made again after each further one. Code is
run again only where the session made it or started from it: what else a store holds may be by
anybody.

The session goes on from the best of its own code by posterior mean (`leader`), whether or not that
is better beyond noise. To wait for that is worse: proposals would be made to one code and judged
against another, until nothing could win any more (docs/evaluation.md, "With memory and without").
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
from gitexp.research.decisions import decide, posterior_of, write_decision
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
    """Return what is to be run once more before the proposal is done with; None for nothing.

    The code that the session starts from is not run again for its own sake: its noise is measured
    when a proposal needs it, which costs less (docs/evaluation.md, "With memory and without").
    """
    candidate = current.candidate
    whole = sum(ran is not None and not ran.cut for _, ran in current.trials)
    pays = decision.action in AGAIN and decision.priority != "low" and whole <= MOST_AGAIN
    is_baseline = current.number == BASELINE
    if is_baseline or candidate is None or candidate.value is None or not pays:
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
    return Running(
        at=now(),
        id=new_id(),
        iteration=current.number,
        base=base,
        tree=tree,
        seed=seed,
        of=run_id,
    )


def _own_code(session: Session, current: Iteration, run_id: str) -> tuple[str, str] | None:
    """Return base and tree of a run, if the session made that code or starts from it."""
    for trial in current.trials:
        if trial.ran is not None and trial.ran.run == run_id:
            return trial.intent.base, trial.intent.tree
    repository = session.repository
    tree = resolve_tree(repository, run_id)
    for tip in (session.state.opened.start, *session.state.kept):
        if tree is not None and resolve_tree(repository, tip) == tree:
            return tip, tree
    return None


def leader(session: Session) -> str | None:
    """Return the commit that the session is to go on from, where that is not its branch's tip.

    It is the first run of the configuration with the best posterior mean, out of those that the
    session ran; the commit that the session started from, where that code is best.
    """
    memory, state = session.memory, session.state
    memory.refresh()
    try:
        posterior = posterior_of(memory)
    except GitexpError:  # no run has the metric yet
        return None
    own = {ran.run for ran in state.runs if not ran.cut and ran.value is not None}
    start = run_of_commit(session, state.opened.start)
    if start is not None:
        own.add(start.id)
    for configuration in posterior.ranking():
        runs = [run.hex() for run in posterior.runs_of(configuration) if run.hex() in own]
        if runs:
            commit = state.opened.start if start and start.id in runs else runs[0]
            return None if state.tip in (commit, *runs) else commit
    return None


def outcome_of(current: Iteration) -> Outcome:
    """Return what became of a proposal that is done with."""
    proposal = None if current.proposed is None else current.proposed.proposal
    if proposal is not None and proposal.outcome is not None:
        return "blocked" if proposal.outcome == "blocked" else "invalid"
    candidate = current.candidate
    if candidate is None or candidate.value is None:
        return "failed"
    moved = current.moving if current.moved else None
    return "kept" if moved is not None and moved.run == candidate.run else "dropped"


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


def run_of_commit(session: Session, commit: str) -> Run | None:
    """Return a finished run of a commit's code and the command, with a value; None without one."""
    from gitexp.loop.trial import value_of

    memory = session.memory
    tree = resolve_tree(session.repository, commit)
    for run_id in [] if tree is None else memory.with_tree(tree):
        run = memory.get(run_id)
        if run.command == session.plan.command and value_of(session, run) is not None:
            return run
    return None
