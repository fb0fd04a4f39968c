"""How wide the terminal is, without `shutil`, whose imports take a millisecond of every start."""

from __future__ import annotations

import os
import sys

_DEFAULT = 80


def columns() -> int:
    """Return ``COLUMNS`` if it is set, else the terminal's width, else 80."""
    configured = os.environ.get("COLUMNS", "")
    if configured.isdecimal() and int(configured) > 0:
        return int(configured)
    if sys.__stdout__ is None:
        return _DEFAULT
    try:
        return os.get_terminal_size(sys.__stdout__.fileno()).columns or _DEFAULT
    except (ValueError, OSError):  # closed, or no terminal
        return _DEFAULT
