"""What the tests of the index share: made-up runs in bare repositories, and indexes compared."""

from __future__ import annotations

import json
import shutil
import sqlite3
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from gitexp.errors import GitexpWarning
from gitexp.git import refs
from gitexp.git.read import list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.index import place, schema
from gitexp.index.database import NAME, connect, shard_tips
from gitexp.index.sync import synchronise
from gitexp.memory import Memory
from gitexp.records.facts import OpaqueFact
from gitexp.store.batch import Batch, write_batch
from gitexp.store.problem import Problem
from gitexp.store.read import decode_note, noted_run
from tests.support import Git
from tests.walker import walk_runs

BY = "Ada <ada@example.org>"


def line(kind: str, second: int = 0, *, schema_: int = 1, **fields: Any) -> bytes:
    """Return a line of facts; it may be of a kind that nobody knows."""
    time = f"2026-01-31T12:{second // 60:02}:{second % 60:02}.000000Z"
    known = {"kind": kind, "schema": schema_, "time": time, "by": BY}
    return json.dumps({**known, **fields}).encode()


def summary(**values: Any) -> dict[str, Any]:
    return {"first": 0, "count": 1, **values}


def run_id(number: int) -> str:
    """Return the id of a made-up run; those of neighbouring numbers share a fan-out folder."""
    return f"{number % 3:x}{number:07x}" + "7" * 32


def write(repository: Repository, facts: dict[str, list[bytes]], shard: str = "one") -> None:
    write_batch(repository, shard, Batch(facts=facts))


def write_runs(repository: Repository, count: int, shard: str = "one", first: int = 0) -> None:
    """Write finished runs with a parameter and a metric, in one commit."""
    facts = {}
    for number in range(first, first + count):
        begin = line("run", number, name=f"run {number}", parameters={"lr": number / 8})
        metrics = {"acc": summary(last=number, min=0, max=number, mean=number / 2)}
        end = line("end", number + 1, status="finished", duration=1.0, metrics=metrics)
        facts[run_id(number)] = [begin, end]
    write(repository, facts, shard)


def bare_repository(template: Path, place: Path) -> tuple[Repository, Git]:
    """Return a copy of a bare repository, and git in it."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(template, place)
    return Repository.discover(place), Git(place)


def rebuilt(repository: Repository) -> sqlite3.Connection:
    """Return an index that is made anew, in memory."""
    db = connect(":memory:")
    schema.create_tables(db)
    db.execute("BEGIN")
    synchronise(db, repository)
    db.execute("COMMIT")
    schema.create_indexes(db)
    return db


_TABLES = {
    "shard": "SELECT ref, tip FROM shard",
    "note": "SELECT hex(run), ref, path, hex(oid) FROM note JOIN shard ON shard = number",
    "problem": "SELECT hex(run), ref, line, reason FROM problem",
    "newer": "SELECT hex(run), label, lines FROM newer",
    "run": "SELECT * FROM run",
    "field": "SELECT hex(id), path.path, value FROM field JOIN path ON field.path = path.number"
    " JOIN run ON field.run = run.number",
    "metric": "SELECT hex(id), path.path, last, min, max, mean FROM metric"
    " JOIN path ON metric.path = path.number JOIN run ON metric.run = run.number",
    "tag": "SELECT hex(id), tag FROM tag JOIN run ON tag.run = run.number",
    "words": "SELECT term, hex(id), col, offset FROM temp.word JOIN run ON doc = number",
}
_COUNTED = ("run", "doc", "field", "metric", "tag")


def tables(db: sqlite3.Connection) -> dict[str, Any]:
    """Return what an index holds, but for the numbers of runs, shards and paths."""
    db.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.word USING fts5vocab(main, note_text, instance)"
    )
    found: dict[str, Any] = {
        name: sorted(map(repr, db.execute(sql).fetchall())) for name, sql in _TABLES.items()
    }
    found["run"] = sorted(repr(row[1:]) for row in db.execute(_TABLES["run"]))
    (dictionary,) = db.execute("SELECT dictionary FROM meta").fetchone()
    documents = db.execute("SELECT packed FROM doc JOIN run ON run = number").fetchall()
    unpacked = [schema.unpack(packed, dictionary) for (packed,) in documents]
    found["doc"] = sorted(unpacked, key=lambda document: str(document["run"]))
    for name in _COUNTED:  # rows that belong to no run would not be joined
        found[f"{name} rows"] = db.execute(f"SELECT count(*) FROM {name}").fetchone()
    found["damage"] = db.execute("PRAGMA integrity_check").fetchall()
    return found


def stored_tables(path: Path) -> dict[str, Any]:
    """Return `tables` of an index file."""
    db = connect(path)
    try:
        return tables(db)
    finally:
        db.close()


def walk_problems(repository: Repository) -> tuple[list[Problem], dict[str, int]]:
    """Return the lines that cannot be read and the counts of newer ones, as `tests.walker` goes."""
    problems: list[Problem] = []
    newer: Counter[str] = Counter()
    seen: dict[str, set[bytes]] = {}
    for ref, tip in shard_tips(repository).items():
        entries = list_tree(repository, tip)
        blobs = read_blobs(repository, [entry.oid for entry in entries])
        for entry, (_, blob) in zip(entries, blobs, strict=True):
            run = noted_run(entry.path)
            if run is None:
                continue
            for item in decode_note(
                Problem(ref, run, 0, ""), blob or b"", seen.setdefault(run, set())
            ):
                if isinstance(item, Problem):
                    problems.append(item)
                elif isinstance(item, OpaqueFact):
                    newer[f"{item.kind} (schema {item.schema})"] += 1
    return problems, dict(newer)


def documents(memory: Memory, **question: Any) -> list[dict[str, Any]]:
    return [found.document for found in memory.search(**question)]


def facts_ref(shard: str) -> str:
    return refs.FACTS + shard


def drop_object(git: Git, oid: str) -> bytes:
    """Remove a loose object of a bare repository; return its file's content."""
    path = git.path / "objects" / oid[:2] / oid[2:]
    content = path.read_bytes()
    path.chmod(0o644)
    path.unlink()
    return content


def put_object(git: Git, oid: str, content: bytes) -> None:
    path = git.path / "objects" / oid[:2] / oid[2:]
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


RUNS = 12


def indexed_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Return a bare repository with some runs, an index of them, and a cache folder."""
    empty = tmp_path / "empty.git"
    empty.mkdir()
    Git(empty)("init", "--quiet", "--bare", "--initial-branch=main")
    repository, _ = bare_repository(empty, tmp_path / "store.git")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_runs(repository, RUNS)
    assert Memory(repository).index_path == home(repository)
    return repository


def home(repository: Repository) -> Path:
    return repository.home / NAME


def cached(repository: Repository) -> Path:
    folder = place.cache_folder()
    assert folder is not None
    return folder / place._name(repository) / NAME


@contextmanager
def said() -> Iterator[list[str]]:
    """Collect what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        texts: list[str] = []
        yield texts
        assert all(issubclass(warning.category, GitexpWarning) for warning in caught)
        texts += [str(warning.message) for warning in caught]


def look(memory: Memory) -> list[Any]:
    """Ask questions that take every table."""
    return [
        documents(memory),
        documents(memory, where="lr >= 0.5", sort="-acc", limit=3),
        [run.name for run in memory.runs('"run 7" in text or tag == "x" or branch == "main"')],
        [(ranked.run.name, ranked.value) for ranked in memory.best("acc").rows],
        memory.count("description is None"),
        memory.get(run_id(5)[:9]).name,
        memory.get("latest~1").name,
        memory.problems,
        memory.unknown,
    ]


def expect(repository: Repository) -> list[Any]:
    """Return the answers of an index in memory, which nothing has happened to."""
    runs = [run.to_dict() for run in walk_runs(repository)]
    chosen = [run for run in runs if run["parameters"]["lr"] >= 0.5]
    chosen.sort(key=lambda run: -run["metrics"]["acc"]["last"])
    ranked = sorted(((run["metrics"]["acc"]["max"], run["name"]) for run in runs), reverse=True)
    best = [(name, value) for value, name in ranked[:10]]
    return [runs, chosen[:3], ["run 7"], best, len(runs), "run 5", runs[1]["name"], [], {}]


def assert_right(repository: Repository, where: Path | None) -> None:
    memory = Memory(repository)
    assert look(memory) == expect(repository)
    assert memory.index_path == where
    if where is not None:
        assert stored_tables(where) == tables(rebuilt(repository))
        assert not where.with_suffix(".new").exists()
