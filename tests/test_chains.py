"""The chain of a claim, as data and as lines."""

from __future__ import annotations

import json

import pytest

from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.methods import attribution
from gitexp.methods.chains import (
    Chain,
    Outcomes,
    chain_data,
    chain_lines,
    outcome_text,
    reference_url,
    run_chains,
    uses,
)
from gitexp.records.library import Chunk, Method, Paper, Reference
from gitexp.store.library import text_digest
from tests.full_store import HOSTILE, is_harmless
from tests.methods_runs import GATED, PLAIN, commit, look_up, opened, propose, record
from tests.support import Git


def add_paper_with_passage() -> None:
    library = Library(Repository.discover())
    time, by = library.stamp()
    text = "The gate multiplies a projection."
    paper = Paper(
        time=time,
        by=by,
        id="arxiv-2002.05202",
        source="arxiv",
        title="GLU Variants Improve Transformer",
        digest=text_digest(text),
        characters=len(text),
    )
    chunk = Chunk(
        time=time,
        by=by,
        id="arxiv-2002.05202.1",
        paper=paper.id,
        section="Gated units",
        span=(0, len(text)),
        digest=text_digest(text),
        excerpt=text,
    )
    library.add([paper, chunk])


def add_gate_method(**known: object) -> None:
    library = Library(Repository.discover())
    time, by = library.stamp()
    reference = Reference(
        "GLU Variants Improve Transformer",
        paper="arxiv-2002.05202",
        section="2",
        chunks=("arxiv-2002.05202.1",),
    )
    fields: dict[str, object] = {"name": "Gate", "family": "activation", "summary": "it gates"}
    fields |= {"references": (reference,), "signature": (("gate_proj",),)}
    library.add([Method(time=time, by=by, slug="gate", **(fields | known))])  # type: ignore[arg-type]


def chains_of(run: str) -> list[Chain]:
    with opened() as (memory, library, cache):
        return run_chains(memory, library, cache, run)


def whole_chain(repo: Git) -> Chain:
    """Make a run with every link of the chain."""
    repo("config", "exprag.metric", "loss")
    add_paper_with_passage()
    add_gate_method()
    retrieval = look_up("better feed-forward", ["muon", "gate"])
    proposal = propose("gate", retrievals=(retrieval.id,), hypothesis="gates help", predicted=-0.1)
    record(repo, "base", PLAIN, loss=1.0)
    commit(repo)
    run = record(repo, "gated", GATED, loss=0.75, metadata={"proposal": proposal.id})
    return next(chain for chain in chains_of(run) if chain.credit.method == "gate")


def test_chain_leads_from_the_method_to_what_was_observed(repo: Git) -> None:
    chain = whole_chain(repo)
    assert chain.method is not None
    assert [source.reference.title for source in chain.sources] == [
        "GLU Variants Improve Transformer"
    ]
    assert [chunk.section for chunk in chain.sources[0].passages] == ["Gated units"]
    assert [(lookup.retrieval.query, lookup.rank) for lookup in chain.lookups] == [
        ("better feed-forward", 2)
    ]
    assert chain.proposal is not None
    assert chain.proposal.hypothesis == "gates help"
    assert chain.outcome is not None
    assert chain.outcome.value == 0.75
    assert chain.outcome.gain == pytest.approx(0.25)
    assert chain.outcome.status == "finished"


def test_lines_tell_all_links_in_their_order(repo: Git) -> None:
    lines = "\n".join(chain_lines(whole_chain(repo)))
    places = [
        lines.index(text)
        for text in (
            "gate: cited by proposal",
            "its code adds gate_proj",
            '"GLU Variants Improve Transformer" (https://arxiv.org/abs/2002.05202), section "2"',
            'arxiv-2002.05202.1, "Gated units": "The gate multiplies a projection."',
            'looked up "better feed-forward" on ',
            "number 2",
            'proposed as "try it": "gates help"; a change of -0.1 was expected',
            "finished, 0.75, 0.25 better than its base",
        )
    ]
    assert places == sorted(places)


def test_sources_can_be_left_out_of_the_lines(repo: Git) -> None:
    lines = chain_lines(whole_chain(repo), with_sources=False)
    assert not any("GLU" in line for line in lines)


def test_data_is_json_and_says_the_same(repo: Git) -> None:
    chain = whole_chain(repo)
    data = json.loads(json.dumps(chain_data(chain), allow_nan=False))
    assert data["method"] == "gate"
    assert data["how"] == "cited"
    assert data["words"] == ["gate_proj"]
    assert data["sources"][0]["url"] == "https://arxiv.org/abs/2002.05202"
    assert data["sources"][0]["passages"][0]["section"] == "Gated units"
    assert data["retrievals"][0]["rank"] == 2
    assert data["proposal"]["title"] == "try it"
    assert data["outcome"]["gain"] == pytest.approx(0.25)


def test_a_retrieval_made_for_the_run_counts_and_others_do_not(repo: Git) -> None:
    run = record(repo, "said", metadata={"cites": ["muon"]})
    look_up("for it", ["lion", "muon"], run=run)
    look_up("for another", ["muon"], run="f" * 40)
    look_up("without the method", ["lion"], run=run)
    (chain,) = chains_of(run)
    assert [lookup.retrieval.query for lookup in chain.lookups] == ["for it"]


def test_a_chain_ends_where_nothing_more_is_known(repo: Git) -> None:
    run = record(repo, "said", metadata={"cites": ["muon"]})
    (chain,) = chains_of(run)
    assert chain.lookups == ()
    assert chain.proposal is None
    assert chain.outcome is not None
    assert chain.outcome.gain is None
    assert chain_data(chain)["proposal"] is None


def test_runs_without_credit_have_no_chains(repo: Git) -> None:
    assert chains_of(record(repo, "plain")) == []


def test_without_any_metric_runs_have_no_values(repo: Git) -> None:
    from gitexp.experiment import Experiment

    with Experiment("bare", metadata={"cites": ["muon"]}) as experiment:
        pass
    (chain,) = chains_of(experiment.run_id)
    assert chain.outcome is not None
    assert chain.outcome.value is None
    assert outcome_text(chain.outcome) == "finished"


def test_a_worse_run_is_called_worse(repo: Git) -> None:
    repo("config", "exprag.metric", "loss")
    record(repo, "base", PLAIN, loss=1.0)
    commit(repo)
    (chain,) = chains_of(record(repo, "gated", GATED, loss=1.5))
    assert chain.outcome is not None
    assert "0.5 worse than its base" in outcome_text(chain.outcome)


def test_uses_are_of_one_method_or_of_all_the_latest_first(repo: Git) -> None:
    first = record(repo, "first", metadata={"cites": ["muon"]})
    second = record(repo, "second", metadata={"cites": ["muon", "lion"]})
    with opened() as (memory, library, cache):
        outcomes = Outcomes(memory, cache)
        found = attribution.credits(memory, library, cache, outcomes.observed)
        every = [(use.credit.run, use.credit.method) for use in uses(outcomes, found)]
        lion = uses(outcomes, found, library.method("lion"))
    assert every == [(second, "lion"), (second, "muon"), (first, "muon")]
    assert [use.credit.run for use in lion] == [second]


def test_words_of_others_stand_in_quotes_and_do_no_harm(repo: Git) -> None:
    proposal = propose("muon", hypothesis=HOSTILE)
    run = record(repo, "said", metadata={"proposal": proposal.id, "cites": ["muon"]})
    look_up(HOSTILE, ["muon"], run=run)
    text = "\n".join(chain_lines(chains_of(run)[0]))
    assert is_harmless(text)
    assert 'looked up "\\e[31mred' in text


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        (Reference("a", paper="arxiv-2002.05202"), "https://arxiv.org/abs/2002.05202"),
        (Reference("a", paper="arxiv-cs-0112017"), "https://arxiv.org/abs/cs/0112017"),
        (Reference("a", paper="arxiv-math.GT-0309136"), "https://arxiv.org/abs/math.GT/0309136"),
        (Reference("a", paper="file-0123456789ab"), None),
        (Reference("a", url="https://example.org/x"), "https://example.org/x"),
        (Reference("a"), None),
    ],
)
def test_references_lead_to_addresses(reference: Reference, url: str | None) -> None:
    assert reference_url(reference) == url
