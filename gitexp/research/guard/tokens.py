r"""Source text -> lines of tokens, without comments, blank lines and spaces.

What is left of two versions of a file that differ in layout and comments alone is the same, so a
difference of these lines is a difference of what runs. Languages are told apart by how comments
begin; a file of an unknown kind has none. Strings are one token, but for those over several lines
(a kernel in a string, say), which are taken word by word, line by line; a string that stands alone
at the head of a block is documentation and is dropped. Where indentation means something a line
has the depth of its block, however wide that is indented.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

JOINT = "\x1f"
"""Between tokens where a line is kept as one text: it is white space, so no token has it."""

_HASH = frozenset("py pyi pyx mojo rb jl r cmake mk nix tcl".split())  # noqa: SIM905
_SPACED_HASH = frozenset("sh bash zsh fish yaml yml toml cfg ini conf env gin txt".split())  # noqa: SIM905
_SLASH = frozenset(
    "c h cc hh cpp hpp cxx hxx cu cuh cl metal m mm rs go java js jsx mjs ts tsx swift kt kts scala"  # noqa: SIM905
    " cs dart php zig v sv glsl wgsl hlsl proto css scss jsonc json5".split()
)
_DASHES = frozenset("lua sql hs elm ada vhd".split())  # noqa: SIM905
_PYTHON = frozenset("py pyi pyx mojo".split())  # noqa: SIM905
_BY_INDENT = _PYTHON | {"yaml", "yml", "nim"}

_STRING = r'"(?:\\[^\n]|[^"\\\n])*"|' r"'(?:\\[^\n]|[^'\\\n])*'"
_TRIPLE = r'[rRbBfFuU]{0,2}(?:"""(?:\\.|[^\\])*?"""|' r"'''(?:\\.|[^\\])*?''')"
_NUMBER = r"(?:0[xXbBoO][\da-fA-F_]+|(?:\d[\d_]*\.?[\d_]*|\.\d+)(?:[eE][-+]?\d+)?)[A-Za-z]*"
_NAME = r"[^\W\d]\w*"
_OPERATOR = r"[-+*/%@&|^<>=!:]=|\*\*=?|//=?|->|=>|&&|\|\||<<|>>|::|\.\.\.|\S"

_COMMENTS = {
    "hash": r"#[^\n]*",
    "spaced hash": r"(?<!\S)#[^\n]*",
    "slash": r"//[^\n]*|/\*.*?(?:\*/|\Z)",
    "dashes": r"--[^\n]*",
}


def _pattern(comment: str | None, *, triple: bool) -> re.Pattern[str]:
    parts = [rf"(?P<comment>{_COMMENTS[comment]})"] if comment else []
    parts += [rf"(?P<long>{_TRIPLE})"] if triple else []
    parts += [r"(?P<end>\n)", rf"(?P<token>{_STRING}|{_NUMBER}|{_NAME}|{_OPERATOR})"]
    return re.compile("|".join(parts), re.DOTALL)


_KINDS = {
    **dict.fromkeys(_SLASH, _pattern("slash", triple=False)),
    **dict.fromkeys(_DASHES, _pattern("dashes", triple=False)),
    **dict.fromkeys(_HASH, _pattern("hash", triple=False)),
    **dict.fromkeys(_SPACED_HASH, _pattern("spaced hash", triple=False)),
    **dict.fromkeys(_PYTHON, _pattern("hash", triple=True)),
}
_NAMES = {"makefile": "mk", "dockerfile": "sh", "cmakelists.txt": "cmake", "sconstruct": "py"}
_PLAIN = _pattern(None, triple=False)

_OPENING, _CLOSING = frozenset("([{"), frozenset(")]}")
_MARKS = re.compile(r"\"\"\"|'''|/\*")
_WORDS = re.compile(rf"{_NUMBER}|\w+|\S")


class Line(NamedTuple):
    """A line of a file that holds code.

    Attributes:
        tokens: Without comments and spaces.
        indent: How far it is indented, a tabulator counting as 8.
        raw: As it is written, without white space at its ends.
        depth: Of its block; 0 in a language where braces or keywords say that.
    """

    tokens: tuple[str, ...]
    indent: int
    raw: str
    depth: int


def split_lines(path: str, content: bytes) -> list[Line]:
    """Return the lines of a file that hold code.

    A line without a mark that could open or close something over several lines is read by itself,
    and remembered: versions of a file have most lines in common.

    Args:
        path: Its name says which language it is in.
        content: Bytes that are not UTF-8 are replaced.
    """
    text = content.decode("utf-8", "replace").expandtabs(8)
    pattern = kind_of(path)
    raw = text.split("\n")
    reader = _Reader(raw, by_indent=_ending(path) in _BY_INDENT)
    at = 0
    while reader.at < len(raw):
        line = raw[reader.at]
        if _MARKS.search(line):
            at = _read_from(reader, pattern, text, at)
        else:
            at += len(line) + 1
            reader.tokens, balance = _tokens(pattern, line)
            reader.end_line(balance)
    return reader.lines


def _read_from(reader: _Reader, pattern: re.Pattern[str], text: str, at: int) -> int:
    """Read from the start of a line to the end of one; return where the next one starts."""
    for match in pattern.finditer(text, at):
        group = match.lastgroup
        if group == "token":
            reader.tokens.append(match[0])
        elif group == "long":
            reader.long_string(match[0])
        elif group == "comment":
            reader.skip(match[0])
        else:
            reader.end_line()
            return match.end()
    reader.end_line()
    return len(text) + 1


@lru_cache(maxsize=1 << 14)
def _tokens(pattern: re.Pattern[str], line: str) -> tuple[list[str], int]:
    """Return the tokens of a line, and how many brackets it leaves open."""
    found = [match[0] for match in pattern.finditer(line) if match.lastgroup == "token"]
    return found, _balance(found)


def _balance(tokens: Iterable[str]) -> int:
    return sum((token in _OPENING) - (token in _CLOSING) for token in tokens)


def kind_of(path: str) -> re.Pattern[str]:
    """Return what finds the tokens of a file of this name."""
    return _KINDS.get(_ending(path), _PLAIN)


def _ending(path: str) -> str:
    name = path.rpartition("/")[2].lower()
    return _NAMES.get(name, name.rpartition(".")[2])


class _Reader:
    """Lines as far as they are read."""

    def __init__(self, raw: Sequence[str], *, by_indent: bool) -> None:
        self.lines: list[Line] = []
        self.tokens: list[str] = []
        self.at = 0
        self._raw = raw
        self._by_indent = by_indent
        self._blocks = [0]
        self._open = 0

    def end_line(self, balance: int | None = None) -> None:
        """Take what was read for a line.

        Args:
            balance: How many brackets it leaves open, where that is known.
        """
        if self.tokens:
            raw = self._raw[self.at]
            indent = len(raw) - len(raw.lstrip())
            depth = self._depth(indent, balance) if self._by_indent else 0
            self.lines.append(Line(tuple(self.tokens), indent, raw.strip(), depth))
        self.tokens = []
        self.at += 1

    def _depth(self, indent: int, balance: int | None) -> int:
        """Return the depth of a line; one that continues a statement has that statement's."""
        blocks = self._blocks
        if self._open <= 0:
            while blocks[-1] > indent:
                blocks.pop()
            if blocks[-1] < indent:
                blocks.append(indent)
        balance = _balance(self.tokens) if balance is None else balance
        self._open = max(0, self._open + balance)
        return len(blocks) - 1

    def skip(self, text: str) -> None:
        """Pass a comment; a line goes on behind one over several lines."""
        for _ in range(text.count("\n")):
            self.end_line()

    def long_string(self, text: str) -> None:
        """Pass documentation; take another string over several lines word by word."""
        if not self.tokens and (not self.lines or self.lines[-1].tokens[-1] == ":"):
            self.skip(text)
            return
        first, *others = text.split("\n")
        self.tokens += [first] if not others else _WORDS.findall(first)
        for line in others:
            self.end_line()
            self.tokens += _WORDS.findall(line)
