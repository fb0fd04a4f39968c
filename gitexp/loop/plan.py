"""What a session is to do: its command, its goal, what may change, and how much it may take.

A plan is written into the session's journal as it is, so that whoever resumes the session has it.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from gitexp.errors import UsageError
from gitexp.research.overview.brief import LEAST_TOKENS

SandboxChoice = Literal["auto", "off", "require"]
LoopMode = Literal["explore", "exploit"]

CONTEXT_TOKENS = 2_000
RUN_SECONDS = 600.0
FAILURES = 5


class Budgets(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a session may take; None is no limit.

    Attributes:
        runs: Runs, replicates and failed ones included.
        seconds: Wall time, summed over all sittings of the session.
        tokens: Tokens sent and received.
        money: US dollars.
        run_seconds: Wall time of one run, its evaluation included.
        failures: Proposals in a row that gave no value: blocked, not applicable, crashed, too slow.
    """

    runs: int | None = None
    seconds: float | None = None
    tokens: int | None = None
    money: float | None = None
    run_seconds: float = RUN_SECONDS
    failures: int = FAILURES


class LoopPlan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a session is to do.

    Attributes:
        command: The training command and its arguments.
        metric: Name of the metric that counts.
        lower: Lower is better.
        evaluate: Command that measures the metric after the training; empty where the training
            itself reports it.
        folder: Where the commands run, relative to the top of the work tree.
        pattern: Where results are in the output; see `gitexp.summary.parse_summary`.
        allow: Patterns of the paths that may change; empty for all that the code tracks.
        protect: Patterns of the paths that must not change.
        link: Ignored files and folders of the user's work tree that runs need.
        branch: The session's branch, without ``refs/heads/``; ``exp/<session>`` by default.
        program: Path of the file with the user's instructions, relative to the top.
        budgets: What it may take.
        context_tokens: Tokens of the brief in each prompt.
        mode: What the guard lets pass.
        methods: Whether the brief suggests methods of the library.
        sandbox: Whether agents and runs are locked in: where it can be done, never, or else not
            at all.
        writable: Absolute paths that an agent may write to in a sandbox: its own settings.
        provider: How to find the provider again, by option: never with a key.
    """

    command: tuple[str, ...]
    metric: str
    lower: bool
    evaluate: tuple[str, ...] = ()
    folder: str = "."
    pattern: str | None = None
    allow: tuple[str, ...] = ()
    protect: tuple[str, ...] = ()
    link: tuple[str, ...] = ()
    branch: str | None = None
    program: str | None = None
    budgets: Budgets = Budgets()
    context_tokens: int = CONTEXT_TOKENS
    mode: LoopMode = "exploit"
    methods: bool = True
    sandbox: SandboxChoice = "auto"
    writable: tuple[str, ...] = ()
    provider: dict[str, str] = {}


def require_valid(plan: LoopPlan) -> None:
    """Check a plan.

    Raises:
        UsageError: There is nothing to run, or a number makes no sense.
    """
    if not plan.command:
        raise UsageError(
            "There is no command to run.", "Put it last: git exp loop … -- python train.py"
        )
    if not plan.metric:
        raise UsageError(
            "It is not said which metric counts.", "Name it with --metric NAME and --min or --max."
        )
    if plan.context_tokens < LEAST_TOKENS:
        raise UsageError(f"The context takes at least {LEAST_TOKENS} tokens.")
    require_budgets(plan.budgets)


def require_budgets(budgets: Budgets) -> None:
    """Check budgets.

    Raises:
        UsageError: One is not a finite number above 0.
    """
    for name in Budgets.__struct_fields__:
        value = getattr(budgets, name)
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(
                f"The budget {name} is {value}, which is none.", "Give a number above 0."
            )
