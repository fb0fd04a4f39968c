from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp import journal
from gitexp.errors import GitexpError, RunEndedError, ValueRejectedError
from gitexp.journal import (
    Ending,
    Journal,
    JournalReader,
    Owner,
    claim,
    frame,
    is_dead,
    read_journal,
    this_process,
)
from gitexp.records.facts import RunFact
from tests.support import python

RUN = RunFact(time="2026-01-31T12:00:00.000000Z", by="Ada <ada@example.org>", name="x")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "live" / ("a" * 40)


@pytest.fixture
def opened(path: Path) -> Iterator[Journal]:
    opened = Journal.create(path, this_process(), RUN)
    yield opened
    opened.close()


def tracked(path: Path) -> list[Any]:
    with read_journal(path) as reader:
        return [item[1] for item in reader if isinstance(item, list)]


def test_it_starts_with_owner_and_run_and_gives_back_calls_in_order(
    opened: Journal, path: Path
) -> None:
    opened.track({"loss": 1.0}, "note", 3)
    opened.track(2.5, None, None)
    opened.add(Ending(5, "finished"))
    with read_journal(path) as reader:
        items = list(reader)
    assert isinstance(items[0], Owner)
    assert items[1] == RUN
    assert [item[1:] for item in items[2:4] if isinstance(item, list)] == [
        [{"loss": 1.0}, "note", 3],
        [2.5, None, None],
    ]
    assert items[4] == Ending(5, "finished")


def test_a_journal_that_cannot_be_begun_leaves_nothing(path: Path) -> None:
    huge = msgspec.structs.replace(RUN, metadata="x" * (17 << 20))
    with pytest.raises(ValueRejectedError, match="MiB; the limit is 16"):
        Journal.create(path, this_process(), huge)
    path.parent.chmod(0o500)
    if os.geteuid():
        with pytest.raises(GitexpError, match="Permission"):
            Journal.create(path, this_process(), RUN)
    path.parent.chmod(0o700)
    assert list(path.parent.iterdir()) == []


@given(data=st.data())
def test_after_damage_every_other_whole_frame_is_found(data: st.DataObject) -> None:
    frames = [frame(bytes([0x94, 1, i, 0xC0, 0xC0])) for i in range(6)]
    whole = b"".join(frames)
    start = data.draw(st.integers(0, len(whole) - 1))
    stop = data.draw(st.integers(start + 1, len(whole)))
    noise = data.draw(st.binary(min_size=stop - start, max_size=stop - start))
    damaged = whole[:start] + noise + whole[stop:]
    size = len(frames[0])
    untouched = {i for i in range(6) if (i + 1) * size <= start or i * size >= stop}
    found = {item[1] for item in JournalReader(damaged) if isinstance(item, list)}
    assert found >= untouched


@pytest.mark.parametrize("cut", range(1, 30, 7))
def test_a_torn_last_frame_is_lost_alone_and_counted(opened: Journal, path: Path, cut: int) -> None:
    opened.track(1, None, None)
    opened.track("last" * 10, None, None)
    os.truncate(path, path.stat().st_size - cut)
    with read_journal(path) as reader:
        items = [item[1] for item in reader if isinstance(item, list)]
        assert items == [1]
        assert reader.lost_bytes == reader.torn_bytes > 0


def test_zeros_and_emptiness_are_no_frames(tmp_path: Path) -> None:
    for content in (b"", bytes(4096)):
        file = tmp_path / "journal"
        file.write_bytes(content)
        with read_journal(file) as reader:
            assert list(reader) == []
            assert reader.lost_bytes == len(content)


def test_threads_share_a_journal(opened: Journal, path: Path) -> None:
    def work(number: int) -> None:
        for i in range(200):
            opened.track([number, i], None, None)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = tracked(path)
    assert len(values) == 1600
    assert [i for n, i in values if n == 3] == list(range(200))


def test_what_cannot_be_kept_names_its_key_and_writes_nothing(opened: Journal, path: Path) -> None:
    before = path.stat().st_size
    with pytest.raises(ValueRejectedError, match=r"model\.f"):
        opened.track({"model": {"f": object()}}, None, None)
    with pytest.raises(ValueRejectedError, match="MiB; the limit is 16"):
        opened.track("x" * 100_000_000, None, None)
    assert path.stat().st_size == before


def test_odd_values_are_kept(opened: Journal, path: Path) -> None:
    opened.track({"a": np.float32(0.5), "b": Path("x/y"), "c": "\udcff", 1: 2}, None, None)
    assert tracked(path) == [{"a": 0.5, "b": "x/y", "c": "\\xff", "1": 2}]


def test_a_full_disk_is_a_clear_error_and_earlier_frames_stay(
    opened: Journal, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.track(1, None, None)

    def half(descriptor: int, data: bytes) -> int:
        if len(data) > 20:
            return os.write(descriptor, data[:20])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(opened, "_write", half)
        with pytest.raises(GitexpError, match="No space left"):
            opened.track("does not fit", None, None)
    opened.track(2, None, None)
    assert tracked(path) == [1, 2]


def test_a_forked_child_writes_to_the_same_run_and_holds_it_only_then(
    opened: Journal, path: Path
) -> None:
    ready, go = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(ready, 1)
        opened.track("from the child", None, None)
        os._exit(0)
    opened.track("from the parent", None, None)
    assert opened.lock_alone()  # a child that has not written does not count as a writer
    opened.close()
    os.write(go, b"x")
    os.waitpid(child, 0)
    os.close(ready)
    os.close(go)
    assert sorted(tracked(path)) == ["from the child", "from the parent"]


def test_nobody_seals_under_a_writer(opened: Journal, path: Path) -> None:
    with claim(path) as claimed:
        assert not claimed
    opened.close()
    with claim(path) as claimed:
        assert claimed


def test_a_writer_that_comes_after_the_seal_is_told(opened: Journal, path: Path) -> None:
    late = Journal(path)
    opened.close()
    path.unlink()
    with pytest.raises(RunEndedError):
        late.track(1, None, None)
    assert not path.exists()


def test_the_owner_is_dead_only_when_its_process_is_gone() -> None:
    assert not is_dead(this_process())
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started = journal.process_start(child.pid)
    owner = Owner(journal.host_name(), child.pid, started or "")
    assert started
    assert not is_dead(owner)
    child.kill()
    deadline = 500
    while not is_dead(owner) and deadline:  # a zombie until we wait for it: dead all the same
        deadline -= 1
        time.sleep(0.01)
    assert is_dead(owner)
    child.communicate()
    assert is_dead(owner)
    assert is_dead(Owner(journal.host_name(), os.getpid(), "another start of this number"))
    assert not is_dead(Owner("another-host", owner.pid, owner.started))


def test_frames_survive_kill_9_once_track_returned(tmp_path: Path) -> None:
    path = tmp_path / ("b" * 40)
    code = f"""
import os, signal
from pathlib import Path
from gitexp.journal import Journal, this_process
from gitexp.records.facts import RunFact
j = Journal.create(Path({str(path)!r}), this_process(), RunFact(time="t", by="b", name="n"))
for i in range(1000):
    j.track(i, None, None)
os.kill(os.getpid(), signal.SIGKILL)
"""
    python(code, check=False)
    assert tracked(path) == list(range(1000))
