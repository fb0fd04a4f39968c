"""The exact code of a run again, with new seeds: what measures noise.

A replicate has the run's snapshot as its code, on the run's own base commit, and its command, its
parameters and its inputs; only seeds differ. A seed is replaced where it is a word of the command
or a parameter; the program is also told in ``GITEXP_SEED``. Whether what was recorded is a
replicate by definition is looked at afterwards, and said where it is not.
"""

from __future__ import annotations

import itertools
import re
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PurePosixPath
from typing import Any

from gitexp.configuration import digest_of, is_seed, seed_of, setup_digest, without_seeds
from gitexp.errors import GitexpError, MissingObjectError, UsageError
from gitexp.git.history import EMPTY_TREE, parents_of
from gitexp.git.read import changed_entries, resolve_tree
from gitexp.git.repository import Repository
from gitexp.git.status import display_path
from gitexp.memory import Memory
from gitexp.ranking import run_of
from gitexp.records.nested import flatten
from gitexp.research.goal import GoalMetric, goal_metric
from gitexp.research.worktree import Worktree, submodules_of
from gitexp.run import Run

SEED = "GITEXP_SEED"
"""The variable that tells a program its seed."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")
_NAMED = re.compile(r"(?P<name>.*), seed -?[0-9]+", re.DOTALL)
_MAX_SEED = 2**32
"""Seeds below this are taken by all common random number generators."""


@dataclass(frozen=True)
class Plan:
    """What is to be run again.

    Attributes:
        run: The run.
        tree: Id of its code.
        base: Id of the commit that it was made on.
        folder: Where its command ran, relative to the top of the work tree.
        command: To be run, before seeds are replaced.
        inputs: Paths of its data, as given.
        seeds: One for each replicate.
        left_out: Paths that its snapshot, or a replicate's, does not hold though they were there.
    """

    run: Run
    tree: str
    base: str
    folder: str
    command: tuple[str, ...]
    inputs: tuple[str, ...]
    seeds: tuple[int, ...]
    left_out: frozenset[str]

    @property
    def has_seed(self) -> bool:
        """Whether a word of the command is a seed."""
        return self.command_with(0) != self.command_with(1)

    def command_with(self, seed: int) -> tuple[str, ...]:
        """Return the command of a replicate."""
        return with_seed(self.command, seed)

    def name(self, seed: int) -> str:
        """Return the name of a replicate: the run's, with the seed."""
        words = self.run.name.split(" ")
        if with_seed(words, 0) != with_seed(words, 1):
            return " ".join(with_seed(words, seed))
        found = _NAMED.fullmatch(self.run.name)
        return f"{found['name'] if found else self.run.name}, seed {seed}"

    def about(self, seed: int) -> dict[str, Any]:
        """Return what is said of a replicate, as arguments of `gitexp.Experiment`.

        Its parent is the run's own, so that both have the same base. Tags are not taken over:
        they may be names by which the run is found.
        """
        return {
            "params": seeded(self.run.parameters, seed),
            "description": self.run.description,
            "hypothesis": self.run.hypothesis,
            "family": self.run.family,
            "seed": seed,
            "inputs": self.inputs,
            "parent": self.run.parent,
        }


def plan_replicates(
    memory: Memory,
    run: Run,
    count: int,
    *,
    seeds: Sequence[int] | None = None,
    command: Sequence[str] = (),
) -> Plan:
    """Return how a run is to be run again, or say why it cannot be.

    Args:
        memory: That has the run.
        run: Which.
        count: How many times.
        seeds: Instead of the next ones that no replicate has.
        command: Instead of the run's own.

    Raises:
        UsageError: There is no command, or a seed is given twice.
        MissingObjectError: Its code is not here.
        GitexpError: It is in progress, or was recorded without its code or base.
    """
    if run.status == "running":
        raise GitexpError(f"Run {run.id[:12]} is in progress.", "Wait until it has ended.")
    words = _require_command(run, tuple(command))
    tree, base = _require_code(memory.repository, run)
    if seeds is not None and len(set(seeds)) < len(seeds):
        raise UsageError("A seed is given twice.", "Runs of one seed are no replicates.")
    known = [run, *replicates(memory, run)]
    if seeds is None:
        seeds = _next_seeds(known, run, count)
    inputs = tuple(item.path for item in run.inputs)
    states = (each.git for each in known if each.git is not None)
    left_out = frozenset(item.path for state in states for item in state.left_out)
    return Plan(run, tree, base, run.cwd or ".", words, inputs, tuple(seeds), left_out)


def _require_command(run: Run, given: tuple[str, ...]) -> tuple[str, ...]:
    command = given or run.command
    if not command:
        raise UsageError(
            f"It is not known what run {run.id[:12]} ran.",
            f"Say it: git exp replicate {run.id[:12]} -- COMMAND",
        )
    if any("ipykernel" in word for word in command):
        raise UsageError(
            f"Run {run.id[:12]} was made in a notebook, which cannot be run as a command.",
            "Say what to run instead, after '--'.",
        )
    return command


def _require_code(repository: Repository, run: Run) -> tuple[str, str]:
    """Return the run's tree and its base commit."""
    tree = resolve_tree(repository, run.id)
    if tree is None:
        raise MissingObjectError(
            f"The code of run {run.id[:12]} is not in this repository.",
            "Bring it with 'git exp pull'.",
        )
    parents = parents_of(repository, run.id)
    if tree == EMPTY_TREE:
        raise GitexpError(f"Run {run.id[:12]} was recorded without its code.")
    if not parents:
        raise GitexpError(
            f"Run {run.id[:12]} was made before the first commit, so there is no commit to run "
            f"it on.",
            "Check its code out, commit it, and run it with 'git exp run'.",
        )
    if modules := submodules_of(repository, tree):
        raise GitexpError(
            f"The code of run {run.id[:12]} has submodules ({_listed(modules)}), which a new "
            f"worktree does not have.",
            "Check the run out with --worktree, fill them, and use 'git exp run' there.",
        )
    return tree, parents[0]


def replicates(memory: Memory, run: Run) -> list[Run]:
    """Return the replicates of a run, itself included, in the order of their starts."""
    found = memory.search(among=memory.replicates(run), sort="started")
    return [run_of(each, memory) for each in found]


def next_seed(memory: Memory, run: Run) -> int:
    """Return the next seed that no replicate of a run has.

    Raises:
        MissingObjectError: Its code is not here.
    """
    return _next_seeds([run, *replicates(memory, run)], run, 1)[0]


def _next_seeds(known: Sequence[Run], run: Run, count: int) -> list[int]:
    return list(itertools.islice(_unused(_used_seeds(known), run.seed), count))


def _used_seeds(runs: Sequence[Run]) -> set[int]:
    texts = " ".join(seed_of(run) or "" for run in runs)
    return {int(digits) for digits in re.findall(r"-?\d{1,19}", texts)}


def _unused(used: set[int], first: int | None) -> Iterator[int]:
    """Yield the integers after a seed that nobody used."""
    start = max(used, default=0) if first is None else first
    start = start + 1 if 0 <= start < _MAX_SEED - len(used) - 10**6 else 1
    return (seed for seed in itertools.count(start) if seed not in used)


# Where a seed stands


def with_seed(command: Sequence[str], seed: int) -> tuple[str, ...]:
    """Return a command with another seed in each of its options ``--seed N``, ``seed=N``."""
    words: list[str] = []
    is_value = False
    for word in command:
        name, equals, value = word.partition("=")
        if is_value and _INTEGER.fullmatch(word):
            words.append(str(seed))
        elif is_seed(name) and equals and _INTEGER.fullmatch(value):
            words.append(f"{name}={seed}")
        else:
            words.append(word)
        is_value = not is_value and is_seed(name) and not equals and word.startswith("-")
    return tuple(words)


def seeded(parameters: Mapping[str, Any], seed: int, prefix: str = "") -> dict[str, Any]:
    """Return parameters with another seed in each that is one."""
    result: dict[str, Any] = {}
    for key, value in parameters.items():
        path = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping):
            result[key] = seeded(value, seed, path)
        elif is_seed(path) and isinstance(value, int) and not isinstance(value, bool):
            result[key] = seed
        elif is_seed(path) and isinstance(value, str) and _INTEGER.fullmatch(value):
            result[key] = str(seed)
        else:
            result[key] = value
    return result


# In the worktree


def folder_in(worktree: Worktree, plan: Plan) -> Path:
    """Return the folder of a worktree that the command ran in; make it where it is ignored.

    Raises:
        GitexpError: It is outside, or a file is in its place.
    """
    parts = PurePosixPath(plan.folder).parts
    place = worktree.path.joinpath(*parts)
    outside = ".." in parts or ".git" in parts
    if outside or not place.resolve().is_relative_to(worktree.path):
        raise GitexpError(f"Run {plan.run.id[:12]} ran in {plan.folder!r}, outside of its code.")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GitexpError(
            f"Run {plan.run.id[:12]} ran in {plan.folder!r}, which is no folder: {error.strerror}."
        ) from error
    return place


def require_inputs(folder: Path, plan: Plan) -> None:
    """Check that the run's data is there.

    Raises:
        GitexpError: Some is not: git does not have it.
    """
    missing = [path for path in plan.inputs if not (folder / path).exists()]
    if missing:
        raise GitexpError(
            f"The data of run {plan.run.id[:12]} is not part of its code: {_listed(missing)}.",
            "Make it available with --link PATH, or with the setting exprag.link.",
        )


def require_own_code(worktree: Worktree, plan: Plan) -> None:
    """Check that the command does not name code by its place in the user's work tree.

    Raises:
        GitexpError: It does; then the code as it is there now would run.
    """
    if worktree.source is None:
        return
    for word in plan.command:
        path = Path(word.rpartition("=")[2])
        if path.is_absolute() and path.is_relative_to(worktree.source):
            own = worktree.path / path.relative_to(worktree.source)
            if own.is_file() and not own.is_symlink():
                raise GitexpError(
                    f"The command names {path}, so the code that is there now would run, and not "
                    f"that of run {plan.run.id[:12]}.",
                    "Say the command with a relative path, after '--'.",
                )


# What came of it


@dataclass(frozen=True)
class Spread:
    """All replicates that there are, with their values of the goal metric.

    Attributes:
        goal: None where no run has a metric.
        runs: In the order of their starts.
        values: Run id -> value, finite ones only.
    """

    goal: GoalMetric | None
    runs: tuple[Run, ...]
    values: Mapping[str, float]

    @property
    def mean(self) -> float | None:
        """Of the values; None without one."""
        return statistics.fmean(self.values.values()) if self.values else None

    @property
    def sd(self) -> float | None:
        """Standard deviation of the sample; None of fewer than two values."""
        return statistics.stdev(self.values.values()) if len(self.values) > 1 else None


def spread_of(memory: Memory, run: Run) -> Spread:
    """Return the replicates of a run, itself included, with their values."""
    runs = tuple(replicates(memory, run))
    try:
        goal = goal_metric(memory)
    except GitexpError:
        return Spread(None, runs, {})
    found = {each.id: each.value(goal.metric, goal.by, lower=goal.lower) for each in runs}
    return Spread(goal, runs, {r: v for r, v in found.items() if v is not None and isfinite(v)})


def differences(repository: Repository, plan: Plan, run: Run) -> list[str]:
    """Return in what a run is no replicate, a few words each; nothing where it is one."""
    found = []
    tree = resolve_tree(repository, run.id)
    if tree is not None and tree != plan.tree:
        paths = [display_path(p) for p in changed_entries(repository, plan.tree, tree)]
        found.append(f"the code ({_listed(sorted(paths))})")
    if setup_digest(run) == setup_digest(plan.run):
        return found
    return found + list(_different_setup(plan.run, run))


def _different_setup(old: Run, new: Run) -> Iterator[str]:
    before, after = _settings(old.parameters), _settings(new.parameters)
    if digest_of(before, ()) != digest_of(after, ()):
        names = [n for n in before.keys() | after.keys() if before.get(n) != after.get(n)]
        yield f"parameters ({_listed(sorted(names))})"
    if list(without_seeds(old.command)) != list(without_seeds(new.command)):
        yield "the command"
    if {item.digest for item in old.inputs} != {item.digest for item in new.inputs}:
        yield "inputs"


def _settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {path: v for path, v in flatten(parameters).items() if not is_seed(path)}


def _listed(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
