"""The log of a command: its whole output, or the beginning and the end of too much of it.

The log is on disk at every moment, in the order in which the output came, so that it outlives a
killed gitexp. It is also bounded at every moment: `path` takes the first bytes (the head); what
comes after goes to segments beside it of one size each, of which the last two are kept. At the
end the head and the last bytes are joined to one file, with a line between them that says how
much was left out.

A segment's name is ``<log>.tail-<size of the head>-<offset of its first byte>``, so names and
sizes are all that `read_log` needs to put together what was left by a process that was killed.
The joined file takes the head's place before the segments go; segments whose name tells another
size of the head than the file has are therefore leftovers.
"""

from __future__ import annotations

import os
import warnings
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Self

from gitexp.errors import GitexpError, GitexpWarning

PIECE = ".tail-"
"""What stands between the name of a log and the rest of a segment's name."""

LOG_NAME = "run.log"
"""Under this name the log of its command is kept with a run."""

TAIL_BYTES = 8 << 10
"""How much of the end of the output is kept in memory, to say why a command failed."""


class CommandLog:
    """A bounded log that is being written. Use it as a context manager.

    A disk that fills up while it is written costs the rest of the log and a `GitexpWarning`,
    not the run.

    Args:
        path: The file; what an earlier log left there is removed.
        head_bytes: How many of the first bytes are kept.
        tail_bytes: How many of the last bytes are kept, at least 1; on disk there are at most
            twice as many while the command runs.

    Attributes:
        size: Bytes of output so far, those that were not kept included.
        tail: The last bytes of it, at most `TAIL_BYTES`.

    Raises:
        GitexpError: The file cannot be made.
    """

    def __init__(self, path: Path, head_bytes: int, tail_bytes: int) -> None:
        self.size = 0
        self.tail = b""
        self._path = path
        self._head_bytes = head_bytes
        self._tail_bytes = tail_bytes
        self._room = head_bytes
        self._segments: list[Path] = []
        try:
            remove_log(path)
            self._file: FileIO | None = path.open("wb", buffering=0)
        except OSError as error:
            raise GitexpError(f"The log {path} cannot be written: {error.strerror}.") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        self._file.close()
        if self._segments:
            try:
                self._join()
            except OSError as failure:
                self._give_up(failure)  # head and segments stay; `read_log` joins them too

    def write(self, data: bytes) -> None:
        """Append output; when this returns, it survives the end of this process."""
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        rest = memoryview(data)
        try:
            while rest and self._file is not None:
                if not self._room:
                    self._file = self._next_segment(self._file)
                written = self._file.write(rest[: self._room])
                self._room -= written
                self.size += written
                rest = rest[written:]
        except OSError as error:
            self._give_up(error)
        self.size += len(rest)

    def _next_segment(self, full: FileIO) -> FileIO:
        full.close()
        name = f"{_prefix(self._path)}{self._head_bytes}-{self.size}"
        self._segments.append(self._path.with_name(name))
        self._room = self._tail_bytes
        segment = self._segments[-1].open("wb", buffering=0)
        for old in self._segments[:-2]:
            old.unlink()
        del self._segments[:-2]
        return segment

    def _join(self) -> None:
        joined = self._path.with_name(self._path.name + ".joined")
        joined.write_bytes(read_log(self._path))
        joined.replace(self._path)
        for segment in self._segments:
            segment.unlink()

    def _give_up(self, error: OSError) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None
        warnings.warn(
            f"The log of the command is not complete: {error.strerror}.",
            GitexpWarning,
            stacklevel=2,
        )


def read_log(path: Path) -> bytes:
    """Return a log, finished or left by a process that was killed.

    Raises:
        OSError: There is no such log, or it cannot be read.
    """
    head = path.read_bytes()
    segments = sorted(_segments(path, len(head)))
    if not segments:
        return head
    pieces = [segment.read_bytes() for _, segment in segments]
    start, kept = segments[0][0], b"".join(pieces)
    # All segments but the last are full, and the end is as long as a full one.
    surplus = max(0, len(kept) - len(pieces[0]))
    left_out = start + surplus - len(head)
    if not left_out:
        return head + kept
    return b"%s\n[%d bytes left out]\n%s" % (head, left_out, kept[surplus:])


def remove_log(path: Path) -> None:
    """Remove a log and what belongs to it, as far as it exists."""
    for name in os.listdir(path.parent):  # noqa: PTH208 (names are all that is needed)
        if name == path.name or name.startswith((_prefix(path), path.name + ".joined")):
            path.with_name(name).unlink()


def _prefix(path: Path) -> str:
    return path.name + PIECE


def _segments(path: Path, head_bytes: int) -> list[tuple[int, Path]]:
    """Return the segments that belong to a head of this size, each with its offset."""
    prefix = f"{_prefix(path)}{head_bytes}-"
    return [
        (int(name.removeprefix(prefix)), path.with_name(name))
        for name in os.listdir(path.parent)  # noqa: PTH208 (names are all that is needed)
        if name.startswith(prefix)
    ]
