"""Unite two states of a shard: whatever their histories are, nothing that is in either is lost.

A shard is a set that grows, so its union needs no common ancestor, and nothing can conflict. The
commit of a union depends on the two states alone (docs/format.md, "Refs"): whoever unites them
gets the same commit, so clones that unite the same states at the same time agree at once.

The one exception to growth is collection (docs/format.md, "Removal"): what a collected tombstone
covers is left out, whichever side still has it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gitexp.errors import BadShardError
from gitexp.git import refs
from gitexp.git.history import EMPTY_TREE, is_ancestor, merge_commit, tree_of_commit
from gitexp.git.read import list_tree
from gitexp.git.repository import Repository
from gitexp.git.trees import remove_paths
from gitexp.git.unite import unite_files, unite_line_files, unite_notes
from gitexp.git.write import move_ref
from gitexp.records.facts import BadLineError, TombstoneFact, decode_fact
from gitexp.store.batch import split_lines
from gitexp.store.library import unite_library_lines
from gitexp.store.read import noted_run

REMOVED = "removed/"
"""Where a files shard names the runs whose files were collected."""


def unite_ref(repository: Repository, ref: str, other: str) -> str:
    """Make a ref of the store hold what another state holds too; return what it names then.

    Args:
        repository: Where.
        ref: Full name of a shard's ref; it may not exist yet.
        other: Id of a commit: another state of this shard.

    Raises:
        MissingObjectError: An object that is needed is not here; the ref stays.
        ConflictError: Others kept winning the race for the ref.
        BadShardError: The other state is no shard.
        GitexpError: It could not be written.
    """
    tip = move_ref(
        repository, ref, lambda mine: unite_commits(repository, ref, mine or other, other)
    )
    return tip or other


def unite_commits(repository: Repository, ref: str, a: str, b: str) -> str:
    """Return the commit that holds two states of a shard: one of them, or a merge.

    Args:
        repository: Where.
        ref: Full name of a ref of this kind of shard.
        a: Id of a commit.
        b: Id of another; the order of the two means nothing.

    Raises:
        GitexpError: As `unite_ref`.
    """
    trees = [tree_of_commit(repository, commit) for commit in (a, b)]
    united = unite_trees(repository, ref, *trees)
    if a == b:
        return a
    for old, new, tree in ((a, b, trees[1]), (b, a, trees[0])):
        if united == tree and is_ancestor(repository, old, new):
            return new
    return merge_commit(repository, united, (a, b))


def unite_trees(repository: Repository, ref: str, a: str, b: str) -> str:
    """Return the tree that holds two states of a shard (ids of trees)."""
    if ref.startswith(refs.CODE):
        if {a, b} != {EMPTY_TREE}:
            raise BadShardError(f"A commit of {ref} has files, which no chain of code has.")
        return EMPTY_TREE
    if ref.startswith(refs.FILES):
        return _without_removed(repository, unite_files(repository, a, b))
    if ref.startswith(refs.LIBRARY):
        return unite_line_files(repository, a, b, unite_library_lines)
    return unite_notes(repository, a, b, unite_lines)


def _without_removed(repository: Repository, tree: str) -> str:
    """Leave out the files of the runs that a files shard names as removed."""
    removed = list_tree(repository, tree, REMOVED)
    runs = [noted_run(entry.path.removeprefix(REMOVED.encode())) for entry in removed]
    folders = [f"{run[:2]}/{run[2:]}" for run in runs if run is not None]
    return remove_paths(repository, tree, folders) if folders else tree


def unite_lines(notes: Sequence[bytes]) -> bytes:
    """Return the note that holds the lines of several, each once.

    It is one of them as it is where that holds all; else the lines are sorted, as git's own
    merge strategy ``cat_sort_uniq`` has them.
    """
    sets = [frozenset(split_lines(note)) for note in notes]
    united = without_collected(frozenset().union(*sets))
    whole = [note for note, lines in zip(notes, sets, strict=True) if lines == united]
    return min(whole) if whole else b"".join(line + b"\n" for line in sorted(united))


def without_collected(lines: frozenset[bytes]) -> frozenset[bytes]:
    """Return the lines of a note, but for those that a collected tombstone covers."""
    if is_collected(lines):
        return frozenset(line for line in lines if as_tombstone(line) is not None)
    return lines


def is_collected(lines: Iterable[bytes]) -> bool:
    """Say whether there is a collected tombstone among the lines of a note."""
    return any(fact.collected for line in lines if (fact := as_tombstone(line)) is not None)


def as_tombstone(line: bytes) -> TombstoneFact | None:
    """Return the tombstone on a line; None where there is something else on it."""
    if b'"tombstone"' not in line:
        return None
    try:
        fact = decode_fact(line)
    except BadLineError:
        return None
    return fact if isinstance(fact, TombstoneFact) else None
