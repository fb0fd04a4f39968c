"""The goal metric and the code that matters, as settings and runs have them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

import pytest

import gitexp
from gitexp import Experiment
from gitexp.errors import GitexpError, UsageError
from gitexp.git.repository import Repository
from gitexp.research.cache import NAME, open_cache
from gitexp.research.code import Code
from gitexp.research.goal import goal_metric
from tests.full_store import drop_object
from tests.support import Git


def record(**metrics: float) -> str:
    with Experiment("x") as experiment:
        experiment.track(metrics)
    return experiment.run_id


def test_without_runs_there_is_no_goal(repo: Git) -> None:
    with pytest.raises(GitexpError, match="No run has a metric yet"):
        goal_metric(gitexp.open())


def test_the_goal_is_the_metric_that_most_runs_have(repo: Git) -> None:
    record(speed=1.0)
    record(val_loss=1.0, acc=2.0)
    record(val_loss=1.0)
    goal = goal_metric(gitexp.open())
    assert (goal.metric, goal.lower, goal.by, goal.source) == ("val_loss", True, "best", "runs")
    assert goal.column == "min"
    assert goal.gain(1.0, 3.0) == 2.0


def test_settings_and_options_say_what_the_goal_is(repo: Git) -> None:
    for name, value in {"metric": "acc", "goal": "max", "by": "last", "minimum": "0.5"}.items():
        repo("config", f"exprag.{name}", value)
    record(score=1.0, acc=2.0)
    goal = goal_metric(gitexp.open())
    assert (goal.metric, goal.word, goal.column, goal.minimum) == ("acc", "max", "last", 0.5)
    assert goal.source == "settings"
    assert goal.gain(3.0, 1.0) == 2.0
    assert goal_metric(gitexp.open(), "score", lower=True).word == "min"


@pytest.mark.parametrize(
    ("name", "value"), [("by", "median"), ("minimum", "-1"), ("minimum", "nan"), ("goal", "up")]
)
def test_a_setting_that_cannot_be_understood_is_said(repo: Git, name: str, value: str) -> None:
    repo("config", f"exprag.{name}", value)
    record(acc=1.0)
    with pytest.raises(UsageError, match=f"exprag.{name}"):
        goal_metric(gitexp.open())


@pytest.fixture
def cache(repo: Git) -> Iterator[sqlite3.Connection]:
    db = open_cache(Repository.discover())
    yield db
    db.close()


def tree(git: Git) -> bytes:
    git("add", "--all")
    return bytes.fromhex(git("write-tree"))


def test_documentation_and_results_do_not_make_other_code(
    repo: Git, cache: sqlite3.Connection
) -> None:
    before = tree(repo)
    for path in ("README.md", "docs/x.md", "results.tsv", "results/memorylab/a.py", "LICENSE"):
        repo.write(path, "text\n")
    after = tree(repo)
    repo.write("pkg/model.py", "WIDTH = 9\n")
    other = tree(repo)
    digests = Code(Repository.discover(), cache).digests([before, after, other])
    assert digests[before] == digests[after] != digests[other]


def test_names_modes_and_places_of_code_count(repo: Git, cache: sqlite3.Connection) -> None:
    trees = [tree(repo)]
    repo("mv", "train.py", "main.py")
    trees.append(tree(repo))
    (repo.path / "main.py").chmod(0o755)
    trees.append(tree(repo))
    repo.write("results/other/a.py", "x = 1\n")
    trees.append(tree(repo))
    digests = Code(Repository.discover(), cache).digests(trees)
    assert len(set(digests.values())) == len(trees)


def test_more_can_be_ignored(repo: Git, cache: sqlite3.Connection) -> None:
    before = tree(repo)
    repo.write("notes/today.txt", "x\n")
    repo.write("plot.ipynb", "x\n")
    after = tree(repo)
    assert len(set(Code(Repository.discover(), cache).digests([before, after]).values())) == 2
    repo("config", "--add", "exprag.ignore", "*.ipynb")
    repo("config", "--add", "exprag.ignore", "notes/*")
    assert len(set(Code(Repository.discover(), cache).digests([before, after]).values())) == 1


def test_a_tree_that_is_not_whole_has_no_digest(repo: Git, cache: sqlite3.Connection) -> None:
    whole = tree(repo)
    drop_object(repo, repo("rev-parse", f"{whole.hex()}:pkg"))
    assert Code(Repository.discover(), cache).digests([whole, b"\1" * 20]) == {}


def test_digests_are_remembered(repo: Git, cache: sqlite3.Connection) -> None:
    whole = tree(repo)
    first = Code(Repository.discover(), cache).digests([whole])
    drop_object(repo, whole.hex())
    with open_cache(Repository.discover()) as again:
        assert Code(Repository.discover(), again).digests([whole]) == first


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
def test_a_cache_that_is_no_cache_is_made_anew(repo: Git, content: bytes) -> None:
    path = Repository.discover().home / NAME
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    db = open_cache(Repository.discover())
    assert db.execute("SELECT count(*) FROM code").fetchone() == (0,)
    db.close()
