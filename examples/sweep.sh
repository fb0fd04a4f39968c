#!/bin/sh -eu
# Sweep hyperparameters on the digits, edit the code half-way, find the best run and return to it.
#
# Needs git, and Python with gitexp[examples]; 'python3' and 'git exp' must find them on PATH.
# Works in a repository that it makes itself, in a temporary folder, or in the folder given.

here=$(cd "$(dirname "$0")" && pwd)
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

git init --quiet --initial-branch=main
cp "$here/digits.py" .
git add digits.py
git -c user.name=Example -c user.email=example@example.org commit --quiet -m "Train on the digits"

for lr in 0.001 0.03 0.3; do
    show python3 digits.py --lr "$lr"
done

printf '\n# in digits.py: ACTIVATION = "tanh"\n'
sed 's/^ACTIVATION = .*/ACTIVATION = "tanh"/' digits.py >digits.new
mv digits.new digits.py

for hidden in 8 32 128; do
    show git exp run --tag tanh -- python3 digits.py --lr 0.1 --hidden "$hidden"
done

show git exp best acc
show git exp diff latest~5 best:acc
show git exp checkout --save best:acc
show git status --short --branch
