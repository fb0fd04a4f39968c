"""``git exp replicate``: the exact code again, and nothing of the user's touched."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gitexp.configuration import setup_digest
from gitexp.memory import Memory
from gitexp.run import Run
from tests.full_store import HOSTILE, Caller, is_harmless
from tests.programs import install
from tests.support import Git

PATIENCE_S = 30.0
TRAIN = """
import os, sys
told = os.environ.get("GITEXP_SEED", 0)
seed = sys.argv[sys.argv.index("--seed") + 1] if "--seed" in sys.argv else told
print("said", os.getcwd())
print("---")
print("acc:", int(seed) / 8)
"""


@pytest.fixture(autouse=True)
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path / "bin", monkeypatch)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def trained(repo: Git, call: Caller) -> Run:
    """A run of a dirty work tree with a seed in its command; the tree is another one now."""
    repo.write("train.py", TRAIN)
    command = ("python", "train.py", "--seed", "3")
    call("run", "--param", "lr=0.5", "--tag", "mine", "--", *command)
    repo.write("train.py", "raise SystemExit('not this code')\n")
    return latest()


def latest(back: int = 0) -> Run:
    return Memory.open().get(f"latest~{back}" if back else "latest")


def tree(git: Git, run: Run) -> str:
    return git("rev-parse", f"{run.id}^{{tree}}")


def state(git: Git) -> dict[str, str]:
    """Return a digest of every file of the user: all but git's objects and gitexp's own."""
    found = {}
    for path in sorted(git.path.rglob("*")):
        name = path.relative_to(git.path).as_posix()
        own = (".git/objects", ".git/exprag", ".git/refs/exprag", ".git/refs/notes")
        if path.is_file() and not name.startswith(own):
            found[name] = hashlib.sha1(path.read_bytes()).hexdigest()
    return found


def test_a_replicate_has_the_same_code_base_and_setup(
    repo: Git, call: Caller, trained: Run
) -> None:
    before = state(repo)
    called = call("replicate", trained.id, "-n", "2")
    assert state(repo) == before
    first, second = latest(1), latest()
    assert [run.seed for run in (first, second)] == [4, 5]
    for run in (first, second):
        assert tree(repo, run) == tree(repo, trained)
        assert repo("rev-parse", f"{run.id}^") == repo("rev-parse", f"{trained.id}^")
        assert setup_digest(run) == setup_digest(trained)
        assert run.command == ("python", "train.py", "--seed", str(run.seed))
        assert (run.parameters, run.tags, run.status) == ({"lr": 0.5}, (), "finished")
        assert run.git is not None
        assert run.git.dirty
        assert b"said" in Memory.open().read_file(run, "run.log")
    assert [run.metrics["acc"].last for run in (first, second)] == [0.5, 0.625]
    assert [row.split("\t")[1:] for row in called.out.splitlines()] == [
        ["seed", "status", "acc"],
        ["3", "finished", "0.375"],
        ["4", "finished", "0.5"],
        ["5", "finished", "0.625"],
    ]
    assert "standard deviation 0.125 of 3 runs" in called.err
    assert "warning" not in called.err


def test_json_has_the_runs_their_spread_and_decisions(repo: Git, call: Caller) -> None:
    repo("config", "exprag.metric", "acc")
    repo.write("train.py", TRAIN)
    call("run", "--", "python", "train.py", "--seed", "3")
    data = call.json("replicate", "latest", "--seeds", "8,16")
    assert (data["metric"], data["goal"]) == ("acc", "max")
    assert data["mean"] == pytest.approx((0.375 + 1 + 2) / 3)
    assert [(row["seed"], row["value"]) for row in data["replicates"]] == [
        *(("3", 0.375), ("8", 1.0), ("16", 2.0)),
    ]
    assert data["run"] == data["replicates"][0]["run"]
    assert [run["seed"] for run in data["runs"]] == [8, 16]
    assert all(run["decision"]["metric"] == "acc" for run in data["runs"])


def test_a_seed_that_is_a_parameter_is_replaced(repo: Git, call: Caller) -> None:
    repo.write("train.py", TRAIN)
    call("run", "--param", "data.seed=3", "--param", "lr=1", "--", "python", "train.py")
    original = latest()
    called = call("replicate", "latest")
    run = latest()
    assert run.parameters == {"data": {"seed": 4}, "lr": 1}
    assert setup_digest(run) == setup_digest(original)
    assert "Nothing in the command is a seed" in called.err
    assert run.metrics["acc"].last == 0.5  # of GITEXP_SEED


def test_a_program_that_uses_no_seed_is_noticed(repo: Git, call: Caller) -> None:
    call("run", "--", "printf", r"---\nacc: 1\n")
    called = call("replicate", "latest")
    assert called.err.count("Nothing in the command is a seed") == 1
    assert "seems not to use the seed" in called.err


def test_a_seed_as_key_and_value_and_a_folder_below_the_top(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("sub/train.py", "import os, sys\nprint(os.getcwd(), sys.argv[1], 'here')\n")
    monkeypatch.chdir(repo.path / "sub")
    call("run", "--", "python", "train.py", "seed=1")
    monkeypatch.chdir(repo.path)
    call("replicate", "latest")
    run = latest()
    assert (run.cwd, run.command[-1]) == ("sub", "seed=2")
    folder = Memory.open().read_file(run, "run.log").split()[0].decode()
    assert folder.endswith("/repo/sub")
    assert not Path(folder).exists()


def test_data_is_linked_and_its_fingerprint_is_the_same(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("ignored/data.csv", "1\n")
    repo.write("ignored/bin/tool", "#!/bin/sh\ncat ignored/data.csv\n").chmod(0o755)
    call("run", "--input", "ignored/data.csv", "--", "ignored/bin/tool")
    original = latest()
    assert "--link" in call("replicate", "latest", code=1).err
    repo("config", "exprag.link", "ignored")
    monkeypatch.chdir(repo.path / "pkg")
    call("replicate", original.id)
    call("replicate", original.id, "--link", "../ignored")
    for run in (latest(), latest(1)):
        assert setup_digest(run) == setup_digest(original)
        assert run.status == "finished"
    assert (repo.path / "ignored" / "data.csv").read_text() == "1\n"


def test_what_the_snapshot_left_out_is_said_and_can_be_linked(repo: Git, call: Caller) -> None:
    repo.write("large.bin", "x" * (2 << 20))
    call("run", "--", "test", "-e", "large.bin")
    called = call("replicate", "latest", "-n", "2", code=1)
    assert called.err.count("left large.bin out") == 1
    called = call("replicate", "latest", "--link", "large.bin")
    assert "left large.bin out" not in called.err
    assert tree(repo, latest()) == tree(repo, latest(1))


def test_a_command_that_is_not_there_is_tried_once(repo: Git, call: Caller) -> None:
    call("run", "--", "true")
    called = call("replicate", "latest", "-n", "3", "--", "no-such-program", code=1)
    assert "1 of 1 replicates did not finish" in called.err
    assert "was not found" in called.err


def test_a_run_inside_of_another_is_no_part_of_it(
    repo: Git, call: Caller, trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITEXP_RUN", trained.id)
    call("replicate", trained.id)
    assert os.environ["GITEXP_RUN"] == trained.id
    assert (latest().parent, latest().seed) == (None, 4)


def test_an_experiment_in_the_program_joins_the_replicate(repo: Git, call: Caller) -> None:
    repo.write(
        "train.py",
        "import gitexp, random, os\n"
        "with gitexp.Experiment('inner', params={'lr': 1, 'seed': 3}, seed=3) as e:\n"
        "    e.track({'acc': 1.0})\n",
    )
    call("run", "--", "python", "train.py")
    original = latest()
    called = call("replicate", "latest")
    run = latest()
    assert (run.name, run.seed) == ("inner, seed 4", 4)
    assert setup_digest(run) == setup_digest(original)
    assert len(Memory.open().search()) == 2
    assert "no replicate" not in called.err


def test_the_next_replicate_does_not_see_what_the_last_one_wrote(repo: Git, call: Caller) -> None:
    call("run", "--", "sh", "-c", "test ! -e out && echo x > out")
    (repo.path / "out").unlink()
    call("replicate", "latest", "-n", "2")
    assert tree(repo, latest()) == tree(repo, latest(2))
    assert not (repo.path / "out").exists()


def test_what_is_no_replicate_is_said(repo: Git, call: Caller, trained: Run) -> None:
    command = ("python", "train.py", "--seed", "1", "--more")
    called = call("replicate", trained.id, "--", *command)
    assert "is no replicate: it differs in the command" in called.err
    assert [row.split("\t")[1] for row in called.out.splitlines()] == ["seed", "4"]


def test_those_that_did_not_finish_are_named(repo: Git, call: Caller) -> None:
    call("run", "--", "sh", "-c", "exit 3", code=3)
    called = call("replicate", "latest", "-n", "2", code=1)
    assert "2 of 2 replicates did not finish" in called.err
    assert latest().id[:12] in called.err


def test_a_budget_ends_each(repo: Git, call: Caller) -> None:
    repo.write("wait.sh", "sleep ${1:-0}\n")
    call("run", "--", "sh", "wait.sh")
    call("replicate", "latest", "--budget", "0.2s", "--", "sh", "wait.sh", "60", code=1)
    assert latest().status == "timeout"


@pytest.mark.parametrize(
    "arguments",
    [
        ("-n", "0"),
        ("-n", "100000"),
        ("--seeds", "1,x"),
        ("--seeds", "1,1"),
        ("--seeds", "1,2", "-n", "3"),
        ("--seeds", str(2**63)),
        ("--pattern", "("),
        ("--link", "nowhere"),
    ],
)
def test_a_wrong_request_runs_nothing(
    repo: Git, call: Caller, trained: Run, arguments: tuple[str, ...]
) -> None:
    assert call("replicate", "latest", *arguments, code=2).err.startswith(("error", "Running"))
    assert latest().id == trained.id


def test_a_disabled_gitexp_replicates_nothing(
    repo: Git, call: Caller, trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITEXP_MODE", "disabled")
    call("replicate", trained.id, code=2)


def test_hostile_names_do_not_reach_the_terminal(repo: Git, call: Caller) -> None:
    call("run", "--name", HOSTILE, "-m", HOSTILE, "--param", "x=\x1b[31m", "--", "true")
    called = call("replicate", "latest")
    assert is_harmless(called.out)
    assert is_harmless(called.err)
    assert latest().description == HOSTILE


def test_the_users_index_and_head_stay_in_the_middle_of_work(
    repo: Git, call: Caller, trained: Run
) -> None:
    repo("checkout", "--quiet", "-b", "topic")
    repo.write("staged.py", "1\n")
    repo("add", "staged.py")
    repo.write("pkg/model.py", "half done\n")
    (repo.path / ".git" / "MERGE_HEAD").write_text(repo("rev-parse", "HEAD") + "\n")
    before = state(repo)
    call("replicate", trained.id)
    assert state(repo) == before


def test_variables_of_a_calling_git_do_not_lead_into_the_users_tree(
    repo: Git, call: Caller, trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(repo)
    monkeypatch.setenv("GIT_DIR", str(repo.path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.path))
    monkeypatch.setenv("GIT_INDEX_FILE", str(repo.path / ".git" / "index"))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.abbrev")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "12")
    call("replicate", trained.id)
    monkeypatch.delenv("GIT_DIR")
    assert state(repo) == before
    assert tree(repo, latest()) == tree(repo, trained)
    assert latest().id != trained.id


def start(*arguments: str) -> subprocess.Popen[str]:
    """Start ``git-exp`` as the leader of a process group, as a shell starts a job."""
    return subprocess.Popen(
        [sys.executable, "-m", "gitexp.cli.main", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        process_group=0,
    )


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not path.exists() or not path.read_text():
        assert time.monotonic() < deadline, f"{path} did not appear"
        time.sleep(0.01)


@pytest.fixture
def slow(repo: Git, call: Caller, tmp_path: Path) -> Path:
    """A run whose replicates say where they are, and then take their time."""
    mark = tmp_path / "mark"
    repo.write(
        "slow.sh", f'[ -z "$GITEXP_SEED" ] || {{ pwd > {mark}; echo $$ >> {mark}; sleep 60; }}\n'
    )
    call("run", "--", "sh", "slow.sh")
    return mark


def test_kill_9_leaves_the_users_tree_and_the_next_call_cleans_up(
    repo: Git, call: Caller, slow: Path
) -> None:
    before = state(repo)
    process = start("replicate", "latest")
    wait_for(slow)
    process.kill()
    process.communicate()
    place, pid = slow.read_text().split()
    os.killpg(int(pid), signal.SIGKILL)
    now = state(repo)
    assert {name for name in now if not name.startswith(".git/worktrees/")} == before.keys()
    assert all(now[name] == before[name] for name in before)
    assert Path(place).exists()
    assert "lost its process" in call("replicate", "latest~1", "--", "true").err
    assert len(Memory.open().search("status == 'crashed'")) == 1
    assert not Path(place).parent.exists()
    assert state(repo) == before


def test_an_interrupt_ends_all_and_leaves_nothing(repo: Git, slow: Path) -> None:
    before = state(repo)
    process = start("replicate", "latest", "-n", "3", "--json")
    wait_for(slow)
    os.kill(process.pid, signal.SIGINT)
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert [run["status"] for run in json.loads(out)["runs"]] == ["interrupted"]
    assert state(repo) == before
    assert not Path(slow.read_text().split()[0]).exists()
