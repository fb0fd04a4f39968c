"""`Library`: what was read, which methods there are, and what came of them, of all shards.

What is asked is answered from an index beside the shards (`gitexp.library.database`), which is
brought up to date when the library is opened, after `Library.add`, and by `Library.refresh`.
"""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from gitexp.errors import AmbiguousError, GitexpError, ValueRejectedError
from gitexp.git.repository import Repository
from gitexp.library import search
from gitexp.library.database import Database
from gitexp.library.sync import decode_stored, shared_texts, visible_methods
from gitexp.library.texts import read_texts, remove_texts, write_texts
from gitexp.records.library import (
    Chunk,
    Lesson,
    LibraryLine,
    Method,
    Paper,
    Proposal,
    Retrieval,
    Usage,
    Withdrawal,
)
from gitexp.records.times import format_time
from gitexp.store.library import CHUNKS, add_lines, encode_line, id_of, is_paper_id, kind_of
from gitexp.store.problem import Problem

Answer = TypeVar("Answer")
EventType = TypeVar("EventType", Retrieval, Proposal, Lesson, Usage)

_PASSAGES, _METHODS = "passage_text", "method_text"
_NAMED = 5
"""Candidates that a message names."""


def new_id() -> str:
    """Return an id for an event: 16 random hexadecimal digits."""
    return secrets.token_hex(8)


class Passage(NamedTuple):
    """A passage that a search found.

    Attributes:
        chunk: The passage.
        title: Of its paper.
        score: Higher is better; above 0.
    """

    chunk: Chunk
    title: str
    score: float


class Match(NamedTuple):
    """A method that a search found.

    Attributes:
        slug: Of the method.
        score: Higher is better; above 0.
        words: Those of the question that it has, then words of its own that are like one.
    """

    slug: str
    score: float
    words: tuple[str, ...]


class Library:
    """The library of a repository.

    Args:
        repository: Whose. Nothing is opened yet: the first question does.
    """

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self._database = Database(repository)
        self._answers: dict[str, Any] = {}
        self._alike: search.Likeness = {}

    def refresh(self) -> None:
        """Take in what was added since, by whomever."""
        self._forget()
        self._database.refresh()

    def reindex(self) -> int:
        """Make the index anew from the shards; return how many lines it holds."""
        self._forget()
        self._database.refresh(anew=True)
        return self._ask(lambda db: int(db.execute("SELECT count(*) FROM line").fetchone()[0]))

    def _forget(self) -> None:
        self._answers.clear()
        self._alike.clear()

    def close(self) -> None:
        """Close the index; the next question opens it again."""
        self.refresh()

    @property
    def index_path(self) -> Path | None:
        """The file of the index; None when it is in memory or not open."""
        return self._database.path

    def _ask(self, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        return self._database.ask(question)

    def _once(self, name: str, question: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Return an answer that is remembered until something is added."""
        if name not in self._answers:
            self._answers[name] = self._ask(question)
        answer: Answer = self._answers[name]
        return answer

    # Writing

    def stamp(self) -> tuple[str, str]:
        """Return time and author for new lines: now, and ``Name <email>`` as git has it."""
        from gitexp.git.commit import identity

        name, email = identity(self.repository)
        return format_time(time.time_ns()), f"{name} <{email}>"

    def add(
        self, lines: Sequence[LibraryLine], texts: Mapping[str, str] | None = None
    ) -> list[LibraryLine]:
        """Add lines to this clone's shard; what says nothing new is left out.

        A paper and its chunks are added together, with one time, and are left out together where
        the library has just that. Who withdraws a paper loses the texts of it in this clone.

        Args:
            lines: Of any kinds.
            texts: Chunk id -> its full text, kept in this clone only. They take the place of those
                that were kept of the paper.

        Returns:
            What was added.

        Raises:
            ValueRejectedError: A line cannot be kept; nothing was written.
            ConflictError: Others kept winning the race for the ref.
            GitexpError: It could not be written.
        """
        for line in lines:
            encode_line(line)
        _require_together(lines)
        _keep_texts(self.repository, lines, texts or {})
        new = self._news(lines)
        if new:
            add_lines(self.repository, new)
        for line in new:
            if isinstance(line, Withdrawal) and is_paper_id(line.id):
                remove_texts(self.repository, line.id)
        self.refresh()
        return new

    def _news(self, lines: Sequence[LibraryLine]) -> list[LibraryLine]:
        """Return the lines without what the library has already, times and authors apart."""
        groups: dict[str, list[LibraryLine]] = {}
        for line in lines:
            groups.setdefault(_subject(line), []).append(line)
        return [line for group in groups.values() if not self._has(group) for line in group]

    def _has(self, group: Sequence[LibraryLine]) -> bool:
        match group[0]:
            case Paper() | Chunk():
                return self._has_paper(group)
            case Method() as method if len(group) == 1:
                known = self.methods().get(method.slug)
                return known is not None and _said(known) == _said(method)
            case Withdrawal() as withdrawal if len(group) == 1:
                sql = "SELECT raw FROM line WHERE id = ? AND kind != 'chunk' ORDER BY time, raw"
                rows = self._ask(lambda db: db.execute(sql, (withdrawal.id,)).fetchall())
                return bool(rows) and _said(decode_stored(rows[-1][0])) == _said(withdrawal)
        return all(self._has_line(line) for line in group)

    def _has_line(self, line: LibraryLine) -> bool:
        sql = "SELECT 1 FROM line WHERE kind = ? AND id = ? AND raw = ?"
        row = (kind_of(line), id_of(line), encode_line(line))
        return self._ask(lambda db: db.execute(sql, row).fetchone()) is not None

    def _has_paper(self, group: Sequence[LibraryLine]) -> bool:
        ids = {line.paper if isinstance(line, Chunk) else id_of(line) for line in group}
        known = {line.id: line for line in self.papers() if line.id in ids}
        there: list[LibraryLine] = [*known.values()]
        there += [chunk for paper_id in known for chunk in self.chunks(paper_id)]
        said = {id_of(line): _said(line) for line in group}
        return said == {id_of(line): _said(line) for line in there}

    # Papers

    def papers(self) -> list[Paper]:
        """Return the papers, the latest added first."""
        sql = "SELECT raw FROM paper ORDER BY time DESC, id"
        return list(self._once("papers", lambda db: _decoded(db, sql, Paper)))

    def paper(self, spec: str) -> Paper:
        """Return the paper of an id, an arXiv id, or an unambiguous prefix of either.

        Raises:
            AmbiguousError: It fits several; the message names them.
            GitexpError: No paper answers to it.
        """
        wanted = spec.strip().lower()
        names = {paper.id: _paper_names(paper) for paper in self.papers()}
        exact = [paper for paper in self.papers() if wanted in names[paper.id]]
        begun = [p for p in self.papers() if wanted and any(map(_begins(wanted), names[p.id]))]
        found = exact or begun
        if not found:
            hint = "List papers with 'git exp papers list'."
            raise GitexpError(f"No paper answers to {spec!r}.", hint)
        if len(found) > 1:
            raise _ambiguous("paper", spec, [paper.id for paper in found])
        return found[0]

    def chunks(self, paper_id: str) -> list[Chunk]:
        """Return the passages of a paper, in its order."""
        sql = """
            SELECT raw FROM passage JOIN line USING (number) WHERE paper = ?
            ORDER BY place, passage.id
        """
        return self._ask(lambda db: _decoded(db, sql, Chunk, (paper_id,)))

    def text(self, chunk_id: str) -> str | None:
        """Return the full text of a passage: this clone's, else a shared one; None without."""
        sql = "SELECT raw FROM passage JOIN line USING (number) WHERE passage.id = ?"
        found = self._ask(lambda db: _decoded(db, sql, Chunk, (chunk_id,)))
        return self._texts_of(found[0].paper).get(found[0].digest) if found else None

    def _texts_of(self, paper_id: str) -> dict[str, str]:
        """Return digest -> text of what is known of a paper's passages."""
        name = f"texts {paper_id}"
        if name not in self._answers:
            sql = "SELECT raw FROM line WHERE path = ?"
            path = f"{CHUNKS}{paper_id}".encode()
            chunks = self._ask(lambda db: _decoded(db, sql, Chunk, (path,)))
            shared = shared_texts({chunk.digest: chunk.text for chunk in chunks if chunk.text})
            self._answers[name] = shared | read_texts(self.repository, paper_id)
        found: dict[str, str] = self._answers[name]
        return found

    # Methods

    def methods(self) -> dict[str, Method]:
        """Return slug -> method: the pack, with what was added over it, without withdrawn ones."""
        return dict(self._once("methods", visible_methods))

    def method(self, spec: str) -> Method:
        """Return the method of a slug, a name or an alias, in any case.

        Raises:
            AmbiguousError: It fits several; the message names them.
            GitexpError: No method answers to it.
        """
        methods = self.methods()
        wanted = spec.strip().casefold()
        if wanted in methods:
            return methods[wanted]
        named = [m for m in methods.values() if wanted == m.name.casefold()]
        also = [m for m in methods.values() if wanted in map(str.casefold, m.aliases)]
        found = named or also
        if not found:
            hint = "List methods with 'git exp methods list'."
            raise GitexpError(f"No method answers to {spec!r}.", hint)
        if len(found) > 1:
            raise _ambiguous("method", spec, [method.slug for method in found])
        return found[0]

    # Events

    def retrievals(self) -> list[Retrieval]:
        """Return all retrievals, by time."""
        return list(self._events(Retrieval))

    def proposals(self) -> list[Proposal]:
        """Return all proposals, by time. Of several lines about one the latest counts."""
        return list(self._events(Proposal))

    def proposal(self, proposal_id: str) -> Proposal | None:
        """Return the proposal of an id; None where there is none."""
        sql = "SELECT raw FROM line WHERE kind = 'proposal' AND id = ? ORDER BY time, raw"
        found = self._ask(lambda db: _decoded(db, sql, Proposal, (proposal_id,)))
        return found[-1] if found else None

    def lessons(self) -> list[Lesson]:
        """Return all lessons, by time."""
        return list(self._events(Lesson))

    def usages(self) -> list[Usage]:
        """Return all usage, by time."""
        return list(self._events(Usage))

    def _events(self, kind: type[EventType]) -> list[EventType]:
        name = str(kind.__struct_config__.tag)
        sql = "SELECT raw FROM line WHERE kind = ? ORDER BY time, raw"

        def question(db: sqlite3.Connection) -> list[EventType]:
            latest: dict[str, EventType] = {}
            for event in _decoded(db, sql, kind, (name,)):
                latest.pop(event.id, None)  # so that it stands where its time is
                latest[event.id] = event
            return list(latest.values())

        return self._once(name, question)

    # Searching

    def search_passages(self, query: str, limit: int = 20) -> list[Passage]:
        """Return the passages that fit a question best, the best first.

        Args:
            query: Words, in any order; those that are identifiers also find what is like them.
            limit: At most so many.
        """

        def question(db: sqlite3.Connection) -> list[Passage]:
            sql = """
                SELECT line.raw, paper.title FROM passage JOIN line USING (number)
                JOIN paper ON paper.id = passage.paper WHERE number = ?
            """
            found = []
            asked = search.understand(db, _PASSAGES, query, self._alike)
            for hit in search.find(db, _PASSAGES, asked, limit):
                raw, title = db.execute(sql, (hit.number,)).fetchone()
                chunk = decode_stored(raw)
                if isinstance(chunk, Chunk):
                    found.append(Passage(chunk, title, hit.score))
            return sorted(found, key=lambda passage: (-passage.score, passage.chunk.id))

        return self._ask(question)

    def search_methods(self, query: str, limit: int = 50) -> list[Match]:
        """Return the methods that fit a question best, the best first.

        Args:
            query: As for `search_passages`.
            limit: At most so many.
        """

        def question(db: sqlite3.Connection) -> list[Match]:
            asked = search.understand(db, _METHODS, query, self._alike)
            found = []
            for hit in search.find(db, _METHODS, asked, limit):
                sql = """
                    SELECT slug, names, family, signature, summary, more, parts
                    FROM method JOIN method_text ON method.number = method_text.rowid
                    WHERE method.number = ?
                """
                slug, *texts = db.execute(sql, (hit.number,)).fetchone()
                there = f" {' '.join(texts)} "
                shared = tuple(term for term in asked.terms if f" {term} " in there)
                found.append(Match(slug, hit.score, shared))
            return found

        return self._ask(question)

    # What could not be read

    @property
    def problems(self) -> list[Problem]:
        """What of the library could not be read, with its place; the rest is readable."""
        sql = "SELECT place, line, reason FROM problem ORDER BY place, line"
        rows = self._ask(lambda db: db.execute(sql).fetchall())
        return [Problem(where, "", line, reason) for where, line, reason in rows]

    @property
    def unknown(self) -> dict[str, int]:
        """Lines that a newer gitexp wrote: kind and schema -> how many. They are kept as is."""
        sql = "SELECT label, count(*) FROM newer GROUP BY label"
        return dict(self._ask(lambda db: db.execute(sql).fetchall()))


LineType = TypeVar("LineType", bound=LibraryLine)


def _decoded(
    db: sqlite3.Connection,
    sql: str,
    kind: type[LineType],
    parameters: Sequence[str | bytes] = (),
) -> list[LineType]:
    lines = (decode_stored(raw) for (raw,) in db.execute(sql, parameters))
    return [line for line in lines if isinstance(line, kind)]


def _subject(line: LibraryLine) -> str:
    """Return what a line is about: lines about one thing are added or left out together."""
    if isinstance(line, Paper | Chunk):
        return f"paper {line.paper if isinstance(line, Chunk) else line.id}"
    return f"{kind_of(line)} {id_of(line)}"


def _keep_texts(
    repository: Repository, lines: Sequence[LibraryLine], texts: Mapping[str, str]
) -> None:
    """Keep full texts in this clone.

    Raises:
        ValueRejectedError: One is not that of its chunk.
        GitexpError: They cannot be written.
    """
    kept: dict[str, dict[str, str]] = {}
    for line in lines:
        if isinstance(line, Chunk) and line.id in texts:
            if shared_texts({line.digest: texts[line.id]}) == {}:
                message = f"The text of the chunk {line.id} is not the one that its digest names."
                raise ValueRejectedError(message, "Make the digest with text_digest(text).")
            kept.setdefault(line.paper, {})[line.digest] = texts[line.id]
    for paper_id, found in kept.items():
        write_texts(repository, paper_id, found)


def _require_together(lines: Sequence[LibraryLine]) -> None:
    """Check that chunks come with their paper, at one time: else they would not count.

    Raises:
        ValueRejectedError: They do not.
    """
    times = {(line.id, line.time) for line in lines if isinstance(line, Paper)}
    for line in lines:
        if isinstance(line, Chunk) and (line.paper, line.time) not in times:
            message = f"The chunk {line.id} does not come with its paper, at one time."
            raise ValueRejectedError(message, "Add a paper and its chunks together.")


def _said(line: LibraryLine) -> LibraryLine:
    """Return what a line says, whoever said it when."""
    return msgspec.structs.replace(line, time="", by="")


def _paper_names(paper: Paper) -> tuple[str, ...]:
    return tuple(name.lower() for name in (paper.id, paper.arxiv) if name)


def _begins(wanted: str) -> Callable[[str], bool]:
    return lambda name: name.startswith(wanted)


def _ambiguous(what: str, spec: str, ids: Sequence[str]) -> AmbiguousError:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    shown = f"{', '.join(ids[:_NAMED])}{more}"
    message = f"{spec!r} fits {len(ids)} {what}s: {shown}."
    return AmbiguousError(message, "Name one of them by its id.")
