"""Fuzzers of everything that decodes data of others; `tests.fuzz.targets` says what must hold.

The inputs are honest ones that were changed: pieces taken out, doubled or put in, and values put
in place of values, so that most of them get past the first check.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gitexp.git.repository import Repository
from gitexp.memory import Memory
from tests import attack
from tests.attack import FACTS, FILE, FOLDER, GITLINK, LINK, TEXTS, Objects
from tests.fuzz import targets
from tests.index_model import (
    bare_repository,
    documents,
    rebuilt,
    stored_tables,
    tables,
    walk_problems,
)
from tests.support import Git
from tests.walker import walk_runs

TOKENS = [
    b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\\ud800", b"\\u0000", b"\xff", b"\n",
    b"\r\n", b"null", b"true", b"-0.0", b"-1", b"1e308", b"1e400", b"NaN", b'"NaN"', b'"-Infinity"',
    b"9" * 30, b"9" * 5000, b"18446744073709551616", b"-9223372036854775809", b"[[[[", b'{"a":{',
    b'"kind":"end"', b'"kind":"dream"', b'"schema":2', b'"time":"9999-12-31T23:59:59-12:00"',
    b'"time":"0001-01-01T00:00:00+14:00"', b'"name":"\\u202e"', b'"metrics":{}', b"step",
    b'{"runs":[0,1,70]}', b'{"runs":[0,0,9999999999]}', b'{"float64":"AAAAAAAAAAA="}',
]  # fmt: skip

FAST = settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def changed(draw: st.DrawFn, bases: list[bytes], tokens: list[bytes]) -> bytes:
    """Return one of the honest inputs with up to four pieces of it replaced."""
    content = draw(st.sampled_from(bases))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = draw(st.integers(start, min(len(content), start + 12)))
        piece = draw(st.sampled_from(tokens) | st.binary(max_size=4) | st.just(content[start:end]))
        content = content[:start] + piece + content[end:]
    return content


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
    | st.sampled_from([*TEXTS.values(), "NaN", "-Infinity", 10**30, -(10**400), 1e308, -0.0])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.\x1b", max_size=3), inner)
    ),
    max_leaves=8,
)


@st.composite
def respelled(draw: st.DrawFn, bases: list[bytes]) -> bytes:
    """Return an honest line with some of its fields given other values, of any type."""
    line = json.loads(draw(st.sampled_from(bases)))
    for name in draw(st.lists(st.sampled_from(sorted(line)), min_size=1, max_size=3)):
        line[name] = draw(VALUES)
    return json.dumps(line).encode("utf-8", "surrogatepass")


@FAST
@given(
    st.lists(
        changed(targets.HONEST_FACTS, TOKENS) | respelled(targets.HONEST_FACTS), max_size=3
    ).map(lambda lines: b"\n".join([*lines, targets.HONEST_FACTS[0]]))
)
@example(b"\n".join(attack._run_of(text) for text in TEXTS.values()))
@example(attack._odd_numbers())
def test_any_note_of_facts_is_read_or_reported(note: bytes) -> None:
    targets.facts(note)


SERIES = targets.honest_series()


@FAST
@given(changed(SERIES, TOKENS) | respelled(SERIES))
@example(b"\n".join(attack.bad_series()))
@example(b"\n".join(attack.odd_series()))
def test_any_metric_line_is_read_or_reported(line: bytes) -> None:
    targets.series(line)


FRAMES = targets.honest_journal()
PIECES = [*attack.hostile_frames(), *(frame[:k] for frame in FRAMES for k in (3, 11, 12, 20))]


@FAST
@given(
    st.lists(changed(FRAMES, PIECES) | st.sampled_from(PIECES) | st.binary(max_size=40)).map(
        b"".join
    )
)
@example(b"".join(attack.hostile_frames()))
def test_no_bytes_in_a_journal_cost_a_whole_frame(data: bytes) -> None:
    targets.journal(data)


@FAST
@given(changed(targets.seeds("environment"), TOKENS) | st.binary(max_size=50))
def test_any_environment_record_is_read_or_is_none(record: bytes) -> None:
    targets.environment(record)


# Trees of shards: the index agrees with the reader that walks them.

RUN_IDS = [c * 40 for c in "ab"] + ["ab" + "0" * 38]
NAMES = st.sampled_from(
    [
        *(run_id[:2].encode() for run_id in RUN_IDS),
        *(run_id[2:].encode() for run_id in RUN_IDS),
        *(run_id.encode() for run_id in RUN_IDS),
        b"aa" + b"a" * 38,
        b"AB",
        b"..",
        b".git",
        b"a\nb",
        b"\xff",
        b"x",
    ]
)
NOTES = st.lists(
    st.sampled_from([*targets.HONEST_FACTS, b"{", b'{"kind":"dream"}', b"", b"\r"]), max_size=4
).map(b"\n".join)
TREES: st.SearchStrategy[Any] = st.recursive(
    st.tuples(st.sampled_from([FILE, LINK]), NOTES) | st.just((GITLINK, b"")),
    lambda inner: st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
ROOTS = st.dictionaries(NAMES, TREES, max_size=5)


def write_tree(objects: Objects, tree: dict[bytes, Any]) -> str:
    rows = []
    for name, item in sorted(tree.items()):
        if isinstance(item, dict):
            rows.append((FOLDER, name, write_tree(objects, item)))
        else:
            mode, content = item
            rows.append((mode, name, "1" * 40 if mode == GITLINK else objects.blob(content)))
    return objects.tree(rows)


@pytest.fixture
def bare(tmp_path: Path, identity: None) -> Path:
    place = tmp_path / "bare.git"
    place.mkdir()
    Git(place)("init", "--quiet", "--bare")
    shutil.rmtree(place / "hooks", ignore_errors=True)
    return place


@settings(FAST, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(["one", "two"]), ROOTS), min_size=1, max_size=4))
def test_an_index_of_any_trees_is_what_the_walker_reads(
    bare: Path, tmp_path: Path, steps: list[tuple[str, dict[bytes, Any]]]
) -> None:
    repository, git = bare_repository(bare, tmp_path / "fuzzed.git")
    objects = Objects(git)
    for shard, tree in steps:
        git("update-ref", FACTS + shard, objects.commit(write_tree(objects, tree)))
        memory = Memory(repository)
        assert documents(memory) == [run.to_dict() for run in walk_runs(repository)]
        _agrees_on_problems(memory, repository)
    where = memory.index_path
    assert where is not None
    assert stored_tables(where) == tables(rebuilt(repository))


def _agrees_on_problems(memory: Memory, repository: Repository) -> None:
    """The walker does not say which objects are missing; of lines it says the same."""
    problems, newer = walk_problems(repository)
    assert sorted(p for p in memory.problems if p.line) == sorted(problems)
    assert memory.unknown == newer
