"""Methods ranked by relevance and evidence, on runs in a real repository."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from gitexp.errors import UsageError
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.methods.search import (
    ADVISORY,
    RANKER,
    Methods,
    Suggestion,
    methods_section,
    remember,
)
from gitexp.records.library import Chunk, Knob, Method, Proposal, Reference, Withdrawal
from gitexp.remark import add_remark
from gitexp.research.overview.brief import brief
from tests.ranked import BY, TIME, library, method, opened, paper, tried
from tests.support import Git


def named(suggestions: list[Suggestion], slug: str) -> Suggestion:
    """Return the suggestion of a method."""
    return next(each for each in suggestions if each.method.slug == slug)


def slugs(suggestions: list[Suggestion]) -> list[str]:
    return [each.method.slug for each in suggestions]


def every(methods: Methods) -> list[Suggestion]:
    """Return all methods of the tests, and of the pack."""
    return methods.next(limit=1_000)


def test_a_search_finds_what_fits_and_names_why(repo: Git) -> None:
    found = opened(library()).search("swish-x activation")
    assert found[0].method.slug == "swish-x"
    assert found[0].rank == 1
    assert any("swish-x" in sentence for sentence in found[0].why)
    assert "solver-x" not in slugs(found)


def test_a_method_that_the_query_names_comes_first_whatever_its_evidence(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    for number in range(4):
        tried("it loses", 2.0, f"swish_x(x, {number})")
    assert slugs(opened(found).search("Swish-X"))[0] == "swish-x"


def test_without_runs_the_methods_are_found_by_their_texts(repo: Git) -> None:
    first = opened(library()).search("optimizer solver")[0]
    assert first.method.slug == "solver-x"
    assert first.evidence.runs == 0
    assert first.runs == ()


def test_a_method_whose_runs_gained_is_worth_more_than_one_whose_runs_lost(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    start = Memory.open().get("latest").id
    for number in range(3):
        tried("one way", 0.9 - number / 100, f"swish_x(x, {number})", parent=start)
        tried("another", 1.3 + number / 100, f"sine_x(x, {number})", parent=start)
    all_of_them = every(opened(found))
    gained, lost = named(all_of_them, "swish-x"), named(all_of_them, "sine-x")
    assert gained.evidence.runs == lost.evidence.runs == 3
    assert gained.evidence.mean > lost.evidence.mean
    assert gained.value > lost.value


def test_runs_that_crashed_by_their_own_fault_raise_the_risk_and_are_no_rank_term(
    repo: Git,
) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    tried("fails", None, "sine_x(x)", fails=True)
    tried("fails again", None, "sine_x(x, 2)", fails=True)
    all_of_them = every(opened(found))
    assert named(all_of_them, "sine-x").risk > named(all_of_them, "compass-x").risk + 0.1
    veto = every(opened(found))[0].risk + 0.05
    assert "sine-x" not in slugs(opened(found).next(limit=1_000, max_risk=veto))


def test_a_run_of_the_family_counts_a_part(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    tried("loses", 3.0, "sine_x(x)")
    all_of_them = every(opened(found))
    own, family, other = (named(all_of_them, s) for s in ("sine-x", "swish-x", "compass-x"))
    assert own.evidence.weight > family.evidence.weight > other.evidence.weight == 0
    assert family.evidence.runs == 0


def test_a_run_whose_own_words_name_a_method_counts_but_is_not_credited(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    tried("try compass-x here", 1.5, "compass(x)")
    suggestion = named(every(opened(found)), "compass-x")
    assert suggestion.evidence.runs == 0
    assert suggestion.evidence.weight > 0


def test_what_was_written_after_a_result_changes_nothing(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    run = tried("another way", 0.5, "other(x)")
    queries = ["activation", "compass-x position", "best winner improved"]
    before = [every(opened(found)), *(opened(found).search(query) for query in queries)]
    repository = Repository.discover()
    outcome = "compass-x was the winner and improved val_loss to 0.5, best of all"
    add_remark(repository, run, comment=outcome)
    add_remark(repository, run, description=outcome, hypothesis=outcome)
    add_remark(repository, run, name="compass-x", family="position", add_tags=("compass-x",))
    assert Memory.open().get(run).description == outcome
    after = [every(opened(found)), *(opened(found).search(query) for query in queries)]
    assert after == before


def test_what_was_said_before_the_run_counts(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    before = named(every(opened(found)), "compass-x")
    tried("another way", 0.5, "other(x)", hypothesis="compass-x should help")
    assert named(every(opened(found)), "compass-x").evidence != before.evidence


def test_a_remark_from_before_the_cache_was_made_changes_nothing_either(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    run = tried("another way", 0.5, "other(x)")
    add_remark(Repository.discover(), run, description="compass-x won")
    assert named(every(opened(found)), "compass-x").evidence.weight == 0


def test_next_puts_what_is_in_use_last_and_apart(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "gelu_x(x)")
    all_of_them = every(opened(found))
    assert [each.method.slug for each in all_of_them if each.in_use] == ["gelu-x"]
    assert all_of_them[-1].method.slug == "gelu-x"


def test_next_prefers_what_is_meant_to_replace_what_is_in_use(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "gelu_x(x)")
    first = opened(found).next(limit=200)
    replacing, other = named(first, "swish-x"), named(first, "compass-x")
    assert replacing.relevance > other.relevance
    assert any("take the place" in sentence for sentence in replacing.why)


def test_next_does_not_go_back_to_what_was_replaced(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "swish_x(x)")
    back = named(every(opened(found)), "gelu-x")
    assert back.relevance < 0


def test_next_says_which_families_nobody_tried(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    tried("one", 0.9, "swish_x(x)")
    all_of_them = every(opened(found))
    tried_ones = named(all_of_them, "sine-x").why
    assert "No run tried its family yet." in named(all_of_them, "compass-x").why
    assert "1 run was of its family." in tried_ones


def test_next_shows_one_method_of_each_family_before_a_second(repo: Git) -> None:
    all_of_them = every(opened(library()))
    families = [each.method.family for each in all_of_them]
    count = len(set(families))
    assert len(set(families[:count])) == count < len(families)
    assert [each.rank for each in all_of_them] == list(range(1, len(all_of_them) + 1))


def test_a_knob_that_stands_in_the_code_fits(repo: Git) -> None:
    found = library()
    tried("start", 1.0)
    assert any("SOLVER_RATE" in said for said in named(every(opened(found)), "solver-x").why)


def test_without_runs_next_looks_at_the_code_of_head(repo: Git) -> None:
    repo.write("train.py", "print(gelu_x(1))\n")
    repo("commit", "-qam", "gelu")
    assert named(every(opened(library())), "gelu-x").in_use


def test_next_answers_without_a_commit(tmp_path: Path, identity: None, monkeypatch: Any) -> None:
    git = Git(tmp_path)
    git("init", "--quiet", "new")
    monkeypatch.chdir(tmp_path / "new")
    assert opened(library()).next(limit=3)


def test_a_search_draws_the_same_for_a_seed(repo: Git) -> None:
    methods = opened(library())
    one, two, plain = (methods.search("activation", explore=seed) for seed in (1, 2, None))
    assert methods.search("activation", explore=1) == one
    assert [each.value for each in one] != [each.value for each in two]
    assert all(each.value >= 0 for each in plain)


def test_passages_of_a_methods_paper_make_it_relevant(repo: Git) -> None:
    chunk = Chunk(
        time=TIME,
        by=BY,
        id="arxiv-1.0",
        paper="arxiv-1",
        section="Results",
        span=(0, 40),
        digest="1" * 32,
        excerpt="Zygomorphic gates converge sooner.",
    )
    found = opened(library(paper(), chunk)).search("zygomorphic gates")
    by_passage = named(found, "swish-x")
    assert [each.chunk.id for each in by_passage.passages] == ["arxiv-1.0"]
    assert by_passage.relevance == 0.5
    assert "1 passage of its papers fits." in by_passage.why


def test_runs_that_cite_a_method_are_its_evidence(repo: Git) -> None:
    proposal = Proposal(time=TIME, by=BY, id="0" * 16, title="compass", cites=("compass-x",))
    found = library(proposal)
    tried("start", 1.0, "plain(x)")
    run = tried("as proposed", 0.9, "turn(x)", metadata={"proposal": "0" * 16})
    suggestion = named(every(opened(found)), "compass-x")
    assert suggestion.runs == (run,)


def test_a_method_that_is_cited_when_the_result_is_known_gets_no_evidence(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    run = tried("another way", 0.5, "other(x)")
    before = every(opened(found))
    late = Proposal(
        time="2099-01-01T00:00:00.000000Z", by=BY, id="1" * 16, title="", cites=("sine-x",)
    )
    found.add([late])
    add_remark(Repository.discover(), run, metadata={"cites": ["compass-x"], "proposal": "1" * 16})
    assert every(opened(found)) == before
    named_early = tried("as proposed", 0.4, "turn(x)", metadata={"proposal": "1" * 16})
    assert named_early not in named(every(opened(found)), "sine-x").runs


def test_a_run_that_cites_a_method_itself_is_its_evidence(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    run = tried("turn", 0.9, "turn(x)", metadata={"cites": ["Compass-X"]})
    assert named(every(opened(found)), "compass-x").runs == (run,)


def test_runs_are_named_the_latest_first(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    start = Memory.open().get("latest").id
    made = [tried("again", 1.0, f"sine_x(x, {number})", parent=start) for number in range(3)]
    assert named(every(opened(found)), "sine-x").runs == tuple(reversed(made))


def test_a_method_that_fails_over_and_over_shows_its_fatigue_and_keeps_its_place(
    repo: Git,
) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    start = Memory.open().get("latest").id
    for number in range(3):
        tried("loses", 1.5, f"sine_x(x, {number})", parent=start)
    suggestion = named(every(opened(found)), "sine-x")
    assert suggestion.fatigue == 3
    assert any("last 3 runs" in sentence for sentence in suggestion.why)


def test_every_term_is_finite_and_the_score_is_made_of_ranks(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "gelu_x(x)")
    tried("one", math.inf, "swish_x(x)")
    for suggestion in [*every(opened(found)), *opened(found).search("activation")]:
        terms = {term.name: term.value for term in suggestion.terms}
        assert all(math.isfinite(value) for value in terms.values())
        assert terms["value"] == suggestion.value
        assert terms["effect"] == suggestion.evidence.mean
        assert 0 < suggestion.score <= 3 / 61
        assert 0 <= suggestion.risk <= 1


def test_ready_commands_cite_the_slug_and_nothing_else(repo: Git) -> None:
    hostile = method("evil-x", name='"; rm -rf ~; "', signature=())
    for suggestion in every(opened(library(hostile))):
        assert not any("rm -rf" in command for command in suggestion.commands)
    named_one = named(every(opened(library(hostile))), "evil-x")
    assert named_one.commands[0] == 'git exp check -m "use evil-x"'
    assert "--cites evil-x" in named_one.commands[1]


def test_a_withdrawn_method_is_not_suggested(repo: Git) -> None:
    found = library(Withdrawal(time="2026-02-01T00:00:00.000000Z", by=BY, id="sine-x"))
    assert "sine-x" not in slugs(every(opened(found)))


@pytest.mark.parametrize("query", ["", "  ", "!?", "\x1b"])
def test_a_query_without_words_is_refused(repo: Git, query: str) -> None:
    with pytest.raises(UsageError, match="no words"):
        opened(library()).search(query)


@pytest.mark.parametrize("given", [{"limit": 0}, {"max_risk": 1.5}, {"max_risk": math.nan}])
def test_numbers_out_of_range_are_refused(repo: Git, given: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        opened(library()).next(**given)


@pytest.mark.parametrize(
    "query", ["' OR 1=1 --", '"unbalanced', "a AND NOT b NEAR(", "*", "x" * 100_000, "\ud800 x"]
)
def test_a_hostile_query_answers_or_is_refused_in_a_sentence(repo: Git, query: str) -> None:
    methods = opened(library())
    if query in ("*", '"'):
        with pytest.raises(UsageError, match=r"no words\.$"):
            methods.search(query)
    else:
        assert isinstance(methods.search(query), list)


def test_a_method_whose_family_is_strange_is_ranked_like_others(repo: Git) -> None:
    strange = Method(
        time=TIME,
        by=BY,
        slug="odd-x",
        name="\x1b[31mODD",
        family="\x1b]0;x",
        summary="\u202e odd",
        knobs=(Knob("\x00", "\x00"),),
        references=(Reference("\x1b", chunks=("nowhere.1",)),),
    )
    suggestion = named(every(opened(library(strange))), "odd-x")
    section = methods_section([suggestion])
    assert "\x1b" not in "".join(line for block in section.blocks for line in block)
    assert "\x1b" not in "".join(suggestion.why)


def test_what_was_shown_is_remembered(repo: Git) -> None:
    found = library()
    suggestions = opened(found).search("activation")
    line = remember(found, "activation", suggestions, session="s1", run=None)
    assert found.retrievals() == [line]
    assert line.ranker == RANKER
    assert [each.id for each in line.shown] == slugs(suggestions)
    assert [each.score for each in line.shown] == [each.score for each in suggestions]
    assert (line.query, line.session) == ("activation", "s1")


def test_that_a_method_was_shown_is_no_evidence(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    before = every(opened(found))
    remember(found, "", before)
    assert every(opened(found)) == before


def test_suggestions_fit_into_the_brief_within_its_tokens(repo: Git) -> None:
    found = library()
    tried("start", 1.0, "plain(x)")
    section = methods_section(opened(found).next())
    made = brief(Memory.open(), 600, more=[section])
    assert "Methods to try" in made.text
    assert made.tokens <= 600


def test_the_brief_says_that_the_order_is_advisory(repo: Git) -> None:
    section = methods_section(opened(library()).next())
    assert (ADVISORY is None) == ("advisory" not in section.title)


def test_a_cache_that_cannot_be_written_changes_no_answer(repo: Git) -> None:
    import sqlite3

    from gitexp.research.cache import open_in_memory

    found = library()
    tried("start", 1.0, "plain(x)")
    tried("try compass-x", 0.9, "other(x)")
    expected = every(opened(found))
    cache = open_in_memory()
    cache.execute("PRAGMA query_only = ON")
    try:
        assert every(Methods(Memory.open(), found, cache)) == expected
    except sqlite3.OperationalError:
        pytest.fail("a cache that cannot be written stops the ranking")


def test_suggestions_can_be_written_as_json(repo: Git) -> None:
    from gitexp.cli.methods_search import suggestion_json

    for suggestion in every(opened(library())):
        assert json.loads(json.dumps(suggestion_json(suggestion), allow_nan=False))
