"""Unite two trees: all that is in either, at a cost that follows how they differ.

Subtrees with the same id are taken unseen, so of two states of a large shard only the folders on
the way to what differs are read and written. In notes trees one object's note may stand at
different depths in the two (git's fan-out); where folders differ, notes end up at two digits.

Trees are read and written as git stores them: entries whose objects are not here (a partial
clone, damage elsewhere) are no obstacle, nor are names that are not UTF-8.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gitexp.errors import BadShardError, MissingObjectError
from gitexp.git.history import EMPTY_TREE
from gitexp.git.objects import parse_tree
from gitexp.git.repository import Repository
from gitexp.git.write import write_error

if TYPE_CHECKING:
    import pygit2

_FOLDER = re.compile(rb"[0-9a-f]{2}")
_REST = re.compile(rb"[0-9a-f]{38}")
_NOTE = re.compile(rb"[0-9a-f]{40}")
_FILE, _TREE, _BLOB_TYPES = b"100644", b"40000", (b"100644", b"100755", b"100664")
_REST_DIGITS = 38
_MAX_DEPTH = 100
"""Folders within folders; deeper ones in both trees are nothing that anybody would keep."""

MergeBlobs = Callable[[Sequence[bytes]], bytes]
"""Makes one note of several, in whatever order they come."""


class _Entry(NamedTuple):
    """What a tree has at a name: mode as text, and id in 20 bytes.

    Entries have an order, so that a choice among them is the same whoever makes it: a folder
    (its mode is text that begins with 4) comes after a file.
    """

    mode: bytes
    oid: bytes

    @property
    def is_tree(self) -> bool:
        return self.mode == _TREE

    @property
    def is_blob(self) -> bool:
        return self.mode in _BLOB_TYPES


_Tree = dict[bytes, _Entry]


def unite_notes(repository: Repository, a: str, b: str, merge: MergeBlobs) -> str:
    """Return the id of the notes tree that holds the notes of two (ids of trees).

    Args:
        repository: Where.
        a: One tree.
        b: The other; the order of the two means nothing.
        merge: Of the different notes on one object.

    Raises:
        MissingObjectError: A tree, or a note that both have, is not here.
        BadShardError: What is named as a tree or a note is something else.
        GitexpError: An object could not be written.
    """

    def unite(repo: pygit2.Repository) -> bytes:
        return _Notes(repo, merge).unite(bytes.fromhex(a), bytes.fromhex(b))

    return a if a == b else _guarded(repository, unite)


def unite_files(repository: Repository, a: str, b: str) -> str:
    """Return the id of the tree that holds the files of two (ids of trees).

    Of two files at one path the one with the smaller id stays; a folder goes before a file.

    Raises:
        MissingObjectError: A tree is not here.
        BadShardError: Folders are nested too deep.
        GitexpError: An object could not be written.
    """

    def unite(repo: pygit2.Repository) -> bytes:
        return _unite_files(repo, bytes.fromhex(a), bytes.fromhex(b), 0)

    return a if a == b else _guarded(repository, unite)


def unite_line_files(repository: Repository, a: str, b: str, merge: MergeBlobs) -> str:
    """Return the id of the tree that holds the files of two, which are lines (ids of trees).

    Two files at one path become one; a folder goes before a file, and of two things that are
    neither the one with the smaller id stays.

    Args:
        repository: Where.
        a: One tree.
        b: The other; the order of the two means nothing.
        merge: Of the different files at one path.

    Raises:
        MissingObjectError: A tree, or a file that both have, is not here.
        BadShardError: Folders are nested too deep, or what is named as a file is something else.
        GitexpError: An object could not be written.
    """

    def unite(repo: pygit2.Repository) -> bytes:
        return _unite_files(repo, bytes.fromhex(a), bytes.fromhex(b), 0, merge)

    return a if a == b else _guarded(repository, unite)


def _guarded(repository: Repository, unite: Callable[[pygit2.Repository], bytes]) -> str:
    import pygit2

    try:
        return unite(repository.objects()).hex()
    except KeyError as error:
        raise MissingObjectError(
            f"The object {error.args[0]} is missing from this repository.",
            "Run 'git exp verify --repair'.",
        ) from error
    except ValueError as error:
        raise BadShardError(f"Two trees cannot be united: {error}.") from error
    except (pygit2.GitError, OSError) as error:
        raise write_error(error, "unite two trees") from error


def _read(repo: pygit2.Repository, oid: bytes, kind: str) -> bytes:
    import pygit2

    found, data = repo.read(pygit2.Oid(raw=oid))
    if found != getattr(pygit2.enums.ObjectType, kind):
        raise ValueError(f"{oid.hex()} is no {kind.lower()}")
    return data


def _entries(repo: pygit2.Repository, tree: bytes) -> _Tree:
    if tree.hex() == EMPTY_TREE:
        return {}  # git knows it; no repository needs to have it
    found = parse_tree(_read(repo, tree, "TREE"))
    return {entry.path: _Entry(entry.mode, bytes.fromhex(entry.oid)) for entry in found}


def _write(repo: pygit2.Repository, entries: Mapping[bytes, _Entry]) -> bytes:
    import pygit2

    def place(item: tuple[bytes, _Entry]) -> bytes:
        return item[0] + b"/" if item[1].is_tree else item[0]

    ordered = sorted(entries.items(), key=place)
    data = b"".join(b"%b %b\0%b" % (e.mode, name, e.oid) for name, e in ordered)
    return repo.write(pygit2.enums.ObjectType.TREE, data).raw


def _choose(a: _Entry | None, b: _Entry | None) -> _Entry:
    both = [entry for entry in (a, b) if entry is not None]
    return min(both, key=lambda entry: (not entry.is_tree, entry.oid, entry.mode))


def _unite_files(
    repo: pygit2.Repository, a: bytes, b: bytes, depth: int, merge: MergeBlobs | None = None
) -> bytes:
    if depth > _MAX_DEPTH:
        raise BadShardError(f"Folders are nested more than {_MAX_DEPTH} deep.")
    left, right = _entries(repo, a), _entries(repo, b)
    united: _Tree = {}
    for name in left.keys() | right.keys():
        mine, theirs = left.get(name), right.get(name)
        united[name] = _choose(mine, theirs)
        if not mine or not theirs or mine.oid == theirs.oid:
            continue
        if mine.is_tree and theirs.is_tree:
            below = _unite_files(repo, mine.oid, theirs.oid, depth + 1, merge)
            united[name] = _Entry(_TREE, below)
        elif merge is not None and mine.is_blob and theirs.is_blob:
            united[name] = _Entry(_FILE, _merged(repo, {mine.oid, theirs.oid}, merge))
    return _write(repo, united)


class _Group(NamedTuple):
    """What a notes tree holds below one first byte: a folder, and notes without a folder."""

    folder: bytes | None
    loose: tuple[tuple[bytes, bytes], ...] = ()


_EMPTY = _Group(None)


class _Notes:
    def __init__(self, repo: pygit2.Repository, merge: MergeBlobs) -> None:
        self._repo = repo
        self._merge = merge

    def unite(self, a: bytes, b: bytes) -> bytes:
        (left, others_left), (right, others_right) = self._groups(a), self._groups(b)
        united = {
            name: _choose(others_left.get(name), others_right.get(name))
            for name in others_left.keys() | others_right.keys()
        }
        for first in left.keys() | right.keys():
            folder = self._unite_group(left.get(first, _EMPTY), right.get(first, _EMPTY))
            united[first] = _Entry(_TREE, folder)
        return _write(self._repo, united)

    def _groups(self, tree: bytes) -> tuple[dict[bytes, _Group], _Tree]:
        groups: dict[bytes, _Group] = {}
        others: _Tree = {}
        for name, entry in _entries(self._repo, tree).items():
            if entry.is_tree and _FOLDER.fullmatch(name):
                groups[name] = groups.get(name, _EMPTY)._replace(folder=entry.oid)
            elif entry.is_blob and _NOTE.fullmatch(name):
                group = groups.get(name[:2], _EMPTY)
                groups[name[:2]] = group._replace(loose=(*group.loose, (name[2:], entry.oid)))
            else:
                others[name] = entry
        return groups, others

    def _unite_group(self, a: _Group, b: _Group) -> bytes:
        folders = {group.folder for group in (a, b)} - {None}
        if len(folders) == 1 and not (a.loose or b.loose):
            return a.folder or b.folder or b""
        notes: dict[bytes, set[bytes]] = {}
        others: _Tree = {}
        for group in (a, b):
            for rest, oid in group.loose:
                notes.setdefault(rest, set()).add(oid)
            if group.folder is not None:
                self._collect(group.folder, b"", notes, others)
        united = {rest: _Entry(_FILE, self._one(oids)) for rest, oids in notes.items()}
        return _write(self._repo, others | united)

    def _collect(
        self, tree: bytes, before: bytes, notes: dict[bytes, set[bytes]], others: _Tree
    ) -> None:
        """Gather the notes of a folder, whatever folders they stand in, and what is no note."""
        for name, entry in _entries(self._repo, tree).items():
            rest = before + name
            if entry.is_blob and _REST.fullmatch(rest):
                notes.setdefault(rest, set()).add(entry.oid)
            elif entry.is_tree and _FOLDER.fullmatch(name) and len(rest) < _REST_DIGITS:
                self._collect(entry.oid, rest, notes, others)
            elif not before:
                others[name] = _choose(entry, others.get(name))

    def _one(self, oids: set[bytes]) -> bytes:
        if len(oids) == 1:
            return next(iter(oids))
        return _merged(self._repo, oids, self._merge)


def _merged(repo: pygit2.Repository, oids: Iterable[bytes], merge: MergeBlobs) -> bytes:
    """Return the id of the blob that several make, whatever their order."""
    return repo.create_blob(merge([_read(repo, oid, "BLOB") for oid in sorted(oids)])).raw
