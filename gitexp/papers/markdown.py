"""Read Markdown: sections by its headings (``#`` and underlined ones), but not within code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitexp.papers.document import Reading, Section

_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})(?:[ \t]+(?P<title>.*))?")
_UNDERLINE = re.compile(r" {0,3}(?:=+|-{2,})[ \t]*")
_FENCE = re.compile(r" {0,3}(?P<fence>`{3,}|~{3,})")
_LINK = re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,1000}\)")
_MARKS = re.compile(r"[*`]{1,3}|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)")
_TAG = re.compile(r"<[^<>]{0,1000}>")
_CLOSING = re.compile(r"(?:(?<=\s)|^)#+$")


def read_markdown(text: str) -> Reading:
    """Return what a Markdown file says; its title is its first heading of the first level."""
    lines = _without_front_matter(text.replace("\r\n", "\n").split("\n"))
    found = list(_sections(lines))
    titles = [(level, section.title) for level, section in found if section.title]
    title = next((title for level, title in titles if level == 1), titles[0][1] if titles else "")
    return Reading(title=title, sections=tuple(section for _, section in found))


def _without_front_matter(lines: list[str]) -> list[str]:
    """Return the lines after the metadata between two ``---`` at the very top."""
    if lines and lines[0].rstrip() == "---":
        for number, line in enumerate(lines[1:], start=1):
            if line.rstrip() in ("---", "..."):
                return lines[number + 1 :]
    return lines


def _sections(lines: list[str]) -> Iterator[tuple[int, Section]]:
    """Yield sections with the level of their headings, 0 for what stands before the first."""
    level, title, body = 0, "", list[str]()
    fence = ""
    for line in lines:
        fence_now = _after(fence, line)
        heading = None if fence or fence_now else _heading(line, body)
        fence = fence_now
        if heading is None:
            body.append(line)
            continue
        yield level, Section(title, "\n".join(body).strip())
        level, title = heading
        body = []
    yield level, Section(title, "\n".join(body).strip())


def _after(fence: str, line: str) -> str:
    """Return the fence of the code that goes on after a line; empty where there is none."""
    match = _FENCE.match(line)
    if match is None:
        return fence
    if not fence:
        return match["fence"]
    closes = match["fence"].startswith(fence) and not line.strip().strip(fence[0])
    return "" if closes else fence


def _heading(line: str, body: list[str]) -> tuple[int, str] | None:
    """Return level and title if a line is a heading, or underlines the last of ``body``."""
    match = _HEADING.fullmatch(line.rstrip())
    if match is not None:
        return len(match["marks"]), _plain(_CLOSING.sub("", (match["title"] or "").strip()))
    if _UNDERLINE.fullmatch(line) and body and body[-1].strip() and _is_alone(body):
        level = 1 if "=" in line else 2
        return level, _plain(body.pop().strip())
    return None


def _is_alone(body: list[str]) -> bool:
    """Say whether the last line is a paragraph of its own, and no list, quote or table."""
    before = body[-2] if len(body) > 1 else ""
    begins = not before.strip() or _FENCE.match(before) is not None
    return begins and not body[-1].lstrip().startswith(("-", "*", "+", ">", "|", "#"))


def _plain(title: str) -> str:
    """Return a heading without links, marks of emphasis and tags."""
    return _MARKS.sub("", _TAG.sub("", _LINK.sub(r"\1", title))).strip()
