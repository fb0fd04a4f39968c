"""MemoryLab's rules: the first that fits decides; and the packet that says so."""

from __future__ import annotations

from typing import Any

import pytest

from gitexp.memorylab.decision import Decision, decide
from gitexp.memorylab.guard import Class, Guard
from gitexp.memorylab.packet import packet_markdown, packet_of
from gitexp.memorylab.record import Error, Record, Status

CHAMPION = Record(run_id="champ", status="keep", description="base", metrics={"val_bpb": 1.0})
SOME: tuple[Class, ...] = (
    "novel",
    "known_success",
    "incremental_followup",
    "repeat_failure",
    "duplicate_run",
)


def made(status: Status, value: float | None = None, **more: Any) -> Record:
    return Record(status=status, description="idea", metrics={"val_bpb": value}, **more)


def action(record: Record, novelty: Class, champion: Record | None = CHAMPION) -> tuple[str, str]:
    found = decide(record, champion, novelty)
    return found.action, found.priority


@pytest.mark.parametrize("novelty", SOME)
@pytest.mark.parametrize("said", ["CUDA OOM", "out of VRAM", "Out of memory", "no room"])
def test_a_crash_that_speaks_of_memory_is_fixed(said: str, novelty: Class) -> None:
    expected = ("fix_and_retry", "high")
    assert action(made("crash", error=Error(said)), novelty) == expected
    assert action(made("crash", error=Error("gone", f"x\n{said}")), novelty) == expected
    assert action(made("crash", error=Error("gone", ["x", said])), novelty) == expected


@pytest.mark.parametrize("novelty", SOME)
def test_another_crash_is_investigated(novelty: Class) -> None:
    for error in (None, Error("ValueError: shape", "tail")):
        assert action(made("crash", error=error), novelty) == ("investigate_crash", "high")


@pytest.mark.parametrize("novelty", SOME)
def test_a_new_champion_is_promoted_whatever_the_guard_said(novelty: Class) -> None:
    expected = ("promote", "high")
    assert action(made("keep", 0.999), novelty) == expected
    assert action(made("keep", 1.2), novelty, None) == expected
    discarded = Record(status="discard", description="d", metrics={"val_bpb": 0.5})
    assert action(made("keep", 1.2), novelty, discarded) == expected


@pytest.mark.parametrize(
    ("status", "value", "novelty", "expected"),
    [
        ("keep", 1.0, "novel", "replicate medium"),
        ("keep", 9.0, "duplicate_run", "replicate medium"),
        ("keep", 1.00149, "known_success", "branch_followup high"),
        ("keep", 1.0016, "known_success", "branch_followup medium"),
        ("keep", 1.0, "incremental_followup", "branch_followup high"),
        ("keep", 1.5, "repeat_failure", "branch_followup medium"),
        ("discard", 0.9, "repeat_failure", "abandon low"),
        ("discard", 0.9, "duplicate_run", "abandon low"),
        ("discard", 1.00149, "novel", "retry medium"),
        ("discard", 0.9, "known_success", "retry medium"),
        ("discard", 1.0016, "known_success", "branch_followup medium"),
        ("discard", 1.5, "incremental_followup", "branch_followup medium"),
        ("discard", 1.5, "novel", "abandon low"),
    ],
)
def test_rules_in_their_order(status: Status, value: float, novelty: Class, expected: str) -> None:
    assert " ".join(action(made(status, value), novelty)) == expected


def test_a_value_of_zero_or_less_is_no_champion() -> None:
    for value in (0.0, -1.0):
        found = decide(made("keep", value), CHAMPION, "novel")
        assert (found.action, found.is_champion) == ("replicate", False)


def test_a_discard_may_lead_where_nothing_is_kept_and_is_not_promoted() -> None:
    found = decide(made("discard", 2.0, hypothesis="h"), None, "novel")
    assert found == Decision("abandon", "low", "unsupported", None, None, is_champion=True)


@pytest.mark.parametrize(
    ("status", "value", "champion", "expected"),
    [
        ("crash", None, CHAMPION, "inconclusive"),
        ("keep", 0.9, CHAMPION, "supported"),
        ("keep", 2.0, None, "supported"),
        ("keep", 1.1, CHAMPION, "mixed"),
        ("discard", 1.00149, CHAMPION, "mixed"),
        ("discard", 1.0016, CHAMPION, "unsupported"),
        ("discard", 1.0, None, "unsupported"),
    ],
)
def test_what_became_of_the_hypothesis(
    status: Status, value: float | None, champion: Record | None, expected: str
) -> None:
    record = made(status, value, hypothesis="it helps")
    assert decide(record, champion, "novel").hypothesis_status == expected
    for nothing in (None, "", "  "):
        silent = made(status, value, hypothesis=nothing)
        assert decide(silent, champion, "novel").hypothesis_status == "not_stated"


PACKET = {
    "version": 1,
    "summary": "val_bpb 1.001000 is +0.001000 beside the champion.",
    "next_action": "replicate",
    "priority": "medium",
    "rationale": [
        "The run was logged as keep.",
        "It is +0.001000 beside the champion: within 0.0015 of it.",
        "The guard calls it duplicate_run: 1 earlier run is like it.",
    ],
    "hypothesis_status": "mixed",
    "error": None,
}
MARKDOWN = """\
# Decision: replicate (medium priority)

val\\_bpb 1.001000 is +0.001000 beside the champion.

**Next:** Run it again before building on it.

## Run

* run: 20260131T120000Z-abcdef0
* status: keep
* description: try \\<b\\> \\| x
* hypothesis: it helps (mixed)
* family: none
* tags: a, b
* val\\_bpb: 1.001000
* champion before: 1.000000

## Why

* The run was logged as keep.
* It is +0.001000 beside the champion: within 0.0015 of it.
* The guard calls it duplicate\\_run: 1 earlier run is like it.

## Like it

| class | score | status | val\\_bpb | run |
| --- | ---: | --- | ---: | --- |
| duplicate\\_run | 0.650 | keep | 1.000000 | try \\<b\\> \\| x it helps a b |
"""


def test_a_packet_and_how_it_is_shown() -> None:
    description, hypothesis, tags = "try <b> |\nx", "it helps", ("a", "b")
    same = Record(
        status="keep",
        description=f"{description} {hypothesis} a b",
        metrics={"val_bpb": 1.0},
        run_id="r",
    )
    novelty = Guard([same]).check(description, tags, hypothesis=hypothesis)
    run = Record(
        run_id="20260131T120000Z-abcdef0",
        timestamp_utc="2026-01-31T12:00:00Z",
        status="keep",
        description=description,
        hypothesis=hypothesis,
        tags=tags,
        metrics={"val_bpb": 1.001, "peak_vram_mb": 5},
    )
    packet = packet_of(run, novelty, decide(run, CHAMPION, novelty.classification))
    assert {key: packet[key] for key in PACKET} == PACKET
    assert packet["novelty"] == novelty.to_dict()
    assert packet["comparison"] == {
        "champion_run_id": "champ",
        "champion_val_bpb": 1.0,
        "delta": pytest.approx(0.001),
        "is_new_champion": False,
        "promising_within": 0.0015,
    }
    assert packet["run"]["val_bpb"] == 1.001
    assert packet["run"]["tags"] == ["a", "b"]
    assert set(packet) == {*PACKET, "run", "novelty", "comparison"}
    assert packet_markdown(packet) == MARKDOWN


def test_the_packet_of_a_crash_shows_its_error_harmlessly() -> None:
    error = Error("ValueError: \x1b[31m`bad`", "one\n\x1b[2Jtwo\n# three", "run.log")
    run = made("crash", error=error, run_id="r")
    packet = packet_of(run, Guard().check("idea"), decide(run, None, "novel"))
    assert packet["error"] == {
        "summary": error.summary,
        "tail": error.tail,
        "source": "run.log",
    }
    text = packet_markdown(packet)
    assert "\x1b" not in text
    assert text.endswith(
        "## Error\n\nValueError: \\\\e\\[31m\\`bad\\`\n\n    one\n    \\e[2Jtwo\n    # three\n"
    )
