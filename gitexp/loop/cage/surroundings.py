"""The environment of agents and runs: the user's, without secrets and without ways to git.

What looks like a secret by its name or its value is left out; who needs one names it. Variables of
git go, so that none leads to another repository, to helpers that know passwords or to an agent
with keys; so do those of the shells and desktops through which such agents are reached. ``HOME``
stays: tools and caches are found through it, and it is the sandbox that covers its secrets.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path

from gitexp.credentials import find_credentials

_SECRET = re.compile(
    r"(?:.*[^A-Z0-9])?(?:ACCESSKEY|API_?KEYS?|AUTH|BEARER|COOKIES?|CREDENTIALS?|CREDS?|DSN|KEYS?"
    r"|PASS|PASSPHRASE|PASSW(?:OR)?DS?|PAT|PRIVATEKEY|PWD|SECRETS?|SECRETKEY|TOKENS?)"
    r"(?:[^A-Z0-9].*)?",
    re.IGNORECASE | re.DOTALL,
)
"""A word of a name, between underscores: ``TOKENIZERS_PARALLELISM`` has none of them."""

_PLACES = frozenset(("PWD", "OLDPWD"))
_LEADING_ELSEWHERE = re.compile(
    r"GIT_.*|BASH_FUNC_.*"  # other repositories, helpers that know passwords
    r"|DBUS_.*|DISPLAY|DOCKER_(?:CONFIG|HOST)|GNUPGHOME|GPG_AGENT_INFO|KUBECONFIG|NETRC|SSH_.*"
    r"|SUDO_ASKPASS|WAYLAND_DISPLAY|XAUTHORITY|XDG_RUNTIME_DIR"
    r"|GITEXP_(?:RUN|GIT_DIR|SUMMARY|NONCE)|AUTORESEARCH_SUMMARY_PATH|PYTHONPYCACHEPREFIX",
    re.DOTALL,
)
_CACHES = ("NUMBA_CACHE_DIR", "TORCH_EXTENSIONS_DIR", "TRITON_CACHE_DIR", "UV_CACHE_DIR")
_MAX_SEARCHED = 64 << 10


def scrubbed(
    outer: Mapping[str, str], keys: Collection[str] = (), drop: Collection[str] = ()
) -> dict[str, str]:
    """Return what of an environment an agent or a run may have.

    Args:
        outer: The loop's own.
        keys: Names that stay though they look like secrets.
        drop: Names that go, whatever they look like; more than `keys`.
    """
    return {
        name: text
        for name, text in outer.items()
        if name not in drop and (name in keys or not _is_kept_back(name, text))
    }


def _is_kept_back(name: str, text: str) -> bool:
    return _LEADING_ELSEWHERE.fullmatch(name) is not None or is_secret(name, text)


def is_secret(name: str, text: str) -> bool:
    """Say whether a variable looks like a secret, by a word of its name or by its value."""
    if name in _PLACES:
        return False
    if _SECRET.fullmatch(name):
        return True
    searched = os.fsencode(f"{name}={text[:_MAX_SEARCHED]}")
    return next(find_credentials(searched), None) is not None


def own_variables(folder: Path, scratch: Path, *, locked_in: bool) -> dict[str, str]:
    """Return what is said to a program about where it is.

    Args:
        folder: Top of its worktree.
        scratch: Its temporary folder.
        locked_in: It cannot write to the home folder: tools that fail without their cache there
            get one that is empty.
    """
    caches = {name: str(scratch / "cache" / name.lower()) for name in _CACHES}
    return {
        "PWD": str(folder),
        "TMPDIR": str(scratch),
        "AUTORESEARCH_SUMMARY_PATH": str(scratch / "summary.json"),
        "GIT_CEILING_DIRECTORIES": str(folder.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        **(caches if locked_in else {}),
    }
