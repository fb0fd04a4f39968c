"""Every command over a repository that was made to attack its reader (`tests.attack`).

What is promised is in docs/security.md: no fault of ours, nothing that a terminal, a browser or a
shell acts on, no file anywhere but where it belongs, bounded memory, and the honest runs as ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import html.parser
import importlib
import io
import json
import os
import re
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

import gitexp
from gitexp.cli.main import guarded
from gitexp.cli.registry import COMMANDS, EXIT_CODES
from gitexp.git.read import list_refs
from gitexp.git.repository import Repository
from gitexp.journal import frame, host_name, this_process
from gitexp.records.facts import BadLineError
from gitexp.records.history import read_history
from gitexp.records.series import calls
from gitexp.seal import recover
from tests import attack
from tests.attack import FACTS, HTML, METRICS, TEXTS, TIME, Attack, Objects, line, note
from tests.support import Git

FORMS: dict[str, list[str]] = {
    "run": ["run -- true"],
    "note": ["note {hostile} text", "note --help"],
    "tag": ["tag {hostile}", "tag {hostile} new"],
    "verdict": ["verdict {hostile} keep"],
    "log": [
        "log",
        "log -n 3 --columns run,name,by,parent,started,host,tags,params.lr",
        "log --only-changed",
        "log --sort name",
        "log --tree {hostile}",
        "log --commit HEAD",
        "log --where name",
    ],
    "show": ["show", "show {hostile} --environment", "show {honest}", "show {honest} --log"],
    "best": ["best acc", "best extreme", "best integer", "best zero acc", "best nothing"],
    "compare": ["compare", "compare --all", "compare --transpose", "compare {hostile} {honest}"],
    "metrics": ["metrics {hostile}", "metrics {honest} acc", "metrics {hostile} acc --points 4"],
    "plot": [
        "plot acc",
        "plot integer",
        "plot extreme --log-y",
        "plot acc {honest} {hostile} -o {out}/x.svg",
        "plot integer -o {out}/y.svg --x time",
    ],
    "export": [
        "export -n 100",
        "export --format csv --formula-safe",
        "export -o {out}/x.html",
        "export -o {out}/x.csv",
        "export -o {out}/x.jsonl",
    ],
    "diff": ["diff {hostile} {honest}", "diff {honest} --stat", "diff {hostile}"],
    "status": ["status", "status --size"],
    "watch": ["watch --until-done"],
    "checkout": ["checkout {hostile} --worktree {out}/tree"],
    "push": ["push --dry-run origin", "push origin {honest}", "push --all origin"],
    "pull": ["pull origin"],
    "rm": ["rm --yes {hostile}"],
    "gc": ["gc --dry-run", "gc --older-than 0d"],
    "archive": ["archive --dry-run", "archive --older-than 0d"],
    "verify": ["verify", "verify --repair"],
    "init": ["init"],
    "hook": ["hook agent-start", "hook pre-push origin url", "hook pre-receive"],
    "skill": ["skill"],
    "completion": ["completion bash"],
    "reindex": ["reindex"],
    "recover": ["recover"],
    "record": ["record {hostile}", "record --parent {hostile} --metric extreme=1 --command true"],
    "replicate": ["replicate {hostile} -- true", "replicate --seeds 1,2 {hostile}"],
    "check": [
        "check {hostile}",
        "check --metric acc lr",
        "check --param lr=0.1 --mode explore --limit 100",
        "check --diff",
    ],
    "methods": [
        "methods list",
        "methods search {hostile}",
        "methods search acc --explain --no-record",
        "methods next",
        "methods used",
        "methods show swiglu",
    ],
    "papers": ["papers list", "papers search {hostile}", "papers show {hostile}"],
    "usage": ["usage --by run", "usage --by session"],
    "loop": ["loop --list", "loop --dry-run --script {out}/none.jsonl --metric acc -- true"],
    "decide": ["decide {hostile} --metric acc", "decide --all --metric extreme --markdown"],
    "noise": ["noise", "noise acc", "noise extreme", "noise integer --min", "noise zero"],
    "report": [
        "report --since 1970-01-01",
        "report --since {hostile}",
        "report --metric extreme --since 1970-01-01",
        "report --metric acc --since 1970-01-01 --html {out}/report.html",
    ],
    "context": ["context", "context --tokens 200", "context --tokens 100000"],
    "memorylab": [
        "memorylab check --description lr",
        "memorylab check --description lr --mode replicate --limit 100",
    ],
    "import": [
        "import {hostile}",
        "import --dry-run README",
        "export -n 100 -o {out}/x.csv",
        "import --skip-bad {out}/x.csv",
        "export -n 100 -o {out}/x.jsonl",
        "import --skip-bad {out}/x.jsonl",
    ],
}
"""What each command is called with; `{hostile}` stands for one hostile run after the other."""

RAW = re.compile(r"(diff|show .*--(file|log)|export|skill|completion|run)\b.*(?<!--json)$")
"""What hands on bytes as they are where no terminal is: code, kept files, exported values."""

ACTED_ON = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)
OWN_PLACES = re.compile(
    r"repo/\.git/(objects|exprag|refs|logs|worktrees|packed-refs|HEAD|ORIG_HEAD|FETCH_HEAD|index)\b"
    r"|remote/|out/|home/\.cache/gitexp/"
)


@pytest.fixture
def attacked(repo: Git) -> Attack:
    return attack.build_attack(repo)


@pytest.fixture
def remote(repo: Git, tmp_path: Path) -> Git:
    """An empty bare repository, which `origin` names."""
    (tmp_path / "out").mkdir()
    repo("init", "--quiet", "--bare", str(tmp_path / "remote"))
    repo("remote", "add", "origin", str(tmp_path / "remote"))
    return Git(tmp_path / "remote")


class Call:
    """Call commands in this process; every call is checked for what holds of all."""

    def __init__(self, capfd: pytest.CaptureFixture[bytes]) -> None:
        self._capfd = capfd

    def __call__(self, command: str | list[str]) -> tuple[int, bytes, str]:
        words = command.split(" ") if isinstance(command, str) else command
        self._capfd.readouterr()
        try:
            code = guarded(words)
        except SystemExit as ended:  # argparse, after --help
            code = int(ended.code or 0)
        out, raw = self._capfd.readouterr()
        err = raw.decode()
        shown = " ".join(words)
        assert code in dict(EXIT_CODES), f"{shown}: {code}"
        assert code != 3, f"{shown}: {err}"
        assert not ACTED_ON.search(err), f"{shown}: {err!r}"
        if not RAW.match(shown):
            assert not ACTED_ON.search(out.decode()), f"{shown}: {out!r}"
        if "--json" in words and code == 0 and out:
            for each in [out] if words[0] != "watch" else out.splitlines():
                json.loads(each)
        return code, out, err

    def json(self, command: str) -> Any:
        code, out, err = self(f"{command} --json")
        assert code == 0, err
        return json.loads(out)


@pytest.fixture
def call(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"")))
    return Call(capfdbinary)


def listing(folder: Path) -> dict[str, str]:
    """Return what stands in a folder, by path, but for where gitexp and git keep their own."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if OWN_PLACES.match(name) or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            found[name] = f"-> {path.readlink()}"
        else:
            found[name] = hashlib.sha1(path.read_bytes()).hexdigest()
    return found


WIDE = ("show", "metrics", "diff")
"""Commands that are called with each of the hostile runs; others with some of them."""
SOME = ("csi", "html", "option", "path", "cycle a", "time 2", "numbers", "code", "on a tree")


def commands(form: str, attacked: Attack, out: Path) -> Iterator[str]:
    some = attacked.hostile if form.startswith(WIDE) else SOME
    for what in some if "{hostile}" in form else SOME[:1]:
        yield form.format(hostile=attacked.hostile[what], honest=attacked.honest[0], out=out)


def test_every_command_is_called_below() -> None:
    assert {command.name for command in COMMANDS} <= FORMS.keys()


@pytest.mark.parametrize("name", [command.name for command in COMMANDS])
@pytest.mark.usefixtures("remote")
def test_a_command_over_the_attack(name: str, attacked: Attack, call: Call, tmp_path: Path) -> None:
    (tmp_path / "canary").write_text("sings")
    before = listing(tmp_path)
    for form in FORMS[name]:
        for command in commands(form, attacked, tmp_path / "out"):
            call(command)
            if form != "run -- true" and "--help" not in form:
                call(f"{command} --json")
    assert listing(tmp_path) == before
    assert not list(tmp_path.rglob("canary-*"))


def test_honest_runs_are_read_as_ever(attacked: Attack, call: Call) -> None:
    runs = {run["run"]: run for run in call.json("log")["runs"]}
    for number, run_id in enumerate(attacked.honest):
        run = runs[run_id]
        assert (run["name"], run["status"]) == (f"honest {number}", "finished")
        assert run["parameters"] == {"lr": number / 10}
        assert run["metrics"]["acc"]["max"] == number + 0.3
        points = call.json(f"metrics {run_id} acc")["points"]
        assert [p["value"] for p in points] == [number + step / 10 for step in range(4)]
        assert call.json(f"diff {attacked.honest[0]} {run_id}")["b"] == run_id
    assert call(f"show {attacked.honest[0]} --log")[1] == b"honest log\n"


def test_every_bad_line_is_reported_with_its_place(attacked: Attack, call: Call) -> None:
    of_metrics = call(f"metrics {attacked.honest[0]} acc")[2]
    facts = {
        (problem["ref"], problem["run"], problem["line"])
        for problem in call.json("status")["problems"]
    }
    for ref, run_id, number in attacked.bad_lines:
        if ref.startswith(FACTS):
            assert (ref, run_id, number) in facts
        else:
            assert f"{ref}, run {run_id[:12]}, line {number}: " in of_metrics
    assert {ref for ref, _, number in facts if not number} >= {FACTS + "blob", FACTS + "gone"}
    assert call.json(f"show {attacked.honest[0]}")["comments"][0]["text"] == "between bad lines"


def test_a_ref_whose_name_ends_a_line_in_unicode_is_one_ref(attacked: Attack, repo: Git) -> None:
    """Else what follows would be taken for an object id, and become an argument of git's."""
    found = list_refs(Repository.discover(), FACTS)
    assert {FACTS + name for name in attack.REFS} <= found.keys()
    assert all(re.fullmatch("[0-9a-f]{40}", oid) for oid in found.values())


class Tags(html.parser.HTMLParser):
    """What elements and attributes a browser would see, and what stands in scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.lasttag == "script":
            self.scripts[-1] += data


def tags_of(text: str) -> Tags:
    tags = Tags()
    tags.feed(text)
    tags.close()
    for tag, attributes in tags.tags:
        assert tag not in ("img", "iframe", "object", "embed", "base", "form"), tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert "javascript:" not in (value or "").lower()
    return tags


def test_a_page_of_hostile_runs_holds_no_element_of_theirs(
    attacked: Attack, call: Call, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    assert call(f"export -o {path}")[0] == 0
    text = path.read_text("utf-8")
    tags = tags_of(text)
    scripts = [attributes for tag, attributes in tags.tags if tag == "script"]
    assert [attributes.get("type") for attributes in scripts] == ["application/json", None]
    names = {run["name"] for run in json.loads(tags.scripts[0])["runs"]}
    assert names >= set(TEXTS.values())
    assert "default-src 'none'" in text
    assert text.count("<script") == 2
    assert "alert(1)" not in tags.scripts[1]


def test_what_notebooks_show_of_hostile_runs_holds_no_element_of_theirs(attacked: Attack) -> None:
    memory = gitexp.open()
    parts = [memory._repr_html_(), memory.runs()._repr_html_()]
    parts += [memory.get(run_id)._repr_html_() for run_id in attacked.hostile.values()]
    parts.append(memory.get(attacked.hostile["csi"]).history(TEXTS["csi"])._repr_html_())
    seen = {tag for part in parts for tag, _ in tags_of(part).tags}
    assert "script" not in seen
    assert "svg" not in {tag for part in parts[:2] for tag, _ in tags_of(part).tags}
    assert any("&lt;script&gt;" in part for part in parts)


@pytest.mark.parametrize("metric", [HTML, TEXTS["attribute"], TEXTS["end of data"], "integer"])
def test_a_plot_of_hostile_runs_is_well_formed(
    attacked: Attack, repo: Git, call: Call, tmp_path: Path, metric: str
) -> None:
    path = tmp_path / "plot.svg"
    series = line("end", status="finished", duration=1.0, metrics={metric: _summary()})
    Objects(repo).notes(FACTS + "plot", {attacked.hostile["html"]: note(series)})
    log = attack.odd_series()[0].replace(b'"acc"', json.dumps(metric).encode())
    Objects(repo).notes(METRICS + "plot", {attacked.hostile["html"]: log})
    assert call(["plot", metric, attacked.hostile["html"], "-o", str(path)])[0] in (0, 1)
    if path.exists():
        root = ET.parse(path).getroot()
        for element in root.iter():
            assert element.tag.rpartition("}")[2] not in ("script", "foreignObject", "image", "a")
            assert not [name for name in element.attrib if name.lower().startswith("on")]


def _summary() -> dict[str, Any]:
    return {"first": 1.0, "last": -1e308, "count": 2, "min": -1e308, "max": 1e308}


def test_a_metric_name_never_becomes_markup_in_a_plot(
    attacked: Attack, call: Call, tmp_path: Path
) -> None:
    path = tmp_path / "plot.svg"
    assert call(f"plot acc -o {path}")[0] == 0
    assert len(list(ET.parse(path).getroot().iter())) > 10


def test_a_csv_for_a_spreadsheet_holds_no_formula(attacked: Attack, call: Call) -> None:
    text = call("export --format csv --formula-safe")[1].decode()
    assert not re.search(r"(?m)(^|,)\"?[=@]", text)
    assert TEXTS["formula"].split('"')[0] in text


@pytest.mark.parametrize("what", ["code", "option", "on a tag", "head option"])
def test_a_checkout_of_hostile_code_runs_nothing(
    what: str, attacked: Attack, repo: Git, call: Call, tmp_path: Path
) -> None:
    """Drivers of filters come from configuration alone, git refuses `.git` in a tree."""
    hooks = {p.name: p.read_bytes() for p in (repo.path / ".git" / "hooks").iterdir()}
    code, _, err = call(f"checkout {attacked.hostile[what]}")
    if what == "code":
        assert code == 1
        assert "invalid path" in err
    assert hooks == {p.name: p.read_bytes() for p in (repo.path / ".git" / "hooks").iterdir()}
    assert not list(tmp_path.rglob("canary-*"))
    assert call("checkout -")[0] in (0, 1)
    assert repo("status", "--porcelain") == ""


def test_the_limits_are_those_of_the_page() -> None:
    page = (Path(__file__).parents[1] / "docs" / "security.md").read_text("utf-8")
    rows = re.findall(r"(?m)^\| `([\w.]+)\.(\w+)` \| (\d+)( [MG]iB)? \|", page)
    assert len(rows) == 17
    units = {"": 1, " MiB": 1 << 20, " GiB": 1 << 30}
    for module, name, number, unit in rows:
        assert getattr(importlib.import_module(module), name) == int(number) * units[unit], name


# Bombs: what declares, or unpacks to, more than anybody has.


def small_memory(*words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a process that may have 2 GiB of memory."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30));"
    program = "import sys; from gitexp.cli.main import main; main(sys.argv[1:])"
    code = (limit if sys.platform == "linux" else "") + program
    return subprocess.run([sys.executable, "-c", code, *words], capture_output=True, check=False)


def bomb_notes() -> dict[str, Callable[[Git, str], str]]:
    mega = 1 << 20
    return {
        "2 GB declared": attack.declare_two_gigabytes,
        "200 MB of blanks": lambda git, run: attack.bomb_of(git, run, b" " * 200 * mega),
        "200 MB of line ends": lambda git, run: attack.bomb_of(git, run, b"\n" * 200 * mega),
        "a line of 17 MiB": lambda git, run: attack.bomb_of(git, run, b'{"a":' * (17 * mega // 5)),
        "60 MiB of short lines": lambda git, run: attack.bomb_of(git, run, b"ab\r\n" * 15 * mega),
        "20 levels of 16 alike": lambda git, _: attack.git_bomb(git, 20, 16),
        "a nest of 5,000 trees": lambda git, _: attack.nested_tree(git, 5000),
        "a million entries": lambda git, _: attack.tree_of_many(git, 1_000_000),
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", bomb_notes())
def test_a_bomb_among_notes_costs_bounded_memory_and_is_reported(repo: Git, name: str) -> None:
    attacked = attack.build_attack(repo)
    ref = bomb_notes()[name](repo, attacked.honest[1])
    done = small_memory("log", "--json", "--where", 'name == "honest 1"')
    assert done.returncode == 0, done.stderr
    assert [run["run"] for run in json.loads(done.stdout)["runs"]] == [attacked.honest[1]]
    if name not in ("a nest of 5,000 trees", "a million entries", "200 MB of line ends"):
        assert ref in done.stderr.decode()
    assert len(done.stderr) < 100_000


@pytest.mark.slow
@pytest.mark.parametrize("content", [b" ", b"\n", b"[", b'"'], ids=repr)
def test_a_bomb_among_metrics_costs_bounded_memory(repo: Git, content: bytes) -> None:
    attacked = attack.build_attack(repo)
    attack.bomb_of(repo, attacked.honest[1], content * (200 << 20), METRICS)
    done = small_memory("metrics", attacked.honest[1], "acc")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


def test_numbers_that_a_metric_line_only_declares_are_never_made(repo: Git) -> None:
    attacked = attack.build_attack(repo)
    for bad in attack.bad_series():
        with pytest.raises(BadLineError):
            calls([bad])
    wide = {
        "kind": "series",
        "schema": 1,
        "calls": [0, 1, 65_536],
        "steps": [0, 1, 65_536],
        "times": [0] * 65_536,
        "keys": [[str(i)] for i in range(100_000)],
        "columns": [{"runs": [0, 1, 65_536]}] * 100_000,
    }
    content = json.dumps(wide).encode()
    with pytest.raises(BadLineError, match="too many to unpack"):
        calls([content])
    assert len(read_history([content], "7")) == 65_536
    Objects(repo).notes(METRICS + "wide", {attacked.honest[1]: content})
    done = small_memory("metrics", attacked.honest[1])
    assert done.returncode == 0
    assert f"{METRICS}wide, run {attacked.honest[1][:12]}, line 1: ".encode() in done.stderr


def test_very_many_metrics_and_parameters_are_read(repo: Git, call: Call) -> None:
    metrics = {f"m{i}": {"first": i, "last": i, "count": 1} for i in range(70_000)}
    objects = Objects(repo)
    run_id = objects.commit(repo("rev-parse", "HEAD^{tree}"), "exprag: wide")
    parameters = {f"p{i}": i for i in range(30_000)}
    begin = line("run", name="wide", parameters=parameters)
    end = line("end", status="finished", duration=1.0, metrics=metrics)
    objects.notes(FACTS + "wide", {run_id: note(begin, end)})
    assert call("log -n 1 --columns name,m69999,params.p29999")[1].split()[-3:] == [
        b"wide",
        b"69999",
        b"29999",
    ]
    assert len(call.json(f"show {run_id}")["metrics"]) == 70_000
    assert call(f"diff {run_id} {run_id}")[0] == 0


# What a user of the same machine, or an unpacked archive, may have put into `.git/exprag`.


def head_of_journal(time: str = TIME, **fields: Any) -> bytes:
    owner = msgspec.structs.replace(this_process(), host=host_name(), pid=1, started="x")
    run = {"kind": "run", "schema": 1, "time": time, "by": "x", "name": "live"} | fields
    return frame(msgspec.msgpack.encode(owner)) + frame(msgspec.msgpack.encode(run))


@pytest.mark.parametrize("time", [TIME, "yesterday", "0001-01-01T00:00:00+14:00"])
def test_a_hostile_journal_stops_no_command(
    attacked: Attack, repo: Git, call: Call, time: str
) -> None:
    run_id = Objects(repo).commit(repo("rev-parse", "HEAD^{tree}"), "exprag: live")
    whole = frame(msgspec.msgpack.encode([10**18, {"loss": 0.5}, None, None]))
    content = head_of_journal(time) + whole + b"".join(attack.hostile_frames())
    attack.write_journal(repo, run_id, content)
    for command in ("watch --until-done", "status", "log", "recover", f"show {run_id}"):
        call(command)
        call(f"{command} --json")
    run = gitexp.open().get(run_id)
    assert run.status == "crashed"
    assert run.metrics["loss"].last == 0.5


def test_what_is_no_journal_is_let_alone(attacked: Attack, repo: Git, call: Call) -> None:
    victim = repo.write("victim", "secret\n")
    place = attack.write_journal(repo, "c" * 40, b"")
    place.unlink()
    for make in (os.mkfifo, os.mkdir, lambda path: Path(path).symlink_to(victim)):
        make(place)
        for command in ("log", "status", "recover", "watch --until-done"):
            call(command)
        if place.is_dir():
            place.rmdir()
        else:
            place.unlink()
    assert victim.read_text() == "secret\n"


def test_a_link_among_the_files_of_a_run_is_never_sealed(repo: Git, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("top secret\n")
    run_id = Objects(repo).commit(repo("rev-parse", "HEAD^{tree}"), "exprag: live")
    path = attack.write_journal(repo, run_id, head_of_journal())
    attack.plant_links(path.with_name(f"{run_id}.files"), secret)
    path.with_name(f"{run_id}.files").joinpath("mine").write_text("mine\n")
    recover(Repository.discover())
    memory = gitexp.open()
    assert list(memory.files(memory.get(run_id))) == ["mine"]
    kept = repo("cat-file", "--batch-all-objects", "--batch-check").splitlines()
    oid = hashlib.sha1(b"blob 11\0top secret\n").hexdigest()
    assert not [each for each in kept if each.startswith(oid)]


@pytest.mark.parametrize("digest", ["../../../../secret", "a\x00b", "x" * 5000])
def test_a_digest_that_is_none_leads_to_no_file(
    repo: Git, call: Call, tmp_path: Path, digest: str
) -> None:
    record = {
        "schema": 1,
        "python": dict.fromkeys(("version", "implementation", "build", "abi"), "secret"),
        "platform": dict.fromkeys(("system", "release", "machine", "libc"), "secret"),
        "packages": {},
    }
    for folder in (tmp_path, repo.path, repo.path / ".git"):
        (folder / "secret.json").write_text(json.dumps(record))
    (repo.path / ".git" / "exprag" / "environments").mkdir(parents=True)
    run_id = Objects(repo).commit(repo("rev-parse", "HEAD^{tree}"), "exprag: x")
    facts = {run_id: note(line("run", name="x", environment=digest))}
    Objects(repo).notes(FACTS + "x", facts)
    for command in (f"show {run_id} --environment", f"diff {run_id} {run_id}", "compare"):
        code, out, _ = call(command)
        assert code in (0, 1, 2)
        assert b"secret secret" not in out.replace(digest.encode(), b"")


def hostile_databases() -> dict[str, Callable[[Path], None]]:
    def view(path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA user_version = 1")
            db.execute("CREATE TABLE x (a)")
            db.execute("CREATE VIEW shard AS SELECT 1 AS number, 'r' AS ref, 't' AS tip")
            db.execute("CREATE VIEW run AS SELECT load_extension('/tmp/evil.so') AS id")
            db.commit()

    def trigger(path: Path) -> None:
        gitexp.open().count()
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TRIGGER evil AFTER INSERT ON shard BEGIN DELETE FROM run; END")
            db.execute("DELETE FROM shard")
            db.commit()

    def changed(path: Path) -> None:
        gitexp.open().count()
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.execute("PRAGMA writable_schema = ON")
            db.execute("UPDATE sqlite_schema SET sql = replace(sql, 'ref', 'fer')")
            db.commit()

    return {
        "a view": view,
        "a trigger": trigger,
        "a changed schema": changed,
        "a text": lambda path: path.write_bytes(b"x" * 10_000) and None,
        "zeros": lambda path: path.write_bytes(b"\0" * (1 << 20)) and None,
    }


@pytest.mark.parametrize("name", hostile_databases())
def test_a_hostile_index_is_replaced(attacked: Attack, repo: Git, call: Call, name: str) -> None:
    path = repo.path / ".git" / "exprag" / "index.sqlite"
    expected = call("log")[1]
    path.unlink()
    hostile_databases()[name](path)
    assert call("log")[1] == expected
    with contextlib.closing(sqlite3.connect(path)) as db:
        kinds = {kind for (kind,) in db.execute("SELECT DISTINCT type FROM sqlite_schema")}
        assert kinds == {"table", "index"}


def test_an_index_that_is_a_link_harms_what_it_leads_to_in_no_way(
    attacked: Attack, repo: Git, call: Call, tmp_path: Path
) -> None:
    path = repo.path / ".git" / "exprag" / "index.sqlite"
    expected = call("log")[1]
    victim = tmp_path / "victim"
    for content in (b"no database", path.read_bytes()[:4096]):
        victim.write_bytes(content)
        path.unlink()
        path.symlink_to(victim)
        assert call("log")[1] == expected
        assert victim.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shard", "../../escape"),
        ("shard", "--x"),
        ("shard", "x" * 500),
        ("metric", "\x1b[2J"),
        ("metric", "acc' OR 1=1"),
        ("lower", "\x1b[2J,--x,("),
        ("maxfilesize", "-1"),
        ("maxfilesize", "9" * 400),
        ("maxtotalsize", "\x1b[2J"),
        ("remote", "--upload-pack=touch canary-config"),
        ("remote", "ext::sh -c touch% canary-config"),
        ("nothing", "\x1b[2J"),
    ],
)
def test_odd_settings_end_in_a_sentence(
    attacked: Attack, call: Call, tmp_path: Path, name: str, value: str
) -> None:
    Git(tmp_path / "repo")("config", f"exprag.{name}", value)
    for command in (
        "log",
        "best acc",
        "status",
        "init",
        f"note {attacked.honest[0]} x",
        "run -- true",
    ):
        call(command)
    if any(command.name == "pull" for command in COMMANDS):
        call("pull")
        call("push")
    assert not list(tmp_path.rglob("canary-*"))


# A remote that is not what it should be.


@pytest.fixture
def clone(attacked: Attack, repo: Git, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A clone, as the current folder, whose `origin` is the attacked repository."""
    for path in (repo.path / ".git" / "refs").rglob("*"):
        if path.name in attack.LOST:
            path.unlink()
    repo("clone", "--quiet", str(repo.path), str(tmp_path / "clone"))
    monkeypatch.chdir(tmp_path / "clone")
    return Git(tmp_path / "clone")


def ours(git: Git) -> dict[str, str]:
    refs = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/exprag", "refs/notes")
    return dict(each.split(" ") for each in refs.split("\n") if each)


def test_a_pull_from_a_hostile_remote_takes_what_is_sound(
    clone: Git, attacked: Attack, call: Call, tmp_path: Path
) -> None:
    with gitexp.Experiment("ours") as experiment:
        experiment.track({"acc": 0.5})
    before, outside = ours(clone), listing(tmp_path)
    code, _, err = call("pull")
    assert code == 1
    for name in ("blob", "UPPER", "--x", "%20"):
        assert f"Not taken from origin: {FACTS}{name}: " in err
    after = ours(clone)
    assert all(after[ref] == oid for ref, oid in before.items())
    local = {ref: oid for ref, oid in after.items() if "/remotes/" not in ref}
    for ref, oid in local.items():
        assert ref.rpartition("/")[2] not in ("blob", "UPPER", "--x", "%20")
        assert not ref.startswith("refs/exprag/runs/") or ref.endswith(oid)
    runs = {run["run"]: run for run in call.json("log")["runs"]}
    assert runs.keys() >= {*attacked.honest, experiment.run_id}
    assert runs[attacked.honest[1]]["metrics"]["acc"]["max"] == 1.3
    for run_id in attacked.honest:
        assert call(f"checkout {run_id} --worktree {tmp_path}/out/{run_id}")[0] == 0
    assert "refs/exprag" not in clone("config", "--list", "--local")
    changed = listing(tmp_path).items() ^ outside.items()
    assert not [name for name, _ in changed if not name.startswith("clone/.git/")]
    assert not list(tmp_path.rglob("canary-*"))
    assert call("pull")[0] == 1


def rewritten(remote: Git) -> None:
    """Let every shard of a remote be an empty one without a history."""
    objects = Objects(remote)
    empty = objects.commit(objects.tree([]))
    for ref in ours(remote):
        remote("update-ref", ref, empty)


def swapped(remote: Git) -> None:
    """Let a remote's shards name what they are not: a tag, a blob, a tree with other notes."""
    objects = Objects(remote)
    tag = b"object %s\ntype commit\ntag x\ntagger A <a@x> 0 +0000\n\nx\n"
    for ref, oid in ours(remote).items():
        remote("update-ref", ref, objects.put("tag", tag % oid.encode()))


@pytest.mark.parametrize("change", [rewritten, swapped])
def test_a_remote_that_was_rewritten_takes_nothing_away(
    repo: Git, remote: Git, call: Call, change: Callable[[Git], None]
) -> None:
    with gitexp.Experiment("ours") as experiment:
        experiment.track({"acc": 0.5})
    assert call("push origin")[0] == 0
    handles = {ref: oid for ref, oid in ours(repo).items() if "/runs/" in ref}
    change(remote)
    call("pull origin")
    assert {ref: ours(repo)[ref] for ref in handles} == handles
    memory = gitexp.open()
    assert memory.get(experiment.run_id).metrics["acc"].last == 0.5
    assert [point.value for point in memory.get(experiment.run_id).history("acc")] == [0.5]
    call("push origin")
    assert call(f"show {experiment.run_id}")[0] == 0
