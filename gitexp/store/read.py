"""Read shards in bulk, through the git program only (libgit2 is never loaded for reading).

A line that cannot be decoded is reported as a `Problem` with its ref, run and line number, and
the rest stays readable.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gitexp.errors import GitCommandError
from gitexp.git import refs
from gitexp.git.read import TreeEntry, list_refs, list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.records.facts import BadLineError, Fact, OpaqueFact, decode_fact
from gitexp.store.batch import environment_path, file_path, split_lines

_MISSING = "the note's object is missing"

PREFIXES = (refs.FACTS, refs.METRICS, refs.FILES, refs.RUNS)


class Problem(NamedTuple):
    """Something in the store that could not be read, and where it is."""

    ref: str
    run: str
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"{self.ref}, run {self.run[:12]}" if self.run else self.ref
        return (
            f"{place}, line {self.line}: {self.reason}" if self.line else f"{place}: {self.reason}"
        )


@dataclass
class StoredFacts:
    """All facts of all shards.

    Attributes:
        facts: Run id -> decoded facts of all shards, duplicates removed.
        unknown: Lines of kinds or schemas this version does not know, counted by kind.
        problems: What could not be read.
    """

    facts: dict[str, list[Fact]] = field(default_factory=dict)
    unknown: dict[str, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


def store_refs(repository: Repository) -> dict[str, str]:
    """Return all refs of the store with what they name."""
    return list_refs(repository, *PREFIXES)


def read_facts(repository: Repository, tips: dict[str, str]) -> StoredFacts:
    """Decode the facts of every run from the shards among ``tips`` (see `store_refs`)."""
    stored = StoredFacts()
    seen: set[tuple[str, bytes]] = set()
    for ref, tip in _below(tips, refs.FACTS):
        try:
            for run_id, blob in _notes(repository, tip):
                _add_note(stored, seen, Problem(ref, run_id, 0, _MISSING), blob)
        except GitCommandError as error:
            stored.problems.append(Problem(ref, "", 0, error.message.rstrip(".")))
    return stored


def _below(tips: dict[str, str], prefix: str) -> Iterator[tuple[str, str]]:
    return ((ref, tip) for ref, tip in tips.items() if ref.startswith(prefix))


def _add_note(
    stored: StoredFacts, seen: set[tuple[str, bytes]], place: Problem, blob: bytes | None
) -> None:
    if blob is None:
        stored.problems.append(place)
        return
    for number, line in enumerate(split_lines(blob), 1):
        if (place.run, line) not in seen:
            seen.add((place.run, line))
            _add(stored, place._replace(line=number), line)


def _add(stored: StoredFacts, place: Problem, line: bytes) -> None:
    try:
        fact = decode_fact(line)
    except BadLineError as error:
        stored.problems.append(place._replace(reason=str(error)))
        return
    if isinstance(fact, OpaqueFact):
        label = f"{fact.kind} (schema {fact.schema})"
        stored.unknown[label] = stored.unknown.get(label, 0) + 1
    else:
        stored.facts.setdefault(place.run, []).append(fact)


def _notes(repository: Repository, tip: str) -> Iterator[tuple[str, bytes | None]]:
    """Yield run id and content of all notes on runs in a notes tree."""
    entries = [(_noted(entry), entry.oid) for entry in list_tree(repository, tip)]
    runs = [(run_id, oid) for run_id, oid in entries if run_id is not None]
    blobs = read_blobs(repository, [oid for _, oid in runs])
    for (run_id, _), (_, blob) in zip(runs, blobs, strict=True):
        yield run_id, blob


def _noted(entry: TreeEntry) -> str | None:
    """Return the id that a path of a notes tree stands for, whatever its fan-out."""
    name = entry.path.replace(b"/", b"").decode("ascii", "replace")
    return name if refs.is_run_id(name) else None


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
                    problems.append(Problem(ref, run_id, 0, _MISSING))
                for number, line in enumerate(split_lines(blob or b""), 1):
                    lines.setdefault(line, Problem(ref, run_id, number, ""))
        except GitCommandError as error:
            problems.append(Problem(ref, run_id, 0, error.message.rstrip(".")))
    return lines, problems


def _blobs_of_run(repository: Repository, tip: str, run_id: str) -> Iterator[bytes | None]:
    """Yield the notes of one run in a notes tree, without listing other runs' folders."""
    entries = [*list_tree(repository, tip, run_id[:2]), *list_tree(repository, tip, run_id)]
    oids = [entry.oid for entry in entries if _noted(entry) == run_id]
    yield from (blob for _, blob in read_blobs(repository, oids))


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
