"""The journal of a run in progress: an append-only file of checksummed frames.

A frame is a 4-byte little-endian word (the byte 0xE5 above 24 bits of payload length), the
xxh3-64 of the payload (8 bytes, big-endian, its canonical form), and the payload in
MessagePack. Each frame is one ``write`` to a descriptor in append mode, so frames of several
threads and processes never mix, and a frame whose write returned survives ``kill -9``. After
damage the reader finds the next whole frame by its mark, length and checksum.

A payload is an array ``[time_ns, value, note, step]`` for a tracked call, else a map tagged by
``kind``: `Owner` and `RunFact` come first, `RemarkFact` in between, `Ending` when the owner
says how the run ended.

Every process that can write holds a shared ``flock`` on the file. Who seals takes it
exclusively: so nobody folds a journal that somebody still writes to, and the kernel lets go of
the locks of the dead. Without locks (some network file systems) the owner's process id, start
time and host decide alone.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import subprocess
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct as Packing
from typing import Any

import msgspec
import xxhash

from gitexp.errors import RunEndedError, ValueRejectedError
from gitexp.git.refs import is_run_id
from gitexp.git.repository import Repository
from gitexp.git.write import write_error
from gitexp.records.facts import DECODE_ERRORS, Failure, RemarkFact, RunFact, Status
from gitexp.records.nested import clean_text
from gitexp.records.values import foreign, plain, require_integer

MARK = 0xE5000000
MAX_PAYLOAD_BYTES = (1 << 24) - 1
_HEADER = Packing("<I8s")
_pack_header = _HEADER.pack
_digest = xxhash.xxh3_64_digest
_time_ns = time.time_ns


class Owner(msgspec.Struct, frozen=True, tag_field="kind", tag="owner"):
    """The process that started the run and whose end is the run's end.

    Attributes:
        started: When the process started, in a form that only comparison understands.
    """

    host: str
    pid: int
    started: str


class Ending(msgspec.Struct, frozen=True, tag_field="kind", tag="ending"):
    """How the run ended, as its owner (or who found it dead) said. Times in nanoseconds."""

    time_ns: int
    status: Status
    exit_code: int | None = None
    error: Failure | None = None


Note = Owner | RunFact | RemarkFact | Ending
_encode = msgspec.msgpack.Encoder(enc_hook=foreign).encode
_decode: Callable[[bytes], list[Any]] = msgspec.msgpack.Decoder(list[Any]).decode
_decode_note: Callable[[bytes], Note] = msgspec.msgpack.Decoder(Note).decode


def journal_path(repository: Repository, run_id: str) -> Path:
    """Return where the journal of a run stands while it is in progress."""
    return repository.journals / run_id


def files_folder(repository: Repository, run_id: str) -> Path:
    """Return where files that a run keeps wait until it is sealed."""
    return repository.journals / f"{run_id}.files"


def live_runs(repository: Repository) -> list[str]:
    """Return the ids of the runs that have a journal.

    Links and pipes are none: one leads to a file that is not ours, the other never ends. A folder
    counts, so that whoever opens it says that it cannot be read.
    """
    try:
        with os.scandir(repository.journals) as entries:
            names = [entry.name for entry in entries if _may_be_journal(entry)]
    except FileNotFoundError:
        return []
    return sorted(filter(is_run_id, names))


def _may_be_journal(entry: os.DirEntry[str]) -> bool:
    return entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)


def frame(payload: bytes) -> bytes:
    """Return a payload as the bytes of one frame.

    Raises:
        ValueRejectedError: It is 16 MiB or more.
    """
    size = len(payload)
    if size > MAX_PAYLOAD_BYTES:
        raise _too_large(size)
    return _pack_header(MARK | size, _digest(payload)) + payload


def _too_large(size_bytes: int) -> ValueRejectedError:
    return ValueRejectedError(
        f"The value takes {size_bytes / 2**20:.0f} MiB; the limit is 16.",
        "Keep large things as a file with log_file().",
    )


def _refuse(_descriptor: int, _data: bytes) -> int:
    raise RunEndedError(
        "The run has ended; nothing more can be tracked in it.", "Start a new Experiment."
    )


def _write_through(descriptor: int, data: bytes) -> int:
    """Write so that it survives power loss too."""
    written = os.write(descriptor, data)
    os.fsync(descriptor)
    return written


_open_journals: weakref.WeakSet[Journal] = weakref.WeakSet()


class Journal:
    """A journal that this process writes to.

    Safe to share between threads. In a forked child the first append opens the file anew, so
    that a child which never writes does not count as a writer.
    """

    def __init__(self, path: Path, *, sync: bool = False, locked: bool = False) -> None:
        """Prepare to write to an existing journal.

        Args:
            path: Where it stands.
            sync: Make every frame survive power loss too, not only the death of the process.
            locked: This process holds the journal exclusively already (see `claim`).
        """
        self.path = path
        self._write: Callable[[int, bytes], int] = _write_through if sync else os.write
        self._locked = locked
        self._descriptor = -1
        self._lock = threading.RLock()
        _open_journals.add(self)

    @classmethod
    def create(cls, path: Path, owner: Owner, run: RunFact, *, sync: bool = False) -> Journal:
        """Make a new journal that starts with its owner and the run's first fact.

        Raises:
            GitexpError: The file cannot be written.
        """
        draft = path.with_name(f"{path.name}.new")
        journal = cls(draft, sync=sync)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC
            journal._descriptor = os.open(draft, flags, 0o666)
            _flock(journal._descriptor, "LOCK_SH")
            journal.append(frame(_encode(owner)) + frame(_encode(run)))
            # Others see it only now that it has an owner, who holds it.
            journal.path = draft.rename(path)
        except OSError as error:
            journal.close()
            draft.unlink(missing_ok=True)
            raise write_error(error, f"write {path}") from error
        except BaseException:
            journal.close()
            draft.unlink(missing_ok=True)
            raise
        return journal

    def track(self, value: Any, note: str | None, step: int | None) -> None:
        """Append one tracked call, with the time of now: the hot path, hence in one piece.

        Raises:
            ValueRejectedError: The value cannot be kept; the message names its key path.
            RunEndedError: The run has been sealed.
            GitexpError: The system did not take all of it (a full disk, say).
        """
        if note is not None or step is not None:
            note = None if note is None else clean_text(str(note))
            step = None if step is None else require_integer(step, "step")
        try:
            payload = _encode((_time_ns(), value, note, step))
        except (TypeError, ValueError, OverflowError, RecursionError):
            # Once more, slowly: either this names the key path, or it finds a form that fits.
            payload = _encode((_time_ns(), plain(value), note, step))
        size = len(payload)
        if size > MAX_PAYLOAD_BYTES:
            raise _too_large(size)
        data = _pack_header(MARK | size, _digest(payload)) + payload
        with self._lock:
            try:
                written = self._write(self._descriptor, data)
            except OSError as error:
                self._write_otherwise(data, error)
            else:
                if written != len(data):
                    self._write_rest(data[written:])

    def append(self, data: bytes) -> None:
        """Append whole frames with one write; it raises what `track` raises."""
        with self._lock:
            try:
                written = self._write(self._descriptor, data)
            except OSError as error:
                self._write_otherwise(data, error)
            else:
                self._write_rest(data[written:])

    def add(self, note: RemarkFact | Ending) -> None:
        """Append a fact."""
        self.append(frame(_encode(note)))

    def hold(self) -> None:
        """Be one of the journal's writers, so that nobody seals it; raise what `track` raises."""
        with self._lock:
            if self._descriptor < 0 or self._write is _refuse:
                self.append(b"")

    def refuse(self) -> None:
        """Take no more: from now on whoever appends is told that the run has ended."""
        with self._lock:
            self._write = _refuse

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def lock_alone(self) -> bool:
        """Try to become the journal's only holder; False while other processes write to it.

        It is False also after another process sealed the run.
        """
        with self._lock:
            if self._descriptor < 0:
                descriptor = _open_existing(self.path, lock=False)
                if descriptor is None:
                    return False
                self._descriptor = descriptor
            alone = _flock(self._descriptor, "LOCK_EX", "LOCK_NB")
            return alone and _is_at(self._descriptor, self.path)

    def _write_otherwise(self, data: bytes, error: OSError) -> None:
        """Write after a failure: open the file first if it is not open, else give up."""
        if self._descriptor >= 0:
            raise write_error(error, f"write to the journal {self.path}") from error
        descriptor = _open_existing(self.path, lock=not self._locked)
        if descriptor is None:
            self._write = _refuse
        else:
            self._descriptor = descriptor
        self._write_rest(data)

    def _write_rest(self, data: bytes) -> None:
        """Write until all is taken; if the system takes no more, the frame stays torn."""
        try:
            while data:
                written = self._write(self._descriptor, data)
                if written == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # noqa: TRY301
                data = data[written:]
        except OSError as error:
            raise write_error(error, f"write to the journal {self.path}") from error

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def _forget_parents_descriptors() -> None:
    for journal in list(_open_journals):
        journal._after_fork()  # noqa: SLF001 - of this module


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_descriptors)


def _open_existing(path: Path, *, lock: bool) -> int | None:
    """Open a journal to append to it, as one of its writers; None when the run was sealed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise write_error(error, f"write to the journal {path}") from error
    if lock and _flock(descriptor, "LOCK_SH") and not _is_at(descriptor, path):
        os.close(descriptor)
        return None
    return descriptor


def _is_at(descriptor: int, path: Path) -> bool:
    """Say whether the open file still stands at its path: a sealed journal does not."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _flock(descriptor: int, *flags: str) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, sum(getattr(fcntl, flag) for flag in flags))
    except OSError as error:
        # Held by others; or no locks here at all, and then the owner's process id decides.
        return error.errno not in (errno.EWOULDBLOCK, errno.EACCES)
    return True


@contextlib.contextmanager
def claim(path: Path) -> Iterator[bool]:
    """Hold a journal exclusively to seal it; yield False if others write to it or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _flock(descriptor, "LOCK_EX", "LOCK_NB") and _is_at(descriptor, path)
    finally:
        _flock(descriptor, "LOCK_UN")  # a child forked meanwhile has the descriptor too
        os.close(descriptor)


class JournalReader:
    """Read a journal from its start. After a full iteration the damage is known.

    Attributes:
        lost_bytes: Bytes that belong to no whole frame.
        torn_bytes: Those of them at the very end that began a frame: a write that never returned.
    """

    def __init__(self, data: bytes | mmap.mmap) -> None:
        self._data = data
        self.lost_bytes = 0
        self.torn_bytes = 0

    def __iter__(self) -> Iterator[list[Any] | Note]:
        """Yield each whole frame: a list for a call, else one of the `Note` types."""
        position, end = 0, len(self._data)
        while position < end:
            payload = self._payload(position)
            if payload is None:
                following = self._resynchronise(position + 1)
                self.lost_bytes += following - position
                if following == end and self._is_torn(position):
                    self.torn_bytes = end - position
                position = following
                continue
            position += _HEADER.size + len(payload)
            try:
                yield _decode_payload(payload)
            except DECODE_ERRORS:
                self.lost_bytes += _HEADER.size + len(payload)

    def _payload(self, position: int) -> bytes | None:
        """Return the payload of the whole frame that starts at a position, if one does."""
        start = position + _HEADER.size
        if start > len(self._data):
            return None
        word, digest = _HEADER.unpack(self._data[position:start])
        size = word & MAX_PAYLOAD_BYTES
        if word - size != MARK or start + size > len(self._data):
            return None
        payload = self._data[start : start + size]
        return payload if _digest(payload) == digest else None

    def _begins(self, start: int) -> bool:
        """Say whether a payload can start here: a digest over 16 MiB is not taken in vain."""
        head = self._data[start : start + 6]
        return head[:1] == b"\x94" or head[1:] == b"\xa4kind" or head[:1] in (b"\xde", b"\xdf")

    def _is_torn(self, position: int) -> bool:
        """Say whether what stands at a position is the beginning of a frame, cut off."""
        left = len(self._data) - position - _HEADER.size
        if left < 0:
            return True
        word, _ = _HEADER.unpack(self._data[position : position + _HEADER.size])
        size = word & MAX_PAYLOAD_BYTES
        return bool(word - size == MARK and size > left)

    def _resynchronise(self, position: int) -> int:
        """Return where the next whole frame starts at or after a position; the end if nowhere."""
        mark = bytes([MARK >> 24])
        while (found := self._data.find(mark, position + 3)) >= 0:
            if self._begins(found + 9) and self._payload(found - 3) is not None:
                return found - 3
            position = found - 2
        return len(self._data)


def _decode_payload(payload: bytes) -> list[Any] | Note:
    # 0x94 is MessagePack's mark of an array of four: a tracked call.
    return _decode(payload) if payload[:1] == b"\x94" else _decode_note(payload)


@contextlib.contextmanager
def read_journal(path: Path) -> Iterator[JournalReader]:
    """Open a journal for reading, whoever writes to it.

    Raises:
        FileNotFoundError: The run has been sealed.
    """
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            yield JournalReader(b"")
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield JournalReader(data)


def this_process() -> Owner:
    """Return this process as the owner of a run."""
    return Owner(host_name(), os.getpid(), process_start(os.getpid()) or "")


def host_name() -> str:
    """Return the name of this machine."""
    return os.uname().nodename if hasattr(os, "uname") else os.environ.get("COMPUTERNAME", "")


def process_start(pid: int) -> str | None:
    """Return when a process of this machine started; None when there is no such process.

    On Linux the text is the boot's id and the start in clock ticks since then, so a process
    id that was used again is not mistaken, not even after a reboot.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() else _process_start_by_ps(pid)
    except (PermissionError, ProcessLookupError):
        return None
    fields = stat.rpartition(b")")[2].split()
    if fields[0] in (b"Z", b"X"):
        return None  # it has ended; only its parent has not asked yet
    ticks = fields[19].decode("ascii")
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip() if boot.exists() else ''} {ticks}"


def _process_start_by_ps(pid: int) -> str | None:
    done = subprocess.run(
        ["ps", "-o", "lstart=", "-p", str(pid)],
        capture_output=True,
        check=False,
        text=True,
        env={**os.environ, "LC_ALL": "C", "TZ": "UTC"},
    )
    return done.stdout.strip() or None


def is_dead(owner: Owner) -> bool:
    """Say whether a run's owner is known to be gone: never true for another host's."""
    return owner.host == host_name() and process_start(owner.pid) != owner.started
