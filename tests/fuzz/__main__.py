"""Run a target with atheris, which is not among the development tools: ``pip install atheris``.

    python -m tests.fuzz facts -max_total_time=60

What follows the target goes to libFuzzer. Honest inputs are given to it in a temporary corpus,
unless a folder is named.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from pathlib import Path


def main() -> None:
    """Fuzz until a promise is broken, or the time is over."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["gitexp"]):
        from tests.fuzz.targets import TARGETS, seeds

    if len(sys.argv) < 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: python -m tests.fuzz {{{','.join(TARGETS)}}} [OPTION…] [CORPUS]")
    name, rest = sys.argv[1], sys.argv[2:]
    folder = tempfile.mkdtemp(prefix="gitexp-fuzz-")
    for number, seed in enumerate(seeds(name)):
        (Path(folder) / str(number)).write_bytes(seed)
    places = [] if rest and not rest[-1].startswith("-") else [folder]
    atheris.Setup([sys.argv[0], *rest, *places], TARGETS[name])
    atheris.Fuzz()


main()
