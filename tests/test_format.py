"""docs/format.md tells the truth: its example is what git prints, its tables name every field."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from gitexp.records.decision import Comparison, DecisionFact, Evidence, Noise, Novelty
from gitexp.records.facts import EndFact, GitState, RemarkFact, RunFact, Summary, TombstoneFact
from gitexp.records.series import CHUNK_CALLS, SeriesLine
from tests.format_example import PAGE, make_example, replace_example


def test_the_example_is_what_git_prints(tmp_path: Path) -> None:
    (tmp_path / "example").mkdir()
    example = make_example(tmp_path / "example")
    page = PAGE.read_text()
    assert page == replace_example(page, example), "run: python -m tests.format_example"


@pytest.mark.parametrize(
    "struct",
    [
        *(RunFact, EndFact, RemarkFact, TombstoneFact, GitState, Summary, SeriesLine),
        *(DecisionFact, Comparison, Noise, Novelty, Evidence),
    ],
)
def test_every_field_is_named_on_the_page(struct: type[msgspec.Struct]) -> None:
    named = set(re.findall(r"`([a-z_]+)`", PAGE.read_text()))
    assert {field.encode_name for field in msgspec.structs.fields(struct)} <= named


def test_the_page_states_the_chunk_size() -> None:
    assert f"{CHUNK_CALLS:,} calls" in PAGE.read_text()
