from __future__ import annotations

import gc
import json
import math
import os
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import pytest

import gitexp
from gitexp import Experiment, GitexpWarning, Memory
from gitexp.agents.memory import AgentMemory
from gitexp.errors import (
    GitexpError,
    NoRepositoryError,
    RunEndedError,
    UsageError,
    ValueRejectedError,
)
from gitexp.journal import live_runs
from gitexp.run import Run
from tests.support import Git, python

EXPRAG_PROGRAM = """
from {package} import Experiment

exp = Experiment(
    "training my neural network",
    # this metadata is captured only once at the experiment start
    metadata={{
        "hparams": {{
            "learning_rate": 0.03,
            "batch_size": 32,
        }}
    }},
)

for step in range(5):
    loss = 1.0 / (step + 1)
    acc = 0.6 + step * 0.05

    exp.track(
        {{"step": step, "metrics": {{"loss": loss, "acc": acc}}}},
        note="training metrics after each step",
    )
"""


def latest() -> Run:
    return gitexp.open().get("latest")


def test_the_program_of_exprag_runs_unchanged_but_for_the_import(repo: Git) -> None:
    repo.write("program.py", EXPRAG_PROGRAM.format(package="gitexp"))
    subprocess.run([sys.executable, "program.py"], check=True)
    memory = gitexp.open()
    (run,) = memory.runs()
    assert run.name == "training my neural network"
    assert run.status == "finished"
    assert run.metadata == {"hparams": {"learning_rate": 0.03, "batch_size": 32}}
    assert run.metrics["metrics.acc"].max == 0.8
    assert [call.note for call in memory.calls(run)] == ["training metrics after each step"] * 5
    assert [p.value for p in memory.history(run, "loss")] == [1.0, 0.5, 1 / 3, 0.25, 0.2]
    assert repo("show", f"{run.id}:program.py") == EXPRAG_PROGRAM.format(package="gitexp").rstrip()


def test_everything_given_is_recorded(repo: Git) -> None:
    repo.write("data/a.bin", b"abc")
    repo.write("data/b/c.bin", b"def")
    os.chdir("pkg")
    with Experiment(
        "full",
        {"note": 1},
        params={"lr": 0.1, "model": {"width": 8}, "bad": math.inf},
        tags=["baseline", "fast"],
        description="a try",
        hypothesis="it helps",
        family="width",
        seed=3,
        inputs=["../data"],
        parent="a" * 40,
    ) as exp:
        exp.track({"loss": 1.0})
    run = latest()
    assert (run.name, run.description, run.hypothesis, run.family) == (
        "full",
        "a try",
        "it helps",
        "width",
    )
    assert run.parameters == {"lr": 0.1, "model": {"width": 8}, "bad": math.inf}
    assert (run.seed, run.tags, run.parent, run.cwd) == (3, ("baseline", "fast"), "a" * 40, "pkg")
    assert [(i.path, i.size, i.files) for i in run.inputs] == [("../data", 6, 2)]
    assert run.by == "Ada Lovelace <ada@example.org>"
    assert run.git is not None
    assert run.git.branch == "main"
    assert run.git.head == repo("rev-parse", "HEAD")
    assert run.pid == os.getpid()
    environment = json.loads(gitexp.open().environment(run.environment) or b"")
    assert environment["packages"]["pygit2"]
    assert run.id == exp.run_id == repo("rev-parse", f"refs/exprag/runs/{run.id}")


def test_the_environment_is_stored_once_for_all_runs(repo: Git) -> None:
    for _ in range(3):
        Experiment("x").finish()
    names = repo("for-each-ref", "--format=%(refname)", "refs/exprag/files").splitlines()
    assert len(names) == 1
    assert len(repo("ls-tree", "-r", "--name-only", names[0]).splitlines()) == 1


def test_values_that_cannot_be_kept_stop_before_anything_is_written(repo: Git) -> None:
    before = repo("for-each-ref")
    with pytest.raises(ValueRejectedError, match=r"params\.model\.f"):
        Experiment("x", params={"model": {"f": object()}})
    with pytest.raises(ValueRejectedError, match="mapping"):
        Experiment("x", params=3)
    with pytest.raises(UsageError, match="empty"):
        Experiment("  ")
    with pytest.raises(GitexpError, match="missing"):
        Experiment("x", inputs=["missing"])
    assert repo("for-each-ref") == before
    assert not live_runs(gitexp.open().repository)


def test_outside_of_a_repository_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(NoRepositoryError, match="no git repository"):
        Experiment("x")


def test_a_run_in_progress_is_seen_at_once(repo: Git) -> None:
    exp = Experiment("live", params={"lr": 1})
    exp.track({"acc": 0.5})
    exp.tag("wip")
    exp.note("looks good")
    memory = gitexp.open()
    run = memory.get("live")
    assert (run.status, run.tags, run.metrics["acc"].last) == ("running", ("wip",), 0.5)
    assert [c.text for c in run.comments] == ["looks good"]
    assert memory.best("acc").rows[0].run.id == exp.run_id
    assert [p.value for p in memory.history(run, "acc")] == [0.5]
    exp.finish()
    assert latest().status == "finished"
    assert not Path(exp.path).exists()


def test_after_the_end_nothing_more_is_taken(repo: Git) -> None:
    exp = Experiment("x")
    exp.track(1)
    exp.finish()
    exp.finish()
    with pytest.raises(RunEndedError):
        exp.track(2)
    with pytest.raises(RunEndedError):
        exp.note("late")
    assert latest().calls == 1


def test_a_run_ends_when_its_object_goes_away(repo: Git) -> None:
    for lr in (0.1, 0.2):
        exp = Experiment("sweep", params={"lr": lr})
        exp.track({"loss": lr})
    assert sorted(run.status for run in gitexp.open().runs()) == ["finished", "running"]
    del exp
    gc.collect()
    assert [run.status for run in gitexp.open().runs()] == ["finished"] * 2


def test_an_exception_in_the_block_is_recorded_and_passed_on(repo: Git) -> None:
    with pytest.raises(ZeroDivisionError), Experiment("x") as exp:
        exp.track(1 / 0)
    run = latest()
    assert run.status == "crashed"
    assert run.error is not None
    assert (run.error.type, run.error.message) == ("ZeroDivisionError", "division by zero")
    assert "1 / 0" in run.error.tail


@pytest.mark.parametrize(
    ("code", "status", "exit_code", "error"),
    [
        ("raise RuntimeError('boom')", "crashed", 1, "RuntimeError"),
        ("raise KeyboardInterrupt", "interrupted", 130, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", "interrupted", 143, None),
        ("import os, signal; os.kill(os.getpid(), signal.SIGINT)", "interrupted", 130, None),
        ("pass", "finished", None, None),
    ],
)
def test_the_way_a_script_ends_is_recorded(
    repo: Git, code: str, status: str, exit_code: int | None, error: str | None
) -> None:
    python(
        f"from gitexp import Experiment\nexp = Experiment('x')\nexp.track(1)\n{code}", check=False
    )
    run = latest()
    assert (run.status, run.exit_code, run.calls) == (status, exit_code, 1)
    assert (run.error.type if run.error else None) == error


@pytest.mark.parametrize(
    ("code", "status"), [("0", "finished"), ("3", "failed"), ("'no'", "failed")]
)
def test_sys_exit_in_a_block(repo: Git, code: str, status: str) -> None:
    python(
        f"""
import sys
from gitexp import Experiment
with Experiment('x'):
    sys.exit({code})
""",
        check=False,
    )
    assert latest().status == status


def test_the_users_own_handlers_stay_in_force(repo: Git) -> None:
    out = python(
        """
import signal, sys, os
sys.excepthook = lambda *_: print("my hook")
signal.signal(signal.SIGTERM, lambda *_: print("my handler"))
from gitexp import Experiment
exp = Experiment('x')
os.kill(os.getpid(), signal.SIGTERM)
exp.track(1)
raise ValueError
""",
        check=False,
    )
    assert out.split("\n")[:2] == ["my handler", "my hook"]
    assert latest().status == "crashed"


def test_kill_9_loses_nothing_and_the_next_command_seals(repo: Git) -> None:
    python(
        """
import os, signal
from gitexp import Experiment
exp = Experiment('x', params={'lr': 1})
for i in range(100):
    exp.track({'loss': i})
os.kill(os.getpid(), signal.SIGKILL)
""",
        check=False,
    )
    run = latest()
    assert (run.status, run.calls, run.parameters) == ("crashed", 100, {"lr": 1})
    assert not live_runs(gitexp.open().repository)


def test_a_forked_child_never_ends_its_parents_run(repo: Git) -> None:
    python("""
import os, sys
from gitexp import Experiment
exp = Experiment('x')
exp.track('parent')
if os.fork() == 0:
    exp.track('child')
    exp.finish()
    sys.exit(0)
os.wait()
exp.track('parent again')
exp.finish()
""")
    memory = gitexp.open()
    assert [c.value for c in memory.calls(memory.get("latest"))] == [
        "parent",
        "child",
        "parent again",
    ]
    assert latest().status == "finished"


def test_data_loader_workers_by_fork(repo: Git) -> None:
    python("""
import multiprocessing, warnings
from gitexp import Experiment
exp = Experiment('x')
def work(i):
    exp.track({'worker': i})
    return i
with multiprocessing.get_context('fork').Pool(3) as pool:
    pool.map(work, range(20))
exp.finish()
""")
    run = latest()
    assert (run.status, run.calls) == ("finished", 20)


def test_another_process_joins_by_the_environment(repo: Git) -> None:
    exp = Experiment("driver", params={"lr": 1})
    exp.track("driver")
    python(
        """
import os
from gitexp import Experiment
os.chdir('/')
exp = Experiment('worker', params={'rank': 0}, tags=['joined'], metadata={'gpu': 'x'})
exp.track('worker')
exp.finish()
""",
        GITEXP_RUN=exp.run_id,
        GITEXP_GIT_DIR=str(repo.path / ".git"),
    )
    assert latest().status == "running"
    exp.finish()
    (run,) = gitexp.open().runs()
    assert (run.status, run.calls, run.tags) == ("finished", 2, ("joined",))
    assert run.parameters == {"lr": 1, "rank": 0}
    assert run.metadata == {"gpu": "x"}


def test_the_last_process_that_leaves_seals(repo: Git) -> None:
    exp = Experiment("driver")
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "exp = __import__('gitexp').Experiment('worker'); exp.track('early'); "  # noqa: ISC004
            "print('ready', flush=True); input(); exp.track('late')",
        ],
        env={**os.environ, "GITEXP_RUN": exp.run_id},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout is not None
    assert worker.stdout.readline() == "ready\n"
    exp.finish()
    assert live_runs(gitexp.open().repository) == [exp.run_id]
    assert latest().status == "finished"  # as its owner said, though a worker still writes
    worker.communicate("\n")
    assert worker.returncode == 0
    assert not live_runs(gitexp.open().repository)
    memory = gitexp.open()
    assert [c.value for c in memory.calls(memory.get("latest"))] == ["early", "late"]


def test_a_run_that_cannot_be_joined_says_so(repo: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    for bad in ("b" * 40, "../../etc", "x"):
        monkeypatch.setenv("GITEXP_RUN", bad)
        with pytest.raises(RunEndedError, match="no run in progress"):
            Experiment("x")


def test_disabled_is_a_no_op_even_outside_of_a_repository(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GITEXP_MODE", "disabled")
    with Experiment("", params=object(), inputs=["missing"]) as exp:
        exp.track(object(), step="x")  # type: ignore[arg-type]
        exp.tag("a")
        exp.note("b")
        exp.log_params({"a": 1})
        exp.log_file("missing")
    assert (exp.run_id, exp.path) == ("", "")


def test_threads_track_while_the_run_ends(repo: Git) -> None:
    exp = Experiment("x")
    kept = [0] * 4

    def work(number: int) -> None:
        try:
            while True:
                exp.track(number)
                kept[number] += 1
        except RunEndedError:
            return

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    exp.finish()
    for thread in threads:
        thread.join()
    assert latest().calls == sum(kept) > 0


def test_files_are_kept_as_they_are_now(repo: Git) -> None:
    file = repo.write("plot.svg", "<svg/>")
    exp = Experiment("x")
    exp.log_file(file)
    exp.log_file(file, "plots/first.svg")
    file.write_text("changed")
    exp.finish()
    memory = gitexp.open()
    run = memory.get("latest")
    assert sorted(memory.files(run)) == ["plot.svg", "plots/first.svg"]
    assert memory.read_file(run, "plots/first.svg") == b"<svg/>"


@pytest.mark.parametrize("name", ["../x", "/etc/x", "a/../../x"])
def test_a_file_name_that_leads_out_is_refused(repo: Git, name: str) -> None:
    with Experiment("x") as exp, pytest.raises(UsageError, match="leads out"):
        exp.log_file("README", name)


def test_large_and_secret_files_are_left_out_with_one_warning(repo: Git) -> None:
    repo.write(".env", "KEY=1")
    repo.write("big.bin", bytes(3 << 20))
    with pytest.warns(GitexpWarning) as caught:
        Experiment("x").finish()
    text = " ".join(str(w.message) for w in caught)
    assert ".env" in text
    assert "big.bin" in text
    run = latest()
    assert run.git is not None
    assert sorted(item.path for item in run.git.left_out) == [".env", "big.bin"]


def test_submodule_changes_are_kept_with_the_runs_files(repo: Git, template: Path) -> None:
    repo("submodule", "--quiet", "add", str(template), "sub")
    repo("commit", "--quiet", "-m", "sub")
    repo.write("sub/train.py", "lr = 0.5\n")
    with pytest.warns(GitexpWarning, match="sub"):
        Experiment("x").finish()
    memory = gitexp.open()
    patch = memory.read_file(memory.get("latest"), "submodules/sub.patch")
    assert b"+lr = 0.5" in patch


@pytest.mark.parametrize("step", [1.5, "one", None])
def test_a_step_is_a_whole_number(repo: Git, step: Any) -> None:
    with Experiment("x") as exp:
        if step is None:
            exp.track(1, step=step)
        else:
            with pytest.raises(ValueRejectedError, match="whole number"):
                exp.track(1, step=step)


def test_a_store_that_cannot_be_written_at_the_end_is_a_warning(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitexp import experiment

    exp = Experiment("x")
    exp.track(1)

    def full(*_: object) -> None:
        raise GitexpError("Could not write: No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(experiment, "seal_own", full)
        with pytest.warns(GitexpWarning, match="safe in its journal"):
            exp.finish()
    exp._run.journal.close()  # type: ignore[union-attr]
    assert latest().status == "finished"
    assert latest().calls == 1


def test_a_key_with_a_newline_and_an_odd_name_are_kept(repo: Git) -> None:
    with Experiment("a\x1b[31m\nname \udcff") as exp:
        exp.track({"key\nline": 1.0, "": 2.0})
    memory = gitexp.open()
    run = memory.get("latest")
    assert run.name == "a\x1b[31m\nname \\xff"
    assert memory.calls(run)[0].value == {"key\nline": 1.0, "": 2.0}
    assert "\n" not in repo("log", "-1", "--format=%s", run.id)


def test_the_user_sees_nothing_changed(repo: Git) -> None:
    repo.write("train.py", "lr = 0.2\n")
    repo.write("new.py", "x = 1\n")
    before = (repo("status", "--porcelain"), repo("branch", "-a"), repo("stash", "list"))
    Experiment("x").finish()
    assert (repo("status", "--porcelain"), repo("branch", "-a"), repo("stash", "list")) == before


def test_importing_the_package_is_free() -> None:
    loaded = python(
        "import gitexp, sys; print([m for m in ('pygit2', 'msgspec') if m in sys.modules])"
    )
    assert loaded == "[]\n"
    assert set(gitexp.__all__) <= set(dir(gitexp))
    assert gitexp.open == AgentMemory.open
    assert issubclass(AgentMemory, Memory)
    with pytest.raises(AttributeError):
        _ = gitexp.nothing


def test_interrupting_the_start_leaves_nothing(repo: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    from gitexp import experiment

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(experiment, "create_handle", interrupt)
    with pytest.raises(KeyboardInterrupt):
        Experiment("x")
    assert not live_runs(gitexp.open().repository)
    assert repo("for-each-ref", "refs/exprag") == ""


def test_signals_while_no_run_is_open_do_what_they_always_do(repo: Git) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "__import__('gitexp').Experiment('x').finish(); print('go', flush=True); input()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == -signal.SIGTERM


def test_warnings_do_not_stop_a_run_under_error_filters(repo: Git) -> None:
    repo.write(".env", "KEY=1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GitexpWarning)
        Experiment("x").finish()
    assert latest().status == "finished"


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("seed", "x"),
        ("seed", 1.0),
        ("seed", True),
        ("seed", 10**30),
        ("family", 5),
        ("description", ["a"]),
        ("hypothesis", {}),
        ("tags", [1]),
        ("command", [None]),
    ],
)
def test_an_argument_of_a_wrong_type_is_named_before_anything_is_written(
    repo: Git, argument: str, value: Any
) -> None:
    before = repo("for-each-ref"), repo("count-objects")
    with pytest.raises(ValueRejectedError, match=argument):
        Experiment("x", **{argument: value})
    assert (repo("for-each-ref"), repo("count-objects")) == before


@pytest.mark.parametrize("name", [None, 5, ["x"]])
def test_a_name_is_a_text(repo: Git, name: Any) -> None:
    with pytest.raises(ValueRejectedError, match="name"):
        Experiment(name)


def test_a_parent_is_the_id_of_a_run(repo: Git) -> None:
    with pytest.raises(UsageError, match="parent"):
        Experiment("x", parent="latest")


def test_a_huge_step_is_refused(repo: Git) -> None:
    with Experiment("x") as exp, pytest.raises(ValueRejectedError, match="64 bits"):
        exp.track(1, step=10**30)


def test_an_unknown_status_is_refused_and_the_run_goes_on(repo: Git) -> None:
    exp = Experiment("x")
    with pytest.raises(UsageError, match="is not the status of a run"):
        exp.finish("success")  # type: ignore[arg-type]
    exp.track(1)
    exp.finish()
    assert (latest().status, latest().calls) == ("finished", 1)


def test_a_forked_child_dies_of_sigterm_as_ever(repo: Git) -> None:
    exp = Experiment("x")
    child = os.fork()
    if child == 0:
        while True:
            time.sleep(0.01)
    time.sleep(0.05)
    os.kill(child, signal.SIGTERM)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
    exp.finish()
    assert latest().status == "finished"


def test_a_sweep_in_one_process_that_joined_is_not_one_run(repo: Git) -> None:
    driver = Experiment("driver")
    code = """
from gitexp import Experiment
for lr in (0.1, 0.2, 0.3):
    with Experiment(f"lr {lr}", params={"lr": lr}) as exp:
        exp.track({"acc": 1 - lr})
"""
    python(code, GITEXP_RUN=driver.run_id)
    driver.finish()
    runs = {run.name: run for run in gitexp.open().runs()}
    assert {name: run.parameters["lr"] for name, run in runs.items()} == {
        "lr 0.1": 0.1,  # the driver's run, which the first one joined
        "lr 0.2": 0.2,
        "lr 0.3": 0.3,
    }
    assert runs["lr 0.2"].parent == runs["lr 0.3"].parent == driver.run_id
    assert all(run.metrics["acc"].last == 1 - run.parameters["lr"] for run in runs.values())


def test_a_dead_run_that_cannot_be_sealed_is_not_shown_as_running(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
import os, signal
from gitexp import Experiment
exp = Experiment('x')
os.kill(os.getpid(), signal.SIGKILL)
"""
    python(code, check=False)
    monkeypatch.setattr("gitexp.seal.recover", lambda _: [])
    assert latest().status == "crashed"


def test_git_has_the_word_on_who_owns_a_repository(repo: Git) -> None:
    """libgit2 reads no configuration from the environment, and must not judge for itself."""
    code = """
import os, pygit2
pygit2.settings.owner_validation = True
from gitexp import Experiment
Experiment('x').finish()
"""
    os.chown(repo.path, 12345, 12345) if os.geteuid() == 0 else None
    os.chown(repo.path / ".git", 12345, 12345) if os.geteuid() == 0 else None
    python(
        code,
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0="safe.directory",
        GIT_CONFIG_VALUE_0="*",
    )


def test_what_is_too_large_to_say_is_refused_before_anything_is_written(repo: Git) -> None:
    before = repo("for-each-ref"), repo("count-objects")
    with pytest.raises(ValueRejectedError, match="MiB together"):
        Experiment("x", metadata="\x01" * (3 << 20))
    assert (repo("for-each-ref"), repo("count-objects")) == before
    with Experiment("x") as exp, pytest.raises(ValueRejectedError, match="comment"):
        exp.note("x" * (9 << 20))
    assert latest().status == "finished"
