"""A repository as an autoresearch loop leaves it: one program, edited, run, kept or discarded.

git's own ``fast-import`` writes it, so that 10,000 runs take seconds (`tests.bench.corpus` has
the details). ``train.py`` has constants and functions; an idea sets a constant or changes lines.
Every idea has a true effect on ``val_bpb``, which is observed with noise of `NOISE`; what looks
better is kept, and becomes a commit on main that later ideas start from. One run in twenty
repeats an earlier one with another seed, one in thirty crashes. Everything follows from the seed.

By hand: ``python -m tests.bench.research_corpus FOLDER RUNS``.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from gitexp.git import refs
from gitexp.records.facts import (
    EndFact,
    Fact,
    Failure,
    GitState,
    RemarkFact,
    RunFact,
    Summary,
    encode_fact,
)
from gitexp.records.times import format_time
from gitexp.store.batch import note_path
from tests.bench.common import git
from tests.bench.corpus import (
    _blob,
    _commit,
    _fast_import,
    _file,
    _marked,
)

NOISE = 0.0015
METRIC = "val_bpb"
BY = "agent <agent@example.org>"
COMMAND = ("python", "train.py")

_BEGIN = 1_719_792_000
_SECONDS = 330.0
_CONSTANTS = 40
_FUNCTIONS = 24
_LINES = 14
_TOPICS = ("MATRIX_LR", "WARMUP", "DEPTH", "WIDTH", "WEIGHT_DECAY", "BETA", "WINDOW", "SCALE")
_REPLICATED = 0.05
_CRASHED = 1 / 30
_ON_MAIN = "refs/heads/main"
_SCRATCH = "refs/heads/scratch"


class Idea(NamedTuple):
    """What a run changes: constants by number, lines by function and number."""

    constants: tuple[tuple[int, float], ...]
    lines: tuple[tuple[int, int, int], ...]

    @property
    def words(self) -> str:
        """What an agent would say of it."""
        said = [f"set {constant_name(n)} to {value:g}" for n, value in self.constants]
        said += [f"rewrite step {line} of block_{place}, way {v}" for place, line, v in self.lines]
        return " and ".join(said)


@dataclass
class Program:
    """The state of train.py: what differs from its first version."""

    constants: dict[int, float] = field(default_factory=dict)
    lines: dict[tuple[int, int], int] = field(default_factory=dict)

    def with_idea(self, idea: Idea) -> Program:
        """Return the program with an idea carried out."""
        lines = {(place, line): variant for place, line, variant in idea.lines}
        return Program(self.constants | dict(idea.constants), self.lines | lines)

    def text(self) -> str:
        """Return the source: some 400 lines."""
        constants = [
            f"{constant_name(n)} = {self.constants.get(n, 0.1):g}\n" for n in range(_CONSTANTS)
        ]
        return "import math\n\n" + "".join(constants) + "".join(map(self._block, range(_FUNCTIONS)))

    def _block(self, place: int) -> str:
        lines = [
            f"    x = step_{line}_{self.lines.get((place, line), 0)}(x, {constant_name(place)})\n"
            for line in range(_LINES)
        ]
        return f"\n\ndef block_{place}(x):\n" + "".join(lines) + "    return x\n"

    def truth(self) -> float:
        """Return the true value of the metric."""
        chosen = [f"{n} {value}" for n, value in sorted(self.constants.items())]
        chosen += [f"{place} {variant}" for place, variant in sorted(self.lines.items())]
        return 1.0 + sum(map(_effect, chosen))


def constant_name(number: int) -> str:
    """Return the name of a constant of the program."""
    return f"{_TOPICS[number % len(_TOPICS)]}_{number // len(_TOPICS)}"


def _effect(what: str) -> float:
    digest = hashlib.blake2b(what.encode(), digest_size=8).digest()
    return (int.from_bytes(digest) / 2**64 - 0.4) * 0.006


class Step(NamedTuple):
    """One run of the loop before it is stored; ``head`` is the number of main's commit."""

    number: int
    head: int
    text: str
    words: str
    family: str
    seed: int
    value: float | None
    kept: bool


def steps(runs: int, seed: int = 0) -> Iterator[tuple[Step, Program]]:
    """Yield the runs of the loop, each with the program that it ran."""
    source = random.Random(seed)
    base, head, best = Program(), 0, 1.0
    past: list[tuple[Program, str, int, str]] = []
    for number in range(runs):
        if past and source.random() < _REPLICATED:
            program, words, at, family = source.choice(past[-200:])
            new = False
        else:
            idea = random_idea(source)
            program, words, at, new = base.with_idea(idea), idea.words, head, True
            family = words.split()[1].lower()
            past.append((program, words, at, family))
        value = None
        if source.random() > _CRASHED:
            value = round(program.truth() + source.gauss(0, NOISE), 6)
        kept = new and value is not None and value < best - NOISE / 2
        text = program.text()
        yield Step(number, at, text, words, family, source.randrange(1 << 30), value, kept), program
        if kept and value is not None:
            base, head, best = program, head + 1, value


def random_idea(source: random.Random) -> Idea:
    """Return an idea: two in three set a constant, one in three changes lines, some do both."""
    constants = [(source.randrange(_CONSTANTS), round(10 ** source.uniform(-3, 0), 4))]
    lines = [
        (source.randrange(_FUNCTIONS), source.randrange(_LINES), source.randrange(1, 400))
        for _ in range(source.choice((1, 1, 2, 3)))
    ]
    kind = source.random()
    return Idea(tuple(constants) if kind < 2 / 3 else (), tuple(lines) if kind > 0.6 else ())


def make_research_corpus(folder: Path, runs: int, *, seed: int = 0) -> Program:
    """Make a repository of so many runs in a new folder; return the program on main."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    settings = {"user.name": "agent", "user.email": "agent@example.org", "exprag.shard": "bench-0"}
    settings |= {"exprag.metric": METRIC, "exprag.goal": "min"}
    for name, value in settings.items():
        git(folder, "config", name, value)
    marks = folder / ".git" / "bench-marks"
    _fast_import(folder, _commits(runs, seed), f"--export-marks={marks}")
    done = [step for step, _ in steps(runs, seed)]
    heads = _marked(marks, range(1, 2 + sum(step.kept for step in done)))
    ids = _marked(marks, (_mark(runs, step.number) for step in done))
    _fast_import(folder, _facts(done, ids, heads), f"--import-marks={marks}")
    marks.unlink()
    handles = "".join(f"{run_id} {refs.run_ref(run_id)}\n" for run_id in sorted(ids))
    header = "# pack-refs with: peeled fully-peeled sorted \n"
    (folder / ".git" / "packed-refs").write_text(header + handles)
    git(folder, "update-ref", "-d", _SCRATCH)
    git(folder, "pack-refs", "--all")
    git(folder, "reset", "--quiet", "--hard", "main")
    kept = [program for step, program in steps(runs, seed) if step.kept]
    return kept[-1] if kept else Program()


def _mark(runs: int, number: int) -> int:
    """Return the mark of a snapshot: after those of all commits that main can have."""
    return runs + 2 + number


def _commits(runs: int, seed: int) -> Iterator[bytes]:
    """Yield main and the snapshots. Main's commits have the marks 1, 2, …"""
    yield _commit(_ON_MAIN, 1, _BEGIN, b"first\n")
    yield _file("train.py", Program().text())
    yield _file("README.md", "A loop.\n")
    head = 1
    for step, _ in steps(runs, seed):
        moment = _BEGIN + (step.number + 1) * _SECONDS
        nonce = hashlib.sha256(f"{seed} {step.number}".encode()).hexdigest()[:16]
        subject = f"exprag: {step.words}"[:72]
        message = f"{subject}\n\nExprag-Nonce: {nonce}\nExprag-Dirty: true\n"
        yield _commit(_SCRATCH, _mark(runs, step.number), moment, message.encode())
        yield b"from :%d\n" % (step.head + 1)
        yield _file("train.py", step.text)
        if step.kept:
            yield _commit(_ON_MAIN, head + 1, moment + _SECONDS / 2, f"{step.words}\n".encode())
            yield b"from :%d\n" % head
            yield _file("train.py", step.text)
            head += 1


def _facts(done: list[Step], ids: list[str], heads: list[str]) -> Iterator[bytes]:
    for step in done:
        yield _blob(step.number + 1, [encode_fact(fact) for fact in facts_of(step, heads)])
    ref = f"{refs.FACTS}bench-0"
    moment = _BEGIN + (len(done) + 2) * _SECONDS
    yield _commit(ref, len(done) + 1, moment, b"exprag: runs\n")
    for step in done:
        yield f"M 100644 :{step.number + 1} {note_path(ids[step.number])}\n".encode()


def facts_of(step: Step, heads: list[str]) -> list[Fact]:
    """Return the facts of a run as stored."""
    started = _BEGIN + step.number * _SECONDS
    run = RunFact(
        time=_time(started),
        by=BY,
        name=f"idea {step.number}",
        description=step.words,
        family=step.family,
        seed=step.seed,
        command=COMMAND,
        cwd=".",
        git=GitState(head=heads[step.head], branch="main", dirty=True),
    )
    error = None
    metrics: dict[str, Summary] = {}
    if step.value is None:
        tail = 'Traceback (most recent call last):\n  File "train.py", line 90, in block_3\n'
        error = Failure("ValueError", f"shape of block {step.number % 7}", tail)
    else:
        found = {METRIC: step.value, "peak_vram_mb": 44_000 + step.number % 500}
        metrics = {n: Summary(v, v, 1, v, v, v, 0, 0) for n, v in found.items()}
    end = EndFact(
        time=_time(started + 300),
        by=BY,
        status="finished" if error is None else "crashed",
        exit_code=0 if error is None else 1,
        error=error,
        duration=300.0,
        calls=1,
        metrics=metrics,
    )
    verdict = "crash" if error else "keep" if step.kept else "discard"
    return [run, end, RemarkFact(time=_time(started + 301), by=BY, verdict=verdict)]  # type: ignore[arg-type]


def _time(seconds: float) -> str:
    return format_time(int(seconds * 1e6) * 1000)


def write_table(path: Path, runs: int, seed: int = 1) -> None:
    """Write a loop as the TSV that autoresearch keeps: commit, value, memory, status, words."""
    rows = ["commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"]
    for step, _ in steps(runs, seed):
        commit = hashlib.sha256(f"{seed} {step.number}".encode()).hexdigest()[:7]
        status = "crash" if step.value is None else "keep" if step.kept else "discard"
        rows.append(f"{commit}\t{step.value or 0:.6f}\t44.0\t{status}\t{step.words}\n")
    path.write_text("".join(rows))


def main() -> None:
    """Make a repository and say how long it took."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.research_corpus")
    parser.add_argument("folder", type=Path, help="does not exist yet")
    parser.add_argument("runs", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begin = time.monotonic()
    make_research_corpus(args.folder, args.runs, seed=args.seed)
    print(f"{args.runs} runs in {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    main()
