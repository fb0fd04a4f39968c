"""Decisions: what was concluded from a run, one immutable line each (docs/format.md, "Decisions").

A decision stands beside the observation it is about and never changes it. It can be made again,
when more is known: the latest by ``time`` counts.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gitexp.records.schema import current_schema

Action = Literal[
    "promote",
    "replicate",
    "replicate_champion",
    "measure_noise",
    "retest_on_new_base",
    "retry",
    "branch_followup",
    "abandon",
    "fix_and_retry",
    "investigate_crash",
]
"""What to do next about a run."""

Priority = Literal["high", "medium", "low"]
HypothesisStatus = Literal["not_stated", "inconclusive", "supported", "mixed", "unsupported"]

NoveltyClass = Literal[
    "novel",
    "known_success",
    "incremental_followup",
    "repeat_failure",
    "duplicate_run",
    "replicate",
    "retest_on_new_base",
    "interpolation",
]
"""What an idea is beside those that were run before (docs/research.md, "The guard")."""

Level = Literal["identity", "patch", "structure", "near patch", "text"]
"""What a likeness rests on, the strongest first."""


class Noise(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of the spread between replicates.

    Attributes:
        measured: It rests on replicates.
        sd: Standard deviation in units of the metric: the posterior's, or assumed if unmeasured.
        degrees: Degrees of freedom that the replicates give.
    """

    measured: bool
    sd: float
    degrees: float = 0.0


class Comparison(msgspec.Struct, frozen=True, omit_defaults=True):
    """A run's configuration beside the champion's, as the posterior has it.

    Gains are positive where the run is better, whatever the direction of the metric.

    Attributes:
        champion: A run of the champion's configuration, the one it is known by.
        runs: How many runs of this configuration have a value; `champion_runs` likewise.
        mean: Posterior mean of the configuration; `champion_mean` likewise.
        champion_value: Value of the run that the champion is known by.
        gain: Posterior mean of the gain.
        interval: The central 90% of it.
        p_better: P(gain > 0).
        p_matters: P(gain > ``minimum``).
        minimum: The smallest gain that matters.
        replicates: How many more runs of this configuration resolve the gain, if it is as it
            seems; None where that cannot be said or takes more than 100.
    """

    champion: str
    runs: int
    champion_runs: int
    mean: float
    champion_mean: float
    champion_value: float
    gain: float
    interval: tuple[float, float]
    p_better: float
    p_matters: float
    minimum: float
    replicates: int | None = None


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """An earlier run that an idea resembles, and in what.

    Attributes:
        score: 0 to 1.
        why: One sentence.
        lines: What is the same: changed lines, symbols with values, words.
    """

    run: str
    level: Level
    score: float
    why: str
    lines: tuple[str, ...] = ()


class Novelty(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an idea was, beside those run before it.

    Attributes:
        classification: See `NoveltyClass`.
        evidence: The runs it was judged by, the weightiest first.
    """

    classification: NoveltyClass
    evidence: tuple[Evidence, ...] = ()


class DecisionFact(
    msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", tag="decision", kw_only=True
):
    """What was concluded from a run when the line was written.

    Attributes:
        rules: Name and version of the rules that decided.
        metric: Full dotted path of the goal metric.
        goal: Which direction of it is better.
        value: The run's value of it; absent where it has no finite one.
        provisional: Noise is unmeasured, so one run decides nothing for good.
        summary: One sentence: what happened.
        next_action: One sentence: what to do.
        rationale: Why, a sentence each.
        comparison: With the champion at that time; absent where there was none or no value.
        base: Id of a run of the base configuration; absent where it is not known.
        signature: Of the crash, where it was one.
    """

    schema: int = msgspec.field(default_factory=current_schema)
    time: str
    by: str
    rules: str
    metric: str
    goal: Literal["min", "max"]
    value: float | None = None
    action: Action
    priority: Priority
    hypothesis_status: HypothesisStatus
    provisional: bool = False
    summary: str
    next_action: str
    rationale: tuple[str, ...] = ()
    comparison: Comparison | None = None
    noise: Noise | None = None
    novelty: Novelty | None = None
    base: str | None = None
    signature: str | None = None
