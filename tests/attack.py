"""A repository made to attack whoever reads it, beside honest runs that must stay readable.

Objects are written as git keeps them, byte for byte, so that they can be what git itself would
refuse to write: trees with paths that lead out, blobs that declare another size than they have.
`build_attack` makes what every command can be run over; what takes long to read (bombs) is made
by functions of its own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from gitexp.journal import frame
from gitexp.records.series import SeriesEncoder
from tests.support import Git

FACTS = "refs/notes/exprag/"
METRICS = "refs/notes/exprag-metrics/"
FILES = "refs/exprag/files/"
TIME = "2026-01-31T12:00:00.000000Z"
LATER = "2026-01-31T12:00:09.500000Z"
FILE, LINK, GITLINK, FOLDER = b"100644", b"120000", b"160000", b"40000"
HTML = "<script>alert(1)</script><img src=x onerror=alert(2)><svg/onload=alert(3)>"

TEXTS = {
    "option": "--output=canary-option",
    "short option": "-rf",
    "end of options": "--",
    "csi": "\x1b[2J\x1b[31mred",
    "osc 8": "\x1b]8;;file:///etc/passwd\x1b\\click\x1b]8;;\x07",
    "osc 52": "\x1b]52;c;cm0gLXJmIH4=\x07",
    "c1": "\x9b2J\x9d52;c;cm0=\x9c\x90q\x9c\x85",
    "bidi": "\u202egnp.exe\u202c\u2066x\u2069\u200b\u200f\ufeff\U000e0041",
    "controls": "a\nb\tc\rd\x00e\x08\x7f\u2028f\u2029",
    "html": HTML,
    "attribute": '" onmouseover="alert(4)" x=\'',
    "end of data": "</script><!--<script>]]></style></title></textarea>{{data}}{{program}}",
    "sql": "'; DROP TABLE run; --\" OR 1=1 /*",
    "fts": 'NEAR(a b) AND name:* OR "unclosed ( ) ^ -',
    "formula": '=cmd|"/C calc"!A0',
    "shell": "$(touch canary-shell)`touch canary-shell`;touch canary-shell|&",
    "path": "../../../../.git/hooks/pre-commit",
    "absolute": "/etc/passwd",
    "windows": "..\\..\\.git\\config:stream",
    "format": "{0.__class__} %s %n ${HOME} \\u0000",
    "long": "x" * 5000,
    "marks": "e" + "\u0301" * 200,
    "empty": "",
}
"""What stands in every text field of a run of its own, by what it tries."""

PATHS = (
    b"../../../../.git/hooks/pre-commit",
    b"..",
    b".",
    b".git/hooks/pre-commit",
    b".GIT/config",
    b"git~1/config",
    b"a\\..\\..\\.git\\config",
    b"/etc/passwd",
    b"C:/x",
    b"new\nline",
    b"esc\x1b[2J",
    b"not-utf8-\xff\xfe",
    b"\x01\x02",
    b"--output=canary-path",
    b"-rf",
    b"Case",
    b"case",
    HTML.replace("/", "").encode(),
    "\u202egnp.exe".encode(),
)
"""Names of files kept with a hostile run; git's trees hold any byte but NUL (and '/')."""

TIMES = (
    "0001-01-01T00:00:00.000000Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999Z",
    "9999-12-31T23:59:59-12:00",
    "-001-01-01T00:00:00Z",
    "2326-01-01T00:00:00Z",
    "2016-12-31T23:59:60Z",
    "2026-01-31T12:00:00",
    "yesterday",
    "",
    "\x1b[2J",
)

REFS = ("UPPER", "a/b", "--x", "a\u2028--output=canary-ref", "b\u0085--output=canary-ref", "%20")
"""Shard names that are none; some would be two lines to who splits lines as Unicode does."""


LOST = ("gone", "lost", "damaged", "dangling")
"""Shard names of refs that git cannot send, since something is missing."""


class Attack(NamedTuple):
    """What was built.

    Attributes:
        honest: Ids of the honest runs, the first one first.
        hostile: What it tries -> id of the run.
        bad_lines: Ref, run and line number of each line that must be reported.
    """

    honest: list[str]
    hostile: dict[str, str]
    bad_lines: list[tuple[str, str, int]]


class Objects:
    """Writes objects into a repository as they are, and refs to them."""

    def __init__(self, git: Git) -> None:
        self.git = git
        self._folder = git.path / git("rev-parse", "--git-path", "objects")

    def put(self, kind: str, body: bytes, *, declared: int | None = None) -> str:
        """Write an object; its header may declare another size than it has."""
        size = len(body) if declared is None else declared
        return self.put_raw(b"%s %d\0" % (kind.encode(), size) + body)

    def put_raw(self, content: bytes) -> str:
        oid = hashlib.sha1(content).hexdigest()
        path = self._folder / oid[:2] / oid[2:]
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(zlib.compress(content, 1))
        return oid

    def blob(self, body: bytes) -> str:
        return self.put("blob", body)

    def tree(self, entries: Iterable[tuple[bytes, bytes, str]]) -> str:
        """Write a tree of (mode, name, id), in the order given."""
        rows = (mode + b" " + name + b"\0" + bytes.fromhex(oid) for mode, name, oid in entries)
        return self.put("tree", b"".join(rows))

    def folders(self, files: Mapping[bytes, tuple[bytes, str]]) -> str:
        """Write nested trees for path -> (mode, id); a name may be any bytes without '/'."""
        found: dict[bytes, tuple[bytes, str]] = {}
        below: dict[bytes, dict[bytes, tuple[bytes, str]]] = {}
        for path, item in files.items():
            name, slash, rest = path.partition(b"/")
            if slash:
                below.setdefault(name, {})[rest] = item
            else:
                found[name] = item
        found |= {name: (FOLDER, self.folders(inner)) for name, inner in below.items()}
        in_order = sorted(found, key=lambda name: name + b"/" * (found[name][0] == FOLDER))
        return self.tree((found[name][0], name, found[name][1]) for name in in_order)

    def commit(self, tree: str, message: str = "x") -> str:
        who = b"A <a@example.org> 1769860800 +0000"
        text = b"tree %s\nauthor %s\ncommitter %s\n\n%s\n"
        return self.put("commit", text % (tree.encode(), who, who, message.encode()))

    def ref(self, name: str, oid: str) -> None:
        path = self.git.path / ".git" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(oid + "\n")

    def notes(self, ref: str, notes: Mapping[str, bytes]) -> None:
        """Make a shard of notes, by run."""
        paths = {
            f"{run_id[:2]}/{run_id[2:]}".encode(): (FILE, self.blob(note))
            for run_id, note in notes.items()
        }
        self.ref(ref, self.commit(self.folders(paths)))


def line(kind: str, **fields: Any) -> bytes:
    """Return a fact as it may have been written by somebody else's program."""
    head = {"kind": kind, "schema": 1, "time": TIME, "by": "Eve <eve@example.org>"}
    return json.dumps(head | fields).encode()


def note(*lines: bytes) -> bytes:
    return b"".join(each + b"\n" for each in lines)


def build_attack(git: Git) -> Attack:
    """Fill a repository with honest runs and with everything hostile that is quick to read."""
    objects = Objects(git)
    honest = _honest(objects)
    hostile = _texts(objects) | _structures(objects, honest) | _targets(objects, honest[0])
    bad = _bad_lines(objects, honest[0])
    _metrics(objects, hostile["csi"], honest[0], bad)
    _files(objects, hostile["csi"], honest[0])
    _refs(objects, honest)
    return Attack(honest, hostile, bad)


def _snapshot(objects: Objects, name: str, tree: str | None = None) -> str:
    tree = tree or objects.git("rev-parse", "HEAD^{tree}")
    run_id = objects.commit(tree, f"exprag: {name}")
    objects.ref(f"refs/exprag/runs/{run_id}", run_id)
    return run_id


def _honest(objects: Objects) -> list[str]:
    ids, facts, logs = [], {}, {}
    for number in range(3):
        name = f"honest {number}"
        code = objects.folders({b"train.py": (FILE, objects.blob(b"lr = 0.%d\n" % number))})
        run_id = _snapshot(objects, name, code)
        series = SeriesEncoder()
        for step in range(4):
            value = {"acc": number + step / 10, "loss": 1 / (step + 1)}
            series.add(1_769_860_800_000_000_000 + step * 10**9, value, None, step)
        series.flush()
        summaries = {
            path: {"first": s.first, "last": s.last, "count": 4, "min": s.min, "max": s.max}
            for path, s in series.summaries().items()
        }
        begin = line("run", name=name, parameters={"lr": number / 10}, tags=["fine"])
        end = line("end", status="finished", duration=9.5, calls=4, metrics=summaries)
        facts[run_id], logs[run_id] = note(begin, end), note(*series.lines)
        ids.append(run_id)
    objects.notes(FACTS + "honest", facts)
    objects.notes(METRICS + "honest", logs)
    return ids


def _run_of(text: str) -> bytes:
    """Return a run with a text in every field that takes one."""
    left = {"path": text, "reason": text, "digest": text}
    state = {"head": text, "branch": text, "dirty": True, "left_out": [left], "nested": [text]}
    plain = ("name", "description", "hypothesis", "family", "parent", "external_id", "cwd", "host")
    begin = line(
        "run",
        **dict.fromkeys((*plain, "python", "by"), text),
        environment=hashlib.md5(text.encode()).hexdigest(),
        tags=[text],
        parameters={text: text, "nested": {text: [text]}},
        metadata={text: {text: text}},
        inputs=[{"path": text, "digest": text, "size": 1}],
        command=[text, text],
        git=state | {"submodules": [text], "changed": [text]},
    )
    summary = {"first": 1.0, "last": 2.0, "count": 2, "min": 1.0, "max": 2.0, "mean": 1.5}
    failure = {"type": text, "message": text, "tail": text}
    end = line("end", status="failed", duration=1.0, error=failure, metrics={text: summary})
    remark = line("remark", comment=text, add_tags=[text, "hostile"], by=text, verdict="keep")
    return note(begin, end, remark, _decision_of(text))


def _decision_of(text: str) -> bytes:
    """Return a decision with a text in every field that takes one, and numbers at their ends."""
    numbers = ("mean", "champion_mean", "champion_value", "gain", "p_better", "p_matters")
    return line(
        "decision",
        **dict.fromkeys(("rules", "metric", "summary", "next_action", "base", "signature"), text),
        goal="min",
        value=-1e308,
        action="retest_on_new_base",
        priority="high",
        hypothesis_status="mixed",
        rationale=[text],
        comparison=dict.fromkeys(numbers, 1e308)
        | {"champion": text, "runs": -(10**18), "champion_runs": 0, "minimum": -1e308}
        | {"interval": [1e308, -1e308], "replicates": 10**18},
        noise={"measured": False, "sd": -1e308},
        novelty={
            "classification": "novel",
            "evidence": [
                {"run": text, "level": "text", "score": 1e308, "why": text, "lines": [text]}
            ],
        },
    )


def _texts(objects: Objects) -> dict[str, str]:
    runs = {what: _snapshot(objects, f"text {what}") for what in TEXTS}
    objects.notes(FACTS + "texts", {runs[what]: _run_of(text) for what, text in TEXTS.items()})
    return runs


def _structures(objects: Objects, honest: list[str]) -> dict[str, str]:
    """Return runs that make no sense: cycles of parents, odd times and numbers, odd code."""
    first, second, selfish = (_snapshot(objects, f"cycle {i}") for i in range(3))
    facts = {
        first: note(line("run", name="cycle a", parent=second)),
        second: note(line("run", name="cycle b", parent=first)),
        selfish: note(line("run", name="own parent", parent=selfish)),
    }
    runs = {"cycle a": first, "cycle b": second, "own parent": selfish}
    for number, time in enumerate(TIMES):
        run_id = runs[f"time {number}"] = _snapshot(objects, f"time {number}")
        end = line("end", status="finished", duration=1.0, time=time)
        remark = line("remark", comment="when?", time=time)
        facts[run_id] = note(line("run", name=f"time {number}", time=time), end, remark)
    runs["numbers"] = _snapshot(objects, "numbers")
    facts[runs["numbers"]] = _odd_numbers()
    for what, head in (("head option", "--output=canary-head"), ("head missing", "f" * 40)):
        runs[what] = _snapshot(objects, what)
        state = {"head": head, "branch": None, "dirty": False}
        facts[runs[what]] = note(line("run", name=what, git=state, parent=honest[0]))
    runs["code"] = _snapshot(objects, "code", _hostile_code(objects))
    facts[runs["code"]] = note(
        line("run", name="code", git={"head": None, "branch": None, "dirty": True})
    )
    objects.notes(FACTS + "structures", facts)
    return runs


def _odd_numbers() -> bytes:
    huge = 10**30
    summary = {"first": 1e308, "last": "NaN", "count": huge, "min": -1e308, "max": 1e308}
    metrics = {
        "extreme": summary | {"mean": 1e308, "step_of_min": -huge, "step_of_max": huge},
        "zero": {"first": -0.0, "last": -0.0, "count": -1, "min": -0.0, "max": 0.0, "mean": -0.0},
        "infinite": {"first": "Infinity", "last": "-Infinity", "count": 0},
        "integer": {"first": huge, "last": -huge, "count": 1, "min": -huge, "max": huge},
        "acc": {"first": 5e-324, "last": 1.7e308, "count": 1, "min": 5e-324, "max": 1.7e308},
    }
    odd = {"huge": huge, "nan": "NaN", "zero": -0.0, "list": ["NaN", [-huge]], "lr": 1e308}
    begin = line("run", name="numbers", parameters=odd, metadata=odd, seed=huge, pid=-huge)
    left = {"path": "x", "reason": "too large", "size": -huge}
    state = {"head": None, "branch": None, "dirty": True, "left_out": [left], "skip_worktree": huge}
    end = line(
        "end", status="finished", duration=-1e308, exit_code=huge, calls=-huge, metrics=metrics
    )
    end = end.replace(b'"duration": -1e+308', b'"duration": 1e308')
    inputs = [{"path": "x", "digest": "y", "size": huge, "files": -huge}]
    again = line("run", name="numbers", git=state, inputs=inputs, seed=huge, time=LATER)
    return note(begin, end, line("remark", inputs=inputs, time=LATER), again)


def _hostile_code(objects: Objects) -> str:
    """Return a tree that tries to run something when it is checked out or compared."""
    hook = objects.blob(b"#!/bin/sh\ntouch canary-hook\n")
    attributes = objects.blob(b"* filter=evil diff=evil merge=evil ident\n")
    modules = b'[submodule "x"]\n\tpath = sub\n\turl = --upload-pack=touch canary-sub\n'
    return objects.folders(
        {
            b".gitattributes": (FILE, attributes),
            b".gitmodules": (FILE, objects.blob(modules + b"\tupdate = !touch canary-sub\n")),
            b".git/hooks/post-checkout": (b"100755", hook),
            b"..": (LINK, objects.blob(b"/etc")),
            b"link": (LINK, objects.blob(b"../../canary")),
            b"sub": (GITLINK, "1" * 40),
            b"--output=canary-file": (FILE, hook),
            b"train.py": (FILE, objects.blob(b"\x1b[2J\x1b]52;c;cm0=\x07\n")),
            b"esc\x1b[2J": (FILE, hook),
        }
    )


def _targets(objects: Objects, honest: str) -> dict[str, str]:
    """Return runs whose id is no commit: a tree, a blob, a tag, and nothing at all."""
    tag = b"object %s\ntype commit\ntag x\ntagger A <a@x> 0 +0000\n\nx\n" % honest.encode()
    runs = {
        "on a tree": objects.git("rev-parse", "HEAD^{tree}"),
        "on a blob": objects.git("rev-parse", "HEAD:README"),
        "on a tag": objects.put("tag", tag),
        "on nothing": "0" * 40,
        "on nothing else": "e" * 40,
    }
    objects.notes(
        FACTS + "targets", {run_id: note(line("run", name=what)) for what, run_id in runs.items()}
    )
    return runs


def _bad_lines(objects: Objects, honest: str) -> list[tuple[str, str, int]]:
    """Write lines that are no facts between lines of an honest run; return where they are."""
    deep = b'{"kind":"run","schema":1,"time":"t","by":"b","name":"n","metadata":'
    bad = [
        b"\xff\xfe not UTF-8",
        b'{"kind":"run"',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        deep + b"[" * 300 + b"]" * 300 + b"}",
        deep + b"1" + b"0" * 5000 + b"}",
        b'{"kind":"run","schema":1,"time":"t","by":"b","name":"\\ud800"}',
        b'{"kind":"run","kind":"end","schema":1,"time":"t","by":"b"}',
        b'{"kind":"end","schema":1,"time":"t","by":"b","status":"evil","duration":1}',
        b'{"kind":"end","schema":1e400,"time":"t","by":"b","status":"finished","duration":1}',
        b'{"kind":"end","schema":1,"time":"t","by":"b","status":"finished","duration":NaN}',
        b'{"kind":["run"],"schema":1}',
        b'{"kind":null}',
        b"null",
        b"\x00",
        b"x" * 100_000,
    ]
    comment = line("remark", comment="between bad lines")
    objects.notes(FACTS + "broken", {honest: note(*bad[:8], comment, *bad[8:])})
    numbers = [*range(1, 9), *range(10, len(bad) + 2)]
    return [(FACTS + "broken", honest, number) for number in numbers]


def _series(**fields: Any) -> bytes:
    whole = {
        "kind": "series",
        "schema": 1,
        "calls": [0, 1, 2],
        "steps": [0, 1, 2],
        "times": [1, 1],
        "keys": [["acc"]],
        "columns": [[1.0, 2.0]],
    }
    return json.dumps(whole | fields).encode()


def bad_series() -> list[bytes]:
    """Return metric lines that lie about how much they hold, or make no sense."""
    floats = base64.b64encode(b"\0" * 15).decode()
    return [
        _series(calls=[0, 1, 10**12]),
        _series(calls=[0, 1, 10**12, 0, 1, 2 - 10**12]),
        _series(steps=[0, 0, -1, 0, 1, 3]),
        _series(notes=[["x", 10**12]]),
        _series(notes=[["x", 10**12], ["y", 2 - 10**12]]),
        _series(columns=[{"runs": [0, 1, 10**12]}]),
        _series(columns=[{"float64": floats}]),
        _series(columns=[{"float64": "AAAA"}]),
        _series(columns=[{"float64": "\u20ac"}]),
        _series(columns=[[1.0]]),
        _series(columns=[]),
        _series(keys=[], columns=[]),
        _series(keys=[["acc"]] * 100_000),
        _series(keys=[["a"], ["a", "b"], ["acc"]], columns=[[1, 2]] * 3),
        _series(schema=99),
        _series(times=[0.5, 1]),
        b'{"kind":"series","schema":1,"calls":' + b"[" * 100_000,
        b"\xff",
    ]


def odd_series() -> list[bytes]:
    """Return metric lines that are whole, and whose numbers no clock or plot is made for."""
    far = 10**30
    return [
        _series(calls=[10, 1, 2], times=[-(10**17), 10**18], columns=[[1e308, -1e308]]),
        _series(calls=[20, 1, 2], steps=[-far, 2 * far, 2], columns=[[far, -far]]),
        _series(calls=[30, 0, 2], times=[far, far], columns=[["NaN", "Infinity"]]),
        _series(calls=[40, -1, 2], columns=[[None, {"a": ["NaN"]}]]),
        _series(calls=[50, 1, 2], keys=[[HTML], ["\x1b[2J", "x"], []], columns=[[1, 2]] * 3),
        _series(calls=[60, 1, 2], notes=[["\x1b[2J" + HTML, 2]]),
        _series(calls=[], steps=[], times=[], columns=[[]]),
    ]


def _metrics(objects: Objects, hostile: str, honest: str, bad: list[tuple[str, str, int]]) -> None:
    lines = bad_series()
    ref = METRICS + "broken"
    objects.notes(ref, {honest: note(*lines), hostile: note(*odd_series())})
    bad += [(ref, honest, number) for number in range(1, len(lines) + 1)]


def _files(objects: Objects, hostile: str, honest: str) -> None:
    """Keep files of odd names with a hostile run; the log of the honest one stays its own."""
    content = objects.blob(b"\x1b]52;c;cm0=\x07hostile \xff\n")
    below = {name: (FILE, content) for name in PATHS if b"/" not in name}
    below |= {b"run.log": (FILE, content), b"link": (LINK, objects.blob(b"/etc/passwd"))}
    below[b"module"] = (GITLINK, "1" * 40)
    paths = {name: (FILE, content) for name in PATHS if b"/" in name and not name.startswith(b"/")}
    base = f"{hostile[:2]}/{hostile[2:]}/".encode()
    tree = {base + name: item for name, item in (below | paths).items()}
    tree |= {b"../escape": (FILE, content), b".git/config": (FILE, content)}
    tree[b"environments/" + hashlib.md5(b"\x1b[2J").hexdigest().encode() + b".json"] = (
        FILE,
        content,
    )
    lost = {base + b"gone": (FILE, "2" * 40)}
    objects.ref(FILES + "lost", objects.commit(objects.folders(lost)))
    objects.ref(FILES + "hostile", objects.commit(objects.folders(tree)))
    log = {f"{honest[:2]}/{honest[2:]}/run.log".encode(): (FILE, objects.blob(b"honest log\n"))}
    objects.ref(FILES + "honest", objects.commit(objects.folders(log)))


def _refs(objects: Objects, honest: list[str]) -> None:
    """Make refs that are no shards, shards that are no trees, handles that lead elsewhere."""
    empty = objects.commit(objects.tree([]))
    for name in REFS:
        objects.ref(FACTS + name, empty)
        objects.ref(FILES + name, empty)
    blob = objects.blob(b"no tree")
    tree = objects.git("rev-parse", "HEAD^{tree}")
    for prefix in (FACTS, METRICS, FILES):
        objects.ref(prefix + "blob", blob)
        objects.ref(prefix + "tree", tree)
        objects.ref(prefix + "gone", "3" * 40)
        objects.ref(prefix + "damaged", "this is no object id")
        for name, target in (("symbolic", "refs/heads/main"), ("dangling", "refs/heads/none")):
            (objects.git.path / ".git" / prefix / name).write_text(f"ref: {target}\n")
    objects.ref(f"refs/exprag/runs/{'a' * 40}", honest[0])
    objects.ref("refs/exprag/runs/--output=canary-handle", honest[0])
    objects.ref(f"refs/exprag/runs/{'b' * 40}", blob)


# What takes long, or much memory, of who is not careful: one at a time.


def declare_two_gigabytes(git: Git, run_id: str) -> str:
    """Make a shard whose note declares 2 GB and has a few bytes; return its ref."""
    objects = Objects(git)
    blob = objects.put("blob", line("remark", comment="x"), declared=2 << 30)
    path = f"{run_id[:2]}/{run_id[2:]}".encode()
    objects.ref(FACTS + "declared", objects.commit(objects.folders({path: (FILE, blob)})))
    return FACTS + "declared"


def bomb_of(git: Git, run_id: str, content: bytes, prefix: str = FACTS) -> str:
    """Make a shard with one note of that content, which compresses well; return its ref."""
    Objects(git).notes(prefix + "bomb", {run_id: content})
    return prefix + "bomb"


def nested_tree(git: Git, depth: int) -> str:
    """Make a shard whose tree is that deep; return its ref."""
    objects = Objects(git)
    tree = objects.tree([(FILE, b"x", objects.blob(b"x"))])
    for _ in range(depth):
        tree = objects.tree([(FOLDER, b"d", tree)])
    objects.ref(FACTS + "deep", objects.commit(tree))
    return FACTS + "deep"


def tree_of_many(git: Git, count: int) -> str:
    """Make a shard with so many entries that are no notes, in one tree; return its ref."""
    objects = Objects(git)
    blob = objects.blob(b"x")
    objects.ref(
        FACTS + "many",
        objects.commit(objects.tree((FILE, b"%07d" % i, blob) for i in range(count))),
    )
    return FACTS + "many"


def git_bomb(git: Git, levels: int, width: int) -> str:
    """Make a shard of ``width ** levels`` entries out of one blob; return its ref."""
    objects = Objects(git)
    mode, oid = FILE, objects.blob(b"x")
    for _ in range(levels):
        oid = objects.tree((mode, b"%02d" % i, oid) for i in range(width))
        mode = FOLDER
    objects.ref(FACTS + "git-bomb", objects.commit(oid))
    return FACTS + "git-bomb"


def write_journal(git: Git, run_id: str, content: bytes) -> Path:
    """Put bytes where the journal of a run in progress would be."""
    folder = git.path / ".git" / "exprag" / "live"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / run_id
    path.write_bytes(content)
    return path


def hostile_frames() -> list[bytes]:
    """Return payloads that decode to nothing that a run has, each as a frame of a journal."""
    payloads = [
        b"\x94" + b"\x91" * 100_000,
        b"\x94\x01\xdd\xff\xff\xff\xff",
        b"\x94\x01\xdf\xff\xff\xff\xff",
        b"\x94\x01\xc7\x08\x05aaaaaaaa\xc0\xc0",
        b"\x94\xcf" + b"\xff" * 8 + b"\x01\xc0\xcf" + b"\xff" * 8,
        b"\x94\xd3\x80" + b"\0" * 7 + b"\xcb\x7f\xf8\0\0\0\0\0\0\xc0\xc0",
        b"\x94\x01\x82\x01\x02\xc3\x03\xc0\xc0",
        b"\x94\x01\x81\xcb\x7f\xf8\0\0\0\0\0\0\x01\xc0\xc0",
        b"\x94\x01\x81\xa1a\xa1\xff\xc0\xc0",
        b"\x94\x01\x01\xa4\x1b[2J\xc0",
        b"\x94\xa1x\xc0\xc0\xc0",
        b"\x81\xa4kind\xa3end",
        b"\xde\xff\xff",
        b"",
        b"\xc1",
    ]
    # A frame that declares more than there is comes last: all that follows it would be lost.
    return [*map(frame, payloads), b"\xff\xff\xff\xe5" + b"\0" * 8 + b"x" * 50]


def plant_links(folder: Path, target: Path) -> None:
    """Make links to a file and to its folder, as if a run had kept them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link.txt").symlink_to(target)
    (folder / "linked").symlink_to(target.parent)
