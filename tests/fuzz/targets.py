"""Targets: each takes any bytes, decodes them as readers do, and fails where a promise is broken.

`tests.test_fuzz` feeds them with hypothesis as part of the test command, ``python -m tests.fuzz``
with atheris for as long as one likes.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import msgspec

from gitexp.compare import compare, decode_environment
from gitexp.errors import ValueRejectedError
from gitexp.follow import JournalFollower, RunState
from gitexp.git.repository import Repository
from gitexp.index import schema
from gitexp.index.database import connect
from gitexp.index.live import live_run
from gitexp.index.rows import Writer
from gitexp.journal import Journal, JournalReader, Owner, frame
from gitexp.library.schema import create_tables as create_library
from gitexp.library.search import find, understand
from gitexp.library.sync import (
    decode_stored,
    renew_methods,
    renew_paper,
    store_file,
    visible_methods,
)
from gitexp.records.facts import (
    BadLineError,
    EndFact,
    OpaqueFact,
    RemarkFact,
    RunFact,
    Summary,
    TombstoneFact,
    decode_fact,
    encode_fact,
)
from gitexp.records.history import read_history
from gitexp.records.nested import json_numbers
from gitexp.records.sample import sample
from gitexp.records.series import Call, SeriesEncoder, calls
from gitexp.render.text import safe, to_json
from gitexp.run import Run, build_run
from gitexp.seal import fold
from gitexp.store.library import decode_line, encode_line
from gitexp.store.problem import Problem
from gitexp.store.read import decode_note
from tests.full_store import BEGIN, BY, END, full_decision
from tests.library_lines import PAPER, one_of_each
from tests.test_query_syntax import ask_everything

RUN_ID = "a" * 40
REF = "refs/exprag/library/x"
PLACE = Problem("refs/notes/exprag/x", RUN_ID, 0, "")
EVENTS = [[i * 10**9, {"loss": float(i), "deep": {"acc": i}}, None, i] for i in range(5)]

HONEST_FACTS = [
    encode_fact(
        RunFact(time=BEGIN, by=BY, name="x", parameters={"lr": 0.5, "n": {"a": [1]}}, tags=("a",))
    ),
    encode_fact(RemarkFact(time=END, by=BY, comment="c", verdict="keep", metadata={"x": "NaN"})),
    encode_fact(
        EndFact(
            time=END,
            by=BY,
            status="finished",
            duration=1.5,
            metrics={"acc": Summary(first=0.5, last="NaN", count=2, min=0.5, max=0.5, mean=0.5)},
        )
    ),
    encode_fact(full_decision("c" * 40)),
    encode_fact(TombstoneFact(time=END, by=BY, reason="r")),
]


def honest_series() -> list[bytes]:
    """Return lines of a metric log with every form of a column."""
    encoder = SeriesEncoder()
    for i in range(70):
        value = {"loss": 1 / (i + 1) ** 0.5, "n": i, "t": "x", "nested": {"a": [i], "b": None}}
        encoder.add(i * 10**9, value, "note" if i % 3 else None, None)
        encoder.add(i * 10**9 + 1, float(i), None, 2 * i)
    encoder.flush()
    return encoder.lines


def honest_journal() -> list[bytes]:
    """Return the frames of a run that ended."""
    with tempfile.TemporaryDirectory() as folder:
        run = msgspec.json.decode(HONEST_FACTS[0], type=RunFact)
        Journal.create(Path(folder) / "x", Owner("elsewhere", 1, "x"), run).close()
        head = (Path(folder) / "x").read_bytes()
    return [head, *(frame(msgspec.msgpack.encode(event)) for event in EVENTS)]


def facts(data: bytes) -> None:
    """A note of facts: each line is a fact, a newer line or reported; the run is shown whole."""
    known = []
    for item in decode_note(PLACE, data, set()):
        if isinstance(item, Problem):
            assert item.line > 0
            assert item.reason
        elif not isinstance(item, OpaqueFact):
            assert decode_fact(encode_fact(item)) == item
            known.append(item)
    run = build_run(RUN_ID, known)
    if run is not None:
        _show(run)
        _store(run)


def _show(run: Run) -> None:
    document = run.to_dict()
    assert json.loads(to_json(document)) == document
    again = Run.from_document(document)
    assert again.to_dict() == document
    compare(run, again).to_dict()
    assert safe(run.name).isprintable() or not run.name.isascii()


def _store(run: Run) -> None:
    with contextlib.closing(connect(":memory:")) as db:
        schema.create_tables(db)
        schema.create_indexes(db)
        Writer(db).add([(run, None)])
        packed, dictionary = db.execute("SELECT packed, dictionary FROM doc, meta").fetchone()
        assert schema.unpack(packed, dictionary) == run.to_dict()
        Writer(db).remove(run.id)
        for table in ("run", "doc", "field", "metric", "tag"):
            assert db.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        db.execute("INSERT INTO note_text (note_text) VALUES ('integrity-check')")


def series(data: bytes) -> None:
    """A metric log: a line is whole, or damaged for all who read it as a whole."""
    for line in data.split(b"\n"):
        try:
            found = calls([line])
        except BadLineError:
            _try_history(line)
            continue
        _agrees(line, found)
        to_json(json_numbers([call.value for call in found]))


def _try_history(line: bytes) -> None:
    with contextlib.suppress(BadLineError):
        sample(read_history([line], "loss"), 4)


def _agrees(line: bytes, found: list[Call]) -> None:
    """A history has the numbers that the calls have, in the same order."""
    for metric, key in (("loss", "loss"), ("n", "n"), ("value", None)):
        values = [
            call.value if key is None else call.value.get(key)
            for call in found
            if isinstance(call.value, dict) is (key is not None)
        ]
        history = read_history([line], metric)
        numbers = [value for value in values if type(value) in (int, float)]
        if len({call.number for call in found}) == len(found) and key is not None:
            assert list(map(repr, history.values)) == list(map(repr, numbers))
        sample(history, 4)


def journal(data: bytes) -> None:
    """A journal with any bytes in its middle: no whole frame before or after is lost."""
    frames = honest_journal()
    content = b"".join(frames[:3]) + data + b"".join(frames[3:])
    reader = JournalReader(content)
    tracked = [item for item in reader if isinstance(item, list)]
    assert [event for event in EVENTS if event not in tracked] == []
    assert 0 <= reader.torn_bytes <= reader.lost_bytes <= len(data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / RUN_ID
        path.write_bytes(content)
        run = live_run(RUN_ID, fold(path), [])
        assert run is not None
        _show(run)
        _store(run)
        _follow(path)


def _follow(path: Path) -> None:
    follower, state = JournalFollower(path), RunState(RUN_ID)
    while items := follower.read():
        for item in items:
            state.take(item)
    follower.close()
    assert state.calls >= len(EVENTS)
    assert all(isinstance(name, str) for name in state.metrics)
    assert all(len(metric.points) for metric in state.metrics.values())


def environment(data: bytes) -> None:
    """An environment record is decoded, or is none."""
    decode_environment(data)


def expression(data: bytes) -> None:
    """An expression is understood or answered with its place."""
    ask_everything(data.decode("utf-8", "replace"))


LIBRARY_PATHS = (b"methods/zeta-clip", f"papers/{PAPER}".encode(), f"chunks/{PAPER}".encode())
HONEST_LIBRARY = [encode_line(line) for line in one_of_each()]


def library(data: bytes) -> None:
    """Files of a library: each line is read, kept for a newer gitexp, or reported; all is found."""
    nowhere = Repository(Path("/nowhere"), Path("/nowhere"), None, "")
    nothing = mock.patch("gitexp.library.sync.pack", return_value=())
    with nothing, contextlib.closing(connect(":memory:")) as db:
        create_library(db)
        for path in LIBRARY_PATHS:
            store_file(db, REF, path, data, set())
        store_file(db, REF, LIBRARY_PATHS[1], HONEST_LIBRARY[0], set())
        renew_paper(db, nowhere, PAPER)
        renew_methods(db)
        for (raw,) in db.execute("SELECT raw FROM line").fetchall():
            line = decode_stored(raw)
            with contextlib.suppress(ValueRejectedError):  # an integer that no writer would keep
                assert decode_line(encode_line(line)) == line
        assert all(slug == method.slug for slug, method in visible_methods(db).items())
        for table in ("passage_text", "method_text"):
            question = understand(db, table, data.decode("utf-8", "replace"))
            assert all(hit.score > 0 for hit in find(db, table, question, 5))
            db.execute(f"INSERT INTO {table} ({table}) VALUES ('integrity-check')")


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target for target in (facts, series, journal, environment, expression, library)
}


def seeds(name: str) -> list[bytes]:
    """Return honest inputs of a target, to be changed."""
    return {
        "facts": [*HONEST_FACTS, b"\n".join(HONEST_FACTS[:3])],
        "series": honest_series(),
        "journal": [*honest_journal()[1:2], b""],
        "environment": [b'{"schema":1,"python":{},"platform":{},"packages":{"a":"1"}}'],
        "library": [*HONEST_LIBRARY, b"\n".join(HONEST_LIBRARY)],
        "expression": [b"0 < lr <= 0.1 and best(loss) > 0.5 or tag in ['a']"],
    }[name]
