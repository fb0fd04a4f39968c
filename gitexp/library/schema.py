"""The tables of ``library.sqlite``, which can be deleted at any time.

What each file of each shard holds (`file`, `line`) is kept as it was read, by path: so a change of
one path is taken in without reading any other. What counts of it is derived: `paper`, `passage`
(its number is that of its chunk's line) and what searches look into. Full-text tables hold words
(`gitexp.query.text`) and not texts, since FTS5 must see the words that we see.

Identifiers are also found by trigrams: those of each identifier with what separates its parts left
out (``qk_norm`` as ``qknorm``), two blanks before it and one after.
"""

from __future__ import annotations

import sqlite3
import zlib

from gitexp.query.text import TOKENIZE

VERSION = 2
"""Of these tables and of what is put into them. An index of another version is made anew."""

_TABLES = """
CREATE TABLE meta (pack INTEGER NOT NULL);
CREATE TABLE shard (ref TEXT PRIMARY KEY, tip TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE file (
    path BLOB, ref TEXT, oid TEXT NOT NULL, PRIMARY KEY (path, ref)
) WITHOUT ROWID;
CREATE TABLE line (
    number INTEGER PRIMARY KEY, path BLOB NOT NULL, kind TEXT NOT NULL, id TEXT NOT NULL,
    time TEXT NOT NULL, raw BLOB NOT NULL
);
CREATE INDEX line_path ON line (path);
CREATE INDEX line_kind ON line (kind, id);
CREATE TABLE newer (path BLOB NOT NULL, label TEXT NOT NULL);
CREATE TABLE problem (
    path BLOB NOT NULL, shard TEXT NOT NULL, place TEXT NOT NULL, line INTEGER NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE local_text (paper TEXT PRIMARY KEY, stamp TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE paper (
    id TEXT PRIMARY KEY, time TEXT NOT NULL, title TEXT NOT NULL, raw BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE passage (
    number INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, paper TEXT NOT NULL, place INTEGER NOT NULL
);
CREATE INDEX passage_paper ON passage (paper, place);
CREATE VIRTUAL TABLE passage_text USING fts5 (
    title, section, symbols, text, parts, tokenize="{tokenize}"
);
CREATE VIRTUAL TABLE passage_text_words USING fts5vocab (passage_text, row);
CREATE TABLE method (number INTEGER PRIMARY KEY, slug TEXT UNIQUE NOT NULL);
CREATE VIRTUAL TABLE method_text USING fts5 (
    names, family, signature, summary, more, parts, tokenize="{tokenize}"
);
CREATE VIRTUAL TABLE method_text_words USING fts5vocab (method_text, row);
CREATE TABLE identifier (
    number INTEGER PRIMARY KEY, word TEXT UNIQUE NOT NULL, grams INTEGER NOT NULL
);
CREATE TABLE trigram (
    gram TEXT, identifier INTEGER, PRIMARY KEY (gram, identifier)
) WITHOUT ROWID;
"""

PASSAGE_WEIGHTS = (3.0, 2.0, 3.0, 1.0, 0.5)
METHOD_WEIGHTS = (6.0, 6.0, 4.0, 2.0, 1.0, 0.5)
"""What a word counts in each column of the full-text tables, in their order."""


def create_tables(db: sqlite3.Connection) -> None:
    """Make the tables in an empty database."""
    for statement in filter(str.strip, _TABLES.format(tokenize=TOKENIZE).split(";")):
        db.execute(statement)
    for table, weights in (("passage_text", PASSAGE_WEIGHTS), ("method_text", METHOD_WEIGHTS)):
        rank = f"bm25({', '.join(map(str, weights))})"
        db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('rank', ?)", (rank,))  # noqa: S608
    db.execute("INSERT INTO meta VALUES (0)")
    db.execute(f"PRAGMA application_id = {_checksum(db)}")
    db.execute(f"PRAGMA user_version = {VERSION}")


def is_ours(db: sqlite3.Connection) -> bool:
    """Say whether a database has the tables of this version, and no others."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (made,) = db.execute("PRAGMA application_id").fetchone()
    return bool(version == VERSION and made == _checksum(db))


def _checksum(db: sqlite3.Connection) -> int:
    rows = db.execute("SELECT name, tbl_name, rootpage, sql FROM sqlite_master").fetchall()
    return zlib.crc32(repr(rows).encode()) >> 1  # 31 bits: it is kept with a sign
