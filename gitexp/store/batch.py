"""Add lines and files to this clone's shard: one commit per ref, however many runs it speaks of.

The order is the format's: metric lines, files, facts. Within each, objects come first and the
ref last, so a reader that finds facts finds all they speak of, and a writer that died anywhere
can be repeated: adding what is there already changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from gitexp.git import refs
from gitexp.git.commit import write_commit
from gitexp.git.repository import Repository
from gitexp.git.write import update_ref, write_error, write_tree

if TYPE_CHECKING:
    import pygit2

Lines = Mapping[str, list[bytes]]


@dataclass(frozen=True)
class Batch:
    """What is to be added.

    Attributes:
        facts: Run id -> fact lines, without line ends; `metrics` likewise for the metric log.
        files: Path in the files shard -> content, or the file that holds it. A path that is
            there already keeps its content: files are immutable.
    """

    facts: dict[str, list[bytes]] = field(default_factory=dict)
    metrics: dict[str, list[bytes]] = field(default_factory=dict)
    files: dict[str, bytes | Path] = field(default_factory=dict)


def note_path(run_id: str) -> str:
    """Return where a run's note stands in a notes tree: git's own fan-out of two digits."""
    return f"{run_id[:2]}/{run_id[2:]}"


def file_path(run_id: str, path: str) -> str:
    """Return where a run's file stands in the files shard."""
    return f"{note_path(run_id)}/{path}"


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
        _update(repository, refs.METRICS + shard, _NotesEdit(batch.metrics))
    if batch.files:
        _update(repository, refs.FILES + shard, _FilesEdit(batch.files))
    if batch.facts:
        _update(repository, refs.FACTS + shard, _NotesEdit(batch.facts))


def missing_files(repository: Repository, shard: str, paths: Iterable[str]) -> list[str]:
    """Return those of the paths that the files shard does not hold yet."""
    import pygit2

    repo = repository.objects()
    tip = repo.references.get(refs.FILES + shard)
    if tip is None:
        return list(paths)
    tree = tip.peel(pygit2.Tree)
    return [path for path in paths if path not in tree]


def _update(repository: Repository, ref: str, edit: _NotesEdit | _FilesEdit) -> None:
    def build(repo: pygit2.Repository, tip: pygit2.Oid | None) -> pygit2.Oid | None:
        import pygit2

        try:
            base = repo[tip].peel(pygit2.Tree) if tip is not None else None
            changes = edit.changes(repo, base)
            if not changes:
                return None
            tree = write_tree(repo, base.id if base else None, changes)
            parents = [str(tip)] if tip is not None else []
            return pygit2.Oid(hex=write_commit(repository, edit.message, str(tree), parents))
        except (pygit2.GitError, KeyError, OSError) as error:
            raise write_error(error, f"write to {ref}") from error

    update_ref(repository, ref, build)


class _NotesEdit:
    """Union of lines into the notes of some runs."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self.message = f"exprag: {len(lines)} run{'s' if len(lines) > 1 else ''}\n"

    def changes(
        self, repo: pygit2.Repository, base: pygit2.Tree | None
    ) -> dict[str, pygit2.Oid | None]:
        changes: dict[str, pygit2.Oid | None] = {}
        for run_id, lines in self._lines.items():
            found = dict(find_notes(base, run_id)) if base is not None else {}
            old = [line for blob in found.values() for line in split_lines(blob.data)]
            merged = list(dict.fromkeys([*old, *lines]))
            path = note_path(run_id)
            if merged == old and list(found) == [path]:
                continue
            changes |= dict.fromkeys(found)
            changes[path] = repo.create_blob(b"".join(line + b"\n" for line in merged))
        return changes


class _FilesEdit:
    """New files; those that are there already stay as they are."""

    def __init__(self, files: Mapping[str, bytes | Path]) -> None:
        self._files = files
        self.message = f"exprag: {len(files)} file{'s' if len(files) > 1 else ''}\n"

    def changes(
        self, repo: pygit2.Repository, base: pygit2.Tree | None
    ) -> dict[str, pygit2.Oid | None]:
        return {
            path: (
                repo.create_blob_fromdisk(str(content))
                if isinstance(content, Path)
                else repo.create_blob(content)
            )
            for path, content in self._files.items()
            if base is None or path not in base
        }


def split_lines(blob: bytes) -> list[bytes]:
    """Return the lines of a note: ended by LF or CR LF, blank ones left out."""
    return [line for raw in blob.split(b"\n") if (line := raw.removesuffix(b"\r"))]


def find_notes(
    tree: pygit2.Tree, run_id: str, prefix: str = ""
) -> Iterator[tuple[str, pygit2.Blob]]:
    """Yield path and blob of a run's note at any depth of fan-out: git rebalances as it likes."""
    import pygit2

    rest = run_id[len(prefix.replace("/", "")) :]
    if rest in tree:
        blob = tree[rest]
        if isinstance(blob, pygit2.Blob):
            yield prefix + rest, blob
    if len(rest) > 2 and rest[:2] in tree:  # noqa: PLR2004 - fan-out is by two digits
        subtree = tree[rest[:2]]
        if isinstance(subtree, pygit2.Tree):
            yield from find_notes(subtree, run_id, f"{prefix}{rest[:2]}/")
