"""A history as one line of text: higher is taller, or in ASCII denser."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
ASCII = ".:-=+*#@"
NOT_FINITE = "!"


def sparkline(values: Sequence[float], width: int, *, ascii_only: bool = False) -> str:
    """Return values as at most ``width`` characters, from their least to their greatest.

    More values than that are summed up as the means of as many groups. What is not finite shows
    as ``!``.

    Args:
        values: In order.
        width: In columns.
        ascii_only: Use no block characters.
    """
    levels = ASCII if ascii_only else BLOCKS
    means = _means(values, width)
    finite = [value for value in means if math.isfinite(value)]
    if not finite:
        return NOT_FINITE * len(means)
    low, high = min(finite), max(finite)
    return "".join(_level(value, low, high, levels) for value in means)


def _means(values: Sequence[float], width: int) -> list[float]:
    count = min(len(values), max(width, 0))
    edges = [i * len(values) // count for i in range(count + 1)] if count else []
    groups = [values[start:end] for start, end in itertools.pairwise(edges)]
    return [sum(value / len(group) for value in group) for group in groups]


def _level(value: float, low: float, high: float, levels: str) -> str:
    if not math.isfinite(value):
        return NOT_FINITE
    # Halves, so that the span of the greatest floats is finite.
    span = high / 2 - low / 2
    share = (value / 2 - low / 2) / span if span else 0.5
    return levels[min(int(share * len(levels)), len(levels) - 1)]
