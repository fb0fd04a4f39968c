"""Logs and summaries as MemoryLab reads them, and the files that it writes."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from gitexp.errors import GitexpError
from gitexp.memorylab.files import Files, append, table_line
from gitexp.memorylab.log_file import error_of, metrics_of_log, read_outcome, require_metrics
from gitexp.memorylab.record import Record, decode, encode

LOG = """\
step 00001 (0.1%) | loss: 9.0
---
val_bpb:          0.997900
peak_vram_mb:     45060.2
num_steps:        953
total_tokens_M:   499.6
note:   any text
 indented: 1
Upper: 1
x1: 2
nan_metric: nan
bare:
val_bpb:\t0.9978   \r
"""


def test_any_line_of_a_word_and_a_text_is_a_metric() -> None:
    assert metrics_of_log(LOG) == {
        "val_bpb": 0.9978,
        "peak_vram_mb": 45060.2,
        "num_steps": 953,
        "note": "any text",
        "nan_metric": "nan",
    }


def test_the_summary_goes_before_the_log_however_old_it_is(tmp_path: Path) -> None:
    log, summary = tmp_path / "run.log", tmp_path / "summary.json"
    summary.write_text('{"val_bpb": 0.5, "deep": {"a": [1]}, "bad": NaN}')
    log.write_text(LOG)
    found = read_outcome(log, summary)
    assert found.metrics == {"val_bpb": 0.5, "deep.a": [1], "bad": "NaN"}
    assert (found.log, found.summary) == (LOG.encode(), summary.read_bytes())
    summary.unlink()
    assert read_outcome(log, summary).metrics["val_bpb"] == 0.9978
    assert read_outcome(tmp_path / "none", None) == (None, None, {})


@pytest.mark.parametrize("content", ["[1]", "{", "\xff", '"x"', "[" * 100_000])
def test_a_summary_that_is_no_object_is_refused(tmp_path: Path, content: str) -> None:
    summary = tmp_path / "summary.json"
    summary.write_bytes(content.encode("latin-1"))
    with pytest.raises(GitexpError, match="summary"):
        read_outcome(tmp_path / "run.log", summary)


def test_a_finished_run_needs_its_two_numbers() -> None:
    require_metrics({"val_bpb": 1, "peak_vram_mb": 2.0}, "keep")
    for metrics in ({"val_bpb": 1}, {"peak_vram_mb": 1}, {"val_bpb": "nan", "peak_vram_mb": 1}):
        with pytest.raises(GitexpError, match="logged as discard needs a number for"):
            require_metrics(metrics, "discard")
    with pytest.raises(GitexpError, match="val_bpb and peak_vram_mb"):
        require_metrics({}, "keep")


TRACEBACK = """\
start
Traceback (most recent call last):
  File "a.py", line 1
ValueError: first

Traceback (most recent call last):
RuntimeError: last


"""


@pytest.mark.parametrize(
    ("log", "summary"),
    [
        (TRACEBACK, "RuntimeError: last"),
        ("one\n  two  \n\n", "two"),
        ("one\nTraceback\n\n", "The run crashed and its log says nothing."),
        ("", "The run crashed and its log says nothing."),
    ],
)
def test_the_error_is_the_last_line_after_the_first_traceback(log: str, summary: str) -> None:
    error = error_of(log.encode(), "", "run.log")
    assert (error.summary, error.source) == (summary, "run.log")


def test_the_tail_has_eight_lines_and_a_given_error_goes_first() -> None:
    log = "\n".join(map(str, range(20))) + "\n\n"
    error = error_of(log.encode(), "it died", "run.log")
    assert error.tail == "\n".join(map(str, range(12, 20)))
    assert (error.summary, error.source) == ("it died", "argument")
    assert error_of(None, "it died", "run.log").tail == ""


@pytest.mark.parametrize(
    ("status", "metrics", "line"),
    [
        (
            "keep",
            {"val_bpb": 0.9979001, "peak_vram_mb": 45060.2},
            "abcdef0\t0.997900\t44.0\tkeep\ta b c",
        ),
        ("discard", {"val_bpb": 1, "peak_vram_mb": 51}, "abcdef0\t1.000000\t0.0\tdiscard\ta b c"),
        (
            "crash",
            {"val_bpb": 3.0, "peak_vram_mb": 9000},
            "abcdef0\t0.000000\t0.0\tcrash\ta b c",
        ),
    ],
)
def test_a_line_of_results_tsv(status: Any, metrics: dict[str, Any], line: str) -> None:
    record = Record(status=status, description="a\tb\n c", commit="abcdef0123" * 4, metrics=metrics)
    assert table_line(record) == line


def test_a_torn_last_line_is_ended_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "table"
    append(path, b"one")
    append(path, b"two")
    path.write_bytes(path.read_bytes() + b"torn")
    append(path, b"three")
    assert path.read_bytes() == b"one\ntwo\ntorn\nthree\n"


def test_lines_have_sorted_keys_and_no_nan() -> None:
    assert encode({"b": 1, "a": {"d": None, "c": 0.5}}) == '{"a": {"c": 0.5, "d": null}, "b": 1}'
    with pytest.raises(ValueError, match="JSON compliant"):
        encode({"a": float("nan")})


GOOD = {"run_id": "r", "status": "keep", "description": "d"}


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"run_id": "r"}',
        json.dumps(GOOD | {"status": "odd"}),
        json.dumps(GOOD | {"run_id": "../../etc"}),
        json.dumps(GOOD | {"run_id": ""}),
        json.dumps(GOOD | {"run_id": ".hidden"}),
        json.dumps(GOOD | {"metrics": {"val_bpb": float("nan")}}),
        json.dumps(GOOD | {"description": 5}),
        '{"a": ' + "[" * 100_000,
    ],
)
def test_a_line_that_is_no_record_is_named_by_its_number(tmp_path: Path, line: str) -> None:
    files = Files(tmp_path)
    content = f"{encode(GOOD)}\n\n{line}\n".encode()
    with pytest.raises(GitexpError, match=r"Line 3 of results/memorylab/experiments\.jsonl"):
        files.parse_ledger(content)


def test_a_record_is_read_leniently_where_rules_do_not_look() -> None:
    more = {"error": {"summary": "s", "tail": ["a", "b"]}, "notes": None, "new": [1]}
    record = decode(encode({**GOOD, **more, "family": None}).encode(), "It")
    assert record.error is not None
    assert record.error.last_lines == "a\nb"


def test_a_report_is_written_as_latest_and_under_its_time_in_utc(tmp_path: Path) -> None:
    files = Files(tmp_path)
    zone = timezone(timedelta(hours=2))
    for now in (datetime(2026, 1, 31, 14, 0, 1, tzinfo=zone), datetime(2026, 2, 1, tzinfo=UTC)):
        files.write_report(f"made {now.day}", now)
    assert {path.name: path.read_text() for path in files.reports.iterdir()} == {
        "latest.md": "made 1",
        "20260131T120001Z.md": "made 31",
        "20260201T000000Z.md": "made 1",
    }
