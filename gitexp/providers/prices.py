"""What tokens cost: list prices as data with a version, and one's own over them.

Prices change, and what a contract says differs from any list: the setting ``exprag.price``
(``MODEL=INPUT,CACHED,OUTPUT`` in US dollars per million tokens; several values) takes the place of
the table's. A model that neither knows costs an unknown amount, not nothing.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files

import msgspec

from gitexp.errors import UsageError
from gitexp.providers.port import Tokens

_PER = 1_000_000
_DATED = re.compile(r"[-@](?:20\d{2}-?\d{2}-?\d{2}|latest)$")
_VERSION_DASH = re.compile(r"(?<=\d)-(?=\d{1,2}(?:-|$))")


class Price(msgspec.Struct, frozen=True):
    """US dollars per million tokens: sent, sent and found in the provider's cache, received."""

    input: float
    cached: float
    output: float


class PriceTable(msgspec.Struct, frozen=True):
    """List prices.

    Attributes:
        version: Year and month in which they were looked up.
        unit: In words.
        sources: Where.
        prices: By the model's name, small letters.
    """

    version: str
    unit: str
    sources: tuple[str, ...]
    prices: dict[str, Price]


@functools.cache
def price_table() -> PriceTable:
    """Return the list prices that come with gitexp."""
    content = files("gitexp.providers").joinpath("prices.json").read_bytes()
    return msgspec.json.decode(content, type=PriceTable)


def own_prices(settings: Iterable[str]) -> dict[str, Price]:
    """Return the prices that settings name.

    Args:
        settings: Each ``MODEL=INPUT,CACHED,OUTPUT``.

    Raises:
        UsageError: One is not like that.
    """
    found = {}
    for setting in settings:
        model, _, prices = setting.partition("=")
        try:
            values = [float(part) for part in prices.split(",")]
        except ValueError:
            values = []
        if not model or len(values) != 3 or not all(0 <= v < math.inf for v in values):  # noqa: PLR2004 - input, cached, output
            raise UsageError(
                f"The setting exprag.price does not name prices: {setting!r}.",
                "It is to look like MODEL=0.25,0.025,2.0, in US dollars per million tokens.",
            )
        found[_plain(model)] = Price(*values)
    return found


def price_of(model: str, own: Mapping[str, Price] | None = None) -> Price | None:
    """Return the price of a model; None where it is not known.

    ``openai/GPT-5-mini-2026-01-31`` is ``gpt-5-mini``, ``claude-opus-4-8`` is ``claude-opus-4.8``.
    """
    known = price_table().prices | dict(own or {})
    plain = _plain(model)
    return known.get(plain) or known.get(_VERSION_DASH.sub(".", plain))


def cost_of(model: str, tokens: Tokens, own: Mapping[str, Price] | None = None) -> float | None:
    """Return what a call cost, in US dollars; None where the price is not known."""
    price = price_of(model, own)
    if price is None:
        return None
    cached = min(tokens.cached, tokens.prompt)
    sent = (tokens.prompt - cached) * price.input + cached * price.cached
    return (sent + tokens.completion * price.output) / _PER


def _plain(model: str) -> str:
    return _DATED.sub("", model.strip().lower().rpartition("/")[2])
