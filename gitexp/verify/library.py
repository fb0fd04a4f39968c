"""The library: whether its files are here and their lines can be read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gitexp.git.objects import File, Object, read_objects
from gitexp.records.facts import OpaqueFact
from gitexp.store.library import decode_file, is_library_path, place
from gitexp.store.problem import Problem
from gitexp.verify.findings import REPAIR, Finding
from gitexp.verify.store import Shard, Store, text


def check_library(store: Store) -> Iterator[Finding]:
    """Yield what is wrong with the lines of the library."""
    newer: Counter[tuple[str, int]] = Counter()
    for shard in store.shards.values():
        files = [f for f in shard.files if shard.is_library and is_library_path(f.path)]
        objects = read_objects(store.repository, [file.oid for file in files])
        for file, found in zip(files, objects, strict=True):
            yield from _file(shard, file, found, newer)
    for (kind, schema), count in newer.items():
        lines = "1 line" if count == 1 else f"{count} lines"
        message = f"{lines} of kind {kind} (schema {schema}) came from a newer gitexp; kept."
        yield Finding("newer", "note", message, "Use a newer gitexp to see what is said there.")


def _file(
    shard: Shard, file: File, found: Object, newer: Counter[tuple[str, int]]
) -> Iterator[Finding]:
    path = text(file.path)
    wrong = found.problem or ("" if found.kind == "blob" else f"is a {found.kind}, no file")
    if wrong:
        message = f"The object {file.oid[:12]} of a file of the library {wrong}."
        yield Finding("file", "lost", message, f"{REPAIR}.", True, shard.ref, path=path)
        return
    for item in decode_file(shard.ref, file.path, found.content):
        if isinstance(item, Problem):
            where = place(shard.ref, file.path)
            remedy = (
                f"See it with 'git show {where}'; the rest is read. "
                f"Nothing is changed, since a line is never rewritten."
            )
            message = f"The line cannot be read: {item.reason}."
            yield Finding(
                "line", "damaged", message, remedy, ref=shard.ref, path=path, line=item.line
            )
        elif isinstance(item[0], OpaqueFact):
            newer[item[0].kind, item[0].schema] += 1
