"""Run the git program with a scrubbed environment and turn its failures into our errors.

Everything a user configured stays in force (credentials, filters, ``git -c``, ``GIT_DIR``).
What is taken out of the environment are the variables by which a *calling* git command
(a hook, an alias, a rebase) would redirect our reads and writes to its own temporary state.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from gitexp.errors import GitCommandError, NoRepositoryError

_SCRUBBED = (
    "GIT_INDEX_FILE",
    "GIT_INDEX_VERSION",
    "GIT_NOTES_REF",
    "GIT_NOTES_DISPLAY_REF",
    "GIT_NOTES_REWRITE_REF",
    "GIT_LITERAL_PATHSPECS",
    "GIT_GLOB_PATHSPECS",
    "GIT_NOGLOB_PATHSPECS",
    "GIT_ICASE_PATHSPECS",
    "GIT_EXTERNAL_DIFF",
    "GIT_DIFF_OPTS",
    "GIT_PREFIX",
)


Environment = Mapping[str, str | None]
_PLACES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")


def git_environment(extra: Environment | None = None) -> dict[str, str]:
    """Return the environment for a git child: ours, scrubbed, with messages in English.

    Relative places become absolute, since the child may run in another folder than ours. In
    ``extra``, None takes a variable out.

    ``GIT_OPTIONAL_LOCKS=0`` keeps ``git status`` from refreshing (and so locking and
    rewriting) the user's index.
    """
    environment = {k: v for k, v in os.environ.items() if k not in _SCRUBBED}
    for name in _PLACES:
        if name in environment:
            environment[name] = os.path.abspath(environment[name])  # noqa: PTH100 - no resolving
    environment["GIT_OPTIONAL_LOCKS"] = "0"
    environment["LC_ALL"] = "C"
    for name, value in (extra or {}).items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


def start_git(
    arguments: Sequence[str | bytes],
    *,
    cwd: Path,
    environment: Environment | None = None,
    stdin: int = subprocess.DEVNULL,
) -> subprocess.Popen[bytes]:
    """Start git with pipes on its output; the caller ends it with `finish_git`.

    Raises:
        NoRepositoryError: The git program is not installed.
    """
    try:
        return subprocess.Popen(
            ["git", *arguments],
            cwd=cwd,
            env=git_environment(environment),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        if not cwd.is_dir():
            raise NoRepositoryError(f"The directory {cwd} does not exist.") from error
        raise NoRepositoryError(
            "The git program was not found.", "Install git and make sure it is on PATH."
        ) from error


def finish_git(process: subprocess.Popen[bytes], stdin: bytes | None = None) -> bytes:
    """Wait for a started git and return its standard output.

    Raises:
        GitCommandError: git failed; the message ends with what git said.
    """
    try:
        output, errors = process.communicate(stdin)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if process.returncode:
        raise translate_failure(process.args, process.returncode, errors)
    return output


def run_git(
    arguments: Sequence[str | bytes],
    *,
    cwd: Path,
    stdin: bytes | None = None,
    environment: Environment | None = None,
) -> bytes:
    """Run git to its end and return its standard output.

    Args:
        arguments: What follows ``git`` on the command line.
        cwd: Where to run it.
        stdin: What it reads; nothing if None.
        environment: Variables to add to the scrubbed environment, or (None) to take out.

    Raises:
        GitCommandError: git failed; the message ends with what git said.
        NoRepositoryError: git is missing or found no usable repository.
    """
    pipe = subprocess.DEVNULL if stdin is None else subprocess.PIPE
    return finish_git(start_git(arguments, cwd=cwd, environment=environment, stdin=pipe), stdin)


def translate_failure(arguments: object, returncode: int, errors: bytes) -> GitCommandError | (
    NoRepositoryError
):
    """Return the error for a failed git process, by what it wrote to stderr."""
    text = errors.decode("utf-8", "replace").strip()
    if "not a git repository" in text:
        return NoRepositoryError(
            "There is no git repository here.",
            "Change to your project's folder, or make one with 'git init'.",
        )
    if "dubious ownership" in text:
        return NoRepositoryError(
            "git does not trust this repository, because another user owns it.",
            "Read 'git help config' on safe.directory.",
        )
    if "unknown repository extension" in text or "Expected git repo version" in text:
        return NoRepositoryError(f"git cannot open this repository: {last_line(text)}")
    name = _subcommand(arguments)
    reason = last_line(text) or f"exit code {returncode}"
    failure = GitCommandError(f"git {name} failed: {reason}")
    failure.said = text
    failure.code = returncode
    return failure


def last_line(text: str) -> str:
    """Return the line of git's stderr that names the failure: the last fatal or error line."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    marked = [line for line in lines if line.startswith(("fatal:", "error:"))]
    return (marked or lines or [""])[-1]


def _subcommand(arguments: object) -> str:
    words = arguments if isinstance(arguments, list | tuple) else [str(arguments)]
    texts = [os.fsdecode(w) for w in words[1:]]
    skip = False
    for word in texts:
        if skip:
            skip = False
        elif word in ("-c", "-C"):
            skip = True
        elif not word.startswith("-"):
            return word
    return "command"
