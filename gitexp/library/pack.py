"""The pack: the methods that come with gitexp, for small language models and their optimisers.

They are data (``pack.json``, beside this module), each with a reference that was looked up. Every
clone has the same pack, so it is in no shard; a method of one's own with the same slug takes the
place of the pack's (`gitexp.library.library`). ``docs/methods.md`` is made of it.
"""

from __future__ import annotations

import functools
from importlib import resources

import msgspec

from gitexp.records.library import Method

VERSION = 1
"""Of the pack's content; rankers and evaluations name it."""
TIME = "2026-11-21T00:00:00.000000Z"
"""When this version was made: the time of all its lines."""
BY = "gitexp <gitexp@localhost>"


@functools.cache
def pack() -> tuple[Method, ...]:
    """Return the methods of the pack, by family and then by slug."""
    text = resources.files("gitexp.library").joinpath("pack.json").read_bytes()
    cards = msgspec.json.decode(text, type=list[dict[str, object]])
    lines = [{"kind": "method", "time": TIME, "by": BY} | card for card in cards]
    return tuple(msgspec.convert(lines, type=list[Method]))


def is_of_pack(method: Method) -> bool:
    """Say whether a method is as the pack has it."""
    return method in pack()
