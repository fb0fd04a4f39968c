"""Expressions against a real SQLite, beside an oracle that evaluates their trees in Python.

The oracle knows nothing of SQL: it follows docs/reference/query.md over plain dicts.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitexp.errors import QueryError
from gitexp.index import schema
from gitexp.index.database import connect
from gitexp.query import syntax as tree
from gitexp.query.compile import Running, compile_condition, compile_value
from gitexp.query.names import Catalog
from gitexp.query.ranges import Range, conjuncts, simple_range
from gitexp.query.syntax import parse, parse_list
from gitexp.query.text import words

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "query.md"
METRICS = ["acc", "eval.loss", "val/acc", "eval.select", "test 🔥", "it's", "never"]
FIELDS = ["params.lr", "params.opt.name", "params.my param", "params.order", "metadata.`q`"]
CATALOG = Catalog(
    {path: None if path == "never" else i for i, path in enumerate(METRICS)},
    {path: 100 + i for i, path in enumerate(FIELDS)},
    lambda path: "loss" in path,
)
COLUMNS = {"by": "author", "run": "id"}

Run = dict[str, Any]


def microseconds(time: datetime) -> int:
    return (time - EPOCH) // timedelta(microseconds=1)


def stored(value: Any) -> Any:
    if isinstance(value, float) and math.isnan(value):
        return b""
    return int(value) if isinstance(value, bool) else value


def database(runs: list[Run]) -> sqlite3.Connection:
    """Make an index of runs; a run holds own attributes, ``fields``, ``metrics`` and ``tags``."""
    connection = connect(":memory:")
    schema.create_tables(connection)
    schema.create_indexes(connection)
    for number, run in enumerate(runs):
        for table, row in rows_of(number, run):
            columns = ", ".join(f'"{name}"' for name in row)
            marks = ", ".join("?" * len(row))
            connection.execute(
                f"INSERT INTO {table}({columns}) VALUES({marks})", [*map(stored, row.values())]
            )
    return connection


def rows_of(number: int, run: Run) -> Iterator[tuple[str, dict[str, Any]]]:
    texts = {name: run[name] for name in ("description", "hypothesis") if run.get(name) is not None}
    own = {k: v for k, v in run.items() if k not in ("tags", "fields", "metrics", *texts)}
    own = {COLUMNS.get(k, k): v for k, v in own.items() if k != "description"}
    yield "run", {"number": number, "id": number.to_bytes(20, "big")} | own
    packed = schema.Packer(b"").pack(json.dumps(texts).encode())
    yield "doc", {"run": number, "packed": packed}
    for path, value in run.get("fields", {}).items():
        yield "field", {"path": CATALOG.fields[path], "run": number, "value": value}
    for path, summary in run.get("metrics", {}).items():
        names = zip(("last", "min", "max", "mean"), summary, strict=True)
        yield "metric", {"path": CATALOG.metrics[path], "run": number} | dict(names)
    for tag in run.get("tags", ()):
        yield "tag", {"run": number, "tag": tag}
    columns = ("name", "description", "hypothesis", "tags", "comments")
    kept = [" ".join(words(text)) for text in searched(run)]
    yield "note_text", {"rowid": number} | dict(zip(columns, kept, strict=True))


def searched(run: Run) -> list[str]:
    tags = " ".join(run.get("tags", ()))
    return [*(run.get(k) or "" for k in ("name", "description", "hypothesis")), tags, ""]


def ask(connection: sqlite3.Connection, expression: str) -> list[int | None]:
    """Return what a condition is for each run: 1, 0 or None."""
    compiled = compile_condition(expression, CATALOG, NOW)
    with Running(compiled):
        statement = f"SELECT ({compiled.sql}) FROM run AS r ORDER BY number"
        return [row[0] for row in connection.execute(statement, compiled.parameters)]


def value(connection: sqlite3.Connection, expression: str) -> list[Any]:
    compiled = compile_value(expression, CATALOG, NOW)
    with Running(compiled):
        statement = f"SELECT {compiled.sql} FROM run AS r ORDER BY number"
        return [row[0] for row in connection.execute(statement, compiled.parameters)]


def fails(expression: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        compile_condition(expression, CATALOG, NOW)
    return caught.value


# The oracle


class Oracle:
    """Evaluates a tree for one run, as docs/reference/query.md says it."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.tag: str | None = None

    def condition(self, node: tree.Node) -> bool | None:
        if isinstance(node, tree.And | tree.Or):
            found = [self.condition(item) for item in node.items]
            decisive = isinstance(node, tree.Or)
            return decisive if decisive in found else None if None in found else not decisive
        if isinstance(node, tree.Not):
            inner = self.condition(node.operand)
            return None if inner is None else not inner
        if isinstance(node, tree.Compare):
            found = [self.compare(*pair) for pair in node.pairs()]
            return False if False in found else None if None in found else True
        if isinstance(node, tree.Call) and node.function in ("any", "isnan", "matches"):
            return self.test(node)
        if self.all_tags(node):
            return bool(self.run["tags"])
        got = self.value(node)
        return None if got is None else bool(got)

    def test(self, node: tree.Call) -> bool | None:
        subject = node.items[0]
        if node.function == "any":
            if self.all_tags(subject):
                return bool(self.run["tags"])
            return any(self.with_tag(tag, subject) for tag in self.run["tags"])
        if node.function == "isnan":
            got = self.value(subject)
            return None if got is None else isinstance(got, float) and math.isnan(got)
        pattern = node.items[1]
        assert isinstance(pattern, tree.Constant)
        if self.all_tags(subject):
            return any(re.search(str(pattern.value), tag) for tag in self.run["tags"])
        got = self.value(subject)
        return bool(re.search(str(pattern.value), got)) if isinstance(got, str) else None

    def with_tag(self, tag: str, node: tree.Node) -> bool | None:
        self.tag = tag
        found = self.condition(node)
        self.tag = None
        return found

    def all_tags(self, node: tree.Node) -> bool:
        return isinstance(node, tree.Name) and node.path in ("tag", "tags") and self.tag is None

    def compare(self, left: tree.Node, operator: str, right: tree.Node) -> bool | None:
        if operator in ("in", "not in"):
            found = self.member(left, right)
            return found if operator == "in" or found is None else not found
        if isinstance(left, tree.Constant) and left.value is None:
            left, right = right, left
        if isinstance(right, tree.Constant) and right.value is None:
            missing = not self.run["tags"] if self.all_tags(left) else self.value(left) is None
            return missing == (operator == "==")
        if self.all_tags(left):
            return (self.value(right) in self.run["tags"]) == (operator == "==")
        x, y = self.value(left), self.value(right)
        if isinstance(left, tree.Name) and left.path in ("started", "ended"):
            y = self.time(right)
        return related(x, operator, y)

    def time(self, node: tree.Node) -> int | None:
        if not isinstance(node, tree.Constant):
            return self.value(node)  # type: ignore[no-any-return]
        return microseconds(datetime.fromisoformat(str(node.value)))

    def member(self, left: tree.Node, right: tree.Node) -> bool | None:  # noqa: PLR0911
        if isinstance(right, tree.Name) and right.path == "text":
            assert isinstance(left, tree.Constant)
            return any(has_phrase(text, str(left.value)) for text in searched(self.run))
        if self.all_tags(right):
            return self.value(left) in self.run["tags"]
        if type(right) is not tree.Items:
            x, y = self.value(left), self.value(right)
            return x in y if isinstance(x, str) and isinstance(y, str) else None
        items = [item.value for item in right.items if isinstance(item, tree.Constant)]
        if not items:
            return False
        if self.all_tags(left):
            return any(t in items for t in self.run["tags"]) or (
                None in items and not self.run["tags"]
            )
        x = self.value(left)
        if x is None:
            return True if None in items else None
        return any(related(x, "==", item) for item in items)

    def value(self, node: tree.Node) -> Any:  # noqa: PLR0911
        if isinstance(node, tree.Constant):
            return node.value
        if isinstance(node, tree.Name):
            return self.name(node)
        if isinstance(node, tree.Negative):
            got = number(self.value(node.operand))
            return None if got is None else sized(-got)
        if isinstance(node, tree.Arithmetic):
            return calculate(self.value(node.left), node.operator, self.value(node.right))
        assert isinstance(node, tree.Call)
        argument = node.items[0]
        if node.function == "lower":
            got = self.value(argument)
            return got.lower() if isinstance(got, str) else None
        if node.function == "abs":
            got = number(self.value(argument))
            return None if got is None else sized(abs(got))
        assert isinstance(argument, tree.Name)
        path = CATALOG.resolve_metric(argument.path).path
        last, low, high, mean = self.run["metrics"].get(path, (None,) * 4)
        best = low if "loss" in path else high
        return {"last": last, "min": low, "max": high, "mean": mean, "best": best}[node.function]

    def name(self, node: tree.Name) -> Any:
        if node.path in ("tag", "tags"):
            return self.tag
        target = CATALOG.resolve(node.path)
        if target.kind == "own":
            return self.run.get(target.path)
        if target.kind == "field":
            return self.run["fields"].get(target.path)
        return self.run["metrics"].get(target.path, (None,))[0]


def has_phrase(text: str, phrase: str) -> bool:
    return f" {' '.join(words(phrase))} " in f" {' '.join(words(text))} "


def related(x: Any, operator: str, y: Any) -> bool | None:
    if x is None or y is None:
        return None
    if operator in ("==", "!="):
        return bool((x == y) == (operator == "=="))
    if isinstance(x, str) != isinstance(y, str):
        return None
    return bool({"<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y}[operator])


def number(got: Any) -> Any:
    finite = isinstance(got, int | float) and not math.isnan(got)
    return got if finite else None


def sized(got: float) -> float:
    return float(got) if isinstance(got, int) and not -(1 << 63) <= got < 1 << 63 else got


def calculate(x: Any, operator: str, y: Any) -> Any:
    x, y = number(x), number(y)
    if x is None or y is None:
        return None
    if operator == "/":
        found = float(x) / float(y) if y else math.nan
    else:
        found = {"+": lambda: x + y, "-": lambda: x - y, "*": lambda: x * y}[operator]()
        if type(sized(found)) is not type(found):
            x, y = float(x), float(y)
            found = {"+": lambda: x + y, "-": lambda: x - y, "*": lambda: x * y}[operator]()
    return None if math.isnan(found) else found


# Every value beside every other, as parameters, metrics and texts

SPECIAL = [None, 0, 1, -1, 0.5, -0.5, 3, 1e300, math.inf, -math.inf, math.nan, (1 << 63) - 1,
           -(1 << 63), True, "", "a", "A", "b", "5", "NaN", "1", "é"]  # fmt: skip
POOL: list[Run] = [
    {
        "tags": sorted({"a", "ab", "5"} - {("a", "ab", "5", None)[(i + j) % 4]} if i % 3 else ()),
        "name": y if isinstance(y, str) else None,
        "duration": 0.5 if j % 3 else None,
        "seed": i % 5 or None,
        "dirty": j % 2,
        "fields": {"params.lr": x, "params.order": y} if x is not None else {"params.order": y},
        "metrics": {} if isinstance(x, str) else {"acc": (x, 0, 0.5, 0.25)},
    }
    for i, x in enumerate(SPECIAL)
    for j, y in enumerate(SPECIAL)
]


@pytest.fixture(scope="module")
def pool() -> sqlite3.Connection:
    return database([{k: v for k, v in run.items() if v is not None} for run in POOL])


def agree(connection: sqlite3.Connection, expression: str) -> None:
    node = parse(expression)
    answers = ask(connection, expression)
    expected = [Oracle(run).condition(node) for run in POOL]
    wrong = [(r, a, e) for r, a, e in zip(POOL, answers, expected, strict=True) if a != e]
    assert not wrong, (expression, len(wrong), wrong[:3])


LITERALS = ["0", "1", "-0.5", "3.0", "9223372036854775807", "1e999", "True", "''", "'a'", "'5'"]
OPERATORS = ["<", "<=", ">", ">=", "==", "!="]


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("subject", ["lr", "acc", "name", "seed", "duration", "best(acc)", "'a'"])
def test_comparisons_are_as_documented_for_every_value(
    pool: sqlite3.Connection, subject: str, operator: str
) -> None:
    others = ["params.order", "acc", "name", "seed", "lr + 1", "lower(name)", "duration"]
    for other in LITERALS + others:
        agree(pool, f"{subject} {operator} {other}")
        agree(pool, f"not {other} {operator} {subject}")


@pytest.mark.parametrize(
    "expression",
    [
        *LITERALS,
        "None",
        "lr",
        "acc",
        "name",
        "dirty",
        "not seed",
        "isnan(lr)",
        "not isnan(acc)",
        "isnan(name)",
        "lr is None",
        "acc is not None",
        "None == lr",
        "lr in [1, 'a', '5']",
        "lr not in (0.5, '')",
        "lr in [None, 1]",
        "lr not in [None]",
        "lr in []",
        "name not in []",
        "'a' in lr",
        "lr in params.order",
        "name in lr",
        "'a' not in name",
        "0 < lr < 1",
        "'A' <= lr < 'b' != name",
        "lr / params.order > 0",
        "lr / 3 == 1",
        "seed / 2 == 0.5 or 7 / 2 == 3",
        "lr * params.order >= 0",
        "lr - params.order - 1 == 0",
        "lr - (params.order - 1) == 0",
        "2 * (lr + 1) * 3 > lr / (2 + 1)",
        "(lr + 1) * 2 == 2 - seed + (1 - seed) / 2",
        "-lr > 0",
        "abs(lr) > 1",
        "abs(lr - 1) > 0",
        "matches(lr, '^[aA]')",
        "tag == 'a' and tag != 'ab'",
        "tag == 5 or tag == '5'",
        "tag in ['a', None]",
        "tag not in ['a', 'x']",
        "any(tag)",
        "not tags",
        "tags is not None",
        "any(tag != 'a')",
        "any('b' in tag and lr == 1)",
        "any(lower(tag) == name)",
        "any(tag == lr)",
        "matches(tag, 'b$')",
        "lr == 1 or name == 'a' and not acc",
        "not (lr == 1 or name == 'a') and acc",
        "min(acc) < mean(acc) < max(acc) and last(acc) != 0",
    ],
)
def test_conditions_are_as_documented_for_every_value(
    pool: sqlite3.Connection, expression: str
) -> None:
    agree(pool, expression)
    agree(pool, f"not ({expression})")


@pytest.mark.parametrize("subject", ["lr", "acc", "best(acc)"])
def test_a_range_is_its_condition_for_every_value(pool: sqlite3.Connection, subject: str) -> None:
    forms = [f"{subject} {op} {literal}" for op in OPERATORS for literal in LITERALS]
    forms += [f"{literal} {op} {subject}" for op in OPERATORS for literal in LITERALS]
    forms += [
        f"{subject} in [{', '.join(LITERALS)}]",
        f"0 < {subject} <= 3",
        f"-1 <= {subject} < 1",
    ]
    taken = 0
    for form in forms:
        range_ = simple_range(parse(form), CATALOG, NOW)
        if range_ is not None:
            taken += 1
            expected = {i for i, answer in enumerate(ask(pool, form)) if answer}
            assert runs_in(pool, range_) == expected, form
    assert taken > 50


# Data and expressions at random

TEXTS = ["", "a", "A", "ab", "5", "Adam", "relu² b", "NaN", "None", "é"]
numbers = st.one_of(
    st.integers(-3, 3),
    st.sampled_from([0.5, 1.5, -0.0, 1e300, math.inf, -math.inf, math.nan, True, False]),
    st.sampled_from([(1 << 63) - 1, -(1 << 63), 1 << 53]),
)
finite = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, 1e300]))
values = st.one_of(numbers, st.sampled_from(TEXTS))
times = st.sampled_from([microseconds(NOW - timedelta(days=d)) for d in (0, 1, 20)])
runs = st.fixed_dictionaries(
    {
        "tags": st.sets(st.sampled_from(["a", "ab", "A", "5"])).map(sorted),
        "fields": st.dictionaries(st.sampled_from(FIELDS), values),
        "metrics": st.dictionaries(
            st.sampled_from([m for m in METRICS if m != "never"]),
            st.tuples(numbers, finite, finite, finite),
        ),
    },
    optional={
        "name": st.sampled_from(TEXTS),
        "by": st.sampled_from(TEXTS),
        "seed": st.integers(-3, 3),
        "dirty": st.integers(0, 1),
        "started": times,
        "ended": times,
        "duration": st.sampled_from([0.0, 0.5, 3.0]),
        "description": st.sampled_from(TEXTS),
    },
)
metric_names = ["acc", "loss", "`val/acc`", "select", "`test 🔥`", "`it's`", "never"]
value_names = [*metric_names, "lr", "params.opt.name", 'params["my param"]', "params.order",
               "metadata['`q`']", "seed", "dirty", "duration"]  # fmt: skip
text_names = ["name", "by", "description"]
dates = ["'2026-01-30T12:00+00:00'", "'2026-01-20T00:00+00:00'"]
number_literals = st.sampled_from(
    ["0", "1", "-2", "0.5", "1e300", "True", "False", "9223372036854775807", "1" * 40, "-1e999"]
)
text_literals = st.sampled_from(TEXTS).map(repr)
literals = st.one_of(number_literals, text_literals)
orders = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])


def arithmetics(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("{} {} {}".format, inner, st.sampled_from("+-*/"), inner),
        st.builds("-{}".format, inner),
        st.builds("abs({})".format, inner),
    )


summaries = st.builds(
    "{}({})".format,
    st.sampled_from(["min", "max", "mean", "last", "best"]),
    st.sampled_from(metric_names),
)
number_values = st.recursive(
    st.one_of(st.sampled_from(value_names), summaries, number_literals), arithmetics, max_leaves=4
)
text_values = st.one_of(st.sampled_from(text_names), st.just("lower(name)"), st.just("lower(lr)"))
any_values = st.one_of(number_values, text_values, literals)
lists = st.lists(st.one_of(literals, st.just("None")), max_size=3).map(
    lambda found: f"[{', '.join(found)}]"
)
tag_literals = st.sampled_from(["'a'", "'5'", "'x'"])
searches = st.one_of(
    st.builds("{} in text".format, st.sampled_from(["'adam'", "'RELU2'", "'relu² b'"])),
    st.builds("tag {} {}".format, st.sampled_from(["==", "!="]), tag_literals),
    st.builds("{} in tags".format, tag_literals),
    st.builds("tags is {}".format, st.sampled_from(["None", "not None"])),
    st.builds("tag {} {}".format, st.sampled_from(["in", "not in"]), lists),
    st.builds("any(tag {} {})".format, orders, tag_literals),
    st.builds("any('b' {} tag)".format, st.sampled_from(["in", "not in"])),
    st.sampled_from(["any(tag)", "tags", "any(tag > 'a' and tag < 'b')", "any(tag == name)"]),
    st.builds("matches({}, '^[aA]b?$')".format, st.sampled_from(["name", "tag", "lr", "by"])),
    st.builds("{} {} {}".format, st.sampled_from(["started", "ended"]), orders,
              st.sampled_from(dates)),
    st.builds("started {} ended".format, orders),
)  # fmt: skip
atoms = st.one_of(
    st.builds("{} {} {}".format, any_values, orders, any_values),
    st.builds("{} {} {} {} {}".format, literals, orders, any_values, orders, literals),
    st.builds("{} {} {}".format, any_values, st.sampled_from(["in", "not in"]), lists),
    st.builds("{} {} {}".format, st.one_of(text_literals, text_values),
              st.sampled_from(["in", "not in"]),
              st.one_of(text_values, st.sampled_from(["params.opt.name", "lr", "'abc'"]))),
    st.builds("{} is {}".format, any_values, st.sampled_from(["None", "not None"])),
    st.builds("isnan({})".format, any_values),
    any_values,
    searches,
)  # fmt: skip
conditions = st.recursive(
    atoms,
    lambda inner: st.one_of(
        st.builds("({} and {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("not ({})".format, inner),
        st.builds("{} and not {}".format, inner, inner.map("({})".format)),
    ),
    max_leaves=5,
)


@settings(max_examples=400, deadline=None)
@given(st.lists(runs, min_size=1, max_size=4), conditions)
def test_sqlite_agrees_with_the_oracle(found: list[Run], expression: str) -> None:
    node = parse(expression)
    expected = [Oracle(run).condition(node) for run in found]
    assert ask(database(found), expression) == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(runs, min_size=1, max_size=4), st.one_of(number_values, text_values))
def test_values_agree_with_the_oracle(found: list[Run], expression: str) -> None:
    node = parse(expression)
    expected = [stored(Oracle(run).value(node)) for run in found]
    assert value(database(found), expression) == expected


ranged = st.one_of(
    st.builds(
        "{} {} {}".format, st.one_of(st.sampled_from(value_names), summaries), orders, literals
    ),
    st.builds(
        "{} {} {} {} {}".format, literals, orders, st.sampled_from(value_names), orders, literals
    ),
    st.builds("{} in {}".format, st.sampled_from(value_names), lists),
    st.builds("started {} {}".format, orders, st.sampled_from(dates)),
    searches,
)


@settings(max_examples=300, deadline=None)
@given(st.lists(runs, min_size=1, max_size=5), ranged)
@example([{"tags": [], "fields": {"params.lr": "a"}, "metrics": {}}], "lr > 0")
@example([{"tags": [], "fields": {"params.lr": math.nan}, "metrics": {}}], "lr > ''")
def test_a_range_has_exactly_the_runs_of_its_condition(found: list[Run], expression: str) -> None:
    range_ = simple_range(parse(expression), CATALOG, NOW)
    if range_ is None:
        return
    connection = database(found)
    answers = ask(connection, expression)
    assert runs_in(connection, range_) == {i for i, answer in enumerate(answers) if answer}


def runs_in(connection: sqlite3.Connection, range_: Range) -> set[int]:
    table, key = ("run", "number") if range_.kind == "started" else (range_.kind, "run")
    tests, parameters = [], []
    if range_.kind in ("field", "metric"):
        tests.append("path = ?")
        parameters.append(range_.path)
    if range_.equal is not None:
        tests.append(f"{range_.column} IN ({', '.join('?' * len(range_.equal))})")
        parameters += range_.equal
    if range_.low is not None:
        tests.append(f"{range_.column} {'>' if range_.low_open else '>='} ?")
        parameters.append(range_.low)
    if range_.high is not None:
        tests.append(f"{range_.column} {'<' if range_.high_open else '<='} ?")
        parameters.append(range_.high)
    statement = f"SELECT {key} FROM {table} WHERE {' AND '.join(tests) or '1'}"
    return {row[0] for row in connection.execute(statement, parameters)}


# Names


def parse_name(text: str) -> str:
    node = parse(text)
    assert isinstance(node, tree.Name)
    return node.path


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("acc", "acc"),
        ("metrics.acc", "acc"),
        ("loss", "eval.loss"),
        ("select", "eval.select"),
        ("`val/acc`", "val/acc"),
        ("metrics.`val/acc`", "val/acc"),
        ("`test 🔥`", "test 🔥"),
        ("`it's`", "it's"),
        ("lr", "params.lr"),
        ("params['my param']", "params.my param"),
        ("params.`my param`", "params.my param"),
        ("`params.my param`", "params.my param"),
        ("metadata.```q```", "metadata.`q`"),
        ("seed", "seed"),
        ("duration", "duration"),
    ],
)
def test_a_name_is_a_path_or_an_unambiguous_suffix_of_one(written: str, path: str) -> None:
    assert CATALOG.resolve(parse_name(written)).path == path


def test_a_run_s_own_attribute_hides_a_metric_that_its_prefix_reaches() -> None:
    catalog = Catalog({"duration": 1}, {"params.duration": 2}, lambda _: True)
    assert catalog.resolve("duration").kind == "own"
    assert catalog.resolve("metrics.duration").kind == "metric"
    assert catalog.resolve("params.duration").kind == "field"
    assert catalog.resolve_metric("duration").kind == "metric"


def test_every_candidate_that_an_ambiguous_name_lists_can_be_written_so() -> None:
    catalog = Catalog({"a/x": 1, "b.x": 2, "metadata.x": 3}, {"metadata.x": 4}, lambda _: True)
    with pytest.raises(QueryError, match="'x' is ambiguous") as caught:
        compile_condition("x > 1", catalog, NOW)
    line = caught.value.message.splitlines()[0]
    ways = line.partition("ambiguous: ")[2].rstrip(".").split(", ")
    found = {catalog.resolve(parse_name(way))[:2] for way in ways}
    assert found == {
        ("field", "metadata.x"),
        ("metric", "a/x"),
        ("metric", "b.x"),
        ("metric", "metadata.x"),
    }


def test_a_name_that_nobody_has_is_answered_with_the_nearest() -> None:
    error = fails("acc > 1 and eval.lsos < 2")
    assert error.message.splitlines() == [
        "No run has a metric, parameter or attribute named 'eval.lsos'.",
        "  acc > 1 and eval.lsos < 2",
        "              ^",
    ]
    assert error.hint is not None
    assert "eval.loss" in error.hint


def test_a_path_that_this_database_lacks_is_missing_everywhere() -> None:
    connection = database([{"name": "x"}])
    assert ask(connection, "never > 1") == [None]
    assert ask(connection, "never is None") == [1]
    assert simple_range(parse("never > 1"), CATALOG, NOW) == Range(
        "metric", "last", None, 1, True, "", True
    )


# Mistakes


@pytest.mark.parametrize(
    ("expression", "place", "says"),
    [
        ("started > 5", "5", "does not compare with this"),
        ("started > lr", "lr", "'started' is a time"),
        ("5 < ended", "5", "does not compare with this"),
        ("started > 'soon'", "'soon'", "'soon' is not a time"),
        ("started in ['soon']", "'soon'", "'soon' is not a time"),
        ("started + 1 > 2", "started", "This is a time"),
        ("name + 1 > 2", "name", "This is a text"),
        ("abs('x') > 2", "'x'", "This is a text"),
        ("(acc > 1) == True", "acc", "This is true or false"),
        ("(acc > 1) + 1", "acc", "This is true or false"),
        ("acc > 1 > isnan(acc)", "isnan", "isnan() is true or false"),
        ("acc < None", "None", "neither less nor greater"),
        ("acc == [1]", "[", "A list stands only after 'in'"),
        ("[1, 2]", "[", "A list stands only after 'in'"),
        ("acc in [lr]", "lr]", "A list holds only"),
        ("'a' in started", "started", "'in' looks for a text"),
        ("1 in name", "1", "'in' looks for a text"),
        ("name in text", "name", "Only a text in quotes"),
        ("'--' in text", "'--'", "no word to search for"),
        ("text == 'a'", "text", "'text' is all words"),
        ("tag < 'b'", "tag", "have no order"),
        ("lower(tag) == 'b'", "tag", "several tags"),
        ("tag == tags", "tags", "do not compare with tags"),
        ("tag in name", "tag", "a list of tags"),
        ("name in tags", "name", "a text in quotes"),
        ("any(acc > 1)", "acc", "any() asks about tags"),
        ("any(any(tag))", "any(tag)", "within any()"),
        ("any()", "any()", "takes one argument"),
        ("min(lr) > 1", "lr", "No run has a metric named 'lr'"),
        ("min(acc + 1) > 1", "acc", "takes a metric"),
        ("len(name) > 3", "len", "no function named 'len'"),
        ("__import__('os').system('x')", "__import__", "cannot stand here"),
        ("name.startswith('a')", "name", "names have no methods"),
        ("matches(name)", "matches", "a name and a pattern"),
        ("matches(name, lr)", "lr", "a text in quotes"),
        ("matches(name, 'a(b')", "(b", "no regular expression"),
        ("matches(name, '" + "(" * 900 + "')", "'((", "too deep or too large"),
        ("matches(name, 'a{99999999999}')", "'a{", "too deep or too large"),
        ("matches(started, 'a')", "started", "looks into texts"),
        ("lower(seed) == 'a'", "seed", "takes a text"),
        ("val/acc > 1", "val/acc", "read as arithmetic"),
        ("lr > 1 and val/acc * 2 > 1", "val/acc", "read as arithmetic"),
    ],
)
def test_a_mistake_is_answered_with_its_place(expression: str, place: str, says: str) -> None:
    error = fails(expression)
    assert says in error.message.splitlines()[0]
    assert error.exit_code == 2
    if not says.startswith("cannot stand"):
        assert expression[error.position :].startswith(place)


def test_values_and_names_are_never_in_the_sql() -> None:
    odd = "x'); DROP TABLE run; --"
    catalog = Catalog({odd: 1}, {f"params.{odd}": 2}, lambda _: True)
    asks = f'`{odd}` > 1 and params["{odd}"] == "{odd}" and tag == "{odd}" and "{odd}" in text'
    compiled = compile_condition(asks, catalog, NOW)
    assert "DROP" not in compiled.sql
    assert compiled.sql.count("?") == len(compiled.parameters)


@pytest.mark.parametrize(
    "nest",
    [
        lambda n: "(" * n + "lr < 1" + ")" * n,
        lambda n: "not " * n + "lr < 1",
        lambda n: "lr < 1 and (acc > 1 or (" * n + "lr < 1" + "))" * n,
        lambda n: "((" * n + "lr < 1" + ") and acc > 1) or lr < 1" * n,
        lambda n: "lr - (" * n + "lr" + ")" * n + " < lr",
        lambda n: "lr / (" * n + "lr" + ")" * n + " in [1]",
        lambda n: "lr" + " - lr / 2" * n + " < lr",
        lambda n: "(" * n + "lr" + " - lr) * 2" * n + " < lr",
        lambda n: "- " * n + "lr < 1",
        lambda n: "abs(" * n + "lr" + ")" * n + " < acc",
        lambda n: "lower(" * n + "name" + ")" * n + " in name",
        lambda n: "any(tag == 'a' or not (" + "not (" * n + "tag == name" + ")" * n + "))",
        lambda n: " and ".join(["lr < acc"] * n),
        lambda n: " or ".join(["isnan(lr)"] * n),
        lambda n: "lr" + " < lr" * n,
        lambda n: "lr in [" + "1, " * n + "]",
        lambda n: " and ".join(["(lr < 1 or acc > 1)"] * n),
    ],
)
def test_what_compiles_is_never_too_deep_for_sqlite(nest: Any) -> None:
    connection = database([{"fields": {"params.lr": 1.0}, "tags": ["a"], "name": "x"}])
    refused = False
    for size in [*range(1, 60), 75, 90, 99, 150, 350, 399, 500, 660, 999, 1990, 2500]:
        try:
            compiled = compile_condition(nest(size), CATALOG, NOW)
        except QueryError as error:
            assert "nested" in error.message or "parts" in error.message  # noqa: PT017
            refused = True
            continue
        statement = f"""
            SELECT r.number, (SELECT last FROM metric WHERE path = 1 AND run = r.number) AS k
            FROM run AS r WHERE r.number IN (SELECT run FROM field WHERE path = 100 AND value < 5)
            AND (r.started > 5 OR (({compiled.sql}))) ORDER BY k DESC LIMIT 20"""
        connection.execute(statement, compiled.parameters).fetchall()
    assert refused


# Times, texts, lists


def test_times_are_compared_with_what_people_call_them() -> None:
    days = [0, 3, 20]
    runs = [{"started": microseconds(NOW - timedelta(days=d))} for d in days]
    connection = database([*runs, {}])
    assert ask(connection, "started > '1 week ago'") == [1, 1, 0, None]
    assert ask(connection, "'3 weeks ago' < started <= '2026-01-28T12:00Z'") == [0, 1, 1, None]
    assert ask(connection, "started in ['now']") == [1, 0, 0, None]
    assert ask(connection, "started is None") == [0, 0, 0, 1]
    assert ask(connection, "started") == [1, 1, 1, None]
    after = microseconds(NOW - timedelta(days=7))
    assert simple_range(parse("started >= '1 week ago'"), CATALOG, NOW) == Range(
        "started", "started", None, after, False, None, False
    )


def test_a_naive_date_is_in_the_local_zone() -> None:
    compiled = compile_condition("started < '2026-01-31'", CATALOG, NOW)
    assert compiled.parameters == [microseconds(datetime(2026, 1, 31).astimezone())]


def test_ids_are_texts_of_digits_and_descriptions_are_read_from_the_document() -> None:
    run = {"commit": bytes(20), "tree": bytes.fromhex("ab" * 20), "description": "Wide"}
    connection = database([{"name": "x"}, run])
    ids = ["0" * 40, "0" * 39 + "1"]
    assert value(connection, "run") == value(connection, "id") == ids
    assert ask(connection, f"run == '{ids[1]}' and commit == '{'0' * 40}'") == [0, 1]
    assert ask(connection, "tree == '" + "ab" * 20 + "'") == [None, 1]
    assert ask(connection, "'Wide' in description") == [None, 1]


def test_text_search_finds_words_and_phrases_in_every_text_of_a_run() -> None:
    connection = database(
        [
            {"name": "swiglu-v2", "description": "warmup 0.04, QK-norm."},
            {"name": "base", "hypothesis": "SwiGLU helps", "tags": ["qk"]},
        ]
    )
    assert ask(connection, "'swiglu' in text") == [0, 1]
    assert ask(connection, "'swiglu-v2' in text and 'qk-NORM' in text") == [1, 0]
    assert ask(connection, "'warmup 0.04' in text") == [1, 0]
    assert ask(connection, "not '0.04 warmup' in text and 'qk' not in text") == [1, 0]
    assert ask(connection, "'\"helps\"' in text") == [0, 1]
    assert ask(connection, "'helps' in hypothesis") == [None, 1]


def test_columns_and_sort_keys_are_expressions() -> None:
    connection = database(
        [{"tags": ["b", "a"], "name": "N", "metrics": {"acc": (0.5, 0, 1, 0.5)}}, {"tags": []}]
    )
    items = parse_list("name, acc * 100, tags, best(acc), acc > 1, None,")
    columns = [value(connection, item.text) for item in items]
    assert columns == [
        ["N", None], [50.0, None], ["a, b", None], [1, None], [0, None], [None, None]
    ]  # fmt: skip
    keys = parse_list("-acc, name desc, lr asc, -lr + 1, `val/acc`, -(acc + 1)", order=True)
    assert [(key.text, key.descending) for key in keys] == [
        ("-acc", True),
        ("name", True),
        ("lr", False),
        ("-lr + 1", False),
        ("`val/acc`", False),
        ("-(acc + 1)", True),
    ]
    assert isinstance(keys[0].node, tree.Name)


@pytest.mark.parametrize(
    ("expression", "equal"),
    [
        ("tag == 'a'", ("a",)),
        ("'a' == tag", ("a",)),
        ("'a' in tags", ("a",)),
        ("tag in ['a', 'b']", ("a", "b")),
        ("tag != 'a'", None),
        ("tag not in ['a']", None),
        ("tag == 5", None),
        ("tag in ['a', None]", None),
        ("any(tag == 'a')", None),
    ],
)
def test_tags_have_ranges_of_equal_values_only(
    expression: str, equal: tuple[str, ...] | None
) -> None:
    range_ = simple_range(parse(expression), CATALOG, NOW)
    assert range_ == (Range("tag", "tag", equal=equal) if equal else None)


def test_an_and_falls_into_its_conjuncts() -> None:
    node = parse("lr < 1 and (acc > 2 and not (name == 'a' and lr)) and (acc or lr)")
    parts = [part.text for part in conjuncts(node)]
    assert parts == ["lr < 1", "acc > 2", "not (name == 'a' and lr)", "acc or lr"]
    assert [part.text for part in conjuncts(parse("lr or acc"))] == ["lr or acc"]


# The reference


def blocks(kind: str) -> list[str]:
    text = REFERENCE.read_text(encoding="utf-8")
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def examples() -> list[str]:
    lines = "".join(blocks("python")).splitlines()
    return [found for line in lines if (found := line.partition("  #")[0].strip())]


def test_the_reference_has_examples() -> None:
    assert len(examples()) > 25


@pytest.mark.parametrize("expression", examples())
def test_an_example_of_the_reference_can_be_asked(
    pool: sqlite3.Connection, expression: str
) -> None:
    fields = dict.fromkeys(["params.lr", "params.opt.name", "params.use_bias", "params.my param"])
    fields |= dict.fromkeys(["metadata.note", "params.batch_size", "params.layers.0.width"])
    metrics = dict.fromkeys(["acc", "val/acc", "train.loss", "val.loss", "test 🔥"])
    catalog = Catalog(
        {path: i for i, path in enumerate(metrics)},
        {path: i + 100 for i, path in enumerate(fields)},
        lambda path: "loss" in path,
    )
    compiled = compile_condition(expression, catalog, NOW)
    with Running(compiled):
        pool.execute(f"SELECT {compiled.sql} FROM run AS r", compiled.parameters).fetchall()


def test_the_reference_shows_an_error_as_it_is() -> None:
    shown = blocks("text")[0]
    expression = shown.splitlines()[1].strip()
    error = fails(expression)
    assert shown == f"error: {error.message}\nhint: {error.hint}\n"


def test_the_reference_names_every_attribute_and_function() -> None:
    from gitexp.query.compile import FUNCTIONS
    from gitexp.query.names import OWN as ATTRIBUTES

    text = REFERENCE.read_text(encoding="utf-8")
    for name in ATTRIBUTES:
        assert f"`{name}`" in text, name
    for name in FUNCTIONS.split(", "):
        assert f"`{name}(" in text, name
