"""Runs as JSON lines, CSV, Parquet and as a page: what comes back is what was there."""

from __future__ import annotations

import csv
import errno
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gitexp import Experiment
from gitexp.errors import GitexpError
from gitexp.index.schema import unpack
from gitexp.index.search import Found
from gitexp.interchange import page as page_module
from gitexp.interchange.export import formula_safe, write_csv, write_jsonl
from gitexp.interchange.page import gather, read_patch
from gitexp.interchange.replace import replaced
from gitexp.memory import Memory
from gitexp.records.facts import RunFact
from gitexp.table import every_column, fill
from tests.full_store import (
    BEGIN,
    BY,
    HOSTILE,
    Caller,
    commit,
    drop_object,
    hostile_run,
    is_harmless,
    record_runs,
    running,
    write_facts,
    write_full_run,
)
from tests.support import Git, gitexp
from tests.test_page import browse, data_in, needs_browser

ODD = {
    "💥 emoji": "ü\u2028",
    'quote "': "a,b;c\t'",
    "line\nend": "x\r\ny",
    "select": "DROP TABLE run; --",
    "": "nothing",
    "a.b c/d": "",
    "formula": "=HYPERLINK(1)",
    "minus": -0.5,
    "large": 2**60 + 1,
    "tiny": 5e-324,
    "third": 1 / 3,
    "nan": math.nan,
    "inf": -math.inf,
    "yes": True,
    "none": None,
    "list": [1, "é", {"k": [None]}],
}
COLUMN = {name: f"params.{name}" for name in ODD}


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


@pytest.fixture
def odd(repo: Git) -> Git:
    """A repository with a full run, one with odd parameters, and one whose values are mixed."""
    write_full_run(repo)
    with Experiment("odd", params=ODD, tags=["a, b", "c"]) as experiment:
        experiment.track({"select": math.nan, "val/acc 💥": 1})
    with Experiment("mixed", params={"third": "text", "minus": 3, "yes": None}):
        pass
    return repo


def lines_of(text: str | bytes) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def as_text(value: Any) -> str | None:
    """A value of a column of several kinds as Parquet has it."""
    is_text = value is None or isinstance(value, str)
    return value if is_text else json.dumps(value, ensure_ascii=False)


# JSON lines


def test_json_lines_are_the_documents_of_the_runs(call: Caller, odd: Git) -> None:
    with running("now"):
        printed = call("export")
        found = Memory.open().search()
        assert lines_of(printed.out) == [each.document for each in found]
        assert lines_of(printed.out) == call.json("log")["runs"]
    assert [line["name"] for line in lines_of(printed.out)] == ["now", "mixed", "odd", "full"]


def test_a_file_of_json_lines_is_what_is_printed(call: Caller, odd: Git, tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    said = call("export", "-o", str(file))
    assert said.out == f"Wrote 3 runs to {file}.\n"
    assert file.read_bytes().decode() == call("export").out


def test_a_line_is_a_line_whatever_a_run_says(call: Caller, repo: Git) -> None:
    hostile_run(repo)
    write_facts(commit(repo, "x"), RunFact(time=BEGIN, by=BY, name="delete\x7f"))
    out = call("export").out
    assert out.count("\n") == len(out.splitlines()) == 3
    assert is_harmless(out)
    assert {line["name"] for line in lines_of(out)} == {HOSTILE, "other", "delete\x7f"}


def test_a_run_that_no_line_can_be_made_of_stops_nothing_before_it(repo: Git) -> None:
    record_runs(repo)
    found = Memory.open().search()
    stream = io.BytesIO()
    with pytest.raises(Exception, match="damaged"):
        write_jsonl([*found, found[0]._replace(packed=b"?")], stream, None)
    assert len(lines_of(stream.getvalue())) == 3


def test_progress_is_told(repo: Git) -> None:
    record_runs(repo)
    told: list[tuple[int, int]] = []
    write_jsonl(Memory.open().search(), io.BytesIO(), lambda *numbers: told.append(numbers))
    assert told == [(0, 3), (3, 3)]


# CSV


def test_csv_has_a_row_for_each_run_and_all_it_has(call: Caller, odd: Git) -> None:
    rows = rows_of(call("export", "--format", "csv").out)
    assert [row["name"] for row in rows] == ["mixed", "odd", "full"]
    values = {name: rows[1][column] for name, column in COLUMN.items()}
    assert values == ODD | {
        "minus": "-0.5",
        "large": "1152921504606846977",
        "tiny": "5e-324",
        "third": "0.3333333333333333",
        "nan": "NaN",
        "inf": "-Infinity",
        "yes": "true",
        "none": "",
        "list": '[1, "é", {"k": [null]}]',
    }
    assert json.loads(rows[1]["tags"]) == ["a, b", "c"]
    assert (rows[1]["select"], rows[1]["best(select)"], rows[1]["val/acc 💥"]) == ("NaN", "", "1")
    assert (rows[0]["params.third"], rows[0]["params.list"]) == ("text", "")
    assert rows[2]["started"] == "2026-01-31T12:00:00.000000Z"
    assert rows[2]["dirty"] == "true"


def test_csv_is_rfc_4180_in_utf_8(call: Caller, odd: Git, tmp_path: Path) -> None:
    file = tmp_path / "runs.csv"
    call("export", "-o", str(file))
    content = file.read_bytes()
    assert content.startswith(b"run,name,status,")
    assert content.endswith(b"\r\n")
    assert b'""' in content
    widths = {len(row) for row in csv.reader(io.StringIO(content.decode(), newline=""))}
    assert len(widths) == 1


def test_pandas_reads_the_csv(call: Caller, odd: Git, tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    call("export", "-o", str(tmp_path / "runs.csv"))
    frame = pandas.read_csv(tmp_path / "runs.csv", parse_dates=["started"]).set_index("name")
    assert frame.loc["odd", "params.third"] == repr(1 / 3)  # beside a text, so a text
    assert frame.loc["odd", "params.tiny"] == 5e-324
    assert frame.loc["odd", "params.inf"] == -math.inf
    assert math.isnan(frame.loc["odd", "select"])
    assert frame.loc["odd", "params.line\nend"] == "x\r\ny"
    assert str(frame["started"].dtype).endswith("UTC]")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"])  # noqa: RUF001
def test_a_text_that_a_spreadsheet_would_run_is_exact_unless_asked(
    call: Caller, repo: Git, text: str
) -> None:
    write_facts(
        commit(repo, "x"), RunFact(time=BEGIN, by=BY, name=text, parameters={"x": -1, text: [text]})
    )
    columns = ("--columns", f"name,params.x,`params.{text}`")
    (row,) = rows_of(call("export", "--format", "csv", *columns).out)
    assert (row["name"], row["params.x"]) == (text, "-1")
    assert json.loads(row[f"params.{text}"]) == [text]
    (row,) = rows_of(call("export", "--format", "csv", "--formula-safe", *columns).out)
    assert row["name"] == f"'{text}"
    assert row["params.x"] == "-1"
    assert formula_safe("a=b") == "a=b"


def test_csv_on_a_terminal_is_safe_for_it(
    call: Caller, repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile_run(repo)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert is_harmless(call("export", "--format", "csv").out.replace("\r\n", "\n"))


def test_columns_of_csv_are_those_asked_for(call: Caller, repo: Git) -> None:
    record_runs(repo)
    options = ("--columns", "name,lr,max(acc)", "--sort", "lr", "-n", "2")
    assert call("export", "--format", "csv", *options).out.splitlines() == [
        "name,params.lr,max(acc)",
        "run 0,0.0,0.3",
        "run 1,0.1,1.3",
    ]


def test_a_run_is_decoded_when_the_one_before_is_written(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_runs(repo)
    found = Memory.open().search()
    columns = every_column((each.document for each in found), lambda _: True)
    seen: list[str] = []

    class Stream(io.BytesIO):
        def write(self, data: Any) -> int:
            seen.append("written")
            return super().write(data)

    def decode(each: Found) -> dict[str, Any]:
        seen.append("decoded")
        return unpack(each.packed, each.dictionary)

    monkeypatch.setattr(Found, "document", property(decode))
    write_jsonl(found, Stream(), None)
    assert seen == ["decoded", "written"] * 3
    seen.clear()
    write_csv(found, columns, Stream(), None)
    assert seen == ["written", *["decoded", "written"] * 3]


# Parquet


def test_parquet_reads_back_as_the_table(call: Caller, odd: Git, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "runs.parquet"
    said = call.json("export", "-o", str(file))
    table = parquet.read_table(file)
    found = Memory.open().search()
    expected = fill(found, every_column((each.document for each in found), lambda m: m == "loss"))
    assert table.column_names == list(expected) == said["columns"]
    for title in ("params.third", "params.list", "tags"):
        expected[title] = list(map(as_text, expected[title]))
    expected["params.minus"] = [3.0, -0.5, None]  # an integer beside a float
    for title, values in expected.items():
        read = table[title].to_pylist()
        if any(value != value for value in read):  # noqa: PLR0124 - NaN alone is not itself
            assert list(map(repr, read)) == list(map(repr, values))
        else:
            assert read == values


def test_parquet_columns_have_types(call: Caller, odd: Git, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    call("export", "-o", str(tmp_path / "runs.parquet"))
    schema = parquet.read_schema(tmp_path / "runs.parquet")
    kinds = {field.name: str(field.type) for field in schema}
    expected = {
        "name": "string",
        "started": "timestamp[us, tz=UTC]",
        "duration": "double",
        "dirty": "bool",
        "calls": "int64",
        "exit_code": "int64",
        "params.third": "string",
        "params.minus": "double",
        "params.large": "int64",
        "params.none": "string",
        "params.yes": "bool",
    }
    assert {name: kinds[name] for name in expected} == expected


def test_own_columns_have_their_types_without_any_run(
    call: Caller, repo: Git, tmp_path: Path
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    file = tmp_path / "none.parquet"
    assert call.json("export", "-o", str(file))["count"] == 0
    kinds = {field.name: str(field.type) for field in parquet.read_schema(file)}
    assert parquet.read_table(file).num_rows == 0
    own = ("name", "started", "duration", "seed", "dirty", "calls")
    types = ["string", "timestamp[us, tz=UTC]", "double", "int64", "bool", "int64"]
    assert [kinds[name] for name in own] == types


def test_without_pyarrow_the_hint_names_the_extra_and_nothing_is_left(
    repo: Git, tmp_path: Path
) -> None:
    record_runs(repo)
    code = (
        "import sys; sys.modules['pyarrow'] = sys.modules['pandas'] = None\n"
        "from gitexp.cli.main import main\n"
        "main(['export', '-o', sys.argv[-1]])"
    )

    def export(name: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", code, str(tmp_path / name)]
        return subprocess.run(words, capture_output=True, text=True, check=False)

    refused = export("runs.parquet")
    assert refused.returncode == 1
    assert "pip install 'gitexp[arrow]'" in refused.stderr
    assert not list(tmp_path.glob("*runs*"))
    for name in ("runs.csv", "runs.jsonl", "runs.html"):
        assert export(name).returncode == 0


# What is selected


def test_runs_that_are_named_and_that_fit_are_exported(call: Caller, repo: Git) -> None:
    first, second, third = record_runs(repo)

    def exported(*words: str) -> list[str]:
        return [line["run"] for line in lines_of(call("export", *words).out)]

    assert exported("run 0", third) == [third, first]
    assert exported("best:acc") == [third]
    assert exported("latest~1", "--where", "lr > 0.15") == []
    assert exported("--where", "lr < 0.15", "--sort", "lr desc") == [second, first]
    assert exported("-n", "1") == [third]
    assert exported("--author", "Ada", "--since", "1 hour ago") == [third, second, first]
    assert exported("--until", "1 hour ago") == []
    assert call("export", "nobody", code=1).err.startswith("error: No run answers")


def test_no_runs_are_an_export_too(call: Caller, repo: Git, tmp_path: Path) -> None:
    assert call("export").out == ""
    assert len(call("export", "--format", "csv").out.splitlines()) == 1
    page = tmp_path / "none.html"
    assert call.json("export", "-o", str(page))["count"] == 0
    assert data_in(page.read_text())["runs"] == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--format", "parquet"], "--output"),
        (["--format", "html"], "--output"),
        (["-o", "runs.xlsx"], "--format"),
        (["-o", "runs"], "--format"),
        (["--json"], "--output"),
        (["--columns", "name"], "--columns is for csv and parquet"),
        (["--format", "csv", "--title", "x"], "--title is for html"),
        (["--formula-safe"], "--formula-safe is for csv"),
        (["-n", "x"], "not a number"),
        (["--format", "csv", "--columns", "nothing"], "nothing"),
        (["--where", "acc >"], "ends too early"),
    ],
    ids=" ".join,
)
def test_what_does_not_go_together_is_refused(
    call: Caller, repo: Git, words: list[str], said: str
) -> None:
    before = set(repo.path.iterdir())
    assert said in call("export", *words, code=2).err
    assert set(repo.path.iterdir()) == before


def test_a_format_that_is_named_wins_over_the_suffix(
    call: Caller, repo: Git, tmp_path: Path
) -> None:
    file = tmp_path / "runs.TXT"
    assert call.json("export", "--format", "csv", "-o", str(file))["format"] == "csv"
    assert file.read_text().startswith("run,name")
    upper = tmp_path / "RUNS.CSV"
    assert call.json("export", "-o", str(upper))["format"] == "csv"


# The file


def test_a_file_that_exists_is_replaced_and_keeps_its_mode(
    call: Caller, repo: Git, tmp_path: Path
) -> None:
    file = tmp_path / "runs.jsonl"
    file.write_text("old\n" * 1000)
    file.chmod(0o640)
    record_runs(repo)
    call("export", "-o", str(file))
    assert len(lines_of(file.read_text())) == 3
    assert file.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.iterdir() if "runs" in path.name] == ["runs.jsonl"]


def test_a_new_file_has_the_mode_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replaced(tmp_path / "new") as stream:
            stream.write(b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_goes_on_leading_to_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    link, target = tmp_path / "link", tmp_path / "folder" / "target"
    link.symlink_to(target)
    with replaced(link) as stream:
        stream.write(b"x")
    assert link.is_symlink()
    assert target.read_bytes() == b"x"


def fail_halfway(path: Path, error: BaseException) -> None:
    with replaced(path) as stream:
        stream.write(b"half" * 100_000)
        raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError(), MemoryError()], ids=repr)
def test_a_failure_halfway_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    file = tmp_path / "file"
    with pytest.raises(type(error)):
        fail_halfway(file, error)
    assert not file.exists()
    file.write_bytes(b"old")
    with pytest.raises(type(error)):
        fail_halfway(file, error)
    assert file.read_bytes() == b"old"
    assert [path.name for path in tmp_path.glob("*file*")] == ["file"]
    assert not list(tmp_path.glob(".file*"))


def test_a_full_disk_leaves_no_half_file(repo: Git, tmp_path: Path) -> None:
    record_runs(repo)
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "runs.jsonl").write_text("old")

    code = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))\n"
        "from gitexp.cli.main import main\n"
        "main(['export', '-o', sys.argv[-1]])"
    )
    words = [sys.executable, "-c", code, str(folder / "runs.jsonl")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"error: Could not write {folder / 'runs.jsonl'}: File too large." in done.stderr
    assert [path.name for path in folder.iterdir()] == ["runs.jsonl"]
    assert (folder / "runs.jsonl").read_text() == "old"


def test_no_space_left_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(GitexpError, match="No space left") as caught:
        fail_halfway(tmp_path / "file", OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    assert caught.value.hint == "Free some space and try again."
    assert not list(tmp_path.glob("*file*"))


def test_a_folder_and_a_missing_folder_are_clear_errors(
    call: Caller, repo: Git, tmp_path: Path
) -> None:
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in call("export", "-o", str(tmp_path / "folder.csv"), code=1).err
    missing = call("export", "-o", str(tmp_path / "missing" / "runs.csv"), code=1)
    assert f"The folder {tmp_path / 'missing'} does not exist." in missing.err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_may_not_be_written_is_a_clear_error(
    call: Caller, repo: Git, tmp_path: Path
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    assert "Permission denied" in call("export", "-o", str(folder / "runs.csv"), code=1).err


def test_a_device_is_written_to_directly(repo: Git) -> None:
    record_runs(repo)
    assert gitexp("export", "--format", "csv", "-o", "/dev/null").stdout
    assert Path("/dev/null").is_char_device()


def test_a_reader_that_leaves_early_is_no_error(repo: Git) -> None:
    record_runs(repo)
    code = (
        "import os, sys\n"
        "read, write = os.pipe(); os.close(read); os.dup2(write, 1)\n"
        "from gitexp.cli.main import main\n"
        "main(['export'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (141, b"")


# The page


def edited_runs(repo: Git) -> list[str]:
    """Three runs with code edits and long curves; the last one hostile."""
    names = ["first", "second", "</script><script>document.documentElement.dataset.x=1</script>"]
    ids = []
    for number, name in enumerate(names):
        repo.write("train.py", f"lr = 0.{number}\nprint('<b>{number}</b>')\n")
        with Experiment(name, params={"lr": number / 10, name: name}, tags=[name]) as experiment:
            for step in range(1200):
                experiment.track({"acc": number + step / 1200, "loss": 1 / (step + 1)})
        ids.append(experiment.run_id)
    return ids


def test_a_page_has_the_runs_their_curves_and_their_code(
    call: Caller, repo: Git, tmp_path: Path
) -> None:
    ids = edited_runs(repo)
    page = tmp_path / "runs.html"
    said = call.json("export", "-o", str(page), "--title", "A <title>")
    assert said == {
        "format": "html",
        "path": str(page),
        "count": 3,
        "left_out": {"runs": 0, "curves": 0, "patches": 0, "cut_patches": 0},
    }
    text = page.read_text(encoding="utf-8")
    data = data_in(text)
    assert data["runs"] == call.json("log")["runs"]
    assert data["title"] == "A <title>"
    assert data["goals"] == {"acc": "max", "loss": "min"}
    _, steps, _, values = data["curves"][ids[0]]["acc"]
    assert (steps[0], steps[-1], len(steps) <= 500) == (0, 1199, True)
    assert max(values) == 0.999166667
    for number, run_id in enumerate(ids):
        patch = data["patches"][data["patch_of"][run_id]]
        assert patch == repo("diff", f"{run_id}^", run_id) + "\n"
        assert f"+print('<b>{number}</b>')" in patch


@needs_browser
def test_a_browser_shows_the_exported_page(call: Caller, repo: Git, tmp_path: Path) -> None:
    ids = edited_runs(repo)
    file = tmp_path / "runs.html"
    call("export", "-o", str(file))
    selected = ",".join(run_id[:10] for run_id in ids)
    folder = tmp_path / "browser"
    folder.mkdir()
    text = file.read_text(encoding="utf-8")
    document = browse(folder, text, f"select={selected}&metric=acc")
    assert document.rows == ids[::-1]
    assert document.one("h1").text == "repo"
    assert len(document.all("path", kind="curve")) == 3
    code = browse(folder, text, f"tab=code&select={selected}")
    patches = [section.text for section in code.all("section", kind="patch")]
    assert [f"print('<b>{i}</b>')" in patch for i, patch in enumerate(patches)] == [True] * 3
    assert "data-x" not in document.root | code.root


def test_runs_of_one_code_share_a_patch_and_a_clean_run_has_an_empty_one(repo: Git) -> None:
    with Experiment("clean"):
        pass
    repo.write("train.py", "lr = 0.5\n")
    for name in ("a", "b"):
        with Experiment(name):
            pass
    memory = Memory.open()
    data, left_out = gather(memory, memory.search(sort="started"), "x", None)
    clean, a, b = data.patches.values()
    assert clean == ""
    assert a is b
    assert "+lr = 0.5" in a
    assert left_out == (0, 0, 0)


def test_the_users_diff_settings_do_not_reach_the_page(repo: Git) -> None:
    for name, value in (("noprefix", "true"), ("mnemonicPrefix", "true"), ("external", "false")):
        repo("config", f"diff.{name}", value)
    repo("config", "color.ui", "always")
    ids = edited_runs(repo)
    memory = Memory.open()
    patch = gather(memory, memory.search(), "x", None)[0].patches[ids[0]]
    assert patch.startswith("diff --git a/train.py b/train.py\nindex ")


def test_code_that_is_not_here_and_first_commits_are_no_error(repo: Git) -> None:
    full = write_full_run(repo)  # made on a commit that is nowhere
    ids = edited_runs(repo)[:1]
    tree = repo("rev-parse", f"{ids[0]}^{{tree}}")
    repo("update-ref", "-d", f"refs/exprag/runs/{ids[0]}")
    drop_object(repo, ids[0])
    memory = Memory.open()
    data, left_out = gather(memory, memory.search(), "x", None)
    assert full not in data.patches
    assert ids[0] not in data.patches
    assert left_out.patches == 2
    whole = read_patch(memory.repository, page_module._EMPTY_TREE, tree, limit=10_000)
    assert whole is not None
    assert "+++ b/pkg/model.py" in whole[0]


def test_a_run_on_an_unborn_branch_shows_all_its_code(
    tmp_path: Path, identity: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "new"
    root.mkdir()
    monkeypatch.chdir(root)
    git = Git(root)
    git("init", "--quiet")
    git.write("a.py", "x = 1\n")
    with Experiment("first") as experiment:
        pass
    memory = Memory.open()
    (patch,) = gather(memory, memory.search(), "x", None)[0].patches.values()
    assert "new file mode 100644" in patch
    assert "+x = 1" in patch
    assert experiment.run_id


def test_long_patches_are_cut_at_the_end_of_a_line_and_said_to_be(
    repo: Git, monkeypatch: pytest.MonkeyPatch, call: Caller, tmp_path: Path
) -> None:
    monkeypatch.setattr(page_module, "PATCH_BYTES", 400)
    repo.write("train.py", "".join(f"x = {i}\n" for i in range(10_000)))
    with Experiment("long") as experiment:
        pass
    memory = Memory.open()
    data, left_out = gather(memory, memory.search(), "x", None)
    patch = data.patches[experiment.run_id]
    assert 300 < len(patch) <= 400
    assert patch.endswith("\n")
    assert set(data.cut_patches) == {experiment.run_id}
    assert left_out.cut_patches == 1
    said = call("export", "-o", str(tmp_path / "runs.html"))
    assert "1 cut patches" in said.err


def test_the_budget_of_patches_and_curves_is_kept(
    repo: Git, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_module, "ALL_PATCH_BYTES", 300)
    monkeypatch.setattr(page_module, "CURVE_POINTS", 1600)
    repo("config", "exprag.metric", "loss")
    edited_runs(repo)
    memory = Memory.open()
    data, left_out = gather(memory, memory.search(), "x", None)
    assert [list(curves) for curves in data.curves.values()] == [["loss"]] * 3
    assert len(data.patches) == 2
    assert left_out == (3, 1, 0)


def test_curves_that_most_runs_have_come_first(repo: Git, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_module, "CURVE_POINTS", 3)
    for names in (("loss",), ("acc", "loss")):
        with Experiment("x") as experiment:
            experiment.track(dict.fromkeys(names, 1.0))
    memory = Memory.open()
    data, left_out = gather(memory, memory.search(limit=2), "x", None)
    assert list(data.goals) == ["loss", "acc"]
    assert left_out.curves == 0
    monkeypatch.setattr(page_module, "CURVE_POINTS", 2)
    data, left_out = gather(memory, memory.search(), "x", None)
    assert [list(curves) for curves in data.curves.values()] == [["loss"], ["loss"]]
    assert left_out.curves == 1


def test_only_the_first_runs_have_curves_and_code(
    repo: Git, monkeypatch: pytest.MonkeyPatch, call: Caller, tmp_path: Path
) -> None:
    monkeypatch.setattr(page_module, "DETAILED_RUNS", 1)
    monkeypatch.setattr("gitexp.cli.commands.export._PAGE_RUNS", 2)
    ids = edited_runs(repo)
    page = tmp_path / "runs.html"
    said = call("export", "-o", str(page))
    data = data_in(page.read_text(encoding="utf-8"))
    assert [run["run"] for run in data["runs"]] == [ids[2], ids[1]]
    assert list(data["curves"]) == list(data["patch_of"]) == [ids[2]]
    assert "hint: Not in the page, or not whole: 1 runs, 2 curves, 1 patches." in said.err
    assert said.out == f"Wrote 2 runs to {page}.\n"
    assert call.json("export", "-n", "3", "-o", str(page))["count"] == 3


def test_binary_and_odd_bytes_in_code_are_text_in_the_page(repo: Git) -> None:
    repo.write("odd.txt", b"caf\xe9 \x1b[31m\n")
    repo.write("blob.bin", bytes(range(256)))
    repo("add", ".")
    with Experiment("bytes") as experiment:
        pass
    memory = Memory.open()
    patch = gather(memory, memory.search(), "x", None)[0].patches[experiment.run_id]
    assert "+caf\\xe9 \x1b[31m" in patch
    assert "Binary files /dev/null and b/blob.bin differ" in patch


# What is loaded


def test_exporting_never_loads_libgit2(repo: Git) -> None:
    record_runs(repo)
    code = (
        "import sys\nfrom gitexp.cli.main import main\n"
        "try:\n    main(['export', '-o', '/dev/null', '--format', sys.argv[1]])\n"
        "except SystemExit as stop:\n    assert not stop.code\n"
        "print(sorted({'pygit2', 'pyarrow', 'pandas'} & set(sys.modules)))"
    )
    for kind in ("jsonl", "csv", "html"):
        words = [sys.executable, "-c", code, kind]
        done = subprocess.run(words, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "[]"
