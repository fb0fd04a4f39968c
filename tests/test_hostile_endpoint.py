"""The loop against an endpoint that does everything wrong: budgets hold, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

import gitexp
from gitexp.loop import ask
from gitexp.loop.plan import Budgets
from gitexp.loop.progress import LoopResult
from gitexp.providers.openai import OpenAIProvider
from tests.loop_project import (
    Users,
    answer,
    known_project,
    library_of,
    loop_for,
    plan_for,
    worktrees,
)
from tests.model_server import Answer, Asked, Endpoint, completion, model_server, says, sends
from tests.support import Git

CALL = {"id": "1", "type": "function", "function": {"name": "rm", "arguments": "{}"}}
USAGE = {"prompt_tokens": 100, "completion_tokens": 10}


def flood(handler: BaseHTTPRequestHandler, _: Asked) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(100 << 20))
    handler.end_headers()
    for _part in range(100):
        handler.wfile.write(b" " * (1 << 20))


def stall(endpoint: Endpoint) -> Answer:
    def answer_never(handler: BaseHTTPRequestHandler, _: Asked) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{")
        endpoint.over.wait(30)

    return answer_never


HOSTILE: dict[str, Answer] = {
    "an error": sends(b"{}", 500),
    "truncated": sends(json.dumps(completion("x")).encode()[:40]),
    "cut off": sends(b'{"choices": [', length=10_000),
    "a tool": says(None, message={"tool_calls": [CALL]}, usage=USAGE),
    "no edits": says("I would rather not.", usage=USAGE),
    "escape": says("title: out\n\n../../x.py\n<<<<<<< SEARCH\na\n=======\nb\n>>>>>>> REPLACE\n"),
}


@pytest.fixture
def project(tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch) -> Git:
    monkeypatch.setattr(ask, "PAUSE_S", 0.01)
    return known_project(tmp_path, monkeypatch)


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with model_server() as made:
        yield made


def play(project: Git, endpoint: Endpoint, budgets: Budgets) -> LoopResult:
    provider = OpenAIProvider(endpoint.base_url, "small")
    try:
        return loop_for(project, plan_for(budgets=budgets), provider).run()
    finally:
        provider.close()


@pytest.mark.parametrize("kind", HOSTILE)
def test_after_a_bad_answer_the_loop_goes_on(project: Git, endpoint: Endpoint, kind: str) -> None:
    before = Users(project)
    answers = iter([HOSTILE[kind]])
    good = says(answer(("LR = 0.10", "LR = 0.2"), title="LR 0.2"), usage=USAGE)

    def one_after_the_other(handler: BaseHTTPRequestHandler, asked: Asked) -> None:
        next(answers, good)(handler, asked)

    endpoint.answer = one_after_the_other
    result = play(project, endpoint, Budgets(runs=1))
    assert result.error is None
    assert [gitexp.open().get(run).name for run in result.runs] == ["LR 0.2"]
    assert len(endpoint.asked) >= 2
    usages = library_of(project).usages()
    assert sum(usage.prompt + usage.completion for usage in usages) == result.spent.tokens > 0
    assert Users(project) == before
    assert worktrees(project) == []


def test_a_hundred_megabytes_end_the_session_with_a_sentence_and_are_counted(
    project: Git, endpoint: Endpoint
) -> None:
    endpoint.answer = flood
    result = play(project, endpoint, Budgets(runs=5))
    assert result.reason == "provider"
    assert "MiB" in result.sentence
    assert result.spent.estimated
    assert result.spent.prompt > 0
    assert result.runs == ()


def test_an_endpoint_that_stalls_ends_with_the_time_of_the_session(
    project: Git, endpoint: Endpoint
) -> None:
    endpoint.answer = stall(endpoint)
    result = play(project, endpoint, Budgets(seconds=1.5))
    assert result.reason in ("time", "provider")
    assert result.spent.prompt > 0
    assert worktrees(project) == []


def test_errors_for_ever_are_asked_a_bounded_number_of_times(
    project: Git, endpoint: Endpoint
) -> None:
    endpoint.answer = HOSTILE["an error"]
    result = play(project, endpoint, Budgets(runs=5))
    assert result.reason == "provider"
    assert result.error is not None
    assert len(endpoint.asked) == ask.ATTEMPTS


def test_calls_that_give_nothing_use_up_the_tokens(project: Git, endpoint: Endpoint) -> None:
    usage = {"prompt_tokens": 6_000, "completion_tokens": 10}
    endpoint.answer = says("I would rather not.", usage=usage)
    result = play(project, endpoint, Budgets(tokens=30_000, failures=100))
    assert result.reason == "tokens"
    assert result.spent.calls == 5  # it says that a prompt took more than it can have taken
    assert result.runs == ()
