"""The command report: Markdown, a page, JSON, and what it refuses."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import pytest

from tests.full_store import Caller
from tests.lab import Lab
from tests.support import Git, gitexp


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def lab(repo: Git) -> Lab:
    made = Lab(repo)
    made.run(1.0, name="first")
    made.run(0.5, name="second", code="a = 2\n")
    return made


def test_in_a_pipe_the_report_is_markdown(lab: Lab, call: Caller) -> None:
    out = call("report").out
    assert out.startswith("# Experiments in repo: the last 16 hours\n")
    assert call("report", "--markdown").out == out


def test_without_runs_it_fails_with_a_sentence(repo: Git, call: Caller) -> None:
    done = call("report", code=1)
    assert "No run is recorded here yet." in done.err
    assert done.out == ""


def test_metric_and_direction_can_be_chosen(lab: Lab, call: Caller) -> None:
    best = lab.run(0.9, metric="acc", name="third", code="a = 3\n")
    lab.run(0.901, metric="acc", name="third", code="a = 3\n", seed=2)
    found = call.json("report", "--metric", "acc", "--max")
    assert found["registry"]["goal"] == {
        "metric": "acc",
        "goal": "max",
        "by": "best",
        "source": "option",
        "minimum": pytest.approx(0, abs=1),
    }
    assert found["registry"]["champion"]["run"]["run"] == best
    assert "No run has a metric named" in call("report", "--metric", "nothing", code=1).err


def test_the_json_is_the_report_itself(lab: Lab, call: Caller) -> None:
    found = call.json("report", "--since", "2 days")
    assert found["window"]["text"] == "since 2 days"
    assert [run["name"] for run in found["recent"]] == ["second", "first"]
    assert datetime.fromisoformat(found["generated"]).tzinfo is not None


def test_a_page_and_a_file_are_written(lab: Lab, call: Caller, tmp_path: Path) -> None:
    page, text = tmp_path / "r.html", tmp_path / "r.md"
    assert call("report", "--html", str(page)).out == f"Wrote {page}.\n"
    assert page.read_text().startswith("<!DOCTYPE html>")
    found = call.json("report", "-o", str(text))
    assert found["path"] == str(text)
    assert text.read_text() == call("report").out


@pytest.mark.parametrize(
    "words",
    [
        ["--since", "whenever"],
        ["--html", "x.html", "-o", "y.md"],
        ["--html", "x.html", "--markdown"],
        ["--min", "--max"],
    ],
)
def test_what_does_not_make_sense_is_refused(lab: Lab, call: Caller, words: list[str]) -> None:
    call("report", *words, code=2)


def test_a_file_that_cannot_be_written_is_said(lab: Lab, call: Caller, tmp_path: Path) -> None:
    done = call("report", "-o", str(tmp_path / "missing" / "r.md"), code=1)
    assert "error: " in done.err


def test_show_tells_what_was_decided(lab: Lab, call: Caller) -> None:
    run = lab.run(0.7, code="a = 9\n")
    assert "decision" not in call("show", run).out
    lab.decide(run, action="promote", priority="high")
    out = call("show", run).out
    section = out[out.index("\ndecision\n") :].split("\n\n")[0]
    assert "promote (high priority)" in section
    assert f"git exp verdict {run[:12]} keep" in section


def test_the_crash_of_a_real_command_is_told_with_its_place(repo: Git, call: Caller) -> None:
    code = "def main():\n    raise ValueError(f'shape {(3, 4)}')\n\n\nmain()\n"
    repo.write("pkg/train.py", code)
    for _ in range(2):
        gitexp("run", "--", sys.executable, "pkg/train.py", cwd=repo.path, check=None)
        repo.write("pkg/train.py", f"# later\n{code}")
    (cluster,) = call.json("report")["crashes"]
    assert cluster["label"] == "ValueError at pkg/train.py:main: shape (N, N)"
    assert (cluster["count"], cluster["own_fault"]) == (2, True)
    assert "Failed for good; do not repeat:" in call("context").out
