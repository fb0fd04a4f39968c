"""Compare two runs, or a run with the work tree.

Of two runs the parameters, metrics, surroundings and outcomes that differ come first; then the
code, by git's own diff with your colours and pager. One RUN is compared with the work tree, as
'git diff RUN' does it. --name-only prints nothing but names.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Any

from gitexp.cli.context import Context
from gitexp.cli.output import Output
from gitexp.compare import Compared, ComparedMetric, Gap, Pair
from gitexp.errors import GitexpError, MissingObjectError
from gitexp.git.diff import Sides
from gitexp.git.process import run_git
from gitexp.git.read import resolve
from gitexp.memory import Memory
from gitexp.records.nested import number_from_json
from gitexp.render.text import cell, number, safe, safe_lines, safe_patch, short
from gitexp.run import Run

AFTER_DASHES = "[-- PATH…]"


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("run", metavar="RUN", help="id, latest, best:METRIC, a name or a tag")
    parser.add_argument(
        "other", metavar="RUN", nargs="?", help="another run; the work tree if not given"
    )
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--stat", action="store_true", help="count changed lines instead")
    form.add_argument("--name-only", action="store_true", help="print the changed paths alone")


def run(args: Namespace, context: Context) -> int:
    """Print the comparison and the code's diff."""
    memory, output = context.memory, context.output
    a = memory.get(args.run)
    b = memory.get(args.other) if args.other is not None else None
    comparison = compare_runs(memory, a, b) if b is not None else None
    sides = Sides(context.repository, a.id, b.id if b else None, args.after_dashes)
    failure: GitexpError | None = None
    if output.json:
        data, failure = as_json(comparison, sides, patch=not (args.stat or args.name_only))
        output.data(data)
    else:
        code = b""
        try:
            _require_code(sides)
            code = sides.text(*_options(args, output, context))
        except GitexpError as error:
            failure = error
        with output.pager(context.repository):
            if comparison is not None and b is not None and not args.name_only:
                _print_comparison(output, comparison, a, b)
            _print_code(output, code)
    if failure is not None:
        raise failure
    return 0


def compare_runs(memory: Memory, a: Run, b: Run) -> Pair:
    """Return what differs between two runs beside their code."""
    return memory.diff(a, b)


def as_json(
    comparison: Pair | None, sides: Sides, *, patch: bool
) -> tuple[dict[str, Any], GitexpError | None]:
    """Return the comparison in the shape of ``--json``, and why the code is not in it, if so."""
    data: dict[str, Any] = {"a": sides.old} if comparison is None else comparison.to_dict()
    try:
        _require_code(sides)
        data["files"] = [
            {
                "path": _text(file.path),
                "added": file.added,
                "deleted": file.deleted,
                **({} if file.old_path is None else {"old_path": _text(file.old_path)}),
            }
            for file in sides.changed_files()
        ]
        if patch:
            data["patch"] = _text(sides.text("--no-ext-diff", "--no-color"))
    except GitexpError as error:
        return data, error
    return data, None


def _require_code(sides: Sides) -> None:
    for run_id in (sides.old, sides.new):
        if run_id is not None and resolve(sides.repository, run_id) is None:
            raise MissingObjectError(
                f"The code of run {short(run_id)} is not in this repository.",
                "Fetch the run from the repository that has it.",
            )


def _text(content: bytes) -> str:
    return content.decode("utf-8", "backslashreplace")


def _options(args: Namespace, output: Output, context: Context) -> list[str]:
    options = ["--color=always" if output.color and _git_colors(context) else "--no-color"]
    if args.stat:
        options.append(f"--stat={output.width}" if output.terminal else "--stat")
    if args.name_only:
        options.append("--name-only")
    return options


def _git_colors(context: Context) -> bool:
    """Ask git whether the user wants colours in diffs on a terminal."""
    answer = run_git(
        ["config", "--type=bool-or-str", "--get", "--default=auto", "color.diff"],
        cwd=context.repository.top,
    )
    return answer.strip() not in (b"false", b"never")


def _print_code(output: Output, code: bytes) -> None:
    if not output.terminal:
        output.raw(code)
    elif code:
        text = _text(code)
        output.raw((safe_patch(text) if output.color else safe_lines(text)).encode())
    else:
        output.line("The code is the same.")


def _print_comparison(output: Output, comparison: Pair, a: Run, b: Run) -> None:
    for letter, run_shown in (("a", a), ("b", b)):
        output.line(f"{letter}  {short(run_shown.id)}  {run_shown.name}")
    environment = comparison.environment
    for title, found in (
        ("outcome", comparison.outcome),
        ("parameters", comparison.parameters),
        ("metadata", comparison.metadata),
        ("inputs", comparison.inputs),
        ("system", environment.system if environment else ()),
        ("packages", environment.packages if environment else ()),
    ):
        if found:
            rows = [[safe(difference.name), *_both(difference)] for difference in found]
            output.aligned([title, "a", "b"], rows)
    if comparison.metrics:
        header = ["metrics", "goal", "last a", "last b", "best a", "best b"]
        output.aligned(header, [_metric_row(pair) for pair in comparison.metrics])
    output.line()


def _both(difference: Compared) -> list[str]:
    return ["" if isinstance(value, Gap) else cell(value) for value in difference.values]


def _metric_row(pair: ComparedMetric) -> list[str]:
    last = [number(number_from_json(side.last)) if side else "" for side in pair.values]
    best = [number(side.best) if side else "" for side in pair.values]
    return [safe(pair.name), pair.goal, *last, *best]
