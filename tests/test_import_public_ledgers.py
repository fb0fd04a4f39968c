"""Public ledgers of real loops, where they are: their counts, their maps, twice, and the rest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from gitexp.git.repository import Repository
from gitexp.interchange.formats import read_source
from gitexp.interchange.importing import external_ids
from gitexp.interchange.suggestion import suggest_goal
from gitexp.memory import Memory
from tests.ledgers import import_file, take
from tests.support import LEDGERS, Git

pytestmark = pytest.mark.skipif(not LEDGERS.is_dir(), reason="the ledgers are not here")

PHASE_6 = "exp_id,tok_s,vram_mb,n_ctx,kv_type_k,kv_type_v,flash_attn,n_gpu,n_batch,n_ubatch"
COUNTS = {
    "karpathy+autoresearch/pr109.loop_results.tsv": (116, 0, 0, "val_bpb", "min"),
    "karpathy+autoresearch/pr442.results_all.tsv": (55, 0, 0, "val_loss", "min"),
    "karpathy+autoresearch/pr238.bayesian_focused.jsonl": (15, 0, 0, "val_bpb", "min"),
    "karpathy+autoresearch/pr238.genetic_focused.jsonl": (15, 0, 0, "val_bpb", "min"),
    "Nunchi-trade+auto-researchtrading/results.tsv": (103, 0, 0, "score", "max"),
    "Nunchi-trade+auto-researchtrading/results_cfi.tsv": (69, 0, 0, "score", "max"),
    "Nunchi-trade+auto-researchtrading/autoresearch-results.tsv": (52, 0, 0, "val_bpb", "min"),
    "Fchaubard+zero_order_diffusion_autoresearcher/results.tsv": (1049, 78, 0, "val_fid", "min"),
    "wendlerc+autoresearch-wm/results_valloss_era.tsv": (362, 0, 0, "val_loss", "min"),
    "wendlerc+autoresearch-wm/results.tsv": (276, 0, 0, "val_loss", "min"),
    "ChongHan+auto-microtune/results.tsv": (115, 0, 0, "score", "min"),
    "Cklaus1+autokernel5090/results.tsv": (121, 0, 5, "throughput_tflops", "max"),
    "Cklaus1+autokernel5090/sglang_results.tsv": (72, 0, 1, "decode_tok_s", "max"),
    "Gajesh2007+ecdsafail-challenge/autoresearch.jsonl": (566, 0, 0, "joint_score", "min"),
    "Gajesh2007+ecdsafail-challenge/results.tsv": (1398, 0, 0, "toffoli", "max"),
    "Hilo-Hilo+parameter-golf/results.tsv": (133, 2, 0, "exact_final_val_bpb", "min"),
    "AlexChen31337+qwen35-moe-offload/results_phase6.tsv": (171, 0, 0, "tok_s", "max"),
    "AlexChen31337+qwen35-moe-offload/results_phase5.tsv": (122, 3, 0, "tok_per_sec", "max"),
    "AlexChen31337+qwen35-moe-offload/results_phase9.tsv": (0, 94, 0, None, None),
    "AlexChen31337+qwen35-moe-offload/results.tsv": (81, 0, 0, "tok_per_sec", "max"),
    "csinva+circuit-building-autoresearch/nli-snli-may15-run1.csv": (388, 0, 0, "accuracy", "max"),
    "csinva+circuit-building-autoresearch/paraphrase-mrpc-may15-run1.csv": (
        *(309, 0, 0),
        *("accuracy", "max"),
    ),
    "csinva+circuit-building-autoresearch/sentiment-sst2-may15-run2.csv": (
        *(150, 0, 0),
        *("accuracy", "max"),
    ),
    "csinva+circuit-building-autoresearch/fmri-may27-run1.csv": (244, 0, 0, "test_corr", "max"),
    "csinva+circuit-building-autoresearch/fmri-jun03-run4.csv": (3950, 0, 0, "test_corr", "max"),
    "Djordje-Stojanovic+TrainRTX5070/results.tsv": (69, 0, 0, "val_bpb", "min"),
    "EthanBobbyTR+mamba-auto-full/results.tsv": (60, 0, 0, "val_bpb", "min"),
    "lawjarp-simplismart+autoresearch-inference-optimization/experiments.jsonl": (
        *(39, 0, 0),
        *("score", "max"),
    ),
    "Anemll+Flash-iOS/results.tsv": (71, 0, 0, "tok_sec", "max"),
    "jackkohm+dezess/autoresearch-results.tsv": (61, 0, 1, "metric", "max"),
    "robinojw+parameter-golf-autoresearch/results.tsv": (13, 37, 0, "val_bpb", "min"),
}
"""File -> runs, bad rows, rows that are not over, the goal metric and its direction."""


@pytest.mark.parametrize("name", COUNTS)
def test_each_ledger_is_read_as_counted(name: str) -> None:
    reading = read_source(LEDGERS / name)
    found = suggest_goal(reading, {})
    goal = (None, None) if found is None else (found.metric, found.word)
    counts = (len(reading.runs), len(reading.bad), len(reading.unfinished))
    assert (*counts, *goal) == COUNTS[name]


def test_no_ledger_is_left_out() -> None:
    found = {
        path.relative_to(LEDGERS).as_posix()
        for path in LEDGERS.glob("*/*")
        if path.suffix in (".tsv", ".csv", ".jsonl") and "derived" not in path.name
    }
    assert found == set(COUNTS)


def test_all_ledgers_come_into_one_repository_once(repo: Git) -> None:
    names = [name for name, (count, *_) in COUNTS.items() if count < 2_000]
    readings = [read_source(LEDGERS / name) for name in names]
    new = sum(len(take(reading).new) for reading in readings)
    assert new == Memory.open().count()
    different = {name for each in readings for name in external_ids(each.format, each.runs)}
    assert new == len(different)  # one ledger repeats the rows of another
    assert sum(len(take(reading).new) for reading in readings) == 0


def test_a_ledger_with_several_layouts_keeps_the_rows_of_its_own(repo: Git) -> None:
    reading = read_source(LEDGERS / "Fchaubard+zero_order_diffusion_autoresearcher/results.tsv")
    said = Counter(run.verdict for run in reading.runs)
    assert said == {"discard": 681, "keep": 222, "crash": 115, None: 31}
    assert {row.reason for row in reading.bad} == {"has 7 fields, the header 5"}


def test_a_ledger_below_the_wrong_header_comes_when_its_columns_are_named() -> None:
    path = LEDGERS / "AlexChen31337+qwen35-moe-offload/results_phase9.tsv"
    reading = read_source(path, header=[*PHASE_6.split(","), "label", "status", "notes"])
    assert (len(reading.runs), len(reading.bad)) == (94, 0)


def test_a_grown_ledger_adds_the_rest_only(repo: Git, tmp_path: Path) -> None:
    lines = (LEDGERS / "EthanBobbyTR+mamba-auto-full/results.tsv").read_bytes().splitlines(True)
    path = tmp_path / "results.tsv"
    path.write_bytes(b"".join(lines[:31]))
    assert len(import_file(path).new) == 30
    path.write_bytes(b"".join(lines))
    done = import_file(path)
    assert (len(done.new), len(done.there)) == (30, 30)
    assert Memory(Repository.discover()).count() == 60
