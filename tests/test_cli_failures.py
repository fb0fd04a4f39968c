"""What the system refuses, and what people mistype, is one sentence and the right exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import gitexp as library
from gitexp import Experiment, GitexpWarning
from gitexp.cli.main import guarded
from gitexp.seal import recover
from tests.support import Git, gitexp, gitexp_json

FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [["log"], ["-h"], ["skill"]], ids=" ".join)
def test_output_to_a_full_device_is_said(repo: Git, words: list[str]) -> None:
    Experiment("x").finish()
    with FULL.open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gitexp.cli.main", *words],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_the_system_refuses_is_no_fault_of_ours(
    repo: Git, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Experiment("x").finish()

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied", "/somewhere")

    monkeypatch.setattr(os, "pwrite", denied)
    assert guarded(["note", "latest", "text"]) == 1
    said = capsys.readouterr().err
    assert "Permission denied" in said
    assert "hint: " in said
    assert "fault" not in said


def test_a_full_disk_is_not_blamed_on_a_filter(repo: Git) -> None:
    """git says which it was; here its objects folder is a file."""
    repo.write("train.py", "lr = 0.7\n")
    objects = repo.path / ".git" / "objects"
    fresh = repo("hash-object", "train.py")[:2]
    if (objects / fresh).exists():
        (objects / fresh).rename(objects / "aside")
    (objects / fresh).write_text("in the way")
    done = gitexp("run", "--", "true", check=1)
    assert "filter" not in done.stderr
    assert "git update-index failed" in done.stderr
    (objects / fresh).unlink()
    assert library.open().runs() == []


def test_a_metric_that_hides_another_is_said(repo: Git) -> None:
    with Experiment("nested") as exp:
        exp.track({"metrics": {"acc": 0.99}})
    with Experiment("plain") as exp:
        exp.track({"acc": 0.93})
    done = gitexp("best", "acc")
    assert "warning: " in done.stderr
    assert "metrics.acc" in done.stderr
    with pytest.warns(GitexpWarning, match=r"metrics\.acc"):
        assert library.open().get("best:acc").name == "plain"
    assert "warning" not in gitexp("best", "metrics.acc").stderr


def test_the_command_line_has_the_last_word_on_the_name(repo: Git) -> None:
    code = (
        "from gitexp import Experiment\n"
        "with Experiment('inner', params={'lr': 1}, description='inner words') as e: e.track(1)\n"
    )
    words = ("--name", "outer", "-m", "outer words", "--param", "lr=5", "--param", "extra=2")
    gitexp("run", *words, "--", sys.executable, "-c", code)
    (run,) = library.open().runs()
    assert (run.name, run.description) == ("outer", "outer words")
    assert run.parameters == {"lr": 1, "extra": 2}  # what the program used counts


def test_without_a_name_given_the_experiment_names_the_run(repo: Git) -> None:
    gitexp("run", "--", sys.executable, "-c", "__import__('gitexp').Experiment('inner')")
    assert library.open().get("latest").name == "inner"


def test_disabled_runs_the_command_anywhere(tmp_path: Path) -> None:
    done = gitexp("run", "--", "echo", "x", cwd=tmp_path, GITEXP_MODE="disabled")
    assert done.stdout == "x\n"
    gitexp("run", "--", "sh", "-c", "exit 3", cwd=tmp_path, check=3, GITEXP_MODE="disabled")


def test_a_handle_that_leads_nowhere_is_a_problem_of_status(repo: Git) -> None:
    exp = Experiment("x")
    exp.finish()
    objects = repo.path / ".git" / "objects"
    (objects / exp.run_id[:2] / exp.run_id[2:]).unlink()
    assert "snapshot is missing" in gitexp("status").stdout
    (problem,) = gitexp_json("status")["problems"]
    assert problem["run"] == exp.run_id


def test_ctrl_c_in_a_checkout_undoes_it(repo: Git, tmp_path: Path) -> None:
    slow = tmp_path / "slow"
    slow.write_text("#!/bin/sh\nsleep 0.3\ncat\n")
    slow.chmod(0o755)
    for i in range(10):
        repo.write(f"data/{i}.txt", f"first {i}\n")
    repo.write(".gitattributes", "*.txt filter=slow\n")
    repo("add", ".")
    repo("commit", "-q", "-m", "data")
    with Experiment("old"):
        pass
    for i in range(10):
        repo.write(f"data/{i}.txt", f"second {i}\n")
    repo("config", "filter.slow.smudge", str(slow))
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp.cli.main", "checkout", "old", "--save"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 10
    while not repo("for-each-ref", "refs/exprag-local/saved") and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130
    assert "everything is as it was" in said
    assert repo("symbolic-ref", "--short", "HEAD") == "main"
    for i in range(10):
        assert (repo.path / f"data/{i}.txt").read_text() == f"second {i}\n"
    assert not (repo.path / ".git" / "index.lock").exists()


def test_a_full_disk_under_the_lock_is_an_expected_failure(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    exp = Experiment("x")
    exp.track(1)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.warns(GitexpWarning, match="No space left on device"):
            exp.finish()
    recover(library.open().repository)
    assert library.open().get("x").calls == 1
