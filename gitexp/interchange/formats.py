"""Which format a source is in, by what it holds, and its reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from gitexp.errors import GitexpError, UsageError
from gitexp.interchange import exprag, memorylab_store, pi
from gitexp.interchange.ledger import read_ledger
from gitexp.interchange.rows import decode_object
from gitexp.interchange.source import Reading, read_head

FORMATS = ("table", "jsonl", "memorylab", "pi", "exprag")
_MAPPED = ("table", "jsonl")


def recognise(path: Path) -> str:
    """Return the format of a source, one of `FORMATS`.

    A folder is a MemoryLab store or one of exprag's; a file is what its first line says.

    Raises:
        GitexpError: It is of no known format, or cannot be read.
    """
    if path.is_dir():
        return _recognise_folder(path)
    line = next(filter(None, map(bytes.strip, read_head(path).splitlines())), b"")
    if not line:
        raise GitexpError(f"{path} is empty.", "Name a ledger with at least a header.")
    text = line.decode("utf-8-sig", "replace")
    if text.startswith("["):
        raise GitexpError(
            f"{path} is one JSON array, not JSON lines.", f"Take it apart: jq -c '.[]' {path.name}"
        )
    return _recognise_json(text) if text.startswith("{") else "table"


def _recognise_folder(path: Path) -> str:
    if memorylab_store.find_ledger(path) is not None:
        return memorylab_store.FORMAT
    if exprag.find_store(path) is not None:
        return exprag.FORMAT
    raise GitexpError(
        f"{path} holds neither a MemoryLab store nor runs of exprag.",
        "Name a ledger in it: a table (TSV, CSV) or JSON lines.",
    )


def _recognise_json(line: str) -> str:
    first, _ = decode_object(line)
    kinds = (
        (pi.FORMAT, pi.is_pi),
        (exprag.FORMAT, exprag.is_start),
        (memorylab_store.FORMAT, memorylab_store.is_record),
    )
    return next((form for form, fits in kinds if fits(first or {})), "jsonl")


def read_source(
    path: Path,
    form: str | None = None,
    given: Mapping[str, str] | None = None,
    header: Sequence[str] | None = None,
) -> Reading:
    """Return the runs of a source.

    Args:
        path: A ledger, or the folder of a store.
        form: One of `FORMATS`; recognised by default.
        given: Column -> field, of tables and JSON lines.
        header: Names of a table's columns, instead of those in its first line.

    Raises:
        GitexpError: It is of no known format, or cannot be read.
        UsageError: ``given`` or ``header`` does not fit it.
    """
    form = form or recognise(path)
    if given and form not in _MAPPED:
        raise UsageError(f"--map is for tables and JSON lines, not for {form}.")
    if header is not None and form != "table":
        raise UsageError(f"--header is for tables, not for {form}.")
    if form == memorylab_store.FORMAT:
        store = memorylab_store.find_ledger(path) if path.is_dir() else path
        return memorylab_store.read_store(_there(store, path, form))
    if form == exprag.FORMAT:
        store = exprag.find_store(path) if path.is_dir() else path
        return exprag.read_store(_there(store, path, form))
    return pi.read_pi(path) if form == pi.FORMAT else read_ledger(path, form, given or {}, header)


def _there(store: Path | None, path: Path, form: str) -> Path:
    if store is None:
        raise GitexpError(f"{path} holds no store of {form}.", "Name the folder of the store.")
    return store
