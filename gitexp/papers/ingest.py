"""From what somebody names to a paper in the library: read it, cut it, write its lines.

A paper is read as a whole before anything of it is written, and its lines go in as one commit, so
none is ever added by half. Its id says what it is:

* ``arxiv-<id>``: of an old id, which has a ``/``, with a ``-`` instead. A newer version has the
  same id and takes the place of the older one.
* ``repo-<12 hex>``: of the address that the repository is cloned from, else of its folder.
* ``file-<12 hex>``: of a file of this work tree by its path here, of one from the network by its
  address: a changed one takes the place of the older one. Any other file by its content.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterator, Sequence
from pathlib import Path

import xxhash

from gitexp.errors import GitexpError
from gitexp.git.transfer import without_credentials
from gitexp.library.library import Library
from gitexp.light import NamedTuple
from gitexp.papers.arxiv import ArxivId, arxiv_id, look_up, read_paper
from gitexp.papers.atom import Entry
from gitexp.papers.chunks import Cut, cut, digest, excerpt, full_text
from gitexp.papers.clone import cloned, ssh_address
from gitexp.papers.document import MAX_SOURCE_BYTES, Document, PaperError, Reading, one_line
from gitexp.papers.fetch import Fetcher, split_address
from gitexp.papers.formats import read_content
from gitexp.papers.repository import Checkout, read_repository
from gitexp.records.library import MAX_ABSTRACT, Chunk, Paper

MAX_PASSAGES = 5_000
"""Of one paper."""

_FORGES = ("github.com", "gitlab.com", "codeberg.org", "bitbucket.org")
_DIGITS = 12


class Failure(NamedTuple):
    """A source that could not be read, and why."""

    spec: str
    error: GitexpError


class Added(NamedTuple):
    """What became of a paper.

    Attributes:
        passages: How many it has.
        new: Something was written: the paper was not here, or was another.
    """

    paper: Paper
    passages: int
    new: bool
    notes: tuple[str, ...]


def read_source(spec: str, *, fetch: Fetcher, top: Path | None = None) -> Document:
    """Read one source; see `read_sources`.

    Raises:
        GitexpError: It cannot be got or read.
    """
    read = next(read_sources([spec], fetch=fetch, top=top))
    if isinstance(read, Failure):
        raise read.error
    return read


def read_sources(
    specs: Sequence[str], *, fetch: Fetcher, top: Path | None = None
) -> Iterator[Document | Failure]:
    """Read sources in their order; arXiv is asked once for what it knows of all its papers.

    Args:
        specs: Each an id or an address of arXiv, a file, a folder with a git repository, or the
            address of a repository or a document at a host that is configured.
        fetch: Gets what is not on this machine.
        top: Of the work tree, whose files keep their identity when they change.
    """
    named = {spec: _arxiv_id(spec, fetch) for spec in specs}
    entries = _look_up([each for each in named.values() if isinstance(each, ArxivId)], fetch)
    for spec, found in named.items():
        try:
            yield _read(spec, fetch, top) if found is None else _read_arxiv(found, entries, fetch)
        except GitexpError as error:
            yield Failure(spec, error)


def _arxiv_id(spec: str, fetch: Fetcher) -> ArxivId | GitexpError | None:
    try:
        return arxiv_id(spec, fetch)
    except GitexpError as error:
        return error


def _look_up(ids: Sequence[ArxivId], fetch: Fetcher) -> dict[ArxivId, Entry] | GitexpError:
    """Return what arXiv knows of papers, or why it could not be asked: that holds for each."""
    try:
        return look_up(list(dict.fromkeys(ids)), fetch) if ids else {}
    except GitexpError as error:
        return error


def _read_arxiv(
    found: ArxivId | GitexpError, entries: dict[ArxivId, Entry] | GitexpError, fetch: Fetcher
) -> Document:
    if isinstance(found, GitexpError):
        raise found
    if isinstance(entries, GitexpError):
        raise entries
    if found not in entries:
        raise PaperError(f"arXiv knows no paper {found}.")
    return read_paper(entries[found], fetch)


def _read(spec: str, fetch: Fetcher, top: Path | None) -> Document:
    if not spec.strip():
        raise PaperError("An empty word names no source.")
    address = ssh_address(spec) or spec.removeprefix("git+")
    parts = split_address(address) if "://" in address else None
    if parts is None or parts.scheme == "file":
        return _read_path(Path(parts.path if parts else spec), top)
    if parts.scheme == "ssh" or _is_repository(spec, parts):
        with cloned(address, fetch) as folder:
            return _repository(read_repository(folder), address)
    if parts.scheme not in ("http", "https"):
        raise PaperError(
            f"{spec!r} cannot be read: {parts.scheme} is not a way to get papers.",
            "Name it by https, or by its path.",
        )
    return _read_url(address, fetch)


def _is_repository(spec: str, parts: urllib.parse.SplitResult) -> bool:
    """Say whether an address is a repository's: it says so, or is ``OWNER/NAME`` on a forge."""
    path = parts.path.rstrip("/")
    is_project = parts.hostname in _FORGES and path.count("/") == 2  # noqa: PLR2004 - /OWNER/NAME
    return spec.startswith("git+") or path.endswith(".git") or is_project


def _read_url(url: str, fetch: Fetcher) -> Document:
    path = urllib.parse.urlsplit(url).path
    fetched = fetch.get(url)
    reading = read_content(fetched.content, fetched.type, path)
    return _file(reading, _name_of(path), digest(url), url=url)


def _read_path(path: Path, top: Path | None) -> Document:
    """Read a file or a folder of this machine."""
    try:
        if path.is_dir():
            checkout = read_repository(path)
            return _repository(checkout, checkout.place)
        content = _content(path)
    except (OSError, ValueError) as error:
        raise PaperError(f"{_cut(path)} cannot be read: {error}.") from error
    try:
        reading = read_content(content, name=path.name)
    except PaperError as error:
        raise PaperError(f"{_cut(path)} cannot be read: {error.message}", error.hint) from error
    here = path.resolve()
    if top is not None and here.is_relative_to(top):
        return _file(reading, path.stem, digest(f"path {here.relative_to(top).as_posix()}"))
    return _file(reading, path.stem, xxhash.xxh3_128_hexdigest(content))


def _content(path: Path) -> bytes:
    if not path.is_file():
        raise PaperError(
            f"{_cut(path)} is no file, folder, arXiv id or address.",
            "An arXiv id is written as 2002.05202 or cs/0112017.",
        )
    if path.stat().st_size > MAX_SOURCE_BYTES:
        raise PaperError(f"{_cut(path)} has more than {MAX_SOURCE_BYTES >> 20} MiB.")
    return path.read_bytes()


def _cut(path: Path) -> str:
    return one_line(str(path), 200)


def _file(reading: Reading, name: str, number: str, url: str | None = None) -> Document:
    return Document(
        id=f"file-{number[:_DIGITS]}",
        source="file",
        title=reading.title or name,
        authors=reading.authors,
        url=url,
        licence=reading.licence,
        abstract=_abstract(reading),
        sections=reading.sections,
        notes=reading.notes,
    )


def _repository(checkout: Checkout, address: str) -> Document:
    reading = checkout.reading
    shown = without_credentials(address)
    is_url = "://" in shown and not shown.startswith("file:")
    return Document(
        id=f"repo-{digest(shown.rstrip('/').removesuffix('.git'))[:_DIGITS]}",
        source="repository",
        title=reading.title or checkout.name,
        url=shown if is_url else None,
        commit=checkout.commit,
        licence=reading.licence,
        abstract=_abstract(reading),
        sections=reading.sections,
        notes=reading.notes,
    )


def _abstract(reading: Reading) -> str | None:
    """Return the abstract, else the first paragraph."""
    text = reading.abstract or reading.sections[0].text.split("\n\n")[0]
    return one_line(text, MAX_ABSTRACT) or None


def _name_of(path: str) -> str:
    return urllib.parse.unquote(path.rstrip("/").rpartition("/")[2]) or "document"


def add_paper(library: Library, document: Document, *, share_text: bool = False) -> Added:
    """Add a document to the library; one that is there as it is adds nothing.

    Args:
        library: Where to.
        document: What was read.
        share_text: Put the whole text of each passage into its line, which travels with the runs;
            else it stays in this clone. A text that was shared once stays so while it is the same.

    Raises:
        PaperError: It has more passages than a paper can have.
        GitexpError: It could not be written.
    """
    text = full_text(document.sections)
    cuts = list(cut(document.sections))
    if len(cuts) > MAX_PASSAGES:
        raise PaperError(f"It has {len(cuts):,} passages; {MAX_PASSAGES:,} are allowed.")
    time, by = library.stamp()
    paper = _paper(document, text, time, by)
    share = share_text or _is_shared(library, paper)
    chunks = [_chunk(paper, number, each, share) for number, each in enumerate(cuts, 1)]
    texts = {chunk.id: each.text for chunk, each in zip(chunks, cuts, strict=True)}
    new = library.add([paper, *chunks], texts)
    return Added(paper, len(chunks), bool(new), document.notes)


def _is_shared(library: Library, paper: Paper) -> bool:
    """Say whether the text of the same paper is shared already."""
    known = next((each for each in library.papers() if each.id == paper.id), None)
    if known is None or known.digest != paper.digest:
        return False
    return any(chunk.text is not None for chunk in library.chunks(paper.id))


def _paper(document: Document, text: str, time: str, by: str) -> Paper:
    return Paper(
        time=time,
        by=by,
        id=document.id,
        source=document.source,
        title=document.title,
        authors=document.authors,
        year=document.year,
        url=document.url,
        arxiv=document.arxiv,
        version=document.version,
        doi=document.doi,
        commit=document.commit,
        licence=document.licence,
        abstract=document.abstract,
        digest=digest(text),
        characters=len(text),
    )


def _chunk(paper: Paper, number: int, each: Cut, share: bool) -> Chunk:
    return Chunk(
        time=paper.time,
        by=paper.by,
        id=f"{paper.id}.{number}",
        paper=paper.id,
        section=each.section,
        span=each.span,
        digest=digest(each.text),
        excerpt=excerpt(each.text),
        text=each.text if share else None,
        symbols=each.symbols,
    )
