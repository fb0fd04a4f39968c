"""Settings that ideas change: out of diffs, parameters and words, in one form."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.git.repository import Repository
from gitexp.research.guard.aliases import Aliases
from gitexp.research.guard.patch import edits_of
from gitexp.research.guard.structure import (
    SettingChange,
    Settings,
    from_edits,
    from_parameters,
    from_words,
    residue,
    symbol_of,
)
from gitexp.research.guard.text import marked_words
from gitexp.research.guard.values import number_of, shown, value_of
from tests.support import Git

ALIASES = Aliases()


def in_diff(old: str, new: str, path: str = "train.py") -> Settings:
    return from_edits(edits_of(path, old.encode(), new.encode()), ALIASES)


def in_words(text: str) -> list[str]:
    return [str(change) for change in from_words(marked_words(text, ALIASES))]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("train.py", "LEARNING_RATE = {}"),
        ("train.py", "learningRate: float = {}"),
        ("train.py", "opt = Adam(model, lr={}, weight_decay=0.1)"),
        ("train.py", "parser.add_argument('--learning-rate', type=float, default={})"),
        ("train.py", "self.lr = {}"),
        ("train.py", "config = dict(a=1); config['b'] = 2; lr = {}"),
        ("train.py", "CONFIG = {{'lr': {}, 'depth': 3}}"),
        ("conf.yaml", "  lr: {}"),
        ("conf.json", '"lr": {},'),
        ("conf.toml", "lr = {}"),
        ("kernel.cu", "constexpr float lr = {};"),
        ("kernel.h", "#define LR {}"),
    ],
)
def test_a_setting_is_found_wherever_it_is_written(path: str, line: str) -> None:
    found = in_diff(line.format("0.04") + "\n", line.format("4e-1") + "\n", path)
    assert found == Settings((SettingChange("lr", 0.04, 0.4),), pure=True)
    assert found.changes[0].direction == "up"


def test_what_a_line_computes_is_no_setting() -> None:
    assert in_diff("x = relu(x)\n", "x = gelu(x)\n") == Settings((), pure=False)


def test_a_change_of_code_beside_a_setting_is_not_pure() -> None:
    found = in_diff("LR = 0.04\ny = f(x)\n", "LR = 0.4\ny = g(x)\n")
    assert found.changes == (SettingChange("lr", 0.04, 0.4),)
    assert not found.pure


def test_two_activations_are_two_values_of_one_symbol() -> None:
    (one,) = in_diff("ACT = 'relu'\n", "ACT = 'SwiGLU'\n").changes
    (two,) = in_diff("ACT = 'relu'\n", "ACT = 'GeGLU'\n").changes
    assert one.symbol == two.symbol
    assert one.new != two.new


def test_a_setting_that_is_added_or_dropped_has_one_value() -> None:
    assert in_diff("", "EMA = 0.9\n").changes == (SettingChange("ema", None, 0.9),)
    assert in_diff("EMA = 0.9\n", "").changes == (SettingChange("ema", 0.9, None),)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("lr from 0.04 to 0.4", ["lr 0.04 -> 0.4"]),
        ("lr 0.04 -> 0.4", ["lr 0.04 -> 0.4"]),
        ("lr 0.04→0.4", ["lr 0.04 -> 0.4"]),
        ("raise the learning rate from 4e-2 to .4", ["lr 0.04 -> 0.4"]),
        ("WEIGHT_DECAY=0.1", ["weight_decay = 0.1"]),
        ("n_layers 6 (was 4)", ["n_layer 4 -> 6"]),
        ("increase warmup", ["warmup up"]),
        ("double the batch size", ["batch_size up"]),
        ("matrix LR 0.05", ["matrix_lr = 0.05"]),
        ("activation=SwiGLU", ["act = swiglu"]),
        ("lr 0.4 and depth 8", ["lr = 0.4", "depth = 8"]),
        ("bias -0.1", ["bias = -0.1"]),
        ("", []),
        ("say hello", []),
    ],
)
def test_words_say_what_changes(text: str, found: list[str]) -> None:
    assert in_words(text) == found


def test_up_and_down_are_two_directions() -> None:
    (up,) = from_words(marked_words("increase warmup", ALIASES))
    (down,) = from_words(marked_words("shorten warmup", ALIASES))
    assert (up.symbol, up.direction, down.symbol, down.direction) == (
        "warmup",
        "up",
        "warmup",
        "down",
    )


def test_a_learning_rate_of_its_own_is_not_the_learning_rate() -> None:
    assert in_words("embedding lr 0.4") != in_words("lr 0.4")
    assert symbol_of("MATRIX_LR", ALIASES) == "matrix_lr"


def test_what_else_a_text_says_is_counted() -> None:
    marked = marked_words("lr 0.4 and rotary embeddings everywhere", ALIASES)
    assert residue(marked, from_words(marked)) == 3


def test_parameters_are_compared_with_those_of_the_base() -> None:
    found = from_parameters({"optim.lr": 0.4, "depth": 8}, {"optim.lr": 0.04, "depth": 8}, ALIASES)
    assert found == (SettingChange("optim.lr", 0.04, 0.4),)


@pytest.mark.parametrize(
    "forms",
    [
        ["0.04", ".04", "4e-2", "4%", 0.04, "'0.04'"],
        ["2**18", "0x40000", "262144", "256k", 262144, "2^18", "262_144"],
        ["True", True, "yes"],
        ["SwiGLU", "swi-glu", '"swiglu"'],
        ["None", None, "null"],
    ],
)
def test_one_value_has_one_form(forms: list[object]) -> None:
    assert len({value_of(form) for form in forms}) == 1


@pytest.mark.parametrize(
    ("one", "two"),
    [("0.04", "0.4"), ("SwiGLU", "GeGLU"), ("300s", "300"), ("250k", "256k"), ("-0.1", "0.1")],
)
def test_other_values_have_other_forms(one: str, two: str) -> None:
    assert value_of(one) != value_of(two)


@given(st.text(max_size=40))
def test_any_text_has_a_value(text: str) -> None:
    assert isinstance(value_of(text), float | str)
    assert isinstance(shown(value_of(text)), str)


@given(st.text(max_size=80) | st.text("lr 0.4->=()from to by 2x,", max_size=80))
def test_any_words_can_be_read(text: str) -> None:
    marked = marked_words(text, ALIASES)
    assert residue(marked, from_words(marked)) >= 0


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_its_own_value_however_it_is_written(number: float) -> None:
    assert value_of(repr(number)) == value_of(number) == number


@pytest.mark.parametrize(
    "text", ["9**9**9**9", "1" * 200, "1/0", "1or 2", "(" * 500, "1e999", "2**-2000"]
)
def test_arithmetic_is_bounded(text: str) -> None:
    assert number_of(text) is None


def test_what_is_no_number_is_told_apart_from_numbers() -> None:
    assert value_of(math.nan) == "nan"
    assert value_of(10**400) == math.inf


def test_aliases_are_settings_of_the_repository(repo: Git) -> None:
    repo("config", "--add", "exprag.alias", "eta=lr")
    repo("config", "--add", "exprag.alias", "no equals sign")
    aliases = Aliases.of(Repository.discover())
    assert symbol_of("ETA", aliases) == "lr"
    assert symbol_of("theta", aliases) == "theta"
    assert "eta" in aliases.variants("lr")
