"""What the lines of a session's journal add up to: what is in progress, and what was taken."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from gitexp.errors import GitexpError
from gitexp.loop.budget import Spent
from gitexp.loop.journal import (
    Answered,
    Asking,
    Decided,
    Done,
    Ended,
    Line,
    Moved,
    Moving,
    Opened,
    Proposed,
    Ran,
    Running,
    Sitting,
)

_SAID = 6
"""Sentences of earlier proposals that the next prompt repeats: the latest."""

BASELINE = 0
"""Number of the proposal that is none: the code that the session starts from."""


class Trial(NamedTuple):
    """Code that is run, and what came of it; None while that is open."""

    intent: Running
    ran: Ran | None


@dataclass
class Iteration:
    """A proposal, as far as it has got.

    Attributes:
        id: Of the proposal; None before anybody is asked for it.
        answer: The text that has not become a proposal yet.
        trials: In their order.
        moving: The branch is to move.
    """

    number: int
    id: str | None = None
    answer: Answered | None = None
    retrieval: str | None = None
    proposed: Proposed | None = None
    trials: list[Trial] = field(default_factory=list)
    decided: Decided | None = None
    moving: Moving | None = None
    moved: bool = False

    @property
    def candidate(self) -> Ran | None:
        """The first run of the code that was not cut short."""
        whole = (ran for _, ran in self.trials if ran is not None and not ran.cut)
        return next(whole, None)

    @property
    def cuts(self) -> int:
        """How many runs were cut short."""
        return sum(ran is not None and ran.cut for _, ran in self.trials)


class State:
    """What a journal says, line by line.

    Attributes:
        opened: The first line.
        sitting: The present one's first line; None where nobody ever worked on the session.
        current: The proposal in progress.
        iterations: Number of the latest proposal; `proposals` is how many were made.
        asking: A call of which nobody knows yet what came of it.
        answers: How many answers there were, usable or not.
        runs: All that are over, in their order.
        moved: Commits that the branch was moved to, the latest last.
        blocked: How many proposals the guard stopped; `invalid`: could not be applied.
        said: Sentences for the next prompt, the latest last.
        ended: Why the last sitting ended; None where it was killed, or goes on.
        last: Time of the last line.
    """

    def __init__(self, lines: list[Line]) -> None:
        """Read what there is.

        Raises:
            GitexpError: The first line is not that of a session.
        """
        if not lines or not isinstance(lines[0], Opened):
            raise GitexpError("The journal does not begin with a session.")
        self.opened = lines[0]
        self.sitting: Sitting | None = None
        self.current: Iteration | None = None
        self.iterations = -1
        self.asking: Asking | None = None
        self.answers = 0
        self.runs: list[Ran] = []
        self.moved: list[str] = []
        self.proposals = self.blocked = self.invalid = 0
        self.said: list[str] = []
        self.ended: Ended | None = None
        self.last = 0.0
        self._spent = Spent()
        for line in lines:
            self.take(line)

    @property
    def tip(self) -> str:
        """Commit that the branch names, if nobody else moved it."""
        return self.moved[-1] if self.moved else self.opened.start

    @property
    def kept(self) -> list[str]:
        """Ids of the runs that the branch was moved to, each once."""
        commits = dict.fromkeys(self.moved)
        return [commit for commit in commits if commit != self.opened.start]

    def spent(self, now: float) -> Spent:
        """Return what was taken until now, seconds since 1970."""
        seconds = 0.0
        if self.sitting is not None:
            until = self.last if self.ended is not None else now
            seconds = self.sitting.before + max(0.0, until - self.sitting.at)
        taken = vars(self._spent) | {"seconds": seconds}
        return Spent(**taken)

    def iteration(self, number: int) -> Iteration:
        """Return the proposal of a number, which is the one in progress."""
        if self.current is None or self.current.number != number:
            self.current = Iteration(number)
            self.iterations = max(self.iterations, number)
        return self.current

    def take(self, line: Line) -> None:
        """Add a line to what is known."""
        self.last = line.at
        match line:
            case Opened():
                return
            case Sitting():
                self.sitting, self.ended = line, None
            case Ended():
                self.ended = line
            case Asking():
                self._asked(line)
            case Answered():
                self._answered(line)
            case Proposed():
                self._proposed(line)
            case Running() | Ran():
                self._tried(line)
            case _:
                self._acted(line)

    def _acted(self, line: Decided | Moving | Moved | Done) -> None:
        current = self.iteration(line.iteration)
        match line:
            case Decided():
                current.decided = line
            case Moving():
                current.moving = line
            case Moved():
                current.moved = True
                self.moved.append(line.run)
            case Done():
                self._done(line)

    def _asked(self, line: Asking) -> None:
        self.asking = line
        current = self.iteration(line.iteration)
        current.id, current.retrieval = line.proposal, line.retrieval

    def _answered(self, line: Answered) -> None:
        self.asking = None
        spent = vars(self._spent)
        spent = spent | {"calls": self._spent.calls + 1}
        if line.usage is not None:
            usage = line.usage
            spent |= {
                "prompt": self._spent.prompt + usage.prompt,
                "completion": self._spent.completion + usage.completion,
                "estimated": self._spent.estimated or usage.estimated,
                "money": self._spent.money + (usage.cost or 0.0),
                "unpriced": self._spent.unpriced + (usage.cost is None),
            }
        self._spent = Spent(**spent)
        if line.text is not None:
            self.answers += 1
            self.iteration(line.iteration).answer = None if line.edits_files else line

    def _proposed(self, line: Proposed) -> None:
        current = self.iteration(line.iteration)
        current.proposed, current.answer = line, None
        outcome = None if line.proposal is None else line.proposal.outcome
        self.proposals += 1
        self.blocked += outcome == "blocked"
        self.invalid += outcome not in (None, "blocked")
        self._say(line.said)

    def _tried(self, line: Running | Ran) -> None:
        current = self.iteration(line.iteration)
        if isinstance(line, Running):
            if not current.trials or current.trials[-1].intent.id != line.id:
                current.trials.append(Trial(line, None))
            return
        current.trials[-1] = Trial(current.trials[-1].intent, line)
        self.runs.append(line)
        self._spent = Spent(**vars(self._spent) | {"runs": len(self.runs)})
        self._say(line.said)

    def _done(self, line: Done) -> None:
        self.current = None
        failures = self._spent.failures
        if line.iteration != BASELINE:
            failures = 0 if line.outcome in ("kept", "dropped") else failures + 1
        self._spent = Spent(**vars(self._spent) | {"failures": failures})

    def _say(self, sentences: tuple[str, ...]) -> None:
        self.said = [*self.said, *sentences][-_SAID:]

    def best(self, *, lower: bool) -> tuple[str, float] | None:
        """Return the run with the best value, and the value."""
        valued = [(ran.run, ran.value) for ran in self.runs if ran.value is not None]
        if not valued:
            return None
        return min(valued, key=lambda pair: pair[1] if lower else -pair[1])


def is_value(value: float | None) -> bool:
    """Say whether a value is a finite one."""
    return value is not None and math.isfinite(value)
