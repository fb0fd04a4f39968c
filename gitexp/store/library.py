"""Library lines <-> the library shard: one commit per batch, and reading all shards in bulk.

The tree has one file of JSON lines for each paper, the chunks of each paper, and each method, so
that what is said of one thing stands together. Events (retrievals, proposals, lessons, usage) only
add up, and there may be thousands a month: each batch of them is a small new file of its own,
named by its digest below its month, so that writing one costs the same however many there are.

An id becomes a path only if it is one (docs/format.md, "Library").
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec
import xxhash

from gitexp.errors import ValueRejectedError
from gitexp.git.repository import Repository
from gitexp.records.facts import BadLineError, OpaqueFact, decode_tagged
from gitexp.records.library import (
    Chunk,
    Event,
    LibraryLine,
    Method,
    Paper,
    Withdrawal,
)
from gitexp.records.times import parse_time
from gitexp.store.batch import Batch, join_lines, split_lines, write_batch
from gitexp.store.problem import Problem
from gitexp.store.read import decode_lines
from gitexp.store.shard import shard_name

PAPERS, CHUNKS, METHODS, EVENTS = "papers/", "chunks/", "methods/", "events/"
"""The folders of the tree."""

_PAPER = re.compile(r"arxiv-[A-Za-z0-9][A-Za-z0-9.-]{0,63}|(?:file|repo)-[0-9a-f]{12}")
_SLUG = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_MAX_SLUG = 64
_EVENT = re.compile(r"[0-9a-f]{16}")
_NUMBER = re.compile(r"[0-9]{1,9}")
_TIME = re.compile(r"\d{4}-(?:0\d|1[0-2])-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_EVENT_PATH = re.compile(rb"events/\d{4}-(?:0\d|1[0-2])/[0-9a-f]{2}/[0-9a-f]{30}")

KINDS = frozenset(
    {"paper", "chunk", "method", "withdrawal", "retrieval", "proposal", "lesson", "usage"}
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[LibraryLine] = msgspec.json.Decoder(LibraryLine)


def is_paper_id(text: str) -> bool:
    """Say whether a text is the id of a paper."""
    return _PAPER.fullmatch(text) is not None


def is_slug(text: str) -> bool:
    """Say whether a text can be the slug of a method: short, and no id of a paper."""
    return len(text) <= _MAX_SLUG and bool(_SLUG.fullmatch(text)) and not is_paper_id(text)


def text_digest(text: str) -> str:
    """Return the xxh3-128 of a text in UTF-8, as 32 hexadecimal digits."""
    return xxhash.xxh3_128_hexdigest(text.encode())


def is_digest_of(digest: str, text: str) -> bool:
    """Say whether a digest is that of a text; of one that is no Unicode none is."""
    try:
        return text_digest(text) == digest
    except UnicodeEncodeError:
        return False


def encode_line(line: LibraryLine) -> bytes:
    """Return a line of the library as JSON, without its line end.

    Raises:
        ValueRejectedError: It holds what the format cannot keep: a number that is not finite,
            a text that is no Unicode, an id that is none.
    """
    reason = "it would not come back as it is (a number that is not finite, a list for a tuple)"
    try:
        raw = _encoder.encode(line)
        if decode_line(raw) == line:
            return raw
    except (BadLineError, UnicodeEncodeError, OverflowError, TypeError) as error:
        reason = str(error)
    raise ValueRejectedError(f"This {kind_of(line)} cannot be kept: {reason}.")


def decode_line(raw: bytes) -> LibraryLine | OpaqueFact:
    """Return what stands on a line; a kind or a schema that is not known is kept as it is.

    Raises:
        BadLineError: The line is damaged.
    """
    line = decode_tagged(raw, _decoder, KINDS)
    if isinstance(line, OpaqueFact):
        return line
    reason = _fault(line)
    if reason:
        raise BadLineError(reason)
    return line


def kind_of(line: LibraryLine) -> str:
    """Return the kind of a line, as it stands on it."""
    return str(line.__struct_config__.tag)


def id_of(line: LibraryLine) -> str:
    """Return the id of what a line is about; of a method its slug."""
    return line.slug if isinstance(line, Method) else line.id


def _fault(line: LibraryLine) -> str:
    """Return what is wrong with a line whose fields have the right types; empty for nothing."""
    if not _is_time(line.time):
        return f"its time {line.time[:40]!r} is not one of the format"
    match line:
        case Method():
            valid, shown = is_slug(line.slug), line.slug
        case Withdrawal():
            valid, shown = is_slug(line.id) or is_paper_id(line.id), line.id
        case Paper():
            valid, shown = is_paper_id(line.id), line.id
        case Chunk():
            number = line.id.removeprefix(f"{line.paper}.")
            valid = is_paper_id(line.paper) and _NUMBER.fullmatch(number) is not None
            shown = line.id
        case _:
            valid, shown = _EVENT.fullmatch(line.id) is not None, line.id
    return "" if valid else f"{shown[:80]!r} is no id of a {kind_of(line)}"


def _is_time(text: str) -> bool:
    try:
        return _TIME.fullmatch(text) is not None and parse_time(text) is not None
    except ValueError:
        return False


def path_of(line: LibraryLine) -> str:
    """Return where a line stands in the shard's tree; of an event, the folder of its month."""
    match line:
        case Paper():
            return PAPERS + line.id
        case Chunk():
            return CHUNKS + line.paper
        case Method():
            return METHODS + line.slug
        case Withdrawal():
            return (PAPERS if is_paper_id(line.id) else METHODS) + line.id
        case _:
            return EVENTS + line.time[:7]


def add_lines(repository: Repository, lines: Sequence[LibraryLine]) -> None:
    """Add lines to this clone's shard of the library, in one commit.

    Lines that are there already change nothing. Nobody else's shard is written.

    Raises:
        ValueRejectedError: A line cannot be kept; nothing was written.
        ConflictError: Others kept winning the race for the ref.
        GitexpError: An object could not be written.
    """
    wanted = _by_path(lines)
    if wanted:
        write_batch(repository, shard_name(repository), Batch(library=wanted))


def _by_path(lines: Iterable[LibraryLine]) -> dict[str, list[bytes]]:
    """Return path -> encoded lines; a batch of events gets the file that its digest names."""
    grouped: dict[str, dict[bytes, None]] = {}
    for line in lines:
        grouped.setdefault(path_of(line), {})[encode_line(line)] = None
    return {
        event_path(path, found) if path.startswith(EVENTS) else path: list(found)
        for path, found in grouped.items()
    }


def event_path(month: str, lines: Iterable[bytes]) -> str:
    """Return the path of a batch of events: below its month, by the digest of its lines."""
    digest = xxhash.xxh3_128_hexdigest(join_lines(lines))
    return f"{month}/{digest[:2]}/{digest[2:]}"


def unite_library_lines(files: Sequence[bytes]) -> bytes:
    """Return the file that holds the lines of several, each once.

    It is one of them as it is where that holds all; else the lines are sorted.
    """
    sets = [frozenset(split_lines(file)) for file in files]
    united = frozenset().union(*sets)
    whole = [file for file, lines in zip(files, sets, strict=True) if lines == united]
    return min(whole) if whole else join_lines(sorted(united))


def is_library_path(path: bytes) -> bool:
    """Say whether a file of a library shard can stand at a path."""
    text = path.decode("ascii", "replace")
    for folder in (PAPERS, CHUNKS):
        if text.startswith(folder):
            return is_paper_id(text.removeprefix(folder))
    if text.startswith(METHODS):
        return is_slug(text.removeprefix(METHODS))
    return _EVENT_PATH.fullmatch(path) is not None


def decode_file(
    ref: str, path: bytes, content: bytes, seen: Collection[bytes] = ()
) -> Iterator[tuple[LibraryLine | OpaqueFact, bytes] | Problem]:
    """Yield what a file of a library shard says with the line as it stands there.

    Args:
        ref: Of the shard; problems name it as ``REF:PATH``, which git understands.
        path: Where the file stands in the tree.
        content: Its content.
        seen: Lines that are left out.
    """
    where = Problem(place(ref, path), "", 0, "")
    return decode_lines(where, content, lambda raw: (_decode_at(path, raw), raw), seen, "file")


def place(ref: str, path: bytes) -> str:
    """Return how git calls a file of a shard: ``REF:PATH``."""
    return f"{ref}:{path.decode('utf-8', 'backslashreplace')}"


def _decode_at(path: bytes, raw: bytes) -> LibraryLine | OpaqueFact:
    """Return what stands on a line of a file.

    Raises:
        BadLineError: It is damaged, or belongs in another file.
    """
    line = decode_line(raw)
    if isinstance(line, OpaqueFact):
        return line
    wanted = path_of(line)
    ours = path.startswith(EVENTS.encode()) if isinstance(line, Event) else path == wanted.encode()
    if not ours:
        raise BadLineError(f"a {kind_of(line)} of {wanted} stands in the wrong file")
    return line
