"""Runs that put methods to work, for tests of credits, chains and commands."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from gitexp.experiment import Experiment
from gitexp.git.repository import Repository
from gitexp.library.library import Library, new_id
from gitexp.memory import Memory
from gitexp.methods import attribution
from gitexp.methods.attribution import Credit
from gitexp.records.library import Proposal, Retrieval, Shown
from gitexp.research.cache import open_cache
from tests.support import Git

PLAIN = "def mlp(x):\n    return down(gelu(up(x)))\n"
GATED = "def mlp(x):\n    return down(silu(gate_proj(x)) * up(x))\n"
CAPPED = "def head(x):\n    logits = softcap * tanh(out(x) / softcap)\n    return logits\n"


def record(
    repo: Git, name: str, code: str | None = None, *, loss: float = 1.0, **known: Any
) -> str:
    """Record a run, of other code where that is given; return its id."""
    if code is not None:
        repo.write("train.py", code)
    with Experiment(name, **known) as experiment:
        experiment.track({"loss": loss})
    return experiment.run_id


def commit(repo: Git, message: str = "kept") -> None:
    repo("commit", "--quiet", "--all", "--allow-empty", "-m", message)


def propose(*cites: str, **known: Any) -> Proposal:
    """Add a proposal to the library and return it."""
    library = Library(Repository.discover())
    time, by = library.stamp()
    made = Proposal(time=time, by=by, id=new_id(), title="try it", cites=cites, **known)
    library.add([made])
    return made


def look_up(query: str, shown: Sequence[str], **known: Any) -> Retrieval:
    """Add a retrieval to the library and return it."""
    library = Library(Repository.discover())
    time, by = library.stamp()
    places = tuple(Shown(slug, 1.0 / place) for place, slug in enumerate(shown, 1))
    made = Retrieval(
        time=time, by=by, id=new_id(), query=query, ranker="gitexp 1", shown=places, **known
    )
    library.add([made])
    return made


@contextlib.contextmanager
def opened() -> Iterator[tuple[Memory, Library, Any]]:
    """Yield memory, library and cache of the repository of the current folder."""
    repository = Repository.discover()
    with contextlib.closing(open_cache(repository)) as cache:
        yield Memory.open(), Library(repository), cache


def credited() -> dict[str, tuple[Credit, ...]]:
    with opened() as (memory, library, cache):
        return attribution.credits(memory, library, cache)


def slugs(run: str) -> dict[str, str]:
    """Return slug -> how, of a run's credits."""
    return {credit.method: credit.how for credit in credited().get(run, ())}
