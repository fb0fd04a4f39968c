"""Two clones that share runs through a bare folder, and questions that tests ask of all three."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gitexp.cli.main import guarded
from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.records.facts import RunFact, encode_fact
from gitexp.records.times import format_time
from gitexp.share import Pulled, Pushed, pull, push
from gitexp.store.batch import Batch, write_batch
from gitexp.store.shard import shard_name
from tests.clones import make_clone
from tests.remotes import bare_repository
from tests.support import Git

TIME = format_time(time.time_ns() - 3600 * 10**9)
BY = "Ada Lovelace <ada@example.org>"
PREFIXES = (refs.CODE, refs.METRICS, refs.FILES, refs.FACTS)


class Pair:
    """A bare folder that has branch main, and two clones of it with the shards ada and bob."""

    def __init__(self, template: Path, folder: Path) -> None:
        self.remote = bare_repository(folder / "hub.git")
        url = str(self.remote.path)
        self.ada = make_clone(template, folder / "ada", url, "ada")
        self.bob = make_clone(template, folder / "bob", url, "bob")
        self.ada("push", "--quiet", "origin", "main")


def repository_of(git: Git) -> Repository:
    """Return gitexp's view of a clone, with its settings as they are now."""
    repository = Repository.discover(git.path)
    vars(repository).pop("settings", None)
    return repository


def send(git: Git, *words: Any, **options: Any) -> Pushed:
    return push(repository_of(git), *words, **options)


def take(git: Git, remote: str | None = None) -> Pulled:
    return pull(repository_of(git), remote)


def refs_of(git: Git, *prefixes: str) -> dict[str, str]:
    """Return ref -> object id, of all refs by default."""
    lines = git("for-each-ref", "--format=%(refname) %(objectname)", *prefixes).splitlines()
    return {name: oid for name, _, oid in (line.partition(" ") for line in lines)}


def objects_of(git: Git) -> set[str]:
    """Return the ids of all objects that a repository holds, reachable or not."""
    words = ("cat-file", "--batch-all-objects", "--batch-check=%(objectname)")
    return set(git(*words).splitlines())


def commit_run(
    git: Git, name: str, parent: str | None = None, files: dict[str, str] | None = None
) -> str:
    """Write a run whose code is a parent's with some files changed; return its id.

    It has a handle and one fact, in the clone's own shard.
    """
    start = git("rev-parse", parent or "HEAD")
    index = git.path / ".git" / f"index-{name.replace(' ', '-')}"
    git("read-tree", start, GIT_INDEX_FILE=str(index))
    for path, content in (files or {"train.py": f"print({name!r})\n"}).items():
        blob = git.raw("hash-object", "-w", "--stdin", stdin=content.encode()).decode().strip()
        entry = f"100644,{blob},{path}"
        git("update-index", "--add", "--cacheinfo", entry, GIT_INDEX_FILE=str(index))
    tree = git("write-tree", GIT_INDEX_FILE=str(index))
    index.unlink()
    run = git("commit-tree", tree, "-p", start, "-m", f"exprag: {name}")
    git("update-ref", refs.run_ref(run), run)
    add_facts(git, run, RunFact(time=TIME, by=BY, name=name))
    return run


def add_facts(git: Git, run: str, *facts: Any, shard: str | None = None) -> None:
    """Add facts to a shard of a clone, its own by default."""
    repository = repository_of(git)
    lines = {run: [encode_fact(fact) for fact in facts]}
    write_batch(repository, shard or shard_name(repository), Batch(facts=lines))


def call(git: Git, monkeypatch: Any, words: Sequence[str]) -> int:
    """Run a command line in a clone, in this process; return its exit code."""
    monkeypatch.chdir(git.path)
    vars(Repository.discover()).pop("settings", None)
    return guarded(list(words))
