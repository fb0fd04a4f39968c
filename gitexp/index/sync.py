"""Bring an index up to the shards: what changed in their trees is read, and nothing else.

git compares the tip of a shard that the index reflects with the present one, at a cost that
follows the difference. Each run that a change speaks of is built anew from the lines of all shards.
"""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gitexp.errors import GitCommandError
from gitexp.git.read import changed_entries, list_tree, read_blobs, read_trees
from gitexp.git.repository import Repository
from gitexp.index.database import Progress, reflected_tips, shard_tips
from gitexp.index.rows import Writer
from gitexp.records.facts import Fact, OpaqueFact
from gitexp.run import Run, build_run
from gitexp.store.batch import note_path
from gitexp.store.problem import Problem
from gitexp.store.read import MISSING, decode_note, noted_run

_READ = 100_000
"""Runs that one git process is asked about. It remembers the bases of deltas: 50 processes that
read 2,000 notes each take five times as long as one that reads 100,000."""

_BATCH = 2_000
"""Runs that are held in memory at a time."""

MAX_NOTE_BYTES = 64 << 20
"""A longer note of facts is reported, not read: the longest honest line has 16 MiB."""

_UNREAD = ""
"""The tip of a shard that could not be read whole. No tip equals it, so it is read again."""


def synchronise(
    db: sqlite3.Connection, repository: Repository, progress: Progress | None = None
) -> None:
    """Make an index reflect the shards as they are, inside the caller's transaction."""
    shards = _Shards(db, repository)
    old, new = reflected_tips(db), shard_tips(repository)
    changed: set[str] = set()
    for ref in sorted(old.keys() | new.keys()):
        if old.get(ref) != new.get(ref):
            changed |= shards.compare(ref, old.get(ref), new.get(ref))
    ordered = sorted(changed)
    writer = Writer(db)
    for run_id in ordered if old else ():
        _forget(db, run_id)
        writer.remove(run_id)
    done = 0
    for start in range(0, len(ordered), _READ):
        runs = shards.build(ordered[start : start + _READ])
        while batch := list(itertools.islice(runs, _BATCH)):
            writer.add(run for run in batch if run is not None)
            done += len(batch)
            if progress is not None:
                progress(done, len(ordered))


def _forget(db: sqlite3.Connection, run_id: str) -> None:
    """Take out what was noticed when a run was read last."""
    key = (bytes.fromhex(run_id),)
    db.execute("DELETE FROM problem WHERE run = ?", key)
    db.execute("DELETE FROM newer WHERE run = ?", key)


class _Shards:
    """What the index knows of the shards' trees: the blob of every note."""

    def __init__(self, db: sqlite3.Connection, repository: Repository) -> None:
        self._db = db
        self._repository = repository
        self._refs = dict(db.execute("SELECT number, ref FROM shard"))

    def compare(self, ref: str, old: str | None, new: str | None) -> set[str]:
        """Take over how a shard's tree has changed; return the runs that it is about."""
        number = self._number(ref)
        self._db.execute("DELETE FROM problem WHERE run = x'' AND ref = ?", (ref,))
        try:
            changes = self._changes(number, old, new)
        except GitCommandError as error:
            self._set_tip(number, _UNREAD)
            self._note_problem(Problem(ref, "", 0, error.message.rstrip(".")))
            return self._unread(ref)
        if new is None:
            self._db.execute("DELETE FROM shard WHERE number = ?", (number,))
        else:
            self._set_tip(number, new)
        return self._unread(ref).union(self._take(number, changes))

    def _unread(self, ref: str) -> set[str]:
        """Return the runs with a note in a shard that could not be read last time."""
        sql = "SELECT run FROM problem WHERE ref = ? AND line = 0 AND run != x''"
        return {run_id.hex() for (run_id,) in self._db.execute(sql, (ref,))}

    def _number(self, ref: str) -> int:
        number: int
        self._db.execute("INSERT OR IGNORE INTO shard (ref, tip) VALUES (?, ?)", (ref, _UNREAD))
        (number,) = self._db.execute("SELECT number FROM shard WHERE ref = ?", (ref,)).fetchone()
        self._refs[number] = ref
        return number

    def _set_tip(self, number: int, tip: str) -> None:
        self._db.execute("UPDATE shard SET tip = ? WHERE number = ?", (tip, number))

    def _changes(self, number: int, old: str | None, new: str | None) -> dict[bytes, str | None]:
        """Return path -> blob of the notes that differ from what the index knows."""
        if old and new:
            try:
                return changed_entries(self._repository, old, new)
            except GitCommandError:  # the old tip may be gone from the repository
                return self._changes(number, None, new)
        known = self._known(number)
        there = {} if new is None else {e.path: e.oid for e in list_tree(self._repository, new)}
        changed: dict[bytes, str | None] = dict.fromkeys(known.keys() - there.keys())
        changed |= {path: oid for path, oid in there.items() if known.get(path) != oid}
        return changed

    def _known(self, number: int) -> dict[bytes, str]:
        rows = self._db.execute("SELECT run, path, oid FROM note WHERE shard = ?", (number,))
        return {(path or note_path(run.hex())).encode(): oid.hex() for run, path, oid in rows}

    def _take(self, number: int, changes: dict[bytes, str | None]) -> Iterator[str]:
        """Store where the notes are now; yield their runs."""
        gone, there = [], []
        for raw, oid in changes.items():
            run_id = noted_run(raw)
            if run_id is None:
                continue
            yield run_id
            path = raw.decode("ascii")
            key = (bytes.fromhex(run_id), number, "" if path == note_path(run_id) else path)
            if oid is None:
                gone.append(key)
            else:
                there.append((*key, bytes.fromhex(oid)))
        self._db.executemany("DELETE FROM note WHERE run = ? AND shard = ? AND path = ?", gone)
        self._db.executemany("INSERT OR REPLACE INTO note VALUES (?, ?, ?, ?)", sorted(there))

    def build(self, run_ids: Sequence[str]) -> Iterator[tuple[Run, str | None] | None]:
        """Yield each run with its code's tree, where known; None for one not to be seen."""
        trees = itertools.chain(_read_trees(self._repository, run_ids), itertools.repeat(None))
        for run_id, notes, tree in zip(run_ids, self._notes(run_ids), trees, strict=False):
            run = build_run(run_id, self._facts(run_id, notes))
            yield None if run is None else (run, tree)

    def _notes(self, run_ids: Sequence[str]) -> Iterator[list[_Note]]:
        """Yield the notes of each run, of all shards."""
        found = [list_notes(self._db, run_id) for run_id in run_ids]
        contents = read_contents(self._repository, [oid.hex() for rows in found for _, oid in rows])
        for rows in found:
            yield [_Note(shard, next(contents)) for shard, _ in rows]

    def _facts(self, run_id: str, notes: Sequence[_Note]) -> list[Fact]:
        facts: list[Fact] = []
        seen: set[bytes] = set()
        newer: Counter[str] = Counter()
        for note in notes:
            place = Problem(self._refs[note.shard], run_id, 0, "")
            if isinstance(note.content, str):
                self._note_problem(place._replace(reason=note.content))
                self._set_tip(note.shard, _UNREAD)
                continue
            for item in decode_note(place, note.content, seen):
                if isinstance(item, Problem):
                    self._note_problem(item)
                elif isinstance(item, OpaqueFact):
                    newer[f"{item.kind} (schema {item.schema})"] += 1
                else:
                    facts.append(item)
        rows = [(bytes.fromhex(run_id), label, lines) for label, lines in newer.items()]
        self._db.executemany("INSERT INTO newer VALUES (?, ?, ?)", rows)
        return facts

    def _note_problem(self, problem: Problem) -> None:
        row = (bytes.fromhex(problem.run), problem.ref, problem.line, problem.reason)
        self._db.execute("INSERT INTO problem VALUES (?, ?, ?, ?)", row)


class _Note(NamedTuple):
    """A note as it was read: its content, or a text that says why it cannot be had."""

    shard: int
    content: bytes | str


def list_notes(db: sqlite3.Connection, run_id: str) -> list[tuple[int, bytes]]:
    """Return shard and blob of each note of a run, in an order that depends on nothing else."""
    key = (bytes.fromhex(run_id),)
    rows = db.execute("SELECT shard, oid, path FROM note WHERE run = ?", key).fetchall()
    if len(rows) > 1:
        refs = dict(db.execute("SELECT number, ref FROM shard"))
        rows.sort(key=lambda row: (refs[row[0]], row[2] or note_path(run_id)))
    return [(shard, oid) for shard, oid, _ in rows]


def read_contents(repository: Repository, oids: Sequence[str]) -> Iterator[bytes | str]:
    """Yield the content of each blob, or why it cannot be had.

    git stops at a corrupt one, and we at one that is too large; each is met once, however many
    notes name it.
    """
    bad: dict[str, str] = {}
    done = 0
    while done < len(oids):
        blobs = read_blobs(repository, [o for o in oids[done:] if o not in bad], MAX_NOTE_BYTES)
        for oid in oids[done:]:
            if oid not in bad:
                try:
                    _, blob = next(blobs)
                except GitCommandError as error:
                    bad[oid] = error.message.rstrip(".")
                    break
            done += 1
            yield bad.get(oid) or (MISSING if blob is None else blob)


def _read_trees(repository: Repository, run_ids: Sequence[str]) -> Iterator[str | None]:
    """Yield the tree of each snapshot, as far as git gets."""
    with contextlib.suppress(GitCommandError):
        yield from read_trees(repository, run_ids)
