"""Runs of others as a store of gitexp's own: from rows of a ledger, or from commits."""

from __future__ import annotations

import csv
import math
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from gitexp.git.commit import write_commit
from gitexp.git.history import EMPTY_TREE
from gitexp.git.repository import Repository
from gitexp.records.facts import EndFact, Fact, GitState, RemarkFact, RunFact, Summary, encode_fact
from gitexp.records.times import format_time
from gitexp.store.batch import Batch, write_batch

Verdict = Literal["keep", "discard", "crash"]

HIGHER = ("score", "accuracy", "tok", "tps", "throughput", "acc", "corr")
VERDICTS: dict[str, Verdict] = {"keep": "keep", "kept": "keep", "discard": "discard"}
VERDICTS |= {"discarded": "discard", "crash": "crash", "crashed": "crash", "revert": "discard"}

_BY = "Replay <replay@example.org>"
_START = 1_767_225_600
"""Seconds since 1970 when the first run started; the others follow, ten minutes each."""
SHARD = "replay"


class Row(NamedTuple):
    """A row of a ledger: what was tried, and what became of it."""

    description: str
    commit: str
    verdict: Verdict
    value: float | None


class Ledger(NamedTuple):
    """A ledger with a description and a verdict in each row.

    Attributes:
        lower: Lower values are better.
        left_out: Rows without a verdict that is known.
    """

    name: str
    rows: list[Row]
    lower: bool
    left_out: int


def read_ledger(path: Path, name: str) -> Ledger | None:
    """Return a ledger; None for a table that has no descriptions or no verdicts."""
    return parse_ledger(path.read_text("utf-8", "replace"), name, path.suffix == ".csv")


def parse_ledger(text: str, name: str, is_csv: bool) -> Ledger | None:
    """Return the ledger that a text is; see `read_ledger`."""
    if is_csv:
        table = list(csv.reader(text.splitlines()))
    else:
        table = [line.split("\t") for line in text.splitlines()]
    header = [cell.strip().lower() for cell in table[0]] if table else []
    if not {"status", "description"} <= set(header):
        return None
    where = {column: at for at, column in enumerate(header)}
    metric = next((column for column in header if _is_metric(column)), None)
    rows, left_out = [], 0
    for cells in table[1:]:
        verdict = VERDICTS.get(_cell(cells, where["status"]).lower())
        description = _cell(cells, where["description"])
        if verdict is None or not description or len(cells) != len(header):
            left_out += 1
            continue
        value = _number(_cell(cells, where[metric])) if metric else None
        value = None if verdict == "crash" else value
        rows.append(Row(description, _cell(cells, where.get("commit", -1)), verdict, value))
    lower = not (metric or "").startswith(HIGHER) and "corr" not in (metric or "")
    return Ledger(name, rows, lower, left_out) if rows else None


def _is_metric(column: str) -> bool:
    known = ("val_", "score", "accuracy", "tok_", "test_", "loss", "metric", "decode_tok", "r2")
    return column.startswith(known) or column.endswith(("_loss", "_acc", "_corr", "_bpb"))


def _cell(cells: Sequence[str], at: int) -> str:
    return cells[at].strip() if 0 <= at < len(cells) else ""


def _number(text: str) -> float | None:
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def new_repository(folder: Path, objects: Path | None = None) -> Repository:
    """Return a new repository that can read another one's objects."""
    subprocess.run(["git", "init", "--quiet", str(folder)], check=True)
    if objects is not None:
        alternates = folder / ".git" / "objects" / "info" / "alternates"
        alternates.write_text(f"{objects}\n")
    return Repository.discover(folder)


def write_ledger(
    repository: Repository, ledger: Ledger, code: Mapping[str, tuple[str, str]]
) -> list[str]:
    """Write the rows of a ledger as runs, as an import would; return their ids.

    Args:
        repository: That can read the commits.
        ledger: The rows.
        code: Commit as a row names it -> its tree and its full id; other rows have no code.
    """
    facts: dict[str, list[bytes]] = {}
    for number, row in enumerate(ledger.rows):
        tree, commit = code.get(row.commit, (EMPTY_TREE, ""))
        run = write_commit(repository, f"row {number}\n", tree, [commit] if commit else [])
        metadata: Any = {"commit": row.commit} if row.commit else None
        state = GitState(head=commit, branch=None, dirty=False) if commit else None
        begin = _begin(number, row.description, metadata=metadata, git=state)
        facts[run] = [encode_fact(fact) for fact in (begin, *_end(number, row))]
    write_batch(repository, SHARD, Batch(facts=facts))
    return list(facts)


def write_commits(repository: Repository, commits: Iterable[tuple[str, str, str]]) -> list[str]:
    """Write runs of code: each the tree of a commit on a base, with a description.

    Args:
        repository: That can read the commits.
        commits: Tree, id of the base commit, description.
    """
    facts: dict[str, list[bytes]] = {}
    for number, (tree, base, description) in enumerate(commits):
        run = write_commit(repository, f"run {number}\n", tree, [base])
        state = GitState(head=base, branch=None, dirty=True)
        begin = _begin(number, description, git=state, command=("python", "train.py"))
        end = _end(number, Row(description, "", "discard", None))[0]
        facts[run] = [encode_fact(begin), encode_fact(end)]
    write_batch(repository, SHARD, Batch(facts=facts))
    return list(facts)


def _time(number: int) -> str:
    return format_time((_START + 600 * number) * 10**9)


def _begin(number: int, description: str, **more: Any) -> RunFact:
    return RunFact(
        time=_time(number), by=_BY, name=f"run {number}", description=description, **more
    )


def _end(number: int, row: Row) -> list[Fact]:
    v = row.value
    metrics = {} if v is None else {"value": Summary(v, v, 1, v, v, v, 0, 0)}
    status: Any = "crashed" if row.verdict == "crash" else "finished"
    end = EndFact(
        time=_time(number),
        by=_BY,
        status=status,
        duration=300.0,
        calls=len(metrics),
        metrics=metrics,
    )
    return [end, RemarkFact(time=_time(number), by=_BY, verdict=row.verdict)]
