"""A session that was left at any step goes on there: nothing is done twice, nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import gitexp
from gitexp.errors import GitexpError
from gitexp.loop.cycle import Loop
from gitexp.loop.interrupts import Interrupts
from gitexp.loop.journal import (
    Answered,
    Asking,
    Decided,
    Line,
    Moving,
    Ran,
    Running,
    SessionJournal,
    journal_path,
    read_lines,
    sessions,
)
from gitexp.loop.plan import Budgets
from gitexp.loop.progress import Event
from tests.loop_project import (
    Speaker,
    Users,
    answer,
    change,
    constant,
    known_project,
    library_of,
    loop_for,
    plan_for,
    resumed,
    script,
    worktrees,
    write_script,
)
from tests.support import Git, gitexp_json
from tests.support import gitexp as command

LR = constant("LR", 0.2, old="0.10")
WAITING = change("slow", "import random\n", "import random, time\n\ntime.sleep(60)\n")


@pytest.fixture
def project(tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A project with a known baseline, as the current folder."""
    return known_project(tmp_path, monkeypatch)


class Killed(BaseException):
    """Stands for the end of the process."""


def run_and_die(loop: Loop, number: int, *, after: bool = False) -> None:
    """Die when the journal gets its line of this number, before or after it is written."""
    add = SessionJournal.add

    def dying(self: SessionJournal, line: Line) -> None:
        if len(self.lines) == number and not after:
            raise Killed
        add(self, line)
        if len(self.lines) == number + 1 and after:
            raise Killed

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SessionJournal, "add", dying)
        with pytest.raises(Killed):
            loop.run()


def speaker() -> Speaker:
    return Speaker(answer(("LR = 0.10", "LR = 0.2"), title="LR 0.2"))


def lines_of(git: Git, session: str) -> list[Line]:
    return read_lines(journal_path(gitexp.open(git.path).repository, session))


LINES = 11
"""session, sitting, ask, answer, proposal, run, ran, decision, move, moved, done"""


@pytest.mark.parametrize(
    ("number", "after"),
    [(number, False) for number in range(2, LINES)] + [(5, True)],
)
def test_a_session_that_died_at_a_line_of_its_journal_comes_to_the_same_end(
    number: int, after: bool, project: Git, tmp_path: Path
) -> None:
    before = Users(project)
    plan = plan_for(budgets=Budgets(runs=1))
    loop = loop_for(project, plan, speaker())
    run_and_die(loop, number, after=after)
    result = resumed(project, loop.session, speaker()).run()
    assert result.reason == "runs"
    assert len(result.kept) == 1
    assert result.runs == result.kept
    assert len(gitexp.open().runs()) == 5
    assert project("rev-parse", result.branch) == result.kept[0]
    library = library_of(project)
    assert len([each for each in library.proposals() if each.outcome is None]) == 1
    lines = lines_of(project, loop.session)
    usages = Counter(usage.id for usage in library.usages())
    calls = [line.id for line in lines if isinstance(line, Asking)]
    assert dict.fromkeys(calls, 1) == usages
    assert len(library.lessons()) == 1
    assert Users(project) == before
    assert worktrees(project) == []


def test_a_call_of_which_nobody_knows_the_end_has_taken_all_it_could(
    project: Git, tmp_path: Path
) -> None:
    loop = loop_for(project, plan_for(), speaker())
    run_and_die(loop, 3, after=False)
    (asked,) = (line for line in lines_of(project, loop.session) if isinstance(line, Asking))
    result = resumed(project, loop.session, speaker(), budgets=Budgets(runs=1)).run()
    lost, known = library_of(project).usages()
    assert (lost.prompt, lost.completion, lost.estimated) == (asked.prompt, asked.most, True)
    assert (known.prompt, known.completion, known.estimated) == (1_000, 100, False)
    assert result.spent.tokens == asked.prompt + asked.most + 1_100


def test_an_answer_that_was_paid_for_is_not_asked_for_again(project: Git, tmp_path: Path) -> None:
    loop = loop_for(project, plan_for(), speaker())
    run_and_die(loop, 4, after=False)
    second = speaker()
    result = resumed(project, loop.session, second, budgets=Budgets(runs=1)).run()
    assert second.requests == []
    assert len(result.kept) == 1


def test_a_proposal_whose_code_was_pruned_meanwhile_is_given_up(
    project: Git, tmp_path: Path
) -> None:
    loop = loop_for(project, plan_for(), speaker())
    run_and_die(loop, 5)
    project("prune", "--expire=now")
    again = Speaker(answer(("WIDTH = 8", "WIDTH = 16"), title="WIDTH 16"))
    result = resumed(project, loop.session, again, budgets=Budgets(runs=1)).run()
    assert result.error is None
    assert [gitexp.open().get(run).name for run in result.runs] == ["WIDTH 16"]


def test_the_time_of_a_killed_session_is_counted_until_its_last_sign_of_life(
    project: Git, tmp_path: Path
) -> None:
    loop = loop_for(project, plan_for(), speaker())
    run_and_die(loop, 6)
    path = journal_path(gitexp.open().repository, loop.session)
    alive = lines_of(project, loop.session)[-1].at + 90.0
    os.utime(path, (alive, alive))
    result = resumed(project, loop.session, speaker(), budgets=Budgets(seconds=80.0)).run()
    assert result.reason == "time"
    assert 90.0 <= result.spent.seconds < 100.0


def test_a_script_goes_on_with_the_proposal_that_was_not_tried(
    project: Git, tmp_path: Path
) -> None:
    path = write_script(tmp_path / "script", [LR, constant("WIDTH", 16, old=8)])
    options = ("--script", str(path), "--metric", "val_bpb", "--sandbox", "off", "--json")
    done = command("loop", *options, "--runs", "1", "--", "python", "train.py")
    first = json.loads(done.stdout)
    assert first["proposals"] == 1
    second = gitexp_json("loop", "--resume", "--runs", "2")
    assert second["session"] == first["session"]
    assert second["proposals"] == 2
    titles = [each.title for each in library_of(project).proposals()]
    assert titles == ["LR 0.2", "WIDTH 16"]


def test_two_processes_do_not_work_on_one_session(project: Git, tmp_path: Path) -> None:
    loop = loop_for(project, plan_for(), script(tmp_path, LR))
    refused: list[str] = []

    def intrude(event: Event) -> None:
        if event.kind == "ran":
            with pytest.raises(GitexpError, match="Another process works on session") as caught:
                resumed(project, loop.session, script(tmp_path)).run()
            refused.append(caught.value.message)

    intruded = loop_for(project, plan_for(), script(tmp_path, LR), on_event=intrude)
    loop.session = intruded.session
    assert intruded.run().reason == "exhausted"
    assert len(refused) == 1


def test_a_torn_last_line_is_cut_off(project: Git, tmp_path: Path) -> None:
    result = loop_for(project, plan_for(), script(tmp_path, LR)).run()
    path = journal_path(gitexp.open().repository, result.session)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"step":"ran","at":17')
    again = resumed(project, result.session, script(tmp_path)).run()
    assert again.runs == result.runs
    assert path.read_bytes().startswith(whole)
    read_lines(path)


def test_a_damaged_journal_is_said_to_be_one(project: Git, tmp_path: Path) -> None:
    result = loop_for(project, plan_for(), script(tmp_path, LR)).run()
    path = journal_path(gitexp.open().repository, result.session)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], b"\xff\x00\n", *lines[1:]]))
    with pytest.raises(GitexpError, match="Line 2 of the session's journal"):
        resumed(project, result.session, script(tmp_path)).run()


def test_a_session_that_was_killed_before_its_first_line_is_none(
    project: Git, tmp_path: Path
) -> None:
    result = loop_for(project, plan_for(), script(tmp_path, LR)).run()
    repository = gitexp.open().repository
    journal_path(repository, "29991231-235959-ffff").touch()
    assert sessions(repository) == [result.session]


@pytest.mark.parametrize("name", ["../../x", "", "A", "no-such-session"])
def test_a_session_that_is_not_there(name: str, project: Git, tmp_path: Path) -> None:
    with pytest.raises(GitexpError):
        resumed(project, name, script(tmp_path))
    assert sessions(gitexp.open().repository) == []


def test_a_branch_that_was_moved_meanwhile_is_left_alone(project: Git, tmp_path: Path) -> None:
    result = loop_for(project, plan_for(), script(tmp_path, LR)).run()
    other = project("commit-tree", "-m", "other", "main^{tree}")
    project("update-ref", f"refs/heads/{result.branch}", other)
    again = resumed(project, result.session, script(tmp_path, LR)).run()
    assert again.reason == "moved"
    assert project("rev-parse", result.branch) == other
    assert again.runs == result.runs


# Signals


def begin(folder: Path, *proposals: object) -> subprocess.Popen[str]:
    """Begin a session in a process of its own, with a training that waits."""
    path = write_script(folder / "script", proposals)
    words = ["--script", str(path), "--metric", "val_bpb", "--sandbox", "off", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", "gitexp.cli.main", "loop", *words, "--", "python", "train.py"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=dict(os.environ),
        start_new_session=True,
    )


def wait_for_run() -> None:
    """Wait until the training of the first proposal waits."""
    for _ in range(600):
        if any(run.name == "slow" for run in gitexp.open().runs('status == "running"')):
            time.sleep(0.3)
            return
        time.sleep(0.05)
    pytest.fail("no run was begun")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_as_interrupted_and_the_session_goes_on_later(
    number: signal.Signals, project: Git, tmp_path: Path
) -> None:
    before = Users(project)
    process = begin(tmp_path, WAITING)
    wait_for_run()
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert process.returncode == 130, errors
    assert '"reason": "interrupted"' in output
    (run,) = (run for run in gitexp.open().runs() if run.name == "slow")
    assert run.status == "interrupted"
    assert worktrees(project) == []
    assert Users(project) == before
    quick = command("loop", "--resume", "--run-time", "1s", "--json")
    assert '"reason": "exhausted"' in quick.stdout
    statuses = [run.status for run in gitexp.open().runs() if run.name == "slow"]
    assert sorted(statuses) == ["interrupted", "timeout"]


def test_a_killed_session_goes_on_and_the_run_it_left_counts_once(
    project: Git, tmp_path: Path
) -> None:
    process = begin(tmp_path, WAITING)
    wait_for_run()
    process.kill()
    process.communicate()
    listed = gitexp_json("loop", "--list")["sessions"]
    assert [(each["state"], each["runs"]) for each in listed] == [("killed", 0)]
    result = gitexp_json("loop", "--resume", "--run-time", "1s")
    assert len(result["runs"]) == 2
    statuses = [gitexp.open().get(run).status for run in result["runs"]]
    assert statuses == ["crashed", "timeout"]
    lines = lines_of(project, result["session"])
    assert [line.cut for line in lines if isinstance(line, Ran)] == [True, False]
    assert worktrees(project) == []


def test_the_journal_has_an_intent_before_each_effect(project: Git, tmp_path: Path) -> None:
    result = loop_for(project, plan_for(), script(tmp_path, LR)).run()
    lines = lines_of(project, result.session)
    kinds = [type(line) for line in lines]
    for intent, effect in ((Asking, Answered), (Running, Ran)):
        assert kinds.index(intent) < kinds.index(effect)
    assert kinds.index(Decided) < kinds.index(Moving)


def test_a_signal_between_two_steps_waits_and_a_second_one_does_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interrupts = Interrupts()
    with interrupts.watched():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # as git sends it once more
        assert interrupts.requested
        monkeypatch.setattr("gitexp.loop.interrupts.SAME_KEY_S", -1.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_signal_interrupts_at_once_whoever_waits() -> None:
    interrupts = Interrupts()
    with interrupts.watched():
        with pytest.raises(KeyboardInterrupt), interrupts.waiting():
            signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt), interrupts.waiting():
            pytest.fail("it was interrupted before")
