"""``git exp decide``: what it prints, and what it writes."""

from __future__ import annotations

import pytest

from tests.full_store import HOSTILE, Caller
from tests.lab import Lab
from tests.support import Git


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def lab(repo: Git) -> Lab:
    repo("config", "exprag.metric", "loss")
    return Lab(repo)


def known(lab: Lab) -> str:
    """Record runs whose noise is known, and one that is far better; return that."""
    for seed in range(6):
        lab.run(1.0 + 0.001 * (seed % 3), code="a = 1\n", seed=seed, name="base")
    return lab.run(0.5, code="a = 2\n", name="better")


def test_a_decision_is_printed_and_written(lab: Lab, call: Caller) -> None:
    run = known(lab)
    done = call("decide", "better")
    assert "promote (high priority)" in done.out
    assert f"git exp verdict {run[:12]} keep" in done.out
    decision = lab.memory().get(run).decision
    assert decision is not None
    assert decision.action == "promote"


def test_a_dry_run_writes_nothing(lab: Lab, call: Caller) -> None:
    run = known(lab)
    assert not call("decide", "latest", "--dry-run", "--json").data["written"]
    assert lab.memory().get(run).decision is None


def test_json_has_the_packet_of_each_run(lab: Lab, call: Caller) -> None:
    run = known(lab)
    found = call("decide", "better", "--json").data
    assert found["written"]
    (packet,) = found["decisions"]
    assert packet["run"] == run
    assert packet["comparison"]["p_better"] > 0.95
    assert packet["noise"]["measured"]


def test_all_takes_what_is_undecided_and_then_nothing(lab: Lab, call: Caller) -> None:
    known(lab)
    rows = call("decide", "--all").out.splitlines()
    assert len(rows) == 8
    assert rows[0].split("\t") == ["run", "name", "action", "priority", "better", "why"]
    assert call("decide", "--all").out == "Every run has a decision, and none is stale.\n"
    assert call("decide", "--all", "--json").data == {"written": True, "decisions": []}


def test_markdown_prints_the_whole_packet(lab: Lab, call: Caller) -> None:
    known(lab)
    out = call("decide", "better", "--markdown", "--dry-run").out
    assert out.startswith("# Decision: promote")
    assert "## Why" in out


def test_the_direction_can_be_given(lab: Lab, call: Caller) -> None:
    known(lab)
    found = call("decide", "better", "--max", "--dry-run", "--json").data["decisions"][0]
    assert (found["goal"], found["action"]) == ("max", "abandon")


def test_a_verdict_of_a_person_stands_beside_it(lab: Lab, call: Caller) -> None:
    run = known(lab)
    call("verdict", run, "discard")
    call("decide", run)
    seen = lab.memory().get(run)
    assert seen.verdict == "discard"
    assert seen.decision is not None
    assert seen.decision.action == "abandon"


def test_text_by_others_is_made_safe(lab: Lab, call: Caller) -> None:
    lab.run(1.0, code="a = 1\n", name=HOSTILE)
    lab.run(2.0, code="a = 2\n", name=HOSTILE)
    for arguments in (["--all"], ["--all", "--markdown"]):
        out = call("decide", *arguments, "--dry-run").out
        assert "\x1b" not in out
        assert "\u202e" not in out


def test_what_to_decide_about_must_be_said(lab: Lab, call: Caller) -> None:
    known(lab)
    assert "Say which runs" in call("decide", code=2).err
    assert "Say which runs" in call("decide", "latest", "--all", code=2).err


def test_without_the_metric_it_is_said(repo: Git, call: Caller) -> None:
    Lab(repo).run(None)
    assert "No run has a metric yet" in call("decide", "latest", code=1).err


def test_a_run_in_progress_cannot_be_decided_about(lab: Lab, call: Caller) -> None:
    known(lab)
    run = lab.run(status=None)
    assert "in progress" in call("decide", run, code=1).err
