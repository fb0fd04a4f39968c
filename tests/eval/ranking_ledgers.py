"""Ledgers as a ranking meets them: texts from before each run, and what came out of it.

*Labels.* A row's base is the last row before it that was kept, as loops go on from there. Its
effect is its gain over the base by the spread of the gains so far, cut off at 3, and -3 for a
crash. A *win* is an effect above `WIN`; a *bad* row is a crash, or an effect below -1 (a big loss).
Rows are scored from the `WARMUP`-th on, when there is a base and a spread.

*Leaks.* Many descriptions were written when the result was known. A row leaks where its text has
one of `OUTCOME_WORDS` (a fixed list), or the value that came out. A ledger leaks where outcome
words tell what was kept: their balance (good less bad ones) has an AUC of more than `LEAK` from .5,
or where more than `MOST_LEAKING` of its rows leak. Leaking ledgers are left out, of the others the
leaking rows are not scored, and their texts are not seen by any ranker.
"""

from __future__ import annotations

import itertools
import math
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from gitexp.errors import GitexpError
from gitexp.interchange.formats import read_source
from gitexp.interchange.source import Reading
from gitexp.methods.evidence import CRASHED, effect_of, spread_of
from gitexp.methods.risk import is_bad
from gitexp.naming import direction

WIN = 0.1
WARMUP = 10
LEAST_ROWS = 15
MOST_COMMITS = 3
LEAK = 0.15
MOST_LEAKING = 0.6
_LEAST_GAINS = 4
_LEAST_DIGITS = 3

_GOOD = (
    "better improve improves improved improvement improvements win wins winner winning kept"
    " helps helped gained promising great excellent breakthrough success successful succeeds worked"
)
_BAD = (
    "worse worst regress regresses regressed regression crash crashed crashes oom fail fails failed"
    " failure discard discarded revert reverted hurt hurts diverge diverged diverges nan slower"
    " degraded degrades rejected bad broke broken timeout marginal unstable useless worthless"
    " killed overfit overfits"
)
GOOD_WORDS, BAD_WORDS = frozenset(_GOOD.split()), frozenset(_BAD.split())
OUTCOME_WORDS = GOOD_WORDS | BAD_WORDS
_WORD = re.compile(r"[a-z]+")
_NUMBER = re.compile(r"\d+\.\d+|\d{3,}")
_SQUASHED = re.compile(r"\(#(\d+)\)$")
_ASSIGNED = re.compile(r"(?i)placeholder|^(?:init|assign)")


class Row(NamedTuple):
    """A row, as it is known when its run is over.

    Attributes:
        text: As the ledger has it.
        shown: What rankers see of it: empty where it leaks.
        effect: None where it has no value, or nothing to compare with.
        crashed: Its effect is that of a crash.
        won: None where that is not known; `bad` likewise.
        scored: It is one of those that rankers are judged by.
        kept: The ledger says so.
    """

    text: str
    shown: str
    effect: float | None
    crashed: bool
    won: bool | None
    bad: bool | None
    scored: bool
    kept: bool | None


class Ledger(NamedTuple):
    """A ledger; `leaks` says why it is left out, and is empty where it is not."""

    name: str
    rows: list[Row]
    leaks: str


class Raw(NamedTuple):
    """What a row says: a value is None for a crash, or where there is none."""

    text: str
    value: float | None
    crashed: bool
    verdict: str | None


def balance(text: str) -> int:
    """Return how many outcome words of a text are good ones, less the bad ones."""
    found = _WORD.findall(text.lower())
    return sum(word in GOOD_WORDS for word in found) - sum(word in BAD_WORDS for word in found)


def row_leaks(text: str, value: float | None) -> bool:
    """Say whether a text was written when the result was known, as far as that can be seen."""
    if OUTCOME_WORDS.intersection(_WORD.findall(text.lower())):
        return True
    return value is not None and any(_is_value(said, value) for said in _NUMBER.findall(text))


def _is_value(said: str, value: float) -> bool:
    """Say whether a number of three digits or more is a value, rounded as it is said."""
    digits = said.replace(".", "").strip("0")
    places = len(said.partition(".")[2])
    return len(digits) >= _LEAST_DIGITS and f"{abs(value):.{places}f}" == said


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Return the chance that one of the first is above one of the second; ties are half."""
    pairs = len(positive) * len(negative)
    above = sum((p > n) + (p == n) / 2 for p in positive for n in negative)
    return above / pairs if pairs else 0.5


def ledger_leaks(raw: Sequence[Raw]) -> str:
    """Return why a ledger leaks; empty where it does not."""
    leaking = sum(row_leaks(row.text, row.value) for row in raw) / max(1, len(raw))
    if leaking > MOST_LEAKING:
        return f"{leaking:.0%} of its rows leak"
    kept = [float(balance(row.text)) for row in raw if row.verdict == "keep"]
    others = [float(balance(row.text)) for row in raw if row.verdict in ("discard", "crash")]
    found = auc(kept, others)
    return f"outcome words tell what was kept (AUC {found:.2f})" if abs(found - 0.5) > LEAK else ""


def make_ledger(name: str, raw: Sequence[Raw], *, lower: bool, leaky: bool = False) -> Ledger:
    """Return a ledger with its labels.

    Args:
        name: Of the ledger.
        raw: Its rows in order.
        lower: Lower values are better.
        leaky: Show all texts and score all rows, to see what leaks do.
    """
    rows: list[Row] = []
    gains: list[float] = []
    base: float | None = None
    for number, row in enumerate(raw):
        effect = CRASHED if row.crashed else None
        spread = spread_of(gains)
        if row.value is not None and base is not None:
            gain = base - row.value if lower else row.value - base
            effect = effect_of(gain, spread)
            gains.append(gain)
        ready = base is not None and len(gains) > _LEAST_GAINS and number >= WARMUP
        leaks = not leaky and row_leaks(row.text, row.value)
        won = None if effect is None else effect > WIN
        bad = None if effect is None else is_bad(effect)
        kept = None if row.verdict is None else row.verdict == "keep"
        scored = ready and effect is not None and not leaks
        shown = "" if leaks else row.text
        rows.append(Row(row.text, shown, effect, row.crashed, won, bad, scored, kept))
        if row.value is not None and row.verdict == "keep":
            base = row.value
    return Ledger(name, rows, ledger_leaks(raw))


def read_ledgers(folder: Path, *, leaky: bool = False) -> list[Ledger]:
    """Return the ledgers of a folder that have verdicts, a metric and `LEAST_ROWS` rows.

    Of two that share most of their texts, as the states of one file at two times do, the longer.
    """
    found: list[Ledger] = []
    texts: list[set[str]] = []
    for reading, name in sorted(_readings(folder), key=lambda pair: (-len(pair[0].runs), pair[1])):
        raw = list(_raw(reading))
        own = {row.text for row in raw}
        verdicts = {row.verdict for row in raw}
        if len(raw) < LEAST_ROWS or "keep" not in verdicts or len(verdicts) == 1:
            continue
        if any(2 * len(own & other) > len(own) for other in texts):
            continue
        texts.append(own)
        lower = reading.lower
        if lower is None:
            lower = direction(reading.metric or "", {}, None).lower
        found.append(make_ledger(name, raw, lower=lower, leaky=leaky))
    return sorted(found)


def _readings(folder: Path) -> Iterator[tuple[Reading, str]]:
    for path in sorted(folder.glob("*/*")):
        if path.suffix not in (".tsv", ".csv", ".jsonl") or ".derived." in path.name:
            continue
        try:
            reading = read_source(path)
        except GitexpError:
            continue
        if reading.runs and reading.metric:
            yield reading, f"{path.parent.name}/{path.name}"


def _raw(reading: Reading) -> Iterator[Raw]:
    for run in reading.runs:
        text = " ".join(part for part in (run.description, run.hypothesis) if part)
        crashed = run.status == "crashed" or run.verdict == "crash"
        value = run.metrics.get(reading.metric or "")
        is_value = isinstance(value, int | float) and math.isfinite(value) and not crashed
        yield Raw(text, float(value or 0.0) if is_value else None, crashed, run.verdict)


def senpai_below(folder: Path) -> Ledger | None:
    """Return the pull requests of wandb/senpai that the ledgers' folder has; None without them."""
    path = folder / "wandb+senpai" / "pull_requests.derived.tsv"
    if not path.exists():
        return None
    lines = [line.split("\t") for line in path.read_text().splitlines()]
    at = {name: number for number, name in enumerate(lines[0])}
    cells = [(line[at["commit_subjects"]], line[at["merged"]] == "1") for line in lines[1:]]
    return _merged_ledger("wandb+senpai, pull requests below 1200", cells)


def senpai_from(repository: Path, first: int = 1200) -> Ledger:
    """Return the pull requests of a bare clone of wandb/senpai from one number on.

    Each was squashed into what it was merged into, with its number at the end of the subject; the
    commits of one are those before which such a subject comes. Where they are more than
    `MOST_COMMITS` they are the project's history and no idea: such requests are left out.
    """
    subjects = _git(repository, "log", "--all", "--format=%s").splitlines()
    merged = {int(found[1]) for subject in subjects if (found := _SQUASHED.search(subject))}
    refs = _git(repository, "for-each-ref", "--format=%(refname)", "refs/pull").split()
    numbers = sorted(int(ref.split("/")[2]) for ref in refs if ref.endswith("/head"))
    cells = []
    for number in (each for each in numbers if each >= first):
        words = ["log", "--no-merges", "-n", "8", "--format=%s", f"refs/pull/{number}/head"]
        said = _git(repository, *words).splitlines()
        own = list(itertools.takewhile(lambda subject: not _SQUASHED.search(subject), said))
        told = [line for line in own if not _ASSIGNED.search(line)]
        if 1 <= len(told) <= MOST_COMMITS:
            cells.append((" | ".join(reversed(told)), number in merged))
    return _merged_ledger(f"wandb+senpai, pull requests from {first}", cells)


def _merged_ledger(name: str, cells: Sequence[tuple[str, bool]]) -> Ledger:
    """Return pull requests as a ledger without values: merged ones are wins, nothing is bad."""
    rows = [
        Row(text, text, 1.0 if merged else 0.0, False, merged, None, number >= WARMUP, merged)
        for number, (text, merged) in enumerate(cells)
    ]
    return Ledger(name, rows, "")


def _git(repository: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "--git-dir", str(repository), *words], capture_output=True, check=True
    )
    return done.stdout.decode("utf-8", "replace")
