"""Questions to the index, against the same questions asked in plain Python.

Whichever way a question is run (docs/index.md, "How a question is answered"), the rows are those
of a plain evaluation: stable sorts, missing values and NaN last, the latest run first of equals.
"""

from __future__ import annotations

import itertools
import math
import operator as operators
import random
import subprocess
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gitexp import Experiment
from gitexp.errors import AmbiguousError, GitexpError, MissingObjectError, RunNotFoundError
from gitexp.git.repository import Repository
from gitexp.index import ask, plan
from gitexp.index.ask import Ask, Key, Metric
from gitexp.index.schema import NAN
from gitexp.memory import Memory, as_node
from gitexp.query.syntax import parse
from gitexp.ranking import pareto
from gitexp.records.facts import RunFact
from tests.full_store import BY, write_facts
from tests.index_model import bare_repository, line, run_id, write
from tests.support import Git

NOW = datetime(2026, 2, 1, tzinfo=UTC)
COUNT = 300
VALUES: list[Any] = [
    0,
    1,
    1,
    2,
    0.5,
    -3.25,
    1e-9,
    1e300,
    -0.0,
    True,
    2**70,
    "NaN",
    "Infinity",
    "-Infinity",
]
TEXTS = ["", "a", "A", "adam", "sgd", "läuft", "z\u20ac", "\U0001f600"]

Row = dict[str, Any]


def number(value: Any) -> Any:
    """Return a value as it is kept: the three texts as floats, True as 1."""
    special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    if isinstance(value, bool):
        return int(value)
    return special.get(value, value) if isinstance(value, str) else value


def make_rows() -> list[Row]:
    """Return what each run of the data set has, by the names that expressions give it."""
    generator = random.Random(11)
    rows = []
    for i in range(COUNT):
        row: Row = {"id": run_id(i), "second": generator.randrange(40), "name": f"n{i % 17}"}
        if generator.random() < 0.8:
            row["lr"] = generator.choice(VALUES)
        if generator.random() < 0.8:
            row["opt"] = generator.choice([*TEXTS, *VALUES])
        if generator.random() < 0.02:
            row["rare"] = generator.choice([1, 2, 3])
        row["tags"] = [t for t in ("base", "late", "once") if generator.random() < 0.3]
        for metric in ("acc", "loss"):
            if generator.random() < 0.7:
                finite: list[Any] = [v for v in VALUES if not isinstance(v, str | bool)]
                last = generator.choice([v for v in VALUES if not isinstance(v, bool)])
                low, high = sorted(generator.choices(finite, k=2))
                row[metric] = {"last": last}
                if generator.random() < 0.9:
                    row[metric] |= {"min": low, "max": high, "mean": float(low) / 2}
        rows.append(row)
    return rows


def lines_of(row: Row) -> list[bytes]:
    parameters = {name: row[name] for name in ("lr", "opt", "rare") if name in row}
    begin = line("run", row["second"], name=row["name"], tags=row["tags"], parameters=parameters)
    metrics = {
        name: {"first": 0, "count": 1, **row[name]} for name in ("acc", "loss") if name in row
    }
    return [begin, line("end", 50, status="finished", duration=1.0, metrics=metrics)]


ROWS = make_rows()


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Memory:
    """The data set in a bare repository: made once, only read."""
    place = tmp_path_factory.mktemp("search") / "store.git"
    place.mkdir()
    subprocess.run(["git", "init", "--quiet", "--bare", str(place)], check=True)
    for name, value in (("user.name", "Ada"), ("user.email", "ada@example.org")):
        subprocess.run(["git", "-C", str(place), "config", name, value], check=True)
    repository = Repository.discover(place)
    write(repository, {row["id"]: lines_of(row) for row in ROWS})
    found = Memory(repository)
    assert found.count() == COUNT
    return found


# The plain evaluation

Value = Callable[[Row], Any]


def parameter(name: str) -> Value:
    return lambda row: number(row.get(name))


def metric(name: str, column: str) -> Value:
    return lambda row: number(row.get(name, {}).get(column))


KEYS: dict[str, Value] = {
    "lr": parameter("lr"),
    "opt": parameter("opt"),
    "rare": parameter("rare"),
    "acc": metric("acc", "last"),
    "loss": metric("loss", "last"),
    "min(acc)": metric("acc", "min"),
    "best(acc)": metric("acc", "max"),
    "best(loss)": metric("loss", "min"),
    "mean(loss)": metric("loss", "mean"),
    "name": lambda row: row["name"],
    "started": lambda row: row["second"],
    "params.lr + 1": lambda row: plus_one(number(row.get("lr"))),
}


def plus_one(value: Any) -> Any:
    return None if value is None or value != value else value + 1  # noqa: PLR0124


OPERATORS = {
    "<": operators.lt,
    ">=": operators.ge,
    "==": operators.eq,
    "!=": operators.ne,
}


def compare(name: str, operator: str, constant: float) -> Callable[[Row], bool]:
    def holds(row: Row) -> bool:
        value = KEYS[name](row)
        if value is None or isinstance(value, str) or value != value:  # noqa: PLR0124
            return operator == "!=" and value is not None
        return bool(OPERATORS[operator](value, constant))

    return holds


PARTS: dict[str, Callable[[Row], bool]] = {
    f"{name} {operator} {constant}": compare(name, operator, constant)
    for name in ("lr", "opt", "acc", "best(loss)", "mean(loss)", "rare")
    for operator in ("<", ">=", "==", "!=")
    for constant in (0, 1, 0.5)
}
PARTS |= {
    'opt == "adam"': lambda row: row.get("opt") == "adam",
    'opt in ["a", 1, "A"]': lambda row: number(row.get("opt")) in ("a", "A", 1),
    'opt >= "a"': lambda row: is_text(row.get("opt")) and row["opt"] >= "a",
    "isnan(acc)": lambda row: row.get("acc", {}).get("last") == "NaN",
    "lr is None": lambda row: "lr" not in row,
    "acc is not None": lambda row: "acc" in row,
    'tag == "base"': lambda row: "base" in row["tags"],
    'tag in ["base", "late"]': lambda row: bool({"base", "late"} & set(row["tags"])),
    '"once" not in tags': lambda row: "once" not in row["tags"],
    'name == "n3"': lambda row: row["name"] == "n3",
    '"n1" in name': lambda row: "n1" in row["name"],
    'matches(name, "^n.$")': lambda row: len(row["name"]) == 2,
    'started >= "2026-01-31T12:00:20Z"': lambda row: row["second"] >= 20,
    'started == "2026-01-31T12:00:07Z"': lambda row: row["second"] == 7,
    "not lr < 1": lambda row: number_there(row.get("lr")) and not number(row["lr"]) < 1,
}


def is_text(value: Any) -> bool:
    return isinstance(value, str) and value not in ("NaN", "Infinity", "-Infinity")


def number_there(value: Any) -> bool:
    return value is not None and not is_text(value)


def is_missing(value: Any) -> bool:
    return value is None or value != value  # noqa: PLR0124


def sort_plainly(
    rows: Sequence[Row], keys: Sequence[tuple[Value, bool]], *, earliest: bool = False
) -> list[Row]:
    """Sort by keys, the last one first, each in a stable sort; what is missing comes last."""
    ordered = sorted(rows, key=lambda row: (row["second"], row["id"]), reverse=not earliest)
    for value, descending in reversed(keys):
        there = [row for row in ordered if not is_missing(value(row))]
        missing = [row for row in ordered if is_missing(value(row))]
        there.sort(key=lambda row: (isinstance(value(row), str), value(row)), reverse=descending)
        ordered = there + missing
    return ordered


def is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def same(stored: Any, value: Any) -> bool:
    if is_missing(value):
        return stored in (None, NAN) and (stored is None) == (value is None)
    return bool(stored == value or (isinstance(value, int) and float(value) == stored))


# The tests

WHERE = st.lists(st.sampled_from(sorted(PARTS)), max_size=3, unique=True)
SORT = st.lists(
    st.tuples(st.sampled_from(sorted(KEYS)), st.booleans()), max_size=3, unique_by=lambda k: k[0]
)
FEWS = [0, 3, 40, 10**9]
quick = settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(params=FEWS)
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Force a plan: nothing is looked up, or a few runs are, or all are."""
    monkeypatch.setattr(ask, "FEW", request.param)
    monkeypatch.setattr(plan, "FEW", request.param)
    return int(request.param)


@quick
@example(where=[], sort=[("acc", False), ("lr", True)], limit=290, word="and")
@example(where=["lr < 1"], sort=[("rare", True)], limit=5, word="and")
@given(
    where=WHERE,
    sort=SORT,
    limit=st.sampled_from([None, 0, 1, 5, 40, 250, 299, 301]),
    word=st.sampled_from(["and", "or"]),
)
def test_rows_are_those_of_a_plain_evaluation(
    memory: Memory,
    few: int,
    *,
    where: list[str],
    sort: list[tuple[str, bool]],
    limit: int | None,
    word: str,
) -> None:
    chosen = [
        row
        for row in ROWS
        if not where or (all if word == "and" else any)(PARTS[part](row) for part in where)
    ]
    expression = f" {word} ".join(f"({part})" for part in where) or None
    values = [parse("lr"), parse("best(acc)")]
    text = ", ".join(f"{name} {'desc' if down else 'asc'}" for name, down in sort) or None
    found = memory.search(expression, sort=text, columns=values, limit=limit)
    ordered = sort_plainly(chosen, [(KEYS[name], down) for name, down in sort])[:limit]
    assert [each.document["run"] for each in found] == [row["id"] for row in ordered]
    assert memory.count(expression) == len(chosen)
    for each, row in zip(found, ordered, strict=True):
        wanted = [KEYS["lr"](row), KEYS["best(acc)"](row)]
        assert all(map(same, each.row.values, wanted))
        for (name, _), stored in zip(sort, each.row.keys, strict=True):
            assert name == "started" or same(stored, KEYS[name](row))


@quick
@given(
    where=st.lists(st.sampled_from(sorted(PARTS)), max_size=2, unique=True),
    name=st.sampled_from(["acc", "loss"]),
    column=st.sampled_from(["last", "min", "max", "mean"]),
    descending=st.booleans(),
    earliest=st.booleans(),
    limit=st.sampled_from([None, 1, 3, 60, 400]),
    second=st.booleans(),
)
def test_rankings_leave_out_what_is_not_finite_and_count_it(
    memory: Memory,
    few: int,
    *,
    where: list[str],
    name: str,
    column: str,
    descending: bool,
    earliest: bool,
    limit: int | None,
    second: bool,
) -> None:
    chosen = [row for row in ROWS if all(PARTS[part](row) for part in where)]
    key = metric(name, column)
    ranked = [row for row in chosen if is_finite(key(row))]
    keys = [Key(Metric(name, column), descending)]
    plain = [(key, descending)]
    if second:
        keys.append(Key(parse("opt"), not descending))
        plain.append((KEYS["opt"], not descending))
    condition = as_node(" and ".join(f"({part})" for part in where)) if where else None
    question = Ask(condition, None, keys, (), limit, finite=True, earliest=earliest)
    found = memory._search.find(question, NOW)
    ordered = sort_plainly(ranked, plain, earliest=earliest)[:limit]
    assert [each.row.id.hex() for each in found] == [row["id"] for row in ordered]
    having = sum(1 for row in chosen if name in row)
    assert memory._search.count_unranked(question, NOW) == having - len(ranked)


def test_a_ranking_by_a_metric_that_no_run_has_is_an_error(memory: Memory, few: int) -> None:
    with pytest.raises(GitexpError, match="nothing"):
        memory.best("nothing")
    with pytest.raises(GitexpError, match="No run that fits has a finite value of acc"):
        memory.best("acc", where="lr > 1e308 and lr < 1e308")


def test_the_part_that_fewest_runs_can_fulfil_is_looked_up(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ "If at most 5,000 runs can fulfil one part of the condition [...] they are looked up" """
    assert ask.FEW == 5_000
    taken: list[str] = []
    real = ask._Statement.run

    def watch(self: Any, db: Any, source: ask.Source) -> list[ask.Row]:
        taken.append(source.tables.partition(" CROSS")[0])
        return real(self, db, source)

    monkeypatch.setattr(ask._Statement, "run", watch)
    memory.search("acc > -1e9 and rare == 2", sort="acc", limit=3)
    monkeypatch.setattr(plan, "FEW", 0)
    memory.search("acc > -1e9 and rare == 2", sort="acc", limit=300)
    memory.search("acc > -1e9", limit=3)
    memory.search('acc > -1e9 and tag == "base"')
    assert taken == [
        "field AS d INDEXED BY field_value",
        "metric AS d INDEXED BY metric_last",
        "run AS r",
        "run AS r INDEXED BY run_started",
        "run AS r",
    ]


def test_among_and_where_together(memory: Memory, few: int) -> None:
    some = [row["id"] for row in ROWS[:50]]
    found = memory.search("lr >= 0.5", among=some, sort="acc", limit=7)
    chosen = [row for row in ROWS[:50] if compare("lr", ">=", 0.5)(row)]
    ordered = sort_plainly(chosen, [(KEYS["acc"], False)])[:7]
    assert [each.document["run"] for each in found] == [row["id"] for row in ordered]
    assert memory.search(among=[]) == []
    assert memory.search(among=["f" * 40]) == []


# Specs


def test_latest_counts_back_in_the_order_of_start(memory: Memory) -> None:
    ordered = sort_plainly(ROWS, [])
    for back in (0, 1, 7, COUNT - 1):
        spec = f"latest~{back}" if back else "latest"
        assert memory.get(spec).id == ordered[back]["id"]
    with pytest.raises(RunNotFoundError, match="only 300 runs"):
        memory.get(f"latest~{COUNT}")


@pytest.mark.parametrize("length", [8, 9, 10, 11, 39, 40])
def test_id_prefixes_of_any_length_and_case(memory: Memory, length: int) -> None:
    for row in ROWS[::37]:
        assert memory.get(row["id"][:length]).id == row["id"]
        assert memory.get(row["id"][:length].upper()).id == row["id"]


def test_ambiguous_specs_name_some_and_count_all(memory: Memory) -> None:
    with pytest.raises(AmbiguousError, match=r"id prefix '00000' fits \d+ runs: .* and \d+ more"):
        memory.get("00000")
    fitting = sum(row["name"] == "n3" for row in ROWS)
    with pytest.raises(AmbiguousError, match=f"name 'n3' fits {fitting} runs"):
        memory.get("n3")
    fitting = sum("base" in row["tags"] for row in ROWS)
    with pytest.raises(AmbiguousError, match=f"tag 'base' fits {fitting} runs"):
        memory.get("base")
    with pytest.raises(RunNotFoundError):
        memory.get("ffff")


def test_a_name_goes_before_a_tag_and_an_id_before_a_name(tmp_path: Path, identity: None) -> None:
    place = tmp_path / "empty.git"
    place.mkdir()
    Git(place)("init", "--quiet", "--bare")
    repository, _ = bare_repository(place, tmp_path / "store.git")
    write(
        repository,
        {
            "beef" + "0" * 36: [line("run", 0, name="first")],
            "a" * 40: [line("run", 1, name="beef", tags=["dead"])],
            "b" * 40: [line("run", 2, name="dead", tags=["beef", "50% \u00b5"])],
        },
    )
    memory = Memory(repository)
    assert memory.get("beef").name == "first"
    assert memory.get("dead").id == "b" * 40
    assert memory.get("50% \u00b5").id == "b" * 40
    for spec in ("DEAD", "dea", "%", "", "beef%", "latest~", "a" * 41):
        with pytest.raises(GitexpError):
            memory.get(spec)


# Replicates


def test_replicates_have_the_same_code_parameters_and_command(repo: Git) -> None:
    runs = []
    for parameters in ({"lr": 1}, {"lr": 1}, {"lr": 2}):
        with Experiment("x", params=parameters) as experiment:
            experiment.track({"acc": 1})
        runs.append(experiment.run_id)
    repo.write("train.py", "changed\n")
    with Experiment("x", params={"lr": 1}) as experiment:
        pass
    with Experiment("x", params={"lr": 1}) as other:
        memory = Memory(Repository.discover())
        assert memory.replicates(memory.get(str(runs[0]))) == runs[1::-1]
        assert memory.replicates(memory.get(str(runs[2]))) == [runs[2]]
        both = [other.run_id, experiment.run_id]  # one of them in progress
        assert memory.replicates(memory.get(str(other.run_id))) == both
        tree = repo("rev-parse", f"{other.run_id}^{{tree}}")
        assert memory.count(f'tree == "{tree}"') == 2


def test_code_that_arrives_later_is_found(repo: Git) -> None:
    with Experiment("here") as experiment:
        pass
    snapshot = repo.raw("cat-file", "commit", str(experiment.run_id))
    other = snapshot.replace(b"exprag: here", b"exprag: away")
    away = repo.raw("hash-object", "-t", "commit", "--stdin", stdin=other).decode().strip()
    begin = RunFact(time="2026-01-31T12:00:00.000000Z", by=BY, name="away")
    write_facts(away, begin)
    memory = Memory(Repository.discover())
    here = memory.get("here")
    tree = repo("rev-parse", f"{here.id}^{{tree}}")
    assert memory.with_tree(tree) == [here.id]
    with pytest.raises(MissingObjectError):
        memory.replicates(memory.get("away"))
    repo.raw("hash-object", "-w", "-t", "commit", "--stdin", stdin=other)
    assert sorted(memory.with_tree(tree)) == sorted([here.id, away])
    assert memory.replicates(memory.get("away")) == [away]  # the command differs
    memory.reindex()
    assert memory.count(f'tree == "{tree}"') == 2


# Fronts

NUMBERS = st.sampled_from([-1.0, 0.0, -0.0, 0.5, 1.0, 2.0, 1e300, 3])
POINTS = st.integers(1, 4).flatmap(
    lambda size: st.lists(st.lists(NUMBERS, min_size=size, max_size=size), max_size=30)
)


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(
        x < y for x, y in zip(a, b, strict=True)
    )


@settings(max_examples=400, deadline=None)
@given(POINTS)
def test_a_front_is_what_no_other_point_dominates(points: list[list[float]]) -> None:
    quadratic = [
        i for i, point in enumerate(points) if not any(dominates(other, point) for other in points)
    ]
    assert pareto(points) == quadratic


@pytest.mark.parametrize(
    ("by", "lower"), list(itertools.product(["best", "last", "mean"], [None, True, False]))
)
def test_a_front_of_runs_against_the_definition(
    memory: Memory, few: int, by: Any, lower: bool | None
) -> None:
    front = memory.front(["acc", "loss"], by=by, lower=lower, where="lr >= 0 or lr is None")
    signs = [1 if goal.lower else -1 for goal in front.goals.values()]
    columns = [goal.word if by == "best" else by for goal in front.goals.values()]
    keys = [metric(name, column) for name, column in zip(("acc", "loss"), columns, strict=True)]
    chosen = [row for row in ROWS if "lr" not in row or compare("lr", ">=", 0)(row)]
    points = {
        row["id"]: [sign * key(row) for sign, key in zip(signs, keys, strict=True)]
        for row in chosen
        if all(is_finite(key(row)) for key in keys)
    }
    best = {i for i, p in points.items() if not any(dominates(q, p) for q in points.values())}
    assert {found.document["run"] for found, _ in front.rows} == best
    first = [values[0] * signs[0] for _, values in front.rows]
    assert first == sorted(first)
