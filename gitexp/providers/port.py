"""What a provider is: it is asked with a prompt, and answers with a text or by editing files.

Every provider does the same for the loop: an endpoint of a model, a coding agent on the command
line, a script. None of them knows about runs, budgets or git.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gitexp.errors import GitexpError


@dataclass(frozen=True)
class Request:
    """A question.

    Attributes:
        system: What the provider is and how it is to answer.
        prompt: The question, with its context.
        folder: The worktree that it may read, and that an agent edits.
        environment: All variables of a program that is started; without keys that are not its own.
        wrap: Arguments that a program is started behind, those of a sandbox say.
        budget_s: Seconds after which it is ended.
        max_tokens: Tokens that the answer may have.
    """

    system: str
    prompt: str
    folder: Path
    environment: Mapping[str, str] = field(repr=False)
    wrap: tuple[str, ...] = ()
    budget_s: float = 600.0
    max_tokens: int = 8_192


@dataclass(frozen=True)
class Tokens:
    """What a call took.

    Attributes:
        prompt: Tokens that were sent; `cached` of them were billed as cached ones.
        completion: Tokens that came back.
        estimated: The provider did not say; they were counted here.
    """

    prompt: int
    completion: int
    cached: int = 0
    estimated: bool = False


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        text: What it said.
        tokens: What it took.
        model: As the provider calls it.
        seconds: How long it took.
        edits_files: It edits the worktree itself; the text has no edits that are to be applied.
    """

    text: str
    tokens: Tokens
    model: str
    seconds: float
    edits_files: bool = False


class Provider(Protocol):
    """Somebody who proposes the next experiment.

    Attributes:
        name: ``openai``, ``agent`` or ``script``.
        model: As the provider calls it, as far as it is known before it is asked.
        keys: Names of the environment variables that hold its keys: never passed to a run.
    """

    name: str
    model: str
    keys: tuple[str, ...]

    def ask(self, request: Request) -> Reply:
        """Return the answer.

        Raises:
            ProviderError: There is none; `ProviderError.tokens` says what it took all the same.
            ExhaustedError: There will be none any more: a script has ended.
        """


class ProviderError(GitexpError):
    """A provider did not answer, or not so that it can be used.

    Attributes:
        retryable: Asking again may help.
        tokens: What was spent, where the provider said so or a part of the answer came.
    """

    def __init__(
        self,
        message: str,
        hint: str | None = None,
        *,
        retryable: bool = False,
        tokens: Tokens | None = None,
    ) -> None:
        super().__init__(message, hint)
        self.retryable = retryable
        self.tokens = tokens


class ExhaustedError(ProviderError):
    """The provider has nothing more to propose."""
