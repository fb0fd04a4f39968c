"""Decisions: the rules, row by row, and the lines that are written."""

from __future__ import annotations

import math
import random
import re
from typing import Any

import msgspec
import pytest

from gitexp.errors import GitexpError
from gitexp.git.repository import Repository
from gitexp.records.decision import DecisionFact, Novelty
from gitexp.records.facts import Failure, decode_fact, encode_fact
from gitexp.research import decisions
from gitexp.research.belief.posterior import Posterior
from gitexp.research.goal import GoalMetric
from gitexp.research.rules import Case, judge
from tests.lab import Lab
from tests.observed import HIGHER, LOWER, Log, known_noise
from tests.support import Git

TIME = "2026-01-31T12:00:00.000000Z"
BY = "Ada <ada@example.org>"


def judged(
    log: Log, run: int = -1, goal: GoalMetric = LOWER, document: Any = None, **known: Any
) -> DecisionFact:
    """Judge a run of a log, the latest by default."""
    about = {"run": log.runs[run].run.hex(), "status": "finished"} | (document or {})
    return judge(Case(about, log.fit(goal), TIME, BY, **known))


def started(noise: bool = True) -> Log:
    log = Log()
    if noise:
        known_noise(log)
    else:
        log.add("start", 1.0)
    return log


def test_out_of_memory_is_to_be_fixed_and_tried_again() -> None:
    log = started()
    log.add("big", None, "start", crashed=True)
    error = {"type": "RuntimeError", "message": "CUDA out of memory. Tried", "tail": ""}
    made = judged(log, document={"status": "failed", "error": error})
    assert (made.action, made.priority) == ("fix_and_retry", "high")
    assert made.comparison is None
    assert made.value is None
    assert made.signature


def test_another_crash_is_to_be_looked_into() -> None:
    log = started()
    log.add("odd", None, "start", crashed=True)
    error = {"type": "ValueError", "message": "memory of an elephant", "tail": ""}
    made = judged(log, document={"status": "failed", "error": error, "hypothesis": "helps"})
    assert (made.action, made.hypothesis_status) == ("investigate_crash", "inconclusive")


def test_a_run_that_was_stopped_says_nothing_of_the_idea() -> None:
    log = started()
    log.add("late", 0.1, "start", crashed=True)
    made = judged(log, document={"status": "timeout"})
    assert made.action == "investigate_crash"
    assert "untested" in made.next_action


def test_what_a_person_calls_a_crash_is_one() -> None:
    log = started()
    log.add("odd", 0.5, "start", verdict="crash")
    assert judged(log).action == "investigate_crash"


def test_a_run_without_the_metric_is_to_be_looked_into() -> None:
    log = started()
    log.add("nan", None, "start")
    made = judged(log)
    assert (made.action, made.priority, made.value) == ("investigate_crash", "high", None)
    assert "no finite value of loss" in made.summary


def test_what_looks_better_while_noise_is_unmeasured_is_never_promoted() -> None:
    log = started(noise=False)
    for i in range(8):
        log.add(f"c{i}", 1.1 + 0.05 * i, "start")
    log.add("good", 0.001, "start")
    made = judged(log, document={"hypothesis": "it helps"})
    assert made.action in ("measure_noise", "replicate")
    assert made.provisional
    assert made.noise is not None
    assert not made.noise.measured
    assert made.hypothesis_status == "inconclusive"
    assert any("Noise is unmeasured" in sentence for sentence in made.rationale)


def test_the_first_run_asks_for_the_noise_and_a_known_one_for_ideas() -> None:
    assert judged(started(noise=False)).action == "measure_noise"
    assert judged(started()).action == "branch_followup"


@pytest.mark.parametrize(
    ("value", "actions"),
    [
        (0.90, {"promote"}),
        (0.978, {"replicate", "replicate_champion"}),
        (0.998, {"retry", "abandon"}),
        (1.2, {"abandon"}),
    ],
)
def test_the_action_goes_by_the_probability(value: float, actions: set[str]) -> None:
    log = started()
    for i in range(6):
        log.add(f"null {i}", 1 + 0.002 * i, "start")
    log.add("new", value, "start")
    made = judged(log)
    assert made.action in actions
    found = made.comparison
    assert found is not None
    low, high = {0.90: (0.95, 1), 0.978: (0.75, 0.95), 0.998: (0.2, 0.75), 1.2: (0, 0.2)}[value]
    assert low <= found.p_better <= high
    assert not made.provisional


def test_higher_is_better_is_the_mirror() -> None:
    log = started()
    log.add("new", 0.90, "start")
    mirrored = Log()
    mirrored.runs = [run._replace(value=-(run.value or 0.0)) for run in log.runs]
    one, other = judged(log), judged(mirrored, goal=HIGHER)
    assert one.action == other.action == "promote"
    assert (one.goal, other.goal) == ("min", "max")
    assert one.comparison is not None
    assert other.comparison is not None
    assert one.comparison.gain == pytest.approx(other.comparison.gain)


@pytest.mark.parametrize("center", [0.0, -1.0, 0.05])
def test_zero_and_negative_values_are_values(center: float) -> None:
    log = Log()
    known_noise(log, center=center)
    log.add("new", center - 0.1, "start")
    assert judged(log).action == "promote"


def test_a_gain_over_a_base_that_does_not_lead_is_tested_on_what_leads() -> None:
    log = started()
    log.many("leader", [0.5, 0.501, 0.499], "start")
    log.add("new", 0.9, "start")
    made = judged(log, document={"hypothesis": "helps"})
    assert made.action == "retest_on_new_base"
    assert made.hypothesis_status == "supported"
    assert made.base == log.runs[0].run.hex()
    assert any("its own base" in sentence for sentence in made.rationale)


def test_a_step_to_the_champion_is_not_to_be_tested_on_it() -> None:
    log = started()
    log.add("step", 0.9, "start")
    log.many("leader", [0.5, 0.501, 0.499], "step")
    made = judged(log, -4)
    assert made.action == "abandon"
    assert "derived from this run" in made.summary


def test_the_guards_word_counts_for_a_retest() -> None:
    log = started()
    log.many("leader", [0.94, 0.941, 0.939], "start")
    log.add("side", 0.97, "start")
    made = judged(log, novelty=Novelty("retest_on_new_base"))
    assert made.action == "retest_on_new_base"
    assert made.novelty == Novelty("retest_on_new_base")


def test_what_a_person_discarded_is_let_go_however_good() -> None:
    log = started()
    log.add("new", 0.5, "start", verdict="discard")
    made = judged(log)
    assert (made.action, made.priority) == ("abandon", "low")
    assert made.comparison is not None
    assert made.comparison.p_better > 0.9
    assert any("verdict on the run is discard" in sentence for sentence in made.rationale)


def test_a_line_of_ideas_that_succeeded_is_gone_on_with() -> None:
    log = started()
    for i in range(8):
        log.add(f"null {i}", 1 + 0.001 * i, "start")
    log.add("big", 0.7, "start", duration=60.0)
    log.add("new", 0.702, "big", duration=60_000.0)
    plain, winning = judged(log), judged(log, in_winning_family=True)
    assert plain.comparison is not None
    assert 0.2 <= plain.comparison.p_better < 0.75
    assert (plain.action, winning.action) == ("abandon", "branch_followup")


def test_a_champion_that_is_known_less_well_is_run_again_itself() -> None:
    log = started()
    log.add("leader", 0.9, "start")
    log.many("new", [0.884, 0.886, 0.888, 0.885, 0.887, 0.886, 0.884, 0.888], "leader")
    made = judged(log)
    assert made.comparison is not None
    if 0.75 <= made.comparison.p_better < 0.95:
        assert made.action == "replicate_champion"
    else:
        assert made.action == "promote"


def test_the_rationale_names_the_numbers_and_no_id_in_full() -> None:
    log = started()
    log.add("new", 0.985, "start")
    made = judged(log)
    text = " ".join([made.summary, made.next_action, *made.rationale])
    assert "P(better than" in text
    assert "standard deviation" in text
    assert "90% probability" in text
    assert not re.search(r"[0-9a-f]{13,}", text)


def test_a_run_in_progress_is_not_judged() -> None:
    log = started()
    log.add("new", 0.9, "start", ended=False)
    with pytest.raises(GitexpError, match="in progress"):
        judged(log)
    with pytest.raises(GitexpError, match="not among"):
        judge(Case({"run": "f" * 40}, log.fit(), TIME, BY))


@pytest.mark.parametrize("value", [0.9, 1.0, None, 1e160, -1e9, 1e30])
def test_every_packet_is_a_line_that_can_be_read_back(value: float | None) -> None:
    log = started()
    log.add("new", value, "start")
    made = judged(log)
    assert decode_fact(encode_fact(made)) == made
    numbers = [made.comparison, made.noise]
    for each in numbers:
        for item in msgspec.to_builtins(each).values() if each else ():
            assert not isinstance(item, float) or math.isfinite(item)


def test_a_decision_is_stale_once_the_run_has_been_overtaken() -> None:
    log = started()
    run = log.add("new", 0.9, "start").run.hex()
    made = judged(log)

    def is_stale(posterior: Posterior) -> bool:
        return decisions.stale_because(made, run, posterior) is not None

    assert not is_stale(log.fit())
    log.add("unrelated", 1.5, "start")
    assert not is_stale(log.fit())
    log.add("new", 0.91, "start")
    assert is_stale(log.fit())
    log.runs.pop()
    log.many("better", [0.5, 0.5001], "new")
    assert is_stale(log.fit())
    assert is_stale(started().fit(HIGHER))


def test_a_provisional_decision_is_stale_once_noise_is_measured() -> None:
    log = started(noise=False)
    run = log.add("new", 0.9, "start").run.hex()
    made = judged(log)
    log.add("start", 1.01)
    assert decisions.stale_because(made, run, log.fit()) == "noise has been measured since"


@pytest.fixture
def lab(repo: Git) -> Lab:
    repo("config", "exprag.metric", "loss")
    return Lab(repo)


def test_a_run_of_a_repository_is_decided_about_and_the_line_stands_beside_it(lab: Lab) -> None:
    for seed in range(6):
        lab.run(1.0 + 0.001 * (seed % 3), code="a = 1\n", seed=seed)
    run = lab.run(0.5, code="a = 2\n", hypothesis="two is better", family="a")
    memory = lab.memory()
    made = decisions.decide(memory, memory.get(run))
    assert made.action == "promote"
    assert made.hypothesis_status == "supported"
    assert made.by == "Ada Lovelace <ada@example.org>"
    decisions.write_decision(Repository.discover(), run, made)
    again = lab.memory().get(run)
    assert again.decision == made
    assert again.status == "finished"


def test_a_repository_without_the_metric_is_told_so(lab: Lab) -> None:
    run = lab.run(1.0, metric="other")
    memory = lab.memory()
    with pytest.raises(GitexpError, match="loss"):
        decisions.decide(memory, memory.get(run))


def test_a_crash_of_a_repository_has_its_signature(lab: Lab) -> None:
    lab.run(1.0)
    error = Failure("ValueError", "bad shape (3, 4)", "")
    run = lab.run(status="failed", error=error, code="a = 5\n")
    memory = lab.memory()
    made = decisions.decide(memory, memory.get(run))
    assert made.action == "investigate_crash"
    assert "ValueError" in (made.signature or "")


def test_deciding_again_takes_the_runs_without_a_decision_or_with_a_stale_one(lab: Lab) -> None:
    first = lab.run(1.0, code="a = 1\n", seed=1)
    made = decisions.decide_again(lab.memory())
    assert list(made) == [first]
    assert made[first].novelty is not None
    decisions.write_decisions(Repository.discover(), made)
    assert decisions.decide_again(lab.memory()) == {}
    second = lab.run(1.01, code="a = 1\n", seed=2)
    assert set(decisions.decide_again(lab.memory())) == {first, second}


def test_a_run_that_is_not_among_the_latest_and_best_is_decided_about_too(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = lab.run(3.0, code="a = 1\n")
    lab.run(1.0, code="a = 2\n")
    lab.run(2.0, code="a = 3\n")
    monkeypatch.setattr(decisions, "_NEAR", (1, 1))
    memory = lab.memory()
    assert decisions.decide(memory, memory.get(old)).value == 3.0


def test_a_better_value_is_never_let_go_while_noise_is_unmeasured(lab: Lab) -> None:
    for i, value in enumerate((1.0, 1.3, 1.2, 1.25)):  # changes that were losses so far
        lab.run(value, code=f"a = {i}\n")
    run = lab.run(0.99, code="a = 9\n")
    memory = lab.memory()
    assert decisions.decide(memory, memory.get(run)).action in ("measure_noise", "replicate")


def test_two_runs_of_one_commit_with_other_code_are_two_configurations(lab: Lab) -> None:
    one = lab.run(1.0, code="a = 1\n")
    two = lab.run(0.9, code="a = 2\n")
    memory = lab.memory()
    posterior = decisions.posterior_of(memory)
    seen = [posterior.observation(bytes.fromhex(run)) for run in (one, two)]
    assert seen[0] is not None
    assert seen[1] is not None
    assert seen[0].configuration != seen[1].configuration
    assert decisions.decide(memory, memory.get(two)).provisional


ABSURD = (0.0, -0.0, 1.0, 1e-300, 1e149, -1e149, 5e-324, 0.1 + 0.2, 0.3, 1e38, None)


@pytest.mark.parametrize("seed", range(60))
def test_whatever_was_recorded_there_is_a_packet_that_can_be_written(seed: int) -> None:
    rng = random.Random(seed)
    log = Log()
    scale = rng.choice([1, 1e-200, 1e-30, 1e100])
    for i in range(rng.randint(1, 14)):
        log.add(
            rng.choice("abcde"),
            rng.choice(ABSURD) if rng.random() < 0.5 else rng.gauss(0, 1) * scale,
            rng.choice([None, "a", "b", "zz"]),
            crashed=rng.random() < 0.1,
            verdict=rng.choice([None, None, "keep", "discard", "crash"]),
            seed=rng.choice([None, 1, 2, 1.5]),
            duration=rng.choice([0.0, 60.0, 1e9]),
            started=rng.choice([i, 0, -5, 10**15]),
        )
    for number in range(len(log.runs)):
        made = judged(log, number, rng.choice([LOWER, HIGHER]))
        assert decode_fact(encode_fact(made)) == made
        assert not (made.provisional and made.action == "promote")
