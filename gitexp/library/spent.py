"""What models took: tokens, money and time, of any set of calls."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import msgspec

from gitexp.records.library import Usage


class Spent(msgspec.Struct, frozen=True, omit_defaults=True):
    """What some calls took together.

    Attributes:
        name: What they have in common: a model, a day, a run; empty of all calls.
        calls: How many; of `estimated` ones the tokens were counted here.
        prompt: Tokens that were sent; `cached` of them were billed as cached ones.
        completion: Tokens that came back.
        cost: In US dollars, of the calls whose price is known; absent where none is.
        unpriced: Calls whose price is not known.
        seconds: How long they took.
    """

    name: str
    calls: int
    prompt: int
    completion: int
    seconds: float
    cached: int = 0
    estimated: int = 0
    cost: float | None = None
    unpriced: int = 0

    @property
    def tokens(self) -> int:
        """All tokens, sent and received."""
        return self.prompt + self.completion


def together(name: str, calls: Iterable[Usage]) -> Spent:
    """Return what some calls took together."""
    listed = list(calls)
    costs = [call.cost for call in listed if call.cost is not None]
    return Spent(
        name,
        len(listed),
        sum(call.prompt for call in listed),
        sum(call.completion for call in listed),
        math.fsum(call.seconds for call in listed),
        sum(call.cached for call in listed),
        sum(call.estimated for call in listed),
        math.fsum(costs) if costs else None,
        len(listed) - len(costs),
    )


def grouped(calls: Iterable[Usage], name_of: Callable[[Usage], str]) -> list[Spent]:
    """Return what calls took by what they have in common, in the order of the first of each."""
    groups: dict[str, list[Usage]] = {}
    for call in calls:
        groups.setdefault(name_of(call), []).append(call)
    return [together(name, group) for name, group in groups.items()]
