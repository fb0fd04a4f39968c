"""Archived runs have no handle, and everything about them resolves as before."""

from __future__ import annotations

import time

import pytest

from gitexp.errors import UsageError
from gitexp.experiment import Experiment
from gitexp.git import refs
from gitexp.memory import Memory
from gitexp.records.facts import RunFact
from gitexp.records.times import format_time
from gitexp.share import archive
from tests.clones import check_code, write_runs
from tests.pair import BY, Pair, add_facts, commit_run, refs_of, repository_of, send, take
from tests.support import Git, gitexp, gitexp_json


def handles(git: Git) -> set[str]:
    return {ref.removeprefix(refs.RUNS) for ref in refs_of(git, refs.RUNS)}


def aged(git: Git, name: str, days: float) -> str:
    run = commit_run(git, name)
    when = format_time(time.time_ns() - int(days * 86400 * 10**9))
    add_facts(git, run, RunFact(time=when, by=BY, name=name))
    return run


def prune(git: Git) -> None:
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "--quiet", "--prune=now")
    repository_of(git).forget_objects()


def test_three_thousand_archived_runs_leave_no_handle_and_all_resolve(pair: Pair) -> None:
    runs = write_runs(pair.ada, range(3000))
    assert archive(repository_of(pair.ada), "0d") == sorted(runs)
    assert handles(pair.ada) == set()
    prune(pair.ada)
    check_code(pair.ada, [runs[0], runs[1499], runs[-1]])
    assert Memory(repository_of(pair.ada)).count() == 3000
    assert archive(repository_of(pair.ada), "0d") == []
    pushed = send(pair.ada)
    assert len(pushed.runs) == 3000
    assert pushed.missing == []
    pair.bob("config", "exprag.archiveAfter", "1 minute")
    pulled = take(pair.bob)
    assert (len(pulled.runs), pulled.handles) == (3000, 0)
    assert handles(pair.bob) == set()
    check_code(pair.bob, [runs[0], runs[1499], runs[-1]])


def test_every_way_to_name_an_archived_run_works(repo: Git) -> None:
    ids = []
    for number in range(2):
        repo.write("train.py", f"lr = 0.{number}\n")
        with Experiment(f"run {number}") as experiment:
            experiment.track({"acc": number / 2})
        ids.append(experiment.run_id)
    repo("checkout", "--quiet", "train.py")
    assert archive(repository_of(repo), "0d") == sorted(ids)
    prune(repo)
    for spec in (ids[1], ids[1][:8], "latest", "best:acc", "run 1"):
        assert gitexp_json("show", spec)["run"] == ids[1]
    assert gitexp_json("show", ids[1])["code_here"] is True
    assert "lr = 0.1" in repo("show", f"{ids[1][:10]}:train.py")
    assert "+lr = 0.1" in gitexp("diff", *ids).stdout
    gitexp("checkout", ids[1])
    assert (repo.path / "train.py").read_text() == "lr = 0.1\n"


def test_only_runs_older_than_the_age_are_archived(pair: Pair) -> None:
    old, young = aged(pair.ada, "old", 31), aged(pair.ada, "young", 29)
    assert archive(repository_of(pair.ada)) == [old]
    assert handles(pair.ada) == {young}
    pair.ada("config", "exprag.archiveAfter", "4 weeks")
    assert archive(repository_of(pair.ada)) == [young]


def test_a_dry_run_says_the_same_and_changes_nothing(pair: Pair) -> None:
    old = aged(pair.ada, "old", 31)
    before = refs_of(pair.ada)
    assert archive(repository_of(pair.ada), dry_run=True) == [old]
    assert refs_of(pair.ada) == before


def test_an_age_that_is_none_is_refused(pair: Pair) -> None:
    aged(pair.ada, "old", 31)
    with pytest.raises(UsageError, match="'old enough' is not an age"):
        archive(repository_of(pair.ada), "old enough")


def test_runs_in_progress_and_foreign_handles_stay(repo: Git) -> None:
    foreign = repo("rev-parse", "HEAD")
    wrong = refs.run_ref("ab" * 20)
    repo("update-ref", refs.run_ref(foreign), foreign)
    repo("update-ref", wrong, foreign)
    with Experiment("live") as experiment:
        experiment.track({"loss": 1.0})
        assert archive(repository_of(repo), "0d") == []
        assert handles(repo) == {foreign, "ab" * 20, experiment.run_id}
    assert archive(repository_of(repo), "0d") == [experiment.run_id]


def test_a_run_whose_code_is_missing_keeps_its_broken_handle(pair: Pair) -> None:
    lost, kept = aged(pair.ada, "lost", 31), aged(pair.ada, "kept", 31)
    path = pair.ada.path / ".git" / "objects" / lost[:2] / lost[2:]
    path.chmod(0o644)
    path.unlink()
    repository_of(pair.ada).forget_objects()
    assert archive(repository_of(pair.ada)) == [kept]
    assert handles(pair.ada) == {lost}


def test_a_pull_does_not_make_the_handles_of_archived_runs_again(pair: Pair) -> None:
    (theirs,) = [aged(pair.bob, "theirs", 31)]
    mine = aged(pair.ada, "mine", 31)
    archive(repository_of(pair.ada))
    send(pair.bob)
    send(pair.ada)
    take(pair.ada)
    assert handles(pair.ada) == set()
    check = pair.ada("cat-file", "-t", theirs), pair.ada("cat-file", "-t", mine)
    assert check == ("commit", "commit")


def test_runs_archived_before_they_were_shared_are_shared_by_name_alone(pair: Pair) -> None:
    first, second = aged(pair.ada, "first", 31), aged(pair.ada, "second", 31)
    archive(repository_of(pair.ada))
    send(pair.ada, None, [first])
    assert pair.remote("cat-file", "-t", first) == "commit"
    held = pair.remote("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    assert second not in held
    send(pair.ada)
    assert pair.remote("cat-file", "-t", second) == "commit"


def test_the_runs_of_others_are_archived_too(pair: Pair) -> None:
    theirs = aged(pair.bob, "theirs", 29)
    send(pair.bob)
    take(pair.ada)
    assert handles(pair.ada) == {theirs}
    assert archive(repository_of(pair.ada), "4 weeks") == [theirs]
    assert f"{refs.CODE}ada" not in refs_of(pair.ada)
    prune(pair.ada)
    assert pair.ada("show", f"{theirs}:train.py") == "print('theirs')"
