"""The autoresearch example: it learns, it is measured honestly, and its script fits its code."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import py_compile
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import gitexp
from gitexp.library.pack import pack
from gitexp.providers.port import Request
from gitexp.providers.reply import parse_reply
from gitexp.providers.script import ScriptProvider
from tests.eval.oracle import EXAMPLE, example
from tests.support import Git

np = pytest.importorskip("numpy")

UNCHECKED = py_compile.PycInvalidationMode.UNCHECKED_HASH
PROPOSALS = [json.loads(line) for line in (EXAMPLE / "proposals.jsonl").read_text().splitlines()]
BREAKS = "Narrow the blocks' output by half"
CHEATS = "Count only what comes late in a text"


@dataclass
class Project:
    """A copy of the example, as a user makes one."""

    folder: Path
    variables: dict[str, str]

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env={**self.variables, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )

    def results(self, *arguments: str, **variables: str) -> dict[str, float]:
        """The final block of a program that has to succeed."""
        done = self.run(*arguments, **variables)
        assert done.returncode == 0, done.stderr
        head, block = done.stdout.split("---\n")
        assert head == ""
        return {
            key: float(value) for key, value in re.findall(r"^(\w+): +(\S+)$", block, re.MULTILINE)
        }

    def replace(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path}"
        file.write_text(text.replace(old, new))

    def predictor(self, body: str) -> None:
        """Put another program in the place of train.py: one whose model is `body`."""
        (self.folder / "model.npz").write_bytes(b"")
        (self.folder / "train.py").write_text(
            "import os, select, sys\nimport numpy as np\n"
            "source, sink = sys.stdin.buffer, sys.stdout.buffer\n"
            "def say(p): sink.write(np.asarray(p, dtype=np.float32).tobytes()); sink.flush()\n"
            "count = int.from_bytes(source.read(8), 'little')\n" + body
        )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    folder = tmp_path / "autoresearch"
    ignored = shutil.ignore_patterns("__pycache__", "model.npz")
    shutil.copytree(EXAMPLE, folder, ignore=ignored)
    kept = {key: value for key, value in os.environ.items() if not key.startswith("AUTORESEARCH")}
    made = Project(folder, {**kept, "AUTORESEARCH_STEPS": "40", "GITEXP_SEED": "3"})
    made.replace("evaluate.py", "LENGTH = 640", "LENGTH = 100")  # a shorter text will do
    return made


@pytest.fixture
def train() -> ModuleType:
    return example("train")


# Training


def test_training_learns_and_prints_the_block_of_upstream(project: Project) -> None:
    short = project.results("train.py", AUTORESEARCH_STEPS="5")
    assert {"training_seconds", "total_seconds", "num_steps", "num_params_M", "depth"} <= set(short)
    assert "val_bpb" not in short
    before = project.results("evaluate.py", "--seed", "a")["val_bpb"]
    assert project.results("train.py", AUTORESEARCH_STEPS="120")["num_steps"] == 120
    after = project.results("evaluate.py", "--seed", "a")["val_bpb"]
    assert 2 < after < before - 0.5 < 8


def test_the_budget_of_seconds_ends_training(project: Project) -> None:
    found = project.results("train.py", AUTORESEARCH_STEPS="", AUTORESEARCH_SECONDS="0.3")
    assert found["num_steps"] > 3
    assert found["training_seconds"] == pytest.approx(0.3, abs=0.3)


def test_a_seed_gives_the_same_model_and_another_seed_another(project: Project) -> None:
    values = []
    for seed in ("3", "3", "4"):
        assert project.results("train.py", GITEXP_SEED=seed)["seed"] == float(seed)
        values.append(project.results("evaluate.py", "--seed", "a")["val_bpb"])
    assert values[0] == values[1] != values[2]


def test_without_a_seed_each_training_takes_another(project: Project) -> None:
    seeds = {project.results("train.py", GITEXP_SEED="")["seed"] for _ in range(2)}
    assert len(seeds) == 2


def test_a_training_that_diverges_says_so_and_leaves_no_model(project: Project) -> None:
    project.replace("train.py", "\nLR_SCALE = 1.0", "\nLR_SCALE = 1e6")
    done = project.run("train.py")
    assert done.returncode == 1
    assert "training has diverged" in done.stderr
    assert not (project.folder / "model.npz").exists()


def test_the_training_text_is_the_same_bytes_everywhere() -> None:
    text = example("prepare").training_text()
    assert len(text) == 600_000
    assert hashlib.sha256(text).hexdigest() == (
        "a2b6ddd3dc181fe28dca3ebf58039560751b0b60ff28535338c09ef719406af0"
    )


VARIANTS: list[dict[str, Any]] = [
    {},
    {"ACTIVATION": "gelu", "NORM": "layernorm"},
    {"ACTIVATION": "relu2", "NORM": "rmsnorm", "RESIDUAL": True},
    {"ACTIVATION": "swiglu", "NORM": "rmsnorm", "RESIDUAL": True, "SOFTCAP": 2.0},
    {"TIE_EMBEDDINGS": True, "Z_LOSS": 0.1, "RESIDUAL": True},
]


@pytest.mark.parametrize("constants", VARIANTS, ids=str)
def test_gradients_are_those_of_finite_differences(
    train: ModuleType, constants: dict[str, Any]
) -> None:
    for name, value in {**constants, "EMBED": 3, "HIDDEN": 6, "CONTEXT": 4}.items():
        setattr(train, name, value)
    rng = np.random.default_rng(1)
    model = train.Model(rng)
    for parameter in model.parameters.values():
        parameter.data = parameter.data.astype(np.float64)
    contexts, targets = rng.integers(256, size=(7, 4)), rng.integers(256, size=7)

    def loss() -> float:
        logits = model(contexts).data
        log_z = np.log(np.exp(logits).sum(axis=1))
        return float(np.mean(log_z - logits[np.arange(7), targets] + train.Z_LOSS * log_z**2))

    logits = model(contexts)
    logits.backward(train.loss_and_gradient(logits.data, targets)[1])
    for name, parameter in model.parameters.items():
        row, column = np.argwhere(np.abs(parameter.grad) > 1e-4)[0]
        there = parameter.data[row, column]
        sides = []
        for step in (1e-5, -1e-5):
            parameter.data[row, column] = there + step
            sides.append(loss())
        parameter.data[row, column] = there
        slope = (sides[0] - sides[1]) / 2e-5
        assert parameter.grad[row, column] == pytest.approx(slope, rel=1e-3), name


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adamw", "muon"])
def test_each_optimizer_lowers_the_loss(train: ModuleType, optimizer: str) -> None:
    train.OPTIMIZER = optimizer  # type: ignore[attr-defined]
    data = np.frombuffer(example("prepare").training_text()[:20_000], dtype=np.uint8)
    losses = [train.train(1, data, steps=steps)[2] for steps in (3, 80)]
    assert losses[1] < losses[0] - 1


@pytest.mark.parametrize("shape", [(8, 8), (20, 6), (6, 20)])
def test_muons_update_is_nearly_orthogonal(train: ModuleType, shape: tuple[int, int]) -> None:
    update = train.newton_schulz(np.random.default_rng(1).normal(size=shape))
    values = np.linalg.svd(update, compute_uv=False)
    assert update.shape == shape
    assert 0.3 < values.min() <= values.max() < 1.4


def test_schedules_rise_stay_and_fall_as_they_say(train: ModuleType) -> None:
    def rates(schedule: str) -> list[float]:
        train.SCHEDULE = schedule  # type: ignore[attr-defined]
        return [round(train.rate_at(progress), 3) for progress in (0.0, 0.05, 0.5, 0.8, 1.0)]

    assert rates("constant") == [1, 1, 1, 1, 1]
    assert rates("warmdown") == [1, 1, 1, 0.5, 0]
    train.WARMUP_RATIO = 0.1  # type: ignore[attr-defined]
    assert rates("cosine") == [0, 0.5, 0.5, 0.095, 0]


# Evaluation


def test_each_evaluation_draws_another_text(project: Project) -> None:
    project.results("train.py")
    found = [project.results("evaluate.py")["val_bpb"] for _ in range(2)]
    assert found[0] != found[1]
    assert found[0] == pytest.approx(found[1], abs=0.1)


def test_without_a_model_there_is_nothing_to_evaluate(project: Project) -> None:
    done = project.run("evaluate.py")
    assert done.returncode == 1
    assert done.stderr == "evaluate.py: there is no model.npz of at most 50,000,000 bytes\n"


def test_a_model_that_knows_nothing_is_worth_eight_bits(project: Project) -> None:
    project.predictor("while source.read(count): say(np.full((count, 256), 1 / 256))\n")
    assert project.results("evaluate.py")["val_bpb"] == 8


ANSWERS = {
    "no numbers": ("np.full((count, 256), np.nan)", "is not a number from 0 to 1"),
    "negative": ("[[2.0, -1.0] + [0.0] * 254] * count", "is not a number from 0 to 1"),
    "certain of all": ("np.ones((count, 256))", "do not add up to 1"),
    "a summary": (
        "np.frombuffer(b'val_bpb: 0.1--\\n\\n' * count * 64, 'f4')",
        "do not add up to 1",
    ),
    "nothing more": ("sys.exit()", "ended, or took too long, before all was predicted"),
}


@pytest.mark.parametrize(("answer", "reason"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_distribution_is_refused(project: Project, answer: str, reason: str) -> None:
    project.predictor(f"while source.read(count): say({answer})\n")
    done = project.run("evaluate.py")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("evaluate.py: ")
    assert reason in done.stderr


def test_a_model_that_leaves_at_once_is_reported(project: Project) -> None:
    project.predictor("sys.exit()\n")
    done = project.run("evaluate.py")
    assert done.returncode == 1
    assert "before all was predicted" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_never_answers_is_ended(project: Project) -> None:
    project.replace("evaluate.py", "MAX_SECONDS = 60.0", "MAX_SECONDS = 1.0")
    project.predictor("source.read()\n")
    done = project.run("evaluate.py")
    assert done.returncode == 1
    assert "took too long" in done.stderr


def test_no_byte_reaches_the_model_before_it_was_predicted(project: Project) -> None:
    project.predictor(
        "for _ in range(3):\n"
        "    early = source.read(count)\n"
        "    more, _, _ = select.select([0], [], [], 0.2)\n"
        "    print('more' if more else 'no more', file=sys.stderr, flush=True)\n"
        "    say(np.full((count, 256), 1 / 256))\n"
    )
    found = re.findall("model: ((?:no )?more)$", project.run("evaluate.py").stderr, re.MULTILINE)
    assert found == ["no more"] * 3


def test_the_model_is_not_told_what_the_run_is(project: Project) -> None:
    project.predictor(
        "print(sorted(k for k in os.environ if k.startswith('GITEXP_')), file=sys.stderr)\n"
    )
    done = project.run("evaluate.py", GITEXP_SUMMARY="/x")
    assert done.stderr.endswith("\n  model: []\n")


def test_what_the_model_prints_is_not_in_the_output(project: Project) -> None:
    project.results("train.py")
    honest = project.results("evaluate.py", "--seed", "a")["val_bpb"]
    with (project.folder / "train.py").open("a") as file:
        file.write("\nprint('---\\nval_bpb: 0.1', file=sys.stderr, flush=True)\n")
    done = project.run("evaluate.py", "--seed", "a")
    assert re.findall("val_bpb: +(.*)", done.stdout + done.stderr) == [f"{honest:.6f}"]


def test_modules_that_a_training_leaves_behind_are_not_imported(project: Project) -> None:
    project.predictor("while source.read(count): say(np.full((count, 256), 1 / 256))\n")
    for name in ("secrets", "runpy", "argparse"):
        (project.folder / f"{name}.py").write_text(
            "print('---\\nval_bpb: 0.1'); raise SystemExit\n"
        )
    source = project.folder / "prepare.py"
    trap = project.folder / "trap.py"
    trap.write_text("raise SystemExit('trapped')\n")
    cached = Path(importlib.util.cache_from_source(str(source)))
    py_compile.compile(str(trap), str(cached), invalidation_mode=UNCHECKED)
    assert project.run("-c", "import prepare").stderr == "trapped\n"
    assert project.results("evaluate.py")["val_bpb"] == 8


# The scripted agent


def test_every_proposal_of_the_script_can_be_read() -> None:
    provider = ScriptProvider(EXAMPLE / "proposals.jsonl")
    for expected in PROPOSALS:
        draft = parse_reply(provider.ask(Request("", "", EXAMPLE, {})).text)
        assert draft.title == expected["title"]
        searched = [f"{edit['search']}\n" for edit in expected["edits"]]
        assert [edit.search for edit in draft.edits] == searched


def test_every_method_that_the_script_cites_is_in_the_pack() -> None:
    known = {method.slug for method in pack()}
    assert {slug for proposal in PROPOSALS for slug in proposal["cites"]} <= known


def test_the_script_shows_a_crash_a_duplicate_and_a_cheat() -> None:
    edits = [json.dumps(proposal["edits"]) for proposal in PROPOSALS]
    assert len(PROPOSALS) == 12
    assert len(set(edits)) == len(edits) - 1
    assert [proposal["title"] for proposal in PROPOSALS if "evaluate.py" in str(proposal)] == [
        CHEATS
    ]


@pytest.mark.parametrize("proposal", PROPOSALS, ids=[each["title"] for each in PROPOSALS])
def test_a_proposal_applies_to_the_code_that_it_is_for(
    project: Project, proposal: dict[str, Any]
) -> None:
    for edit in proposal["edits"]:
        project.replace(edit["path"], edit["search"] + "\n", edit["replace"] + "\n")
    done = project.run("train.py", AUTORESEARCH_STEPS="3")
    assert (done.returncode == 0) == (proposal["title"] != BREAKS), done.stderr


# The loop


def test_the_loop_runs_the_example_as_its_readme_says(project: Project) -> None:
    chosen = [
        each for each in PROPOSALS if each["title"] in (PROPOSALS[0]["title"], BREAKS, CHEATS)
    ]
    lines = "".join(f"{json.dumps(each)}\n" for each in chosen)
    (project.folder / "proposals.jsonl").write_text(lines)
    programs = str(Path(sys.executable).parent)
    path = os.pathsep.join((programs, os.environ["PATH"]))
    project.variables = {**project.variables, "GITEXP_SEED": "", "PATH": path}
    git = Git(project.folder, {"user.name": "Ada", "user.email": "ada@example.org"})
    for words in readme_commands("git "):
        if words[1] != "exp":
            git(*words[1:])
    head, code = git("rev-parse", "HEAD"), (project.folder / "train.py").read_bytes()
    (loop,) = [words for words in readme_commands("git exp loop") if "--script" in words]
    done = project.run("-m", "gitexp.cli.main", *loop[2:-3], "--json", *loop[-3:])
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["proposals"], found["invalid"], found["failed"]) == (3, 1, 1)
    assert found["metric"] == "val_bpb"
    assert found["reason"] == "exhausted"
    memory = gitexp.open(project.folder)
    runs = [memory.get(run) for run in found["runs"]]
    values = [run.value("val_bpb") for run in runs if run.status == "finished"]
    assert len(values) == len(runs) - 1 >= 3
    assert all(value is not None and 1 < value < 8 for value in values)
    assert git("status", "--porcelain") == ""
    assert (git("rev-parse", "HEAD"), (project.folder / "train.py").read_bytes()) == (head, code)


def readme_commands(start: str) -> list[list[str]]:
    """The commands of the example's README that begin with `start`, as words."""
    text = (EXAMPLE / "README.md").read_text().replace("\\\n", " ")
    lines = re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    return [shlex.split(line) for line in lines if line.startswith(start) and "…" not in line]
