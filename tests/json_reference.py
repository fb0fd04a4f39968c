"""What docs/reference/json.md says of ``--json``, and how to hold an answer against it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NAMED = {
    "run": "A run",
    "decision": "A decision",
    "note": "A run in short",
    "contender": "A contender",
    "comparison": "A comparison",
    "step": "A step",
    "cluster": "A cluster",
    "spend": "Spend",
    "tokens": "Spent tokens",
    "paper": "A paper",
    "passage": "A passage",
    "card": "A method's card",
    "outcome": "What came of a run",
    "chain": "A chain",
}

REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "json.md"
ROW = re.compile(r"\| `(?P<key>[^`]+)` \| (?P<type>[^|]*) \|")
SEGMENT = re.compile(r"<[^>]+>|\[\]|[^.\[\]]+")

Keys = dict[tuple[str, ...], str]


def documented() -> dict[str, Keys]:
    """Return heading -> key path -> type; ``[]`` is an element, ``*`` any key."""
    sections: dict[str, Keys] = {}
    for line in REFERENCE.read_text().splitlines():
        if line.startswith("## "):
            sections[line[3:]] = {}
        elif match := ROW.match(line):
            words = SEGMENT.findall(match["key"]) if match["key"] != "." else []
            path = tuple("*" if word.startswith("<") else word for word in words)
            sections[list(sections)[-1]][path] = match["type"].strip()
    return sections


def expanded(section: str) -> Keys:
    """Return what a section says with the objects put in that it names: a run, say."""
    keys: Keys = {}
    for path, kind in documented()[section].items():
        if kind in NAMED:
            keys |= {path + rest: inner for rest, inner in expanded(NAMED[kind]).items()}
        else:
            keys[path] = kind
    return keys


def produced(value: Any, keys: Keys, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every leaf, as the documentation would write it."""
    if keys.get(path) == "free":
        yield path
    elif isinstance(value, dict):
        inside = {known[len(path)] for known in keys if known[: len(path)] == path != known}
        for name, item in value.items():
            yield from produced(item, keys, (*path, "*" if inside == {"*"} else name))
    elif isinstance(value, list):
        for item in value:
            yield from produced(item, keys, (*path, "[]"))
    else:
        yield path


def check(section: str, *outputs: Any) -> None:
    """Hold that answers have together exactly the keys that are documented."""
    keys = expanded(section)
    found = within(section, *outputs)
    assert sorted(set(keys) - found) == [], "documented and not printed"


def within(section: str, *outputs: Any) -> set[tuple[str, ...]]:
    """Hold that answers have no keys but those that are documented, and return what they have."""
    keys = expanded(section)
    found = {path for output in outputs for path in produced(output, keys)}
    assert sorted(found - set(keys)) == [], "printed and not documented"
    return found
