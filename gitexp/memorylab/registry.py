"""Where a MemoryLab ledger stands: champion, challengers, lineages and clusters of failures."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from gitexp.light import NamedTuple
from gitexp.memorylab.record import Record
from gitexp.memorylab.similarity import Reading, read, similarity_from

CHALLENGERS = 3
LINEAGES = 5
CLUSTERS = 5

_ALIKE = 0.60
_LABEL_TOKENS = 3


class Lineage(NamedTuple):
    """Runs whose commits descend from one.

    Attributes:
        root: The first logged commit.
        best: The run with the lowest value; None where none has one.
    """

    root: str
    runs: tuple[Record, ...]
    best: Record | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as the registry file holds it."""
        return {
            "root": self.root,
            "size": len(self.runs),
            "kept": sum(record.status == "keep" for record in self.runs),
            "best": None if self.best is None else brief(self.best),
        }


class Cluster(NamedTuple):
    """Failures that are alike.

    Attributes:
        label: The words that most of them have.
        best: Lowest value among them; None where none has one.
    """

    label: str
    runs: tuple[Record, ...]
    crashes: int
    best: float | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as the registry file holds it."""
        return {
            "label": self.label,
            "size": len(self.runs),
            "crashes": self.crashes,
            "discards": len(self.runs) - self.crashes,
            "best_val_bpb": self.best,
            "run_ids": [record.run_id for record in self.runs],
        }


class Registry(NamedTuple):
    """All of it, as `champion_challenger.json` has it.

    Attributes:
        places: See `cluster_places`.
    """

    champion: Record | None
    challengers: tuple[Record, ...]
    lineages: tuple[Lineage, ...]
    clusters: tuple[Cluster, ...]
    places: list[int]

    def to_dict(self) -> dict[str, Any]:
        """Return it as the registry file holds it."""
        return {
            "version": 1,
            "champion": None if self.champion is None else brief(self.champion),
            "challengers": [brief(record) for record in self.challengers],
            "lineages": [lineage.to_dict() for lineage in self.lineages],
            "failure_clusters": [cluster.to_dict() for cluster in self.clusters],
        }


def registry_of(records: Sequence[Record], known: Sequence[int] = ()) -> Registry:
    """Return where a ledger stands.

    Args:
        records: All of it.
        known: ``places`` of the registry of its beginning, where that is at hand.
    """
    order = ranked(records)
    places = cluster_places(records, known)
    return Registry(
        order[0] if order else None,
        tuple(order[1 : 1 + CHALLENGERS]),
        tuple(lineages(records)[:LINEAGES]),
        tuple(clusters(records, places)[:CLUSTERS]),
        places,
    )


def ranked(records: Sequence[Record]) -> list[Record]:
    """Return runs with a value, the champion first: kept ones first, by value, then by time."""
    known = [record for record in records if record.rank_value is not None]
    return sorted(known, key=lambda r: (r.status != "keep", _value(r), r.timestamp_utc))


def champion_of(records: Sequence[Record]) -> Record | None:
    """Return the champion; None where no run has a value."""
    return next(iter(ranked(records)), None)


def lineages(records: Sequence[Record]) -> list[Lineage]:
    """Return the lineages, those with the best values first, then the largest."""
    parents: dict[str, str | None] = {}
    for record in records:
        if record.commit:
            parents.setdefault(record.commit, record.parent_commit)
    members: dict[str, list[Record]] = defaultdict(list)
    roots: dict[str, str] = {}
    for record in records:
        if record.commit:
            members[_root(record.commit, parents, roots)].append(record)
    found = [Lineage(root, tuple(runs), _best(runs)) for root, runs in members.items()]
    return sorted(found, key=lambda each: (_value(each.best), -len(each.runs)))


def _root(commit: str, parents: dict[str, str | None], roots: dict[str, str]) -> str:
    """Return the first logged commit of a line, remembering it for every commit on the way."""
    path: dict[str, None] = {}
    while commit not in roots and commit not in path:
        path[commit] = None
        parent = parents[commit]
        if parent is None or parent not in parents:
            break
        commit = parent
    root = roots.get(commit, commit)
    roots.update(dict.fromkeys(path, root))
    return root


def _best(runs: Sequence[Record]) -> Record | None:
    known = [record for record in runs if record.rank_value is not None]
    return min(known, key=_value, default=None)


def _value(record: Record | None) -> float:
    value = None if record is None else record.rank_value
    return math.inf if value is None else value


def cluster_places(records: Sequence[Record], known: Sequence[int] = ()) -> list[int]:
    """Return the number of the cluster that each discard and each crash belongs to.

    Each failure, in the ledger's order, joins the cluster whose first member it is most like, if
    they are alike enough; so what is known of a ledger's beginning stays true when it grows. From
    nothing, 7,500 failures that are all different take 25 s.
    """
    firsts = _Firsts()
    places: list[int] = []
    for i, record in enumerate(_failures(records)):
        if i >= len(known):
            places.append(firsts.join(read(record.text)))
            continue
        places.append(known[i])
        if known[i] == len(firsts.readings):
            firsts.add(read(record.text))
    return places


class _Firsts:
    """The first members of clusters."""

    def __init__(self) -> None:
        self.readings: list[Reading] = []
        self._by_word: dict[str, list[int]] = defaultdict(list)

    def add(self, reading: Reading) -> int:
        """Begin a cluster; return its number."""
        place = len(self.readings)
        self.readings.append(reading)
        for word in reading.tokens | reading.concepts:
            self._by_word[word].append(place)
        return place

    def join(self, reading: Reading) -> int:
        """Return the cluster whose first member a failure is most like, or a new one.

        Without a common word or concept a likeness is .30 at most: those are not compared.
        """
        near = {i for word in reading.tokens | reading.concepts for i in self._by_word[word]}
        best, found = _ALIKE, None
        for place in sorted(near):
            score = similarity_from(reading, self.readings[place], best)
            if score is not None and (found is None or score > best):
                best, found = score, place
        return self.add(reading) if found is None else found


def clusters(records: Sequence[Record], places: Sequence[int]) -> list[Cluster]:
    """Return clusters of discards and crashes, the largest first."""
    groups: dict[int, list[Record]] = defaultdict(list)
    for place, record in zip(places, _failures(records), strict=True):
        groups[place].append(record)
    found = [_cluster(runs) for runs in groups.values()]
    return sorted(found, key=lambda c: (-len(c.runs), -c.crashes, _or_infinite(c.best)))


def _failures(records: Sequence[Record]) -> list[Record]:
    return [record for record in records if record.status != "keep"]


def _cluster(runs: list[Record]) -> Cluster:
    counts = Counter(token for record in runs for token in read(record.text).tokens)
    words = sorted(counts, key=lambda token: (-counts[token], token))[:_LABEL_TOKENS]
    values = [value for record in runs if (value := record.rank_value) is not None]
    crashes = sum(record.status == "crash" for record in runs)
    return Cluster(" ".join(words) or "unlabeled", tuple(runs), crashes, min(values, default=None))


def _or_infinite(value: float | None) -> float:
    return math.inf if value is None else value


def brief(record: Record) -> dict[str, Any]:
    """Return what the registry file says of a run."""
    return {
        "run_id": record.run_id,
        "commit": record.commit,
        "status": record.status,
        "family": record.family,
        "description": record.description,
        "timestamp_utc": record.timestamp_utc,
        "val_bpb": record.value,
    }
