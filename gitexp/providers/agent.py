"""A coding agent on the command line: ``claude -p``, ``codex exec -``, or a program of one's own.

It works in the worktree and edits it; what it prints is what it said. The prompt comes on its
standard input, and in place of the argument ``{prompt}`` where there is one. Agents that print a
JSON object at the end of their output say in ``usage`` what they took; of others tokens are
counted here.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from gitexp.command import CommandResult, read_log, run_command
from gitexp.errors import UsageError
from gitexp.providers.count import counted
from gitexp.providers.port import ProviderError, Reply, Request, Tokens

PLACE = "{prompt}"
"""The argument that the prompt takes the place of."""

_OUTPUT_BYTES = 1 << 20
"""How much of the beginning and of the end of an agent's output is read."""

_MOST_ARGUMENT_BYTES = 120_000
"""Linux takes arguments of up to 128 KiB."""

_NOT_FOUND = (126, 127)
"""Exit codes of a program that could not be started, also behind what a request wraps it in."""

_SHOWN = 300
_PROMPT_NAMES = ("input_tokens", "prompt_tokens")
_COMPLETION_NAMES = ("output_tokens", "completion_tokens")
_CACHED_NAMES = ("cache_read_input_tokens", "cached_input_tokens", "cached_tokens")


class AgentProvider:
    """Runs a command that edits the worktree.

    Attributes:
        name: ``agent``.
        model: The command's program, or what the user calls the model.
        keys: Names of the variables that the agent may see though they look like secrets.
    """

    name = "agent"

    def __init__(
        self, command: str, *, model: str | None = None, keys: tuple[str, ...] = ()
    ) -> None:
        """Prepare to run it.

        Args:
            command: Program and arguments as a shell would split them; no shell is used.
            model: What its usage is listed under.
            keys: Names of variables that it needs.

        Raises:
            UsageError: The command cannot be split, or is empty.
        """
        try:
            self._command = tuple(shlex.split(command))
        except ValueError as error:
            raise UsageError(f"The agent's command cannot be read: {error}.") from error
        if not self._command:
            raise UsageError("There is no agent to run.", 'Give one, as in --agent "claude -p".')
        self.model = model or Path(self._command[0]).name
        self.keys = keys

    def ask(self, request: Request) -> Reply:
        """Run the agent in the worktree; see `Provider.ask`.

        Raises:
            KeyboardInterrupt: It was ended by a signal from outside.
        """
        prompt = f"{request.system}\n\n{request.prompt}"
        with tempfile.TemporaryDirectory(prefix="gitexp-agent-") as folder:
            result, output = self._run(request, prompt, Path(folder))
        if result.status == "interrupted":
            raise KeyboardInterrupt
        text, tokens = _read(output, prompt)
        if result.status != "exited" or result.exit_code:
            raise ProviderError(
                _why(self._command[0], result, request.budget_s),
                retryable=result.exit_code not in _NOT_FOUND,
                tokens=tokens,
            )
        return Reply(text, tokens, self.model, result.duration_s, edits_files=True)

    def _run(self, request: Request, prompt: str, folder: Path) -> tuple[CommandResult, bytes]:
        argument = prompt.encode("utf-8", "replace")[:_MOST_ARGUMENT_BYTES].decode(
            "utf-8", "ignore"
        )
        given = (argument.replace("\0", " ") if word == PLACE else word for word in self._command)
        question, log = folder / "prompt", folder / "output"
        question.write_text(prompt, encoding="utf-8", errors="replace")
        with question.open("rb") as stdin, open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a device
            result = run_command(
                [*request.wrap, *given],
                log=log,
                cwd=request.folder,
                environment=request.environment,
                budget_s=request.budget_s,
                log_head_bytes=_OUTPUT_BYTES,
                log_tail_bytes=_OUTPUT_BYTES,
                stdin=stdin.fileno(),
                stdout=nowhere.fileno(),
                stderr=nowhere.fileno(),
            )
        return result, read_log(log)


def _read(output: bytes, prompt: str) -> tuple[str, Tokens]:
    """Return what an agent said, and what it took."""
    text = output.decode("utf-8", "replace")
    last = _last_object(text)
    if last is None:
        return text, counted(prompt, text)
    said = last.get("result")
    usage = last.get("usage")
    tokens = _usage(usage) if isinstance(usage, Mapping) else None
    return (said if isinstance(said, str) else text), tokens or counted(prompt, text)


def _last_object(text: str) -> Mapping[str, Any] | None:
    """Return the JSON object that the whole output, or its last line that is one, holds."""
    stripped = text.strip()
    for candidate in (stripped, stripped.rpartition("\n")[2]):
        if candidate.startswith("{") and candidate.endswith("}"):
            try:
                found = msgspec.json.decode(candidate)
            except (msgspec.MsgspecError, RecursionError):
                continue
            if isinstance(found, dict):
                return found
    return None


def _usage(usage: Mapping[str, Any]) -> Tokens | None:
    """Return the tokens of a usage object, whichever of the usual names it has."""

    def first(names: tuple[str, ...]) -> int | None:
        values = (usage.get(name) for name in names)
        return next((v for v in values if type(v) is int and 0 <= v < 1 << 40), None)

    prompt, completion = first(_PROMPT_NAMES), first(_COMPLETION_NAMES)
    cached = first(_CACHED_NAMES) or 0
    if prompt is None or completion is None:
        return None
    if "cache_read_input_tokens" in usage:  # there the prompt's tokens are those besides
        prompt += cached + (first(("cache_creation_input_tokens",)) or 0)
    return Tokens(prompt, completion, cached)


def _why(program: str, result: CommandResult, budget_s: float) -> str:
    if result.status == "not_started":
        return result.message
    if result.status == "timeout":
        return f"The agent {program} was ended after {budget_s:g} s."
    tail = " ".join(result.tail.decode("utf-8", "replace").split())[-_SHOWN:]
    return f"The agent {program} failed with exit code {result.exit_code}: {tail}"
