"""The registry: champion, challengers, what is open, what broke, what it cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from gitexp.errors import UsageError
from gitexp.git.history import EMPTY_TREE
from gitexp.records.facts import EndFact, Failure, RemarkFact, RunFact, TombstoneFact
from gitexp.research.goal import goal_metric
from gitexp.research.overview.registry import Registry, load
from tests.full_store import BEGIN, BY, END, write_facts
from tests.lab import Lab, summary
from tests.support import Git

TAIL = (
    'Traceback (most recent call last):\n  File "/r/train.py", line 3, in main\n    x\n'
    "ValueError: bad"
)


@pytest.fixture
def lab(repo: Git) -> Lab:
    repo("config", "exprag.metric", "loss")
    return Lab(repo)


def known(lab: Lab) -> Registry:
    return load(lab.memory())


def measured(lab: Lab) -> dict[str, str]:
    """Record a baseline whose noise is known, what is far better, and what is far worse."""
    return {
        "base": often(lab, 1.0, code="a = 1\n", name="baseline"),
        "good": often(lab, 0.5, code="a = 2\n", name="good"),
        "bad": often(lab, 2.0, code="a = 3\n", name="bad", description="worse idea"),
    }


def often(lab: Lab, value: float, **about: Any) -> str:
    """Record runs of one configuration that differ by little; return the first."""
    noise = (0.0, 0.002, -0.002, 0.001, -0.001, 0.002)
    runs = [lab.run(value + each, seed=seed, **about) for seed, each in enumerate(noise)]
    return runs[0]


def twice(lab: Lab, value: float, **about: Any) -> str:
    """Record two runs of one configuration that differ by little; return the first."""
    first = lab.run(value, seed=1, **about)
    lab.run(value + 0.001, seed=2, **about)
    return first


def test_without_runs_there_is_nothing_to_say(lab: Lab) -> None:
    found = known(lab)
    assert (found.runs, found.champion, found.queue) == (0, None, ())
    assert "loss" in (found.no_goal or "")


def test_the_champion_has_the_best_posterior_mean_and_an_interval(lab: Lab) -> None:
    runs = measured(lab)
    found = known(lab)
    assert found.champion is not None
    assert found.champion.run.run == runs["good"]
    assert (found.champion.runs, found.provisional) == (6, False)
    low, high = found.champion.interval
    assert low < found.champion.mean < high
    assert found.champion.mean == pytest.approx(0.5, abs=0.1)


def test_the_challengers_follow_with_how_likely_they_are_better(lab: Lab) -> None:
    runs = measured(lab)
    found = known(lab)
    assert [each.run.run for each in found.challengers] == [runs["base"], runs["bad"]]
    versus = found.challengers[0].versus
    assert versus is not None
    assert versus.champion == runs["good"]
    assert versus.p_better < 0.05


def test_one_run_of_each_is_never_more_than_provisional(lab: Lab) -> None:
    lab.run(1.0, code="a = 1\n")
    lab.run(0.9, code="a = 2\n")
    found = known(lab)
    assert found.provisional
    assert found.champion is not None
    assert found.noise is not None
    assert not found.noise.measured
    step = found.queue[0]
    assert (step.action, step.source) == ("measure_noise", "registry")
    assert step.command == f"git exp replicate {found.champion.run.run[:12]} -n 3"


def test_what_may_be_better_is_unresolved_and_what_is_worse_has_failed(lab: Lab) -> None:
    runs = measured(lab)
    near = lab.run(0.501, code="a = 4\n")
    found = known(lab)
    assert [each.run.run for each in found.unresolved] == [near]
    assert [each.run.run for each in found.failed] == [runs["bad"]]


@pytest.mark.parametrize("values", [(0.0, -1.0), (-1.0, -2.0), (1.0, 0.0)])
def test_zero_and_negative_values_are_values(lab: Lab, values: tuple[float, float]) -> None:
    worse, better = (twice(lab, value, code=f"a = {value}\n") for value in values)
    champion = known(lab).champion
    assert champion is not None
    assert (champion.run.run, champion.run.value) == (better, min(values))
    assert worse != better


def test_higher_is_better_where_the_settings_say_so(lab: Lab) -> None:
    lab.git("config", "exprag.goal", "max")
    twice(lab, 1.0, code="a = 1\n")
    best = twice(lab, 2.0, code="a = 2\n")
    found = known(lab)
    assert found.champion is not None
    assert found.champion.run.run == best
    assert found.goal is not None
    assert found.goal.goal == "max"


def test_a_metric_that_is_asked_for_counts(lab: Lab) -> None:
    twice(lab, 1.0, code="a = 1\n", metric="acc")
    best = twice(lab, 2.0, code="a = 2\n", metric="acc")
    memory = lab.memory()
    found = load(memory, goal_metric(memory, "acc", lower=False))
    assert found.champion is not None
    assert found.champion.run.run == best


def test_values_that_are_not_finite_win_nothing(lab: Lab) -> None:
    best = lab.run(1.0, code="a = 1\n")
    lab.run(float("nan"), code="a = 2\n")
    lab.run(float("-inf"), code="a = 3\n")
    found = known(lab)
    assert found.champion is not None
    assert found.champion.run.run == best
    assert (found.runs, found.challengers) == (3, ())


def test_where_all_runs_crashed_there_is_no_champion(lab: Lab) -> None:
    for i in range(3):
        lab.run(code=f"a = {i}\n", status="crashed", error=Failure("ValueError", "bad", TAIL))
    found = known(lab)
    assert (found.champion, found.challengers, found.noise) == (None, (), None)
    (cluster,) = found.crashes
    assert (cluster.count, cluster.own_fault, cluster.recent) == (3, True, True)
    assert [step.action for step in found.queue] == ["investigate_crash"]


def test_without_a_goal_metric_everything_else_is_told(lab: Lab) -> None:
    lab.git("config", "--unset", "exprag.metric")
    lab.run()
    found = known(lab)
    assert (found.goal, found.runs) == (None, 1)
    assert "No run has a metric yet." in (found.no_goal or "")
    assert found.spend.seconds == 60


def test_a_setting_that_cannot_be_understood_is_said(lab: Lab) -> None:
    lab.run(1.0)
    lab.git("config", "exprag.by", "luck")
    with pytest.raises(UsageError):
        known(lab)


def test_a_run_that_is_withdrawn_is_not_the_champion(lab: Lab) -> None:
    second = lab.run(1.0, code="a = 1\n")
    best = lab.run(0.5, code="a = 2\n")
    write_facts(best, TombstoneFact(time=END, by=BY))
    found = known(lab)
    assert found.champion is not None
    assert (found.champion.run.run, found.runs) == (second, 1)


def test_two_runs_on_one_commit_with_other_parameters_are_two(lab: Lab) -> None:
    lab.commit("a = 1\n")
    twice(lab, 1.0, parameters={"lr": 0.1})
    best = twice(lab, 0.5, parameters={"lr": 0.2})
    found = known(lab)
    assert found.champion is not None
    assert found.champion.run.run == best
    assert len(found.challengers) == 1


def test_clocks_that_jump_change_no_champion(lab: Lab) -> None:
    now = datetime.now(UTC)
    lab.run(1.0, code="a = 1\n", started=now + timedelta(days=400))
    lab.run(1.001, code="a = 1\n", seed=2, started=now)
    best = twice(lab, 0.5, code="a = 2\n", started=datetime(1971, 1, 1, tzinfo=UTC))
    lab.run(0.9, code="a = 3\n", started=now)
    found = known(lab)
    assert found.champion is not None
    assert found.champion.run.run == best
    assert [share.name[:4] for share in found.spend.days] == sorted(
        share.name[:4] for share in found.spend.days
    )


def test_what_was_discarded_is_not_the_champion(lab: Lab) -> None:
    first = lab.run(1.0, code="a = 1\n")
    lab.run(0.1, code="a = 2\n", verdict="discard")
    found = known(lab)
    assert found.champion is not None
    assert found.champion.run.run == first


def test_lineages_follow_the_commits(lab: Lab) -> None:
    runs = []
    for i in range(3):
        lab.commit(f"a = {i}\n")
        runs.append(lab.run(1.0 - i / 10))
    (line,) = known(lab).lineages
    assert [run.run for run in line.path] == runs
    assert line.best is not None
    assert (line.root.run, line.best.run, line.size) == (runs[0], runs[2], 3)


def test_spend_adds_up_by_day_family_and_outcome_with_tokens(lab: Lab) -> None:
    lab.run(1.0, family="a", metadata={"tokens": 100})
    lab.run(1.0, family="a", metadata={"usage": {"input_tokens": 5, "output_tokens": 7}}, code="1")
    lab.run(status="crashed", code="2")
    spend = known(lab).spend
    assert (spend.runs, spend.seconds, spend.tokens) == (3, 180.0, 112.0)
    assert [(s.name, s.runs, s.tokens) for s in spend.families] == [
        ("a", 2, 112.0),
        ("(none)", 1, None),
    ]
    assert {s.name: s.runs for s in spend.outcomes} == {"finished": 2, "crashed": 1}
    assert sum(s.runs for s in spend.days) == 3


def comparison(champion: str, **more: Any) -> dict[str, Any]:
    known = {
        "champion": champion,
        "runs": 1,
        "champion_runs": 1,
        "mean": 1.0,
        "champion_mean": 1.0,
        "champion_value": 1.0,
        "gain": 0.0,
        "interval": (-1.0, 1.0),
        "p_better": 0.8,
        "p_matters": 0.5,
        "minimum": 0.1,
    }
    return {**known, **more}


def decide(lab: Lab, run: str, champion: str, **fields: Any) -> None:
    import msgspec

    from gitexp.records.decision import Comparison

    made = msgspec.convert(comparison(champion), Comparison)
    lab.decide(run, comparison=made, **fields)


def steps_of(lab: Lab, run: str) -> list[str]:
    return [s.action for s in known(lab).queue if s.run.run == run and s.source == "decision"]


def test_an_open_decision_is_in_the_queue_with_the_command_to_type(lab: Lab) -> None:
    champion = twice(lab, 0.9, code="a = 1\n")
    run = lab.run(1.0, code="a = 2\n")
    decide(lab, run, champion, action="replicate", priority="high")
    step = next(step for step in known(lab).queue if step.source == "decision")
    assert (step.action, step.priority, step.run.run) == ("replicate", "high", run)
    assert step.command == f"git exp replicate {run[:12]} -n 1"
    assert step.why == "what to do"


def test_a_decision_whose_action_was_taken_is_done(lab: Lab) -> None:
    champion = twice(lab, 0.9, code="a = 1\n")
    run = lab.run(1.0, code="a = 2\n")
    decide(lab, run, champion, action="replicate")
    assert steps_of(lab, run) == ["replicate"]
    lab.run(1.01, code="a = 2\n", seed=5)
    assert steps_of(lab, run) == []
    assert known(lab).stale == ()


def test_what_has_no_code_is_not_to_be_replicated_by_a_command(lab: Lab) -> None:
    imported = []
    for i in range(4):
        run = lab.git("commit-tree", EMPTY_TREE, "-m", f"imported {i}")
        begin = RunFact(
            time=BEGIN, by=BY, name="row", description=str(i), metadata={"commit": str(i)}
        )
        metrics = {"loss": summary(1.0 - i / 10)}
        end = EndFact(time=END, by=BY, status="finished", duration=0.0, metrics=metrics)
        write_facts(run, begin, end)
        imported.append(run)
    step = known(lab).queue[0]
    assert step.action == "measure_noise"
    assert step.run.run in imported
    assert step.command == f"git exp show {step.run.run[:12]}"
    assert step.why.endswith("Its code is not recorded: make it again by hand.")


def test_a_verdict_settles_a_promotion(lab: Lab) -> None:
    champion = twice(lab, 1.0, code="a = 1\n")
    run = lab.run(0.5, code="a = 2\n")
    decide(lab, run, champion, action="promote")
    assert steps_of(lab, run) == ["promote"]
    write_facts(run, RemarkFact(time=END, by=BY, verdict="keep"))
    assert steps_of(lab, run) == []


def test_a_crash_is_settled_by_a_later_run_of_its_family(lab: Lab) -> None:
    run = lab.run(code="a = 1\n", status="crashed", family="wide")
    lab.decide(run, action="investigate_crash")
    assert steps_of(lab, run) == ["investigate_crash"]
    lab.run(1.0, code="a = 2\n", family="wide")
    assert steps_of(lab, run) == []


def test_a_decision_is_stale_when_the_champion_is_another_one(lab: Lab) -> None:
    champion = twice(lab, 0.9, code="a = 1\n")
    run = lab.run(1.0, code="a = 2\n")
    decide(lab, run, champion, action="branch_followup")
    lab.run(0.1, code="a = 3\n")
    (stale,) = known(lab).stale
    assert (stale.run.run, stale.stale) == (run, "the champion is another one now")
    assert stale.command == f"git exp decide {run[:12]}"


def test_a_decision_is_stale_when_there_is_newer_evidence(lab: Lab) -> None:
    champion = twice(lab, 0.9, code="a = 1\n")
    run = lab.run(1.0, code="a = 2\n")
    decide(lab, run, champion, action="branch_followup")
    lab.run(1.01, code="a = 2\n", seed=5)
    (stale,) = known(lab).stale
    assert stale.stale == "1 more run has been made of the configuration since"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"metric": "acc"}, "runs are judged by another metric now"),
        ({"goal": "max"}, "runs are judged by another metric now"),
        ({"provisional": True}, "noise has been measured since"),
    ],
)
def test_a_decision_is_stale_when_it_was_judged_by_something_else(
    lab: Lab, fields: dict[str, Any], why: str
) -> None:
    run = twice(lab, 0.9, code="a = 1\n")
    lab.decide(run, action="promote", **fields)
    (stale,) = known(lab).stale
    assert (stale.run.run, stale.stale) == (run, why)


def test_what_was_abandoned_asks_for_nothing(lab: Lab) -> None:
    champion = twice(lab, 0.9, code="a = 1\n")
    run = lab.run(1.0, code="a = 2\n")
    decide(lab, run, champion, action="abandon", priority="low")
    assert steps_of(lab, run) == []
