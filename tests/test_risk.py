"""Risk: the probability of a crash or a big loss."""

from __future__ import annotations

import pytest

from gitexp.methods.evidence import CRASHED
from gitexp.methods.risk import ASSUMED, is_bad, label, rate_of, risk_of


def test_a_crash_is_bad_and_so_is_a_loss_beyond_the_spread() -> None:
    assert is_bad(CRASHED)
    assert is_bad(-1.01)
    assert not is_bad(-1.0)
    assert not is_bad(2.0)


def test_without_runs_the_rate_is_assumed() -> None:
    assert rate_of([]) == ASSUMED


def test_many_runs_make_the_rate_theirs() -> None:
    assert rate_of([(False, 1.0)] * 900 + [(True, 1.0)] * 100) == pytest.approx(0.1, abs=0.01)


def test_without_runs_of_its_own_a_method_has_the_rate_of_the_project() -> None:
    assert risk_of([], 0.3) == pytest.approx(0.3)


def test_a_crash_raises_the_risk_and_a_good_run_lowers_it() -> None:
    assert risk_of([(True, 1.0)], 0.3) > 0.3 > risk_of([(False, 1.0)], 0.3)


def test_runs_that_are_only_alike_move_the_risk_less() -> None:
    assert 0.3 < risk_of([(True, 0.2)], 0.3) < risk_of([(True, 1.0)], 0.3) < 1


@pytest.mark.parametrize(
    ("risk", "word"),
    [(0.0, "low"), (0.149, "low"), (0.15, "medium"), (0.35, "high"), (1.0, "high")],
)
def test_a_risk_has_a_word(risk: float, word: str) -> None:
    assert label(risk) == word
