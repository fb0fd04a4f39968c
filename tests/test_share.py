"""Push and pull between clones: what travels, what stays, and what a changed remote does to it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gitexp.errors import TransferError
from gitexp.experiment import Experiment
from gitexp.git import refs
from gitexp.records.facts import RemarkFact, RunFact
from gitexp.share import choose_remote, unshared
from gitexp.share.pull import look
from gitexp.store.batch import environment_path
from tests.clones import (
    check_code,
    everything,
    facts_of,
    lines_below,
    make_clone,
    write_runs,
)
from tests.pair import (
    BY,
    PREFIXES,
    TIME,
    Pair,
    add_facts,
    commit_run,
    objects_of,
    refs_of,
    repository_of,
    send,
    take,
)
from tests.remotes import bare_repository
from tests.support import Git


def own(shard: str, *parts: str) -> list[str]:
    return sorted(prefix + shard for prefix in parts or PREFIXES)


def shards_of(git: Git) -> dict[str, str]:
    return refs_of(git, *PREFIXES)


# --- push --------------------------------------------------------------------------------------


def test_a_push_sends_four_refs_however_many_runs(pair: Pair) -> None:
    runs = write_runs(pair.ada, range(20))
    pushed = send(pair.ada)
    assert pushed.runs == sorted(runs)
    assert (pushed.remote, pushed.missing, pushed.retries) == ("origin", [], 0)
    assert sorted(pushed.refs) == own("ada") == sorted(shards_of(pair.remote))
    assert {new for _, new in pushed.refs.values()} == set(shards_of(pair.remote).values())
    assert {old for old, _ in pushed.refs.values()} == {None}
    assert refs_of(pair.remote, refs.RUNS) == {}
    check_code(pair.remote, runs)


def test_a_second_push_sends_nothing_and_a_third_what_is_new(pair: Pair) -> None:
    write_runs(pair.ada, range(3))
    first = send(pair.ada)
    assert send(pair.ada).refs == {}
    (new,) = write_runs(pair.ada, [3])
    third = send(pair.ada)
    assert third.runs == [new]
    assert {ref: old for ref, (old, _) in third.refs.items()} == {
        ref: new for ref, (_, new) in first.refs.items()
    }


def test_a_push_sends_the_own_shard_only_and_all_relays(pair: Pair, tmp_path: Path) -> None:
    theirs = write_runs(pair.bob, range(2), "bob")
    send(pair.bob)
    take(pair.ada)
    write_runs(pair.ada, range(2))
    backup = bare_repository(tmp_path / "backup.git")
    pair.ada("remote", "add", "backup", str(backup.path))
    assert send(pair.ada, "backup").remote == "backup"
    assert sorted(shards_of(backup)) == own("ada")
    relayed = send(pair.ada, "backup", every_shard=True)
    assert relayed.runs == sorted(theirs)
    assert sorted(shards_of(backup)) == sorted(own("ada") + own("bob"))
    assert everything(backup) == everything(pair.ada)
    check_code(backup, theirs)


def test_a_dry_run_says_the_same_and_sends_nothing(pair: Pair) -> None:
    runs = write_runs(pair.ada, range(2))
    would = send(pair.ada, dry_run=True)
    assert shards_of(pair.remote) == {}
    assert refs_of(pair.ada, refs.REMOTES) == {}
    assert (would.runs, sorted(would.refs)) == (sorted(runs), own("ada"))
    assert send(pair.ada).runs == sorted(runs)


def test_two_clones_with_one_shard_name_lose_nothing(pair: Pair) -> None:
    pair.bob("config", "exprag.shard", "ada")
    mine, theirs = write_runs(pair.ada, range(3)), write_runs(pair.bob, range(3), "bob")
    assert send(pair.ada).retries == 0
    assert send(pair.bob).retries == 1
    take(pair.ada)
    assert set(facts_of(pair.ada)) == set(facts_of(pair.bob)) == {*mine, *theirs}
    assert everything(pair.ada) == everything(pair.bob) == everything(pair.remote)
    assert shards_of(pair.ada) == shards_of(pair.remote)
    for git in (pair.ada, pair.bob, pair.remote):
        check_code(git, mine + theirs)


@pytest.mark.parametrize("lost", ["all", "facts", "older"])
def test_a_push_whose_memory_of_the_remote_is_wrong_ends_right(pair: Pair, lost: str) -> None:
    """As after an answer that was lost, or after refs were deleted by hand."""
    write_runs(pair.ada, range(2))
    send(pair.ada)
    before = refs_of(pair.ada, refs.REMOTES)
    runs = write_runs(pair.ada, [2])
    send(pair.ada)
    for ref in refs_of(pair.ada, refs.REMOTES):
        if lost == "older":
            pair.ada("update-ref", ref, before[ref])
        elif lost == "all" or "/facts/" in ref:
            pair.ada("update-ref", "-d", ref)
    send(pair.ada)
    assert shards_of(pair.remote) == shards_of(pair.ada)
    assert unshared(repository_of(pair.ada), choose_remote(repository_of(pair.ada))).runs == []
    new = write_runs(pair.ada, [3])
    assert send(pair.ada).runs == new
    check_code(pair.remote, runs + new)


def test_a_push_that_thinks_the_remote_has_more_than_it_has_ends_right(pair: Pair) -> None:
    write_runs(pair.ada, range(2))
    send(pair.ada)
    for ref in shards_of(pair.remote):
        pair.remote("update-ref", "-d", ref)
    runs = write_runs(pair.ada, [2])
    assert send(pair.ada).retries >= 1
    assert everything(pair.remote) == everything(pair.ada)
    check_code(pair.remote, [*facts_of(pair.ada), *runs])


def test_what_others_add_to_the_own_shard_by_plain_git_is_kept(pair: Pair) -> None:
    (run,) = write_runs(pair.ada, [0])
    send(pair.ada)
    pair.bob(
        "fetch", "--quiet", "origin", "refs/notes/*:refs/notes/*", "refs/exprag/*:refs/fetched/*"
    )
    pair.bob("notes", "--ref=exprag/ada", "append", "-m", '{"kind":"odd","schema":1}', run)
    pair.bob("push", "--quiet", "origin", "refs/notes/exprag/ada")
    write_runs(pair.ada, [1])
    assert send(pair.ada).retries == 1
    text = pair.remote("notes", "--ref=exprag/ada", "show", run)
    assert '{"kind":"odd","schema":1}' in text
    assert len(facts_of(pair.remote)) == 2


# --- code --------------------------------------------------------------------------------------


def test_snapshots_travel_under_one_ref_with_one_commit_for_many(pair: Pair) -> None:
    runs = write_runs(pair.ada, range(30))
    send(pair.ada)
    (tip,) = refs_of(pair.remote, refs.CODE).values()
    assert sorted(pair.remote("rev-parse", f"{tip}^@").split()) == sorted(runs)
    assert pair.remote("ls-tree", tip) == ""
    more = write_runs(pair.ada, range(30, 32))
    send(pair.ada)
    (after,) = refs_of(pair.remote, refs.CODE).values()
    assert pair.remote("rev-parse", f"{after}^@").split() == [tip, *sorted(more)]


def test_more_than_a_thousand_snapshots_take_a_commit_for_each_thousand(pair: Pair) -> None:
    runs = write_runs(pair.ada, range(2100))
    send(pair.ada)
    (tip,) = refs_of(pair.remote, refs.CODE).values()
    parents = pair.remote("log", "--first-parent", "--format=%P", "-3", tip).splitlines()
    assert [len(line.split()) for line in parents] == [101, 1001, 1000]
    take(pair.bob)
    assert len(refs_of(pair.bob, refs.RUNS)) == len(runs)


def test_the_history_of_head_comes_along(pair: Pair, tmp_path: Path) -> None:
    empty = bare_repository(tmp_path / "empty.git")
    (run,) = write_runs(pair.ada, [0])
    send(pair.ada, str(empty.path))
    assert empty("rev-parse", f"{run}^") == pair.ada("rev-parse", "HEAD")
    assert len(empty("rev-list", run).split()) == 3
    assert empty("for-each-ref", "refs/heads") == ""


def test_snapshots_that_a_chain_there_has_are_not_added_again(pair: Pair) -> None:
    """Branches do not count: they may be deleted there."""
    on_branch, shared, new = (commit_run(pair.ada, name) for name in ("branch", "shared", "new"))
    pair.ada("push", "--quiet", "origin", f"{on_branch}:refs/heads/kept")
    pair.ada("fetch", "--quiet", "origin")
    send(pair.ada, None, [shared])
    send(pair.ada)
    tip = pair.remote("rev-parse", "refs/exprag/code/ada")
    first, *added = pair.remote("rev-parse", f"{tip}^@").split()
    assert sorted(added) == sorted([on_branch, new])
    assert pair.remote("rev-parse", f"{first}^@") == shared


def test_a_run_on_an_unborn_branch(
    tmp_path: Path, pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "new").mkdir()
    git = Git(tmp_path / "new")
    git("init", "--quiet")
    git.write("train.py", "print(1)\n")
    monkeypatch.chdir(git.path)
    with Experiment("first") as experiment:
        experiment.track({"loss": 1.0})
    send(git, str(pair.remote.path))
    assert pair.remote("rev-list", experiment.run_id) == experiment.run_id
    take(pair.bob)
    assert pair.bob("show", f"{experiment.run_id}:train.py") == "print(1)"


def test_two_runs_of_one_state_both_arrive(repo: Git, pair: Pair) -> None:
    repo.write("train.py", "lr = 0.5\n")
    ids = []
    for _ in range(2):
        with Experiment("same") as experiment:
            experiment.track({"loss": 1.0})
        ids.append(experiment.run_id)
    send(repo, str(pair.remote.path))
    take(pair.bob)
    assert set(facts_of(pair.bob)) == set(ids)
    assert len({pair.bob("rev-parse", f"{run}^{{tree}}") for run in ids}) == 1


def test_a_run_on_top_of_another_runs_snapshot_brings_both(pair: Pair) -> None:
    first = commit_run(pair.ada, "first")
    second = commit_run(pair.ada, "second", first)
    send(pair.ada)
    tip = pair.remote("rev-parse", "refs/exprag/code/ada")
    assert pair.remote("rev-parse", f"{tip}^@").split() == [second]
    take(pair.bob)
    assert set(refs_of(pair.bob, refs.RUNS)) == {refs.run_ref(first), refs.run_ref(second)}


def test_a_run_whose_code_is_not_here_is_named(pair: Pair) -> None:
    kept, lost = write_runs(pair.ada, range(2))
    pair.ada("update-ref", "-d", refs.run_ref(lost))
    pair.ada("gc", "--quiet", "--prune=now")
    repository_of(pair.ada).forget_objects()
    pushed = send(pair.ada)
    assert pushed.missing == [lost]
    assert set(facts_of(pair.remote)) == {kept, lost}
    take(pair.bob)
    assert set(refs_of(pair.bob, refs.RUNS)) == {refs.run_ref(kept)}


def test_code_that_comes_later_is_sent_then(pair: Pair) -> None:
    run, _ = commit_run(pair.ada, "restored"), commit_run(pair.ada, "whole")
    pair.bob("fetch", "--quiet", str(pair.ada.path), f"{refs.run_ref(run)}:refs/kept/it")
    pair.ada("update-ref", "-d", refs.run_ref(run))
    pair.ada("gc", "--quiet", "--prune=now")
    repository_of(pair.ada).forget_objects()
    assert send(pair.ada).missing == [run]
    pair.ada("fetch", "--quiet", str(pair.bob.path), f"refs/kept/it:{refs.run_ref(run)}")
    send(pair.ada)
    assert run in objects_of(pair.remote)


# --- named runs --------------------------------------------------------------------------------


def test_a_named_run_travels_with_all_that_is_said_of_it_and_nothing_else(
    repo: Git, pair: Pair
) -> None:
    ids = []
    for number in range(3):
        repo.write("train.py", f"lr = 0.{number}\n")
        repo.write("result.txt", f"result {number}\n")
        with Experiment(f"run {number}") as experiment:
            experiment.track({"loss": number})
            experiment.log_file("result.txt")
        ids.append(experiment.run_id)
    chosen, *others = ids
    pushed = send(repo, str(pair.remote.path), [chosen])
    assert pushed.runs == [chosen]
    assert everything(pair.remote)[0] == {chosen: facts_of(repo)[chosen]}
    assert set(lines_below(pair.remote, refs.METRICS)) == {chosen}
    facts = facts_of(repo)[chosen]
    digest = next(line for line in facts if b'"kind":"run"' in line).split(b'"environment":"')[1][
        :32
    ]
    assert set(lines_below(pair.remote, refs.FILES)) == {
        environment_path(digest.decode()),
        f"{chosen[:2]}/{chosen[2:]}/result.txt",
    }
    assert objects_of(pair.remote).isdisjoint(others)
    blobs = {repo("rev-parse", f"{run}:train.py") for run in others}
    assert objects_of(pair.remote).isdisjoint(blobs)


def test_the_push_after_a_named_run_goes_on_from_it_and_sends_the_rest(pair: Pair) -> None:
    first, *rest = write_runs(pair.ada, range(4))
    send(pair.ada, None, [first])
    before = shards_of(pair.remote)
    pushed = send(pair.ada)
    assert (pushed.runs, pushed.retries) == (sorted(rest), 0)
    for ref, old in before.items():
        pair.remote("merge-base", "--is-ancestor", old, ref)
    assert everything(pair.remote) == everything(pair.ada)
    check_code(pair.remote, [first, *rest])
    assert send(pair.ada).refs == {}


def test_named_runs_of_another_shard_are_added_to_that_shard(pair: Pair, tmp_path: Path) -> None:
    theirs = write_runs(pair.bob, range(3), "bob")
    send(pair.bob)
    take(pair.ada)
    (mine,) = write_runs(pair.ada, [0])
    backup = bare_repository(tmp_path / "backup.git")
    pushed = send(pair.ada, str(backup.path), [theirs[1], mine])
    assert pushed.runs == sorted([theirs[1], mine])
    assert set(facts_of(backup)) == {theirs[1], mine}
    assert set(refs_of(backup, refs.FACTS)) == set(own("ada", refs.FACTS) + own("bob", refs.FACTS))
    check_code(backup, [theirs[1], mine])
    send(pair.ada, str(backup.path), every_shard=True)
    assert everything(backup) == everything(pair.ada)


def test_a_remark_of_mine_travels_with_a_named_run_of_anothers_shard(pair: Pair) -> None:
    (theirs,) = write_runs(pair.bob, [0], "bob")
    send(pair.bob)
    take(pair.ada)
    write_runs(pair.ada, [0])
    add_facts(pair.ada, theirs, RemarkFact(time=TIME, by=BY, comment="good"))
    pushed = send(pair.ada, None, [theirs])
    assert list(pushed.refs) == [refs.FACTS + "ada"]
    assert set(facts_of(pair.remote)) == {theirs}
    assert facts_of(pair.remote)[theirs] == facts_of(pair.ada)[theirs]


def test_a_named_run_that_is_there_already_sends_nothing(pair: Pair) -> None:
    first, second = write_runs(pair.ada, range(2))
    send(pair.ada, None, [first])
    assert send(pair.ada, None, [first]).refs == {}
    assert second in send(pair.ada, None, [first, second]).runs
    assert len(facts_of(pair.remote)) == 2


def test_of_named_runs_those_are_told_of_which_something_new_was_sent(pair: Pair) -> None:
    first, second = write_runs(pair.ada, range(2))
    send(pair.ada, None, [first])
    assert send(pair.ada, None, [first, second]).runs == [second]


def test_a_named_run_pushed_after_the_remote_has_moved(pair: Pair) -> None:
    pair.bob("config", "exprag.shard", "ada")
    mine = write_runs(pair.ada, range(2))
    theirs = write_runs(pair.bob, range(2), "bob")
    send(pair.bob)
    pushed = send(pair.ada, None, [mine[0]])
    assert pushed.retries == 1
    assert set(facts_of(pair.remote)) == {mine[0], *theirs}
    check_code(pair.remote, [mine[0], *theirs])


def test_a_named_run_whose_code_is_missing_is_sent_without(pair: Pair) -> None:
    (lost,) = write_runs(pair.ada, [0])
    pair.ada("update-ref", "-d", refs.run_ref(lost))
    pair.ada("gc", "--quiet", "--prune=now")
    repository_of(pair.ada).forget_objects()
    pushed = send(pair.ada, None, [lost])
    assert pushed.missing == [lost]
    assert set(facts_of(pair.remote)) == {lost}
    assert refs_of(pair.remote, refs.CODE) == {}


# --- what is not shared ------------------------------------------------------------------------


def test_what_is_not_shared_is_known_without_asking_the_remote(pair: Pair) -> None:
    repository = repository_of(pair.ada)
    remote = choose_remote(repository)
    assert unshared(repository, remote).runs == []
    runs = write_runs(pair.ada, range(2))
    assert unshared(repository, remote).runs == sorted(runs)
    send(pair.ada)
    assert unshared(repository, remote).runs == []
    add_facts(pair.ada, runs[0], RemarkFact(time=TIME, by=BY, comment="later"))
    assert unshared(repository, remote).runs == [runs[0]]
    add_facts(pair.ada, runs[1], RunFact(time=TIME, by=BY, name="x"), shard="bob")
    assert unshared(repository, remote).others == {"bob": 1}


# --- a remote that was changed by others -------------------------------------------------------


def test_a_remote_that_was_rewritten_takes_nothing_away(pair: Pair) -> None:
    write_runs(pair.ada, range(2))
    send(pair.ada)
    old = shards_of(pair.remote)
    write_runs(pair.ada, range(2, 4))
    send(pair.ada)
    take(pair.bob)
    for ref, oid in old.items():
        pair.remote("update-ref", ref, oid)
    for git in (pair.ada, pair.bob):
        assert take(git).runs == []
        assert len(facts_of(git)) == 4
    assert send(pair.ada).retries == 0
    assert everything(pair.remote) == everything(pair.ada)
    assert shards_of(pair.remote) == shards_of(pair.ada)


def recreate(git: Git) -> None:
    shutil.rmtree(git.path)
    bare_repository(git.path)


def test_a_remote_that_was_made_anew_gets_everything_back(pair: Pair) -> None:
    runs = write_runs(pair.ada, range(3))
    send(pair.ada)
    recreate(pair.remote)
    take(pair.ada)
    assert len(facts_of(pair.ada)) == 3
    assert send(pair.ada).runs == sorted(runs)
    assert everything(pair.remote) == everything(pair.ada)
    check_code(pair.remote, runs)


def test_an_unrelated_history_on_the_remote_is_united(pair: Pair) -> None:
    mine = write_runs(pair.ada, range(2))
    send(pair.ada)
    recreate(pair.remote)
    pair.bob("config", "exprag.shard", "ada")
    theirs = write_runs(pair.bob, range(2), "bob")
    send(pair.bob)
    assert take(pair.ada).runs == sorted(theirs)
    send(pair.ada)
    assert set(facts_of(pair.remote)) == {*mine, *theirs}
    assert everything(pair.remote) == everything(pair.ada)
    check_code(pair.remote, mine + theirs)


def test_a_remote_that_cannot_be_reached_changes_nothing(pair: Pair, tmp_path: Path) -> None:
    write_runs(pair.ada, range(2))
    before = refs_of(pair.ada, refs.FACTS, refs.REMOTES)
    shutil.rmtree(pair.remote.path)
    with pytest.raises(TransferError):
        send(pair.ada)
    with pytest.raises(TransferError):
        take(pair.ada)
    assert refs_of(pair.ada, refs.FACTS, refs.REMOTES) == before


def test_looking_at_a_remote_moves_nothing_but_what_was_seen(pair: Pair) -> None:
    write_runs(pair.bob, range(2))
    send(pair.bob)
    repository = repository_of(pair.ada)
    look(repository, choose_remote(repository))
    assert shards_of(pair.ada) == {}
    assert len(refs_of(pair.ada, refs.REMOTES)) == 4


def test_a_third_clone_gets_what_the_second_relayed(
    pair: Pair, template: Path, tmp_path: Path
) -> None:
    write_runs(pair.ada, range(2))
    send(pair.ada)
    take(pair.bob)
    third = make_clone(template, tmp_path / "third", str(pair.bob.path), "third")
    pulled = take(third)
    assert len(pulled.runs) == pulled.handles == 2
    assert everything(third) == everything(pair.ada)
