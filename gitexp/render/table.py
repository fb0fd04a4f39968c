"""Tables: aligned for people, tab-separated for pipes."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

MAX_CELL = 48
"""Longer cells are cut with an ellipsis in aligned tables; a pipe gets all of it."""

Row = Sequence[str]


def tsv(header: Row, rows: Sequence[Row]) -> str:
    """Return a table as tab-separated lines, the header first. Cells must hold no tabs."""
    return "".join("\t".join(row) + "\n" for row in (header, *rows))


def aligned(
    header: Row, rows: Sequence[Row], *, width: int, cell_width: int = MAX_CELL, bold: bool = False
) -> str:
    """Return a table with aligned columns, numbers to the right.

    Columns that do not fit in ``width`` columns of the terminal are cut from the last cell of a
    line, never wrapped.

    Args:
        header: One name a column; empty columns are dropped altogether.
        rows: Cells, already safe for a terminal.
        width: Of the terminal, in columns.
        cell_width: Longer cells are cut.
        bold: Print the header bold.
    """
    used = [i for i in range(len(header)) if any(row[i] for row in rows)] or list(
        range(len(header))
    )
    cut = [[_cut(row[i], cell_width) for i in used] for row in (header, *rows)]
    widths = [max(_width(row[i]) for row in cut) for i in range(len(used))]
    right = [rows != [] and all(_is_number(row[i]) for row in rows if row[i]) for i in used]
    lines = [_cut(_line(row, widths, right), width) for row in cut]
    if bold:
        lines[0] = f"\x1b[1m{lines[0]}\x1b[0m"
    return "".join(line + "\n" for line in lines)


def _line(row: Row, widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = [
        " " * (width - _width(cell)) + cell if to_right else cell + " " * (width - _width(cell))
        for cell, width, to_right in zip(row, widths, right, strict=True)
    ]
    return "  ".join(cells).rstrip()


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _width(text: str) -> int:
    """Return how many terminal columns a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def _cut(text: str, width: int) -> str:
    if _width(text) <= width:
        return text
    while text and _width(text) > width - 1:
        text = text[:-1]
    return text + "…"
