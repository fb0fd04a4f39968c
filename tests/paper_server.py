"""A server on this machine that answers as arXiv does, or as badly as a test asks for.

The feeds have the form of the real ones: namespaces, hard-wrapped texts, entries in the order of
``id_list``, pages by ``start`` and ``max_results``, nothing for a paper that is not known, and an
entry titled ``Error``, with status 400, for an id that is none.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

ATOM = "application/atom+xml; charset=UTF-8"


@dataclass
class Answer:
    """What the server says.

    Attributes:
        claimed: The length that it says it will send.
        stalls: It sends the content and then nothing, without ending.
    """

    content: bytes = b""
    type: str = "text/html"
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    claimed: int | None = None
    stalls: bool = False


@dataclass
class Preprint:
    """A paper as arXiv knows it, its latest version last."""

    title: str
    versions: int = 1
    authors: tuple[str, ...] = ("Noam Shazeer",)
    published: str = "2020-02-12T19:57:13Z"
    summary: str = "Gated Linear Units consist of\n  the component-wise product of two parts.\n"
    doi: str | None = None
    html: bytes | None = None
    source: bytes | None = None
    pdf: bytes | None = None


class PaperServer:
    """The server; `papers` is what it knows, `answers` what it says at a path instead, in turn."""

    def __init__(self) -> None:
        self.papers: dict[str, Preprint] = {}
        self.answers: dict[str, list[Answer]] = {}
        self.asked: list[str] = []
        self.agents: set[str] = set()
        self.ended = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.of = self

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        """What was asked for, without queries."""
        return [path.partition("?")[0] for path in self.asked]

    def answer(self, path: str, query: str) -> Answer:
        """Return the answer to a request; the last that was given for a path stays."""
        if path in self.answers:
            given = self.answers[path]
            return given.pop(0) if len(given) > 1 else given[0]
        if path == "/api/query":
            return self._feed({key: values[0] for key, values in parse_qs(query).items()})
        return self._document(path)

    def _document(self, path: str) -> Answer:
        kind, _, name = path.strip("/").partition("/")
        base, _, version = unquote(name).partition("v")
        paper = self.papers.get(base)
        if paper is not None and not (version and int(version) > paper.versions):
            content, kind_of = {
                "html": (paper.html, "text/html; charset=utf-8"),
                "e-print": (paper.source, "application/gzip"),
                "pdf": (paper.pdf, "application/pdf"),
            }.get(kind, (None, ""))
            if content is not None:
                return Answer(content, kind_of)
        return Answer(b"<html><body>Not found</body></html>", status=404)

    def _feed(self, query: dict[str, str]) -> Answer:
        named = [word for word in query.get("id_list", "").split(",") if word]
        start, most = int(query.get("start", 0)), int(query.get("max_results", 10))
        for name in named:
            if not name[0].isdigit() and "/" not in name:
                return Answer(_error_feed(name).encode(), ATOM, status=400)
        known = [name for name in named if name.partition("v")[0] in self.papers]
        entries = [self._entry(name) for name in known[start : start + most]]
        text = _FEED.format(total=len(known), start=start, most=most, entries="".join(entries))
        return Answer(text.encode(), ATOM)

    def _entry(self, name: str) -> str:
        base, _, version = name.partition("v")
        paper = self.papers[base]
        doi = f'<arxiv:doi xmlns:arxiv="http://arxiv.org/schemas/atom">{paper.doi}</arxiv:doi>'
        return _ENTRY.format(
            id=f"{base}v{version or paper.versions}",
            title=escape(paper.title),
            summary=escape(paper.summary),
            published=paper.published,
            authors="".join(f"<author><name>{escape(a)}</name></author>" for a in paper.authors),
            doi=doi if paper.doi else "",
        )


@contextmanager
def watching() -> Iterator[set[tuple[str, int]]]:
    """Yield the set of what this process connects to; another machine's name is an error.

    Whoever is looked up or connected to beside this machine is refused, and remembered: a library
    may take the refusal for a fault of the network, and the test still fails.
    """
    found: set[tuple[str, int]] = set()
    strangers: list[object] = []
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def watched_connect(self: socket.socket, address: Any) -> None:
        if self.family == socket.AF_INET:
            if address[0] != "127.0.0.1":
                strangers.append(address)
                raise OSError("not in this test")
            found.add(address)
        connect(self, address)

    def watched_look_up(host: Any, *rest: Any, **more: Any) -> Any:
        if host not in ("127.0.0.1", b"127.0.0.1"):
            strangers.append(host)
            raise socket.gaierror("not in this test")
        return look_up(host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", watched_connect)
        patch.setattr(socket, "getaddrinfo", watched_look_up)
        yield found
    assert strangers == []


class _Server(ThreadingHTTPServer):
    of: PaperServer
    daemon_threads = True
    request_queue_size = 50

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that have gone."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        of = self.server.of
        of.asked.append(self.path)
        of.agents.add(self.headers.get("User-Agent", ""))
        parts = urlsplit(self.path)
        answer = of.answer(parts.path, parts.query)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.type)
        claimed = len(answer.content) if answer.claimed is None else answer.claimed
        self.send_header("Content-Length", str(claimed))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.content)
        if answer.stalls:
            self.wfile.flush()
            of.ended.wait(20)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """Print nothing."""


@contextmanager
def serving() -> Iterator[PaperServer]:
    """Run a server for as long as the context lasts."""
    server = PaperServer()
    inner = server._server
    thread = threading.Thread(target=inner.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        inner.shutdown()
        inner.server_close()
        thread.join()


_FEED = """<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns="http://www.w3.org/2005/Atom">
  <link href="http://arxiv.org/api/query?search_query%3D" rel="self" type="application/atom+xml"/>
  <title type="html">ArXiv Query: search_query=&amp;id_list=</title>
  <id>http://arxiv.org/api/cHxbiOdZaP56ODnBPIenZhzg5f8</id>
  <updated>2026-01-31T00:00:00-05:00</updated>
  <opensearch:totalResults xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">{total}</opensearch:totalResults>
  <opensearch:startIndex xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">{start}</opensearch:startIndex>
  <opensearch:itemsPerPage xmlns:opensearch="http://a9.com/-/spec/opensearch/1.1/">{most}</opensearch:itemsPerPage>
{entries}</feed>
"""

_ENTRY = """  <entry>
    <id>http://arxiv.org/abs/{id}</id>
    <updated>2021-03-04T05:06:07Z</updated>
    <published>{published}</published>
    <title>{title}</title>
    <summary>  {summary}</summary>
    {authors}
    {doi}
    <link href="http://arxiv.org/abs/{id}" rel="alternate" type="text/html"/>
    <arxiv:primary_category xmlns:arxiv="http://arxiv.org/schemas/atom" term="cs.LG"/>
    <category term="cs.LG" scheme="http://arxiv.org/schemas/atom"/>
  </entry>
"""


def _error_feed(name: str) -> str:
    entry = (
        f"<entry><id>http://arxiv.org/api/errors#incorrect_id_format_for_{name}</id>"
        f"<title>Error</title><summary>incorrect id format for {name}</summary>"
        "<author><name>arXiv api core</name></author></entry>"
    )
    return _FEED.format(total=1, start=0, most=1, entries=entry)
