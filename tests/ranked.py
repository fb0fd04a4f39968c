"""What tests of rankings share: methods of one's own, and runs that try them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import gitexp
from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.memory import Memory
from gitexp.methods.search import Methods
from gitexp.records.library import Knob, Method, Paper, Reference

TIME, BY = "2026-01-01T00:00:00.000000Z", "Ada <ada@example.org>"


def method(slug: str, family: str = "activation", **more: Any) -> Method:
    """Return a method whose signature is its slug with ``_``."""
    given = {
        "name": slug.upper(),
        "summary": f"{slug} is for tests.",
        "signature": ((slug.replace("-", "_"),),),
        **more,
    }
    return Method(time=TIME, by=BY, slug=slug, family=family, **given)


METHODS = (
    method("gelu-x"),
    method("swish-x", supersedes=("gelu-x",), references=(Reference("Swish", paper="arxiv-1"),)),
    method("sine-x"),
    method("solver-x", "optimizer", knobs=(Knob("rate", "SOLVER_RATE"),)),
    method("compass-x", "position"),
)


def library(*lines: Any) -> Library:
    """Return the library of the current folder with the methods above in it."""
    found = Library(Repository.discover())
    found.add([*METHODS, *lines])
    return found


def opened(found: Library) -> Methods:
    """Return the methods ranked for the runs that are there now."""
    return Methods(Memory.open(), found)


def paper(number: int = 1) -> Paper:
    """Return a paper."""
    return Paper(
        time=TIME,
        by=BY,
        id=f"arxiv-{number}",
        source="arxiv",
        title=f"Paper {number}",
        digest="0" * 32,
        characters=100,
    )


def tried(
    words: str, value: float | None, code: str = "gelu_x(x)", *, fails: bool = False, **more: Any
) -> str:
    """Record a run of some code and return its id; a value of None leaves it without one."""
    Path("train.py").write_text(f"SOLVER_RATE = 1\nprint({code})\n")
    experiment = gitexp.Experiment(words, description=words, **more)
    with contextlib.suppress(MemoryError), experiment:
        if value is not None:
            experiment.track({"val_loss": value})
        if fails:
            _run_out_of_memory()
    return experiment.run_id


def _run_out_of_memory() -> None:
    raise MemoryError("too large")
