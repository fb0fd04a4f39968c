"""``git exp verify``: what it prints, its exit codes, and that it changes nothing unasked."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.store.batch import note_path
from tests.full_store import (
    SHARD,
    Caller,
    hostile_run,
    is_harmless,
    record_runs,
    write_facts,
    write_full_run,
)
from tests.support import Git
from tests.test_verify import rewrite, tree_digest


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def runs(repo: Git) -> list[str]:
    found = [*record_runs(repo), write_full_run(repo)]
    assert Memory(Repository.discover()).count() == 4
    return found


def test_a_whole_store_is_said_in_one_line(repo: Git, runs: list[str], call: Caller) -> None:
    said = call("verify")
    assert said.out.startswith("Everything recorded is whole: looked at 10 refs, 4 runs,")
    assert said.out.count("\n") == 1
    assert said.err == ""


def test_a_repository_without_runs_is_whole(repo: Git, call: Caller) -> None:
    before = tree_digest(repo.path)
    assert "found nothing" in call("verify").out
    assert call.json("verify", "--repair")["repaired"] == []
    assert tree_digest(repo.path) == before


def test_a_finding_comes_with_its_place_and_what_to_do(
    repo: Git, runs: list[str], call: Caller
) -> None:
    write_facts(runs[3], b"not json")
    before = tree_digest(repo.path)
    out = call("verify", code=1).out
    assert f"damaged: {refs.FACTS}{SHARD}, line 5: The line cannot be read" in out
    assert "    See it with 'git show" in out
    assert "found 1 damaged" in out
    assert tree_digest(repo.path) == before


def test_a_note_is_no_failure(repo: Git, runs: list[str], call: Caller) -> None:
    repo("update-ref", "refs/exprag/dreams/one", "HEAD")
    assert "note: refs/exprag/dreams/one: " in call("verify").out


def test_repair_says_what_it_did_and_how_it_stands_then(
    repo: Git, runs: list[str], call: Caller
) -> None:
    rewrite(repo, f"{refs.FACTS}{SHARD}", {note_path(runs[3]): None})
    assert "to repair" in call("verify", code=1).out
    out = call("verify", "--repair").out
    assert out.startswith(f"repaired: {refs.FACTS}{SHARD}: Brought back")
    assert "Everything recorded is whole" in out
    assert "repaired" not in call("verify", "--repair").out


def test_json_holds_findings_and_repairs(repo: Git, runs: list[str], call: Caller) -> None:
    repo("update-ref", "-d", refs.run_ref(runs[0]))
    found = call.json("verify", code=1)
    assert (found["whole"], found["counts"]["repairable"]) == (False, 1)
    (finding,) = found["findings"]
    assert (finding["check"], finding["run"]) == ("handle", runs[0])
    after = call.json("verify", "--repair")
    assert (after["whole"], after["findings"]) == (True, [])
    assert [each["run"] for each in after["repaired"]] == [runs[0]]


def test_many_findings_of_a_kind_are_cut_short_and_whole_in_json(
    repo: Git, runs: list[str], call: Caller
) -> None:
    write_facts(runs[3], *(b"no %d" % number for number in range(30)))
    out = call("verify", code=1).out
    assert out.count("The line cannot be read") == 20
    assert "and 10 more like these" in out
    assert len(call.json("verify", code=1)["findings"]) == 30


def test_text_by_others_is_harmless(repo: Git, runs: list[str], call: Caller) -> None:
    hostile_run(repo)
    write_facts(runs[3], b'{"kind":"\x1b[31m","schema":1}', '{"kind":"\u202e"}'.encode())
    rewrite(repo, f"{refs.FILES}{SHARD}", {"a\x1b[31m\tb": b"x"})
    said = call("verify", code=1)
    assert is_harmless(said.out)
    assert is_harmless(said.err)


def test_outside_a_repository_it_says_so(
    repo: Git, call: Caller, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no git repository" in call("verify", code=10).err
