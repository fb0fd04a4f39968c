"""What objects weigh, asked of the git program: sizes of blobs, and the share of some refs.

The share of refs is what ``git gc`` could free if they were gone: what they reach and neither
branches, tags nor remote-tracking branches do. Asking walks all of it, so it costs some
milliseconds for a hundred runs and seconds for a hundred thousand.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from gitexp.git.repository import Repository

# The edge option is what makes git leave out all that the excluded tips hold; without it, only
# what the direct parents hold is left out. It prints the edges too, with a dash before each.
_OBJECTS = ("rev-list", "--objects-edge-aggressive")
_NOT_OURS = ("--not", "--branches", "--tags", "--remotes")


def object_sizes(repository: Repository, oids: Sequence[str]) -> dict[str, int | None]:
    """Return the size in bytes of objects as they are without compression; None: missing."""
    if not oids:
        return {}
    output = repository.git(
        ["cat-file", "--batch-check=%(objectsize)", "--buffer"],
        stdin="".join(f"{oid}\n" for oid in oids).encode("ascii"),
    )
    answers = output.decode("ascii").splitlines()
    return {o: int(a) if a.isdigit() else None for o, a in zip(oids, answers, strict=True)}


def disk_bytes(repository: Repository, *prefixes: str) -> int:
    """Return the bytes on disk of what only refs below some prefixes keep alive.

    Raises:
        GitCommandError: An object that they reach is missing or corrupt.
    """
    output = repository.git([*_OBJECTS, "--disk-usage", *map(_glob, prefixes), *_NOT_OURS])
    return int(output.splitlines()[-1])


def heaviest_paths(repository: Repository, *prefixes: str) -> Counter[bytes]:
    """Return the bytes on disk by path, over all versions that only refs below prefixes keep.

    Raises:
        GitCommandError: An object that they reach is missing or corrupt.
    """
    listed = repository.git([*_OBJECTS, *map(_glob, prefixes), *_NOT_OURS])
    ours = [line for line in listed.split(b"\n") if line and not line.startswith(b"-")]
    output = repository.git(
        ["cat-file", "--batch-check=%(objecttype) %(objectsize:disk) %(rest)", "--buffer"],
        stdin=b"\n".join(ours),
    )
    weights: Counter[bytes] = Counter()
    for kind, size, path in re.findall(rb"(?m)^(\w+) (\d+) (.*)$", output):
        if kind == b"blob":
            weights[path] += int(size)
    return weights


def _glob(prefix: str) -> str:
    return f"--glob={prefix.rstrip('/')}"
