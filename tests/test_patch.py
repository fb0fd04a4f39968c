"""What a change does: its digest, shingles and places, whatever its layout."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gitexp.git.patches import Base, FileChange, base_of_tree, bases, changed_files
from gitexp.git.repository import Repository
from gitexp.research.guard.aliases import Aliases
from gitexp.research.guard.patch import SKETCH, Patch, bands, likeness, patch_of, sketch_of
from gitexp.research.guard.structure import from_edits
from gitexp.research.guard.tokens import _read_from, _Reader, kind_of, split_lines
from tests.support import Git

BASE = """\
import torch

LR = 0.04  # of the matrices


def loss(x, y):
    \"\"\"Return it.\"\"\"
    z = x - y
    return (z * z).mean()


def other(x):
    return x
"""


def change(old: str, new: str, path: str = "train.py") -> Patch:
    return patch_of([FileChange(path, 0o100644, 0o100644, "a", "b", old.encode(), new.encode())])


NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=4).map(lambda name: f"v_{name}")
VALUES = st.integers(0, 99)
PROGRAMS = st.lists(st.tuples(NAMES, VALUES), min_size=1, max_size=12).map(
    lambda pairs: [f"{name} = {value}" for name, value in pairs]
)


def relaid(lines: list[str], data: st.DataObject) -> str:
    """Return a program with other spaces, comments and blank lines."""
    result = []
    for line in lines:
        name, _, value = line.partition(" = ")
        gap = data.draw(st.sampled_from(["", " ", "  "]))
        comment = data.draw(st.sampled_from(["", "  # why", " #"]))
        result += data.draw(st.sampled_from([[], [""], ["# of its own"]]))
        result.append(f"{name}{gap}={gap}{value}{comment}")
    return "\n".join(result) + "\n"


@given(PROGRAMS, PROGRAMS, st.data())
def test_spaces_comments_and_blank_lines_never_change_the_digest(
    old: list[str], new: list[str], data: st.DataObject
) -> None:
    plain = change("\n".join(old) + "\n", "\n".join(new) + "\n")
    assert change(relaid(old, data), relaid(new, data)).digest == plain.digest
    assert change(relaid(old, data), relaid(old, data)).digest == b""


@given(PROGRAMS, st.data())
def test_another_value_always_changes_the_digest(old: list[str], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(old) - 1))
    one, two = old.copy(), old.copy()
    one[at], two[at] = "v_new = 100", "v_new = 101"
    changes = [change("\n".join(old), "\n".join(new)) for new in (one, two)]
    assert changes[0].digest != changes[1].digest


@given(st.text(max_size=300), st.text(max_size=300), st.sampled_from(["a.py", "b.c", "c.sh", "d"]))
def test_any_text_has_a_change_against_any_other(old: str, new: str, path: str) -> None:
    found = patch_of(
        [
            FileChange(
                path,
                0o100644,
                0o100644,
                "a",
                "b",
                old.encode("utf-8", "surrogatepass"),
                new.encode("utf-8", "surrogatepass"),
            )
        ]
    )
    assert len(sketch_of(found.shingles)) in (0, SKETCH)


def test_the_digest_does_not_depend_on_where_the_lines_stand() -> None:
    moved = BASE.replace("import torch\n", "import torch\nimport os\n\nos.nice(1)\n")
    one = change(BASE, BASE.replace("0.04", "0.4"))
    two = change(moved, moved.replace("0.04", "0.4"))
    assert one.digest == two.digest


def test_the_context_is_that_of_the_touched_function() -> None:
    def edit(text: str) -> Patch:
        return change(text, text.replace("z * z", "z.abs()"))

    elsewhere = BASE.replace("    return x\n", "    return 2 * x\n")
    inside = BASE.replace("z = x - y", "z = y - x")
    assert edit(BASE).context == edit(elsewhere).context
    assert edit(BASE).context != edit(inside).context
    assert edit(BASE).digest == edit(inside).digest
    assert edit(BASE).places == ("train.py:loss",)


def test_a_method_is_named_with_its_class() -> None:
    old = "class Model:\n    def forward(self, x):\n        return x\n"
    assert change(old, old.replace("return x", "return -x")).places == ("train.py:Model.forward",)


def test_indentation_counts_in_python_and_its_width_does_not() -> None:
    loop = "for i in x:\n    a = 1\n    b = 2\n"
    assert change(loop, loop.replace("    b", "b")).digest
    assert not change(loop, loop.replace("    ", "  ")).digest


def test_the_same_lines_in_another_block_are_the_same_change() -> None:
    inside = f"if True:\n{''.join(f'    {line}' for line in BASE.splitlines(keepends=True))}"
    one = change(BASE, BASE.replace("z * z", "z.abs()"))
    assert one.digest == change(inside, inside.replace("z * z", "z.abs()")).digest


def test_a_line_broken_in_another_way_is_no_change() -> None:
    assert not change("f(a, b)\n", "f(a,\n  b)\n").digest


def test_documentation_is_no_code_and_a_string_is() -> None:
    assert not change(BASE, BASE.replace("Return it.", "Give it back.")).digest
    assert change('a = """x\ny"""\n', 'a = """x\nz"""\n').digest


def test_comments_are_dropped_by_language() -> None:
    for path, old, new in (
        ("k.cu", "int a = 1; // one\n/* two\n three */ int b;\n", "int a = 1;\nint b;\n"),
        ("run.sh", "echo $#  # count\n", "echo $#\n"),
        ("c.yaml", "lr: 1  # one\n", "lr:  1\n"),
        ("q.sql", "select 1 -- one\n", "select 1\n"),
    ):
        assert not change(old, new, path).digest, path
    assert change("echo $#\n", "echo $1\n", "run.sh").digest
    assert change("a # b\n", "a # c\n", "notes.unknown").digest


def test_moved_lines_alone_are_a_change() -> None:
    assert change("a = 1\nb = 2\n", "b = 2\na = 1\n").digest


def test_a_file_that_is_no_text_counts_by_its_blobs() -> None:
    file = FileChange("model.bin", 0o100644, 0o100644, "a" * 40, "b" * 40, None, None)
    other = file._replace(new_id="c" * 40)
    assert patch_of([file]).opaque == ("model.bin",)
    assert patch_of([file]).digest != patch_of([other]).digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a = 1;" * 60_000, "b = f(2);" * 60_000),
        ("  x (\n" * 60_000, "  y (\n" * 60_000),
        ("\n".join(f" v{i} = {i}" for i in range(30_000)), ""),
        ("x\ny\n" * 40_000, "x\nz\n" * 40_000),
        ('/* "a\\\n b" */ "c\\\nd" = 1\n', "e = 2\n"),
        ('"""' * 50_001, "'" * 100_000),
        ("a (" * 60_000 + "{\n  q\n}", "a (" * 60_000 + "{\n  r\n}"),
    ],
)
def test_odd_files_are_read_within_bounds(old: str, new: str) -> None:
    for path in ("a.py", "a.c", "a.json"):
        assert from_edits(change(old, new, path).edits, Aliases()).changes is not None


def test_likeness_of_changes_and_the_bands_that_find_them() -> None:
    new = "\n".join(f"layer{i} = Linear({i}, {i + 1})" for i in range(40))
    one, two = change("", new), change("", f"{new}\nextra = 1\n")
    jaccard, containment = likeness(one.shingles, two.shingles)
    assert 0.9 < jaccard < 1
    assert containment == 1
    assert set(bands(sketch_of(one.shingles))) & set(bands(sketch_of(two.shingles)))
    assert likeness(frozenset(), one.shingles) == (0.0, 0.0)


def test_shingles_have_a_sign() -> None:
    line = "layer = Linear(1, 2)\n"
    assert likeness(change("", line).shingles, change(line, "").shingles) == (0.0, 0.0)


@given(
    st.lists(
        st.sampled_from(['"""', "'''", "/*", "*/", "#", "\n", "a", "(", ")", " ", '"']), max_size=30
    )
)
def test_lines_are_the_same_read_one_by_one_or_in_one_go(parts: list[str]) -> None:
    text = "".join(parts)
    for path in ("a.py", "b.c"):
        whole = _Reader(text.split("\n"), by_indent=path == "a.py")
        at = 0
        while whole.at < len(text.split("\n")):
            at = _read_from(whole, kind_of(path), text, at)
        assert split_lines(path, text.encode()) == whole.lines


def test_lines_of_an_unfinished_string_are_read_to_the_end() -> None:
    lines = split_lines("a.py", b"x = '''one\ntwo\n")
    assert [line.tokens[-1] for line in lines] == ["one", "two"]


def test_base_of_a_run_is_the_parent_of_its_snapshot(repo: Git) -> None:
    repo.write("train.py", "lr = 0.2\n")
    tree = _work_tree(repo)
    run = repo("commit-tree", tree, "-p", "HEAD", "-m", "run")
    repository = Repository.discover()
    ((_, base),) = bases(repository, [run])
    assert base == Base(repo("rev-parse", "HEAD^{tree}"), tree, repo("rev-parse", "HEAD"))
    files = changed_files(repository, base.old, base.new, lambda _: False)
    assert files is not None
    assert [(file.path, file.new) for file in files] == [("train.py", b"lr = 0.2\n")]


def test_a_clean_run_changed_what_its_commit_changed(repo: Git) -> None:
    run = repo("commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", "run")
    ((_, base),) = bases(Repository.discover(), [run])
    assert base is not None
    assert base.commit == repo("rev-parse", "HEAD~1")
    assert base_of_tree(Repository.discover(), base.new, repo("rev-parse", "HEAD")) == base


def test_a_run_without_its_commits_has_no_base(repo: Git) -> None:
    assert list(bases(Repository.discover(), ["1" * 40])) == [("1" * 40, None)]


def test_files_that_do_not_matter_are_left_out(repo: Git) -> None:
    repo.write("notes.md", "words\n")
    repo.write("pkg/model.py", "WIDTH = 16\n")
    new = _work_tree(repo)
    old = repo("rev-parse", "HEAD^{tree}")
    files = changed_files(Repository.discover(), old, new, lambda path: path.endswith(".md"))
    assert files is not None
    assert [file.path for file in files] == ["pkg/model.py"]


def test_large_and_binary_files_are_not_read(repo: Git) -> None:
    repo.write("big.txt", b"a\n" * (1 << 20))
    repo.write("model.bin", b"\0\1")
    repo.write("small.txt", "a\n")
    new = _work_tree(repo)
    old = repo("rev-parse", "HEAD^{tree}")
    files = changed_files(Repository.discover(), old, new, lambda _: False)
    assert files is not None
    assert [file.new for file in files] == [None, None, b"a\n"]


def test_a_tree_that_is_missing_has_no_change(repo: Git) -> None:
    assert changed_files(Repository.discover(), "1" * 40, "2" * 40, lambda _: False) is None


def _work_tree(repo: Git) -> str:
    repo("add", "-A")
    return repo("write-tree")
