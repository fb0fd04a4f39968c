"""Read the Atom feed with which the arXiv API answers.

Its form is that of RFC 4287 with arXiv's own elements and those of OpenSearch. No feed of arXiv
has a document type, and without one no entity can be declared, so that none can grow.
"""

from __future__ import annotations

import re
from typing import NoReturn
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from gitexp.light import NamedTuple
from gitexp.papers.document import PaperError, one_line

_ATOM = "{http://www.w3.org/2005/Atom}"
_ARXIV = "{http://arxiv.org/schemas/atom}"
_OPEN_SEARCH = "{http://a9.com/-/spec/opensearch/1.1/}"
_ABSTRACT_PAGE = re.compile(r"/abs/(?P<base>.+?)(?P<version>v\d+)?$")
_MAX_BYTES = 16 << 20
_MAX_DEPTH = 50
_SAID = 80


class Entry(NamedTuple):
    """What arXiv says of a paper.

    Attributes:
        base: Its id, without the version.
        version: The one that this is, ``v2``.
        year: Of its first version.
    """

    base: str
    version: str | None
    title: str
    authors: tuple[str, ...]
    year: int | None
    abstract: str
    doi: str | None


class Feed(NamedTuple):
    """One page of an answer, and how many entries there are on all pages."""

    total: int
    entries: tuple[Entry, ...]


def read_feed(content: bytes) -> Feed:
    """Return what an answer of the API says.

    Raises:
        PaperError: It is no such feed, or says that the question was wrong.
    """
    feed = _parse(content)
    if feed.tag != f"{_ATOM}feed":
        raise PaperError("arXiv's answer is no Atom feed.", "Try again later.")
    found = feed.findall(f"{_ATOM}entry")
    for entry in found:
        if _text(entry, "title") == "Error" and "/errors" in _text(entry, "id"):
            raise PaperError(f"arXiv does not take the question: {_text(entry, 'summary')}.")
    entries = tuple(filter(None, map(_entry, found)))
    total = feed.findtext(f"{_OPEN_SEARCH}totalResults", "").strip()
    return Feed(int(total) if re.fullmatch("[0-9]{1,9}", total) else len(entries), entries)


def _parse(content: bytes) -> Element:
    """Return the root of an XML document without a document type."""
    if len(content) > _MAX_BYTES:
        raise PaperError("arXiv's answer is too long.")
    builder, depth = TreeBuilder(), 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > _MAX_DEPTH:
            raise PaperError("arXiv's answer is nested too deeply.")
        builder.start(_braced(name), attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(_braced(name))

    parser = expat.ParserCreate(namespace_separator="}")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(content, True)
    except expat.ExpatError as error:
        raise PaperError(
            f"arXiv's answer is no XML ({error}); it begins with {_beginning(content)!r}.",
            "Try again later.",
        ) from error
    return builder.close()


def _braced(name: str) -> str:
    return "{" + name if "}" in name else name


def _refuse_doctype(*_: object) -> NoReturn:
    raise PaperError("arXiv's answer declares a document type, which no feed has.")


def _beginning(content: bytes) -> str:
    return one_line(content[: _SAID * 4].decode("utf-8", "replace"), _SAID)


def _entry(entry: Element) -> Entry | None:
    """Return an entry; None of one that is no paper."""
    page = _ABSTRACT_PAGE.search(_text(entry, "id"))
    title = _text(entry, "title")
    if page is None or not title:
        return None
    names = (author.findtext(f"{_ATOM}name", "") for author in entry.findall(f"{_ATOM}author"))
    published = re.match("[0-9]{4}", _text(entry, "published"))
    return Entry(
        base=page["base"],
        version=page["version"],
        title=title,
        authors=tuple(name for name in map(one_line, names) if name),
        year=int(published[0]) if published else None,
        abstract=entry.findtext(f"{_ATOM}summary", ""),
        doi=one_line(entry.findtext(f"{_ARXIV}doi", "")) or None,
    )


def _text(entry: Element, name: str) -> str:
    return one_line(entry.findtext(f"{_ATOM}{name}", ""))
