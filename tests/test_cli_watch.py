"""``git exp watch`` on real terminals and in pipes, of real runs in other processes."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gitexp import Experiment
from tests.support import Git, gitexp, python

PATIENCE_SECONDS = 60.0
LEFT = b"\x1b[?7h\x1b[?25h\x1b[?1049l"
"""Wrapping on, the cursor shown, the main screen back."""

WATCH = [sys.executable, "-m", "gitexp.cli.main", "watch"]
IN_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
TRAIN = """
import sys
from gitexp import Experiment
exp = Experiment(sys.argv[1])
print(exp.run_id, flush=True)
for number, note in enumerate(sys.stdin):
    exp.track({"val": {"acc": number / 8}, "loss": 1 / (number + 1)}, note=note.strip())
    print("tracked", flush=True)
exp.finish()
"""


class Training:
    """A run of another process, which tracks when it is told to."""

    def __init__(self, name: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", TRAIN, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.run_id = self._line()

    def track(self, note: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{note}\n")
        self.process.stdin.flush()
        assert self._line() == "tracked"

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> None:
        self.process.communicate()

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def training(name: str = "baseline") -> Iterator[Training]:
    run = Training(name)
    try:
        yield run
    finally:
        run.kill()


class Reader:
    """What a process writes to a descriptor, as it comes."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.data = b""

    def until(self, pattern: str, start: int = 0) -> re.Match[bytes]:
        """Read until the output from ``start`` on has a pattern."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (found := re.search(pattern.encode(), self.data[start:])):
            left = deadline - time.monotonic()
            assert left > 0, (pattern, self.data[start:])
            assert self._more(left), (pattern, self.data[start:])
        return found

    def to_end(self) -> bytes:
        while self._more(PATIENCE_SECONDS):
            pass
        return self.data

    def _more(self, seconds: float) -> bool:
        if not select.select([self.descriptor], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.descriptor, 1 << 16)
        except OSError:  # the other side of the terminal is closed
            return False
        self.data += data
        return bool(data)


class Terminal(Reader):
    """A terminal with a program in it, which is its session's leader."""

    def __init__(
        self, *command: str, width: int = 90, height: int = 24, **environment: str
    ) -> None:
        master, self.slave = pty.openpty()
        super().__init__(master)
        self.resize(width, height)
        self.modes = termios.tcgetattr(self.slave)
        self.process = subprocess.Popen(
            [sys.executable, "-c", IN_TERMINAL, *command],
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **environment},
        )

    def resize(self, width: int, height: int) -> None:
        size = struct.pack("HHHH", height, width, 0, 0)
        fcntl.ioctl(self.descriptor, termios.TIOCSWINSZ, size)  # sends SIGWINCH too

    def type(self, keys: bytes) -> None:
        os.write(self.descriptor, keys)

    def hang_up(self) -> None:
        os.close(self.slave)
        os.close(self.descriptor)
        self.slave = self.descriptor = -1

    def exit_code(self) -> int:
        """Wait for the end of the program and take the rest of what it wrote."""
        while self.process.poll() is None:
            if self.descriptor >= 0:
                self._more(0.05)
            else:
                time.sleep(0.05)
        while self.descriptor >= 0 and select.select([self.descriptor], [], [], 0)[0]:
            self._more(0)
        return self.process.returncode

    def stderr(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read().decode()

    def assert_given_back(self) -> None:
        """The screen and the modes are as they were before."""
        assert self.data.count(b"\x1b[?1049h") == self.data.count(b"\x1b[?1049l") > 0
        assert self.data.rindex(LEFT) > self.data.rindex(b"\x1b[?25l")
        assert termios.tcgetattr(self.slave) == self.modes

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()
        for descriptor in (self.slave, self.descriptor):
            if descriptor >= 0:
                os.close(descriptor)


@contextlib.contextmanager
def terminal(
    *arguments: str, width: int = 90, height: int = 24, **environment: str
) -> Iterator[Terminal]:
    """``git-exp watch`` in a terminal."""
    opened = Terminal(*WATCH, *arguments, width=width, height=height, **environment)
    try:
        yield opened
    finally:
        opened.close()


@contextlib.contextmanager
def pipe(*arguments: str) -> Iterator[tuple[subprocess.Popen[bytes], Reader]]:
    """``git-exp watch`` with its output in a pipe."""
    with subprocess.Popen(
        [*WATCH, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout is not None
        try:
            yield process, Reader(process.stdout.fileno())
        finally:
            process.kill()


# On a terminal


def test_a_run_appears_goes_on_ends_and_stays_until_q(repo: Git) -> None:
    repo("config", "exprag.metric", "acc")
    with terminal("--interval", "0.1") as screen:
        screen.until("No run is in progress")
        with training() as run:
            run.track("warming up")
            screen.until("1 running")
            screen.until(
                "baseline.*running.*1 call.*\x1b\\[3;1H\x1b\\[2K  val.acc .*loss .*warming up"
            )
            run.end()
            screen.until("0 running, 1 ended")
            screen.until("baseline.*finished")
        screen.type(b"q")
        assert screen.exit_code() == 0
        assert screen.data.endswith(LEFT)
        screen.assert_given_back()
        assert screen.stderr() == ""


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize(
    ("how", "code"),
    [("typed", 130), (signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=str,
)
def test_the_terminal_is_given_back_when_a_signal_ends_it(
    how: str | signal.Signals, code: int
) -> None:
    with terminal() as screen:
        screen.until("No run is in progress")
        if isinstance(how, signal.Signals):
            screen.process.send_signal(how)
        else:
            screen.type(b"\x03")
        assert screen.exit_code() == code
        assert screen.data.endswith(LEFT)
        screen.assert_given_back()
        assert screen.stderr() == ""


@pytest.mark.usefixtures("repo")
def test_it_ends_without_a_word_when_the_terminal_is_gone() -> None:
    with terminal("--interval", "0.1") as screen:
        screen.until("No run is in progress")
        screen.hang_up()
        assert screen.exit_code() == 129
        assert screen.stderr() == ""


@pytest.mark.usefixtures("repo")
def test_it_is_drawn_anew_at_once_for_another_size() -> None:
    with training() as run, terminal("--interval", "3600") as screen:
        run.track("hello")
        screen.until("baseline")
        for width, height in ((40, 8), (20, 5), (1, 1), (120, 30)):
            start = len(screen.data)
            screen.resize(width, height)
            screen.until(f"\x1b\\[2J(.|\n)*{'[b…]' if width == 1 else 'baseline'}", start)
            rows = [int(row) for row in re.findall(rb"\x1b\[(\d+);1H", screen.data[start:])]
            assert max(rows) <= height
        screen.type(b"q")
        assert screen.exit_code() == 0
        screen.assert_given_back()


@pytest.mark.usefixtures("repo")
def test_many_changes_of_size_while_it_draws_do_no_harm() -> None:
    with training() as run, terminal("--interval", "0.05") as screen:
        run.track("hello")
        screen.until("baseline")
        for i in range(200):
            screen.resize(1 + i * 7 % 130, 1 + i * 5 % 40)
        screen.resize(100, 20)
        start = len(screen.data)
        run.track("again")
        screen.until("note: again", start)
        screen.type(b"q")
        assert screen.exit_code() == 0
        assert screen.stderr() == ""
        screen.assert_given_back()


@pytest.mark.usefixtures("repo")
def test_ctrl_z_gives_the_terminal_back_and_takes_it_again() -> None:
    # Nobody could continue it, as the leader of its session, so the system does not stop it.
    with terminal() as screen:
        screen.until("No run is in progress")
        screen.type(b"\x1a")
        screen.until("1049l(.|\n)*1049h(.|\n)*No run is in progress")
        screen.type(b"q")
        assert screen.exit_code() == 0
        screen.assert_given_back()


@pytest.mark.usefixtures("repo")
def test_until_done_leaves_by_itself_and_says_how_the_runs_ended() -> None:
    with training() as run, terminal("--until-done", "--interval", "3600") as screen:
        run.track("hello")
        screen.until("baseline")
        run.end()
        assert screen.exit_code() == 0
        screen.assert_given_back()
        after = screen.data[screen.data.rindex(LEFT) :].decode()
        assert re.search(rf"{run.run_id[:12]} +baseline +finished", after)


@pytest.mark.usefixtures("repo")
def test_to_leave_before_all_is_done_is_an_interruption() -> None:
    with training(), terminal("--until-done") as screen:
        screen.until("baseline")
        screen.type(b"q")
        assert screen.exit_code() == 130
        screen.assert_given_back()


BROKEN = """
import signal, sys
from gitexp.cli.commands import watch
from gitexp.cli.main import guarded
def fail(*_): raise ValueError("a fault")
watch.render = fail
before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH)]
code = guarded(["watch"])
after = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGWINCH)]
sys.exit(code if before == after else 99)
"""


@pytest.mark.usefixtures("repo")
def test_a_fault_gives_back_terminal_and_signal_handlers() -> None:
    screen = Terminal(sys.executable, "-c", BROKEN)
    try:
        assert screen.exit_code() == 3
        screen.assert_given_back()
        assert "a fault" in screen.stderr()
    finally:
        screen.close()


COMMAND = """
import os, time
print("epoch", 1, flush=True)
while not os.path.exists({go_on!r}):
    time.sleep(0.02)
print("epoch", 2)
"""


@pytest.mark.usefixtures("repo")
def test_a_command_shows_the_end_of_its_output(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    code = COMMAND.format(go_on=str(go_on))
    with (
        subprocess.Popen(
            [*WATCH[:-1], "run", "--", sys.executable, "-c", code], stdout=subprocess.DEVNULL
        ) as command,
        terminal("--interval", "0.1") as screen,
    ):
        screen.until("--- output ---(.|\n)*epoch 1")
        go_on.touch()
        command.wait()
        screen.until("finished")
        screen.until("epoch 1(.|\n)*epoch 2")
        screen.type(b"q")
        assert screen.exit_code() == 0


@pytest.mark.usefixtures("repo")
def test_a_terminal_without_block_characters_gets_ascii() -> None:
    with (
        training() as run,
        terminal(
            "--interval",
            "0.1",
            LC_ALL="C",
            PYTHONUTF8="0",
            PYTHONCOERCECLOCALE="0",
            PYTHONIOENCODING="ascii",
        ) as screen,
    ):
        run.track("hello")
        screen.until(r"val.acc +0  \+")
        screen.type(b"q")
        assert screen.exit_code() == 0
        assert screen.data.isascii()


@pytest.mark.usefixtures("repo")
def test_a_terminal_that_cannot_move_its_cursor_gets_lines() -> None:
    with terminal("--until-done", TERM="dumb") as screen:
        assert screen.exit_code() == 0
        assert b"\x1b" not in screen.data


# In a pipe


@pytest.mark.usefixtures("repo")
def test_lines_come_as_things_happen() -> None:
    with training() as run, pipe("--interval", "0.05", "--until-done") as (process, reader):
        head = reader.until("(.*)\n")[1].decode()
        assert head.split("\t")[:4] == ["time", "run", "name", "status"]
        run.track("one")
        reader.until(
            f"{run.run_id[:12]}\tbaseline\trunning\t.*\t1\t.*\tval.acc=0.0 loss=1.0\tone\n"
        )
        run.track("two")
        reader.until("\t2\t.*\tval.acc=0.125 loss=0.5\ttwo\n")
        lines = reader.data.count(b"\n")
        run.end()
        last = reader.to_end().decode().splitlines()[-1].split("\t")
        assert (last[1], last[3], last[5]) == (run.run_id[:12], "finished", "2")
        assert reader.data.count(b"\n") == lines + 1
        assert process.wait() == 0


@pytest.mark.usefixtures("repo")
def test_json_lines_come_as_things_happen_and_end_with_the_runs() -> None:
    with (
        training() as run,
        pipe("--interval", "0.05", "--until-done", "--json") as (
            process,
            reader,
        ),
    ):
        run.track("one")
        reader.until('"note": "one"')
        run.end()
        lines = [json.loads(line) for line in reader.to_end().splitlines()]
        assert process.wait() == 0
    assert {line["run"] for line in lines} == {run.run_id}
    assert [line["status"] for line in lines[:-1]] == ["running"] * (len(lines) - 1)
    assert (lines[-1]["status"], lines[-1]["calls"]) == ("finished", 1)
    assert lines[-1]["metrics"]["loss"] == {"last": 1.0, "count": 1, "min": 1.0, "max": 1.0}


@pytest.mark.usefixtures("repo")
def test_an_end_is_said_at_once_whatever_the_interval() -> None:
    with training() as run, pipe("--interval", "3600", "--until-done") as (process, reader):
        reader.until("running")
        run.track("one")
        run.track("two")
        run.end()
        lines = reader.to_end().decode().splitlines()
        assert process.wait() == 0
    assert [line.split("\t")[3] for line in lines] == ["status", "running", "finished"]


@pytest.mark.usefixtures("repo")
def test_a_killed_run_is_crashed_and_waited_for_no_longer() -> None:
    with training() as run, pipe("--interval", "0.05", "--until-done") as (process, reader):
        reader.until("running")
        run.kill()
        last = reader.to_end().decode().splitlines()[-1].split("\t")
        assert (last[1], last[3]) == (run.run_id[:12], "crashed")
        assert process.wait() == 0


@pytest.mark.usefixtures("repo")
def test_runs_are_watched_by_name_and_others_are_not() -> None:
    with (
        training("one") as one,
        training("two") as two,
        pipe("two", "--until-done", "--json") as (process, reader),
    ):
        reader.until("running")
        one.end()
        two.end()
        lines = [json.loads(line) for line in reader.to_end().splitlines()]
        assert process.wait() == 0
    assert {line["name"] for line in lines} == {"two"}


@pytest.mark.usefixtures("repo")
def test_a_run_that_had_ended_is_shown_and_not_waited_for() -> None:
    with Experiment("old") as exp:
        exp.track({"loss": 0.5}, note="hello")
        exp.note("done")
    lines = gitexp("watch", "old", "--until-done").stdout.splitlines()
    assert len(lines) == 2
    cells = lines[1].split("\t")
    assert cells[1:4] == [exp.run_id[:12], "old", "finished"]
    assert cells[5:] == ["1", "", "loss=0.5", "done"]


@pytest.mark.usefixtures("repo")
def test_there_is_nothing_to_wait_for() -> None:
    done = gitexp("watch", "--until-done", "--json")
    assert (done.stdout, done.stderr) == ("", "hint: No run is in progress.\n")


@pytest.mark.usefixtures("repo")
def test_a_run_that_lost_its_process_before_is_sealed_and_said() -> None:
    with training("lost") as run:
        run.kill()
    done = gitexp("watch", "--until-done")
    assert f"Run {run.run_id[:12]} had lost its process" in done.stderr
    assert len(done.stdout.splitlines()) == 1


@pytest.mark.usefixtures("repo")
def test_it_ends_when_its_reader_is_gone_though_nothing_happens() -> None:
    with pipe() as (process, reader):
        reader.until("time")
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(PATIENCE_SECONDS) == 141
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.usefixtures("repo")
def test_ctrl_c_in_a_pipe_is_an_interruption() -> None:
    with pipe() as (process, reader):
        reader.until("time")
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130


@pytest.mark.usefixtures("repo")
@pytest.mark.parametrize("interval", ["0", "-1", "nan", "inf", "soon", "1e9"])
def test_an_interval_that_is_none_is_refused(interval: str) -> None:
    refused = gitexp("watch", f"--interval={interval}", check=2)
    assert "not a number of seconds" in refused.stderr


@pytest.mark.usefixtures("repo")
def test_a_run_that_does_not_exist_is_refused() -> None:
    refused = gitexp("watch", "nothing", "--json", check=1)
    assert json.loads(refused.stderr)["error"]["type"] == "RunNotFoundError"


@pytest.mark.usefixtures("repo")
def test_watching_never_loads_libgit2() -> None:
    code = """
import sys
from gitexp.cli.main import guarded
assert guarded(["watch", "--until-done"]) == 0
assert not {"pygit2", "cffi", "numpy", "gitexp.experiment"} & set(sys.modules)
"""
    python(code)
