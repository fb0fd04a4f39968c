"""Runs as one HTML page that works offline from its file: table, curves, comparison, code.

The page is a template (`page.html`), a style sheet (`page.css`), a program (the `page*.js` files,
one after the other inside one function) and the data. The data goes in as JSON in a script element
that browsers do not execute, with every character escaped that could end the element; the program
puts texts into the page as text nodes only. A content security policy names the program and the
style sheet by their digests and allows nothing else, so that the page makes no request, whatever
a run's name says.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from importlib import resources
from typing import Any, Literal, NamedTuple

from gitexp.records.nested import number_to_json
from gitexp.render.text import safe

Goal = Literal["min", "max"]
Point = tuple[int, int, float]
"""Step, time in milliseconds since 1970, value."""

_PROGRAM = (
    "page_model.js",
    "page_filter.js",
    "page_state.js",
    "page_table.js",
    "page_chart.js",
    "page_curves.js",
    "page_compare.js",
    "page_code.js",
    "page_details.js",
    "page.js",
)
_ESCAPES = (("&", "\\u0026"), ("<", "\\u003c"), (">", "\\u003e"))
_EXACT_IN_JAVASCRIPT = 1 << 53
_MANY_DIGITS = re.compile(r"(?<![\d.])\d{16,}+(?![.eE])")
_CURVE_DIGITS = 9
"""Significant digits of a point: what a plot can show, in two thirds of the bytes of all digits."""


class PageData(NamedTuple):
    """What the page shows.

    Attributes:
        title: Of the page, such as the name of the repository.
        generated: When; with a zone.
        runs: Each as `gitexp.run.Run.to_dict` gives it, in the order of the table at first.
        goals: Full path of a metric -> whether lower or higher is better.
        curves: Id of a run -> full path of a metric -> points in order, already downsampled.
        patches: Id of a run -> unified diff from the commit that the run was made on to its code,
            empty where they are the same. Absent: the page says that it was not included.
        cut_patches: Ids of the runs whose patch is not whole; the page says so.
    """

    title: str
    generated: datetime
    runs: Sequence[Mapping[str, Any]]
    goals: Mapping[str, Goal]
    curves: Mapping[str, Mapping[str, Sequence[Point]]] = {}
    patches: Mapping[str, str] = {}
    cut_patches: Collection[str] = ()


def render_page(data: PageData) -> str:
    """Return the page as one HTML document, which can be written as UTF-8.

    Raises:
        ValueError: A run holds a non-finite float; `Run.to_dict` gives texts instead.
    """
    style, program = _style(), _program()
    parts = {
        "title": html.escape(safe(data.title)),
        "style": style,
        "style_hash": _digest(style),
        "program": program,
        "program_hash": _digest(program),
        "data": _data(data),
    }
    # In one pass: what a run says can never be taken for a place in the template.
    return re.sub(r"\{\{(\w+)\}\}", lambda place: parts[place[1]], _resource("page.html"))


def _resource(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _style() -> str:
    return _resource("page.css")


def _program() -> str:
    """Return the program: its files share one scope, which nothing outside can see."""
    return '(() => {\n"use strict";\n' + "\n".join(map(_resource, _PROGRAM)) + "})();\n"


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _data(data: PageData) -> str:
    texts, places = _shared_texts(data.patches)
    parts = {
        "title": data.title,
        "generated": data.generated.astimezone(UTC).isoformat(timespec="seconds"),
        "goals": dict(data.goals),
        "curves": {
            run: {metric: _columns(points) for metric, points in metrics.items()}
            for run, metrics in data.curves.items()
        },
        "patches": texts,
        "patch_of": places,
        "cut_patches": sorted(data.cut_patches),
    }
    runs = ",\n".join(map(_run, data.runs))
    text = f'{{"runs":[\n{runs}\n],\n{_json(parts)[1:]}'
    for character, escape in _ESCAPES:
        text = text.replace(character, escape)
    return text


def _json(value: Any) -> str:
    """Return a value as compact JSON in ASCII: U+2028, bidi marks and surrogates are escaped."""
    return json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _run(run: Mapping[str, Any]) -> str:
    text = _json(run)
    return _json(_exact(run)) if _MANY_DIGITS.search(text) else text


def _exact(value: Any) -> Any:
    """Return a value with integers that JavaScript would round as texts, at any depth."""
    if isinstance(value, Mapping):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_exact(item) for item in value]
    if type(value) is int and abs(value) > _EXACT_IN_JAVASCRIPT:
        return str(value)
    return value


def _columns(points: Sequence[Point]) -> list[Any]:
    """Return a curve as its first time, then steps, times since that one, and values."""
    start = points[0][1] if points else 0
    return [
        start,
        [step for step, _, _ in points],
        [time - start for _, time, _ in points],
        [number_to_json(float(f"{value:.{_CURVE_DIGITS}g}")) for _, _, value in points],
    ]


def _shared_texts(patches: Mapping[str, str]) -> tuple[list[str], dict[str, int]]:
    """Return the distinct patches, and which of them each run has: a sweep shares one."""
    numbers: dict[str, int] = {}
    places = {run: numbers.setdefault(patch, len(numbers)) for run, patch in patches.items()}
    return list(numbers), places
