"""The library's shard: what stands where, what is added once, and what a union holds."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gitexp.errors import ValueRejectedError
from gitexp.git import refs, trees
from gitexp.git.read import list_refs, list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.git.write import update_ref
from gitexp.records import library as records
from gitexp.records.facts import BadLineError, OpaqueFact, TombstoneFact, encode_fact
from gitexp.records.library import Chunk, LibraryLine, Method, Paper, Proposal, Withdrawal
from gitexp.store.batch import Batch, split_lines, write_batch
from gitexp.store.library import (
    KINDS,
    add_lines,
    decode_file,
    decode_line,
    encode_line,
    is_library_path,
    path_of,
)
from gitexp.store.problem import Problem
from gitexp.store.union import unite_commits
from tests.format_example import PAGE
from tests.fuzz import targets
from tests.library_lines import (
    BY,
    PAPER,
    TIME,
    chunks,
    method,
    one_of_each,
    paper,
    proposal,
    retrieval,
    usage,
)
from tests.support import Git
from tests.test_fuzz import FAST, TOKENS, changed, respelled

REF = refs.LIBRARY + "ada"
UNKNOWN = b'{"kind":"dream","schema":1,"what":[1,2]}'
NEWER = encode_line(method()).replace(b'"schema":1', b'"schema":2')


@pytest.fixture
def here(repo: Git) -> Repository:
    """A repository whose shard is called ada."""
    repo("config", "exprag.shard", "ada")
    return Repository.discover()


def files(repository: Repository, commit: str | None = None) -> dict[str, list[bytes]]:
    """Return path -> lines of a state of the shard, by default the present one."""
    tip = commit or list_refs(repository, REF)[REF]
    entries = list_tree(repository, tip)
    blobs = read_blobs(repository, [entry.oid for entry in entries])
    return {
        entry.path.decode(): split_lines(blob or b"")
        for entry, (_, blob) in zip(entries, blobs, strict=True)
    }


def state(repository: Repository, lines: Mapping[str, list[bytes]], shard: str) -> str:
    """Return a commit of a shard that has these lines at these paths."""
    write_batch(repository, shard, Batch(library=dict(lines)))
    return list_refs(repository, refs.LIBRARY)[refs.LIBRARY + shard]


# Lines


@pytest.mark.parametrize("line", one_of_each(), ids=lambda line: type(line).__name__)
def test_every_kind_comes_back_as_it_was(line: LibraryLine) -> None:
    raw = encode_line(line)
    assert decode_line(raw) == line
    assert b"\n" not in raw
    assert b"\0" not in raw


def test_all_kinds_of_the_records_are_known() -> None:
    structs = vars(records).values()
    tags = {
        each.__struct_config__.tag
        for each in structs
        if isinstance(each, type) and issubclass(each, records._Line) and each is not records._Line
    }
    assert tags == KINDS == {str(line.__struct_config__.tag) for line in one_of_each()}


@pytest.mark.parametrize(
    "line",
    [
        msgspec.structs.replace(method(), slug="../../x"),
        msgspec.structs.replace(method(), slug="Upper"),
        msgspec.structs.replace(method(), slug="a" * 65),
        msgspec.structs.replace(method(), slug="repo-0123456789ab"),
        msgspec.structs.replace(paper(), id="arxiv-../x"),
        msgspec.structs.replace(paper(), id="file-XYZ"),
        msgspec.structs.replace(chunks()[0], id=f"{PAPER}.x"),
        msgspec.structs.replace(chunks()[0], id=f"{PAPER}.{'9' * 30}"),
        msgspec.structs.replace(chunks()[0], paper="file-0123456789ab"),
        msgspec.structs.replace(proposal(), id="short"),
        msgspec.structs.replace(proposal(), time="yesterday"),
        msgspec.structs.replace(proposal(), time="2026-13-01T00:00:00.000000Z"),
        msgspec.structs.replace(proposal(), time="2026-02-30T00:00:00.000000Z"),
        msgspec.structs.replace(proposal(), time="0000-01-01T00:00:00.000000Z"),
        msgspec.structs.replace(proposal(), predicted=float("nan")),
        msgspec.structs.replace(usage(), seconds=float("inf")),
        msgspec.structs.replace(proposal(), title="\ud800"),
        Withdrawal(time=TIME, by=BY, id="NO"),
    ],
)
def test_what_cannot_be_kept_is_refused_with_a_sentence(
    here: Repository, line: LibraryLine
) -> None:
    with pytest.raises(ValueRejectedError, match=r"^This \w+ cannot be kept: .+\.$"):
        add_lines(here, [proposal(5), line])
    assert REF not in list_refs(here, refs.LIBRARY)


def test_unknown_kinds_and_newer_schemas_are_kept_as_they_are() -> None:
    for raw, kind, schema in ((UNKNOWN, "dream", 1), (NEWER, "method", 2)):
        assert decode_line(raw) == OpaqueFact(kind, schema, raw)


def test_unknown_fields_of_a_known_kind_are_ignored() -> None:
    raw = encode_line(method())
    assert decode_line(raw[:-1] + b',"mood":{"a":[1]}}') == method()


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"kind":"method"}', b"\xff", b"[" * 100_000])
def test_damage_is_told_from_what_is_newer(raw: bytes) -> None:
    with pytest.raises(BadLineError):
        decode_line(raw)


# Places


def test_each_kind_stands_at_its_path(here: Repository) -> None:
    add_lines(here, one_of_each())
    found = files(here)
    events = [path for path in found if path.startswith("events/")]
    assert sorted(found.keys() - set(events)) == [
        f"chunks/{PAPER}",
        "methods/relu-squared",
        "methods/zeta-clip",
        f"papers/{PAPER}",
    ]
    assert [re.sub("[0-9a-f]", "x", path) for path in events] == [
        f"xvxnts/2026-01/xx/{'x' * 30}".replace("2026-01", "xxxx-xx")
    ]
    assert events[0].startswith("events/2026-01/")
    assert len(found[events[0]]) == 4
    assert all(is_library_path(path.encode()) for path in found)


def test_events_of_two_months_are_two_files(here: Repository) -> None:
    add_lines(here, [proposal(1), proposal(2, time="2026-02-01T00:00:00.000000Z")])
    assert sorted(path[:14] for path in files(here)) == ["events/2026-01", "events/2026-02"]


def test_a_withdrawal_stands_with_what_it_withdraws() -> None:
    assert path_of(Withdrawal(time=TIME, by=BY, id=PAPER)) == f"papers/{PAPER}"
    assert path_of(Withdrawal(time=TIME, by=BY, id="swiglu")) == "methods/swiglu"


@pytest.mark.parametrize(
    "path",
    [b"x", b"papers/../x", b"methods/a/b", b"methods/A", b"events/2026-01/ab", b"papers/swiglu",
     b"events/2026-99/ab/" + b"0" * 30, b"methods/\xff", b"chunks/", b"methods/.git"],
)  # fmt: skip
def test_other_paths_are_none_of_the_library(path: bytes) -> None:
    assert not is_library_path(path)


def test_a_line_in_the_wrong_file_is_reported_and_not_read() -> None:
    content = b"\n".join(map(encode_line, (method("swiglu"), method("zeta-clip"))))
    good, bad = decode_file(REF, b"methods/swiglu", content)
    assert not isinstance(good, Problem)
    assert isinstance(bad, Problem)
    assert str(bad) == (
        f"{REF}:methods/swiglu, line 2: a method of methods/zeta-clip stands in the wrong file"
    )


def test_many_bad_lines_are_counted_and_endless_files_cut_off(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gitexp.store.read.MAX_NOTE_LINES", 300)
    content = b"x\n" * 250 + encode_line(method()) + b"\n" + b"x\n" * 1000
    found = list(decode_file(REF, b"methods/zeta-clip", content))
    problems = [str(item) for item in found if isinstance(item, Problem)]
    assert len(found) - len(problems) == 1
    assert len(problems) == 102
    assert any("more than 300 lines" in problem for problem in problems)
    assert any("nor can 198 lines after it" in problem for problem in problems)


# Adding


def test_adding_twice_changes_nothing(here: Repository) -> None:
    add_lines(here, one_of_each())
    tip = list_refs(here, REF)
    add_lines(here, one_of_each())
    add_lines(here, [method(), *chunks(share=True)])
    add_lines(here, [])
    assert list_refs(here, REF) == tip


def test_a_batch_is_one_commit_on_top_of_the_last(repo: Git, here: Repository) -> None:
    add_lines(here, [method()])
    first = list_refs(here, REF)[REF]
    add_lines(here, [paper(), *chunks(), proposal()])
    assert repo("rev-parse", f"{REF}^") == first
    assert repo("log", "-1", "--format=%s", REF) == "exprag: library, 3 files"


def test_only_ones_own_shard_is_written(here: Repository) -> None:
    other = state(here, {"methods/zeta-clip": [encode_line(method())]}, "bob")
    add_lines(here, [method("mine")])
    found = list_refs(here, refs.LIBRARY)
    assert found[refs.LIBRARY + "bob"] == other
    assert files(here).keys() == {"methods/mine"}


def test_a_later_line_stands_beside_the_earlier_one(here: Repository) -> None:
    add_lines(here, [method()])
    add_lines(here, [method(name="other")])
    assert len(files(here)["methods/zeta-clip"]) == 2


def test_lines_that_are_not_understood_stay(here: Repository) -> None:
    state(here, {"methods/zeta-clip": [UNKNOWN, NEWER, b"damage"]}, "ada")
    add_lines(here, [method()])
    assert files(here)["methods/zeta-clip"] == [UNKNOWN, NEWER, b"damage", encode_line(method())]


def test_what_stands_in_the_way_is_replaced_where_it_is_no_file(here: Repository) -> None:
    """A folder of that name is nothing that the format knows; the writer does not stumble."""
    state(here, {"methods/zeta-clip/inner": [b"x"]}, "ada")
    add_lines(here, [method()])
    assert files(here)["methods/zeta-clip"] == [encode_line(method())]


@pytest.mark.parametrize("death", ["before", "after"])
def test_a_writer_killed_around_the_move_of_the_ref_can_be_repeated(
    here: Repository, death: str
) -> None:
    add_lines(here, [method("first")])
    child = os.fork()
    if child == 0:
        _die(here, death)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    there = files(here)
    assert ("methods/zeta-clip" in there) == (death == "after")
    assert "methods/first" in there
    add_lines(here, one_of_each())
    tip = list_refs(here, REF)
    add_lines(here, one_of_each())
    assert list_refs(here, REF) == tip
    assert files(here)["methods/zeta-clip"] == [encode_line(method())]


def _die(here: Repository, death: str) -> None:
    def dying(repository: Repository, name: str, build: Any) -> None:
        if death == "before":
            build(repository.objects(), None)  # the objects, and no ref
        else:
            update_ref(repository, name, build)
        os.kill(os.getpid(), signal.SIGKILL)

    vars(trees)["update_ref"] = dying
    add_lines(here, one_of_each())


def test_many_writers_at_once_lose_nothing(here: Repository) -> None:
    add_lines(here, [method("first")])
    children = []
    for number in range(6):
        child = os.fork()
        if child == 0:
            for event in range(4):
                add_lines(here, [usage(number * 100 + event), method(f"m-{number}-{event}")])
            os._exit(0)
        children.append(child)
    assert {os.waitpid(child, 0)[1] for child in children} == {0}
    found = files(here)
    assert sum(path.startswith("events/") for path in found) == 24
    assert sum(path.startswith("methods/m-") for path in found) == 24


# Union

_PATHS = st.sampled_from(
    [f"papers/{PAPER}", f"chunks/{PAPER}", "methods/zeta-clip", "events/2026-01/ab/" + "0" * 30]
)
_SOME: list[LibraryLine] = [method(), method(name="b"), retrieval(), paper(), *chunks()]
_LINES = st.sampled_from([encode_line(line) for line in _SOME] + [UNKNOWN, NEWER, b"damage"])
COLLECTED = encode_fact(TombstoneFact(time=TIME, by=BY, collected=True))
_STATES = st.dictionaries(_PATHS, st.lists(_LINES, min_size=1, max_size=4), max_size=4)


@given(a=_STATES, b=_STATES)
@settings(FAST, max_examples=60)
@example(
    a={"methods/zeta-clip": [encode_line(method())]},
    b={"methods/zeta-clip": [COLLECTED]},
)
def test_a_union_holds_all_lines_of_both_whoever_unites(
    here: Repository, a: dict[str, list[bytes]], b: dict[str, list[bytes]]
) -> None:
    for ref, oid in list_refs(here, refs.LIBRARY).items():
        here.git(["update-ref", "-d", ref, oid])
    keep = {"methods/keep": [UNKNOWN]}  # no state is empty: an empty tree is no state
    one, two = state(here, a | keep, "one"), state(here, b | keep, "two")
    united = unite_commits(here, REF, one, two)
    assert unite_commits(here, REF, two, one) == united
    assert unite_commits(here, REF, united, one) == united
    found = files(here, united)
    for path in a.keys() | b.keys():
        assert set(found[path]) == set(a.get(path, [])) | set(b.get(path, []))
        assert len(found[path]) == len(set(found[path]))


def test_a_union_of_different_files_is_sorted(here: Repository) -> None:
    lines = sorted([encode_line(method(name=name)) for name in "abc"])
    one = state(here, {"methods/zeta-clip": [lines[2], lines[0]]}, "one")
    two = state(here, {"methods/zeta-clip": [lines[1]]}, "two")
    assert files(here, unite_commits(here, REF, one, two))["methods/zeta-clip"] == lines


def test_a_union_of_odd_trees_does_not_stumble(repo: Git, here: Repository) -> None:
    """Links, submodules and folders where files belong: one of the two stays."""
    blob = repo.raw("hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    good = encode_line(method())
    plain = state(here, {"methods/zeta-clip": [good], "methods/b": [good]}, "one")
    inner = repo.raw("mktree", stdin=f"100644 blob {blob}\tinner\n".encode()).decode().strip()
    entries = f"120000 blob {blob}\tb\n040000 tree {inner}\tzeta-clip\n160000 commit {plain}\tsub\n"
    methods = repo.raw("mktree", "--missing", stdin=entries.encode()).decode().strip()
    root = repo.raw("mktree", stdin=f"040000 tree {methods}\tmethods\n".encode()).decode().strip()
    odd = repo("commit-tree", root, "-m", "odd")
    united = unite_commits(here, REF, plain, odd)
    assert united == unite_commits(here, REF, odd, plain)
    assert repo("rev-parse", f"{united}:methods/zeta-clip") == inner


# Any bytes


@settings(FAST, max_examples=200)
@given(
    st.lists(
        changed(targets.HONEST_LIBRARY, TOKENS) | respelled(targets.HONEST_LIBRARY), max_size=3
    ).map(b"\n".join)
)
def test_any_file_is_read_or_reported(content: bytes) -> None:
    targets.library(content)


# The page


@pytest.mark.parametrize(
    "struct",
    [
        *(Paper, Chunk, Method, Withdrawal, records.Knob, records.Reference, records.Shown),
        *(records.Retrieval, Proposal, records.Lesson, records.Usage),
    ],
)
def test_every_field_is_named_on_the_page(struct: type[msgspec.Struct]) -> None:
    page = PAGE.read_text()
    section = page[page.index("\n## Library\n") : page.index("\n## Removal\n")]
    named = set(re.findall(r"`([a-z_]+)`", section)) | {"kind", "schema", "time", "by"}
    assert {field.encode_name for field in msgspec.structs.fields(struct)} <= named


def test_the_page_says_how_long_abstracts_and_excerpts_are() -> None:
    page = PAGE.read_text()
    assert f"at most {records.MAX_ABSTRACT:,} characters" in page
    assert f"at most {records.MAX_EXCERPT} characters" in page


def test_the_page_names_every_kind() -> None:
    page = PAGE.read_text()
    assert all(f"| `{kind}` |" in page for kind in KINDS)
