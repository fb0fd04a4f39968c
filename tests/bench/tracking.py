"""What one call of ``track`` costs, and what it leaves on disk while the run is in progress.

The floor is what nobody who keeps a value can avoid: encode it (MessagePack, by msgspec) and hand
it to the system with one write to a file opened for appending. All files are on one file system.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.common import (
    Action,
    Figure,
    Options,
    compare,
    experiment_of,
    interleaved,
    make_repository,
    remove,
)

CALLS = 2000


def measure(folder: Path, options: Options) -> list[Figure]:
    """Compare the smallest time per call over many rounds of `CALLS` calls."""
    repository = make_repository(folder / "tracking", 50)
    os.chdir(repository)
    ours, theirs = (experiment_of(name)("bench") for name in ("gitexp", "exprag"))
    descriptor = os.open("floor", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    encode, write = msgspec.msgpack.encode, os.write
    source = random.Random(1)
    values = [{"step": i, "loss": source.random(), "acc": source.random()} for i in range(CALLS)]
    encoded = [encode(value) for value in values]
    taken = interleaved(
        {
            "write": _loop(lambda data: write(descriptor, data), encoded),
            "encode and write": _loop(lambda value: write(descriptor, encode(value)), values),
            "gitexp": _loop(ours.track, values),
            "exprag": _loop(theirs.track, values),
        },
        options.samples,
    )
    os.close(descriptor)
    best = {name: min(seconds) * 1e6 for name, seconds in taken.items()}
    calls = CALLS * (options.samples + 1)
    sizes = {exp: Path(exp.path).stat().st_size / calls for exp in (ours, theirs)}
    ours.finish()
    figures = [Figure(f"{name}: a call", best[name], "µs") for name in best if name != "gitexp"]
    figures += [
        compare(
            "track: a call",
            best["gitexp"],
            "µs",
            "encode and write",
            best["encode and write"],
            most=3,
        ),
        compare("track: a call", best["gitexp"], "µs", "exprag", best["exprag"], most=0.1),
        Figure("exprag: bytes a call, run in progress", sizes[theirs], "B"),
        compare("track: bytes a call, run in progress", sizes[ours], "B", "exprag", sizes[theirs]),
    ]
    del theirs
    remove(repository)
    return figures


def _loop(call: Callable[[Any], object], values: list[Any]) -> Action:
    def run() -> float:
        begin = time.perf_counter()
        for value in values:
            call(value)
        return (time.perf_counter() - begin) / len(values)

    return run
