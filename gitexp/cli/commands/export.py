"""Write runs as JSON lines, CSV, Parquet or one HTML page.

Without --output JSON lines go to standard output, or CSV with --format csv. A file's suffix says
its format: .jsonl, .csv, .parquet (needs the extra gitexp[arrow]) or .html. A file is written as a
whole or not at all; one that exists is replaced.

JSON lines hold whole runs in the shape of --json. CSV and Parquet have a column for all that every
run has by itself, the last and the best value of each metric, each parameter and piece of
metadata, or those of --columns. In CSV a text that begins with = + - or @ stays as it is;
a spreadsheet takes it for a formula, unless --formula-safe puts an apostrophe before it. The page
has the table of all runs, and curves and code of the first 300.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from gitexp.cli import select
from gitexp.cli.context import Context
from gitexp.cli.output import print_hint
from gitexp.errors import UsageError
from gitexp.index.search import Found
from gitexp.interchange.export import (
    documents,
    formula_safe,
    write_csv,
    write_jsonl,
    write_parquet,
)
from gitexp.interchange.replace import replaced
from gitexp.memory import Memory
from gitexp.render.text import safe
from gitexp.table import Column, every_column, nodes, parse_columns

FORMATS = ("jsonl", "csv", "parquet", "html")
_TABLES = ("csv", "parquet")
_PAGE_RUNS = 5_000
"""Runs of a page unless -n says otherwise: about 7 MB, which a browser still opens at once."""


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs",
        metavar="RUN",
        nargs="*",
        help="only these: id, latest, best:METRIC, a name or a tag",
    )
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write this file")
    parser.add_argument("--format", choices=FORMATS, help="by default what FILE's suffix says")
    parser.add_argument(
        "-n", "--max-count", dest="count", type=_count, metavar="N", help="at most N runs"
    )
    select.add_options(parser)
    parser.add_argument("--sort", metavar="A,B,…", help="sort by these: 'max(acc) desc, params.lr'")
    parser.add_argument("--columns", metavar="A,B,…", help="of CSV and Parquet, instead of all")
    parser.add_argument(
        "--formula-safe", action="store_true", help="CSV for a spreadsheet: no text is a formula"
    )
    parser.add_argument("--title", help="of the page (default: the repository's folder)")


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):  # noqa: PLR2004
        raise ArgumentTypeError(f"{text!r} is not a number of runs")
    return int(text)


class Job(NamedTuple):
    """What is to be written.

    Attributes:
        kind: One of `FORMATS`.
        asked: The columns that were asked for; None for all.
    """

    kind: str
    found: Sequence[Found]
    asked: list[Column] | None
    args: Namespace
    context: Context


def run(args: Namespace, context: Context) -> int:
    """Write the runs, and say what was written where it is not on standard output."""
    kind = _format(args)
    _check(args, kind, json=context.output.json)
    memory = context.memory
    asked = None if args.columns is None else parse_columns(args.columns, memory.catalog)
    job = Job(kind, find(args, memory, asked or []), asked, args, context)
    if args.output is None:
        sys.stdout.flush()
        _write(job, sys.stdout.buffer)
        return 0
    with replaced(args.output) as stream:
        written = _write(job, stream)
    context.report_problems(memory)
    count = written.pop("count")
    if context.output.json:
        path = str(args.output.absolute())
        context.output.data({"format": kind, "path": path, "count": count, **written})
    else:
        runs = "run" if count == 1 else "runs"
        context.output.line(f"Wrote {count:,} {runs} to {args.output}.")
    return 0


def _format(args: Namespace) -> str:
    """Return the format that is asked for.

    Raises:
        UsageError: It cannot be told.
    """
    if args.format is not None:
        return str(args.format)
    if args.output is None:
        return "jsonl"
    suffix: str = args.output.suffix.lower().removeprefix(".")
    if suffix not in FORMATS:
        known = ", ".join(f".{name}" for name in FORMATS)
        raise UsageError(
            f"The name {args.output.name!r} does not say in which format to write.",
            f"End it in one of {known}, or give --format.",
        )
    return suffix


def _check(args: Namespace, kind: str, *, json: bool) -> None:
    """Refuse what does not go together before anything is read.

    Raises:
        UsageError: An option does not fit the format or the place.
    """
    if args.output is None and kind in ("parquet", "html"):
        raise UsageError(f"Where the {kind} file is to go is not said.", "Name it with --output.")
    if args.output is None and json:
        raise UsageError(
            "--json says what was written to a file, and no file is named.",
            "Name it with --output; without --json the runs themselves are printed as JSON lines.",
        )
    for option, given, kinds in (
        ("--columns", args.columns is not None, _TABLES),
        ("--formula-safe", args.formula_safe, ("csv",)),
        ("--title", args.title is not None, ("html",)),
    ):
        if given and kind not in kinds:
            raise UsageError(f"{option} is for {' and '.join(kinds)}, not for {kind}.")


def find(args: Namespace, memory: Memory, columns: Sequence[Column]) -> list[Found]:
    """Return the runs that are asked for.

    Raises:
        GitexpError: There is no such run.
        UsageError: An option cannot be understood.
    """
    return memory.search(
        select.condition(args),
        sort=args.sort,
        columns=nodes(columns),
        limit=args.count,
        among=[memory.get(spec).id for spec in args.runs] or None,
    )


def _write(job: Job, stream: IO[bytes]) -> dict[str, Any]:
    """Write the runs; return how many they are and what else ``--json`` says."""
    if job.kind == "html":
        return _write_page(job, stream)
    args, output, found = job.args, job.context.output, job.found
    progress = output.progress("Exporting runs")
    count = {"count": len(found)}
    if job.kind == "jsonl":
        write_jsonl(found, stream, progress)
        return count
    columns = job.asked
    if columns is None:
        columns = every_column(documents(found), job.context.memory.catalog.lower)
    if job.kind == "csv":
        text = formula_safe if args.formula_safe else str
        is_seen = args.output is None and output.terminal
        write_csv(found, columns, stream, progress, safe if is_seen else text)
    else:
        write_parquet(found, columns, stream, progress)
    return count | {"columns": [column.title for column in columns]}


def _write_page(job: Job, stream: IO[bytes]) -> dict[str, Any]:
    from gitexp.interchange.page import gather
    from gitexp.render.page import render_page

    args, context = job.args, job.context
    found = job.found[: None if args.count is not None else _PAGE_RUNS]
    title = args.title if args.title is not None else context.repository.top.name
    progress = context.output.progress("Reading curves")
    data, left_out = gather(context.memory, found, title, progress)
    stream.write(render_page(data).encode())
    counts = {"runs": len(job.found) - len(found), **left_out._asdict()}
    missing = [f"{count:,} {name.replace('_', ' ')}" for name, count in counts.items() if count]
    if missing and not context.output.json:
        more = " More runs come with -n." if counts["runs"] else ""
        print_hint(f"Not in the page, or not whole: {', '.join(missing)}.{more}")
    return {"count": len(found), "left_out": counts}
