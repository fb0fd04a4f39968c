"""The facts: whether their lines can be read, and whether they agree with each other.

What they say of each run is kept for the checks that follow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from gitexp.git import refs
from gitexp.records.facts import EndFact, Fact, OpaqueFact, RunFact, TombstoneFact
from gitexp.store.problem import Problem
from gitexp.store.read import decode_note
from gitexp.verify.findings import REPAIR, Finding
from gitexp.verify.store import Note, Store, text


@dataclass
class Told:
    """What the facts say of a run, all shards together.

    Attributes:
        ref: One that speaks of it.
        starts: How many different ``run`` lines there are.
        others: There are lines beside tombstones.
    """

    ref: str
    starts: int = 0
    ends: list[EndFact] = field(default_factory=list)
    environments: set[str] = field(default_factory=set)
    withdrawn: bool = False
    collected: bool = False
    others: bool = False

    def take(self, fact: Fact) -> None:
        """Take a line into account."""
        match fact:
            case RunFact():
                self.starts += 1
                self.environments |= {fact.environment} - {None}  # type: ignore[arg-type]
            case EndFact():
                self.ends.append(fact)
            case TombstoneFact():
                self.withdrawn = True
                self.collected = self.collected or fact.collected
        self.others = self.others or not isinstance(fact, TombstoneFact)

    @property
    def end(self) -> EndFact | None:
        """The end that counts."""
        return max(self.ends, key=lambda end: end.time, default=None)


def check_facts(store: Store, told: dict[str, Told]) -> Iterator[Finding]:
    """Yield what is wrong with the lines of facts; ``told`` is filled."""
    newer: Counter[tuple[str, int]] = Counter()
    for run, notes in store.notes(refs.FACTS):
        said = told[run] = Told(notes[0].ref)
        yield from _lines(run, notes, said, newer)
        yield from _agreement(run, said)
    for (kind, schema), count in newer.items():
        lines = "1 line" if count == 1 else f"{count} lines"
        message = f"{lines} of kind {kind} (schema {schema}) came from a newer gitexp; kept."
        yield Finding("newer", "note", message, "Use a newer gitexp to see what is said there.")


def _lines(
    run: str, notes: Sequence[Note], said: Told, newer: Counter[tuple[str, int]]
) -> Iterator[Finding]:
    seen: set[bytes] = set()
    for note in notes:
        if note.problem:
            yield unread_note(store_word="facts", run=run, note=note)
            continue
        for item in decode_note(Problem(note.ref, run, 0, ""), note.content, seen):
            if isinstance(item, Problem):
                yield bad_line(run, note, item.line, item.reason)
            elif isinstance(item, OpaqueFact):
                newer[item.kind, item.schema] += 1
                said.others = True
            else:
                said.take(item)


def unread_note(*, store_word: str, run: str, note: Note) -> Finding:
    """Return the finding for a note whose object cannot be read."""
    message = f"The object {note.oid[:12]} with {store_word} of run {run[:12]} {note.problem}."
    return Finding("note", "lost", message, f"{REPAIR}.", True, note.ref, run, text(note.path))


def bad_line(run: str, note: Note, line: int, reason: str) -> Finding:
    """Return the finding for a line that cannot be read."""
    remedy = (
        f"See it with 'git show {note.ref}:{text(note.path)}'; the rest is read. "
        f"Nothing is changed, since a line is never rewritten."
    )
    message = f"The line cannot be read: {reason}."
    return Finding("line", "damaged", message, remedy, False, note.ref, run, text(note.path), line)


def _agreement(run: str, said: Told) -> Iterator[Finding]:
    for word, count in (("run", said.starts), ("end", len(said.ends))):
        if count > 1:
            rule = "the earliest counts" if word == "run" else "the latest counts"
            message = f"Run {run[:12]} has {count} different lines of kind {word}; {rule}."
            yield Finding("duplicate", "note", message, ref=said.ref, run=run)
    if said.collected and said.others:
        message = f"Run {run[:12]} was collected, and some shard still has lines of it."
        yield Finding("removed", "note", message, "Run 'git exp gc'.", ref=said.ref, run=run)
