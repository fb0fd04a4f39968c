"""arXiv: ids and addresses, its Atom feed, and which form of a paper is read."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from gitexp.papers.arxiv import ArxivId, arxiv_id, look_up
from gitexp.papers.atom import read_feed
from gitexp.papers.document import Document, PaperError
from gitexp.papers.fetch import Fetcher
from gitexp.papers.ingest import Failure, read_source, read_sources
from tests.paper_files import TEX, arxiv_html, pdf_of, prose, tar_of
from tests.paper_server import Answer, PaperServer, Preprint, serving, watching

GLU = "2002.05202"


@pytest.fixture(autouse=True)
def contacted() -> Iterator[set[tuple[str, int]]]:
    with watching() as found:
        yield found


@pytest.fixture
def server() -> Iterator[PaperServer]:
    with serving() as found:
        yield found


def fetcher(server: PaperServer, **more: Any) -> Fetcher:
    api, site = f"{server.url}/api/query", server.url
    return Fetcher(arxiv_api=api, arxiv_site=site, interval_s=0.0, timeout_s=5.0, **more)


def html(text: str = "Gated units help.") -> bytes:
    return arxiv_html([("Introduction", text), ("Results", prose(50))])


@pytest.mark.parametrize(
    ("spec", "base", "version"),
    [
        ("2002.05202", "2002.05202", None),
        ("2002.05202v1", "2002.05202", "v1"),
        ("arXiv:2002.05202V12", "2002.05202", "v12"),
        ("0704.0001", "0704.0001", None),
        ("cs/0112017", "cs/0112017", None),
        ("math.gt/0309136v2", "math.GT/0309136", "v2"),
        ("hep-th/9901001", "hep-th/9901001", None),
        ("https://arxiv.org/abs/2002.05202v3", "2002.05202", "v3"),
        ("http://arxiv.org/pdf/2002.05202.pdf", "2002.05202", None),
        ("https://www.arxiv.org/html/2002.05202v1/", "2002.05202", "v1"),
        ("https://export.arxiv.org/e-print/cs/0112017", "cs/0112017", None),
    ],
)
def test_ids_and_addresses_of_arxiv_are_known(spec: str, base: str, version: str | None) -> None:
    assert arxiv_id(spec, Fetcher()) == ArxivId(base, version)


@pytest.mark.parametrize(
    "spec",
    [
        "2002.052",
        "2002.05202v0",
        "./2002.05202",
        "cs/01120",
        "paper.pdf",
        "https://example.org/abs/2002.05202",
        "https://arxiv.org/list/cs.LG/recent",
        "https://arxiv.org.example.org/abs/2002.05202",
        "https://arxiv.org/abs/../2002.05202",
    ],
)
def test_what_is_no_id_of_arxiv_is_not_taken_for_one(spec: str) -> None:
    assert arxiv_id(spec, Fetcher()) is None


def test_a_paper_is_read_with_what_arxiv_knows_of_it(server: PaperServer) -> None:
    server.papers[GLU] = Preprint(
        "GLU Variants\n  Improve Transformer",
        versions=2,
        authors=("Noam Shazeer", "Ada <Lovelace>"),
        doi="10.1000/182",
        html=html(),
    )
    found = read_source(GLU, fetch=fetcher(server))
    assert found.id == "arxiv-2002.05202"
    assert (found.arxiv, found.version, found.year) == (GLU, "v2", 2020)
    assert found.title == "GLU Variants Improve Transformer"
    assert found.authors == ("Noam Shazeer", "Ada <Lovelace>")
    assert (found.doi, found.licence) == ("10.1000/182", "CC BY 4.0")
    assert found.url == "https://arxiv.org/abs/2002.05202"
    assert found.abstract == (
        "Gated Linear Units consist of the component-wise product of two parts."
    )
    assert [section.title for section in found.sections] == [
        "Abstract",
        "1 Introduction",
        "2 Results",
    ]
    assert server.paths == ["/api/query", "/html/2002.05202v2"]


def test_an_old_id_becomes_an_id_that_can_name_a_file(server: PaperServer) -> None:
    server.papers["cs/0112017"] = Preprint("Old", html=html())
    found = read_source("cs/0112017v1", fetch=fetcher(server))
    assert (found.id, found.arxiv, found.version) == ("arxiv-cs-0112017", "cs/0112017", "v1")


def test_a_version_that_is_named_is_the_one_that_is_read(server: PaperServer) -> None:
    server.papers[GLU] = Preprint("GLU", versions=3, html=html())
    assert read_source(f"{GLU}v1", fetch=fetcher(server)).version == "v1"
    assert server.paths[-1] == "/html/2002.05202v1"


def test_several_papers_are_asked_for_at_once_and_come_in_pages(server: PaperServer) -> None:
    ids = [ArxivId(f"2101.{number:05}", None) for number in range(1, 8)]
    for each in ids:
        server.papers[each.base] = Preprint(f"Paper {each.base}")
    del server.papers["2101.00003"]
    found = look_up(ids, fetcher(server), page=3)
    assert [entry.base for entry in found.values()] == [
        f"2101.{number:05}" for number in (1, 2, 4, 5, 6, 7)
    ]
    assert server.paths == ["/api/query"] * 2
    assert "start=3&max_results=3" in server.asked[-1]


def test_two_versions_of_a_paper_are_two_answers(server: PaperServer) -> None:
    server.papers[GLU] = Preprint("GLU", versions=3)
    wanted = [ArxivId(GLU, "v1"), ArxivId(GLU, None)]
    assert [entry.version for entry in look_up(wanted, fetcher(server)).values()] == ["v1", "v3"]


def test_tex_is_read_where_there_is_no_html(server: PaperServer) -> None:
    source = tar_of({"main.tex": TEX, "parts/method.tex": "More of it."})
    server.papers[GLU] = Preprint("GLU", source=source, pdf=b"never asked for")
    found = read_source(GLU, fetch=fetcher(server))
    assert [section.title for section in found.sections][:2] == ["Abstract", "Introduction"]
    assert server.paths == ["/api/query", "/html/2002.05202v1", "/e-print/2002.05202v1"]


def test_a_source_may_be_one_packed_file_or_a_pdf(server: PaperServer) -> None:
    server.papers["2002.00001"] = Preprint("One", source=gzip.compress(TEX.encode()))
    server.papers["2002.00002"] = Preprint("Two", source=pdf_of([("1 Introduction", prose(90))]))
    one, two = read_sources(["2002.00001", "2002.00002"], fetch=fetcher(server))
    assert isinstance(one, Document)
    assert isinstance(two, Document)
    assert "Introduction" in [section.title for section in one.sections]
    assert "1 Introduction" in [section.title for section in two.sections]


def test_pdf_is_read_where_nothing_else_can_be(server: PaperServer) -> None:
    server.papers[GLU] = Preprint(
        "GLU", html=b"", source=gzip.compress(b"%!PS"), pdf=pdf_of([("1 Introduction", prose(90))])
    )
    found = read_source(GLU, fetch=fetcher(server))
    assert [section.title for section in found.sections] == ["1 Introduction"]
    assert server.paths[1:] == [f"/{kind}/2002.05202v1" for kind in ("html", "e-print", "pdf")]


def test_a_paper_without_any_text_says_what_was_tried(server: PaperServer) -> None:
    server.papers[GLU] = Preprint("GLU", source=b"\x1f\x8bno")
    with pytest.raises(PaperError, match=r"no text of 2002\.05202v1") as caught:
        read_source(GLU, fetch=fetcher(server))
    kinds = [line.partition(":")[0] for line in caught.value.details]
    assert kinds == ["html", "e-print", "pdf"]


def test_a_server_that_fails_is_not_asked_for_other_forms(server: PaperServer) -> None:
    server.papers[GLU] = Preprint("GLU", pdf=b"never asked for")
    server.answers["/html/2002.05202v1"] = [Answer(status=500)]
    with pytest.raises(PaperError, match="HTTP 500"):
        read_source(GLU, fetch=fetcher(server))
    assert server.paths[-1] == "/html/2002.05202v1"


def test_a_paper_that_arxiv_does_not_know_fails_alone(server: PaperServer) -> None:
    server.papers[GLU] = Preprint("GLU", html=html())
    first, second = read_sources(["9999.99999", GLU], fetch=fetcher(server))
    assert isinstance(first, Failure)
    assert "arXiv knows no paper 9999.99999" in str(first.error)
    assert isinstance(second, Document)


def test_nothing_but_the_configured_addresses_is_contacted(
    server: PaperServer, contacted: set[tuple[str, int]]
) -> None:
    page = html("<img src='http://example.org/a.png'><a href='http://example.org'>x</a>")
    server.papers[GLU] = Preprint("GLU", html=page)
    server.papers["2002.00001"] = Preprint("PDF", pdf=pdf_of([("Abstract", "text")]))
    assert len(list(read_sources([GLU, "2002.00001"], fetch=fetcher(server)))) == 2
    assert contacted == {("127.0.0.1", server.port)}


def test_arxiv_that_leads_elsewhere_is_not_followed(server: PaperServer) -> None:
    server.papers[GLU] = Preprint("GLU")
    elsewhere = {"Location": "https://example.org/x"}
    server.answers["/html/2002.05202v1"] = [Answer(status=302, headers=elsewhere)]
    with pytest.raises(PaperError, match="not configured"):
        read_source(GLU, fetch=fetcher(server))


def test_an_error_comes_as_an_entry(server: PaperServer) -> None:
    with pytest.raises(PaperError, match="incorrect id format for x"):
        look_up([ArxivId("x", None)], fetcher(server))


FEED = '<feed xmlns="http://www.w3.org/2005/Atom">{}</feed>'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no XML"),
        (b"Rate exceeded.", "begins with 'Rate exceeded.'"),
        (b"<feed><entry></feed>", "no XML"),
        (FEED.format("<entry><title>cut").encode(), "no XML"),
        (b"<html><body>Sorry</body></html>", "no Atom feed"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>', "document type"),
        (b"<!DOCTYPE feed SYSTEM 'http://127.0.0.1:1/x.dtd'><feed/>", "document type"),
        (b"<a>" * 200, "nested too deeply"),
        (b"<a>\x1b[31m&undefined;</a>", "no XML"),
    ],
)
def test_what_is_no_feed_is_a_sentence(content: bytes, message: str) -> None:
    with pytest.raises(PaperError, match=message) as caught:
        read_feed(content)
    assert "\x1b" not in str(caught.value)


def test_an_entry_without_an_abstract_page_is_no_paper() -> None:
    feed = read_feed(FEED.format("<entry><id>x</id><title>What</title></entry>").encode())
    assert feed.entries == ()


def test_a_truncated_feed_adds_nothing(server: PaperServer) -> None:
    server.papers[GLU] = Preprint("GLU", html=html())
    server.answers["/api/query"] = [Answer(b"<feed", claimed=4000)]
    failed = list(read_sources([GLU, f"{GLU}v1"], fetch=fetcher(server)))
    assert ["broke off" in str(each.error) for each in failed if isinstance(each, Failure)] == [
        True,
        True,
    ]
    assert server.paths == ["/api/query"]
