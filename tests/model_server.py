"""A local endpoint that speaks OpenAI's chat completions, well or as badly as a test wants."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """A request as it came; the names of headers in small letters."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


Answer = Callable[[BaseHTTPRequestHandler, Asked], None]


class Endpoint:
    """Where the server listens, what it was asked, and how it answers from now on."""

    def __init__(self, port: int) -> None:
        self.base_url = f"http://127.0.0.1:{port}/v1"
        self.asked: list[Asked] = []
        self.answer: Answer = says("nothing")
        self.over = threading.Event()


def completion(text: str | None, *, usage: Any = None, **more: Any) -> dict[str, Any]:
    """Return a chat completion as endpoints send it."""
    message = {"role": "assistant", "content": text} | more.pop("message", {})
    choice = {"index": 0, "message": message, "finish_reason": "stop"} | more
    sent = {"id": "c-1", "object": "chat.completion", "created": 1, "model": "m"}
    return sent | {"choices": [choice]} | ({} if usage is None else {"usage": usage})


def says(text: str | None, **more: Any) -> Answer:
    """Answer with a completion."""
    return sends(json.dumps(completion(text, **more)).encode())


def sends(
    content: bytes, status: int = 200, *, length: int | None = None, **headers: str
) -> Answer:
    """Answer with these bytes; ``length`` is what the answer claims to have."""

    def answer(handler: BaseHTTPRequestHandler, _: Asked) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(content) if length is None else length))
        for name, text in headers.items():
            handler.send_header(name.replace("_", "-"), text)
        handler.end_headers()
        handler.wfile.write(content)

    return answer


@contextmanager
def model_server() -> Iterator[Endpoint]:
    """Run an endpoint for as long as the context lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            headers = {name.lower(): text for name, text in self.headers.items()}
            asked = Asked(self.path, headers, json.loads(self.rfile.read(length)))
            endpoint.asked.append(asked)
            try:
                endpoint.answer(self, asked)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # who asked has heard enough

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    endpoint = Endpoint(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
