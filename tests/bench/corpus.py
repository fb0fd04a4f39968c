"""A repository of many runs, as a team's sweeps over two years would have left it.

git's own ``fast-import`` writes it, never gitexp's writer, so that 100,000 runs take seconds, and
what reads them cannot lean on how gitexp happens to write. The store is as docs/format.md says:
snapshots with packed handles, one notes commit of facts for each shard, environment records, and
metric logs for the first `LOGGED` runs. Everything follows from the seed: run ``i`` of ``n`` is
the same on every machine, so another store can be given the same values (`sample_run`).

Ten parameters of the usual kinds, three metrics. The questions of the benchmarks:

* `BROAD`, one parameter, keeps about 60% of the runs;
* `NARROW`, one parameter, keeps exactly one run in 1,000;
* `PAIR`, two parameters, keeps about one run in 1,000;
* `BEHIND`, one metric, keeps a third of the runs, but none that is near the top by acc.

By hand: ``python -m tests.bench.corpus FOLDER RUNS``.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import random
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gitexp.environment import encode_environment
from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.records.environment import Accelerator, Environment, Platform, PythonBuild
from gitexp.records.facts import (
    EndFact,
    Fact,
    Failure,
    GitState,
    RemarkFact,
    RunFact,
    Status,
    Summary,
    Verdict,
    encode_fact,
)
from gitexp.records.series import SeriesEncoder, log_digest
from gitexp.records.times import format_time
from gitexp.store.batch import Batch, environment_path, note_path, write_batch
from tests.bench.common import git

BROAD = "params.dropout < 0.3"
NARROW = 'params.optimizer == "shampoo"'
PAIR = 'params.optimizer == "muon" and params.lr < 2e-5'
BEHIND = "min(loss) > 2"

LOGGED = 1000
"""Runs, the first ones, that have a metric log too."""

_BEGIN = 1_719_792_000  # 2024-07-01T00:00:00Z
_SPAN = 730 * 86_400
_VERSIONS = 40  # commits on main
_BY = (
    "Ada Lovelace <ada@example.org>",
    "Grace Hopper <grace@example.org>",
    "Sofia Kowalewskaja <sofia@example.org>",
    "Emmy Noether <emmy@example.org>",
    "sweep-bot <bot@example.org>",
)
_HOSTS = ("node00", "node01", "node02", "node03", "node04", "node05", "login1", "workstation")
_BRANCHES = ("main", "main", "main", "sweep/lr", "sweep/width", "wip/rope", "ada/muon", None)
_TAGS = ("baseline", "ablation", "long", "smoke", "paper", "fp8", "bf16", "retry", "candidate")
_TOPICS = ("rotary positions", "swiglu", "muon", "warmup", "weight decay", "dropout", "init scale")
_EFFECTS = ("converges faster", "is more stable", "needs a lower lr", "hurts at small width")
_RARE_OPTIMIZER = 1000  # one run in so many uses it
_MUON = 75
_VERDICTS: tuple[Verdict, ...] = ("keep", "discard")
_STATUSES: tuple[Status, ...] = ("finished", "failed", "crashed", "interrupted", "timeout")
_STATUS_WEIGHTS = (90, 4, 3, 2, 1)
_STATUS_CODES = (0, 1, -9, 130, 124)


class SampledRun(NamedTuple):
    """One run before it is stored.

    Attributes:
        version: Index of the commit on main that it started from.
        variant: How its work tree differs from that commit: 0 not at all, 1 or 2 by an edit that
            other runs share, 3 by one of its own.
        started: Seconds since 1970.
        run: Likewise `end` and `remarks`, its facts; `git` of the run lacks the head, which only
            a repository has.
        series: Lines of its metric log; empty where it has none.
    """

    number: int
    version: int
    variant: int
    started: float
    run: RunFact
    end: EndFact
    remarks: tuple[RemarkFact, ...]
    series: list[bytes]

    def lines(self, head: str) -> list[bytes]:
        """Return all facts of the run, as stored, for one that started from commit ``head``."""
        state = msgspec.structs.replace(self.run.git, head=head) if self.run.git else None
        facts: list[Fact] = [msgspec.structs.replace(self.run, git=state), self.end, *self.remarks]
        return [encode_fact(fact) for fact in facts]


def sample_run(number: int, runs: int, seed: int = 0) -> SampledRun:
    """Return run ``number`` of ``runs``, by time; numbers past the last go on after it."""
    source = random.Random((seed << 40) + number)
    started = round(_BEGIN + (number + source.random()) * _SPAN / max(runs, 1), 6)
    version = min(int((started - _BEGIN) / _SPAN * _VERSIONS), _VERSIONS - 1)
    variant = source.choices((0, 1, 2, 3), (60, 25, 13, 2))[0]
    parameters = _parameters(number, source)
    run = _run_fact(source, number, started, parameters, dirty=variant > 0)
    series, end = _ending(source, number, started, run)
    remarks = _remarks(source, started + end.duration)
    return SampledRun(number, version, variant, started, run, end, remarks, series)


def sample_runs(runs: int, seed: int = 0) -> Iterator[SampledRun]:
    """Yield all runs, the earliest first."""
    return (sample_run(number, runs, seed) for number in range(runs))


def make_corpus(folder: Path, runs: int, *, shards: int = 1, seed: int = 0) -> Path:
    """Make a repository of so many runs in a new folder, and return the folder.

    The clone's own shard is ``bench-0``; run ``i`` is in ``bench-<i % shards>``.
    """
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        git(folder, "config", name, value)
    git(folder, "config", "exprag.shard", "bench-0")
    marks = folder / ".git" / "bench-marks"
    _fast_import(folder, _history(), f"--export-marks={marks}")
    heads = _marked(marks, range(1, _VERSIONS + 1))
    both = (f"--import-marks={marks}", f"--export-marks={marks}")
    _fast_import(folder, _snapshots(runs, seed, heads), *both)
    ids = _marked(marks, map(_snapshot_mark, range(runs)))
    _fast_import(folder, _stores(ids, shards), both[0])
    marks.unlink()
    handles = "".join(f"{run_id} {refs.run_ref(run_id)}\n" for run_id in sorted(ids))
    header = "# pack-refs with: peeled fully-peeled sorted \n"
    (folder / ".git" / "packed-refs").write_text(header + handles)
    git(folder, "update-ref", "-d", _SCRATCH)
    git(folder, "pack-refs", "--all")
    git(folder, "reset", "--quiet", "--hard", "main")
    return folder


def add_run(folder: Path, number: int, runs: int, *, seed: int = 0) -> str:
    """Add one more run as another clone's pull or a finished run would; return its id.

    Args:
        number: At least ``runs``, and another one for each call.
        runs: As in `make_corpus`.
    """
    return add_sampled(folder, sample_run(number, runs, seed))


def add_sampled(folder: Path, sample: SampledRun) -> str:
    """Add a run with its metric log, if it has one; return its id."""
    head = git(folder, "rev-parse", "main").decode().strip()
    command = ("commit-tree", "-p", head, f"{head}^{{tree}}")
    run_id = git(folder, *command, stdin=_message(sample)).decode().strip()
    git(folder, "update-ref", refs.run_ref(run_id), run_id)
    metrics = {run_id: sample.series} if sample.series else {}
    batch = Batch({run_id: sample.lines(head)}, metrics)
    write_batch(Repository.discover(folder), "bench-0", batch)
    return run_id


# --- one run -----------------------------------------------------------------------------------


def _parameters(number: int, source: random.Random) -> dict[str, Any]:
    if number % _RARE_OPTIMIZER == _RARE_OPTIMIZER // 2:
        optimizer = "shampoo"
    elif number % _MUON == 0:
        optimizer = "muon"
    else:
        optimizer = source.choice(("adamw", "adamw", "adam", "sgd", "lion"))
    return {
        "lr": float(f"{10 ** source.uniform(-5, -1):.4g}"),
        "batch_size": 2 ** source.randrange(4, 12),
        "optimizer": optimizer,
        "layers": source.choice((2, 4, 6, 8, 12, 16, 24, 32)),
        "width": source.choice((128, 256, 384, 512, 768, 1024, 2048)),
        "dropout": source.choice((0.0, 0.1, 0.2, 0.3, 0.5)),
        "weight_decay": source.choice((0.0, 0.001, 0.01, 0.05, 0.1)),
        "warmup_steps": source.choice((0, 100, 500, 1000, 2000, 4000)),
        "activation": source.choice(("relu", "gelu", "silu", "swiglu", "tanh")),
        "seed": source.randrange(10_000),
    }


def _run_fact(
    source: random.Random, number: int, started: float, parameters: dict[str, Any], *, dirty: bool
) -> RunFact:
    sweep = f"{parameters['optimizer']}-{number // 500:03}"
    topic, effect = source.choice(_TOPICS), source.choice(_EFFECTS)
    kind = source.random()
    return RunFact(
        time=format_time(int(started * 1e6) * 1000),
        by=source.choice(_BY),
        name=f"{sweep}-w{parameters['width']}-l{parameters['layers']}-{number % 500}",
        description=f"Sweep {sweep}: {topic} at width {parameters['width']}"
        if kind < 0.2
        else None,
        hypothesis=f"{topic} {effect}" if 0.1 < kind < 0.25 else None,
        family=sweep if source.random() < 0.9 else None,
        tags=tuple(source.sample(_TAGS, source.choice((0, 0, 1, 1, 2, 3)))),
        parameters=parameters,
        command=("python", "train.py", "--config", f"configs/{sweep}.yaml"),
        cwd=".",
        git=GitState(head=None, branch=source.choice(_BRANCHES), dirty=dirty),
        host=source.choice(_HOSTS),
        pid=source.randrange(300, 4_000_000),
        python="3.11.9" if number % 3 else "3.12.4",
        environment=_ENVIRONMENTS[number % len(_ENVIRONMENTS)][0],
    )


def _ending(
    source: random.Random, number: int, started: float, run: RunFact
) -> tuple[list[bytes], EndFact]:
    """Return the lines of the metric log and the end, whose summaries are those of the log."""
    place = source.choices(range(len(_STATUSES)), _STATUS_WEIGHTS)[0]
    steps = source.randrange(5, 60)
    curves = _curves(source, run.parameters, steps, diverged=place == 1 and number % 4 == 0)
    duration = round(source.lognormvariate(6, 1.5), 6)
    lines: list[bytes] = []
    if number < LOGGED:
        lines, metrics = _logged(curves, started, duration)
    else:
        metrics = {name: curve.summary() for name, curve in curves.items()}
    end = EndFact(
        time=format_time(int((started + duration) * 1e6) * 1000),
        by=run.by,
        status=_STATUSES[place],
        exit_code=_STATUS_CODES[place],
        error=_failure(source) if place == 1 else None,
        duration=duration,
        calls=steps,
        metrics=metrics,
        digest=log_digest(lines) if lines else None,
    )
    return lines, end


def _failure(source: random.Random) -> Failure:
    size = source.randrange(1, 80)
    message = f"CUDA out of memory. Tried to allocate {size}.00 GiB"
    return Failure("OutOfMemoryError", message, f"Traceback\n{message}\n")


class _Curve(NamedTuple):
    """A metric that goes straight from ``first`` to ``turn`` at step ``peak``, then to ``last``."""

    first: float
    turn: float
    last: float
    peak: int
    steps: int
    diverged: bool

    def value(self, step: int) -> float:
        if self.diverged and step == self.steps - 1:
            return math.nan
        if step <= self.peak:
            part = step / self.peak
            return self.first * (1 - part) + self.turn * part
        part = (step - self.peak) / (self.steps - 1 - self.peak)
        return self.turn * (1 - part) + self.last * part

    def summary(self) -> Summary:
        """Return the summary of all steps without going through them."""
        final = self.steps - 2 if self.diverged else self.steps - 1
        last = self.value(final)
        corners = ((self.first, 0), (self.turn, self.peak), (last, final))
        low = min(corners, key=lambda corner: corner[0])
        high = max(corners, key=lambda corner: corner[0])
        rise = (self.first + self.turn) / 2 * (self.peak + 1)
        fall = (self.turn + last) / 2 * (final - self.peak + 1)
        mean = (rise + fall - self.turn) / (final + 1)
        return Summary(
            first=self.first,
            last="NaN" if self.diverged else last,
            count=self.steps,
            min=low[0],
            max=high[0],
            mean=mean,
            step_of_min=low[1],
            step_of_max=high[1],
        )


def _curves(
    source: random.Random, parameters: dict[str, Any], steps: int, *, diverged: bool
) -> dict[str, _Curve]:
    """Return curves that depend on the parameters as results do: a best lr, and noise."""
    distance = math.log10(parameters["lr"]) + 3
    fit = math.exp(-0.25 * distance * distance) * (1 - 0.3 * parameters["dropout"])
    fit *= 0.8 + 0.02 * math.log2(parameters["width"]) + source.gauss(0, 0.03)
    loss = max(4 - 3.5 * fit, 0.01) + source.random() / 10
    peak = source.randrange(2, steps - 2)
    acc = min(max(0.05 + 0.85 * fit, 0.01) + source.random() / 50, 0.999)
    return {
        "loss": _Curve(source.uniform(5, 11), loss * 1.1, loss, peak, steps, diverged),
        "acc": _Curve(source.random() / 100, acc, acc * 0.98, peak, steps, diverged=False),
        "val_loss": _Curve(source.uniform(5, 11), loss * 1.2, loss * 1.3, peak, steps, diverged),
    }


def _logged(
    curves: dict[str, _Curve], started: float, duration: float
) -> tuple[list[bytes], dict[str, Summary]]:
    encoder = SeriesEncoder()
    steps = curves["loss"].steps
    for step in range(steps):
        moment = int((started + duration * (step + 1) / steps) * 1e9)
        encoder.add(moment, {name: curve.value(step) for name, curve in curves.items()}, None, step)
    encoder.flush()
    return encoder.lines, encoder.summaries()


def _remarks(source: random.Random, ended: float) -> tuple[RemarkFact, ...]:
    """Return what somebody said later about one run in fifty."""
    if source.random() >= 0.02:
        return ()
    moment = format_time(int((ended + source.uniform(60, 1e6)) * 1e6) * 1000)
    by, verdict = source.choice(_BY), source.choice(_VERDICTS)
    comment = f"{source.choice(_TOPICS)} {source.choice(_EFFECTS)}"
    return (RemarkFact(time=moment, by=by, verdict=verdict, comment=comment),)


# --- the streams for fast-import ---------------------------------------------------------------

_SCRATCH = "refs/heads/scratch"  # commits are made on it, and are held by their handles


def _fast_import(folder: Path, stream: Iterable[bytes], *options: str) -> None:
    command = ["git", "fast-import", "--quiet", "--done", *options]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE) as process:
        if process.stdin is None:
            raise RuntimeError("a pipe was asked for")
        process.stdin.writelines(stream)
        process.stdin.write(b"done\n")
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _commit(ref: str, mark: int, moment: float, message: bytes) -> bytes:
    who = b"%s <%s> %d +0000\n" % (b"Ada", b"ada@example.org", moment)
    head = f"commit {ref}\nmark :{mark}\n".encode()
    return head + b"author " + who + b"committer " + who + _data(message)


def _snapshot_mark(number: int) -> int:
    return _VERSIONS + 1 + 3 * number


def _history() -> Iterator[bytes]:
    """Yield main's commits; their marks are 1 to `_VERSIONS`."""
    for version in range(_VERSIONS):
        moment = _BEGIN - 3600 + version * _SPAN / _VERSIONS
        yield _commit("refs/heads/main", version + 1, moment, f"version {version}\n".encode())
        yield b"from :%d\n" % version if version else _project()
        yield _file("train.py", f"VERSION = {version}\n")


def _snapshots(runs: int, seed: int, heads: list[str]) -> Iterator[bytes]:
    """Yield snapshot, facts and metric log of each run as objects, with three marks in a row."""
    for sample in sample_runs(runs, seed):
        mark = _snapshot_mark(sample.number)
        yield _commit(_SCRATCH, mark, sample.started, _message(sample))
        yield b"from :%d\n" % (sample.version + 1)
        if sample.variant:
            edit = sample.variant if sample.variant < 3 else f"3, run {sample.number}"
            yield _file("train.py", f"VERSION = {sample.version}\nEDIT = {edit!r}\n")
        yield _blob(mark + 1, sample.lines(heads[sample.version]))
        if sample.series:
            yield _blob(mark + 2, sample.series)


def _project() -> bytes:
    files = {f"pkg/module{number:02}.py": f"NUMBER = {number}\n" * 20 for number in range(20)}
    return b"".join(_file(path, text) for path, text in files.items())


def _file(path: str, text: str) -> bytes:
    return f"M 100644 inline {path}\n".encode() + _data(text.encode())


def _blob(mark: int, lines: list[bytes]) -> bytes:
    return b"blob\nmark :%d\n" % mark + _data(b"".join(line + b"\n" for line in lines))


def _message(sample: SampledRun) -> bytes:
    nonce = hashlib.sha256(f"{sample.run.time} {sample.number}".encode()).hexdigest()[:16]
    dirty = "true" if sample.variant else "false"
    text = f"exprag: {sample.run.name}\n\nExprag-Nonce: {nonce}\nExprag-Dirty: {dirty}\n"
    return text.encode()


def _marked(marks: Path, numbers: Iterable[int]) -> list[str]:
    """Return the ids of marked objects from the file that fast-import wrote."""
    found = dict(line.split() for line in marks.read_text().splitlines())
    return [found[f":{number}"] for number in numbers]


def _stores(ids: list[str], shards: int) -> Iterator[bytes]:
    """Yield one commit of each kind for each shard, of the objects that stand already."""
    mark = _snapshot_mark(len(ids))
    moment = _BEGIN + _SPAN
    for shard in range(shards):
        members = range(shard, len(ids), shards)
        logged = [number for number in members if number < LOGGED]
        for prefix, numbers, offset in ((refs.FACTS, members, 1), (refs.METRICS, logged, 2)):
            ref = f"{prefix}bench-{shard}"
            yield _commit(ref, mark, moment, f"exprag: {len(numbers)} runs\n".encode())
            for number in numbers:
                blob = _snapshot_mark(number) + offset
                yield f"M 100644 :{blob} {note_path(ids[number])}\n".encode()
        yield _commit(f"{refs.FILES}bench-{shard}", mark, moment, b"exprag: environments\n")
        for digest, content in _ENVIRONMENTS:
            yield _file(environment_path(digest), content.decode())


def _environments() -> list[tuple[str, bytes]]:
    """Return digest and record of what the runs ran in."""
    packages = {f"package-{number}": f"{number}.{number % 7}.1" for number in range(60)}
    return [
        encode_environment(
            Environment(
                python=PythonBuild(version, "cpython", "main, GCC 12.2.0", "cpython"),
                platform=Platform("Linux", "6.1.0", "x86_64", "glibc 2.36"),
                packages={**packages, "torch": torch},
                accelerators=(Accelerator("nvidia", "H100", 8, "550.54"),),
            )
        )
        for version in ("3.11.9", "3.12.4")
        for torch in ("2.4.1", "2.5.0", "2.6.0")
    ]


_ENVIRONMENTS = _environments()


def main() -> None:
    """Make a repository and say how long it took."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench.corpus",
        description="Make a git repository of many runs.",
        epilog=f"Filters: {BROAD} keeps 60%%, {BEHIND} 33%%, {NARROW} and {PAIR} 0.1%%.",
    )
    parser.add_argument("folder", type=Path, help="does not exist yet")
    parser.add_argument("runs", type=int)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begin = time.monotonic()
    make_corpus(args.folder, args.runs, shards=args.shards, seed=args.seed)
    print(f"{args.runs} runs in {time.monotonic() - begin:.1f} s")


if __name__ == "__main__":
    main()
