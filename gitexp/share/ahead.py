"""What is here and not on a remote, as far as is known without asking it."""

from __future__ import annotations

from typing import NamedTuple

from gitexp.git import refs
from gitexp.git.history import EMPTY_TREE
from gitexp.git.read import changed_entries, list_refs
from gitexp.git.repository import Repository
from gitexp.share.remote import Remote, last_seen
from gitexp.store.read import noted_run
from gitexp.store.shard import known_shard


class Ahead(NamedTuple):
    """What a remote has not got.

    Attributes:
        remote: Its name.
        runs: Ids of the runs that this clone's shard says something of that is not there.
        others: Shard -> how many runs, for shards of others that are not there as they are here.
        library: How many files of this clone's library are not there as they are here.
    """

    remote: str
    runs: list[str]
    others: dict[str, int]
    library: int


def unshared(repository: Repository, remote: Remote) -> Ahead:
    """Compare the shards with what was last seen on a remote.

    Raises:
        GitCommandError: An object of a shard is missing.
    """
    seen = last_seen(repository, remote)
    own = known_shard(repository)
    runs: list[str] = []
    others: dict[str, int] = {}
    for ref, tip in sorted(list_refs(repository, refs.FACTS).items()):
        shard = ref.removeprefix(refs.FACTS)
        changed = changed_runs(repository, seen.get(ref), tip)
        if shard == own:
            runs = changed
        elif changed:
            others[shard] = len(changed)
    ours = f"{refs.LIBRARY}{own}"
    tips = list_refs(repository, ours)
    files = _changes(repository, seen.get(ours), tips[ours]) if ours in tips else {}
    return Ahead(remote.shown, runs, others, len(files))


def changed_runs(repository: Repository, old: str | None, new: str | None) -> list[str]:
    """Return the runs of which a state of a notes shard says what an older one does not.

    Args:
        repository: Where.
        old: Id of the older state; None for nothing at all. `new` likewise.
        new: Id of the newer state.

    Raises:
        GitCommandError: An object is missing.
    """
    if new is None or old == new:
        return []
    changes = _changes(repository, old, new)
    runs = {noted_run(path) for path, oid in changes.items() if oid is not None}
    return sorted(run for run in runs if run is not None)


def _changes(repository: Repository, old: str | None, new: str) -> dict[bytes, str | None]:
    """Return path -> blob of the files in which two states of a shard differ."""
    return {} if old == new else changed_entries(repository, old or EMPTY_TREE, new)
