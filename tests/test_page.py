"""The HTML page: what is in the file, and what a real browser makes of it.

The browser is a headless Chromium that prints the document after the page has drawn it; the
address behind the # says what to show. Tests that need it are skipped where there is none.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import random
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from gitexp.render import page as page_module
from gitexp.render.page import PageData, Point, render_page

START = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
GOALS = {"metrics.acc": "max", "metrics.loss": "min", "tokens_per_s": "max"}
HOSTILE = (
    "</script><script>document.documentElement.dataset.hacked=1</script>",
    "<img src=x onerror=document.documentElement.dataset.hacked=2>",
    "\u202egpj.exe \u2066bidi\u2069 \x1b[31mred\x07 \x00 \u2028 & &lt; {{data}} ]]> <!--",
)
TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 88, in <module>
    main()
  File "train.py", line 61, in main
    loss.backward()
torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.25 GiB <GPU 0>
"""


def patch(width: int, file: str = "pkg/model.py") -> str:
    return (
        f"diff --git a/{file} b/{file}\nindex 1f0e4c2..9a51b7d 100644\n--- a/{file}\n+++ b/{file}\n"
        "@@ -1,5 +1,6 @@ class Model:\n class Model:\n-    width = 8\n"
        f"+    width = {width}\n+    gate = 'swiglu'\n     depth = 4\n"
        "diff --git a/train.py b/train.py\nindex 0b4f..77aa 100644\n--- a/train.py\n"
        "+++ b/train.py\n@@ -10,3 +10,3 @@\n schedule = cosine(\n-    warmup=100,\n"
        "+    warmup=400 if large else 100,\n )\n"
    )


def run_id(number: int) -> str:
    return hashlib.sha1(str(number).encode()).hexdigest()


def summary(values: Sequence[float]) -> dict[str, Any]:
    """The shape of a metric's summary in `Run.to_dict`."""

    def text(value: float) -> Any:
        return value if math.isfinite(value) else "NaN"

    finite = [value for value in values if math.isfinite(value)]
    found = {"first": text(values[0]), "last": text(values[-1]), "count": len(values)}
    if finite:
        found |= {"min": min(finite), "max": max(finite), "mean": sum(finite) / len(finite)}
        found["step_of_min"] = values.index(found["min"])
        found["step_of_max"] = values.index(found["max"])
    return found


class Sample(NamedTuple):
    run: dict[str, Any]
    curves: dict[str, list[Point]]


def series_of(chance: random.Random, lr: float, length: int) -> dict[str, list[float]]:
    quality = 0.78 + 0.15 * chance.random() - abs(math.log10(lr) + 2.5) * 0.02
    return {
        "metrics.loss": [
            2.3 * math.exp(-i / 14) + 1.1 - quality + chance.gauss(0, 0.02) for i in range(length)
        ],
        "metrics.acc": [
            quality * (1 - math.exp(-i / 11)) + chance.gauss(0, 0.004) for i in range(length)
        ],
        "tokens_per_s": [chance.gauss(184_000, 3000) for _ in range(length)],
    }


def outcome(chance: random.Random, status: str, ended: str) -> dict[str, Any]:
    """What only some runs have."""
    found: dict[str, Any] = {"exit_code": 0} if status == "finished" else {}
    if chance.random() < 0.3:
        found["tags"] = chance.sample(["baseline", "sweep-3", "paper", "ablation"], 2)
    if status == "failed":
        found |= {"exit_code": 1, "verdict": "crash", "verdict_by": "Ada <ada@example.org>"}
        message = "CUDA out of memory. Tried to allocate 2.25 GiB"
        found["error"] = {
            "type": "torch.cuda.OutOfMemoryError",
            "message": message,
            "tail": TRACEBACK,
        }
    if chance.random() < 0.2:
        found["description"] = "Does a wider feed-forward pay at equal compute?"
        found["hypothesis"] = "Yes: loss falls by 0.02 at the same number of tokens."
        found["comments"] = [{"time": ended, "by": "Ada <ada@example.org>", "text": "Noisy, redo."}]
    return found


def setting(chance: random.Random, lr: float, optimizer: str) -> dict[str, Any]:
    return {
        "by": chance.choice(["Ada Lovelace <ada@example.org>", "\u00c9milie <e@example.org>"]),
        "parameters": {
            "lr": lr,
            "batch_size": chance.choice([32, 64, 256]),
            "optimizer": {"name": optimizer, "betas": [0.9, 0.95]},
            "model": {"width": chance.choice([256, 512, 1024]), "depth": 12},
            "dropout": chance.choice([0.0, 0.1]),
        },
        "metadata": {"data": "fineweb-edu 10B", "note": "first sweep"},
        "seed": chance.randrange(10_000),
        "command": ["python", "train.py", f"--lr={lr:g}", "--tag", "first sweep"],
        "cwd": ".",
        "git": {"head": run_id(-1), "branch": "main", "dirty": True},
        "host": chance.choice(["gpu-01", "gpu-02"]),
        "pid": chance.randrange(1000, 60_000),
        "python": "3.12.4",
        "environment": run_id(-2)[:32],
    }


def sample(number: int, points: int = 60) -> Sample:
    """A run as a year of work leaves them behind: most finished, some failed or diverged."""
    chance = random.Random(number)
    lr = chance.choice([1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03])
    optimizer = chance.choice(["adamw", "sgd", "muon"])
    status = chance.choices(["finished", "failed", "interrupted", "running"], [16, 3, 1, 1])[0]
    length = points if status == "finished" else points // 2
    series = series_of(chance, lr, length)
    if status == "failed" and chance.random() < 0.5:
        series["metrics.loss"][-4:] = [1e3, 4e6, math.inf, math.nan]
    if optimizer == "sgd":
        del series["tokens_per_s"]
    started = START + timedelta(hours=7 * number)
    duration = length * chance.uniform(4, 90)
    ended = (started + timedelta(seconds=duration)).isoformat().replace("+00:00", "Z")
    run: dict[str, Any] = {
        "run": run_id(number),
        "name": f"{optimizer}-lr{lr:g}-{chance.choice(['base', 'wide', 'deep', 'long-context'])}",
        "status": status,
        "started": started.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "ended": ended,
        "duration": duration,
        "calls": length,
        "metrics": {name: summary(values) for name, values in series.items()},
        **setting(chance, lr, optimizer),
        **outcome(chance, status, ended),
    }
    first_ms = int(started.timestamp() * 1000)
    curves = {
        name: [(i * 50, first_ms + int(1000 * duration / length * i), v) for i, v in points_of]
        for name, points_of in ((name, enumerate(values)) for name, values in series.items())
    }
    return Sample(run, curves)


def page_data(samples: Sequence[Sample], patches: Mapping[str, str] | None = None) -> PageData:
    return PageData(
        title="fineweb-small",
        generated=START,
        runs=[one.run for one in samples],
        goals=GOALS,  # type: ignore[arg-type]
        curves={one.run["run"]: one.curves for one in samples},
        patches=patches or {},
    )


# What is in the file


class Element(NamedTuple):
    tag: str
    attributes: dict[str, str | None]
    texts: list[str]

    @property
    def text(self) -> str:
        return "".join(self.texts)


class Document(HTMLParser):
    """The elements of a page in order, each with all the text inside it."""

    _EMPTY = frozenset({"meta", "input", "col", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs), []))
        if tag not in self._EMPTY:
            self._open.append(self.elements[-1])

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop().tag != tag:
            pass

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.texts.append(data)

    def all(self, tag: str, **attributes: str) -> list[Element]:
        """Elements with these attributes; of ``class``, written ``kind``, one word is enough."""
        kind = attributes.pop("kind", None)
        wanted = {name.replace("_", "-"): value for name, value in attributes.items()}
        return [
            element
            for element in self.elements
            if element.tag == tag
            and wanted.items() <= element.attributes.items()
            and (kind is None or kind in (element.attributes.get("class") or "").split())
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        (element,) = self.all(tag, **attributes)
        return element

    @property
    def root(self) -> dict[str, str | None]:
        return self.elements[0].attributes

    @property
    def rows(self) -> list[str]:
        """Ids of the runs in the table, in its order."""
        rows = [e.attributes for e in self.all("tr") if "aria-rowindex" in e.attributes]
        return [str(row["data-run"]) for row in rows]


def data_in(page: str) -> Any:
    return json.loads(Document(page).one("script", id="data").text)


def with_names(names: Sequence[str]) -> list[Sample]:
    samples = [sample(i, 6) for i in range(len(names))]
    for one, name in zip(samples, names, strict=True):
        one.run["name"] = name
    return samples


def test_runs_come_back_from_the_page_as_they_went_in() -> None:
    samples = [sample(i, 8) for i in range(20)]
    found = data_in(render_page(page_data(samples)))
    assert found["runs"] == [one.run for one in samples]
    assert found["goals"] == GOALS


def test_hostile_texts_come_back_from_the_page_as_they_went_in() -> None:
    names = [*HOSTILE, "\ud800 alone", "long " * 20_000, "{{data}}"]
    samples = with_names(names)
    page = render_page(page_data(samples, {samples[0].run["run"]: HOSTILE[0]}))
    found = data_in(page)
    assert [run["name"] for run in found["runs"]] == names
    assert found["patches"] == [HOSTILE[0]]


def test_no_character_of_the_data_can_end_its_element() -> None:
    text = Document(render_page(page_data(with_names(HOSTILE)))).one("script", id="data").text
    assert not re.search("[<>&\u2028\u2029\u202e]", text)
    assert text.isascii()


def test_the_policy_allows_the_script_and_the_style_of_the_page_and_nothing_else() -> None:
    document = Document(render_page(page_data([sample(1)])))
    program = next(e.text for e in document.all("script") if "type" not in e.attributes)
    style = document.one("style").text

    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    policy = document.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy == (
        f"default-src 'none'; script-src 'sha256-{digest(program)}'; "
        f"style-src 'sha256-{digest(style)}'; base-uri 'none'; form-action 'none'"
    )


def test_the_page_names_no_other_resource() -> None:
    page = render_page(page_data([]))
    document = Document(page)
    assert not [e for e in document.elements if {"src", "href", "style"} & e.attributes.keys()]
    assert re.findall(r"https?://[^\"]*", page) == ["http://www.w3.org/2000/svg"]
    assert "url(" not in page
    assert "innerHTML" not in page


def test_a_title_is_text() -> None:
    data = page_data([sample(1)])._replace(title="<b>\x1b[1m & \u202e{{data}}")
    document = Document(render_page(data))
    assert document.one("h1").text == "<b>\\e[1m & \\u202e{{data}}"
    assert not document.all("b")


def test_integers_that_javascript_would_round_are_texts() -> None:
    one = sample(1, 4)
    one.run["parameters"] = {"seeds": [2**63, -(2**60), 2**53, 7], "x": 1234567890123456.5}
    one.run["name"] = "1234567890123456"
    (found,) = data_in(render_page(page_data([one])))["runs"]
    assert found["parameters"]["seeds"] == [str(2**63), str(-(2**60)), 2**53, 7]
    assert found["parameters"]["x"] == 1234567890123456.5
    assert found["name"] == "1234567890123456"


def test_values_of_curves_that_json_cannot_hold_are_texts() -> None:
    one = sample(1, 2)
    points = [(0, 1000, 0.5), (10, 1250, math.nan), (5, 1500, math.inf), (20, 2000, -math.inf)]
    data = page_data([one])._replace(curves={"r": {"loss": points, "none": []}})
    assert data_in(render_page(data))["curves"]["r"] == {
        "loss": [1000, [0, 10, 5, 20], [0, 250, 500, 1000], [0.5, "NaN", "Infinity", "-Infinity"]],
        "none": [0, [], [], []],
    }


def test_a_run_with_a_float_that_json_cannot_hold_is_refused() -> None:
    one = sample(1, 2)
    one.run["duration"] = math.nan
    with pytest.raises(ValueError, match="not JSON compliant"):
        render_page(page_data([one]))


def test_a_patch_that_many_runs_share_is_in_the_page_once() -> None:
    samples = [sample(i, 2) for i in range(9)]
    patches = {one.run["run"]: patch(i % 2) for i, one in enumerate(samples)}
    found = data_in(render_page(page_data(samples, patches)))
    assert found["patches"] == [patch(0), patch(1)]
    assert [found["patch_of"][one.run["run"]] for one in samples] == [0, 1, 0, 1, 0, 1, 0, 1, 0]


def test_a_page_of_thousands_of_runs_is_little_more_than_their_json() -> None:
    samples = [sample(i % 50, 2) for i in range(5000)]
    data = page_data(samples)._replace(curves={})
    needed = len(json.dumps(data.runs, separators=(",", ":")))
    assert len(render_page(data)) < 1.05 * needed + 100_000


def test_the_program_is_made_of_all_its_files_and_each_is_valid() -> None:
    files = sorted(Path(page_module.__file__).parent.glob("page*.js"))
    assert sorted(page_module._PROGRAM) == [file.name for file in files]
    node = shutil.which("node")
    for file in files if node else []:
        subprocess.run([str(node), "--check", file], check=True)


# What a browser makes of it

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
needs_browser = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")


def browse(folder: Path, page: str, state: str = "", script: str = "") -> Document:
    """Open a page and return what it has become.

    Args:
        folder: For the page and the browser's profile.
        page: What `render_page` returned.
        state: What the address says behind the #.
        script: Runs after the page's own; the policy is widened for it.
    """
    if script:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        page = page.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
        page = page.replace("</body>", f"<script>{script}</script></body>")
    file = folder / "page.html"
    file.write_text(page, encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000"]
    folders = [f"--user-data-dir={folder / 'profile'}", "--window-size=1200,900", "--dump-dom"]
    done = subprocess.run(
        [str(BROWSER), *options, *folders, f"{file.as_uri()}#{quote(state, safe='&=')}"],
        capture_output=True,
        check=True,
        timeout=120,
    )
    document = Document(done.stdout.decode("utf-8"))
    assert document.root.get("data-ready") == "yes"
    assert "data-error" not in document.root, document.root["data-error"]
    return document


def ids(*numbers: int) -> list[str]:
    return [run_id(number) for number in numbers]


def selected(*numbers: int) -> str:
    return ",".join(run[:10] for run in ids(*numbers))


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    return [sample(i, 20) for i in range(30)]


def by_best_acc(samples: Sequence[Sample]) -> list[str]:
    runs = sorted((s.run for s in samples), key=lambda run: -run["metrics"]["metrics.acc"]["max"])
    return [run["run"] for run in runs]


@needs_browser
def test_the_address_sorts_filters_and_selects_runs_whose_curves_are_drawn(
    samples: list[Sample], tmp_path: Path
) -> None:
    state = f"sort=-best:metrics.acc&filter=lr<0.01 finished&select={selected(3, 5, 8)}"
    document = browse(tmp_path, render_page(page_data(samples)), f"{state}&metric=metrics.acc")
    kept = [s for s in samples if s.run["parameters"]["lr"] < 0.01]
    kept = [s for s in kept if s.run["status"] == "finished"]
    assert document.rows == by_best_acc(kept)
    assert document.one("p", id="count").text == f"{len(kept)} of 30 runs, 3 selected"
    (header,) = [e for e in document.all("th") if e.attributes.get("aria-sort")]
    assert header.attributes["data-key"] == "best:metrics.acc"
    assert header.attributes["aria-sort"] == "descending"
    lines = document.all("path", kind="curve")
    assert [line.attributes["data-run"] for line in lines] == ["3", "5", "8"]
    lengths = [len(samples[i].curves["metrics.acc"]) for i in (3, 5, 8)]
    assert [len(re.findall("[ML]", str(e.attributes["d"]))) for e in lines] == lengths
    best = [e.text for e in document.all("td", kind="best")]
    assert any(text.endswith(" (best)") for text in best)


def small_runs() -> list[dict[str, Any]]:
    """Runs that differ in little, with values of every kind to sort."""
    losses: list[Any] = [0.5, "NaN", None, 12.0, "-Infinity", 0.5, 3e-7, "Infinity"]
    runs = []
    for number, last in enumerate(losses):
        run: dict[str, Any] = {
            "run": run_id(number),
            "name": f"run {number}",
            "status": "finished",
            "started": f"2026-03-0{number + 1}T12:00:00.000000Z",
            "by": "Ada Lovelace <ada@example.org>",
            "parameters": {"lr": 0.1, "layers": [1, 2], "optimizer": "sgd"},
        }
        if last is not None:
            finite = {} if isinstance(last, str) else {"min": last, "max": last, "step_of_min": 3}
            run["metrics"] = {"loss": {"first": 9, "last": last, "count": 4, **finite}}
        runs.append(run)
    runs[3]["parameters"]["optimizer"] = "adam"
    runs[3]["status"] = "failed"
    runs[3]["tags"] = ["baseline", "big one"]
    runs[6]["tags"] = ["big"]
    return runs


def small_page(patches: Mapping[str, str] | None = None, cut: Sequence[str] = ()) -> str:
    return render_page(
        PageData("small", START, small_runs(), {"loss": "min"}, {}, patches or {}, cut)
    )


@needs_browser
def test_the_comparison_shows_only_what_differs_and_odd_numbers_sort_last(tmp_path: Path) -> None:
    state = f"tab=compare&select={selected(0, 3)}&sort=last:loss&columns=name,last:loss"
    document = browse(tmp_path, small_page(), state)
    assert document.rows == ids(4, 6, 0, 5, 3, 7, 1, 2)
    table = document.elements.index(document.one("table", kind="comparison"))
    rows = [e for e in document.elements[table:] if e.tag == "tr" and "data-key" in e.attributes]
    assert {str(row.attributes["data-key"]): row.text for row in rows} == {
        "status": "statusfinishedfailed",
        "tags": "tags\u2013baseline, big one",
        "best:loss": "loss min0.5 (best)12",
        "last:loss": "loss last0.5 (best)12",
        "params.optimizer": "optimizersgdadam",
    }
    assert "lr 0.1, layers [1,2]" in document.one("details", kind="same").text


@needs_browser
def test_patches_are_shown_and_what_is_missing_of_them_is_said(tmp_path: Path) -> None:
    patches = dict(zip(ids(0, 1, 2), [patch(512), patch(256), ""], strict=True))
    page = small_page(patches, cut=ids(1))
    document = browse(tmp_path, page, f"tab=code&select={selected(0, 1, 2, 3)}")
    first, second, third, fourth = document.all("section", kind="patch")
    assert "+    width = 512\n" in first.text
    assert "+    width = 256\n" in second.text
    assert "its end is missing" in second.text
    assert "its end is missing" not in first.text
    assert "unchanged" in third.text
    assert "does not include its patch" in fourth.text
    added = [line.text for line in document.all("span", kind="line") if "+" in line.text[:1]]
    assert added.count("+    gate = 'swiglu'\n") == 2


@needs_browser
def test_hostile_texts_are_shown_as_texts_and_do_nothing(tmp_path: Path) -> None:
    hostile = sample(3, 6)
    text = "".join(HOSTILE)
    run = hostile.run
    run |= {
        "name": HOSTILE[0],
        "description": text,
        "error": {"type": HOSTILE[1], "message": text, "tail": text},
        "parameters": {
            HOSTILE[0]: HOSTILE[1],
            "__proto__": {"constructor": text},
            "long": "x" * 10**5,
        },
        "tags": list(HOSTILE),
        "comments": [{"time": text, "by": text, "text": text}],
        "metrics": {**hostile.run["metrics"], HOSTILE[1]: summary([1.0, 2.0])},
        "something new": {"of a later version": HOSTILE[0]},
    }
    curves = {**hostile.curves, HOSTILE[1]: hostile.curves["metrics.acc"]}
    page = render_page(page_data([Sample(hostile.run, curves), *with_names(HOSTILE)]))
    state = f"tab=details&run={hostile.run['run'][:10]}&select={hostile.run['run'][:10]}"
    document = browse(tmp_path, page, state)
    assert "data-hacked" not in document.root
    assert not document.all("img")
    assert len(document.all("script")) == 2
    panel = document.one("div", id="panel").text
    assert HOSTILE[0] in panel
    assert HOSTILE[1] in panel
    assert "\\u202egpj.exe \\u2066bidi\\u2069 \\e[31mred\\x07 \\x00 \\u2028 & &lt;" in panel
    assert "x" * 10**5 in panel
    assert "of a later version" in panel
    assert not re.search("[\x00\x07\x1b\u202e\u2066\u2028]", panel)


@needs_browser
def test_five_thousand_runs_open_with_only_the_rows_in_sight_drawn(
    samples: list[Sample], tmp_path: Path
) -> None:
    many = []
    for number in range(5000):
        run = {**samples[number % 30].run, "run": run_id(number), "name": f"run {number}"}
        many.append(Sample(run, {}))
    document = browse(tmp_path, render_page(page_data(many)), "sort=-name")
    assert document.one("table", id="runs").attributes["aria-rowcount"] == "5002"
    assert 20 < len(document.rows) < 100
    assert document.rows == ids(*range(4999, 4999 - len(document.rows), -1))
    assert document.one("p", id="count").text == "5,000 runs"


READ_FILTERS = """
const found = {};
const box = document.getElementById("filter");
for (const filter of %s) {
  box.value = filter;
  box.dispatchEvent(new Event("input"));
  found[filter] = [...document.querySelectorAll("#runs tbody tr[data-run]")]
    .map((row) => row.querySelector(".name .link").textContent.replace("run ", "")).join("");
}
document.documentElement.dataset.result = JSON.stringify(found);
"""


@needs_browser
def test_filters_keep_the_runs_that_they_name(tmp_path: Path) -> None:
    expected = {
        "": "01234567",
        "adam": "3",
        "ADAM FAILED": "3",
        "adam finished": "",
        "big": "36",
        '"big one"': "3",
        "loss<1": "056",
        "loss<=0.5 loss>=0.5": "05",
        "last:loss=NaN": "1",
        "last:loss>100": "7",
        "loss=12": "3",
        "status=failed": "3",
        "status!=failed": "0124567",
        "tags=big": "6",
        'tags="big one"': "3",
        "tags!=big": "01234567".replace("6", ""),
        "optimizer=Adam": "3",
        "params.optimizer=sgd lr=0.1 loss>0.1": "05",
        "started>=2026-03-07": "67",
        "started=2026-03-05": "4",
        "nosuch<3": "",
        "name=run": "",
        'name="run 4"': "4",
        "loss<": "01234567",
        '"': "01234567",
    }
    script = READ_FILTERS % json.dumps(list(expected))
    document = browse(tmp_path, small_page(), script=script)
    assert json.loads(str(document.root["data-result"])) == expected


USE_THE_PAGE = """
const seen = [];
const rows = () => [...document.querySelectorAll("#runs tbody tr[data-run]")]
  .map((row) => row.querySelector(".name .link").textContent.replace("run ", "")).join("");
const note = (what) => seen.push([what, rows(), decodeURIComponent(location.hash)]);
const find = (selector) => document.querySelector(selector);
note("opened");
find("th[data-key='last:loss'] button").click();
note("sorted");
find("th[data-key='last:loss'] button").click();
note("turned round");
find("tr[data-run^='%(second)s'] input").click();
find("tr[data-run^='%(first)s'] input").click();
note("two selected");
find("#tab-curves").dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
note(document.activeElement.id + ": " + document.querySelectorAll(".comparison tbody tr").length);
find("#runs tbody .name .link").click();
note(find("#panel h2").textContent);
find("#chooser fieldset:last-of-type input").click();
note("column added");
find("#clear").click();
find("#all").click();
note(find("#count").textContent);
location.hash = "#filter=adam&sort=nosuch&columns=%%25E0%%25&select=zzz&tab=nosuch&run=%%3C";
window.addEventListener("hashchange", () => {
  note(find("#filter").value);
  seen.push([performance.getEntriesByType("resource").length, "", ""]);
  document.documentElement.dataset.result = JSON.stringify(seen);
});
"""


@needs_browser
def test_clicks_and_keys_change_the_view_and_the_address(tmp_path: Path) -> None:
    script = USE_THE_PAGE % {"first": run_id(0), "second": run_id(3)}
    state = "columns=name,last:loss,params.optimizer"
    document = browse(tmp_path, small_page(), state, script)
    up, down = f"#sort=last:loss&{state}", f"#sort=-last:loss&{state}"
    two = f"{down}&select={selected(3, 0)}"
    more, details = "73056412", f"&run={selected(7)}&tab=details"
    wider = two.replace("params.optimizer", "params.lr,params.optimizer")
    every = wider.replace(selected(3, 0), selected(7, 3, 0, 5, 6, 4, 1, 2))
    assert json.loads(str(document.root["data-result"])) == [
        ["opened", "01234567", f"#{state}"],
        ["sorted", "46053712", up],
        ["turned round", more, down],
        ["two selected", more, two],
        ["tab-compare: 7", more, f"{two}&tab=compare"],
        ["run 7", more, two + details],
        ["column added", more, wider + details],
        ["8 runs, 8 selected", more, every + details],
        ["adam", "3", "#filter=adam"],
        [0, "", ""],
    ]
