"""Recognize files that look like secrets, by name and by content.

A snapshot travels to remotes, where a secret cannot be taken back, so untracked files that look
like one stay out of it. The names are those by which common programs keep their credentials. The
contents are those that `gitexp.credentials` knows by their own form; a file that merely mentions
a prefix is not a secret. Machine learning's own words are let through: ``tokenizer.json``,
``tokens.txt`` and ``special_tokens_map.json`` are vocabularies.
"""

from __future__ import annotations

import re

from gitexp.credentials import find_credentials

_TEMPLATES = (".example", ".sample", ".template", ".dist", ".pub")
"""Endings of files that show what a secret looks like, and of public keys."""

_DATA = r"(?:\.(?:txt|json|jsonl|ya?ml|toml|ini|cfg|conf|csv|dat|properties|xml))?"

_NAMES = re.compile(
    "|".join(
        (
            r"\.env(?:\..*)?|.*\.env|\.envrc",
            r".*\.(?:pem|key|p12|pfx|pkcs12|jks|keystore|kdbx|ppk|secrets?)",
            r"id_(?:rsa|dsa|ecdsa|ed25519)(?:[._-].*)?",
            r"[._]netrc|\.pypirc|\.npmrc|\.git-credentials|\.pgpass|\.my\.cnf|\.htpasswd",
            r"\.s3cfg|\.boto|\.dockercfg|\.vault-token|kubeconfig",
            rf"(?:.*[._-])?credentials?{_DATA}",
            r"(?:.*[._-])?service[-_]?account.*\.json|client[-_]secret.*\.json",
            rf"(?:.*[._-])?(?:token|api[-_]?keys?|passw(?:or)?ds?){_DATA}",
            r"\.?secrets?(?:\..*)?",
        )
    ).encode(),
    re.IGNORECASE | re.DOTALL,
)

_FOLDERS = re.compile(rb"(?:.*/)?\.(?:ssh|aws|gnupg|kube|docker)/", re.DOTALL)


def sensitive_name(path: bytes) -> bool:
    """Say whether a path (relative, with slashes) is one under which secrets are kept."""
    name = path.rpartition(b"/")[2]
    if name.lower().endswith(tuple(ending.encode() for ending in _TEMPLATES)):
        return False
    return bool(_NAMES.fullmatch(name) or _FOLDERS.match(path))


def sensitive_content(content: bytes) -> bool:
    """Say whether a file's content holds a private key or a well-known kind of token."""
    return any(True for _ in find_credentials(content, precise=True))
