"""Where text goes: tables and colour on a terminal, tab-separated text in a pipe, or JSON."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from gitexp.cli.terminal import columns
from gitexp.errors import GitexpError, QueryError
from gitexp.git.process import run_git
from gitexp.git.repository import Repository
from gitexp.render.table import Layout, aligned, heading
from gitexp.render.text import safe, safe_lines, to_json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LAID_OUT = 1_000
"""Rows by which a table is laid out; those that follow are printed as they come."""


class Output:
    """Standard output in the form that was asked for.

    Attributes:
        json: Print JSON and nothing else.
        terminal: Somebody looks at it.
        color: Use colours: on a terminal, unless ``NO_COLOR`` is set or ``TERM`` is ``dumb``.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json
        self.terminal = sys.stdout.isatty() and not json
        self.color = (
            self.terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return columns()

    def data(self, value: Any) -> None:
        """Print a value as JSON."""
        sys.stdout.write(to_json(value) + "\n")

    def table(self, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """Print a table, the first rows before the last are made; its cells must be `safe`."""
        if not self.terminal:
            for row in itertools.chain([header], rows):
                sys.stdout.write("\t".join(row) + "\n")
            return
        rest = iter(rows)
        first = list(itertools.islice(rest, _LAID_OUT))
        layout = Layout(header, first, width=self.width)
        sys.stdout.write(heading(layout.line(header), bold=self.color))
        for row in itertools.chain(first, rest):
            sys.stdout.write(layout.line(row))

    def records(self, name: str, values: Iterable[Any]) -> None:
        """Print a JSON object with one array, each value as it comes."""
        sys.stdout.write(f'{{\n  "{name}": [')
        comma = ""
        for value in values:
            text = to_json(value).replace("\n", "\n    ")
            sys.stdout.write(f"{comma}\n    {text}")
            comma = ","
        sys.stdout.write("\n  ]\n}\n" if comma else "]\n}\n")

    def aligned(self, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print an aligned table, in a pipe too, but there with nothing cut off."""
        if self.terminal:
            text = aligned(header, rows, width=self.width, bold=self.color)
        else:
            text = aligned(header, rows, width=sys.maxsize, cell_width=sys.maxsize)
        sys.stdout.write(text)

    def line(self, text: str = "") -> None:
        """Print a line of our own words; whatever a terminal would act on is made visible."""
        sys.stdout.write(safe(text) + "\n")

    def text(self, text: str) -> None:
        """Print text of several lines, made safe line by line."""
        sys.stdout.write(safe_lines(text).rstrip("\n") + "\n")

    def raw(self, content: bytes) -> None:
        """Write bytes as they are. On a terminal they must be safe for it."""
        sys.stdout.flush()
        sys.stdout.buffer.write(content)

    def heading(self, text: str) -> None:
        """Print a line, bold on a terminal."""
        sys.stdout.write(f"\x1b[1m{safe(text)}\x1b[0m\n" if self.color else f"{safe(text)}\n")

    def progress(self, doing: str) -> Callable[[int, int], None] | None:
        """Return what shows progress on stderr, if somebody looks there."""
        return Progress(doing).show if sys.stderr.isatty() else None

    def transfer(self) -> Callable[[bytes], None] | None:
        """Return what shows on stderr how far git's transfer has got, if somebody looks there."""
        return _show_transfer if sys.stderr.isatty() else None

    @contextlib.contextmanager
    def pager(self, repository: Repository) -> Iterator[None]:
        """Send what is printed inside through git's pager, if somebody looks at a terminal."""
        command = _pager_command(repository) if self.terminal else None
        if command is None:
            yield
            return
        process = subprocess.Popen(  # noqa: S602 - git's own rule: the pager is a shell command
            command,
            shell=True,
            stdin=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            env={"LESS": "FRX", "LV": "-c", **os.environ},
        )
        stdout, sys.stdout = sys.stdout, process.stdin or sys.stdout
        try:
            with contextlib.suppress(BrokenPipeError):  # the reader has seen enough
                yield
        finally:
            pipe, sys.stdout = sys.stdout, stdout
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
            _wait_for_reader(process)


class Progress:
    """A line on a terminal that says how far something has got; it goes when that is done.

    It comes when more than a second is to be expected, not before.
    """

    def __init__(self, doing: str) -> None:
        self._doing = doing
        self._began: float | None = None
        self._shown = False

    def show(self, done: int, total: int) -> None:
        """Say that so many are done, out of how many."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        spent = now - self._began
        if done >= total:
            if self._shown:
                sys.stderr.write("\r\x1b[K")
            self._began, self._shown = None, False
        elif self._shown or spent * (total - done) > done:
            self._shown = True
            percent = done * 100 // total
            sys.stderr.write(f"\r\x1b[K{self._doing}: {done:,} of {total:,} ({percent}%)")
        sys.stderr.flush()


def _show_transfer(said: bytes) -> None:
    """Repeat git's own progress: lines, and counts that rewrite their line."""
    pieces = re.split("([\r\n])", said.decode("utf-8", "replace"))
    sys.stderr.write("".join(p if p in ("\r", "\n") else safe(p) for p in pieces))
    sys.stderr.flush()


def _wait_for_reader(process: subprocess.Popen[str]) -> None:
    """Wait for the pager to end. Ctrl-C is for it alone, as in git."""
    while True:
        try:
            process.wait()
        except KeyboardInterrupt:
            continue
        return


def _pager_command(repository: Repository) -> str | None:
    command = run_git(["var", "GIT_PAGER"], cwd=repository.top).decode().strip()
    return None if command in ("", "cat") else command


def print_error(error: GitexpError, *, json: bool) -> None:
    """Print an error and its hint to stderr, as sentences or as one JSON object."""
    if json:
        content: dict[str, object] = {"message": error.message, "hint": error.hint}
        content |= {"exit_code": error.exit_code, "type": type(error).__name__}
        content |= {"details": error.details} if error.details else {}
        sys.stderr.write(to_json({"error": content}) + "\n")
        return
    red, plain = ("\x1b[31m", "\x1b[0m") if _stderr_color() else ("", "")
    # The message about an expression has lines of its own: the expression and a caret.
    shown = safe_lines if isinstance(error, QueryError) else safe
    sys.stderr.write(f"{red}error:{plain} {shown(error.message)}\n")
    for line in error.details:
        sys.stderr.write(f"    {safe(line)}\n")
    if error.hint:
        print_hint(error.hint)


def print_warning(text: str) -> None:
    """Print a warning to stderr."""
    yellow, plain = ("\x1b[33m", "\x1b[0m") if _stderr_color() else ("", "")
    sys.stderr.write(f"{yellow}warning:{plain} {safe(text)}\n")


def print_hint(text: str) -> None:
    """Print to stderr what to do next."""
    sys.stderr.write(f"hint: {safe(text)}\n")


def _stderr_color() -> bool:
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
