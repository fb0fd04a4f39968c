"""What the sandbox lets a program see and do; and that without one it is said."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from gitexp.git.repository import Repository
from gitexp.loop.cage.sandbox import Sandbox, View, find_sandbox, sandbox_sentence
from gitexp.loop.cage.worktree import Cage
from gitexp.memory import Memory
from gitexp.running import Job, record_command
from tests.caged import FLEE, SANDBOX, cage_of, is_alive, needs_sandbox, run_in, soon, state_of
from tests.support import Git


def test_where_there_is_none_it_is_said(tmp_path: Path) -> None:
    assert find_sandbox(str(tmp_path)) is None
    assert "no sandbox" in sandbox_sentence(None)
    assert "not prevented" in sandbox_sentence(None)
    assert "bubblewrap" in sandbox_sentence(Sandbox(Path("/usr/bin/bwrap")))


def test_one_that_does_not_work_is_none(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'No permissions to create a new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    assert find_sandbox(str(tmp_path)) is None


def test_secrets_are_covered_but_for_those_that_are_wanted(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".netrc").write_text("machine")
    (tmp_path / "api_key.txt").write_text("x")
    (tmp_path / "notes.txt").write_text("x")
    words = Sandbox(Path("bwrap")).wrap(
        View(writable=(tmp_path / ".aws",), homes=(tmp_path,), shown=(tmp_path / "api_key.txt",))
    )
    pairs = list(pairwise(words))
    assert ("--tmpfs", str(tmp_path / ".ssh")) in pairs
    assert (os.devnull, str(tmp_path / ".netrc")) in pairs
    assert ("--bind-try", str(tmp_path / ".aws")) in pairs
    assert ("--tmpfs", str(tmp_path / ".aws")) not in pairs
    assert not any("api_key" in word or "notes" in word for word in words)


@needs_sandbox
def test_inner_folders_count_more_than_outer_ones(repo: Git) -> None:
    home = Path.home()
    for path in (".config/gh/hosts", ".config/own/x", ".docker/x", ".docker/own/x"):
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text("x")
    with cage_of(repo, sandbox=SANDBOX) as cage:
        code = (
            "import os\n"
            f"os.chdir({str(home)!r})\n"
            "print(os.listdir('.config/gh'), os.listdir('.docker'))\n"
            "open('.config/own/y', 'w'); open('.docker/own/y', 'w')\n"
        )
        wrap = cage.wrap(writable=(home / ".config", home / ".docker" / "own"))
        done = subprocess.run([*wrap, sys.executable, "-c", code], capture_output=True, check=True)
    assert done.stdout == b"[] ['own']\n"
    assert (home / ".config/own/y").exists()
    assert (home / ".docker/own/y").exists()


def seen(cage: Cage, code: str) -> str:
    result, output = run_in(cage, code)
    assert result.exit_code == 0, output
    return output


@needs_sandbox
def test_only_the_worktree_and_temporary_folders_can_be_written(repo: Git, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    before = state_of(repo)
    places = ["/", "/usr", str(Path.home()), str(repo.path), str(repo.path / ".git"), "/sys"]
    with cage_of(repo, sandbox=SANDBOX) as cage:
        code = (
            "import os, tempfile\n"
            f"for place in {places!r}:\n"
            "    try: open(place + '/planted', 'w'); print('wrote to', place)\n"
            "    except OSError: pass\n"
            "open('inside', 'w'); open('/tmp/private', 'w'); tempfile.NamedTemporaryFile()\n"
            f"print(os.path.exists({str(tmp_path / 'elsewhere')!r}))\n"
            "print(tempfile.gettempdir())\n"
        )
        said = seen(cage, code).split("\n")
        assert said[0] == "False"
        assert Path(said[1]).parent == cage.folder.parent
        assert (cage.folder / "inside").exists()
        assert not Path("/tmp/private").exists()
    assert state_of(repo) == before
    assert not (Path.home() / "planted").exists()


@needs_sandbox
def test_secrets_of_the_home_folder_cannot_be_read(repo: Git) -> None:
    home = Path.home()
    (home / ".ssh").mkdir()
    (home / ".ssh" / "id_ed25519").write_text("secret")
    (home / ".netrc").write_text("secret")
    (home / "plain.txt").write_text("plain")
    (repo.path / ".env").write_text("secret")
    with cage_of(repo, sandbox=SANDBOX) as cage:
        code = (
            "import os\n"
            f"home, repo = {str(home)!r}, {str(repo.path)!r}\n"
            "print(os.listdir(home + '/.ssh'), open(home + '/plain.txt').read())\n"
            "for place in (home + '/.netrc', repo + '/.env'):\n"
            "    try: print(open(place).read())\n"
            "    except PermissionError: print('covered')\n"
        )
        assert seen(cage, code) == "[] plain\ncovered\ncovered\n"


@needs_sandbox
def test_other_processes_cannot_be_seen(repo: Git) -> None:
    other = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    try:
        with cage_of(repo, sandbox=SANDBOX) as cage:
            code = "import os\nprint(len([n for n in os.listdir('/proc') if n.isdecimal()]) < 9)\n"
            code += f"try: os.kill({other.pid}, 9)\nexcept OSError: print('none')"
            assert seen(cage, code).split() == ["True", "none"]
        assert is_alive(other.pid)
    finally:
        other.kill()
        other.wait()


@needs_sandbox
def test_a_daemon_ends_with_its_sandbox_whatever_it_does(repo: Git) -> None:
    with cage_of(repo, sandbox=SANDBOX) as cage:
        code = f"{FLEE}\nflee({{}})\nos.kill(os.getppid(), 9)\ntime.sleep(600)"
        run_in(cage, code)
        sleeping = [p for p in Path("/proc").glob("[0-9]*/cmdline") if b"'daemon'" in _read(p)]
        assert sleeping == []
        assert cage.settle() == [] or all(b.kind in ("new", "process") for b in cage.settle())


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


@needs_sandbox
def test_the_sandbox_ends_with_the_loop(repo: Git, tmp_path: Path) -> None:
    starter = (
        "import os, subprocess, sys, time\n"
        "from tests.caged import SANDBOX, cage_of\n"
        "from tests.support import Git\n"
        "from pathlib import Path\n"
        "with cage_of(Git(Path(sys.argv[1])), sandbox=SANDBOX) as cage:\n"
        "    subprocess.Popen([*cage.wrap(), sys.executable, '-S', '-c',"
        ' \'import time\\nopen("here", "w")\\ntime.sleep(54321)\'], cwd=cage.folder)\n'
        "    while not (cage.folder / 'here').exists(): time.sleep(0.02)\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(600)\n"
    )
    loop = subprocess.Popen(
        [sys.executable, "-c", starter, str(repo.path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[1],
    )
    assert loop.stdout is not None
    assert loop.stdout.readline() == b"ready\n"
    sleeping = [p.parent for p in Path("/proc").glob("[0-9]*/cmdline") if b"54321" in _read(p)]
    inside = [int(p.name) for p in sleeping if int(p.name) != loop.pid]
    assert inside
    loop.kill()
    loop.wait()
    loop.stdout.close()
    assert soon(lambda: not any(map(is_alive, inside)))
    with cage_of(repo):  # removes what the killed loop left
        assert len(repo("worktree", "list").split("\n")) == 2
    assert len(repo("worktree", "list").split("\n")) == 1


@needs_sandbox
@pytest.mark.parametrize("network", [True, False])
def test_the_network_is_there_unless_it_is_refused(repo: Git, network: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_greet, args=(server,), daemon=True).start()
        code = f"import socket; socket.create_connection(('127.0.0.1', {server.getsockname()[1]}))"
        with cage_of(repo, sandbox=SANDBOX) as cage:
            words = [*cage.wrap(network=network), sys.executable, "-c", code]
            done = subprocess.run(words, cwd=cage.folder, capture_output=True, check=False)
    assert (done.returncode == 0) == network, done.stderr


def _greet(server: socket.socket) -> None:
    try:
        server.accept()[0].close()
    except OSError:  # nobody came, and the server is closed
        return


@needs_sandbox
def test_a_training_script_joins_its_run(repo: Git) -> None:
    code = (
        "from gitexp import Experiment\n"
        "with Experiment('from inside', params={'lr': 3}) as e:\n"
        "    e.track({'step': 0, 'loss': 0.5})\n"
        "    e.log_file('train.py')\n"
    )
    with cage_of(repo, sandbox=SANDBOX) as cage:
        with cage.entered():
            job = Job(
                (sys.executable, "-c", code),
                "outer",
                {},
                {},
                cage.environment(os.environ),
                wrap=cage.wrap(),
            )
            recorded = record_command(cage.repository, job)
        assert recorded.exit_code == 0
        assert cage.settle(outputs=True) == []
    run = Memory(Repository.discover(repo.path)).get(recorded.run)
    assert (run.status, run.parameters, run.value("loss")) == ("finished", {"lr": 3}, 0.5)
    assert run.command == job.command


@needs_sandbox
def test_a_summary_file_comes_out_of_the_sandbox(repo: Git) -> None:
    code = "import json, os; json.dump({'val': 2}, open(os.environ['GITEXP_SUMMARY'], 'w'))"
    with cage_of(repo, sandbox=SANDBOX) as cage, cage.entered():
        environment = cage.environment(os.environ)
        job = Job((sys.executable, "-c", code), "n", {}, {}, environment, wrap=cage.wrap())
        recorded = record_command(cage.repository, job)
    assert Memory(Repository.discover(repo.path)).get(recorded.run).value("val") == 2


@needs_sandbox
def test_journals_cannot_be_forged_by_who_does_not_join(repo: Git) -> None:
    journals = repo.path / ".git" / "exprag" / "live"
    with cage_of(repo, sandbox=SANDBOX) as cage:
        code = f"open({str(journals / ('0' * 40))!r}, 'w')"
        words = [*cage.wrap(joins=False), sys.executable, "-c", code]
        done = subprocess.run(words, cwd=cage.folder, capture_output=True, check=False)
    assert b"Read-only file system" in done.stderr
    assert list(journals.iterdir()) == []


@needs_sandbox
def test_further_places_can_be_opened(repo: Git, tmp_path: Path) -> None:
    settings = tmp_path / "settings"
    settings.mkdir()
    with cage_of(repo, sandbox=SANDBOX) as cage:
        words = cage.wrap(writable=(settings, tmp_path / "not-there"))
        code = f"open({str(settings / 'x')!r}, 'w')"
        subprocess.run([*words, sys.executable, "-c", code], cwd=cage.folder, check=True)
    assert (settings / "x").exists()


@needs_sandbox
def test_tools_get_caches_that_they_can_write(repo: Git) -> None:
    with cage_of(repo, sandbox=SANDBOX) as cage:
        code = (
            "import os\n"
            "for name in ('UV_CACHE_DIR', 'TRITON_CACHE_DIR', 'NUMBA_CACHE_DIR'):\n"
            "    os.makedirs(os.environ[name]); open(os.environ[name] + '/x', 'w')\n"
        )
        seen(cage, code)
    with cage_of(repo) as cage:
        assert cage.environment({"UV_CACHE_DIR": "own"})["UV_CACHE_DIR"] == "own"


@needs_sandbox
def test_linked_data_can_be_read_and_not_written(repo: Git) -> None:
    repo.write("ignored/data.txt", "data")
    with cage_of(repo, links=["ignored"], sandbox=SANDBOX) as cage:
        code = (
            "print(open('ignored/data.txt').read())\n"
            "try: open('ignored/data.txt', 'w')\n"
            "except OSError as error: print(error.strerror)\n"
        )
        assert seen(cage, code) == "data\nRead-only file system\n"
        assert cage.settle() == []
        assert cage.changed() == []


@needs_sandbox
def test_the_graphics_devices_would_be_there(repo: Git) -> None:
    with cage_of(repo, sandbox=SANDBOX) as cage:
        code = "import os; print(*sorted(os.listdir('/dev')))"
        inside = set(seen(cage, code).split())
    assert {"null", "zero", "urandom", "shm"} <= inside
    assert not inside & {"sda", "vda", "mem", "kmsg", "fuse", "net"}
    assert {p.name for p in Path("/dev").glob("nvidia[0-9]*")} <= inside
