"""Clones of one project whose stores are filled quickly, and what they hold, to be compared.

Runs are written in batches, as sealed runs are, with a snapshot, a handle, facts, a metric log
and a kept file each; so hundreds of them take a second.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import shutil
import signal
import sqlite3  # noqa: F401 - imported inside functions of gitexp, as pygit2 is
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, NoReturn

import pygit2  # noqa: F401

import gitexp
from gitexp.cli.main import guarded
from gitexp.cli.registry import COMMANDS
from gitexp.git import refs
from gitexp.git.commit import write_commit
from gitexp.git.read import list_refs, list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.records.facts import EndFact, Fact, RunFact, TombstoneFact, encode_fact
from gitexp.records.series import SeriesEncoder, log_digest
from gitexp.records.times import format_time
from gitexp.seal import create_handle
from gitexp.store.batch import Batch, file_path, write_batch
from gitexp.store.read import noted_run
from gitexp.store.shard import shard_name
from tests.support import Git
from tests.walker import walk_facts

BEGIN_NS = (time.time_ns() // 10**9 - 3600) * 10**9
"""When the first of the runs began: not long ago, so that their handles are made by a pull."""

BY = "Ada Lovelace <ada@example.org>"


def _load_everything() -> None:
    """Import what commands import when they run: forks then start at once, whoever they become."""
    for module in pkgutil.walk_packages(gitexp.__path__, "gitexp."):
        importlib.import_module(module.name)


_load_everything()


def make_clone(template: Path, folder: Path, url: str | None = None, shard: str = "") -> Git:
    """Copy a repository that has no runs, as a clone of a remote; name its shard if told to."""
    shutil.copytree(template, folder, symlinks=True)
    git = Git(folder)
    settings = {"user.name": "Ada Lovelace", "user.email": "ada@example.org", "gc.auto": "0"}
    if url is not None:
        settings |= {
            "remote.origin.url": url,
            "remote.origin.fetch": "+refs/heads/*:refs/remotes/origin/*",
        }
    if shard:
        settings["exprag.shard"] = shard
    with (folder / ".git" / "config").open("a", encoding="utf-8") as config:
        for name, value in settings.items():
            section, _, key = name.rpartition(".")
            head, _, subsection = section.partition(".")
            title = f'{head} "{subsection}"' if subsection else head
            config.write(f'[{title}]\n\t{key} = "{value}"\n')
    return git


def repository_of(git: Git) -> Repository:
    """Return gitexp's view of a clone."""
    return Repository.discover(git.path)


def write_runs(
    git: Git, numbers: Iterable[int], label: str = "run", log_bytes: int = 0
) -> list[str]:
    """Write runs into a clone's shard in one batch; return their ids in order.

    The code of each differs from that of all others, in ``train.py``. Its log ends with so many
    bytes that do not compress.
    """
    repository = repository_of(git)
    head = git("rev-parse", "HEAD")
    batch = Batch()
    ids = []
    for number in numbers:
        run_id = _snapshot(repository, head, f"{label} {number}")
        create_handle(repository, run_id)
        series = SeriesEncoder()
        for step in range(3):
            series.add(BEGIN_NS + number * 10**9, {"loss": number / (step + 1)}, None, step)
        series.flush()
        batch.facts[run_id] = [encode_fact(fact) for fact in _facts(label, number, series)]
        batch.metrics[run_id] = series.lines
        log = f"log of {label} {number}\n".encode() + os.urandom(log_bytes)
        batch.files[file_path(run_id, "run.log")] = log
        ids.append(run_id)
    write_batch(repository, shard_name(repository), batch)
    return ids


def _snapshot(repository: Repository, head: str, name: str) -> str:
    repo = repository.objects()
    builder = repo.TreeBuilder(repo[head].tree)
    builder.insert("train.py", repo.create_blob(f"print({name!r})\n".encode()), 0o100644)
    message = f"exprag: {name}\n\nExprag-Nonce: {repo.create_blob(name.encode())}\n"
    return write_commit(repository, message, str(builder.write()), [head])


def _facts(label: str, number: int, series: SeriesEncoder) -> tuple[Fact, ...]:
    begin = BEGIN_NS + number * 10**9
    return (
        RunFact(time=format_time(begin), by=BY, name=f"{label} {number}", parameters={"n": number}),
        EndFact(
            time=format_time(begin + 10**9 // 2),
            by=BY,
            status="finished",
            duration=0.5,
            calls=series.calls,
            metrics=series.summaries(),
            digest=log_digest(series.lines),
        ),
    )


Held = dict[str, frozenset[bytes]]
"""Run id -> its distinct fact lines."""


def facts_of(git: Git) -> Held:
    """Return all facts that a clone holds, by the reader that walks refs."""
    found = walk_facts(repository_of(git))
    return {run: frozenset(encode_fact(fact) for fact in facts) for run, facts in found.items()}


def lines_below(git: Git, prefix: str) -> dict[str, frozenset[bytes]]:
    """Return path -> distinct lines of all files of all shards below a ref prefix.

    A note's path is that of its run, whatever the fan-out.
    """
    repository = repository_of(git)
    found: dict[str, frozenset[bytes]] = {}
    for tip in list_refs(repository, prefix).values():
        entries = list_tree(repository, tip)
        blobs = read_blobs(repository, [entry.oid for entry in entries])
        for entry, (_, blob) in zip(entries, blobs, strict=True):
            name = noted_run(entry.path) or entry.path.decode()
            found[name] = found.get(name, frozenset()) | frozenset((blob or b"").splitlines())
    return found


def everything(git: Git) -> tuple[Held, dict[str, frozenset[bytes]], dict[str, frozenset[bytes]]]:
    """Return facts, metric logs and files of all shards of a clone."""
    return facts_of(git), lines_below(git, refs.METRICS), lines_below(git, refs.FILES)


def withdrawn(git: Git) -> set[str]:
    """Return the runs that have a tombstone."""
    facts = walk_facts(repository_of(git))
    return {run for run, held in facts.items() if any(isinstance(f, TombstoneFact) for f in held)}


def check_code(git: Git, runs: Iterable[str]) -> None:
    """Fail unless the snapshots of runs, and all that they hold, are there, reachable and whole."""
    wanted = sorted(runs)
    rows = git.raw("cat-file", "--batch-check", stdin="\n".join(wanted).encode() + b"\n")
    assert [row.split()[1:2] for row in rows.splitlines()] == [[b"commit"]] * len(wanted)
    reachable = set(git("rev-list", "--glob=refs/exprag/*").split())
    assert reachable >= set(wanted)
    git.raw("rev-list", "--objects", "--stdin", "--quiet", stdin="\n".join(wanted).encode())
    for run in wanted:
        assert git("show", f"{run}:train.py").startswith("print(")


def locks(git: Git) -> list[str]:
    """Return the lock files that are left in a git directory."""
    folder = git.path / ".git" if (git.path / ".git").is_dir() else git.path
    found = ((place, name) for place, _, names in os.walk(folder) for name in names)
    paths = (Path(place, name) for place, name in found if name.endswith(".lock"))
    return sorted(str(path.relative_to(folder)) for path in paths)


class Done(NamedTuple):
    """How a command ended in its child: exit code (None: it was killed), and what it said."""

    code: int | None
    said: str


def command(
    git: Git,
    *words: str,
    kill_after: float | None = None,
    before: Callable[[], object] | None = None,
) -> Done:
    """Run a gitexp command on a clone, in a forked child that has everything loaded.

    Args:
        git: Whose clone.
        words: The command and its arguments.
        kill_after: Seconds until the child and all its children get SIGKILL; None for never.
        before: Called in the child first.
    """
    with tempfile.TemporaryFile() as said:
        child = os.fork()
        if child == 0:
            _be_command(git.path, words, said.fileno(), before)
        with contextlib.suppress(OSError):  # the child does the same, whoever comes first
            os.setpgid(child, child)
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        said.seek(0)
        text = said.read().decode("utf-8", "replace")
    return Done(None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status), text)


def _be_command(
    folder: Path, words: tuple[str, ...], output: int, before: Callable[[], object] | None
) -> NoReturn:
    code = 99
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        os.dup2(output, 1)
        os.dup2(output, 2)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        if before is not None:
            before()
        code = guarded(list(words))
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def assert_sound(git: Git) -> None:
    """The repository is whole for git and for us, and no lock is left."""
    assert locks(git) == []
    assert git("fsck", "--strict", "--no-dangling") == ""
    if any(known.name == "verify" for known in COMMANDS):
        done = command(git, "verify")
        assert done.code == 0, done.said


def finishes(git: Git, *words: str) -> None:
    """A command succeeds."""
    done = command(git, *words)
    assert done.code == 0, f"{words}: {done.code}\n{done.said}"


def errors_of(said: str) -> list[str]:
    """Return the errors that a command told."""
    return [line for line in said.splitlines() if line.startswith("error: ")]
