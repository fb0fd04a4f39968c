"""Text of an expression -> tokens, and errors that point at a place in it.

One compiled regular expression finds every token. A whole dotted path is one token, so that
``layers.0.lr`` is a name and not a name and a number.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gitexp.errors import QueryError
from gitexp.query.names import KEYWORDS

MAX_CHARACTERS = 64 * 1024
_SHOWN = 72
_INT_DIGITS = 19
_INT_MAX = (1 << 63) - 1

# Not in names: what looks like an operator or a quote, spaces, and marks that hide or reorder.
_LOOKALIKES = {
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2260": "!=",
    "\u00d7": "*",
    "\u00f7": "/",
    "\u2212": "-",
    "\u2013": "-",
    "\u2014": "-",
    "\uff1d": "==",
    "\u201c": '"',
    "\u201d": '"',
    "\u201e": '"',
    "\u00ab": '"',
    "\u00bb": '"',
    "\u2018": "'",
    "\u2019": "'",
}
_OUTSIDE = "".join(_LOOKALIKES) + (
    "\x80-\xa0\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ud800-\udfff"
)
_LETTER = rf"(?:[A-Za-z_]|[^\x00-\x7f{_OUTSIDE}])"
_INNER = rf"(?:[A-Za-z_0-9]|[^\x00-\x7f{_OUTSIDE}])"
_QUOTED = r"`(?:[^`]|``)+`"
_DIGITS = r"[0-9](?:_?[0-9])*"
_TOKEN = re.compile(
    rf"""
    (?P<space>\s+)
  | (?P<number>(?:{_DIGITS}(?:\.(?:{_DIGITS})?)?|\.{_DIGITS})(?:[eE][-+]?{_DIGITS})?(?!{_INNER}))
  | (?P<string>[rR]?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"))
  | (?P<path>(?:{_LETTER}{_INNER}*|{_QUOTED})(?:\.(?:{_INNER}+|{_QUOTED}))*)
  | (?P<operator><=|>=|==|!=|\*\*|//|&&|\|\||<>|[-+*/<>()\[\],=!&|%.])
    """,
    re.VERBOSE | re.DOTALL,
)
_SEGMENT = re.compile(rf"{_QUOTED}|[^.`]+", re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(\n|[\\'\"abfnrtv0]))"
)
_SIMPLE = {
    "\n": "",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    "0": "\0",
}


class Source:
    """The text of an expression; it makes the errors that point into it."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def error(self, position: int, message: str, hint: str | None = None) -> QueryError:
        """Return an error whose message shows the place with a caret under it."""
        start = self.text.rfind("\n", 0, position) + 1
        end = self.text.find("\n", position)
        line = self.text[start : end if end >= 0 else None]
        shown, offset = _window(line, position - start)
        shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in shown)
        caret = " " * _width(shown[:offset]) + "^"
        error = QueryError(f"{message}\n  {shown}\n  {caret}", hint)
        error.position = position
        return error


def _window(line: str, position: int) -> tuple[str, int]:
    """Return the part of a long line around a position, and the position in that part."""
    if len(line) <= _SHOWN:
        return line, position
    start = max(0, min(position - _SHOWN // 2, len(line) - _SHOWN))
    part = line[start : start + _SHOWN]
    left = "…" if start else ""
    right = "…" if start + _SHOWN < len(line) else ""
    return f"{left}{part}{right}", position - start + len(left)


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    import unicodedata

    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) > 0 or c == "\ufe0f" for c in text)


class Token(NamedTuple):
    """A token: its kind, its value, and its place.

    Attributes:
        kind: ``number``, ``string``, ``path``, ``end``, or for an operator or keyword itself.
        value: The number, the text, or the path with its quotes taken off.
        plain: For a path: it has neither quotes nor dots.
    """

    kind: str
    value: int | float | str
    start: int
    end: int
    plain: bool = True


def tokenize(text: str) -> tuple[Source, list[Token]]:
    """Return the tokens of an expression, with an ``end`` after the last.

    Raises:
        QueryError: Something in it is no token, or it is too long.
    """
    if len(text) > MAX_CHARACTERS:
        raise QueryError(
            f"The expression has {len(text):,} characters, more than {MAX_CHARACTERS:,}.",
            "Ask for less at once.",
        )
    source = Source(text)
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise _no_token(source, position)
        position = match.end()
        if match.lastgroup != "space":
            tokens.append(_token(source, match))
    tokens.append(Token("end", "", len(text.rstrip()), len(text)))
    return source, tokens


def _token(source: Source, match: re.Match[str]) -> Token:
    kind, found = str(match.lastgroup), match[0]
    start, end = match.span()
    if kind == "number":
        return Token(kind, number(found), start, end)
    if kind == "string":
        return Token(kind, _string(source, start, found), start, end)
    if kind == "operator" or found in KEYWORDS:
        return Token(found, found, start, end)
    segments = [_bare(segment) for segment in _SEGMENT.findall(found)]
    return Token(kind, ".".join(segments), start, end, "." not in found and "`" not in found)


def _bare(segment: str) -> str:
    return segment[1:-1].replace("``", "`") if segment.startswith("`") else segment


def number(text: str) -> int | float:
    """Return a number as SQLite can hold it: an integer of 64 bits, or else a float."""
    digits = text.replace("_", "")
    if digits.isdigit() and len(digits) <= _INT_DIGITS and int(digits) <= _INT_MAX:
        return int(digits)
    return float(digits)


def _string(source: Source, start: int, literal: str) -> str:
    if literal[0] in "rR":
        value = literal[2:-1]
    else:
        value = _ESCAPE.sub(_unescape, literal[1:-1]) if "\\" in literal else literal[1:-1]
    if any("\ud800" <= c <= "\udfff" or c == "\x00" for c in value):
        raise source.error(start, "This text holds what is no character.", "Leave it out.")
    return value


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2] or match[3]
    if code is None:
        return _SIMPLE.get(match[4], match[4])
    point = int(code, 16)
    return chr(point) if point <= 0x10FFFF else "\ud800"  # noqa: PLR2004 - refused as no character


def _no_token(source: Source, position: int) -> QueryError:
    character = source.text[position]
    if character in "'\"" or source.text[position : position + 2].lower() in ("r'", 'r"'):
        return source.error(position, "The text that begins here does not end.", "Close its quote.")
    if character == "`":
        return source.error(
            position,
            "The name that begins here is empty or does not end.",
            "Write a name with odd characters as `any text`.",
        )
    if character.isascii() and character.isdigit():
        return source.error(
            position,
            "This is neither a number nor a name.",
            "Write a name that begins with a digit in backquotes: `1st loss`.",
        )
    if character in _LOOKALIKES:
        return source.error(
            position, f"{character!r} means nothing here.", f"Write {_LOOKALIKES[character]}"
        )
    return source.error(
        position,
        f"{character!r} means nothing here.",
        "Write a name with odd characters in backquotes: `any text`.",
    )
