"""From a question to code: ask, read the answer, apply it, ask the guard.

What cannot be read or applied, changes what it may not, or was tried before, becomes a proposal
with an outcome instead of a run, and a sentence for the next prompt.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from gitexp.errors import GitexpError
from gitexp.git.history import tree_of_commit
from gitexp.library.library import new_id
from gitexp.loop.ask import Question, ask
from gitexp.loop.cage.edits import apply_edits
from gitexp.loop.cage.worktree import Cage
from gitexp.loop.journal import Proposed, now
from gitexp.loop.progress import EventKind
from gitexp.loop.prompt import Prompt, Situation, make_prompt, say
from gitexp.loop.session import Session
from gitexp.loop.state import Iteration
from gitexp.methods.search import Methods, Suggestion, methods_section, remember
from gitexp.providers.port import ProviderError
from gitexp.providers.reply import Draft, parse_reply, read_proposal
from gitexp.records.library import Proposal, Retrieval
from gitexp.research.goal import GoalMetric, goal_metric
from gitexp.research.guard.novelty import Finding, Plan, check
from gitexp.research.overview.brief import brief
from gitexp.snapshot import Limits as SnapshotLimits
from gitexp.snapshot import planned_tree

SUGGESTED = 5
"""Methods that the brief suggests."""


@dataclass(frozen=True)
class _Judged:
    """What is to become of an answer: code to run, or why there is none."""

    tree: str | None
    outcome: str | None
    said: tuple[str, ...]


def propose(session: Session, cage: Cage, current: Iteration) -> Proposed:
    """Return the next proposal, written down in journal and library.

    Raises:
        Stop: A budget is used up, or the provider has nothing more to say.
    """
    base = session.state.tip
    if current.answer is not None and current.answer.text is not None:
        text, edits_files = current.answer.text, False
    else:
        prompt, retrieval = _prompt(session, look_up=True)
        found = None if retrieval is None else retrieval.id
        question = Question(prompt, current.number, current.id or new_id(), found)
        text = ask(session, cage, question)
        edits_files = current.answer is None
    try:
        draft = read_proposal(cage.folder, text) if edits_files else parse_reply(text)
    except ProviderError as error:
        said = (*_settled(session, cage), f"The answer could not be read: {say(error.message)}")
        return _write(session, current, None, base, _Judged(None, "invalid", said))
    judged = _applied(session, cage, draft, base)
    return _write(session, current, draft, base, judged)


def preview(session: Session) -> Prompt:
    """Return the prompt that the provider would be asked now; nothing is written down."""
    return _prompt(session, look_up=False)[0]


def _prompt(session: Session, *, look_up: bool) -> tuple[Prompt, Retrieval | None]:
    """Return the prompt, and what was looked up for it, where that is to be written down."""
    suggestions: list[Suggestion] = []
    if session.plan.methods and session.memory.count():
        suggestions = Methods(session.memory, session.library).next(limit=SUGGESTED)
    more = [methods_section(suggestions)] if suggestions else []
    known = brief(session.memory, session.plan.context_tokens, more).text
    shown = [each for each in suggestions if each.method.slug in known]
    retrieval = None
    if shown and look_up:
        retrieval = remember(session.library, "", shown, session=session.id)
    situation = Situation(
        session.state.tip,
        known,
        session.state.said,
        session.spent,
        session.budgets,
        session.provider.name == "agent",
    )
    return make_prompt(session.repository, session.plan, situation), retrieval


def _applied(session: Session, cage: Cage, draft: Draft, base: str) -> _Judged:
    """Apply a draft in the cage, and say what is to become of it."""
    faults = apply_edits(cage.folder, draft.edits, cage.limits) if draft.edits else []
    said = _settled(session, cage)
    title = say(draft.title)
    if faults:
        return _Judged(None, "not applied", (*said, f"{title} was not applied: {faults[0]}"))
    tree, _ = planned_tree(
        cage.repository, SnapshotLimits.from_settings(session.repository.settings)
    )
    if tree == tree_of_commit(session.repository, base):
        return _Judged(None, "invalid", (*said, f"{title} changed no file that may change."))
    finding = _check(session, draft, tree, base)
    if finding.policy == "block":
        return _Judged(tree, "blocked", (*said, _blocked(title, finding)))
    return _Judged(tree, None, said)


def _settled(session: Session, cage: Cage) -> tuple[str, ...]:
    """Undo what may not be; return sentences about it."""
    breaches = cage.settle()
    for breach in breaches:
        session.tell("breach", breach.detail)
    return tuple(breach.detail for breach in breaches)


def _check(session: Session, draft: Draft, tree: str, base: str) -> Finding:
    """Ask the guard."""
    plan = Plan(
        description=draft.title,
        hypothesis=draft.hypothesis or None,
        parameters={},
        command=session.plan.command,
        tree=tree,
        base=base,
        tries_code=True,
    )
    return check(session.memory, plan, _goal(session), mode=session.plan.mode)


def _goal(session: Session) -> GoalMetric | None:
    with suppress(GitexpError):  # no run has the metric yet
        return goal_metric(session.memory)
    return None


def _blocked(title: str, finding: Finding) -> str:
    runs = ", ".join(each.run[:12] for each in finding.novelty.evidence)
    return f"{title} was not run: {finding.sentence}" + (f" See {runs}." if runs else "")


def _write(
    session: Session, current: Iteration, draft: Draft | None, base: str, judged: _Judged
) -> Proposed:
    """Write a proposal down, in the journal and then in the library."""
    time, by = session.library.stamp()
    known = session.library.methods() if draft is not None and draft.cites else {}
    cites = () if draft is None else tuple(slug for slug in draft.cites if slug in known)
    proposal = Proposal(
        time=time,
        by=by,
        id=current.id or new_id(),
        title="(not readable)" if draft is None else draft.title,
        hypothesis="" if draft is None else draft.hypothesis,
        cites=cites,
        retrievals=() if current.retrieval is None else (current.retrieval,),
        predicted=None if draft is None else draft.predicted,
        base=base if base in session.state.kept else None,
        session=session.id,
        outcome=judged.outcome,
    )
    line = Proposed(
        at=now(),
        iteration=current.number,
        proposal=proposal,
        base=base,
        tree=judged.tree,
        said=judged.said,
    )
    session.write(line)
    session.keep(proposal)
    kind: EventKind = "proposal" if judged.outcome is None else "blocked"
    why = "" if judged.outcome is None else f" ({judged.outcome})"
    session.tell(kind, f"{proposal.title}{why}")
    return line
