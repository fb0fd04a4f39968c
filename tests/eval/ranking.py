"""Rankings of ideas, replayed: ``python -m tests.eval.ranking --ledgers DIR [--held-out DIR]``.

Every ledger is replayed row by row. A ranker sees the texts and outcomes of the rows before, and of
the row to come its text alone, as far as it was written before the result
(`tests.eval.ranking_ledgers` says what leaks, and what a win and a bad row are).

* *AUC*: the chance that a win has a higher score than a row that is none, of the same ledger; over
  ledgers weighted by ``wins * others / (wins + others)``, which is by the inverse of its variance.
* *Regret*: of each ten rows in a row, scored before the first of them, the best effect less the
  best of the three that the ranker likes best; over ledgers weighted by their tens. Ties are cut by
  the order of the rows.
* Intervals are 95% percentile bootstraps over ledgers; for a ledger alone over blocks of 25 rows.

``--leaky`` adds what the same figures are where leaks are left in. Nothing is collected by pytest.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np

from gitexp.methods.risk import Label, label
from tests.eval.ranking_ledgers import (
    Ledger,
    Row,
    auc,
    balance,
    read_ledgers,
    senpai_below,
    senpai_from,
)
from tests.eval.ranking_rankers import RISKS, WINNERS, Known, Ranker, idea_of, past_of
from tests.support import LEDGERS

BOOTSTRAPS = 4000
BLOCK = 25
SLATE, PICKED = 10, 3

Scores = dict[str, list[float]]


class Replayed(NamedTuple):
    """A ledger, or a block of one, after its replay: scored rows, and what each ranker said.

    Attributes:
        slates: Ranker -> regret of each ten rows.
    """

    name: str
    rows: list[Row]
    scores: Scores
    slates: Scores


class Estimate(NamedTuple):
    """A figure with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def replay(ledger: Ledger, rankers: Mapping[str, Ranker]) -> Replayed:
    """Score the rows of a ledger in order."""
    known = Known()
    scores: Scores = {name: [] for name in rankers}
    slates: Scores = {name: [] for name in rankers}
    scored: list[Row] = []
    for number, row in enumerate(ledger.rows):
        idea = idea_of(row.shown)
        if row.scored:
            if len(scored) % SLATE == 0:
                for name, regret in _regrets(ledger.rows[number:], known, rankers).items():
                    slates[name].append(regret)
            scored.append(row)
            for name, ranker in rankers.items():
                scores[name].append(ranker(known, idea))
        past = past_of(row, idea)
        if past is not None:
            known.add(past)
    return Replayed(ledger.name, scored, scores, slates)


def _regrets(
    coming: Sequence[Row], known: Known, rankers: Mapping[str, Ranker]
) -> dict[str, float]:
    """Return the regret of each ranker on the next ten scored rows; nothing for fewer."""
    slate = [row for row in coming if row.scored][:SLATE]
    if len(slate) < SLATE:
        return {}
    effects = [row.effect or 0.0 for row in slate]
    ideas = [idea_of(row.shown) for row in slate]
    regrets = {}
    for name, ranker in rankers.items():
        said = [ranker(known, idea) for idea in ideas]
        picked = sorted(range(SLATE), key=lambda at: (-said[at], at))[:PICKED]
        regrets[name] = max(effects) - max(effects[at] for at in picked)
    return regrets


def blocks_of(replayed: Replayed) -> list[Replayed]:
    """Return a ledger in blocks of rows, each a ledger for the bootstrap."""
    found = []
    for start in range(0, len(replayed.rows), BLOCK):
        span = slice(start, start + BLOCK)
        scores = {name: values[span] for name, values in replayed.scores.items()}
        found.append(Replayed(replayed.name, replayed.rows[span], scores, {}))
    return found


def estimate_auc(
    found: Sequence[Replayed], name: str, is_so: Callable[[Row], bool | None]
) -> Estimate:
    """Return the AUC of a ranker over ledgers."""
    each = [_auc_of(one, name, is_so) for one in found]
    return _estimate([pair for pair in each if pair[1] > 0])


def _auc_of(one: Replayed, name: str, is_so: Callable[[Row], bool | None]) -> tuple[float, float]:
    """Return AUC and weight in one ledger."""
    pairs = [(score, is_so(row)) for score, row in zip(one.scores[name], one.rows, strict=True)]
    positive = [score for score, is_so in pairs if is_so]
    negative = [score for score, is_so in pairs if is_so is False]
    total = len(positive) + len(negative)
    return auc(positive, negative), len(positive) * len(negative) / total if total else 0.0


def estimate_regret(found: Sequence[Replayed], name: str) -> Estimate:
    """Return the mean regret of a ranker over ledgers."""
    each = [
        (float(np.mean(one.slates[name])), float(len(one.slates[name])))
        for one in found
        if one.slates[name]
    ]
    return _estimate(each)


def _estimate(each: Sequence[tuple[float, float]]) -> Estimate:
    """Return a weighted mean with its bootstrap interval over what it is of."""
    if not each:
        return Estimate(float("nan"), float("nan"), float("nan"))
    values, weights = np.array(each).T
    picks = np.random.default_rng(7).integers(len(each), size=(BOOTSTRAPS, len(each)))
    means = (values * weights)[picks].sum(1) / weights[picks].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Estimate(float(np.average(values, weights=weights)), float(low), float(high))


def report(title: str, ledgers: Sequence[Ledger]) -> Iterator[str]:
    """Yield the tables of some ledgers."""
    used = [ledger for ledger in ledgers if not ledger.leaks]
    wins = [replay(ledger, WINNERS) for ledger in used]
    bad = [replay(ledger, RISKS) for ledger in used]
    rows = [row for one in wins for row in one.rows]
    yield f"#### {title}"
    yield ""
    yield (
        f"{len(used)} of {len(ledgers)} ledgers do not leak; {len(rows)} rows are scored,"
        f" {sum(bool(row.won) for row in rows)} wins, {sum(bool(row.bad) for row in rows)} bad."
    )
    yield ""
    yield "| ranker | wins: AUC | kept: AUC | regret, best 3 of 10 |"
    yield "|---|---:|---:|---:|"
    for name in WINNERS:
        cells = (
            estimate_auc(wins, name, lambda row: row.won),
            estimate_auc(wins, name, lambda row: row.kept),
            estimate_regret(wins, name),
        )
        yield f"| {name} | {' | '.join(map(str, cells))} |"
    yield ""
    yield "| ranker of risk | crash or big loss: AUC | crash: AUC | big loss: AUC |"
    yield "|---|---:|---:|---:|"
    for name in RISKS:
        cells_of_risk = [estimate_auc(bad, name, is_so) for is_so in (_bad, _crash, _loss)]
        yield f"| {name} | {' | '.join(map(str, cells_of_risk))} |"
    yield ""
    yield "| gitexp's risk | rows | mean risk | went badly |"
    yield "|---|---:|---:|---:|"
    for word in get_args(Label):
        yield _calibration(bad, word)
    yield ""


def _calibration(found: Sequence[Replayed], word: Label) -> str:
    """Return how often the rows of one label of risk went badly, with its interval over ledgers."""
    each, risks = [], []
    for one in found:
        pairs = zip(one.scores["gitexp risk"], one.rows, strict=True)
        own = [(risk, bool(row.bad)) for risk, row in pairs if label(risk) == word]
        risks += [risk for risk, _ in own]
        if own:
            each.append((float(np.mean([went for _, went in own])), float(len(own))))
    return f"| {word} | {len(risks)} | {np.mean(risks or [0.0]):.2f} | {_estimate(each)} |"


def _bad(row: Row) -> bool | None:
    return row.bad


def _crash(row: Row) -> bool | None:
    return None if row.effect is None else row.crashed


def _loss(row: Row) -> bool | None:
    return None if row.crashed else row.bad


def report_alone(ledger: Ledger) -> Iterator[str]:
    """Yield the table of one long ledger, by blocks of its rows."""
    blocks = blocks_of(replay(ledger, WINNERS))
    rows = [row for one in blocks for row in one.rows]
    yield f"{ledger.name}: {len(rows)} rows, {sum(bool(row.won) for row in rows)} merged."
    yield ""
    yield "| ranker | merged: AUC |"
    yield "|---|---:|"
    for name in WINNERS:
        yield f"| {name} | {estimate_auc(blocks, name, lambda row: row.won)} |"
    yield ""


def report_leaks(folder: Path) -> Iterator[str]:
    """Yield what the figures are where nothing is left out for leaking."""
    leaky = read_ledgers(folder, leaky=True)
    found = [replay(ledger._replace(leaks=""), WINNERS) for ledger in leaky]
    for one in found:
        one.scores["outcome words"] = [float(balance(row.text)) for row in one.rows]
    yield f"With all {len(leaky)} ledgers and their leaking rows:"
    yield ""
    yield "| ranker | wins: AUC | kept: AUC |"
    yield "|---|---:|---:|"
    for name in ("outcome words", *WINNERS):
        cells = [
            estimate_auc(found, name, is_so)
            for is_so in (lambda row: row.won, lambda row: row.kept)
        ]
        yield f"| {name} | {' | '.join(map(str, cells))} |"
    yield ""


def main() -> None:
    """Print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledgers", type=Path, default=LEDGERS)
    parser.add_argument("--held-out", type=Path, help="folder of ledgers that nothing was tuned on")
    parser.add_argument("--senpai", type=Path, help="bare clone of wandb/senpai, from 1200 on")
    parser.add_argument("--leaky", action="store_true", help="show what leaks do")
    parser.add_argument("--rows", type=int, default=100_000, help="of each ledger at most")
    args = parser.parse_args()
    for title, folder in (("Development", args.ledgers), ("Held out", args.held_out)):
        if folder is None or not folder.is_dir():
            continue
        ledgers = [each._replace(rows=each.rows[: args.rows]) for each in read_ledgers(folder)]
        print("\n".join(report(title, ledgers)), flush=True)
        if args.leaky:
            print("\n".join(report_leaks(folder)), flush=True)
    below = senpai_below(args.ledgers)
    alone = [each for each in (below, args.senpai and senpai_from(args.senpai)) if each]
    for ledger in alone:
        print("\n".join(report_alone(ledger._replace(rows=ledger.rows[: args.rows]))), flush=True)


if __name__ == "__main__":
    main()
