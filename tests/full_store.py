"""A repository whose store holds something of everything, and commands run in this process."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from gitexp.cli.main import guarded
from gitexp.environment import encode_environment
from gitexp.experiment import Experiment
from gitexp.git.repository import Repository
from gitexp.records.decision import Comparison, DecisionFact, Evidence, Noise, Novelty
from gitexp.records.environment import Accelerator, Environment, Platform, PythonBuild
from gitexp.records.facts import (
    EndFact,
    Fact,
    Failure,
    GitState,
    Input,
    LeftOut,
    RemarkFact,
    RunFact,
    encode_fact,
)
from gitexp.records.series import SeriesEncoder
from gitexp.seal import create_handle
from gitexp.store.batch import Batch, environment_path, file_path, write_batch
from tests.support import Git

SHARD = "other"
BEGIN = "2026-01-31T12:00:00.000000Z"
END = "2026-01-31T12:00:09.500000Z"
HOSTILE = "\x1b[31mred\x9b2J\u202ereversed\nsecond\tcell\u200b"
BY = "Grace <grace@example.org>"


class Called:
    """What a command did: exit code, standard output and standard error."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Caller:
    """Run commands in this process; fail the test unless they exit with ``code``."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, code: int = 0) -> Called:
        self._capsys.readouterr()
        found = guarded(list(arguments))
        out, err = self._capsys.readouterr()
        assert found == code, f"{arguments}: {found}\n{out}{err}"
        return Called(found, out, err)

    def json(self, *arguments: str, code: int = 0) -> Any:
        return self(*arguments, "--json", code=code).data


def write_facts(run_id: str, *facts: Fact | bytes, shard: str = SHARD) -> None:
    """Add facts, or lines as they are, to a shard."""
    lines = [fact if isinstance(fact, bytes) else encode_fact(fact) for fact in facts]
    write_batch(Repository.discover(), shard, Batch(facts={run_id: lines}))


def commit(git: Git, name: str) -> str:
    """Return a new commit of HEAD's tree: an id for a run that is made up."""
    return git("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", f"exprag: {name}")


def write_full_run(git: Git) -> str:
    """Write a run of which every field is known, with metrics, files and environment."""
    run_id = commit(git, "full")
    repository = Repository.discover()
    create_handle(repository, run_id)
    series = SeriesEncoder()
    for step in range(3):
        note = "the note" if step else None
        tracked = {"loss": float(step), "acc": float("nan"), "speed": 2.0 + step}
        series.add(step * 10**9, tracked, note, step)
    series.flush()
    digest, record = encode_environment(full_environment("1.26"))
    begin = RunFact(
        time=BEGIN,
        by=BY,
        name="full",
        description="what is tried",
        hypothesis="what is expected",
        family="line",
        tags=("base",),
        parameters={"lr": 0.5},
        metadata={"source": "made up"},
        seed=7,
        inputs=(Input("data", "d" * 32, 10, 2),),
        parent="a" * 40,
        external_id="ext-1",
        command=("python", "train.py"),
        cwd=".",
        git=full_git_state(),
        host="machine",
        pid=1,
        python="3.12.1",
        environment=digest,
    )
    end = EndFact(
        time=END,
        by=BY,
        status="failed",
        exit_code=3,
        error=Failure("ValueError", "wrong", "the tail"),
        duration=9.5,
        calls=3,
        metrics=series.summaries(),
        lost_bytes=5,
    )
    remark = RemarkFact(time=END, by=BY, comment="a comment", verdict="keep")
    facts = (begin, end, remark, full_decision("c" * 40))
    batch = Batch(
        facts={run_id: [encode_fact(fact) for fact in facts]},
        metrics={run_id: series.lines},
        files={
            file_path(run_id, "run.log"): b"line\xff\x1b[31m\n",
            environment_path(digest): record,
        },
    )
    write_batch(repository, SHARD, batch)
    return run_id


def full_decision(other: str) -> DecisionFact:
    """Return a decision of which every field is known, which names another run."""
    return DecisionFact(
        time=END,
        by=BY,
        rules="gitexp 1",
        metric="loss",
        goal="min",
        value=0.5,
        action="replicate",
        priority="medium",
        hypothesis_status="mixed",
        provisional=True,
        summary="what happened",
        next_action="what to do",
        rationale=("why",),
        comparison=Comparison(other, 1, 2, 0.5, 0.75, 0.7, 0.25, (-0.1, 0.6), 0.8, 0.7, 0.01, 3),
        noise=Noise(measured=True, sd=0.1, degrees=1.0),
        novelty=Novelty("novel", (Evidence(other, "text", 0.5, "alike", ("a line",)),)),
        base=other,
        signature="ValueError in train.py",
    )


def full_environment(numpy: str, python: str = "3.12.1") -> Environment:
    return Environment(
        python=PythonBuild(python, "cpython", "build", "abi"),
        platform=Platform("Linux", "6.1", "x86_64", None),
        packages={"numpy": numpy},
        accelerators=(Accelerator("nvidia", "H100", 8, "550"),),
    )


def full_git_state() -> GitState:
    return GitState(
        head="b" * 40,
        branch="main",
        dirty=True,
        left_out=(LeftOut(".env", "looks like a secret", 10, "e" * 32),),
        submodules=("sub",),
        nested=("inner",),
        changed=("moving",),
        assume_unchanged=1,
        skip_worktree=2,
    )


@contextmanager
def running(name: str = "running") -> Iterator[Experiment]:
    """A run in progress, of this process."""
    experiment = Experiment(name, params={"lr": 0.25})
    experiment.track({"loss": 1.0})
    yield experiment
    experiment.finish()


def record_runs(git: Git) -> list[str]:
    """Record three runs, the first one first; their code differs in train.py."""
    found = []
    for number in range(3):
        git.write("train.py", f"lr = 0.{number}\n")
        with Experiment(f"run {number}", params={"lr": number / 10, "width": 8}) as experiment:
            for step in range(4):
                experiment.track({"metrics": {"acc": number + step / 10, "loss": 1 / (step + 1)}})
        found.append(experiment.run_id)
    return found


def hostile_run(git: Git) -> str:
    run_id = commit(git, "hostile")
    begin = RunFact(
        time=BEGIN,
        by=HOSTILE,
        name=HOSTILE,
        description=HOSTILE,
        tags=(HOSTILE,),
        parameters={HOSTILE: HOSTILE},
        metadata={HOSTILE: [HOSTILE]},
        command=(HOSTILE,),
        cwd=HOSTILE,
        host=HOSTILE,
    )
    write_facts(run_id, begin, RemarkFact(time=END, by=HOSTILE, comment=HOSTILE, verdict="keep"))
    other = commit(git, "other")
    write_facts(other, RunFact(time=BEGIN, by=BY, name="other", parameters={"x": 1}))
    return run_id


def drop_object(git: Git, oid: str) -> None:
    path = git.path / ".git" / "objects" / oid[:2] / oid[2:]
    path.chmod(0o644)
    path.unlink()


def table(text: str) -> list[list[str]]:
    return [line.split("\t") for line in text.splitlines()]


def is_harmless(text: str) -> bool:
    return not any((ord(c) < 32 and c not in "\n\t") or c in "\x7f\x9b\u202e\u200b" for c in text)
