"""docs/reference/json.md says what ``--json`` prints: no key less, and no key more."""

from __future__ import annotations

import json
import time
from pathlib import Path

import msgspec
import pytest

from gitexp.cli.commands import watch
from gitexp.environment import encode_environment
from gitexp.follow import LiveRuns
from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.records.facts import Input, RemarkFact, RunFact
from gitexp.store.batch import Batch, environment_path, write_batch
from gitexp.store.shard import shard_name
from tests.full_store import (
    BY,
    END,
    SHARD,
    Caller,
    commit,
    full_environment,
    running,
    write_facts,
    write_full_run,
)
from tests.json_reference import check, expanded, produced
from tests.methods_runs import record
from tests.remotes import bare_repository
from tests.support import Git
from tests.test_chains import whole_chain


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def full(repo: Git) -> str:
    return write_full_run(repo)


@pytest.fixture
def other(repo: Git, full: str) -> str:
    """A run with other values than the full one, and other code."""
    repo.write("train.py", "lr = 0.2\n")
    repo("mv", "pkg/model.py", "pkg/renamed.py")
    repo("commit", "--quiet", "-am", "third")
    run_id = commit(repo, "other")
    digest, record = encode_environment(full_environment("2.0", "3.13.0"))
    begin = RunFact(
        time=END,
        by=BY,
        name="other",
        parameters={"lr": 0.1},
        metadata={"source": "elsewhere"},
        inputs=(Input("data", "f" * 32, 1),),
        python="3.13.0",
        environment=digest,
    )
    write_facts(run_id, begin)
    files: dict[str, bytes | Path] = {environment_path(digest): record}
    write_batch(Repository.discover(), SHARD, Batch(files=files))
    return run_id


def test_best(call: Caller, full: str) -> None:
    check("best", call.json("best", "loss", "--columns", "name,started"))


def test_best_of_several_metrics(call: Caller, full: str) -> None:
    check("best METRIC METRIC", call.json("best", "loss", "speed", "--columns", "name"))


def test_log(call: Caller, full: str) -> None:
    check("log", call.json("log", "--columns", "name,started"))


def test_show(repo: Git, call: Caller, full: str) -> None:
    credited = whole_chain(repo).credit.run
    cited = record(repo, "said", metadata={"cites": ["muon"]})
    shown = [call.json("show", run) for run in (credited, cited)]
    check("show", call.json("show", full, "--environment"), *shown)
    short = call.json("show", full)
    assert "environment_record" not in short


def test_show_file(call: Caller, full: str) -> None:
    printed = call.json("show", full, "--log")
    check("show --file, show --log", printed)
    assert printed["text"] == "line\\xff\x1b[31m\n"


def test_metrics(call: Caller, full: str) -> None:
    check("metrics RUN", call.json("metrics", full))
    check("metrics RUN KEY", call.json("metrics", full, "acc"))
    check("metrics RUN KEY", call.json("metrics", full, "acc", "--points", "4"))
    assert {p["value"] for p in call.json("metrics", full, "acc")["points"]} == {"NaN"}


def test_plot(call: Caller, full: str, tmp_path: Path) -> None:
    check("plot", call.json("plot", "loss", "-o", str(tmp_path / "loss.svg")))
    assert "output" not in call.json("plot", "loss", full)


def test_export(call: Caller, full: str, tmp_path: Path) -> None:
    files = (str(tmp_path / "runs.csv"), str(tmp_path / "runs.html"))
    check("export", *(call.json("export", "-o", file) for file in files))
    line = call("export").out
    check("log", {"runs": [json.loads(line) | {"columns": {"name": "full"}}]})


@pytest.mark.usefixtures("repo")
def test_diff(call: Caller, full: str, other: str) -> None:
    forth, back = call.json("diff", full, other), call.json("diff", other, full)
    check("diff RUN RUN", forth, back)
    check("diff RUN", call.json("diff", full), call.json("diff", full, "--stat"))


def test_compare(repo: Git, call: Caller, full: str, other: str) -> None:
    bare, empty = commit(repo, "bare"), commit(repo, "empty")
    poor = msgspec.structs.replace(full_environment("1"), packages={}, accelerators=())
    digest, record = encode_environment(poor)
    write_batch(Repository.discover(), SHARD, Batch(files={environment_path(digest): record}))
    write_facts(bare, RunFact(time=END, by=BY, name="bare", metadata={"owner": "nobody"}))
    write_facts(empty, RunFact(time=END, by=BY, name="empty", environment=digest))
    printed = call.json("compare", full, other, bare, empty)
    check("compare", printed, call.json("compare", bare, full, other, "--all"))
    assert printed["environment"]["unknown"] == [2]


def test_status(repo: Git, call: Caller, full: str) -> None:
    assert call.json("status")["unshared"] is None
    repo("remote", "add", "origin", "/nowhere")
    write_facts(full, b"not json", b'{"kind":"dream","schema":1}')
    write_facts(full, b'{"kind":"dream","schema":2}', shard=shard_name(Repository.discover()))
    damaged = Repository.discover().home / "damaged"
    damaged.mkdir()
    (damaged / full).write_bytes(b"????")
    with running("full of life") as experiment:
        experiment.tag("live")
        state = call.json("status", "--size")
    keys = {path for path in expanded("status") if path[:1] != ("running",)}
    found = set(produced(state, expanded("status")))
    assert keys <= found <= set(expanded("status"))
    assert [run["name"] for run in state["running"]] == ["full of life"]
    assert "size" not in call.json("status")


def test_watch(call: Caller, full: str) -> None:
    (ended,) = call("watch", full, "--until-done", "--json").out.splitlines()
    with running("full of life") as experiment:
        live = LiveRuns(Repository.discover(), [experiment.run_id])
        live.look()
        progress = watch.as_json(live.states[experiment.run_id], None, time.time())
        live.close()
    check("watch", json.loads(ended), progress)
    assert json.loads(ended)["metrics"]["acc"] == {"last": "NaN", "count": 3}


def test_remarks(call: Caller, full: str) -> None:
    said = (("note", full, "text"), ("tag", full, "new"), ("verdict", full, "keep", "-m", "good"))
    for words in said:
        check("note, tag, verdict", call.json(*words))


@pytest.fixture
def hub(repo: Git, tmp_path: Path) -> Git:
    """A bare remote named origin."""
    bare = bare_repository(tmp_path / "hub.git")
    repo("remote", "add", "origin", str(bare.path))
    return bare


def test_push(repo: Git, call: Caller, full: str, hub: Git) -> None:
    absent = "ab" * 20
    write_facts(absent, RunFact(time=END, by=BY, name="token AKIA" + "Q3EGRT7HZ5LZ2F4P"))
    failure = json.loads(call("push", "--all", "--json", code=1).err)["error"]
    (finding,) = failure["details"]
    fingerprint = finding.split("fingerprint ")[1]
    printed = call.json("push", "--all", "--allow", fingerprint)
    assert (printed["missing"], printed["allowed"]) == ([absent], [fingerprint])
    check("push", printed)
    write_facts(full, RemarkFact(time=END, by=BY, comment="more"))
    again = call.json("push", "--all", "--dry-run")
    assert set(produced(again, expanded("push"))) <= set(expanded("push"))
    assert again["refs"][0]["old"] is not None


def test_pull(repo: Git, call: Caller, full: str, hub: Git, tmp_path: Path) -> None:
    call("push", "--all")
    hub("update-ref", f"{refs.FACTS}ODD", f"{refs.FACTS}{SHARD}")
    for ref in repo("for-each-ref", "--format=%(refname)", "refs/notes", "refs/exprag").split():
        repo("update-ref", "-d", ref)
    check("pull", call.json("pull", code=1))


def test_removal(call: Caller, full: str, other: str) -> None:
    removed = call.json("rm", full, "-m", "wrong")
    check("rm", removed)
    assert removed == {"removed": [full], "reason": "wrong"}
    would = call.json("gc", "--older-than", "0d", "--dry-run")
    assert (would["runs"], would["refs"]) == ([full], [])
    check("gc", call.json("gc", "--older-than", "0d"))


def test_archive(call: Caller, full: str) -> None:
    check("archive", call.json("archive", "--older-than", "0d"))


def test_a_key_that_is_not_documented_is_found() -> None:
    with pytest.raises(AssertionError, match="not documented"):
        check("status", {"shard": "x", "surprise": 1})


def test_a_key_that_is_not_printed_is_found() -> None:
    with pytest.raises(AssertionError, match="not printed"):
        check("log", {"runs": [{"run": "x"}]})


def test_verify(repo: Git, call: Caller, full: str) -> None:
    write_facts(full, b"not json")
    repo("update-ref", "-d", f"refs/exprag/runs/{full}")
    check("verify", call.json("verify", "--repair", code=1))
