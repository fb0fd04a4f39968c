"""Tell what kind of file something is, and read it with that kind's reader.

What a file begins with goes before what a server or a name says of it: servers name types wrongly,
and arXiv's ``e-print`` is an archive, one TeX file, or a PDF.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Literal

from gitexp.papers.contained import read_contained
from gitexp.papers.document import PaperError, Reading, decoded, tidy
from gitexp.papers.markdown import read_markdown
from gitexp.papers.plain import read_plain
from gitexp.papers.tex import read_tex
from gitexp.papers.tex_archive import read_archive

Kind = Literal["pdf", "html", "tex", "archive", "markdown", "plain"]

SUFFIXES: dict[str, Kind] = {
    ".pdf": "pdf",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".tex": "tex",
    ".ltx": "tex",
    ".gz": "archive",
    ".tgz": "archive",
    ".tar": "archive",
    ".md": "markdown",
    ".markdown": "markdown",
    ".txt": "plain",
    ".rst": "plain",
}
_TYPES: dict[str, Kind] = {
    "application/pdf": "pdf",
    "text/html": "html",
    "application/xhtml+xml": "html",
    "application/x-tex": "tex",
    "text/x-tex": "tex",
    "text/markdown": "markdown",
    "text/plain": "plain",
}
_HEAD_BYTES = 1024
_HTML = re.compile(
    rb"(?i)\s*(?:<\?xml[^>]{0,200}>\s*)?(?:<!--.{0,400}?-->\s*)?<(?:!doctype html|html)\b"
)
_TEX = re.compile(rb"\\documentclass|\\documentstyle|\\begin\{document\}|\\section\{")


def read_content(content: bytes, media_type: str = "", name: str = "") -> Reading:
    """Return what a file says.

    Args:
        content: The whole file.
        media_type: As a server named it.
        name: Of the file; its suffix tells its kind where nothing else does.

    Raises:
        PaperError: It is of no kind that can be read, or damaged.
    """
    kind = _kind(content, media_type, name)
    if kind in ("pdf", "html"):
        return tidy(read_contained(kind, content))
    if kind == "archive":
        return tidy(read_archive(content))
    text = decoded(content)
    reader = {"tex": read_tex, "markdown": read_markdown, "plain": read_plain}[kind]
    return tidy(reader(text))


def _kind(content: bytes, media_type: str, name: str) -> Kind:
    """Return the kind of a file.

    Raises:
        PaperError: It says that it is a PDF, and is none.
    """
    head = content[:_HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    if b"%PDF-" in head:
        return "pdf"
    if head[:2] == b"\x1f\x8b" or content[257:262] == b"ustar":
        return "archive"
    if _HTML.match(head):
        return "html"
    said = SUFFIXES.get(PurePosixPath(name.lower()).suffix) or _TYPES.get(media_type)
    if said in ("pdf", "archive"):
        raise PaperError(
            f"It says that it is {'a PDF' if said == 'pdf' else 'an archive'}, and is none."
        )
    if said in (None, "plain") and _TEX.search(content[: 64 * _HEAD_BYTES]):
        return "tex"
    return said or "plain"
