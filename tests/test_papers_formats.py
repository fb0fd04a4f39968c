"""Readers of PDF, HTML, TeX, Markdown and plain text, with honest files and hostile ones."""

from __future__ import annotations

import gzip
import sys
import tarfile
import zlib
from pathlib import Path

import pytest

from gitexp.papers.contained import read_contained
from gitexp.papers.document import MAX_SOURCE_BYTES, PaperError, Reading, tidy
from gitexp.papers.formats import read_content
from gitexp.papers.markdown import read_markdown
from gitexp.papers.plain import read_plain
from gitexp.papers.tex import read_tex
from tests.paper_files import (
    METHOD,
    TEX,
    arxiv_html,
    bomb_pdf,
    pdf_of,
    prose,
    raw_pdf,
    tar_of,
    thirty_pages,
    zip_bomb,
)


def titles(reading: Reading) -> list[str]:
    return [section.title for section in reading.sections]


def text_of(reading: Reading, title: str) -> str:
    return next(section.text for section in reading.sections if section.title == title)


# PDF


def test_a_pdf_is_read_by_its_sections_without_heads_and_page_numbers() -> None:
    sections = [
        ("Abstract", "We study gates."),
        ("1 Introduction", f"{prose(305)}\n\n{prose(200, 2)}"),
        ("1.1 Gates", prose(700, 3)),
        ("7 Layers in a row that follow nothing", prose(90, 3)),
        ("2 Method", prose(90, 4)),
        ("A Details", prose(90, 5)),
        ("References", "Somebody, 2020."),
    ]
    found = read_content(
        pdf_of(sections, "Gates", "Ada Lovelace; Alan Turing", running_head="Under review")
    )
    assert (found.title, found.authors) == ("Gates", ("Ada Lovelace", "Alan Turing"))
    assert titles(found) == [
        "Abstract",
        "1 Introduction",
        "1.1 Gates",
        "2 Method",
        "A Details",
        "References",
    ]
    assert found.abstract == "We study gates."
    whole = "\n".join(section.text for section in found.sections)
    assert "Under review" not in whole
    assert not [line for line in whole.split("\n") if line.strip().isdigit()]
    assert text_of(found, "1 Introduction").count("\n\n") == 1


def test_thirty_pages_are_read_to_the_end() -> None:
    found = read_content(thirty_pages())
    assert found.title == "Thirty Pages of Gated Units"
    assert [title.split()[0] for title in titles(found)] == [str(n) for n in range(1, 31)]
    assert sum(len(section.text.split()) for section in found.sections) > 30 * 490


def test_words_that_a_line_broke_are_whole_again() -> None:
    found = read_content(pdf_of([("Abstract", "The optimi-\nzation of state-\nOf-the-art.")]))
    assert found.sections[0].text == "The optimization of state-\nOf-the-art."


def test_a_pdf_without_a_title_has_its_first_line() -> None:
    found = read_content(pdf_of([("Gates are good for language models", prose(40))]))
    assert found.title == "Gates are good for language models"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pdf_of([("A", "text")], password="secret"), "locked by a password"),
        (pdf_of([("A", prose(90))])[:700], "damaged"),
        (b"%PDF-1.4\n" + b"\0" * 500, "damaged"),
        (b"%PDF-1.7\ntrailer << /Root 1 0 R >>", "damaged"),
        (raw_pdf(zlib.compress(b"")), "no text"),
        (raw_pdf(zlib.compress(b""), kids=b"[2 0 R]"), "damaged|no text"),
        (raw_pdf(zlib.compress(b"), <<"), kids=b"[2 0 R 2 0 R]"), "damaged|no text"),
        (b"no PDF at all", "says that it is a PDF"),
    ],
)
def test_a_pdf_that_cannot_be_read_is_a_sentence(content: bytes, message: str) -> None:
    with pytest.raises(PaperError, match=message) as caught:
        read_content(content, "application/pdf")
    assert str(caught.value).endswith(".")


def test_a_pdf_that_an_owner_only_restricts_can_be_read() -> None:
    found = read_content(pdf_of([("Abstract", "Open to read.")], password=""))
    assert found.sections[0].text == "Open to read."


def test_a_pdf_that_unpacks_to_hundreds_of_megabytes_is_refused() -> None:
    content = bomb_pdf()
    assert len(content) < 2 << 20
    with pytest.raises(PaperError, match=r"damaged|memory|took more than|characters"):
        read_content(content)


def test_a_file_that_takes_too_long_is_given_up() -> None:
    with pytest.raises(PaperError, match=r"took more than 0 s"):
        read_contained("pdf", pdf_of([("A", "text")]), time_s=0.01)


def test_a_reader_that_dies_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(PaperError, match="memory"):
        read_contained("pdf", b"%PDF-")


def test_no_module_of_the_current_folder_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pypdf.py", "bs4.py", "msgspec.py"):
        (tmp_path / name).write_text("open('ran', 'w'); raise SystemExit\n")
    read_content(pdf_of([("A", "some text")]))
    read_content(arxiv_html([("A", "text")]))
    assert not (tmp_path / "ran").exists()


# HTML


def test_html_is_read_by_its_headings_with_formulas_as_written() -> None:
    formula = "<math alttext='\\sigma(xW)'><mi>x</mi></math>"
    found = read_content(
        arxiv_html(
            [("Introduction", f"We <b>use</b> {formula} here.\n\nSecond."), ("End", "Fine.")]
        )
    )
    assert found.title == "GLU Variants"
    assert (found.authors, found.licence) == (("Noam Shazeer",), "CC BY 4.0")
    assert found.abstract == "Gated units."
    assert titles(found) == ["Abstract", "1 Introduction", "2 End"]
    assert text_of(found, "1 Introduction") == "We use $\\sigma(xW)$ here.\n\nSecond."


def test_code_on_a_page_keeps_its_lines() -> None:
    found = read_content(b"<html><body><p>Run\n  it</p><pre>if x:\n    y = 1\n</pre></body></html>")
    assert found.sections[0].text == "Run it\n\nif x:\n    y = 1"


def test_of_several_articles_none_is_left_out() -> None:
    page = b"<html><body><article>One.</article><article>Two.</article></body></html>"
    assert read_content(page).sections[0].text == "One.\n\nTwo."


def test_the_head_of_a_page_names_it() -> None:
    page = (
        b"<!doctype html><html><head><meta name='citation_title' content='From the head'>"
        b"<meta name='citation_author' content='Lovelace, Ada'><link rel='license' href='urn:l'>"
        b"</head><body><nav>x</nav><!-- hidden --><p>Text.</p><svg>y</svg></body></html>"
    )
    found = read_content(page)
    assert (found.title, found.authors) == ("From the head", ("Lovelace, Ada",))
    assert (found.licence, found.sections[0].text) == ("urn:l", "Text.")


@pytest.mark.parametrize(
    "content",
    [
        b"<html><body>" + b"<div>" * 20_000 + b"deep",
        b"<html><body>text</p></p></table><tr><math><h1></body>",
        b"<!DOCTYPE html><![CDATA[<html>]]>x<!-- never ends",
        b"<html>" + b"<a b='" * 3_000 + b"x",
        "<html><body>caf\u00e9 \ud7ff</body></html>".encode("utf-16"),
        b"<html><meta charset='ebcdic'>\xff\xfe\x00 text",
    ],
)
def test_a_broken_page_is_read_or_a_sentence(content: bytes) -> None:
    try:
        assert read_content(content, "text/html").sections
    except PaperError as error:
        assert str(error).endswith(".")  # noqa: PT017 - either is right


# TeX


def test_tex_is_read_as_its_reader_sees_it() -> None:
    found = read_content(tar_of({"paper/main.tex": TEX, "paper/parts/method.tex": METHOD}))
    assert found.title == "A Study of Units"
    assert found.authors == ("Ada Lovelace", "Alan Turing")
    assert found.abstract == "We study GatedNet at $5\\%$ loss."
    assert titles(found) == ["Abstract", "Introduction", "Method and $\\alpha$", "Conclusion"]
    assert text_of(found, "Introduction") == (
        "Gated units are good. \nThey cost 3% more (Not much.). See Section .\n\n"
        "A second paragraph by Erdős and Gödel."
    )
    method = text_of(found, "Method and $\\alpha$")
    assert "$$\\mathrm{GLU}(x) = \\sigma(xW) \\otimes xV \\label{eq:glu}$$" in method
    assert "- one \n- two" in method
    assert "x = 1 % not a comment" in method
    assert text_of(found, "Conclusion") == "Fine.\n\nThe curve of GatedNet."


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("a---b -- c ``d''", "a—b \u2013 c “d”"),
        (r"\unknown[x]{kept} \alsounknown kept", "kept  kept"),
        (r"\href{http://x}{shown} \url{http://y}", "shown http://y"),
        (r"\textcolor{red}{shown}", "shown"),
        (r"costs \$5 and $x$ and 5\$", "costs $5 and $x$ and 5$"),
        (r"\verb|a_b\c| done", r"a_b\c done"),
        (r"\'{e}\'e\c{c}\v s", "ééçš"),
        (r"a \\ b\par c", "a \n b\n\nc"),
        ("} unbalanced {", "unbalanced"),
        (r"\begin{nothing", "nothing"),
        (r"\[ x^2 \] \( y \)", "$x^2$ $y$"),
        (r"\begin{tabular}{lr} a & b \\ c & d \end{tabular}", "a b \n c d"),
        (r"\begin{align*} x &= 1 \end{align*}", "$$x &= 1$$"),
        (r"\begin{tikzpicture} \draw (0,0); \end{tikzpicture} after", "after"),
        (r"\begin{equation} never ends", "never ends"),
        (r"\newcommand{\x}{hidden} \x y", "hidden y"),
        ("one\n%comment\ntwo % c\n\nthree", "one\ntwo \n\nthree"),
        (r"50\% % gone", "50%"),
        ("\\", ""),
        (r"a\footnote", "a"),
    ],
)
def test_commands_do_to_the_text_what_they_do(source: str, text: str) -> None:
    found = read_tex(source).sections
    shown = found[0].text if found else ""
    assert " ".join(shown.split()) == " ".join(text.split())


def test_a_file_of_tex_need_not_be_whole() -> None:
    found = read_content(METHOD.encode(), name="method.tex")
    assert titles(found) == ["Method and $\\alpha$"]


def test_the_main_file_is_the_one_with_a_document() -> None:
    files = {
        "macros.tex": r"\documentclass{article} no document",
        "supplement/main.tex": TEX.replace("Study", "Supplement"),
        "submission.tex": TEX,
        "commented.tex": "% \\documentclass{x}\n\\begin{document}no\\end{document}",
    }
    assert read_content(tar_of(files)).title == "A Study of Units"


def _link(kind: bytes, name: str = "main.tex", target: str = "/etc/passwd") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (tar_of({"../main.tex": TEX}), "leads out"),
        (tar_of({"/tmp/main.tex": TEX}), "leads out"),
        (tar_of({"a/../../main.tex": TEX}), "leads out"),
        (tar_of({}, _link(tarfile.SYMTYPE)), "a link or a device"),
        (tar_of({}, _link(tarfile.LNKTYPE)), "a link or a device"),
        (tar_of({}, _link(tarfile.FIFOTYPE)), "a link or a device"),
        (tar_of({}, _link(tarfile.CHRTYPE)), "a link or a device"),
        (tar_of({"figure.pdf": b"x"}), "no TeX file"),
        (tar_of({f"{n}.sty": "" for n in range(5_001)}), "more than 5,000 files"),
        (tar_of({"main.tex": TEX})[:-30], "cut off"),
        (gzip.compress(gzip.decompress(tar_of({"main.tex": TEX}))[:700]), "damaged"),
        (b"\x1f\x8b\x08\x00garbage", "damaged|cut off"),
        (zip_bomb(MAX_SOURCE_BYTES + (1 << 20)), "unpacks to more than 64 MiB"),
        (gzip.compress(b"%!PS-Adobe-2.0"), "PostScript"),
        (gzip.compress(b"\0\1\2"), "not a text"),
        (b"no archive", "says that it is an archive"),
    ],
)
def test_a_hostile_or_damaged_archive_is_a_sentence(content: bytes, message: str) -> None:
    with pytest.raises(PaperError, match=message):
        read_content(content, name="source.tar.gz")


def test_input_finds_files_of_the_archive_only(tmp_path: Path) -> None:
    outside = tmp_path / "secret.tex"
    outside.write_text("secret words")
    body = rf"\input{{{outside}}}\input{{../../../{outside}}}\input /etc/passwd \include{{missing}}"
    main = rf"\documentclass{{article}}\begin{{document}}{body} shown\end{{document}}"
    assert read_content(tar_of({"main.tex": main})).sections[0].text == "shown"


def test_files_that_take_each_other_in_end() -> None:
    main = r"\documentclass{article}\begin{document}x\input{main}\input{a}\end{document}"
    looped = {"main.tex": main, "a.tex": r"y\input{b}", "b.tex": r"z\input{a}"}
    assert read_content(tar_of(looped)).sections[0].text == "xyz"
    doubling = {f"f{n}.tex": rf"\input{{f{n + 1}}}\input{{f{n + 1}}}" for n in range(30)}
    doubling["main.tex"] = main.replace("{a}", "{f0}")
    with pytest.raises(PaperError, match="without an end"):
        read_content(tar_of(doubling))


@pytest.mark.parametrize(
    "piece",
    [
        "\\cite{",
        "\\begin{equation}",
        "\\begin{figure}",
        "\\title{",
        "$",
        "\\[",
        "{",
        "\\iffalse",
        "\\newcommand{\\a}{",
        "\\begin{verbatim}",
        "\\verb|",
        "\\section[",
        "\\author{,",
        "\\input{",
        "%",
        "\\'",
        "\n ",
    ],
)
def test_tex_that_never_ends_what_it_begins_is_read_at_once(piece: str) -> None:
    """Work that grows with the square of the length would take a minute for each."""
    source = "\\documentclass{a}" + piece * (200_000 // len(piece))
    try:
        assert read_content(tar_of({"main.tex": source})).sections
    except PaperError as error:
        assert "no text" in str(error)  # noqa: PT017 - either is right


# Markdown and plain text


def test_markdown_is_read_by_its_headings() -> None:
    found = read_markdown(
        "---\ntitle: front\n---\nBefore.\n\n## Intro [here](http://x) ##\nText `a`.\n\n"
        "# The *Title* of rms_norm\n```sh\n# no heading\n```\n~~~\n## nor this\n```\n~~~\n"
        "Under\n-----\nline\n- item\n---\n| a |\n---\n#nothing\n"
    )
    assert found.title == "The Title of rms_norm"
    assert titles(found) == ["", "Intro here", "The Title of rms_norm", "Under"]
    assert text_of(found, "Under") == "line\n- item\n---\n| a |\n---\n#nothing"
    assert "# no heading" in text_of(found, "The Title of rms_norm")


def test_a_fence_that_never_closes_goes_to_the_end() -> None:
    found = tidy(read_markdown("# A\n````\n# b\n```\n# c"))
    assert titles(found) == ["A"]


def test_plain_text_is_read_by_numbered_lines() -> None:
    found = read_plain(
        "My Notes\n\n1. Introduction\ntext\n3 Not Next\n2 Method\nmore\n2.1 Parts of It\nx\n"
        "3 12.5 11.8 9.9\n3 Ends with a full stop.\nRELATED WORK\ny\nA Appendix\nB More\nz"
    )
    assert found.title == "My Notes"
    assert titles(found) == [
        "",
        "1. Introduction",
        "2 Method",
        "2.1 Parts of It",
        "Related work",
        "A Appendix",
        "B More",
    ]


@pytest.mark.parametrize(
    ("content", "media_type", "name", "title"),
    [
        (b"# A\ntext", "text/plain", "README.md", "A"),
        (b"# A\ntext", "text/markdown", "", "A"),
        (b"\xef\xbb\xbf# A\ntext", "", "a.md", "A"),
        ("# Caf\u00e9\ntext".encode("latin-1"), "", "a.md", "Café"),
        ("# A\ntext".encode("utf-16"), "", "a.md", "A"),
        (b"  <!DOCTYPE HTML><title>A</title><p>x", "text/plain", "a.txt", "A"),
        (rb"\documentclass{a}\title{A}\begin{document}x\end{document}", "text/plain", "", "A"),
        (b"A\ntext", "application/octet-stream", "notes", "A"),
    ],
)
def test_the_kind_of_a_file_is_told_by_what_it_holds_first(
    content: bytes, media_type: str, name: str, title: str
) -> None:
    assert read_content(content, media_type, name).title == title


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no text"),
        (b" \n\x01\x02", "no text"),
        (b"\x7fELF\0\0\0", "not a text file"),
        (b"a" * 5_000_001, "5,000,000 are allowed"),
    ],
)
def test_what_is_no_paper_is_a_sentence(content: bytes, message: str) -> None:
    with pytest.raises(PaperError, match=message):
        read_content(content)


def test_control_characters_do_not_come_through() -> None:
    found = read_content(b"# A\x1b[31m title\nred \x1b[0m\x07", name="a.md")
    assert "\x1b" not in found.title + found.sections[0].text
