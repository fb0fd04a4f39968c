"""What a change does, whatever its layout: edits of tokens, their digest, shingles, a sketch.

Old and new text of each file become lines of tokens (`gitexp.research.guard.tokens`), and those are
compared, so that white space and comments make no difference at all. A change has

* a *digest*: of its files and of the lines that go and come in each, in any order and wherever
  they stand. Two runs that made the same change to different bases share it, as they would share
  git's patch id, which depends on three lines around each hunk besides;
* *shingles*: each four tokens in a row of the lines that go or come, with a sign. Jaccard index
  and containment of two changes are those of their shingles, and MinHash (Broder 1997, 64 minima
  of 32 bits) in bands of two finds the changes worth comparing;
* *places*: the functions and classes that it touches, with a digest of what they were before, or
  of the three lines above and below where a touched line is in none.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import xxhash

from gitexp.git.patches import FileChange, Hunk, line_hunks
from gitexp.research.guard.tokens import JOINT, Line, split_lines

SKETCH = 64
_LANES = 4
_BAND_ROWS = 2
_SHINGLE = 4
_MAX_SHINGLES = 2048
"""Of one change, those with the smallest hashes: a sample that two changes take alike."""
_MAX_TOKENS = 60_000
"""Of one side of a hunk that count for shingles; the digest is of all."""
_AROUND = 3
_HEAD_LENGTH = 200
_MAX_ABOVE = 2000
_MAX_BLOCK = 400
_MAX_PLACED = 1000
"""Edits of one file that are looked at for where they stand; more are no experiment of hands."""
_REMEMBERED_BYTES = 200_000
_SAMPLE_LINES = 12
_SAMPLE_WIDTH = 160

_HEAD = re.compile(
    r"^(?:\w+ )*?(?:def|class|fn|func|function|struct|impl|trait|interface|enum|kernel) ([\w.]+)"
)
_C_HEAD = re.compile(r"^(?!(?:if|for|while|switch|else|catch|return|do)\b)[^=]*?(\w+) \(")
_FUNCTION = re.compile(r"^(?:\w+ )*?(?:def|fn|func|function|kernel) ")


class Edit(NamedTuple):
    """Lines that go, and those that come in their place.

    Attributes:
        place: The function or class that they are in, as ``Model.forward``; empty for none.
        around: Digest of what that was before, or of the lines above and below, 8 bytes.
    """

    path: str
    removed: tuple[Line, ...]
    added: tuple[Line, ...]
    place: str
    around: bytes


class Patch(NamedTuple):
    """A change.

    Attributes:
        digest: 16 bytes; empty for a change that changes nothing.
        context: Digest of what stood around it, 16 bytes.
        places: The touched functions and classes, as ``path:Model.forward``, sorted.
        shingles: Hashes of 32 bits.
        sample: Some of its lines as they are written, with their signs.
        edits: What it consists of, as far as files are text.
        opaque: Paths of the files that count by their blobs alone.
    """

    digest: bytes
    context: bytes
    places: tuple[str, ...]
    shingles: frozenset[int]
    sample: tuple[str, ...]
    edits: tuple[Edit, ...]
    opaque: tuple[str, ...]


def patch_of(files: Iterable[FileChange]) -> Patch:
    """Return what a change does."""
    edits: list[Edit] = []
    lines: list[str] = []
    opaque: list[str] = []
    for file in files:
        if file.old is None or file.new is None:
            opaque.append(file.path)
            lines.append(f"{file.path}\n{file.old_id} {file.new_id}")
            continue
        mine = list(edits_of(file.path, file.old, file.new))
        edits += mine
        lines += _signed_lines(file, mine)
    shingles = _sampled(_shingles(edits))
    return Patch(
        _digest(sorted(lines)) if lines else b"",
        _digest([JOINT.join((edit.path, edit.around.hex())) for edit in edits]),
        tuple(sorted({f"{_printable(edit.path)}:{edit.place}" for edit in edits})),
        shingles,
        tuple(_sample(edits)),
        tuple(edits),
        tuple(opaque),
    )


def _printable(path: str) -> str:
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _signed_lines(file: FileChange, edits: Sequence[Edit]) -> list[str]:
    """Return what goes and comes in a file, a text each; lines that only move cancel out.

    The depth of a line does not count: on another base the same lines may be in another block.
    """
    counts: Counter[str] = Counter()
    for edit in edits:
        counts.update(JOINT.join(line.tokens) for line in edit.added)
        counts.subtract(JOINT.join(line.tokens) for line in edit.removed)
    lines = [f"{file.path}\n{count:+d}{line}" for line, count in counts.items() if count]
    if edits and not lines:  # nothing but moves, or other depths: that is the change
        return [f"{file.path}\n~{_text(line)}" for edit in edits for line in edit.added]
    return lines


def _text(line: Line) -> str:
    return f"{line.depth}{JOINT}{JOINT.join(line.tokens)}"


def _digest(texts: Iterable[str]) -> bytes:
    return xxhash.xxh3_128_digest("\n\n".join(texts).encode("utf-8", "surrogateescape"))


def edits_of(path: str, old: bytes, new: bytes) -> Iterator[Edit]:
    """Yield how the code of a file changed; comments and spaces do not count."""
    (before, old_text), (after, new_text) = _lines(path, old), _lines(path, new)
    for number, hunk in enumerate(line_hunks(old_text, new_text)):
        removed = before[hunk.old_start : hunk.old_start + hunk.removed]
        added = after[hunk.new_start : hunk.new_start + hunk.added]
        if _nested(removed) == _nested(added):  # broken into lines in another way
            continue
        indent = (removed or added)[0].indent
        place, around = _surroundings(before, hunk, indent) if number < _MAX_PLACED else ("", b"")
        yield Edit(path, tuple(removed), tuple(added), place, around)


def _lines(path: str, content: bytes) -> tuple[list[Line], bytes]:
    """Return the lines of a file, and a text of them for git's diff."""
    return (_read if len(content) > _REMEMBERED_BYTES else _remembered)(path, content)


def _read(path: str, content: bytes) -> tuple[list[Line], bytes]:
    lines = split_lines(path, content)
    return lines, _joined(lines)


_remembered = lru_cache(maxsize=32)(_read)
"""One base is that of many runs."""


def _joined(lines: Iterable[Line]) -> bytes:
    text = "".join(f"{_text(line)}\n" for line in lines)
    return text.encode("utf-8", "surrogateescape")


def _flat(lines: Iterable[Line]) -> list[str]:
    return [token for line in lines for token in line.tokens]


def _nested(lines: Iterable[Line]) -> list[tuple[int, str]]:
    return [(line.depth, token) for line in lines for token in line.tokens]


def _surroundings(lines: Sequence[Line], hunk: Hunk, indent: int) -> tuple[str, bytes]:
    """Return the place that a hunk is in, and a digest of what that was."""
    names: list[str] = []
    start = end = None
    for at in range(hunk.old_start - 1, max(-1, hunk.old_start - _MAX_ABOVE), -1):
        if not indent:
            break
        if lines[at].indent >= indent:
            continue
        indent = lines[at].indent
        name, is_function = _head(lines[at])
        names += [name] if name else []
        if is_function and start is None:
            start, end = at, _block_end(lines, at)
    if start is None or end is None:
        start = max(0, hunk.old_start - _AROUND)
        end = hunk.old_start + hunk.removed + _AROUND
    region = _joined(lines[start:end])
    return ".".join(reversed(names)), xxhash.xxh3_64_digest(region)


def _head(line: Line) -> tuple[str, bool]:
    """Return what a line is the head of, empty for nothing, and whether that is a function."""
    text = " ".join(line.tokens[:_HEAD_LENGTH])[:_HEAD_LENGTH]
    if found := _HEAD.match(text):
        return found[1], _FUNCTION.match(text) is not None
    found = _C_HEAD.match(text) if line.tokens[-1] in "{)" else None
    return (found[1], True) if found else ("", False)


def _block_end(lines: Sequence[Line], head: int) -> int:
    indent, last = lines[head].indent, min(len(lines), head + _MAX_BLOCK)
    for at in range(head + 1, last):
        if lines[at].indent <= indent and lines[at].tokens[0] not in ")}]":
            return at
    return last


def _shingles(edits: Iterable[Edit]) -> set[int]:
    found: set[int] = set()
    for edit in edits:
        for sign, lines in (("-", edit.removed), ("+", edit.added)):
            tokens = _flat(lines)[:_MAX_TOKENS]
            for at in range(max(1, len(tokens) - _SHINGLE + 1) if tokens else 0):
                text = sign + JOINT.join(tokens[at : at + _SHINGLE])
                found.add(xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogateescape")))
    return found


def _sampled(hashes: set[int]) -> frozenset[int]:
    short = {value & 0xFFFFFFFF for value in hashes}
    return frozenset(sorted(short)[:_MAX_SHINGLES])


def sketch_of(shingles: Iterable[int]) -> tuple[int, ...]:
    """Return the MinHash of shingles: of each of 64 hash functions the smallest value.

    It has `SKETCH` numbers of 32 bits; none where there is no shingle.
    """
    rows = [_hashes(shingle.to_bytes(4, "little")) for shingle in shingles]
    return tuple(map(min, zip(*rows, strict=True)))


def _hashes(shingle: bytes) -> list[int]:
    """Return 64 hashes of 32 bits: four of each of 16 seeds of xxh3."""
    wide = [xxhash.xxh3_128_digest(shingle, seed) for seed in range(SKETCH // _LANES)]
    return list(memoryview(b"".join(wide)).cast("I"))


def bands(sketch: Sequence[int]) -> list[int]:
    """Return the keys under which a change is found: 63 bits of each two minima in a row."""
    return [
        (at << 56 ^ sketch[at] << 31 ^ sketch[at + 1] * 0x9E3779B1) & 0x7FFFFFFFFFFFFFFF
        for at in range(0, len(sketch), _BAND_ROWS)
    ]


def likeness(one: frozenset[int], two: frozenset[int]) -> tuple[float, float]:
    """Return the Jaccard index of two sets of shingles, and how much of the smaller is in both."""
    if not one or not two:
        return 0.0, 0.0
    both = len(one & two)
    return both / (len(one) + len(two) - both), both / min(len(one), len(two))


def _sample(edits: Sequence[Edit]) -> Iterator[str]:
    """Yield lines of a change for a person, those of every edit in turn."""
    left = _SAMPLE_LINES
    for edit in edits:
        for sign, lines in (("-", edit.removed), ("+", edit.added)):
            for line in lines[:left]:
                yield f"{sign} {line.raw[:_SAMPLE_WIDTH]}"
            left = max(0, left - len(lines))
