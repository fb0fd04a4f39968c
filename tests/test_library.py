"""The library as one reads it: what counts, what is found, and an index that is always derived."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gitexp.errors import AmbiguousError, GitexpError, ValueRejectedError
from gitexp.git import refs
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.index.sync import read_contents
from gitexp.library import database, sync
from gitexp.library.database import NAME
from gitexp.library.library import Library, new_id
from gitexp.library.pack import pack
from gitexp.records.library import LibraryLine, Withdrawal
from gitexp.store.batch import Batch, write_batch
from gitexp.store.library import encode_line, path_of, text_digest
from tests.library_lines import (
    BY,
    LAST,
    LATER,
    PAPER,
    TEXTS,
    TIME,
    local,
    method,
    one_of_each,
    paper,
    proposal,
    retrieval,
    usage,
    whole_paper,
)
from tests.support import Git

BOB = refs.LIBRARY + "bob"
OTHER = "file-0123456789ab"


@pytest.fixture
def library(repo: Git) -> Library:
    repo("config", "exprag.shard", "ada")
    return Library(Repository.discover())


def write(*lines: LibraryLine | tuple[str, bytes], shard: str = "bob") -> None:
    """Add lines to a shard as they are; a pair is a path and a line that may be anything."""
    batch: dict[str, list[bytes]] = {}
    for line in lines:
        path, raw = line if isinstance(line, tuple) else (path_of(line), encode_line(line))
        path += "/ab/" + "0" * 30 if path.startswith("events/") and path.count("/") == 1 else ""
        batch.setdefault(path, []).append(raw)
    write_batch(Repository.discover(), shard, Batch(library=batch))


def withdrawal(what: str, time: str = LATER) -> Withdrawal:
    return Withdrawal(time=time, by=BY, id=what, reason="wrong")


def everything(library: Library) -> dict[str, Any]:
    """Return all that a library answers, to be compared."""
    return {
        "papers": library.papers(),
        "chunks": {each.id: library.chunks(each.id) for each in library.papers()},
        "texts": {c.id: library.text(c.id) for p in library.papers() for c in library.chunks(p.id)},
        "methods": library.methods(),
        "events": [
            library.retrievals(),
            library.proposals(),
            library.lessons(),
            library.usages(),
        ],
        "passages": [
            (passage.chunk.id, passage.title, round(passage.score, 9))
            for query in ("swish gated units", "qknorm", "weight decay 0.1")
            for passage in library.search_passages(query)
        ],
        "matches": [(m.slug, round(m.score, 9)) for m in library.search_methods("qk norm zeta")],
        "problems": library.problems,
        "unknown": library.unknown,
    }


# An empty one


def test_an_empty_library_has_the_pack_and_writes_nothing(repo: Git, library: Library) -> None:
    assert library.methods() == {each.slug: each for each in sorted(pack(), key=lambda m: m.slug)}
    assert not library.papers()
    assert not library.proposals()
    assert not library.search_passages("x")
    assert library.search_methods("swiglu")[0].slug == "swiglu"
    assert library.text("none") is None
    assert library.proposal("0" * 16) is None
    assert not (repo.path / ".git" / "exprag").exists()


def test_reading_needs_no_libgit2(library: Library) -> None:
    library.add(one_of_each())
    code = (
        "import sys\nfrom gitexp.git.repository import Repository\n"
        "from gitexp.library.library import Library\n"
        "library = Library(Repository.discover())\n"
        "assert library.papers() and library.search_passages('swish')\n"
        "assert 'pygit2' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_new_ids_are_those_of_events(library: Library) -> None:
    ids = {new_id() for _ in range(50)}
    assert len(ids) == 50
    time, by = library.stamp()
    assert by == "Ada Lovelace <ada@example.org>"
    line = msgspec.structs.replace(proposal(), id=ids.pop(), time=time)
    assert library.add([line]) == [line]


# What counts


def test_every_kind_comes_back(library: Library) -> None:
    lines = one_of_each()
    assert library.add(lines) == lines
    assert library.papers() == [paper()]
    assert library.chunks(PAPER) == lines[1:4]
    assert library.methods()["zeta-clip"] == method()
    assert library.retrievals() == [retrieval()]
    assert library.proposals() == [proposal(2)]
    assert library.proposal(proposal(2).id) == proposal(2)
    assert [lesson.text for lesson in library.lessons()] == ["warm up longer"]
    assert library.usages() == [usage(3)]
    assert library.problems == []
    assert library.unknown == {}


def test_adding_again_whoever_and_whenever_changes_nothing(library: Library) -> None:
    library.add([*one_of_each(), *whole_paper(of=OTHER)], local())
    tips = list_refs(library.repository, refs.LIBRARY)
    assert library.add(whole_paper(of=OTHER, time=LATER)) == []
    assert library.add([method(time=LAST)]) == []
    assert library.add([retrieval()]) == []
    assert library.add([usage(3), proposal(2)]) == []
    grace = [msgspec.structs.replace(line, by="Grace") for line in whole_paper(share=True)]
    assert library.add(grace) == []
    assert list_refs(library.repository, refs.LIBRARY) == tips
    assert library.add([withdrawal("relu-squared")]) == [withdrawal("relu-squared")]
    assert library.add([withdrawal("relu-squared", LAST)]) == []


def test_the_latest_line_of_a_method_counts_whatever_shard_has_it(library: Library) -> None:
    library.add([method(name="second", time=LATER)])
    write(method(name="first"), method(name="third", time=LAST, slug="other"))
    library.refresh()
    assert library.methods()["zeta-clip"].name == "second"
    write(method(name="last", time=LAST))
    assert library.methods()["zeta-clip"].name == "second"  # until it is asked to look again
    library.refresh()
    assert library.methods()["zeta-clip"].name == "last"


def test_of_two_lines_of_one_time_all_clones_take_the_same(library: Library) -> None:
    library.add([method(name="a")])
    write(method(name="b"))
    library.refresh()
    chosen = library.methods()["zeta-clip"].name
    assert chosen == max("ab", key=lambda name: encode_line(method(name=name)))


def test_ones_own_method_takes_the_place_of_the_packs(library: Library) -> None:
    first = pack()[0]
    library.add([method(first.slug)])
    assert library.methods()[first.slug] == method(first.slug)
    assert len(library.methods()) == len(pack())


def test_withdrawn_methods_and_papers_are_hidden_until_a_later_line(library: Library) -> None:
    slug = pack()[0].slug
    library.add([*whole_paper(), method(), withdrawal("zeta-clip"), withdrawal(slug)])
    library.add([withdrawal(PAPER)])
    assert not {"zeta-clip", slug} & library.methods().keys()
    assert not library.papers()
    assert not library.chunks(PAPER)
    assert not library.search_passages("swish")
    library.add([method(time=LAST), *whole_paper(time=LAST)])
    assert "zeta-clip" in library.methods()
    assert len(library.chunks(PAPER)) == len(TEXTS)


def test_a_paper_that_changed_leaves_no_stale_passage(library: Library) -> None:
    library.add(whole_paper(), local())
    new = ("Entirely other words about mixture of experts.",)
    library.add(whole_paper(new, time=LATER), local(new))
    assert [chunk.excerpt for chunk in library.chunks(PAPER)] == [new[0][:40]]
    assert library.search_passages("swish") == []
    assert library.text(f"{PAPER}.0") == new[0]
    assert library.text(f"{PAPER}.1") is None


def test_a_title_that_changed_leaves_the_passages(library: Library) -> None:
    library.add(whole_paper())
    library.add([msgspec.structs.replace(paper(), title="Better title", time=LATER)])
    assert library.paper(PAPER).title == "Better title"
    assert [passage.title for passage in library.search_passages("swish")] == ["Better title"]


def test_an_older_reading_of_a_colleague_does_not_come_in_between(library: Library) -> None:
    write(*whole_paper(("The old text of the paper.",)))
    library.add(whole_paper(time=LATER))
    assert len(library.chunks(PAPER)) == len(TEXTS)
    assert library.search_passages("old text") == []


def test_two_readings_of_one_text_are_one(library: Library) -> None:
    write(*whole_paper(time=LATER))
    library.add(whole_paper(share=True))
    assert [chunk.time for chunk in library.chunks(PAPER)] == [LATER] * len(TEXTS)
    assert len(library.search_passages("swish")) == 1
    assert library.text(f"{PAPER}.0") == TEXTS[0]  # which the other reading shares


def test_of_lines_about_one_event_the_latest_counts(library: Library) -> None:
    library.add([proposal(1), proposal(2, time=LATER)])
    library.add([proposal(1, time=LAST, outcome="not applied")])
    assert [(each.id[-1], each.outcome) for each in library.proposals()] == [
        ("2", None),
        ("1", "not applied"),
    ]
    found = library.proposal(proposal(1).id)
    assert found is not None
    assert found.outcome == "not applied"


def test_chunks_come_with_their_paper(library: Library) -> None:
    lines = whole_paper()
    with pytest.raises(ValueRejectedError, match="does not come with its paper"):
        library.add(lines[1:])
    with pytest.raises(ValueRejectedError, match="does not come with its paper"):
        library.add([msgspec.structs.replace(paper(), time=LATER), *lines[1:]])
    assert library.papers() == []


# Names


def test_a_paper_is_found_by_its_names(library: Library) -> None:
    library.add([*whole_paper(), *whole_paper(of="arxiv-2002.99999"), *whole_paper(of=OTHER)])
    for spec in (PAPER, PAPER.upper(), "2002.05202", "arxiv-2002.0", " 2002.05 "):
        assert library.paper(spec).id == PAPER
    with pytest.raises(AmbiguousError, match=r"fits 2 papers: arxiv-2002\.05202, arxiv-2002\.99"):
        library.paper("arxiv-2002")
    for spec in ("", "9999", f"{PAPER}.0"):
        with pytest.raises(GitexpError, match="No paper answers to"):
            library.paper(spec)


def test_a_method_is_found_by_its_names(library: Library) -> None:
    library.add([method(), method("zeta2", name="Zeta clipping")])
    for spec in ("zeta2", " ZETA2 ", "swiglu", "SwiGLU"):
        assert library.method(spec).slug == spec.strip().lower()
    for spec in ("zeta CLIPPING", "zeta norm"):
        with pytest.raises(AmbiguousError, match="fits 2 methods: zeta-clip, zeta2"):
            library.method(spec)
    with pytest.raises(GitexpError, match="No method answers to 'none'"):
        library.method("none")


# Texts


def test_full_texts_stay_in_the_clone_and_are_searched_in_full(repo: Git, library: Library) -> None:
    library.add(whole_paper(), local())
    assert library.text(f"{PAPER}.2") == TEXTS[2]
    assert [p.chunk.id for p in library.search_passages("weight decay")] == [f"{PAPER}.2"]
    shared = repo("log", "-p", "--format=", refs.LIBRARY + "ada")
    assert TEXTS[2][:40] in shared
    assert "weight decay" not in shared


def test_without_a_full_text_the_excerpt_is_searched(library: Library) -> None:
    library.add(whole_paper())
    assert library.text(f"{PAPER}.2") is None
    assert library.search_passages("weight decay") == []
    assert library.search_passages("optimizer state")


def test_a_shared_text_counts_where_it_has_its_digest(library: Library) -> None:
    library.add(whole_paper(share=True))
    lie = msgspec.structs.replace(whole_paper(share=True)[1], text="something else altogether")
    write(*whole_paper(of=OTHER)[:1], msgspec.structs.replace(lie, paper=OTHER, id=f"{OTHER}.0"))
    library.refresh()
    assert library.text(f"{PAPER}.1") == TEXTS[1]
    assert library.text(f"{OTHER}.0") is None
    assert library.search_passages("altogether") == []


def test_texts_that_come_later_are_taken_in(library: Library) -> None:
    library.add(whole_paper())
    assert library.add(whole_paper(), local()) == []
    assert library.search_passages("weight decay")


def test_a_text_that_is_not_its_chunks_is_refused(library: Library) -> None:
    for wrong in ("else", "\ud800"):
        with pytest.raises(ValueRejectedError, match="is not the one that its digest names"):
            library.add(whole_paper(), {f"{PAPER}.0": wrong})
    assert library.papers() == []


def test_withdrawing_a_paper_deletes_its_texts_here(repo: Git, library: Library) -> None:
    library.add(whole_paper(), local())
    folder = repo.path / ".git" / "exprag" / "texts"
    assert [path.name for path in folder.iterdir()] == [f"{PAPER}.json"]
    library.add([withdrawal(PAPER)])
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"a":1}', b"\xff", b'{"00":"text"}'])
def test_damaged_texts_count_as_none(repo: Git, library: Library, content: bytes) -> None:
    library.add(whole_paper(), local())
    (repo.path / ".git" / "exprag" / "texts" / f"{PAPER}.json").write_bytes(content)
    library.refresh()
    assert library.text(f"{PAPER}.2") is None
    assert library.search_passages("weight decay") == []
    assert library.search_passages("optimizer state")


# Searching


@pytest.mark.parametrize(
    ("query", "number"),
    [
        ("SwiGLU", 0), ("swiglu", 0), ("swish", 0), ("feed-forward", 0), ("feed forward", 0),
        ("qknorm", 1), ("qk_norm", 1), ("QK-Norm", 1), ("qk norm", 1), ("0.04", 1),
        ("bfloat16", 2), ("weight decay", 2), ("WEIGHT decay?", 2),
    ],
)  # fmt: skip
def test_words_identifiers_and_decimals_find_their_passage(
    library: Library, query: str, number: int
) -> None:
    library.add(whole_paper(), local())
    found = library.search_passages(query)
    assert found[0].chunk.id == f"{PAPER}.{number}"
    assert found[0].title == "GLU variants"
    assert all(passage.score > 0 for passage in found)


@pytest.mark.parametrize(
    ("query", "first", "among"),
    [
        ("less memory for the kv cache", "mla", {"mqa", "gqa"}),
        ("positional encoding", "nope", {"rope", "alibi"}),
        ("a better way to average weights", "weight-averaging", set()),
        ("optimizer for matrices", "muon", {"shampoo"}),
    ],
)
def test_methods_are_found_by_what_they_are_for(
    library: Library, query: str, first: str, among: set[str]
) -> None:
    found = [match.slug for match in library.search_methods(query, 6)]
    assert found[0] == first
    assert among <= set(found)


def test_a_question_of_small_words_alone_is_asked_as_it_is(library: Library) -> None:
    assert library.search_methods("better than the")


def test_a_decimal_is_one_word(library: Library) -> None:
    library.add(whole_paper(), local())
    assert library.search_passages("0.4") == []
    assert library.search_passages("04") == []


def test_symbols_of_code_find_their_passage(library: Library) -> None:
    lines = whole_paper()
    lines[2] = msgspec.structs.replace(lines[2], symbols=("apply_rotary_emb", "RotaryCache"))
    library.add(lines)
    for query in ("apply_rotary_emb", "rotary_emb", "rotarycache", "rotary cache", "rotary"):
        assert library.search_passages(query)[0].chunk.id == f"{PAPER}.1"


@pytest.mark.parametrize(
    ("query", "slug"),
    [("SwiGLU", "swiglu"), ("qknorm", "qk-norm"), ("QK norm", "qk-norm"), ("ZClip", "zeta-clip"),
     ("zetaclip", "zeta-clip"), ("zeta_init", "zeta-clip"), ("muon", "muon")],
)  # fmt: skip
def test_methods_are_found_by_names_aliases_and_signatures(
    library: Library, query: str, slug: str
) -> None:
    library.add([method()])
    found = library.search_methods(query)
    assert found[0].slug == slug
    assert found[0].words
    assert [match.score for match in found] == sorted((m.score for m in found), reverse=True)


def test_the_limit_and_the_order(library: Library) -> None:
    texts = tuple(f"swish number {i} {'padding ' * i}" for i in range(30))
    library.add(whole_paper(texts), local(texts))
    found = library.search_passages("swish", limit=5)
    assert [passage.chunk.id for passage in found] == [f"{PAPER}.{i}" for i in range(5)]
    assert library.search_passages("swish", limit=0) == []


@pytest.mark.parametrize(
    "query",
    ["", " ", "?!", '"', "NEAR(a b)", "a AND b OR", "name:*", "'; DROP TABLE line; --", "\x00",
     "\ud800", "~", "-", "x" * 100_000, "é" * 1000, "日本語", "a_b " * 5000, "QK-" * 3000],
)  # fmt: skip
def test_any_question_has_an_answer(library: Library, query: str) -> None:
    library.add(whole_paper(), local())
    library.search_passages(query)
    library.search_methods(query)
    assert library.papers() == [paper()]


# The index


def test_an_index_that_grew_is_the_one_that_is_made_anew(library: Library) -> None:
    source = random.Random(5)
    for step in range(25):
        _change(library, source, step)
        library.refresh()
        grown = everything(library)
        library.reindex()
        assert everything(library) == grown


def _change(library: Library, source: random.Random, step: int) -> None:
    time = f"2026-03-{step + 1:02}T00:00:00.000000Z"
    texts = tuple(source.sample([*TEXTS, "Mixture of experts.", "Rotary embeddings."], 3))
    of = source.choice([PAPER, OTHER])
    slug = source.choice(["zeta-clip", "swiglu", "b"])
    choices: list[Callable[[], object]] = [
        lambda: library.add(whole_paper(texts, of=of, time=time), local(texts, of)),
        lambda: write(*whole_paper(texts, of=of, time=time, share=True)),
        lambda: write(method(slug, time=time), withdrawal(slug, time)),
        lambda: library.add([withdrawal(of, time)]),
        lambda: library.add([proposal(step, time=time), usage(step, time=time)]),
        lambda: write(
            ("methods/zeta-clip", b"damage %d" % step), ("methods/x", b'{"kind":"later"}')
        ),
        lambda: library.repository.git(["update-ref", "-d", refs.LIBRARY + "bob"]),
    ]
    source.choice(choices)()


def test_unchanged_files_are_not_read_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(one_of_each())
    assert library.papers()
    asked: list[str] = []

    def counting(repository: Repository, oids: list[str]) -> Any:
        asked.extend(oids)
        return read_contents(repository, oids)

    monkeypatch.setattr(sync, "read_contents", counting)
    library.add([method("new-one")])
    assert "new-one" in library.methods()
    assert len(asked) == 1


def test_another_version_of_the_pack_is_taken_in(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add([method()])
    assert library.search_methods("zeta clipping")
    monkeypatch.setattr(sync, "pack", lambda: (method("fresh", name="Fresh thing"),))
    monkeypatch.setattr(sync, "PACK_VERSION", 10_000)
    later = Library(library.repository)
    assert later.methods().keys() == {"zeta-clip", "fresh"}
    assert later.search_methods("fresh thing")[0].slug == "fresh"


def test_a_shard_that_is_gone_or_set_back_is_not_remembered(repo: Git, library: Library) -> None:
    write(method("one"))
    first = repo("rev-parse", refs.LIBRARY + "bob")
    write(method("two"))
    assert {"one", "two"} <= library.methods().keys()
    repo("update-ref", refs.LIBRARY + "bob", first)
    library.refresh()
    assert "two" not in library.methods()
    repo("update-ref", "-d", refs.LIBRARY + "bob")
    library.refresh()
    assert "one" not in library.methods()


def index(repo: Git) -> Path:
    return repo.path / ".git" / "exprag" / NAME


def _other_version(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("PRAGMA user_version = 99")


def _other_table(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("CREATE TRIGGER t AFTER INSERT ON line BEGIN DELETE FROM line; END")


def _overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5000:-5000] = bytes(len(content) - 10_000)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b"no database"),
        lambda path: path.write_bytes(b""),
        lambda path: os.truncate(path, 10_000),
        lambda path: path.unlink(),
        _overwritten,
        _other_version,
        _other_table,
    ],
)
def test_an_index_that_is_damaged_or_foreign_is_made_anew(
    repo: Git, library: Library, damage: Callable[[Path], object]
) -> None:
    library.add([*one_of_each(), *whole_paper(of=OTHER)], local())
    before = everything(library)
    library.close()
    damage(index(repo))
    assert everything(library) == before
    assert everything(Library(library.repository)) == before


def test_damage_while_it_is_open_is_noticed(repo: Git, library: Library) -> None:
    library.add([*one_of_each(), *whole_paper(of=OTHER)], local())
    before = everything(library)
    with closing(sqlite3.connect(index(repo))) as db, db:
        db.execute("UPDATE line SET raw = x'00'")
    assert everything(library) == before


def test_in_memory_where_there_is_no_place(
    repo: Git, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.add(one_of_each())
    assert library.papers()
    index(repo).unlink()
    monkeypatch.setattr(database, "is_on_network", lambda _: True)
    library.refresh()
    assert library.papers() == [paper()]
    assert library.index_path is None
    assert not index(repo).exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_in_the_cache_folder_where_the_repository_is_read_only(repo: Git, library: Library) -> None:
    library.add(one_of_each())
    assert library.papers()
    index(repo).unlink()
    home = index(repo).parent
    home.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        library.refresh()
        assert library.papers() == [paper()]
        assert library.index_path not in {None, index(repo)}
    finally:
        home.chmod(stat.S_IRWXU)


def test_a_reader_killed_at_any_moment_leaves_an_index_that_can_be_used(
    repo: Git, library: Library
) -> None:
    library.add(one_of_each())
    source = random.Random(3)
    for number in range(12):
        write(method(f"m-{number}"), *whole_paper(of=f"file-{number:012x}"))
        child = os.fork()
        if child == 0:
            signal.setitimer(signal.ITIMER_REAL, source.random() * 0.03 + 0.001)
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            everything(Library(library.repository))
            os._exit(0)
        os.waitpid(child, 0)
    grown = everything(Library(library.repository))
    assert {f"m-{number}" for number in range(12)} <= grown["methods"].keys()
    library.reindex()
    assert everything(library) == grown


def test_a_forked_child_reads_for_itself(library: Library) -> None:
    library.add(one_of_each())
    assert library.papers()
    child = os.fork()
    if child == 0:
        library.refresh()
        os._exit(0 if library.search_passages("swish") else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert library.search_passages("swish")


def test_many_readers_and_a_writer_at_once(library: Library) -> None:
    library.add(one_of_each())
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            mine = Library(library.repository)
            for _ in range(10):
                mine.refresh()
                assert mine.papers()
            os._exit(0)
        children.append(child)
    for number in range(10, 20):
        library.add([usage(number)])
    assert {os.waitpid(child, 0)[1] for child in children} == {0}
    assert len(library.usages()) == 11


# Hostile shards


def test_bad_lines_are_reported_with_their_place_and_the_rest_is_read(library: Library) -> None:
    write(
        ("methods/zeta-clip", b"{"),
        method(),
        ("methods/zeta-clip", encode_line(method("other"))),
        ("methods/zeta-clip", b'{"kind":"dream","schema":1}'),
        ("strange/path", b"x"),
    )
    assert library.methods()["zeta-clip"] == method()
    assert "other" not in library.methods()
    assert library.unknown == {"dream (schema 1)": 1}
    assert [str(problem) for problem in library.problems] == [
        f"{BOB}:methods/zeta-clip, line 1: Input data was truncated",
        f"{BOB}:methods/zeta-clip, line 3: a method of methods/other stands in the wrong file",
        f"{BOB}:strange/path, line 1: JSON is malformed: invalid character (byte 0)",
    ]


def test_a_shard_without_a_tree_and_missing_objects_are_reported(
    repo: Git, library: Library
) -> None:
    library.add([method()])
    blob = repo.raw("hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    (repo.path / ".git" / "refs" / "exprag" / "library" / "odd").write_text(blob + "\n")
    tree = f"100644 blob {'1' * 40}\tlost\n".encode()
    methods = repo.raw("mktree", "--missing", stdin=tree).decode().strip()
    root = repo.raw("mktree", stdin=f"040000 tree {methods}\tmethods\n".encode()).decode().strip()
    repo("update-ref", refs.LIBRARY + "gap", repo("commit-tree", root, "-m", "gap"))
    library.refresh()
    assert library.methods()["zeta-clip"] == method()
    gap, odd = library.problems
    assert str(gap) == f"{refs.LIBRARY}gap:methods/lost: the file's object is missing"
    assert odd.ref == f"{refs.LIBRARY}odd"
    repo("update-ref", "-d", refs.LIBRARY + "gap")
    library.refresh()
    assert [problem.ref for problem in library.problems] == [odd.ref]


def test_a_file_that_is_too_large_is_reported(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gitexp.index.sync.MAX_NOTE_BYTES", 1000)
    write(method(), ("methods/big", b"x" * 2000))
    assert library.methods()["zeta-clip"] == method()
    (problem,) = library.problems
    assert "has 2001 bytes, too many to read" in problem.reason


def test_text_digests_are_those_of_the_format() -> None:
    assert text_digest("") == "99aa06d3014798d86001c324468d497f"


def test_times_of_papers_order_them(library: Library) -> None:
    library.add([*whole_paper(), *whole_paper(of=OTHER, time=LATER)])
    assert [each.time for each in library.papers()] == [LATER, TIME]
