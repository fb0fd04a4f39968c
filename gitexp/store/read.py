"""Read shards in bulk, through the git program only (libgit2 is never loaded for reading).

A line that cannot be decoded is reported as a `Problem` with its ref, run and line number, and
the rest stays readable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from gitexp.git import refs
from gitexp.git.read import TreeEntry, list_refs, list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.records.facts import BadLineError, Fact, OpaqueFact, decode_fact
from gitexp.store.batch import environment_path, file_path, split_lines

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
    for ref, note in _notes(repository, tips, refs.FACTS):
        run_id, blob = note
        if blob is None:
            stored.problems.append(Problem(ref, run_id, 0, "the note's object is missing"))
            continue
        for number, line in enumerate(split_lines(blob), 1):
            if (run_id, line) in seen:
                continue
            seen.add((run_id, line))
            _add(stored, Problem(ref, run_id, number, ""), line)
    return stored


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


def _notes(
    repository: Repository, tips: dict[str, str], prefix: str
) -> Iterator[tuple[str, tuple[str, bytes | None]]]:
    """Yield (ref, (run id, content)) of all notes on runs below a ref prefix."""
    for ref, tip in tips.items():
        if not ref.startswith(prefix):
            continue
        entries = [(_noted(entry), entry.oid) for entry in list_tree(repository, tip)]
        runs = [(run_id, oid) for run_id, oid in entries if run_id is not None]
        blobs = read_blobs(repository, [oid for _, oid in runs])
        for (run_id, _), (_, blob) in zip(runs, blobs, strict=True):
            yield ref, (run_id, blob)


def _noted(entry: TreeEntry) -> str | None:
    """Return the id that a path of a notes tree stands for, whatever its fan-out."""
    name = entry.path.replace(b"/", b"").decode("ascii", "replace")
    return name if refs.is_run_id(name) else None


def read_metric_lines(repository: Repository, tips: dict[str, str], run_id: str) -> list[bytes]:
    """Return the distinct lines of a run's metric log, over all shards."""
    lines: dict[bytes, None] = {}
    for entry, _ref in _entries_of_run(repository, tips, refs.METRICS, run_id):
        if _noted(entry) != run_id:
            continue
        for _, blob in read_blobs(repository, [entry.oid]):
            lines |= dict.fromkeys(split_lines(blob or b""))
    return list(lines)


def _entries_of_run(
    repository: Repository, tips: dict[str, str], prefix: str, run_id: str
) -> Iterator[tuple[TreeEntry, str]]:
    """Yield the tree entries that may concern a run, without listing other runs' folders."""
    for ref, tip in tips.items():
        if ref.startswith(prefix):
            yield from ((e, ref) for e in list_tree(repository, tip, run_id[:2]))
            yield from ((e, ref) for e in list_tree(repository, tip, run_id))


def list_run_files(repository: Repository, tips: dict[str, str], run_id: str) -> dict[str, str]:
    """Return path -> blob id of the files that were kept with a run."""
    base = file_path(run_id, "")
    found: dict[str, str] = {}
    for ref, tip in tips.items():
        if ref.startswith(refs.FILES):
            for entry in list_tree(repository, tip, base):
                path = entry.path.decode("utf-8", "replace").removeprefix(base)
                found.setdefault(path, entry.oid)
    return found


def read_environment(repository: Repository, tips: dict[str, str], digest: str) -> bytes | None:
    """Return the environment record of that digest as JSON; None where no shard has it."""
    path = environment_path(digest)
    oids = _files_at(repository, tips, path)
    return next((blob for _, blob in read_blobs(repository, list(oids)) if blob is not None), None)


def _files_at(repository: Repository, tips: dict[str, str], path: str) -> Iterable[str]:
    for ref, tip in tips.items():
        if ref.startswith(refs.FILES):
            yield from (entry.oid for entry in list_tree(repository, tip, path))
