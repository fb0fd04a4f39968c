"""Text -> words, for full-text search: what a person would call one word stays whole.

``0.04``, ``1e-3``, ``swiglu_v2``, ``QK-norm`` and ``resnet-50`` are words. Case and forms that
Unicode calls compatible do not matter (``relu²`` is ``relu2``). Nothing stands between words in
Chinese and Japanese, so each ideograph, kana, and each emoji too, is a word of its own; a search
for several is one for them in a row.

The index keeps ``" ".join(words(text))`` in an FTS5 table with the tokenizer `TOKENIZE`, which must
see the same words. What it takes for a letter depends on SQLite's version, so words are written
in ASCII: any other character as its number between tildes (``é`` is ``~e9~``).
"""

from __future__ import annotations

import re
import unicodedata

TOKENIZE = "unicode61 remove_diacritics 0 tokenchars '._+~-'"
"""The ``tokenize`` option of the FTS5 table: ``tokenize="…"``."""

_ALONE = re.compile(
    "[\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
_NOT_ASCII = re.compile(r"[^\x00-\x7d]")  # nor the tilde
_WORD = re.compile(r"[0-9]+(?:\.[0-9]+)?e[-+][0-9]+(?![a-z0-9_~])|[a-z0-9_~]+(?:[.-][a-z0-9_~]+)*")


def words(text: str) -> list[str]:
    """Return the words of a text in order, as the index keeps them: ASCII, small letters."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return _WORD.findall(_NOT_ASCII.sub(_spell, text.lower()))


def _spell(match: re.Match[str]) -> str:
    """Return a character in ASCII, with spaces around it where it is a word of its own."""
    character = match[0]
    kind = unicodedata.category(character)
    spelled = f"~{ord(character):x}~"
    if kind == "So" or _ALONE.match(character):
        return f" {spelled} "
    return spelled if kind[0] in "LNM" else " "


def match_query(text: str) -> str:
    """Return the FTS5 query for all words of a text in a row; empty if it has no words."""
    found = " ".join(words(text))
    return f'"{found}"' if found else ""
