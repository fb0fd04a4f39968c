"""What tokens cost, by the table and by one's own prices."""

from __future__ import annotations

import pytest

from gitexp.errors import UsageError
from gitexp.providers.port import Tokens
from gitexp.providers.prices import cost_of, own_prices, price_of, price_table


def test_the_table_is_whole() -> None:
    table = price_table()
    assert len(table.prices) >= 20
    assert all(source.startswith("https://") for source in table.sources)
    for model, price in table.prices.items():
        assert model == model.lower()
        assert 0 < price.cached <= price.input < price.output


def test_cached_tokens_are_billed_as_cached_ones() -> None:
    # gpt-4o-mini: .15 sent, .075 cached, .6 received, by the million
    assert cost_of("gpt-4o-mini", Tokens(1_000_000, 0)) == pytest.approx(0.15)
    assert cost_of("gpt-4o-mini", Tokens(1_000_000, 0, cached=1_000_000)) == pytest.approx(0.075)
    assert cost_of("gpt-4o-mini", Tokens(0, 1_000_000)) == pytest.approx(0.6)
    assert cost_of("gpt-4o-mini", Tokens(10, 0, cached=99)) == pytest.approx(10 * 0.075e-6)


@pytest.mark.parametrize(
    ("said", "listed"),
    [
        ("openai/gpt-4o-mini", "gpt-4o-mini"),
        ("GPT-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("anthropic/claude-opus-4-8", "claude-opus-4.8"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4.5"),
        ("gpt-5.4-mini", "gpt-5.4-mini"),
    ],
)
def test_names_of_a_model_with_provider_and_date_have_one_price(said: str, listed: str) -> None:
    assert price_of(said) == price_table().prices[listed]


def test_a_model_that_nobody_knows_costs_an_unknown_amount_not_nothing() -> None:
    assert cost_of("my-own-7b", Tokens(10, 10)) is None


def test_ones_own_price_counts_before_the_table() -> None:
    own = own_prices(["gpt-4o-mini=1,0.5,2", "my-own-7b=0,0,0"])
    assert cost_of("gpt-4o-mini", Tokens(1_000_000, 0), own) == 1
    assert cost_of("my-own-7b", Tokens(10, 10), own) == 0


@pytest.mark.parametrize(
    "setting", ["m", "m=", "m=1,2", "m=a,b,c", "m=1,2,nan", "m=-1,0,0", "=1,2,3"]
)
def test_a_setting_that_names_no_prices_is_explained(setting: str) -> None:
    with pytest.raises(UsageError, match=r"exprag\.price"):
        own_prices([setting])
