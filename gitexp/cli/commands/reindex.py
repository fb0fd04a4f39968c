"""Make the index anew from the shards.

The index follows the shards by itself; this is for a doubt, or to make it smaller after many
changes. Nothing that was recorded is in it alone.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import closing

from gitexp.cli.context import Context
from gitexp.library.library import Library
from gitexp.render.text import size


def configure(_parser: ArgumentParser) -> None:
    """Declare no arguments."""


def run(args: Namespace, context: Context) -> int:  # noqa: ARG001 - as all commands
    """Rebuild the index."""
    memory = context.open_memory()
    runs = memory.reindex()
    with closing(Library(context.repository)) as library:
        library.reindex()
    context.report_problems(memory)
    path = memory.index_path
    bytes_used = path.stat().st_size if path is not None else 0
    if context.output.json:
        where = str(path) if path is not None else None
        context.output.data({"runs": runs, "path": where, "bytes": bytes_used})
    elif path is None:
        why = "there is nowhere to keep an index of them" if runs else "there is nothing to index"
        context.output.line(f"{runs} runs; {why}.")
    else:
        context.output.line(f"{runs} runs in {path} ({size(bytes_used)})")
    return 0
