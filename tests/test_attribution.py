"""Which runs are credited to which methods."""

from __future__ import annotations

import pytest

from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.methods import additions, attribution
from gitexp.methods.attribution import Credit
from gitexp.records.library import Method, Withdrawal
from gitexp.research.goal import GoalMetric
from gitexp.research.observations import observe
from tests.methods_runs import (
    CAPPED,
    GATED,
    PLAIN,
    commit,
    credited,
    look_up,
    opened,
    propose,
    record,
    slugs,
)
from tests.support import Git


def add_method(slug: str, *signature: tuple[str, ...], name: str | None = None) -> None:
    library = Library(Repository.discover())
    time, by = library.stamp()
    method = Method(
        time=time,
        by=by,
        slug=slug,
        name=name or slug,
        family="own",
        summary="what it is",
        signature=signature,
    )
    library.add([method])


def test_run_is_credited_to_the_method_whose_signature_its_code_adds(repo: Git) -> None:
    record(repo, "base", PLAIN)
    run = record(repo, "gated", GATED)
    assert credited() == {
        run: (Credit(run, "swiglu", "signature", None, ("gate_proj", "silu")),),
    }


def test_what_stood_in_the_base_gives_no_credit(repo: Git) -> None:
    record(repo, "base", GATED)
    commit(repo)
    run = record(repo, "wider", GATED.replace("down(silu", "down(2 * silu"))
    assert slugs(run) == {}


def test_part_of_a_signature_gives_no_credit(repo: Git) -> None:
    record(repo, "base", PLAIN)
    run = record(repo, "silu", PLAIN.replace("gelu", "silu"))
    assert slugs(run) == {}


def test_the_missing_part_of_a_signature_gives_credit_with_the_line_it_stands_in(repo: Git) -> None:
    record(repo, "base", PLAIN.replace("gelu", "silu"))
    commit(repo)
    run = record(repo, "gated", GATED)
    assert slugs(run) == {"swiglu": "signature"}


def test_a_comment_gives_no_credit(repo: Git) -> None:
    record(repo, "base", PLAIN)
    run = record(repo, "said", f"# swiglu and muon\n{PLAIN}x = 1\n")
    assert slugs(run) == {}


def test_the_base_is_the_run_that_it_was_derived_from_and_not_the_first_commit(repo: Git) -> None:
    record(repo, "base", PLAIN)
    commit(repo)
    gated = record(repo, "gated", GATED)
    commit(repo)
    capped = record(repo, "capped", GATED + CAPPED)
    assert slugs(gated) == {"swiglu": "signature"}
    assert slugs(capped) == {"logit-softcap": "signature"}


def test_the_base_is_the_parent_run_where_one_is_named(repo: Git) -> None:
    base = record(repo, "base", PLAIN)
    commit(repo)
    gated = record(repo, "gated", GATED)
    child = record(repo, "child", GATED + CAPPED, parent=gated)
    other = record(repo, "other", GATED + CAPPED + "y = 1\n", parent=base)
    assert slugs(child) == {"logit-softcap": "signature"}
    assert slugs(other) == {"logit-softcap": "signature", "swiglu": "signature"}


def test_a_run_of_the_same_code_with_other_parameters_adds_nothing(repo: Git) -> None:
    record(repo, "base", PLAIN)
    commit(repo)
    record(repo, "gated", GATED, params={"lr": 0.1})
    commit(repo)
    again = record(repo, "again", params={"lr": 0.2})
    assert slugs(again) == {}


def test_the_first_configuration_is_where_others_start_and_adds_nothing(repo: Git) -> None:
    repo.write("train.py", GATED)
    commit(repo)
    assert slugs(record(repo, "first")) == {}


def test_uncommitted_changes_of_the_first_run_count_against_the_commit(repo: Git) -> None:
    assert slugs(record(repo, "first", GATED)) == {"swiglu": "signature"}


def test_a_commit_that_no_run_stands_before_counts_against_the_one_before_it(repo: Git) -> None:
    record(repo, "elsewhere")
    repo("checkout", "--quiet", "--orphan", "other")
    repo.write("train.py", PLAIN)
    commit(repo, "start")
    repo.write("train.py", GATED)
    commit(repo, "gated")
    assert slugs(record(repo, "gated")) == {"swiglu": "signature"}


def test_cited_methods_are_credited_by_any_of_their_names(repo: Git) -> None:
    run = record(repo, "said", metadata={"cites": ["Muon", "GQA", "z-loss"]})
    assert slugs(run) == {"muon": "cited", "gqa": "cited", "z-loss": "cited"}


def test_one_method_can_be_cited_without_a_list(repo: Git) -> None:
    run = record(repo, "said", metadata={"cites": "muon"})
    assert slugs(run) == {"muon": "cited"}


def test_proposal_gives_credit_to_what_it_cites(repo: Git) -> None:
    proposal = propose("muon")
    run = record(repo, "proposed", metadata={"proposal": proposal.id})
    assert credited() == {run: (Credit(run, "muon", "cited", proposal.id, ()),)}


def test_proposal_of_a_citation_is_named_where_the_run_cites_too(repo: Git) -> None:
    proposal = propose("muon")
    metadata = {"cites": ["muon", "gqa"], "proposal": proposal.id}
    run = record(repo, "both", metadata=metadata)
    found = {credit.method: credit.proposal for credit in credited()[run]}
    assert found == {"gqa": None, "muon": proposal.id}


def test_what_is_cited_and_found_is_credited_once_with_its_words(repo: Git) -> None:
    record(repo, "base", PLAIN)
    run = record(repo, "gated", GATED, metadata={"cites": ["swiglu"]})
    assert credited()[run] == (Credit(run, "swiglu", "cited", None, ("gate_proj", "silu")),)


def test_what_was_shown_and_not_cited_is_not_credited(repo: Git) -> None:
    retrieval = look_up("faster", ["muon", "lion"])
    proposal = propose("lion", retrievals=(retrieval.id,))
    run = record(repo, "proposed", metadata={"proposal": proposal.id})
    assert slugs(run) == {"lion": "cited"}


@pytest.mark.parametrize(
    "metadata",
    [
        {"cites": ["no-such-method"]},
        {"cites": 7},
        {"cites": {"muon": True}},
        {"cites": [["muon"]]},
        {"cites": "[" * 5000},
        {"cites": ["muon"] * 101},
        {"proposal": "0" * 16},
        {"proposal": ["x"]},
        {"proposal": 1.5},
    ],
)
def test_citations_that_mean_nothing_are_passed_over(
    repo: Git, metadata: dict[str, object]
) -> None:
    assert slugs(record(repo, "odd", metadata=metadata)) == {}


def test_withdrawn_method_gives_no_credit_until_it_is_back(repo: Git) -> None:
    run = record(repo, "said", metadata={"cites": ["muon"]})
    library = Library(Repository.discover())
    method = library.method("muon")
    time, by = library.stamp()
    library.add([Withdrawal(time=time, by=by, id="muon")])
    assert slugs(run) == {}
    add_method("muon", *method.signature)
    assert slugs(run) == {"muon": "cited"}


def test_signatures_may_change_and_no_change_is_read_again(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo, "base", PLAIN)
    run = record(repo, "new", PLAIN + "def zap(): pass\n")
    assert slugs(run) == {}
    add_method("zapping", ("ZAP",))
    monkeypatch.setattr(additions, "changed_files", None)
    assert slugs(run) == {"zapping": "signature"}


def test_new_runs_alone_are_read(repo: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    record(repo, "base", PLAIN)
    record(repo, "one", GATED)
    credited()
    pairs: list[additions.Trees] = []
    real = additions.Additions.read

    def read(self: additions.Additions, pair: additions.Trees) -> additions.Found | None:
        pairs.append(pair)
        return real(self, pair)

    monkeypatch.setattr(additions.Additions, "read", read)
    run = record(repo, "two", PLAIN + CAPPED)
    assert slugs(run) == {"logit-softcap": "signature"}
    assert len(pairs) == 1


def test_one_run_can_be_asked_about_and_only_it_is_read(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(repo, "base", PLAIN)
    record(repo, "other", PLAIN + CAPPED)
    run = record(repo, "gated", GATED, metadata={"cites": ["muon"]})
    pairs: list[object] = []
    real = additions.Additions.extend

    def extend(self: additions.Additions, asked: list[additions.Trees], *rest: object) -> object:
        pairs.extend(asked)
        return real(self, asked)

    monkeypatch.setattr(additions.Additions, "extend", extend)
    with opened() as (memory, library, cache):
        found = attribution.credits(memory, library, cache, only=[run])
    assert {credit.method: credit.how for credit in found[run]} == {
        "muon": "cited",
        "swiglu": "signature",
    }
    assert list(found) == [run]
    assert len(pairs) == 1


def test_observations_of_the_caller_serve(repo: Git) -> None:
    record(repo, "base", PLAIN)
    run = record(repo, "gated", GATED)
    goal = GoalMetric("loss", lower=True, by="best", minimum=None, source="option")
    with opened() as (memory, library, cache):
        seen = observe(memory, goal, cache)
        assert list(attribution.credits(memory, library, cache, seen)) == [run]


def test_runs_without_code_or_without_anything_are_no_trouble(repo: Git) -> None:
    assert credited() == {}
    record(repo, "base")
    assert credited() == {}


def test_methods_in_a_tree_are_found_wherever_they_stand(repo: Git) -> None:
    repo.write("pkg/model.py", GATED)
    commit(repo)
    tree = repo("rev-parse", "HEAD^{tree}")
    with opened() as (memory, library, cache):
        found = attribution.methods_in(memory, library, cache, tree)
        assert found == {"swiglu": ("gate_proj", "silu")}
        assert attribution.methods_in(memory, library, cache, "1" * 40) == {}
