"""What a project's runs say of every method, read once: the evidence behind a ranking.

A run counts for a method by the best of: it is credited to it; its own words, said before it ran,
name it; it is of the family of something that the run is credited to. That match is multiplied by
what the run weighs otherwise: another program than the champion's counts less, an old run less
than a late one, and a gain of the size of the noise less than a clear one.
"""

from __future__ import annotations

import functools
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from gitexp.errors import GitexpError, UsageError
from gitexp.git.read import resolve_tree
from gitexp.library.library import Library
from gitexp.memory import Memory
from gitexp.methods import attribution
from gitexp.methods.additions import NOTHING as NO_TREE
from gitexp.methods.additions import Additions, Progress
from gitexp.methods.attribution import Credit
from gitexp.methods.begun import NOTHING, Begun, as_words, read_begun
from gitexp.methods.evidence import (
    CREDITED,
    FAMILY,
    NAMED,
    OTHER_PROGRAM,
    Evidence,
    Trial,
    age_weight,
    fatigue,
    trials,
)
from gitexp.methods.ranking import Observed, Prior, believe, prior_of
from gitexp.methods.risk import is_bad, rate_of, risk_of
from gitexp.records.library import Method
from gitexp.research.belief.posterior import fit
from gitexp.research.crashes import signature
from gitexp.research.goal import GoalMetric, goal_metric
from gitexp.research.observations import Observation, observe

PACK_RUNS = 2.0
"""Runs without an effect that it is worth to a method to be described by a paper: elsewhere it
helped, here changes are as a rule worse than what they change."""
OWN_COST = 1.0
"""Runs of the project's median cost that are put to those of a method."""
_CRASHES = 500
"""Crashes whose own reports are looked at: the latest."""
_NO_GOAL = GoalMetric("", True, "best", None, "runs")


class Assessment(NamedTuple):
    """What past runs say of a method.

    Attributes:
        evidence: The posterior of its effect.
        cost: Expected duration of a run of it, in units of the project's median.
        fatigue: Runs of it in a row that did not improve the same base.
        risk: Probability of a crash or a big loss.
        runs: Ids of the runs that are credited to it, the latest first, with an effect or without.
    """

    evidence: Evidence
    cost: float
    fatigue: int
    risk: float
    runs: tuple[str, ...]


class Project:
    """The runs of a repository, as evidence for methods.

    Attributes:
        methods: By slug.
        trials: Runs with an effect, in the order of their starts.
        prior: Of effects, before a method has any run.
        rate: How often a run crashes or loses much, lately.
        in_use: Slug -> words of its signature that stand in the champion's code; without a
            champion, in that of HEAD.
        symbols: Of the knobs of all methods, those that stand in that code.
    """

    def __init__(
        self,
        memory: Memory,
        library: Library,
        cache: sqlite3.Connection,
        progress: Progress | None = None,
    ) -> None:
        """Read it.

        Args:
            memory: Whose runs.
            library: Methods and proposals.
            cache: ``research.sqlite``.
            progress: Told how many changes are read, where some are new.

        Raises:
            UsageError: A setting cannot be understood.
        """
        self.methods: Mapping[str, Method] = library.methods()
        goal = _goal(memory)
        observations = observe(memory, goal or _NO_GOAL, cache)
        self._runs = len(observations)
        self._place = {run.run.hex(): place for place, run in enumerate(observations)}
        self._begun = read_begun(memory, cache)
        credited = attribution.credits(memory, library, cache, observations, progress=progress)
        self._credits = self._said_before(credited, library)
        self.trials: list[Trial] = []
        champion = None
        if goal is not None:
            posterior = fit(observations, goal)
            champion = posterior.champion_run
            faults = _own_faults(memory, observations)
            self.trials = trials(observations, goal, posterior.noise.sd, faults.__contains__)
        self._program = NOTHING.program if champion is None else self._of(champion).program
        self._trial_of = {trial.run: place for place, trial in enumerate(self.trials)}
        self._weights = list(map(self._weight, self.trials))
        self.prior: Prior = prior_of(self._groups())
        self.rate = rate_of(
            (is_bad(each.effect), age_weight(self._runs - 1 - each.order)) for each in self.trials
        )
        tree = resolve_tree(memory.repository, "HEAD" if champion is None else champion.hex())
        self.in_use = {} if tree is None else attribution.methods_in(memory, library, cache, tree)
        self.symbols = frozenset() if tree is None else self._symbols_in(memory, cache, tree)
        self._assess = functools.lru_cache(maxsize=None)(self._assessed)

    def assess(self, slug: str) -> Assessment:
        """Return what past runs say of a method; it is worked out once."""
        return self._assess(slug)

    def family_runs(self, family: str) -> int:
        """Return how many runs tried a family: by their credits, or by their own word."""
        return len(self._by_family.get(family, ()))

    def _said_before(
        self, credited: Mapping[str, Sequence[Credit]], library: Library
    ) -> dict[str, tuple[Credit, ...]]:
        """Return credits without those that were given when the result may have been known.

        What a run cites counts where its ``run`` line says so, and its proposal where that line
        names it and the proposal was last written before the run began.
        """
        written = {proposal.id: proposal.time for proposal in library.proposals()}
        kept: dict[str, tuple[Credit, ...]] = {}
        for run, each in credited.items():
            begun = self._of(bytes.fromhex(run))
            own = tuple(credit for credit in each if self._was_said(credit, begun, written))
            if own:
                kept[run] = own
        return kept

    def _was_said(self, credit: Credit, begun: Begun, written: Mapping[str, str]) -> bool:
        if credit.words:
            return True
        if credit.proposal is not None:
            named = credit.proposal == begun.proposal
            return named and written.get(credit.proposal, "9") <= begun.time
        method = self.methods.get(credit.method)
        names = () if method is None else (method.slug, method.name, *method.aliases)
        return not set(begun.cites.split("\n")).isdisjoint(map(str.casefold, names))

    def _of(self, run: bytes) -> Begun:
        return self._begun.get(run, NOTHING)

    def _credited(self, run: bytes) -> tuple[Credit, ...]:
        return self._credits.get(run.hex(), ())

    @functools.cached_property
    def _by_method(self) -> dict[str, list[str]]:
        """Slug -> ids of the runs that are credited to it, in the order of their starts."""
        found: dict[str, list[str]] = defaultdict(list)
        for run in sorted(self._credits, key=lambda run: self._place.get(run, -1)):
            for credit in self._credits[run]:
                found[credit.method].append(run)
        return found

    @functools.cached_property
    def _by_family(self) -> dict[str, set[bytes]]:
        """Family -> the runs of it: by what they are credited to, or by their own word."""
        found: dict[str, set[bytes]] = defaultdict(set)
        for run, each in self._credits.items():
            for credit in each:
                if credit.method in self.methods:
                    found[self.methods[credit.method].family].add(bytes.fromhex(run))
        families = {method.family for method in self.methods.values()}
        for run_id, begun in self._begun.items():
            if begun.family in families:
                found[begun.family].add(run_id)
        return found

    def _weight(self, trial: Trial) -> float:
        """Return what a run weighs, whatever it is for."""
        program = self._of(trial.run).program
        is_other = None not in (program, self._program) and program != self._program
        scope = OTHER_PROGRAM if is_other else 1.0
        return scope * age_weight(self._runs - 1 - trial.order) * trial.trust

    def _groups(self) -> list[list[float]]:
        """Return the effects, those of the same method or family together, each once."""
        groups: dict[str | bytes, list[float]] = defaultdict(list)
        for trial in self.trials:
            credited = [credit.method for credit in self._credited(trial.run)]
            alone = self._of(trial.run).family or trial.run
            groups[min(credited) if credited else alone].append(trial.effect)
        return list(groups.values())

    def _matches(self, method: Method) -> Iterator[tuple[Trial, float]]:
        """Yield the runs that count for a method, in order, with their weights."""
        share = dict.fromkeys(self._by_family.get(method.family, ()), FAMILY)
        share |= dict.fromkeys(self._named(method), NAMED)
        credited = self._by_method.get(method.slug, ())
        share |= dict.fromkeys(map(bytes.fromhex, credited), CREDITED)
        places = sorted(self._trial_of[run] for run in share if run in self._trial_of)
        for place in places:
            trial = self.trials[place]
            yield trial, share[trial.run] * self._weights[place]

    def _named(self, method: Method) -> set[bytes]:
        """Return the runs whose own words name a method."""
        phrases = [as_words(name) for name in (method.slug, method.name, *method.aliases)]
        found: set[bytes] = set()
        for phrase in phrases:
            rarest = min((self._having.get(w, []) for w in phrase.split()), key=len, default=[])
            found.update(run for run in rarest if phrase in self._begun[run].words)
        return found

    @functools.cached_property
    def _having(self) -> dict[str, list[bytes]]:
        """Word of a method's name -> the runs whose own words have it."""
        names = (name for m in self.methods.values() for name in (m.slug, m.name, *m.aliases))
        wanted = {word for name in names for word in as_words(name).split()}
        found: dict[str, list[bytes]] = defaultdict(list)
        for trial in self.trials:
            for word in wanted.intersection(self._of(trial.run).words.split()):
                found[word].append(trial.run)
        return found

    def _assessed(self, slug: str) -> Assessment:
        method = self.methods[slug]
        matches = list(self._matches(method))
        observed = [Observed(trial.effect, weight) for trial, weight in matches]
        pack = [Observed(0.0, PACK_RUNS)] if method.references else []
        belief = believe(self.prior, [*observed, *pack])
        runs = tuple(reversed(self._by_method.get(slug, ())))
        credited = set(map(bytes.fromhex, runs))
        own = [trial for trial, _ in matches if trial.run in credited]
        weight = sum(each.weight for each in observed)
        cost = (OWN_COST + sum(trial.cost for trial in own)) / (OWN_COST + len(own))
        return Assessment(
            Evidence(belief.mean, belief.sd, len(runs), weight),
            cost,
            fatigue(reversed(own)),
            risk_of(((is_bad(trial.effect), each) for trial, each in matches), self.rate),
            runs,
        )

    def _symbols_in(self, memory: Memory, cache: sqlite3.Connection, tree: str) -> frozenset[str]:
        """Return the symbols of knobs that stand in the code of a tree."""
        additions = Additions(memory.repository, cache)
        pair = (NO_TREE, bytes.fromhex(tree))
        number = additions.extend([pair]).get(pair, 0)
        symbols = {knob.symbol for method in self.methods.values() for knob in method.knobs}
        words = {symbol: symbol.rpartition(".")[2].lower() for symbol in symbols}
        there = additions.with_words(words.values()).get(number, {})
        return frozenset(symbol for symbol, word in words.items() if word in there)


def _goal(memory: Memory) -> GoalMetric | None:
    """Return what runs are judged by; None where no run has a metric, or none the one set."""
    try:
        return goal_metric(memory)
    except UsageError:
        raise
    except GitexpError:
        return None


def _own_faults(memory: Memory, observations: list[Observation]) -> set[bytes]:
    """Return the runs that crashed by the fault of their own code."""
    crashed = [run.run.hex() for run in observations if run.ended and run.crashed][-_CRASHES:]
    found = memory.search(among=crashed) if crashed else []
    return {
        bytes.fromhex(each.document["run"]) for each in found if signature(each.document).own_fault
    }
