"""A coding agent on the command line: what it gets, what is read of it, how it ends."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from gitexp.errors import UsageError
from gitexp.providers.agent import AgentProvider
from gitexp.providers.port import ProviderError, Reply, Request


def agent(tmp_path: Path, program: str, *arguments: str) -> AgentProvider:
    script = tmp_path / "agent.py"
    script.write_text(program)
    return AgentProvider(" ".join([sys.executable, str(script), *arguments]))


def ask(provider: AgentProvider, folder: Path, budget_s: float = 30.0) -> Reply:
    environment = {"PATH": os.environ["PATH"], "KNOWN": "yes"}
    return provider.ask(Request("Be brief.", "What next?", folder, environment, budget_s=budget_s))


def test_it_reads_the_prompt_and_edits_the_worktree(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    provider = agent(
        tmp_path,
        "import os, sys\nopen('train.py', 'w').write(sys.stdin.read())\n"
        "print('done', os.environ.get('KNOWN'), os.environ.get('HOME'))\n",
    )
    reply = ask(provider, work)
    assert (work / "train.py").read_text() == "Be brief.\n\nWhat next?"
    assert reply.text == "done yes None\n"
    assert reply.edits_files
    assert reply.tokens.estimated


def test_the_prompt_takes_its_place_among_the_arguments(tmp_path: Path) -> None:
    provider = agent(tmp_path, "import sys; print(repr(sys.argv[1:]))", "--message", "{prompt}")
    assert ask(provider, tmp_path).text.strip() == repr(["--message", "Be brief.\n\nWhat next?"])


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"input_tokens": 5, "output_tokens": 7, "cache_read_input_tokens": 90}, (95, 7, 90)),
        ({"prompt_tokens": 5, "completion_tokens": 7}, (5, 7, 0)),
        ({"input_tokens": 50, "cached_input_tokens": 40, "output_tokens": 7}, (50, 7, 40)),
    ],
)
def test_what_it_says_of_its_tokens_is_taken(
    tmp_path: Path, usage: dict[str, int], tokens: tuple[int, int, int]
) -> None:
    said = json.dumps({"type": "result", "result": "Tried a warm-up.", "usage": usage})
    provider = agent(tmp_path, f"print('thinking'); print({said!r})")
    reply = ask(provider, tmp_path)
    assert reply.text == "Tried a warm-up."
    assert (reply.tokens.prompt, reply.tokens.completion, reply.tokens.cached) == tokens
    assert not reply.tokens.estimated


@pytest.mark.parametrize("usage", [{"input_tokens": -1, "output_tokens": 2}, {"x": 1}, [], "free"])
def test_tokens_are_counted_here_where_it_says_nonsense(tmp_path: Path, usage: object) -> None:
    said = json.dumps({"result": "ok", "usage": usage})
    assert ask(agent(tmp_path, f"print({said!r})"), tmp_path).tokens.estimated


def test_an_agent_that_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    provider = agent(tmp_path, "import sys; print('no credit left'); sys.exit(3)")
    with pytest.raises(ProviderError, match="exit code 3: no credit left") as caught:
        ask(provider, tmp_path)
    assert caught.value.retryable
    assert caught.value.tokens is not None
    assert caught.value.tokens.prompt > 0


def test_an_agent_that_never_ends_is_ended(tmp_path: Path) -> None:
    provider = agent(tmp_path, "import time; time.sleep(1000)")
    with pytest.raises(ProviderError, match=r"ended after 0\.5 s"):
        ask(provider, tmp_path, budget_s=0.5)


def test_a_flood_of_output_is_bounded(tmp_path: Path) -> None:
    provider = agent(tmp_path, "import sys\nfor _ in range(64): sys.stdout.write('x' * (1 << 20))")
    assert len(ask(provider, tmp_path).text) < 5 << 20


def test_an_agent_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="was not found") as caught:
        ask(AgentProvider("no-such-agent -p"), tmp_path)
    assert not caught.value.retryable


@pytest.mark.parametrize("command", ["", "   ", "claude 'unclosed"])
def test_a_command_that_is_none_is_refused(command: str) -> None:
    with pytest.raises(UsageError):
        AgentProvider(command)


def test_it_runs_behind_a_sandbox(tmp_path: Path) -> None:
    provider = agent(tmp_path, "print('inside')")
    request = Request("s", "p", tmp_path, {"PATH": os.environ["PATH"]}, wrap=("env", "BOX=1"))
    assert provider.ask(request).text == "inside\n"
