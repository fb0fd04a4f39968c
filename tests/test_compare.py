"""What differs between two runs: pure data in, pure data out."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

from gitexp.compare import Comparison, compare
from gitexp.environment import encode_environment
from gitexp.records.environment import Accelerator, Environment, Platform, PythonBuild
from gitexp.records.facts import Input, Summary
from gitexp.run import Run


def a_run(name: str = "a", **fields: Any) -> Run:
    return Run(
        id=name * 40,
        name=name,
        status=fields.pop("status", "finished"),
        started=datetime(2026, 1, 1, tzinfo=UTC),
        by="Ada",
        **fields,
    )


def environment(python: str = "3.12.1", *, gpus: int = 0, **packages: str) -> bytes:
    devices = (Accelerator("nvidia", "H100", gpus),) if gpus else ()
    _, content = encode_environment(
        Environment(
            python=PythonBuild(python, "cpython", "build", "abi"),
            platform=Platform("Linux", "6.1", "x86_64", None),
            packages=packages,
            accelerators=devices,
        )
    )
    return content


def summary(low: float, high: float, last: float | str) -> Summary:
    return Summary(
        first=low, last=last, count=3, min=low, max=high, mean=low, step_of_min=0, step_of_max=2
    )


def shown(comparison: Comparison, part: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = comparison.to_dict()[part]
    return found


def test_equal_runs_differ_in_nothing() -> None:
    run = a_run(parameters={"lr": 0.1}, metadata={"x": 1}, metrics={"acc": summary(0, 1, 1)})
    found = compare(run, run, environment(), environment()).to_dict()
    assert {name: found[name] for name in ("outcome", "parameters", "metadata", "inputs")} == {
        "outcome": [],
        "parameters": [],
        "metadata": [],
        "inputs": [],
    }
    assert found["environment"] == {"system": [], "packages": []}


def test_parameters_that_differ_are_named_by_path_and_a_missing_side_is_absent() -> None:
    a = a_run(parameters={"opt": {"name": "adam", "lr": 0.1}, "same": 1, "only_a": None})
    b = a_run("b", parameters={"opt": {"name": "sgd", "lr": 0.1}, "same": 1}, seed=3)
    assert shown(compare(a, b), "parameters") == [
        {"name": "params.only_a", "a": None},
        {"name": "params.opt.name", "a": "adam", "b": "sgd"},
        {"name": "seed", "b": 3},
    ]


def test_nan_is_the_same_as_nan_and_is_a_text_in_json() -> None:
    a = a_run(parameters={"x": math.nan, "y": math.nan})
    b = a_run("b", parameters={"x": math.nan, "y": math.inf})
    assert shown(compare(a, b), "parameters") == [{"name": "params.y", "a": "NaN", "b": "Infinity"}]


def test_metadata_is_compared_by_path_or_as_a_whole() -> None:
    nested = compare(a_run(metadata={"x": {"y": 1}}), a_run("b", metadata={"x": {"y": 2}}))
    assert shown(nested, "metadata") == [{"name": "metadata.x.y", "a": 1, "b": 2}]
    mixed = compare(a_run(metadata="text"), a_run("b", metadata={"x": 1}))
    assert shown(mixed, "metadata") == [{"name": "metadata", "a": "text", "b": {"x": 1}}]
    assert shown(compare(a_run(), a_run("b", metadata=[1])), "metadata") == [
        {"name": "metadata", "b": [1]}
    ]


def test_metrics_stand_side_by_side_with_the_best_in_their_direction() -> None:
    a = a_run(metrics={"acc": summary(0.1, 0.9, 0.8), "loss": summary(0.2, 2.0, "NaN")})
    b = a_run("b", metrics={"acc": summary(0.3, 0.7, 0.7)})
    assert shown(compare(a, b), "metrics") == [
        {
            "name": "acc",
            "goal": "max",
            "a": {"best": 0.9, "step": 2, "last": 0.8},
            "b": {"best": 0.7, "step": 2, "last": 0.7},
        },
        {"name": "loss", "goal": "min", "a": {"best": 0.2, "step": 0, "last": "NaN"}},
    ]


def test_the_repositorys_settings_decide_the_direction() -> None:
    a = a_run(metrics={"acc": summary(0.1, 0.9, 0.8)})
    found = compare(a, a, settings={"exprag.goal": "min"}).metrics
    assert [pair.goal for pair in found] == ["min"]


def test_outcomes_and_inputs_that_differ_are_listed() -> None:
    a = a_run(duration=1.5, inputs=(Input("data", "aa", 1), Input("more", "bb", 1)))
    b = a_run("b", status="crashed", exit_code=1, inputs=(Input("data", "cc", 1),))
    found = compare(a, b)
    assert shown(found, "outcome") == [
        {"name": "duration", "a": 1.5},
        {"name": "exit_code", "b": 1},
        {"name": "status", "a": "finished", "b": "crashed"},
    ]
    assert shown(found, "inputs") == [
        {"name": "data", "a": "aa", "b": "cc"},
        {"name": "more", "a": "bb"},
    ]


def test_the_environment_says_what_was_added_removed_and_changed() -> None:
    before = environment("3.11.7", torch="2.1", numpy="1.26", old="1")
    after = environment("3.12.1", gpus=2, torch="2.2", numpy="1.26", new="1")
    found = compare(a_run(), a_run("b"), before, after).to_dict()["environment"]
    assert found["packages"] == [
        {"name": "new", "b": "1"},
        {"name": "old", "a": "1"},
        {"name": "torch", "a": "2.1", "b": "2.2"},
    ]
    assert found["system"] == [
        {"name": "accelerators", "b": "2 x nvidia H100"},
        {"name": "python.version", "a": "3.11.7", "b": "3.12.1"},
    ]


def test_an_environment_that_is_missing_or_damaged_is_left_out() -> None:
    for bad in (None, b"", b"{}", b"not json", b"[" * 100_000):
        assert "environment" not in compare(a_run(), a_run("b"), environment(), bad).to_dict()
