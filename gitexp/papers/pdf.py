"""Read a PDF: the text of its pages by pypdf, made whole again, with guessed sections.

A PDF holds lines, not paragraphs: words that were broken at the end of a line are put together,
running heads and page numbers go, and a line that ends short after a full stop ends a paragraph.
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gitexp.papers.document import (
    EXTRA,
    MAX_CHARACTERS,
    PaperError,
    Reading,
    Section,
    clean,
    one_line,
)
from gitexp.papers.plain import is_name, sections_of

if TYPE_CHECKING:
    from pypdf import PdfReader

MAX_PAGES = 1_000

_LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\u00a0": " ", "\u00ad": "-"}
)
_BROKEN = re.compile(r"(?<=[a-z])-\n(?=[a-z])")
_PAGE_NUMBER = re.compile(
    r"\s*(?:page\s+)?[0-9]{1,4}(?:\s*(?:/|of)\s*[0-9]{1,4})?\s*", re.IGNORECASE
)
_UNTITLED = re.compile(r"(?i)untitled|microsoft word|.*\.(?:dvi|tex|docx?|pdf|indd)|\W*")
_LETTERS = re.compile(r"[^\W\d_]{3}")
_HEADS = 2
"""Lines at the top and the bottom of a page that may be its running head or foot."""
_MIN_REPEATS = 3
_SHORT = 0.8
_MIN_TITLE = 8


def read_pdf(content: bytes) -> Reading:
    """Return what a PDF says.

    Raises:
        PaperError: It is damaged, locked, too long, or holds pictures of text only.
    """
    reader = _open(content)
    pages, notes = _pages(reader)
    if not any(_LETTERS.search(page) for page in pages):
        raise PaperError("There is no text in the PDF; its pages may be scanned pictures.")
    lines = _without_heads([page.translate(_LIGATURES).split("\n") for page in pages])
    text = _BROKEN.sub("", "\n".join(lines))
    sections = [
        Section(each.title, _paragraphs(each.text)) for each in sections_of(text.split("\n"))
    ]
    title, authors = _information(reader)
    abstract = next((s.text for s in sections if s.title.lower() == "abstract"), None)
    return Reading(
        title=title or _first_line(lines),
        authors=authors,
        abstract=abstract,
        sections=tuple(sections),
        notes=notes,
    )


def _open(content: bytes) -> PdfReader:
    try:
        from pypdf import PdfReader
    except ImportError as error:
        raise PaperError(
            "PDFs are read by pypdf, which is not installed.", f"Run {EXTRA}."
        ) from error
    try:
        reader = PdfReader(io.BytesIO(content))
        is_locked = reader.is_encrypted and not reader.decrypt("")
        count = 0 if is_locked else len(reader.pages)
    except Exception as error:
        raise _damaged(error) from error
    if is_locked:
        raise PaperError("The PDF is locked by a password.", "Save it without one.")
    if count > MAX_PAGES:
        raise PaperError(f"The PDF has {count:,} pages; {MAX_PAGES:,} are allowed.")
    return reader


def _damaged(error: Exception) -> PaperError:
    """Return the error for whatever a library met in a damaged file: it may be anything."""
    if isinstance(error, MemoryError):
        return PaperError("The PDF needs more memory than a paper may take.")
    said = one_line(str(error), 200).rstrip(".") or type(error).__name__
    return PaperError(f"The PDF is damaged: {said}.")


def _pages(reader: PdfReader) -> tuple[list[str], tuple[str, ...]]:
    """Return the text of each page, and a note where some could not be read."""
    pages: list[str] = []
    bad = 0
    length = 0
    for page in reader.pages:
        try:
            text = clean(page.extract_text())
        except MemoryError as error:
            raise _damaged(error) from error
        except Exception:  # noqa: BLE001 - one bad page among good ones is told, not fatal
            bad += 1
            continue
        length += len(text)
        if length > MAX_CHARACTERS:
            raise PaperError(f"Its text has more than {MAX_CHARACTERS:,} characters.")
        pages.append(text)
    if bad and not pages:
        raise PaperError("The PDF is damaged: none of its pages can be read.")
    return pages, (f"{bad} of its pages could not be read.",) if bad else ()


def _information(reader: PdfReader) -> tuple[str, tuple[str, ...]]:
    """Return title and authors as the file gives them; many give none, or a file's name."""
    try:
        found: Any = reader.metadata
        title, author = (str(found.title or ""), str(found.author or "")) if found else ("", "")
    except Exception:  # noqa: BLE001 - a damaged dictionary of a readable file
        return "", ()
    title = "" if _UNTITLED.fullmatch(title) else title
    return title, tuple(
        name.strip() for name in re.split(r"[;,]| and ", author[:10_000]) if name.strip()
    )


def _first_line(lines: Sequence[str]) -> str:
    """Return the first line that may be a title."""
    usable = (line for line in lines if len(line) >= _MIN_TITLE and not is_name(line))
    return next((line for line in usable if _LETTERS.search(line)), "")


def _without_heads(pages: Sequence[list[str]]) -> list[str]:
    """Return the lines of all pages without page numbers, running heads and feet."""
    ends = Counter(
        line
        for page in pages
        for line in {_key(line) for line in [*page[:_HEADS], *page[-_HEADS:]]}
    )
    often = {
        key for key, count in ends.items() if key and count >= max(_MIN_REPEATS, len(pages) // 3)
    }
    lines: list[str] = []
    for page in pages:
        last = len(page) - _HEADS
        for number, line in enumerate(page):
            is_end = number < _HEADS or number >= last
            if not (is_end and (_PAGE_NUMBER.fullmatch(line) or _key(line) in often)):
                lines.append(line.rstrip())
    return lines


def _key(line: str) -> str:
    return re.sub(r"[0-9]+", "#", line.strip())


def _paragraphs(text: str) -> str:
    """Return a text with an empty line after each paragraph."""
    lines = text.split("\n")
    lengths = sorted(len(line) for line in lines if line)
    usual = lengths[len(lengths) // 2] if lengths else 0
    made = [
        f"{line}\n" if line.endswith((".", "?", "!")) and len(line) < _SHORT * usual else line
        for line in lines
    ]
    return "\n".join(made)
