"""A method as a card that people and agents write: JSON or TOML <-> a line of the library.

A card has the fields of `gitexp.records.library.Method` but for what the library puts in (kind,
schema, time, author). What a card must be like is said here once, for what is added and edited; the
pack is held to it too. Lines that others shared are not: they are shown as they are, safely.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from gitexp.errors import GitexpError, UsageError
from gitexp.records.library import Knob, Method, Reference
from gitexp.store.library import is_paper_id, is_slug

MAX_BYTES = 200_000
TEXTS = {"name": 100, "family": 40, "summary": 2_000, "apply": 2_000, "scope": 500}
"""Fields that are one text, each with the most characters that it may have."""
_LISTS = {"aliases": 100, "risks": 500, "supersedes": 64}
"""Fields that are texts, with the most characters that one of them may have."""
_MAX_ITEMS = 100
_REQUIRED = ("slug", "name", "family", "summary")
_OWN = frozenset({"kind", "schema", "time", "by"})
_WORD = re.compile(r"[a-z_]\w{1,79}", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]")
_URL = re.compile(r"https?://[^\s\x00-\x1f@]+")
_ARXIV = re.compile(
    r"(?:arxiv:|https?://(?:www\.)?arxiv\.org/(?:abs|pdf)/)?(\d{4}\.\d{4,5})(?:v\d+)?",
    re.IGNORECASE,
)

TEMPLATE = """\
{
  "slug": "my-method",
  "name": "My method",
  "aliases": [],
  "family": "optimizer",
  "summary": "What it is and why it should help, one paragraph.",
  "knobs": [
    {"name": "learning rate", "symbol": "my_lr", "low": 0.001, "high": 0.1, "scale": "log"},
    {"name": "variant", "symbol": "my_variant", "scale": "choice", "choices": ["a", "b"]}
  ],
  "signature": [["my_method"], ["my_step", "my_lr"]],
  "apply": "How to put it into a training script, in two to four sentences.",
  "risks": ["What goes wrong, a sentence each."],
  "scope": "Where it was shown to help.",
  "references": [{"title": "Title of the paper", "paper": "arxiv-2401.00001", "section": "3"}],
  "supersedes": []
}
"""


def card_of(method: Method) -> dict[str, Any]:
    """Return a method as JSON types: every field of a card, in the order of the template."""
    fields: dict[str, Any] = msgspec.to_builtins(method)
    return {
        name: fields.get(name, msgspec.to_builtins(getattr(method, name)))
        for name in json.loads(TEMPLATE)
    }


def card_text(method: Method) -> str:
    """Return a method as a card in JSON, such as `parse_card` reads."""
    return json.dumps(card_of(method), indent=2, ensure_ascii=False) + "\n"


def parse_card(content: bytes, stamp: tuple[str, str]) -> Method:
    """Return the method that a card describes.

    Args:
        content: JSON where it begins with a brace, else TOML.
        stamp: Time and author of the new line.

    Raises:
        GitexpError: It is no card; the message says where.
    """
    if len(content) > MAX_BYTES:
        raise GitexpError("The card is too long.", f"It may have at most {MAX_BYTES:,} bytes.")
    try:
        text = content.decode()
        card = json.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # also what is no UTF-8, and bad TOML
        raise GitexpError(f"The card cannot be read: {error}.", _HINT) from error
    return method_of(card, stamp)


def method_of(card: Mapping[str, Any], stamp: tuple[str, str]) -> Method:
    """Return the method that the fields of a card describe.

    Raises:
        GitexpError: They are not those of a card.
    """
    fields = json.loads(TEMPLATE)
    for name in card:
        if name not in fields and name not in _OWN:
            near = difflib.get_close_matches(name, fields, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else _HINT
            raise GitexpError(f"A card has no field {name[:40]!r}.", hint)
    missing = [name for name in _REQUIRED if not card.get(name)]
    if missing:
        raise GitexpError(f"The card says no {' and no '.join(missing)}.", _HINT)
    line = {name: value for name, value in card.items() if name not in _OWN}
    try:
        method = msgspec.convert({"kind": "method", **_stamped(stamp), **line}, Method)
    except (msgspec.ValidationError, TypeError, OverflowError) as error:
        raise GitexpError(f"The card cannot be understood: {error}.", _HINT) from error
    signature = tuple(tuple(word.lower() for word in entry) for entry in method.signature)
    method = msgspec.structs.replace(method, signature=signature)
    fault = fault_of(method)
    if fault:
        raise GitexpError(f"The card cannot be taken: {fault}.", _HINT)
    return method


_HINT = "See 'git exp methods add --template'."


def _stamped(stamp: tuple[str, str]) -> dict[str, str]:
    return {"time": stamp[0], "by": stamp[1]}


def with_fields(method: Method, settings: Iterable[str], stamp: tuple[str, str]) -> Method:
    """Return a method with some fields set: ``field=value`` each, values that are no text as JSON.

    Raises:
        GitexpError: What comes out is no card.
        UsageError: A setting cannot be understood.
    """
    card = card_of(method)
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or name not in card:
            known = ", ".join(name for name in card if name != "slug")
            raise UsageError(f"{setting[:60]!r} sets no field.", f"Say FIELD=VALUE; {known}.")
        card[name] = value if name in TEXTS or name == "slug" else _value(name, value)
    return method_of(card, stamp)


def _value(name: str, text: str) -> Any:
    if name in _LISTS and not text.startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"The value of {name} is no JSON: {error}.", _HINT) from error


def slug_of(name: str) -> str:
    """Return a slug made of a name: small letters and digits with ``-`` between them."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:64].rstrip("-")


def reference_of(text: str) -> Reference:
    """Return a reference to what a text names: an arXiv id, a paper of the library, or an address.

    Its title is the text itself until somebody says a better one.

    Raises:
        UsageError: It names nothing of these.
    """
    if found := _ARXIV.fullmatch(text):
        return Reference(f"arXiv {found[1]}", paper=f"arxiv-{found[1]}")
    if is_paper_id(text):
        return Reference(text, paper=text)
    if _URL.fullmatch(text):
        return Reference(text, url=text)
    raise UsageError(f"{text[:60]!r} names no paper.", "Give an arXiv id, a paper's id or a URL.")


def require_free_names(method: Method, others: Iterable[Method]) -> None:
    """Make sure that a method can be told from others by each of its names.

    Raises:
        GitexpError: Another one has one of them.
    """
    names = {name.casefold(): name for name in (method.slug, method.name, *method.aliases)}
    for other in others:
        if other.slug == method.slug:
            continue
        for name in (other.slug, other.name, *other.aliases):
            if name.casefold() in names:
                own = names[name.casefold()]
                hint = "Use another name, or edit that one."
                raise GitexpError(f"{own!r} is a name of the method {other.slug!r}.", hint)


def fault_of(method: Method) -> str:
    """Return what a card may not be like, as the end of a sentence; empty where it is right."""
    faults = (
        None
        if is_slug(method.slug)
        else f"{method.slug[:80]!r} is no slug (small-words-like-this)",
        *(_text_fault(name, getattr(method, name), most) for name, most in TEXTS.items()),
        *(_list_fault(name, getattr(method, name), most) for name, most in _LISTS.items()),
        *map(_entry_fault, method.signature[:_MAX_ITEMS]),
        *map(_knob_fault, method.knobs[:_MAX_ITEMS]),
        *map(_reference_fault, method.references[:_MAX_ITEMS]),
        *(
            f"it has more than {_MAX_ITEMS} {name}"
            for name in ("signature", "knobs", "references")
            if len(getattr(method, name)) > _MAX_ITEMS
        ),
        "it supersedes itself" if method.slug in method.supersedes else None,
    )
    return next(filter(None, faults), "")


def _text_fault(name: str, text: str, most: int) -> str | None:
    if len(text) > most:
        return f"its {name} has {len(text)} characters, more than {most}"
    return f"its {name} has control characters" if _CONTROL.search(text) else None


def _list_fault(name: str, texts: Sequence[str], most: int) -> str | None:
    if len(texts) > _MAX_ITEMS:
        return f"it has more than {_MAX_ITEMS} {name}"
    found = (_text_fault(name, text, most) for text in texts)
    return next(filter(None, found), None if all(texts) else f"one of its {name} is empty")


def _entry_fault(entry: Sequence[str]) -> str | None:
    if not entry or len(entry) > _MAX_ITEMS:
        return "an entry of its signature has no words, or too many"
    bad = [word for word in entry if not _WORD.fullmatch(word)]
    if bad:
        return f"{bad[0][:60]!r} in its signature is no identifier in small letters"
    return None


def _knob_fault(knob: Knob) -> str | None:
    numbers = [limit for limit in (knob.low, knob.high) if limit is not None]
    about = f"its knob {knob.symbol[:60]!r}"
    if not knob.name or not knob.symbol or max(len(knob.name), len(knob.symbol)) > TEXTS["name"]:
        return "a knob has no name or no symbol, or one too long"
    if not all(map(math.isfinite, numbers)) or numbers != sorted(numbers):
        return f"{about} has a range that is none"
    if knob.scale == "log" and any(limit <= 0 for limit in numbers):
        return f"{about} has a logarithmic scale that begins at 0 or below"
    if (knob.scale == "choice") != bool(knob.choices):
        return f"{about} needs the scale 'choice' with choices, or neither"
    return _list_fault("choices", knob.choices, TEXTS["name"])


def _reference_fault(reference: Reference) -> str | None:
    if reference.paper is not None and not is_paper_id(reference.paper):
        return f"{reference.paper[:60]!r} is no id of a paper"
    if reference.url is not None and not _URL.fullmatch(reference.url):
        return f"{reference.url[:60]!r} is no address that can be kept"
    if not reference.title:
        return "a reference has no title"
    texts = (reference.title, reference.section or "", *reference.chunks)
    return _list_fault("references", [text for text in texts if text], TEXTS["scope"])
