"""`NamedTuple` without `typing`: importing that takes 3 of the 30 ms that a query may take.

Type checkers see the real one, and it behaves alike.
"""

from __future__ import annotations

from collections import namedtuple

TYPE_CHECKING = False

if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:

    class _NamedTupleType(type):
        """Turns a class with annotations into a named tuple of that name."""

        def __new__(mcs, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(mcs, name, bases, members)
            fields = members.get("__annotations__", {})
            defaults = [members.pop(field) for field in fields if field in members]
            base = namedtuple(name, fields, defaults=defaults)  # noqa: PYI024
            return type(name, (base,), {"__slots__": (), **members})

    class NamedTuple(metaclass=_NamedTupleType):
        """A named tuple whose fields are the annotations of the class."""


__all__ = ["NamedTuple"]
