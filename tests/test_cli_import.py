"""``git exp import``: what it says, what it refuses, what it leaves to the terminal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.memory import Memory
from tests.full_store import Caller
from tests.ledgers import HEADER, ROWS, write, write_json
from tests.support import Git, gitexp

HOSTILE = "\x1b[31mred\x9b2J\u202ereversed"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return write(tmp_path / "results.tsv", [HEADER, *ROWS])


def test_it_says_what_it_did_and_what_columns_became(repo: Git, ledger: Path, call: Caller) -> None:
    done = call("import", str(ledger))
    assert "results.tsv: table, 4 rows" in done.out
    assert "val_bpb      metrics.val_bpb" in done.out
    assert "Goal metric: val_bpb, lower is better (from its name)." in done.out
    assert "2 zeros of crashed runs left out" in done.out
    assert done.out.endswith("Imported 4 new runs.\n")
    assert "git config exprag.metric val_bpb && git config exprag.goal min" in done.err
    again = call("import", str(ledger))
    assert again.out.endswith("Imported 0 new runs; 4 were there already.\n")


def test_json_says_it_all(repo: Git, ledger: Path, call: Caller) -> None:
    write(ledger, [HEADER, *ROWS, "torn", "aaaaaa5\t-\t-\tpending\tlater"])
    done = call.json("import", str(ledger), "--skip-bad")
    [source] = done["sources"]
    assert done["dry_run"] is False
    assert len(source.pop("runs")) == 4
    assert source.pop("columns")[1] == {
        "column": "val_bpb",
        "field": "metrics.val_bpb",
        "source": "values",
        "filled": 4,
    }
    assert source == {
        "path": str(ledger),
        "format": "table",
        "new": 4,
        "there": 0,
        "withdrawn": 0,
        "with_code": 0,
        "changed": 0,
        "skipped": 1,
        "placeholders": 2,
        "metric": "val_bpb",
        "goal": "min",
        "goal_source": "name",
        "bad": [{"file": "", "line": 6, "reason": "has 1 field, the header 5"}],
        "unfinished": [{"file": "", "line": 7, "reason": "is of a run that is not over (pending)"}],
        "notes": [],
    }


def test_a_dry_run_says_the_same_and_writes_nothing(repo: Git, ledger: Path, call: Caller) -> None:
    before = list_refs(Repository.discover(), "refs/")
    done = call("import", "--dry-run", str(ledger))
    assert done.out.endswith("Would import 4 new runs.\n")
    assert call.json("import", "--dry-run", str(ledger))["sources"][0]["new"] == 4
    assert list_refs(Repository.discover(), "refs/") == before


def test_bad_rows_stop_it_until_they_are_to_be_skipped(
    repo: Git, ledger: Path, call: Caller
) -> None:
    write(ledger, [HEADER, *ROWS, *["torn"] * 30])
    refused = call("import", str(ledger), code=1)
    assert "30 of the 34 rows of" in refused.err
    assert "line 6 has 1 field, the header 5" in refused.err
    assert "line 25 has" in refused.err
    assert "line 26 has" not in refused.err
    assert "and 10 more" in refused.err
    assert "--skip-bad" in refused.err
    assert Memory.open().count() == 0
    details = json.loads(call("import", str(ledger), "--json", code=1).err)["error"]["details"]
    assert len(details) == 30
    done = call("import", "--skip-bad", str(ledger))
    assert "Skipped: 30 rows." in done.out
    assert "and 10 more" in done.out
    assert Memory.open().count() == 4


def test_several_sources_are_imported_all_or_none(repo: Git, ledger: Path, call: Caller) -> None:
    torn = write(ledger.with_name("torn.tsv"), [HEADER, "torn", ROWS[0]])
    call("import", str(ledger), str(torn), code=1)
    assert Memory.open().count() == 0
    other = write_json(ledger.with_name("more.jsonl"), [{"name": "x", "loss": 1}])
    done = call.json("import", str(ledger), str(other))
    assert [source["new"] for source in done["sources"]] == [4, 1]


def test_nothing_fits_is_a_failure_even_when_skipping(
    repo: Git, ledger: Path, call: Caller
) -> None:
    write(ledger, [HEADER + "\textra", *ROWS])
    refused = call("import", "--skip-bad", str(ledger), code=1)
    assert "None of the 4 rows of" in refused.err
    assert "--header" in refused.err
    call("import", "--header", HEADER.replace("\t", ","), str(ledger))
    assert Memory.open().count() == 4


def test_the_map_is_the_users(repo: Git, ledger: Path, call: Caller) -> None:
    words = ("--map", "memory_gb=metric", "--map", "val_bpb=params.bpb", str(ledger))
    done = call("import", *words)
    assert "Goal metric: memory_gb" in done.out
    assert call("import", "--map", "x=metric", str(ledger), code=2).err.startswith("error: The led")
    call("import", "--map", "nonsense", str(ledger), code=2)
    assert Memory.open().best("memory_gb").rows[0].value == 44.0


def test_code_is_there_where_the_commit_is(repo: Git, ledger: Path, call: Caller) -> None:
    head = repo("rev-parse", "--short", "HEAD")
    write(ledger, [HEADER, ROWS[0].replace("aaaaaa1", head), ROWS[1]])
    assert call("import", str(ledger)).out.endswith("Imported 2 new runs, 1 with code.\n")
    [with_code, _] = sorted(call.json("log")["runs"], key=lambda run: run["name"])
    assert "baseline" in call("diff", with_code["run"]).out or with_code["name"] == "baseline"
    assert repo("rev-parse", f"{with_code['run']}^") == repo("rev-parse", "HEAD")


def test_when_the_goal_is_set_the_hint_leads_on(repo: Git, ledger: Path, call: Caller) -> None:
    repo("config", "exprag.metric", "val_bpb")
    vars(Repository.discover()).pop("settings", None)
    assert "git exp report" in call("import", str(ledger)).err


def test_a_setting_that_cannot_be_understood_stops_it_before_it_writes(
    repo: Git, ledger: Path, call: Caller
) -> None:
    repo("config", "exprag.metric", "val_bpb")
    repo("config", "exprag.goal", "best")
    vars(Repository.discover()).pop("settings", None)
    call("import", str(ledger), code=2)
    assert Memory.open().count() == 0


def test_what_a_ledger_says_never_reaches_a_terminal_raw(
    repo: Git, tmp_path: Path, call: Caller
) -> None:
    header = f"name{HOSTILE}\tloss; rm -rf ~{HOSTILE}\tstatus"
    path = write(tmp_path / f"le{HOSTILE}dger", [header, f"{HOSTILE}\t1\tx{HOSTILE}", HOSTILE])
    refused = call("import", str(path), code=1)
    done = call("import", "--skip-bad", str(path))
    for text in (refused.err, done.out, done.err, call("log").out):
        assert not {"\x1b", "\x9b", "\u202e"}.intersection(text)
    assert "exprag.metric 'loss; rm" in done.err


def test_unknown_sources_are_clear_failures(repo: Git, tmp_path: Path, call: Caller) -> None:
    assert "does not exist" in call("import", str(tmp_path / "none"), code=1).err
    assert "neither a MemoryLab store" in call("import", str(tmp_path), code=1).err
    (tmp_path / "empty").touch()
    assert "is empty" in call("import", str(tmp_path / "empty"), code=1).err
    assert "SOURCE" in call("import", code=2).err


def test_a_run_that_was_removed_is_said_to_stay_so(repo: Git, ledger: Path, call: Caller) -> None:
    call("import", str(ledger))
    call("rm", "--yes", "baseline")
    assert call("import", str(ledger)).out.endswith(
        "Imported 0 new runs; 3 were there already; 1 was removed before.\n"
    )


def test_it_works_as_a_program(repo: Git, ledger: Path) -> None:
    assert "Imported 4 new runs" in gitexp("import", str(ledger)).stdout
    assert "usage: git exp import" in gitexp("import", "--help").stdout
