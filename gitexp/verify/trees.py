"""The trees of shards: where notes and files stand, and the commits of the code chains."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitexp.git import refs
from gitexp.git.history import EMPTY_TREE
from gitexp.git.objects import GONE, parse_commit, read_objects
from gitexp.store.library import is_library_path
from gitexp.store.read import noted_run
from gitexp.verify.findings import REPAIR, Finding
from gitexp.verify.store import Shard, Store, notes_by_run, text

_FILE = re.compile(rb"[0-9a-f]{2}/[0-9a-f]{38}/.+", re.DOTALL)
_ENVIRONMENT = re.compile(rb"environments/[0-9a-f]{32}\.json")
_REMOVED = re.compile(rb"removed/[0-9a-f]{2}/[0-9a-f]{38}")
_MODE = b"100644"
_SUBJECTS = (b"exprag code", b"exprag: union")


def check_trees(store: Store) -> Iterator[Finding]:
    """Yield what stands in a wrong place of a tree, or as something that it must not be."""
    for shard in store.shards.values():
        yield from _unread(shard)
        for file in shard.files:
            ref, path = shard.ref, text(file.path)
            if not _belongs(shard, file.path):
                what = "the library" if shard.is_library else "a run"
                message = f"Nothing of {what} stands there; it is left."
                yield Finding("path", "note", message, ref=ref, path=path)
            elif file.mode != _MODE:
                mode = text(file.mode)
                message = f"It has the mode {mode}; what shards keep are plain files."
                yield Finding("path", "note", message, ref=ref, path=path)
    for ref, run in split_notes(store):
        message = f"The notes of run {run[:12]} stand in several places."
        yield Finding("places", "repairable", message, f"{REPAIR}.", True, ref, run)
    yield from _chains(store)


def _belongs(shard: Shard, path: bytes) -> bool:
    """Say whether a path is one that the format knows for this kind of shard."""
    if shard.is_notes:
        return noted_run(path) is not None
    return is_library_path(path) if shard.is_library else is_file(path)


def _unread(shard: Shard) -> Iterator[Finding]:
    """Yield what of a shard's tree hides all that is below it."""
    for item in shard.unread:
        message = f"The shard cannot be read whole: the object {item.oid[:12]} {item.problem}."
        if item.problem in GONE:
            place = shard.ref, "", text(item.path)
            yield Finding("shard", "lost", message, f"{REPAIR}.", True, *place)
        else:
            remedy = "No gitexp writes this; if it is nothing of yours, delete the ref."
            yield Finding(
                "shard", "damaged", message, remedy, False, shard.ref, "", text(item.path)
            )


def is_file(path: bytes) -> bool:
    """Say whether a path of a files shard is one that the format knows."""
    return any(known.fullmatch(path) for known in (_FILE, _ENVIRONMENT, _REMOVED))


def split_notes(store: Store) -> list[tuple[str, str]]:
    """Return ref and run of the notes that stand in more than one place of a shard."""
    return [
        (shard.ref, run)
        for shard in store.shards.values()
        for run, places in notes_by_run([shard])
        if len(places) > 1
    ]


def _chains(store: Store) -> Iterator[Finding]:
    """Yield what is wrong with the tips of code chains; the objects are another check's."""
    tips = store.below(refs.CODE)
    for ref, found in zip(tips, read_objects(store.repository, list(tips.values())), strict=True):
        if found.problem:
            continue
        commit = parse_commit(found.content) if found.kind == "commit" else None
        if commit is None or commit.tree != EMPTY_TREE:
            wrong = f"a {found.kind}" if commit is None else "a commit with files"
            message = f"The tip of this chain of code is {wrong}, which none of ours is."
            remedy = f"Look at it with 'git show {found.oid[:12]}'; snapshots behind it are safe."
            yield Finding("code", "damaged", message, remedy, ref=ref)
        elif not commit.message.startswith(_SUBJECTS):
            message = "The tip of this chain of code was not written by gitexp."
            yield Finding("code", "note", message, ref=ref)
