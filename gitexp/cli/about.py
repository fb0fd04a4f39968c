"""What is said about a run on the command line: the options that run and record share."""

from __future__ import annotations

import json
import math
import os
import re
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gitexp.cli.context import Context
from gitexp.errors import UsageError
from gitexp.git.refs import is_run_id
from gitexp.render.text import number, safe, short, span
from gitexp.run import Run

_NAME_LENGTH = 60
_SHOWN_METRICS = 6
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
_INTERPRETER = re.compile(r"python[0-9.]*|pypy[0-9.]*|bash|sh|zsh|env|time|nice|Rscript|julia|node")


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    add_idea_options(parser)
    parser.add_argument(
        "--input",
        action="append",
        default=[],
        metavar="PATH",
        help="data whose fingerprint is recorded; may be repeated",
    )
    parser.add_argument("--parent", metavar="RUN", help="the run that this one continues")
    parser.add_argument(
        "--cites",
        action="append",
        default=[],
        metavar="METHOD",
        help="a method that it puts to work ('git exp methods list'); may be repeated",
    )
    add_result_options(parser)


def add_idea_options(parser: ArgumentParser) -> None:
    """Declare the options about what is tried."""
    parser.add_argument("-m", "--description", metavar="TEXT", help="what is tried")
    parser.add_argument("--hypothesis", metavar="TEXT", help="what is expected, and why")
    parser.add_argument("--family", metavar="NAME", help="the line of ideas that it belongs to")
    parser.add_argument(
        "--tag", action="append", default=[], metavar="TAG", help="a label; may be repeated"
    )
    parser.add_argument(
        "--param",
        action="append",
        default=[],
        type=parameter,
        metavar="KEY=VALUE",
        help="a parameter; VALUE is JSON or else text, dots in KEY nest; may be repeated",
    )
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the random numbers")


def add_result_options(parser: ArgumentParser) -> None:
    """Declare the options about what came out of a run."""
    parser.add_argument(
        "--pattern",
        metavar="REGEX",
        help="take metrics from output lines, with the groups 'key' and 'value', or one a metric",
    )
    parser.add_argument(
        "--no-decision", action="store_true", help="do not say what to do next about the run"
    )


def given(args: Namespace, context: Context) -> dict[str, Any]:
    """Return what the options say, as arguments of `gitexp.Experiment`.

    Inside of another run this one is its child, not a part of it: ``GITEXP_RUN`` is taken out
    of the environment.

    Raises:
        UsageError: Parameters contradict each other.
        RunNotFoundError: No run answers to ``--parent``.
        GitexpError: No method answers to ``--cites``.
    """
    outer = os.environ.pop("GITEXP_RUN", "")
    parent = outer if is_run_id(outer) else None
    if args.parent is not None:
        parent = context.memory.get(args.parent).id
    return {
        "params": nested(args.param),
        "tags": args.tag,
        "description": args.description,
        "hypothesis": args.hypothesis,
        "family": args.family,
        "seed": args.seed,
        "inputs": args.input,
        "parent": parent,
        "metadata": _cited(args, context),
    }


def _cited(args: Namespace, context: Context) -> dict[str, Any] | None:
    """Return what is kept of the methods that a run cites; None where it cites none."""
    if not args.cites:
        return None
    return {"cites": [context.library.method(spec).slug for spec in args.cites]}


def seconds(text: str) -> float:
    """Return a length of time such as ``90``, ``300s``, ``5m`` or ``1.5h`` in seconds."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if found is None or not 0 < float(found[1]) < math.inf:
        raise ArgumentTypeError(f"{text!r} is no length of time such as 300s, 5m or 1h")
    return float(found[1]) * _SECONDS[found[2]]


def parameter(text: str) -> tuple[str, Any]:
    """Return a parameter given as ``KEY=VALUE``; a value that is not JSON is text."""
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ArgumentTypeError(f"{text!r} is not of the form KEY=VALUE")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


def nested(parameters: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return parameters with dots in their keys as nested dicts.

    Raises:
        UsageError: A key is given both a value and keys below it.
    """
    result: dict[str, Any] = {}
    for key, value in parameters:
        *folders, last = key.split(".")
        place: Any = result
        for folder in folders:
            place = place.setdefault(folder, {}) if isinstance(place, dict) else None
        if not isinstance(place, dict) or isinstance(place.get(last), dict):
            raise UsageError(f"The parameter {key!r} contradicts another one.", "Rename one.")
        place[last] = value
    return result


def default_name(command: Sequence[str]) -> str:
    """Return a short name for a command: its words without interpreters and folders."""
    words = list(command)
    while _INTERPRETER.fullmatch(Path(words[0]).name):
        if words[1:2] == ["-m"] and len(words) > 2:  # noqa: PLR2004
            del words[:2]
        elif len(words) > 1 and not words[1].startswith("-"):
            del words[0]
        else:
            break
    shown = [Path(word).name if "/" in word else word for word in words]
    return short_name(" ".join(shown)) or "run"


def short_name(text: str) -> str:
    """Return a text as the name of a run: in one line, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _NAME_LENGTH else line[: _NAME_LENGTH - 1].rstrip() + "…"


def result_line(run: Run) -> str:
    """Return in one line what was recorded, fit for a terminal."""
    metrics = [f"{safe(k)} {number(s.last)}" for k, s in list(run.metrics.items())[:_SHOWN_METRICS]]
    if len(run.metrics) > _SHOWN_METRICS:
        metrics.append(f"{len(run.metrics) - _SHOWN_METRICS} more")
    head = f"run {short(run.id)} ({safe(run.name)}) {run.status} in {span(run.duration or 0)}"
    return f"{head}: {', '.join(metrics)}" if metrics else head
