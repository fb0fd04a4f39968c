"""Ask git whether the repository is whole: its objects, and the files that it derives from them.

``git fsck`` looks at everything that any ref reaches, the user's own history too. It may itself
die of what it finds; then it has said what it met until then.
"""

from __future__ import annotations

import re
from pathlib import Path

from gitexp.errors import GitCommandError
from gitexp.git.objects import AS_STORED, PLAIN
from gitexp.git.process import start_git
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple

_FSCK = ("fsck", "--full", "--no-dangling", "--no-progress", "--no-reflogs")
_OID = re.compile(r"(?<![0-9a-f])[0-9a-f]{40}(?![0-9a-f])|(?<=/)[0-9a-f]{2}/[0-9a-f]{38}\b")
_MALFORMED = re.compile(r"error in (?:commit|tree|blob|tag) [0-9a-f]{40}: ")
_QUIET = re.compile(r"(?:warning|notice|Checking|dangling|unreachable|root)\b")


class Complaint(NamedTuple):
    """A line of ``git fsck``.

    Attributes:
        oids: The objects that it names.
        malformed: The object is there as it was written, but it is not as git would write it.
    """

    text: str
    oids: tuple[str, ...]
    malformed: bool


class Derived(NamedTuple):
    """A file that git derives from its objects and that is damaged."""

    name: str
    path: Path
    reason: str


def complaints(repository: Repository) -> list[Complaint]:
    """Return what git has to say against the repository's objects; nothing where it is whole."""
    process = start_git(
        [*PLAIN, *_FSCK],
        cwd=repository.top,
        environment={**repository.environment, **AS_STORED},
    )
    printed, errors = process.communicate()
    if process.returncode == 0:
        return []
    lines = (printed + b"\n" + errors).decode("utf-8", "replace").splitlines()
    said = dict.fromkeys(text for line in lines if _counts(text := line.strip()))
    if process.returncode < 0:
        said[f"git fsck was ended by signal {-process.returncode}"] = None
    return [_complaint(text) for text in said or ["git fsck failed and said nothing"]]


def _counts(text: str) -> bool:
    return bool(text) and not _QUIET.match(text) and not text.startswith(("broken link", "to "))


def _complaint(text: str) -> Complaint:
    oids = tuple(dict.fromkeys(oid.replace("/", "") for oid in _OID.findall(text)))
    return Complaint(text, oids, _MALFORMED.match(text) is not None)


def damaged_derived(repository: Repository) -> list[Derived]:
    """Return those of git's derived files that are damaged: commit graph, multi-pack index."""
    objects = Path(_objects_folder(repository))
    found = []
    for name, places in _DERIVED.items():
        there = [objects / place for place in places if (objects / place).exists()]
        if not there:
            continue
        try:
            repository.git([name, "verify"], environment=AS_STORED)
        except GitCommandError as error:
            found += [Derived(name, path, error.message) for path in there]
    return found


_DERIVED = {
    "commit-graph": ("info/commit-graph", "info/commit-graphs"),
    "multi-pack-index": ("pack/multi-pack-index",),
}


def _objects_folder(repository: Repository) -> str:
    words = ["rev-parse", "--path-format=absolute", "--git-path", "objects"]
    return repository.git(words).decode("utf-8", "surrogateescape").rstrip("\n")
