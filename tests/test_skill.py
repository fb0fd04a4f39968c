from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitexp.agents.skill import skill_text
from tests.programs import install
from tests.support import Git, gitexp, gitexp_json

SKILL = skill_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", SKILL, flags=re.DOTALL)
INLINE = re.findall(r"`(git exp [a-z]+ [^`\n]+)`", SKILL)

TRAIN = """
from gitexp import Experiment

LEARNING_RATE, BATCH_SIZE, TOP = {learning_rate}, {batch_size}, {top}
params = {{"learning_rate": LEARNING_RATE, "batch_size": BATCH_SIZE}}
with Experiment({name!r}, params=params) as experiment:
    for step in range(3):
        acc = TOP - 0.1 * abs(step - 1)
        experiment.track({{"step": step, "loss": 1 - acc, "acc": acc}}, note="after each epoch")
"""
RUNS = [
    ("baseline", 0.1, 64, 0.80),
    ("lr 0.3", 0.3, 64, 0.92),
    ("small batches", 0.1, 32, 0.85),
    ("lr 0.5", 0.5, 64, 0.91),
    ("lr 0.9", 0.9, 64, 0.55),
    ("lr 0.01", 0.01, 64, 0.60),
    ("lr 0.4", 0.4, 64, 0.97),
    ("lr 0.2", 0.2, 64, 0.89),
    ("lr 0.05", 0.05, 64, 0.78),
    ("lr 0.35", 0.35, 64, 0.90),
]
OLD = ("long ago", 0.7, 16, 0.99)


def train(repo: Git, name: str, learning_rate: float, batch_size: int, top: float) -> None:
    source = TRAIN.format(name=name, learning_rate=learning_rate, batch_size=batch_size, top=top)
    repo.write("train.py", source)
    subprocess.run([sys.executable, "train.py"], check=True)


@pytest.fixture
def runs(repo: Git, shell: None) -> dict[str, dict[str, Any]]:
    """Ten runs whose code differs, by name; and a remote to share them."""
    remote = str(repo.path.with_name("remote.git"))
    repo("init", "--quiet", "--bare", remote)
    repo("remote", "add", "origin", remote)
    for number, about in enumerate(RUNS):
        train(repo, *about)
        if number == len(RUNS) // 2:
            repo("commit", "--quiet", "-am", "half way")
    return {run["name"]: run for run in gitexp_json("log")["runs"]}


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make ``git exp`` and ``python`` be the ones of this environment."""
    install(tmp_path / "bin", monkeypatch)


def sh(script: str) -> str:
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def block(question: str) -> str:
    """Return the commands that answer a question: the first block after its text."""
    return str(re.findall(r"```sh\n(.*?)```", SKILL[SKILL.index(question) :], flags=re.DOTALL)[0])


def table(output: str) -> list[dict[str, str]]:
    header, *rows = (line.split("\t") for line in output.splitlines())
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_skill_has_the_front_matter_that_agents_look_for() -> None:
    assert re.match(r"---\nname: gitexp\ndescription: >-\n(  .+\n)+---\n", SKILL)


def test_every_command_of_the_skill_runs(runs: dict[str, Any], repo: Git) -> None:
    assert len(BLOCKS) >= 9
    assert len(INLINE) >= 2
    for commands in BLOCKS:
        sh(commands)
    for command in INLINE:
        sh(command.replace("RUN", "latest").replace("NAME", "an-idea"))
        if "checkout" in command:
            sh("git exp checkout -")


def test_every_block_is_made_of_commands_that_exist() -> None:
    from gitexp.cli.registry import COMMANDS

    used = set(re.findall(r"git exp ([a-z]+)", SKILL))
    assert used <= {command.name for command in COMMANDS}
    assert {"best", "diff", "metrics", "checkout", "run", "note", "tag", "verdict"} <= used


def test_skill_finds_the_best_run_of_the_last_two_weeks(
    runs: dict[str, Any], repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    (row,) = table(sh(block("last two weeks")))
    assert (row["name"], float(row["acc"])) == ("lr 0.4", 0.97)
    assert runs["lr 0.4"]["run"].startswith(row["run"])


def test_skill_leaves_runs_of_three_weeks_ago_out_of_the_best_of_two(
    runs: dict[str, Any], repo: Git
) -> None:
    source = TRAIN.format(name=OLD[0], learning_rate=OLD[1], batch_size=OLD[2], top=OLD[3])
    shifted = (
        "import time, gitexp.experiment\n"
        "now = time.time_ns\n"
        "gitexp.experiment._time_ns = lambda: now() - 21 * 86400 * 10**9\n"
    )
    subprocess.run([sys.executable, "-c", shifted + source], check=True)
    assert gitexp_json("best", "acc")["runs"][0]["name"] == "long ago"
    assert table(sh(block("last two weeks")))[0]["name"] == "lr 0.4"


def test_skill_shows_the_code_diff_of_the_two_latest_runs(runs: dict[str, Any]) -> None:
    shown = sh(block("between the two latest"))
    assert "-LEARNING_RATE, BATCH_SIZE, TOP = 0.05, 64, 0.78" in shown
    assert "+LEARNING_RATE, BATCH_SIZE, TOP = 0.35, 64, 0.9" in shown


def test_skill_finds_the_learning_rates_that_reach_ninety_percent(runs: dict[str, Any]) -> None:
    rows = table(sh(block("Which learning rates")))
    assert [row["params.learning_rate"] for row in rows] == ["0.4", "0.3", "0.5", "0.35"]


def test_skill_compares_the_best_run_with_the_latest(runs: dict[str, Any]) -> None:
    shown = sh(block("best run compare"))
    assert "0.97" in shown
    assert "0.9" in shown
    assert "-LEARNING_RATE, BATCH_SIZE, TOP = 0.4, 64, 0.97" in shown


def test_skill_gives_the_metric_history_of_the_run_with_batch_size_32(
    runs: dict[str, Any],
) -> None:
    *_, last = block("batch size was 32").strip().splitlines()
    first = block("batch size was 32").splitlines()[0]
    rows = table(sh(f"{first}\n{last}"))
    assert [row["step"] for row in rows] == ["0", "1", "2"]
    assert [float(row["acc"]) for row in rows] == pytest.approx([0.75, 0.85, 0.75])


def test_skill_restores_the_code_of_the_best_run(runs: dict[str, Any], repo: Git) -> None:
    repo("commit", "--quiet", "-am", "done")
    there, _back = block("Restore the code").strip().splitlines()
    sh(there)
    assert "TOP = 0.4, 64, 0.97" in (repo.path / "train.py").read_text()


def test_skill_checks_out_the_code_of_run_x_and_brings_local_changes_back(
    runs: dict[str, Any], repo: Git
) -> None:
    repo.write("train.py", "# not committed\n")
    there, back = block("Check out the exact code of run X").strip().splitlines()
    sh(there)
    assert "TOP = 0.2, 64, 0.89" in (repo.path / "train.py").read_text()
    sh(back)
    assert (repo.path / "train.py").read_text() == "# not committed\n"


def test_skill_is_written_with_its_folders_and_replaced_by_a_newer_one(repo: Git) -> None:
    path = repo.path / ".claude" / "skills" / "gitexp" / "SKILL.md"
    gitexp("skill", "--write", str(path))
    assert path.read_text() == SKILL
    path.write_text("---\nname: gitexp\ndescription: an older one\n---\n")
    gitexp("skill", "--write", str(path))
    assert path.read_text() == SKILL


def test_skill_does_not_replace_a_file_that_is_not_its_own(repo: Git) -> None:
    path = repo.write("SKILL.md", "---\nname: other\n---\n")
    refused = gitexp("skill", "--write", "SKILL.md", check=1)
    assert "no skill of gitexp" in refused.stderr
    assert path.read_text() == "---\nname: other\n---\n"
    gitexp("skill", "--write", "SKILL.md", "--force")
    assert path.read_text() == SKILL


def test_skill_works_outside_of_a_repository(hermetic: Path) -> None:
    assert gitexp("skill", cwd=hermetic).stdout == SKILL
    assert gitexp("skill", "--write", "missing-folder/../.", cwd=hermetic, check=1).stderr
