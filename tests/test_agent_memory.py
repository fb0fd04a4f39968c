"""What `gitexp.open` gives beside runs: methods and the brief, as the command line has them."""

from __future__ import annotations

import pytest

import gitexp
from gitexp.agents.memory import AgentMemory
from gitexp.experiment import Experiment
from gitexp.research.overview.brief import estimated_tokens
from tests.support import Git, gitexp_json


@pytest.fixture
def memory(repo: Git) -> AgentMemory:
    for loss in (0.5, 0.4):
        with Experiment("tried", params={"lr": loss}) as run:
            run.track({"loss": loss})
    return gitexp.open()


def test_open_gives_a_memory_with_methods(memory: AgentMemory) -> None:
    assert isinstance(memory, gitexp.Memory)
    found = memory.methods.search("gated activation", limit=3)
    assert len(found) == 3
    assert "swiglu" in [each.method.slug for each in found]


def test_methods_are_in_the_same_order_as_on_the_command_line(memory: AgentMemory) -> None:
    found = memory.methods.search("rotary positions", limit=4)
    shown = gitexp_json("methods", "search", "rotary positions", "-n", "4", "--no-record")
    assert [each.method.slug for each in found] == [each["slug"] for each in shown["methods"]]


def test_the_brief_has_methods_where_they_are_asked_for(memory: AgentMemory) -> None:
    assert "Methods to try" not in memory.context(2_000).text
    asked = memory.context(2_000, methods="gated activation")
    assert "Methods to try" in asked.text
    assert "swiglu" in asked.text


@pytest.mark.parametrize("tokens", [200, 400, 1_000])
def test_a_brief_with_methods_stays_within_its_tokens(memory: AgentMemory, tokens: int) -> None:
    found = memory.context(tokens, methods="")
    assert found.tokens <= tokens
    assert estimated_tokens(found.text) <= tokens


def test_refresh_sees_a_new_method_and_a_new_run(memory: AgentMemory) -> None:
    assert memory.count() == 2
    slugs = set(memory.library.methods())
    other = gitexp.open()
    line = next(iter(other.library.methods().values()))
    time, by = other.library.stamp()
    own = type(line)(time=time, by=by, slug="my-own", name="Mine", family="other", summary="Mine.")
    other.library.add([own])
    with Experiment("third") as run:
        run.track({"loss": 0.3})
    memory.refresh()
    assert memory.count() == 3
    assert set(memory.library.methods()) == slugs | {"my-own"}
    assert "my-own" in [each.method.slug for each in memory.methods.search("my-own", limit=50)]
