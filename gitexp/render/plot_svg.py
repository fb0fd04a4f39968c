"""Curves as an SVG document of its own: no scripts, no fonts, readable on light and dark pages.

The colours of text and grid follow the reader's colour scheme; those of the curves have enough
contrast to both. From the ninth curve on, colours come again with dashed lines.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from gitexp.render.plot import Axis, Figure, Line, Tick, lines
from gitexp.render.text import safe

COLORS = (
    "#2f7fd8",
    "#e8590c",
    "#2b9a4b",
    "#d6336c",
    "#7950f2",
    "#0c8fa5",
    "#b07d05",
    "#868e96",
)
_DASHES = ("", "6 3", "2 3")
_STYLE = """\
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;\
fill:#495057}
.title{font-size:15px;font-weight:600;fill:#212529}
.page{fill:#fff}.grid{stroke:#e9ecef}.axis{stroke:#adb5bd}
.curve{fill:none;stroke-width:1.75;stroke-linejoin:round;stroke-linecap:round}
.behind{fill:none;stroke-width:1;stroke-opacity:.3;stroke-linejoin:round}
@media(prefers-color-scheme:dark){
text{fill:#adb5bd}.title{fill:#f1f3f5}.page{fill:#16181b}.grid{stroke:#2b3035}.axis{stroke:#6c757d}
}"""
_DIGIT, _LETTER = 7.0, 7.2
"""Widths in pixels, estimated: SVG cannot measure text. A letter is taken for a wide one."""
_LINE = 20
_RIGHT, _BOTTOM = 20, 46


class _Frame:
    """The rectangle between the axes, in pixels."""

    def __init__(self, left: float, top: float, right: float, bottom: float) -> None:
        self.left, self.top, self.right, self.bottom = left, top, right, bottom

    def x(self, place: float) -> float:
        return self.left + place * (self.right - self.left)

    def y(self, place: float) -> float:
        return self.bottom - place * (self.bottom - self.top)


def draw_svg(figure: Figure, *, width: int = 800, height: int = 480) -> str:
    """Return a figure as an SVG document.

    Args:
        figure: Its texts may hold anything.
        width: In pixels; at least 200 are of use.
        height: In pixels, legend included.

    Raises:
        GitexpError: An axis is logarithmic and none of its values is positive.
    """
    horizontal, vertical = figure.axes()
    y_ticks = vertical.ticks(max(height // 70, 2))
    left = 24 + _DIGIT * max((len(tick.label) for tick in y_ticks), default=0)
    legend = _legend_places(figure, left, width)
    top = 44 if figure.title else 20
    bottom = max(height - _BOTTOM - _LINE * (legend[-1][1] + 1 if legend else 0), top + 60)
    frame = _Frame(left, top, width - _RIGHT, bottom)
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    title = escape(safe(figure.title))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
    ]
    if title:
        parts.append(f'<text class="title" x="{left:g}" y="26">{title}</text>')
    parts += _grid(frame, horizontal.ticks(max(width // 90, 2)), y_ticks)
    middle = frame.x(0.5)
    label = escape(safe(figure.x_label))
    parts.append(f'<text x="{middle:g}" y="{bottom + 37:g}" text-anchor="middle">{label}</text>')
    parts += _curves(figure, frame, horizontal, vertical)
    parts += _legend(figure, legend, bottom + _BOTTOM)
    return "\n".join([*parts, "</svg>", ""])


def _grid(frame: _Frame, x_ticks: Sequence[Tick], y_ticks: Sequence[Tick]) -> Iterator[str]:
    left, right, top, bottom = frame.left, frame.right, frame.top, frame.bottom
    for tick in y_ticks:
        y = frame.y(tick.place)
        yield f'<path class="grid" d="M{left:g} {y:.1f}H{right:g}"/>'
        yield f'<text x="{left - 8:g}" y="{y + 4:.1f}" text-anchor="end">{tick.label}</text>'
    for tick in x_ticks:
        x = frame.x(tick.place)
        yield f'<path class="axis" d="M{x:.1f} {bottom:g}v5"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 19:g}" text-anchor="middle">{tick.label}</text>'
    yield f'<path class="axis" fill="none" d="M{left:g} {top:g}V{bottom:g}H{right:g}"/>'


def _curves(figure: Figure, frame: _Frame, horizontal: Axis, vertical: Axis) -> Iterator[str]:
    for number, curve in enumerate(figure.curves):
        if curve.behind is not None:
            color = COLORS[number % len(COLORS)]
            found = lines(curve.behind, horizontal, vertical)
            yield f'<path class="behind" stroke="{color}" d="{_path(found, frame)}"/>'
    for number, curve in enumerate(figure.curves):
        color = COLORS[number % len(COLORS)]
        found = lines((curve.xs, curve.ys), horizontal, vertical)
        yield f"<g><title>{escape(safe(curve.label))}</title>"
        yield f'<path class="curve" {_stroke(number)} d="{_path(found, frame)}"/>'
        for (x, y), *more in found:
            if not more:
                place = f'cx="{frame.x(x):.1f}" cy="{frame.y(y):.1f}"'
                yield f'<circle fill="{color}" r="3" {place}/>'
        yield "</g>"


def _stroke(number: int) -> str:
    dash = _DASHES[number // len(COLORS) % len(_DASHES)]
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'stroke="{COLORS[number % len(COLORS)]}"{dashed}'


def _path(found: Sequence[Line], frame: _Frame) -> str:
    return " ".join(
        "M" + "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in line)
        for line in found
        if len(line) > 1
    )


def _legend_places(figure: Figure, left: float, width: int) -> list[tuple[float, int]]:
    """Return x and row of each entry of the legend, left to right and downwards."""
    places: list[tuple[float, int]] = []
    x, row = left, 0
    for curve in figure.curves:
        length = 44 + _LETTER * len(safe(curve.label))
        if places and x + length > width - _RIGHT:
            x, row = left, row + 1
        places.append((x, row))
        x += length
    return places


def _legend(figure: Figure, places: Sequence[tuple[float, int]], top: float) -> Iterator[str]:
    for number, (curve, (x, row)) in enumerate(zip(figure.curves, places, strict=True)):
        y = top + _LINE * row + 8
        yield f'<path class="curve" {_stroke(number)} d="M{x:g} {y:g}h20"/>'
        yield f'<text x="{x + 27:g}" y="{y + 4:g}">{escape(safe(curve.label))}</text>'
