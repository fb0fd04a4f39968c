"""One session of the memory benchmark: an arm, an agent and a world, run by run.

What an arm sees are runs; what a session keeps besides, in truth, is here alone.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from gitexp.research.overview.brief import estimated_tokens
from tests.eval.memory_proposer import Proposer, Shown
from tests.eval.memory_worlds import Change, Configuration, World, changed, value_in

ASKS = 5
COMMON_TOKENS = 3_000
REPLY_TOKENS = 600
CALL_S = 2.0
PROMPT_PER_S = 5_000.0
REPLY_PER_S = 60.0
RESOLVED = 1.645
"""Standard deviations between two means from which on another run teaches nothing."""


@dataclass(frozen=True)
class Run:
    """A run as arms see it.

    Attributes:
        number: From 0.
        base: What it was made from; None for the start.
        change: Against the base.
        text: The change in words.
        value: None for a crash.
        nth: How many runs of the configuration there were before, as seeds are counted.
    """

    number: int
    configuration: Configuration
    base: Configuration | None
    change: Change
    text: str
    value: float | None
    seconds: float
    nth: int


Claim = tuple[Configuration, Configuration]


class Arm(Protocol):
    """Who decides what agents read, what is blocked, and what is kept.

    Attributes:
        champion: What the next change is made to.
        claim: What was called better after the latest run, and than what; None for nothing.
    """

    champion: Configuration
    claim: Claim | None

    def shown(self) -> Shown:
        """Return what the agent reads."""

    def blocks(self, text: str, configuration: Configuration) -> str | None:
        """Return why a proposal may not be run; None where it may.

        Args:
            text: Its change in words.
            configuration: What would be run.
        """

    def learn(self, run: Run) -> Configuration | None:
        """Take a run in, move the champion, and return what is to be run again, if anything."""


@dataclass(frozen=True)
class Step:
    """A run, and what came before it, with the truth.

    Attributes:
        repeat: Its configuration was run before; `wasted`: and that teaches nothing.
        gain: True gain of the champion over the start, after it.
        promoted: A configuration was called better for the first time; `false`: and is not.
        moved: Another configuration is champion; `worse`: one that is not better in truth.
        blocks: Proposals that were blocked before it; `false_blocks` of them were better.
        calls: How often the agent was asked; `tokens` and `seconds` that it all took.
        same: It is a change that was proposed before; `near`: one of a setting that was.
        shown: Tokens of what the arm showed, at its last call.
    """

    configuration: Configuration
    repeat: bool
    wasted: bool
    gain: float
    promoted: bool
    false: bool
    moved: bool
    worse: bool
    blocks: int = 0
    false_blocks: int = 0
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    same: bool = False
    near: bool = False
    shown: int = 0


@dataclass
class _Asked:
    """What asking for a proposal took."""

    change: Change
    text: str
    calls: int = 0
    blocks: int = 0
    false_blocks: int = 0
    tokens: int = 0
    seconds: float = 0.0
    same: bool = False
    near: bool = False
    shown: int = 0


class Session:
    """A session that is played.

    Attributes:
        runs: So far.
        steps: One for each.
    """

    def __init__(self, world: World, arm: Arm, proposer: Proposer) -> None:
        self.world = world
        self.arm = arm
        self.proposer = proposer
        self.runs: list[Run] = []
        self.steps: list[Step] = []
        self._counts: Counter[Configuration] = Counter()
        self._values: dict[Configuration, list[float]] = defaultdict(list)
        self._crashed: set[Configuration] = set()
        self._claimed: set[Configuration] = set()
        self._from: dict[Configuration, tuple[Configuration | None, Change, str]] = {}

    def play(self, budget: int) -> list[Step]:
        """Play it to the end of a budget of runs."""
        again = self._run((), None, _Asked((), "baseline"))
        while len(self.runs) < budget:
            if again is not None:
                base, change, text = self._from[again]
                again = self._run(again, base, _Asked(change, text))
                continue
            champion = self.arm.champion
            asked = self._ask(champion)
            again = self._run(changed(self.world.knobs, champion, asked.change), champion, asked)
        return self.steps

    def _ask(self, champion: Configuration) -> _Asked:
        """Ask for a change until none is blocked, or it was asked often enough."""
        shown = self.arm.shown()
        said = estimated_tokens(shown.text)
        asked = _Asked((), "", shown=said)
        down: list[Change] = []
        while asked.calls < ASKS:
            asked.change = self.proposer.propose(champion, shown, down)
            asked.text = words(self.world, champion, asked.change)
            prompt = COMMON_TOKENS + said
            asked.calls += 1
            asked.tokens += prompt + REPLY_TOKENS
            asked.seconds += CALL_S + prompt / PROMPT_PER_S + REPLY_TOKENS / REPLY_PER_S
            tried = changed(self.world.knobs, champion, asked.change)
            why = self.arm.blocks(asked.text, tried)
            if why is None:
                break
            asked.blocks += 1
            asked.false_blocks += self.world.truth(tried) > self.world.truth(champion)
            down.append(asked.change)
            said += estimated_tokens(why)
        self._note_repeats(asked)
        self.proposer.accept(asked.change)
        return asked

    def _note_repeats(self, asked: _Asked) -> None:
        before = self.proposer.proposed
        asked.same = asked.change in before
        touched = {name for change in before for name, _ in change}
        asked.near = not asked.same and any(name in touched for name, _ in asked.change)

    def _run(
        self, configuration: Configuration, base: Configuration | None, asked: _Asked
    ) -> Configuration | None:
        world, champion = self.world, self.arm.champion
        nth = self._counts[configuration]
        repeat, wasted = nth > 0, nth > 0 and self._teaches_nothing(configuration)
        run = Run(
            number=len(self.runs),
            configuration=configuration,
            base=base,
            change=asked.change,
            text=asked.text,
            value=world.value(configuration, nth),
            seconds=world.seconds(configuration),
            nth=nth,
        )
        self._remember(run)
        again = self.arm.learn(run)
        moved = self.arm.champion != champion
        before, gain = world.truth(champion), world.truth(self.arm.champion)
        promoted, false = self._claim(self.arm.claim)
        self.steps.append(
            Step(
                configuration=configuration,
                repeat=repeat,
                wasted=wasted,
                gain=gain,
                promoted=promoted,
                false=false,
                moved=moved,
                worse=moved and gain <= before,
                blocks=asked.blocks,
                false_blocks=asked.false_blocks,
                calls=asked.calls,
                tokens=asked.tokens,
                seconds=asked.seconds + run.seconds,
                same=asked.same,
                near=asked.near,
                shown=asked.shown,
            )
        )
        return again

    def _claim(self, claim: Claim | None) -> tuple[bool, bool]:
        """Say whether something was called better for the first time, and whether it is not."""
        if claim is None or claim[0] in self._claimed or claim[0] == claim[1]:
            return False, False
        new, old = claim
        self._claimed.add(new)
        return True, self.world.truth(new) <= self.world.truth(old)

    def _remember(self, run: Run) -> None:
        self.runs.append(run)
        self._counts[run.configuration] += 1
        self._from.setdefault(run.configuration, (run.base, run.change, run.text))
        if run.value is None:
            self._crashed.add(run.configuration)
        else:
            self._values[run.configuration].append(run.value)

    def _teaches_nothing(self, configuration: Configuration) -> bool:
        """Say whether another run of what was run before is wasted, by the benchmark's rule."""
        if configuration in self._crashed:
            return True
        other = self.arm.champion
        if other == configuration:
            means = {c: statistics.fmean(v) for c, v in self._values.items() if c != configuration}
            if not means:
                return False
            other = min(means, key=lambda each: means[each])
        return self._resolved(self._values[configuration], self._values[other])

    def _resolved(self, one: Sequence[float], two: Sequence[float]) -> bool:
        if not one or not two:
            return False
        sd = self.world.sigma * math.sqrt(1 / len(one) + 1 / len(two))
        return abs(statistics.fmean(one) - statistics.fmean(two)) >= RESOLVED * sd


def words(world: World, champion: Configuration, change: Change) -> str:
    """Return a change in words, as an agent describes it."""
    olds = ((name, value_in(world.knobs, champion, name), new) for name, new in change)
    return ", ".join(f"{name} {old} -> {new}" for name, old, new in olds)
