"""History: no line and no file that any commit of a shard ever had is gone from it.

A shard only grows, so whatever a commit took away or replaced must be in the present state, at
whatever place; but for what was collected (docs/format.md, "Removal"). So must be what was in the
state that the index reflects: it tells of a ref that was set back, or is gone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from gitexp.errors import GitCommandError
from gitexp.git import refs
from gitexp.git.changes import Change, changes
from gitexp.git.objects import GONE, read_objects
from gitexp.library.database import NAME as LIBRARY_INDEX
from gitexp.store.batch import split_lines
from gitexp.store.read import noted_run
from gitexp.store.union import REMOVED, is_collected
from gitexp.verify.facts import Told
from gitexp.verify.findings import REPAIR, Finding
from gitexp.verify.index import remembered
from gitexp.verify.store import Shard, Store, is_ours, notes_by_run, read_shard, text


class LostLines(NamedTuple):
    """Lines that the history of a shard has and its present state has not.

    Attributes:
        run: That they are about; of the library the path that they stand at.
        commit: The latest that took some of them away; one that has them, where the shard does
            not come from it.
    """

    ref: str
    run: str
    commit: str
    lines: list[bytes]


class LostFile(NamedTuple):
    """A file that the history of a files shard has and its present state has not.

    Attributes:
        oid: Of what it held.
        replaced: There is another content at its path now.
    """

    ref: str
    path: bytes
    commit: str
    oid: str
    replaced: bool


def check_history(store: Store, told: Mapping[str, Told]) -> Iterator[Finding]:
    """Yield what got lost on the way to the present state of each shard."""
    for shard in known_shards(store):
        if shard.is_library:
            for lost in lost_library_lines(store, shard):
                yield _lines_finding(lost)
        elif shard.is_notes:
            for lost in lost_lines(store, shard, collected(told)):
                yield _lines_finding(lost)
        else:
            for file in lost_files(store, shard, collected(told)):
                yield _file_finding(file)


def known_shards(store: Store) -> list[Shard]:
    """Return all shards, and as empty ones those that are gone and that the index remembers."""
    gone = [ref for ref in _reflected(store) if ref not in store.refs and is_ours(ref)]
    return [*store.shards.values(), *(Shard(ref, "", [], []) for ref in gone)]


def _reflected(store: Store) -> dict[str, str]:
    """Return the tips of shards that the indexes reflect."""
    sql = "SELECT ref, tip FROM shard"
    rows = remembered(store.repository, sql)
    rows += remembered(store.repository, sql, name=LIBRARY_INDEX)
    return {ref: tip for ref, tip in rows if refs.is_run_id(tip)}


def collected(told: Mapping[str, Told]) -> set[str]:
    """Return the runs whose lines and files were dropped on purpose."""
    return {run for run, said in told.items() if said.collected}


def _lines_finding(lost: LostLines) -> Finding:
    count = "1 line" if len(lost.lines) == 1 else f"{len(lost.lines)} lines"
    if refs.is_run_id(lost.run):
        message = f"{count} of run {lost.run[:12]} got lost: see commit {lost.commit[:12]}."
        return Finding("history", "repairable", message, f"{REPAIR}.", True, lost.ref, lost.run)
    message = f"{count} got lost: see commit {lost.commit[:12]}."
    return Finding("history", "repairable", message, f"{REPAIR}.", True, lost.ref, path=lost.run)


def _file_finding(lost: LostFile) -> Finding:
    ref, path = lost.ref, text(lost.path)
    if lost.replaced:
        message = f"Commit {lost.commit[:12]} put another content in place of the file's."
        remedy = f"The first content is 'git show {lost.oid[:12]}'; files do not change."
        return Finding("history", "damaged", message, remedy, ref=ref, path=path)
    message = f"The file got lost in commit {lost.commit[:12]}."
    return Finding("history", "repairable", message, f"{REPAIR}.", True, ref, path=path)


def lost_lines(store: Store, shard: Shard, without: Collection[str]) -> Iterator[LostLines]:
    """Yield the lost lines of each run, but for the runs in ``without``."""
    dropped: dict[str, dict[str, Change]] = {}
    for change in _changes(store, shard):
        run = noted_run(change.path)
        if run is not None and run not in without:
            dropped.setdefault(run, {}).setdefault(change.old, change)
    places = dict(notes_by_run([shard])) if dropped else {}
    now = {run: [file.oid for _, file in places.get(run, ())] for run in dropped}
    oids = [oid for run, old in dropped.items() for oid in (*now[run], *old)]
    contents = (found.content for found in read_objects(store.repository, oids))
    for run, old in dropped.items():
        present = b"\n".join(next(contents) for _ in now[run])
        former = [(change, next(contents)) for change in old.values()]
        gone = [(change, blob) for change, blob in former if blob not in present]
        lines = set(split_lines(present)) if gone else set()
        if is_collected(lines):  # here first: a collection that died has not come to the facts
            continue
        lost = {line: change for change, blob in gone for line in split_lines(blob)}
        missing = {line: change for line, change in lost.items() if line not in lines}
        if missing:
            commit = next(iter(missing.values())).commit
            yield LostLines(shard.ref, run, commit, sorted(missing))


def lost_library_lines(store: Store, shard: Shard) -> Iterator[LostLines]:
    """Yield the lost lines of each file of a library shard."""
    dropped: dict[bytes, dict[str, Change]] = {}
    for change in _changes(store, shard):
        dropped.setdefault(change.path, {}).setdefault(change.old, change)
    now = {file.path: file.oid for file in shard.files}
    for path, old in dropped.items():
        oids = [*old, *([now[path]] if path in now else [])]
        contents = [found.content for found in read_objects(store.repository, oids)]
        present = set(split_lines(contents[-1])) if path in now else set()
        former = zip(old.values(), contents, strict=False)
        lost = {line: change for change, blob in former for line in split_lines(blob)}
        missing = {line: change for line, change in lost.items() if line not in present}
        if missing:
            commit = next(iter(missing.values())).commit
            yield LostLines(shard.ref, text(path), commit, sorted(missing))


def lost_files(store: Store, shard: Shard, without: Collection[str]) -> Iterator[LostFile]:
    """Yield the lost files, but for those of the runs in ``without``."""
    present = {file.path: file.oid for file in shard.files}
    prefix = REMOVED.encode()
    removed = {noted_run(p.removeprefix(prefix)) for p in present if p.startswith(prefix)}
    seen: set[bytes] = set()
    for change in _changes(store, shard):
        run = text(change.path[:41]).replace("/", "")
        if change.path in seen or run in removed or run in without:
            continue
        if change.path not in present:
            seen.add(change.path)
            yield LostFile(shard.ref, change.path, change.commit, change.old, replaced=False)
        elif not change.merge and change.new and present[change.path] != change.old:
            seen.add(change.path)
            yield LostFile(shard.ref, change.path, change.commit, change.old, replaced=True)


def _changes(store: Store, shard: Shard) -> Iterator[Change]:
    """Yield what the commits of a shard took away, as far back as git can read them."""
    if any(item.problem not in GONE for item in shard.unread):
        return  # a tree that is made to be endless: git would not come back from it
    with contextlib.suppress(GitCommandError):  # what stopped git is a finding of another check
        yield from changes(store.repository, shard.tip) if shard.tip else ()
    known = _reflected(store).get(shard.ref, shard.tip)
    if known != shard.tip:
        there = {file.oid for file in shard.files}
        for file in read_shard(store.repository, shard.ref, known).files:
            if file.oid not in there:
                yield Change(known, False, file.path, file.oid, None)
