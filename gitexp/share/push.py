"""Add to a remote what it has not got: whole shards, or the runs that are named.

A push is planned on what was last seen on the remote, and the remote takes it only if that is
still true. If it is not, what is there is fetched and united, and the plan is made again. The new
state of a ref holds all of the old one, so nothing is ever forced.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from gitexp.errors import ConflictError, RemoteMovedError
from gitexp.git import refs
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.git.transfer import Progress, Update, push_url, remote_branches
from gitexp.git.transfer import push as push_refs
from gitexp.git.write import RefChange, update_refs
from gitexp.share.plan import Plan, note_codeless, plan_runs, plan_shards
from gitexp.share.pull import look, settle, settle_unfinished
from gitexp.share.remote import Remote, choose_remote, last_seen, require_one_url
from gitexp.store.union import unite_ref

RETRY_SECONDS = 60.0
"""How long a push keeps trying while others are faster."""

_FEW_RUNS = 1_000

_REFS_AT_ONCE = 400
"""Refs of one ``git push``: its command line has a limit, and so has a forge's patience."""

Searching = Callable[[int, int], None]
"""Told how many objects were searched for secrets, and how many are to be."""


@dataclass
class Pushed:
    """What a push did, or would do.

    Attributes:
        remote: Name of the remote.
        runs: Ids of the runs of which something new was sent, sorted.
        refs: Ref on the remote -> what it named before (None: it did not exist) and names now.
        missing: Ids of runs whose code is not here, so that only what is said of them was sent.
        retries: How many times others were faster.
        allowed: Fingerprints of findings that were allowed to leave.
    """

    remote: str
    runs: list[str] = field(default_factory=list)
    refs: dict[str, tuple[str | None, str]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    retries: int = 0
    allowed: list[str] = field(default_factory=list)


def push(
    repository: Repository,
    remote: str | None = None,
    runs: Sequence[str] | None = None,
    *,
    every_shard: bool = False,
    accepted: Sequence[str] = (),
    dry_run: bool = False,
    progress: Progress | None = None,
    searching: Searching | None = None,
) -> Pushed:
    """Add to a remote what it has not got.

    Args:
        repository: Whose runs.
        remote: Name or URL; by default the one that git would push to.
        runs: Ids of the runs to share, whoever recorded them; all of this clone's shard by
            default.
        every_shard: Send the shards of others too.
        accepted: Fingerprints of findings that may leave; it is recorded.
        dry_run: Send nothing, and take the remote to be as it was last seen.
        progress: Shown what git says meanwhile.
        searching: Told how far the search for secrets has got.

    Raises:
        UsageError: It is not clear which remote is meant.
        SecretsFoundError: Something that looks like a secret would leave; nothing was sent.
        TransferError: The remote cannot be reached, or it refused.
        ConflictError: Others kept being faster.
        GitexpError: The system refused (a full disk, say).
    """
    chosen = choose_remote(repository, remote)
    require_one_url(repository, chosen)
    deadline = time.monotonic() + RETRY_SECONDS
    pushed = Pushed(chosen.shown)
    while True:
        plan = _plan(repository, chosen, runs, every_shard=every_shard, dry_run=dry_run)
        if plan.news:
            known = _known(repository, chosen, plan, dry_run=dry_run)
            pushed.allowed = _search(repository, plan, known, accepted, searching)
        pushed.runs, pushed.missing = plan.runs, plan.missing
        pushed.refs = {update.ref: (update.expected, update.new) for update in plan.news}
        if dry_run:
            return pushed
        try:
            _send(repository, chosen, plan, progress)
        except RemoteMovedError as error:
            if time.monotonic() > deadline:
                raise _gave_up(error) from error
            pushed.retries += 1
            time.sleep(random.uniform(0, min(2.0, 0.05 * 2**pushed.retries)))  # noqa: S311
            _look_again(repository, chosen, progress)
            continue
        note_codeless(repository, plan, whole=runs is None)
        if runs is not None:  # the shards go on from what the remote has now
            for update in plan.news:
                unite_ref(repository, update.ref, update.new)
        return pushed


def _plan(
    repository: Repository,
    remote: Remote,
    runs: Sequence[str] | None,
    *,
    every_shard: bool,
    dry_run: bool,
) -> Plan:
    seen = last_seen(repository, remote)
    if runs is not None:
        return plan_runs(repository, seen, runs)
    settle_unfinished(repository, remote, seen)
    return plan_shards(repository, seen, every_shard=every_shard, dry_run=dry_run)


def _look_again(repository: Repository, remote: Remote, progress: Progress | None) -> None:
    """Find out what the remote has now, and unite it with what is here."""
    settle(repository, remote)
    look(repository, remote, prune=True, progress=progress)
    settle(repository, remote)


def _gave_up(error: RemoteMovedError) -> ConflictError:
    message = f"Gave up after {RETRY_SECONDS:.0f} seconds, as others kept being faster."
    return ConflictError(f"{message} {error.message}", "Try again: nothing is lost.")


def _send(repository: Repository, remote: Remote, plan: Plan, progress: Progress | None) -> None:
    """Push what is planned, and remember that the remote has it."""
    for start in range(0, len(plan.updates), _REFS_AT_ONCE):
        updates = plan.updates[start : start + _REFS_AT_ONCE]
        small = len(plan.runs) <= _FEW_RUNS
        push_refs(repository, remote.name, updates, small=small, progress=progress)
        _remember(repository, remote, updates)


def _remember(repository: Repository, remote: Remote, updates: Sequence[Update]) -> None:
    there = list_refs(repository, remote.prefix)
    changes = [
        RefChange(name, there.get(name), update.new)
        for update in updates
        if there.get(name := remote.tracking(update.ref)) != update.new
    ]
    update_refs(repository, remote.prefix, changes)


def _known(repository: Repository, remote: Remote, plan: Plan, *, dry_run: bool) -> list[str]:
    """Return commits that the remote has, so that what they hold need not be searched.

    What was last seen there counts where this very push makes sure of it, and branches as the
    remote itself says: tracking refs may be of another URL that the remote had.
    """
    known = [update.expected for update in plan.updates if update.expected is not None]
    if not any(update.ref.startswith(refs.CODE) for update in plan.news):
        return known
    if dry_run:
        return known + list(list_refs(repository, f"refs/remotes/{remote.name}/").values())
    return known + remote_branches(repository, push_url(repository, remote.name))


def _search(
    repository: Repository,
    plan: Plan,
    known: Sequence[str],
    accepted: Sequence[str],
    progress: Searching | None,
) -> list[str]:
    """Look for secrets in what would be sent; return which were found and are now allowed."""
    from gitexp.outgoing import allow, require_allowed, search  # their patterns take 6 ms

    tips = {update.ref: update.new for update in plan.news}
    found = search(repository, tips, known, progress)
    allow(repository, [finding for finding in found if finding.fingerprint in accepted])
    require_allowed(repository, found)
    return sorted({finding.fingerprint for finding in found})
