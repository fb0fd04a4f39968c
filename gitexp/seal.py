"""Seal a run: fold its journal into the store, and only then let the journal go.

The fold is a function of the journal alone, and adding lines that are there already changes
nothing: so sealing can die at any step and be repeated, by whoever comes next. A run whose
process vanished gets its `Ending` written into the journal first, then takes the same way.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from gitexp.command.log import PIECE, read_log
from gitexp.errors import GitexpError, MissingObjectError
from gitexp.git import refs
from gitexp.git.commit import identity
from gitexp.git.read import read_commit
from gitexp.git.repository import Repository
from gitexp.git.write import create_ref, write_error
from gitexp.journal import (
    Ending,
    Journal,
    Owner,
    claim,
    files_folder,
    is_dead,
    journal_path,
    live_runs,
    read_journal,
)
from gitexp.records.facts import (
    MAX_LINE_BYTES,
    EndFact,
    Fact,
    RemarkFact,
    RunFact,
    encode_fact,
)
from gitexp.records.series import SeriesEncoder, log_digest
from gitexp.records.times import format_time, parse_time
from gitexp.store.batch import (
    Batch,
    environment_path,
    file_path,
    is_digest,
    missing_files,
    write_batch,
)
from gitexp.store.shard import shard_name

MAX_SUMMARIES = 10_000
"""A run with more metrics than this has summaries of the first ones only."""

_ABANDONED_SECONDS = 3600.0
"""Leftovers without a journal (of a start that was killed) are removed after so long."""


@dataclass
class Folded:
    """A journal, read to its end.

    Attributes:
        owner: None where the journal's first frame is damaged; likewise `run`.
        ending: None while the run is in progress.
        last_ns: Time of the last frame that carries one.
    """

    owner: Owner | None = None
    run: RunFact | None = None
    remarks: list[RemarkFact] = field(default_factory=list)
    ending: Ending | None = None
    series: SeriesEncoder = field(default_factory=SeriesEncoder)
    last_ns: int = 0
    lost_bytes: int = 0
    torn_bytes: int = 0

    def end_fact(self, run: RunFact, ending: Ending) -> EndFact:
        """Return the stored form of the run's end."""
        started = _started(run)
        return EndFact(
            time=format_time(ending.time_ns),
            by=run.by,
            status=ending.status,
            exit_code=ending.exit_code,
            error=ending.error,
            duration=round(max(ending.time_ns / 1e9 - started, 0.0), 6),
            calls=self.series.calls,
            metrics=dict(itertools.islice(self.series.summaries().items(), MAX_SUMMARIES)),
            digest=log_digest(self.series.lines) if self.series.lines else None,
            lost_bytes=self.lost_bytes,
        )


def _started(run: RunFact) -> float:
    """Return when a run started, in seconds since 1970; 0 for what is no time, as readers do."""
    try:
        return parse_time(run.time).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def fold(path: Path) -> Folded:
    """Read a journal, of a run in progress or ended.

    Raises:
        FileNotFoundError: The run has been sealed.
    """
    folded = Folded()
    with read_journal(path) as reader:
        for item in reader:
            _take(folded, item)
        folded.lost_bytes, folded.torn_bytes = reader.lost_bytes, reader.torn_bytes
    folded.series.flush()
    return folded


def _take(folded: Folded, item: object) -> None:
    match item:
        case [int(time_ns), value, str() | None as note, int() | None as step]:
            folded.series.add(time_ns, value, note, step)
            folded.last_ns = max(folded.last_ns, time_ns)
        case Owner() if folded.owner is None:
            folded.owner = item
        case RunFact() if folded.run is None:
            folded.run = item
        case RemarkFact():
            folded.remarks.append(item)
        case Ending() if folded.ending is None:
            folded.ending = item


def seal_own(repository: Repository, journal: Journal) -> bool:
    """Seal a run whose `Ending` this process has written, unless others still write to it.

    The last process that leaves seals; False says that it was not this one.
    """
    alone = journal.lock_alone()
    try:
        if alone:
            _seal(repository, journal.path)  # this process made the handle
    finally:
        journal.close()
    return alone


def seal_if_over(repository: Repository, run_id: str) -> None:
    """Seal a run whose owner has written its `Ending`, if nobody else writes to it."""
    path = journal_path(repository, run_id)
    with claim(path) as claimed:
        if claimed and fold(path).ending is not None:
            _seal(repository, path)


@dataclass(frozen=True)
class Recovered:
    """What `recover` did about one journal: sealed it, or why it could not."""

    run_id: str
    status: str | None
    error: GitexpError | None = None


def recover(repository: Repository) -> list[Recovered]:
    """Seal every run of this clone that has ended or whose process is gone.

    Runs that are in progress, here or on another host that shares the file system, are left
    alone. What cannot be sealed now (a full disk, say) stays in its journal and is reported.
    """
    recovered = [
        result for run_id in live_runs(repository) if (result := _recover_run(repository, run_id))
    ]
    _remove_leftovers(repository)
    return recovered


def _recover_run(repository: Repository, run_id: str) -> Recovered | None:
    path = journal_path(repository, run_id)
    repository.forget_objects()
    try:
        with claim(path) as claimed:
            return _recover_claimed(repository, path) if claimed else None
    except FileNotFoundError:
        return None
    except OSError as error:
        return Recovered(run_id, None, write_error(error, "seal it"))
    except GitexpError as error:
        return Recovered(run_id, None, error)
    except Exception as error:  # noqa: BLE001 - one journal must never stop the others
        return Recovered(run_id, None, GitexpError(f"{type(error).__name__}: {error}"))


def _recover_claimed(repository: Repository, path: Path) -> Recovered | None:
    """Seal a journal that nobody writes to, unless its owner lives (and has no locks to hold)."""
    run_id = path.name
    folded = fold(path)
    if folded.ending is None:
        if folded.owner is not None and not is_dead(folded.owner):
            return None
        if folded.run is None and read_commit(repository, run_id) is None:
            return _set_aside(repository, path)
        _declare_crashed(path, folded)
    with contextlib.suppress(MissingObjectError):  # readers report it; facts are kept
        create_handle(repository, run_id)
    return Recovered(run_id, _seal(repository, path))


def _set_aside(repository: Repository, path: Path) -> Recovered:
    """Keep a journal that no run can be made of: nothing in it can be read, nor a snapshot."""
    _dispose(repository, path, damaged=True)
    kept = repository.home / "damaged" / path.name
    message = f"Nothing in its journal can be read; it is kept as {kept}."
    return Recovered(path.name, None, GitexpError(message))


def _declare_crashed(path: Path, folded: Folded) -> None:
    """Write the ending of a run that its process could not, in place of a torn last frame."""
    if folded.torn_bytes:
        os.truncate(path, path.stat().st_size - folded.torn_bytes)
    last_sign_ns = folded.last_ns or path.stat().st_mtime_ns
    if folded.run is not None:
        started_ns = int(_started(folded.run) * 1e6) * 1000
        last_sign_ns = max(last_sign_ns, started_ns)
    journal = Journal(path, locked=True)
    try:
        journal.add(Ending(last_sign_ns, "crashed"))
    finally:
        journal.close()


def _seal(repository: Repository, path: Path) -> str:
    """Fold a journal with an `Ending` into the store and remove it; return the run's status."""
    run_id = path.name
    folded = fold(path)
    ending = folded.ending or Ending(folded.last_ns or time.time_ns(), "crashed")
    run = folded.run or _run_from_snapshot(repository, run_id)
    end = _fitting(folded.end_fact(run, ending))
    said: list[Fact] = [run, *folded.remarks, end]
    facts = [encode_fact(fact) for fact in said]
    metrics = {run_id: folded.series.lines} if folded.series.lines else {}
    shard = shard_name(repository)
    files = _files(repository, shard, run_id, run.environment)
    write_batch(repository, shard, Batch({run_id: facts}, metrics, files))
    _dispose(repository, path, damaged=folded.lost_bytes > folded.torn_bytes)
    return end.status


def _fitting(end: EndFact) -> EndFact:
    """Return the end with as many summaries as readers take in a line; the log has them all."""
    while len(encode_fact(end)) > MAX_LINE_BYTES:
        half = itertools.islice(end.metrics.items(), len(end.metrics) // 2)
        end = msgspec.structs.replace(end, metrics=dict(half))
    return end


def create_handle(repository: Repository, run_id: str) -> None:
    """Create the ref that keeps a run's snapshot alive; do nothing where it stands."""
    create_ref(repository, refs.run_ref(run_id), run_id)


def _run_from_snapshot(repository: Repository, run_id: str) -> RunFact:
    """Return what the snapshot itself says of a run whose journal lost its first frames."""
    commit = read_commit(repository, run_id)
    name = commit.subject.removeprefix("exprag: ") if commit else run_id[:12]
    started_ns = (
        commit.time * 10**9 if commit else journal_path(repository, run_id).stat().st_mtime_ns
    )
    user, email = identity(repository)
    return RunFact(time=format_time(started_ns), by=f"{user} <{email}>", name=name)


def _files(
    repository: Repository, shard: str, run_id: str, environment: str | None
) -> dict[str, bytes | Path]:
    """Return the files to add: those that wait beside the journal, and the environment if new."""
    folder = files_folder(repository, run_id)
    files: dict[str, bytes | Path] = {
        file_path(run_id, name): content for name, content in waiting_files(folder).items()
    }
    if environment is not None and is_digest(environment):
        path = environment_path(environment)
        content = environment_cache(repository, environment)
        if os.access(content, os.R_OK) and missing_files(repository, shard, [path]):
            files[path] = content
    return files


def waiting_files(folder: Path) -> dict[str, bytes | Path]:
    """Return name -> content of the files in a run's folder, a log left in pieces put together.

    Links are left out: what they lead to was never given to the run.
    """
    if folder.is_symlink():
        return {}
    found = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    paths = {path.relative_to(folder).as_posix(): path for path in found}
    files: dict[str, bytes | Path] = {}
    for name, path in sorted(paths.items()):
        log, is_piece, _ = name.partition(PIECE)
        if is_piece and log in paths:
            files[log] = read_log(paths[log])
        else:
            files[name] = path
    return files


def environment_cache(repository: Repository, digest: str) -> Path:
    """Return where this clone keeps an environment record until a shard has it."""
    return repository.home / "environments" / f"{digest}.json"


def _dispose(repository: Repository, path: Path, *, damaged: bool) -> None:
    """Remove a sealed journal, or set it aside when not all of it could be read."""
    if damaged:
        aside = repository.home / "damaged"
        aside.mkdir(exist_ok=True)
        path.replace(aside / path.name)
    else:
        path.unlink(missing_ok=True)
    shutil.rmtree(files_folder(repository, path.name), ignore_errors=True)


def _remove_leftovers(repository: Repository) -> None:
    """Remove what stands beside the journals but belongs to none: of starts that were killed."""
    folder = repository.journals
    live = set(live_runs(repository))
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.partition(".")[0] in live:
                continue
            with contextlib.suppress(FileNotFoundError):
                if time.time() - entry.stat().st_mtime > _ABANDONED_SECONDS:
                    _remove(Path(entry.path))


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
