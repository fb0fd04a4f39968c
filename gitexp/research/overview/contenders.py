"""Configurations beside the champion: who leads, who comes close, what is open, what is settled."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from gitexp.records.decision import Comparison
from gitexp.research.belief.history import has_value
from gitexp.research.belief.posterior import LIKELY, UNLIKELY, Posterior
from gitexp.research.observations import Observation
from gitexp.research.overview.shown import RunNote
from gitexp.research.overview.state import State

CHALLENGERS = 5
UNRESOLVED = 5
FAILED = 8
_CANDIDATES = 40
"""Configurations that are compared with the champion: the best by their values."""
_TRIED = 60
"""Configurations of which it is asked whether they failed for good: the latest."""
_Z90 = 1.6448536269514722
"""Of the central 90% of a normal distribution."""


class Contender(msgspec.Struct, frozen=True, omit_defaults=True):
    """A configuration with what is known of it.

    Attributes:
        run: The run that it is known by: its first with a value.
        runs: How many runs of it have a value.
        mean: Posterior mean in units of the metric; `interval` its central 90%.
        versus: Compared with the champion; of the champion itself, with the next best.
        worth: Of one more run of it, in units of the metric: by how much the better of the two
            is expected to be better for knowing its outcome.
    """

    run: RunNote
    runs: int
    mean: float
    interval: tuple[float, float]
    versus: Comparison | None = None
    worth: float | None = None


def champion(state: State) -> Contender | None:
    """Return the champion; None where no run has a value that counts."""
    posterior = state.posterior
    if posterior is None or posterior.champion is None:
        return None
    return next(_contenders(state, posterior, [posterior.champion]), None)


def challengers(state: State) -> tuple[Contender, ...]:
    """Return the next best configurations."""
    posterior = state.posterior
    if posterior is None:
        return ()
    names = [name for name in posterior.ranking()[:_CANDIDATES] if name != posterior.champion]
    known = {name: found for name in names if (found := posterior.estimate(name)) is not None}
    sign = 1 if posterior.goal.lower else -1
    best = sorted(known, key=lambda name: sign * known[name].mean)
    return tuple(_contenders(state, posterior, best[:CHALLENGERS]))


def unresolved(state: State) -> tuple[Contender, ...]:
    """Return what may be better than the champion and may not, the worthiest per second first."""
    posterior = state.posterior
    if posterior is None or posterior.champion is None:
        return ()
    open_ones: list[tuple[float, bytes]] = []
    for run in _best(state, posterior):
        p = posterior.p_better(run.configuration, posterior.champion)
        if p is not None and UNLIKELY < p < LIKELY:
            worth = posterior.worth(run.configuration, posterior.champion)
            gain = 0.0 if worth is None else worth.worth
            open_ones.append((gain / posterior.relative_cost(run), run.configuration))
    open_ones.sort(key=lambda pair: -pair[0])
    names = [name for _, name in open_ones[:UNRESOLVED]]
    return tuple(_contenders(state, posterior, names))


def failed(state: State) -> tuple[Contender, ...]:
    """Return what is resolved as worse than what it was derived from, the latest first."""
    posterior = state.posterior
    if posterior is None:
        return ()
    latest = _firsts(reversed(state.observations))[:_TRIED]
    names = [run.configuration for run in latest if posterior.outcome(run.run) == "failure"]
    return tuple(_contenders(state, posterior, names[:FAILED]))


def _best(state: State, posterior: Posterior) -> list[Observation]:
    """Return the first runs of the best configurations by value, the champion's apart."""
    sign = 1 if posterior.goal.lower else -1
    ordered = sorted(state.observations, key=lambda run: sign * (run.value or 0.0))
    firsts = [run for run in _firsts(ordered) if run.configuration != posterior.champion]
    return firsts[:_CANDIDATES]


def _firsts(runs: Iterable[Observation]) -> list[Observation]:
    """Return the first run of each configuration, of those with a value that counts."""
    found: dict[bytes, Observation] = {}
    for run in runs:
        if has_value(run):
            found.setdefault(run.configuration, run)
    return list(found.values())


def _contenders(state: State, posterior: Posterior, names: Sequence[bytes]) -> Iterator[Contender]:
    known_by = {name: posterior.run_of(name) for name in names}
    notes = state.notes(run for run in known_by.values() if run is not None)
    for name, run in known_by.items():
        estimate = posterior.estimate(name)
        if run is None or estimate is None:
            continue
        spread = _Z90 * estimate.sd
        other = None if name == posterior.champion else posterior.champion
        worth = posterior.worth(name, other)
        yield Contender(
            notes[run],
            estimate.runs,
            estimate.mean,
            (estimate.mean - spread, estimate.mean + spread),
            posterior.compare(name, other),
            worth.worth if worth is not None and math.isfinite(worth.worth) else None,
        )
