"""The commands that look at runs and remark on them, on good data and on bad."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from gitexp.errors import UsageError, ValueRejectedError
from gitexp.experiment import Experiment
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from gitexp.records.facts import RunFact
from gitexp.remark import add_remark
from gitexp.when import parse_when
from tests.full_store import (
    BY,
    HOSTILE,
    Caller,
    commit,
    drop_object,
    hostile_run,
    is_harmless,
    record_runs,
    running,
    table,
    write_facts,
    write_full_run,
)
from tests.support import Git, gitexp

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def runs(repo: Git) -> list[str]:
    return record_runs(repo)


# log


@pytest.mark.usefixtures("repo")
def test_log_without_runs_is_empty_and_says_what_to_do(call: Caller) -> None:
    said = call("log")
    assert said.out == ""
    assert "git exp run" in said.err
    assert call.json("log") == {"runs": []}


def test_log_lists_the_latest_first_with_what_tells_runs_apart(
    call: Caller, runs: list[str]
) -> None:
    call("tag", runs[0], "base")
    header, *rows = table(call("log").out)
    assert header[:4] == ["run", "name", "status", "started"]
    assert header[4:] == ["metrics.acc", "metrics.loss", "tags", "params.lr"]
    assert [row[0] for row in rows] == [run[:12] for run in reversed(runs)]
    assert [row[6] for row in rows] == ["", "", "base"]
    assert datetime.fromisoformat(rows[0][3]).tzinfo == UTC


@pytest.mark.parametrize("words", [("-n", "2"), ("-2",), ("--max-count=2",)])
def test_log_limits_the_number(call: Caller, runs: list[str], words: tuple[str, ...]) -> None:
    shown = [run["run"] for run in call.json("log", *words)["runs"]]
    assert shown == [runs[2], runs[1]]


@pytest.mark.parametrize("words", [("-n", "x"), ("-n", "-1"), ("latest",), ("-2x",)])
@pytest.mark.usefixtures("runs")
def test_log_refuses_what_is_no_number(call: Caller, words: tuple[str, ...]) -> None:
    assert call("log", *words, code=2).err.startswith("error: ")


def test_log_takes_suffixes_as_columns(call: Caller, runs: list[str]) -> None:
    header, first, *_ = table(call("log", "--columns", "run, acc ,width,duration").out)
    assert header == ["run", "metrics.acc", "params.width", "duration"]
    assert first[:3] == [runs[2][:12], "2.3", "8"]
    assert float(first[3]) >= 0


@pytest.mark.usefixtures("runs")
def test_log_names_the_candidates_of_an_unknown_column(call: Caller) -> None:
    assert "metrics.acc" in call("log", "--columns", "metrics.ac", code=2).err
    assert "^" in call("log", "--columns", ",", code=2).err


@pytest.mark.usefixtures("runs")
def test_log_shows_the_goal_metric_when_it_is_set(repo: Git, call: Caller) -> None:
    repo("config", "exprag.metric", "loss")
    Repository.discover().__dict__.pop("settings", None)  # as in a new process
    header = table(call("log").out)[0]
    assert "metrics.loss" in header
    assert "metrics.acc" not in header


def stored_run(repo: Git, number: int, **parameters: object) -> str:
    """Store a run that started so many days before NOW."""
    run_id = commit(repo, f"run {number}")
    time = (NOW - timedelta(days=number)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    write_facts(run_id, RunFact(time=time, by=BY, name=f"run {number}", parameters=parameters))
    return run_id


def test_columns_that_fit_several_names_are_refused(repo: Git, call: Caller) -> None:
    stored_run(repo, 1, a={"lr": 1}, b={"lr": 2})
    said = call("log", "--columns", "name,lr", code=2).err
    assert "params.a.lr, params.b.lr" in said


def test_times_bound_the_runs_that_are_selected(repo: Git, call: Caller) -> None:
    for days in (1, 3, 5):
        stored_run(repo, days)

    def names(*words: str) -> list[str]:
        return [run["name"] for run in call.json("log", *words)["runs"]]

    since = ("--since", (NOW - timedelta(days=4)).isoformat())
    assert names(*since) == ["run 1", "run 3"]
    assert names(*since, "--until", (NOW - timedelta(days=2)).isoformat()) == ["run 3"]
    assert names("-n", "0") == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("now", NOW),
        ("today", NOW.replace(hour=0)),
        ("yesterday", NOW - timedelta(days=1)),
        ("2 weeks ago", NOW - timedelta(days=14)),
        ("2.weeks.ago", NOW - timedelta(days=14)),
        ("an hour ago", NOW - timedelta(hours=1)),
        ("36h", NOW - timedelta(hours=36)),
        ("1 month", NOW - timedelta(days=30)),
        ("2026-03-01T00:00:00Z", datetime(2026, 3, 1, tzinfo=UTC)),
        (
            "2026-03-01T00:00:00+02:00",
            datetime(2026, 3, 1, tzinfo=timezone(timedelta(hours=2))),
        ),
    ],
)
def test_times_are_understood_as_people_say_them(text: str, expected: datetime) -> None:
    assert parse_when(text, NOW) == expected


def test_a_date_without_a_zone_is_local() -> None:
    assert parse_when("2026-03-01", NOW) == datetime(2026, 3, 1).astimezone()


@pytest.mark.parametrize("text", ["", "blah", "2 wekes ago", "1 ms", "999999 years ago", "2026-13"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a time"):
        parse_when(text, NOW)


# show


@pytest.mark.usefixtures("repo")
def test_show_tells_all_there_is(repo: Git, call: Caller) -> None:
    full = write_full_run(repo)
    shown = call("show", full).out
    for part in (
        f"run {full}",
        "failed (exit code 3)",
        "what is tried",
        "what is expected",
        "keep (by Grace",
        "a comment",
        "ValueError  wrong",
        "    the tail",
        "2 @ 2",
        ".env (looks like a secret, 10 B)",
        "python train.py",
        "8 x nvidia H100",
        "xxh3 dddd",
        "run.log",
        "5 B of its journal",
    ):
        assert part in shown
    assert "numpy" not in shown
    assert "numpy  1.26" in call("show", full, "--environment").out


def test_show_is_of_the_latest_run_when_none_is_named(call: Caller, runs: list[str]) -> None:
    assert call("show").out.startswith(f"run {runs[2]}\n")


@pytest.mark.usefixtures("repo")
def test_a_kept_file_comes_out_byte_for_byte(repo: Git) -> None:
    full = write_full_run(repo)
    done = subprocess.run(
        [sys.executable, "-m", "gitexp.cli.main", "show", full, "--file", "run.log"],
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"line\xff\x1b[31m\n"


@pytest.mark.usefixtures("repo")
def test_files_that_are_not_there_are_named(repo: Git, call: Caller) -> None:
    full = write_full_run(repo)
    assert "It has: run.log" in call("show", full, "--file", "../../etc/passwd", code=1).err


@pytest.mark.usefixtures("repo")
def test_files_of_a_run_in_progress_can_be_seen(repo: Git, call: Caller) -> None:
    with running() as experiment:
        experiment.log_file(repo.write("plot.txt", "curve"))
        assert call("show", "latest", "--file", "plot.txt").out == "curve"
        assert call.json("show")["files"] == [{"path": "plot.txt", "size": 5}]


# metrics


def test_metrics_prints_every_call_with_all_digits(call: Caller, runs: list[str]) -> None:
    header, *rows = table(call("metrics", runs[0]).out)
    assert header == ["step", "time", "metrics.acc", "metrics.loss"]
    assert [row[3] for row in rows] == ["1.0", "0.5", "0.3333333333333333", "0.25"]


@pytest.mark.usefixtures("repo")
def test_metrics_shows_notes_and_drops_a_step_that_is_said_twice(call: Caller) -> None:
    with Experiment("notes") as experiment:
        experiment.track({"step": 5, "x": 1}, note=HOSTILE)
        experiment.track(2)
    header, first, second = table(call("metrics", "notes").out)
    assert header == ["step", "time", "x", "value", "note"]
    assert (first[0], first[2], first[3]) == ("5", "1", "")
    assert (second[0], second[2], second[3]) == ("1", "", "2")
    assert is_harmless(first[4])


@pytest.mark.usefixtures("repo")
def test_metrics_shows_what_is_not_finite(call: Caller) -> None:
    with Experiment("diverged") as experiment:
        for value in (1.5, float("nan"), float("-inf")):
            experiment.track({"loss": value})
    rows = table(call("metrics", "diverged", "loss").out)
    assert [row[2] for row in rows] == ["loss", "1.5", "NaN", "-Infinity"]
    assert "-Infinity" in call("show", "diverged").out


def test_metrics_of_an_unknown_key_names_what_there_is(call: Caller, runs: list[str]) -> None:
    assert "metrics.acc" in call("metrics", runs[0], "nothing", code=1).err


@pytest.mark.usefixtures("repo")
def test_metrics_of_a_run_that_tracked_nothing_says_so(call: Caller) -> None:
    Experiment("empty").finish()
    said = call("metrics", "empty")
    assert (said.out, said.err[:5]) == ("", "hint:")


# diff


def test_diff_shows_what_differs_and_then_the_code(call: Caller, runs: list[str]) -> None:
    said = call("diff", runs[0], runs[2]).out
    block, _, code = said.partition("diff --git")
    assert "params.lr" in block
    assert "params.width" not in block
    assert [line.split() for line in block.splitlines() if "metrics.acc" in line] == [
        ["metrics.acc", "max", "0.3", "2.3", "0.3", "2.3"]
    ]
    assert "-lr = 0.0\n+lr = 0.2\n" in code


def test_diff_takes_paths_and_git_options(repo: Git, call: Caller, runs: list[str]) -> None:
    assert "diff --git" not in call("diff", runs[0], runs[2], "--", "README").out
    assert call("diff", "--name-only", runs[0], runs[2]).out == "train.py\n"
    assert "1 insertion(+), 1 deletion(-)" in call("diff", runs[0], runs[2], "--stat").out
    repo.write("README", "other\n")
    assert call("diff", runs[2], "--name-only", "--", "train.py").out == ""


def test_diff_of_one_run_compares_with_the_work_tree(
    repo: Git, call: Caller, runs: list[str]
) -> None:
    assert call("diff", runs[2]).out == ""
    repo.write("train.py", "lr = 9\n")
    assert "+lr = 9\n" in call("diff", runs[2]).out


def test_diff_knows_files_that_git_does_not_track(repo: Git, call: Caller) -> None:
    repo.write("same.txt", "same\n")
    repo.write("odd\nname", "a\n")
    repo.write("gone.txt", "a\n")
    with Experiment("untracked") as experiment:
        pass
    repo.write("odd\nname", "b\n")
    (repo.path / "gone.txt").unlink()
    repo.write("new.txt", "not part of the run\n")
    before = (repo.path / ".git" / "index").read_bytes()
    files = call.json("diff", experiment.run_id)["files"]
    assert files == [
        {"path": "gone.txt", "added": 0, "deleted": 1},
        {"path": "odd\nname", "added": 1, "deleted": 1},
    ]
    assert (repo.path / ".git" / "index").read_bytes() == before


def test_diff_copes_with_files_that_became_folders_or_links(
    repo: Git, call: Caller, tmp_path: Path
) -> None:
    repo.write("file", "a\n")
    repo.write("folder/inner", "a\n")
    repo.write("linked/inner", "a\n")
    with Experiment("shapes") as experiment:
        pass
    (repo.path / "file").unlink()
    repo.write("file/inner", "a\n")
    for name in ("folder", "linked"):
        (repo.path / name / "inner").unlink()
        (repo.path / name).rmdir()
    repo.write("folder", "a\n")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "inner").write_text("b\n")
    (repo.path / "linked").symlink_to(tmp_path / "elsewhere")
    files = call.json("diff", experiment.run_id)["files"]
    assert [(file["path"], file["added"], file["deleted"]) for file in files] == [
        ("file", 0, 1),
        ("folder/inner", 0, 1),
        ("linked/inner", 0, 1),
    ]


def test_diff_works_in_a_subfolder(
    repo: Git, call: Caller, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo.path / "pkg")
    assert call("diff", "--name-only", runs[0], runs[1]).out == "train.py\n"
    assert call("diff", "--name-only", runs[0], runs[1], "--", "model.py").out == ""


def test_diff_in_a_bare_repository_compares_two_runs(
    repo: Git, call: Caller, runs: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo("clone", "--quiet", "--mirror", ".", str(tmp_path / "bare"))
    monkeypatch.chdir(tmp_path / "bare")
    assert call("diff", "--name-only", runs[0], runs[1]).out == "train.py\n"
    assert "bare repository" in call("diff", runs[0], code=10).err


def test_diff_without_the_code_shows_the_rest(repo: Git, call: Caller, runs: list[str]) -> None:
    drop_object(repo, runs[0])
    said = call("diff", runs[0], runs[2], code=1)
    assert "params.lr" in said.out
    assert f"error: The code of run {runs[0][:12]} is not in this repository." in said.err
    data = call.json("diff", runs[0], runs[2], code=1)
    assert data["parameters"]
    assert "files" not in data


# note, tag, verdict


def test_a_note_is_kept_with_who_said_it(repo: Git, call: Caller, runs: list[str]) -> None:
    assert call("note", runs[0], "looks", "good").out == (
        f"Added a note to run {runs[0][:12]} (run 0).\n"
    )
    (comment,) = call.json("show", runs[0])["comments"]
    assert (comment["text"], comment["by"]) == ("looks good", "Ada Lovelace <ada@example.org>")
    assert '"comment":"looks good"' in repo("notes", "--ref", f"exprag/{shard()}", "show", runs[0])


def shard() -> str:
    return (Repository.discover().home / "shard").read_text().strip()


def test_a_note_comes_from_standard_input(
    call: Caller, runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"two\nlines \xff\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    noted = call.json("note", runs[0], "-")
    assert [comment["text"] for comment in noted["comments"]] == ["two\nlines \\xff"]
    assert "        lines \\xff\n" in call("show", runs[0]).out


@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_note_is_refused_and_nothing_is_written(
    repo: Git, call: Caller, runs: list[str], text: str
) -> None:
    before = repo("for-each-ref")
    assert "is empty" in call("note", runs[0], text, code=2).err
    assert "is empty" in call("verdict", runs[0], "keep", "-m", text, code=2).err
    assert repo("for-each-ref") == before


def test_a_remark_longer_than_a_line_may_be_is_refused(runs: list[str]) -> None:
    with pytest.raises(ValueRejectedError, match="MiB; the limit is 16"):
        add_remark(Repository.discover(), runs[0], comment="x" * (17 << 20))


def test_tags_are_added_listed_and_removed(call: Caller, runs: list[str]) -> None:
    assert call("tag", runs[0], "b", "a", "b").out.endswith("has: b, a.\n")
    assert call("tag", runs[0]).out == "b\na\n"
    assert call.json("show", "a")["run"] == runs[0]
    assert call.json("tag", runs[0], "c", "-d", "b", "-d", "a")["tags"] == ["c"]


def test_a_tag_that_is_there_already_is_not_written_again(
    repo: Git, call: Caller, runs: list[str]
) -> None:
    call("tag", runs[0], "a")
    before = repo("for-each-ref")
    call("tag", runs[0], "a")
    assert repo("for-each-ref") == before


@pytest.mark.parametrize(
    "tag",
    ["", "two words", "tab\t", "\x1b[31m", "\u202e", "latest", "latest~1", "best:x", "x" * 101],
)
def test_odd_tags_are_refused(call: Caller, runs: list[str], tag: str) -> None:
    assert "cannot be a tag" in call("tag", runs[0], tag, code=2).err


def test_removing_a_tag_that_is_not_there_fails(call: Caller, runs: list[str]) -> None:
    call("tag", runs[0], "a")
    assert "It has: a." in call("tag", runs[0], "-d", "b", code=1).err


def test_the_latest_verdict_counts_and_the_reason_is_a_comment(
    call: Caller, runs: list[str]
) -> None:
    call("verdict", runs[0], "keep")
    said = call("verdict", runs[0], "discard", "-m", "too slow").out
    assert said == f"The verdict on run {runs[0][:12]} (run 0): discard.\n"
    shown = call.json("show", runs[0])
    assert shown["verdict"] == "discard"
    assert [comment["text"] for comment in shown["comments"]] == ["too slow"]
    assert "invalid choice" in call("verdict", runs[0], "maybe", code=2).err


@pytest.mark.usefixtures("repo")
def test_remarks_on_a_run_in_progress_are_seen_at_once_and_stay(call: Caller) -> None:
    with running() as experiment:
        call("note", "latest", "so far so good")
        call("tag", "latest", "watched")
        shown = call.json("show", "watched")
        assert shown["status"] == "running"
        assert [comment["text"] for comment in shown["comments"]] == ["so far so good"]
        run_id = experiment.run_id
    shown = call.json("show", run_id)
    assert (shown["status"], shown["tags"]) == ("finished", ["watched"])
    assert [comment["text"] for comment in shown["comments"]] == ["so far so good"]


# status


@pytest.fixture
def waiting(repo: Git) -> Iterator[subprocess.Popen[str]]:
    """A process with a run in progress; it ends when its standard input does."""
    code = (
        "import sys, gitexp\n"
        "exp = gitexp.Experiment('waiting')\n"
        "exp.track({'loss': 0.5})\n"
        "print(exp.run_id, flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=repo.path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        yield process
        process.kill()


def test_a_run_of_another_process_is_shown_while_it_runs(
    call: Caller, waiting: subprocess.Popen[str]
) -> None:
    assert waiting.stdout is not None
    run_id = waiting.stdout.readline().strip()
    (running_run,) = call.json("status")["running"]
    assert (running_run["run"], running_run["pid"]) == (run_id, waiting.pid)
    shown = call("status").out
    assert "runs   1 (1 in progress)" in shown
    assert "loss=0.5" in shown
    assert call.json("log")["runs"][0]["status"] == "running"
    assert call.json("metrics", run_id, "loss")["points"][0]["value"] == 0.5


def test_status_in_an_empty_repository_writes_nothing(repo: Git, call: Caller) -> None:
    assert "named at the first write" in call("status").out
    assert call.json("status", "--size")["size"]["total"] == 0
    assert not (repo.path / ".git" / "exprag" / "shard").exists()


def test_status_weighs_what_only_the_store_keeps(repo: Git, call: Caller) -> None:
    repo.write("big.bin", os.urandom(50_000))
    Experiment("heavy").finish()
    size = call.json("status", "--size")["size"]
    assert size["paths"][0]["path"] == "big.bin"
    assert size["code"] > 50_000
    repo("add", "big.bin")
    repo("commit", "--quiet", "-m", "big")
    assert call.json("status", "--size")["size"]["code"] < 10_000
    assert "files: environments/" in call("status", "--size").out


# Run specs


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize("command", ["show", "metrics", "tag", "note", "verdict"])
def test_a_spec_that_begins_with_a_dash_names_no_run(call: Caller, command: str) -> None:
    rest = {"note": ["text"], "verdict": ["keep"]}.get(command, [])
    assert "No run answers to '-x'." in call(command, "--", "-x", *rest, code=1).err
    assert call(command, "-x", *rest, code=2).err.startswith("error: ")


@pytest.mark.usefixtures("runs")
@pytest.mark.parametrize(
    "spec", ["nothing", "latest~3", "latest~99999999999", "best:nothing", "\udcff", "ffff" * 10]
)
def test_a_run_that_is_not_there_is_one_sentence(call: Caller, spec: str) -> None:
    said = call("show", spec, code=1)
    assert said.out == ""
    assert said.err.count("error: ") == 1


# Through the program


def on_terminal(*arguments: str, **environment: str) -> str:
    """Return what ``git-exp`` writes to a terminal."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "gitexp.cli.main", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=follower,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100", **environment},
    ):
        os.close(follower)
        written = b""
        try:
            while part := os.read(leader, 1 << 16):
                written += part
        except OSError:  # on Linux: the other end was closed
            return written.decode().replace("\r\n", "\n")
        finally:
            os.close(leader)
    return written.decode().replace("\r\n", "\n")


def test_the_pager_gets_block_and_code_in_colour(runs: list[str]) -> None:
    shown = on_terminal("diff", runs[0], runs[2], GIT_PAGER="sed 's/^/> /'")
    lines = shown.splitlines()
    assert all(line.startswith("> ") for line in lines)
    assert any("params.lr" in line for line in lines)
    assert "\x1b[32m+" in shown


def test_no_color_is_obeyed(runs: list[str]) -> None:
    for words in (("diff", runs[0], runs[2]), ("log",), ("show",)):
        assert "\x1b" in on_terminal(*words, GIT_PAGER="cat")
        assert "\x1b" not in on_terminal(*words, GIT_PAGER="cat", NO_COLOR="1")


def test_on_a_terminal_times_are_relative_and_names_harmless(repo: Git) -> None:
    run_id = hostile_run(repo)
    repo.write("train.py", f"{HOSTILE}\n")
    assert " ago" in on_terminal("log", GIT_PAGER="cat", NO_COLOR="1")
    for words in (("log",), ("show", run_id), ("diff", run_id)):
        assert is_harmless(on_terminal(*words, GIT_PAGER="cat", NO_COLOR="1"))


@pytest.mark.usefixtures("repo")
def test_a_kept_file_is_made_harmless_on_a_terminal(repo: Git) -> None:
    full = write_full_run(repo)
    assert on_terminal("show", full, "--log", GIT_PAGER="cat") == "line\\xff\\e[31m\n"


def test_a_reader_that_leaves_early_is_no_error(runs: list[str]) -> None:
    program = f"{sys.executable} -m gitexp.cli.main metrics {runs[0]}"
    done = subprocess.run(
        ["bash", "-c", f"for i in 1 2 3; do {program} | head -1; done"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.count("\n"), done.stderr) == (3, "")


def test_the_program_answers_as_the_functions_do(runs: list[str]) -> None:
    assert gitexp("log", "-1", "--columns", "run").stdout == f"run\n{runs[2][:12]}\n"
    assert Memory.open().get("latest").id == runs[2]
    assert gitexp("show", "--", "-x", check=1).stderr.startswith("error: No run answers")
