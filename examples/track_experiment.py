"""The smallest use: name the run, track values while it goes on.

This is exprag's first program; only the import differs.
"""

import random

from gitexp import Experiment

exp = Experiment(
    "training my neural network",
    metadata={"hparams": {"learning_rate": 0.03, "batch_size": 32}},
)

loss, acc = 1.0, 0.5
for step in range(5):
    loss *= random.uniform(0.7, 0.95)
    acc += (1 - acc) * random.uniform(0.1, 0.3)
    exp.track({"step": step, "metrics": {"loss": loss, "acc": acc}}, note="after each step")
