"""Read LaTeX: the text that its reader sees, by sections, with formulas as they were written.

This is no TeX: it takes comments and the preamble away, knows what the usual commands do to the
text (`gitexp.papers.tex_words`), puts in macros without arguments that the paper defines, and of
a command that it does not know keeps the arguments. Each character is looked at a bounded number
of times, whatever the file holds.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from gitexp.papers.document import Reading, Section, one_line
from gitexp.papers.tex_words import (
    ACCENTS,
    ARGUMENTS_LEFT_OUT,
    CLOSING,
    LEFT_OUT,
    MATH,
    SECTIONS,
    SHOWN,
    VERBATIM,
    WITH_ARGUMENT,
)

_COMMENT = re.compile(r"(?<!\\)((?:\\\\)*)%[^\n]*")
_COMMENT_LINE = re.compile(r"(?m)^[ \t]*%[^\n]*\n")
_VERBATIM_PERCENT = re.compile(rf"\\begin\{{(?:{'|'.join(sorted(VERBATIM))})\*?\}}")
_MACRO = re.compile(
    r"\\(?:(?:re|provide)?newcommand|renewcommand|providecommand|def)\*?\s{0,4}"
    r"(?:\{\\(?P<braced>[A-Za-z]{1,40})\}|\\(?P<bare>[A-Za-z]{1,40}))\s{0,4}(?P<open>\{)"
)
_TOKEN = re.compile(r"\\(?P<command>[A-Za-z]+|.|$)|\$\$?|[{}~&]|``|''|---?", re.DOTALL)
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_DOLLAR = re.compile(r"(?<!\\)\$")
_OPTION = re.compile(r"\*?[ \t]{0,8}(?:\n[ \t]{0,8})?\[")
_SPACE = re.compile(r"[ \t]{0,80}(?:\n[ \t]{0,80})?")
_BLANK_LINES = re.compile(r"[ \t]*\n(?:[ \t]*\n)+[ \t]*")
_BLANKS = re.compile(r"[ \t]+")
_AND = re.compile(r"\\(?:and|And|AND|quad|qquad)\b|,(?![^{}]{0,200}\})")
_PLAIN = {"~": " ", "&": " ", "``": "“", "''": "”", "--": "\u2013", "---": "—"}
_MAX_ARGUMENT = 20_000
_MAX_MACRO = 500
_MAX_MACROS = 2_000
_MATH_END = {"(": "\\)", "[": "\\]"}


def read_tex(text: str) -> Reading:
    r"""Return what a LaTeX file says, one whose ``\input`` is resolved."""
    source = without_comments(text.replace("\r\n", "\n"))
    preamble, begin, body = source.partition("\\begin{document}")
    if not begin:
        preamble, body = "", source
    body = body.partition("\\end{document}")[0]
    macros = _macros(preamble + body)
    reader = _Reader(body, macros)
    sections = reader.read()
    abstract = next((s.text for s in sections if s.title == "Abstract"), None)
    return Reading(
        title=_argument_of("title", source, macros),
        authors=_authors(source, macros),
        abstract=abstract,
        sections=tuple(sections),
    )


def without_comments(text: str) -> str:
    r"""Return a source without its comments and what ``\iffalse`` hides; code keeps its ``%``."""
    made: list[str] = []
    position = 0
    for match in _VERBATIM_PERCENT.finditer(text):
        if match.start() < position:
            continue
        end = text.find("\\end{", match.end())
        if end < 0:
            break
        made += [_uncommented(text[position : match.start()]), text[match.start() : end]]
        position = end
    made.append(_uncommented(text[position:]))
    return _without_hidden("".join(made))


def _uncommented(text: str) -> str:
    return _COMMENT.sub(r"\1", _COMMENT_LINE.sub("", text))


def _without_hidden(text: str) -> str:
    made: list[str] = []
    position = 0
    while (start := text.find("\\iffalse", position)) >= 0:
        end = text.find("\\fi", start + len("\\iffalse"))
        if end < 0:
            break
        made.append(text[position:start])
        position = end + len("\\fi")
    return "".join([*made, text[position:]])


def _macros(text: str) -> dict[str, str]:
    """Return what the macros without arguments stand for, as the text that they show."""
    found: dict[str, str] = {}
    pairs = _brace_pairs(text)
    for match in _MACRO.finditer(text):
        value = _braced(text, match.start("open"), pairs, _MAX_MACRO)
        if value is not None and len(found) < _MAX_MACROS and "#" not in value:
            found[match["braced"] or match["bare"]] = value
    return {name: _plain(value, {}) for name, value in found.items()}


def _brace_pairs(text: str) -> dict[int, int]:
    """Return where each brace that opens is closed; one pass, so that no argument costs more."""
    pairs: dict[int, int] = {}
    opened: list[int] = []
    for match in _BRACE.finditer(text):
        if match[0] == "{":
            opened.append(match.start())
        elif match[0] == "}" and opened:
            pairs[opened.pop()] = match.start()
    return pairs


def _braced(
    text: str, start: int, pairs: Mapping[int, int], most: int = _MAX_ARGUMENT
) -> str | None:
    """Return what is in the braces that open at ``start``; None where they do not end in time."""
    end = pairs.get(start)
    return None if end is None or end - start > most else text[start + 1 : end]


def _plain(text: str, macros: Mapping[str, str]) -> str:
    """Return a short piece of TeX as one line."""
    return one_line(" ".join(part.text for part in _Reader(text, macros, inline=True).read()))


def _argument_of(command: str, source: str, macros: Mapping[str, str]) -> str:
    """Return the argument of the first command of a name, as one line."""
    argument = _raw_argument(command, source)
    return _plain(argument, macros) if argument else ""


def _raw_argument(command: str, source: str) -> str | None:
    match = re.search(rf"\\{command}\s{{0,4}}(?:\[[^\[\]]{{0,300}}\])?\s{{0,4}}\{{", source)
    return None if match is None else _braced(source, match.end() - 1, _brace_pairs(source))


def _authors(source: str, macros: Mapping[str, str]) -> tuple[str, ...]:
    """Return the names of the authors: the first line of each, without affiliations."""
    names: list[str] = []
    for each in _AND.split(_raw_argument("author", source) or ""):
        name = _plain(each.partition("\\\\")[0], macros)
        if name and not any(character.isdigit() or character == "@" for character in name):
            names.append(name)
    return tuple(names)


class _Reader:
    """Goes through the body of a paper once.

    Args:
        inline: It is a title or a name: sections and environments do nothing.
    """

    def __init__(self, text: str, macros: Mapping[str, str], *, inline: bool = False) -> None:
        self._text = text
        self._pairs = _brace_pairs(text)
        self._macros = macros
        self._inline = inline
        self._position = 0
        self._words: list[str] = []
        self._title = ""
        self._closers: list[str] = []
        self._closer = ""
        self._endless: set[str] = set()
        self._sections: list[Section] = []

    def read(self) -> list[Section]:
        """Return the sections."""
        while (match := _TOKEN.search(self._text, self._position)) is not None:
            self._words.append(self._text[self._position : match.start()])
            self._position = match.end()
            if match["command"] is not None:
                self._command(match["command"])
            else:
                self._sign(match[0])
        self._words.append(self._text[self._position :])
        self._start("")
        return self._sections

    def _start(self, title: str) -> None:
        """End the section before, and start one."""
        text = _BLANK_LINES.sub("\n\n", _BLANKS.sub(" ", "".join(self._words)))
        if text.strip():
            self._sections.append(Section(self._title, text.strip()))
        self._title, self._words = title, []

    def _sign(self, sign: str) -> None:
        """Do what a character that is not itself does."""
        if sign == "{":
            self._closers.append(self._closer)
            self._closer = ""
        elif sign == "}":
            self._words.append(self._closers.pop() if self._closers else "")
        elif sign[0] == "$":
            self._math(sign)
        else:
            self._words.append(_PLAIN[sign])

    def _math(self, sign: str) -> None:
        """Keep a formula as it is; a dollar alone is a dollar."""
        match = _DOLLAR.search(self._text, self._position)
        end = len(self._text) if match is None else match.start()
        if match is None:
            self._words.append(sign)
            return
        self._words.append(f"{sign}{self._text[self._position : end]}{sign}")
        self._position = min(end + len(sign), len(self._text))

    def _command(self, name: str) -> None:
        if name in _MATH_END:
            self._raw(_MATH_END[name], "$", "$")
        elif name in ("begin", "end"):
            self._environment(name)
        elif name in SECTIONS and not self._inline:
            self._section()
        elif name == "verb":
            self._verb()
        elif name in self._macros:
            self._words.append(self._macros[name])
        elif name in ARGUMENTS_LEFT_OUT:
            self._leave_out(name)
        elif name in ACCENTS and self._accent(name):
            pass
        else:
            self._show(name)

    def _show(self, name: str) -> None:
        """Put in what a command shows; of one that is not known its arguments show."""
        if not name.isalpha():
            self._words.append(SHOWN.get(name, name))
            return
        self._skip_options()
        space = _SPACE.match(self._text, self._position)
        after = self._position if space is None else space.end()
        has_argument = self._text.startswith("{", after)
        if has_argument:
            self._position = after
            self._closer = CLOSING.get(name, "")
        if has_argument or name not in CLOSING:
            self._words.append(SHOWN.get(name, ""))

    def _section(self) -> None:
        self._skip_options()
        title = self._argument()
        if title is not None:
            self._start(_plain(title, self._macros))

    def _environment(self, command: str) -> None:
        name = (self._argument() or "").rstrip("*")
        if command == "end" or self._inline:
            if name == "abstract" and not self._inline:
                self._start("")
            self._words.append("\n\n")
            return
        end = f"\\end{{{name}"
        if name in MATH:
            self._raw(end, "\n\n$$", "$$\n\n")
        elif name in VERBATIM:
            self._raw(end, "\n\n", "\n\n")
        elif name in LEFT_OUT:
            self._raw(end, None, "")
        elif name == "abstract":
            self._start("Abstract")
        else:
            self._words.append("\n\n")
            self._skip_options()
            if name in WITH_ARGUMENT:
                self._argument()

    def _raw(self, end: str, before: str | None, after: str) -> None:
        """Take what goes to ``end`` as it is; ``before`` None: leave it out.

        Where the end is missing nothing happens, and it is not looked for again.
        """
        found = -1 if end in self._endless else self._text.find(end, self._position)
        if found < 0:
            self._endless.add(end)
            return
        if before is not None:
            self._words += [before, self._text[self._position : found].strip(), after]
        self._position = found + len(end)
        if end.startswith("\\end{"):
            closing = self._text.find("}", self._position, self._position + 2)
            self._position = closing + 1 if closing >= 0 else self._position

    def _verb(self) -> None:
        sign = self._text[self._position : self._position + 1]
        end = self._text.find(sign, self._position + 1, self._position + _MAX_MACRO) if sign else -1
        if end >= 0:
            self._words.append(self._text[self._position + 1 : end])
            self._position = end + 1

    def _leave_out(self, name: str) -> None:
        """Go on after a command, its options, and those of its arguments that are not shown."""
        for _ in range(ARGUMENTS_LEFT_OUT[name]):
            self._skip_options()
            if self._argument() is None:
                return
            self._skip_options()

    def _accent(self, name: str) -> bool:
        """Put a mark on the next letter; False where none follows."""
        match = re.compile(r"[ ]?(?:\{\\?([A-Za-z])\}|\\?([A-Za-z]))").match(
            self._text, self._position
        )
        if match is None:
            return False
        letter = match[1] or match[2]
        self._words.append(unicodedata.normalize("NFC", letter + ACCENTS[name]))
        self._position = match.end()
        return True

    def _skip_options(self) -> None:
        """Go on after a star and what is in brackets."""
        if self._text.startswith("*", self._position):
            self._position += 1
        while (match := _OPTION.match(self._text, self._position)) is not None:
            end = self._text.find("]", match.end(), match.end() + _MAX_MACRO)
            if end < 0:
                return
            self._position = end + 1

    def _argument(self) -> str | None:
        """Return the next argument, and go on after it; None where none follows."""
        space = _SPACE.match(self._text, self._position)
        start = self._position if space is None else space.end()
        if self._text.startswith("\\", start):  # \def\name{…}, \newcommand\name{…}
            match = _TOKEN.match(self._text, start)
            self._position = start if match is None else match.end()
            return ""
        if not self._text.startswith("{", start):
            return None
        found = _braced(self._text, start, self._pairs)
        if found is not None:
            self._position = start + len(found) + 2
        return found
