"""What is known of noise, and what one more run of each of the leaders would buy, as data."""

from __future__ import annotations

import statistics

import msgspec

from gitexp.records.decision import Noise
from gitexp.research.belief.noise import draws
from gitexp.research.belief.posterior import Posterior

CANDIDATES = 8
GROUPS = 20


class Group(msgspec.Struct, frozen=True, omit_defaults=True):
    """Replicates: runs of one configuration.

    Attributes:
        run: The first of them; ids in full.
        draws: How many of them count; the same value of the same seed counts once.
        mean: Of the values; `sd` likewise.
    """

    run: str
    runs: int
    draws: int
    mean: float
    sd: float


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """A configuration that could be run again; see `gitexp.research.belief.posterior.Worth`.

    Attributes:
        run: The first run of it; `versus` of the one that it is compared with.
        replicates: Absent where no number of them up to 100 resolves it.
    """

    run: str
    runs: int
    versus: str
    mean: float
    p_better: float
    p_after: float
    worth: float
    replicates: int | None = None
    is_champion: bool = False


class NoiseReport(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of noise.

    Attributes:
        goal: ``min`` or ``max`` is better.
        interval: Central 90% of the standard deviation; absent where it is unmeasured.
        proportional: Noise is a part of the value; what is given is at the champion's.
        correlation: Between runs of two configurations that share a seed; absent without pairs.
        minimum: The smallest gain that matters.
        champion: The run that the champion is known by; absent without one.
        rate: What the first run of a new idea is expected to gain.
        candidates: The champion and those next to it, the worthiest first.
    """

    metric: str
    goal: str
    noise: Noise
    minimum: float
    rate: float
    interval: tuple[float, float] | None = None
    proportional: bool = False
    correlation: float = 0.0
    champion: str | None = None
    groups: tuple[Group, ...] = ()
    candidates: tuple[Candidate, ...] = ()


def noise_report(posterior: Posterior) -> NoiseReport:
    """Return what is known of noise, and what a replicate would buy."""
    estimate = posterior.estimate_of_noise
    interval = estimate.interval()
    unit = posterior.noise.sd / estimate.sd if estimate.proportional else 1.0
    return NoiseReport(
        metric=posterior.goal.metric,
        goal=posterior.goal.word,
        noise=posterior.noise,
        minimum=posterior.minimum,
        rate=posterior.going_rate,
        interval=None if interval is None else (interval[0] * unit, interval[1] * unit),
        proportional=estimate.proportional,
        correlation=estimate.correlation,
        champion=None if posterior.champion_run is None else posterior.champion_run.hex(),
        groups=_groups(posterior),
        candidates=_candidates(posterior),
    )


def _groups(posterior: Posterior) -> tuple[Group, ...]:
    counts = posterior.estimate_of_noise.groups or {}
    names = sorted(counts, key=lambda name: (-counts[name], name))[:GROUPS]
    found = []
    for name in names:
        runs = [posterior.observation(run) for run in posterior.runs_of(name)]
        values = [value for _, value in draws([run for run in runs if run is not None])]
        group = Group(
            posterior.runs_of(name)[0].hex(),
            len(runs),
            len(values),
            statistics.fmean(values),
            statistics.stdev(values),
        )
        found.append(group)
    return tuple(found)


def _candidates(posterior: Posterior) -> tuple[Candidate, ...]:
    found = []
    for name in posterior.ranking()[:CANDIDATES]:
        worth, estimate = posterior.worth(name), posterior.estimate(name)
        run, other = posterior.run_of(name), posterior.against(name)
        versus = None if other is None else posterior.run_of(other)
        if worth is None or estimate is None or run is None or versus is None:
            continue
        candidate = Candidate(
            run.hex(),
            estimate.runs,
            versus.hex(),
            estimate.mean,
            worth.p_better,
            worth.p_after,
            worth.worth,
            worth.replicates,
            name == posterior.champion,
        )
        found.append(candidate)
    return tuple(sorted(found, key=lambda candidate: -candidate.worth))
