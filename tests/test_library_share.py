"""The library travels and is kept like everything else: push, pull, the server's check, verify."""

from __future__ import annotations

import os
import random
import sqlite3
import string
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from gitexp.git import refs
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.hooks.receive import Update, check_push
from gitexp.library.library import Library
from gitexp.outgoing import SecretsFoundError, search
from gitexp.records.library import LibraryLine, Proposal
from gitexp.share import choose_remote, unshared
from gitexp.store.batch import Batch, write_batch
from gitexp.store.library import add_lines, encode_line
from gitexp.verify.check import verify
from gitexp.verify.findings import Finding
from gitexp.verify.repair import repair
from tests.library_lines import BY, LATER, PAPER, TIME, method, one_of_each, proposal, usage
from tests.library_lines import whole_paper as paper_with_chunks
from tests.pair import Pair, commit_run, repository_of, send, take
from tests.support import Git, gitexp, gitexp_json
from tests.test_verify import loose

ADA, BOB = f"{refs.LIBRARY}ada", f"{refs.LIBRARY}bob"
TOKEN = "ghp_" + "".join(random.Random(0).choices(string.ascii_letters + string.digits, k=36))


def add(git: Git, *lines: LibraryLine) -> None:
    add_lines(repository_of(git), lines)


def tips(git: Git) -> dict[str, str]:
    return list_refs(repository_of(git), refs.LIBRARY)


def library(git: Git) -> Library:
    return Library(repository_of(git))


# Push and pull


def test_two_clones_have_the_same_library_after_push_and_pull(pair: Pair) -> None:
    add(pair.ada, *one_of_each())
    add(pair.bob, method("bobs"), usage(9))
    assert send(pair.ada).refs.keys() == {ADA}
    assert take(pair.bob).refs == {ADA: (None, tips(pair.ada)[ADA])}
    send(pair.bob)
    take(pair.ada)
    assert tips(pair.ada) == tips(pair.bob) == tips(pair.remote)
    both = [library(git) for git in (pair.ada, pair.bob)]
    assert both[0].methods() == both[1].methods()
    assert both[0].methods().keys() >= {"zeta-clip", "bobs"}
    assert both[0].usages() == both[1].usages() == [usage(3), usage(9)]
    assert both[1].text(f"{PAPER}.0") == both[0].text(f"{PAPER}.0") is not None
    assert send(pair.ada).refs == {}
    assert take(pair.bob).refs == {}


def test_two_clones_of_one_shard_are_united(pair: Pair) -> None:
    for git in (pair.ada, pair.bob):
        git("config", "exprag.shard", "both")
    add(pair.ada, method(name="one"), proposal(1), *paper_with_chunks())
    add(pair.bob, method(name="two"), proposal(2))
    send(pair.ada)
    pushed = send(pair.bob)
    assert pushed.retries == 1
    take(pair.ada)
    assert tips(pair.ada) == tips(pair.bob)
    assert library(pair.ada).proposals() == [proposal(1), proposal(2)]
    assert pair.ada("show", f"{refs.LIBRARY}both:methods/zeta-clip").count("\n") == 1


def test_the_library_goes_before_the_facts_that_speak_of_it(pair: Pair) -> None:
    commit_run(pair.ada, "one")
    add(pair.ada, proposal(1))
    sent = list(send(pair.ada).refs)
    assert sent.index(ADA) < sent.index(f"{refs.FACTS}ada")


def test_single_runs_go_without_the_library(pair: Pair) -> None:
    run = commit_run(pair.ada, "one")
    add(pair.ada, proposal(1))
    assert ADA not in send(pair.ada, "origin", [run]).refs
    assert ADA in send(pair.ada).refs


def test_shards_of_others_are_relayed(pair: Pair) -> None:
    add(pair.ada, method())
    pair.bob("fetch", "--quiet", str(pair.ada.path), f"{ADA}:{ADA}")
    assert send(pair.bob).refs == {}
    assert send(pair.bob, every_shard=True).refs.keys() == {ADA}


def test_a_pull_takes_no_shard_that_is_none(pair: Pair) -> None:
    add(pair.ada, method())
    send(pair.ada)
    blob = pair.remote.raw("hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    for name in ("library/../x", "library/UPPER", "library/a/b"):
        path = Path(pair.remote.path, "refs", "exprag", name)
        if ".." not in name:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(tips(pair.ada)[ADA] + "\n")
    Path(pair.remote.path, "refs", "exprag", "library", "odd").write_text(blob + "\n")
    pulled = take(pair.bob)
    assert pulled.refs.keys() == {ADA}
    assert {problem.ref for problem in pulled.problems} == {
        f"{refs.LIBRARY}{name}" for name in ("UPPER", "a/b", "odd")
    }


def test_plain_git_shares_the_library_too(pair: Pair) -> None:
    add(pair.ada, method())
    pair.ada("push", "--quiet", "origin", "refs/exprag/library/*")
    take(pair.bob)
    assert "zeta-clip" in library(pair.bob).methods()


def test_status_says_what_of_the_library_is_not_shared(pair: Pair) -> None:
    remote = choose_remote(repository_of(pair.ada))
    assert unshared(repository_of(pair.ada), remote).library == 0
    add(pair.ada, method(), *paper_with_chunks())
    assert unshared(repository_of(pair.ada), remote).library == 3
    said = gitexp("status", "--size", cwd=pair.ada.path).stdout
    assert "ahead  3 files of the library not on origin; 'git exp push' shares" in said
    size = gitexp_json("status", "--size", cwd=pair.ada.path)["size"]
    assert size["library"] > 0
    assert size["total"] == sum(size[k] for k in ("code", "facts", "metrics", "files", "library"))
    send(pair.ada)
    assert unshared(repository_of(pair.ada), remote).library == 0
    add(pair.ada, usage(1))
    assert unshared(repository_of(pair.ada), remote).library == 1


# Secrets


def hidden(title: str = "x", hypothesis: str = "") -> Proposal:
    return Proposal(time=TIME, by=BY, id="5" * 16, title=title, hypothesis=hypothesis)


@pytest.mark.parametrize(
    "line",
    [hidden(title=f"use {TOKEN}"), hidden(hypothesis=f'"quoted"\n{TOKEN}')],
)
def test_a_secret_in_the_library_stops_the_push(pair: Pair, line: Proposal) -> None:
    add(pair.ada, method(), line)
    with pytest.raises(SecretsFoundError) as raised:
        send(pair.ada)
    (finding,) = raised.value.findings
    assert (finding.part, finding.run, finding.line) == ("library", None, 1)
    assert finding.path.startswith("events/2026-01/")
    assert f"{finding.path}:1: GitHub token (ghp_…)" in str(finding)
    assert tips(pair.remote) == {}
    assert ADA in send(pair.ada, accepted=[finding.fingerprint]).refs


def test_a_secret_that_a_remote_has_is_not_said_again(pair: Pair) -> None:
    add(pair.ada, hidden(title=TOKEN))
    tip = tips(pair.ada)[ADA]
    repository = repository_of(pair.ada)
    assert len(search(repository, {ADA: tip}, [])) == 1
    assert search(repository, {ADA: tip}, [tip]) == []


# The server's check


@pytest.fixture
def server(repo: Git) -> Repository:
    repo("config", "exprag.shard", "ada")
    return Repository.discover()


def state(server: Repository, files: dict[str, list[bytes]]) -> str:
    """Return a commit that has these lines, on top of those before it."""
    write_batch(server, "ada", Batch(library=files))
    return list_refs(server, ADA)[ADA]


def refused(server: Repository, old: str | None, new: str | None) -> list[str]:
    return [str(finding) for finding in check_push(server, [Update(ADA, old, new)])]


def test_honest_growth_is_accepted(server: Repository) -> None:
    add_lines(server, one_of_each())
    old = list_refs(server, ADA)[ADA]
    add_lines(server, [method(name="b"), usage(12, time=LATER)])
    opaque = state(server, {"methods/zeta-clip": [b'{"kind":"dream","schema":7}']})
    assert refused(server, None, old) == []
    assert refused(server, old, opaque) == []


def test_what_is_no_growth_is_refused(repo: Git, server: Repository) -> None:
    good = encode_line(method())
    old = state(server, {"methods/zeta-clip": [good], "methods/b": [encode_line(method("b"))]})
    repo("update-ref", "-d", ADA)
    other = state(server, {"methods/zeta-clip": [encode_line(method(name="x"))]})
    tree = repo("rev-parse", f"{other}^{{tree}}")
    new = repo("commit-tree", tree, "-p", old, "-m", "less")
    assert refused(server, old, new) == [
        f"{ADA}, methods/b: 1 line is lost; a shard only grows",
        f"{ADA}, methods/zeta-clip: 1 line is lost; a shard only grows",
    ]
    assert refused(server, old, other)[0] == (
        f"{ADA}: its history would be rewritten; pull first, a shard only grows"
    )
    assert refused(server, old, None) == [f"{ADA}: a shard is not deleted"]


@pytest.mark.parametrize(
    ("path", "line", "reason"),
    [
        ("methods/zeta-clip", b"{", "line 1: Input data was truncated"),
        ("methods/b", encode_line(method()), "line 1: a method of methods/zeta-clip stands in"),
        ("papers/x", b"{}", "no file of the library has such a path"),
        ("events/x", b"{}", "no file of the library has such a path"),
    ],
)
def test_lines_and_paths_that_the_format_does_not_know_are_refused(
    server: Repository, path: str, line: bytes, reason: str
) -> None:
    (found,) = refused(server, None, state(server, {path: [line]}))
    assert found.startswith(f"{ADA}, {path}: {reason}")


def test_links_and_large_files_are_refused(repo: Git, server: Repository) -> None:
    repo("config", "exprag.maxBlob", "100")
    vars(server).pop("settings", None)
    new = state(server, {"methods/zeta-clip": [encode_line(method())]})
    assert "exprag.maxBlob allows 100" in refused(server, None, new)[0]
    blob = repo("rev-parse", f"{new}:methods/zeta-clip")
    methods = repo.raw("mktree", stdin=f"120000 blob {blob}\tzeta-clip\n".encode()).decode().strip()
    root = repo.raw("mktree", stdin=f"040000 tree {methods}\tmethods\n".encode()).decode().strip()
    link = repo("commit-tree", root, "-m", "link")
    assert refused(server, None, link) == [
        f"{ADA}, methods/zeta-clip: its mode is 120000, not 100644"
    ]


# Verify and repair


def findings(severity: str | None = None) -> list[Finding]:
    found = verify(Repository.discover()).findings
    return [each for each in found if severity in {None, each.severity}]


def mend() -> None:
    repository = Repository.discover()
    done, after = repair(repository, verify(repository))
    assert done
    assert after.findings == []


def test_a_whole_library_is_whole(server: Repository) -> None:
    add_lines(server, one_of_each())
    assert findings() == []


def test_bad_lines_and_strange_paths_are_found(server: Repository) -> None:
    state(
        server,
        {
            "methods/zeta-clip": [encode_line(method()), b"damage"],
            "methods/b": [b'{"kind":"dream","schema":3}'],
            "odd": [b"x"],
        },
    )
    assert [(f.check, f.severity, f.path, f.line) for f in findings()] == [
        ("line", "damaged", "methods/zeta-clip", 2),
        ("newer", "note", "", 0),
        ("path", "note", "odd", 0),
    ]
    (line,) = findings("damaged")
    assert f"git show {ADA}:methods/zeta-clip" in line.remedy


def test_lines_that_a_commit_lost_are_brought_back(repo: Git, server: Repository) -> None:
    add_lines(server, one_of_each())
    before = {p: repo("show", f"{ADA}:{p}") for p in _paths(repo)}
    add_lines(server, [method(name="later", time=LATER)])
    old = repo("rev-parse", ADA)
    repo("update-ref", "-d", ADA)
    add_lines(server, [method("else")])
    tree = repo("rev-parse", f"{ADA}^{{tree}}")
    repo("update-ref", ADA, repo("commit-tree", tree, "-p", old, "-m", "lost"))
    lost = findings()
    assert {finding.check for finding in lost} == {"history"}
    assert {finding.path for finding in lost} == before.keys()
    assert "got lost: see commit" in lost[0].message
    mend()
    assert {p: repo("show", f"{ADA}:{p}").split("\n") for p in before}.keys() < set(_paths(repo))
    for path, content in before.items():
        assert set(content.split("\n")) <= set(repo("show", f"{ADA}:{path}").split("\n"))


def _paths(repo: Git) -> list[str]:
    return repo("ls-tree", "-r", "--name-only", ADA).split("\n")


def test_a_ref_that_was_set_back_or_is_gone_is_remembered(repo: Git, server: Repository) -> None:
    add_lines(server, [method("first")])
    first = repo("rev-parse", ADA)
    add_lines(server, one_of_each())
    assert Library(server).papers()  # so the index knows
    paths = _paths(repo)
    repo("update-ref", ADA, first)
    mend()
    assert set(_paths(repo)) == set(paths)
    assert Library(server).papers()
    repo("update-ref", "-d", ADA)
    mend()
    assert set(_paths(repo)) == set(paths)


def test_a_file_that_is_lost_is_found_and_brought_from_a_remote(
    repo: Git, server: Repository
) -> None:
    add_lines(server, one_of_each())
    repo("init", "--quiet", "--bare", "../remote.git")
    repo("remote", "add", "origin", "../remote.git")
    repo("push", "--quiet", "origin", "refs/exprag/*")
    loose(repo, repo("rev-parse", f"{ADA}:methods/zeta-clip")).unlink()
    lost = [finding for finding in findings("lost") if finding.check == "file"]
    assert [finding.path for finding in lost] == ["methods/zeta-clip"]
    mend()


def test_a_file_that_nobody_has_is_let_go_and_the_rest_stays(repo: Git, server: Repository) -> None:
    add_lines(server, [method("first")])
    add_lines(server, one_of_each())
    loose(repo, repo("rev-parse", f"{ADA}:methods/zeta-clip")).unlink()
    server.forget_objects()
    repository = Repository.discover()
    repair(repository, verify(repository))
    library = Library(repository)
    assert library.papers()
    assert "first" in library.methods()
    assert "zeta-clip" not in library.methods()
    assert repo("show", f"{ADA}:methods/first")


def test_reindex_makes_the_index_of_the_library_anew(repo: Git, server: Repository) -> None:
    add_lines(server, one_of_each())
    assert Library(server).papers()
    index = repo.path / ".git" / "exprag" / "library.sqlite"
    before = index.stat().st_ino, index.read_bytes()
    with closing(sqlite3.connect(index)) as db, db:
        db.execute("DELETE FROM passage")
    assert Library(server).chunks(PAPER) == []
    gitexp("reindex", cwd=repo.path)
    assert (index.stat().st_ino, index.read_bytes()) != before
    assert len(Library(server).chunks(PAPER)) == 3


@pytest.mark.parametrize(
    ("change", "table"),
    [
        ("DELETE FROM passage", "passage"),
        ("UPDATE paper SET title = 'x'", "paper"),
        ("UPDATE line SET raw = replace(raw, 'warm', 'cool')", "line"),
        ("DELETE FROM method WHERE slug = 'muon'", "method"),
    ],
)
def test_an_index_that_is_not_what_the_shards_say_is_found_and_made_anew(
    repo: Git, server: Repository, change: str, table: str
) -> None:
    add_lines(server, one_of_each())
    assert Library(server).papers()
    assert findings() == []
    with closing(sqlite3.connect(repo.path / ".git" / "exprag" / "library.sqlite")) as db, db:
        db.execute(change)
    (finding,) = findings()
    assert finding.message == (
        f"The index of the library is not what the shards say: the table {table} differs."
    )
    mend()
    assert Library(server).papers()[0].title == "GLU variants"


def test_status_lists_what_of_the_library_cannot_be_read(repo: Git, server: Repository) -> None:
    state(server, {"methods/zeta-clip": [b"damage", b'{"kind":"dream","schema":1}']})
    found = gitexp_json("status", cwd=repo.path)
    assert [problem["ref"] for problem in found["problems"]] == [f"{ADA}:methods/zeta-clip"]
    assert found["newer_lines"] == {"dream (schema 1)": 1}


def test_git_gc_keeps_the_library(repo: Git, server: Repository) -> None:
    add_lines(server, one_of_each())
    repo("gc", "--quiet", "--prune=now")
    assert findings() == []
    environment = {**os.environ, "GIT_TRACE": "0"}
    subprocess.run(["git", "fsck", "--strict"], cwd=repo.path, check=True, env=environment)
