"""Take up a session where it was left: whoever worked on it may have been killed at any step.

What was begun and has no outcome in the journal is looked up by its id: a run by its external id, a
line of the library by its own. What is found is written down as if it had just happened; what
is not found never happened, and is done now. Nothing is done twice.
"""

from __future__ import annotations

from gitexp.errors import GitexpError
from gitexp.git.read import resolve_tree
from gitexp.loop.ask import lost_call
from gitexp.loop.cage.processes import end_marked
from gitexp.loop.journal import Answered, Done, Line, Proposed, Running, external_id, now
from gitexp.loop.session import Session
from gitexp.loop.state import Iteration
from gitexp.loop.trial import outcome
from gitexp.records.library import Lesson, Proposal, Usage
from gitexp.research.worktree import remove_abandoned
from gitexp.run import Run
from gitexp.seal import recover


def recover_session(session: Session) -> None:
    """Bring journal, store and library together, and remove what was left over.

    Raises:
        GitexpError: A run that was left behind cannot be sealed, for want of space say.
    """
    end_marked(session.id)
    remove_abandoned(session.repository)
    recover(session.repository)
    session.memory.refresh()
    _complete_library(session)
    if session.state.asking is not None:
        lost_call(session, session.state.asking)
    current = session.state.current
    if current is not None and current.trials and current.trials[-1].ran is None:
        _look_up(session, current.trials[-1].intent)
    if current is not None and _is_gone(session, current):
        session.write(Done(at=now(), iteration=current.number, outcome="failed"))


def _is_gone(session: Session, current: Iteration) -> bool:
    """Say whether the code of a proposal that never ran was pruned from the repository since."""
    tree = None if current.proposed is None else current.proposed.tree
    if tree is None or any(ran is not None for _, ran in current.trials):
        return False
    return resolve_tree(session.repository, tree) is None


def _complete_library(session: Session) -> None:
    """Add the lines that the journal has and the library lacks."""
    wanted: dict[str, Usage | Proposal | Lesson] = {}
    for line in session.journal.lines:
        event = _kept(line)
        if event is not None:
            wanted[event.id] = event
    if not wanted:
        return
    library = session.library
    known = {usage.id for usage in library.usages()}
    known |= {proposal.id for proposal in library.proposals()}
    known |= {lesson.id for lesson in library.lessons()}
    missing = [line for name, line in wanted.items() if name not in known]
    if missing:
        session.keep(*missing)


def _kept(line: Line) -> Usage | Proposal | Lesson | None:
    """Return what a line of the journal wants to be in the library."""
    match line:
        case Answered():
            return line.usage
        case Proposed():
            return line.proposal
        case Done():
            return line.lesson
        case _:
            return None


def _look_up(session: Session, step: Running) -> None:
    """Write down the run of an intent, if it was begun at all."""
    run = _run_of(session, step)
    if run is None:
        return
    if run.status == "running":
        raise GitexpError(
            f"Run {run.id[:12]} of the session cannot be sealed yet.", "Run 'git exp recover'."
        )
    vanished = run.status == "crashed" and run.error is None
    cut = vanished or run.status == "interrupted"
    session.write(outcome(session, step, run, cut=cut))


def _run_of(session: Session, step: Running) -> Run | None:
    """Return the run of an intent; None where it was never begun."""
    sql = "SELECT id FROM run WHERE external = ?"
    found = session.memory.ask(sql, [external_id(session.id, step.id)])
    return session.memory.get(found[0][0].hex()) if found else None
