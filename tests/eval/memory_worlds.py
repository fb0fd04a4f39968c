"""The worlds of the memory benchmark: settings that can be changed, and what that does in truth.

A configuration is what differs from the start: settings with their values, sorted. A world knows
the true value of each and what its n-th run of a session comes out as; arms see runs only.

`Table` replays configurations that were measured with several seeds. The n-th run of a
configuration in a session has the n-th of its seeds in an order of the session's own; with more
runs than seeds the order starts again, and so do the values. A configuration most of whose seeds
have no value is as bad, in truth, as the worst one that has.

`Open` draws effects (`tests.eval.worlds.EFFECTS`) that add up. With probability .7 a value of a
setting has the effect that is common to the setting, else one of its own, so that what is near
often comes out alike. Sessions go through the kinds of effects and through noises of .3, 1 and 3
typical effects in turn; one idea in twelve crashes.
"""

from __future__ import annotations

import functools
import math
import random
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from tests.eval.worlds import CRASHES, EFFECTS, MINUTE, SCALE, START

Value = str | float | bool
Setting = tuple[str, Value]
Configuration = tuple[Setting, ...]
"""What differs from the start, sorted by name."""
Change = tuple[Setting, ...]
"""New values of settings, sorted by name."""

NOISES = (0.3, 1.0, 3.0)
SHARED = 0.7
"""Probability that a value of a setting has the effect that is common to the setting."""
PACK = 40
"""Methods that are known from the start where settings are open, as many as the curated ones."""
IDEAS = 400


@dataclass(frozen=True)
class Knob:
    """A setting.

    Attributes:
        values: All that it may have, in their order where they have one.
        family: What it is about.
    """

    name: str
    values: tuple[Value, ...]
    default: Value
    family: str

    @property
    def is_ordered(self) -> bool:
        """Its values are numbers."""
        return all(isinstance(v, int | float) and not isinstance(v, bool) for v in self.values)

    def neighbours(self, value: Value) -> list[Value]:
        """Return the values beside one; all others where they have no order."""
        if not self.is_ordered:
            return [other for other in self.values if other != value]
        at = self.values.index(value)
        return list(self.values[max(0, at - 1) : at] + self.values[at + 1 : at + 2])


class World(Protocol):
    """A session's world.

    Attributes:
        knobs: By name.
        sigma: Standard deviation between replicates, in units of the metric.
        distinct: No idea ever comes twice; else an agent forgets what it tried.
        repeats: Share of proposals that repeat an earlier one, and that are near one.
        agents: How many take turns.
        methods: What is known as a method, each a value of a setting.
    """

    knobs: Mapping[str, Knob]
    sigma: float
    distinct: bool
    repeats: tuple[float, float]
    agents: int
    methods: Sequence[Setting]

    def idea(self, number: int) -> Setting | None:
        """Return the n-th new idea of the stream; None where there is no such stream."""

    def truth(self, configuration: Configuration) -> float:
        """Return the true gain over the start, greater is better."""

    def value(self, configuration: Configuration, nth: int) -> float | None:
        """Return what the n-th run of this session comes out as, lower is better; None: crashed."""

    def seconds(self, configuration: Configuration) -> float:
        """Return how long a run takes."""

    def best(self, budget: int) -> float:
        """Return the true gain that who knows everything would have reached."""


def changed(knobs: Mapping[str, Knob], base: Configuration, change: Change) -> Configuration:
    """Return a configuration with other values of some settings."""
    values = dict(base) | dict(change)
    kept = (item for item in values.items() if item[1] != knobs[item[0]].default)
    return tuple(sorted(kept, key=lambda item: item[0]))


def value_in(knobs: Mapping[str, Knob], configuration: Configuration, name: str) -> Value:
    """Return the value that a setting has in a configuration."""
    return dict(configuration).get(name, knobs[name].default)


@dataclass(frozen=True)
class Cell:
    """A configuration that was measured: a value for each seed, None where it crashed."""

    values: tuple[float | None, ...]
    seconds: float

    @functools.cached_property
    def mean(self) -> float | None:
        """Mean of the values; None where most seeds have none."""
        known = [value for value in self.values if value is not None]
        return statistics.fmean(known) if 2 * len(known) > len(self.values) else None


class Measured:
    """A table of all configurations of some settings.

    Attributes:
        knobs: By name.
        sigma: Standard deviation of replicates, pooled over the configurations of the better half.
        scale: Median size of the effect of one setting's change, for the reader.
    """

    def __init__(self, knobs: Iterable[Knob], cells: Mapping[Configuration, Cell]) -> None:
        self.knobs = {knob.name: knob for knob in knobs}
        self.cells = cells
        means = {name: cell.mean for name, cell in cells.items()}
        known = [mean for mean in means.values() if mean is not None]
        self.worst, self.lowest = max(known), min(known)
        half = statistics.median(known)
        self.sigma = _pooled(
            cell for cell in cells.values() if cell.mean is not None and cell.mean <= half
        )
        self.start = self.mean(())

    def mean(self, configuration: Configuration) -> float:
        """Return the mean over seeds, the worst of the table for what crashes."""
        found = self.cells[configuration].mean
        return self.worst if found is None else found

    def steps(self) -> Iterator[tuple[Configuration, Configuration]]:
        """Yield each pair of configurations that differ in one setting."""
        for one in self.cells:
            for knob in self.knobs.values():
                for value in knob.values:
                    two = changed(self.knobs, one, ((knob.name, value),))
                    if two != one:
                        yield one, two


def _pooled(cells: Iterable[Cell]) -> float:
    squares, degrees = 0.0, 0
    for cell in cells:
        known = [value for value in cell.values if value is not None]
        if len(known) > 1:
            squares += statistics.variance(known) * (len(known) - 1)
            degrees += len(known) - 1
    return math.sqrt(squares / degrees) if degrees else 0.0


class Table:
    """A session in a measured table; see the module."""

    distinct = False
    repeats = (0.0, 0.0)
    agents = 1

    def __init__(self, measured: Measured, seed: int) -> None:
        self._measured = measured
        self._seed = seed
        self.knobs: Mapping[str, Knob] = measured.knobs
        self.sigma = measured.sigma
        self.methods: Sequence[Setting] = [
            (k.name, v) for k in self.knobs.values() for v in k.values
        ]

    def idea(self, number: int) -> Setting | None:  # noqa: ARG002 - there is no stream
        return None

    def truth(self, configuration: Configuration) -> float:
        return self._measured.start - self._measured.mean(configuration)

    def value(self, configuration: Configuration, nth: int) -> float | None:
        values = list(self._measured.cells[configuration].values)
        random.Random(f"table {self._seed} {configuration}").shuffle(values)
        return values[nth % len(values)]

    def seconds(self, configuration: Configuration) -> float:
        return self._measured.cells[configuration].seconds

    def best(self, budget: int) -> float:  # noqa: ARG002 - all of the table can be reached
        return self._measured.start - self._measured.lowest


class Open:
    """A session in a world of effects that add up; see the module."""

    def __init__(self, seed: int, *, repeating: bool) -> None:
        self.distinct = not repeating
        self.repeats = (0.09, 0.22) if repeating else (0.0, 0.0)
        self.agents = 3 if repeating else 1
        self._seed = f"open {repeating} {seed}"
        self._effects = list(EFFECTS)[seed % len(EFFECTS)]
        self.noise = NOISES[seed // len(EFFECTS) % len(NOISES)]
        self.sigma = SCALE * self.noise
        names = _names(f"{self._seed} names")
        values = (0.25, 0.5, 1.0, 2.0, 4.0)
        self.knobs: Mapping[str, Knob] = {
            name: Knob(name, values, 1.0, family if self.distinct else name)
            for name, family in names
        }
        self._order = list(self.knobs)
        self._effect_of: dict[Setting, float] = {}
        ideas = [self.idea(number) for number in range(PACK)]
        self.methods: Sequence[Setting] = (
            ideas if self.distinct else self._pairs(ideas[: PACK // 2])
        )

    def _pairs(self, ideas: Sequence[Setting]) -> list[Setting]:
        """Return each idea with another value of its setting."""
        return [
            (name, each)
            for name, value in ideas
            for each in (value, self.knobs[name].neighbours(1.0)[value == 0.5])
        ]

    def idea(self, number: int) -> Setting:
        name = self._order[number % IDEAS]
        values = [value for value in self.knobs[name].values if value != 1.0]
        return name, random.Random(f"{self._seed} idea {number}").choice(values)

    def truth(self, configuration: Configuration) -> float:
        return sum(map(self.effect, configuration))

    def effect(self, setting: Setting) -> float:
        """Return what a value of a setting gains over the one at the start."""
        if setting not in self._effect_of:
            draw = EFFECTS[self._effects]
            own = draw(random.Random(f"{self._seed} effect {setting}"))
            if not self.distinct and random.Random(f"{self._seed} {setting}").random() < SHARED:
                own = draw(random.Random(f"{self._seed} effect {setting[0]}"))
            self._effect_of[setting] = own
        return self._effect_of[setting]

    def crashes(self, setting: Setting) -> bool:
        """Say whether a value of a setting breaks the program."""
        return random.Random(f"{self._seed} crash {setting}").random() < CRASHES

    def value(self, configuration: Configuration, nth: int) -> float | None:
        if any(map(self.crashes, configuration)):
            return None
        noise = random.Random(f"{self._seed} run {configuration} {nth}").gauss(0, self.noise)
        return START - SCALE * (self.truth(configuration) + noise)

    def seconds(self, configuration: Configuration) -> float:  # noqa: ARG002 - all the same here
        return MINUTE

    def best(self, budget: int) -> float:
        ideas = [self.idea(number) for number in range(budget - 1)]
        return sum(max(0.0, self.effect(each)) for each in ideas if not self.crashes(each))


_PARTS = tuple(
    "embedding unembedding attention query key value mlp residual norm head rotary position"  # noqa: SIM905
    " window optimizer momentum schedule warmup batch gradient logit".split()
)
_PROPERTIES = tuple(
    "lr scale init width decay clip dropout epsilon temperature bias gain rate steps beta power"  # noqa: SIM905
    " threshold share factor period cap".split()
)


def _names(seed: str) -> Sequence[tuple[str, str]]:
    """Return names of settings and their families, in an order of the session's own."""
    names = [(f"{part}_{what}", part) for part in _PARTS for what in _PROPERTIES]
    random.Random(seed).shuffle(names)
    return names


def synthetic(seed: int = 0) -> Measured:
    """Return a made-up table of the shape of the measured one, for tests and until that is there.

    Effects of settings add up on a logarithmic scale, with small interactions of pairs; seeds have
    noise of a tenth of the typical effect, and one setting's value diverges with another's.
    """
    knobs = [
        Knob("activation", ("relu", "gelu", "relu2", "swiglu"), "relu", "activation"),
        Knob("norm", ("none", "layernorm", "rmsnorm"), "none", "norm"),
        Knob("optimizer", ("sgd", "adamw", "muon"), "sgd", "optimizer"),
        Knob("lr_scale", (0.3, 1.0, 3.0), 1.0, "lr_scale"),
        Knob("schedule", ("constant", "warmdown"), "constant", "schedule"),
        Knob("residual", (False, True), False, "residual"),
    ]
    cells: dict[Configuration, Cell] = {}
    for configuration in _all(knobs):
        full = [(k.name, dict(configuration).get(k.name, k.default)) for k in knobs]
        draw = [random.Random(f"{seed} {each}").gauss(0, 0.05) for each in full]
        pairs = [
            random.Random(f"{seed} {a} {b}").gauss(0, 0.01) for a in full for b in full if a < b
        ]
        rng = random.Random(f"{seed} {configuration}")
        broken = {("optimizer", "sgd"), ("lr_scale", 3.0)} <= set(full)
        values = [2.5 + sum(draw) + sum(pairs) + rng.gauss(0, 0.01) for _ in range(5)]
        cells[configuration] = Cell((None,) * 5 if broken else tuple(values), 5.0)
    return Measured(knobs, cells)


def _all(knobs: Sequence[Knob]) -> Iterator[Configuration]:
    if not knobs:
        yield ()
        return
    for rest in _all(knobs[1:]):
        for value in knobs[0].values:
            own = ((knobs[0].name, value),) if value != knobs[0].default else ()
            yield tuple(sorted((*own, *rest), key=lambda item: item[0]))
