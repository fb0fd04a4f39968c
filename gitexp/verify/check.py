"""All checks, one after the other; ``git fsck`` runs beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from gitexp.git.repository import Repository
from gitexp.verify.facts import Told, check_facts
from gitexp.verify.findings import SEVERITIES, Finding, Report
from gitexp.verify.history import check_history
from gitexp.verify.index import check_index
from gitexp.verify.journals import check_journals
from gitexp.verify.library import check_library
from gitexp.verify.library_index import check_library_index
from gitexp.verify.logs import check_files, check_logs
from gitexp.verify.names import check_names
from gitexp.verify.objects import check_objects, fsck
from gitexp.verify.runs import check_runs
from gitexp.verify.signatures import check_signatures
from gitexp.verify.store import Store
from gitexp.verify.trees import check_trees

Progress = Callable[[int, int], None]
"""Called with how many steps are done, and how many there are."""


def verify(repository: Repository, progress: Progress | None = None) -> Report:
    """Derive everything again and return what is not as it should be; nothing is changed.

    Args:
        repository: What to look at.
        progress: Told how far it has got.

    Raises:
        GitexpError: The repository itself cannot be read.
    """
    store = Store(repository)
    findings: list[Finding] = []
    told: dict[str, Told] = {}
    with ThreadPoolExecutor(1) as beside:
        said = beside.submit(fsck, store)
        steps: list[Callable[[], Iterator[Finding]]] = [
            lambda: check_names(store),
            lambda: check_trees(store),
            lambda: check_facts(store, told),
            lambda: check_logs(store, told),
            lambda: check_files(store, told),
            lambda: check_library(store),
            lambda: check_runs(store, told),
            lambda: check_history(store, told),
            lambda: check_journals(store, told),
            lambda: check_signatures(store),
            lambda: check_index(store),
            lambda: check_library_index(store),
            lambda: check_objects(store, said.result()),
        ]
        for done, step in enumerate(steps):
            if progress is not None:
                progress(done, len(steps))
            findings += step()
    if progress is not None:
        progress(len(steps), len(steps))
    findings.sort(
        key=lambda f: (SEVERITIES.index(f.severity), f.check, f.ref, f.run, f.path, f.line)
    )
    return Report(findings, _checked(store, told))


def _checked(store: Store, told: dict[str, Told]) -> dict[str, int]:
    notes = sum(len(shard.files) for shard in store.shards.values() if shard.is_notes)
    files = sum(len(shard.files) for shard in store.shards.values() if not shard.is_notes)
    return {"refs": len(store.refs), "runs": len(told), "notes": notes, "files": files}
