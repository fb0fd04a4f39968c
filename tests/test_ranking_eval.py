"""The harness that rankings are measured with: leaks, wins, and what each ranker sees."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.eval.ranking import BLOCK, blocks_of, estimate_auc, estimate_regret, replay
from tests.eval.ranking_ledgers import (
    Ledger,
    Raw,
    auc,
    balance,
    ledger_leaks,
    make_ledger,
    read_ledgers,
    row_leaks,
)
from tests.eval.ranking_rankers import RISKS, WINNERS, Idea, Known, Past, idea_of
from tests.ledgers import write
from tests.support import LEDGERS

BASE = Raw("baseline", 1.0, False, "keep")


def made(values: list[float | None], text: str = "idea") -> Ledger:
    """Return a ledger of a kept baseline and discarded ideas; a value of None is a crash."""
    ideas = [
        Raw(f"{text} {chr(97 + n % 26)}", v, v is None, "discard") for n, v in enumerate(values)
    ]
    return make_ledger("made", [BASE, *ideas], lower=True)


@pytest.mark.parametrize(
    "text",
    [
        "raise lr, improved",
        "SwiGLU (worse)",
        "double the width: OOM",
        "crashed with nan",
        "depth 12 -> 0.9876",
        "no improvement from z-loss",
    ],
)
def test_texts_that_hold_the_outcome_leak(text: str) -> None:
    assert row_leaks(text, 0.9876)


@pytest.mark.parametrize(
    "text",
    [
        "raise lr to 0.04",
        "SwiGLU instead of ReLU",
        "depth 12",
        "batch 524288",
        "label noise 0.1",
        "",
    ],
)
def test_texts_from_before_the_run_do_not_leak(text: str) -> None:
    assert not row_leaks(text, 0.9876)


def test_a_setting_that_is_the_value_by_chance_needs_three_digits_to_leak() -> None:
    assert not row_leaks("dropout 0.1", 0.1)
    assert row_leaks("got 0.123", 0.1234)


def test_outcome_words_are_balanced() -> None:
    assert balance("improved, better") == 2
    assert balance("worse, OOM") == -2
    assert balance("try SwiGLU") == 0


def test_a_ledger_whose_words_tell_what_was_kept_leaks() -> None:
    told = [Raw("helps", 1.0, False, "keep"), Raw("hurts", 2.0, False, "discard")]
    plain = [Raw("swiglu", 1.0, False, "keep"), Raw("gelu", 2.0, False, "discard")]
    few = [*plain * 9, Raw("helps", 1.0, False, "keep"), Raw("helps", 2.0, False, "discard")]
    assert "of its rows leak" in ledger_leaks(told * 10)
    assert "AUC" in ledger_leaks([*told * 5, *plain * 5])
    assert ledger_leaks(plain * 10) == ledger_leaks(few) == ""


def test_the_texts_of_leaking_rows_are_shown_to_no_ranker_and_not_scored() -> None:
    rows = [BASE, *[Raw("idea", 1.0 + n / 100, False, "discard") for n in range(20)]]
    rows.append(Raw("idea that improved", 0.5, False, "keep"))
    ledger = make_ledger("made", rows, lower=True)
    assert ledger.rows[-1].shown == ""
    assert not ledger.rows[-1].scored
    assert ledger.rows[-2].scored
    assert make_ledger("made", rows, lower=True, leaky=True).rows[-1].scored


def test_effects_are_against_the_row_that_was_kept_last() -> None:
    rows = [BASE, Raw("a", -5.0, False, "keep"), Raw("b", 0.6, False, "discard")]
    assert [row.won for row in make_ledger("made", rows, lower=True).rows] == [None, True, False]
    assert [row.won for row in make_ledger("made", rows, lower=False).rows] == [None, False, True]


def test_a_discarded_row_is_no_base() -> None:
    rows = [BASE, Raw("a", 0.5, False, "discard"), Raw("b", 0.6, False, "discard")]
    assert make_ledger("made", rows, lower=True).rows[2].won


def test_a_crash_is_bad_and_no_win() -> None:
    row = made([1.1, None]).rows[-1]
    assert (row.effect, row.won, row.bad, row.crashed) == (-3.0, False, True, True)


def test_labels_use_no_later_row() -> None:
    generator = random.Random(5)
    values: list[float | None] = [generator.gauss(1, 0.1) for _ in range(40)]
    short, long = made(values[:20]).rows, made(values).rows
    assert long[: len(short)] == short


def test_rankers_see_nothing_of_the_row_to_come_and_of_later_ones_but_its_text() -> None:
    generator = random.Random(6)
    values: list[float | None] = [generator.gauss(1, 0.1) for _ in range(40)]
    other = [*values[:30], *(5 - value for value in values[30:] if value is not None)]
    every = WINNERS | RISKS
    one, two = (replay(made(each), every) for each in (values, other))
    first = sum(row.scored for row in made(values).rows[:32])
    for name in every:
        assert one.scores[name][:first] == two.scores[name][:first]


def test_an_auc_counts_ties_as_half() -> None:
    assert auc([1.0], [0.0]) == 1.0
    assert auc([0.0], [1.0]) == 0.0
    assert auc([1.0, 1.0], [1.0, 0.0]) == 0.75


def test_a_ranker_that_knows_the_outcome_has_an_auc_of_one_and_no_regret() -> None:
    generator = random.Random(7)
    ledger = made([generator.gauss(1, 0.1) for _ in range(60)])
    found = replay(ledger, WINNERS)
    found.scores["oracle"] = [row.effect or 0.0 for row in found.rows]
    found.slates["oracle"] = [0.0]
    assert estimate_auc([found], "oracle", lambda row: row.won).value == 1.0
    assert estimate_regret([found], "random").value > 0


def test_blocks_hold_all_scored_rows_in_order() -> None:
    found = replay(made([1.0 + n % 7 / 100 for n in range(80)]), RISKS)
    blocks = blocks_of(found)
    assert [row for block in blocks for row in block.rows] == found.rows
    assert len(blocks[0].rows) == BLOCK


def test_intervals_hold_the_figure() -> None:
    generator = random.Random(8)
    ledgers = [replay(made([generator.gauss(1, 0.1) for _ in range(40)]), WINNERS) for _ in "abcd"]
    estimate = estimate_auc(ledgers, "random", lambda row: row.won)
    assert estimate.low <= estimate.value <= estimate.high


def test_a_method_of_the_pack_that_a_text_names_is_its_family() -> None:
    assert idea_of("replace relu by SwiGLU").family == idea_of("swiglu with width 3").family
    assert idea_of("warmup 0.1 -> 0.2").family == idea_of("set warmup to 0.3").family


def test_rankers_prefer_what_won_and_fear_what_failed() -> None:
    known = Known()
    for number in range(12):
        good, bad = idea_of(f"raise warmup to {number}"), idea_of(f"lower dropout to {number}")
        known.add(Past(good, 1.0, True, False))
        known.add(Past(bad, -2.0, False, True))
    again, never = idea_of("raise warmup to 99"), idea_of("lower dropout to 99")
    for name in ("BM25 to past wins", "success rate", "LoopGraph", "UCB1", "gitexp mean"):
        assert WINNERS[name](known, again) > WINNERS[name](known, never), name
    for name in ("BM25 to past bad runs", "Beta by family", "gitexp risk"):
        assert RISKS[name](known, never) > RISKS[name](known, again), name


def test_every_ranker_scores_an_idea_without_words_and_without_a_past() -> None:
    for name, ranker in (WINNERS | RISKS).items():
        assert isinstance(ranker(Known(), Idea((), "")), float), name


def test_ledgers_are_read_as_an_import_reads_them(tmp_path: Path) -> None:
    rows = [
        f"c{n}\t{1 + n / 100}\t4.0\t{'keep' if n % 5 == 0 else 'discard'}\tidea {n}"
        for n in range(20)
    ]
    header = "commit\tval_bpb\tmemory_gb\tstatus\tdescription"
    write(tmp_path / "one" / "results.tsv", [header, *rows])
    write(tmp_path / "two" / "results.tsv", [header, *rows[:17]])
    (ledger,) = read_ledgers(tmp_path)
    assert ledger.name == "one/results.tsv"
    assert len(ledger.rows) == 20


@pytest.mark.skipif(not LEDGERS.is_dir(), reason="the public ledgers are not here")
def test_public_ledgers_that_tell_the_outcome_are_left_out() -> None:
    leaks = {ledger.name: ledger.leaks for ledger in read_ledgers(LEDGERS)}
    assert leaks["karpathy+autoresearch/pr109.loop_results.tsv"]
    assert not leaks["ChongHan+auto-microtune/results.tsv"]
