"""Whose commits gitexp writes: git's user, or a made-up one, but never an error."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pygit2
import pytest

from gitexp.git.commit import identity, write_commit
from gitexp.git.repository import Repository
from tests.support import Git
from tests.work_tree import snapshot


@pytest.fixture
def bare_identity(repo: Git, hermetic: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """A repository whose user never told git a name."""
    (hermetic / ".gitconfig").unlink()
    monkeypatch.setenv("LOGNAME", "grace")
    return Repository.discover(repo.path)


def test_the_users_configuration_names_the_author(repo: Git) -> None:
    taken = snapshot(repo)
    shown = repo("log", "-1", "--format=%an <%ae> %cn <%ce>", taken.run_id)
    assert shown == "Ada Lovelace <ada@example.org> Ada Lovelace <ada@example.org>"


def test_the_repositorys_configuration_wins_and_libgit2_alone_reads_it(
    repo: Git, hermetic: Path
) -> None:
    repo("config", "user.name", "Local")
    repo("config", "author.email", "author@example.org")
    level = pygit2.enums.ConfigLevel.GLOBAL
    before = pygit2.settings.search_path[level]
    pygit2.settings.search_path[level] = str(hermetic)
    try:
        assert identity(Repository.discover()) == ("Local", "author@example.org")
    finally:
        pygit2.settings.search_path[level] = before


@pytest.mark.usefixtures("repo")
def test_the_environment_wins_over_the_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Env")
    assert identity(Repository.discover()) == ("Env", "ada@example.org")
    monkeypatch.setenv("GIT_AUTHOR_EMAIL", "env@example.org")
    assert identity(Repository.discover()) == ("Env", "env@example.org")


@pytest.mark.usefixtures("repo")
def test_configuration_in_the_environment_counts_as_for_git(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Counted")
    assert identity(Repository.discover())[0] == "Counted"
    monkeypatch.delenv("GIT_CONFIG_COUNT")
    (tmp_path / "elsewhere").write_text("[user]\nname = Elsewhere\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "elsewhere"))
    assert identity(Repository.discover())[0] == "Elsewhere"


def test_without_an_identity_login_and_host_stand_in(bare_identity: Repository, repo: Git) -> None:
    assert identity(bare_identity) == ("grace", f"grace@{socket.gethostname()}")
    taken = snapshot(repo)
    assert repo("log", "-1", "--format=%an", taken.run_id) == "grace"


def test_a_user_id_without_a_name_stops_nothing(
    bare_identity: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOGNAME")
    for name in ("USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 3_999_999_999)
    assert identity(bare_identity)[0] == "unknown"


@pytest.mark.parametrize("name", ["<Eve>\n", "\x07Eve", " Eve ", "Eve\udcff"])
def test_what_a_commit_cannot_hold_is_taken_out(
    repo: Git, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("GIT_AUTHOR_NAME", name)
    repository = Repository.discover()
    commit = write_commit(repository, "subject\n", repo("rev-parse", "HEAD^{tree}"), [])
    assert repo("log", "-1", "--format=%an", commit) == "Eve"


def test_a_name_that_is_not_utf8_stops_nothing(repo: Git, hermetic: Path) -> None:
    (hermetic / ".gitconfig").write_bytes(b"[user]\nname = Andr\xe9\nemail = a@b.c\n")
    taken = snapshot(repo)
    assert repo("log", "-1", "--format=%ae", taken.run_id) == "a@b.c"
