"""Champion, challengers, lineages and failure clusters of a ledger, and the report of them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from gitexp.memorylab.record import Record, Status
from gitexp.memorylab.registry import (
    cluster_places,
    clusters,
    lineages,
    ranked,
    registry_of,
)
from gitexp.memorylab.report import report_markdown
from gitexp.memorylab.similarity import read, similarity


def run(name: str, status: Status = "keep", value: Any = None, **more: Any) -> Record:
    more.setdefault("description", name)
    return Record(run_id=name, status=status, metrics={"val_bpb": value}, **more)


def names(records: Any) -> list[str]:
    return [record.run_id for record in records]


def test_kept_runs_rank_first_then_the_lowest_value_then_the_earliest() -> None:
    records = [
        run("discarded", "discard", 0.1),
        run("later", "keep", 0.9, timestamp_utc="2026-01-02T00:00:00Z"),
        run("earlier", "keep", 0.9, timestamp_utc="2026-01-01T00:00:00Z"),
        run("worse", "keep", 0.95),
        run("crashed", "crash", 0.01),
    ]
    assert names(ranked(records)) == ["earlier", "later", "worse", "discarded"]
    registry = registry_of(records)
    assert registry.champion is records[2]
    assert names(registry.challengers) == ["later", "worse", "discarded"]


@pytest.mark.parametrize("value", [0, -1.0, None, "0.5", math.nan, math.inf, True, 10**400])
def test_what_is_no_value_above_zero_does_not_rank(value: Any) -> None:
    assert ranked([run("x", "keep", value)]) == []
    assert registry_of([run("x", "keep", value)]).champion is None


def test_three_challengers_at_most() -> None:
    registry = registry_of([run(str(i), "keep", i + 1.0) for i in range(6)])
    assert names(registry.challengers) == ["1", "2", "3"]


def test_lineages_follow_parents_through_logged_commits() -> None:
    records = [
        run("a", value=1.0, commit="a", parent_commit="unlogged"),
        run("b", value=0.8, commit="b", parent_commit="a"),
        run("c", "discard", value=0.7, commit="c", parent_commit="b"),
        run("alone", value=0.9, commit="x", parent_commit="y"),
        run("crashed", "crash", commit="z", parent_commit="y"),
        run("again", value=0.95, commit="a", parent_commit="unlogged"),
        run("without", value=0.1),
    ]
    found = lineages(records)
    assert [(each.root, names(each.runs)) for each in found] == [
        ("a", ["a", "b", "c", "again"]),
        ("x", ["alone"]),
        ("z", ["crashed"]),
    ]
    assert [each.best and each.best.run_id for each in found] == ["c", "alone", None]


def test_lineages_of_equal_best_go_by_size_and_five_are_kept() -> None:
    small = [run(f"s{i}", value=0.5, commit=f"s{i}") for i in range(5)]
    large = [
        run("l1", value=0.5, commit="l1"),
        run("l2", value=0.6, commit="l2", parent_commit="l1"),
    ]
    assert [each.root for each in lineages([*small, *large])][:2] == ["l1", "s0"]
    assert len(registry_of([*small, *large]).lineages) == 5


def test_a_circle_of_parents_ends() -> None:
    records = [
        run("a", commit="a", parent_commit="b"),
        run("b", commit="b", parent_commit="a"),
        run("c", commit="c", parent_commit="c"),
    ]
    assert sum(len(each.runs) for each in lineages(records)) == 3


FAILURES = [
    run("kept", "keep", 0.5, description="muon depth 12"),
    run("m1", "discard", 1.2, description="muon depth 12"),
    run("r1", "crash", description="rotary base doubled"),
    run("m2", "crash", description="muon depth 14"),
    run("m3", "discard", 1.1, description="muon depth 12 wide"),
    run("r2", "crash", description="rotary base doubled"),
    run("odd", "discard", 0.9, description="something else"),
]


def test_failures_join_the_cluster_whose_first_member_they_are_most_like() -> None:
    found = clusters(FAILURES, cluster_places(FAILURES))
    assert [(each.label, names(each.runs), each.crashes, each.best) for each in found] == [
        ("depth muon wide", ["m1", "m2", "m3"], 1, 1.1),
        ("base doubled rotary", ["r1", "r2"], 2, None),
        ("else something", ["odd"], 0, 0.9),
    ]


def test_clusters_of_one_size_go_by_crashes_then_by_value() -> None:
    texts = ("alpha bravo", "charlie delta", "echo foxtrot", "golf hotel")
    records = [
        run("a", "discard", 0.9, description=texts[0]),
        run("b", "discard", 0.8, description=texts[1]),
        run("c", "crash", description=texts[2]),
        run("d", "discard", None, description=texts[3]),
    ]
    found = clusters(records, cluster_places(records))
    assert [names(each.runs) for each in found] == [["c"], ["b"], ["a"], ["d"]]


def test_the_best_cluster_wins_not_the_first() -> None:
    a, b, x = "muon depth alpha bravo", "muon depth delta echo", "muon depth alpha delta echo"
    assert 0.6 <= similarity(read(x), read(a)) < similarity(read(x), read(b))
    records = [run(text, "discard") for text in (a, b, x)]
    assert cluster_places(records) == [0, 1, 1]


def test_known_places_of_a_ledgers_beginning_change_nothing() -> None:
    whole = cluster_places(FAILURES)
    assert whole == [0, 1, 0, 0, 1, 2]
    for known in range(len(whole) + 1):
        assert cluster_places(FAILURES, whole[:known]) == whole


def test_a_cluster_without_words_has_a_label() -> None:
    assert clusters([run("x", "crash", description="a")], [0])[0].label == "unlabeled"


def test_the_registry_as_its_file_has_it() -> None:
    content = registry_of(FAILURES).to_dict()
    assert set(content) == {"version", "champion", "challengers", "lineages", "failure_clusters"}
    assert content["champion"] == {
        "run_id": "kept",
        "commit": None,
        "status": "keep",
        "family": None,
        "description": "muon depth 12",
        "timestamp_utc": "",
        "val_bpb": 0.5,
    }
    assert content["failure_clusters"][0] == {
        "label": "depth muon wide",
        "size": 3,
        "crashes": 1,
        "discards": 2,
        "best_val_bpb": 1.1,
        "run_ids": ["m1", "m2", "m3"],
    }


def packet(action: str, priority: str) -> msgspec.Raw:
    content = {"next_action": action, "priority": priority, "summary": f"so {action}"}
    return msgspec.Raw(msgspec.json.encode(content))


REPORTED = [
    run(
        "old",
        value=0.9,
        timestamp_utc="2026-01-30T12:00:00Z",
        commit="0" * 40,
        description="the <old> | one",
        family="f|x",
        decision_packet=packet("promote", "high"),
    ),
    run(
        "bad",
        "discard",
        1.2,
        timestamp_utc="2026-01-31T10:00:00Z",
        commit="1" * 40,
        parent_commit="0" * 40,
        decision_packet=packet("abandon", "low"),
    ),
    run(
        "lost",
        "crash",
        timestamp_utc="2026-01-31T11:00:00Z",
        commit="2" * 40,
        decision_packet=packet("fix_and_retry", "high"),
    ),
    run("new", value=0.95, timestamp_utc="2026-01-31T11:30:00Z", decision_packet=packet("", "x")),
    run("odd", value=0.99, timestamp_utc="no time"),
]
REPORT = """\
# MemoryLab report

Made 2026-01-31T12:00:00Z; the last 16 hours.

## Headline

* Runs: 3 (1 keep, 1 discard, 1 crash)
* Runs in all: 5 (3 keep, 1 discard, 1 crash)
* Champion: val\\_bpb 0.900000, 0000000 the \\<old\\> \\| one

## Decision queue

| priority | action | run | what happened |
| --- | --- | --- | --- |
| high | fix\\_and\\_retry | 2222222 lost | so fix\\_and\\_retry |
| low | abandon | 1111111 bad | so abandon |

## Champion board

| place | val\\_bpb | status | run | family |
| --- | ---: | --- | --- | --- |
| champion | 0.900000 | keep | 0000000 the \\<old\\> \\| one | f\\|x |
| challenger 1 | 0.950000 | keep | new | none |
| challenger 2 | 0.990000 | keep | odd | none |
| challenger 3 | 1.200000 | discard | 1111111 bad | none |

## Best lineages

| root | runs | val\\_bpb | best run |
| --- | ---: | ---: | --- |
| 0000000 | 2 | 0.900000 | 0000000 the \\<old\\> \\| one |
| 2222222 | 1 | none | none |

## Failure clusters

| words | runs | crashes | best val\\_bpb |
| --- | ---: | ---: | ---: |
| lost | 1 | 1 | none |
| bad | 1 | 0 | 1.200000 |

## Recent ledger

| time | status | val\\_bpb | run |
| --- | --- | ---: | --- |
| 2026-01-31T11:30:00Z | keep | 0.950000 | new |
| 2026-01-31T11:00:00Z | crash | none | 2222222 lost |
| 2026-01-31T10:00:00Z | discard | 1.200000 | 1111111 bad |
"""
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)


def test_the_report_has_all_sections() -> None:
    registry = registry_of(REPORTED)
    assert report_markdown(REPORTED, registry, now=NOON, since_hours=16) == REPORT


def test_the_report_of_nothing_says_so() -> None:
    text = report_markdown([], registry_of([]), now=NOON, since_hours=0.5)
    assert "the last 0.5 hours" in text
    assert "* Champion: none" in text
    assert text.count("None.") == 5


def test_queue_and_recent_ledger_are_short_and_the_latest_come_first() -> None:
    records = [
        run(
            f"r{minute}",
            "discard",
            1.0,
            timestamp_utc=f"2026-01-31T11:{minute:02}:00Z",
            decision_packet=packet("retry", "medium" if minute % 2 else "low"),
        )
        for minute in range(12)
    ]
    text = report_markdown(records, registry_of(records), now=NOON, since_hours=16)
    queue, recent = text.split("## ")[2], text.split("## ")[6]
    assert [line.split("|")[3].strip() for line in queue.splitlines()[4:9]] == [
        *("r11", "r9", "r7", "r5", "r3")
    ]
    assert len(queue.splitlines()) == 10
    assert len([line for line in recent.splitlines() if "discard" in line]) == 10
