"""Sentences in quotes are those of docs/format.md that the test below checks."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.records.facts import (
    BadLineError,
    EndFact,
    Fact,
    OpaqueFact,
    RemarkFact,
    RunFact,
    TombstoneFact,
    decode_fact,
    encode_fact,
)
from gitexp.records.schema import SCHEMA

TIME = "2026-01-31T12:00:00.000000Z"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 53), 1 << 53) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
TEXT = st.text(max_size=20)
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        RunFact,
        time=st.just(TIME),
        by=TEXT,
        name=TEXT,
        parameters=st.dictionaries(TEXT, JSON, max_size=3),
        metadata=JSON,
        git=st.none(),
        inputs=st.just(()),
        schema=st.just(SCHEMA),
    ),
    st.builds(
        EndFact,
        time=st.just(TIME),
        by=TEXT,
        duration=st.floats(0, 1e9),
        metrics=st.just({}),
        schema=st.just(SCHEMA),
    ),
    st.builds(RemarkFact, time=st.just(TIME), by=TEXT, inputs=st.just(()), schema=st.just(SCHEMA)),
    st.builds(TombstoneFact, time=st.just(TIME), by=TEXT, schema=st.just(SCHEMA)),
)


@given(FACTS)
def test_a_fact_is_one_line_that_gives_it_back(fact: Fact) -> None:
    """A fact is one line: it holds no line end and no NUL, whatever its texts hold."""
    line = encode_fact(fact)
    assert not {b"\n"[0], 0} & set(line)
    assert decode_fact(line) == fact


@given(FACTS)
def test_every_line_carries_kind_schema_time_and_by(fact: Fact) -> None:
    """Every fact has ``kind``, ``schema``, ``time`` and ``by``."""
    assert msgspec.json.decode(encode_fact(fact)).keys() >= {"kind", "schema", "time", "by"}


@pytest.mark.parametrize(
    "line",
    [
        b'{"kind":"prophecy","schema":1,"time":"x","by":"y","what":[1,2]}',
        b'{"kind":"run","schema":2,"time":{"new":"form"}}',
        b'{"kind":"end","schema":99,"time":"x","by":"y","status":"finished","duration":1.0}',
    ],
)
def test_unknown_kinds_and_newer_schemas_are_kept_byte_for_byte(line: bytes) -> None:
    fact = decode_fact(line)
    assert isinstance(fact, OpaqueFact)
    assert fact.line == line


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"kind":"run"}',
        b'{"kind":"end","schema":1,"time":"x","by":"y","status":"exploded","duration":1.0}',
        b'{"kind":7}',
        b"[" * 100_000,
        b'{"kind":"run","schema":1,"time":"x","by":"y","name":"\xff"}',
    ],
)
def test_damage_is_reported_not_guessed(line: bytes) -> None:
    with pytest.raises(BadLineError):
        decode_fact(line)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_reported(line: bytes) -> None:
    with contextlib.suppress(BadLineError):
        decode_fact(line)


def test_unknown_fields_of_a_known_line_do_not_hurt() -> None:
    line = b'{"kind":"tombstone","schema":1,"time":"t","by":"b","colour":"red"}'
    assert decode_fact(line) == TombstoneFact(time="t", by="b")
