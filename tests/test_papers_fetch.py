"""The network: only configured addresses, politely, within bounds; what goes wrong is said."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from gitexp.papers.document import AbsentError, PaperError
from gitexp.papers.fetch import Fetcher
from tests.paper_files import zip_bomb
from tests.paper_server import Answer, PaperServer, serving, watching


@pytest.fixture
def server() -> Iterator[PaperServer]:
    with serving() as found:
        yield found


@pytest.fixture
def other() -> Iterator[PaperServer]:
    with serving() as found:
        yield found


@pytest.fixture(autouse=True)
def contacted() -> Iterator[set[tuple[str, int]]]:
    """What was connected to; a name other than this machine's fails the test."""
    with watching() as found:
        yield found


def fetcher(server: PaperServer, **more: Any) -> Fetcher:
    given: dict[str, Any] = {"interval_s": 0.0, "timeout_s": 5.0, "sleep": _no_sleep} | more
    return Fetcher(arxiv_api=f"{server.url}/api/query", arxiv_site=server.url, **given)


def _no_sleep(_seconds: float) -> None:
    """Wait for nothing."""


def say(server: PaperServer, path: str, *answers: Answer) -> str:
    server.answers[path] = list(answers)
    return server.url + path


def test_a_document_comes_with_its_type_and_a_name_of_who_asks(server: PaperServer) -> None:
    url = say(server, "/a", Answer(b"<p>x</p>", "Text/HTML; charset=utf-8"))
    asking = fetcher(server, agent="gitexp/1.2")
    assert asking.get(url) == (url, b"<p>x</p>", "text/html")
    assert [agent.split()[0] for agent in server.agents] == ["gitexp/1.2"]


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/paper.pdf",
        "https://127.0.0.1:{port}/a",
        "http://127.0.0.1:1/a",
        "http://localhost:{port}/a",
        "http://127.0.0.1:{port}@example.org/",
        "http://example.org\\@127.0.0.1:{port}/",
        "ftp://127.0.0.1/a",
        "file:///etc/passwd",
    ],
)
def test_an_address_that_is_not_configured_is_never_asked(
    server: PaperServer, contacted: set[tuple[str, int]], url: str
) -> None:
    with pytest.raises(PaperError):
        fetcher(server).get(url.format(port=server.port))
    assert contacted == set()


def test_a_redirect_is_followed_to_a_configured_host_only(
    server: PaperServer, other: PaperServer, contacted: set[tuple[str, int]]
) -> None:
    say(other, "/there", Answer(b"found"))
    url = say(server, "/a", Answer(status=302, headers={"Location": f"{other.url}/there"}))
    with pytest.raises(PaperError, match="not configured") as caught:
        fetcher(server).get(url)
    assert other.url in str(caught.value.hint)
    assert (other.asked, contacted) == ([], {("127.0.0.1", server.port)})
    assert fetcher(server, hosts=[other.url]).get(url).content == b"found"


def test_every_hop_of_a_redirect_is_looked_at(server: PaperServer, other: PaperServer) -> None:
    say(server, "/b", Answer(status=307, headers={"Location": f"{other.url}/c"}))
    url = say(server, "/a", Answer(status=301, headers={"Location": "/b"}))
    with pytest.raises(PaperError, match="not configured"):
        fetcher(server).get(url)
    assert (server.paths, other.asked) == (["/a", "/b"], [])


def test_a_relative_redirect_is_followed(server: PaperServer) -> None:
    say(server, "/x/b", Answer(b"found"))
    url = say(server, "/x/a", Answer(status=303, headers={"Location": "b"}))
    assert fetcher(server).get(url) == (f"{server.url}/x/b", b"found", "text/html")


@pytest.mark.parametrize("location", ["/a", "", "http://[", "ht!tp://x"])
def test_redirects_that_lead_nowhere_end(server: PaperServer, location: str) -> None:
    url = say(server, "/a", Answer(status=302, headers={"Location": location}))
    with pytest.raises(PaperError):
        fetcher(server).get(url)
    assert len(server.asked) < 10


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(server: PaperServer, status: int) -> None:
    waits: list[float] = []
    url = say(server, "/a", Answer(status=status, headers={"Retry-After": "7"}), Answer(b"x"))
    assert fetcher(server, sleep=waits.append).get(url).content == b"x"
    assert waits == [7.0]


def test_a_date_says_when_to_ask_again(server: PaperServer) -> None:
    waits: list[float] = []
    when = formatdate(time.time() + 9_000, usegmt=True)
    url = say(server, "/a", Answer(status=503, headers={"Retry-After": when}), Answer(b"x"))
    asking = fetcher(server, sleep=waits.append, patience_s=10_000.0)
    assert asking.get(url).content == b"x"
    assert 0 < waits[0] <= 9_000


@pytest.mark.parametrize(
    "header", ["3600", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"]
)
def test_a_server_that_asks_for_too_much_patience_is_left_alone(
    server: PaperServer, header: str
) -> None:
    url = say(server, "/a", Answer(status=429, headers={"Retry-After": header}))
    with pytest.raises(PaperError, match="busy"):
        fetcher(server).get(url)
    assert len(server.asked) == 1


@pytest.mark.parametrize("header", [{}, {"Retry-After": "soon"}, {"Retry-After": "-5"}])
def test_a_server_that_stays_busy_is_given_up(server: PaperServer, header: dict[str, str]) -> None:
    url = say(server, "/a", Answer(status=503, headers=header))
    with pytest.raises(PaperError, match=r"stays busy \(HTTP 503\)"):
        fetcher(server).get(url)
    assert len(server.asked) == 4


def test_requests_to_arxiv_keep_their_distance_across_processes(
    server: PaperServer, tmp_path: Path
) -> None:
    waits: list[float] = []
    url = say(server, "/a", Answer(b"x"))
    clock = tmp_path / "home" / "arxiv"
    for _ in range(3):
        fetcher(server, sleep=waits.append, interval_s=9_000.0, clock=clock).get(url)
    assert len(waits) == 2
    assert all(0 < wait <= 9_000 for wait in waits)


@pytest.mark.parametrize("content", [b"", b"nan", b"1e400", b"\xff\0 what", b"99999999999999"])
def test_a_clock_that_is_damaged_holds_nobody_up(
    server: PaperServer, tmp_path: Path, content: bytes
) -> None:
    waits: list[float] = []
    (tmp_path / "clock").write_bytes(content)
    url = say(server, "/a", Answer(b"x"))
    fetcher(server, sleep=waits.append, interval_s=3.0, clock=tmp_path / "clock").get(url)
    assert waits == []


def test_other_hosts_need_no_distance(server: PaperServer, other: PaperServer) -> None:
    waits: list[float] = []
    url = say(other, "/a", Answer(b"x"))
    asking = fetcher(server, hosts=[other.url], interval_s=3.0, sleep=waits.append)
    assert [asking.get(url).content, asking.get(url).content] == [b"x", b"x"]
    assert waits == []


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(b"half", claimed=1000), "broke off its answer"),
        (Answer(b"half", claimed=1000, stalls=True), "did not answer within"),
        (Answer(bytes(3 << 20)), "more than the 2 MiB"),
        (Answer(b"x", headers={"Content-Encoding": "br"}), "packed by 'br'"),
        (Answer(b"x", headers={"Content-Encoding": "gzip, gzip"}), "packed by 'gzip, gzip'"),
        (Answer(b"no gzip", headers={"Content-Encoding": "gzip"}), "damaged answer"),
        (Answer(gzip.compress(b"x" * 99)[:-9], headers={"Content-Encoding": "gzip"}), "broke off"),
        (Answer(zip_bomb(4 << 20), headers={"Content-Encoding": "gzip"}), "more than the 2 MiB"),
        (Answer(status=500), "HTTP 500"),
        (Answer(status=403), "HTTP 403"),
        (Answer(status=204), "HTTP 204"),
    ],
)
def test_a_bad_answer_is_a_sentence(server: PaperServer, answer: Answer, message: str) -> None:
    url = say(server, "/a", answer)
    with pytest.raises(PaperError, match=message):
        fetcher(server, timeout_s=0.3, max_bytes=2 << 20).get(url)


def test_a_packed_answer_is_unpacked(server: PaperServer) -> None:
    packed = Answer(gzip.compress(b"text"), headers={"Content-Encoding": "x-gzip"})
    assert fetcher(server).get(say(server, "/a", packed)).content == b"text"


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_absent_is_told_from_what_failed(server: PaperServer, status: int) -> None:
    with pytest.raises(AbsentError):
        fetcher(server).get(say(server, "/a", Answer(status=status)))


def test_a_server_that_is_not_there_is_a_sentence(server: PaperServer) -> None:
    asking = fetcher(server, hosts=["http://127.0.0.1:1"])
    with pytest.raises(PaperError, match=r"127\.0\.0\.1 cannot be reached"):
        asking.get("http://127.0.0.1:1/x")


@pytest.mark.parametrize("host", ["http://ada:secret@example.org", "https://", "http://[::1", ""])
def test_a_setting_that_is_no_host_is_a_sentence(server: PaperServer, host: str) -> None:
    with pytest.raises(PaperError) as caught:
        fetcher(server, hosts=[host])
    assert "secret" not in str(caught.value)


def test_an_address_with_a_password_is_refused_and_not_repeated(server: PaperServer) -> None:
    with pytest.raises(PaperError, match="credentials") as caught:
        fetcher(server).get(f"http://ada:secret@127.0.0.1:{server.port}/a")
    assert "secret" not in str(caught.value)
    assert server.asked == []
