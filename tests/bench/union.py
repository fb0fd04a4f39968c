"""What uniting two states of a shard of facts costs, small and large."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from gitexp.git import refs
from gitexp.git.repository import Repository
from gitexp.records.facts import RemarkFact, encode_fact
from gitexp.store.batch import note_path
from gitexp.store.union import unite_commits
from tests.bench.common import Figure, compare, demand, git, remove
from tests.bench.sharers import NEW, commit

_LINES = 10  # of each run
_SHARD = f"{refs.FACTS}bench-0"


def measure(folder: Path, lines: Sequence[int], samples: int) -> list[Figure]:
    """Unite two states of a shard that differ in the notes of `NEW` runs, small and large."""
    shards = {count: _Shard(folder / f"shard-{count}", count // _LINES) for count in lines}
    taken: dict[int, list[tuple[float, int]]] = {count: [] for count in lines}
    for turn in range(samples + 1):
        for count in lines if turn % 2 else reversed(lines):
            cost = shards[count].unite(turn)
            if turn:
                taken[count].append(cost)
    figures = []
    small = lines[0]
    for index, (what, unit, scale) in enumerate((("time", "ms", 1e3), ("objects written", "", 1))):
        values = {n: statistics.median(c[index] for c in taken[n]) * scale for n in lines}
        figures.append(Figure(f"union of shards of {small:,} lines: {what}", values[small], unit))
        figures += [
            compare(
                f"union of shards of {count:,} lines: {what}",
                values[count],
                unit,
                f"{small:,} lines",
                values[small],
            )
            for count in lines[1:]
        ]
    remove(*(shard.folder for shard in shards.values()))
    return figures


class _Shard:
    """A shard of facts, in a new repository: so many runs with `_LINES` remarks each."""

    def __init__(self, folder: Path, runs: int) -> None:
        self.folder = folder
        self._runs = runs
        folder.mkdir()
        git(folder, "init", "--quiet", "--initial-branch=main")
        stream = [commit(_SHARD, "all", {})]
        stream += [self._note(number, _LINES) for number in range(runs)]
        git(folder, "fast-import", "--quiet", stdin=b"".join(stream))

    def unite(self, turn: int) -> tuple[float, int]:
        """Unite two states that nobody has united before; return seconds and objects written."""
        states = [self._go_on(turn, side) for side in range(2)]
        repository = Repository.discover(self.folder)
        before = self._count()
        begin = time.perf_counter()
        united = unite_commits(repository, _SHARD, *states)
        seconds = time.perf_counter() - begin
        written = self._count() - before
        name = f"{united}:{note_path(_run_id(self._numbers(turn)[0]))}"
        whole = git(self.folder, "cat-file", "blob", name).splitlines()
        demand(len(whole) == _LINES + 2, "a line was lost")
        return seconds, written

    def _go_on(self, turn: int, side: int) -> str:
        """Return a commit that adds a line to each of `NEW` runs."""
        ref = f"refs/heads/state-{turn}-{side}"
        stream = [commit(ref, "more", {}, f"from {_SHARD}^0\n")]
        stream += [self._note(number, _LINES, f"side {side}") for number in self._numbers(turn)]
        git(self.folder, "fast-import", "--quiet", stdin=b"".join(stream))
        return git(self.folder, "rev-parse", ref).decode().strip()

    def _numbers(self, turn: int) -> list[int]:
        return [(turn * NEW + number) % self._runs for number in range(NEW)]

    def _note(self, number: int, lines: int, last: str = "") -> bytes:
        texts = [f"comment {line} on run {number}" for line in range(lines)]
        facts = [_remark(text) for text in (*texts, *([last] if last else []))]
        note = b"".join(fact + b"\n" for fact in facts)
        path = note_path(_run_id(number)).encode()
        return b"M 100644 inline %b\ndata %d\n%b\n" % (path, len(note), note)

    def _count(self) -> int:
        return int(git(self.folder, "count-objects").split()[0])


def _remark(comment: str) -> bytes:
    by = "Ada Lovelace <ada@example.org>"
    return encode_fact(RemarkFact(time="2026-01-31T12:00:00.000000Z", by=by, comment=comment))


def _run_id(number: int) -> str:
    """Return an id that is spread over the folders as those of commits are."""
    return f"{number * 0x9E3779B97F4A7C15 % (1 << 160):040x}"[::-1]
