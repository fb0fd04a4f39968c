"""README.md tells the truth: its session is what a terminal shows, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gitexp.cli.registry import COMMANDS
from tests.readme_session import BEGIN, END, PAGE, normalised, play


def test_the_session_is_what_a_terminal_shows(tmp_path: Path) -> None:
    shown = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    assert normalised(shown) == normalised(play(tmp_path)), "run: python -m tests.readme_session"


PAGES = [PAGE, *sorted((PAGE.parent / "docs").rglob("*.md")), PAGE.parent / "examples/README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_that_is_named_exists(page: Path) -> None:
    known = {command.name for command in COMMANDS}
    text = page.read_text()
    assert set(re.findall(r"`git exp ([a-z]+)", text)) <= known | {"push"}
