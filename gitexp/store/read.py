"""Read shards in bulk, through the git program only (libgit2 is never loaded for reading).

A line that cannot be decoded is reported as a `Problem` with its ref, run and line number, and
the rest stays readable.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Collection, Iterator
from typing import TypeVar

from gitexp.errors import GitCommandError
from gitexp.git import refs
from gitexp.git.read import TreeEntry, list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.records.facts import BadLineError, Fact, OpaqueFact, decode_fact
from gitexp.store.batch import environment_path, file_path
from gitexp.store.problem import Problem

Line = TypeVar("Line")

MISSING = "the note's object is missing"

MAX_NOTE_LINES = 1 << 16
"""What follows in a note is reported, not read: nobody says so much of one run."""

MAX_NOTE_PROBLEMS = 100
"""Bad lines of a note that are listed one by one; those that follow are counted."""

MAX_LOG_BYTES = 1 << 30
"""A longer metric log is reported, not read: that of ten million values has a tenth."""


def decode_note(
    place: Problem, blob: bytes, seen: set[bytes]
) -> Iterator[Fact | OpaqueFact | Problem]:
    """Yield what a note of facts says, line by line.

    Args:
        place: Its ref and run.
        blob: Its content.
        seen: Lines of the run that were met before, in any shard; they are left out. It grows.
    """

    def decode(line: bytes) -> Fact | OpaqueFact:
        seen.add(line)
        return decode_fact(line)

    yield from decode_lines(place, blob, decode, seen)


def decode_lines(
    place: Problem,
    blob: bytes,
    decode: Callable[[bytes], Line],
    seen: Collection[bytes] = (),
    what: str = "note",
) -> Iterator[Line | Problem]:
    """Yield what a blob of lines says, line by line; of what is damaged, where it stands.

    Args:
        place: Of the blob; problems are it with a line and a reason.
        blob: Its content.
        decode: Returns what stands on a line, or raises `BadLineError`.
        seen: Lines that are left out.
        what: Holds the lines, in a word.
    """
    bad: list[int] = []
    for number, line in enumerate(note_lines(blob), 1):
        if number > MAX_NOTE_LINES:
            reason = f"the {what} has more than {MAX_NOTE_LINES} lines, and the rest is not read"
            yield place._replace(line=number, reason=reason)
            break
        if line in seen:
            continue
        try:
            yield decode(line)
        except BadLineError as error:
            bad.append(number)
            if len(bad) <= MAX_NOTE_PROBLEMS:
                yield place._replace(line=number, reason=str(error))
    unlisted = bad[MAX_NOTE_PROBLEMS:]
    if unlisted:
        reason = f"it cannot be read, nor can {len(unlisted) - 1} lines after it"
        yield place._replace(line=unlisted[0], reason=reason)


def note_lines(blob: bytes) -> Iterator[bytes]:
    """Yield the lines of a note as `split_lines` returns them, one at a time.

    A blob of nothing but line ends would make a list that is eight times as large.
    """
    for match in re.finditer(rb"[^\n]+", blob):
        line = match[0].removesuffix(b"\r")
        if line:
            yield line


def noted_run(path: bytes) -> str | None:
    """Return the run that a path of a notes tree stands for, whatever its fan-out."""
    name = path.replace(b"/", b"").decode("ascii", "replace")
    return name if refs.is_run_id(name) else None


def _below(tips: dict[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    return ((ref, tip) for ref, tip in tips.items() if ref.startswith(prefix))


def read_metric_lines(
    repository: Repository, tips: dict[str, str], run_id: str
) -> tuple[dict[bytes, Problem], list[Problem]]:
    """Read the metric log of a run from all shards.

    Returns:
        The distinct lines, each with its place for who finds it damaged; and what of the log
        is missing.
    """
    lines: dict[bytes, Problem] = {}
    problems: list[Problem] = []
    for ref, tip in _below(tips, refs.METRICS):
        try:
            for blob in _blobs_of_run(repository, tip, run_id):
                if blob is None:
                    problems.append(Problem(ref, run_id, 0, MISSING))
                for number, line in enumerate(note_lines(blob or b""), 1):
                    lines.setdefault(line, Problem(ref, run_id, number, ""))
        except GitCommandError as error:
            problems.append(Problem(ref, run_id, 0, error.message.rstrip(".")))
    return lines, problems


def _blobs_of_run(repository: Repository, tip: str, run_id: str) -> Iterator[bytes | None]:
    """Yield the notes of one run in a notes tree, without listing other runs' folders."""
    entries = [*list_tree(repository, tip, run_id[:2]), *list_tree(repository, tip, run_id)]
    oids = [entry.oid for entry in entries if noted_run(entry.path) == run_id]
    yield from (blob for _, blob in read_blobs(repository, oids, MAX_LOG_BYTES))


def list_run_files(repository: Repository, tips: dict[str, str], run_id: str) -> dict[str, str]:
    """Return path -> blob id of the files that were kept with a run."""
    base = file_path(run_id, "")
    found: dict[str, str] = {}
    for entry in _files_at(repository, tips, base):
        path = entry.path.decode("utf-8", "backslashreplace").removeprefix(base)
        found.setdefault(path, entry.oid)
    return found


def read_environment(repository: Repository, tips: dict[str, str], digest: str) -> bytes | None:
    """Return the environment record of that digest as JSON; None where no shard has it."""
    oids = [entry.oid for entry in _files_at(repository, tips, environment_path(digest))]
    return next((blob for _, blob in read_blobs(repository, oids) if blob is not None), None)


def _files_at(repository: Repository, tips: dict[str, str], path: str) -> Iterator[TreeEntry]:
    """Yield the files at or below a path, of every files shard whose tree is there."""
    for _, tip in _below(tips, refs.FILES):
        with contextlib.suppress(GitCommandError):  # then none of its files can be had
            yield from list_tree(repository, tip, path)
