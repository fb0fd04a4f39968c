"""What a snapshot holds: the work tree, whatever the index says, and nothing that must stay out."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import xxhash

from gitexp.errors import UsageError
from gitexp.git import scratch_index
from gitexp.git.repository import Repository
from gitexp.records.facts import LeftOut
from gitexp.snapshot import Limits, take_snapshot
from tests.support import Git
from tests.work_tree import content, entries, read_tree, restored, snapshot, unchanged

EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
GITHUB_TOKEN = "ghp_" + "0123456789abcdefghij0123456789ABCDEF"


def test_clean_tree_is_heads_tree_with_head_as_parent(repo: Git) -> None:
    taken = snapshot(repo)
    assert taken.tree == repo("rev-parse", "HEAD^{tree}")
    assert repo("rev-parse", f"{taken.run_id}^{{tree}}", f"{taken.run_id}^@").split() == [
        taken.tree,
        repo("rev-parse", "HEAD"),
    ]
    assert taken.git.head == repo("rev-parse", "HEAD")
    assert (taken.git.branch, taken.git.dirty, taken.warnings) == ("main", False, ())


def test_an_edit_makes_the_snapshot_dirty_and_git_diff_shows_only_the_edit(repo: Git) -> None:
    repo.write("train.py", "lr = 0.2\n")
    taken = snapshot(repo)
    assert taken.git.dirty
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "train.py"
    assert repo("diff", "--stat", taken.run_id) == ""


def test_two_runs_of_one_state_share_the_tree_and_are_two_commits(repo: Git) -> None:
    repo.write("train.py", "lr = 0.2\n")
    first, second = snapshot(repo), snapshot(repo)
    assert first.tree == second.tree
    assert first.run_id != second.run_id


def test_no_ref_names_the_snapshot(repo: Git) -> None:
    taken = snapshot(repo)
    assert repo("for-each-ref", "--contains", taken.run_id) == ""


def test_restoring_gives_back_every_kind_of_change(repo: Git, tmp_path: Path) -> None:
    repo.write("train.py", "edited\n")
    repo.write("new/deep/file", b"\0binary\xff")
    repo.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (repo.path / "README").chmod(0o755)
    (repo.path / "link").symlink_to("nowhere")
    (repo.path / "pkg/data.py").unlink()
    (repo.path / "pkg/model.py").rename(repo.path / "pkg/net.py")
    repo.write("empty", "")
    taken = snapshot(repo)
    assert restored(repo, taken, tmp_path / "back") == read_tree(repo.path)


def test_the_disk_counts_where_staged_and_unstaged_differ(repo: Git, tmp_path: Path) -> None:
    repo.write("train.py", "staged\n")
    repo.write("README", "staged only\n")
    repo.write("gone", "staged, then deleted\n")
    repo.write("added", "staged\n")
    repo("add", ".")
    repo("rm", "--quiet", "--cached", "pkg/model.py")
    repo("rm", "--quiet", "pkg/data.py")
    repo.write("train.py", "on disk\n")
    repo.write("added", "on disk\n")
    (repo.path / "gone").unlink()
    taken = snapshot(repo)
    assert restored(repo, taken, tmp_path / "back") == read_tree(repo.path)


def test_a_staged_change_that_is_undone_on_disk_is_clean(repo: Git) -> None:
    repo.write("train.py", "staged\n")
    repo("add", ".")
    repo("restore", "--source=HEAD", "train.py")
    taken = snapshot(repo)
    assert not taken.git.dirty
    assert taken.tree == repo("rev-parse", "HEAD^{tree}")


def test_ignored_files_stay_out_and_leave_the_tree_clean(repo: Git) -> None:
    repo.write("ignored/data.bin", "x")
    repo.write("out.log", "x")
    assert not snapshot(repo).git.dirty


def test_a_file_may_become_a_folder_and_the_reverse(repo: Git, tmp_path: Path) -> None:
    (repo.path / "README").unlink()
    repo.write("README/part", "was a file\n")
    for path in (repo.path / "pkg").iterdir():
        path.unlink()
    (repo.path / "pkg").rmdir()
    repo.write("pkg", "was a folder\n")
    taken = snapshot(repo)
    assert restored(repo, taken, tmp_path / "back") == read_tree(repo.path)


def test_a_folder_may_become_a_link_to_a_folder(repo: Git, tmp_path: Path) -> None:
    (repo.path / "pkg").rename(repo.path / "package")
    (repo.path / "pkg").symlink_to("package")
    taken = snapshot(repo)
    assert restored(repo, taken, tmp_path / "back") == read_tree(repo.path)


@pytest.mark.parametrize(
    "name",
    [b"-n", b"--", b"a b ", b"line\nend", b'quo"te', b"back\\slash", b"tab\t", b":(top)x", b"*"],
)
def test_odd_names_are_recorded(repo: Git, tmp_path: Path, name: bytes) -> None:
    text = os.fsdecode(name)
    repo.write(text, "1\n")
    repo.write("tracked/" + text, "1\n")
    repo("add", "tracked")
    repo("commit", "--quiet", "-m", "odd")
    repo.write("tracked/" + text, "2\n")
    taken = snapshot(repo)
    assert restored(repo, taken, tmp_path / "back") == read_tree(repo.path)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS file names are UTF-8")
def test_names_that_are_not_utf8_are_recorded_and_shown(repo: Git, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    repo.write(name, "1\n")
    repo("add", ".")
    repo("commit", "--quiet", "-m", "odd")
    repo.write(name, "2\n")
    repo.write(name + ".bin", b"0" * 20)
    taken = snapshot(repo, limits=Limits(file_bytes=10))
    assert [left.path for left in taken.git.left_out] == [r"caf\xe9.bin"]
    assert r"caf\xe9.bin" in taken.warnings[0]
    (repo.path / (name + ".bin")).unlink()
    assert restored(repo, taken, tmp_path / "back") == read_tree(repo.path)


def test_a_control_character_in_a_name_does_not_reach_a_warning(repo: Git) -> None:
    repo.write("bad\x1b[31m\nname.pem", "x")
    (warning,) = snapshot(repo).warnings
    assert r"bad\x1b[31m\nname.pem" in warning


def test_an_intent_to_add_is_recorded_with_its_content(repo: Git) -> None:
    repo.write("new.py", "content\n")
    repo.write("vanished.py", "")
    repo("add", "--intent-to-add", "new.py", "vanished.py")
    (repo.path / "vanished.py").unlink()
    taken = snapshot(repo)
    assert content(repo, taken, "new.py") == b"content\n"
    assert "vanished.py" not in entries(repo, taken.run_id)


def test_a_merge_in_progress_is_recorded_as_it_is_on_disk(repo: Git) -> None:
    repo.write("both", "base\n")
    repo.write("dropped", "base\n")
    repo("add", ".")
    repo("commit", "--quiet", "-m", "base")
    repo("checkout", "--quiet", "-b", "other")
    repo.write("both", "theirs\n")
    repo.write("dropped", "theirs\n")
    repo("commit", "--quiet", "-am", "theirs")
    repo("checkout", "--quiet", "main")
    repo.write("both", "ours\n")
    repo("rm", "--quiet", "dropped")
    repo("commit", "--quiet", "-am", "ours")
    with pytest.raises(subprocess.CalledProcessError):
        repo("merge", "other")
    (repo.path / "dropped").unlink()
    taken = snapshot(repo)
    assert content(repo, taken, "both") == (repo.path / "both").read_bytes()
    assert b"<<<<<<<" in content(repo, taken, "both")
    assert "dropped" not in entries(repo, taken.run_id)


def test_a_conflicted_file_over_the_limit_stays_at_our_side(repo: Git) -> None:
    test_a_merge_in_progress_is_recorded_as_it_is_on_disk(repo)
    taken = snapshot(repo, limits=Limits(total_bytes=3))
    assert content(repo, taken, "both") == b"ours\n"
    assert [left.path for left in taken.git.left_out] == ["both"]


def test_an_edit_of_the_same_size_and_time_as_the_index_is_seen(repo: Git) -> None:
    repo("config", "core.trustctime", "false")
    moment = (time.time_ns() // 10**9 - 10) * 10**9
    path = repo.write("racy", "aaaa")
    os.utime(path, ns=(moment, moment))
    repo("add", "racy")
    os.utime(repo.path / ".git/index", ns=(moment, moment))
    path.write_text("bbbb")
    os.utime(path, ns=(moment, moment))
    assert content(repo, snapshot(repo), "racy") == b"bbbb"


def test_assume_unchanged_and_skip_worktree_entries_are_counted(repo: Git) -> None:
    repo("update-index", "--assume-unchanged", "README", "train.py")
    repo("update-index", "--skip-worktree", "train.py", "pkg/data.py")
    repo.write("README", "an edit that git was told not to see\n")
    (repo.path / "pkg/data.py").unlink()
    repo.write("pkg/model.py", "WIDTH = 9\n")
    taken = snapshot(repo)
    assert (taken.git.assume_unchanged, taken.git.skip_worktree) == (2, 2)
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "pkg/model.py"


def test_large_untracked_files_stay_out_with_size_and_digest(repo: Git) -> None:
    repo.write("weights.bin", b"w" * 1000)
    repo.write("small.py", "x = 1\n")
    taken = snapshot(repo, limits=Limits(file_bytes=999))
    digest = xxhash.xxh3_128_hexdigest(b"w" * 1000)
    assert taken.git.left_out == (LeftOut("weights.bin", "too large", 1000, digest),)
    assert entries(repo, taken.run_id).keys() - entries(repo, "HEAD").keys() == {"small.py"}
    assert taken.warnings == (
        "The snapshot does not hold files larger than 999 bytes: weights.bin.",
    )


def test_only_left_out_files_make_no_difference(repo: Git) -> None:
    repo.write("weights.bin", b"w" * 1000)
    assert not snapshot(repo, limits=Limits(file_bytes=999)).git.dirty


def test_of_too_many_untracked_files_the_smallest_are_taken(repo: Git) -> None:
    for size in (40, 10, 30, 20):
        repo.write(f"a{size}", b"x" * size)
    taken = snapshot(repo, limits=Limits(untracked_bytes=60))
    assert [(left.path, left.reason) for left in taken.git.left_out] == [
        ("a40", "over the total limit")
    ]


def test_a_warning_names_five_files_and_counts_the_rest(repo: Git) -> None:
    for number in range(7):
        repo.write(f"f{number}", b"large")
    (warning,) = snapshot(repo, limits=Limits(file_bytes=4)).warnings
    assert warning.endswith("4 bytes: f0, f1, f2, f3, f4 and 2 more.")


def test_left_out_files_beyond_a_thousand_are_summed_up_by_folder(repo: Git) -> None:
    for number in range(1010):
        repo.write(f"data/part{number % 2}/f{number}", b"large")
    repo.write("top.bin", b"larger")
    taken = snapshot(repo, limits=Limits(file_bytes=4))
    assert taken.git.left_out == (
        LeftOut("data/part0/", "too large", 505 * 5),
        LeftOut("data/part1/", "too large", 505 * 5),
        LeftOut("./", "too large", 6),
    )


def test_tracked_changes_over_the_total_limit_stay_as_in_head(repo: Git) -> None:
    repo.write("train.py", b"1" * 1000)
    repo.write("staged", b"2" * 2000)
    repo("add", "staged")
    repo.write("staged", b"3" * 2000)
    repo.write("README", "small\n")
    taken = snapshot(repo, limits=Limits(total_bytes=500))
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "README"
    assert [(left.path, left.size) for left in taken.git.left_out] == [
        ("staged", 2000),
        ("train.py", 1000),
    ]


def test_what_is_already_staged_does_not_count_against_the_total(repo: Git) -> None:
    repo.write("staged", b"x" * 1000)
    repo("add", "staged")
    taken = snapshot(repo, limits=Limits(total_bytes=500))
    assert content(repo, taken, "staged") == b"x" * 1000


def test_files_behind_a_clean_filter_do_not_count_against_the_total(repo: Git) -> None:
    repo("config", "filter.pointer.clean", "wc -c")
    repo.write(".gitattributes", "*.bin filter=pointer\n*.raw filter=unknown\n")
    for name in ("w.bin", "w.raw"):
        repo.write(name, "x")
    repo("add", ".")
    repo("commit", "--quiet", "-m", "weights")
    for name in ("w.bin", "w.raw"):
        repo.write(name, b"x" * 1000)
    taken = snapshot(repo, limits=Limits(total_bytes=500))
    assert content(repo, taken, "w.bin").strip() == b"1000"
    assert [left.path for left in taken.git.left_out] == ["w.raw"]


def test_secrets_stay_out_by_name_and_by_content_without_a_digest(repo: Git) -> None:
    repo.write("deploy/.env", "PASSWORD=hunter2\n")
    repo.write("settings.py", f"TOKEN = '{GITHUB_TOKEN}'\n")
    repo.write(".env.example", "PASSWORD=\n")
    taken = snapshot(repo)
    assert taken.git.left_out == (
        LeftOut("deploy/.env", "looks like a secret", 17),
        LeftOut("settings.py", "looks like a secret", 51),
    )
    assert content(repo, taken, ".env.example") == b"PASSWORD=\n"
    assert not repo("rev-list", "--objects", "--all", taken.run_id).count("settings.py")


def test_a_tracked_file_is_recorded_even_when_it_looks_like_a_secret(repo: Git) -> None:
    repo.write(".env", "A=1\n")
    repo("add", ".env")
    repo("commit", "--quiet", "-m", "env")
    repo.write(".env", "A=2\n")
    assert content(repo, snapshot(repo), ".env") == b"A=2\n"


def test_pipes_and_sockets_are_no_files(repo: Git) -> None:
    os.mkfifo(repo.path / "pipe")
    (repo.path / "README").unlink()
    os.mkfifo(repo.path / "README")
    taken = snapshot(repo)
    assert taken.git.left_out == (LeftOut("README", "cannot be read"),)
    assert not taken.git.dirty


def test_unreadable_files_are_left_out(repo: Git) -> None:
    repo.write("new", "x").chmod(0)
    repo.write("train.py", "edited").chmod(0)
    repo.write("README", "edited\n")
    if os.access("new", os.R_OK):
        pytest.skip("root can read every file")
    taken = take_snapshot(Repository.discover(), "run", limits=Limits())
    assert {left.path: left.reason for left in taken.git.left_out} == {
        "new": "cannot be read",
        "train.py": "cannot be read",
    }
    assert repo("diff", "--name-only", "HEAD", taken.run_id) == "README"


def test_a_clean_filter_decides_what_enters_the_repository(repo: Git) -> None:
    repo("config", "filter.pointer.clean", "tr a-z A-Z")
    repo.write(".gitattributes", "*.bin filter=pointer\n")
    repo.write("w.bin", "weights")
    assert content(repo, snapshot(repo), "w.bin") == b"WEIGHTS"


def test_a_failing_required_filter_costs_only_its_files(repo: Git) -> None:
    repo.write("old.bin", "committed\n")
    repo("add", ".")
    repo("commit", "--quiet", "-m", "bin")
    repo.write("old.bin", "staged\n")
    repo("add", ".")
    repo("config", "filter.broken.clean", "false")
    repo("config", "filter.broken.required", "true")
    repo.write(".gitattributes", "*.bin filter=broken\n")
    repo.write("old.bin", "edited and longer\n")
    repo.write("new.bin", "new\n")
    for number in range(5):
        repo.write(f"ok{number}.py", "fine\n")
    taken = snapshot(repo)
    assert {left.path: left.reason for left in taken.git.left_out} == {
        "new.bin": "filter failed",
        "old.bin": "filter failed",
    }
    assert content(repo, taken, "old.bin") == b"committed\n"
    assert len(entries(repo, taken.run_id)) == len(entries(repo, "HEAD")) + 6
    assert "whose clean filter failed: new.bin, old.bin." in taken.warnings[0]


def test_working_tree_encoding_is_converted(repo: Git, tmp_path: Path) -> None:
    repo.write(".gitattributes", "*.txt working-tree-encoding=UTF-16LE eol=lf\n")
    repo.write("text.txt", "hällo\n".encode("utf-16-le"))
    taken = snapshot(repo)
    assert content(repo, taken, "text.txt") == "hällo\n".encode()
    assert restored(repo, taken, tmp_path / "back") == read_tree(repo.path)


def test_line_ends_follow_gits_own_rules(repo: Git) -> None:
    repo.write("kept.txt", "one\r\n")
    repo("add", ".")
    repo("commit", "--quiet", "-m", "CRLF in the repository")
    repo("config", "core.autocrlf", "true")
    repo("config", "core.safecrlf", "true")
    repo.write("kept.txt", "one\r\ntwo\r\n")
    repo.write("new.txt", "one\r\n")
    repo.write("mixed.txt", "one\r\ntwo\n")
    repo.write(".gitattributes", "mixed.txt text=auto\n")
    taken = snapshot(repo)
    assert content(repo, taken, "kept.txt") == b"one\r\ntwo\r\n"
    assert content(repo, taken, "new.txt") == b"one\n"
    assert content(repo, taken, "mixed.txt") == b"one\ntwo\n"
    assert taken.git.left_out == ()


def test_a_file_that_changes_meanwhile_is_listed(repo: Git) -> None:
    """The clean filter of one file edits another, which is recorded before it."""
    repo("config", "filter.busy.clean", "sleep 0.02; echo more >> a.py; cat")
    repo.write(".gitattributes", "*.bin filter=busy\n")
    repo.write("a.py", "first\n")
    repo.write("z.bin", "x")
    taken = take_snapshot(Repository.discover(), "run", limits=Limits())
    assert taken.git.changed == ("a.py",)
    assert taken.warnings == ("Files changed while the snapshot was taken: a.py.",)


def test_a_file_that_vanishes_meanwhile_is_recorded_as_gone(repo: Git) -> None:
    repo("config", "filter.busy.clean", "rm -f z.py; cat")
    repo.write(".gitattributes", "*.bin filter=busy\n")
    repo.write("a.bin", "x")
    repo.write("z.py", "untracked\n")
    taken = take_snapshot(Repository.discover(), "run", limits=Limits())
    assert taken.git.changed == ("z.py",)
    assert "z.py" not in entries(repo, taken.run_id)


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("training my network", "exprag: training my network"),
        ("two\nlines\x1b[0m\ttab", "exprag: two lines [0m tab"),
        ("", "exprag: unnamed"),
        ("\n", "exprag: unnamed"),
        ("x" * 100, "exprag: " + "x" * 72),
        ("naïve \udcff", "exprag: naïve"),
    ],
)
def test_the_subject_is_the_name_made_fit_for_one_line(repo: Git, name: str, subject: str) -> None:
    taken = snapshot(repo, name)
    assert repo("log", "-1", "--format=%s", taken.run_id) == subject


def test_trailers_hold_a_nonce_and_whether_the_tree_was_dirty(repo: Git) -> None:
    def trailers() -> str:
        return repo("log", "-1", "--format=%(trailers:only)", snapshot(repo).run_id).strip()

    assert re.fullmatch(r"Exprag-Nonce: [0-9a-f]{16}\nExprag-Dirty: false", trailers())
    repo.write("train.py", "edited\n")
    assert re.fullmatch(r"Exprag-Nonce: [0-9a-f]{16}\nExprag-Dirty: true", trailers())


def test_limits_come_from_settings_with_gits_suffixes(repo: Git) -> None:
    repo("config", "exprag.maxUntrackedFile", "5k")
    repo("config", "exprag.maxUntracked", "2M")
    repo("config", "exprag.maxSnapshot", "1g")
    limits = Limits.from_settings(Repository.discover().settings)
    assert limits == Limits(5 << 10, 2 << 20, 1 << 30)
    assert Limits.from_settings({}) == Limits()


@pytest.mark.parametrize("value", ["", "ten", "-1", "1.5m", "1t"])
def test_a_setting_that_is_no_size_is_named(value: str) -> None:
    with pytest.raises(UsageError, match=r"exprag\.maxUntracked is"):
        Limits.from_settings({"exprag.maxuntracked": value})


def test_the_scratch_index_moves_where_memory_has_no_room(
    repo: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scratch_index, "_MEMORY", tmp_path / "missing")
    repo.write("train.py", "edited\n")
    assert content(repo, snapshot(repo), "train.py") == b"edited\n"


def test_what_a_killed_snapshot_left_is_swept_away_a_day_later(
    repo: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(scratch_index, "_MEMORY", tmp_path / "missing")
    scratch = repo.path / ".git/exprag/tmp"
    for name in ("gitexp-index-old", "gitexp-index-young", "other"):
        repo.write(f".git/exprag/tmp/{name}/index", "x")
    for name in ("gitexp-index-old", "other"):
        os.utime(scratch / name, (0, time.time() - 90_000))
    repo.write("train.py", "edited\n")
    take_snapshot(Repository.discover(), "run", limits=Limits())
    assert {path.name for path in scratch.iterdir()} == {"gitexp-index-young", "other"}


def test_an_interrupt_leaves_nothing_behind(repo: Git, tmp_path: Path) -> None:
    memory = tmp_path / "memory"
    memory.mkdir()
    repo("config", "filter.slow.clean", f"touch {tmp_path}/started; exec sleep 20")
    repo.write(".gitattributes", "*.bin filter=slow\n")
    repo.write("slow.bin", "x")
    code = (
        "from pathlib import Path; from gitexp.git import scratch_index\n"
        "from gitexp.git.repository import Repository; from gitexp.snapshot import *\n"
        f"scratch_index._MEMORY = Path({str(memory)!r})\n"
        "take_snapshot(Repository.discover(), 'run', limits=Limits())"
    )
    with (
        unchanged(repo),
        subprocess.Popen(
            [sys.executable, "-c", code], stderr=subprocess.PIPE, start_new_session=True
        ) as process,
    ):
        while not (tmp_path / "started").exists():
            assert process.poll() is None
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=10)
    assert b"KeyboardInterrupt" in errors
    assert [*memory.iterdir()] == []
