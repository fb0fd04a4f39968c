"""The tables of the index, and how a run's document is packed in them.

A document is a run exactly as ``--json`` shows it (docs/reference/json.md): most answers are made
of it without any decoder of ours. It is deflated with a dictionary made of the first runs that
the index saw: 1,225 bytes of JSON take 380 bytes so, and 670 without a dictionary. A checksum
stands at its end: a document is what was put in.

The other tables are what queries look into. `field` and `metric` are kept by path, so that all
values of a parameter stand together; their indexes by value give them in order.
"""

from __future__ import annotations

import json
import sqlite3
import zlib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

VERSION = 2
"""Of these tables and of what is put into them. An index of another version is rebuilt."""

NAN = b""
"""NaN in a column: a BLOB is neither less nor greater than any number or text."""

_TABLES = """
CREATE TABLE meta (dictionary BLOB NOT NULL);
INSERT INTO meta VALUES (x'');
CREATE TABLE shard (number INTEGER PRIMARY KEY, ref TEXT UNIQUE NOT NULL, tip TEXT NOT NULL);
CREATE TABLE note (
    run BLOB, shard INTEGER, path TEXT, oid BLOB NOT NULL, PRIMARY KEY (run, shard, path)
) WITHOUT ROWID;
CREATE TABLE problem (run BLOB NOT NULL, ref TEXT NOT NULL, line INTEGER NOT NULL, reason TEXT);
CREATE TABLE newer (run BLOB NOT NULL, label TEXT NOT NULL, lines INTEGER NOT NULL);
CREATE INDEX problem_run ON problem (run);
CREATE INDEX newer_run ON newer (run);
CREATE TABLE run (
    number INTEGER PRIMARY KEY, id BLOB NOT NULL, tree BLOB, name TEXT, status TEXT,
    started INTEGER, ended INTEGER, duration REAL, author TEXT, verdict TEXT, family TEXT,
    seed INTEGER, branch TEXT, "commit" BLOB, dirty INTEGER, host TEXT, calls INTEGER,
    exit_code INTEGER, parent TEXT, setup BLOB, external TEXT, action TEXT
);
CREATE TABLE doc (run INTEGER PRIMARY KEY, packed BLOB NOT NULL);
CREATE TABLE path (
    number INTEGER PRIMARY KEY, kind TEXT NOT NULL, path TEXT NOT NULL, UNIQUE (kind, path)
);
CREATE TABLE field (path INTEGER, run INTEGER, value, PRIMARY KEY (path, run)) WITHOUT ROWID;
CREATE TABLE metric (
    path INTEGER, run INTEGER, last, min, max, mean, PRIMARY KEY (path, run)
) WITHOUT ROWID;
CREATE TABLE tag (run INTEGER, tag TEXT, PRIMARY KEY (run, tag)) WITHOUT ROWID;
CREATE VIRTUAL TABLE note_text USING fts5 (
    name, description, hypothesis, tags, comments, content='', columnsize=0, tokenize="{tokenize}"
);
"""

_INDEXES = """
CREATE UNIQUE INDEX run_id ON run (id);
CREATE INDEX run_started ON run (started);
CREATE INDEX run_name ON run (name);
CREATE INDEX run_external ON run (external) WHERE external IS NOT NULL;
CREATE INDEX run_action ON run (action) WHERE action IS NOT NULL;
CREATE INDEX field_value ON field (path, value);
CREATE INDEX metric_last ON metric (path, last);
CREATE INDEX metric_min ON metric (path, min);
CREATE INDEX metric_max ON metric (path, max);
CREATE INDEX tag_run ON tag (tag);
"""


def create_tables(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database; `create_indexes` follows when they are filled."""
    from gitexp.query.text import TOKENIZE

    db.executescript(_TABLES.format(tokenize=TOKENIZE))


def create_indexes(db: sqlite3.Connection) -> None:
    """Make the indexes, and so declare the database complete. Filled first is quicker."""
    db.executescript(_INDEXES)
    db.executescript(
        f"PRAGMA application_id = {_schema_checksum(db)}; PRAGMA user_version = {VERSION};"
    )


def is_ours(db: sqlite3.Connection) -> bool:
    """Say whether a database of this version has the tables that we made, and no others."""
    (made,) = db.execute("PRAGMA application_id").fetchone()
    return bool(made == _schema_checksum(db))


def _schema_checksum(db: sqlite3.Connection) -> int:
    rows = db.execute("SELECT name, tbl_name, rootpage, sql FROM sqlite_master").fetchall()
    return zlib.crc32(repr(rows).encode()) >> 1  # 31 bits: it is kept with a sign


_LEVEL = 3
_WINDOW_BITS = -14  # a bare deflate stream: no header, no checksum
_MEMORY_LEVEL = 6
"""17 us for a document; zlib's own choices take three times as long for a few bytes less."""

DICTIONARY_BYTES = 8192
_CHECKSUM_BYTES = 4


class Packer:
    """Deflates documents."""

    def __init__(self, dictionary: bytes) -> None:
        """Take the dictionary of the index; it may be empty."""
        arguments = (_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL, zlib.Z_DEFAULT_STRATEGY)
        self._dictionary = dictionary
        self._fresh = (
            zlib.compressobj(*arguments, dictionary) if dictionary else zlib.compressobj(*arguments)
        )

    def pack(self, document: bytes) -> bytes:
        """Return a document deflated."""
        deflate = self._fresh.copy()
        packed = deflate.compress(document) + deflate.flush()
        return packed + _checksum(packed, self._dictionary)


def unpack(packed: bytes, dictionary: bytes) -> dict[str, Any]:
    """Return the document that was packed with this dictionary.

    Raises:
        sqlite3.DatabaseError: It is damaged, and so is the index then.
    """
    require_whole(packed, dictionary)
    inflate = (
        zlib.decompressobj(_WINDOW_BITS, dictionary)
        if dictionary
        else zlib.decompressobj(_WINDOW_BITS)
    )
    text = inflate.decompress(packed[:-_CHECKSUM_BYTES]) + inflate.flush()
    document: dict[str, Any] = json.loads(text)
    return document


def require_whole(packed: Any, dictionary: Any) -> None:
    """Compare a packed document and its dictionary with the checksum at its end.

    Raises:
        sqlite3.DatabaseError: They are damaged, and so is the index then.
    """
    if not isinstance(packed, bytes) or not isinstance(dictionary, bytes):
        raise sqlite3.DatabaseError("a document is missing")
    body, end = packed[:-_CHECKSUM_BYTES], packed[-_CHECKSUM_BYTES:]
    if _checksum(body, dictionary) != end:
        raise sqlite3.DatabaseError("a document is damaged")


def _checksum(packed: bytes, dictionary: bytes) -> bytes:
    return zlib.crc32(packed, zlib.crc32(dictionary)).to_bytes(_CHECKSUM_BYTES, "big")


def document_text(packed: bytes | None, dictionary: bytes, name: str) -> str | None:
    """Return a text of a packed document; None where it has none. Questions call it in SQL."""
    text = unpack(packed, dictionary).get(name) if packed is not None else None
    return text if isinstance(text, str) else None
