"""Repositories: README, docs and the map of code; by path without a clone, by address with one."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from gitexp.errors import NoRepositoryError
from gitexp.papers import clone, repository
from gitexp.papers.clone import cloned
from gitexp.papers.codemap import map_module
from gitexp.papers.document import PaperError
from gitexp.papers.fetch import Fetcher
from gitexp.papers.ingest import read_source
from gitexp.papers.repository import read_repository
from tests.support import Git

MODEL = '''"""A small model."""

import torch.nn.functional as F

DEPTH = 8
WINDOW: str = "SSSL"


class Block(Module):
    """One block."""

    use_bias = False

    def __init__(self, config):
        self.config = config

    @compiled
    def forward(self, x):
        return F.scaled_dot_product_attention(rms_norm(x), is_causal=True)


def rms_norm(x, eps=1e-6):
    return x * torch.rsqrt(x.pow(2).mean() + eps)


if DEPTH > 4:
    learning_rate = 0.04
'''


def test_a_map_of_code_has_its_parts_with_their_symbols() -> None:
    found = {section.title: section for section in map_module("pkg/model.py", MODEL)}
    assert list(found) == [
        "pkg/model.py",
        "pkg/model.py: Block",
        "pkg/model.py: Block.__init__",
        "pkg/model.py: Block.forward",
        "pkg/model.py: rms_norm",
    ]
    module, head = found["pkg/model.py"], found["pkg/model.py: Block"]
    assert module.symbols == ("DEPTH", "WINDOW", "learning_rate", "str")
    assert "import" not in module.text
    assert "DEPTH = 8" in module.text
    assert head.text == 'class Block(Module):\n    """One block."""\n\n    use_bias = False'
    assert head.symbols[:4] == ("Block", "__init__", "forward", "use_bias")
    forward = found["pkg/model.py: Block.forward"]
    assert forward.text.strip().startswith("@compiled\n    def forward")
    assert {"scaled_dot_product_attention", "rms_norm", "is_causal", "F"} <= set(forward.symbols)


@pytest.mark.parametrize("source", ["def f(:", "\0", "(" * 5_000, "x = '\\ud800" + chr(0xD800)])
def test_what_is_no_python_is_a_sentence(source: str) -> None:
    with pytest.raises(PaperError, match=r"a\.py is no Python"):
        map_module("a.py", source)


@pytest.mark.parametrize(
    "source",
    ["'\\d'", "class A: x = 1", "def f(): pass; x = 2", "x = 1; y = 2\n", "class A:\n\tpass\r\n"],
)
def test_odd_but_honest_python_is_mapped(source: str) -> None:
    assert map_module("a.py", source)


@pytest.fixture
def project(repo: Git) -> Git:
    """A repository with a README, docs, code and files that are no part of a map."""
    repo("rm", "--quiet", "-r", ".")
    repo.write("README.md", "# Small Models\n\n[![badge](x)](y)\n\nTrains *small* models.\n")
    repo.write("LICENSE", "\nMIT License\n\nCopyright\n")
    repo.write("docs/muon.md", "# Muon\n\nOrthogonal updates.\n")
    repo.write("pkg/model.py", MODEL)
    repo.write("bad.py", "def f(:")
    repo.write("data.json", '{"secret": 1}')
    (repo.path / "link.py").symlink_to("pkg/model.py")
    repo("add", ".")
    repo("commit", "--quiet", "-m", "a project")
    return repo


def test_a_repository_is_read_at_its_head(project: Git) -> None:
    project.write("README.md", "# Not committed\n")
    found = read_repository(project.path)
    reading = found.reading
    assert (reading.title, reading.licence) == ("Small Models", "MIT License")
    assert reading.abstract == "Trains *small* models."
    assert (found.commit, found.place) == (project("rev-parse", "HEAD"), str(project.path))
    assert [section.title for section in reading.sections][:3] == [
        "README.md: Small Models",
        "docs/muon.md: Muon",
        "pkg/model.py",
    ]
    assert reading.notes == ("1 of its files could not be read.",)


def test_a_repository_is_a_source_by_its_folder(project: Git) -> None:
    fetch = Fetcher()
    found = read_source(str(project.path), fetch=fetch)
    assert (found.source, found.url) == ("repository", None)
    assert found.id == read_source(f"file://{project.path}/pkg", fetch=fetch).id
    project("remote", "add", "origin", "https://ada:secret@example.org/ada/small.git")
    named = read_source(str(project.path), fetch=fetch)
    assert named.url == "https://example.org/ada/small.git"
    assert named.id != found.id


def test_how_much_of_a_repository_is_read_is_bounded(
    project: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("huge.py", "x = 1\n" * 200_000)
    project("add", ".")
    project("commit", "--quiet", "-m", "huge")
    assert "1 of its files were left out" in read_repository(project.path).reading.notes[0]
    monkeypatch.setattr(repository, "MAX_SECTIONS", 2)
    reading = read_repository(project.path).reading
    assert [section.title for section in reading.sections][-1] == "docs/muon.md: Muon"
    assert "3 of its files were left out" in reading.notes[0]


def test_a_repository_without_anything_to_read_is_a_sentence(repo: Git, tmp_path: Path) -> None:
    repo("rm", "--quiet", "-r", ".")
    repo("commit", "--quiet", "-m", "empty")
    with pytest.raises(PaperError, match="no README"):
        read_repository(repo.path)
    Git(tmp_path)("init", "--quiet", "fresh")
    with pytest.raises(PaperError, match="no commit yet"):
        read_repository(tmp_path / "fresh")
    (tmp_path / "plain").mkdir()
    with pytest.raises(NoRepositoryError):
        read_repository(tmp_path / "plain")


def test_a_missing_object_is_not_fetched(project: Git, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    project("config", "core.repositoryFormatVersion", "1")
    project("config", "extensions.partialClone", "origin")
    project("config", "remote.origin.url", f"ext::touch {ran}")
    project("config", "protocol.ext.allow", "always")
    blob = project("rev-parse", "HEAD:README.md")
    (project.path / ".git/objects" / blob[:2] / blob[2:]).unlink()
    reading = read_repository(project.path).reading
    assert reading.notes == ("2 of its files could not be read.",)
    assert not ran.exists()
    subprocess.run(["git", "cat-file", "-p", blob], cwd=project.path, check=False)
    assert ran.exists(), "git itself does fetch it"


# By address


class _GitServer(ThreadingHTTPServer):
    """git's own smart HTTP server for the folder ``root``."""

    daemon_threads = True
    root: Path
    asked: list[str]
    location: str | None = None


class _Backend(BaseHTTPRequestHandler):
    server: _GitServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.location:
            self.send_response(301)
            self.send_header("Location", self.server.location + self.path)
            self.end_headers()
            return
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length", 0))
        environment = {
            **os.environ,
            "GIT_PROJECT_ROOT": str(self.server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "REMOTE_ADDR": "127.0.0.1",
        }
        done = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(length),
            stdout=subprocess.PIPE,
            env=environment,
            check=True,
        ).stdout
        head, _, body = done.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - the name it has

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """Print nothing."""


@pytest.fixture
def git_server(project: Git) -> Iterator[_GitServer]:
    server = _GitServer(("127.0.0.1", 0), _Backend)
    server.root, server.asked = project.path.parent, []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def _url(server: _GitServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_a_repository_is_cloned_from_a_configured_host(
    project: Git, git_server: _GitServer
) -> None:
    project.write(".gitattributes", "* filter=lfs\n")
    project("add", ".")
    project("commit", "--quiet", "-m", "second")
    url = f"{_url(git_server)}/repo/.git"
    found = read_source(f"git+{url}", fetch=Fetcher(hosts=[_url(git_server)]))
    assert (found.title, found.url) == ("Small Models", url)
    assert found.commit == project("rev-parse", "HEAD")


def test_a_clone_is_shallow_and_goes_again(git_server: _GitServer) -> None:
    with cloned(f"{_url(git_server)}/repo/.git", Fetcher(hosts=[_url(git_server)])) as folder:
        assert Git(folder)("rev-list", "--count", "HEAD") == "1"
        assert not (folder / "hooks").exists()
    assert not folder.exists()


@pytest.mark.parametrize(
    "spec",
    [
        "https://github.com/ada/small",
        "https://example.org/small.git",
        "git@example.org:ada/small.git",
        "ssh://git@example.org/ada/small.git",
        "git+http://127.0.0.1:1/x",
        "git+ssh://-oProxyCommand=touch/x",
        "https://ada:secret@github.com/ada/small",
    ],
)
def test_git_is_not_started_for_a_host_that_is_not_configured(
    spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clone, "_clone", None)
    with pytest.raises(PaperError, match=r"not configured|not an address|credentials") as caught:
        read_source(spec, fetch=Fetcher())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("spec", ["ext::sh -c id", "git://example.org/x", "ext://x/y.git", "fd::7"])
def test_other_ways_of_git_are_refused(spec: str) -> None:
    with pytest.raises(PaperError):
        read_source(spec, fetch=Fetcher(hosts=["example.org"]))


def test_git_follows_no_redirect(git_server: _GitServer) -> None:
    git_server.location = f"{_url(git_server)}/elsewhere"
    with pytest.raises(PaperError, match="could not be cloned"):
        read_source(f"{_url(git_server)}/repo/.git", fetch=Fetcher(hosts=[_url(git_server)]))
    assert len(git_server.asked) == 1


def test_a_repository_that_is_not_there_is_a_sentence(git_server: _GitServer) -> None:
    with pytest.raises(PaperError, match="could not be cloned"):
        read_source(f"{_url(git_server)}/no.git", fetch=Fetcher(hosts=[_url(git_server)]))


def test_a_clone_that_takes_too_long_or_too_much_is_ended(
    git_server: _GitServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, fetch = f"{_url(git_server)}/repo/.git", Fetcher(hosts=[_url(git_server)])
    monkeypatch.setattr(clone, "_PAUSE_S", 0.0001)
    with pytest.raises(PaperError, match="took more than 0 s"), cloned(url, fetch, time_s=0.0):
        pass
    monkeypatch.setattr(clone, "MAX_BYTES", -1)
    with pytest.raises(PaperError, match="it has more than"), cloned(url, fetch):
        pass
