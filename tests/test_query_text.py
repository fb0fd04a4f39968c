"""Words of full-text search, on real FTS5, and regular expressions that end in time."""

from __future__ import annotations

import os
import re
import sqlite3
from datetime import UTC, datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitexp.errors import QueryError
from gitexp.index.database import connect
from gitexp.query import regex as regex_module
from gitexp.query.compile import Compiled, Running, compile_condition
from gitexp.query.names import Catalog
from gitexp.query.regex import Matcher, is_cheap
from gitexp.query.text import TOKENIZE, match_query, words

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
CATALOG = Catalog({}, {}, lambda _: True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr is 0.04.", ["lr", "is", "0.04"]),
        ("1e-3, 1E+3; 2.5e-4!", ["1e-3", "1e+3", "2.5e-4"]),
        ("swiglu_v2 QK-norm resnet-50", ["swiglu_v2", "qk-norm", "resnet-50"]),
        ("torch.nn (v1.2.3)", ["torch.nn", "v1.2.3"]),
        ("relu² ﬁx \uff38", ["relu2", "fix", "x"]),
        ("- -a- b. .c", ["a", "b", "c"]),
        ("a—b a/b a:b don't", ["a", "b", "a", "b", "a", "b", "don", "t"]),
        ("café", ["caf~e9~"]),
        ("CAFE\u0301", ["caf~e9~"]),
        ("训练ab", ["~8bad~", "~7ec3~", "ab"]),
        ("a🔥b", ["a", "~1f525~", "b"]),
        ("~e9~", ["e9"]),
        ("हिन्दी", ["~939~~93f~~928~~94d~~926~~940~"]),
        ("", []),
    ],
)
def test_a_word_is_what_a_person_calls_one(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def table() -> sqlite3.Connection:
    connection = connect(":memory:")
    connection.executescript(
        f"""CREATE VIRTUAL TABLE t USING fts5(body, tokenize="{TOKENIZE}");
        CREATE VIRTUAL TABLE v USING fts5vocab(t, instance);"""
    )
    return connection


texts = st.one_of(st.text(), st.text("aZ09._+-~ é²训🔥'\"ि\u0301𞤀", max_size=30))


@settings(max_examples=300, deadline=None)
@given(texts)
@example("0.04. 1e-3 swiglu_v2 QK-norm relu² 训练 🔥 ꭰ Ა 𞤀 ß İ")
def test_the_tokens_of_fts5_are_our_words(text: str) -> None:
    connection = table()
    connection.execute("INSERT INTO t VALUES(?)", [" ".join(words(text))])
    rows = connection.execute("SELECT term FROM v ORDER BY offset").fetchall()
    assert [row[0] for row in rows] == words(text)


@settings(max_examples=300, deadline=None)
@given(texts, texts, texts)
def test_a_phrase_is_found_exactly_where_its_words_stand_in_a_row(
    before: str, phrase: str, after: str
) -> None:
    connection = table()
    query = match_query(phrase)
    assert bool(query) == bool(words(phrase))
    if not query:
        return
    for text in (f"{before} {phrase} {after}", before, f"{after}{phrase}"):
        connection.execute("INSERT INTO t VALUES(?)", [" ".join(words(text))])
    found = connection.execute("SELECT rowid FROM t WHERE t MATCH ?", [query]).fetchall()
    wanted = f" {' '.join(words(phrase))} "
    rows = connection.execute("SELECT rowid, body FROM t").fetchall()
    assert [row for (row,) in found] == [row for row, body in rows if wanted in f" {body} "]
    assert (1,) in found


# Regular expressions

STUCK = "(a+)+$"
LONG = "a" * 40 + "b"


def names(*found: str | int) -> sqlite3.Connection:
    connection = connect(":memory:")
    connection.execute("CREATE TABLE run(number INTEGER PRIMARY KEY, name)")
    connection.executemany("INSERT INTO run(name) VALUES(?)", [[name] for name in found])
    return connection


def matching(pattern: str) -> Compiled:
    return compile_condition(f"matches(name, {pattern!r})", CATALOG, NOW)


def ask(connection: sqlite3.Connection, compiled: Compiled) -> list[int | None]:
    with Running(compiled):
        statement = f"SELECT {compiled.sql} FROM run AS r"
        return [row[0] for row in connection.execute(statement, compiled.parameters)]


def test_a_pattern_is_searched_for_as_python_does() -> None:
    connection = names("resnet-50", "Resnet", 5, "x\nresnet")
    assert ask(connection, matching("^res")) == [1, 0, None, 0]
    assert ask(connection, matching("(?i)^res")) == [1, 1, None, 0]
    assert ask(connection, matching("(?m)^(res)+")) == [1, 0, None, 1]  # in the child process


def test_a_child_process_answers_what_is_not_cheap_and_ends_with_the_query() -> None:
    compiled = matching("(é|b+)+c")
    connection = names("ébbc", "ébb", "ébbc")
    with Running(compiled):
        rows = connection.execute(f"SELECT {compiled.sql} FROM run AS r", compiled.parameters)
        assert [row[0] for row in rows] == [1, 0, 1]
        matcher = compiled.matcher
        assert matcher is not None
        child = matcher._child
        assert child is not None
        assert child.poll() is None
    assert child.poll() is not None


def test_a_pattern_that_never_ends_is_given_up_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex_module, "SECONDS", 0.2)
    connection = names("ok", LONG, "ok")
    compiled = matching(STUCK)
    with pytest.raises(QueryError, match=re.escape(repr(STUCK))) as caught:
        ask(connection, compiled)
    assert "0.2 seconds" in caught.value.message
    assert compiled.matcher is not None
    assert compiled.matcher._child is None
    connection.execute("DELETE FROM run WHERE number = 2")
    assert ask(connection, compiled) == [0, 0]


def test_cheap_searches_share_the_time_of_a_query(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regex_module, "SECONDS", 0.0)
    with pytest.raises(QueryError, match="takes more than 0 seconds"):
        ask(names("a", "b"), matching("a+"))


def test_a_child_that_vanishes_is_an_error_and_not_an_answer() -> None:
    compiled = matching("(a|b+)+c")
    connection = names("ab", "abb")
    assert compiled.matcher is not None
    os.kill(compiled.matcher._start().pid, 9)
    with pytest.raises(QueryError), Running(compiled):
        connection.execute(f"SELECT {compiled.sql} FROM run AS r", compiled.parameters).fetchall()


def test_an_error_of_sqlite_itself_stays_as_it_is() -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"), Running(matching("a")):
        names("a").execute("SELECT * FROM nowhere")


@pytest.mark.parametrize("pattern", ["abc", "^res.*50$", "v[0-9]+", "a|b", "(?i)x", "(a|b)c?"])
def test_what_people_write_is_cheap(pattern: str) -> None:
    assert is_cheap(pattern, 100)


@pytest.mark.parametrize(
    "pattern",
    [STUCK, "(a*)*", "(a|a)*$", "(a{1,9}){1,9}", r"(a*)\1", "(?x)(a+) +", "(?P<n>a)(?(n)b)",
     "(a|a)" * 25, "a?" * 30 + "a" * 30, ".*.*.*.*x"],
)  # fmt: skip
def test_what_can_take_long_is_not_cheap(pattern: str) -> None:
    assert not is_cheap(pattern, 100)


def test_two_expressions_in_one_statement_keep_their_patterns() -> None:
    first, second = matching("^a"), matching("b$")
    with Running(first, second):
        rows = names("ab", "a", "b").execute(
            f"SELECT {first.sql}, {second.sql} FROM run AS r",
            first.parameters + second.parameters,
        )
        assert rows.fetchall() == [(1, 1), (1, 0), (0, 1)]


def test_a_matcher_is_forgotten_with_its_expression() -> None:
    compiled = matching("a")
    assert compiled.matcher is not None
    number = compiled.matcher.number
    assert isinstance(regex_module.MATCHERS[number], Matcher)
    del compiled
    assert number not in regex_module.MATCHERS
