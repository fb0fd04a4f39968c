"""What the model that train.py left behind is worth: val_bpb. Do not change this file.

The validation text is drawn here, after training has ended, and it is another one each time: there
is nothing that a training could have seen of it. The model answers in a process of its own,
``python train.py predict``. This process sends it one byte of each of many texts, waits for
256 probabilities for the byte that comes next, and only then sends that byte. So no byte
reaches the model before it was predicted, and what a model says about itself counts for nothing.
"""

from __future__ import annotations

# ruff: noqa: E402, PTH100, PTH118, PTH120 - pathlib is imported once it is certain whose it is
import os
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path[:] = [path for path in sys.path if path not in ("", FOLDER)]
# From here on nothing is imported that a training may have left beside this file.

import argparse
import runpy
import secrets
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from typing import IO

import numpy as np

TEXTS = 500  # independent texts
LENGTH = 640  # bytes of each
SKIP = 40  # bytes at the beginning of each that are not counted
MAX_SECONDS = 60.0  # for all answers together
MAX_MODEL_BYTES = 50_000_000
MODEL_FILE = Path("model.npz")
ENDED = "the model ended, or took too long, before all was predicted"
HIDDEN = ("GITEXP_", "AUTORESEARCH_")  # variables that the model's process does not get


class EvaluationError(Exception):
    """What was left behind cannot be evaluated; the message says why."""


def draw(seed: str) -> np.ndarray:
    """Validation texts: (TEXTS, LENGTH) bytes."""
    text = runpy.run_path(os.path.join(FOLDER, "prepare.py"))["text"]  # its source, never a cache
    joined = b"".join(text(f"{seed} {number}", LENGTH) for number in range(TEXTS))
    return np.frombuffer(joined, dtype=np.uint8).reshape(TEXTS, LENGTH)


def checked(raw: bytes) -> np.ndarray:
    """The model's answer as (TEXTS, 256) probabilities."""
    if len(raw) != TEXTS * 256 * 4:
        raise EvaluationError(ENDED)
    answer = np.frombuffer(raw, dtype="<f4").astype(np.float64)
    answer = answer.reshape(TEXTS, 256)
    if not np.isfinite(answer).all() or (answer < 0).any():
        raise EvaluationError("a probability of the model is not a number from 0 to 1")
    totals = answer.sum(axis=1, keepdims=True)
    if np.abs(totals - 1).max() > 1e-3:
        raise EvaluationError("probabilities of the model do not add up to 1")
    return answer / totals


def bits_per_byte(texts: np.ndarray, to_model: IO[bytes], from_model: IO[bytes]) -> float:
    """Show the model the texts byte by byte; return its mean loss on what it had to predict."""
    bits = np.zeros((LENGTH - 1, TEXTS))
    to_model.write(TEXTS.to_bytes(8, "little"))
    for position in range(LENGTH - 1):
        to_model.write(texts[:, position].tobytes())
        to_model.flush()
        answer = checked(from_model.read(TEXTS * 256 * 4))
        chosen = answer[np.arange(TEXTS), texts[:, position + 1]]
        bits[position] = -np.log2(np.maximum(chosen, 1e-9))
    return float(bits[SKIP:].mean())


def ask(texts: np.ndarray, messages: IO[bytes]) -> float:
    outer = {key: value for key, value in os.environ.items() if not key.startswith(HIDDEN)}
    command = [sys.executable, "train.py", "predict"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=messages, env=outer) as model:
        watch = threading.Timer(MAX_SECONDS, model.kill)
        watch.start()
        try:
            return bits_per_byte(texts, model.stdin, model.stdout)
        finally:
            watch.cancel()
            model.kill()


def evaluate(seed: str) -> float:
    """val_bpb of the model in this folder, on the texts that `seed` gives.

    Raises:
        EvaluationError: There is no model, or its answers are no distributions.
    """
    if not MODEL_FILE.is_file() or MODEL_FILE.stat().st_size > MAX_MODEL_BYTES:
        raise EvaluationError(f"there is no {MODEL_FILE} of at most {MAX_MODEL_BYTES:,} bytes")
    with tempfile.TemporaryFile() as messages:
        try:
            return ask(draw(seed), messages)
        except (EvaluationError, BrokenPipeError) as error:
            reason = str(error) if isinstance(error, EvaluationError) else ENDED
            raise EvaluationError(reason + said(messages)) from error


def said(messages: IO[bytes]) -> str:
    """The last lines that the model's process wrote to stderr, marked as such."""
    end = messages.seek(0, os.SEEK_END)
    messages.seek(max(0, end - 2_000))
    lines = messages.read().decode("utf-8", "replace").splitlines()[-20:]
    return "".join(f"\n  model: {line}" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print val_bpb of the model in this folder.")
    parser.add_argument("--seed", help="draw the same validation text again (to test this file)")
    options = parser.parse_args()
    started = time.perf_counter()
    try:
        val_bpb = evaluate(options.seed or secrets.token_hex(16))
    except EvaluationError as error:
        raise SystemExit(f"evaluate.py: {error}") from error
    print("---")
    print(f"val_bpb:          {val_bpb:.6f}")
    print(f"eval_bytes:       {TEXTS * (LENGTH - 1 - SKIP)}")
    print(f"eval_seconds:     {time.perf_counter() - started:.1f}")


if __name__ == "__main__":
    main()
