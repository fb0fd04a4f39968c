"""Bring what a remote has: fetch it beside the local shards, unite, and give runs their handles.

Nothing is fetched onto a local shard. What arrives is united with what is here, code first and
facts last, so that facts never speak of what is not there. A pull that dies anywhere is completed
by the next one.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from gitexp.errors import BadShardError, GitCommandError, MissingObjectError, RemoteMovedError
from gitexp.git import refs
from gitexp.git.history import is_ancestor
from gitexp.git.read import any_ref, list_refs, resolve
from gitexp.git.received import object_heads
from gitexp.git.repository import Repository
from gitexp.git.transfer import Progress, fetch
from gitexp.git.write import (
    STALE_LOCK_SECONDS,
    RefChange,
    remove_stale,
    transfer_lock,
    update_refs,
    write_error,
)
from gitexp.share.ahead import changed_runs
from gitexp.share.archive import archive_horizon
from gitexp.share.remote import PARTS, Remote, choose_remote, last_seen
from gitexp.share.visible import unread_runs, visible_runs
from gitexp.store.problem import Problem
from gitexp.store.union import unite_ref

_PATIENCE_SECONDS = 30.0
"""How long a pull waits for refs that others hold locked."""


class Pulled(NamedTuple):
    """What a pull brought.

    Attributes:
        remote: Name of the remote.
        runs: Ids of the runs of which something new is known, sorted.
        refs: Local ref -> what it named before (None: it did not exist) and what it names now.
        handles: How many runs got a handle.
        problems: What of the remote could not be taken, and why.
    """

    remote: str
    runs: list[str]
    refs: dict[str, tuple[str | None, str]]
    handles: int
    problems: list[Problem]


def pull(
    repository: Repository,
    remote: str | None = None,
    *,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Pulled:
    """Bring what a remote has and this clone has not.

    Args:
        repository: Where to.
        remote: Name or URL; by default the one that git would push to.
        dry_run: Fetch, and say what is new, but unite nothing.
        progress: Shown what git says meanwhile.

    Raises:
        UsageError: It is not clear which remote is meant.
        TransferError: The remote cannot be reached, or it refused.
        ConflictError: Others kept changing the local shards.
        GitexpError: The system refused (a full disk, say). What was there before is intact.
    """
    chosen = choose_remote(repository, remote)
    archive_horizon(repository)  # says what is wrong with its setting, before anything is fetched
    look(repository, chosen, progress=progress)
    return _news(repository, chosen) if dry_run else settle(repository, chosen)


def _news(repository: Repository, remote: Remote) -> Pulled:
    """Return what `settle` would take, without taking it; handles are not counted."""
    seen = last_seen(repository, remote)
    local = list_refs(repository, *PARTS.values())
    moved = {
        ref: (local.get(ref), oid)
        for ref, oid in seen.items()
        if not ref.startswith(refs.RUNS)
        and (ref not in local or not is_ancestor(repository, oid, local[ref]))
    }
    runs: set[str] = set()
    for ref, (old, new) in moved.items():
        if ref.startswith(refs.FACTS):
            runs.update(changed_runs(repository, old, new))
    return Pulled(remote.shown, sorted(runs), moved, 0, _wrong_handles(seen))


def look(
    repository: Repository,
    remote: Remote,
    *,
    prune: bool = False,
    progress: Progress | None = None,
) -> None:
    """Fetch what a remote has into the refs that say what was last seen there.

    Where its history was rewritten, what was seen before is united with the local shards, and
    then forgotten; with ``prune`` also what it has no more.

    Raises:
        GitexpError: As `pull`.
    """
    with transfer_lock(repository):
        while in_the_way := _fetch(repository, remote, prune=prune, progress=progress):
            settle(repository, remote)
            _forget(repository, remote, in_the_way)


def _fetch(
    repository: Repository, remote: Remote, *, prune: bool, progress: Progress | None
) -> list[str]:
    """Fetch into the tracking refs; return those that stand in the way."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        tips = _tips(repository, remote)
        specs = remote.refspecs()
        try:
            return fetch(repository, remote.name, specs, tips=tips, prune=prune, progress=progress)
        except RemoteMovedError:
            if time.monotonic() > deadline:
                raise
        # Nobody else fetches in this clone now, so what stays locked was left by a killed one.
        locks = (repository.common_dir / remote.prefix).glob("**/*.lock")
        remove_stale(locks, STALE_LOCK_SECONDS)
        time.sleep(random.uniform(0.05, 0.5))  # noqa: S311 - jitter, not a secret


def _tips(repository: Repository, remote: Remote) -> list[str]:
    """Return what says to a remote what is here: what it was seen to have, and HEAD.

    Telling it of each run's handle would cost as much as there are runs.
    """
    if not any_ref(repository, remote.prefix):
        return []
    branches = f"refs/remotes/{remote.name}/"
    tips = [f"{remote.prefix}*", *([f"{branches}*"] if any_ref(repository, branches) else [])]
    head = resolve(repository, "HEAD")
    return tips if head is None else [*tips, head]


def _forget(repository: Repository, remote: Remote, tracking: Sequence[str]) -> None:
    there = list_refs(repository, remote.prefix)
    changes = [RefChange(ref, there[ref], None) for ref in tracking if ref in there]
    update_refs(repository, remote.prefix, changes)


def settle(repository: Repository, remote: Remote) -> Pulled:
    """Unite the local shards with what was last seen on a remote, and give new runs their handle.

    What the shards of facts named before is noted until the handles are there, so that whoever
    comes after a death in between makes them.

    Raises:
        GitexpError: As `pull`.
    """
    seen = last_seen(repository, remote)
    local = list_refs(repository, *PARTS.values())
    pending = _read_pending(repository)
    moved: dict[str, tuple[str | None, str]] = {}
    problems = _wrong_handles(seen)
    for prefix in PARTS.values():
        news = [r for r in sorted(seen) if r.startswith(prefix) and seen[r] != local.get(r)]
        if prefix == refs.FACTS and news:
            pending = {ref: local.get(ref) for ref in news} | pending
            _write_pending(repository, pending)
        for ref in news:
            problem = _take_one(repository, ref, seen[ref], local.get(ref), moved)
            if problem is not None:
                problems.append(problem)
    runs = _runs_since(repository, {r: old for r, (old, _) in moved.items()})
    handles = 0
    if pending:
        waiting = _runs_since(repository, pending)
        handles = _make_handles(repository, waiting)
        if not unread_runs(repository, waiting):
            _pending_path(repository).unlink(missing_ok=True)
    return Pulled(remote.shown, runs, moved, handles, problems)


def settle_unfinished(repository: Repository, remote: Remote, seen: Mapping[str, str]) -> None:
    """Complete a pull that did not come to its end: the shards here lack what was seen there."""
    local = list_refs(repository, *PARTS.values())
    if any(not is_ancestor(repository, seen[ref], local[ref]) for ref in seen.keys() & local):
        settle(repository, remote)


def _runs_since(repository: Repository, before: Mapping[str, str | None]) -> list[str]:
    """Return the runs that shards of facts say more of now than when they named these commits."""
    now = list_refs(repository, refs.FACTS)
    runs: set[str] = set()
    for ref, old in before.items():
        if ref.startswith(refs.FACTS):
            try:
                runs.update(changed_runs(repository, old, now.get(ref)))
            except GitCommandError:  # what it named may have been collected since
                runs.update(changed_runs(repository, None, now.get(ref)))
    return sorted(runs)


def _pending_path(repository: Repository) -> Path:
    return repository.home / "pulling.json"


def _read_pending(repository: Repository) -> dict[str, str | None]:
    """Return what shards of facts named before a pull that did not come to its end."""
    try:
        return msgspec.json.decode(
            _pending_path(repository).read_bytes(), type=dict[str, str | None]
        )
    except (FileNotFoundError, msgspec.DecodeError):
        return {}


def _write_pending(repository: Repository, pending: Mapping[str, str | None]) -> None:
    path = _pending_path(repository)
    draft = path.with_suffix(".new")
    try:
        path.parent.mkdir(exist_ok=True)
        draft.write_bytes(msgspec.json.encode(pending))
        draft.replace(path)
    except OSError as error:
        raise write_error(error, f"write {path}") from error


def _take_one(
    repository: Repository,
    ref: str,
    theirs: str,
    old: str | None,
    moved: dict[str, tuple[str | None, str]],
) -> Problem | None:
    if not refs.is_shard_name(ref.rpartition("/")[2]) or ref.count("/") != _SLASHES:
        return Problem(ref, "", 0, "its name is not that of a shard")
    try:
        new = unite_ref(repository, ref, theirs)
    except (BadShardError, MissingObjectError) as error:
        return Problem(ref, "", 0, error.message.rstrip("."))
    if new != old:
        moved[ref] = (old, new)
    return None


_SLASHES = 3
"""In the full name of a shard's ref."""


def _wrong_handles(seen: dict[str, str]) -> list[Problem]:
    """Return the handles of a remote (they come by plain git) that are not what they must be."""
    handles = ((ref, oid) for ref, oid in seen.items() if ref.startswith(refs.RUNS))
    return [
        Problem(ref, "", 0, "it does not name the run's own commit")
        for ref, oid in handles
        if ref != refs.run_ref(oid)
    ]


def _make_handles(repository: Repository, runs: Sequence[str]) -> int:
    """Create the handles of runs that are to be seen, whose code is here, and that are not old.

    Returns:
        How many were created.

    Raises:
        ConflictError: Others kept creating them.
    """
    there = list_refs(repository, refs.RUNS)
    started = visible_runs(repository, [run for run in runs if refs.run_ref(run) not in there])
    horizon = archive_horizon(repository)
    wanted = [run for run in started if started[run] >= horizon]
    heads = object_heads(repository, wanted)
    here = [run for run, head in heads.items() if head is not None and head.kind == "commit"]
    changes = [RefChange(refs.run_ref(run), None, run) for run in here]
    update_refs(repository, refs.RUNS, changes)
    return len(changes)
