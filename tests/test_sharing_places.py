"""Share where the surroundings fail: full disks, read-only ones, no permission, links that break.

Disks are small tmpfs mounts and hosts are network namespaces: only root can make them, so these
tests are skipped for others.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pygit2
import pytest

from gitexp.git import refs
from gitexp.git.repository import _opened
from tests.clones import (
    Done,
    assert_sound,
    check_code,
    command,
    errors_of,
    everything,
    facts_of,
    finishes,
    locks,
    make_clone,
    write_runs,
)
from tests.remotes import HttpRemote, bare_repository, http_remote
from tests.support import Git

pytestmark = pytest.mark.slow

_NOBODY = 65534
_LOG_BYTES = 60_000


@pytest.fixture(autouse=True)
def user(identity: None) -> None:
    """Give git a user."""


def refused(done: Done) -> str:
    """Check that a command failed with one clear error, and return what it said."""
    assert done.code == 1, done
    assert len(errors_of(done.said)) == 1, done.said
    assert "Traceback" not in done.said
    return done.said


def settle(*gits: Git) -> None:
    """Check that all hold the same, whole, without anything left lying about."""
    expected = everything(gits[0])
    for git in gits:
        assert everything(git) == expected
        assert_sound(git)
        check_code(git, expected[0])


# --- disks -------------------------------------------------------------------------------------


class Disk:
    """A small file system of its own, which can be filled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, leave: int) -> None:
        """Fill it up but for so many bytes."""
        self.free()
        status = os.statvfs(self.path)
        size = status.f_bavail * status.f_frsize - leave
        with (self.path / "filling").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)

    def free(self) -> None:
        """Take out the filling."""
        (self.path / "filling").unlink(missing_ok=True)

    def remount(self, option: str) -> None:
        """Mount it again, as ``ro`` or ``rw``."""
        subprocess.run(["mount", "-o", f"remount,{option}", str(self.path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(path)]
    if os.geteuid() != 0 or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


_SPACES = (0, 8_192, 65_536, 262_144)
"""Bytes that are left, so that the disk is full at different steps."""


def test_a_pull_onto_a_full_disk(template: Path, tmp_path: Path, disk: Disk) -> None:
    remote = bare_repository(tmp_path / "remote.git")
    there = make_clone(template, tmp_path / "there", str(remote.path), "there")
    write_runs(there, range(10), log_bytes=_LOG_BYTES)
    finishes(there, "push")
    here = make_clone(template, disk.path / "here", str(remote.path), "here")
    write_runs(here, range(2), "here")
    before = everything(here)
    for space in _SPACES:
        disk.fill(space)
        said = refused(command(here, "pull"))
        assert "No space left" in said, said
        assert everything(here) == before
    disk.free()
    finishes(here, "pull")
    finishes(here, "push")
    finishes(there, "pull")
    settle(here, there)


def test_a_push_from_a_full_disk(template: Path, tmp_path: Path, disk: Disk) -> None:
    remote = bare_repository(tmp_path / "remote.git")
    here = make_clone(template, disk.path / "here", str(remote.path), "here")
    write_runs(here, range(10))
    before = everything(here)
    disk.fill(0)
    assert "No space left" in refused(command(here, "push"))
    assert everything(here) == before
    assert remote("for-each-ref") == ""
    disk.free()
    finishes(here, "push")
    settle(here, remote)


def test_a_push_to_a_full_disk(template: Path, tmp_path: Path, disk: Disk) -> None:
    remote = bare_repository(disk.path / "remote.git")
    here = make_clone(template, tmp_path / "here", str(remote.path), "here")
    write_runs(here, range(2))
    finishes(here, "push")
    held = everything(remote)
    write_runs(here, range(2, 12), log_bytes=_LOG_BYTES)
    before = everything(here)
    for space in _SPACES:
        disk.fill(space)
        said = refused(command(here, "push"))
        assert "No space left" in said, said
        assert everything(here) == before
        assert everything(remote) == held
    disk.free()
    finishes(here, "push")
    settle(here, remote)


@pytest.mark.parametrize("word", ["push", "pull"])
def test_a_read_only_disk(template: Path, tmp_path: Path, disk: Disk, word: str) -> None:
    remote = bare_repository(tmp_path / "remote.git")
    there = make_clone(template, tmp_path / "there", str(remote.path), "there")
    here = make_clone(template, disk.path / "here", str(remote.path), "here")
    write_runs(there, range(2), "there")
    write_runs(here, range(2), "here")
    finishes(there, "push")
    before = everything(here)
    disk.remount("ro")
    said = refused(command(here, word))
    assert "Read-only file system" in said, said
    assert everything(here) == before
    disk.remount("rw")
    for clone, words in ((here, "push"), (here, "pull"), (there, "pull")):
        finishes(clone, words)
    settle(here, there)


# --- permission --------------------------------------------------------------------------------


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that another user can reach."""
    folder = Path(tempfile.mkdtemp(prefix="gitexp-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    subprocess.run(["chmod", "-R", "u+w", str(folder)], check=True)
    shutil.rmtree(folder)


def _become_nobody(home: Path) -> None:
    """Be a user whom modes bind: root is not."""
    os.environ["HOME"] = str(home)
    _opened.__dict__.clear()  # what the parent opened has the parent's configuration
    pygit2.settings.search_path[pygit2.enums.ConfigLevel.GLOBAL] = str(home)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)


def _give_away(folder: Path) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", f"{_NOBODY}:{_NOBODY}", str(folder)], check=True)


@pytest.mark.parametrize("word", ["push", "pull"])
@pytest.mark.parametrize("place", ["here/.git", "here/.git/objects", "here/.git/refs"])
def test_no_permission_to_write_to_the_repository(
    template: Path, open_folder: Path, word: str, place: str
) -> None:
    remote = bare_repository(open_folder / "remote.git")
    there = make_clone(template, open_folder / "there", str(remote.path), "there")
    here = make_clone(template, open_folder / "here", str(remote.path), "here")
    write_runs(there, range(2), "there")
    write_runs(here, range(2), "here")
    finishes(there, "push")
    before = everything(here)
    _give_away(open_folder)

    def become() -> None:
        _become_nobody(open_folder)

    locked = str(open_folder / place)
    subprocess.run(["chmod", "-R", "a-w", locked], check=True)
    said = refused(command(here, word, before=become))
    assert "ermission denied" in said, said
    subprocess.run(["chmod", "-R", "u+w", locked], check=True)
    for clone, words in ((here, "push"), (here, "pull"), (there, "pull")):
        done = command(clone, words, before=become)
        assert done.code == 0, done.said
    _take_back(open_folder)
    assert {*before[0]} <= {*facts_of(here)}
    settle(here, there)


def _take_back(folder: Path) -> None:
    if os.geteuid() == 0:
        subprocess.run(["chown", "-R", "0:0", str(folder)], check=True)


def test_no_permission_to_write_to_the_remote(template: Path, open_folder: Path) -> None:
    remote = bare_repository(open_folder / "remote.git")
    here = make_clone(template, open_folder / "here", str(remote.path), "here")
    write_runs(here, range(2))
    _give_away(open_folder)
    subprocess.run(["chmod", "-R", "a-w", str(remote.path)], check=True)

    def become() -> None:
        _become_nobody(open_folder)

    said = refused(command(here, "push", before=become))
    assert "ermission denied" in said or "unable to create" in said, said
    subprocess.run(["chmod", "-R", "u+w", str(remote.path)], check=True)
    done = command(here, "push", before=become)
    assert done.code == 0, done.said
    _take_back(open_folder)
    settle(here, remote)


# --- two hosts ---------------------------------------------------------------------------------

_SERVER_ADDRESS, _CLIENT_ADDRESS = "198.18.231.1", "198.18.231.2"  # of the range for such tests
_CLONE_NEWNET = 0x40000000


class Link:
    """Two hosts, each in a network namespace of its own, and a cable between them."""

    def __init__(self) -> None:
        self.server, self.client = (f"gitexp-{os.getpid()}-{end}" for end in ("server", "client"))

    def build(self) -> None:
        """Make the hosts and connect them."""
        for name in (self.server, self.client):
            _ip("netns", "add", name)
        cable = ("type", "veth", "peer", "name", "cable", "netns", self.client)
        _ip("-n", self.server, "link", "add", "cable", *cable)
        for name, address in ((self.server, _SERVER_ADDRESS), (self.client, _CLIENT_ADDRESS)):
            _ip("-n", name, "address", "add", f"{address}/30", "dev", "cable")
            _ip("-n", name, "link", "set", "cable", "up")

    def remove(self) -> None:
        """Take both hosts away, as far as they are there."""
        for name in (self.server, self.client):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def turn(self, state: str) -> None:
        """Pull the cable (``down``) or plug it in again (``up``)."""
        _ip("-n", self.server, "link", "set", "cable", state)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _enter(name: str) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(f"/run/netns/{name}", os.O_RDONLY)
    if library.setns(descriptor, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")
    os.close(descriptor)


@pytest.fixture
def link() -> Iterator[Link]:
    made = Link()
    try:
        try:
            made.build()
        except (FileNotFoundError, subprocess.CalledProcessError):
            pytest.skip("no network namespaces can be made here")
        yield made
    finally:
        made.remove()


@pytest.fixture
def far(link: Link, tmp_path: Path) -> Iterator[HttpRemote]:
    """A slow HTTP server on the other host."""
    (tmp_path / "server").mkdir()
    enter = functools.partial(_enter, link.server)
    with http_remote(tmp_path / "server", address=_SERVER_ADDRESS, enter=enter) as remote:
        yield remote


@pytest.mark.parametrize("word", ["push", "pull"])
def test_a_link_that_breaks_in_the_middle(
    template: Path, tmp_path: Path, link: Link, far: HttpRemote, word: str
) -> None:
    there, here = (
        make_clone(template, tmp_path / name, far.url, name) for name in ("there", "here")
    )
    for git in (there, here):
        git("config", "http.lowSpeedLimit", "1000")
        git("config", "http.lowSpeedTime", "1")
    enter = functools.partial(_enter, link.client)
    sender = here if word == "push" else there
    runs = write_runs(sender, range(10), log_bytes=_LOG_BYTES)
    if word == "pull":
        assert command(there, "push", before=enter).code == 0
    before, there_before = everything(here), facts_of(far.git)
    far.wire.bytes_per_second = 400_000
    done = _cut_in_the_middle(here, word, far, link, enter)
    refused(done)
    assert everything(here) == before
    assert facts_of(far.git).items() >= there_before.items()
    assert locks(here) == []
    far.wire.bytes_per_second = 0
    for git, words in ((here, word), (there, "pull"), (here, "pull")):
        again = command(git, words, before=enter)
        assert again.code == 0, again.said
    assert set(facts_of(here)) == set(runs)
    settle(here, there, far.git)
    assert set(here("for-each-ref", "--format=%(refname:lstrip=3)", refs.RUNS).split()) == set(runs)


def _cut_in_the_middle(
    git: Git, word: str, far: HttpRemote, link: Link, enter: Callable[[], None]
) -> Done:
    """Run a command; pull the cable once 100 kB have passed, and plug it in when it has ended."""
    begin = far.wire.bytes
    cutter = os.fork()
    if cutter == 0:
        with contextlib.suppress(BaseException):
            deadline = time.monotonic() + 20
            while far.wire.bytes < begin + 100_000 and time.monotonic() < deadline:
                time.sleep(0.01)
            link.turn("down")
        os._exit(0)
    try:
        return command(git, word, before=enter)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(cutter, signal.SIGTERM)
        os.waitpid(cutter, 0)
        link.turn("up")
