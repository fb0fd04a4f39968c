"""What the benchmarks share: a sandbox, interleaved timing, sizes on disk, the report.

Everything happens in one temporary folder with a home of its own, so that neither the user's git
configuration nor another repository plays a part. Whatever is compared is measured in turns within
one process, in an order that is reversed every round: a disturbance from outside hits all sides.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import importlib
import importlib.metadata
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE_BYTES = 2048

Action = Callable[[], float]
"""Does one thing and returns how many seconds it took; its own preparations do not count."""


@dataclass(frozen=True)
class Figure:
    """One line of the report.

    Attributes:
        ratio: The figure divided by the peer's; below 1 where we need less.
        goal: What was aimed at, in words, where something was.
        met: Whether it was reached; None without a goal.
    """

    name: str
    value: float
    unit: str
    peer: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True)
class Options:
    """How much to measure.

    Attributes:
        samples: Repetitions of what takes milliseconds.
        values: Tracked values in the long run (`tests.bench.long_run`).
        many_files: Files in the large repository.
    """

    samples: int
    values: int
    many_files: int


def compare(
    name: str, value: float, unit: str, peer: str, other: float, *, most: float | None = None
) -> Figure:
    """Return a figure beside its peer's; ``most`` is the largest ratio that meets the goal."""
    ratio = value / other if other else None
    if most is None or ratio is None:
        return Figure(name, value, unit, peer, ratio)
    return Figure(name, value, unit, peer, ratio, f"≤ {most:g} x {peer}", ratio <= most)


@contextlib.contextmanager
def sandbox() -> Iterator[Path]:
    """Make a temporary folder, with a home whose git configuration names a user and no more."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder, "home")
        home.mkdir()
        (home / ".gitconfig").write_text(
            "[user]\n\tname = A U Thor\n\temail = author@example.org\n"
        )
        for name in [
            name for name in os.environ if name.startswith(("GIT_", "GITEXP_", "EXPRAG_"))
        ]:
            del os.environ[name]
        os.environ |= {
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            # Installed packages are compiled; here, the first (unrecorded) process does that.
            "PYTHONPYCACHEPREFIX": str(home / "bytecode"),
        }
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        os.environ.pop("XDG_CONFIG_HOME", None)
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir("/")


def git(folder: Path, *arguments: str, stdin: bytes = b"") -> bytes:
    """Run git in a folder and return its standard output."""
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=folder, input=stdin, check=True, stdout=subprocess.PIPE
    ).stdout


def make_repository(folder: Path, files: int) -> Path:
    """Make a repository with one commit of text files, 100 to a folder, and ``.exprag`` ignored."""
    source = random.Random(0)
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / ".gitignore").write_text(".exprag/\n")
    for number in range(files):
        path = file_at(folder, number)
        path.parent.mkdir(exist_ok=True)
        path.write_text(source.randbytes(FILE_BYTES // 2).hex())
    git(folder, "add", ".")
    # Not even housekeeping in the background, which would go on beside the measurement.
    git(folder, "-c", "gc.auto=0", "commit", "--quiet", "-m", "files")
    git(folder, "gc", "--quiet")
    time.sleep(1.1)  # so that no file is as young as the index, as in a repository in use
    git(folder, "update-index", "--refresh")
    return folder


def file_at(folder: Path, number: int) -> Path:
    """Return the path of a file of `make_repository`."""
    return folder / f"part{number // 100:03}" / f"module{number:05}.py"


def edit(folder: Path, mark: object) -> None:
    """Change one file, to something that it has not been before if ``mark`` has not."""
    path = file_at(folder, 7)
    path.write_text(f"{path.read_text().partition('#')[0]}# {mark}\n")


def interleaved(actions: Mapping[str, Action], samples: int) -> dict[str, list[float]]:
    """Call each action in turns, once unrecorded and then ``samples`` times."""
    taken: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for number in range(samples + 1):
        for name in names if number % 2 else reversed(names):
            seconds = actions[name]()
            if number:
                taken[name].append(seconds)
    return taken


def medians(actions: Mapping[str, Action], samples: int) -> dict[str, float]:
    """Return the median of `interleaved` for each action, in seconds."""
    taken = interleaved(actions, samples)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of wall time and of processor time, bytes of memory."""

    wall: float
    cpu: float
    peak_bytes: int
    output: bytes


def run_process(command: Sequence[str], cwd: Path) -> Cost:
    """Run a process to its end and return what it took, its finished children included.

    The peak of memory is that of the one process among them that needed most. It is started by a
    small process in between, as on Linux the count of a child begins at its parent's peak.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    with (
        tempfile.TemporaryFile() as output,
        tempfile.TemporaryFile() as errors,
        tempfile.NamedTemporaryFile() as report,
    ):
        spawn = [sys.executable, "-I", "-S", "-c", _SPAWN, report.name, *command]
        subprocess.run(spawn, cwd=cwd, stdout=output, stderr=errors, check=True)
        wall, cpu, peak, code = report.read().split()
        output.seek(0)
        errors.seek(0)
        if int(code):
            raise subprocess.CalledProcessError(int(code), command, output.read(), errors.read())
        unit = 1 if sys.platform == "darwin" else 1024
        return Cost(float(wall), float(cpu), int(peak) * unit, output.read())


_SPAWN = """\
import os, sys, time

_, report, *command = sys.argv
begin = time.perf_counter()
process = os.posix_spawnp(command[0], command, os.environ)
_, status, usage = os.wait4(process, 0)
wall = time.perf_counter() - begin
with open(report, "w") as file:
    code = os.waitstatus_to_exitcode(status)
    print(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss, code, file=file)
"""


def median_costs(
    commands: Mapping[str, tuple[Sequence[str], Path]], samples: int
) -> dict[str, Cost]:
    """Run processes in turns; return their median costs (of memory, the largest)."""
    costs: dict[str, list[Cost]] = {name: [] for name in commands}

    def action(name: str) -> Action:
        def run() -> float:
            cost = run_process(*commands[name])
            costs[name].append(cost)
            return cost.wall

        return run

    walls = medians({name: action(name) for name in commands}, samples)
    return {
        name: Cost(
            walls[name],
            statistics.median(cost.cpu for cost in taken[1:]),
            max(cost.peak_bytes for cost in taken),
            taken[-1].output,
        )
        for name, taken in costs.items()
    }


def demand(holds: bool, otherwise: str) -> None:
    """Refuse to give figures of a wrong answer.

    Raises:
        RuntimeError: It is wrong.
    """
    if not holds:
        raise RuntimeError(otherwise)


def disk_bytes(*places: Path) -> int:
    """Return what files and folders take on disk, as ``du`` counts: in whole blocks."""
    total = 0
    for place in places:
        for folder, _, files in os.walk(place):
            found = [Path(folder), *(Path(folder, name) for name in files)]
            total += sum(path.lstat().st_blocks * 512 for path in found)
    return total


def machine(folder: Path, *others: str) -> dict[str, str]:
    """Return what the figures depend on: processor, system, file system, versions.

    Args:
        folder: Where they are taken.
        others: Packages to name besides those that every benchmark uses.
    """
    versions = {
        name: importlib.metadata.version(name)
        for name in ("gitexp", "exprag", *others, "pygit2", "msgspec", "xxhash")
    }
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "file system": _file_system(folder),
        "python": platform.python_version(),
        "git": git(folder, "version").decode().split()[2],
        **versions,
    }


def _processor() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _file_system(folder: Path) -> str:
    """Return the type of the file system that a folder is on."""
    mounts = Path("/proc/self/mounts")
    if not mounts.exists():
        return "unknown"
    rows = [line.split()[1:3] for line in mounts.read_text().splitlines()]
    holding = [row for row in rows if folder.resolve().is_relative_to(row[0])]
    return max(holding, key=lambda row: len(row[0]))[1]


def print_report(header: Mapping[str, str], figures: Sequence[Figure]) -> None:
    """Print the report as Markdown."""
    print_header(header)
    print_figures(figures)


def print_header(header: Mapping[str, str]) -> None:
    """Print what the figures depend on."""
    print("; ".join(f"{name} {value}" for name, value in header.items()), end=".\n\n")


def print_figures(figures: Sequence[Figure]) -> None:
    """Print figures as a Markdown table."""
    print_table([("what", "figure", "unit", "ratio", "to", "goal", "met"), *map(_row, figures)])


def print_table(rows: list[tuple[str, ...]]) -> None:
    """Print rows, the first of them the header, as a Markdown table."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, tuple("-" * width for width in widths))
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print(f"| {' | '.join(cells)} |")


def _row(figure: Figure) -> tuple[str, ...]:
    ratio = "" if figure.ratio is None else significant(figure.ratio)
    value = significant(figure.value)
    return (figure.name, value, figure.unit, ratio, figure.peer, figure.goal, yes_no(figure.met))


def yes_no(met: bool | None) -> str:
    """Return whether a goal was met, as a cell of the report."""
    return "" if met is None else ("yes" if met else "**no**")


def significant(value: float) -> str:
    """Return a number with three significant digits and no exponent."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if abs(value) >= 0.001 or value == 0 else f"{value:.5f}"


def as_json(header: Mapping[str, str], figures: Sequence[Figure]) -> str:
    """Return the report as JSON."""
    return json.dumps({"machine": dict(header), "figures": [asdict(f) for f in figures]}, indent=1)


def remove(*folders: Path) -> None:
    """Delete folders, so that the next benchmark has the disk and the cache to itself."""
    for folder in folders:
        shutil.rmtree(folder)


def experiment_of(package: str) -> Any:
    """Return the class ``Experiment`` of ``gitexp`` or of ``exprag``."""
    return importlib.import_module(package).Experiment
