"""The oracle table: it is whole, it has the shape that a benchmark needs, and it can be made."""

from __future__ import annotations

import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import pytest

from tests.eval import oracle
from tests.eval.oracle import BASELINE, GRID, SEEDS, TABLE, Table, load

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def table() -> Table:
    return load()


def test_the_table_is_small_and_says_how_it_was_made(table: Table) -> None:
    assert TABLE.stat().st_size < 1_000_000
    header = table.header
    assert (header["kind"], header["metric"], header["direction"]) == ("header", "val_bpb", "min")
    assert header["seeds"] == list(SEEDS)
    assert header["steps"] == oracle.STEPS
    assert all(header[key] for key in ("task", "how", "python", "numpy", "machine", "measured"))


def test_every_point_of_the_grid_is_there_once_and_in_order(table: Table) -> None:
    assert table.grid == GRID
    assert [row.knobs for row in table.configurations] == list(oracle.configurations())
    assert len(table.configurations) == math.prod(len(values) for values in GRID.values())


def test_a_value_is_bits_per_byte_or_missing(table: Table) -> None:
    for row in table.configurations:
        assert len(row.values) == len(SEEDS)
        assert all(value is None or 1 < value < 100 for value in row.values)
        assert row.seconds > 0


def test_looking_up_and_walking_stay_inside_the_table(table: Table) -> None:
    for row in table.configurations:
        assert table.at(row.knobs) is row
    steps = table.neighbours(BASELINE)
    assert len(steps) == sum(len(values) - 1 for values in GRID.values())
    assert all(sum(step[knob] != BASELINE[knob] for knob in GRID) == 1 for step in steps)
    with pytest.raises(KeyError, match="lr_scale=7"):
        table.at({**BASELINE, "lr_scale": 7})


def test_there_is_something_to_find(table: Table) -> None:
    start, best = table.at(BASELINE).mean, table.best().mean
    assert start is not None
    assert best is not None
    assert start - best > 0.4
    assert any(row.mean is None for row in table.configurations)


def test_noise_is_neither_nothing_nor_everything(table: Table) -> None:
    noise = median(row.sd for row in table.configurations if row.sd is not None)
    effects = median(abs(effect) for effect in single_effects(table))
    assert 0.1 < noise / effects < 1


def test_what_helps_depends_on_what_is_there_already(table: Table) -> None:
    def gain(knobs: oracle.Knobs) -> float:
        before = table.at({**knobs, "activation": "relu"}).mean
        after = table.at({**knobs, "activation": "swiglu"}).mean
        assert before is not None
        assert after is not None
        return before - after

    assert gain(BASELINE) < 0 < gain(table.best().knobs)


def single_effects(table: Table) -> list[float]:
    """Differences of the means of all pairs of rows that one knob sets apart."""
    effects = []
    for row, knob in itertools.product(table.configurations, GRID):
        for value in GRID[knob][GRID[knob].index(row.knobs[knob]) + 1 :]:
            other = table.at({**row.knobs, knob: value}).mean
            if row.mean is not None and other is not None:
                effects.append(row.mean - other)
    return effects


def test_a_row_can_be_measured_again(table: Table) -> None:
    pytest.importorskip("numpy")
    script = (
        "from tests.eval.oracle import BASELINE, Bench\n"
        "print(Bench().run({**BASELINE, 'optimizer': 'adamw', 'norm': 'rmsnorm'}, 2))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )
    row = table.at({**BASELINE, "optimizer": "adamw", "norm": "rmsnorm"})
    assert float(done.stdout) == pytest.approx(
        row.values[1], abs=0.15
    )  # other BLAS, other rounding


def test_measuring_goes_on_where_it_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle, "GRID", {"optimizer": ("sgd", "adamw"), "lr_scale": (1.0, 1e6)})
    monkeypatch.setattr(oracle, "SEEDS", (1, 2))
    asked: list[tuple[object, int]] = []

    class Bench:
        def run(self, knobs: oracle.Knobs, seed: int) -> float | None:
            asked.append((knobs["optimizer"], seed))
            return None if knobs["lr_scale"] == 1e6 else 2.0 + seed

    monkeypatch.setattr(oracle, "Bench", Bench)
    work = tmp_path / "runs.jsonl"
    oracle.measure(work)
    assert asked == [(o, s) for s in (1, 2) for o in ("sgd", "sgd", "adamw", "adamw")]
    lines = work.read_text().splitlines(keepends=True)
    work.write_text("".join(lines[:5]))
    oracle.assemble(work, tmp_path / "partial.jsonl")
    assert load(tmp_path / "partial.jsonl").header["seeds"] == [1]
    del asked[:]
    oracle.measure(work)
    assert len(asked) == 3
    oracle.assemble(work, tmp_path / "whole.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "whole.jsonl").read_text().splitlines()[1:]]
    assert [row["values"] for row in rows] == [[3.0, 4.0], [None, None]] * 2


def test_a_diverged_training_has_no_value() -> None:
    pytest.importorskip("numpy")
    bench = oracle.Bench()
    wild = {**BASELINE, "lr_scale": 1e6}
    assert bench.run(wild, 1, steps=20) is None
    value = bench.run(BASELINE, 1, steps=20)
    assert value is not None
    assert 3 < value < 9
