"""What a command loads: reading never pays for libgit2, a fresh index not for the codecs."""

from __future__ import annotations

import pytest

from gitexp import Experiment
from tests.support import Git, gitexp, python

FRESH_READ = {
    "gitexp",
    "gitexp.cli",
    "gitexp.cli.commands",
    "gitexp.cli.main",
    "gitexp.cli.registry",
    "gitexp.cli.terminal",
    "gitexp.errors",
    "gitexp.kept",
    "gitexp.light",
    "gitexp.cli.columns",
    "gitexp.cli.context",
    "gitexp.cli.output",
    "gitexp.cli.select",
    "gitexp.document",
    "gitexp.git",
    "gitexp.git.process",
    "gitexp.git.read",
    "gitexp.git.refs",
    "gitexp.git.repository",
    "gitexp.index",
    "gitexp.index.ask",
    "gitexp.index.database",
    "gitexp.index.place",
    "gitexp.index.schema",
    "gitexp.index.search",
    "gitexp.memory",
    "gitexp.naming",
    "gitexp.query",
    "gitexp.query.functions",
    "gitexp.query.names",
    "gitexp.ranking",
    "gitexp.records",
    "gitexp.records.nested",
    "gitexp.render",
    "gitexp.render.table",
    "gitexp.render.text",
    "gitexp.store",
    "gitexp.store.problem",
    "gitexp.table",
}
"""The modules that a query on a fresh index loads, beside that of its command."""

SLOW_TO_LOAD = [
    *("pygit2", "cffi", "msgspec", "xxhash", "numpy", "rich", "typing", "inspect", "dataclasses"),
    *("ast", "shutil", "difflib", "hashlib", "tempfile"),
]

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
    [["log"], ["best", "loss"], ["metrics", "latest"], ["status"], ["log", "--json"]],
    ids=" ".join,
)
def test_a_command_that_reads_never_loads_libgit2(repo: Git, words: list[str]) -> None:
    with Experiment("x") as exp:
        exp.track({"loss": 1.0})
    assert loaded_by(*words) <= {"msgspec", "xxhash"}


def test_only_the_first_look_at_a_run_loads_libgit2(repo: Git) -> None:
    # What its code adds to its base is compared once, and remembered.
    with Experiment("x") as exp:
        exp.track({"loss": 1.0})
    gitexp("show")
    assert loaded_by("show") <= {"msgspec", "xxhash"}


@pytest.mark.parametrize("words", [["-h"], ["--version"]], ids=" ".join)
def test_help_loads_nothing(words: list[str]) -> None:
    assert loaded_by(*words) == set()


PINNED = """
import sys
from gitexp.cli.main import main
try:
    main({words!r})
except SystemExit as stop:
    assert not stop.code, stop.code
print("loaded:", *(name for name in sys.modules if name.partition(".")[0] == "gitexp"))
print("slow:", *(name for name in {slow!r} if name in sys.modules))
"""


@pytest.mark.parametrize(
    "words",
    [["best", "loss"], ["log"], ["best", "loss", "--json"], ["log", "-n", "1", "--json"]],
    ids=" ".join,
)
def test_a_query_on_a_fresh_index_loads_these_modules_only(repo: Git, words: list[str]) -> None:
    with Experiment("x", params={"lr": 0.1}, tags=["a"]) as exp:
        exp.track({"loss": 1.0})
    gitexp("log")
    code = PINNED.format(words=words, slow=SLOW_TO_LOAD)
    *_, loaded, slow = python(code).splitlines()
    own = {f"gitexp.cli.commands.{words[0]}"}
    own |= {"gitexp.cli.goal_options"} if words[0] == "best" else set()
    assert set(loaded.split()[1:]) == FRESH_READ | own
    assert slow.split()[1:] == []
