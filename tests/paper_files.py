"""Makes the files that papers come in: PDFs, pages as arXiv has them, TeX archives."""

from __future__ import annotations

import gzip
import io
import random
import re
import tarfile
import zlib
from collections.abc import Mapping, Sequence

from fpdf import FPDF
from fpdf.enums import AccessPermission

_WORDS = re.findall(
    r"\w+",
    "the model uses attention layers and a learning rate that decays over training tokens which "
    "improves validation loss because gated units carry more of the signal through each block",
)


def prose(words: int, seed: int = 1) -> str:
    """Return a paragraph of so many words, in sentences of 15."""
    chosen = random.Random(seed).choices(_WORDS, k=words)
    sentences = [" ".join(chosen[i : i + 15]).capitalize() + "." for i in range(0, words, 15)]
    return " ".join(sentences)


def pdf_of(
    sections: Sequence[tuple[str, str]],
    title: str = "",
    author: str = "",
    password: str | None = None,
    running_head: str = "",
) -> bytes:
    """Return a PDF, each section on a new page, with page numbers at the foot."""

    class _Pdf(FPDF):
        def header(self) -> None:
            if running_head:
                self.cell(text=running_head)
                self.ln(10)

        def footer(self) -> None:
            self.set_y(-15)
            self.cell(text=str(self.page_no()))

    pdf = _Pdf(format="letter")
    pdf.set_font("Helvetica", size=10)
    if title:
        pdf.set_title(title)
    if author:
        pdf.set_author(author)
    if password is not None:
        pdf.set_encryption("owner", password, permissions=AccessPermission.none())
    for heading, text in sections:
        pdf.add_page()
        pdf.cell(text=heading)
        pdf.ln(8)
        for paragraph in text.split("\n\n"):
            pdf.multi_cell(0, 5, text=paragraph)
            pdf.ln(3)
    return bytes(pdf.output())


def thirty_pages() -> bytes:
    """Return a PDF of 30 full pages, a section on each."""
    sections = [
        (
            f"{number} {prose(5, number).removesuffix('.')}",
            "\n\n".join(prose(100, 10 * number + i) for i in range(5)),
        )
        for number in range(1, 31)
    ]
    return pdf_of(sections, title="Thirty Pages of Gated Units", author="Ada Lovelace")


def raw_pdf(content: bytes, *, extra: bytes = b"", kids: bytes = b"[3 0 R]") -> bytes:
    """Return a PDF of one page with a packed content stream, whatever that unpacks to."""
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids " + kids + b" /Count 1 >>",
        (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources "
            b"<< /Font << /F1 << /Type /Font /Subtype /Type1 /BaseFont /Helvetica >> >> >> >>"
        ),
        b"<< /Length %d /Filter /FlateDecode >>\nstream\n%s\nendstream" % (len(content), content),
    ]
    made = b"%PDF-1.4\n"
    places = []
    for number, each in enumerate(objects, 1):
        places.append(len(made))
        made += b"%d 0 obj\n%s\nendobj\n" % (number, each)
    made += extra
    start = len(made)
    made += b"xref\n0 5\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % p for p in places)
    return made + b"trailer\n<< /Size 5 /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % start


def bomb_pdf() -> bytes:
    """Return a small PDF whose only page unpacks to 400 MB of drawing commands."""
    pack = zlib.compressobj(9)
    line = b"BT /F1 12 Tf 72 720 Td (a) Tj ET\n" * 30_000
    packed = b"".join(pack.compress(line) for _ in range(400)) + pack.flush()
    return raw_pdf(packed)


def arxiv_html(
    sections: Sequence[tuple[str, str]], title: str = "GLU Variants", licence: str = "CC BY 4.0"
) -> bytes:
    """Return a page as LaTeXML makes it for arXiv."""
    parts = "".join(
        f'<section class="ltx_section"><h2 class="ltx_title ltx_title_section">'
        f'<span class="ltx_tag ltx_tag_section">{number} </span>{heading}</h2>'
        + "".join(
            f'<div class="ltx_para"><p class="ltx_p">{p}</p></div>' for p in text.split("\n\n")
        )
        + "</section>"
        for number, (heading, text) in enumerate(sections, 1)
    )
    return (
        "<!DOCTYPE html><html lang='en'><head><title>Page</title><script>var x = 1;</script>"
        "<style>p { color: red }</style></head><body><nav>Table of contents</nav>"
        f'<div id="license-tr">License: {licence}</div>'
        f'<article class="ltx_document"><h1 class="ltx_title ltx_title_document">{title}</h1>'
        '<div class="ltx_authors"><span class="ltx_personname">Noam Shazeer<br/>Google</span></div>'
        '<div class="ltx_abstract"><h6 class="ltx_title ltx_title_abstract">Abstract</h6>'
        '<p class="ltx_p">Gated units.</p></div>'
        f"{parts}"
        '<section class="ltx_bibliography"><h2>References</h2><ul><li>A. Nobody</li></ul></section>'
        "</article><footer>Feedback</footer></body></html>"
    ).encode()


def tar_of(files: Mapping[str, bytes | str], *members: tarfile.TarInfo) -> bytes:
    """Return a ``.tar.gz`` of some files, and of entries such as links."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        for member in members:
            archive.addfile(member)
    return stream.getvalue()


def zip_bomb(size: int) -> bytes:
    """Return a gzip file that unpacks to so many zeros."""
    stream = io.BytesIO()
    with gzip.GzipFile(fileobj=stream, mode="wb") as packed:
        for _ in range(size >> 20):
            packed.write(bytes(1 << 20))
    return stream.getvalue()


TEX = r"""% a comment with \section{Hidden}
\documentclass{article}
\newcommand{\ours}{GatedNet}
\title{A \emph{Study} of Units\thanks{Paid by somebody}}
\author{Ada Lovelace\\ London \and Alan Turing\\ Manchester}
\begin{document}
\maketitle
\begin{abstract}
We study \ours{} at $5\%$ loss.
\end{abstract}
\section{Introduction}\label{sec:intro}
Gated units~\cite{glu} are \textbf{good}. % really
They cost 3\% more\footnote{Not much.}. See Section~\ref{sec:method}.

A second paragraph by Erd\H{o}s and G\"odel.
\iffalse Never shown. \fi
\input{parts/method}
\section*{Conclusion}
Fine.
\begin{figure}\includegraphics[width=3cm]{a.pdf}\caption{The curve of \ours.}\end{figure}
\begin{thebibliography}{9}\bibitem{glu} Somebody.\end{thebibliography}
\end{document}
Never shown either.
"""
METHOD = r"""\subsection{Method and $\alpha$}
\begin{equation}
  \mathrm{GLU}(x) = \sigma(xW) \otimes xV \label{eq:glu}
\end{equation}
\begin{itemize}\item one \item two\end{itemize}
\begin{verbatim}
x = 1 % not a comment
\end{verbatim}
"""
