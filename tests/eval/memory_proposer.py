"""Simulated agents: they change settings of the champion, and read what they are shown.

All of this was fixed before a session was looked at, and is the same for every arm but for what
is shown. An agent

* has habits: in each session it favours some settings (weights of a Dirichlet distribution of
  concentration 1), changes two at once with probability .2, and moves an ordered setting to a value
  beside the present one with probability .75. In a world of open settings it takes the next idea
  of the stream instead, unless it repeats somebody (below);
* remembers by itself its latest `OWN_MEMORY` proposals and no more; where three take turns each
  remembers its own. Where no idea comes twice it remembers all, as there is nothing to forget;
* reads. *Compliance* is the probability that it heeds what it reads: that it drops a draft of
  which it reads that the same change failed, and, times `FOLLOW`, that it takes up something that
  is suggested (the n-th of a list with weight 1/n) instead of its own idea;
* drafts up to `LOOKS` times in one answer until nothing speaks against a
  draft; else the last one counts.

Repeats: in the world of repeats a draft is, with probability .09, a change that was proposed before
in the session, and with .22 another value of a setting that was, as with agents that share no
memory. The choice among earlier proposals is of those in the arm's own past.

The stream: draft d of answer a to proposal n has a generator of its own, seeded by the session and
these three numbers, so that arms differ by what agents read, and by what came of it, alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.eval.memory_worlds import (
    Change,
    Configuration,
    Knob,
    Setting,
    Value,
    World,
    changed,
    value_in,
)

COMPLIANCE = 0.8
FOLLOW = 0.5
OWN_MEMORY = 3
LOOKS = 10
TWO_AT_ONCE = 0.2
BESIDE = 0.75


@dataclass(frozen=True)
class Shown:
    """What an agent reads.

    Attributes:
        text: Beside instructions and code, which all arms show.
        failed: Changes of which it says that they did not help.
        promising: Methods that it suggests, the best first.
    """

    text: str = ""
    failed: frozenset[Change] = frozenset()
    promising: tuple[Setting, ...] = ()


NOTHING = Shown()


@dataclass
class Proposer:
    """The agents of one session.

    Attributes:
        proposed: The changes of all proposals that were accepted, in their order.
    """

    world: World
    seed: int
    compliance: float = COMPLIANCE
    proposed: list[Change] = field(default_factory=list)
    _habits: list[float] = field(init=False)
    _fresh: int = 0

    def __post_init__(self) -> None:
        """Draw the habits of the session."""
        rng = random.Random(f"{self.seed} habits")
        self._habits = [rng.expovariate(1.0) for _ in self.world.knobs]

    def propose(
        self, champion: Configuration, shown: Shown, turned_down: Sequence[Change] = ()
    ) -> Change:
        """Return a change of the champion.

        Args:
            champion: What is changed.
            shown: What the agent reads.
            turned_down: What it has just proposed, and was told that the guard blocks it.
        """
        number = len(self.proposed)
        own = {*self._remembered(number), *turned_down}
        draft: Change = ()
        for look in range(LOOKS):
            rng = random.Random(f"{self.seed} proposal {number} {len(turned_down)} {look}")
            draft = self._draft(rng, champion, shown) or draft
            if changed(self.world.knobs, champion, draft) == champion or draft in own:
                continue
            if draft in shown.failed and rng.random() < self.compliance:
                continue
            break
        return draft

    def accept(self, change: Change) -> None:
        """Remember a proposal that is run."""
        self.proposed.append(change)

    def _remembered(self, number: int) -> Sequence[Change]:
        if self.world.distinct:
            return self.proposed
        mine = self.proposed[number % self.world.agents :: self.world.agents]
        return mine[-OWN_MEMORY:]

    def _draft(self, rng: random.Random, champion: Configuration, shown: Shown) -> Change:
        if shown.promising and rng.random() < self.compliance * FOLLOW:
            weights = [1 / (n + 1) for n in range(len(shown.promising))]
            return tuple(rng.choices(shown.promising, weights))
        again, near = self.world.repeats
        kind = rng.random()
        if kind < again + near and self.proposed:
            before = rng.choice(self.proposed)
            return before if kind < again else self._near(rng, champion, before)
        idea = self._next_idea()
        return (idea,) if idea else self._own(rng, champion)

    def _next_idea(self) -> Setting | None:
        """Return the next idea of the stream that nobody has proposed yet."""
        known = {setting for change in self.proposed for setting in change}
        while (idea := self.world.idea(self._fresh)) is not None:
            self._fresh += 1
            if idea not in known:
                return idea
        return None

    def _near(self, rng: random.Random, champion: Configuration, before: Change) -> Change:
        name, value = before[0]
        return ((name, rng.choice(self._beside(champion, name, value) or [value])),)

    def _beside(self, champion: Configuration, name: str, value: Value) -> list[Value]:
        present = value_in(self.world.knobs, champion, name)
        return [each for each in self.world.knobs[name].neighbours(value) if each != present]

    def _own(self, rng: random.Random, champion: Configuration) -> Change:
        names = list(self.world.knobs)
        count = 2 if rng.random() < TWO_AT_ONCE else 1
        picked = {rng.choices(names, self._habits)[0] for _ in range(count)}
        return tuple((name, self._other(rng, champion, name)) for name in sorted(picked))

    def _other(self, rng: random.Random, champion: Configuration, name: str) -> Value:
        """Return another value of a setting than the present one."""
        knob: Knob = self.world.knobs[name]
        present = value_in(self.world.knobs, champion, name)
        beside = knob.neighbours(present)
        if rng.random() >= BESIDE or not beside:
            beside = [value for value in knob.values if value != present]
        return rng.choice(beside)
