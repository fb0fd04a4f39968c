"""An oracle: what every configuration of a small training task is worth, measured once.

The task is ``examples/autoresearch`` with a fixed number of steps instead of seconds, so that what
a run gives depends on its configuration and its seed alone. `GRID` is a full factorial: whoever
changes one knob at a time never leaves the table. Each configuration was trained with each seed;
its value is the model's bits per byte on `VALIDATION`, texts that no training sees. A training
that diverged has no value.

``python -m tests.eval.oracle --work RUNS.jsonl`` measures (about 40 minutes on one core), goes on
where it stopped, and writes the table next to this file. All configurations get their first
seed before any gets its second.
"""

from __future__ import annotations

import argparse
import importlib.util
import itertools
import json
import math
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean, stdev
from types import ModuleType
from typing import Any

TABLE = Path(__file__).with_name("oracle.jsonl")
EXAMPLE = Path(__file__).parents[2] / "examples" / "autoresearch"

Value = str | float | bool
Knobs = Mapping[str, Value]

GRID: dict[str, tuple[Value, ...]] = {
    "activation": ("relu", "gelu", "relu2", "swiglu"),
    "norm": ("none", "layernorm", "rmsnorm"),
    "optimizer": ("sgd", "adamw", "muon"),
    "lr_scale": (0.3, 1.0, 3.0),
    "schedule": ("constant", "warmdown"),
    "residual": (False, True),
}
BASELINE: dict[str, Value] = {
    "activation": "relu",
    "norm": "none",
    "optimizer": "sgd",
    "lr_scale": 1.0,
    "schedule": "constant",
    "residual": False,
}
SEEDS = (1, 2, 3, 4, 5)
STEPS = 400
VALIDATION = 200
"""Texts that a configuration is judged by."""
VALIDATION_BYTES = 160
"""Of each text; the first `SKIPPED` do not count."""
SKIPPED = 40


# The table


@dataclass(frozen=True)
class Configuration:
    """One row.

    Attributes:
        knobs: A value of each knob.
        values: val_bpb for each seed, in the header's order; None where the training diverged.
        seconds: Processor time of its fastest run, training and evaluation.
    """

    knobs: dict[str, Value]
    values: tuple[float | None, ...]
    seconds: float

    @property
    def finite(self) -> tuple[float, ...]:
        return tuple(value for value in self.values if value is not None)

    @property
    def mean(self) -> float | None:
        """What the configuration is worth; None where most of its runs diverged."""
        return fmean(self.finite) if len(self.finite) * 2 > len(self.values) else None

    @property
    def sd(self) -> float | None:
        """Standard deviation over seeds; None with fewer than two values."""
        return stdev(self.finite) if len(self.finite) > 1 else None


@dataclass(frozen=True)
class Table:
    """All rows, in the order of the grid.

    Attributes:
        header: The first line of the file: how, when, and with what it was measured.
        configurations: One for each point of the grid.
    """

    header: dict[str, Any]
    configurations: tuple[Configuration, ...]

    @property
    def grid(self) -> dict[str, tuple[Value, ...]]:
        return {knob: tuple(values) for knob, values in self.header["knobs"].items()}

    @property
    def baseline(self) -> dict[str, Value]:
        return dict(self.header["baseline"])

    def at(self, knobs: Knobs) -> Configuration:
        """The row of these knobs.

        Raises:
            KeyError: A knob or a value is not in the grid.
        """
        index = 0
        for knob, values in self.grid.items():
            if knobs[knob] not in values:
                raise KeyError(f"{knob}={knobs[knob]}")
            index = index * len(values) + values.index(knobs[knob])
        return self.configurations[index]

    def neighbours(self, knobs: Knobs) -> list[dict[str, Value]]:
        """What can be reached by changing one knob."""
        return [
            {**knobs, knob: value}
            for knob, values in self.grid.items()
            for value in values
            if value != knobs[knob]
        ]

    def best(self) -> Configuration:
        """The row with the lowest mean."""
        return min(self.configurations, key=lambda row: math.inf if row.mean is None else row.mean)


def load(path: Path = TABLE) -> Table:
    """Read the table."""
    header, *rows = (json.loads(line) for line in path.read_text().splitlines())
    return Table(
        header,
        tuple(Configuration(row["knobs"], tuple(row["values"]), row["seconds"]) for row in rows),
    )


def configurations() -> Iterator[dict[str, Value]]:
    """Every point of `GRID`, the last knob turning fastest."""
    for values in itertools.product(*GRID.values()):
        yield dict(zip(GRID, values, strict=True))


# How it was measured


def example(name: str) -> ModuleType:
    """A module of the example, loaded as if one stood in its folder."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(EXAMPLE))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(EXAMPLE))
        if name != "prepare":
            sys.modules.pop("prepare", None)
    return module


class Bench:
    """The task, ready to be run many times in this process."""

    def __init__(self) -> None:
        import numpy as np

        self._np = np
        self._train, prepare = example("train"), example("prepare")
        self._data = np.frombuffer(prepare.training_text(), dtype=np.uint8)
        texts = [prepare.text(f"oracle {i}", VALIDATION_BYTES) for i in range(VALIDATION)]
        joined = np.frombuffer(b"".join(texts), dtype=np.uint8)
        self._texts = joined.reshape(VALIDATION, VALIDATION_BYTES)

    def run(self, knobs: Knobs, seed: int, steps: int = STEPS) -> float | None:
        """val_bpb of one training, rounded to six digits; None where it diverged."""
        for knob, value in knobs.items():
            setattr(self._train, knob.upper(), value)
        try:
            with self._np.errstate(all="ignore"):
                model = self._train.train(seed, self._data, steps=steps)[0]
                value = self._validate(model)
        except SystemExit:
            return None
        return round(value, 6) if math.isfinite(value) else None

    def _validate(self, model: Any) -> float:
        windows = self._np.lib.stride_tricks.sliding_window_view
        context = self._train.CONTEXT
        seen = windows(self._texts[:, SKIPPED - context :], context + 1, axis=1).reshape(
            -1, context + 1
        )
        logits = model(seen[:, :-1]).data
        return float(self._train.loss_and_gradient(logits, seen[:, -1])[0])


def measure(work: Path) -> None:
    """Append one line to `work` for each run that it does not have yet."""
    done = {_key(run) for run in _runs(work)}
    bench = Bench()
    with work.open("a") as lines:
        for seed, knobs in itertools.product(SEEDS, configurations()):
            run: dict[str, Any] = {"seed": seed, "knobs": knobs}
            if _key(run) in done:
                continue
            started = time.process_time()
            run["value"] = bench.run(knobs, seed)
            run["seconds"] = round(time.process_time() - started, 3)
            lines.write(json.dumps(run) + "\n")
            lines.flush()


def _runs(work: Path) -> list[dict[str, Any]]:
    lines = work.read_text().splitlines() if work.exists() else []
    return [json.loads(line) for line in lines]


def _key(run: Mapping[str, Any]) -> str:
    return json.dumps([run["seed"], run["knobs"]])


def assemble(work: Path, table: Path = TABLE) -> None:
    """Write the table from the runs in `work`, with the seeds that all configurations have."""
    runs = {_key(run): run for run in _runs(work)}
    seeds = [
        seed
        for seed in SEEDS
        if all(_key({"seed": seed, "knobs": knobs}) in runs for knobs in configurations())
    ]
    lines = [json.dumps(_header(seeds))]
    for knobs in configurations():
        mine = [runs[_key({"seed": seed, "knobs": knobs})] for seed in seeds]
        row = {
            "kind": "configuration",
            "knobs": knobs,
            "values": [run["value"] for run in mine],
            "seconds": min(run["seconds"] for run in mine),
        }
        lines.append(json.dumps(row))
    table.write_text("\n".join(lines) + "\n")


def _header(seeds: list[int]) -> dict[str, Any]:
    import numpy as np

    return {
        "kind": "header",
        "task": "examples/autoresearch, a fixed number of steps",
        "metric": "val_bpb",
        "direction": "min",
        "unit": "bits per byte",
        "knobs": GRID,
        "baseline": BASELINE,
        "seeds": seeds,
        "steps": STEPS,
        "validation_bytes": VALIDATION * (VALIDATION_BYTES - SKIPPED),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": f"{platform.system()} {platform.machine()}, one core, one BLAS thread",
        "measured": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "how": "python -m tests.eval.oracle",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="where single runs are collected")
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        raise SystemExit("Set OPENBLAS_NUM_THREADS=1, so that runs are measured on one core.")
    measure(options.work)
    assemble(options.work, options.table)


if __name__ == "__main__":
    main()
