"""Fewer points that look the same: the extremes of each stretch of the horizontal axis.

The method is min-max decimation, as oscilloscopes and waveform viewers do it: the axis is cut
into equal stretches, and of each the lowest and the highest value stay, besides the very first
and the very last point. It was chosen over its two published relatives. M4 (Jugel, Jerzak,
Hackenbroich, Markl: "M4: A Visualization-Oriented Time Series Data Aggregation", PVLDB 7(10),
2014) also keeps the first and last point of each stretch, for pixel-exact lines at twice the
points. LTTB (Steinarsson: "Downsampling Time Series for Visual Representation", 2013) draws
prettier lines but may drop the extremes, which are what one looks for in a metric.
"""

from __future__ import annotations

import array
import bisect
import itertools
import math
import operator
from collections.abc import Iterator, Sequence
from typing import Literal

from gitexp.records.history import History

LEAST = 4
"""The first, the last, the lowest and the highest point."""


def sample(history: History, count: int, axis: Literal["step", "time"] = "step") -> History:
    """Return at most ``count`` points of a history, in order, its extremes among them.

    The first, the last, the lowest and the highest finite value are always kept. A stretch
    without a finite value keeps its first point, so that a diverged run stays visible; beside
    finite values, others are not kept. Where the axis goes back (a run that was resumed), the
    stretches are of equal numbers of points.

    Args:
        history: Returned as it is when it has no more points.
        count: 4 or more.
        axis: What is divided into equal stretches.

    Raises:
        ValueError: ``count`` is less than 4.
    """
    if count < LEAST:
        raise ValueError(f"at least {LEAST} points are kept, not {count}")
    if len(history) <= count:
        return history
    xs = history.steps if axis == "step" else history.times_ms
    kept = [0]
    for start, stop in _stretches(xs, (count - 2) // 2):
        kept += _extremes(history.values, start, stop)
    kept.append(len(history) - 1)
    return history.picked(list(dict.fromkeys(kept)))


def _stretches(xs: Sequence[int], count: int) -> Iterator[tuple[int, int]]:
    """Yield start and stop of all but the first and the last position, in ``count`` stretches."""
    size = len(xs) - 2
    low, high = xs[0], xs[-1]
    if high > low and _is_sorted(xs):
        cuts = [bisect.bisect_left(xs, low + (high - low) * i // count) for i in range(1, count)]
    else:
        cuts = [1 + size * i // count for i in range(1, count)]
    inner = [min(max(cut, 1), size + 1) for cut in cuts]
    yield from itertools.pairwise([1, *inner, size + 1])


def _is_sorted(xs: Sequence[int]) -> bool:
    if isinstance(xs, range):
        return xs.step > 0
    return all(map(operator.le, xs, itertools.islice(xs, 1, None)))


def _extremes(values: Sequence[float], start: int, stop: int) -> list[int]:
    """Return the positions of the lowest and the highest value of a stretch, in order."""
    if start >= stop:
        return []
    part = values[start:stop]
    if not isinstance(part, list) and is_finite(sum(part)):  # so are all its values
        low, high = part.index(min(part)), part.index(max(part))
        return sorted({start + low, start + high})
    finite = [i for i in range(start, stop) if is_finite(values[i])]
    if not finite:
        return [start]
    return sorted({min(finite, key=values.__getitem__), max(finite, key=values.__getitem__)})


def as_float(value: float) -> float:
    """Return a number as a double; an integer beyond the largest of them as an infinity."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def is_finite(value: float) -> bool:
    """Say whether a number has a place on an axis of doubles."""
    return math.isfinite(as_float(value))


def smoothed(history: History, weight: float) -> History:
    """Return the history with its values replaced by their exponential moving average.

    As in TensorBoard, with the bias towards 0 at the start corrected: with ``m[0] = 0``, over the
    finite values v[1], v[2], …,

        m[i] = weight * m[i - 1] + (1 - weight) * v[i]
        smoothed[i] = m[i] / (1 - weight ** i)

    Values that are not finite stay as they are and do not count.

    Args:
        history: Smooth it before it is sampled.
        weight: At least 0 (nothing is smoothed) and less than 1.

    Raises:
        ValueError: The weight is not in that range.
    """
    if not 0 <= weight < 1:
        raise ValueError(f"the weight is {weight}, not at least 0 and less than 1")
    if weight == 0:
        return history
    result = array.array("d")
    average, rest, new = 0.0, 1.0, 1 - weight
    for value in history.values:
        if is_finite(value):
            average = weight * average + new * value
            rest *= weight
            result.append(average / (1 - rest))
        else:
            result.append(as_float(value))
    return History(history.metric, history.steps, history.times_ms, result)
