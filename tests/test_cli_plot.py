from __future__ import annotations

import json
import math
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from gitexp.experiment import Experiment
from tests.full_store import Caller, hostile_run, is_harmless, record_runs, running
from tests.support import Git, gitexp


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def record(name: str, values: list[float]) -> str:
    with Experiment(name) as experiment:
        for value in values:
            experiment.track({"loss": value})
    return experiment.run_id


def test_the_five_latest_runs_with_the_metric_are_drawn(call: Caller, repo: Git) -> None:
    for i in range(6):
        record(f"run {i}", [1.0, 0.5])
    with Experiment("other") as experiment:
        experiment.track({"acc": 1.0})
    shown = call("plot", "loss")
    names = [line.split()[-1] for line in shown.out.splitlines()[-5:]]
    assert names == ["5", "4", "3", "2", "1"]
    assert "5 latest of 6" in shown.err
    assert "\x1b" not in shown.out


def test_a_run_in_progress_is_drawn(call: Caller, repo: Git) -> None:
    record("done", [1.0])
    with running("still going"):
        data = call.json("plot", "loss")
        assert "still going" in call("plot", "loss").out
    assert [run["name"] for run in data["runs"]] == ["still going", "done"]


def test_runs_are_drawn_in_the_order_in_which_they_are_named_each_once(
    call: Caller, repo: Git
) -> None:
    first, second, _ = record_runs(repo)
    data = call.json("plot", "acc", second, first, "run 0")
    assert [run["run"] for run in data["runs"]] == [second, first]
    assert data["metric"] == "metrics.acc"


def test_a_named_run_without_the_metric_is_an_error(call: Caller, repo: Git) -> None:
    record("with", [1.0])
    with Experiment("without") as experiment:
        experiment.track({"acc": 1.0})
    refused = call("plot", "loss", "with", "without", code=1)
    assert "has not tracked loss" in refused.err
    assert "No run has a metric" in call("plot", "lsos", code=1).err


def test_a_long_history_is_sampled_with_its_extremes(call: Caller, repo: Git) -> None:
    values = [1.0] * 3000
    values[1234], values[2222] = 9.0, math.nan
    record("long", values)
    (run,) = call.json("plot", "loss")["runs"]
    assert run["count"] == 3000
    assert len(run["points"]) <= 500
    assert (1234, 9.0) in [(point["step"], point["value"]) for point in run["points"]]


def test_smoothing_is_done_before_sampling(call: Caller, repo: Git) -> None:
    record("noisy", [float(i % 2) for i in range(2000)])
    data = call.json("plot", "loss", "--smooth", "0.99")
    assert data["smooth"] == 0.99
    assert data["runs"][0]["points"][-1]["value"] == pytest.approx(0.5, abs=0.01)


def test_an_svg_or_png_file_is_written(call: Caller, repo: Git, tmp_path: Path) -> None:
    record("one", [1.0, 0.5, 0.25])
    svg = tmp_path / "loss.SVG"
    assert call("plot", "loss", "-o", str(svg), "--log-y").out == f"Wrote {svg}.\n"
    assert ET.parse(svg).getroot().get("width") == "800"
    pytest.importorskip("matplotlib")
    png = tmp_path / "loss.png"
    data = call.json("plot", "loss", "-o", str(png), "--x", "time", "--smooth", "0.5")
    assert data["output"] == str(png)
    assert png.read_bytes().startswith(b"\x89PNG")


def test_time_is_in_the_unit_that_fits(call: Caller, repo: Git) -> None:
    record("quick", [1.0, 0.5])
    assert "seconds since the run started" in call("plot", "loss", "--x", "time").out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--smooth", "1"], "--smooth must be"),
        (["--width", "39"], "--width must be from 40 to 300"),
        (["--height", "9", "-o", "a.svg"], "--height must be from 200 to 10000"),
        (["-o", "a.pdf"], "neither an .svg nor a .png"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    call: Caller, repo: Git, words: list[str], message: str
) -> None:
    assert message in call("plot", "loss", *words, code=2).err


def test_a_logarithmic_axis_that_shows_nothing_is_refused(call: Caller, repo: Git) -> None:
    record("below", [-1.0, 0.0])
    assert "none of its values is positive" in call("plot", "loss", "--log-y", code=1).err


def test_a_terminal_without_braille_gets_ascii(repo: Git) -> None:
    record("one", [1.0, 0.5])
    shown = gitexp("plot", "loss", PYTHONIOENCODING="ascii", COLUMNS="60")
    assert shown.stdout.isascii()
    assert max(map(len, shown.stdout.splitlines())) == 60
    assert shown.stderr == ""


def test_hostile_names_do_no_harm(call: Caller, repo: Git, tmp_path: Path) -> None:
    hostile_run(repo)
    with Experiment("\x1b[31mred\u202e") as experiment:
        experiment.track({"\x1b[2Jloss": 1.0})
    assert is_harmless(call("plot", "\x1b[2Jloss").out)


def test_metrics_shows_so_many_points_as_asked(call: Caller, repo: Git) -> None:
    record("long", [float(-abs(i - 70)) for i in range(200)])
    data = json.loads(call("metrics", "latest", "loss", "--points", "4", "--json").out)
    assert [p["step"] for p in data["points"]] == [0, 70, 198, 199]
    assert data["count"] == 200
    assert len(call("metrics", "latest", "loss", "--points", "4").out.splitlines()) == 5


def test_points_need_a_metric_and_room_for_the_extremes(call: Caller, repo: Git) -> None:
    record("one", [1.0])
    assert "--points needs a metric" in call("metrics", "latest", "--points", "9", code=2).err
    refused = call("metrics", "latest", "loss", "--points", "3", code=2)
    assert "--points must be 4 or more" in refused.err
