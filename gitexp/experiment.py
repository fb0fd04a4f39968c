"""Record a run from inside a training script: start, track, finish.

Starting takes the snapshot, opens the journal and creates the run's handle, in this order, so
that whatever is killed in between can be completed by the next command. Tracking is one encode
and one write. Finishing seals the journal into the store.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import sys
import time
import warnings
import weakref
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, get_args

import msgspec

from gitexp.environment import capture_environment, encode_environment
from gitexp.errors import GitexpError, GitexpWarning, RunEndedError, UsageError, ValueRejectedError
from gitexp.git.commit import identity
from gitexp.git.refs import is_run_id, run_ref
from gitexp.git.repository import Repository
from gitexp.git.write import delete_ref, is_moving_refs, write_error
from gitexp.inputs import StatCache, fingerprint
from gitexp.journal import (
    Ending,
    Journal,
    files_folder,
    host_name,
    journal_path,
    this_process,
)
from gitexp.lifetime import describe_exception, unwatch, watch
from gitexp.records.facts import Failure, Input, RemarkFact, RunFact, Status
from gitexp.records.nested import clean_text
from gitexp.records.times import format_time
from gitexp.records.values import plain, require_integer, require_text
from gitexp.seal import create_handle, environment_cache, seal_if_over, seal_own
from gitexp.snapshot import Limits, take_snapshot

MAX_FILE_BYTES = 50 << 20
"""Larger files do not belong in a git repository; forges refuse them from 100 MB."""

MAX_ABOUT_BYTES = 8 << 20
"""What is said about a run in one line: half of what readers take for a line (16 MiB)."""

_time_ns = time.time_ns


class Experiment:
    """A run in progress.

    The first line of a script is enough::

        exp = Experiment("baseline", params={"lr": 0.1})
        exp.track({"step": 0, "loss": 1.5})

    The run ends with `finish`, at the end of a ``with`` block, when the object goes away, or
    with the process: by an exception (``crashed``), Ctrl-C or SIGTERM (``interrupted``). What
    was tracked survives ``kill -9``; the next ``git exp`` command then seals the run.

    In a process whose environment has ``GITEXP_RUN``, the first object joins that run instead of
    starting one: what it is given refines the run, and its end does not end it. Further ones
    are runs of their own, with that run as their parent. With ``GITEXP_MODE=disabled`` nothing
    is recorded at all.

    A ``sys.exit`` with an error code is seen in a ``with`` block only: Python does not tell
    anybody else.
    """

    def __init__(
        self,
        name: str,
        metadata: Any = None,
        *,
        params: Any = None,
        tags: Iterable[str] = (),
        description: str | None = None,
        hypothesis: str | None = None,
        family: str | None = None,
        seed: int | None = None,
        inputs: Iterable[str | os.PathLike[str]] = (),
        parent: str | None = None,
        command: Iterable[str] | None = None,
        external_id: str | None = None,
        ago_s: float = 0.0,
    ) -> None:
        """Start a run, or join one.

        Args:
            name: What to call it; need not be unique.
            metadata: Anything structured that is worth keeping, captured once.
            params: Parameters, as a mapping (nested if you like), dataclass or namespace.
            tags: Labels to find it by.
            description: What is tried.
            hypothesis: What is expected, and why.
            family: Name of the line of ideas it belongs to.
            seed: Seed of the random numbers: runs that differ in it only are replicates.
            inputs: Data files and folders whose fingerprints are recorded.
            parent: Full id of the run that this one continues.
            command: The command line, where it is not this process's own.
            external_id: Its name in another system; an import of that name adds nothing then.
            ago_s: How many seconds ago it started, where it is recorded afterwards.

        Raises:
            NoRepositoryError: There is no git repository here.
            ValueRejectedError: A parameter or the metadata cannot be kept.
            UsageError: The name is empty.
            GitexpError: The run could not be recorded; nothing was left behind.
        """
        self._name = name
        self._track: Callable[[Any, str | None, int | None], None] = _track_nothing
        if os.environ.get("GITEXP_MODE", "").lower() == "disabled":
            self._run: _LiveRun | None = None
            return
        about = _about(
            description=description,
            hypothesis=hypothesis,
            family=family,
            seed=seed,
            params=params,
            metadata=metadata,
        )
        about["tags"] = _texts(tags, "tags")
        self._name = _require_name(name)
        _require_small(about)
        origin = _Origin(parent, command, external_id, ago_s)
        self._run = _join_or_start(self._name, about, inputs, origin)
        self._track = self._run.journal.track
        self._finalizer = weakref.finalize(self, self._run.end_at_exit)

    @property
    def run_id(self) -> str:
        """Id of the run: 40 hexadecimal digits, a commit; empty when disabled."""
        return self._run.run_id if self._run else ""

    @property
    def name(self) -> str:
        """Name of the run."""
        return self._name

    @property
    def path(self) -> str:
        """Where the journal stands while the run is in progress; empty when disabled."""
        return str(self._run.journal.path) if self._run else ""

    def track(self, value: Any, note: str | None = None, step: int | None = None) -> None:
        """Record a value now: a number, or a (nested) dict of numbers and texts.

        Args:
            value: What to record. Non-finite numbers are kept.
            note: What the value means, for people and agents who read it later.
            step: Where in the run; without it the value's own ``step`` key counts if it is an
                integer, else how many calls came before.

        Raises:
            ValueRejectedError: It cannot be kept; the message names its key path.
            RunEndedError: The run has ended.
            GitexpError: The system did not take it (a full disk, say).
        """
        self._track(value, note, step)

    def log_params(self, params: Any) -> None:
        """Add parameters that became known after the start; they are merged over the others."""
        self._remark(parameters=_as_parameters(params))

    def describe(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        hypothesis: str | None = None,
        family: str | None = None,
        seed: int | None = None,
    ) -> None:
        """Replace what the run was said to be about; what is None stays."""
        about = _about(
            description=description,
            hypothesis=hypothesis,
            family=family,
            seed=seed,
        )
        self._remark(name=None if name is None else require_text(name, "name"), **about)

    def tag(self, *tags: str) -> None:
        """Add tags to the run."""
        self._remark(add_tags=_texts(tags, "tag"))

    def note(self, text: str) -> None:
        """Add a comment to the run."""
        self._remark(comment=require_text(text, "note"))

    def log_file(self, path: str | os.PathLike[str], name: str | None = None) -> None:
        """Keep a small file (a plot, a config, a report) with the run, as it is now.

        Args:
            path: The file.
            name: What to call it in the run, slashes allowed; its own name by default.

        Raises:
            GitexpError: It is missing, larger than 50 MiB, or the name leaves the run's folder.
        """
        if self._run is not None:
            self._run.keep_file(Path(path), name or Path(path).name)

    def finish(
        self,
        status: Status = "finished",
        *,
        exit_code: int | None = None,
        error: Failure | None = None,
    ) -> None:
        """End the run and seal it. A second call does nothing; in a joined run it only leaves.

        Args:
            status: How it ended.
            exit_code: Of the process, where that means something.
            error: What went wrong, if anything did.

        Raises:
            UsageError: There is no such status.
        """
        if status not in get_args(Status):
            known = ", ".join(get_args(Status))
            raise UsageError(f"{status!r} is not the status of a run.", f"Use one of {known}.")
        if error is not None and not isinstance(error, Failure):
            raise UsageError("error is not a Failure.", "Pass gitexp.records.facts.Failure.")
        if exit_code is not None:
            exit_code = require_integer(int(exit_code), "exit_code")
        if self._run is not None:
            self._run.end(status, error, exit_code)
            self._finalizer.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()
        else:
            status, failure, exit_code = describe_exception(error)
            self.finish(status, error=failure, exit_code=exit_code)

    def _remark(self, **fields: Any) -> None:
        if self._run is not None:
            self._run.remark(**fields)


class _LiveRun:
    """The part of an `Experiment` that outlives it: what its finaliser needs."""

    def __init__(
        self, repository: Repository, run_id: str, journal: Journal, *, owned: bool
    ) -> None:
        self.repository = repository
        self.run_id = run_id
        self.journal = journal
        self._owned = owned
        self._pid = os.getpid()
        self._ended = False
        self._ending: tuple[Status, Failure | None, int | None] = ("finished", None, None)
        watch(self)

    def note_ending(self, status: Status, error: Failure | None, exit_code: int | None) -> None:
        self._ending = (status, error, exit_code)

    def end_at_exit(self) -> None:
        self.end(*self._ending)

    def end(self, status: Status, error: Failure | None, exit_code: int | None) -> None:
        """End the run if this process started it, else leave it. A forked child does nothing."""
        if self._ended or os.getpid() != self._pid:
            return
        self._ended = True
        unwatch(self)
        try:
            if self._owned:
                self.journal.add(Ending(_time_ns(), status, exit_code, error))
                self.journal.refuse()
            else:
                self.journal.refuse()
                self.journal.close()
            if is_moving_refs():
                return  # collected while this thread seals another run: the next command seals
            if self._owned:
                seal_own(self.repository, self.journal)
            else:
                seal_if_over(self.repository, self.run_id)
        except RunEndedError:
            return  # who found the run without a living owner sealed it
        except GitexpError as failure:
            warnings.warn(
                f"Run {self.run_id[:12]} is not sealed yet: {failure} What was tracked is safe in "
                f"its journal; the next 'git exp' command seals it.",
                GitexpWarning,
                stacklevel=3,
            )
        finally:
            self.journal.close()

    def remark(self, **fields: Any) -> None:
        user, email = identity(self.repository)
        given = {key: value for key, value in fields.items() if value not in (None, (), {})}
        if given:
            _require_small(given)
            by = f"{user} <{email}>"
            self.journal.add(RemarkFact(time=format_time(_time_ns()), by=by, **given))

    def keep_file(self, source: Path, name: str) -> None:
        name = clean_text(name)
        if not _is_inside(name):
            raise UsageError(f"The name {name!r} leads out of the run's folder.")
        if any(_GITS_OWN.fullmatch(part) for part in Path(name).parts):
            raise UsageError(f"git keeps no file of the name {name!r}.", "Choose another.")
        target = files_folder(self.repository, self.run_id) / name
        try:
            size = source.stat().st_size
            if size > MAX_FILE_BYTES:
                raise GitexpError(
                    f"{source} has {size / 1e6:.0f} MB; a file kept with a run has at most 50 MiB.",
                    "Keep it elsewhere and track its path.",
                )
            self.journal.hold()
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        except OSError as error:
            raise write_error(error, f"keep {source}") from error


class _Origin(NamedTuple):
    """Where a new run comes from; a run that is joined has that already."""

    parent: str | None
    command: Iterable[str] | None
    external_id: str | None
    ago_s: float


def _join_or_start(
    name: str,
    about: dict[str, Any],
    inputs: Iterable[str | os.PathLike[str]],
    origin: _Origin,
) -> _LiveRun:
    """Join the run that the environment names, unless this process did so before, or start one."""
    outer = os.environ.get("GITEXP_RUN")
    if outer and outer not in _joined:
        run = _join(outer)
        tags, rest = about["tags"], {key: about[key] for key in about if key != "tags"}
        run.remark(name=name, add_tags=tags, inputs=_fingerprints(run.repository, inputs), **rest)
        return run
    repository = Repository.discover()
    about["parent"] = _run_id(origin.parent or outer or None)
    command = sys.orig_argv if origin.command is None else origin.command
    about["command"] = _texts(command, "command")
    if origin.external_id is not None:
        about["external_id"] = require_text(origin.external_id, "external_id")
    about["inputs"] = _fingerprints(repository, inputs)
    return _start(repository, name, about, _time_ns() - int(origin.ago_s * 1e9))


def _start(repository: Repository, name: str, about: dict[str, Any], started_ns: int) -> _LiveRun:
    """Take the snapshot, open the journal, create the handle."""
    repository.require_work_tree()
    snapshot = take_snapshot(repository, name, limits=Limits.from_settings(repository.settings))
    for sentence in snapshot.warnings:
        warnings.warn(sentence, GitexpWarning, stacklevel=4)
    user, email = identity(repository)
    run = RunFact(
        time=format_time(max(started_ns, 0)),
        by=f"{user} <{email}>",
        name=name,
        cwd=clean_text(repository.prefix.rstrip("/")) or ".",
        git=snapshot.git,
        host=host_name(),
        pid=os.getpid(),
        python=platform.python_version(),
        environment=_keep_environment(repository),
        **about,
    )
    _keep_patches(repository, snapshot.run_id, snapshot.patches)
    path = journal_path(repository, snapshot.run_id)
    sync = repository.settings.get("exprag.sync", "").lower() in ("true", "yes", "on", "1")
    journal = Journal.create(path, this_process(), run, sync=sync)
    try:
        create_handle(repository, snapshot.run_id)
    except BaseException:
        # The handle goes first: a journal without one can be recovered, not the other way round.
        delete_ref(repository, run_ref(snapshot.run_id), snapshot.run_id)
        journal.path.unlink(missing_ok=True)
        journal.close()
        raise
    return _LiveRun(repository, snapshot.run_id, journal, owned=True)


def _join(run_id: str) -> _LiveRun:
    """Open the journal of a run that another process of this machine started."""
    folder = os.environ.get("GITEXP_GIT_DIR")
    repository = Repository.discover(Path(folder) if folder else None)
    path = journal_path(repository, run_id) if is_run_id(run_id) else None
    if path is None or not path.exists():
        raise RunEndedError(
            f"GITEXP_RUN names {run_id!r}, which is no run in progress here.",
            "Unset GITEXP_RUN to start a run of its own.",
        )
    _joined.add(run_id)
    return _LiveRun(repository, run_id, Journal(path), owned=False)


_joined: set[str] = set()
"""The runs that this process has joined. A further `Experiment` in it is a run of its own, with
the joined one as its parent: a sweep in one process is not one run."""


def _about(
    *,
    description: str | None,
    hypothesis: str | None,
    family: str | None,
    seed: int | None,
    params: Any = None,
    metadata: Any = None,
) -> dict[str, Any]:
    """Return what a run is about, checked: what is written must be readable again."""
    texts = {"description": description, "hypothesis": hypothesis, "family": family}
    return {
        **{key: None if text is None else require_text(text, key) for key, text in texts.items()},
        "seed": None if seed is None else require_integer(seed, "seed"),
        "parameters": _as_parameters(params),
        "metadata": plain(metadata, "metadata"),
    }


def _run_id(parent: str | None) -> str | None:
    if parent is not None and not is_run_id(parent):
        raise UsageError(f"parent is {parent!r}, not the id of a run.", "Pass all 40 digits.")
    return parent


def _require_name(name: str) -> str:
    text = require_text(name, "name")
    if not text.strip():
        raise UsageError("The experiment's name is empty.", "Give it a name.")
    return text


def _require_small(about: Mapping[str, Any]) -> None:
    size = len(msgspec.json.encode(about))
    if size > MAX_ABOUT_BYTES:
        raise ValueRejectedError(
            f"{', '.join(about)} take {size / 2**20:.0f} MiB together; the limit is 8.",
            "Keep large things as a file with log_file().",
        )


def _texts(values: Iterable[str], path: str) -> tuple[str, ...]:
    given = (values,) if isinstance(values, str) else tuple(values)
    return tuple(require_text(value, path) for value in given)


def _as_parameters(params: Any) -> dict[str, Any]:
    values = plain(params, "params")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ValueRejectedError(
            f"params is of type {type(params).__name__}, not a mapping.", "Pass a dict."
        )
    return values


def _fingerprints(
    repository: Repository, inputs: Iterable[str | os.PathLike[str]]
) -> tuple[Input, ...]:
    paths = (inputs,) if isinstance(inputs, str | os.PathLike) else tuple(inputs)
    if not paths:
        return ()
    cache = StatCache(repository.home / "cache" / "inputs.sqlite")
    return tuple(fingerprint(os.fspath(path), cache) for path in paths)


def _keep_environment(repository: Repository) -> str:
    """Return the environment's digest; its record waits in a file until a shard has it."""
    digest, content = encode_environment(capture_environment())
    path = environment_cache(repository, digest)
    if not path.exists():
        _write_file(path, content)
    return digest


def _keep_patches(repository: Repository, run_id: str, patches: Mapping[str, bytes]) -> None:
    for path, patch in patches.items():
        name = f"submodules/{path}.patch"
        if _is_inside(name):
            _write_file(files_folder(repository, run_id) / name, patch)


_GITS_OWN = re.compile(r"(\.git|git~\d+)([ .]*|:.*)", re.IGNORECASE)
"""Parts of a path that git refuses in a tree, on any system."""


def _is_inside(name: str) -> bool:
    parts = Path(name).parts
    return bool(parts) and not Path(name).is_absolute() and ".." not in parts


def _write_file(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise write_error(error, f"write {path}") from error


def _track_nothing(_value: Any, _note: str | None, _step: int | None) -> None:
    """Stand in for tracking when nothing is recorded."""
