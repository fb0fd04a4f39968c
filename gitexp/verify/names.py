"""Refs: their names, what they name, their files, and locks that nobody holds any more."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from gitexp.git import refs
from gitexp.verify.findings import REPAIR, Finding
from gitexp.verify.store import Store, is_ours

STALE_SECONDS = 60.0
"""git holds the lock of a ref for milliseconds."""

KEPT = "refs/exprag-local/damaged/"
"""Where a repair keeps alive what a ref named that it had to change (local, never shared)."""

_KNOWN = (refs.RUNS, refs.FACTS, refs.METRICS, refs.FILES, refs.LIBRARY, refs.CODE)
_LOCAL = (refs.REMOTES, KEPT, "refs/exprag-local/saved/")
_NAMES = re.compile(rb"[0-9a-f]{40}\s|ref: ")
"""What the file of a ref begins with."""

_ROOTS = ("refs/exprag", "refs/notes")


def check_names(store: Store) -> Iterator[Finding]:
    """Yield what is wrong with the refs."""
    for ref, oid in store.refs.items():
        yield from _name(ref)
        if ref.startswith(refs.RUNS):
            yield from _handle(store, ref, oid)
    for ref, path in unreadable_refs(store).items():
        message = "The ref's file names no object, as a crash of the machine may leave it."
        yield Finding("ref", "lost", message, f"{REPAIR}.", True, ref, _run(ref), str(path))
    for path in stale_locks(store):
        message = f"A lock has stood for more than {STALE_SECONDS:.0f} seconds; it stops writers."
        remedy = f"If no git process is running, delete it, or {REPAIR[0].lower()}{REPAIR[1:]}."
        yield Finding("lock", "repairable", message, remedy, True, path=str(path))


def _name(ref: str) -> Iterator[Finding]:
    if ref.startswith(_LOCAL):
        return
    prefix = next((known for known in _KNOWN if ref.startswith(known)), None)
    if prefix is None:
        message = "This ref is of no kind that this gitexp knows; it is left alone."
        yield Finding("ref", "note", message, ref=ref)
        return
    name = ref.removeprefix(prefix)
    valid = refs.is_run_id(name) if prefix == refs.RUNS else refs.is_shard_name(name)
    if not valid:
        kind = "run" if prefix == refs.RUNS else "shard"
        remedy = "Rename it with 'git update-ref' if it holds runs of yours, or delete it."
        yield Finding("ref", "damaged", f"The name of no {kind} ends so.", remedy, ref=ref)


def _handle(store: Store, ref: str, oid: str) -> Iterator[Finding]:
    run = ref.removeprefix(refs.RUNS)
    if not refs.is_run_id(run):
        return
    there = store.snapshots[run].kind == "commit"
    if oid != run:
        message = f"The handle of run {run[:12]} names {oid[:12]}, another object."
        severity, remedy = ("repairable", f"{REPAIR}.") if there else ("lost", f"{REPAIR}.")
        yield Finding("handle", severity, message, remedy, True, ref, run)  # type: ignore[arg-type]


def _run(ref: str) -> str:
    name = ref.removeprefix(refs.RUNS)
    return name if refs.is_run_id(name) else ""


def unreadable_refs(store: Store) -> dict[str, Path]:
    """Return the refs of ours whose files git cannot make sense of, with the files."""
    found = {}
    for path in _files(store):
        ref = path.relative_to(store.repository.common_dir).as_posix()
        local = ref.startswith(_LOCAL)
        if path.suffix != ".lock" and ref not in store.refs and not local and _is_void(path):
            found[ref] = path
    return found


def _is_void(path: Path) -> bool:
    """Say whether a ref's file names nothing; one that came or went just now is none of these."""
    try:
        return _NAMES.match(path.read_bytes()) is None
    except FileNotFoundError:
        return False


def stale_locks(store: Store) -> list[Path]:
    """Return the lock files of refs of ours that have stood too long."""
    oldest = time.time() - STALE_SECONDS
    return [p for p in _files(store) if p.suffix == ".lock" and _changed(p) < oldest]


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()  # its holder let go


def _files(store: Store) -> Iterator[Path]:
    top = store.repository.common_dir
    for root in _ROOTS:
        for path in sorted((top / root).rglob("*")):
            if path.is_file() and is_ours(path.relative_to(top).as_posix()):
                yield path
