"""arXiv: what it knows of a paper (its Atom API), and the text of the paper.

The API is described in https://info.arxiv.org/help/api/user-manual.html. Several papers are asked
for at once (``id_list``) and come in pages; an error comes as an entry whose title is ``Error``.
It says nothing of licences; the HTML of a paper does.

The text comes from what keeps most of a paper's form, and from the next where there is none: HTML
(sections, and formulas as they were written; papers since the end of 2023), the TeX source
(the same, but for what only TeX itself can expand), PDF (guessed sections, broken formulas).
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Sequence

from gitexp.light import NamedTuple
from gitexp.papers.atom import Entry, Feed, read_feed
from gitexp.papers.document import AbsentError, Document, PaperError, Reading, one_line
from gitexp.papers.fetch import Fetcher, origin_of, split_address
from gitexp.papers.formats import read_content
from gitexp.records.library import MAX_ABSTRACT

PAGE = 50
"""Papers that are asked for at once; more come in further pages."""

_NEW = r"\d{4}\.\d{4,5}"
_OLD = r"[a-z]+(?:-[a-z]+)?(?:\.[A-Z]{2})?/\d{7}"
_ID = re.compile(rf"(?:arXiv:)?(?P<base>{_NEW}|{_OLD})(?P<version>v[1-9]\d{{0,2}})?", re.IGNORECASE)
_KINDS = ("abs", "pdf", "html", "e-print", "src", "format", "ps")
_HOSTS = ("arxiv.org", "www.arxiv.org", "export.arxiv.org")


class ArxivId(NamedTuple):
    """A paper on arXiv; without a version it is the latest."""

    base: str
    version: str | None

    def __str__(self) -> str:
        return f"{self.base}{self.version or ''}"


def arxiv_id(spec: str, fetch: Fetcher) -> ArxivId | None:
    """Return which paper on arXiv an id or an address names; None where it names none.

    Raises:
        PaperError: It is an address that is none.
    """
    text = spec.strip()
    if "://" in text:
        parts = split_address(text)
        here = origin_of(fetch.arxiv_site).host
        kind, _, text = parts.path.strip("/").partition("/")
        if (parts.hostname or "") not in (*_HOSTS, here) or kind not in _KINDS:
            return None
        text = re.sub(r"\.(?:pdf|html)$", "", text.rstrip("/"))
    match = _ID.fullmatch(text)
    if match is None:
        return None
    version = match["version"]
    return ArxivId(_same_case(match["base"]), version and version.lower())


def _same_case(base: str) -> str:
    """Return an id as arXiv writes it: ``math.GT/0309136``."""
    archive, slash, number = base.partition("/")
    name, dot, subject = archive.partition(".")
    return f"{name.lower()}{dot}{subject.upper()}/{number}" if slash else base


def look_up(ids: Sequence[ArxivId], fetch: Fetcher, page: int = PAGE) -> dict[ArxivId, Entry]:
    """Return what arXiv knows of papers; one that it does not know is not among them.

    Raises:
        PaperError: It cannot be asked, or its answer is of no use.
    """
    entries: list[Entry] = []
    for start in range(0, len(ids), page):
        feed = _ask(ids, fetch, start, page)
        entries += feed.entries
        if start + page >= feed.total:
            break
    exact = {(entry.base, entry.version): entry for entry in reversed(entries)}
    latest = {entry.base: entry for entry in entries}
    found = ((each, exact.get(each) if each.version else latest.get(each.base)) for each in ids)
    return {each: entry for each, entry in found if entry is not None}


def _ask(ids: Sequence[ArxivId], fetch: Fetcher, start: int, page: int) -> Feed:
    query = urllib.parse.urlencode(
        {"id_list": ",".join(map(str, ids)), "start": start, "max_results": page}, safe=",/"
    )
    fetched = fetch.get(f"{fetch.arxiv_api}?{query}", accept=(200, 400))
    return read_feed(fetched.content)


def read_paper(entry: Entry, fetch: Fetcher) -> Document:
    """Return a paper with its text.

    Raises:
        PaperError: arXiv cannot be asked, or has no text of it that can be read.
    """
    reading = _read_text(entry, fetch)
    return Document(
        id="arxiv-" + entry.base.replace("/", "-"),
        source="arxiv",
        title=entry.title,
        authors=entry.authors,
        year=entry.year,
        url=f"https://arxiv.org/abs/{entry.base}",
        arxiv=entry.base,
        version=entry.version,
        doi=entry.doi,
        licence=reading.licence,
        abstract=one_line(entry.abstract, MAX_ABSTRACT),
        sections=reading.sections,
        notes=reading.notes,
    )


def _read_text(entry: Entry, fetch: Fetcher) -> Reading:
    name = f"{entry.base}{entry.version or ''}"
    tried: list[str] = []
    hint = None
    for kind in ("html", "e-print", "pdf"):
        address = f"{fetch.arxiv_site}/{kind}/{name}"
        try:
            fetched = fetch.get(address)
        except AbsentError:
            tried.append(f"{kind}: there is none")
            continue
        try:
            return read_content(fetched.content, fetched.type)
        except PaperError as error:
            tried.append(f"{kind}: {error.message}")
            hint = error.hint
    failure = PaperError(f"arXiv has no text of {name} that can be read.", hint)
    failure.details = tuple(tried)
    raise failure
