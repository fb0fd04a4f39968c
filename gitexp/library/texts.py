"""The full texts of passages, which stay in this clone: ``<home>/texts/<paper>.json``.

They are derived from nothing that is shared, so they are no part of the index and outlive it. A
text is known by its digest: it serves whoever's chunk has that digest, and no other. A file is
written beside its place and renamed, so it is whole or as it was before.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from gitexp.git.repository import Repository
from gitexp.git.write import write_error
from gitexp.store.library import is_digest_of, is_paper_id

MAX_TEXTS_BYTES = 64 << 20
"""A larger file is left aside: the full text of a book has one."""

_DECODE_ERRORS = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OSError)


def read_texts(repository: Repository, paper_id: str) -> dict[str, str]:
    """Return digest -> text of what this clone keeps of a paper; damage counts as nothing."""
    path = _path(repository, paper_id)
    try:
        if path.stat().st_size > MAX_TEXTS_BYTES:
            return {}
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except _DECODE_ERRORS:
        return {}
    return {digest: text for digest, text in found.items() if is_digest_of(digest, text)}


def write_texts(repository: Repository, paper_id: str, texts: Mapping[str, str]) -> None:
    """Keep texts (digest -> text) of a paper in place of those that were kept.

    Raises:
        GitexpError: They cannot be written.
    """
    path = _path(repository, paper_id)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with draft.open("wb") as file:
            file.write(msgspec.json.encode(texts))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as error:
        raise write_error(error, f"write {path}") from error
    finally:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)


def remove_texts(repository: Repository, paper_id: str) -> None:
    """Delete the texts of a paper.

    Raises:
        GitexpError: They cannot be deleted.
    """
    path = _path(repository, paper_id)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise write_error(error, f"delete {path}") from error


def text_stamps(repository: Repository) -> dict[str, str]:
    """Return paper -> what tells one state of its file from another, for all that are kept."""
    stamps: dict[str, str] = {}
    with contextlib.suppress(OSError), os.scandir(_folder(repository)) as entries:
        for entry in entries:
            paper_id = entry.name.removesuffix(".json")
            if paper_id != entry.name and is_paper_id(paper_id):
                status = entry.stat()
                stamps[paper_id] = f"{status.st_size} {status.st_mtime_ns} {status.st_ino}"
    return stamps


def _folder(repository: Repository) -> Path:
    return repository.home / "texts"


def _path(repository: Repository, paper_id: str) -> Path:
    return _folder(repository) / f"{paper_id}.json"
