"""Values as JSON can hold them: numbers that it has no words for, odd texts, leaves by path.

JSON has no NaN and no infinities: they are kept as the texts ``NaN``, ``Infinity`` and
``-Infinity`` and come back as floats. Nothing here needs a library: readers start with it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_AS_IS = frozenset({int, str, bool, type(None)})


def number_to_json(value: float) -> float | str:
    """Return a float as JSON can hold it: itself when finite, else one of the three texts."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def number_from_json(value: Any) -> Any:
    """Return the float that one of the three texts stands for; anything else unchanged."""
    return _NON_FINITE.get(value, value) if type(value) is str else value


def restore_numbers(value: Any) -> Any:
    """Return a decoded JSON value with the three texts turned back into floats, at any depth."""
    if type(value) is dict:
        return {key: restore_numbers(item) for key, item in value.items()}
    if type(value) is list:
        return [restore_numbers(item) for item in value]
    return number_from_json(value)


def json_numbers(value: Any) -> Any:
    """Return a value with its non-finite floats as JSON's texts, at any depth.

    The inverse of `restore_numbers`.
    """
    if type(value) in _AS_IS:
        return value
    if isinstance(value, float):
        return number_to_json(value)
    if isinstance(value, dict):
        return {key: json_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [json_numbers(item) for item in value]
    return value


def clean_text(text: str) -> str:
    r"""Return a text that UTF-8 can encode: lone surrogates (odd file names) as ``\xNN``."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raw = text.encode("utf-8", "surrogatepass" if _has_wide(text) else "surrogateescape")
        return raw.decode("utf-8", "backslashreplace")
    return text


def _has_wide(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" and not "\udc80" <= c <= "\udcff" for c in text)


def flatten(value: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested dicts as one dict of dotted paths to leaves; empty dicts are leaves."""
    result: dict[str, Any] = {}
    for key, item in value.items():
        path = f"{prefix}.{key}" if prefix else str(key)
        if isinstance(item, dict) and item:
            result.update(flatten(item, path))
        else:
            result[path] = item
    return result
