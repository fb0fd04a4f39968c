"""Decisions on ledgers that people and agents left: ``python -m tests.eval.decisions [FOLDER]``.

Each ledger is replayed in order. A run's configuration is its description, its base the run that
was kept last before it; what was kept, and whatever came later, is not shown to the model. At each
run it says what it would have said then. Nobody knows which of these runs are better in truth, so
this shows agreement and doubt, not accuracy: ledgers were labelled by "lower is kept".

Reported by ledger: how many runs have a value; how many rows repeat a configuration, so that noise
is measured at all; of the runs that were kept, how many are not better beyond noise (P < .95), and
how many look worse (P < .5); of those discarded, how many are not worse beyond noise (P > .05); and
the chance that a kept run has a greater P than a discarded one (AUC), 0.5 for none.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import math
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gitexp.research.belief.posterior import LIKELY, UNLIKELY, fit
from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation
from gitexp.research.rules import Case, judge
from tests.support import LEDGERS


@dataclass(frozen=True)
class Source:
    """A ledger with labels that can be used: its metric, and whether lower is better."""

    path: str
    metric: str
    lower: bool


SOURCES = (
    Source("karpathy+autoresearch/pr442.results_all.tsv", "val_loss", lower=True),
    Source("Nunchi-trade+auto-researchtrading/autoresearch-results.tsv", "val_bpb", lower=False),
    Source("Fchaubard+zero_order_diffusion_autoresearcher/results.tsv", "val_fid", lower=True),
    Source("wendlerc+autoresearch-wm/results_valloss_era.tsv", "val_loss", lower=True),
    Source("wendlerc+autoresearch-wm/results.tsv", "val_loss", lower=True),
    Source("ChongHan+auto-microtune/results.tsv", "score", lower=True),
    Source("AlexChen31337+qwen35-moe-offload/results.tsv", "tok_per_sec", lower=False),
    Source("AlexChen31337+qwen35-moe-offload/results_phase5.tsv", "tok_per_sec", lower=False),
    Source("Anemll+Flash-iOS/results.tsv", "tok_sec", lower=False),
    Source("EthanBobbyTR+mamba-auto-full/results.tsv", "val_bpb", lower=True),
    Source("robinojw+parameter-golf-autoresearch/results.tsv", "val_bpb", lower=True),
)


@dataclass(frozen=True)
class Row:
    """A row of a ledger.

    Attributes:
        value: None where it has none, and of a crash.
        label: ``keep``, ``discard`` or ``crash``.
    """

    description: str
    value: float | None
    label: str


def rows(path: Path, metric: str) -> Iterator[Row]:
    """Yield the rows of a ledger that have a label."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            label = (row.get("status") or "").strip().lower()
            if label not in ("keep", "discard", "crash"):
                continue
            try:
                value = float(row.get(metric) or "nan")
            except ValueError:
                value = math.nan
            known = math.isfinite(value) and label != "crash"
            yield Row((row.get("description") or "").strip(), value if known else None, label)


@dataclass(frozen=True)
class Judged:
    """What was said of a run when it ended.

    Attributes:
        p: P(better than the champion); None where nothing is compared.
        measured: Noise was measured by then.
    """

    label: str
    action: str
    p: float | None
    measured: bool


def replay(ledger: Sequence[Row], goal: GoalMetric) -> list[Judged]:
    """Judge each run with what was known when it ended."""
    seen: list[Observation] = []
    base: bytes | None = None
    found = []
    for number, row in enumerate(ledger):
        name = hashlib.blake2b(row.description.encode(), digest_size=16).digest()
        run = hashlib.blake2b(str(number).encode(), digest_size=20).digest()
        crashed = row.label == "crash"
        seen.append(
            Observation(
                run=run,
                configuration=name,
                base=None if base == name else base,
                value=row.value,
                started=number,
                duration=60.0,
                ended=True,
                crashed=crashed,
                verdict=None,
                seed=None,
            )
        )
        made = judge(Case({"run": run.hex()}, fit(seen, goal), "2026-01-01T00:00:00Z", "eval"))
        p = None if made.comparison is None else made.comparison.p_better
        found.append(Judged(row.label, made.action, p, not made.provisional))
        base = name if row.label == "keep" and row.value is not None else base
    return found


def auc(kept: Sequence[float], discarded: Sequence[float]) -> float:
    """Return the chance that one of the first is greater than one of the second."""
    if not kept or not discarded:
        return math.nan
    return statistics.fmean(
        statistics.fmean((a > b) + 0.5 * (a == b) for b in discarded) for a in kept
    )


def main() -> None:
    """Replay all ledgers and print the report as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=LEDGERS)
    parser.add_argument("--rows", type=int, default=300, help="of each ledger, the first ones")
    args = parser.parse_args()
    columns = ["ledger", "runs", "noise measured", "kept", "kept, P < .95", "kept, P < .5"]
    columns += ["discarded", "discarded, P > .05", "AUC"]
    print(f"| {' | '.join(columns)} |\n|---|{'---:|' * (len(columns) - 1)}")
    actions: Counter[tuple[str, str]] = Counter()
    for source in SOURCES:
        ledger = list(rows(args.folder / source.path, source.metric))[: args.rows]
        goal = GoalMetric(source.metric, source.lower, "last", None, "option")
        judged = replay(ledger, goal)
        actions.update((each.label, each.action) for each in judged)
        print(_line(source.path, judged), flush=True)
    print("\n| label | action | runs |\n|---|---|---:|")
    for (label, action), count in sorted(actions.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"| {label} | {action} | {count} |")


def _line(path: str, judged: Sequence[Judged]) -> str:
    kept = [each.p for each in judged if each.label == "keep" and each.p is not None]
    gone = [each.p for each in judged if each.label == "discard" and each.p is not None]
    cells = [
        path,
        len(judged),
        sum(each.measured for each in judged),
        len(kept),
        sum(p < LIKELY for p in kept),
        sum(p < 0.5 for p in kept),
        len(gone),
        sum(p > UNLIKELY for p in gone),
        f"{auc(kept, gone):.2f}",
    ]
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    main()
