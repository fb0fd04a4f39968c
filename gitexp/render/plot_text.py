"""Curves as text: in dots of braille cells, or with one mark a curve where there is no colour."""

from __future__ import annotations

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence

from gitexp.records.sample import as_float
from gitexp.render.plot import Axis, Curve, Figure, Tick, lines
from gitexp.render.table import aligned
from gitexp.render.text import safe

_COLORS = (36, 35, 33, 32, 34, 31, 96, 95, 93, 92, 94, 91)
_MARKS = "•+xo*#◆%"
_ASCII_MARKS = "*+xo#@%&"
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
_BLANK_BRAILLE = 0x2800
_LEAST_ROWS, _LEAST_COLUMNS = 4, 10


class _Canvas:
    """Cells of text, each with a few dots that belong to the curve drawn last."""

    def __init__(self, columns: int, rows: int, *, braille: bool) -> None:
        self.columns, self.rows = columns, rows
        self.fine_columns, self.fine_rows = (2 * columns, 4 * rows) if braille else (columns, rows)
        self._braille = braille
        self._dots = [[0] * columns for _ in range(rows)]
        self.owner: list[list[int | None]] = [[None] * columns for _ in range(rows)]

    def draw(self, line: Sequence[tuple[float, float]], owner: int) -> None:
        """Draw a line of fractions of the width and of the height, from below."""
        right, bottom = self.fine_columns - 1, self.fine_rows - 1
        points = [(round(x * right), round((1 - y) * bottom)) for x, y in line]
        self._dot(*points[0], owner)
        if len(points) == 1 and self._braille:  # one dot is hard to see
            x, y = points[0]
            for near in ((x - 1, y), (x + 1, y), (x, y - 1), (x, y + 1)):
                self._dot(*near, owner)
        for (x, y), (to_x, to_y) in itertools.pairwise(points):
            length = max(abs(to_x - x), abs(to_y - y), 1)
            for i in range(1, length + 1):
                across, down = (to_x - x) * i / length, (to_y - y) * i / length
                self._dot(x + round(across), y + round(down), owner)

    def _dot(self, x: int, y: int, owner: int) -> None:
        if not (0 <= x < self.fine_columns and 0 <= y < self.fine_rows):
            return
        column, row, bit = (x // 2, y // 4, _DOTS[y % 4][x % 2]) if self._braille else (x, y, 1)
        self._dots[row][column] |= bit
        self.owner[row][column] = owner

    def braille(self, row: int, column: int) -> str:
        """Return the character of a cell."""
        return chr(_BLANK_BRAILLE + self._dots[row][column])


def draw_text(
    figure: Figure,
    *,
    width: int = 80,
    height: int = 20,
    color: bool = False,
    ascii_only: bool = False,
) -> str:
    """Return a figure as lines of text, each ended by a line end, none with trailing blanks.

    One curve, or several in colours, are drawn in the dots of braille characters; several
    without colours, or anything in ASCII, with a mark a curve.

    Args:
        figure: Its texts may hold anything.
        width: Columns in all; at least 10 are drawn on.
        height: Lines in all, title and legend included; at least 4 are drawn on.
        color: Use the terminal's colours.
        ascii_only: Use no other characters.

    Raises:
        GitexpError: An axis is logarithmic and none of its values is positive.
    """
    horizontal, vertical = figure.axes()
    braille = not ascii_only and (color or len(figure.curves) == 1)
    paint = _painter(color=color, braille=braille, ascii_only=ascii_only)
    rows = max(height - len(figure.curves) - 3 - bool(figure.title), _LEAST_ROWS)
    y_ticks = _rows_of(vertical.ticks(max(rows // 3, 2)), rows)
    margin = max(map(len, y_ticks.values()), default=0) + 2
    canvas = _Canvas(max(width - margin, _LEAST_COLUMNS), rows, braille=braille)
    for number, curve in enumerate(figure.curves):
        for line in lines((curve.xs, curve.ys), horizontal, vertical):
            canvas.draw(line, number)
    text = list(_heading(figure.title, width, color=color))
    side = "|+" if ascii_only else "│┤"
    for row in range(rows):
        label = y_ticks.get(row, "")
        text.append(f"{label:>{margin - 2}} {side[row in y_ticks]}{_painted(canvas, row, paint)}")
    text += _foot(horizontal, canvas.columns, margin, figure.x_label, ascii_only=ascii_only)
    text += _legend(figure.curves, width, paint, braille=braille)
    printed = "".join(line.rstrip() + "\n" for line in text)
    return printed.encode("ascii", "backslashreplace").decode() if ascii_only else printed


Paint = Callable[[int, str], str]
"""Make a run of braille cells of a curve, or as many of its marks, ready to print."""


def _painter(*, color: bool, braille: bool, ascii_only: bool) -> Paint:
    marks = _ASCII_MARKS if ascii_only else _MARKS

    def paint(owner: int, cells: str) -> str:
        text = cells if braille else marks[owner % len(marks)] * len(cells)
        if not color:
            return text
        return f"\x1b[{_COLORS[owner % len(_COLORS)]}m{text}\x1b[0m"

    return paint


def _painted(canvas: _Canvas, row: int, paint: Paint) -> str:
    """Return a row of the canvas, neighbouring cells of one curve painted together."""
    parts = []
    cells = enumerate(canvas.owner[row])
    for owner, group in itertools.groupby(cells, key=operator.itemgetter(1)):
        text = "".join(canvas.braille(row, column) for column, _ in group)
        parts.append(" " * len(text) if owner is None else paint(owner, text))
    return "".join(parts)


def _heading(title: str, width: int, *, color: bool) -> Iterator[str]:
    if title:
        text = _cut(safe(title), width)
        yield f"\x1b[1m{text}\x1b[0m" if color else text


def _cut(text: str, width: int) -> str:
    return aligned([text], [], width=width, cell_width=width).rstrip("\n")


def _rows_of(ticks: Sequence[Tick], rows: int) -> dict[int, str]:
    """Return row from above -> label, no two ticks in one."""
    found: dict[int, str] = {}
    for tick in ticks:
        found.setdefault(round((1 - tick.place) * (4 * rows - 1)) // 4, tick.label)
    return found


def _foot(axis: Axis, columns: int, margin: int, label: str, *, ascii_only: bool) -> Iterator[str]:
    """Yield the horizontal axis, its tick labels (none touching another) and what it shows."""
    corner, plain, marked = "+-+" if ascii_only else "└─┬"
    line = [plain] * columns
    texts = [" "] * (margin + columns)
    free = 0
    for tick in axis.ticks(max(columns // 10, 2)):
        column = round(tick.place * (columns - 1))
        start = margin + column - len(tick.label) // 2
        start = max(min(start, margin + columns - len(tick.label)), 0)
        if start >= free:
            line[column] = marked
            texts[start : start + len(tick.label)] = tick.label
            free = start + len(tick.label) + 1
    yield " " * (margin - 1) + corner + "".join(line)
    yield "".join(texts)
    yield " " * margin + _cut(safe(label), columns).center(columns)


def _legend(curves: Sequence[Curve], width: int, paint: Paint, *, braille: bool) -> Iterator[str]:
    for owner, curve in enumerate(curves):
        sign = paint(owner, "⠤⠤" if braille else "  ")
        note = "" if any(math.isfinite(as_float(y)) for y in curve.ys) else " (no finite value)"
        yield f"{sign} {_cut(safe(curve.label) + note, width - 3)}"
