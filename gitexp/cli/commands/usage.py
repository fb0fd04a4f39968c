"""Show what models took: tokens, money and time, by model, run, day or session.

Every call of a provider leaves a line, whatever came of it. Tokens are those that the provider
reported; where it did not, they were counted by an estimate, and the calls are marked. Money is
from a table of list prices, and from exprag.price where that is set; a call whose price is not
known is counted apart, not as free.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec

from gitexp.cli.context import Context
from gitexp.library.spent import Spent, grouped, together
from gitexp.memory import Memory
from gitexp.records.library import Usage
from gitexp.render.text import safe, short
from gitexp.when import parse_when

_NO_RUN = "(no run)"
_NO_SESSION = "(no session)"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--by",
        choices=["model", "run", "day", "session"],
        default="model",
        help="what to sum up by (default: model)",
    )
    parser.add_argument("--since", metavar="T", help="only calls after this time")


def run(args: Namespace, context: Context) -> int:
    """Sum up the calls and print them."""
    calls = context.library.usages()
    if args.since is not None:
        since = parse_when(args.since, datetime.now().astimezone())
        calls = [call for call in calls if datetime.fromisoformat(call.time) >= since]
    groups = grouped(calls, _name_of(args.by, context))
    total = together("", calls)
    if context.output.json:
        context.output.data(
            {"by": args.by, "total": _as_json(total), "groups": list(map(_as_json, groups))}
        )
        return 0
    if not calls:
        context.output.line("No model was asked.")
        return 0
    header = [args.by, "calls", "prompt", "cached", "completion", "cost", "seconds"]
    rows = [_row(group, args.by) for group in groups]
    if len(groups) > 1:
        rows.append(_row(msgspec.structs.replace(total, name="all"), "model"))
    context.output.table(header, rows)
    for note in _notes(total):
        context.output.line(note)
    return 0


def _name_of(by: str, context: Context) -> Callable[[Usage], str]:
    if by == "model":
        return lambda call: call.model
    if by == "day":
        return lambda call: call.time[:10]
    if by == "session":
        return lambda call: call.session or _NO_SESSION
    runs = runs_of_proposals(context.memory)
    return lambda call: call.run or runs.get(call.proposal or "", _NO_RUN)


def runs_of_proposals(memory: Memory) -> dict[str, str]:
    """Return proposal -> the first run that came of it."""
    found = memory.search("metadata.proposal is not None", sort="started")
    runs: dict[str, str] = {}
    for each in found:
        proposal = each.document["metadata"]["proposal"]
        if isinstance(proposal, str):
            runs.setdefault(proposal, each.document["run"])
    return runs


def _as_json(spent: Spent) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(spent)
    if not built["name"]:
        del built["name"]
    return built


def _row(spent: Spent, by: str) -> list[str]:
    name = short(spent.name) if by == "run" and spent.name != _NO_RUN else safe(spent.name)
    estimated = "~" if spent.estimated else ""
    return [
        name,
        str(spent.calls),
        f"{estimated}{spent.prompt}",
        str(spent.cached),
        f"{estimated}{spent.completion}",
        _money(spent),
        f"{spent.seconds:.1f}",
    ]


def _money(spent: Spent) -> str:
    if spent.cost is None:
        return "unknown"
    return f"${spent.cost:.4f}" + ("+" if spent.unpriced else "")


def _notes(total: Spent) -> list[str]:
    notes = []
    if total.estimated:
        notes.append(f"~ tokens of {total.estimated} of {total.calls} calls were estimated.")
    if total.unpriced:
        notes.append(
            f"The price of {total.unpriced} of {total.calls} calls is not known; "
            f"set it: git config --add exprag.price MODEL=INPUT,CACHED,OUTPUT"
        )
    return notes
