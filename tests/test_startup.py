"""What a command loads: reading never pays for libgit2 (45 ms), help not even for the codecs."""

from __future__ import annotations

import pytest

from gitexp import Experiment
from tests.support import Git, python

HEAVY = ("pygit2", "cffi", "msgspec", "xxhash", "numpy", "gitexp.experiment", "gitexp.snapshot")
LOADED = """
import sys
from gitexp.cli.main import main
try:
    main({words!r})
except SystemExit as stop:
    assert not stop.code, stop.code
print("loaded:", *(name for name in {heavy!r} if name in sys.modules))
"""


def loaded_by(*words: str) -> set[str]:
    code = LOADED.format(words=list(words), heavy=HEAVY)
    return set(python(code).splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "words",
    [["log"], ["best", "loss"], ["show"], ["metrics", "latest"], ["status"], ["log", "--json"]],
    ids=" ".join,
)
def test_a_command_that_reads_never_loads_libgit2(repo: Git, words: list[str]) -> None:
    with Experiment("x") as exp:
        exp.track({"loss": 1.0})
    assert loaded_by(*words) <= {"msgspec", "xxhash"}


@pytest.mark.parametrize("words", [["-h"], ["--version"]], ids=" ".join)
def test_help_loads_nothing(words: list[str]) -> None:
    assert loaded_by(*words) == set()
