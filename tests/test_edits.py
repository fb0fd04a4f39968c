"""Edits of a proposal: all or none, where they may, and never through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gitexp.loop.cage.edits import MAX_FILE_BYTES, apply_edits
from gitexp.loop.cage.limits import Limits, is_plain
from gitexp.providers.reply import Edit

LIMITS = Limits(("train.py", "pkg", "new.py", "*.cfg"), ("pkg/prepare.py",))


@pytest.fixture
def top(tmp_path: Path) -> Path:
    folder = tmp_path / "tree"
    (folder / "pkg").mkdir(parents=True)
    (folder / "train.py").write_text("a = 1\nb = 2\nb = 2\nc = 3")
    (folder / "pkg" / "prepare.py").write_text("split = 1\n")
    (folder / "pkg" / "model.py").write_text("x\n")
    (folder / "README").write_text("r\n")
    return folder


def content(top: Path) -> dict[str, bytes]:
    files = (path for path in top.rglob("*") if path.is_file())
    return {str(path.relative_to(top)): path.read_bytes() for path in files}


def refused(top: Path, *edits: Edit) -> str:
    """Return why edits are not made; check that nothing was."""
    before = content(top)
    problems = apply_edits(top, edits, LIMITS)
    assert problems
    assert content(top) == before
    assert all(problem.endswith(".") and problem.isprintable() for problem in problems)
    return " ".join(problems)


def test_edits_are_made_in_their_order(top: Path) -> None:
    edits = [
        Edit("train.py", "a = 1\n", "a = 10\n"),
        Edit("train.py", "a = 10\nb = 2\n", "b = 20\n"),
        Edit("new.py", "", "n\n"),
        Edit("pkg/deep/er/x.py", "", "x"),
    ]
    assert apply_edits(top, edits, LIMITS) == []
    assert (top / "train.py").read_text() == "b = 20\nb = 2\nc = 3\n"
    assert (top / "new.py").read_text() == "n\n"
    assert (top / "pkg/deep/er/x.py").read_text() == "x\n"


def test_a_last_line_without_an_end_can_be_quoted(top: Path) -> None:
    assert apply_edits(top, [Edit("train.py", "c = 3\n", "c = 4\n")], LIMITS) == []
    assert (top / "train.py").read_text().endswith("b = 2\nc = 4\n")


def test_line_ends_mode_and_odd_bytes_stay(top: Path) -> None:
    file = top / "train.py"
    file.write_bytes(b"a = 1\r\n\xff\xfe\r\nb = 2\r\n")
    file.chmod(0o755)
    assert apply_edits(top, [Edit("train.py", "b = 2\n", "b = 3\nc = 4\n")], LIMITS) == []
    assert file.read_bytes() == b"a = 1\r\n\xff\xfe\r\nb = 3\r\nc = 4\r\n"
    assert file.stat().st_mode & 0o777 == 0o755


def test_one_edit_that_does_not_fit_keeps_all_from_being_made(top: Path) -> None:
    said = refused(top, Edit("train.py", "a = 1\n", "a = 2\n"), Edit("train.py", "z\n", "y\n"))
    assert "not in train.py: there is no line 'z'" in said


@pytest.mark.parametrize(
    ("edit", "part"),
    [
        (Edit("train.py", "b = 2\n", "b = 3\n"), "more than once in train.py (at lines 2, 3)"),
        (Edit("train.py", "b = \n", "b = 3\n"), "there is no line 'b ='"),
        (Edit("train.py", "  a = 1\n", "x\n"), "only the spaces"),
        (Edit("train.py", "b = 2\nc = 4\n", "x\n"), "the first 1 fit, then line 4"),
        (Edit("train.py", "", "x\n"), "exists already"),
        (Edit("new.py", "x\n", "y\n"), "There is no file new.py"),
        (Edit("pkg/prepare.py", "split = 1\n", "split = 2\n"), "protected"),
        (Edit("README", "r\n", "s\n"), "not among the files"),
        (Edit("other.py", "", "s\n"), "not among the files"),
        (Edit("../x.cfg", "", "s\n"), "not a path inside"),
        (Edit("/etc/x.cfg", "", "s\n"), "not a path inside"),
        (Edit("pkg/../x.cfg", "", "s\n"), "not a path inside"),
        (Edit("pkg/.git/config.cfg", "", "s\n"), "not a path inside"),
        (Edit("pkg/.GIT/x.cfg", "", "s\n"), "not a path inside"),
        (Edit("pkg/\0x", "", "s\n"), "not a path inside"),
        (Edit("", "", "s\n"), "not a path inside"),
        (Edit("pkg", "x\n", "s\n"), "pkg is not a file"),
        (Edit("train.py/x.cfg", "", "s\n"), "no folder"),
        (Edit("pkg/" + "x" * 300, "", "s\n"), "cannot be read"),
        (Edit("new.py", "", "s" * (MAX_FILE_BYTES + 1)), "larger than 4 MiB"),
        (Edit("pkg/\x1b[2J", "x\n", "s\n"), "There is no file"),
    ],
)
def test_what_does_not_fit_is_a_sentence_and_changes_nothing(
    top: Path, edit: Edit, part: str
) -> None:
    assert part in refused(top, edit)


def test_nothing_is_written_through_links(top: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "x.py").write_text("x\n")
    (top / "pkg" / "link").symlink_to(outside)
    (top / "new.py").symlink_to(outside / "x.py")
    assert "no folder" in refused(top, Edit("pkg/link/x.py", "x\n", "y\n"))
    assert "no folder" in refused(top, Edit("pkg/link/y.py", "", "y\n"))
    assert "not a file" in refused(top, Edit("new.py", "x\n", "y\n"))
    assert content(outside) == {"x.py": b"x\n"}


def test_pipes_are_not_read(top: Path) -> None:
    os.mkfifo(top / "new.py")
    assert "not a file" in refused(top, Edit("new.py", "x\n", "y\n"))


def test_a_write_that_fails_is_taken_back(top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def fail(path: Path, flags: int, mode: int = 0o777) -> int:
        if os.fspath(path).endswith("model.py") and not failed:
            failed.append(True)
            raise OSError(28, "No space left on device")
        return real(path, flags, mode)

    failed: list[bool] = []
    monkeypatch.setattr(os, "open", fail)
    edits = (Edit("train.py", "a = 1\n", "a = 2\n"), Edit("pkg/model.py", "x\n", "y\n"))
    assert "No space left" in refused(top, *edits)


def test_large_repetitive_texts_take_no_time_to_speak_of(top: Path) -> None:
    (top / "train.py").write_text("x\n" * 500_000)
    edit = Edit("train.py", "x\n" * 100_000 + "y\n", "z\n")
    assert "not in train.py" in refused(top, edit)


# Limits


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        ("train.py", ["train.py"], ["pkg/train.py", "train.pyc"]),
        ("./pkg/", ["pkg/a.py", "pkg/b/c.py"], ["pkgs/a.py", "a/pkg"]),
        ("*.py", ["a.py", "b/a.py"], ["a.pyc", "a.PY"]),
        ("src/*/x", ["src/a/x", "src/a/b/x", "src/a/x/below"], ["src/x"]),
        (".", ["a", "b/c"], [".git/config", "../a", "a//b", ""]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
    ],
)
def test_rules(rule: str, yes: list[str], no: list[str]) -> None:
    limits = Limits((rule,))
    assert [path for path in [*yes, *no] if limits.permits(path)] == yes


def test_protection_is_stronger_than_permission() -> None:
    limits = Limits((".",), ("eval*", "data"))
    assert not limits.permits("evaluate.py")
    assert not limits.permits("data/x")
    assert limits.protects("data/x")
    assert limits.permits("train.py")


def test_all_that_is_tracked_does_not_include_what_steers_git() -> None:
    limits = Limits.of_tracked(["a.py", ".gitignore", "b/.gitattributes", "odd[1].py"], ("a.py",))
    paths = ("a.py", ".gitignore", "b/.gitattributes", "new.py")
    assert not any(map(limits.permits, paths))
    assert limits.permits("odd[1].py")


@settings(max_examples=300, deadline=None)
@given(st.text("a./\\*[]?-!\n\0", max_size=12), st.text("a./-", max_size=12))
def test_no_rule_permits_a_path_that_leads_out(rule: str, path: str) -> None:
    if Limits((rule,)).permits(path):
        assert is_plain(path)
        assert not Path(path).is_absolute()
        assert os.path.normpath(path) == path
