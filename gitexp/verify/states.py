"""The states of a shard that can be read: the present one, those before it, and copies of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from gitexp.errors import GitCommandError
from gitexp.git import refs
from gitexp.git.objects import (
    File,
    is_folder,
    parse_commit,
    parse_tree,
    read_object,
    read_objects,
    walk_tree,
)
from gitexp.git.rescue import loose_commits
from gitexp.store.library import is_library_path
from gitexp.store.read import noted_run
from gitexp.verify.index import remembered
from gitexp.verify.objects import Reach
from gitexp.verify.store import SHARDS, Shard, Store, read_shard
from gitexp.verify.trees import is_file

_SUBJECT, _SNAPSHOT = b"exprag: ", b"\nExprag-Nonce: "
_SERIES, _TOMBSTONE = b'"kind":"series"', b'"tombstone"'
_MAX_DEPTH = 64
_KINDS = {
    refs.FACTS: "facts",
    refs.METRICS: "metrics",
    refs.FILES: "files",
    refs.LIBRARY: "library",
}


class Gathered(NamedTuple):
    """What can be read of a shard.

    Attributes:
        base: The nearest commit of which everything can be read; None where there is none.
        files: All that is in no commit behind the base, the nearest first.
    """

    base: str | None
    files: list[File]


class States:
    """The states of one shard.

    Attributes:
        shard: Its present state; the tip is empty where the ref itself is lost.
    """

    def __init__(self, store: Store, shard: Shard) -> None:
        """Read nothing yet."""
        self.store = store
        self.shard = shard
        self.prefix = next(prefix for prefix in SHARDS if shard.ref.startswith(prefix))
        self.name = shard.ref.removeprefix(self.prefix)
        self._sound: dict[str, bool] = {}

    def gather(self) -> Gathered:
        """Return all that can be read."""
        heads = [*self._elsewhere(), *self._unnamed()]
        files = self._readable(self.shard.files)
        for head in heads:
            files += self._read(head)
        if self.prefix == refs.FACTS:
            files += self._readable(self._remembered())
        for commit, tree in self._behind([tip for tip in (self.shard.tip, *heads) if tip]):
            if self._is_sound_tree(tree, 0):
                return Gathered(commit, files)
            files += self._read(commit)
        return Gathered(None, files)

    def is_sound(self, files: Iterable[File]) -> bool:
        """Say whether all these files can be read."""
        files = list(files)
        unknown = dict.fromkeys(file.oid for file in files if file.oid not in self._sound)
        for found in read_objects(self.store.repository, list(unknown)):
            self._sound[found.oid] = not found.problem
        return all(self._sound[file.oid] for file in files)

    def _readable(self, files: list[File]) -> list[File]:
        self.is_sound(files)
        return [file for file in files if self._sound[file.oid]]

    def _read(self, commit: str) -> list[File]:
        shard = read_shard(self.store.repository, self.shard.ref, commit)
        return self._readable(shard.files)

    def _behind(self, level: list[str]) -> Iterator[tuple[str, str]]:
        """Yield the commits that can be read with their trees, the nearest first."""
        seen = set(level)
        while level:
            below: list[str] = []
            for found in read_objects(self.store.repository, level):
                if found.kind == "commit":
                    commit = parse_commit(found.content)
                    yield found.oid, commit.tree
                    below += [parent for parent in commit.parents if parent not in seen]
                    seen.update(commit.parents)
            level = below

    def _elsewhere(self) -> Iterator[str]:
        """Yield what remotes were last seen to have of this shard."""
        for ref, tip in self.store.below(refs.REMOTES).items():
            if ref.endswith(f"/{_KINDS[self.prefix]}/{self.name}"):
                yield tip

    def _unnamed(self) -> list[str]:
        """Return the last commits of such shards that no ref names, where the tip is lost.

        They may be of another shard: then that one's lines stand in this one too, which does
        no harm, since shards are united when they are read.
        """
        tip = self.shard.tip
        if tip and read_object(self.store.repository, tip).kind == "commit":
            return []
        try:
            commits = loose_commits(self.store.repository, Reach(self.store).places.keys())
        except GitCommandError:
            return []
        parents = {p for each in commits for p in parse_commit(each.content).parents}
        return [c.oid for c in commits if c.oid not in parents and self._is_of_kind(c.content)]

    def _is_of_kind(self, content: bytes) -> bool:
        """Say whether a commit is of a shard of this kind, as far as its content tells."""
        commit = parse_commit(content)
        if not commit.message.startswith(_SUBJECT) or _SNAPSHOT in commit.message:
            return False
        shard = self._readable(walk_tree(self.store.repository, commit.tree).files)
        if self.prefix == refs.FILES:
            return any(is_file(file.path) and noted_run(file.path) is None for file in shard)
        if self.prefix == refs.LIBRARY:
            return any(is_library_path(file.path) for file in shard)
        notes = [file for file in shard if noted_run(file.path) is not None]
        for found in read_objects(self.store.repository, [file.oid for file in notes]):
            if _TOMBSTONE not in found.content:
                return (_SERIES in found.content) == (self.prefix == refs.METRICS)
        return False

    def _is_sound_tree(self, tree: str, depth: int) -> bool:
        """Say whether a tree can be read, to the last file; what was looked at is remembered."""
        if tree not in self._sound:
            found = read_object(self.store.repository, tree)
            entries = list(parse_tree(found.content)) if found.kind == "tree" else []
            folders = [entry.oid for entry in entries if is_folder(entry)]
            self._sound[tree] = (
                found.kind == "tree"
                and depth < _MAX_DEPTH
                and self.is_sound(entry for entry in entries if not is_folder(entry))
                and all(self._is_sound_tree(folder, depth + 1) for folder in folders)
            )
        return self._sound[tree]

    def _remembered(self) -> list[File]:
        """Return the notes of a shard of facts that the index knows."""
        sql = "SELECT hex(run), hex(oid) FROM note JOIN shard ON shard = number WHERE ref = ?"
        rows = remembered(self.store.repository, sql, self.shard.ref)
        return [File(run.lower().encode(), b"100644", oid.lower()) for run, oid in rows]
