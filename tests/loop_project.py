"""Small projects for tests of the loop, and scripts of proposals for them.

A training takes some milliseconds: it prints a summary that is computed from the constants in its
code, with noise from its seed.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.loop.cycle import Loop
from gitexp.loop.plan import Budgets, LoopPlan
from gitexp.loop.progress import OnEvent
from gitexp.memory import Memory
from gitexp.providers.port import Provider, ProviderError, Reply, Request, Tokens
from gitexp.providers.script import ScriptProvider
from tests.support import Git, gitexp

TRAIN = """\
import os
import random

LR = 0.10
WIDTH = 8
STEPS = 100
SEED = int(os.environ.get("GITEXP_SEED", "0"))

noise = random.Random(f"{SEED} {LR} {WIDTH} {STEPS}").gauss(0.0, 0.001)
val_bpb = 1.0 + (LR - 0.3) ** 2 + 1.0 / WIDTH + 1.0 / STEPS + noise
print("step 1 of 1")
print("---")
print(f"val_bpb:          {val_bpb:.6f}")
print(f"training_seconds: {0.1:.1f}")
"""

PREPARE = '''\
"""Data and evaluation; not to be modified."""

MAX_SEQ_LEN = 2048


def evaluate_bpb(model, tokenizer, batch_size):
    return 1.0
'''

PROGRAM = """\
# autoresearch

This is an experiment to have the LLM do its own research.

You may edit `train.py`. You may not modify `prepare.py`. The goal is the lowest val_bpb.
LOOP FOREVER: run `uv run train.py > run.log 2>&1`, log the result to results.tsv.
"""

RESULTS = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"

SUMMARY = """\
---
val_bpb:          {val_bpb:.6f}
training_seconds: 300.1
total_seconds:    325.9
peak_vram_mb:     45060.2
mfu_percent:      39.80
total_tokens_M:   499.6
num_steps:        953
num_params_M:     50.3
depth:            8
"""

_AUTORESEARCH_TRAIN = """\
import random

from prepare import MAX_SEQ_LEN

# Model architecture
DEPTH = 8
ASPECT_RATIO = 64
MATRIX_LR = 0.04

noise = random.SystemRandom().gauss(0.0, 0.0005)
val_bpb = 1.0 + (MATRIX_LR - 0.05) ** 2 * 100 + 1.0 / DEPTH / 10 + noise
print('''%s'''.format(val_bpb=val_bpb), end="")
"""


def make_project(git: Git) -> None:
    """Commit a project with a training of milliseconds, on top of the fixture's repository."""
    git.write("train.py", TRAIN)
    git.write("prepare.py", PREPARE)
    git.write("program.md", "Lower val_bpb by changing train.py.\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", "a project")


def make_autoresearch(git: Git) -> None:
    """Make the fixture's repository one of karpathy/autoresearch's shape, as it is upstream."""
    for path in git("ls-files").split("\n"):
        (git.path / path).unlink()
    git.write("program.md", PROGRAM)
    git.write("prepare.py", PREPARE)
    git.write("train.py", _AUTORESEARCH_TRAIN % SUMMARY)
    git.write("README.md", "# autoresearch\n")
    git.write(".gitignore", ".venv\n__pycache__/\nresults.tsv\nrun.log\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", "as upstream")
    git.write("results.tsv", RESULTS)


def change(title: str, search: str, replace: str, path: str = "train.py", **more: Any) -> Any:
    """Return a proposal of one edit."""
    edit = {"path": path, "search": search, "replace": replace}
    return {"title": title, "hypothesis": f"{title} helps.", "edits": [edit], **more}


def constant(name: str, value: object, *, old: object) -> Any:
    """Return a proposal that gives a constant of the training another value."""
    return change(f"{name} {value}", f"{name} = {old}\n", f"{name} = {value}\n")


def write_script(path: Path, proposals: Iterable[object]) -> Path:
    """Write a script; a text is a line as it is."""
    lines = [each if isinstance(each, str) else json.dumps(each) for each in proposals]
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def script(folder: Path, *proposals: object, start: int = 0) -> ScriptProvider:
    """Return a provider with these proposals."""
    return ScriptProvider(write_script(folder / "script.jsonl", proposals), start=start)


def plan_for(**more: Any) -> LoopPlan:
    """Return a plan for `make_project`, with few runs."""
    known: dict[str, Any] = {
        "command": ("python", "train.py"),
        "metric": "val_bpb",
        "lower": True,
        "allow": ("train.py",),
        "protect": ("prepare.py",),
        "budgets": Budgets(runs=20, run_seconds=30.0),
        "sandbox": "off",
    }
    return LoopPlan(**(known | more))


def loop_for(
    git: Git, plan: LoopPlan, provider: Provider, *, on_event: OnEvent | None = None
) -> Loop:
    """Return a new session in a repository."""
    return Loop(
        Memory.open(git.path), plan, provider, environment=dict(os.environ), on_event=on_event
    )


def resumed(
    git: Git,
    session: str,
    provider: Provider,
    *,
    budgets: Budgets | None = None,
    on_event: OnEvent | None = None,
) -> Loop:
    """Return a session to go on with."""
    return Loop.resume(
        Memory.open(git.path),
        session,
        provider,
        environment=dict(os.environ),
        on_event=on_event,
        budgets=budgets,
    )


def library_of(git: Git) -> Library:
    """Return the library of a repository."""
    return Library(Repository.discover(git.path))


def known_project(folder: Path, patch: pytest.MonkeyPatch) -> Git:
    """Return a new project, as the current folder, whose code has been run four times.

    So its noise is known, and a session in it begins with the first proposal.
    """
    root = folder / "known"
    shutil.copytree(_prepared(), root, symlinks=True)
    patch.chdir(root)
    git = Git(root)
    git("update-index", "-q", "--refresh")
    return git


@functools.cache
def _prepared() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="gitexp-test-"))
    atexit.register(shutil.rmtree, folder)
    root = folder / "known"
    root.mkdir()
    git = Git(root)
    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.name", "Ada Lovelace")
    git("config", "user.email", "ada@example.org")
    make_project(git)
    with contextlib.chdir(root):
        result = loop_for(git, plan_for(methods=False), script(folder)).run()
        gitexp("replicate", result.runs[0], "--seeds", "1,2,3", "--no-decision")
    git("update-ref", "-d", f"refs/heads/{result.branch}")
    shutil.rmtree(root / ".git" / "exprag" / "loop")
    return root


class Users:
    """All that is the user's in a repository, to be compared byte by byte later."""

    def __init__(self, git: Git, *branches: str) -> None:
        """Look at it; `branches` are the sessions', which may be made."""
        self.files = _files(git.path)
        self.index = (git.path / ".git" / "index").read_bytes()
        self.head = (git.path / ".git" / "HEAD").read_bytes()
        self.config = (git.path / ".git" / "config").read_bytes()
        refs = git("for-each-ref", "--format=%(refname) %(objectname)").split("\n")
        ours = ("refs/exprag/", "refs/notes/exprag", "refs/heads/exp/")
        own = tuple(f"refs/heads/{branch} " for branch in branches)
        self.refs = [ref for ref in refs if not ref.startswith((*ours, *own))]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Users) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


def _files(top: Path) -> Mapping[str, tuple[bytes, int, int]]:
    found = {}
    for folder, names, files in os.walk(top):
        if ".git" in names:
            names.remove(".git")
        for name in files:
            path = Path(folder, name)
            status = path.lstat()
            found[str(path.relative_to(top))] = (
                path.read_bytes(),
                status.st_mtime_ns,
                status.st_mode,
            )
    return found


def worktrees(git: Git) -> list[str]:
    """Return the paths of all linked worktrees that git knows of."""
    lines = git("worktree", "list", "--porcelain").split("\n")
    return [line.removeprefix("worktree ") for line in lines if line.startswith("worktree ")][1:]


def have_uv() -> bool:
    """Say whether uv is installed here."""
    return shutil.which("uv") is not None


class Speaker:
    """A provider that says what it is told to, and remembers what it was asked."""

    keys: tuple[str, ...] = ()

    def __init__(
        self, *answers: str | ProviderError, name: str = "openai", model: str = "gpt-4o-mini"
    ) -> None:
        """Prepare the answers; the last one is given again and again."""
        self.name = name
        self.model = model
        self.requests: list[Request] = []
        self._answers = answers

    def ask(self, request: Request) -> Reply:
        """Give the next answer: 100 tokens for 1,000."""
        self.requests.append(request)
        answer = self._answers[min(len(self.requests), len(self._answers)) - 1]
        if isinstance(answer, ProviderError):
            raise answer
        return Reply(answer, Tokens(1_000, 100), self.model, 0.5)


def answer(*edits: tuple[str, str], title: str = "a change", cites: str = "") -> str:
    """Return an answer as models give it, with edits of ``train.py``."""
    parts = [f"title: {title}\nhypothesis: it helps\ncites: {cites}\npredicted: -0.01\n"]
    for search, replace in edits:
        marks = f"<<<<<<< SEARCH\n{search}\n=======\n{replace}\n>>>>>>> REPLACE\n"
        parts.append(f"FILE: train.py\n{marks}")
    return "\n".join(parts)
