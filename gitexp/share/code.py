"""The chain of code of a shard: commits without files, whose parents are snapshots.

Any number of snapshots travel, and stay alive, under the one ref ``refs/exprag/code/<shard>``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from gitexp.git.commit import tree_of, write_commit
from gitexp.git.repository import Repository
from gitexp.git.write import update_ref

if TYPE_CHECKING:
    import pygit2

CODE_MESSAGE = "exprag code"
"""What the message of a commit of a chain begins with; that of a snapshot never does."""

_PARENTS = 1_000
"""Snapshots that one commit of a chain adds at most."""


def unreachable(repository: Repository, commits: Sequence[str], known: Iterable[str]) -> list[str]:
    """Return those of the commits that cannot be reached from what is known, nor from each other.

    Args:
        repository: Where.
        commits: Ids of commits that are here.
        known: Ids of commits; what is not here is left aside.

    Raises:
        GitCommandError: An object of their history is missing.
    """
    if not commits:
        return []
    # The parents' history is left aside too: what is asked is whether these commits are known.
    lines = [*commits, *(f"^{commit}^@" for commit in commits), *(f"^{oid}" for oid in known)]
    found = repository.git(
        ["rev-list", "--ignore-missing", "--stdin"], stdin="\n".join(lines).encode() + b"\n"
    )
    return sorted(set(commits).intersection(found.decode("ascii").split()))


def extend_chain(repository: Repository, ref: str, snapshots: Sequence[str]) -> None:
    """Add snapshots to the chain of code that a ref names, or begin it with them.

    Raises:
        ConflictError: Others kept winning the race for the ref.
        GitexpError: An object could not be written.
    """

    def build(_repo: pygit2.Repository, tip: pygit2.Oid | None) -> pygit2.Oid:
        import pygit2

        before = [] if tip is None else [str(tip)]
        return pygit2.Oid(hex=write_chain(repository, before, snapshots))

    if snapshots:
        update_ref(repository, ref, build)


def write_chain(repository: Repository, before: Sequence[str], snapshots: Sequence[str]) -> str:
    """Return the tip of a chain that goes on from its last commits and adds snapshots."""
    tree = tree_of(repository, None)
    last = list(before)
    for start in range(0, max(len(snapshots), 1), _PARENTS):
        batch = snapshots[start : start + _PARENTS]
        noun = "snapshot" if len(batch) == 1 else "snapshots"
        message = f"{CODE_MESSAGE}: {len(batch)} {noun}\n"
        last = [write_commit(repository, message, tree, [*last, *batch])]
    return last[0]
