"""Make the run that docs/format.md shows, and the text that shows it.

Everything random, every time and every trait of the machine is fixed, so the ids are stable.
``python -m tests.format_example`` writes the text into the page.
"""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

PAGE = Path(__file__).parents[1] / "docs" / "format.md"
BEGIN, END = "<!-- example: begin -->\n", "<!-- example: end -->\n"
START_NS = 1_769_860_800 * 10**9  # 2026-01-31T12:00:00Z
SHARD = "ada-4f1c"
ENVIRONMENT = ("0" * 31 + "1", b'{"schema":1}\n')


@contextlib.contextmanager
def fixed_world() -> Iterator[None]:
    """Hold still what would differ from one run or machine to the next."""
    import pygit2

    ticks = iter(range(1000))

    def tick() -> int:
        return START_NS + next(ticks) * 250_000_000

    signature = functools.partial(pygit2.Signature, time=START_NS // 10**9, offset=0)
    with contextlib.ExitStack() as stack:
        for target, value in (
            ("pygit2.Signature", signature),
            ("gitexp.snapshot.secrets.token_hex", lambda size: "5" * 2 * size),
            ("gitexp.experiment._time_ns", tick),
            ("gitexp.journal._time_ns", tick),
            ("gitexp.experiment.host_name", lambda: "analytical-engine"),
            ("gitexp.experiment.os.getpid", lambda: 1843),
            ("gitexp.experiment.platform.python_version", lambda: "3.11.7"),
            ("gitexp.experiment.capture_environment", lambda: None),
            ("gitexp.experiment.encode_environment", lambda _: ENVIRONMENT),
        ):
            stack.enter_context(mock.patch(target, value))
        yield


def make_example(folder: Path) -> str:
    """Make the repository in ``folder``, record the run, and return the text of the example."""
    dates = {"GIT_AUTHOR_DATE": f"{START_NS // 10**9} +0000"}
    dates["GIT_COMMITTER_DATE"] = dates["GIT_AUTHOR_DATE"]

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, **dates},
        ).stdout

    git("init", "--quiet", "--initial-branch=main")
    git("config", "user.name", "Ada Lovelace")
    git("config", "user.email", "ada@example.org")
    git("config", "exprag.shard", SHARD)
    (folder / "train.py").write_text("lr = 0.1\n")
    git("add", ".")
    git("commit", "--quiet", "-m", "first")
    (folder / "train.py").write_text("lr = 0.2\n")
    run_id = _record(folder)
    return _text(git, run_id)


def _record(folder: Path) -> str:
    from gitexp import Experiment

    back = Path.cwd()
    os.chdir(folder)
    try:
        with (
            fixed_world(),
            Experiment("warmer", params={"lr": 0.2}, seed=7, command=["python", "train.py"]) as exp,
        ):
            exp.track({"step": 0, "loss": 0.75, "acc": 0.5})
            exp.track({"step": 10, "loss": 0.25, "acc": float("nan")}, note="diverged")
            return exp.run_id
    finally:
        os.chdir(back)


def _text(git: Callable[..., str], run_id: str) -> str:
    shown: list[tuple[str, ...]] = [
        ("for-each-ref", "--format=%(objectname:short=12) %(refname)", "refs/exprag", "refs/notes"),
        ("show", "--stat", run_id),
        ("ls-tree", "-r", f"refs/notes/exprag/{SHARD}"),
        ("notes", f"--ref=exprag/{SHARD}", "show", run_id),
        ("notes", f"--ref=exprag-metrics/{SHARD}", "show", run_id),
        ("ls-tree", "-r", f"refs/exprag/files/{SHARD}"),
    ]
    blocks = [f"$ git {_line(command)}\n{git(*command).rstrip()}\n" for command in shown]
    return "```console\n" + "\n".join(blocks) + "```\n"


def _line(command: tuple[str, ...]) -> str:
    return " ".join(f"'{word}'" if "(" in word else word for word in command)


def replace_example(page: str, example: str) -> str:
    """Return the page with the example between its marks."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + example + END + tail


def main(*_: Any) -> int:
    """Write the example into docs/format.md."""
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(replace_example(PAGE.read_text(), make_example(Path(folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
