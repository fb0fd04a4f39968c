"""The arms that gitexp is compared with: no memory, a tail of results, MemoryLab, LoopGraph.

All of them keep a change if its one run is lower than the best so far, as autoresearch does. Only
the first shows nothing. `Tail` shows the last rows of ``results.tsv`` as it stands in such
projects; an agent reads in it what was discarded or crashed. All agents of a session share that
file, which is generous: as a rule it is a local one.

`MemoryLab` asks its guard (`gitexp.memorylab.guard`, mode exploit), and its decisions
(`gitexp.memorylab.decision`) whether to look at a run again, once. `LoopGraph` shows methods beside
the tail, ordered by the formula of `tests.eval.ranking_rankers`, which no publication states.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gitexp.memorylab.decision import decide
from gitexp.memorylab.guard import Class, Guard
from gitexp.memorylab.record import METRIC, Record, Status
from gitexp.methods.evidence import CRASHED, effect_of, spread_of
from gitexp.methods.risk import is_bad
from tests.eval.memory_proposer import NOTHING, Shown
from tests.eval.memory_session import Claim, Run
from tests.eval.memory_worlds import Configuration, Setting, World
from tests.eval.ranking_ledgers import WIN
from tests.eval.ranking_rankers import Idea, Known, Past, loopgraph
from tests.eval.worlds import digest

ROWS = 20
METHODS = 5


class Row(NamedTuple):
    """A row of results."""

    run: Run
    status: Status


class KeepIfLower:
    """No memory: the champion's code is all that the agent sees.

    Attributes:
        champion: See `tests.eval.memory_session.Arm`.
        rows: Of all runs.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.champion: Configuration = ()
        self.claim: Claim | None = None
        self.rows: list[Row] = []
        self._best: float | None = None

    def shown(self) -> Shown:
        return NOTHING

    def blocks(self, text: str, configuration: Configuration) -> str | None:  # noqa: ARG002
        return None

    def learn(self, run: Run) -> Configuration | None:
        best, value = self._best, run.value
        self.claim = None
        if value is None:
            status: Status = "crash"
        elif best is None or value < best:
            status = "keep"
            self.claim = run.configuration, self.champion
            self._best, self.champion = value, run.configuration
        else:
            status = "discard"
        self.rows.append(Row(run, status))
        return None


class Tail(KeepIfLower):
    """The last rows of the results."""

    def shown(self) -> Shown:
        rows = self.rows[-ROWS:]
        lines = ["commit\tval_bpb\tmemory_gb\tstatus\tdescription", *map(_line, rows)]
        kept = {row.run.change for row in rows if row.status == "keep"}
        failed = {row.run.change for row in rows if row.status != "keep"}
        text = "".join(f"{line}\n" for line in lines)
        return Shown(text, frozenset(failed - kept))


def _line(row: Row) -> str:
    run = row.run
    commit = digest(4, run.configuration).hex()[:7]
    value = 0.0 if run.value is None else run.value
    return f"{commit}\t{value:.6f}\t0.0\t{row.status}\t{run.text}"


class MemoryLab(Tail):
    """The tail, MemoryLab's guard, and another look at what nearly was better."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._guard = Guard()
        self._novelty: Class = "novel"
        self._top: Record | None = None
        self._again = False

    def blocks(self, text: str, configuration: Configuration) -> str | None:  # noqa: ARG002
        found = self._guard.check(text)
        self._novelty = found.classification
        if found.policy != "block":
            return None
        match = found.matches[0]
        return f"Blocked: {found.classification}, like {match.record.description} ({match.score})."

    def learn(self, run: Run) -> Configuration | None:
        super().learn(run)
        status = self.rows[-1].status
        record = Record(status=status, description=run.text, metrics={METRIC: run.value})
        decision = decide(record, self._top, self._novelty)
        self._guard.add(record)
        if decision.is_champion:
            self._top = record
        self._again = decision.action == "retry" and not self._again
        return run.configuration if self._again else None


class LoopGraph(Tail):
    """The tail, and methods by success rate, delta, fatigue and recency."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._known = Known()
        self._gains: list[float] = []
        self._values: dict[Configuration, float] = {}

    def shown(self) -> Shown:
        tail = super().shown()
        free = free_methods(self.world, self.champion)
        scored = [(loopgraph(self._known, Idea((), slug(each))), each) for each in free]
        scored.sort(key=lambda pair: -pair[0])
        found = scored[:METHODS]
        lines = [f"{slug(each)}: score {score:.3f}\n" for score, each in found]
        text = tail.text + "Methods, the best first:\n" + "".join(lines)
        return Shown(text, tail.failed, tuple(each for _, each in found))

    def learn(self, run: Run) -> Configuration | None:
        super().learn(run)
        base = None if run.base is None else self._values.get(run.base)
        if run.value is not None:
            self._values.setdefault(run.configuration, run.value)
        effect = CRASHED if run.value is None else None
        if run.value is not None and base is not None:
            self._gains.append(base - run.value)
            effect = effect_of(base - run.value, spread_of(self._gains))
        if effect is not None:
            for each in run.change:
                past = Past(Idea((), slug(each)), effect, effect > WIN, is_bad(effect))
                self._known.add(past)
        return None


def slug(setting: Setting) -> str:
    """Return a value of a setting as a method is called."""
    return re.sub(r"[^a-z0-9]+", "-", f"{setting[1]}-{setting[0]}".lower())


def _is_used(method: Setting, used: set[Setting], world: World) -> bool:
    """Say whether the champion has a method already."""
    name, value = method
    is_default = value == world.knobs[name].default
    return method in used or (is_default and name not in dict(used))


def free_methods(world: World, champion: Configuration) -> list[Setting]:
    """Return the methods that a champion does not have."""
    used = set(champion)
    return [method for method in world.methods if not _is_used(method, used, world)]
