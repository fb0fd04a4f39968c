"""Which remote is meant, and where stands what was last seen on it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from gitexp.errors import UsageError
from gitexp.share import choose_remote, is_remote
from tests.pair import repository_of
from tests.support import Git


def chosen(git: Git, name: str | None = None) -> str:
    return choose_remote(repository_of(git), name).name


def add(git: Git, *names: str) -> None:
    for name in names:
        git("config", f"remote.{name}.url", f"/nowhere/{name}")


def test_the_rules_in_their_order(repo: Git) -> None:
    add(repo, "a", "b", "c", "d", "origin", "e")
    assert chosen(repo) == "origin"
    for setting, value in (
        ("branch.main.remote", "d"),
        ("remote.pushDefault", "c"),
        ("branch.main.pushRemote", "b"),
        ("exprag.remote", "a"),
    ):
        repo("config", setting, value)
        assert chosen(repo) == value
    assert chosen(repo, "e") == "e"


def test_settings_of_another_branch_and_a_local_upstream_do_not_count(repo: Git) -> None:
    add(repo, "a", "origin")
    repo("config", "branch.other.pushRemote", "a")
    repo("config", "branch.main.remote", ".")
    assert chosen(repo) == "origin"


def test_the_only_remote_needs_no_name(repo: Git) -> None:
    add(repo, "hub")
    assert chosen(repo) == "hub"


def test_a_detached_head_has_no_branch(repo: Git) -> None:
    add(repo, "a", "origin")
    repo("config", "branch.main.remote", "a")
    repo("checkout", "--quiet", "--detach")
    assert chosen(repo) == "origin"


def test_none_and_several_without_a_hint_are_refused(repo: Git) -> None:
    with pytest.raises(UsageError, match="No remote is configured"):
        chosen(repo)
    add(repo, "a", "b")
    with pytest.raises(UsageError, match="It could be a, b"):
        chosen(repo)


def test_an_unknown_name_is_refused_and_the_known_are_named(repo: Git) -> None:
    add(repo, "a", "b")
    with pytest.raises(UsageError, match="no remote 'c'") as caught:
        chosen(repo, "c")
    assert caught.value.hint == "Known: a, b."
    for word in ("--upload-pack=x", "-x", "best:acc"):
        with pytest.raises(UsageError):
            chosen(repo, word)


def test_an_empty_name_is_refused(repo: Git) -> None:
    add(repo, "a")
    with pytest.raises(UsageError):
        chosen(repo, "")


def test_an_unknown_name_in_a_setting_is_refused(repo: Git) -> None:
    add(repo, "a")
    repo("config", "exprag.remote", "nope")
    with pytest.raises(UsageError, match="nope"):
        chosen(repo)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/x.git",
        "ssh://git@example.org:22/x.git",
        "git@example.org:team/x.git",
        "file:///nowhere/x.git",
        "/nowhere/x.git",
        "../x.git",
        "./x.git",
        "~/x.git",
        "ext::sh -c true",
    ],
)
def test_urls_are_taken_as_they_are(repo: Git, url: str) -> None:
    if url.startswith("ext::"):
        with pytest.raises(UsageError):
            chosen(repo, url)
        return
    assert is_remote(repository_of(repo), url)
    assert chosen(repo, url) == url


def test_a_path_is_relative_to_the_folder_of_the_caller(
    repo: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "hub.git").mkdir()
    monkeypatch.chdir(repo.path / "pkg")
    assert Path(chosen(repo, "../../hub.git")).resolve() == tmp_path / "hub.git"


@pytest.mark.parametrize("word", ["latest", "latest~2", "best:acc", "3f2a91c0", "my-run", "v1.0"])
def test_what_names_runs_is_no_remote(repo: Git, word: str) -> None:
    add(repo, "origin")
    assert not is_remote(repository_of(repo), word)
    assert is_remote(repository_of(repo), "origin")


def test_a_folder_that_is_no_repository_is_no_remote(repo: Git) -> None:
    assert not is_remote(repository_of(repo), "pkg")


NAMES = [
    "origin",
    "my-hub_2",
    "team/hub",
    "hub.example.org",
    "a.lock",
    "a..b",
    "-x",
    ".x",
    "x.",
    "Ünï",
    "a b",
    "x~1",
    "@{u}",
    "remote@{1}",
    "https://example.org/x.git",
    "https://example.org/y.git",
    "git@example.org:x.git",
    "../x.git",
    "/nowhere/" + "x" * 300,
]


def test_what_was_seen_on_a_remote_stands_in_valid_refs_of_its_own(repo: Git) -> None:
    found = []
    for name in NAMES:
        repo("config", f"remote.{name}.url", "/nowhere")
        remote = choose_remote(repository_of(repo), name)
        found.append(remote.prefix.lower())
        for ref in ("refs/notes/exprag/s", "refs/exprag/code/s"):
            subprocess.run(["git", "check-ref-format", remote.tracking(ref)], check=True)
            repo("update-ref", remote.tracking(ref), "HEAD")
        assert remote.prefix.count("/") == 4
    assert len(set(found)) == len(NAMES)


def test_a_password_in_a_url_does_not_become_part_of_a_ref(repo: Git) -> None:
    remote = choose_remote(repository_of(repo), "https://me:hunter2hunter2@example.org/x.git")
    assert "hunter2" not in remote.prefix
