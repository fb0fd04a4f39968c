"""Replicates below the command line: seeds, plans, worktrees and what they leave behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from gitexp.configuration import digest_of
from gitexp.errors import GitexpError, MissingObjectError, UsageError
from gitexp.experiment import Experiment
from gitexp.git.history import EMPTY_TREE
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.records.facts import EndFact, RunFact
from gitexp.research.replicate import (
    Plan,
    differences,
    folder_in,
    plan_replicates,
    require_own_code,
    seeded,
    spread_of,
    with_seed,
)
from gitexp.research.worktree import Worktree, link, remove_abandoned, worktree_of
from gitexp.run import Run
from tests.full_store import BEGIN, BY, END, running, write_facts
from tests.support import Git


def made(name: str = "r", command: tuple[str, ...] = ("train",), **about: object) -> Run:
    """Record a run of the work tree as it is."""
    arguments: dict[str, object] = {"command": command} | about
    with Experiment(name, **arguments) as experiment:  # type: ignore[arg-type]
        experiment.track({"acc": 0.5})
    return Memory.open().get(experiment.run_id)


def plan_of(run: Run, count: int = 1, command: tuple[str, ...] = ()) -> Plan:
    return plan_replicates(Memory.open(), run, count, command=command)


def notes(git: Git) -> list[Path]:
    return list((git.path / ".git" / "exprag" / "worktrees").iterdir())


# Seeds


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("train --seed 1", "train --seed 9"),
        ("train --seed=1 --lr 2", "train --seed=9 --lr 2"),
        ("train seed=1 data.seed=2 lr=3", "train seed=9 data.seed=9 lr=3"),
        ("train --data-seed 1 --random_seed -5", "train --data-seed 9 --random_seed 9"),
        ("train --no-seed train.py", "train --no-seed train.py"),
        ("train --seed auto seed=", "train --seed auto seed="),
        ("train --seed", "train --seed"),
        ("train seed 1 reseeding=1", "train seed 1 reseeding=1"),
    ],
)
def test_a_seed_is_replaced_where_the_command_has_one(command: str, expected: str) -> None:
    words = command.split()
    assert list(with_seed(words, 9)) == expected.split()
    assert digest_of({}, words) == digest_of({}, with_seed(words, 9))


def test_a_seed_is_replaced_where_it_is_a_parameter() -> None:
    old = {"seed": 1, "lr": 2, "data": {"random_seed": "3", "seeds": 4}, "is": {"seed": True}}
    new = {"seed": 9, "lr": 2, "data": {"random_seed": "9", "seeds": 4}, "is": {"seed": True}}
    assert seeded(old, 9) == new
    assert digest_of(old, ()) == digest_of(new, ())


def test_new_seeds_are_those_that_no_replicate_has(repo: Git) -> None:
    run = made(seed=3)
    made(seed=4)
    made(seed=6)
    made(seed=5, params={"lr": 1})  # another setup
    assert plan_of(run, 3).seeds == (5, 7, 8)


@pytest.mark.parametrize("seed", [None, -4, 2**40])
def test_new_seeds_fit_any_generator(repo: Git, seed: int | None) -> None:
    run = made(seed=seed)
    assert plan_of(run, 2).seeds == (1, 2)


def test_the_name_says_the_seed_once(repo: Git) -> None:
    assert plan_of(made("base")).name(7) == "base, seed 7"
    assert plan_of(made("base, seed 7")).name(8) == "base, seed 8"
    assert plan_of(made("train.py --seed 3 --lr 1")).name(8) == "train.py --seed 8 --lr 1"


# What cannot be replicated


def test_a_run_in_progress_is_refused(repo: Git) -> None:
    with running() as experiment:
        run = Memory.open().get(experiment.run_id)
        with pytest.raises(GitexpError, match="in progress"):
            plan_of(run)


def test_a_run_without_a_command_needs_one(repo: Git) -> None:
    run = made(command=())
    with pytest.raises(UsageError) as caught:
        plan_of(run)
    assert caught.value.hint is not None
    assert "--" in caught.value.hint
    assert plan_of(run, command=("true",)).command == ("true",)


def test_a_notebook_is_no_command(repo: Git) -> None:
    run = made(command=("python", "-m", "ipykernel_launcher", "-f", "kernel.json"))
    with pytest.raises(UsageError, match="notebook"):
        plan_of(run)


def test_code_that_is_elsewhere_has_to_be_pulled(repo: Git) -> None:
    write_facts("ab" * 20, RunFact(time=BEGIN, by=BY, name="far", command=("true",)))
    with pytest.raises(MissingObjectError) as caught:
        plan_of(Memory.open().get("far"))
    assert "git exp pull" in str(caught.value.hint)


def test_a_run_without_code_or_without_a_base_is_refused(repo: Git) -> None:
    begin = RunFact(time=BEGIN, by=BY, name="x", command=("true",))
    end = EndFact(time=END, by=BY, status="finished", duration=1.0)
    empty = repo("commit-tree", EMPTY_TREE, "-p", "HEAD", "-m", "exprag: x")
    orphan = repo("commit-tree", "HEAD^{tree}", "-m", "exprag: x")
    write_facts(empty, begin, end)
    write_facts(orphan, begin, end)
    with pytest.raises(GitexpError, match="without its code"):
        plan_of(Memory.open().get(empty))
    with pytest.raises(GitexpError, match="first commit"):
        plan_of(Memory.open().get(orphan))


def test_submodules_are_refused_by_name(repo: Git) -> None:
    head = repo("rev-parse", "HEAD")
    repo("update-index", "--add", "--cacheinfo", f"160000,{head},vendored")
    repo("commit", "--quiet", "-m", "submodule")
    (repo.path / "vendored").mkdir()
    run = made()
    with pytest.raises(GitexpError, match=r"submodules \(vendored\)"):
        plan_of(run)


# The worktree


def test_it_holds_the_dirty_code_on_the_runs_own_base(repo: Git) -> None:
    repo.write("train.py", "print('dirty')\n")
    repo.write("new.py", "1\n")
    (repo.path / "README").unlink()
    run = made()
    base = repo("rev-parse", "HEAD")
    repo("commit", "--quiet", "--allow-empty", "-m", "later")
    plan = plan_of(run)
    with worktree_of(Repository.discover(), plan.tree, plan.base) as worktree:
        there = Git(worktree.path)
        assert there("rev-parse", "HEAD") == base
        assert there("write-tree") == plan.tree
        assert there("status", "--porcelain", "--untracked-files=all").splitlines() == [
            *("D  README", "A  new.py", "M  train.py"),
        ]
        assert worktree.path.name == repo.path.name
        assert (worktree.path / "train.py").read_text() == "print('dirty')\n"
    assert not worktree.path.parent.exists()
    assert repo("worktree", "list").count("\n") == 0
    assert not notes(repo)


def test_a_bare_repository_will_do(repo: Git, tmp_path: Path) -> None:
    plan = plan_of(made())
    repo("clone", "--quiet", "--bare", "--mirror", ".", str(tmp_path / "bare"))
    bare = Repository.discover(tmp_path / "bare")
    with worktree_of(bare, plan.tree, plan.base) as worktree:
        link(bare, worktree, [], set())
        assert (worktree.path / "train.py").exists()
        with pytest.raises(UsageError, match="bare"):
            link(bare, worktree, ["data"], set())


def test_nothing_is_left_when_a_filter_fails(repo: Git) -> None:
    repo.write(".gitattributes", "*.bin filter=broken\n")
    repo.write("x.bin", "1\n")
    run = made()
    repo("config", "filter.broken.smudge", "false")
    repo("config", "filter.broken.required", "true")
    plan = plan_of(run)
    with (
        pytest.raises(GitexpError, match=r"x\.bin|filter"),
        worktree_of(Repository.discover(), plan.tree, plan.base),
    ):
        pass
    assert repo("worktree", "list").count("\n") == 0
    assert not notes(repo)


def test_filters_are_applied_as_in_any_checkout(repo: Git) -> None:
    repo("config", "filter.upper.smudge", "tr a-z A-Z")
    repo("config", "filter.upper.clean", "tr A-Z a-z")
    repo.write(".gitattributes", "*.up filter=upper\n")
    repo.write("x.up", "WORD\n")
    plan = plan_of(made())
    with worktree_of(Repository.discover(), plan.tree, plan.base) as worktree:
        assert (worktree.path / "x.up").read_text() == "WORD\n"


def test_hooks_do_not_run(repo: Git, tmp_path: Path) -> None:
    for name in ("post-checkout", "post-index-change"):
        hook = repo.write(f".git/hooks/{name}", f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        hook.chmod(0o755)
    plan = plan_of(made())
    (tmp_path / "ran").unlink(missing_ok=True)
    with worktree_of(Repository.discover(), plan.tree, plan.base):
        pass
    assert not (tmp_path / "ran").exists()


ABANDON = """
import os, signal
from gitexp.git.repository import Repository
from gitexp.research.worktree import worktree_of
repository = Repository.discover()
with worktree_of(repository, {tree!r}, {base!r}) as worktree:
    print(worktree.path, flush=True)
    os.kill(os.getpid(), signal.{signal})
"""


@pytest.mark.parametrize("kind", ["SIGKILL", "SIGINT"])
def test_what_a_killed_process_left_is_removed_by_the_next(repo: Git, kind: str) -> None:
    plan = plan_of(made())
    code = ABANDON.format(tree=plan.tree, base=plan.base, signal=kind)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    place = Path(done.stdout.strip())
    assert place.exists() == (kind == "SIGKILL")
    remove_abandoned(Repository.discover())
    assert not place.parent.exists()
    assert repo("worktree", "list").count("\n") == 0
    assert not notes(repo)


def test_a_worktree_in_use_and_those_of_the_user_are_left_alone(repo: Git, tmp_path: Path) -> None:
    repo("worktree", "add", "--quiet", "--detach", str(tmp_path / "mine"))
    plan = plan_of(made())
    repository = Repository.discover()
    with worktree_of(repository, plan.tree, plan.base) as first:
        with worktree_of(repository, plan.tree, plan.base) as second:
            assert first.path != second.path
        assert first.path.exists()
    assert (tmp_path / "mine" / "train.py").exists()


def test_a_damaged_or_hostile_note_removes_nothing_else(repo: Git, tmp_path: Path) -> None:
    precious = tmp_path / "precious" / "tree"
    precious.mkdir(parents=True)
    folder = repo.path / ".git" / "exprag" / "worktrees"
    folder.mkdir(parents=True)
    (folder / "torn").write_bytes(b'{"owner":')
    host = os.uname().nodename
    (folder / "hostile").write_text(
        f'{{"owner":{{"kind":"owner","host":"{host}","pid":1,"started":"x"}},"path":"{precious}"}}'
    )
    remove_abandoned(Repository.discover())
    assert precious.exists()
    assert not notes(repo)


# Links


def linked(git: Git, *paths: str, left_out: tuple[str, ...] = ()) -> list[str]:
    """Link paths into a worktree of a run; return the links that are there."""
    plan = plan_of(made())
    repository = Repository.discover()
    with worktree_of(repository, plan.tree, plan.base) as worktree:
        link(repository, worktree, paths, set(left_out))
        variables = worktree.variables(dict(os.environ))
        status = ["git", "status", "--porcelain", "--untracked-files=all"]
        done = subprocess.run(
            status, cwd=worktree.path, env=variables, capture_output=True, check=True
        )
        assert done.stdout == b""
        found = (path for path in worktree.path.rglob("*") if path.is_symlink())
        for path in found:
            assert path.resolve() == git.path / path.relative_to(worktree.path)
        links = [path for path in worktree.path.rglob("*") if path.is_symlink()]
        return sorted(path.relative_to(worktree.path).as_posix() for path in links)


def test_an_ignored_folder_is_linked_though_the_pattern_is_of_folders_only(repo: Git) -> None:
    repo.write("ignored/data.csv", "1\n")
    assert linked(repo, "ignored") == ["ignored"]
    assert (repo.path / "ignored" / "data.csv").read_text() == "1\n"


def test_a_folder_with_code_in_it_is_linked_by_what_is_ignored(repo: Git) -> None:
    repo.write("data/.gitignore", "*\n!.gitignore\n!keep\n")
    repo.write("data/keep", "code\n")
    repo("add", "data")
    repo("commit", "--quiet", "-m", "data")
    repo.write("data/big [1].bin", "1\n")
    repo.write("data/deep/x", "1\n")
    assert linked(repo, "data") == ["data/big [1].bin", "data/deep"]


def test_what_the_snapshot_left_out_can_be_linked(repo: Git) -> None:
    repo.write("large.bin", "x" * (2 << 20))
    with pytest.warns(UserWarning, match=r"large\.bin"):
        assert linked(repo, "large.bin", left_out=("large.bin",)) == ["large.bin"]


def test_the_users_own_excludes_still_count(repo: Git, hermetic: Path) -> None:
    (hermetic / "everywhere").write_text("*.tmp")
    repo("config", "--global", "core.excludesFile", "~/everywhere")
    repo.write("x.tmp", "1\n")
    repo.write("ignored/data.csv", "1\n")
    assert linked(repo, "x.tmp", "ignored") == ["ignored", "x.tmp"]


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("train.py", GitexpError),
        ("pkg", GitexpError),
        ("missing", UsageError),
        ("../home", UsageError),
        ("/etc", UsageError),
        (".git", UsageError),
    ],
)
def test_code_and_places_outside_are_not_linked(
    repo: Git, path: str, error: type[GitexpError]
) -> None:
    with pytest.raises(error):
        linked(repo, path)


def test_new_code_is_not_linked_into_old_code(repo: Git) -> None:
    plan = plan_of(made())
    repo.write("fresh.py", "1\n")
    repository = Repository.discover()
    with (
        worktree_of(repository, plan.tree, plan.base) as worktree,
        pytest.raises(GitexpError, match="it is code"),
    ):
        link(repository, worktree, ["fresh.py"], set())


# Where the command runs


def standing(git: Git, tmp_path: Path) -> Worktree:
    place = tmp_path / "tree"
    place.mkdir()
    return Worktree(place, tmp_path / "exclude", git.path)


@pytest.mark.parametrize("folder", ["..", "/etc", "a/../..", "link", ".git/hooks", "file"])
def test_a_folder_outside_of_the_code_is_refused(repo: Git, tmp_path: Path, folder: str) -> None:
    worktree = standing(repo, tmp_path)
    (worktree.path / "link").symlink_to("/etc")
    (worktree.path / "file").touch()
    run = made()
    run.cwd = folder
    with pytest.raises(GitexpError, match="ran in"):
        folder_in(worktree, plan_of(run))


def test_a_command_must_not_name_code_of_the_users_work_tree(repo: Git, tmp_path: Path) -> None:
    worktree = standing(repo, tmp_path)
    (worktree.path / "train.py").touch()
    inside = plan_of(made(command=("python", f"--script={repo.path}/train.py")))
    with pytest.raises(GitexpError, match="code that is there now"):
        require_own_code(worktree, inside)
    require_own_code(worktree, plan_of(made(command=("python", f"{repo.path}/data.csv"))))


# What came of it


def test_differences_are_named(repo: Git) -> None:
    repo.write("ignored/data", "1\n")
    run = made(params={"lr": 1, "seed": 1}, inputs=["ignored/data"])
    plan = plan_of(run)
    memory = Memory.open()
    same = made(params={"lr": 1, "seed": 2}, inputs=["ignored/data"], seed=5)
    assert differences(memory.repository, plan, same) == []
    repo.write("ignored/data", "2\n")
    repo.write("train.py", "other\n")
    other = made(command=("other",), params={"lr": 2}, inputs=["ignored/data"])
    assert differences(memory.repository, plan, other) == [
        *("the code (train.py)", "parameters (lr)", "the command", "inputs"),
    ]


def test_the_spread_is_of_replicates_only(repo: Git) -> None:
    run = made(seed=1)
    made(seed=2)
    made(seed=3, params={"lr": 1})
    memory = Memory.open()
    spread = spread_of(memory, run)
    assert spread.goal is not None
    assert (spread.goal.metric, len(spread.runs), spread.mean, spread.sd) == ("acc", 2, 0.5, 0.0)
