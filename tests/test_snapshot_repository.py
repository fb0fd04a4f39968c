"""Snapshots in every kind of repository, and under every odd configuration and environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitexp.errors import NoRepositoryError
from gitexp.git.repository import Repository
from gitexp.records.facts import LeftOut
from gitexp.snapshot import Limits, take_snapshot
from tests.support import Git
from tests.work_tree import content, entries, read_tree, restored, snapshot, unchanged


@pytest.fixture
def submodule(repo: Git, template: Path) -> Git:
    """A submodule ``sub`` of the repository, committed and clean."""
    repo("submodule", "--quiet", "add", str(template), "sub")
    repo("commit", "--quiet", "-m", "submodule")
    return Git(repo.path / "sub")


def make_sparse(repo: Git, *, sparse_index: bool) -> None:
    for name in ("one", "two"):
        repo.write(f"{name}/deep/file", name)
    repo("add", ".")
    repo("commit", "--quiet", "-m", "folders")
    repo("sparse-checkout", "init", "--cone", *(["--sparse-index"] if sparse_index else []))
    repo("sparse-checkout", "set", "one")


@pytest.mark.parametrize("sparse_index", [False, True])
def test_what_a_sparse_checkout_leaves_out_is_recorded_as_in_head(
    repo: Git, *, sparse_index: bool
) -> None:
    make_sparse(repo, sparse_index=sparse_index)
    repo.write("one/deep/file", "edited")
    repo.write("one/new", "new")
    taken = snapshot(repo)
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "one/deep/file\none/new"
    assert taken.git.skip_worktree == 3


@pytest.mark.parametrize("sparse_index", [False, True])
def test_a_file_outside_the_sparse_cone_is_recorded(repo: Git, *, sparse_index: bool) -> None:
    make_sparse(repo, sparse_index=sparse_index)
    repo.write("two/deep/new", "untracked, outside of the cone")
    repo.write("two/deep/file", "present though it should not be")
    taken = snapshot(repo)
    assert content(repo, taken, "two/deep/new").startswith(b"untracked")
    assert content(repo, taken, "two/deep/file").startswith(b"present")


def test_a_split_index_is_read_and_not_shared(repo: Git) -> None:
    repo("config", "core.splitIndex", "true")
    repo("update-index", "--split-index")
    repo.write("staged", "staged")
    repo("add", "staged")
    for name in ("new0", "new1", "new2", "new3", "train.py"):
        repo.write(name, "edited\n")
    assert [*(repo.path / ".git").glob("sharedindex.*")]
    taken = snapshot(repo)
    changed = repo("diff", "--name-only", "HEAD", taken.run_id)
    assert changed.split() == ["new0", "new1", "new2", "new3", "staged", "train.py"]


@pytest.mark.parametrize("version", ["2", "3", "4"])
def test_every_version_of_the_index_works(repo: Git, version: str) -> None:
    repo("update-index", "--index-version", version)
    repo.write("train.py", "edited\n")
    assert content(repo, snapshot(repo), "train.py") == b"edited\n"


def test_a_nested_repository_is_recorded_by_its_commit(repo: Git, template: Path) -> None:
    repo("clone", "--quiet", str(template), "nested")
    taken = snapshot(repo)
    head = Git(repo.path / "nested")("rev-parse", "HEAD")
    assert entries(repo, taken.run_id)["nested"] == ("160000", head)
    assert taken.git.nested == ("nested",)
    assert taken.warnings == ("Nested repositories are recorded by their commit only: nested.",)


def test_a_nested_repository_without_commits_is_left_out(repo: Git) -> None:
    repo("init", "--quiet", "nested")
    repo.write("nested/file", "x")
    repo.write("new.py", "x = 1\n")
    taken = snapshot(repo)
    assert taken.git.left_out == (LeftOut("nested", "repository without commits"),)
    assert taken.git.nested == ()
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "new.py"


@pytest.mark.usefixtures("submodule")
def test_a_clean_submodule_is_clean(repo: Git) -> None:
    taken = snapshot(repo)
    assert not taken.git.dirty
    assert (taken.git.submodules, taken.patches) == ((), {})


def test_a_new_commit_in_a_submodule_is_recorded(repo: Git, submodule: Git) -> None:
    submodule("commit", "--quiet", "--allow-empty", "-m", "more")
    taken = snapshot(repo)
    assert entries(repo, taken.run_id)["sub"][1] == submodule("rev-parse", "HEAD")
    assert taken.patches == {}


def test_changes_inside_a_submodule_are_kept_as_a_patch(
    repo: Git, submodule: Git, tmp_path: Path
) -> None:
    submodule.write("train.py", "edited\n")
    submodule.write("new.bin", b"\0\xff")
    submodule.write(".env", "PASSWORD=1\n")
    taken = snapshot(repo)
    assert taken.git.submodules == ("sub",)
    assert taken.git.left_out == (LeftOut("sub/.env", "looks like a secret", 11),)
    assert any("as patches: sub." in warning for warning in taken.warnings)
    clone = tmp_path / "clone"
    repo("clone", "--quiet", submodule.path.as_uri(), str(clone))
    Git(clone).raw("apply", stdin=taken.patches["sub"])
    (submodule.path / ".env").unlink()
    assert read_tree(clone) == read_tree(submodule.path)


def test_an_untracked_file_alone_makes_a_submodule_dirty(repo: Git, submodule: Git) -> None:
    repo("config", "submodule.sub.ignore", "all")
    submodule.write("new.py", "x = 1\n")
    taken = snapshot(repo)
    assert b"+x = 1" in taken.patches["sub"]
    assert not taken.git.dirty


def test_a_submodule_of_a_submodule_has_its_own_patch(
    repo: Git, submodule: Git, template: Path
) -> None:
    submodule("submodule", "--quiet", "add", str(template), "inner")
    submodule("commit", "--quiet", "-m", "inner")
    repo("commit", "--quiet", "-am", "inner")
    submodule.write("inner/train.py", "edited\n")
    taken = snapshot(repo)
    assert b"+edited" in taken.patches["sub/inner"]
    assert taken.git.submodules == ("sub/inner",)


@pytest.mark.parametrize("damage", ["index", "gitfile"])
def test_a_submodule_that_git_cannot_read_stops_nothing(
    repo: Git, submodule: Git, damage: str
) -> None:
    submodule.write("train.py", "edited\n")
    repo.write("train.py", "edited\n")
    if damage == "index":
        (repo.path / ".git/modules/sub/index").write_bytes(b"damaged")
    else:
        submodule.write(".git", "gitdir: ../moved/away\n")
    taken = snapshot(repo)
    assert content(repo, taken, "train.py") == b"edited\n"
    assert entries(repo, taken.run_id)["sub"] == entries(repo, "HEAD")["sub"]
    assert taken.patches == {}
    assert any("submodules are not recorded" in warning for warning in taken.warnings)


def test_a_submodule_on_an_unborn_branch_is_named(repo: Git, submodule: Git) -> None:
    submodule("symbolic-ref", "HEAD", "refs/heads/none")
    submodule.write("train.py", "edited\n")
    taken = snapshot(repo)
    assert taken.patches == {}
    assert any("sub" in warning for warning in taken.warnings)


def test_a_linked_work_tree_has_its_own_snapshot(
    repo: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo("worktree", "add", "--quiet", "-b", "side", str(tmp_path / "side"))
    repo.write("train.py", "edited in the main work tree\n")
    side = Git(tmp_path / "side")
    side.write("README", "edited in the linked one\n")
    monkeypatch.chdir(side.path)
    taken = snapshot(side)
    assert taken.git.branch == "side"
    assert side("diff", "--name-only", "HEAD", taken.run_id) == "README"


@pytest.mark.usefixtures("identity")
@pytest.mark.parametrize("staged", [False, True])
def test_an_unborn_branch_gives_a_commit_without_parents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, staged: bool
) -> None:
    repo = Git(tmp_path / "new")
    repo.path.mkdir()
    repo("init", "--quiet")
    repo.write("train.py", "lr = 1\n")
    if staged:
        repo("add", ".")
    monkeypatch.chdir(repo.path)
    taken = snapshot(repo)
    assert entries(repo, taken.run_id).keys() == {"train.py"}
    assert (taken.git.head, taken.git.branch, taken.git.dirty) == (None, "main", True)
    assert repo("rev-list", "--count", taken.run_id) == "1"


@pytest.mark.usefixtures("identity")
def test_an_empty_work_tree_on_an_unborn_branch_is_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = Git(tmp_path)
    repo("init", "--quiet", "new")
    monkeypatch.chdir(tmp_path / "new")
    taken = snapshot(Git(tmp_path / "new"))
    assert taken.tree == "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
    assert not taken.git.dirty


def test_a_bare_repository_has_nothing_to_record(
    repo: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    monkeypatch.chdir(tmp_path / "bare")
    with pytest.raises(NoRepositoryError, match="bare"):
        take_snapshot(Repository.discover(), "run", limits=Limits())


def test_a_bare_repository_with_a_work_tree_elsewhere_works(
    repo: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dotfiles are often kept so."""
    repo("clone", "--quiet", "--bare", ".", str(tmp_path / "bare"))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "bare"))
    monkeypatch.setenv("GIT_WORK_TREE", str(repo.path))
    repo.write("train.py", "edited\n")
    (repo.path / ".git").rename(tmp_path / "away")
    repo("read-tree", "HEAD")
    taken = snapshot(repo)
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "train.py"


def test_a_shallow_clone_works(repo: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repo("clone", "--quiet", "--depth=1", repo.path.as_uri(), str(tmp_path / "shallow"))
    shallow = Git(tmp_path / "shallow")
    shallow.write("train.py", "edited\n")
    monkeypatch.chdir(shallow.path)
    assert content(shallow, snapshot(shallow), "train.py") == b"edited\n"


def test_a_detached_head_has_no_branch(repo: Git) -> None:
    repo("checkout", "--quiet", "--detach", "HEAD~1")
    taken = snapshot(repo)
    assert (taken.git.branch, taken.git.head) == (None, repo("rev-parse", "HEAD"))


def test_a_branch_may_have_any_letters(repo: Git) -> None:
    repo("checkout", "--quiet", "-b", "größe/実験")
    assert snapshot(repo).git.branch == "größe/実験"


def test_a_snapshot_is_taken_while_another_git_holds_the_lock(repo: Git) -> None:
    repo.write(".git/index.lock", "")
    repo.write("train.py", "edited\n")
    assert content(repo, snapshot(repo), "train.py") == b"edited\n"


def test_a_snapshot_from_a_subfolder_records_the_whole_work_tree(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.write("train.py", "edited\n")
    repo.write("new", "x")
    repo.write("pkg/new", "x")
    monkeypatch.chdir(repo.path / "pkg")
    taken = snapshot(repo)
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "new\npkg/new\ntrain.py"


def test_the_environment_of_a_hook_does_not_redirect_the_snapshot(
    repo: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repo.write("train.py", "edited\n")
    repo.write("pkg/new", "x")
    with unchanged(repo):
        monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "partial-commit"))
        monkeypatch.setenv("GIT_DIR", "../.git")
        monkeypatch.setenv("GIT_WORK_TREE", "..")
        monkeypatch.setenv("GIT_PREFIX", "pkg/")
        monkeypatch.setenv("GIT_LITERAL_PATHSPECS", "1")
        monkeypatch.chdir(repo.path / "pkg")
        taken = take_snapshot(Repository.discover(), "run", limits=Limits())
        for name in ("GIT_INDEX_FILE", "GIT_DIR", "GIT_WORK_TREE", "GIT_PREFIX"):
            monkeypatch.delenv(name)
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "pkg/new\ntrain.py"
    assert not (tmp_path / "partial-commit").exists()


def test_hooks_do_not_run(repo: Git, tmp_path: Path) -> None:
    for name in ("post-index-change", "pre-commit", "post-commit", "reference-transaction"):
        repo.write(f".git/hooks/{name}", f"#!/bin/sh\ntouch {tmp_path}/ran-{name}\n").chmod(0o755)
    repo.write("train.py", "edited\n")
    snapshot(repo)
    assert [*tmp_path.glob("ran-*")] == []


@pytest.mark.parametrize(
    "settings",
    [
        {"status.showUntrackedFiles": "no", "status.branch": "false", "status.short": "true"},
        {"status.showStash": "true", "status.aheadBehind": "true", "color.ui": "always"},
        {"status.relativePaths": "true", "core.quotePath": "true", "column.ui": "always"},
        {"status.renames": "copies", "diff.renames": "copies", "diff.noprefix": "true"},
        {"status.submoduleSummary": "true", "diff.ignoreSubmodules": "all"},
        {"core.untrackedCache": "true", "feature.manyFiles": "true"},
        {"commit.gpgSign": "true", "gpg.program": "false", "i18n.commitEncoding": "latin1"},
        {"core.safecrlf": "true", "core.autocrlf": "input", "core.logAllRefUpdates": "always"},
    ],
)
def test_no_configuration_hides_a_change(repo: Git, settings: dict[str, str]) -> None:
    repo.write("stashed", "x")
    repo("stash", "push", "--quiet", "--include-untracked")
    for name, value in settings.items():
        repo("config", name, value)
    repo.write("README", "line\n" * 20)
    repo("commit", "--quiet", "--no-gpg-sign", "-am", "long enough to be found again")
    repo("mv", "README", "README.md")
    repo.write("README.md", "line\n" * 20 + "edited\n")
    repo.write("train.py", "lr = 2\r\n")
    repo.write("a/new", "x")
    taken = snapshot(repo)
    names = repo.raw("-c", "color.ui=false", "diff-tree", "-r", "--name-only", "HEAD", taken.run_id)
    assert names.split() == [b"README", b"README.md", b"a/new", b"train.py"]
    assert content(repo, taken, "README.md").endswith(b"edited\n")


@pytest.mark.usefixtures("submodule")
def test_everything_together_comes_back(repo: Git, tmp_path: Path) -> None:
    """Staged, unstaged and untracked changes beside a submodule, restored in another work tree."""
    repo.write("a/b/c", "x")
    repo("add", "a")
    repo.write("a/b/c", "y")
    repo("rm", "--quiet", "README")
    (repo.path / "train.py").chmod(0o755)
    taken = snapshot(repo)
    expected = {k: v for k, v in read_tree(repo.path).items() if not k.startswith("sub/")}
    assert restored(repo, taken, tmp_path / "back") == expected


def test_a_partial_clone_works_offline(
    repo: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither HEAD's version of ``train.py`` nor what the sparse checkout leaves out is there."""
    repo("config", "uploadpack.allowFilter", "true")
    url = repo.path.as_uri()
    repo("clone", "--quiet", "--filter=blob:none", "--sparse", url, str(tmp_path / "partial"))
    repo.write("train.py", "a later version\n")
    repo("commit", "--quiet", "-am", "later")
    partial = Git(tmp_path / "partial")
    partial("fetch", "--quiet")
    partial("reset", "--quiet", "--soft", "origin/main")
    partial("read-tree", "-m", "HEAD")
    partial.write("README", "x\n")
    repo.path.rename(tmp_path / "offline")
    monkeypatch.chdir(partial.path)
    taken = snapshot(partial, limits=Limits(total_bytes=2))
    assert content(partial, taken, "README") == b"x\n"
    assert entries(partial, taken.run_id)["train.py"] == entries(partial, "HEAD")["train.py"]
