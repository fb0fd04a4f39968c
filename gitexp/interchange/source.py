"""What a reader of some format makes of a source: runs, and what is to be said about them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gitexp.errors import GitexpError
from gitexp.git.write import write_error
from gitexp.interchange.importing import ImportedRun

MAX_SOURCE_BYTES = 256 << 20
"""Larger files are refused: the largest ledger that is known has two."""

MAX_LINE_BYTES = 1 << 20
"""Longer lines are no rows: nobody says so much of one run."""

MAX_LINES = 2_000_000


class Bad(NamedTuple):
    """A row that cannot be imported.

    Attributes:
        file: Name of its file, where a source has several; else empty.
        line: Counted from 1; 0 for the whole file.
        reason: The end of a sentence about it.
    """

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"line {self.line}" if self.line else "the file"
        return f"{self.file}: {place} {self.reason}" if self.file else f"{place} {self.reason}"


class Column(NamedTuple):
    """A column of a ledger and what it became; see `gitexp.interchange.columns`.

    Attributes:
        source: ``option``, ``name`` or ``values``: how that is known.
        filled: How many rows have something in it.
    """

    column: str
    field: str
    source: str
    filled: int


@dataclass
class Reading:
    """A source, read to its end.

    Attributes:
        format: With which the external ids of its runs begin.
        written_ns: When it was written, in nanoseconds since 1970.
        bad: Rows that cannot be imported.
        unfinished: Rows of runs that are not over yet; they come with a later import.
        notes: Sentences about how it was read.
        columns: Empty for formats whose fields are fixed.
        metric: The metric that it is about; None where it has none.
        lower: Lower values of it are better, as far as the source tells; None where it does not.
        placeholders: How many values of crashed runs were left out: zeros that stand for nothing.
    """

    format: str
    written_ns: int
    runs: list[ImportedRun] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    unfinished: list[Bad] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: Sequence[Column] = ()
    metric: str | None = None
    lower: bool | None = None
    placeholders: int = 0


class Line(NamedTuple):
    """A line of a text file, without its end.

    Attributes:
        problem: Why it cannot be read, as the end of a sentence; empty for nothing.
    """

    number: int
    text: str
    problem: str


class Text(NamedTuple):
    """A text file: its lines, and sentences about its encoding."""

    lines: list[Line]
    notes: list[str]
    written_ns: int


def read_head(path: Path, size: int = 2 * MAX_LINE_BYTES) -> bytes:
    """Return how a file begins; raise what `read_text` raises of files that cannot be read."""
    return _read(path, size)[0]


def _read(path: Path, size: int) -> tuple[bytes, int]:
    """Return up to so many bytes of a file, and when it was written in nanoseconds since 1970."""
    try:
        if not path.is_file():
            what = "is no regular file" if path.exists() else "does not exist"
            raise GitexpError(f"{path} {what}.", "Name a ledger, or the folder of a store.")
        with path.open("rb") as stream:
            found = os.fstat(stream.fileno())
            if found.st_size > MAX_SOURCE_BYTES:
                raise GitexpError(
                    f"{path} has more than {MAX_SOURCE_BYTES >> 20} MiB.",
                    "Split it; a ledger holds texts and numbers.",
                )
            return stream.read(size), found.st_mtime_ns
    except OSError as error:
        raise write_error(error, f"read {path}") from error


def read_text(path: Path) -> Text:
    """Return the lines of a text file in UTF-8, UTF-16 with a mark, or else Windows' Latin.

    Raises:
        GitexpError: It cannot be read, is no regular file, or is too large.
    """
    content, written_ns = _read(path, MAX_SOURCE_BYTES)
    text, notes = _decode(content)
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as old Macs ended lines
    if text.count("\n") > MAX_LINES:
        raise GitexpError(f"{path} has more than {MAX_LINES:,} lines.", "Split it.")
    numbered = enumerate(text.split("\n"), 1)
    lines = [_line(number, line.removesuffix("\r")) for number, line in numbered]
    return Text(lines, notes, written_ns)


def _decode(content: bytes) -> tuple[str, list[str]]:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace"), ["It is in UTF-16."]
    try:
        return content.decode("utf-8-sig"), []
    except UnicodeDecodeError:
        note = "It is not in UTF-8; it was read as Windows-1252."
        return content.decode("cp1252", "replace"), [note]


def _line(number: int, text: str) -> Line:
    if len(text) > MAX_LINE_BYTES or len(text.encode()) > MAX_LINE_BYTES:
        return Line(number, "", "is longer than 1 MiB")
    if "\0" in text:
        return Line(number, "", "holds NUL bytes")
    return Line(number, text, "")
