"""What a push is to send, given what was last seen on the remote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gitexp.git import refs
from gitexp.git.read import list_refs, read_trees
from gitexp.git.repository import Repository
from gitexp.git.transfer import Update
from gitexp.git.write import write_error
from gitexp.share.ahead import changed_runs
from gitexp.share.code import extend_chain, unreachable, write_chain
from gitexp.share.remote import PARTS
from gitexp.share.selection import Selection
from gitexp.share.visible import visible_runs
from gitexp.store.shard import shard_name


@dataclass
class Plan:
    """What to send.

    Attributes:
        updates: The refs. Those that are there as they are here are confirmed by the same push:
            what was last seen may be gone.
        runs: Ids of the runs of which something new is sent, sorted.
        missing: Those of them whose code is not here.
    """

    updates: list[Update]
    runs: list[str]
    missing: list[str]

    @property
    def news(self) -> list[Update]:
        """The refs that are to move."""
        return [update for update in self.updates if update.new != update.expected]


def plan_shards(
    repository: Repository, seen: dict[str, str], *, every_shard: bool, dry_run: bool
) -> Plan:
    """Plan to send whole shards, with the code of the runs that they newly speak of.

    Args:
        repository: Whose shards.
        seen: Ref on the remote -> what it was last seen to name.
        every_shard: Those of others too.
        dry_run: Leave the chain of code here as it is.
    """
    own = shard_name(repository)
    local = list_refs(repository, *PARTS.values())
    shards = sorted({_shard(ref) for ref in local}) if every_shard else [own]
    runs = _changed(repository, seen, local, shards)
    chains = [local[refs.CODE + shard] for shard in shards if refs.CODE + shard in local]
    asked = sorted({*runs, *_read_codeless(repository)})
    new, missing = _new_code(repository, seen, asked, chains)
    chain = refs.CODE + own
    if new and dry_run:
        before = [local[chain]] if chain in local else []
        local[chain] = write_chain(repository, before, new)
    elif new:
        local[chain] = extend_chain(repository, chain, new)
    names = [prefix + shard for shard in shards for prefix in PARTS.values()]
    updates = [Update(ref, seen.get(ref), local[ref]) for ref in names if ref in local]
    return Plan(updates, runs, missing)


def _shard(ref: str) -> str:
    return ref.rpartition("/")[2]


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


def plan_runs(repository: Repository, seen: dict[str, str], runs: Sequence[str]) -> Plan:
    """Plan to add some runs to what the remote has: what any shard here says of them."""
    updates: list[Update] = []
    new, missing = _new_code(repository, seen, runs, [])
    told = set(new)
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
        if ref.startswith(refs.FACTS):
            told.update(changed_runs(repository, seen.get(ref), commit))
    return Plan(updates, sorted(told), missing)


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


def note_codeless(repository: Repository, plan: Plan, *, whole: bool) -> None:
    """Remember whose code could not be sent, so that a later push sends it when it is here.

    Args:
        repository: Where.
        plan: What was sent.
        whole: It was planned for whole shards, and so for all whose code was missing before.

    Raises:
        GitexpError: It could not be written.
    """
    path = _codeless_path(repository)
    missing = {*plan.missing, *([] if whole else _read_codeless(repository))}
    try:
        if missing:
            path.write_text("".join(f"{run}\n" for run in sorted(missing)), encoding="ascii")
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(error, f"write {path}") from error


def _codeless_path(repository: Repository) -> Path:
    return repository.home / "codeless"


def _read_codeless(repository: Repository) -> list[str]:
    try:
        text = _codeless_path(repository).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [run for run in text.split("\n") if refs.is_run_id(run)]
