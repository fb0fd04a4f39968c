"""Shards that cannot be read whole: set to the union of all that can be read of them.

What is read: the present state as far as it goes, the states before it, what remotes were last
seen to have, and the notes that the index remembers. The new state is built beside the old one
and takes its place at the end, on top of the nearest state that is sound. Which one was replaced
stands in ``<common dir>/exprag/damaged/refs.jsonl``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from gitexp.git import refs
from gitexp.git.objects import GONE, File, read_object, read_objects
from gitexp.git.repository import Repository
from gitexp.git.rescue import move_refs
from gitexp.records.times import format_time
from gitexp.store.batch import Batch, split_lines, write_batch
from gitexp.store.library import is_library_path
from gitexp.store.read import noted_run
from gitexp.store.union import REMOVED, as_tombstone, without_collected
from gitexp.verify.facts import Told, check_facts
from gitexp.verify.findings import Repaired
from gitexp.verify.history import collected
from gitexp.verify.states import States
from gitexp.verify.store import Shard, Store, text

_DRAFT = ".mended"
"""End of the name of the shard in which a new state is built; should it stay, it is one more."""

_NONE = "0" * 40


def mend_shards(repository: Repository) -> Iterator[Repaired]:
    """Mend every shard whose present state cannot be read whole."""
    store = Store(repository)
    for shard in store.shards.values():
        states = States(store, shard)
        broken = any(item.problem in GONE for item in shard.unread)
        if broken or not states.is_sound(shard.files):
            yield _mend(states)
    for ref, tip in store.below(refs.CODE).items():
        if read_object(repository, tip).problem in GONE:
            yield _drop_chain(store, ref, tip)


def mend_ref(repository: Repository, ref: str) -> Repaired:
    """Mend a shard whose ref is lost: what it named is looked for among all commits."""
    store = Store(repository)
    return _mend(States(store, Shard(ref, "", [], [])))


def read_told(store: Store) -> dict[str, Told]:
    """Return what the facts say of each run."""
    told: dict[str, Told] = {}
    for _ in check_facts(store, told):
        pass
    return told


def _mend(states: States) -> Repaired:
    """Set a shard to the union of what can be read of it."""
    store, ref, old = states.store, states.shard.ref, states.shard.tip
    repository = store.repository
    base, files = states.gather()
    now = store.refs.get(ref, _NONE)
    base = base or (now if not old and now != _NONE else None)
    draft = f"{states.name[: 99 - len(_DRAFT)]}{_DRAFT}"
    if base is not None:
        move_refs(repository, f"update {states.prefix}{draft} {base}")
    write_batch(repository, draft, _batch(states, files, collected(read_told(store))))
    new = Store(repository).refs.get(states.prefix + draft)
    if new is None:
        return Repaired("shard", "Nothing of the shard can be read.", done=False, ref=ref)
    record_ref(repository, ref, old or now)
    move_refs(repository, f"update {ref} {new} {now}", f"delete {states.prefix}{draft} {new}")
    built = f"on top of {base[:12]}" if base else "anew"
    was = f"; what it named was {old}" if old else ""
    return Repaired("shard", f"The shard is built {built}, of all that can be read{was}.", ref=ref)


def _batch(states: States, files: Iterable[File], without: Collection[str]) -> Batch:
    """Return the lines, or files, of what was found, but for those of collected runs."""
    wanted = list(dict.fromkeys((file.path, file.oid) for file in files))
    contents = read_objects(states.store.repository, [oid for _, oid in wanted])
    found = [(path, each.content) for (path, _), each in zip(wanted, contents, strict=True)]
    if states.prefix == refs.FILES:
        return Batch(files=_files(found, without))
    if states.prefix == refs.LIBRARY:
        return Batch(library=_library(found))
    lines: dict[str, set[bytes]] = {}
    for path, content in found:
        run = noted_run(path)
        if run is not None:
            kept = (line for line in split_lines(content))
            dropped = run in without
            new = {line for line in kept if not dropped or as_tombstone(line) is not None}
            lines.setdefault(run, set()).update(new)
    united = {run: sorted(without_collected(frozenset(said))) for run, said in lines.items()}
    return Batch(facts=united) if states.prefix == refs.FACTS else Batch(metrics=united)


def _library(found: Iterable[tuple[bytes, bytes]]) -> dict[str, list[bytes]]:
    """Return the lines of each file of a library, of all its contents."""
    lines: dict[str, set[bytes]] = {}
    for path, content in found:
        if is_library_path(path):
            lines.setdefault(text(path), set()).update(split_lines(content))
    return {path: sorted(said) for path, said in lines.items()}


def _files(
    found: Iterable[tuple[bytes, bytes]], without: Collection[str]
) -> dict[str, bytes | Path]:
    """Return the files, the nearest content of each."""
    files: dict[str, bytes | Path] = {}
    for path, content in found:
        files.setdefault(text(path), content)
    removed = {path.removeprefix(REMOVED) for path in files if path.startswith(REMOVED)}
    removed |= {f"{run[:2]}/{run[2:]}" for run in without}
    return {path: content for path, content in files.items() if path[:41] not in removed}


def _drop_chain(store: Store, ref: str, tip: str) -> Repaired:
    """Let a code chain go whose tip is lost, to what a remote was last seen to have of it.

    The snapshots behind it that are here get handles, as all that nothing else keeps alive.
    """
    ending = f"/code/{ref.removeprefix(refs.CODE)}"
    known = [oid for r, oid in store.below(refs.REMOTES).items() if r.endswith(ending)]
    sound = [found.oid for found in read_objects(store.repository, known) if not found.problem]
    record_ref(store.repository, ref, tip)
    move_refs(
        store.repository, f"update {ref} {sound[0]} {tip}" if sound else f"delete {ref} {tip}"
    )
    became = f"names {sound[0][:12]}, as a remote has it" if sound else "is gone"
    return Repaired("code", f"The chain of code {became}; its lost tip was {tip}.", ref=ref)


def record_ref(repository: Repository, ref: str, old: str) -> None:
    """Write down what a ref named before a repair changed it."""
    folder = repository.home / "damaged"
    folder.mkdir(parents=True, exist_ok=True)
    entry = {"time": format_time(time.time_ns()), "ref": ref, "old": old}
    with (folder / "refs.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(entry) + "\n")
