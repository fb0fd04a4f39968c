"""Write docs/methods.md, the pack for readers: ``python -m gitexp.cli.methods_page``.

A test fails while the checked-in file differs from what this module makes.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path

from gitexp.library.pack import VERSION, pack
from gitexp.methods.chains import reference_url
from gitexp.records.library import Knob, Method, Reference
from gitexp.render.text import number

_HEAD = """\
# The methods that come with gitexp

Written by `python -m gitexp.cli.methods_page`; do not edit. Edit `gitexp/library/pack.json`.

This is the *pack*, version {version}: {count} methods for small language models and their
optimisers. `git exp methods list` shows them with those of your own, `git exp methods show METHOD`
one with what came of it in your repository. A method of your own with the same slug takes a
method's place (`git exp methods edit`), and `git exp methods rm` takes one out.

Titles and ids of the references were looked up when the pack was made. Ranges of knobs are where
to look first, not limits. *Recognised by* are the words that credit a run with the method: all
words of one entry must stand in the lines that the run's code adds to its base, in any case of
letters, and at least one must be new ([library.md](library.md), "Words").
"""


def markdown(methods: Sequence[Method]) -> str:
    """Return docs/methods.md."""
    ordered = sorted(methods, key=lambda method: (method.family, method.slug))
    families = [(name, list(found)) for name, found in groupby(ordered, lambda m: m.family)]
    lines = [_HEAD.format(version=VERSION, count=len(methods))]
    for family, found in families:
        links = ", ".join(f"[{_text(method.name)}](#{method.slug})" for method in found)
        lines.append(f"* {family}: {links}")
    for family, found in families:
        lines += ["", f"## {family.capitalize()}"]
        for method in found:
            lines += _method(method)
    return "\n".join(lines) + "\n"


def _method(method: Method) -> list[str]:
    names = [_text(method.name), *map(_text, method.aliases)]
    return [
        "",
        f"### {method.slug}",
        "",
        f"**{'; '.join(names)}.** {_text(method.summary)}",
        "",
        *_item("Apply", [_text(method.apply)]),
        *_item("Knobs", map(_knob, method.knobs)),
        *_item("Risks", [_text(" ".join(method.risks))]),
        *_item("Scope", [_text(method.scope)]),
        *_item("Meant to replace", [f"[{slug}](#{slug})" for slug in method.supersedes]),
        *_item("Recognised by", [", ".join(map(_entry, method.signature))]),
        *_item("Described in", map(_reference, method.references)),
    ]


def _item(title: str, texts: Iterable[str]) -> list[str]:
    shown = [text for text in texts if text]
    if not shown:
        return []
    joined = "; ".join(text.removesuffix(".") for text in shown)
    return [f"* {title}: {joined}."]


def _knob(knob: Knob) -> str:
    if knob.choices:
        return f"`{knob.symbol}` ({_text(knob.name)}: {', '.join(knob.choices)})"
    limits = " to ".join(number(limit) for limit in (knob.low, knob.high) if limit is not None)
    scale = ", logarithmic" if knob.scale == "log" else ""
    return f"`{knob.symbol}` ({_text(knob.name)}: {limits}{scale})"


def _entry(words: Sequence[str]) -> str:
    return " with ".join(f"`{word}`" for word in words)


def _reference(reference: Reference) -> str:
    url = reference_url(reference)
    title = _text(reference.title)
    return f"[{title}]({url})" if url else title


def _text(text: str) -> str:
    return re.sub(r"([*_<>|\[\]])", r"\\\1", text)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if sys.argv[1:] else Path("docs/methods.md")
    target.write_text(markdown(pack()), encoding="utf-8")
