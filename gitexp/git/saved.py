"""What a checkout left behind: the positions that ``checkout -`` goes back to.

Each checkout pushes one `Position` on a stack, and going back pops it. The stack lives in
``<git dir>/exprag-checkout.json``, so every linked worktree has its own. What a position needs
beside that line of JSON is kept out of reach of garbage collection and of other commands:

* ``<git dir>/exprag-checkout-<token>.index``: the index file as it was, flags, intent-to-add
  entries and all (rewritten once by git, so that it stands alone without a shared index).
* ``refs/exprag-local/saved/<token>``: a commit whose tree holds the index as a tree (``staged``)
  and the bytes of files that their filters would not give back (``raw-N``), and whose parents are
  the saved snapshot and the target. It is made for positions whose work tree was saved or
  whose files were replaced; other checkouts leave nothing that only they know.

One checkout at a time works on a work tree, under a lock on ``<git dir>/exprag-checkout.lock``
that ends with the process. A position is written as ``pending`` before the work tree changes and
moves to the stack when the change is complete: a pending position found later is a checkout that
was interrupted.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from gitexp.errors import CheckoutError
from gitexp.git.history import EMPTY_TREE
from gitexp.git.process import run_git
from gitexp.git.read import resolve
from gitexp.git.repository import Repository

SAVED = "refs/exprag-local/saved/"
STATE_FILE = "exprag-checkout.json"
VERSION = 1
MAX_POSITIONS = 100
"""Older positions that hold no saved state are forgotten: nobody walks back further."""

_IDENTITY = {
    "GIT_AUTHOR_NAME": "gitexp",
    "GIT_AUTHOR_EMAIL": "gitexp@localhost",
    "GIT_COMMITTER_NAME": "gitexp",
    "GIT_COMMITTER_EMAIL": "gitexp@localhost",
}
_STANDALONE = (
    *("-c", "core.splitIndex=false"),
    *("-c", "core.untrackedCache=false"),
    *("-c", "core.fsmonitor=false"),
)

Entry = tuple[str, str]
"""A file in a tree: its mode (six octal digits) and the id of its blob."""


@dataclass(frozen=True)
class FileState:
    """One file that a checkout of paths replaced; None where there was no such file.

    Attributes:
        before: The work tree's file.
        index: The index entry.
        target: What the checkout put into both.
        intended: The index entry was an intent to add (``git add -N``).
    """

    before: Entry | None
    index: Entry | None
    target: Entry
    intended: bool = False


@dataclass(frozen=True)
class Position:
    """Where a checkout left from, and what it went to.

    Attributes:
        token: Names the index copy and the ref of this position.
        head: The commit that HEAD named; None on an unborn branch.
        branch: Short name of the branch; None when HEAD was detached.
        target: The commit that was gone to.
        saved: The snapshot of the work tree that was taken first, if any.
        created: The branch that this checkout makes.
        back: This is the way back to the position on top of the stack.
        files: By path, for a checkout of paths; None when HEAD moves.
        raw: By path, blobs with the bytes of saved files that filters do not reproduce.
        unlike: Paths whose file was already not what it is to be after an undo, so that git
            refuses to replace them or does not look at them; an undo leaves them alone.
        left_out: Tracked files with changes that the snapshot left out; they stay in place.
    """

    token: str
    head: str | None
    branch: str | None
    target: str
    saved: str | None = None
    created: str | None = None
    back: bool = False
    files: dict[str, FileState] | None = None
    raw: dict[str, str] = field(default_factory=dict)
    unlike: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What HEAD named: the branch, or the commit when it was detached."""
        return self.branch or self.head or ""


@dataclass(frozen=True)
class Trail:
    """The stack of positions, the latest last, and the checkout that is under way."""

    positions: tuple[Position, ...] = ()
    pending: Position | None = None


def new_token() -> str:
    """Return a name for a position."""
    return secrets.token_hex(8)


def state_path(repository: Repository) -> Path:
    """Return where the trail of this work tree is kept."""
    return repository.git_dir / STATE_FILE


def index_copy(repository: Repository, token: str) -> Path:
    """Return where the index of a position is kept."""
    return repository.git_dir / f"exprag-checkout-{token}.index"


def read_trail(repository: Repository) -> Trail:
    """Return the trail of this work tree, empty if nothing was checked out.

    Raises:
        CheckoutError: The file is damaged or of a newer gitexp.
    """
    path = state_path(repository)
    try:
        content = json.loads(path.read_bytes())
        if content["version"] != VERSION:
            raise ValueError(content["version"])  # noqa: TRY301 - damage of one more kind
        pending = content["pending"] and _decode(content["pending"])
        return Trail(tuple(_decode(entry) for entry in content["positions"]), pending)
    except FileNotFoundError:
        return Trail()
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckoutError(
            f"The file {path} is damaged or was written by a newer gitexp.",
            f"Move it away to start afresh; what was saved stays under {SAVED}.",
        ) from error


def write_trail(repository: Repository, trail: Trail) -> None:
    """Replace the trail of this work tree, on disk before this returns."""
    path = state_path(repository)
    surplus = len(trail.positions) - MAX_POSITIONS
    kept = [p for i, p in enumerate(trail.positions) if i >= surplus or p.saved or p.files]
    content = {
        "version": VERSION,
        "positions": [asdict(position) for position in kept],
        "pending": trail.pending and asdict(trail.pending),
    }
    temporary = path.with_suffix(".new")
    with temporary.open("w", encoding="ascii") as stream:
        json.dump(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _decode(content: dict[str, object]) -> Position:
    position = Position(**content)  # type: ignore[arg-type]
    if position.files is None:
        return position
    files = {path: _decode_file(state) for path, state in position.files.items()}
    return replace(position, files=files)


def _decode_file(state: object) -> FileState:
    if not isinstance(state, dict):
        raise TypeError(state)
    entries = {k: v and (v[0], v[1]) for k, v in state.items() if k != "intended"}
    return FileState(**entries, intended=state["intended"])


@contextmanager
def exclusive(repository: Repository) -> Iterator[None]:
    """Be the only gitexp checkout of this work tree; the lock ends with the process.

    Raises:
        CheckoutError: Another one is running, or git is changing the index.
    """
    import fcntl

    lock = repository.git_dir / "index.lock"
    with (repository.git_dir / "exprag-checkout.lock").open("w") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise CheckoutError(
                "Another gitexp checkout is running in this work tree.",
                "Repeat the command when it has ended.",
            ) from error
        if lock.exists():
            raise index_is_locked(lock)
        yield


def index_is_locked(lock: Path) -> CheckoutError:
    """Return the error for a lock of git's that is there."""
    return CheckoutError(
        f"The index is locked by another git process: {lock} exists.",
        "Repeat the command when that process has ended; if there is none, remove the file first.",
    )


def sweep(repository: Repository) -> None:
    """Remove index copies of checkouts that were killed before they had begun.

    A copy whose position has a ref stays: it may be wanted where the trail was moved away.
    """
    trail = read_trail(repository)
    tokens = {position.token for position in (*trail.positions, trail.pending) if position}
    for copy in repository.git_dir.glob("exprag-checkout-*.index*"):
        token = copy.name.removeprefix("exprag-checkout-").partition(".")[0]
        if token not in tokens and not resolve(repository, SAVED + token):
            copy.unlink()


def copy_index(repository: Repository, token: str) -> Path:
    """Keep a copy of the index and return its path.

    The copy carries the modification time of the original: git compares it with the times in
    the entries to find files that changed within the same tick.
    """
    copy = index_copy(repository, token)
    index = repository.git_dir / "index"
    if index.exists():
        shutil.copy2(index, copy)
    run_git(
        [*_STANDALONE, "update-index", "--force-write-index"],
        cwd=repository.top,
        environment={"GIT_INDEX_FILE": str(copy)},
    )
    return copy


def keep(repository: Repository, position: Position) -> None:
    """Put what the position needs under its ref."""
    environment = {"GIT_INDEX_FILE": str(index_copy(repository, position.token))}
    top = repository.top
    staged = _line(run_git(["write-tree", "--missing-ok"], cwd=top, environment=environment))
    lines = [f"040000 tree {staged}\tstaged"]
    lines += [f"100644 blob {b}\traw-{i}" for i, b in enumerate(position.raw.values())]
    tree = _line(run_git(["mktree", "--missing"], cwd=top, stdin="\n".join(lines).encode()))
    parents = dict.fromkeys(p for p in (position.saved, position.target) if p and p != EMPTY_TREE)
    words = [word for parent in parents for word in ("-p", parent)]
    message = b"exprag: state before a checkout\n"
    commit = _line(
        run_git(["commit-tree", *words, tree], cwd=top, stdin=message, environment=_IDENTITY)
    )
    run_git(["update-ref", SAVED + position.token, commit, "0" * 40], cwd=top)


def forget(repository: Repository, position: Position) -> None:
    """Let go of what was kept for a position that is over."""
    run_git(["update-ref", "-d", SAVED + position.token], cwd=repository.top)
    index_copy(repository, position.token).unlink(missing_ok=True)


def install_index(repository: Repository, token: str) -> None:
    """Make the kept index the index again, under git's own lock.

    Raises:
        CheckoutError: Another git process holds the lock.
    """
    index = repository.git_dir / "index"
    lock = repository.git_dir / "index.lock"
    content = index_copy(repository, token).read_bytes()
    try:
        stream = lock.open("xb")
    except FileExistsError as error:
        raise index_is_locked(lock) from error
    try:
        with stream:
            stream.write(content)
        lock.replace(index)
    except BaseException:
        lock.unlink(missing_ok=True)
        raise
    run_git(["update-index", "-q", "--refresh"], cwd=repository.top)


def _line(output: bytes) -> str:
    return output.decode("ascii").strip()
