"""A report as Markdown; see `gitexp.render.report_parts`."""

from __future__ import annotations

from gitexp.render.markdown import code, escaped, table
from gitexp.render.report_parts import Code, Data, Item, Part, Strong, Words, parts, title


def report_markdown(report: Data) -> str:
    """Return a report as Markdown with a final line end.

    Args:
        report: The plain form of `gitexp.research.overview.report.Report`.
    """
    blocks = [f"# {escaped(title(report))}"]
    for part in parts(report):
        blocks += [f"## {part.title}", _body(part)]
    return "\n\n".join(blocks) + "\n"


def _body(part: Part) -> str:
    if part.rows:
        return table(part.header, [[_inline(cell) for cell in row] for row in part.rows])
    is_numbered = any(item.command for item in part.items)
    lines = [_item(item, i if is_numbered else None) for i, item in enumerate(part.items, 1)]
    return "\n".join(lines)


def _item(item: Item, number: int | None) -> str:
    mark = "-" if number is None else f"{number}."
    line = f"{mark} {_inline(item.words)}"
    indent = " " * (len(mark) + 1)
    return f"{line}\n\n{indent}    {item.command}\n" if item.command else line


def _inline(words: Words) -> str:
    return "".join(map(_piece, words))


def _piece(piece: str) -> str:
    if isinstance(piece, Code):
        return code(piece)
    # White space around a piece is ours, and Markdown needs it.
    text = escaped(piece)
    if isinstance(piece, Strong):
        return f"**{text}**"
    before = " " if piece[:1].isspace() else ""
    after = " " if piece[1:] and piece[-1:].isspace() else ""
    return f"{before}{text}{after}"
