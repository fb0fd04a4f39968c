"""Bulk reads through the git program: refs, trees, blobs, commits.

Reading never loads libgit2: asking git costs a process of about a millisecond, importing
pygit2 45 of them, and ``git cat-file --batch`` reads a fresh clone's notes in pack order.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence

from gitexp.errors import GitCommandError
from gitexp.git.process import finish_git, start_git, translate_failure
from gitexp.git.repository import Repository
from gitexp.light import NamedTuple

MAX_BLOB_BYTES = 4 << 30
"""A declared size beyond this is not read: the largest honest metric log is far smaller."""

MAX_LISTING_BYTES = 256 << 20
"""What git may say of one tree: 2.6 million notes. A few small objects can stand for a tree of any
number of entries, since the same subtree can be in it many times."""


class TreeEntry(NamedTuple):
    """A blob in a tree: its path (bytes, as git has it), object id, and mode as text."""

    path: bytes
    oid: str
    mode: str


def list_refs(repository: Repository, *prefixes: str) -> dict[str, str]:
    """Return ref name -> object id for all refs below the given prefixes."""
    output = repository.git(["for-each-ref", "--format=%(objectname) %(refname)", *prefixes])
    # Not `splitlines`: names may hold what Unicode takes for the end of a line.
    lines = output.decode("utf-8", "surrogateescape").split("\n")[:-1]
    return {name: oid for oid, _, name in (line.partition(" ") for line in lines)}


def any_ref(repository: Repository, prefix: str) -> bool:
    """Say whether there is a ref below a prefix."""
    return bool(repository.git(["for-each-ref", "--count=1", "--format=x", prefix]))


def resolve(repository: Repository, revision: str) -> str | None:
    """Return the id of the commit that a revision names; None when it names none."""
    return _peel(repository, revision, "commit")


def resolve_tree(repository: Repository, revision: str) -> str | None:
    """Return the id of the tree that a revision names; None when it names none."""
    return _peel(repository, revision, "tree")


def _peel(repository: Repository, revision: str, kind: str) -> str | None:
    words = ["rev-parse", "--quiet", "--verify", "--end-of-options", f"{revision}^{{{kind}}}"]
    try:
        output = repository.git(words)
    except GitCommandError:
        return None
    return output.decode("ascii").strip()


class CommitInfo(NamedTuple):
    """A commit: its tree, its time in seconds since 1970, and its subject line."""

    tree: str
    time: int
    subject: str


def read_commit(repository: Repository, oid: str) -> CommitInfo | None:
    """Return what a commit says of itself; None where the object is missing or is none."""
    words = ["show", "-s", "--no-show-signature", "--format=%T%n%ct%n%s", f"{oid}^{{commit}}"]
    try:
        output = repository.git(words)
    except GitCommandError:
        return None
    tree, seconds, subject = output.decode("utf-8", "replace").split("\n")[:3]
    return CommitInfo(tree, int(seconds), subject)


def list_tree(repository: Repository, tree: str, path: str = "") -> list[TreeEntry]:
    """Return all blobs of a commit's or tree's files, below ``path`` if one is given.

    Raises:
        GitCommandError: The object is missing, is no tree, or holds too many.
    """
    arguments = ["ls-tree", "-r", "-z", "--full-tree", tree]
    output = _listing(repository, [*arguments, "--", path] if path else arguments)
    return [_tree_entry(record) for record in output.split(b"\0") if record]


def _tree_entry(record: bytes) -> TreeEntry:
    head, _, path = record.partition(b"\t")
    mode, _, oid = head.decode("ascii").split(" ")
    return TreeEntry(path, oid, mode)


def changed_entries(repository: Repository, old: str, new: str) -> dict[bytes, str | None]:
    """Return path -> blob id of what differs between two trees; None for what is gone.

    Raises:
        GitCommandError: An object is missing, or too much differs.
    """
    words = ["diff-tree", "-r", "-z", "--raw", "--no-renames", old, new, "--"]
    output = _listing(repository, words)
    fields = output.split(b"\0")
    heads = (head.decode("ascii").split(" ") for head in fields[0:-1:2])
    return {
        path: None if head[4] == "D" else head[3]
        for head, path in zip(heads, fields[1::2], strict=True)
    }


def _listing(repository: Repository, arguments: Sequence[str]) -> bytes:
    """Return what git says of a tree.

    Raises:
        GitCommandError: git failed, or said more than `MAX_LISTING_BYTES`.
    """
    process = start_git(arguments, cwd=repository.top, environment=repository.environment)
    try:
        output = process.stdout.read(MAX_LISTING_BYTES + 1) if process.stdout is not None else b""
    except BaseException:
        process.kill()
        process.wait()
        raise
    if len(output) > MAX_LISTING_BYTES:
        process.kill()
        process.communicate()
        raise GitCommandError("The tree has too many entries to read.")
    return output + finish_git(process)


def read_blobs(
    repository: Repository, oids: Sequence[str], max_bytes: int = MAX_BLOB_BYTES
) -> Iterator[tuple[str, bytes | None]]:
    """Yield each object id with its content, in the given order; None where it is missing.

    Raises:
        GitCommandError: git failed in the middle (a corrupt object, say), or an object declares
            more than ``max_bytes``.
    """
    if oids:
        with _batch(repository, ["--batch", "--buffer"], oids) as process:
            yield from _parse_batch(process, oids, max_bytes)
            _require_success(process)


def read_trees(repository: Repository, commits: Sequence[str]) -> Iterator[str | None]:
    """Yield the tree of each commit, in the given order; None where the commit is not here.

    Raises:
        GitCommandError: git failed in the middle (a corrupt object, say).
    """
    if not commits:
        return
    names = [f"{commit}^{{tree}}" for commit in commits]
    options = ["--batch-check=%(objectname)", "--buffer"]
    with _batch(repository, options, names, {"GIT_NO_LAZY_FETCH": "1"}) as process:
        for line in process.stdout or ():
            name = line.decode("ascii").strip()
            yield None if name.endswith(" missing") else name
        _require_success(process)


@contextlib.contextmanager
def _batch(
    repository: Repository,
    options: Sequence[str],
    names: Sequence[str],
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``git cat-file`` on names; its answers come on standard output meanwhile."""
    process = start_git(
        ["cat-file", *options],
        cwd=repository.top,
        environment={**repository.environment, **(environment or {})},
        stdin=subprocess.PIPE,
    )
    feeder = threading.Thread(target=_feed, args=(process, names), daemon=True)
    feeder.start()
    try:
        yield process
    finally:
        process.kill()  # does nothing to a process that has ended
        process.wait()
        feeder.join()
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def _require_success(process: subprocess.Popen[bytes]) -> None:
    errors = process.stderr.read() if process.stderr is not None else b""
    if process.wait():
        raise translate_failure(process.args, process.returncode, errors)


def _feed(process: subprocess.Popen[bytes], oids: Iterable[str]) -> None:
    stdin = process.stdin
    if stdin is None:
        return
    try:
        stdin.write("".join(f"{oid}\n" for oid in oids).encode("ascii"))
        stdin.close()
    except (BrokenPipeError, ValueError):
        return  # git ended early; its exit code tells the reader


def _parse_batch(
    process: subprocess.Popen[bytes], oids: Iterable[str], max_bytes: int
) -> Iterator[tuple[str, bytes | None]]:
    stdout = process.stdout
    if stdout is None:
        return
    for oid in oids:
        header = stdout.readline().split()
        if len(header) == 2 and header[1] == b"missing":  # noqa: PLR2004 - "<id> missing"
            yield oid, None
            continue
        if len(header) != 3:  # noqa: PLR2004 - "<id> <type> <size>"
            _require_success(process)
            raise GitCommandError("git cat-file ended before it had answered everything.")
        size = int(header[2])
        if size > max_bytes:
            raise GitCommandError(f"The object {oid} has {size} bytes, too many to read.")
        content = stdout.read(size)
        stdout.read(1)
        yield oid, content if header[1] == b"blob" else None


def read_blob(repository: Repository, oid: str) -> bytes | None:
    """Return the content of one blob; None where it is missing."""
    return next(read_blobs(repository, [oid]))[1]
