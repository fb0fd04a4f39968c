"""The options of ``git exp loop``, and what they say: a plan, budgets, a provider."""

from __future__ import annotations

import os
import shlex
import shutil
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Mapping
from pathlib import Path

from gitexp.cli.about import seconds
from gitexp.cli.goal_options import add_goal_options
from gitexp.errors import UsageError
from gitexp.git.repository import Repository
from gitexp.loop.plan import CONTEXT_TOKENS, FAILURES, RUN_SECONDS, Budgets, LoopPlan
from gitexp.loop.project import PROGRAM, Suggested, detect
from gitexp.naming import direction
from gitexp.providers.port import Provider

OPENAI_URL = "https://api.openai.com/v1"
_OPENAI_KEY = "OPENAI_API_KEY"

_SETTINGS = {
    "claude": (".claude", ".claude.json"),
    "codex": (".codex",),
    "gemini": (".gemini",),
}
"""Where agents keep their sessions, below the home folder, by the name of their program."""


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    _add_provider(parser)
    _add_goal(parser)
    _add_code(parser)
    _add_budgets(parser)
    parser.add_argument(
        "--context-tokens",
        type=int,
        metavar="N",
        help=f"tokens of what is known, in each prompt (default {CONTEXT_TOKENS})",
    )
    parser.add_argument(
        "--mode", choices=("explore", "exploit"), help="what the guard lets pass (exploit)"
    )
    parser.add_argument(
        "--no-memory", action="store_true", help="suggest no methods of the library"
    )
    parser.add_argument(
        "--sandbox",
        choices=("auto", "off", "require"),
        help="lock agents and runs in with bubblewrap: where it is there (auto), never, or else "
        "do not begin",
    )


def _add_provider(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("who proposes (one of --model, --agent, --script)")
    group.add_argument("--model", metavar="NAME", help="a model behind an endpoint")
    group.add_argument("--base-url", metavar="URL", help=f"the endpoint (default {OPENAI_URL})")
    group.add_argument(
        "--key-env",
        metavar="NAME",
        help=f"the environment variable with the key (default {_OPENAI_KEY} for OpenAI)",
    )
    group.add_argument(
        "--agent", metavar="CMD", help='a coding agent that edits files, such as "claude -p"'
    )
    group.add_argument("--script", metavar="FILE", help="proposals from a file, one JSON a line")
    group.add_argument(
        "--writable",
        action="append",
        default=[],
        metavar="PATH",
        help="what an agent may write to in a sandbox beside the worktree; those that are known "
        "of it (~/.claude, ~/.codex, ~/.gemini) by default; may be repeated",
    )


def _add_goal(parser: ArgumentParser) -> None:
    parser.add_argument("--metric", metavar="NAME", help="what counts (default: exprag.metric)")
    add_goal_options(parser)
    parser.add_argument(
        "--evaluate", metavar="CMD", help="measure with this after the training; only it counts"
    )
    parser.add_argument(
        "--pattern", metavar="REGEX", help="take metrics from output lines, as 'git exp run' does"
    )


def _add_code(parser: ArgumentParser) -> None:
    for option, text in (
        ("--allow", "what may change (default: all that git tracks)"),
        ("--protect", "what must not change, and is checked"),
        ("--link", "an ignored file or folder that runs need"),
    ):
        parser.add_argument(
            option, action="append", default=[], metavar="PATH", help=f"{text}; may be repeated"
        )
    parser.add_argument("--branch", metavar="NAME", help="the session's branch (exp/SESSION)")
    parser.add_argument(
        "--program", metavar="FILE", help=f"your instructions (default: {PROGRAM} if there is one)"
    )


def _add_budgets(parser: ArgumentParser) -> None:
    group = parser.add_argument_group("budgets")
    group.add_argument("--runs", type=_count, metavar="N", help="runs, failed ones included")
    group.add_argument("--time", type=seconds, metavar="TIME", help="in all: 90s, 30m, 8h")
    group.add_argument("--tokens", type=_tokens, metavar="N", help="sent and received: 200k, 2M")
    group.add_argument("--money", type=_money, metavar="USD", help="US dollars")
    group.add_argument(
        "--run-time", type=seconds, metavar="TIME", help=f"for one run ({RUN_SECONDS:.0f}s)"
    )
    group.add_argument(
        "--failures",
        type=_count,
        metavar="N",
        help=f"proposals in a row that give no value ({FAILURES})",
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) <= 1 << 40:
        raise ArgumentTypeError(f"{text!r} is no number above 0")
    return int(text)


def _tokens(text: str) -> int:
    units = {"k": 1_000, "m": 1_000_000}
    unit = units.get(text[-1:].lower(), 1)
    return _count(text[:-1] if unit > 1 else text) * unit


def _money(text: str) -> float:
    try:
        value = float(text.removeprefix("$"))
    except ValueError:
        value = -1.0
    if not 0 < value < 1e9:  # noqa: PLR2004 - nobody has more
        raise ArgumentTypeError(f"{text!r} is no amount of dollars such as 2.50")
    return value


# The plan


def plan_of(args: Namespace, repository: Repository) -> LoopPlan:
    """Return what the options ask for, with what the project suggests where they say nothing.

    Raises:
        UsageError: Something is missing, or cannot be understood.
    """
    found = detect(repository, os.environ.get("PATH"))
    command = tuple(args.after_dashes) or (found.command if found else ())
    metric, lower = _goal(args, repository, found)
    return LoopPlan(
        command=command,
        metric=metric,
        lower=lower,
        evaluate=_words(args.evaluate),
        folder=repository.prefix.rstrip("/") or ".",
        pattern=args.pattern,
        allow=_paths(args.allow, repository) or (found.allow if found else ()),
        protect=_paths(args.protect, repository) or (found.protect if found else ()),
        link=_links(args, repository) or (found.link if found else ()),
        branch=args.branch,
        program=_program(args, repository, found),
        budgets=budgets_of(args, Budgets()),
        context_tokens=args.context_tokens or CONTEXT_TOKENS,
        mode=args.mode or "exploit",
        methods=not args.no_memory,
        sandbox=args.sandbox or "auto",
        writable=_writable(args),
        provider=_provider_options(args),
    )


def _goal(args: Namespace, repository: Repository, found: Suggested | None) -> tuple[str, bool]:
    settings = repository.settings
    metric = args.metric or settings.get("exprag.metric") or (found.metric if found else None)
    if metric is None:
        raise UsageError(
            "It is not said which metric counts.", "Name it with --metric NAME and --min or --max."
        )
    return metric, direction(metric, settings, args.lower).lower


def _writable(args: Namespace) -> tuple[str, ...]:
    if args.writable or args.agent is None:
        return tuple(os.path.abspath(path) for path in args.writable)  # noqa: PTH100 - no resolving
    program = Path(args.agent.split()[0]).name if args.agent.split() else ""
    return tuple(str(Path.home() / name) for name in _SETTINGS.get(program, ()))


def _words(text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise UsageError(f"The command of --evaluate cannot be read: {error}.") from error
    if not words:
        raise UsageError("The command of --evaluate is empty.")
    return words


def _paths(given: list[str], repository: Repository) -> tuple[str, ...]:
    """Return paths relative to the top, as they are given relative to the current folder."""
    return tuple(os.path.normpath(Path(repository.prefix, path)) for path in given)


def _links(args: Namespace, repository: Repository) -> tuple[str, ...]:
    always = repository.configured(r"^exprag\.link$").get("exprag.link", [])
    there = tuple(
        os.path.normpath(path) for path in always if os.path.lexists(repository.top / path)
    )
    return tuple(dict.fromkeys(_paths(args.link, repository) + there))


def _program(args: Namespace, repository: Repository, found: Suggested | None) -> str | None:
    if args.program is not None:
        return _paths([args.program], repository)[0]
    return found.program if found else PROGRAM


def budgets_of(args: Namespace, known: Budgets) -> Budgets:
    """Return budgets with those that the options name in place of known ones."""
    return Budgets(
        runs=args.runs or known.runs,
        seconds=args.time or known.seconds,
        tokens=args.tokens or known.tokens,
        money=args.money or known.money,
        run_seconds=args.run_time or known.run_seconds,
        failures=args.failures or known.failures,
    )


# The provider


def _provider_options(args: Namespace) -> dict[str, str]:
    """Return what says who proposes, as the journal keeps it: never a key."""
    given = {
        "script": None if args.script is None else str(Path(args.script).absolute()),
        "agent": args.agent,
        "model": args.model,
        "base_url": args.base_url,
        "key_env": args.key_env,
    }
    return {name: text for name, text in given.items() if text is not None}


def provider_of(
    args: Namespace, known: Mapping[str, str], answers: int, environment: Mapping[str, str]
) -> Provider:
    """Return the provider that the options name, or else the one that is known from before.

    Args:
        args: The options.
        known: What a session's plan says of its provider.
        answers: How many answers a session has had: a script goes on after them.
        environment: Where keys are found.

    Raises:
        UsageError: None is named, or more than one.
        GitexpError: It cannot be used here.
    """
    asked = _provider_options(args)
    chosen = asked or dict(known)
    kinds = [kind for kind in ("script", "agent") if kind in chosen]
    if len(kinds) > 1 or ("script" in chosen and "model" in chosen):
        raise UsageError("More than one provider is named.", "Give --script, --agent or --model.")
    if "script" in chosen:
        from gitexp.providers.script import ScriptProvider

        start = answers if chosen["script"] == known.get("script") else 0
        return ScriptProvider(Path(chosen["script"]), start=start)
    keys = tuple(filter(None, [chosen.get("key_env")]))
    if "agent" in chosen:
        return _agent(chosen["agent"], chosen.get("model"), keys, environment)
    if "model" not in chosen:
        raise UsageError(
            "It is not said who proposes.",
            'Give --model NAME (with --base-url), --agent "CMD", or --script FILE.',
        )
    return _endpoint(chosen, environment)


def _agent(
    command: str, model: str | None, keys: tuple[str, ...], environment: Mapping[str, str]
) -> Provider:
    from gitexp.providers.agent import AgentProvider

    provider = AgentProvider(command, model=model, keys=keys)
    program = shlex.split(command)[0]
    if shutil.which(program, path=environment.get("PATH")) is None:
        raise UsageError(f"The agent {program!r} is not installed here.", "Look at your PATH.")
    return provider


def _endpoint(chosen: Mapping[str, str], environment: Mapping[str, str]) -> Provider:
    from gitexp.providers.openai import OpenAIProvider

    url = chosen.get("base_url", OPENAI_URL)
    name = chosen.get("key_env") or (_OPENAI_KEY if url == OPENAI_URL else None)
    key = None if name is None else environment.get(name)
    return OpenAIProvider(url, chosen["model"], key_name=name, key=key)
