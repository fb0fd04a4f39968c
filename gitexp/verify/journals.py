"""Journals: those that a dead process left, and those that were set aside as damaged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from gitexp.git.refs import is_run_id
from gitexp.git.repository import Repository
from gitexp.journal import is_dead, journal_path, live_runs
from gitexp.seal import Folded, fold
from gitexp.verify.facts import Told
from gitexp.verify.findings import Finding
from gitexp.verify.store import Store

_RECOVER = "Run 'git exp recover', as every command that reads runs does."


def check_journals(store: Store, told: Mapping[str, Told]) -> Iterator[Finding]:
    """Yield which journals are not of a run in progress."""
    for run in live_runs(store.repository):
        yield from _live(store.repository, run)
    for path in sorted((store.repository.home / "damaged").glob("*")):
        if is_run_id(path.name):
            became = "what could be read is sealed" if path.name in told else "no run is made of it"
            message = f"The journal of run {path.name[:12]} was damaged; {became}."
            remedy = "Delete it when you have no use for it: nothing reads it any more."
            yield Finding("journal", "note", message, remedy, run=path.name, path=str(path))


def _live(repository: Repository, run: str) -> Iterator[Finding]:
    path = journal_path(repository, run)
    try:
        folded = fold(path)
    except FileNotFoundError:
        return  # sealed just now
    if folded.lost_bytes > folded.torn_bytes:
        lost = folded.lost_bytes - folded.torn_bytes
        message = f"{lost} bytes in the journal of run {run[:12]} cannot be read."
        remedy = "The rest is sealed when it ends."
        yield Finding("journal", "damaged", message, remedy, run=run, path=str(path))
    if is_left(folded):
        message = f"Run {run[:12]} has no process any more and is not sealed."
        yield Finding("journal", "repairable", message, _RECOVER, True, run=run, path=str(path))


def is_left(folded: Folded) -> bool:
    """Say whether the process of a journal's run is gone."""
    return folded.owner is None or is_dead(folded.owner)
