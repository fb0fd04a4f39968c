"""Signatures of commits: which commits are signed, and what git makes of the signature."""

from __future__ import annotations

from collections.abc import Sequence

from gitexp.git.objects import AS_STORED, read_objects
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple

GOOD, BAD = "G", "B"
UNSURE = {
    "U": "is good, but the key's validity is not known",
    "X": "is good and has expired",
    "Y": "is good, by a key that has expired since",
    "R": "is by a key that was revoked",
    "E": "cannot be checked: the key is not known here",
}
"""git's letters (``%G?``, git-log) for what is neither good nor bad."""

_HEADER = b"\ngpgsig "


class Signature(NamedTuple):
    """What git says of a commit's signature.

    Attributes:
        state: The letter of ``%G?``.
        signer: Name of who signed, as far as git knows.
    """

    commit: str
    state: str
    signer: str


def signed_commits(repository: Repository, commits: Sequence[str]) -> list[str]:
    """Return those of the commits that carry a signature."""
    return [
        found.oid
        for found in read_objects(repository, commits)
        if found.kind == "commit" and _HEADER in found.content.partition(b"\n\n")[0]
    ]


def signatures(repository: Repository, commits: Sequence[str]) -> list[Signature]:
    """Return what git makes of the signatures of commits, by the user's own configuration.

    Raises:
        GitCommandError: A commit cannot be read.
    """
    if not commits:
        return []
    output = repository.git(
        ["log", "--no-walk=unsorted", "--stdin", "-z", "--format=%H%x09%G?%x09%GS"],
        stdin="".join(f"{commit}\n" for commit in commits).encode("ascii"),
        environment=AS_STORED,
    )
    lines = output.decode("utf-8", "replace").split("\0")
    return [Signature(*line.split("\t", 2)) for line in lines if line]
