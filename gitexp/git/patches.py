"""The change of a run against its base commit, as data: which files, and their two contents.

The base of a run is the parent of its snapshot, the commit that ``HEAD`` named. A run that was
started from a clean work tree has no change against it. Then the commit itself is taken for what
was tried, as loops do that commit each experiment before they run it: the change is that of
``HEAD`` against its own first parent. Whether that commit was made for the run, or many runs share
it, cannot be seen here; who compares runs has to look at their parameters too.

What libgit2 reads is bounded: a file that is larger than `MAX_FILE_BYTES`, or binary, counts by
the ids of its blobs alone, and so does every file behind the first `MAX_FILES` or
`MAX_CHANGE_BYTES` of one change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from gitexp.git.history import EMPTY_TREE
from gitexp.git.repository import Repository

if TYPE_CHECKING:
    import pygit2

MAX_FILE_BYTES = 1 << 20
MAX_FILES = 400
MAX_CHANGE_BYTES = 8 << 20

_FOLDER, _SUBMODULE = 0o040000, 0o160000
_MAX_DEPTH = 64
_BINARY_BYTES = 8000
"""How much git itself looks at to tell whether a file is binary."""

Ignored = Callable[[str], bool]
"""Says of the path of a file or folder, relative to the top, whether it does not matter."""


class Base(NamedTuple):
    """Trees that a change lies between.

    Attributes:
        old: Id of the base's tree, 40 hexadecimal digits; the empty tree for a first commit.
        new: Id of the tree with the change.
        commit: Id of the base commit; None for a first commit.
    """

    old: str
    new: str
    commit: str | None


class FileChange(NamedTuple):
    """A file that a change touches.

    Attributes:
        path: Relative to the top; bytes that are not UTF-8 as surrogates.
        old_mode: As git has it, 0 where the file was not there; `new_mode` likewise.
        old_id: Id of the blob, empty where there was none; `new_id` likewise.
        old: Content, empty where there was no file; `new` likewise. Both are None for a file that
            counts by its ids alone.
    """

    path: str
    old_mode: int
    new_mode: int
    old_id: str
    new_id: str
    old: bytes | None
    new: bytes | None


class Hunk(NamedTuple):
    """Lines that a change takes away and puts in their place.

    Attributes:
        old_start: Index, from 0, of the first line taken away; of the line behind the new ones
            where none is. `new_start` likewise in the new text.
        removed: How many lines go; `added` how many come.
    """

    old_start: int
    removed: int
    new_start: int
    added: int


def bases(repository: Repository, runs: Iterable[str]) -> Iterator[tuple[str, Base | None]]:
    """Yield each run (its id) with the trees that its change lies between.

    None stands for a run whose snapshot, or a commit that it needs, is not here.
    """
    repo = repository.objects()
    for run in runs:
        yield run, _base(repo, run)


def base_of_tree(repository: Repository, tree: str, head: str | None) -> Base | None:
    """Return what `bases` does for a tree that is not committed yet, on top of a commit.

    Args:
        repository: That holds both.
        tree: Id of the tree.
        head: Id of the commit; None on an unborn branch.
    """
    repo = repository.objects()
    if head is None:
        return Base(EMPTY_TREE, tree, None)
    return _between(repo, tree, head)


def _base(repo: pygit2.Repository, run: str) -> Base | None:
    snapshot = _commit(repo, run)
    if snapshot is None:
        return None
    tree = str(snapshot.tree_id)
    if not snapshot.parent_ids:
        return Base(EMPTY_TREE, tree, None)
    return _between(repo, tree, str(snapshot.parent_ids[0]))


def _between(repo: pygit2.Repository, tree: str, head: str) -> Base | None:
    commit = _commit(repo, head)
    if commit is None:
        return None
    if str(commit.tree_id) != tree:
        return Base(str(commit.tree_id), tree, head)
    if not commit.parent_ids:
        return Base(EMPTY_TREE, tree, None)
    parent = _commit(repo, str(commit.parent_ids[0]))
    return None if parent is None else Base(str(parent.tree_id), tree, str(parent.id))


def _commit(repo: pygit2.Repository, oid: str) -> pygit2.Commit | None:
    import pygit2

    try:
        return repo[oid].peel(pygit2.Commit)
    except (KeyError, ValueError, pygit2.GitError):
        return None


def changed_files(
    repository: Repository, old: str, new: str, ignored: Ignored
) -> list[FileChange] | None:
    """Return the files that differ between two trees and matter, by path; None if one is missing.

    Args:
        repository: That holds the trees.
        old: Id of a tree.
        new: Id of another.
        ignored: What does not matter.
    """
    import pygit2

    repo = repository.objects()
    try:
        before, after = (
            None if tree == EMPTY_TREE else repo[tree].peel(pygit2.Tree) for tree in (old, new)
        )
        found = sorted(_differences(before, after, "", ignored, 0), key=lambda entry: entry[0])
        return list(_read(repo, found))
    except (KeyError, ValueError, pygit2.GitError):
        return None


_Side = tuple[int, str]
"""Mode and id of what a tree has at a path; ``(0, "")`` where it has nothing."""
_NOTHING: _Side = (0, "")


def _differences(
    old: pygit2.Tree | None, new: pygit2.Tree | None, path: str, ignored: Ignored, depth: int
) -> Iterator[tuple[str, _Side, _Side]]:
    """Yield what differs between two folders; those that are the same are not entered."""
    import pygit2

    if depth > _MAX_DEPTH:
        return
    before, after = _entries(old), _entries(new)
    for name in before.keys() | after.keys():
        one, two = before.get(name), after.get(name)
        below = path + name
        if _side(one) == _side(two) or ignored(below):
            continue
        folders = [entry if isinstance(entry, pygit2.Tree) else None for entry in (one, two)]
        if folders != [None, None]:
            yield from _differences(folders[0], folders[1], f"{below}/", ignored, depth + 1)
        sides = [_side(None if isinstance(entry, pygit2.Tree) else entry) for entry in (one, two)]
        if sides[0] != sides[1]:
            yield below, sides[0], sides[1]


def _entries(tree: pygit2.Tree | None) -> dict[str, pygit2.Object]:
    if tree is None:
        return {}
    return {(entry.raw_name or b"").decode("utf-8", "surrogateescape"): entry for entry in tree}


def _side(entry: pygit2.Object | None) -> _Side:
    return _NOTHING if entry is None else (int(entry.filemode), str(entry.id))


def _read(
    repo: pygit2.Repository, found: Sequence[tuple[str, _Side, _Side]]
) -> Iterator[FileChange]:
    left = MAX_CHANGE_BYTES
    for number, (path, old, new) in enumerate(found):
        contents = (None, None) if number >= MAX_FILES else _contents(repo, old, new, left)
        left -= sum(len(content or b"") for content in contents)
        yield FileChange(path, old[0], new[0], old[1], new[1], *contents)


def _contents(
    repo: pygit2.Repository, old: _Side, new: _Side, left: int
) -> tuple[bytes | None, bytes | None]:
    """Return both contents of a file, or twice None where one is not to be read as text."""
    read: list[bytes] = []
    for mode, oid in (old, new):
        content = b"" if not mode else _content(repo, mode, oid, left)
        if content is None:
            return None, None
        read.append(content)
    return read[0], read[1]


def _content(repo: pygit2.Repository, mode: int, oid: str, left: int) -> bytes | None:
    import pygit2

    if mode == _SUBMODULE:
        return None
    blob = repo[oid]
    if not isinstance(blob, pygit2.Blob) or blob.size > min(MAX_FILE_BYTES, left):
        return None
    content: bytes = blob.data
    return None if b"\0" in content[:_BINARY_BYTES] else content


def line_hunks(old: bytes, new: bytes) -> list[Hunk]:
    """Return how one text becomes another, line by line, as libgit2's own diff has it."""
    import pygit2

    if old == new:
        return []
    patch = pygit2.Patch.create_from(old, new, context_lines=0, interhunk_lines=0)
    return [
        Hunk(
            hunk.old_start - (1 if hunk.old_lines else 0),
            hunk.old_lines,
            hunk.new_start - (1 if hunk.new_lines else 0),
            hunk.new_lines,
        )
        for hunk in patch.hunks
    ]
