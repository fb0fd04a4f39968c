"""Read objects of a repository that may be damaged: each one is there and sound, or why not.

The git program gives up at the first object that it cannot read; here it is started again behind
it. What it hands out is hashed again, since ``git cat-file`` streams a loose object without
comparing it with its name. Replacements (``git replace``) and the commit graph are left aside:
what is asked for is what is stored.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gitexp.git.process import start_git
from gitexp.git.read import MAX_BLOB_BYTES
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple

MISSING = "is missing"
CORRUPT = "is corrupt"
TOO_LARGE = "is too large to be read"
GONE = (MISSING, CORRUPT)
"""What is wrong with an object that another copy of it would cure."""

AS_STORED = {"GIT_NO_REPLACE_OBJECTS": "1"}
"""The variables with which git shows what is stored, and not what was put in its place.

In a partial clone git fetches what it has left at the remote: that is not missing.
"""

PLAIN = ("-c", "core.commitGraph=false", "-c", "core.multiPackIndex=false")
"""Options with which git does without the files that it derives: they may be damaged too."""

_ENTRY = re.compile(rb"([0-7]+) ([^\0]+)\0(.{20})", re.DOTALL)
_MAX_DEPTH = 64
"""Folders within folders; deeper ones are nothing that anybody keeps."""
_MAX_ENTRIES = 2_000_000
"""Files of one tree: a tree of a few kilobytes can be made that has more of them than atoms."""


class Object(NamedTuple):
    """An object as it was read.

    Attributes:
        kind: ``commit``, ``tree``, ``blob`` or ``tag``; empty where it could not be read.
        problem: What is wrong with it, as the end of a sentence; empty for nothing.
    """

    oid: str
    kind: str
    content: bytes
    problem: str


class File(NamedTuple):
    """An entry of a tree that is no folder: its path and mode as git has them."""

    path: bytes
    mode: bytes
    oid: str


class Unread(NamedTuple):
    """An object that could not be read: where it should be, and what is wrong with it."""

    path: bytes
    oid: str
    problem: str


class Walked(NamedTuple):
    """The files of a tree, as far as its folders can be read."""

    files: list[File]
    unread: list[Unread]


class Commit(NamedTuple):
    """What hangs at a commit: its tree and its parents, and its message."""

    tree: str
    parents: list[str]
    message: bytes


def read_objects(repository: Repository, oids: Sequence[str]) -> Iterator[Object]:
    """Yield each object in the given order, whatever state it is in."""
    done = 0
    while done < len(oids):
        for found in _read_some(repository, oids[done:]):
            done += 1
            yield found
        if done < len(oids):  # git gave up; the next one alone tells whether it is the reason
            alone = list(_read_some(repository, [oids[done]]))
            yield alone[0] if alone else Object(oids[done], "", b"", CORRUPT)
            done += 1


def read_object(repository: Repository, oid: str) -> Object:
    """Return one object, whatever state it is in."""
    return next(read_objects(repository, [oid]))


def _read_some(repository: Repository, oids: Sequence[str]) -> Iterator[Object]:
    """Yield objects until git gives up."""
    with _asked(repository, oids) as process:
        for oid in oids:
            found = _parse(process, oid)
            if found is None:
                return
            yield found
            if found.problem == TOO_LARGE:
                return


@contextlib.contextmanager
def _asked(repository: Repository, oids: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.TemporaryFile() as names:
        names.write("".join(f"{oid}\n" for oid in oids).encode("ascii"))
        names.seek(0)
        process = start_git(
            ["cat-file", "--batch", "--buffer"],
            cwd=repository.top,
            environment={**repository.environment, **AS_STORED},
            stdin=names.fileno(),
        )
    try:
        yield process
    finally:
        process.kill()  # does nothing to a process that has ended
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _parse(process: subprocess.Popen[bytes], oid: str) -> Object | None:
    """Return git's next answer; None where it has none."""
    stdout = process.stdout
    header = stdout.readline().split() if stdout is not None else []
    if header[1:] == [b"missing"]:
        return Object(oid, "", b"", MISSING)
    if stdout is None or len(header) != 3:  # noqa: PLR2004 - "<id> <type> <size>"
        return None
    kind, size = header[1].decode("ascii"), int(header[2])
    if size > MAX_BLOB_BYTES:
        return Object(oid, kind, b"", TOO_LARGE)
    content = stdout.read(size)
    if len(content) != size or stdout.read(1) != b"\n":
        return None
    sound = object_id(kind, content) == oid
    return Object(oid, kind, content, "") if sound else Object(oid, "", b"", CORRUPT)


def object_id(kind: str, content: bytes) -> str:
    """Return the id that git gives to an object, as 40 hexadecimal digits."""
    digest = hashlib.sha1(b"%b %d\0" % (kind.encode("ascii"), len(content)))  # noqa: S324 - git's
    digest.update(content)
    return digest.hexdigest()


def parse_commit(content: bytes) -> Commit:
    """Return what a commit object says; its tree is empty where it names none."""
    head, _, message = content.partition(b"\n\n")
    fields = [line.partition(b" ") for line in head.split(b"\n")]
    named = [(key, value.decode("ascii", "replace")) for key, _, value in fields]
    tree = next((value for key, value in named if key == b"tree"), "")
    return Commit(tree, [value for key, value in named if key == b"parent"], message)


def parse_tree(content: bytes) -> Iterator[File]:
    """Yield the entries of a tree object, folders too."""
    for mode, name, oid in _ENTRY.findall(content):
        yield File(name, mode.lstrip(b"0"), oid.hex())


def is_folder(entry: File) -> bool:
    """Say whether an entry of a tree is another tree."""
    return entry.mode == b"40000"


def walk_tree(repository: Repository, tree: str) -> Walked:
    """Return the files of a tree, level by level, and what of it cannot be read."""
    walked = Walked([], [])
    level = [(b"", tree)]
    for _ in range(_MAX_DEPTH):
        below: list[tuple[bytes, str]] = []
        contents = _contents(repository, [oid for _, oid in level])
        for path, oid in level:
            found = contents[oid]
            if found.kind != "tree":
                problem = found.problem or f"is a {found.kind}, not a tree"
                walked.unread.append(Unread(path.rstrip(b"/"), oid, problem))
                continue
            for entry in parse_tree(found.content):
                if is_folder(entry):
                    below.append((path + entry.path + b"/", entry.oid))
                else:
                    walked.files.append(entry._replace(path=path + entry.path))
            if len(walked.files) + len(below) > _MAX_ENTRIES:
                walked.unread.append(Unread(path.rstrip(b"/"), oid, "has too many files"))
                return walked
        if not below:
            return walked
        level = below
    walked.unread.extend(
        Unread(path.rstrip(b"/"), oid, "is nested too deep") for path, oid in level
    )
    return walked


def _contents(repository: Repository, oids: Iterable[str]) -> Mapping[str, Object]:
    return {found.oid: found for found in read_objects(repository, list(dict.fromkeys(oids)))}
