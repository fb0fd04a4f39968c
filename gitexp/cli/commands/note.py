"""Add a comment to a run, finished or in progress, yours or somebody else's.

Several words are joined by blanks; '-' reads the comment from standard input. Put '--' before
a TEXT or RUN that begins with '-'.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from gitexp.cli.context import Context
from gitexp.errors import UsageError
from gitexp.records.nested import clean_text
from gitexp.remark import add_remark
from gitexp.render.text import short
from gitexp.run import Run


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="id, latest, best:METRIC, a name or a tag")
    parser.add_argument("text", metavar="TEXT", nargs="+", help="the comment; - reads it")


def run(args: Namespace, context: Context) -> int:
    """Write the comment and say so."""
    noted = add_note(context, args.run, comment_text(args.text))
    if context.output.json:
        context.output.data(noted.to_dict())
    else:
        context.output.line(f"Added a note to run {short(noted.id)} ({noted.name}).")
    return 0


def add_note(context: Context, spec: str, text: str) -> Run:
    """Add a comment to the run that a spec names and return the run as it is now."""
    memory = context.memory
    noted = memory.get(spec)
    add_remark(context.repository, noted.id, comment=text)
    memory.refresh()
    return memory.get(noted.id)


def comment_text(words: Sequence[str]) -> str:
    """Return the comment that the words on the command line stand for.

    Raises:
        UsageError: It is empty.
    """
    if list(words) == ["-"]:
        text = sys.stdin.buffer.read().decode("utf-8", "backslashreplace")
    else:
        text = clean_text(" ".join(words))
    text = text.strip()
    if not text:
        raise UsageError("The note is empty.", "Give a text: git exp note RUN TEXT.")
    return text
