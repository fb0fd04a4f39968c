"""What the status word of a ledger says: how a run ended, and what its author made of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from gitexp.records.facts import Failure, Status, Verdict
from gitexp.records.nested import clean_text


class Outcome(NamedTuple):
    """How a run ended.

    Attributes:
        status: None where it has not ended: it is planned, or under way.
        verdict: None where the word says nothing of that.
    """

    status: Status | None
    verdict: Verdict | None


FINISHED = Outcome("finished", None)
"""What holds where nothing is said."""


def _words(text: str, status: Status | None, verdict: Verdict | None) -> dict[str, Outcome]:
    return dict.fromkeys(text.split(), Outcome(status, verdict))


_KNOWN = {
    **_words(
        """keep keeps kept keeper advance advanced accept accepted baseline improve improved
        improvement best new_best win winner promote promoted merge merged champion""",
        "finished",
        "keep",
    ),
    **_words(
        """discard discarded revert reverted reject rejected fail worse regressed regression
        no_improvement not_improved drop dropped abandon abandoned invalid checks_failed
        constraint_violated""",
        "finished",
        "discard",
    ),
    **_words(
        """crash crashed error errored oom out_of_memory failed failure exception nan diverged
        segfault""",
        "crashed",
        "crash",
    ),
    **_words("timeout timed_out time_out", "timeout", "crash"),
    **_words(
        """interrupted aborted abort cancelled canceled killed preempted stopped infra
        rate_limited""",
        "interrupted",
        None,
    ),
    **_words(
        "success succeeded ok okay pass passed done complete completed finished valid usable",
        "finished",
        None,
    ),
    **_words(
        """pending running queued planned todo wip in_progress started scheduled blocked
        deferred""",
        None,
        None,
    ),
}
_LONGEST = 40
"""Characters of a status; longer texts are something else."""
_CRASH_ENDINGS = ("_failed", "_failure", "_error", "_crash", "_crashed", "_oom")


def outcome(text: str) -> Outcome | None:
    """Return what a status word says, in any spelling; None for one that is not known.

    Capital letters and signs do not count, and of several words the first known one is taken:
    ``KEEP (new best)`` is a keep.
    """
    word = re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
    if word in _KNOWN:
        return _KNOWN[word]
    if word.endswith(_CRASH_ENDINGS):
        return _KNOWN["crash"]
    return _KNOWN.get(word.partition("_")[0]) if len(word) <= _LONGEST else None


_EXCEPTION = re.compile(
    r"([A-Za-z_][\w.]*(?:Error|Exception|Interrupt|Exit))\b:?\s*(.*)", re.DOTALL
)


def failure(said: str, otherwise: str, tail: str = "") -> Failure:
    """Return what a ledger says of a crash, an exception's name taken from its beginning.

    Args:
        said: ``ValueError: too wide``, or any text.
        otherwise: The type where it names no exception.
        tail: The last lines of the output.
    """
    match = _EXCEPTION.match(said)
    if match is None:
        return Failure(clean_text(otherwise), clean_text(said), clean_text(tail))
    return Failure(clean_text(match[1]), clean_text(match[2]), clean_text(tail))


def without_placeholders(
    metrics: Mapping[str, Any], verdict: Verdict | None
) -> tuple[dict[str, Any], int]:
    """Return the metrics of a run without the zeros of a crash, and how many were left out.

    Loops write ``0.000000`` where a crash left them nothing to write.
    """
    kept = {path: v for path, v in metrics.items() if verdict != "crash" or v != 0}
    return kept, len(metrics) - len(kept)
