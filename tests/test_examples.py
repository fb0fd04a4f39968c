"""The examples run, on a machine without git identity, and show what they say they show."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import gitexp
from tests.support import Git, gitexp_json

EXAMPLES = Path(__file__).parents[1] / "examples"

needs_sklearn = pytest.mark.skipif(
    importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed"
)


def run_example(name: str, *arguments: str) -> str:
    """Run an example with this Python's programs first on PATH; return what it printed."""
    programs = str(Path(sys.executable).parent)
    command = ["sh", "-eu"] if name.endswith(".sh") else [sys.executable]
    done = subprocess.run(
        [*command, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_quickstart_restores_the_best_runs_code_exactly(tmp_path: Path) -> None:
    folder = tmp_path / "quickstart"
    output = run_example("quickstart.sh", str(folder))
    assert output.endswith("LEARNING_RATE = 0.3\n")
    memory = gitexp.open(folder)
    last, best, first = memory.runs()
    assert [run.parameters["lr"] for run in (first, best, last)] == [0.01, 0.3, 1.01]
    assert memory.get("best:loss").id == best.id
    git = Git(folder)
    assert git("rev-parse", "HEAD") == best.id
    assert git.raw("show", f"{best.id}:train.py") == (folder / "train.py").read_bytes()
    assert b"LEARNING_RATE = 0.01" in git.raw("show", f"{first.id}:train.py")
    assert b"LEARNING_RATE = 1.01" in git.raw("show", f"{last.id}:train.py")
    assert git("status", "--porcelain") == ""


def test_quickstart_leaves_nothing_behind_without_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    run_example("quickstart.sh")
    assert list(scratch.iterdir()) == []


def test_the_program_of_exprag_records_its_steps_and_notes(repo: Git) -> None:
    run_example("track_experiment.py")
    memory = gitexp.open()
    (run,) = memory.runs()
    assert (run.name, run.status) == ("training my neural network", "finished")
    assert run.metadata == {"hparams": {"learning_rate": 0.03, "batch_size": 32}}
    calls = memory.calls(run)
    assert [(call.step, call.note) for call in calls] == [(i, "after each step") for i in range(5)]
    losses = [point.value for point in memory.history(run, "loss")]
    assert losses == [call.value["metrics"]["loss"] for call in calls]
    assert losses == sorted(losses, reverse=True)


@needs_sklearn
def test_training_on_digits_learns_and_records_it(repo: Git) -> None:
    output = run_example("digits.py", "--lr", "0.1", "--epochs", "5", "--seed", "3")
    memory = gitexp.open()
    (run,) = memory.runs()
    assert run.parameters == {
        "lr": 0.1,
        "batch_size": 32,
        "hidden": 32,
        "epochs": 5,
        "seed": 3,
        "activation": "relu",
    }
    assert (run.seed, run.tags, run.status) == (3, ("digits", "mlp"), "finished")
    losses = [point.value for point in memory.history(run, "loss")]
    accuracies = [point.value for point in memory.history(run, "acc")]
    assert len(losses) == 5
    assert losses[-1] < losses[0] / 2
    assert accuracies[-1] > 0.9
    assert f"validation accuracy {accuracies[-1]:.4f}" in output


@needs_sklearn
def test_the_sweep_finds_the_best_run_and_checks_it_out(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    output = run_example("sweep.sh", str(folder))
    ranking = gitexp_json("best", "acc", cwd=folder)
    values = [run["value"] for run in ranking["runs"]]
    assert len(values) == 6
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.95
    best = ranking["runs"][0]
    git = Git(folder)
    assert git("rev-parse", "HEAD") == best["run"]
    activation = best["parameters"]["activation"]
    assert f'ACTIVATION = "{activation}"' in (folder / "digits.py").read_text()
    assert '+ACTIVATION = "tanh"' in output
    assert len([run for run in ranking["runs"] if "tanh" in run.get("tags", ())]) == 3
