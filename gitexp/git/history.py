"""How the commits of a ref hang together: ancestry, and merges that depend on nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitexp.errors import BadShardError, MissingObjectError
from gitexp.git.repository import Repository
from gitexp.git.write import write_error

if TYPE_CHECKING:
    import pygit2

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
"""The id of the tree without entries, which every repository can read."""

_MERGER = ("exprag", "exprag@localhost")
MERGE_MESSAGE = "exprag: union\n"
"""The whole message of a merge of two states of a shard."""


def tree_of_commit(repository: Repository, commit: str) -> str:
    """Return the id of a commit's tree.

    Raises:
        MissingObjectError: The commit is not here.
        BadShardError: It is no commit.
    """
    return str(_commit(repository, commit).tree_id)


def parents_of(repository: Repository, commit: str) -> list[str]:
    """Return the ids of a commit's parents; raise what `tree_of_commit` raises."""
    return [str(oid) for oid in _commit(repository, commit).parent_ids]


def time_of(repository: Repository, commit: str) -> int:
    """Return a commit's time in seconds since 1970; raise what `tree_of_commit` raises."""
    return _commit(repository, commit).commit_time


def message_of(repository: Repository, commit: str) -> str:
    """Return a commit's message; raise what `tree_of_commit` raises."""
    return _commit(repository, commit).message


def _commit(repository: Repository, oid: str) -> pygit2.Commit:
    import pygit2

    try:
        found = repository.objects()[oid]
    except (KeyError, pygit2.GitError) as error:
        raise MissingObjectError(f"The commit {oid} is missing from this repository.") from error
    if found.type != pygit2.enums.ObjectType.COMMIT:
        raise BadShardError(f"The object {oid} is no commit.")
    return found.peel(pygit2.Commit)


def is_ancestor(repository: Repository, old: str, new: str) -> bool:
    """Say whether a commit is another, or comes before it in its history."""
    if old == new:
        return True
    import pygit2

    try:
        return repository.objects().descendant_of(new, old)
    except (pygit2.GitError, KeyError) as error:
        raise MissingObjectError(f"The history of {new} is not whole: {error}.") from error


def merge_commit(repository: Repository, tree: str, parents: Sequence[str]) -> str:
    """Write the merge of commits; the same ones give the same merge, whoever writes it.

    Raises:
        MissingObjectError: A parent is not here.
        GitexpError: It could not be written.
    """
    import pygit2

    time = max(_commit(repository, parent).commit_time for parent in parents)
    merger = pygit2.Signature(*_MERGER, time, 0)
    ids = [pygit2.Oid(hex=parent) for parent in sorted(set(parents))]
    repo = repository.objects()
    try:
        commit = repo.create_commit(None, merger, merger, MERGE_MESSAGE, pygit2.Oid(hex=tree), ids)
    except (pygit2.GitError, KeyError, ValueError, OSError) as error:
        raise write_error(error, "write a merge") from error
    return str(commit)
