from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest

from gitexp import Experiment
from gitexp.document import OWN
from gitexp.errors import GitexpError, QueryError, UsageError
from gitexp.index.ask import Row
from gitexp.index.schema import NAN, Packer
from gitexp.index.search import Found
from gitexp.memory import Memory
from gitexp.query.names import Catalog
from gitexp.table import Tabular, every_column, fill, nodes, parse_columns
from tests.full_store import record_runs, running, write_full_run
from tests.support import Git

SUMMARY = {"first": 1.0, "last": 0.5, "count": 3, "min": 0.25, "max": 2.0, "mean": 1.0}
DOCUMENT: dict[str, Any] = {
    "run": "a" * 40,
    "name": "x",
    "status": "finished",
    "started": "2026-01-31T12:00:00.250000Z",
    "by": "Ada",
    "tags": ["one", "two, three"],
    "metrics": {"loss": SUMMARY},
    "parameters": {"lr": 0.1, "model": {"width": 8, "layers": [1, 2]}},
    "metadata": {"note": "n"},
}
BARE = {"run": "b" * 40, "name": "y", "status": "running", "started": "2026-02-01T00:00:00Z"}


class Tables(Memory, Tabular):
    """A memory with the methods that give tables."""


@pytest.fixture
def memory(repo: Git) -> Tables:
    record_runs(repo)
    return opened(repo)


def opened(repo: Git) -> Tables:
    return Tables.open(repo.path)


def found(document: dict[str, Any], *computed: Any) -> Found:
    packed = Packer(b"").pack(json.dumps(document).encode())
    row = Row(1, bytes.fromhex(document["run"]), 0, (), computed)
    return Found(row, packed, b"")


def lower(metric: str) -> bool:
    return "loss" in metric


def whole(*documents: dict[str, Any]) -> dict[str, list[Any]]:
    return fill(map(found, documents), every_column(documents, lower))


def catalog(metrics: tuple[str, ...] = (), fields: tuple[str, ...] = ()) -> Catalog:
    return Catalog(dict.fromkeys(metrics), dict.fromkeys(fields), lower)


def test_columns_are_the_runs_own_then_metrics_parameters_and_metadata_each_sorted() -> None:
    other = BARE | {"metrics": {"acc": SUMMARY}, "parameters": {"a": 1}, "metadata": {"m": 1}}
    assert list(whole(DOCUMENT, other)) == [
        *OWN,
        *("acc", "best(acc)", "loss", "best(loss)"),
        *("params.a", "params.lr", "params.model.layers", "params.model.width"),
        *("metadata.m", "metadata.note"),
    ]
    assert list(whole(other, DOCUMENT)) == list(whole(DOCUMENT, other))


def test_values_are_exact_and_what_a_run_lacks_is_none() -> None:
    table = whole(DOCUMENT, BARE)
    assert table["started"][0] == datetime(2026, 1, 31, 12, 0, 0, 250000, UTC)
    assert table["tags"] == [["one", "two, three"], []]
    assert table["params.model.layers"] == [[1, 2], None]
    assert (table["loss"], table["best(loss)"]) == ([0.5, None], [0.25, None])
    assert table["metadata.note"] == ["n", None]
    assert table["verdict"] == [None, None]


def test_best_follows_the_direction_of_the_metric() -> None:
    document = BARE | {"metrics": {"acc": SUMMARY, "val_loss": SUMMARY}}
    table = whole(document)
    assert (table["best(acc)"], table["best(val_loss)"]) == ([2.0], [0.25])


def test_numbers_that_json_cannot_hold_are_floats() -> None:
    diverged = {"first": 1.0, "last": "NaN", "count": 2}
    document = BARE | {"metrics": {"loss": diverged}, "parameters": {"clip": "Infinity"}}
    table = whole(document)
    assert math.isnan(table["loss"][0])
    assert table["best(loss)"] == [None]
    assert table["params.clip"] == [math.inf]


@pytest.mark.parametrize(
    ("metrics", "titles"),
    [
        (["name"], ["metrics.name", "best(metrics.name)"]),
        (
            ["name", "metrics.name"],
            ["metrics.name", "best(metrics.name)", "metrics.metrics.name"],
        ),
        (["params.lr"], ["metrics.params.lr", "best(metrics.params.lr)"]),
        (["x", "best(x)"], ["best(x)", "best(best(x))", "x", "best(metrics.x)"]),
        (["x", "best(x)", "metrics.x"], ["best(metrics.x)", "best(metrics.metrics.x)"]),
        (["select", "from 💥 \n", '"'], ["select", "best(select)", "from 💥 \n", '"']),
    ],
)
def test_metrics_with_names_of_other_columns_lose_nothing(
    metrics: list[str], titles: list[str]
) -> None:
    summaries = {name: SUMMARY | {"last": float(i)} for i, name in enumerate(metrics)}
    table = whole(BARE | {"metrics": summaries, "parameters": {"lr": 7}})
    assert set(titles) <= set(table)
    assert len(table) == len(OWN) + 1 + 2 * len(metrics)
    assert table["params.lr"] == [7]
    assert table["name"] == ["y"]
    assert all([float(i)] in table.values() for i in range(len(metrics)))


def test_metadata_without_keys_is_one_column() -> None:
    table = whole(BARE | {"metadata": ["free", "text"]}, DOCUMENT)
    assert table["metadata"] == [["free", "text"], None]
    assert table["metadata.note"] == [None, "n"]


def test_no_runs_make_a_table_without_rows() -> None:
    assert whole() == {name: [] for name in OWN}


def test_columns_asked_for_have_their_full_names_each_once() -> None:
    known = catalog(("metrics.acc", "name"), ("params.lr",))
    columns = parse_columns("id, acc, lr, max(acc), acc, tag, `metrics.name`", known)
    titles = ["run", "metrics.acc", "params.lr", "max(acc)", "tags", "metrics.name"]
    assert [column.title for column in columns] == titles
    assert [node.text for node in nodes(columns)] == ["max(acc)"]
    assert parse_columns(["id", "acc,lr"], known)[2].title == "params.lr"


def test_computed_columns_have_their_own_values() -> None:
    columns = parse_columns("acc / 2, name, acc * 2, tree", catalog(("acc",)))
    table = fill([found(DOCUMENT, 0.5, NAN, b"\xab" * 20)], columns)
    assert table.pop("tree") == ["ab" * 20]
    assert math.isnan(table.pop("acc * 2")[0])
    assert table == {"acc / 2": [0.5], "name": ["x"]}


def test_columns_that_cannot_be_understood_are_refused() -> None:
    with pytest.raises(QueryError, match="unknown"):
        parse_columns("unknown", catalog())
    with pytest.raises(QueryError, match="ambiguous"):
        parse_columns("acc", catalog(("a.acc", "b.acc")))
    with pytest.raises(QueryError):
        parse_columns("", catalog())
    with pytest.raises(UsageError):
        parse_columns([], catalog())


def test_a_memory_gives_tables_of_the_runs_that_fit(memory: Tables) -> None:
    table = memory.table("params.lr > 0", sort="params.lr", columns="name, max(acc)")
    assert table == {"name": ["run 1", "run 2"], "max(acc)": [1.3, 2.3]}
    assert memory.table(limit=1)["name"] == ["run 2"]
    assert memory.table("acc > 100")["name"] == []


def test_a_memory_gives_frames(memory: Tables) -> None:
    pandas = memory.to_pandas(sort="params.lr")
    assert list(pandas["params.lr"]) == [0.0, 0.1, 0.2]
    assert pandas.set_index("name").loc["run 1", "best(metrics.acc)"] == 1.3
    assert str(pandas["started"].dtype) == "datetime64[us, UTC]"
    columns = ["name", "acc"]
    polars = memory.to_polars(sort="acc", columns=columns)
    assert polars.rows() == [("run 0", 0.3), ("run 1", 1.3), ("run 2", 2.3)]
    assert memory.to_arrow(sort="acc", columns=columns).to_pylist() == polars.to_dicts()
    assert memory.to_numpy(sort="acc", columns=columns)["metrics.acc"].tolist() == [0.3, 1.3, 2.3]


def test_a_run_in_progress_and_a_full_run_are_rows_of_one_table(repo: Git) -> None:
    run_id = write_full_run(repo)
    with running("now"):
        table = opened(repo).table()
    rows = dict(zip(table["name"], zip(*table.values(), strict=True), strict=True))
    titles = list(table)
    assert rows["full"][titles.index("run")] == run_id
    assert rows["full"][titles.index("duration")] == 9.5
    assert rows["now"][titles.index("status")] == "running"
    assert rows["now"][titles.index("loss")] == 1.0
    assert math.isnan(rows["full"][titles.index("acc")])


def test_parameters_of_mixed_kinds_stay_what_they_are(repo: Git) -> None:
    values: list[Any] = [0.1, "auto", [1, {"a": None}], True, None, {}]
    for value in values:
        with Experiment("mixed", params={"lr": value}):
            pass
    table = opened(repo).table(sort="started", columns="params.lr")
    assert table["params.lr"] == values


def test_an_unknown_column_is_an_error_before_anything_is_read(memory: Tables) -> None:
    with pytest.raises(GitexpError, match="accuracy"):
        memory.to_pandas(columns="accuracy")
