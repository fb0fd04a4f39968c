"""The commands recover and init, and the options of best."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gitexp.experiment import Experiment
from gitexp.memory import Memory
from tests.json_reference import check
from tests.support import Git, gitexp, gitexp_json, python

KILLED = """
import os, signal
from gitexp import Experiment
exp = Experiment("killed")
exp.track({"acc": 0.5}, note="before")
exp.track({"acc": 0.5})
print(exp.run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def kill_a_run() -> str:
    return python(KILLED, check=False).strip()


# recover


def test_recover_seals_a_killed_run_and_says_so(repo: Git) -> None:
    run_id = kill_a_run()
    done = gitexp("recover")
    assert done.stdout == f"Run {run_id[:12]} is sealed as crashed.\n"
    assert done.stderr == ""
    assert Memory.open().get(run_id).metrics["acc"].last == 0.5


def test_recover_with_nothing_to_do_says_so(repo: Git) -> None:
    assert gitexp("recover").stdout == "Every run is sealed; there is nothing to recover.\n"
    nothing: dict[str, list[object]] = {"recovered": [], "failed": [], "running": [], "damaged": []}
    assert gitexp_json("recover") == nothing


def test_recover_leaves_a_run_in_progress_alone(repo: Git) -> None:
    with Experiment("going on") as experiment:
        done = gitexp("recover")
        report = gitexp_json("recover")
    assert f"Run {experiment.run_id[:12]} (going on) is left alone: process" in done.stdout
    (running,) = report["running"]
    assert (running["run"], running["pid"], running["here"]) == (
        experiment.run_id,
        os.getpid(),
        True,
    )
    assert Memory.open().get("latest").status == "finished"


def test_recover_leaves_a_run_of_another_host_alone(repo: Git) -> None:
    elsewhere = "import gitexp.journal as j; j.host_name = lambda: 'far-away'\n"
    elsewhere += "import gitexp.experiment as e; e.host_name = j.host_name\n"
    run_id = python(elsewhere + KILLED, check=False).strip()
    (running,) = gitexp_json("recover")["running"]
    assert (running["run"], running["host"], running["here"]) == (run_id, "far-away", False)
    assert Memory.open().get(run_id).status == "running"


def test_recover_names_a_journal_that_was_damaged(repo: Git) -> None:
    run_id = kill_a_run()
    journal = repo.path / ".git" / "exprag" / "live" / run_id
    content = journal.read_bytes()
    at = content.rindex(b"before")  # in the first of two tracked calls: not just a torn end
    journal.write_bytes(content[:at] + b"\0" + content[at + 1 :])
    report = gitexp_json("recover")
    assert [entry["run"] for entry in report["damaged"]] == [run_id]
    assert Path(report["damaged"][0]["path"]).exists()
    assert "was damaged" in gitexp("recover").stdout


def test_recover_exits_with_1_when_a_run_cannot_be_sealed(repo: Git) -> None:
    run_id = kill_a_run()
    repo("config", "exprag.shard", "NOT USABLE")
    done = gitexp("recover", check=1)
    assert f"Run {run_id[:12]} could not be sealed" in done.stdout
    repo("config", "--unset", "exprag.shard")
    assert f"Run {run_id[:12]} is sealed as crashed." in gitexp("recover").stdout


def test_recover_in_a_subfolder_of_a_linked_worktree(repo: Git, tmp_path: Path) -> None:
    run_id = kill_a_run()
    repo("worktree", "add", "--quiet", str(tmp_path / "linked"))
    done = gitexp("recover", cwd=tmp_path / "linked" / "pkg")
    assert run_id[:12] in done.stdout


# init


def test_init_without_options_shows_the_state_and_sets_nothing(repo: Git) -> None:
    before = (repo.path / ".git" / "config").read_bytes()
    with Experiment("one"):
        pass
    done = gitexp("init")
    assert "runs           1 (0 in progress)" in done.stdout
    assert "No exprag.* setting is made" in done.stdout
    assert (repo.path / ".git" / "config").read_bytes() == before


def test_init_sets_metric_goal_and_shard_and_is_idempotent(repo: Git) -> None:
    arguments = ("init", "--shard", "desk", "--metric", "acc", "--goal", "min")
    first = gitexp_json(*arguments)
    config = (repo.path / ".git" / "config").read_bytes()
    assert gitexp_json(*arguments) == first
    assert (repo.path / ".git" / "config").read_bytes() == config
    assert first["shard"] == "desk"
    assert first["settings"] == {
        "exprag.goal": "min",
        "exprag.metric": "acc",
        "exprag.shard": "desk",
    }
    with Experiment("one") as experiment:
        experiment.track({"acc": 1})
    assert gitexp_json("best", "acc")["goal"] == "min"
    assert repo("for-each-ref", "--format=%(refname)", "refs/notes/exprag/desk")


def test_init_notes_display_lets_git_log_show_facts_and_can_be_undone(repo: Git) -> None:
    with Experiment("one") as experiment:
        pass
    before = (repo.path / ".git" / "config").read_bytes()
    assert '"kind":"run"' not in repo("log", "-1", experiment.run_id)
    gitexp("init", "--notes-display")
    gitexp("init", "--notes-display")
    assert '"kind":"run"' in repo("log", "-1", experiment.run_id)
    assert repo("config", "--get-all", "notes.displayRef") == "refs/notes/exprag/*"
    gitexp("init", "--no-notes-display")
    gitexp("init", "--no-notes-display")
    assert '"kind":"run"' not in repo("log", "-1", experiment.run_id)
    assert (repo.path / ".git" / "config").read_bytes() == before


def test_init_leaves_other_displayed_notes_alone(repo: Git) -> None:
    repo("config", "notes.displayRef", "refs/notes/review")
    gitexp("init", "--notes-display")
    gitexp("init", "--no-notes-display")
    assert repo("config", "--get-all", "notes.displayRef") == "refs/notes/review"


def test_init_never_adds_a_fetch_refspec(repo: Git) -> None:
    repo("remote", "add", "origin", "elsewhere")
    before = repo("config", "--get-all", "remote.origin.fetch")
    gitexp("init", "--notes-display", "--shard", "desk", "--goal", "max")
    assert repo("config", "--get-all", "remote.origin.fetch") == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--shard", "A B"], "not usable"),
        (["--shard", "../up"], "not usable"),
        (["--metric", " "], "name is empty"),
        (["--goal", "higher"], "invalid choice"),
    ],
)
def test_init_with_an_unusable_value_changes_nothing(
    repo: Git, arguments: list[str], said: str
) -> None:
    before = (repo.path / ".git" / "config").read_bytes()
    refused = gitexp("init", "--notes-display", *arguments, check=2)
    assert said in refused.stderr
    assert (repo.path / ".git" / "config").read_bytes() == before


def test_init_in_a_linked_worktree_sets_what_the_main_one_sees(repo: Git, tmp_path: Path) -> None:
    repo("worktree", "add", "--quiet", str(tmp_path / "linked"))
    gitexp("init", "--goal", "min", cwd=tmp_path / "linked")
    assert gitexp_json("init")["settings"] == {"exprag.goal": "min"}


# best


@pytest.fixture
def two_runs(repo: Git) -> Git:
    for name, rate, acc in (("slow", 0.001, 0.125), ("fast", 0.1, 1 / 3)):
        with Experiment(name, params={"lr": rate, "depth": 2}) as experiment:
            experiment.track({"acc": acc})
    return repo


def test_best_prints_exact_numbers_in_a_pipe_and_the_direction_beside_it(two_runs: Git) -> None:
    done = gitexp("best", "acc")
    header, first, second = (line.split("\t") for line in done.stdout.splitlines())
    assert header == ["run", "name", "acc", "step", "status", "started", "params.lr"]
    assert (first[1], first[2], first[6]) == ("fast", repr(1 / 3), "0.1")
    assert (second[1], second[2], second[6]) == ("slow", "0.125", "0.001")
    assert done.stderr == "highest best acc first (by its name)\n"


def test_best_shows_the_columns_that_were_asked_for(two_runs: Git) -> None:
    done = gitexp("best", "acc", "--columns", "depth,lr,status")
    assert done.stdout.splitlines()[0] == "run\tname\tacc\tstep\tparams.depth\tparams.lr\tstatus"
    assert done.stdout.splitlines()[1].endswith("\t0\t2\t0.1\tfinished")


def test_best_since_looks_at_runs_that_started_then_or_later(two_runs: Git) -> None:
    newest = Memory.open().get("fast").started
    rows = gitexp("best", "acc", "--since", newest.isoformat()).stdout.splitlines()[1:]
    assert [row.split("\t")[1] for row in rows] == ["fast"]
    refused = gitexp("best", "acc", "--since", "2999-01-01", check=1)
    assert "No run that fits has a finite value of acc." in refused.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--since", "soon"], 2, "is not a time"),
        (["--top", "0"], 2, "--top"),
        (["--columns", "nothing"], 2, "'nothing'"),
    ],
)
def test_best_with_an_unusable_option(
    two_runs: Git, arguments: list[str], code: int, said: str
) -> None:
    assert said in gitexp("best", "acc", *arguments, check=code).stderr


def test_metric_with_control_characters_never_reaches_the_terminal(repo: Git) -> None:
    with Experiment("odd") as experiment:
        experiment.track({"a\x1b[31m\nb": 1})
    done = gitexp("best", "a\x1b[31m\nb")
    assert "\x1b" not in done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 2


# The program itself


def test_program_starts_as_a_git_command(repo: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    program = shutil.which("git-exp", path=str(Path(sys.executable).parent))
    if program is None:
        pytest.skip("the package is not installed here")
    path = f"{Path(program).parent}{os.pathsep}{os.environ['PATH']}"
    monkeypatch.setenv("PATH", path)
    shown = subprocess.run(["git", "exp", "-h"], capture_output=True, text=True, check=True).stdout
    assert "git exp COMMAND" in shown


# docs/reference/json.md


def test_json_of_recover_is_as_documented(repo: Git) -> None:
    run_id = kill_a_run()
    journal = repo.path / ".git" / "exprag" / "live" / run_id
    journal.write_bytes(journal.read_bytes().replace(b"before", b"BEFORE"))
    with Experiment("going on"):
        outputs = [gitexp_json("recover")]
        kill_a_run()
        repo("config", "exprag.shard", "NOT USABLE")
        outputs.append(json.loads(gitexp("recover", "--json", check=1).stdout))
        repo("config", "--unset", "exprag.shard")
    check("recover", *outputs)


def test_json_of_checkout_is_as_documented(repo: Git) -> None:
    with Experiment("one"):
        pass
    repo.write("train.py", "changed\n")
    words = ("checkout", "latest", "--save")
    there, files = gitexp_json(*words), json.loads(_taken_back(repo))
    check("checkout RUN", there, files)
    check("checkout -", gitexp_json("checkout", "-"), gitexp_json("checkout", "-", "--save"))


def _taken_back(repo: Git) -> str:
    repo.write("train.py", "changed again\n")
    return gitexp("checkout", "latest", "--save", "--json", "--", "train.py").stdout


def test_json_of_the_other_commands_is_as_documented(repo: Git) -> None:
    check("init", gitexp_json("init", "--goal", "min"))
    check("skill", gitexp_json("skill"), gitexp_json("skill", "--write", "SKILL.md"))
    check("completion", gitexp_json("completion", "bash"))
    disabled = gitexp("run", "--json", "--", "true", GITEXP_MODE="disabled")
    assert json.loads(disabled.stdout) == {"exit_code": 0}
