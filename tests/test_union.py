"""The union of shards: a property of sets, whatever trees and histories they stand in."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gitexp.errors import GitexpError, MissingObjectError
from gitexp.git import refs
from gitexp.git.history import EMPTY_TREE
from gitexp.git.read import list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.records.facts import TombstoneFact, encode_fact
from gitexp.store.batch import Batch, split_lines, write_batch
from gitexp.store.read import noted_run
from gitexp.store.union import unite_commits, unite_lines, unite_ref, unite_trees
from tests.full_store import BY, END, drop_object
from tests.support import Git

RUNS = [f"{number:02x}" * 20 for number in (1, 2, 0xAB)] + [
    "ab" + "cd" * 19,
    "ab" + "ce" * 19,
    "01" * 19 + "02",
]
COLLECTED = encode_fact(TombstoneFact(time=END, by=BY, reason="gone", collected=True))
TOMBSTONE = encode_fact(TombstoneFact(time=END, by=BY))
REF = refs.FACTS + "s"

Notes = dict[str, list[bytes]]
lines = st.lists(st.sampled_from([b'{"n":%d}' % n for n in range(6)] + [TOMBSTONE]), max_size=4)
lines_with_collected = st.one_of(lines, lines.map(lambda some: [*some, COLLECTED]))


def states(lines: st.SearchStrategy[list[bytes]]) -> st.SearchStrategy[tuple[Notes, int]]:
    """Notes of some runs, and the fan-out that they stand in: 0 to 3 folders."""
    return st.tuples(st.dictionaries(st.sampled_from(RUNS), lines), st.integers(0, 3))


def fanned(run: str, folders: int) -> str:
    return "".join(run[2 * n : 2 * n + 2] + "/" for n in range(folders)) + run[2 * folders :]


def write_tree(git: Git, files: dict[str, bytes]) -> str:
    """Write a tree of these paths with git's own commands."""
    listing = b""
    for path, content in files.items():
        oid = git.raw("hash-object", "-w", "--stdin", stdin=content).decode().strip()
        listing += f"100644 {oid}\t{path}\0".encode()
    index = {"GIT_INDEX_FILE": str(git.path / ".git" / "union-index")}
    git("read-tree", "--empty", **index)
    git.raw("update-index", "-z", "--index-info", stdin=listing, **index)
    return git("write-tree", **index)


def notes_tree(git: Git, state: tuple[Notes, int]) -> str:
    notes, folders = state
    return write_tree(
        git,
        {
            fanned(run, folders): b"".join(line + b"\n" for line in note)
            for run, note in notes.items()
        },
    )


def read_notes(repository: Repository, tree: str) -> dict[str, set[bytes]]:
    """Return what readers see: the lines of each run, wherever they stand."""
    entries = list_tree(repository, tree)
    found: dict[str, set[bytes]] = {}
    for entry, (_, blob) in zip(
        entries, read_blobs(repository, [e.oid for e in entries]), strict=True
    ):
        run = noted_run(entry.path)
        assert run is not None
        found.setdefault(run, set()).update(split_lines(blob or b""))
    return found


def expected(states: Iterable[tuple[Notes, int]]) -> dict[str, set[bytes]]:
    united: dict[str, set[bytes]] = {}
    for notes, _ in states:
        for run, some in notes.items():
            united.setdefault(run, set()).update(some)
    return united


property_test = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@given(a=states(lines), b=states(lines))
@property_test
def test_a_union_has_every_line_of_both_once_and_no_other(
    repo: Git, a: tuple[Notes, int], b: tuple[Notes, int]
) -> None:
    repository = Repository.discover()
    left, right = notes_tree(repo, a), notes_tree(repo, b)
    united = unite_trees(repository, REF, left, right)
    assert read_notes(repository, united) == expected([a, b])
    assert unite_trees(repository, REF, right, left) == united
    assert unite_trees(repository, REF, united, right) == united
    assert unite_trees(repository, REF, left, united) == united


@given(a=states(lines), b=states(lines))
@property_test
def test_a_united_run_stands_at_one_place(
    repo: Git, a: tuple[Notes, int], b: tuple[Notes, int]
) -> None:
    repository = Repository.discover()
    united = unite_trees(repository, REF, notes_tree(repo, a), notes_tree(repo, b))
    runs = [noted_run(entry.path) for entry in list_tree(repository, united)]
    assert len(runs) == len(set(runs))


@given(
    a=states(lines_with_collected), b=states(lines_with_collected), c=states(lines_with_collected)
)
@property_test
def test_the_order_of_several_unions_means_nothing(
    repo: Git, a: tuple[Notes, int], b: tuple[Notes, int], c: tuple[Notes, int]
) -> None:
    repository = Repository.discover()
    x, y, z = (notes_tree(repo, state) for state in (a, b, c))

    def unite(left: str, right: str) -> str:
        return unite_trees(repository, REF, left, right)

    one = read_notes(repository, unite(unite(x, y), z))
    assert one == read_notes(repository, unite(x, unite(y, z)))
    assert one == read_notes(repository, unite(unite(z, x), y))


paths = st.sampled_from(["01/23/run.log", "01/23/a/b", "01/24/run.log", "environments/e.json", "x"])


@given(
    a=st.dictionaries(paths, st.sampled_from([b"1", b"2"])),
    b=st.dictionaries(paths, st.sampled_from([b"1", b"2"])),
    c=st.dictionaries(paths, st.sampled_from([b"1", b"2"])),
)
@property_test
def test_a_union_of_files_keeps_every_path_and_chooses_alike(
    repo: Git, a: dict[str, bytes], b: dict[str, bytes], c: dict[str, bytes]
) -> None:
    repository = Repository.discover()
    ref = refs.FILES + "s"
    x, y, z = (write_tree(repo, files) for files in (a, b, c))
    united = unite_trees(repository, ref, x, y)
    assert {e.path.decode() for e in list_tree(repository, united)} == set(a) | set(b)
    assert united == unite_trees(repository, ref, y, x) == unite_trees(repository, ref, united, x)
    left = unite_trees(repository, ref, united, z)
    assert left == unite_trees(repository, ref, x, unite_trees(repository, ref, y, z))


def test_a_collected_run_is_left_out_whichever_side_has_it(repo: Git) -> None:
    repository = Repository.discover()
    run = RUNS[0]
    full = notes_tree(repo, ({run: [b'{"n":1}', b'{"n":2}']}, 1))
    gone = notes_tree(repo, ({run: [COLLECTED]}, 1))
    assert unite_trees(repository, REF, full, gone) == gone
    ref = refs.FILES + "s"
    path = f"{run[:2]}/{run[2:]}"
    files = write_tree(repo, {f"{path}/run.log": b"x", "aa/bb/kept": b"y"})
    removed = write_tree(repo, {f"removed/{path}": COLLECTED + b"\n"})
    united = unite_trees(repository, ref, files, removed)
    assert [e.path.decode() for e in list_tree(repository, united)] == [
        "aa/bb/kept",
        f"removed/{path}",
    ]


def test_a_note_that_has_all_lines_stays_as_it_is() -> None:
    assert unite_lines([b"b\na\n", b"a\n"]) == b"b\na\n"
    assert unite_lines([b"b\n", b"a\r\nc\n"]) == b"a\nb\nc\n"


def write_run(run: str, line: bytes, shard: str = "s") -> str:
    repository = Repository.discover()
    write_batch(repository, shard, Batch(facts={run: [line]}))
    return Git(repository.top)("rev-parse", refs.FACTS + shard)


def test_fast_forwards_need_no_merge(repo: Git) -> None:
    repository = Repository.discover()
    old = write_run(RUNS[0], b'{"n":1}')
    new = write_run(RUNS[1], b'{"n":2}')
    assert unite_commits(repository, REF, old, new) == new
    assert unite_commits(repository, REF, new, old) == new
    assert unite_ref(repository, refs.FACTS + "other", old) == old
    assert unite_ref(repository, refs.FACTS + "other", new) == new
    assert unite_ref(repository, refs.FACTS + "other", old) == new


def test_two_clones_that_unite_the_same_states_make_the_same_commit(repo: Git) -> None:
    repository = Repository.discover()
    base = write_run(RUNS[0], b'{"n":1}')
    left = write_run(RUNS[1], b'{"n":2}')
    repo("update-ref", REF, base)
    right = write_run(RUNS[2], b'{"n":3}')
    united = unite_commits(repository, REF, left, right)
    assert united == unite_commits(repository, REF, right, left)
    assert (
        repo("log", "-1", "--format=%an %ae %ct %s", united)
        == (f"exprag exprag@localhost {repo('log', '-1', '--format=%ct', right)} union")
        or repo("log", "-1", "--format=%s", united) == "exprag: union"
    )
    assert repo("log", "-1", "--format=%P", united).split() == sorted([left, right])
    assert read_notes(repository, united) == {
        RUNS[0]: {b'{"n":1}'},
        RUNS[1]: {b'{"n":2}'},
        RUNS[2]: {b'{"n":3}'},
    }


def test_a_successor_that_lost_a_line_gets_it_back(repo: Git) -> None:
    repository = Repository.discover()
    old = write_run(RUNS[0], b'{"n":1}')
    tree = notes_tree(repo, ({RUNS[1]: [b'{"n":2}']}, 1))
    new = repo("commit-tree", tree, "-p", old, "-m", "rewritten")
    united = unite_commits(repository, REF, old, new)
    assert read_notes(repository, united) == {RUNS[0]: {b'{"n":1}'}, RUNS[1]: {b'{"n":2}'}}
    assert unite_commits(repository, REF, united, new) == united


def test_unrelated_histories_are_united(repo: Git) -> None:
    repository = Repository.discover()
    left = write_run(RUNS[0], b'{"n":1}', "a")
    right = write_run(RUNS[0], b'{"n":2}', "b")
    united = unite_commits(repository, REF, left, right)
    assert read_notes(repository, united) == {RUNS[0]: {b'{"n":1}', b'{"n":2}'}}


def test_what_git_notes_rebalanced_and_merged_is_united(repo: Git) -> None:
    """git itself chooses the fan-out here, and its own strategy merges."""
    repository = Repository.discover()
    commits = [repo("commit-tree", "HEAD^{tree}", "-m", str(n)) for n in range(300)]
    facts = {commit: [b'{"n":%d}' % n] for n, commit in enumerate(commits)}
    write_batch(repository, "s", Batch(facts=facts))
    ours = repo("rev-parse", REF)
    for commit in commits[:3]:
        repo("notes", "--ref=exprag/s", "append", "-m", '{"by":"git"}', commit)
    theirs = repo("rev-parse", REF)
    repo("update-ref", REF, ours)
    write_batch(repository, "s", Batch(facts={commits[0]: [b'{"by":"us"}']}))
    merged = unite_ref(repository, REF, theirs)
    found = read_notes(repository, merged)
    assert len(found) == 300
    assert found[commits[0]] == {b'{"n":0}', b'{"by":"git"}', b'{"by":"us"}'}
    repo("update-ref", "refs/notes/exprag/t", theirs)
    repo("notes", "--ref=exprag/t", "merge", "-q", "-s", "cat_sort_uniq", "refs/notes/exprag/s")
    by_git = repo("rev-parse", "refs/notes/exprag/t")
    assert read_notes(repository, unite_commits(repository, REF, merged, by_git)) == found


def test_code_chains_are_merged_so_that_every_snapshot_stays_reachable(repo: Git) -> None:
    repository = Repository.discover()
    ref = refs.CODE + "s"
    repo.raw("hash-object", "-t", "tree", "-w", "--stdin", stdin=b"")
    left = repo("commit-tree", EMPTY_TREE, "-p", "HEAD", "-m", "exprag code")
    right = repo("commit-tree", EMPTY_TREE, "-p", "HEAD~1", "-m", "exprag code")
    united = unite_commits(repository, ref, left, right)
    assert set(repo("rev-parse", f"{united}^@").split()) == {left, right}
    assert unite_commits(repository, ref, united, left) == united
    with pytest.raises(GitexpError, match="has files"):
        unite_commits(repository, ref, left, repo("rev-parse", "HEAD"))


def test_what_is_no_shard_or_not_here_is_refused_and_the_ref_stays(repo: Git) -> None:
    repository = Repository.discover()
    tip = write_run(RUNS[0], b'{"n":1}')
    blob = repo.raw("hash-object", "-w", "--stdin", stdin=b"x").decode().strip()
    for other in (blob, "ee" * 20, repo("rev-parse", "HEAD^{tree}")):
        with pytest.raises(GitexpError):
            unite_ref(repository, REF, other)
    other = write_run(RUNS[0], b'{"n":2}', "b")
    drop_object(repo, repo("rev-parse", f"{other}:01/{RUNS[0][2:]}"))
    with pytest.raises(MissingObjectError):
        unite_ref(repository, REF, other)
    assert repo("rev-parse", REF) == tip


def test_a_large_shard_is_united_by_its_difference(repo: Git) -> None:
    """Objects written follow what differs: folders on the way, a note, a commit."""
    repository = Repository.discover()
    numbers = random.Random(1)
    runs = [f"{numbers.getrandbits(160):040x}" for _ in range(20_000)]
    write_batch(repository, "s", Batch(facts={run: [b'{"n":1}'] for run in runs}))
    base = repo("rev-parse", REF)
    left = write_run(runs[0], b'{"n":2}')
    repo("update-ref", REF, base)
    right = write_run(runs[0], b'{"n":3}')
    before = set(repo("cat-file", "--batch-all-objects", "--batch-check").split("\n"))
    unite_commits(repository, REF, left, right)
    after = set(repo("cat-file", "--batch-all-objects", "--batch-check").split("\n"))
    assert len(after - before) == 4  # a note, its folder, the tree, the commit
