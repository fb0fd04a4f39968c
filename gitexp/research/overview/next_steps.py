"""What to do next: decisions that are still open, and what the runs themselves ask for.

A decision is open until its action was taken: a verdict was given, replicates were run, a crash
was followed by a run that finished. It is stale when what it was judged by has changed since.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from gitexp.document import Document
from gitexp.records.decision import DecisionFact
from gitexp.render.packet import next_command
from gitexp.render.text import short
from gitexp.research.crashes import Cluster
from gitexp.research.decisions import runs_since, stale_because
from gitexp.research.overview.contenders import Contender
from gitexp.research.overview.shown import RunNote, note_of
from gitexp.research.overview.state import State

DECIDED = 100
"""Decisions that are looked at: the latest."""
SHOWN = 8
_MEASURING = 3
_OPEN_QUESTIONS = 2
_RANK = {"high": 0, "medium": 1, "low": 2}
_REPLICATING = ("replicate", "replicate_champion", "measure_noise", "retry")
_CRASHED = ("fix_and_retry", "investigate_crash")
_SETTLED_BY = {
    "promote": ("keep", "discard", "crash"),
    "abandon": ("keep", "discard", "crash"),
    "branch_followup": ("discard", "crash"),
    "retest_on_new_base": ("discard", "crash"),
    "retry": ("discard", "crash"),
    "replicate": ("discard", "crash"),
}
"""Action -> the verdicts after which nothing of it is left to do."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something to do next.

    Attributes:
        action: As in a decision (docs/research.md, "Decisions").
        run: What it is about.
        why: Our sentence, or that of the decision: then it is its author's text.
        command: What to type.
        source: ``decision`` or ``registry``.
        stale: Why the decision does not hold any more; absent where it does.
    """

    action: str
    priority: str
    run: RunNote
    why: str
    command: str
    source: Literal["decision", "registry"]
    stale: str | None = None


class _Decided:
    """One run with its latest decision."""

    def __init__(self, state: State, document: Document) -> None:
        self.state = state
        self.run: str = document["run"]
        self.document = document
        self.decision = msgspec.convert(document["decision"], DecisionFact)

    def is_done(self) -> bool:
        """Say whether the action was taken."""
        action, comparison = self.decision.action, self.decision.comparison
        if self.document.get("verdict") in _SETTLED_BY.get(action, ()):
            return True
        if action in _CRASHED:
            return self._was_followed()
        if action in _REPLICATING and comparison is not None:
            return self._new_runs() >= max(1, comparison.replicates or 1)
        return False

    def stale_because(self) -> str | None:
        """Return why the decision does not hold any more; None where it does."""
        posterior = self.state.posterior
        return None if posterior is None else stale_because(self.decision, self.run, posterior)

    def _new_runs(self) -> int:
        posterior = self.state.posterior
        return 0 if posterior is None else runs_since(self.decision, self.run, posterior)

    def _was_followed(self) -> bool:
        """Say whether a later run of the same configuration, or of the same family, finished."""
        latest = self.state.latest_finished
        keys = (self.state.configurations.get(self.run), self.document.get("family"))
        started = self.state.starts.get(self.run, 0)
        return any(key and latest.get(key, 0) > started for key in keys)


def open_steps(
    state: State,
    champion: Contender | None,
    unresolved: Sequence[Contender],
    crashes: Sequence[Cluster],
) -> tuple[tuple[Step, ...], tuple[Step, ...]]:
    """Return what to do next, the most urgent first, and the decisions that are stale.

    Args:
        state: What was read.
        champion: See `gitexp.research.overview.contenders`.
        unresolved: Likewise.
        crashes: The failures, as clusters.
    """
    decided = list(_decisions(state))
    steps = [step for step in decided if step.stale is None]
    steps += _own(state, champion, unresolved, crashes)
    steps.sort(key=lambda step: _RANK.get(step.priority, len(_RANK)))
    first: dict[str, Step] = {}
    for step in steps:
        first.setdefault(step.command, step)
    stale = [step for step in decided if step.stale is not None]
    return tuple(first.values())[:SHOWN], tuple(stale[:SHOWN])


def _decisions(state: State) -> Iterator[Step]:
    """Yield the latest open decisions; to abandon something is nothing to do."""
    ids = [row.run.hex() for row in state.rows if row.action not in (None, "abandon")][:DECIDED]
    found = state.memory.search(among=ids) if ids else []
    for each in found:
        document = each.document
        if "decision" not in document:
            continue
        decided = _Decided(state, document)
        if decided.is_done():
            continue
        decision, why, run = decided.decision, decided.stale_because(), decided.run
        command = next_command(run, document["decision"])
        if why:
            command = f"git exp decide {short(run)}"
        elif decision.action in _REPLICATING and "git" not in document:
            command = f"git exp show {short(run)}"
        yield Step(
            decision.action,
            decision.priority,
            note_of(document, state.values),
            decision.next_action,
            command,
            "decision",
            why,
        )


def _own(
    state: State,
    champion: Contender | None,
    unresolved: Sequence[Contender],
    crashes: Sequence[Cluster],
) -> Iterator[Step]:
    """Yield what the runs ask for, whatever was decided."""
    if champion is not None and state.posterior is not None and not state.posterior.noise.measured:
        why = "Noise is unmeasured: run the champion again to learn what a difference is worth."
        yield _again(state, "measure_noise", "high", champion.run, why)
    for contender in unresolved[:_OPEN_QUESTIONS]:
        p = 0.0 if contender.versus is None else contender.versus.p_better
        why = f"It is better than the champion with probability {p:.2f}; one more run tells more."
        yield _again(state, "replicate", "medium", contender.run, why)
    for cluster in crashes:
        if cluster.recent and cluster.count > 1:
            run = bytes.fromhex(cluster.runs[0])
            action = "fix_and_retry" if cluster.out_of_memory else "investigate_crash"
            why = f"{cluster.count} runs failed alike, the latest lately."
            command = f"git exp show {short(cluster.runs[0])}"
            yield Step(action, "medium", state.notes([run])[run], why, command, "registry")


def _again(state: State, action: str, priority: str, run: RunNote, why: str) -> Step:
    """Return the step to run something again; what was recorded without its code, by hand."""
    count = _MEASURING if action == "measure_noise" else 1
    command = f"git exp replicate {short(run.run)} -n {count}"
    if not any("git" in found.document for found in state.memory.search(among=[run.run])):
        why = f"{why} Its code is not recorded: make it again by hand."
        command = f"git exp show {short(run.run)}"
    return Step(action, priority, run, why, command, "registry")
