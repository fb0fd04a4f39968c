"""Add lines and files to this clone's shard: one commit per ref, however many runs it speaks of.

The order is the format's: metric lines, files, library, facts. Within each, objects come first and
the ref last, so a reader that finds facts finds all they speak of, and a writer that died anywhere
can be repeated: adding what is there already changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.git.trees import Content, TreeReader, read_tree, update_tree

_DIGEST = re.compile(r"[0-9a-f]{32}")

Lines = Mapping[str, list[bytes]]


@dataclass(frozen=True)
class Batch:
    """What is to be added.

    Attributes:
        facts: Run id -> fact lines, without line ends; `metrics` likewise for the metric log.
        files: Path in the files shard -> content, or the file that holds it. A path that is
            there already keeps its content: files are immutable.
        library: Path in the library shard -> lines, without line ends.
    """

    facts: dict[str, list[bytes]] = field(default_factory=dict)
    metrics: dict[str, list[bytes]] = field(default_factory=dict)
    files: dict[str, bytes | Path] = field(default_factory=dict)
    library: dict[str, list[bytes]] = field(default_factory=dict)


def note_path(run_id: str) -> str:
    """Return where a run's note stands in a notes tree: git's own fan-out of two digits."""
    return f"{run_id[:2]}/{run_id[2:]}"


def file_path(run_id: str, path: str) -> str:
    """Return where a run's file stands in the files shard."""
    return f"{note_path(run_id)}/{path}"


def is_digest(text: str) -> bool:
    """Say whether a text is a digest: only then may what others wrote become part of a path."""
    return _DIGEST.fullmatch(text) is not None


def environment_path(digest: str) -> str:
    """Return where an environment record stands in the files shard, shared by all its runs."""
    return f"environments/{digest}.json"


def write_batch(repository: Repository, shard: str, batch: Batch) -> None:
    """Add a batch to a shard.

    Raises:
        ConflictError: Others kept winning the race for a ref.
        GitexpError: An object could not be written. What was added before stays added.
    """
    if batch.metrics:
        _add_lines(repository, refs.METRICS + shard, batch.metrics)
    if batch.files:
        _add_files(repository, refs.FILES + shard, batch.files)
    if batch.library:
        _add_library(repository, refs.LIBRARY + shard, batch.library)
    if batch.facts:
        _add_lines(repository, refs.FACTS + shard, batch.facts)


def missing_files(repository: Repository, shard: str, paths: Iterable[str]) -> list[str]:
    """Return those of the paths that the files shard does not hold yet."""
    tree = read_tree(repository, refs.FILES + shard)
    return [path for path in paths if path not in tree]


def _add_lines(repository: Repository, ref: str, lines: Lines) -> None:
    """Unite lines with the notes of their runs; they end up at our own fan-out."""

    def edit(tree: TreeReader) -> dict[str, Content]:
        changes: dict[str, Content] = {}
        for run_id, added in lines.items():
            found = tree.notes(run_id)
            old = [line for blob in found.values() for line in split_lines(blob)]
            merged = list(dict.fromkeys([*old, *added]))
            path = note_path(run_id)
            if merged != old or list(found) != [path]:
                changes |= dict.fromkeys(found)
                changes[path] = join_lines(merged)
        return changes

    update_tree(repository, ref, f"exprag: {_count(len(lines), 'run')}\n", edit)


def _add_files(repository: Repository, ref: str, files: Mapping[str, bytes | Path]) -> None:
    def edit(tree: TreeReader) -> dict[str, Content]:
        return {path: content for path, content in files.items() if path not in tree}

    update_tree(repository, ref, f"exprag: {_count(len(files), 'file')}\n", edit)


def _add_library(repository: Repository, ref: str, lines: Lines) -> None:
    """Unite lines with those that stand at their paths."""

    def edit(tree: TreeReader) -> dict[str, Content]:
        changes: dict[str, Content] = {}
        for path, added in lines.items():
            old = split_lines(tree.content(path) or b"")
            merged = list(dict.fromkeys([*old, *added]))
            if merged != old:
                changes[path] = join_lines(merged)
        return changes

    update_tree(repository, ref, f"exprag: library, {_count(len(lines), 'file')}\n", edit)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def join_lines(lines: Iterable[bytes]) -> bytes:
    """Return lines as the content of a note."""
    return b"".join(line + b"\n" for line in lines)


def split_lines(blob: bytes) -> list[bytes]:
    """Return the lines of a note: ended by LF or CR LF, blank ones left out."""
    return [line for raw in blob.split(b"\n") if (line := raw.removesuffix(b"\r"))]
