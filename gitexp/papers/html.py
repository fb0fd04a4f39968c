"""Read an HTML page: the article in it, by its headings, with formulas as they were written.

The pages of arXiv are made by LaTeXML, whose classes (``ltx_…``) name title, authors, abstract and
bibliography; a formula is a ``math`` element whose ``alttext`` is its TeX. Other pages have at
least headings. What surrounds an article (navigation, scripts, forms) is left out.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gitexp.papers.document import EXTRA, PaperError, Reading, Section, one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bs4 import BeautifulSoup
    from bs4.element import NavigableString, PageElement, Tag

_LEFT_OUT = frozenset(
    [
        "aside",
        "audio",
        "button",
        "canvas",
        "dialog",
        "footer",
        "form",
        "head",
        "iframe",
        "nav",
        "noscript",
        "object",
        "script",
        "select",
        "style",
        "svg",
        "template",
        "textarea",
        "video",
    ]
)
_LEFT_OUT_CLASSES = frozenset(
    [
        "ltx_bibliography",
        "ltx_page_footer",
        "ltx_page_header",
        "ltx_page_logo",
        "ltx_TOC",
        "ltx_authors",
        "ltx_ERROR",
        "ltx_role_footnotemark",
        "ltx_tag_note",
    ]
)
_BLOCKS = frozenset(
    [
        "address",
        "article",
        "blockquote",
        "caption",
        "dd",
        "details",
        "div",
        "dl",
        "dt",
        "figcaption",
        "figure",
        "hr",
        "li",
        "main",
        "ol",
        "p",
        "pre",
        "section",
        "summary",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "tr",
        "ul",
    ]
)
_HEADINGS = frozenset(["h1", "h2", "h3", "h4", "h5", "h6"])
_LICENCE_WORD = re.compile(r"(?i)^\s*licen[cs]e:\s*")
_BLANKS = re.compile(r"\s+")
_EMPTY_LINES = re.compile(r" *\n(?: *\n)+")
_AROUND_LINE = re.compile(r" *\n(?: (?! ))?")
"""Code keeps its indentation."""


def read_html(content: bytes) -> Reading:
    """Return what a page says.

    Raises:
        PaperError: beautifulsoup4 is not installed.
    """
    soup = _parse(content)
    body = _article(soup)
    sections = tuple(_sections(body))
    abstract = next((s.text for s in sections if s.title.lower().rstrip(".") == "abstract"), None)
    return Reading(
        title=_title(soup),
        authors=_authors(soup),
        licence=_licence(soup),
        abstract=abstract or _meta(soup, "citation_abstract") or _meta(soup, "description"),
        sections=sections,
    )


def _parse(content: bytes) -> BeautifulSoup:
    try:
        from bs4 import BeautifulSoup
    except ImportError as error:
        raise PaperError(
            "HTML is read by beautifulsoup4, which is not installed.", f"Run {EXTRA}."
        ) from error
    try:
        return BeautifulSoup(content, "html.parser")
    except Exception as error:  # of any kind: the parser rejects what it does not expect
        raise PaperError(f"The page is damaged: {one_line(str(error), 200)}.") from error


def _article(soup: BeautifulSoup) -> Tag:
    """Return the element that holds the text: of several articles, what holds them all."""
    for name in ("article", "main", "body"):
        found = soup.find_all(name, limit=2)
        if len(found) == 1:
            return found[0]
    return soup


def _title(soup: BeautifulSoup) -> str:
    heading = soup.find("h1", class_="ltx_title_document") or soup.find("h1")
    in_head = _meta(soup, "citation_title")
    if in_head or heading is not None:
        return in_head or _plain(heading)
    return _plain(soup.title)


def _authors(soup: BeautifulSoup) -> tuple[str, ...]:
    found = soup.find_all("meta", attrs={"name": "citation_author"})
    if found:
        return tuple(str(tag.get("content", "")) for tag in found)
    names = [_first_words(tag) for tag in soup.find_all(class_="ltx_personname")]
    return tuple(name for name in names if name)


def _first_words(tag: Tag) -> str:
    """Return what stands before the first line break: after the name come the addresses."""
    words: list[str] = []
    for each in tag.descendants:
        if getattr(each, "name", None) == "br" and words:
            break
        if isinstance(each, str):
            words.append(each)
    return one_line("".join(words), 100)


def _licence(soup: BeautifulSoup) -> str | None:
    """Return the licence that a page of arXiv, or the head of another page, names."""
    found = soup.find(id="license-tr")
    if found is not None:
        return _LICENCE_WORD.sub("", _plain(found)) or None
    link = soup.find("link", rel="license")
    return str(link.get("href")) if link is not None and link.get("href") else None


def _meta(soup: BeautifulSoup, name: str) -> str:
    tag = soup.find("meta", attrs={"name": name})
    return "" if tag is None else one_line(str(tag.get("content") or ""), 2_000)


def _plain(tag: Tag | None) -> str:
    return "" if tag is None else one_line("".join(_words(tag)))


def _sections(body: Tag) -> Iterator[Section]:
    """Yield a section for each heading, and one for what stands before the first."""
    title = ""
    words: list[str] = []
    for piece in _pieces(body):
        if isinstance(piece, str):
            words.append(piece)
            continue
        yield Section(title, _tidied(words))
        title, words = _plain(piece), []
    yield Section(title, _tidied(words))


def _tidied(words: list[str]) -> str:
    text = _EMPTY_LINES.sub("\n\n", "".join(words))
    return _AROUND_LINE.sub("\n", text).strip()


def _pieces(body: Tag) -> Iterator[str | Tag]:
    """Yield the text below an element in its order; a heading as the element that it is."""
    for piece in _walk(body):
        if isinstance(piece, str) or piece.name in _HEADINGS:
            yield piece
        elif piece.name in _BLOCKS:
            yield "\n\n"
        elif piece.name == "br":
            yield "\n"


def _words(tag: Tag) -> Iterator[str]:
    for piece in _walk(tag):
        yield piece if isinstance(piece, str) else " "


def _walk(top: Tag) -> Iterator[str | Tag]:
    """Yield texts and elements, without recursion: a page may be nested at will.

    An element comes before what is in it, and, if it is a block, once more after it.
    """
    from bs4.element import NavigableString, Tag

    stack: list[PageElement | str] = list(reversed(top.contents))
    while stack:
        each = stack.pop()
        if isinstance(each, NavigableString):
            yield from _text(each)
        elif isinstance(each, str):
            yield each
        elif not isinstance(each, Tag) or _is_left_out(each):
            continue
        elif each.name == "math":
            yield _formula(each)
        else:
            yield each
            if each.name not in _HEADINGS:
                stack.append("\n\n" if each.name in _BLOCKS else "")
                stack.extend(reversed(each.contents))


def _text(each: NavigableString) -> Iterator[str]:
    """Yield a text as it is shown; comments and declarations are not."""
    from bs4.element import PreformattedString

    if isinstance(each, PreformattedString):
        return
    is_code = each.find_parent("pre") is not None
    yield str(each) if is_code else _BLANKS.sub(" ", each)


def _formula(tag: Tag) -> str:
    written = tag.get("alttext")
    return f"${_BLANKS.sub(' ', str(written))}$" if written else _BLANKS.sub(" ", tag.get_text(" "))


def _is_left_out(tag: Tag) -> bool:
    classes = tag.get("class")
    hidden = tag.get("hidden") is not None or tag.get("aria-hidden") == "true"
    return tag.name in _LEFT_OUT or hidden or bool(_LEFT_OUT_CLASSES.intersection(classes or ()))
