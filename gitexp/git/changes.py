"""What the commits of a ref took away or replaced, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from gitexp.git.objects import AS_STORED, PLAIN
from gitexp.git.process import start_git, translate_failure
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple

_LOG = ("log", "-z", "-m", "--raw", "-r", "--no-abbrev", "--no-renames", "--diff-filter=MDT")
_PIECE = 1 << 16


class Change(NamedTuple):
    """A file that a commit does not have as one of its parents has it.

    Attributes:
        merge: The commit has other parents too.
        new: Id of the content in the commit; None where the file is gone.
    """

    commit: str
    merge: bool
    path: bytes
    old: str
    new: str | None


def changes(repository: Repository, tip: str) -> Iterator[Change]:
    """Yield what each commit behind a tip has not got as its parents have it, the latest first.

    Raises:
        GitCommandError: git gave up at an object that is missing or corrupt; what comes before it
            has been yielded.
    """
    process = start_git(
        [*PLAIN, "-c", "log.showRoot=false", *_LOG, "--format=%x01%H %P", tip, "--"],
        cwd=repository.top,
        environment={**repository.environment, **AS_STORED},
    )
    with process:
        if process.stdout is not None:
            yield from _parse(process.stdout)
        errors = process.stderr.read() if process.stderr is not None else b""
        if process.wait():
            raise translate_failure(process.args, process.returncode, errors)


def _parse(output: IO[bytes]) -> Iterator[Change]:
    commit, merge = "", False
    tokens = _tokens(output)
    for token in tokens:
        if token.startswith(b"\1"):
            commit, *parents = token[1:].decode("ascii").split()
            merge = len(parents) > 1
        elif token.startswith(b":"):
            _, _, old, new, status = token.decode("ascii").split(" ")
            path = next(tokens, b"")
            yield Change(commit, merge, path, old, None if status == "D" else new)


def _tokens(output: IO[bytes]) -> Iterator[bytes]:
    """Yield what stands between NULs; git begins some with the end of a line."""
    rest = b""
    while piece := output.read(_PIECE):
        *whole, rest = (rest + piece).split(b"\0")
        yield from (token.lstrip(b"\n") for token in whole)
