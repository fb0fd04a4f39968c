"""From a source to the lines of the library, and the command ``git exp papers``."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gitexp import __version__
from gitexp.errors import GitexpError
from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.papers import ingest
from gitexp.papers.chunks import digest, full_text
from gitexp.papers.document import Document, PaperError, Section
from gitexp.papers.fetch import Fetcher
from gitexp.papers.ingest import add_paper, read_source
from gitexp.records.library import Method, Reference
from tests.full_store import Caller
from tests.paper_files import arxiv_html, pdf_of, prose, tar_of
from tests.paper_server import Answer, PaperServer, Preprint, serving, watching
from tests.support import Git

NOTES = f"# Notes on gates\n\n{prose(60)}\n\n## rms_norm\n\nScale 0.04 is best.\n"


@pytest.fixture(autouse=True)
def contacted() -> Iterator[set[tuple[str, int]]]:
    with watching() as found:
        yield found


@pytest.fixture
def server() -> Iterator[PaperServer]:
    with serving() as found:
        yield found


@pytest.fixture
def library(repo: Git) -> Library:
    return Library(Repository.discover())


def document(*sections: tuple[str, str], **more: Any) -> Document:
    given: dict[str, Any] = {"id": "arxiv-2002.05202", "source": "arxiv", "title": "GLU"} | more
    return Document(sections=tuple(Section(*each) for each in sections), **given)


def test_a_document_becomes_a_paper_and_its_passages(library: Library) -> None:
    found = document(("Intro", prose(350)), ("Method", prose(50, 2)), year=2020, licence="MIT")
    added = add_paper(library, found)
    assert (added.new, added.passages) == (True, 2)
    (paper,) = library.papers()
    assert (paper.id, paper.year, paper.licence) == ("arxiv-2002.05202", 2020, "MIT")
    whole = full_text(found.sections)
    assert (paper.digest, paper.characters) == (digest(whole), len(whole))
    for chunk in library.chunks(paper.id):
        text = whole[slice(*chunk.span)]
        assert (library.text(chunk.id), chunk.digest, chunk.text) == (text, digest(text), None)
    assert [chunk.section for chunk in library.chunks(paper.id)] == ["Intro", "Method"]


def test_a_paper_that_is_there_adds_nothing(library: Library, repo: Git) -> None:
    assert add_paper(library, document(("A", "text"))).new
    before = repo("for-each-ref")
    assert not add_paper(library, document(("A", "text"))).new
    assert repo("for-each-ref") == before


def test_a_newer_version_takes_the_place_of_the_older(library: Library) -> None:
    add_paper(library, document(("A", "one"), ("B", "two"), version="v1"))
    assert add_paper(library, document(("A", "other"), version="v2")).new
    (paper,) = library.papers()
    assert paper.version == "v2"
    assert [chunk.excerpt for chunk in library.chunks(paper.id)] == ["other"]
    assert library.search_passages("two") == []


def test_text_is_shared_only_if_asked_and_then_stays_so(library: Library) -> None:
    found = document(("A", "a passage"))
    add_paper(library, found)
    assert add_paper(library, found, share_text=True).new
    assert [chunk.text for chunk in library.chunks(found.id)] == ["a passage"]
    assert not add_paper(library, found).new
    assert [chunk.text for chunk in library.chunks(found.id)] == ["a passage"]
    add_paper(library, document(("A", "another passage")))
    assert [chunk.text for chunk in library.chunks(found.id)] == [None]


def test_a_paper_of_too_many_passages_is_refused_as_a_whole(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest, "MAX_PASSAGES", 1)
    with pytest.raises(PaperError, match="2 passages; 1 are allowed"):
        add_paper(library, document(("A", "one"), ("B", "two")))
    assert library.papers() == []


# What names a source


def test_a_file_of_the_work_tree_keeps_its_id_when_it_changes(repo: Git, tmp_path: Path) -> None:
    top, fetch = repo.path, Fetcher()
    path = repo.write("docs/notes.md", NOTES)
    first = read_source(str(path), fetch=fetch, top=top)
    path.write_text(NOTES + "more")
    assert read_source("docs/notes.md", fetch=fetch, top=top).id == first.id
    outside = tmp_path / "notes.md"
    outside.write_text(NOTES)
    second = read_source(str(outside), fetch=fetch, top=top)
    outside.write_text(NOTES + "more")
    third = read_source(str(outside), fetch=fetch, top=top)
    assert len({first.id, second.id, third.id}) == 3


def test_a_document_of_a_configured_host_is_read(server: PaperServer) -> None:
    server.answers["/x/paper%20one.md"] = [Answer(NOTES.encode(), "text/plain")]
    url = f"{server.url}/x/paper%20one.md"
    found = read_source(url, fetch=Fetcher(hosts=[server.url]))
    assert (found.title, found.url, found.source) == ("Notes on gates", url, "file")
    with pytest.raises(PaperError, match="not configured"):
        read_source(url, fetch=Fetcher())


def test_what_a_server_names_wrongly_is_read_as_what_it_is(server: PaperServer) -> None:
    server.answers["/a.md"] = [Answer(pdf_of([("Abstract", "In a PDF.")]), "text/markdown")]
    server.answers["/b.pdf"] = [Answer(b"<html><p>Log in</p></html>", "application/pdf")]
    fetch = Fetcher(hosts=[server.url])
    assert read_source(f"{server.url}/a.md", fetch=fetch).sections[0].title == "Abstract"
    assert read_source(f"{server.url}/b.pdf", fetch=fetch).sections[0].text == "Log in"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.pdf", "no file, folder, arXiv id or address"),
        ("/dev/zero", "no file, folder, arXiv id or address"),
        ("", "An empty word names no source"),
        ("x\0y", "no file, folder, arXiv id or address|cannot be read"),
        ("a" * 5_000, "cannot be read"),
        ("http://", "not an address"),
        ("https://[x/", "not an address"),
        ("s3://bucket/x.pdf", "not a way to get papers"),
        ("~nobody-here/x.pdf", "no file"),
    ],
)
def test_what_names_no_source_is_a_sentence(tmp_path: Path, spec: str, message: str) -> None:
    with pytest.raises(GitexpError, match=message):
        read_source(spec, fetch=Fetcher())


@pytest.mark.parametrize("module", ["httpx", "pypdf", "bs4"])
def test_without_the_extra_a_message_names_it(
    module: str, monkeypatch: pytest.MonkeyPatch, repo: Git
) -> None:
    from gitexp.papers.html import read_html
    from gitexp.papers.pdf import read_pdf

    real = builtins.__import__

    def absent(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", absent)
    monkeypatch.delitem(sys.modules, module, raising=False)
    needs: dict[str, Callable[[], object]] = {
        "httpx": lambda: read_source("2002.05202", fetch=Fetcher()),
        "pypdf": lambda: read_pdf(b"%PDF-"),
        "bs4": lambda: read_html(b"<html>"),
    }
    with pytest.raises(PaperError, match="not installed") as caught:
        needs[module]()
    assert "pip install 'gitexp[papers]'" in str(caught.value.hint)
    repo.write("a.md", NOTES)
    repo.write("a.tex", r"\section{A} text")
    assert read_source("a.md", fetch=Fetcher()).sections
    assert read_source("a.tex", fetch=Fetcher()).sections
    assert read_source(str(repo.path), fetch=Fetcher()).sections


# The command


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def arxiv(repo: Git, server: PaperServer) -> PaperServer:
    """An arXiv with one paper, which this repository is set to ask."""
    server.papers["2002.05202"] = Preprint(
        "GLU Variants",
        html=arxiv_html([("Introduction", "Swish gates help."), ("Results", prose(250))]),
    )
    repo("config", "exprag.arxiv.api", f"{server.url}/api/query")
    repo("config", "exprag.arxiv.site", server.url)
    return server


def test_a_paper_of_arxiv_is_added_shown_found_and_withdrawn(
    repo: Git, arxiv: PaperServer, library: Library, call: Caller
) -> None:
    time, by = library.stamp()
    reference = Reference(title="GLU Variants", paper="arxiv-2002.05202")
    gates = Method(
        time=time,
        by=by,
        slug="my-gates",
        name="My Gates",
        family="activation",
        summary="Gates.",
        references=(reference,),
    )
    library.add([gates])
    (added,) = call.json("papers", "add", "2002.05202v1")["papers"]
    assert (added["paper"], added["new"], added["passages"]) == ("arxiv-2002.05202", True, 3)
    assert (added["arxiv"], added["version"], added["licence"]) == ("2002.05202", "v1", "CC BY 4.0")
    assert [each["paper"] for each in call.json("papers", "list")["papers"]] == [added["paper"]]
    shown = call.json("papers", "show", "2002.05202")
    assert "my-gates" in shown["methods"]
    assert [each["title"] for each in shown["sections"]] == [
        "Abstract",
        "1 Introduction",
        "2 Results",
    ]
    (passage,) = call.json("papers", "search", "swish")["passages"]
    assert (passage["paper"], passage["section"]) == ("arxiv-2002.05202", "1 Introduction")
    assert passage["excerpt"] == "Swish gates help."
    assert call.json("papers", "show", passage["passage"])["text"] == "Swish gates help."
    assert call.json("papers", "rm", "2002")["paper"] == "arxiv-2002.05202"
    assert call.json("papers", "list") == {"papers": []}


def test_the_command_says_in_words_what_it_did(repo: Git, call: Caller) -> None:
    repo.write("notes.md", NOTES.replace("Scale", 'Say \x1b[31m"hush" \\ and scale'))
    first = call("papers", "add", "notes.md", "--title", "Mine", "--licence", "MIT").out
    name = first.split()[0]
    assert first == f"{name}  Mine  (added, 2 passages)\n"
    assert (
        "there already"
        in call("papers", "add", "notes.md", "--title", "Mine", "--licence", "MIT").out
    )
    assert call("papers", "list").out == f"paper\tyear\ttitle\n{name}\t\tMine\n"
    shown = call("papers", "show", name).out
    assert "licence: MIT" in shown
    assert "   1  rms_norm" in shown
    found = call("papers", "search", "0.04").out
    assert found.startswith(f'{name}.2  Mine\n    section: rms_norm\n    "Say ')
    assert "\x1b" not in found
    assert '\\"hush\\" \\\\ and' in found
    assert "Scale" not in call("papers", "show", f"{name}.1").out
    assert "is withdrawn: Mine" in call("papers", "rm", name, "--reason", "old").out
    assert call("papers", "search", "0.04").out == "No passage has these words.\n"


def test_what_fails_leaves_the_others_added(repo: Git, call: Caller) -> None:
    repo.write("a.md", NOTES)
    repo.write("b.pdf", "no PDF")
    done = call("papers", "add", "b.pdf", "a.md", "https://example.org/x.pdf", code=1)
    assert "added, 2 passages" in done.out
    assert "b.pdf cannot be read: It says that it is a PDF, and is none." in done.err
    assert "exprag.papers.host example.org" in done.err
    assert len(call.json("papers", "list")["papers"]) == 1
    assert "error: b.pdf" in call("papers", "add", "b.pdf", code=1).err


def test_further_hosts_are_a_setting_of_several_values(
    repo: Git, call: Caller, server: PaperServer
) -> None:
    server.answers["/a.md"] = [Answer(NOTES.encode(), "text/markdown")]
    repo("config", "--add", "exprag.papers.host", server.url)
    repo("config", "--add", "exprag.papers.host", "example.org")
    (added,) = call.json("papers", "add", f"{server.url}/a.md")["papers"]
    assert (added["source"], added["url"]) == ("file", f"{server.url}/a.md")
    assert [agent.split()[0] for agent in server.agents] == [f"gitexp/{__version__}"]


def test_a_request_that_makes_no_sense_is_a_usage_error(repo: Git, call: Caller) -> None:
    call("papers", "add", "a", "b", "--title", "One", code=2)
    call("papers", "search", "x", "--limit", "0", code=2)
    call("papers", code=2)
    assert "papers list" in call("papers", "show", "nothing", code=1).err


def test_a_tex_archive_and_a_long_pdf_are_added_by_the_command(repo: Git, call: Caller) -> None:
    repo.write(
        "source.tar.gz", tar_of({"main.tex": r"\documentclass{a}\title{T}\begin{document}x"})
    )
    repo.write("paper.pdf", pdf_of([("Abstract", "Short."), ("1 Introduction", prose(900))], "P"))
    added = call.json("papers", "add", "source.tar.gz", "paper.pdf")["papers"]
    assert [each["title"] for each in added] == ["T", "P"]
    assert added[1]["abstract"] == "Short."
