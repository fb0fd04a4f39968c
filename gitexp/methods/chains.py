"""The chain of a claim: method, paper and section, retrieval, proposal, run, observation.

Each claim about a method is shown with as much of its chain as there is. A chain is data first;
`chain_lines` makes lines of it, in which the words of papers and people stand in quotes.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from gitexp.errors import GitexpError
from gitexp.library.library import Library
from gitexp.memory import Memory
from gitexp.methods import attribution
from gitexp.methods.attribution import Credit
from gitexp.records.library import Chunk, Method, Proposal, Reference, Retrieval
from gitexp.records.times import format_time
from gitexp.render.text import number, safe, short
from gitexp.research.belief.history import History, has_value
from gitexp.research.goal import GoalMetric, goal_metric
from gitexp.research.observations import observe
from gitexp.research.overview.brief import quoted

_RUNS = "SELECT lower(hex(id)), name, started, status, verdict, action FROM run"
_PASSAGES_SHOWN = 2
_LOOKUPS_SHOWN = 3
_OLD_ARXIV = re.compile(r"([a-z-]+(?:\.[A-Z]{2})?)-(\d{7})")
"""An id of before 2007 as the library has it, with ``-`` for the ``/``."""


class Source(NamedTuple):
    """Where a method is described.

    Attributes:
        reference: As the method has it.
        passages: Those of its chunks that the library has.
    """

    reference: Reference
    passages: tuple[Chunk, ...]


class Lookup(NamedTuple):
    """A retrieval that showed a method, or a passage of it.

    Attributes:
        retrieval: What was asked.
        rank: The best place of the method or of a passage in what was shown, from 1.
    """

    retrieval: Retrieval
    rank: int


class Outcome(NamedTuple):
    """What came of a run.

    Attributes:
        run: Its id, 40 hexadecimal digits.
        started: Microseconds since 1970.
        value: Of the goal metric; None without a finite one.
        gain: By how much that is better than the mean of its base; None where either is missing.
        verdict: By a person.
        decision: The action of its latest decision.
    """

    run: str
    name: str
    started: int
    status: str
    value: float | None
    gain: float | None
    verdict: str | None
    decision: str | None


class Chain(NamedTuple):
    """A claim that a run put a method to work, as far as it can be followed.

    Attributes:
        credit: Why the run is credited.
        method: None where the library has it no more.
        lookups: Retrievals that led to the proposal, or were made for the run, and showed it.
        outcome: None where the run is not known here.
    """

    credit: Credit
    method: Method | None
    sources: tuple[Source, ...]
    lookups: tuple[Lookup, ...]
    proposal: Proposal | None
    outcome: Outcome | None


class Outcomes:
    """What came of runs.

    Attributes:
        goal: What they are judged by; None where no run has a metric.
        observed: All runs, in the order of their starts.
    """

    def __init__(self, memory: Memory, cache: sqlite3.Connection) -> None:
        """Observe all runs; they are judged when somebody asks.

        Args:
            memory: Whose.
            cache: ``research.sqlite``.

        Raises:
            UsageError: A setting cannot be understood.
        """
        self._memory = memory
        self.goal = _goal(memory)
        self.observed = None if self.goal is None else observe(memory, self.goal, cache)

    @functools.cached_property
    def _rows(self) -> dict[str, tuple[Any, ...]]:
        return {row[0]: row for row in self._memory.ask(_RUNS)}

    @functools.cached_property
    def _judged(self) -> dict[str, tuple[float, float | None]]:
        """Id of a run -> its value and its gain, of the runs with a value."""
        if self.goal is None or self.observed is None:
            return {}
        history = History(self.observed, lower=self.goal.lower)
        judged: dict[str, tuple[float, float | None]] = {}
        for seen in self.observed:
            if seen.value is None:
                continue
            base, gain = history.bases.get(seen.configuration), None
            if has_value(seen) and base in history.means and base != seen.configuration:
                gain = self.goal.gain(seen.value, history.means[base])
            judged[seen.run.hex()] = (seen.value, gain)
        return judged

    def of(self, run: str) -> Outcome | None:
        """Return what came of a run (its id); None where it is not known here."""
        row = self._rows.get(run)
        if row is None:
            return None
        _, name, started, status, verdict, decision = row
        value, gain = self._judged.get(run, (None, None))
        return Outcome(run, name, started, status, value, gain, verdict, decision)


def _goal(memory: Memory) -> GoalMetric | None:
    try:
        return goal_metric(memory)
    except GitexpError as error:
        if type(error) is not GitexpError:
            raise
        return None  # no run has a metric yet


class Use(NamedTuple):
    """A credit, and what came of its run.

    Attributes:
        credit: Why the run is credited.
        outcome: None where the run is not known here.
    """

    credit: Credit
    outcome: Outcome | None


def uses(
    outcomes: Outcomes,
    found: Mapping[str, Sequence[Credit]],
    method: Method | None = None,
) -> list[Use]:
    """Return credits with what came of their runs, the latest run first.

    Args:
        outcomes: Of the runs.
        found: Run id -> its credits.
        method: Only credits to this one; to all by default.
    """
    wanted = [
        Use(credit, outcomes.of(run))
        for run, each in found.items()
        for credit in each
        if method is None or credit.method == method.slug
    ]
    return sorted(wanted, key=_latest_first)


def _latest_first(use: Use) -> tuple[int, str, str]:
    started = 0 if use.outcome is None else use.outcome.started
    return -started, use.credit.run, use.credit.method


def run_chains(
    memory: Memory, library: Library, cache: sqlite3.Connection, run: str
) -> list[Chain]:
    """Return the chains of a run's credits, by slug: what ``git exp show RUN`` names.

    Only the change of this run is read where it is not remembered.

    Args:
        memory: Whose run.
        library: Methods, papers and events.
        cache: ``research.sqlite``.
        run: Its id, 40 hexadecimal digits.
    """
    outcomes = Outcomes(memory, cache)
    observed = outcomes.observed
    found = attribution.credits(memory, library, cache, observed, only=[run])
    return [chain(library, credit, outcomes.of(run)) for credit in found.get(run, ())]


def chain(library: Library, credit: Credit, outcome: Outcome | None) -> Chain:
    """Return the chain of a credit."""
    method = library.methods().get(credit.method)
    proposal = None if credit.proposal is None else library.proposal(credit.proposal)
    return Chain(
        credit,
        method,
        () if method is None else sources(library, method),
        tuple(_lookups(library, credit, method, proposal)),
        proposal,
        outcome,
    )


def sources(library: Library, method: Method) -> tuple[Source, ...]:
    """Return where a method is described, with the passages that the library has."""
    return tuple(
        Source(reference, tuple(_passages(library, reference))) for reference in method.references
    )


def _passages(library: Library, reference: Reference) -> Iterable[Chunk]:
    wanted = frozenset(reference.chunks)
    papers = {chunk_id.rpartition(".")[0] for chunk_id in wanted}
    return (chunk for p in sorted(papers) for chunk in library.chunks(p) if chunk.id in wanted)


def _lookups(
    library: Library, credit: Credit, method: Method | None, proposal: Proposal | None
) -> Iterable[Lookup]:
    named = frozenset(() if proposal is None else proposal.retrievals)
    shows = {credit.method}
    shows.update(chunk for ref in (method.references if method else ()) for chunk in ref.chunks)
    for retrieval in library.retrievals():
        if retrieval.id in named or retrieval.run == credit.run:
            rank = _rank(retrieval, shows)
            if rank is not None:
                yield Lookup(retrieval, rank)


def _rank(retrieval: Retrieval, ids: Collection[str]) -> int | None:
    places = (place for place, shown in enumerate(retrieval.shown, 1) if shown.id in ids)
    return next(places, None)


def chain_data(found: Chain) -> dict[str, Any]:
    """Return a chain as JSON types (docs/reference/json.md, "A chain")."""
    credit, method, proposal, outcome = found.credit, found.method, found.proposal, found.outcome
    return {
        "method": credit.method,
        "name": None if method is None else method.name,
        "how": credit.how,
        "words": list(credit.words),
        "sources": [source_data(source) for source in found.sources],
        "retrievals": [_lookup_data(lookup) for lookup in found.lookups],
        "proposal": None if proposal is None else _proposal_data(proposal),
        "run": credit.run,
        "outcome": None if outcome is None else outcome_data(outcome),
    }


def source_data(source: Source) -> dict[str, Any]:
    """Return where a method is described as JSON types."""
    reference = source.reference
    return {
        "title": reference.title,
        "paper": reference.paper,
        "section": reference.section,
        "url": reference_url(reference),
        "passages": [
            {"id": chunk.id, "section": chunk.section, "excerpt": chunk.excerpt}
            for chunk in source.passages
        ],
    }


def _lookup_data(lookup: Lookup) -> dict[str, Any]:
    found = lookup.retrieval
    return {
        "id": found.id,
        "time": found.time,
        "query": found.query,
        "ranker": found.ranker,
        "rank": lookup.rank,
    }


def _proposal_data(proposal: Proposal) -> dict[str, Any]:
    keys = ("id", "time", "title", "hypothesis", "predicted")
    return {key: getattr(proposal, key) for key in keys}


def outcome_data(outcome: Outcome) -> dict[str, Any]:
    """Return what came of a run as JSON types; without its id, which stands beside it."""
    keys = ("name", "status", "value", "gain", "verdict", "decision")
    started = {"started": format_time(outcome.started * 1000)}
    return started | {key: getattr(outcome, key) for key in keys}


def reference_url(reference: Reference) -> str | None:
    """Return where people find a reference; None where it does not say."""
    if reference.url is not None or not (reference.paper or "").startswith("arxiv-"):
        return reference.url
    arxiv = (reference.paper or "").removeprefix("arxiv-")
    old = _OLD_ARXIV.fullmatch(arxiv)
    return f"https://arxiv.org/abs/{f'{old[1]}/{old[2]}' if old else arxiv}"


def chain_lines(found: Chain, *, with_sources: bool = True) -> list[str]:
    """Return a chain as lines: the method and why it is credited, then what there is of the rest.

    The words of others stand in quotes and are safe for a terminal.

    Args:
        found: The chain.
        with_sources: Say where the method is described too.
    """
    lines = [f"{found.credit.method}: {why(found.credit)}"]
    if with_sources:
        lines += [f"  {line}" for source in found.sources for line in source_lines(source)]
    for lookup in found.lookups[:_LOOKUPS_SHOWN]:
        asked = quoted(lookup.retrieval.query) if lookup.retrieval.query else "without a query"
        lines.append(f"  looked up {asked} on {lookup.retrieval.time[:10]}: number {lookup.rank}")
    if found.proposal is not None:
        lines.append(f"  proposed as {_proposed(found.proposal)}")
    if found.outcome is not None:
        lines.append(f"  run {short(found.outcome.run)}: {outcome_text(found.outcome)}")
    return lines


def why(credit: Credit) -> str:
    """Return why a run is credited, as words."""
    said = []
    if credit.how == "cited":
        said.append(f"cited by proposal {credit.proposal}" if credit.proposal else "cited")
    if credit.words:
        said.append(f"its code adds {', '.join(map(safe, credit.words))}")
    return "; ".join(said)


def source_lines(source: Source) -> list[str]:
    """Return where a method is described as lines."""
    reference = source.reference
    section = f", section {quoted(reference.section)}" if reference.section else ""
    place = reference_url(reference) or reference.paper
    where = f" ({safe(place)})" if place else ""
    head = f"described in {quoted(reference.title)}{where}{section}"
    return [
        head,
        *(
            f"  {safe(chunk.id)}, {quoted(chunk.section)}: {quoted(chunk.excerpt)}"
            for chunk in source.passages[:_PASSAGES_SHOWN]
        ),
    ]


def _proposed(proposal: Proposal) -> str:
    text = quoted(proposal.title)
    if proposal.hypothesis:
        text += f": {quoted(proposal.hypothesis)}"
    if proposal.predicted is not None:
        text += f"; a change of {number(proposal.predicted)} was expected"
    return text


def outcome_text(outcome: Outcome) -> str:
    """Return what came of a run as words."""
    said = [outcome.status]
    if outcome.value is not None:
        said.append(number(outcome.value))
    if outcome.gain is not None:
        better = "better" if outcome.gain >= 0 else "worse"
        said.append(f"{number(abs(outcome.gain))} {better} than its base")
    if outcome.verdict is not None:
        said.append(f"verdict {safe(outcome.verdict)}")
    if outcome.decision is not None:
        said.append(f"decision {safe(outcome.decision)}")
    return ", ".join(said)
