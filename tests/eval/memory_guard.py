"""gitexp's guard over runs in memory, as fast as a simulation needs it.

The cascade of levels, the reading of a change (`patch_of`, `from_edits`) and the policies are the
product's own; what is replaced is where runs are looked up: lists instead of git and SQLite. The
code of a configuration is a file of constants, ``train.py``, one for each setting, as agents edit
such files. Two levels are not asked, near patches and words: by the table of policies they never
block, and simulated agents heed nothing but blocks. `tests.eval.memory_real` plays sessions
beside a real repository and compares.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, cast

from gitexp.configuration import digest_of
from gitexp.git.patches import FileChange
from gitexp.research.guard.aliases import Aliases
from gitexp.research.guard.cascade import Cascade, Found, Subject
from gitexp.research.guard.changes import Change as CodeChange
from gitexp.research.guard.novelty import Finding, _finding
from gitexp.research.guard.patch import patch_of
from gitexp.research.guard.structure import SettingChange, from_edits, symbols_key
from tests.eval.memory_worlds import Configuration, Knob, World
from tests.eval.worlds import digest

COMMAND = ("python", "train.py")
PATH = "train.py"
_ALIASES = Aliases({})
_SETUP = digest_of({}, COMMAND)

Outcome = Literal["success", "failure", "unresolved", "stopped"]


class _Row(NamedTuple):
    """As much of `gitexp.index.observe.Observed` as the levels look at."""

    id: bytes
    setup: bytes
    started: int


def key(configuration: Configuration) -> bytes:
    """Return the name of a configuration, 16 bytes."""
    return digest(16, "configuration", configuration)


def run_id(number: int) -> bytes:
    """Return the id of the n-th run, 20 bytes."""
    return digest(20, "run", number)


def source(knobs: Iterable[Knob], configuration: Configuration) -> bytes:
    """Return the program that a configuration is."""
    values = dict(configuration)
    lines = [f"{k.name.upper()} = {values.get(k.name, k.default)!r}" for k in knobs]
    body = ['"""Train a model."""', "", *lines, "", "", "def main():", "    train(globals())", ""]
    return "\n".join([*body, "", "main()", ""]).encode()


class Runs:
    """What was run: it stands for `gitexp.research.guard.known.Known`.

    Attributes:
        rows: By id, in order.
        champion_document: None: plans name no parameters here, so it is not looked at.
    """

    champion_document = None

    def __init__(self, world: World) -> None:
        self._knobs = list(world.knobs.values())
        self.rows: dict[bytes, _Row] = {}
        self.changes = _Changes()
        self.outcomes: Any = lambda _: "unresolved"
        self._by_code: dict[bytes, list[bytes]] = {}
        self._read = functools.lru_cache(maxsize=4096)(self._read_change)

    def add(self, number: int, configuration: Configuration, base: Configuration | None) -> None:
        """Take a run that started after all others.

        Args:
            number: Its.
            configuration: What it ran.
            base: What its snapshot's parent holds; None for the start.
        """
        run = run_id(number)
        self.rows[run] = _Row(run, _SETUP, number)
        self._by_code.setdefault(key(configuration), []).append(run)
        if base is not None:
            self.changes.add(self.change(base, configuration)._replace(run=run))

    def change(self, base: Configuration, configuration: Configuration) -> CodeChange:
        """Return what a configuration changes of another."""
        return self._read(base, configuration)

    def _read_change(self, base: Configuration, configuration: Configuration) -> CodeChange:
        old, new = source(self._knobs, base), source(self._knobs, configuration)
        patch = patch_of([FileChange(PATH, 0o100644, 0o100644, "", "", old, new)])
        settings = from_edits(patch.edits, _ALIASES, opaque=False)
        return CodeChange(
            b"",
            key(base),
            key(configuration),
            key(base),
            patch.digest,
            patch.context,
            patch.places,
            patch.shingles,
            settings.changes,
            settings.pure,
            patch.sample,
        )

    def with_code(self, code: bytes) -> list[bytes]:
        return self._by_code.get(code, [])

    def documents(self, runs: Iterable[bytes]) -> dict[bytes, dict[str, Any]]:
        return {run: {"command": list(COMMAND)} for run in runs}

    def outcome(self, run: bytes) -> Outcome:
        return cast("Outcome", self.outcomes(run))

    def how_it_went(self, run: bytes) -> str:
        return self.outcome(run)

    def like_words(self, found: Iterable[str], limit: int) -> list[bytes]:  # noqa: ARG002
        return []

    def base_configuration(self, run: bytes | None) -> bytes | None:  # noqa: ARG002
        return None


class _Difference(NamedTuple):
    """As much of a patch as is asked of two trees: whether it is empty."""

    digest: bytes


class _Changes:
    """The changes of runs; it stands for `gitexp.research.guard.changes.Changes`."""

    def __init__(self) -> None:
        self._all: list[CodeChange] = []

    def add(self, change: CodeChange) -> None:
        self._all.append(change)

    def same(self, wanted: bytes) -> list[CodeChange]:
        return [each for each in self._all if wanted and each.digest == wanted]

    def with_settings(self, settings: Sequence[SettingChange], base: bytes) -> list[CodeChange]:
        wanted = symbols_key(settings)
        found = [each for each in self._all if each.pure and symbols_key(each.settings) == wanted]
        return sorted(found, key=lambda each: each.base != base)

    def differences(self, one: bytes, two: bytes) -> _Difference:
        return _Difference(b"" if one == two else b"other")


class _Cascade(Cascade):
    """The levels that may block."""

    def near(self) -> Found | None:
        return None

    def text(self) -> Found | None:
        return None


def check(runs: Runs, base: Configuration, configuration: Configuration) -> Finding:
    """Return what the guard says of a change of the code, as the loop asks it.

    Args:
        runs: What was run.
        base: The champion.
        configuration: What the change makes of it.
    """
    change = runs.change(base, configuration)
    subject = Subject(
        marked=(),
        described=(),
        family=None,
        parameters={},
        command=COMMAND,
        setup=_SETUP,
        seed=None,
        code=key(configuration),
        base=key(base),
        change=change,
        run=None,
        sees=lambda _: True,
    )
    return _finding(_Cascade(cast("Any", runs), subject), "exploit", 3)
