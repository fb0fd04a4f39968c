"""What a source says: its sections in order, and what it says of itself.

Readers of one format (PDF, HTML, TeX, Markdown) return a `Reading`; where it came from makes a
`Document` of it, which has an identity. The full text of a document is all its sections after one
another; spans of chunks are offsets into that text (`gitexp.papers.chunks`).
"""

from __future__ import annotations

import re

import msgspec

from gitexp.errors import GitexpError
from gitexp.records.library import Source

MAX_SOURCE_BYTES = 64 << 20
"""What is read of one file, one answer of a server, or one archive when it is unpacked."""
MAX_CHARACTERS = 5_000_000
"""A longer text is no paper: it is 2,000 printed pages."""
EXTRA = "pip install 'gitexp[papers]'"

_CONTROLS = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BLANKS = re.compile(r"\s+")
_MAX_TITLE = 300
_MAX_AUTHORS = 200


class PaperError(GitexpError):
    """A paper cannot be got, or cannot be read; nothing of it was added."""


class AbsentError(PaperError):
    """A server says that it does not have what was asked for."""


class Section(msgspec.Struct, frozen=True, omit_defaults=True):
    """A section, without those within it.

    Attributes:
        title: Empty for what stands before the first heading; of code ``path: qualified name``.
        text: Paragraphs, apart by empty lines.
        symbols: Identifiers that a code map found.
    """

    title: str
    text: str
    symbols: tuple[str, ...] = ()


class Reading(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a file says.

    Attributes:
        title: Empty where it has none.
        notes: What was left out, a sentence each.
    """

    title: str = ""
    authors: tuple[str, ...] = ()
    licence: str | None = None
    abstract: str | None = None
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was read, and what it is; the attributes are those of a `Paper` line.

    Attributes:
        notes: What was left out, a sentence each.
    """

    id: str
    source: Source
    title: str
    authors: tuple[str, ...] = ()
    year: int | None = None
    url: str | None = None
    arxiv: str | None = None
    version: str | None = None
    doi: str | None = None
    commit: str | None = None
    licence: str | None = None
    abstract: str | None = None
    sections: tuple[Section, ...] = ()
    notes: tuple[str, ...] = ()


def clean(text: str) -> str:
    """Return a text without what no text holds: control characters and halves of characters."""
    return _CONTROLS.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def one_line(text: str, width: int = _MAX_TITLE) -> str:
    """Return a text in one line of at most ``width`` characters."""
    line = _BLANKS.sub(" ", clean(text[: width * 8])).strip()
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def tidy(reading: Reading) -> Reading:
    """Return a reading whose texts are clean, without empty sections.

    Raises:
        PaperError: There is no text, or more than a paper can have.
    """
    sections = tuple(
        Section(one_line(part.title), text, part.symbols)
        for part in reading.sections
        if (text := clean(part.text).strip())
    )
    length = sum(len(part.text) for part in sections)
    if not length:
        raise PaperError("There is no text in it.")
    if length > MAX_CHARACTERS:
        raise PaperError(f"Its text has {length:,} characters; {MAX_CHARACTERS:,} are allowed.")
    return Reading(
        title=one_line(reading.title),
        authors=tuple(filter(None, map(one_line, reading.authors[:_MAX_AUTHORS]))),
        licence=one_line(reading.licence) if reading.licence else None,
        abstract=clean(reading.abstract).strip() if reading.abstract else None,
        sections=sections,
        notes=reading.notes,
    )


def decoded(content: bytes) -> str:
    """Return the text of a file: UTF-8, UTF-16 with a mark, else Latin-1.

    Raises:
        PaperError: It is not a text.
    """
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace").removeprefix("\ufeff")
    if b"\0" in content[:8192]:
        raise PaperError("It is not a text file.")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")
