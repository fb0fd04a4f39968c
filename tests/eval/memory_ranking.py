"""gitexp's ranking of methods over runs in memory: what `Methods.next` of the product shows.

Evidence, prior, risk, value and fusion are the product's functions (`gitexp.methods`); what is
replaced is where credits come from: a run is credited to the methods that its change puts to work,
as a proposal would cite them; words and signatures give no credit here, for the changes of these
worlds have none. Every method fits the code equally well, for each turns a setting
that stands in it, so relevance ranks nothing here; the gap of families and the value do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from gitexp.methods.evidence import (
    CREDITED,
    FAMILY,
    Evidence,
    Trial,
    age_weight,
    fatigue,
    trials,
)
from gitexp.methods.project import OWN_COST, PACK_RUNS
from gitexp.methods.ranking import (
    Observed,
    believe,
    expected_improvement,
    fused,
    prior_of,
    ranks,
)
from gitexp.methods.risk import is_bad, rate_of, risk_of
from gitexp.methods.suggestion import Suggestion
from gitexp.records.library import Method, Reference
from gitexp.research.goal import GoalMetric
from gitexp.research.observations import Observation
from tests.eval.memory_arms import slug
from tests.eval.memory_worlds import Change, Setting, World


def card(world: World, setting: Setting) -> Method:
    """Return a value of a setting as a method of the library."""
    name, value = setting
    return Method(
        time="2026-01-01T00:00:00.000000Z",
        by="Eval <eval@example.org>",
        slug=slug(setting),
        name=f"{value} for {name}",
        family=world.knobs[name].family,
        summary=f"Set {name.upper()} to {value}.",
        references=(Reference(title="The pack"),),
    )


def suggest(  # noqa: PLR0917 - what the product reads for itself
    world: World,
    free: Sequence[Setting],
    observations: Sequence[Observation],
    changes: Mapping[bytes, Change],
    goal: GoalMetric,
    noise: float,
    limit: int,
) -> list[tuple[Setting, Suggestion]]:
    """Return the methods to try next, the best first.

    Args:
        world: Whose methods.
        free: Those that the champion does not have.
        observations: Of all runs, in order.
        changes: What each run tried, by its id.
        goal: What counts.
        noise: Standard deviation of replicates.
        limit: At most so many.
    """
    project = Evidences(world, observations, changes, goal, noise)
    found = sorted(free, key=slug)
    assessed = [project.assess(each) for each in found]
    values = [expected_improvement(e.mean, e.sd) / cost for e, cost, _, _ in assessed]
    gaps = [-float(project.family_runs(each)) for each in found]
    flat = [0.0] * len(found)
    scores = fused([ranks(flat), ranks(gaps), ranks(values)])
    order = sorted(range(len(found)), key=lambda at: (-scores[at], at))[:limit]
    return [
        (
            found[at],
            Suggestion(
                card(world, found[at]),
                rank,
                scores[at],
                0.0,
                assessed[at][0],
                values[at],
                assessed[at][2],
                assessed[at][3],
            ),
        )
        for rank, at in enumerate(order, 1)
    ]


class Evidences:
    """As `gitexp.methods.project.Project`, for credits that are known."""

    def __init__(
        self,
        world: World,
        observations: Sequence[Observation],
        changes: Mapping[bytes, Change],
        goal: GoalMetric,
        noise: float,
    ) -> None:
        own_fault: Callable[[bytes], bool] = lambda _: True  # noqa: E731 - all crashes are
        self.trials = trials(observations, goal, noise, own_fault)
        self._world = world
        self._last = len(observations) - 1
        known = set(world.methods)
        self._credits = {
            run: tuple(each for each in change if each in known) for run, change in changes.items()
        }
        self._weights = [age_weight(self._last - t.order) * t.trust for t in self.trials]
        self._by_method: dict[Setting, list[int]] = defaultdict(list)
        self._by_family: dict[str, list[int]] = defaultdict(list)
        self._family_runs: dict[str, set[bytes]] = defaultdict(set)
        groups: dict[Setting | bytes, list[float]] = defaultdict(list)
        for at, trial in enumerate(self.trials):
            credited = self._credits.get(trial.run, ())
            groups[min(credited, key=slug) if credited else trial.run].append(trial.effect)
            for each in credited:
                self._by_method[each].append(at)
            for family in {world.knobs[name].family for name, _ in credited}:
                self._by_family[family].append(at)
        for run, credited in self._credits.items():
            for name, _ in credited:
                self._family_runs[world.knobs[name].family].add(run)
        self._prior = prior_of(groups.values())
        self._rate = rate_of(
            (is_bad(t.effect), age_weight(self._last - t.order)) for t in self.trials
        )

    def family_runs(self, setting: Setting) -> int:
        """Return how many runs are credited to methods of a method's family."""
        return len(self._family_runs.get(self._world.knobs[setting[0]].family, ()))

    def assess(self, setting: Setting) -> tuple[Evidence, float, int, float]:
        """Return evidence, cost, fatigue and risk of a method."""
        own = self._by_method.get(setting, [])
        mine = set(own)
        alike = self._by_family.get(self._world.knobs[setting[0]].family, [])
        counted: list[tuple[Trial, float]] = [
            (self.trials[at], (CREDITED if at in mine else FAMILY) * self._weights[at])
            for at in alike
        ]
        observed = [Observed(trial.effect, weight) for trial, weight in counted]
        belief = believe(self._prior, [*observed, Observed(0.0, PACK_RUNS)])
        credited = [self.trials[at] for at in own]
        cost = (OWN_COST + sum(t.cost for t in credited)) / (OWN_COST + len(credited))
        weight = sum(each.weight for each in observed)
        return (
            Evidence(belief.mean, belief.sd, len(own), weight),
            cost,
            fatigue(reversed(credited)),
            risk_of(((is_bad(t.effect), w) for t, w in counted), self._rate),
        )
