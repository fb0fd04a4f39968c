from __future__ import annotations

import os
import socket
import sqlite3
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import xxhash

from gitexp.errors import GitexpError
from gitexp.inputs import StatCache, fingerprint
from tests.support import python

digest_of = xxhash.xxh3_128_hexdigest
NEVER_READ = "f" * 32


@pytest.fixture
def cache(tmp_path: Path) -> StatCache:
    return StatCache(tmp_path / "cache" / "inputs.sqlite")


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every file written by the test have been at rest for an hour."""
    monkeypatch.setattr("gitexp.inputs.time_ns", lambda: time.time_ns() + 3600 * 10**9)


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def falsify(tmp_path: Path) -> int:
    """Give every remembered file a digest that it does not have; return how many there are.

    A fingerprint that shows this digest did not read the file.
    """
    connection = sqlite3.connect(tmp_path / "cache" / "inputs.sqlite")
    with connection:
        count = connection.execute("UPDATE file SET digest = ?", (NEVER_READ,)).rowcount
    connection.close()
    return count


def test_a_file_is_fingerprinted_by_its_content(tmp_path: Path, cache: StatCache) -> None:
    data = write(tmp_path / "data.csv", b"a,b\n" * 1_000_000)
    found = fingerprint(data, cache)
    assert found.path == str(data)
    assert found.digest == digest_of(data.read_bytes())
    assert (found.size, found.files) == (4_000_000, 1)


def test_the_path_is_kept_as_given(
    tmp_path: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data.csv", "1")
    assert fingerprint("./data.csv", cache).path == "./data.csv"
    assert fingerprint(Path("data.csv"), cache).path == "data.csv"


def test_a_folder_is_fingerprinted_by_its_files_and_their_names(
    tmp_path: Path, cache: StatCache
) -> None:
    folder = tmp_path / "data"
    write(folder / "b.txt", "two")
    write(folder / "deep" / "er" / "a.txt", "one")
    (folder / "empty").mkdir()
    found = fingerprint(folder, cache)
    lines = sorted(
        [f"{digest_of(b'two')} b.txt\n".encode(), f"{digest_of(b'one')} deep/er/a.txt\n".encode()]
    )
    assert found.digest == digest_of(b"".join(lines))
    assert (found.size, found.files) == (6, 2)


def test_a_renamed_file_changes_its_folder(tmp_path: Path, cache: StatCache) -> None:
    write(tmp_path / "data/a", "one")
    before = fingerprint(tmp_path / "data", cache).digest
    (tmp_path / "data/a").rename(tmp_path / "data/b")
    assert fingerprint(tmp_path / "data", cache).digest != before


def test_names_that_are_not_text_count_byte_for_byte(tmp_path: Path, cache: StatCache) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    name = b"caf\xe9"
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(b"x")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    line = digest_of(b"x").encode() + b" " + name + b"\n"
    assert fingerprint(folder, cache).digest == digest_of(line)
    file = fingerprint(folder / os.fsdecode(name), cache)
    assert file.path.endswith("data/caf\\xe9")


def test_a_link_inside_a_folder_is_its_target_text(tmp_path: Path, cache: StatCache) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "link").symlink_to("../elsewhere/big.bin")  # nothing is there
    (folder / "loop").symlink_to(".")
    lines = sorted(
        [
            f"{digest_of(b'../elsewhere/big.bin')} link\n".encode(),
            f"{digest_of(b'.')} loop\n".encode(),
        ]
    )
    found = fingerprint(folder, cache)
    assert (found.digest, found.files) == (digest_of(b"".join(lines)), 2)


def test_a_link_given_as_input_is_followed(tmp_path: Path, cache: StatCache) -> None:
    data = write(tmp_path / "v2" / "data.csv", "rows")
    (tmp_path / "file").symlink_to(data)
    (tmp_path / "folder").symlink_to(data.parent)
    assert fingerprint(tmp_path / "file", cache).digest == digest_of(b"rows")
    same = fingerprint(data.parent, cache).digest
    assert fingerprint(tmp_path / "folder", cache).digest == same


def test_an_input_that_is_missing_is_named(tmp_path: Path, cache: StatCache) -> None:
    with pytest.raises(GitexpError, match=r"nothing\.csv does not exist") as caught:
        fingerprint(tmp_path / "nothing.csv", cache)
    assert caught.value.hint


def test_an_unreadable_file_in_a_folder_is_named(tmp_path: Path, cache: StatCache) -> None:
    write(tmp_path / "data/open.csv", "1")
    write(tmp_path / "data/closed.csv", "1").chmod(0)
    if os.access(tmp_path / "data/closed.csv", os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(GitexpError, match=r"closed\.csv cannot be read"):
        fingerprint(tmp_path / "data", cache)


def test_pipes_and_sockets_are_refused_and_not_waited_for(
    tmp_path: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    os.mkfifo(tmp_path / "data/pipe")
    with pytest.raises(GitexpError, match="data/pipe is neither a file nor a folder"):
        fingerprint(tmp_path / "data", cache)
    monkeypatch.chdir(tmp_path)  # socket paths are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("plug")
        with pytest.raises(GitexpError, match="plug is neither"):
            fingerprint("plug", cache)


@pytest.mark.usefixtures("later")
def test_unchanged_files_are_not_read_again(tmp_path: Path, cache: StatCache) -> None:
    data = write(tmp_path / "data" / "a.bin", "one")
    write(tmp_path / "data" / "sub" / "b.bin", "two")
    fingerprint(data.parent, cache)
    assert falsify(tmp_path) == 2
    assert fingerprint(data, cache).digest == NEVER_READ
    lines = sorted([f"{NEVER_READ} a.bin\n".encode(), f"{NEVER_READ} sub/b.bin\n".encode()])
    assert fingerprint(data.parent, cache).digest == digest_of(b"".join(lines))


@pytest.mark.usefixtures("later")
def test_a_changed_file_is_read_again(tmp_path: Path, cache: StatCache) -> None:
    data = write(tmp_path / "a.bin", "one")
    fingerprint(data, cache)
    assert falsify(tmp_path) == 1
    write(data, "two")
    assert fingerprint(data, cache).digest == digest_of(b"two")


@pytest.mark.usefixtures("later")
def test_a_change_that_hides_its_mtime_is_seen_by_its_ctime(
    tmp_path: Path, cache: StatCache
) -> None:
    data = write(tmp_path / "a.bin", "one")
    before = data.stat()
    fingerprint(data, cache)
    write(data, "two")
    os.utime(data, ns=(before.st_atime_ns, before.st_mtime_ns))
    if data.stat().st_ctime_ns == before.st_ctime_ns:
        pytest.skip("the clock of this file system is too coarse to see the write at all")
    assert fingerprint(data, cache).digest == digest_of(b"two")


@pytest.mark.usefixtures("later")
def test_a_file_that_took_anothers_place_is_read(tmp_path: Path, cache: StatCache) -> None:
    data = write(tmp_path / "a.bin", "one")
    fingerprint(data, cache)
    write(tmp_path / "new", "two").replace(data)
    assert fingerprint(data, cache).digest == digest_of(b"two")


def test_a_file_that_has_just_changed_is_not_remembered(tmp_path: Path, cache: StatCache) -> None:
    data = write(tmp_path / "a.bin", "one")
    fingerprint(data, cache)
    assert falsify(tmp_path) == 0


def test_a_file_from_the_future_is_not_remembered(tmp_path: Path, cache: StatCache) -> None:
    data = write(tmp_path / "a.bin", "one")
    ahead = time.time_ns() + 86_400 * 10**9
    os.utime(data, ns=(ahead, ahead))
    fingerprint(data, cache)
    assert falsify(tmp_path) == 0


def test_a_file_at_rest_is_remembered_by_the_real_clock(tmp_path: Path, cache: StatCache) -> None:
    data = Path(sys.prefix, "pyvenv.cfg")
    if not data.is_file() or time.time() - data.stat().st_ctime < 10:
        data = Path(os.__file__)
    fingerprint(data, cache)
    assert falsify(tmp_path) == 1


@pytest.mark.usefixtures("later")
def test_a_file_that_changes_while_it_is_read_is_not_remembered(
    tmp_path: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = write(tmp_path / "a.bin", "one")
    clock = time.time_ns

    def change_after_the_first_look() -> int:
        write(data, "longer")
        return clock() + 3600 * 10**9

    monkeypatch.setattr("gitexp.inputs.time_ns", change_after_the_first_look)
    fingerprint(data, cache)
    assert falsify(tmp_path) == 0


@pytest.mark.usefixtures("later")
def test_a_damaged_cache_is_made_anew(tmp_path: Path, cache: StatCache) -> None:
    write(tmp_path / "cache" / "inputs.sqlite", b"not a database at all" * 100)
    data = write(tmp_path / "a.bin", "one")
    assert fingerprint(data, cache).digest == digest_of(b"one")
    assert falsify(tmp_path) == 1


@pytest.mark.usefixtures("later")
def test_a_cache_of_another_shape_is_left_alone(tmp_path: Path, cache: StatCache) -> None:
    (tmp_path / "cache").mkdir()
    connection = sqlite3.connect(tmp_path / "cache" / "inputs.sqlite")
    connection.execute("CREATE TABLE file (name TEXT)")
    connection.close()
    data = write(tmp_path / "a.bin", "one")
    assert fingerprint(data, cache).digest == digest_of(b"one")


@pytest.mark.usefixtures("later")
def test_a_locked_cache_is_done_without(
    tmp_path: Path, cache: StatCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitexp.inputs._LOCK_WAIT_S", 0)
    data = write(tmp_path / "a.bin", "one")
    fingerprint(write(tmp_path / "other.bin", "other"), cache)
    connection = sqlite3.connect(tmp_path / "cache" / "inputs.sqlite", isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    assert fingerprint(data, cache).digest == digest_of(b"one")
    connection.execute("ROLLBACK")
    connection.execute("BEGIN IMMEDIATE")  # now it can be read, but not written
    assert fingerprint(data, cache).digest == digest_of(b"one")
    connection.close()
    assert falsify(tmp_path) == 1  # only the other one


@pytest.mark.usefixtures("later")
def test_a_cache_that_cannot_be_made_is_done_without(tmp_path: Path) -> None:
    data = write(tmp_path / "a.bin", "one")
    assert fingerprint(data, StatCache(data / "inputs.sqlite")).digest == digest_of(b"one")
    assert fingerprint(data, StatCache(tmp_path)).digest == digest_of(b"one")


@pytest.mark.usefixtures("later")
def test_a_read_only_cache_is_still_read(tmp_path: Path, cache: StatCache) -> None:
    data = write(tmp_path / "a.bin", "one")
    fingerprint(data, cache)
    falsify(tmp_path)
    (tmp_path / "cache" / "inputs.sqlite").chmod(stat.S_IRUSR)
    (tmp_path / "cache").chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert fingerprint(data, cache).digest == NEVER_READ
        other = write(tmp_path / "b.bin", "two")
        assert fingerprint(other, cache).digest == digest_of(b"two")
    finally:
        (tmp_path / "cache").chmod(stat.S_IRWXU)


@pytest.mark.usefixtures("later")
def test_threads_share_a_cache(tmp_path: Path, cache: StatCache) -> None:
    files = [write(tmp_path / f"{index}.bin", str(index)) for index in range(8)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda file: fingerprint(file, cache).digest, files))
    assert found == [digest_of(str(index).encode()) for index in range(8)]
    assert falsify(tmp_path) >= 1


def test_a_program_without_inputs_does_not_load_sqlite() -> None:
    assert python("import gitexp.inputs, sys; print('sqlite3' in sys.modules)") == "False\n"
