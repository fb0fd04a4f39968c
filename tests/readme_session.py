"""Play the session that README.md shows, in a terminal, and write down what is seen.

``python -m tests.readme_session`` writes it into the page.
"""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- session: begin -->\n", "<!-- session: end -->\n"

_IDENTITY = ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL")

SCRIPT = """\
from gitexp import Experiment

lr = 0.1
points = [(x / 10, 3 * x / 10) for x in range(10)]
with Experiment("line", params={"lr": lr}) as exp:
    w = 0.0
    for step in range(20):
        w -= lr * sum(2 * (w * x - y) * x for x, y in points) / len(points)
        exp.track({"step": step, "loss": sum((w * x - y) ** 2 for x, y in points)})
"""

COMMANDS = (
    "cat train.py",
    "python train.py",
    "sed -i 's/lr = 0.1/lr = 1.0/' train.py && python train.py",
    "sed -i 's/lr = 1.0/lr = 4.0/' train.py && python train.py",
    "git exp best loss",
    "git exp checkout best:loss --save",
    "grep lr train.py | head -1",
    "git exp checkout -",
)


def play(folder: Path) -> str:
    """Run the commands in a new repository in ``folder``; return what a terminal showed."""
    environment = {
        "HOME": str(folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "TERM": "dumb",
        "COLUMNS": "100",
        "GIT_PAGER": "cat",
        "TZ": "UTC",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    work = folder / "work"
    work.mkdir()
    (work / "train.py").write_text(SCRIPT)
    subprocess.run(
        ["sh", "-ec", "git init -q -b main && git add . && git commit -q -m first"],
        cwd=work,
        env=environment | dict.fromkeys(_IDENTITY, "ada@example.org"),
        check=True,
    )
    shown = [f"$ {command}\n{_in_terminal(command, work, environment)}" for command in COMMANDS]
    return "```console\n" + "".join(shown) + "```\n"


def _in_terminal(command: str, folder: Path, environment: dict[str, str]) -> str:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        ["sh", "-ec", command], cwd=folder, env=environment, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        output = b""
        try:
            while chunk := os.read(ours, 4096):
                output += chunk
        except OSError:  # Linux says EIO when the last writer has gone
            pass
        os.close(ours)
    if process.returncode:
        raise RuntimeError(f"{command}: {output.decode()}")
    return output.decode().replace("\r\n", "\n")


def normalised(session: str) -> str:
    """Return a session with what differs between two plays made alike."""
    session = re.sub(r"\b[0-9a-f]{12,40}\b", "ID", session)
    session = re.sub(r"\d+ (s|ms) ago|\bnow\b", "AGO", session)
    session = re.sub(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\dZ?", "TIME", session)
    return re.sub(r" +", " ", session)


def replace_session(page: str, session: str) -> str:
    """Return the page with the session between its marks."""
    head, _, rest = page.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return head + BEGIN + session + END + tail


def main() -> int:
    """Write the session into README.md."""
    with tempfile.TemporaryDirectory() as folder:
        PAGE.write_text(replace_session(PAGE.read_text(), play(Path(folder))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
