"""What people may call a metric, and which direction is better.

A name is a full dotted path or any unambiguous suffix of one, at a dot or slash: ``acc`` for
``metrics.acc``, ``val/acc`` for ``eval.val/acc``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping

from gitexp.errors import AmbiguousError, GitexpError, GitexpWarning, UsageError
from gitexp.light import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

_LOWER_IS_BETTER = """
    loss losses err error errors bpb bpc ppl perplexity time latency memory mem mb gb bytes
    seconds secs ms mse rmse mae mape nll nelbo wer cer fid kl regret cost duration
"""
_LOWER_WORDS = frozenset(_LOWER_IS_BETTER.split())
_SHOWN = 10


class Goal(NamedTuple):
    """Which direction of a metric is better, and how that is known."""

    lower: bool
    source: Literal["option", "settings", "name"]

    @property
    def word(self) -> str:
        """``min`` or ``max``."""
        return "min" if self.lower else "max"


def resolve_name(query: str, paths: Iterable[str], what: str = "metric") -> str:
    """Return the one path that a name stands for.

    Raises:
        AmbiguousError: It is a suffix of several; they are listed.
        GitexpError: It is none; the nearest are named.
    """
    known = sorted(set(paths))
    found = [path for path in known if path.endswith((f".{query}", f"/{query}"))]
    if query in known:
        if found:
            also = ", ".join(found)
            warnings.warn(
                f"{query!r} is taken for the {what} of exactly that name; there is {also} too.",
                GitexpWarning,
                stacklevel=3,
            )
        return query
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousError(
            f"The {what} name {query!r} is ambiguous: {', '.join(found)}.", "Give more of its path."
        )
    import difflib

    tails = {path.rpartition(".")[2]: path for path in known}
    near = [tails.get(n, n) for n in difflib.get_close_matches(query, [*known, *tails], n=3)]
    hint = f"Did you mean {' or '.join(dict.fromkeys(near))}?" if near else None
    if hint is None and known:
        more = ", …" if len(known) > _SHOWN else ""
        hint = f"Known: {', '.join(known[:_SHOWN])}{more}."
    raise GitexpError(f"No run has a {what} named {query!r}.", hint)


def direction(metric: str, settings: Mapping[str, str], option: bool | None = None) -> Goal:
    """Return which direction is better for a metric.

    Args:
        metric: Full dotted path.
        settings: ``exprag.goal`` (``min`` or ``max``) holds for the metric named by
            ``exprag.metric``, or for every metric when that is not set.
        option: What the user said explicitly: lower is better, or not.

    Raises:
        UsageError: ``exprag.goal`` is neither ``min`` nor ``max``.
    """
    if option is not None:
        return Goal(option, "option")
    goal, goal_metric = settings.get("exprag.goal"), settings.get("exprag.metric")
    applies = (
        goal_metric is None
        or metric == goal_metric
        or metric.endswith((f".{goal_metric}", f"/{goal_metric}"))
    )
    if goal is not None and applies:
        if goal not in ("min", "max"):
            raise UsageError(f"exprag.goal is {goal!r}.", "Set it to min or max.")
        return Goal(goal == "min", "settings")
    words = re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", metric).lower())
    return Goal(bool(_LOWER_WORDS.intersection(words)), "name")
