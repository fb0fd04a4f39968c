"""Get things from the network: only from the addresses that are configured, and politely.

Each address is checked before it is asked, the ones that a redirect names included: its scheme,
host and port must be those of the arXiv API, of arXiv itself, or of a further host that the user
configured. So neither a spec that somebody was talked into, nor a server, can make gitexp ask
anybody else. Answers are bounded in time and size, while they come and when they are unpacked.

arXiv asks for at most one request every three seconds over one connection
(https://info.arxiv.org/help/api/tou.html). That holds for all processes of a clone, by a file
that is locked during a request and holds the time of the last one.
"""

from __future__ import annotations

import contextlib
import email.utils
import fcntl
import os
import re
import time
import urllib.parse
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from gitexp.git.transfer import without_credentials
from gitexp.light import NamedTuple
from gitexp.papers.document import EXTRA, MAX_SOURCE_BYTES, AbsentError, PaperError

if TYPE_CHECKING:
    import httpx

ARXIV_API = "https://export.arxiv.org/api/query"
ARXIV_SITE = "https://arxiv.org"
INTERVAL_S = 3.0

_REDIRECTS = (301, 302, 303, 307, 308)
_BUSY = (429, 503)
_ABSENT = (404, 410)
_OK = 200
_MAX_HOPS = 6
_MAX_TRIES = 4
_PORTS = {"http": 80, "https": 443}
_DEFAULT_PORTS = {**_PORTS, "ssh": 22}
_HOST = re.compile(r"[a-z0-9:][a-z0-9._:-]*")
_SHOWN = 200
_TOTAL_OVER_TIMEOUT = 4
_HOW_TO_ALLOW = "Allow it with 'git config --add exprag.papers.host {}'."


class Fetched(NamedTuple):
    """What a server answered.

    Attributes:
        url: Where it came from in the end.
        type: Media type, in small letters; empty where the server does not say.
    """

    url: str
    content: bytes
    type: str


class Origin(NamedTuple):
    """Whom a URL asks."""

    scheme: str
    host: str
    port: int


class _Answer(NamedTuple):
    status: int
    headers: httpx.Headers
    content: bytes


class Fetcher:
    """Gets documents from configured addresses.

    Args:
        arxiv_api: Address of the Atom API (setting ``exprag.arxiv.api``).
        arxiv_site: Address below which ``abs/``, ``html/``, ``e-print/`` and ``pdf/`` are
            (``exprag.arxiv.site``).
        hosts: Further hosts that may be asked (``exprag.papers.host``): ``example.org`` or
            ``example.org:8443`` by https, or an address with its scheme.
        clock: File that holds when arXiv was asked last; None keeps it in memory only.
        timeout_s: Longest silence of a server, in seconds; an answer may take four times that.
        max_bytes: Largest answer, unpacked.
        patience_s: How long to wait, in all, where a server asks to come back later.
        interval_s: Time between two requests to arXiv.
        agent: Who asks, with its version: what servers see as ``User-Agent``.
    """

    def __init__(
        self,
        *,
        arxiv_api: str = ARXIV_API,
        arxiv_site: str = ARXIV_SITE,
        hosts: Sequence[str] = (),
        clock: Path | None = None,
        timeout_s: float = 30.0,
        max_bytes: int = MAX_SOURCE_BYTES,
        patience_s: float = 60.0,
        interval_s: float = INTERVAL_S,
        agent: str = "gitexp",
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.arxiv_api = arxiv_api
        self.arxiv_site = arxiv_site.rstrip("/")
        self._arxiv = {origin_of(arxiv_api), origin_of(arxiv_site)}
        self._allowed = self._arxiv | {origin for host in hosts for origin in _origins(host)}
        self._clock = clock
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes
        self._patience_s = patience_s
        self._interval_s = interval_s
        self._agent = f"{agent} (experiment memory; git exp papers add)"
        self._sleep = sleep
        self._last = 0.0

    def get(self, url: str, accept: Sequence[int] = (_OK,)) -> Fetched:
        """Return what is at an address, redirects followed.

        Args:
            url: By http or https.
            accept: Statuses of an answer that holds what was asked for.

        Raises:
            AbsentError: The server does not have it.
            PaperError: The address is not configured, or the answer is of no use.
        """
        httpx = _httpx()
        try:
            target = httpx.URL(url)
            for _ in range(_MAX_HOPS):
                origin = self._require_allowed(target)
                answer = self._patiently(target, origin, accept)
                if answer.status not in _REDIRECTS:
                    return _accepted(answer, target, accept)
                target = target.join(answer.headers.get("location", ""))
        except httpx.InvalidURL as error:
            raise PaperError(f"{_shown(url)} is not an address: {error}.") from error
        raise PaperError(f"{_shown(url)} leads from one address to the next and never ends.")

    def require_allowed(self, url: str) -> None:
        """Refuse an address that git is to clone from, unless its host is configured.

        Raises:
            PaperError: It is not; or the address holds a password.
        """
        self._require(origin_of(url), url)

    def _require_allowed(self, url: httpx.URL) -> Origin:
        if url.userinfo:
            raise _has_credentials(str(url))
        host = url.raw_host.decode("ascii")
        if not host:
            raise PaperError(f"{_shown(str(url))} is not an address.")
        origin = Origin(url.scheme, host, url.port or _PORTS.get(url.scheme, 0))
        self._require(origin, str(url))
        return origin

    def _require(self, origin: Origin, url: str) -> None:
        if origin not in self._allowed:
            host = origin.host if origin.scheme == "https" else f"{origin.scheme}://{origin.host}"
            port = "" if _PORTS.get(origin.scheme) == origin.port else f":{origin.port}"
            raise PaperError(
                f"{_shown(url)} is at an address that is not configured, so it was not asked.",
                _HOW_TO_ALLOW.format(f"{host}{port}"),
            )

    def _patiently(self, url: httpx.URL, origin: Origin, accept: Sequence[int]) -> _Answer:
        """Ask; where the server is busy wait as long as it says, and ask again."""
        waited = 0.0
        for attempt in range(_MAX_TRIES):
            answer = self._ask(url, origin, accept)
            if answer.status not in _BUSY:
                return answer
            wait = _retry_after(answer.headers.get("retry-after"))
            wait = 2.0**attempt * self._interval_s if wait is None else wait
            if waited + wait > self._patience_s:
                raise PaperError(
                    f"{origin.host} is busy and asks to come back in {wait:.0f} s.",
                    "Try again then.",
                )
            self._sleep(wait)
            waited += wait
        raise PaperError(f"{origin.host} stays busy (HTTP {answer.status}).", "Try again later.")

    def _ask(self, url: httpx.URL, origin: Origin, accept: Sequence[int]) -> _Answer:
        httpx = _httpx()
        turn = self._turn() if origin in self._arxiv else contextlib.nullcontext()
        try:
            with turn, self._client() as client, client.stream("GET", url) as response:
                is_wanted = response.status_code in accept
                content = self._body(response) if is_wanted else b""
                return _Answer(response.status_code, response.headers, content)
        except httpx.TimeoutException as error:
            raise PaperError(
                f"{origin.host} did not answer within {self._timeout_s:.0f} s.", "Try again later."
            ) from error
        except httpx.RemoteProtocolError as error:
            raise PaperError(f"{origin.host} broke off its answer: {error}.") from error
        except httpx.HTTPError as error:
            raise PaperError(f"{origin.host} cannot be reached: {error}.") from error

    def _client(self) -> httpx.Client:
        headers = {"User-Agent": self._agent, "Accept-Encoding": "gzip"}
        client: httpx.Client = _httpx().Client(headers=headers, timeout=self._timeout_s)
        return client  # it follows no redirects: `get` looks at each

    def _body(self, response: httpx.Response) -> bytes:
        """Return what an answer holds, unpacked."""
        content = bytearray()
        end = time.monotonic() + self._timeout_s * _TOTAL_OVER_TIMEOUT
        for piece in response.iter_raw():  # not unpacked: that is done below, within bounds
            content += piece
            self._require_size(len(content), response.url.host)
            if time.monotonic() > end:
                raise PaperError(f"{response.url.host} sends too slowly.", "Try again later.")
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        return self._unpacked(bytes(content), coding, response.url.host)

    def _unpacked(self, content: bytes, coding: str, host: str) -> bytes:
        if coding in ("identity", ""):
            return content
        if coding not in ("gzip", "x-gzip"):
            raise PaperError(f"{host} sent an answer that is packed by {coding!r}.")
        unzip = zlib.decompressobj(wbits=31)
        try:
            unpacked = unzip.decompress(content, self._max_bytes + 1)
        except zlib.error as error:
            raise PaperError(f"{host} sent a damaged answer: {error}.") from error
        self._require_size(len(unpacked), host)
        if not unzip.eof:
            raise PaperError(f"{host} broke off its answer.")
        return unpacked

    def _require_size(self, size: int, host: str) -> None:
        if size > self._max_bytes:
            raise PaperError(
                f"{host} sent more than the {self._max_bytes >> 20} MiB that a paper may have."
            )

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Wait until it is our turn to ask arXiv, and keep the turn for one request."""
        if self._clock is None:
            self._wait(self._last)
            yield
            self._last = time.time()
            return
        self._clock.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._clock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # closing it lets it go
            self._wait(_time_in(os.read(descriptor, 64)))
            try:
                yield
            finally:
                os.pwrite(descriptor, f"{time.time():20.3f}\n".encode(), 0)
        finally:
            os.close(descriptor)

    def _wait(self, last: float) -> None:
        left = last + self._interval_s - time.time()
        if 0 < left <= self._interval_s + 1:  # else the clock was set back
            self._sleep(min(left, self._interval_s))


def origin_of(url: str) -> Origin:
    """Return whom an address asks.

    Raises:
        PaperError: It is no address, or holds a user and a password.
    """
    parts = split_address(url)
    port, host = parts.port, parts.hostname
    if not host or not _HOST.fullmatch(host):
        raise PaperError(f"{_shown(url)} is not an address.", "Write it as https://HOST/PATH.")
    if parts.password is not None or (parts.username and parts.scheme in _PORTS):
        raise _has_credentials(url)
    return Origin(parts.scheme, host, port or _DEFAULT_PORTS.get(parts.scheme, 0))


def split_address(url: str) -> urllib.parse.SplitResult:
    """Return the parts of an address.

    Raises:
        PaperError: It is none.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise PaperError(f"{_shown(url)} is not an address: {error}.") from error
    return parts


def _origins(host: str) -> set[Origin]:
    """Return whom a configured host allows to be asked."""
    if "://" in host:
        return {origin_of(host)}
    https = origin_of(f"https://{host}")
    return {https, https._replace(scheme="ssh", port=_DEFAULT_PORTS["ssh"])}


def _has_credentials(url: str) -> PaperError:
    return PaperError(
        f"{_shown(url)} holds credentials, which would be seen by others.",
        "Leave them out; for git, keep them in its credential helper.",
    )


def _shown(url: str) -> str:
    """Return an address as messages show it: without credentials."""
    return without_credentials(url[:_SHOWN])


def _accepted(answer: _Answer, url: httpx.URL, accept: Sequence[int]) -> Fetched:
    if answer.status in _ABSENT:
        raise AbsentError(f"{url.host} does not have {_shown(str(url))} (HTTP {answer.status}).")
    if answer.status not in accept:
        raise PaperError(f"{url.host} answered {_shown(str(url))} with HTTP {answer.status}.")
    media_type = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    return Fetched(str(url), answer.content, media_type)


def _retry_after(text: str | None) -> float | None:
    """Return for how many seconds a server wants to be left alone; None where it does not say."""
    if text is None:
        return None
    if text.strip().isascii() and text.strip().isdigit():
        return float(text.strip()[:12])
    try:
        moment = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, moment.timestamp() - time.time())


def _time_in(content: bytes) -> float:
    try:
        return float(content)
    except ValueError:
        return 0.0  # a new file, or one that was cut off


def _httpx() -> ModuleType:
    try:
        import httpx
    except ImportError as error:
        raise PaperError(
            "Papers are got from the network by httpx, which is not installed.", f"Run {EXTRA}."
        ) from error
    return httpx
