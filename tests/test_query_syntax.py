"""The grammar of expressions: what they mean, what is refused and how, and that nothing crashes."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitexp.errors import QueryError, UsageError
from gitexp.query import syntax as tree
from gitexp.query.compile import compile_condition, compile_value
from gitexp.query.names import Catalog
from gitexp.query.ranges import simple_range
from gitexp.query.syntax import parse, parse_list

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CATALOG = Catalog(
    {"acc": 1, "eval.loss": 2, "val/acc": 3}, {"params.lr": 4, "params.opt.name": 5}, lambda _: True
)


def shape(node: tree.Node) -> Any:  # noqa: PLR0911
    """Return a tree as nested tuples."""
    if isinstance(node, tree.Constant):
        return node.value
    if isinstance(node, tree.Name):
        return f"<{node.path}>"
    if isinstance(node, tree.Unary):
        return (type(node).__name__.lower(), shape(node.operand))
    if isinstance(node, tree.Arithmetic):
        return (shape(node.left), node.operator, shape(node.right))
    assert isinstance(node, tree.Items)
    items = [shape(item) for item in node.items]
    if isinstance(node, tree.Compare):
        return ("compare", items, node.operators)
    if isinstance(node, tree.Call):
        return (node.function, items)
    return (type(node).__name__.lower(), items)


def fails(text: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a or b and c", ("or", ["<a>", ("and", ["<b>", "<c>"])])),
        ("(a or b) and c", ("and", [("or", ["<a>", "<b>"]), "<c>"])),
        ("a and (b and c) and d", ("and", ["<a>", "<b>", "<c>", "<d>"])),
        ("not a and b", ("and", [("not", "<a>"), "<b>"])),
        ("not a == b", ("not", ("compare", ["<a>", "<b>"], ["=="]))),
        ("not not a", ("not", ("not", "<a>"))),
        ("0 < a <= 1", ("compare", [0, "<a>", 1], ["<", "<="])),
        ("a not in [1, 'x', None,]", ("compare", ["<a>", ("items", [1, "x", None])], ["not in"])),
        ("a in (1, 2)", ("compare", ["<a>", ("items", [1, 2])], ["in"])),
        ("a in (1,)", ("compare", ["<a>", ("items", [1])], ["in"])),
        ("a in ()", ("compare", ["<a>", ("items", [])], ["in"])),
        ("a is None", ("compare", ["<a>", None], ["=="])),
        ("a is not none", ("compare", ["<a>", None], ["!="])),
        ("a + b * c - d", (("<a>", "+", ("<b>", "*", "<c>")), "-", "<d>")),
        ("a - (b - c)", ("<a>", "-", ("<b>", "-", "<c>"))),
        ("a / b / c", (("<a>", "/", "<b>"), "/", "<c>")),
        ("-a * b", (("negative", "<a>"), "*", "<b>")),
        ("a - -1", ("<a>", "-", -1)),
        ("a-1", ("<a>", "-", 1)),
        ("f(a, 'b')", ("f", ["<a>", "b"])),
        ("true", True),
        ("False", False),
        ("a\n  and\tb", ("and", ["<a>", "<b>"])),
    ],
)
def test_the_grammar_is_that_of_python(text: str, expected: Any) -> None:
    assert shape(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0),
        ("1_000", 1000),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e-3", 0.001),
        ("1_0.2_5E+1", 102.5),
        ("-7", -7),
        ("--7", 7),
        ("9223372036854775807", 9223372036854775807),
        ("9223372036854775808", 9223372036854775808.0),
        ("-9223372036854775808", -9223372036854775808.0),
        ("9" * 5000, float("inf")),
    ],
)
def test_numbers_are_those_of_python_as_far_as_sqlite_holds_them(text: str, expected: Any) -> None:
    found = shape(parse(text))
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'a\"b'", 'a"b'),
        ('"a\'b"', "a'b"),
        (r"'\n\t\\\'\"\x41\u00e9\U0001F525'", "\n\t\\'\"Aé🔥"),
        (r"'\d+\.'", r"\d+\."),
        (r"r'\n'", r"\n"),
        ("''", ""),
        ("'日本 🔥'", "日本 🔥"),
    ],
)
def test_texts_have_the_escapes_of_python(text: str, expected: str) -> None:
    assert shape(parse(text)) == expected


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("acc", "acc"),
        ("params.opt.lr", "params.opt.lr"),
        ("layers.0.width", "layers.0.width"),
        ("`val/acc`", "val/acc"),
        ("params.`my param`.x", "params.my param.x"),
        ("`a.b`.c", "a.b.c"),
        ("`a``b`", "a`b"),
        ("params['my param']", "params.my param"),
        ("params['a']['b']", "params.a.b"),
        ("layers[0]['w']", "layers.0.w"),
        ("verlust_größe", "verlust_größe"),
        ("损失", "损失"),
        ("acc🔥", "acc🔥"),
        ("👩‍🔬", "👩‍🔬"),
        ("`select`", "select"),
        ("select", "select"),
        ("`and`", "and"),
        ("params.in", "params.in"),
        ("desc", "desc"),
        ("android", "android"),
    ],
)
def test_names_are_dotted_quoted_or_subscripted(text: str, path: str) -> None:
    node = parse(text)
    assert isinstance(node, tree.Name)
    assert node.path == path


@pytest.mark.parametrize(
    ("text", "position", "says", "hint"),
    [
        ("a = 1", 2, "'='", "=="),
        ("a <> 1", 2, "'<>'", "!="),
        ("a && b", 2, "'&&'", "'and'"),
        ("a & b", 2, "'&'", "'and'"),
        ("a || b", 2, "'||'", "'or'"),
        ("a | b", 2, "'|'", "'or'"),
        ("!a", 0, "'!'", "'not'"),
        ("a AND b", 2, "'AND'", "small letters"),
        ("a ** 2", 2, "'**'", "only + - * and /"),
        ("a // 2", 2, "'//'", "only + - * and /"),
        ("a % 2", 2, "'%'", "only + - * and /"),
        ("a ≤ 2", 2, "'≤'", "<="),
        ("a == “x”", 5, "'“'", '"'),
        ("a == $x", 5, "'$'", "backquotes"),
        ("a is 5", 2, "'is'", "=="),
        ("a not 5", 2, "'not'", None),
        ("a == not b", 5, "'not'", None),
        ("val loss > 1", 4, "'loss'", "backquotes"),
        ("a b", 2, "'b'", "operator"),
        ("1st > 2", 0, "number nor a name", "backquotes"),
        ("'abc", 0, "does not end", "quote"),
        ("a == 'abc", 5, "does not end", "quote"),
        ("`abc", 0, "empty or does not end", None),
        ("``", 0, "empty or does not end", None),
        (r"'\ud800'", 0, "no character", None),
        ("'\ud800'", 0, "no character", None),
        ("a\u202e", 1, "means nothing", None),
        ("(a", 0, "not closed", "Close it"),
        ("f(a, [1", 5, "not closed", "Close it"),
        ("a)", 1, "')'", None),
        ("a >", 3, "too early", None),
        ("a and ", 5, "too early", None),
        ("a, b", 1, "','", "one expression"),
        ("a[b]", 2, "key in brackets", "quotes"),
        ("name.startswith('x')", 0, "no methods", "matches"),
        ("`f`(x)", 0, "cannot be called", None),
        ("params['f'](x)", 11, "'('", None),
        ("a := 1", 2, "':'", None),
        ("lambda x", 7, "'x'", None),
        ("a if b else c", 2, "'if'", None),
        ("", None, "is empty", "acc > 0.9"),
        (" \n ", None, "is empty", None),
    ],
)
def test_what_is_no_expression_is_answered_with_its_place(
    text: str, position: int | None, says: str, hint: str | None
) -> None:
    error = fails(text)
    assert isinstance(error, UsageError)
    assert error.exit_code == 2
    assert error.position == position
    assert says in error.message.splitlines()[0]
    assert hint is None or hint in (error.hint or "")


def test_the_caret_stands_under_the_place_in_its_line() -> None:
    lines = fails("acc > 0.9\nand 日本 == 1 and\tlr = 3\nand x").message.splitlines()
    assert lines[1] == "  and 日本 == 1 and\N{REPLACEMENT CHARACTER}lr = 3"
    assert lines[2] == "  " + " " * len("and 日本 == 1 and lr ") + "  ^"


def test_a_long_line_is_shown_around_the_place() -> None:
    text = "a and " * 50 + "b = 1" + " and c" * 50
    _, line, caret = fails(text).message.splitlines()
    assert len(line) < 80
    assert line[caret.index("^")] == "="
    assert line.strip().startswith("…")
    assert line.endswith("…")


def test_the_line_that_is_shown_cannot_act_on_a_terminal() -> None:
    assert "\x1b" not in fails("'\x1b[31m' = 1").message


@pytest.mark.parametrize("opening", ["(", "not ", "-", "- ", "[", "abs(", "a + (", "x in (", "a["])
@pytest.mark.parametrize("count", [101, 1000, 100_000])
def test_deep_nesting_is_an_error_of_ours(opening: str, count: int) -> None:
    for text in (opening * count, opening * count + "a" + ")" * count):
        assert fails(text).exit_code == 2


def test_nesting_as_people_write_it_is_no_problem() -> None:
    assert shape(parse("(" * 90 + "a" + ")" * 90)) == "<a>"
    assert len(shape(parse(" or ".join(["a"] * 900)))[1]) == 900


@pytest.mark.parametrize("word", ["a and ", "a or ", "a + ", "a < ", "f(a) and "])
def test_long_chains_are_refused_by_their_number_of_parts(word: str) -> None:
    assert "parts" in fails(word * 2100 + "a").message


def test_an_expression_of_a_megabyte_is_refused_by_its_size() -> None:
    assert "1,000,000 characters" in fails("a" * 1_000_000).message


def test_a_list_has_items_with_their_text() -> None:
    items = parse_list(" run, (acc) * 2 ,max(acc, 1),`a,b` ,")
    assert [item.text for item in items] == ["run", "(acc) * 2", "max(acc, 1)", "`a,b`"]
    assert not any(item.descending for item in items)


@pytest.mark.parametrize("text", ["", ",", "a,,b", "a b", "a desc", "a,, "])
def test_a_list_with_a_gap_is_refused(text: str) -> None:
    with pytest.raises(QueryError):
        parse_list(text)


def test_sort_keys_have_a_direction() -> None:
    items = parse_list("-acc, lr desc, name asc, desc, desc desc", order=True)
    assert [(shape(item.node), item.descending) for item in items] == [
        ("<acc>", True),
        ("<lr>", True),
        ("<name>", False),
        ("<desc>", False),
        ("<desc>", True),
    ]
    with pytest.raises(QueryError, match="no sort key"):
        parse_list("-1", order=True)


# Anything at all

PIECES = [
    "acc", "lr", "`val/acc`", "name", "tag", "tags", "text", "started", "nope", "params['x']",
    "0.5", "-1", "1e999", "'a'", "'2 weeks ago'", "True", "None", "[1, 'a']", "()", "(", ")", "[",
    "]", ",", ".", "+", "-", "*", "/", "<", ">=", "==", "!=", "=", "in", "not in", "not", "is",
    "and", "or", "any(", "matches(name, ", "'('", "'(a+)+'", "isnan(", "min(", "best(", "lower(",
    "abs(", "f(", "`", "'", "\\", "\n", "é", "🔥", "&&", "desc", "\ud800", "\x00",
]  # fmt: skip
pieces = st.lists(st.sampled_from(PIECES), max_size=14).map(" ".join)


def ask_everything(text: str) -> None:
    """Use a text in every way that an expression can be used."""
    for compile_ in (compile_condition, compile_value):
        try:
            compiled = compile_(text, CATALOG, NOW)
        except QueryError as error:
            assert error.message  # noqa: PT017
        else:
            assert compiled.sql.count("?") == len(compiled.parameters)
    try:
        node = parse(text)
        compile_condition(node, CATALOG, NOW)
    except QueryError:
        return
    simple_range(node, CATALOG, NOW)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=40), pieces))
@example("\ud800")
@example("1" * 5000 + " == acc")
@example("started > ''")
@example("started > '0001-01-01'")
@example("started > '9999-12-31T23:59:59.999999-23:59'")
@example("started > '999999 years ago'")
def test_no_text_raises_anything_but_a_query_error(text: str) -> None:
    ask_everything(text)
    for order in (True, False):
        try:
            parse_list(text, order=order)
        except QueryError as error:
            assert error.message  # noqa: PT017


VALID = "0 < lr <= 0.1 and best(loss) > 0.5 or not (tag in ['a'] and matches(name, '^a+')) and -acc"


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_damage_to_an_expression_raises_anything_but_a_query_error(data: st.DataObject) -> None:
    text = VALID
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(len(text), start + 5)))
        middle = data.draw(st.one_of(st.just(""), st.sampled_from(PIECES), st.characters()))
        text = text[:start] + middle + text[end:]
    ask_everything(text)
