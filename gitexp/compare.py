"""What differs between runs: parameters, data, metrics, surroundings, and how much of the code.

Pure data in, pure data out: documents of runs, their environment records, and what git counted.
A comparison holds everything that is known; `Comparison.differing` leaves what is not the same in
all runs. NaN is the same as NaN and 1 as 1.0, but True is not 1. Nothing here loads the decoder
of environment records unless there are records to compare.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from gitexp.document import Document, fields
from gitexp.naming import direction
from gitexp.records.nested import json_numbers

if TYPE_CHECKING:
    from gitexp.git.numstat import Changes
    from gitexp.records.environment import Environment
    from gitexp.run import Run


class Gap(enum.Enum):
    """What stands in place of a value that a run does not have."""

    LACKING = "The run does not have it."
    UNKNOWN = "It is not known whether the run has it."


class Compared(NamedTuple):
    """Something that runs have: its name, and its value in each run or a `Gap`."""

    name: str
    values: tuple[Any, ...]

    @property
    def differs(self) -> bool:
        """The values are not all the same, as far as they are known."""
        known = [value for value in self.values if value is not Gap.UNKNOWN]
        return any(not same(value, known[0]) for value in known[1:])

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        gaps = [i for i, value in enumerate(self.values) if value is Gap.LACKING]
        values = [None if isinstance(value, Gap) else value for value in self.values]
        return {"name": self.name, "values": values} | ({"lacking": gaps} if gaps else {})

    def to_pair(self) -> dict[str, Any]:
        """Return it as JSON types, of two runs ``a`` and ``b``; what a run lacks is absent."""
        sides = zip("ab", self.values, strict=True)
        known = {side: value for side, value in sides if not isinstance(value, Gap)}
        return {"name": self.name} | known


class Reached(NamedTuple):
    """What a run reached in a metric.

    Attributes:
        best: Best finite value; None when there is none.
        step: Step of the best value.
        last: The last value as it was tracked; non-finite ones as texts.
    """

    best: float | None
    step: int | None
    last: float | str


class ComparedMetric(NamedTuple):
    """A metric, and what each run reached in it; None for a run that does not have it.

    Attributes:
        goal: Which value is best.
    """

    name: str
    goal: Literal["min", "max"]
    values: tuple[Reached | None, ...]

    @property
    def differs(self) -> bool:
        """The runs did not all reach the same, at the same step."""
        return any(value != self.values[0] for value in self.values[1:])

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types."""
        values = [value and value._asdict() for value in self.values]
        return {"name": self.name, "goal": self.goal, "values": values}

    def to_pair(self) -> dict[str, Any]:
        """Return it as JSON types, of two runs ``a`` and ``b``; what a run lacks is absent."""
        sides = zip("ab", self.values, strict=True)
        known = {side: value._asdict() for side, value in sides if value is not None}
        return {"name": self.name, "goal": self.goal, **known}


class Surroundings(NamedTuple):
    """The environments of runs.

    Attributes:
        system: Python, platform and accelerators.
        packages: Versions by package name.
        unknown: Places of the runs whose environment is not known here.
    """

    system: tuple[Compared, ...]
    packages: tuple[Compared, ...]
    unknown: tuple[int, ...] = ()


class Code(NamedTuple):
    """The code of a run. None stands for what is not known, or not here.

    Attributes:
        run: Its id.
        commit: The commit that the run was made on; None before the first commit.
        dirty: The code was not that of the commit.
        tree: Id of the tree; None when the run's code is not in this repository.
        same: It is the code of the first run.
        files: How many files are not those of the first run.
        added: Lines that the first run does not have; `deleted`: lines of it that are gone.
    """

    run: str
    commit: str | None
    dirty: bool | None
    tree: str | None
    same: bool | None
    files: int | None
    added: int | None
    deleted: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types; what is not known is absent."""
        known = {name: value for name, value in self._asdict().items() if value is not None}
        return known | {"commit": self.commit}


class NamedRun(NamedTuple):
    """A run: its id and name."""

    run: str
    name: str


class Comparison(NamedTuple):
    """Runs beside each other; all that is compared is sorted by name.

    Attributes:
        runs: In the order of all values.
        outcome: Status, exit code, duration in seconds, verdict and tags (sorted).
        command: Command line and folder.
        parameters: Parameters and seed, by full dotted path.
        metadata: Likewise.
        inputs: Digests of data files and folders by path.
        metrics: Metrics by full dotted path.
        environment: None where that of fewer than two runs is known.
        code: Of each run; empty where it was not asked for.
    """

    runs: tuple[NamedRun, ...]
    outcome: tuple[Compared, ...]
    command: tuple[Compared, ...]
    parameters: tuple[Compared, ...]
    metadata: tuple[Compared, ...]
    inputs: tuple[Compared, ...]
    metrics: tuple[ComparedMetric, ...]
    environment: Surroundings | None
    code: tuple[Code, ...] = ()

    def differing(self) -> Comparison:
        """Return the comparison without what is the same in all runs."""
        around = self.environment
        if around is not None:
            system, packages = _differing(around.system), _differing(around.packages)
            around = around._replace(system=system, packages=packages)
        parts = {name: _differing(getattr(self, name)) for name in (*_SECTIONS, "metrics")}
        return self._replace(**parts, environment=around)

    def to_dict(self) -> dict[str, Any]:
        """Return it in the shape of ``git exp compare --json`` (docs/reference/json.md)."""
        result: dict[str, Any] = {"runs": [run._asdict() for run in self.runs]}
        for name in (*_SECTIONS, "metrics", "code"):
            result[name] = [item.to_dict() for item in getattr(self, name)]
        if self.environment is not None:
            system, packages, unknown = self.environment
            result["environment"] = {
                "system": [item.to_dict() for item in system],
                "packages": [item.to_dict() for item in packages],
                **({"unknown": list(unknown)} if unknown else {}),
            }
        return result


class Pair(Comparison):
    """Two runs beside each other."""

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it in the shape of ``git exp diff --json``, the code left out."""
        result: dict[str, Any] = dict(zip("ab", (run.run for run in self.runs), strict=True))
        for name in ("outcome", "parameters", "metadata", "inputs", "metrics"):
            result[name] = [item.to_pair() for item in getattr(self, name)]
        if self.environment is not None:
            result["environment"] = {
                "system": [item.to_pair() for item in self.environment.system],
                "packages": [item.to_pair() for item in self.environment.packages],
            }
        return result


_SECTIONS = ("outcome", "command", "parameters", "metadata", "inputs")

_Item = TypeVar("_Item", Compared, ComparedMetric)


def _differing(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    return tuple(item for item in items if item.differs)


def compare(
    a: Run,
    b: Run,
    environment_a: bytes | None = None,
    environment_b: bytes | None = None,
    *,
    settings: Mapping[str, str] | None = None,
) -> Pair:
    """Compare two runs: what differs between them, and all their metrics.

    Args:
        a: The one that is compared with, the older state as in ``git diff A B``.
        b: The other.
        environment_a: Environment record of `a` as JSON, if known.
        environment_b: That of `b`.
        settings: The repository's, which may say what direction of a metric is better.
    """
    documents = [a.to_dict(), b.to_dict()]
    whole = compare_runs(documents, [environment_a, environment_b], settings=settings)
    return Pair(*whole.differing()._replace(metrics=whole.metrics))


def compare_runs(
    documents: Sequence[Document],
    environments: Sequence[bytes | None] | None,
    *,
    settings: Mapping[str, str] | None = None,
    code: Sequence[Code] = (),
) -> Comparison:
    """Compare any number of runs.

    Args:
        documents: Of the runs.
        environments: The environment record of each run as JSON, if known; None in place of all
            of them when it is one and the same, and what it says does not matter.
        settings: The repository's, which may say what direction of a metric is better.
        code: What `compare_code` says of the runs.
    """
    known = [fields(document) for document in documents]
    return Comparison(
        runs=tuple(NamedRun(document["run"], document["name"]) for document in documents),
        outcome=side_by_side([_outcome(document) for document in documents]),
        command=side_by_side([_chosen(document, ("command", "cwd")) for document in documents]),
        parameters=side_by_side([_parameters(values) for values in known]),
        metadata=side_by_side(_metadata(documents, known)),
        inputs=side_by_side([_digests(document) for document in documents]),
        metrics=_metrics(documents, settings or {}),
        environment=Surroundings((), ()) if environments is None else _surroundings(environments),
        code=tuple(code),
    )


def side_by_side(runs: Sequence[Mapping[str, Any]]) -> tuple[Compared, ...]:
    """Return all that any of several mappings holds, by key, sorted."""
    names = sorted({name for values in runs for name in values})
    return tuple(
        Compared(name, tuple(values.get(name, Gap.LACKING) for values in runs)) for name in names
    )


def same(a: Any, b: Any) -> bool:
    """Say whether two values are the same: NaN and NaN are, 1 and 1.0 are, True and 1 are not."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(same(item, b[name]) for name, item in a.items())
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(json_numbers(a) == json_numbers(b))


def compare_code(
    documents: Sequence[Document],
    trees: Sequence[str | None],
    changes: Mapping[tuple[str, str], Changes],
) -> tuple[Code, ...]:
    """Return what is known of the code of each run, in comparison with that of the first.

    Args:
        documents: Of the runs.
        trees: The tree of each run; None where it is not in this repository.
        changes: What differs, by the first run's tree and another.
    """
    return tuple(
        _code(document, trees[0], tree, changes)
        for document, tree in zip(documents, trees, strict=True)
    )


def _code(
    document: Document,
    first: str | None,
    tree: str | None,
    changes: Mapping[tuple[str, str], Changes],
) -> Code:
    git = document.get("git", {})
    counts: tuple[int | None, ...] = (None, None, None)
    is_same = None
    if first is not None and tree is not None:
        is_same = tree == first
        counts = (0, 0, 0) if is_same else changes.get((first, tree), counts)
    return Code(document["run"], git.get("head"), git.get("dirty"), tree, is_same, *counts)


def _chosen(document: Document, names: Iterable[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}


def _outcome(document: Document) -> dict[str, Any]:
    known = _chosen(document, ("status", "exit_code", "duration", "verdict"))
    return known | ({"tags": sorted(document["tags"])} if document.get("tags") else {})


def _parameters(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: value for k, value in values.items() if k.startswith("params.") or k == "seed"}


def _metadata(
    documents: Sequence[Document], known: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return metadata by path, or as a whole where that of some run is no object."""
    whole = [_chosen(document, ("metadata",)) for document in documents]
    if any(not isinstance(item, Mapping) for each in whole for item in each.values()):
        return whole
    return [{k: v for k, v in values.items() if k.startswith("metadata.")} for values in known]


def _digests(document: Document) -> dict[str, Any]:
    return {item["path"]: item["digest"] for item in document.get("inputs", ())}


def _metrics(
    documents: Sequence[Document], settings: Mapping[str, str]
) -> tuple[ComparedMetric, ...]:
    summaries = [document.get("metrics", {}) for document in documents]
    compared = []
    for name in sorted({name for each in summaries for name in each}):
        goal: Literal["min", "max"] = "min" if direction(name, settings).lower else "max"
        values = tuple(_reached(each.get(name), goal) for each in summaries)
        compared.append(ComparedMetric(name, goal, values))
    return tuple(compared)


def _reached(summary: Mapping[str, Any] | None, goal: str) -> Reached | None:
    if summary is None:
        return None
    return Reached(summary.get(goal), summary.get(f"step_of_{goal}"), summary["last"])


def _surroundings(records: Sequence[bytes | None]) -> Surroundings | None:
    decoded = {record: decode_environment(record) for record in set(records)}
    known = [decoded[record] for record in records]
    places = [i for i, environment in enumerate(known) if environment is not None]
    if len(places) < 2:  # noqa: PLR2004 - there is nothing to compare
        return None
    unknown = tuple(i for i, environment in enumerate(known) if environment is None)
    return Surroundings(
        system=_of_known([None if e is None else _system(e) for e in known]),
        packages=_of_known([None if e is None else e.packages for e in known]),
        unknown=unknown,
    )


def _of_known(runs: Sequence[Mapping[str, Any] | None]) -> tuple[Compared, ...]:
    """Return mappings side by side, with a gap where there is none."""
    return tuple(
        item._replace(
            values=tuple(
                Gap.UNKNOWN if values is None else value
                for values, value in zip(runs, item.values, strict=True)
            )
        )
        for item in side_by_side([values or {} for values in runs])
    )


def decode_environment(content: bytes | None) -> Environment | None:
    """Return an environment record; None for one that is missing, damaged or of another form."""
    if content is None:
        return None
    import msgspec

    from gitexp.records.environment import Environment

    try:
        return msgspec.json.decode(content, type=Environment)
    except (msgspec.DecodeError, RecursionError):
        return None


def _system(environment: Environment) -> dict[str, Any]:
    """Return Python, platform and accelerators as dotted paths to texts."""
    import msgspec

    parts = (("python", environment.python), ("platform", environment.platform))
    known = {
        f"{prefix}.{name}": value
        for prefix, part in parts
        for name, value in msgspec.structs.asdict(part).items()
        if value is not None
    }
    devices = [f"{d.count} x {d.vendor} {d.model}" for d in environment.accelerators]
    return known | ({"accelerators": ", ".join(devices)} if devices else {})
