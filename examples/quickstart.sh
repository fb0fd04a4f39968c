#!/bin/sh -eu
# Record three runs of a training script, find the best one, get its code back.
#
# Needs git, and Python with gitexp; 'python3' and 'git exp' must find them on PATH.
# Works in a repository that it makes itself, in a temporary folder, or in the folder given.

if [ $# -gt 0 ]; then
    folder=$1
    mkdir -p "$folder"
else
    folder=$(mktemp -d)
    trap 'cd /; rm -rf "$folder"' EXIT
fi
cd "$folder"
export GIT_PAGER=cat PYTHONDONTWRITEBYTECODE=1

show() { # print a command, then run it
    printf '\n$ %s\n' "$*"
    "$@"
}

set_learning_rate() { # edit the code, as one does between experiments
    printf '\n# in train.py: LEARNING_RATE = %s\n' "$1"
    sed "s/^LEARNING_RATE = .*/LEARNING_RATE = $1/" train.py >train.new
    mv train.new train.py
}

cat >train.py <<'PYTHON'
"""Fit a line to noisy points by gradient descent."""

import random

from gitexp import Experiment

LEARNING_RATE = 0.01

random.seed(0)
points = [(x / 50 - 1, 3 * x / 50 - 4 + random.gauss(0, 0.1)) for x in range(100)]
slope = intercept = 0.0

exp = Experiment("line", params={"lr": LEARNING_RATE})
for step in range(100):
    errors = [(slope * x + intercept - y, x) for x, y in points]
    loss = sum(error * error for error, _ in errors) / len(points)
    exp.track({"step": step, "loss": loss})
    slope -= LEARNING_RATE * 2 * sum(error * x for error, x in errors) / len(points)
    intercept -= LEARNING_RATE * 2 * sum(error for error, _ in errors) / len(points)
print(f"y = {slope:.2f} x {intercept:+.2f}, loss {loss:.4f}")
PYTHON

git init --quiet --initial-branch=main
git add train.py
git -c user.name=Example -c user.email=example@example.org commit --quiet -m "Fit a line"

show git exp run -- python3 train.py
set_learning_rate 0.3
best=$(git hash-object train.py) # we know which one will be the best; gitexp does not
show git exp run -- python3 train.py
set_learning_rate 1.01
show git exp run -- python3 train.py

show git exp log
show git exp best loss
show git exp checkout --save best:loss

[ "$(git hash-object train.py)" = "$best" ]
printf '\n# train.py is the best run'\''s again, byte for byte:\n'
grep '^LEARNING_RATE' train.py
