"""``git exp noise``: what is known of noise, and what a replicate would buy."""

from __future__ import annotations

import pytest

from tests.full_store import Caller
from tests.lab import Lab
from tests.support import Git


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def lab(repo: Git) -> Lab:
    repo("config", "exprag.metric", "loss")
    return Lab(repo)


def known(lab: Lab) -> list[str]:
    values = (1.0, 1.01, 0.99, 1.005, 0.995, 1.0)
    runs = [lab.run(value, code="a = 1\n", seed=i) for i, value in enumerate(values)]
    return [runs[0], lab.run(0.99, code="a = 2\n", name="near")]


def test_unmeasured_noise_is_said_and_replicates_are_proposed(lab: Lab, call: Caller) -> None:
    lab.run(1.0, code="a = 1\n")
    lab.run(0.9, code="a = 2\n")
    done = call("noise")
    assert "Noise is unmeasured" in done.out
    assert "provisional" in done.out
    assert "git exp replicate" in done.err
    assert "-n 3" in done.err


def test_measured_noise_has_an_interval_and_its_replicates(lab: Lab, call: Caller) -> None:
    first, near = known(lab)
    out = call("noise").out
    assert "(5 degrees of freedom; with 90% probability between" in out
    assert first[:12] in out
    assert near[:12] in out
    assert "(champion)" in out


def test_json_is_complete(lab: Lab, call: Caller) -> None:
    first, near = known(lab)
    found = call("noise", "--json").data
    assert (found["metric"], found["goal"]) == ("loss", "min")
    assert found["noise"]["measured"]
    assert found["noise"]["degrees"] == 5
    low, high = found["interval"]
    assert low < found["noise"]["sd"] < high
    assert [group["run"] for group in found["groups"]] == [first]
    assert found["groups"][0]["runs"] == 6
    assert {candidate["run"] for candidate in found["candidates"]} == {first, near}
    worths = [candidate["worth"] for candidate in found["candidates"]]
    assert worths == sorted(worths, reverse=True)


def test_another_metric_and_direction_can_be_asked_for(lab: Lab, call: Caller) -> None:
    known(lab)
    assert call("noise", "loss", "--max", "--json").data["goal"] == "max"
    assert "loss2" in call("noise", "loss2", code=1).err


def test_one_run_alone_has_nothing_to_be_compared_with(lab: Lab, call: Caller) -> None:
    run = lab.run(1.0)
    done = call("noise")
    assert "Noise is unmeasured" in done.out
    assert "candidates" not in call("noise", "--json").data
    assert f"git exp replicate {run[:12]} -n 3" in done.err


def test_without_a_value_there_is_nothing_to_run_again(lab: Lab, call: Caller) -> None:
    lab.run(1.0, status="crashed")
    assert call("noise").err == ""
