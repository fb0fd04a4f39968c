"""A pull moves nothing of the user's, copes with every setting, and reports what it cannot take."""

from __future__ import annotations

import importlib
import time

import pytest

from gitexp.errors import GitexpError
from gitexp.git import refs
from gitexp.git.write import write_error
from gitexp.records.facts import RunFact, TombstoneFact
from gitexp.records.times import format_time
from gitexp.share import choose_remote
from gitexp.share.pull import look
from gitexp.store.union import unite_ref
from tests.clones import check_code, everything, facts_of, write_runs
from tests.pair import (
    BY,
    TIME,
    Pair,
    add_facts,
    commit_run,
    refs_of,
    repository_of,
    send,
    take,
)
from tests.support import Git

PULL = importlib.import_module("gitexp.share.pull")
OLD = format_time(time.time_ns() - 40 * 86400 * 10**9)


def state(git: Git) -> dict[str, object]:
    """Return what a user would miss: all refs but the store's, HEAD, index, config, FETCH_HEAD."""
    kept = {ref: oid for ref, oid in refs_of(git).items() if "exprag" not in ref}
    names = ("HEAD", "index", "config", "FETCH_HEAD", "packed-refs", "shallow")
    folder = git.path / ".git"
    files = {n: (folder / n).read_bytes() for n in names if (folder / n).exists()}
    return {
        "refs": kept,
        "stash": git("stash", "list"),
        "status": git("--no-optional-locks", "status", "-s"),
        **files,
    }


def test_a_pull_moves_nothing_but_shards_and_handles(pair: Pair) -> None:
    runs = write_runs(pair.bob, range(3))
    send(pair.bob)
    pair.bob("tag", "v1")
    pair.bob("commit", "--quiet", "--allow-empty", "-m", "third")
    pair.bob("push", "--quiet", "--tags", "origin", "main")
    pair.ada.write("train.py", "stashed\n")
    pair.ada("stash")
    pair.ada.write("README", "staged\n")
    pair.ada("add", "README")
    pair.ada.write("train.py", "edited\n")
    before = state(pair.ada)
    pulled = take(pair.ada)
    assert state(pair.ada) == before
    assert (pulled.runs, pulled.handles, pulled.problems) == (sorted(runs), 3, [])
    assert set(refs_of(pair.ada, refs.RUNS)) == {refs.run_ref(run) for run in runs}
    check_code(pair.ada, runs)


def test_a_second_pull_brings_nothing(pair: Pair) -> None:
    write_runs(pair.bob, range(3))
    send(pair.bob)
    take(pair.ada)
    before = refs_of(pair.ada)
    again = take(pair.ada)
    assert (again.runs, again.refs, again.handles) == ([], {}, 0)
    assert refs_of(pair.ada) == before


SETTINGS = {
    "fetch.prune": "true",
    "fetch.pruneTags": "true",
    "remote.origin.prune": "true",
    "remote.origin.tagOpt": "--tags",
    "remote.origin.fetch": "+refs/*:refs/*",
    "remote.origin.mirror": "false",
    "fetch.writeCommitGraph": "true",
    "fetch.fsckObjects": "true",
    "transfer.fsckObjects": "true",
    "fetch.output": "compact",
    "fetch.parallel": "0",
    "fetch.unpackLimit": "1",
    "fetch.negotiationAlgorithm": "skipping",
    "fetch.recurseSubmodules": "true",
    "push.followTags": "true",
    "push.default": "nothing",
    "push.useForceIfIncludes": "true",
    "push.gpgSign": "if-asked",
    "push.recurseSubmodules": "check",
    "core.logAllRefUpdates": "always",
    "color.ui": "always",
    "advice.pushUpdateRejected": "false",
}


@pytest.mark.parametrize("setting", [*SETTINGS, "protocol 0", "protocol 1", "protocol 2"])
def test_whatever_is_configured_runs_travel_both_ways(pair: Pair, setting: str) -> None:
    name, value = setting.split() if " " in setting else (setting, SETTINGS.get(setting, ""))
    name = "protocol.version" if name == "protocol" else name
    for git in (pair.ada, pair.bob):
        git("config", "--replace-all", name, value)
    mine, theirs = write_runs(pair.ada, range(2)), write_runs(pair.bob, range(2), "bob")
    send(pair.bob)
    before = state(pair.ada)
    take(pair.ada)
    assert state(pair.ada) == before
    assert set(refs_of(pair.ada, refs.RUNS)) == {refs.run_ref(r) for r in mine + theirs}
    send(pair.ada)
    assert refs_of(pair.remote, "refs/heads", "refs/tags").keys() == {"refs/heads/main"}
    pair.bob("config", "exprag.shard", "ada")
    repository_of(pair.bob)
    write_runs(pair.bob, [7], "seven")
    assert send(pair.bob).retries == 1
    take(pair.ada)
    assert everything(pair.ada) == everything(pair.remote)


def test_a_mirror_remote_takes_a_push(pair: Pair) -> None:
    pair.ada("config", "remote.origin.mirror", "true")
    runs = write_runs(pair.ada, range(2))
    assert send(pair.ada).runs == sorted(runs)


# --- a pull that died --------------------------------------------------------------------------


def test_a_pull_that_died_after_the_fetch_is_completed_by_the_next(pair: Pair) -> None:
    runs = write_runs(pair.bob, range(3))
    send(pair.bob)
    repository = repository_of(pair.ada)
    look(repository, choose_remote(repository))
    pulled = take(pair.ada)
    assert (pulled.runs, pulled.handles) == (sorted(runs), 3)


def test_a_pull_that_died_before_the_handles_is_completed_by_the_next(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = write_runs(pair.bob, range(3))
    send(pair.bob)

    def die(*_: object) -> int:
        raise write_error(OSError(28, "No space left on device"), "go on")

    with monkeypatch.context() as broken:
        broken.setattr(PULL, "_make_handles", die)
        with pytest.raises(GitexpError, match="No space left"):
            take(pair.ada)
    assert refs_of(pair.ada, refs.RUNS) == {}
    assert len(facts_of(pair.ada)) == 3
    assert take(pair.ada).handles == 3
    assert set(refs_of(pair.ada, refs.RUNS)) == {refs.run_ref(run) for run in runs}
    assert take(pair.ada).handles == 0


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_pull_that_died_between_the_parts_is_completed_by_the_next(
    pair: Pair, parts: int
) -> None:
    write_runs(pair.bob, range(3))
    send(pair.bob)
    repository = repository_of(pair.ada)
    remote = choose_remote(repository)
    look(repository, remote)
    for prefix in (refs.CODE, refs.METRICS, refs.FILES)[:parts]:
        ref = f"{prefix}bob"
        unite_ref(repository, ref, pair.ada("rev-parse", remote.tracking(ref)))
    assert facts_of(pair.ada) == {}
    assert take(pair.ada).handles == 3
    assert everything(pair.ada) == everything(pair.remote)


def test_a_push_completes_a_pull_that_died(pair: Pair) -> None:
    """So that what it sends holds what the remote has."""
    pair.bob("config", "exprag.shard", "ada")
    theirs = write_runs(pair.bob, range(2), "bob")
    send(pair.bob)
    mine = write_runs(pair.ada, range(2))
    repository = repository_of(pair.ada)
    look(repository, choose_remote(repository))
    assert send(pair.ada).retries == 0
    assert set(facts_of(pair.remote)) == {*mine, *theirs}


# --- which runs get a handle -------------------------------------------------------------------


def test_withdrawn_and_old_runs_get_no_handle(pair: Pair) -> None:
    withdrawn, old, young = (commit_run(pair.bob, name) for name in ("gone", "old", "young"))
    add_facts(pair.bob, withdrawn, TombstoneFact(time=TIME, by=BY))
    add_facts(pair.bob, old, RunFact(time=OLD, by=BY, name="old"))
    send(pair.bob)
    assert take(pair.ada).handles == 1
    assert set(refs_of(pair.ada, refs.RUNS)) == {refs.run_ref(young)}
    assert pair.ada("cat-file", "-t", old) == "commit"


def test_the_age_of_runs_without_a_handle_is_a_setting(pair: Pair) -> None:
    run = commit_run(pair.bob, "an hour old")
    send(pair.bob)
    pair.ada("config", "exprag.archiveAfter", "30 minutes")
    assert take(pair.ada).handles == 0
    old = commit_run(pair.bob, "old")
    add_facts(pair.bob, old, RunFact(time=OLD, by=BY, name="old"))
    send(pair.bob)
    pair.ada("config", "exprag.archiveAfter", "60 days")
    assert take(pair.ada).handles == 1
    assert pair.ada("cat-file", "-t", run) == "commit"


def test_an_age_that_is_none_is_said_to_be_a_setting(pair: Pair) -> None:
    pair.ada("config", "exprag.archiveAfter", "never")
    write_runs(pair.bob, [0])
    send(pair.bob)
    with pytest.raises(GitexpError, match=r"exprag\.archiveAfter"):
        take(pair.ada)


# --- what is not as it must be -----------------------------------------------------------------


def test_wrong_handles_on_the_remote_are_reported_and_not_taken(pair: Pair) -> None:
    good, other = (commit_run(pair.bob, name) for name in ("good", "other"))
    send(pair.bob)
    wrong = refs.run_ref("ab" * 20)
    pair.bob("push", "--quiet", "origin", f"{other}:{wrong}", f"{good}:{refs.run_ref(good)}")
    pulled = take(pair.ada)
    assert [problem.ref for problem in pulled.problems] == [wrong]
    assert set(refs_of(pair.ada, refs.RUNS)) == {refs.run_ref(good), refs.run_ref(other)}


@pytest.mark.parametrize("name", ["a/b", "UPPER", "--x", "a.b.c/d/e", "x" * 101, "ä", "a b"[::2]])
@pytest.mark.parametrize("prefix", [refs.FACTS, refs.CODE])
def test_shards_with_odd_names_are_reported_and_the_rest_is_taken(
    pair: Pair, name: str, prefix: str
) -> None:
    runs = write_runs(pair.bob, range(2))
    send(pair.bob)
    source = pair.remote("rev-parse", f"{prefix}bob")
    pair.remote("update-ref", prefix + name, source)
    pulled = take(pair.ada)
    usable = name == "ab"
    assert [problem.ref for problem in pulled.problems] == ([] if usable else [prefix + name])
    assert (prefix + name in refs_of(pair.ada, refs.FACTS, refs.CODE)) == usable
    assert pulled.runs == sorted(runs)
    check_code(pair.ada, runs)


@pytest.mark.parametrize("kind", ["blob", "tree", "tag", "code with files"])
@pytest.mark.parametrize("prefix", [refs.FACTS, refs.METRICS, refs.FILES, refs.CODE])
def test_shards_that_are_no_commits_are_reported_and_the_rest_is_taken(
    pair: Pair, kind: str, prefix: str
) -> None:
    runs = write_runs(pair.bob, range(2))
    send(pair.bob)
    pair.remote(
        "tag", "-a", "-m", "x", "t", "main", GIT_COMMITTER_NAME="x", GIT_COMMITTER_EMAIL="x"
    )
    target = {"blob": "main:README", "tree": "main^{tree}", "tag": "refs/tags/t"}.get(kind, "main")
    pair.remote("update-ref", f"{prefix}odd", pair.remote("rev-parse", target))
    pulled = take(pair.ada)
    if kind == "code with files" and prefix != refs.CODE:
        assert (
            pulled.problems == []
        )  # a commit with files: what of them is no note is reported later
    else:
        assert [problem.ref for problem in pulled.problems] == [f"{prefix}odd"]
        assert f"{prefix}odd" not in refs_of(pair.ada)
    assert pulled.runs == sorted(runs)
    check_code(pair.ada, runs)
    assert send(pair.ada).retries == 0


def test_a_shard_name_that_takes_the_place_of_a_folder_is_no_obstacle(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PULL, "_PATIENCE_SECONDS", 0.5)
    (run,) = write_runs(pair.bob, [0])
    send(pair.bob)
    source = pair.remote("rev-parse", f"{refs.FACTS}bob")
    pair.remote("update-ref", f"{refs.FACTS}odd/name", source)
    take(pair.ada)
    pair.remote("update-ref", "-d", f"{refs.FACTS}odd/name")
    pair.remote("update-ref", f"{refs.FACTS}odd", source)
    assert take(pair.ada).problems == []
    assert run in facts_of(pair.ada)
