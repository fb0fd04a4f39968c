"""Removal: hidden at once, dropped after a while, and never brought back nor more than asked."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitexp.errors import UsageError
from gitexp.experiment import Experiment
from gitexp.git import refs
from gitexp.git.write import RefChange, update_refs
from gitexp.memory import Memory
from gitexp.records.facts import RemarkFact, RunFact, TombstoneFact, encode_fact
from gitexp.records.times import format_time
from gitexp.removal import collect, withdraw
from gitexp.share import archive
from gitexp.store.batch import Batch, file_path, write_batch
from tests.clones import everything, facts_of, lines_below, write_runs
from tests.pair import (
    BY,
    Pair,
    add_facts,
    commit_run,
    objects_of,
    refs_of,
    repository_of,
    send,
    take,
)
from tests.support import Git

DAY_NS = 86400 * 10**9


def days_ago(days: float) -> str:
    return format_time(time.time_ns() - int(days * DAY_NS))


def seen(git: Git) -> set[str]:
    return {run.id for run in Memory(repository_of(git)).runs()}


def remove(git: Git, *runs: str) -> None:
    withdraw(repository_of(git), runs, "wrong")


def gc(git: Git, age: str = "0d") -> list[str]:
    return collect(repository_of(git), age).runs


def prune(git: Git) -> None:
    git("reflog", "expire", "--expire=now", "--all")
    git("gc", "--quiet", "--prune=now")
    repository_of(git).forget_objects()


# --- withdrawing -------------------------------------------------------------------------------


def test_a_removed_run_is_hidden_at_once_and_only_it(pair: Pair) -> None:
    gone, kept = write_runs(pair.ada, range(2))
    remove(pair.ada, gone)
    assert seen(pair.ada) == {kept}
    assert set(refs_of(pair.ada, refs.RUNS)) == {refs.run_ref(kept)}
    assert gone in facts_of(pair.ada)


def test_it_is_hidden_for_those_who_pull_too(pair: Pair) -> None:
    gone, kept = write_runs(pair.ada, range(2))
    send(pair.ada)
    take(pair.bob)
    assert seen(pair.bob) == {gone, kept}
    remove(pair.ada, gone)
    assert send(pair.ada).runs == [gone]
    take(pair.bob)
    assert seen(pair.bob) == {kept}


def test_anybody_may_remove_a_run_of_another_shard(pair: Pair) -> None:
    gone, kept = write_runs(pair.ada, range(2))
    send(pair.ada)
    take(pair.bob)
    remove(pair.bob, gone)
    assert list(send(pair.bob).refs) == [f"{refs.FACTS}bob"]
    take(pair.ada)
    assert seen(pair.ada) == {kept}


def test_a_run_in_progress_cannot_be_removed(repo: Git) -> None:
    (done,) = write_runs(repo, [0])
    with Experiment("live") as experiment:
        with pytest.raises(UsageError, match="in progress"):
            remove(repo, done, experiment.run_id)
        assert seen(repo) >= {done}
    remove(repo, experiment.run_id)
    assert seen(repo) == {done}


def test_a_removed_run_does_not_come_back_by_a_remark(pair: Pair) -> None:
    (gone,) = write_runs(pair.ada, [0])
    remove(pair.ada, gone)
    add_facts(pair.ada, gone, RemarkFact(time=days_ago(-1), by=BY, comment="still here?"))
    assert seen(pair.ada) == set()


# --- collecting --------------------------------------------------------------------------------


def test_nothing_is_dropped_before_the_horizon(pair: Pair) -> None:
    gone, _ = write_runs(pair.ada, range(2))
    remove(pair.ada, gone)
    before = everything(pair.ada)
    for age in (None, "1 hour", "3 weeks"):
        assert collect(repository_of(pair.ada), age).runs == []
    assert everything(pair.ada) == before


def test_the_usual_horizon_is_two_weeks(pair: Pair) -> None:
    young, old = write_runs(pair.ada, range(2))
    for run, days in ((young, 13.9), (old, 14.1)):
        add_facts(pair.ada, run, TombstoneFact(time=days_ago(days), by=BY))
    assert collect(repository_of(pair.ada)).runs == [old]


def test_a_dry_run_says_the_same_and_changes_nothing(pair: Pair) -> None:
    gone, _ = write_runs(pair.ada, range(2))
    remove(pair.ada, gone)
    before = refs_of(pair.ada)
    would = collect(repository_of(pair.ada), "0d", dry_run=True)
    assert (would.runs, would.refs) == ([gone], {})
    assert refs_of(pair.ada) == before
    assert gc(pair.ada) == [gone]


def test_tombstones_with_times_far_off_are_no_obstacle(pair: Pair) -> None:
    early, late = write_runs(pair.ada, range(2))
    add_facts(pair.ada, early, TombstoneFact(time="0001-01-01T00:00:00.000000Z", by=BY))
    add_facts(pair.ada, late, TombstoneFact(time="9999-12-31T23:59:59.999999Z", by=BY))
    assert seen(pair.ada) == set()
    assert collect(repository_of(pair.ada)).runs == [early]
    assert gc(pair.ada) == [late]  # no age at all is no age of a clock that is ahead


def test_what_was_never_shared_is_gone_and_what_was_stays_in_the_history(pair: Pair) -> None:
    (kept,) = write_runs(pair.ada, [0])
    send(pair.ada)
    shared = {ref: oid for ref, oid in refs_of(pair.ada).items() if "/remotes/" not in ref}
    secret = commit_run(pair.ada, "secret", files={"key": "hunter2hunter2\n"})
    repository = repository_of(pair.ada)
    files: dict[str, bytes | Path] = {file_path(secret, "run.log"): b"hunter2 in a log\n"}
    write_batch(repository, "ada", Batch(metrics={secret: [b'{"m":1}']}, files=files))
    blobs = [
        pair.ada("rev-parse", name)
        for name in (
            secret,
            f"{secret}:key",
            f"{refs.FILES}ada:{file_path(secret, 'run.log')}",
            f"{refs.FACTS}ada:{secret[:2]}/{secret[2:]}",
            f"{refs.METRICS}ada:{secret[:2]}/{secret[2:]}",
        )
    ]
    remove(pair.ada, secret)
    assert gc(pair.ada) == [secret]
    prune(pair.ada)
    assert objects_of(pair.ada).isdisjoint(blobs)
    for ref, oid in shared.items():
        if ref.startswith((refs.FACTS, refs.METRICS, refs.FILES)):
            pair.ada("merge-base", "--is-ancestor", oid, ref)
    pair.remote("config", "receive.denyNonFastForwards", "true")
    assert send(pair.ada).retries == 0
    assert seen(pair.ada) == {kept}
    assert objects_of(pair.remote).isdisjoint(blobs)


def test_the_push_after_the_collection_of_a_shared_run_needs_no_force(pair: Pair) -> None:
    gone, kept = write_runs(pair.ada, range(2))
    send(pair.ada)
    remove(pair.ada, gone)
    assert gc(pair.ada) == [gone]
    pair.remote("config", "receive.denyNonFastForwards", "true")
    assert send(pair.ada).retries == 0
    take(pair.bob)
    assert seen(pair.bob) == {kept}
    assert everything(pair.bob) == everything(pair.ada)
    assert lines_below(pair.bob, refs.FILES).keys() == {
        f"{kept[:2]}/{kept[2:]}/run.log",
        f"removed/{gone[:2]}/{gone[2:]}",
    }


def test_an_old_clone_does_not_resurrect_what_was_collected(pair: Pair) -> None:
    gone, kept = write_runs(pair.ada, range(2))
    send(pair.ada)
    take(pair.bob)
    (new,) = write_runs(pair.bob, [5], "bob")
    add_facts(pair.bob, gone, RemarkFact(time=days_ago(0), by=BY, comment="nice"))
    remove(pair.ada, gone)
    gc(pair.ada)
    send(pair.ada)
    send(pair.bob, every_shard=True)
    take(pair.bob)
    take(pair.ada)
    send(pair.ada)
    for git in (pair.ada, pair.bob):
        assert seen(git) == {kept, new}
        gc(git)
        assert set(refs_of(git, refs.RUNS)) == {refs.run_ref(kept), refs.run_ref(new)}
        assert all(b"tombstone" in line for line in facts_of(git)[gone])


def test_clones_that_collect_on_their_own_agree(pair: Pair) -> None:
    gone, _ = write_runs(pair.ada, range(2))
    send(pair.ada)
    take(pair.bob)
    remove(pair.ada, gone)
    remove(pair.bob, gone)
    send(pair.ada)
    send(pair.bob)
    take(pair.ada)
    take(pair.bob)
    for git in (pair.ada, pair.bob):
        assert gc(git) == [gone]
    assert everything(pair.ada) == everything(pair.bob)
    send(pair.ada, every_shard=True)
    send(pair.bob, every_shard=True)
    take(pair.ada)
    assert everything(pair.ada) == everything(pair.remote)


def test_an_archived_run_that_was_removed_is_taken_out_of_the_chain(pair: Pair) -> None:
    gone, kept = write_runs(pair.ada, range(2))
    archive(repository_of(pair.ada), "0d")
    assert refs_of(pair.ada, refs.RUNS) == {}
    remove(pair.ada, gone)
    assert gc(pair.ada) == [gone]
    prune(pair.ada)
    assert gone not in objects_of(pair.ada)
    assert pair.ada("cat-file", "-t", kept) == "commit"
    send(pair.ada)
    assert gone not in objects_of(pair.remote)


def test_a_shared_chain_keeps_a_removed_run_and_goes_on(pair: Pair) -> None:
    gone, *_ = write_runs(pair.ada, range(2))
    send(pair.ada)
    before = pair.ada("rev-parse", f"{refs.CODE}ada")
    remove(pair.ada, gone)
    gc(pair.ada)
    assert pair.ada("rev-parse", f"{refs.CODE}ada") == before
    (later,) = write_runs(pair.ada, [9])
    archive(repository_of(pair.ada), "0d")
    remove(pair.ada, later)
    gc(pair.ada)
    prune(pair.ada)
    assert later not in objects_of(pair.ada)
    pair.ada("merge-base", "--is-ancestor", before, f"{refs.CODE}ada")


def test_a_run_without_files_named_union_is_no_part_of_the_chain(pair: Pair) -> None:
    tree = pair.ada.raw("mktree", stdin=b"").decode().strip()
    message = "exprag: union\n\nExprag-Nonce: 1\n"
    union = pair.ada("commit-tree", tree, "-m", message)
    gone = commit_run(pair.ada, "gone")
    repository = repository_of(pair.ada)
    update_refs(repository, refs.RUNS, [RefChange(refs.run_ref(union), None, union)])
    add_facts(pair.ada, union, RunFact(time=days_ago(1), by=BY, name="union"))
    archive(repository, "0d")
    remove(pair.ada, gone)
    gc(pair.ada)
    prune(pair.ada)
    assert union in objects_of(pair.ada)


# --- property ----------------------------------------------------------------------------------

RUNS = [f"{n:02x}" * 20 for n in (0x10, 0x11, 0xAB)] + ["ab" + "cd" * 19]
SHARDS = ["ada", "bob", "eve"]
NOW = time.time_ns()
EXPIRED = [format_time(NOW - days * DAY_NS) for days in (20, 30)]
FRESH = [format_time(NOW - days * DAY_NS) for days in (1, 2)]
LINES = [b'{"kind":"dream","schema":1,"n":%d}' % n for n in range(3)] + [
    b'not json, but "tombstone"',
    b'{"kind":"run","schema":1,"name":"x","time":"2026-01-31T12:00:00.000000Z","by":"x"}',
]

entries = st.tuples(st.sampled_from(SHARDS), st.sampled_from(RUNS))
stores = st.fixed_dictionaries(
    {
        "facts": st.sets(st.tuples(entries, st.sampled_from(LINES)), max_size=12),
        "metrics": st.sets(st.tuples(entries, st.sampled_from(LINES)), max_size=8),
        "files": st.sets(st.tuples(entries, st.sampled_from(["log", "a/b"])), max_size=8),
        "tombstones": st.sets(st.tuples(entries, st.sampled_from(EXPIRED + FRESH)), max_size=5),
    }
)
_numbers = itertools.count()


def fill(git: Git, store: dict[str, set[tuple[tuple[str, str], object]]]) -> set[str]:
    """Write a store; return the runs with an expired tombstone."""
    repository = repository_of(git)
    batches = {shard: Batch() for shard in SHARDS}
    for (shard, run), line in sorted(store["facts"], key=repr):
        batches[shard].facts.setdefault(run, []).append(line)  # type: ignore[arg-type]
    for (shard, run), line in sorted(store["metrics"], key=repr):
        batches[shard].metrics.setdefault(run, []).append(line)  # type: ignore[arg-type]
    for (shard, run), name in sorted(store["files"], key=repr):
        batches[shard].files[file_path(run, str(name))] = f"{run} {name}".encode()
    expired = set()
    for (shard, run), when in sorted(store["tombstones"], key=repr):
        fact = TombstoneFact(time=str(when), by=BY)
        batches[shard].facts.setdefault(run, []).append(encode_fact(fact))
        expired |= {run} if when in EXPIRED else set()
    for shard, batch in batches.items():
        write_batch(repository, shard, batch)
    return expired


def content(git: Git) -> dict[str, dict[str, frozenset[bytes]]]:
    """Return ref -> path or run -> lines, of each shard on its own."""
    tips = refs_of(git, refs.FACTS, refs.METRICS, refs.FILES)
    return {ref: lines_below(git, ref) for ref in tips}


@given(store=stores)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_what_tombstones_cover_is_dropped_and_nothing_else(
    template: Path,
    tmp_path: Path,
    identity: None,
    store: dict[str, set[tuple[tuple[str, str], object]]],
) -> None:
    """Collection drops what withdrawn runs hold; twice is once."""
    folder = tmp_path / f"store-{next(_numbers)}"
    folder.mkdir()
    git = Git(folder)
    git("init", "--quiet", "--bare")
    expired = fill(git, store)
    before = content(git)
    gc(git, "2 weeks")
    after = content(git)
    assert after.keys() == before.keys()
    for ref, held in before.items():
        for name, lines in held.items():
            run = name.replace("/", "")[:40]
            if run not in expired:
                assert after[ref][name] == lines
            elif ref.startswith(refs.FILES):
                assert name not in after[ref]
                assert f"removed/{run[:2]}/{run[2:]}" in after[ref]
            else:
                marks = after[ref][name]
                kept = {line for line in lines if line.startswith(b'{"kind":"tombstone"')}
                assert kept < marks
                assert all(b'"collected":true' in line for line in marks - kept)
                assert len(marks - kept) == 1
        new = after[ref].keys() - held.keys()
        assert all(name.removeprefix("removed/").replace("/", "") in expired for name in new)
    tips = refs_of(git)
    assert gc(git, "2 weeks") == []
    assert refs_of(git) == tips
