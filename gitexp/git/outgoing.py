"""List the commits and blobs that a remote has not got: what a push sends for the first time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gitexp.git.objects import AS_STORED
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple


class NewObject(NamedTuple):
    """A commit or a blob that is new to a remote.

    Attributes:
        oid: Its object id.
        commit: The first new commit that holds it; of a commit its own id.
        path: Where a blob stands in that commit's tree, as git has it; None for a commit.
    """

    oid: str
    commit: str
    path: bytes | None


def new_objects(
    repository: Repository, tips: Sequence[str], known: Sequence[str]
) -> list[NewObject]:
    """Return the commits and blobs that are reachable from tips, but not from what is known.

    Parents come first, and each commit is followed by the blobs that it brought. Replacements
    (``git replace``) are left aside, as in a push.

    Args:
        repository: Where.
        tips: Ids of commits.
        known: Ids of commits (those that are not here are passed over), and options of
            ``git rev-list`` that stand for some, such as ``--glob=refs/remotes/origin``.

    Raises:
        GitCommandError: An object on the way is missing or damaged.
    """
    options = [word for word in known if word.startswith("-")]
    ids = [word for word in known if not word.startswith("-")]
    here = [oid for oid, kind in zip(ids, _kinds(repository, ids), strict=True) if kind]
    # Before git 2.42 `--stdin` took no options; `--not` counts for what follows it.
    arguments = ["rev-list", "--topo-order", "--reverse", "--objects", "--in-commit-order"]
    arguments += ["--stdin", "--not", *options]
    stdin = "".join(f"{word}\n" for word in (*tips, *(f"^{oid}" for oid in here)))
    output = repository.git(arguments, stdin=stdin.encode(), environment=AS_STORED)
    listed = list(_parse(output))
    kinds = _kinds(repository, [item.oid for item in listed])
    return [item for item, kind in zip(listed, kinds, strict=True) if kind in {b"commit", b"blob"}]


def _parse(output: bytes) -> Iterator[NewObject]:
    """Yield what git lists: commits as ``<id>``, and what their trees hold as ``<id> <path>``."""
    commit = ""
    for line in output.split(b"\n")[:-1]:
        name, in_tree, path = line.partition(b" ")
        oid = name.decode("ascii")
        commit = commit if in_tree else oid
        yield NewObject(oid, commit, path if in_tree else None)


def _kinds(repository: Repository, oids: Sequence[str]) -> list[bytes]:
    """Return ``commit``, ``tree``, ``blob`` or ``tag`` for each; empty for what is missing."""
    if not oids:
        return []
    arguments = ["cat-file", "--batch-check=%(objecttype)", "--buffer"]
    stdin = "".join(f"{oid}\n" for oid in oids).encode()
    answers = repository.git(arguments, stdin=stdin, environment=AS_STORED).split(b"\n")[:-1]
    return [b"" if answer.endswith(b" missing") else answer for answer in answers]
