"""One run as sections for people: a title, lines of label and text, or a table, or plain text."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from gitexp.records.environment import Environment
from gitexp.records.facts import GitState, LeftOut
from gitexp.records.nested import flatten, number_from_json
from gitexp.render.packet import packet_rows
from gitexp.render.text import ago, cell, moment, number, safe, short, size, span
from gitexp.run import Comment, Run

Row = tuple[str, ...]


class Section(NamedTuple):
    """A part of a description.

    Attributes:
        title: May be empty.
        rows: Label and text each, or the cells of a table if there is a `header`. Not yet safe
            for a terminal.
        text: Comes last, of any number of lines. Not yet safe for a terminal.
    """

    title: str
    rows: Sequence[Row]
    header: Row = ()
    text: str = ""


def describe_run(
    run: Run,
    *,
    files: Mapping[str, int | None],
    code_here: bool,
    environment: Environment | None,
    now: datetime,
) -> list[Section]:
    """Return what is known of a run; sections without content are left out.

    Args:
        run: The run.
        files: Path -> bytes of the files kept with it; None for one that is missing.
        code_here: Its snapshot is in this repository.
        environment: Its surroundings, if known.
        now: The present, to say how long ago it was.
    """
    sections = [
        Section("", _about(run, now)),
        _error(run),
        Section("decision", _decision(run)),
        Section("description", [], text=run.description or ""),
        Section("hypothesis", [], text=run.hypothesis or ""),
        Section("comments", [], text="\n".join(map(_comment, run.comments))),
        Section("parameters", _pairs(run.parameters)),
        _metadata(run.metadata),
        _metrics(run),
        Section("code", _code(run, code_here=code_here)),
        Section("surroundings", _surroundings(run, environment)),
        Section("inputs", [(i.path, size(i.size), f"xxh3 {i.digest}") for i in run.inputs]),
        Section("files", [(path, _size(count)) for path, count in sorted(files.items())]),
    ]
    return [section for section in sections if section.rows or section.text]


def describe_environment(environment: Environment) -> list[Section]:
    """Return all that is known of a run's surroundings."""
    python, platform = environment.python, environment.platform
    machine = [
        ("python", f"{python.implementation} {python.version} ({python.build}) {python.abi}"),
        (
            "system",
            f"{platform.system} {platform.release} {platform.machine} {platform.libc or ''}",
        ),
        *(("accelerator", f"{a.count} x {a.vendor} {a.model}") for a in environment.accelerators),
    ]
    return [Section("machine", machine), Section("packages", list(environment.packages.items()))]


def _about(run: Run, now: datetime) -> list[Row]:
    ended = moment(run.ended) if run.ended else ""
    took = f", after {span(run.duration)}" if run.duration is not None else ""
    exit_code = f" (exit code {run.exit_code})" if run.exit_code is not None else ""
    return _known(
        ("name", run.name),
        ("status", run.status + exit_code),
        ("started", f"{moment(run.started)} ({ago(run.started, now)})"),
        ("last sign" if run.status == "running" else "ended", f"{ended}{took}" if ended else ""),
        ("by", run.by),
        ("family", run.family),
        ("tags", ", ".join(run.tags)),
        ("verdict", f"{run.verdict} (by {run.verdict_by})" if run.verdict else None),
        ("seed", run.seed),
        ("derived from", run.parent),
        ("external id", run.external_id),
        ("not readable", f"{size(run.lost_bytes)} of its journal" if run.lost_bytes else None),
    )


def _known(*pairs: tuple[str, Any]) -> list[Row]:
    return [(label, str(value)) for label, value in pairs if value not in (None, "")]


def _comment(comment: Comment) -> str:
    head = f"{moment(comment.time)} {safe(comment.by)}"
    return "\n    ".join([head, *comment.text.splitlines()])


def _pairs(values: Mapping[str, Any]) -> list[Row]:
    return [(path, cell(value)) for path, value in flatten(values).items()]


def _error(run: Run) -> Section:
    if run.error is None:
        return Section("error", [])
    return Section("error", [(run.error.type, run.error.message)], text=run.error.tail)


def _decision(run: Run) -> list[Row]:
    if run.decision is None:
        return []
    return list(packet_rows(run.id, msgspec.to_builtins(run.decision)))


def _metadata(metadata: Any) -> Section:
    if isinstance(metadata, Mapping):
        return Section("metadata", _pairs(metadata))
    return Section("metadata", [], text="" if metadata is None else cell(metadata))


def _metrics(run: Run) -> Section:
    rows = [
        (
            path,
            number(number_from_json(s.last)),
            _at(s.min, s.step_of_min),
            _at(s.max, s.step_of_max),
            number(s.mean),
            str(s.count),
        )
        for path, s in run.metrics.items()
    ]
    return Section("metrics", rows, header=("metric", "last", "min", "max", "mean", "count"))


def _at(value: float | None, step: int | None) -> str:
    return "" if value is None else f"{number(value)} @ {step}"


def _code(run: Run, *, code_here: bool) -> list[Row]:
    commit = f"{run.id}{'' if code_here else ' (not in this repository)'}"
    return [("commit", commit), *(_git_state(run.git) if run.git else [])]


def _git_state(git: GitState) -> list[Row]:
    changed = "with uncommitted changes" if git.dirty else "without changes"
    return _known(
        ("made on", f"{short(git.head) if git.head else 'an unborn branch'}, {changed}"),
        ("branch", git.branch or "(detached)"),
        *(("left out", _left_out(item)) for item in git.left_out),
        *(("dirty submodule", path) for path in git.submodules),
        *(("repository inside", path) for path in git.nested),
        *(("changed meanwhile", path) for path in git.changed),
        ("assume-unchanged", _entries(git.assume_unchanged)),
        ("skip-worktree", _entries(git.skip_worktree)),
    )


def _left_out(item: LeftOut) -> str:
    weight = f", {size(item.size)}" if item.size is not None else ""
    return f"{item.path} ({item.reason}{weight})"


def _entries(count: int) -> str:
    return f"{count} entr{'y' if count == 1 else 'ies'} not looked at" if count else ""


def _surroundings(run: Run, environment: Environment | None) -> list[Row]:
    return _known(
        ("command", shlex.join(run.command)),
        ("folder", run.cwd),
        ("host", run.host),
        ("process", run.pid),
        ("python", run.python),
        ("environment", _digest_of(run, environment)),
    )


def _digest_of(run: Run, environment: Environment | None) -> str | None:
    if run.environment is None or environment is None:
        return f"{run.environment} (not known here)" if run.environment else None
    devices = [f"{a.count} x {a.vendor} {a.model}" for a in environment.accelerators]
    return ", ".join([run.environment, f"{len(environment.packages)} packages", *devices])


def _size(count: int | None) -> str:
    return "(missing)" if count is None else size(count)
