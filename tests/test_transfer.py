"""What git says of a transfer that went wrong becomes the right error, with git's own reason."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from gitexp.errors import RemoteMovedError, TransferError, UsageError
from gitexp.git import refs
from gitexp.git.transfer import Update, fetch, push
from tests.clones import check_code, everything, facts_of, write_runs
from tests.pair import Pair, refs_of, repository_of, send, take
from tests.support import Git

REF = f"{refs.FACTS}ada"


@pytest.fixture
def pair(template: Path, tmp_path: Path, identity: None) -> Pair:
    found = Pair(template, tmp_path)
    write_runs(found.ada, range(2))
    return found


def hook(git: Git, name: str, script: str) -> None:
    path = git.write(f"hooks/{name}", f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def push_one(
    pair: Pair, expected: str | None = None, ref: str = REF, remote: str = "origin"
) -> None:
    new = pair.ada("rev-parse", REF)
    push(repository_of(pair.ada), remote, [Update(ref, expected, new)])


# --- a ref of the remote is not as expected ----------------------------------------------------


def test_a_ref_that_exists_where_none_was_expected_has_moved(pair: Pair) -> None:
    pair.remote("update-ref", REF, "main")
    with pytest.raises(RemoteMovedError, match="stale info"):
        push_one(pair)
    assert pair.remote("rev-parse", REF) == pair.remote("rev-parse", "main")


def test_a_ref_that_is_gone_or_another_has_moved(pair: Pair) -> None:
    with pytest.raises(RemoteMovedError):
        push_one(pair, pair.ada("rev-parse", "HEAD"))
    pair.remote("update-ref", REF, "main^")
    with pytest.raises(RemoteMovedError):
        push_one(pair, pair.ada("rev-parse", "HEAD"))
    assert pair.remote("rev-parse", REF) == pair.remote("rev-parse", "main^")


def test_a_ref_that_is_locked_there_has_moved(pair: Pair) -> None:
    pair.remote.write(f"{REF}.lock", "")
    with pytest.raises(RemoteMovedError):
        push_one(pair)


def test_a_ref_that_is_as_asked_for_is_fine(pair: Pair) -> None:
    push_one(pair)
    push_one(pair, pair.ada("rev-parse", REF))


def test_all_refs_move_or_none(pair: Pair) -> None:
    new = pair.ada("rev-parse", REF)
    pair.remote("update-ref", f"{REF}2", "main")
    updates = [Update(REF, None, new), Update(f"{REF}2", None, new)]
    with pytest.raises(RemoteMovedError):
        push(repository_of(pair.ada), "origin", updates)
    assert REF not in refs_of(pair.remote)


# --- the remote refuses ------------------------------------------------------------------------


def _declined(pair: Pair) -> str:
    hook(pair.remote, "pre-receive", "echo 'no runs here, please' >&2; exit 1")
    return r"pre-receive hook declined.*The remote says: no runs here, please"


def _declined_update(pair: Pair) -> str:
    hook(pair.remote, "update", 'echo "not $1" >&2; exit 1')
    return r"hook declined.*not refs/notes"


def _too_large(pair: Pair) -> str:
    pair.remote("config", "receive.maxInputSize", "10")
    return "unpack|index-pack|exceeds"


def _hidden(pair: Pair) -> str:
    pair.remote("config", "receive.hideRefs", "refs/notes")
    return "hidden ref"


def _not_a_repository(pair: Pair) -> str:
    shutil.rmtree(pair.remote.path)
    pair.remote.path.mkdir()
    return "not appear to be a git repository|Could not read from remote"


def _not_there(pair: Pair) -> str:
    shutil.rmtree(pair.remote.path)
    return "not appear to be a git repository|Could not read from remote|does not exist"


def _unknown_protocol(pair: Pair) -> str:
    pair.ada("config", "remote.origin.url", "nonsense://example.org/x")
    return "remote-nonsense|nonsense"


def _forbidden_protocol(pair: Pair) -> str:
    pair.ada("config", "protocol.file.allow", "never")
    return "transport 'file' not allowed"


@pytest.mark.parametrize(
    "refuse",
    [
        _declined,
        _declined_update,
        _too_large,
        _hidden,
        _not_a_repository,
        _not_there,
        _unknown_protocol,
        _forbidden_protocol,
    ],
)
def test_a_push_that_is_refused_for_good_says_why(
    pair: Pair, refuse: Callable[[Pair], str]
) -> None:
    reason = refuse(pair)
    with pytest.raises(
        TransferError, match=f"(?s)Could not push to origin: .*({reason})"
    ) as caught:
        push_one(pair)
    assert caught.value.message.count("\n") == 0
    assert "git ls-remote origin" in str(caught.value.hint)


@pytest.mark.parametrize(
    "refuse", [_not_a_repository, _not_there, _unknown_protocol, _forbidden_protocol]
)
def test_a_fetch_that_fails_says_why(pair: Pair, refuse: Callable[[Pair], str]) -> None:
    reason = refuse(pair)
    with pytest.raises(TransferError, match=f"(?s)Could not fetch from origin: .*({reason})"):
        fetch(repository_of(pair.ada), "origin", ["refs/notes/*:refs/seen/*"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_remote_that_may_not_be_written_to_is_said(pair: Pair) -> None:
    for path in [pair.remote.path, *pair.remote.path.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o222)
    with pytest.raises(TransferError, match=r"(?i)permission"):
        push_one(pair)


def test_the_reason_of_one_ref_goes_before_what_follows_from_it(pair: Pair) -> None:
    hook(pair.remote, "update", "case $1 in refs/notes/exprag/*) exit 1;; esac")
    with pytest.raises(TransferError) as caught:
        send(pair.ada)
    assert "(hook declined)" in caught.value.message


def test_a_word_of_the_remote_that_sounds_like_a_race_is_a_refusal(pair: Pair) -> None:
    hook(pair.remote, "pre-receive", "echo 'stale info: cannot lock ref' >&2; exit 1")
    with pytest.raises(TransferError, match="declined"):
        push_one(pair)


def test_long_speeches_of_a_remote_are_cut(pair: Pair) -> None:
    hook(pair.remote, "pre-receive", "for i in $(seq 1000); do echo line $i >&2; done; exit 1")
    with pytest.raises(TransferError) as caught:
        push_one(pair)
    assert "line 10" in caught.value.message
    assert "line 11" not in caught.value.message


# --- servers that can do less ------------------------------------------------------------------


def test_a_server_without_atomic_pushes_is_served(pair: Pair) -> None:
    pair.remote("config", "receive.advertiseAtomic", "false")
    assert len(send(pair.ada).refs) == 4
    pair.bob("config", "exprag.shard", "ada")
    repository_of(pair.bob)
    write_runs(pair.bob, range(2), "bob")
    assert send(pair.bob).retries == 1
    take(pair.ada)
    assert everything(pair.ada) == everything(pair.bob) == everything(pair.remote)


def test_half_a_push_to_such_a_server_is_completed_by_the_next(pair: Pair) -> None:
    pair.remote("config", "receive.advertiseAtomic", "false")
    hook(pair.remote, "update", "case $1 in refs/notes/exprag/*) exit 1;; esac")
    with pytest.raises(TransferError, match="hook declined"):
        send(pair.ada)
    assert REF not in refs_of(pair.remote)
    assert refs_of(pair.remote, refs.CODE) != {}
    (pair.remote.path / "hooks" / "update").unlink()
    send(pair.ada)
    assert everything(pair.remote) == everything(pair.ada)
    check_code(pair.remote, facts_of(pair.ada))


def test_a_push_to_two_urls_is_refused_as_one_says_nothing_of_the_other(
    pair: Pair, tmp_path: Path
) -> None:
    """One of them has seen an earlier push, as when a mirror is added later."""
    mirror = Git(tmp_path / "mirror.git")
    mirror.path.mkdir()
    mirror("init", "--quiet", "--bare")
    for git in (pair.remote, mirror):
        pair.ada("config", "--add", "remote.origin.pushurl", str(git.path))
    with pytest.raises(UsageError, match="2 URLs"):
        send(pair.ada)
    for git in (pair.remote, mirror):
        send(pair.ada, str(git.path))
    assert everything(mirror) == everything(pair.remote) == everything(pair.ada)
