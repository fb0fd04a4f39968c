"""Decisions in simulation with known truth: ``python -m tests.eval.simulation --sessions N``.

It plays hill-climbing sessions in worlds of several kinds (`tests.eval.worlds`), each policy
(`tests.eval.policies`) with the same ideas, the same noise and the same budget of runs, and reports

* whether P(better) is calibrated: the expected calibration error over ten bins of equal width
  (Naeini, Cooper and Hauskrecht 2015), and the table behind it;
* false promotions: configurations that were called better than the champion and are not, as a
  share of all promotions and for each session; and moves to something worse, promoted or not;
* regret: the true gain that knowing every effect would have reached, less that of the champion.

Intervals are 95% percentile bootstraps over sessions; differences are paired by session.
"""

from __future__ import annotations

import argparse
import random
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product

from tests.eval.policies import POLICIES, Policy
from tests.eval.worlds import EFFECTS, Session, Setting

NOISES = (0.1, 0.3, 1.0, 3.0)
BUDGETS = (20, 60, 200)
BINS = 10
BOOTSTRAPS = 400
DEVELOPMENT = range(1000)
"""Seeds on which choices were made; what is reported is of others."""
REPORTED = 1000


@dataclass(frozen=True)
class Score:
    """What one policy made of one session, gains in typical effects.

    Attributes:
        moves: How often another configuration was gone on from, promoted or not.
        lost: True value lost by moves to something worse.
    """

    promotions: int
    false_promotions: int
    moves: int
    false_moves: int
    lost: float
    regret: float
    judged: tuple[tuple[float, float, bool], ...]


def play(policy: Policy, setting: Setting, seed: int) -> Score:
    """Play a session and hold it against the truth."""
    session = Session(setting, seed)
    played = policy(session)
    return Score(
        promotions=len(played.promoted),
        false_promotions=sum(new.truth <= old.truth for new, old in played.promoted),
        moves=len(played.moves),
        false_moves=sum(new.truth <= old.truth for new, old in played.moves),
        lost=sum(max(0.0, old.truth - new.truth) for new, old in played.moves),
        regret=session.best_possible() - played.champion.truth,
        judged=tuple(played.judged),
    )


def calibration(judged: Iterable[tuple[float, float, bool]]) -> list[tuple[float, float, int]]:
    """Return the mean P, the share of what is better, and how many, of each bin."""
    bins: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for p, truth, _ in judged:
        bins[min(BINS - 1, int(p * BINS))].append((p, truth))
    return [
        (statistics.fmean(p for p, _ in found), statistics.fmean(t for _, t in found), len(found))
        for _, found in sorted(bins.items())
    ]


def calibration_error(judged: Sequence[tuple[float, float, bool]]) -> float:
    """Return the expected calibration error."""
    rows = calibration(judged)
    return sum(abs(p - truth) * count for p, truth, count in rows) / max(1, len(judged))


def interval(
    sessions: Sequence[object], statistic: Callable[[Sequence[object]], float]
) -> tuple[float, float]:
    """Return a 95% percentile bootstrap interval over sessions."""
    rng = random.Random(1)
    found = sorted(statistic(rng.choices(sessions, k=len(sessions))) for _ in range(BOOTSTRAPS))
    return found[int(0.025 * BOOTSTRAPS)], found[int(0.975 * BOOTSTRAPS)]


Results = dict[Setting, dict[str, list[Score]]]


def simulate(settings: Iterable[Setting], seeds: Iterable[int], names: Sequence[str]) -> Results:
    """Play all sessions; the n-th score of each policy is of the same session."""
    seeds = list(seeds)
    return {
        setting: {name: [play(POLICIES[name], setting, seed) for seed in seeds] for name in names}
        for setting in settings
    }


def main() -> None:
    """Run the simulation and print the report as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=5, help="of each kind of world")
    parser.add_argument("--development", action="store_true", help="on the seeds of development")
    parser.add_argument("--effects", nargs="+", default=list(EFFECTS), choices=list(EFFECTS))
    parser.add_argument("--noises", nargs="+", type=float, default=NOISES)
    parser.add_argument("--budgets", nargs="+", type=int, default=BUDGETS)
    parser.add_argument("--outliers", type=float, default=0.0)
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    args = parser.parse_args()
    first = DEVELOPMENT.start if args.development else REPORTED
    settings = [
        Setting(effects, noise, budget, args.outliers)
        for effects, noise, budget in product(args.effects, args.noises, args.budgets)
    ]
    seeds = range(first, first + args.sessions)
    print(report(simulate(settings, seeds, args.policies), args.policies))


def report(results: Results, names: Sequence[str]) -> str:
    """Return the report as Markdown."""
    return "\n\n".join([_overall(results, names), *_by(results, names), _calibrated(results)])


def _scores(results: Results, name: str) -> list[Score]:
    return [score for scores in results.values() for score in scores[name]]


def _overall(results: Results, names: Sequence[str]) -> str:
    columns = ["policy", "promotions", "false, share", "false per session"]
    columns += ["moves to worse per session", "lost by them", "regret", "regret less gitexp's"]
    lines = [f"| {' | '.join(columns)} |", "|---|" + "---:|" * (len(columns) - 1)]
    ours = _scores(results, names[-1])
    for name in names:
        scores = _scores(results, name)
        gaps = [mine.regret - our.regret for mine, our in zip(scores, ours, strict=True)]
        low, high = interval(gaps, statistics.fmean)  # type: ignore[arg-type]
        false = [score.false_promotions for score in scores]
        few, many = interval(false, statistics.fmean)  # type: ignore[arg-type]
        promotions = sum(score.promotions for score in scores)
        lines.append(
            f"| {name} | {promotions / len(scores):.2f} "
            f"| {sum(false) / max(1, promotions):.3f} "
            f"| {statistics.fmean(false):.2f} ({few:.2f} to {many:.2f}) "
            f"| {statistics.fmean(score.false_moves for score in scores):.2f} "
            f"| {statistics.fmean(score.lost for score in scores):.2f} "
            f"| {statistics.fmean(score.regret for score in scores):.2f} "
            f"| {statistics.fmean(gaps):.2f} ({low:.2f} to {high:.2f}) |"
        )
    return "\n".join(lines)


def _by(results: Results, names: Sequence[str]) -> Iterable[str]:
    for field in ("noise", "budget", "effects"):
        lines = [
            f"| {field} | " + " | ".join(f"{name}: false, regret" for name in names) + " | ECE |",
            "|---|" + "---:|" * (len(names) + 1),
        ]
        groups: dict[object, Results] = defaultdict(dict)
        for setting, by_policy in results.items():
            groups[getattr(setting, field)][setting] = by_policy
        for value, found in groups.items():
            cells = []
            for name in names:
                scores = _scores(found, name)
                false = statistics.fmean(score.false_promotions for score in scores)
                regret = statistics.fmean(score.regret for score in scores)
                cells.append(f"{false:.2f}, {regret:.2f}")
            judged = [each for score in _scores(found, names[-1]) for each in score.judged]
            measured = [each for each in judged if each[2]]
            cells.append(f"{calibration_error(measured):.3f}")
            lines.append(f"| {value} | " + " | ".join(cells) + " |")
        yield "\n".join(lines)


def _calibrated(results: Results) -> str:
    scores = _scores(results, "gitexp")
    parts = []
    for measured in (True, False):
        kept = [tuple(each for each in score.judged if each[2] == measured) for score in scores]
        judged = [each for found in kept for each in found]
        if not judged:
            continue
        low, high = interval(
            kept,
            lambda sample: calibration_error([each for found in sample for each in found]),  # type: ignore[attr-defined]
        )
        word = "measured" if measured else "unmeasured"
        error = f"{calibration_error(judged):.3f} ({low:.3f} to {high:.3f})"
        lines = [
            f"Noise {word}: expected calibration error {error} over {len(judged)} judgements.",
            "",
            "| mean P(better) | share better | judgements |",
            "|---:|---:|---:|",
            *(f"| {p:.2f} | {truth:.2f} | {count} |" for p, truth, count in calibration(judged)),
        ]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


if __name__ == "__main__":
    main()
