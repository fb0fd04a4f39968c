"""Lineages: what grew out of what."""

from __future__ import annotations

from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation
from gitexp.research.overview.lineage import lineages

LOWER = GoalMetric("loss", True, "best", None, "option")
HIGHER = GoalMetric("acc", False, "best", None, "option")


def seen(
    run: int, base: int | None, value: float | None, verdict: str | None = None
) -> Observation:
    return Observation(
        bytes([run] * 20),
        bytes([run] * 16),
        None if base is None else bytes([base] * 16),
        value,
        run,
        1.0,
        True,
        value is None,
        verdict,
        None,
    )


def test_a_lineage_is_a_root_with_all_that_was_derived_from_it() -> None:
    runs = [seen(1, None, 3.0), seen(2, 1, 2.0), seen(3, 1, 4.0), seen(4, 2, 1.0), seen(5, None, 9)]
    first, second = lineages(runs, LOWER)
    assert (first.root[0], first.size, first.value) == (1, 4, 1.0)
    assert [run[0] for run in first.path] == [1, 2, 4]
    assert (second.root[0], second.size) == (5, 1)


def test_the_best_lineage_is_first_in_either_direction() -> None:
    runs = [seen(1, None, -1.0), seen(2, None, 0.0)]
    assert [line.root[0] for line in lineages(runs, LOWER)] == [1, 2]
    assert [line.root[0] for line in lineages(runs, HIGHER)] == [2, 1]


def test_what_was_discarded_or_crashed_is_not_the_best() -> None:
    runs = [seen(1, None, 3.0), seen(2, 1, 1.0, "discard"), seen(3, 1, None)]
    (line,) = lineages(runs, LOWER)
    assert (line.value, line.best) == (3.0, bytes([1] * 20))


def test_a_lineage_without_any_value_has_no_best() -> None:
    (line,) = lineages([seen(1, None, None), seen(2, 1, None)], LOWER)
    assert (line.best, line.value, [run[0] for run in line.path]) == (None, None, [1])


def test_a_base_that_is_not_known_makes_a_root() -> None:
    (line,) = lineages([seen(1, 77, 1.0)], LOWER)
    assert line.root[0] == 1


def test_bases_that_form_a_circle_end() -> None:
    found = lineages([seen(1, 2, 2.0), seen(2, 1, 1.0), seen(3, 1, 3.0)], LOWER)
    assert sum(line.size for line in found) == 3
    assert all(len(line.path) <= 3 for line in found)
