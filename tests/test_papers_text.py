"""Chunks, and what no text whatever may do to the readers that run in this process."""

from __future__ import annotations

import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitexp.papers.chunks import (
    LEAST_WORDS,
    MOST_CHARACTERS,
    MOST_WORDS,
    cut,
    digest,
    excerpt,
    full_text,
    spans,
)
from gitexp.papers.codemap import map_module
from gitexp.papers.document import PaperError, Reading, Section, tidy
from gitexp.papers.html import read_html
from gitexp.papers.markdown import read_markdown
from gitexp.papers.plain import read_plain
from gitexp.papers.tex import read_tex
from gitexp.papers.tex_archive import read_archive
from gitexp.records.library import MAX_EXCERPT
from tests.paper_files import METHOD, TEX, prose, tar_of


def paragraphs(*words: int) -> str:
    return "\n\n".join(prose(count, seed) for seed, count in enumerate(words))


def test_a_section_is_cut_between_paragraphs() -> None:
    text = paragraphs(150, 150, 150, 150, 150, 20)
    counts = [len(text[slice(*span)].split()) for span in spans(text)]
    assert counts == [300, 300, 170]
    assert all(text[start:end].startswith(text[start:end].strip()) for start, end in spans(text))


def test_a_passage_does_not_cross_a_section() -> None:
    found = list(cut([Section("One", "few words"), Section("Two", "and few more")]))
    assert [(each.section, each.text) for each in found] == [
        ("One", "few words"),
        ("Two", "and few more"),
    ]


def test_a_long_paragraph_is_cut_between_sentences() -> None:
    text = prose(2_000)
    found = [text[slice(*span)] for span in spans(text)]
    assert all(LEAST_WORDS <= len(part.split()) <= MOST_WORDS for part in found[:-1])
    assert all(part.endswith(".") for part in found)
    assert " ".join(found) == text


def test_words_that_never_end_are_cut_too() -> None:
    text = "a" * 10_000 + " " + "b " * 1_000
    found = [text[slice(*span)] for span in spans(text)]
    assert max(map(len, found)) <= MOST_CHARACTERS
    assert "".join("".join(found).split()) == "".join(text.split())


def test_a_span_points_into_the_full_text() -> None:
    sections = [Section("", "before"), Section("A", paragraphs(200, 300, 90)), Section("B", "x")]
    whole = full_text(sections)
    assert whole.startswith("before\n\nA\n\n")
    for each in cut(sections):
        assert whole[slice(*each.span)] == each.text


def test_symbols_go_to_the_passages_that_have_them() -> None:
    text = f"{prose(250)}\n\nrms_norm\n\n{prose(250, 2)}\n\nF.gelu"
    found = list(cut([Section("a.py: f", text, ("rms_norm", "F.gelu", "absent"))]))
    assert [each.symbols for each in found] == [("rms_norm",), ("F.gelu",)]


def test_an_excerpt_is_one_short_line() -> None:
    assert excerpt("  two\n\nwords ") == "two words"
    long = excerpt(prose(200))
    assert len(long) <= MAX_EXCERPT
    assert prose(200).startswith(long.removesuffix("…") + " ")
    assert len(excerpt("x" * 500)) == MAX_EXCERPT


texts = st.text(max_size=400) | st.lists(
    st.sampled_from(
        [
            *("\\section{", "\\begin{", "\\end{", "equation}", "verbatim}", "abstract}", "{", "}"),
            *("$", "$$", "\\[", "\\]", "%", "\\", "\\def\\a{", "\\newcommand{\\b}", "\\a", "\\'"),
            *("\\cite", "[", "]", "\\verb", "|", "\\iffalse", "\\fi", "\\author{", "\\title{"),
            *("\\item", "\\footnote{", "\\href{", "~", "&", "#", "## ", "```", "~~~", "---", "==="),
            *("\n", "\n\n", " ", "a", "Words here. ", "1 Title", "Abstract", "1.1 Part", "\t", "é"),
            *("<p>", "</p>", "<pre>", "<h1>", "</h2>", "<math alttext='", "<!--", "<![", "&#x;"),
        ]
    ),
    max_size=60,
).map("".join)


def _check(reading: Reading) -> None:
    """A reading is none, or one whose passages stand where they say and say all that it says."""
    try:
        found = tidy(reading)
    except PaperError:
        return
    whole = full_text(found.sections)
    cuts = list(cut(found.sections))
    assert [whole[slice(*each.span)] for each in cuts] == [each.text for each in cuts]
    assert all(each.text.strip() == each.text != "" for each in cuts)
    assert all(len(excerpt(each.text)) <= MAX_EXCERPT for each in cuts)
    assert all(len(digest(each.text)) == 32 for each in cuts)
    said = "".join("".join(section.text for section in found.sections).split())
    assert "".join("".join(each.text for each in cuts).split()) == said


@pytest.mark.parametrize("read", [read_tex, read_markdown, read_plain])
def test_no_text_breaks_a_reader(read: object) -> None:
    @settings(max_examples=150, deadline=None)
    @given(texts)
    def holds(text: str) -> None:
        assert callable(read)
        _check(read(text))

    holds()


@settings(max_examples=100, deadline=None)
@given(texts)
def test_no_page_breaks_the_reader_of_html(text: str) -> None:
    try:
        _check(read_html(text.encode("utf-8", "surrogatepass")))
    except PaperError as error:
        assert str(error).startswith("The page is damaged")  # noqa: PT017 - either is right


@settings(max_examples=100, deadline=None)
@given(texts)
def test_no_source_breaks_the_map_of_code(text: str) -> None:
    try:
        _check(Reading(sections=tuple(map_module("a.py", text))))
    except PaperError as error:
        assert "no Python" in str(error)  # noqa: PT017 - either is right


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_damage_to_an_archive_passes_as_another_error(data: st.DataObject) -> None:
    archive = bytearray(tar_of({"main.tex": TEX, "parts/method.tex": METHOD}))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(archive) - 1))
        archive[place] = data.draw(st.integers(0, 255))
    try:
        _check(read_archive(bytes(archive)))
    except PaperError:
        return


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_no_damage_within_an_archive_passes_as_another_error(data: st.DataObject) -> None:
    import gzip

    archive = bytearray(gzip.decompress(tar_of({"main.tex": TEX, "a.tex": METHOD})))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, 4 * tarfile.BLOCKSIZE))
        archive[place] = data.draw(st.integers(0, 255))
    try:
        _check(read_archive(bytes(archive)))
    except PaperError:
        return
