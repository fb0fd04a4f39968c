"""git alone, without gitexp, sees and keeps what gitexp recorded."""

from __future__ import annotations

import json

import pytest

import gitexp
from gitexp import Experiment
from gitexp.run import Run
from gitexp.store.shard import shard_name
from tests.support import Git


@pytest.fixture
def shard(repo: Git) -> str:
    """Record two runs of different code; return the name of their shard."""
    for lr in ("0.1", "0.2"):
        repo.write("train.py", f"lr = {lr}\n")
        with Experiment(f"lr {lr}", params={"lr": float(lr)}) as exp:
            for step in range(3):
                exp.track({"step": step, "loss": float(lr) / (step + 1)})
    repo("checkout", "--quiet", "train.py")
    return shard_name(gitexp.open().repository)


def runs() -> list[Run]:
    return gitexp.open().runs()


def test_git_notes_show_prints_the_facts(repo: Git, shard: str) -> None:
    run = runs()[0]
    lines = repo("notes", f"--ref=exprag/{shard}", "show", run.id).splitlines()
    assert [json.loads(line)["kind"] for line in lines] == ["run", "end"]
    log = repo("notes", f"--ref=exprag-metrics/{shard}", "show", run.id)
    assert json.loads(log)["columns"][1] == [0.2, 0.1, 0.2 / 3]


def test_git_log_shows_the_facts_of_all_shards(repo: Git, shard: str) -> None:
    run = runs()[0]
    out = repo("log", "-1", "--notes=exprag/*", run.id)
    assert f"Notes (exprag/{shard}):" in out
    assert '"name":"lr 0.2"' in out
    assert "exprag: lr 0.2" in out


def test_git_show_and_diff_understand_a_run(repo: Git, shard: str) -> None:
    new, old = runs()
    assert "+lr = 0.2" in repo("show", new.id)
    assert "-lr = 0.1\n+lr = 0.2" in repo("diff", old.id, new.id)
    assert repo("rev-parse", new.id[:12]) == new.id
    assert repo("rev-parse", f"{new.id}^") == repo("rev-parse", "main")


def test_git_fsck_finds_nothing(repo: Git, shard: str) -> None:
    assert repo("fsck", "--strict", "--no-dangling") == ""


def test_git_gc_prunes_nothing_of_a_run(repo: Git, shard: str) -> None:
    before = [run.to_dict() for run in runs()]
    repo("reflog", "expire", "--expire=now", "--all")
    repo("gc", "--quiet", "--prune=now")
    assert [run.to_dict() for run in runs()] == before
    assert repo("show", f"{runs()[0].id}:train.py") == "lr = 0.2"
    assert repo("fsck", "--strict", "--no-dangling") == ""


def test_a_mirror_clone_has_everything(repo: Git, shard: str) -> None:
    mirror = repo.path.parent / "mirror.git"
    repo("clone", "--quiet", "--mirror", ".", str(mirror))
    memory = gitexp.open(mirror)
    assert [run.to_dict() for run in memory.runs()] == [run.to_dict() for run in runs()]
    run = memory.runs()[0]
    assert [c.value for c in memory.calls(run)] == [
        {"step": i, "loss": 0.2 / (i + 1)} for i in range(3)
    ]
    assert memory.environment(run.environment)


def test_git_notes_merge_of_two_shards_is_a_correct_merge(repo: Git, shard: str) -> None:
    old = {run.id: run.to_dict() for run in runs()}
    repo("config", "exprag.shard", "other")
    Experiment("third").finish()
    run_id = runs()[0].id
    repo(
        "notes",
        f"--ref=exprag/{shard}",
        "append",
        "-m",
        '{"kind":"remark","schema":1,'
        '"time":"2026-01-01T00:00:00.000000Z","by":"Eve <e@x>","comment":"hi"}',
        run_id,
    )
    repo(
        "notes", "--ref=exprag/other", "merge", "--quiet", "-s", "cat_sort_uniq", f"exprag/{shard}"
    )
    repo("update-ref", "-d", f"refs/notes/exprag/{shard}")
    merged = {run.id: run for run in runs()}
    assert {run_id: merged[run_id].to_dict() for run_id in old} == old
    assert [c.text for c in merged[run_id].comments] == ["hi"]
    assert len(merged) == 3
    assert gitexp.open().problems == []


def test_a_clone_or_push_of_branches_carries_no_run_by_accident(repo: Git, shard: str) -> None:
    clone = repo.path.parent / "clone"
    repo("clone", "--quiet", ".", str(clone))
    assert gitexp.open(clone).runs() == []
    assert Git(clone)("for-each-ref", "refs/exprag", "refs/notes") == ""


def test_stash_and_branches_do_not_know_of_runs(repo: Git, shard: str) -> None:
    assert repo("stash", "list") == ""
    assert repo("branch", "--all", "--format=%(refname)") == "refs/heads/main"
    assert "exprag" not in repo("log", "--branches", "--tags", "--remotes", "--format=%s")
