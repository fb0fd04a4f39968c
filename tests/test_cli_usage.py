"""``git exp usage``: what models took, by model, run, day and session."""

from __future__ import annotations

from typing import Any

import pytest

from gitexp.experiment import Experiment
from gitexp.git.repository import Repository
from gitexp.library.library import Library, new_id
from gitexp.library.spent import together
from gitexp.records.library import Usage
from tests.json_reference import check
from tests.support import Git, gitexp, gitexp_json


def call(time: str, model: str, prompt: int, completion: int, **more: Any) -> Usage:
    about: dict[str, Any] = {"provider": "openai", "seconds": 1.5} | more
    return Usage(
        time=time,
        by="Ada <ada@example.org>",
        id=new_id(),
        model=model,
        prompt=prompt,
        completion=completion,
        **about,
    )


@pytest.fixture
def calls(repo: Git) -> list[Usage]:
    """Three calls of two models on two days; the second is of a run, the third has no price."""
    with Experiment("tried", metadata={"proposal": "a" * 16}) as run:
        run.track({"loss": 1.0})
    made = [
        call("2026-01-30T23:00:00.000000Z", "gpt-5-mini", 1000, 100, cost=0.5, session="s1"),
        call("2026-01-31T01:00:00.000000Z", "gpt-5-mini", 10, 1, cost=0.25, proposal="a" * 16),
        call("2026-01-31T02:00:00.000000Z", "my-7b", 7, 5, estimated=True, cached=6, session="s1"),
    ]
    Library(Repository.discover()).add(made)
    return made


def test_calls_are_summed_up_by_model_and_in_all(calls: list[Usage]) -> None:
    shown = gitexp_json("usage")
    assert shown["by"] == "model"
    assert shown["total"] == {
        "calls": 3,
        "prompt": 1017,
        "completion": 106,
        "cached": 6,
        "estimated": 1,
        "cost": 0.75,
        "unpriced": 1,
        "seconds": 4.5,
    }
    assert [(each["name"], each["calls"]) for each in shown["groups"]] == [
        ("gpt-5-mini", 2),
        ("my-7b", 1),
    ]
    assert "cost" not in shown["groups"][1]  # unknown is not free
    check("usage", shown)


def test_by_day_session_and_run(calls: list[Usage]) -> None:
    by_day = gitexp_json("usage", "--by", "day")["groups"]
    assert [(each["name"], each["prompt"]) for each in by_day] == [
        ("2026-01-30", 1000),
        ("2026-01-31", 17),
    ]
    by_session = {e["name"]: e["calls"] for e in gitexp_json("usage", "--by", "session")["groups"]}
    assert by_session == {"s1": 2, "(no session)": 1}
    run = gitexp_json("log")["runs"][0]["run"]
    by_run = {e["name"]: e["prompt"] for e in gitexp_json("usage", "--by", "run")["groups"]}
    assert by_run == {run: 10, "(no run)": 1007}


def test_only_calls_after_a_time(calls: list[Usage]) -> None:
    assert gitexp_json("usage", "--since", "2026-01-31")["total"]["calls"] == 2
    gitexp("usage", "--since", "some day", check=2)


def test_estimates_and_unknown_prices_are_said(calls: list[Usage]) -> None:
    text = gitexp("usage").stdout
    assert "my-7b\t1\t~7\t6\t~5\tunknown" in text
    assert "1 of 3 calls were estimated" in text
    assert "exprag.price" in text


def test_nothing_was_asked(repo: Git) -> None:
    assert gitexp("usage").stdout == "No model was asked.\n"
    assert gitexp_json("usage")["groups"] == []


def test_tokens_are_those_of_all_calls() -> None:
    calls = [call("2026-01-31T01:00:00.000000Z", "m", 3, 4), call("2026-02-01T", "m", 5, 6)]
    assert together("", calls).tokens == 18
