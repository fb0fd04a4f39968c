"""A method as it is suggested: where it stands, and in our own sentences why."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from gitexp.library.library import Passage
from gitexp.methods.evidence import Evidence
from gitexp.methods.risk import label
from gitexp.records.library import Method
from gitexp.research.overview.brief import Section, quoted

ADVISORY: str | None = (
    "Advisory: on ledgers that nothing was tuned on, neither this order nor a risk tells one next"
    " run from another better than chance."
)
"""What the evaluation does not show; None once it does (docs/evaluation.md, "Methods")."""

_PLAIN = re.compile(r"[a-z0-9-]{1,80}")
_SUMMARY = 140
_PASSAGES = 1


class Term(NamedTuple):
    """Something that a rank or a label is made of.

    Attributes:
        name: Short, such as ``relevance`` or ``value``.
        value: A finite number.
        note: What it means, in our own words.
    """

    name: str
    value: float
    note: str


class Suggestion(NamedTuple):
    """A method, with why it is where it is.

    Attributes:
        method: Which.
        rank: From 1.
        score: Fused reciprocal ranks.
        relevance: How well it fits the query, 0 to 1.5; without one how well it fits the project.
        evidence: What past runs say of its effect.
        value: Expected improvement, or a draw where exploring, per relative cost of a run.
        fatigue: Runs of it in a row that did not improve the same base; no term of the rank.
        risk: Probability of a crash or a big loss, 0 to 1; no term of the rank.
        terms: All that the rank is made of, and what is only shown.
        passages: What its papers say of the query, the best first.
        runs: Ids of the runs that are credited to it, the latest first.
        in_use: Its signature stands in the champion's code.
        why: Sentences.
        commands: What to type next: the check, and the run that cites it.
    """

    method: Method
    rank: int
    score: float
    relevance: float
    evidence: Evidence
    value: float
    fatigue: int
    risk: float
    terms: tuple[Term, ...] = ()
    passages: tuple[Passage, ...] = ()
    runs: tuple[str, ...] = ()
    in_use: bool = False
    why: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


def commands_for(method: Method) -> tuple[str, ...]:
    """Return what to type to try a method; nothing of what others wrote but a plain slug.

    A slug that is none of letters, digits and ``-`` has no commands: it is not to be pasted.
    """
    slug = method.slug
    if not _PLAIN.fullmatch(slug) or slug.startswith("-"):
        return ()
    return (
        f'git exp check -m "use {slug}"',
        f'git exp run --cites {slug} -m "use {slug}" -- COMMAND',
    )


def evidence_said(evidence: Evidence) -> str:
    """Return what past runs say, as a sentence."""
    effect = f"expected effect {evidence.mean:+.2f} ± {evidence.sd:.2f} of the project's spread"
    if not evidence.runs:
        alike = "" if evidence.weight == 0 else ", but for runs that are alike"
        return f"No run is credited to it yet{alike}: {effect}."
    runs = "1 run is" if evidence.runs == 1 else f"{evidence.runs} runs are"
    return f"{runs} credited to it: {effect}."


def risk_said(risk: float) -> str:
    """Return a risk as a phrase."""
    return f"{label(risk)} risk ({risk:.0%} crash or big loss)"


def fatigue_said(fatigue: int) -> str | None:
    """Return fatigue as a sentence; None where there is none."""
    if fatigue < 2:  # noqa: PLR2004 - one run is no row of them
        return None
    return f"Its last {fatigue} runs did not improve the same base (shown, not ranked by)."


def methods_section(suggestions: Sequence[Suggestion]) -> Section:
    """Return suggestions as lines of the brief; texts by others stand in quotes there.

    Args:
        suggestions: The best first.
    """
    title = "Methods to try" + (
        " (advisory: nothing shows that this order wins):" if ADVISORY else ":"
    )
    return Section("methods", title, [_block(each) for each in suggestions], 3)


def _block(suggestion: Suggestion) -> list[str]:
    method = suggestion.method
    slug = method.slug if _PLAIN.fullmatch(method.slug) else quoted(method.slug)
    used = ", in use" if suggestion.in_use else ""
    lines = [
        f"  {slug}{used}: {quoted(method.summary or method.name, _SUMMARY)}",
        f"    {evidence_said(suggestion.evidence)} {risk_said(suggestion.risk).capitalize()}.",
    ]
    lines += [
        f"    {quoted(passage.title)}: {quoted(passage.chunk.excerpt, _SUMMARY)}"
        for passage in suggestion.passages[:_PASSAGES]
    ]
    return lines
