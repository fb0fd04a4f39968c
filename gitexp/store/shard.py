"""The shard of this clone: one writer's share of the store, named once.

The name has a part that people can read and a random part. It stands in
``<common dir>/exprag/shard``, so linked worktrees agree; ``exprag.shard`` in git's configuration
or ``GITEXP_SHARD`` overrides it. Two clones of one name are merged like any others.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import platform
import re
import secrets
from pathlib import Path

from gitexp.errors import UsageError
from gitexp.git.refs import is_shard_name
from gitexp.git.repository import Repository
from gitexp.git.write import write_error


def shard_name(repository: Repository) -> str:
    """Return the name of this clone's shard, making one up at the first call.

    Raises:
        UsageError: The configured name cannot be a shard name.
        GitexpError: The name cannot be written.
    """
    configured = repository.settings.get("exprag.shard")
    if configured is not None:
        if not is_shard_name(configured):
            raise UsageError(
                f"The shard name {configured!r} is not usable.",
                "Use lower-case letters, digits, '.', '_' and '-' in exprag.shard.",
            )
        return configured
    path = repository.home / "shard"
    with contextlib.suppress(FileNotFoundError):
        name = path.read_text(encoding="utf-8").strip()
        if is_shard_name(name):
            return name
    try:
        return _create(path)
    except OSError as error:
        raise write_error(error, f"write {path}") from error


def known_shard(repository: Repository) -> str | None:
    """Return the name of this clone's shard; None as long as nothing was written."""
    configured = repository.settings.get("exprag.shard")
    if configured is not None:
        return configured
    try:
        return (repository.home / "shard").read_text("utf-8", "replace").strip()
    except OSError:
        return None


def _create(path: Path) -> str:
    """Write a new name, unless another process was faster; return the one that stands."""
    path.parent.mkdir(exist_ok=True)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "user"
    readable = re.sub(r"[^a-z0-9]+", "-", f"{user}-{platform.node()}".lower()).strip("-")[:60]
    name = f"{readable or 'clone'}-{secrets.token_hex(4)}"
    draft = path.with_name(f"shard.{secrets.token_hex(4)}")
    draft.write_text(name + "\n", encoding="utf-8")
    try:
        os.link(draft, path)
    except FileExistsError:
        standing = path.read_text(encoding="utf-8").strip()
        if is_shard_name(standing):
            return standing
        draft.replace(path)  # what stood there was damaged
    finally:
        draft.unlink(missing_ok=True)
    return name
