"""Reading tables and JSON lines: what columns mean, and rows that do not fit."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gitexp.errors import GitexpError, UsageError
from gitexp.interchange.cells import is_missing, number, time_ns
from gitexp.interchange.columns import parse_map
from gitexp.interchange.formats import read_source, recognise
from gitexp.interchange.outcomes import failure, outcome
from gitexp.interchange.source import MAX_LINE_BYTES, MAX_SOURCE_BYTES, Reading
from gitexp.interchange.suggestion import suggest_goal
from gitexp.records.facts import Failure
from tests.ledgers import HEADER, ROWS, write, write_json


def table(path: Path, *lines: str, end: str = "\n", **options: Any) -> Reading:
    """Read a table of these lines."""
    return read_source(write(path / "ledger.txt", lines, end), **options)


def fields(reading: Reading) -> dict[str, str]:
    return {column.column: column.field for column in reading.columns}


def bad(reading: Reading) -> dict[int, str]:
    return {row.line: row.reason for row in reading.bad}


def test_upstream_results_are_read_whole(tmp_path: Path) -> None:
    reading = table(tmp_path, HEADER, *ROWS)
    assert fields(reading) == {
        "commit": "commit",
        "val_bpb": "metrics.val_bpb",
        "memory_gb": "metrics.memory_gb",
        "status": "status",
        "description": "description",
    }
    first, _, third, crash = reading.runs
    assert first.metrics == {"val_bpb": 0.9979, "memory_gb": 44.0}
    assert (first.name, first.description, first.commit) == ("baseline", "baseline", "aaaaaa1")
    assert (first.status, first.verdict, third.verdict) == ("finished", "keep", "discard")
    assert (crash.status, crash.verdict, crash.metrics) == ("crashed", "crash", {})
    assert crash.error == Failure("crash", "double width (OOM)")
    assert reading.placeholders == 2
    assert reading.metric == "val_bpb"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_any_delimiter_line_end_and_encoding(
    tmp_path: Path, end: str, delimiter: str, encoding: str
) -> None:
    lines = [["name", "loss", "status"], ["Größe", "0.5", "keep"], ["x", "0.25", "keep"]]
    text = "".join(delimiter.join(cells) + end for cells in lines)
    path = tmp_path / "ledger"
    path.write_bytes(text.encode(encoding))
    reading = read_source(path)
    assert [(run.name, run.metrics) for run in reading.runs] == [
        ("Größe", {"loss": 0.5}),
        ("x", {"loss": 0.25}),
    ]
    assert bool(reading.notes) == (encoding in ("utf-16", "cp1252"))


def test_quoted_fields_hold_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    reading = table(
        tmp_path,
        "loss,description,status",
        '0.5,"a, ""b""',
        "",
        'and more",keep',
        '0.4,5" wide,keep',
    )
    assert [run.description for run in reading.runs] == ['a, "b"\n\nand more', '5" wide']
    assert not reading.bad


def test_in_a_table_with_tabs_only_whole_fields_are_quoted(tmp_path: Path) -> None:
    lines = ["loss\tdescription", '1\t"said ""no"""', '2\ta "word" in it', '3\t"']
    assert [run.description for run in table(tmp_path, *lines).runs] == [
        'said "no"',
        'a "word" in it',
        '"',
    ]


def test_a_quote_that_never_ends_costs_its_row_only(tmp_path: Path) -> None:
    reading = table(tmp_path, "loss,status,note", '1,keep,"open', "2,keep,fine", "3,keep,fine")
    assert list(bad(reading)) == [2]
    assert [run.metrics["loss"] for run in reading.runs] == [2, 3]


def test_rows_that_do_not_fit_are_told_by_line(tmp_path: Path) -> None:
    reading = table(
        tmp_path,
        HEADER,
        ROWS[0],
        "aaaaaa9\t0.5",
        HEADER,
        ROWS[1] + "\textra",
        ROWS[1] + "\t\t",
        "bbbbbbb\t0.5\t1.0\tkeep\tnul\0here",
        "",
        "# a comment",
        "x" * (MAX_LINE_BYTES + 1),
        ROWS[2],
    )
    assert bad(reading) == {
        3: "has 2 fields, the header 5",
        4: "is the header again",
        5: "has 6 fields, the header 5",
        7: "holds NUL bytes",
        10: "is longer than 1 MiB",
    }
    assert len(reading.runs) == 3


def test_rows_below_another_header_are_not_of_this_table(tmp_path: Path) -> None:
    other = "agent\tcommit\tloss\tstatus\tdescription"
    strange = "x\taaaaaaa\t9.0\tkeep\tstrange"
    reading = table(tmp_path, HEADER, ROWS[0], other, strange, HEADER, ROWS[1])
    assert [run.commit for run in reading.runs] == ["aaaaaa1", "aaaaaa2"]
    assert bad(reading)[4] == "belongs to the header in line 3"
    assert bad(reading)[3].startswith("is another header: agent, commit")


def test_tabs_that_were_written_as_escapes_are_read_and_said(tmp_path: Path) -> None:
    reading = table(tmp_path, HEADER, ROWS[0], ROWS[1].replace("\t", "\\t"))
    assert [run.commit for run in reading.runs] == ["aaaaaa1", "aaaaaa2"]
    assert any("written as \\t" in note for note in reading.notes)


def test_a_file_without_header_is_refused_unless_its_columns_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "ledger", ROWS)
    with pytest.raises(GitexpError, match="Line 1 is no header"):
        read_source(path)
    reading = read_source(path, header=HEADER.split("\t"))
    assert len(reading.runs) == 4
    renamed = read_source(write(path, [HEADER, *ROWS]), header=["commit", "x", "y", "status", "z"])
    assert [len(renamed.runs), renamed.runs[0].metrics] == [4, {"x": 0.9979, "y": 44.0}]


def test_columns_of_one_name_or_none_stay_apart(tmp_path: Path) -> None:
    reading = table(tmp_path, "loss\tloss\t\tstatus", "1\t2\t3\tkeep")
    assert reading.runs[0].metrics == {"loss": 1, "loss_2": 2, "column_3": 3}


@pytest.mark.parametrize(
    ("column", "values", "field"),
    [
        ("Commit", ["abc1234", "none"], "commit"),
        ("decision", ["KEEP", "reverted"], "status"),
        ("correctness", ["PASS", "FAIL"], "status"),
        ("status", ["0.1", "0.2"], "metrics.status"),
        ("ts_utc", ["2026-03-19T02:06:50Z", "2026-03-19T02:15:57Z"], "time"),
        ("timestamp", ["1776219465", "1776219642"], "time"),
        ("time", ["301.5", "299.1"], "metrics.time"),
        ("seed", ["1", "2"], "seed"),
        ("notes", ["first", "second"], "description"),
        ("tag", ["sweep", "sweep"], "tag"),
        ("tag", ["two_level_k", "autotune"], "name"),
        ("learning_rate", ["0.1", "0.2"], "params.learning_rate"),
        ("embedding_lr", ["0.1", "0.2"], "params.embedding_lr"),
        ("n_ctx", ["512", "1024"], "params.n_ctx"),
        ("n_params", ["1.5e9", "2e9"], "metrics.n_params"),
        ("kv_type_k", ["q8_0", "f16"], "params.kv_type_k"),
        ("exp_id", ["1", "2"], "metadata.exp_id"),
        ("val_bpb", ["0.9", "N/A"], "metrics.val_bpb"),
        ("delta", ["+0.1%", "-0.2%"], "metrics.delta"),
        ("worst_test", ["skipped", "search"], "metadata.worst_test"),
        ("wallclock_seconds", ["1.5", "2"], "duration"),
        ("exit_code", ["0", "137"], "exit_code"),
        ("parent_commit", ["abc1234", "abc1235"], "parent"),
    ],
)
def test_what_a_column_is_taken_for(
    tmp_path: Path, column: str, values: list[str], field: str
) -> None:
    reading = table(tmp_path, f"{column}\tother", *(f"{value}\tx" for value in values))
    assert fields(reading)[column] == field


def test_the_user_says_what_a_column_means(tmp_path: Path) -> None:
    lines = ["a\tb\tc\td\te\tf", "7\tr1\t0.5\tfast\t12.5%\t2026-01-31"]
    given = ["a=seed", "b=external_id", "c=metric", "d=params.mode", "e=metadata.load", "f=ignore"]
    reading = table(tmp_path, *lines, given=parse_map(given))
    run = reading.runs[0]
    assert (run.seed, run.external_id, run.metrics) == (7, "r1", {"c": 0.5})
    assert (run.parameters, run.metadata) == ({"mode": "fast"}, {"load": "12.5%"})
    assert reading.metric == "c"
    assert {column.source for column in reading.columns} == {"option"}


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("a", "is not COLUMN=FIELD"),
        ("a=nothing", "no field 'nothing'"),
        ("a=params.", "no field 'params.'"),
        ("a=other.x", "no field 'other.x'"),
    ],
)
def test_a_map_that_cannot_be_understood_is_refused(option: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_map([option])


def test_a_map_that_does_not_fit_the_ledger_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no column 'loss'"):
        table(tmp_path, HEADER, *ROWS, given={"loss": "metric"})
    with pytest.raises(UsageError, match="Two columns"):
        table(tmp_path, HEADER, *ROWS, given={"commit": "name", "description": "name"})
    store = tmp_path / ".exprag" / "runs"
    start = {"kind": "run_start", "exprag_version": "0.1.2", "schema_version": 1}
    write_json(store / "x.jsonl", [start])
    with pytest.raises(UsageError, match="not for exprag"):
        read_source(tmp_path, given={"a": "name"})
    with pytest.raises(UsageError, match="--header is for tables"):
        read_source(tmp_path, header=["a"])


def test_what_does_not_fit_its_column_is_kept_as_metadata(tmp_path: Path) -> None:
    header = "seed\ttimestamp\texit_code\tduration\tloss\tstatus"
    good = "1\t2026-01-31T00:00:00Z\t0\t2.5\t0.5\tkeep"
    odd = "random\tyesterday\tSIGKILL\tlong\tworse\tpromising"
    reading = table(tmp_path, header, *[good] * 8, odd)
    run = reading.runs[-1]
    assert run.metadata == {
        "seed": "random",
        "timestamp": "yesterday",
        "exit_code": "SIGKILL",
        "duration": "long",
        "loss": "worse",
        "status": "promising",
    }
    assert (run.seed, run.started_ns, run.exit_code, run.duration, run.metrics) == (
        *(None,) * 4,
        {},
    )
    assert (run.status, run.verdict) == ("finished", None)


def test_a_duration_is_in_seconds_unless_its_column_says_otherwise(tmp_path: Path) -> None:
    reading = table(tmp_path, "t_ms\tloss", "1500\t1", given={"t_ms": "duration"})
    assert reading.runs[0].duration == 1.5


def test_numbers_of_all_kinds_are_metrics(tmp_path: Path) -> None:
    values = ["0", "-3.5", "nan", "inf", "1.56e+09", "12.5%", "1,234", "-", "N/A", "", "null"]
    reading = table(tmp_path, "loss\tn", *(f"{value}\t1" for value in values))
    found = [run.metrics.get("loss") for run in reading.runs]
    assert found[:2] == [0, -3.5]
    assert math.isnan(found[2] or 0)
    assert found[3:7] == [math.inf, 1.56e9, 12.5, 1234]
    assert found[7:] == [None] * 4


def test_zeros_are_measurements_but_for_crashes(tmp_path: Path) -> None:
    lines = ["loss\tstatus", "0.0\tkeep", "0.0\tcrash", "3.0\tcrash", "-0.0\tdiscard"]
    reading = table(tmp_path, *lines)
    assert [run.metrics for run in reading.runs] == [{"loss": 0}, {}, {"loss": 3}, {"loss": 0}]
    assert reading.placeholders == 1


@pytest.mark.parametrize(
    ("word", "status", "verdict"),
    [
        ("keep", "finished", "keep"),
        ("KEPT", "finished", "keep"),
        ("NEW_BEST", "finished", "keep"),
        ("keep (new best)", "finished", "keep"),
        ("baseline", "finished", "keep"),
        ("REVERT", "finished", "discard"),
        ("fail", "finished", "discard"),
        ("constraint_violated", "finished", "discard"),
        ("success", "finished", None),
        ("PASS", "finished", None),
        ("crash", "crashed", "crash"),
        ("OOM", "crashed", "crash"),
        ("server_failed", "crashed", "crash"),
        ("compile error", "crashed", "crash"),
        ("TIMEOUT", "timeout", "crash"),
        ("killed", "interrupted", None),
        ("pending", None, None),
    ],
)
def test_what_a_status_word_says(word: str, status: str | None, verdict: str | None) -> None:
    assert outcome(word) == (status, verdict)


def test_an_exception_is_told_from_the_rest_of_a_message() -> None:
    assert failure("torch.OutOfMemoryError: CUDA", "crash") == Failure(
        "torch.OutOfMemoryError", "CUDA"
    )
    assert failure("it died", "oom", "tail") == Failure("oom", "it died", "tail")


def test_a_markdown_table_is_a_table(tmp_path: Path) -> None:
    lines = ["| commit | loss | status |", "|---|---:|:-:|", "| abc1234 | 0.5 | ✅ keep |", "| x |"]
    reading = table(tmp_path, *lines)
    assert [(run.commit, run.metrics, run.verdict) for run in reading.runs] == [
        ("abc1234", {"loss": 0.5}, "keep")
    ]
    assert bad(reading) == {4: "has 1 field, the header 3"}


def test_a_row_that_says_nothing_is_no_run(tmp_path: Path) -> None:
    reading = table(tmp_path, HEADER, "-\t-\tN/A\t\t-", ROWS[0])
    assert bad(reading) == {2: "says nothing"}
    assert len(reading.runs) == 1


def test_runs_that_are_not_over_are_left_for_later(tmp_path: Path) -> None:
    reading = table(tmp_path, "loss\tstatus", "1\tkeep", "-\tpending", "2\tkeep")
    assert [run.metrics["loss"] for run in reading.runs] == [1, 2]
    assert [(row.line, row.reason) for row in reading.unfinished] == [
        (3, "is of a run that is not over (pending)")
    ]
    assert not reading.bad


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2026-03-19T02:06:50Z", 1773886010),
        ("20260319T020650Z", 1773886010),
        ("2026-03-19 04:06:50+02:00", 1773886010),
        ("2026/03/19 02:06:50", 1773886010),
        ("Thu, 19 Mar 2026 02:06:50 +0000", 1773886010),
        ("1773886010", 1773886010),
        (1773886010000, 1773886010),
        (1773886010.0, 1773886010),
        ("1773886010000000000", 1773886010),
    ],
)
def test_times_in_many_forms(text: Any, seconds: int) -> None:
    assert time_ns(text) == seconds * 10**9


@pytest.mark.parametrize("text", ["", "12", "soon", "2026-13-45", None, True, "9" * 400, [1]])
def test_what_is_no_time(text: Any) -> None:
    assert time_ns(text) is None


@pytest.mark.parametrize("text", ["1_000", "١٢", "0x1f", "1,23", "1e", "--1", "true", "9" * 500])
def test_what_is_no_number(text: str) -> None:
    assert number(text) is None


def test_what_is_missing() -> None:
    assert all(map(is_missing, ["", " - ", "N/A", "null", "None", "?", None, [], {}]))
    assert not any(map(is_missing, [0, "0", False, "no", [0]]))


def test_json_lines_are_taken_apart_by_their_keys(tmp_path: Path) -> None:
    row = {
        "trial_number": 1,
        "timestamp": "2026-03-12T08:44:27.757245",
        "params": {"depth": 4, "opt": {"lr": 0.5}},
        "results": {"val_bpb": 1.4, "status": "success", "wall_time_s": 5.5},
        "tags": ["a", "b"],
        "note": None,
        "extra": {"ok": True},
    }
    reading = read_source(write_json(tmp_path / "x.jsonl", [row]))
    run = reading.runs[0]
    assert run.parameters == {"depth": 4, "opt.lr": 0.5}
    assert (run.metrics, run.status, run.duration) == ({"val_bpb": 1.4}, "finished", 5.5)
    assert (run.tags, run.metadata) == (
        ("a", "b"),
        {"trial_number": 1, "extra.ok": True, "status": "success"},
    )
    assert reading.metric == "val_bpb"


def test_the_order_of_keys_makes_no_other_run(tmp_path: Path) -> None:
    one = read_source(write_json(tmp_path / "a.jsonl", [{"loss": 1, "name": "x"}]))
    two = read_source(write_json(tmp_path / "b.jsonl", [{"name": "x", "loss": 1}]))
    assert one.runs[0].content == two.runs[0].content


def test_lines_that_are_no_json_objects_are_told(tmp_path: Path) -> None:
    deep = '{"a": ' * 5000 + "1" + "}" * 5000
    lines = ['{"loss": 1}', "{", "[1]", '{"loss": NaN}', deep, '{"n": ' + "9" * 400 + "}", ""]
    lines += ['{"params": {"n": 99999999999999999999999}}']
    reading = read_source(write(tmp_path / "x.jsonl", lines))
    assert list(bad(reading)) == [2, 3, 5, 6, 8]
    assert math.isnan(reading.runs[1].metrics["loss"])


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ('{"loss": 1}\n', "jsonl"),
        ('{"type":"config","name":"x","metricName":"m"}\n', "pi"),
        ('{"kind":"run_start","exprag_version":"0.1.2"}\n', "exprag"),
        ('{"run_id":"x","commit":"y","status":"keep","novelty_guard":{}}\n', "memorylab"),
        ("a\tb\n", "table"),
        ("\n\na,b\n", "table"),
    ],
)
def test_formats_are_told_by_the_first_line(tmp_path: Path, content: str, form: str) -> None:
    path = tmp_path / "ledger"
    path.write_text(content)
    assert recognise(path) == form


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is empty"),
        ("[{}]", "one JSON array"),
        ("just words\n", "It is no table"),
        ("1\t2\n3\t4\n", "is no header"),
    ],
)
def test_what_is_no_ledger_is_refused(tmp_path: Path, content: str, sentence: str) -> None:
    path = tmp_path / "ledger"
    path.write_text(content)
    with pytest.raises(GitexpError, match=sentence):
        read_source(path)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GitexpError, match="does not exist"):
        read_source(tmp_path / "nothing")
    with pytest.raises(GitexpError, match="neither a MemoryLab store nor"):
        read_source(tmp_path)
    with pytest.raises(GitexpError, match="is no regular file"):
        read_source(Path("/dev/null"))
    with pytest.raises(GitexpError, match="holds no store of memorylab"):
        read_source(tmp_path, "memorylab")


def verdicts(lower: bool) -> list[str]:
    """Return rows whose verdicts follow one direction of a metric."""
    best, lines = 1.0, ["name\tscore\tstatus"]
    for i in range(12):
        value = 1.0 + (i % 5 - 2) * 0.1 - i * 0.01
        better = value < best if lower else value > best
        best = value if better else best
        lines.append(f"r{i}\t{value}\t{'keep' if better or i == 0 else 'discard'}")
    return lines


@pytest.mark.parametrize("lower", [True, False])
def test_verdicts_tell_which_direction_is_better(tmp_path: Path, lower: bool) -> None:
    reading = table(tmp_path, *verdicts(lower))
    goal = suggest_goal(reading, {})
    assert goal is not None
    assert (goal.metric, goal.lower, goal.source) == ("score", lower, "ledger")
    assert goal.against_name == lower  # a score is higher-is-better by its name


def test_without_verdicts_the_name_tells(tmp_path: Path) -> None:
    goal = suggest_goal(table(tmp_path, "val_loss\tx", "1\t2"), {})
    assert goal is not None
    assert (goal.metric, goal.word, goal.source, goal.is_set) == ("val_loss", "min", "name", False)


def test_settings_go_before_what_the_ledger_tells(tmp_path: Path) -> None:
    settings = {"exprag.metric": "score", "exprag.goal": "max"}
    goal = suggest_goal(table(tmp_path, *verdicts(lower=True)), settings)
    assert goal is not None
    assert (goal.word, goal.source, goal.is_set) == ("max", "settings", True)


def test_a_metric_on_the_side_is_not_taken_for_the_goal(tmp_path: Path) -> None:
    reading = table(tmp_path, "params_B\tmem_gb\ttok_sec\tstatus", "122\t3.7\t0.93\tkeep")
    assert reading.metric == "tok_sec"
    assert suggest_goal(table(tmp_path, "name\tstatus", "x\tkeep"), {}) is None


def test_a_ledger_without_rows_is_no_failure(tmp_path: Path) -> None:
    reading = table(tmp_path, HEADER)
    assert (reading.runs, reading.bad) == ([], [])


def test_files_that_are_too_much_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    with path.open("wb") as stream:
        stream.truncate(MAX_SOURCE_BYTES + 1)
    with pytest.raises(GitexpError, match="more than 256 MiB"):
        read_source(path)
    path.write_bytes(b"\n" * 2_000_001 + b"a\tb")
    with pytest.raises(GitexpError, match="more than 2,000,000 lines"):
        read_source(path, "table")
    path.write_bytes(b"a\tb\n" * 250_001)
    with pytest.raises(GitexpError, match="more than 250,000 lines"):
        read_source(path)
    path.write_text("\t".join(f"c{i}" for i in range(2_001)) + "\n")
    with pytest.raises(GitexpError, match="2,001 columns"):
        read_source(path)
    write_json(path, [{f"k{i}": i} for i in range(2_001)])
    with pytest.raises(GitexpError, match="2,001 different keys"):
        read_source(path)


def test_a_line_that_is_made_to_be_slow_is_not(tmp_path: Path) -> None:
    line = '{"a": NaN, "' + '\\"' * 400_000
    reading = read_source(write(tmp_path / "x.jsonl", [line, '{"loss": NaN, "s": "NaN \\" NaN"}']))
    assert list(bad(reading)) == [1]
    assert reading.runs[0].metadata == {"s": 'NaN " NaN'}


def test_a_row_holds_its_description_whatever_stands_in_it(tmp_path: Path) -> None:
    text = "\x1b[31mred\u202e <b>&'; rm -rf / #"
    reading = read_source(write_json(tmp_path / "x.jsonl", [{"description": text, "loss": 1}]))
    assert reading.runs[0].description == text
    assert json.loads(reading.runs[0].content)["description"] == text
