"""``git exp record``, and the decision that follows a run where there is a goal metric."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gitexp.git import refs
from gitexp.memory import Memory
from gitexp.run import Run
from tests.full_store import HOSTILE, Caller, is_harmless
from tests.support import Git

LOG = 'epoch 1\nTraceback (most recent call last):\n  File "a.py", line 1\nValueError: too deep\n'


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def latest() -> Run:
    return Memory.open().get("latest")


def test_all_that_can_be_said_is_recorded(repo: Git, call: Caller) -> None:
    (repo.path / "data.csv").write_text("1\n")
    (repo.path / "plots").mkdir()
    (repo.path / "plots" / "a.txt").write_text("a plot\n")
    call("record", "base", code=0)
    call(
        *("record", "first", "-m", "what", "--hypothesis", "why", "--family", "cnn"),
        *("--tag", "a", "--param", "opt.lr=0.1", "--seed", "7", "--input", "data.csv"),
        *("--metric", "acc=0.5", "--metric", "steps=100", "--metric", "loss=nan"),
        *("--duration", "2m", "--file", "plots/a.txt", "--parent", "base"),
        *("--command", "python train.py --name 'a b'"),
    )
    run = Memory.open().get("first")
    assert (run.name, run.description, run.hypothesis, run.family) == (
        *("first", "what", "why", "cnn"),
    )
    assert (run.tags, run.parameters, run.seed) == (("a",), {"opt": {"lr": 0.1}}, 7)
    assert {name: metric.last for name, metric in run.metrics.items()} == {
        "acc": 0.5,
        "steps": 100,
        "loss": "NaN",
    }
    assert run.duration == pytest.approx(120.0, abs=30)
    assert run.command == ("python", "train.py", "--name", "a b")
    assert run.parent == Memory.open().get("base").id
    assert [item.path for item in run.inputs] == ["data.csv"]
    assert Memory.open().read_file(run, "plots/a.txt") == b"a plot\n"


@pytest.mark.parametrize(
    ("word", "status", "verdict"),
    [
        ("keep", "finished", "keep"),
        ("discard", "finished", "discard"),
        ("crash", "crashed", "crash"),
        ("timeout", "timeout", None),
    ],
)
def test_a_status_can_be_a_verdict(
    repo: Git, call: Caller, word: str, status: str, verdict: str | None
) -> None:
    document = call.json("record", "r", "--status", word)
    assert (document["status"], document.get("verdict")) == (status, verdict)


def test_the_log_gives_metrics_and_the_later_source_counts(repo: Git, call: Caller) -> None:
    Path("output").write_text("start\n---\nacc: 0.1\nloss: 2\nlr: 3\n")
    Path("summary.json").write_text('{"acc": 0.2, "loss": 1}')
    call("record", "r", "--log", "output", "--summary", "summary.json", "--metric", "acc=0.3")
    run = latest()
    assert {n: m.last for n, m in run.metrics.items()} == {"acc": 0.3, "loss": 1, "lr": 3}
    assert Memory.open().read_file(run, "run.log") == Path("output").read_bytes()


def test_a_pattern_finds_metrics_anywhere(repo: Git, call: Caller) -> None:
    Path("output").write_text("acc=0.1\nacc=0.2\nend\n")
    call("record", "r", "--log", "output", "--pattern", r"acc=(?P<acc>\S+)")
    assert latest().metrics["acc"].last == 0.2


def test_of_a_crash_the_log_tells_the_exception(repo: Git, call: Caller) -> None:
    Path("output").write_text(LOG)
    call("record", "r", "--log", "output", "--status", "crash")
    error = latest().error
    assert error is not None
    assert (error.type, error.message) == ("ValueError", "too deep")
    assert "epoch 1" in error.tail


def test_of_a_crash_its_author_has_the_last_word(repo: Git, call: Caller) -> None:
    Path("output").write_text(LOG)
    call("record", "r", "--log", "output", "--status", "crash", "--error", "bad depth")
    error = latest().error
    assert error is not None
    assert (error.type, error.message) == ("ValueError", "bad depth")
    call("record", "r", "--status", "failed", "--error", "power cut")
    error = latest().error
    assert error is not None
    assert (error.type, error.message) == ("error", "power cut")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--metric", "acc=high"), 2),
        (("--metric", "acc"), 2),
        (("--metric", "=1"), 2),
        (("--error", "x"), 2),
        (("--command", "a 'b"), 2),
        (("--command", "a", "--", "b"), 2),
        (("--duration", "soon"), 2),
        (("--file", "README", "--file", "./README"), 2),
        (("--log", "README", "--file", "run.log"), 2),
        (("--summary", "missing.json"), 1),
        (("--summary", "README"), 1),
        (("--log", "pkg"), 1),
        (("--file", "missing"), 1),
        (("--parent", "nobody"), 1),
    ],
)
def test_what_cannot_be_recorded_leaves_no_run(
    repo: Git, call: Caller, arguments: tuple[str, ...], code: int
) -> None:
    called = call("record", "r", *arguments, code=code)
    assert called.err.startswith("error: ")
    assert Memory.open().count() == 0


def test_the_name_is_made_of_the_command_or_of_the_description(repo: Git, call: Caller) -> None:
    call("record", "--", "python", "src/train.py", "--lr", "1")
    assert latest().name == "train.py --lr 1"
    call("record", "-m", "wider\nlayers")
    assert latest().name == "wider layers"
    call("record")
    assert latest().name == "recorded"


def test_hostile_texts_do_not_reach_the_terminal(repo: Git, call: Caller) -> None:
    called = call("record", HOSTILE, "-m", HOSTILE, "--metric", f"{HOSTILE}=1", "--tag", HOSTILE)
    assert latest().name == HOSTILE
    assert is_harmless(called.out)
    assert is_harmless(called.err)


def test_inside_of_another_run_it_is_its_child(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("record", "outer")
    outer = latest().id
    monkeypatch.setenv("GITEXP_RUN", outer)
    call("record", "inner")
    run = latest()
    assert (run.name, run.parent) == ("inner", outer)


def test_nothing_happens_when_recording_is_disabled(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo("config", "exprag.metric", "acc")
    monkeypatch.setenv("GITEXP_MODE", "disabled")
    assert call.json("record", "r", "--metric", "acc=1") == {}
    assert not repo("for-each-ref", refs.RUNS)


# Decisions


def test_a_run_is_decided_about_where_there_is_a_goal_metric(repo: Git, call: Caller) -> None:
    repo("config", "exprag.metric", "acc")
    called = call("record", "r", "--metric", "acc=0.5", "--family", "wider")
    assert called.err.startswith("decision: ")
    assert called.out.startswith("run ")
    decision = latest().decision
    assert decision is not None
    assert (decision.metric, decision.value) == ("acc", 0.5)
    document = call.json("record", "s", "--metric", "acc=0.6")
    assert document["decision"] == latest().to_dict()["decision"]


def test_a_command_that_was_run_is_decided_about_too(repo: Git, call: Caller) -> None:
    repo("config", "exprag.metric", "acc")
    called = call("run", "--", "printf", r"---\nacc: 0.5\n")
    assert called.err.splitlines()[-1].startswith("decision: ")
    assert latest().decision is not None


def test_the_observation_is_stored_before_the_decision(repo: Git, call: Caller) -> None:
    repo("config", "exprag.metric", "acc")
    call("record", "r", "--metric", "acc=0.5")
    ref = repo("for-each-ref", "--format=%(refname)", refs.FACTS)
    before = repo("show", f"{ref}~1:{latest().id[:2]}/{latest().id[2:]}")
    after = repo("show", f"{ref}:{latest().id[:2]}/{latest().id[2:]}")
    assert '"kind":"end"' in before
    assert '"kind":"decision"' not in before
    assert '"kind":"decision"' in after


@pytest.mark.parametrize("setting", [None, "acc"])
def test_nothing_is_decided_without_a_goal_metric_or_when_told_so(
    repo: Git, call: Caller, setting: str | None
) -> None:
    options = []
    if setting is not None:
        repo("config", "exprag.metric", setting)
        options = ["--no-decision"]
    called = call("record", "r", "--metric", "acc=0.5", *options)
    assert "decision" not in called.err
    assert latest().decision is None


def test_a_decision_that_fails_is_a_warning(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo("config", "exprag.metric", "unheard-of")
    called = call("run", "--", "sh", "-c", "exit 7", code=7)
    assert "warning: Nothing is decided" in called.err
    assert latest().exit_code == 7
    repo("config", "exprag.metric", "acc")

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("gitexp.research.decisions.decide", fail)
    called = call("record", "r", "--metric", "acc=1")
    assert "warning: Nothing is decided" in called.err
    assert "ZeroDivisionError" in called.err
    assert latest().metrics["acc"].last == 1


def test_git_hooks_environment_does_not_lead_elsewhere(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", os.fspath(repo.path / ".git"))
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    call("record", "r")
    assert latest().name == "r"
