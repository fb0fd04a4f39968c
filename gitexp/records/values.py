"""Turn what users pass in into what JSON can keep, or say which key cannot be kept.

Accepted beyond JSON's own types: NumPy and torch scalars and arrays, paths, dates and times,
enums, UUIDs, decimals, dataclasses, msgspec Structs, namespaces (`argparse`), mappings, tuples
and sets. Bytes are kept as base64 text. JSON has no NaN and no infinities: they are kept as the
texts ``NaN``, ``Infinity`` and ``-Infinity`` and come back as floats.
"""

from __future__ import annotations

import argparse
import base64
import decimal
import enum
import operator
import os
import types
import uuid
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time, timedelta
from typing import Any

import msgspec

from gitexp.errors import ValueRejectedError
from gitexp.records.nested import clean_text, number_to_json

MAX_DEPTH = 100
"""Deeper nesting is refused: nothing that people track is, and readers recurse."""

_SCALARS = frozenset({float, int, str, bool, type(None)})
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


def plain(value: Any, path: str = "", depth: int = 0) -> Any:
    """Return ``value`` as JSON types (dict, list, str, int, float, bool, None).

    Args:
        value: Anything a user passes as parameters, metadata or a tracked value.
        path: Dotted key path of ``value``, for messages.
        depth: How deeply it is nested so far.

    Raises:
        ValueRejectedError: Something in it cannot be kept; the message names its key path.
    """
    if depth > MAX_DEPTH:
        raise _rejected(path, f"is nested more than {MAX_DEPTH} levels deep")
    kind = type(value)
    if kind in _SCALARS:
        return _plain_scalar(value, path)
    if kind is dict:
        return _plain_dict(value, path, depth)
    if kind is list or kind is tuple:
        return [plain(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(value)]
    return plain(foreign(value, path), path, depth + 1)


def _plain_scalar(value: Any, path: str) -> Any:
    if type(value) is float:
        return number_to_json(value)
    if type(value) is str:
        return clean_text(value)
    if type(value) is int and not _INT_MIN <= value <= _INT_MAX:
        raise _rejected(path, "is an integer of more than 64 bits")
    return value


def foreign(value: Any, path: str = "") -> Any:
    """Return a value of some library's type as the nearest of Python's own types.

    One step only: the result may hold further foreign values.

    Raises:
        ValueRejectedError: There is no faithful way to keep it.
    """
    converted = _convert_standard(value)
    if converted is not _UNKNOWN:
        return converted
    converted = _convert_array(value)
    if converted is not _UNKNOWN:
        return converted
    raise _rejected(path, f"is of type {type(value).__name__}, which JSON cannot keep")


_UNKNOWN = object()


_CONVERTERS: tuple[tuple[tuple[type, ...], Callable[[Any], Any]], ...] = (
    ((enum.Enum,), operator.attrgetter("value")),
    ((int,), int),  # subclasses of the built-in types
    ((float,), float),
    ((str,), str),
    ((os.PathLike,), os.fsdecode),
    ((datetime, date, time), operator.methodcaller("isoformat")),
    ((timedelta,), timedelta.total_seconds),
    ((uuid.UUID, decimal.Decimal), str),
    ((bytes, bytearray, memoryview), lambda value: base64.b64encode(value).decode("ascii")),
    ((Mapping,), dict),
    ((list, tuple, range), list),
    ((AbstractSet,), lambda value: sorted(value, key=repr)),
    ((argparse.Namespace, types.SimpleNamespace), vars),
    ((msgspec.Struct,), msgspec.structs.asdict),
)


def _convert_standard(value: Any) -> Any:
    """Convert types of the standard library and msgspec; `_UNKNOWN` for any other."""
    for kinds, convert in _CONVERTERS:
        if isinstance(value, kinds):
            return convert(value)
    if hasattr(value, "__dataclass_fields__") and not isinstance(value, type):
        return {name: getattr(value, name) for name in value.__dataclass_fields__}
    return _UNKNOWN


def _convert_array(value: Any) -> Any:
    """Convert what looks like a NumPy or torch scalar or array; `_UNKNOWN` for any other."""
    if hasattr(value, "detach"):  # a torch tensor, wherever its memory is
        value = value.detach()
    if not hasattr(value, "shape") or not hasattr(value, "tolist"):
        return _UNKNOWN
    items = value.tolist()
    return str(items) if isinstance(items, complex) else items


def _plain_dict(value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, item in value.items():
        name = clean_text(key) if type(key) is str else _key_text(key, path)
        if name in result:
            raise _rejected(path, f"has the key {name!r} twice, in different types")
        result[name] = plain(item, f"{path}.{name}" if path else name, depth + 1)
    return result


def _key_text(key: Any, path: str) -> str:
    if isinstance(key, enum.Enum):
        key = key.value
    if isinstance(key, str | int | float | bool | os.PathLike):
        return clean_text(os.fsdecode(key) if isinstance(key, os.PathLike) else str(key))
    raise _rejected(path, f"has a key of type {type(key).__name__}")


def require_text(value: Any, path: str) -> str:
    """Return a text that JSON can hold.

    Raises:
        ValueRejectedError: The value is no text.
    """
    if not isinstance(value, str):
        raise ValueRejectedError(
            f"{path} is of type {type(value).__name__}, not a text.", f"Pass a str as {path}."
        )
    return clean_text(value)


def require_integer(value: Any, path: str) -> int:
    """Return an integer of at most 64 bits.

    Raises:
        ValueRejectedError: The value is no integer (a bool is none), or too large.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or not -(1 << 63) <= number < 1 << 63:
        raise ValueRejectedError(
            f"{path} is {value!r}, not a whole number of at most 64 bits.",
            f"Pass an integer as {path}.",
        )
    return number


def _rejected(path: str, why: str) -> ValueRejectedError:
    what = f"The value at {path!r}" if path else "The value"
    return ValueRejectedError(f"{what} {why}.", "Convert it to numbers, texts, lists or dicts.")
