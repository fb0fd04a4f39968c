"""Charts of a report as SVG: progress of the goal metric, spend per day, outcomes.

They are part of the page: its style sheet gives them their colours, in light and in dark. A title
on each mark tells what it stands for when it is pointed at. No script is involved.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from html import escape
from typing import Any, NamedTuple

from gitexp.render.plot import Axis
from gitexp.render.report_parts import duration
from gitexp.render.text import number, safe, short

Data = Mapping[str, Any]

WIDTH, HEIGHT = 720, 280
_LEFT, _RIGHT, _TOP, _BOTTOM = 68, 12, 12, 40
_Z90 = 1.6448536269514722
_REACH = 3.0
"""Interquartile ranges beyond the quartiles that are drawn; what is further stands at the edge."""
_DAYS = 60
_HOUR = 3600
_DAY = 24
_LONG = 4
"""Days from which on the time axis counts days, not hours."""
_ROW = 26


class Chart(NamedTuple):
    """A chart, and a sentence on what is to be seen.

    Attributes:
        svg: The element.
        caption: Not yet escaped.
    """

    title: str
    svg: str
    caption: str


class _Scales(NamedTuple):
    horizontal: Axis
    vertical: Axis

    def x(self, value: float) -> float:
        place = self.horizontal.place(value) or 0.0
        return _LEFT + min(max(place, 0.0), 1.0) * (WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        place = self.vertical.place(value) or 0.0
        return HEIGHT - _BOTTOM - min(max(place, 0.0), 1.0) * (HEIGHT - _TOP - _BOTTOM)


def charts(report: Data) -> Iterator[Chart]:
    """Yield the charts of a report for which there is something to draw."""
    if report.get("points"):
        yield _progress(report)
    spend = report.get("spend") or {}
    if len(spend.get("days") or ()) > 1:
        yield _days(spend["days"][-_DAYS:])
    if spend.get("outcomes"):
        yield _outcomes(spend["outcomes"])


def _progress(report: Data) -> Chart:
    """Draw the values of the window, the best so far as steps, and the champion with its noise."""
    registry = report["registry"]
    points = report["points"]
    start = min(_time(point) for point in points)
    span_h = (max(_time(point) for point in points) - start) / _HOUR
    unit, name = (_HOUR * _DAY, "days") if span_h > _LONG * _DAY else (_HOUR, "hours")
    xs = [(_time(point) - start) / unit for point in points]
    low, high = _middle([point["value"] for point in points])
    band = _band(registry)
    scales = _Scales(Axis([0.0, *xs]), Axis([low, high, *_between(band, low, high)]))
    best = {record["run"] for record in report.get("records") or ()}
    outside = sum(not low <= point["value"] <= high for point in points)
    body = [
        *_grid(scales),
        *_band_mark(band, scales),
        *_steps(report.get("records") or (), start, unit, scales),
        *(
            _dot(point, x, scales, point["run"] in best)
            for point, x in zip(points, xs, strict=True)
        ),
        _label(f"{name} since {points[0]['started'][:16].replace('T', ' ')} UTC"),
    ]
    metric = (registry.get("goal") or {}).get("metric", "")
    word = "lower" if (registry.get("goal") or {}).get("goal") == "min" else "higher"
    more = f" {outside} of them are beyond the edge." if outside else ""
    caption = (
        f"Each dot is a run, {word} is better; the line is the best so far. The band is where 90% "
        f"of the champion's own runs are expected{_noise_words(registry)}.{more}"
    )
    return Chart(f"Progress of {metric}", _svg(body, HEIGHT, f"Progress of {metric}"), caption)


def _noise_words(registry: Data) -> str:
    return ", with noise assumed, not measured" if registry.get("provisional") else ""


def _time(point: Data) -> float:
    return datetime.fromisoformat(point["started"]).timestamp()


def _middle(values: Sequence[float]) -> tuple[float, float]:
    """Return what is drawn of the values: all but far outliers, so that one does not hide all."""
    if len(values) < 4:  # noqa: PLR2004 - there are no quartiles
        return min(values), max(values)
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    room = _REACH * (third - first)
    inside = [value for value in values if first - room <= value <= third + room]
    return min(inside), max(inside)


def _band(registry: Data) -> tuple[float, float] | None:
    champion, noise = registry.get("champion"), registry.get("noise")
    if champion is None or noise is None:
        return None
    return champion["mean"] - _Z90 * noise["sd"], champion["mean"] + _Z90 * noise["sd"]


def _between(band: tuple[float, float] | None, low: float, high: float) -> Iterable[float]:
    """Return the edges of the band that are near what is drawn; far ones must not squeeze it."""
    room = high - low
    return [edge for edge in band or () if low - room <= edge <= high + room]


def _grid(scales: _Scales) -> Iterator[str]:
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    for tick in scales.vertical.ticks(5):
        y = scales.y(tick.value)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick.label}</text>'
    for tick in scales.horizontal.ticks(7):
        x = scales.x(tick.value)
        yield f'<text x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{tick.label}</text>'


def _label(text: str) -> str:
    x = (_LEFT + WIDTH - _RIGHT) / 2
    return f'<text x="{x:g}" y="{HEIGHT - 6}" text-anchor="middle">{escape(safe(text))}</text>'


def _band_mark(band: tuple[float, float] | None, scales: _Scales) -> Iterator[str]:
    if band is not None:
        top, bottom = scales.y(band[1]), scales.y(band[0])
        place = f'x="{_LEFT}" y="{top:.1f}" width="{WIDTH - _LEFT - _RIGHT}"'
        title = f"{number(band[0])} to {number(band[1])}"
        yield f'<rect class="band" {place} height="{max(bottom - top, 1):.1f}">'
        yield f"<title>{title}</title></rect>"


def _steps(records: Sequence[Data], start: float, unit: float, scales: _Scales) -> Iterator[str]:
    """Yield the best so far as a line of steps, from what was best before."""
    earlier = sum(_time(record) <= start for record in records)
    shown = records[max(earlier - 1, 0) :]
    if not shown:
        return
    xs = [max((_time(record) - start) / unit, 0.0) for record in shown]
    path = f"M{scales.x(xs[0]):.1f} {scales.y(shown[0]['value']):.1f}"
    for x, record in zip(xs[1:], shown[1:], strict=True):
        path += f"H{scales.x(x):.1f}V{scales.y(record['value']):.1f}"
    yield f'<path class="best" d="{path}H{WIDTH - _RIGHT}"/>'


def _dot(point: Data, x: float, scales: _Scales, is_best: bool) -> str:
    kind = "dot won" if is_best else "dot"
    place = f'cx="{scales.x(x):.1f}" cy="{scales.y(point["value"]):.1f}"'
    title = f"{short(point['run'])}: {number(point['value'])}"
    size = 4 if is_best else 2.5
    return f'<circle class="{kind}" r="{size}" {place}><title>{title}</title></circle>'


def _days(days: Sequence[Data]) -> Chart:
    hours = [share["seconds"] / _HOUR for share in days]
    scales = _Scales(Axis([0.0, float(len(days))]), Axis([0.0, max(*hours, 1e-9)]))
    bottom, width = scales.y(0.0), (WIDTH - _LEFT - _RIGHT) / len(days)
    body = []
    for tick in scales.vertical.ticks(5):
        y = scales.y(tick.value)
        body.append(f'<path class="grid" d="M{_LEFT} {y:.1f}H{WIDTH - _RIGHT}"/>')
        body.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick.label}</text>')
    every = -(-len(days) // 8)
    for i, (share, value) in enumerate(zip(days, hours, strict=True)):
        x, y = scales.x(float(i)), scales.y(value)
        title = f"{share['name']}: {share['runs']} runs, {duration(share['seconds'])}"
        place = f'x="{x + width * 0.1:.1f}" y="{y:.1f}" width="{width * 0.8:.1f}"'
        body.append(
            f'<rect class="bar" {place} height="{max(bottom - y, 0.5):.1f}">'
            f"<title>{escape(safe(title))}</title></rect>"
        )
        if i % every == 0:
            label = escape(safe(share["name"][5:]))
            body.append(f'<text x="{x + 2:.1f}" y="{bottom + 17:.1f}">{label}</text>')
    body.append(_label("day (UTC)"))
    return Chart("Hours per day", _svg(body, HEIGHT, "Hours per day"), "Wall time of all runs.")


def _outcomes(outcomes: Sequence[Data]) -> Chart:
    most = max(share["runs"] for share in outcomes) or 1
    left, right = 96, 64
    body = []
    ordered = sorted(outcomes, key=lambda share: -share["runs"])
    for i, share in enumerate(ordered):
        y = _TOP + i * _ROW
        width = (WIDTH - left - right) * share["runs"] / most
        name = escape(safe(share["name"]))
        kind = "bar" if share["name"] == "finished" else "bar bad"
        body.append(f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{name}</text>')
        body.append(f'<rect class="{kind}" x="{left}" y="{y}" width="{width:.1f}" height="20"/>')
        body.append(f'<text x="{left + width + 6:.1f}" y="{y + 15}">{share["runs"]:,}</text>')
    height = _TOP + _ROW * len(ordered)
    return Chart("Outcomes", _svg(body, height, "Outcomes"), "How many runs ended how.")


def _svg(body: Iterable[str], height: int, title: str) -> str:
    head = f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{escape(safe(title))}">'
    return "\n".join([head, *body, "</svg>"])
