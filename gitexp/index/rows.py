"""A run as rows of the index: written, replaced and taken out."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from gitexp.configuration import setup_digest
from gitexp.index.schema import DICTIONARY_BYTES, NAN, Packer, unpack
from gitexp.query.text import words
from gitexp.records.facts import Summary
from gitexp.records.nested import number_from_json
from gitexp.run import Run

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_INT_MAX = (1 << 63) - 1
_TEXTS = "name, description, hypothesis, tags, comments"

_SAMPLES = 16

_PLAIN = frozenset({str, bool, type(None)})

Row = tuple[Any, ...]


class Writer:
    """Puts runs into an index, inside the caller's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        """Look at what is there."""
        self._db = db
        (self._dictionary,) = db.execute("SELECT dictionary FROM meta").fetchone()
        self._packer = Packer(self._dictionary) if self._dictionary else None
        self._paths = {
            (kind, path): number
            for number, kind, path in db.execute("SELECT number, kind, path FROM path")
        }
        (self._last,) = db.execute("SELECT coalesce(max(number), 0) FROM run").fetchone()

    def remove(self, run_id: str) -> None:
        """Take a run out, if it is in."""
        key = bytes.fromhex(run_id)
        found = self._db.execute(
            "SELECT number, packed FROM run JOIN doc ON run = number WHERE id = ?", (key,)
        ).fetchone()
        if found is None:
            return
        number, packed = found
        document = unpack(packed, self._dictionary)
        comments = [comment["text"] for comment in document.get("comments", ())]
        texts = _words(
            document["name"],
            document.get("description"),
            document.get("hypothesis"),
            document.get("tags", ()),
            comments,
        )
        # FTS5 keeps no content here: it is told what to take out, by a command that is a row.
        self._insert(f"note_text (note_text, rowid, {_TEXTS})", [("delete", number, *texts)])
        for table in ("field", "metric"):
            self._db.execute(
                f"DELETE FROM {table} WHERE run = ? AND path IN (SELECT number FROM path)",  # noqa: S608
                (number,),
            )
        self._db.execute("DELETE FROM tag WHERE run = ?", (number,))
        self._db.execute("DELETE FROM doc WHERE run = ?", (number,))
        self._db.execute("DELETE FROM run WHERE number = ?", (number,))

    def add(self, runs: Iterable[tuple[Run, str | None]]) -> None:
        """Put runs in that are not in, each with the id of its code's tree, where known."""
        documents: list[Row] = []
        tables: dict[str, list[Row]] = {name: [] for name in ("run", "field", "metric", "tag")}
        texts: list[Row] = []
        for run, tree in runs:
            self._last += 1
            number = self._last
            documents.append((number, run.to_json()))
            tables["run"].append((number, *_own(run, tree)))
            tables["field"] += self._fields(number, run)
            tables["metric"] += self._metrics(number, run.metrics)
            tables["tag"] += [(number, tag) for tag in dict.fromkeys(run.tags)]
            comments = [comment.text for comment in run.comments]
            said = (run.name, run.description, run.hypothesis, run.tags, comments)
            texts.append((number, *_words(*said)))
        self._insert_documents(documents)
        for table, rows in tables.items():
            self._insert(table, rows)
        self._insert(f"note_text (rowid, {_TEXTS})", texts)

    def _insert(self, table: str, rows: list[Row]) -> None:
        if rows:
            marks = ", ".join("?" * len(rows[0]))
            self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608

    def _insert_documents(self, documents: list[Row]) -> None:
        if not documents:
            return
        if self._packer is None:
            some = b"".join(text for _, text in documents[:_SAMPLES])
            self._dictionary = some[-DICTIONARY_BYTES:]
            self._db.execute("UPDATE meta SET dictionary = ?", (self._dictionary,))
            self._packer = Packer(self._dictionary)
        pack = self._packer.pack
        self._insert("doc", [(number, pack(text)) for number, text in documents])

    def _fields(self, number: int, run: Run) -> Iterator[Row]:
        for path, value in run.fields().items():
            stored = _stored(value)
            if stored is not None and path != "seed":  # that is a column of the run
                yield self._path("field", path), number, stored

    def _metrics(self, number: int, metrics: dict[str, Summary]) -> Iterator[Row]:
        for path, summary in metrics.items():
            last = _stored(number_from_json(summary.last))
            middle = (_stored(v) for v in (summary.min, summary.max, summary.mean))
            yield self._path("metric", path), number, last, *middle

    def _path(self, kind: str, path: str) -> int:
        number = self._paths.get((kind, path))
        if number is None:
            number = len(self._paths) + 1
            self._paths[kind, path] = number
            self._db.execute("INSERT INTO path VALUES (?, ?, ?)", (number, kind, path))
        return number


def _words(
    name: str | None,
    description: str | None,
    hypothesis: str | None,
    tags: Iterable[str],
    comments: Iterable[str],
) -> list[str]:
    """Return what the columns of the table ``note_text`` hold: words, with spaces between them."""
    texts = (name, description, hypothesis, " ".join(tags), " ".join(comments))
    return [" ".join(words(text)) if text else "" for text in texts]


def microseconds(time: datetime) -> int:
    """Return microseconds since 1970, UTC."""
    return (time - _EPOCH) // _MICROSECOND


def _own(run: Run, tree: str | None) -> Row:
    """Return the columns of the table ``run`` after its number."""
    git = run.git
    return (
        bytes.fromhex(run.id),
        bytes.fromhex(tree) if tree else None,
        run.name,
        run.status,
        microseconds(run.started),
        microseconds(run.ended) if run.ended else None,
        run.duration,
        run.by,
        run.verdict,
        run.family,
        _stored(run.seed),
        git.branch if git else None,
        _digits(git.head) if git and git.head else None,
        git.dirty if git else None,
        run.host,
        _stored(run.calls),
        _stored(run.exit_code),
        run.parent,
        setup_digest(run),
        run.external_id,
        run.decision.action if run.decision else None,
    )


def _digits(oid: str) -> bytes | str:
    """Return an object id as bytes; as it is where somebody wrote another thing there."""
    try:
        return bytes.fromhex(oid)
    except ValueError:
        return oid


def _as_float(value: int) -> float:
    """Return the nearest float; an infinity for what is beyond all."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _stored(value: Any) -> Any:
    """Return a value as SQLite can keep and compare it; what is no scalar as its JSON."""
    kind = type(value)
    if kind is float:
        return value if value == value else NAN  # noqa: PLR0124 - NaN alone is not itself
    if kind is int:
        return value if -_INT_MAX <= value <= _INT_MAX else _as_float(value)
    if kind in _PLAIN:  # True equals 1, as in Python
        return value
    return msgspec.json.encode(value).decode()
