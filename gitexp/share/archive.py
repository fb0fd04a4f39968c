"""Fold the handles of old runs into the chain of code of this clone's shard.

A ref for each of 100,000 runs would make every git command slow. Under the chain the snapshots stay
alive just as well, and ids resolve as before.
"""

from __future__ import annotations

from datetime import datetime

from gitexp.git import refs
from gitexp.git.read import list_refs, read_trees
from gitexp.git.repository import Repository
from gitexp.git.write import RefChange, update_refs
from gitexp.journal import live_runs
from gitexp.share.code import extend_chain, unreachable
from gitexp.share.visible import visible_runs
from gitexp.store.shard import shard_name
from gitexp.when import parse_age

SETTING = "exprag.archiveafter"
DEFAULT_AGE = "30 days"


def archive_horizon(repository: Repository, age: str | None = None) -> float:
    """Return the time before which runs are old, in seconds since 1970.

    Args:
        repository: Whose ``exprag.archiveAfter`` counts where no age is given; else 30 days.
        age: ``30d``, ``2 weeks`` and the like.

    Raises:
        UsageError: It is no age.
    """
    now = datetime.now().astimezone()
    if age is not None:
        return parse_age(age, now, "--older-than").timestamp()
    text = repository.settings.get(SETTING, DEFAULT_AGE)
    return parse_age(text, now, "exprag.archiveAfter").timestamp()


def archive(repository: Repository, age: str | None = None, *, dry_run: bool = False) -> list[str]:
    """Drop the handles of runs that are older than an age, once the chain of code has them.

    Args:
        repository: Where.
        age: As `archive_horizon` takes it.
        dry_run: Change nothing.

    Returns:
        The ids of the runs whose handles are (or would be) gone.

    Raises:
        UsageError: The age is no age.
        ConflictError: Others kept moving the refs; what was done before stays done.
    """
    horizon = archive_horizon(repository, age)
    handles = list_refs(repository, refs.RUNS)
    live = set(live_runs(repository))
    runs = [oid for ref, oid in handles.items() if ref == refs.run_ref(oid) and oid not in live]
    started = visible_runs(repository, runs)
    old = sorted(run for run in started if started[run] < horizon)
    trees = zip(old, read_trees(repository, old), strict=True)
    here = [run for run, tree in trees if tree is not None]
    if not dry_run and here:
        chains = list_refs(repository, refs.CODE)
        new = unreachable(repository, here, chains.values())
        if new:
            extend_chain(repository, refs.CODE + shard_name(repository), new)
        changes = [RefChange(refs.run_ref(run), run, None) for run in here]
        update_refs(repository, refs.RUNS, changes)
    return here
