"""Read plain text: a file without markup, or what a PDF holds, whose sections must be guessed.

A heading is a short line that has a number which follows the one before (``3``, then ``3.1`` or
``4``; ``A`` after the last), or one of the names that papers give to sections.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from gitexp.papers.document import Reading, Section

_NAMES = frozenset(
    [
        "abstract",
        "acknowledgements",
        "acknowledgments",
        "appendix",
        "appendices",
        "background",
        "bibliography",
        "conclusion",
        "conclusions",
        "discussion",
        "evaluation",
        "experiments",
        "introduction",
        "limitations",
        "method",
        "methods",
        "motivation",
        "notation",
        "preliminaries",
        "references",
        "results",
        "summary",
    ]
) | {
    "broader impact",
    "experimental setup",
    "future work",
    "related work",
    "results and discussion",
    "conclusion and future work",
    "conclusions and future work",
    "discussion and conclusion",
}
_NUMBERED = re.compile(
    r"(?P<number>[0-9]{1,2}(?:\.[0-9]{1,2}){0,3}|[A-Z](?:\.[0-9]{1,2}){0,3})\.?[ \t]+"
    r"(?P<title>[A-Z][^\n]{1,90})"
)
_MOST_WORDS = 14
_LETTER = re.compile(r"[^\W\d_]")
_END = (".", ",", ";", ":", "-")


def read_plain(text: str) -> Reading:
    """Return the sections of a text; its first line is the title."""
    lines = text.replace("\r\n", "\n").split("\n")
    first = next((i for i, line in enumerate(lines) if _LETTER.search(line)), 0)
    title = lines[first].strip()
    return Reading(title=title, sections=tuple(sections_of(lines)))


def sections_of(lines: Sequence[str]) -> Iterator[Section]:
    """Yield the sections of a text, what stands before the first heading included."""
    title, body = "", list[str]()
    last: tuple[int, ...] = ()
    for line in lines:
        heading = _heading(line, last)
        if heading is None:
            body.append(line)
            continue
        yield Section(title, "\n".join(body).strip())
        number, title = heading
        last = number or last
        body = []
    yield Section(title, "\n".join(body).strip())


def _heading(line: str, last: tuple[int, ...]) -> tuple[tuple[int, ...], str] | None:
    """Return number and title if a line is a heading."""
    text = line.strip()
    if is_name(text):
        return (), text.rstrip(":").capitalize() if text.isupper() else text.rstrip(":")
    match = _NUMBERED.fullmatch(text)
    if match is None or text.endswith(_END) or len(text.split()) > _MOST_WORDS:
        return None
    number = _number(match["number"])
    return (number, text) if _follows(number, last) and _is_title(match["title"]) else None


def is_name(line: str) -> bool:
    """Say whether a line is the name of a section, such as "Related Work"."""
    return line.strip().lower().rstrip(":") in _NAMES


def _number(text: str) -> tuple[int, ...]:
    """Return a number as its parts; letters, which number appendices, come after all digits."""
    head, *rest = text.split(".")
    first = int(head) if head.isdigit() else _APPENDIX + ord(head)
    return (first, *map(int, rest))


_APPENDIX = 1000
_FIRST = (1, _APPENDIX + ord("A"))


def _follows(number: tuple[int, ...], last: tuple[int, ...]) -> bool:
    """Say whether a number can come next: one deeper, or one on at any depth."""
    if number == (*last, 1) or (len(number) == 1 and number[0] in _FIRST and number > last):
        return True
    depth = len(number) - 1
    return len(last) > depth and number[:depth] == last[:depth] and number[depth] == last[depth] + 1


def _is_title(text: str) -> bool:
    """Tell a heading from a row of a table: most of it is letters."""
    letters = len(_LETTER.findall(text))
    return letters * 10 >= 6 * len(text.replace(" ", ""))
