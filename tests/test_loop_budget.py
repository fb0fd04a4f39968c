"""Budgets are hard: they are checked before each call and each run, and hold over a resume."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

import gitexp
from gitexp.errors import UsageError
from gitexp.loop import ask
from gitexp.loop.budget import Spent, answer_tokens, fits_money, over
from gitexp.loop.journal import sessions
from gitexp.loop.plan import Budgets, require_budgets
from gitexp.loop.progress import Event
from gitexp.providers.port import ProviderError, Tokens
from tests.loop_project import (
    Speaker,
    answer,
    change,
    constant,
    known_project,
    library_of,
    loop_for,
    make_project,
    plan_for,
    resumed,
    script,
)
from tests.support import Git

SLOW = change("slow", "import random\n", "import random, time\n\ntime.sleep(60)\n")
LR = constant("LR", 0.2, old="0.10")


@pytest.fixture
def project(tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A project with a known baseline, as the current folder."""
    return known_project(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("budgets", "spent", "expected"),
    [
        (Budgets(), Spent(runs=10**6, seconds=1e9, prompt=10**9, money=1e6), None),
        (Budgets(runs=3), Spent(runs=2), None),
        (Budgets(runs=3), Spent(runs=3), "runs"),
        (Budgets(seconds=60), Spent(seconds=60.0), "time"),
        (Budgets(tokens=100), Spent(prompt=60, completion=40), "tokens"),
        (Budgets(money=1.0), Spent(money=1.0), "money"),
        (Budgets(failures=2), Spent(failures=2), "failures"),
    ],
)
def test_which_budget_is_used_up(budgets: Budgets, spent: Spent, expected: str | None) -> None:
    assert over(budgets, spent) == expected


def test_an_answer_may_have_what_is_left_of_the_tokens() -> None:
    assert answer_tokens(Budgets(), Spent(), 10**6) == 8_192
    assert answer_tokens(Budgets(tokens=5_000), Spent(prompt=1_000), 2_000) == 2_000
    assert answer_tokens(Budgets(tokens=5_000), Spent(prompt=1_000), 3_900) is None


def test_a_call_of_unknown_price_is_refused_where_money_is_limited() -> None:
    assert fits_money(Budgets(), Spent(), None)
    assert fits_money(Budgets(money=1.0), Spent(money=0.5), 0.5)
    assert not fits_money(Budgets(money=1.0), Spent(money=0.5), 0.6)
    with pytest.raises(UsageError, match="price of this model is not known"):
        fits_money(Budgets(money=1.0), Spent(), None)


@pytest.mark.parametrize(
    "budgets", [Budgets(runs=0), Budgets(seconds=-1.0), Budgets(money=float("nan"))]
)
def test_a_budget_is_a_number_above_0(budgets: Budgets) -> None:
    with pytest.raises(UsageError, match="which is none"):
        require_budgets(budgets)


def test_no_run_is_begun_beyond_the_budget_of_runs(repo: Git, tmp_path: Path) -> None:
    make_project(repo)
    result = loop_for(repo, plan_for(budgets=Budgets(runs=2)), script(tmp_path, LR)).run()
    assert result.reason == "runs"
    assert len(result.runs) == len(gitexp.open().runs()) == 2


def test_more_runs_can_be_given_to_a_session_that_has_used_them_up(
    repo: Git, tmp_path: Path
) -> None:
    make_project(repo)
    first = loop_for(repo, plan_for(budgets=Budgets(runs=1)), script(tmp_path, LR)).run()
    provider = script(tmp_path, LR)
    second = resumed(repo, first.session, provider, budgets=Budgets(runs=2)).run()
    assert second.reason == "runs"
    assert len(second.runs) == len(gitexp.open().runs()) == 2
    assert second.runs[:1] == first.runs
    third = resumed(repo, first.session, script(tmp_path), budgets=Budgets(runs=2)).run()
    assert third.runs == second.runs


def test_tokens_end_a_session_before_the_call_that_would_not_fit(project: Git) -> None:
    speaker = Speaker("no edits")
    plan = plan_for(budgets=Budgets(tokens=6_000, failures=100))
    result = loop_for(project, plan, speaker).run()
    assert result.reason == "tokens"
    assert 2 <= len(speaker.requests) <= 4
    assert result.spent.tokens == 1_100 * len(speaker.requests)
    assert result.spent.tokens <= 6_000
    assert all(request.max_tokens < 6_000 for request in speaker.requests)
    assert len(library_of(project).usages()) == len(speaker.requests)


def test_money_ends_a_session_before_the_call_that_could_cost_too_much(project: Git) -> None:
    project("config", "exprag.price", "gpt-4o-mini=10,10,100")
    speaker = Speaker("no edits")
    result = loop_for(project, plan_for(budgets=Budgets(money=0.9, failures=100)), speaker).run()
    assert result.reason == "money"
    assert len(speaker.requests) == 3
    assert result.spent.money == pytest.approx(0.06)


def test_an_unknown_price_with_a_budget_of_money_stops_before_anything_is_done(
    repo: Git,
) -> None:
    make_project(repo)
    speaker = Speaker("no edits", model="home-made")
    loop = loop_for(repo, plan_for(budgets=Budgets(money=1.0)), speaker)
    with pytest.raises(UsageError, match="the price of this model is not known") as caught:
        loop.run()
    assert "exprag.price" in (caught.value.hint or "")
    assert speaker.requests == []
    assert gitexp.open().runs() == []
    assert sessions(gitexp.open().repository) == []


def test_a_run_is_ended_when_its_time_is_up_and_counts_as_a_failure(
    project: Git, tmp_path: Path
) -> None:
    plan = plan_for(budgets=Budgets(run_seconds=1.0, failures=1))
    result = loop_for(project, plan, script(tmp_path, SLOW, LR)).run()
    assert result.reason == "failures"
    run = gitexp.open().get(result.runs[0])
    assert run.status == "timeout"
    assert result.failed == 1


def test_the_time_of_a_session_ends_a_run_which_is_made_again_with_more_time(
    project: Git, tmp_path: Path
) -> None:
    slow = change("slow", "import random\n", "import random, time\n\ntime.sleep(3)\n")
    plan = plan_for(budgets=Budgets(seconds=2.5))
    first = loop_for(project, plan, script(tmp_path, slow)).run()
    assert first.reason == "time"
    assert [gitexp.open().get(run).status for run in first.runs] == ["interrupted"]
    again = resumed(project, first.session, script(tmp_path), budgets=Budgets(seconds=60.0)).run()
    assert again.reason == "exhausted"
    assert [gitexp.open().get(run).status for run in again.runs] == ["interrupted", "finished"]
    assert again.spent.seconds >= first.spent.seconds + 3


def test_time_between_sittings_is_not_counted(project: Git, tmp_path: Path) -> None:
    first = loop_for(project, plan_for(), script(tmp_path)).run()
    time.sleep(1.2)
    second = resumed(project, first.session, script(tmp_path)).run()
    between = second.spent.seconds - first.spent.seconds
    assert 0 <= between < 1.2


def test_failures_count_in_a_row_only(project: Git, tmp_path: Path) -> None:
    width = constant("WIDTH", 16, old=8)
    provider = script(tmp_path, "?", LR, "?", width, "?", "?", "never asked for")
    result = loop_for(project, plan_for(budgets=Budgets(failures=2)), provider).run()
    assert result.reason == "failures"
    assert result.proposals == 6
    assert result.invalid == 4


def test_a_provider_that_fails_for_a_while_is_asked_again(
    project: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "PAUSE_S", 0.01)
    busy = ProviderError("The endpoint is busy.", retryable=True, tokens=Tokens(50, 0))
    speaker = Speaker(busy, busy, answer(("LR = 0.10", "LR = 0.2")))
    events: list[Event] = []
    plan = plan_for(budgets=Budgets(runs=1))
    result = loop_for(project, plan, speaker, on_event=events.append).run()
    assert len(result.kept) == 1
    assert len([event for event in events if event.kind == "wait"]) == 2
    assert result.spent.calls == 3
    assert result.spent.tokens == 1_200
    assert [usage.prompt for usage in library_of(project).usages()] == [50, 50, 1_000]


def test_a_provider_that_goes_on_failing_ends_the_session(
    project: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "PAUSE_S", 0.001)
    speaker = Speaker(ProviderError("The endpoint is busy.", retryable=True))
    result = loop_for(project, plan_for(), speaker).run()
    assert result.reason == "provider"
    assert result.error is not None
    assert result.error.message == "The endpoint is busy."
    assert len(speaker.requests) == ask.ATTEMPTS


def test_a_provider_that_refuses_is_not_asked_again(project: Git) -> None:
    speaker = Speaker(ProviderError("The key is not valid.", "Look at it."))
    result = loop_for(project, plan_for(), speaker).run()
    assert result.reason == "provider"
    assert len(speaker.requests) == 1
    assert result.error is not None
    assert result.error.hint == "Look at it."


def test_waiting_for_a_provider_does_not_outlast_the_session(
    project: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ask, "PAUSE_S", 1_000.0)
    speaker = Speaker(ProviderError("The endpoint is busy.", retryable=True))
    result = loop_for(project, plan_for(budgets=Budgets(seconds=30.0)), speaker).run()
    assert result.reason == "time"
    assert len(speaker.requests) == 1
