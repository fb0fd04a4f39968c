"""Decide about a run that has just been recorded, where the repository has a goal metric.

The run is sealed by then, and the decision is a line of its own: whatever goes wrong here is a
warning, and changes neither the run nor the exit code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from gitexp.cli.context import Context
from gitexp.cli.output import print_warning
from gitexp.errors import GitexpError
from gitexp.records.decision import DecisionFact
from gitexp.render.text import number, safe, short
from gitexp.run import Run


@dataclass(frozen=True)
class Concluded:
    """A run as the repository has it now, and what was decided about it, if anything was."""

    run: Run
    decision: DecisionFact | None

    @property
    def document(self) -> dict[str, Any]:
        """The run in the shape of ``--json``."""
        if self.decision is None:
            return self.run.to_dict()
        return self.run.to_dict() | {"decision": msgspec.to_builtins(self.decision)}

    @property
    def line(self) -> str:
        """The decision as one line for a terminal, its end included; empty without one."""
        return "" if self.decision is None else f"{decision_line(self.decision)}\n"


def conclude(context: Context, run_id: str, *, decide: bool) -> Concluded:
    """Return a run that was just sealed, and decide about it if that is wanted and possible.

    Args:
        context: Of the command.
        run_id: Of the run.
        decide: The user did not say otherwise.
    """
    context.memory.refresh()
    run = context.memory.get(run_id)
    if not decide or "exprag.metric" not in context.repository.settings:
        return Concluded(run, None)
    try:
        return Concluded(run, _decide(context, run))
    except Exception as error:  # noqa: BLE001 - the run is recorded, whatever is made of it
        reason = error if isinstance(error, GitexpError) else f"{type(error).__name__}: {error}"
        print_warning(f"Nothing is decided about run {short(run_id)}: {reason}")
        return Concluded(run, None)


def _decide(context: Context, run: Run) -> DecisionFact:
    from gitexp.research.decisions import decide, write_decision

    decision = decide(context.memory, run)
    write_decision(context.repository, run.id, decision)
    return decision


def decision_line(decision: DecisionFact) -> str:
    """Return a decision in one line, fit for a terminal."""
    found = decision.comparison
    known = (
        [] if found is None else [f"P better {found.p_better:.2f}", f"gain {number(found.gain)}"]
    )
    known += ["provisional"] if decision.provisional else []
    details = f" ({', '.join(known)})" if known else ""
    return f"decision: {decision.action}{details}: {safe(decision.next_action)}"
