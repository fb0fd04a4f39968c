"""Repairs: whatever can be set right without losing anything, in an order that builds up.

First what stops git itself (locks, files that it derives), then objects, then refs and shards,
then what stands in them, and the index last. Nothing is deleted that is the only copy of
anything: a damaged file is kept in ``<common dir>/exprag/damaged``, what a ref named that has to
change is kept alive or written down there, and lines and files are only ever added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from gitexp import seal
from gitexp.errors import GitexpError
from gitexp.git import refs
from gitexp.git.objects import read_objects
from gitexp.git.repository import Repository
from gitexp.git.rescue import move_refs, set_aside
from gitexp.git.write import create_ref
from gitexp.index.database import Index
from gitexp.library.database import NAME as LIBRARY_INDEX
from gitexp.library.library import Library
from gitexp.store.batch import Batch, write_batch
from gitexp.verify.check import Progress, verify
from gitexp.verify.findings import Finding, Repaired, Report
from gitexp.verify.history import (
    collected,
    known_shards,
    lost_files,
    lost_library_lines,
    lost_lines,
)
from gitexp.verify.index import index_file
from gitexp.verify.mend import mend_ref, mend_shards, read_told, record_ref
from gitexp.verify.names import KEPT, stale_locks, unreadable_refs
from gitexp.verify.rescue import rescue_objects
from gitexp.verify.runs import unheld, unreached
from gitexp.verify.store import SHARDS, Store, text
from gitexp.verify.trees import split_notes

_OBJECTS = frozenset(
    {"object", "shard", "note", "file", "snapshot", "facts", "handle", "log", "digest"}
)
"""Findings for which an object that is missing may be the reason, or the cure."""


def repair(
    repository: Repository, report: Report, progress: Progress | None = None
) -> tuple[list[Repaired], Report]:
    """Set right what can be, and look again.

    Args:
        repository: What was looked at.
        report: What was found.
        progress: As for `verify`.

    Returns:
        What was done, and what is found now.
    """
    done: list[Repaired] = []
    found = {finding.check for finding in report.findings if finding.repairable}
    for checks, step in _STEPS:
        if found & checks:
            try:
                done += step(repository, report.findings)
            except (GitexpError, OSError) as error:
                done.append(Repaired(min(checks & found), f"{error}".rstrip(".") + ".", done=False))
    return done, verify(repository, progress)


def _remove_locks(repository: Repository, _: Sequence[Finding]) -> Iterator[Repaired]:
    for path in stale_locks(Store(repository)):
        path.unlink(missing_ok=True)
        yield Repaired("lock", f"The lock {path} is removed.")


def _remove_derived(repository: Repository, findings: Sequence[Finding]) -> Iterator[Repaired]:
    for finding in findings:
        if finding.check == "derived":
            kept = set_aside(repository, Path(finding.path))
            yield Repaired("derived", f"{finding.path} is out of git's way: it is kept as {kept}.")


def _rescue(repository: Repository, findings: Sequence[Finding]) -> Iterator[Repaired]:
    snapshots = [f.run for f in findings if f.check == "snapshot" and f.repairable]
    yield from rescue_objects(repository, list(dict.fromkeys(snapshots)))


def _mend_refs(repository: Repository, _: Sequence[Finding]) -> Iterator[Repaired]:
    """Take ref files that say nothing out of the way; handles are made again."""
    lost = unreadable_refs(Store(repository))
    for ref, path in lost.items():
        kept = set_aside(repository, path)
        yield Repaired("ref", f"The ref's file is kept as {kept}.", ref=ref)
    repository.forget_objects()
    for ref in lost:
        if ref.startswith(SHARDS):
            yield mend_ref(repository, ref)
    yield from _mend_handles(repository)


def _mend_handles(repository: Repository) -> Iterator[Repaired]:
    store = Store(repository)
    for ref, oid in store.below(refs.RUNS).items():
        run = ref.removeprefix(refs.RUNS)
        if oid != run and refs.is_run_id(run) and store.snapshots[run].kind == "commit":
            (other,) = read_objects(repository, [oid])
            if other.problem:
                record_ref(repository, ref, oid)
            else:
                create_ref(repository, KEPT + oid, oid)
            move_refs(repository, f"update {ref} {run} {oid}")
            if other.kind == "commit" and not _is_kept_alone(repository, oid):
                move_refs(repository, f"delete {KEPT}{oid} {oid}")
            message = f"The handle of run {run[:12]} names its snapshot again, not {oid[:12]}."
            yield Repaired("handle", message, ref=ref, run=run)


def _mend_shards(repository: Repository, _: Sequence[Finding]) -> Iterator[Repaired]:
    yield from mend_shards(repository)


def _seal(repository: Repository, _: Sequence[Finding]) -> Iterator[Repaired]:
    for result in seal.recover(repository):
        run = result.run_id
        if result.error is None:
            yield Repaired("journal", f"Run {run[:12]} is sealed as {result.status}.", run=run)
        else:
            message = f"Run {run[:12]} could not be sealed: {result.error}"
            yield Repaired("journal", message, done=False, run=run)


def _restore_lines(repository: Repository, _: Sequence[Finding]) -> Iterator[Repaired]:
    """Bring back what the history of the shards has and their present state has not."""
    store = Store(repository)
    without = collected(read_told(store))
    for shard in known_shards(store):
        prefix = next(prefix for prefix in SHARDS if shard.ref.startswith(prefix))
        name = shard.ref.removeprefix(prefix)
        if shard.is_library:
            said = {lost.run: lost.lines for lost in lost_library_lines(store, shard)}
            batch = Batch(library=said)
            what = f"{sum(map(len, said.values()))} lines of the library"
        elif shard.is_notes:
            lines = {lost.run: lost.lines for lost in lost_lines(store, shard, without)}
            batch = Batch(facts=lines) if prefix == refs.FACTS else Batch(metrics=lines)
            what = f"{sum(map(len, lines.values()))} lines of {len(lines)} runs"
        else:
            lost = [file for file in lost_files(store, shard, without) if not file.replaced]
            contents = read_objects(repository, [file.oid for file in lost])
            pairs = zip(lost, contents, strict=True)
            batch = Batch(files={text(f.path): c.content for f, c in pairs if not c.problem})
            what = f"{len(batch.files)} files"
        if batch != Batch():
            write_batch(repository, name, batch)
            message = f"Brought back out of the shard's history: {what}."
            yield Repaired("history", message, ref=shard.ref)


def _unite_notes(repository: Repository, _: Sequence[Finding]) -> Iterator[Repaired]:
    split: dict[str, list[str]] = {}
    for ref, run in split_notes(Store(repository)):
        split.setdefault(ref, []).append(run)
    for ref, runs in split.items():
        nothing: dict[str, list[bytes]] = {run: [] for run in runs}
        facts = ref.startswith(refs.FACTS)
        name = ref.removeprefix(refs.FACTS if facts else refs.METRICS)
        batch = Batch(facts=nothing) if facts else Batch(metrics=nothing)
        write_batch(repository, name, batch)
        yield Repaired("places", f"The notes of {len(runs)} runs stand in one place each.", ref=ref)


def _restore_environments(
    repository: Repository, findings: Sequence[Finding]
) -> Iterator[Repaired]:
    """Take environment records over that this clone still has in its own folder."""
    for finding in findings:
        if finding.check != "environment" or not finding.repairable:
            continue
        record = repository.home / finding.path
        shard = finding.ref.removeprefix(refs.FACTS)
        if record.is_file():
            write_batch(repository, shard, Batch(files={finding.path: record}))
            yield Repaired("environment", f"{finding.path} was found in {record.parent}.")


def _create_handles(repository: Repository, _: Sequence[Finding]) -> Iterator[Repaired]:
    store = Store(repository)
    told = read_told(store)
    handles = {ref.removeprefix(refs.RUNS) for ref in store.below(refs.RUNS)}
    for run in unheld(store, told, handles):
        seal.create_handle(repository, run)
        yield Repaired("handle", f"Run {run[:12]} has a handle again.", run=run)


def _rebuild_index(repository: Repository, findings: Sequence[Finding]) -> Iterator[Repaired]:
    """Make the index anew; where something was lost, the old one may know more: it is kept."""
    path = index_file(repository)
    if path is not None and any(finding.severity == "lost" for finding in findings):
        kept = set_aside(repository, path)
        yield Repaired("index", f"The index as it was is kept as {kept}.")
    index = Index(repository, anew=True)
    yield Repaired("index", f"The index {index.path} is made anew.")
    if index_file(repository, LIBRARY_INDEX) is not None:
        with closing(Library(repository)) as library:
            library.reindex()
            yield Repaired("index", f"The index {library.index_path} is made anew.")


def _is_kept_alone(repository: Repository, oid: str) -> bool:
    """Say whether nothing but what a repair keeps alive reaches a commit."""
    return oid in unreached(Store(repository), [oid], f"--exclude={KEPT}*")


_Step = Callable[[Repository, Sequence[Finding]], Iterator[Repaired]]

_STEPS: tuple[tuple[frozenset[str], _Step], ...] = (
    (frozenset({"lock"}), _remove_locks),
    (frozenset({"derived"}), _remove_derived),
    (_OBJECTS, _rescue),
    (frozenset({"ref", "handle"}), _mend_refs),
    (_OBJECTS, _mend_shards),
    (frozenset({"journal"}), _seal),
    (frozenset({"history", "log", "digest"}), _restore_lines),
    (frozenset({"places"}), _unite_notes),
    (frozenset({"environment"}), _restore_environments),
    (frozenset({"handle", "object", "ref", "shard", "snapshot"}), _create_handles),
    (frozenset({"index", "note", "object", "shard"}), _rebuild_index),
)
"""What is done for which findings, in this order."""
