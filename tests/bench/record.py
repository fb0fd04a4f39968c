"""Measure gitexp beside exprag, git and bare system calls: ``python -m tests.bench.record``.

This is about recording, and about one long run; `tests.bench.ask` asks many runs. Needs the extra
``bench`` (``pip install -e '.[bench]'``). The whole takes some minutes; ``--quick`` takes fewer
samples, for a look. docs/benchmarks.md has the figures and what they mean.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.bench import disk, long_run, snapshots, start_finish, tracking
from tests.bench.common import Figure, Options, as_json, machine, print_report, sandbox

PARTS: dict[str, Callable[[Path, Options], list[Figure]]] = {
    "start": start_finish.measure,
    "track": tracking.measure,
    "disk": disk.measure,
    "long": long_run.measure,
    "snapshot": snapshots.measure,
}


def main() -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.record", description=__doc__)
    parser.add_argument("--only", choices=PARTS, action="append", help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="fewer samples, smaller sizes")
    parser.add_argument("--values", type=int, help="tracked values in the long run")
    parser.add_argument("--json", action="store_true", help="print the raw figures as JSON")
    args = parser.parse_args()
    options = Options(12, 100_000, 2000) if args.quick else Options(50, 1_000_000, 50_000)
    if args.values:
        options = Options(options.samples, args.values, options.many_files)
    figures: list[Figure] = []
    with sandbox() as folder:
        header = machine(folder)
        for name in args.only or PARTS:
            begin = time.monotonic()
            figures += PARTS[name](folder, options)
            print(f"{name}: {time.monotonic() - begin:.0f} s", file=sys.stderr)
    if args.json:
        print(as_json(header, figures))
    else:
        print_report(header, figures)


if __name__ == "__main__":
    main()
