"""Sources of any content: a reader says what is wrong, and what it reads can be imported."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given

from gitexp.errors import GitexpError
from gitexp.interchange.formats import FORMATS, read_source
from gitexp.interchange.importing import ImportedRun
from gitexp.memory import Memory
from tests.ledgers import HEADER, MTIME_NS, ROWS, take
from tests.support import Git
from tests.test_fuzz import FAST, TOKENS, changed
from tests.test_import_stores import CRASH, SESSION, exprag_lines, pi_run, record

MORE = [b"\t", b"\0", b"\\t", b"|", b"#", b"crash", b"-", b"Infinity", b"1e18", b"\xed\xa0\x80"]
ROW = {"loss": 1, "params": {"lr": 0.1}, "seed": 3, "tags": ["x"], "time": "2026-01-01", "s": "ok"}


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


HONEST = [
    "\n".join([HEADER, *ROWS]).encode(),
    b'loss,"a ""note""",status\n1,"two\nlines",keep\n2,x,crash\n',
    lines(ROW, ROW | {"error": "ValueError: x", "parent": "1", "exit_code": 1}),
    lines(record(1), CRASH),
    lines(SESSION, pi_run(1), pi_run(2, status="crash")),
    lines(*exprag_lines(None)),
]


RUNS: list[ImportedRun] = []
"""Some of what the first test read, which the second one imports."""


@FAST
@given(content=changed(HONEST, TOKENS + MORE))
def test_any_content_is_read_or_refused(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "experiments.jsonl"
    path.write_bytes(content)
    for form in (None, *FORMATS):
        with contextlib.suppress(GitexpError):
            RUNS.extend(read_source(path, form).runs[-1:])


def test_what_was_read_can_be_imported(repo: Git, tmp_path: Path) -> None:
    path = tmp_path / "experiments.jsonl"
    for content in HONEST:
        path.write_bytes(content)
        RUNS.extend(read_source(path).runs)
    path.write_bytes(HONEST[0])
    reading = read_source(path)
    reading.runs[:] = RUNS
    done = take(reading, written_ns=MTIME_NS)
    assert len(done.new) == len(RUNS)
    memory = Memory.open()
    assert memory.count() == len(RUNS)
    assert not memory.problems
    assert take(reading, written_ns=MTIME_NS).new == ()
