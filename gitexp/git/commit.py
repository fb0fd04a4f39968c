"""Write commits in this process, and know whose they are.

A commit object takes libgit2 28 µs and the git program 2 ms, so snapshots and shards are committed
through libgit2. Only where ``exprag.sign`` is set the git program commits, since it knows how the
user signs (``gpg.format``, ``user.signingKey``, ``gpg.program``). No ref is touched here.
"""

from __future__ import annotations

import functools
import getpass
import os
import socket
import unicodedata
import warnings
from collections.abc import Callable, Sequence

from gitexp.errors import GitCommandError, GitexpWarning
from gitexp.git.repository import Repository

_OVERRIDES = ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT")
"""Configuration in the environment (such as ``git -c``), which libgit2 does not read."""


_TRUE = frozenset({"true", "yes", "on", "1"})
"""What git takes for true."""

_SUBJECT_LENGTH = 72
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Unicode's categories of what a subject has as spaces."""

_ROLES = ("AUTHOR", "COMMITTER")

_CONTEXT = (*_OVERRIDES, "HOME", "XDG_CONFIG_HOME", "EMAIL", "GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL")


def identity(repository: Repository) -> tuple[str, str]:
    """Return the name and the email address of who works in this repository.

    They are git's: ``GIT_AUTHOR_NAME`` and ``GIT_AUTHOR_EMAIL``, then ``author.*`` and ``user.*``
    of the configuration, then (for the address) ``EMAIL``. Where nothing is set they are made of
    the login name and the host name, so that a missing identity never stops anything. The
    configuration is asked once in the life of a process.
    """
    context = tuple(os.environ.get(name) for name in _CONTEXT)
    return _identity(repository, context)


@functools.lru_cache(maxsize=32)
def _identity(repository: Repository, _context: tuple[str | None, ...]) -> tuple[str, str]:
    name = _clean(os.environ.get("GIT_AUTHOR_NAME"))
    email = _clean(os.environ.get("GIT_AUTHOR_EMAIL"))
    if not (name and email):
        configured = _configuration(repository)
        name = name or configured("author.name") or configured("user.name")
        email = email or configured("author.email") or configured("user.email")
        email = email or _clean(os.environ.get("EMAIL"))
    login = name if name and email else _login()
    return name or login, email or f"{login}@{_clean(socket.gethostname()) or 'localhost'}"


def write_commit(
    repository: Repository,
    message: str,
    tree: str,
    parents: Sequence[str],
    *,
    seconds: int | None = None,
) -> str:
    """Write a commit object that no ref names yet.

    It is signed where ``exprag.sign`` is set; where that fails, a warning says so, and it is not.

    Args:
        repository: Where to write it.
        message: Whole message; what UTF-8 cannot hold becomes a question mark.
        tree: Id of its tree, 40 hexadecimal digits.
        parents: Ids of its parents.
        seconds: Its date, in seconds since 1970, in UTC; now and here by default.

    Returns:
        The id of the commit, 40 hexadecimal digits.

    Raises:
        NoRepositoryError: libgit2 cannot open the repository.
        GitCommandError: The object could not be written.
    """
    import pygit2

    text = message.encode("utf-8", "replace").decode()
    if signs(repository):
        signed = _write_signed(repository, text, tree, parents, seconds)
        if signed is not None:
            return signed
    objects = repository.objects()
    when = () if seconds is None else (seconds, 0)
    author = pygit2.Signature(*identity(repository), *when)
    try:
        commit = objects.create_commit(
            None, author, author, text, pygit2.Oid(hex=tree), [pygit2.Oid(hex=p) for p in parents]
        )
    except (pygit2.GitError, KeyError, OSError) as error:
        raise GitCommandError(f"The commit could not be written: {error}") from error
    return str(commit)


def snapshot_message(name: str, nonce: str, *, dirty: bool) -> str:
    """Return the message of a run's snapshot (docs/format.md, "Runs").

    Args:
        name: Of the run.
        nonce: 16 hexadecimal digits.
        dirty: The tree differs from the parent's.
    """
    visible = (" " if unicodedata.category(c) in _INVISIBLE else c for c in name)
    subject = "".join(visible).strip()[:_SUBJECT_LENGTH].strip() or "unnamed"
    truth = "true" if dirty else "false"
    return f"exprag: {subject}\n\nExprag-Nonce: {nonce}\nExprag-Dirty: {truth}\n"


def signs(repository: Repository) -> bool:
    """Say whether new snapshots and commits of shards are to be signed: ``exprag.sign``."""
    return repository.settings.get("exprag.sign", "").lower() in _TRUE


def _write_signed(
    repository: Repository, message: str, tree: str, parents: Sequence[str], seconds: int | None
) -> str | None:
    """Write a commit with the user's signature; return None, and warn, where that fails."""
    name, email = identity(repository)
    who = {
        f"GIT_{role}_{part}": value
        for role in _ROLES
        for part, value in (("NAME", name), ("EMAIL", email))
    }
    if seconds is not None:
        who |= {f"GIT_{role}_DATE": f"@{seconds} +0000" for role in _ROLES}
    words = [word for parent in parents for word in ("-p", parent)]
    try:
        output = repository.git(
            ["-c", "i18n.commitEncoding=UTF-8", "commit-tree", "-S", *words, "-F", "-", tree],
            stdin=message.encode("utf-8"),
            environment=who,
        )
    except GitCommandError as error:
        _warn_unsigned(error.said or error.message)
        return None
    return output.decode("ascii").strip()


@functools.lru_cache(maxsize=32)
def _warn_unsigned(reason: str) -> None:
    """Warn, once in the life of a process for each reason."""
    warnings.warn(
        f"Commits are not signed, though exprag.sign is set: {' '.join(reason.split())}",
        GitexpWarning,
        stacklevel=2,
    )


def tree_of(repository: Repository, commit: str | None) -> str:
    """Return the id of a commit's tree; of the empty tree (written if need be) for None.

    Raises:
        NoRepositoryError: libgit2 cannot open the repository.
        GitCommandError: The commit cannot be read.
    """
    import pygit2

    objects = repository.objects()
    if commit is None:
        return str(objects.TreeBuilder().write())
    try:
        return str(objects[pygit2.Oid(hex=commit)].peel(pygit2.Tree).id)
    except (pygit2.GitError, KeyError) as error:
        message = f"The commit {commit} cannot be read."
        raise GitCommandError(message, "Run 'git fsck' to see what is damaged.") from error


def _configuration(repository: Repository) -> Callable[[str], str]:
    """Return a look-up in git's configuration; what is not set is empty."""
    if _libgit2_sees_all():
        values = repository.objects().config

        def look_up(name: str) -> str:
            try:
                return _clean(values[name])
            except (KeyError, UnicodeDecodeError):
                return ""

        return look_up
    asked = _ask_git(repository)
    return lambda name: asked.get(name, "")


def _libgit2_sees_all() -> bool:
    """Say whether libgit2 reads the configuration files that git would read now.

    It looks at ``HOME`` once, when it is loaded, and at no other variable.
    """
    import pygit2

    if any(name in os.environ for name in _OVERRIDES):
        return False
    return pygit2.settings.search_path[pygit2.enums.ConfigLevel.GLOBAL] == os.environ.get("HOME")


def _ask_git(repository: Repository) -> dict[str, str]:
    try:
        found = repository.configured(r"^(author|user)\.(name|email)$")
    except GitCommandError:
        return {}  # a missing identity stops nothing
    return {name: _clean(values[-1]) for name, values in found.items()}


def _clean(text: str | None) -> str:
    """Take out what a commit header cannot hold: control characters, ``<`` and ``>``."""
    kept = (c for c in text or "" if c.isprintable() and c not in "<>")
    return "".join(kept).strip()


def _login() -> str:
    try:
        return _clean(getpass.getuser()) or "unknown"
    except (KeyError, OSError):  # a container's user id without a name
        return "unknown"
