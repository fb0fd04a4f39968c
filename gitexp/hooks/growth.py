"""Has a shard only grown? Its old and new trees are compared; the cost follows what is new.

A shard is a set of lines for each run or path, or of files for each path; nothing of it may go,
save by collection (docs/format.md, "Removal"). What comes new must be what the format says.
"""

from __future__ import annotations

import collections
import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

from gitexp.git.history import EMPTY_TREE
from gitexp.git.read import list_tree, read_blobs
from gitexp.git.received import Change, object_heads, tree_changes
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple
from gitexp.records.facts import (
    BadLineError,
    OpaqueFact,
    TombstoneFact,
    decode_fact,
)
from gitexp.records.schema import SCHEMA
from gitexp.records.series import decode_line
from gitexp.store.batch import note_path
from gitexp.store.library import decode_file, is_library_path
from gitexp.store.problem import Problem
from gitexp.store.read import note_lines, noted_run
from gitexp.store.union import REMOVED, as_tombstone

MAX_LINES = 1 << 20
"""Lines of a note: a metric log of so many would be of calls that have no two alike in a row."""

_FILE = "100644"
_MAX_PATH_BYTES = 4096
_OF_A_RUN = re.compile(r"[0-9a-f]{2}/[0-9a-f]{38}/.+")
_ENVIRONMENT = re.compile(r"environments/[0-9a-f]{32}\.json")
_MARKER = re.compile(REMOVED + r"[0-9a-f]{2}/[0-9a-f]{38}")
_REFUSED_PARTS = frozenset({"", ".", "..", ".git", "git~1"})

CheckLine = Callable[[bytes], object]
"""Raises BadLineError where a line is not what the format says."""


class Finding(NamedTuple):
    """Why a push is refused: the ref, the path in its tree (empty: none in particular), and why."""

    ref: str
    path: str
    reason: str

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.ref, self.path))) + f": {self.reason}"


class Step(NamedTuple):
    """A ref of a shard, from its old commit (None: it is new) to its new one."""

    ref: str
    old: str | None
    new: str


def check_fact_line(line: bytes) -> None:
    """Accept facts, and lines of unknown kinds or newer schemas.

    Raises:
        BadLineError: It is damaged.
    """
    decode_fact(line)


def check_metric_line(line: bytes) -> None:
    """Accept series, collected tombstones, and lines of unknown kinds or newer schemas.

    Raises:
        BadLineError: It is damaged, or a fact that does not belong here.
    """
    try:
        decode_line(line)
    except BadLineError:
        fact = decode_fact(line)
        newer = isinstance(fact, OpaqueFact) and (fact.kind != "series" or fact.schema > SCHEMA)
        if not newer and not isinstance(fact, TombstoneFact):
            raise


def check_notes(
    repository: Repository, step: Step, check_line: CheckLine, max_blob: int
) -> Iterator[Finding]:
    """Yield what is wrong with the new state of a shard of notes."""
    changes = tree_changes(repository, step.old or EMPTY_TREE, step.new)
    bad = {}
    by_run: dict[str, list[Change]] = {}
    for change in changes:
        run = noted_run(change.path)
        if run is not None:
            by_run.setdefault(run, []).append(change)
        elif change.new is not None:
            bad[change.path] = "it is not the note of a run"
    bad |= _bad_blobs(repository, changes, max_blob)
    for path, reason in bad.items():
        yield Finding(step.ref, _text(path), reason)
    whole = {run: found for run, found in by_run.items() if not any(c.path in bad for c in found)}
    yield from _check_runs(repository, step, whole, check_line)


def _bad_blobs(
    repository: Repository, changes: Sequence[Change], max_blob: int
) -> dict[bytes, str]:
    """Return path -> why, for new entries that are no plain files of a bearable size."""
    odd = (c for c in changes if c.new is not None and c.mode != _FILE)
    bad = {c.path: f"its mode is {c.mode}, not {_FILE}" for c in odd}
    oids = {c.new for c in changes if c.new is not None and c.path not in bad}
    heads = object_heads(repository, sorted(oids))
    for change in changes:
        if change.new not in heads or change.path in bad:
            continue
        head = heads[change.new]
        if head is None or head.kind != "blob":
            bad[change.path] = f"it is {'missing' if head is None else f'a {head.kind}'}, no file"
        elif head.size > max_blob:
            bad[change.path] = f"it has {head.size} bytes; exprag.maxBlob allows {max_blob}"
    return bad


def _check_runs(
    repository: Repository, step: Step, runs: dict[str, list[Change]], check_line: CheckLine
) -> Iterator[Finding]:
    """Compare the lines of each run before and after; where only its note's place differs, skip."""
    sides = {run: (_blobs(changes, 0), _blobs(changes, 1)) for run, changes in runs.items()}
    sides = {run: (old, new) for run, (old, new) in sides.items() if old != new}
    oids = [oid for old, new in sides.values() for oid in (*old, *new)]
    blobs = (blob or b"" for _, blob in read_blobs(repository, oids))
    for run, (old, new) in sides.items():
        before = {line for _ in old for line in note_lines(next(blobs))}
        every = (line for _ in new for line in note_lines(next(blobs)))
        after = list(itertools.islice(every, MAX_LINES))
        if next(every, None) is not None:
            yield Finding(step.ref, note_path(run), f"it has more than {MAX_LINES} lines")
            collections.deque(every, maxlen=0)  # so that the next blob is that of the next run
            continue
        yield from _check_growth(repository, step, run, before.difference(after), after)
        yield from _check_lines(step.ref, run, before, after, check_line)


def _blobs(changes: Iterable[Change], side: int) -> list[str]:
    return sorted({oid for c in changes if (oid := (c.old, c.new)[side]) is not None})


def _check_growth(
    repository: Repository, step: Step, run: str, lost: set[bytes], after: Sequence[bytes]
) -> Iterator[Finding]:
    """Find lines that went, though no collected tombstone stands for them nor another note."""
    if lost and _is_collected(after):
        lost = {line for line in lost if as_tombstone(line) is not None}
    if lost:
        lost -= set(_lines_of_run(repository, step.new, run))
    if lost:
        count = "1 line is" if len(lost) == 1 else f"{len(lost)} lines are"
        yield Finding(step.ref, note_path(run), f"{count} lost; a shard only grows")


def _is_collected(lines: Sequence[bytes]) -> bool:
    """Say whether lines are what collection leaves: tombstones only, one of them collected."""
    facts = [as_tombstone(line) for line in lines]
    return all(facts) and any(fact.collected for fact in facts if fact is not None)


def _lines_of_run(repository: Repository, commit: str, run: str) -> Iterator[bytes]:
    """Yield the lines of all notes of a run; it may have several, at different depths."""
    entries = [*list_tree(repository, commit, run[:2]), *list_tree(repository, commit, run)]
    oids = [entry.oid for entry in entries if noted_run(entry.path) == run]
    for _, blob in read_blobs(repository, oids):
        yield from note_lines(blob or b"")


def _check_lines(
    ref: str, run: str, before: set[bytes], after: Sequence[bytes], check_line: CheckLine
) -> Iterator[Finding]:
    for number, line in enumerate(after, 1):
        if line not in before:
            try:
                check_line(line)
            except BadLineError as error:
                yield Finding(ref, note_path(run), f"line {number} does not decode: {error}")


def check_files(repository: Repository, step: Step, max_blob: int) -> Iterator[Finding]:
    """Yield what is wrong with the new state of a shard of files."""
    changes = tree_changes(repository, step.old or EMPTY_TREE, step.new)
    bad = _bad_blobs(repository, changes, max_blob)
    for change in changes:
        if change.new is not None and (reason := _path_problem(change.path)):
            bad[change.path] = reason
        elif change.old and change.new and change.new > change.old:
            # Of two contents at one path a union keeps the one with the smaller id.
            bad[change.path] = "its content was replaced; a file keeps its first content"
    gone = [change.path for change in changes if change.new is None]
    markers = {c.path: c.new for c in changes if c.new and _is_marker(c.path) and c.path not in bad}
    bad |= _bad_markers(repository, markers)
    for path, reason in bad.items():
        yield Finding(step.ref, _text(path), reason)
    yield from _check_gone(repository, step, gone)


def check_library(repository: Repository, step: Step, max_blob: int) -> Iterator[Finding]:
    """Yield what is wrong with the new state of a shard of the library."""
    changes = tree_changes(repository, step.old or EMPTY_TREE, step.new)
    bad = _bad_blobs(repository, changes, max_blob)
    for change in changes:
        if change.new is not None and not is_library_path(change.path):
            bad[change.path] = "no file of the library has such a path"
    for path, reason in bad.items():
        yield Finding(step.ref, _text(path), reason)
    whole = [change for change in changes if change.path not in bad]
    oids = [oid for change in whole for oid in (change.old, change.new) if oid is not None]
    blobs = (blob or b"" for _, blob in read_blobs(repository, oids))
    for change in whole:
        before, after = (b"" if oid is None else next(blobs) for oid in (change.old, change.new))
        yield from _check_library_file(step.ref, change.path, before, after)


def _check_library_file(ref: str, path: bytes, before: bytes, after: bytes) -> Iterator[Finding]:
    """Compare the lines of a file before and after."""
    known, now = set(note_lines(before)), set(note_lines(after))
    lost = len(known - now)
    if lost:
        count = "1 line is" if lost == 1 else f"{lost} lines are"
        yield Finding(ref, _text(path), f"{count} lost; a shard only grows")
    for item in decode_file(ref, path, after, known):
        if isinstance(item, Problem):
            yield Finding(ref, _text(path), f"line {item.line}: {item.reason}")


def _path_problem(path: bytes) -> str | None:
    """Return what is wrong with a path of a files shard; None if nothing is."""
    try:
        text = path.decode("utf-8")
    except UnicodeDecodeError:
        return "its path is not UTF-8"
    if len(path) > _MAX_PATH_BYTES:
        return f"its path has more than {_MAX_PATH_BYTES} bytes"
    if any(unicodedata.category(character) == "Cc" for character in text):
        return "its path has control characters"
    if not _REFUSED_PARTS.isdisjoint(text.lower().split("/")):
        return "its path leads out of the shard or into a git directory"
    if not any(kind.fullmatch(text) for kind in (_OF_A_RUN, _ENVIRONMENT, _MARKER)):
        return "no file of a shard has such a path"
    return None


def _is_marker(path: bytes) -> bool:
    return _MARKER.fullmatch(_text(path)) is not None


def _bad_markers(repository: Repository, markers: dict[bytes, str]) -> dict[bytes, str]:
    """Return path -> why, for new marks of collected runs that are none."""
    blobs = read_blobs(repository, list(markers.values()))
    return {
        path: "it holds no collected tombstone"
        for path, (_, blob) in zip(markers, blobs, strict=True)
        if not _is_collected(list(note_lines(blob or b"")))
    }


def _check_gone(repository: Repository, step: Step, gone: Sequence[bytes]) -> Iterator[Finding]:
    """Find files that went, though their run is not marked as collected.

    That a mark holds what it should was checked when it came.
    """
    marks = {path: f"{step.new}:{REMOVED}{run}" for path in gone if (run := _run_folder(path))}
    heads = object_heads(repository, sorted(set(marks.values())))
    for path in gone:
        if heads.get(marks.get(path, "")) is None:
            yield Finding(step.ref, _text(path), "the file is lost; a shard only grows")


def _run_folder(path: bytes) -> str | None:
    text = _text(path)
    return text[: len("aa/") + 38] if _OF_A_RUN.fullmatch(text) else None


def _text(path: bytes) -> str:
    return path.decode("utf-8", "backslashreplace")
