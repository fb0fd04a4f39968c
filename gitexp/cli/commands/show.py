"""Show one run: what it is about, how it went, its code and its surroundings.

Without RUN the latest one. Methods that its proposal cites, or that its code puts to work, are
named with where they come from and what came of it. --file prints a file that was kept with the run
as it is, --log what its command printed. Put '--' before a RUN that begins with '-'.
"""

from __future__ import annotations

import sqlite3
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from typing import Any

import msgspec

from gitexp.cli.context import Context
from gitexp.cli.output import Output
from gitexp.command import LOG_NAME, read_log
from gitexp.compare import decode_environment
from gitexp.errors import GitexpError
from gitexp.git.read import resolve
from gitexp.journal import files_folder
from gitexp.memory import Memory
from gitexp.methods.chains import Chain, chain_data, chain_lines, run_chains
from gitexp.render.run import Section, describe_environment, describe_run
from gitexp.render.text import safe
from gitexp.research.cache import with_cache
from gitexp.run import Run


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        default="latest",
        help="id, latest, best:METRIC, a name or a tag",
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--file", metavar="PATH", help="print this file that was kept with the run")
    what.add_argument("--log", action="store_true", help="print what the run's command printed")
    what.add_argument(
        "--environment", action="store_true", help="show the packages and the machine too"
    )


def run(args: Namespace, context: Context) -> int:
    """Print the run, or one of its files."""
    memory = context.memory
    shown = memory.get(args.run)
    if args.file is not None or args.log:
        path = LOG_NAME if args.log else args.file
        _print_file(context.output, shown, path, read_kept(memory, shown, path))
        return 0
    chains = _chains(context, shown)
    if context.output.json:
        document = as_json(memory, shown, environment=args.environment)
        context.output.data(document | {"methods": [chain_data(chain) for chain in chains]})
        return 0
    surroundings = decode_environment(memory.environment(shown.environment))
    sections = describe_run(
        shown,
        files=memory.files(shown),
        code_here=resolve(context.repository, shown.id) is not None,
        environment=surroundings,
        now=datetime.now(UTC),
    )
    if args.environment and surroundings is not None:
        sections += describe_environment(surroundings)
    with context.output.pager(context.repository):
        context.output.heading(f"run {shown.id}")
        for section in sections:
            _print_section(context.output, section)
        if chains:
            context.output.line()
            context.output.heading("methods")
            for line in (line for chain in chains for line in chain_lines(chain)):
                context.output.line(line)
    return 0


def _chains(context: Context, shown: Run) -> list[Chain]:
    """Return the methods that a run is credited to, with their chains."""

    def work(cache: sqlite3.Connection) -> list[Chain]:
        return run_chains(context.memory, context.library, cache, shown.id)

    return [] if shown.status == "running" else with_cache(context.repository, work)


def as_json(memory: Memory, shown: Run, *, environment: bool) -> dict[str, Any]:
    """Return a run with its files in the shape of ``--json``."""
    result = shown.to_dict()
    result["code_here"] = resolve(memory.repository, shown.id) is not None
    result["files"] = [{"path": path, "size": size} for path, size in memory.files(shown).items()]
    surroundings = (
        decode_environment(memory.environment(shown.environment)) if environment else None
    )
    if surroundings is not None:
        result["environment_record"] = msgspec.to_builtins(surroundings)
    return result


def read_kept(memory: Memory, shown: Run, path: str) -> bytes:
    """Return the content of a file kept with a run; of the log also while it is being written.

    Raises:
        GitexpError: The run has no such file.
    """
    files = memory.files(shown)
    if path == LOG_NAME and shown.status == "running" and path in files:
        return read_log(files_folder(memory.repository, shown.id) / LOG_NAME)
    if path not in files:
        hint = f"It has: {', '.join(files)}." if files else "No file was kept with it."
        raise GitexpError(f"Run {shown.id[:12]} has no file {path!r}.", hint)
    return memory.read_file(shown, path)


def _print_file(output: Output, shown: Run, path: str, content: bytes) -> None:
    if output.json:
        text = content.decode("utf-8", "backslashreplace")
        output.data({"run": shown.id, "path": path, "size": len(content), "text": text})
    elif output.terminal:
        output.text(content.decode("utf-8", "backslashreplace"))
    else:
        output.raw(content)


def _print_section(output: Output, section: Section) -> None:
    output.line()
    if section.title:
        output.heading(section.title)
    table = [[safe(cell) for cell in row] for row in section.rows]
    if section.header:
        output.aligned(section.header, table)
    else:
        _print_pairs(output, table)
    if section.text:
        output.text("\n".join(f"    {line}" for line in section.text.split("\n")))


def _print_pairs(output: Output, pairs: list[list[str]]) -> None:
    width = max((len(row[0]) for row in pairs), default=0)
    for label, *rest in pairs:
        output.line(f"{label:<{width}}  {'  '.join(rest)}".rstrip())
