"""Objects that are missing or corrupt: looked for in this clone, then at the remotes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from gitexp.errors import GitexpError
from gitexp.git.objects import GONE, read_objects
from gitexp.git.repository import Repository
from gitexp.git.rescue import (
    copy_objects,
    damaged_packs,
    loose_path,
    repack_without,
    set_aside,
    spare_copy,
    write_blob_of,
)
from gitexp.verify.findings import Repaired
from gitexp.verify.objects import Reach
from gitexp.verify.store import Store, text


def rescue_objects(repository: Repository, wanted: Sequence[str]) -> Iterator[Repaired]:
    """Bring back what is missing or corrupt of all that the refs of ours reach.

    Args:
        repository: Where.
        wanted: Ids of what else is missing (snapshots that no ref names).
    """
    store = Store(repository)
    bad = _bad(store, wanted)
    if not bad:
        return
    packs = damaged_packs(repository)
    yield from _set_aside(repository, bad)
    for oid, paths in bad.items():
        if write_blob_of(repository, oid, _contents_here(repository, paths)):
            yield Repaired("object", f"The object {oid} was found among the files of this clone.")
    for remote in store.remotes:
        left = _still_bad(repository, list(bad))
        if left:
            yield from _ask(repository, remote, left)
    if packs:
        yield _repack(repository, packs)
    repository.forget_objects()


def _bad(store: Store, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Return the bad objects, each with the paths at which it may be found."""
    reach = Reach(store)
    found = {
        oid: [text(place.path)] for oid, (place, problem) in reach.bad.items() if problem in GONE
    }
    return {oid: [] for oid in _still_bad(store.repository, wanted)} | found


def _still_bad(repository: Repository, oids: Sequence[str]) -> list[str]:
    return [found.oid for found in read_objects(repository, oids) if found.problem in GONE]


def _set_aside(repository: Repository, bad: dict[str, list[str]]) -> Iterator[Repaired]:
    for oid in bad:
        path = loose_path(repository, oid)
        if path.exists() and not os.access(path, os.R_OK):
            yield Repaired("object", f"We may not read {path}: look at its mode.", done=False)
            continue
        moved = set_aside(repository, path)
        if moved is not None:
            yield Repaired("object", f"The damaged file of object {oid} is kept as {moved}.")


def _contents_here(repository: Repository, paths: Sequence[str]) -> Iterator[bytes]:
    """Yield what files of this clone hold that may be a missing blob."""
    for path in paths:
        places = [repository.home / path]
        if repository.work_tree is not None and ".git" not in Path(path).parts:
            places.append(repository.work_tree / path)
        for place in places:
            if place.is_file() and ".." not in Path(path).parts:
                yield place.read_bytes()


def _ask(repository: Repository, remote: str, oids: list[str]) -> Iterator[Repaired]:
    try:
        with spare_copy(repository, remote) as spare:
            copied = copy_objects(repository, spare, oids)
    except GitexpError as error:
        yield Repaired("object", f"{remote} could not be asked: {error.message}", done=False)
        return
    if copied:
        count = "1 object was" if len(copied) == 1 else f"{len(copied)} objects were"
        yield Repaired("object", f"{count} brought from {remote}.")


def _repack(repository: Repository, packs: Sequence[Path]) -> Repaired:
    names = ", ".join(pack.name for pack in packs)
    try:
        repack_without(repository, packs)
    except GitexpError as error:
        return Repaired("object", f"{names} could not be replaced: {error.message}", done=False)
    kept = repository.home / "damaged" / "packs"
    return Repaired("object", f"The objects of {names} are in new packs; it is kept in {kept}.")
