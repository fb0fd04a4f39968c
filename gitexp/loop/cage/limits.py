"""Which paths a session may change: what is allowed, and what is protected.

Paths are texts as `os.fsdecode` gives them, relative to the top of the worktree, with slashes.
A rule names a file, a folder with all below it, or is a pattern in which ``*`` stands for
anything, slashes included, ``?`` for one character and ``[…]`` for one of several: what git
takes for a path specification.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from fnmatch import translate
from functools import cached_property
from glob import escape

STEERING = frozenset((".gitattributes", ".gitignore", ".gitmodules"))
"""Files by which git is told what to hide and what to run through filters: who may change
everything that is tracked may not change these; they have to be named."""

_MAGIC = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Limits:
    """What may change.

    Attributes:
        allow: Rules of what may change.
        protect: Rules of what never may, whatever is allowed: their files are hashed, too.
    """

    allow: tuple[str, ...]
    protect: tuple[str, ...] = ()

    @classmethod
    def of_tracked(cls, paths: Iterable[str], protect: tuple[str, ...] = ()) -> Limits:
        """Return limits that allow what is tracked, but for what is protected or steers git."""
        chosen = (path for path in paths if path.rpartition("/")[2] not in STEERING)
        return cls(tuple(map(escape, chosen)), protect)

    def permits(self, path: str) -> bool:
        """Say whether a path may change."""
        return is_plain(path) and self._allowed.has(path) and not self._protected.has(path)

    def protects(self, path: str) -> bool:
        """Say whether a path is a protected one."""
        return self._protected.has(path)

    @cached_property
    def _allowed(self) -> _Rules:
        return _Rules.of(self.allow)

    @cached_property
    def _protected(self) -> _Rules:
        return _Rules.of(self.protect)


@dataclass(frozen=True)
class _Rules:
    """Rules: as names that are looked up, and as one pattern of those that are patterns."""

    names: frozenset[str]
    pattern: re.Pattern[str] | None = field(default=None)

    @classmethod
    def of(cls, rules: Iterable[str]) -> _Rules:
        plain, magic = set(), []
        for rule in rules:
            cleaned = _cleaned(rule)
            plain.add(cleaned)
            if _MAGIC.search(cleaned):
                magic.append(f"(?:{translate(cleaned)})")
        return cls(frozenset(plain), re.compile("|".join(magic)) if magic else None)

    def has(self, path: str) -> bool:
        if "." in self.names or path in self.names:
            return True
        folders = _folders(path)
        if not self.names.isdisjoint(folders):
            return True
        pattern = self.pattern
        return pattern is not None and any(pattern.match(p) for p in (path, *folders))


def _cleaned(rule: str) -> str:
    """Return a rule as paths are written: ``./src/`` is ``src``."""
    parts = [part for part in rule.split("/") if part not in ("", ".")]
    return "/".join(parts) or "."


def _folders(path: str) -> list[str]:
    """Return the folders that a path is in, without the top."""
    places = (i for i, character in enumerate(path) if character == "/")
    return [path[:place] for place in places]


def is_plain(path: str) -> bool:
    """Say whether a path stays inside of a worktree and out of a repository's own folder."""
    parts = path.split("/")
    return not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts) and (
        "\0" not in path
    )
