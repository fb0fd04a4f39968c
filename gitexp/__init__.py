"""gitexp: your git repository remembers every experiment.

`Experiment` records a run from a training script; `open` reads what the repository remembers;
`Loop` runs experiments by itself.
Names are loaded when they are first used, so that importing the package costs nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from gitexp.agents.memory import AgentMemory
    from gitexp.errors import GitexpError, GitexpWarning
    from gitexp.experiment import Experiment
    from gitexp.loop.cycle import Loop
    from gitexp.loop.plan import Budgets, LoopPlan
    from gitexp.memory import Memory
    from gitexp.run import Run

    open = AgentMemory.open  # noqa: A001 - the public name, as in other libraries of stores

__version__ = "0.1.0"
__all__ = [
    "AgentMemory",
    "Budgets",
    "Experiment",
    "GitexpError",
    "GitexpWarning",
    "Loop",
    "LoopPlan",
    "Memory",
    "Run",
    "__version__",
    "open",
]

_HOMES = {
    "AgentMemory": "gitexp.agents.memory",
    "Budgets": "gitexp.loop.plan",
    "Loop": "gitexp.loop.cycle",
    "LoopPlan": "gitexp.loop.plan",
    "Experiment": "gitexp.experiment",
    "GitexpError": "gitexp.errors",
    "GitexpWarning": "gitexp.errors",
    "Memory": "gitexp.memory",
    "Run": "gitexp.run",
}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "open":
        return importlib.import_module("gitexp.agents.memory").AgentMemory.open
    if name not in _HOMES:
        raise AttributeError(f"module 'gitexp' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
