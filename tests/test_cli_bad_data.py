"""Damaged, foreign and hostile data: commands report it, survive it and show the rest."""

from __future__ import annotations

import pytest

from gitexp.git.refs import run_ref
from gitexp.git.repository import Repository
from gitexp.records.facts import EndFact, RemarkFact, RunFact
from gitexp.seal import create_handle
from gitexp.store.batch import Batch, write_batch
from tests.full_store import (
    BEGIN,
    BY,
    END,
    HOSTILE,
    SHARD,
    Caller,
    commit,
    drop_object,
    hostile_run,
    is_harmless,
    record_runs,
    table,
    write_facts,
)
from tests.support import Git


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def runs(repo: Git) -> list[str]:
    return record_runs(repo)


def test_a_corrupt_line_is_reported_and_the_rest_is_readable(call: Caller, runs: list[str]) -> None:
    write_facts(runs[1], b'{"kind":"end","status"')
    said = call("log")
    assert len(table(said.out)) == 4
    assert f"refs/notes/exprag/{SHARD}, run {runs[1][:12]}, line 1:" in said.err
    status = call("status")
    assert f"problem: refs/notes/exprag/{SHARD}, run {runs[1][:12]}, line 1:" in status.out
    assert status.err == ""


def test_lines_of_a_newer_gitexp_are_counted_and_kept(call: Caller, runs: list[str]) -> None:
    lines = (b'{"kind":"dream","schema":1}', b'{"kind":"remark","schema":99,"comment":[]}')
    write_facts(runs[1], *lines)
    said = call("show", runs[1])
    assert "kind dream (schema 1) came from a newer gitexp" in said.err
    assert call.json("status")["newer_lines"] == {"dream (schema 1)": 1, "remark (schema 99)": 1}


def test_a_handle_whose_object_is_missing_harms_nothing(
    repo: Git, call: Caller, runs: list[str]
) -> None:
    drop_object(repo, runs[1])
    assert len(call.json("log")["runs"]) == 3
    assert call.json("show", runs[1])["code_here"] is False
    assert "(not in this repository)" in call("show", runs[1]).out
    assert call("note", runs[1], "code is lost").code == 0
    assert call("metrics", runs[1], "acc").code == 0
    assert "error:" in call("status", "--size", code=1).err


def test_a_handle_without_facts_is_reported(repo: Git, call: Caller, runs: list[str]) -> None:
    silent = commit(repo, "silent")
    create_handle(Repository.discover(), silent)
    assert run_ref(silent) in call("status").out
    assert len(table(call("log").out)) == 1 + len(runs)


def test_a_shard_whose_tree_is_missing_harms_no_other(
    repo: Git, call: Caller, runs: list[str]
) -> None:
    write_facts(runs[0], RemarkFact(time=END, by=BY, comment="lost"))
    drop_object(repo, repo("rev-parse", f"refs/notes/exprag/{SHARD}^{{tree}}"))
    said = call("log")
    assert len(table(said.out)) == 4
    assert f"refs/notes/exprag/{SHARD}: " in said.err


@pytest.mark.usefixtures("repo")
def test_a_run_that_nobody_ended_is_unknown(repo: Git, call: Caller) -> None:
    run_id = commit(repo, "endless")
    write_facts(run_id, RunFact(time=BEGIN, by=BY, name="endless"))
    assert call.json("show", run_id)["status"] == "unknown"
    assert table(call("log").out)[1][:3] == [run_id[:12], "endless", "unknown"]
    assert call("diff", run_id, run_id).code == 0


def test_damaged_metric_lines_are_reported_and_the_others_read(
    repo: Git, call: Caller, runs: list[str]
) -> None:
    bad = [b"not json", b'{"kind":"series","schema":1,"calls":[0,1,9],"steps":[],"times":[1]}']
    write_batch(Repository.discover(), SHARD, Batch(metrics={runs[0]: bad}))
    said = call("metrics", runs[0], "acc")
    assert len(table(said.out)) == 5
    assert said.err.count(f"refs/notes/exprag-metrics/{SHARD}, run {runs[0][:12]}, line ") == 2
    drop_object(repo, repo("rev-parse", f"refs/notes/exprag-metrics/{SHARD}^{{tree}}"))
    assert len(table(call("metrics", runs[0], "acc").out)) == 5


@pytest.mark.parametrize(
    "time", ["", "yesterday", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
)
def test_impossible_times_are_survived(repo: Git, call: Caller, time: str) -> None:
    run_id = commit(repo, "timeless")
    write_facts(run_id, RunFact(time=time, by=BY, name="timeless"))
    write_facts(run_id, EndFact(time=time, by=BY, status="finished", duration=1.0))
    for words in (("log",), ("show", run_id), ("diff", run_id, run_id)):
        call(*words)
        call(*words, "--json")


@pytest.mark.usefixtures("repo")
def test_parameters_nested_too_deep_are_reported(repo: Git, call: Caller) -> None:
    run_id = commit(repo, "deep")
    head = f'{{"kind":"run","schema":1,"time":"{BEGIN}","by":"x","name":"deep","parameters":'
    write_facts(run_id, (head + '{"a":' * 500 + "1" + "}" * 501).encode())
    assert "nested more than 100 levels deep" in call("log").err
    fine = commit(repo, "fine")
    head = head.replace("deep", "fine")
    write_facts(fine, (head + '{"a":' * 100 + "1" + "}" * 101).encode())
    for words in (("log",), ("show", "fine"), ("diff", "fine", "fine")):
        call(*words)
        call(*words, "--json")


@pytest.mark.parametrize(
    "words",
    [
        ("log",),
        ("log", "--columns", "name,by,description,tags,host"),
        ("show", "{}"),
        ("diff", "{}", "other"),
        ("note", "{}", HOSTILE),
        ("verdict", "{}", "keep"),
        ("tag", "{}"),
        ("status",),
        ("show", HOSTILE + "?"),
    ],
    ids=lambda words: " ".join(words)[:20].encode("ascii", "ignore").decode(),
)
def test_control_characters_never_come_out(
    repo: Git, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    run_id = hostile_run(repo)
    from gitexp.cli.main import guarded

    for extra in ((), ("--json",)):
        guarded([*(word.replace("{}", run_id) for word in words), *extra])
        out, err = capsys.readouterr()
        assert is_harmless(out + err)
        assert out + err


@pytest.mark.usefixtures("repo")
def test_hostile_cells_stay_in_their_cell(repo: Git, call: Caller) -> None:
    hostile_run(repo)
    rows = table(call("log", "--columns", "run,name,by").out)
    assert [len(row) for row in rows] == [3, 3, 3]
    assert "\\e[31mred\\x9b2J\\u202ereversed\\nsecond\\tcell\\u200b" in rows[1][1] + rows[2][1]


def test_json_escapes_what_a_terminal_would_act_on(repo: Git, call: Caller) -> None:
    run_id = hostile_run(repo)
    printed = call("show", run_id, "--json")
    assert printed.data["name"] == HOSTILE
    assert "\\u001b[31mred\\u009b2J\\u202e" in printed.out
