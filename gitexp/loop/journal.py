"""The journal of a session: JSON lines, one for each step, and what they add up to.

A line that says what is going to happen (an *intent*) is on the disk before it happens; what came
of it is a line of its own. Whoever resumes the session reads the lines since the last proposal
that was done with, and goes on there. The last line may be torn by a crash of the system: then
it was never acted upon, and is cut off.

Who works on a session holds a lock on its journal; the kernel lets go of it with the process.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from gitexp.errors import GitexpError, UsageError
from gitexp.git.repository import Repository
from gitexp.git.write import write_error
from gitexp.loop.plan import Budgets, LoopPlan
from gitexp.records.decision import Action, Priority
from gitexp.records.facts import Status
from gitexp.records.library import Lesson, Proposal, Usage

MAX_JOURNAL_BYTES = 1 << 30
_SESSION = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")


class _Line(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="step", kw_only=True):
    """What every line has: its time, in seconds since 1970."""

    at: float


class Opened(_Line, frozen=True, tag="session", kw_only=True):
    """The first line: the plan, the branch without ``refs/heads/``, the commit it starts from."""

    session: str
    plan: LoopPlan
    branch: str
    start: str


class Sitting(_Line, frozen=True, tag="sitting", kw_only=True):
    """Somebody works on the session from here on.

    Attributes:
        before: Seconds that were spent in earlier sittings.
        budgets: What holds from here on.
    """

    pid: int
    before: float
    budgets: Budgets


class Asking(_Line, frozen=True, tag="ask", kw_only=True):
    """Intent: the provider is asked.

    Attributes:
        id: Of this call.
        proposal: Id that the proposal is going to have.
        retrieval: What was looked up for it.
        prompt: Tokens that are sent, estimated; `most` is the largest answer it may give.
        cost: What the call costs at most, in US dollars; None where that is not known.
    """

    id: str
    iteration: int
    proposal: str
    prompt: int
    most: int
    cost: float | None = None
    retrieval: str | None = None


class Answered(_Line, frozen=True, tag="answer", kw_only=True):
    """What came of a call.

    Attributes:
        id: Of the call.
        usage: The library's line; None where nothing was taken.
        text: The answer; None where there is none.
        edits_files: The provider edited the worktree itself.
        error: Why there is no answer.
    """

    id: str
    iteration: int
    usage: Usage | None = None
    text: str | None = None
    edits_files: bool = False
    error: str | None = None


class Proposed(_Line, frozen=True, tag="proposal", kw_only=True):
    """What is to be tried, applied and looked at by the guard.

    Attributes:
        proposal: The library's line; its ``outcome`` says why it will not run, where it will not.
        base: Commit that it was applied to.
        tree: The code with it; None where it could not be applied.
        said: Sentences for the next prompt: what was undone, why it was blocked.
    """

    iteration: int
    proposal: Proposal | None = None
    base: str
    tree: str | None = None
    said: tuple[str, ...] = ()


class Running(_Line, frozen=True, tag="run", kw_only=True):
    """Intent: code is run. The run is known by its external id; see `external_id`.

    Attributes:
        seed: What GITEXP_SEED is to be; None for the program's own.
        of: The run whose code it is, where that is run again.
    """

    id: str
    iteration: int
    base: str
    tree: str
    seed: int | None = None
    of: str | None = None


def external_id(session: str, step: str) -> str:
    """Return the external id of a step's run: the one thing of it that no program can change."""
    return f"loop:{session}:{step}"


class Ran(_Line, frozen=True, tag="ran", kw_only=True):
    """A run is over.

    Attributes:
        id: Of the intent.
        run: Id of the run.
        value: Of the metric that counts; None where it has no finite one.
        cut: It was ended with the session, so it says nothing about the code.
        said: Sentences for the next prompt.
    """

    id: str
    iteration: int
    run: str
    status: Status
    value: float | None = None
    seconds: float | None = None
    cut: bool = False
    said: tuple[str, ...] = ()


class Decided(_Line, frozen=True, tag="decision", kw_only=True):
    """What is to be done next about a run."""

    iteration: int
    run: str
    action: Action
    priority: Priority
    summary: str


class Moving(_Line, frozen=True, tag="move", kw_only=True):
    """Intent: the branch moves from a commit to a run."""

    iteration: int
    old: str
    run: str


class Moved(_Line, frozen=True, tag="moved", kw_only=True):
    """The branch names the run."""

    iteration: int
    run: str


Outcome = Literal["kept", "dropped", "failed", "blocked", "invalid"]


class Done(_Line, frozen=True, tag="done", kw_only=True):
    """A proposal is done with.

    Attributes:
        outcome: ``kept`` and ``dropped`` ones gave a value.
        lesson: The library's line about it, where something was learned.
    """

    iteration: int
    outcome: Outcome
    lesson: Lesson | None = None


class Ended(_Line, frozen=True, tag="end", kw_only=True):
    """The sitting ended by itself, and why; ``at`` is when."""

    reason: str
    sentence: str


Line = (
    Opened
    | Sitting
    | Asking
    | Answered
    | Proposed
    | Running
    | Ran
    | Decided
    | Moving
    | Moved
    | Done
    | Ended
)

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


def journal_folder(repository: Repository) -> Path:
    """Return where the journals of a repository's sessions stand."""
    return repository.home / "loop"


def journal_path(repository: Repository, session: str) -> Path:
    """Return where the journal of a session stands.

    Raises:
        UsageError: This is no name of a session.
    """
    if _SESSION.fullmatch(session) is None:
        raise UsageError(
            f"{session!r} is not a session.", "See 'git exp loop --list' for those there are."
        )
    return journal_folder(repository) / f"{session}.jsonl"


def sessions(repository: Repository) -> list[str]:
    """Return the ids of all sessions that began, the latest first."""
    try:
        journals = journal_folder(repository).glob("*.jsonl")
        names = [path.stem for path in journals if path.stat().st_size]
    except OSError:
        return []
    return sorted((name for name in names if _SESSION.fullmatch(name)), reverse=True)


def read_lines(path: Path) -> list[Line]:
    """Return the lines of a journal without a torn one at its end.

    Raises:
        GitexpError: There is none, or it is damaged.
    """
    content = _whole(_read(path))
    lines = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            lines.append(_decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise GitexpError(
                f"Line {number} of the session's journal {path} cannot be read: {error}.",
                "The runs are recorded all the same; begin a new session on its branch.",
            ) from error
    if not lines or not isinstance(lines[0], Opened):
        raise GitexpError(f"The journal {path} does not begin with a session.")
    return lines


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_JOURNAL_BYTES + 1)
    except FileNotFoundError as error:
        raise GitexpError(
            f"There is no session {path.stem}.", "See 'git exp loop --list' for those there are."
        ) from error
    except OSError as error:
        raise write_error(error, f"read {path}") from error
    if len(content) > MAX_JOURNAL_BYTES:
        raise GitexpError(f"The journal {path} is larger than 1 GiB.")
    return content


def _whole(content: bytes) -> bytes:
    return content[: content.rfind(b"\n") + 1]


class SessionJournal:
    """The journal of a session that this process works on.

    Attributes:
        lines: All of its lines, in their order.
        touched: When its file was modified before it was opened, in seconds since 1970: the last
            sign of life of whoever had it before.
    """

    def __init__(
        self, path: Path, descriptor: int, lines: list[Line], touched: float = 0.0
    ) -> None:
        """Wrap an open journal; `open_journal` is the way to one."""
        self.path = path
        self.lines = lines
        self.touched = touched
        self._descriptor = descriptor

    def add(self, line: Line) -> None:
        """Append a line; when this returns, it is on the disk.

        Raises:
            GitexpError: The system did not take it.
        """
        try:
            data = _encode(line) + b"\n"
            while data:
                data = data[os.write(self._descriptor, data) :]
            os.fsync(self._descriptor)
        except OSError as error:
            raise write_error(error, f"write to the journal {self.path}") from error
        self.lines.append(line)

    def beat(self) -> None:
        """Leave a sign of life: the file's time of modification."""
        os.utime(self._descriptor)


@contextmanager
def open_journal(path: Path, *, new: bool = False) -> Iterator[SessionJournal]:
    """Open the journal of a session to go on with it, alone.

    Args:
        path: Of the journal.
        new: It must not be there yet.

    Raises:
        GitexpError: Another process works on the session, or the journal cannot be opened.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC | (os.O_CREAT | os.O_EXCL if new else 0)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, flags, 0o666)
    except FileNotFoundError as error:
        raise GitexpError(
            f"There is no session {path.stem}.", "See 'git exp loop --list' for those there are."
        ) from error
    except OSError as error:
        raise write_error(error, f"open {path}") from error
    try:
        if not _lock(descriptor):
            raise GitexpError(
                f"Another process works on session {path.stem}.", "Wait until it has ended."
            )
        touched = os.fstat(descriptor).st_mtime
        lines = [] if new else read_lines(path)
        os.ftruncate(descriptor, len(_whole(_read(path))))
        yield SessionJournal(path, descriptor, lines, touched)
    finally:
        os.close(descriptor)


def is_open(path: Path) -> bool:
    """Say whether a process works on a session."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def now() -> float:
    """Return the time, in seconds since 1970."""
    return time.time()
