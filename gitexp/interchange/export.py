"""Runs as JSON lines, CSV or Parquet, written to a stream of bytes.

JSON lines and CSV are written as the runs come: a run is decoded, written and forgotten, so that
100,000 take no more memory than the packed documents that the search returned.

JSON lines hold whole runs, exactly in the shape of ``--json``. CSV follows RFC 4180 in UTF-8. It
knows neither types nor missing values, so by this convention: numbers have all their digits,
times are RFC 3339 in UTC, booleans ``true`` and ``false``, lists and objects JSON, NaN and the
infinities the texts that stand for them in JSON, and what a run does not have an empty cell.

A spreadsheet takes a text that begins with one of ``= + - @`` for a formula, and a run's name may
come from anybody. Still texts are written as they are by default: an apostrophe put before them
would be read as part of the value by every other program, and would come back when the file is
imported. Who is going to open the file in a spreadsheet asks for `formula_safe`.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import IO, Any

import msgspec

from gitexp import frames
from gitexp.document import Document
from gitexp.errors import GitexpError
from gitexp.index.search import Found
from gitexp.render.text import to_json
from gitexp.table import Column, fill, row

Progress = Callable[[int, int], None]
"""Called with how many runs are written, and how many are to be."""

_STEP = 500
_FORMULA_STARTS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - spreadsheets take these too


def write_jsonl(found: Sequence[Found], stream: IO[bytes], progress: Progress | None) -> None:
    """Write runs as JSON lines: a run's document in each, with the escapes of ``--json``."""
    for each in _told(found, progress):
        stream.write(_json_line(each.document) + b"\n")


def _json_line(document: Document) -> bytes:
    line = msgspec.json.encode(document)
    if line.isascii() and b"\x7f" not in line:  # nothing to escape
        return line
    return msgspec.json.format(to_json(document), indent=-1).encode()


def write_csv(
    found: Sequence[Found],
    columns: Sequence[Column],
    stream: IO[bytes],
    progress: Progress | None,
    text: Callable[[str], str] = str,
) -> None:
    """Write runs as CSV, titles first.

    Args:
        found: The runs.
        columns: What to write of each.
        stream: Takes UTF-8.
        progress: Told how far it has got.
        text: What becomes of texts and titles, such as `formula_safe`.
    """
    writer = csv.writer(_Encoder(stream))
    writer.writerow([text(column.title) for column in columns])
    for each in _told(found, progress):
        writer.writerow([_cell(value, text) for value in row(each, columns)])


class _Encoder:
    """What a CSV writer writes to."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write(text.encode())


def formula_safe(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: an apostrophe before it says so."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text


def _cell(value: Any, text: Callable[[str], str]) -> str:
    kind = type(value)
    if kind is str:
        return text(value)
    if kind is int or (kind is float and math.isfinite(value)):
        return repr(value)
    return "" if value is None else _rare_cell(value, text)


def _rare_cell(value: Any, text: Callable[[str], str]) -> str:
    if isinstance(value, datetime):
        utc = value.astimezone(UTC).isoformat(timespec="microseconds")
        return utc.replace("+00:00", "Z")
    written = json.dumps(value, ensure_ascii=False)  # NaN and Infinity go by these names too
    return text(written) if isinstance(value, list | dict) else written


def write_parquet(
    found: Sequence[Found],
    columns: Sequence[Column],
    stream: IO[bytes],
    progress: Progress | None,
) -> None:
    """Write runs as a Parquet file with typed columns, as `gitexp.frames` decides them.

    A column without values is one of texts, unless it is a run's own: that has its type.

    Raises:
        GitexpError: PyArrow is not installed.
    """
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise GitexpError(
            "Parquet needs PyArrow, which is not installed.",
            "Install it with: pip install 'gitexp[arrow]'",
        ) from None
    time = pa.timestamp("us", tz="UTC")
    own = {"started": time, "ended": time, "duration": pa.float64(), "dirty": pa.bool_()}
    own |= dict.fromkeys(("seed", "calls", "exit_code"), pa.int64())
    table = frames.to_arrow(fill(_told(found, progress), columns))
    for place, field in enumerate(table.schema):
        if pa.types.is_null(field.type):
            column = table.column(place).cast(own.get(field.name, pa.string()))
            table = table.set_column(place, field.name, column)
    parquet.write_table(table, stream)


def _told(found: Sequence[Found], progress: Progress | None) -> Iterator[Found]:
    """Yield the runs and say now and then how many there have been."""
    for number, each in enumerate(found):
        if progress is not None and number % _STEP == 0:
            progress(number, len(found))
        yield each
    if progress is not None:
        progress(len(found), len(found))


def documents(found: Iterable[Found]) -> Iterator[Document]:
    """Yield the documents of runs, one decoded at a time."""
    return (each.document for each in found)
