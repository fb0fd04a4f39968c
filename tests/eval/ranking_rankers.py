"""Rankers of ideas that are still to be run: gitexp's, and those that it is compared with.

Each gives an idea a score by the rows before it, higher for what should be tried first; those of
risk are higher for what should go badly. What all of them know of a row is its words, its *family*
(the method of the pack that it names, else the first setting that it changes, else its first word
that means something), and of a past one how it came out.

*LoopGraph.* Its page says that ResearchFS "scores each method by success rate, BPB delta, query
fatigue, and recency"; no formula is published. The four are put into numbers between 0 and 1 here
and added, fatigue subtracted, each with the same weight: the choice that says least.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from gitexp.library.pack import pack
from gitexp.methods.begun import as_words
from gitexp.methods.evidence import FAMILY, NAMED, age_weight
from gitexp.methods.ranking import Belief, Observed, believe, expected_improvement, prior_of
from gitexp.methods.risk import rate_of, risk_of
from gitexp.research.guard.aliases import Aliases
from gitexp.research.guard.structure import from_words
from gitexp.research.guard.text import inverse_frequency, likeness, marked_words, words
from tests.eval.ranking_ledgers import Row

LATEST = 10
_K1, _B = 1.2, 0.75
_ALIASES = Aliases({})


class Idea(NamedTuple):
    """What is known of a row before it is run."""

    words: tuple[str, ...]
    family: str


class Past(NamedTuple):
    """A row that is over."""

    idea: Idea
    effect: float
    won: bool
    bad: bool


def idea_of(text: str) -> Idea:
    """Return a text as an idea."""
    marked = marked_words(text, _ALIASES)
    found = words(marked)
    plain = as_words(text)
    named = next((slug for name, slug in _names() if f" {name} " in plain), None)
    settings = from_words(marked)
    family = named or (settings[0].symbol if settings else next(iter(found), ""))
    return Idea(tuple(found), family)


_NAMES: list[tuple[str, str]] = []


def _names() -> list[tuple[str, str]]:
    """Return the names of the pack's methods as words, the longest first, each with its family."""
    if not _NAMES:
        each = ((as_words(name).strip(), m.family) for m in pack() for name in (m.name, *m.aliases))
        _NAMES.extend(sorted(each, key=lambda pair: -len(pair[0])))
    return _NAMES


@dataclass
class Known:
    """The rows that are over, and what rankers count of them."""

    rows: list[Past] = field(default_factory=list)
    having: Counter[str] = field(default_factory=Counter)
    by_family: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    _like: dict[Idea, list[float]] = field(default_factory=dict)

    def add(self, past: Past) -> None:
        """Take a row that is over."""
        self.by_family[past.idea.family].append(len(self.rows))
        self.rows.append(past)
        self.having.update(set(past.idea.words))
        self._like.clear()

    def weight(self, word: str) -> float:
        """Return the inverse document frequency of a word."""
        return inverse_frequency(len(self.rows), self.having[word])

    def likenesses(self, idea: Idea) -> list[float]:
        """Return how alike the words of each row are to those of an idea."""
        if idea not in self._like:
            self._like[idea] = [
                likeness(idea.words, past.idea.words, self.weight)[0] for past in self.rows
            ]
        return self._like[idea]

    def family(self, idea: Idea) -> list[Past]:
        """Return the rows of an idea's family, in order."""
        return [self.rows[at] for at in self.by_family.get(idea.family, ())]

    def bm25(self, idea: Idea, rows: Sequence[Past]) -> float:
        """Return the greatest BM25 score of an idea's words among some rows."""
        mean = sum(len(past.idea.words) for past in self.rows) / max(1, len(self.rows)) or 1.0
        return max((self._bm25_of(idea, past, mean) for past in rows), default=0.0)

    def _bm25_of(self, idea: Idea, past: Past, mean: float) -> float:
        counts = Counter(past.idea.words)
        length = _K1 * (1 - _B + _B * len(past.idea.words) / mean)
        found = (word for word in set(idea.words) if counts[word])
        return sum(self.weight(w) * counts[w] * (_K1 + 1) / (counts[w] + length) for w in found)


Ranker = Callable[[Known, Idea], float]


def at_random(known: Known, idea: Idea) -> float:
    """Return any number."""
    return random.Random(f"{len(known.rows)} {idea}").random()


def recency(known: Known, idea: Idea) -> float:
    """Return more for a family that was tried lately."""
    at = known.by_family.get(idea.family)
    return 1 / (len(known.rows) - at[-1]) if at else 0.0


def bm25_of_wins(known: Known, idea: Idea) -> float:
    """Return how much an idea is like one that won."""
    return known.bm25(idea, [past for past in known.rows if past.won])


def bm25_of_bad(known: Known, idea: Idea) -> float:
    """Return how much an idea is like one that went badly."""
    return known.bm25(idea, [past for past in known.rows if past.bad])


def success_rate(known: Known, idea: Idea) -> float:
    """Return the share of wins in the family; of all rows where it is new."""
    found = known.family(idea) or known.rows
    return sum(past.won for past in found) / max(1, len(found))


def loopgraph(known: Known, idea: Idea) -> float:
    """Return success rate, delta and recency, less fatigue; see the module."""
    found = known.family(idea)
    if not found:
        return 0.0
    won = sum(past.won for past in found) / len(found)
    delta = sum(past.effect for past in found) / len(found)
    fatigue = 0
    for past in reversed(found):
        if past.won:
            break
        fatigue += 1
    return won + (delta + 3) / 6 + recency(known, idea) - min(fatigue, 10) / 10


def ucb1(known: Known, idea: Idea) -> float:
    """Return UCB1 of the family (Auer, Cesa-Bianchi and Fischer 2002); a new one comes first."""
    found = known.family(idea)
    if not found:
        return math.inf
    won = sum(past.won for past in found) / len(found)
    return won + math.sqrt(2 * math.log(max(2, len(known.rows))) / len(found))


def beta(known: Known, idea: Idea) -> float:
    """Return the posterior mean of the family's rate of wins under Beta(1, 1)."""
    found = known.family(idea)
    return (sum(past.won for past in found) + 1) / (len(found) + 2)


def beta_bad(known: Known, idea: Idea) -> float:
    """Return the posterior mean of the family's rate of bad rows under Beta(1, 1)."""
    found = known.family(idea)
    return (sum(past.bad for past in found) + 1) / (len(found) + 2)


def lately_bad(known: Known, idea: Idea) -> float:
    """Return the share of bad rows among the latest: says when, not what."""
    latest = known.rows[-LATEST:]
    return sum(past.bad for past in latest) / max(1, len(latest))


def _weights(known: Known, idea: Idea) -> list[float]:
    """Return what each row counts for an idea, as in `gitexp.methods.project`."""
    count = len(known.rows)
    return [
        max(FAMILY * (past.idea.family == idea.family), NAMED * like) * age_weight(count - 1 - at)
        for at, (past, like) in enumerate(zip(known.rows, known.likenesses(idea), strict=True))
    ]


def belief(known: Known, idea: Idea) -> Belief:
    """Return gitexp's posterior of the effect of an idea."""
    groups = [[known.rows[at].effect for at in found] for found in known.by_family.values()]
    weights = _weights(known, idea)
    observed = map(Observed, (past.effect for past in known.rows), weights)
    return believe(prior_of(groups), observed)


def value(known: Known, idea: Idea) -> float:
    """Return gitexp's expected improvement."""
    found = belief(known, idea)
    return expected_improvement(found.mean, found.sd)


def mean(known: Known, idea: Idea) -> float:
    """Return gitexp's posterior mean."""
    return belief(known, idea).mean


def _rate(known: Known) -> float:
    count = len(known.rows)
    return rate_of((past.bad, age_weight(count - 1 - at)) for at, past in enumerate(known.rows))


def risk(known: Known, idea: Idea) -> float:
    """Return gitexp's risk."""
    weights = _weights(known, idea)
    return risk_of(zip((past.bad for past in known.rows), weights, strict=True), _rate(known))


def risk_over_rate(known: Known, idea: Idea) -> float:
    """Return gitexp's risk less the project's rate: what it says of the idea, not the moment."""
    return risk(known, idea) - _rate(known)


def not_risk(known: Known, idea: Idea) -> float:
    """Return gitexp's risk turned round."""
    return -risk(known, idea)


WINNERS: dict[str, Ranker] = {
    "random": at_random,
    "recency": recency,
    "BM25 to past wins": bm25_of_wins,
    "success rate": success_rate,
    "LoopGraph": loopgraph,
    "UCB1": ucb1,
    "Beta by family": beta,
    "gitexp value": value,
    "gitexp mean": mean,
    "gitexp risk, turned round": not_risk,
}
RISKS: dict[str, Ranker] = {
    "random": at_random,
    "share of the latest ten": lately_bad,
    "BM25 to past bad runs": bm25_of_bad,
    "Beta by family": beta_bad,
    "gitexp risk": risk,
    "gitexp risk less the project's rate": risk_over_rate,
}


def past_of(row: Row, idea: Idea) -> Past | None:
    """Return a row that is over as rankers know it; None where it has no effect."""
    if row.effect is None:
        return None
    return Past(idea, row.effect, bool(row.won), bool(row.bad))
