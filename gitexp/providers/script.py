"""A scripted provider: proposals that stand in a file, one JSON object a line.

It is what shows the loop without a model: for tests, and for the example. Each line has ``title``
and ``edits`` (``path``, ``search``, ``replace``), and may have ``hypothesis``, ``cites`` and
``predicted``. It is given in the form that models answer in (`gitexp.providers.reply`); a line
that is no such object is given as it is, which shows what becomes of an answer that cannot be
read. Nothing is sent anywhere, and nothing costs anything.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from gitexp.errors import GitexpError
from gitexp.providers.port import ExhaustedError, Reply, Request, Tokens

MAX_SCRIPT_BYTES = 64 << 20


class _Change(msgspec.Struct):
    path: str
    replace: str
    search: str = ""


class _Entry(msgspec.Struct):
    """A line of a script."""

    title: str
    edits: list[_Change]
    hypothesis: str = ""
    cites: list[str] = []
    predicted: float | None = None


class ScriptProvider:
    """Gives the lines of a file as its answers, one after the other.

    Attributes:
        name: ``script``.
        model: The file's name.
        keys: None are needed.
    """

    name = "script"
    keys: tuple[str, ...] = ()

    def __init__(self, path: Path, *, start: int = 0) -> None:
        """Read the file.

        Args:
            path: Its lines; empty ones do not count.
            start: How many of them have been given before, in an earlier sitting of a session.

        Raises:
            GitexpError: The file cannot be read, or is too large.
        """
        self.model = path.name
        self._lines = _read(path)
        self._next = start

    def ask(self, request: Request) -> Reply:  # noqa: ARG002 - a script does not listen
        """Return the next line.

        Raises:
            ExhaustedError: There is none.
        """
        if self._next >= len(self._lines):
            raise ExhaustedError(f"The script {self.model} has no more proposals.")
        line = self._lines[self._next]
        self._next += 1
        return Reply(_answer(line), Tokens(0, 0), self.model, 0.0)


def _read(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SCRIPT_BYTES + 1)
    except OSError as error:
        raise GitexpError(f"The script {path} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_SCRIPT_BYTES:
        raise GitexpError(f"The script {path} is larger than 64 MiB.")
    lines = content.decode("utf-8", "replace").split("\n")
    return [line.strip() for line in lines if line.strip()]


def _answer(line: str) -> str:
    """Return a line in the form that models answer in."""
    try:
        entry = msgspec.json.decode(line, type=_Entry)
    except (msgspec.MsgspecError, RecursionError):
        return line
    predicted = "" if entry.predicted is None else f"{entry.predicted:g}"
    header = [
        f"title: {_in_one_line(entry.title)}",
        f"hypothesis: {_in_one_line(entry.hypothesis)}",
        f"cites: {', '.join(map(_in_one_line, entry.cites))}",
        f"predicted: {predicted}",
    ]
    return "\n".join(header + [_edit(change) for change in entry.edits]) + "\n"


def _in_one_line(text: str) -> str:
    return " ".join(text.split())


def _edit(change: _Change) -> str:
    before, after = (_lines(text) for text in (change.search, change.replace))
    marks = "<<<<<<< SEARCH", "=======", ">>>>>>> REPLACE"
    return f"\nFILE: {_in_one_line(change.path)}\n{marks[0]}\n{before}{marks[1]}\n{after}{marks[2]}"


def _lines(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"
