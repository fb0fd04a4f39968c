"""Lines of a library for tests: honest ones of each kind, and papers with passages."""

from __future__ import annotations

from collections.abc import Sequence

from gitexp.records.library import (
    Chunk,
    Knob,
    Lesson,
    LibraryLine,
    Method,
    Paper,
    Proposal,
    Reference,
    Retrieval,
    Shown,
    Usage,
    Withdrawal,
)
from gitexp.store.library import text_digest

TIME = "2026-01-31T12:00:00.000000Z"
LATER = "2026-01-31T12:00:01.000000Z"
LAST = "2026-02-01T00:00:00.000000Z"
BY = "Ada Lovelace <ada@example.org>"
PAPER = "arxiv-2002.05202"
TEXTS = (
    "Gated linear units with Swish replace the feed-forward layer; we call it SwiGLU.",
    "Layer normalisation of queries and keys, QK-Norm, keeps logits bounded at lr 0.04.",
    "The optimizer state is kept in bfloat16, and weight decay stays at 0.1.",
)


def paper(
    texts: Sequence[str] = TEXTS, *, of: str = PAPER, time: str = TIME, title: str = "GLU variants"
) -> Paper:
    """Return the line of a paper whose text these passages are."""
    whole = "\n".join(texts)
    return Paper(
        time=time,
        by=BY,
        id=of,
        source="arxiv",
        title=title,
        authors=("Noam Shazeer",),
        year=2020,
        arxiv=of.removeprefix("arxiv-"),
        digest=text_digest(whole),
        characters=len(whole),
    )


def chunks(
    texts: Sequence[str] = TEXTS, *, of: str = PAPER, time: str = TIME, share: bool = False
) -> list[Chunk]:
    """Return the passages of a paper, in as many sections."""
    return [
        Chunk(
            time=time,
            by=BY,
            id=f"{of}.{number}",
            paper=of,
            section=f"Section {number}",
            span=(0, len(text)),
            digest=text_digest(text),
            excerpt=text[:40],
            text=text if share else None,
        )
        for number, text in enumerate(texts)
    ]


def whole_paper(
    texts: Sequence[str] = TEXTS,
    *,
    of: str = PAPER,
    time: str = TIME,
    title: str = "GLU variants",
    share: bool = False,
) -> list[LibraryLine]:
    """Return a paper with its passages, as they are added."""
    passages = chunks(texts, of=of, time=time, share=share)
    return [paper(texts, of=of, time=time, title=title), *passages]


def local(texts: Sequence[str] = TEXTS, of: str = PAPER) -> dict[str, str]:
    """Return the full texts of a paper's passages, by chunk."""
    return {f"{of}.{number}": text for number, text in enumerate(texts)}


def method(slug: str = "zeta-clip", *, time: str = TIME, name: str = "Zeta clipping") -> Method:
    """Return a method with something in every field."""
    return Method(
        time=time,
        by=BY,
        slug=slug,
        name=name,
        aliases=("ZClip", "zeta norm"),
        family="normalization",
        summary="A scaled zeta takes the place of layer normalisation.",
        knobs=(Knob("initial zeta", "zeta_init", low=0.1, high=2.0, scale="log"),),
        signature=(("ZetaClip",), ("torch.zeta", "zeta_init")),
        apply="Replace each RMSNorm by zeta(alpha * x).",
        risks=("Large models need a smaller alpha.",),
        scope="transformers",
        references=(Reference("Transformers without Normalization", paper=PAPER, section="3"),),
        supersedes=("rms-norm",),
    )


def retrieval(number: int = 0, *, time: str = TIME) -> Retrieval:
    """Return something that was looked up."""
    shown = (Shown("swiglu", 2.5), Shown(f"{PAPER}.0", 0.5))
    return Retrieval(
        time=time, by=BY, id=f"{number:016x}", query="activation", ranker="gitexp 1", shown=shown
    )


def proposal(number: int = 0, *, time: str = TIME, outcome: str | None = None) -> Proposal:
    """Return something that was to be tried."""
    return Proposal(
        time=time,
        by=BY,
        id=f"{number:016x}",
        title="SwiGLU in the feed-forward layer",
        hypothesis="lower loss",
        cites=("swiglu",),
        retrievals=("0" * 16,),
        predicted=-0.01,
        base="a" * 40,
        session="s1",
        outcome=outcome,
    )


def usage(number: int = 0, *, time: str = TIME) -> Usage:
    """Return what a call of a model took."""
    return Usage(
        time=time,
        by=BY,
        id=f"{number:016x}",
        provider="openai",
        model="m",
        prompt=1000,
        completion=200,
        cost=0.001,
        seconds=1.5,
        session="s1",
    )


def one_of_each() -> list[LibraryLine]:
    """Return a line of each kind."""
    lesson = Lesson(time=TIME, by=BY, id="1" * 16, text="warm up longer", runs=("a" * 40,))
    withdrawal = Withdrawal(time=TIME, by=BY, id="relu-squared", reason="not ours")
    return [
        paper(),
        *chunks(share=True),
        method(),
        withdrawal,
        retrieval(),
        proposal(2),
        lesson,
        usage(3),
    ]
