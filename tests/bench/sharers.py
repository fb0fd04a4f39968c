"""Those who share: gitexp, plain git and DVC, each with a remote and two clones.

`tests.bench.share` says what each of them does, and measures it.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import gitexp
from gitexp.git import refs
from gitexp.store.batch import note_path
from tests.bench.common import demand, git, run_process
from tests.bench.corpus import make_corpus
from tests.remotes import HttpRemote, http_remote

NEW = 10
"""Runs, experiments or commits that are new in each round."""

DVC_AT_MOST = 10_000
"""Experiments in a remote of DVC's."""

STEPS = ("push", "pull", "push nothing", "pull nothing")
_DVC_ALL = 1_000
"""Above this ``dvc exp pull -A`` takes a minute and more: plain git fills the clones."""

Command = tuple[Sequence[str], Path]
"""Words, and the folder to run them in."""


class Transfer(NamedTuple):
    """What one command took: seconds, and bytes of HTTP bodies that the client sent and got."""

    seconds: float
    sent: float
    received: float

    @property
    def total(self) -> float:
        """Bytes both ways."""
        return self.sent + self.received


class Side(Protocol):
    """One who shares, at one size."""

    @property
    def remote(self) -> HttpRemote:
        """Where to."""

    @property
    def steps(self) -> Sequence[str]:
        """What to measure of it, in order."""

    def prepare(self, turn: int) -> None:
        """Make what is new in this turn; none of this counts."""

    def command(self, step: str, turn: int) -> Command:
        """Return how to do one of `STEPS`."""

    def check(self, turn: int) -> None:
        """Refuse to go on unless what was new in this turn has arrived.

        Raises:
            RuntimeError: It has not.
        """


@dataclass
class Gitexp:
    """``git exp push`` and ``git exp pull``."""

    remote: HttpRemote
    sender: Path
    receiver: Path
    steps: Sequence[str] = STEPS
    made: list[str] = field(default_factory=list)

    def prepare(self, turn: int) -> None:
        """Record runs of a dirty tree, each with values of its own."""
        os.chdir(self.sender)
        self.made = []
        for number in range(NEW):
            (self.sender / "train.py").write_text(f"VERSION = 'turn {turn}, run {number}'\n")
            metadata = {"lr": 0.1 / (turn + 1), "width": 64 + number, "seed": number}
            with gitexp.Experiment("bench", metadata=metadata) as exp:
                for step in range(5):
                    exp.track({"step": step, "loss": 1 / (step + 1 + turn), "acc": step / NEW})
            self.made.append(exp.run_id)

    def command(self, step: str, turn: int) -> Command:  # noqa: ARG002 - all are alike
        """Return the command; what is new it finds itself."""
        what = step.partition(" ")[0]
        return ("git", "exp", what), self.sender if what == "push" else self.receiver

    def check(self, turn: int) -> None:
        """Look for snapshots and facts by plain git."""
        shard = f"{refs.FACTS}bench-0"
        names = [n for run in self.made for n in (run, f"{shard}:{note_path(run)}")]
        _demand_objects(self.receiver, names, f"a run of turn {turn} did not arrive")


@dataclass
class Git:
    """``git push`` and ``git fetch`` of a branch of its own for each turn."""

    remote: HttpRemote
    sender: Path
    receiver: Path
    steps: Sequence[str] = STEPS

    def prepare(self, turn: int) -> None:
        """Commit on a new branch, past the work tree."""
        edits = (f"VERSION = 'branch {turn}, commit {number}'\n" for number in range(NEW))
        branch = f"refs/heads/branch-{turn}"
        stream = [commit(branch, "edit", {"train.py": edit}) for edit in edits]
        stream[0] = stream[0].replace(b"M 100644", b"from refs/heads/main\nM 100644", 1)
        git(self.sender, "fast-import", "--quiet", stdin=b"".join(stream))

    def command(self, step: str, turn: int) -> Command:
        """Name the branch."""
        what = step.partition(" ")[0]
        words = ("git", {"push": "push", "pull": "fetch"}[what], "--quiet", "origin")
        return (*words, f"branch-{turn}"), self.sender if what == "push" else self.receiver

    def check(self, turn: int) -> None:
        """Look for the branch."""
        tip = git(self.sender, "rev-parse", f"branch-{turn}").decode().strip()
        _demand_objects(self.receiver, [tip], f"the branch of turn {turn} did not arrive")


@dataclass
class Dvc:
    """``dvc exp push`` and ``dvc exp pull``.

    Attributes:
        project: Where the new experiments come from.
        steps: Of `STEPS`, those that end in time.
    """

    remote: HttpRemote
    sender: Path
    receiver: Path
    project: DvcProject
    steps: Sequence[str]

    def prepare(self, turn: int) -> None:
        """Take over experiments that DVC made elsewhere, as if it had made them here."""
        names = [f"{self.project.prefix}{name}" for name in _experiments(turn)]
        specs = [f"{name}:{name}" for name in names]
        git(self.sender, "fetch", "--quiet", str(self.project.folder), *specs)

    def command(self, step: str, turn: int) -> Command:
        """Name the experiments, or say that all are meant."""
        what, _, nothing = step.partition(" ")
        which = ["-A", "origin"] if nothing else ["origin", *_experiments(turn)]
        words = [self.project.program, "exp", what, "--no-cache", *which]
        return words, self.sender if what == "push" else self.receiver

    def check(self, turn: int) -> None:
        """Look for their refs."""
        names = [f"{self.project.prefix}{name}" for name in _experiments(turn)]
        _demand_objects(self.receiver, names, f"an experiment of turn {turn} did not arrive")


def _demand_objects(folder: Path, names: Sequence[str], otherwise: str) -> None:
    text = "".join(f"{name}\n" for name in names).encode()
    found = git(folder, "cat-file", "--batch-check", stdin=text)
    demand(b"missing" not in found, otherwise)


def commit(ref: str, message: str, files: Mapping[str, str], before: str = "") -> bytes:
    """Return a commit for fast-import; ``before`` are lines that precede its files."""
    lines = [f"commit {ref}\ncommitter Ada <ada@example.org> {int(time.time())} +0000\n"]
    lines += [f"data {len(message)}\n{message}\n{before}"]
    lines += [f"M 100644 inline {path}\ndata {len(text)}\n{text}\n" for path, text in files.items()]
    return "".join(lines).encode()


# --- the places --------------------------------------------------------------------------------


@dataclass
class First:
    """The first push or pull of everything, at one size: how many, and what it took."""

    side: str
    step: str
    runs: int
    cost: Transfer


def timed(remote: HttpRemote, command: Command) -> Transfer:
    """Run a command that talks to a remote."""
    wire = remote.wire
    got, given = wire.bytes_in, wire.bytes_out
    cost = run_process(*command)
    return Transfer(cost.wall, wire.bytes_in - got, wire.bytes_out - given)


@contextlib.contextmanager
def gitexp_place(folder: Path, runs: int, firsts: list[First]) -> Iterator[tuple[Gitexp, Git]]:
    """Make a remote with so many runs and two clones that have them."""
    sender = make_corpus(folder / "sender", runs)
    receiver = folder / "receiver"
    with http_remote(folder) as remote:
        git(sender, "remote", "add", "origin", remote.url)
        git(sender, "push", "--quiet", "origin", "main")
        pushed = timed(remote, (("git", "exp", "push", "--all"), sender))
        git(folder, "clone", "--quiet", remote.url, str(receiver))
        remote.git("gc", "--quiet")
        pulled = timed(remote, (("git", "exp", "pull"), receiver))
        if runs:
            firsts += [First("gitexp", "push", runs, pushed), First("gitexp", "pull", runs, pulled)]
        yield Gitexp(remote, sender, receiver), Git(remote, sender, receiver)


@dataclass
class DvcProject:
    """A repository of DVC with experiments for all turns.

    Attributes:
        program: The path of ``dvc``.
        prefix: Where its experiments' refs are.
        model: Id of an experiment's commit, of which copies are made.
    """

    program: str
    folder: Path
    prefix: str
    model: str


def make_dvc_project(program: str, folder: Path, turns: int) -> DvcProject:
    """Make experiments by ``dvc exp save``."""
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "dvc.yaml").write_text("params:\n- params.yaml\nmetrics:\n- metrics.json\n")
    _save(folder, 0.0)
    subprocess.run([program, "init", "--quiet"], cwd=folder, check=True)
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "-m", "base")
    for turn in range(turns):
        for number, name in enumerate(_experiments(turn)):
            _save(folder, turn + number / NEW)
            command = [program, "exp", "save", "--quiet", "--name", name]
            subprocess.run(command, cwd=folder, check=True)
    base = git(folder, "rev-parse", "main").decode().strip()
    prefix = f"refs/exps/{base[:2]}/{base[2:]}/"
    model = git(folder, "rev-parse", f"{prefix}{_experiments(0)[0]}").decode().strip()
    return DvcProject(program, folder, prefix, model)


def _save(folder: Path, value: float) -> None:
    (folder / "params.yaml").write_text(f"lr: {value}\n")
    (folder / "metrics.json").write_text(f'{{"acc": {value}}}\n')


def _experiments(turn: int) -> list[str]:
    return [f"turn{turn}-{number}" for number in range(NEW)]


@contextlib.contextmanager
def dvc_place(project: DvcProject, folder: Path, runs: int, firsts: list[First]) -> Iterator[Dvc]:
    """Make a remote with so many experiments and two clones that have them."""
    sender, receiver = folder / "sender", folder / "receiver"
    folder.mkdir()
    with http_remote(folder) as remote:
        git(folder, "clone", "--quiet", "--branch=main", str(project.folder), str(sender))
        git(sender, "remote", "set-url", "origin", remote.url)
        git(sender, "push", "--quiet", "origin", "main")
        _copy_experiments(project, sender, runs)
        everything = runs <= _DVC_ALL
        steps = STEPS if everything else STEPS[:2]
        side = Dvc(remote, sender, receiver, project, steps)
        spec = f"{project.prefix}*:{project.prefix}*"
        by_git = {
            "push": (("git", "push", "--quiet", "origin", spec), sender),
            "pull": (("git", "fetch", "--quiet", "origin", spec), receiver),
        }
        git(folder, "clone", "--quiet", remote.url, str(receiver))
        for step in ("push", "pull") if runs else ():
            command = side.command(f"{step} nothing", 0) if everything else by_git[step]
            cost = timed(remote, command)
            if everything:
                firsts.append(First("DVC", step, runs, cost))
            remote.git("gc", "--quiet")
        for clone in (sender, receiver):
            git(clone, "pack-refs", "--all")
        yield side


def _copy_experiments(project: DvcProject, clone: Path, runs: int) -> None:
    """Write experiments that differ from one that DVC made in their values and names."""
    message = git(project.folder, "log", "-1", "--format=%B", project.model).decode().strip()
    tree = git(project.folder, "rev-parse", f"{project.model}^{{tree}}").decode().strip()
    git(clone, "fetch", "--quiet", str(project.folder), project.model)
    before = f'from refs/heads/main^0\nM 040000 {tree} ""\n'
    stream = (
        commit(
            f"{project.prefix}old{number}",
            message,
            {"params.yaml": f"lr: {-number}\n", "metrics.json": f'{{"acc": {-number}}}\n'},
            before,
        )
        for number in range(runs)
    )
    git(clone, "fast-import", "--quiet", stdin=b"".join(stream))
