from __future__ import annotations

import argparse
import datetime as dt
import decimal
import enum
import math
import pathlib
import uuid
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest

from gitexp.errors import ValueRejectedError
from gitexp.records.nested import flatten, restore_numbers
from gitexp.records.values import plain


class Colour(enum.Enum):
    RED = "red"


@dataclass
class Point:
    x: float
    y: float


class Layer(msgspec.Struct):
    width: int


class TorchLike:
    """What a torch tensor offers of itself, on whatever device."""

    shape = ()

    def detach(self) -> TorchLike:
        return self

    def tolist(self) -> float:
        return 1.5


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (0.5, 0.5),
        ("text", "text"),
        (math.nan, "NaN"),
        (math.inf, "Infinity"),
        (-math.inf, "-Infinity"),
        (np.float32(0.5), 0.5),
        (np.float64("nan"), "NaN"),
        (np.int64(7), 7),
        (np.bool_(True), True),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (TorchLike(), 1.5),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (dt.date(2026, 1, 31), "2026-01-31"),
        (dt.timedelta(seconds=90), 90.0),
        (decimal.Decimal("0.1"), "0.1"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Colour.RED, "red"),
        (Point(1.0, math.nan), {"x": 1.0, "y": "NaN"}),
        (Layer(8), {"width": 8}),
        (argparse.Namespace(lr=0.1), {"lr": 0.1}),
        ({1: "int key", "a": (1, 2)}, {"1": "int key", "a": [1, 2]}),
        ({3, 1, 2}, [1, 2, 3]),
        (range(3), [0, 1, 2]),
        (b"\x00\xff", "AP8="),
        ("odd \udcff name", "odd \\xff name"),
        (complex(1, 2), None),
    ],
)
def test_values_of_many_libraries_become_json(given: Any, kept: Any) -> None:
    if isinstance(given, complex):
        with pytest.raises(ValueRejectedError):
            plain(given)
        return
    assert plain(given) == kept
    msgspec.json.encode(plain(given))


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"model": {"layers": [1, object()]}}, "model.layers[1]"),
        ({"big": 1 << 70}, "big"),
        ({"a": {"f": lambda: None}}, "a.f"),
        ({"a": {(1, 2): 3}}, "a"),
    ],
)
def test_what_cannot_be_kept_is_named_by_its_key_path(value: Any, path: str) -> None:
    with pytest.raises(ValueRejectedError, match=path.replace("[", r"\[")) as caught:
        plain(value)
    assert isinstance(caught.value, TypeError)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    with pytest.raises(ValueRejectedError, match="levels deep"):
        plain(loop)


def test_two_keys_of_one_text_are_refused() -> None:
    with pytest.raises(ValueRejectedError, match="twice"):
        plain({1: "a", "1": "b"})


def test_the_three_texts_come_back_as_floats() -> None:
    values = {"a": [1.5, math.inf, -math.inf], "b": {"c": math.nan}}
    back = restore_numbers(msgspec.json.decode(msgspec.json.encode(plain(values))))
    assert back["a"] == values["a"]
    assert math.isnan(back["b"]["c"])


def test_flatten_joins_keys_with_dots_and_keeps_empty_groups() -> None:
    assert flatten({"a": {"b": 1, "c": {}}, "d": 2}) == {"a.b": 1, "a.c": {}, "d": 2}
