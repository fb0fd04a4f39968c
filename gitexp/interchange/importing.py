"""Make runs of what a ledger says of them: snapshot, facts, metrics, files. Twice adds nothing.

Each format has a reader that turns its rows into `ImportedRun`; `import_runs` writes them. A run
is known by its external id, which follows from the row alone (not from the file's path or the
row's number): a ledger that has grown adds its new rows. What is written of a run is a function of
its row and of the commit that it names, so a writer that died anywhere can be repeated, and clones
that import the same ledger make the same runs.

The order is that of any run: snapshots, handles, metrics, files, facts. Only facts make a run, so
what was interrupted is completed by the next import.
"""

from __future__ import annotations

import itertools
import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from gitexp.errors import ConflictError, ValueRejectedError
from gitexp.git.history import EMPTY_TREE
from gitexp.git.imported import IMPORTER, Code, Origin, find_code, write_snapshots
from gitexp.git.read import list_refs
from gitexp.git.refs import RUNS, is_run_id, run_ref
from gitexp.git.repository import Repository
from gitexp.git.write import RefChange, update_refs
from gitexp.index.database import Index
from gitexp.records.facts import (
    MAX_LINE_BYTES,
    EndFact,
    Fact,
    Failure,
    GitState,
    RemarkFact,
    RunFact,
    Status,
    Verdict,
    encode_fact,
)
from gitexp.records.nested import clean_text
from gitexp.records.series import SeriesEncoder, log_digest
from gitexp.records.times import format_time
from gitexp.records.values import plain
from gitexp.seal import MAX_SUMMARIES
from gitexp.store.batch import Batch, file_path, write_batch
from gitexp.store.shard import shard_name

Progress = Callable[[int, int], None]

_BY = "{} <{}>".format(*IMPORTER)
_BATCH = 10_000
"""Runs that are written at once: one commit of the shard, at about 10 KB of memory each."""
_MICROSECOND = 1_000
_LATEST_NS = 253_402_300_799 * 10**9
"""The end of the year 9999, after which there is no RFC 3339."""
_NAME_LENGTH = 200
_SUBJECT_LENGTH = 72


@dataclass(frozen=True)
class Tracked:
    """One call of ``track`` as another tool recorded it; the fields of a call in a journal."""

    time_ns: int
    value: Any
    note: str | None = None
    step: int | None = None


@dataclass(frozen=True)
class ImportedRun:
    """What a ledger says of one run.

    Values are checked and made plain when it is made.

    Attributes:
        content: What tells this run from any other: its row, in a form that does not depend on
            where the row stands.
        external_id: Name that the other system gives it, where it gives names that stay; it then
            takes the place of `content`.
        parameters: Nested as you like; `metadata` and `metrics` likewise.
        metrics: What came out, tracked as one call after `series`.
        series: What was tracked over the run.
        started_ns: Nanoseconds since 1970; None where the ledger does not say.
        duration: Seconds; None where the ledger does not say.
        keys: What other rows may call this one; their `parent` is one of these.
        parent: Key of another row, or the id of a run that is here.
        commit: As the ledger names it, short or whole, or any text.
        is_snapshot: The commit was made of the run's work tree, on top of ``HEAD``.
        by: Who ran it, as ``Name <email>``; None where that is not known.
        comment: What else was said of it when it was over.
        files: Kept with the run, by the name that they get there.

    Raises:
        ValueRejectedError: A value cannot be kept in a run.
    """

    name: str
    content: bytes = b""
    external_id: str | None = None
    description: str | None = None
    hypothesis: str | None = None
    family: str | None = None
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    series: Sequence[Tracked] = ()
    started_ns: int | None = None
    duration: float | None = None
    status: Status = "finished"
    verdict: Verdict | None = None
    error: Failure | None = None
    exit_code: int | None = None
    seed: int | None = None
    keys: tuple[str, ...] = ()
    parent: str | None = None
    commit: str | None = None
    is_snapshot: bool = False
    command: tuple[str, ...] = ()
    host: str | None = None
    by: str | None = None
    comment: str | None = None
    files: Mapping[str, bytes | Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("parameters", "metadata"):
            object.__setattr__(self, name, plain(getattr(self, name), name))
        for name in ("description", "hypothesis", "family", "comment"):
            text = getattr(self, name)
            object.__setattr__(self, name, None if text is None else clean_text(text))
        object.__setattr__(self, "name", clean_text(self.name)[:_NAME_LENGTH] or "unnamed")
        object.__setattr__(self, "tags", tuple(dict.fromkeys(map(clean_text, self.tags))))
        plain(self.metrics, "metrics")


@dataclass(frozen=True)
class Imported:
    """What an import did, or would do.

    Attributes:
        new: Ids of the runs that it made, in the ledger's order; empty in a dry run.
        missing: How many of the runs were not there before: those that `new` has or would have.
        there: Ids of the runs that were there already.
        withdrawn: Ids of runs that were removed here: they stay so.
        with_code: How many of the `missing` name a commit that is here.
        changed: How many of those name one that an earlier run of other words has: something
            else was run on it, so they are no replicates.
    """

    new: tuple[str, ...]
    missing: int
    there: tuple[str, ...]
    withdrawn: tuple[str, ...]
    with_code: int
    changed: int


def run_name(*texts: str | None) -> str:
    """Return a name for a run that has none: the beginning of the first text that says anything."""
    words = (" ".join((text or "").split()) for text in texts)
    return next((text[:_SUBJECT_LENGTH].strip() for text in words if text), "unnamed")


def row_content(fields: Mapping[str, str]) -> bytes:
    """Return a row's fields in the form that its external id is made of.

    Empty fields and the order of columns do not count: a column that a ledger gets later does not
    make other rows of its old ones.
    """
    filled = sorted((name, value) for name, value in fields.items() if value)
    return "\0".join(itertools.chain.from_iterable(filled)).encode("utf-8", "surrogatepass")


def external_ids(source: str, runs: Sequence[ImportedRun]) -> list[str]:
    """Return the external id of each run, in their order.

    It is ``<source>:<name>`` where the other system names its runs (``…#2`` for the second of one
    name), else ``<source>:<digest>`` of the row's content and its number among equal rows.
    """
    met: Counter[str | bytes] = Counter()
    ids: list[str] = []
    for run in runs:
        met[run.external_id or run.content] += 1
        number = met[run.external_id or run.content]
        if run.external_id:
            ids.append(clean_text(f"{source}:{run.external_id}{f'#{number}' * (number > 1)}"))
        else:
            digest = xxhash.xxh3_128_hexdigest(run.content + b"\0%d" % number)
            ids.append(f"{source}:{digest}")
    return ids


def import_runs(
    repository: Repository,
    runs: Sequence[ImportedRun],
    *,
    source: str,
    written_ns: int,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Imported:
    """Add runs to this clone's shard; those that are there already are left alone.

    A run whose commit is here gets its tree and descends from it; another one has the empty tree
    and no ``git``, and the commit's name stands in its metadata. So it does for a run that cannot
    have been that commit alone (`changed_since`); its snapshot is still the commit's.

    Args:
        repository: Where.
        runs: In the order in which they ran, as far as that is known.
        source: Name of the format, with which external ids begin.
        written_ns: When the ledger was written, in nanoseconds since 1970: runs whose time
            nothing tells are placed just before.
        dry_run: Write nothing.
        progress: Told how many of the runs are written.

    Raises:
        ConflictError: Others kept winning the race for the shard.
        GitexpError: Something could not be written; the next import completes it.
    """
    ids = external_ids(source, runs)
    codes = find_code(repository, (run.commit for run in runs if run.commit))
    known = _known(repository, ids)
    times = start_times(runs, codes, written_ns)
    missing = [i for i, external in enumerate(ids) if external not in known]
    changed = changed_since(runs, codes)
    counts = sum(runs[i].commit in codes for i in missing), sum(i in changed for i in missing)
    there = tuple(known[external] for external in ids if external in known)
    if dry_run or not missing:
        return Imported((), len(missing), there, (), *counts)
    writer = _Writer(repository, runs, ids, codes, changed, times, known)
    new, withdrawn = writer.write(missing, progress)
    return Imported(tuple(new), len(new), there, tuple(withdrawn), *counts)


def _known(repository: Repository, ids: Sequence[str]) -> dict[str, str]:
    """Return external id -> run id of those that are there."""

    def ask(db: sqlite3.Connection) -> dict[str, str]:
        sql = "SELECT id FROM run WHERE external = ?"
        found = ((external, db.execute(sql, [external]).fetchone()) for external in ids)
        return {external: row[0].hex() for external, row in found if row is not None}

    return Index(repository).ask(ask)


def changed_since(runs: Sequence[ImportedRun], codes: Mapping[str, Code]) -> dict[int, int]:
    """Return the runs that name a commit on which an earlier one did something else.

    Ledgers name ``HEAD`` for what was tried in the work tree. So of the runs on one commit with
    the same parameters the first one stands for it, and only those of the same words repeat it.

    Returns:
        Number of the run -> number of the first run on its commit.
    """
    first: dict[tuple[str, bytes], int] = {}
    changed: dict[int, int] = {}
    for i, run in enumerate(runs):
        code = codes.get(run.commit or "")
        if code is None or run.is_snapshot:
            continue
        parameters = msgspec.json.encode(run.parameters, order="sorted")
        j = first.setdefault((code.commit, parameters), i)
        if _words(runs[j]) != _words(run):
            changed[i] = j
    return changed


def _words(run: ImportedRun) -> str:
    return run.description or run.name


def start_times(
    runs: Sequence[ImportedRun], codes: Mapping[str, Code], written_ns: int
) -> list[int]:
    """Return when each run started, in nanoseconds since 1970.

    That is what the row says, however the clock jumped, a microsecond later for each row before it
    that says the same; else the time of its commit, or a microsecond after the row before it,
    whichever is later. Rows before the first that tells a time are placed just before that one;
    where none tells, all just before the ledger was written.
    """
    times: list[int | None] = []
    met: Counter[int] = Counter()
    for run in runs:
        before = times[-1] + _MICROSECOND if times and times[-1] is not None else None
        code = codes.get(run.commit or "")
        at_commit = None if code is None else code.seconds * 10**9
        derived = max((t for t in (before, at_commit) if t is not None), default=None)
        if run.started_ns is None:
            times.append(derived)
        else:
            times.append(run.started_ns + met[run.started_ns] * _MICROSECOND)
            met[run.started_ns] += 1
    first = next((i for i, time in enumerate(times) if time is not None), len(times))
    end = times[first] if first < len(times) else written_ns
    lead = [(end or 0) - (first - i) * _MICROSECOND for i in range(first)]
    known = [time for time in times if time is not None]
    return [min(max(time, 0), _LATEST_NS) for time in [*lead, *known]]


@dataclass(frozen=True)
class _Writer:
    """Writes those of the runs that are missing; the arguments of `import_runs`, looked up."""

    repository: Repository
    runs: Sequence[ImportedRun]
    ids: Sequence[str]
    codes: Mapping[str, Code]
    changed: Mapping[int, int]
    times: Sequence[int]
    known: Mapping[str, str]

    def write(
        self, missing: Sequence[int], progress: Progress | None
    ) -> tuple[list[str], list[str]]:
        """Write runs by their numbers; return the ids of the new ones, and of withdrawn ones."""
        origins = (self._origin(i) for i in missing)
        snapshots = dict(zip(missing, write_snapshots(self.repository, origins), strict=True))
        gone = _noted(self.repository, list(snapshots.values()))
        run_ids = [snapshots.get(i) or self.known.get(name) for i, name in enumerate(self.ids)]
        bases = {i: run_ids[j] for i, j in self.changed.items()}
        parents = {i: base for i, base in bases.items() if base is not None}
        parents |= _parents(self.runs, run_ids)
        fresh = [i for i in missing if snapshots[i] not in gone]
        for done in range(0, len(fresh), _BATCH):
            if progress is not None:
                progress(done, len(fresh))
            chunk = {i: snapshots[i] for i in fresh[done : done + _BATCH]}
            _create_handles(self.repository, list(chunk.values()))
            self._write_batch(chunk, parents)
        if progress is not None:
            progress(len(fresh), len(fresh))
        return [snapshots[i] for i in fresh], sorted(gone)

    def _origin(self, i: int) -> Origin:
        """Return what the snapshot of a run is made of. It must depend on the row alone."""
        run, code = self.runs[i], self.codes.get(self.runs[i].commit or "")
        nonce = xxhash.xxh3_128_hexdigest(self.ids[i].encode())[:16]
        seconds = (run.started_ns or 0) // 10**9
        if code is None:
            return Origin(run.name, nonce, EMPTY_TREE, None, seconds, dirty=False)
        parent = code.parent if run.is_snapshot else code.commit
        seconds = seconds or code.seconds
        dirty = run.is_snapshot and code.changes
        return Origin(run.name, nonce, code.tree, parent, seconds, dirty=dirty)

    def _write_batch(self, chunk: Mapping[int, str], parents: Mapping[int, str]) -> None:
        batch = Batch()
        for i, run_id in chunk.items():
            run = self.runs[i]
            facts, lines = self._records(i, parents.get(i))
            batch.facts[run_id] = [_line(fact, run.name) for fact in facts]
            if lines:
                batch.metrics[run_id] = lines
            files = {file_path(run_id, name): content for name, content in run.files.items()}
            batch.files.update(files)
        write_batch(self.repository, shard_name(self.repository), batch)

    def _records(self, i: int, parent: str | None) -> tuple[list[Fact], list[bytes]]:
        """Return the facts of a run and the lines of its metric log."""
        run, started = self.runs[i], self.times[i]
        ended = min(started + round((run.duration or 0.0) * 1e9), _LATEST_NS)
        series = SeriesEncoder()
        for call in run.series:
            series.add(call.time_ns, call.value, call.note, call.step)
        if run.metrics:
            series.add(ended, run.metrics, None, None)
        series.flush()
        facts: list[Fact] = [self._run_fact(i, parent), _end_fact(run, ended, series)]
        if run.verdict is not None or run.comment is not None:
            by = run.by or _BY
            remark = RemarkFact(
                time=format_time(ended), by=by, verdict=run.verdict, comment=run.comment
            )
            facts.append(remark)
        return facts, series.lines

    def _run_fact(self, i: int, parent: str | None) -> RunFact:
        run, code = self.runs[i], self.codes.get(self.runs[i].commit or "")
        metadata = dict(run.metadata)
        if code is not None and i in self.changed:
            metadata["commit"], code = code.commit, None
        elif code is None and run.commit is not None:
            metadata["commit"] = clean_text(run.commit)
        if parent is None and run.parent is not None:
            metadata["parent"] = clean_text(run.parent)
        return RunFact(
            time=format_time(self.times[i]),
            by=run.by or _BY,
            name=run.name,
            description=run.description,
            hypothesis=run.hypothesis,
            family=run.family,
            tags=run.tags,
            parameters=run.parameters,
            metadata=metadata or None,
            seed=run.seed,
            parent=parent,
            external_id=self.ids[i],
            command=tuple(map(clean_text, run.command)),
            git=None if code is None else _state(run, code),
            host=run.host,
        )


def _parents(runs: Sequence[ImportedRun], run_ids: Sequence[str | None]) -> dict[int, str]:
    """Return the parents of runs by their numbers: of rows of one key, the last before it."""
    anywhere = {key: found for run, found in zip(runs, run_ids, strict=True) for key in run.keys}
    before: dict[str, str | None] = {}
    parents: dict[int, str] = {}
    for i, (run, run_id) in enumerate(zip(runs, run_ids, strict=True)):
        if run.parent is not None:
            found = before.get(run.parent) or anywhere.get(run.parent)
            found = run.parent if found is None and is_run_id(run.parent) else found
            if found is not None and found != run_id:
                parents[i] = found
        before |= dict.fromkeys(run.keys, run_id)
    return parents


def _state(run: ImportedRun, code: Code) -> GitState:
    if run.is_snapshot:
        return GitState(head=code.parent, branch=None, dirty=code.changes)
    return GitState(head=code.commit, branch=None, dirty=False)


def _end_fact(run: ImportedRun, ended: int, series: SeriesEncoder) -> EndFact:
    return EndFact(
        time=format_time(ended),
        by=run.by or _BY,
        status=run.status,
        exit_code=run.exit_code,
        error=run.error,
        duration=run.duration or 0.0,
        calls=series.calls,
        metrics=dict(itertools.islice(series.summaries().items(), MAX_SUMMARIES)),
        digest=log_digest(series.lines) if series.lines else None,
    )


def _line(fact: Fact, name: str) -> bytes:
    line = encode_fact(fact)
    if len(line) > MAX_LINE_BYTES:
        raise ValueRejectedError(
            f"What the ledger says of run {name!r} takes {len(line) / 2**20:.0f} MiB; "
            "the limit is 16.",
            "Take that row out of the ledger.",
        )
    return line


def _noted(repository: Repository, run_ids: Sequence[str]) -> set[str]:
    """Return those of the runs that facts speak of though they are not to be seen: withdrawn."""

    def ask(db: sqlite3.Connection) -> set[str]:
        sql = "SELECT 1 FROM note WHERE run = ?"
        return {r for r in run_ids if db.execute(sql, [bytes.fromhex(r)]).fetchone()}

    return Index(repository).ask(ask)


def _create_handles(repository: Repository, run_ids: Sequence[str]) -> None:
    """Create the handles that are missing.

    Raises:
        ConflictError: Another process that imports the same goes on making them.
    """
    try:
        _create_missing(repository, run_ids)
    except ConflictError:
        _create_missing(repository, run_ids)


def _create_missing(repository: Repository, run_ids: Sequence[str]) -> None:
    there = list_refs(repository, RUNS)
    missing = [run_id for run_id in run_ids if run_ref(run_id) not in there]
    update_refs(repository, RUNS, [RefChange(run_ref(r), None, r) for r in missing])
