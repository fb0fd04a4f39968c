"""``git exp compare`` on real repositories."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitexp.cli.commands import compare as command
from gitexp.environment import encode_environment
from gitexp.experiment import Experiment
from gitexp.git.numstat import Changes, count_changes
from gitexp.git.repository import Repository
from gitexp.records.facts import RunFact
from gitexp.store.batch import Batch, environment_path, write_batch
from tests.full_store import (
    BY,
    END,
    SHARD,
    Caller,
    commit,
    drop_object,
    full_environment,
    hostile_run,
    is_harmless,
    record_runs,
    running,
    table,
    write_facts,
)
from tests.support import Git, python
from tests.test_cli_look import on_terminal


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def runs(repo: Git) -> list[str]:
    return record_runs(repo)


def rows(text: str) -> dict[str, list[str]]:
    """Return the rows of a table by the name in their second column."""
    return {row[1]: row[2:] for row in table(text)}


def test_a_pipe_gets_what_differs_with_all_digits_one_column_a_run(
    call: Caller, runs: list[str]
) -> None:
    header, *found = table(call("compare", *runs).out)
    assert header == ["section", "name", *(run[:12] for run in runs)]
    assert [row for row in found if row[0] not in ("outcome", "code")] == [
        ["run", "name", "run 0", "run 1", "run 2"],
        ["parameters", "params.lr", "0.0", "0.1", "0.2"],
        ["metrics", "max(metrics.acc)", "0.3", "1.3", "2.3"],
        ["metrics", "last(metrics.acc)", "0.3", "1.3", "2.3"],
    ]
    assert [row[1:] for row in found if row[1] in ("same", "files", "added", "deleted")] == [
        ["same", "True", "False", "False"],
        ["files", "0", "1", "1"],
        ["added", "0", "1", "1"],
        ["deleted", "0", "1", "1"],
    ]


def test_named_runs_keep_their_order_and_count_once(call: Caller, runs: list[str]) -> None:
    found = call.json("compare", "run 2", runs[0], "latest")
    assert [run["run"] for run in found["runs"]] == [runs[2], runs[0]]
    assert found["parameters"] == [{"name": "params.lr", "values": [0.2, 0.0]}]


def test_runs_are_chosen_as_in_log(call: Caller, runs: list[str]) -> None:
    found = call.json("compare", "--where", "params.lr > 0.05", "--sort", "params.lr")
    assert [run["run"] for run in found["runs"]] == runs[1:]
    assert [run["run"] for run in call.json("compare", "-n", "2")["runs"]] == runs[:0:-1]
    assert len(call.json("compare", "--since", "1 hour ago", "--author", "Ada")["runs"]) == 3


def test_transpose_gives_one_row_a_run(call: Caller, runs: list[str]) -> None:
    header, *found = table(call("compare", *runs, "--transpose").out)
    assert header[:2] == ["run", "name"]
    at = header.index("params.lr")
    assert [(row[0], row[at]) for row in found] == [
        (run[:12], f"0.{i}") for i, run in enumerate(runs)
    ]


def test_all_shows_what_is_the_same_too(call: Caller, runs: list[str]) -> None:
    assert "params.width" not in rows(call("compare", *runs).out)
    found = rows(call("compare", *runs, "--all").out)
    assert found["params.width"] == ["8", "8", "8"]
    assert len(set(found["packages.msgspec"])) == 1


def test_requests_that_cannot_be_answered_say_what_to_do(
    call: Caller, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (
        ["compare", runs[0]],
        ["compare", "run 0", runs[0]],
        ["compare", "--where", "params.lr == 0"],
    ):
        assert f"nothing to compare run {runs[0][:12]} with" in call(*words, code=1).err
    assert "no run to compare" in call("compare", "--where", "params.lr > 9", code=1).err
    assert "at the same time" in call("compare", *runs, "-n", "2", code=2).err
    assert "-n must be 2 or more" in call("compare", "-n", "1", code=2).err
    assert "No run answers to" in call("compare", runs[0], "nobody", code=1).err
    monkeypatch.setattr(command, "MOST", 2)
    for words in (["compare"], ["compare", *runs], ["compare", "-n", "3"]):
        said = call(*words, code=1).err
        assert "more than 2 runs" in said
        assert "--where" in said
    assert len(call.json("compare", "-n", "2")["runs"]) == 2


def test_code_is_counted_by_git_against_the_first_run(repo: Git, call: Caller) -> None:
    ids = [commit(repo, "a"), commit(repo, "same code")]
    repo.write("train.py", "lr = 0.1\nprint(lr)\nprint(1)\n")
    repo.write("blob.bin", b"\0\1\2")
    repo("mv", "pkg/model.py", "pkg/odd\tname\n.py")
    repo("add", ".")
    repo("commit", "--quiet", "-m", "third")
    ids += [commit(repo, "b"), "e" * 40]
    for run_id in ids:
        write_facts(run_id, RunFact(time=END, by=BY, name=run_id))
    code = call.json("compare", *ids)["code"]
    known = ("same", "files", "added", "deleted")
    assert [tuple(each.get(name) for name in known) for each in code] == [
        (True, 0, 0, 0),
        (True, 0, 0, 0),
        (False, 3, 1, 0),
        (None, None, None, None),
    ]
    assert [each.get("tree") for each in code[:3]] == [
        repo("rev-parse", f"{i}^{{tree}}") for i in ids[:3]
    ]
    assert "tree" not in code[3]
    assert "not here" in on_terminal("compare", *ids, GIT_PAGER="cat")


def test_changes_are_counted_for_pairs_that_can_be_read_when_another_cannot(repo: Git) -> None:
    trees = [repo("rev-parse", "HEAD^{tree}")]
    for content in ("one\n", "two\n"):
        repo.write("train.py", content)
        repo("add", ".")
        trees.append(repo("write-tree"))
    drop_object(repo, repo("rev-parse", f"{trees[1]}:train.py"))
    pairs = [(trees[0], trees[1]), (trees[0], trees[2]), (trees[0], "1" * 40)]
    found = count_changes(Repository.discover(), pairs)
    assert found == {pairs[1]: Changes(1, 1, 2)}


def test_a_path_cannot_pass_for_the_ids_of_two_trees(repo: Git) -> None:
    old = repo("rev-parse", "HEAD^{tree}")
    repo("mv", "train.py", f"{'a' * 40} {'b' * 40}\n.py")
    new = repo("write-tree")
    assert count_changes(Repository.discover(), [(old, new)]) == {(old, new): Changes(1, 0, 0)}


def test_a_run_in_progress_is_compared(call: Caller, runs: list[str]) -> None:
    with running() as live:
        found = rows(call("compare", runs[0], live.run_id).out)
    assert found["status"] == ["finished", "running"]
    assert found["params.lr"] == ["0.0", "0.25"]
    assert found["min(loss)"] == ["", "1.0"]


def test_packages_are_compared_where_environments_differ(repo: Git, call: Caller) -> None:
    for version in ("1.26", "2.0"):
        digest, record = encode_environment(full_environment(version))
        files: dict[str, bytes | Path] = {environment_path(digest): record}
        write_batch(Repository.discover(), SHARD, Batch(files=files))
        fact = RunFact(time=END, by=BY, name=version, environment=digest)
        write_facts(commit(repo, version), fact)
    assert rows(call("compare", "1.26", "2.0").out)["packages.numpy"] == ["1.26", "2.0"]


def test_nothing_heavy_is_loaded_while_environments_are_the_same(runs: list[str]) -> None:
    code = f"""
import sys
from gitexp.cli.main import guarded
assert guarded(["compare", *{runs!r}]) == 0
print(*(name for name in ("pygit2", "msgspec", "dataclasses", "inspect") if name in sys.modules))
"""
    python(code)  # brings the index up to date
    assert python(code).splitlines()[-1] == ""


def test_on_a_terminal_the_best_is_bold_or_has_a_star(runs: list[str]) -> None:
    shown = on_terminal("compare", *runs, GIT_PAGER="cat")
    assert "\x1b[1m2.3\x1b[0m" in shown
    assert "The same in all: 1 parameter, 1 metric; --all" in shown
    plain = on_terminal("compare", *runs, GIT_PAGER="cat", NO_COLOR="1")
    assert "\x1b" not in plain
    assert "2.3*" in plain


def test_equal_runs_differ_in_nothing(repo: Git) -> None:
    ids = [commit(repo, name) for name in ("a", "b")]
    for run_id in ids:
        write_facts(run_id, RunFact(time=END, by=BY, name="equal"))
    assert "Nothing differs." in on_terminal("compare", *ids, GIT_PAGER="cat")


def test_hostile_text_reaches_no_terminal(repo: Git, call: Caller) -> None:
    run_id = hostile_run(repo)
    for words in (["compare", run_id, "other"], ["compare", run_id, "other", "--transpose"]):
        assert is_harmless(call(*words).out)
        assert is_harmless(on_terminal(*words, GIT_PAGER="cat", NO_COLOR="1"))


def test_many_parameters_of_many_shapes(call: Caller, repo: Git) -> None:
    for number in range(2):
        params = {f"p{i}": i + number for i in range(100)} | {
            "nested": {"list": [1, {"x": number}]}
        }
        with Experiment(f"many {number}", params=params):
            pass
    found = rows(call("compare", "many 0", "many 1").out)
    assert found["params.nested.list"] == ['[1,{"x":0}]', '[1,{"x":1}]']
    assert sum(name.startswith("params.p") for name in found) == 100
