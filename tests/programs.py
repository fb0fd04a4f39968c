"""Put ``git-exp`` and ``python`` of this environment on PATH, as an installation does."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write both programs into a folder and put it first on ``PATH``."""
    folder.mkdir()
    for name, arguments in (("git-exp", "-m gitexp.cli.main "), ("python", "")):
        program = folder / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
