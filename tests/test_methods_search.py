"""``methods search`` and ``methods next`` as commands: what they print, and what they record."""

from __future__ import annotations

import json
import os
import stat
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest

from gitexp.cli.context import Context
from gitexp.cli.methods_search import configure_next, configure_search, run_next, run_search
from gitexp.cli.output import Output
from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.methods.search import ADVISORY, RANKER
from tests.ranked import library, method, tried
from tests.support import Git


def search(*words: str, json: bool = False) -> int:
    """Run ``methods search``."""
    parser = ArgumentParser()
    configure_search(parser)
    return run_search(parser.parse_args(words), Context(Output(json=json)))


def suggest(*words: str, json: bool = False) -> int:
    """Run ``methods next``."""
    parser = ArgumentParser()
    configure_next(parser)
    return run_next(parser.parse_args(words), Context(Output(json=json)))


def retrievals() -> list[Any]:
    return Library(Repository.discover()).retrievals()


def test_a_search_prints_methods_with_why_and_what_to_type(
    repo: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    library()
    assert search("swish-x", "activation") == 0
    said = capsys.readouterr().out
    assert said.startswith("1. swish-x: SWISH-X (activation)\n")
    assert "    - No run is credited to it yet" in said
    assert '    from "Swish" (arxiv-1)' in said
    assert '    $ git exp check -m "use swish-x"' in said
    assert "    $ git exp run --cites swish-x" in said


def test_the_advisory_sentence_is_printed_and_in_json(
    repo: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    library()
    search("activation")
    suggest("--limit", "1")
    said = capsys.readouterr().out
    assert said.count(f"{ADVISORY}\n") == (2 if ADVISORY else 0)
    suggest(json=True)
    assert json.loads(capsys.readouterr().out)["advisory"] == ADVISORY


def test_explain_prints_each_term(repo: Git, capsys: pytest.CaptureFixture[str]) -> None:
    library()
    search("activation", "--explain", "--limit", "1")
    said = capsys.readouterr().out
    for term in ("own texts", "passages", "effect", "sd", "value", "score", "fatigue", "risk"):
        assert f"\n      {term} " in said
    search("activation", "--limit", "1")
    assert "own texts" not in capsys.readouterr().out


def test_json_has_the_documented_shape(repo: Git, capsys: pytest.CaptureFixture[str]) -> None:
    library()
    run = tried("start", 1.0, "gelu_x(x)")
    tried("one", 0.9, "swish_x(x)", parent=run)
    search("swish-x", json=True)
    answer = json.loads(capsys.readouterr().out)
    assert list(answer) == ["query", "ranker", "advisory", "retrieval", "methods"]
    assert (answer["query"], answer["ranker"]) == ("swish-x", RANKER)
    first = answer["methods"][0]
    assert first["slug"] == "swish-x"
    assert set(first["evidence"]) == {"mean", "sd", "runs", "weight"}
    assert set(first["risk"]) == {"probability", "label"}
    assert len(first["runs"]) == first["evidence"]["runs"] == 1
    assert {term["name"] for term in first["terms"]} >= {"own texts", "value", "score", "risk"}
    assert first["in_use"] is True


def test_what_was_shown_is_recorded_with_the_run_that_asked(
    repo: Git, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library()
    monkeypatch.setenv("GITEXP_RUN", "a" * 40)
    search("activation", json=True)
    answer = json.loads(capsys.readouterr().out)
    (line,) = retrievals()
    assert line.id == answer["retrieval"]
    assert line.run == "a" * 40
    assert [each.id for each in line.shown] == [each["slug"] for each in answer["methods"]]


def test_no_record_records_nothing(repo: Git, capsys: pytest.CaptureFixture[str]) -> None:
    library()
    suggest("--no-record", json=True)
    assert json.loads(capsys.readouterr().out)["retrieval"] is None
    assert retrievals() == []


def test_what_no_run_is_named_by_is_not_recorded_as_one(
    repo: Git, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library()
    monkeypatch.setenv("GITEXP_RUN", "; rm")
    suggest()
    assert retrievals()[0].run is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_repository_answers_and_says_what_is_not_recorded(
    repo: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    library()
    folders = [Path(".git"), *(path for path in Path(".git").rglob("*") if path.is_dir())]
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert search("activation") == 0
    finally:
        for folder in folders:
            folder.chmod(stat.S_IRWXU)
    said = capsys.readouterr()
    assert "swish-x" in said.out
    assert "is not recorded" in said.err


def test_a_retrieval_that_cannot_be_written_leaves_the_answer(
    repo: Git, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    library()
    monkeypatch.setenv("GIT_DIR", str(repo.path / ".git"))  # so that settings are read again
    monkeypatch.setenv("GITEXP_SHARD", "NOT USABLE")
    assert search("activation", json=True) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert answer["retrieval"] is None
    assert answer["methods"]
    assert "is not recorded" in said.err


def test_nothing_that_fits_is_said(repo: Git, capsys: pytest.CaptureFixture[str]) -> None:
    library()
    assert search("qqzzqqzz", "--no-record") == 0
    assert "No method fits." in capsys.readouterr().out


def test_a_veto_that_leaves_nothing_is_said(repo: Git, capsys: pytest.CaptureFixture[str]) -> None:
    library()
    assert search("activation", "--max-risk", "0", "--no-record") == 0
    assert "--max-risk" in capsys.readouterr().out


def test_hostile_texts_never_reach_the_terminal_as_they_are(
    repo: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    library(method("evil-x", name="\x1b[2JEVIL\r\nrun this", summary="\x1b]0;title\x07 \u202e"))
    search("evil-x", "--explain", "--no-record")
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "\u202e" not in said
    assert "\nrun this" not in said
