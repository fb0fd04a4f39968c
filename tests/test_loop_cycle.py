"""The cycle from end to end: proposals from a script, trainings of milliseconds, real runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

import gitexp
from gitexp.errors import GitexpError
from gitexp.loop.journal import (
    Decided,
    Done,
    Ran,
    external_id,
    journal_path,
    read_lines,
)
from gitexp.loop.plan import Budgets
from gitexp.loop.progress import Event, LoopResult
from gitexp.memory import Memory
from gitexp.records.library import Method
from gitexp.remark import add_remark
from gitexp.research.decisions import posterior_of
from gitexp.research.goal import goal_metric
from tests.loop_project import (
    Speaker,
    Users,
    answer,
    change,
    constant,
    known_project,
    library_of,
    loop_for,
    make_project,
    plan_for,
    script,
    worktrees,
)
from tests.support import Git

LR = constant("LR", 0.2, old="0.10")
BETTER_LR = constant("LR", 0.3, old="0.2")
WIDTH = constant("WIDTH", 16, old=8)
WORSE = constant("STEPS", 20, old=100)
BROKEN = change("a mistake", "LR = 0.10\n", "LR = 0.10 / 0\n")


@pytest.fixture
def project(tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A project with a known baseline, as the current folder."""
    return known_project(tmp_path, monkeypatch)


def play(git: Git, folder: Path, *proposals: object, **plan: object) -> LoopResult:
    """Play a session to its end."""
    return loop_for(git, plan_for(**plan), script(folder, *proposals)).run()


def run_named(memory: Memory, name: str) -> gitexp.Run:
    return next(run for run in memory.runs() if run.name == name)


def test_a_session_keeps_what_is_better_and_drops_the_rest(project: Git, tmp_path: Path) -> None:
    before = Users(project)
    result = play(project, tmp_path, LR, WORSE, WIDTH, BETTER_LR)
    assert result.reason == "exhausted"
    assert result.error is None
    memory = gitexp.open()
    kept = [memory.get(run).name for run in result.kept]
    assert kept == ["LR 0.2", "WIDTH 16", "LR 0.3"]
    assert result.proposals == 4
    assert result.best is not None
    assert memory.get("best:val_bpb").id == result.best[0] == result.kept[-1]
    assert len(memory.runs()) == len(result.runs) + 4
    assert Users(project) == before
    assert worktrees(project) == []
    assert project("stash", "list") == ""


def test_the_branch_is_the_history_of_what_was_kept(project: Git, tmp_path: Path) -> None:
    result = play(project, tmp_path, LR, WORSE, WIDTH)
    history = project("rev-list", result.branch).split("\n")
    assert history[: len(result.kept)] == list(reversed(result.kept))
    assert history[len(result.kept)] == project("rev-parse", "main")
    assert result.tip == result.kept[-1]
    code = project("show", f"{result.branch}:train.py")
    assert "LR = 0.2" in code
    assert "WIDTH = 16" in code
    assert "STEPS = 100" in code


def test_the_baseline_is_run_once_and_again_when_a_proposal_needs_to_know_its_noise(
    repo: Git, tmp_path: Path
) -> None:
    make_project(repo)
    alone = play(repo, tmp_path)
    assert [gitexp.open().get(run).seed for run in alone.runs] == [None]
    result = play(repo, tmp_path, LR)
    again = [gitexp.open().get(run) for run in result.runs[1:]]
    assert gitexp.open().get(result.runs[0]).name == "LR 0.2"
    assert again
    for run in again:
        of_baseline = run.name.startswith("baseline, seed")
        assert of_baseline or run.name.startswith("LR 0.2, seed")
        assert ("proposal" in run.metadata) is not of_baseline  # its code is not the proposal's
        assert run.seed is not None
    assert any(run.name.startswith("baseline") for run in again)
    assert result.kept == (result.runs[0],)


def test_code_that_was_run_before_needs_no_baseline(repo: Git, tmp_path: Path) -> None:
    make_project(repo)
    first = play(repo, tmp_path)
    second = play(repo, tmp_path, LR)
    names = [gitexp.open().get(run).name for run in (*first.runs, *second.runs)]
    assert names.count("baseline") == 1
    assert len(second.kept) == 1


def noisy_project(git: Git) -> None:
    """Make the project's noise as large as what its proposals gain."""
    make_project(git)
    code = (git.path / "train.py").read_text()
    git.write("train.py", code.replace("gauss(0.0, 0.001)", "gauss(0.0, 0.01)"))
    git("commit", "--quiet", "--all", "-m", "noise")


STEPS = [
    constant("WIDTH", 9, old=8),
    constant("LR", 0.12, old="0.10"),
    constant("LR", 0.13, old="0.10"),
    constant("WIDTH", 10, old=8),
    constant("STEPS", 110, old=100),
    constant("STEPS", 90, old=100),
]


def test_the_branch_follows_the_best_code_also_where_it_is_not_better_beyond_noise(
    repo: Git, tmp_path: Path
) -> None:
    noisy_project(repo)
    result = play(repo, tmp_path, *STEPS, budgets=Budgets(runs=60, failures=20))
    memory = gitexp.open()
    posterior = posterior_of(memory, goal_metric(memory, "val_bpb", lower=True))
    best = [run.hex() for run in posterior.runs_of(posterior.ranking()[0])]
    start = repo("rev-parse", "main")
    of_start = [run for run in best if memory.get(run).name == "baseline"]
    assert result.tip in best or (result.tip == start and of_start)
    lines = read_lines(journal_path(memory.repository, result.session))
    claimed = {line.run for line in lines if isinstance(line, Decided) and line.action == "promote"}
    assert set(result.kept) - claimed  # it did not wait for certainty


def test_the_branch_goes_back_to_where_the_session_started_when_a_person_discards_its_tip(
    project: Git, tmp_path: Path
) -> None:
    def discard(event: Event) -> None:
        if event.kind == "kept" and event.iteration == 1:
            add_remark(gitexp.open().repository, str(event.run), verdict="discard")

    worse = change("fewer steps", "STEPS = 100\n", "STEPS = 10\n")
    loop = loop_for(project, plan_for(), script(tmp_path, LR, worse), on_event=discard)
    result = loop.run()
    assert len(result.kept) == 1
    assert result.tip == project("rev-parse", "main") == project("rev-parse", result.branch)


def test_a_run_says_which_proposal_session_and_iteration_it_is_of(
    project: Git, tmp_path: Path
) -> None:
    result = play(project, tmp_path, LR)
    run = run_named(gitexp.open(), "LR 0.2")
    (proposal,) = library_of(project).proposals()
    assert run.metadata["proposal"] == proposal.id
    assert run.metadata["session"] == result.session == proposal.session
    assert run.metadata["iteration"] == 1
    assert run.description == "LR 0.2"
    assert run.hypothesis == "LR 0.2 helps."
    assert run.command == ("python", "train.py")
    assert proposal.outcome is None
    assert run.decision is not None
    assert run.decision.action == "promote"


def test_what_was_tried_before_is_blocked_and_the_next_prompt_says_so(
    project: Git, tmp_path: Path
) -> None:
    speaker = Speaker(answer(("STEPS = 100", "STEPS = 20"), title="fewer steps"))
    result = loop_for(project, plan_for(budgets=Budgets(failures=2)), speaker).run()
    assert result.reason == "failures"
    assert result.blocked == 2
    outcomes = [proposal.outcome for proposal in library_of(project).proposals()]
    assert outcomes == [None, "blocked", "blocked"]
    assert "fewer steps" not in speaker.requests[0].prompt
    assert '"fewer steps" was not run:' in speaker.requests[2].prompt


def test_answers_that_cannot_be_applied_are_recorded_and_said(project: Git, tmp_path: Path) -> None:
    speaker = Speaker(
        "I would rather talk about it.",
        answer(("no such line", "x"), title="misquoted"),
        answer(("LR = 0.10", "LR = 0.10"), title="nothing"),
    )
    result = loop_for(project, plan_for(budgets=Budgets(failures=3)), speaker).run()
    assert result.reason == "failures"
    assert result.invalid == 3
    assert result.runs == ()
    outcomes = [proposal.outcome for proposal in library_of(project).proposals()]
    assert outcomes == ["invalid", "not applied", "invalid"]
    assert "The answer could not be read:" in speaker.requests[1].prompt
    assert '"misquoted" was not applied:' in speaker.requests[2].prompt


def test_a_crash_is_a_run_and_a_lesson_and_its_reason_is_in_the_next_prompt(
    project: Git, tmp_path: Path
) -> None:
    speaker = Speaker(
        answer(("LR = 0.10", "LR = 0.10 / 0"), title="a mistake"),
        answer(("LR = 0.10", "LR = 0.2"), title="LR 0.2"),
    )
    result = loop_for(project, plan_for(budgets=Budgets(runs=2)), speaker).run()
    run = run_named(gitexp.open(), "a mistake")
    assert run.status == "crashed"
    assert result.failed == 1
    assert len(result.kept) == 1
    assert "ZeroDivisionError" in speaker.requests[1].prompt
    lessons = [lesson.text for lesson in library_of(project).lessons()]
    assert lessons[0].startswith("a mistake: The run crashed in the project's own code.")
    assert lessons[1].startswith("LR 0.2: ")
    assert project("rev-parse", f"{run.id}^{{tree}}") != project("rev-parse", "main^{tree}")


def test_code_that_gives_no_value_to_begin_with_ends_the_session(repo: Git, tmp_path: Path) -> None:
    make_project(repo)
    result = play(repo, tmp_path, LR, metric="accuracy")
    assert result.reason == "baseline"
    assert isinstance(result.error, GitexpError)
    assert result.error.hint == f"See why: git exp show {result.runs[0][:12]} --log"
    assert len(result.runs) == 1
    assert result.proposals == 0


def test_a_command_that_is_not_there_ends_the_session(repo: Git, tmp_path: Path) -> None:
    make_project(repo)
    result = play(repo, tmp_path, LR, command=("no-such-program",))
    assert result.reason == "baseline"
    assert len(result.runs) == len(gitexp.open().runs()) == 1


EVALUATE = """\
import pathlib

print("---")
print("val_bpb:", float(pathlib.Path("model.txt").read_text()))
"""


def make_evaluated(git: Git) -> None:
    """Make the project one whose training leaves a model that is measured afterwards."""
    train = (git.path / "train.py").read_text()
    saved = "import pathlib\n\npathlib.Path('model.txt').write_text(f'{val_bpb:.6f}')\n"
    git.write("train.py", train + saved)
    git.write("evaluate.py", EVALUATE)
    git("add", "--all")
    git("commit", "--quiet", "-m", "measured")


def test_the_evaluation_counts_and_what_the_training_says_is_a_claim(
    project: Git, tmp_path: Path
) -> None:
    make_evaluated(project)
    said = 'print(f"val_bpb:          {val_bpb:.6f}")\n'
    cheat = change("a lie", said, 'print("val_bpb: 0.1")\n')
    silent = change("silence", said, "LR = 0\n")
    result = play(
        project,
        tmp_path,
        cheat,
        silent,
        evaluate=("python", "evaluate.py"),
        protect=("prepare.py", "evaluate.py"),
        budgets=Budgets(runs=3),
    )
    baseline, lie, silence = (gitexp.open().get(run) for run in result.runs)
    assert baseline.status == "finished"
    assert baseline.metrics["val_bpb"].last == baseline.metrics["claimed_val_bpb"].last
    assert lie.status == "failed"
    assert lie.error is not None
    assert lie.error.type == "false claim"
    assert "val_bpb 0.1; measured was 1." in lie.error.message
    assert silence.status == "finished"
    assert "claimed_val_bpb" not in silence.metrics


def test_what_the_evaluation_names_is_protected_without_being_said(
    project: Git, tmp_path: Path
) -> None:
    make_evaluated(project)
    said = 'print("val_bpb:", float(pathlib.Path("model.txt").read_text()))\n'
    cheat = change("an easier test", said, 'print("val_bpb: 0")\n', path="evaluate.py")
    result = play(
        project, tmp_path, cheat, allow=(), protect=(), evaluate=("python", "evaluate.py")
    )
    assert result.invalid == 1
    assert result.kept == ()
    assert project("rev-parse", f"{result.tip}:evaluate.py") == project(
        "rev-parse", "main:evaluate.py"
    )


def test_a_training_that_leaves_nothing_to_measure_has_failed(project: Git, tmp_path: Path) -> None:
    make_evaluated(project)
    saved = "pathlib.Path('model.txt').write_text(f'{val_bpb:.6f}')\n"
    lost = change("no model", saved, saved.replace("model", "other"))
    result = play(
        project, tmp_path, lost, evaluate=("python", "evaluate.py"), budgets=Budgets(runs=2)
    )
    run = gitexp.open().get(result.runs[1])
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.type == "evaluation failed"
    assert "FileNotFoundError" in run.error.tail


def test_the_goal_of_the_plan_counts_whatever_is_set(project: Git, tmp_path: Path) -> None:
    project("config", "exprag.metric", "training_seconds")
    before = Users(project)
    result = play(project, tmp_path, LR)
    run = run_named(gitexp.open(), "LR 0.2")
    assert run.decision is not None
    assert (run.decision.metric, run.decision.goal) == ("val_bpb", "min")
    assert len(result.kept) == 1
    assert Users(project) == before


def test_a_branch_that_somebody_moved_stops_the_session(project: Git, tmp_path: Path) -> None:

    other = project("commit-tree", "-m", "other", "main^{tree}")

    def meddle(event: Event) -> None:
        if event.kind == "ran" and event.iteration == 1:
            project("update-ref", "refs/heads/exp/mine", other)

    provider = script(tmp_path, LR, WIDTH)
    result = loop_for(project, plan_for(branch="exp/mine"), provider, on_event=meddle).run()
    assert result.reason == "moved"
    assert result.error is not None
    assert "exp/mine names" in result.error.message
    assert project("rev-parse", "exp/mine") == other
    assert run_named(gitexp.open(), "LR 0.2").status == "finished"
    assert result.kept == ()


def test_a_branch_that_is_checked_out_is_not_moved(project: Git, tmp_path: Path) -> None:

    def look(event: Event) -> None:
        if event.kind == "ran" and event.iteration == 1:
            project("worktree", "add", "--quiet", str(tmp_path / "look"), "exp/mine")

    provider = script(tmp_path, LR, WIDTH)
    result = loop_for(project, plan_for(branch="exp/mine"), provider, on_event=look).run()
    assert result.reason == "moved"
    assert project("rev-parse", "exp/mine") == project("rev-parse", "main")
    assert Git(tmp_path / "look")("status", "--porcelain") == ""


def test_a_session_goes_on_from_a_branch_that_is_there(project: Git, tmp_path: Path) -> None:
    first = play(project, tmp_path, LR)
    second = play(project, tmp_path, BETTER_LR, branch=first.branch)
    assert second.branch == first.branch
    assert project("rev-parse", f"{second.kept[0]}^") == first.kept[0]


def test_code_of_others_is_not_run_again_by_itself(repo: Git, tmp_path: Path) -> None:
    make_project(repo)
    repo("checkout", "--quiet", "-b", "elsewhere")
    repo.write("train.py", "print('---')\nprint('val_bpb: 0.5')\n")
    repo("commit", "--quiet", "-am", "another idea")
    gitexp_run = play(repo, tmp_path, budgets=Budgets(runs=1))
    repo("checkout", "--quiet", "main")
    events: list[Event] = []
    provider = script(tmp_path, LR)
    result = loop_for(repo, plan_for(), provider, on_event=events.append).run()
    others = repo("rev-parse", f"{gitexp_run.runs[0]}^{{tree}}")
    assert others not in {repo("rev-parse", f"{run}^{{tree}}") for run in result.runs}


def test_what_a_call_took_is_in_the_library_and_in_the_result(project: Git, tmp_path: Path) -> None:
    speaker = Speaker(answer(("LR = 0.10", "LR = 0.2")))
    result = loop_for(project, plan_for(budgets=Budgets(runs=1)), speaker).run()
    (usage,) = library_of(project).usages()
    (proposal,) = library_of(project).proposals()
    assert (usage.provider, usage.model) == ("openai", "gpt-4o-mini")
    assert (usage.prompt, usage.completion) == (1_000, 100)
    assert usage.cost is not None
    assert usage.session == result.session
    assert usage.proposal == proposal.id
    assert result.spent.tokens == 1_100
    assert result.spent.money == usage.cost


def test_the_journal_says_what_was_decided_and_what_became_of_it(
    project: Git, tmp_path: Path
) -> None:
    result = play(project, tmp_path, LR, WORSE)
    path = journal_path(gitexp.open().repository, result.session)
    lines = read_lines(path)
    assert [line.outcome for line in lines if isinstance(line, Done)] == [
        "kept",
        "dropped",
    ]
    actions = [line.action for line in lines if isinstance(line, Decided)]
    assert actions == ["promote", "abandon"]
    for line in path.read_text().splitlines():
        json.loads(line)


def test_repository_store_and_library_are_whole_afterwards(project: Git, tmp_path: Path) -> None:
    play(project, tmp_path, LR, BROKEN, WORSE)
    project("fsck", "--strict", "--no-dangling")
    assert gitexp.open().problems == []
    assert library_of(project).problems == []


def test_what_the_loop_says_of_a_run_counts_more_than_what_its_program_says(
    project: Git, tmp_path: Path
) -> None:
    said = "import gitexp\n\ngitexp.Experiment('mine', {'session': 'other'}, description='d')\n"
    talks = change("it talks", "import random\n", f"import random\n{said}")
    result = play(project, tmp_path, talks, command=(sys.executable, "train.py"))
    run = gitexp.open().get(result.runs[-1])
    assert (run.name, run.description) == ("it talks", "it talks")
    (step,) = (
        line.id
        for line in read_lines(journal_path(gitexp.open().repository, result.session))
        if isinstance(line, Ran) and line.run == run.id
    )
    assert run.external_id == external_id(result.session, step)


METHOD = Method(
    time="2026-01-01T00:00:00.000000Z",
    by="Ada <ada@example.org>",
    slug="warm-restarts",
    name="Warm restarts",
    family="schedule",
    summary="The learning rate goes up again from time to time.",
)


def test_methods_are_suggested_recorded_as_shown_and_cited(project: Git, tmp_path: Path) -> None:
    library_of(project).add([METHOD])
    speaker = Speaker(answer(("LR = 0.10", "LR = 0.2"), cites="warm-restarts, no-such-method"))
    result = loop_for(project, plan_for(budgets=Budgets(runs=1)), speaker).run()
    library = library_of(project)
    (retrieval,) = library.retrievals()
    (proposal,) = library.proposals()
    assert retrieval.session == result.session
    assert proposal.retrievals == (retrieval.id,)
    assert proposal.cites == ("warm-restarts",)
    assert proposal.predicted == -0.01
    for shown in retrieval.shown:
        assert shown.id in speaker.requests[0].prompt


def test_without_methods_none_are_suggested_and_nothing_is_recorded_as_shown(
    project: Git, tmp_path: Path
) -> None:
    speaker = Speaker(answer(("LR = 0.10", "LR = 0.2")))
    loop_for(project, plan_for(budgets=Budgets(runs=1), methods=False), speaker).run()
    assert library_of(project).retrievals() == []
    (proposal,) = library_of(project).proposals()
    assert proposal.retrievals == ()
