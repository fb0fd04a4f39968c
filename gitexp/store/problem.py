"""What is wrong with the store, and where."""

from __future__ import annotations

from gitexp.light import NamedTuple


class Problem(NamedTuple):
    """Something in the store that could not be read, and where it is."""

    ref: str
    run: str
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"{self.ref}, run {self.run[:12]}" if self.run else self.ref
        return (
            f"{place}, line {self.line}: {self.reason}" if self.line else f"{place}: {self.reason}"
        )
