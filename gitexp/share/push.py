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
from gitexp.git.history import is_ancestor
from gitexp.git.read import list_refs, read_trees
from gitexp.git.repository import Repository
from gitexp.git.transfer import Progress, Update
from gitexp.git.transfer import push as push_refs
from gitexp.git.write import RefChange, update_refs
from gitexp.share.ahead import changed_runs
from gitexp.share.code import extend_chain, unreachable, write_chain
from gitexp.share.pull import look, settle
from gitexp.share.remote import PARTS, Remote, choose_remote, last_seen
from gitexp.share.selection import Selection
from gitexp.share.visible import visible_runs
from gitexp.store.shard import shard_name
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


@dataclass
class _Plan:
    """What to send. Refs that are there as they are here are confirmed by the same push: what was
    last seen may be gone.
    """  # noqa: D205

    updates: list[Update]
    runs: list[str]
    missing: list[str]

    @property
    def news(self) -> list[Update]:
        return [update for update in self.updates if update.new != update.expected]


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
    deadline = time.monotonic() + RETRY_SECONDS
    pushed = Pushed(chosen.name)
    while True:
        seen = last_seen(repository, chosen)
        if runs is None:
            plan = _plan_shards(repository, chosen, seen, every_shard=every_shard)
        else:
            plan = _plan_runs(repository, seen, runs)
        if plan.news:
            pushed.allowed = _search(repository, chosen, plan, accepted, searching)
        pushed.runs, pushed.missing = plan.runs, plan.missing
        if not dry_run:
            try:
                _send(repository, chosen, plan, progress)
            except RemoteMovedError as error:
                if time.monotonic() > deadline:
                    raise _gave_up(error) from error
                pushed.retries += 1
                time.sleep(random.uniform(0, min(2.0, 0.05 * 2**pushed.retries)))  # noqa: S311
                settle(repository, chosen)
                look(repository, chosen, prune=True, progress=progress)
                settle(repository, chosen)
                continue
            if runs is not None:  # the shards go on from what the remote has now
                for update in plan.news:
                    unite_ref(repository, update.ref, update.new)
        pushed.refs = {update.ref: (update.expected, update.new) for update in plan.news}
        return pushed


def _gave_up(error: RemoteMovedError) -> ConflictError:
    message = f"Gave up after {RETRY_SECONDS:.0f} seconds, as others kept being faster."
    return ConflictError(f"{message} {error.message}", "Try again: nothing is lost.")


def _send(repository: Repository, remote: Remote, plan: _Plan, progress: Progress | None) -> None:
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


def _search(
    repository: Repository,
    remote: Remote,
    plan: _Plan,
    accepted: Sequence[str],
    progress: Searching | None,
) -> list[str]:
    """Look for secrets in what would be sent; return which were found and are now allowed."""
    from gitexp.outgoing import allow, require_allowed, search  # their patterns take 6 ms

    tips = {update.ref: update.new for update in plan.news}
    known = [f"--glob={remote.prefix}*", f"--glob=refs/remotes/{remote.name}/*"]
    found = search(repository, tips, known, progress)
    allow(repository, [finding for finding in found if finding.fingerprint in accepted])
    require_allowed(repository, found)
    return sorted({finding.fingerprint for finding in found})


def _plan_shards(
    repository: Repository, remote: Remote, seen: dict[str, str], *, every_shard: bool
) -> _Plan:
    """Plan to send whole shards, with the code of the runs that they newly speak of."""
    own = shard_name(repository)
    local = list_refs(repository, *PARTS.values())
    if any(not is_ancestor(repository, seen[ref], local[ref]) for ref in seen.keys() & local):
        settle(repository, remote)  # a pull did not come to its end
        local = list_refs(repository, *PARTS.values())
    shards = sorted({_shard(ref) for ref in local}) if every_shard else [own]
    runs = _changed(repository, seen, local, shards)
    chains = [local[refs.CODE + shard] for shard in shards if refs.CODE + shard in local]
    new, missing = _new_code(repository, seen, runs, chains)
    extend_chain(repository, refs.CODE + own, new)
    local = list_refs(repository, *PARTS.values())
    names = [prefix + shard for shard in shards for prefix in PARTS.values()]
    updates = [Update(ref, seen.get(ref), local[ref]) for ref in names if ref in local]
    return _Plan(updates, runs, missing)


def _changed(
    repository: Repository, seen: dict[str, str], local: dict[str, str], shards: Sequence[str]
) -> list[str]:
    """Return the runs of which the shards say what the remote has not got."""
    runs: set[str] = set()
    has_code = any(ref.startswith(refs.CODE) for ref in seen)  # plain git may have sent notes only
    for shard in shards:
        ref = refs.FACTS + shard
        runs.update(changed_runs(repository, seen.get(ref) if has_code else None, local.get(ref)))
    return sorted(runs)


def _shard(ref: str) -> str:
    return ref.rpartition("/")[2]


def _plan_runs(repository: Repository, seen: dict[str, str], runs: Sequence[str]) -> _Plan:
    """Plan to add some runs to what the remote has: what any shard here says of them."""
    updates: list[Update] = []
    new, missing = _new_code(repository, seen, runs, [])
    if new:
        ref = refs.CODE + shard_name(repository)
        before = [seen[ref]] if ref in seen else []
        updates.append(Update(ref, seen.get(ref), write_chain(repository, before, new)))
    local = list_refs(repository, refs.METRICS, refs.FILES, refs.FACTS)
    selection = Selection(repository, runs, local)
    for ref in sorted(local, key=lambda ref: (ref.startswith(refs.FACTS), ref)):
        commit = selection.add_to(ref, seen.get(ref)) or seen.get(ref)
        if commit is not None:
            updates.append(Update(ref, seen.get(ref), commit))
    plan = _Plan(updates, sorted(runs), missing)
    return plan if plan.news else _Plan(updates, [], missing)


def _new_code(
    repository: Repository, seen: dict[str, str], runs: Sequence[str], chains: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the snapshots that must be added to a chain, and those that are not here."""
    visible = sorted(visible_runs(repository, runs))
    trees = dict(zip(visible, read_trees(repository, visible), strict=True))
    here = [run for run in visible if trees[run] is not None]
    # Branches and handles on the remote do not count: chains alone only grow.
    there = [oid for ref, oid in seen.items() if ref.startswith(refs.CODE)]
    new = unreachable(repository, here, [*there, *chains])
    return new, [run for run in visible if trees[run] is None]
