"""``init --hooks`` and the command ``hook``, called by git in pushes between real repositories."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gitexp import Experiment, removal
from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.records.facts import RemarkFact, RunFact
from gitexp.share import archive, pull
from gitexp.share import push as push_runs
from gitexp.store.batch import Batch, file_path, note_path, write_batch
from gitexp.store.union import REMOVED, as_tombstone
from tests.full_store import BEGIN, BY, END, Caller, commit, record_runs, write_facts
from tests.json_reference import check
from tests.support import Git

ZERO = "0" * 40
PLAIN_GIT = ("refs/exprag/*", "refs/notes/exprag*")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def git_exp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a ``git-exp`` that is this gitexp on PATH; it counts how often it was called."""
    folder = tmp_path / "programs"
    folder.mkdir()
    program = folder / "git-exp"
    root = Path(__file__).parents[1]
    program.write_text(
        f'#!/bin/sh\necho "$@" >>"{tmp_path}/calls"\n'
        f'PYTHONPATH="{root}" exec "{sys.executable}" -m gitexp.cli.main "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return tmp_path / "calls"


@pytest.fixture
def server(tmp_path: Path, repo: Git) -> Git:
    """A bare repository that is ``origin`` of `repo`."""
    path = tmp_path / "server.git"
    path.mkdir()
    git = Git(path)
    git("init", "--quiet", "--bare", "--initial-branch=main")
    repo("remote", "add", "origin", str(path))
    repo("config", "exprag.shard", "desk")
    return git


@pytest.fixture
def guarded_server(
    server: Git, git_exp: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> Git:
    """The server with the hook installed."""
    here = Path.cwd()
    monkeypatch.chdir(server.path)
    call("init", "--hooks")
    monkeypatch.chdir(here)
    return server


def push(git: Git, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", "push", *words], cwd=git.path, capture_output=True, text=True, check=False
    )


def refs_of(git: Git) -> str:
    return git("for-each-ref", "--format=%(objectname) %(refname)")


def shared_runs(git: Git, shard: str = "desk") -> set[str]:
    """Return the runs of which a shard of a repository speaks."""
    listed = git("ls-tree", "-r", "--name-only", refs.FACTS + shard)
    return {path.replace("/", "") for path in listed.split()}


# init --hooks


def test_init_installs_the_hook_and_removes_it_again(repo: Git, call: Caller) -> None:
    folder = repo.path / ".git" / "hooks"
    before = sorted(path.name for path in folder.iterdir())
    assert call.json("init")["hooks"] == {"pre-push": "absent"}
    found = call.json("init", "--hooks")
    assert found["hooks"] == {"pre-push": "installed"}
    assert found["hooks_folder"] == str(folder)
    assert "gitexp's hook" in call("init").out
    assert call.json("init", "--hooks", "--remove")["hooks"] == {"pre-push": "absent"}
    assert sorted(path.name for path in folder.iterdir()) == before


def test_init_says_which_hook_it_left_alone(repo: Git, call: Caller) -> None:
    hook = repo.path / ".git" / "hooks" / "pre-push"
    hook.write_text("#!/bin/sh\necho before\n")
    call("init", "--hooks")
    hook.write_text("#!/bin/sh\necho after\n")
    done = call("init", "--hooks", "--remove")
    assert f"{hook} is another program's; it is left as it is." in done.err
    assert "pre-push.before-gitexp" in done.err
    assert hook.read_text().endswith("echo after\n")
    assert "pre-push       a hook of another program" in done.out


def test_remove_alone_is_refused(repo: Git, call: Caller) -> None:
    assert "--hooks only" in call("init", "--remove", code=2).err


# pre-push


@pytest.fixture
def hooked(repo: Git, server: Git, git_exp: Path, call: Caller) -> Git:
    """The repository with the hook installed, and a server to push to."""
    call("init", "--hooks")
    return repo


def test_a_push_of_a_branch_shares_the_runs_that_were_started_on_it(
    hooked: Git, server: Git
) -> None:
    runs = record_runs(hooked)
    hooked("checkout", "--quiet", "-b", "topic")
    hooked("commit", "--quiet", "--allow-empty", "-m", "third")
    with Experiment("on topic") as experiment:
        experiment.track({"loss": 1.0})
    done = push(hooked, "origin", "main")
    assert done.returncode == 0
    assert "gitexp: 3 runs shared with origin." in done.stderr
    assert shared_runs(server) == set(runs)
    assert server("rev-parse", "main") == hooked("rev-parse", "main")
    assert "1 run shared" in push(hooked, "origin", "topic").stderr
    assert shared_runs(server) == {*runs, experiment.run_id}
    server.raw("rev-list", "--objects", "--all")


def test_a_second_push_shares_nothing_more(hooked: Git, server: Git) -> None:
    record_runs(hooked)
    push(hooked, "origin", "main")
    before = refs_of(server)
    hooked("commit", "--quiet", "--allow-empty", "-m", "third")
    for words in (("main",), ("main",), ("v1",), ("--delete", "v1")):
        hooked("tag", "--force", "v1")
        done = push(hooked, "origin", *words)
        assert done.returncode == 0
        assert "gitexp:" not in done.stderr + done.stdout
    after = refs_of(server)
    assert [line for line in after.splitlines() if "exprag" in line] == [
        line for line in before.splitlines() if "exprag" in line
    ]


def test_the_push_of_the_runs_calls_the_hook_of_before_and_does_not_go_round(
    hooked: Git, server: Git, git_exp: Path, call: Caller, tmp_path: Path
) -> None:
    call("init", "--hooks", "--remove")
    hook = hooked.path / ".git" / "hooks" / "pre-push"
    hook.write_text(f'#!/bin/sh\ncat >>"{tmp_path}/lines"\n')
    hook.chmod(0o755)
    call("init", "--hooks")
    record_runs(hooked)
    git_exp.unlink(missing_ok=True)
    assert push(hooked, "origin", "main").returncode == 0
    assert git_exp.read_text().splitlines() == [f"hook pre-push -- origin {server.path}"]
    lines = (tmp_path / "lines").read_text()
    assert "refs/heads/main" in lines
    assert refs.FACTS + "desk" in lines


def test_a_push_by_plain_git_of_runs_and_branch_is_not_raced(hooked: Git, server: Git) -> None:
    runs = record_runs(hooked)
    done = push(hooked, "origin", "main", *PLAIN_GIT)
    assert done.returncode == 0, done.stderr
    assert shared_runs(server) == set(runs)


def test_where_runs_cannot_be_shared_the_branch_is_pushed_all_the_same(
    hooked: Git, server: Git
) -> None:
    record_runs(hooked)
    server("config", "transfer.hideRefs", "refs/notes")
    done = push(hooked, "origin", "main")
    assert done.returncode == 0
    assert "warning: The runs of this push are not shared: " in done.stderr
    assert server("rev-parse", "main") == hooked("rev-parse", "main")


def test_a_secret_stays_here_and_the_branch_is_pushed(hooked: Git, server: Git) -> None:
    key = "AKIA" + "Q3EGRPEXAM7LDVTY"
    hooked.write("train.py", f"key = '{key}'\n")
    with Experiment("leaks") as experiment:
        experiment.track({"loss": 1.0})
    done = push(hooked, "origin", "main")
    assert done.returncode == 0
    assert "are not shared" in done.stderr
    assert key not in done.stderr
    assert "exprag" not in refs_of(server)


def test_a_push_to_a_url_and_a_run_of_another_shard(hooked: Git, server: Git) -> None:
    (run, *_) = record_runs(hooked)
    other = commit(hooked, "of another")
    write_facts(other, RunFact(time=BEGIN, by=BY, name="of another"))
    done = push(hooked, str(server.path), "main:refs/heads/elsewhere")
    assert done.returncode == 0, done.stderr
    assert run in shared_runs(server)
    assert refs.FACTS + "other" not in refs_of(server)


def test_the_hook_says_which_runs_it_shared_as_json(
    hooked: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = record_runs(hooked)
    monkeypatch.setenv("GITEXP_PUSHING", "1")
    tip = hooked("rev-parse", "HEAD")
    line = f"refs/heads/main {tip} refs/heads/main {ZERO}\n"
    feed(monkeypatch, line)
    assert call.json("hook", "pre-push", "origin", "url") == {"shared": []}
    monkeypatch.delenv("GITEXP_PUSHING")
    feed(monkeypatch, line)
    assert set(call.json("hook", "pre-push", "origin", "url")["shared"]) == set(runs)


def feed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Make a text the standard input of this process."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))


def test_a_hook_that_does_not_exist_is_refused(repo: Git, call: Caller) -> None:
    assert "invalid choice" in call("hook", "pre-commit", code=2).err
    assert "The remote is not named." in call("hook", "pre-push", code=2).err


# pre-receive


def test_an_honest_push_by_plain_git_is_accepted_again_and_again(
    repo: Git, guarded_server: Git, git_exp: Path
) -> None:
    for _ in range(2):
        record_runs(repo)
        done = push(repo, "origin", "main", *PLAIN_GIT)
        assert done.returncode == 0, done.stderr
        assert "gitexp" not in done.stderr
    assert len(shared_runs(guarded_server)) == 6
    assert git_exp.read_text().count("hook pre-receive") == 2


def test_a_push_of_branches_alone_does_not_start_gitexp(
    repo: Git, guarded_server: Git, git_exp: Path
) -> None:
    assert push(repo, "origin", "main").returncode == 0
    assert not git_exp.exists()


def test_a_push_of_git_exp_is_accepted(repo: Git, guarded_server: Git) -> None:
    runs = record_runs(repo)
    push_runs(Repository.discover(), "origin")
    push_runs(Repository.discover(), "origin")
    assert shared_runs(guarded_server) == set(runs)
    with Experiment("later") as experiment:
        experiment.track({"loss": 1.0})
    write_facts(runs[0], RemarkFact(time=END, by=BY, comment="looked at"), shard="desk")
    push_runs(Repository.discover(), "origin")
    assert shared_runs(guarded_server) == {*runs, experiment.run_id}


def plain_file(git: Git, content: bytes, mode: str = "100644") -> str:
    """Return the entry of a tree for a file with some content."""
    oid = git.raw("hash-object", "-w", "--stdin", stdin=content).decode().strip()
    return f"{mode} {oid}"


def replace(git: Git, ref: str, entries: dict[str, str | None]) -> None:
    """Commit entries (mode and object id; None: removed) on top of a ref."""
    index = {"GIT_INDEX_FILE": str(git.path / "scratch-index")}
    git("read-tree", ref, **index)
    lines = "".join(f"{entry or f'0 {ZERO}'}\t{path}\n" for path, entry in entries.items())
    git.raw("update-index", "--index-info", stdin=lines.encode(), **index)
    tree = git("write-tree", **index)
    git("update-ref", ref, git("commit-tree", tree, "-p", ref, "-m", "exprag: gc"))


@pytest.mark.parametrize("plain", [True, False])
def test_a_collected_run_is_accepted(repo: Git, guarded_server: Git, *, plain: bool) -> None:
    repository = Repository.discover()
    run, *others = record_runs(repo)
    write_batch(repository, "desk", Batch(files={file_path(run, "run.log"): b"log\n"}))

    def share() -> None:
        if plain:
            done = push(repo, "origin", *PLAIN_GIT)
            assert done.returncode == 0, done.stderr
        else:
            push_runs(repository, "origin")

    share()
    removal.withdraw(repository, [run], "wrong data")
    share()
    assert file_path(run, "run.log") in names(guarded_server, refs.FILES + "desk")
    pull(repository, "origin")  # plain git does not note what a remote has
    removal.collect(repository, "0d")
    archive(repository, "0d")
    share()
    assert file_path(run, "run.log") not in names(guarded_server, refs.FILES + "desk")
    assert f"{REMOVED}{note_path(run)}" in names(guarded_server, refs.FILES + "desk")
    notes = guarded_server("show", f"{refs.FACTS}desk:{note_path(run)}")
    assert [as_tombstone(line) is not None for line in notes.encode().splitlines()] == [True, True]
    assert shared_runs(guarded_server) == {run, *others}


def names(git: Git, ref: str) -> list[str]:
    return git("ls-tree", "-r", "--name-only", ref).splitlines()


def rewind(repo: Git, run: str) -> list[str]:
    repo("update-ref", refs.FACTS + "desk", refs.FACTS + "desk~1")
    return ["--force", refs.FACTS + "desk"]


def delete_handle(repo: Git, run: str) -> list[str]:
    return ["--delete", refs.run_ref(run)]


def move_handle(repo: Git, run: str) -> list[str]:
    return ["--force", f"HEAD:{refs.run_ref(run)}"]


def lose_a_line(repo: Git, run: str) -> list[str]:
    replace(repo, refs.FACTS + "desk", {note_path(run): plain_file(repo, b"")})
    return [refs.FACTS + "desk"]


def add_garbage(repo: Git, run: str) -> list[str]:
    repo("notes", f"--ref={refs.METRICS}desk", "append", "-m", "\x1b[31mgarbage", run)
    return [refs.METRICS + "desk"]


def add_a_link(repo: Git, run: str) -> list[str]:
    path = f"{note_path(run)}/x"
    replace(repo, refs.FILES + "desk", {path: plain_file(repo, b"/etc/passwd", "120000")})
    return [refs.FILES + "desk"]


def lose_a_branch_too(repo: Git, run: str) -> list[str]:
    return ["HEAD:refs/heads/new", "HEAD:refs/tags/v1", f":{refs.run_ref(run)}"]


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (rewind, "refs/notes/exprag/desk: its history would be rewritten"),
        (delete_handle, "the handle of a run is not deleted"),
        (move_handle, "the handle of a run does not move"),
        (lose_a_line, "lines are lost; a shard only grows"),
        (add_garbage, "line 2 does not decode"),
        (add_a_link, "/x: its mode is 120000, not 100644"),
        (lose_a_branch_too, "the handle of a run is not deleted"),
    ],
)
def test_a_hostile_push_is_refused_as_a_whole_and_says_why(
    repo: Git,
    guarded_server: Git,
    attack: Callable[[Git, str], list[str]],
    said: str,
) -> None:
    runs = record_runs(repo)
    assert push(repo, "origin", "main", *PLAIN_GIT).returncode == 0
    before = refs_of(guarded_server)
    done = push(repo, "origin", *attack(repo, runs[2]))
    assert done.returncode != 0
    assert "remote: gitexp: refs/" in done.stderr
    assert said in done.stderr
    assert "\x1b[31m" not in done.stderr
    assert refs_of(guarded_server) == before


def test_the_hook_says_what_it_found_as_json(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record_runs(repo)[0]
    ref = refs.run_ref(run)
    feed(monkeypatch, f"{run} {ZERO} {ref}\n")
    found = call.json("hook", "pre-receive", code=1)
    reason = "the handle of a run is not deleted"
    assert found == {"findings": [{"ref": ref, "path": "", "reason": reason}]}


def test_a_refusal_names_a_hundred_findings_and_says_that_there_are_more(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = (f"{n:040x} {ZERO} refs/exprag/runs/{n:040x}\n" for n in range(1, 151))
    feed(monkeypatch, "".join(lines))
    err = call("hook", "pre-receive", code=1).err
    assert err.count("not deleted") == 100
    assert "and more" in err


def test_a_shard_that_is_united_on_the_client_is_accepted(
    repo: Git, guarded_server: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clones have one shard name; the second one unites before it pushes."""
    assert push(repo, "origin", "main").returncode == 0
    second = Git(tmp_path / "second")
    repo("clone", "--quiet", str(guarded_server.path), str(second.path))
    second("config", "exprag.shard", "desk")
    record_runs(repo)
    push_runs(Repository.discover(), "origin")
    monkeypatch.chdir(second.path)
    record_runs(second)
    push_runs(Repository.discover(), "origin")
    assert len(shared_runs(guarded_server)) == 6


# agent-start


def test_an_agent_is_told_what_is_known_or_nothing(
    repo: Git, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call("hook", "agent-start").out == ""
    record_runs(repo)
    text = call("hook", "agent-start").out
    assert "gitexp remembers 3 experiments" in text
    assert call.json("hook", "agent-start") == {"text": text}
    monkeypatch.chdir(tmp_path)
    done = call("hook", "agent-start")
    assert (done.out, done.err) == ("", "")


def test_an_agent_starts_whatever_is_wrong(repo: Git, call: Caller) -> None:
    record_runs(repo)
    repo("config", "exprag.goal", "sideways")
    done = call("hook", "agent-start")
    assert done.code == 0


def test_the_json_of_the_hooks_is_as_documented(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record_runs(repo)[0]
    feed(monkeypatch, f"{run} {ZERO} {refs.run_ref(run)}\n")
    found = call.json("hook", "pre-receive", code=1)
    check("hook", found, {"shared": [run]}, call.json("hook", "agent-start"))
