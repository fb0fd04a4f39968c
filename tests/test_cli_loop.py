"""``git exp loop`` as users call it."""

from __future__ import annotations

import json
import os
import pty
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp as library
from gitexp.loop.journal import sessions
from tests.loop_project import (
    Users,
    answer,
    change,
    constant,
    known_project,
    make_autoresearch,
    worktrees,
    write_script,
)
from tests.model_server import model_server, says, sends
from tests.support import Git, gitexp, gitexp_json

LR = constant("LR", 0.2, old="0.10")
END = ("--", "python", "train.py")


@pytest.fixture
def project(tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A project with a known baseline, as the current folder."""
    return known_project(tmp_path, monkeypatch)


def scripted(folder: Path, *proposals: object) -> list[str]:
    path = write_script(folder / "script.jsonl", proposals)
    return ["--script", str(path), "--metric", "val_bpb", "--sandbox", "off"]


def test_a_session_says_what_it_does_and_what_came_of_it(project: Git, tmp_path: Path) -> None:
    before = Users(project)
    done = gitexp("loop", *scripted(tmp_path, LR, "?"), *END)
    assert "2 proposals: 1 kept, 1 not applied; 1 run, 0 without a value" in done.stdout
    assert "best val_bpb: 1.14" in done.stdout
    said = done.stderr.splitlines()
    for part in ("[1] proposal: LR 0.2", "decision: ", "kept: ", "[2] blocked: "):
        assert any(part in line for line in said), part
    assert "\x1b" not in done.stderr
    assert Users(project) == before


def test_the_result_as_json(project: Git, tmp_path: Path) -> None:
    done = gitexp("loop", *scripted(tmp_path, LR), "--json", *END)
    result = json.loads(done.stdout)
    assert result["reason"] == "exhausted"
    assert result["kept"] == result["runs"] == [result["best"]["run"]]
    assert result["goal"] == "min"
    assert result["spent"]["runs"] == 1
    (listed,) = gitexp_json("loop", "--list")["sessions"]
    assert listed["session"] == result["session"]
    assert (listed["state"], listed["runs"], listed["kept"]) == ("exhausted", 1, 1)
    assert listed["best"] == result["best"]["value"]


def test_a_dry_run_shows_the_prompt_and_changes_nothing(project: Git, tmp_path: Path) -> None:
    before, refs = Users(project), project("for-each-ref")
    done = gitexp(
        "loop", *scripted(tmp_path, LR), "--dry-run", "--runs", "7", "--branch", "exp/x", *END
    )
    assert "command: python train.py" in done.stdout
    assert "branch: exp/x" in done.stdout
    assert "7 runs are left." in done.stdout
    assert "LR = 0.10" in done.stdout
    assert project("for-each-ref") == refs
    assert Users(project) == before
    assert worktrees(project) == []
    assert sessions(library.open().repository) == []


def test_a_dry_run_contacts_nobody(project: Git) -> None:
    words = ["--model", "m", "--base-url", "http://127.0.0.1:9/v1", "--metric", "val_bpb"]
    shown = json.loads(gitexp("loop", *words, "--dry-run", "--json", *END).stdout)
    assert shown["command"] == ["python", "train.py"]
    assert "LR = 0.10" in shown["prompt"]


def test_an_autoresearch_project_needs_no_options(repo: Git, tmp_path: Path) -> None:
    make_autoresearch(repo)
    before = Users(repo)
    code = (
        "import pathlib, json, sys\n"
        "text = sys.stdin.read()\n"
        "assert 'LOOP FOREVER' in text\n"
        "train = pathlib.Path('train.py')\n"
        "train.write_text(train.read_text().replace('MATRIX_LR = 0.04', 'MATRIX_LR = 0.05'))\n"
        "pathlib.Path('prepare.py').write_text('cheat = 1')\n"
        "print(json.dumps({'title': 'higher', 'hypothesis': 'h', 'cites': [], "
        "'predicted': None}))\n"
    )
    agent = shlex.join([sys.executable, "-c", code])
    words = ["loop", "--agent", agent, "--runs", "5", "--json"]
    result = json.loads(gitexp(*words).stdout)
    assert result["metric"] == "val_bpb"
    memory = library.open()
    assert "higher" in [memory.get(run).name for run in result["runs"]]
    assert len(result["kept"]) == 1
    assert repo("diff", "--name-only", "main", result["branch"]) == "train.py"
    assert Users(repo) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "val_bpb", *END], "It is not said who proposes."),
        (["--script", "x", "--agent", "y", "--metric", "m", *END], "More than one provider"),
        (["--script", "x", *END], "It is not said which metric counts."),
        (["--script", "x", "--metric", "m"], "There is no command to run."),
        (["--script", "x", "--metric", "m", "--runs", "0", *END], "no number above 0"),
        (["--script", "x", "--metric", "m", "--money", "much", *END], "no amount of dollars"),
        (["--script", "x", "--metric", "m", "--branch", "a..b", *END], "no name of a branch"),
        (["--agent", "no-such-agent", "--metric", "m", *END], "'no-such-agent' is not installed"),
        (["--agent", "'", "--metric", "m", *END], "The agent's command cannot be read"),
        (["--resume", "x", *END], "A session's command cannot be changed."),
    ],
)
def test_what_is_asked_for_must_make_sense(
    words: list[str], message: str, repo: Git, tmp_path: Path
) -> None:
    write_script(repo.path / "x", [LR])
    done = gitexp("loop", *words, check=2)
    assert message in done.stderr
    assert sessions(library.open().repository) == []


def test_there_must_be_a_session_to_resume(repo: Git) -> None:
    assert "There is no session to resume." in gitexp("loop", "--resume", check=1).stderr


def test_a_key_is_named_and_never_kept(
    project: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret-0123456789")
    url = "http://127.0.0.1:9/v1"
    words = ["--model", "m", "--base-url", url, "--key-env", "MY_KEY", "--metric", "val_bpb"]
    done = gitexp("loop", *words, "--time", "1s", *END, check=None)
    assert done.returncode in (0, 1)
    assert "sk-very-secret" not in done.stdout + done.stderr
    for path in (project.path / ".git" / "exprag").rglob("*"):
        assert not path.is_file() or b"sk-very-secret" not in path.read_bytes()
    (listed,) = gitexp_json("loop", "--list")["sessions"]
    journal = project.path / ".git" / "exprag" / "loop" / f"{listed['session']}.jsonl"
    assert '"key_env":"MY_KEY"' in journal.read_text()


def test_a_model_behind_an_endpoint(project: Git, tmp_path: Path) -> None:
    with model_server() as server:
        usage = {"prompt_tokens": 900, "completion_tokens": 60, "total_tokens": 960}
        server.answer = says(answer(("LR = 0.10", "LR = 0.2"), title="LR 0.2"), usage=usage)
        words = ["--model", "m", "--base-url", server.base_url, "--metric", "val_bpb"]
        done = gitexp("loop", *words, "--runs", "1", "--tokens", "50k", "--json", *END)
        body = server.asked[0].body
    result = json.loads(done.stdout)
    assert len(result["kept"]) == 1
    assert (result["spent"]["prompt"], result["spent"]["completion"]) == (900, 60)
    assert "LR = 0.10" in body["messages"][-1]["content"]


def test_a_failure_of_the_provider_is_an_error_and_the_session_can_go_on(
    project: Git, tmp_path: Path
) -> None:
    with model_server() as server:
        server.answer = sends(b'{"error": {"message": "no such key"}}', 401)
        words = ["--model", "m", "--base-url", server.base_url, "--metric", "val_bpb"]
        done = gitexp("loop", *words, *END, check=1)
        assert len(server.asked) == 1
    assert "error: " in done.stderr
    assert "go on with: git exp loop --resume" in done.stdout
    again = gitexp("loop", "--resume", *scripted(tmp_path, LR)[:2], "--json")
    assert len(json.loads(again.stdout)["kept"]) == 1


def test_a_terminal_has_a_line_that_says_what_goes_on(project: Git, tmp_path: Path) -> None:
    slow = change("slow", "import random\n", "import random, time\n\ntime.sleep(2.5)\n")
    words = ["loop", *scripted(tmp_path, slow), "--runs", "1", "--time", "1h", *END]
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp.cli.main", *words],
        stdin=follower,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            data = os.read(leader, 4096)
        except OSError:
            break
        if not data:
            break
        shown += data
    os.close(leader)
    assert process.wait() == 0, shown.decode()
    assert b"\r\x1b[Krun 1 of proposal 1 (" in shown
    assert b"| runs 0 of 1 | 1 h left" in shown or b"| runs 0 of 1 | 60 min left" in shown
