"""MemoryLab's records as runs in git, and the files on disk as a view of them.

Each record is a run that keeps the record itself as its file ``memorylab.json``. Before every
command the two sides are brought together, under a lock: a record that git has and the ledger has
not is added to the ledger, one that the ledger has and git has not is taken into git, and one whose
run was withdrawn leaves the ledger. A small file in git's folder remembers the last such state, so
that little is read while nothing has changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import xxhash

from gitexp.errors import GitCommandError, GitexpError, GitexpWarning
from gitexp.git.measure import object_sizes
from gitexp.git.read import list_refs, list_tree, read_blobs
from gitexp.git.refs import FACTS, FILES, is_run_id
from gitexp.git.repository import Repository
from gitexp.git.write import write_error
from gitexp.index.database import Index
from gitexp.interchange.importing import import_runs
from gitexp.interchange.memorylab_store import FORMAT, read_store
from gitexp.interchange.replace import replaced
from gitexp.light import NamedTuple
from gitexp.memorylab.files import ARCHIVED, Files, Line, append, make_folder
from gitexp.memorylab.record import RECORD_FILE, Record, decode, encode
from gitexp.memorylab.registry import Registry, registry_of
from gitexp.records.facts import DECODE_ERRORS, MAX_LINE_BYTES

_NAMES = frozenset({RECORD_FILE, *ARCHIVED})
_PARTS = 3
"""``<aa>/<rest>/<name>``: the files of a run that are looked at stand at its top."""


class _State(msgspec.Struct):
    """What was known when the two sides were last together.

    Attributes:
        ledger: Digest of the ledger; `refs` likewise of the shards.
        runs: Run id in git -> run id in the ledger, of all that were ever met.
        places: See `gitexp.memorylab.registry.cluster_places`; of that ledger.
    """

    ledger: str = ""
    refs: str = ""
    runs: dict[str, str] = {}
    places: list[int] = []


@dataclass
class Lab:
    """A ledger that is open: nobody else of this clone changes it meanwhile.

    Attributes:
        records: In the ledger's order.
    """

    repository: Repository
    files: Files
    records: list[Record] = field(default_factory=list)
    _state: _State = field(default_factory=_State)

    def add(self, line: bytes, run_id: str, archive: Mapping[str, bytes]) -> None:
        """Write a record that git has now to the files.

        Args:
            line: The ledger's, without its end.
            run_id: Its run in git.
            archive: The files of the run's folder.
        """
        record = decode(line, "The new record")
        had_table = self.files.table.exists()
        make_folder(self.files.folder)
        append(self.files.ledger, line)
        self.records.append(record)
        if had_table:
            self.files.append_to_table(record)
        self.files.write_archive(record.run_id, archive)
        self.files.registry.unlink(missing_ok=True)
        self.complete_view()
        if run_id:  # nothing is recorded where GITEXP_MODE=disabled says so
            self._state.runs[run_id] = record.run_id
        self._remember()

    def complete_view(self) -> None:
        """Write those files that are missing but for the ledger and the archive."""
        if not self.files.table.exists():
            self.files.write_table(self.records)
        if not self.files.registry.exists():
            self.files.write_registry(self.registry().to_dict())

    def registry(self) -> Registry:
        """Return where the ledger stands."""
        found = registry_of(self.records, self._state.places)
        self._state.places = found.places
        return found

    def bring_together(self) -> None:
        """Read the ledger, and make it and git hold the same records.

        Raises:
            GitexpError: A line of the ledger is no record; nothing was written.
        """
        content = self.files.read_ledger()
        lines = self.files.parse_ledger(content or b"")
        self._state = _read_state(self.repository)
        is_same = self._state.ledger == _digest(content or b"")
        if not is_same:
            self._state.places = []
        is_current = is_same and self._state.refs == self._refs()
        if not is_current:
            lines = self._unite(lines)
        self.records = [line.record for line in lines]
        if lines or content is not None:
            self.complete_view()
        if not is_current:
            self._remember()

    def _unite(self, lines: list[Line]) -> list[Line]:
        """Add, take in and drop; return the lines of the ledger as it is then."""
        kept, seen = _kept_files(self.repository), _runs(self.repository)
        self._meet(kept)
        names = self._state.runs
        present = {names[run]: run for run in kept if run in names and run in seen.visible}
        gone = {name for run, name in names.items() if run in seen.withdrawn} - set(present)
        stay = [line for line in lines if line.record.run_id not in gone]
        known = set(names.values())
        new = [line for line in stay if line.record.run_id not in known]
        if new:
            take_in(self.repository, self.files, [line.record for line in new])
            self._meet(_kept_files(self.repository))
        for line in stay:
            present.pop(line.record.run_id, None)
        found = self._bring_back({run: kept[run] for run in present.values()})
        if not found and len(stay) == len(lines):
            return lines
        if found:
            stay = sorted([*stay, *found], key=lambda line: line.record.timestamp_utc)
        self.files.write_ledger(line.raw for line in stay)
        self.files.registry.unlink(missing_ok=True)
        self._state.places = []
        return stay

    def _meet(self, kept: Mapping[str, Mapping[str, str]]) -> None:
        """Learn the names of records in git that were not met before."""
        unknown = {run: files for run, files in kept.items() if run not in self._state.runs}
        for run, line in _read_records(self.repository, unknown):
            self._state.runs[run] = line.record.run_id

    def _bring_back(self, kept: Mapping[str, Mapping[str, str]]) -> list[Line]:
        """Return the records of runs in git, with their folders in the archive made again."""
        found = []
        for run, line in _read_records(self.repository, kept):
            archived = {oid: name for name, oid in kept[run].items() if name != RECORD_FILE}
            contents = read_blobs(self.repository, list(archived))
            there = {archived[oid]: blob for oid, blob in contents if blob is not None}
            self.files.write_archive(line.record.run_id, there)
            found.append(line)
        return found

    def _refs(self) -> str:
        tips = list_refs(self.repository, FACTS, FILES)
        return _digest("\n".join(f"{oid} {ref}" for ref, oid in sorted(tips.items())).encode())

    def _remember(self) -> None:
        self._state.ledger = _digest(self.files.read_ledger() or b"")
        self._state.refs = self._refs()
        path = self.repository.home / "memorylab.json"
        make_folder(path.parent)
        with replaced(path) as stream:
            stream.write(msgspec.json.encode(self._state))


def take_in(repository: Repository, files: Files, records: Sequence[Record]) -> None:
    """Make a run in git of each record of a ledger; those that were imported before stay as is.

    Args:
        repository: Where.
        files: Where the ledger and its archive stand.
        records: Those to take.

    Raises:
        GitexpError: One of them holds what no run can keep; nothing was written.
    """
    reading = read_store(files.ledger)
    if reading.bad:
        raise GitexpError(
            f"{files.name(files.ledger)}: {reading.bad[0]}.", "Repair or remove that line."
        )
    names = {record.run_id for record in records}
    runs = [run for run in reading.runs if run.external_id in names]
    import_runs(repository, runs, source=FORMAT, written_ns=reading.written_ns)


@contextlib.contextmanager
def opened(repository: Repository) -> Iterator[Lab]:
    """Open the ledger of a repository's work tree, everybody else of this clone kept out.

    Raises:
        NoRepositoryError: There is no work tree.
        GitexpError: The ledger cannot be used.
    """
    lab = Lab(repository, Files(repository.require_work_tree()))
    with _locked(repository):
        lab.bring_together()
        yield lab


@contextlib.contextmanager
def _locked(repository: Repository) -> Iterator[None]:
    path = repository.home / "memorylab.lock"
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise write_error(error, f"write to {path.parent}") from error
    try:
        with contextlib.suppress(OSError):  # a file system without locks: go on without
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read_state(repository: Repository) -> _State:
    """Return the state that was remembered; an empty one where it is missing or damaged."""
    try:
        content = (repository.home / "memorylab.json").read_bytes()
        return msgspec.json.decode(content, type=_State)
    except (OSError, *DECODE_ERRORS):
        return _State()


def _digest(content: bytes) -> str:
    return xxhash.xxh3_128_hexdigest(content)


def _kept_files(repository: Repository) -> dict[str, dict[str, str]]:
    """Return run -> name -> blob id of the files of all runs that keep a record."""
    found: dict[str, dict[str, str]] = {}
    for tip in list_refs(repository, FILES).values():
        with contextlib.suppress(GitCommandError):  # then none of its files can be had
            for entry in list_tree(repository, tip):
                parts = entry.path.decode("utf-8", "replace").split("/")
                run = "".join(parts[:2])
                if len(parts) == _PARTS and parts[2] in _NAMES and is_run_id(run):
                    found.setdefault(run, {}).setdefault(parts[2], entry.oid)
    return {run: files for run, files in found.items() if RECORD_FILE in files}


class _Runs(NamedTuple):
    """Ids of runs."""

    visible: frozenset[str]
    withdrawn: frozenset[str]


def _runs(repository: Repository) -> _Runs:
    """Return all runs. One that is not sealed yet is neither visible nor withdrawn."""

    def ids(sql: str) -> frozenset[str]:
        rows = Index(repository).ask(lambda db: db.execute(sql).fetchall())
        return frozenset(row[0].hex() for row in rows)

    visible = ids("SELECT id FROM run")
    return _Runs(visible, ids("SELECT run FROM note") - visible)


def _read_records(
    repository: Repository, kept: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, Line]]:
    """Yield the records of runs as the ledger has them; what is none gives a warning."""
    runs = {files[RECORD_FILE]: run for run, files in kept.items()}
    sizes = object_sizes(repository, list(runs))
    fit = [oid for oid, size in sizes.items() if size is not None and size <= MAX_LINE_BYTES]
    for oid, content in read_blobs(repository, fit):
        try:
            record = decode(content or b"", f"The file {RECORD_FILE} of run {runs[oid]}")
            yield runs[oid], Line(record, encode(json.loads(content or b"")).encode())
        except GitexpError as error:
            warnings.warn(error.message, GitexpWarning, stacklevel=2)
