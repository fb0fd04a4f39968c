"""Let somebody edit a text in their own editor, the one that git would open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gitexp.errors import GitCommandError, GitexpError
from gitexp.git.process import run_git
from gitexp.git.repository import Repository


def edit_file(repository: Repository, path: Path) -> None:
    """Open a file in the editor and wait until it is closed.

    The editor is git's: ``GIT_EDITOR``, ``core.editor``, ``VISUAL``, ``EDITOR``; what it is set to
    is a command of the shell, as it is for git.

    Args:
        repository: Whose settings count.
        path: Of the file.

    Raises:
        GitexpError: There is no terminal or no editor, or the editor failed.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise GitexpError(
            "There is no terminal to edit in.", "Give --file FILE, or --set FIELD=VALUE."
        )
    try:
        editor = run_git(["var", "GIT_EDITOR"], cwd=repository.top).decode().strip()
    except GitCommandError as error:
        raise GitexpError("git knows no editor.", "Set one: git config core.editor NAME") from error
    done = subprocess.run(["sh", "-c", f'{editor} "$@"', editor, str(path)], check=False)
    if done.returncode:
        raise GitexpError(f"The editor exited with {done.returncode}; nothing was changed.")
