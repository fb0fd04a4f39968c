"""The report as a page: it is whole, makes no request, and is what a browser shows."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gitexp.records.facts import Failure
from gitexp.render.report_page import report_page
from gitexp.research.overview.report import report
from tests.full_store import HOSTILE, is_harmless
from tests.lab import Lab
from tests.support import Git

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
INJECTION = (
    f'{HOSTILE}</style></script><script>document.title="hacked"</script>"\'><img src=x>{{x}}'
)


@pytest.fixture
def lab(repo: Git) -> Lab:
    repo("config", "exprag.metric", "loss")
    return Lab(repo, hours_ago=12)


def page_of(lab: Lab) -> str:
    found: dict[str, Any] = msgspec.to_builtins(report(lab.memory()))
    return report_page(found)


def fill(lab: Lab) -> None:
    for i in range(12):
        name = INJECTION if i % 2 else "fine"
        lab.run(1.0 + 0.1 * (i % 3) - i / 50, code=f"a = {i}\n", name=name, description=name)
    lab.run(1e12, code="far away")
    lab.run(status="crashed", code="x", error=Failure("ValueError", INJECTION), family=INJECTION)


def test_the_page_holds_the_headline_the_charts_and_the_tables(lab: Lab) -> None:
    fill(lab)
    page = page_of(lab)
    for part in ("In short", "Progress of loss", "Outcomes", "What to do next", "Latest runs"):
        assert f"<h2>{part}</h2>" in page
    assert page.count("<circle ") == 13
    assert "1 of them are beyond the edge." in page
    assert 'class="band"' in page


def test_the_page_asks_for_nothing_and_runs_nothing(lab: Lab) -> None:
    fill(lab)
    page = page_of(lab)
    assert is_harmless(page)
    assert "<script" not in page
    assert "<img" not in page
    assert not [tag for tag in re.findall(r"<[^>]*>", page) if "src=" in tag or "href=" in tag]
    style = page[page.index("<style>") + 7 : page.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; style-src 'sha256-{digest}'" in page
    assert "url(" not in style


def test_a_page_of_crashes_alone_is_whole_too(lab: Lab) -> None:
    lab.run(status="crashed")
    page = page_of(lab)
    assert "Progress" not in page
    assert "<h2>Outcomes</h2>" in page


@pytest.mark.parametrize("value", [0.0, -3.0, 1e300, 5e-324])
def test_one_value_of_any_size_is_drawn(lab: Lab, value: float) -> None:
    lab.run(value)
    page = page_of(lab)
    assert page.count("<circle ") <= 1
    assert "nan" not in page[page.index("<svg") :]


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_a_browser_shows_it_and_what_runs_say_does_nothing(lab: Lab, tmp_path: Path) -> None:
    fill(lab)
    file = tmp_path / "report.html"
    file.write_text(page_of(lab), encoding="utf-8")
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom"]
    folders = [f"--user-data-dir={tmp_path / 'profile'}", "--window-size=400,900"]
    done = subprocess.run(
        [str(BROWSER), *options, *folders, file.as_uri()],
        capture_output=True,
        check=True,
        timeout=120,
    )
    shown = done.stdout.decode()
    assert "<title>Experiments in repo: the last 16 hours</title>" in shown
    assert shown.count("<circle ") == 13
    assert "<img" not in shown
    assert "<script" not in shown
