"""What a server with the hook ``pre-receive`` accepts and refuses, at objects of all kinds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from gitexp.errors import GitexpError
from gitexp.git import received, refs
from gitexp.git.repository import Repository
from gitexp.hooks import growth
from gitexp.hooks.receive import Update, check_push, max_blob, parse_updates
from gitexp.records.facts import RemarkFact, RunFact, TombstoneFact, encode_fact
from gitexp.records.series import SeriesEncoder
from tests.full_store import (
    BEGIN,
    BY,
    END,
)
from tests.support import Git

ZERO = "0" * 40

RUN = "ab" + "c" * 38
NOTE = f"ab/{'c' * 38}"
SHARD_REF = {"facts": refs.FACTS, "metrics": refs.METRICS, "files": refs.FILES, "code": refs.CODE}
COLLECTED = encode_fact(TombstoneFact(time=END, by=BY, collected=True))
TOMBSTONE = encode_fact(TombstoneFact(time=BEGIN, by=BY, reason="wrong data"))
BEGUN = encode_fact(RunFact(time=BEGIN, by=BY, name="one"))
REMARKED = encode_fact(RemarkFact(time=END, by=BY, comment="good"))

Entry = bytes | tuple[str, str]
"""A file's content, or a mode and an object id."""


def series_line() -> bytes:
    series = SeriesEncoder()
    series.add(0, {"loss": 1.0}, None, 0)
    series.flush()
    return series.lines[0]


class Server:
    """A bare repository in which the objects of a push are made, honest or not."""

    def __init__(self, path: Path) -> None:
        path.mkdir()
        self.git = Git(path)
        self.git("init", "--quiet", "--bare", "--initial-branch=main")

    def blob(self, content: bytes) -> str:
        return self.git.raw("hash-object", "-w", "--stdin", stdin=content).decode().strip()

    def tree(self, files: Mapping[str, Entry]) -> str:
        """Return a tree with these files, whatever their names."""
        folders: dict[str, dict[str, Entry]] = {}
        lines = []
        for path, entry in files.items():
            name, slash, rest = path.partition("/")
            if slash:
                folders.setdefault(name, {})[rest] = entry
            else:
                mode, oid = entry if isinstance(entry, tuple) else ("100644", self.blob(entry))
                kind = {"160000": "commit", "040000": "tree"}.get(mode, "blob")
                lines.append(f"{mode} {kind} {oid}\t{name}\0")
        lines += [f"040000 tree {self.tree(f)}\t{name}\0" for name, f in folders.items()]
        made = self.git.raw("mktree", "-z", "--missing", stdin="".join(lines).encode())
        return made.decode().strip()

    def commit(self, files: Mapping[str, Entry], *parents: str, message: str = "m") -> str:
        words = [word for parent in parents for word in ("-p", parent)]
        return self.git("commit-tree", self.tree(files), *words, "-m", message)

    def findings(self, ref: str, old: str | None, new: str | None) -> list[str]:
        found = check_push(Repository.discover(self.git.path), [Update(ref, old, new)])
        return [str(finding) for finding in found]

    def steps(
        self, kind: str, before: Mapping[str, Entry], after: Mapping[str, Entry]
    ) -> list[str]:
        """Return what is found when a shard goes from one state to a next one."""
        old = self.commit(before)
        return self.findings(SHARD_REF[kind] + "desk", old, self.commit(after, old))


@pytest.fixture
def server(tmp_path: Path, identity: None) -> Server:
    return Server(tmp_path / "server.git")


ODD_MODES = ("120000", "160000", "100755")


def entry(server: Server, mode: str, content: bytes) -> Entry:
    """Return an entry of a mode; that of a submodule names a commit that is not here."""
    return mode, "1" * 40 if mode == "160000" else server.blob(content)


def lines(*found: bytes) -> bytes:
    return b"".join(line + b"\n" for line in found)


def test_a_handle_is_created_and_neither_moved_nor_deleted(server: Server) -> None:
    run = server.commit({"train.py": b"code"})
    ref = refs.run_ref(run)
    assert server.findings(ref, None, run) == []
    assert server.findings(ref, run, None) == [f"{ref}: the handle of a run is not deleted"]
    other = server.commit({"train.py": b"other"}, run)
    assert server.findings(ref, run, other) == [f"{ref}: the handle of a run does not move"]


def test_a_handle_names_the_commit_of_its_own_run(server: Server) -> None:
    run = server.commit({"train.py": b"code"})
    blob, tree = server.blob(b"code"), server.tree({"train.py": b"code"})
    server.git("tag", "-a", "-m", "t", "v1", run)
    tag = server.git("rev-parse", "v1")
    for oid, kind in ((blob, "blob"), (tree, "tree"), (tag, "tag")):
        assert server.findings(refs.run_ref(oid), None, oid) == [
            f"{refs.run_ref(oid)}: it names a {kind}, and a run is a commit"
        ]
        assert f"names the {kind} {oid[:12]}" in server.findings(refs.run_ref(run), None, oid)[0]
    other = server.commit({"train.py": b"other"})
    assert "names the commit" in server.findings(refs.run_ref(run), None, other)[0]
    for name in ("nothing", run[:12], run.upper(), f"{run}/more", "--x"):
        assert "not the id of a run" in server.findings(refs.RUNS + name, None, run)[0]


@pytest.mark.parametrize("kind", list(SHARD_REF))
def test_a_shard_is_not_deleted_and_has_a_proper_name(server: Server, kind: str) -> None:
    message = "exprag code" if kind == "code" else "m"
    tip = server.commit({}, message=message)
    ref = SHARD_REF[kind] + "desk"
    assert server.findings(ref, None, tip) == []
    assert server.findings(ref, tip, None) == [f"{ref}: a shard is not deleted"]
    for name in ("--x", "a/b", "Desk", ".desk", "x" * 101, "a\x1bb", "a b", "x.lock/y"):
        found = server.findings(SHARD_REF[kind] + name, None, tip)
        assert found == [f"{SHARD_REF[kind]}{name}: {name!r} cannot be the name of a shard"]


@pytest.mark.parametrize("kind", list(SHARD_REF))
def test_the_state_of_a_shard_is_a_commit(server: Server, kind: str) -> None:
    ref = SHARD_REF[kind] + "desk"
    for oid, what in ((server.blob(b"x"), "blob"), (server.tree({}), "tree")):
        found = server.findings(ref, None, oid)
        assert found == [f"{ref}: it names a {what}, and the state of a shard is a commit"]


@pytest.mark.parametrize("kind", list(SHARD_REF))
def test_a_rewound_or_rewritten_shard_is_refused(server: Server, kind: str) -> None:
    first = server.commit({}, message="exprag code")
    second = server.commit({}, first, message="exprag code")
    beside = server.commit({}, message="exprag code, another")
    ref = SHARD_REF[kind] + "desk"
    assert server.findings(ref, first, second) == []
    for new in (first, beside):
        assert "history would be rewritten" in server.findings(ref, second, new)[0]


@pytest.mark.parametrize("name", ["refs/exprag", "refs/notes/exprag", "refs/exprag/files"])
def test_a_ref_in_the_way_of_all_others_is_refused(server: Server, name: str) -> None:
    tip = server.commit({})
    assert "in the way" in server.findings(name, None, tip)[0]
    assert server.findings(name, tip, None) == []


def test_what_is_no_part_of_the_shared_store_is_let_through(server: Server) -> None:
    blob = server.blob(b"anything")
    for ref in (
        "refs/heads/main",
        "refs/tags/v1",
        "refs/notes/commits",
        "refs/notes/expragmatic/x",
        "refs/exprag/remotes/origin/facts/desk",
        "refs/exprag-local/saved/0123",
    ):
        assert server.findings(ref, None, blob) == []
        assert server.findings(ref, blob, None) == []


@pytest.mark.parametrize("kind", ["facts", "metrics"])
def test_lines_are_added_in_any_order_and_at_any_fan_out(server: Server, kind: str) -> None:
    first = BEGUN if kind == "facts" else series_line()
    newer = b'{"kind":"newer","schema":9}'
    assert server.steps(kind, {}, {NOTE: lines(first)}) == []
    assert server.steps(kind, {NOTE: lines(first)}, {NOTE: lines(newer, first)}) == []
    assert server.steps(kind, {NOTE: lines(first)}, {RUN: lines(first)}) == []
    assert server.steps(kind, {RUN: lines(first)}, {NOTE: lines(newer, first)}) == []
    crlf = first + b"\r\n\r\n" + newer
    assert server.steps(kind, {NOTE: lines(first)}, {NOTE: crlf}) == []


def test_notes_of_one_run_at_two_depths_may_become_one(server: Server) -> None:
    before = {NOTE: lines(BEGUN, REMARKED), RUN: lines(BEGUN)}
    assert server.steps("facts", before, {NOTE: lines(BEGUN, REMARKED)}) == []
    assert server.steps("facts", before, {RUN: lines(BEGUN)}) == [
        f"refs/notes/exprag/desk, {NOTE}: 1 line is lost; a shard only grows"
    ]


@pytest.mark.parametrize("kind", ["facts", "metrics"])
def test_a_lost_line_or_note_is_found(server: Server, kind: str) -> None:
    first = BEGUN if kind == "facts" else series_line()
    newer = b'{"kind":"newer","schema":9}'
    ref = SHARD_REF[kind] + "desk"
    lost = f"{ref}, {NOTE}: 1 line is lost; a shard only grows"
    assert server.steps(kind, {NOTE: lines(first, newer)}, {NOTE: lines(newer)}) == [lost]
    assert server.steps(kind, {NOTE: lines(first)}, {}) == [lost]
    assert server.steps(kind, {NOTE: lines(first)}, {RUN: lines(newer)}) == [lost]
    two = server.steps(kind, {NOTE: lines(first, newer)}, {})
    assert two == [f"{ref}, {NOTE}: 2 lines are lost; a shard only grows"]


@pytest.mark.parametrize("kind", ["facts", "metrics"])
def test_a_collected_run_keeps_its_tombstones_alone(server: Server, kind: str) -> None:
    first = BEGUN if kind == "facts" else series_line()
    before = {NOTE: lines(first, TOMBSTONE)}
    assert server.steps(kind, before, {NOTE: lines(TOMBSTONE, COLLECTED)}) == []
    lost = [f"{SHARD_REF[kind]}desk, {NOTE}: 1 line is lost; a shard only grows"]
    assert server.steps(kind, before, {NOTE: lines(COLLECTED)}) == lost
    assert server.steps(kind, before, {NOTE: lines(TOMBSTONE)}) == lost
    assert server.steps(kind, {NOTE: lines(first, COLLECTED)}, {NOTE: lines(COLLECTED)}) == []


@pytest.mark.parametrize(
    ("kind", "line"),
    [
        ("facts", b"garbage"),
        ("facts", b'{"kind":"run","schema":1}'),
        ("facts", b'{"kind":"run","schema":1,"time":3,"by":"x","name":"n"}'),
        ("facts", b"[" * 100_000),
        ("facts", b'{"no":"kind"}'),
        ("metrics", b"garbage"),
        ("metrics", BEGUN),
        ("metrics", b'{"kind":"series","schema":1}'),
        ("metrics", series_line().replace(b'"keys":[["loss"]]', b'"keys":[]')),
    ],
)
def test_a_line_that_does_not_decode_is_found_with_its_number(
    server: Server, kind: str, line: bytes
) -> None:
    good = BEGUN if kind == "facts" else series_line()
    (found,) = server.steps(kind, {NOTE: lines(good)}, {NOTE: lines(good, line)})
    assert found.startswith(f"{SHARD_REF[kind]}desk, {NOTE}: line 2 does not decode: ")


def test_a_line_that_was_there_already_is_not_looked_at_again(server: Server) -> None:
    before, after = {NOTE: lines(b"garbage")}, {NOTE: lines(b"garbage", BEGUN)}
    assert server.steps("facts", before, after) == []


@pytest.mark.parametrize("kind", ["facts", "metrics"])
def test_a_note_is_a_plain_file_on_a_run(server: Server, kind: str) -> None:
    tree = server.tree({"x": b""})
    ref = SHARD_REF[kind] + "desk"
    for path in ("README", "../x", f"{NOTE}0", NOTE.upper()):
        assert server.steps(kind, {}, {path: lines(BEGUN)})[0].startswith(f"{ref}, {path}: it is")
    for mode in ODD_MODES:
        found = server.steps(kind, {}, {NOTE: entry(server, mode, lines(BEGUN))})
        assert found == [f"{ref}, {NOTE}: its mode is {mode}, not 100644"]
    lying = forged_tree(server, NOTE.partition("/")[2], tree)
    found = server.steps(kind, {}, {"ab": ("040000", lying)})
    assert found == [f"{ref}, {NOTE}: it is a tree, no file"]


def forged_tree(server: Server, name: str, oid: str) -> str:
    """Return a tree that says of any object that it is a plain file."""
    content = b"100644 " + name.encode() + b"\0" + bytes.fromhex(oid)
    words = ("hash-object", "-w", "-t", "tree", "--stdin", "--literally")
    return server.git.raw(*words, stdin=content).decode().strip()


@pytest.mark.parametrize("kind", ["facts", "metrics", "files"])
def test_the_size_of_a_file_is_bounded(server: Server, kind: str) -> None:
    path = f"{NOTE}/run.log" if kind == "files" else NOTE
    server.git("config", "exprag.maxBlob", "1k")
    (found,) = server.steps(kind, {}, {path: b"x" * 1025})
    assert found == (
        f"{SHARD_REF[kind]}desk, {path}: it has 1025 bytes; exprag.maxBlob allows 1024"
    )


def test_the_bound_has_gits_suffixes_and_a_default(server: Server) -> None:
    assert max_blob(Repository.discover(server.git.path)) == 256 << 20
    server.git("config", "exprag.maxBlob", "3m")
    assert max_blob(fresh(server)) == 3 << 20
    server.git("config", "exprag.maxBlob", "much")
    with pytest.raises(GitexpError, match="is not a number"):
        max_blob(fresh(server))


def fresh(server: Server) -> Repository:
    """Return the repository with its settings not read yet."""
    known = Repository.discover(server.git.path)
    return Repository(known.git_dir, known.common_dir, known.work_tree, known.prefix)


def test_files_are_added_and_keep_their_content(server: Server) -> None:
    before = {f"{NOTE}/run.log": b"a", f"environments/{'0' * 32}.json": b"{}"}
    after = {**before, f"{NOTE}/submodules/lib/a.patch": b"p"}
    assert server.steps("files", {}, before) == []
    assert server.steps("files", before, after) == []


def test_of_two_contents_at_a_path_the_smaller_id_may_stay(server: Server) -> None:
    contents = sorted((b"one", b"two"), key=server.blob)
    states = [{f"{NOTE}/run.log": content} for content in contents]
    assert server.steps("files", states[1], states[0]) == []
    (found,) = server.steps("files", states[0], states[1])
    assert found == (
        f"refs/exprag/files/desk, {NOTE}/run.log: "
        "its content was replaced; a file keeps its first content"
    )


@pytest.mark.parametrize("path", [f"{NOTE}/run.log", f"environments/{'0' * 32}.json"])
def test_a_lost_file_is_found(server: Server, path: str) -> None:
    found = server.steps("files", {path: b"a"}, {})
    assert found == [f"refs/exprag/files/desk, {path}: the file is lost; a shard only grows"]


def test_the_files_of_a_collected_run_may_go_and_those_of_no_other(server: Server) -> None:
    other = f"ab/{'d' * 38}/run.log"
    before = {f"{NOTE}/run.log": b"a", other: b"b"}
    mark = {f"removed/{NOTE}": lines(COLLECTED)}
    assert server.steps("files", before, {other: b"b", **mark}) == []
    assert server.steps("files", {**before, **mark}, {other: b"b", **mark}) == []
    assert server.steps("files", before, mark) == [
        f"refs/exprag/files/desk, {other}: the file is lost; a shard only grows"
    ]
    assert server.steps("files", mark, {}) == [
        f"refs/exprag/files/desk, removed/{NOTE}: the file is lost; a shard only grows"
    ]


@pytest.mark.parametrize("content", [b"", b"yes\n", lines(TOMBSTONE), lines(BEGUN, COLLECTED)])
def test_a_mark_of_collection_holds_a_collected_tombstone(server: Server, content: bytes) -> None:
    found = server.steps("files", {}, {f"removed/{NOTE}": content})
    reason = "it holds no collected tombstone"
    assert found == [f"refs/exprag/files/desk, removed/{NOTE}: {reason}"]


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        ".git/hooks/x",
        "README",
        f"{NOTE}/../x",
        f"{NOTE}/./x",
        f"{NOTE}/.git/hooks/x",
        f"{NOTE}/.GIT/config",
        f"{NOTE}/a\x1b[31mb",
        f"{NOTE}/a\nb",
        f"{NOTE}/{('x' * 200 + '/') * 21}y",
        NOTE,
        "environments/../x",
        "environments/name.json",
        "removed/ab/x",
    ],
)
def test_a_path_that_no_file_of_a_shard_has_is_found(server: Server, path: str) -> None:
    (found,) = server.steps("files", {}, {path: b"x"})
    assert found.startswith(f"refs/exprag/files/desk, {path}: ")
    assert "path" in found.removeprefix(f"refs/exprag/files/desk, {path}: ")


@pytest.mark.parametrize("mode", ODD_MODES)
def test_a_file_is_a_plain_file(server: Server, mode: str) -> None:
    (found,) = server.steps("files", {}, {f"{NOTE}/x": entry(server, mode, b"/etc/passwd")})
    assert found == f"refs/exprag/files/desk, {NOTE}/x: its mode is {mode}, not 100644"
    before = {f"{NOTE}/x": b"/etc/passwd"}
    (found,) = server.steps("files", before, {f"{NOTE}/x": entry(server, mode, b"/etc/passwd")})
    assert f"its mode is {mode}" in found


def test_a_tree_that_spells_out_more_paths_than_can_be_listed_is_refused(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(received, "MAX_CHANGES", 1000)
    tree = server.tree({f"{n:x}": lines(BEGUN) for n in range(16)})
    for _ in range(38):
        tree = server.tree({f"{n:x}": ("040000", tree) for n in range(16)})
    found = server.steps("facts", {}, {"a": ("040000", tree)})
    assert found == ["refs/notes/exprag/desk: it cannot be checked: More than 1000 paths differ."]


@pytest.mark.parametrize("kind", ["facts", "metrics", "files"])
def test_a_tree_that_is_nested_without_end_is_refused(server: Server, kind: str) -> None:
    tree = server.tree({"x": b""})
    for _ in range(received.MAX_DEPTH):
        tree = server.tree({"x": ("040000", tree)})
    (found,) = server.steps(kind, {}, {"ab": ("040000", tree)})
    assert "nested more than 64 deep" in found


@pytest.mark.parametrize(
    "content",
    [
        b"100644 x\0" + b"1" * 20 + b"100644 x\0" + b"2" * 20,
        b"100644 ../x\0" + b"1" * 20,
        b"100644 x\0" + b"1" * 19,
        b"rubbish",
    ],
)
def test_a_damaged_tree_is_refused(server: Server, content: bytes) -> None:
    words = ("hash-object", "-w", "-t", "tree", "--stdin", "--literally")
    tree = server.git.raw(*words, stdin=content).decode().strip()
    old = server.commit({})
    new = server.git("commit-tree", tree, "-p", old, "-m", "m")
    (found,) = server.findings(refs.FILES + "desk", old, new)
    assert found == f"refs/exprag/files/desk: it cannot be checked: The tree {tree} is damaged."


def test_a_note_of_too_many_lines_is_refused_and_the_next_one_is_looked_at(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "MAX_LINES", 2)
    notes = {NOTE: lines(b"a", b"b", b"c", b"d"), f"ab/{'d' * 38}": lines(BEGUN, b"garbage")}
    many, garbage = server.steps("facts", {}, notes)
    assert many == f"refs/notes/exprag/desk, {NOTE}: it has more than 2 lines"
    assert f"ab/{'d' * 38}: line 2 does not decode" in garbage


def test_a_chain_of_code_has_no_files_and_its_snapshots_may(server: Server) -> None:
    ref = refs.CODE + "desk"
    run = server.commit({"train.py": b"code"}, message="exprag: union")
    first = server.commit({}, run, message="exprag code\n")
    other = server.commit({}, server.commit({"a": b""}), message="exprag code\n")
    union = server.commit({}, first, other, message="exprag: union\n")
    assert server.findings(ref, first, union) == []
    full = server.commit({"x": b"y"}, first, message="exprag code\n")
    reason = f"its commit {full[:12]} has files; a chain of code has none"
    assert server.findings(ref, first, full) == [f"{ref}: {reason}"]
    over = server.commit({}, full, message="exprag code\n")
    assert server.findings(ref, first, over) == [f"{ref}: {reason}"]
    odd = server.commit({}, first, message="something else")
    assert "no commit of a chain" in server.findings(ref, first, odd)[0]


def test_a_chain_whose_commits_a_branch_has_already_is_looked_at(server: Server) -> None:
    full = server.commit({"x": b"y"}, message="exprag code\n")
    server.git("update-ref", "refs/heads/main", full)
    assert "has files" in server.findings(refs.CODE + "desk", None, full)[0]


def test_the_input_of_a_server_is_read_or_refused() -> None:
    text = f"{ZERO} {'1' * 40} refs/heads/a\n{'1' * 40} {ZERO} refs/tags/b c\n".encode()
    assert parse_updates(text.splitlines(keepends=True)) == [
        Update("refs/heads/a", None, "1" * 40),
        Update("refs/tags/b c", "1" * 40, None),
    ]
    with pytest.raises(GitexpError, match="not what git gives"):
        parse_updates([b"hello\n"])
