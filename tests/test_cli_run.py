from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gitexp.cli.about import default_name, nested, parameter, seconds
from gitexp.errors import UsageError
from gitexp.memory import Memory
from gitexp.run import Run
from tests.programs import install
from tests.support import Git, gitexp, gitexp_json

PATIENCE_S = 30.0


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch)


def latest() -> Run:
    return Memory.open().get("latest")


def log_of(run: Run) -> bytes:
    return Memory.open().read_file(run, "run.log")


def is_sealed(repo: Git) -> bool:
    live = repo.path / ".git" / "exprag" / "live"
    return not live.exists() or not any(live.iterdir())


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    """Say whether a process runs; one that has ended and is not collected does not."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] != b"Z"
    if Path("/proc/self/stat").exists():
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, 0)
        return True
    return False


def wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while is_alive(pid):
        assert time.monotonic() < deadline, f"process {pid} is still there"
        time.sleep(0.01)


@contextlib.contextmanager
def started(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start ``git-exp`` as the leader of a process group, as a shell starts a job."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gitexp.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


# What is recorded


def test_run_records_command_code_parameters_and_description(repo: Git) -> None:
    repo.write("train.py", "print('changed')\n")
    repo.write("data.csv", "1,2\n")
    gitexp(
        *("run", "--name", "first", "-m", "what", "--hypothesis", "why", "--family", "cnn"),
        *("--tag", "a", "--tag", "b", "--seed", "7", "--input", "data.csv"),
        *("--param", "lr=0.1", "--param", "opt.name=adam", "--param", 'sizes=[1, "x"]'),
        *("--", "python", "train.py"),
    )
    run = latest()
    assert (run.name, run.description, run.hypothesis) == ("first", "what", "why")
    assert (run.family, run.tags, run.seed) == ("cnn", ("a", "b"), 7)
    assert run.parameters == {"lr": 0.1, "opt": {"name": "adam"}, "sizes": [1, "x"]}
    assert run.command == ("python", "train.py")
    assert [given.path for given in run.inputs] == ["data.csv"]
    assert (run.status, run.exit_code) == ("finished", 0)
    assert repo("show", f"{run.id}:train.py") == "print('changed')"
    assert is_sealed(repo)


def test_output_is_passed_on_to_the_same_streams_and_kept_as_log(repo: Git) -> None:
    done = gitexp("run", "--", "sh", "-c", "echo out; echo err >&2")
    assert done.stdout == "out\n"
    assert done.stderr.startswith("err\n")
    assert sorted(log_of(latest()).splitlines()) == [b"err", b"out"]


def test_last_line_on_stderr_says_id_name_status_duration_and_metrics(repo: Git) -> None:
    done = gitexp("run", "--name", "n", "--", "printf", r"---\nacc: 0.5\nloss: 2\n")
    line = done.stderr.splitlines()[-1]
    run = latest()
    assert line.startswith(f"run {run.id[:12]} (n) finished in ")
    assert line.endswith(": acc 0.5, loss 2")


def test_arguments_after_the_dashes_reach_the_command_as_they_are(repo: Git) -> None:
    done = gitexp("run", "--", "printf", "%s\n", "--json", "--", "-h", "--name")
    assert done.stdout == "--json\n--\n-h\n--name\n"


def test_json_keeps_stdout_for_one_document(repo: Git) -> None:
    done = gitexp("run", "--json", "--", "sh", "-c", "echo out; exit 4", check=4)
    data = json.loads(done.stdout)
    assert done.stderr == "out\n"
    assert data == latest().to_dict()
    assert (data["status"], data["exit_code"]) == ("failed", 4)


def test_files_that_the_snapshot_leaves_out_are_named_in_a_warning(repo: Git) -> None:
    repo.write(".env", "KEY=1\n")
    done = gitexp("run", "--", "true")
    assert "warning: " in done.stderr
    assert ".env" in done.stderr


def test_parent_is_the_run_that_a_spec_names(repo: Git) -> None:
    gitexp("run", "--", "true")
    parent = latest().id
    gitexp("run", "--parent", "latest", "--", "true")
    assert latest().parent == parent


def test_run_inside_of_a_run_is_a_run_of_its_own(repo: Git) -> None:
    gitexp("run", "--name", "outer", "--", "git", "exp", "run", "--name", "inner", "--", "true")
    runs = {run.name: run for run in Memory.open().runs()}
    assert runs["inner"].parent == runs["outer"].id
    assert runs["outer"].status == "finished"


def test_nothing_is_recorded_when_the_mode_is_disabled(repo: Git) -> None:
    done = gitexp("run", "--", "sh", "-c", "echo out; exit 3", check=3, GITEXP_MODE="disabled")
    assert done.stdout == "out\n"
    assert Memory.open().runs() == []


def test_name_with_control_characters_never_reaches_the_terminal(repo: Git) -> None:
    done = gitexp("run", "--name", "a\x1b[31m\nb\x9b", "--", "true")
    assert "\x1b" not in done.stderr
    assert r"a\e[31m\nb\x9b" in done.stderr
    assert latest().name == "a\x1b[31m\nb\x9b"


def test_command_line_that_is_not_utf8_is_recorded(repo: Git) -> None:
    done = gitexp("run", "--", "sh", "-c", "exit 0", os.fsdecode(b"\xff.csv"))
    assert done.returncode == 0
    assert latest().command[-1] == r"\xff.csv"


# Where it works


def test_run_in_a_subfolder_runs_there_and_says_so(repo: Git) -> None:
    done = gitexp("run", "--", "pwd", cwd=repo.path / "pkg")
    assert done.stdout.rstrip().endswith("/repo/pkg")
    assert latest().cwd == "pkg"


def test_run_without_any_git_identity(
    repo: Git, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hermetic / ".gitconfig").unlink()
    monkeypatch.delenv("HOME")
    gitexp("run", "--", "true")
    assert latest().status == "finished"


def test_run_in_a_linked_worktree_is_seen_from_the_main_one(repo: Git, tmp_path: Path) -> None:
    repo("worktree", "add", "--quiet", str(tmp_path / "linked"))
    script = "from gitexp import Experiment; Experiment('in').track({'acc': 1})"
    gitexp("run", "--", "python", "-c", script, cwd=tmp_path / "linked")
    assert latest().metrics["acc"].last == 1
    assert is_sealed(repo)


def test_run_in_a_clone(repo: Git, tmp_path: Path) -> None:
    repo("clone", "--quiet", str(repo.path), str(tmp_path / "clone"))
    gitexp("run", "--", "true", cwd=tmp_path / "clone")
    assert len(Memory.open(tmp_path / "clone").runs()) == 1
    assert Memory.open().runs() == []


# Metrics


def test_experiment_inside_the_command_joins_the_run(repo: Git) -> None:
    script = (
        "from gitexp import Experiment\n"
        "with Experiment('inside', params={'lr': 0.5}) as exp:\n"
        "    for step in range(3): exp.track({'acc': step / 10})\n"
    )
    repo.write("train.py", script)
    gitexp("run", "--param", "width=8", "--", "python", "train.py")
    (run,) = Memory.open().runs()
    assert run.metrics["acc"].count == 3
    assert run.parameters == {"width": 8, "lr": 0.5}
    assert run.status == "finished"


def test_experiment_joins_from_another_folder(repo: Git, tmp_path: Path) -> None:
    script = "import os; os.chdir('/'); from gitexp import Experiment; Experiment('x').track(1)"
    gitexp("run", "--", "python", "-c", script)
    assert latest().calls == 1


def test_sidecar_values_are_tracked_and_the_printed_summary_is_not_taken_too(repo: Git) -> None:
    script = 'echo \'{"acc": 0.9, "inner": {"loss": 1}}\' > $GITEXP_SUMMARY; echo ---; echo a: 1'
    gitexp("run", "--", "sh", "-c", script)
    run = latest()
    assert {path: summary.last for path, summary in run.metrics.items()} == {
        "acc": 0.9,
        "inner.loss": 1,
    }
    (call,) = Memory.open().calls(run)
    assert call.note == "summary"


def test_stale_sidecar_is_not_taken(repo: Git) -> None:
    stale = repo.write("summary.json", '{"acc": 0.9}')
    gitexp("run", "--", "true", AUTORESEARCH_SUMMARY_PATH=str(stale))
    assert latest().metrics == {}
    gitexp(
        *("run", "--", "sh", "-c", "echo '{\"acc\": 0.7}' > summary.json"),
        AUTORESEARCH_SUMMARY_PATH=str(stale),
    )
    assert latest().metrics["acc"].last == 0.7


def test_summary_block_after_the_dashes_is_tracked(repo: Git) -> None:
    gitexp("run", "--", "printf", r"loss: 5\n---\nval_bpb: 0.997900\nnote: fine\n")
    run = latest()
    assert {path: summary.last for path, summary in run.metrics.items()} == {"val_bpb": 0.9979}
    assert Memory.open().calls(run)[0].value == {"val_bpb": 0.9979, "note": "fine"}


def test_pattern_finds_metrics_anywhere_in_the_output(repo: Git) -> None:
    gitexp(
        *("run", "--pattern", r"accuracy is (?P<accuracy>\S+)"),
        *("--", "printf", r"accuracy is 0.1\naccuracy is 0.4\nbye\n"),
    )
    assert latest().metrics["accuracy"].last == 0.4


def test_wrong_pattern_is_refused_before_anything_runs(repo: Git) -> None:
    refused = gitexp("run", "--pattern", "(", "--", "touch", "ran", check=2)
    assert "regular expression" in refused.stderr
    assert not (repo.path / "ran").exists()
    assert Memory.open().runs() == []


# How it ends


def test_exit_code_of_the_command_is_passed_on(repo: Git) -> None:
    gitexp("run", "--", "sh", "-c", "echo cannot >&2; exit 17", check=17)
    run = latest()
    assert (run.status, run.exit_code) == ("failed", 17)
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("exit code 17", "cannot")


def test_traceback_makes_the_run_a_crashed_one(repo: Git) -> None:
    gitexp("run", "--", "python", "-c", "raise ValueError('lr is wrong')", check=1)
    run = latest()
    assert run.status == "crashed"
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("ValueError", "lr is wrong")
    assert "Traceback" in run.error.tail


def test_command_that_a_signal_ended_has_crashed(repo: Git) -> None:
    gitexp("run", "--", "sh", "-c", "kill -SEGV $$", check=128 + signal.SIGSEGV)
    run = latest()
    assert (run.status, run.exit_code) == ("crashed", -signal.SIGSEGV)
    assert run.error is not None
    assert run.error.type == "SIGSEGV"


def test_command_that_does_not_exist_exits_as_in_a_shell(repo: Git) -> None:
    done = gitexp("run", "--", "no-such-program", check=127)
    assert "error: The command no-such-program was not found." in done.stderr
    assert latest().status == "failed"


def test_budget_ends_the_whole_process_group(repo: Git) -> None:
    script = "sleep 600 & echo $! > pid; wait"
    gitexp("run", "--budget", "0.5s", "--", "sh", "-c", script, check=124)
    wait_for_end(int((repo.path / "pid").read_text()))
    run = latest()
    assert run.status == "timeout"
    assert run.error is not None
    assert run.error.message == "The budget of 0.5 s was over."


def test_ctrl_c_interrupts_the_command_and_seals_the_run(repo: Git) -> None:
    script = (
        "import time, pathlib\n"
        "from gitexp import Experiment\n"
        "Experiment('x').track({'acc': 0.25})\n"
        "pathlib.Path('ready').touch()\n"
        "time.sleep(600)\n"
    )
    with started("run", "--", "python", "-c", script) as process:
        wait_for(repo.path / "ready")
        os.killpg(process.pid, signal.SIGINT)
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 130
    run = latest()
    assert run.status == "interrupted"
    assert run.metrics["acc"].last == 0.25
    assert is_sealed(repo)


def test_sigterm_to_git_exp_reaches_the_command_and_seals_the_run(repo: Git) -> None:
    with started("run", "--", "sh", "-c", "touch ready; exec sleep 600") as process:
        wait_for(repo.path / "ready")
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 128 + signal.SIGTERM
    assert latest().status == "interrupted"
    assert is_sealed(repo)


def test_killed_git_exp_leaves_a_crashed_run_with_its_log(repo: Git) -> None:
    script = "echo $$ > pid; echo begun; touch ready; exec sleep 600"
    with started("run", "--", "sh", "-c", script) as process:
        wait_for(repo.path / "ready")
        log = next((repo.path / ".git" / "exprag" / "live").glob("*.files/run.log"))
        deadline = time.monotonic() + PATIENCE_S
        while not log.stat().st_size:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.kill()
        process.wait()
    os.kill(int((repo.path / "pid").read_text()), signal.SIGKILL)
    done = gitexp("log")
    assert "sealed as crashed" in done.stderr
    assert latest().status == "crashed"
    assert log_of(latest()) == b"begun\n"
    assert is_sealed(repo)


def test_daemon_that_tracks_on_keeps_the_run_open_until_it_ends(repo: Git) -> None:
    script = (
        "import os, pathlib, time\n"
        "from gitexp import Experiment\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "null = os.open(os.devnull, os.O_RDWR)\n"
        "for fd in (0, 1, 2): os.dup2(null, fd)\n"
        "exp = Experiment('daemon')\n"
        "pathlib.Path('joined').touch()\n"
        "while not pathlib.Path('go').exists(): time.sleep(0.01)\n"
        "exp.track({'late': 1})\n"
        "exp.finish()\n"
        "pathlib.Path('over').touch()\n"
    )
    wait = "while not pathlib.Path('joined').exists(): time.sleep(0.01)\n"
    program = "import pathlib, subprocess, sys, time\n"
    program += f"subprocess.run([sys.executable, '-c', {script!r}], check=True)\n{wait}"
    gitexp("run", "--", "python", "-c", program)
    assert not is_sealed(repo)
    repo.write("go", "")
    wait_for(repo.path / "over")
    run = latest()
    assert (run.status, run.metrics["late"].last) == ("finished", 1)
    assert is_sealed(repo)


# Bad input


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "no command"),
        (["run", "--"], "no command"),
        (["run", "python", "train.py"], "python train.py"),
        (["run", "--budget", "soon", "--", "true"], "length of time"),
        (["run", "--param", "lr", "--", "true"], "KEY=VALUE"),
        (["run", "--param", "a=1", "--param", "a.b=2", "--", "true"], "contradicts"),
        (["run", "--name", "", "--", "true"], "name is empty"),
        (["run", "--seed", "x", "--", "true"], "invalid int"),
    ],
)
def test_bad_command_line_is_one_sentence_and_a_hint(
    repo: Git, arguments: list[str], said: str
) -> None:
    refused = gitexp(*arguments, check=2)
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 2
    assert gitexp_json("log") == {"runs": []}


def test_unknown_parent_is_refused_before_anything_runs(repo: Git) -> None:
    refused = gitexp("run", "--parent", "nobody", "--", "touch", "ran", check=1)
    assert "No run answers to 'nobody'." in refused.stderr
    assert not (repo.path / "ran").exists()


def test_outside_of_a_repository_nothing_runs(hermetic: Path) -> None:
    refused = gitexp("run", "--", "touch", "ran", cwd=hermetic, check=10)
    assert "error: There is no git repository here." in refused.stderr
    assert not (hermetic / "ran").exists()


# Small parts


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python train.py --lr 0.1", "train.py --lr 0.1"),
        ("/usr/bin/python3.12 src/train.py data/x.csv", "train.py x.csv"),
        ("python -m pkg.train --lr 1", "pkg.train --lr 1"),
        ("python -c pass", "python -c pass"),
        ("python", "python"),
        ("env bash run.sh", "run.sh"),
        ("./train", "train"),
        ("python -m", "python -m"),
        ("make " + "x" * 80, "make " + "x" * 54 + "…"),
    ],
)
def test_default_name_is_short_and_says_what_runs(command: str, name: str) -> None:
    assert default_name(command.split()) == name


def test_default_name_of_blanks_is_not_empty() -> None:
    assert default_name([" "]) == "run"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", ("a", 1)),
        ("a=x=y", ("a", "x=y")),
        ("a=", ("a", "")),
        ("a=true", ("a", True)),
        ('a={"b": [1]}', ("a", {"b": [1]})),
        ("a=1e-3", ("a", 0.001)),
        ("a=01", ("a", "01")),
    ],
)
def test_parameter_values_are_json_or_text(text: str, value: tuple[str, Any]) -> None:
    assert parameter(text) == value


def test_parameters_with_dots_nest_and_the_last_of_two_wins() -> None:
    given = [("a.b", 1), ("a.c", 2), ("d", 3), ("d", 4)]
    assert nested(given) == {"a": {"b": 1, "c": 2}, "d": 4}


@pytest.mark.parametrize("keys", [("a", "a.b"), ("a.b", "a"), ("a", "a.b.c")])
def test_parameter_that_is_value_and_folder_is_refused(keys: tuple[str, str]) -> None:
    with pytest.raises(UsageError, match="contradicts"):
        nested([(key, 1) for key in keys])


@pytest.mark.parametrize(("text", "value"), [("90", 90), ("2s", 2), ("1.5m", 90), ("1h", 3600)])
def test_budget_is_seconds_or_has_a_unit(text: str, value: float) -> None:
    assert seconds(text) == value
