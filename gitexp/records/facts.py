"""Facts: what is said about a run, one immutable JSON line each (docs/format.md, "Facts").

A line is tagged by ``kind`` and carries ``schema``, ``time`` and ``by``. Later lines refine
earlier ones; nothing is rewritten. A line of an unknown kind or a newer schema is kept as an
`OpaqueFact`, byte for byte, so that an old gitexp never loses what a newer one wrote.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from gitexp.records.decision import DecisionFact
from gitexp.records.nested import number_from_json
from gitexp.records.schema import SCHEMA, current_schema
from gitexp.records.values import MAX_DEPTH

MAX_LINE_BYTES = 16 << 20
"""Longer lines are reported as damaged, not decoded: no honest fact comes near 16 MiB."""

Status = Literal["finished", "failed", "crashed", "interrupted", "timeout"]
Verdict = Literal["keep", "discard", "crash"]
Number = int | float | str
"""A JSON number, or one of the texts ``NaN``, ``Infinity``, ``-Infinity``."""


class LeftOut(msgspec.Struct, frozen=True, omit_defaults=True):
    r"""A file that the snapshot does not hold.

    Attributes:
        path: Relative to the top of the work tree; bytes that are not UTF-8 as ``\xNN``.
        reason: ``too large``, ``looks like a secret``, ``over the total limit``,
            ``cannot be read``, ``filter failed`` or ``repository without commits``.
        size: In bytes, where known.
        digest: xxh3-128 of its content as 32 hexadecimal digits, where cheap to compute.
    """

    path: str
    reason: str
    size: int | None = None
    digest: str | None = None


class GitState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The repository at the moment of the snapshot.

    Attributes:
        head: The commit that HEAD named; None on an unborn branch.
        branch: Short name of the branch; None when HEAD is detached.
        dirty: The snapshot's tree differs from HEAD's tree.
        left_out: Files that are not in the snapshot though they are in the work tree.
        submodules: Paths of submodules with changes of their own; the patch of each is kept
            among the run's files as ``submodules/<path>.patch``.
        nested: Paths of untracked repositories, recorded by their commit only.
        changed: Paths that changed while the snapshot was taken.
        assume_unchanged: How many entries git was told to assume unchanged.
        skip_worktree: How many entries a sparse checkout leaves out (recorded as in HEAD).
    """

    head: str | None
    branch: str | None
    dirty: bool
    left_out: tuple[LeftOut, ...] = ()
    submodules: tuple[str, ...] = ()
    nested: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    assume_unchanged: int = 0
    skip_worktree: int = 0


class Input(msgspec.Struct, frozen=True, omit_defaults=True):
    """Fingerprint of a data file or folder that the run read.

    Attributes:
        path: As given by the user.
        digest: xxh3-128 as 32 hexadecimal digits: of the content for a file; for a folder, of
            the sorted lines ``<digest> <relative path>`` of its files.
        size: Bytes in all.
        files: How many files; 1 for a file.
    """

    path: str
    digest: str
    size: int
    files: int = 1


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a run did not finish: exception type, its message, the last lines of its output."""

    type: str
    message: str
    tail: str = ""


class Summary(msgspec.Struct, frozen=True, omit_defaults=True):
    """A metric over a whole run.

    ``first`` and ``last`` are the values as tracked, non-finite ones as texts. ``min``, ``max``
    and ``mean`` are over the finite values only; absent when there are none.

    Attributes:
        count: How many values were tracked, non-finite ones included.
        step_of_min: Step of the first occurrence of the minimum; likewise `step_of_max`.
    """

    first: Number
    last: Number
    count: int
    min: float | int | None = None
    max: float | int | None = None
    mean: float | None = None
    step_of_min: int | None = None
    step_of_max: int | None = None

    def __post_init__(self) -> None:
        for value in (self.first, self.last):
            if isinstance(value, str) and number_from_json(value) is value:
                raise ValueError(f"{value!r} is no number")


class RunFact(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="run", kw_only=True
):
    """The start of a run: what it is about and where its code and surroundings came from.

    Attributes:
        time: When it started, RFC 3339 in UTC with microseconds.
        by: Who started it, as ``Name <email>``.
        environment: Digest of the environment record, a file ``environments/<digest>.json`` of
            the files shard.
        parent: Id of the run that this one continues or derives from.
        cwd: Folder of the process relative to the top of the work tree, ``.`` for the top.
        external_id: Name of this run in another system it was imported from.
    """

    schema: int = msgspec.field(default_factory=current_schema)
    time: str
    by: str
    name: str
    description: str | None = None
    hypothesis: str | None = None
    family: str | None = None
    tags: tuple[str, ...] = ()
    parameters: dict[str, Any] = {}
    metadata: Any = None
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


class EndFact(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="end", kw_only=True
):
    """The end of a run.

    Attributes:
        time: When it ended; for a run whose process vanished, its last sign of life.
        status: See `Status`.
        exit_code: Of the process, where known; negative is a signal number.
        duration: Seconds from start to end.
        calls: How many times something was tracked.
        metrics: Summary of each metric by its dotted path.
        digest: xxh3-128 over the sorted lines of the metric log; None when nothing was tracked.
        lost_bytes: Bytes of the journal that held no whole frame, if any.
    """

    schema: int = msgspec.field(default_factory=current_schema)
    time: str
    by: str
    status: Status
    exit_code: int | None = None
    error: Failure | None = None
    duration: float
    calls: int = 0
    metrics: dict[str, Summary] = {}
    digest: str | None = None
    lost_bytes: int = 0


class RemarkFact(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="remark", kw_only=True
):
    """Something that was said about a run after its start: a refinement or a judgement.

    Attributes:
        add_tags: Tags to add; `remove_tags` likewise to take away.
        comment: Free text.
        verdict: A judgement that stands beside the observations.
        name: A better name; likewise the other fields that `RunFact` has too: a value given
            here replaces the earlier one, parameters are merged over the earlier ones.
    """

    schema: int = msgspec.field(default_factory=current_schema)
    time: str
    by: str
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    comment: str | None = None
    verdict: Verdict | None = None
    name: str | None = None
    description: str | None = None
    hypothesis: str | None = None
    family: str | None = None
    parameters: dict[str, Any] = {}
    metadata: Any = None
    seed: int | None = None
    inputs: tuple[Input, ...] = ()


class TombstoneFact(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="tombstone", kw_only=True
):
    """The run is withdrawn: readers hide it, and an old clone does not bring it back.

    Attributes:
        reason: Why, in the words of who withdrew it.
        collected: What else was said of the run has been dropped, and a union leaves it out.
    """

    schema: int = msgspec.field(default_factory=current_schema)
    time: str
    by: str
    reason: str | None = None
    collected: bool = False


class OpaqueFact(msgspec.Struct, frozen=True):
    """A line that this version cannot interpret and keeps as it is."""

    kind: str
    schema: int
    line: bytes


Fact = RunFact | EndFact | RemarkFact | DecisionFact | TombstoneFact
KNOWN_KINDS = frozenset({"run", "end", "remark", "decision", "tombstone"})


DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What a decoder raises on damaged or hostile input."""


class BadLineError(ValueError):
    """A stored line is not a fact: not JSON, too long, too deep, or a field of a wrong type."""


class _Tagged(Protocol):
    """A Struct that is tagged by its kind."""

    __struct_config__: ClassVar[Any]

    @property
    def schema(self) -> int: ...


Tagged = TypeVar("Tagged", bound=_Tagged)


class _Head(msgspec.Struct):
    kind: str
    schema: int = SCHEMA


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Fact] = msgspec.json.Decoder(Fact)
_head_decoder = msgspec.json.Decoder(_Head)


def encode_fact(fact: Fact) -> bytes:
    """Return the fact as one JSON line without its line end. It never holds a raw NUL."""
    return _encoder.encode(fact)


def decode_fact(line: bytes) -> Fact | OpaqueFact:
    """Return the fact on a line.

    Raises:
        BadLineError: The line is damaged.
    """
    fact = decode_tagged(line, _decoder, KNOWN_KINDS)
    if isinstance(fact, OpaqueFact):
        return fact
    if line.count(b"{") + line.count(b"[") > MAX_DEPTH and _is_deep(msgspec.json.decode(line)):
        raise BadLineError(f"nested more than {MAX_DEPTH} levels deep")
    return fact


def decode_tagged(
    line: bytes, decoder: msgspec.json.Decoder[Tagged], kinds: AbstractSet[str]
) -> Tagged | OpaqueFact:
    """Return what stands on a line that is tagged by its kind, whatever family of lines it is of.

    Args:
        line: Without its line end.
        decoder: Of the family.
        kinds: Those that the decoder knows.

    Raises:
        BadLineError: The line is damaged.
    """
    if len(line) > MAX_LINE_BYTES:
        raise BadLineError(f"the line has {len(line)} bytes, more than {MAX_LINE_BYTES}")
    try:
        found = decoder.decode(line)
    except DECODE_ERRORS as error:
        return _decode_opaque(line, kinds, str(error) or type(error).__name__)
    if found.schema > SCHEMA:
        return OpaqueFact(str(found.__struct_config__.tag), found.schema, line)
    return found


def _is_deep(value: Any) -> bool:
    """Say whether a value is nested deeper than any that is written: readers recurse."""
    level = [value]
    for _ in range(MAX_DEPTH + 2):  # the fact itself, and a field of it
        groups = (item.values() if isinstance(item, dict) else item for item in level)
        level = [item for group in groups for item in group if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _decode_opaque(line: bytes, kinds: AbstractSet[str], reason: str) -> OpaqueFact:
    """Return a line of an unknown kind or a newer schema; anything else is damage."""
    try:
        head = _head_decoder.decode(line)
    except DECODE_ERRORS:
        raise BadLineError(reason) from None
    if head.kind in kinds and head.schema <= SCHEMA:
        raise BadLineError(reason) from None
    return OpaqueFact(head.kind, head.schema, line)
