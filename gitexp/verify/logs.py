"""What runs keep beside facts: metric logs against their digests, files, environment records."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import xxhash

from gitexp.git import refs
from gitexp.git.objects import read_objects
from gitexp.records.facts import BadLineError, EndFact, Summary
from gitexp.records.series import Call, SeriesEncoder, calls, log_digest
from gitexp.store.batch import environment_path, split_lines
from gitexp.store.union import as_tombstone
from gitexp.verify.facts import Told, bad_line, unread_note
from gitexp.verify.findings import REPAIR, Finding
from gitexp.verify.store import Note, Store, text

_CLOSE = 1e-9
"""Relative; sums of floats depend on their order."""


def check_logs(store: Store, told: Mapping[str, Told]) -> Iterator[Finding]:
    """Yield what is wrong with metric logs, and which are not there."""
    logged: set[str] = set()
    for run, notes in store.notes(refs.METRICS):
        logged.add(run)
        yield from _log(run, notes, told.get(run))
    for run, said in told.items():
        end = said.end
        if end is not None and end.digest and run not in logged and not said.withdrawn:
            message = f"The metric log of run {run[:12]} is missing."
            remedy = f"{REPAIR}, which looks in the history and in remotes."
            yield Finding("log", "lost", message, remedy, True, said.ref, run)


def _log(run: str, notes: Sequence[Note], said: Told | None) -> Iterator[Finding]:
    lines: set[bytes] = set()
    tracked: dict[tuple[int, int, int], Call] = {}
    whole = True
    for note in notes:
        if note.problem:
            whole = False
            yield unread_note(store_word="metrics", run=run, note=note)
        for number, line in enumerate(split_lines(note.content), 1):
            if line in lines:
                continue
            lines.add(line)
            if as_tombstone(line) is not None:
                return  # what this log held was collected
            try:
                tracked |= {(c.number, c.time_ms, c.step): c for c in calls([line])}
            except (BadLineError, RecursionError) as error:
                whole = False
                yield bad_line(run, note, number, str(error) or "nested too deep")
    end = said.end if said is not None else None
    if whole and end is not None and said is not None and not said.collected:
        yield from _against_end(run, said, end, lines, [tracked[key] for key in sorted(tracked)])


def _against_end(
    run: str, said: Told, end: EndFact, lines: set[bytes], tracked: Sequence[Call]
) -> Iterator[Finding]:
    """Compare a log with what was said of it when the run ended."""
    if len(said.ends) > 1:
        return  # sealed twice: the log holds what both knew
    if end.digest and log_digest(lines) != end.digest:
        message = f"The metric log of run {run[:12]} is not the one that was sealed."
        remedy = f"{REPAIR}, which looks for its lines in the history and in remotes."
        yield Finding("digest", "damaged", message, remedy, True, said.ref, run)
    elif not end.digest:
        yield from _summaries(run, said, end, tracked)


def _summaries(run: str, said: Told, end: EndFact, tracked: Sequence[Call]) -> Iterator[Finding]:
    """Compare summaries with the log where no digest vouches for it."""
    if end.calls and end.calls != len(tracked):
        message = f"Run {run[:12]} tracked {end.calls} times; its log has {len(tracked)} calls."
        remedy = "Look at both with 'git exp show' and 'git exp metrics'."
        yield Finding("summary", "damaged", message, remedy, ref=said.ref, run=run)
    series = SeriesEncoder()
    for call in tracked:
        series.add(call.time_ms * 1_000_000, call.value, call.note, call.step)
    series.flush()
    found = series.summaries()
    for path, summary in end.metrics.items():
        if path not in found or not _is_like(found[path], summary):
            message = f"The summary of {path} of run {run[:12]} is not that of its log."
            remedy = f"The log counts: 'git exp metrics {run[:12]}' shows it."
            yield Finding("summary", "damaged", message, remedy, ref=said.ref, run=run)


def _is_like(a: Summary, b: Summary) -> bool:
    if a.mean is not None and b.mean is not None:
        same_mean = math.isclose(a.mean, b.mean, rel_tol=_CLOSE, abs_tol=_CLOSE)
    else:
        same_mean = a.mean == b.mean
    mine, other = ((s.first, s.last, s.count, s.min, s.max) for s in (a, b))
    return same_mean and mine == other


def check_files(store: Store, told: Mapping[str, Told]) -> Iterator[Finding]:
    """Yield which files kept with runs cannot be read, and wrong or missing environments."""
    known: set[str] = set()
    for shard in store.shards.values():
        files = [] if shard.is_notes or shard.is_library else shard.files
        for file, found in zip(
            files, read_objects(store.repository, [f.oid for f in files]), strict=True
        ):
            path = text(file.path)
            if found.problem:
                message = f"The object {file.oid[:12]} of a file {found.problem}."
                run = (
                    path[:41].replace("/", "") if refs.is_run_id(path[:41].replace("/", "")) else ""
                )
                yield Finding("file", "lost", message, f"{REPAIR}.", True, shard.ref, run, path)
            elif path.startswith("environments/"):
                known.add(path)
                if environment_path(xxhash.xxh3_128(found.content).hexdigest()) != path:
                    message = "The environment record is not the one that its name says."
                    remedy = "Another clone may have it: pull there and here, and compare."
                    yield Finding(
                        "environment", "damaged", message, remedy, ref=shard.ref, path=path
                    )
    yield from _missing_environments(told, known)


def _missing_environments(told: Mapping[str, Told], known: set[str]) -> Iterator[Finding]:
    missing: dict[str, list[str]] = {}
    for run, said in told.items():
        for digest in () if said.withdrawn else said.environments:
            if environment_path(digest) not in known:
                missing.setdefault(digest, []).append(run)
    for digest, runs in sorted(missing.items()):
        others = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
        message = f"The environment record of run {runs[0][:12]}{others} is missing."
        remedy = f"{REPAIR}, or 'git exp pull'."
        ref, path = told[runs[0]].ref, environment_path(digest)
        yield Finding("environment", "lost", message, remedy, True, ref, runs[0], path)
