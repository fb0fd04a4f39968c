"""Measure what the library costs: ``python -m tests.bench.library``.

Passages are made of a vocabulary whose words are as unevenly frequent as those of a language
(Zipf), with names and identifiers of the pack among them. Searching is measured in one process
with the library open, as in a loop. Events are written one at a time, as a loop writes them, into
files of their own (as we do) and, beside that, at the end of one file per month.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.git.trees import update_tree
from gitexp.library.database import NAME
from gitexp.library.library import Library
from gitexp.library.pack import pack
from gitexp.records.library import Chunk, LibraryLine, Paper, Usage
from gitexp.store.library import add_lines, encode_line, text_digest
from tests.bench.common import demand, disk_bytes, git, print_header, print_table, sandbox
from tests.bench.research import Line, header, quantiles, timed

TIME, BY = "2026-01-31T12:00:00.000000Z", "A U Thor <author@example.org>"
SEARCH_MS = 20.0
_VOCABULARY = 20_000
_WORDS = 180  # of a passage
_LAST = 40  # events that are timed


class Texts:
    """Makes passages and questions."""

    def __init__(self, seed: int) -> None:
        self._source = random.Random(seed)
        letters = "etaoinshrdlucmfwypvbgkjqxz"
        weights = list(accumulate(1 / rank for rank in range(1, _VOCABULARY + 1)))
        self._words = [
            "".join(self._source.choices(letters, weights=range(26, 0, -1), k=2 + rank % 9))
            for rank in range(_VOCABULARY)
        ]
        self._weights = weights
        self.names = [name for method in pack() for name in (method.name, *method.aliases)]
        self.names += [word for m in pack() for entry in m.signature for word in entry]

    def passage(self) -> str:
        """Return a passage of running text, some of it about a method."""
        found = self._source.choices(self._words, cum_weights=self._weights, k=_WORDS)
        for _ in range(self._source.randrange(4)):
            found.insert(self._source.randrange(len(found)), self._source.choice(self.names))
        found.insert(0, f"{self._source.uniform(0, 1):.3f}")
        return " ".join(found)

    def symbols(self) -> tuple[str, ...]:
        """Return identifiers as a code map finds them: mostly such as no other passage has."""
        pairs = self._source.choices(self._words, k=6)
        return tuple(f"{a}_{b}" for a, b in zip(pairs[::2], pairs[1::2], strict=True))

    def question(self) -> str:
        """Return a question as an agent would put it."""
        k = self._source.randint(2, 7)
        found = self._source.choices(self._words, cum_weights=self._weights, k=k)
        return " ".join([*found, self._source.choice(self.names)])


def make_paper(texts: Texts, number: int, passages: int) -> tuple[list[LibraryLine], list[str]]:
    """Return the lines of a paper, and its texts."""
    found = [texts.passage() for _ in range(passages)]
    name = f"file-{number:012x}"
    whole = "\n".join(found)
    paper = Paper(
        time=TIME,
        by=BY,
        id=name,
        source="file",
        title=texts.question(),
        digest=text_digest(whole),
        characters=len(whole),
    )
    chunks: list[LibraryLine] = [
        Chunk(
            time=TIME,
            by=BY,
            id=f"{name}.{i}",
            paper=name,
            section=f"Section {i // 10}",
            span=(0, len(text)),
            digest=text_digest(text),
            excerpt=text[:280],
            symbols=texts.symbols(),
        )
        for i, text in enumerate(found)
    ]
    return [paper, *chunks], found


def fill(library: Library, chunks: int, per_paper: int) -> Iterator[Line]:
    """Add papers until there are so many passages."""
    texts = Texts(1)
    taken = []
    for number in range(chunks // per_paper):
        lines, found = make_paper(texts, number, per_paper)
        kept = {line.id: text for line, text in zip(lines[1:], found, strict=True)}  # type: ignore[union-attr]
        taken.append(timed(lambda lines=lines, kept=kept: library.add(lines, kept)))  # type: ignore[misc]
    yield Line(f"add a paper of {per_paper} passages", *quantiles(taken))


def measure_reading(library: Library, chunks: int, questions: int) -> Iterator[Line]:
    """Measure what opening and searching costs."""
    took = timed(library.reindex)
    demand(len(library.search_passages("SwiGLU", 10)) == 10, "passages are not found")
    yield Line(f"make the index anew, {chunks:,} passages", took * 1e3)
    texts = Texts(2)
    asked = [texts.question() for _ in range(questions)]
    both: dict[str, Callable[[str], object]] = {
        "search passages": library.search_passages,
        "search methods": library.search_methods,
    }
    for name, search in both.items():
        taken = [timed(lambda q=q, search=search: search(q)) for q in asked]  # type: ignore[misc]
        yield Line(f"{name}, the library open", *quantiles(taken), SEARCH_MS)

    def opened() -> None:
        library.refresh()
        library.search_passages("SwiGLU")

    yield Line("open and search once", *quantiles([timed(opened) for _ in range(20)]))


def event(number: int) -> Usage:
    """Return an event of the usual length."""
    return Usage(
        time=TIME,
        by=BY,
        id=f"{random.Random(number).getrandbits(64):016x}",
        provider="openai",
        model="some-model-of-2026",
        prompt=12_000 + number,
        completion=900,
        cost=0.0123,
        prices="2026-11",
        seconds=12.5,
        session="a1b2c3d4",
        proposal=f"{random.Random(-number - 1).getrandbits(64):016x}",
    )


def in_files(repository: Repository, number: int) -> None:
    """Write an event as we do."""
    add_lines(repository, [event(number)])


def in_months(repository: Repository, number: int) -> None:
    """Write an event at the end of the file of its month."""
    path = f"events/{TIME[:7]}"
    line = encode_line(event(number)) + b"\n"
    ref = refs.LIBRARY + "months"
    update_tree(
        repository, ref, "exprag\n", lambda tree: {path: (tree.content(path) or b"") + line}
    )


def measure_events(
    place: Path, write: Callable[[Repository, int], None], count: int, shown: str
) -> Iterator[Line]:
    """Write events one at a time into a repository of their own; time the last ones."""
    folder = place / f"{shown.replace(' ', '-')}-{count}"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "config", "exprag.shard", "bench")
    git(folder, "config", "gc.auto", "0")
    repository = Repository.discover(folder)
    begin = time.perf_counter()
    for number in range(count - _LAST):
        write(repository, number)
    whole = (time.perf_counter() - begin) / (count - _LAST)
    before = disk_bytes(folder / ".git" / "objects")
    taken = [timed(lambda n=n: write(repository, n)) for n in range(count - _LAST, count)]  # type: ignore[misc]
    loose = disk_bytes(folder / ".git" / "objects")
    yield Line(f"an event, {shown}, the last of {count:,}", *quantiles(taken))
    yield Line("  of all of them, on average", whole * 1e3)
    yield Line("  KiB on disk that one adds", (loose - before) / _LAST / 1024)
    yield Line("  KiB on disk of all", loose / 1024)
    git(folder, "gc", "--quiet", "--prune=now")
    yield Line("  KiB on disk of all, after git gc", disk_bytes(folder / ".git" / "objects") / 1024)
    took = timed(lambda: Library(repository).usages())
    yield Line("  read all of them, the index made anew", took * 1e3)


def measure(place: Path, args: argparse.Namespace) -> Sequence[Line]:
    """Measure all of it."""
    folder = place / "library"
    folder.mkdir()
    git(folder, "init", "--quiet")
    git(folder, "config", "gc.auto", "0")
    library = Library(Repository.discover(folder))
    lines = list(fill(library, args.chunks, 100))
    lines += measure_reading(library, args.chunks, args.questions)
    path = library.index_path
    lines.append(Line(f"{NAME}, KiB", path.stat().st_size / 1024 if path else 0.0))
    lines.append(Line("texts, KiB", disk_bytes(library.repository.home / "texts") / 1024))
    library.close()
    for count in args.events:
        lines += measure_events(place, in_files, count, "a file of its own")
    for count in args.months:
        lines += measure_events(place, in_months, count, "a file per month")
    return lines


def main() -> None:
    """Make a library, measure, and print the report as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.library", description=__doc__)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--events", type=int, nargs="*", default=[1_000, 10_000])
    parser.add_argument("--months", type=int, nargs="*", default=[1_000])
    args = parser.parse_args()
    with sandbox() as place:
        lines = measure(place, args)
        print_header(header(0) | {"runs": "none", "passages": f"{args.chunks:,}"})
        print_table(
            [("what", "p50 ms", "p95 ms", "goal", "met"), *(each.cells() for each in lines)]
        )
        os.chdir("/")


if __name__ == "__main__":
    main()
