"""A model behind an endpoint: what is sent, what is read, and what a bad endpoint cannot do."""

from __future__ import annotations

import gzip
import json
import os
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from gitexp.errors import UsageError
from gitexp.providers.openai import MAX_ANSWER_BYTES, OpenAIProvider
from gitexp.providers.port import ProviderError, Reply, Request
from tests.model_server import Asked, Endpoint, completion, model_server, says, sends

KEY = "sk-test-0123456789abcdef"
USAGE = {
    "prompt_tokens": 70,
    "completion_tokens": 9,
    "prompt_tokens_details": {"cached_tokens": 64},
}


@pytest.fixture(scope="module")
def server() -> Iterator[Endpoint]:
    with model_server() as endpoint:
        yield endpoint


@pytest.fixture
def endpoint(server: Endpoint) -> Endpoint:
    server.asked.clear()
    return server


@pytest.fixture
def provider(endpoint: Endpoint) -> Iterator[OpenAIProvider]:
    made = OpenAIProvider(endpoint.base_url, "small-1", key_name="MY_KEY", key=KEY)
    yield made
    made.close()


def ask(provider: OpenAIProvider, budget_s: float = 20.0) -> Reply:
    return provider.ask(
        Request("Be brief.", "What next?", Path.cwd(), {}, budget_s=budget_s, max_tokens=500)
    )


def failure(provider: OpenAIProvider, budget_s: float = 20.0) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        ask(provider, budget_s)
    return caught.value


def test_the_model_is_asked_and_its_own_count_of_tokens_is_taken(
    endpoint: Endpoint, provider: OpenAIProvider
) -> None:
    endpoint.answer = says("Try a warm-up.", usage=USAGE)
    reply = ask(provider)
    assert (reply.text, reply.model, reply.edits_files) == ("Try a warm-up.", "small-1", False)
    assert (reply.tokens.prompt, reply.tokens.completion, reply.tokens.cached) == (70, 9, 64)
    assert not reply.tokens.estimated
    [asked] = endpoint.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.body["model"] == "small-1"
    assert asked.body["max_tokens"] == 500
    assert [message["role"] for message in asked.body["messages"]] == ["system", "user"]
    assert "tools" not in asked.body


@pytest.mark.parametrize(
    "usage",
    [
        None,
        {"prompt_tokens": -5, "completion_tokens": 1},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": "many", "completion_tokens": 1},
        {"prompt_tokens": 1 << 70, "completion_tokens": 1},
        [],
    ],
)
def test_tokens_are_counted_here_and_marked_so_where_the_endpoint_says_nothing_sensible(
    endpoint: Endpoint, provider: OpenAIProvider, usage: object
) -> None:
    endpoint.answer = says("Try a warm-up.", usage=usage)
    tokens = ask(provider).tokens
    assert tokens.estimated
    assert tokens.prompt > 0
    assert tokens.completion > 0


def test_an_endpoint_without_a_key_is_asked_without_one(endpoint: Endpoint) -> None:
    endpoint.answer = says("Yes.")
    provider = OpenAIProvider(endpoint.base_url, "llama")
    assert ask(provider).text == "Yes."
    assert provider.keys == ()
    assert KEY not in str(endpoint.asked)
    provider.close()


def test_variables_of_openai_do_not_reach_another_endpoint(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_ADMIN_KEY"):
        monkeypatch.setenv(name, "must-not-leave")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/elsewhere")
    endpoint.answer = says("Yes.")
    provider = OpenAIProvider(endpoint.base_url, "llama")
    ask(provider)
    provider.close()
    assert "must-not-leave" not in str(endpoint.asked)


@pytest.mark.parametrize(
    ("status", "retryable"), [(500, True), (503, True), (429, True), (400, False)]
)
def test_an_error_of_the_endpoint_is_told_and_whether_to_ask_again(
    endpoint: Endpoint, provider: OpenAIProvider, status: int, retryable: bool
) -> None:
    endpoint.answer = sends(b'{"error": {"message": "no such luck"}}', status)
    error = failure(provider)
    assert error.retryable is retryable
    assert str(status) in error.message
    assert "no such luck" in error.message
    assert len(endpoint.asked) == 1  # retries are the caller's


def test_a_rejected_key_is_explained_and_never_shown(
    endpoint: Endpoint, provider: OpenAIProvider
) -> None:
    endpoint.answer = sends(json.dumps({"error": {"message": f"bad key {KEY}"}}).encode(), 401)
    error = failure(provider)
    assert error.hint is not None
    assert "--key-env" in error.hint
    assert KEY not in str(error) + repr(error)


@pytest.mark.parametrize(
    "content",
    [
        b'{"choices": [{"message": {"content": "Tr',
        b"<html>Bad gateway</html>",
        b"[]",
        b'{"choices": "x"}',
        b'{"choices": [{"message": {"content": 5}}]}',
        b"[" * 100_000,
        b"",
        b"\xff\xfe",
    ],
)
def test_an_answer_that_is_no_completion_is_one_sentence(
    endpoint: Endpoint, provider: OpenAIProvider, content: bytes
) -> None:
    endpoint.answer = sends(content)
    error = failure(provider)
    assert error.retryable
    assert "completion" in error.message or "empty" in error.message
    assert len(error.message) < 500


def test_an_answer_that_ends_before_its_length_is_an_error(
    endpoint: Endpoint, provider: OpenAIProvider
) -> None:
    endpoint.answer = sends(b'{"choices": [', length=10_000)
    assert failure(provider).retryable


@pytest.mark.parametrize("status", [200, 500])
def test_a_hundred_megabytes_are_not_read(
    endpoint: Endpoint, provider: OpenAIProvider, status: int
) -> None:
    sent = 0

    def flood(handler: BaseHTTPRequestHandler, _: Asked) -> None:
        nonlocal sent
        handler.send_response(status)
        handler.send_header("Content-Length", str(100 << 20))
        handler.end_headers()
        for _part in range(100):
            handler.wfile.write(b" " * (1 << 20))
            sent += 1 << 20

    endpoint.answer = flood
    error = failure(provider)
    assert "MiB" in error.message
    assert error.tokens is not None
    assert sent < MAX_ANSWER_BYTES * 4


def test_a_compressed_bomb_is_not_inflated(endpoint: Endpoint, provider: OpenAIProvider) -> None:
    endpoint.answer = sends(gzip.compress(b" " * (64 << 20)), Content_Encoding="gzip")
    assert "compressed" in failure(provider).message
    assert endpoint.asked[0].headers["accept-encoding"] == "identity"


def test_a_stalled_answer_ends_with_its_time(endpoint: Endpoint, provider: OpenAIProvider) -> None:
    def stall(handler: BaseHTTPRequestHandler, _: Asked) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"{")
        endpoint.over.wait(20)

    endpoint.answer = stall
    error = failure(provider, budget_s=0.4)
    assert error.retryable
    assert error.tokens is not None
    assert error.tokens.estimated


def test_an_answer_that_drips_ends_with_its_time(
    endpoint: Endpoint, provider: OpenAIProvider
) -> None:
    dripped = 0

    def drip(handler: BaseHTTPRequestHandler, _: Asked) -> None:
        nonlocal dripped
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not endpoint.over.is_set():
            handler.wfile.write(b" ")
            dripped += 1
            time.sleep(0.05)

    endpoint.answer = drip
    assert "time" in failure(provider, budget_s=0.5).message
    assert 0 < dripped < 100


def test_tools_that_nobody_offered_are_no_answer(
    endpoint: Endpoint, provider: OpenAIProvider
) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "rm", "arguments": "{}"}}
    endpoint.answer = says(None, usage=USAGE, message={"tool_calls": [call]})
    error = failure(provider)
    assert "tool" in error.message
    assert error.tokens is not None
    assert error.tokens.prompt == 70  # it was billed all the same


def test_an_answer_that_was_cut_off_is_said_and_counted(
    endpoint: Endpoint, provider: OpenAIProvider
) -> None:
    endpoint.answer = says("Try a", usage=USAGE, finish_reason="length")
    error = failure(provider)
    assert "cut off" in error.message
    assert error.tokens is not None
    assert error.tokens.completion == 9


def test_a_redirect_is_not_followed(endpoint: Endpoint, provider: OpenAIProvider) -> None:
    with model_server() as other:
        other.answer = says("From elsewhere.")
        endpoint.answer = sends(b"", 307, Location=f"{other.base_url}/chat/completions")
        assert "307" in failure(provider).message
        assert other.asked == []


def test_nobody_listens_is_an_error_that_can_be_tried_again() -> None:
    with model_server() as gone:
        address = gone.base_url
    provider = OpenAIProvider(address, "m")
    error = failure(provider, budget_s=3)
    assert error.retryable
    assert "127.0.0.1" in error.message
    provider.close()


@pytest.mark.parametrize(
    "address", ["", "localhost:8000", "ftp://x/v1", "https://user:pw@host/v1", "file:///etc/passwd"]
)
def test_an_address_that_is_none_is_refused_before_anything_is_asked(address: str) -> None:
    with pytest.raises(UsageError) as caught:
        OpenAIProvider(address, "m")
    assert "pw" not in caught.value.message


def test_a_named_variable_must_be_set() -> None:
    with pytest.raises(UsageError, match="MY_KEY"):
        OpenAIProvider(
            "http://127.0.0.1:9/v1", "m", key_name="MY_KEY", key=os.environ.get("MY_KEY")
        )


def test_an_answer_is_read_whatever_else_it_holds(
    endpoint: Endpoint, provider: OpenAIProvider
) -> None:
    odd = completion("Yes.", usage=USAGE) | {
        "system_fingerprint": 7,
        "service_tier": [],
        "id": None,
    }
    endpoint.answer = sends(json.dumps(odd).encode())
    assert ask(provider).text == "Yes."
