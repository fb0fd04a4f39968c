"""Compare runs side by side: what differs between them, and nothing else.

RUNs are two or more; without them the runs that --where, --since, --until and --author choose,
the latest first, or as --sort says. On a terminal every run is a column where they fit, else a
row; the best value of a metric is bold, or has a star. In a pipe every run is a column, with all
digits, unless --transpose is given. The code is compared with that of the first run; 'git exp
diff' shows how it differs.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gitexp.cli import select
from gitexp.cli.context import Context
from gitexp.cli.output import Output
from gitexp.compare import Comparison, compare_code, compare_runs
from gitexp.document import Document
from gitexp.errors import GitexpError, UsageError
from gitexp.git.numstat import count_changes
from gitexp.git.read import read_trees
from gitexp.memory import Memory
from gitexp.render.comparison import PEOPLE, PROGRAMS, Line, as_table, draw, lines_of, same_in_all
from gitexp.render.text import short

if TYPE_CHECKING:
    from gitexp.index.search import Found

MOST = 200
"""More runs than this are not compared: nobody reads that."""

_LEAST = 2
_NARROW = f"Narrow with --where or --since, or take some of them with -n {MOST}."


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "runs", metavar="RUN", nargs="*", help="id, latest, best:METRIC, a name or a tag"
    )
    select.add_options(parser)
    parser.add_argument(
        "-n", "--max-count", dest="count", type=int, metavar="N", help="at most N runs"
    )
    parser.add_argument(
        "--sort", metavar="A,B,…", help="take them in this order: 'max(acc) desc, params.lr'"
    )
    parser.add_argument("--all", action="store_true", help="show what is the same too")
    parser.add_argument("--transpose", action="store_true", help="one row a run")


def run(args: Namespace, context: Context) -> int:
    """Print the comparison."""
    memory, output = context.memory, context.output
    found = choose(args, memory)
    whole = compare_found(found, memory, everything=args.all)
    context.report_problems(memory)
    if output.json:
        output.data((whole if args.all else whole.differing()).to_dict())
    elif output.terminal:
        with output.pager(context.repository):
            sys.stdout.write(_text(whole, output, everything=args.all, by_run=args.transpose))
    else:
        lines = _shown(lines_of(whole, PROGRAMS), everything=args.all)
        output.table(*as_table(whole.runs, lines, by_run=args.transpose))
    return 0


def choose(args: Namespace, memory: Memory) -> list[Found]:
    """Return the runs to compare, each once.

    Raises:
        UsageError: Runs are both named and chosen by options, or a number is too small.
        GitexpError: A run is not found, or there are too few or too many.
    """
    options = (args.where, args.since, args.until, args.author, args.sort, args.count is not None)
    if not args.runs:
        found = _selected(args, memory)
    elif any(options):
        raise UsageError(
            "Runs are named and chosen by options at the same time.", "Leave out one of the two."
        )
    else:
        named = [memory.find(spec) for spec in args.runs]
        found = list({each.row.id: each for each in named}.values())
    if len(found) > MOST:
        raise GitexpError(f"These are more than {MOST} runs, too many to compare.", _NARROW)
    if len(found) < _LEAST:
        raise _too_few(found, memory)
    return found


def _selected(args: Namespace, memory: Memory) -> list[Found]:
    if args.count is not None and args.count < _LEAST:
        raise UsageError(f"-n must be {_LEAST} or more.")
    where = select.condition(args)
    return memory.search(where, sort=args.sort, limit=min(args.count or MOST + 1, MOST + 1))


def _too_few(found: list[Found], memory: Memory) -> GitexpError:
    if not found:
        hint = "List runs with 'git exp log'." if memory.count() else "No run is recorded here yet."
        return GitexpError("There is no run to compare.", hint)
    one = short(found[0].document["run"])
    return GitexpError(
        f"There is nothing to compare run {one} with.",
        f"Name another run; 'git exp diff {one}' compares it with the work tree.",
    )


def compare_found(found: Sequence[Found], memory: Memory, *, everything: bool) -> Comparison:
    """Compare runs and count how their code differs.

    Args:
        found: The runs.
        memory: Where they come from.
        everything: Packages are looked at even if all runs had the same.
    """
    documents = [each.document for each in found]
    repository = memory.repository
    trees = list(read_trees(repository, [document["run"] for document in documents]))
    pairs = [(trees[0], tree) for tree in trees[1:] if trees[0] and tree and tree != trees[0]]
    return compare_runs(
        documents,
        _environments(documents, memory, everything=everything),
        settings=repository.settings,
        code=compare_code(documents, trees, count_changes(repository, pairs)),
    )


def _environments(
    documents: Sequence[Document], memory: Memory, *, everything: bool
) -> list[bytes | None] | None:
    """Return the environment record of each run; None if all have the same and it may rest."""
    digests = {document.get("environment") for document in documents}
    if len(digests) == 1 and None not in digests and not everything:
        return None
    records = {digest: memory.environment(digest) for digest in digests}
    return [records[document.get("environment")] for document in documents]


def _shown(lines: list[Line], *, everything: bool) -> list[Line]:
    return [line for line in lines if everything or line.differs]


def _text(whole: Comparison, output: Output, *, everything: bool, by_run: bool) -> str:
    lines = lines_of(whole, PEOPLE)
    shown = _shown(lines, everything=everything)
    table = draw(whole.runs, shown, width=output.width, color=output.color, by_run=by_run)
    rest = ["Nothing differs."] if not shown else []
    if not everything and (words := same_in_all(whole)):
        rest.append(words)
    return "\n".join([table, *(f"{line}\n" for line in rest)])
