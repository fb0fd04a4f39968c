"""Show the runs in progress and the state of the store.

--size also says what the store weighs and which paths weigh most; it walks all of the store,
which takes seconds when there are a hundred thousand runs.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, NamedTuple

from gitexp.cli.context import Context
from gitexp.cli.output import Output
from gitexp.errors import GitCommandError, UsageError
from gitexp.git import refs
from gitexp.git.measure import disk_bytes, heaviest_paths
from gitexp.git.read import any_ref
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.render.text import ago, number, safe, short, size
from gitexp.run import Run
from gitexp.share import Ahead, choose_remote, unshared
from gitexp.store.problem import Problem
from gitexp.store.shard import known_shard

HEAVIEST = 5
_PARTS = {
    "code": (refs.RUNS, refs.CODE),
    "facts": (refs.FACTS,),
    "metrics": (refs.METRICS,),
    "files": (refs.FILES,),
    "library": (refs.LIBRARY,),
}
_RUN_FOLDER = 42
"""Length of ``ab/cdef…/``, the folder of one run in the files shard."""


class _Unread(NamedTuple):
    problems: list[Problem]
    unknown: dict[str, int]


def configure(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--size", action="store_true", help="say what the store weighs (may take a while)"
    )


def run(args: Namespace, context: Context) -> int:
    """Print the state."""
    memory = context.open_memory()
    if context.output.json:
        context.output.data(as_json(memory, measure=args.size))
        return 0
    running = in_progress(memory)
    _print_store(context.output, memory, len(running))
    if running:
        context.output.line()
        _print_running(context.output, running)
    _print_ahead(context.output, ahead_of_remote(memory.repository))
    _print_damage(context.output, memory)
    if args.size:
        context.output.line()
        _print_size(context.output, weigh(context.repository))
    return 0


def as_json(memory: Memory, *, measure: bool) -> dict[str, Any]:
    """Return the state in the shape of ``--json``."""
    ahead = ahead_of_remote(memory.repository)
    state: dict[str, Any] = {
        "shard": known_shard(memory.repository),
        "runs": memory.count(),
        "running": [run.to_dict() for run in in_progress(memory)],
        "unshared": ahead._asdict() if ahead is not None else None,
        "problems": [problem._asdict() for problem in found_problems(memory)],
        "newer_lines": newer_lines(memory),
        "damaged_journals": damaged_journals(memory.repository),
    }
    return state | ({"size": weigh(memory.repository)} if measure else {})


def found_problems(memory: Memory) -> list[Problem]:
    """Return what could not be read of the store, and the handles that lead nowhere."""
    return [*memory.problems, *_library(memory).problems, *memory.lost_handles()]


def newer_lines(memory: Memory) -> dict[str, int]:
    """Return the lines that a newer gitexp wrote: kind and schema -> how many."""
    return dict(Counter(memory.unknown) + Counter(_library(memory).unknown))


def _library(memory: Memory) -> _Unread:
    """Return what of the library could not be read; where there is none it is not opened."""
    if not any_ref(memory.repository, refs.LIBRARY):
        return _Unread([], {})
    from gitexp.library.library import Library

    with closing(Library(memory.repository)) as library:
        return _Unread(library.problems, library.unknown)


def in_progress(memory: Memory) -> list[Run]:
    """Return the runs that have not ended, the latest first."""
    return memory.runs('status == "running"')


def ahead_of_remote(repository: Repository) -> Ahead | None:
    """Return what the usual remote has not got, as it was last seen; None where there is none."""
    try:
        return unshared(repository, choose_remote(repository))
    except (UsageError, GitCommandError):  # damage is listed as a problem
        return None


def damaged_journals(repository: Repository) -> list[dict[str, Any]]:
    """Return run, path and bytes of the journals that were set aside as damaged."""
    paths = sorted((repository.home / "damaged").glob("*"))
    return [
        {"run": path.name, "path": str(path), "bytes": path.stat().st_size}
        for path in paths
        if refs.is_run_id(path.name)
    ]


def weigh(repository: Repository) -> dict[str, Any]:
    """Return the bytes on disk of each part of the store, and its heaviest paths.

    What branches, tags or remote-tracking branches hold too is not counted. Paths of files kept
    with runs are added up over all runs.

    Raises:
        GitCommandError: An object of the store is missing or corrupt.
    """
    parts = {name: disk_bytes(repository, *prefixes) for name, prefixes in _PARTS.items()}
    paths: Counter[tuple[str, bytes]] = Counter()
    for path, count in heaviest_paths(repository, *_PARTS["code"]).items():
        paths["code", path] += count
    for path, count in heaviest_paths(repository, refs.FILES).items():
        paths["files", path[_RUN_FOLDER:] if path[2:3] == b"/" else path] += count
    return {
        **parts,
        "total": sum(parts.values()),
        "paths": [
            {"part": part, "path": path.decode("utf-8", "backslashreplace"), "bytes": count}
            for (part, path), count in paths.most_common(HEAVIEST)
        ],
    }


def _print_store(output: Output, memory: Memory, running: int) -> None:
    output.line(f"runs   {memory.count()} ({running} in progress)")
    output.line(f"shard  {known_shard(memory.repository) or '(named at the first write)'}")


def _print_running(output: Output, running: list[Run]) -> None:
    now = datetime.now(UTC)
    header = ["running", "name", "host", "process", "since", "last sign", "calls", "last values"]
    rows = [
        [
            short(run.id),
            safe(run.name),
            safe(run.host or ""),
            number(run.pid),
            ago(run.started, now),
            ago(run.ended or run.started, now),
            str(run.calls),
            _last_values(run),
        ]
        for run in running
    ]
    output.aligned(header, rows)


def _last_values(run: Run) -> str:
    values = [f"{path.rpartition('.')[2]}={number(run.value(path))}" for path in run.metrics]
    return safe(" ".join(values[:3]))


def _print_ahead(output: Output, ahead: Ahead | None) -> None:
    if ahead is None:
        return
    count = len(ahead.runs)
    if count:
        runs = f"{count} run{'' if count == 1 else 's'}"
        output.line(f"ahead  news of {runs} not on {ahead.remote}; 'git exp push' shares it")
    if ahead.library:
        files = f"{ahead.library} file{'' if ahead.library == 1 else 's'}"
        output.line(f"ahead  {files} of the library not on {ahead.remote}; 'git exp push' shares")
    if ahead.others:
        others = f"{len(ahead.others)} shard{'' if len(ahead.others) == 1 else 's'} of others"
        output.line(f"       {others} not on {ahead.remote} as here; 'git exp push --all' relays")


def _print_damage(output: Output, memory: Memory) -> None:
    journals = damaged_journals(memory.repository)
    problems = found_problems(memory)
    newer = newer_lines(memory)
    if problems or newer or journals:
        output.line()
    for problem in problems:
        output.line(f"problem: {problem}.")
    if problems:
        output.line("    Look at the lines of a run with 'git notes --ref=REF show RUN', and")
        output.line("    with 'git fsck' whether objects are damaged; the rest stays readable.")
    for kind, count in newer.items():
        output.line(f"newer: {count} of kind {kind}, kept as they are; upgrade gitexp to see them.")
    for journal in journals:
        output.line(f"damaged journal: {journal['path']} ({size(journal['bytes'])})")
    if journals:
        output.line("    All that was readable is in their runs; delete them when you have looked.")


def _print_size(output: Output, weights: dict[str, Any]) -> None:
    parts = ", ".join(f"{name} {size(weights[name])}" for name in _PARTS)
    output.line(f"size   {size(weights['total'])} ({parts})")
    for entry in weights["paths"]:
        output.line(f"       {size(entry['bytes']):>10}  {entry['part']}: {entry['path']}")
