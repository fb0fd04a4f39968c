"""Processes of a session are found and ended, wherever they fled to."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitexp.loop.cage import guardian
from gitexp.loop.cage.processes import MARK, alive, end_marked, guarded, marked, outlived
from tests.caged import FLEE, is_alive, needs_proc, soon

pytestmark = needs_proc

MINE, THEIRS, INNER = (secrets.token_hex(8) for _ in range(3))
SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "here"
    folder.mkdir()
    yield folder
    end_marked(MINE)


def start(
    code: str, here: Path, *before: str, mark: str = MINE, group: int | None = 0
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*before, sys.executable, "-S", "-c", code],
        cwd=here,
        env={**os.environ, MARK: mark},
        process_group=group,
    )


def daemon(here: Path) -> int:
    """Return the id of the daemon that wrote it down."""
    file = here / "daemon"
    assert soon(lambda: file.exists() and file.read_text() != "")
    return int(file.read_text())


def test_a_daemon_with_the_mark_is_ended(here: Path) -> None:
    start(f"{FLEE}\nflee(dict(os.environ))", here).wait()
    number = daemon(here)
    assert alive(MINE) == [number]
    assert end_marked(MINE) == 1
    assert not is_alive(number)
    assert alive(MINE) == []


def test_only_the_sessions_own_are_ended(here: Path) -> None:
    other = start(SLEEP, here, mark=THEIRS)
    nested = start(SLEEP, here, mark=marked({MARK: MINE}, INNER))
    try:
        assert end_marked(INNER) == 1
        assert nested.wait() == -signal.SIGKILL
        assert end_marked(MINE[:-1]) == end_marked(MINE[1:]) == end_marked(MINE) == 0
        assert is_alive(other.pid)
        assert end_marked(THEIRS) == 1
    finally:
        other.kill()
        other.wait()


def test_a_loop_within_a_loop_is_of_both() -> None:
    assert marked({}, "a") == "a"
    assert marked({MARK: "a"}, "b") == "a:b"


def test_stopped_and_deaf_processes_and_whole_families_are_ended(here: Path) -> None:
    deaf = (
        "import os, signal, time\n"
        "for n in (1, 2, 3, 15): signal.signal(n, signal.SIG_IGN)\n"
        "for _ in range(3): os.fork()\n"
        "os.setsid() if os.getpgrp() != os.getpid() else None\n"
        "open(str(os.getpid()), 'w')\n"
        "os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    process = start(deaf, here)
    assert soon(lambda: len(list(here.iterdir())) == 8)
    assert end_marked(MINE) == 8
    assert process.wait() == -signal.SIGKILL
    assert not any(is_alive(int(path.name)) for path in here.iterdir())


def test_what_forks_all_the_time_is_ended(here: Path) -> None:
    code = (
        "import os, time\n"
        "end = time.monotonic() + 20\n"
        "while time.monotonic() < end:\n"
        "    if os.fork(): os._exit(0)\n"
        "    open('going', 'w').close()\n"
        "    time.sleep(0.002)\n"
    )
    start(code, here).wait()
    assert soon((here / "going").exists)
    end_marked(MINE)
    time.sleep(0.1)
    assert alive(MINE) == []


# The guardian


def test_the_guardian_ends_as_its_command_does(here: Path) -> None:
    report = here / "report"
    for code, expected in (("", 0), ("raise SystemExit(7)", 7)):
        assert start(code, here, *guarded(report)).wait() == expected
    end = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
    assert start(end, here, *guarded(report)).wait() == -signal.SIGSEGV
    assert outlived(report) == 0


def test_a_command_that_is_not_there_is_said(here: Path) -> None:
    done = subprocess.run(
        [*guarded(here / "report"), "no-such-program"],
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 127
    assert b"'no-such-program' cannot be executed: No such file" in done.stderr


@pytest.mark.parametrize("environment", ["dict(os.environ)", "{}"])
def test_the_guardian_takes_daemons_along(here: Path, environment: str) -> None:
    report = here / "report"
    assert start(f"{FLEE}\nflee({environment})", here, *guarded(report)).wait() == 0
    assert not is_alive(daemon(here))
    assert outlived(report) == 1
    assert outlived(report) == 0


def test_helpers_that_go_by_themselves_are_not_counted(here: Path) -> None:
    code = "import os, time\nif os.fork() == 0: time.sleep(0.05)"
    assert start(code, here, *guarded(here / "report")).wait() == 0
    assert outlived(here / "report") == 0


def test_a_report_that_somebody_wrote_is_bounded(here: Path) -> None:
    report = here / "report"
    report.write_text("1\n-5\n99999999999999999999\nx\n2\n" + "\0" * 10_000)
    assert outlived(report) == 3
    report.mkdir()
    assert outlived(report) == 0


def test_with_the_loop_all_ends_at_once(here: Path) -> None:
    starter = (
        "import os, subprocess, sys, time\n"
        "from pathlib import Path\n"
        "from gitexp.loop.cage.processes import guarded\n"
        "subprocess.Popen([*guarded(Path('report')), sys.executable, '-S', '-c', sys.argv[1]],"
        " process_group=0)\n"
        "time.sleep(600)\n"
    )
    code = f"{FLEE}\nflee({{}})\ntime.sleep(600)"
    loop = subprocess.Popen([sys.executable, "-c", starter, code], cwd=here)
    number = daemon(here)
    loop.kill()
    loop.wait()
    assert soon(lambda: not is_alive(number))


def test_a_told_guardian_ends_what_does_not_listen(
    here: Path,
) -> None:
    deaf = f"{FLEE}\nimport signal\nsignal.signal(15, signal.SIG_IGN)\nflee({{}})\ntime.sleep(600)"
    process = start(deaf, here, *guarded(here / "report"))
    number = daemon(here)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait() == 1
    assert not is_alive(number)


def test_signals_for_the_command_reach_it(here: Path) -> None:
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGUSR1, lambda *_: sys.exit(9))\n"
        "open('daemon', 'w').write('1')\n"
        "time.sleep(600)\n"
    )
    process = start(code, here, *guarded(here / "report"))
    daemon(here)
    process.send_signal(signal.SIGUSR1)
    assert process.wait() == 9


def test_descendants_are_found_by_their_parents(here: Path) -> None:
    process = start("import os, time\nos.fork()\nopen(str(os.getpid()), 'w')\n" + SLEEP, here)
    assert soon(lambda: len(list(here.iterdir())) == 2)
    family = {int(path.name) for path in here.iterdir()}
    assert family <= set(guardian.descendants(os.getpid()))
    assert set(guardian.descendants(process.pid)) == family - {process.pid}
    end_marked(MINE)
    process.wait()
