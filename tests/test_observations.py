"""Runs as observations: what is one configuration, and what a run was derived from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from gitexp.index.observe import Near
from gitexp.research.cache import open_cache
from gitexp.research.goal import goal_metric
from gitexp.research.observations import Observation, observe
from tests.full_store import drop_object
from tests.lab import Lab
from tests.support import Git


@pytest.fixture
def lab(repo: Git) -> Lab:
    return Lab(repo)


def seen(lab: Lab) -> dict[str, Observation]:
    memory = lab.memory()
    found = observe(memory, goal_metric(memory), open_cache(memory.repository))
    return {run.run.hex(): run for run in found}


def base_of(lab: Lab, run: str) -> str | None:
    """Return the first run of the configuration that a run was derived from."""
    found = seen(lab)
    base = found[run].base
    return next((run for run, each in found.items() if each.configuration == base), None)


def test_runs_that_differ_by_their_seed_are_replicates(lab: Lab) -> None:
    one = lab.run(1.0, seed=1, parameters={"lr": 0.1})
    two = lab.run(1.1, seed=2, parameters={"lr": 0.1})
    other = lab.run(1.2, seed=1, parameters={"lr": 0.2})
    found = seen(lab)
    assert found[one].configuration == found[two].configuration
    assert found[one].configuration != found[other].configuration


def test_a_commit_builds_on_the_run_of_the_commit_before(lab: Lab) -> None:
    lab.commit("a = 1\n")
    first = lab.run(1.0)
    lab.commit("a = 2\n")
    discarded = lab.run(2.0, verdict="discard")
    lab.git("reset", "--quiet", "--hard", "HEAD^")
    lab.commit("a = 3\n")
    kept = lab.run(0.5)
    lab.commit("a = 4\n")
    lab.commit("a = 5\n")
    last = lab.run(0.4)
    assert base_of(lab, first) is None
    assert base_of(lab, discarded) == first
    assert base_of(lab, kept) == first
    assert base_of(lab, last) == kept


def test_a_parent_run_counts_more_than_the_history(lab: Lab) -> None:
    first = lab.run(1.0, code="a = 1\n")
    lab.run(1.0, code="a = 2\n")
    assert base_of(lab, lab.run(1.0, code="a = 3\n", parent=first)) == first


def test_a_parent_that_starts_later_by_its_clock_is_the_base_too(lab: Lab) -> None:
    lab.commit("a = 1\n")
    ahead = lab.run(1.0, code="a = 2\n", started=datetime.now(UTC) + timedelta(days=30))
    child = lab.run(1.0, code="a = 3\n", parent=ahead, started=datetime.now(UTC))
    assert base_of(lab, child) == ahead


def test_uncommitted_changes_build_on_the_run_at_their_commit(lab: Lab) -> None:
    lab.commit("a = 1\n")
    clean = lab.run(1.0)
    one = lab.run(1.0, code="a = 2\n")
    two = lab.run(1.0, code="a = 3\n")
    assert [base_of(lab, run) for run in (one, two)] == [clean, clean]


def test_without_a_run_at_the_commit_changes_build_on_those_before_them(lab: Lab) -> None:
    one = lab.run(1.0, code="a = 2\n")
    undone = lab.run(3.0, code="a = 3\n", verdict="discard")
    crashed = lab.run(code="a = 4\n", status="crashed")
    last = lab.run(1.0, code="a = 5\n")
    assert [base_of(lab, run) for run in (one, undone, crashed, last)] == [None, one, one, one]


def test_a_commit_of_what_was_run_before_it_was_committed_is_that_run(lab: Lab) -> None:
    lab.commit("a = 1\n")
    lab.run(1.0)
    tried = lab.run(0.5, code="a = 2\n")
    lab.commit("a = 2\n")
    assert base_of(lab, lab.run(0.4, code="a = 3\n")) == tried


def test_with_changed_code_the_run_with_the_same_parameters_is_the_base(lab: Lab) -> None:
    lab.commit("a = 1\n")
    runs = [lab.run(1.0, parameters={"lr": lr}) for lr in (0.1, 0.2, 0.3)]
    lab.commit("a = 2\n")
    same = lab.run(1.0, parameters={"lr": 0.2})
    assert base_of(lab, same) == runs[1]
    assert base_of(lab, lab.run(1.0, parameters={"lr": 0.9})) == same
    lab.commit("a = 3\n")
    assert base_of(lab, lab.run(1.0, parameters={"lr": 0.8})) == same


def test_a_replicate_has_the_base_of_its_configuration(lab: Lab) -> None:
    lab.commit("a = 1\n")
    first = lab.run(1.0)
    lab.commit("a = 2\n")
    lab.run(0.9, seed=1)
    assert base_of(lab, lab.run(0.8, seed=2)) == first


def test_a_value_that_is_not_finite_is_none(lab: Lab) -> None:
    run = lab.run(float("nan"))
    zero = lab.run(0.0, parameters={"lr": 1})
    found = seen(lab)
    assert found[run].value is None
    assert found[zero].value == 0.0
    assert found[run].ended
    assert not found[run].crashed


def test_a_cache_that_is_deleted_changes_nothing(lab: Lab) -> None:
    lab.commit("a = 1\n")
    first = lab.run(1.0)
    lab.commit("a = 2\n")
    last = lab.run(1.0)
    assert base_of(lab, last) == first
    for path in lab.git.path.rglob("research.sqlite*"):
        path.unlink()
    assert base_of(lab, last) == first


def test_where_the_history_is_not_whole_the_search_ends(lab: Lab) -> None:
    lab.commit("a = 1\n")
    lab.run(1.0)
    lost = lab.commit("a = 2\n")
    lab.commit("a = 3\n")
    last = lab.run(0.9)
    drop_object(lab.git, lost)
    assert base_of(lab, last) is None


def test_with_many_runs_the_latest_and_the_best_are_looked_at_with_their_replicates(
    lab: Lab,
) -> None:
    best = lab.run(0.1, code="a = 1\n", seed=1)
    again = lab.run(9.0, code="a = 1\n", seed=2)  # a replicate, neither late nor good
    other = lab.run(9.5, code="a = 2\n")
    late = lab.run(9.9, code="a = 3\n")
    memory = lab.memory()
    goal = goal_metric(memory)

    def looked_at(near: Near) -> list[str]:
        cache = open_cache(memory.repository)
        return [each.run.hex() for each in observe(memory, goal, cache, near)]

    assert looked_at(Near(1, 1, lower=True)) == [best, again, late]
    assert looked_at(Near(1, 1, lower=False)) == [late]
    assert looked_at(Near(9, 0, lower=True)) == [best, again, other, late]
