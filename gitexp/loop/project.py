"""What a project says of itself: so that the loop works on an autoresearch project as it is.

Such a project has ``program.md``, instructions for an agent, and ``train.py``, the one file that
may change; ``prepare.py``, with data and evaluation, must not, nor ``evaluate.py``. A run of it
prints a block of results at its end, in which ``val_bpb`` counts, lower is better. What it keeps by
itself (``results.tsv``, a branch for each session) the loop does in its own way.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from gitexp.git.read import list_tree, resolve
from gitexp.git.repository import Repository

PROGRAM = "program.md"
TRAIN = "train.py"
PROTECTED = ("prepare.py", "evaluate.py")
METRIC = "val_bpb"
_VENV = ".venv"
_UV = frozenset(("uv.lock", "pyproject.toml"))


@dataclass(frozen=True)
class Suggested:
    """What a plan for a project may begin with; see `gitexp.loop.plan.LoopPlan`."""

    command: tuple[str, ...]
    metric: str
    lower: bool
    program: str
    allow: tuple[str, ...]
    protect: tuple[str, ...]
    link: tuple[str, ...]


def detect(repository: Repository, path: str | None = None) -> Suggested | None:
    """Return what fits a project of autoresearch's shape; None where it is none.

    Args:
        repository: Whose HEAD is looked at.
        path: Where programs are looked for, as in ``PATH``.
    """
    head = resolve(repository, "HEAD")
    if head is None:
        return None
    names = {os.fsdecode(entry.path) for entry in list_tree(repository, head)}
    if not {PROGRAM, TRAIN} <= names:
        return None
    has_uv = bool(_UV & names) and shutil.which("uv", path=path) is not None
    return Suggested(
        command=("uv", "run", TRAIN) if has_uv else (_python(path), TRAIN),
        metric=METRIC,
        lower=True,
        program=PROGRAM,
        allow=(TRAIN,),
        protect=tuple(name for name in PROTECTED if name in names),
        link=(_VENV,) if has_uv and _is_left_out(repository, names) else (),
    )


def _python(path: str | None) -> str:
    return "python" if shutil.which("python", path=path) else "python3"


def _is_left_out(repository: Repository, names: AbstractSet[str]) -> bool:
    """Say whether the project has a virtual environment that git does not have."""
    tracked = any(name.startswith(f"{_VENV}/") for name in names)
    return not tracked and repository.work_tree is not None and (repository.top / _VENV).is_dir()
