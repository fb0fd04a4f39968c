"""``methods search QUERY`` and ``methods next``: ranked methods, with why and what to type next.

What is shown is recorded as a retrieval, so that a later run can be traced back to it; --no-record
leaves that out. Where it cannot be written, as in a repository that is read-only, the answer stands
and a warning says so.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.output import print_warning
from gitexp.errors import GitexpError
from gitexp.git.refs import is_run_id
from gitexp.methods.risk import label
from gitexp.methods.search import ADVISORY, RANKER, Methods, Suggestion, remember
from gitexp.render.text import short
from gitexp.research.overview.brief import quoted

_RUNS_NAMED = 3
_NOTHING_FITS = "No method fits. 'git exp methods list' shows all of them."
_NOTHING_TO_TRY = "There is nothing to suggest. 'git exp methods add' adds a method of your own."
_VETOED = "Or all that fit are riskier than --max-risk."


def configure_search(parser: ArgumentParser) -> None:
    """Declare the arguments of ``methods search``."""
    parser.add_argument("query", metavar="QUERY", nargs="+", help="words, names or identifiers")
    _add_options(parser, 10)


def configure_next(parser: ArgumentParser) -> None:
    """Declare the arguments of ``methods next``."""
    _add_options(parser, 5)


def _add_options(parser: ArgumentParser, limit: int) -> None:
    parser.add_argument(
        "-n",
        "--limit",
        type=int,
        default=limit,
        metavar="N",
        help=f"methods to show (default: {limit})",
    )
    parser.add_argument("--explain", action="store_true", help="show each term of the ranking")
    parser.add_argument(
        "--explore", type=int, metavar="SEED", help="draw each value from what it may be"
    )
    parser.add_argument(
        "--max-risk", type=float, metavar="P", help="leave out what is riskier, 0 to 1"
    )
    parser.add_argument(
        "--no-record", action="store_true", help="do not record what was looked up and shown"
    )


def run_search(args: Namespace, context: Context) -> int:
    """Print the methods that fit a query."""
    query = " ".join(args.query)
    return _answer(
        args,
        context,
        query,
        lambda methods, **options: methods.search(query, **options),
        _NOTHING_FITS,
    )


def run_next(args: Namespace, context: Context) -> int:
    """Print what to try next."""
    return _answer(
        args, context, "", lambda methods, **options: methods.next(**options), _NOTHING_TO_TRY
    )


def _answer(
    args: Namespace,
    context: Context,
    query: str,
    ask: Callable[..., list[Suggestion]],
    nothing: str,
) -> int:
    progress = context.output.progress("Reading changes")
    methods = Methods(context.memory, context.library, progress=progress)
    found = ask(methods, limit=args.limit, explore=args.explore, max_risk=args.max_risk)
    retrieval = None if args.no_record else _recorded(context, query, found)
    if context.output.json:
        context.output.data(
            {
                "query": query,
                "ranker": RANKER,
                "advisory": ADVISORY,
                "retrieval": retrieval,
                "methods": [suggestion_json(each) for each in found],
            }
        )
        return 0
    for suggestion in found:
        _print(context, suggestion, explain=args.explain)
    if not found:
        context.output.line(nothing)
        if args.max_risk is not None:
            context.output.line(_VETOED)
    elif ADVISORY:
        context.output.line(ADVISORY)
    return 0


def _recorded(context: Context, query: str, found: Sequence[Suggestion]) -> str | None:
    """Record the retrieval and return its id; None where it cannot be written."""
    outer = os.environ.get("GITEXP_RUN", "")
    run = outer if is_run_id(outer) else None
    try:
        return remember(context.library, query, found, run=run).id
    except (GitexpError, OSError) as error:
        print_warning(f"What was looked up is not recorded: {error}")
        return None


def suggestion_json(suggestion: Suggestion) -> dict[str, Any]:
    """Return a suggestion in the shape of ``--json``."""
    method = suggestion.method
    return {
        "rank": suggestion.rank,
        "slug": method.slug,
        "name": method.name,
        "family": method.family,
        "summary": method.summary,
        "score": suggestion.score,
        "relevance": suggestion.relevance,
        "evidence": suggestion.evidence._asdict(),
        "value": suggestion.value,
        "fatigue": suggestion.fatigue,
        "risk": {"probability": suggestion.risk, "label": label(suggestion.risk)},
        "in_use": suggestion.in_use,
        "why": list(suggestion.why),
        "commands": list(suggestion.commands),
        "runs": list(suggestion.runs),
        "references": [
            {"title": each.title, "paper": each.paper, "section": each.section, "url": each.url}
            for each in method.references
        ],
        "passages": [
            {
                "chunk": each.chunk.id,
                "paper": each.chunk.paper,
                "title": each.title,
                "section": each.chunk.section,
                "excerpt": each.chunk.excerpt,
                "score": each.score,
            }
            for each in suggestion.passages
        ],
        "terms": [term._asdict() for term in suggestion.terms],
    }


def _print(context: Context, suggestion: Suggestion, *, explain: bool) -> None:
    output, method = context.output, suggestion.method
    used = ", in use" if suggestion.in_use else ""
    output.heading(f"{suggestion.rank}. {method.slug}: {method.name} ({method.family}{used})")
    output.line(f"    {method.summary}")
    for reason in suggestion.why:
        output.line(f"    - {reason}")
    for reference in method.references:
        where = ", ".join(part for part in (reference.paper, reference.section) if part)
        output.line(f"    from {quoted(reference.title, 120)}{f' ({where})' if where else ''}")
    for passage in suggestion.passages:
        section = f", {quoted(passage.chunk.section)}" if passage.chunk.section else ""
        output.line(f"    {passage.chunk.id}{section}: {quoted(passage.chunk.excerpt, 160)}")
    if suggestion.runs:
        named = ", ".join(map(short, suggestion.runs[:_RUNS_NAMED]))
        more = len(suggestion.runs) - _RUNS_NAMED
        output.line(f"    runs: {named}{f' and {more} more' if more > 0 else ''}")
    for command in suggestion.commands:
        output.line(f"    $ {command}")
    for term in suggestion.terms if explain else ():
        output.line(f"      {term.name:<13} {term.value:>8.4g}  {term.note}")
    output.line()
