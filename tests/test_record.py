"""Recording what happened outside, below the command line: files, outputs, durations."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from gitexp.command import run_command
from gitexp.errors import GitexpError, ValueRejectedError
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.recording import (
    LOG_HEAD_BYTES,
    LOG_TAIL_BYTES,
    MAX_SUMMARY_BYTES,
    Outcome,
    read_output,
    read_summary,
    record,
)
from gitexp.run import Run
from tests.support import Git


def recorded(outcome: Outcome, command: tuple[str, ...] = ()) -> Run:
    run_id = record(Repository.discover(), "outside", outcome, command=command)
    return Memory.open().get(run_id)


def test_the_work_tree_is_the_code_and_nothing_of_it_changes(repo: Git) -> None:
    repo.write("train.py", "print('changed')\n")
    index = (repo.path / ".git" / "index").read_bytes()
    run = recorded(Outcome({"acc": 0.5}), command=("python", "train.py"))
    assert repo("show", f"{run.id}:train.py") == "print('changed')"
    assert run.command == ("python", "train.py")
    assert run.metrics["acc"].last == 0.5
    assert (repo.path / ".git" / "index").read_bytes() == index


def test_numbers_that_json_lacks_are_kept_as_numbers(repo: Git) -> None:
    run = recorded(Outcome({"loss": math.nan, "gain": math.inf, "inner": {"acc": -1}}))
    assert run.metrics["loss"].last == "NaN"
    assert run.metrics["gain"].last == "Infinity"
    assert run.metrics["inner.acc"].last == -1


def test_the_duration_is_what_the_author_says(repo: Git) -> None:
    run = recorded(Outcome({"acc": 0.5}, duration_s=3600.0, status="failed"))
    assert run.duration == pytest.approx(3600.0, abs=30)
    assert run.status == "failed"
    assert run.metrics["acc"].last == 0.5


def test_a_metric_that_cannot_be_kept_leaves_no_run(repo: Git) -> None:
    with pytest.raises(ValueRejectedError):
        recorded(Outcome({"acc": object()}))
    assert Memory.open().count() == 0


@pytest.mark.parametrize("make", [str, Path.mkdir, os.mkfifo])
def test_a_file_that_is_none_leaves_no_run(repo: Git, tmp_path: Path, make: object) -> None:
    path = tmp_path / "given"
    assert callable(make)
    make(path)
    with pytest.raises(GitexpError, match="given"):
        recorded(Outcome(files={"given": path}))
    assert Memory.open().count() == 0


def test_an_output_is_kept_as_run_keeps_it(tmp_path: Path) -> None:
    content = os.urandom(LOG_HEAD_BYTES + LOG_TAIL_BYTES + 12345)
    (tmp_path / "output").write_bytes(content)
    ours = read_output(tmp_path / "output")
    log = tmp_path / "run.log"
    with open(os.devnull, "wb") as sink:  # noqa: PTH123 - a descriptor is needed
        command = ["cat", str(tmp_path / "output")]
        fd = sink.fileno()
        run_command(command, log=log, cwd=tmp_path, environment=os.environ, stdout=fd)
    assert ours == log.read_bytes()
    assert b"\n[12345 bytes left out]\n" in ours


@pytest.mark.parametrize("size", [0, 5, LOG_HEAD_BYTES + 3, LOG_HEAD_BYTES + LOG_TAIL_BYTES])
def test_an_output_that_fits_is_kept_whole(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "output").write_bytes(content)
    assert read_output(tmp_path / "output") == content


def test_a_sparse_output_of_a_terabyte_is_read_at_its_ends_only(tmp_path: Path) -> None:
    path = tmp_path / "output"
    path.touch()
    os.truncate(path, 1 << 40)
    assert len(read_output(path)) < LOG_HEAD_BYTES + LOG_TAIL_BYTES + 100


def test_a_summary_is_flat_and_keeps_its_types(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    path.write_text('{"loss": NaN, "steps": 3, "val": {"acc": 0.5}, "note": "x"}')
    found = read_summary(path)
    assert math.isnan(found.pop("loss"))
    assert found == {"steps": 3, "val.acc": 0.5, "note": "x"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"[1]", "does not hold a JSON object"),
        (b"{", "is not JSON"),
        (b"\xff\xfe{}", "is not JSON"),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "JSON|nested"),
        (b'{"a":' * 150 + b"1" + b"}" * 150, "nested"),
        (b'{"a": "' + b"x" * MAX_SUMMARY_BYTES + b'"}', "larger than 1 MiB"),
    ],
)
def test_what_is_no_summary_is_said_to_be_none(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "summary.json"
    path.write_bytes(content)
    with pytest.raises(GitexpError, match=reason):
        read_summary(path)


def test_nothing_is_recorded_when_that_is_disabled(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITEXP_MODE", "disabled")
    assert record(Repository.discover(), "outside", Outcome({"a": 1}, verdict="keep")) == ""
    monkeypatch.delenv("GITEXP_MODE")
    assert Memory.open().count() == 0
