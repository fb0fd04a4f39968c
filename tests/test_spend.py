"""What runs cost, added up."""

from __future__ import annotations

from typing import Any

from gitexp.research.overview.shown import Row
from gitexp.research.overview.spend import NO_FAMILY, OTHERS, spend

DAY = 86_400 * 10**6


def row(number: int, **more: Any) -> Row:
    known = Row(bytes([number] * 20), number * DAY, None, "finished", 10.0, None, None, None)
    return known._replace(**more)


def test_nothing_costs_nothing() -> None:
    assert spend([]).seconds == 0
    assert spend([]).days == ()


def test_days_come_in_order_and_families_by_what_they_cost() -> None:
    found = spend([row(3, family="a"), row(1, family="b", duration=99.0), row(3)])
    assert [(day.name, day.runs) for day in found.days] == [("1970-01-02", 1), ("1970-01-04", 2)]
    assert [share.name for share in found.families] == ["b", NO_FAMILY, "a"]


def test_many_families_are_put_together() -> None:
    rows = [row(n, family=f"f{n:02}", duration=100.0 - n, tokens=1.0) for n in range(20)]
    found = spend(rows)
    assert len(found.families) == 13
    last = found.families[-1]
    assert (last.name, last.runs, last.tokens) == (OTHERS, 8, 8.0)
    assert sum(share.seconds for share in found.families) == found.seconds


def test_tokens_are_those_of_the_runs_that_say_so() -> None:
    found = spend([row(1, tokens=5.0), row(2)])
    assert found.tokens == 5.0
    assert spend([row(1)]).tokens is None


def test_a_clock_that_went_back_or_far_ahead_costs_nothing_and_breaks_nothing() -> None:
    found = spend([row(1, duration=-5.0), row(2, started=10**19), row(3, started=-(10**19))])
    assert found.seconds == 20.0
    assert {day.runs for day in found.days} == {1, 2}
