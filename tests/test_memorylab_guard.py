"""MemoryLab's guard: thresholds, classes, order and policies."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from gitexp.memorylab.guard import ORDER, Class, Guard, effective_threshold
from gitexp.memorylab.record import Mode, Record, Status
from gitexp.memorylab.similarity import read, similarity

POLICIES = """
| explore | allow | block | block | block | block |
| exploit | caution | allow | allow | block | block |
| replicate | block | allow | allow | block | allow |
"""
CLASSES = ("novel", "known_success", "incremental_followup", "repeat_failure", "duplicate_run")
IDEA = "matrix lr 0.04 with depth 12"
NEAR = "matrix lr 0.04 with depth 14"


def record(status: Status, description: str, value: float | None = 1.0, **more: Any) -> Record:
    return Record(status=status, description=description, metrics={"val_bpb": value}, **more)


def of_class(name: str) -> Guard:
    """A guard to which `IDEA` in family f is of a class."""
    known = {
        "novel": [record("keep", "rotary base")],
        "known_success": [record("keep", NEAR)],
        "incremental_followup": [record("keep", NEAR, family="f")],
        "repeat_failure": [record("discard", NEAR)],
        "duplicate_run": [record("keep", f"{IDEA} f")],
    }
    return Guard(known[name])


@pytest.mark.parametrize("line", POLICIES.strip().splitlines())
@pytest.mark.parametrize("name", CLASSES)
def test_each_class_has_its_policy_in_each_mode(line: str, name: str) -> None:
    mode, *policies = (cell.strip() for cell in line.strip("| ").split("|"))
    assert mode in get_args(Mode)
    result = of_class(name).check(IDEA, family="f", mode=mode)  # type: ignore[arg-type]
    assert result.classification == name
    assert result.policy == policies[CLASSES.index(name)]


def test_policies_are_of_all_modes_and_classes() -> None:
    assert len(POLICIES.strip().splitlines()) == len(get_args(Mode))
    assert set(CLASSES) == set(get_args(Class)) == {"novel", *ORDER}


@pytest.mark.parametrize(
    ("mode", "threshold", "expected"),
    [
        ("explore", 0.62, 0.57),
        ("exploit", 0.62, 0.62),
        ("replicate", 0.62, 0.54),
        ("explore", 0.02, 0.0),
        ("exploit", 1.0, 0.99),
        ("exploit", -1.0, 0.0),
    ],
)
def test_modes_move_the_threshold_within_bounds(
    mode: Mode, threshold: float, expected: float
) -> None:
    assert effective_threshold(mode, threshold) == expected


def test_a_crash_is_a_repeated_failure_like_a_discard() -> None:
    assert Guard([record("crash", NEAR, None)]).check(IDEA).classification == "repeat_failure"


def test_a_record_of_the_same_family_is_let_in_earlier() -> None:
    far = record("keep", "depth 12", family="f")
    score = similarity(read(f"{IDEA} f"), read(far.text))
    assert 0.3 < score < 0.6
    threshold = round(score + 0.05, 3)
    assert Guard([far]).check(IDEA, family="F", threshold=threshold).matches[0].score < threshold
    assert not Guard([far]).check(IDEA, family="g", threshold=threshold).matches
    beyond = round(score + 0.081, 3)
    assert not Guard([far]).check(IDEA, family="f", threshold=beyond).matches


def test_a_record_at_the_threshold_is_a_match() -> None:
    found = Guard([record("keep", "lr 0.4")]).check("lr 0.04", threshold=0.785)
    assert [match.score for match in found.matches] == [0.785]
    assert not Guard([record("keep", "lr 0.4")]).check("lr 0.04", threshold=0.786).matches


def test_the_worst_class_decides_and_matches_are_in_order() -> None:
    guard = Guard(
        [
            record("keep", NEAR, 0.9, run_id="success"),
            record("discard", f"{NEAR} now", 0.8, run_id="failure-far"),
            record("discard", NEAR, 0.9, run_id="failure-worse"),
            record("crash", NEAR, None, run_id="failure-none"),
            record("discard", NEAR, 0.7, run_id="failure-better"),
        ]
    )
    result = guard.check(IDEA)
    assert result.classification == "repeat_failure"
    assert [match.record.run_id for match in result.matches] == [
        *("failure-better", "failure-worse", "failure-none", "failure-far", "success")
    ]
    guard.add(record("keep", IDEA, run_id="same"))
    assert guard.check(IDEA).classification == "duplicate_run"
    assert guard.check(IDEA).matches[0].record.run_id == "same"


def test_swiglu_after_geglu_is_a_duplicate() -> None:
    result = Guard([record("keep", "try GeGLU")]).check("try SwiGLU")
    assert (result.classification, result.policy) == ("duplicate_run", "block")


def test_tags_and_family_and_hypothesis_are_part_of_the_text() -> None:
    text = {"description": "one", "hypothesis": "two", "family": "three", "tags": ("four",)}
    same = Record(status="keep", **text)  # type: ignore[arg-type]
    result = Guard([same]).check("one", ("Four",), "three", hypothesis="two")
    assert result.probe_text == "one two three four"
    assert result.classification == "duplicate_run"


def test_a_result_as_it_is_stored() -> None:
    guard = Guard(
        record("discard", NEAR, value, run_id=f"r{value}", commit="c" * 40) for value in (3, 1, 2)
    )
    stored = guard.check(IDEA, mode="explore").to_dict(limit=2)
    first = {
        "run_id": "r1",
        "commit": "c" * 40,
        "status": "discard",
        "family": None,
        "description": NEAR,
        "val_bpb": 1.0,
        "score": similarity(read(IDEA), read(NEAR)),
        "classification": "repeat_failure",
    }
    assert stored == {
        "classification": "repeat_failure",
        "probe_text": IDEA,
        "threshold": 0.62,
        "match_count": 3,
        "counts": {
            "duplicate_run": 0,
            "repeat_failure": 3,
            "incremental_followup": 0,
            "known_success": 0,
        },
        "top_matches": [first, first | {"run_id": "r2", "val_bpb": 2.0}],
        "mode": "explore",
        "effective_threshold": 0.57,
        "policy": "block",
    }
