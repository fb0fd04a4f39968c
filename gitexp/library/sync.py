"""Bring ``library.sqlite`` up to the shards: what changed in their trees is read, and nothing else.

A path is the unit: when any shard's file at it changed, the lines that all shards have there are
read again. What counts is derived anew for the papers that a change speaks of. Methods are few, and
all made anew.

Of several lines about one id the one of the latest time counts, and of several of that time the one
whose bytes are greater, so that all clones agree. The passages of a paper are the chunks of its
latest ingestion: of the chunks whose time is that of a line about this paper with the digest that
counts, those of the latest time. So what is read again leaves no passage of its former text.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence

import msgspec

from gitexp.errors import GitCommandError
from gitexp.git import refs
from gitexp.git.read import changed_entries, list_refs, list_tree
from gitexp.git.repository import Repository
from gitexp.index.sync import read_contents
from gitexp.library.identifiers import Terms, analyse, remember
from gitexp.library.pack import VERSION as PACK_VERSION
from gitexp.library.pack import pack
from gitexp.library.texts import read_texts, text_stamps
from gitexp.records.facts import OpaqueFact
from gitexp.records.library import Chunk, LibraryLine, Method, Paper
from gitexp.store.library import (
    CHUNKS,
    METHODS,
    PAPERS,
    decode_file,
    id_of,
    is_digest_of,
    is_paper_id,
    kind_of,
    place,
)
from gitexp.store.problem import Problem
from gitexp.store.read import MISSING

_UNREAD = ""
"""The tip of a shard that could not be read whole. No tip equals it, so it is read again."""

_MISSING = "the file's object is missing"

State = tuple[dict[str, str], dict[str, str], int]
"""What an index reflects: tips of shards, stamps of local texts, version of the pack."""


def present_state(repository: Repository) -> State:
    r"""Return what an index is to reflect; odd bytes of a ref's name as ``\xNN``."""
    tips = {
        name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"): tip
        for name, tip in list_refs(repository, refs.LIBRARY).items()
    }
    return tips, text_stamps(repository), PACK_VERSION


def reflected_state(db: sqlite3.Connection) -> State:
    """Return what an index reflects."""
    tips = dict(db.execute("SELECT ref, tip FROM shard"))
    stamps = dict(db.execute("SELECT paper, stamp FROM local_text"))
    (version,) = db.execute("SELECT pack FROM meta").fetchone()
    return tips, stamps, version


def synchronise(db: sqlite3.Connection, repository: Repository) -> None:
    """Make an index reflect what is there, inside the caller's transaction."""
    old_tips, old_stamps, old_pack = reflected_state(db)
    tips, stamps, version = present_state(repository)
    shards = _Shards(db, repository)
    changed: set[bytes] = set()
    for ref in sorted(old_tips.keys() | tips.keys()):
        if old_tips.get(ref) != tips.get(ref):
            changed |= shards.compare(ref, old_tips.get(ref), tips.get(ref))
    shards.read(sorted(changed))
    papers = {paper for path in changed if (paper := _paper_at(path)) is not None}
    papers |= {paper for paper, _ in old_stamps.items() ^ stamps.items()}
    for paper_id in sorted(papers):
        renew_paper(db, repository, paper_id)
    if version != old_pack or any(path.startswith(METHODS.encode()) for path in changed):
        renew_methods(db)
    db.execute("DELETE FROM local_text")
    db.executemany("INSERT INTO local_text VALUES (?, ?)", sorted(stamps.items()))
    db.execute("UPDATE meta SET pack = ?", (version,))


def _paper_at(path: bytes) -> str | None:
    folder, _, name = path.decode("utf-8", "replace").partition("/")
    return name if f"{folder}/" in {PAPERS, CHUNKS} and is_paper_id(name) else None


class _Shards:
    """What the index knows of the shards' trees, and the lines in their files."""

    def __init__(self, db: sqlite3.Connection, repository: Repository) -> None:
        self._db = db
        self._repository = repository

    def compare(self, ref: str, old: str | None, new: str | None) -> set[bytes]:
        """Take over how a shard's tree has changed; return the paths where it did."""
        unread = {
            p for (p,) in self._db.execute("SELECT path FROM problem WHERE shard = ?", (ref,))
        }
        self._db.execute("DELETE FROM problem WHERE shard = ? AND path = x''", (ref,))
        try:
            changes = self._changes(ref, old, new)
        except GitCommandError as error:
            self._set_tip(ref, _UNREAD)
            _note_problem(self._db, ref, b"", Problem(ref, "", 0, error.message.rstrip(".")))
            return set()
        self._set_tip(ref, new)
        gone = [(path, ref) for path, oid in changes.items() if oid is None]
        there = [(path, ref, oid) for path, oid in changes.items() if oid is not None]
        self._db.executemany("DELETE FROM file WHERE path = ? AND ref = ?", gone)
        self._db.executemany("INSERT OR REPLACE INTO file VALUES (?, ?, ?)", there)
        return changes.keys() | (unread - {b""})

    def _set_tip(self, ref: str, tip: str | None) -> None:
        if tip is None:
            self._db.execute("DELETE FROM shard WHERE ref = ?", (ref,))
        else:
            self._db.execute("INSERT OR REPLACE INTO shard VALUES (?, ?)", (ref, tip))

    def _changes(self, ref: str, old: str | None, new: str | None) -> dict[bytes, str | None]:
        """Return path -> blob of the files that differ from what the index knows."""
        if old and new:
            try:
                return changed_entries(self._repository, old, new)
            except GitCommandError:  # the old tip may be gone from the repository
                return self._changes(ref, None, new)
        sql = "SELECT path, oid FROM file WHERE ref = ?"
        known = dict(self._db.execute(sql, (ref,)))
        there = {} if new is None else {e.path: e.oid for e in list_tree(self._repository, new)}
        changed: dict[bytes, str | None] = dict.fromkeys(known.keys() - there.keys())
        changed |= {path: oid for path, oid in there.items() if known.get(path) != oid}
        return changed

    def read(self, paths: Sequence[bytes]) -> None:
        """Read what all shards have at some paths, in place of what was known of them."""
        for table in ("line", "newer", "problem"):
            sql = f"DELETE FROM {table} WHERE path = ?"  # noqa: S608 - a name of ours
            self._db.executemany(sql, [(path,) for path in paths])
        sql = "SELECT ref, oid FROM file WHERE path = ? ORDER BY ref"
        files = [(p, *row) for p in paths for row in self._db.execute(sql, (p,)).fetchall()]
        contents = read_contents(self._repository, [oid for _, _, oid in files])
        seen: set[bytes] = set()
        last = b""
        for (path, ref, _), content in zip(files, contents, strict=True):
            if path != last:
                seen, last = set(), path
            if isinstance(content, str):
                reason = _MISSING if content == MISSING else content
                _note_problem(self._db, ref, path, Problem(place(ref, path), "", 0, reason))
                self._set_tip(ref, _UNREAD)
            else:
                store_file(self._db, ref, path, content, seen)


def store_file(
    db: sqlite3.Connection, ref: str, path: bytes, content: bytes, seen: set[bytes]
) -> None:
    """Store the lines of a file.

    Args:
        db: The database of the library.
        ref: Of the shard.
        path: Where the file stands in its tree.
        content: What it holds.
        seen: Lines that another shard's file at this path had; they are left out. It grows.
    """
    rows = []
    for item in decode_file(ref, path, content, seen):
        if isinstance(item, Problem):
            _note_problem(db, ref, path, item)
            continue
        line, raw = item
        seen.add(raw)
        if isinstance(line, OpaqueFact):
            label = f"{line.kind} (schema {line.schema})"
            db.execute("INSERT INTO newer VALUES (?, ?)", (path, label))
        else:
            rows.append((path, kind_of(line), id_of(line), line.time, raw))
    sql = "INSERT INTO line (path, kind, id, time, raw) VALUES (?, ?, ?, ?, ?)"
    db.executemany(sql, rows)


def _note_problem(db: sqlite3.Connection, ref: str, path: bytes, problem: Problem) -> None:
    row = (path, ref, problem.ref, problem.line, problem.reason)
    db.execute("INSERT INTO problem VALUES (?, ?, ?, ?, ?)", row)


def renew_paper(db: sqlite3.Connection, repository: Repository, paper_id: str) -> None:
    """Derive a paper and its passages anew from the lines."""
    old = db.execute("SELECT number FROM passage WHERE paper = ?", (paper_id,)).fetchall()
    db.executemany("DELETE FROM passage_text WHERE rowid = ?", old)
    db.execute("DELETE FROM passage WHERE paper = ?", (paper_id,))
    db.execute("DELETE FROM paper WHERE id = ?", (paper_id,))
    about = _lines(db, PAPERS + paper_id)
    if not about:
        return
    _, latest, raw = max(about, key=lambda row: (row[1].time, row[2]))
    if not isinstance(latest, Paper):
        return
    row = (paper_id, latest.time, latest.title, raw)
    db.execute("INSERT INTO paper VALUES (?, ?, ?, ?)", row)
    times = {p.time for _, p, _ in about if isinstance(p, Paper) and p.digest == latest.digest}
    chunks = _lines(db, CHUNKS + paper_id)
    shared = {c.digest: c.text for _, c, _ in chunks if isinstance(c, Chunk) and c.text}
    texts = shared_texts(shared) | read_texts(repository, paper_id)
    for number, chunk in _passages(chunks, times):
        text = texts.get(chunk.digest, chunk.excerpt)
        _add_passage(db, number, chunk, latest.title, text)


_Numbered = tuple[int, LibraryLine, bytes]
"""Number of a line, what it says, and how it stands there."""


def _lines(db: sqlite3.Connection, path: str) -> list[_Numbered]:
    sql = "SELECT number, raw FROM line WHERE path = ?"
    rows = db.execute(sql, (path.encode(),)).fetchall()
    return [(number, decode_stored(raw), raw) for number, raw in rows]


def _passages(chunks: Sequence[_Numbered], times: Collection[str]) -> list[tuple[int, Chunk]]:
    """Return the chunks that count, given the times at which their paper's text was read."""
    read = [row for row in chunks if row[1].time in times]
    newest = max((line.time for _, line, _ in read), default="")
    chosen: dict[str, tuple[int, Chunk]] = {}
    for number, line, _ in sorted(read, key=lambda row: row[2]):
        if isinstance(line, Chunk) and line.time == newest:
            chosen[line.id] = (number, line)
    return list(chosen.values())


def _add_passage(db: sqlite3.Connection, number: int, chunk: Chunk, title: str, text: str) -> None:
    place_in_paper = int(chunk.id.rpartition(".")[2])
    row = (number, chunk.id, chunk.paper, place_in_paper)
    db.execute("INSERT INTO passage VALUES (?, ?, ?, ?)", row)
    columns = [analyse(each) for each in (title, chunk.section, " ".join(chunk.symbols), text)]
    sql = """
        INSERT INTO passage_text (rowid, title, section, symbols, text, parts)
        VALUES (?, ?, ?, ?, ?, ?)
    """
    db.execute(sql, (number, *_cells(columns)))
    remember(db, _coined(columns).union(columns[2].words))


def renew_methods(db: sqlite3.Connection) -> None:
    """Fill what searches for methods look into anew."""
    db.execute("DELETE FROM method")
    db.execute("DELETE FROM method_text")
    sql = """
        INSERT INTO method_text (rowid, names, family, signature, summary, more, parts)
        VALUES (?, ?, ?, ?, ?, ?, ?)
    """
    for number, method in enumerate(visible_methods(db).values(), 1):
        db.execute("INSERT INTO method VALUES (?, ?)", (number, method.slug))
        columns = [analyse(text) for text in _method_texts(method)]
        db.execute(sql, (number, *_cells(columns)))
        remember(db, _coined(columns).union(columns[0].words, columns[2].words))


def _method_texts(method: Method) -> tuple[str, str, str, str, str]:
    """Return what stands in the columns of a method: names, family, signature, summary, more."""
    knobs = [word for knob in method.knobs for word in (knob.symbol, knob.name)]
    marks = [word for entry in method.signature for word in entry]
    titles = [reference.title for reference in method.references]
    more = (method.apply, method.scope, *method.risks, *titles)
    return (
        "\n".join((method.slug, method.name, *method.aliases)),
        method.family,
        "\n".join((*marks, *knobs)),
        method.summary,
        "\n".join(more),
    )


def _cells(columns: Sequence[Terms]) -> list[str]:
    """Return what full-text tables have of a row's columns, and last the parts of them all."""
    parts = (piece for terms in columns for pieces in terms.parts for piece in pieces)
    return [*(" ".join(terms.words) for terms in columns), " ".join(parts)]


def _coined(columns: Sequence[Terms]) -> set[str]:
    return {word for terms in columns for word in terms.identifiers}


def shared_texts(texts: Mapping[str, str | None]) -> dict[str, str]:
    """Return those of the texts (digest -> text) that have the digest that is said."""
    return {digest: text for digest, text in texts.items() if text and is_digest_of(digest, text)}


def visible_methods(db: sqlite3.Connection) -> dict[str, Method]:
    """Return slug -> method: the pack, with what shards have over it, without withdrawn ones."""
    sql = "SELECT id, raw FROM line WHERE path >= ? AND path < ? ORDER BY time, raw"
    folder = METHODS.encode()
    found: dict[str, LibraryLine] = {method.slug: method for method in pack()}
    rows = db.execute(sql, (folder, folder[:-1] + b"0"))  # "0" follows "/"
    found |= {slug: decode_stored(raw) for slug, raw in rows}
    ordered = sorted(found.items())
    return {slug: line for slug, line in ordered if isinstance(line, Method)}


_decoder: msgspec.json.Decoder[LibraryLine] = msgspec.json.Decoder(LibraryLine)


def decode_stored(raw: bytes) -> LibraryLine:
    """Return a line that the index holds.

    Raises:
        sqlite3.DatabaseError: It is not what was put in: the index is damaged.
    """
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise sqlite3.DatabaseError(f"a line in it is damaged: {error}") from error
