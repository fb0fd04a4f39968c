"""Every ref name of the project, once (docs/format.md, "Refs")."""

from __future__ import annotations

import re

RUNS = "refs/exprag/runs/"
FACTS = "refs/notes/exprag/"
METRICS = "refs/notes/exprag-metrics/"
FILES = "refs/exprag/files/"
CODE = "refs/exprag/code/"
LIBRARY = "refs/exprag/library/"
REMOTES = "refs/exprag/remotes/"

_RUN_ID = re.compile(r"[0-9a-f]{40}")
_SHARD = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")


def run_ref(run_id: str) -> str:
    """Return the handle of a run: the ref that keeps its snapshot alive."""
    return RUNS + run_id


def is_run_id(text: str) -> bool:
    """Say whether a text is a whole run id (40 lower-case hexadecimal digits)."""
    return _RUN_ID.fullmatch(text) is not None


def is_shard_name(text: str) -> bool:
    """Say whether a text can be a shard name: short, lower case, safe in a ref and a path."""
    return (
        _SHARD.fullmatch(text) is not None
        and ".." not in text
        and not text.endswith((".", ".lock"))
    )
