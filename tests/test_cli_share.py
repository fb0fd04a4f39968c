"""push, pull, rm, gc, archive and status as they are typed: words, exit codes, what is said."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gitexp.git import refs
from gitexp.records.facts import RemarkFact, RunFact
from gitexp.render.text import safe
from tests.clones import facts_of, write_runs
from tests.full_store import is_harmless
from tests.pair import BY, TIME, Pair, add_facts, commit_run, objects_of, refs_of, send
from tests.remotes import bare_repository
from tests.support import Git, gitexp, gitexp_json

SECRET = "AKIA" + "Q3EGRT7HZ5LZ2F4P"


def error_of(*words: str, cwd: Path, code: int) -> dict[str, Any]:
    """Run a command that fails; return its error, the same in text and JSON."""
    text = gitexp(*words, cwd=cwd, check=code).stderr
    done = gitexp(*words, "--json", cwd=cwd, check=code)
    assert done.stdout == ""
    error: dict[str, Any] = json.loads(done.stderr)["error"]
    assert error["exit_code"] == code
    assert text.startswith(f"error: {safe(error['message'])}\n")
    assert "Traceback" not in text
    return error


# --- what is said ------------------------------------------------------------------------------


def test_push_and_pull_say_what_they_did_in_one_line(pair: Pair) -> None:
    write_runs(pair.ada, range(3))
    ada, bob = pair.ada.path, pair.bob.path
    said = [
        gitexp("push", "-n", cwd=ada),
        gitexp("push", cwd=ada),
        gitexp("push", cwd=ada),
        gitexp("pull", cwd=bob),
        gitexp("pull", "origin", cwd=bob),
    ]
    assert [done.stdout for done in said] == [
        "Would push 3 runs (4 refs) to origin.\n",
        "Pushed 3 runs (4 refs) to origin.\n",
        "origin has everything already.\n",
        "Pulled 3 runs (4 refs) from origin.\n",
        "origin has nothing new.\n",
    ]
    assert {done.stderr for done in said} == {""}


def test_rm_gc_and_archive_say_what_they_did(pair: Pair) -> None:
    first, second = write_runs(pair.ada, range(2))
    folder = pair.ada.path
    words: list[tuple[tuple[str, ...], str]] = [
        (("archive",), "No run is old enough to archive.\n"),
        (("archive", "-n", "--older-than", "0d"), "Would archive 2 runs.\n"),
        (("archive", "--older-than", "0d"), "Archived 2 runs.\n"),
        (("gc",), "There is nothing to drop.\n"),
        (("rm", first, "-m", "wrong data"), f"Removed run {first[:12]} (run 0).\n"),
        (("gc",), "There is nothing to drop.\n"),
        (("gc", "-n", "--older-than", "0d"), "Would drop what 1 removed run held.\n"),
        (("gc", "--older-than", "0d"), "Dropped what 1 removed run held.\n"),
        (("gc", "--older-than", "0d"), "There is nothing to drop.\n"),
    ]
    for command, said in words:
        assert gitexp(*command, cwd=folder).stdout == said
    assert b'"reason":"wrong data"' in b"".join(facts_of(pair.ada)[first])
    assert gitexp("log", cwd=folder).stdout.count("\n") == 2
    assert second[:12] in gitexp("log", cwd=folder).stdout


def test_status_says_what_is_not_shared(pair: Pair) -> None:
    def ahead() -> tuple[Any, bool]:
        text = gitexp("status", cwd=pair.ada.path).stdout
        return gitexp_json("status", cwd=pair.ada.path)["unshared"], "ahead" in text

    nothing = {"remote": "origin", "runs": [], "others": {}, "library": 0}
    assert ahead() == (nothing, False)
    runs = write_runs(pair.ada, range(2))
    assert ahead() == (nothing | {"runs": sorted(runs)}, True)
    text = gitexp("status", cwd=pair.ada.path).stdout
    assert "ahead  news of 2 runs not on origin; 'git exp push' shares it\n" in text
    gitexp("push", cwd=pair.ada.path)
    assert ahead() == (nothing, False)
    add_facts(pair.ada, runs[0], RemarkFact(time=TIME, by=BY, comment="x"), shard="bob")
    assert "'git exp push --all' relays" in gitexp("status", cwd=pair.ada.path).stdout
    gitexp("push", "--all", cwd=pair.ada.path)
    assert ahead() == (nothing, False)


def test_status_without_a_remote_says_nothing_of_one(repo: Git) -> None:
    write_runs(repo, range(2))
    assert gitexp_json("status")["unshared"] is None
    assert "ahead" not in gitexp("status").stdout


def test_status_of_a_damaged_store_with_a_remote_says_the_rest(pair: Pair) -> None:
    write_runs(pair.ada, range(2))
    tree = pair.ada("rev-parse", f"{refs.FACTS}ada^{{tree}}")
    path = pair.ada.path / ".git" / "objects" / tree[:2] / tree[2:]
    path.chmod(0o644)
    path.unlink()
    assert "problem:" in gitexp("status", cwd=pair.ada.path).stdout


# --- REMOTE or RUN -----------------------------------------------------------------------------


def test_runs_are_named_in_every_way(pair: Pair) -> None:
    runs = write_runs(pair.ada, range(4))
    folder = pair.ada.path
    gitexp("tag", runs[2], "chosen", cwd=folder)
    pushes = [
        (["run 1"], runs[1:2]),
        (["origin", runs[0][:9]], runs[:1]),
        (["chosen"], runs[2:3]),
        (["best:loss"], []),
        (["origin", "latest"], runs[3:]),
    ]
    for words, sent in pushes:
        assert gitexp_json("push", *words, cwd=folder)["runs"] == sent
    assert set(facts_of(pair.remote)) == set(runs)


def test_a_word_that_names_both_is_the_remote_and_the_id_names_the_run(pair: Pair) -> None:
    named, other = commit_run(pair.ada, "origin"), commit_run(pair.ada, "other")
    assert gitexp_json("push", "origin", named[:10], cwd=pair.ada.path)["runs"] == [named]
    assert gitexp_json("push", "origin", "origin", "-n", cwd=pair.ada.path)["runs"] == []
    assert gitexp_json("push", "origin", cwd=pair.ada.path)["runs"] == [other]


def test_a_run_with_the_name_of_a_folder_is_found(pair: Pair) -> None:
    run = commit_run(pair.ada, "pkg")
    assert gitexp_json("push", "pkg", cwd=pair.ada.path)["runs"] == [run]


def test_a_run_in_progress_cannot_be_pushed(pair: Pair) -> None:
    code = "import gitexp\nx = gitexp.Experiment('live')\nx.track(1)\nprint(flush=True)\ninput()"
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=pair.ada.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        error = error_of("push", "latest", cwd=pair.ada.path, code=2)
        assert "is in progress, so it cannot be shared yet" in error["message"]
        assert "is in progress" in error_of("rm", "latest", cwd=pair.ada.path, code=2)["message"]
        assert gitexp("push", cwd=pair.ada.path).stdout == "origin has everything already.\n"
        process.communicate(b"\n")
    assert gitexp("push", "latest", cwd=pair.ada.path).stdout.startswith("Pushed 1 run ")


def test_a_named_run_without_its_code_is_sent_with_a_warning(pair: Pair) -> None:
    lost = "ab" * 20
    add_facts(pair.ada, lost, RunFact(time=TIME, by=BY, name="lost"))
    done = gitexp("push", "lost", cwd=pair.ada.path)
    assert done.stderr == f"warning: The code of run {lost[:12]} is not here, so it was not sent.\n"
    assert set(facts_of(pair.remote)) == {lost}


# --- failures ----------------------------------------------------------------------------------


def test_failures_have_a_sentence_and_a_code(pair: Pair, tmp_path: Path) -> None:
    write_runs(pair.ada, [0])
    folder = pair.ada.path
    assert "no remote 'nope'" in error_of("pull", "nope", cwd=folder, code=2)["message"]
    assert "neither a remote nor a run" in error_of("push", "nope", cwd=folder, code=1)["message"]
    assert "not both" in str(error_of("push", "--all", "latest", cwd=folder, code=2)["hint"])
    assert "is not an age" in error_of("gc", "--older-than", "x", cwd=folder, code=2)["message"]
    assert "No run answers" in error_of("rm", "nope", cwd=folder, code=1)["message"]
    gone = str(tmp_path / "gone.git")
    error = error_of("push", gone, cwd=folder, code=1)
    assert error["message"].startswith(f"Could not ask {gone}: ")
    pair.ada("remote", "remove", "origin")
    assert "No remote is configured" in error_of("push", cwd=folder, code=2)["message"]
    assert "git remote add" in error_of("pull", cwd=folder, code=2)["hint"]


def test_an_unknown_word_of_a_push_may_have_meant_a_remote(pair: Pair) -> None:
    write_runs(pair.ada, [0])
    error = error_of("push", "upstream", cwd=pair.ada.path, code=1)
    assert "remote" in error["message"] + str(error["hint"])


def test_what_a_hook_of_the_remote_says_is_harmless(pair: Pair) -> None:
    write_runs(pair.ada, [0])
    script = "#!/bin/sh\nprintf 'go \\033[31maway\\033]0;title\\007\\233 2J\\n' >&2\nexit 1\n"
    pair.remote.write("hooks/pre-receive", script).chmod(0o755)
    error = error_of("push", cwd=pair.ada.path, code=1)
    assert "pre-receive hook declined" in error["message"]
    assert is_harmless(gitexp("push", cwd=pair.ada.path, check=1).stderr)
    assert refs_of(pair.remote, refs.FACTS) == {}


def test_a_pull_that_could_not_take_all_says_so_and_exits_with_1(pair: Pair) -> None:
    write_runs(pair.bob, [0])
    send(pair.bob)
    pair.remote("update-ref", f"{refs.FACTS}ODD", f"{refs.FACTS}bob")
    done = gitexp("pull", cwd=pair.ada.path, check=1)
    assert done.stdout == "Pulled 1 run (4 refs) from origin.\n"
    assert done.stderr == (
        "warning: Not taken from origin: refs/notes/exprag/ODD: its name is not that of a shard.\n"
    )
    printed = json.loads(gitexp("pull", "--json", cwd=pair.ada.path, check=1).stdout)
    assert [problem["ref"] for problem in printed["problems"]] == [f"{refs.FACTS}ODD"]


def interrupted(pair: Pair, folder: Path, command: str, *, group: bool) -> tuple[int, str, bool]:
    """Send SIGINT to a transfer that stands still; return exit code, stderr, and if it waited.

    Args:
        pair: Whose ada transfers.
        folder: For files.
        command: push or pull.
        group: Send it to all its processes, as a terminal does, else to gitexp alone.
    """
    slow = folder / "slow"
    slow.write_text(f"#!/bin/sh\ntouch {folder}/started\nsleep 5\ntouch {folder}/ended\n")
    slow.chmod(0o755)
    for setting in ("uploadpack", "receivepack"):
        pair.ada("config", f"remote.origin.{setting}", str(slow))
    words = [sys.executable, "-m", "gitexp.cli.main", command]
    with subprocess.Popen(
        words, cwd=pair.ada.path, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        deadline = time.monotonic() + 30
        while not (folder / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        (os.killpg if group else os.kill)(process.pid, signal.SIGINT)
        said = process.communicate(timeout=30)[1]
    return process.returncode, said, (folder / "ended").exists()


@pytest.mark.parametrize("command", ["push", "pull"])
def test_ctrl_c_ends_a_transfer_without_a_traceback(
    pair: Pair, command: str, tmp_path: Path
) -> None:
    write_runs(pair.ada, range(2))
    assert interrupted(pair, tmp_path, command, group=True) == (130, "\n", False)
    assert refs_of(pair.remote, refs.FACTS) == {}


def test_an_interrupt_of_gitexp_alone_ends_it_too(pair: Pair, tmp_path: Path) -> None:
    write_runs(pair.ada, range(2))
    assert interrupted(pair, tmp_path, "push", group=False) == (130, "\n", False)


# --- secrets -----------------------------------------------------------------------------------


@pytest.fixture
def leaking(pair: Pair) -> str:
    """A run of ada's with a key in its code."""
    return commit_run(pair.ada, "leak", files={"key.py": f"# mine\nKEY = '{SECRET}'\n"})


def test_a_secret_stops_the_push_with_its_place(pair: Pair, leaking: str) -> None:
    before = refs_of(pair.remote)
    for words in (["push"], ["push", "leak"], ["push", "--all"]):
        error = error_of(*words, cwd=pair.ada.path, code=1)
        (detail,) = error["details"]
        assert f"run {leaking[:12]}, key.py:2: " in detail
        assert "fingerprint" in detail
        assert SECRET not in json.dumps(error)
        assert detail in gitexp(*words, cwd=pair.ada.path, check=1).stderr
    assert refs_of(pair.remote) == before
    assert leaking not in objects_of(pair.remote)


def test_what_is_allowed_leaves_and_is_recorded(pair: Pair, leaking: str) -> None:
    error = error_of("push", cwd=pair.ada.path, code=1)
    fingerprint = error["details"][0].split("fingerprint ")[1]
    assert f"--allow {fingerprint}" in error["hint"]
    error_of("push", "--allow", "0" * 12, cwd=pair.ada.path, code=1)
    assert gitexp_json("push", "--allow", fingerprint, cwd=pair.ada.path)["allowed"] == [
        fingerprint
    ]
    recorded = (pair.ada.path / ".git/exprag/allowed.jsonl").read_text()
    assert json.loads(recorded)["fingerprint"] == fingerprint
    assert "Ada Lovelace" in json.loads(recorded)["by"]
    assert leaking in objects_of(pair.remote)


def test_a_run_with_a_secret_that_is_removed_and_collected_never_leaves(
    pair: Pair, leaking: str
) -> None:
    blob = pair.ada("rev-parse", f"{leaking}:key.py")
    kept = commit_run(pair.ada, "kept")
    error_of("push", cwd=pair.ada.path, code=1)
    gitexp("rm", leaking, cwd=pair.ada.path)
    gitexp("gc", "--older-than", "0d", cwd=pair.ada.path)
    gitexp("push", cwd=pair.ada.path)
    held = objects_of(pair.remote)
    assert kept in held
    assert held.isdisjoint({leaking, blob})


def test_other_runs_can_be_pushed_meanwhile(pair: Pair, leaking: str) -> None:
    kept = commit_run(pair.ada, "kept")
    error_of("push", cwd=pair.ada.path, code=1)
    assert gitexp_json("push", "kept", cwd=pair.ada.path)["runs"] == [kept]
    assert leaking not in objects_of(pair.remote)


def test_a_secret_that_one_url_has_does_not_leave_for_another(pair: Pair, tmp_path: Path) -> None:
    pair.ada.write("key.py", f"KEY = '{SECRET}'\n")
    pair.ada("add", "key.py")
    pair.ada("commit", "--quiet", "-m", "key")
    pair.ada("push", "--quiet", "origin", "main")
    write_runs(pair.ada, range(2))
    send(pair.ada)
    public = bare_repository(tmp_path / "public.git")
    pair.ada("remote", "set-url", "origin", str(public.path))
    write_runs(pair.ada, [5])
    gitexp("push", cwd=pair.ada.path, check=None)
    assert pair.ada("rev-parse", "HEAD:key.py") not in objects_of(public)


def test_a_password_in_a_url_is_not_printed(pair: Pair) -> None:
    write_runs(pair.ada, [0])
    url = "https://me:hunter2@127.0.0.1:1/x.git"
    done = gitexp("push", url, cwd=pair.ada.path, check=1)
    assert "hunter2" not in done.stderr


# --- on a terminal -----------------------------------------------------------------------------


def on_terminal(folder: Path, answer: bytes, *words: str) -> tuple[int, str]:
    """Run a command on a terminal of its own, type an answer; return exit code and all output."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execv(sys.executable, [sys.executable, "-m", "gitexp.cli.main", *words])
    said = b""
    typed = False
    while True:
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux says so when the other end has gone
            break
        if not piece:
            break
        said += piece
        if not typed and b"[y/N]" in said:
            os.write(terminal, answer)
            typed = True
    os.close(terminal)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), said.decode()


@pytest.mark.parametrize("answer", [b"y\n", b"Yes\n"])
def test_rm_asks_on_a_terminal_and_does_it_after_yes(pair: Pair, answer: bytes) -> None:
    gone, kept = write_runs(pair.ada, range(2))
    code, said = on_terminal(pair.ada.path, answer, "rm", gone)
    assert code == 0
    assert f"{gone[:12]}  run 0  finished" in said
    assert "Remove this run, for everybody who pulls? [y/N]" in said
    assert set(refs_of(pair.ada, refs.RUNS)) == {refs.run_ref(kept)}


@pytest.mark.parametrize("answer", [b"\n", b"n\n", b"what?\n", b"\x04"])
def test_rm_does_nothing_after_any_other_answer(pair: Pair, answer: bytes) -> None:
    runs = write_runs(pair.ada, range(2))
    code, said = on_terminal(pair.ada.path, answer, "rm", *runs)
    assert code == 1
    assert "Remove these 2 runs, for everybody who pulls? [y/N]" in said
    assert "Nothing was removed." in said
    assert len(refs_of(pair.ada, refs.RUNS)) == 2


def test_rm_does_not_ask_with_yes(pair: Pair) -> None:
    (gone,) = write_runs(pair.ada, [0])
    code, said = on_terminal(pair.ada.path, b"", "rm", "-y", gone)
    assert (code, "[y/N]" in said) == (0, False)
    assert refs_of(pair.ada, refs.RUNS) == {}


def test_a_repository_without_runs_is_no_obstacle(pair: Pair, tmp_path: Path) -> None:
    folder = pair.ada.path
    for words in (["push"], ["push", "--all"], ["pull"], ["gc"], ["archive"], ["status"]):
        assert gitexp(*words, cwd=folder).stderr == ""
    shutil.rmtree(pair.remote.path)
    bare_repository(pair.remote.path)
    assert gitexp("pull", cwd=folder).stdout == "origin has nothing new.\n"
    assert "no git repository" in error_of("push", cwd=tmp_path, code=10)["message"]


def test_push_and_pull_show_on_a_terminal_how_far_git_has_got(pair: Pair) -> None:
    write_runs(pair.ada, range(2))
    code, said = on_terminal(pair.ada.path, b"", "push")
    assert code == 0
    assert "Writing objects: 100%" in said
    assert "Pushed 2 runs (4 refs) to origin." in said
    code, said = on_terminal(pair.bob.path, b"", "pull")
    assert code == 0
    assert "Counting objects: 100%" in said
    assert "Pulled 2 runs (4 refs) from origin." in said
