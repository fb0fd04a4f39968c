"""The library: what was read, which methods there are, and what came of them (docs/format.md).

Like facts these are immutable JSON lines, tagged by ``kind``. A paper, a method or a withdrawal
that comes later takes the place of the earlier one of the same id; events only add up.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from gitexp.records.schema import current_schema

Scale = Literal["linear", "log", "choice"]
Source = Literal["arxiv", "file", "repository"]
Ranker = str
"""Name and version of what ordered a list: ``gitexp 1``, ``bm25``."""


class _Line(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="kind", kw_only=True):
    """What every line has.

    Attributes:
        time: When it was written: RFC 3339, UTC, microseconds.
        by: ``Name <email>`` of who wrote it.
    """

    schema: int = msgspec.field(default_factory=current_schema)
    time: str
    by: str


class Paper(_Line, frozen=True, tag="paper", kw_only=True):
    """Something that methods come from: a paper, a document, a repository.

    Attributes:
        id: ``arxiv-2002.05202``, ``file-<12 hex>`` or ``repo-<12 hex>``: also its file's name.
        source: What kind of thing was read.
        title: As it says itself.
        authors: In their order.
        year: Of its first version.
        url: Where people find it; never with credentials.
        arxiv: Its id there, without the version; `version` is the one that was read.
        doi: Without a resolver's address.
        commit: Of a repository.
        licence: As it says itself.
        abstract: Its abstract or first paragraph, cut to `MAX_ABSTRACT` characters.
        digest: xxh3-128 of the full text as 32 hexadecimal digits.
        characters: Length of the full text.
    """

    id: str
    source: Source
    title: str
    authors: tuple[str, ...] = ()
    year: int | None = None
    url: str | None = None
    arxiv: str | None = None
    version: str | None = None
    doi: str | None = None
    commit: str | None = None
    licence: str | None = None
    abstract: str | None = None
    digest: str
    characters: int


class Chunk(_Line, frozen=True, tag="chunk", kw_only=True):
    """A passage of a paper.

    Attributes:
        id: ``<paper>.<number>``.
        paper: Id of the paper.
        section: Title of the section it stands in; of code, ``path: qualified name``.
        span: Where it stands in the full text: first character, and the one after the last.
        digest: xxh3-128 of its text.
        excerpt: Its beginning, at most `MAX_EXCERPT` characters.
        text: All of it, where whoever added the paper asked to share the text.
        symbols: Identifiers that a code map found in it.
    """

    id: str
    paper: str
    section: str = ""
    span: tuple[int, int]
    digest: str
    excerpt: str
    text: str | None = None
    symbols: tuple[str, ...] = ()


class Knob(msgspec.Struct, frozen=True, omit_defaults=True):
    """What can be turned of a method.

    Attributes:
        name: In words.
        symbol: As it is usually called in code.
        low: Smallest sensible value; `high` the largest.
        scale: How values between them are spread; ``choice`` for `choices`.
    """

    name: str
    symbol: str
    low: float | None = None
    high: float | None = None
    scale: Scale = "linear"
    choices: tuple[str, ...] = ()


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a method is described.

    Attributes:
        title: Of the paper.
        paper: Its id in the library: ``arxiv-…`` names one whether or not it was added.
        section: Where in it.
        chunks: Ids of the passages.
        url: For what has no id, such as a repository.
    """

    title: str
    paper: str | None = None
    section: str | None = None
    chunks: tuple[str, ...] = ()
    url: str | None = None


class Method(_Line, frozen=True, tag="method", kw_only=True):
    """A method that an experiment can try.

    Attributes:
        slug: Its id: small letters, digits and ``-``.
        name: As people call it; `aliases` are other names.
        family: What it replaces or competes with: ``activation``, ``optimizer``, ``attention``…
        summary: What it is and why it helps, one paragraph.
        knobs: What can be turned.
        signature: By what it is recognised in code. Each entry is a set of words that must all
            stand in the added lines of a change; any one entry will do.
        apply: How to put it into a training script.
        risks: What goes wrong, one sentence each.
        scope: Where it was shown to help.
        references: Where it is described.
        supersedes: Slugs of what it is meant to replace.
    """

    slug: str
    name: str
    aliases: tuple[str, ...] = ()
    family: str
    summary: str
    knobs: tuple[Knob, ...] = ()
    signature: tuple[tuple[str, ...], ...] = ()
    apply: str = ""
    risks: tuple[str, ...] = ()
    scope: str = ""
    references: tuple[Reference, ...] = ()
    supersedes: tuple[str, ...] = ()


class Withdrawal(_Line, frozen=True, tag="withdrawal", kw_only=True):
    """A paper or a method is not to be shown any more; a later line of its id brings it back."""

    id: str
    reason: str | None = None


class Shown(msgspec.Struct, frozen=True):
    """What a retrieval showed: a method's slug or a chunk's id, and with what score."""

    id: str
    score: float


class Retrieval(_Line, frozen=True, tag="retrieval", kw_only=True):
    """Something was looked up, and this was shown, the best first.

    Attributes:
        id: 16 random hexadecimal digits.
        query: As it was asked.
        session: Of a loop; `run` where it was asked for within a run.
    """

    id: str
    query: str
    ranker: Ranker
    shown: tuple[Shown, ...] = ()
    session: str | None = None
    run: str | None = None


class Proposal(_Line, frozen=True, tag="proposal", kw_only=True):
    """What was to be tried, said before it ran. Its run names it in ``metadata.proposal``.

    Attributes:
        id: 16 random hexadecimal digits.
        title: One line.
        hypothesis: Why it should help.
        cites: Slugs of the methods that it puts to work.
        retrievals: Ids of what was looked up for it.
        predicted: Change of the goal metric that is expected, in its units.
        base: Run that it starts from.
        session: Of a loop.
        outcome: What became of it where no run did: ``blocked``, ``invalid``, ``not applied``…
    """

    id: str
    title: str
    hypothesis: str = ""
    cites: tuple[str, ...] = ()
    retrievals: tuple[str, ...] = ()
    predicted: float | None = None
    base: str | None = None
    session: str | None = None
    outcome: str | None = None


class Lesson(_Line, frozen=True, tag="lesson", kw_only=True):
    """What was learned, and from which runs."""

    id: str
    text: str
    runs: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    session: str | None = None


class Usage(_Line, frozen=True, tag="usage", kw_only=True):
    """What one call of a model took.

    Attributes:
        provider: Which provider was asked: ``openai``, ``agent``, ``script``.
        model: As the provider calls it.
        prompt: Tokens that were sent; `cached` of them were billed as cached ones.
        completion: Tokens that came back.
        estimated: The provider did not say; tokens were counted here.
        cost: In US dollars; None where the price is not known.
        prices: Version of the price table.
        seconds: How long it took.
        session, proposal, run: What it was for.
    """

    id: str
    provider: str
    model: str
    prompt: int
    completion: int
    cached: int = 0
    estimated: bool = False
    cost: float | None = None
    prices: str | None = None
    seconds: float = 0.0
    session: str | None = None
    proposal: str | None = None
    run: str | None = None


Event = Retrieval | Proposal | Lesson | Usage
LibraryLine = Paper | Chunk | Method | Withdrawal | Event

MAX_ABSTRACT = 1_500
MAX_EXCERPT = 280
