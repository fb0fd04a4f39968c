"""Recognize files that look like secrets, by name and by content.

A snapshot travels to remotes, where a secret cannot be taken back, so untracked files that look
like one stay out of it. The names are those by which common programs keep their credentials. The
contents are the prefixes that their issuers publish so that scanners can find lost tokens, with
the lengths they have; a file that merely mentions a prefix is not a secret. Machine learning's
own words are let through: ``tokenizer.json``, ``tokens.txt`` and ``special_tokens_map.json`` are
vocabularies.
"""

from __future__ import annotations

import re

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

_CONTENTS = {
    b"PRIVATE KEY": rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----",
    b"AKIA": rb"\bAKIA[0-9A-Z]{16}\b",
    b"ASIA": rb"\bASIA[0-9A-Z]{16}\b",
    b"github_pat_": rb"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
    b"gho_": rb"\bgho_[A-Za-z0-9]{36,255}\b",
    b"ghp_": rb"\bghp_[A-Za-z0-9]{36,255}\b",
    b"ghr_": rb"\bghr_[A-Za-z0-9]{36,255}\b",
    b"ghs_": rb"\bghs_[A-Za-z0-9]{36,255}\b",
    b"ghu_": rb"\bghu_[A-Za-z0-9]{36,255}\b",
    b"glpat-": rb"\bglpat-[A-Za-z0-9_-]{20,}",
    b"xox": rb"\bxox[abeoprs]-[A-Za-z0-9]+-[A-Za-z0-9-]{10,}",
    b"hf_": rb"\bhf_[A-Za-z0-9]{34,40}\b",
    b"T3BlbkFJ": rb"\bsk-[A-Za-z0-9_-]{20,}T3BlbkFJ[A-Za-z0-9_-]{20,}",
    b"sk-ant-": rb"\bsk-ant-[a-z0-9]+-[A-Za-z0-9_-]{80,}",
    b"sk-": rb"\bsk-(?:proj-[A-Za-z0-9_-]{40,}|[A-Za-z0-9]{48}\b)",
    b"_live_": rb"\b[rs]k_live_[A-Za-z0-9]{24,}\b",
    b"AIza": rb"\bAIza[A-Za-z0-9_-]{35}\b",
    b"npm_": rb"\bnpm_[A-Za-z0-9]{36}\b",
    b"pypi-": rb"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,}",
}
"""Patterns by a part that each needs. In 10 MiB of source code it takes 1 s to search for all
patterns, and a tenth of that to search for the parts and then for the patterns whose part is
there."""

_PATTERNS = {part: re.compile(pattern) for part, pattern in _CONTENTS.items()}


def sensitive_name(path: bytes) -> bool:
    """Say whether a path (relative, with slashes) is one under which secrets are kept."""
    name = path.rpartition(b"/")[2]
    if name.lower().endswith(tuple(ending.encode() for ending in _TEMPLATES)):
        return False
    return bool(_NAMES.fullmatch(name) or _FOLDERS.match(path))


def sensitive_content(content: bytes) -> bool:
    """Say whether a file's content holds a private key or a well-known kind of token."""
    return any(
        part in content and pattern.search(content) is not None
        for part, pattern in _PATTERNS.items()
    )
