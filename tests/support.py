"""What tests of several modules share: a way to call git, and to call gitexp as users do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LEDGERS = Path(__file__).parents[2] / "shared" / "ledgers"


class Git:
    """git in one folder. ``git("status")`` returns its standard output without the last newline."""

    def __init__(self, path: Path, config: Mapping[str, str] | None = None) -> None:
        self.path = path
        self._config = [word for k, v in (config or {}).items() for word in ("-c", f"{k}={v}")]

    def raw(self, *arguments: str, stdin: bytes | None = None, **environment: str) -> bytes:
        return subprocess.run(
            ["git", *self._config, *arguments],
            cwd=self.path,
            input=stdin,
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, **environment},
        ).stdout

    def __call__(self, *arguments: str, **environment: str) -> str:
        return (
            self.raw(*arguments, stdin=None, **environment)
            .decode("utf-8", "surrogateescape")
            .rstrip("\n")
        )

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file below the repository, folders included."""
        target = self.path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content.encode() if isinstance(content, str) else content)
        return target


def gitexp(
    *arguments: str, cwd: Path | None = None, check: int | None = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run ``git-exp`` as a process; fail the test unless it exits with ``check`` (None: any)."""
    done = subprocess.run(
        [sys.executable, "-m", "gitexp.cli.main", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )
    if check is not None:
        assert done.returncode == check, (
            f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


def gitexp_json(*arguments: str, cwd: Path | None = None) -> Any:
    """Run ``git-exp … --json`` and return what it printed, decoded."""
    return json.loads(gitexp(*arguments, "--json", cwd=cwd).stdout)


def python(code: str, *, cwd: Path | None = None, check: bool = True, **environment: str) -> str:
    """Run a Python program in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout
