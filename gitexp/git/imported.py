"""Snapshots of runs that happened elsewhere, made of what is known of their code.

Such a snapshot depends on nothing but what is imported: its author, date and nonce are given, it
is never signed, so whoever imports the same run makes the same commit.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from gitexp.errors import GitCommandError
from gitexp.git.commit import snapshot_message
from gitexp.git.repository import Repository
from gitexp.git.write import write_error

if TYPE_CHECKING:
    import pygit2

IMPORTER = ("exprag", "exprag@localhost")
"""Name and email address that stand in imported snapshots."""

_HEX = re.compile(r"[0-9a-f]{4,40}")
_FULL = 40
_OWN = "exprag"
"""What the messages of snapshots and of commits of shards begin with."""
_MAX_SECONDS = (1 << 33) - 1
"""git's own tools stumble over commits that are younger than the year 2242."""


class Code(NamedTuple):
    """A commit of this repository that a ledger names.

    Attributes:
        commit: Its full id.
        tree: Id of its tree.
        seconds: When it was committed, in seconds since 1970.
        parent: Id of its first parent; None where it has none.
        changes: Its tree is another than that parent's.
    """

    commit: str
    tree: str
    seconds: int
    parent: str | None
    changes: bool


class Origin(NamedTuple):
    """What an imported snapshot is made of.

    Attributes:
        name: Of the run.
        nonce: 16 hexadecimal digits.
        tree: Id of its tree; of the empty one where the code is not known.
        parent: Id of its parent commit; None for none.
        seconds: Its date, in seconds since 1970.
        dirty: The tree differs from the parent's.
    """

    name: str
    nonce: str
    tree: str
    parent: str | None
    seconds: int
    dirty: bool


def find_code(repository: Repository, names: Iterable[str]) -> dict[str, Code]:
    """Return the commits that names of a ledger stand for; what is no commit is left out.

    A name is 4 to 40 hexadecimal digits. A short one counts where one object alone begins with
    it and that is a commit, and not a snapshot or a commit of a shard: those were not there when
    the ledger was written.
    """
    repo = repository.objects()
    found = ((name, _code(repo, name)) for name in dict.fromkeys(names))
    return {name: code for name, code in found if code is not None}


def _code(repo: pygit2.Repository, name: str) -> Code | None:
    import pygit2

    digits = name.lower()
    if not _HEX.fullmatch(digits):
        return None
    try:
        found = repo[digits]
        if found.type != pygit2.enums.ObjectType.COMMIT:
            return None
        commit = found.peel(pygit2.Commit)
        tree = repo[commit.tree_id]  # a shallow or partial clone may lack it
    except (KeyError, ValueError, pygit2.GitError):
        return None  # nothing, several objects, or one that is damaged
    if len(digits) < _FULL and commit.message.startswith(_OWN):
        return None
    parent = next(iter(commit.parent_ids), None)
    before = None if parent is None else _tree_of(repo, parent)
    parent_id = None if parent is None else str(parent)
    changes = before != commit.tree_id
    return Code(str(commit.id), str(tree.id), commit.commit_time, parent_id, changes)


def _tree_of(repo: pygit2.Repository, commit: pygit2.Oid) -> pygit2.Oid | None:
    """Return the id of a commit's tree; None where the commit is not here."""
    import pygit2

    try:
        return repo[commit].peel(pygit2.Commit).tree_id
    except (KeyError, pygit2.GitError):
        return None


def write_snapshots(repository: Repository, origins: Iterable[Origin]) -> Iterator[str]:
    """Write the snapshot of each origin and yield its id; no ref is touched.

    Raises:
        GitCommandError: A commit could not be written.
    """
    import pygit2

    repo = repository.objects()
    repo.TreeBuilder().write()  # the empty tree
    for origin in origins:
        seconds = min(max(origin.seconds, 0), _MAX_SECONDS)
        author = pygit2.Signature(*IMPORTER, seconds, 0)
        parents = [pygit2.Oid(hex=origin.parent)] if origin.parent else []
        tree = pygit2.Oid(hex=origin.tree)
        message = snapshot_message(origin.name, origin.nonce, dirty=origin.dirty)
        try:
            commit = repo.create_commit(None, author, author, message, tree, parents)
        except OSError as error:
            raise write_error(error, "write a snapshot") from error
        except (pygit2.GitError, KeyError, ValueError) as error:
            raise GitCommandError(f"The commit could not be written: {error}") from error
        yield str(commit)
