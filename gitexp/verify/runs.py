"""Runs and their code: a snapshot for the facts, facts for a handle, a handle that keeps alive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gitexp.errors import GitCommandError
from gitexp.git import refs
from gitexp.git.objects import AS_STORED, PLAIN
from gitexp.verify.facts import Told
from gitexp.verify.findings import REPAIR, Finding
from gitexp.verify.store import Store, notes_by_run


def check_runs(store: Store, told: Mapping[str, Told]) -> Iterator[Finding]:
    """Yield what is missing of runs: code, facts, or what keeps their code alive."""
    handles = {ref.removeprefix(refs.RUNS) for ref in store.below(refs.RUNS)}
    for run, said in told.items():
        snapshot = store.snapshots[run]
        if said.withdrawn:
            if run in handles:
                message = f"Run {run[:12]} is withdrawn and still has a handle."
                yield Finding("handle", "note", message, "Run 'git exp gc'.", ref=said.ref, run=run)
        elif snapshot.problem:
            message = f"The snapshot of run {run[:12]} {snapshot.problem}: its code is not here."
            remedy = f"Run 'git exp pull', or {REPAIR[0].lower()}{REPAIR[1:]}."
            yield Finding("snapshot", "lost", message, remedy, True, said.ref, run)
        elif snapshot.kind != "commit":
            message = f"What stands as run {run[:12]} is a {snapshot.kind}, and no snapshot."
            remedy = f"If the notes on it are not yours, withdraw it with 'git exp rm {run[:12]}'."
            yield Finding("snapshot", "damaged", message, remedy, ref=said.ref, run=run)
    yield from _handles(store, told, handles)


def _handles(store: Store, told: Mapping[str, Told], handles: set[str]) -> Iterator[Finding]:
    for run in unheld(store, told, handles):
        message = f"Nothing keeps the snapshot of run {run[:12]} alive: 'git gc' would drop it."
        yield Finding("handle", "repairable", message, f"{REPAIR}.", True, told[run].ref, run)
    silent = {run for run in handles - told.keys() - store.live if refs.is_run_id(run)}
    if silent:
        later = Store(store.repository)  # what was sealed while we looked has its facts there
        for run in sorted(silent - later.live - {run for run, _ in notes_by_run(later.facts)}):
            ref, message = refs.run_ref(run), f"Nothing is known of run {run[:12]} but its code."
            remedy = f"Run 'git exp pull', or {REPAIR[0].lower()}{REPAIR[1:]}."
            yield Finding("facts", "lost", message, remedy, True, ref, run)


def unheld(store: Store, told: Mapping[str, Told], handles: set[str]) -> list[str]:
    """Return the runs whose snapshots are here and behind no ref at all."""
    without = [
        run
        for run, said in told.items()
        if run not in handles and not said.withdrawn and store.snapshots[run].kind == "commit"
    ]
    if not without:
        return []
    return sorted(set(without) & unreached(store, without))


def unreached(store: Store, commits: Sequence[str], *exclude: str) -> set[str]:
    """Return those of the commits that no ref reaches; all, where git cannot tell.

    ``exclude`` are git's options that say which refs do not count.
    """
    try:
        output = store.repository.git(
            [*PLAIN, "rev-list", "--stdin", "--not", *exclude, "--all"],
            stdin="".join(f"{commit}\n" for commit in commits).encode("ascii"),
            environment=AS_STORED,
        )
    except GitCommandError:
        return set(commits)
    return set(output.decode("ascii").split())
