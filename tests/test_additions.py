"""Which words a change adds: identifiers in new lines, and what of it is remembered."""

from __future__ import annotations

import sqlite3

import pytest

from gitexp.git.patches import FileChange
from gitexp.git.repository import Repository
from gitexp.methods import additions as module
from gitexp.methods.additions import NOTHING, Additions, Trees, added_words
from gitexp.research.cache import open_in_memory
from tests.support import Git


def changed(old: str, new: str, path: str = "train.py") -> FileChange:
    return FileChange(path, 0o100644 if old else 0, 0o100644, "", "", old.encode(), new.encode())


def words(old: str, new: str, path: str = "train.py") -> dict[str, bool]:
    return added_words([changed(old, new, path)])


def test_words_of_new_lines_are_added_and_those_of_the_base_are_not_fresh() -> None:
    found = words("width = 8\n", "width = 8\ndepth = width * n_layer\n")
    assert found == {"depth": True, "width": False, "n_layer": True}


def test_words_are_in_small_letters() -> None:
    assert words("", "class SwiGLU: pass\nUSE_FP8 = 1\n") == {"swiglu": True, "use_fp8": True}


def test_layout_and_moved_lines_add_nothing() -> None:
    assert words("aa = 1\nbb = 2\n", "bb  =  2\n\n\naa = 1  # why\n") == {}


def test_comments_documentation_and_prose_do_not_count() -> None:
    text = '''
def train():
    """Try swiglu."""
    # and muon
    name = "a text about muon"
    prompt = """
    Use swiglu, please.
    """
'''
    assert words("", text) == {"train": True, "name": True, "prompt": True}


def test_a_text_that_is_an_identifier_counts() -> None:
    found = words("", "model(activation='swiglu', kind=\"muon\", note='not this')\n")
    assert found.keys() == {"model", "activation", "swiglu", "kind", "muon", "note"}


def test_keywords_numbers_and_single_letters_are_no_words() -> None:
    assert words("", "for i in range(10):\n    x = 0.5\n") == {"range": True}


def test_settings_files_count_too() -> None:
    assert words("", "activation: swiglu  # new\n", "config.yaml") == {
        "activation": True,
        "swiglu": True,
    }


@pytest.mark.parametrize("path", ["tests/model.py", "pkg/test_model.py", "model_test.py"])
def test_tests_try_nothing(path: str) -> None:
    assert words("", "class SwiGLU: pass\n", path) == {}


def test_a_word_moved_between_changed_files_is_not_fresh() -> None:
    one = changed("class Muon: pass\n", "pass\n", "a.py")
    two = changed("pass\n", "class Muon: fast = 1\n", "b.py")
    assert added_words([one, two]) == {"muon": False, "fast": True}


def test_files_that_are_not_text_add_nothing() -> None:
    binary = FileChange("a.py", 0, 0o100644, "", "1", None, None)
    assert added_words([binary]) == {}


def test_bytes_that_are_no_text_do_no_harm() -> None:
    file = FileChange("a.py", 0, 0o100644, "", "", b"", b"muon = '\xff\xfe'\n\xff = 1\n")
    assert "muon" in added_words([file])


def test_texts_that_never_close_are_read_once() -> None:
    hostile = 'swiglu = """' + '\\"""' * 200_000
    assert words("", hostile) == {"swiglu": True}


def test_a_change_adds_a_bounded_number_of_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MAX_WORDS", 3)
    assert list(words("", "aa = bb\ncc = dd\nee = ff\n")) == ["aa", "bb", "cc"]


def tree_of(repo: Git) -> bytes:
    repo("add", "--all")
    return bytes.fromhex(repo("write-tree"))


def pair_after(repo: Git, path: str, content: str) -> Trees:
    old = tree_of(repo)
    repo.write(path, content)
    return old, tree_of(repo)


def open_additions(cache: sqlite3.Connection) -> Additions:
    return Additions(Repository.discover(), cache)


def test_what_was_read_is_remembered_and_found_by_words(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pair_after(repo, "train.py", "lr = 0.1\nclass Muon: pass\n")
    with open_in_memory() as cache:
        number = open_additions(cache).extend([pair])[pair]
        monkeypatch.setattr(module, "changed_files", None)  # nothing is read again
        again = open_additions(cache)
        assert again.extend([pair]) == {pair: number}
        assert again.with_words(["muon", "lr", "swiglu"]) == {number: {"muon": True}}


def test_what_matters_in_other_files_is_read_again(repo: Git) -> None:
    pair = pair_after(repo, "train.py", "class Muon: pass\n")
    with open_in_memory() as cache:
        open_additions(cache).extend([pair])
        repo("config", "exprag.ignore", "train.py")
        changed_rules = open_additions(cache)
        number = changed_rules.extend([pair])[pair]
        assert changed_rules.with_words(["muon"]) == {}
        assert cache.execute("SELECT number FROM addition").fetchall() == [(number,)]


def test_trees_that_are_not_here_are_left_out(repo: Git) -> None:
    missing = (tree_of(repo), b"\1" * 20)
    with open_in_memory() as cache:
        assert open_additions(cache).extend([missing]) == {}


def test_many_words_are_asked_for_in_pieces(repo: Git) -> None:
    pair = pair_after(repo, "train.py", "class Muon: pass\n")
    with open_in_memory() as cache:
        additions = open_additions(cache)
        number = additions.extend([pair])[pair]
        many = [f"word{n}" for n in range(1500)]
        assert additions.with_words([*many, "muon"]) == {number: {"muon": True}}


def test_a_copy_of_a_file_has_nothing_fresh_but_a_setting_turned_on_has(repo: Git) -> None:
    repo.write("model.py", "if use_swiglu: pass\n")
    repo.write("base.yaml", "width: 8\n")
    old = tree_of(repo)
    repo.write("copy.py", "if use_swiglu: pass\n")
    repo.write("run.yaml", "width: 8\nuse_swiglu: true\n")
    with open_in_memory() as cache:
        additions = open_additions(cache)
        both = additions.read((old, tree_of(repo)))
        assert both is not None
        assert both["use_swiglu"] is False
        (repo.path / "copy.py").unlink()
        one = additions.read((old, tree_of(repo)))
        assert one is not None
        assert one["use_swiglu"] is True
        assert one["width"] is False


def test_a_whole_tree_has_all_its_words(repo: Git) -> None:
    with open_in_memory() as cache:
        found = open_additions(cache).read((NOTHING, tree_of(repo)))
    assert found is not None
    assert {"lr", "print", "width", "seed"} <= found.keys()
    assert all(found.values())


def test_a_cache_that_cannot_be_written_is_copied(repo: Git) -> None:
    pair = pair_after(repo, "train.py", "class Muon: pass\n")
    with open_in_memory() as cache:
        cache.execute("PRAGMA query_only = ON")
        additions = open_additions(cache)
        number = additions.extend([pair])[pair]
        assert additions.with_words(["muon"]) == {number: {"muon": True}}


def test_progress_is_told_of_what_is_missing_only(repo: Git) -> None:
    pair = pair_after(repo, "train.py", "class Muon: pass\n")
    told: list[tuple[int, int]] = []
    with open_in_memory() as cache:
        additions = open_additions(cache)
        additions.extend([pair], lambda done, total: told.append((done, total)))
        additions.extend([pair], lambda done, total: told.append((done, total)))
    assert told == [(0, 1), (1, 1)]
