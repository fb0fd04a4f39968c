"""Who spends a budget of runs: simple rules, MemoryLab's, and gitexp's own.

A policy plays a session to its end. Each says which configurations it promoted, that is, called
better than what it went on from, and what it holds for best in the end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gitexp.memorylab.decision import decide
from gitexp.memorylab.record import METRIC, Record
from gitexp.records.decision import DecisionFact
from gitexp.research.belief.posterior import fit
from gitexp.research.goal import GoalMetric
from gitexp.research.rules import Case, judge
from tests.eval.worlds import Configuration, Session

GOAL = GoalMetric("loss", lower=True, by="last", minimum=None, source="option")


@dataclass
class Played:
    """What became of a session.

    Attributes:
        promoted: Each configuration that was called better, and what it was better than.
        moves: Each configuration that was gone on from, after the first.
        champion: What is held for best in the end.
        judged: P(better), whether it is better in truth (a half where it is the same), and
            whether noise was measured; of each run that was compared.
    """

    champion: Configuration
    promoted: list[tuple[Configuration, Configuration]] = field(default_factory=list)
    moves: list[tuple[Configuration, Configuration]] = field(default_factory=list)
    judged: list[tuple[float, float, bool]] = field(default_factory=list)

    def move(self, to: Configuration) -> None:
        """Go on from another configuration."""
        if to is not self.champion:
            self.moves.append((to, self.champion))
            self.champion = to

    def promote(self, which: Configuration) -> None:
        """Call a configuration better than the champion, and go on from it."""
        self.promoted.append((which, self.champion))
        self.move(which)


Policy = Callable[[Session], Played]


def keep_if_lower(session: Session) -> Played:
    """Keep a change if its one run is better than the best run so far."""
    played = Played(session.start)
    best = session.run(session.start).value or 0.0
    while not session.is_over:
        tried = session.idea(played.champion)
        value = session.run(tried).value
        if value is not None and value < best:
            best = value
            played.promote(tried)
    return played


def memorylab(session: Session) -> Played:
    """Follow MemoryLab's rules: keep what is lower, and look twice at what nearly was."""
    played = Played(session.start)
    champion = _record(session.run(session.start).value, None)
    tried: Configuration | None = None
    while not session.is_over:
        is_again = tried is not None
        tried = tried or session.idea(played.champion)
        record = _record(session.run(tried).value, champion.value)
        decision = decide(record, champion, "novel")
        if decision.action == "promote":
            champion = record
            played.promote(tried)
        if decision.action != "retry" or is_again:
            tried = None
    return played


def _record(value: float | None, best: float | None) -> Record:
    status = "crash" if value is None else "keep" if best is None or value < best else "discard"
    return Record(status=status, description="idea", metrics={METRIC: value})  # type: ignore[arg-type]


def always_three(session: Session) -> Played:
    """Run everything three times, and keep what is better in the mean."""
    played = Played(session.start)
    best = _mean(session, session.start)
    while not session.is_over:
        tried = session.idea(played.champion)
        value = _mean(session, tried)
        if value is not None and (best is None or value < best):
            best = value
            played.promote(tried)
    return played


def _mean(session: Session, configuration: Configuration) -> float | None:
    values: list[float] = []
    for _ in range(3):
        value = None if session.is_over else session.run(configuration).value
        if value is None:
            return None
        values.append(value)
    return sum(values) / 3


@dataclass(frozen=True)
class Gitexp:
    """Follow gitexp's decisions: go on from the champion, and run again what they say.

    Attributes:
        most_again: Runs that are made for one idea after its first.
        low: Actions of low priority are followed too.
        obeyed: Actions that are followed; after others the next idea is tried.
    """

    most_again: int = 6
    low: bool = False
    obeyed: frozenset[str] = frozenset(
        {"replicate", "replicate_champion", "measure_noise", "retry"}
    )

    def __call__(self, session: Session) -> Played:
        """Play a session."""
        played = Played(session.start)
        names = {session.start.key: session.start}
        current, again = session.start, 0
        run = session.run(session.start).run
        while True:
            posterior = fit(session.observations, GOAL)
            decision = judge(Case({"run": run.hex()}, posterior, "2026-01-01T00:00:00Z", "eval"))
            other = names[posterior.against(current.key) or current.key]
            _note(played, decision, current, other)
            if posterior.champion is not None:
                played.move(names[posterior.champion])
            if session.is_over:
                return played
            pays = self.low or decision.priority != "low"
            if decision.action in self.obeyed and pays and again < self.most_again:
                again += 1
                session.run(current if decision.action in ("replicate", "retry") else other)
            else:
                again, current = 0, session.idea(played.champion)
                names[current.key] = current
                run = session.run(current).run


def _note(
    played: Played, decision: DecisionFact, current: Configuration, other: Configuration
) -> None:
    if decision.comparison is None or current is other:
        return
    gain = current.truth - other.truth
    truth = 0.5 if gain == 0 else float(gain > 0)
    played.judged.append((decision.comparison.p_better, truth, not decision.provisional))
    if decision.action == "promote" and all(current is not which for which, _ in played.promoted):
        played.promoted.append((current, other))


POLICIES: dict[str, Policy] = {
    "keep if lower": keep_if_lower,
    "MemoryLab": memorylab,
    "always three": always_three,
    "gitexp": Gitexp(),
}
