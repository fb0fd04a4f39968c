"""The memory benchmark: it is what its docstrings say, whatever it then finds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from tests.eval import memory_benchmark as benchmark
from tests.eval.memory_arms import KeepIfLower, MemoryLab, Tail
from tests.eval.memory_gitexp import Gitexp
from tests.eval.memory_proposer import NOTHING, Proposer, Shown
from tests.eval.memory_real import beside
from tests.eval.memory_report import interval, paired, report
from tests.eval.memory_session import ASKS, Claim, Run, Session
from tests.eval.memory_worlds import (
    Cell,
    Change,
    Configuration,
    Knob,
    Measured,
    Open,
    Setting,
    Table,
    World,
    synthetic,
)

DEPTH = Knob("depth", (1, 2, 3), 1, "depth")
A: Configuration = (("depth", 2),)
B: Configuration = (("depth", 3),)


def small(values: dict[Configuration, tuple[float | None, ...]], seed: int = 0) -> Table:
    return Table(Measured([DEPTH], {name: Cell(each, 5.0) for name, each in values.items()}), seed)


@dataclass
class Scripted:
    """An arm that does what it is told: which run becomes champion, what is blocked."""

    keeps: Sequence[Configuration]
    stops: Sequence[Configuration] = ()
    champion: Configuration = ()
    claim: Claim | None = None
    runs: list[Run] = field(default_factory=list)

    def shown(self) -> Shown:
        return NOTHING

    def blocks(self, text: str, configuration: Configuration) -> str | None:  # noqa: ARG002
        return "no" if configuration in self.stops else None

    def learn(self, run: Run) -> Configuration | None:
        self.runs.append(run)
        self.claim = None
        if run.configuration in self.keeps and run.configuration != self.champion:
            self.claim, self.champion = (run.configuration, self.champion), run.configuration
        return None


class Fixed(Proposer):
    """An agent with a list of proposals."""

    def __init__(self, world: World, changes: Sequence[Change]) -> None:
        super().__init__(world, 0)
        self._left = list(changes)

    def propose(self, *_: object) -> Change:
        return self._left.pop(0)


@pytest.mark.parametrize("world", benchmark.WORLDS)
@pytest.mark.parametrize("arm", benchmark.ARMS)
def test_every_arm_plays_every_world_and_spends_the_same_runs(world: str, arm: str) -> None:
    made = benchmark.WORLDS[world](1)
    steps = Session(made, benchmark.ARMS[arm](made), Proposer(made, 1)).play(9)
    found = benchmark.endpoints(made, steps)
    assert len(steps) == 9
    assert found["wasted"] <= found["repeats"]
    assert found["false promotions"] <= found["promotions"]
    assert found["false blocks"] <= found["blocks"]
    assert all(np.isfinite(value) for value in found.values())


def test_a_session_is_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "BUDGETS", (5, 10))
    one = benchmark.play("repeats", "gitexp", 0.8, 7)
    assert one == benchmark.play("repeats", "gitexp", 0.8, 7)
    assert one != benchmark.play("repeats", "gitexp", 0.8, 8)


def test_a_shorter_budget_is_the_beginning_of_a_longer_one() -> None:
    def steps(budget: int) -> list[object]:
        world = Open(3, repeating=True)
        return [*Session(world, Gitexp(world), Proposer(world, 3)).play(budget)]

    assert steps(12)[:8] == steps(8)


def test_arms_meet_the_same_ideas_with_the_same_noise() -> None:
    def runs(arm: type[KeepIfLower]) -> list[tuple[Configuration, float | None]]:
        world = Table(synthetic(), 5)
        session = Session(world, arm(world), Proposer(world, 5, compliance=0.0))
        session.play(15)
        return [(run.configuration, run.value) for run in session.runs]

    assert runs(KeepIfLower) == runs(Tail)  # nobody heeds what is read
    world = Open(2, repeating=True)
    idea = world.idea(0)
    assert idea is not None
    assert world.value((idea,), 1) == Open(2, repeating=True).value((idea,), 1)
    assert world.value((idea,), 0) != world.value((idea,), 1)


def test_who_heeds_what_is_shown_does_not_propose_what_failed() -> None:
    world = Table(synthetic(), 4)
    changes = [Proposer(world, seed).propose((), NOTHING) for seed in range(60)]
    failed = max(changes, key=changes.count)
    shown = Shown("", frozenset({failed}))
    heeding = [Proposer(world, seed, 1.0).propose((), shown) for seed in range(60)]
    deaf = [Proposer(world, seed, 0.0).propose((), shown) for seed in range(60)]
    assert deaf == changes
    assert failed in deaf
    assert failed not in heeding


def test_who_heeds_suggestions_takes_them_up() -> None:
    world = Open(1, repeating=False)
    suggested = world.methods[7]
    shown = Shown("", frozenset(), (suggested,))
    taken = [Proposer(world, seed, 1.0).propose((), shown) == (suggested,) for seed in range(200)]
    assert 0.35 < np.mean(taken) < 0.65  # compliance times one half


def test_repeats_come_at_the_rates_that_were_observed() -> None:
    same, near = [], []
    for seed in range(30):
        world = Open(seed, repeating=True)
        steps = Session(world, KeepIfLower(world), Proposer(world, seed)).play(40)[1:]
        same += [step.same for step in steps]
        near += [step.near for step in steps]
    assert np.mean(same) == pytest.approx(0.09, abs=0.03)
    assert 0.12 < np.mean(near) < 0.22  # some drafts near one come out the same as another


@pytest.mark.parametrize("arm", ["none", "LoopGraph", "gitexp"])
def test_where_nothing_repeats_no_proposal_comes_twice(arm: str) -> None:
    world = Open(6, repeating=False)
    proposer = Proposer(world, 6)
    steps = Session(world, benchmark.ARMS[arm](world), proposer).play(25)
    assert not any(step.same or step.near for step in steps)
    assert len(set(proposer.proposed)) == len(proposer.proposed)


def test_a_run_of_a_table_has_one_seed_after_the_other() -> None:
    world = small({(): (1.0, 2.0, 3.0), A: (1.0, 1.0, 1.0), B: (1.0, 1.0, 1.0)})
    first = [world.value((), nth) for nth in range(3)]
    assert sorted(value or 0.0 for value in first) == [1.0, 2.0, 3.0]
    assert [world.value((), nth) for nth in range(3, 6)] == first


def test_what_mostly_crashes_is_as_bad_as_the_worst() -> None:
    world = small({(): (2.0, 2.0, 2.0), A: (1.5, 1.5, 1.5), B: (1.0, None, None)})
    assert world.truth(A) == 0.5
    assert world.truth(B) == 0.0
    assert world.best(20) == 0.5


def test_regret_and_false_promotions_are_counted_in_truth() -> None:
    world = small({(): (2.0,) * 5, A: (1.8,) * 5, B: (2.3,) * 5})
    arm = Scripted(keeps=[A, B])
    proposer = Fixed(world, [(("depth", 3),), (("depth", 2),)])
    found = benchmark.endpoints(world, Session(world, arm, proposer).play(3))
    assert found["promotions"] == 2
    assert found["false promotions"] == 1  # the first, to 2.3
    assert found["moves to worse"] == 1
    assert found["regret"] == pytest.approx((0.2 + 0.5 + 0.0) / 3)
    assert found["final regret"] == pytest.approx(0.0)


def test_a_false_block_is_one_of_something_better() -> None:
    world = small({(): (2.0,) * 5, A: (1.8,) * 5, B: (2.3,) * 5})
    blocked = Scripted(keeps=[], stops=[A, B])
    changes: list[Change] = [(("depth", 2),), (("depth", 3),), (("depth", 2),)]
    proposer = Fixed(world, [*changes, *changes])
    session = Session(world, blocked, proposer)
    (_, step) = session.play(2)
    assert step.blocks == step.calls == ASKS
    assert step.false_blocks == 3
    assert session.runs[1].configuration == B  # the last one is run whatever was said
    assert step.tokens > ASKS * 3_600


@pytest.mark.parametrize(
    ("value", "wasted"),
    [(2.04, 0), (3.4, 1), (None, 1)],
    ids=["near the champion", "resolved", "crashed"],
)
def test_a_repeat_is_wasted_where_it_teaches_nothing(value: float | None, wasted: int) -> None:
    others = {(): (2.0, 2.2, 1.8, 2.0, 2.0), B: (1.9, 2.1, 2.0, 2.0, 2.0)}
    world = small({**others, A: (value,) * 5})
    change: Change = (("depth", 2),)
    steps = Session(world, Scripted(keeps=[]), Fixed(world, [change, change])).play(3)
    found = benchmark.endpoints(world, steps)
    assert found["repeats"] == 1
    assert found["wasted"] == wasted


def test_tokens_are_those_of_what_an_arm_shows() -> None:
    world = Table(synthetic(), 2)
    plain = Session(world, KeepIfLower(world), Proposer(world, 2)).play(6)
    tail = Session(world, Tail(world), Proposer(world, 2)).play(6)
    assert [step.tokens for step in plain] == [0, *[3_600] * 5]
    grown = [step.shown for step in tail[1:]]
    assert grown == sorted(grown)
    assert grown[0] > 0


def test_the_tail_forgets_what_lies_further_back() -> None:
    world = Open(0, repeating=False)
    arm = Tail(world)
    for number in range(30):
        idea: Setting | None = world.idea(number)
        assert idea is not None
        arm.learn(Run(number, (idea,), (), (idea,), f"idea {number}", 2.0 + number, 1.0, 0))
    shown = arm.shown()
    assert len(shown.text.splitlines()) == 21
    assert len(shown.failed) == 20
    assert (world.idea(5),) not in shown.failed


def test_memorylab_blocks_the_same_words_after_a_failure() -> None:
    world = Table(synthetic(), 2)
    arm = MemoryLab(world)
    arm.learn(Run(0, (), None, (), "baseline", 2.0, 1.0, 0))
    change: Change = (("norm", "layernorm"),)
    arm.learn(Run(1, change, (), change, "norm none -> layernorm", 2.5, 1.0, 0))
    assert "duplicate_run" in (arm.blocks("norm none -> layernorm", change) or "")
    assert arm.blocks("optimizer sgd -> muon", (("optimizer", "muon"),)) is None


@pytest.mark.parametrize("promoted_only", [False, True])
@pytest.mark.parametrize("world", benchmark.WORLDS)
def test_gitexp_says_here_what_it_says_of_a_real_repository(
    world: str, promoted_only: bool
) -> None:
    arm = beside(benchmark.WORLDS[world](1003), 1003, 9, promoted_only=promoted_only)
    assert arm.agreed == arm.asked
    assert {"champion", "decision", "guard", "failed", "evidence"} <= set(arm.asked)
    for mine, theirs in arm.brief_tokens:  # the first ones lack a next step that the product names
        assert mine == pytest.approx(theirs, rel=0.1, abs=80)


def test_what_is_in_the_file_is_not_played_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "BUDGETS", (3, 5))
    out = tmp_path / "sessions.jsonl"
    wanted = list(benchmark.tasks(["repeats"], ["none", "tail"], 2, 1, 0))
    benchmark.run(out, iter(wanted))
    whole = out.read_text()
    assert len(whole.splitlines()) == len(wanted) == 4 + 2 * len(benchmark.SENSITIVITY)
    lines = whole.splitlines(keepends=True)
    out.write_text("".join(lines[:3]) + lines[3][:20])  # cut off while it was written
    benchmark.run(out, iter(wanted))
    assert sorted(map(json.dumps, benchmark.read(out))) == sorted(
        json.dumps(json.loads(line)) for line in lines
    )


def test_differences_are_paired_by_session() -> None:
    mine = {1: {"regret": 3.0}, 2: {"regret": 5.0}, 9: {"regret": 100.0}}
    theirs = {2: {"regret": 1.0}, 1: {"regret": 1.0}}
    assert paired(mine, theirs, "regret").tolist() == [2.0, 4.0]


def test_an_interval_holds_the_mean_and_narrows_with_sessions() -> None:
    values = np.array([0.0, 1.0] * 10)
    low, high = interval(values)
    assert low < 0.5 < high
    wide_low, wide_high = interval(values, 0.999)
    assert wide_low < low < high < wide_high
    more = interval(np.array([0.0, 1.0] * 1000))
    assert more[1] - more[0] < high - low
    assert interval(np.array([2.0, 2.0])) == (2.0, 2.0)


def test_the_report_marks_what_no_chance_explains() -> None:
    names = ("regret", "final regret", "wasted", "false promotions", "tokens", "wall")
    more = ("repeats", "promotions", "moves to worse", "blocks", "false blocks", "calls")
    zero = dict.fromkeys((*names, *more, "same", "near"), 1.0)
    lines = [
        {
            "world": "table",
            "arm": arm,
            "compliance": 0.8,
            "seed": seed,
            "endpoints": {"20": zero | {"regret": regret + seed % 2}},
        }
        for arm, regret in (("none", 1.0), ("tail", 0.5))
        for seed in range(10)
    ]
    text = report(lines, ["20"], ["none", "tail"])
    assert "| tail | 1.000; -0.500 (-0.500 to -0.500)*" in text
    assert "### table, 20 runs, 10 sessions" in text
