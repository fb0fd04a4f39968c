"""Words of ideas: what keeps two of them apart, and what makes them one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gitexp.research.guard.aliases import Aliases
from gitexp.research.guard.text import inverse_frequency, likeness, marked_words, words

ALIASES = Aliases()


def meant(text: str) -> list[str]:
    return words(marked_words(text, ALIASES))


def alike(one: str, two: str) -> float:
    return likeness(meant(one), meant(two), lambda _: 1.0)[0]


def test_numbers_stay_whole() -> None:
    assert meant("lr 0.04, -0.1, 1e-4, 300s, 2x") == ["lr", "0.04", "-0.1", "0.0001", "300s", "2x"]


def test_one_number_is_one_word_however_it_is_written() -> None:
    assert meant("lr 4e-2") == meant("LR .04") == meant("learning-rate 0.04")


def test_ten_times_the_learning_rate_is_another_idea() -> None:
    assert alike("set lr 0.04", "set lr 0.4") < 0.5
    assert alike("set lr 0.04", "use lr 4e-2") == 1


def test_up_and_down_are_told_apart() -> None:
    assert meant("increase warmup") == meant("raise the warm-up") == ["up", "warmup"]
    assert alike("increase the warmup of matrices", "reduce the warmup of matrices") < 0.3


def test_swiglu_is_not_geglu() -> None:
    assert meant("SwiGLU") != meant("GeGLU")
    assert alike("SwiGLU in the mlp", "GeGLU in the mlp") < 0.6


def test_the_rarer_word_weighs_more() -> None:
    weights = {"rare": inverse_frequency(1000, 1), "common": inverse_frequency(1000, 900)}
    score, both = likeness(["rare", "common"], ["common"], weights.__getitem__)
    assert score < 0.1
    assert both == ["common"]


def test_a_range_is_two_numbers_without_a_sign() -> None:
    assert meant("0.04-0.4") == ["0.04", "0.4"]


@given(st.text(max_size=200), st.text(max_size=200))
def test_likeness_is_a_share_and_the_same_both_ways(one: str, two: str) -> None:
    assert 0 <= alike(one, two) <= 1
    assert abs(alike(one, two) - alike(two, one)) < 1e-9


@given(st.text(max_size=200))
def test_a_text_is_like_itself(text: str) -> None:
    assert not meant(text) or abs(alike(text, text) - 1) < 1e-9 or "up" in meant(text)
