"""The shortcuts of the memory benchmark beside the real thing.

`python -m tests.eval.memory_real --sessions N` plays sessions of the gitexp arm as the benchmark
does, writes each run into a real repository as well (a snapshot of ``train.py`` on the champion's
commit), and asks the product itself at each step: `observe` and `fit` for the champion, `decide`
for the decision, `check` for what the guard says of each proposal, `brief` for what an agent
reads, and in the end `Project` for the evidence of each method. It prints how often both say the
same.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from gitexp.git.commit import write_commit
from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.memory import Memory
from gitexp.methods.project import Project
from gitexp.records.facts import EndFact, Failure, GitState, RunFact, Summary, encode_fact
from gitexp.records.times import format_time
from gitexp.research.cache import with_cache
from gitexp.research.decisions import decide, posterior_of
from gitexp.research.guard.novelty import Plan, check
from gitexp.research.overview.brief import brief, estimated_tokens
from gitexp.research.overview.registry import load
from gitexp.store.batch import Batch, write_batch
from tests.eval.guard_store import SHARD, new_repository
from tests.eval.memory_arms import slug
from tests.eval.memory_benchmark import WORLDS
from tests.eval.memory_gitexp import Gitexp
from tests.eval.memory_guard import COMMAND, PATH, key, run_id, source
from tests.eval.memory_proposer import Proposer, Shown
from tests.eval.memory_ranking import Evidences, card
from tests.eval.memory_session import Run, Session
from tests.eval.memory_worlds import Configuration, World
from tests.eval.policies import GOAL

_BY = "Eval <eval@example.org>"
_START = 1_767_225_600
_TRACEBACK = (
    "Traceback (most recent call last):\n"
    '  File "train.py", line 9, in <module>\n    main()\n'
    "ValueError: it diverged\n"
)


class Beside(Gitexp):
    """The gitexp arm, with a real repository in which the same happens.

    Attributes:
        agreed: Of what was asked, how often both said the same; `asked` how often it was asked.
        brief_tokens: Of the brief here, and of the product's, each time that it was shown.
    """

    def __init__(self, world: World, folder: Path, *, promoted_only: bool = False) -> None:
        super().__init__(world, ranking=False, promoted_only=promoted_only)
        self.agreed: Counter[str] = Counter()
        self.asked: Counter[str] = Counter()
        self.brief_tokens: list[tuple[int, int]] = []
        self._repository = new_repository(folder)
        for name, value in (("metric", "loss"), ("goal", "min"), ("by", "last")):
            self._repository.git(["config", f"exprag.{name}", value])
        self._repository = Repository.discover(folder)
        self._memory = Memory(self._repository)
        tree = self._tree(())
        self._commits: dict[Configuration, str] = {
            (): write_commit(self._repository, "start\n", tree, [])
        }
        self._real: list[str] = []

    def learn(self, run: Run) -> Configuration | None:
        base = () if run.base is None else run.base
        self._real.append(self._write(run, self._commits[base]))
        self._commits.setdefault(run.configuration, self._real[-1])
        self._memory.refresh()
        again = super().learn(run)
        self._compare()
        return again

    def blocks(self, text: str, configuration: Configuration) -> str | None:
        why = super().blocks(text, configuration)
        plan = Plan(
            description=text,
            parameters={},
            command=COMMAND,
            tree=self._tree(configuration),
            base=self._commits[self.champion],
            tries_code=True,
        )
        found = check(self._memory, plan, GOAL)
        self._note("guard", (found.policy == "block") == (why is not None))
        return why

    def shown(self) -> Shown:
        shown = super().shown()
        known = load(self._memory, GOAL)
        numbers = {run: number for number, run in enumerate(self._real)}
        theirs = {numbers[contender.run.run] for contender in known.failed}
        mine = {run.number for run in self._failed()}
        self._note("failed", mine == theirs)
        text = brief(self._memory, 2_000).text
        self.brief_tokens.append((estimated_tokens(shown.text), estimated_tokens(text)))
        return shown

    def _compare(self) -> None:
        posterior = posterior_of(self._memory, GOAL)
        assert self._posterior is not None
        assert self._candidate is not None
        champion = posterior.champion_run
        number = None if champion is None else self._real.index(champion.hex())
        mine = None if number is None else key(self.runs[number].configuration)
        self._note("champion", mine == self._posterior.champion)
        decision = decide(self._memory, self._memory.get(self._real[self._candidate.number]))
        same = decision.action == self.decision.action
        self._note("decision", same and decision.priority == self.decision.priority)

    def compare_evidence(self) -> None:
        """Hold the evidence of each method against the product's."""
        assert self._posterior is not None
        changes = {run_id(run.number): run.change for run in self.runs}
        noise = self._posterior.noise.sd
        mine = Evidences(self.world, self.observations, changes, GOAL, noise)
        library = Library(self._repository)
        library.add([card(self.world, each) for each in self.world.methods])
        read = with_cache(self._repository, lambda cache: Project(self._memory, library, cache))
        for each in self.world.methods:
            one, two = mine.assess(each)[0], read.assess(slug(each)).evidence
            near = abs(one.mean - two.mean) < 1e-9 and abs(one.sd - two.sd) < 1e-9
            self._note("evidence", near and one.runs == two.runs)
        library.close()

    def _note(self, what: str, agrees: bool) -> None:
        self.asked[what] += 1
        self.agreed[what] += agrees

    def _tree(self, configuration: Configuration) -> str:
        content = source(self.world.knobs.values(), configuration)
        git = self._repository.git
        blob = git(["hash-object", "-w", "--stdin"], stdin=content).decode().strip()
        return git(["mktree"], stdin=f"100644 blob {blob}\t{PATH}\n".encode()).decode().strip()

    def _write(self, run: Run, base: str) -> str:
        """Write a run as the loop does: a snapshot on the champion's commit."""
        tree = self._tree(run.configuration)
        made = write_commit(self._repository, f"run {run.number}\n", tree, [base])
        begin = RunFact(
            time=_time(run.number),
            by=_BY,
            name=run.text,
            metadata={"cites": [slug(each) for each in run.change]},
            command=COMMAND,
            seed=run.nth,
            git=GitState(head=base, branch=None, dirty=run.base is not None),
            parent=base if base in self._real else None,
        )
        value = run.value
        crash = Failure("ValueError", "it diverged", _TRACEBACK)
        metrics = (
            {} if value is None else {"loss": Summary(value, value, 1, value, value, value, 0, 0)}
        )
        end = EndFact(
            time=_time(run.number),
            by=_BY,
            status="crashed" if value is None else "finished",
            duration=run.seconds,
            calls=len(metrics),
            metrics=metrics,
            error=crash if value is None else None,
        )
        facts = {made: [encode_fact(begin), encode_fact(end)]}
        write_batch(self._repository, SHARD, Batch(facts=facts))
        return made


def _time(number: int) -> str:
    return format_time((_START + 600 * number) * 10**9)


def beside(world: World, seed: int, budget: int, *, promoted_only: bool = False) -> Beside:
    """Play a session beside a real repository."""
    with tempfile.TemporaryDirectory() as folder:
        arm = Beside(world, Path(folder, "repository"), promoted_only=promoted_only)
        Session(world, arm, Proposer(world, seed)).play(budget)
        arm.compare_evidence()
        return arm


def report(arms: Iterable[Beside]) -> str:
    """Return how often both said the same, as Markdown."""
    arms = list(arms)
    asked = sum((arm.asked for arm in arms), Counter[str]())
    agreed = sum((arm.agreed for arm in arms), Counter[str]())
    rows = [f"| {what} | {agreed[what]} of {count} |" for what, count in asked.items()]
    ours, theirs = (sum(pair[n] for arm in arms for pair in arm.brief_tokens) for n in (0, 1))
    count = sum(len(arm.brief_tokens) for arm in arms)
    tokens = f"Tokens of a brief: {ours / count:.0f} here, {theirs / count:.0f} in the product."
    return "\n".join(["| what | the same |", "|---|---:|", *rows, "", tokens])


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=1, help="of each world")
    parser.add_argument("--budget", type=int, default=20)
    args = parser.parse_args()
    for name, make in WORLDS.items():
        seeds = range(1000, 1000 + args.sessions)
        print(f"{name}\n\n{report(beside(make(seed), seed, args.budget) for seed in seeds)}\n")


if __name__ == "__main__":
    main()
