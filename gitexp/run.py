"""A run as readers see it: its facts merged into one view.

The earliest `RunFact` says how it began, remarks refine it in the order of their times, and
the latest `EndFact` says how it ended. Nothing here does I/O.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from gitexp.document import By, fields
from gitexp.errors import GitexpError
from gitexp.notebook import run_html
from gitexp.records.decision import DecisionFact
from gitexp.records.facts import (
    EndFact,
    Fact,
    Failure,
    GitState,
    Input,
    RemarkFact,
    RunFact,
    Summary,
    TombstoneFact,
    Verdict,
    encode_fact,
)
from gitexp.records.history import History
from gitexp.records.nested import json_numbers, number_from_json, restore_numbers
from gitexp.records.times import parse_time

RunStatus = Literal["running", "finished", "failed", "crashed", "interrupted", "timeout", "unknown"]


@dataclass(frozen=True)
class Comment:
    """What somebody said about a run, when, and who."""

    time: datetime
    by: str
    text: str


@dataclass
class Run:
    """One run.

    Attributes:
        id: 40 hexadecimal digits; the commit that holds the code.
        status: ``running`` while in progress; ``unknown`` when no facts say how it ended.
        started: UTC. `ended` likewise; for a run in progress its last sign of life.
        parameters: Nested, as given, later refinements merged in.
        metrics: Summary of each metric by dotted path.
        calls: How many times something was tracked.
        decision: The latest that was made about it.
    """

    id: str
    name: str
    status: RunStatus
    started: datetime
    by: str
    ended: datetime | None = None
    duration: float | None = None
    description: str | None = None
    hypothesis: str | None = None
    family: str | None = None
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = field(default_factory=dict)
    metadata: Any = None
    metrics: dict[str, Summary] = field(default_factory=dict)
    calls: int = 0
    seed: int | None = None
    inputs: tuple[Input, ...] = ()
    parent: str | None = None
    external_id: str | None = None
    command: tuple[str, ...] = ()
    cwd: str | None = None
    git: GitState | None = None
    host: str | None = None
    pid: int | None = None
    python: str | None = None
    environment: str | None = None
    exit_code: int | None = None
    error: Failure | None = None
    verdict: Verdict | None = None
    verdict_by: str | None = None
    comments: tuple[Comment, ...] = ()
    decision: DecisionFact | None = None
    lost_bytes: int = 0
    memory: Any = field(default=None, repr=False, compare=False)

    @classmethod
    def from_document(cls, document: Mapping[str, Any], memory: Any = None) -> Run:
        """Return the run that `to_dict` shows.

        Args:
            document: Of the run.
            memory: What its histories are read from.

        Raises:
            msgspec.ValidationError: It is no such document.
        """
        known = {name: value for name, value in document.items() if name != "run"}
        for name in ("parameters", "metadata"):
            if name in known:
                known[name] = restore_numbers(known[name])
        run = msgspec.convert({"id": document["run"], **known}, cls)
        run.memory = memory
        return run

    def history(self, metric: str) -> History:
        """Return the values of one metric in the order they were tracked.

        Args:
            metric: Its path or an unambiguous suffix.

        Raises:
            GitexpError: The run has no such metric, or was not read from a repository.
            AmbiguousError: The name fits several metrics.
        """
        history: History = self._reader().history(self, metric)
        return history

    def diff(self, other: Run) -> Any:
        """Return what differs between this run and another, which is the newer state.

        The code is left out: ``git diff`` of the two ids shows it.

        Raises:
            GitexpError: The run was not read from a repository.
        """
        return self._reader().diff(self, other)

    def _reader(self) -> Any:
        if self.memory is None:
            raise GitexpError("This run was not read from a repository.", "Use gitexp.open().")
        return self.memory

    def _repr_html_(self) -> str:
        return run_html(self.to_dict())

    def fields(self) -> dict[str, Any]:
        """Return parameters and metadata as dotted paths: ``params.lr``, ``metadata.note``."""
        return fields(vars(self))

    def value(self, metric: str, by: By = "last", *, lower: bool = False) -> float | None:
        """Return one number for a metric: best value reached, last, or mean; None without one.

        Args:
            metric: Full dotted path.
            by: ``best`` is the minimum if ``lower`` else the maximum, over finite values.
            lower: Lower is better.
        """
        summary = self.metrics.get(metric)
        if summary is None:
            return None
        if by == "last":
            last: float = number_from_json(summary.last)
            return last
        if by == "mean":
            return summary.mean
        return summary.min if lower else summary.max

    def to_dict(self) -> dict[str, Any]:
        """Return the run as JSON types, in the stable shape of ``--json`` (docs/reference/json.md).

        Non-finite numbers are the texts ``NaN``, ``Infinity``, ``-Infinity``; what is not known
        is absent.
        """
        result: dict[str, Any] = msgspec.json.decode(self.to_json())
        return result

    def to_json(self) -> bytes:
        """Return `to_dict` encoded."""
        return msgspec.json.encode(self._known())

    def _known(self) -> dict[str, Any]:
        known: dict[str, Any] = {"run": self.id}
        for name in _SHOWN:
            value = getattr(self, name)
            if value or (value is not None and value not in ((), {})):
                known[name] = value
        if not self.lost_bytes:
            del known["lost_bytes"]
        for name in ("parameters", "metadata"):
            if name in known:
                known[name] = json_numbers(known[name])
        return known


_SHOWN = tuple(name for name in Run.__dataclass_fields__ if name not in ("id", "memory"))


def build_run(run_id: str, facts: Iterable[Fact]) -> Run | None:
    """Merge the facts of one run; None when it is withdrawn or nothing says how it began."""
    ordered = _in_order(facts)
    if any(isinstance(fact, TombstoneFact) for fact in ordered):
        return None
    begin = next((fact for fact in ordered if isinstance(fact, RunFact)), None)
    if begin is None:
        return None
    run = _begun(run_id, begin)
    for fact in ordered:
        if isinstance(fact, EndFact):
            _apply_end(run, fact)
        elif isinstance(fact, RemarkFact):
            _apply_remark(run, fact)
        elif isinstance(fact, DecisionFact):
            run.decision = fact
    return run


def _in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Return facts by their times; equal ones by their lines, for a store keeps no order."""
    ordered = sorted(facts, key=lambda fact: fact.time)
    if len({fact.time for fact in ordered}) < len(ordered):
        ordered.sort(key=lambda fact: (fact.time, encode_fact(fact)))
    return ordered


def _begun(run_id: str, begin: RunFact) -> Run:
    return Run(
        id=run_id,
        name=begin.name,
        status="unknown",
        started=_time(begin.time),
        by=begin.by,
        description=begin.description,
        hypothesis=begin.hypothesis,
        family=begin.family,
        tags=begin.tags,
        parameters=restore_numbers(begin.parameters),
        metadata=restore_numbers(begin.metadata),
        seed=begin.seed,
        inputs=begin.inputs,
        parent=begin.parent,
        external_id=begin.external_id,
        command=begin.command,
        cwd=begin.cwd,
        git=begin.git,
        host=begin.host,
        pid=begin.pid,
        python=begin.python,
        environment=begin.environment,
    )


_REFINED = ("name", "description", "hypothesis", "family", "seed", "inputs")


def _apply_end(run: Run, end: EndFact) -> None:
    run.status = end.status
    run.ended = _time(end.time)
    run.duration = end.duration
    run.exit_code = end.exit_code
    run.error = end.error
    run.metrics = end.metrics
    run.calls = end.calls
    run.lost_bytes = end.lost_bytes


def _apply_remark(run: Run, remark: RemarkFact) -> None:
    kept = [tag for tag in run.tags if tag not in remark.remove_tags]
    run.tags = tuple(dict.fromkeys([*kept, *remark.add_tags]))
    if remark.comment is not None:
        run.comments = (*run.comments, Comment(_time(remark.time), remark.by, remark.comment))
    if remark.verdict is not None:
        run.verdict, run.verdict_by = remark.verdict, remark.by
    for name in _REFINED:
        value = getattr(remark, name)
        if value not in (None, ()):
            setattr(run, name, value)
    if remark.metadata is not None:
        run.metadata = _merge(run.metadata, restore_numbers(remark.metadata))
    run.parameters = _merge(run.parameters, restore_numbers(remark.parameters))


def _merge(old: Any, new: Any) -> Any:
    """Return ``old`` with the values of ``new`` over it, dicts merged key by key."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _merge(old.get(key), value) for key, value in new.items()}}


def _time(text: str) -> datetime:
    """Return a stored time in UTC; the beginning of 1970 for what is no time."""
    try:
        return parse_time(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return datetime(1970, 1, 1, tzinfo=UTC)
