"""A report as one HTML page that works offline from its file, without any script.

A content security policy allows the page's own style sheet, by its digest, and nothing else: no
request is made, whatever a run's name says. Every text is escaped.
"""

from __future__ import annotations

import base64
import hashlib
import html
from importlib import resources

from gitexp.render.report_charts import Chart, charts
from gitexp.render.report_parts import Code, Data, Part, Strong, Words, parts, title
from gitexp.render.text import safe

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src '{digest}'; \
base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="muted">Made by gitexp, {generated}.</p>
</header>
<main>
{body}
</main>
</body>
</html>
"""


def report_page(report: Data) -> str:
    """Return a report as an HTML document, which can be written as UTF-8.

    Args:
        report: The plain form of `gitexp.research.overview.report.Report`.
    """
    style = resources.files(__package__).joinpath("report_page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    first, *others = map(_section, parts(report))
    drawn = map(_figure, charts(report))
    return _PAGE.format(
        digest=f"sha256-{digest}",
        style=style,
        title=_escaped(title(report)),
        generated=_escaped(report["generated"]),
        body="\n".join([first, *drawn, *others]),
    )


def _section(part: Part) -> str:
    return f"<section>\n<h2>{_escaped(part.title)}</h2>\n{_content(part)}\n</section>"


def _content(part: Part) -> str:
    if part.rows:
        return _table(part)
    kind = "ol" if any(item.command for item in part.items) else "ul"
    lines = [
        f"<li>{_inline(item.words)}"
        + (f"<pre>{_escaped(item.command)}</pre>" if item.command else "")
        + "</li>"
        for item in part.items
    ]
    return "\n".join([f"<{kind}>", *lines, f"</{kind}>"])


def _table(part: Part) -> str:
    kinds = [' class="number"' if name.endswith(":") else "" for name in part.header]
    titles = [_escaped(name.removesuffix(":")) for name in part.header]
    head = "".join(f"<th{kind}>{name}</th>" for kind, name in zip(kinds, titles, strict=True))
    rows = [
        "".join(f"<td{kind}>{_inline(cell)}</td>" for kind, cell in zip(kinds, row, strict=True))
        for row in part.rows
    ]
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table></div>"
    )


def _figure(chart: Chart) -> str:
    return (
        f"<figure>\n<h2>{_escaped(chart.title)}</h2>\n{chart.svg}\n"
        f"<figcaption>{_escaped(chart.caption)}</figcaption>\n</figure>"
    )


def _inline(words: Words) -> str:
    return "".join(map(_piece, words))


def _piece(piece: str) -> str:
    text = _escaped(piece)
    if isinstance(piece, Code):
        return f"<code>{text}</code>"
    return f"<b>{text}</b>" if isinstance(piece, Strong) else text


def _escaped(text: str) -> str:
    return html.escape(safe(text))
