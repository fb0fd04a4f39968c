"""Runs in progress, as an index of their own in memory: their journals, read to the end.

What was said of them in the shards meanwhile (tags, comments) is merged in.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import sqlite3
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gitexp import journal, seal
from gitexp.errors import GitCommandError
from gitexp.git.read import read_trees
from gitexp.git.repository import Repository
from gitexp.index import schema
from gitexp.index.database import Index, connect
from gitexp.index.rows import Writer
from gitexp.index.sync import list_notes, read_contents
from gitexp.records.facts import Fact, OpaqueFact
from gitexp.records.times import format_time, parse_time
from gitexp.run import Run, build_run
from gitexp.store.problem import Problem
from gitexp.store.read import decode_note


class Live(NamedTuple):
    """The journals of a repository.

    Attributes:
        folded: Run id -> its journal, read to the end.
        problems: Journals that could not be read.
    """

    folded: dict[str, seal.Folded]
    problems: list[Problem]


def read_journals(repository: Repository) -> Live:
    """Read all journals. Do so before the shards: a run that is sealed in between is in those."""
    live = Live({}, [])
    for run_id in journal.live_runs(repository):
        try:
            live.folded[run_id] = seal.fold(journal.journal_path(repository, run_id))
        except FileNotFoundError:
            continue  # sealed just now: the shards have it
        except OSError as error:
            reason = f"its journal cannot be read: {error.strerror}"
            live.problems.append(Problem("live", run_id, 0, reason))
    return live


def live_index(
    repository: Repository, index: Index, folded: Mapping[str, seal.Folded]
) -> sqlite3.Connection:
    """Return an index of those runs in progress that the shards do not have."""
    db = connect(":memory:")
    schema.create_tables(db)
    schema.create_indexes(db)
    runs = []
    for run_id, journal_read in folded.items():
        notes = index.ask(functools.partial(_notes, run_id))
        if notes is not None:
            run = live_run(run_id, journal_read, _facts(repository, notes))
            if run is not None:
                runs.append(run)
    trees = itertools.chain(_trees(repository, [run.id for run in runs]), itertools.repeat(None))
    Writer(db).add(zip(runs, trees, strict=False))
    return db


def _notes(run_id: str, stored: sqlite3.Connection) -> list[str] | None:
    """Return the blobs of a run's notes; None when the index has the run already."""
    key = (bytes.fromhex(run_id),)
    if stored.execute("SELECT 1 FROM run WHERE id = ?", key).fetchone():
        return None
    return [oid.hex() for _, oid in list_notes(stored, run_id)]


def drop_stored(live: sqlite3.Connection, stored: sqlite3.Connection) -> None:
    """Take out of an index of runs in progress what was sealed and stored meanwhile."""
    for (run_id,) in live.execute("SELECT id FROM run").fetchall():
        if stored.execute("SELECT 1 FROM run WHERE id = ?", (run_id,)).fetchone():
            Writer(live).remove(run_id.hex())


def _facts(repository: Repository, oids: list[str]) -> list[Fact]:
    seen: set[bytes] = set()
    nowhere = Problem("", "", 0, "")
    facts: list[Fact] = []
    for blob in read_contents(repository, oids):
        content = blob if isinstance(blob, bytes) else b""  # the index lists it
        items = decode_note(nowhere, content, seen)
        facts += [item for item in items if not isinstance(item, OpaqueFact | Problem)]
    return facts


def _trees(repository: Repository, run_ids: list[str]) -> Iterable[str | None]:
    with contextlib.suppress(GitCommandError):
        yield from read_trees(repository, run_ids)


def live_run(run_id: str, folded: seal.Folded, stored: Iterable[Fact]) -> Run | None:
    """Return a run in progress, from its journal and what was remarked in the store so far."""
    if folded.run is None:
        return None
    run = build_run(run_id, [folded.run, *folded.remarks, *stored])
    if run is None:
        return None
    if folded.ending is None:
        gone = folded.owner is not None and journal.is_dead(folded.owner)
        run.status = "crashed" if gone else "running"
    else:
        run.status = folded.ending.status
    run.metrics = folded.series.summaries()
    run.calls = folded.series.calls
    last_ns = folded.ending.time_ns if folded.ending else folded.last_ns
    if last_ns:
        run.ended = parse_time(format_time(last_ns))
        run.duration = round(max(last_ns / 1e9 - run.started.timestamp(), 0.0), 6)
    if folded.ending:
        run.error, run.exit_code = folded.ending.error, folded.ending.exit_code
    return run
