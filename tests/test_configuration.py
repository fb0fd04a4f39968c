"""What makes two runs the same configuration: parameters, command, inputs, and never the seed."""

from __future__ import annotations

from typing import Any

import pytest

from gitexp.configuration import is_seed, seed_of, setup_digest, without_seeds
from gitexp.records.facts import GitState, Input, RemarkFact, RunFact
from gitexp.run import Run, build_run

TIME = "2026-01-31T12:00:00.000000Z"
CODE = GitState(head=None, branch=None, dirty=False)


def made(run_id: str = "a" * 40, **about: Any) -> Run:
    fact = RunFact(time=TIME, by="x", name="x", **{"git": CODE, **about})
    run = build_run(run_id, [fact])
    assert run is not None
    return run


@pytest.mark.parametrize(
    "name",
    ["seed", "SEED", "--seed", "random_seed", "data.seed", "trainer-seed", "model.randomSeed"],
)
def test_names_of_seeds_are_known(name: str) -> None:
    assert is_seed(name)


@pytest.mark.parametrize("name", ["seeds", "seedling", "reseeded", "n_seed_points", ""])
def test_other_names_are_no_seeds(name: str) -> None:
    assert not is_seed(name)


@pytest.mark.parametrize(
    ("command", "rest"),
    [
        (["python", "t.py", "--seed", "3", "--lr", "1"], ["python", "t.py", "--lr", "1"]),
        (["t", "--seed=3", "x"], ["t", "x"]),
        (["t", "seed=3", "model.seed=4", "x=5"], ["t", "x=5"]),
        (["t", "seed", "3"], ["t", "seed", "3"]),
        (["t", "--seed"], ["t"]),
        ([], []),
    ],
)
def test_seeds_are_taken_out_of_a_command(command: list[str], rest: list[str]) -> None:
    assert list(without_seeds(command)) == rest


def test_seeds_do_not_count_wherever_they_stand() -> None:
    plain = setup_digest(made(parameters={"lr": 0.1}, command=("t",)))
    assert setup_digest(made(parameters={"lr": 0.1, "seed": 5}, command=("t",), seed=1)) == plain
    assert setup_digest(made(parameters={"lr": 0.1}, command=("t", "--seed", "7"))) == plain


def test_parameters_command_and_inputs_count() -> None:
    data = Input("data", "d" * 32, 10)
    runs = [
        made(parameters={"lr": 0.04}),
        made(parameters={"lr": 0.4}),
        made(parameters={"lr": "0.4"}),
        made(parameters={"opt": {"lr": 0.4}}),
        made(parameters={"lr": float("nan")}),
        made(command=("t",)),
        made(inputs=(data,)),
        made(inputs=(Input("data", "e" * 32, 10),)),
        made(),
    ]
    assert len({setup_digest(run) for run in runs}) == len(runs)


def test_the_order_of_parameters_and_the_names_of_data_do_not_count() -> None:
    one, two = Input("a", "1" * 32, 1), Input("b", "2" * 32, 1)
    renamed = Input("z", one.digest, 1)
    first = made(parameters={"a": 1, "b": 2}, inputs=(one, two))
    second = made(parameters={"b": 2, "a": 1}, inputs=(two, renamed))
    assert setup_digest(first) == setup_digest(second)


def test_parameters_that_were_added_later_count() -> None:
    begin = RunFact(time=TIME, by="x", name="x", git=CODE)
    later = RemarkFact(time=TIME, by="x", parameters={"lr": 1})
    run = build_run("a" * 40, [begin, later])
    assert run is not None
    assert setup_digest(run) == setup_digest(made(parameters={"lr": 1}))


def test_without_its_code_a_run_is_told_by_its_commit_and_what_is_said_of_it() -> None:
    def imported(run_id: str, commit: str | None, description: str) -> bytes:
        metadata = {"commit": commit} if commit else None
        return setup_digest(made(run_id, git=None, metadata=metadata, description=description))

    assert imported("a" * 40, "f3bb5e2", "lr 0.1") == imported("b" * 40, "f3bb5e2", "lr 0.1")
    assert imported("a" * 40, "f3bb5e2", "lr 0.1") != imported("b" * 40, "f3bb5e2", "lr 0.2")
    assert imported("a" * 40, None, "lr 0.1") != imported("b" * 40, None, "lr 0.1")


@pytest.mark.parametrize(
    ("about", "seed"),
    [
        ({"seed": 3, "command": ("t", "--seed", "4")}, "3"),
        ({"command": ("t", "--seed", "4")}, "4"),
        ({"command": ("t", "--seed=4")}, "4"),
        ({"parameters": {"data": {"seed": 1}}}, "data.seed=1"),
        ({}, None),
    ],
)
def test_the_seed_is_found(about: dict[str, Any], seed: str | None) -> None:
    assert seed_of(made(**about)) == seed
