"""Methods by relevance and evidence: search with a query, and what to try next without one.

Ranks are fused, not scores, so that no scale has to be weighed against another; each term is in
`Suggestion.terms`. Fatigue and risk are shown and are no terms of a rank. What ranks a method are
its own texts, passages of its papers, and the effects of past runs; of the texts of runs only those
from before they ran count (`gitexp.methods.begun`).
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from gitexp.errors import UsageError
from gitexp.library.library import Library, Passage, new_id
from gitexp.memory import Memory
from gitexp.methods.additions import Progress
from gitexp.methods.begun import as_words
from gitexp.methods.project import Assessment, Project
from gitexp.methods.ranking import Belief, draws, expected_improvement, fused, ranks
from gitexp.methods.suggestion import (
    ADVISORY,
    Suggestion,
    Term,
    commands_for,
    evidence_said,
    fatigue_said,
    methods_section,
    risk_said,
)
from gitexp.records.library import Method, Retrieval, Shown
from gitexp.research.cache import with_cache
from gitexp.research.overview.brief import quoted

__all__ = [
    "ADVISORY",
    "RANKER",
    "Methods",
    "Suggestion",
    "Term",
    "methods_section",
    "remember",
]

RANKER = "gitexp 1"
"""What retrievals name; it changes with anything that changes an order."""

_CANDIDATES = 50
_PASSAGES = 20
_BY_PASSAGE = 0.5
"""What the best passage counts beside the best match of a method's own texts."""
_RELEVANT = 0.25
"""Of the most relevant method's relevance: what has less is no candidate."""
_SHOWN_PASSAGES = 3
_LISTED = 5
_MAX_QUERY = 1_000
_FOR_SUPERSEDED, _FOR_FAMILY, _FOR_SYMBOL, _FOR_SUCCESSOR = 2.0, 1.0, 1.0, -3.0
_FIT_NOTE = "replaces what is in use 2, its family is in use 1, its knob 1, what replaces it -3"


_NAMED, _OTHER, _IN_USE = 0, 1, 2
"""What comes before any score: methods that the query names, then others, then those in use."""


class _Candidate(NamedTuple):
    """A method that may be suggested.

    Attributes:
        tier: `_NAMED`, `_OTHER` or `_IN_USE`.
        terms: What its relevance is made of; `why` says it in sentences.
    """

    method: Method
    tier: int
    relevance: float
    terms: tuple[Term, ...]
    why: tuple[str, ...]
    passages: tuple[Passage, ...] = ()


class Methods:
    """The methods of a library, ranked for a repository: open once, ask often.

    Runs, credits and methods are those of when it was opened; open another one for later ones.
    """

    def __init__(
        self,
        memory: Memory,
        library: Library,
        cache: sqlite3.Connection | None = None,
        progress: Progress | None = None,
    ) -> None:
        """Read runs, credits and methods.

        Args:
            memory: Whose runs.
            library: Of the same repository.
            cache: ``research.sqlite``, where the caller has it open.
            progress: Told how many changes are read, where some are new.

        Raises:
            UsageError: A setting cannot be understood.
        """
        self._library = library

        def read(opened: sqlite3.Connection) -> Project:
            return Project(memory, library, opened, progress)

        self._project = with_cache(memory.repository, read) if cache is None else read(cache)
        self._described = _described(self._project.methods.values())
        self._names: dict[str, set[str]] = defaultdict(set)
        for slug, method in self._project.methods.items():
            for name in (slug, method.name, *method.aliases):
                self._names[as_words(name)].add(slug)

    def search(
        self,
        query: str,
        *,
        limit: int = 10,
        explore: int | None = None,
        max_risk: float | None = None,
    ) -> list[Suggestion]:
        """Return the methods that fit a query, the best first.

        A method that the query names comes first. The others are those whose relevance is at least
        a quarter of the best one's, by the fused ranks of relevance and value.

        Args:
            query: Words, names or identifiers; at most 1,000 characters are looked at.
            limit: At most so many.
            explore: Seed of a Thompson draw that takes the place of the expected improvement.
            max_risk: Leave out what is riskier, 0 to 1.

        Raises:
            UsageError: A number is out of range, or the query has no words.
        """
        _require(limit, max_risk)
        asked = query[:_MAX_QUERY]
        if not as_words(asked).strip():
            raise UsageError("The query has no words.", "Say what to look for, such as: attention")
        found = self._relevant(asked)
        return self._ranked(found, [_by_relevance], limit, explore, max_risk)

    def next(
        self, *, limit: int = 5, explore: int | None = None, max_risk: float | None = None
    ) -> list[Suggestion]:
        """Return what to try next without a query, the best first; what is in use comes last.

        Ranked by how well a method fits the champion's code (it is meant to replace something that
        is in use, or is of its family, or turns a knob that is there), by how few runs tried its
        family, and by its value, fused. The best of each family come before any second ones.

        Args:
            limit: At most so many.
            explore: See `search`.
            max_risk: See `search`.

        Raises:
            UsageError: A number is out of range.
        """
        _require(limit, max_risk)
        found = [self._fit(method) for method in self._project.methods.values()]
        count = max(1, len(found))
        ranked = self._ranked(found, [_by_relevance, self._by_gap], count, explore, max_risk)
        return _one_of_each_family(ranked)[:limit]

    def _relevant(self, query: str) -> list[_Candidate]:
        """Return the methods that fit a query well enough."""
        matches = self._library.search_methods(query, _CANDIDATES)
        passages = self._library.search_passages(query, _PASSAGES)
        cited = _passages_by_method(self._described, passages)
        best = matches[0].score if matches else 1.0
        best_passage = passages[0].score if passages else 1.0
        matched = {match.slug: match for match in matches}
        named = self._names.get(as_words(query), set())
        candidates = []
        for slug in dict.fromkeys([*matched, *cited]):
            method, match = self._project.methods.get(slug), matched.get(slug)
            if method is None:
                continue
            own = 0.0 if match is None else match.score / best
            found = cited.get(slug, ())
            by_passage = _BY_PASSAGE * found[0].score / best_passage if found else 0.0
            words = () if match is None else match.words
            tier = _NAMED if slug in named else _OTHER
            candidates.append(_found(method, tier, (own, by_passage), words, found))
        least = _RELEVANT * max((each.relevance for each in candidates), default=0.0)
        return [each for each in candidates if each.relevance >= least or each.tier == _NAMED]

    def _fit(self, method: Method) -> _Candidate:
        """Return a method with how well it fits the champion's code."""
        project = self._project
        others = [project.methods[slug] for slug in project.in_use if slug != method.slug]
        replaced = sorted(other.slug for other in others if other.slug in method.supersedes)
        successors = sorted(other.slug for other in others if method.slug in other.supersedes)
        family = sorted(other.slug for other in others if other.family == method.family)
        symbols = sorted({knob.symbol for knob in method.knobs} & project.symbols)
        parts = (
            (_FOR_SUPERSEDED, replaced, "It is meant to take the place of {}, which is in use."),
            (_FOR_FAMILY, family, "Of its family {} is in use."),
            (_FOR_SYMBOL, symbols, "Its knob {} stands in the code."),
            (_FOR_SUCCESSOR, successors, "{} is in use, which is meant to take its place."),
        )
        why = [said.format(_listed(names)) for _, names, said in parts if names]
        tried = project.family_runs(method.family)
        why.append(
            f"{tried} run{' was' if tried == 1 else 's were'} of its family."
            if tried
            else "No run tried its family yet."
        )
        fit = sum(weight for weight, names, _ in parts if names)
        terms = (
            Term("fit", fit, _FIT_NOTE),
            Term("family runs", tried, "runs that tried its family; fewer rank higher"),
        )
        tier = _IN_USE if method.slug in project.in_use else _OTHER
        return _Candidate(method, tier, fit, terms, tuple(why))

    def _by_gap(self, candidates: Sequence[_Candidate]) -> list[float]:
        return [-float(self._project.family_runs(each.method.family)) for each in candidates]

    def _ranked(
        self,
        candidates: Sequence[_Candidate],
        criteria: Sequence[Callable[[Sequence[_Candidate]], list[float]]],
        limit: int,
        explore: int | None,
        max_risk: float | None,
    ) -> list[Suggestion]:
        """Return the best candidates, tier by tier, by criteria and value."""
        found = sorted(candidates, key=lambda each: each.method.slug)
        assessed = [self._project.assess(each.method.slug) for each in found]
        values = _values(assessed, explore)
        rankings = [ranks(scores(found)) for scores in criteria] + [ranks(values)]
        scores = fused(rankings)
        order = sorted(range(len(found)), key=lambda at: (found[at].tier, -scores[at], at))
        allowed = [at for at in order if max_risk is None or assessed[at].risk <= max_risk]
        return [
            self._suggestion(found[at], assessed[at], rank, scores[at], values[at])
            for rank, at in enumerate(allowed[:limit], 1)
        ]

    def _suggestion(
        self,
        candidate: _Candidate,
        assessed: Assessment,
        rank: int,
        score: float,
        value: float,
    ) -> Suggestion:
        method = candidate.method
        used = method.slug in self._project.in_use
        said = [
            *candidate.why,
            "The code that is best so far has it already." if used else None,
            evidence_said(assessed.evidence),
            f"{risk_said(assessed.risk).capitalize()}.",
            fatigue_said(assessed.fatigue),
        ]
        return Suggestion(
            method,
            rank,
            score,
            candidate.relevance,
            assessed.evidence,
            value,
            assessed.fatigue,
            assessed.risk,
            (*candidate.terms, *_terms(assessed, self._project.rate, score, value)),
            candidate.passages[:_SHOWN_PASSAGES],
            assessed.runs,
            used,
            tuple(sentence for sentence in said if sentence),
            commands_for(method),
        )


def _one_of_each_family(ranked: Sequence[Suggestion]) -> list[Suggestion]:
    """Return suggestions with the first of each family first, then the second ones, and so on."""
    met: Counter[tuple[bool, str]] = Counter()
    turns = []
    for each in ranked:
        turns.append((each.in_use, met[each.in_use, each.method.family]))
        met[each.in_use, each.method.family] += 1
    order = sorted(range(len(ranked)), key=lambda at: turns[at])
    return [ranked[at]._replace(rank=rank) for rank, at in enumerate(order, 1)]


def _by_relevance(candidates: Sequence[_Candidate]) -> list[float]:
    return [each.relevance for each in candidates]


def _values(assessed: Sequence[Assessment], explore: int | None) -> list[float]:
    """Return the value of each: expected improvement or a draw, per cost."""
    evidence = [each.evidence for each in assessed]
    if explore is None:
        effects = [expected_improvement(each.mean, each.sd) for each in evidence]
    else:
        beliefs = [Belief(each.mean, each.sd, each.weight) for each in evidence]
        effects = draws(beliefs, explore)
    return [effect / each.cost for effect, each in zip(effects, assessed, strict=True)]


def _found(
    method: Method,
    tier: int,
    parts: tuple[float, float],
    words: Sequence[str],
    passages: tuple[Passage, ...],
) -> _Candidate:
    """Return a method that a query found.

    Args:
        method: Which.
        tier: `_NAMED` or `_OTHER`.
        parts: Relevance by the method's own texts, and by passages.
        words: Of the query, that its own texts have.
        passages: Of its papers, that the query found.
    """
    why = ["The query is its name."] if tier == _NAMED else []
    if words and tier != _NAMED:
        why.append(f"It has {_listed(words)}.")
    if passages:
        many = len(passages) > 1
        why.append(
            f"{len(passages)} passage{'s' if many else ''} of its papers fit{'' if many else 's'}."
        )
    terms = (
        Term("own texts", parts[0], "BM25 of names, summary and signature, of the best match's"),
        Term("passages", parts[1], "half of BM25 of its papers' best passage, of the best one's"),
    )
    return _Candidate(method, tier, sum(parts), terms, tuple(why), passages)


def _described(methods: Iterable[Method]) -> dict[str, list[str]]:
    """Return what references name, chunks or else papers -> slugs of the methods they are of."""
    found: dict[str, list[str]] = defaultdict(list)
    for method in methods:
        for each in method.references:
            for place in each.chunks or ((each.paper,) if each.paper else ()):
                found[place].append(method.slug)
    return found


def _passages_by_method(
    described: Mapping[str, Sequence[str]], passages: Sequence[Passage]
) -> dict[str, tuple[Passage, ...]]:
    """Return slug -> the passages that describe the method, in their order."""
    found: dict[str, dict[Passage, None]] = {}
    for passage in passages:
        for place in (passage.chunk.id, passage.chunk.paper):
            for slug in described.get(place, ()):
                found.setdefault(slug, {})[passage] = None
    return {slug: tuple(own) for slug, own in found.items()}


def _terms(assessed: Assessment, rate: float, score: float, value: float) -> tuple[Term, ...]:
    evidence = assessed.evidence
    return (
        Term("effect", evidence.mean, "posterior mean, in units of the project's spread"),
        Term("sd", evidence.sd, "of the effect"),
        Term("runs", evidence.runs, "credited to it"),
        Term("weight", evidence.weight, "of all runs that count for it, also of those only alike"),
        Term("cost", assessed.cost, "duration of its runs, in units of the project's median"),
        Term("value", value, "expected improvement, or a draw where exploring, per cost"),
        Term("score", score, "sum of 1 / (60 + rank) by relevance and value"),
        Term("fatigue", assessed.fatigue, "runs in a row without improvement; not ranked by"),
        Term("risk", assessed.risk, "of a crash or a big loss; not ranked by"),
        Term("project risk", rate, "what risk is drawn towards"),
    )


def _listed(names: Sequence[str]) -> str:
    """Return names that others gave, as data in quotes."""
    return ", ".join(quoted(name) for name in names[:_LISTED])


def _require(limit: int, max_risk: float | None) -> None:
    if limit < 1:
        raise UsageError("The limit must be 1 or more.")
    if max_risk is not None and not 0 <= max_risk <= 1:
        raise UsageError(f"The greatest risk is a probability, not {max_risk:g}.", "Use 0 to 1.")


def remember(
    library: Library,
    query: str,
    suggestions: Sequence[Suggestion],
    *,
    session: str | None = None,
    run: str | None = None,
) -> Retrieval:
    """Write what was looked up and shown to the library, and return its line.

    Args:
        library: Where to.
        query: As it was asked; empty for `Methods.next`.
        suggestions: What was shown, in order.
        session: Of a loop, whose prompt shows them.
        run: Within which it was asked.

    Raises:
        GitexpError: It could not be written, as in a repository that is read-only.
    """
    time, by = library.stamp()
    shown = tuple(Shown(each.method.slug, each.score) for each in suggestions)
    line = Retrieval(
        time=time,
        by=by,
        id=new_id(),
        query=query[:_MAX_QUERY],
        ranker=RANKER,
        shown=shown,
        session=session,
        run=run,
    )
    library.add([line])
    return line
