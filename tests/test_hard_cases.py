"""Rare orders of events that once lost something, hung, or hid other runs."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gitexp
from gitexp import Experiment, GitexpWarning
from gitexp import journal as journal_module
from gitexp.errors import GitexpError, RunEndedError, UsageError
from gitexp.git.repository import Repository
from gitexp.git.write import writer_lock
from gitexp.journal import MARK, Journal, JournalReader, claim, frame
from gitexp.records.facts import BadLineError, decode_fact
from gitexp.records.history import read_history
from gitexp.records.series import SeriesEncoder, calls, decode_line
from gitexp.run import Run
from gitexp.seal import recover
from gitexp.store.batch import Batch, write_batch
from tests.support import Git


def latest() -> Run:
    return gitexp.open().get("latest")


def test_a_run_that_is_collected_while_another_is_sealed_waits_for_the_next_command(
    repo: Git,
) -> None:
    exp = Experiment("collected")
    exp.track(1)
    with writer_lock(Repository.discover(), "refs/exprag/x"):
        del exp  # its finaliser must not queue behind this very thread
    assert (latest().status, latest().calls) == ("finished", 1)
    assert repo("for-each-ref", "refs/notes/exprag")


def test_a_child_forked_under_a_lock_does_not_keep_it(repo: Git) -> None:
    repository = Repository.discover()
    exp = Experiment("x")
    exp._run.journal.close()  # type: ignore[union-attr]
    with writer_lock(repository, "refs/exprag/x"), claim(Path(exp.path)) as claimed:
        assert claimed
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
    try:
        with claim(Path(exp.path)) as claimed_again:
            assert claimed_again
        with (repository.home / "lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises while the child has it
        exp.track(1)
        exp.finish()
        assert latest().status == "finished"
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


@pytest.mark.parametrize("name", [".git/config", "a/.GIT/x", "git~1", ".git "])
def test_a_file_name_that_git_refuses_is_refused_at_once(repo: Git, name: str) -> None:
    with Experiment("x") as exp, pytest.raises(UsageError, match="name"):
        exp.log_file("README", name)
    assert latest().status == "finished"


def test_a_file_name_that_is_not_utf8_is_kept(repo: Git) -> None:
    path = repo.path / os.fsdecode(b"pl\xff.png")
    path.write_bytes(b"x")
    with Experiment("x") as exp:
        exp.log_file(path)
    memory = gitexp.open()
    assert list(memory.files(memory.get("latest"))) == ["pl\\xff.png"]


def test_a_file_that_looks_like_a_piece_of_a_log_is_kept(repo: Git) -> None:
    with Experiment("x") as exp:
        exp.log_file("README", "x.tail-1")
    memory = gitexp.open()
    assert list(memory.files(memory.get("latest"))) == ["x.tail-1"]


def test_a_file_after_the_end_is_refused(repo: Git) -> None:
    exp = Experiment("x")
    exp.finish()
    with pytest.raises(RunEndedError):
        exp.log_file("README")


class UnspeakableError(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (SystemExit(True), "failed"),
        (SystemExit(10**30), "failed"),
        (ValueError("bad file \udcff"), "crashed"),
        (ValueError("\x01" * 9_000_000), "crashed"),
        (UnspeakableError(), "crashed"),
    ],
    ids=["true", "huge", "surrogate", "long", "unspeakable"],
)
def test_whatever_ends_a_run_is_recorded(repo: Git, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), Experiment("x"):
        raise error
    assert (latest().status, latest().lost_bytes) == (status, 0)


def test_an_error_that_is_no_failure_is_refused(repo: Git) -> None:
    with Experiment("x") as exp, pytest.raises(UsageError, match="Failure"):
        exp.finish("failed", error="boom")  # type: ignore[arg-type]


def test_a_run_with_very_many_metrics_stays_readable(repo: Git) -> None:
    with Experiment("x") as exp:
        exp.track({f"metric {i}": i for i in range(60_000)})
    memory = gitexp.open()
    run = memory.get("latest")
    assert run.status == "finished"
    assert len(run.metrics) == 10_000
    assert len(memory.calls(run)[0].value) == 60_000
    assert memory.problems == []


def test_calls_that_two_folds_wrote_count_once() -> None:
    first, second = SeriesEncoder(), SeriesEncoder()
    for encoder, count in ((first, 2), (second, 3)):
        for i in range(count):
            encoder.add(i * 10**6, {"a": float(i)}, None, None)
        encoder.flush()
    lines = [*first.lines, *second.lines]
    assert [call.value["a"] for call in calls(lines)] == [0.0, 1.0, 2.0]
    assert [point.value for point in read_history(lines, "a")] == [0.0, 1.0, 2.0]


def test_keys_that_become_one_text_stay_apart(repo: Git) -> None:
    with Experiment("x") as exp:
        exp.track({1: 0.5, "1": 0.7})
    memory = gitexp.open()
    assert memory.calls(memory.get("latest"))[0].value == {"1'": 0.5, "1": 0.7}


def test_one_flipped_bit_does_not_make_the_reader_try_every_length(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Chinese text is full of the byte that marks a frame, each time with a length behind it."""
    payload = msgspec.msgpack.encode([1, "\u6c49\u8bed\u5f20" * 40_000, None, None])
    frames = [frame(payload) for _ in range(40)]
    damaged = bytearray(b"".join(frames))
    damaged[len(frames[0]) * 3 + 5000] ^= 1
    assert damaged.count(bytes([MARK >> 24])) > 1_000_000
    digests = 0
    digest = journal_module._digest

    def counted(data: bytes) -> bytes:
        nonlocal digests
        digests += 1
        return digest(data)

    monkeypatch.setattr(journal_module, "_digest", counted)
    reader = JournalReader(bytes(damaged))
    assert sum(isinstance(item, list) for item in reader) == 39
    assert reader.lost_bytes == len(frames[0])
    assert digests < 100


@pytest.mark.parametrize(
    "change", [{"notes": [["a", -1], ["b", 3]]}, {"keys": [], "columns": []}], ids=repr
)
def test_series_of_others_that_make_no_sense_are_reported(change: dict[str, Any]) -> None:
    encoder = SeriesEncoder()
    encoder.add(0, {"a": 1.0}, "n", None)
    encoder.add(0, {"a": 2.0}, "n", None)
    encoder.flush()
    line = msgspec.json.decode(encoder.lines[0])
    with pytest.raises(BadLineError):
        decode_line(msgspec.json.encode(line | change))


def test_a_summary_that_is_no_number_is_damage() -> None:
    line = (
        b'{"kind":"end","schema":1,"time":"t","by":"b","status":"finished","duration":1.0,'
        b'"metrics":{"loss":{"first":1.0,"last":"abc","count":1}}}'
    )
    with pytest.raises(BadLineError, match="no number"):
        decode_fact(line)


def test_one_journal_that_fails_oddly_does_not_stop_the_others(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gitexp import seal

    ids = []
    for name in ("bad", "good"):
        exp = Experiment(name)
        exp._finalizer.detach()
        exp._run.journal.close()  # type: ignore[union-attr]
        ids.append(exp.run_id)
    monkeypatch.setattr(seal, "is_dead", lambda _: True)
    real = write_batch

    def odd(repository: Repository, shard: str, batch: Batch) -> None:
        if ids[0] in batch.facts:
            raise RecursionError("odd")
        real(repository, shard, batch)

    monkeypatch.setattr(seal, "write_batch", odd)
    results = {result.run_id: result for result in recover(Repository.discover())}
    assert isinstance(results[ids[0]].error, GitexpError)
    assert results[ids[1]].status == "crashed"


def test_a_journal_is_let_go_when_the_end_cannot_be_written(repo: Git) -> None:
    exp = Experiment("x")
    journal: Journal = exp._run.journal  # type: ignore[union-attr]

    def full(_descriptor: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    journal._write = full
    with pytest.warns(GitexpWarning, match="No space"):
        exp.finish()
    assert journal._descriptor == -1
