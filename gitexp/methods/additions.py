"""The words that the code of a run adds to its base: identifiers in added lines.

What is read from two trees never changes, so it is kept in ``research.sqlite``
(`gitexp.research.cache`) by their ids, as words and not as what they were found to mean: which
words are looked for may change with the library, and nothing is read again for that.

A line is added where none of the old versions of the changed files has the same tokens, so what
moves within a change, or changes its layout, adds nothing. Words are identifiers. Comments and
texts (a prompt over many lines, say) do not count, but for a text that is nothing but an
identifier, as in ``activation="swiglu"``; neither do tests, by which nothing is tried. Words are
kept in small letters: the same thing is ``SwiGLU`` as a class, ``use_swiglu`` as a parameter and
``USE_SWIGLU`` as a constant. A word is *fresh* where no old version of a changed file has it, and
for a new file, where no file of its kind in the base has it: a copy is nothing new, but a setting
turned on is, though the code that it turns on was there.
"""

from __future__ import annotations

import functools
import keyword
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

import xxhash

from gitexp.git.history import EMPTY_TREE
from gitexp.git.patches import FileChange, Ignored, changed_files
from gitexp.git.repository import Repository
from gitexp.research.cache import written
from gitexp.research.code import IGNORED, Code
from gitexp.research.guard.tokens import split_lines

Trees = tuple[bytes, bytes]
"""Ids of an old tree and of a new one, 20 bytes each."""
Found = dict[str, bool]
"""Word in small letters -> whether it is fresh."""
Progress = Callable[[int, int], None]

_READING = 1
"""Of how words are read; what was read in another way is read again."""
_MAX_WORDS = 10_000
"""Of one change, in the order of its files; more are no experiment of hands."""
_MAX_LENGTH = 80
_BATCH = 200
_AT_ONCE = 500
_WORD = re.compile(r"[^\W\d]\w+")
_QUOTES = "\"'"
_TEST = re.compile(r"(?:.*/)?(?:tests?/.*|test_[^/]*|[^/]*_test\.\w+|conftest\.py)")
_QUOTED = re.compile(
    r"#[^\n]*"
    r"|(?P<long>\"\"\"(?:\\.|[^\\])*?(?:\"\"\"|\\?\Z)|'''(?:\\.|[^\\])*?(?:'''|\\?\Z))"
    r"|\"(?:\\[^\n]|[^\"\\\n])*\"|'(?:\\[^\n]|[^'\\\n])*'",
    re.DOTALL,
)
"""Python's comments and texts, so that what looks like the one within the other is not.

A text that is never closed goes on to the end: so one look at a file is enough.
"""
_PYTHON = (".py", ".pyi", ".pyx", ".mojo")
NOTHING = bytes.fromhex(EMPTY_TREE)
"""The tree to which everything is added."""


class Additions:
    """What changes add, remembered."""

    def __init__(self, repository: Repository, cache: sqlite3.Connection) -> None:
        """Read which files do not matter in this repository.

        Args:
            repository: That holds the trees.
            cache: ``research.sqlite``.
        """
        self._repository = repository
        self._cache = cache
        self._base: tuple[bytes, list[FileChange]] = (NOTHING, [])
        own = repository.configured(r"^exprag\.ignore$").get("exprag.ignore", [])
        self._rules = xxhash.xxh3_64_digest(repr((_READING, IGNORED, own)).encode())

    def extend(
        self, pairs: Collection[Trees], progress: Progress | None = None
    ) -> dict[Trees, int]:
        """Read the changes that are not remembered; return the number of each that could be read.

        Args:
            pairs: Trees that changes lie between.
            progress: Told how many of the missing ones are done.
        """
        known = self._known(pairs)
        missing = [pair for pair in dict.fromkeys(pairs) if pair not in known]
        for start in range(0, len(missing), _BATCH):
            if progress is not None:
                progress(start, len(missing))
            some = missing[start : start + _BATCH]
            self._remember(
                [(pair, words) for pair in some if (words := self.read(pair)) is not None]
            )
        if missing:
            known = self._known(pairs)
        if missing and progress is not None:
            progress(len(missing), len(missing))
        return known

    def _known(self, pairs: Collection[Trees]) -> dict[Trees, int]:
        sql = "SELECT old, new, number FROM addition WHERE rules = ?"
        wanted = set(pairs)
        rows = self._cache.execute(sql, (self._rules,))
        return {(old, new): number for old, new, number in rows if (old, new) in wanted}

    @functools.cached_property
    def _ignored(self) -> Ignored:
        return Code(self._repository, self._cache).ignored

    def read(self, pair: Trees) -> Found | None:
        """Return the words that a change adds; None where one of its trees is not whole here."""
        files = changed_files(self._repository, pair[0].hex(), pair[1].hex(), self._ignored)
        if files is None:
            return None
        kinds = {_kind(file.path) for file in files if not file.old_mode}
        others = self._files_of(pair[0]) if kinds and pair[0] != NOTHING else []
        return added_words(files, [file for file in others if _kind(file.path) in kinds])

    def _files_of(self, tree: bytes) -> list[FileChange]:
        """Return the files of a tree as additions; those asked for last are remembered."""
        if self._base[0] != tree:
            found = changed_files(self._repository, EMPTY_TREE, tree.hex(), self._ignored)
            self._base = (tree, found or [])
        return self._base[1]

    def with_words(
        self, words: Iterable[str], among: Collection[int] | None = None
    ) -> dict[int, Found]:
        """Return the numbers of the changes that add any of some words, with those words.

        Args:
            words: In small letters.
            among: Numbers of few changes that are asked about; all by default.
        """
        wanted = sorted(set(words))
        numbers = [None] if among is None else sorted(among)
        found: dict[int, Found] = {}
        for number in numbers:
            for start in range(0, len(wanted), _AT_ONCE):
                for row in self._rows(wanted[start : start + _AT_ONCE], number):
                    found.setdefault(row[0], {})[row[1]] = bool(row[2])
        return found

    def _rows(self, words: Sequence[str], number: int | None) -> Iterator[tuple[int, str, int]]:
        marks = ", ".join("?" * len(words))
        sql = f"SELECT addition, word, fresh FROM added WHERE word IN ({marks})"  # noqa: S608
        if number is None:
            return self._cache.execute(sql, words)
        return self._cache.execute(f"{sql} AND addition = ?", (*words, number))

    def _remember(self, made: Sequence[tuple[Trees, Found]]) -> None:
        def write(cache: sqlite3.Connection) -> None:
            self._drop_others(cache)
            for (old, new), words in made:
                sql = "INSERT OR IGNORE INTO addition (old, new, rules) VALUES (?, ?, ?)"
                cursor = cache.execute(sql, (old, new, self._rules))
                rows = [(word, cursor.lastrowid, fresh) for word, fresh in words.items()]
                if cursor.rowcount:  # else another process was quicker
                    cache.executemany("INSERT INTO added VALUES (?, ?, ?)", rows)

        self._cache = written(self._cache, write)

    def _drop_others(self, cache: sqlite3.Connection) -> None:
        """Drop what was read in another way, or when other files mattered."""
        sql = "SELECT 1 FROM addition WHERE rules != ? LIMIT 1"
        if cache.execute(sql, (self._rules,)).fetchone():
            cache.execute("DELETE FROM added")
            cache.execute("DELETE FROM addition")


def added_words(files: Iterable[FileChange], others: Iterable[FileChange] = ()) -> Found:
    """Return the words that files add, in their order; those that count by their ids add none.

    Args:
        files: Their old and their new versions.
        others: New versions of files whose words are not fresh either.
    """
    versions = [
        (file.path, file.old, file.new)
        for file in files
        if file.old is not None and file.new is not None and not _TEST.fullmatch(file.path)
    ]
    lines = {line for path, old, _ in versions for line in _lines(path, old)}
    before = frozenset[str]().union(*(_words_in(path, old) for path, old, _ in versions))
    before = before.union(*(_words_in(file.path, file.new) for file in others if file.new))
    found: Found = {}
    for path, _, new in versions:
        for line in _lines(path, new):
            if line not in lines:
                found |= {word: word not in before for word in _words(line)}
        if len(found) >= _MAX_WORDS:
            break
    return dict(list(found.items())[:_MAX_WORDS])


def _kind(path: str) -> str:
    """Return the ending of a file's name; all of it where there is none."""
    return path.rpartition("/")[2].rpartition(".")[2]


@functools.lru_cache(maxsize=16)
def _lines(path: str, content: bytes) -> tuple[tuple[str, ...], ...]:
    """Return the tokens of each line of a file; one base is that of many runs."""
    return tuple(line.tokens for line in split_lines(path, _without_texts(path, content)))


@functools.lru_cache(maxsize=64)
def _words_in(path: str, content: bytes) -> frozenset[str]:
    """Return the words of a file."""
    return frozenset(word for line in _lines(path, content) for word in _words(line))


def _without_texts(path: str, content: bytes) -> bytes:
    """Return a file without its texts over several lines, as far as it is Python."""
    if not path.endswith(_PYTHON) or not (b'"""' in content or b"'''" in content):
        return content
    text = content.decode("utf-8", "replace")
    return _QUOTED.sub(lambda m: "''" if m["long"] else m[0], text).encode()


def _words(tokens: Iterable[str]) -> Iterator[str]:
    """Yield the identifiers among tokens, and those that are all of a text."""
    for token in tokens:
        word = token[1:-1] if token[0] in _QUOTES else token
        if len(word) <= _MAX_LENGTH and _WORD.fullmatch(word) and not keyword.iskeyword(word):
            yield word.lower()
