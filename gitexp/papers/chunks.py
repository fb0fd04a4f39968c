"""Cut a text into passages of some 200 to 400 words, at the borders of paragraphs.

A passage is what a search finds and what a person or an agent is shown, so it lies within one
section. A paragraph that is too long is cut between sentences, else between lines or words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import xxhash

from gitexp.light import NamedTuple
from gitexp.papers.document import Section
from gitexp.records.library import MAX_EXCERPT

LEAST_WORDS = 200
USUAL_WORDS = 300
MOST_WORDS = 400
MOST_CHARACTERS = 4_000
"""Of one passage, where words do not end."""
_BETWEEN = "\n\n"

_PARAGRAPH = re.compile(r"\n[ \t]*\n\s*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z(\[\"'“])|\n")
_WORD = re.compile(r"\S+")
_BLANKS = re.compile(r"\s+")

Span = tuple[int, int]


class Cut(NamedTuple):
    """A passage that was cut out of a document.

    Attributes:
        section: Title of its section.
        span: Where it stands in the full text.
        symbols: Those of its section that occur in it.
    """

    section: str
    span: Span
    text: str
    symbols: tuple[str, ...]


def full_text(sections: Sequence[Section]) -> str:
    """Return the full text of a document: each section with its title before it."""
    return _BETWEEN.join(_with_title(section) for section in sections)


def _with_title(section: Section) -> str:
    return f"{section.title}{_BETWEEN}{section.text}" if section.title else section.text


def cut(sections: Sequence[Section]) -> Iterator[Cut]:
    """Yield the passages of a document in their order."""
    offset = 0
    for section in sections:
        whole = _with_title(section)
        start = offset + len(whole) - len(section.text)
        for first, end in spans(section.text):
            text = section.text[first:end]
            span = (start + first, start + end)
            yield Cut(section.title, span, text, _within(section.symbols, text))
        offset += len(whole) + len(_BETWEEN)


def _within(symbols: Sequence[str], text: str) -> tuple[str, ...]:
    words = set(re.findall(r"\w+", text)) if symbols else set()
    return tuple(symbol for symbol in symbols if set(symbol.split(".")) <= words)


def spans(text: str) -> list[Span]:
    """Return where the passages of a text stand; what lies between them is blank."""
    found: list[Span] = []
    counts: list[int] = []
    for span in _pieces(text):
        words = len(text[slice(*span)].split())
        if found and _belongs(text, found[-1], counts[-1], span, words):
            found[-1] = (found[-1][0], span[1])
            counts[-1] += words
        else:
            found.append(span)
            counts.append(words)
    return found


def _belongs(text: str, last: Span, count: int, span: Span, words: int) -> bool:
    """Say whether a piece goes to the passage before it."""
    if span[1] - last[0] > MOST_CHARACTERS:
        return False
    is_end = not text[span[1] :].strip() and words < LEAST_WORDS // 4
    most = MOST_WORDS if count < LEAST_WORDS or is_end else USUAL_WORDS
    return count + words <= most


def _pieces(text: str) -> Iterator[Span]:
    """Yield paragraphs, and parts of those that are too long."""
    for span in _split(text, (0, len(text)), _PARAGRAPH):
        if _fits(text, span):
            yield span
            continue
        for part in _split(text, span, _SENTENCE):
            yield from [part] if _fits(text, part) else _by_words(text, part)


def _fits(text: str, span: Span) -> bool:
    long = span[1] - span[0] > MOST_CHARACTERS
    return not long and len(text[slice(*span)].split()) <= MOST_WORDS


def _split(text: str, span: Span, between: re.Pattern[str]) -> Iterator[Span]:
    """Yield the parts of a span, without blanks around them."""
    start, end = span
    for match in between.finditer(text, start, end):
        yield from _trimmed(text, start, match.start())
        start = match.end()
    yield from _trimmed(text, start, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    part = text[start:end]
    left = len(part) - len(part.lstrip())
    if left < len(part):
        yield start + left, start + len(part.rstrip())


def _by_words(text: str, span: Span) -> Iterator[Span]:
    """Yield parts of at most so many words, and a word that never ends in pieces."""
    start, end, count = -1, -1, 0
    for match in _WORD.finditer(text, *span):
        if count and (count == USUAL_WORDS or match.end() - start > MOST_CHARACTERS):
            yield start, end
            count = 0
        start = start if count else match.start()
        end, count = match.end(), count + 1
        while end - start > MOST_CHARACTERS:
            yield start, start + MOST_CHARACTERS
            start += MOST_CHARACTERS
    if count and end > start:
        yield start, end


def excerpt(text: str) -> str:
    """Return the beginning of a passage in one line of at most `MAX_EXCERPT` characters."""
    line = _BLANKS.sub(" ", text[: MAX_EXCERPT * 4]).strip()
    if len(line) <= MAX_EXCERPT:
        return line
    whole = line[: MAX_EXCERPT - 1]
    head, blank, _ = whole.rpartition(" ")
    return f"{head if blank and len(head) > MAX_EXCERPT // 2 else whole}…"


def digest(text: str) -> str:
    """Return the xxh3-128 of a text as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(text.encode("utf-8", "surrogatepass"))
