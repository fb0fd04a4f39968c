"""Results that a command leaves behind: a sidecar file, a final block of output, a traceback.

A program needs no library of ours to hand over its results: it writes a JSON object to the file
that the environment names, or ends its output with a line ``---`` and lines ``key: value``.
Both are taken only when they are certainly this run's: a file that was there before is stale,
and lines that merely look like metrics are text.

What a program prints is foreign data. It is bounded, and control characters are taken out of
what is kept of it.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import stat
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from time import time_ns
from types import TracebackType
from typing import Any, Self

import xxhash

from gitexp.errors import GitexpWarning, UsageError
from gitexp.records.facts import Failure

_HONOURED = "AUTORESEARCH_SUMMARY_PATH"
_OURS = "GITEXP_SUMMARY"
_NONCE = "GITEXP_NONCE"

_MAX_SIDECAR_BYTES = 1 << 20
_MAX_DEPTH = 64
_CLOCK_NS = 2_000_000_000
"""How far the clock of a file system may be behind ours (FAT counts in steps of 2 s)."""

_MAX_TAIL_LINES = 40
_MAX_TAIL_BYTES = 4 << 10


# The sidecar file


@dataclass(frozen=True)
class _Sight:
    """What identifies the content of a file at a moment."""

    inode: int
    mtime_ns: int
    digest: str


class Sidecar:
    """A file through which a command hands over its results. Use it as a context manager.

    The path is a fresh private one, unless the user's environment already names one in
    ``AUTORESEARCH_SUMMARY_PATH``: the program may have that wired in, so it is honoured. A path
    that an enclosing gitexp made for its own run is not.

    Args:
        environment: The variables that the command would have without us.
        cwd: The folder that the command runs in, for a path that is relative.

    Attributes:
        path: Where the command is asked to write.
        nonce: What proves that a file is this run's, when the program copies it.
    """

    def __init__(self, environment: Mapping[str, str], cwd: Path) -> None:
        self.nonce = secrets.token_hex(16)
        named = environment.get(_HONOURED, "")
        self._honoured = bool(named) and named != environment.get(_OURS)
        self._folder: str | None = None
        self.path = cwd / named

    def __enter__(self) -> Self:
        if not self._honoured:
            self._folder = tempfile.mkdtemp(prefix="gitexp-")
            self.path = Path(self._folder, "summary.json")
        self._started_ns = time_ns()
        self._before = self._look()[0]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def variables(self) -> dict[str, str]:
        """What to add to the environment of the command."""
        return {_HONOURED: str(self.path), _OURS: str(self.path), _NONCE: self.nonce}

    def read(self) -> dict[str, Any] | None:
        """Return what the command left, without the nonce; None when it left nothing.

        A file that the command wrote and that cannot be taken costs a `GitexpWarning` that
        says why.
        """
        sight, content = self._look()
        if sight is None or sight == self._before:
            return None
        data = _decode(content) if content is not None else None
        problem = None
        if content is None:
            problem = "is not a file or is larger than 1 MiB"
        elif data is None:
            problem = "does not hold a JSON object that can be kept"
        elif data.get("nonce", self.nonce) != self.nonce:
            problem = "carries the nonce of another run"
        elif "nonce" not in data and sight.mtime_ns < self._started_ns - _CLOCK_NS:
            problem = "is older than the run"
        if data is None or problem:
            _warn_of(self.path, problem)
            return None
        data.pop("nonce", None)
        return data

    def _look(self) -> tuple[_Sight | None, bytes | None]:
        """Return what is at the path, and its content if that can be a summary."""
        try:
            status = self.path.stat()
            content = None
            if stat.S_ISREG(status.st_mode) and status.st_size <= _MAX_SIDECAR_BYTES:
                content = self.path.read_bytes()
        except OSError:
            return None, None  # nothing there, or nothing that we may read
        digest = xxhash.xxh3_128_hexdigest(content or b"")
        return _Sight(status.st_ino, status.st_mtime_ns, digest), content


def _warn_of(path: Path, problem: str | None) -> None:
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    message = f"The summary file {shown} {problem}; it is not recorded."
    warnings.warn(message, GitexpWarning, stacklevel=3)


def _decode(content: bytes) -> dict[str, Any] | None:
    """Return a JSON object; NaN and infinities are read as Python programs write them."""
    try:
        data = json.loads(content)
        json.dumps(data, ensure_ascii=False).encode()  # a lone surrogate is no text
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) and _depth_within(data, _MAX_DEPTH) else None


def _depth_within(value: object, levels: int) -> bool:
    if not isinstance(value, dict | list):
        return True
    inner = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_depth_within(item, levels - 1) for item in inner)


# The final block of output

_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # OSC: titles, links
    r"|[ -/]*[0-Z\\^-~])"  # the others
)
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PAIR = re.compile(r"(?P<key>[A-Za-z_][A-Za-z0-9_./-]*)\s*:\s+(?P<value>\S.*)")
_INTEGER = re.compile(r"[+-]?[0-9]{1,300}")
_FLOAT = re.compile(
    r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?|nan|inf|infinity)", re.IGNORECASE
)

Scalar = int | float | str


def parse_summary(log: bytes, pattern: str | None = None) -> dict[str, Scalar]:
    """Return the results that a command printed.

    Without a pattern: the lines ``key: value`` after the last line that is ``---``. Empty lines
    may follow the ``---``; the block ends at the first line of another form, an empty one
    included. A key begins in the first column with a letter or ``_`` and goes on with letters,
    digits and ``_ . / -``. Without a line ``---`` nothing is taken.

    With a pattern: every match on any line counts, and the last value of a key stays.

    Args:
        log: The output of the command. Colours are ignored; of a line that was drawn over
            with carriage returns the last state counts for the block, each for a pattern.
        pattern: A Python regular expression with the groups ``key`` and ``value``, or with
            groups whose names are the keys.

    Returns:
        Values by key: numbers as int or float (``nan`` and ``inf`` too), the rest as text.

    Raises:
        UsageError: The pattern is no regular expression or has no named group.
    """
    pairs = _block(log) if pattern is None else _matches(log, _compile(pattern))
    return {key: _number(value.strip()) for key, value in pairs}


def _block(log: bytes) -> Iterator[tuple[str, str]]:
    lines = _lines(log)
    fences = [index for index, line in enumerate(lines) if line.rstrip() == "---"]
    if not fences:
        return
    start = fences[-1] + 1
    while start < len(lines) and not lines[start].strip():
        start += 1
    for line in lines[start:]:
        found = _PAIR.fullmatch(line.rstrip())
        if found is None:
            return
        yield found["key"], found["value"]


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern, re.MULTILINE)
    except re.error as error:
        raise UsageError(
            f"The summary pattern is not a regular expression: {error}.",
            r"An example that works is '^(?P<key>\w+)=(?P<value>\S+)$'.",
        ) from error
    if not compiled.groupindex:
        raise UsageError(
            "The summary pattern has no named group.",
            r"Name what it finds, as in 'accuracy is (?P<accuracy>\S+)'.",
        )
    return compiled


def _matches(log: bytes, pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    text = _plain(log).replace("\r", "\n")
    for found in pattern.finditer(text):
        groups = {name: value for name, value in found.groupdict().items() if value is not None}
        if pattern.groupindex.keys() >= {"key", "value"}:
            groups = {groups["key"]: groups["value"]} if len(groups) > 1 else {}
        for name, value in groups.items():
            yield _CONTROLS.sub("", name), _CONTROLS.sub("", value)


def _number(text: str) -> Scalar:
    if _INTEGER.fullmatch(text):
        integer = int(text)
        return integer if -(2**63) <= integer < 2**64 else float(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _plain(output: bytes) -> str:
    """Return output as text without colours and cursor movements; line ends are newlines."""
    return _ESCAPES.sub("", output.decode("utf-8", "replace")).replace("\r\n", "\n")


def _lines(output: bytes) -> list[str]:
    """Return the lines of output as a terminal shows them in the end."""
    # A carriage return begins the line anew: what counts is the last text written in it.
    drawn = (line.rstrip("\r").rpartition("\r")[2] for line in _plain(output).split("\n"))
    return [_CONTROLS.sub("", line) for line in drawn]


# Why it failed

_HEADER = re.compile(
    r"(?P<rank>\[[^\]]*\]:? |)(?:Traceback|  \+ Exception Group Traceback) "
    r"\(most recent call last\):"
)
_FRAME = re.compile(r'  File ".*", line \d+')
_EXCEPTION = re.compile(r"(?P<type>[^\s:]+)(?:: ?(?P<message>.*))?")


def parse_failure(tail: bytes, exit_code: int) -> Failure | None:
    """Return why a command failed, as far as the end of its output tells.

    The type is that of the exception whose traceback came last; without a traceback the name
    of the signal that ended the command (also where a shell in between turned it into an exit
    code above 128); else ``exit code N``, with the last line of output as the message.

    Args:
        tail: The last bytes of the output.
        exit_code: Of the command, negative for a signal.

    Returns:
        The failure, with at most 40 lines and 4 KiB of output; None for exit code 0.
    """
    if exit_code == 0:
        return None
    lines = _lines(tail)
    kept = _last_lines(lines)
    exception = _last_exception(lines)
    if exception is not None:
        return Failure(*exception, tail=kept)
    name = _signal_name(exit_code)
    if name is not None:
        return Failure(name, f"The command was ended by {name}.", tail=kept)
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return Failure(f"exit code {exit_code}", last, tail=kept)


def _last_lines(lines: list[str]) -> str:
    text = "\n".join(lines).rstrip()
    text = "\n".join(text.split("\n")[-_MAX_TAIL_LINES:])
    return text.encode()[-_MAX_TAIL_BYTES:].decode("utf-8", "ignore")


def _signal_name(exit_code: int) -> str | None:
    try:
        return signal.Signals(-exit_code if exit_code < 0 else exit_code - 128).name
    except ValueError:
        return None


def _last_exception(lines: list[str]) -> tuple[str, str] | None:
    """Return type and message of the exception that was reported last.

    A SyntaxError in the program itself is reported without a header; neither has a traceback
    one when it is longer than the tail. Both have a line that names a file.
    """
    body = _last_report(lines)
    at = next((i for i, line in enumerate(body) if line and not line.startswith(" ")), None)
    if at is None:
        return None
    found = _EXCEPTION.fullmatch(body[at])
    if found is None:
        return None
    message = [found["message"] or ""]
    for line in body[at + 1 :]:
        if not line.strip():
            break
        message.append(line)
    return found["type"], "\n".join(message).rstrip()


def _last_report(lines: list[str]) -> list[str]:
    """Return what follows the last header, without what launchers and groups put before it."""
    for index in range(len(lines) - 1, -1, -1):
        header = _HEADER.fullmatch(lines[index].rstrip())
        if header is not None:
            prefix = header["rank"] + ("  | " if "Group" in header[0] else "")
            return _under_prefix(prefix, lines[index + 1 :])
    frames = [index for index, line in enumerate(lines) if _FRAME.match(line)]
    return lines[frames[-1] + 1 :] if frames else []


def _under_prefix(prefix: str, lines: list[str]) -> list[str]:
    ours = takewhile(lambda line: line.startswith(prefix), lines)
    return [line.removeprefix(prefix) for line in ours]
