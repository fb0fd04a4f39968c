"""Budgets: what a session has taken, and whether the next call or run still fits.

What was taken is the sum over the session's journal, so it is the same after a resume. A call
that was begun, and of which nobody knows how it ended, has taken all that it could have.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from gitexp.errors import UsageError
from gitexp.loop.plan import Budgets

Over = Literal["runs", "time", "tokens", "money", "failures"]

MOST_ANSWER_TOKENS = 8_192
LEAST_ANSWER_TOKENS = 512
"""An answer that may have fewer tokens is not asked for: it could hold no edit."""

_SENTENCES: dict[Over, str] = {
    "runs": "The budget of runs is used up.",
    "time": "The time is up.",
    "tokens": "The budget of tokens is used up.",
    "money": "The budget of money is used up.",
    "failures": "Too many proposals in a row gave no value.",
}


@dataclass(frozen=True)
class Spent:
    """What a session has taken.

    Attributes:
        runs: Runs that were begun.
        seconds: Wall time of all its sittings.
        prompt: Tokens sent; `completion`: received; `estimated` where some were counted here.
        money: US dollars, of the calls whose price is known; `unpriced` calls have none.
        calls: Calls of the provider.
        failures: Proposals in a row that gave no value.
    """

    runs: int = 0
    seconds: float = 0.0
    prompt: int = 0
    completion: int = 0
    estimated: bool = False
    money: float = 0.0
    unpriced: int = 0
    calls: int = 0
    failures: int = 0

    @property
    def tokens(self) -> int:
        """Sent and received."""
        return self.prompt + self.completion


def over(budgets: Budgets, spent: Spent) -> Over | None:
    """Return which budget leaves no room for anything more; None where all do."""
    if budgets.runs is not None and spent.runs >= budgets.runs:
        return "runs"
    if budgets.seconds is not None and spent.seconds >= budgets.seconds:
        return "time"
    if budgets.tokens is not None and spent.tokens >= budgets.tokens:
        return "tokens"
    if budgets.money is not None and spent.money >= budgets.money:
        return "money"
    return "failures" if spent.failures >= budgets.failures else None


def sentence(which: Over) -> str:
    """Return in words that a budget is over."""
    return _SENTENCES[which]


def time_left(budgets: Budgets, spent: Spent) -> float:
    """Return the seconds that are left; infinity without a budget."""
    return math.inf if budgets.seconds is None else max(0.0, budgets.seconds - spent.seconds)


def answer_tokens(budgets: Budgets, spent: Spent, prompt: int) -> int | None:
    """Return how many tokens the answer to a prompt of so many may have; None for too few."""
    if budgets.tokens is None:
        return MOST_ANSWER_TOKENS
    left = min(MOST_ANSWER_TOKENS, budgets.tokens - spent.tokens - prompt)
    return left if left >= LEAST_ANSWER_TOKENS else None


def fits_money(budgets: Budgets, spent: Spent, most: float | None) -> bool:
    """Say whether a call that may cost so much still fits.

    Raises:
        UsageError: There is a budget of money, and nobody knows what the call costs.
    """
    if budgets.money is None:
        return True
    if most is None:
        raise UsageError(
            "There is a budget of money, and the price of this model is not known.",
            "Say it with 'git config exprag.price MODEL=INPUT,CACHED,OUTPUT', in US dollars per "
            "million tokens, or leave --money out.",
        )
    return spent.money + most <= budgets.money
