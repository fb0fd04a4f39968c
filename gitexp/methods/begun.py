"""What runs said of themselves when they began: the texts that a ranking may look at.

Agents write the outcome into descriptions, comments and verdicts afterwards, and a ranking that
reads those predicts what it was told. So only the ``run`` line counts here, the earliest where
there are several: never a remark, a decision, or the texts of a run as they are shown, which
remarks change. The lines are read from the notes and remembered in ``research.sqlite`` for as long
as a run's notes stay as they are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import xxhash

from gitexp.index.sync import read_contents
from gitexp.memory import Memory
from gitexp.query.text import words
from gitexp.records.facts import RunFact
from gitexp.research.cache import remember
from gitexp.store.problem import Problem
from gitexp.store.read import decode_note

_MAX_TEXT = 4_000
"""Characters of a text that are looked at."""
_SCRIPTS = (".py", ".sh", ".jl", ".ipynb")


class Begun(NamedTuple):
    """What a run's line says of it.

    Attributes:
        time: When it started, RFC 3339 in UTC.
        words: Of its name, description and hypothesis, as full-text search has them, with spaces
            between and around.
        family: Of ideas; None where it names none.
        program: The first script that its command names, else the command's first word.
        proposal: Id of its proposal.
        cites: Names of the methods that it cites itself, in small letters, one to a line.
    """

    time: str
    words: str
    family: str | None
    program: str | None
    proposal: str | None
    cites: str


NOTHING = Begun("", " ", None, None, None, "")


def read_begun(memory: Memory, cache: sqlite3.Connection) -> dict[bytes, Begun]:
    """Return what stored runs said when they began, by the id of the run, 20 bytes.

    Args:
        memory: Whose runs.
        cache: Remembers it.
    """
    notes = _notes(memory)
    known = _known(cache)
    new = {run: oids for run, oids in notes.items() if known.get(run, (b"",))[0] != _digest(oids)}
    read = dict(_read(memory, new))
    rows = [(run, _digest(new[run]), *begun) for run, begun in read.items()]
    remember(cache, "INSERT OR REPLACE INTO begun VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    return {run: read.get(run) or Begun(*known[run][1:]) for run in notes}


def _notes(memory: Memory) -> dict[bytes, list[str]]:
    """Return the blobs of each run's notes."""
    rows = sorted(memory.ask("SELECT run, oid FROM note"))
    return {run: [oid.hex() for _, oid in group] for run, group in groupby(rows, itemgetter(0))}


def _known(cache: sqlite3.Connection) -> dict[bytes, tuple[Any, ...]]:
    """Return run -> digest of its notes and what it said, as far as that is remembered."""
    return {run: tuple(rest) for run, *rest in cache.execute("SELECT * FROM begun")}


def _digest(oids: Sequence[str]) -> bytes:
    return xxhash.xxh3_128_digest("".join(oids).encode())


def _read(memory: Memory, notes: Mapping[bytes, Sequence[str]]) -> Iterator[tuple[bytes, Begun]]:
    owners = [run for run, oids in notes.items() for _ in oids]
    contents = read_contents(memory.repository, [oid for oids in notes.values() for oid in oids])
    pairs = zip(owners, contents, strict=True)
    for run, group in groupby(pairs, itemgetter(0)):
        blobs = [content for _, content in group if isinstance(content, bytes)]
        lines = [line for blob in blobs for line in _run_lines(blob)]
        first = min(lines, key=lambda line: line.time, default=None)
        yield run, NOTHING if first is None else begun_of(first)


def _run_lines(blob: bytes) -> Iterator[RunFact]:
    return (
        fact
        for fact in decode_note(Problem("", "", 0, ""), blob, set())
        if isinstance(fact, RunFact)
    )


def begun_of(line: RunFact) -> Begun:
    """Return what a run's line says of it."""
    said = line.metadata if isinstance(line.metadata, dict) else {}
    proposal, cites = said.get("proposal"), said.get("cites")
    cited = [cites] if isinstance(cites, str) else cites if isinstance(cites, list) else []
    return Begun(
        line.time,
        as_words(line.name, line.description, line.hypothesis),
        line.family,
        _program(line.command),
        proposal if isinstance(proposal, str) else None,
        "\n".join(cite.casefold() for cite in cited if isinstance(cite, str)),
    )


def as_words(*texts: str | None) -> str:
    """Return the words of some texts, with spaces between and around, so that phrases are found."""
    found = (word for text in texts if text for word in words(text[:_MAX_TEXT]))
    return f" {' '.join(found)} "


def _program(command: Iterable[str]) -> str | None:
    named = list(command)
    return next((word for word in named if word.endswith(_SCRIPTS)), named[0] if named else None)
