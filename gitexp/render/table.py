"""Tables, aligned for people."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

MAX_CELL = 48
"""Longer cells are cut with an ellipsis in aligned tables; a pipe gets all of it."""

Row = Sequence[str]


class Layout:
    """How a table is aligned: numbers to the right, empty columns dropped altogether.

    Columns that do not fit in the terminal's width are cut from the last cell of a line, never
    wrapped.
    """

    def __init__(
        self, header: Row, rows: Sequence[Row], *, width: int, cell_width: int = MAX_CELL
    ) -> None:
        """Choose it by the first rows; those that come later are cut to fit.

        Args:
            header: One name a column.
            rows: Cells, already safe for a terminal.
            width: Of the terminal, in columns.
            cell_width: Longer cells are cut.
        """
        columns = range(len(header))
        self._used = [i for i in columns if any(row[i] for row in rows)] or list(columns)
        short = [[cut(row[i], cell_width) for i in self._used] for row in (header, *rows)]
        self._widths = [max(display_width(row[i]) for row in short) for i in range(len(self._used))]
        self._right = [
            bool(rows) and all(is_number(row[i]) for row in rows if row[i]) for i in self._used
        ]
        self._width = width

    def line(self, row: Row) -> str:
        """Return a row as a line, its end included."""
        cells = [cut(row[i], width) for i, width in zip(self._used, self._widths, strict=True)]
        return cut(_line(cells, self._widths, self._right), self._width) + "\n"


def aligned(
    header: Row, rows: Sequence[Row], *, width: int, cell_width: int = MAX_CELL, bold: bool = False
) -> str:
    """Return a table with aligned columns; see `Layout`.

    Args:
        header: One name a column.
        rows: Cells, already safe for a terminal.
        width: Of the terminal, in columns.
        cell_width: Longer cells are cut.
        bold: Print the header bold.
    """
    layout = Layout(header, rows, width=width, cell_width=cell_width)
    return heading(layout.line(header), bold=bold) + "".join(map(layout.line, rows))


def heading(line: str, *, bold: bool) -> str:
    """Return a table's first line, bold if asked for."""
    return f"\x1b[1m{line[:-1]}\x1b[0m\n" if bold else line


def _line(row: Row, widths: Sequence[int], right: Sequence[bool]) -> str:
    cells = [
        pad(cell, width, right=to_right)
        for cell, width, to_right in zip(row, widths, right, strict=True)
    ]
    return "  ".join(cells).rstrip()


def pad(text: str, width: int, *, right: bool = False) -> str:
    """Return a text with spaces after it, or before it, up to a width."""
    spaces = " " * (width - display_width(text))
    return spaces + text if right else text + spaces


def is_number(text: str) -> bool:
    """Say whether a cell stands to the right."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def display_width(text: str) -> int:
    """Return how many terminal columns a text takes."""
    return len(text) if text.isascii() else sum(_widths(text))


def _widths(text: str) -> Iterator[int]:
    import unicodedata

    for c in text:
        yield 0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1


def cut(text: str, width: int) -> str:
    """Return a text that is at most so wide, with an ellipsis where its end is missing."""
    if display_width(text) <= width:
        return text
    ends = itertools.accumulate(_widths(text))
    return text[: sum(1 for _ in itertools.takewhile(lambda end: end < width, ends))] + "…"
