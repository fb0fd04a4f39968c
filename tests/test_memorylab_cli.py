"""``git exp memorylab``: the four commands, their output, their files and their exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitexp.errors import GitexpError
from gitexp.memory import Memory
from gitexp.memorylab import lab
from tests.full_store import HOSTILE, Caller, is_harmless
from tests.support import Git, gitexp

LEDGER = "results/memorylab/experiments.jsonl"
REGISTRY = "results/memorylab/champion_challenger.json"
KEEP = ("log", "--status", "keep", "--description")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def result(git: Git, value: float = 0.9979, memory: float = 45060.2) -> None:
    git.write("run.log", f"---\nval_bpb:   {value}\npeak_vram_mb:  {memory}\nnum_steps: 953\n")


def ledger(git: Git) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (git.path / LEDGER).read_text().splitlines()]


def masked(text: str) -> str:
    """Return an output with ids that hold times and hashes as letters."""
    text = re.sub(r"\d{8}T\d{6}Z-[0-9a-f]{7}", "RUN_ID", text)
    return re.sub(r"run [0-9a-f]{12}", "run ID", re.sub(r"\d{8}T\d{6}Z\.md", "TIME.md", text))


def test_init_makes_the_files_and_changes_none_that_are_there(repo: Git, call: Caller) -> None:
    said = call("memorylab", "init").out
    assert said == (
        "MemoryLab is set up:\n"
        "  results/memorylab/experiments.jsonl\n"
        "  results/memorylab/champion_challenger.json\n"
        "  results.tsv\n"
    )
    header = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"
    assert (repo.path / "results.tsv").read_text() == header
    assert (repo.path / LEDGER).read_bytes() == b""
    assert json.loads((repo.path / REGISTRY).read_text())["champion"] is None
    assert (repo.path / "results/memorylab/reports").is_dir()
    assert (repo.path / "results/memorylab/runs").is_dir()
    repo.write("results.tsv", f"{header}1234567\t1.0\t2.0\tkeep\tmine\n")
    assert call("memorylab", "init").out == said
    assert "mine" in (repo.path / "results.tsv").read_text()


def test_check_says_what_an_idea_is(repo: Git, call: Caller) -> None:
    assert call("memorylab", "check", "--description", "try SwiGLU").out == (
        "classification: novel\n"
        "decision: caution\n"
        "mode: exploit\n"
        "threshold: 0.620 (effective 0.620)\n"
        "matches: 0\n"
    )
    assert not (repo.path / "results").exists()
    result(repo)
    call("memorylab", *KEEP, "try GeGLU")
    found = call("memorylab", "check", "--description", "try SwiGLU", "--mode", "explore").out
    assert masked(found) == (
        "classification: duplicate_run\n"
        "decision: block\n"
        "mode: explore\n"
        "threshold: 0.620 (effective 0.570)\n"
        "matches: 1\n"
        "  0.650 duplicate_run: RUN_ID (keep, val_bpb 0.997900) try GeGLU\n"
    )


def test_check_exits_with_two_only_where_it_is_asked_to_and_the_decision_is_block(
    repo: Git, call: Caller
) -> None:
    result(repo)
    call("memorylab", *KEEP, "lr 0.4")
    same = ("memorylab", "check", "--description", "lr 0.4")
    call(*same)
    call(*same, "--fail-on-similar", code=2)
    call(*same, "--fail-on-similar", "--mode", "replicate")
    call(*same, "--fail-on-similar", "--json", code=2)
    call("memorylab", "check", "--description", "rotary", "--fail-on-similar")
    shown = call(*same, "--threshold", "0.7", "--limit", "0").out
    assert shown.splitlines()[-2:] == ["threshold: 0.700 (effective 0.700)", "matches: 1"]


def test_check_as_json_is_the_guard_of_a_record(repo: Git, call: Caller) -> None:
    result(repo)
    call("memorylab", *KEEP, "lr 0.4", "--tags", "A b, c", "d")
    found = call.json("memorylab", "check", "--description", "lr 0.04", "--family", "f")
    assert set(found) == set(ledger(repo)[0]["novelty_guard"])
    assert found["probe_text"] == "lr 0.04 f"
    assert ledger(repo)[0]["tags"] == ["a-b", "c", "d"]


def test_log_writes_everything(repo: Git, call: Caller) -> None:
    repo.write("train.py", "lr = 0.2\n")
    repo("commit", "--quiet", "-am", "third")
    result(repo)
    said = call(
        *("memorylab", *KEEP, "lr  0.2", "--hypothesis", "faster", "--family", "LR"),
        *("--notes", "a note", "--tags", "lr,optim", "--report"),
    ).out
    folder = "  results/memorylab/runs/RUN_ID"
    assert masked(said) == (
        "logged: RUN_ID (keep), run ID\n"
        "guard: novel (exploit: caution)\n"
        "decision: promote (high)\n"
        "summary: val_bpb 0.997900 is the new champion.\n"
        "champion: RUN_ID\n"
        f"{folder}/decision_packet.json\n"
        f"{folder}/decision_packet.md\n"
        f"{folder}/run.log\n"
        f"{folder}/train.patch\n"
        "  results/memorylab/reports/latest.md\n"
        "  results/memorylab/reports/TIME.md\n"
    )
    line = (repo.path / LEDGER).read_text()
    record = json.loads(line)
    assert line == json.dumps(record, sort_keys=True) + "\n"
    head = repo("rev-parse", "HEAD")
    stamp = record["timestamp_utc"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", stamp)
    assert record["run_id"] == re.sub("[-:]", "", stamp) + "-" + head[:7]
    assert record["commit"] == head
    assert record["parent_commit"] == repo("rev-parse", "HEAD^")
    expected = {
        "branch": "main",
        "family": "LR",
        "status": "keep",
        "description": "lr  0.2",
        "hypothesis": "faster",
        "tags": ["lr", "optim"],
        "notes": "a note",
        "metrics": {"val_bpb": 0.9979, "peak_vram_mb": 45060.2, "num_steps": 953},
        "error": None,
    }
    assert {key: record[key] for key in expected} == expected
    made = {"run_id", "timestamp_utc", "commit", "parent_commit", "artifacts", "novelty_guard"}
    assert set(record) == {*expected, *made, "decision_packet"}
    table = (repo.path / "results.tsv").read_text().splitlines()[1:]
    assert table == [f"{head[:7]}\t0.997900\t44.0\tkeep\tlr 0.2"]
    for path in record["artifacts"].values():
        assert (repo.path / path).is_file()
    archived = repo.path / record["artifacts"]["decision_packet_json"]
    assert json.loads(archived.read_text()) == record["decision_packet"]
    assert "+lr = 0.2" in (repo.path / record["artifacts"]["train_patch"]).read_text()
    registry = json.loads((repo.path / REGISTRY).read_text())
    assert registry["champion"]["run_id"] == record["run_id"]


def test_log_records_a_run_in_git(repo: Git, call: Caller) -> None:
    result(repo)
    found = call.json("memorylab", *KEEP, "lr 0.2", "--family", "LR", "--hypothesis", "h")
    run = Memory.open().get(found["run"])
    assert (run.status, run.verdict, run.family, run.hypothesis) == ("finished", "keep", "LR", "h")
    assert run.value("val_bpb") == 0.9979
    assert run.metadata["memorylab"]["run_id"] == found["record"]["run_id"]
    kept = {"memorylab.json", "run.log", "decision_packet.json", "decision_packet.md"}
    assert kept == set(Memory.open().files(run))
    assert json.loads(Memory.open().read_file(run, "memorylab.json")) == ledger(repo)[0]


def test_what_was_logged_is_not_imported_again(repo: Git, call: Caller) -> None:
    result(repo)
    call("memorylab", *KEEP, "baseline")
    (source,) = call.json("import", str(repo.path / "results" / "memorylab"))["sources"]
    assert (source["new"], source["there"]) == (0, 1)
    assert Memory.open().count() == 1


def test_a_crash_has_no_value_and_says_why(repo: Git, call: Caller) -> None:
    result(repo)
    text = "Traceback (most recent call last):\n  x\ntorch.OutOfMemoryError: CUDA out of memory\n\n"
    repo.write("run.log", (repo.path / "run.log").read_text() + text)
    found = call.json("memorylab", "log", "--status", "crash", "--description", "double width")
    record = found["record"]
    assert record["metrics"]["val_bpb"] is None
    assert record["error"]["summary"] == "torch.OutOfMemoryError: CUDA out of memory"
    assert record["error"]["source"] == "run.log"
    assert record["decision_packet"]["next_action"] == "fix_and_retry"
    assert (repo.path / "results.tsv").read_text().splitlines()[1].split("\t")[1:] == [
        *("0.000000", "0.0", "crash", "double width")
    ]
    run = Memory.open().get(found["run"])
    assert (run.status, run.verdict) == ("crashed", "crash")
    assert run.error is not None
    assert run.error.type == "torch.OutOfMemoryError"
    assert "val_bpb" not in run.metrics


def test_a_crash_needs_no_log(repo: Git, call: Caller) -> None:
    call("memorylab", "log", "--status", "crash", "--description", "x", "--error", "it hung")
    assert ledger(repo)[0]["error"] == {"summary": "it hung", "tail": "", "source": "argument"}


def test_the_summary_of_the_environment_is_preferred(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    result(repo)
    path = repo.write("out/metrics.json", '{"val_bpb": 0.5, "peak_vram_mb": 1}')
    monkeypatch.setenv("AUTORESEARCH_SUMMARY_PATH", str(path))
    call("memorylab", *KEEP, "from the summary")
    other = repo.write("other.json", '{"val_bpb": 0.4, "peak_vram_mb": 1}')
    call("memorylab", *KEEP, "from another", "--summary", str(other))
    monkeypatch.setenv("AUTORESEARCH_SUMMARY_PATH", "gone.json")
    call("memorylab", *KEEP, "from the log")
    assert [r["metrics"]["val_bpb"] for r in ledger(repo)] == [0.5, 0.4, 0.9979]
    archived = repo.path / ledger(repo)[0]["artifacts"]["summary_json"]
    assert archived.read_bytes() == path.read_bytes()


def test_skipping_the_archive_leaves_the_files_to_git(repo: Git, call: Caller) -> None:
    result(repo)
    found = call.json("memorylab", *KEEP, "x", "--skip-archive")
    assert (found["paths"], found["record"]["artifacts"]) == ([], {})
    assert not (repo.path / "results/memorylab/runs").exists()
    assert Memory.open().read_file(Memory.open().get("latest"), "run.log").startswith(b"---")


def test_two_runs_in_one_second_have_two_ids(repo: Git, call: Caller) -> None:
    result(repo)
    for number in range(3):
        call("memorylab", *KEEP, f"run {number}", "--skip-archive")
    assert len({record["run_id"] for record in ledger(repo)}) == 3
    assert Memory.open().count() == 3


def test_a_better_run_takes_over_and_a_repeated_failure_is_abandoned(
    repo: Git, call: Caller
) -> None:
    log = ("memorylab", "log", "--skip-archive", "--json", "--description")
    result(repo, 1.0)
    call(*log, "depth 12", "--status", "keep")
    result(repo, 0.9)
    better = call(*log, "muon", "--status", "keep").data["record"]["decision_packet"]
    result(repo, 1.2)
    first = call(*log, "rotary base", "--status", "discard").data["record"]["decision_packet"]
    again = call(*log, "rotary base", "--status", "discard").data["record"]["decision_packet"]
    assert [p["next_action"] for p in (better, first, again)] == ["promote", "abandon", "abandon"]
    assert better["comparison"]["delta"] == pytest.approx(-0.1)
    assert [p["novelty"]["classification"] for p in (first, again)] == ["novel", "duplicate_run"]
    registry = json.loads((repo.path / REGISTRY).read_text())
    assert registry["champion"]["description"] == "muon"
    assert registry["failure_clusters"][0]["size"] == 2


def test_report_writes_the_latest_and_a_copy(repo: Git, call: Caller, tmp_path: Path) -> None:
    result(repo)
    call("memorylab", *KEEP, "lr 0.2")
    copy = tmp_path / "copy.md"
    said = call("memorylab", "report", "--since-hours", "2", "--output", str(copy)).out
    assert masked(said) == (
        "The report is written:\n"
        "  results/memorylab/reports/latest.md\n"
        "  results/memorylab/reports/TIME.md\n"
        f"  {copy}\n"
    )
    text = copy.read_text()
    assert "the last 2 hours" in text
    assert text == (repo.path / "results/memorylab/reports/latest.md").read_text()
    assert call.json("memorylab", "report")["markdown"].startswith("# MemoryLab report\n")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ((), 2, "required: COMMAND"),
        (("check",), 2, "required: --description"),
        (("log", "--description", "x"), 2, "required: --status"),
        (("check", "--description", "x", "--mode", "odd"), 2, "invalid choice: 'odd'"),
        (("check", "--description", "x", "--limit", "-1"), 2, "is not a number of matches"),
        (("report", "--since-hours", "nan"), 2, "is not a number of hours"),
        (("check", "--description", "  "), 1, "The description is empty."),
        (("check", "--description", "x", "--threshold", "nan"), 1, "is not between 0 and 1."),
        ((*KEEP, "x"), 1, "needs a number for val_bpb and peak_vram_mb."),
        ((*KEEP, "x", "--log", "pkg"), 1, "pkg"),
    ],
)
def test_what_cannot_be_done_exits_with_one_and_bad_usage_with_two(
    repo: Git, call: Caller, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in call("memorylab", *arguments, code=code).err
    assert not (repo.path / "results").exists()
    assert Memory.open().count() == 0


def test_errors_of_other_exit_codes_become_one(
    hermetic: Path, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("memorylab", "init", code=1).err.startswith("error: ")


def test_a_repository_without_commits_cannot_log(
    identity: None, tmp_path: Path, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Git(folder)("init", "--quiet")
    said = call("memorylab", "log", "--status", "crash", "--description", "x", code=1).err
    assert said == ("error: There is no commit yet.\nhint: Commit the experiment, then log it.\n")


def test_texts_by_others_reach_the_terminal_harmlessly(repo: Git, call: Caller) -> None:
    result(repo)
    said = call("memorylab", *KEEP, HOSTILE, "--hypothesis", HOSTILE, "--family", HOSTILE).out
    said += call("memorylab", *KEEP, HOSTILE, "--hypothesis", HOSTILE, "--family", HOSTILE).out
    said += call("memorylab", "check", "--description", HOSTILE, "--family", HOSTILE).out
    report = call.json("memorylab", "report")["markdown"]
    packet = (repo.path / ledger(repo)[0]["artifacts"]["decision_packet_md"]).read_text()
    assert "duplicate_run" in said
    assert is_harmless(said)
    assert is_harmless(report)
    assert is_harmless(packet)


def test_logs_at_the_same_time_lose_no_line(repo: Git) -> None:
    result(repo)
    words = (sys.executable, "-m", "gitexp.cli.main", "memorylab", "log", "--status", "keep")
    started = [
        subprocess.Popen([*words, "--description", f"idea {n}"], stdout=subprocess.DEVNULL)
        for n in range(4)
    ]
    assert [process.wait() for process in started] == [0] * 4
    assert {record["description"] for record in ledger(repo)} == {f"idea {n}" for n in range(4)}
    assert len((repo.path / "results.tsv").read_text().splitlines()) == 5
    assert Memory.open().count() == 4


def test_the_program_answers_for_each_command(repo: Git) -> None:
    for command in ("init", "check", "log", "report"):
        assert "--json" in gitexp("memorylab", command, "-h").stdout
    assert "check" in gitexp("memorylab", "-h").stdout


def test_nothing_of_a_run_is_written_when_git_cannot_record_it(
    repo: Git, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    call("memorylab", "init")
    before = {p: p.read_bytes() for p in (repo.path / "results").rglob("*") if p.is_file()}
    result(repo)

    def fail(*_: Any, **__: Any) -> str:
        raise GitexpError("The disk is full.")

    monkeypatch.setattr(lab, "record_run", fail)
    call("memorylab", *KEEP, "x", code=1)
    after = {p: p.read_bytes() for p in (repo.path / "results").rglob("*") if p.is_file()}
    assert after == before
