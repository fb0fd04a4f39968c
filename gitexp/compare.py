"""What differs between two runs beside their code: parameters, data, metrics, surroundings.

Pure data in, pure data out; code is compared by git itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from gitexp.naming import direction
from gitexp.records.environment import Environment
from gitexp.records.facts import Number, Summary
from gitexp.records.values import json_numbers
from gitexp.run import Run


class Difference(msgspec.Struct, frozen=True):
    """Something that is not the same in runs ``a`` and ``b``; unset where a run lacks it."""

    name: str
    a: Any = UNSET
    b: Any = UNSET


class Reached(msgspec.Struct, frozen=True):
    """What a run reached in a metric.

    Attributes:
        best: Best finite value; None when there is none.
        step: Step of the best value.
        last: The last value as it was tracked; non-finite ones as texts.
    """

    best: float | None
    step: int | None
    last: Number


class MetricPair(msgspec.Struct, frozen=True):
    """A metric in both runs; unset where a run does not have it. ``goal`` says what is best."""

    name: str
    goal: Literal["min", "max"]
    a: Reached | UnsetType = UNSET
    b: Reached | UnsetType = UNSET


class EnvironmentComparison(msgspec.Struct, frozen=True):
    """How the surroundings differ.

    Attributes:
        system: Python, platform and accelerators, where they differ.
        packages: Versions by package name: without ``a`` it was added, without ``b`` removed.
    """

    system: tuple[Difference, ...]
    packages: tuple[Difference, ...]


class Comparison(msgspec.Struct, frozen=True):
    """Two runs beside each other. All sequences are sorted by name.

    Attributes:
        outcome: Status, exit code and duration in seconds, where they differ.
        parameters: Parameters and seed that differ, by full dotted path.
        metadata: Likewise.
        inputs: Digests of data files and folders by path, where they differ.
        metrics: All metrics of either run.
        environment: None where the surroundings of a run are not known.
    """

    a: str
    b: str
    outcome: tuple[Difference, ...]
    parameters: tuple[Difference, ...]
    metadata: tuple[Difference, ...]
    inputs: tuple[Difference, ...]
    metrics: tuple[MetricPair, ...]
    environment: EnvironmentComparison | None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON types; what a run lacks, or is not known, is absent."""
        result: dict[str, Any] = json_numbers(msgspec.to_builtins(self))
        if self.environment is None:
            del result["environment"]
        return result


def compare(
    a: Run,
    b: Run,
    environment_a: bytes | None = None,
    environment_b: bytes | None = None,
    *,
    settings: Mapping[str, str] | None = None,
) -> Comparison:
    """Compare two runs.

    Args:
        a: The one that is compared with, the older state as in ``git diff A B``.
        b: The other.
        environment_a: Environment record of `a` as JSON, if known.
        environment_b: That of `b`.
        settings: The repository's, which may say what direction of a metric is better.
    """
    fields = differences(a.fields(), b.fields())
    if not (isinstance(a.metadata, dict) and isinstance(b.metadata, dict)):
        fields = tuple(d for d in fields if not d.name.startswith("metadata."))
        fields += differences(_whole_metadata(a), _whole_metadata(b))
    return Comparison(
        a=a.id,
        b=b.id,
        outcome=differences(_outcome(a), _outcome(b)),
        parameters=tuple(d for d in fields if d.name.startswith("params.") or d.name == "seed"),
        metadata=tuple(d for d in fields if d.name.partition(".")[0] == "metadata"),
        inputs=differences(*({i.path: i.digest for i in run.inputs} for run in (a, b))),
        metrics=_metrics(a, b, settings or {}),
        environment=_environments(environment_a, environment_b),
    )


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Return what is not the same in two mappings, by key. NaN is the same as NaN."""
    pairs = (Difference(name, a.get(name, UNSET), b.get(name, UNSET)) for name in sorted({*a, *b}))
    return tuple(pair for pair in pairs if json_numbers(pair.a) != json_numbers(pair.b))


def _whole_metadata(run: Run) -> dict[str, Any]:
    return {} if run.metadata is None else {"metadata": run.metadata}


def _outcome(run: Run) -> dict[str, Any]:
    known = {"status": run.status, "exit_code": run.exit_code, "duration": run.duration}
    return {name: value for name, value in known.items() if value is not None}


def _metrics(a: Run, b: Run, settings: Mapping[str, str]) -> tuple[MetricPair, ...]:
    pairs = []
    for name in sorted({*a.metrics, *b.metrics}):
        goal = direction(name, settings)
        reached = [_reached(run.metrics.get(name), lower=goal.lower) for run in (a, b)]
        pairs.append(MetricPair(name, "min" if goal.lower else "max", *reached))
    return tuple(pairs)


def _reached(summary: Summary | None, *, lower: bool) -> Reached | UnsetType:
    if summary is None:
        return UNSET
    if lower:
        return Reached(summary.min, summary.step_of_min, summary.last)
    return Reached(summary.max, summary.step_of_max, summary.last)


def _environments(a: bytes | None, b: bytes | None) -> EnvironmentComparison | None:
    before, after = decode_environment(a), decode_environment(b)
    if before is None or after is None:
        return None
    return EnvironmentComparison(
        system=differences(_system(before), _system(after)),
        packages=differences(before.packages, after.packages),
    )


def decode_environment(content: bytes | None) -> Environment | None:
    """Return an environment record; None for one that is missing, damaged or of another form."""
    if content is None:
        return None
    try:
        return msgspec.json.decode(content, type=Environment)
    except (msgspec.DecodeError, RecursionError):
        return None


def _system(environment: Environment) -> dict[str, Any]:
    """Return Python, platform and accelerators as dotted paths to texts."""
    parts = (("python", environment.python), ("platform", environment.platform))
    known = {
        f"{prefix}.{name}": value
        for prefix, part in parts
        for name, value in msgspec.structs.asdict(part).items()
        if value is not None
    }
    devices = [f"{d.count} x {d.vendor} {d.model}" for d in environment.accelerators]
    return known | ({"accelerators": ", ".join(devices)} if devices else {})
