from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

from gitexp.markup import history_html
from gitexp.memory import Memory
from gitexp.notebook import (
    MAX_ROWS,
    Runs,
    front_html,
    memory_html,
    ranking_html,
    run_html,
    runs_html,
)
from tests.full_store import HOSTILE, hostile_run, record_runs, write_full_run
from tests.support import Git

SAFE_TAGS = {"div", "b", "span", "table", "thead", "tbody", "tr", "th", "td"}
MARKUP = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&\x00\x1b[31m\u202e"


class Parsed(HTMLParser):
    """The cells of all tables by row, all text, and every tag with its attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.text = ""
        self._inside = False
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, attrs))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self._inside = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._inside = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._inside:
            self.rows[-1][-1] += data

    def check_harmless(self) -> None:
        assert {tag for tag, _ in self.tags} <= SAFE_TAGS
        assert {name for _, attributes in self.tags for name, _ in attributes} <= {"style"}
        assert not set("\x00\x1b") & set(self.text)


def document(number: int, **more: Any) -> dict[str, Any]:
    started = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=number)
    known = {"run": f"{number:040x}", "name": f"run {number}", "status": "finished"}
    return known | {"started": started.isoformat(), **more}


def metrics(**last: Any) -> dict[str, Any]:
    return {name: {"first": 0, "last": value, "count": 1} for name, value in last.items()}


def test_a_list_of_runs_shows_metrics_and_what_differs() -> None:
    runs = [
        document(1, metrics=metrics(acc=0.123456789), parameters={"lr": 0.1, "width": 8}),
        document(2, metrics=metrics(acc="NaN"), parameters={"lr": 0.2, "width": 8}),
    ]
    page = Parsed(runs_html(runs, 2))
    assert page.rows == [
        ["run", "name", "status", "started", "acc", "params.lr"],
        ["000000000000", "run 1", "finished", "2026-01-02 00:00:00", "0.123457", "0.1"],
        ["000000000000", "run 2", "finished", "2026-01-03 00:00:00", "NaN", "0.2"],
    ]
    assert "more" not in page.text


def test_a_long_list_of_runs_says_how_many_more_there_are() -> None:
    page = Parsed(runs_html([document(i) for i in range(30)], 12_345))
    assert len(page.rows) == 1 + MAX_ROWS
    assert page.text.endswith("and 12,325 more runs")


def test_no_runs_are_an_empty_table() -> None:
    assert Parsed(runs_html([], 0)).rows == [["run", "name", "status", "started"]]
    assert Parsed(memory_html("/home/ada/project", [], 0)).text == "0 runs /home/ada/project"


def test_a_run_shows_all_its_metrics_and_parameters(repo: Git) -> None:
    run = Memory.open(repo.path).get(write_full_run(repo))
    page = Parsed(run_html(run.to_dict()))
    page.check_harmless()
    for row in (
        ["status", "failed"],
        ["verdict", "keep"],
        ["tags", "base"],
        ["description", "what is tried"],
        ["error", "ValueError: wrong"],
        ["metric", "last", "min", "max", "mean", "count"],
        ["loss", "2", "0", "2", "1", "3"],
        ["acc", "NaN", "", "", "", "3"],
        ["params.lr", "0.5"],
        ["metadata.source", "made up"],
    ):
        assert row in page.rows


def test_runs_in_a_list_are_shown_and_stay_a_list(repo: Git) -> None:
    record_runs(repo)
    runs = Runs(Memory.open(repo.path).runs())
    assert runs == list(runs)
    page = Parsed(runs._repr_html_())
    assert [row[1] for row in page.rows] == ["name", "run 2", "run 1", "run 0"]


def test_a_ranking_and_a_front_show_values() -> None:
    ranked = Parsed(ranking_html("loss", "min", [(document(1), 0.5, 3), (document(2), 0.7, None)]))
    assert [row[4:] for row in ranked.rows] == [["loss", "step"], ["0.5", "3"], ["0.7", ""]]
    assert "lowest loss first" in ranked.text
    front = Parsed(front_html({"acc": "max", "loss": "min"}, [(document(1), (0.9, 0.1))]))
    assert [row[4:] for row in front.rows] == [["acc (max)", "loss (min)"], ["0.9", "0.1"]]


def test_a_history_shows_its_ends() -> None:
    points = [(i, 1_769_860_800_000 + i, i / 2) for i in range(1_000)]
    page = Parsed(history_html("loss", points))
    steps = [row[0] for row in page.rows[1:]]
    assert steps == ["0", "1", "2", "3", "4", "…", "995", "996", "997", "998", "999"]
    assert page.text.startswith("loss 1,000 points")
    odd = Parsed(history_html("loss", [(0, 10**18, math.inf), (1, 0, math.nan)]))
    assert odd.rows[1:] == [["0", "", "Infinity"], ["1", "1970-01-01 00:00:00", "NaN"]]
    assert len(Parsed(history_html("none", [])).rows) == 1


def test_what_runs_say_stays_text(repo: Git) -> None:
    hostile = document(
        1,
        name=MARKUP,
        status=MARKUP,
        description=MARKUP,
        by=MARKUP,
        tags=[MARKUP],
        metrics=metrics(**{MARKUP: 1.0}),
        parameters={MARKUP: [MARKUP]},
        metadata=MARKUP,
        error={"type": MARKUP, "message": MARKUP},
    )
    stored = Memory.open(repo.path).get(hostile_run(repo)).to_dict()
    assert stored["name"] == HOSTILE
    for text in (
        run_html(hostile),
        run_html(stored),
        runs_html([hostile, stored], 2),
        ranking_html(MARKUP, "min", [(hostile, 1.0, 1)]),
        front_html({MARKUP: MARKUP}, [(hostile, (1.0,))]),
        memory_html(MARKUP, [hostile], 1),
        history_html(MARKUP, [(1, 1, 1.0)]),
    ):
        Parsed(text).check_harmless()
    assert "<script>alert(1)</script>" in Parsed(run_html(hostile)).text


def test_a_document_with_nothing_known_is_shown() -> None:
    assert "Run 0000" in Parsed(run_html({"run": "0" * 40})).text
    strange = document(1, duration=1e300, error={}, metrics={"m": {}}, parameters={})
    assert ["m", "", "", "", "", ""] in Parsed(run_html(strange)).rows
