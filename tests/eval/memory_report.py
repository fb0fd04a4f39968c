"""What came of the memory benchmark, as Markdown: means, paired differences, sensitivity.

What is counted besides is shown for the largest budget alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000
TESTS = 48
"""Intervals of the first endpoint."""
BASELINE, OURS = "none", "gitexp"
ABLATIONS = ("without guard", "without ranking", "without noise model", "promoted only")
MAIN = 0.8
DIGITS = {"regret": 3, "final regret": 3, "tokens": 0, "wall": 0}
PAIRED = ("regret", "final regret", "wasted", "false promotions", "tokens", "wall")
COUNTED = (
    "repeats",
    "wasted",
    "promotions",
    "false promotions",
    "moves to worse",
    "blocks",
    "false blocks",
    "calls",
)

Values = NDArray[np.float64]
Results = dict[tuple[str, float, str, str], dict[int, dict[str, float]]]
"""By world, compliance, budget and arm: the endpoints of each session."""


def report(lines: Iterable[Mapping[str, Any]], budgets: Sequence[str], arms: Sequence[str]) -> str:
    """Return the report.

    Args:
        lines: Sessions with their endpoints.
        budgets: As the lines name them.
        arms: In the order that they are shown in.
    """
    results: Results = defaultdict(dict)
    for line in lines:
        for budget in budgets:
            where = line["world"], line["compliance"], budget, line["arm"]
            results[where][line["seed"]] = line["endpoints"][budget]
    parts = []
    for world in dict.fromkeys(where[0] for where in results):
        for budget in budgets:
            found = {a: results[world, MAIN, budget, a] for a in arms}
            played = {arm: sessions for arm, sessions in found.items() if sessions}
            count = len(played.get(BASELINE, {}))
            parts.append(f"### {world}, {budget} runs, {count} sessions")
            parts.append(_differences(played, BASELINE))
            if budget == budgets[-1]:
                ours = {arm: played[arm] for arm in (OURS, *ABLATIONS) if arm in played}
                parts += [_differences(ours, OURS)] if len(ours) > 1 else []
                parts.append(_counts(played))
        parts += _sensitivity(results, world, budgets[-1], arms)
    return "\n\n".join(parts)


def paired(
    mine: Mapping[int, Mapping[str, float]], theirs: Mapping[int, Mapping[str, float]], name: str
) -> Values:
    """Return the differences of an endpoint, of the sessions that both played."""
    seeds = sorted(mine.keys() & theirs.keys())
    return np.array([mine[seed][name] - theirs[seed][name] for seed in seeds])


def interval(values: Values, level: float = 0.95) -> tuple[float, float]:
    """Return a percentile bootstrap interval of the mean over sessions."""
    rng = np.random.default_rng(1)
    picked = rng.integers(0, len(values), (DRAWS, len(values)))
    means = values[picked].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _differences(played: Mapping[str, Mapping[int, Mapping[str, float]]], base: str) -> str:
    """Return means, and paired differences to one of the arms with intervals."""
    rows = [f"| arm, less {base} | {' | '.join(PAIRED)} |", "|---|" + "---:|" * len(PAIRED)]
    for arm, sessions in played.items():
        cells = []
        for name in PAIRED:
            mean = np.mean([endpoints[name] for endpoints in sessions.values()])
            digits = DIGITS.get(name, 2)
            cell = f"{mean:.{digits}f}"
            if arm != base:
                cell += f"; {_shown(paired(sessions, played[base], name), digits)}"
            cells.append(cell)
        fewer = len(sessions) != len(played[base])
        shown = f"{arm} ({len(sessions)} sessions)" if fewer else arm
        rows.append(f"| {shown} | {' | '.join(cells)} |")
    return "\n".join(rows)


def _shown(values: Values, digits: int) -> str:
    low, high = interval(values)
    least, most = interval(values, 1 - 0.05 / TESTS)
    mark = "*" if least > 0 or most < 0 else ""
    return f"{values.mean():+.{digits}f} ({low:+.{digits}f} to {high:+.{digits}f}){mark}"


def _counts(played: Mapping[str, Mapping[int, Mapping[str, float]]]) -> str:
    columns = [*COUNTED, "same", "near"]
    rows = [f"| arm, a session | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    for arm, sessions in played.items():
        means = [np.mean([endpoints[name] for endpoints in sessions.values()]) for name in columns]
        rows.append(f"| {arm} | {' | '.join(f'{mean:.2f}' for mean in means)} |")
    return "\n".join(rows)


def _sensitivity(results: Results, world: str, budget: str, arms: Sequence[str]) -> Iterable[str]:
    levels = sorted({where[1] for where in results if where[0] == world})
    if len(levels) < 2:
        return
    shown = [arm for arm in arms if results.get((world, levels[0], budget, arm))]
    rows = [
        f"| compliance | {' | '.join(f'{arm}: regret' for arm in shown if arm != BASELINE)} |",
        "|---|" + "---:|" * (len(shown) - 1),
    ]
    some = results[world, levels[0], budget, BASELINE]
    for level in levels:
        base = results[world, level, budget, BASELINE]
        cells = []
        for arm in shown:
            if arm != BASELINE:
                mine = results[world, level, budget, arm]
                same = {seed: mine[seed] for seed in some if seed in mine}
                cells.append(_shown(paired(same, base, "regret"), 3))
        rows.append(f"| {level} | {' | '.join(cells)} |")
    yield f"#### {world}, {budget} runs, by compliance: regret less none's, {len(some)} sessions"
    yield "\n".join(rows)
