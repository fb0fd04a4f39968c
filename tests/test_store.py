"""Sentences in quotes are those of docs/format.md that the test below checks."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from gitexp.errors import ConflictError, GitexpError, MissingObjectError, UsageError
from gitexp.git import refs, write
from gitexp.git.read import list_refs, list_tree, read_blobs
from gitexp.git.repository import Repository
from gitexp.git.write import create_ref, update_ref
from gitexp.store.batch import Batch, file_path, split_lines, write_batch
from gitexp.store.read import list_run_files, read_metric_lines
from gitexp.store.shard import shard_name
from tests.support import Git, python

SHARD = "ada-1234"


def run_ids(count: int, seed: int = 1) -> list[str]:
    generator = random.Random(seed)
    return [f"{generator.getrandbits(160):040x}" for _ in range(count)]


def add(run_id: str, *lines: bytes) -> None:
    write_batch(Repository.discover(), SHARD, Batch(facts={run_id: list(lines)}))


def noted(repo: Git, run_id: str, ref: str = f"exprag/{SHARD}") -> list[str]:
    return repo("notes", f"--ref={ref}", "show", run_id).splitlines()


def test_plain_git_shows_the_lines_in_the_order_they_were_added(repo: Git) -> None:
    head = repo("rev-parse", "HEAD")
    add(head, b"first")
    add(head, b"second", b"first")
    assert noted(repo, head) == ["first", "second"]


def test_adding_what_is_there_changes_nothing(repo: Git) -> None:
    head = repo("rev-parse", "HEAD")
    add(head, b"line")
    tip = repo("rev-parse", f"refs/notes/exprag/{SHARD}")
    add(head, b"line")
    assert repo("rev-parse", f"refs/notes/exprag/{SHARD}") == tip


def test_notes_fan_out_by_two_digits(repo: Git) -> None:
    """A note of run R stands at R[0:2]/R[2:40]."""
    ids = run_ids(30)
    write_batch(Repository.discover(), SHARD, Batch(facts={i: [b"x"] for i in ids}))
    paths = repo("ls-tree", "-r", "--name-only", f"refs/notes/exprag/{SHARD}").splitlines()
    assert sorted(paths) == sorted(f"{i[:2]}/{i[2:]}" for i in ids)
    assert repo("rev-list", "--count", f"refs/notes/exprag/{SHARD}") == "1"  # a batch is one commit


@pytest.mark.parametrize("fanout", [0, 1, 2, 3])
def test_a_note_at_any_depth_is_found_and_moved_to_ours(repo: Git, fanout: int) -> None:
    """Readers accept any fan-out; writers leave the notes they touch at two digits."""
    run_id, other = run_ids(2)
    blob = repo.raw("hash-object", "-w", "--stdin", stdin=b"by git\n").decode().strip()

    def path(one: str) -> str:
        return "/".join([one[2 * i : 2 * i + 2] for i in range(fanout)] + [one[2 * fanout :]])

    env = {"GIT_INDEX_FILE": str(repo.path / ".git" / "x")}
    for one in (run_id, other):
        repo("update-index", "--add", "--cacheinfo", f"100644,{blob},{path(one)}", **env)
    commit = repo("commit-tree", "-m", "notes", repo("write-tree", **env))
    repo("update-ref", f"refs/notes/exprag/{SHARD}", commit)
    add(run_id, b"by us")
    assert noted(repo, run_id) == ["by git", "by us"]
    assert noted(repo, other) == ["by git"]
    paths = repo("ls-tree", "-r", "--name-only", f"refs/notes/exprag/{SHARD}").splitlines()
    assert sorted(paths) == sorted([f"{run_id[:2]}/{run_id[2:]}", path(other)])


def test_git_notes_append_and_ours_work_on_the_same_note(repo: Git) -> None:
    head = repo("rev-parse", "HEAD")
    for i in range(3):
        add(head, b"ours %d" % i)
        repo("notes", f"--ref=exprag/{SHARD}", "append", "-m", f"theirs {i}", head)
    lines = [line for line in noted(repo, head) if line]
    assert sorted(lines) == sorted([f"{w} {i}" for w in ("ours", "theirs") for i in range(3)])


def test_files_are_immutable(repo: Git) -> None:
    """A path of the files shard keeps its first content."""
    repository = Repository.discover()
    (run_id,) = run_ids(1)
    path = file_path(run_id, "logs/run.log")
    write_batch(repository, SHARD, Batch(files={path: b"one"}))
    write_batch(repository, SHARD, Batch(files={path: b"two", file_path(run_id, "b"): b"new"}))
    files = list_run_files(repository, list_refs(repository, refs.FILES), run_id)
    assert sorted(files) == ["b", "logs/run.log"]
    assert dict(read_blobs(repository, list(files.values())))[files["logs/run.log"]] == b"one"


def test_metric_lines_of_all_shards_are_joined(repo: Git) -> None:
    repository = Repository.discover()
    (run_id,) = run_ids(1)
    for shard, lines in (("a", [b"1", b"2"]), ("b", [b"2", b"3"])):
        write_batch(repository, shard, Batch(metrics={run_id: lines}))
    log, problems = read_metric_lines(repository, list_refs(repository, refs.METRICS), run_id)
    assert (sorted(log), problems) == ([b"1", b"2", b"3"], [])


def test_lines_end_with_lf_or_crlf_and_blank_ones_do_not_count() -> None:
    assert split_lines(b"a\r\n\nb\n\r\nc") == [b"a", b"b", b"c"]


def test_a_missing_blob_does_not_hide_the_others(repo: Git) -> None:
    oid = repo("rev-parse", "HEAD:train.py")
    blobs = dict(read_blobs(Repository.discover(), ["0" * 39 + "1", oid]))
    assert blobs == {"0" * 39 + "1": None, oid: b"lr = 0.1\nprint(lr)\n"}


def test_paths_of_a_tree_are_bytes(repo: Git) -> None:
    Path(os.fsdecode(b"odd \xff")).mkdir()
    Path(os.fsdecode(b"odd \xff/name\n")).write_text("x")
    repo("add", ".")
    tree = repo("write-tree")
    assert [e.path for e in list_tree(Repository.discover(), tree) if b"odd" in e.path] == [
        b"odd \xff/name\n"
    ]


def test_the_shard_name_is_made_once_and_shared_by_worktrees(repo: Git) -> None:
    name = shard_name(Repository.discover())
    assert refs.is_shard_name(name)
    assert shard_name(Repository.discover()) == name
    repo("worktree", "add", "-q", "../linked")
    assert shard_name(Repository.discover(repo.path.parent / "linked")) == name


def test_the_shard_name_is_a_setting(repo: Git) -> None:
    repo("config", "exprag.shard", "fleet-7")
    assert shard_name(Repository(*vars(Repository.discover()).values())) == "fleet-7"


@pytest.mark.parametrize("name", ["../x", "UPPER", "a..b", "a/b", "x.lock", "", "-x"])
def test_an_unusable_shard_name_is_refused(repo: Git, name: str) -> None:
    repo("config", "exprag.shard", name)
    with pytest.raises(UsageError, match="shard name"):
        shard_name(Repository.discover())


def test_a_damaged_shard_file_is_replaced(repo: Git) -> None:
    repository = Repository.discover()
    first = shard_name(repository)
    (repository.home / "shard").write_bytes(b"\0\0\0")
    assert refs.is_shard_name(shard_name(repository))
    assert shard_name(repository) != first


def test_a_ref_that_moved_is_built_upon_again(repo: Git) -> None:
    repository = Repository.discover()
    add(repo("rev-parse", "HEAD"), b"line")
    name = f"refs/notes/exprag/{SHARD}"
    seen: list[str] = []

    def build(_repo: object, tip: object) -> object:
        seen.append(str(tip))
        if len(seen) == 1:  # somebody else is faster
            repo("notes", f"--ref=exprag/{SHARD}", "append", "-m", "faster", "HEAD~1")
        return repository.objects()[repo("rev-parse", "HEAD")].id

    update_ref(repository, name, build)  # type: ignore[arg-type]
    assert len(seen) == 2
    assert seen[1] != seen[0]


def test_a_lock_that_stays_is_a_conflict_that_names_the_file(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "RETRY_SECONDS", 0.05)
    head = repo("rev-parse", "HEAD")
    add(head, b"line")
    lock = repo.path / ".git" / "refs" / "notes" / "exprag" / f"{SHARD}.lock"
    lock.touch()
    with pytest.raises(ConflictError) as caught:
        add(head, b"other")
    assert str(lock) in (caught.value.hint or "")
    assert lock.exists()
    lock.unlink()
    add(head, b"other")
    assert noted(repo, head) == ["line", "other"]


def test_a_lock_left_by_a_killed_writer_is_removed(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "STALE_LOCK_SECONDS", 0.05)
    head = repo("rev-parse", "HEAD")
    add(head, b"line")
    name = f"refs/notes/exprag/{SHARD}"
    code = f"""
import os, signal
from gitexp.git.repository import Repository
from gitexp.git.write import writer_lock
with writer_lock(Repository.discover(), {name!r}):
    open('.git/{name}.lock', 'w').close()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    python(code, check=False)
    assert (repo.path / ".git" / f"{name}.lock").exists()
    create_ref(Repository.discover(), refs.run_ref(head), head)  # another ref clears it too
    assert not (repo.path / ".git" / f"{name}.lock").exists()
    add(head, b"other")
    assert noted(repo, head) == ["line", "other"]


def test_a_handle_is_created_once_and_never_moved(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "RETRY_SECONDS", 0.05)
    repository = Repository.discover()
    first, second = repo("rev-parse", "HEAD~1"), repo("rev-parse", "HEAD")
    name = refs.run_ref(first)
    create_ref(repository, name, first)
    create_ref(repository, name, first)
    with pytest.raises(ConflictError):
        create_ref(repository, name, second)
    assert list_refs(repository, refs.RUNS) == {name: first}
    with pytest.raises(MissingObjectError):
        create_ref(repository, refs.run_ref("1" * 40), "1" * 40)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_read_only_store_is_a_clear_error(repo: Git) -> None:
    (repo.path / ".git").chmod(0o500)
    try:
        with pytest.raises(GitexpError, match="Permission denied"):
            add(repo("rev-parse", "HEAD"), b"line")
    finally:
        (repo.path / ".git").chmod(0o700)


def test_the_result_is_what_git_fsck_likes(repo: Git) -> None:
    for run_id in run_ids(20):
        add(run_id, b"line")
    assert repo("fsck", "--strict", "--no-dangling") == ""
