"""Markdown that shows texts by others as they are: none of them becomes a heading, link or tag."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from gitexp.render.text import safe

_EVERYWHERE = re.compile(r"[\\`*_{}\[\]<>#|~!&$]")
_AT_START = re.compile(r"^(\d+(?=[.)](?:\s|$))|(?=[-+=](?:[-=\s]|$)))")


def escaped(text: str, width: int | None = None) -> str:
    """Return a text for a line or a table cell; whatever Markdown or HTML would act on is escaped.

    Args:
        text: Of any number of lines; it becomes one.
        width: Characters to keep of it; all by default.
    """
    line = " ".join(text.split())
    if width is not None and len(line) > width:
        line = f"{line[: width - 1]}…"
    return _AT_START.sub(r"\1\\", _EVERYWHERE.sub(r"\\\g<0>", safe(line)))


def code(text: str) -> str:
    """Return a line of code as a span; it may hold backticks."""
    line = safe(" ".join(text.split("\n")))
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    pad = " " if "`" in line else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def block(text: str) -> str:
    """Return lines of code as an indented block, which no text in it can end."""
    return "\n".join(f"    {safe(line)}".rstrip() for line in text.split("\n"))


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells must be escaped. A header that ends in ``:`` is right-aligned."""
    titles = [title.removesuffix(":") for title in header]
    rule = ["---:" if title.endswith(":") else "---" for title in header]
    lines = [titles, rule, *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
