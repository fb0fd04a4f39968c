"""Which remote is meant, and what was last seen there.

What a remote had when it was last fetched from or pushed to stands in refs of this repository,
``refs/exprag/remotes/<remote>/<part>/<shard>``. They are a memory, not a truth: where a push finds
the remote otherwise, it fetches and begins again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import xxhash

from gitexp.errors import GitCommandError, UsageError
from gitexp.git import refs
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.git.transfer import without_credentials

PARTS = {
    "code": refs.CODE,
    "metrics": refs.METRICS,
    "files": refs.FILES,
    "library": refs.LIBRARY,
    "facts": refs.FACTS,
}
"""The refs of a shard by what they hold, what others speak of first."""

HANDLES = "runs"
_SETTINGS = r"^(remote|branch)\.|^exprag\.remote$"
"""Settings by which git, and we, choose a remote."""

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]+)*")
_SCP_LIKE = re.compile(r"[^\s/:@]+@[^\s/:]+:.*")


class Remote(NamedTuple):
    """A remote.

    Attributes:
        name: As git takes it: a name of its configuration, a URL or a path.
        folder: Where below ``refs/exprag/remotes/`` stands what was last seen there.
    """

    name: str
    folder: str

    @property
    def shown(self) -> str:
        """The name as it may be shown: a URL without user and password."""
        return without_credentials(self.name)

    @property
    def prefix(self) -> str:
        """What the refs begin with that say what was last seen there."""
        return f"{refs.REMOTES}{self.folder}/"

    def tracking(self, ref: str) -> str:
        """Return the local ref that says what a ref of the store was there."""
        part = next(part for part, prefix in PARTS.items() if ref.startswith(prefix))
        return f"{self.prefix}{part}/{ref.removeprefix(PARTS[part])}"

    def refspecs(self) -> list[str]:
        """Return what to fetch, and to where."""
        parts = PARTS | {HANDLES: refs.RUNS}
        return [f"{prefix}*:{self.prefix}{part}/*" for part, prefix in parts.items()]


def choose_remote(repository: Repository, name: str | None = None) -> Remote:
    """Return the remote of that name or URL; by default the one that git would push to.

    Raises:
        UsageError: There is no such remote, or none at all.
        GitCommandError: git's configuration cannot be read.
    """
    settings = repository.configured(_SETTINGS)
    known = _known(settings)
    name = _default(repository, settings, known) if name is None else name
    if name not in known and not looks_like_url(name):
        hint = f"Known: {', '.join(known)}." if known else "Add one with 'git remote add'."
        raise UsageError(f"There is no remote {name!r}.", hint)
    if name not in known and _is_repository(Path(name)):
        name = str(Path(name).absolute())
    return Remote(name, _folder(name))


def require_one_url(repository: Repository, remote: Remote) -> None:
    """Check that a push to a remote goes to one place.

    Raises:
        UsageError: It has several URLs; what one of them has says nothing of the others.
    """
    settings = repository.configured(_SETTINGS)
    names = (f"remote.{remote.name}.pushurl", f"remote.{remote.name}.url")
    urls = next((settings[name] for name in names if name in settings), [])
    if len(urls) > 1:
        raise UsageError(
            f"The remote {remote.name} has {len(urls)} URLs to push to.",
            "Name one of them: 'git exp push URL'.",
        )


def looks_like_url(name: str) -> bool:
    """Say whether a word is a place to git, not a name: a URL, a path, ``user@host:path``."""
    if not name or name.startswith("-"):
        return False
    is_path = name.startswith(("/", "./", "../", "~")) or _is_repository(Path(name))
    return is_path or "://" in name or _SCP_LIKE.fullmatch(name) is not None


def _is_repository(path: Path) -> bool:
    return (path / ".git").exists() or ((path / "HEAD").exists() and (path / "objects").is_dir())


def is_remote(repository: Repository, name: str) -> bool:
    """Say whether a word names a remote, as far as one can tell."""
    return looks_like_url(name) or name in _known(repository.configured(_SETTINGS))


def last_seen(repository: Repository, remote: Remote) -> dict[str, str]:
    """Return what the refs of the store were on a remote: their names there -> object id."""
    seen: dict[str, str] = {}
    for ref, oid in list_refs(repository, remote.prefix).items():
        part, _, rest = ref.removeprefix(remote.prefix).partition("/")
        prefix = refs.RUNS if part == HANDLES else PARTS.get(part)
        if prefix is not None:
            seen[prefix + rest] = oid
    return seen


def seen_anywhere(repository: Repository) -> dict[str, list[str]]:
    """Return what each ref of the store was last seen to name on any remote."""
    seen: dict[str, list[str]] = {}
    for name, oid in list_refs(repository, refs.REMOTES).items():
        part, _, rest = name.removeprefix(refs.REMOTES).partition("/")[2].partition("/")
        if part in PARTS and oid not in seen.setdefault(PARTS[part] + rest, []):
            seen[PARTS[part] + rest].append(oid)
    return seen


def _folder(name: str) -> str:
    """Return a name that can stand in a ref, and is no other remote's."""
    if _PLAIN.fullmatch(name) and not name.endswith(".lock"):
        return name
    shown = without_credentials(name)
    readable = re.sub(r"[^A-Za-z0-9]+", "-", shown).strip("-")[-40:].strip("-")
    return f"{readable or 'remote'}-{xxhash.xxh3_64_hexdigest(name.encode())}"


def _known(settings: Mapping[str, list[str]]) -> list[str]:
    found = (re.fullmatch(r"remote\.(.+)\.(?:push)?url", name, re.DOTALL) for name in settings)
    return sorted({match[1] for match in found if match is not None})


def _default(repository: Repository, settings: Mapping[str, list[str]], known: list[str]) -> str:
    branch = _branch(repository)
    for setting in (
        "exprag.remote",
        f"branch.{branch}.pushremote",
        "remote.pushdefault",
        f"branch.{branch}.remote",
    ):
        chosen = settings.get(setting, ["."])[-1]
        if chosen != ".":
            return chosen
    if len(known) == 1 or "origin" in known:
        return known[0] if len(known) == 1 else "origin"
    which = f"It could be {', '.join(known)}." if known else "No remote is configured."
    raise UsageError(
        f"It is not clear which remote is meant. {which}",
        "Name it, or add one with 'git remote add origin URL'.",
    )


def _branch(repository: Repository) -> str:
    try:
        output = repository.git(["symbolic-ref", "--quiet", "--short", "HEAD"])
    except GitCommandError:  # HEAD is detached
        return ""
    return output.decode("utf-8", "replace").strip()
