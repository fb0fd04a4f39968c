"""The four commands of MemoryLab as functions that return data: init, check, log and report."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from gitexp.errors import GitexpError
from gitexp.git.history import EMPTY_TREE, parents_of
from gitexp.git.read import resolve
from gitexp.git.repository import Repository
from gitexp.interchange.importing import run_name
from gitexp.interchange.memorylab_store import FORMAT
from gitexp.interchange.outcomes import failure
from gitexp.light import NamedTuple
from gitexp.memorylab import words
from gitexp.memorylab.decision import decide
from gitexp.memorylab.files import pretty_json
from gitexp.memorylab.guard import THRESHOLD, Guard, Result
from gitexp.memorylab.log_file import Outcome, error_of, read_outcome, require_metrics
from gitexp.memorylab.packet import packet_markdown, packet_of
from gitexp.memorylab.record import METRIC, RECORD_FILE, Mode, Record, Status, decode, encode
from gitexp.memorylab.registry import champion_of
from gitexp.memorylab.report import report_markdown
from gitexp.memorylab.store import Lab, opened
from gitexp.recording import Outcome as RunOutcome
from gitexp.recording import record as record_run
from gitexp.records.nested import clean_text
from gitexp.records.values import plain

_SHORT = 7


@dataclass(frozen=True)
class Idea:
    """What the guard is asked about.

    Attributes:
        threshold: Similarity from which on a record counts, before the mode's share.
    """

    description: str
    tags: Sequence[str] = ()
    family: str | None = None
    hypothesis: str | None = None
    mode: Mode = "exploit"
    threshold: float = THRESHOLD

    def clean(self) -> Idea:
        """Return it as it is stored.

        Raises:
            GitexpError: The description is empty, or the threshold is no similarity.
        """
        description = clean_text(self.description).strip()
        if not description:
            raise GitexpError("The description is empty.", "Say what is tried.")
        if not 0 <= self.threshold <= 1:
            raise GitexpError(f"The threshold {self.threshold} is not between 0 and 1.")
        return Idea(
            description,
            words.tags(map(clean_text, self.tags)),
            clean_text(self.family or "").strip() or None,
            clean_text(self.hypothesis or "").strip() or None,
            self.mode,
            self.threshold,
        )


@dataclass(frozen=True)
class Entry:
    """A run that is to be logged.

    Attributes:
        log: Of the training run; `summary` the JSON file of its metrics. They need not exist.
        error: Why it crashed, where the log does not say it best.
        archive: Keep its files in the archive on disk; git keeps them anyhow.
    """

    idea: Idea
    status: Status
    log: Path
    summary: Path | None = None
    notes: str | None = None
    error: str | None = None
    archive: bool = True


class Logged(NamedTuple):
    """What was logged.

    Attributes:
        record: As the ledger has it.
        run: Id of the run in git.
        champion: Who is champion now.
        paths: Of the files in the archive, relative to the top.
    """

    record: dict[str, Any]
    run: str
    champion: Record | None
    paths: tuple[str, ...]


class Reported(NamedTuple):
    """A report and where it was written, relative to the top where it is below it."""

    text: str
    paths: tuple[str, ...]


def init(repository: Repository) -> list[str]:
    """Make the files that are missing; return the paths of all, relative to the top."""
    with opened(repository) as lab:
        files = lab.files
        if not files.ledger.exists():
            files.write_ledger([])
        lab.complete_view()
        for folder in (files.reports, files.runs):
            folder.mkdir(exist_ok=True)
        return [*map(files.name, (files.ledger, files.registry, files.table))]


def check(repository: Repository, idea: Idea) -> Result:
    """Say what an idea is beside the ledger."""
    idea = idea.clean()
    with opened(repository) as lab:
        return _check(lab, idea)


def _check(lab: Lab, idea: Idea) -> Result:
    return Guard(lab.records).check(
        idea.description,
        idea.tags,
        idea.family,
        idea.mode,
        idea.threshold,
        hypothesis=idea.hypothesis or "",
    )


def log(repository: Repository, entry: Entry, now: datetime) -> Logged:
    """Add a run: compare, decide, record it in git, write the files.

    Raises:
        GitexpError: It cannot be logged; nothing was written.
    """
    idea = entry.idea.clean()
    outcome = read_outcome(entry.log, entry.summary)
    with opened(repository) as lab:
        head = _head(repository)
        novelty = _check(lab, idea)
        champion = champion_of(lab.records)
        draft = _record(lab, entry, idea, outcome, {**head, **_moment(lab, head, now)})
        contents = _contents(repository, outcome)
        record = decode(encode(draft).encode(), "The new record")
        packet = packet_of(record, novelty, decide(record, champion, novelty.classification))
        contents |= {
            "decision_packet.json": pretty_json(packet),
            "decision_packet.md": packet_markdown(packet).encode(),
        }
        archived = contents if entry.archive else {}
        folder = lab.files.runs / record.run_id
        paths = {name: lab.files.name(folder / name) for name in sorted(archived)}
        draft |= {
            "novelty_guard": novelty.to_dict(),
            "decision_packet": packet,
            "artifacts": {name.replace(".", "_"): path for name, path in paths.items()},
        }
        line = encode(draft).encode()
        run = _record_in_git(repository, record, novelty, {**contents, RECORD_FILE: line})
        lab.add(line, run, archived)
        return Logged(draft, run, champion_of(lab.records), tuple(paths.values()))


def _head(repository: Repository) -> dict[str, Any]:
    """Return what HEAD is.

    Raises:
        GitexpError: There is no commit yet.
    """
    commit = resolve(repository, "HEAD")
    if commit is None:
        raise GitexpError("There is no commit yet.", "Commit the experiment, then log it.")
    branch = repository.git(["rev-parse", "--abbrev-ref", "HEAD"]).decode("utf-8", "replace")
    parents = parents_of(repository, commit)
    return {
        "branch": branch.strip(),
        "commit": commit,
        "parent_commit": parents[0] if parents else None,
    }


def _moment(lab: Lab, head: Mapping[str, Any], now: datetime) -> dict[str, str]:
    """Return the time and the id of a new record: the first second from now on that is free."""
    taken = {record.run_id for record in lab.records}
    time = now.astimezone(UTC)
    while True:
        stamp = f"{time:%Y-%m-%dT%H:%M:%SZ}"
        run_id = f"{stamp.replace('-', '').replace(':', '')}-{head['commit'][:_SHORT]}"
        if run_id not in taken:
            return {"timestamp_utc": stamp, "run_id": run_id}
        time += timedelta(seconds=1)


def _record(
    lab: Lab, entry: Entry, idea: Idea, outcome: Outcome, known: dict[str, Any]
) -> dict[str, Any]:
    """Return the record without what the guard and the rules say.

    Raises:
        GitexpError: A metric is missing or cannot be kept.
    """
    crashed = entry.status == "crash"
    metrics = {clean_text(name): value for name, value in outcome.metrics.items()}
    if not crashed:
        require_metrics(metrics, entry.status)
    plain(metrics, "metrics")
    said = clean_text(entry.error or "").strip()
    error = error_of(outcome.log, said, lab.files.name(entry.log)) if crashed else None
    return {
        **known,
        "status": entry.status,
        "description": idea.description,
        "hypothesis": idea.hypothesis,
        "family": idea.family,
        "tags": list(idea.tags),
        "notes": clean_text(entry.notes or "").strip() or None,
        "metrics": metrics | ({METRIC: None} if crashed else {}),
        "error": None if error is None else msgspec.to_builtins(error),
    }


def _contents(repository: Repository, outcome: Outcome) -> dict[str, bytes]:
    """Return what is kept of the run beside the packet, by file name."""
    found = {
        "run.log": outcome.log,
        "summary.json": outcome.summary,
        "train.patch": _patch(repository) or None,
    }
    return {name: content for name, content in found.items() if content is not None}


def _patch(repository: Repository) -> bytes:
    """Return how ``train.py`` in the work tree differs from the parent of HEAD's commit."""
    base = resolve(repository, "HEAD^") or EMPTY_TREE
    options = ("--no-ext-diff", "--no-textconv", "--no-color", "--binary")
    return repository.git(["diff", *options, base, "--", "train.py"])


def _record_in_git(
    repository: Repository, record: Record, novelty: Result, contents: Mapping[str, bytes]
) -> str:
    """Record the run with its files; return its id."""
    error = record.error
    with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
        paths = {name: Path(folder) / name for name in contents}
        for name, path in paths.items():
            path.write_bytes(contents[name])
        outcome = RunOutcome(
            metrics={name: value for name, value in record.metrics.items() if value is not None},
            status="finished" if error is None else "crashed",
            error=None
            if error is None
            else failure(error.summary or "", "crash", error.last_lines),
            files=paths,
            verdict=record.status,
        )
        return record_run(
            repository,
            run_name(record.description),
            outcome,
            description=record.description,
            hypothesis=record.hypothesis,
            family=record.family,
            tags=record.tags,
            external_id=f"{FORMAT}:{record.run_id}",
            metadata={"memorylab": _about(record, novelty)},
        )


def _about(record: Record, novelty: Result) -> dict[str, str]:
    """Return what only MemoryLab knows of a run, as the importer of its stores has it."""
    about = {
        "run_id": record.run_id,
        "branch": record.branch,
        "parent_commit": record.parent_commit,
    }
    known = {name: text for name, text in about.items() if text}
    return {**known, "novelty": novelty.classification, "mode": novelty.mode}


def report(
    repository: Repository, now: datetime, since_hours: float, output: Path | None = None
) -> Reported:
    """Write the report of the last hours, and a copy where one is asked for."""
    with opened(repository) as lab:
        registry = lab.registry()
        text = report_markdown(lab.records, registry, now=now, since_hours=since_hours)
        paths = lab.files.write_report(text, now)
        if output is not None:
            lab.files.write(output, text.encode())
            paths.append(output)
        return Reported(text, tuple(map(lab.files.name, paths)))
