"""A few live sessions: ``python -m tests.eval.memory_live --sessions N --runs R``.

The example task itself, with 400 steps as in the table: each session is a repository of its own, in
which `gitexp.loop.Loop` works with a simulated agent (`tests.eval.memory_proposer`) that reads the
loop's own prompt: a change failed where the brief says so, where it gave no value, or where it was
not run; methods of the pack are suggested where a setting of the grid stands for them. *Without* is
the same agent without any of this, keeping what is lower, on the same task. True values are those
of the table. So few sessions show that it works and what it costs, not that it helps.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.loop.cycle import Loop
from gitexp.loop.plan import Budgets, LoopPlan
from gitexp.memory import Memory
from gitexp.providers.port import Reply, Request, Tokens
from gitexp.research.overview.brief import estimated_tokens
from tests.eval.memory_arms import KeepIfLower
from tests.eval.memory_benchmark import measured
from tests.eval.memory_proposer import Proposer, Shown
from tests.eval.memory_session import REPLY_TOKENS, Session, words
from tests.eval.memory_worlds import Change, Configuration, Setting, Table
from tests.eval.oracle import EXAMPLE, STEPS

CODE = "train.py"
COMMAND = (sys.executable, CODE)
EVALUATE = (sys.executable, "evaluate.py")
_FAILED = re.compile(r"(?:Failed for good|Worse than what)[^\n]*\n((?:  [^\n]*\n)+)")
_REFUSED = re.compile(r'^- ("(?:[^"\\]|\\.)*") (?:gave no value|was not run)', re.MULTILINE)
_METHOD = re.compile(r"^  ([a-z0-9-]+): ", re.MULTILINE)
_METHODS = re.compile(r"Methods to try[^\n]*\n((?: {2,}[^\n]*\n)+)")
_VALUE = re.compile(r"^val_bpb:\s+([\d.]+)", re.MULTILINE)


class LiveTable(Table):
    """The settings of the table, with runs that are made."""

    def __init__(self, seed: int, folder: Path) -> None:
        super().__init__(measured(), seed)
        self._folder = folder

    def value(self, configuration: Configuration, nth: int) -> float | None:  # noqa: ARG002
        place = self._folder / CODE
        start = place.read_text("utf-8")
        place.write_text(edited(start, self.knob_texts((), configuration)), "utf-8")
        try:
            return _run(self._folder)
        finally:
            place.write_text(start, "utf-8")

    def knob_texts(self, old: Configuration, new: Configuration) -> list[tuple[str, str]]:
        """Return the lines of the program that differ between two configurations."""
        before, after = dict(old), dict(new)
        found = []
        for name, knob in self.knobs.items():
            one, two = before.get(name, knob.default), after.get(name, knob.default)
            if one != two:
                found.append((_line(name, one), _line(name, two)))
        return found


def _line(name: str, value: object) -> str:
    shown = f'"{value}"' if isinstance(value, str) else repr(value)
    return f"{name.upper()} = {shown}"


def edited(text: str, pairs: list[tuple[str, str]]) -> str:
    """Return a program with some lines replaced."""
    for old, new in pairs:
        text = re.sub(rf"^{re.escape(old)}$", new, text, count=1, flags=re.MULTILINE)
    return text


def _environment() -> dict[str, str]:
    own = {"AUTORESEARCH_STEPS": str(STEPS), "OPENBLAS_NUM_THREADS": "1"}
    return {**os.environ, **own}


def _run(folder: Path) -> float | None:
    for command in (COMMAND, EVALUATE):
        done = subprocess.run(
            command, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            return None
    found = _VALUE.search(done.stdout)
    return None if found is None else float(found[1])


class SimulatedProvider:
    """A simulated agent as a provider of the loop."""

    name = "script"
    model = "simulated"
    keys: tuple[str, ...] = ()

    def __init__(self, world: LiveTable, seed: int) -> None:
        self._world = world
        self._agent = Proposer(world, seed)
        self._titles: dict[str, Change] = {}
        self.tokens = 0

    def ask(self, request: Request) -> Reply:
        champion = self._champion(request.folder)
        change = self._agent.propose(champion, self._read(request.prompt))
        self._agent.accept(change)
        title = words(self._world, champion, change)
        self._titles[title] = change
        prompt = estimated_tokens(request.system) + estimated_tokens(request.prompt)
        self.tokens += prompt + REPLY_TOKENS
        text = "\n".join([f"title: {title}", "hypothesis:", "cites:", "predicted:", ""])
        pairs = self._world.knob_texts(
            champion, tuple(sorted({**dict(champion), **dict(change)}.items()))
        )
        edits = "".join(
            f"FILE: {CODE}\n<<<<<<< SEARCH\n{old}\n=======\n{new}\n>>>>>>> REPLACE\n"
            for old, new in pairs
        )
        return Reply(f"{text}\n{edits}", Tokens(prompt, REPLY_TOKENS), self.model, 0.0)

    def _champion(self, folder: Path) -> Configuration:
        return configuration_of(self._world, (folder / CODE).read_text("utf-8"))

    def _read(self, prompt: str) -> Shown:
        said = "".join(match[1] for match in _FAILED.finditer(prompt))
        said += " ".join(match[1] for match in _REFUSED.finditer(prompt))
        failed = {change for title, change in self._titles.items() if f'"{title}' in said}
        methods = "".join(match[1] for match in _METHODS.finditer(prompt))
        return Shown(prompt, frozenset(failed), tuple(self._settings(methods)))

    def _settings(self, methods: str) -> Iterator[Setting]:
        for slug in _METHOD.findall(methods):
            for name, knob in self._world.knobs.items():
                for value in knob.values:
                    if isinstance(value, str) and slug in (value, f"{value}-squared"):
                        yield name, value


def configuration_of(world: Table, code: str) -> Configuration:
    """Return the configuration that a program is."""
    found = []
    for name, knob in world.knobs.items():
        lines = set(code.splitlines())
        values = [value for value in knob.values if _line(name, value) in lines]
        if values and values[0] != knob.default:
            found.append((name, values[0]))
    return tuple(sorted(found))


def example(folder: Path) -> Repository:
    """Return a repository of the example, started from the table's baseline."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("data", "__pycache__"))
    code = folder / CODE
    pairs = [
        (found[0], _line(name, knob.default))
        for name, knob in measured().knobs.items()
        if (found := re.search(rf"^{name.upper()} = .*$", code.read_text("utf-8"), re.MULTILINE))
    ]
    code.write_text(edited(code.read_text("utf-8"), pairs), "utf-8")
    who = ["-c", "user.name=Eval", "-c", "user.email=eval@example.org"]
    for arguments in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "Start"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return Repository.discover(folder)


@dataclass(frozen=True)
class Outcome:
    """What came of a live session; `gain` is true, in bits per byte over the start."""

    gain: float
    runs: int
    blocked: int
    tokens: int
    seconds: float


def with_loop(seed: int, runs: int, folder: Path) -> Outcome:
    """Play a session with the loop."""
    repository = example(folder)
    world = LiveTable(seed, folder)
    provider = SimulatedProvider(world, seed)
    plan = LoopPlan(
        command=COMMAND,
        metric="val_bpb",
        lower=True,
        evaluate=EVALUATE,
        protect=("prepare.py", "evaluate.py"),
        budgets=Budgets(runs=runs, failures=100),
    )
    started = time.perf_counter()
    loop = Loop(
        Memory(repository), plan, provider, library=Library(repository), environment=_environment()
    )
    result = loop.run()
    code = repository.git(["show", f"{result.tip}:{CODE}"]).decode()
    seconds = time.perf_counter() - started
    gain = world.truth(configuration_of(world, code))
    return Outcome(gain, len(result.runs), result.blocked, provider.tokens, seconds)


def without(seed: int, runs: int, folder: Path) -> Outcome:
    """Play a session without memory: what is lower is kept."""
    example(folder)
    world = LiveTable(seed, folder)
    started = time.perf_counter()
    steps = Session(world, KeepIfLower(world), Proposer(world, seed)).play(runs)
    tokens = sum(step.tokens for step in steps)
    return Outcome(steps[-1].gain, len(steps), 0, tokens, time.perf_counter() - started)


def main() -> None:
    """Play and print a row for each session."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=2)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--first", type=int, default=1000)
    args = parser.parse_args()
    print("| session | arm | true gain | runs | blocked | tokens | seconds |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    for seed in range(args.first, args.first + args.sessions):
        for name, play in (("without", without), ("git exp loop", with_loop)):
            with tempfile.TemporaryDirectory() as folder:
                found = play(seed, args.runs, Path(folder, "task"))
            print(
                f"| {seed} | {name} | {found.gain:+.3f} | {found.runs} | {found.blocked} "
                f"| {found.tokens} | {found.seconds:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
