"""The rules: what to do next about a run, from the posterior (docs/research.md, "Decisions").

What a run is compared with is the champion; the champion itself, with the best of the others.

* *Promote* comes before *retest*: what is better than the champion beyond noise is the champion,
  whatever it was derived from.
* What the champion was derived from is no loss, but nothing is left to be done about it.
* *Retry* must pay: one more run of the configuration is worth its knowledge gradient, and the same
  time spent on the first run of another idea what the project's own effects promise
  (`Posterior.going_rate`). It is tried again where it is worth at least as much, and where the
  expected improvement over the champion, E[max(gain, 0)], is at least the smallest gain that
  matters; both times its duration in units of the median one.
* *Replicate* has a low priority where it does not pay by the same measure, unless two runs or less
  settle the matter.
* Where noise is unmeasured nothing is final: the packet is provisional, and a run that looks better
  asks for replicates, never to be promoted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gitexp.document import Document
from gitexp.errors import GitexpError
from gitexp.records.decision import (
    Action,
    Comparison,
    DecisionFact,
    HypothesisStatus,
    Novelty,
    Priority,
)
from gitexp.render.text import number, short
from gitexp.research.belief.posterior import LIKELY, UNLIKELY, Posterior
from gitexp.research.crashes import Signature, signature
from gitexp.research.observations import Observation

RULES = "gitexp 1"
"""Name and version of the rules, for packets."""

PROBABLE = 0.75
IMPROBABLE = 0.2
_ENOUGH_DEGREES = 3.0
"""Degrees of freedom from which the first configuration need not be run again."""
_FEW = 2
"""Replicates that are worth their cost whatever they bring: they settle the matter."""
_MAX_SIGNATURE = 500


@dataclass(frozen=True)
class Case:
    """A run that is to be judged, and all that is known of it.

    Attributes:
        document: The run's.
        posterior: Of all runs, this one among them.
        novelty: What the run was beside those before it, where that was asked.
        in_winning_family: Another run of its family is a success.
        time: Of the decision, as a fact states it; `by` likewise.
    """

    document: Document
    posterior: Posterior
    time: str
    by: str
    novelty: Novelty | None = None
    in_winning_family: bool = False

    @property
    def seen(self) -> Observation:
        """The run as an observation.

        Raises:
            GitexpError: The posterior does not know it, or it is in progress.
        """
        run = self.document["run"]
        seen = self.posterior.observation(bytes.fromhex(run))
        if seen is None or not seen.ended:
            what = "is in progress" if seen else "is not among the runs that were looked at"
            raise GitexpError(f"Run {short(run)} {what}.", "Decide about it when it has ended.")
        return seen


@dataclass(frozen=True)
class _Ruling:
    """What the rules say, in words of a packet."""

    action: Action
    priority: Priority
    summary: str
    next_action: str
    because: tuple[str, ...] = ()


def judge(case: Case) -> DecisionFact:
    """Return what the rules conclude from a run.

    Raises:
        GitexpError: The run is in progress.
    """
    seen, posterior = case.seen, case.posterior
    crash = _crash(case)
    comparison = posterior.compare(seen.configuration) if crash is None else None
    over_base = _over_base(case) if crash is None else None
    if crash is not None:
        ruling = crash
    elif seen.verdict == "discard":
        ruling = _discarded()
    elif comparison is None:
        ruling = _alone(posterior)
    else:
        ruling = _compared(case, comparison, over_base)
    base = posterior.base(seen.configuration)
    base_run = None if base is None else posterior.run_of(base)
    return DecisionFact(
        time=case.time,
        by=case.by,
        rules=RULES,
        metric=posterior.goal.metric,
        goal=posterior.goal.word,
        value=seen.value,
        action=ruling.action,
        priority=ruling.priority,
        hypothesis_status=_hypothesis_status(case, comparison, over_base),
        provisional=not posterior.noise.measured,
        summary=ruling.summary,
        next_action=ruling.next_action,
        rationale=(*ruling.because, *_reasons(case, comparison, over_base)),
        comparison=comparison,
        noise=posterior.noise,
        novelty=case.novelty,
        base=None if base_run is None else base_run.hex(),
        signature=_signature(case).text[:_MAX_SIGNATURE] or None if seen.crashed else None,
    )


def _signature(case: Case) -> Signature:
    return signature(case.document)


def _crash(case: Case) -> _Ruling | None:
    """Return the ruling on a run that gave nothing to compare; None for one that did."""
    seen = case.seen
    if (
        case.posterior.estimate(seen.configuration)
        and seen.value is not None
        and not (seen.crashed or seen.verdict == "crash")
    ):
        return None
    found = _signature(case)
    if seen.crashed and found.out_of_memory:
        return _Ruling(
            "fix_and_retry",
            "high",
            "The run ran out of memory.",
            "Make it smaller (batch, width, sequence) and run it again.",
        )
    if seen.crashed or seen.verdict == "crash":
        return _broken(case, found)
    return _Ruling(
        "investigate_crash",
        "high",
        f"The run has no finite value of {case.posterior.goal.metric}.",
        "Find out why it reported none, and run it again.",
    )


def _broken(case: Case, found: Signature) -> _Ruling:
    if case.seen.verdict == "crash" and not case.seen.crashed:
        said, what = (
            "A person called the run a crash.",
            "Find out what broke before it is tried again.",
        )
    elif found.own_fault:
        said, what = "The run crashed in the project's own code.", "Fix what broke; see its output."
    else:
        status = case.document.get("status", "crashed")
        said = f"The run did not finish ({status}), and not for what its own code did."
        what = "Find out what stopped it; the idea itself is still untested."
    return _Ruling("investigate_crash", "high", said, what)


def _discarded() -> _Ruling:
    return _Ruling(
        "abandon",
        "low",
        "A person discarded the run.",
        "Go on from the champion; change the verdict if it was a mistake.",
    )


def _alone(posterior: Posterior) -> _Ruling:
    if posterior.noise.degrees >= _ENOUGH_DEGREES:
        return _Ruling(
            "branch_followup",
            "medium",
            "The run is the only configuration so far.",
            "Try a change of it.",
        )
    return _Ruling(
        "measure_noise",
        "high",
        "The run is the first to compare others with, and noise is hardly known.",
        "Run it again with other seeds, so that later gains can be told from luck.",
    )


def _compared(case: Case, comparison: Comparison, over_base: float | None) -> _Ruling:
    """Return the ruling on a run that has a value, by the table in docs/research.md."""
    posterior, name = case.posterior, case.seen.configuration
    p = comparison.p_better
    if not posterior.noise.measured and _looks_better(case, comparison):
        return _unmeasured(posterior, name, comparison)
    if p >= LIKELY:
        return _promoted(posterior, name)
    if _is_elsewhere(case) and over_base is not None and over_base >= PROBABLE:
        return _retest(over_base)
    if p >= PROBABLE:
        return _replicated(posterior, name, comparison)
    if p >= IMPROBABLE:
        return _doubtful(case, comparison)
    said = f"The run is unlikely to be better: P = {p:.2f}."
    if _is_step(case):
        said = "The champion was derived from this run and has gone beyond it."
    return _abandoned(said)


def _looks_better(case: Case, comparison: Comparison) -> bool:
    """Say whether a run is better than the other by its value, or as the posterior has it."""
    value = case.seen.value
    shown = 0.0 if value is None else case.posterior.goal.gain(value, comparison.champion_value)
    return max(shown, comparison.gain) > 0


def _unmeasured(posterior: Posterior, name: bytes, comparison: Comparison) -> _Ruling:
    other = posterior.against(name)
    own = posterior.worth(name, other)
    champion = None if other is None else posterior.worth(other, name)
    priority: Priority = "high" if comparison.p_better >= PROBABLE else "medium"
    said = "The run looks better, but noise is unmeasured: it may be luck."
    if own is not None and champion is not None and own.worth > champion.worth:
        what = "Run it again with another seed: that measures the noise and tests the gain."
        return _Ruling("replicate", priority, said, what)
    what = "Run the champion again with other seeds: that measures the noise."
    return _Ruling("measure_noise", priority, said, what)


def _promoted(posterior: Posterior, name: bytes) -> _Ruling:
    if posterior.champion == name:
        said = "The run's configuration is the champion, and the others are behind beyond noise."
    else:
        said = "The run is better than the champion beyond noise."
    return _Ruling("promote", "high", said, "Keep it, and go on from its code.")


def _is_step(case: Case) -> bool:
    """Say whether what leads was derived from the run."""
    name = case.seen.configuration
    other = case.posterior.against(name)
    return other is not None and case.posterior.led_to(name, other)


def _is_elsewhere(case: Case) -> bool:
    """Say whether a gain was found over something else than what leads now."""
    if _is_step(case):
        return False
    name = case.seen.configuration
    retest = case.novelty is not None and case.novelty.classification == "retest_on_new_base"
    base = case.posterior.base(name)
    return retest or (base is not None and base != case.posterior.against(name))


def _retest(over_base: float) -> _Ruling:
    return _Ruling(
        "retest_on_new_base",
        "high" if over_base >= LIKELY else "medium",
        "The change helped its own base, and the champion is another one by now.",
        "Apply the same change to the champion and run that.",
    )


def _replicated(posterior: Posterior, name: bytes, comparison: Comparison) -> _Ruling:
    other = posterior.against(name)
    mine, theirs = posterior.estimate(name), posterior.estimate(other or b"")
    worth = posterior.worth(name, other)
    pays = worth is not None and worth.worth >= posterior.going_rate
    pays = pays or (comparison.replicates is not None and comparison.replicates <= _FEW)
    priority: Priority = "medium" if pays else "low"
    count = comparison.replicates
    many = f"{count} more" if count and count > 1 else "one more"
    said = f"The run is probably better, but not beyond noise: P = {comparison.p_better:.2f}."
    if mine is not None and theirs is not None and theirs.sd > mine.sd:
        what = "Run the champion again with another seed: it is the less certain of the two."
        return _Ruling("replicate_champion", priority, said, what)
    return _Ruling(
        "replicate", priority, said, f"Run it again with {many} seed{'s' if count != 1 else ''}."
    )


def _doubtful(case: Case, comparison: Comparison) -> _Ruling:
    posterior, seen = case.posterior, case.seen
    cost = posterior.relative_cost(seen)
    expected = posterior.expected_gain(seen.configuration)
    worth = posterior.worth(seen.configuration)
    learnt = 0.0 if worth is None else worth.worth
    p = f"P = {comparison.p_better:.2f}"
    rate = number(posterior.going_rate)
    reason = (
        f"One more run of it is expected to gain {number(learnt)}, and the first run of another "
        f"idea {rate}; it takes {cost:.2g} times the median duration."
    )
    because = (reason,)
    if learnt >= posterior.going_rate * cost and expected >= comparison.minimum * cost:
        said = f"The run may be better or worse, and another look is worth its cost: {p}."
        return _Ruling("retry", "medium", said, "Run it again with another seed.", because)
    if case.in_winning_family or seen.verdict == "keep":
        said = f"The run adds little by itself ({p}), but its line of ideas has succeeded."
        what = "Try another change of the same family."
        return _Ruling("branch_followup", "medium", said, what, because)
    said = f"The run may be better or worse, and another look is not worth its cost: {p}."
    return _abandoned(said, because)


def _abandoned(said: str, because: tuple[str, ...] = ()) -> _Ruling:
    return _Ruling("abandon", "low", said, "Go on from the champion with another idea.", because)


def _over_base(case: Case) -> float | None:
    """Return P(better than its base); None where that is not known."""
    name = case.seen.configuration
    base = case.posterior.base(name)
    return None if base is None else case.posterior.p_better(name, base)


def _hypothesis_status(
    case: Case, comparison: Comparison | None, over_base: float | None
) -> HypothesisStatus:
    if not case.document.get("hypothesis"):
        return "not_stated"
    p = over_base if over_base is not None or comparison is None else comparison.p_better
    if p is None or not case.posterior.noise.measured:
        return "inconclusive"
    if p >= LIKELY:
        return "supported"
    return "unsupported" if p <= UNLIKELY else "mixed"


def _reasons(case: Case, comparison: Comparison | None, over_base: float | None) -> Iterable[str]:
    """Yield the numbers behind a ruling, a sentence each."""
    posterior = case.posterior
    if comparison is not None:
        yield from _beside(posterior, case.seen, comparison)
    if over_base is not None and _is_elsewhere(case):
        yield f"P(better than its own base) = {over_base:.2f}."
    if comparison is not None or not posterior.noise.measured:
        yield _noise_sentence(posterior)
    if comparison is not None:
        yield from _needed(comparison)
    if case.seen.verdict is not None:
        yield f"A person's verdict on the run is {case.seen.verdict}."


def _beside(posterior: Posterior, seen: Observation, comparison: Comparison) -> Iterable[str]:
    is_champion = posterior.champion == seen.configuration
    whom = "the next best, run" if is_champion else "the champion, run"
    low, high = comparison.interval
    yield (
        f"P(better than {whom} {short(comparison.champion)}) = {comparison.p_better:.2f}: the gain "
        f"is {number(comparison.gain)}, with 90% probability between {number(low)} and "
        f"{number(high)}."
    )
    yield (
        f"P(better by {number(comparison.minimum)} or more, the smallest gain that matters) = "
        f"{comparison.p_matters:.2f}."
    )


def _noise_sentence(posterior: Posterior) -> str:
    noise = posterior.noise
    if not noise.measured:
        return (
            f"Noise is unmeasured: there are no replicates, and {number(noise.sd)} is assumed for "
            f"the arithmetic."
        )
    word = "degree" if noise.degrees == 1 else "degrees"
    return (
        f"Replicates differ by a standard deviation of {number(noise.sd)} "
        f"({number(noise.degrees)} {word} of freedom)."
    )


def _needed(comparison: Comparison) -> Iterable[str]:
    count = comparison.replicates
    if count is None:
        yield "Replicates of it alone, up to 100, would not resolve it if it is as it seems."
    elif count:
        runs = "One more run" if count == 1 else f"{count} more runs"
        yield f"{runs} of it would resolve it, if it is as it seems."
