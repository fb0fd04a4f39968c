from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from gitexp.experiment import Experiment
from tests.support import Git, gitexp, gitexp_json
from tests.work_tree import read_tree


@pytest.fixture
def best(repo: Git) -> str:
    """Three runs of different code, the second the best one; return its id.

    The work tree is back at HEAD, clean.
    """
    ids = []
    for width, acc in ((8, 0.5), (16, 0.9), (32, 0.7)):
        repo.write("pkg/model.py", f"WIDTH = {width}\n")
        repo.write("new.txt", f"{width}\n")
        with Experiment(f"width {width}") as experiment:
            experiment.track({"acc": acc})
        ids.append(experiment.run_id)
    repo("checkout", "--quiet", "--", ".")
    (repo.path / "new.txt").unlink()
    return ids[1]


def snapshot_files(repo: Git, commit: str) -> dict[str, bytes]:
    names = repo("ls-tree", "-r", "--name-only", commit).splitlines()
    return {name: repo.raw("show", f"{commit}:{name}") for name in names}


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in _files(root)}


def _files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and ".git" not in path.parts]


def test_checkout_of_the_best_run_brings_its_code_back_exactly(repo: Git, best: str) -> None:
    done = gitexp("checkout", "best:acc")
    assert files(repo.path) == snapshot_files(repo, best)
    assert repo("rev-parse", "HEAD") == best
    assert best[:12] in done.stdout
    assert "git exp checkout -" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_checkout_dash_goes_back_to_the_branch(repo: Git, best: str) -> None:
    before = read_tree(repo.path)
    gitexp("checkout", best[:8])
    done = gitexp("checkout", "-")
    assert done.stdout == "Back on main.\n"
    assert repo("symbolic-ref", "--short", "HEAD") == "main"
    assert read_tree(repo.path) == before


def test_local_changes_stop_a_checkout_that_would_overwrite_them(repo: Git, best: str) -> None:
    repo.write("pkg/model.py", "WIDTH = 999\n")
    before, head = read_tree(repo.path), repo("rev-parse", "HEAD")
    refused = gitexp("checkout", "best:acc", check=1)
    assert "error: " in refused.stderr
    assert "pkg/model.py" in refused.stderr
    assert "--save" in refused.stderr
    assert (read_tree(repo.path), repo("rev-parse", "HEAD")) == (before, head)


def test_save_keeps_local_changes_and_dash_brings_them_back(repo: Git, best: str) -> None:
    repo.write("pkg/model.py", "WIDTH = 999\n")
    repo.write("staged.py", "pass\n")
    repo("add", "staged.py")
    before, status = read_tree(repo.path), repo("status", "--porcelain")
    done = gitexp("checkout", "best:acc", "--save")
    assert "Your changes are kept as" in done.stdout
    assert files(repo.path) == snapshot_files(repo, best)
    gitexp("checkout", "-")
    assert read_tree(repo.path) == before
    assert repo("status", "--porcelain") == status


def test_what_was_saved_survives_garbage_collection(repo: Git, best: str) -> None:
    repo.write("pkg/model.py", "WIDTH = 999\n")
    gitexp("checkout", "best:acc", "--save")
    repo("reflog", "expire", "--expire=now", "--all")
    repo("gc", "--quiet", "--prune=now")
    gitexp("checkout", "-")
    assert (repo.path / "pkg" / "model.py").read_text() == "WIDTH = 999\n"


def test_files_that_saving_leaves_out_are_named_and_stay(repo: Git, best: str) -> None:
    repo.write("pkg/model.py", "WIDTH = 999\n")
    repo.write(".env", "KEY=1\n")
    done = gitexp("checkout", "best:acc", "--save")
    assert "warning: " in done.stderr
    assert ".env" in done.stderr
    assert (repo.path / ".env").read_text() == "KEY=1\n"


def test_checkout_with_a_new_branch(repo: Git, best: str) -> None:
    done = gitexp("checkout", "best:acc", "-b", "idea")
    assert "On the new branch idea" in done.stdout
    assert repo("symbolic-ref", "--short", "HEAD") == "idea"
    assert repo("rev-parse", "idea") == best


def test_checkout_into_a_worktree_leaves_this_one_alone(
    repo: Git, best: str, tmp_path: Path
) -> None:
    before = read_tree(repo.path)
    repo.write("pkg/model.py", "WIDTH = 999\n")
    gitexp("checkout", "best:acc", "--worktree", "../there")
    assert files(tmp_path / "there") == snapshot_files(repo, best)
    repo("checkout", "--quiet", "--", ".")
    assert read_tree(repo.path) == before


def test_paths_after_dashes_are_brought_back_alone(repo: Git, best: str) -> None:
    done = gitexp("checkout", "best:acc", "--", "pkg/model.py")
    assert "pkg/model.py" in done.stdout
    assert (repo.path / "pkg" / "model.py").read_text() == "WIDTH = 16\n"
    assert not (repo.path / "new.txt").exists()
    assert repo("symbolic-ref", "--short", "HEAD") == "main"
    gitexp("checkout", "-")
    assert (repo.path / "pkg" / "model.py").read_text() == "WIDTH = 8\n"


def test_paths_are_relative_to_the_folder_of_the_caller(repo: Git, best: str) -> None:
    gitexp("checkout", "best:acc", "--", "model.py", cwd=repo.path / "pkg")
    assert (repo.path / "pkg" / "model.py").read_text() == "WIDTH = 16\n"


def test_paths_that_are_as_in_the_run_already_change_nothing(repo: Git, best: str) -> None:
    done = gitexp("checkout", "best:acc", "--", "README")
    assert "nothing was changed" in done.stdout
    assert repo("status", "--porcelain") == ""


def test_path_named_like_an_option_is_a_path(repo: Git) -> None:
    repo.write("--json", "old\n")
    with Experiment("odd"):
        pass
    repo.write("--json", "new\n")
    gitexp("checkout", "latest", "--save", "--", "--json")
    assert (repo.path / "--json").read_text() == "old\n"


def test_checkout_from_a_subfolder_restores_the_whole_tree(repo: Git, best: str) -> None:
    gitexp("checkout", "best:acc", cwd=repo.path / "pkg")
    assert files(repo.path) == snapshot_files(repo, best)


def test_checkout_in_a_linked_worktree_has_its_own_way_back(
    repo: Git, best: str, tmp_path: Path
) -> None:
    linked = tmp_path / "linked"
    repo("worktree", "add", "--quiet", "-b", "side", str(linked))
    gitexp("checkout", "best:acc", cwd=linked)
    refused = gitexp("checkout", "-", check=1)
    assert "no checkout to go back from" in refused.stderr
    gitexp("checkout", "-", cwd=linked)
    assert Git(linked)("symbolic-ref", "--short", "HEAD") == "side"


def test_checkout_with_save_without_any_git_identity(
    repo: Git, best: str, hermetic: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (hermetic / ".gitconfig").unlink()
    repo.write("pkg/model.py", "WIDTH = 999\n")
    gitexp("checkout", "best:acc", "--save")
    gitexp("checkout", "-")
    assert (repo.path / "pkg" / "model.py").read_text() == "WIDTH = 999\n"


def test_name_with_control_characters_is_made_visible(repo: Git) -> None:
    with Experiment("a\x1b[31m\nb"):
        pass
    done = gitexp("checkout", "latest")
    assert r"a\e[31m\nb" in done.stdout
    assert "\x1b" not in done.stdout


def test_run_whose_code_is_elsewhere_says_how_to_fetch_it(
    repo: Git, best: str, tmp_path: Path
) -> None:
    clone = tmp_path / "clone"
    repo("clone", "--quiet", "--no-local", str(repo.path), str(clone))
    repo("-C", str(clone), "fetch", "--quiet", "origin", "refs/notes/exprag/*:refs/notes/exprag/*")
    refused = gitexp("checkout", "best:acc", cwd=clone, check=1)
    assert f"The code of run {best[:12]} is not in this repository." in refused.stderr
    repo("-C", str(clone), "fetch", "--quiet", "origin", f"refs/exprag/runs/{best}")
    gitexp("checkout", "best:acc", cwd=clone)
    assert files(clone) == snapshot_files(repo, best)


def test_json_says_what_was_done(repo: Git, best: str) -> None:
    repo.write("pkg/model.py", "WIDTH = 999\n")
    there = gitexp_json("checkout", "best:acc", "--save")
    assert there["saved"]
    assert there == {
        "run": best,
        "name": "width 16",
        "target": best,
        "branch": None,
        "worktree": None,
        "saved": there["saved"],
        "paths": [],
        "previous": "main",
    }
    back = gitexp_json("checkout", "-")
    assert (back["branch"], back["previous"]) == ("main", best)
    assert "run" not in back


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["checkout"], 2, "RUN"),
        (["checkout", "nobody"], 1, "No run answers to 'nobody'."),
        (["checkout", "-nobody"], 2, "RUN"),
        (["checkout", ""], 2, "not named"),
        (["checkout", "-"], 1, "no checkout to go back from"),
        (["checkout", "-", "-b", "x"], 2, "takes no branch"),
        (["checkout", "latest", "-b", "x", "--worktree", "y"], 2, "not allowed with"),
        (["checkout", "latest", "-b", "x", "--", "README"], 2, "Paths cannot be combined"),
        (["checkout", "latest", "--worktree", "y", "--save"], 2, "--save cannot be combined"),
        (["checkout", "latest", "-b", "main"], 1, "exists already"),
        (["checkout", "latest", "-b", ""], 1, "branch name"),
        (["checkout", "latest", "-b", "-x"], 2, "-b"),
        (["checkout", "latest", "--", "no-such-file"], 1, "no-such-file"),
    ],
)
def test_bad_request_is_one_sentence_and_changes_nothing(
    repo: Git, best: str, arguments: list[str], code: int, said: str
) -> None:
    before, head = read_tree(repo.path), repo("symbolic-ref", "HEAD")
    refused = gitexp(*arguments, check=code)
    assert said in refused.stderr
    assert refused.stderr.startswith("error: ")
    assert (read_tree(repo.path), repo("symbolic-ref", "HEAD")) == (before, head)


def test_bare_repository_offers_a_worktree(repo: Git, best: str, tmp_path: Path) -> None:
    bare = tmp_path / "bare.git"
    shutil.copytree(repo.path / ".git", bare)
    Git(bare)("config", "core.bare", "true")
    refused = gitexp("checkout", "best:acc", cwd=bare, check=1)
    assert "--worktree" in refused.stderr
    gitexp("checkout", "best:acc", "--worktree", os.fspath(tmp_path / "there"), cwd=bare)
    assert files(tmp_path / "there") == snapshot_files(repo, best)
