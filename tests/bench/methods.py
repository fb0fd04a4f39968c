"""Measure ``methods search`` with many runs and chunks: ``python -m tests.bench.methods``.

The runs are those of `tests.bench.research_corpus`, the chunks passages of made-up papers: words by
Zipf's law from a vocabulary of 8,000, of 5,000 identifiers three in each, and names of the pack's
methods. A search is what a loop asks: of `Methods` that is open already; what opening costs is
measured apart.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Iterator

from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.library.pack import pack
from gitexp.memory import Memory
from gitexp.methods.search import Methods, methods_section
from gitexp.records.library import MAX_EXCERPT, Chunk, LibraryLine, Paper
from gitexp.research.overview.brief import brief
from gitexp.store.library import text_digest
from tests.bench.common import demand, print_header, print_table, sandbox
from tests.bench.research import Line, header, quantiles, timed
from tests.bench.research_corpus import make_research_corpus

SEARCH_MS = 20.0
_VOCABULARY = 8_000
_IDENTIFIERS = 5_000
_PER_PAPER = 50
_WORDS = 160
_TIME = "2026-01-01T00:00:00.000000Z"
_BY = "agent <agent@example.org>"


class Writer:
    """Writes made-up papers; everything follows from the seed."""

    def __init__(self, seed: int = 0) -> None:
        self._source = random.Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self._words = [
            "".join(self._source.choices(letters, k=self._source.randint(3, 10)))
            for _ in range(_VOCABULARY)
        ]
        self._weights = [1 / (rank + 3) for rank in range(_VOCABULARY)]
        pairs = (self._source.sample(self._words[:400], 2) for _ in range(_IDENTIFIERS))
        self._identifiers = ["_".join(pair) for pair in pairs]
        self._names = [name for method in pack() for name in (method.name, *method.aliases)]

    def passage(self) -> str:
        """Return a passage of some 160 words."""
        found = self._source.choices(self._words, self._weights, k=_WORDS)
        for _ in range(self._source.randint(0, 4)):
            found[self._source.randrange(_WORDS)] = self._source.choice(self._names)
        for name in self._source.choices(self._identifiers, self._weights[:_IDENTIFIERS], k=3):
            found[self._source.randrange(_WORDS)] = name
        return " ".join(found)

    def paper(self, number: int) -> tuple[list[LibraryLine], dict[str, str]]:
        """Return a paper with its chunks, and their texts."""
        papers = sorted({r.paper for m in pack() for r in m.references if r.paper})
        name = papers[number] if number < len(papers) else f"arxiv-9999.{number:05}"
        texts = {f"{name}.{at}": self.passage() for at in range(_PER_PAPER)}
        lines: list[LibraryLine] = [
            Paper(
                time=_TIME,
                by=_BY,
                id=name,
                source="arxiv",
                title=" ".join(self._source.choices(self._words, k=6)),
                digest=text_digest(name),
                characters=_PER_PAPER * 1_000,
            )
        ]
        for at, (chunk, text) in enumerate(texts.items()):
            lines.append(
                Chunk(
                    time=_TIME,
                    by=_BY,
                    id=chunk,
                    paper=name,
                    section=f"{1 + at // 8} {self._source.choice(self._words)}",
                    span=(at * 1_000, at * 1_000 + len(text)),
                    digest=text_digest(text),
                    excerpt=text[:MAX_EXCERPT],
                )
            )
        return lines, texts

    def queries(self, count: int) -> Iterator[str]:
        """Yield what an agent would ask: a name, words, or a sentence of both."""
        for _ in range(count):
            plain = self._source.choices(self._words, self._weights, k=self._source.randint(1, 8))
            named = self._source.sample(self._names, self._source.choice((0, 1, 1, 2)))
            yield " ".join([*named, *plain])


def fill(library: Library, chunks: int, writer: Writer) -> None:
    """Add so many chunks."""
    for number in range(chunks // _PER_PAPER):
        lines, texts = writer.paper(number)
        library.add(lines, texts)


def measure(memory: Memory, library: Library, writer: Writer, count: int) -> Iterator[Line]:
    """Yield what opening and asking cost."""
    first = timed(lambda: Methods(memory, library))
    yield Line("opened for the first time: changes and notes of all runs are read", first * 1e3)
    again = [timed(lambda: Methods(Memory(library.repository), library)) for _ in range(5)]
    yield Line("opened again", *quantiles(again))
    methods = Methods(memory, library)
    demand(bool(methods.next()), "nothing is suggested")
    taken, busy = [], []
    found = 0
    for query in writer.queries(count):
        begin, began = time.perf_counter(), time.process_time()
        found += len(methods.search(query))
        taken.append(time.perf_counter() - begin)
        busy.append(time.process_time() - began)
    demand(found > count, "the queries find nothing")
    yield Line("search, open", *quantiles(taken), SEARCH_MS)
    yield Line("search, open, processor time", *quantiles(busy))
    first_query = next(writer.queries(1))
    explored = [timed(lambda: methods.search(first_query, explore=1)) for _ in range(count)]
    yield Line("the same search again, exploring", *quantiles(explored), SEARCH_MS)
    asked = [timed(methods.next) for _ in range(count)]
    yield Line("next, open", *quantiles(asked))
    section = methods_section(methods.next())
    yield Line("a brief with them", timed(lambda: brief(memory, 2_000, [section])) * 1e3)


def main() -> None:
    """Make runs and chunks, measure, and print the report as Markdown."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.methods", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--chunks", type=int, default=10_000)
    parser.add_argument("--queries", type=int, default=400)
    args = parser.parse_args()
    with sandbox() as place:
        folder = place / "loop"
        make_research_corpus(folder, args.runs)
        os.chdir(folder)
        library, writer = Library(Repository.discover()), Writer()
        begin = time.perf_counter()
        fill(library, args.chunks, writer)
        spent = time.perf_counter() - begin
        memory = Memory(Repository.discover())
        demand(memory.count() == args.runs, "runs are missing")
        lines = [Line(f"{args.chunks:,} chunks added, paper by paper", spent * 1e3)]
        lines += measure(memory, library, writer, args.queries)
        print_header(header(args.runs) | {"chunks": f"{args.chunks:,}"})
        print_table(
            [("what", "p50 ms", "p95 ms", "goal", "met"), *(each.cells() for each in lines)]
        )


if __name__ == "__main__":
    main()
