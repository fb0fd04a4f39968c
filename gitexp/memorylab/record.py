"""A line of MemoryLab's ledger: what it says of one run, and as much of it as rules look at."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from gitexp.errors import GitexpError
from gitexp.memorylab import words
from gitexp.records.facts import DECODE_ERRORS, MAX_LINE_BYTES

Status = Literal["keep", "discard", "crash"]
Mode = Literal["explore", "exploit", "replicate"]

METRIC = "val_bpb"
"""What MemoryLab optimises; lower is better."""

MEMORY = "peak_vram_mb"

RECORD_FILE = "memorylab.json"
"""The file of a run in git that holds its record."""


class Error(msgspec.Struct, frozen=True):
    """Why a run crashed.

    Attributes:
        tail: Last lines of the log; `last_lines` is the same as one text.
        source: ``argument`` where the summary was given, else the log's file name.
    """

    summary: str | None = None
    tail: str | list[str] | None = None
    source: str | None = None

    @property
    def last_lines(self) -> str:
        """Last lines of the log as one text."""
        return "\n".join(self.tail) if isinstance(self.tail, list) else self.tail or ""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A run as the rules see it; fields of a line that they do not look at are left out.

    Attributes:
        run_id: A name that is safe as that of a file.
        commit: In full or short, as the ledger has it.
        decision_packet: JSON.
    """

    run_id: str = ""
    timestamp_utc: str = ""
    branch: str | None = None
    commit: str | None = None
    parent_commit: str | None = None
    family: str | None = None
    status: Status
    description: str
    hypothesis: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    metrics: dict[str, Any] = {}
    error: Error | None = None
    decision_packet: msgspec.Raw = msgspec.Raw(b"null")

    @property
    def value(self) -> float | None:
        """The run's ``val_bpb``; None where it has no finite one."""
        return number(self.metrics.get(METRIC))

    @property
    def rank_value(self) -> float | None:
        """The value by which runs are ranked: of a run that did not crash, above zero."""
        value = self.value
        return value if self.status != "crash" and value is not None and value > 0 else None

    @property
    def text(self) -> str:
        """The text by which other ideas are compared with this one."""
        return words.probe(self.description, self.hypothesis or "", self.family or "", self.tags)


def number(value: object) -> float | None:
    """Return a value as a finite number; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def encode(content: Mapping[str, Any]) -> str:
    """Return a record as a line of the ledger, without its line end: JSON with sorted keys."""
    return json.dumps(content, sort_keys=True, allow_nan=False)


_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")

_decoder = msgspec.json.Decoder(Record)


def decode(line: bytes, place: str) -> Record:
    """Return the record on a line.

    Args:
        line: Without its line end.
        place: Where it stands, for the message.

    Raises:
        GitexpError: It is no record.
    """
    try:
        if len(line) > MAX_LINE_BYTES:
            raise msgspec.DecodeError("it is longer than 16 MiB")
        record = _decoder.decode(line)
        if _RUN_ID.fullmatch(record.run_id) is None:
            raise msgspec.DecodeError("it has no usable run_id")
    except DECODE_ERRORS as error:
        raise GitexpError(
            f"{place} is no record of a run: {error}.", "Repair or remove that line."
        ) from error
    return record
