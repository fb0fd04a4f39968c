"""A digest of those files of a tree that matter."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import xxhash

from gitexp.git.repository import Repository

if TYPE_CHECKING:
    import pygit2

Ignored = Callable[[str], bool]
"""Says of the path of a file or folder, relative to the top, whether it does not matter."""


def code_digests(
    repository: Repository, trees: Iterable[str], ignored: Ignored
) -> dict[str, bytes | None]:
    """Return of each tree a digest of the paths, modes and contents that matter, 16 bytes.

    Folders without a file that matters do not count. None stands for a tree that is not whole.

    Args:
        repository: That holds them.
        trees: Their ids.
        ignored: What does not matter.
    """
    reader = _Reader(repository.objects(), ignored)
    return {tree: reader.digest(tree) for tree in trees}


class _Reader:
    """Reads trees, each folder once however many trees share it."""

    def __init__(self, repo: pygit2.Repository, ignored: Ignored) -> None:
        self._repo = repo
        self._ignored = ignored
        self._known: dict[tuple[bytes, str], bytes | None] = {}

    def digest(self, tree: str) -> bytes | None:
        import pygit2

        try:
            found = self._repo[tree]
            if not isinstance(found, pygit2.Tree):
                return None
            return self._folder(found, "") or bytes(16)
        except (KeyError, pygit2.GitError, ValueError):
            return None

    def _folder(self, tree: pygit2.Tree, path: str) -> bytes | None:
        """Return the digest of a folder; None where nothing in it matters."""
        import pygit2

        key = (tree.id.raw, path)
        if key in self._known:
            return self._known[key]
        lines = []
        for entry in tree:
            name = entry.raw_name or b""
            below = path + name.decode("utf-8", "surrogateescape")
            if self._ignored(below):
                continue
            content: bytes | None = entry.id.raw
            if isinstance(entry, pygit2.Tree):
                content = self._folder(entry, f"{below}/")
            if content is not None:
                lines.append(b"%o %s\0%s" % (entry.filemode, name, content))
        digest = xxhash.xxh3_128_digest(b"".join(lines)) if lines else None
        self._known[key] = digest
        return digest
