"""Run code once, in its cage, within its time, and say what counts of what came out.

The training may write files and print what it likes. Afterwards protected files are looked at; one
that was changed makes the run a failed one. Where the plan has an evaluation, that runs next, in
the same cage with the protected files as they are in the code, and what it prints is what counts:
the training's own summary is kept under ``claimed_…``, and where the two differ the run is a failed
one.
"""

from __future__ import annotations

import functools
import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from gitexp.command import CommandResult, read_log, run_command
from gitexp.errors import GitexpError
from gitexp.experiment import Experiment
from gitexp.loop.budget import time_left
from gitexp.loop.cage.worktree import Breach, Cage
from gitexp.loop.journal import Ran, Running, external_id, now
from gitexp.loop.prompt import say
from gitexp.loop.session import Session
from gitexp.records.facts import Failure, Status
from gitexp.records.library import Proposal
from gitexp.research.goal import goal_metric
from gitexp.research.replicate import SEED, with_seed
from gitexp.run import Run
from gitexp.running import Audited, Job, Recorded, record_command
from gitexp.summary import Sidecar, parse_summary

EVALUATION_LOG = "evaluation.log"
SAME = 1e-3
"""Relative difference up to which a claim and what was measured are the same: claims are rounded,
and a gain below it is none that a claim could be false for."""

_NAME_LENGTH = 60
_TAIL = 400
_LEAST_S = 1.0
"""What an evaluation has where the training took all the time of a run."""


class Trial:
    """One run.

    Attributes:
        out_of_time: It was ended because the time of the whole session was up.
    """

    def __init__(self, session: Session, cage: Cage, step: Running) -> None:
        """Prepare it.

        Args:
            session: Whose.
            cage: Holds the code.
            step: What is to be run; the journal has it.
        """
        self._session = session
        self._cage = cage
        self._step = step
        self._breaches: list[Breach] = []
        self._cut = self.out_of_time = False
        left = time_left(session.budgets, session.spent)
        self._is_last = left < session.budgets.run_seconds
        self._budget_s = min(left, session.budgets.run_seconds)

    def run(self) -> Ran:
        """Run it; return the journal's line, which is not written yet.

        Raises:
            GitexpError: The run cannot be recorded.
        """
        plan = self._session.plan
        with self._cage.entered(plan.folder), open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
            job = self._job(nowhere.fileno())
            with self._session.interrupts.waiting():
                recorded = record_command(self._cage.repository, job, self._audit)
        return self._outcome(recorded)

    def _job(self, nowhere: int) -> Job:
        plan, seed = self._session.plan, self._step.seed
        said = self._said()
        return Job(
            plan.command if seed is None else with_seed(plan.command, seed),
            said["name"],
            {key: value for key, value in said.items() if key != "name"} | self._whose(),
            last_word=said,
            environment=self._variables(),
            budget_s=self._budget_s,
            pattern=plan.pattern,
            wrap=self._cage.wrap(joins=not plan.evaluate),
            stdin=nowhere,
            stdout=nowhere,
            stderr=nowhere,
        )

    def _variables(self) -> dict[str, str]:
        session, seed = self._session, self._step.seed
        variables = self._cage.environment(session.environment, drop=session.provider.keys)
        variables["PWD"] = str(Path.cwd())
        if seed is not None:
            variables[SEED] = str(seed)
        if session.plan.evaluate:
            variables["GITEXP_MODE"] = "disabled"  # what it says of itself is a claim
        return variables

    def _said(self) -> dict[str, Any]:
        """Return what is said of the run, whatever its program says of itself."""
        proposal, seed, again = self._proposal, self._step.seed, self._again
        if again is not None:
            name, description, hypothesis = again.name, again.description, again.hypothesis
        elif proposal is None:
            name, description, hypothesis = "baseline", None, None
        else:
            name, description = _short(proposal.title), proposal.title
            hypothesis = proposal.hypothesis or None
        return {
            "name": name if seed is None else f"{name}, seed {seed}",
            "description": description,
            "hypothesis": hypothesis,
            "seed": seed,
        }

    def _whose(self) -> dict[str, Any]:
        """Return which session, proposal and run the run belongs to."""
        session, step, proposal = self._session, self._step, self._proposal
        named = None if proposal is None else proposal.id
        if self._again is not None:  # perhaps of an earlier proposal, or of none
            known = self._again.metadata
            named = known.get("proposal") if isinstance(known, dict) else None
        metadata = {"session": session.id, "iteration": step.iteration}
        return {
            "metadata": metadata | ({} if named is None else {"proposal": named}),
            "parent": step.base if step.base in session.state.kept else None,
            "external_id": external_id(session.id, step.id),
        }

    @functools.cached_property
    def _again(self) -> Run | None:
        """The run whose code is run again."""
        of = self._step.of
        return None if of is None else self._session.memory.get(of)

    @property
    def _proposal(self) -> Proposal | None:
        proposed = self._session.state.iteration(self._step.iteration).proposed
        return None if proposed is None else proposed.proposal

    # What counts of it

    def _audit(
        self, experiment: Experiment, result: CommandResult, reported: Mapping[str, Any]
    ) -> Audited:
        self._session.interrupts.no_longer_waiting()
        self._breaches = self._cage.settle(outputs=True)
        for breach in self._breaches:
            experiment.note(breach.detail)
            self._session.tell("breach", breach.detail, experiment.run_id)
        if result.status == "interrupted":
            self._cut = True
            return Audited(reported)
        if result.status == "timeout" and self._is_last:
            self._cut = self.out_of_time = True
            return Audited(reported, "interrupted")
        protected = [breach for breach in self._breaches if breach.kind == "protected"]
        if protected:
            claims = _claims(reported)
            return Audited(claims, "failed", Failure("protected file", protected[0].detail))
        if not self._session.plan.evaluate:
            return Audited(reported)
        if result.status != "exited" or result.exit_code:
            return Audited(_claims(reported))
        return self._evaluated(experiment, result, reported)

    def _evaluated(
        self, experiment: Experiment, trained: CommandResult, reported: Mapping[str, Any]
    ) -> Audited:
        """Measure what the training left behind."""
        with tempfile.TemporaryDirectory(prefix="gitexp-") as folder:
            log = Path(folder, EVALUATION_LOG)
            result, measured = self._evaluate(log, self._budget_s - trained.duration_s)
            experiment.log_file(log, EVALUATION_LOG)
        self._breaches += self._cage.settle(outputs=True)
        claims = _claims(reported)
        if result.status == "interrupted":
            self._cut = True
            return Audited(claims, "interrupted")
        if result.status == "timeout" and self._is_last:
            self._cut = self.out_of_time = True
            return Audited(claims, "interrupted")
        if result.status != "exited" or result.exit_code:
            tail = result.tail.decode("utf-8", "replace")[-_TAIL:]
            reason = result.message or f"The evaluation ended with {_ending(result)}."
            return Audited(claims, "failed", Failure("evaluation failed", reason, tail))
        false = self._false_claim(reported, measured)
        if false is not None:
            return Audited({**claims, **measured}, "failed", Failure("false claim", false))
        return Audited({**claims, **measured})

    def _evaluate(self, log: Path, left_s: float) -> tuple[CommandResult, Mapping[str, Any]]:
        """Run the evaluation; return how it ended and what it reported."""
        plan, variables = self._session.plan, self._variables()
        with Sidecar(variables, Path.cwd()) as sidecar, open(os.devnull, "r+b") as nowhere:  # noqa: PTH123
            result = run_command(
                [*self._cage.wrap(joins=False), *plan.evaluate],
                log=log,
                cwd=Path.cwd(),
                environment={**variables, **sidecar.variables},
                budget_s=max(left_s, _LEAST_S),
                stdin=nowhere.fileno(),
                stdout=nowhere.fileno(),
                stderr=nowhere.fileno(),
            )
            return result, sidecar.read() or parse_summary(read_log(log), plan.pattern)

    def _false_claim(self, reported: Mapping[str, Any], measured: Mapping[str, Any]) -> str | None:
        """Return in what the training's summary is not what was measured; None where it is."""
        metric = self._session.plan.metric
        claim, truth = reported.get(metric), measured.get(metric)
        if not isinstance(claim, int | float) or not isinstance(truth, int | float):
            return None
        if math.isclose(claim, truth, rel_tol=SAME, abs_tol=1e-12):
            return None
        return f"The training said {metric} {claim:g}; measured was {truth:g}."

    # What came of it

    def _outcome(self, recorded: Recorded) -> Ran:
        session = self._session
        session.memory.refresh()
        run = session.memory.get(recorded.run)
        return outcome(session, self._step, run, cut=self._cut, breaches=self._breaches)


def outcome(
    session: Session, step: Running, run: Run, *, cut: bool, breaches: list[Breach] | None = None
) -> Ran:
    """Return the journal's line about a run that is over.

    Args:
        session: Whose.
        step: The intent.
        run: As the repository has it.
        cut: It was ended with the session.
        breaches: What it did and may not.
    """
    value = value_of(session, run)
    said = [breach.detail for breach in breaches or []]
    if value is None and not cut:
        said.append(f"{say(run.description or run.name)} gave no value: {_why(run)}")
    return Ran(
        at=now(),
        id=step.id,
        iteration=step.iteration,
        run=run.id,
        status=_status(run),
        value=value,
        seconds=run.duration,
        cut=cut,
        said=tuple(said),
    )


def _status(run: Run) -> Status:
    """Return how a run ended; one whose end nobody knows has crashed."""
    return "crashed" if run.status in {"running", "unknown"} else cast("Status", run.status)


def value_of(session: Session, run: Run) -> float | None:
    """Return a run's value of the metric that counts; None where it has no finite one."""
    if run.status != "finished":
        return None
    try:
        goal = goal_metric(session.memory)
    except GitexpError:  # no run has the metric
        return None
    value = run.value(goal.metric, goal.by, lower=goal.lower)
    return value if value is not None and math.isfinite(value) else None


def _why(run: Run) -> str:
    error = run.error
    if error is None:
        return f"it ended as {run.status} and did not report the metric."
    tail = f" Its output ended with {say(error.tail[-_TAIL:])}" if error.tail else ""
    return f"{say(f'{error.type}: {error.message}')}.{tail}"


def _claims(reported: Mapping[str, Any]) -> dict[str, Any]:
    return {f"claimed_{name}": value for name, value in reported.items()}


def _ending(result: CommandResult) -> str:
    if result.status == "timeout":
        return "its time"
    return f"exit code {result.exit_code}"


def _short(title: str) -> str:
    line = " ".join(title.split()) or "proposal"
    return line if len(line) <= _NAME_LENGTH else f"{line[: _NAME_LENGTH - 1]}…"
