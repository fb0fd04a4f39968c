"""Share through every kind of remote there is: what is pushed arrives, and refusals are told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gitexp
from gitexp.errors import GitexpError
from gitexp.git import refs
from gitexp.share import pull, push
from tests.clones import (
    check_code,
    errors_of,
    everything,
    facts_of,
    locks,
    make_clone,
    repository_of,
    write_runs,
)
from tests.remotes import TRANSPORTS, HttpRemote, Remote, http_remote, missing_program
from tests.support import Git
from tests.support import gitexp as git_exp

PUSH_ALL = ("refs/exprag/*", "refs/notes/exprag*")
FETCH_ALL = ("refs/exprag/*:refs/exprag/*", "refs/notes/exprag*:refs/notes/exprag*")


class Team:
    """A remote and two clones of it that have a shard each."""

    def __init__(self, template: Path, folder: Path, remote: Remote) -> None:
        self.remote = remote
        self.ada = make_clone(template, folder / "ada", remote.url, "ada")
        self.bob = make_clone(template, folder / "bob", remote.url, "bob")


@pytest.fixture(params=TRANSPORTS)
def team(
    request: pytest.FixtureRequest,
    template: Path,
    tmp_path: Path,
    identity: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Team]:
    """A team over each transport, one after the other."""
    missing = missing_program(request.param)
    if missing is not None:
        pytest.skip(f"there is no {missing} on this machine")
    with TRANSPORTS[request.param](_folder(tmp_path)) as remote:
        for name, value in remote.environment.items():
            monkeypatch.setenv(name, value)
        yield Team(template, tmp_path, remote)


@pytest.fixture
def web(template: Path, tmp_path: Path, identity: None) -> Iterator[Team]:
    """A team over smart HTTP, which counts bytes."""
    with http_remote(_folder(tmp_path)) as remote:
        yield Team(template, tmp_path, remote)


@pytest.fixture
def local(template: Path, tmp_path: Path, identity: None) -> Iterator[Team]:
    """A team with a bare folder."""
    with TRANSPORTS["folder"](_folder(tmp_path)) as remote:
        yield Team(template, tmp_path, remote)


def _folder(tmp_path: Path) -> Path:
    folder = tmp_path / "server"
    folder.mkdir()
    return folder


def send(git: Git, *words: Any, **options: Any) -> Any:
    return push(repository_of(git), *words, **options)


def fetch(git: Git, *words: Any) -> Any:
    return pull(repository_of(git), *words)


def assert_same(*clones: Git) -> None:
    """All hold the same runs, with code, and nothing is left lying about."""
    first = everything(clones[0])
    for clone in clones:
        assert everything(clone) == first
        check_code(clone, first[0])
        assert locks(clone) == []
        assert clone("fsck", "--strict", "--no-dangling") == ""


# --- every transport ---------------------------------------------------------------------------


def test_runs_travel_both_ways(team: Team) -> None:
    first = write_runs(team.ada, range(3), "ada")
    send(team.ada)
    fetch(team.bob)
    assert set(facts_of(team.bob)) == set(first)
    second = write_runs(team.bob, range(4), "bob")
    send(team.bob)
    fetch(team.ada)
    assert set(facts_of(team.ada)) == {*first, *second}
    assert_same(team.ada, team.bob)
    assert len(gitexp.open(team.ada.path).runs()) == 7


def test_what_plain_git_pushed_is_pulled(team: Team) -> None:
    write_runs(team.ada, range(3))
    team.ada("push", "--quiet", team.remote.url, *PUSH_ALL)
    fetch(team.bob)
    assert_same(team.ada, team.bob)


def test_a_push_into_what_plain_git_had_filled(team: Team) -> None:
    write_runs(team.ada, range(3), "first")
    team.ada("push", "--quiet", team.remote.url, *PUSH_ALL)
    write_runs(team.ada, range(3), "second")
    send(team.ada)
    write_runs(team.bob, range(2), "bob")
    send(team.bob)
    for clone in (team.ada, team.bob):
        fetch(clone)
    assert len(facts_of(team.bob)) == 8
    assert_same(team.ada, team.bob)


def test_what_was_pushed_is_read_after_a_plain_fetch(team: Team) -> None:
    runs = write_runs(team.ada, range(3))
    send(team.ada)
    team.bob("fetch", "--quiet", team.remote.url, *FETCH_ALL)
    assert facts_of(team.bob) == facts_of(team.ada)
    memory = gitexp.open(team.bob.path)
    assert {run.id for run in memory.runs()} == set(runs)
    assert memory.problems == []
    check_code(team.bob, runs)
    fetch(team.bob)
    assert_same(team.ada, team.bob)


def test_a_push_after_a_plain_fetch_of_everything(team: Team) -> None:
    write_runs(team.ada, range(3), "ada")
    send(team.ada)
    team.bob("fetch", "--quiet", team.remote.url, *FETCH_ALL)
    write_runs(team.bob, range(3), "bob")
    send(team.bob)
    fetch(team.ada)
    assert len(facts_of(team.ada)) == 6
    assert_same(team.ada, team.bob)


def test_two_clones_of_one_shard_name(team: Team) -> None:
    team.bob("config", "exprag.shard", "ada")
    write_runs(team.ada, range(3), "ada")
    write_runs(team.bob, range(3), "bob")
    send(team.ada)
    send(team.bob)
    fetch(team.ada)
    fetch(team.bob)
    assert len(facts_of(team.ada)) == 6
    assert_same(team.ada, team.bob)


def test_only_the_refs_of_runs_move(team: Team) -> None:
    team.ada("push", "--quiet", "origin", "main")
    team.bob("fetch", "--quiet", "origin")
    write_runs(team.ada, range(2))
    before = team.remote.git("for-each-ref", "refs/heads", "refs/tags")
    send(team.ada)
    assert team.remote.git("for-each-ref", "refs/heads", "refs/tags") == before
    kept = team.bob("for-each-ref", "refs/heads", "refs/tags", "refs/remotes"), team.bob("status")
    configuration = (team.bob.path / ".git" / "config").read_bytes()
    fetch(team.bob)
    after = team.bob("for-each-ref", "refs/heads", "refs/tags", "refs/remotes"), team.bob("status")
    assert after == kept
    assert (team.bob.path / ".git" / "config").read_bytes() == configuration


# --- what a push costs -------------------------------------------------------------------------


def test_the_bytes_of_a_push_follow_what_is_new(web: Team, template: Path, tmp_path: Path) -> None:
    assert isinstance(web.remote, HttpRemote)
    web.ada("push", "--quiet", "origin", "main")
    wire = web.remote.wire
    costs = []
    for runs in (0, 300):
        if runs:
            write_runs(web.bob, range(runs), "many")
            send(web.bob)
        clone = make_clone(template, tmp_path / f"fresh-{runs}", web.remote.url, f"fresh{runs}")
        write_runs(clone, range(1), f"new beside {runs}")
        before = wire.bytes
        send(clone)
        costs.append(wire.bytes - before)
    assert costs[1] < 3 * costs[0], costs


def test_a_second_push_and_pull_of_one_more_run_cost_little(web: Team) -> None:
    assert isinstance(web.remote, HttpRemote)
    wire = web.remote.wire
    write_runs(web.ada, range(300))
    begin = wire.bytes
    send(web.ada)
    whole = wire.bytes - begin
    fetch(web.bob)
    write_runs(web.ada, range(300, 301))
    begin = wire.bytes
    send(web.ada)
    pushed = wire.bytes - begin
    begin = wire.bytes
    fetch(web.bob)
    pulled = wire.bytes - begin
    assert max(pushed, pulled) < whole / 10, (whole, pushed, pulled)
    assert_same(web.ada, web.bob)


def test_a_push_of_nothing_new_sends_nothing(web: Team) -> None:
    assert isinstance(web.remote, HttpRemote)
    write_runs(web.ada, range(3))
    send(web.ada)
    before = web.remote.git("for-each-ref")
    received = web.remote.wire.bytes_in
    send(web.ada)
    assert web.remote.git("for-each-ref") == before
    assert web.remote.wire.bytes_in - received < 2000


# --- what a remote may refuse ------------------------------------------------------------------


@pytest.mark.parametrize(
    "setting",
    [
        "receive.denyNonFastForwards",
        "receive.denyDeletes",
        "receive.fsckObjects",
        "transfer.fsckObjects",
    ],
)
def test_strict_remotes_take_all_that_is_pushed(local: Team, setting: str) -> None:
    local.remote.git("config", setting, "true")
    local.bob("config", "exprag.shard", "ada")
    for clone, label in ((local.ada, "ada"), (local.bob, "bob")) * 2:
        write_runs(clone, range(2), f"{label} {len(facts_of(clone))}")
        send(clone)
    fetch(local.ada)
    fetch(local.bob)
    assert len(facts_of(local.ada)) == 8
    assert_same(local.ada, local.bob)


def _deny(team: Team) -> str:
    team.remote.git("config", "http.receivepack", "false")
    return team.remote.url


def _break_url(team: Team) -> str:
    return team.remote.url.replace("remote.git", "nowhere.git")


def _no_server(_team: Team) -> str:
    return "http://127.0.0.1:1/remote.git"


def _no_name(_team: Team) -> str:
    return "nobody"


def _refusing_hook(team: Team) -> str:
    hook = team.remote.git.path / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    return team.remote.url


REFUSALS = [_deny, _break_url, _no_server, _no_name, _refusing_hook]


@pytest.mark.parametrize("refuse", REFUSALS)
def test_a_push_that_is_refused_says_so_and_changes_nothing_that_counts(
    web: Team, refuse: Any
) -> None:
    write_runs(web.ada, range(2))
    before = everything(web.ada), web.ada("for-each-ref", "refs/heads", "refs/notes", refs.RUNS)
    done = git_exp("push", refuse(web), cwd=web.ada.path, check=1)
    assert len(errors_of(done.stderr)) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert web.remote.git("for-each-ref") == ""
    after = everything(web.ada), web.ada("for-each-ref", "refs/heads", "refs/notes", refs.RUNS)
    assert after == before
    assert locks(web.ada) == []


@pytest.mark.parametrize("refuse", [_break_url, _no_server, _no_name])
def test_a_pull_that_fails_says_so_and_changes_nothing(web: Team, refuse: Any) -> None:
    write_runs(web.ada, range(2))
    before = web.ada("for-each-ref")
    code = 2 if refuse is _no_name else 1
    done = git_exp("pull", refuse(web), cwd=web.ada.path, check=code)
    assert len(errors_of(done.stderr)) == 1, done.stderr
    assert web.ada("for-each-ref") == before
    assert locks(web.ada) == []


def test_a_remote_that_lost_all_gets_it_back(local: Team) -> None:
    write_runs(local.ada, range(3))
    send(local.ada)
    fetch(local.bob)
    shutil.rmtree(local.remote.git.path)
    os.mkdir(local.remote.git.path)  # noqa: PTH102
    local.remote.git("init", "--quiet", "--bare")
    fetch(local.ada)
    assert len(facts_of(local.ada)) == 3
    send(local.ada)
    assert len(local.remote.git("for-each-ref").splitlines()) >= 4
    fetch(local.bob)
    assert_same(local.ada, local.bob)


def test_a_cut_connection_is_an_error_and_the_next_try_finishes(web: Team) -> None:
    assert isinstance(web.remote, HttpRemote)
    wire = web.remote.wire
    write_runs(web.ada, range(40))
    for git, work in ((web.ada, send), (web.bob, fetch)):
        before, cuts = everything(git), wire.cuts
        wire.cut_after = 2000
        with pytest.raises(GitexpError):
            work(git)
        assert wire.cuts > cuts
        assert everything(git) == before
        wire.cut_after = 0
        work(git)
    assert_same(web.ada, web.bob)
