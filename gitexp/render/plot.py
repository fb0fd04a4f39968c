"""Curves and their axes, for whatever they are drawn on: `plot_text`, `plot_svg`, `plot_png`.

An `Axis` maps values to fractions of its length and knows where its ticks are. What has no place
on an axis (NaN, infinities, and on a logarithmic axis what is not positive) is a gap in its curve.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from gitexp.errors import GitexpError
from gitexp.records.sample import as_float

_LEAST_SPAN = 1e-12
"""Relative to the values: what differs by less is drawn as constant, doubles end there."""
_SMALLEST_SPAN = 1e-300
_ROUNDING = 1e-9
_STRIDES = (1, 2, 3, 5, 10, 20, 50, 100, 200)
"""Powers of ten from one tick to the next; doubles have 632 of them."""
_UNITS = {3: "k", 6: "M", 9: "G", 12: "T"}
_UNITS_FROM, _UNITS_TO, _SCIENTIFIC_BELOW = 1e4, 1e15, 1e-3
_MAX_DECIMALS = 2


class Curve(NamedTuple):
    """A line through points.

    Attributes:
        label: For the legend; of any content.
        xs: As many as `ys`. Where they go back, a new line begins.
        ys: Non-finite ones are gaps.
        behind: Points (xs, ys) to show faintly behind the line where that is possible: what it
            was smoothed from.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    behind: tuple[Sequence[float], Sequence[float]] | None = None


class Tick(NamedTuple):
    """A mark on an axis: its value, where that is as a fraction of the length, what it says."""

    value: float
    place: float
    label: str


class Axis:
    """A range of values, linear or logarithmic.

    Args:
        values: What it has to show; those that have no place on it are left out.
        log: Logarithmic.

    Raises:
        GitexpError: It is logarithmic and there are finite values, but none is positive.
    """

    def __init__(self, values: Iterable[float], *, log: bool = False) -> None:
        known = list(values)
        self.log = log
        self.whole = all(isinstance(value, int) for value in known)
        finite = [v for v in map(as_float, known) if math.isfinite(v)]
        scaled = [v for v in map(self._scaled, finite) if v is not None]
        if finite and not scaled:
            raise GitexpError(
                "A logarithmic axis cannot show this: none of its values is positive.",
                "Leave out --log-x or --log-y.",
            )
        self.low, self.high = _widened(min(scaled, default=0), max(scaled, default=1), log=log)

    def _scaled(self, value: float) -> float | None:
        value = as_float(value)
        if not math.isfinite(value) or (self.log and value <= 0):
            return None
        return min(max(math.log10(value), _LOG_LEAST), _LOG_LARGEST) if self.log else value

    def place(self, value: float) -> float | None:
        """Return where a value is, from 0 to 1 on the axis; None if it has no place there."""
        scaled = self._scaled(value)
        if scaled is None:
            return None
        # In halves: the difference of two doubles may be beyond the largest.
        return (scaled / 2 - self.low / 2) / (self.high / 2 - self.low / 2)

    def ticks(self, count: int) -> list[Tick]:
        """Return about ``count`` ticks at round values, the lowest first."""
        values = self._log_ticks(count) if self.log else []
        labels = [_short(value) for value in values]
        if not values:
            low, high = (10**self.low, 10**self.high) if self.log else (self.low, self.high)
            values, labels = _linear_ticks(low, high, max(count, 1), whole=self.whole)
        found = []
        for value, label in zip(values, labels, strict=True):
            place = self.place(value)
            if place is not None and -_ROUNDING <= place <= 1 + _ROUNDING:
                found.append(Tick(value, min(max(place, 0.0), 1.0), label))
        return found

    def _log_ticks(self, count: int) -> list[float]:
        """Return powers of ten, and their multiples by 2 and 5 where there is room; or nothing."""
        first, last = math.ceil(self.low - _ROUNDING), math.floor(self.high + _ROUNDING)
        if last - first >= 2 or (last > first and count < 4):  # noqa: PLR2004
            stride = next((s for s in _STRIDES if (last - first) / s <= count), _STRIDES[-1])
            return [10.0**k for k in range(first, last + 1) if k % stride == 0]
        exponents = range(math.floor(self.low), last + 1)
        finer = [m * 10.0**k for k in exponents for m in (1, 2, 5)]
        inside = [v for v in finer if v > 0 and self.low <= math.log10(v) <= self.high]
        return inside if len(inside) >= 2 else []  # noqa: PLR2004


def _widened(low: float, high: float, *, log: bool) -> tuple[float, float]:
    """Return bounds that differ: around a constant value there is room on both sides."""
    size = max(abs(low), abs(high))
    if high - low > max(size * _LEAST_SPAN, _SMALLEST_SPAN):
        return low, high
    margin = 0.5 if log else size / 10 or 1.0
    largest = sys.float_info.max
    least, largest = (_LOG_LEAST, _LOG_LARGEST) if log else (-largest, largest)
    return max(low - margin, least), min(high + margin, largest)


def _linear_ticks(
    low: float, high: float, count: int, *, whole: bool
) -> tuple[list[float], list[str]]:
    raw = high / count - low / count
    power = 10.0 ** math.floor(math.log10(raw))
    steps = [m * power for m in (1, 2, 5, 10) if math.isfinite(m * power)]
    step = min(steps, key=lambda step: abs(math.log(step / raw)))
    if whole:
        step = max(step, 1.0)
    first, last = math.ceil(low / step - _ROUNDING), math.floor(high / step + _ROUNDING)
    values = [i * step for i in range(first, last + 1) if math.isfinite(i * step)]
    return values, _labels(values, step)


def _labels(values: Sequence[float], step: float) -> list[str]:
    """Return the texts of evenly spaced values: all in one unit, with as many digits as differ."""
    peak = max(map(abs, values), default=0.0)
    place = math.floor(math.log10(step) + _ROUNDING)
    if peak == 0:
        return ["0"] * len(values)
    exponent = math.floor(math.log10(peak) + _ROUNDING)
    if peak < _SCIENTIFIC_BELOW or peak >= _UNITS_TO:
        return [_scientific(value, max(exponent - place, 0)) for value in values]
    unit = exponent // 3 * 3 if peak >= _UNITS_FROM else 0
    if unit - place > _MAX_DECIMALS and unit:
        unit = 0
    digits = max(unit - place, 0)
    return [f"{v / 10**unit:.{digits}f}{_UNITS.get(unit, '')}" if v else "0" for v in values]


def _scientific(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
    return f"{mantissa}e{int(exponent)}"


def _short(value: float) -> str:
    """Return a round number as short as it can be said."""
    if value < _SCIENTIFIC_BELOW or value >= _UNITS_TO:
        return _scientific(value, 0)
    return _labels([value], value)[0]


class Figure(NamedTuple):
    """What is to be drawn.

    Attributes:
        title: Above the curves; of any content, like the labels.
        x_label: What the horizontal axis shows.
        log_x: The horizontal axis is logarithmic; `log_y` likewise.
    """

    curves: Sequence[Curve]
    title: str = ""
    x_label: str = "step"
    log_x: bool = False
    log_y: bool = False

    def axes(self) -> tuple[Axis, Axis]:
        """Return the horizontal and the vertical axis, wide enough for all curves.

        Raises:
            GitexpError: One is logarithmic and no value is positive.
        """
        shown = [points for curve in self.curves for points in _layers(curve)]
        horizontal = Axis((x for xs, _ in shown for x in xs), log=self.log_x)
        return horizontal, Axis((y for _, ys in shown for y in ys), log=self.log_y)


Points = tuple[Sequence[float], Sequence[float]]
Line = list[tuple[float, float]]


def _layers(curve: Curve) -> list[Points]:
    points = (curve.xs, curve.ys)
    return [points] if curve.behind is None else [curve.behind, points]


def lines(points: Points, horizontal: Axis, vertical: Axis) -> list[Line]:
    """Return points as unbroken lines of fractions of the axes; a lone point is a line of one.

    A line ends at a point that has no place on an axis, and where ``x`` goes back.
    """
    found: list[Line] = []
    before = math.inf
    for x, y in zip(*points, strict=True):
        across, up = horizontal.place(x), vertical.place(y)
        if across is None or up is None:
            before = math.inf
            continue
        if across < before:
            found.append([])
        found[-1].append((across, up))
        before = across
    return found


_LOG_LEAST, _LOG_LARGEST = -307.0, 308.25
"""Exponents of the doubles of full precision; what is beyond is drawn at the edge."""
