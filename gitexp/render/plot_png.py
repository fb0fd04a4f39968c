"""Curves as a PNG image, drawn by matplotlib (the extra ``plot``) without its global state."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from gitexp.errors import GitexpError
from gitexp.records.sample import as_float
from gitexp.render.plot import Figure, Points, Tick
from gitexp.render.plot_svg import COLORS
from gitexp.render.text import safe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

_DPI = 150
_LETTER, _KEY = 10, 100
"""Estimated widths in pixels: of a letter of the legend, and of its line sample."""
_GRAY = "#adb5bd"
_STYLES = ("-", "--", ":")


def draw_png(figure: Figure, *, width: int = 1200, height: int = 750) -> bytes:
    """Return a figure as a PNG image.

    Args:
        figure: Its texts may hold anything.
        width: In pixels; at least 300 are of use.
        height: In pixels.

    Raises:
        GitexpError: matplotlib is not installed, or an axis is logarithmic and none of its
            values is positive.
    """
    canvas = _canvas(width, height)
    horizontal, vertical = figure.axes()
    with warnings.catch_warnings():
        # Of letters that its font lacks: they show as boxes, which is what there is to say.
        warnings.simplefilter("ignore", UserWarning)
        axes = canvas.figure.add_subplot()
        handles = _draw(axes, figure)
        _mark(axes.xaxis, horizontal.ticks(max(width // 130, 2)))
        _mark(axes.yaxis, vertical.ticks(max(height // 110, 2)))
        _add_legend(canvas.figure, handles, [safe(c.label) for c in figure.curves], width)
        image = io.BytesIO()
        canvas.print_png(image)
    return image.getvalue()


def _canvas(width: int, height: int) -> Any:
    """Return a canvas of the Agg backend: no window system, no ``pyplot``."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure as Drawing
    except ImportError:
        raise GitexpError(
            "A PNG image is drawn by matplotlib, which is not installed.",
            "Install it with: pip install 'gitexp[plot]', or write an .svg file.",
        ) from None
    size = (width / _DPI, height / _DPI)
    return FigureCanvasAgg(Drawing(figsize=size, dpi=_DPI, layout="constrained"))


def _draw(axes: Axes, figure: Figure) -> list[Line2D]:
    """Draw everything but the legend; return the line of each curve."""
    if figure.log_x:
        axes.set_xscale("log", nonpositive="mask")
    if figure.log_y:
        axes.set_yscale("log", nonpositive="mask")
    handles = []
    for number, curve in enumerate(figure.curves):
        color = COLORS[number % len(COLORS)]
        if curve.behind is not None:
            axes.plot(*_broken(curve.behind), color=color, alpha=0.3, linewidth=0.8)
        style = _STYLES[number // len(COLORS) % len(_STYLES)]
        mark = "o" if len(curve.xs) == 1 else ""
        points = _broken((curve.xs, curve.ys))
        handles += axes.plot(*points, style, color=color, marker=mark, linewidth=1.5)
    title = axes.set_title(safe(figure.title), loc="left", fontweight="bold", fontsize="medium")
    for text in (title, axes.set_xlabel(safe(figure.x_label), fontsize="small")):
        text.set_parse_math(False)
    axes.tick_params(labelsize="small", color=_GRAY)
    axes.grid(color="#e9ecef", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(_GRAY)
    return handles


def _mark(axis: Any, ticks: Sequence[Tick]) -> None:
    """Put our own ticks on an axis, so that all forms of a figure say the same."""
    axis.set_ticks([tick.value for tick in ticks], labels=[tick.label for tick in ticks])
    axis.set_ticks([], minor=True)


def _add_legend(drawing: Any, handles: list[Line2D], labels: list[str], width: int) -> None:
    """Put the legend below, in as many columns as there is room for."""
    longest = _KEY + _LETTER * max(map(len, labels), default=0)
    columns = min(max(width // longest, 1), max(len(labels), 1))
    legend = drawing.legend(
        handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize="small"
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _broken(points: Points) -> tuple[list[float], list[float]]:
    """Return points as doubles, with a gap where ``x`` goes back."""
    xs: list[float] = []
    ys: list[float] = []
    for x, y in zip(*(map(as_float, values) for values in points), strict=True):
        if xs and x < xs[-1]:
            xs.append(xs[-1])
            ys.append(math.nan)
        xs.append(x)
        ys.append(y)
    return xs, ys
