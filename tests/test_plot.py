from __future__ import annotations

import itertools
import math
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.errors import GitexpError
from gitexp.render.plot import Axis, Curve, Figure, lines
from gitexp.render.plot_svg import draw_svg
from gitexp.render.plot_text import draw_text
from tests.full_store import HOSTILE, is_harmless
from tests.support import python

SVG = "{http://www.w3.org/2000/svg}"
NUMBERS = st.floats() | st.integers(-(10**400), 10**400)
FIGURES = st.builds(
    Figure,
    st.lists(
        st.lists(st.tuples(NUMBERS, NUMBERS), max_size=8).map(
            lambda points: Curve("run", [x for x, _ in points], [y for _, y in points])
        ),
        max_size=3,
    ),
)


def falling(count: int = 50, label: str = "run") -> Curve:
    return Curve(label, range(count), [1 / (i + 1) for i in range(count)])


def labels(axis: Axis, count: int = 5) -> list[str]:
    return [tick.label for tick in axis.ticks(count)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1], ["0", "1"]),
        ([0.0, 1.0], ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
        ([0, 1_000_000], ["0", "0.2M", "0.4M", "0.6M", "0.8M", "1.0M"]),
        ([0, 3e9], ["0", "0.5G", "1.0G", "1.5G", "2.0G", "2.5G", "3.0G"]),
        ([-1e-5, 1e-5], ["-1.0e-5", "-5.0e-6", "0", "5.0e-6", "1.0e-5"]),
        ([100_000.1, 100_000.3], ["100000.10", "100000.15", "100000.20", "100000.25", "100000.30"]),
        ([5.0], ["4.6", "4.8", "5.0", "5.2", "5.4"]),
        ([0.0], ["-1.0", "-0.5", "0", "0.5", "1.0"]),
        ([0, 3], ["0", "1", "2", "3"]),
    ],
    ids=repr,
)
def test_ticks_are_at_round_values(values: list[float], expected: list[str]) -> None:
    assert labels(Axis(values)) == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 1e6], ["1", "100", "10k", "1M"]),
        ([0.001, 1], ["0.001", "0.01", "0.1", "1"]),
        ([0, 0.15, 3], ["0.2", "0.5", "1", "2"]),
        ([2.1, 2.4], ["2.10", "2.15", "2.20", "2.25", "2.30", "2.35", "2.40"]),
        ([1e-300, 1e300], ["1e-200", "1", "1e200"]),
    ],
    ids=repr,
)
def test_logarithmic_ticks_are_powers_of_ten_where_they_fit(
    values: list[float], expected: list[str]
) -> None:
    assert labels(Axis(values, log=True)) == expected


def test_a_logarithmic_axis_without_positive_values_is_refused() -> None:
    with pytest.raises(GitexpError, match="none of its values is positive"):
        Axis([0, -1], log=True)
    assert labels(Axis([math.nan], log=True)), "nothing finite at all is nobody's fault"


@given(st.lists(NUMBERS, max_size=20), st.booleans(), st.integers(1, 12))
def test_every_axis_has_distinct_ticks_in_its_bounds(
    values: list[float], log: bool, count: int
) -> None:
    try:
        axis = Axis(values, log=log)
    except GitexpError:
        return
    places = [tick.place for tick in axis.ticks(count)]
    assert all(0 <= place <= 1 for place in places)
    assert all(a < b for a, b in itertools.pairwise(places))
    assert len(places) <= 3 * count + 4
    placed = [place for place in map(axis.place, values) if place is not None]
    assert all(-1e-9 <= place <= 1 + 1e-9 for place in placed)


def test_lines_break_at_gaps_and_where_steps_go_back() -> None:
    xs, ys = [0, 1, 2, 3, 4, 2, 3], [1.0, 2.0, math.nan, math.inf, 2.0, 1.0, 2.0]
    found = lines((xs, ys), Axis([0, 4]), Axis([0, 2]))
    assert found == [[(0, 0.5), (0.25, 1)], [(1, 1)], [(0.5, 0.5), (0.75, 1)]]


def test_what_is_not_positive_is_a_gap_on_a_logarithmic_axis() -> None:
    found = lines(([1, 2, 3], [1.0, 0.0, 10.0]), Axis([1, 3]), Axis([1.0, 0.0, 10.0], log=True))
    assert found == [[(0, 0)], [(1, 1)]]


PICTURE = """\
loss
1.0 ┤⢣
    │ ⢇
    │ ⠈⡆
0.5 ┤  ⠘⡄
    │   ⠈⠢⡀
    │     ⠈⠑⠤⢄⣀
    │          ⠉⠉⠉⠒⠒⠒⠤⠤⢄⣀⣀⣀⣀
    └┬─────────────┬────────
     0             5
               step
⠤⠤ one
"""


def test_a_curve_in_braille() -> None:
    curve = Curve("one", range(9), [1 / (i + 1) for i in range(9)])
    assert draw_text(Figure([curve], "loss"), width=28, height=12) == PICTURE


ASCII_PICTURE = """\
2 +        **
  |      **
  |    **
  |  **
1 +**
  |
  |
0 +++++++++++
  ++---+----+
   0   1    2
      step
** a\\xe9
++ b
"""


def test_two_curves_in_ascii() -> None:
    curves = [Curve("aé", [0, 2], [1, 2]), Curve("b", [0, 1, 2], [0, 0, 0])]
    got = draw_text(Figure(curves), width=13, height=13, ascii_only=True)
    assert got == ASCII_PICTURE


def test_several_curves_are_told_apart_by_colour_or_else_by_marks() -> None:
    figure = Figure([falling(label="a"), falling(20, label="b")])
    colored, plain = draw_text(figure, color=True), draw_text(figure)
    assert "\x1b[36m" in colored
    assert "\x1b[35m" in colored
    assert "\x1b" not in plain
    assert plain.splitlines()[-2:] == ["•• a", "++ b"]
    assert "+" in plain.splitlines()[0] + plain.splitlines()[1]


@pytest.mark.parametrize("width", [40, 80, 120, 300])
@pytest.mark.parametrize("options", [{}, {"ascii_only": True}], ids=["braille", "ascii"])
def test_no_line_is_wider_than_was_asked_for(width: int, options: dict[str, bool]) -> None:
    figure = Figure([falling(label="long " * 99), falling(7)], "title " * 99, "label " * 99)
    text = draw_text(figure, width=width, height=24, **options)
    assert max(map(len, text.splitlines())) <= width + (5 if options else 0)
    assert len(text.splitlines()) == 24


@given(FIGURES, st.booleans(), st.booleans(), st.booleans())
def test_every_figure_can_be_drawn(
    figure: Figure, log: bool, color: bool, ascii_only: bool
) -> None:
    figure = figure._replace(log_x=log, log_y=log)
    try:
        text = draw_text(figure, color=color, ascii_only=ascii_only)
    except GitexpError:
        return
    assert len(text.splitlines()) == 20
    assert text.isascii() or not ascii_only
    ET.fromstring(draw_svg(figure))


def test_a_run_without_finite_values_is_named_as_such() -> None:
    text = draw_text(Figure([Curve("gone", [0, 1], [math.nan, math.inf])]))
    assert text.endswith("⠤⠤ gone (no finite value)\n")


def test_a_lone_point_and_a_constant_are_drawn() -> None:
    for curve in (Curve("a", [3], [0.5]), Curve("a", range(5), [7.0] * 5)):
        drawn = draw_text(Figure([curve])).rpartition("└")[0]
        assert any("\u2800" < c <= "\u28ff" for c in drawn)
        root = ET.fromstring(draw_svg(Figure([curve])))
        assert bool(root.findall(f".//{SVG}circle")) == (len(curve.xs) == 1)


def test_texts_by_others_reach_no_terminal_and_no_markup() -> None:
    hostile = Figure([falling(label=HOSTILE + "<script>&\"'")], HOSTILE + "</svg>", HOSTILE)
    for text in (draw_text(hostile), draw_svg(hostile)):
        assert is_harmless(text)
    root = ET.fromstring(draw_svg(hostile))
    assert not root.findall(f".//{SVG}script")
    assert any("<script>&\"'" in (text.text or "") for text in root.iter(f"{SVG}text"))


def paths(figure: Figure, kind: str) -> list[Any]:
    return ET.fromstring(draw_svg(figure)).findall(f".//{SVG}path[@class='{kind}']")


def test_an_svg_has_a_path_and_a_legend_entry_for_each_curve() -> None:
    figure = Figure([falling(label=f"run {i}") for i in range(20)], "loss")
    drawn = paths(figure, "curve")
    assert len(drawn) == 40
    assert len({(p.get("stroke"), p.get("stroke-dasharray")) for p in drawn}) == 20
    root = ET.fromstring(draw_svg(figure))
    said = [text.text for text in root.iter(f"{SVG}text")]
    assert {"loss", "step", *(f"run {i}" for i in range(20))} <= set(said)


def test_an_svg_follows_the_colours_of_the_page() -> None:
    assert "prefers-color-scheme:dark" in draw_svg(Figure([falling()]))


def test_what_was_smoothed_is_faint_behind_the_curve() -> None:
    curve = falling()._replace(behind=([0, 1, 2], [5.0, math.nan, 4.0]))
    assert len(paths(Figure([curve]), "behind")) == 1
    assert paths(Figure([falling()]), "behind") == []
    assert Figure([curve]).axes()[1].high == 5.0


def test_a_png_is_as_large_as_was_asked_for() -> None:
    pytest.importorskip("matplotlib")
    from gitexp.render.plot_png import draw_png

    hostile = [
        falling(label=f"_{HOSTILE} $x 漢"),
        Curve("$a_b$", [3], [10**400]),
        Curve("", [1], [2]),
    ]
    figure = Figure(hostile, "$\\frac{$", "$^$")
    for log in (False, True):
        image = draw_png(figure._replace(log_x=log, log_y=log), width=640, height=400)
        assert image[:8] == b"\x89PNG\r\n\x1a\n"
        assert [int.from_bytes(image[i : i + 4], "big") for i in (16, 20)] == [640, 400]


def test_a_png_needs_no_window_system_and_leaves_pyplot_alone() -> None:
    pytest.importorskip("matplotlib")
    code = (
        "import sys\n"
        "from gitexp.render.plot import Curve, Figure\n"
        "from gitexp.render.plot_png import draw_png\n"
        "draw_png(Figure([Curve('a', [1, 2], [1, 2])]))\n"
        "print('matplotlib.pyplot' in sys.modules)"
    )
    assert python(code, MPLBACKEND="tkagg").split() == ["False"]


def test_without_matplotlib_the_message_names_the_extra() -> None:
    code = (
        "import sys\n"
        "sys.modules['matplotlib'] = None\n"
        "from gitexp.errors import GitexpError\n"
        "from gitexp.render.plot import Figure\n"
        "from gitexp.render.plot_png import draw_png\n"
        "try:\n    draw_png(Figure([]))\n"
        "except GitexpError as error:\n    print(error.hint)"
    )
    assert python(code) == ("Install it with: pip install 'gitexp[plot]', or write an .svg file.\n")
