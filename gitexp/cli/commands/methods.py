"""Look at methods that experiments can try, add one's own, and see what came of them.

A method has a card: names, knobs, references, how to apply it, and a signature, the words by which
it is recognised in a change. Those that everybody has from the start are the pack
(docs/methods.md); a method of one's own with the same slug takes its place.

A run is credited to a method that its proposal or 'git exp run --cites' cites, or whose signature
stands in the lines that its code adds. 'used' shows the runs, 'search' and 'next' rank methods by
relevance and evidence.

'git exp methods add -h' explains one of the commands.
"""

from __future__ import annotations

import sqlite3
import sys
from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec

from gitexp.cli.context import Context
from gitexp.cli.editor import edit_file
from gitexp.cli.methods_search import configure_next, configure_search, run_next, run_search
from gitexp.cli.output import Output
from gitexp.errors import GitexpError, UsageError
from gitexp.library.library import Library
from gitexp.library.pack import is_of_pack
from gitexp.methods import attribution, cards
from gitexp.methods.chains import (
    Outcomes,
    Use,
    chain,
    chain_data,
    chain_lines,
    outcome_data,
    source_data,
    source_lines,
    sources,
    uses,
    why,
)
from gitexp.records.library import Knob, Method, Withdrawal
from gitexp.render.text import number, safe, short
from gitexp.research.cache import with_cache
from gitexp.research.overview.brief import quoted

_CHAINS = 10
"""Runs of which ``show`` tells the whole chain, the latest; ``used`` lists all."""
_ADD = """Add a method of your own.

FILE is a card in JSON or TOML, '-' standard input; 'git exp methods add --template' prints one to
fill in. Without FILE the options say what is on the card.
"""
_EDIT = """Change a method.

On a terminal its card is opened in git's editor. Without one give --file, or --set as often as
needed: --set family=loss --set 'risks=["It is slow."]'. What comes out is a method of your own,
also where it was one of the pack.
"""


def configure(parser: ArgumentParser) -> None:
    """Declare the commands and their arguments."""
    commands = parser.add_subparsers(
        dest="action",
        metavar="COMMAND",
        required=True,
        help="list, show, search, next, used, add, edit or rm",
    )
    options: dict[str, Any] = {"allow_abbrev": False, "formatter_class": parser.formatter_class}
    add: Callable[..., ArgumentParser] = commands.add_parser
    _configure_list(add("list", help="list the methods by family", **options))
    show = add("show", help="show a method: its card, its references, what came of it", **options)
    _add_method(show)
    configure_search(_add_json(add("search", help="find methods for a question", **options)))
    configure_next(_add_json(add("next", help="say what to try next", **options)))
    used = add("used", help="show the runs of a method, or of all, and what came out", **options)
    _add_method(used, nargs="?")
    _configure_add(add("add", help="add a method of your own", description=_ADD, **options))
    _configure_edit(add("edit", help="change a method", description=_EDIT, **options))
    remove = add("rm", help="withdraw a method; adding it again brings it back", **options)
    _add_method(remove)
    remove.add_argument("--reason", metavar="TEXT", help="why")


def _configure_list(parser: ArgumentParser) -> None:
    parser.add_argument("--family", metavar="NAME", help="only methods of this family")
    parser.add_argument("--own", action="store_true", help="only those that are not of the pack")
    _add_json(parser)


def _configure_add(parser: ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", nargs="?", help="a card, or - for standard input")
    parser.add_argument("--template", action="store_true", help="print a card to fill in")
    parser.add_argument("--slug", metavar="SLUG", help="its id (default: made of the name)")
    for name in cards.TEXTS:
        parser.add_argument(f"--{name}", metavar="TEXT", help=_OPTIONS[name])
    for name in ("alias", "signature", "risk", "reference", "supersedes"):
        parser.add_argument(
            f"--{name}", metavar="TEXT", action="append", default=[], help=_OPTIONS[name]
        )
    _add_json(parser)


_OPTIONS = {
    "name": "as people call it",
    "family": "what it replaces or competes with, such as optimizer",
    "summary": "what it is and why it helps",
    "apply": "how to put it into a training script",
    "scope": "where it was shown to help",
    "alias": "another name",
    "signature": "words that must all stand in a change, such as 'silu gate_proj'",
    "risk": "what goes wrong",
    "reference": "an arXiv id, the id of a paper of the library, or an address",
    "supersedes": "slug of what it is meant to replace",
}


def _configure_edit(parser: ArgumentParser) -> None:
    _add_method(parser)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--file", metavar="FILE", help="take this card, or - for standard input")
    how.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], help="change one field"
    )


def _add_method(parser: ArgumentParser, nargs: str | None = None) -> None:
    parser.add_argument("method", metavar="METHOD", nargs=nargs, help="slug, name or alias")
    _add_json(parser)


def _add_json(parser: ArgumentParser) -> ArgumentParser:
    parser.add_argument(
        "--json", action="store_true", default=SUPPRESS, help="print JSON (docs/reference/json.md)"
    )
    return parser


def run(args: Namespace, context: Context) -> int:
    """Do what is asked."""
    return _ACTIONS[args.action](args, context)


def _list(args: Namespace, context: Context) -> int:
    library = Library(context.repository)
    found = [
        method
        for method in library.methods().values()
        if (args.family is None or method.family == args.family)
        and not (args.own and is_of_pack(method))
    ]
    found.sort(key=lambda method: (method.family, method.slug))
    output = context.output
    if output.json:
        output.data({"methods": [_listed(method) for method in found]})
    elif found:
        header = ["family", "method", "name", "own"]
        output.table(header, ([safe(cell) for cell in _row(method)] for method in found))
    else:
        output.line("There is no such method. 'git exp methods add' adds one of your own.")
    return 0


def _row(method: Method) -> list[str]:
    return [method.family, method.slug, method.name, "" if is_of_pack(method) else "yes"]


def _listed(method: Method) -> dict[str, Any]:
    keys = ("slug", "name", "family", "summary")
    listed = {key: getattr(method, key) for key in keys}
    return listed | {"aliases": list(method.aliases), "own": not is_of_pack(method)}


def _show(args: Namespace, context: Context) -> int:
    library = Library(context.repository)
    method = library.method(args.method)
    outcomes, found = _uses(context, library, method)
    described = sources(library, method)
    chains = [chain(library, use.credit, use.outcome) for use in found[:_CHAINS]]
    if context.output.json:
        about = {"own": not is_of_pack(method), "time": method.time, "by": method.by}
        context.output.data(
            {"method": cards.card_of(method)}
            | about
            | {"sources": [source_data(source) for source in described]}
            | _judged_by(outcomes)
            | {"runs": len(found), "chains": [chain_data(each) for each in chains]}
        )
        return 0
    _print_card(context.output, method)
    _print_lines(
        context.output, "References", [line for s in described for line in source_lines(s)]
    )
    lines = [line for each in chains for line in chain_lines(each, with_sources=False)]
    if not chains:
        lines = ["No run is credited to it yet."]
    elif len(found) > len(chains):
        lines.append(f"'git exp methods used {method.slug}' shows all {len(found)} runs.")
    _print_lines(context.output, "What came of it here", lines)
    return 0


def _uses(context: Context, library: Library, method: Method | None) -> tuple[Outcomes, list[Use]]:
    """Return what runs are judged by, and the credits, of the latest run first."""
    memory = context.memory
    progress = context.output.progress("Reading changes")

    def read(cache: sqlite3.Connection) -> tuple[Outcomes, list[Use]]:
        outcomes = Outcomes(memory, cache)
        found = attribution.credits(memory, library, cache, outcomes.observed, progress=progress)
        return outcomes, uses(outcomes, found, method)

    return with_cache(context.repository, read)


def _judged_by(outcomes: Outcomes) -> dict[str, Any]:
    goal = outcomes.goal
    return {"metric": goal and goal.metric, "goal": goal and goal.word}


def _print_card(output: Output, method: Method) -> None:
    output.heading(f"{method.name} ({method.slug})")
    output.line(f"family: {method.family}")
    if method.aliases:
        output.line(f"also: {', '.join(method.aliases)}")
    output.line(f"from: {'the pack' if is_of_pack(method) else method.by}")
    say = str if is_of_pack(method) else _in_quotes
    output.line()
    output.text(say(method.summary))
    _print_lines(output, "Knobs", [_knob_line(knob, say) for knob in method.knobs])
    _print_lines(output, "How to apply it", [say(method.apply)] if method.apply else [])
    _print_lines(output, "Risks", map(say, method.risks))
    _print_lines(output, "Scope", [say(method.scope)] if method.scope else [])
    entries = (" and ".join(entry) for entry in method.signature)
    _print_lines(output, "Recognised by", [", or ".join(entries)] if method.signature else [])
    _print_lines(output, "Meant to replace", method.supersedes)


def _in_quotes(text: str) -> str:
    """Return what somebody wrote as data: agents read this, and it is nobody's order to them."""
    return quoted(text, len(text))


def _knob_line(knob: Knob, say: Callable[[str], str]) -> str:
    if knob.choices:
        sensible = ", ".join(map(say, knob.choices))
    else:
        limits = ["" if limit is None else number(limit) for limit in (knob.low, knob.high)]
        sensible = f"{limits[0]} to {limits[1]}" if any(limits) else "any value"
    scale = ", on a logarithmic scale" if knob.scale == "log" else ""
    return f"{say(knob.symbol)}: {say(knob.name)}, {sensible}{scale}"


def _print_lines(output: Output, title: str, lines: Iterable[str]) -> None:
    shown = list(lines)
    if shown:
        output.line()
        output.heading(title)
    for line in shown:
        output.line(line)


def _used(args: Namespace, context: Context) -> int:
    library = Library(context.repository)
    method = None if args.method is None else library.method(args.method)
    outcomes, found = _uses(context, library, method)
    output = context.output
    if output.json:
        output.data(_judged_by(outcomes) | {"runs": [_use_data(use) for use in found]})
    elif found:
        header = ["run", "name", "method", "credited", "value", "gain", "verdict", "decision"]
        output.table(header, map(_use_row, found))
    else:
        of = "" if method is None else f" to {method.slug}"
        output.line(f"No run is credited{of} yet. A run says what it tries with --cites.")
    return 0


def _use_data(use: Use) -> dict[str, Any]:
    credit = use.credit
    data: dict[str, Any] = {"run": credit.run, "method": credit.method, "how": credit.how}
    data |= {"proposal": credit.proposal, "words": list(credit.words)}
    return data | {"outcome": None if use.outcome is None else outcome_data(use.outcome)}


def _use_row(use: Use) -> list[str]:
    outcome = use.outcome
    if outcome is None:
        return [short(use.credit.run), "", use.credit.method, why(use.credit), "", "", "", ""]
    value = number(outcome.value) if outcome.value is not None else outcome.status
    cells = [value, number(outcome.gain), outcome.verdict or "", outcome.decision or ""]
    shown = [short(outcome.run), outcome.name, use.credit.method, why(use.credit), *cells]
    return [safe(cell) for cell in shown]


def _add(args: Namespace, context: Context) -> int:
    if args.template:
        sys.stdout.write(cards.TEMPLATE)
        return 0
    library = Library(context.repository)
    method = _new_method(args, library)
    known = library.methods()
    if method.slug in known:
        hint = f"Change it with 'git exp methods edit {method.slug}'."
        raise GitexpError(f"There is a method {method.slug!r} already.", hint)
    cards.require_free_names(method, known.values())
    return _write(context, library, method, "added")


def _new_method(args: Namespace, library: Library) -> Method:
    stamp = library.stamp()
    options = ("slug", *cards.TEXTS, "alias", "signature", "risk", "reference", "supersedes")
    given = any(getattr(args, name) for name in options)
    if bool(args.file) == given:
        raise UsageError("Say what method to add, once.", "Give a card, or --name and so on.")
    if args.file:
        return cards.parse_card(_read(args.file), stamp)
    card = {name: getattr(args, name) or "" for name in cards.TEXTS}
    references = [msgspec.to_builtins(cards.reference_of(text)) for text in args.reference]
    return cards.method_of(
        card
        | {"slug": args.slug or cards.slug_of(card["name"]), "aliases": args.alias}
        | {"signature": [text.split() for text in args.signature], "risks": args.risk}
        | {"references": references, "supersedes": args.supersedes},
        stamp,
    )


def _read(name: str) -> bytes:
    """Return a card's content: from a file, or from standard input for ``-``."""
    if name == "-":
        return sys.stdin.buffer.read(cards.MAX_BYTES + 1)
    with Path(name).open("rb") as file:
        return file.read(cards.MAX_BYTES + 1)


def _write(context: Context, library: Library, method: Method, done: str) -> int:
    written = bool(library.add([method]))
    if context.output.json:
        context.output.data({"method": cards.card_of(method), "written": written})
    elif written:
        context.output.line(f"{done}: {method.slug} ({method.name})")
    else:
        context.output.line("Nothing was changed.")
    return 0


def _edit(args: Namespace, context: Context) -> int:
    library = Library(context.repository)
    method = library.method(args.method)
    stamp = library.stamp()
    if args.set:
        edited = cards.with_fields(method, args.set, stamp)
    elif args.file:
        edited = cards.parse_card(_read(args.file), stamp)
    else:
        edited = _edited_by_hand(context, method, stamp)
    if edited.slug != method.slug:
        hint = "Add it as a method of its own: 'git exp methods add'."
        raise GitexpError("The slug of a method cannot be changed.", hint)
    cards.require_free_names(edited, library.methods().values())
    return _write(context, library, edited, "changed")


def _edited_by_hand(context: Context, method: Method, stamp: tuple[str, str]) -> Method:
    """Return a method as somebody left its card; what cannot be read is kept in its file."""
    path = context.repository.git_dir / "EXPRAG_METHOD.json"
    path.write_text(cards.card_text(method), encoding="utf-8")
    edit_file(context.repository, path)
    try:
        edited = cards.parse_card(_read(str(path)), stamp)
    except GitexpError as error:
        hint = f"It is kept: git exp methods edit {method.slug} --file {path}"
        raise GitexpError(error.message, hint) from error
    path.unlink()
    return edited


def _remove(args: Namespace, context: Context) -> int:
    library = Library(context.repository)
    method = library.method(args.method)
    time, by = library.stamp()
    library.add([Withdrawal(time=time, by=by, id=method.slug, reason=args.reason)])
    if context.output.json:
        context.output.data({"method": method.slug, "reason": args.reason})
    else:
        context.output.line(f"withdrawn: {method.slug} ({method.name})")
    return 0


_ACTIONS: dict[str, Callable[[Namespace, Context], int]] = {
    "list": _list,
    "show": _show,
    "search": run_search,
    "next": run_next,
    "used": _used,
    "add": _add,
    "edit": _edit,
    "rm": _remove,
}
