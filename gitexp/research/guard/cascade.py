"""The levels of the guard: each says whether an idea was tried, and by which runs it is known.

The strongest comes first (docs/research.md, "The guard"). A level that has evidence decides, even
where that says no more than that nobody knows: weaker levels are not asked then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gitexp.document import Document
from gitexp.index.observe import Observed
from gitexp.records.decision import Evidence, Level, NoveltyClass
from gitexp.research.guard.changes import Change
from gitexp.research.guard.known import Known, plain_command, plain_parameters
from gitexp.research.guard.structure import (
    SettingChange,
    from_parameters,
    from_words,
    residue,
    symbols_key,
)
from gitexp.research.guard.text import OTHER_VALUES, inverse_frequency, likeness, words
from gitexp.research.guard.values import Value, shown

SIMILAR = 0.6
"""Likeness of texts from which on they are taken to mean the same."""

_COMPARED = 60
_READ = 200
"""Documents that are read for one level at most."""
_LOOKED_AT = 40
_SHOWN_LINES = 6
_RARE_WORDS = 12
_LEAST_WORDS = 2
_TIE = 0.05
"""Runs as near as this to the nearest one have a say in the class."""


@dataclass(frozen=True)
class Subject:
    """An idea, made ready to be compared.

    Attributes:
        marked: Words and marks of description, hypothesis, family and tags.
        described: Of the description alone.
        family: The line of ideas that it belongs to.
        parameters: By dotted path without seeds; None where nothing is said of them.
        command: Without seeds; None likewise.
        setup: Digest of parameters, command and inputs; None where no command is said.
        seed: As text; None where none is said.
        code: Digest of the code that matters; None for an idea without code.
        base: Digest of that of its base.
        change: Against the base.
        run: Its id where it is a run itself.
        sees: Says of a run whether it counts.
    """

    marked: Sequence[str]
    described: Sequence[str]
    family: str | None
    parameters: Mapping[str, Any] | None
    command: Sequence[str] | None
    setup: bytes | None
    seed: str | None
    code: bytes | None
    base: bytes | None
    change: Change | None
    run: bytes | None
    sees: Callable[[Observed], bool]


@dataclass(frozen=True)
class Found:
    """What a level says.

    Attributes:
        evidence: The weightiest first.
        certain: All that makes a configuration is known to be the same.
        note: A sentence that says more than the class; may be empty.
    """

    classification: NoveltyClass
    evidence: tuple[Evidence, ...]
    certain: bool = False
    note: str = ""


@dataclass(frozen=True)
class Cascade:
    """The levels for one idea."""

    known: Known
    subject: Subject

    def identity(self) -> Found | None:
        """Find the same configuration."""
        mine = self.subject
        if mine.code is not None:
            runs = self._seen(self.known.with_code(mine.code))
        elif mine.run is not None:
            runs = self._seen(self.known.same_without_code(mine.run))
        else:
            return None
        if runs and mine.parameters is None and mine.command is None:
            return self._same_code_alone(runs)
        same = self._agreeing(runs)
        is_certain = all(self.known.rows[run].setup == mine.setup for run in same)
        return self._repeated(same, "identity", certain=is_certain)

    def _same_code_alone(self, runs: Sequence[bytes]) -> Found | None:
        """Judge an idea that says nothing of parameters and command, by its code."""
        if len({self.known.rows[run].setup for run in runs}) == 1:
            return self._repeated(runs, "identity")
        what = "this code, with one of several sets of parameters or commands"
        latest = runs[:-_LOOKED_AT:-1]
        evidence = tuple(self._evidence(run, "identity", 1.0, what) for run in latest)
        note = "The code was run before; say with --param and a command what is to differ."
        return Found("novel", evidence, note=note)

    def _seen(self, runs: Iterable[bytes]) -> list[bytes]:
        return [run for run in runs if self._sees(run)]

    def _sees(self, run: bytes) -> bool:
        row = self.known.rows.get(run)
        return row is not None and run != self.subject.run and self.subject.sees(row)

    def _agreeing(self, runs: Sequence[bytes]) -> list[bytes]:
        """Return those of some runs that had the idea's parameters and command, as far as said."""
        mine = self.subject
        if mine.setup is not None:
            same = [run for run in runs if self.known.rows[run].setup == mine.setup]
            if same or mine.run is not None:
                return same
        if mine.parameters:
            having = set(self.known.with_parameters(mine.parameters, _READ))
            runs = [run for run in runs if run in having]
        elif mine.parameters is None and mine.command is None:
            return list(runs)
        agrees: dict[bytes, bool] = {}
        for run, document in self.known.documents(self._one_each(runs)).items():
            agrees[self.known.rows[run].setup] = _agree(mine, document)
        return [run for run in runs if agrees.get(self.known.rows[run].setup)]

    def _one_each(self, runs: Sequence[bytes]) -> list[bytes]:
        """Return the latest run of each setup, of the latest setups."""
        latest = {self.known.rows[run].setup: run for run in runs}
        return list(latest.values())[-_READ:]

    def _repeated(
        self,
        runs: Sequence[bytes],
        level: Level,
        lines: Sequence[str] = (),
        *,
        certain: bool = False,
    ) -> Found | None:
        """Judge an idea that these runs tried exactly."""
        if not runs:
            return None
        latest = runs[: -_LOOKED_AT - 1 : -1]
        what = "the same configuration" if level == "identity" else "the same change, on this base"
        evidence = [self._evidence(run, level, 1.0, what, lines) for run in latest]
        if all(self.known.outcome(run) == "stopped" for run in latest):
            return Found("novel", tuple(evidence), note="What was run so far had no result.")
        seed = self.subject.seed
        if seed is None:
            return Found("duplicate_run", tuple(evidence), certain)
        seeds = self.known.seeds(latest)
        evidence.sort(key=lambda each: seeds.get(bytes.fromhex(each.run)) != seed)
        is_new = seed not in seeds.values()
        return Found("replicate" if is_new else "duplicate_run", tuple(evidence), certain)

    def _evidence(
        self, run: bytes, level: Level, score: float, what: str, lines: Sequence[str] = ()
    ) -> Evidence:
        why = f"It had {what}; {self.known.how_it_went(run)}."
        return Evidence(run.hex(), level, round(score, 3), why, tuple(lines)[:_SHOWN_LINES])

    def patch(self) -> Found | None:
        """Find the same change, on this base or another."""
        change = self.subject.change
        if change is None:
            return None
        found = [hit for hit in self.known.changes.same(change.digest) if self._sees(hit.run)]
        found.sort(key=lambda hit: self.known.rows[hit.run].started)
        agreeing = set(self._agreeing([hit.run for hit in found]))
        hits = [hit for hit in found if hit.run in agreeing][-_LOOKED_AT:]
        there = _Comparison(self.known, change)
        same = [hit.run for hit in hits if there.is_same_code(hit)]
        if same:
            return self._repeated(same, "patch", change.sample)
        moved = [hit for hit in hits if set(hit.places) & set(change.places) or not change.places]
        moved = [hit for hit in moved if there.is_moved(hit)]
        evidence = tuple(self._moved(hit, change) for hit in reversed(moved))
        return Found("retest_on_new_base", evidence) if evidence else None

    def _moved(self, hit: Change, change: Change) -> Evidence:
        is_near = hit.context == change.context
        around = "the code around it is as it was" if is_near else "the code around it differs too"
        what = f"the same change, on another base ({around})"
        return self._evidence(hit.run, "patch", 1.0 if is_near else 0.9, what, change.sample)

    def structure(self) -> Found | None:
        """Find the same settings with these or other values."""
        settings = self._settings()
        if not settings or any(change.new is None for change in settings):
            return None
        tried = [*self._tried_in_code(settings), *self._tried_in_words(settings)]
        tried += self._tried_in_parameters()
        tried = list({each.run: each for each in reversed(tried)}.values())
        equal = [each for each in tried if _same_values(each.settings, settings)]
        if equal:
            here = [each for each in equal if each.here]
            return self._by_outcome(here, settings) if here else self._elsewhere(equal)
        if len(settings) != 1:
            return None
        return self._between([each for each in tried if each.here], settings[0])

    def _settings(self) -> tuple[SettingChange, ...]:
        """Return the settings that the idea changes, if it does nothing else."""
        mine = self.subject
        if mine.change is not None and mine.change.digest:
            return mine.change.settings if mine.change.pure else ()
        if changes := self._against_champion():
            return changes
        settings = from_words(mine.described)
        return () if residue(mine.described, settings) else settings

    def _against_champion(self) -> tuple[SettingChange, ...]:
        champion = self.known.champion_document
        if champion is None or not self.subject.parameters:
            return ()
        theirs = plain_parameters(champion.get("parameters", {}))
        return from_parameters(self.subject.parameters, theirs, self.known.aliases)

    def _tried_in_code(self, settings: Sequence[SettingChange]) -> list[_Tried]:
        base = self.subject.base
        found = self.known.changes.with_settings(settings, base or b"")
        hits = {hit.run: hit for hit in found}
        return [
            _Tried(run, hits[run].settings, here=base is not None and hits[run].base == base)
            for run in self._agreeing(self._seen(hits))
        ]

    def _tried_in_words(self, settings: Sequence[SettingChange]) -> list[_Tried]:
        """Return the runs that say in words that they changed these settings and nothing else."""
        key = symbols_key(settings)
        parts = {part for s in settings for part in (s.symbol, *s.symbol.split("_"))}
        found = filter(self._sees, self.known.like_words(parts, _COMPARED))
        mine = self.known.base_configuration(self.subject.run)
        tried = []
        for run, document in self.known.documents(found).items():
            change = self.known.changes.of_run(run)
            if change is not None and change.digest:
                continue  # its code says more than its words
            described = self.known.described(document)
            theirs = from_words(described)
            if symbols_key(theirs) != key or residue(described, theirs):
                continue
            base = self.known.base_configuration(run)
            here = base is not None and base == mine and not _other_start(theirs, settings)
            tried.append(_Tried(run, theirs, here=here))
        return tried

    def _tried_in_parameters(self) -> list[_Tried]:
        """Return the runs of this code that differ from the idea in one parameter's value."""
        mine = self.subject
        changes = self._against_champion()
        if mine.code is None or not mine.parameters or len(changes) != 1:
            return []
        symbol, old = changes[0].symbol, changes[0].old
        paths = [path for path in mine.parameters if self.known.symbol(path) == symbol]
        if len(paths) != 1:
            return []
        path, others = paths[0], _but(mine.parameters, paths[0])
        found = set(self.known.with_parameters(others, _READ))
        runs = [run for run in self._seen(self.known.with_code(mine.code)) if run in found]
        tried = []
        for run, document in self.known.documents(runs).items():
            theirs = plain_parameters(document.get("parameters", {}))
            if path in theirs and _but(theirs, path) == others:
                base = {} if old is None else {path: old}
                settings = from_parameters({path: theirs[path]}, base, self.known.aliases)
                tried.append(_Tried(run, settings, here=True))
        return [each for each in tried if each.settings]

    def _by_outcome(self, tried: Sequence[_Tried], settings: Sequence[SettingChange]) -> Found:
        """Judge an idea that sets what these runs set, on their base."""
        lines = [str(change) for change in settings]
        what = "the same settings, on this base"
        runs = [each.run for each in tried]
        evidence = tuple(self._evidence(run, "structure", 1.0, what, lines) for run in runs)
        return Found(self._class_of(runs), evidence)

    def _elsewhere(self, tried: Sequence[_Tried]) -> Found:
        what = "the same settings, on another base"
        evidence = (
            self._evidence(each.run, "structure", 0.9, what, [str(s) for s in each.settings])
            for each in tried
        )
        return Found("retest_on_new_base", tuple(evidence))

    def _between(self, tried: Sequence[_Tried], wanted: SettingChange) -> Found | None:
        """Judge a number by those that failed: between two of them, or further out than one."""
        new = wanted.new
        if not isinstance(new, float):
            return None
        values = [(each.settings[0].new, each) for each in tried]
        numbers = [(value, each) for value, each in values if isinstance(value, float)]
        numbers.sort(key=lambda pair: abs(pair[0] - new))
        below = self._nearest_failure([pair for pair in numbers if pair[0] < new])
        above = self._nearest_failure([pair for pair in numbers if pair[0] > new])
        if below and above:
            return Found("interpolation", (self._setting(below[1]), self._setting(above[1])))
        old = wanted.old if isinstance(wanted.old, float) else _start(tried)
        failed = below if old is not None and old < new else above
        if old is None or failed is None or not min(old, new) < failed[0] < max(old, new):
            return None
        further = [pair for pair in numbers if (pair[0] - failed[0]) * (new - failed[0]) > 0]
        if any(self.known.outcome(each.run) == "success" for _, each in further[:_LOOKED_AT]):
            return None
        note = f"{wanted.symbol} {shown(new)} is further in a direction that failed."
        return Found("repeat_failure", (self._setting(failed[1]),), note=note)

    def _nearest_failure(
        self, numbers: Sequence[tuple[float, _Tried]]
    ) -> tuple[float, _Tried] | None:
        """Return the first that failed, of those that are looked at."""
        return next(
            (pair for pair in numbers[:_LOOKED_AT] if self.known.outcome(pair[1].run) == "failure"),
            None,
        )

    def _setting(self, tried: _Tried) -> Evidence:
        lines = [str(change) for change in tried.settings]
        return self._evidence(tried.run, "structure", 0.8, "another value of this setting", lines)

    def near(self) -> Found | None:
        """Find a change that has most of this one in it, or the reverse."""
        change = self.subject.change
        if change is None or not change.shingles:
            return None
        hits = [
            (hit, max(jaccard, containment))
            for hit, jaccard, containment in self.known.changes.near(change)
            if self._sees(hit.run) and not _contradict(hit.settings, change.settings)
        ]
        what = "a change that is nearly the same"
        evidence = tuple(
            self._evidence(hit.run, "near patch", score, what, _shared(hit, change))
            for hit, score in hits[:_LOOKED_AT]
        )
        best = [hit.run for hit, score in hits if score >= hits[0][1] - _TIE]
        return Found(self._class_of(best), evidence) if hits else None

    def text(self) -> Found | None:
        """Find words that mean the same."""
        mine = words(self.subject.marked)
        if len(set(mine)) < _LEAST_WORDS:
            return None
        number = len(self.known.rows)
        weights = {w: inverse_frequency(number, self.known.frequency(w)) for w in set(mine)}
        rarest = sorted(weights, key=lambda word: (-weights[word], word))[:_RARE_WORDS]
        unknown = inverse_frequency(number, 1) / 2
        settings = from_words(self.subject.described)
        scored = []
        candidates = filter(self._sees, self.known.like_words(rarest, _COMPARED))
        for run, document in self.known.documents(candidates).items():
            marked = self.known.marked(document)
            score, both = likeness(mine, words(marked), lambda word: weights.get(word, unknown))
            if _contradict(from_words(self.known.described(document)), settings):
                score *= OTHER_VALUES
            if score >= SIMILAR:
                scored.append((score, run, both))
        scored.sort(key=lambda row: (-row[0], row[1]))
        evidence = tuple(
            self._evidence(run, "text", score, "words that are much the same", both)
            for score, run, both in scored[:_LOOKED_AT]
        )
        best = [run for score, run, _ in scored if score >= scored[0][0] - _TIE]
        return Found(self._class_of(best), evidence) if scored else None

    def _class_of(self, runs: Sequence[bytes]) -> NoveltyClass:
        """Return the class of an idea by how the runs of it went; a success counts first."""
        outcomes = {run: self.known.outcome(run) for run in runs}
        successes = [run for run, outcome in outcomes.items() if outcome == "success"]
        if successes:
            families = {d.get("family") for d in self.known.documents(successes).values()}
            mine = self.subject.family
            return "incremental_followup" if mine and mine in families else "known_success"
        return "repeat_failure" if "failure" in outcomes.values() else "novel"


@dataclass(frozen=True)
class _Tried:
    """A run that changed certain settings alone; whether on the base that the idea has."""

    run: bytes
    settings: tuple[SettingChange, ...]
    here: bool


class _Comparison:
    """A change beside those of the same digest: whether code and bases are the same."""

    def __init__(self, known: Known, change: Change) -> None:
        self._known = known
        self._change = change
        self._empty: dict[tuple[bytes, bytes], bool] = {}

    def is_same_code(self, hit: Change) -> bool:
        """Say whether it led to the same code, comments and spaces apart."""
        return not self.is_moved(hit) and self._is_empty(hit.new, self._change.new)

    def is_moved(self, hit: Change) -> bool:
        """Say whether it was made to another base, comments and spaces apart."""
        return hit.base != self._change.base and not self._is_empty(hit.old, self._change.old)

    def _is_empty(self, one: bytes, two: bytes) -> bool:
        if (one, two) not in self._empty:
            found = self._known.changes.differences(one, two)
            self._empty[one, two] = found is not None and not found.digest
        return self._empty[one, two]


def _agree(subject: Subject, document: Document) -> bool:
    """Say whether a run had the parameters and the command of an idea, as far as said."""
    parameters, command = subject.parameters, subject.command
    return (
        parameters is None or plain_parameters(document.get("parameters", {})) == parameters
    ) and (command is None or plain_command(document.get("command", [])) == command)


def _but(parameters: Mapping[str, Any], path: str) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name != path}


def _shared(one: Change, two: Change) -> list[str]:
    return [line for line in one.sample if line in two.sample]


def _start(tried: Iterable[_Tried]) -> float | None:
    """Return the value that a setting had before, where all runs say the same one."""
    olds = {each.settings[0].old for each in tried}
    old: Value | None = olds.pop() if len(olds) == 1 else None
    return old if isinstance(old, float) else None


def _same_values(one: Iterable[SettingChange], two: Iterable[SettingChange]) -> bool:
    return {c.symbol: c.new for c in one} == {c.symbol: c.new for c in two}


def _other_start(one: Iterable[SettingChange], two: Iterable[SettingChange]) -> bool:
    """Say whether a setting is said to have had another value before."""
    olds = {change.symbol: change.old for change in one if change.old is not None}
    return any(c.old is not None and olds.get(c.symbol, c.old) != c.old for c in two)


def _contradict(one: Iterable[SettingChange], two: Iterable[SettingChange]) -> bool:
    """Say whether a setting that is in both gets different values, or goes different ways."""
    theirs = {change.symbol: change for change in one}
    pairs = [(theirs[change.symbol], change) for change in two if change.symbol in theirs]
    return any(
        (None not in (a.new, b.new) and a.new != b.new)
        or (None not in (a.direction, b.direction) and a.direction != b.direction)
        for a, b in pairs
    )
