"""Which runs are credited to which methods, and why.

A run is credited to the methods that its proposal (or the run itself, ``metadata.cites``) cites,
and to those whose signature stands in the lines that its code adds to its base: all words of one
entry of it, at least one of which the base did not have. Nothing else gives credit, neither that
a method was shown nor that a knob of it was turned.

The base is that of `gitexp.research.observations`. Where no run says what a run was derived from,
uncommitted changes are compared with ``HEAD``, and a commit with the one before it; the first
configuration of a repository adds nothing then, for it is where the others start.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from gitexp.library.library import Library
from gitexp.memory import Memory
from gitexp.methods.additions import NOTHING, Additions, Found, Progress, Trees
from gitexp.records.library import Method
from gitexp.research.ancestry import Ancestry
from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation, observe

_NO_GOAL = GoalMetric("", lower=True, by="last", minimum=None, source="option")
"""Bases do not depend on what runs are judged by."""
_CODE = 'SELECT id, tree, "commit" FROM run WHERE tree IS NOT NULL'
_CITED = """
SELECT lower(hex(r.id)), p.path, f.value
FROM path AS p JOIN field AS f ON f.path = p.number JOIN run AS r ON r.number = f.run
WHERE p.kind = 'field' AND p.path IN ('metadata.proposal', 'metadata.cites')
ORDER BY r.id, p.path
"""
_MAX_CITED = 100
"""Methods that one run may cite; who cites more has cited nothing."""


class Credit(NamedTuple):
    """A run puts a method to work.

    Attributes:
        run: Its id, 40 hexadecimal digits.
        method: Slug.
        how: ``cited`` also where the signature was found.
        proposal: Id of the proposal that cites it, where one does.
        words: Of the signature, found in the lines that the run's code adds; sorted.
    """

    run: str
    method: str
    how: Literal["cited", "signature"]
    proposal: str | None
    words: tuple[str, ...]


def credits(  # noqa: A001 - the word for it
    memory: Memory,
    library: Library,
    cache: sqlite3.Connection,
    observed: Sequence[Observation] | None = None,
    *,
    only: Collection[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, tuple[Credit, ...]]:
    """Return run id -> its credits by slug, of the runs that have any.

    Args:
        memory: Whose runs.
        library: Methods and proposals.
        cache: ``research.sqlite``; what runs add to their bases is read once and remembered there.
        observed: All runs, where the caller has observed them anyway.
        only: Ids of the runs that are asked about; all by default. Only their changes are read.
        progress: Told how many changes are read, where some are new.
    """
    methods = library.methods()
    seen = observe(memory, _NO_GOAL, cache) if observed is None else observed
    pairs = _pairs(memory, cache, seen)
    if only is not None:
        pairs = {run: pair for run, pair in pairs.items() if run in only}
    additions = Additions(memory.repository, cache)
    numbers = additions.extend(list(pairs.values()), progress)
    among = None if only is None else numbers.values()
    by_number = _Signatures(methods.values()).matches(additions, among)
    found = {
        run: by_number[number]
        for run, pair in pairs.items()
        if (number := numbers.get(pair)) in by_number
    }
    cited = _cited(memory, library, methods)
    runs = [run for run in found | cited if only is None or run in only]
    return {run: _merged(run, cited.get(run, {}), found.get(run, {})) for run in runs}


def methods_in(
    memory: Memory, library: Library, cache: sqlite3.Connection, tree: str
) -> dict[str, tuple[str, ...]]:
    """Return slug -> words, of the methods whose signature stands anywhere in a tree's code.

    Args:
        memory: Whose repository.
        library: Methods.
        cache: Remembers the words of the tree.
        tree: Its id, 40 hexadecimal digits; one that is not whole here has none.
    """
    additions = Additions(memory.repository, cache)
    pair = (NOTHING, bytes.fromhex(tree))
    number = additions.extend([pair]).get(pair, 0)
    signatures = _Signatures(library.methods().values())
    return signatures.matches(additions, [number]).get(number, {})


def _merged(
    run: str, cited: Mapping[str, str | None], found: Mapping[str, tuple[str, ...]]
) -> tuple[Credit, ...]:
    if not cited:  # as almost all
        return tuple([Credit(run, slug, "signature", None, found[slug]) for slug in found])
    every = [
        Credit(run, slug, "cited", proposal, found.get(slug, ()))
        for slug, proposal in cited.items()
    ]
    every += [
        Credit(run, slug, "signature", None, words)
        for slug, words in found.items()
        if slug not in cited
    ]
    return tuple(sorted(every, key=lambda credit: credit.method))


class _Signatures:
    """The signatures of methods, by the words in them."""

    def __init__(self, methods: Iterable[Method]) -> None:
        self._entries: dict[str, list[tuple[str, frozenset[str]]]] = {}
        for method in methods:
            for entry in (frozenset(map(str.lower, words)) for words in method.signature):
                for word in entry:
                    self._entries.setdefault(word, []).append((method.slug, entry))

    def matches(
        self, additions: Additions, among: Collection[int] | None = None
    ) -> dict[int, dict[str, tuple[str, ...]]]:
        """Return number of a change -> slug -> words, of the changes that add a signature.

        Args:
            additions: What changes add.
            among: Numbers of few changes that are asked about; all by default.
        """
        found = additions.with_words(self._entries, among)
        matched = {number: self._in(words) for number, words in found.items()}
        return {number: slugs for number, slugs in matched.items() if slugs}

    def _in(self, words: Found) -> dict[str, tuple[str, ...]]:
        """Return slug -> words, of the entries that are all there, and not all from before."""
        slugs: dict[str, set[str]] = {}
        for word, fresh in words.items():
            for slug, entry in self._entries[word] if fresh else ():
                if entry <= words.keys():
                    slugs.setdefault(slug, set()).update(entry)
        return {slug: tuple(sorted(slugs[slug])) for slug in sorted(slugs)}


def _pairs(
    memory: Memory, cache: sqlite3.Connection, observed: Sequence[Observation]
) -> dict[str, Trees]:
    """Return run id -> the trees of its base and of itself, where they differ."""
    rows = {run: (tree, commit) for run, tree, commit in memory.ask(_CODE) if tree != NOTHING}
    stands: dict[bytes, bytes] = {}
    for seen in observed:
        if seen.run in rows:
            stands.setdefault(seen.configuration, rows[seen.run][0])
    first = observed[0].configuration if observed else None
    before = _Before(Ancestry(memory.repository, cache))
    pairs: dict[str, Trees] = {}
    for seen in observed:
        tree, commit = rows.get(seen.run, (None, None))
        if tree is None:
            continue
        if seen.base is not None:
            old = stands.get(seen.base)
        else:
            old = before(commit, tree, is_first=seen.configuration == first)
        if old is not None and old != tree:
            pairs[seen.run.hex()] = (old, tree)
    return pairs


class _Before:
    """What stood before a run of which no other run says where it came from."""

    def __init__(self, ancestry: Ancestry) -> None:
        self._ancestry = ancestry

    def __call__(self, commit: Any, tree: bytes, *, is_first: bool) -> bytes | None:
        """Return the tree of ``HEAD``, or of the commit before it where nothing was changed."""
        head = self._ancestry.trees.get(commit)
        if head != tree or is_first:
            return head
        parent = self._ancestry.parents.get(commit)
        return None if parent is None else self._ancestry.trees.get(parent)


def _cited(
    memory: Memory, library: Library, methods: Mapping[str, Method]
) -> dict[str, dict[str, str | None]]:
    """Return run id -> slug -> id of the proposal (None: the run itself) that cites it."""
    rows = memory.ask(_CITED)
    if not rows:
        return {}
    slugs = _slugs(methods.values())
    proposals = {proposal.id: proposal for proposal in library.proposals()}
    found: dict[str, dict[str, str | None]] = {}
    for run, path, value in rows:  # a run's own cites first; a proposal says more
        proposal = proposals.get(value) if path == "metadata.proposal" else None
        cites = proposal.cites if proposal else _texts(value) if path == "metadata.cites" else ()
        source = proposal.id if proposal else None
        known = {slugs[cite.casefold()]: source for cite in cites if cite.casefold() in slugs}
        if known and len(cites) <= _MAX_CITED:
            found.setdefault(run, {}).update(known)
    return found


def _slugs(methods: Iterable[Method]) -> dict[str, str]:
    """Return slug, name or alias in small letters -> slug; slugs win, then names."""
    every = list(methods)
    named = {alias.casefold(): method.slug for method in every for alias in method.aliases}
    named |= {method.name.casefold(): method.slug for method in every}
    return named | {method.slug.casefold(): method.slug for method in every}


def _texts(value: object) -> Sequence[str]:
    """Return the texts of a piece of metadata as the index holds it: a text, or a list as JSON."""
    if not isinstance(value, str):
        return []
    try:
        found = json.loads(value) if value.startswith("[") else [value]
    except (ValueError, RecursionError):
        return []
    return [text for text in found if isinstance(text, str)]
