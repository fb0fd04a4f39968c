"""The reader that walks refs: slow and simple, to check the index against.

It reads every note of every shard, with git's own commands, and merges what it finds.
"""

from __future__ import annotations

from gitexp.git import refs
from gitexp.git.read import list_refs, list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.records.facts import Fact, OpaqueFact
from gitexp.run import Run, build_run
from gitexp.store.problem import Problem
from gitexp.store.read import decode_note, noted_run


def walk_facts(repository: Repository) -> dict[str, list[Fact]]:
    """Return all facts of all shards by run, each line once."""
    facts: dict[str, list[Fact]] = {}
    seen: dict[str, set[bytes]] = {}
    for ref, tip in list_refs(repository, refs.FACTS).items():
        entries = list_tree(repository, tip)
        blobs = read_blobs(repository, [entry.oid for entry in entries])
        for entry, (_, blob) in zip(entries, blobs, strict=True):
            run_id = noted_run(entry.path)
            if run_id is None:
                continue
            place = Problem(ref, run_id, 0, "")
            for item in decode_note(place, blob or b"", seen.setdefault(run_id, set())):
                if not isinstance(item, Problem | OpaqueFact):
                    facts.setdefault(run_id, []).append(item)
    return facts


def walk_runs(repository: Repository) -> list[Run]:
    """Return all runs that are to be seen, the latest first."""
    runs = [build_run(run_id, facts) for run_id, facts in walk_facts(repository).items()]
    there = [run for run in runs if run is not None]
    return sorted(there, key=lambda run: (run.started, run.id), reverse=True)
