"""Following journals: only what is new is read, damage and ends included, in bounded memory."""

from __future__ import annotations

import itertools
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitexp import Experiment, follow
from gitexp.command.log import CommandLog
from gitexp.follow import (
    MAX_ENDED,
    MAX_METRICS,
    MAX_POINTS,
    JournalFollower,
    LiveRuns,
    LogTail,
    Metric,
    RunState,
    log_written_ns,
)
from gitexp.git.repository import Repository
from gitexp.journal import (
    Ending,
    Journal,
    JournalReader,
    Owner,
    files_folder,
    frame,
    journal_path,
    live_runs,
    this_process,
)
from gitexp.records.facts import Failure, RemarkFact, RunFact
from gitexp.seal import recover
from tests.support import Git

SECOND = 1_000_000_000
RUN = RunFact(time="2026-01-31T12:00:00.000000Z", by="Ada <ada@example.org>", name="x")
START = 1769860800
encode = msgspec.msgpack.encode


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / ("a" * 40)


@pytest.fixture
def live(repo: Git) -> Iterator[LiveRuns]:
    watched = LiveRuns(Repository.discover())
    yield watched
    watched.close()


def call(value: Any, time_ns: int = 0, note: str | None = None) -> bytes:
    return frame(encode([time_ns, value, note, None]))


def values(items: list[Any]) -> list[Any]:
    return [item[1] for item in items]


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as file:
        file.write(data)


def made_up(repository: Repository, owner: Owner, number: int = 0) -> Journal:
    """A run in progress of an owner who need not exist."""
    path = journal_path(repository, f"{number:040x}")
    return Journal.create(path, owner, RUN)


# The journal


def test_each_frame_is_returned_once_as_it_is_appended(path: Path) -> None:
    append(path, call(1) + call(2))
    follower = JournalFollower(path)
    assert values(follower.read()) == [1, 2]
    assert follower.read() == []
    append(path, call(3))
    assert values(follower.read()) == [3]
    follower.close()


def test_a_frame_that_is_being_written_is_returned_when_it_is_whole(path: Path) -> None:
    whole = call({"loss": 1.5})
    append(path, call(0) + whole[:7])
    follower = JournalFollower(path)
    assert values(follower.read()) == [0]
    append(path, whole[7:20])
    assert follower.read() == []
    append(path, whole[20:])
    assert values(follower.read()) == [{"loss": 1.5}]
    follower.close()


def test_a_torn_frame_that_others_wrote_after_is_passed_over(path: Path) -> None:
    append(path, call(0) + call("a" * 100)[:50])
    follower = JournalFollower(path)
    assert values(follower.read()) == [0]
    append(path, call(1))
    assert values(follower.read()) == [1]
    append(path, call(2))
    assert values(follower.read()) == [2]
    follower.close()


def test_a_frame_longer_than_a_piece_is_returned_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "CHUNK_BYTES", 64)
    append(path, call("a" * 1000) + call(1))
    follower = JournalFollower(path)
    assert values(follower.read()) == ["a" * 1000, 1]
    follower.close()


def test_damage_longer_than_any_frame_does_not_hold_up_what_follows(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "CHUNK_BYTES", 64)
    monkeypatch.setattr(follow, "_MORE_THAN_A_FRAME", 200)
    append(path, call(0) + bytes(5000) + call(1))
    follower = JournalFollower(path)
    found: list[Any] = []
    for _ in range(100):
        found += values(follower.read())
    assert found == [0, 1]
    follower.close()


def test_what_was_written_last_is_readable_after_the_journal_was_removed(path: Path) -> None:
    append(path, call(0))
    follower = JournalFollower(path)
    assert values(follower.read()) == [0]
    append(path, call(1))
    path.unlink()
    assert not follower.is_in_place
    assert values(follower.read()) == [1]
    follower.close()


@settings(max_examples=60, deadline=None)
@given(
    pieces=st.lists(
        st.one_of(
            st.integers(0, 99).map(call),
            st.text("ab", max_size=80).map(call),
            st.binary(max_size=40),
            st.integers(1, 30).map(lambda n: call("torn" * 9)[:n]),
        ),
        max_size=12,
    ),
    cuts=st.lists(st.integers(0, 2000), max_size=8),
)
def test_pieces_and_damage_give_what_a_reader_of_the_whole_gives(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], cuts: list[int]
) -> None:
    data = b"".join([*pieces, call("last")])
    path = tmp_path_factory.mktemp("follow") / "journal"
    path.touch()
    follower = JournalFollower(path)
    found: list[Any] = []
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in itertools.pairwise(edges):
        append(path, data[start:end])
        found += follower.read()
    follower.close()
    assert found == list(JournalReader(data))


# What is known of a run


def test_a_metric_keeps_a_summary_and_a_mean_for_each_recent_second() -> None:
    metric = Metric()
    for value, second in ((4.0, 1), (2.0, 1), (9.0, 5), (math.nan, 6)):
        metric.add(value, second)
    assert (metric.count, metric.min, metric.max) == (4, 2.0, 9.0)
    assert math.isnan(metric.last)
    assert metric.points[:2] == [3.0, 9.0]
    assert math.isnan(metric.points[2])


def test_a_metric_of_any_number_of_values_has_a_bounded_history() -> None:
    metric = Metric()
    for second in range(1000):
        metric.add(float(second), second)
    assert metric.points == [float(i) for i in range(1000 - MAX_POINTS, 1000)]


def test_a_run_with_very_many_metrics_is_known_by_the_first_ones() -> None:
    state = RunState("a" * 40)
    state.take([0, {str(i): 1 for i in range(MAX_METRICS + 5)}, None, None])
    state.take([0, {"0": 2, "late": 3}, None, None])
    assert len(state.metrics) == MAX_METRICS
    assert state.metrics["0"].last == 2
    assert "late" not in state.metrics


def test_metrics_are_the_numbers_by_dotted_path_without_the_step() -> None:
    state = RunState("a" * 40)
    state.take([0, {"step": 7, "val": {"acc": 0.5, "step": 1}, "ok": True, "t": "x"}, None, None])
    state.take([0, 3, None, None])
    assert {path: m.last for path, m in state.metrics.items()} == {
        "val.acc": 0.5,
        "val.step": 1,
        "value": 3,
    }


def test_the_last_note_is_of_a_call_or_a_comment() -> None:
    state = RunState("a" * 40)
    state.take([0, 1, "first", None])
    state.take([0, 1, None, None])
    assert state.note == "first"
    state.take(RemarkFact(time=RUN.time, by=RUN.by, comment="second", name="better"))
    assert (state.note, state.name) == ("second", "better")


def test_how_a_run_ended_and_how_long_it_took() -> None:
    state = RunState("a" * 40)
    state.take(RUN)
    assert state.running
    assert state.seconds(START + 5.0) == 5.0
    failure = Failure("ValueError", "wrong")
    state.take(Ending((START + 9) * SECOND, "failed", 3, failure))
    assert (state.status, state.exit_code, state.error) == ("failed", 3, failure)
    assert state.seconds(START + 100.0) == 9.0


def test_a_start_that_is_no_time_leaves_the_duration_unknown() -> None:
    state = RunState("a" * 40)
    state.take(msgspec.structs.replace(RUN, time="soon"))
    assert state.seconds(5.0) is None


def test_the_rate_is_first_that_of_the_whole_run_and_then_of_late() -> None:
    state = RunState("a" * 40)
    state.take(RUN)
    rates = [state.rate]
    state.calls = 500
    state.sample(START + 100.0)
    rates.append(state.rate)
    for second in range(1, 21):
        state.calls += 50
        state.sample(START + 100.0 + second)
    assert [*rates, state.rate] == [None, 5.0, 50.0]


# Runs


def test_runs_appear_go_on_and_end_as_their_journals_say(live: LiveRuns) -> None:
    live.look()
    assert live.states == {}
    with Experiment("baseline") as exp:
        exp.track({"loss": 1.0}, note="begun")
        live.look()
        state = live.states[exp.run_id]
        assert (state.name, state.status, state.calls, state.note) == (
            "baseline",
            "running",
            1,
            "begun",
        )
        exp.track({"loss": 0.5})
        live.look()
        assert (state.calls, state.metrics["loss"].last) == (2, 0.5)
        assert not live.all_ended
        exp.track({"loss": 0.25})
    live.look()
    assert (state.status, state.calls, state.metrics["loss"].last) == ("finished", 3, 0.25)
    assert live.all_ended


def test_why_a_run_failed_is_known(live: LiveRuns) -> None:
    exp = Experiment("bad")
    live.look()
    exp.finish("crashed", error=Failure("ValueError", "wrong"))
    live.look()
    state = live.states[exp.run_id]
    assert state.status == "crashed"
    assert state.error is not None
    assert (state.error.type, state.error.message) == ("ValueError", "wrong")


def test_only_the_runs_that_are_named_are_followed(repo: Git) -> None:
    with Experiment("one") as one, Experiment("two"):
        live = LiveRuns(Repository.discover(), [one.run_id])
        live.look()
        assert list(live.states) == [one.run_id]
        live.close()


KILLED = """
import sys, time
from gitexp import Experiment
exp = Experiment("killed")
exp.track({"loss": 1.0})
print(exp.run_id, flush=True)
time.sleep(600)
"""


def test_a_run_whose_process_was_killed_is_crashed_before_anybody_seals_it(
    live: LiveRuns,
) -> None:
    with subprocess.Popen([sys.executable, "-c", KILLED], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().decode().strip()
        live.look()
        assert live.states[run_id].status == "running"
        process.send_signal(signal.SIGKILL)
    live.look()
    live.look()
    assert (live.states[run_id].status, live.states[run_id].calls) == ("crashed", 1)
    repository = Repository.discover()
    assert live_runs(repository) == [run_id]
    recover(repository)
    live.look()
    assert live.states[run_id].status == "crashed"


def test_a_run_of_another_host_is_running_with_its_last_sign_of_life(live: LiveRuns) -> None:
    journal = made_up(Repository.discover(), Owner("another-host", 1, "long ago"))
    append(journal.path, call(1, (START + 60) * SECOND))
    journal.close()
    for _ in range(3):
        live.look()
    (state,) = live.states.values()
    assert state.running
    assert (state.last_ns, state.owner) == (
        (START + 60) * SECOND,
        Owner("another-host", 1, "long ago"),
    )


def test_a_journal_that_went_without_an_ending_leaves_the_status_unknown(live: LiveRuns) -> None:
    journal = made_up(Repository.discover(), this_process())
    live.look()
    journal.path.unlink()
    live.look()
    assert [state.status for state in live.states.values()] == ["unknown"]
    assert live.all_ended
    journal.close()


def test_a_named_run_without_a_journal_is_unknown_and_not_waited_for(repo: Git) -> None:
    live = LiveRuns(Repository.discover(), ["b" * 40])
    live.look()
    assert (live.states["b" * 40].status, live.all_ended) == ("unknown", True)


def test_a_journal_that_cannot_be_read_is_said_once_and_not_waited_for(live: LiveRuns) -> None:
    journal_path(Repository.discover(), "c" * 40).mkdir(parents=True)
    live.look()
    live.look()
    (state,) = live.states.values()
    assert (state.status, state.note) == (
        "unknown",
        "Its journal cannot be read: Is a directory.",
    )
    assert live.all_ended


def test_a_look_that_runs_out_of_time_leaves_the_rest_for_the_next(
    live: LiveRuns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "CHUNK_BYTES", 4096)
    journal = made_up(Repository.discover(), this_process())
    append(journal.path, b"".join(call(i) for i in range(10_000)))
    live.look(patience_seconds=0.0)
    (state,) = live.states.values()
    assert (live.is_behind, live.all_ended, state.progress) == (True, False, 0.0)
    while live.is_behind:
        live.look(patience_seconds=1e-3)
    assert (state.calls, state.progress) == (10_000, 1.0)
    journal.close()


def test_of_very_many_runs_that_ended_the_latest_are_remembered(live: LiveRuns) -> None:
    repository = Repository.discover()
    for number in range(MAX_ENDED + 3):
        journal = made_up(repository, this_process(), number)
        journal.add(Ending(START * SECOND, "finished"))
        live.look()
        journal.path.unlink()
        journal.close()
        live.look()
    assert list(live.states) == [f"{number:040x}" for number in range(3, MAX_ENDED + 3)]


# The log


def test_output_is_a_sign_of_life(live: LiveRuns) -> None:
    repository = Repository.discover()
    journal = made_up(repository, this_process())
    live.look()
    (state,) = live.states.values()
    assert state.last_ns == START * SECOND
    folder = files_folder(repository, state.run_id)
    folder.mkdir()
    assert log_written_ns(folder) == 0
    (folder / "run.log").write_text("hello")
    os.utime(folder / "run.log", ns=(0, (START + 7) * SECOND))
    live.look()
    assert state.last_ns == (START + 7) * SECOND
    journal.close()


def test_the_tail_of_a_log_follows_it_from_piece_to_piece_and_past_its_end(tmp_path: Path) -> None:
    tail = LogTail(tmp_path)
    assert tail.read(100) == b""
    with CommandLog(tmp_path / "run.log", 10, 10) as log:
        log.write(b"0123456789")
        assert tail.read(100) == b"0123456789"
        assert tail.read(3) == b"789"
        log.write(b"abcdefghijABCDEFGHIJxyz")
        assert tail.read(100) == b"ABCDEFGHIJxyz"
        log.write(b"!")
        assert tail.read(100) == b"ABCDEFGHIJxyz!"
    assert tail.read(5) == b"Jxyz!"
    (tmp_path / "run.log").unlink()
    assert tail.read(5) == b"Jxyz!"
    tail.close()


def test_a_look_costs_what_is_new_not_what_is_there(live: LiveRuns) -> None:
    journal = made_up(Repository.discover(), this_process())
    append(journal.path, b"".join(call(i, time.time_ns()) for i in range(5000)))
    live.look()
    follower = live._followers[journal.path.name]
    before = follower._offset
    append(journal.path, call(1))
    live.look()
    assert follower._offset - before == len(call(1))
    journal.close()
