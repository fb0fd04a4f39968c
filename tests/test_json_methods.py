"""docs/reference/json.md says what methods, papers and the loop print with ``--json``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gitexp.git.repository import Repository
from gitexp.library.library import Library
from gitexp.records.library import Paper
from gitexp.store.library import text_digest
from tests.full_store import Caller
from tests.json_reference import check, within
from tests.methods_runs import PLAIN, record
from tests.support import Git
from tests.test_chains import whole_chain


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Caller:
    return Caller(capsys)


def test_methods_show(repo: Git, call: Caller) -> None:
    run = whole_chain(repo).credit.run
    shown = [call.json("methods", "show", slug) for slug in ("gate", "swiglu", "rope", "gqa")]
    assert shown[0]["chains"][0]["run"] == run
    within("methods show", *shown)


def test_methods_used_and_listed(repo: Git, call: Caller) -> None:
    whole_chain(repo)
    check("methods used", call.json("methods", "used"))
    check("methods list", call.json("methods", "list"))


def test_methods_search_and_next(repo: Git, call: Caller) -> None:
    whole_chain(repo)
    found = call.json("methods", "search", "gate multiplies a projection")
    check("methods search, methods next", found, call.json("methods", "next", "--no-record"))


def test_methods_added_and_withdrawn(repo: Git, call: Caller, tmp_path: Path) -> None:
    card = tmp_path / "card.json"
    card.write_text(
        json.dumps({"slug": "mine", "name": "Mine", "family": "other", "summary": "It helps."})
    )
    within("methods add, methods edit", call.json("methods", "add", str(card)))
    check("methods rm", call.json("methods", "rm", "mine"))


def test_papers(repo: Git, call: Caller, tmp_path: Path) -> None:
    page = tmp_path / "gates.md"
    page.write_text("# Gates\n\nA gate multiplies.\n\n## Why\n\nIt selects features.\n")
    added = call.json("papers", "add", str(page), str(tmp_path / "none.md"), code=1)
    within("papers add", added)
    assert added["failed"][0]["spec"].endswith("none.md")
    paper = added["papers"][0]["paper"]
    within("papers show", call.json("papers", "show", paper))
    within("papers search", call.json("papers", "search", "gate"))
    check("papers rm", call.json("papers", "rm", paper))


def test_a_paper_with_everything(repo: Git, call: Caller) -> None:
    library = Library(Repository.discover())
    time, by = library.stamp()
    whole = Paper(
        time=time,
        by=by,
        id="arxiv-2002.05202",
        source="arxiv",
        title="GLU Variants",
        authors=("N. S.",),
        year=2020,
        url="https://arxiv.org/abs/2002.05202",
        arxiv="2002.05202",
        version="v1",
        doi="10.1/x",
        commit="a" * 40,
        licence="CC BY 4.0",
        abstract="Gates.",
        digest=text_digest("Gates."),
        characters=6,
    )
    library.add([whole])
    check("papers list", call.json("papers", "list"))


def test_loop(repo: Git, call: Caller, tmp_path: Path) -> None:
    record(repo, "first", PLAIN, loss=1.0)
    repo("add", "-A")
    repo("commit", "--quiet", "-m", "code")
    script = tmp_path / "ideas.jsonl"
    script.write_text("")
    options = ["--script", str(script), "--metric", "loss", "--sandbox", "off", "--", "echo", "x"]
    check(
        "loop --dry-run", call("loop", "--json", "--dry-run", "--evaluate", "echo y", *options).data
    )
    ended = call("loop", "--json", *options, code=1).data
    within("loop", ended)
    within("loop --list", call.json("loop", "--list"))
