"""``git exp check``: what it prints, its JSON, its exit codes, and what belongs to an idea."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitexp.experiment import Experiment
from tests.full_store import Caller, hostile_run, is_harmless
from tests.support import Git

COMMAND = ("python", "train.py")
CHANGED = "lr = 0.4\nprint(lr)\n"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def run(repo: Git) -> str:
    """A run of a changed train.py; the change is undone since."""
    repo.write("train.py", CHANGED)
    with Experiment("ten times", description="lr 0.1 -> 0.4", command=COMMAND) as experiment:
        experiment.track({"loss": 1.0})
    repo("checkout", "--quiet", "train.py")
    return experiment.run_id


def test_the_work_tree_is_the_idea_when_it_differs_from_head(
    repo: Git, run: str, call: Caller
) -> None:
    repo.write("train.py", CHANGED)
    found = call.json("check")
    assert found["classification"] == "duplicate_run"
    assert found["policy"] == "block"
    assert found["metric"] == "loss"
    (evidence,) = found["evidence"]
    assert (evidence["run"], evidence["name"], evidence["level"]) == (run, "ten times", "identity")


def test_with_a_command_it_is_certain(repo: Git, run: str, call: Caller) -> None:
    repo.write("train.py", CHANGED)
    assert not call.json("check")["certain"]
    found = call("check", "--json", "--param", "depth=3", "--", *COMMAND).data
    assert found["policy"] == "allow"
    found = call("check", "--json", "--", *COMMAND).data
    assert (found["classification"], found["certain"]) == ("duplicate_run", True)
    found = call("check", "--json", "--seed", "3", "--", *COMMAND).data
    assert found["classification"] == "replicate"


def test_a_clean_work_tree_is_no_part_of_an_idea_in_words(
    repo: Git, run: str, call: Caller
) -> None:
    repo.write("notes.md", "not code\n")
    found = call.json("check", "something quite different")
    assert (found["classification"], found["evidence"]) == ("novel", [])


def test_the_work_tree_can_be_left_out(repo: Git, run: str, call: Caller) -> None:
    repo.write("train.py", CHANGED)
    assert call.json("check", "--no-diff", "another thing")["classification"] == "novel"
    assert call.json("check", "another thing")["classification"] == "duplicate_run"


def test_a_clean_work_tree_with_diff_is_what_its_commit_changed(
    repo: Git, run: str, call: Caller
) -> None:
    repo.write("train.py", CHANGED)
    repo("commit", "--quiet", "--all", "-m", "ten times")
    found = call.json("check", "--diff")
    assert found["evidence"][0]["run"] == run
    assert found["classification"] == "duplicate_run"


def test_words_find_the_setting_that_code_changed(repo: Git, run: str, call: Caller) -> None:
    called = call("check", "learning rate 4e-1")
    assert called.out.splitlines()[:2] == [
        "novel: allow (exploit)",
        "It was tried before, and whether it is better is not resolved.",
    ]
    assert f"{run[:12]}  structure 1.00  lr 0.1 -> 0.4" in called.out
    assert "    lr = 0.4\n" in called.out
    assert called.out.endswith("\nNoise is unmeasured: how runs went is what single runs say.\n")
    assert call.json("check", "learning rate 4e-1")["provisional"] is True


def test_failing_on_similar_is_asked_for(repo: Git, run: str, call: Caller) -> None:
    repo.write("train.py", CHANGED)
    call("check", code=0)
    call("check", "--fail-on-similar", code=2)
    call("check", "--fail-on-similar", "--mode", "replicate", code=0)


def test_nothing_to_compare_is_an_error(repo: Git, run: str, call: Caller) -> None:
    assert "nothing to compare" in call("check", code=2).err
    assert "said twice" in call("check", "a", "-m", "b", code=2).err
    assert "--limit" in call("check", "a", "--limit", "0", code=2).err


def test_a_metric_that_no_run_has_is_an_error(repo: Git, run: str, call: Caller) -> None:
    assert "accuracy" in call("check", "idea", "--metric", "accuracy", code=1).err


def test_a_repository_without_runs_has_nothing_like_it(repo: Git, call: Caller) -> None:
    assert call.json("check", "increase warmup")["classification"] == "novel"
    repo.write("train.py", CHANGED)
    assert call.json("check")["classification"] == "novel"


def test_a_bare_repository_is_asked_in_words(
    repo: Git, run: str, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo("clone", "--quiet", "--mirror", str(repo.path), str(tmp_path / "bare"))
    monkeypatch.chdir(tmp_path / "bare")
    assert call.json("check", "lr 0.4")["evidence"][0]["run"] == run
    assert "work tree" in call("check", "--diff", "lr 0.4", code=10).err


def test_a_branch_without_commits(repo: Git, run: str, call: Caller) -> None:
    repo("checkout", "--quiet", "--orphan", "new")
    assert call.json("check", "lr 0.4")["classification"] != ""
    assert call.json("check", "--no-diff", "zzz yyy")["classification"] == "novel"


def test_what_others_wrote_reaches_the_terminal_harmless(repo: Git, call: Caller) -> None:
    hostile_run(repo)
    called = call("check", "--param", "x=1", "other", "--diff")
    assert is_harmless(called.out)
