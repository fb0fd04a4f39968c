"""Withdraw runs, and after a while drop what they hold.

Withdrawing adds a tombstone, a line like any other. Collecting is the one thing that takes lines
away from a shard (docs/format.md, "Removal"): only those of runs that a tombstone has covered for
long enough, and a mark stays, by which a union leaves them out wherever they come from.

What a remote was seen to have stays in the history of the shard, as nothing is ever forced on
anybody. The commits after that are replaced by one, so what never left is gone.
"""

from __future__ import annotations

import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from gitexp.errors import UsageError
from gitexp.git import refs
from gitexp.git.commit import identity, write_commit
from gitexp.git.history import is_ancestor, tree_of_commit
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.git.trees import Content, edit_tree, read_tree
from gitexp.git.write import RefChange, move_ref, update_refs
from gitexp.index.database import Index
from gitexp.index.sync import list_notes, read_contents
from gitexp.journal import live_runs
from gitexp.records.facts import TombstoneFact, encode_fact
from gitexp.records.times import format_time, parse_time
from gitexp.share.code import read_chain, write_chain
from gitexp.share.remote import seen_anywhere
from gitexp.store.batch import Batch, note_path, split_lines, write_batch
from gitexp.store.shard import shard_name
from gitexp.store.union import REMOVED, as_tombstone, without_collected
from gitexp.when import parse_age

DEFAULT_AGE = "2 weeks"


def withdraw(repository: Repository, runs: Sequence[str], reason: str | None = None) -> None:
    """Withdraw runs: readers hide them from now on, here and wherever this is pulled.

    Args:
        repository: Where.
        runs: Their ids.
        reason: Why, in the user's words.

    Raises:
        UsageError: A run is in progress.
        ConflictError: Others kept winning the race for the shard, or for the handles.
    """
    live = set(live_runs(repository)).intersection(runs)
    if live:
        message = f"Run {min(live)[:12]} is in progress, so it cannot be removed yet."
        raise UsageError(message, "End it first.")
    name, email = identity(repository)
    tombstone = TombstoneFact(
        time=format_time(time.time_ns()), by=f"{name} <{email}>", reason=reason
    )
    lines = {run: [encode_fact(tombstone)] for run in runs}
    write_batch(repository, shard_name(repository), Batch(facts=lines))
    _drop_handles(repository, runs)


def _drop_handles(repository: Repository, runs: Sequence[str]) -> None:
    there = list_refs(repository, refs.RUNS)
    names = [refs.run_ref(run) for run in runs]
    changes = [RefChange(name, there[name], None) for name in names if name in there]
    update_refs(repository, refs.RUNS, changes)


@dataclass(frozen=True)
class Collected:
    """What a collection dropped.

    Attributes:
        runs: Ids of the runs that had anything left to drop.
        refs: Ref -> what it named before and names now; None where nothing of it is left.
    """

    runs: list[str]
    refs: dict[str, tuple[str, str | None]]


def collect(repository: Repository, age: str | None = None, *, dry_run: bool = False) -> Collected:
    """Drop what withdrawn runs hold, once their tombstones are older than an age.

    Args:
        repository: Where.
        age: ``30d``, ``2 weeks`` (the default) and the like.
        dry_run: Change nothing; then ``refs`` of the result is empty.

    Raises:
        UsageError: The age is no age.
        ConflictError: Others kept winning the race for a ref. What was done before stays done.
        GitexpError: An object could not be read or written; likewise.
    """
    marks = _expired(repository, _horizon(DEFAULT_AGE if age is None else age))
    runs: set[str] = set()
    moved: dict[str, tuple[str, str | None]] = {}
    seen = seen_anywhere(repository)
    for prefix in (refs.METRICS, refs.FILES, refs.FACTS):
        for ref, tip in list_refs(repository, prefix).items():
            changes = _changes(repository, ref, marks)
            runs.update(run for run, _ in changes)
            if changes and not dry_run:
                moved[ref] = (tip, _collect_shard(repository, ref, marks, seen.get(ref, [])))
    handles = list_refs(repository, refs.RUNS)
    runs.update(run for run in marks if refs.run_ref(run) in handles)
    if not dry_run:
        _drop_handles(repository, sorted(marks))
        moved |= _collect_code(repository, set(marks), seen)
    return Collected(sorted(runs), moved)


def _horizon(age: str) -> float:
    """Return the time of the youngest tombstone that counts; for no age at all, the far future.

    Another machine's clock may be ahead of this one.
    """
    now = datetime.now().astimezone()
    horizon = parse_age(age, now, "--older-than")
    return math.inf if horizon >= now else horizon.timestamp()


def _expired(repository: Repository, horizon: float) -> dict[str, bytes]:
    """Return the runs whose tombstone is old enough -> the line that marks them as collected.

    The mark is made of the earliest tombstone alone, so all clones make the same one.
    """
    marks: dict[str, bytes] = {}
    for run, tombstones in _tombstones(repository).items():
        first = min(tombstones, key=lambda fact: (fact.time, encode_fact(fact)))
        if parse_time(first.time).timestamp() <= horizon:
            marks[run] = encode_fact(msgspec.structs.replace(first, collected=True))
    return marks


def _tombstones(repository: Repository) -> dict[str, list[TombstoneFact]]:
    """Return the withdrawn runs with their tombstones, of all shards."""
    sql = "SELECT DISTINCT n.run FROM note n LEFT JOIN run r ON r.id = n.run WHERE r.id IS NULL"

    def ask(db: sqlite3.Connection) -> dict[str, list[str]]:
        hidden = [run.hex() for (run,) in db.execute(sql)]
        return {run: [oid.hex() for _, oid in list_notes(db, run)] for run in hidden}

    notes = Index(repository).ask(ask)
    contents = read_contents(repository, [oid for oids in notes.values() for oid in oids])
    found: dict[str, list[TombstoneFact]] = {}
    for run, oids in notes.items():
        blobs = [next(contents) for _ in oids]
        lines = [line for blob in blobs if isinstance(blob, bytes) for line in split_lines(blob)]
        tombstones = [fact for line in lines if (fact := as_tombstone(line)) is not None]
        if tombstones:
            found[run] = tombstones
    return found


def _changes(
    repository: Repository, ref: str, marks: Mapping[str, bytes]
) -> list[tuple[str, dict[str, Content]]]:
    """Return the runs that a shard holds something of, each with what is to be put where."""
    tree = read_tree(repository, ref)
    found: list[tuple[str, dict[str, Content]]] = []
    for run, mark in marks.items():
        path = note_path(run)
        if ref.startswith(refs.FILES):
            if path in tree:
                found.append((run, {path: None, f"{REMOVED}{path}": mark + b"\n"}))
            continue
        notes = tree.notes(run)
        lines = frozenset(line for note in notes.values() for line in split_lines(note))
        left = without_collected(lines | {mark})
        if lines and left != lines:
            content = b"".join(line + b"\n" for line in sorted(left))
            found.append((run, {**dict.fromkeys(notes), path: content}))
    return found


def _collect_shard(
    repository: Repository, ref: str, marks: Mapping[str, bytes], seen: Sequence[str]
) -> str | None:
    """Move a shard to a commit without what its tombstones cover; return that."""

    def build(tip: str | None) -> str | None:
        changes = _changes(repository, ref, marks)
        if tip is None or not changes:
            return tip
        merged = {path: content for _, some in changes for path, content in some.items()}
        tree = edit_tree(repository, tree_of_commit(repository, tip), merged)
        parents = [oid for oid in seen if is_ancestor(repository, oid, tip)]
        noun = "run" if len(changes) == 1 else "runs"
        return write_commit(repository, f"exprag: {len(changes)} {noun} collected\n", tree, parents)

    return move_ref(repository, ref, build)


def _collect_code(
    repository: Repository, withdrawn: set[str], seen: Mapping[str, Sequence[str]]
) -> dict[str, tuple[str, str | None]]:
    """Take withdrawn runs out of the chains of code, as far as these were not shared."""
    moved: dict[str, tuple[str, str | None]] = {}
    for ref, tip in list_refs(repository, refs.CODE).items():
        known = [oid for oid in seen.get(ref, []) if is_ancestor(repository, oid, tip)]
        bases, snapshots = read_chain(repository, tip, known)
        left = [snapshot for snapshot in snapshots if snapshot not in withdrawn]
        if len(left) == len(snapshots):
            continue
        new = _rewritten(repository, bases, left)
        update_refs(repository, refs.CODE, [RefChange(ref, tip, new)])
        moved[ref] = (tip, new)
    return moved


def _rewritten(repository: Repository, bases: Sequence[str], left: Sequence[str]) -> str | None:
    """Return the tip of a chain that goes on from these commits; None where nothing is in it."""
    if not left and len(bases) <= 1:
        return bases[0] if bases else None
    return write_chain(repository, bases, left)
