"""A model behind an OpenAI-compatible endpoint: OpenAI, OpenRouter, Venice, Ollama, vLLM.

The client is OpenAI's own (extra ``models``). What an endpoint may do to us is bounded around it:
it is the only address that is contacted (no redirects), an answer has at most `MAX_ANSWER_BYTES`
as it comes over the wire and is not inflated, and its time ends wherever it stalls. Retries are
the caller's, who has budgets to check before each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from gitexp.errors import GitexpError, UsageError
from gitexp.providers.count import counted
from gitexp.providers.port import ProviderError, Reply, Request, Tokens

if TYPE_CHECKING:
    import httpx2
    import openai

MAX_ANSWER_BYTES = 8 << 20
"""Beyond it an answer is not read: the longest that models give have some hundred kilobytes."""

_MOST_TOKENS = 1 << 40
_CONNECT_S = 20.0
_SHOWN = 300
_NO_KEY = "none"
_OPENAI_HOST = "api.openai.com"
_RETRYABLE = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class _Details(msgspec.Struct):
    cached_tokens: int | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_details: _Details | None = None


class _Message(msgspec.Struct):
    content: str | None = None
    tool_calls: list[Any] | None = None


class _Choice(msgspec.Struct):
    message: _Message
    finish_reason: str | None = None


class _Answer(msgspec.Struct):
    """What is read of a chat completion; the usage apart, for it may be odd and the rest good."""

    choices: list[_Choice]
    usage: msgspec.Raw = msgspec.Raw(b"null")


class _TooMuchError(Exception):
    """An answer is too long, or takes too long."""


class OpenAIProvider:
    """Asks a model through chat completions.

    Attributes:
        name: ``openai``.
        model: As the endpoint calls it.
        keys: Name of the variable that holds the key, if any.
    """

    name = "openai"

    def __init__(
        self, base_url: str, model: str, *, key_name: str | None = None, key: str | None = None
    ) -> None:
        """Prepare to ask; nothing is contacted yet.

        Args:
            base_url: Of the endpoint, such as ``https://api.openai.com/v1``.
            model: As the endpoint calls it.
            key_name: Name of the environment variable of the key.
            key: The key itself; it is kept in memory only, and in no message.

        Raises:
            UsageError: The address is none, or the variable is not set.
            GitexpError: The client is not installed.
        """
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise UsageError(
                "The address of the endpoint is not an http or https address without a user.",
                "Give one such as --base-url https://api.openai.com/v1.",
            )
        if key_name is not None and not key:
            raise UsageError(
                f"The environment variable {key_name} is not set.",
                "Set it to the key, or name another one with --key-env.",
            )
        self.model = model
        self.keys: tuple[str, ...] = () if key_name is None else (key_name,)
        self._host = parts.hostname
        self._key = key
        self._client = self._open(base_url)
        self._deadline = 0.0

    def _open(self, base_url: str) -> openai.OpenAI:
        try:
            import openai
        except ImportError as error:
            raise GitexpError(
                "Asking a model needs OpenAI's client, which is not installed.",
                "Install it: pip install 'gitexp[models]'.",
            ) from error
        bounded = openai.DefaultHttpxClient(
            follow_redirects=False, event_hooks={"response": [self._bound]}
        )
        return openai.OpenAI(
            api_key=self._key or _NO_KEY,
            base_url=base_url,
            organization="",  # else that of OpenAI's own variables would go to any endpoint
            project="",
            max_retries=0,
            http_client=bounded,
            default_headers={"Accept-Encoding": "identity"},
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def ask(self, request: Request) -> Reply:
        """Return the answer of the model; see `Provider.ask`."""
        started = time.monotonic()
        self._deadline = started + request.budget_s
        content = self._call(request)
        answer = _decoded(content)
        choice = answer.choices[0] if answer.choices else None
        text = choice.message.content or "" if choice else ""
        tokens = _tokens(answer.usage, request, text)
        if choice is None or not text.strip():
            raise ProviderError(_why_empty(choice), retryable=True, tokens=tokens)
        if choice.finish_reason == "length":
            raise ProviderError(
                f"The answer was cut off after {request.max_tokens} tokens.",
                retryable=True,
                tokens=tokens,
            )
        return Reply(text, tokens, self.model, time.monotonic() - started)

    def _call(self, request: Request) -> bytes:
        import openai

        limit = "max_completion_tokens" if self._host == _OPENAI_HOST else "max_tokens"
        body: dict[str, Any] = {limit: request.max_tokens}
        try:
            response = self._client.chat.completions.with_raw_response.create(
                model=self.model,
                messages=[
                    {"role": "system", "content": request.system},
                    {"role": "user", "content": request.prompt},
                ],
                timeout=openai.Timeout(request.budget_s, connect=min(_CONNECT_S, request.budget_s)),
                extra_body=body,
            )
            content: bytes = response.content
        except _TooMuchError as error:
            raise ProviderError(str(error), tokens=_spent(request)) from error
        except openai.APIStatusError as error:
            raise self._status_error(error, request) from error
        except openai.APITimeoutError as error:
            message = f"The endpoint did not answer within {request.budget_s:g} s."
            raise ProviderError(message, retryable=True, tokens=_spent(request)) from error
        except openai.APIConnectionError as error:
            raise self._connection_error(error, request) from error
        except openai.OpenAIError as error:
            raise ProviderError(f"The client failed: {self._safe(error)}") from error
        return content

    def _bound(self, response: httpx2.Response) -> None:
        """Bound what is read of a response, before anything of it is."""
        if response.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise _TooMuchError("The endpoint compressed its answer, which was not asked for.")
        response.stream = _bounded(response.stream, self._deadline)

    def _status_error(self, error: openai.APIStatusError, request: Request) -> ProviderError:
        status = error.status_code
        hint = None
        if status in (401, 403):
            hint = "See whether the key belongs to this endpoint: --key-env names its variable."
        elif status == 404:  # noqa: PLR2004 - HTTP
            hint = "See whether --base-url and --model are those of the endpoint."
        # What a failed call took is not known; only the prompt can have been billed.
        spent = _spent(request) if status >= 500 else None  # noqa: PLR2004 - HTTP
        return ProviderError(
            f"The endpoint answered {status}: {self._safe(error)}",
            hint,
            retryable=status in _RETRYABLE,
            tokens=spent,
        )

    def _connection_error(
        self, error: openai.APIConnectionError, request: Request
    ) -> ProviderError:
        cause = error.__cause__ or error
        if isinstance(cause, _TooMuchError):
            return ProviderError(str(cause), tokens=_spent(request))
        said = f"{type(cause).__name__}: {self._safe(cause)}"
        return ProviderError(
            f"The endpoint at {self._host} did not answer ({said}).",
            "See whether it runs, and whether --base-url is its address.",
            retryable=True,
            tokens=_spent(request),
        )

    def _safe(self, error: BaseException) -> str:
        """Return what an error says, short, on one line and without the key."""
        said = " ".join(str(error).split())
        if self._key:
            said = said.replace(self._key, "…")
        return said if len(said) <= _SHOWN else f"{said[:_SHOWN]}…"


def _bounded(stream: Any, deadline: float) -> Any:
    """Return a byte stream of the client's kind that ends with an error beyond the bounds."""
    import httpx2

    class Bounded(httpx2.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            size = 0
            for part in stream:
                size += len(part)
                if size > MAX_ANSWER_BYTES:
                    raise _TooMuchError(
                        f"The answer is longer than {MAX_ANSWER_BYTES >> 20} MiB; it is not read."
                    )
                if time.monotonic() > deadline:
                    raise _TooMuchError("The time for the answer was over before its end.")
                yield part

        def close(self) -> None:
            stream.close()

    return Bounded()


def _decoded(content: bytes) -> _Answer:
    try:
        return msgspec.json.decode(content, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ProviderError(
            f"The answer is no chat completion: {str(error)[:_SHOWN]}.",
            "See whether --base-url is that of an OpenAI-compatible endpoint.",
            retryable=True,
        ) from error


def _tokens(usage: msgspec.Raw, request: Request, text: str) -> Tokens:
    """Return what the endpoint says the call took; counted here where it says nothing sensible."""
    try:
        said = msgspec.json.decode(usage, type=_Usage | None)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        said = None
    if said is None:
        return counted(request.system + request.prompt, text)
    details = said.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or 0
    numbers = (said.prompt_tokens, said.completion_tokens, cached)
    if not all(0 <= number <= _MOST_TOKENS for number in numbers) or not said.prompt_tokens:
        return counted(request.system + request.prompt, text)
    return Tokens(said.prompt_tokens, said.completion_tokens, cached)


def _spent(request: Request) -> Tokens:
    """Return what may have been billed for a call without an answer: its prompt."""
    return counted(request.system + request.prompt, "")


def _why_empty(choice: _Choice | None) -> str:
    if choice is not None and choice.message.tool_calls:
        return "The model asked for a tool, though none was offered, and said nothing."
    return "The answer of the model is empty."
