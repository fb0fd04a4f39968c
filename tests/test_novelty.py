"""The guard: levels, classes, and what each mode makes of them, on runs that really happened."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from gitexp.errors import RunNotFoundError, UsageError
from gitexp.experiment import Experiment
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.records.facts import Failure
from gitexp.research.cache import NAME, open_cache, open_in_memory, with_cache
from gitexp.research.goal import goal_metric
from gitexp.research.guard import novelty
from gitexp.research.guard.changes import Changes
from gitexp.research.guard.novelty import POLICIES, Finding, Guard, Mode, Plan
from gitexp.research.observations import Observation
from gitexp.snapshot import Limits, planned_tree
from tests.support import Git

COMMAND = ("python", "train.py")
MODEL = """\
import torch

LR = 0.04
WARMUP = 100


def forward(x):
    h = attention(x)
    return mlp(h)


def attention(x):
    return x
"""
Outcome = Literal["success", "failure", "unresolved", "crash"]


@dataclass
class Stub:
    """Says of runs what a test has it say."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    champion_run: bytes | None = None
    champion: bytes | None = b"champion"

    def outcome(self, run: bytes) -> Outcome:
        return self.outcomes.get(run.hex(), "unresolved")

    def observation(self, run: bytes) -> Observation | None:
        return Observation(run, run[:16], b"champion", 1.0, 0, 1.0, True, False, None, None)

    def base(self, configuration: bytes) -> bytes | None:
        return None if configuration == self.champion else self.champion


@pytest.fixture
def judge() -> Stub:
    return Stub()


@pytest.fixture
def model(repo: Git) -> Git:
    """A repository whose train.py is `MODEL`."""
    commit_model(repo, MODEL)
    return repo


def commit_model(repo: Git, text: str) -> None:
    repo.write("train.py", text)
    repo("commit", "--quiet", "--all", "-m", "model")


def record(
    text: str | None = None, parameters: Mapping[str, Any] | None = None, **more: Any
) -> str:
    """Run the work tree, with train.py as given, and put that back."""
    before = Path("train.py").read_text()
    if text is not None:
        Path("train.py").write_text(text)
    status = more.pop("status", "finished")
    error = more.pop("error", None)
    with Experiment("run", params=parameters, command=COMMAND, **more) as experiment:
        experiment.track({"loss": 1.0})
        experiment.finish(status, error=error)
    Path("train.py").write_text(before)
    return experiment.run_id


def check(judge: Stub, plan: Plan | None = None, mode: Mode = "exploit", **more: Any) -> Finding:
    """Return what the guard says of a plan; of the work tree as it is if there is none."""
    repository = Repository.discover()
    if plan is None:
        tree, head = planned_tree(repository, Limits())
        plan = Plan(tree=tree, base=head)
    return guard(judge).check(replace(plan, **more), mode)


def guard(judge: Stub, cache: sqlite3.Connection | None = None) -> Guard:
    memory = Memory.open()
    return Guard(memory, None, judge, cache or open_cache(memory.repository))


def changed(text: str, **more: Any) -> Plan:
    """Return the plan to run this train.py."""
    before = Path("train.py").read_text()
    Path("train.py").write_text(text)
    tree, head = planned_tree(Repository.discover(), Limits())
    Path("train.py").write_text(before)
    return Plan(tree=tree, base=head, **more)


def test_nothing_was_run_yet(model: Git, judge: Stub) -> None:
    found = check(judge, Plan(description="increase warmup"))
    assert (found.novelty.classification, found.policy) == ("novel", "allow")
    assert found.novelty.evidence == ()


def test_a_plan_that_says_nothing_is_refused(model: Git, judge: Stub) -> None:
    with pytest.raises(UsageError, match="nothing to compare"):
        check(judge)


def test_the_same_code_parameters_and_command_is_certain(model: Git, judge: Stub) -> None:
    run = record(MODEL.replace("0.04", "0.4"), {"depth": 3})
    plan = changed(MODEL.replace("0.04", "0.4"), parameters={"depth": 3}, command=COMMAND)
    found = check(judge, plan)
    assert (found.novelty.classification, found.policy) == ("duplicate_run", "block")
    assert found.certain
    assert [(each.run, each.level) for each in found.novelty.evidence] == [(run, "identity")]
    other = check(judge, plan, parameters={"depth": 4})
    assert other.novelty.classification != "duplicate_run"
    assert check(judge, plan, command=("python", "other.py")).novelty.classification == "novel"


def test_another_seed_makes_a_replicate(model: Git, judge: Stub) -> None:
    record(MODEL.replace("0.04", "0.4"), seed=1)
    plan = changed(MODEL.replace("0.04", "0.4"))
    assert check(judge, plan, seed=2).novelty.classification == "replicate"
    assert check(judge, plan, seed=2).policy == "caution"
    assert check(judge, plan, seed=2, mode="replicate").policy == "allow"
    assert check(judge, plan, seed=1).novelty.classification == "duplicate_run"
    assert check(judge, plan).novelty.classification == "duplicate_run"


def test_a_run_that_was_stopped_is_no_duplicate(model: Git, judge: Stub) -> None:
    run = record(MODEL.replace("0.04", "0.4"), status="interrupted")
    judge.outcomes[run] = "crash"
    found = check(judge, changed(MODEL.replace("0.04", "0.4")))
    assert (found.novelty.classification, found.policy) == ("novel", "allow")
    assert found.novelty.evidence[0].run == run


def test_comments_and_documentation_make_no_other_code(model: Git, judge: Stub) -> None:
    run = record(MODEL.replace("0.04", "0.4"))
    Path("notes.md").write_text("words\n")
    commented = MODEL.replace("0.04", "0.4  # ten times")
    found = check(judge, changed(commented))
    assert found.novelty.classification == "duplicate_run"
    assert [(each.run, each.level) for each in found.novelty.evidence] == [(run, "patch")]
    assert "+ LR = 0.4  # ten times" in found.novelty.evidence[0].lines


@pytest.mark.parametrize("elsewhere", ["h = attention(x)", "return x\n"])
def test_the_same_change_on_a_moved_base_is_worth_a_new_test(
    model: Git, judge: Stub, elsewhere: str
) -> None:
    run = record(MODEL.replace("mlp(h)", "mlp(h) + x"))
    judge.outcomes[run] = "failure"
    moved = MODEL.replace(elsewhere, elsewhere.replace("x", "2 * x"))
    commit_model(model, moved)
    found = check(judge, changed(moved.replace("mlp(h)", "mlp(h) + x")))
    assert (found.novelty.classification, found.policy) == ("retest_on_new_base", "caution")
    assert [(each.run, each.level) for each in found.novelty.evidence] == [(run, "patch")]


def test_a_base_that_differs_in_comments_has_not_moved(model: Git, judge: Stub) -> None:
    record(MODEL.replace("mlp(h)", "mlp(h) + x"))
    commented = MODEL.replace("import torch", "import torch  # the library")
    commit_model(model, commented)
    found = check(judge, changed(commented.replace("mlp(h)", "mlp(h) + x")))
    assert found.novelty.classification == "duplicate_run"


def test_the_same_line_at_another_place_is_another_change(model: Git, judge: Stub) -> None:
    record(MODEL.replace("    h = att", "    x = norm(x)\n    h = att"))
    elsewhere = MODEL.replace("    return x\n", "    x = norm(x)\n    return x\n")
    found = check(judge, changed(elsewhere))
    assert found.novelty.classification in ("novel", "known_success")
    assert found.policy == "allow"


def test_a_commit_for_each_experiment_is_compared_with_its_parent(model: Git, judge: Stub) -> None:
    commit_model(model, MODEL.replace("mlp(h)", "mlp(h) + x"))
    run = record()
    model("checkout", "--quiet", "HEAD~1")
    moved = MODEL.replace("return x\n", "return 3 * x\n")
    commit_model(model, moved)
    commit_model(model, moved.replace("mlp(h)", "mlp(h) + x"))
    found = check(judge, tries_code=True)
    assert found.novelty.classification == "retest_on_new_base"
    assert found.novelty.evidence[0].run == run


def test_the_same_setting_in_words_is_known_from_the_code(model: Git, judge: Stub) -> None:
    run = record(MODEL.replace("0.04", "0.4"), description="a try")
    plan = Plan(description="LR 4e-1", base=model("rev-parse", "HEAD"))
    judge.outcomes[run] = "failure"
    found = check(judge, plan)
    assert (found.novelty.classification, found.policy) == ("repeat_failure", "block")
    assert found.novelty.evidence[0].level == "structure"
    assert found.novelty.evidence[0].lines == ("lr = 0.4",)
    judge.outcomes[run] = "success"
    assert check(judge, plan).novelty.classification == "known_success"
    judge.outcomes[run] = "unresolved"
    assert check(judge, plan).policy == "allow"


def test_a_success_of_the_family_is_followed_up(model: Git, judge: Stub) -> None:
    run = record(MODEL.replace("0.04", "0.4"), family="rates")
    judge.outcomes[run] = "success"
    plan = Plan(description="lr 0.4", family="rates", base=model("rev-parse", "HEAD"))
    assert check(judge, plan).novelty.classification == "incremental_followup"


def test_words_that_say_more_than_a_setting_are_no_block(model: Git, judge: Stub) -> None:
    judge.outcomes[record(MODEL.replace("0.04", "0.4"))] = "failure"
    plan = Plan(description="lr 0.4", base=model("rev-parse", "HEAD"))
    assert check(judge, plan, hypothesis="it learns faster, at first").policy == "block"
    assert check(judge, plan, description="lr 0.4 for embeddings").policy == "allow"
    assert check(judge, plan, description="embedding lr 0.4").policy == "allow"


def test_ten_times_the_rate_is_another_value(model: Git, judge: Stub) -> None:
    judge.outcomes[record(MODEL.replace("0.04", "0.4"))] = "failure"
    found = check(judge, changed(MODEL.replace("0.04", "0.05")))
    assert (found.novelty.classification, found.policy) == ("novel", "allow")


def test_further_in_a_direction_that_failed_and_the_other_direction(
    model: Git, judge: Stub
) -> None:
    judge.outcomes[record(MODEL.replace("0.04", "0.4"))] = "failure"
    further = check(judge, changed(MODEL.replace("0.04", "0.8")))
    assert (further.novelty.classification, further.policy) == ("repeat_failure", "block")
    assert "further in a direction that failed" in further.sentence
    assert check(judge, changed(MODEL.replace("0.04", "0.01"))).policy == "allow"


def test_between_two_failures_is_an_interpolation(model: Git, judge: Stub) -> None:
    judge.outcomes[record(MODEL.replace("0.04", "0.1"))] = "failure"
    judge.outcomes[record(MODEL.replace("0.04", "0.8"))] = "failure"
    found = check(judge, changed(MODEL.replace("0.04", "0.4")))
    assert (found.novelty.classification, found.policy) == ("interpolation", "allow")
    assert len(found.novelty.evidence) == 2


def test_a_success_further_out_says_that_the_direction_is_open(model: Git, judge: Stub) -> None:
    judge.outcomes[record(MODEL.replace("0.04", "0.1"))] = "failure"
    judge.outcomes[record(MODEL.replace("0.04", "0.8"))] = "success"
    assert check(judge, changed(MODEL.replace("0.04", "0.9"))).policy == "allow"


def test_parameters_are_compared_with_those_of_the_champion(model: Git, judge: Stub) -> None:
    champion = record(None, {"lr": 0.1, "depth": 4})
    failed = record(None, {"lr": 0.4, "depth": 4})
    judge.champion_run = bytes.fromhex(champion)
    judge.outcomes[failed] = "failure"
    tree, head = planned_tree(Repository.discover(), Limits())
    plan = Plan(tree=tree, base=head, parameters={"lr": 0.8, "depth": 4})
    found = check(judge, plan)
    assert (found.novelty.classification, found.policy) == ("repeat_failure", "block")
    assert found.novelty.evidence[0].run == failed
    assert check(judge, plan, parameters={"lr": 0.05, "depth": 4}).policy == "allow"
    same = check(judge, plan, parameters={"lr": 0.4, "depth": 4})
    assert same.novelty.classification == "duplicate_run"


def test_code_alone_does_not_tell_which_parameters_are_meant(model: Git, judge: Stub) -> None:
    for depth in (3, 4):
        record(MODEL.replace("0.04", "0.4"), {"depth": depth})
    found = check(judge, changed(MODEL.replace("0.04", "0.4")))
    assert (found.novelty.classification, found.policy) == ("novel", "allow")
    assert "--param" in found.sentence


def test_most_of_a_change_is_a_near_patch_and_never_blocks(model: Git, judge: Stub) -> None:
    lines = "".join(f"    h = layer{i}(h, width={i}, scale=x)\n" for i in range(12))
    judge.outcomes[record(MODEL.replace("    return mlp", f"{lines}    return mlp"))] = "failure"
    more = MODEL.replace("    return mlp", f"{lines}    h = last(h)\n    return mlp")
    found = check(judge, changed(more))
    assert (found.novelty.classification, found.policy) == ("repeat_failure", "caution")
    assert found.novelty.evidence[0].level == "near patch"
    assert found.novelty.evidence[0].score >= 0.6


def test_words_alone_never_block(model: Git, judge: Stub) -> None:
    text = "rotary embeddings for the queries of every second layer"
    judge.outcomes[record(MODEL.replace("mlp(h)", "mlp(h) + x"), description=text)] = "failure"
    for mode in POLICIES:
        found = check(judge, Plan(description=text.replace("every", "each")), mode)
        assert found.novelty.classification == "repeat_failure"
        assert found.policy == "caution"
        assert found.novelty.evidence[0].level == "text"


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("increase the warmup of the matrices", "shorten the warmup of the matrices"),
        ("SwiGLU in the mlp", "GeGLU in the mlp"),
        ("set matrix lr 0.04 for the head", "set matrix lr 0.4 for the head"),
    ],
)
def test_ideas_that_differ_in_what_counts_are_told_apart(
    model: Git, judge: Stub, one: str, two: str
) -> None:
    judge.outcomes[record(MODEL.replace("mlp(h)", "mlp(h) + x"), description=one)] = "failure"
    assert check(judge, Plan(description=two)).novelty.classification == "novel"
    assert check(judge, Plan(description=one)).novelty.classification == "repeat_failure"


def test_tags_are_words_too(model: Git, judge: Stub) -> None:
    text = MODEL.replace("mlp(h)", "mlp(h) + x")
    judge.outcomes[record(text, description="queries", tags=["rotary", "sparse"])] = "failure"
    plan = Plan(description="queries", tags=("rotary", "sparse"))
    assert check(judge, plan).novelty.classification == "repeat_failure"
    assert check(judge, plan, tags=()).novelty.classification == "novel"


def test_a_run_that_is_not_there_is_an_error(model: Git, judge: Stub) -> None:
    run = Memory.open().get(record())
    run.id = "1" * 40
    with pytest.raises(RunNotFoundError):
        guard(judge).check_run(run)


def test_a_crash_of_the_code_is_a_failure(model: Git, judge: Stub) -> None:
    error = Failure("OutOfMemoryError", "CUDA out of memory. Tried to allocate 2 GiB", "")
    run = record(MODEL.replace("0.04", "0.4"), status="crashed", error=error)
    judge.outcomes[run] = "crash"
    found = check(judge, Plan(description="lr 0.4", base=model("rev-parse", "HEAD")))
    assert found.novelty.classification == "repeat_failure"


def test_a_run_is_judged_by_those_before_it(model: Git, judge: Stub) -> None:
    first = record(MODEL.replace("0.04", "0.4"))
    second = record(MODEL.replace("0.04", "0.4"))
    memory = Memory.open()
    judged = guard(judge)
    assert judged.check_run(memory.get(first)).novelty.classification == "novel"
    found = judged.check_run(memory.get(second))
    assert found.novelty.classification == "duplicate_run"
    assert [each.run for each in found.novelty.evidence] == [first]


def test_every_class_has_a_policy_in_every_mode() -> None:
    assert POLICIES["exploit"]["repeat_failure"] == "block"
    assert POLICIES["explore"]["known_success"] == "block"
    assert POLICIES["replicate"]["duplicate_run"] == "allow"
    assert {len(table) for table in POLICIES.values()} == {8}
    assert all(table["retest_on_new_base"] == "caution" for table in POLICIES.values())


def test_what_was_read_once_is_remembered(
    model: Git, judge: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record(MODEL.replace("0.04", "0.4"))
    plan = changed(MODEL.replace("0.04", "0.4  # same"))
    assert check(judge, plan).novelty.evidence[0].run == run
    read: list[bytes] = []
    monkeypatch.setattr(Changes, "_remember", lambda _, changes: read.extend(changes))
    assert check(judge, plan).novelty.evidence[0].run == run
    assert read == []


def test_other_aliases_make_what_is_remembered_stale(model: Git, judge: Stub) -> None:
    run = record(MODEL.replace("WARMUP = 100", "WARMUP = 500"), description="a try")
    judge.outcomes[run] = "failure"
    plan = Plan(description="slowness 500", base=model("rev-parse", "HEAD"))
    assert check(judge, plan).novelty.classification == "novel"
    model("config", "exprag.alias", "slowness=warmup")
    assert check(judge, plan).novelty.classification == "repeat_failure"


def test_a_damaged_cache_is_made_anew(model: Git, judge: Stub) -> None:
    record(MODEL.replace("0.04", "0.4"))
    memory = Memory.open()
    plan = changed(MODEL.replace("0.04", "0.4  # same"))
    check(judge, plan)
    path = memory.repository.home / NAME
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)
    goal = goal_metric(memory)
    found = novelty.check(memory, plan, goal)
    assert found.novelty.classification == "duplicate_run"


def test_a_cache_that_cannot_be_written_goes_on_in_memory(model: Git, judge: Stub) -> None:
    record(MODEL.replace("0.04", "0.4"))
    cache = open_in_memory()
    cache.execute("PRAGMA query_only = ON")
    plan = changed(MODEL.replace("0.04", "0.4  # same"))
    assert guard(judge, cache).check(plan).novelty.classification == "duplicate_run"
    assert cache.execute("SELECT count(*) FROM change").fetchone() == (0,)


def test_work_is_done_again_without_a_cache_that_is_locked(model: Git) -> None:
    calls: list[sqlite3.Connection] = []

    def work(cache: sqlite3.Connection) -> int:
        calls.append(cache)
        if len(calls) == 1:
            raise sqlite3.OperationalError("database is locked")
        return len(calls)

    repository = Repository.discover()
    assert with_cache(repository, work) == 2
    assert (repository.home / NAME).exists()
