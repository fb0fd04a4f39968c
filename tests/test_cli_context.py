"""The command context: the brief, in as many tokens as were asked for."""

from __future__ import annotations

import pytest

from gitexp.research.overview.brief import estimated_tokens
from tests.full_store import Caller
from tests.lab import Lab
from tests.support import Git


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def test_without_runs_it_says_how_to_begin(repo: Git, call: Caller) -> None:
    assert call("context").out == (
        "gitexp remembers no experiment in this repository yet.\n"
        "Record the first one: git exp run -- COMMAND\n"
    )
    assert call.json("context") == {"text": "", "tokens": 0, "left_out": [], "limit": 2000}


def test_the_brief_has_as_many_tokens_as_asked_for(repo: Git, call: Caller) -> None:
    lab = Lab(repo)
    for i in range(8):
        lab.run(1.0 - i / 10, code=str(i), description="an idea of many words " * 5)
    lengths = []
    for tokens in (200, 500, 2000):
        found = call.json("context", "--tokens", str(tokens))
        assert found["tokens"] == estimated_tokens(found["text"]) <= tokens == found["limit"]
        assert call("context", "--tokens", str(tokens)).out == found["text"]
        lengths.append(len(found["text"]))
    assert lengths == sorted(lengths)


@pytest.mark.parametrize("tokens", ["199", "0", "-5", "many"])
def test_what_is_no_length_is_refused(repo: Git, call: Caller, tokens: str) -> None:
    Lab(repo).run(1.0)
    call("context", f"--tokens={tokens}", code=2)
