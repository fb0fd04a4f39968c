"""Make runs of what another tool or a ledger recorded.

A SOURCE is a table (TSV, CSV), JSON lines, a ledger of pi-autoresearch, the folder of a MemoryLab
store, or one of exprag's. The format is recognised; --format says it. Importing again adds what is
new and nothing else. A commit that a row names and that is here becomes the parent of the run's
snapshot, so that its code is there.

What the columns of a table or of JSON lines mean is inferred and printed; --map says it. A FIELD
is commit, status, description, name, hypothesis, time, seed, family, tag, duration, exit_code,
error, external_id, parent, metric (of the column's name, and the goal), metrics.NAME, params.NAME,
metadata.NAME or ignore. Rows that do not fit stop the import, and nothing is written, unless
--skip-bad leaves them out.
"""

from __future__ import annotations

import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.cli.context import Context
from gitexp.cli.output import Output, print_hint
from gitexp.errors import GitexpError
from gitexp.interchange.columns import parse_map
from gitexp.interchange.formats import FORMATS, read_source
from gitexp.interchange.importing import Imported, import_runs
from gitexp.interchange.source import Bad, Reading
from gitexp.interchange.suggestion import SuggestedGoal, suggest_goal
from gitexp.render.text import safe

_LISTED = 20
"""Rows that are listed one by one; with --json all are."""

_KNOWN_FROM = {
    "settings": "exprag.goal",
    "ledger": "as the ledger has it",
    "name": "from its name",
}


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "sources", metavar="SOURCE", nargs="+", type=Path, help="a ledger, or the folder of a store"
    )
    parser.add_argument("--format", choices=FORMATS, help="instead of what the source looks like")
    parser.add_argument(
        "--map",
        metavar="COLUMN=FIELD",
        action="append",
        default=[],
        help="what a column means; may be given several times",
    )
    parser.add_argument(
        "--header", metavar="A,B,…", help="names of a table's columns, instead of its first line"
    )
    parser.add_argument(
        "--skip-bad", action="store_true", help="leave rows out that cannot be imported"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, only")


class Done(NamedTuple):
    """A source and what became of it."""

    path: Path
    reading: Reading
    imported: Imported
    goal: SuggestedGoal | None


def run(args: Namespace, context: Context) -> int:
    """Read all sources, then import them, and say what was done."""
    given = parse_map(args.map)
    header = None if args.header is None else [name.strip() for name in args.header.split(",")]
    readings = [(path, read_source(path, args.format, given, header)) for path in args.sources]
    for path, reading in readings:
        _refuse_bad(path, reading, skip=args.skip_bad, every=context.output.json)
    goals = [suggest_goal(reading, context.repository.settings) for _, reading in readings]
    imported = [_import(reading, context, dry_run=args.dry_run) for _, reading in readings]
    done = [
        Done(*source, result, goal)
        for source, result, goal in zip(readings, imported, goals, strict=True)
    ]
    if context.output.json:
        sources = [source_json(each) for each in done]
        context.output.data({"dry_run": args.dry_run, "sources": sources})
        return 0
    for each in done:
        _print(context.output, each, dry_run=args.dry_run)
    _print_next(done)
    return 0


def _refuse_bad(path: Path, reading: Reading, *, skip: bool, every: bool) -> None:
    """Stop where rows cannot be imported, unless they are to be left out and others remain.

    Raises:
        GitexpError: There are such rows.
    """
    bad = reading.bad
    total = len(reading.runs) + len(bad) + len(reading.unfinished)
    if not bad or (skip and len(bad) < total):
        return
    if len(bad) == total:
        error = GitexpError(
            f"None of the {_count(total, 'row')} of {path} can be imported.",
            "Give the names of its columns with --header A,B,…, or its --format.",
        )
    else:
        error = GitexpError(
            f"{len(bad):,} of the {_count(total, 'row')} of {path} cannot be imported; "
            "nothing was written.",
            "Mend them, or leave them out with --skip-bad.",
        )
    error.details = tuple(_listed(bad, len(bad) if every else _LISTED))
    raise error


def _listed(found: Sequence[Bad | str], limit: int) -> list[str]:
    more = len(found) - limit
    return [str(each) for each in found[:limit]] + ([f"and {more:,} more"] if more > 0 else [])


def _import(reading: Reading, context: Context, *, dry_run: bool) -> Imported:
    return import_runs(
        context.repository,
        reading.runs,
        source=reading.format,
        written_ns=reading.written_ns,
        dry_run=dry_run,
        progress=context.output.progress("Importing runs"),
    )


def source_json(done: Done) -> dict[str, Any]:
    """Return what became of a source in the shape of ``--json``."""
    reading, imported, goal = done.reading, done.imported, done.goal
    return {
        "path": str(done.path.absolute()),
        "format": reading.format,
        "new": imported.missing,
        "there": len(imported.there),
        "withdrawn": len(imported.withdrawn),
        "with_code": imported.with_code,
        "changed": imported.changed,
        "skipped": len(reading.bad),
        "placeholders": reading.placeholders,
        "runs": imported.new,
        "metric": None if goal is None else goal.metric,
        "goal": None if goal is None else goal.word,
        "goal_source": None if goal is None else goal.source,
        "columns": [column._asdict() for column in reading.columns],
        "bad": [bad._asdict() for bad in reading.bad],
        "unfinished": [row._asdict() for row in reading.unfinished],
        "notes": reading.notes,
    }


def _print(output: Output, done: Done, *, dry_run: bool) -> None:
    reading, imported = done.reading, done.imported
    rows = len(reading.runs) + len(reading.bad) + len(reading.unfinished)
    output.heading(f"{done.path}: {reading.format}, {_count(rows, 'row')}")
    if reading.columns:
        cells = [[safe(c.column), safe(c.field), c.source, str(c.filled)] for c in reading.columns]
        output.aligned(["column", "becomes", "known from", "filled"], cells)
    for note in _listed(reading.notes, _LISTED):
        output.line(note)
    if done.goal is not None:
        output.line(_said(done.goal))
    if reading.placeholders:
        output.line(
            f"{_count(reading.placeholders, 'zero')} of crashed runs left out: no measurements."
        )
    for what, found in (("Skipped", reading.bad), ("Left for later", reading.unfinished)):
        if found:
            output.line(f"{what}: {_count(len(found), 'row')}.")
            for line in _listed(found, _LISTED):
                output.line(f"    {line}")
    if imported.changed:
        output.line(
            f"{_count(imported.changed, 'run')} on the commit of an earlier run with other words: "
            "taken for changes of it, not for replicates."
        )
    output.line(_summary(imported, dry_run=dry_run))


def _said(goal: SuggestedGoal) -> str:
    word = "lower" if goal.lower else "higher"
    said = f"Goal metric: {goal.metric}, {word} is better ({_KNOWN_FROM[goal.source]})."
    return f"{said} Its name would say the opposite." if goal.against_name else said


def _summary(imported: Imported, *, dry_run: bool) -> str:
    new = f"{_count(imported.missing, 'new run')}"
    code = f", {imported.with_code:,} with code" if imported.with_code else ""
    said = f"{'Would import' if dry_run else 'Imported'} {new}{code}"
    if imported.there:
        said += f"; {len(imported.there):,} {_were(len(imported.there))} there already"
    if imported.withdrawn:
        said += f"; {len(imported.withdrawn):,} {_were(len(imported.withdrawn))} removed before"
    return f"{said}."


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _print_next(done: Sequence[Done]) -> None:
    """Say how to set the goal that the first source suggests, or how to look at the runs."""
    goal = next((each.goal for each in done if each.goal is not None), None)
    if goal is None:
        print_hint("List the runs with 'git exp log'.")
    elif not goal.is_set:
        print_hint(
            f"Judge runs by it: git config exprag.metric {shlex.quote(goal.metric)} && "
            f"git config exprag.goal {goal.word}"
        )
    else:
        print_hint("See what they say together with 'git exp report'.")


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
