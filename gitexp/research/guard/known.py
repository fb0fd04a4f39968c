"""All runs as the guard knows them: what they ran, what they changed, and how they went."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol

from gitexp.configuration import is_seed, seed_of, without_seeds
from gitexp.document import Document
from gitexp.git.history import EMPTY_TREE
from gitexp.git.relevant import code_digests
from gitexp.index.observe import Observed
from gitexp.index.schema import unpack
from gitexp.index.texts import CANDIDATES, HAVING, any_of
from gitexp.memory import Memory
from gitexp.query.text import words as indexed_words
from gitexp.records.nested import flatten
from gitexp.research.code import Code
from gitexp.research.crashes import signature
from gitexp.research.goal import GoalMetric
from gitexp.research.guard.aliases import DOWN, UP, Aliases
from gitexp.research.guard.changes import Changes, Progress
from gitexp.research.guard.structure import symbol_of
from gitexp.research.guard.text import marked_words
from gitexp.research.observations import Observation
from gitexp.run import Run

Outcome = Literal["success", "failure", "unresolved", "stopped"]
"""How a run went: ``stopped`` is one that ended early through no fault of its code."""

_EMPTY = bytes.fromhex(EMPTY_TREE)


_DOCUMENTS = """
SELECT r.id, d.packed, m.dictionary
FROM run AS r JOIN doc AS d ON d.run = r.number, meta AS m WHERE r.id IN
"""
_AT_ONCE = 500


class Judge(Protocol):
    """What says how runs went: `gitexp.research.belief.posterior.Posterior`."""

    @property
    def champion_run(self) -> bytes | None:
        """A run of the champion's configuration."""

    @property
    def champion(self) -> bytes | None:
        """The champion's configuration."""

    def outcome(self, run: bytes) -> Literal["success", "failure", "unresolved", "crash"]:
        """Return how a run went."""

    def observation(self, run: bytes) -> Observation | None:
        """Return a run as an observation of the goal metric."""

    def base(self, configuration: bytes) -> bytes | None:
        """Return the configuration that another was derived from."""


class Known:
    """The runs of a repository.

    Attributes:
        rows: By id, in the order of their starts.
        changes: Against their bases, of the runs whose code is here.
    """

    def __init__(
        self,
        memory: Memory,
        goal: GoalMetric | None,
        judge: Judge | None,
        cache: sqlite3.Connection,
        progress: Progress | None = None,
    ) -> None:
        """Read what all runs ran; the first time also what each of them changed.

        Args:
            memory: Whose runs.
            goal: What they are judged by; None where no run has a metric.
            judge: Says how they went; without one that is not resolved.
            cache: Remembers trees and changes (`gitexp.research.cache`).
            progress: Told how many changes are read.
        """
        self._memory = memory
        self._judge = judge
        # Of this object, not of its class: what is remembered must go with it.
        self._outcome_and_why = functools.lru_cache(maxsize=4096)(self._judged)
        self._frequency_of = functools.lru_cache(maxsize=4096)(self._counted)
        self.aliases = Aliases.of(memory.repository)
        rows = memory.observed(goal.metric, goal.column) if goal else memory.observed("", "last")
        self.rows: Mapping[bytes, Observed] = {row.id: row for row in rows}
        self._code = Code(memory.repository, cache)
        with_code = [row for row in rows if row.tree is not None and row.tree != _EMPTY]
        self._digests = self._code.digests(row.tree for row in with_code if row.tree)
        known = self._digests.get
        self.code = {row.id: found for row in with_code if (found := known(row.tree or b""))}
        self._by_code: dict[bytes, list[bytes]] = {}
        for run, digest in self.code.items():
            self._by_code.setdefault(digest, []).append(run)
        self.changes = Changes(memory.repository, cache, self._code, self.aliases)
        self.changes.extend([row.id for row in reversed(with_code)], progress)

    def code_of_tree(self, tree: str) -> bytes | None:
        """Return the digest of the code that matters in a tree; None where it is not whole."""
        key = bytes.fromhex(tree)
        if key not in self._digests:
            made = code_digests(self._memory.repository, [tree], self._code.ignored)[tree]
            self._digests |= {key: made} if made else {}
        return self._digests.get(key)

    def with_code(self, digest: bytes) -> list[bytes]:
        """Return the runs of this code that matters, in the order of their starts."""
        return self._by_code.get(digest, [])

    def same_without_code(self, run: bytes) -> list[bytes]:
        """Return the runs of a run's configuration whose code is not here, itself too."""
        setup = self.rows[run].setup
        return [
            row.id for row in self.rows.values() if row.setup == setup and row.id not in self.code
        ]

    def documents(self, runs: Iterable[bytes]) -> dict[bytes, Document]:
        """Return the documents of runs that are there, in the order that they were asked for."""
        wanted = list(runs)
        found: dict[bytes, Document] = {}
        for start in range(0, len(wanted), _AT_ONCE):
            some = wanted[start : start + _AT_ONCE]
            sql = f"{_DOCUMENTS} ({', '.join('?' * len(some))})"
            rows = self._memory.ask(sql, some)
            found |= {run: unpack(packed, dictionary) for run, packed, dictionary in rows}
        return {run: found[run] for run in wanted if run in found}

    def _judged(self, run: bytes) -> tuple[Outcome, str]:
        row = self.rows[run]
        outcome: Literal["success", "failure", "unresolved", "crash"]
        if row.status in ("running", "unknown"):
            return "unresolved", "it is in progress" if row.status == "running" else "nobody knows"
        if self._judge is None:
            outcome = "unresolved" if row.status == "finished" else "crash"
        else:
            outcome = self._judge.outcome(run)
        if outcome != "crash":
            return outcome, _SAID[outcome]
        crash = signature(self.documents([run]).get(run, {}))
        if row.verdict == "crash" or crash.own_fault:
            return "failure", f"it crashed: {crash.text}" if crash.text else "it crashed"
        return "stopped", "it was stopped before it had a result"

    def outcome(self, run: bytes) -> Outcome:
        """Return how a run went."""
        return self._outcome_and_why(run)[0]

    def how_it_went(self, run: bytes) -> str:
        """Return how a run went, as the end of a sentence."""
        return self._outcome_and_why(run)[1]

    def base_configuration(self, run: bytes | None) -> bytes | None:
        """Return the configuration that a run was derived from; for None, of what would run now."""
        if self._judge is None:
            return None
        if run is None:
            return self._judge.champion
        seen = self._judge.observation(run)
        return None if seen is None else seen.base or self._judge.base(seen.configuration)

    @functools.cached_property
    def champion_document(self) -> Document | None:
        """Return the document of a run of the champion."""
        run = None if self._judge is None else self._judge.champion_run
        return None if run is None else self.documents([run]).get(run)

    def marked(self, document: Document) -> list[str]:
        """Return the words and marks of a run's texts; of its name where it has no other."""
        texts = [document.get(name) for name in ("description", "hypothesis", "family")]
        marked = self.marked_text([*texts, *document.get("tags", ())])
        return marked or self.marked_text([document.get("name")])

    def described(self, document: Document) -> list[str]:
        """Return the words and marks of what a run says that it tried."""
        return self.marked_text([document.get("description") or document.get("name")])

    def marked_text(self, texts: Iterable[str | None]) -> list[str]:
        """Return the words and marks of several texts."""
        return marked_words("\n".join(text for text in texts if text), self.aliases)

    def like_words(self, found: Iterable[str], limit: int) -> list[bytes]:
        """Return the runs whose texts have any of some words, the best first."""
        query = any_of(phrase for word in found for phrase in self._phrases(word))
        return [run for (run,) in self._memory.ask(CANDIDATES, [query, limit])] if query else []

    def frequency(self, word: str) -> int:
        """Return how many runs have a word in their texts, in any of its forms."""
        return self._frequency_of(word)

    def _counted(self, word: str) -> int:
        query = any_of(self._phrases(word))
        return sum(count for (count,) in self._memory.ask(HAVING, [query])) if query else 0

    def _phrases(self, word: str) -> list[str]:
        """Return the forms that a word may have in a text, as the index has them."""
        directions = {"up": UP, "down": DOWN}
        forms = [*sorted(directions.get(word, (word,))), *self.aliases.variants(word)]
        if "_" in word:
            forms += [word.replace("_", " "), word.replace("_", "-")]
        return [" ".join(indexed_words(form)) for form in forms]

    def symbol(self, name: str) -> str:
        """Return the symbol of a setting of this name."""
        return symbol_of(name, self.aliases)

    def seeds(self, runs: Sequence[bytes]) -> dict[bytes, str | None]:
        """Return the seed of each run as text."""
        found = self.documents(runs)
        return {run: seed_of(Run.from_document(document)) for run, document in found.items()}

    def with_parameters(self, parameters: Mapping[str, Any], limit: int) -> list[bytes]:
        """Return the runs that have these values of parameters, and maybe of others.

        Args:
            parameters: By dotted path, at least one; what is no number or text is not looked at.
            limit: At most so many, the latest.
        """
        plain = {f"params.{path}": v for path, v in parameters.items() if _is_plain(v)}
        if not plain:
            return []
        number = "(SELECT number FROM path WHERE kind = 'field' AND path = ?)"
        first = f"f.path = {number} AND f.value IS ?"
        other = f" AND EXISTS (SELECT 1 FROM field AS g WHERE g.path = {number}"  # noqa: S608
        other += " AND g.run = f.run AND g.value IS ?)"
        sql = (
            f"SELECT r.id FROM field AS f JOIN run AS r ON r.number = f.run"  # noqa: S608
            f" WHERE {first}{other * (len(plain) - 1)} ORDER BY r.started DESC LIMIT ?"
        )
        rarest_first = sorted(plain.items(), key=lambda item: isinstance(item[1], str | bool))
        return [run for (run,) in self._memory.ask(sql, [*sum(rarest_first, ()), limit])]


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | bool | float) or (
        isinstance(value, int) and abs(value) < 1 << 63
    )


_SAID = {
    "success": "it was better than its base",
    "failure": "it was worse than its base",
    "unresolved": "whether it was better is not resolved",
}


def plain_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters by dotted path, seeds left out."""
    return {path: value for path, value in flatten(parameters).items() if not is_seed(path)}


def plain_command(command: Sequence[str]) -> list[str]:
    """Return a command without seeds."""
    return list(without_seeds(command))
