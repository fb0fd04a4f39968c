"""MemoryLab's guard: has something like this been run, and may it be run again.

An idea is compared by its words with every record; what is alike enough is a match, each of a
class, and the worst class there is decides together with the mode. gitexp's own guard is
`gitexp.research.guard.novelty`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from gitexp.light import NamedTuple
from gitexp.memorylab import words
from gitexp.memorylab.record import Mode, Record
from gitexp.memorylab.similarity import Reading, is_same, read, similarity_from

Class = Literal["novel", "known_success", "incremental_followup", "repeat_failure", "duplicate_run"]
Policy = Literal["allow", "caution", "block"]

THRESHOLD = 0.62
LIMIT = 3

_OF_MODE: dict[Mode, float] = {"explore": -0.05, "exploit": 0.0, "replicate": -0.08}
_SAME_FAMILY = -0.08
_HIGHEST = 0.99

ORDER: tuple[Class, ...] = (
    "duplicate_run",
    "repeat_failure",
    "incremental_followup",
    "known_success",
)
"""Classes of matches: the first that is present is the class of the idea."""

POLICIES: dict[Mode, dict[Class, Policy]] = {
    "explore": {
        "novel": "allow",
        "known_success": "block",
        "incremental_followup": "block",
        "repeat_failure": "block",
        "duplicate_run": "block",
    },
    "exploit": {
        "novel": "caution",
        "known_success": "allow",
        "incremental_followup": "allow",
        "repeat_failure": "block",
        "duplicate_run": "block",
    },
    "replicate": {
        "novel": "block",
        "known_success": "allow",
        "incremental_followup": "allow",
        "repeat_failure": "block",
        "duplicate_run": "allow",
    },
}


class Match(NamedTuple):
    """An earlier run that an idea is like.

    Attributes:
        score: See `gitexp.memorylab.similarity.similarity`.
    """

    record: Record
    score: float
    classification: Class

    def to_dict(self) -> dict[str, Any]:
        """Return it as records hold it."""
        record = self.record
        return {
            "run_id": record.run_id,
            "commit": record.commit,
            "status": record.status,
            "family": record.family,
            "description": record.description,
            "val_bpb": record.value,
            "score": self.score,
            "classification": self.classification,
        }


class Result(NamedTuple):
    """What the guard says of an idea.

    Attributes:
        threshold: As it was given; `effective_threshold` that of the mode.
        matches: All of them, the weightiest first.
    """

    classification: Class
    policy: Policy
    mode: Mode
    threshold: float
    effective_threshold: float
    probe_text: str
    matches: tuple[Match, ...]

    def to_dict(self, limit: int = LIMIT) -> dict[str, Any]:
        """Return it as records hold it, with so many matches at most."""
        counts = Counter(match.classification for match in self.matches)
        return {
            "classification": self.classification,
            "probe_text": self.probe_text,
            "threshold": self.threshold,
            "match_count": len(self.matches),
            "counts": {name: counts[name] for name in ORDER},
            "top_matches": [match.to_dict() for match in self.matches[:limit]],
            "mode": self.mode,
            "effective_threshold": self.effective_threshold,
            "policy": self.policy,
        }


class Guard:
    """The records that ideas are compared with."""

    def __init__(self, records: Iterable[Record] = ()) -> None:
        """Read the texts of the records."""
        self._known: list[tuple[Record, Reading, str]] = []
        for record in records:
            self.add(record)

    def add(self, record: Record) -> None:
        """Compare with this record too from now on."""
        self._known.append((record, read(record.text), words.tag(record.family or "")))

    def check(
        self,
        description: str,
        tags: Sequence[str] = (),
        family: str | None = None,
        mode: Mode = "exploit",
        threshold: float = THRESHOLD,
        *,
        hypothesis: str = "",
    ) -> Result:
        """Say what an idea is beside the records, and whether it may be run."""
        text = words.probe(description, hypothesis, family or "", words.tags(tags))
        effective = effective_threshold(mode, threshold)
        found = self._matches(read(text), words.tag(family or ""), effective)
        matches = tuple(sorted(found, key=_weight))
        classification = matches[0].classification if matches else "novel"
        policy = POLICIES[mode][classification]
        return Result(classification, policy, mode, threshold, effective, text, matches)

    def _matches(self, idea: Reading, family: str, threshold: float) -> Iterable[Match]:
        near = max(threshold + _SAME_FAMILY, 0.0)
        for record, reading, its_family in self._known:
            is_family = bool(family) and family == its_family
            score = similarity_from(idea, reading, near if is_family else threshold)
            if score is None:
                continue
            if is_same(idea, reading, score):
                yield Match(record, score, "duplicate_run")
            elif record.status != "keep":
                yield Match(record, score, "repeat_failure")
            else:
                kind: Class = "incremental_followup" if is_family else "known_success"
                yield Match(record, score, kind)


def effective_threshold(mode: Mode, threshold: float) -> float:
    """Return the similarity from which on a record counts as a match in a mode."""
    return round(min(max(threshold + _OF_MODE[mode], 0.0), _HIGHEST), 3)


def _weight(match: Match) -> tuple[int, float, float]:
    value = match.record.value
    place = ORDER.index(match.classification)
    return place, -match.score, math.inf if value is None else value
