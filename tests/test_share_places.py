"""Sharing works in every kind of repository that git makes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clones import check_code, everything, facts_of, write_runs
from tests.pair import Pair, commit_run, refs_of, repository_of, send, take
from tests.support import Git, gitexp, gitexp_json


@pytest.fixture(autouse=True)
def shared(pair: Pair) -> None:
    """Bob has shared two runs."""
    write_runs(pair.bob, range(2), "bob")
    send(pair.bob)


def shares(git: Git, pair: Pair) -> None:
    """A clone brings bob's runs, adds one of its own, and bob gets that."""
    theirs = set(facts_of(pair.bob))
    assert set(take(git).runs) == theirs
    mine = commit_run(git, "mine")
    assert send(git).runs == [mine]
    assert mine in take(pair.bob).runs
    check_code(pair.bob, [*theirs, mine])
    assert everything(git) == everything(pair.remote)
    assert send(git).refs == {}


def cloned(pair: Pair, folder: Path, *options: str) -> Git:
    pair.remote("clone", "--quiet", *options, pair.remote.path.as_uri(), str(folder))
    return Git(folder)


def test_a_linked_worktree(pair: Pair, tmp_path: Path) -> None:
    pair.ada("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "linked"))
    linked = Git(tmp_path / "linked")
    assert len(take(linked).runs) == 2
    write_runs(pair.ada, [0])
    assert len(send(linked).runs) == 1
    assert send(pair.ada).refs == {}


def test_a_bare_repository(pair: Pair, tmp_path: Path) -> None:
    git = cloned(pair, tmp_path / "bare.git", "--bare")
    assert len(take(git).runs) == 2
    assert everything(git) == everything(pair.remote)
    other = Git(tmp_path / "other.git")
    other.path.mkdir()
    other("init", "--quiet", "--bare")
    assert len(send(git, str(other.path), every_shard=True).runs) == 2
    assert everything(other) == everything(git)


def test_a_clone_of_depth_one(pair: Pair, tmp_path: Path) -> None:
    git = cloned(pair, tmp_path / "shallow", "--depth", "1")
    shares(git, pair)


def test_a_clone_of_depth_one_stays_shallow(pair: Pair, tmp_path: Path) -> None:
    git = cloned(pair, tmp_path / "shallow", "--depth", "1")
    take(git)
    send(git)
    assert git("rev-parse", "--is-shallow-repository") == "true"


def test_a_shallow_clone_as_a_remote(pair: Pair, tmp_path: Path) -> None:
    """A machine with a shallow clone, whose runs are taken from it directly."""
    shallow = cloned(pair, tmp_path / "shallow", "--depth", "1")
    take(shallow)
    mine = commit_run(shallow, "mine")
    send(shallow, str(pair.remote.path))
    assert mine in take(pair.ada, shallow.path.as_uri()).runs
    check_code(pair.ada, [mine])


@pytest.mark.parametrize("what", ["blob:none", "tree:0"])
def test_a_partial_clone(pair: Pair, tmp_path: Path, what: str) -> None:
    pair.remote("config", "uploadpack.allowFilter", "true")
    pair.remote("config", "uploadpack.allowAnySHA1InWant", "true")
    git = cloned(pair, tmp_path / "partial", f"--filter={what}", "--no-checkout")
    git("config", "user.name", "Ada")
    git("config", "user.email", "a@example.org")
    assert len(take(git).runs) == 2
    assert everything(git) == everything(pair.remote)
    mine = commit_run(git, "mine")
    assert send(git).runs == [mine]
    assert take(pair.bob).runs == [mine]
    check_code(pair.bob, [mine])


def test_a_clone_with_alternates(pair: Pair, tmp_path: Path) -> None:
    git = cloned(pair, tmp_path / "borrowing", "--reference", str(pair.bob.path))
    assert (git.path / ".git/objects/info/alternates").exists()
    shares(git, pair)


def test_a_clone_with_a_work_tree_as_a_remote(pair: Pair) -> None:
    """No branch moves there, so it does not matter which one is checked out."""
    before = pair.bob("rev-parse", "HEAD"), pair.bob("status", "--short")
    write_runs(pair.ada, range(2))
    assert len(send(pair.ada, str(pair.bob.path)).runs) == 2
    assert len(facts_of(pair.bob)) == 4
    assert (pair.bob("rev-parse", "HEAD"), pair.bob("status", "--short")) == before
    assert len(take(pair.ada, str(pair.bob.path)).runs) == 2
    check_code(pair.bob, facts_of(pair.bob))


def test_a_detached_head(pair: Pair) -> None:
    pair.ada("checkout", "--quiet", "--detach", "HEAD^")
    shares(pair.ada, pair)


def test_an_unborn_branch(pair: Pair, tmp_path: Path) -> None:
    git = Git(tmp_path / "new")
    git.path.mkdir()
    git("init", "--quiet")
    git("remote", "add", "origin", str(pair.remote.path))
    assert len(take(git).runs) == 2
    check_code(git, facts_of(git))


def test_packed_refs_and_a_remote_that_was_packed(pair: Pair) -> None:
    take(pair.ada)
    for git in (pair.ada, pair.remote):
        git("pack-refs", "--all")
        git("gc", "--quiet")
    repository_of(pair.ada).forget_objects()
    write_runs(pair.ada, [7])
    assert len(send(pair.ada).runs) == 1
    assert len(take(pair.bob).runs) == 1


def test_a_subfolder_and_a_path_relative_to_it(pair: Pair) -> None:
    folder = pair.ada.path / "pkg"
    pulled = gitexp_json("pull", "../../hub.git", cwd=folder)
    assert len(pulled["runs"]) == 2
    assert gitexp_json("push", "../../hub.git", cwd=folder)["refs"] == []


def test_a_git_directory_named_by_the_environment(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    done = gitexp("pull", cwd=tmp_path / "elsewhere", GIT_DIR=str(pair.ada.path / ".git"))
    assert done.stdout.startswith("Pulled 2 runs")
    assert len(facts_of(pair.ada)) == 2


def test_configuration_of_the_command_line_is_in_force(pair: Pair) -> None:
    never, always = (f"'protocol.file.allow'='{word}'" for word in ("never", "always"))
    denied = gitexp("pull", cwd=pair.ada.path, check=1, GIT_CONFIG_PARAMETERS=never)
    assert "not allowed" in denied.stderr
    gitexp("pull", cwd=pair.ada.path, GIT_CONFIG_PARAMETERS=always)
    assert refs_of(pair.ada, "refs/notes/exprag") != {}


def test_a_url_that_is_rewritten_by_the_configuration(pair: Pair) -> None:
    pair.ada("config", f"url.{pair.remote.path.parent}/.insteadOf", "team:")
    pair.ada("config", "remote.origin.url", "team:hub.git")
    shares(pair.ada, pair)
