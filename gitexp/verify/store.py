"""The store as it stands, read once for all checks: refs, the trees of shards, and remotes.

What cannot be read is part of it, and no error.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitexp.git import refs
from gitexp.git.objects import (
    File,
    Object,
    Unread,
    parse_commit,
    read_objects,
    walk_tree,
)
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.journal import live_runs
from gitexp.store.read import noted_run

SHARDS = (refs.FACTS, refs.METRICS, refs.FILES, refs.LIBRARY)
"""The shards that hold a tree, by the beginning of their refs' names."""

OURS = ("refs/exprag", "refs/notes")
"""Where refs of ours can be, as a prefix that git takes."""

NOTES_OF_OURS = "refs/notes/exprag"


class Shard(NamedTuple):
    """One ref of a shard.

    Attributes:
        files: What its tree holds.
        unread: What of it cannot be read: the commit, folders of its tree.
    """

    ref: str
    tip: str
    files: list[File]
    unread: list[Unread]

    @property
    def is_notes(self) -> bool:
        """It holds notes, of facts or of metrics."""
        return self.ref.startswith((refs.FACTS, refs.METRICS))

    @property
    def is_library(self) -> bool:
        """It holds lines of the library."""
        return self.ref.startswith(refs.LIBRARY)


class Note(NamedTuple):
    """A run's note in one place of one shard; what is wrong with it where it cannot be read."""

    ref: str
    path: bytes
    oid: str
    content: bytes
    problem: str


class Store:
    """What is there."""

    def __init__(self, repository: Repository) -> None:
        """Read which runs are in progress, and nothing else yet: handles come after journals."""
        self.repository = repository
        self._live = frozenset(live_runs(repository))

    @functools.cached_property
    def refs(self) -> dict[str, str]:
        """Name -> object id of every ref of ours, tracking refs too."""
        listed = list_refs(self.repository, *OURS)
        return {ref: oid for ref, oid in listed.items() if is_ours(ref)}

    @property
    def live(self) -> frozenset[str]:
        """The runs that were in progress before the refs were read, or are now."""
        return self._live.union(live_runs(self.repository))

    @functools.cached_property
    def remotes(self) -> list[str]:
        """The names of the configured remotes."""
        return self.repository.git(["remote"]).decode("utf-8", "replace").split()

    def below(self, *prefixes: str) -> dict[str, str]:
        """Return the refs whose names begin so."""
        return {ref: oid for ref, oid in self.refs.items() if ref.startswith(prefixes)}

    @functools.cached_property
    def shards(self) -> dict[str, Shard]:
        """Every local shard that holds a tree, by its ref."""
        return {ref: read_shard(self.repository, ref, t) for ref, t in self.below(*SHARDS).items()}

    @property
    def facts(self) -> list[Shard]:
        """The shards of facts."""
        return [shard for ref, shard in self.shards.items() if ref.startswith(refs.FACTS)]

    @functools.cached_property
    def snapshots(self) -> dict[str, Object]:
        """The object that each run is, for all runs that notes or handles speak of."""
        named = {run for run, _ in notes_by_run(self.shards.values())}
        handles = {ref.removeprefix(refs.RUNS) for ref in self.below(refs.RUNS)}
        ids = sorted(named | {run for run in handles if refs.is_run_id(run)})
        return {found.oid: found for found in read_objects(self.repository, ids)}

    @functools.cached_property
    def unread(self) -> list[tuple[str, Unread]]:
        """What of the shards' present trees cannot be read, with the ref."""
        return [(shard.ref, item) for shard in self.shards.values() for item in shard.unread]

    def notes(self, prefix: str) -> Iterator[tuple[str, list[Note]]]:
        """Yield every run with its notes in the shards below a prefix."""
        shards = [shard for ref, shard in self.shards.items() if ref.startswith(prefix)]
        grouped = notes_by_run(shards)
        oids = [file.oid for _, places in grouped for _, file in places]
        contents = read_objects(self.repository, oids)
        for run, places in grouped:
            yield run, [_note(ref, file, next(contents)) for ref, file in places]


def _note(ref: str, file: File, found: Object) -> Note:
    wrong = found.problem or ("" if found.kind == "blob" else f"is a {found.kind}, not a note")
    return Note(ref, file.path, file.oid, found.content if not wrong else b"", wrong)


def is_ours(ref: str) -> bool:
    """Say whether a ref is in the part of the names that is ours."""
    return ref.startswith(("refs/exprag/", "refs/exprag-local/", NOTES_OF_OURS))


def read_shard(repository: Repository, ref: str, tip: str) -> Shard:
    """Return a shard as far as it can be read."""
    (found,) = read_objects(repository, [tip])
    if found.kind != "commit":
        wrong = found.problem or f"is a {found.kind}, not a commit"
        return Shard(ref, tip, [], [Unread(b"", tip, wrong)])
    walked = walk_tree(repository, parse_commit(found.content).tree)
    return Shard(ref, tip, walked.files, walked.unread)


def notes_by_run(shards: Iterable[Shard]) -> list[tuple[str, list[tuple[str, File]]]]:
    """Return every run with the places of its notes, by id."""
    grouped: dict[str, list[tuple[str, File]]] = {}
    for shard in shards:
        for file in shard.files if shard.is_notes else ():
            run = noted_run(file.path)
            if run is not None:
                grouped.setdefault(run, []).append((shard.ref, file))
    return sorted(grouped.items())


def text(path: bytes) -> str:
    r"""Return a path as text; bytes that are not UTF-8 as ``\xNN``."""
    return path.decode("utf-8", "backslashreplace")
