"""The live view: fits any screen, shows what matters first, and nothing that a terminal obeys."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.follow import RunState
from gitexp.journal import Ending, Owner
from gitexp.records.facts import Failure, RunFact
from gitexp.render.live import View, goal_first, order, render, rounded
from gitexp.render.sparkline import ASCII, BLOCKS, sparkline
from gitexp.render.table import display_width
from tests.full_store import HOSTILE, is_harmless

SECOND = 1_000_000_000
START = 1769860800
NOW = START + 60.0


def state_of(
    name: str = "baseline", number: int = 0, paths: tuple[str, ...] = ("loss",), note: str = "hi"
) -> RunState:
    """A run of a minute with 30 calls."""
    state = RunState(f"{number:040x}")
    time = f"2026-01-31T12:00:{number % 60:02}.000000Z"
    state.take(Owner("here", 7, "then"))
    state.take(RunFact(time=time, by="Ada <ada@example.org>", name=name))
    for i in range(30):
        values = {path: float(i) for path in paths}
        state.take([(START + 30 + i) * SECOND, values, note if i == 3 else None, None])
    return state


def view_of(*states: RunState, goal: str | None = None, log: str = "", color: bool = False) -> View:
    return View(states, NOW, host="here", goal=goal, log=log, keys="q quits", color=color)


def test_a_run_is_shown_with_its_state_metrics_and_note() -> None:
    state = state_of()
    state.sample(NOW)
    title, head, metric, note = render(view_of(state), 100, 20)
    assert title.startswith("1 running")
    assert title.endswith("q quits")
    words = "baseline 000000000000 running 1 min seen 1 s ago 30 calls 0.5/s"
    assert head.split() == words.split()
    assert re.fullmatch(r"  loss +29  ▁[▁-█]+█ +min 0  max 29", metric)
    assert note == "  note: hi"


@pytest.mark.parametrize("height", range(13))
@pytest.mark.parametrize("width", [0, 1, 2, 5, 20, 40, 79, 80, 200])
def test_no_line_is_too_wide_and_there_are_not_too_many(width: int, height: int) -> None:
    states = [state_of("名前" * 20, i, ("loss", "a" * 90, "acc/ü")) for i in range(4)]
    states[1].take(Ending(START * SECOND, "failed", 1, Failure("ValueError", "long " * 90)))
    for shown in (states, states[:1], []):
        lines = render(view_of(*shown, log="line 1\nline 2\n" * 9), width, height)
        assert len(lines) <= height
        assert all(display_width(line) <= width for line in lines)
        assert bool(lines) == (width > 0 and height > 0)


@given(
    width=st.integers(1, 120),
    height=st.integers(1, 40),
    names=st.lists(st.text(max_size=60), max_size=6),
    log=st.text(max_size=200),
)
def test_any_names_and_any_log_fit_and_are_harmless(
    width: int, height: int, names: list[str], log: str
) -> None:
    states = [state_of(name, i, (name, "loss"), note=log) for i, name in enumerate(names)]
    lines = render(view_of(*states, log=log), width, height)
    assert len(lines) <= height
    for line in lines:
        assert display_width(line) <= width
        assert is_harmless(line)
        assert "\n" not in line


def test_text_by_others_is_escaped() -> None:
    state = state_of(HOSTILE, paths=(HOSTILE,), note=HOSTILE)
    state.owner = Owner(HOSTILE, 1, "")
    state.take(Ending(START * SECOND, "failed", 1, Failure(HOSTILE, HOSTILE)))
    shown = "\n".join(render(view_of(state, log=HOSTILE), 200, 20))
    assert is_harmless(shown)
    assert "\\e[31mred" in shown


def test_runs_in_progress_come_before_ended_ones() -> None:
    states = {str(i): state_of(f"run {i}", i) for i in range(4)}
    states["1"].take(Ending((START + 100) * SECOND, "finished"))
    states["3"].take(Ending((START + 90) * SECOND, "finished"))
    assert [state.name for state in order(states)] == ["run 2", "run 0", "run 1", "run 3"]


def test_the_goal_metric_comes_first_by_any_suffix() -> None:
    state = state_of(paths=("loss", "val.acc", "accuracy"))
    for goal in ("acc", "val.acc"):
        assert [path for path, _ in goal_first(state.metrics, goal)] == [
            "val.acc",
            "loss",
            "accuracy",
        ]
    assert list(goal_first(state.metrics, None)) == list(state.metrics.items())
    lines = render(view_of(state, goal="acc"), 80, 3)
    assert lines[1].startswith("  val.acc")


def test_an_ended_run_shows_how_and_why() -> None:
    state = state_of()
    state.take(Ending((START + 42) * SECOND, "crashed", 1, Failure("ValueError", "diverged")))
    shown = "\n".join(render(view_of(state), 100, 20))
    assert "0 running, 1 ended" in shown
    assert re.search(r"crashed +42 s", shown)
    assert "  ValueError: diverged\n" in shown


def test_a_run_elsewhere_says_where_and_when_it_was_seen() -> None:
    state = state_of()
    state.owner = Owner("node7", 1, "")
    shown = render(view_of(state)._replace(now=START + 659.0), 100, 20)[1]
    assert "on node7" in shown
    assert "seen 10 min ago" in shown


def test_a_journal_that_is_still_read_says_how_far() -> None:
    state = state_of()
    state.progress = 0.25
    assert "reading 25%" in render(view_of(state), 100, 20)[1]


def test_on_a_narrow_screen_what_matters_most_of_a_head_stays() -> None:
    head = render(view_of(state_of()), 20, 1)[0]
    assert head.split() == ["baseline", "running"]
    assert render(view_of(state_of()), 5, 1) == ["base…"]


def test_room_is_shared_among_runs_a_line_a_time() -> None:
    states = [state_of(f"run {i}", i, ("a", "b", "c")) for i in range(3)]
    lines = render(view_of(*states), 80, 10)
    assert [line.split()[0] for line in lines[1:]] == [
        *("run", "a", "note:"),
        *("run", "a", "note:"),
        *("run", "a", "note:"),
    ]


def test_runs_and_metrics_that_have_no_room_are_counted() -> None:
    states = [state_of(f"run {i}", i) for i in range(9)]
    assert render(view_of(*states), 80, 6)[-1] == "… 5 more"
    many = state_of(paths=tuple(f"m{i}" for i in range(50)), note="hi")
    lines = render(view_of(many), 80, 12)
    assert lines[-2:] == ["  … 42 more metrics", "  note: hi"]
    assert sum(line.startswith("  m") for line in lines) == 8


def test_the_only_run_shows_the_end_of_its_output() -> None:
    log = "".join(f"epoch {i}\n" for i in range(50)) + "50%\r100%"
    lines = render(view_of(state_of(), log=log), 80, 12)
    assert len(lines) == 12
    assert lines[4] == "--- output ---"
    assert lines[-2:] == ["epoch 49", "100%"]
    assert render(view_of(state_of(), log="one\ntwo\n"), 80, 30)[4:] == [
        "--- output ---",
        "one",
        "two",
    ]
    assert "epoch" not in "".join(render(view_of(state_of(), state_of(), log=log), 80, 12))


def test_colours_in_output_are_taken_out_and_tabs_are_spaces() -> None:
    log = "\x1b[32mgreen\x1b[0m\tx\x1b]0;title\x07\n\x1b[2Kbar\n"
    assert render(view_of(state_of(), log=log), 80, 30)[-2:] == ["green   x", "bar"]


def test_colours_of_ours_stand_around_whole_heads() -> None:
    lines = render(view_of(state_of(), color=True), 80, 20)
    assert lines[1].startswith("\x1b[1mbaseline")
    assert lines[1].endswith("\x1b[0m")
    assert re.sub(r"\x1b\[\d*m", "", lines[1]) == render(view_of(state_of()), 80, 20)[1]


def test_no_run_is_said() -> None:
    assert render(view_of(), 80, 24)[1:] == ["No run is in progress."]


@pytest.mark.parametrize(("rate", "text"), [(0.0, "0"), (0.512, "0.512"), (1234.5, "1234")])
def test_rates_have_three_digits(rate: float, text: str) -> None:
    assert rounded(rate) == text


# Sparklines


def test_a_sparkline_goes_from_the_least_value_to_the_greatest() -> None:
    assert sparkline(range(8), 20) == BLOCKS
    assert sparkline(range(8), 20, ascii_only=True) == ASCII
    assert sparkline([1, 0], 20) == "█▁"


def test_more_values_than_columns_are_means() -> None:
    assert sparkline([0, 0, 0, 4, 8, 8], 3) == sparkline([0, 2, 8], 3) == "▁▃█"


def test_a_constant_is_in_the_middle() -> None:
    assert sparkline([5.0, 5.0], 9) == "▅▅"


def test_what_is_not_finite_is_seen() -> None:
    assert sparkline([0.0, math.nan, 1.0, math.inf], 9) == "▁!█!"
    assert sparkline([math.nan], 9) == "!"


def test_the_widest_range_of_floats_has_a_sparkline() -> None:
    greatest = 1.7976931348623157e308
    assert sparkline([-greatest, 0.0, greatest], 3) == "▁▅█"
    assert sparkline([greatest, greatest], 1) == "▅"


@given(
    values=st.lists(st.floats() | st.integers(-(2**63), 2**64 - 1), max_size=50),
    width=st.integers(-1, 60),
)
def test_a_sparkline_is_never_too_wide(values: list[float], width: int) -> None:
    assert len(sparkline(values, width)) == min(len(values), max(width, 0))
