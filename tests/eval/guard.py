"""The guard on runs of others: ``python -m tests.eval.guard [--ledgers DIR] [--repositories DIR]``.

* Ledgers, row by row, each row seeing only those before it: how many runs that were then kept
  would have been blocked, by gitexp, by MemoryLab's rules and by blocking equal texts.
* The features of 1,648 diffs in the ledgers' folder: how well sketches find identical patches, and
  how often they take another for one.
* Repositories as bare clones, for the whole way from trees to a class: commits or pull requests
  are written as runs, and the truth is git's own patch-id (`tests.eval.guard_repositories`).

Intervals are 95% percentile bootstraps over ledgers. Nothing here is collected by pytest.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.memory import Memory
from gitexp.memorylab.guard import Guard as MemoryLab
from gitexp.memorylab.record import Record
from gitexp.research.belief.posterior import fit
from gitexp.research.cache import open_in_memory
from gitexp.research.goal import GoalMetric
from gitexp.research.guard.novelty import Guard, Mode
from gitexp.research.observations import Observation, observe
from tests.eval.guard_repositories import evaluate_repositories, git_output, repositories_in
from tests.eval.guard_speed import measure
from tests.eval.guard_store import Ledger, new_repository, parse_ledger, read_ledger, write_ledger
from tests.support import LEDGERS

MODES: tuple[Mode, ...] = ("exploit", "explore", "replicate")
BOOTSTRAPS = 2000
RULES = ("gitexp", "MemoryLab", "equal text", "never block")


class Judged(NamedTuple):
    """What one set of rules said of one row."""

    ledger: str
    rules: str
    mode: str
    kept: bool
    classification: str
    policy: str


class Source(NamedTuple):
    """A ledger, and the bare repository that its commits may be in."""

    ledger: Ledger
    path: Path | None = None

    def code(self) -> dict[str, tuple[str, str]]:
        """Return tree and full id of the commits that rows name, as far as they are there."""
        found = {}
        for row in self.ledger.rows if self.path else ():
            if self.path and re.fullmatch("[0-9a-f]{7,40}", row.commit):
                names = [f"{row.commit}^{{tree}}", f"{row.commit}^{{commit}}", f"{row.commit}~1"]
                text = git_output(self.path, "rev-parse", "--verify", "-q", names[2], check=False)
                ids = git_output(self.path, "rev-parse", *names[:2], check=False) if text else ""
                if len(ids.split()) == 2:
                    tree, commit = ids.split()
                    found[row.commit] = (tree, commit)
        return found


def replay(source: Source, limit: int) -> Iterator[Judged]:
    """Yield what each set of rules says of each row, by the rows before it."""
    ledger = source.ledger
    with tempfile.TemporaryDirectory() as folder:
        objects = None if source.path is None else source.path / "objects"
        repository = new_repository(Path(folder), objects)
        rows = ledger.rows[:limit]
        code = source.code()
        runs = write_ledger(repository, ledger._replace(rows=rows), code)
        memory = Memory(repository)
        goal = GoalMetric("value", ledger.lower, "best", None, "option")
        observations = {run.run: run for run in observe(memory, goal, open_in_memory())}
        seen: list[Observation] = []
        others = MemoryLab()
        texts: set[str] = set()
        for row, run_id in zip(rows, runs, strict=True):
            kept = row.verdict == "keep"
            if code and row.commit not in code:
                continue
            guard = Guard(memory, goal, fit(seen, goal), open_in_memory())
            run = memory.get(run_id)
            for mode in MODES:
                mine = guard.check_run(run, mode)
                yield Judged(
                    ledger.name, "gitexp", mode, kept, mine.novelty.classification, mine.policy
                )
                theirs = others.check(row.description, mode=mode)
                yield Judged(
                    ledger.name, "MemoryLab", mode, kept, theirs.classification, theirs.policy
                )
                equal = row.description.strip().lower() in texts
                policy = "block" if equal and mode != "replicate" else "allow"
                found = "duplicate_run" if equal else "novel"
                yield Judged(ledger.name, "equal text", mode, kept, found, policy)
                yield Judged(ledger.name, "never block", mode, kept, "novel", "allow")
            seen.append(observations[bytes.fromhex(run_id)])
            others.add(Record(status=row.verdict, description=row.description))
            texts.add(row.description.strip().lower())


def shares(judged: Sequence[Judged], *, kept: bool) -> dict[str, tuple[int, int]]:
    """Return by ledger how many rows of a kind were blocked, and how many there are."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for each in judged:
        if each.kept == kept:
            found[each.ledger][0] += each.policy == "block"
            found[each.ledger][1] += 1
    return {name: (blocked, rows) for name, (blocked, rows) in found.items()}


def share_with_interval(counts: dict[str, tuple[int, int]]) -> str:
    """Return a share of all rows with its bootstrap interval over ledgers."""
    if not counts:
        return "-"
    rng = random.Random(7)
    values = list(counts.values())
    draws = sorted(_share(rng.choices(values, k=len(values))) for _ in range(BOOTSTRAPS))
    low, high = draws[int(0.025 * BOOTSTRAPS)], draws[int(0.975 * BOOTSTRAPS)]
    return f"{100 * _share(values):.1f}% ({100 * low:.1f} to {100 * high:.1f})"


def _share(counts: Iterable[tuple[int, int]]) -> float:
    blocked, rows = (sum(column) for column in zip(*counts, strict=True))
    return blocked / rows if rows else 0.0


def report_ledgers(sources: Sequence[Source], limit: int) -> Iterator[str]:
    """Yield the lines of the section on ledgers."""
    judged = [each for source in sources for each in replay(source, limit)]
    once = [each for each in judged if (each.rules, each.mode) == ("gitexp", "exploit")]
    ledgers = len({each.ledger for each in once})
    kept = sum(each.kept for each in once)
    left_out = sum(source.ledger.left_out for source in sources)
    yield f"{ledgers} ledgers, {len(once)} rows, {kept} of them kept; {left_out} rows left out."
    yield ""
    yield "| mode | rules | kept: blocked | others: blocked | kept: caution | others: caution |"
    yield "|---|---|---|---|---|---|"
    for mode in MODES:
        for rules in RULES:
            mine = [each for each in judged if each.mode == mode and each.rules == rules]
            cells = [share_with_interval(shares(mine, kept=kind)) for kind in (True, False)]
            cells += [_cautioned(mine, kept=kind) for kind in (True, False)]
            yield f"| {mode} | {rules} | {' | '.join(cells)} |"
    yield ""
    yield "Classes that gitexp gave in exploit, kept runs and others:"
    yield ""
    yield "| class | kept | other |"
    yield "|---|---:|---:|"
    mine = [each for each in judged if each.rules == "gitexp" and each.mode == "exploit"]
    counts = Counter((each.classification, each.kept) for each in mine)
    for name in sorted({name for name, _ in counts}):
        yield f"| {name} | {counts[name, True]} | {counts[name, False]} |"


def _cautioned(judged: Sequence[Judged], *, kept: bool) -> str:
    mine = [each for each in judged if each.kept == kept]
    return f"{100 * sum(each.policy == 'caution' for each in mine) / max(1, len(mine)):.1f}%"


def report_features(folder: Path) -> Iterator[str]:
    """Yield the lines of the section on given features of diffs."""
    found = sorted(folder.glob("*/dup_gold.derived.tsv"))
    for path in found:
        features = _features(path.with_name("diff_features.derived.jsonl"))
        pairs = [line.split("\t") for line in path.read_text().splitlines()[1:]]
        same: list[float] = []
        other: list[float] = []
        for new, old, label, *_ in pairs:
            if new in features and old in features:
                agree = _agreement(features[new]["minhash64"], features[old]["minhash64"])
                (same if label == "1" else other).append(agree)
        yield f"{path.parent.name}: {len(same)} pairs of one patch, {len(other)} of different ones."
        yield ""
        for least in (1.0, 0.9, 0.6):
            hit = sum(agree >= least for agree in same)
            wrong = sum(agree >= least for agree in other)
            yield f"* sketches that agree in {least:.0%}: {hit} of {len(same)} found, {wrong} wrong"


def _features(path: Path) -> dict[str, dict[str, Any]]:
    rows = map(json.loads, path.read_text().splitlines())
    return {str(row["pr"]): row for row in rows}


def _agreement(one: Sequence[str], two: Sequence[str]) -> float:
    return sum(a == b for a, b in zip(one, two, strict=True)) / max(1, len(one))


def ledgers_in(folder: Path) -> list[Source]:
    """Return the ledgers of a folder that have verdicts."""
    paths = sorted([*folder.glob("*/*.tsv"), *folder.glob("*/*.csv")])
    paths = [path for path in paths if ".derived." not in path.name]
    found = [read_ledger(path, f"{path.parent.name}/{path.name}") for path in paths]
    return [Source(ledger) for ledger in found if ledger is not None]


def ledgers_of_repositories(folder: Path) -> list[Source]:
    """Return the ``results.tsv`` in HEAD of each bare repository in a folder that has one."""
    found = []
    for name, path in repositories_in(folder):
        for file in ("results.tsv", "results/results.tsv"):
            text = git_output(path, "show", f"HEAD:{file}", check=False)
            ledger = parse_ledger(text, name, False) if text else None
            if ledger is not None:
                found.append(Source(ledger, path))
                break
    return found


def main() -> None:
    """Print the results as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledgers", type=Path, default=LEDGERS)
    parser.add_argument("--repositories", type=Path, help="folder of bare repositories")
    parser.add_argument("--rows", type=int, default=10_000, help="of each ledger at most")
    parser.add_argument("--commits", type=int, default=100_000, help="of each repository at most")
    parser.add_argument("--since", type=int, default=1200, help="pull requests shown apart")
    parser.add_argument("--speed", type=int, default=0, metavar="RUNS", help="time so many runs")
    parser.add_argument("--only", choices=("ledgers", "features", "repositories", "speed"))
    args = parser.parse_args()
    if args.ledgers.is_dir() and args.only in (None, "ledgers"):
        print("#### Ledgers to develop on\n")
        print("\n".join(report_ledgers(ledgers_in(args.ledgers), args.rows)), flush=True)
    if args.repositories and args.only in (None, "ledgers"):
        print("\n#### Ledgers of other repositories\n")
        held_out = ledgers_of_repositories(args.repositories)
        texts = [Source(source.ledger) for source in held_out]
        print("\n".join(report_ledgers(texts, args.rows)), flush=True)
        print("\n#### The same with their code, where the commits are there\n")
        with_code = [source for source in held_out if source.code()]
        print("\n".join(report_ledgers(with_code, args.rows)), flush=True)
    if args.ledgers.is_dir() and args.only in (None, "features"):
        print("\n#### Features of diffs\n")
        print("\n".join(report_features(args.ledgers)), flush=True)
    if args.repositories and args.only in (None, "repositories"):
        print("\n#### Real diffs\n")
        for line in evaluate_repositories(args.repositories, args.commits, args.since):
            print(line, flush=True)
    if args.speed:
        print("\n#### Speed\n")
        print("\n".join(measure(args.speed)), flush=True)


if __name__ == "__main__":
    main()
