"""Make the edits of a proposal in a worktree: all of them, or none.

What an edit searches for is taken by whole lines and must occur exactly once. Nothing is written
through a link, and nothing that may not change. Files are read once, changed in memory, and
written when every edit fits.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from gitexp.loop.cage.limits import Limits, is_plain
from gitexp.providers.reply import Edit

MAX_FILE_BYTES = 4 << 20
"""Larger files are not edited: they are data."""

_SHOWN = 80
_MOST_PLACES = 20


def apply_edits(folder: Path, edits: Sequence[Edit], limits: Limits) -> list[str]:
    """Make all edits in their order, or none of them.

    Args:
        folder: Top of the worktree.
        edits: What to change.
        limits: What may change.

    Returns:
        Why they were not made, a sentence for each edit that does not fit; nothing if they were.
    """
    drafts: dict[str, _File] = {}
    problems = []
    for edit in edits:
        try:
            if edit.path not in drafts:
                drafts[edit.path] = _File(folder, edit.path, limits)
            drafts[edit.path].apply(edit)
        except _MisfitError as error:
            problems.append(str(error))
    if problems:
        return list(dict.fromkeys(problems))
    try:
        for draft in drafts.values():
            draft.write()
    except OSError as error:
        for draft in drafts.values():
            draft.restore()
        return [f"The edits could not be written: {error.strerror}."]
    return []


class _MisfitError(Exception):
    """An edit cannot be made; the text is a sentence that says why."""


class _File:
    """A file that is being edited, in memory."""

    def __init__(self, folder: Path, path: str, limits: Limits) -> None:
        self._name = _printable(path)
        self._place = folder / path
        self._require_allowed(path, limits)
        self._require_real_folders(folder)
        self._before = self._read()
        text = (self._before or b"").decode("utf-8", "surrogateescape")
        self._ends = "\r\n" if "\r\n" in text and text.count("\r\n") == text.count("\n") else "\n"
        self._is_new = self._before is None
        self._lines = _lines(text.replace("\r\n", "\n") if self._ends == "\r\n" else text)

    def _require_allowed(self, path: str, limits: Limits) -> None:
        if not is_plain(path):
            raise _MisfitError(f"{self._name} is not a path inside of the project.")
        if limits.protects(path):
            raise _MisfitError(f"{self._name} is protected and may not be changed.")
        if not limits.permits(path):
            raise _MisfitError(f"{self._name} is not among the files that may be changed.")

    def _require_real_folders(self, folder: Path) -> None:
        """Check that no folder on the way is a link or a file."""
        try:
            relative = self._place.parent.relative_to(folder)
        except ValueError:
            raise _MisfitError(f"{self._name} is not a path inside of the project.") from None
        place = folder
        for part in relative.parts:
            place /= part
            mode = _mode(place)
            if mode is None:
                return
            if not stat.S_ISDIR(mode):
                raise _MisfitError(f"{self._name} is in something that is no folder.")

    def _read(self) -> bytes | None:
        """Return the content; None where there is no such file."""
        try:
            found = self._place.lstat()
            if not stat.S_ISREG(found.st_mode):
                raise _MisfitError(f"{self._name} is not a file.")
            if found.st_size > MAX_FILE_BYTES:
                raise _MisfitError(f"{self._name} is larger than 4 MiB.")
            return self._place.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise _MisfitError(f"{self._name} cannot be read: {error.strerror}.") from error
        except ValueError:
            raise _MisfitError(f"{self._name} is not a path inside of the project.") from None

    def apply(self, edit: Edit) -> None:
        """Make one edit in memory."""
        search = _lines(edit.search)
        if not search:
            self._create(edit)
        elif self._is_new:
            raise _MisfitError(f"There is no file {self._name}.")
        else:
            place = self._place_of(search)
            self._lines[place : place + len(search)] = _lines(edit.replace)
        if sum(map(len, self._lines)) > MAX_FILE_BYTES:
            raise _MisfitError(f"{self._name} would become larger than 4 MiB.")

    def _create(self, edit: Edit) -> None:
        if self._lines:
            raise _MisfitError(
                f"{self._name} exists already: quote the lines that are to be replaced."
            )
        self._lines = _lines(edit.replace)
        self._is_new = False

    def _place_of(self, search: Sequence[str]) -> int:
        """Return where the only occurrence of lines begins."""
        found = _places(self._lines, search)
        if len(found) == 1:
            return found[0]
        if found:
            numbers = ", ".join(str(place + 1) for place in found[:5])
            raise _MisfitError(
                f"The quoted lines occur more than once in {self._name} (at lines {numbers}): "
                f"quote more, so that the place is the only one."
            )
        raise _MisfitError(
            f"The quoted lines are not in {self._name}{_where(self._lines, search)}."
        )

    def write(self) -> None:
        """Put the file into the worktree; its mode stays."""
        self._place.parent.mkdir(parents=True, exist_ok=True)
        text = self._ends.join([*self._lines, ""])
        self._put(text.encode("utf-8", "surrogateescape"))

    def _put(self, content: bytes) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._place, flags, 0o666), "wb") as file:
            file.write(content)

    def restore(self) -> None:
        """Put back what was there, after a failure: a disk that is full takes what it had."""
        if self._before is None:
            self._place.unlink(missing_ok=True)
        else:
            self._put(self._before)


def _lines(text: str) -> list[str]:
    """Return the lines of a text; a last one that does not end counts as one that does."""
    return text.removesuffix("\n").split("\n") if text else []


def _places(lines: Sequence[str], search: Sequence[str]) -> list[int]:
    """Return where lines begin that are the quoted ones; they may overlap."""
    text, wanted = "\n".join(["", *lines, ""]), "\n".join(["", *search, ""])
    found: list[int] = []
    line, place = 0, text.find(wanted)
    counted = 0
    while place >= 0 and len(found) < _MOST_PLACES:
        line += text.count("\n", counted, place)
        counted = place
        found.append(line)
        place = text.find(wanted, place + 1)
    return found


def _where(lines: Sequence[str], search: Sequence[str]) -> str:
    """Return at which quoted line the file begins to differ, as the end of a sentence."""
    starts = [place for place, line in enumerate(lines) if line == search[0]][:_MOST_PLACES]
    common = [(_common(lines[place : place + len(search)], search), place) for place in starts]
    if common:
        same, place = max(common)
        return f": the first {same} fit, then line {place + same + 1} of the file differs"
    if search[0].strip() in {text.strip() for text in lines}:
        return ": only the spaces of the first differ"
    return f": there is no line {_printable(search[0].strip())[:_SHOWN]!r}"


def _common(some: Sequence[str], others: Sequence[str]) -> int:
    """Return how many lines are the same from the beginning on."""
    pairs = enumerate(zip(some, others, strict=False))
    return next((i for i, (one, other) in pairs if one != other), min(len(some), len(others)))


def _mode(place: Path) -> int | None:
    try:
        return place.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return 0


def _printable(text: str) -> str:
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return shown[: 4 * _SHOWN]
