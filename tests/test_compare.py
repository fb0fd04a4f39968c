"""What differs between runs: pure data in, pure data out."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.compare import (
    Comparison,
    Gap,
    compare,
    compare_code,
    compare_runs,
    same,
    side_by_side,
)
from gitexp.environment import encode_environment
from gitexp.git.numstat import Changes
from gitexp.records.environment import Accelerator, Environment, Platform, PythonBuild
from gitexp.records.facts import Input, Summary
from gitexp.render.comparison import PEOPLE, PROGRAMS, Line, as_table, draw, elapsed, lines_of
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


# any number of runs


def of_runs(*runs: Run, **known: Any) -> Comparison:
    return compare_runs([run.to_dict() for run in runs], known.pop("environments", None), **known)


def three_runs() -> Comparison:
    return of_runs(
        a_run("a", parameters={"lr": 0.1, "width": 8}, metrics={"acc": summary(0.1, 0.9, 0.8)}),
        a_run("b", parameters={"lr": 0.2, "width": 8}, metrics={"acc": summary(0.1, 0.95, 0.8)}),
        a_run("c", parameters={"width": 8}),
    )


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (1, 1.0, True),
        (True, 1, False),
        (False, 0, False),
        (True, True, True),
        (math.nan, "NaN", True),
        (math.nan, math.nan, True),
        ([1, {"x": math.nan}], [1.0, {"x": math.nan}], True),
        ([True], [1], False),
        ({"x": True}, {"x": 1}, False),
        ("1", 1, False),
        (None, Gap.LACKING, False),
        (None, 0, False),
        ([], {}, False),
    ],
)
def test_what_counts_as_the_same(a: object, b: object, *, expected: bool) -> None:
    assert same(a, b) is same(b, a) is expected


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-2, 2),
        st.sampled_from([0.0, 1.0, 0.5, math.nan, math.inf, "", "1", "None", "NaN", "?"]),
    ),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)
PARAMETERS = st.dictionaries(st.sampled_from(["lr", "opt", "x"]), VALUES, max_size=3)


def told_apart(a: object, b: object) -> bool:
    """Say it in another way than `same` does: by the types and texts of the leaves."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) != len(b) or any(map(told_apart, a, b))
    if isinstance(a, bool) or isinstance(b, bool):
        return type(a) is not type(b) or a != b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a != b and not (math.isnan(a) and math.isnan(b))
    return type(a) is not type(b) or a != b


@given(st.lists(PARAMETERS, min_size=2, max_size=4))
def test_a_thing_is_listed_if_and_only_if_its_values_are_not_all_the_same(
    given_parameters: list[dict[str, Any]],
) -> None:
    missing = object()
    restored = [Run.from_document(a_run(parameters=p).to_dict()) for p in given_parameters]
    names = {name for run in restored for name in run.parameters}
    expected = {
        f"params.{name}"
        for name in names
        for run in restored
        if told_apart(run.parameters.get(name, missing), restored[0].parameters.get(name, missing))
    }
    comparison = of_runs(*restored)
    assert {item.name for item in comparison.differing().parameters} == expected
    assert {item.name for item in comparison.parameters} == {f"params.{name}" for name in names}
    for style in (PEOPLE, PROGRAMS):
        for line in lines_of(comparison, style):
            assert line.differs == (line.name in expected)
            assert (len(set(line.texts)) > 1) >= line.differs, "alike, but not the same"


def test_values_stand_in_the_order_of_the_runs_and_lacking_names_the_places() -> None:
    found = three_runs().differing().to_dict()
    assert [run["run"][:1] for run in found["runs"]] == ["a", "b", "c"]
    assert found["parameters"] == [
        {"name": "params.lr", "values": [0.1, 0.2, None], "lacking": [2]}
    ]
    assert found["metrics"] == [
        {
            "name": "acc",
            "goal": "max",
            "values": [
                {"best": 0.9, "step": 2, "last": 0.8},
                {"best": 0.95, "step": 2, "last": 0.8},
                None,
            ],
        }
    ]
    assert found["outcome"] == []


def test_recorded_null_is_not_the_same_as_lacking_it() -> None:
    found = of_runs(a_run(parameters={"x": None}), a_run("b"))
    assert found.differing().to_dict()["parameters"] == [
        {"name": "params.x", "values": [None, None], "lacking": [1]}
    ]
    assert [line.texts for line in lines_of(found, PEOPLE)][-1] == ["None", ""]


def test_tags_are_the_same_in_any_order() -> None:
    assert of_runs(a_run(tags=("x", "y")), a_run("b", tags=("y", "x"))).differing().outcome == ()


def test_metadata_of_runs_that_have_none_does_not_hide_the_paths_of_others() -> None:
    found = of_runs(a_run(metadata={"x": 1}), a_run("b"), a_run("c", metadata={"x": 1}))
    assert [item.name for item in found.differing().metadata] == ["metadata.x"]


def test_an_environment_that_is_not_known_differs_from_none() -> None:
    known = environment(torch="2.1")
    found = of_runs(a_run(), a_run("b"), a_run("c"), environments=[known, None, known])
    assert found.environment is not None
    assert found.environment.unknown == (1,)
    assert found.differing().to_dict()["environment"] == {
        "system": [],
        "packages": [],
        "unknown": [1],
    }
    texts = {line.name: line.texts for line in lines_of(found, PEOPLE)}
    assert texts["packages.torch"] == ["2.1", "?", "2.1"]


def test_code_is_compared_with_that_of_the_first_run() -> None:
    documents = [a_run(name).to_dict() for name in "abcd"]
    changes = {("t1", "t2"): Changes(2, 10, 3)}
    found = compare_code(documents, ["t1", "t2", "t1", None], changes)
    assert [(c.same, c.files, c.added, c.deleted) for c in found] == [
        (True, 0, 0, 0),
        (False, 2, 10, 3),
        (True, 0, 0, 0),
        (None, None, None, None),
    ]
    comparison = compare_runs(documents, None, code=found)
    texts = {line.name: line.texts for line in lines_of(comparison, PEOPLE) if line.differs}
    assert texts == {
        "changed files": ["base", "2", "same", "not here"],
        "changed lines": ["", "+10 -3", "", ""],
    }


def test_nothing_is_said_of_the_code_where_all_have_the_same() -> None:
    documents = [a_run(name).to_dict() for name in "ab"]
    comparison = compare_runs(documents, None, code=compare_code(documents, ["t", "t"], {}))
    for style in (PEOPLE, PROGRAMS):
        assert not any(line.differs for line in lines_of(comparison, style))


# as a table


def drawn(comparison: Comparison, width: int, *, by_run: bool = False) -> list[str]:
    lines = [line for line in lines_of(comparison, PEOPLE) if line.differs]
    text = draw(comparison.runs, lines, width=width, color=False, by_run=by_run)
    return text.splitlines()


def test_few_runs_stand_side_by_side_and_the_best_has_a_star() -> None:
    assert drawn(three_runs(), 80) == [
        "             aaaaaaaaaaaa  bbbbbbbbbbbb  cccccccccccc",
        "             a             b             c",
        "",
        "parameters",
        "  lr         0.1           0.2",
        "",
        "metrics",
        "  max(acc)   0.9           0.95*",
        "  at step    2             2",
        "  last(acc)  0.8           0.8",
    ]


def test_with_one_row_a_run_numbers_are_aligned() -> None:
    assert drawn(three_runs(), 80, by_run=True) == [
        "                    parameters  metrics",
        "run           name          lr  max(acc)  at step  last(acc)",
        "aaaaaaaaaaaa  a            0.1      0.9         2        0.8",
        "bbbbbbbbbbbb  b            0.2     0.95*        2        0.8",
        "cccccccccccc  c",
    ]


def test_runs_that_do_not_fit_side_by_side_are_rows_in_parts_that_fit() -> None:
    runs = [
        a_run(name, parameters={f"p{i}": f"{name}{i:09}" for i in range(9)}) for name in "abcdefg"
    ]
    shown = drawn(of_runs(*runs), 60)
    assert max(map(len, shown)) <= 60
    assert sum(line.startswith("aaaaaaaaaaaa") for line in shown) == 3
    assert {
        word for line in shown for word in line.split() if word[0] == "p" and word[1:].isdigit()
    } == {f"p{i}" for i in range(9)}


def test_two_runs_always_stand_side_by_side_within_the_width() -> None:
    path = "/data/" + "deep/" * 30
    two = of_runs(
        a_run(parameters={"path": path + "x"}), a_run("b", parameters={"path": path + "y"})
    )
    shown = drawn(two, 40)
    assert max(map(len, shown)) <= 40
    assert shown[-1].split() == ["path", "…x", "…y"]


def test_long_values_go_on_below_and_lose_the_words_that_all_begin_with() -> None:
    command = ("python", "train.py", "--config")
    runs = [
        a_run("a", command=(*command, "configs/lion-001.yaml")),
        a_run("b", command=(*command, "configs/lamb-002.yaml", "--resume")),
    ]
    assert drawn(of_runs(*runs), 42)[3:] == [
        "command",
        "  command  …lion-001.yaml  …lamb-002.yaml",
        "                           --resume",
    ]


def test_best_values_are_bold_with_colours_and_ties_of_all_are_not_marked() -> None:
    line = Line("metrics", "max(x)", "max(x)", ["1", "2"], differs=True, best=frozenset({1}))
    text = draw(three_runs().runs[:2], [line], width=80, color=True)
    assert "\x1b[1m2\x1b[0m" in text
    assert "*" not in text
    tied = of_runs(*(a_run(n, metrics={"acc": summary(0, 1, 1)}) for n in "ab"))
    assert not any(line.best for line in lines_of(tied, PEOPLE))


def test_non_finite_values_are_never_best() -> None:
    runs = [
        a_run(n, metrics={"loss": summary(low, 9, last)})
        for n, low, last in (("a", 1, "NaN"), ("b", 2, 3), ("c", 3, 4))
    ]
    best = {line.name: line.best for line in lines_of(of_runs(*runs), PEOPLE)}
    assert best["min(loss)"] == {0}
    assert best["last(loss)"] == {1}


def test_numbers_that_look_alike_are_written_in_full() -> None:
    two = of_runs(a_run(parameters={"lr": 0.12345671}), a_run("b", parameters={"lr": 0.12345672}))
    assert [line.texts for line in lines_of(two, PEOPLE) if line.differs] == [
        ["0.12345671", "0.12345672"]
    ]
    two = of_runs(a_run(parameters={"x": "1"}), a_run("b", parameters={"x": 1}))
    assert [line.texts for line in lines_of(two, PROGRAMS) if line.differs] == [["'1'", "1"]]


def test_a_table_for_programs_has_a_row_a_thing_or_a_row_a_run() -> None:
    comparison = three_runs()
    lines = [line for line in lines_of(comparison, PROGRAMS) if line.differs]
    header, rows = as_table(comparison.runs, lines, by_run=False)
    assert header == ["section", "name", "a" * 12, "b" * 12, "c" * 12]
    assert rows[:3] == [
        ["run", "name", "a", "b", "c"],
        ["parameters", "params.lr", "0.1", "0.2", ""],
        ["metrics", "max(acc)", "0.9", "0.95", ""],
    ]
    across, turned = as_table(comparison.runs, lines, by_run=True)
    assert across == ["run", *(row[1] for row in rows)]
    assert [list(column) for column in zip(*turned, strict=True)][1:] == [row[2:] for row in rows]


def test_every_column_of_a_table_has_a_name_of_its_own() -> None:
    same_word = {"params": {"torch": 1}, "torch": 2}
    known = [environment(torch="1"), environment(torch="2")]
    runs = [
        a_run(n, parameters=same_word, metadata=same_word, inputs=(Input("torch", n, 1),))
        for n in "ab"
    ]
    header, _ = as_table(
        three_runs().runs[:2], lines_of(of_runs(*runs, environments=known), PROGRAMS), by_run=True
    )
    assert len(header) == len(set(header))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.85, "850ms"), (42, "42.0s"), (185, "3m 05s"), (7_800, "2h 10m"), (100_000, "1d 03h")],
)
def test_durations_have_two_units(seconds: float, text: str) -> None:
    assert elapsed(seconds) == text


def test_side_by_side_of_nothing_is_nothing() -> None:
    assert side_by_side([{}, {}]) == ()
