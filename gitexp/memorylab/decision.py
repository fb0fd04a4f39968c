"""MemoryLab's rules: what to do next about a run, and what became of its hypothesis.

The first rule that fits decides. A difference counts as it is, however few runs it rests on;
`gitexp.research.decisions` is what weighs it against noise.
"""

from __future__ import annotations

from gitexp.light import NamedTuple
from gitexp.memorylab.guard import Class
from gitexp.memorylab.record import Record
from gitexp.records.decision import Action, HypothesisStatus, Priority

PROMISING = 0.0015
"""So far above the champion's ``val_bpb`` a run is still worth another look."""

_OUT_OF_MEMORY = ("oom", "vram", "memory")


class Decision(NamedTuple):
    """What follows from a run.

    Attributes:
        champion: Who was it before this run; None where nobody was.
        delta: The run's value less the champion's; None where one is not known.
        is_champion: The run is the new champion.
    """

    action: Action
    priority: Priority
    hypothesis_status: HypothesisStatus
    champion: Record | None
    delta: float | None
    is_champion: bool


def decide(record: Record, champion: Record | None, novelty: Class) -> Decision:
    """Return what to do next about a run.

    Args:
        record: The run.
        champion: The champion before it; None without one.
        novelty: What the guard said of it before it was run.
    """
    delta = _delta(record, champion)
    new = _takes_over(record, champion)
    action, priority = _rule(record, delta, novelty, new=new)
    status = _hypothesis_status(record, delta, new=new)
    return Decision(action, priority, status, champion, delta, new)


def _delta(record: Record, champion: Record | None) -> float | None:
    value = record.value
    old = None if champion is None else champion.value
    return None if record.status == "crash" or value is None or old is None else value - old


def _takes_over(record: Record, champion: Record | None) -> bool:
    """Say whether a run would be the champion: kept before others, then the lower value."""
    value = record.rank_value
    if value is None:
        return False
    old = None if champion is None else champion.rank_value
    if champion is None or old is None:
        return True
    mine, its = record.status != "keep", champion.status != "keep"
    return (mine, value) < (its, old)


def _rule(
    record: Record, delta: float | None, novelty: Class, *, new: bool
) -> tuple[Action, Priority]:
    if record.status == "crash":
        return ("fix_and_retry", "high") if _is_memory(record) else ("investigate_crash", "high")
    if record.status == "keep":
        return _rule_kept(delta, novelty, new=new)
    if novelty in ("repeat_failure", "duplicate_run"):
        return "abandon", "low"
    if _is_promising(delta):
        return "retry", "medium"
    if novelty in ("known_success", "incremental_followup"):
        return "branch_followup", "medium"
    return "abandon", "low"


def _rule_kept(delta: float | None, novelty: Class, *, new: bool) -> tuple[Action, Priority]:
    if new:
        return "promote", "high"
    if novelty in ("novel", "duplicate_run"):
        return "replicate", "medium"
    return "branch_followup", "high" if _is_promising(delta) else "medium"


def _is_memory(record: Record) -> bool:
    error = record.error
    said = "" if error is None else f"{error.summary}\n{error.last_lines}".lower()
    return any(word in said for word in _OUT_OF_MEMORY)


def _is_promising(delta: float | None) -> bool:
    return delta is not None and delta <= PROMISING


def _hypothesis_status(record: Record, delta: float | None, *, new: bool) -> HypothesisStatus:
    if not (record.hypothesis or "").strip():
        return "not_stated"
    if record.status == "crash":
        return "inconclusive"
    if record.status == "keep":
        return "supported" if new else "mixed"
    return "mixed" if _is_promising(delta) else "unsupported"
