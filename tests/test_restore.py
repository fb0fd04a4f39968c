"""Bringing code back: what arrives, what is refused, and that nothing is ever lost."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from gitexp import restore
from gitexp.errors import CheckoutError, GitexpWarning
from gitexp.git import replaced, saved, switch
from gitexp.git.repository import Repository
from gitexp.restore import (
    checkout,
    checkout_back,
    checkout_branch,
    checkout_paths,
    checkout_worktree,
)
from gitexp.snapshot import Limits, take_snapshot
from tests.support import Git
from tests.work_tree import read_tree


def here(git: Git) -> Repository:
    return Repository.discover(git.path)


def snapshot(git: Git, *, limits: Limits | None = None) -> str:
    """Take a run's snapshot of the work tree as it is, and keep it alive."""
    taken = take_snapshot(here(git), "run", limits=limits or Limits())
    git("update-ref", f"refs/exprag/runs/{taken.run_id}", taken.run_id)
    return taken.run_id


def saver(git: Git, *, limits: Limits | None = None) -> Callable[[], str]:
    return lambda: snapshot(git, limits=limits)


def state(git: Git) -> tuple[object, ...]:
    """Return all that ``checkout -`` has to bring back: files, index entries, flags, HEAD."""
    head = (git.path / git("rev-parse", "--git-path", "HEAD")).read_text()
    entries = git.raw("ls-files", "-s", "-v", "-z")
    status = git.raw("status", "--porcelain=v2", "-z", "--untracked-files=all", "--ignored")
    return read_tree(git.path), entries, status, head


def traces(git: Git) -> list[str]:
    """Return what checkouts have left in the git directory and under the saved refs."""
    files = [path.name for path in here(git).git_dir.glob("exprag-checkout-*")]
    return sorted(files) + git("for-each-ref", saved.SAVED).splitlines()


@pytest.fixture
def run(repo: Git) -> str:
    """A run whose snapshot changes, adds, removes and makes executable; the tree is clean again."""
    repo.write("train.py", "lr = 0.5\n")
    repo.write("new/notes.txt", "tried\n")
    (repo.path / "README").unlink()
    (repo.path / "pkg" / "model.py").chmod(0o755)
    run_id = snapshot(repo)
    repo("checkout", "--quiet", "--", ".")
    shutil.rmtree(repo.path / "new")
    assert repo("status", "--porcelain") == ""
    return run_id


@pytest.fixture
def dirty(repo: Git, run: str) -> Git:
    """Local changes of every kind, most of them in the way of the run's files."""
    repo.write("train.py", "staged\n")
    repo("add", "train.py")
    repo.write("train.py", "unstaged\n")
    repo.write("new/notes.txt", "mine, untracked\n")
    repo.write("staged.txt", "staged, then deleted\n")
    repo("add", "staged.txt")
    (repo.path / "staged.txt").unlink()
    repo.write("later.txt", "intended\n")
    repo("add", "--intent-to-add", "later.txt")
    (repo.path / "pkg" / "data.py").chmod(0o755)
    (repo.path / "pkg" / "model.py").unlink()
    (repo.path / "link").symlink_to("train.py")
    repo.write("out.log", "ignored\n")
    return repo


def test_checkout_brings_the_files_of_the_run_on_a_detached_head(repo: Git, run: str) -> None:
    done = checkout(here(repo), run)
    assert done == restore.Restored(run, None, None, None, (), "main")
    assert repo("rev-parse", "HEAD") == run
    assert repo("status", "--porcelain", "--branch") == "## HEAD (no branch)"
    assert (repo.path / "new/notes.txt").read_text() == "tried\n"
    assert not (repo.path / "README").exists()
    assert os.access(repo.path / "pkg/model.py", os.X_OK)


def test_back_returns_to_the_branch_and_leaves_nothing_behind(repo: Git, run: str) -> None:
    before = state(repo)
    checkout(here(repo), run[:12])
    done = checkout_back(here(repo))
    assert (done.branch, done.previous) == ("main", run)
    assert state(repo) == before
    assert traces(repo) == []


def test_changes_that_do_not_collide_are_kept_as_git_keeps_them(repo: Git, run: str) -> None:
    repo.write("pkg/data.py", "SEED = 2\n")
    repo.write("mine.txt", "mine\n")
    repo("add", "mine.txt")
    before = state(repo)
    checkout(here(repo), run)
    assert (repo.path / "pkg/data.py").read_text() == "SEED = 2\n"
    assert repo("status", "--porcelain").splitlines() == ["A  mine.txt", " M pkg/data.py"]
    checkout_back(here(repo))
    assert state(repo) == before


def collide_modified(git: Git) -> str:
    git.write("train.py", "local\n")
    return "train.py"


def collide_staged(git: Git) -> str:
    git.write("train.py", "local\n")
    git("add", "train.py")
    git.write("train.py", "lr = 0.1\nprint(lr)\n")
    return "train.py"


def collide_deleted(git: Git) -> str:
    (git.path / "train.py").unlink()
    return "train.py"


def collide_untracked(git: Git) -> str:
    git.write("new/notes.txt", "mine\n")
    return "new/notes.txt"


def collide_ignored(git: Git) -> str:
    git.write(".git/info/exclude", "new/\n")
    git.write("new/notes.txt", "mine\n")
    return "new/notes.txt"


def collide_ignored_file_for_folder(git: Git) -> str:
    git.write(".git/info/exclude", "/new\n")
    git.write("new", "mine\n")
    return "new"


def collide_link_for_folder(git: Git) -> str:
    (git.path.parent / "elsewhere").mkdir()
    (git.path / "new").symlink_to(git.path.parent / "elsewhere")
    return "new"


def collide_folder_for_file(git: Git) -> str:
    git.write("new/notes.txt/deep", "mine\n")
    return "new/notes.txt"


def collide_assume_unchanged(git: Git) -> str:
    git("update-index", "--assume-unchanged", "train.py")
    git.write("train.py", "local\n")
    return "train.py"


COLLISIONS = [value for name, value in sorted(globals().items()) if name.startswith("collide_")]
MOVES: dict[str, Callable[[Repository, str], object]] = {
    "detached": checkout,
    "branch": lambda repository, run: checkout_branch(repository, run, "trial"),
    "paths": lambda repository, run: checkout_paths(repository, run, ["."]),
}


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
@pytest.mark.parametrize("collide", COLLISIONS)
def test_what_would_be_overwritten_stops_a_checkout_and_is_named(
    repo: Git,
    run: str,
    collide: Callable[[Git], str],
    move: Callable[[Repository, str], object],
) -> None:
    name = collide(repo)
    if move is MOVES["paths"] and collide is collide_deleted:
        return  # a missing file is what paths are brought back for; see below
    before = state(repo)
    with pytest.raises(CheckoutError) as refusal:
        move(here(repo), run)
    assert name in refusal.value.message
    assert "--save" in (refusal.value.hint or "")
    assert state(repo) == before
    assert traces(repo) == []
    assert repo("branch", "--list", "trial") == ""


def test_save_brings_everything_back_exactly(dirty: Git, run: str) -> None:
    before = state(dirty)
    done = checkout(here(dirty), run, save=saver(dirty))
    assert done.saved is not None
    assert dirty("show", f"{done.saved}:train.py") == "unstaged"
    assert dirty("status", "--porcelain") == ""
    assert dirty("rev-parse", "HEAD") == run
    assert (dirty.path / "new/notes.txt").read_text() == "tried\n"
    assert checkout_back(here(dirty)).branch == "main"
    assert state(dirty) == before
    assert traces(dirty) == []


def test_saved_state_survives_garbage_collection(dirty: Git, run: str) -> None:
    before = state(dirty)
    done = checkout(here(dirty), run, save=saver(dirty))
    dirty("update-ref", "-d", f"refs/exprag/runs/{done.saved}")
    dirty("reflog", "expire", "--expire=now", "--all")
    dirty("gc", "--quiet", "--prune=now")
    checkout_back(here(dirty))
    assert state(dirty) == before


def test_save_takes_no_snapshot_of_a_clean_tree(repo: Git, run: str) -> None:
    def unwanted() -> str:
        raise AssertionError

    assert checkout(here(repo), run, save=unwanted).saved is None


def test_ignored_files_and_files_left_out_stay_in_place(dirty: Git, run: str) -> None:
    dirty.write("weights.bin", b"x" * 2000)
    before = state(dirty)
    checkout(here(dirty), run, save=saver(dirty, limits=Limits(file_bytes=1000)))
    assert (dirty.path / "weights.bin").read_bytes() == b"x" * 2000
    assert (dirty.path / "out.log").read_text() == "ignored\n"
    checkout_back(here(dirty))
    assert state(dirty) == before


@pytest.mark.parametrize("name", ["left out", "ignored"])
def test_save_refuses_where_a_file_it_does_not_hold_is_in_the_way(
    dirty: Git, run: str, name: str
) -> None:
    dirty.write("new/notes.txt", b"x" * 2000)
    if name == "ignored":
        dirty.write(".git/info/exclude", "new/\n")
    before = state(dirty)
    with pytest.raises(CheckoutError, match=r"new/notes\.txt"):
        checkout(here(dirty), run, save=saver(dirty, limits=Limits(file_bytes=1000)))
    assert state(dirty) == before
    assert traces(dirty) == []


def test_tracked_change_too_large_for_the_snapshot_stays_in_place(repo: Git, run: str) -> None:
    repo.write("pkg/data.py", b"y" * 3000)
    repo.write("train.py", "mine\n")
    before = state(repo)
    checkout(here(repo), run, save=saver(repo, limits=Limits(total_bytes=1000)))
    assert (repo.path / "pkg/data.py").read_bytes() == b"y" * 3000
    checkout_back(here(repo))
    assert state(repo) == before


def test_bytes_that_filters_would_not_give_back_are_kept(repo: Git) -> None:
    repo.write(".gitattributes", "*.nb filter=strip\n*.txt text=auto\n")
    repo("config", "filter.strip.clean", "sed /output/d")
    repo("config", "core.autocrlf", "input")
    repo("config", "core.safecrlf", "false")
    repo.write("a.nb", "code 1\n")
    repo("add", ".")
    repo("commit", "--quiet", "-m", "third")
    repo.write("a.nb", "code 2\n")
    repo.write("b.txt", "run\n")
    run_id = snapshot(repo)
    repo.write("a.nb", "code 3\noutput 42\n")
    repo.write("b.txt", b"one\r\ntwo\r\n")
    before = state(repo)
    checkout(here(repo), run_id, save=saver(repo))
    assert (repo.path / "a.nb").read_text() == "code 2\n"
    checkout_back(here(repo))
    assert state(repo) == before


def test_back_undoes_one_checkout_after_the_other(dirty: Git, run: str) -> None:
    before = state(dirty)
    other = dirty("rev-parse", "main~1")
    checkout(here(dirty), run, save=saver(dirty))
    checkout(here(dirty), other)
    assert checkout_back(here(dirty)).target == run
    checkout_back(here(dirty))
    assert state(dirty) == before
    with pytest.raises(CheckoutError, match="no checkout to go back from"):
        checkout_back(here(dirty))


def test_back_passes_over_positions_that_head_is_at_already(dirty: Git, run: str) -> None:
    before = state(dirty)
    checkout(here(dirty), run, save=saver(dirty))
    checkout(here(dirty), "main~1")
    dirty("checkout", "--quiet", "--detach", run)
    checkout_back(here(dirty))
    assert state(dirty) == before


def test_back_refuses_to_mix_new_changes_into_a_saved_state(dirty: Git, run: str) -> None:
    before = state(dirty)
    checkout(here(dirty), run, save=saver(dirty))
    dirty.write(".gitignore", "ignored/\n*.log\n# new\n")
    with pytest.raises(CheckoutError, match=r"since: \.gitignore"):
        checkout_back(here(dirty))
    there = state(dirty)
    checkout_back(here(dirty), save=saver(dirty))
    assert state(dirty) == before
    checkout_back(here(dirty), save=saver(dirty))
    assert state(dirty) == there


def test_back_refuses_where_a_new_file_is_in_the_way(dirty: Git, run: str) -> None:
    checkout(here(dirty), run, save=saver(dirty))
    dirty.write("later.txt", "new\n")
    there = state(dirty)
    with pytest.raises(CheckoutError, match=r"later\.txt"):
        checkout_back(here(dirty))
    assert state(dirty) == there


def test_back_refuses_when_the_branch_of_a_saved_state_has_moved(dirty: Git, run: str) -> None:
    done = checkout(here(dirty), run, save=saver(dirty))
    dirty("branch", "--force", "main", "main~1")
    with pytest.raises(CheckoutError, match="branch main has moved") as refusal:
        checkout_back(here(dirty))
    assert str(done.saved) in (refusal.value.hint or "")


def test_flags_of_index_entries_come_back(repo: Git, run: str) -> None:
    repo("update-index", "--assume-unchanged", "pkg/data.py")
    repo("update-index", "--split-index")
    repo.write("train.py", "mine\n")
    before = state(repo)
    checkout(here(repo), run, save=saver(repo))
    checkout_back(here(repo))
    assert state(repo) == before


def test_branch_is_made_at_the_snapshot_and_outlives_going_back(dirty: Git, run: str) -> None:
    before = state(dirty)
    done = checkout_branch(here(dirty), run, "trial", save=saver(dirty))
    assert (done.branch, done.previous) == ("trial", "main")
    assert dirty("symbolic-ref", "HEAD") == "refs/heads/trial"
    checkout_back(here(dirty))
    assert state(dirty) == before
    assert dirty("rev-parse", "trial") == run


@pytest.mark.parametrize("name", ["main", "-x", "a..b", "", "a b", "nul\0", "@{-1}"])
def test_branch_that_exists_or_has_a_bad_name_is_refused(repo: Git, run: str, name: str) -> None:
    before = state(repo)
    with pytest.raises(CheckoutError):
        checkout_branch(here(repo), run, name)
    assert state(repo) == before


def test_worktree_gets_the_files_and_this_tree_keeps_its_own(dirty: Git, run: str) -> None:
    before = state(dirty)
    place = dirty.path.parent / "-tree\n"
    done = checkout_worktree(here(dirty), run, place)
    assert done.worktree == place
    assert Git(place)("rev-parse", "HEAD") == run
    assert (place / "new/notes.txt").read_text() == "tried\n"
    assert state(dirty) == before


def test_worktree_refuses_a_folder_in_use(repo: Git, run: str) -> None:
    place = repo.write("../used/file", "x").parent
    with pytest.raises(CheckoutError, match="not an empty folder"):
        checkout_worktree(here(repo), run, place)
    assert [path.name for path in place.iterdir()] == ["file"]


def test_bare_repository_allows_worktrees_only(repo: Git, run: str) -> None:
    bare = repo.path.parent / "bare"
    repo("clone", "--quiet", "--mirror", ".", str(bare))
    with pytest.raises(CheckoutError) as refusal:
        checkout(Repository.discover(bare), run)
    assert "--worktree" in (refusal.value.hint or "")
    done = checkout_worktree(Repository.discover(bare), run, repo.path.parent / "tree")
    assert done.worktree is not None
    assert (done.worktree / "new/notes.txt").exists()


def test_linked_worktrees_go_back_each_on_its_own(repo: Git, run: str) -> None:
    repo("worktree", "add", "--quiet", "-b", "side", "../side")
    side = Git(repo.path.parent / "side")
    side.write("train.py", "side\n")
    before = state(repo), state(side)
    checkout(here(side), run, save=saver(side))
    checkout(here(repo), run)
    checkout_back(here(repo))
    checkout_back(here(side))
    assert (state(repo), state(side)) == before


def test_paths_bring_single_files_and_leave_head(repo: Git, run: str) -> None:
    before = state(repo)
    done = checkout_paths(here(repo), run, ["train.py", "new"])
    assert (done.paths, done.branch) == (("new/notes.txt", "train.py"), "main")
    assert repo("symbolic-ref", "HEAD") == "refs/heads/main"
    assert repo("status", "--porcelain").splitlines() == ["A  new/notes.txt", "M  train.py"]
    checkout_back(here(repo))
    assert state(repo) == before
    assert traces(repo) == []


def test_paths_are_relative_to_the_callers_folder(repo: Git, run: str) -> None:
    done = checkout_paths(Repository.discover(repo.path / "pkg"), run, ["../train.py", "model.py"])
    assert done.paths == ("pkg/model.py", "train.py")


def test_path_that_was_deleted_comes_back_and_goes_again(repo: Git, run: str) -> None:
    (repo.path / "train.py").unlink()
    repo("rm", "--quiet", "--cached", "pkg/model.py")
    before = state(repo)
    with pytest.raises(CheckoutError, match=r"pkg/model\.py"):
        checkout_paths(here(repo), run, ["pkg"])
    checkout_paths(here(repo), run, ["train.py"])
    assert (repo.path / "train.py").read_text() == "lr = 0.5\n"
    checkout_back(here(repo))
    assert state(repo) == before


def test_paths_with_save_come_back_exactly(dirty: Git, run: str) -> None:
    dirty.write("later.txt", "for a run\n")
    other = snapshot(dirty)
    dirty.write("later.txt", "changed\n")
    before = state(dirty)
    done = checkout_paths(here(dirty), run, ["."], save=saver(dirty))
    assert done.saved is not None
    checkout_paths(here(dirty), other, ["later.txt"], save=saver(dirty))
    checkout_back(here(dirty))
    checkout_back(here(dirty))
    assert state(dirty) == before


def test_back_keeps_other_changes_and_refuses_edits_of_the_files(repo: Git, run: str) -> None:
    checkout_paths(here(repo), run, ["train.py"])
    repo.write("pkg/data.py", "SEED = 3\n")
    repo.write("train.py", "lr = 0.7\n")
    with pytest.raises(CheckoutError, match=r"since: train\.py"):
        checkout_back(here(repo))
    assert (repo.path / "train.py").read_text() == "lr = 0.7\n"
    repo.write("train.py", "lr = 0.5\n")
    checkout_back(here(repo))
    assert repo("status", "--porcelain") == " M pkg/data.py"


def test_back_refuses_where_a_new_file_took_the_place_of_a_folder(repo: Git, run: str) -> None:
    checkout_paths(here(repo), run, ["pkg/model.py"])
    (repo.path / "pkg").rename(repo.path / "moved")
    repo.write("pkg", "new\n")
    with pytest.raises(CheckoutError, match="since: pkg"):
        checkout_back(here(repo))
    assert (repo.path / "pkg").read_text() == "new\n"


def test_back_refuses_to_lose_what_was_staged_since(repo: Git, run: str) -> None:
    checkout_paths(here(repo), run, ["train.py"])
    repo.write("train.py", "lr = 0.7\n")
    repo("add", "train.py")
    repo.write("train.py", "lr = 0.5\n")
    with pytest.raises(CheckoutError, match="staged"):
        checkout_back(here(repo))


@pytest.mark.parametrize("path", ["absent", "../outside", "/etc/passwd", "", "nul\0", "README"])
def test_path_that_the_run_does_not_have_is_refused(repo: Git, run: str, path: str) -> None:
    before = state(repo)
    with pytest.raises(CheckoutError):
        checkout_paths(here(repo), run, ["train.py", path])
    assert state(repo) == before


@pytest.mark.parametrize("name", ["-dash", "new\nline", os.fsdecode(b"caf\xe9"), "sp ace", 'q"t'])
@pytest.mark.skipif(sys.platform == "darwin", reason="its file names are UTF-8")
def test_any_file_name_comes_and_goes(repo: Git, name: str) -> None:
    repo.write(name, "run\n")
    run_id = snapshot(repo)
    repo.write(name, "mine\n")
    before = state(repo)
    with pytest.raises(CheckoutError):
        checkout(here(repo), run_id)
    checkout(here(repo), run_id, save=saver(repo))
    checkout_back(here(repo))
    assert state(repo) == before
    assert checkout_paths(here(repo), run_id, [name], save=saver(repo)).paths == (name,)
    assert (repo.path / name).read_text() == "run\n"
    checkout_back(here(repo))
    assert state(repo) == before


@pytest.mark.parametrize("save", [False, True])
def test_unborn_branch_is_left_and_returned_to(repo: Git, run: str, *, save: bool) -> None:
    repo("checkout", "--quiet", "--orphan", "fresh")
    repo("rm", "--quiet", "-r", "--force", ".")
    if save:
        repo.write("train.py", "mine\n")
        repo("add", "train.py")
        repo.write("train.py", "mine, changed\n")
    before = state(repo)
    checkout(here(repo), run, save=saver(repo) if save else None)
    assert (repo.path / "new/notes.txt").exists()
    checkout_back(here(repo))
    assert state(repo) == before


def test_unborn_branch_keeps_files_in_the_way(repo: Git, run: str) -> None:
    repo("checkout", "--quiet", "--orphan", "fresh")
    repo("rm", "--quiet", "-r", "--cached", ".")
    before = state(repo)
    with pytest.raises(CheckoutError, match=r"train\.py"):
        checkout(here(repo), run)
    assert state(repo) == before


def test_merge_in_progress_and_conflicts_stop_everything(repo: Git, run: str) -> None:
    repo("checkout", "--quiet", "-b", "other", "main~1")
    repo.write("train.py", "theirs\n")
    repo("commit", "--quiet", "-am", "theirs")
    repo("checkout", "--quiet", "main")
    repo.write("train.py", "ours\n")
    repo("commit", "--quiet", "-am", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        repo("merge", "--quiet", "other")
    before = state(repo)
    with pytest.raises(CheckoutError, match="A merge is in progress"):
        checkout(here(repo), run, save=saver(repo))
    (repo.path / ".git" / "MERGE_HEAD").unlink()
    with pytest.raises(CheckoutError, match=r"unresolved conflicts: train\.py"):
        checkout_paths(here(repo), run, ["new"])
    assert state(repo) == before


@pytest.mark.parametrize("commit", ["0" * 40, "nonsense", "-x", "nul\0", ""])
def test_commit_that_is_not_here_is_refused(repo: Git, commit: str) -> None:
    with pytest.raises(CheckoutError, match="is not in this repository"):
        checkout(here(repo), commit)


@pytest.mark.parametrize("what", ["new/notes.txt", "new"])
@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_missing_object_is_an_error_before_anything_changes(
    repo: Git, run: str, what: str, move: Callable[[Repository, str], object]
) -> None:
    lost = repo("rev-parse", f"{run}:{what}")
    (repo.path / ".git/objects" / lost[:2] / lost[2:]).unlink()
    before = state(repo)
    with pytest.raises(CheckoutError, match="not complete"):
        move(here(repo), run)
    with pytest.raises(CheckoutError, match="not complete"):
        checkout_worktree(here(repo), run, repo.path.parent / "tree")
    assert state(repo) == before


def test_required_filter_that_fails_leaves_everything_as_it_was(dirty: Git, run: str) -> None:
    dirty("config", "filter.broken.smudge", "false")
    dirty("config", "filter.broken.required", "true")
    dirty("config", "filter.broken.clean", "cat")
    dirty.write(".git/info/attributes", "new/notes.txt filter=broken\n")
    (dirty.path / "new/notes.txt").unlink()
    before = state(dirty)
    with pytest.raises(CheckoutError, match="smudge filter broken failed"):
        checkout(here(dirty), run, save=saver(dirty))
    assert state(dirty) == before
    assert traces(dirty) == []


@pytest.mark.parametrize("move", MOVES.values(), ids=MOVES)
def test_hook_runs_and_its_failure_is_a_warning(
    repo: Git, run: str, move: Callable[[Repository, str], object]
) -> None:
    hook = repo.write(".git/hooks/post-checkout", "#!/bin/sh\necho ran >hook.log\nexit 3\n")
    hook.chmod(0o755)
    with pytest.warns(GitexpWarning, match="post-checkout"):
        move(here(repo), run)
    assert (repo.path / "hook.log").exists()
    assert (repo.path / "train.py").read_text() == "lr = 0.5\n"


def test_sparse_checkout_stays_sparse(repo: Git, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    repo("sparse-checkout", "set", "--cone", "new")
    repo.write("train.py", "mine\n")
    before = state(repo)
    assert not (repo.path / "pkg").exists()
    checkout(here(repo), run, save=saver(repo))
    assert not (repo.path / "pkg").exists()
    checkout_back(here(repo))
    assert state(repo) == before
    attempt(monkeypatch, (switch, "checkout"), 1, lambda: ACTIONS["detached"](repo, run))
    checkout_back(here(repo))
    assert state(repo) == before


def test_folder_of_the_caller_survives(repo: Git) -> None:
    repo.write("deep/file", "x\n")
    run_id = snapshot(repo)
    checkout(here(repo), run_id, save=saver(repo))
    folder = repo.path / "deep"
    checkout(Repository.discover(folder), "main")
    assert folder.is_dir()


def test_damaged_state_file_is_an_error_that_names_it(repo: Git, run: str) -> None:
    repo.write(f".git/{saved.STATE_FILE}", '{"version": 1, "positions": [{}]}')
    with pytest.raises(CheckoutError, match=saved.STATE_FILE):
        checkout(here(repo), run)


def test_index_that_is_locked_is_an_error_and_nothing_changes(dirty: Git, run: str) -> None:
    before = state(dirty)
    lock = dirty.write(".git/index.lock", "")
    with pytest.raises(CheckoutError, match="locked"):
        checkout(here(dirty), run, save=saver(dirty))
    lock.unlink()
    assert state(dirty) == before
    assert traces(dirty) == []


def test_second_checkout_at_the_same_time_is_refused(dirty: Git, run: str) -> None:
    def meanwhile() -> str:
        with pytest.raises(CheckoutError, match="Another gitexp checkout"):
            checkout_back(here(dirty))
        return snapshot(dirty)

    assert checkout(here(dirty), run, save=meanwhile).saved is not None


def test_index_copy_of_a_killed_checkout_is_swept(repo: Git, run: str) -> None:
    repo.write(".git/exprag-checkout-0123456789abcdef.index", "")
    checkout(here(repo), run)
    assert traces(repo) == []


class Killed(BaseException):
    """Stands for ``kill -9``: nothing that handles errors sees it."""


STEPS = [
    (saved, "copy_index"),
    (saved, "keep"),
    (saved, "write_trail"),
    (saved, "install_index"),
    (saved, "forget"),
    (switch, "set_head"),
    (switch, "checkout"),
    (switch, "put_back"),
    (switch, "write_raw"),
    (switch, "set_entries"),
    (replaced, "replace_files"),
    (replaced, "restore_files"),
]
ACTIONS: dict[str, Callable[[Git, str], object]] = {
    "detached": lambda git, run: checkout(here(git), run, save=saver(git)),
    "branch": lambda git, run: checkout_branch(here(git), run, "trial", save=saver(git)),
    "paths": lambda git, run: checkout_paths(here(git), run, ["."], save=saver(git)),
}


def attempt(
    monkeypatch: pytest.MonkeyPatch, step: tuple[Any, str], call: int, work: Callable[[], object]
) -> None:
    """Do some work and die at a certain call of a step: before odd calls, after even ones."""
    original = getattr(*step)
    calls = itertools.count(1)

    def die() -> None:
        patch.setattr(saved, "forget", lambda *_: None)  # the dead do not clean up
        raise Killed

    def stepping(*arguments: Any, **options: Any) -> Any:
        now = next(calls) == call
        if now and call % 2:
            die()
        result = original(*arguments, **options)
        if now:
            die()
        return result

    with monkeypatch.context() as patch:
        patch.setattr(*step, stepping)
        with contextlib.suppress(Killed):
            work()


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
def test_checkout_killed_at_any_step_can_be_repeated_or_undone(
    dirty: Git,
    run: str,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[Any, str],
    action: Callable[[Git, str], object],
) -> None:
    before = state(dirty)
    for call in (1, 2, 3):
        attempt(monkeypatch, step, call, lambda: action(dirty, run))
        back_to_the_start(dirty, before)
        dirty("update-ref", "-d", "refs/heads/trial")
        attempt(monkeypatch, step, call, lambda: action(dirty, run))
        if state(dirty) != before and saved.read_trail(here(dirty)).pending is None:
            back_to_the_start(dirty, before)  # it had ended but for the last step
            dirty("update-ref", "-d", "refs/heads/trial")
        action(dirty, run)
        assert (dirty.path / "train.py").read_text() == "lr = 0.5\n"
        back_to_the_start(dirty, before)
        dirty("update-ref", "-d", "refs/heads/trial")


def test_saved_state_stays_within_reach_of_who_went_elsewhere_after_an_interruption(
    dirty: Git, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(dirty)
    attempt(monkeypatch, (switch, "checkout"), 1, lambda: ACTIONS["detached"](dirty, run))
    dirty("checkout", "--quiet", "--force", "--detach", "main~1")
    there = state(dirty)
    checkout(here(dirty), run)
    checkout_back(here(dirty))
    assert state(dirty) == there
    checkout_back(here(dirty))
    assert state(dirty) == before


def test_edit_made_after_an_interruption_is_not_overwritten(
    dirty: Git, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt(monkeypatch, (switch, "checkout"), 1, lambda: ACTIONS["detached"](dirty, run))
    dirty.write("train.py", "edited\n")
    for repeat in (True, False):
        with pytest.raises(CheckoutError, match=r"since: train\.py"):
            checkout(here(dirty), run) if repeat else checkout_back(here(dirty))
        assert (dirty.path / "train.py").read_text() == "edited\n"


def test_beginning_of_a_file_that_git_did_not_finish_is_replaced(
    dirty: Git, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = state(dirty)
    attempt(monkeypatch, (switch, "checkout"), 1, lambda: ACTIONS["detached"](dirty, run))
    dirty.write("train.py", "lr = ")
    checkout_back(here(dirty))
    assert state(dirty) == before


def back_to_the_start(git: Git, before: tuple[object, ...]) -> None:
    if state(git) != before or saved.read_trail(here(git)).pending:
        checkout_back(here(git))
    assert state(git) == before


@pytest.mark.slow
@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step[1])
def test_way_back_killed_at_any_step_can_be_repeated(
    dirty: Git,
    run: str,
    monkeypatch: pytest.MonkeyPatch,
    step: tuple[Any, str],
    action: Callable[[Git, str], object],
) -> None:
    before = state(dirty)
    for call in (1, 2, 3, 4):
        action(dirty, run)
        attempt(monkeypatch, step, call, lambda: checkout_back(here(dirty)))
        back_to_the_start(dirty, before)
        dirty("update-ref", "-d", "refs/heads/trial")


PROGRAM = """
import sys
from gitexp.git.repository import Repository
from gitexp.restore import checkout
from gitexp.snapshot import Limits, take_snapshot
repository = Repository.discover()
def save():
    return take_snapshot(repository, "saved", limits=Limits()).run_id
try:
    checkout(repository, sys.argv[1], save=save)
except KeyboardInterrupt:
    sys.exit(130)
"""


@pytest.mark.slow
@pytest.mark.parametrize("way", ["interrupt", "kill git", "kill both"])
def test_checkout_stopped_while_git_writes_files_is_undone_or_repeated(
    dirty: Git, run: str, way: str
) -> None:
    """A filter stops git in the middle: earlier files are replaced, later ones are not."""
    before = state(dirty)
    for finish in ("back", "repeat"):
        filters_stop(dirty)
        process = subprocess.Popen([sys.executable, "-c", PROGRAM, run], start_new_session=True)
        pid = wait_for_filter(dirty)
        if way == "interrupt":
            process.send_signal(signal.SIGINT)
        elif way == "kill git":
            os.kill(git_of(pid), signal.SIGKILL)
        else:
            os.killpg(process.pid, signal.SIGKILL)
        (dirty.path / ".git" / "go").touch()
        code = process.wait(30)
        assert code == {"interrupt": 130, "kill git": 1, "kill both": -signal.SIGKILL}[way]
        (dirty.path / ".git" / "index.lock").unlink(missing_ok=True)
        dirty("config", "--remove-section", "filter.slow")
        (dirty.path / ".git" / "info" / "attributes").unlink()
        if finish == "repeat":
            checkout(here(dirty), run, save=saver(dirty))
            assert dirty("status", "--porcelain") == ""
            assert dirty("rev-parse", "HEAD") == run
        checkout_back(here(dirty))
        assert state(dirty) == before


def filters_stop(git: Git) -> None:
    """Make git wait when it writes the run's train.py, until the file .git/go is there."""
    for name in ("go", "waiting"):
        (git.path / ".git" / name).unlink(missing_ok=True)
    script = git.write(
        ".git/slow",
        "#!/bin/sh\n"
        "content=$(cat)\n"
        'if [ "$content" = "lr = 0.5" ]; then\n'
        "  echo $PPID >.git/waiting.new && mv .git/waiting.new .git/waiting\n"
        "  while [ ! -e .git/go ]; do sleep 0.01; done\n"
        "fi\n"
        'echo "$content"\n',
    )
    script.chmod(0o755)
    git("config", "filter.slow.smudge", str(script))
    git("config", "filter.slow.clean", "cat")
    git.write(".git/info/attributes", "train.py filter=slow\n")


def wait_for_filter(git: Git) -> int:
    marker = git.path / ".git" / "waiting"
    for _ in range(3000):
        if marker.exists():
            return int(marker.read_text())
        time.sleep(0.01)
    raise AssertionError


def git_of(pid: int) -> int:
    """Return the git process above a filter's parent, which may be a shell."""
    line = subprocess.run(
        ["ps", "-o", "ppid=,comm=", "-p", str(pid)], capture_output=True, text=True, check=True
    ).stdout.split()
    return pid if line[1].endswith("git") else git_of(int(line[0]))
