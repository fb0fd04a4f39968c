"""How MemoryLab reads a text: normalised words, tokens, concepts, numbers and tags.

Tables and rules are MemoryLab's, their faults included, since its verdicts follow from them: a
decimal is split at its point, ``up`` is both what ``increase`` becomes and a stop word, and
``swiglu`` and ``geglu`` become one word. What gitexp itself uses is `gitexp.research.guard.text`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_LR = ("matrix_lr", "embedding_lr", "unembedding_lr", "scalar_lr")

PHRASES: dict[str, str] = {
    "learning rate": "lr",
    "step size": "lr",
    "matrix learning rate": "matrix_lr",
    "embedding learning rate": "embedding_lr",
    "unembedding learning rate": "unembedding_lr",
    "scalar learning rate": "scalar_lr",
    "matrix lr": "matrix_lr",
    "value embedding": "value_embedding",
    "value embeddings": "value_embedding",
    "cuda out of memory": "oom",
    "out of memory": "oom",
    "warm down": "warmdown",
    "cool down": "warmdown",
    "gradient accumulation": "grad_accum",
    "batch size": "batch_size",
    "window pattern": "window_pattern",
    "attention window": "window_pattern",
    "head dimension": "head_dim",
    "model width": "width",
}
"""Phrases and what stands for them, replaced wherever they occur, also inside of words."""

_UP = ("increase", "increasing", "raise", "higher", "boost", "larger", "bigger")
_DOWN = ("decrease", "decreasing", "lower", "reduce", "reducing", "shorten", "smaller")

TOKENS: dict[str, str] = {
    **dict.fromkeys(_UP, "up"),
    **dict.fromkeys(_DOWN, "down"),
    "cooldown": "warmdown",
    "schedule": "sched",
    "optimizer": "optim",
    "activation": "act",
    **dict.fromkeys(("geglu", "swiglu", "glu"), "gated_act"),
}
"""Whole words and what stands for them, after the phrases."""

STOP_WORDS = frozenset(
    (
        *("without", "a", "an", "and", "are", "as", "at", "baseline", "be", "by", "for", "from"),
        *("if", "in", "into", "is", "it", "keep", "of", "on", "or", "the", "to", "try", "up"),
        *("use", "with"),
    )
)
SHORT_TOKENS = frozenset({"lr", "kv", "ve", "fa", "mlp", "oom"})
"""Words of one or two letters that count (and two of three, which count anyway)."""

_SHORTEST = 3

_CONCEPTS: dict[str, tuple[str, ...]] = {
    "lr": ("lr", *_LR),
    "schedule": ("warmup", "warmdown", "sched"),
    "memory": ("oom", "memory", "vram"),
    "architecture": (
        *("width", "depth", "head_dim", "heads", "attention"),
        *("window_pattern", "act", "mlp", "value_embedding"),
    ),
    "batching": ("batch_size", "grad_accum", "tokens", "sequence", "context"),
    "optimizer": ("muon", "adamw", "optim", "weight_decay", "beta"),
}
CONCEPTS = {word: concept for concept, words in _CONCEPTS.items() for word in words}
"""Word -> what it is about."""

_LONGEST_FIRST = sorted(PHRASES.items(), key=lambda item: -len(item[0]))
_WORD = re.compile(r"[a-z0-9_]+")
_NUMBER = re.compile(r"\b\d+(\.\d+)?\b")
_NOT_IN_TAG = re.compile(r"[^a-z0-9_-]+")


def normalised(text: str) -> str:
    """Return the words of a text, aliases applied, joined by single spaces."""
    text = text.lower().replace("-", " ")
    for phrase, alias in _LONGEST_FIRST:
        if phrase in text:
            text = text.replace(phrase, alias)
    return " ".join(TOKENS.get(word, word) for word in _WORD.findall(text))


def tokens(normal: str) -> frozenset[str]:
    """Return the words of a normalised text that count."""
    return frozenset(
        word
        for word in normal.split()
        if word not in STOP_WORDS and (len(word) >= _SHORTEST or word in SHORT_TOKENS)
    )


def numbers(normal: str) -> frozenset[str]:
    """Return the numbers of a normalised text, as texts; what was a decimal is two of them."""
    return frozenset(match[0] for match in _NUMBER.finditer(normal))


def concepts(normal: str) -> frozenset[str]:
    """Return what a normalised text is about: concepts, and ``num:N`` for each number in it."""
    named = {CONCEPTS[word] for word in normal.split() if word in CONCEPTS}
    return frozenset(named | {f"num:{number}" for number in numbers(normal)})


def tag(text: str) -> str:
    """Return a tag as it is stored: lower case, other characters as one dash."""
    return _NOT_IN_TAG.sub("-", text.strip().lower()).strip("-")


def tags(texts: Iterable[str]) -> list[str]:
    """Return tags as they are stored, without repeats and without empty ones."""
    return list(dict.fromkeys(found for text in texts if (found := tag(text))))


def probe(description: str, hypothesis: str, family: str, tagged: Iterable[str]) -> str:
    """Return the text by which an idea is compared with others."""
    return " ".join(part for part in (description, hypothesis, family, *tagged) if part)
