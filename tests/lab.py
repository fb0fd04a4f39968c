"""A repository with runs that were made up: their code is real, and so are commits and notes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.records.decision import DecisionFact
from gitexp.records.facts import (
    EndFact,
    Failure,
    GitState,
    RemarkFact,
    RunFact,
    Status,
    Summary,
    Verdict,
)
from gitexp.records.nested import number_to_json
from gitexp.records.times import format_time
from tests.full_store import BY, write_facts
from tests.support import Git

MINUTE = timedelta(minutes=1)


class Lab:
    """Runs one after the other, a minute each, the first one some hours ago."""

    def __init__(self, git: Git, hours_ago: float = 10.0) -> None:
        self.git = git
        self.now = datetime.now(UTC) - timedelta(hours=hours_ago)

    def commit(self, code: str, message: str = "a change") -> str:
        """Commit the training program with some content."""
        self.git.write("train.py", code)
        self.git("commit", "--quiet", "--allow-empty", "-am", message)
        return self.git("rev-parse", "HEAD")

    def run(
        self,
        value: float | None = None,
        *,
        code: str | None = None,
        status: Status | None = "finished",
        metric: str = "loss",
        verdict: Verdict | None = None,
        error: Failure | None = None,
        started: datetime | None = None,
        **about: Any,
    ) -> str:
        """Record a run of the work tree; without a status it is in progress.

        Args:
            code: Content of the training program; what it is by default.
            started: By default a minute after the run before.
            about: Further fields of `RunFact`.
        """
        if code is not None:
            self.git.write("train.py", code)
        head = self.git("rev-parse", "HEAD")
        self.git("add", "--all")
        tree = self.git("write-tree")
        begin = started or self.now
        self.now = begin + MINUTE
        stamp = format_time(round(begin.timestamp() * 1e6) * 1000)
        name = about.setdefault("name", "run")
        run = self.git("commit-tree", tree, "-p", head, "-m", f"exprag: {name} {stamp}")
        is_dirty = tree != self.git("rev-parse", "HEAD^{tree}")
        facts: list[Any] = [
            RunFact(time=stamp, by=BY, git=GitState(head, "main", is_dirty), **about)
        ]
        after = format_time(round(self.now.timestamp() * 1e6) * 1000)
        if status is not None:
            metrics = {} if value is None else {metric: summary(value)}
            end = EndFact(
                time=after, by=BY, status=status, error=error, duration=60.0, metrics=metrics
            )
            facts.append(end)
        if verdict is not None:
            facts.append(RemarkFact(time=after, by=BY, verdict=verdict))
        write_facts(run, *facts)
        return run

    def decide(self, run: str, **fields: Any) -> DecisionFact:
        """Record a decision about a run."""
        known: dict[str, Any] = {
            "rules": "gitexp 1",
            "metric": "loss",
            "goal": "min",
            "action": "replicate",
            "priority": "medium",
            "hypothesis_status": "not_stated",
            "summary": "what happened",
            "next_action": "what to do",
        }
        stamp = format_time(round(self.now.timestamp() * 1e6) * 1000)
        fact = DecisionFact(time=stamp, by=BY, **{**known, **fields})
        write_facts(run, fact)
        return fact

    def memory(self) -> Memory:
        """Return the memory as somebody reads it who comes now."""
        known = Repository.discover(self.git.path)
        return Memory(Repository(known.git_dir, known.common_dir, known.work_tree, known.prefix))


def summary(value: float) -> Summary:
    """Return the summary of a metric that was tracked once."""
    shown = number_to_json(value)
    if isinstance(shown, str):
        return Summary(first=shown, last=shown, count=1)
    return Summary(shown, shown, 1, value, value, value, 0, 0)
